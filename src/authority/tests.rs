#![allow(clippy::unwrap_used)]
//! Every row of what Knot was measured to do with prerequisites and updates.

use super::store::Store;
use super::{query, update};
use crate::dns::{Class, Message, Opcode, Question, Rcode, Record};
use crate::model::{Name, RrType, rdata};

const ZONE: &str = "@ SOA ns0 host 5 1 1 1 60\n@ NS ns0\nns0 A 10.0.0.2\nwww 300 A 10.0.0.1\nwww 300 A 10.0.0.9\n\
    alias CNAME www\n*.w A 10.0.0.5\nsub NS ns.sub\nns.sub A 10.0.0.7\ntree DNAME other.internal.\na.b.c TXT \"x\"\n";

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn store() -> Store {
    let mut store = Store::default();
    store.load(&n("internal"), ZONE).unwrap();
    store
}

fn record(class: Class, owner: &str, rtype: RrType, ttl: u32, value: &str) -> Record {
    let rdata = if value.is_empty() { Box::default() } else { rdata::from_text(rtype, value, None).unwrap() };
    Record { name: n(owner), rtype, class, ttl, rdata }
}

fn send(store: &mut Store, prerequisites: Vec<Record>, updates: Vec<Record>) -> Rcode {
    let mut message = Message::new(1, Opcode::UPDATE);
    message.questions.push(Question { name: n("internal"), rtype: RrType::SOA, class: Class::IN });
    message.answers = prerequisites;
    message.authorities = updates;
    update::apply(store, &message)
}

fn serial(store: &Store) -> u32 {
    store.zones[&n("internal")].view.serial()
}

fn values(store: &Store, owner: &str, rtype: RrType) -> Vec<String> {
    let set = store.zones[&n("internal")].view.get(&n(owner), rtype);
    set.map(|set| set.values.iter().map(|value| rdata::to_text(rtype, value)).collect()).unwrap_or_default()
}

#[test]
fn prerequisites_hold_and_fail_as_measured() {
    let any = RrType::ANY;
    for (prerequisite, rcode) in [
        (record(Class::ANY, "www.internal", any, 0, ""), Rcode::NOERROR),
        (record(Class::ANY, "none.internal", any, 0, ""), Rcode::NXDOMAIN),
        (record(Class::ANY, "b.c.internal", any, 0, ""), Rcode::NXDOMAIN),
        (record(Class::NONE, "www.internal", any, 0, ""), Rcode::YXDOMAIN),
        (record(Class::NONE, "b.c.internal", any, 0, ""), Rcode::NOERROR),
        (record(Class::ANY, "www.internal", RrType::TXT, 0, ""), Rcode::NXRRSET),
        (record(Class::ANY, "alias.internal", RrType::A, 0, ""), Rcode::NXRRSET),
        (record(Class::NONE, "www.internal", RrType::A, 0, ""), Rcode::YXRRSET),
        (record(Class::NONE, "www.internal", RrType::AAAA, 0, ""), Rcode::NOERROR),
        (record(Class::IN, "www.internal", RrType::A, 0, "10.0.0.1"), Rcode::NXRRSET),
        (record(Class::IN, "alias.internal", RrType::CNAME, 0, "WWW.internal."), Rcode::NOERROR),
        (record(Class::ANY, "www.example", any, 0, ""), Rcode::NOTZONE),
        (record(Class::ANY, "www.internal", any, 7, ""), Rcode::FORMERR),
        (record(Class::CH, "www.internal", RrType::A, 0, "10.0.0.1"), Rcode::FORMERR),
        (record(Class::ANY, "www.internal", RrType::A, 0, "10.0.0.1"), Rcode::FORMERR),
    ] {
        assert_eq!(send(&mut store(), vec![prerequisite.clone()], vec![]), rcode, "{prerequisite:?}");
    }
    let both = vec![
        record(Class::IN, "www.internal", RrType::A, 0, "10.0.0.9"),
        record(Class::IN, "www.internal", RrType::A, 0, "10.0.0.1"),
    ];
    assert_eq!(send(&mut store(), both, vec![]), Rcode::NOERROR);
}

#[test]
fn what_is_ignored_and_what_is_not() {
    let mut s = store();
    let add = |owner: &str, rtype, ttl, value: &str| record(Class::IN, owner, rtype, ttl, value);
    // There already, with another TTL: nothing moves, not even the serial.
    assert_eq!(send(&mut s, vec![], vec![add("www.internal", RrType::A, 60, "10.0.0.1")]), Rcode::NOERROR);
    assert_eq!(serial(&s), 5);
    // A new value with another TTL takes the set along.
    send(&mut s, vec![], vec![add("www.internal", RrType::A, 60, "10.0.0.3")]);
    assert_eq!((serial(&s), values(&s, "www.internal", RrType::A).len()), (6, 3));
    assert_eq!(s.zones[&n("internal")].view.get(&n("www.internal"), RrType::A).unwrap().ttl, 60);
    // CNAME and other data exclude each other; whoever is there stays.
    send(&mut s, vec![], vec![add("www.internal", RrType::CNAME, 60, "x.internal.")]);
    send(&mut s, vec![], vec![add("alias.internal", RrType::A, 60, "10.0.0.1")]);
    assert!(values(&s, "www.internal", RrType::CNAME).is_empty() && values(&s, "alias.internal", RrType::A).is_empty());
    send(&mut s, vec![], vec![add("alias.internal", RrType::CNAME, 60, "y.internal.")]);
    assert_eq!(values(&s, "alias.internal", RrType::CNAME), ["y.internal."]);
    // The SOA and the last NS stay.
    send(&mut s, vec![], vec![record(Class::ANY, "internal", RrType::ANY, 0, "")]);
    send(&mut s, vec![], vec![record(Class::NONE, "internal", RrType::NS, 0, "ns0.internal.")]);
    assert_eq!(values(&s, "internal", RrType::NS), ["ns0.internal."]);
    // A higher serial is taken, a lower one is not.
    send(&mut s, vec![], vec![add("internal", RrType::SOA, 60, "ns0. host. 50 1 1 1 60")]);
    assert_eq!(serial(&s), 50);
    send(&mut s, vec![], vec![add("internal", RrType::SOA, 60, "ns0. host. 7 1 1 1 60")]);
    assert_eq!(serial(&s), 50);
}

#[test]
fn a_bad_record_stops_the_whole_message() {
    let mut s = store();
    let good = record(Class::IN, "new.internal", RrType::A, 60, "10.0.0.1");
    for (bad, rcode) in [
        (record(Class::IN, "new.example", RrType::A, 60, "10.0.0.1"), Rcode::NOTZONE),
        (record(Class::ANY, "new.internal", RrType::A, 60, ""), Rcode::FORMERR),
        (Record { rdata: vec![1, 2, 3].into(), ..good.clone() }, Rcode::FORMERR),
        (record(Class::CH, "new.internal", RrType::A, 60, "10.0.0.1"), Rcode::FORMERR),
    ] {
        assert_eq!(send(&mut s, vec![], vec![good.clone(), bad]), rcode);
        assert!(values(&s, "new.internal", RrType::A).is_empty() && serial(&s) == 5);
    }
}

fn ask(owner: &str, rtype: RrType) -> (Rcode, Vec<String>) {
    let answer = query::answer(&store(), &Message::query(1, n(owner), rtype));
    let line =
        |record: &Record| format!("{} {} {}", record.name, record.rtype, rdata::to_text(record.rtype, &record.rdata));
    (answer.rcode, answer.answers.iter().map(line).collect())
}

#[test]
fn queries() {
    assert_eq!(ask("www.internal", RrType::A).1.len(), 2);
    assert_eq!(ask("none.internal", RrType::A), (Rcode::NXDOMAIN, vec![]));
    assert_eq!(ask("www.internal", RrType::TXT), (Rcode::NOERROR, vec![]));
    assert_eq!(ask("b.c.internal", RrType::A), (Rcode::NOERROR, vec![]));
    assert_eq!(ask("alias.internal", RrType::A).1.len(), 3);
    assert_eq!(ask("x.y.w.internal", RrType::A).1, ["x.y.w.internal. A 10.0.0.5"]);
    assert_eq!(ask("www.tree.internal", RrType::CNAME).1[1], "www.tree.internal. CNAME www.other.internal.");
    assert_eq!(ask("host.sub.internal", RrType::A), (Rcode::NOERROR, vec![]));
    assert_eq!(ask("www.example", RrType::A).0, Rcode::REFUSED);
}

#[test]
fn zone_files_with_all_their_liberties() {
    let text = "$TTL 60\n@ IN SOA ns0 host (\n  1 ; serial\n  2 3 4 5 )\n\tNS ns0\nns0 300 IN A 10.0.0.1\n$ORIGIN sub.internal.\nx TXT \"a;b\" ; c\n";
    let records = super::parse_zone(&n("internal"), text).unwrap();
    assert_eq!(records.len(), 4);
    assert_eq!((records[1].rtype, records[1].name.to_string()), (RrType::NS, "internal.".into()));
    assert_eq!((records[2].ttl, records[3].name.to_string()), (300, "x.sub.internal.".into()));
    assert_eq!(super::parse_zone(&n("internal"), "@ SOA a b 1 2 3 4 5\nx A nonsense\n").unwrap_err().line, 2);
}
