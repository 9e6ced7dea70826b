//! Our messages in the eyes of another library.
#![allow(clippy::unwrap_used)]

use hickory_proto::op::{self, OpCode, UpdateMessage};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{self, RecordType, TSigner};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use knotwork::dns::tsig::{self, Algorithm, Key, Received};
use knotwork::dns::{Class, Message, Rcode, Record, update};
use knotwork::model::{Name, Rdata, RrType};
use knotwork::plan::{Edit, Guard};

const NOW: u64 = 1_760_000_000;
const SECRET: &[u8] = b"a secret of no importance";

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn rd(octets: &[u8]) -> Rdata {
    octets.into()
}

/// What a record says: name, type, class, TTL, RDATA.
type Said = (String, u16, u16, u32, Vec<u8>);

fn theirs(record: &rr::Record) -> Said {
    let mut rdata = Vec::new();
    record.data.emit(&mut BinEncoder::new(&mut rdata)).unwrap();
    (record.name.to_lowercase().to_string(), record.record_type().into(), record.dns_class.into(), record.ttl, rdata)
}

fn said(name: &str, rtype: RrType, class: Class, ttl: u32, rdata: &[u8]) -> Said {
    (name.to_owned(), rtype.0, class.0, ttl, rdata.to_vec())
}

fn units(count: usize) -> (Vec<Guard>, Vec<Edit>) {
    let fence = Guard::SetIs(n("home._knotwork.internal"), RrType::TXT, vec![rd(b"\x05fence")]);
    let (mut guards, mut edits) = (Vec::new(), Vec::new());
    for i in 0..count {
        let name = n(&format!("host{i}.internal"));
        let marker = name.child(b"_knotwork").unwrap();
        guards.push(fence.clone());
        guards.push(Guard::SetIs(name.clone(), RrType::A, vec![rd(&[10, 0, 0, 1]), rd(&[10, 0, 0, 2])]));
        guards.push(Guard::SetAbsent(name.clone(), RrType::CNAME));
        guards.push(Guard::NameNotInUse(marker.clone()));
        guards.push(Guard::NameInUse(name.clone()));
        guards.push(Guard::SetExists(name.clone(), RrType::A));
        edits.push(Edit::Add(name.clone(), RrType::MX, 300, rd(b"\x00\x0a\x04mail\x08internal\x00")));
        edits.push(Edit::Remove(name, RrType::A, rd(&[10, 0, 0, 1])));
        edits.push(Edit::Add(marker, RrType::TXT, 300, rd(b"\x06marker")));
    }
    (guards, edits)
}

#[test]
fn updates_are_understood() {
    // More than 16 KB, so that names stand where pointers no longer reach.
    let count = 300;
    let (guards, edits) = units(count);
    let octets = update::encode(&n("internal"), 0x1234, &guards, &edits);
    assert!(octets.len() > 0x4000);
    let message = op::Message::from_vec(&octets).unwrap();
    assert_eq!((message.metadata.id, message.metadata.op_code), (0x1234, OpCode::Update));
    let [zone] = message.zones() else { panic!() };
    assert_eq!((zone.name().to_string(), zone.query_type()), ("internal.".to_owned(), RecordType::SOA));

    let mut expected = vec![said("home._knotwork.internal.", RrType::TXT, Class::IN, 0, b"\x05fence")];
    for i in 0..count {
        let (name, marker) = (format!("host{i}.internal."), format!("_knotwork.host{i}.internal."));
        expected.push(said(&name, RrType::A, Class::IN, 0, &[10, 0, 0, 1]));
        expected.push(said(&name, RrType::A, Class::IN, 0, &[10, 0, 0, 2]));
        expected.push(said(&name, RrType::CNAME, Class::NONE, 0, b""));
        expected.push(said(&marker, RrType::ANY, Class::NONE, 0, b""));
        expected.push(said(&name, RrType::ANY, Class::ANY, 0, b""));
        expected.push(said(&name, RrType::A, Class::ANY, 0, b""));
    }
    assert_eq!(message.prerequisites().iter().map(theirs).collect::<Vec<_>>(), expected);

    let mut expected = Vec::new();
    for i in 0..count {
        expected.push(said(&format!("host{i}.internal."), RrType::A, Class::NONE, 0, &[10, 0, 0, 1]));
    }
    for i in 0..count {
        let mx = b"\x00\x0a\x04mail\x08internal\x00";
        expected.push(said(&format!("host{i}.internal."), RrType::MX, Class::IN, 300, mx));
        expected.push(said(&format!("_knotwork.host{i}.internal."), RrType::TXT, Class::IN, 300, b"\x06marker"));
    }
    assert_eq!(message.updates().iter().map(theirs).collect::<Vec<_>>(), expected);
}

#[test]
fn signatures_are_verified_both_ways_along_a_sequence() {
    let algorithms = [
        (Algorithm::HmacSha256, TsigAlgorithm::HmacSha256),
        (Algorithm::HmacSha384, TsigAlgorithm::HmacSha384),
        (Algorithm::HmacSha512, TsigAlgorithm::HmacSha512),
    ];
    for (ours, theirs) in algorithms {
        let key = Key::new(n("operator.example"), ours, SECRET).unwrap();
        let other = TSigner::new(SECRET.to_vec(), theirs, "operator.example.".parse().unwrap(), 300).unwrap();
        let (guards, edits) = units(3);
        let (request, _) = tsig::sign(&key, update::encode(&n("internal"), 7, &guards, &edits), NOW);
        let (mut mac, time, _) = other.verify_message_byte(&request, None, true).unwrap();
        assert_eq!(time, NOW);

        let Received::Signed { message, signer, .. } = tsig::receive(&[key], request, NOW) else { panic!() };
        let mut signer = signer.into_sequence();
        for i in 0..3 {
            let mut answer = Message::parse(&message).unwrap().answer(Rcode::NOERROR);
            answer.answers.push(Record::new(n(&format!("host{i}.internal")), RrType::A, 300, [10, 0, 0, i]));
            let signed = signer.sign(answer.encode(), NOW);
            mac = other.verify_message_byte(&signed, Some(&mac), i == 0).unwrap().0;
        }
    }
}

#[test]
fn the_answer_to_a_wrong_clock_is_signed_rightly() {
    let key = Key::new(n("operator"), Algorithm::HmacSha256, SECRET).unwrap();
    let other = TSigner::new(SECRET.to_vec(), TsigAlgorithm::HmacSha256, "operator.".parse().unwrap(), 300).unwrap();
    let (request, _) = tsig::sign(&key, update::encode(&n("internal"), 7, &[], &[]), NOW);
    let (mac, ..) = other.verify_message_byte(&request, None, true).unwrap();
    let Received::Rejected(answer) = tsig::receive(&[key], request, NOW + 3600) else { panic!() };
    other.verify_message_byte(&answer, Some(&mac), true).unwrap();
}
