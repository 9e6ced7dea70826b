//! UPDATE messages (RFC 2136 §2).

use super::message::{Class, Opcode};
use super::wire::{Compressor, HEADER};
use crate::model::{FastSet, Name, RrType};
use crate::plan::{Edit, Guard};

/// Octets of an UPDATE of this zone with nothing in it: header and zone section.
pub fn base_size(zone: &Name) -> usize {
    HEADER + zone.wire().len() + 4
}

/// How many octets this prerequisite takes at most, in an UPDATE of `zone`.
pub fn guard_size(zone: &Name, guard: &Guard) -> usize {
    match guard {
        Guard::NameNotInUse(name) | Guard::NameInUse(name) | Guard::SetAbsent(name, _) | Guard::SetExists(name, _) => {
            record_size(zone, name, 0)
        }
        Guard::SetIs(name, _, values) => values
            .iter()
            .map(|value| record_size(zone, name, value.len()))
            .sum::<usize>()
            .max(record_size(zone, name, 0)),
    }
}

/// How many octets this step takes at most, in an UPDATE of `zone`.
pub fn edit_size(zone: &Name, edit: &Edit) -> usize {
    match edit {
        Edit::Remove(name, _, rdata) | Edit::Add(name, _, _, rdata) => record_size(zone, name, rdata.len()),
    }
}

/// Names in the zone point at the zone section for the part that they share with it.
fn record_size(zone: &Name, name: &Name, rdata: usize) -> usize {
    let owner = match name.wire().len() {
        len if name.is_at_or_below(zone) && !zone.is_root() => len - zone.wire().len() + 2,
        len => len,
    };
    owner + 10 + rdata
}

/// The UPDATE of `zone` with these prerequisites and steps, unsigned.
///
/// A prerequisite stands once however often it is given. Removes come before adds, save that new NS records of the
/// apex come first of all: servers silently keep the last one of a zone (RFC 2136 §3.4.2.4). Sections hold at most
/// 65,535 records and a TCP message 65,535 octets with its signature; see [`base_size`], [`guard_size`] and
/// [`edit_size`].
pub fn encode<'a>(
    zone: &Name,
    id: u16,
    guards: impl IntoIterator<Item = &'a Guard>,
    edits: impl IntoIterator<Item = &'a Edit>,
) -> Vec<u8> {
    let mut writer = Writer { out: Vec::with_capacity(usize::from(u16::MAX)), names: Compressor::of(zone) };
    writer.out.extend_from_slice(&id.to_be_bytes());
    writer.out.extend_from_slice(&[Opcode::UPDATE.0 << 3, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    writer.names.write(&mut writer.out, zone);
    writer.out.extend_from_slice(&RrType::SOA.0.to_be_bytes());
    writer.out.extend_from_slice(&Class::IN.0.to_be_bytes());

    let mut seen = FastSet::with_capacity_and_hasher(1024, Default::default());
    let mut prerequisites = 0u16;
    for guard in guards.into_iter().filter(|guard| seen.insert(*guard)) {
        prerequisites += writer.guard(guard);
    }

    let edits: Vec<&Edit> = edits.into_iter().collect();
    let order = |edit: &Edit| match edit {
        Edit::Add(name, RrType::NS, ..) if name == zone => 0,
        Edit::Remove(..) => 1,
        Edit::Add(..) => 2,
    };
    let mut updates = 0u16;
    for step in 0..3 {
        for edit in edits.iter().filter(|edit| order(edit) == step) {
            match edit {
                // RFC 2136 §2.5.4 and §2.5.1.
                Edit::Remove(name, rtype, rdata) => writer.record(name, *rtype, Class::NONE, 0, rdata),
                Edit::Add(name, rtype, ttl, rdata) => writer.record(name, *rtype, Class::IN, *ttl, rdata),
            }
            updates += 1;
        }
    }
    let mut out = writer.out;
    out[6..8].copy_from_slice(&prerequisites.to_be_bytes());
    out[8..10].copy_from_slice(&updates.to_be_bytes());
    out
}

struct Writer<'a> {
    out: Vec<u8>,
    names: Compressor<'a>,
}

impl<'a> Writer<'a> {
    fn record(&mut self, name: &'a Name, rtype: RrType, class: Class, ttl: u32, rdata: &[u8]) {
        self.names.write(&mut self.out, name);
        let mut fixed = [0u8; 10];
        fixed[..2].copy_from_slice(&rtype.0.to_be_bytes());
        fixed[2..4].copy_from_slice(&class.0.to_be_bytes());
        fixed[4..8].copy_from_slice(&ttl.to_be_bytes());
        fixed[8..].copy_from_slice(&(rdata.len() as u16).to_be_bytes());
        self.out.extend_from_slice(&fixed);
        self.out.extend_from_slice(rdata);
    }

    /// Writes one prerequisite (RFC 2136 §2.4); gives the number of records.
    fn guard(&mut self, guard: &'a Guard) -> u16 {
        match guard {
            Guard::NameNotInUse(name) => self.record(name, RrType::ANY, Class::NONE, 0, &[]),
            Guard::NameInUse(name) => self.record(name, RrType::ANY, Class::ANY, 0, &[]),
            Guard::SetAbsent(name, rtype) => self.record(name, *rtype, Class::NONE, 0, &[]),
            Guard::SetExists(name, rtype) => self.record(name, *rtype, Class::ANY, 0, &[]),
            // A set of no values is an absent one; written as no record at all it would guard nothing.
            Guard::SetIs(name, rtype, values) if values.is_empty() => self.record(name, *rtype, Class::NONE, 0, &[]),
            Guard::SetIs(name, rtype, values) => {
                for value in values {
                    self.record(name, *rtype, Class::IN, 0, value);
                }
                return values.len() as u16;
            }
        }
        1
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dns::{Message, Question, Record};
    use crate::model::Rdata;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn rd(octets: &[u8]) -> Rdata {
        octets.into()
    }

    fn record(name: &str, rtype: RrType, class: Class, ttl: u32, rdata: &[u8]) -> Record {
        Record { name: n(name), rtype, class, ttl, rdata: rdata.into() }
    }

    #[test]
    fn every_form_of_rfc_2136() {
        let guards = [
            Guard::NameNotInUse(n("a.internal")),
            Guard::NameInUse(n("b.internal")),
            Guard::SetAbsent(n("c.internal"), RrType::CNAME),
            Guard::SetExists(n("d.internal"), RrType::A),
            Guard::SetIs(n("e.internal"), RrType::A, vec![rd(&[10, 0, 0, 1]), rd(&[10, 0, 0, 2])]),
            Guard::SetIs(n("f.internal"), RrType::TXT, vec![]),
            Guard::NameNotInUse(n("a.internal")),
        ];
        let edits = [
            Edit::Add(n("a.internal"), RrType::A, 300, rd(&[10, 0, 0, 3])),
            Edit::Remove(n("e.internal"), RrType::A, rd(&[10, 0, 0, 1])),
        ];
        let message = Message::parse(&encode(&n("internal"), 77, &guards, &edits)).unwrap();
        assert_eq!((message.id, message.opcode, message.response), (77, Opcode::UPDATE, false));
        assert_eq!(message.questions, [Question { name: n("internal"), rtype: RrType::SOA, class: Class::IN }]);
        assert_eq!(
            message.answers,
            [
                record("a.internal", RrType::ANY, Class::NONE, 0, &[]),
                record("b.internal", RrType::ANY, Class::ANY, 0, &[]),
                record("c.internal", RrType::CNAME, Class::NONE, 0, &[]),
                record("d.internal", RrType::A, Class::ANY, 0, &[]),
                record("e.internal", RrType::A, Class::IN, 0, &[10, 0, 0, 1]),
                record("e.internal", RrType::A, Class::IN, 0, &[10, 0, 0, 2]),
                record("f.internal", RrType::TXT, Class::NONE, 0, &[]),
            ]
        );
        assert_eq!(
            message.authorities,
            [
                record("e.internal", RrType::A, Class::NONE, 0, &[10, 0, 0, 1]),
                record("a.internal", RrType::A, Class::IN, 300, &[10, 0, 0, 3]),
            ]
        );
    }

    #[test]
    fn new_apex_ns_come_before_the_old_ones_go() {
        let edits = [
            Edit::Remove(n("internal"), RrType::NS, rd(b"\x01a\x00")),
            Edit::Remove(n("sub.internal"), RrType::NS, rd(b"\x01a\x00")),
            Edit::Add(n("sub.internal"), RrType::NS, 300, rd(b"\x01b\x00")),
            Edit::Add(n("internal"), RrType::NS, 300, rd(b"\x01b\x00")),
        ];
        let message = Message::parse(&encode(&n("internal"), 1, &[], &edits)).unwrap();
        let order: Vec<(String, Class)> = message.authorities.iter().map(|r| (r.name.to_relaxed(), r.class)).collect();
        let expected = [
            ("internal", Class::IN),
            ("internal", Class::NONE),
            ("sub.internal", Class::NONE),
            ("sub.internal", Class::IN),
        ];
        assert_eq!(order, expected.map(|(name, class)| (name.to_owned(), class)));
    }

    #[test]
    fn sizes_are_upper_bounds_and_close() {
        let zone = n("internal");
        let mut guards = Vec::new();
        let mut edits = Vec::new();
        for i in 0..600 {
            let (name, marker) = (n(&format!("host{i:05}.internal")), n(&format!("_knotwork.host{i:05}.internal")));
            guards.push(Guard::SetIs(marker.clone(), RrType::TXT, vec![rd(&[b'x'; 76])]));
            guards.push(Guard::SetIs(name.clone(), RrType::A, vec![rd(&[10, 0, 0, 1])]));
            edits.push(Edit::Remove(name.clone(), RrType::A, rd(&[10, 0, 0, 1])));
            edits.push(Edit::Add(name, RrType::A, 300, rd(&[10, 0, 0, 2])));
        }
        let estimate = base_size(&zone)
            + guards.iter().map(|guard| guard_size(&zone, guard)).sum::<usize>()
            + edits.iter().map(|edit| edit_size(&zone, edit)).sum::<usize>();
        let real = encode(&zone, 1, &guards, &edits).len();
        assert!(real <= estimate && estimate - real < estimate / 8, "{real} of {estimate}");
        let lone = Edit::Add(n("x.internal"), RrType::A, 300, rd(&[10, 0, 0, 2]));
        let out_of_zone = Edit::Add(n("x.y"), RrType::A, 300, rd(&[10, 0, 0, 2]));
        for edit in [lone, out_of_zone] {
            assert_eq!(encode(&zone, 1, &[], [&edit]).len(), base_size(&zone) + edit_size(&zone, &edit));
        }
        let root = Edit::Add(n("x"), RrType::A, 300, rd(&[10, 0, 0, 2]));
        assert_eq!(encode(&n("."), 1, &[], [&root]).len(), base_size(&n(".")) + edit_size(&n("."), &root));
    }
}
