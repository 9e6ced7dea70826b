//! One pass over all zones: refresh, plan, and perhaps apply; one zone's trouble stops no other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::exit::Exit;
use super::site::{Seat, seats};
use crate::model::{Claim, Claims, Name, ObjectId, ObjectState, RrType, is_reverse, rdata};
use crate::ownership::{Fence, Standing};
use crate::plan::{Change, Plan};
use crate::source::{Config, Loaded};
use crate::view::View;
use crate::zone::worker::Passed;
use crate::zone::{ChangeOutcome, DhcidNames, Engine, EngineError, EngineOptions, Outcome, Traffic};

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
    /// What was asked of its server.
    pub traffic: Traffic,
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

    /// Outcomes of sets that the first plan did not speak of: later passes came to them.
    pub fn beyond(&self, plan: &Plan) -> Vec<&ChangeOutcome> {
        let planned: HashSet<(&Name, RrType)> =
            plan.changes.iter().map(|change| (&change.name, change.rtype)).collect();
        let mut all: Vec<&ChangeOutcome> =
            self.outcomes.values().filter(|one| !planned.contains(&(&one.name, one.rtype))).collect();
        all.sort_by(|a, b| (&a.name, a.rtype).cmp(&(&b.name, b.rtype)));
        all
    }
}

impl ZoneResult {
    /// Before anything was sent.
    fn planned(zone: Name, plan: Result<Plan, EngineError>) -> ZoneResult {
        let (plan, error) = match plan {
            Ok(plan) => (Some(plan), None),
            Err(error) => (None, Some(error)),
        };
        ZoneResult { zone, plan, applied: None, error, traffic: Traffic::default() }
    }

    /// A pass of a resident worker, in the shape of a run's.
    pub fn passed(passed: Passed) -> ZoneResult {
        let Passed { zone, mut plan, applied, error, .. } = passed;
        let applied = applied.map(|(report, after)| {
            if let Some(plan) = &mut plan {
                plan.left_after(&after);
            }
            let key = |one: &ChangeOutcome| (one.name.clone(), one.rtype);
            let outcomes = report.outcomes.iter().map(|one| (key(one), one.clone())).collect();
            Applied { outcomes, serial: Some(after.serial), updates: report.updates_sent }
        });
        ZoneResult { zone, plan, applied, error, traffic: Traffic::default() }
    }

    /// How this zone ends a plan (`apply` false) or an apply.
    pub fn exit(&self, apply: bool) -> Exit {
        let mut exit = self.error.as_ref().map_or(Exit::Done, error_exit);
        if let Some(plan) = &self.plan {
            if plan.refused.is_some() {
                exit = exit.and(Exit::Error);
            }
            if !plan.conflicts.is_empty() || plan.held.is_some() || plan.waiting.is_some() {
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

/// Zones whose error is what their server said of a zone before them, with that zone: a bad key need not be explained for
/// each of them.
pub fn repeats(results: &[ZoneResult]) -> HashMap<Name, Name> {
    let mut first: HashMap<(std::net::SocketAddr, &str, String), &Name> = HashMap::new();
    let mut repeats = HashMap::new();
    for result in results {
        let Some(EngineError::Server(error)) = &result.error else { continue };
        let place = error.place();
        let words = error.to_string().replace(&result.zone.to_relaxed(), "");
        match first.entry((place.server, error.reason(), words)) {
            std::collections::hash_map::Entry::Occupied(known) => {
                repeats.insert(result.zone.clone(), (*known.get()).clone());
            }
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(&result.zone);
            }
        }
    }
    repeats
}

/// How the error of a zone is said.
pub fn error_line(result: &ZoneResult, error: &EngineError, repeats: &HashMap<Name, Name>) -> String {
    let words = match repeats.get(&result.zone) {
        Some(first) => format!("the same as for the zone {}, of the same server", first.to_relaxed()),
        None => error.to_string(),
    };
    format!("zone {} ({}): {words}", result.zone.to_relaxed(), error.reason())
}

/// What keeps a whole zone from being read or written is an error, whoever is the cause; that it is only watched is as
/// somebody wished.
fn error_exit(error: &EngineError) -> Exit {
    match error {
        EngineError::Observe { .. } => Exit::Left,
        _ => Exit::Error,
    }
}

/// Refreshed engines with their claims, ready to plan.
pub struct Pass {
    seats: Vec<(Seat, Option<EngineError>)>,
    failed: Vec<(Name, EngineError)>,
    dhcid: Arc<HashSet<Name>>,
    /// The zones as the configuration lists them.
    order: Vec<Name>,
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
        let pass = Pass {
            seats,
            failed,
            dhcid: Arc::default(),
            order: config.zones().map(|zone| zone.rules.zone.clone()).collect(),
        };
        pass.share_dhcid()
    }

    /// PTRs whose target a DHCP server holds in another zone are that server's.
    fn share_dhcid(mut self) -> Pass {
        let names: Arc<HashSet<Name>> =
            Arc::new(self.seats.iter().filter_map(|(seat, _)| seat.engine.view()).flat_map(dhcid_names).collect());
        self.dhcid = Arc::clone(&names);
        // Who holds a name of a zone that could not be read nobody knows: it may be a DHCP server.
        let unread = self.seats.iter().filter(|(seat, error)| error.is_some() || seat.engine.view().is_none());
        let unread: Vec<Name> = unread.map(|(seat, _)| seat.engine.zone().clone()).collect();
        let unread: Arc<[Name]> = unread.into_iter().chain(self.failed.iter().map(|(zone, _)| zone.clone())).collect();
        for (seat, _) in &mut self.seats {
            let (names, unread) = (Arc::clone(&names), Arc::clone(&unread));
            let lookup: DhcidNames = Arc::new(move |name: &Name| {
                names.contains(name) || unread.iter().any(|zone| !zone.is_root() && name.is_at_or_below(zone))
            });
            seat.engine.set_dhcid_names(lookup);
        }
        self
    }

    /// Names of all zones that a DHCP server holds.
    pub fn dhcid(&self) -> Arc<HashSet<Name>> {
        Arc::clone(&self.dhcid)
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
        let mut losing = Losing::default();
        losing.unknown.extend(self.seats.iter().map(|(seat, _)| seat.engine.zone().clone()));
        // Forward zones first: a PTR whose name somebody else holds would point at a lie.
        let mut order: Vec<usize> = (0..self.seats.len()).collect();
        order.sort_by_key(|index| is_reverse(self.seats[*index].0.engine.zone()));
        for index in order {
            let (seat, error) = &mut self.seats[index];
            let zone = seat.engine.zone().clone();
            let mut own = claims.remove(&zone).unwrap_or_default();
            losing.withdraw(&mut own);
            seat.engine.set_claims(Arc::new(own));
            let plan = match error.take() {
                Some(error) => Err(error),
                None => seat.engine.plan(),
            };
            if let Ok(plan) = &plan {
                losing.learn(plan);
            }
            let fence = plan.as_ref().ok().filter(|plan| !plan.is_settled()).and_then(|_| fence_trouble(&seat.engine));
            let mut result = ZoneResult::planned(zone, plan);
            result.error = result.error.or(fence);
            result.traffic = seat.engine.traffic();
            results.push(result);
        }
        for (zone, error) in self.failed.drain(..) {
            results.push(ZoneResult::planned(zone, Err(error)));
        }
        let place: HashMap<&Name, usize> = self.order.iter().enumerate().map(|(at, zone)| (zone, at)).collect();
        results.sort_by_key(|result| place.get(&result.zone).copied());
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
    result.error = None;
    let done = engine.converge(plan).await;
    let outcomes = done.outcomes().into_iter().map(|one| ((one.name.clone(), one.rtype), one.clone())).collect();
    result.applied = Some(Applied {
        outcomes,
        serial: done.serial(),
        updates: done.reports.iter().map(|report| report.updates_sent).sum(),
    });
    if let Some(last) = done.last {
        plan.left_after(&last);
    }
    result.error = done.stopped;
    result.traffic = engine.traffic();
    result
}

/// Names that a DHCP server holds.
pub fn dhcid_names(view: &View) -> Vec<Name> {
    view.sets().filter(|(_, rtype, _)| *rtype == RrType::DHCID).map(|(name, _, _)| name).collect()
}

/// Why an apply would write nothing, if the view tells already.
fn fence_trouble(engine: &Engine) -> Option<EngineError> {
    let (rules, view) = (engine.rules(), engine.view()?);
    let (zone, fence) = (rules.zone.clone(), Fence::name(rules));
    match Fence::standing(rules, view) {
        Standing::Fence(held) if held.instance == rules.instance => None,
        Standing::Fence(held) => Some(EngineError::OtherInstance { zone, instance: held.instance, fence }),
        Standing::Foreign(values) => crate::zone::place_taken(&zone, &fence, values),
        Standing::Unreadable(_) => Some(EngineError::FenceUnreadable { zone, fence }),
        Standing::Absent => {
            crate::ownership::holds_our_markers(rules, view).then_some(EngineError::FenceLost { zone, fence })
        }
    }
}

/// Forward sets that their object cannot have, so that their PTRs would point at a lie.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Losing {
    names: HashSet<(ObjectId, Name)>,
    /// Zones of which nobody knows yet who holds what.
    pub unknown: HashSet<Name>,
}

impl Losing {
    /// What a zone's plan tells.
    pub fn learn(&mut self, plan: &Plan) {
        self.unknown.remove(&plan.zone);
        for conflict in plan.conflicts.iter().filter(|conflict| matches!(conflict.rtype, RrType::A | RrType::AAAA)) {
            self.names.extend(conflict.source.clone().map(|object| (object, conflict.name.clone())));
        }
    }

    fn loses(&self, claim: &Claim) -> bool {
        let mut targets = claim.set.values.iter().flat_map(|value| rdata::names_in(RrType::PTR, value));
        claim.reverse
            && targets.any(|target| {
                self.names.contains(&(claim.object.clone(), target.clone()))
                    || self.unknown.iter().any(|zone| !is_reverse(zone) && target.is_at_or_below(zone))
            })
    }

    /// Takes out the PTRs of such sets, and protects what their objects have published already.
    pub fn withdraw(&self, claims: &mut Claims) {
        let mut protected: Vec<ObjectId> = Vec::new();
        for types in claims.sets.values_mut() {
            for list in types.values_mut() {
                list.retain(|claim| {
                    let loses = self.loses(claim);
                    if loses {
                        protected.push(claim.object.clone());
                    }
                    !loses
                });
            }
            types.retain(|_, list| !list.is_empty());
        }
        if protected.is_empty() {
            return;
        }
        claims.sets.retain(|_, types| !types.is_empty());
        let mut objects = (*claims.objects).clone();
        objects.extend(protected.into_iter().map(|object| (object, ObjectState::Protected)));
        claims.objects = Arc::new(objects);
    }
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
