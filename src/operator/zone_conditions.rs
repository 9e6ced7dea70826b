//! The conditions of a zone's object: is its server there, is it as declared, and if not, will that pass by itself. Pure.

use super::conditions::cut;
use super::report::Report;
use super::zones::ZoneObject;
use crate::plan::Plan;
use crate::spec::Condition;
use crate::zone::{Outcome, ZoneStatus};

/// Most octets of a message.
const WORDS: usize = 4096;

/// What is so, why, and in words.
type State = (&'static str, &'static str, String);

/// What becomes of what is not as it should be.
enum Way {
    /// It is as it should be.
    Well,
    /// It will pass by itself.
    Passes,
    /// A person is needed.
    Stuck,
}

/// The conditions. `Reconciling` while something will pass by itself, `Stalled` while a person is needed, neither where all is
/// well: kstatus and Argo CD's check judge by these.
pub fn conditions(
    status: &ZoneStatus,
    report: &Report,
    object: &ZoneObject,
    observe: bool,
    unread: Option<&str>,
    now: &str,
) -> Vec<Condition> {
    let (reachable, first) = reachable(report);
    let plan = status.plan.as_deref().filter(|_| report.revision > 0);
    let (in_sync, then) = match plan {
        _ if reachable.0 != "True" => {
            (("Unknown", reachable.1, "what the zone holds now is not known".to_owned()), Way::Passes)
        }
        None => (("Unknown", "Pending", "the zone was not planned yet".to_owned()), Way::Passes),
        Some(_) if let Some(kind) = unread => {
            let words = format!(
                "the API server does not list {kind}, so nobody knows what is declared; what is in the zone stays. Install the \
                 CRDs (kubectl apply -f crds/), or wait until they are read again"
            );
            (("Unknown", "Unread", words), Way::Passes)
        }
        Some(plan) => in_sync(plan, status, observe),
    };
    let (way, cause) = match first {
        Way::Well => (then, &in_sync),
        first => (first, &reachable),
    };
    let more = match way {
        Way::Well => None,
        Way::Passes => Some(("Reconciling", ("True", cause.1, cause.2.clone()))),
        Way::Stuck => Some(("Stalled", ("True", cause.1, cause.2.clone()))),
    };
    [("Reachable", reachable), ("InSync", in_sync)]
        .into_iter()
        .chain(more)
        .map(|(kind, (state, reason, message))| {
            let before = object.status.conditions.iter().find(|one| one.r#type == kind && one.status == state);
            Condition {
                r#type: kind.to_owned(),
                status: state.to_owned(),
                observed_generation: Some(object.generation),
                last_transition_time: before.map_or_else(|| now.to_owned(), |one| one.last_transition_time.clone()),
                reason: reason.to_owned(),
                message: cut(&message, WORDS),
            }
        })
        .collect()
}

fn reachable(report: &Report) -> (State, Way) {
    let error = report.error.as_ref().filter(|_| report.serial.is_none() || report.failing_since.is_some());
    match error {
        // A server that has been away for long will not come back by itself.
        Some((reason, words, stuck)) => {
            (("False", *reason, words.clone()), if *stuck || report.stale { Way::Stuck } else { Way::Passes })
        }
        None if report.serial.is_none() => {
            (("Unknown", "Pending", "the zone was not read yet".to_owned()), Way::Passes)
        }
        None => (("True", "Reachable", "the server answers, and the zone was read in full".to_owned()), Way::Well),
    }
}

fn in_sync(plan: &Plan, status: &ZoneStatus, observe: bool) -> (State, Way) {
    let no = |reason: &'static str, words: String| ("False", reason, words);
    if let Some(refused) = &plan.refused {
        return (no(refused.reason, refused.message.clone()), Way::Stuck);
    }
    let open = plan.changes.iter().filter(|change| !change.held);
    let due = open.clone().count() + plan.deferred;
    let refused = status.failed.iter().filter(|failed| failed.outcome == Outcome::Refused);
    // Counted by what is open still: what was refused and is not wished any more counts for nothing.
    let refused: Vec<_> = refused
        .filter(|failed| open.clone().any(|change| change.name == failed.name && change.rtype == failed.rtype))
        .collect();
    if let Some(held) = &plan.held {
        let words = format!(
            "{} operations are held; if they are meant, set spec.release to {}",
            held.deletes + held.replaces + held.takeovers,
            held.hash
        );
        (no("BrakeHeld", words), if due > 0 { Way::Passes } else { Way::Stuck })
    } else if observe && due > 0 {
        (no("Observe", "changes would be due; the zone is only observed".to_owned()), Way::Stuck)
    } else if let Some(first) = refused.first().filter(|_| refused.len() >= due) {
        let words = format!("the server refuses {}; see their objects. {}", changes(refused.len()), first.message);
        (no(first.reason, words), Way::Stuck)
    } else if due > 0 {
        (no("Pending", "changes are on their way".to_owned()), Way::Passes)
    } else if !plan.conflicts.is_empty() {
        (no("Conflicts", "some declarations cannot be fulfilled; see their objects".to_owned()), Way::Stuck)
    } else {
        (("True", "InSync", "the zone holds what is declared".to_owned()), Way::Well)
    }
}

fn changes(number: usize) -> String {
    match number {
        1 => "a change".to_owned(),
        more => format!("{more} changes"),
    }
}
