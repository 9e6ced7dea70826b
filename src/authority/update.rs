//! UPDATE processing (RFC 2136 §3), all or nothing.

use super::store::{Store, ZoneState};
use crate::dns::{Class, Message, Rcode, Record, serial_newer, soa_serial};
use crate::model::{Name, RrSet, RrType, rdata};
use crate::view::{Entry, View};

/// Applies an UPDATE message and gives its rcode.
pub(super) fn apply(store: &mut Store, message: &Message) -> Rcode {
    let [zone] = message.questions.as_slice() else { return Rcode::FORMERR };
    if zone.rtype != RrType::SOA {
        return Rcode::FORMERR;
    }
    if zone.class != Class::IN {
        return Rcode::NOTIMP;
    }
    let Some(state) = store.zones.get_mut(&zone.name) else { return Rcode::NOTAUTH };
    if let Err(rcode) = prerequisites(&state.view, &message.answers) {
        return rcode;
    }
    if let Err(rcode) = prescan(state.view.zone(), &message.authorities) {
        return rcode;
    }
    let mut draft = Draft { next: state.view.clone(), removed: Vec::new(), added: Vec::new(), serial: None };
    for record in &message.authorities {
        draft.take(record);
    }
    draft.finish(state);
    Rcode::NOERROR
}

/// RFC 2136 §3.2.
fn prerequisites(view: &View, records: &[Record]) -> Result<(), Rcode> {
    let mut exact: Vec<(&Name, RrType, Vec<&[u8]>)> = Vec::new();
    for record in records {
        let Record { name, rtype, class, ttl, rdata } = record;
        if *ttl != 0 {
            return Err(Rcode::FORMERR);
        }
        if !name.is_at_or_below(view.zone()) {
            return Err(Rcode::NOTZONE);
        }
        match *class {
            Class::ANY | Class::NONE if !rdata.is_empty() => return Err(Rcode::FORMERR),
            Class::ANY if *rtype == RrType::ANY => {
                if !view.in_use(name) {
                    return Err(Rcode::NXDOMAIN);
                }
            }
            Class::ANY => {
                if view.get(name, *rtype).is_none() {
                    return Err(Rcode::NXRRSET);
                }
            }
            Class::NONE if *rtype == RrType::ANY => {
                if view.in_use(name) {
                    return Err(Rcode::YXDOMAIN);
                }
            }
            Class::NONE => {
                if view.get(name, *rtype).is_some() {
                    return Err(Rcode::YXRRSET);
                }
            }
            Class::IN => match exact.iter_mut().find(|(n, t, _)| *n == name && t == rtype) {
                Some((_, _, values)) => values.push(rdata),
                None => exact.push((name, *rtype, vec![rdata])),
            },
            _ => return Err(Rcode::FORMERR),
        }
    }
    for (name, rtype, values) in exact {
        let wanted = RrSet::new(rtype, 0, values.into_iter().map(Into::into));
        if !view.get(name, rtype).is_some_and(|set| set.same_values(&wanted, rtype)) {
            return Err(Rcode::NXRRSET);
        }
    }
    Ok(())
}

/// RFC 2136 §3.4.1.
fn prescan(zone: &Name, records: &[Record]) -> Result<(), Rcode> {
    for Record { name, rtype, class, ttl, rdata } in records {
        if !name.is_at_or_below(zone) {
            return Err(Rcode::NOTZONE);
        }
        let meta = rtype.is_meta() && *rtype != RrType::ANY;
        let good = match *class {
            Class::IN => !meta && *rtype != RrType::ANY && rdata::check(*rtype, rdata).is_ok(),
            Class::ANY => *ttl == 0 && rdata.is_empty() && !meta,
            Class::NONE => *ttl == 0 && !meta && *rtype != RrType::ANY,
            _ => false,
        };
        if !good {
            return Err(Rcode::FORMERR);
        }
    }
    Ok(())
}

/// The zone as the message would leave it.
struct Draft {
    next: View,
    removed: Vec<Entry>,
    added: Vec<Entry>,
    serial: Option<u32>,
}

impl Draft {
    /// RFC 2136 §3.4.2.
    fn take(&mut self, record: &Record) {
        let Record { name, rtype, class, ttl, rdata } = record;
        let apex = name == self.next.zone();
        match *class {
            Class::IN => self.insert(name, *rtype, *ttl, rdata, apex),
            Class::ANY if *rtype == RrType::ANY => {
                for (rtype, set) in self.next.at(name) {
                    if !(apex && matches!(rtype, RrType::SOA | RrType::NS)) {
                        self.wipe(name, rtype, &set);
                    }
                }
            }
            Class::ANY => {
                if !(apex && matches!(*rtype, RrType::SOA | RrType::NS))
                    && let Some(set) = self.next.get(name, *rtype)
                {
                    self.wipe(name, *rtype, &set);
                }
            }
            _ => {
                // The SOA stays, and so does the last NS of the zone.
                let last =
                    apex && *rtype == RrType::NS && self.next.get(name, *rtype).is_some_and(|set| set.len() == 1);
                if !(apex && *rtype == RrType::SOA) && !last {
                    self.remove(name, *rtype, rdata);
                }
            }
        }
    }

    fn insert(&mut self, name: &Name, rtype: RrType, ttl: u32, rdata: &[u8], apex: bool) {
        if rtype == RrType::SOA {
            let newer = soa_serial(rdata).filter(|serial| apex && serial_newer(*serial, self.next.serial()));
            self.serial = newer.or(self.serial);
            return;
        }
        let here = self.next.at(name);
        let beside = |other: &RrType| *other != rtype && !other.is_dnssec();
        if rtype == RrType::CNAME && here.iter().any(|(other, _)| beside(other)) {
            return;
        }
        if rtype != RrType::CNAME && !rtype.is_dnssec() && here.iter().any(|(other, _)| *other == RrType::CNAME) {
            return;
        }
        let old = here.into_iter().find(|(other, _)| *other == rtype).map(|(_, set)| set);
        let Some(old) = old else { return self.add(name, rtype, ttl, rdata) };
        if matches!(rtype, RrType::CNAME | RrType::DNAME) {
            // A second one replaces the first.
            if !old.values.iter().any(|value| rdata::same(rtype, value, rdata)) {
                self.wipe(name, rtype, &old);
                self.add(name, rtype, ttl, rdata);
            }
            return;
        }
        if old.values.iter().any(|value| rdata::same(rtype, value, rdata)) {
            // There already: its TTL stays, as in Knot.
            return;
        }
        if old.ttl != ttl {
            // A new record with another TTL takes the whole set along.
            self.wipe(name, rtype, &old);
            for value in &old.values {
                self.add(name, rtype, ttl, value);
            }
        }
        self.add(name, rtype, ttl, rdata);
    }

    fn wipe(&mut self, name: &Name, rtype: RrType, set: &RrSet) {
        for value in &set.values {
            self.remove(name, rtype, value);
        }
    }

    fn remove(&mut self, name: &Name, rtype: RrType, rdata: &[u8]) {
        let Some(set) = self.next.get(name, rtype) else { return };
        let Some(value) = set.values.iter().find(|value| rdata::same(rtype, value, rdata)) else { return };
        self.next.remove(name, rtype, value);
        let entry = Entry { name: name.clone(), rtype, ttl: set.ttl, rdata: value.clone() };
        cancel(&mut self.added, &mut self.removed, entry);
    }

    fn add(&mut self, name: &Name, rtype: RrType, ttl: u32, rdata: &[u8]) {
        self.next.add(name, rtype, ttl, rdata.into());
        let entry = Entry { name: name.clone(), rtype, ttl, rdata: rdata.into() };
        cancel(&mut self.removed, &mut self.added, entry);
    }

    fn finish(self, state: &mut ZoneState) {
        if self.removed.is_empty() && self.added.is_empty() && self.serial.is_none() {
            return;
        }
        state.commit(self.next, self.removed, self.added, self.serial);
    }
}

/// History tells net effects only: what goes and comes back in one message was never gone.
fn cancel(other: &mut Vec<Entry>, own: &mut Vec<Entry>, entry: Entry) {
    match other.iter().position(|there| *there == entry) {
        Some(at) => {
            other.remove(at);
        }
        None => own.push(entry),
    }
}
