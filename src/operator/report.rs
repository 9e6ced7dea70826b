//! What a zone's worker tells, by object. Pure.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::index::Index;
use super::zones::object_name;
use crate::model::{FastMap, FastSet, Name, ObjectId, RrType};
use crate::plan::{Change, Plan};
use crate::zone::{Outcome, ZoneStatus};

/// One thing that keeps a set of an object from being as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Owner name.
    pub name: Name,
    /// Type; `None`: all that the object has in the zone.
    pub rtype: Option<RrType>,
    /// A stable word.
    pub reason: &'static str,
    /// What is wrong and the way out; the same as long as the trouble is.
    pub message: String,
    /// Whether it waits for a person; else it will pass by itself.
    pub stuck: bool,
}

/// What one zone tells of all objects.
#[derive(Debug, Clone)]
pub struct Report {
    /// The state of the source that its plan is of; 0: it has none yet.
    pub revision: u64,
    /// The serial of the view.
    pub serial: Option<u32>,
    /// What keeps the worker from its work: word, message, whether a person is needed.
    pub error: Option<(&'static str, String, bool)>,
    /// Since when, if so.
    pub failing_since: Option<SystemTime>,
    /// The server has been away for so long that nobody should rely on what is known.
    pub stale: bool,
    /// Objects whose sets are not as declared.
    pub troubles: FastMap<ObjectId, Vec<Trouble>>,
    /// Leaving objects that markers still name.
    pub lingering: Arc<FastSet<ObjectId>>,
}

/// How long a zone that was well may fail before its objects are told so.
const GRACE: Duration = Duration::from_secs(3);

/// Words for which only a person can help.
fn is_stuck(reason: &str) -> bool {
    matches!(
        reason,
        "OtherInstance"
            | "FenceLost"
            | "FenceUnreadable"
            | "FencePlaceTaken"
            | "LabelChanged"
            | "NotThatInstance"
            | "BadKey"
            | "BadSignature"
            | "UpdateRefused"
            | "TransferRefused"
            | "Refused"
            | "NotAuth"
            | "ZoneNotServed"
    )
}

impl Report {
    /// Of a zone that was not heard of yet.
    pub fn unheard() -> Report {
        Report {
            revision: 0,
            serial: None,
            error: None,
            failing_since: None,
            stale: false,
            troubles: FastMap::default(),
            lingering: Arc::default(),
        }
    }

    /// Whether a failure that was not told yet has lasted long enough to be told.
    pub fn is_due(&self) -> bool {
        let lasted = |since: SystemTime| since.elapsed().unwrap_or_default() >= GRACE;
        self.error.is_none() && self.failing_since.is_some_and(lasted)
    }

    /// Of a worker's status. `stale_after`: when a view that was not confirmed is too old to rely on.
    pub fn of(
        status: &ZoneStatus,
        index: &Index,
        before: Option<&Report>,
        now: SystemTime,
        stale_after: Duration,
    ) -> Report {
        let error = status.error.as_ref().map(|error| (error.reason, error.message.clone(), is_stuck(error.reason)));
        let since = error.as_ref().map(|_| before.and_then(|report| report.failing_since).unwrap_or(now));
        // A server that restarts is no news of every object: what was well stays so for a moment.
        let brief = since.is_some_and(|since| now.duration_since(since).unwrap_or_default() < GRACE.min(stale_after));
        let hushed = brief && before.is_some_and(|before| before.revision > 0 && before.error.is_none());
        let mut report = Report {
            revision: status.revision,
            serial: status.serial,
            stale: since.is_some_and(|since| now.duration_since(since).unwrap_or_default() >= stale_after),
            failing_since: since,
            error: error.filter(|_| !hushed),
            troubles: FastMap::default(),
            lingering: Arc::clone(&status.lingering),
        };
        if let Some(plan) = &status.plan {
            report.read_plan(plan, status, index);
        }
        report
    }

    /// Says how a person gives the zone to this cluster: the command line takes itself for the holder, and is none.
    pub fn for_cluster(mut self, instance: &str) -> Report {
        if let Some((_, words, _)) =
            self.error.as_mut().filter(|error| matches!(error.0, "OtherInstance" | "FenceLost" | "FenceUnreadable"))
        {
            // They end with the command.
            let end = words.rfind('`').unwrap_or(words.len());
            words.insert_str(end, &format!(" --to {instance}"));
        }
        self
    }

    fn read_plan(&mut self, plan: &Plan, status: &ZoneStatus, index: &Index) {
        for failed in &status.failed {
            let (reason, stuck) = match failed.outcome {
                Outcome::Refused => (failed.reason, true),
                Outcome::Conflict | Outcome::Lost | Outcome::Unconfirmed => (failed.reason, false),
                Outcome::Done | Outcome::Held | Outcome::Waiting => continue,
            };
            // What failed and is not planned any more is in the zone by now, or not wished.
            let open = plan.changes.iter().any(|change| change.name == failed.name && change.rtype == failed.rtype);
            if open {
                self.at(index, &failed.name, Some(failed.rtype), reason, &failed.message, stuck);
            }
        }
        for change in &plan.changes {
            self.read_change(change, plan, index);
        }
        for conflict in &plan.conflicts {
            if let Some(source) = &conflict.source {
                let trouble = Trouble {
                    name: conflict.name.clone(),
                    rtype: Some(conflict.rtype),
                    reason: conflict.reason,
                    message: conflict.message.clone(),
                    stuck: conflict.reason != "Paused",
                };
                self.troubles.entry(source.clone()).or_default().push(trouble);
            }
        }
        for name in &plan.unfinished {
            self.at(index, name, None, "Pending", "it waits for the change before it", false);
        }
        if let Some(refused) = &plan.refused {
            self.error = Some((refused.reason, refused.message.clone(), true));
        }
    }

    fn read_change(&mut self, change: &Change, plan: &Plan, index: &Index) {
        let action = change.action.word();
        if change.held {
            // Without the hash, which changes with every operation that joins: each would be another status for all.
            let message = format!(
                "the brake holds this {action}: more would go at once than the zone's limit allows; if it is meant, see kubectl get dnszone {} \
                 for the hash of all that is held, and set its spec.release to it",
                object_name(&plan.zone)
            );
            self.of_change(index, change, "BrakeHeld", &message, true);
        } else if plan.observe {
            let message =
                format!("the zone is only observed, and this {action} would be due; set mode: Repair to let it go");
            self.of_change(index, change, "Observe", &message, true);
        } else {
            self.of_change(index, change, "Pending", &format!("the {action} is on its way"), false);
        }
    }

    /// A change concerns whoever declares the set, and whoever it is done for: that may be somebody who goes.
    fn of_change(&mut self, index: &Index, change: &Change, reason: &'static str, message: &str, stuck: bool) {
        self.at(index, &change.name, Some(change.rtype), reason, message, stuck);
        let Some(source) = &change.source else { return };
        if !index.claimants(&change.name).contains(source) {
            let (name, rtype) = (change.name.clone(), Some(change.rtype));
            let trouble = Trouble { name, rtype, reason, message: message.to_owned(), stuck };
            self.troubles.entry(source.clone()).or_default().push(trouble);
        }
    }

    fn at(
        &mut self,
        index: &Index,
        name: &Name,
        rtype: Option<RrType>,
        reason: &'static str,
        message: &str,
        stuck: bool,
    ) {
        for object in index.claimants(name) {
            let declares = index.get(object).is_some_and(|entry| {
                entry
                    .claims
                    .iter()
                    .any(|(_, claim)| claim.name == *name && rtype.is_none_or(|rtype| rtype == claim.rtype))
            });
            if !declares {
                continue;
            }
            let list = self.troubles.entry(object.clone()).or_default();
            // The first thing that was said of a set says it best.
            if !list.iter().any(|known| known.name == *name && (known.rtype == rtype || rtype.is_none())) {
                list.push(Trouble { name: name.clone(), rtype, reason, message: message.to_owned(), stuck });
            }
        }
    }
}

/// Objects whose names somebody else has, by a plan.
pub fn stuck(plan: &Plan) -> FastSet<ObjectId> {
    let taken = plan.conflicts.iter().filter(|one| crate::plan::is_taken(one.reason));
    taken.filter_map(|one| one.source.clone()).collect()
}

/// Addresses that their object cannot have, by a plan: PTRs that point back at them would lie.
pub fn lost_addresses(plan: &Plan) -> FastSet<(ObjectId, Name)> {
    let of_address = plan.conflicts.iter().filter(|one| matches!(one.rtype, RrType::A | RrType::AAAA));
    of_address.filter_map(|one| Some((one.source.clone()?, one.name.clone()))).collect()
}
