//! RFC 2136 as Knot DNS 3.2 does it (`knot.md` §2): all of a message or nothing, many contradictions silently ignored.

use std::collections::BTreeMap;

use super::zone::{Depth, Sets, Zone, find, next_serial};
use crate::dns::{Class, Message, Opcode, Question, Rcode, Record, serial_newer, soa_serial};
use crate::model::{Name, RrSet, RrType, rdata};

/// Larger records are refused: no signed message of a transfer could carry them.
const MAX_RECORD: usize = 64_900;

/// Checks and applies an UPDATE to its zone. Says whether anything changed; an error changed nothing.
///
/// # Errors
/// The rcode to answer.
pub(super) fn update(zone: &mut Zone, message: &Message, depth: Depth) -> Result<bool, Rcode> {
    prerequisites(zone, &message.answers)?;
    for record in &message.authorities {
        prescan(zone.apex(), record)?;
    }
    let mut work = Work { zone, changed: BTreeMap::new() };
    for record in &message.authorities {
        work.step(record)?;
    }
    work.dnames_stand_alone()?;
    let changed = work.changed;
    Ok(zone.commit(changed, depth, next_serial))
}

/// RFC 2136 §3.1.
///
/// # Errors
/// The rcode to answer.
pub(super) fn check_zone(zone: &Question) -> Result<(), Rcode> {
    match (zone.class, zone.rtype) {
        (Class::IN, RrType::SOA) => Ok(()),
        (Class::IN, _) => Err(Rcode::FORMERR),
        _ => Err(Rcode::NOTIMP),
    }
}

/// Whether an UPDATE holds a record that cannot be what its type says: Knot does not even begin to read such a message.
pub(super) fn is_malformed(message: &Message) -> bool {
    let bad = |record: &Record| match record.class {
        Class::IN => record.rtype.is_meta() || rdata::check(record.rtype, &record.rdata).is_err(),
        _ => !record.rdata.is_empty() && !record.rtype.is_meta() && rdata::check(record.rtype, &record.rdata).is_err(),
    };
    message.opcode == Opcode::UPDATE && message.answers.iter().chain(&message.authorities).any(bad)
}

/// RFC 2136 §3.2.
fn prerequisites(zone: &Zone, records: &[Record]) -> Result<(), Rcode> {
    let mut wanted: BTreeMap<(Name, RrType), Vec<_>> = BTreeMap::new();
    for record in records {
        if record.ttl != 0 {
            return Err(Rcode::FORMERR);
        }
        if !record.name.is_at_or_below(zone.apex()) {
            return Err(Rcode::NOTZONE);
        }
        let any = record.rtype == RrType::ANY;
        let meta = record.rtype.is_meta() && !any;
        let in_use = || zone.node(&record.name).is_some();
        let has_set = || zone.get(&record.name, record.rtype).is_some();
        match record.class {
            Class::ANY | Class::NONE if !record.rdata.is_empty() || meta => return Err(Rcode::FORMERR),
            Class::ANY if any && !in_use() => return Err(Rcode::NXDOMAIN),
            Class::ANY if !any && !has_set() => return Err(Rcode::NXRRSET),
            Class::NONE if any && in_use() => return Err(Rcode::YXDOMAIN),
            Class::NONE if !any && has_set() => return Err(Rcode::YXRRSET),
            Class::ANY | Class::NONE => {}
            Class::IN if !meta && !any && rdata::check(record.rtype, &record.rdata).is_ok() => {
                wanted.entry((record.name.clone(), record.rtype)).or_default().push(record.rdata.clone());
            }
            _ => return Err(Rcode::FORMERR),
        }
    }
    for ((name, rtype), values) in wanted {
        let wanted = RrSet::new(rtype, 0, values);
        if !zone.get(&name, rtype).is_some_and(|set| set.same_values(&wanted, rtype)) {
            return Err(Rcode::NXRRSET);
        }
    }
    Ok(())
}

/// RFC 2136 §3.4.1, with the leniency of Knot for the TTL of class ANY.
fn prescan(apex: &Name, record: &Record) -> Result<(), Rcode> {
    if !record.name.is_at_or_below(apex) {
        return Err(Rcode::NOTZONE);
    }
    let meta = record.rtype.is_meta();
    let well_formed = || rdata::check(record.rtype, &record.rdata).is_ok();
    let good = match record.class {
        Class::IN => !meta && well_formed(),
        Class::ANY => (!meta || record.rtype == RrType::ANY) && record.rdata.is_empty(),
        Class::NONE => !meta && record.ttl == 0 && well_formed(),
        _ => false,
    };
    if !good {
        return Err(Rcode::FORMERR);
    }
    let add = record.class == Class::IN;
    if add && record.rtype == RrType::NSEC3PARAM && record.name != *apex {
        return Err(Rcode::REFUSED);
    }
    if add && record.name.wire().len() + 10 + record.rdata.len() > MAX_RECORD {
        return Err(Rcode::REFUSED);
    }
    Ok(())
}

/// The zone with the changes of one message laid over it.
struct Work<'a> {
    zone: &'a Zone,
    changed: BTreeMap<Name, Sets>,
}

impl Work<'_> {
    fn sets(&self, name: &Name) -> Option<&Sets> {
        self.changed.get(name).or_else(|| self.zone.node(name).map(AsRef::as_ref))
    }

    fn sets_mut(&mut self, name: &Name) -> &mut Sets {
        let zone = self.zone;
        self.changed
            .entry(name.clone())
            .or_insert_with(|| zone.node(name).map(|sets| sets.as_ref().clone()).unwrap_or_default())
    }

    /// RFC 2136 §3.4.2.
    fn step(&mut self, record: &Record) -> Result<(), Rcode> {
        let apex = record.name == *self.zone.apex();
        match (record.class, record.rtype) {
            // Signing is the server's own business, so it ignores these in updates.
            (Class::IN, RrType::RRSIG | RrType::NSEC | RrType::NSEC3) => {}
            (Class::IN, RrType::SOA) => self.add_soa(record, apex)?,
            (Class::IN, RrType::CNAME) => self.add_cname(record),
            (Class::IN, _) => self.add(record),
            (_, RrType::SOA) => {}
            (Class::ANY, RrType::ANY) if apex => {
                self.sets_mut(&record.name).retain(|rtype, _| matches!(*rtype, RrType::SOA | RrType::NS));
            }
            (Class::ANY, RrType::ANY) => self.sets_mut(&record.name).clear(),
            (Class::ANY, RrType::NS) if apex => {}
            (Class::ANY, rtype) => drop(self.sets_mut(&record.name).remove(&rtype)),
            (_, rtype) => self.remove(record, apex && rtype == RrType::NS),
        }
        Ok(())
    }

    /// A SOA with a higher serial takes the place of the present one; others are ignored.
    fn add_soa(&mut self, record: &Record, apex: bool) -> Result<(), Rcode> {
        let new = soa_serial(&record.rdata).ok_or(Rcode::FORMERR)?;
        let sets = if apex { self.sets_mut(&record.name) } else { return Ok(()) };
        let old = sets.get(&RrType::SOA).and_then(|set| soa_serial(set.values.first()?));
        if old.is_none_or(|old| serial_newer(new, old)) {
            sets.insert(RrType::SOA, RrSet::new(RrType::SOA, record.ttl, [record.rdata.clone()]));
        }
        Ok(())
    }

    /// A second CNAME takes the place of the first, and be it for its TTL; beside other records it is ignored.
    fn add_cname(&mut self, record: &Record) {
        let sets = self.sets_mut(&record.name);
        let same = |set: &RrSet| set.ttl == record.ttl && find(set, RrType::CNAME, &record.rdata).is_ok();
        let old = sets.get(&RrType::CNAME);
        if (old.is_some() || sets.is_empty()) && !old.is_some_and(same) {
            sets.insert(RrType::CNAME, RrSet::new(RrType::CNAME, record.ttl, [record.rdata.clone()]));
        }
    }

    /// Beside a CNAME other records are ignored; an existing record keeps its TTL, a new one gives its to the set.
    fn add(&mut self, record: &Record) {
        let rtype = record.rtype;
        let sets = self.sets_mut(&record.name);
        if sets.contains_key(&RrType::CNAME) {
            return;
        }
        let set = sets.entry(rtype).or_insert_with(|| RrSet::new(rtype, record.ttl, []));
        if let Err(at) = find(set, rtype, &record.rdata) {
            set.values.insert(at, record.rdata.clone());
            set.ttl = record.ttl;
        }
    }

    /// Removes one value, unless it is the last one of a set that must stay.
    fn remove(&mut self, record: &Record, keep_last: bool) {
        let sets = self.sets_mut(&record.name);
        let Some(set) = sets.get_mut(&record.rtype) else { return };
        let Ok(at) = find(set, record.rtype, &record.rdata) else { return };
        if keep_last && set.len() == 1 {
            return;
        }
        set.values.remove(at);
        if set.is_empty() {
            sets.remove(&record.rtype);
        }
    }

    /// A DNAME has no second value and nothing below it (RFC 6672 §2.3, §2.4); Knot 3.2 refuses the whole message.
    fn dnames_stand_alone(&self) -> Result<(), Rcode> {
        let dname = |name: &Name| self.sets(name).and_then(|sets| sets.get(&RrType::DNAME));
        for (name, sets) in self.changed.iter().filter(|(_, sets)| !sets.is_empty()) {
            let below = || {
                let old = self.zone.nodes().range::<Name, _>(name..).skip_while(|(found, _)| *found == name);
                let mut old = old.take_while(|(found, _)| found.is_below(name));
                let mut new = self.changed.iter().filter(|(found, sets)| !sets.is_empty() && found.is_below(name));
                new.next().is_some() || old.any(|(found, _)| !self.changed.contains_key(found))
            };
            if sets.get(&RrType::DNAME).is_some_and(|set| set.len() > 1 || below()) {
                return Err(Rcode::REFUSED);
            }
            let above = self.zone.path(name).into_iter().chain([self.zone.apex().clone()]);
            if above.filter(|above| above != name).any(|above| dname(&above).is_some()) {
                return Err(Rcode::REFUSED);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
