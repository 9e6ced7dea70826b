//! The fault switchboard: what a real server will not do on demand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::dns::Rcode;
use crate::model::Name;

/// One way to misbehave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A transfer ends after this many messages, and the connection with it.
    TransferCut(usize),
    /// The second and the third message of a transfer change places.
    TransferReordered,
    /// A transfer stops after this many messages, the connection stays open.
    TransferStalled(usize),
    /// The signature of this message of a transfer (from 0) is wrong.
    TransferForged(usize),
    /// The closing SOA is missing.
    TransferNoEnd,
    /// The closing SOA has another serial than the first.
    TransferOtherEnd,
    /// Transfers are answered with this code.
    TransferRcode(Rcode),
    /// Queries are answered with this code.
    QueryRcode(Rcode),
    /// UPDATEs are answered with this code, and not applied.
    UpdateRcode(Rcode),
    /// An UPDATE is not applied, and its answer never comes: the connection closes.
    LostBefore,
    /// An UPDATE is applied, but its answer never comes: the connection closes.
    LostAfter,
    /// An UPDATE is applied, its answer never comes, and the connection stays open.
    SilentAfter,
    /// The answer to an UPDATE ends in the middle, and the connection with it.
    AnswerCut,
    /// Answers wait this long.
    Delay(Duration),
    /// Answers carry another id.
    WrongId,
    /// Answers are not signed.
    Unsigned,
    /// Answers are signed with a wrong MAC.
    Forged,
    /// The server's clock is off by this many seconds.
    Skew(i64),
    /// An UPDATE that touches this name is refused.
    RefuseName(Name),
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// This many times.
    Count(usize),
    /// Until it is taken out.
    Always,
}

/// The faults of one server; clones are the same switchboard.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    set: Arc<Mutex<Vec<(Fault, Times)>>>,
}

impl Faults {
    /// Switches a fault on.
    pub fn set(&self, fault: Fault, times: Times) {
        if let Ok(mut set) = self.set.lock() {
            set.push((fault, times));
        }
    }

    /// Switches all faults off.
    pub fn clear(&self) {
        if let Ok(mut set) = self.set.lock() {
            set.clear();
        }
    }

    /// Whether every counted fault has struck as often as it should.
    pub fn is_spent(&self) -> bool {
        self.set.lock().is_ok_and(|set| set.is_empty())
    }

    /// The first fault that `wanted` takes, counted as having struck.
    pub(super) fn strike<T>(&self, wanted: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let mut set = self.set.lock().ok()?;
        let (at, found) = set.iter().enumerate().find_map(|(i, (fault, _))| Some((i, wanted(fault)?)))?;
        if let Times::Count(left) = &mut set[at].1 {
            *left -= 1;
            if *left == 0 {
                set.remove(at);
            }
        }
        Some(found)
    }
}
