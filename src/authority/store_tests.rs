#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::authority::{AuthorityConfig, Limits, Times};
use crate::dns::Record;
use crate::dns::tsig::{Algorithm, TsigError};
use crate::dns::xfr::{Reader, Transfer};
use crate::dns::{Question, update as wire};
use crate::plan::{Edit, Guard};

const NOW: u64 = 1_760_000_000;

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn key(name: &str, secret: &[u8]) -> Key {
    Key::new(n(name), Algorithm::HmacSha256, secret).unwrap()
}

fn config(hosts: usize) -> AuthorityConfig {
    let mut text = "$TTL 300\n@ SOA ns0 host 10 3600 600 86400 60\n@ NS ns0\nns0 A 10.0.0.1\nsub NS ns0\n".to_owned();
    (0..hosts).for_each(|i| text.push_str(&format!("h{i} A 10.1.{}.{}\nmany TXT text-number-{i}\n", i / 256, i % 256)));
    let child = "@ 300 SOA ns0 host 1 1 1 1 60\n@ 300 NS ns0.internal.\n".to_owned();
    AuthorityConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        zones: vec![(n("internal"), text), (n("child.internal"), child)],
        keys: vec![key("operator", b"secret"), key("weak", b"other")],
        notify: Vec::new(),
    }
}

fn store() -> Store {
    store_of(300)
}

fn store_of(hosts: usize) -> Store {
    Store::new(&config(hosts), &Limits { message_size: 1500, ..Limits::default() }).unwrap()
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn sends(reply: Reply) -> Vec<Vec<u8>> {
    let send = |step| if let Step::Send(message) = step { message } else { panic!("{step:?}") };
    reply.map(send).collect()
}

fn ask(store: &mut Store, message: Vec<u8>, transport: Transport) -> Message {
    let [answer] = &sends(store.handle(message, transport, NOW))[..] else { panic!("not one answer") };
    Message::parse(answer).unwrap()
}

fn query(name: &str, rtype: RrType) -> Vec<u8> {
    Message::query(7, n(name), rtype).encode()
}

fn add(name: &str) -> Vec<Edit> {
    vec![Edit::Add(n(name), RrType::A, 60, [10, 0, 0, 9].into())]
}

fn addition(name: &str) -> Vec<u8> {
    wire::encode(&n("internal"), 7, &[], &add(name))
}

fn signed(store: &mut Store, key: &Key, message: Vec<u8>) -> Result<Message, TsigError> {
    let (request, pending) = tsig::sign(key, message, NOW);
    let [answer] = &sends(store.handle(request, Transport::Tcp, NOW))[..] else { panic!("not one answer") };
    Ok(Message::parse(&pending.verify(answer.clone(), NOW)?).unwrap())
}

fn operator() -> Key {
    key("operator", b"secret")
}

fn transfer(store: &mut Store, have: Option<u32>) -> (usize, Result<Transfer, String>) {
    let (request, sequence) = tsig::sign_sequence(&operator(), crate::dns::xfr::question(&n("internal"), 7, have), NOW);
    let mut reader = Reader::new(n("internal"), 7, have, Some(sequence));
    let mut count = 0;
    for step in store.handle(request, Transport::Tcp, NOW) {
        let Step::Send(message) = step else { break };
        count += 1;
        if let Err(error) = reader.push(message, NOW) {
            return (count, Err(error.to_string()));
        }
    }
    (count, reader.finish().map_err(|error| error.to_string()))
}

#[test]
fn questions_and_their_zones() {
    let mut store = store();
    for (name, rtype, rcode, aa) in [
        ("h1.internal", RrType::A, Rcode::NOERROR, true),
        ("nobody.internal", RrType::A, Rcode::NXDOMAIN, true),
        ("other", RrType::A, Rcode::REFUSED, false),
        ("child.internal", RrType::SOA, Rcode::NOERROR, true),
        ("internal", RrType::TSIG, Rcode::NOTIMP, false),
    ] {
        let answer = ask(&mut store, query(name, rtype), Transport::Udp);
        assert_eq!((answer.rcode, answer.authoritative, answer.id), (rcode, aa, 7), "{name} {rtype}");
        assert!(answer.response && answer.questions.len() == 1);
    }
    // The parent answers for the DS of the child's apex.
    let ds = ask(&mut store, query("child.internal", RrType::DS), Transport::Udp);
    assert_eq!(ds.authorities[0].name, n("internal"));
    let mut chaos = Message::query(7, n("h1.internal"), RrType::A);
    chaos.questions[0].class = Class::CH;
    assert_eq!(ask(&mut store, chaos.encode(), Transport::Udp).rcode, Rcode::REFUSED);
    assert_eq!(read(&store.counters.queries), 7);
}

#[test]
fn large_answers_over_udp() {
    let mut store = store();
    let with_opt = |size| {
        let mut message = Message::query(7, n("many.internal"), RrType::TXT);
        let (class, rdata) = (Class(size), Box::default());
        message.additionals.push(Record { name: Name::root(), rtype: RrType::OPT, class, ttl: 0, rdata });
        message.encode()
    };
    for (message, opt) in [(query("many.internal", RrType::TXT), 0), (with_opt(4096), 1), (with_opt(0), 1)] {
        let answer = ask(&mut store, message.clone(), Transport::Udp);
        assert!(answer.truncated && answer.answers.is_empty() && answer.additionals.len() == opt);
        let answer = ask(&mut store, message, Transport::Tcp);
        assert!(!answer.truncated && answer.answers.len() == 300);
    }
    let mut version = Message::query(7, n("internal"), RrType::SOA);
    let opt =
        Record { name: Name::root(), rtype: RrType::OPT, class: Class(1232), ttl: 1 << 16, rdata: Box::default() };
    version.additionals.push(opt.clone());
    assert_eq!(ask(&mut store, version.encode(), Transport::Udp).rcode, Rcode::BADVERS);
    version.additionals.push(opt);
    assert_eq!(ask(&mut store, version.encode(), Transport::Udp).rcode, Rcode::FORMERR);
}

#[test]
fn headers_that_ask_for_nothing_we_do() {
    let mut store = store();
    let mut answer = Message::query(7, n("internal"), RrType::SOA);
    answer.response = true;
    assert!(sends(store.handle(answer.encode(), Transport::Udp, NOW)).is_empty());
    assert_eq!(store.handle(vec![1; 5], Transport::Udp, NOW).collect::<Vec<_>>(), [Step::Close]);
    for (opcode, rcode) in [(Opcode::STATUS, Rcode::NOTIMP), (Opcode::NOTIFY, Rcode::NOTAUTH)] {
        let message = Message { opcode, ..Message::query(7, n("internal"), RrType::SOA) };
        assert_eq!(ask(&mut store, message.encode(), Transport::Udp).rcode, rcode);
    }
    let mut none = Message::query(7, n("internal"), RrType::SOA);
    none.questions.clear();
    assert_eq!(ask(&mut store, none.encode(), Transport::Udp).rcode, Rcode::FORMERR);
    let mut cut = query("internal", RrType::SOA);
    cut.truncate(20);
    assert_eq!(store.handle(cut, Transport::Udp, NOW).collect::<Vec<_>>(), [Step::Close]);
    let mut message = Message::parse(&addition("x.internal")).unwrap();
    message.authorities[0].rdata = Box::default();
    let steps: Vec<Step> = store.handle(message.encode(), Transport::Tcp, NOW).collect();
    let [Step::Send(answer), Step::Close] = &steps[..] else { panic!("{steps:?}") };
    let answer = Message::parse(answer).unwrap();
    assert_eq!((answer.rcode, answer.opcode, answer.id), (Rcode::FORMERR, Opcode::UPDATE, 7));
}

#[test]
fn zone_sections() {
    let mut store = store();
    let operator = operator();
    let with = |change: fn(&mut Question)| {
        let mut message = Message::parse(&addition("x.internal")).unwrap();
        change(&mut message.questions[0]);
        message.encode()
    };
    // Signed where the zone is found, else not.
    let unsigned = |rcode| Err(TsigError::Unsigned(rcode));
    for (change, result) in [
        ((|_| {}) as fn(&mut Question), Ok(Rcode::NOERROR)),
        (|question| question.class = Class::CH, unsigned(Rcode::NOTIMP)),
        (|question| question.rtype = RrType::A, unsigned(Rcode::FORMERR)),
        (|question| question.name = n("other"), unsigned(Rcode::NOTAUTH)),
        // A name in a zone is no zone.
        (|question| question.name = n("sub.internal"), unsigned(Rcode::NOTAUTH)),
        (|question| question.name = n("child.internal"), Ok(Rcode::NOTZONE)),
    ] {
        assert_eq!(signed(&mut store, &operator, with(change)).map(|answer| answer.rcode), result);
    }
    let mut none = Message::parse(&addition("y.internal")).unwrap();
    none.questions.clear();
    assert_eq!(signed(&mut store, &operator, none.encode()).map(drop), Err(TsigError::Unsigned(Rcode::FORMERR)));
    let mut two = Message::parse(&addition("y.internal")).unwrap();
    two.questions.push(two.questions[0].clone());
    assert_eq!(store.handle(two.encode(), Transport::Tcp, NOW).collect::<Vec<_>>(), [Step::Close]);
    assert_eq!(read(&store.counters.commits), 1);
}

#[test]
fn keys_and_permissions() {
    let mut store = store();
    let add = || addition("x.internal");
    assert_eq!(ask(&mut store, add(), Transport::Tcp).rcode, Rcode::NOTAUTH);
    let bad_key = signed(&mut store, &key("stranger", b"secret"), add());
    assert_eq!(bad_key, Err(TsigError::BadKey(Rcode::NOTAUTH)));
    assert_eq!(signed(&mut store, &key("operator", b"wrong"), add()), Err(TsigError::BadSig(Rcode::NOTAUTH)));
    store.faults.set(Fault::Skew(3600), Times::Always);
    let bad_time = signed(&mut store, &operator(), add());
    assert_eq!(bad_time, Err(TsigError::BadTime { ours: NOW, server: NOW + 3600 }));
    store.faults.clear();
    assert_eq!(read(&store.counters.rejected), 3);

    let names = vec![n("apps.internal")];
    let limited = Grant { types: vec![RrType::A], names, transfer: false, ..Grant::all(Some(n("weak"))) };
    store.grants = vec![Grant::all(Some(n("operator"))), limited];
    let weak = key("weak", b"other");
    let refused = Err(TsigError::BadKey(Rcode::NOTAUTH));
    assert_eq!(signed(&mut store, &weak, addition("x.internal")), refused);
    assert_eq!(signed(&mut store, &weak, addition("x.apps.internal")).unwrap().rcode, Rcode::NOERROR);
    let text = [Edit::Add(n("y.apps.internal"), RrType::TXT, 60, b"\x01a".as_slice().into())];
    assert_eq!(signed(&mut store, &weak, wire::encode(&n("internal"), 7, &[], &text)), refused);
    // Prerequisites may look anywhere.
    let guard = [Guard::NameNotInUse(n("ns0.internal"))];
    let probe = wire::encode(&n("internal"), 7, &guard, &[]);
    assert_eq!(signed(&mut store, &weak, probe).unwrap().rcode, Rcode::YXDOMAIN);
    assert_eq!(signed(&mut store, &weak, query("internal", RrType::AXFR)), refused);
    assert_eq!(signed(&mut store, &weak, query("internal", RrType::SOA)).unwrap().answers.len(), 1);
    assert_eq!(ask(&mut store, query("internal", RrType::AXFR), Transport::Tcp).rcode, Rcode::NOTAUTH);
}

#[test]
fn transfers_are_signed_throughout() {
    let mut store = store();
    let (count, whole) = transfer(&mut store, None);
    let Ok(Transfer::Full(view)) = whole else { panic!("{:?}", whole.err()) };
    assert!(count > 5 && view.same_content(&store.zones[&n("internal")].view()));
    for name in ["x.internal", "y.internal"] {
        signed(&mut store, &operator(), addition(name)).unwrap();
    }
    let Ok(Transfer::Delta(diffs)) = transfer(&mut store, Some(10)).1 else { panic!() };
    assert_eq!(diffs.len(), 2);
    assert!(matches!(transfer(&mut store, Some(12)).1, Ok(Transfer::UpToDate)));
    assert!(matches!(transfer(&mut store, Some(5)).1, Ok(Transfer::Full(_))));
    let counts = &store.counters;
    assert_eq!(
        [&counts.axfr, &counts.ixfr, &counts.whole, &counts.updates, &counts.commits].map(read),
        [1, 3, 2, 2, 2]
    );
    let over_udp = store.handle(query("internal", RrType::AXFR), Transport::Udp, NOW);
    assert_eq!(Message::parse(&sends(over_udp)[0]).unwrap().rcode, Rcode::NOTIMP);
}

#[test]
fn faults_of_transfers_never_give_a_transfer() {
    for fault in [
        Fault::TransferCut(0),
        Fault::TransferCut(3),
        Fault::TransferStalled(2),
        Fault::TransferReordered,
        Fault::TransferGap(2),
        Fault::TransferNoEnd,
        Fault::TransferOtherEnd,
        Fault::TransferForged(0),
        Fault::TransferForged(4),
        Fault::Forged,
        Fault::WrongId,
        Fault::Unsigned,
        Fault::TransferRcode(Rcode::SERVFAIL),
    ] {
        let mut store = store();
        store.faults.set(fault.clone(), Times::Count(1));
        assert!(transfer(&mut store, None).1.is_err(), "{fault:?}");
        assert_eq!((store.faults.struck(), store.faults.is_spent()), (1, true));
        assert!(transfer(&mut store, None).1.is_ok(), "{fault:?}");
    }
    let mut store = store();
    signed(&mut store, &operator(), addition("x.internal")).unwrap();
    store.faults.set(Fault::NoHistory, Times::Count(1));
    assert!(matches!(transfer(&mut store, Some(10)).1, Ok(Transfer::Full(_))));
}

#[test]
fn faults_of_updates() {
    let time = Duration::from_secs(1);
    let cases: &[(Fault, bool)] = &[
        (Fault::LostBefore, false),
        (Fault::SilentBefore, false),
        (Fault::LostAfter, true),
        (Fault::SilentAfter, true),
        (Fault::AnswerCut, true),
        (Fault::UpdateRcode(Rcode::SERVFAIL), false),
        (Fault::RefuseName(n("x.internal")), false),
        (Fault::Late(time), false),
        (Fault::Delay(time), true),
        (Fault::WrongId, true),
        (Fault::Unsigned, true),
        (Fault::Forged, true),
    ];
    for (fault, applied) in cases {
        let mut store = store();
        store.faults.set(fault.clone(), Times::Count(1));
        let (request, pending) = tsig::sign(&operator(), addition("x.internal"), NOW);
        let steps: Vec<Step> = store.handle(request.clone(), Transport::Tcp, NOW).collect();
        assert_eq!(store.zones[&n("internal")].serial(), if *applied { 11 } else { 10 }, "{fault:?}");
        let verified = match &steps[..] {
            [Step::Send(answer)] | [Step::Wait(_), Step::Send(answer)] => pending.verify(answer.clone(), NOW).is_ok(),
            _ => false,
        };
        let delivered = matches!(fault, Fault::UpdateRcode(_) | Fault::RefuseName(_) | Fault::Delay(_));
        assert_eq!(verified, delivered, "{fault:?} {steps:?}");
        if let [Step::Later(after, late)] = &steps[..] {
            assert_eq!((*after, late), (time, &request));
            assert_eq!(sends(store.handle_late(late.clone(), Transport::Tcp, NOW)).len(), 1);
            assert_eq!(store.zones[&n("internal")].serial(), 11);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_never_panic(head in any::<[u8; 4]>(), counts in prop::array::uniform4(0u8..3),
                             body in prop::collection::vec(prop_oneof![0u8..20, 0xbeu8..=0xc3, any::<u8>()], 0..200)) {
        let mut message = head.to_vec();
        message.extend(counts.iter().flat_map(|&count| [0, count]));
        message.extend(body);
        let mut store = store_of(3);
        store.grants = vec![Grant::all(None)];
        store.handle(message, Transport::Udp, NOW).for_each(drop);
    }

    /// Nearly right messages of every kind: one octet changed, the end cut off.
    #[test]
    fn damaged_messages_never_panic(kind in 0usize..5, at in any::<prop::sample::Index>(), value: u8, cut in 0usize..4) {
        let guards = [Guard::SetIs(n("h1.internal"), RrType::A, vec![[10, 1, 0, 1].into()])];
        let mut message = match kind {
            0 => query("h1.internal", RrType::A),
            1 => crate::dns::xfr::question(&n("internal"), 7, Some(9)),
            2 => addition("x.internal"),
            3 => wire::encode(&n("internal"), 7, &guards, &add("deep.x.internal")),
            _ => tsig::sign(&operator(), addition("x.internal"), NOW).0,
        };
        let index = at.index(message.len());
        message[index] = value;
        message.truncate(message.len() - cut);
        let mut store = store_of(3);
        store.grants = vec![Grant::all(None)];
        store.handle(message, Transport::Tcp, NOW).for_each(drop);
    }
}
