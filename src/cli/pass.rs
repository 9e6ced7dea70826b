//! One pass over all zones: refresh, plan, and perhaps apply; one zone's trouble stops no other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::exit::Exit;
use super::site::{Seat, seats};
use crate::model::{Claims, Name, ObjectId, RrType};
use crate::plan::Plan;
use crate::source::{Config, Loaded};
use crate::view::View;
use crate::zone::{DhcidNames, Engine, EngineError, EngineOptions, Outcome, Report};

/// What a pass came to for one zone.
pub struct ZoneResult {
    /// The zone.
    pub zone: Name,
    /// Its plan; `None` when there was none to make.
    pub plan: Option<Plan>,
    /// What applying came to.
    pub report: Option<Report>,
    /// What stopped it.
    pub error: Option<EngineError>,
}

impl ZoneResult {
    /// How this zone ends a plan (`applied` false) or an apply.
    pub fn exit(&self, applied: bool) -> Exit {
        let mut exit = match &self.error {
            Some(error) => error_exit(error),
            None => Exit::Done,
        };
        if let Some(plan) = &self.plan {
            if !plan.conflicts.is_empty() || plan.held.is_some() || plan.refused.is_some() {
                exit = exit.and(Exit::Left);
            }
            if !applied && !plan.is_settled() {
                exit = exit.and(Exit::Pending);
            }
        }
        if let Some(report) = &self.report {
            if let Some(stopped) = &report.stopped {
                exit = exit.and(error_exit(stopped));
            }
            for outcome in &report.outcomes {
                exit = exit.and(match outcome.outcome {
                    Outcome::Done => Exit::Done,
                    Outcome::Conflict | Outcome::Refused | Outcome::Held => Exit::Left,
                    // Something stopped it; what it was has been counted, but it is not done.
                    Outcome::Waiting => Exit::Left,
                    Outcome::Lost | Outcome::Unconfirmed => Exit::Error,
                });
            }
        }
        exit
    }
}

/// Somebody else's hold on the zone is a refusal; a server that cannot be asked is an error.
fn error_exit(error: &EngineError) -> Exit {
    match error {
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
            let (plan, error) = match error.take() {
                Some(error) => (None, Some(error)),
                None => match seat.engine.plan() {
                    Ok(plan) => (Some(plan), None),
                    Err(error) => (None, Some(error)),
                },
            };
            if let Some(plan) = &plan {
                for conflict in plan.conflicts.iter().filter(|c| matches!(c.rtype, RrType::A | RrType::AAAA)) {
                    losing.extend(conflict.source.clone().map(|object| (object, conflict.name.clone())));
                }
            }
            results.push(ZoneResult { zone, plan, report: None, error });
        }
        for (zone, error) in self.failed.drain(..) {
            results.push(ZoneResult { zone, plan: None, report: None, error: Some(error) });
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
                    let error = EngineError::Internal(error.to_string());
                    done.push(ZoneResult { zone: Name::root(), plan: None, report: None, error: Some(error) });
                }
            }
        }
        done
    }
}

/// Most follow-up plans: a type that replaces another, names below a DNAME that went.
const FOLLOW_UPS: usize = 4;

async fn apply_zone(engine: Option<Engine>, mut result: ZoneResult) -> ZoneResult {
    let (Some(mut engine), Some(mut plan)) = (engine, result.plan.take()) else { return result };
    let mut total: Option<Report> = None;
    let mut first: Option<Plan> = None;
    for _ in 0..=FOLLOW_UPS {
        if plan.is_settled() {
            break;
        }
        let report = engine.apply(&plan, &|_| false).await;
        let again = report.all_done() && (plan.deferred > 0 || has_followers(&plan));
        let next = if again { Some(engine.plan()) } else { None };
        total = Some(match total {
            None => report,
            Some(total) => merge_reports(total, report),
        });
        first = Some(match first {
            None => plan,
            Some(first) => merge_plans(first, plan),
        });
        plan = match next {
            None => break,
            Some(Ok(next)) => next,
            Some(Err(error)) => {
                result.error = Some(error);
                break;
            }
        };
    }
    if first.is_none() {
        first = engine.plan().ok();
    }
    result.plan = first;
    result.report = total;
    result
}

/// Whether some change waits for another one's answer.
fn has_followers(plan: &Plan) -> bool {
    plan.changes.iter().any(|change| change.after.is_some())
}

fn merge_plans(mut first: Plan, next: Plan) -> Plan {
    first.changes.extend(next.changes);
    first.conflicts = next.conflicts;
    first.orphans = next.orphans;
    first.held = next.held;
    first
}

fn merge_reports(mut first: Report, next: Report) -> Report {
    first.outcomes.extend(next.outcomes);
    first.serial = next.serial.or(first.serial);
    first.updates_sent += next.updates_sent;
    first.bytes += next.bytes;
    first.stopped = next.stopped;
    first
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
