//! Applying the differences of an incremental transfer, and noticing those that cannot be.

use std::collections::BTreeMap;

use crate::model::{Name, Rdata, RrSet, RrType, rdata};

use super::node::{pack, unpack};
use super::store::Change;
use super::{View, dropped, key};

/// A record of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Owner name.
    pub name: Name,
    /// Type.
    pub rtype: RrType,
    /// Seconds.
    pub ttl: u32,
    /// Uncompressed wire form, in the letter case of the transfer.
    pub rdata: Rdata,
}

/// The step from one serial to the next (RFC 1995 §4). The SOA records of both are the first of their lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The serial before.
    pub from: u32,
    /// The serial after.
    pub to: u32,
    /// What goes, the old SOA first.
    pub removed: Vec<Entry>,
    /// What comes, the new SOA first.
    pub added: Vec<Entry>,
}

/// Why differences do not fit a view: it is not what the server has, so only a full transfer helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// The step does not start at the serial reached so far.
    #[error("the difference starts at serial {from}, our copy is at {have}")]
    Serial {
        /// The serial reached.
        have: u32,
        /// The serial that the step starts at.
        from: u32,
    },
    /// A record to remove is not there.
    #[error("the difference removes a {1} record of {0} that our copy does not have")]
    Missing(Name, RrType),
    /// A record to add is there.
    #[error("the difference adds a {1} record of {0} that our copy has already")]
    Present(Name, RrType),
    /// A record of another zone.
    #[error("the difference holds {0}, which is outside the zone")]
    OutOfZone(Name),
}

impl Impossible {
    /// The stable word for it.
    pub fn reason(&self) -> &'static str {
        "ViewDiverged"
    }
}

/// The record sets of one name while differences are applied.
type Sets = Vec<(RrType, RrSet)>;

impl View {
    /// Applies the steps in order; gives the names whose record sets are others than before, the SOA not counted.
    ///
    /// A server that moves a set to another TTL removes and adds its records; the set takes the TTL of what came last.
    ///
    /// # Errors
    /// [`Impossible`]; the view is then as it was.
    pub fn apply(&mut self, diffs: &[Diff]) -> Result<Vec<Name>, Impossible> {
        // Touched names only, unpacked; nothing is written before every step was found possible.
        let mut touched: BTreeMap<Vec<u8>, Sets> = BTreeMap::new();
        let mut serial = self.serial;
        let mut dnssec = self.dnssec;
        for diff in diffs {
            if diff.from != serial {
                return Err(Impossible::Serial { have: serial, from: diff.from });
            }
            serial = diff.to;
            for entry in &diff.removed {
                if dropped(entry.rtype) {
                    dnssec = dnssec.saturating_sub(1);
                } else if !remove(self.open(&mut touched, &entry.name)?, entry.rtype, &entry.rdata) {
                    return Err(Impossible::Missing(entry.name.clone(), entry.rtype));
                }
            }
            for entry in &diff.added {
                if dropped(entry.rtype) {
                    dnssec += 1;
                } else if !add(self.open(&mut touched, &entry.name)?, entry.rtype, entry.ttl, entry.rdata.clone()) {
                    return Err(Impossible::Present(entry.name.clone(), entry.rtype));
                }
            }
        }
        let mut names = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        for (key, sets) in touched {
            let body = pack(&sets);
            let before = self.store.get(&key).unwrap_or_default();
            if body == before {
                continue;
            }
            let other =
                |body: &[u8]| unpack(body).into_iter().filter(|(rtype, _)| *rtype != RrType::SOA).collect::<Sets>();
            if !key.is_empty() || pack(&other(&body)) != pack(&other(before)) {
                names.push(key::name(&key, &self.zone));
            }
            changes.push((key, (!body.is_empty()).then_some(body)));
        }
        self.store.change(&changes);
        self.serial = serial;
        self.dnssec = dnssec;
        Ok(names)
    }

    fn open<'t>(&self, touched: &'t mut BTreeMap<Vec<u8>, Sets>, name: &Name) -> Result<&'t mut Sets, Impossible> {
        let key = key::of(name, &self.zone).ok_or_else(|| Impossible::OutOfZone(name.clone()))?;
        let sets = || self.store.get(&key).map(unpack).unwrap_or_default();
        // `entry` would need the key twice.
        if !touched.contains_key(&key) {
            let sets = sets();
            return Ok(touched.entry(key).or_insert(sets));
        }
        touched.get_mut(&key).ok_or_else(|| Impossible::OutOfZone(name.clone()))
    }
}

/// Adds a record to the sets of a name; `false` when it was there. The set takes the TTL either way.
pub(super) fn add(sets: &mut Sets, rtype: RrType, ttl: u32, value: Rdata) -> bool {
    let set = match sets.binary_search_by_key(&rtype, |(rtype, _)| *rtype) {
        Ok(at) => &mut sets[at].1,
        Err(at) => {
            sets.insert(at, (rtype, RrSet { ttl, values: vec![value] }));
            return true;
        }
    };
    set.ttl = ttl;
    let place = find(set, rtype, &value);
    if let Err(at) = place {
        set.values.insert(at, value);
    }
    place.is_err()
}

/// Removes a record from the sets of a name; `false` when it was not there.
pub(super) fn remove(sets: &mut Sets, rtype: RrType, value: &[u8]) -> bool {
    let Ok(place) = sets.binary_search_by_key(&rtype, |(rtype, _)| *rtype) else { return false };
    let Ok(at) = find(&sets[place].1, rtype, value) else { return false };
    sets[place].1.values.remove(at);
    if sets[place].1.values.is_empty() {
        sets.remove(place);
    }
    true
}

/// Where a value is in a set, or would be.
fn find(set: &RrSet, rtype: RrType, value: &[u8]) -> Result<usize, usize> {
    let value = rdata::canonical(rtype, value);
    set.values.binary_search_by(|other| rdata::canonical(rtype, other).cmp(&value))
}
