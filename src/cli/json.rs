//! The JSON output: `docs/schema/plan.schema.json`.

use serde_json::{Value, json};

use super::pass::ZoneResult;
use super::words::all_values;
use crate::model::{RrSet, RrType};
use crate::source::{Diagnostic, Loaded};
use crate::zone::{ChangeOutcome, EngineError, Outcome};

/// The whole run.
pub fn run(loaded: &Loaded, results: &[ZoneResult], applied: bool) -> Value {
    let refusals: Vec<Value> = loaded
        .refusals
        .iter()
        .map(|refusal| {
            let mut value = diagnostic(&refusal.diagnostic);
            value["object"] = json!(refusal.object.as_str());
            value["field"] = json!(refusal.field);
            value["reason"] = json!(refusal.reason);
            value
        })
        .collect();
    let broken: Vec<Value> = loaded.broken.iter().map(diagnostic).collect();
    json!({"zones": results.iter().map(zone).collect::<Vec<_>>(), "refusals": refusals, "broken": broken, "applied": applied})
}

fn diagnostic(found: &Diagnostic) -> Value {
    json!({"file": found.file, "line": found.line, "column": found.column, "message": found.message})
}

fn set_values(rtype: RrType, set: Option<&RrSet>) -> Vec<String> {
    set.map(|set| all_values(rtype, set)).unwrap_or_default()
}

/// The stable word of an outcome.
fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Conflict => "conflict",
        Outcome::Refused => "refused",
        Outcome::Held => "held",
        Outcome::Lost => "unknown",
        Outcome::Waiting => "waiting",
        Outcome::Unconfirmed => "unconfirmed",
    }
}

fn zone(result: &ZoneResult) -> Value {
    let name = result.zone.to_string();
    let error = result.error.as_ref().map(error_value);
    let Some(plan) = &result.plan else {
        return json!({"zone": name, "serial": null, "held": null, "waiting": null, "changes": [], "conflicts": [], "orphans": [], "skipped": {}, "notes": [], "error": error});
    };
    let changes: Vec<Value> = plan
        .changes
        .iter()
        .map(|change| {
            let ttl = change.new.as_ref().or(change.old.as_ref()).map(|set| set.ttl);
            let mut value = json!({
                "action": change.action.word(),
                "name": change.name.to_string(),
                "type": change.rtype.to_string(),
                "ttl": ttl,
                "oldTtl": change.old.as_ref().map(|set| set.ttl),
                "old": set_values(change.rtype, change.old.as_ref()),
                "new": set_values(change.rtype, change.new.as_ref()),
                "source": change.source.as_ref().map(|source| source.as_str()),
                "held": change.held,
            });
            if let Some(note) = &change.note {
                value["note"] = json!(note);
            }
            if let Some(outcome) = result.applied.as_ref().and_then(|applied| applied.of(change)) {
                add_outcome(&mut value, outcome);
            }
            value
        })
        .collect();
    let conflicts: Vec<Value> = plan
        .conflicts
        .iter()
        .map(|conflict| {
            json!({
                "name": conflict.name.to_string(),
                "type": conflict.rtype.to_string(),
                "reason": conflict.reason,
                "owner": conflict.owner,
                "source": conflict.source.as_ref().map(|source| source.as_str()),
                "message": conflict.message,
            })
        })
        .collect();
    let orphans: Vec<Value> = plan
        .orphans
        .iter()
        .map(|orphan| json!({"name": orphan.name.to_string(), "type": orphan.rtype.to_string(), "resource": orphan.resource.as_str()}))
        .collect();
    let held = plan.held.as_ref().map(|held| {
        json!({"hash": held.hash, "deletes": held.deletes, "replaces": held.replaces, "takeovers": held.takeovers, "owned": held.owned, "limit": held.limit, "recent": held.recent})
    });
    let waiting = plan.waiting.as_ref().map(|(deletes, why)| json!({"deletes": deletes, "why": why}));
    let serial = result.applied.as_ref().and_then(|applied| applied.serial).unwrap_or(plan.serial);
    let refused = plan.refused.as_ref().map(|refused| json!({"reason": refused.reason, "message": refused.message}));
    json!({
        "zone": name, "serial": serial, "held": held, "waiting": waiting, "changes": changes, "conflicts": conflicts,
        "orphans": orphans, "skipped": plan.skipped, "notes": plan.notes, "error": error.or(refused),
    })
}

fn add_outcome(value: &mut Value, outcome: &ChangeOutcome) {
    value["outcome"] = json!(outcome_word(outcome.outcome));
    if outcome.outcome != Outcome::Done {
        value["reason"] = json!(outcome.reason);
        value["message"] = json!(outcome.message);
    }
}

/// An error as reason and words.
pub fn error_value(error: &EngineError) -> Value {
    json!({"reason": error.reason(), "message": error.to_string()})
}
