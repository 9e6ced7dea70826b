#![allow(clippy::unwrap_used)]

use super::*;
use crate::dns::Record;
use crate::dns::tsig::{self, Algorithm, Key, Received};
use proptest::prelude::*;

const NOW: u64 = 1_760_000_000;

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn soa(serial: u32) -> Record {
    let rdata = [b"\x02ns\x00\x04host\x00", &serial.to_be_bytes()[..], &[0; 16]].concat();
    Record::new(n("internal"), RrType::SOA, 300, rdata)
}

fn a(host: u8) -> Record {
    Record::new(n(&format!("host{host}.internal")), RrType::A, 300, [10, 0, 0, host])
}

/// The records in messages of `per` records.
fn messages(have: Option<u32>, records: &[Record], per: usize) -> Vec<Vec<u8>> {
    let question = Message::parse(&question(&n("internal"), 9, have)).unwrap();
    let mut messages: Vec<Message> = records
        .chunks(per)
        .map(|chunk| Message { answers: chunk.to_vec(), ..question.answer(Rcode::NOERROR) })
        .collect();
    messages.iter_mut().skip(1).step_by(2).for_each(|message| message.questions.clear());
    messages.iter().map(Message::encode).collect()
}

fn read(have: Option<u32>, records: &[Record], per: usize) -> Result<Transfer, XfrError> {
    let mut reader = Reader::new(n("internal"), 9, have, None);
    for message in messages(have, records, per) {
        reader.push(message, NOW)?;
    }
    reader.finish()
}

fn axfr() -> Vec<Record> {
    [soa(5)].into_iter().chain((0..10).map(a)).chain([soa(5)]).collect()
}

fn ixfr() -> Vec<Record> {
    vec![soa(7), soa(5), a(1), soa(6), a(2), a(3), soa(6), soa(7), a(4), soa(7)]
}

#[test]
fn whole_zones() {
    for (have, per) in [(None, 1), (None, 5), (None, 100), (Some(4), 1), (Some(4), 2), (Some(4), 100)] {
        let Transfer::Full(view) = read(have, &axfr(), per).unwrap() else { panic!("{have:?} {per}") };
        assert_eq!((view.serial(), view.name_count()), (5, 11));
        assert_eq!(&*view.get(&n("host7.internal"), RrType::A).unwrap().values[0], [10, 0, 0, 7]);
        assert_eq!(view.get(&n("internal"), RrType::SOA).unwrap().values[0], soa(5).rdata);
        let Transfer::Full(empty) = read(have, &[soa(5), soa(5)], per).unwrap() else { panic!() };
        assert_eq!(empty.name_count(), 1);
    }
}

#[test]
fn differences() {
    for per in [1, 3, 100] {
        let Transfer::Delta(diffs) = read(Some(5), &ixfr(), per).unwrap() else { panic!() };
        let steps: Vec<_> = diffs.iter().map(|d| (d.from, d.to, d.removed.len(), d.added.len())).collect();
        assert_eq!(steps, [(5, 6, 2, 3), (6, 7, 1, 2)]);
        assert_eq!(diffs[0].removed[1].name, n("host1.internal"));
        assert_eq!(diffs[1].added[0].rdata, soa(7).rdata);
    }
}

#[test]
fn nothing_new_and_servers_that_lost_data() {
    assert!(matches!(read(Some(5), &[soa(5)], 1), Ok(Transfer::UpToDate)));
    assert!(matches!(read(Some(5), &[soa(4)], 1), Ok(Transfer::Behind(4))));
    assert!(matches!(read(Some(5), &[soa(6)], 1), Err(XfrError::Early(1))));
    assert!(matches!(read(None, &[soa(5)], 1), Err(XfrError::Early(1))));
    // Serial arithmetic wraps.
    assert!(matches!(read(Some(1), &[soa(u32::MAX)], 1), Ok(Transfer::Behind(u32::MAX))));
    assert!(matches!(read(Some(u32::MAX), &[soa(1)], 1), Err(XfrError::Early(1))));
}

#[test]
fn what_does_not_fit_is_refused() {
    let other_soa = Record { rdata: [&soa(5).rdata[..soa(5).rdata.len() - 1], &[9]].concat().into(), ..soa(5) };
    let foreign = Record { name: n("host.other"), ..a(1) };
    let chaos = Record { class: Class::CH, ..a(1) };
    let meta = Record { rtype: RrType::ANY, ..a(1) };
    let deep_soa = Record { name: n("host.internal"), ..soa(5) };
    type Case = (Option<u32>, Vec<Record>, fn(&XfrError) -> bool);
    let cases: Vec<Case> = vec![
        (None, vec![a(1), soa(5)], |e| *e == XfrError::NoSoa),
        (None, vec![soa(5), a(1), soa(6)], |e| *e == XfrError::SoaDiffers),
        (None, vec![soa(5), a(1), other_soa.clone()], |e| *e == XfrError::SoaDiffers),
        (None, vec![soa(5), other_soa.clone()], |e| *e == XfrError::SoaDiffers),
        (None, vec![soa(5), a(1), soa(5), a(2)], |e| *e == XfrError::Trailing),
        (None, vec![soa(5), a(1), foreign.clone(), soa(5)], |e| matches!(e, XfrError::OutOfZone(_))),
        (None, vec![soa(5), foreign.clone(), soa(5)], |e| matches!(e, XfrError::OutOfZone(_))),
        (None, vec![soa(5), a(1), chaos, soa(5)], |e| matches!(e, XfrError::Misfit(..))),
        (None, vec![soa(5), a(1), meta, soa(5)], |e| matches!(e, XfrError::Misfit(..))),
        (None, vec![soa(5), a(1), deep_soa, soa(5)], |e| matches!(e, XfrError::Misfit(..))),
        (Some(4), vec![soa(7), soa(5), soa(7), soa(7)], |e| *e == XfrError::Gap { expected: 4, found: 5 }),
        (Some(5), vec![soa(7), soa(5), soa(6), soa(7)], |e| *e == XfrError::Gap { expected: 6, found: 7 }),
        (Some(5), vec![soa(7), soa(5), soa(8), soa(8)], |e| *e == XfrError::Gap { expected: 5, found: 8 }),
        (Some(5), vec![soa(7), soa(5), soa(5), soa(7)], |e| *e == XfrError::Gap { expected: 5, found: 5 }),
        (Some(5), vec![soa(7), soa(5), foreign, soa(7), soa(7)], |e| matches!(e, XfrError::OutOfZone(_))),
        (Some(5), [ixfr(), vec![a(9)]].concat(), |e| *e == XfrError::Trailing),
    ];
    for (i, (have, records, expected)) in cases.iter().enumerate() {
        for per in [1, 100] {
            let error = read(*have, records, per).unwrap_err();
            assert!(expected(&error), "{i}: {error:?}");
        }
    }
}

#[test]
fn headers_are_checked() {
    let good = messages(None, &axfr(), 100).remove(0);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = good.clone();
        change(&mut bad);
        Reader::new(n("internal"), 9, None, None).push(bad, NOW).unwrap_err()
    };
    assert_eq!(with(&|m| m[1] ^= 1), XfrError::NotOurs);
    assert_eq!(with(&|m| m[2] = 0), XfrError::NotOurs);
    assert_eq!(with(&|m| m[2] |= 0x28), XfrError::NotOurs);
    assert_eq!(with(&|m| m[2] |= 2), XfrError::Cut);
    assert_eq!(with(&|m| m[3] = 5), XfrError::Refused(Rcode::REFUSED));
    assert_eq!(with(&|m| m[14] ^= 1), XfrError::NotOurs);
    assert!(matches!(with(&|m| m.truncate(60)), XfrError::Malformed(_)));
    assert!(matches!(with(&|m| m[7] += 1), XfrError::Malformed(_)));
    // An IXFR answer is not the answer to an AXFR question.
    let mut reader = Reader::new(n("internal"), 9, None, None);
    assert_eq!(reader.push(messages(Some(5), &ixfr(), 100).remove(0), NOW), Err(XfrError::NotOurs));
    // After an error nothing mends it.
    assert!(reader.push(good, NOW).is_err());
    assert!(reader.finish().is_err());
}

fn signed(have: Option<u32>, records: &[Record], per: usize) -> (Reader, Vec<Vec<u8>>) {
    let key = Key::new(n("key"), Algorithm::HmacSha256, b"secret").unwrap();
    let (request, sequence) = tsig::sign_sequence(&key, question(&n("internal"), 9, have), NOW);
    let Received::Signed { signer, .. } = tsig::receive(&[key], request, NOW) else { panic!() };
    let mut signer = signer.into_sequence();
    let messages = messages(have, records, per).into_iter().map(|message| signer.sign(message, NOW)).collect();
    (Reader::new(n("internal"), 9, have, Some(sequence)), messages)
}

/// Cut at every message boundary, with any message left out, or with two swapped: never a transfer.
#[test]
fn signed_transfers_are_whole_or_nothing() {
    for (have, records) in [(None, axfr()), (Some(5), ixfr()), (Some(3), axfr())] {
        let count = records.len();
        let run = |order: &[usize]| {
            let (mut reader, messages) = signed(have, &records, 1);
            for &i in order {
                reader.push(messages[i].clone(), NOW)?;
            }
            reader.finish()
        };
        let all: Vec<usize> = (0..count).collect();
        assert!(run(&all).is_ok());
        for i in 0..count {
            assert!(run(&all[..i]).is_err(), "cut at {i}");
            let mut without = all.clone();
            without.remove(i);
            assert!(run(&without).is_err(), "without {i}");
            let mut swapped = all.clone();
            swapped.swap(i, (i + 1) % count);
            assert!(run(&swapped).is_err(), "swapped {i}");
        }
    }
}

#[test]
fn an_unsigned_end_is_no_end() {
    let (mut reader, messages) = signed(None, &axfr(), 6);
    let plain = self::messages(None, &axfr(), 6);
    reader.push(messages[0].clone(), NOW).unwrap();
    assert_eq!(reader.push(plain[1].clone(), NOW), Ok(Progress::Done));
    assert_eq!(reader.finish().unwrap_err(), XfrError::Tsig(TsigError::UnsignedEnd));
}

proptest! {
    #[test]
    fn any_bytes_never_panic_or_give_a_transfer(at in any::<prop::sample::Index>(), flip in 1u8..,
                                                tail in prop::collection::vec(any::<u8>(), 0..40)) {
        for (have, records) in [(None, axfr()), (Some(5), ixfr())] {
            let mut message = messages(have, &records[..4], 100).remove(0);
            let i = at.index(message.len());
            message[i] ^= flip;
            message.extend(&tail);
            let mut reader = Reader::new(n("internal"), 9, have, None);
            let _ = reader.push(message, NOW);
            // The start of a transfer, whichever octet of it is another, is no transfer of what was not sent. A changed
            // count or serial may make it a lone SOA.
            match reader.finish() {
                Ok(Transfer::UpToDate | Transfer::Behind(_)) => prop_assert!(have.is_some()),
                Ok(other) => prop_assert!(false, "{other:?}"),
                Err(_) => {}
            }
        }
    }
}
