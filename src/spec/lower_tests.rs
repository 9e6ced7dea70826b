#![allow(clippy::unwrap_used)]
use super::*;
use crate::spec::ZoneEntry;

fn zones() -> Zones {
    let entry = |name: &str| ZoneEntry { name: Name::parse(name).unwrap(), default_ttl: 300 };
    let names = [
        "internal",
        "s3.garage.internal",
        "10.in-addr.arpa",
        "2.0.192.in-addr.arpa",
        "0/26.2.0.192.in-addr.arpa",
        "d.f.ip6.arpa",
    ];
    Zones::new(names.map(entry), "_knotwork")
}

fn run(spec: &str) -> Lowered {
    let text = format!(
        "{{apiVersion: dns.knotwork.dev/v1alpha1, kind: StaticDNSRecord, metadata: {{name: x}}, spec: {{{spec}}}}}"
    );
    let record: StaticDnsRecord = serde_saphyr::from_str(&text).unwrap();
    lower(&record, &zones(), &Rights::Trusted)
}

fn claims(spec: &str) -> Vec<String> {
    let lowered = run(spec);
    assert!(lowered.problems.is_empty(), "{:?}", lowered.problems);
    let line = |(zone, claim): &(Name, Claim)| {
        let values: Vec<String> = claim.set.values.iter().map(|value| rdata::to_text(claim.rtype, value)).collect();
        format!("[{}] {} {} {} {}", zone.to_relaxed(), claim.name, claim.set.ttl, claim.rtype, values.join(", "))
    };
    lowered.claims.iter().map(line).collect()
}

fn problem(spec: &str) -> (String, &'static str, String) {
    let lowered = run(spec);
    assert!(lowered.claims.is_empty() && lowered.state == ObjectState::Protected, "{spec}");
    let first = &lowered.problems[0];
    (first.path.clone(), first.reason, first.message.clone())
}

#[test]
fn names_find_their_zone() {
    assert_eq!(claims("name: a.internal, a: [10.0.0.1]"), ["[internal] a.internal. 300 A 10.0.0.1"]);
    assert_eq!(claims("name: a, zone: internal, ttl: 5, a: [10.0.0.1]"), ["[internal] a.internal. 5 A 10.0.0.1"]);
    assert_eq!(claims("name: a.internal, zone: internal, a: [10.0.0.1]"), ["[internal] a.internal. 300 A 10.0.0.1"]);
    assert_eq!(claims("name: \"@\", zone: internal, txt: [x]"), ["[internal] internal. 300 TXT \"x\""]);
    assert_eq!(
        claims("name: b.s3.garage.internal, a: [10.0.0.1]"),
        ["[s3.garage.internal] b.s3.garage.internal. 300 A 10.0.0.1"]
    );
    assert_eq!(
        claims("name: s3.garage.internal, zone: internal, ns: [ns.x.]"),
        ["[internal] s3.garage.internal. 300 NS ns.x."]
    );
    let ds = "ds: [{keyTag: 1, algorithm: 13, digestType: 1, digest: 0123456789abcdef0123456789abcdef01234567}]";
    assert!(claims(&format!("name: s3.garage.internal, {ds}"))[0].starts_with("[internal]"));
    let (path, reason, text) = problem("name: www, a: [10.0.0.1]");
    assert_eq!((path.as_str(), reason), ("spec.name", "ZoneNotFound"));
    assert!(text.contains("www.internal"), "{text}");
    assert_eq!(problem("name: a.b, zone: nowhere, a: [10.0.0.1]").0, "spec.zone");
    // A deeper zone that is configured answers for what lies below its apex, whatever the zone above it holds.
    for name in ["foo.s3.garage", "foo.s3.garage.internal", "foo.s3.garage.internal.", "'*.s3.garage'"] {
        let (path, reason, text) = problem(&format!("name: {name}, zone: internal, a: [10.0.0.1]"));
        assert_eq!((path.as_str(), reason), ("spec.zone", "ZoneNotFound"), "{name}");
        assert!(text.contains("give zone: s3.garage.internal"), "{text}");
    }
    assert_eq!(problem("name: \"@\", a: [10.0.0.1]").1, "Invalid");
}

#[test]
fn targets_are_absolute() {
    assert_eq!(claims("name: a.internal, cname: b.internal"), ["[internal] a.internal. 300 CNAME b.internal."]);
    assert_eq!(claims("name: a, zone: internal, cname: b"), ["[internal] a.internal. 300 CNAME b.internal."]);
    assert_eq!(problem("name: a.internal, cname: b").0, "spec.cname");
    assert_eq!(claims("name: a.internal, cname: com."), ["[internal] a.internal. 300 CNAME com."]);
}

#[test]
fn reverse_names_of_both_families_and_classless() {
    assert_eq!(
        claims("name: a.internal, a: [10.1.2.3], aaaa: [\"fd00::1\"], reverse: true")[0],
        "[10.in-addr.arpa] 3.2.1.10.in-addr.arpa. 300 PTR a.internal."
    );
    let ptr = claims("name: a.internal, a: [192.0.2.5], reverse: true");
    assert!(ptr[0].starts_with("[0/26.2.0.192.in-addr.arpa] 5.0"), "{ptr:?}");
    let ptr = claims("name: a.internal, a: [192.0.2.100], reverse: true");
    assert!(ptr[0].starts_with("[2.0.192.in-addr.arpa] 100.2.0.192"), "{ptr:?}");
    assert_eq!(claims("name: \"*.internal\", a: [10.1.2.3], reverse: true").len(), 1);
    assert_eq!(run("name: a.internal, a: [203.0.113.1], reverse: true").notes.len(), 1);
    assert!(run("name: xn--bcher-kva.internal, a: [10.0.0.1]").notes.is_empty());
    let fake = run("name: xn--bcher-kv.internal, a: [10.0.0.1]");
    assert!(fake.problems.is_empty() && fake.notes[0].contains("xn--bcher-kv begins"), "{:?}", fake.notes);
}

#[test]
fn what_is_refused_names_its_field() {
    for (spec, path, word) in [
        ("name: a.internal, a: [10.0.0.1, 10.0.0.300]", "spec.a[1]", "10.0.0.300"),
        ("name: a.internal, a: [\"fd00::1\"]", "spec.a[0]", "spec.aaaa"),
        ("name: a.internal, ttl: -1, a: [10.0.0.1]", "spec.ttl", "-1"),
        ("name: a.internal", "spec", "no records"),
        ("name: a.internal, cname: b.x, a: [10.0.0.1]", "spec.cname", "alone"),
        ("name: internal, cname: b.x", "spec.cname", "apex"),
        ("name: _knotwork.a.internal, a: [10.0.0.1]", "spec.name", "_knotwork"),
        ("name: a.*.internal, a: [10.0.0.1]", "spec.name", "asterisk"),
        ("name: a.internal, mx: [{preference: 70000, exchange: m.x}]", "spec.mx[0].preference", "65535"),
        ("name: a.internal, txt: [\"heritage=external-dns,external-dns/owner=x\"]", "spec.txt[0]", "ownership"),
        ("name: a.internal, other: [{type: TYPE6, rdata: [x]}]", "spec.other[0].type", "SOA"),
        ("name: a.internal, other: [{type: A, rdata: [10.0.0.2]}], a: [10.0.0.1]", "spec.other[0].rdata", "twice"),
        ("name: a.internal, other: [{type: DHCID, rdata: [\"AAIB\"]}]", "spec.other[0].type", "DHCP"),
        ("name: a.internal, other: [{type: CNAME, rdata: [b.x, c.x]}]", "spec.other[0].rdata", "has one value"),
        ("name: a.internal, share: true, cname: b.x", "spec.share", "shared"),
        ("name: a.internal, share: true, deletionPolicy: Retain, a: [10.0.0.1]", "spec.deletionPolicy", "retained"),
    ] {
        let (at, _, text) = problem(spec);
        assert_eq!(at, path, "{spec}: {text}");
        assert!(text.contains(word), "{spec}: {text}");
    }
}

#[test]
fn room_for_the_marker() {
    let label = "x".repeat(63);
    let name = |last: usize| format!("{label}.{label}.{label}.{}.internal", "y".repeat(last));
    assert_eq!(run(&format!("name: {}, a: [10.0.0.1]", name(42))).problems, []);
    assert!(problem(&format!("name: {}, a: [10.0.0.1]", name(43))).2.contains("245"));
}

#[test]
fn an_address_is_no_name_of_a_host() {
    for (spec, path, way) in [
        ("cname: 10.0.0.1", "spec.cname", "write a: [10.0.0.1] instead of cname"),
        ("cname: \"fd00::1\"", "spec.cname", "write aaaa: [fd00::1]"),
        ("ns: [ns.internal, 10.0.0.1.]", "spec.ns[1]", "give that host a name with a: [10.0.0.1]"),
        ("ptr: [10.0.0.1]", "spec.ptr[0]", "points back to"),
        ("mx: [{preference: 1, exchange: 10.0.0.1}]", "spec.mx[0].exchange", "write the name here"),
        ("srv: [{priority: 1, weight: 1, port: 1, target: 10.0.0.1}]", "spec.srv[0].target", "write the name here"),
        ("other: [{type: MX, rdata: [\"10 10.0.0.1\"]}]", "spec.other[0].rdata[0]", "write the name here"),
    ] {
        let (at, reason, text) = problem(&format!("name: x.internal, {spec}"));
        assert_eq!((at.as_str(), reason), (path, "Invalid"), "{spec}");
        assert!(text.contains("is an address, where the name of a host is wanted") && text.contains(way), "{text}");
    }
    assert_eq!(claims("name: x.internal, ns: [10.internal]").len(), 1);
}

#[test]
fn an_alias_of_itself_is_refused() {
    for spec in [
        "name: a.internal, cname: A.internal",
        "name: a, zone: internal, cname: a",
        "name: a.internal, dname: a.internal.",
    ] {
        let text = problem(spec).2;
        assert!(text.contains("its own name, and leads nowhere"), "{text}");
    }
    assert_eq!(claims("name: a.internal, cname: b.a.internal").len(), 1);
    // One value in two spellings is one.
    assert_eq!(claims("name: a.internal, other: [{type: CNAME, rdata: [b.x, B.x.]}]").len(), 1);
}

#[test]
fn slips_in_a_name_are_told() {
    assert!(problem("name: a.internl, a: [10.0.0.1]").2.ends_with("did you mean \"a.internal\"?"));
    assert!(problem("name: b.s3.garage.internl, a: [10.0.0.1]").2.ends_with("did you mean \"b.s3.garage.internal\"?"));
    assert!(!problem("name: a.example.org, a: [10.0.0.1]").2.contains("did you mean"));
    assert!(problem("name: \"*a.internal\", a: [10.0.0.1]").2.contains("no wildcard"));
}

#[test]
fn annotations_of_ours_are_understood_or_refused() {
    let with = |annotations: &str| {
        let text = format!(
            "{{apiVersion: dns.knotwork.dev/v1alpha1, kind: StaticDNSRecord, metadata: {{name: x, annotations: {{{annotations}}}}}, spec: {{name: a.internal, a: [10.0.0.1]}}}}"
        );
        lower(&serde_saphyr::from_str(&text).unwrap(), &zones(), &Rights::Trusted)
    };
    for (annotations, state) in [
        ("dns.knotwork.dev/pause: \"true\", example.org/pause: \"yes\"", ObjectState::Paused),
        ("dns.knotwork.dev/abandon: \"true\"", ObjectState::Abandoned),
        ("dns.knotwork.dev/pause: \"false\"", ObjectState::Present),
    ] {
        let lowered = with(annotations);
        // An object that lets go asks for nothing.
        let claims = usize::from(state != ObjectState::Abandoned);
        assert!(lowered.problems.is_empty() && lowered.state == state, "{annotations}");
        assert_eq!(lowered.claims.len(), claims, "{annotations}");
    }
    for (annotations, words) in [
        ("dns.knotwork.dev/pause: \"yes\"", "\"yes\" is not understood here; write \"true\""),
        ("dns.knotwork.dev/pause: \"True\"", "\"True\" is not understood"),
        ("dns.knotwork.dev/paused: \"true\"", "did you mean \"dns.knotwork.dev/pause\"?"),
    ] {
        let lowered = with(annotations);
        assert!(lowered.claims.is_empty() && lowered.state == ObjectState::Protected, "{annotations}");
        let problem = &lowered.problems[0];
        assert!(problem.path.starts_with("metadata.annotations.dns.knotwork.dev/pause"), "{problem:?}");
        assert!(problem.message.contains(words), "{problem:?}");
    }
}
