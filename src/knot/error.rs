//! What can go wrong between us and a server, in words that say where and what to do.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::dns::explain::Asked;
use crate::model::Name;

/// Which conversation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// SOA query.
    Query,
    /// AXFR or IXFR.
    Transfer,
    /// RFC 2136.
    Update,
}

impl Exchange {
    pub(super) fn asked(self) -> Asked {
        match self {
            Exchange::Query => Asked::Query,
            Exchange::Transfer => Asked::Transfer,
            Exchange::Update => Asked::Update,
        }
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exchange::Query => "the SOA query",
            Exchange::Transfer => "the zone transfer",
            Exchange::Update => "the update",
        })
    }
}

/// Where it happened: printed at the start of every message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The address in use.
    pub server: SocketAddr,
    /// The zone spoken about.
    pub zone: Name,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}, zone {}", self.server, self.zone.to_relaxed())
    }
}

/// A failed conversation with a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// No connection, or it broke.
    #[error("{place}: {detail}; check the address, the firewall and that the server runs")]
    Unreachable {
        /// Where.
        place: Place,
        /// The system's words.
        detail: String,
    },
    /// It did not answer in time.
    #[error("{place}: no answer to {what} within {:.1} s", after.as_secs_f64())]
    Timeout {
        /// Where.
        place: Place,
        /// Which conversation.
        what: Exchange,
        /// The deadline that passed.
        after: Duration,
    },
    /// It answered with an error code.
    #[error("{place}: {words}")]
    Refused {
        /// Where.
        place: Place,
        /// Which conversation.
        what: Exchange,
        /// The response code (RFC 6895 §2.3).
        rcode: u16,
        /// What that means to a person.
        words: String,
    },
    /// It does not know the key, or the key or the address may not do this (NOTAUTH; Knot's ACLs answer so).
    #[error("{place}: {words}")]
    NotAuthorised {
        /// Where.
        place: Place,
        /// Which conversation.
        what: Exchange,
        /// What that means to a person.
        words: String,
    },
    /// Signatures do not agree: wrong secret, wrong algorithm, or a forged answer.
    #[error("{place}: {words}")]
    Tsig {
        /// Where.
        place: Place,
        /// Which conversation.
        what: Exchange,
        /// What that means to a person.
        words: String,
    },
    /// The clocks are too far apart for TSIG (RFC 8945 §5.2.3).
    #[error("{place}: {words}")]
    ClockSkew {
        /// Where.
        place: Place,
        /// Which conversation.
        what: Exchange,
        /// What that means to a person.
        words: String,
    },
    /// A transfer that ended early or contradicted itself; nothing of it was used.
    #[error("{place}: the zone transfer was not complete and was thrown away: {detail}")]
    TransferIncomplete {
        /// Where.
        place: Place,
        /// What was missing.
        detail: String,
    },
    /// An answer that is no answer to the question.
    #[error("{place}: bad answer to {what}: {detail}")]
    BadAnswer {
        /// Where.
        place: Place,
        /// Which conversation.
        what: Exchange,
        /// What is wrong with it.
        detail: String,
    },
}

impl ServerError {
    /// The stable word of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            ServerError::Unreachable { .. } | ServerError::Timeout { .. } => "ServerUnreachable",
            ServerError::Refused { rcode: 2, .. } => "ServerFailure",
            ServerError::Refused { what: Exchange::Update, .. } => "UpdateRefused",
            ServerError::Refused { what: Exchange::Transfer, .. } => "TransferRefused",
            ServerError::Refused { what: Exchange::Query, .. } => "QueryRefused",
            ServerError::NotAuthorised { what: Exchange::Update, .. } => "UpdateRefused",
            ServerError::NotAuthorised { what: Exchange::Transfer, .. } => "TransferRefused",
            ServerError::NotAuthorised { what: Exchange::Query, .. } => "NotAuthorised",
            ServerError::Tsig { .. } => "TsigError",
            ServerError::ClockSkew { .. } => "ClockSkew",
            ServerError::TransferIncomplete { .. } => "TransferIncomplete",
            ServerError::BadAnswer { .. } => "BadAnswer",
        }
    }

    /// Whether another address of the same server is worth a try: this one is silent or broken, it has not judged us.
    pub fn tries_next_address(&self) -> bool {
        matches!(self, ServerError::Unreachable { .. } | ServerError::Timeout { .. })
    }

    /// Where it happened.
    pub fn place(&self) -> &Place {
        match self {
            ServerError::Unreachable { place, .. }
            | ServerError::Timeout { place, .. }
            | ServerError::Refused { place, .. }
            | ServerError::NotAuthorised { place, .. }
            | ServerError::Tsig { place, .. }
            | ServerError::ClockSkew { place, .. }
            | ServerError::TransferIncomplete { place, .. }
            | ServerError::BadAnswer { place, .. } => place,
        }
    }
}
