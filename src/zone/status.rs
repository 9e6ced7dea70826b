//! What a resident worker tells the world.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::PastBrake;
use super::report::ChangeOutcome;
use crate::model::{FastSet, Name, ObjectId};
use crate::plan::Plan;

/// Upper bounds of the latency buckets, milliseconds.
const BOUNDS_MS: [u64; 12] = [1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 5000];

/// A histogram of durations with fixed buckets: bounded whatever happens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS_MS.len() + 1],
    sum: Duration,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        let at = BOUNDS_MS.iter().position(|bound| value <= Duration::from_millis(*bound)).unwrap_or(BOUNDS_MS.len());
        self.counts[at] += 1;
        self.sum += value;
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Buckets: upper bound (`None`: no bound) and how many fell into it, not cumulated.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = BOUNDS_MS.iter().map(|bound| Some(Duration::from_millis(*bound))).chain([None]);
        bounds.zip(self.counts.iter().copied())
    }

    /// An upper bound of the quantile `q` (0 to 1); `None` when empty or beyond the last bound.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = (q * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        for (bound, count) in self.buckets() {
            seen += count;
            if seen >= rank.max(1) {
                return bound;
            }
        }
        None
    }
}

/// Sums since the worker started. Keys are words of ours, never a user's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// SOA polls that were answered.
    pub polls: u64,
    /// Polls that found a changed zone.
    pub changed: u64,
    /// Views replaced as a whole.
    pub full_transfers: u64,
    /// Times that the server had lost data or gone back.
    pub resets: u64,
    /// UPDATE messages sent.
    pub updates: u64,
    /// Their octets.
    pub update_bytes: u64,
    /// Changes read back, by action.
    pub changes: BTreeMap<&'static str, u64>,
    /// Changes that failed and passes that ended early, by reason word.
    pub errors: BTreeMap<&'static str, u64>,
    /// From a changed serial seen to the UPDATE handed to the connection, without the wait for the transfer: our own share
    /// of a repair.
    pub own_latency: Histogram,
    /// The wait for the transfer of such a change: the server's share.
    pub transfer_wait: Histogram,
}

/// An error as the status shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusError {
    /// Stable word.
    pub reason: &'static str,
    /// What, where and what to do.
    pub message: String,
    /// When.
    pub at: SystemTime,
}

/// A snapshot of one zone's worker.
#[derive(Debug, Clone)]
pub struct ZoneStatus {
    /// Apex.
    pub zone: Name,
    /// The server address in use.
    pub server: SocketAddr,
    /// The view's serial.
    pub serial: Option<u32>,
    /// When the server last confirmed the view.
    pub last_view_at: Option<SystemTime>,
    /// Record sets by writer class, ours included.
    pub sets: BTreeMap<&'static str, usize>,
    /// The last plan: what it still wants, conflicts, orphans, what is held and why.
    pub plan: Option<Arc<Plan>>,
    /// Changes of the last apply that did not end well, until they do.
    pub failed: Vec<ChangeOutcome>,
    /// What keeps the worker from its work now.
    pub error: Option<StatusError>,
    /// How many times claims were taken in.
    pub claims_seen: u64,
    /// How many of them there had been when the plan was made.
    pub claims_planned: u64,
    /// The state of the source that the plan is of, where the source counts them.
    pub revision: u64,
    /// Objects that are leaving and that markers still named when the plan was made.
    pub lingering: Arc<FastSet<ObjectId>>,
    /// What the brake remembered then.
    pub past_brake: PastBrake,
    /// Nothing is left to do for the claims taken in: the plan wants nothing that is not held.
    pub settled: bool,
    /// Sums.
    pub counters: Counters,
}

impl ZoneStatus {
    /// Before the first pass.
    pub fn new(engine: &super::Engine) -> ZoneStatus {
        ZoneStatus {
            zone: engine.zone().clone(),
            server: engine.session().address(),
            serial: None,
            last_view_at: None,
            sets: BTreeMap::new(),
            plan: None,
            failed: Vec::new(),
            error: None,
            claims_seen: 0,
            claims_planned: 0,
            revision: 0,
            lingering: Arc::default(),
            past_brake: PastBrake::default(),
            settled: false,
            counters: Counters::default(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_upper_bounds() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for ms in [1, 1, 4, 30] {
            histogram.record(Duration::from_millis(ms));
        }
        assert_eq!(histogram.quantile(0.5), Some(Duration::from_millis(1)));
        assert_eq!(histogram.quantile(0.75), Some(Duration::from_millis(5)));
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_millis(50)));
        histogram.record(Duration::from_secs(60));
        assert_eq!((histogram.quantile(1.0), histogram.count()), (None, 5));
    }
}
