//! What a resident run says of its zones: only what is new.

use super::super::printer::Printer;
use super::super::{render, words};
use crate::zone::{Outcome, ZoneStatus};

/// What was last said of a zone, so that only what is new is said.
#[derive(Default)]
pub(super) struct Said {
    error: Option<String>,
    conflicts: Vec<String>,
    held: Option<String>,
    failed: Vec<String>,
    orphans: usize,
    waiting: Option<(usize, String)>,
}

impl Said {
    pub fn tell(&mut self, status: &ZoneStatus, json: bool, printer: &mut Printer) {
        let say = |text: &str, printer: &mut Printer| if json { printer.note(text) } else { printer.line(text) };
        let zone = status.zone.to_relaxed();
        let error = status.error.as_ref().map(|error| format!("({}) {}", error.reason, error.message));
        if error != self.error {
            match &error {
                Some(error) => printer.error(&format!("zone {zone} {error}")),
                None => say(&format!("zone {zone}: well again, serial {}", status.serial.unwrap_or(0)), printer),
            }
            self.error = error;
        }
        let failed: Vec<String> = status
            .failed
            .iter()
            .filter(|one| !matches!(one.outcome, Outcome::Done | Outcome::Held))
            .map(|one| format!("zone {zone}: {} {} ({}): {}", one.name, one.rtype, one.reason, one.message))
            .collect();
        for line in failed.iter().filter(|line| !self.failed.contains(line)) {
            printer.warn(line);
        }
        self.failed = failed;
        // The first claims of a worker are the empty ones it starts with.
        let Some(plan) = status.plan.as_ref().filter(|_| status.claims_planned > 1) else { return };
        let conflicts: Vec<String> = plan
            .conflicts
            .iter()
            .map(|conflict| {
                let owner =
                    if conflict.owner.is_empty() { String::new() } else { format!(" held by {}", conflict.owner) };
                format!(
                    "zone {zone}: {} {} {}{owner}: {}",
                    conflict.name, conflict.rtype, conflict.reason, conflict.message
                )
            })
            .collect();
        for line in conflicts.iter().filter(|line| !self.conflicts.contains(line)) {
            printer.warn(line);
        }
        self.conflicts = conflicts;
        if plan.orphans.len() != self.orphans {
            self.orphans = plan.orphans.len();
            say(&format!("zone {zone}: {}", words::count(self.orphans, "orphan")), printer);
        }
        // That a second look is due is nothing to do about.
        let waiting = plan.waiting.clone().filter(|(_, why)| why != super::SECOND_LOOK);
        if waiting != self.waiting {
            if let Some((number, why)) = &waiting {
                let waits = render::waits(*number);
                printer.warn(&format!("zone {zone}: {waits} until everything can be read: {why}"));
            }
            self.waiting = waiting;
        }
        let held = plan.held.as_ref().map(|held| held.hash.clone());
        if held != self.held {
            if let Some(held) = &plan.held {
                printer.warn(&format!(
                    "zone {zone} (BrakeHeld): {}; if they are meant: set `release: {}` at the zone in the configuration",
                    words::held(held), held.hash
                ));
            }
            self.held = held;
        }
    }
}
