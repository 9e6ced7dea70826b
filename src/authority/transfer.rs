//! AXFR (RFC 5936) and IXFR (RFC 1995): one answer as many messages.

use super::store::ZoneState;
use crate::dns::{Message, Rcode, Record, soa_serial};
use crate::model::RrType;
use crate::view::Diff;

/// Octets of one message, as Knot sends them.
const MESSAGE: usize = 16 * 1024;

/// The messages of a transfer; `udp`: only what fits there, the SOA.
pub(super) fn messages(zone: &ZoneState, request: &Message, udp: bool) -> Vec<Message> {
    let (ttl, soa) = zone.soa();
    let soa = Record::new(zone.view.zone().clone(), RrType::SOA, ttl, soa);
    let incremental = request.questions.first().is_some_and(|question| question.rtype == RrType::IXFR);
    let have = request
        .authorities
        .iter()
        .find(|record| record.rtype == RrType::SOA)
        .and_then(|record| soa_serial(&record.rdata));
    let records = match have.filter(|_| incremental) {
        Some(have) if udp || have == zone.view.serial() || crate::dns::serial_newer(have, zone.view.serial()) => {
            vec![soa]
        }
        Some(have) => match history(zone, have) {
            Some(diffs) => differences(soa, diffs),
            None => whole(zone, soa),
        },
        None => whole(zone, soa),
    };
    pack(request, records)
}

/// The steps from `have` to now, if they are all remembered.
fn history(zone: &ZoneState, have: u32) -> Option<impl Iterator<Item = &Diff>> {
    let start = zone.journal.iter().position(|diff| diff.from == have)?;
    Some(zone.journal.iter().skip(start))
}

fn differences<'a>(soa: Record, diffs: impl Iterator<Item = &'a Diff>) -> Vec<Record> {
    let mut records = vec![soa.clone()];
    for entry in diffs.flat_map(|diff| diff.removed.iter().chain(&diff.added)) {
        records.push(Record::new(entry.name.clone(), entry.rtype, entry.ttl, entry.rdata.clone()));
    }
    records.push(soa);
    records
}

fn whole(zone: &ZoneState, soa: Record) -> Vec<Record> {
    let mut records = vec![soa.clone()];
    for (name, rtype, set) in zone.view.sets().filter(|(_, rtype, _)| *rtype != RrType::SOA) {
        records.extend(set.values.into_iter().map(|value| Record::new(name.clone(), rtype, set.ttl, value)));
    }
    records.push(soa);
    records
}

fn pack(request: &Message, records: Vec<Record>) -> Vec<Message> {
    let empty = || {
        let mut message = request.answer(Rcode::NOERROR);
        message.authoritative = true;
        message
    };
    let mut messages = vec![empty()];
    let mut size = 0;
    for record in records {
        let own = record.name.wire().len() + 10 + record.rdata.len();
        if size + own > MESSAGE && size > 0 {
            messages.push(empty());
            size = 0;
        }
        size += own;
        if let Some(last) = messages.last_mut() {
            last.answers.push(record);
        }
    }
    messages
}
