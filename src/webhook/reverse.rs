//! PTRs that endpoints ask for: a worker for each reverse zone, fed with what the forward zones say.
//!
//! Such a worker writes under an owner id of its own with a fence of its own, as the engine of `apply --watch` does under its.
//! A PTR goes when its address or its wish is gone from a complete view of its forward zone; never because a zone could not be
//! read, is served no longer, or another process asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::answer::for_fence_of;
use super::desk::{Known, Shown};
use super::numbers::Numbers;
use crate::external::ptr::{self, Forward};
use crate::knot::Server;
use crate::model::{Claims, FastMap, FastSet, Name, ObjectId, ObjectState, SourceHealth, is_reverse};
use crate::ownership::{ZoneRules, objects_in_markers};
use crate::spec::Zones;
use crate::zone::worker::{self, Gate, WorkerOptions};
use crate::zone::{DhcidBoard, Engine, EngineError, EngineOptions, Role, ZoneStatus};

/// A zone that can hold PTRs.
#[derive(Clone)]
pub struct Place {
    /// With the owner id under which PTRs are written.
    pub rules: ZoneRules,
    /// Where it is.
    pub server: Arc<Server>,
    /// How its worker keeps time.
    pub options: WorkerOptions,
    /// Hashes of held operations that a person releases.
    pub release: Vec<String>,
}

/// What PTRs follow from.
pub struct Source {
    /// `--txt-owner-id`.
    pub owner: String,
    /// All zones.
    pub zones: Zones,
    /// Their desks' knowledge, by apex.
    pub known: BTreeMap<Name, watch::Receiver<Known>>,
}

/// A worker at its place.
struct Seat {
    claims: watch::Sender<Arc<Claims>>,
    status: watch::Receiver<Arc<ZoneStatus>>,
    _task: AbortOnDropHandle<()>,
}

/// Follows the forward zones until it is stopped.
pub async fn run(
    source: Source,
    places: BTreeMap<Name, Place>,
    board: Arc<DhcidBoard>,
    numbers: Arc<Numbers>,
    stop: CancellationToken,
) {
    let mut seats: BTreeMap<Name, Seat> = BTreeMap::new();
    let mut before: Option<Vec<Option<Arc<Vec<Forward>>>>> = None;
    let owner = places.values().next().map(|place| place.rules.owner.clone()).unwrap_or_default();
    let mut said = Said { owner, ..Said::default() };
    // What was ever seen of markers and wishes: what is in the zones already may not be in the desks' views yet.
    let mut ever: FastSet<ObjectId> = FastSet::default();
    loop {
        let shown: BTreeMap<&Name, Option<Arc<Shown>>> =
            source.known.iter().map(|(zone, known)| (zone, known.borrow().shown.clone())).collect();
        let now: Vec<Option<Arc<Vec<Forward>>>> =
            shown.values().map(|shown| shown.as_ref().map(|shown| Arc::clone(&shown.forwards))).collect();
        if before.as_ref().is_none_or(|before| !same(before, &now)) {
            let wishes = Wishes::of(&source, &shown, &places, &mut ever);
            said.without(&wishes.without);
            for (zone, claims) in wishes.claims {
                if let Some(seat) = seats.get(&zone) {
                    seat.claims.send_replace(Arc::new(claims));
                } else if !claims.sets.is_empty() || !claims.objects.is_empty() {
                    let Some(place) = places.get(&zone).cloned() else { continue };
                    match sit(place, claims, &board, &stop) {
                        Ok(seat) => drop(seats.insert(zone, seat)),
                        Err(error) => tracing::warn!(zone = %zone, "no PTRs: {error}"),
                    }
                }
            }
            before = Some(now);
        }
        numbers.set_ptrs(seats.iter().map(|(zone, seat)| (zone.clone(), said.status(zone, &seat.status.borrow()))));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {}
        }
    }
}

fn same(one: &[Option<Arc<Vec<Forward>>>], other: &[Option<Arc<Vec<Forward>>>]) -> bool {
    let same = |(one, other): (&Option<Arc<_>>, &Option<Arc<_>>)| match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() == other.is_none(),
    };
    one.iter().zip(other).all(same)
}

/// What is wished of all reverse zones.
struct Wishes {
    claims: BTreeMap<Name, Claims>,
    without: Vec<(Name, IpAddr)>,
}

impl Wishes {
    fn of(
        source: &Source,
        shown: &BTreeMap<&Name, Option<Arc<Shown>>>,
        places: &BTreeMap<Name, Place>,
        ever: &mut FastSet<ObjectId>,
    ) -> Wishes {
        let forwards = shown.values().flatten().flat_map(|shown| shown.forwards.iter());
        let (wished, without) = ptr::claims(&source.owner, forwards, &source.zones);
        for (zone, place) in places {
            if let Some(Some(shown)) = shown.get(zone) {
                ever.extend(objects_in_markers(&place.rules, &shown.view));
            }
        }
        ever.extend(wished.values().flatten().map(|claim| claim.object.clone()));
        // An object is there, and declares what is among the claims, where its zone was read; of others nothing is known.
        let is_read = |object: &ObjectId| {
            let zone = ptr::forward_of(object).and_then(|name| source.zones.of(&name).map(|zone| zone.name.clone()));
            zone.is_some_and(|zone| shown.get(&zone).is_some_and(Option::is_some))
        };
        let objects: FastMap<ObjectId, ObjectState> =
            ever.iter().filter(|object| is_read(object)).map(|object| (object.clone(), ObjectState::Present)).collect();
        let objects = Arc::new(objects);
        let unread: Vec<String> = shown
            .iter()
            .filter(|(_, shown)| shown.is_none())
            .map(|(zone, _)| format!("zone {} was not read yet", zone.to_relaxed()))
            .collect();
        let health = if unread.is_empty() { SourceHealth::Complete } else { SourceHealth::Incomplete(unread) };
        let reverse = source.known.keys().filter(|zone| is_reverse(zone));
        let mut claims: BTreeMap<Name, Claims> = reverse
            .map(|zone| {
                let (objects, health) = (Arc::clone(&objects), health.clone());
                (zone.clone(), Claims { objects, health, ..Claims::default() })
            })
            .collect();
        for (zone, wished) in wished {
            if let Some(claims) = claims.get_mut(&zone) {
                wished.into_iter().for_each(|claim| claims.insert(claim));
            }
        }
        Wishes { claims, without }
    }
}

fn sit(place: Place, claims: Claims, board: &Arc<DhcidBoard>, stop: &CancellationToken) -> Result<Seat, EngineError> {
    let options =
        EngineOptions { role: Role::Resident, one_tenant: true, release: place.release, ..EngineOptions::default() };
    let mut engine = Engine::new(place.server, place.rules, options)?;
    engine.join(board);
    let (told, claims) = watch::channel(Arc::new(claims));
    let (tell, status) = watch::channel(Arc::new(ZoneStatus::new(&engine)));
    let task = tokio::spawn(worker::run(engine, claims, tell, stop.clone(), place.options));
    Ok(Seat { claims: told, status, _task: AbortOnDropHandle::new(task) })
}

/// How the PTRs of a zone stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ptrs {
    /// That are there.
    pub owned: usize,
    /// That cannot be made, since somebody else's stands there or another name has the address.
    pub conflicts: usize,
    /// That the brake holds.
    pub held: usize,
}

/// What was said and is still so.
#[derive(Default)]
struct Said {
    /// The owner id under which PTRs are written.
    owner: String,
    without: BTreeSet<(Name, IpAddr)>,
    zones: BTreeMap<Name, BTreeSet<String>>,
}

impl Said {
    fn without(&mut self, now: &[(Name, IpAddr)]) {
        let now: BTreeSet<(Name, IpAddr)> = now.iter().cloned().collect();
        for (name, address) in now.difference(&self.without) {
            tracing::warn!(name = %name, %address, reason = "ZoneNotFound", "no reverse zone is configured for it, so it gets no PTR");
        }
        self.without = now;
    }

    fn status(&mut self, zone: &Name, status: &ZoneStatus) -> Ptrs {
        let mut now = BTreeSet::new();
        if let Some(error) = &status.error {
            now.insert(format!("PTRs: {} ({})", for_fence_of(&self.owner, zone, &error.message), error.reason));
        }
        for failed in &status.failed {
            now.insert(format!("PTR {}: {} ({})", failed.name.to_relaxed(), failed.message, failed.reason));
        }
        let mut ptrs = Ptrs::default();
        if let Some(plan) = &status.plan {
            ptrs = Ptrs {
                owned: plan.owned,
                conflicts: plan.conflicts.len(),
                held: plan.held.as_ref().map_or(0, |held| held.deletes),
            };
            for conflict in &plan.conflicts {
                now.insert(format!("PTR {}: {}", conflict.name.to_relaxed(), conflict.message));
            }
            if let Some(held) = &plan.held {
                now.insert(format!(
                    "the brake holds {} PTRs: put release: {} to the zone in the configuration if they are meant to go",
                    held.deletes, held.hash
                ));
            }
        }
        let before = self.zones.entry(zone.clone()).or_default();
        now.difference(before).for_each(|words| tracing::warn!(zone = %zone, "{words}"));
        *before = now;
        ptrs
    }
}

/// How the workers of reverse zones keep time.
pub fn options(check_interval: std::time::Duration, gate: Option<Gate>) -> WorkerOptions {
    WorkerOptions { poll_idle: check_interval, gate, ..WorkerOptions::default() }
}
