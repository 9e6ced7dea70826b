//! What keeps a transaction from its end.

use std::path::PathBuf;

use crate::resolved::{BusError, WriteError};

/// An error of the host engine.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Another process of ours works on this host.
    #[error("process {pid} is at work on this host; wait for it, or stop it")]
    Busy {
        /// Its number, or `another`.
        pid: String,
    },
    /// An agent holds this host.
    #[error(
        "process {pid}, a knotwork agent, holds this host and would undo this: change the policy that it follows, or stop it \
         first (systemctl stop knotwork-agent)"
    )]
    Held {
        /// Its number, or `another`.
        pid: String,
    },
    /// The store cannot be read or written.
    #[error("{}: {what}: {why}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: std::io::Error,
    },
    /// A file of the store is not what we wrote.
    #[error(
        "{}: {why}; it is knotwork's memory of what was on this host before: look at it, and move it away to begin anew \
         (then nothing from before is ever put back)",
        path.display()
    )]
    Torn {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file of the host.
    #[error("{error}; {}", error.way_out())]
    File {
        /// What happened.
        #[from]
        error: WriteError,
    },
    /// Somebody was faster.
    #[error("{path} was changed by somebody while this was going on: it is left as it is; try again")]
    ChangedMeanwhile {
        /// The file.
        path: String,
    },
    /// An earlier change is not wholly undone, as what it needs is away.
    #[error(
        "the change {id} of an earlier run is half undone: {why}; nothing else is changed before it is, and every start \
         tries again (`knotwork host status` shows it)"
    )]
    Unfinished {
        /// Of the transaction.
        id: String,
        /// What is missing.
        why: String,
    },
    /// It is not known what links have.
    #[error(
        "systemd-resolved did not tell what the links have, and what is not known could not be given back: nothing was \
         changed; see that it answers (resolvectl status), or systemctl restart systemd-resolved, then try again"
    )]
    NotRead,
    /// No bus, where services must be told.
    #[error(
        "no system bus answers, and services must be told of this: nothing was changed; see that dbus runs and its socket is \
         reachable (in a container: mount the directory /run/dbus)"
    )]
    NoBus,
    /// A call on the bus.
    #[error("{0}")]
    Bus(#[from] BusError),
    /// A service does not come up again.
    #[error("{unit} does not answer after {what}: {why}")]
    Service {
        /// The unit.
        unit: &'static str,
        /// What was done to it.
        what: &'static str,
        /// How it is now.
        why: String,
    },
    /// resolved shows other settings than were set, whatever was tried.
    #[error("{at} does not keep what was set: {} still differ after {tries} tries", differs.join(", "))]
    NotTaken {
        /// The link, or `the global scope`.
        at: String,
        /// What differs.
        differs: Vec<String>,
        /// How often it was set.
        tries: u32,
    },
    /// A probe does not pass.
    #[error("probe {name}: {why}")]
    Probe {
        /// Its name.
        name: String,
        /// What came instead.
        why: String,
    },
    /// Nobody confirmed in time.
    #[error("nobody confirmed within {0} s")]
    Unconfirmed(u64),
    /// Somebody asked to stop.
    #[error("stopped in the middle")]
    Stopped,
    /// A later one stands on it.
    #[error(
        "a later change stands on {0}; take that back first, or give back everything with `knotwork host rollback`"
    )]
    NotLast(String),
    /// The policies are not as they must be.
    #[error("{0}")]
    Policies(String),
    /// All policies are for other hosts.
    #[error(
        "no policy here is for this host ({host}): {others}; nothing is changed, and what stands here stays \
         (`knotwork host rollback` gives it back). Name the host in `hosts`, or leave that out"
    )]
    OtherHosts {
        /// What this one is called.
        host: String,
        /// Which policies are for whom.
        others: String,
    },
    /// Nothing was applied yet.
    #[error("no policy was applied to this host yet; give one with -f policy.yaml")]
    NoPolicy,
    /// There is no such transaction.
    #[error("there is no transaction {0}; `knotwork host status` lists them")]
    NoTransaction(String),
}

impl HostError {
    /// A stable word.
    pub fn reason(&self) -> &'static str {
        match self {
            HostError::Busy { .. } => "Busy",
            HostError::Held { .. } => "Held",
            HostError::Store { .. } => "Store",
            HostError::Torn { .. } => "StoreTorn",
            HostError::File { error } => error.reason(),
            HostError::NotRead => "NotRead",
            HostError::NoBus => "NoBus",
            HostError::ChangedMeanwhile { .. } => "ChangedMeanwhile",
            HostError::Unfinished { .. } => "Unfinished",
            HostError::Bus(error) => error.reason.word(),
            HostError::Service { .. } => "ServiceDown",
            HostError::NotTaken { .. } => "NotTaken",
            HostError::Probe { .. } => "ProbeFailed",
            HostError::Unconfirmed(_) => "Unconfirmed",
            HostError::Stopped => "Stopped",
            HostError::NotLast(_) => "NotLast",
            HostError::Policies(_) => "PolicyBroken",
            HostError::OtherHosts { .. } => "OtherHosts",
            HostError::NoPolicy => "NoPolicy",
            HostError::NoTransaction(_) => "NoTransaction",
        }
    }
}
