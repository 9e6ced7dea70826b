//! Planning again only what changed: what the planner and the brake remember between passes.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::brake::{PastBrake, Window};
use crate::model::{Claim, Claims, ClaimsEdit, FastSet, Name, ObjectId, ObjectState, RrType};
use crate::ownership::ZoneRules;
use crate::plan::{BrakeState, Dirty, Plan, PlanOptions, Planner};
use crate::view::View;

/// Names from which on a thread is worth its while.
const MANY: usize = 10_000;

/// Tells whether a name outside the zone holds a DHCID; for PTRs whose target a DHCP server put there.
pub type DhcidNames = Arc<dyn Fn(&Name) -> bool + Send + Sync>;

/// The planner of one zone with what it has to be told next.
pub(super) struct Planning {
    planner: Planner,
    claims: Arc<Claims>,
    /// The claims of before, to be freed.
    retired: Option<Arc<Claims>>,
    prints: Prints,
    brake: BrakeState,
    window: Window,
    dirty: Dirty,
    /// The view is another one: everything is planned again.
    all: bool,
    /// Something changed since the last plan.
    moved: bool,
}

impl Planning {
    pub fn new(rules: ZoneRules, window: Duration) -> Planning {
        Planning {
            planner: Planner::new(rules),
            claims: Arc::default(),
            retired: None,
            prints: Prints::new(),
            brake: BrakeState::default(),
            window: Window::new(window),
            dirty: Dirty::default(),
            all: true,
            moved: true,
        }
    }

    /// Sets what is declared; gives whether that differs from before.
    pub fn claims(&mut self, claims: Arc<Claims>) {
        let old = std::mem::replace(&mut self.claims, claims);
        let new = &self.claims;
        let (mut changed, objects) = self.prints.take(new);
        if self.all {
            self.retire(old);
            return;
        }
        let objects = objects || old.health != new.health || old.prune != new.prune || old.released != new.released;
        self.dirty.objects |= objects;
        self.moved |= objects || !changed.is_empty();
        self.dirty.claims.append(&mut changed);
        self.retire(old);
    }

    /// Takes in what changed in the claims: its cost follows the edit. A planner that is fed whole worlds is not fed edits.
    pub fn edit(&mut self, edit: ClaimsEdit) {
        let mut edited = Arc::make_mut(&mut self.claims).edit(edit);
        if self.all {
            return;
        }
        self.dirty.objects |= edited.objects;
        self.moved |= edited.objects || !edited.names.is_empty();
        self.dirty.claims.append(&mut edited.names);
    }

    /// The state of the source that the claims are of.
    pub fn revision(&self) -> u64 {
        self.claims.revision
    }

    /// The objects that are being deleted or let go: whatever markers name them shall go.
    pub fn leaving(&self) -> FastSet<ObjectId> {
        let leaves = |state: &ObjectState| matches!(state, ObjectState::Deleting | ObjectState::Abandoned);
        self.claims.objects.iter().filter(|(_, state)| leaves(state)).map(|(object, _)| object.clone()).collect()
    }

    /// See [`super::Engine::remember_brake`].
    pub fn remember_brake(&mut self, past: &PastBrake) {
        self.window.remember(Instant::now(), past);
        self.brake.distrust = past.held;
    }

    /// See [`super::Engine::past_brake`].
    pub fn past_brake(&mut self) -> PastBrake {
        let now = Instant::now();
        let (operations, owned) = self.window.used(now);
        let age = self.window.began().map_or(Duration::ZERO, |began| now.duration_since(began));
        PastBrake { operations, owned: owned.unwrap_or(0), age, held: self.brake.holds() }
    }

    /// Frees a world of claims: that takes as long as planning, and slows down whoever allocates beside it, so it is done
    /// by nobody who waits, after the next plan.
    fn retire(&mut self, old: Arc<Claims>) {
        if old.sets.len() > MANY
            && let Some(older) = self.retired.replace(old)
        {
            std::thread::spawn(move || drop(older));
        }
    }

    /// These names changed in the view.
    pub fn names(&mut self, names: &[Name]) {
        if !self.all {
            self.dirty.zone.extend_from_slice(names);
        }
        self.moved = true;
    }

    /// A DHCID came to these names of other zones, or went.
    pub fn targets(&mut self, names: &[Name]) {
        if !self.all {
            self.dirty.targets.extend_from_slice(names);
        }
        self.moved |= !names.is_empty();
    }

    /// The view is another one.
    pub fn replaced(&mut self) {
        (self.all, self.moved) = (true, true);
        self.dirty = Dirty::default();
    }

    /// The plan as things stand.
    pub fn plan(
        &mut self,
        view: &View,
        release: &[String],
        one_tenant: bool,
        dhcid_names: &(dyn Fn(&Name) -> bool + Sync),
    ) -> Plan {
        let (recent, owned) = self.window.used(Instant::now());
        (self.brake.recent, self.brake.owned_at_start) = (recent, owned);
        let options = PlanOptions { brake: Some(&self.brake), release, one_tenant, dhcid_names };
        if std::mem::take(&mut self.all) {
            self.planner.full(&self.claims, view, &options);
        } else if self.moved {
            self.planner.replan(&self.claims, view, &self.dirty, &options);
        }
        self.dirty = Dirty::default();
        self.moved = false;
        let plan = self.planner.plan(&self.claims, view, &options);
        self.brake.absorb(&plan);
        if let Some(old) = self.retired.take() {
            std::thread::spawn(move || drop(old));
        }
        plan
    }

    /// Lets the brake judge a plan that was made elsewhere.
    pub fn brake(&mut self, plan: &mut Plan, owned: usize, release: &[String]) {
        let (recent, start) = self.window.used(Instant::now());
        (self.brake.recent, self.brake.owned_at_start) = (recent, start);
        plan.brake(&self.planner.rules().brake, &self.brake, owned, release);
        self.brake.absorb(plan);
    }

    /// Remembers for the brake which of a plan's changes were made.
    pub fn applied(&mut self, plan: &Plan, made: impl Iterator<Item = usize>) {
        let count = made.filter(|index| plan.verdict.counts(&plan.changes[*index])).count();
        if plan.verdict.released().is_some() {
            // A person has looked and agreed: from here it is counted anew.
            self.window.clear();
        }
        self.window.count(Instant::now(), count, plan.owned);
    }
}

/// What was declared before, in short: a hash for each name tells whether its claims changed, at a fraction of the cost of
/// walking two worlds of claims.
struct Prints {
    build: foldhash::fast::RandomState,
    /// In the order of the claims.
    names: Vec<(Name, u64)>,
    objects: u64,
}

impl Prints {
    fn new() -> Prints {
        Prints { build: foldhash::fast::RandomState::default(), names: Vec::new(), objects: 0 }
    }

    /// Takes in a new world; gives the names whose claims differ, and whether any object does.
    fn take(&mut self, claims: &Claims) -> (Vec<Name>, bool) {
        let (prints, objects) = self.of_all(claims);
        let mut changed = Vec::new();
        let mut before = std::mem::replace(&mut self.names, Vec::with_capacity(prints.len())).into_iter().peekable();
        for (name, print) in claims.sets.keys().zip(prints) {
            // Both are in one order; most names are those of before, and comparing for equality is cheaper than for order.
            while let Some((gone, _)) = before.next_if(|(old, _)| old != name && old < name) {
                changed.push(gone);
            }
            match before.next_if(|(old, _)| old == name) {
                Some((old, of_old)) => {
                    if of_old != print {
                        changed.push(old.clone());
                    }
                    self.names.push((old, print));
                }
                None => {
                    changed.push(name.clone());
                    self.names.push((name.clone(), print));
                }
            }
        }
        changed.extend(before.map(|(gone, _)| gone));
        (changed, std::mem::replace(&mut self.objects, objects) != objects)
    }

    /// A hash for each name in their order, and one for all objects.
    fn of_all(&self, claims: &Claims) -> (Vec<u64>, u64) {
        // A sum, since the map has no order.
        let objects = || claims.objects.iter().fold(0u64, |sum, one| sum.wrapping_add(self.build.hash_one(one)));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        if claims.sets.len() < MANY || cores == 1 {
            return (claims.sets.values().map(|types| self.of(types)).collect(), objects());
        }
        let all: Vec<_> = claims.sets.values().collect();
        std::thread::scope(|scope| {
            let parts: Vec<_> = all
                .chunks(all.len().div_ceil(cores))
                .map(|part| scope.spawn(|| part.iter().map(|types| self.of(types)).collect::<Vec<u64>>()))
                .collect();
            let objects = objects();
            let joined = parts.into_iter().map(|part| match part.join() {
                Ok(prints) => prints,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            (joined.flatten().collect(), objects)
        })
    }

    fn of(&self, types: &BTreeMap<RrType, Vec<Claim>>) -> u64 {
        let mut hasher = self.build.build_hasher();
        for (rtype, claims) in types {
            (rtype, claims.len()).hash(&mut hasher);
            for claim in claims {
                // Values to the letter: a change of case alone is a change of the wish.
                let Claim { name: _, rtype: _, set, object, created, adopt, deletion, share, reverse } = claim;
                (set.ttl, &set.values, object, created, adopt, deletion, share, reverse).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{AdoptPolicy, DeletionPolicy, ObjectId, RrSet};

    fn claims(hosts: &[(&str, u8)]) -> Claims {
        let mut claims = Claims::default();
        for (name, last) in hosts {
            claims.insert(Claim {
                name: Name::parse(name).unwrap(),
                rtype: RrType::A,
                set: RrSet::new(RrType::A, 300, [[10, 0, 0, *last].into()]),
                object: ObjectId::static_record("dns", name),
                created: None,
                adopt: AdoptPolicy::Never,
                deletion: DeletionPolicy::Delete,
                share: false,
                reverse: false,
            });
        }
        claims
    }

    #[test]
    fn only_what_differs_is_planned_again() {
        let old = claims(&[("a.x", 1), ("b.x", 2), ("c.x", 3)]);
        let new = claims(&[("b.x", 2), ("c.x", 4), ("d.x", 5)]);
        let mut prints = Prints::new();
        prints.take(&old);
        let (mut names, objects) = prints.take(&new);
        names.sort();
        let names: Vec<String> = names.iter().map(Name::to_relaxed).collect();
        assert_eq!((&names[..], objects), (&["a.x", "c.x", "d.x"].map(String::from)[..], false));
        assert_eq!(prints.take(&new.clone()), (Vec::new(), false));
    }

    #[test]
    fn every_field_of_a_claim_counts() {
        let old = claims(&[("a.x", 1)]);
        let edits: [fn(&mut Claim); 8] = [
            |claim| claim.set.ttl = 1,
            |claim| claim.set.values = vec![[10, 0, 0, 9].into()],
            |claim| claim.object = ObjectId::static_record("dns", "other"),
            |claim| claim.created = Some(1),
            |claim| claim.adopt = AdoptPolicy::Takeover,
            |claim| claim.deletion = DeletionPolicy::Retain,
            |claim| claim.share = true,
            |claim| claim.reverse = true,
        ];
        for (index, edit) in edits.iter().enumerate() {
            let mut new = old.clone();
            new.sets.values_mut().flat_map(|types| types.values_mut()).flatten().for_each(edit);
            let mut prints = Prints::new();
            prints.take(&old);
            assert_eq!(prints.take(&new).0.len(), 1, "edit {index}");
        }
    }

    #[test]
    fn objects_that_come_go_or_change_are_noticed() {
        use crate::model::ObjectState::{Present, Protected};
        let world = |objects: &[(&str, crate::model::ObjectState)]| {
            let mut claims = Claims::default();
            let list = objects.iter().map(|(name, state)| (ObjectId::static_record("dns", name), *state));
            claims.objects = Arc::new(list.collect());
            claims
        };
        let mut prints = Prints::new();
        for (objects, differs) in [
            (&[("a", Present), ("b", Present)][..], true),
            (&[("b", Present), ("a", Present)], false),
            (&[("a", Protected), ("b", Present)], true),
            (&[("a", Protected)], true),
            (&[], true),
        ] {
            assert_eq!(prints.take(&world(objects)).1, differs, "{objects:?}");
        }
    }
}
