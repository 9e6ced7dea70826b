//! The operator's numbers, beside those of the zones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::metrics::{Health, Snapshot, label};
use crate::model::Name;
use crate::zone::{Histogram, ZoneStatus};

/// What is counted by the one task that decides, and read by scrapes.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Objects by what became of them.
    pub objects: BTreeMap<&'static str, usize>,
    /// Statuses decided, by outcome.
    pub reconciles: BTreeMap<&'static str, u64>,
    /// Calls to the API server that failed, by call and word.
    pub api_errors: BTreeMap<(&'static str, &'static str), u64>,
    /// Calls made, by call.
    pub api_calls: BTreeMap<&'static str, u64>,
    /// Objects that wait to be written to.
    pub queue: usize,
    /// Events dropped.
    pub dropped_events: u64,
    /// From an object's change seen to all of it programmed.
    pub programmed: Histogram,
    /// Objects that are invalid or may not declare what they do.
    pub refused: usize,
    /// Finalizers taken off without the records having been taken out.
    pub let_go: u64,
    /// Whether we lead.
    pub leader: bool,
    /// What is not there yet; empty: ready.
    pub missing: Vec<String>,
}

impl Counts {
    /// An object that came to one thing now comes to another; empty: it was not there, or is not any more.
    pub fn moved(&mut self, from: &'static str, to: &'static str) {
        if let Some(number) = self.objects.get_mut(from) {
            *number = number.saturating_sub(1);
        }
        if !to.is_empty() {
            *self.objects.entry(to).or_default() += 1;
        }
    }
}

/// Shared with the endpoints.
#[derive(Default)]
pub struct Board {
    counts: Mutex<Counts>,
    statuses: Mutex<BTreeMap<Name, watch::Receiver<Arc<ZoneStatus>>>>,
    modes: Mutex<BTreeMap<Name, bool>>,
    /// Failed renewals and looks at the lease.
    pub lease_errors: Arc<AtomicU64>,
    /// Changes of the configuration that were refused.
    pub refused_reloads: AtomicU64,
}

impl Board {
    /// Changes the counts.
    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The zones whose workers run.
    pub fn set_zones(&self, zones: BTreeMap<Name, watch::Receiver<Arc<ZoneStatus>>>) {
        *self.statuses.lock().unwrap_or_else(PoisonError::into_inner) = zones;
    }

    /// Whether each zone is only looked at; none is known before all lists are complete.
    pub fn set_modes(&self, modes: BTreeMap<Name, bool>) {
        *self.modes.lock().unwrap_or_else(PoisonError::into_inner) = modes;
    }

    /// Whether nobody wishes that a zone be only looked at, as far as that is known.
    pub fn may_write(&self, zone: &Name) -> bool {
        self.modes.lock().unwrap_or_else(PoisonError::into_inner).get(zone) == Some(&false)
    }

    fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Health for Board {
    fn text(&self) -> String {
        let statuses: Vec<Arc<ZoneStatus>> = {
            let all = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
            all.values().map(|status| Arc::clone(&status.borrow())).collect()
        };
        let counts = self.counts();
        let mut snapshot = Snapshot::of_status(statuses.iter().map(Arc::as_ref));
        snapshot.refused_objects = counts.refused;
        let mut out = snapshot.text();
        let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, String)>| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let one = |value: String| vec![(String::new(), value)];
        let by = |key: &str, map: &BTreeMap<&'static str, u64>| -> Vec<(String, String)> {
            map.iter().map(|(word, number)| (label(&[(key, word)]), number.to_string())).collect()
        };
        family(
            "knotwork_operator_leader",
            "gauge",
            "Whether this process leads.",
            one(u8::from(counts.leader).to_string()),
        );
        let objects =
            counts.objects.iter().map(|(word, number)| (label(&[("result", word)]), number.to_string())).collect();
        family("knotwork_operator_objects", "gauge", "Objects, by what became of them.", objects);
        let help = "Statuses decided, by result.";
        family("knotwork_operator_reconciles_total", "counter", help, by("result", &counts.reconciles));
        let help = "Objects that wait to be written to.";
        family("knotwork_operator_queue_depth", "gauge", help, one(counts.queue.to_string()));
        let help = "Calls made to the API server.";
        family("knotwork_operator_api_calls_total", "counter", help, by("call", &counts.api_calls));
        let errors = counts.api_errors.iter();
        let errors =
            errors.map(|((call, reason), number)| (label(&[("call", call), ("reason", reason)]), number.to_string()));
        let help = "Calls to the API server that failed.";
        family("knotwork_operator_api_errors_total", "counter", help, errors.collect());
        let lease = self.lease_errors.load(Ordering::Relaxed);
        family("knotwork_operator_lease_errors_total", "counter", "Failed looks at the lease.", one(lease.to_string()));
        let help = "Events that were not reported because too many waited.";
        family("knotwork_operator_events_dropped_total", "counter", help, one(counts.dropped_events.to_string()));
        let help = "Finalizers taken off though the records could not be taken out.";
        family("knotwork_operator_let_go_total", "counter", help, one(counts.let_go.to_string()));
        let reloads = self.refused_reloads.load(Ordering::Relaxed);
        let help = "Versions of the configuration that were refused; the one before stayed in force.";
        family("knotwork_operator_refused_reloads_total", "counter", help, one(reloads.to_string()));
        histogram(&mut out, &counts.programmed);
        out
    }

    fn not_ready(&self) -> Vec<String> {
        self.counts().missing
    }
}

fn histogram(out: &mut String, histogram: &Histogram) {
    let name = "knotwork_operator_programmed_seconds";
    let _ = writeln!(
        out,
        "# HELP {name} From an object's change seen to all of it read back from its servers.\n# TYPE {name} histogram"
    );
    let mut total = 0;
    for (bound, count) in histogram.buckets() {
        total += count;
        let le = bound.map_or("+Inf".to_owned(), |bound: Duration| bound.as_secs_f64().to_string());
        let _ = writeln!(out, "{name}_bucket{} {total}", label(&[("le", &le)]));
    }
    let _ = writeln!(out, "{name}_sum {}\n{name}_count {total}", histogram.sum().as_secs_f64());
}
