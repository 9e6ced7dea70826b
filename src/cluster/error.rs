//! What went wrong between us and the API server.

use std::time::Duration;

/// A call to the API server that did not come to its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// It did not answer in time.
    #[error("the API server did not answer within {} s ({what})", .after.as_secs())]
    Late {
        /// What was asked.
        what: &'static str,
        /// For how long it was waited.
        after: Duration,
    },
    /// It said no.
    #[error("{what}: {message} ({code} {reason})")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// HTTP code.
        code: u16,
        /// Kubernetes' reason word.
        reason: String,
        /// Its words.
        message: String,
        /// When it wants to be asked again, if it said so.
        after: Option<Duration>,
    },
    /// It could not be reached, or what it said could not be read.
    #[error("{what}: {message}")]
    Broken {
        /// What was asked.
        what: &'static str,
        /// What happened.
        message: String,
    },
    /// What it shows is older than what it showed before.
    #[error("what the API server shows is of version {at}, though it was at {seen} already: it lags behind")]
    Behind {
        /// The version that it shows.
        at: String,
        /// The newest that was seen.
        seen: u64,
    },
    /// The way to it is not known.
    #[error("{0}")]
    Access(String),
}

impl CallError {
    pub(super) fn of(what: &'static str, error: kube::Error) -> CallError {
        match error {
            kube::Error::Api(status) => CallError::refused(what, *status),
            other => {
                // The outer error of a connection says nothing; its innermost source says it all.
                let mut message = other.to_string();
                let mut source = std::error::Error::source(&other);
                while let Some(inner) = source {
                    message = inner.to_string();
                    source = inner.source();
                }
                CallError::Broken { what, message }
            }
        }
    }

    pub(super) fn refused(what: &'static str, status: kube::core::Status) -> CallError {
        let after = status.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
        CallError::Refused {
            what,
            code: status.code,
            reason: status.reason,
            message: status.message,
            after: after.map(|seconds| Duration::from_secs(u64::from(seconds))),
        }
    }

    /// The HTTP code, if the server answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            CallError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// What the server said, without what was asked and the codes; else what happened.
    pub fn told(&self) -> &str {
        match self {
            CallError::Refused { message, .. } | CallError::Broken { message, .. } | CallError::Access(message) => {
                message
            }
            CallError::Late { .. } => "it did not answer in time",
            CallError::Behind { .. } => "it lags behind",
        }
    }

    /// The object, or its kind, is not there.
    pub fn is_absent(&self) -> bool {
        self.code() == Some(404)
    }

    /// What we knew of the object is not true any more: read it again.
    pub fn is_outdated(&self) -> bool {
        matches!(self.code(), Some(404 | 409 | 422))
    }

    /// A stable word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            CallError::Late { .. } => "Late",
            CallError::Broken { .. } => "Unreachable",
            CallError::Behind { .. } => "Behind",
            CallError::Access(_) => "Access",
            CallError::Refused { code, .. } => match code {
                401 => "Unauthorized",
                403 => "Forbidden",
                404 => "NotFound",
                409 => "Conflict",
                410 => "Gone",
                422 => "Invalid",
                429 => "TooManyRequests",
                500..=599 => "ServerError",
                _ => "Refused",
            },
        }
    }

    /// How long the server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CallError::Refused { after, .. } => *after,
            _ => None,
        }
    }
}
