//! One pass over all zones: refresh, plan, and perhaps apply; one zone's trouble stops no other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::exit::Exit;
use super::site::{Seat, seats};
use crate::model::{Claims, Name, ObjectId, RrType};
use crate::plan::{Change, Plan};
use crate::source::{Config, Loaded};
use crate::view::View;
use crate::zone::{ChangeOutcome, DhcidNames, Engine, EngineError, EngineOptions, Outcome};

/// What a pass came to for one zone.
pub struct ZoneResult {
    /// The zone.
    pub zone: Name,
    /// Its plan as it was before anything was sent, with what is left after it; `None` when there was none to make.
    pub plan: Option<Plan>,
    /// What applying came to; `None` when nothing was applied.
    pub applied: Option<Applied>,
    /// What stopped it.
    pub error: Option<EngineError>,
}

/// What applying came to.
#[derive(Debug, Default)]
pub struct Applied {
    /// The last outcome of each set.
    pub outcomes: HashMap<(Name, RrType), ChangeOutcome>,
    /// The serial at which it was read back.
    pub serial: Option<u32>,
    /// UPDATE messages sent.
    pub updates: u64,
}

impl Applied {
    /// How one change of the plan ended.
    pub fn of(&self, change: &Change) -> Option<&ChangeOutcome> {
        self.outcomes.get(&(change.name.clone(), change.rtype))
    }
}

impl ZoneResult {
    /// Before anything was sent.
    fn planned(zone: Name, plan: Result<Plan, EngineError>) -> ZoneResult {
        let (plan, error) = match plan {
            Ok(plan) => (Some(plan), None),
            Err(error) => (None, Some(error)),
        };
        ZoneResult { zone, plan, applied: None, error }
    }

    /// How this zone ends a plan (`apply` false) or an apply.
    pub fn exit(&self, apply: bool) -> Exit {
        let mut exit = self.error.as_ref().map_or(Exit::Done, error_exit);
        if let Some(plan) = &self.plan {
            if !plan.conflicts.is_empty() || plan.held.is_some() || plan.refused.is_some() {
                exit = exit.and(Exit::Left);
            }
            if !apply && !plan.is_settled() {
                exit = exit.and(Exit::Pending);
            }
            if apply && plan.observe && !plan.is_settled() {
                exit = exit.and(Exit::Left);
            }
        }
        for outcome in self.applied.iter().flat_map(|applied| applied.outcomes.values()) {
            exit = exit.and(match outcome.outcome {
                Outcome::Done => Exit::Done,
                // What was not sent says so by the error that stopped the run.
                Outcome::Conflict | Outcome::Refused | Outcome::Held | Outcome::Waiting => Exit::Left,
                Outcome::Lost | Outcome::Unconfirmed => Exit::Error,
            });
        }
        exit
    }
}

/// Somebody else's hold on the zone is a refusal; a server that cannot be asked is an error.
fn error_exit(error: &EngineError) -> Exit {
    match error {
        EngineError::Server(error) if error.reason() == "UpdateRefused" => Exit::Left,
        EngineError::Server(_)
        | EngineError::NoView { .. }
        | EngineError::FailedOver { .. }
        | EngineError::Internal(_) => Exit::Error,
        _ => Exit::Left,
    }
}

/// Refreshed engines with their claims, ready to plan.
pub struct Pass {
    seats: Vec<(Seat, Option<EngineError>)>,
    failed: Vec<(Name, EngineError)>,
}

impl Pass {
    /// Makes the engines and reads all zones, all at once.
    pub async fn read(config: &Config, options: &EngineOptions) -> Pass {
        let mut tasks = Vec::new();
        let mut failed = Vec::new();
        for seat in seats(config, options) {
            match seat {
                Ok(mut seat) => tasks.push(tokio::spawn(async move {
                    let error = seat.engine.refresh().await.err();
                    (seat, error)
                })),
                Err(error) => failed.push(error),
            }
        }
        let mut seats = Vec::new();
        for task in tasks {
            match task.await {
                Ok(done) => seats.push(done),
                Err(error) => failed.push((Name::root(), EngineError::Internal(error.to_string()))),
            }
        }
        let pass = Pass { seats, failed };
        pass.share_dhcid()
    }

    /// PTRs whose target a DHCP server holds in another zone are that server's.
    fn share_dhcid(mut self) -> Pass {
        let names: Arc<HashSet<Name>> =
            Arc::new(self.seats.iter().filter_map(|(seat, _)| seat.engine.view()).flat_map(dhcid_names).collect());
        for (seat, _) in &mut self.seats {
            let names = Arc::clone(&names);
            let lookup: DhcidNames = Arc::new(move |name: &Name| names.contains(name));
            seat.engine.set_dhcid_names(lookup);
        }
        self
    }

    /// The engines that could be made, each with what its refresh met.
    pub fn engines(&self) -> impl Iterator<Item = (&Seat, Option<&EngineError>)> {
        self.seats.iter().map(|(seat, error)| (seat, error.as_ref()))
    }

    /// One zone's engine.
    pub fn take(self, zone: &Name) -> Option<(Seat, Option<EngineError>)> {
        self.seats.into_iter().find(|(seat, _)| seat.engine.zone() == zone)
    }

    /// Plans every zone; PTRs follow the forward sets that they point back to.
    pub fn plan(&mut self, claims: HashMap<Name, Claims>) -> Vec<ZoneResult> {
        let mut claims = claims;
        let mut results = Vec::new();
        let mut losing: HashSet<(ObjectId, Name)> = HashSet::new();
        // Forward zones first: a PTR whose name somebody else holds would point at a lie.
        let mut order: Vec<usize> = (0..self.seats.len()).collect();
        order.sort_by_key(|index| is_reverse(self.seats[*index].0.engine.zone()));
        for index in order {
            let (seat, error) = &mut self.seats[index];
            let zone = seat.engine.zone().clone();
            let mut own = claims.remove(&zone).unwrap_or_default();
            withdraw(&mut own, &losing);
            seat.engine.set_claims(Arc::new(own));
            let plan = match error.take() {
                Some(error) => Err(error),
                None => seat.engine.plan(),
            };
            if let Ok(plan) = &plan {
                for conflict in plan.conflicts.iter().filter(|c| matches!(c.rtype, RrType::A | RrType::AAAA)) {
                    losing.extend(conflict.source.clone().map(|object| (object, conflict.name.clone())));
                }
            }
            results.push(ZoneResult::planned(zone, plan));
        }
        for (zone, error) in self.failed.drain(..) {
            results.push(ZoneResult::planned(zone, Err(error)));
        }
        results.sort_by(|a, b| a.zone.cmp(&b.zone));
        results
    }

    /// Applies the plans, all zones at once, until each is settled or stuck.
    pub async fn apply(self, results: Vec<ZoneResult>) -> Vec<ZoneResult> {
        let mut engines: HashMap<Name, Engine> =
            self.seats.into_iter().map(|(seat, _)| (seat.engine.zone().clone(), seat.engine)).collect();
        let mut tasks = Vec::new();
        for result in results {
            let engine = engines.remove(&result.zone);
            tasks.push(tokio::spawn(apply_zone(engine, result)));
        }
        let mut done = Vec::new();
        for task in tasks {
            match task.await {
                Ok(result) => done.push(result),
                Err(error) => {
                    done.push(ZoneResult::planned(Name::root(), Err(EngineError::Internal(error.to_string()))))
                }
            }
        }
        done
    }
}

async fn apply_zone(engine: Option<Engine>, mut result: ZoneResult) -> ZoneResult {
    let (Some(mut engine), Some(plan)) = (engine, &mut result.plan) else { return result };
    if plan.is_settled() || plan.observe {
        return result;
    }
    let done = engine.converge(plan).await;
    let outcomes = done.outcomes().into_iter().map(|one| ((one.name.clone(), one.rtype), one.clone())).collect();
    result.applied = Some(Applied {
        outcomes,
        serial: done.serial(),
        updates: done.reports.iter().map(|report| report.updates_sent).sum(),
    });
    if let Some(last) = done.last {
        plan.conflicts = last.conflicts;
        plan.orphans = last.orphans;
        plan.held = last.held;
        plan.waiting = last.waiting;
        plan.owned = last.owned;
        plan.skipped = last.skipped;
    }
    result.error = done.stopped;
    result
}

fn dhcid_names(view: &View) -> Vec<Name> {
    view.sets().filter(|(_, rtype, _)| *rtype == RrType::DHCID).map(|(name, _, _)| name).collect()
}

/// Whether a zone holds PTRs.
pub fn is_reverse(zone: &Name) -> bool {
    zone.labels().last() == Some(b"arpa")
}

/// Takes out the PTRs of forward sets that their object cannot have, and protects what it has published already.
fn withdraw(claims: &mut Claims, losing: &HashSet<(ObjectId, Name)>) {
    if losing.is_empty() {
        return;
    }
    let lost = |claim: &crate::model::Claim| {
        claim.reverse
            && claim
                .set
                .values
                .iter()
                .flat_map(|value| crate::model::rdata::names_in(RrType::PTR, value))
                .any(|target| losing.contains(&(claim.object.clone(), target)))
    };
    let mut protected: Vec<ObjectId> = Vec::new();
    for types in claims.sets.values_mut() {
        for list in types.values_mut() {
            list.retain(|claim| {
                let gone = lost(claim);
                if gone {
                    protected.push(claim.object.clone());
                }
                !gone
            });
        }
        types.retain(|_, list| !list.is_empty());
    }
    claims.sets.retain(|_, types| !types.is_empty());
    let mut objects = (*claims.objects).clone();
    for object in protected {
        objects.insert(object, crate::model::ObjectState::Protected);
    }
    claims.objects = Arc::new(objects);
}

/// How a source ends a run by itself.
pub fn source_exit(loaded: &Loaded, allow_empty: bool) -> Exit {
    let mut exit = if loaded.is_complete() { Exit::Done } else { Exit::Error };
    if !loaded.empty.is_empty() && !allow_empty {
        exit = exit.and(Exit::Error);
    }
    if !loaded.refusals.is_empty() {
        exit = exit.and(Exit::Left);
    }
    exit
}
