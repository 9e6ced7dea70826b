//! How changes ended that are not as wished, as lines for people: what many share is said once.

use std::collections::{BTreeMap, BTreeSet};

use super::printer::{Printer, Tone};
use super::words::count;
use crate::model::RrType;
use crate::zone::{ChangeOutcome, EngineError, Outcome};

/// Changes that end alike beside which a line of their own says nothing new.
const ALIKE: usize = 3;

type Ending<'a> = (&'static str, &'static str, &'a str);

/// The endings of one zone's changes.
pub struct Endings<'a> {
    /// Those that several changes share, with their number and types.
    shared: BTreeMap<Ending<'a>, (usize, BTreeSet<RrType>)>,
    /// What is said for the zone anyway, beneath its changes.
    error: Option<String>,
}

impl<'a> Endings<'a> {
    /// Sorts the outcomes of a zone; `error` is what is said for the zone itself.
    pub fn of(outcomes: impl Iterator<Item = &'a ChangeOutcome>, error: Option<&EngineError>) -> Endings<'a> {
        let mut shared: BTreeMap<Ending<'a>, (usize, BTreeSet<RrType>)> = BTreeMap::new();
        for (outcome, ending) in outcomes.filter_map(|outcome| Some((outcome, ending(outcome)?))) {
            let (number, types) = shared.entry(ending).or_default();
            *number += 1;
            types.insert(outcome.rtype);
        }
        shared.retain(|_, (number, _)| *number >= ALIKE);
        Endings { shared, error: error.map(EngineError::to_string) }
    }

    /// One change's ending, unless it is said for several together.
    pub fn ended(&self, outcome: &ChangeOutcome, printer: &mut Printer) {
        let Some(ending) = ending(outcome) else { return };
        if !self.shared.contains_key(&ending) {
            self.line(&format!("{} {}", outcome.name, outcome.rtype), ending, printer);
        }
    }

    /// How a change ended whose ending is said for several together, for its own line; empty where it is said by itself.
    pub fn mark(&self, outcome: &ChangeOutcome) -> String {
        let shared = ending(outcome).filter(|ending| self.shared.contains_key(ending));
        shared.map_or_else(String::new, |(word, ..)| format!(" [{word}]"))
    }

    /// What several share.
    pub fn shared(&self, printer: &mut Printer) {
        for (ending, (number, types)) in &self.shared {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            let head = format!("{} of these ({}):", count(*number, "change"), types.join(", "));
            self.line(&head, *ending, printer);
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
