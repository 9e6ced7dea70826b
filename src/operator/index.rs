//! From objects to claims: what the zones have to be told when an object comes, changes or goes. Pure and synchronous; its
//! cost follows the change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::entry::{Entry, identity};
use crate::cluster::{Resource, Seen};
use crate::model::{
    Claim, Claims, ClaimsEdit, FastMap, FastSet, Name, ObjectId, ObjectState, OrphanKey, RrType, SourceHealth, rdata,
};
use crate::plan::claim_order;
use crate::spec::{Rights, Zones};

/// What a change of an object came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It declares something else than before, or its state is another one.
    News,
    /// Only what we write ourselves, or what does not count, changed.
    Nothing,
    /// It is older than what is known.
    Old,
}

/// What a zone is to be told.
#[derive(Debug, Default)]
struct Dirty {
    names: FastSet<Name>,
    released: Option<Arc<FastSet<OrphanKey>>>,
}

/// All objects, and the zones that their claims are for.
pub struct Index {
    zones: Zones,
    rights: Rights,
    entries: FastMap<ObjectId, Entry>,
    /// Who has claims at a name.
    claimants: FastMap<Name, Vec<ObjectId>>,
    dirty: BTreeMap<Name, Dirty>,
    /// Objects that changed since the zones were last told.
    changed: FastSet<ObjectId>,
    /// Objects that went since then.
    gone: FastSet<ObjectId>,
    /// Sets of addresses that their object cannot have, by zone: their PTRs would point at a lie.
    lost: BTreeMap<Name, FastSet<(ObjectId, Name)>>,
    /// Objects whose PTRs wait until it is known who has their names.
    unsettled: FastSet<ObjectId>,
    /// Objects that may have something in a zone in which they declare nothing any more; it stays until their names are
    /// where they are wished now.
    moving: FastSet<ObjectId>,
    /// Objects of whose state those zones are to be told.
    arrived: FastSet<ObjectId>,
    /// Whether objects that come now are new, and not just unknown.
    begun: bool,
    revision: u64,
}

impl Index {
    /// An index that knows no object.
    pub fn new(zones: Zones, rights: Rights, apexes: impl IntoIterator<Item = Name>) -> Index {
        Index {
            zones,
            rights,
            entries: FastMap::default(),
            claimants: FastMap::default(),
            dirty: apexes.into_iter().map(|zone| (zone, Dirty::default())).collect(),
            changed: FastSet::default(),
            gone: FastSet::default(),
            lost: BTreeMap::new(),
            unsettled: FastSet::default(),
            moving: FastSet::default(),
            arrived: FastSet::default(),
            begun: false,
            // 0 is what a zone has planned that was told of nothing yet.
            revision: 1,
        }
    }

    /// One object.
    pub fn get(&self, object: &ObjectId) -> Option<&Entry> {
        self.entries.get(object)
    }

    /// One object, for what does not change its claims.
    pub fn get_mut(&mut self, object: &ObjectId) -> Option<&mut Entry> {
        self.entries.get_mut(object)
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectId, &Entry)> {
        self.entries.iter()
    }

    /// Who has claims at a name.
    pub fn claimants(&self, name: &Name) -> &[ObjectId] {
        self.claimants.get(name).map_or(&[], Vec::as_slice)
    }

    /// The state of the source that was told last.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// An object came or changed.
    pub fn apply(&mut self, resource: Resource, seen: Seen, now: Instant) -> (ObjectId, Change) {
        let object = identity(resource, &seen);
        if let Some(entry) = self.entries.get_mut(&object) {
            if entry.held.uid == seen.uid && is_older(&seen.version, &entry.held.version) {
                return (object, Change::Old);
            }
            if entry.says_the_same(&seen) {
                entry.held = (&seen).into();
                entry.status = serde_json::from_value(seen.status).unwrap_or_default();
                return (object, Change::Nothing);
            }
        }
        let mut entry = Entry::read(resource, seen, &self.zones, &self.rights, now);
        match self.entries.get(&object) {
            Some(before) => entry.follow(before),
            // What is made now has published nothing yet.
            None => entry.arrived = self.begun,
        }
        if !entry.arrived && entry.is_live() && object.declares_one_name() {
            self.moving.insert(object.clone());
        }
        self.put(object.clone(), Some(entry));
        (object, Change::News)
    }

    /// An object went. Whatever markers still name it is an orphan now.
    pub fn remove(&mut self, object: &ObjectId, uid: &str) -> bool {
        let known = self.entries.get(object).is_some_and(|entry| entry.held.uid == uid);
        if known {
            self.put(object.clone(), None);
        }
        known
    }

    /// All objects of a kind; those that are not among them went. Gives those that changed.
    pub fn replace_all(&mut self, resource: Resource, all: Vec<Seen>, now: Instant) -> Vec<ObjectId> {
        let mut news = Vec::new();
        let mut there = FastSet::default();
        for seen in all {
            let (object, change) = self.apply(resource, seen, now);
            if change == Change::News {
                news.push(object.clone());
            }
            there.insert(object);
        }
        let gone = |(object, entry): &(&ObjectId, &Entry)| entry.resource == resource && !there.contains(*object);
        let gone: Vec<ObjectId> = self.entries.iter().filter(gone).map(|(object, _)| object.clone()).collect();
        for object in &gone {
            self.put(object.clone(), None);
        }
        news.extend(gone);
        news
    }

    /// The deletions of these objects are meant: their records may go.
    pub fn honour<'a>(&mut self, objects: impl IntoIterator<Item = &'a ObjectId>) {
        for object in objects {
            if let Some(entry) = self.entries.get_mut(object).filter(|entry| entry.deleting && !entry.honoured) {
                entry.honoured = true;
                self.touch(object);
            }
        }
    }

    /// Puts an entry in the place of the one before, or takes that one out.
    fn put(&mut self, object: ObjectId, entry: Option<Entry>) {
        self.touch(&object);
        if let Some(before) = self.entries.remove(&object) {
            for name in before.claims.iter().map(|(_, claim)| &claim.name) {
                if let Some(list) = self.claimants.get_mut(name) {
                    list.retain(|other| *other != object);
                    if list.is_empty() {
                        self.claimants.remove(name);
                    }
                }
            }
            // Whom it kept from sharing may share now, and who waited for it waits no longer.
            let names: FastSet<Name> = before.claims.iter().map(|(_, claim)| claim.name.clone()).collect();
            let rivals: FastSet<ObjectId> = names.iter().flat_map(|name| self.claimants(name)).cloned().collect();
            rivals.iter().for_each(|rival| self.touch(rival));
            self.separate(names);
        }
        let Some(entry) = entry else {
            self.unsettled.remove(&object);
            self.moving.remove(&object);
            self.changed.remove(&object);
            self.gone.insert(object);
            return;
        };
        self.gone.remove(&object);
        let names: FastSet<Name> = entry.claims.iter().map(|(_, claim)| claim.name.clone()).collect();
        for name in &names {
            let list = self.claimants.entry(name.clone()).or_default();
            if !list.contains(&object) {
                list.push(object.clone());
            }
        }
        if entry.has_reverse() {
            self.unsettled.insert(object.clone());
        }
        self.entries.insert(object.clone(), entry);
        self.touch(&object);
        self.touch_rivals(&names);
        self.separate(names);
    }

    /// All that an object claims is told anew.
    fn touch(&mut self, object: &ObjectId) {
        let Some(entry) = self.entries.get(object) else { return };
        for (zone, claim) in &entry.claims {
            if let Some(dirty) = self.dirty.get_mut(zone) {
                dirty.names.insert(claim.name.clone());
            }
        }
        self.changed.insert(object.clone());
    }

    /// Decides anew who shares the sets of these names across namespaces without the right to.
    fn separate(&mut self, names: FastSet<Name>) {
        let mut verdicts: FastMap<ObjectId, Vec<String>> = FastMap::default();
        for name in names.iter().filter(|name| self.claimants(name).len() > 1) {
            let mut claims = Claims::default();
            for object in self.claimants(name) {
                let Some(entry) = self.entries.get(object).filter(|entry| entry.is_live()) else { continue };
                entry
                    .claims
                    .iter()
                    .filter(|(_, claim)| claim.name == *name)
                    .for_each(|(_, claim)| claims.insert(claim.clone()));
            }
            for separated in self.rights.separate(&mut claims) {
                let words = separated.message();
                verdicts.entry(separated.object).or_default().push(words);
            }
        }
        let mut concerned: FastSet<ObjectId> = names.iter().flat_map(|name| self.claimants(name)).cloned().collect();
        concerned.extend(verdicts.keys().cloned());
        for object in concerned {
            let verdict = verdicts.remove(&object).unwrap_or_default();
            let Some(entry) = self.entries.get_mut(&object) else { continue };
            // What is wrong at other names of it stays wrong.
            let elsewhere = entry.claims.iter().any(|(_, claim)| !names.contains(&claim.name));
            let mut words: Vec<String> = match elsewhere {
                true => entry
                    .separated
                    .iter()
                    .filter(|old| !names.iter().any(|name| old.starts_with(&at(name))))
                    .cloned()
                    .collect(),
                false => Vec::new(),
            };
            words.extend(verdict);
            if entry.separated != words {
                entry.separated = words;
                self.touch(&object);
            }
        }
    }

    /// The first lists are complete: what was not in them and comes later is new.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Whose names somebody else has, by a zone's plan of this revision. What the others have in other zones may go.
    pub fn learn_stuck(&mut self, zone: &Name, revision: u64, stuck: FastSet<ObjectId>) {
        let there = |object: &&ObjectId| {
            let Some(entry) = self.entries.get(*object) else { return true };
            let planned = entry.revision <= revision && entry.revision > 0;
            planned && !stuck.contains(*object) && self.forward_zones(entry).all(|own| own == zone)
        };
        let arrived: Vec<ObjectId> = self.moving.iter().filter(there).cloned().collect();
        for object in arrived {
            self.moving.remove(&object);
            if let Some(entry) = self.entries.get_mut(&object) {
                entry.arrived = true;
                self.arrived.insert(object);
            }
        }
    }

    /// What a zone's plan of this revision says of the names of addresses: who cannot have theirs. PTRs follow.
    pub fn learn(&mut self, zone: &Name, revision: u64, lost: FastSet<(ObjectId, Name)>) {
        let before = self.lost.insert(zone.clone(), lost).unwrap_or_default();
        let now = &self.lost[zone];
        let differ: Vec<ObjectId> = before.symmetric_difference(now).map(|(object, _)| object.clone()).collect();
        let known = |object: &&ObjectId| {
            let Some(entry) = self.entries.get(*object) else { return true };
            entry.revision <= revision && entry.revision > 0 && self.forward_zones(entry).all(|own| own == zone)
        };
        let settled: Vec<ObjectId> = self.unsettled.iter().filter(known).cloned().collect();
        for object in &settled {
            self.unsettled.remove(object);
            if let Some(entry) = self.entries.get_mut(object) {
                entry.forward_known = true;
            }
        }
        for object in differ.iter().chain(&settled) {
            self.touch(object);
        }
    }

    fn forward_zones<'a>(&self, entry: &'a Entry) -> impl Iterator<Item = &'a Name> {
        entry.claims.iter().filter(|(_, claim)| !claim.reverse).map(|(zone, _)| zone)
    }

    /// Whether a PTR of an object would point at a name that the object does not have, as far as is known.
    fn loses(&self, entry: &Entry, claim: &Claim) -> bool {
        if !claim.reverse {
            return false;
        }
        let lost = |name: &Name| self.lost.values().any(|lost| lost.contains(&(claim.object.clone(), name.clone())));
        !entry.forward_known
            || claim.set.values.iter().flat_map(|value| rdata::names_in(RrType::PTR, value)).any(|name| lost(&name))
    }

    /// Whether an older object claims a set of this one, or one that cannot stand beside it, and was not admitted yet: which finalizer is stored first must not
    /// decide who gets a name.
    fn waits(&self, zone: &Name, entry: &Entry) -> bool {
        let older = |claim: &Claim, object: &ObjectId| {
            self.entries.get(object).is_some_and(|other| {
                !other.admitted
                    && !other.balked
                    && other.is_live()
                    && other.claims.iter().any(|(own, theirs)| {
                        own == zone
                            && theirs.name == claim.name
                            && (theirs.rtype == claim.rtype || is_alias(theirs.rtype) || is_alias(claim.rtype))
                            && claim_order(theirs, claim).is_lt()
                    })
            })
        };
        let contested = |claim: &Claim| {
            let claimants = self.claimants(&claim.name);
            claimants.len() > 1 && claimants.iter().any(|object| *object != claim.object && older(claim, object))
        };
        entry.claims.iter().any(|(own, claim)| own == zone && contested(claim))
    }

    /// The API server would not store an object's finalizer: whoever waits for it waits no longer.
    pub fn balk(&mut self, object: &ObjectId) {
        let Some(entry) = self.entries.get_mut(object).filter(|entry| !entry.admitted && !entry.balked) else { return };
        entry.balked = true;
        let names: FastSet<Name> = entry.claims.iter().map(|(_, claim)| claim.name.clone()).collect();
        self.touch_rivals(&names);
    }

    /// All that have claims at names of several are told anew.
    fn touch_rivals(&mut self, names: &FastSet<Name>) {
        let rivals: FastSet<ObjectId> =
            names.iter().map(|name| self.claimants(name)).filter(|all| all.len() > 1).flatten().cloned().collect();
        for object in rivals {
            self.touch(&object);
        }
    }

    /// The state of an object as one zone is told it: where a PTR is kept back, what was published there stays.
    fn state_in(&self, zone: &Name, entry: &Entry) -> ObjectState {
        let kept_back = || entry.claims.iter().any(|(own, claim)| own == zone && self.loses(entry, claim));
        match entry.state() {
            ObjectState::Present | ObjectState::Paused if kept_back() || self.waits(zone, entry) => {
                ObjectState::Protected
            }
            ObjectState::Present if !entry.arrived && !entry.claims.iter().any(|(own, _)| own == zone) => {
                ObjectState::Protected
            }
            state => state,
        }
    }

    /// The claims of a name in a zone, as they count.
    fn claims_at(&self, zone: &Name, name: &Name) -> BTreeMap<RrType, Vec<Claim>> {
        let mut types: BTreeMap<RrType, Vec<Claim>> = BTreeMap::new();
        for object in self.claimants(name) {
            let Some(entry) = self.entries.get(object) else { continue };
            if !matches!(self.state_in(zone, entry), ObjectState::Present | ObjectState::Paused) {
                continue;
            }
            for (_, claim) in entry.claims.iter().filter(|(own, claim)| own == zone && claim.name == *name) {
                types.entry(claim.rtype).or_default().push(claim.clone());
            }
        }
        types
    }

    /// Orphans that a person ordered to be deleted in a zone; they count until others are given.
    pub fn release_orphans(&mut self, zone: &Name, orphans: FastSet<OrphanKey>) {
        if let Some(dirty) = self.dirty.get_mut(zone) {
            dirty.released = Some(Arc::new(orphans));
        }
    }

    /// Whether there is something to tell.
    pub fn has_news(&self) -> bool {
        !self.changed.is_empty()
            || !self.gone.is_empty()
            || !self.arrived.is_empty()
            || self.dirty.values().any(|dirty| !dirty.names.is_empty() || dirty.released.is_some())
    }

    /// What each zone is to be told since the last time. Objects are told to every zone: a marker anywhere may name them.
    pub fn take_edits(&mut self) -> Vec<(Name, ClaimsEdit)> {
        if !self.has_news() {
            return Vec::new();
        }
        self.revision += 1;
        let changed = std::mem::take(&mut self.changed);
        let gone = std::mem::take(&mut self.gone);
        let arrived = std::mem::take(&mut self.arrived);
        let mut edits = Vec::with_capacity(self.dirty.len());
        let zones: Vec<Name> = self.dirty.keys().cloned().collect();
        for zone in zones {
            let dirty = self.dirty.get_mut(&zone).map(std::mem::take).unwrap_or_default();
            let mut edit = ClaimsEdit { revision: self.revision, released: dirty.released, ..ClaimsEdit::default() };
            let elsewhere = |object: &&ObjectId| {
                self.entries.get(*object).is_some_and(|entry| !entry.claims.iter().any(|(own, _)| *own == zone))
            };
            for object in changed.iter().chain(arrived.iter().filter(elsewhere)) {
                if let Some(entry) = self.entries.get(object) {
                    edit.objects.insert(object.clone(), Some(self.state_in(&zone, entry)));
                }
            }
            edit.objects.extend(gone.iter().map(|object| (object.clone(), None)));
            edit.names = dirty.names.into_iter().map(|name| (name.clone(), self.claims_at(&zone, &name))).collect();
            self.note_fed(&zone, &edit);
            edits.push((zone, edit));
        }
        for object in changed {
            if let Some(entry) = self.entries.get_mut(&object) {
                entry.revision = self.revision;
            }
        }
        edits
    }

    fn note_fed(&mut self, zone: &Name, edit: &ClaimsEdit) {
        let objects: FastSet<ObjectId> =
            edit.names.values().flat_map(BTreeMap::values).flatten().map(|claim| claim.object.clone()).collect();
        for object in objects {
            if let Some(entry) = self.entries.get_mut(&object) {
                entry.fed.insert(zone.clone());
            }
        }
    }

    /// Everything that a zone has to know, for a worker that knows nothing yet. What [`Index::take_edits`] has not told
    /// yet is not in the revision, and told later.
    pub fn everything(&self, zone: &Name) -> ClaimsEdit {
        let mut edit =
            ClaimsEdit { revision: self.revision, health: Some(SourceHealth::Complete), ..ClaimsEdit::default() };
        let mut names: FastSet<&Name> = FastSet::default();
        for (object, entry) in &self.entries {
            edit.objects.insert(object.clone(), Some(self.state_in(zone, entry)));
            names.extend(entry.claims.iter().filter(|(own, _)| own == zone).map(|(_, claim)| &claim.name));
        }
        edit.names = names.into_iter().map(|name| (name.clone(), self.claims_at(zone, name))).collect();
        edit.names.retain(|_, types| !types.is_empty());
        edit
    }
}

/// Types that stand alone at their name.
fn is_alias(rtype: RrType) -> bool {
    matches!(rtype, RrType::CNAME | RrType::DNAME)
}

/// How the words about a separated set begin.
fn at(name: &Name) -> String {
    format!("{} ", name.to_relaxed())
}

/// Whether one resource version is older than another of the same object. They are numbers wherever objects of custom
/// resources are kept in etcd; where they are not, nothing is taken for old.
fn is_older(one: &str, other: &str) -> bool {
    matches!((one.parse::<u64>(), other.parse::<u64>()), (Ok(one), Ok(other)) if one < other)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
