//! How changes ended that are not as wished, as lines for people: what many share is said once.

use std::collections::BTreeMap;

use super::printer::{Printer, Tone};
use super::words::count;
use crate::zone::{ChangeOutcome, EngineError, Outcome};

/// Changes that end alike beside which a line of their own says nothing new.
const ALIKE: usize = 3;

type Ending<'a> = (&'static str, &'static str, &'a str);

/// The endings of one zone's changes.
pub struct Endings<'a> {
    /// Those that several changes share, with their number.
    shared: BTreeMap<Ending<'a>, usize>,
    /// What is said for the zone anyway, beneath its changes.
    error: Option<String>,
}

impl<'a> Endings<'a> {
    /// Sorts the outcomes of a zone; `error` is what is said for the zone itself.
    pub fn of(outcomes: impl Iterator<Item = &'a ChangeOutcome>, error: Option<&EngineError>) -> Endings<'a> {
        let mut shared: BTreeMap<Ending<'a>, usize> = BTreeMap::new();
        for ending in outcomes.filter_map(ending) {
            *shared.entry(ending).or_default() += 1;
        }
        shared.retain(|_, number| *number >= ALIKE);
        Endings { shared, error: error.map(EngineError::to_string) }
    }

    /// One change's ending, unless it is said for several together.
    pub fn ended(&self, outcome: &ChangeOutcome, printer: &mut Printer) {
        let Some(ending) = ending(outcome) else { return };
        if !self.shared.contains_key(&ending) {
            self.line(&format!("{} {}", outcome.name, outcome.rtype), ending, printer);
        }
    }

    /// What several share.
    pub fn shared(&self, printer: &mut Printer) {
        for (ending, number) in &self.shared {
            self.line(&format!("{} of these:", count(*number, "change")), *ending, printer);
        }
    }

    fn line(&self, head: &str, (word, reason, message): Ending<'_>, printer: &mut Printer) {
        // The zone's own error is said in full beneath.
        let message = match &self.error {
            Some(error) if message == error => "",
            Some(error) => message.strip_suffix(&format!(": {error}")).unwrap_or(message),
            None => message,
        };
        let mark = printer.paint(Tone::Warn, "!");
        let colon = if message.is_empty() { "" } else { ": " };
        printer.line(&format!("  {mark} {head} {word} ({reason}){colon}{message}"));
    }
}

fn ending(outcome: &ChangeOutcome) -> Option<Ending<'_>> {
    let word = match outcome.outcome {
        Outcome::Done | Outcome::Held => return None,
        Outcome::Conflict => "lost a race",
        Outcome::Refused => "refused",
        Outcome::Lost => "unknown",
        Outcome::Waiting => "not sent",
        Outcome::Unconfirmed => "not confirmed",
    };
    Some((word, outcome.reason, &outcome.message))
}
