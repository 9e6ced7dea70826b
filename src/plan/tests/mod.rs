//! Scenarios and properties of the planner.

#![allow(clippy::unwrap_used)]

mod basics;
mod braking;
mod contests;
mod moving;
mod neighbours;
mod properties;
mod speed;
mod tree;

use std::sync::Arc;

use super::*;
use crate::model::{AdoptPolicy, Claim, Claims, DeletionPolicy, ObjectState, SourceHealth, rdata};
use crate::ownership::{ZoneRules, test_rules, txt};
use crate::view::View;

pub(super) fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A zone, what is declared for it, and the rules.
#[derive(Clone)]
pub(super) struct World {
    pub rules: ZoneRules,
    pub claims: Claims,
    pub view: View,
}

/// A set in words: `www A 10.0.0.1 10.0.0.2`; values are split at blanks, names are relative to the zone.
fn parse(line: &str) -> (Name, RrType, Vec<Rdata>) {
    let mut words = line.split_whitespace();
    let name = full(words.next().unwrap());
    let rtype = RrType::parse(words.next().unwrap()).unwrap();
    let values = match rtype {
        RrType::MX | RrType::SRV | RrType::DHCID | RrType::SOA | RrType::DS => {
            vec![raw(rtype, &words.collect::<Vec<_>>().join(" "))]
        }
        _ => words.map(|word| raw(rtype, word)).collect(),
    };
    (name, rtype, values)
}

pub(super) fn full(text: &str) -> Name {
    if text == "@" { n("internal") } else { n(&format!("{text}.internal")) }
}

fn raw(rtype: RrType, text: &str) -> Rdata {
    match rtype {
        RrType::TXT => txt::split(text.as_bytes()),
        RrType::SOA | RrType::DHCID => [0, 1, 1, 2, 3].into(),
        _ => rdata::from_text(rtype, text, Some(&n("internal"))).unwrap(),
    }
}

impl World {
    pub fn new() -> World {
        let world = World { rules: test_rules(), claims: Claims::default(), view: View::new(n("internal"), 1) };
        world.there("@ SOA x").there("@ NS ns0")
    }

    /// A record set that is in the zone, with TTL 300.
    pub fn there(mut self, line: &str) -> World {
        self.put(line);
        self
    }

    pub fn put(&mut self, line: &str) {
        let (name, rtype, values) = parse(line);
        for value in values {
            self.view.add(&name, rtype, 300, value);
        }
    }

    pub fn cut(&mut self, line: &str) {
        let (name, rtype, values) = parse(line);
        let values = if values.is_empty() { self.view.get(&name, rtype).unwrap().values } else { values };
        for value in values {
            self.view.remove(&name, rtype, &value);
        }
    }

    /// An object of namespace `dns` declares a set.
    pub fn claim(self, object: &str, line: &str) -> World {
        self.claim_with(object, line, |_| {})
    }

    pub fn claim_with(mut self, object: &str, line: &str, edit: impl FnOnce(&mut Claim)) -> World {
        let (name, rtype, values) = parse(line);
        let object = object_id(object);
        self.object_state(&object, Some(ObjectState::Present));
        let mut claim = Claim {
            name,
            rtype,
            set: RrSet::new(rtype, 300, values),
            object,
            created: None,
            adopt: AdoptPolicy::IfIdentical,
            deletion: DeletionPolicy::Delete,
            share: false,
            reverse: false,
        };
        edit(&mut claim);
        self.claims.insert(claim);
        self
    }

    /// Forgets what an object declares.
    pub fn without(mut self, object: &str) -> World {
        let object = object_id(object);
        for types in self.claims.sets.values_mut() {
            for list in types.values_mut() {
                list.retain(|claim| claim.object != object);
            }
            types.retain(|_, list| !list.is_empty());
        }
        self.claims.sets.retain(|_, types| !types.is_empty());
        self
    }

    pub fn state(mut self, object: &str, state: Option<ObjectState>) -> World {
        self.object_state(&object_id(object), state);
        self
    }

    fn object_state(&mut self, object: &ObjectId, state: Option<ObjectState>) {
        let mut objects = (*self.claims.objects).clone();
        match state {
            Some(state) => objects.insert(object.clone(), state),
            None => objects.remove(object),
        };
        self.claims.objects = Arc::new(objects);
    }

    /// The object is gone from the source.
    pub fn absent(self, object: &str) -> World {
        self.without(object).state(object, None)
    }

    pub fn prune(mut self) -> World {
        self.claims.prune = true;
        self
    }

    pub fn incomplete(mut self) -> World {
        self.claims.health = SourceHealth::Incomplete(vec!["b.yaml: broken".into()]);
        self
    }

    pub fn complete(mut self) -> World {
        self.claims.health = SourceHealth::Complete;
        self
    }

    pub fn plan(&self) -> Plan {
        plan_zone(&self.rules, &self.claims, &self.view, &PlanOptions::default())
    }

    /// Sends all units in order; every prerequisite must hold.
    pub fn apply(mut self) -> World {
        let plan = self.plan();
        for unit in units(&plan) {
            if let Err(guard) = sim::send(&mut self.view, &unit.guards, &unit.edits) {
                panic!("{guard:?} does not hold; plan {:#?}", plan.changes);
            }
        }
        self
    }

    /// Applies, and asserts that nothing is left to do after it.
    pub fn settle(self) -> World {
        let world = self.apply();
        let plan = world.plan();
        assert!(plan.is_settled(), "left: {:#?}, deferred {}", plan.changes, plan.deferred);
        world
    }

    /// Live values as text, sorted; empty when the set is not there.
    pub fn live(&self, name: &str, rtype: RrType) -> Vec<String> {
        let set = self.view.get(&full(name), rtype);
        set.iter().flat_map(|set| &set.values).map(|value| rdata::to_text(rtype, value)).collect()
    }

    pub fn marker_texts(&self, name: &str) -> Vec<String> {
        let node = if name == "@" { "_knotwork".to_owned() } else { format!("_knotwork.{name}") };
        self.view
            .get(&full(&node), RrType::TXT)
            .iter()
            .flat_map(|set| &set.values)
            .map(|value| String::from_utf8(txt::join(value).unwrap()).unwrap())
            .collect()
    }
}

pub(super) fn object_id(name: &str) -> ObjectId {
    match name.split_once('/') {
        Some(("dnsendpoint", _)) => ObjectId::new(name),
        Some((namespace, name)) => ObjectId::static_record(namespace, name),
        None => ObjectId::static_record("dns", name),
    }
}

/// A plan in lines, for comparison: action, name, type; then conflicts, orphans.
pub(super) fn lines(plan: &Plan) -> Vec<String> {
    let short = |name: &Name| {
        let text = name.to_relaxed();
        text.strip_suffix(".internal").map_or_else(|| "@".to_owned(), str::to_owned)
    };
    let changes = plan.changes.iter().map(|change| {
        let held = if change.held { " held" } else { "" };
        format!("{} {} {}{held}", change.action.word(), short(&change.name), change.rtype)
    });
    let conflicts = plan.conflicts.iter().map(|conflict| {
        let owner = conflict.owner.strip_prefix("staticdnsrecord/dns/").unwrap_or(&conflict.owner);
        format!("! {} {} {} {owner}", short(&conflict.name), conflict.rtype, conflict.reason).trim_end().to_owned()
    });
    let orphans = plan.orphans.iter().map(|orphan| format!("? {} {}", short(&orphan.name), orphan.rtype));
    changes.chain(conflicts).chain(orphans).collect()
}
