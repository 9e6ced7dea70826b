//! Applying until the plan is empty, or what is left cannot be helped by this run.

use std::collections::{BTreeMap, HashMap};

use super::EngineError;
use super::engine::Engine;
use super::report::{ChangeOutcome, Outcome, Report};
use crate::model::{Name, RrType};
use crate::plan::{Change, Plan};

/// Passes of one call: a chain of steps (a DNAME replaced, a type that follows another) needs a few, a lost race one.
const PASSES: usize = 6;
/// How often a change that lost a race is planned and sent anew.
const RACES: u32 = 2;

/// What a converging run came to.
#[derive(Debug)]
pub struct Converged {
    /// One for each pass that sent something, or tried to.
    pub reports: Vec<Report>,
    /// The plan after the last pass; `None` when the zone could not be read again.
    pub last: Option<Plan>,
    /// What stopped the run, if anything did.
    pub stopped: Option<EngineError>,
}

impl Converged {
    /// The last outcome of every record set that any pass touched, in name order. A pass that did not try a set again says
    /// nothing about it.
    pub fn outcomes(&self) -> Vec<&ChangeOutcome> {
        let mut last: BTreeMap<(&Name, RrType), &ChangeOutcome> = BTreeMap::new();
        for outcome in self.reports.iter().flat_map(|report| &report.outcomes) {
            let seen = last.entry((&outcome.name, outcome.rtype)).or_insert(outcome);
            if outcome.outcome != Outcome::Waiting || seen.outcome == Outcome::Waiting {
                *seen = outcome;
            }
        }
        last.into_values().collect()
    }

    /// The serial of the last read-back.
    pub fn serial(&self) -> Option<u32> {
        self.reports.iter().rev().find_map(|report| report.serial)
    }
}

impl Engine {
    /// Applies `plan`, plans again from the read-back, and goes on while there is something that a further pass can do:
    /// steps that had to wait for others, and changes that lost a race.
    pub async fn converge(&mut self, plan: &Plan) -> Converged {
        let mut done = Converged { reports: Vec::new(), last: None, stopped: None };
        let mut tries: HashMap<(Name, RrType), u32> = HashMap::new();
        let mut again: Option<Plan> = None;
        for _ in 0..PASSES {
            let plan = again.as_ref().unwrap_or(plan);
            let skip =
                |change: &Change| tries.get(&(change.name.clone(), change.rtype)).is_some_and(|tries| *tries > RACES);
            let report = self.apply(plan, &skip).await;
            for outcome in &report.outcomes {
                let weight = match outcome.outcome {
                    Outcome::Conflict | Outcome::Lost => 1,
                    Outcome::Refused | Outcome::Unconfirmed => RACES + 1,
                    Outcome::Done | Outcome::Held | Outcome::Waiting => continue,
                };
                *tries.entry((outcome.name.clone(), outcome.rtype)).or_default() += weight;
            }
            done.stopped = report.stopped.clone();
            done.reports.push(report);
            let next = match self.plan() {
                Ok(next) => next,
                Err(error) => {
                    done.stopped.get_or_insert(error);
                    break;
                }
            };
            let open = |name: &Name, rtype| tries.get(&(name.clone(), rtype)).is_none_or(|tries| *tries <= RACES);
            let more = next.changes.iter().any(|change| !change.held && open(&change.name, change.rtype));
            done.last = Some(next.clone());
            if !more || done.stopped.is_some() {
                break;
            }
            again = Some(next);
        }
        done
    }
}
