//! What an apply came to.

use std::time::Duration;

use crate::model::{Name, ObjectId, RrType};
use crate::plan::Action;

/// How one change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Read back from the server.
    Done,
    /// Somebody else was faster, or the zone is not as the plan saw it; nothing was changed.
    Conflict,
    /// The server does not take it.
    Refused,
    /// The brake holds it.
    Held,
    /// Its answer was lost and the read-back did not settle it.
    Lost,
    /// Not sent: the run stopped before it, or waits to try again.
    Waiting,
    /// Acknowledged but not seen in the read-back.
    Unconfirmed,
}

/// One change's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeOutcome {
    /// Owner name.
    pub name: Name,
    /// Type.
    pub rtype: RrType,
    /// What was to be done.
    pub action: Action,
    /// For whom.
    pub object: Option<ObjectId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Stable word: `Programmed`, `Conflict`, `UpdateRefused`, `BrakeHeld` …
    pub reason: &'static str,
    /// One sentence for people; empty when done.
    pub message: String,
}

/// Where the time of an apply went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the call to the first UPDATE handed to the connection.
    pub until_first_sent: Duration,
    /// From the first UPDATE handed to the connection to the last answer.
    pub sending: Duration,
    /// Reading back.
    pub confirming: Duration,
}

/// What an engine asked of its server for reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// SOA polls that were answered, and questions whether the last marker is there.
    pub polls: u64,
    /// Whole transfers that became the view.
    pub transfers: u64,
}

/// What an apply came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One for each change of the plan, in its order.
    pub outcomes: Vec<ChangeOutcome>,
    /// The serial at which the wish was read back; `None` when nothing was sent or it could not be read.
    pub serial: Option<u32>,
    /// UPDATE messages sent.
    pub updates_sent: u64,
    /// Their octets, signatures included.
    pub bytes: u64,
    /// Answers to them by rcode (RFC 6895 §2.3); those that were lost are in none.
    pub rcodes: std::collections::BTreeMap<u16, u64>,
    /// Where the time went.
    pub timings: Timings,
    /// When the first UPDATE was handed to the connection.
    pub first_sent: Option<std::time::Instant>,
    /// What stopped the run before its end, if anything did.
    pub stopped: Option<super::EngineError>,
}

impl Report {
    /// Number of outcomes of this kind.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.iter().filter(|one| one.outcome == outcome).count()
    }

    /// Whether every change was read back and nothing stopped the run.
    pub fn all_done(&self) -> bool {
        self.stopped.is_none() && self.outcomes.iter().all(|one| one.outcome == Outcome::Done)
    }
}
