//! The numbers of one moment, and their text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cli::ZoneResult;
use crate::plan::Plan;
use crate::source::Loaded;
use crate::zone::{Outcome, ZoneStatus};

/// The numbers of one zone.
#[derive(Debug, Clone, Default)]
pub struct ZoneNumbers {
    /// The SOA serial of the view.
    pub serial: Option<u32>,
    /// When the server last confirmed the view, seconds since 1970.
    pub last_sync: Option<f64>,
    /// Whether the last pass came to its end.
    pub success: bool,
    /// What the last plan found; `None` while the zone could not be read, of which zeros would be a lie.
    pub found: Option<Found>,
    /// Sets by writer class.
    pub sets: BTreeMap<&'static str, usize>,
    /// Changes read back, by action.
    pub changes: BTreeMap<&'static str, u64>,
    /// Errors by reason.
    pub errors: BTreeMap<&'static str, u64>,
    /// UPDATE messages sent.
    pub updates: u64,
    /// Whole transfers.
    pub transfers: u64,
    /// SOA polls.
    pub polls: u64,
    /// From a change seen to the first UPDATE sent: bucket bounds with counts, sum, count.
    pub own_latency: Vec<(Option<Duration>, u64)>,
    /// Sum of the above.
    pub own_latency_sum: Duration,
    /// The wait for transfers, in the same way.
    pub transfer_wait: Vec<(Option<Duration>, u64)>,
    /// The sum of it.
    pub transfer_wait_sum: Duration,
}

/// What a plan found in its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Sets of ours.
    pub managed: usize,
    /// Claims that cannot be fulfilled.
    pub conflicts: usize,
    /// Ours without provenance.
    pub orphans: usize,
    /// Operations held by the brake.
    pub held: usize,
}

impl Found {
    fn of(plan: &Plan) -> Found {
        Found {
            managed: plan.owned,
            conflicts: plan.conflicts.len(),
            orphans: plan.orphans.len(),
            held: plan.changes.iter().filter(|change| change.held).count(),
        }
    }
}

/// The numbers of one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By zone, without final dot.
    pub zones: BTreeMap<String, ZoneNumbers>,
    /// Objects of the source that were refused.
    pub refused_objects: usize,
    /// Files and documents that could not be read.
    pub broken_documents: usize,
    /// When this was taken, seconds since 1970.
    pub taken: f64,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64()).unwrap_or(0.0)
}

impl Snapshot {
    /// Of a run that ends.
    pub fn of_run(loaded: &Loaded, results: &[ZoneResult]) -> Snapshot {
        let mut snapshot = Snapshot {
            refused_objects: loaded.refused_objects(),
            broken_documents: loaded.broken_documents,
            taken: now(),
            ..Snapshot::default()
        };
        for result in results {
            let mut numbers = ZoneNumbers {
                success: result.error.is_none(),
                polls: result.traffic.polls,
                transfers: result.traffic.transfers,
                ..ZoneNumbers::default()
            };
            if let Some(error) = &result.error {
                *numbers.errors.entry(error.reason()).or_default() += 1;
            }
            if let Some(plan) = &result.plan {
                numbers.serial = Some(plan.serial);
                numbers.last_sync = Some(snapshot.taken);
                numbers.sets = plan.skipped.clone();
                numbers.found = Some(Found::of(plan));
            }
            if let Some(applied) = &result.applied {
                numbers.serial = applied.serial.or(numbers.serial);
                numbers.updates = applied.updates;
                for outcome in applied.outcomes.values() {
                    match outcome.outcome {
                        Outcome::Done => *numbers.changes.entry(outcome.action.word()).or_default() += 1,
                        Outcome::Held => {}
                        _ => *numbers.errors.entry(outcome.reason).or_default() += 1,
                    }
                }
            }
            snapshot.zones.insert(result.zone.to_relaxed(), numbers);
        }
        snapshot
    }

    /// Of resident workers.
    pub fn of_status<'a>(statuses: impl Iterator<Item = &'a ZoneStatus>) -> Snapshot {
        let mut snapshot = Snapshot { taken: now(), ..Snapshot::default() };
        for status in statuses {
            let seconds =
                |at: SystemTime| at.duration_since(UNIX_EPOCH).map(|since| since.as_secs_f64()).unwrap_or(0.0);
            let counters = &status.counters;
            let mut numbers = ZoneNumbers {
                serial: status.serial,
                last_sync: status.last_view_at.map(seconds),
                success: status.error.is_none() && status.last_view_at.is_some(),
                changes: counters.changes.clone(),
                errors: counters.errors.clone(),
                updates: counters.updates,
                transfers: counters.full_transfers,
                polls: counters.polls,
                own_latency: counters.own_latency.buckets().collect(),
                own_latency_sum: counters.own_latency.sum(),
                transfer_wait: counters.transfer_wait.buckets().collect(),
                transfer_wait_sum: counters.transfer_wait.sum(),
                sets: status.sets.clone(),
                ..ZoneNumbers::default()
            };
            numbers.sets.remove("ours");
            // The first claims of a worker are the empty ones it starts with: that plan tells nothing.
            numbers.found = status.plan.as_deref().filter(|_| status.claims_planned > 1).map(Found::of);
            snapshot.zones.insert(status.zone.to_relaxed(), numbers);
        }
        snapshot
    }

    /// Whether the same has happened, polls and times aside.
    pub fn same_events(&self, other: &Snapshot) -> bool {
        let key = |snapshot: &Snapshot| {
            let mut zones = snapshot.zones.clone();
            for numbers in zones.values_mut() {
                (numbers.last_sync, numbers.polls) = (None, 0);
            }
            format!("{zones:?} {} {}", snapshot.refused_objects, snapshot.broken_documents)
        };
        key(self) == key(other)
    }

    /// Prometheus text format.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, String)>| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let zones = |value: &dyn Fn(&ZoneNumbers) -> Option<String>| -> Vec<(String, String)> {
            self.zones.iter().filter_map(|(zone, numbers)| Some((label(&[("zone", zone)]), value(numbers)?))).collect()
        };
        let words = |key: &str, map: &dyn Fn(&ZoneNumbers) -> Vec<(&'static str, u64)>| -> Vec<(String, String)> {
            let of = |(zone, numbers): (&String, &ZoneNumbers)| {
                let lines =
                    map(numbers).into_iter().map(|(word, n)| (label(&[("zone", zone), (key, word)]), n.to_string()));
                lines.collect::<Vec<_>>()
            };
            self.zones.iter().flat_map(of).collect()
        };
        let pairs = |map: &BTreeMap<&'static str, u64>| map.iter().map(|(word, n)| (*word, *n)).collect::<Vec<_>>();
        family(
            "knotwork_build_info",
            "gauge",
            "The running version.",
            vec![(label(&[("version", env!("CARGO_PKG_VERSION"))]), "1".into())],
        );
        family(
            "knotwork_last_pass_timestamp_seconds",
            "gauge",
            "When these numbers were taken.",
            vec![(String::new(), format!("{:.3}", self.taken))],
        );
        family(
            "knotwork_zone_last_sync_timestamp_seconds",
            "gauge",
            "When the server last confirmed the view of the zone.",
            zones(&|n| n.last_sync.map(|at| format!("{at:.3}"))),
        );
        family(
            "knotwork_zone_last_pass_success",
            "gauge",
            "Whether the last pass over the zone came to its end.",
            zones(&|n| Some(u8::from(n.success).to_string())),
        );
        family(
            "knotwork_zone_serial",
            "gauge",
            "SOA serial of the view.",
            zones(&|n| n.serial.map(|serial| serial.to_string())),
        );
        family(
            "knotwork_zone_managed_sets",
            "gauge",
            "Record sets that carry our marker.",
            zones(&|n| n.found.map(|found| found.managed.to_string())),
        );
        family(
            "knotwork_zone_foreign_sets",
            "gauge",
            "Record sets of others, by class of writer.",
            words("writer", &|n| n.sets.iter().map(|(word, n)| (*word, *n as u64)).collect()),
        );
        family(
            "knotwork_zone_conflicts",
            "gauge",
            "Claims that cannot be fulfilled.",
            zones(&|n| n.found.map(|found| found.conflicts.to_string())),
        );
        family(
            "knotwork_zone_orphans",
            "gauge",
            "Sets of ours that nothing declares and nobody asked to delete.",
            zones(&|n| n.found.map(|found| found.orphans.to_string())),
        );
        family(
            "knotwork_zone_held_operations",
            "gauge",
            "Operations that the brake holds until a person releases them.",
            zones(&|n| n.found.map(|found| found.held.to_string())),
        );
        family(
            "knotwork_zone_changes_total",
            "counter",
            "Changes read back from the server, by action.",
            words("action", &|n| pairs(&n.changes)),
        );
        family(
            "knotwork_zone_errors_total",
            "counter",
            "Errors by reason word.",
            words("reason", &|n| pairs(&n.errors)),
        );
        family(
            "knotwork_zone_updates_total",
            "counter",
            "UPDATE messages sent.",
            zones(&|n| Some(n.updates.to_string())),
        );
        family(
            "knotwork_zone_transfers_total",
            "counter",
            "Whole transfers of the zone.",
            zones(&|n| Some(n.transfers.to_string())),
        );
        family("knotwork_zone_polls_total", "counter", "Polls of the serial.", zones(&|n| Some(n.polls.to_string())));
        family(
            "knotwork_source_refused_objects",
            "gauge",
            "Objects that are invalid or may not declare what they do.",
            vec![(String::new(), self.refused_objects.to_string())],
        );
        family(
            "knotwork_source_broken_documents",
            "gauge",
            "Files and documents that could not be read.",
            vec![(String::new(), self.broken_documents.to_string())],
        );
        self.latency(&mut out);
        out
    }

    /// The histograms of the reaction time: our own share, and the server's.
    fn latency(&self, out: &mut String) {
        let help = "From a change seen to the first UPDATE sent, without the wait for the transfer.";
        self.histogram(out, "knotwork_zone_reaction_seconds", help, |numbers| {
            (&numbers.own_latency, numbers.own_latency_sum)
        });
        let help = "From the question for a change to its last octet.";
        self.histogram(out, "knotwork_zone_transfer_wait_seconds", help, |numbers| {
            (&numbers.transfer_wait, numbers.transfer_wait_sum)
        });
    }

    fn histogram<'a>(
        &'a self,
        out: &mut String,
        name: &str,
        help: &str,
        of: impl Fn(&'a ZoneNumbers) -> (&'a Vec<(Option<Duration>, u64)>, Duration),
    ) {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (zone, (buckets, sum)) in self.zones.iter().map(|(zone, numbers)| (zone, of(numbers))) {
            if buckets.is_empty() {
                continue;
            }
            let mut total = 0;
            for (bound, count) in buckets {
                total += count;
                let le = bound.map_or("+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
                let _ = writeln!(out, "{name}_bucket{} {total}", label(&[("zone", zone), ("le", &le)]));
            }
            let labels = label(&[("zone", zone)]);
            let _ = writeln!(out, "{name}_sum{labels} {}\n{name}_count{labels} {total}", sum.as_secs_f64());
        }
    }
}

/// Labels as they stand behind a name.
pub(crate) fn label(pairs: &[(&str, &str)]) -> String {
    let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let all: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", all.join(","))
}
