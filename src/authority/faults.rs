//! The fault switchboard: what a real server will not do on demand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dns::Rcode;
pub use crate::dns::explain::Asked;
use crate::model::Name;

/// One way to misbehave. Messages of a transfer count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A transfer ends after this many messages, and the connection with it.
    TransferCut(usize),
    /// The messages of a transfer change places pairwise.
    TransferReordered,
    /// A transfer stops after this many messages, the connection stays open.
    TransferStalled(usize),
    /// One message of a transfer is left out.
    TransferGap(usize),
    /// The signature of this message of a transfer is wrong.
    TransferForged(usize),
    /// The closing SOA is missing, and the connection closes.
    TransferNoEnd,
    /// The closing SOA has another serial than the first.
    TransferOtherEnd,
    /// Transfers are answered with this code.
    TransferRcode(Rcode),
    /// IXFR questions are answered with the whole zone.
    NoHistory,
    /// Queries are answered with this code.
    QueryRcode(Rcode),
    /// UPDATEs are answered with this code, and not applied.
    UpdateRcode(Rcode),
    /// An UPDATE is not applied, and its answer never comes: the connection closes.
    LostBefore,
    /// An UPDATE is applied, but its answer never comes: the connection closes.
    LostAfter,
    /// An UPDATE is not applied, its answer never comes, and the connection stays open.
    SilentBefore,
    /// An UPDATE is applied, its answer never comes, and the connection stays open.
    SilentAfter,
    /// An UPDATE is applied only after this time, even if the client has given up; so it may arrive late.
    Late(Duration),
    /// The answer to an UPDATE ends in the middle, and the connection with it.
    AnswerCut,
    /// Answers wait this long; what was asked is done before.
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

impl Fault {
    /// Whether the fault can hit this kind of request.
    fn concerns(&self, asked: Asked) -> bool {
        match self {
            Fault::TransferCut(_)
            | Fault::TransferReordered
            | Fault::TransferStalled(_)
            | Fault::TransferGap(_)
            | Fault::TransferForged(_)
            | Fault::TransferNoEnd
            | Fault::TransferOtherEnd
            | Fault::TransferRcode(_)
            | Fault::NoHistory => asked == Asked::Transfer,
            Fault::QueryRcode(_) => asked == Asked::Query,
            Fault::UpdateRcode(_)
            | Fault::LostBefore
            | Fault::LostAfter
            | Fault::SilentBefore
            | Fault::SilentAfter
            | Fault::Late(_)
            | Fault::AnswerCut
            | Fault::RefuseName(_) => asked == Asked::Update,
            Fault::Delay(_) | Fault::WrongId | Fault::Unsigned | Fault::Forged => true,
            // Strikes before anything is known of the request.
            Fault::Skew(_) => false,
        }
    }
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// This many times.
    Count(usize),
    /// Until it is taken out.
    Always,
}

/// A fault that is switched on.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    times: Times,
    /// The only kind of request that it hits.
    only: Option<Asked>,
    /// Requests that it would hit and lets pass first.
    skip: usize,
}

#[derive(Debug, Default)]
struct State {
    armed: Vec<Armed>,
    struck: usize,
}

impl State {
    /// The faults that `hits` takes, each counted as having struck.
    fn take(&mut self, hits: impl Fn(&Armed) -> bool) -> Vec<Fault> {
        let mut struck = Vec::new();
        self.armed.retain_mut(|armed| {
            if !hits(armed) {
                return true;
            }
            if armed.skip > 0 {
                armed.skip -= 1;
                return true;
            }
            match &mut armed.times {
                Times::Count(0) => return false,
                Times::Count(left) => *left -= 1,
                Times::Always => {}
            }
            struck.push(armed.fault.clone());
            armed.times != Times::Count(0)
        });
        self.struck += struck.len();
        struck
    }
}

/// The faults of one server; clones are the same switchboard.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm(&self, fault: Fault, times: Times, only: Option<Asked>, skip: usize) {
        self.state().armed.push(Armed { fault, times, only, skip });
    }

    /// Switches a fault on; it strikes at the next request that it can hit.
    pub fn set(&self, fault: Fault, times: Times) {
        self.arm(fault, times, None, 0);
    }

    /// Switches a fault on for one kind of request: lets a SOA poll, say, pass before an UPDATE.
    pub fn set_on(&self, asked: Asked, fault: Fault, times: Times) {
        self.arm(fault, times, Some(asked), 0);
    }

    /// Switches a fault on that lets `skip` requests that it could hit pass, and then strikes once.
    pub fn set_after(&self, skip: usize, fault: Fault) {
        self.arm(fault, Times::Count(1), None, skip);
    }

    /// Switches all faults off.
    pub fn clear(&self) {
        self.state().armed.clear();
    }

    /// Whether every counted fault has struck as often as it should.
    pub fn is_spent(&self) -> bool {
        self.state().armed.is_empty()
    }

    /// How many times faults struck so far.
    pub fn struck(&self) -> usize {
        self.state().struck
    }

    /// The server's time for the true time.
    pub(super) fn clock(&self, now: u64) -> u64 {
        let skews = self.state().take(|armed| matches!(armed.fault, Fault::Skew(_)));
        skews.iter().fold(now, |now, fault| match fault {
            Fault::Skew(seconds) => now.saturating_add_signed(*seconds),
            _ => now,
        })
    }

    /// The faults that strike this request; `touches` says whether it is an UPDATE of a name.
    pub(super) fn strike(&self, asked: Asked, touches: impl Fn(&Name) -> bool) -> Vec<Fault> {
        self.state().take(|armed| {
            armed.fault.concerns(asked)
                && armed.only.is_none_or(|only| only == asked)
                && match &armed.fault {
                    Fault::RefuseName(name) => touches(name),
                    _ => true,
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_as_often_as_told() {
        let faults = Faults::default();
        let refuse = Fault::UpdateRcode(Rcode::REFUSED);
        let strike = |asked| faults.strike(asked, |_| false).len();
        let (query, update) = (Asked::Query, Asked::Update);
        faults.set(refuse.clone(), Times::Count(2));
        assert_eq!([strike(query), strike(update), strike(update), strike(update)], [0, 1, 1, 0]);
        faults.set_after(1, refuse.clone());
        assert_eq!([strike(update), strike(update), strike(update)], [0, 1, 0]);
        faults.set_on(update, Fault::Unsigned, Times::Count(1));
        assert_eq!([strike(query), strike(update), strike(update)], [0, 1, 0]);
        faults.set(refuse, Times::Always);
        faults.set(Fault::RefuseName(Name::root()), Times::Count(1));
        assert_eq!([strike(update), strike(update)], [1, 1]);
        assert_eq!(faults.strike(update, |_| true).len(), 2);
        assert_eq!((faults.struck(), faults.is_spent()), (8, false));
        faults.set(Fault::Skew(-10), Times::Count(1));
        assert_eq!([faults.clock(100), faults.clock(100)], [90, 100]);
        faults.clear();
        assert_eq!((strike(update), faults.is_spent()), (0, true));
    }
}
