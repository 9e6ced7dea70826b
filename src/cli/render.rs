//! Plans and what became of them, as lines for people.

use std::collections::HashMap;

use super::endings::Endings;
use super::pass::{Applied, ZoneResult, error_line};
use super::printer::{Printer, Tone};
use super::words::{count, ttls, values};
use crate::model::Name;
use crate::plan::{Action, Change, Plan};
use crate::source::Loaded;
use crate::zone::{ChangeOutcome, Outcome};

/// How a run is called again to release something.
pub struct Again<'a> {
    /// `knotwork apply -f records --prune`.
    pub command: &'a str,
    /// Whether changes were sent.
    pub applied: bool,
    /// Zones of which the same is said as of another, [`super::pass::repeats`].
    pub repeats: &'a HashMap<Name, Name>,
}

/// How loud something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something could not be read.
    Error,
    /// An object is refused.
    Warning,
    /// Not wrong, but worth saying.
    Note,
}

/// What there is to say of a source.
pub fn remarks(loaded: &Loaded, allow_empty: bool) -> Vec<(Level, String)> {
    let mut remarks: Vec<(Level, String)> =
        loaded.broken.iter().map(|broken| (Level::Error, broken.to_string())).collect();
    remarks.extend(loaded.refusals.iter().map(|refusal| {
        let words = format!("{} is refused ({}): {}", refusal.object, refusal.reason, refusal.diagnostic);
        (Level::Warning, words)
    }));
    if !allow_empty {
        // What could not be read may be what is missing, and that was said.
        let broken = |input: &String| loaded.broken.iter().any(|broken| broken.file.starts_with(input.as_str()));
        remarks.extend(loaded.empty.iter().filter(|input| !broken(input)).map(|input| {
            (Level::Error, format!("{input} declares no record at all; if that is meant, say --allow-empty"))
        }));
    }
    remarks.extend(loaded.notes.iter().map(|note| (Level::Note, format!("note: {note}"))));
    remarks
}

/// Says one of them.
pub fn remark((level, words): &(Level, String), printer: &mut Printer) {
    match level {
        Level::Error => printer.error(words),
        Level::Warning => printer.warn(words),
        Level::Note => printer.note(words),
    }
}

/// Says what is wrong with a source.
pub fn source(loaded: &Loaded, allow_empty: bool, printer: &mut Printer) {
    remarks(loaded, allow_empty).iter().for_each(|one| remark(one, printer));
}

/// Orphans that are listed for people. Whoever keeps files in several places has each of them say the others' records.
const ORPHANS: usize = 20;

/// One zone.
pub fn zone(result: &ZoneResult, again: &Again<'_>, printer: &mut Printer) {
    let zone = result.zone.to_relaxed();
    if let Some(plan) = &result.plan {
        let outcomes = result.applied.as_ref();
        let quiet =
            plan.changes.is_empty() && plan.conflicts.is_empty() && plan.orphans.is_empty() && plan.notes.is_empty();
        if !quiet {
            printer.line(&printer.paint(Tone::Bold, &format!("zone {zone} (serial {})", plan.serial)));
        }
        let beyond = outcomes.map(|applied| applied.beyond(plan)).unwrap_or_default();
        let told = plan.changes.iter().filter_map(|change| outcomes?.of(change)).chain(beyond.iter().copied());
        let endings = Endings::of(told, result.error.as_ref());
        for change in &plan.changes {
            self::change(change, outcomes.and_then(|all| all.of(change)), &endings, printer);
        }
        for outcome in beyond {
            further(outcome, &endings, printer);
        }
        endings.shared(printer);
        for conflict in &plan.conflicts {
            let source = conflict.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
            let owner = if conflict.owner.is_empty() { String::new() } else { format!(" held by {}:", conflict.owner) };
            let mark = printer.paint(Tone::Warn, "!");
            printer.line(&format!(
                "  {mark} {} {} {}{owner} {}{source}",
                conflict.name, conflict.rtype, conflict.reason, conflict.message
            ));
        }
        for orphan in plan.orphans.iter().take(ORPHANS) {
            let mark = printer.paint(Tone::Change, "?");
            printer.line(&format!(
                "  {mark} {} {} orphan: its object {} is not declared any more ({})",
                orphan.name,
                orphan.rtype,
                orphan.resource,
                if orphan.retain { "--prune removes its marker and keeps the record" } else { "--prune deletes it" }
            ));
        }
        if let Some(more @ 1..) = plan.orphans.len().checked_sub(ORPHANS) {
            printer.line(&format!("    and {}; -o json lists all", count(more, "more orphan")));
        }
        for note in &plan.notes {
            printer.line(&format!("  note: {note}"));
        }
        if let Some(refused) = &plan.refused {
            printer.error(&format!("zone {zone} ({}): {}", refused.reason, refused.message));
        }
        if let Some((number, why)) = &plan.waiting {
            printer.warn(&format!("zone {zone}: {} until everything can be read: {why}", waits(*number)));
        }
        summary(&zone, plan, outcomes, again.applied, printer);
        held(&zone, plan, again, printer);
    }
    if let Some(error) = &result.error {
        printer.error(&error_line(result, error, again.repeats));
    }
}

/// `1 operation waits`: deletes, and changes by an object that may be cut short.
pub fn waits(number: usize) -> String {
    if number == 1 { "1 operation waits".to_owned() } else { format!("{number} operations wait") }
}

/// The sign of a change.
pub fn sign(action: Action) -> (&'static str, Tone) {
    match action {
        Action::Create => ("+", Tone::Add),
        Action::Replace => ("~", Tone::Change),
        Action::Ttl => ("t", Tone::Change),
        Action::Delete => ("-", Tone::Remove),
        Action::Adopt => ("=", Tone::Add),
        Action::Remark => ("m", Tone::Dim),
        Action::Release => ("r", Tone::Dim),
    }
}

fn change(change: &Change, outcome: Option<&ChangeOutcome>, endings: &Endings<'_>, printer: &mut Printer) {
    let (mark, tone) = sign(change.action);
    let old = change.old.as_ref().map(|set| values(change.rtype, set));
    let new = change.new.as_ref().map(|set| values(change.rtype, set));
    let ttl = ttls(change.old.as_ref(), change.new.as_ref(), "->");
    let (name, rtype) = (&change.name, change.rtype);
    let body = match change.action {
        Action::Create => format!("{name} {ttl} {rtype} {}", new.unwrap_or_default()),
        Action::Adopt if old.is_none() || old == new => format!("{name} {ttl} {rtype} {}", new.unwrap_or_default()),
        Action::Replace | Action::Adopt => {
            format!("{name} {ttl} {rtype} {} -> {}", old.unwrap_or_default(), new.unwrap_or_default())
        }
        Action::Ttl => format!("{name} {rtype} ttl {ttl}"),
        Action::Delete => format!("{name} {ttl} {rtype} {}", old.unwrap_or_default()),
        Action::Remark => format!("{name} {rtype} marker rewritten"),
        Action::Release => format!("{name} {rtype} marker removed, the record stays as it is"),
    };
    let source = change.source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
    let note = change.note.as_ref().map(|note| format!(" [{note}]")).unwrap_or_default();
    let state = match outcome {
        _ if change.held => " [held]".to_owned(),
        Some(outcome) => endings.mark(outcome),
        None => String::new(),
    };
    let line = format!("  {} {body}{}{note}{state}", printer.paint(tone, mark), printer.paint(Tone::Dim, &source));
    printer.line(&line);
    if let Some(outcome) = outcome {
        endings.ended(outcome, printer);
    }
}

/// A change that only a later pass of the same run came to.
fn further(outcome: &ChangeOutcome, endings: &Endings<'_>, printer: &mut Printer) {
    if outcome.outcome != Outcome::Done {
        return endings.ended(outcome, printer);
    }
    let (mark, tone) = sign(outcome.action);
    let source = outcome.object.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
    let (name, rtype, word) = (&outcome.name, outcome.rtype, outcome.action.word());
    printer.line(&format!("  {} {name} {rtype} {word}{source} [in a further pass]", printer.paint(tone, mark)));
}

fn summary(zone: &str, plan: &Plan, outcomes: Option<&Applied>, applied: bool, printer: &mut Printer) {
    let done = |change: &&Change| {
        let ended = || outcomes.and_then(|all| all.of(change)).is_some_and(|one| one.outcome == Outcome::Done);
        !change.held && (!applied || ended())
    };
    let mut parts = Vec::new();
    for (action, will, did) in [
        (Action::Create, "to create", "created"),
        (Action::Replace, "to replace", "replaced"),
        (Action::Ttl, "TTL to change", "TTL changed"),
        (Action::Delete, "to delete", "deleted"),
        (Action::Adopt, "to adopt", "adopted"),
        (Action::Remark, "to mark anew", "marked anew"),
        (Action::Release, "to release", "released"),
    ] {
        let number = plan.changes.iter().filter(|c| c.action == action).filter(done).count();
        if number > 0 {
            parts.push(format!("{number} {}", if applied { did } else { will }));
        }
    }
    let undone = plan.changes.len() - plan.changes.iter().filter(done).count();
    let held = plan.changes.iter().filter(|change| change.held).count();
    if held > 0 {
        parts.push(format!("{held} held"));
    }
    if applied && undone > held {
        parts.push(format!("{} not done", undone - held));
    }
    if !plan.conflicts.is_empty() {
        parts.push(count(plan.conflicts.len(), "conflict"));
    }
    if !plan.orphans.is_empty() {
        parts.push(count(plan.orphans.len(), "orphan"));
    }
    if parts.is_empty() {
        parts.push("nothing to do".to_owned());
    }
    if plan.observe {
        parts.push("only observed (mode: Observe)".to_owned());
    }
    let left: Vec<String> =
        plan.skipped.iter().filter(|(_, n)| **n > 0).map(|(class, n)| format!("{n} {class}")).collect();
    let left = if left.is_empty() { String::new() } else { format!("; left alone: {}", left.join(", ")) };
    printer.line(&format!("{zone}: {}; {} ours{left}", parts.join(", "), plan.owned));
}

fn held(zone: &str, plan: &Plan, again: &Again<'_>, printer: &mut Printer) {
    let Some(held) = &plan.held else { return };
    printer.warn(&format!(
        "zone {zone} (BrakeHeld): {}; if they are meant: {} --release {}",
        super::words::held(held),
        again.command,
        held.hash
    ));
}
