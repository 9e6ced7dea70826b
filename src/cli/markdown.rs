//! A plan as a table for merge requests.

use super::pass::ZoneResult;
use super::plain::{cell, code};
use super::render::waits;
use super::words::{count, ttls, values};

/// One zone.
pub fn zone(result: &ZoneResult) -> String {
    let mut out = format!("### Zone `{}`\n\n", result.zone.to_relaxed());
    if let Some(error) = &result.error {
        out.push_str(&format!("**{}**: {}\n\n", error.reason(), cell(&error.to_string())));
    }
    let Some(plan) = &result.plan else { return out };
    for note in &plan.notes {
        out.push_str(&format!("Note: {}\n\n", cell(note)));
    }
    if let Some((number, why)) = &plan.waiting {
        let waits = waits(*number);
        out.push_str(&format!("**{waits}** until everything can be read: {}\n\n", cell(why)));
    }
    if plan.changes.is_empty() && plan.waiting.is_none() && plan.conflicts.is_empty() && plan.orphans.is_empty() {
        out.push_str("Nothing to do.\n\n");
        return out;
    }
    let rows = plan.changes.len() + plan.conflicts.len() + plan.orphans.len();
    if rows > 0 {
        out.push_str(
            "| Action | Name | Type | TTL | Old | New | Source |\n| --- | --- | --- | ---: | --- | --- | --- |\n",
        );
    }
    for change in &plan.changes {
        let side = |set: &Option<crate::model::RrSet>| {
            set.as_ref().map(|set| code(&values(change.rtype, set))).unwrap_or_default()
        };
        let ttl = ttls(change.old.as_ref(), change.new.as_ref(), "→");
        let held = if change.held { " (held)" } else { "" };
        let source = change.source.as_ref().map(|source| code(source.as_str())).unwrap_or_default();
        out.push_str(&format!(
            "| {}{held} | {} | {} | {ttl} | {} | {} | {source} |\n",
            change.action.word(),
            code(&change.name.to_string()),
            change.rtype,
            side(&change.old),
            side(&change.new)
        ));
    }
    for conflict in &plan.conflicts {
        let source = conflict.source.as_ref().map(|source| code(source.as_str())).unwrap_or_default();
        out.push_str(&format!(
            "| **conflict** {} | {} | {} | | {} | {} | {source} |\n",
            conflict.reason,
            code(&conflict.name.to_string()),
            conflict.rtype,
            cell(&conflict.owner),
            cell(&conflict.message)
        ));
    }
    for orphan in &plan.orphans {
        out.push_str(&format!(
            "| orphan | {} | {} | | | | {} |\n",
            code(&orphan.name.to_string()),
            orphan.rtype,
            code(orphan.resource.as_str())
        ));
    }
    if let Some(held) = &plan.held {
        out.push_str(&format!(
            "\nHeld by the brake: {} and {}; release with `--release {}`.\n",
            count(held.deletes, "delete"),
            count(held.replaces, "replace"),
            held.hash
        ));
    }
    let skipped: Vec<String> = plan.skipped.iter().map(|(class, number)| format!("{number} {class}")).collect();
    if !skipped.is_empty() {
        out.push_str(&format!("\nLeft alone: {}.\n", skipped.join(", ")));
    }
    out.push('\n');
    out
}
