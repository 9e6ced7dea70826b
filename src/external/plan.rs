//! What a request comes to in one zone: its wishes against the view, as a plan for the engine.
//!
//! One change for each record set, with its ownership TXT inside: neither travels, is refused or held without the other.

use super::alias;
use super::marks::{Marks, speaks_of};
use super::refused::Refused;
use super::registry::{self, Denied, Owners, Registration};
use super::request::{MarkWish, NameWish, SetWish, ZoneWish};
use crate::model::{Name, Rdata, RrSet, RrType};
use crate::ownership::{Classifier, Marker, NameFacts, SignIndex, ZoneRules, external_dns, txt};
use crate::plan::{
    Action, Change, Edit, Guard, Plan, SET_LIMIT, as_seen, data_sets, mark_edits, node_after, set_edits, set_size,
};
use crate::view::View;

/// What a plan is made against.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Of the zone, with the owner id of the webhook's own markers.
    pub rules: &'a ZoneRules,
    /// Current.
    pub view: &'a View,
    /// Of this view.
    pub signs: &'a SignIndex,
    /// For whom is written.
    pub owners: &'a Owners,
    /// TTL of new sets that wish none, seconds.
    pub default_ttl: u32,
    /// A person said that unmarked sets may be taken.
    pub adopt_unmarked: bool,
}

/// A plan, and what of the request is in none.
#[derive(Debug)]
pub struct Planned {
    /// For the engine.
    pub plan: Plan,
    /// Sets that are refused.
    pub refused: Vec<Refused>,
    /// Wishes that are fulfilled already.
    pub fulfilled: usize,
}

/// Plans a zone's part of a request.
pub fn plan(wish: &ZoneWish, world: World<'_>) -> Planned {
    let classes = Classifier::with_index(world.rules, world.view, world.signs);
    let mut planned = Planned { plan: Plan::empty(world.view), refused: Vec::new(), fulfilled: 0 };
    for (name, wish) in wish {
        let facts = classes.facts(name);
        let mut desk = Desk { world, facts: &facts, wish };
        for (rtype, set) in &wish.sets {
            match desk.set(*rtype, set) {
                Ok(Some(mut change)) => {
                    let second = desk.second_half(&mut change, planned.plan.changes.len());
                    planned.plan.changes.extend([change].into_iter().chain(second));
                }
                Ok(None) => planned.fulfilled += 1,
                Err(denied) => planned.refused.push(Refused {
                    name: name.to_relaxed(),
                    rtype: rtype.to_string(),
                    resource: set.resource().to_owned(),
                    reason: denied.reason,
                    message: denied.message,
                }),
            }
        }
    }
    planned
}

/// One name.
pub(super) struct Desk<'a> {
    pub(super) world: World<'a>,
    pub(super) facts: &'a NameFacts,
    pub(super) wish: &'a NameWish,
}

impl Desk<'_> {
    pub(super) fn name(&self) -> &Name {
        &self.facts.name
    }

    fn set(&mut self, rtype: RrType, wish: &SetWish) -> Result<Option<Change>, Denied> {
        let old = self.data(rtype);
        let pairs: Vec<&MarkWish> = self.wish.marks.iter().filter(|mark| speaks_of(mark, rtype)).collect();
        let paired: Vec<registry::Pair> = pairs
            .iter()
            .filter(|mark| mark.wanted.is_at_or_below(&self.world.rules.zone))
            .map(|mark| (mark.wanted.clone(), mark.rtype.is_some()))
            .collect();
        let World { rules, view, owners, .. } = self.world;
        if alias::is_node(self.name()) || self.name().labels().any(|label| label == rules.label.as_bytes()) {
            return Err(Denied::of("Reserved", "marks of ownership are kept there, and nothing else may stand there"));
        }
        if let Some(pair) = pairs.iter().find(|pair| self.is_forged(pair)) {
            let words = format!(
                "an ownership TXT at {} does not speak of {}: is externalDns, with the --txt-prefix or --txt-suffix, missing or wrong at the zone?",
                pair.wanted.to_relaxed(),
                self.name().to_relaxed()
            );
            return Err(Denied::of("Reserved", words));
        }
        // What was never wished is not taken over by being not wished.
        let adopts = self.world.adopt_unmarked && matches!(wish, SetWish::Be { .. });
        let found = match &old {
            Some(_) => registry::may_write(rules, view, self.facts, rtype, owners, &paired, adopts)?,
            None => registry::may_create(rules, view, self.facts, rtype, owners, &paired)?,
        };
        let (new, marks) = match wish {
            SetWish::Gone { owner } if !owner.is_empty() && !owners.may(owner) => {
                return Err(other_owner(owner, owners));
            }
            SetWish::Gone { .. } => (None, Marks::default()),
            SetWish::Be { ttl, values, owner, resource, ptr } => {
                self.place(rtype, old.is_none())?;
                if !owner.is_empty() && *owner != owners.own {
                    return Err(other_owner(owner, owners));
                }
                let ttl = ttl.or(old.as_ref().map(|old| old.ttl)).unwrap_or(self.world.default_ttl);
                let new = RrSet::new(rtype, ttl, values.iter().cloned());
                if set_size(self.name(), &new.values) > SET_LIMIT {
                    let words =
                        format!("the set is larger than {SET_LIMIT} octets, and servers cannot transfer such a zone");
                    return Err(Denied::of("Incompatible", words));
                }
                (Some(new), self.marks(rtype, &pairs, &found, resource, *ptr)?)
            }
        };
        self.change(rtype, old, new, &found, marks)
    }

    /// The set as data: of a TXT set the values that are no ownership TXTs.
    fn data(&self, rtype: RrType) -> Option<RrSet> {
        let set = self.facts.set(rtype)?;
        if rtype != RrType::TXT {
            return Some(set.clone());
        }
        let rules = self.world.rules;
        let values: Vec<Rdata> = set.values.iter().filter(|value| is_data(rules, value)).cloned().collect();
        (!values.is_empty()).then(|| RrSet::new(rtype, set.ttl, values))
    }

    /// Whether a set can stand at this name, as the name will be.
    fn place(&self, rtype: RrType, is_new: bool) -> Result<(), Denied> {
        let World { rules, signs, .. } = self.world;
        let name = self.name();
        let incompatible = |words: String| Err(Denied::of("Incompatible", words));
        if let Some(above) = signs.dname_above(name) {
            return incompatible(format!("nothing may stand below the DNAME at {}", above.to_relaxed()));
        }
        if let Some(cut) = signs.cut_over(name)
            && !(cut == *name && matches!(rtype, RrType::NS | RrType::DS))
        {
            return incompatible(format!(
                "{} is delegated: it is its own servers' to answer for {}",
                cut.to_relaxed(),
                name.to_relaxed()
            ));
        }
        if name == &rules.zone && matches!(rtype, RrType::NS | RrType::CNAME | RrType::DNAME) {
            return incompatible(format!("a zone's apex has no {rtype} from here"));
        }
        let stays = |other: &RrType| !matches!(self.wish.sets.get(other), Some(SetWish::Gone { .. }));
        let comes = self.wish.sets.iter().filter(|(_, set)| matches!(set, SetWish::Be { .. })).map(|(other, _)| *other);
        let beside: Vec<RrType> = self
            .facts
            .live
            .iter()
            .map(|(other, _)| *other)
            .filter(|other| !other.is_dnssec() && self.stands(*other))
            .filter(stays)
            .chain(comes)
            .filter(|other| *other != rtype)
            .collect();
        let alone = |rtype| matches!(rtype, RrType::CNAME | RrType::DNAME);
        if let Some(other) = beside.iter().find(|other| alone(rtype) || alone(**other)) {
            return incompatible(format!(
                "a CNAME or DNAME stands alone at its name (RFC 1034 §3.6.2), and {} has {other} besides {rtype}",
                name.to_relaxed()
            ));
        }
        let sibling = match rtype {
            RrType::A => Some(RrType::AAAA),
            RrType::AAAA => Some(RrType::A),
            _ => None,
        };
        if let Some(sibling) = sibling.filter(|other| is_new && stays(other) && self.facts.set(*other).is_some()) {
            let World { view, owners, adopt_unmarked, .. } = self.world;
            registry::may_write(rules, view, self.facts, sibling, owners, &[], adopt_unmarked).map_err(|denied| {
                let words = format!("the {sibling} set of that name is not this ExternalDNS's: {}", denied.message);
                Denied::of("OwnedByOther", words)
            })?;
        }
        Ok(())
    }

    /// Whether a live set will still be there for servers: a TXT set of nothing but ownership TXTs goes with its sets.
    fn stands(&self, rtype: RrType) -> bool {
        rtype != RrType::TXT || self.data(rtype).is_some()
    }

    /// The change, or nothing where all is as wished.
    fn change(
        &self,
        rtype: RrType,
        old: Option<RrSet>,
        new: Option<RrSet>,
        found: &[Registration],
        marks: Marks,
    ) -> Result<Option<Change>, Denied> {
        let World { rules, view, .. } = self.world;
        let name = self.name();
        let mut edits = set_edits(&rules.zone, name, rtype, old.as_ref(), new.as_ref());
        if rtype == RrType::TXT {
            keep_ttl(
                &mut edits,
                self.facts.set(rtype).filter(|set| old.as_ref().is_none_or(|old| old.len() < set.len())),
            );
        }
        let data_changes = !edits.is_empty();
        // Every place whose TXT takes part: where one is, and where one shall be.
        let mut places: Vec<Name> = found.iter().map(|one| one.at.clone()).collect();
        places.extend(marks.placed.iter().map(|(at, _)| at.clone()));
        let alias = self.alias_of(rtype);
        places.extend(alias.clone());
        places.sort();
        places.dedup();
        for at in &places {
            let here = view.get(at, RrType::TXT);
            let is_alias = alias.as_ref() == Some(at);
            let mut wanted: Vec<Rdata> =
                marks.placed.iter().filter(|(place, _)| place == at).map(|(_, value)| value.clone()).collect();
            if is_alias {
                wanted.extend(marks.kept.iter().cloned());
            }
            let typed = found.iter().any(|one| one.is_typed);
            let is_stale = |value: &Rdata| {
                let registered = |one: &Registration| one.at == *at && one.value == *value;
                found.iter().any(|one| registered(one) && self.goes(one, rtype, new.is_some() && typed))
                    || (is_alias && alias::Note::parse(value).is_some())
            };
            let here = here.map(|set| set.values).unwrap_or_default();
            let gone: Vec<Rdata> =
                here.iter().filter(|value| is_stale(value) && !wanted.contains(value)).cloned().collect();
            wanted.retain(|value| !here.contains(value));
            edits.extend(mark_edits(view, at, &gone, &wanted));
        }
        if edits.is_empty() {
            return Ok(None);
        }
        let action = match (&old, &new) {
            (None, Some(_)) => Action::Create,
            (Some(_), None) => Action::Delete,
            (Some(old), Some(new)) if old.same_values(new, rtype) => {
                if data_changes {
                    Action::Ttl
                } else {
                    Action::Remark
                }
            }
            (Some(_), Some(_)) => Action::Replace,
            (None, None) => Action::Release,
        };
        let is_swap = self.wish.sets.values().any(|wish| matches!(wish, SetWish::Be { .. }));
        Ok(Some(Change {
            action,
            name: name.clone(),
            rtype,
            guards: self.guards(rtype, old.is_none() && new.is_some(), is_swap, &places),
            edits,
            counted: action == Action::Delete && !is_swap,
            old,
            new,
            source: None,
            note: None,
            held: false,
            after: None,
        }))
    }

    /// Old servers die of a DNAME that is replaced in one message. So the new one waits for the answer to the removal of the
    /// old one, with which the ownership changes: the name stays this ExternalDNS's in between. `index` is the first half's.
    fn second_half(&self, first: &mut Change, index: usize) -> Option<Change> {
        first.old.as_ref().filter(|_| first.rtype == RrType::DNAME)?;
        let is_add = |edit: &Edit| matches!(edit, Edit::Add(_, RrType::DNAME, ..));
        let (adds, rest): (Vec<Edit>, Vec<Edit>) = first.edits.iter().cloned().partition(is_add);
        if adds.is_empty() {
            return None;
        }
        first.edits = rest;
        let marks = self.alias_of(first.rtype).map(|at| {
            let seen = self.world.view.get(&at, RrType::TXT).map(|set| set.values).unwrap_or_default();
            let marks = node_after(&seen, &at, &first.edits);
            if marks.is_empty() { Guard::SetAbsent(at, RrType::TXT) } else { Guard::SetIs(at, RrType::TXT, marks) }
        });
        let absent = [RrType::DNAME, RrType::CNAME, RrType::DHCID].map(|t| Guard::SetAbsent(first.name.clone(), t));
        Some(Change {
            action: Action::Create,
            note: Some("second half of the replacement".to_owned()),
            guards: absent.into_iter().chain(marks).collect(),
            edits: adds,
            old: None,
            counted: false,
            after: Some(index),
            ..first.clone()
        })
    }

    /// Everything that was looked at, as it was seen: the set, the places of its ownership, Knotwork's markers, a DHCID, and for
    /// a set that is new what must not have come beside it.
    fn guards(&self, rtype: RrType, is_new: bool, is_swap: bool, places: &[Name]) -> Vec<Guard> {
        let World { rules, view, .. } = self.world;
        let name = self.name();
        let mut guards: Vec<Guard> = Vec::new();
        let mut push = |guard: Guard| {
            if !guards.contains(&guard) {
                guards.push(guard);
            }
        };
        let as_seen = |at: &Name, rtype: RrType| as_seen(at, rtype, view.get(at, rtype).as_ref());
        if is_new && !view.in_use(name) {
            push(Guard::NameNotInUse(name.clone()));
        } else {
            push(as_seen(name, rtype));
            push(as_seen(name, RrType::DHCID));
            if is_new || is_swap {
                let live = data_sets(self.facts).map(|(other, _)| other);
                for other in live.chain(NEIGHBOURS.iter().copied()) {
                    push(as_seen(name, other));
                }
            }
        }
        for at in places.iter().filter(|at| *at != name || view.in_use(name)) {
            push(as_seen(at, RrType::TXT));
        }
        if let Ok(node) = Marker::node(&rules.label, name, rtype) {
            push(as_seen(&node, RrType::TXT));
        }
        guards
    }
}

/// Types that ExternalDNS and people put beside each other most.
const NEIGHBOURS: &[RrType] =
    &[RrType::CNAME, RrType::A, RrType::AAAA, RrType::TXT, RrType::MX, RrType::SRV, RrType::NAPTR];

/// Whether a TXT value is data: neither anybody's ownership mark nor a note of ours.
pub fn is_data(rules: &ZoneRules, value: &[u8]) -> bool {
    !txt::is_anybodys_marker(value)
        && external_dns::read(rules.txt_key.as_ref(), value).is_none()
        && alias::Note::parse(value).is_none()
}

/// Values beside others take the TTL that those have: a server moves a whole set to the TTL of what is added.
fn keep_ttl(edits: &mut [Edit], beside: Option<&RrSet>) {
    let Some(beside) = beside else { return };
    for edit in edits {
        if let Edit::Add(_, _, ttl, _) = edit {
            *ttl = beside.ttl;
        }
    }
}

pub(super) fn other_owner(owner: &str, owners: &Owners) -> Denied {
    let words = format!(
        "this ExternalDNS calls itself {owner:?} (--txt-owner-id), and webhook.owner is {:?}: make them one, or run a webhook for each",
        owners.own
    );
    Denied::of("OwnerMismatch", words)
}
