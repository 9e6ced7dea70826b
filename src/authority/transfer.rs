//! Zone transfers out (RFC 5936, RFC 1995): messages of bounded size from one state of a zone.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::zone::{Nodes, Zone, next_serial, records_of};
use crate::dns::{Message, Rcode, Record, serial_newer, soa_serial};
use crate::model::{Name, RrType};

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The SOA alone: nothing new, or a question over UDP.
    Soa,
    /// The commits since the client's serial.
    Changes,
    /// Everything.
    Whole,
}

/// How the transfer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With the SOA that it began with.
    Right,
    /// Without a SOA.
    Missing,
    /// With the SOA of another serial.
    OtherSerial,
}

/// The messages of one transfer, unsigned.
pub(super) struct Transfer {
    /// What was decided to send.
    pub(super) kind: Kind,
    head: Message,
    records: Box<dyn Iterator<Item = Record> + Send>,
    next: Option<Record>,
    limit: usize,
    sent: usize,
}

/// Prepares the answer to an AXFR or IXFR question.
///
/// # Errors
/// FORMERR for an IXFR question that does not tell the client's serial.
pub(super) fn start(
    zone: &Zone,
    request: &Message,
    udp: bool,
    history: bool,
    ending: Ending,
    limit: usize,
) -> Result<Transfer, Rcode> {
    let soa = zone.soa();
    let (mut kind, mut changes) = (Kind::Whole, Vec::new());
    if request.questions.first().is_some_and(|question| question.rtype == RrType::IXFR) {
        let told = request.authorities.iter().find(|record| record.rtype == RrType::SOA);
        let have = told.and_then(|soa| soa_serial(&soa.rdata)).ok_or(Rcode::FORMERR)?;
        // A client ahead of us learns that from the SOA alone.
        if udp || !serial_newer(zone.serial(), have) {
            kind = Kind::Soa;
        } else if let Some(since) = zone.since(have).filter(|_| history) {
            (kind, changes) = (Kind::Changes, since);
        }
    }
    let last = match ending {
        _ if kind == Kind::Soa => None,
        Ending::Right => Some(soa.clone()),
        Ending::Missing => None,
        Ending::OtherSerial => Some(next_serial(&soa)),
    };
    let body: Box<dyn Iterator<Item = Record> + Send> = match kind {
        Kind::Soa => Box::new(std::iter::empty()),
        Kind::Whole => Box::new(contents(Arc::clone(zone.nodes()))),
        Kind::Changes => Box::new(changes.into_iter().flat_map(|change| {
            let halves = [(&change.old_soa, &change.removed), (&change.new_soa, &change.added)];
            let records = halves.into_iter().flat_map(|(soa, records)| std::iter::once(soa).chain(records));
            records.cloned().collect::<Vec<_>>()
        })),
    };
    let mut records = Box::new(std::iter::once(soa).chain(body).chain(last));
    let next = records.next();
    let head = Message { authoritative: true, ..request.answer(Rcode::NOERROR) };
    Ok(Transfer { kind, head, records, next, limit, sent: 0 })
}

/// All records but the SOA, one name at a time.
fn contents(nodes: Arc<Nodes>) -> impl Iterator<Item = Record> {
    let mut last: Option<Name> = None;
    let names = std::iter::from_fn(move || {
        let (name, sets) = match &last {
            None => nodes.first_key_value(),
            Some(last) => nodes.range::<Name, _>((Excluded(last), Unbounded)).next(),
        }?;
        last = Some(name.clone());
        Some(records_of(name, sets).filter(|record| record.rtype != RrType::SOA).collect::<Vec<_>>())
    });
    names.flatten()
}

impl Iterator for Transfer {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let first = self.next.take()?;
        let size = |record: &Record| record.name.wire().len() + 10 + record.rdata.len();
        let mut message = self.head.clone();
        if self.sent > 0 {
            // RFC 5936 §2.2.1: later messages need no question.
            message.questions.clear();
        }
        self.sent += 1;
        let mut used = 12 + 300 + size(&first);
        message.answers.push(first);
        for record in self.records.by_ref() {
            used += size(&record);
            if used > self.limit {
                self.next = Some(record);
                break;
            }
            message.answers.push(record);
        }
        Some(message)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::zone::{Depth, Sets};
    use super::*;
    use crate::authority::zonefile;
    use crate::dns::xfr::{Reader, Transfer as Read, XfrError};
    use crate::model::RrSet;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn zone(hosts: usize) -> Zone {
        let mut text = "$TTL 300\n@ SOA ns0 host 10 1 1 1 60\n@ NS ns0\n".to_owned();
        (0..hosts).for_each(|i| text.push_str(&format!("host{i} A 10.0.{}.{}\n", i / 256, i % 256)));
        let mut zone = zonefile::parse(&n("internal"), &text).unwrap();
        for host in 0..3u8 {
            let set = RrSet::new(RrType::A, 60, [[10, 9, 9, host].into()]);
            let sets: Sets = [(RrType::A, set)].into();
            zone.commit([(n("moving.internal"), sets)].into(), Depth { commits: 2, records: 1000 }, next_serial);
        }
        zone
    }

    fn run(zone: &Zone, have: Option<u32>, udp: bool, ending: Ending) -> (Kind, usize, Result<Read, XfrError>) {
        let question = Message::parse(&crate::dns::xfr::question(zone.apex(), 9, have)).unwrap();
        let transfer = start(zone, &question, udp, true, ending, 16_384).unwrap();
        let kind = transfer.kind;
        let mut reader = Reader::new(zone.apex().clone(), 9, have, None);
        let messages: Vec<Vec<u8>> = transfer.map(|message| message.encode()).collect();
        assert!(messages.iter().all(|message| message.len() <= 16_384));
        let count = messages.len();
        let mut pushed = Ok(());
        for message in messages {
            pushed = pushed.and_then(|()| reader.push(message, 0).map(drop));
        }
        (kind, count, pushed.and_then(|()| reader.finish()))
    }

    #[test]
    fn whole_zones_come_in_several_messages() {
        let zone = zone(5000);
        let (_, count, read) = run(&zone, None, false, Ending::Right);
        let Read::Full(view) = read.unwrap() else { panic!() };
        assert!(count > 5 && view.same_content(&zone.view()) && view.serial() == 13);
        // Older than the journal: the whole zone in answer to IXFR.
        assert!(matches!(run(&zone, Some(10), false, Ending::Right), (Kind::Whole, _, Ok(Read::Full(_)))));
    }

    #[test]
    fn changes_take_an_old_copy_forward() {
        let zone = zone(10);
        let (kind, count, read) = run(&zone, Some(11), false, Ending::Right);
        assert_eq!((kind, count), (Kind::Changes, 1));
        let Read::Delta(diffs) = read.unwrap() else { panic!() };
        assert_eq!(diffs.iter().map(|d| (d.from, d.to)).collect::<Vec<_>>(), [(11, 12), (12, 13)]);
        for have in [13, 14, 4000] {
            assert!(matches!(run(&zone, Some(have), false, Ending::Right).2, Ok(Read::UpToDate | Read::Behind(13))));
        }
        assert_eq!(run(&zone, Some(11), true, Ending::Right).0, Kind::Soa);
    }

    #[test]
    fn wrong_endings_are_seen_as_such() {
        let zone = zone(10);
        for have in [None, Some(11)] {
            assert!(matches!(run(&zone, have, false, Ending::Missing).2, Err(XfrError::Early(_))));
            assert!(run(&zone, have, false, Ending::OtherSerial).2.is_err());
        }
    }
}
