//! Planning again only what changed: what the planner and the brake remember between passes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::brake::Window;
use crate::model::{Claim, Claims, Name, RrType};
use crate::ownership::ZoneRules;
use crate::plan::{BrakeState, Dirty, Plan, PlanOptions, Planner};
use crate::view::View;

/// Tells whether a name outside the zone holds a DHCID; for PTRs whose target a DHCP server put there.
pub type DhcidNames = Arc<dyn Fn(&Name) -> bool + Send + Sync>;

/// The planner of one zone with what it has to be told next.
pub(super) struct Planning {
    planner: Planner,
    claims: Arc<Claims>,
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
        if self.all {
            return;
        }
        let new = &self.claims;
        let before = self.dirty.claims.len();
        changed_names(&old.sets, &new.sets, &mut self.dirty.claims);
        let same_objects = Arc::ptr_eq(&old.objects, &new.objects) || old.objects == new.objects;
        let objects = !(same_objects && old.health == new.health && old.prune == new.prune);
        self.dirty.objects |= objects;
        self.moved |= objects || self.dirty.claims.len() != before;
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
        release: Option<&str>,
        one_tenant: bool,
        dhcid_names: &dyn Fn(&Name) -> bool,
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
        plan
    }

    /// Remembers for the brake which of a plan's changes were made.
    pub fn applied(&mut self, plan: &Plan, made: impl Iterator<Item = usize>) {
        let count = made.filter(|index| plan.verdict.counts(&plan.changes[*index])).count();
        self.window.count(Instant::now(), count, plan.owned);
    }
}

type Sets = BTreeMap<Name, BTreeMap<RrType, Vec<Claim>>>;

/// Names whose claims differ: one walk over both, in step.
fn changed_names(old: &Sets, new: &Sets, into: &mut Vec<Name>) {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let come = if order.is_ge() { new.next() } else { None };
        match (gone, come) {
            (Some((_, a)), Some((_, b))) if same_sets(a, b) => {}
            (Some((name, _)), _) | (None, Some((name, _))) => into.push(name.clone()),
            (None, None) => return,
        }
    }
}

fn same_sets(a: &BTreeMap<RrType, Vec<Claim>>, b: &BTreeMap<RrType, Vec<Claim>>) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((s, left), (t, right))| {
            s == t && left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same_claim(a, b))
        })
}

fn same_claim(a: &Claim, b: &Claim) -> bool {
    a.object == b.object
        && a.set.ttl == b.set.ttl
        // To the letter: a change of case alone is a change of the wish.
        && a.set.values == b.set.values
        && (a.created, a.adopt, a.deletion, a.share, a.reverse) == (b.created, b.adopt, b.deletion, b.share, b.reverse)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{AdoptPolicy, DeletionPolicy, ObjectId, RrSet};

    fn claims(hosts: &[(&str, u8)]) -> Sets {
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
        claims.sets
    }

    #[test]
    fn only_what_differs_is_planned_again() {
        let old = claims(&[("a.x", 1), ("b.x", 2), ("c.x", 3)]);
        let new = claims(&[("b.x", 2), ("c.x", 4), ("d.x", 5)]);
        let mut names = Vec::new();
        changed_names(&old, &new, &mut names);
        let names: Vec<String> = names.iter().map(Name::to_relaxed).collect();
        assert_eq!(names, ["a.x", "c.x", "d.x"]);
        let mut none = Vec::new();
        changed_names(&new, &new.clone(), &mut none);
        assert!(none.is_empty());
    }
}
