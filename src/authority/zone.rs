//! One zone in memory: names, record sets, the history of commits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::dns::{Record, soa_serial};
use crate::model::{Name, RrSet, RrType, rdata};
use crate::view::{Builder, View};

/// The record sets of one name, by type.
pub(super) type Sets = BTreeMap<RrType, RrSet>;

/// All names that hold records. Canonical order puts everything below a name right behind it.
pub(super) type Nodes = BTreeMap<Name, Arc<Sets>>;

/// One commit: what it took away and what it put there, SOA records aside.
#[derive(Debug)]
pub(super) struct Changeset {
    pub(super) old_soa: Record,
    pub(super) new_soa: Record,
    pub(super) removed: Vec<Record>,
    pub(super) added: Vec<Record>,
}

impl Changeset {
    fn len(&self) -> usize {
        self.removed.len() + self.added.len() + 2
    }
}

/// How much history a zone keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Depth {
    pub(super) commits: usize,
    pub(super) records: usize,
}

/// One zone at one moment, with its recent history. A clone shares everything until one of the two changes, so a transfer
/// under way sees one state only.
#[derive(Debug, Clone)]
pub struct Zone {
    apex: Name,
    nodes: Arc<Nodes>,
    journal: VecDeque<Arc<Changeset>>,
    /// Records in the journal.
    kept: usize,
}

impl Zone {
    /// A zone of these names; `None` without exactly one well-formed SOA record at the apex.
    pub(super) fn new(apex: Name, nodes: Nodes) -> Option<Zone> {
        let soa = nodes.get(&apex)?.get(&RrType::SOA)?;
        let well = soa.len() == 1 && soa_serial(&soa.values[0]).is_some();
        well.then(|| Zone { apex, nodes: Arc::new(nodes), journal: VecDeque::new(), kept: 0 })
    }

    /// The apex.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    pub(super) fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// The SOA record.
    pub(super) fn soa(&self) -> Record {
        let set = self.get(&self.apex, RrType::SOA);
        let (ttl, rdata) = set.and_then(|set| Some((set.ttl, set.values.first()?.clone()))).unwrap_or_default();
        Record::new(self.apex.clone(), RrType::SOA, ttl, rdata)
    }

    /// The serial of its SOA.
    pub fn serial(&self) -> u32 {
        soa_serial(&self.soa().rdata).unwrap_or_default()
    }

    /// The sets of a name.
    pub(super) fn node(&self, name: &Name) -> Option<&Arc<Sets>> {
        self.nodes.get(name)
    }

    /// One set.
    pub(super) fn get(&self, name: &Name, rtype: RrType) -> Option<&RrSet> {
        self.nodes.get(name)?.get(&rtype)
    }

    /// Whether the name holds records or stands above one that does (RFC 4592 §2.2).
    pub(super) fn exists(&self, name: &Name) -> bool {
        self.nodes.range::<Name, _>(name..).next().is_some_and(|(found, _)| found.is_at_or_below(name))
    }

    /// The names from the one below the apex down to `name` itself, topmost first; empty outside the zone.
    pub(super) fn path(&self, name: &Name) -> Vec<Name> {
        let mut path = Vec::new();
        let mut at = name.is_at_or_below(&self.apex).then(|| name.clone());
        while let Some(name) = at.filter(|name| *name != self.apex) {
            at = name.parent();
            path.push(name);
        }
        path.reverse();
        path
    }

    /// Puts new states of names in place and notes the commit in the journal. Says whether anything changed.
    ///
    /// `next_soa` makes the new SOA from the present one; it is called only when records of other types changed, or when
    /// `changed` holds another SOA itself.
    pub(super) fn commit(
        &mut self,
        changed: BTreeMap<Name, Sets>,
        depth: Depth,
        next_soa: impl FnOnce(&Record) -> Record,
    ) -> bool {
        let old_soa = self.soa();
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let empty = Sets::new();
        for (name, new) in &changed {
            let old = self.nodes.get(name).map_or(&empty, |sets| sets.as_ref());
            difference(name, old, new, &mut removed);
            difference(name, new, old, &mut added);
        }
        let given = changed.get(&self.apex).and_then(|sets| sets.get(&RrType::SOA));
        let given =
            given.and_then(|set| Some(Record { ttl: set.ttl, rdata: set.values.first()?.clone(), ..old_soa.clone() }));
        let given = given.filter(|soa| *soa != old_soa);
        if removed.is_empty() && added.is_empty() && given.is_none() {
            return false;
        }
        let new_soa = given.unwrap_or_else(|| next_soa(&old_soa));
        let nodes = Arc::make_mut(&mut self.nodes);
        for (name, sets) in changed {
            match sets.is_empty() {
                true => drop(nodes.remove(&name)),
                false => drop(nodes.insert(name, Arc::new(sets))),
            }
        }
        let apex = Arc::make_mut(nodes.entry(self.apex.clone()).or_default());
        apex.insert(RrType::SOA, RrSet::new(RrType::SOA, new_soa.ttl, [new_soa.rdata.clone()]));
        let changeset = Changeset { old_soa, new_soa, removed, added };
        self.kept += changeset.len();
        self.journal.push_back(Arc::new(changeset));
        while self.journal.len() > depth.commits || self.kept > depth.records {
            let Some(oldest) = self.journal.pop_front() else { break };
            self.kept -= oldest.len();
        }
        true
    }

    /// The commits since `serial`, oldest first; `None` when the journal does not reach back so far.
    pub(super) fn since(&self, serial: u32) -> Option<Vec<Arc<Changeset>>> {
        let from = self.journal.iter().rposition(|change| soa_serial(&change.old_soa.rdata) == Some(serial))?;
        Some(self.journal.iter().skip(from).cloned().collect())
    }

    /// Forgets the history.
    pub(super) fn forget(&mut self) {
        self.journal.clear();
        self.kept = 0;
    }

    /// The zone as a client that transferred it would see it.
    pub fn view(&self) -> View {
        let mut builder = Builder::new(self.apex.clone());
        for record in self.nodes.iter().flat_map(|(name, sets)| records_of(name, sets)) {
            builder.push(record.name.wire(), record.rtype, record.ttl, &record.rdata);
        }
        builder.finish(self.serial())
    }
}

/// The records of a name.
pub(super) fn records_of<'a>(name: &'a Name, sets: &'a Sets) -> impl Iterator<Item = Record> + 'a {
    sets.iter().flat_map(|(rtype, set)| set_records(name, *rtype, set))
}

/// The records of a set.
pub(super) fn set_records(name: &Name, rtype: RrType, set: &RrSet) -> impl Iterator<Item = Record> {
    set.values.iter().map(move |value| Record::new(name.clone(), rtype, set.ttl, value.clone()))
}

/// Appends what `a` has and `b` has not, the SOA aside. A set whose TTL differs differs in all its records.
fn difference(name: &Name, a: &Sets, b: &Sets, out: &mut Vec<Record>) {
    for (rtype, set) in a.iter().filter(|(rtype, _)| **rtype != RrType::SOA) {
        let other = b.get(rtype).filter(|other| other.ttl == set.ttl);
        for value in &set.values {
            if other.is_none_or(|other| find(other, *rtype, value).is_err()) {
                out.push(Record::new(name.clone(), *rtype, set.ttl, value.clone()));
            }
        }
    }
}

/// Where in the set the value is, or where it would go. Names in values compare without regard to case.
pub(super) fn find(set: &RrSet, rtype: RrType, value: &[u8]) -> Result<usize, usize> {
    let value = rdata::canonical(rtype, value);
    set.values.binary_search_by(|other| rdata::canonical(rtype, other).cmp(&value))
}

/// The SOA with its serial one higher (RFC 1982 §3.1).
pub(super) fn next_serial(soa: &Record) -> Record {
    with_serial(soa, soa_serial(&soa.rdata).unwrap_or_default().wrapping_add(1))
}

/// The SOA with another serial.
pub(super) fn with_serial(soa: &Record, serial: u32) -> Record {
    let mut soa = soa.clone();
    let numbers = soa.rdata.len().saturating_sub(20);
    if let Some(place) = soa.rdata.get_mut(numbers..numbers + 4) {
        place.copy_from_slice(&serial.to_be_bytes());
    }
    soa
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::authority::zonefile;

    const DEPTH: Depth = Depth { commits: 3, records: 100 };

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn zone() -> Zone {
        let text = "$TTL 300\n@ SOA ns0 host 4294967294 1 1 1 60\n@ NS ns0\nns0 A 10.0.0.1\na.b.deep A 10.0.0.2\n";
        zonefile::parse(&n("internal"), text).unwrap()
    }

    fn put(zone: &mut Zone, name: &str, ttl: u32, last: &[u8]) -> bool {
        let values = last.iter().map(|last| [10, 0, 1, *last].into());
        let sets = if last.is_empty() { Sets::new() } else { [(RrType::A, RrSet::new(RrType::A, ttl, values))].into() };
        zone.commit([(n(name), sets)].into(), DEPTH, next_serial)
    }

    #[test]
    fn what_exists() {
        let zone = zone();
        for (name, exists) in [
            ("internal", true),
            ("b.deep.internal", true),
            ("deep.internal", true),
            ("a.b.deep.internal", true),
            ("b.internal", false),
            ("x.a.b.deep.internal", false),
            ("ep.internal", false),
        ] {
            assert_eq!(zone.exists(&n(name)), exists, "{name}");
        }
        assert_eq!(zone.path(&n("a.b.internal")), [n("b.internal"), n("a.b.internal")]);
        assert!(zone.path(&n("internal")).is_empty() && zone.path(&n("other")).is_empty());
    }

    #[test]
    fn the_journal_holds_net_changes_and_serials_wrap() {
        let mut zone = zone();
        assert!(put(&mut zone, "h.internal", 300, &[1, 2]));
        assert_eq!(zone.serial(), u32::MAX);
        assert!(!put(&mut zone, "h.internal", 300, &[2, 1]), "nothing changed");
        assert!(put(&mut zone, "h.internal", 300, &[2, 3]));
        assert_eq!(zone.serial(), 0);
        let steps = zone.since(u32::MAX - 1).unwrap();
        let shape: Vec<_> = steps.iter().map(|step| (step.removed.len(), step.added.len())).collect();
        assert_eq!(shape, [(0, 2), (1, 1)]);
        assert!(put(&mut zone, "h.internal", 60, &[2, 3]), "another TTL moves all records");
        assert_eq!(zone.since(0).unwrap()[0].removed.len(), 2);
        assert!(put(&mut zone, "h.internal", 60, &[]));
        assert!(zone.since(u32::MAX - 1).is_none(), "three commits are kept");
        assert_eq!(zone.since(u32::MAX).unwrap().len(), 3);
        assert!(zone.since(zone.serial()).is_none());
        assert!(!zone.exists(&n("h.internal")));
    }

    #[test]
    fn a_clone_keeps_its_state() {
        let mut zone = zone();
        let before = zone.clone();
        put(&mut zone, "h.internal", 300, &[1]);
        assert!(zone.exists(&n("h.internal")) && !before.exists(&n("h.internal")));
        assert_eq!(before.view().name_count() + 1, zone.view().name_count());
    }
}
