#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn a(last: u8) -> Rdata {
    [10, 0, 0, last].into()
}

fn entry(name: &str, rtype: RrType, ttl: u32, rdata: impl Into<Rdata>) -> Entry {
    Entry { name: n(name), rtype, ttl, rdata: rdata.into() }
}

/// SOA RDATA with this serial.
fn soa(serial: u32) -> Rdata {
    let mut rdata = vec![0; 22];
    rdata[2..6].copy_from_slice(&serial.to_be_bytes());
    rdata.into()
}

fn view(names: &[&str]) -> View {
    let mut view = View::new(n("internal"), 1);
    view.add(&n("internal"), RrType::SOA, 300, soa(1));
    for name in names {
        view.add(&n(name), RrType::A, 300, a(1));
    }
    view
}

#[test]
fn records_come_and_go() {
    let mut view = view(&[]);
    let name = n("a.internal");
    assert!(view.add(&name, RrType::A, 300, a(2)));
    assert!(view.add(&name, RrType::A, 300, a(1)));
    assert!(!view.add(&name, RrType::A, 60, a(1)));
    assert!(view.add(&name, RrType::TXT, 5, (*b"\x01x").into()));
    let set = view.get(&name, RrType::A).unwrap();
    assert_eq!((set.ttl, &set.values[..]), (60, &[a(1), a(2)][..]));
    assert_eq!(view.at(&name).iter().map(|(t, _)| *t).collect::<Vec<_>>(), [RrType::A, RrType::TXT]);
    assert_eq!(view.node(&name).unwrap().set(RrType::TXT).unwrap().ttl, 5);
    assert!(!view.remove(&name, RrType::A, &a(9)));
    assert!(view.remove(&name, RrType::A, &a(1)) && view.remove(&name, RrType::A, &a(2)));
    assert!(view.in_use(&name) && view.remove(&name, RrType::TXT, b"\x01x"));
    assert!(!view.in_use(&name) && view.name_count() == 1);
    assert!(!view.add(&n("other"), RrType::A, 300, a(1)));
}

#[test]
fn values_are_compared_in_canonical_form_and_kept_as_they_came() {
    let mut view = view(&[]);
    let name = n("a.internal");
    view.add(&name, RrType::CNAME, 300, (*b"\x04HOST\x00").into());
    assert!(!view.add(&name, RrType::CNAME, 300, (*b"\x04host\x00").into()));
    assert_eq!(&*view.get(&name, RrType::CNAME).unwrap().values[0], b"\x04HOST\x00");
    assert!(view.remove(&name, RrType::CNAME, b"\x04hOST\x00"));
}

#[test]
fn below_exists_encloser_and_cuts() {
    let mut view = view(&["a.internal", "b.a.internal", "x.y.internal", "aa.internal", "host.sub.internal"]);
    let below = |name: &str| view.below(&n(name)).map(|n| n.to_relaxed()).collect::<Vec<_>>();
    assert_eq!(below("a.internal"), ["b.a.internal"]);
    assert_eq!(below("y.internal"), ["x.y.internal"]);
    assert_eq!(below("internal").len(), 5);
    assert!(below("other").is_empty() && below("zz.internal").is_empty());
    assert!(view.exists(&n("y.internal")) && !view.in_use(&n("y.internal")));
    assert!(!view.exists(&n("z.internal")));
    assert_eq!(view.closest_encloser(&n("q.r.y.internal")), Some(n("y.internal")));
    assert_eq!(view.closest_encloser(&n("q.internal")), Some(n("internal")));
    assert_eq!(view.closest_encloser(&n("other")), None);
    view.add(&n("internal"), RrType::NS, 300, (*b"\x02ns\x00").into());
    view.add(&n("sub.internal"), RrType::NS, 300, (*b"\x02ns\x00").into());
    view.add(&n("y.internal"), RrType::DNAME, 300, (*b"\x01z\x00").into());
    assert_eq!(view.cuts_above(&n("a.host.sub.internal")), [(n("sub.internal"), RrType::NS)]);
    assert_eq!(view.cuts_above(&n("x.y.internal")), [(n("y.internal"), RrType::DNAME)]);
    assert!(view.cuts_above(&n("sub.internal")).is_empty());
}

#[test]
fn signatures_are_counted_and_not_kept() {
    let mut builder = Builder::new(n("internal"));
    assert!(builder.push(n("internal").wire(), RrType::SOA, 300, &soa(1)));
    assert!(builder.push(n("a.internal").wire(), RrType::RRSIG, 300, b"x"));
    assert!(builder.push(n("hash.internal").wire(), RrType::NSEC3, 300, b"x"));
    assert!(builder.push(n("internal").wire(), RrType::DNSKEY, 300, b"x"));
    let mut view = builder.finish(1);
    assert_eq!((view.dnssec_count(), view.name_count()), (2, 1));
    let diff = Diff {
        from: 1,
        to: 2,
        removed: vec![entry("internal", RrType::SOA, 300, soa(1)), entry("a.internal", RrType::RRSIG, 300, *b"x")],
        added: vec![entry("internal", RrType::SOA, 300, soa(2)), entry("b.internal", RrType::NSEC, 300, *b"y")],
    };
    assert_eq!(view.apply(&[diff]), Ok(vec![]));
    assert_eq!((view.dnssec_count(), view.name_count(), view.serial()), (2, 1, 2));
}

fn diff(from: u32, to: u32, removed: Vec<Entry>, added: Vec<Entry>) -> Diff {
    let with = |serial, mut entries: Vec<Entry>| {
        entries.insert(0, entry("internal", RrType::SOA, 300, soa(serial)));
        entries
    };
    Diff { from, to, removed: with(from, removed), added: with(to, added) }
}

#[test]
fn differences_are_applied_in_order() {
    let mut view = view(&["a.internal", "b.internal"]);
    let steps = [
        diff(1, 2, vec![entry("a.internal", RrType::A, 300, a(1))], vec![entry("c.internal", RrType::A, 300, a(3))]),
        // The TTL of a set moves by removing and adding its records; c comes and goes.
        diff(
            2,
            5,
            vec![entry("b.internal", RrType::A, 300, a(1)), entry("c.internal", RrType::A, 300, a(3))],
            vec![entry("b.internal", RrType::A, 60, a(1))],
        ),
    ];
    let before = view.clone();
    assert_eq!(view.apply(&steps), Ok(vec![n("a.internal"), n("b.internal")]));
    assert_eq!((view.serial(), view.name_count()), (5, 2));
    assert_eq!(view.get(&n("b.internal"), RrType::A).unwrap().ttl, 60);
    assert_eq!(view.get(&n("internal"), RrType::SOA).unwrap().values[0], soa(5));
    assert_eq!((before.serial(), before.name_count()), (1, 3));
}

#[test]
fn impossible_differences_change_nothing() {
    let original = view(&["a.internal"]);
    let good = diff(1, 2, vec![entry("a.internal", RrType::A, 300, a(1))], vec![]);
    let cases = [
        (diff(3, 4, vec![], vec![]), Impossible::Serial { have: 2, from: 3 }),
        (
            diff(2, 3, vec![entry("a.internal", RrType::A, 300, a(1))], vec![]),
            Impossible::Missing(n("a.internal"), RrType::A),
        ),
        (
            diff(2, 3, vec![], vec![entry("b.internal", RrType::A, 1, a(1)), entry("b.internal", RrType::A, 1, a(1))]),
            Impossible::Present(n("b.internal"), RrType::A),
        ),
        (diff(2, 3, vec![], vec![entry("b.other", RrType::A, 1, a(1))]), Impossible::OutOfZone(n("b.other"))),
        // Another history with the same serials shows in the SOA as well.
        (
            Diff { removed: vec![entry("internal", RrType::SOA, 300, soa(7))], ..diff(2, 3, vec![], vec![]) },
            Impossible::Missing(n("internal"), RrType::SOA),
        ),
    ];
    for (bad, error) in cases {
        let mut view = original.clone();
        assert_eq!(view.apply(&[good.clone(), bad]), Err(error));
        assert_eq!(view.serial(), 1);
        assert!(view.same_content(&original));
        assert_eq!(view.get(&n("internal"), RrType::SOA).unwrap().values[0], soa(1));
    }
}

#[test]
fn content_is_compared_without_letter_case_and_soa() {
    let (mut one, mut two) = (view(&["a.internal"]), view(&["a.internal"]));
    one.add(&n("b.internal"), RrType::CNAME, 300, (*b"\x01A\x00").into());
    two.add(&n("b.internal"), RrType::CNAME, 300, (*b"\x01a\x00").into());
    two.apply(&[diff(1, 9, vec![], vec![])]).unwrap();
    assert!(one.same_content(&two) && one.content_hash() == two.content_hash());
    two.add(&n("a.internal"), RrType::A, 299, a(1));
    assert!(!one.same_content(&two) && one.content_hash() != two.content_hash());
}

fn records() -> impl Strategy<Value = Vec<(Name, RrType, u32, Rdata)>> {
    let label = prop::sample::select(vec!["a", "b", "C", "aa", "\\000", "\\001x", "*"]);
    let name = prop::collection::vec(label, 0..3)
        .prop_map(|labels| n(&format!("{}internal", labels.iter().map(|l| format!("{l}.")).collect::<String>())));
    let rtype = prop::sample::select(vec![RrType::A, RrType::TXT, RrType::CNAME]);
    let value = prop::sample::select(vec![*b"\x01a\x00", *b"\x01A\x00", *b"\x01b\x00", *b"\x01c\x00"]);
    prop::collection::vec((name, rtype, 0u32..3, value.prop_map(Rdata::from)), 0..60)
}

/// TTL and canonical values by name and type.
type Model = std::collections::BTreeMap<(Name, RrType), (u32, std::collections::BTreeSet<Vec<u8>>)>;

proptest! {
    /// In whatever order the records come, the view is that of adding them one by one, and a map's.
    #[test]
    fn any_order_gives_the_same_view(records in records(), sorted: bool) {
        let mut records = records;
        if sorted {
            records.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let mut builder = Builder::new(n("internal"));
        let mut added = View::new(n("internal"), 1);
        let mut model: Model = Default::default();
        for (name, rtype, ttl, value) in &records {
            let _ = builder.push(name.wire(), *rtype, *ttl, value);
            let new = added.add(name, *rtype, *ttl, value.clone());
            let set = model.entry((name.clone(), *rtype)).or_default();
            set.0 = *ttl;
            prop_assert_eq!(new, set.1.insert(rdata::canonical(*rtype, value).into_owned()));
        }
        let built = builder.finish(1);
        for view in [&built, &added] {
            let sets: Vec<_> = view.sets().map(|(name, rtype, set)| {
                let values = set.values.iter().map(|v| rdata::canonical(rtype, v).into_owned()).collect();
                ((name, rtype), (set.ttl, values))
            }).collect();
            prop_assert_eq!(sets, model.clone().into_iter().collect::<Vec<_>>());
        }
        prop_assert_eq!(built.name_count(), added.name_count());
        prop_assert!(!sorted || built.same_content(&added));
    }
}
