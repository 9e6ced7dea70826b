//! What a webhook tells of itself in numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::desk::Known;
use super::reverse::Ptrs;
use crate::dns::Rcode;
use crate::metrics::{Health, label};
use crate::model::Name;

/// After how long without a confirmation a zone's copy makes us unready.
const STALE: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `GET /`.
    Negotiate,
    /// `GET /records`.
    List,
    /// `POST /adjustendpoints`.
    Adjust,
    /// `POST /records`.
    Apply,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Operation::Negotiate => "negotiate",
            Operation::List => "list",
            Operation::Adjust => "adjust",
            Operation::Apply => "apply",
        }
    }
}

#[derive(Default)]
struct Counts {
    requests: BTreeMap<(Operation, u16), u64>,
    changes: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    refused_reloads: u64,
    rcodes: BTreeMap<(Name, u16), u64>,
}

/// All that is counted, and the zones.
#[derive(Default)]
pub struct Numbers {
    counts: Mutex<Counts>,
    zones: Mutex<BTreeMap<Name, watch::Receiver<Known>>>,
    ptrs: Mutex<BTreeMap<Name, Ptrs>>,
}

impl Numbers {
    /// Which zones there are.
    pub fn set_zones(&self, zones: BTreeMap<Name, watch::Receiver<Known>>) {
        *self.zones.lock().unwrap_or_else(PoisonError::into_inner) = zones;
    }

    /// The server of a zone answered UPDATEs so.
    pub fn answered(&self, zone: &Name, rcodes: &BTreeMap<u16, u64>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (rcode, number) in rcodes {
            *counts.rcodes.entry((zone.clone(), *rcode)).or_default() += number;
        }
    }

    /// A new version of the configuration was refused.
    pub fn reload_refused(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).refused_reloads += 1;
    }

    /// How the PTRs of reverse zones stand.
    pub fn set_ptrs(&self, ptrs: impl Iterator<Item = (Name, Ptrs)>) {
        *self.ptrs.lock().unwrap_or_else(PoisonError::into_inner) = ptrs.collect();
    }

    /// A request was answered so.
    pub fn asked(&self, operation: Operation, status: u16) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry((operation, status)).or_default() += 1;
    }

    /// Record sets came to this end: what was to be done, how it ended, a stable word.
    pub fn changed(&self, action: &'static str, result: &'static str, reason: &'static str, number: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.changes.entry((action, result, reason)).or_default() += number;
    }
}

impl Health for Numbers {
    fn text(&self) -> String {
        let mut out = String::new();
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        out.push_str("# HELP knotwork_webhook_requests_total Requests of ExternalDNS by operation and HTTP status.\n# TYPE knotwork_webhook_requests_total counter\n");
        for ((operation, status), number) in &counts.requests {
            let operation = operation.word();
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "knotwork_webhook_requests_total{{operation=\"{operation}\",status=\"{status}\"}} {number}"
            );
        }
        out.push_str("# HELP knotwork_webhook_changes_total Record sets by what was to be done, how it ended and why; suppressed are those that were so already.\n# TYPE knotwork_webhook_changes_total counter\n");
        for ((action, result, reason), number) in &counts.changes {
            let _ = writeln!(
                out,
                "knotwork_webhook_changes_total{{action=\"{action}\",result=\"{result}\",reason=\"{reason}\"}} {number}"
            );
        }
        out.push_str("# HELP knotwork_webhook_update_answers_total Answers of the servers to UPDATEs, by rcode.\n# TYPE knotwork_webhook_update_answers_total counter\n");
        for ((zone, rcode), number) in &counts.rcodes {
            let labels = label(&[("zone", &zone.to_relaxed()), ("rcode", &Rcode(*rcode).to_string())]);
            let _ = writeln!(out, "knotwork_webhook_update_answers_total{labels} {number}");
        }
        out.push_str("# HELP knotwork_webhook_config_refused_total Versions of the configuration that were refused.\n# TYPE knotwork_webhook_config_refused_total counter\n");
        let _ = writeln!(out, "knotwork_webhook_config_refused_total {}", counts.refused_reloads);
        drop(counts);
        out.push_str("# HELP knotwork_webhook_view_age_seconds Since the server confirmed the copy of a zone.\n# TYPE knotwork_webhook_view_age_seconds gauge\n");
        let zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        for (zone, known) in zones.iter() {
            if let Some(at) = known.borrow().seen_at {
                let age = at.elapsed().as_secs_f64();
                let _ = writeln!(
                    out,
                    "knotwork_webhook_view_age_seconds{} {age:.3}",
                    label(&[("zone", &zone.to_relaxed())])
                );
            }
        }
        drop(zones);
        out.push_str("# HELP knotwork_webhook_ptrs PTRs that endpoints asked for, by zone and state.\n# TYPE knotwork_webhook_ptrs gauge\n");
        for (zone, ptrs) in self.ptrs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (state, number) in [("owned", ptrs.owned), ("conflict", ptrs.conflicts), ("held", ptrs.held)] {
                let labels = label(&[("zone", &zone.to_relaxed()), ("state", state)]);
                let _ = writeln!(out, "knotwork_webhook_ptrs{labels} {number}");
            }
        }
        out
    }

    fn not_ready(&self) -> Vec<String> {
        let zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        if zones.is_empty() {
            return vec!["the zones".to_owned()];
        }
        let fresh = |known: &Known| known.shown.is_some() && known.seen_at.is_some_and(|at| at.elapsed() < STALE);
        zones.iter().filter(|(_, known)| !fresh(&known.borrow())).map(|(zone, _)| zone.to_relaxed()).collect()
    }
}
