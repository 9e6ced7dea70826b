//! The tables of `knot.md` §2.1 to §2.3, row by row.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::authority::zonefile;
use crate::dns::Opcode;

const ZONE: &str = "$TTL 300
@ SOA ns0 host 10 3600 600 86400 60
@ NS ns0
ns0 A 10.0.0.1
web A 10.0.0.2
web A 10.0.0.3
web TXT \"Text\"
alias CNAME web
mail MX 10 web
a.deep A 10.0.0.4
";

const DEPTH: Depth = Depth { commits: 10, records: 1000 };

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn zone() -> Zone {
    zonefile::parse(&n("internal"), ZONE).unwrap()
}

/// `class name ttl type value`; a value of `-` is none, names are relative to the zone.
fn record(text: &str) -> Record {
    let mut words = text.splitn(5, ' ');
    let mut word = || words.next().unwrap_or("-");
    let class = match word() {
        "IN" => Class::IN,
        "ANY" => Class::ANY,
        "NONE" => Class::NONE,
        _ => Class::CH,
    };
    let apex = n("internal");
    let name = match word() {
        "@" => apex.clone(),
        name if name.ends_with('.') => n(name),
        name => n(name).under(&apex).unwrap(),
    };
    let ttl = word().parse().unwrap();
    let rtype = RrType::parse(word()).unwrap();
    let rdata = match word() {
        "-" => Box::default(),
        raw if raw.starts_with("raw:") => raw.as_bytes()[4..].into(),
        value => rdata::from_text(rtype, value, Some(&apex)).unwrap(),
    };
    Record { name, rtype, class, ttl, rdata }
}

fn run(zone: &mut Zone, prerequisites: &[&str], updates: &[&str]) -> Result<bool, Rcode> {
    let mut message = Message::new(1, Opcode::UPDATE);
    message.answers = prerequisites.iter().map(|text| record(text)).collect();
    message.authorities = updates.iter().map(|text| record(text)).collect();
    update(zone, &message, DEPTH)
}

fn set(zone: &Zone, name: &str, rtype: RrType) -> String {
    let name = if name == "@" { n("internal") } else { n(name).under(&n("internal")).unwrap() };
    let Some(set) = zone.get(&name, rtype) else { return "-".into() };
    let values: Vec<String> = set.values.iter().map(|value| rdata::to_text(rtype, value)).collect();
    format!("{} {}", set.ttl, values.join(" "))
}

#[test]
fn prerequisites_hold_or_fail_with_their_own_code() {
    let cases: &[(&[&str], Result<bool, Rcode>)] = &[
        (&["ANY web 0 ANY"], Ok(true)),
        (&["ANY nobody 0 ANY"], Err(Rcode::NXDOMAIN)),
        // An empty non-terminal is not in use.
        (&["ANY deep 0 ANY"], Err(Rcode::NXDOMAIN)),
        (&["NONE nobody 0 ANY"], Ok(true)),
        (&["NONE deep 0 ANY"], Ok(true)),
        (&["NONE web 0 ANY"], Err(Rcode::YXDOMAIN)),
        (&["ANY web 0 A"], Ok(true)),
        (&["ANY web 0 AAAA"], Err(Rcode::NXRRSET)),
        (&["ANY nobody 0 A"], Err(Rcode::NXRRSET)),
        // No chasing of the CNAME.
        (&["ANY alias 0 A"], Err(Rcode::NXRRSET)),
        (&["NONE web 0 AAAA"], Ok(true)),
        (&["NONE web 0 A"], Err(Rcode::YXRRSET)),
        (&["IN web 0 A 10.0.0.3", "IN web 0 A 10.0.0.2"], Ok(true)),
        (&["IN web 0 A 10.0.0.3"], Err(Rcode::NXRRSET)),
        (&["IN web 0 A 10.0.0.3", "IN web 0 A 10.0.0.2", "IN web 0 A 10.0.0.9"], Err(Rcode::NXRRSET)),
        (&["IN web 0 A 10.0.0.3", "IN web 0 A 10.0.0.9"], Err(Rcode::NXRRSET)),
        (&["IN nobody 0 A 10.0.0.3"], Err(Rcode::NXRRSET)),
        (&["IN mail 0 MX 10 WEB.Internal."], Ok(true)),
        (&["IN alias 0 CNAME WEB"], Ok(true)),
        (&["IN web 0 TXT \"Text\""], Ok(true)),
        (&["IN web 0 TXT \"text\""], Err(Rcode::NXRRSET)),
        (&["IN WEB 0 TXT \"Text\"", "NONE nobody 0 ANY", "ANY @ 0 SOA"], Ok(true)),
        (&["NONE x.other. 0 ANY"], Err(Rcode::NOTZONE)),
        (&["NONE nobody 5 ANY"], Err(Rcode::FORMERR)),
        (&["IN web 5 A 10.0.0.2"], Err(Rcode::FORMERR)),
        (&["CH web 0 A 10.0.0.2"], Err(Rcode::FORMERR)),
        (&["ANY web 0 A 10.0.0.2"], Err(Rcode::FORMERR)),
        (&["NONE web 0 A 10.0.0.2"], Err(Rcode::FORMERR)),
        (&["IN web 0 A -"], Err(Rcode::FORMERR)),
        (&["IN web 0 ANY -"], Err(Rcode::FORMERR)),
        (&["ANY web 0 AXFR"], Err(Rcode::FORMERR)),
    ];
    for (prerequisites, expected) in cases {
        let mut zone = zone();
        let got = run(&mut zone, prerequisites, &["IN new 60 A 10.0.0.9"]);
        assert_eq!(got, *expected, "{prerequisites:?}");
        assert_eq!(zone.serial(), if expected.is_ok() { 11 } else { 10 }, "{prerequisites:?}");
        assert_eq!(set(&zone, "new", RrType::A) != "-", expected.is_ok());
    }
}

#[test]
fn one_bad_record_keeps_the_whole_message_out() {
    for (bad, expected) in [
        ("IN x.other. 60 A 10.0.0.1", Rcode::NOTZONE),
        ("ANY x.other. 0 A", Rcode::NOTZONE),
        ("CH web 60 A 10.0.0.1", Rcode::FORMERR),
        ("IN web 60 ANY -", Rcode::FORMERR),
        ("IN web 60 AXFR -", Rcode::FORMERR),
        ("NONE web 60 A 10.0.0.2", Rcode::FORMERR),
        ("NONE web 0 ANY -", Rcode::FORMERR),
        ("ANY web 0 A 10.0.0.2", Rcode::FORMERR),
        ("ANY web 0 IXFR -", Rcode::FORMERR),
        ("IN web 60 A -", Rcode::FORMERR),
        ("IN web 60 A raw:12345", Rcode::FORMERR),
        ("NONE web 0 A raw:123", Rcode::FORMERR),
        ("IN web 60 NSEC3PARAM 1 0 0 -", Rcode::REFUSED),
    ] {
        let mut zone = zone();
        let got = run(&mut zone, &[], &["IN new 60 A 10.0.0.9", bad, "ANY web 0 ANY"]);
        assert_eq!((got, zone.serial(), set(&zone, "new", RrType::A)), (Err(expected), 10, "-".into()), "{bad}");
    }
}

#[test]
fn what_changes_nothing_leaves_the_serial() {
    for updates in [
        &[][..],
        &["IN web 300 A 10.0.0.2"],
        // An existing record keeps its TTL.
        &["IN web 60 A 10.0.0.2"],
        &["NONE web 0 A 10.0.0.9"],
        &["ANY nobody 0 ANY"],
        &["ANY web 0 AAAA"],
        &["ANY mail 0 MX", "IN mail 300 MX 10 web"],
        // CNAME beside other data, other data beside a CNAME.
        &["IN web 300 CNAME mail"],
        &["IN @ 300 CNAME web"],
        &["IN alias 300 A 10.0.0.9"],
        &["IN alias 300 CNAME WEB"],
        // The SOA and the apex NS stay.
        &["ANY @ 0 SOA"],
        &["ANY @ 0 NS"],
        &["NONE @ 0 NS ns0"],
        &["ANY @ 0 ANY"],
        &["IN @ 300 SOA ns0 host 10 1 1 1 1"],
        &["IN @ 300 SOA ns0 host 9 1 1 1 1"],
        &["IN web 300 SOA ns0 host 99 1 1 1 1"],
        &["IN web 300 RRSIG A 8 2 300 20300101000000 20200101000000 1 internal. AAAA"],
    ] {
        let mut zone = zone();
        assert_eq!(run(&mut zone, &[], updates), Ok(false), "{updates:?}");
        assert_eq!(zone.serial(), 10);
        assert!(zone.view().same_content(&self::zone().view()), "{updates:?}");
    }
}

#[test]
fn what_changes_something() {
    let cases: &[(&[&str], &str, RrType, &str)] = &[
        // A new record moves the whole set to its TTL.
        (&["IN web 60 A 10.0.0.9"], "web", RrType::A, "60 10.0.0.2 10.0.0.3 10.0.0.9"),
        (&["ANY web 0 A", "IN web 60 A 10.0.0.2", "IN web 60 A 10.0.0.3"], "web", RrType::A, "60 10.0.0.2 10.0.0.3"),
        (&["NONE web 0 A 10.0.0.2"], "web", RrType::A, "300 10.0.0.3"),
        (&["ANY web 77 A"], "web", RrType::A, "-"),
        (&["ANY WEB 0 ANY"], "web", RrType::TXT, "-"),
        (&["NONE mail 0 MX 10 WEB"], "mail", RrType::MX, "-"),
        // The last CNAME wins, and be it for its TTL.
        (&["IN alias 60 CNAME web"], "alias", RrType::CNAME, "60 web.internal."),
        (&["IN alias 60 CNAME mail", "IN alias 70 CNAME ns0"], "alias", RrType::CNAME, "70 ns0.internal."),
        (&["NONE alias 0 CNAME web", "IN alias 60 A 10.0.0.9"], "alias", RrType::A, "60 10.0.0.9"),
        (&["ANY web 0 ANY", "IN web 60 CNAME mail"], "web", RrType::CNAME, "60 mail.internal."),
        // "Delete the last, add another" keeps both; the other way round works.
        (&["NONE @ 0 NS ns0", "IN @ 300 NS ns1"], "@", RrType::NS, "300 ns0.internal. ns1.internal."),
        (&["IN @ 300 NS ns1", "NONE @ 0 NS ns0"], "@", RrType::NS, "300 ns1.internal."),
        (&["IN @ 60 MX 1 web", "ANY @ 0 ANY", "IN @ 60 A 10.0.0.9"], "@", RrType::MX, "-"),
        (&["IN deep 60 TYPE65400 \\# 2 0102"], "deep", RrType(65400), "60 \\# 2 0102"),
        (&["IN sub 60 DNAME other.", "IN x.deep 60 A 10.0.0.9"], "sub", RrType::DNAME, "60 other."),
    ];
    for (updates, name, rtype, expected) in cases {
        let mut zone = zone();
        assert_eq!(run(&mut zone, &[], updates), Ok(true), "{updates:?}");
        assert_eq!((set(&zone, name, *rtype), zone.serial()), ((*expected).to_owned(), 11), "{updates:?}");
    }
}

#[test]
fn a_higher_serial_is_taken_over() {
    let mut zone = zone();
    assert_eq!(run(&mut zone, &[], &["IN @ 60 SOA ns0 host 20 1 1 1 1"]), Ok(true));
    assert_eq!(set(&zone, "@", RrType::SOA), "60 ns0.internal. host.internal. 20 1 1 1 1");
    assert_eq!(run(&mut zone, &[], &["IN @ 60 SOA ns0 host 30 1 1 1 1", "IN x 60 A 10.0.0.9"]), Ok(true));
    assert_eq!(zone.serial(), 30);
    // RFC 1982: higher, across the wrap.
    let far = "IN @ 60 SOA ns0 host 2147483677 1 1 1 1";
    assert_eq!(run(&mut zone, &[], &[far]), Ok(true));
    assert_eq!(run(&mut zone, &[], &["IN @ 60 SOA ns0 host 1 1 1 1 1"]), Ok(true));
    assert_eq!(zone.serial(), 1);
    assert_eq!(zone.since(30).unwrap().len(), 2);
}

#[test]
fn dnames_stand_alone() {
    let mut zone = zone();
    assert_eq!(run(&mut zone, &[], &["IN deep 60 DNAME other."]), Err(Rcode::REFUSED));
    assert_eq!(run(&mut zone, &[], &["ANY a.deep 0 ANY", "IN deep 60 DNAME other."]), Ok(true));
    assert_eq!(run(&mut zone, &[], &["IN b.deep 60 A 10.0.0.9"]), Err(Rcode::REFUSED));
    assert_eq!(run(&mut zone, &[], &["IN deep 60 DNAME another."]), Err(Rcode::REFUSED));
    assert_eq!(run(&mut zone, &[], &["ANY deep 0 DNAME", "IN b.deep 60 A 10.0.0.9"]), Ok(true));
}
