#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::{AdoptPolicy, DeletionPolicy, ObjectState, rdata};
use crate::spec::{NamePattern, Rule, StaticDnsRecord, lower};

fn zones() -> Zones {
    let entry = |name: &str| ZoneEntry { name: Name::parse(name).unwrap(), default_ttl: 300 };
    Zones::new(["internal", "lab.internal", "10.in-addr.arpa"].map(entry), "_knotwork")
}

fn object(endpoints: &str) -> Value {
    let text = format!(
        "{{apiVersion: externaldns.k8s.io/v1alpha1, kind: DNSEndpoint, metadata: {{name: x, namespace: dns}}, spec: {{endpoints: [{endpoints}]}}}}"
    );
    serde_saphyr::from_str(&text).unwrap()
}

fn run(endpoints: &str) -> Lowered {
    lower_endpoint(&object(endpoints), &zones(), &Rights::Trusted)
}

fn lines(lowered: &Lowered) -> Vec<String> {
    let line = |(zone, claim): &(Name, crate::model::Claim)| {
        let values: Vec<String> = claim.set.values.iter().map(|value| rdata::to_text(claim.rtype, value)).collect();
        format!("[{}] {} {} {} {}", zone.to_relaxed(), claim.name, claim.set.ttl, claim.rtype, values.join(", "))
    };
    lowered.claims.iter().map(line).collect()
}

fn claims(endpoints: &str) -> Vec<String> {
    let lowered = run(endpoints);
    assert_eq!((&lowered.problems[..], lowered.state), (&[][..], ObjectState::Present), "{endpoints}");
    lines(&lowered)
}

fn problems(endpoints: &str) -> Vec<(String, String)> {
    let lowered = run(endpoints);
    assert!(lowered.claims.is_empty() && lowered.state == ObjectState::Protected, "{endpoints}");
    lowered.problems.into_iter().map(|problem| (problem.path, problem.message)).collect()
}

#[test]
fn every_type_in_its_text_form() {
    for (endpoint, line) in [
        ("recordType: A, targets: [10.0.0.2, 10.0.0.1]", "A 10.0.0.1, 10.0.0.2"),
        ("recordType: AAAA, targets: ['FD00::0:1']", "AAAA fd00::1"),
        ("recordType: CNAME, targets: [www.example.org]", "CNAME www.example.org."),
        ("recordType: CNAME, targets: [www.example.org.]", "CNAME www.example.org."),
        ("recordType: MX, targets: ['20 b.example.', '10  a.example.org']", "MX 10 a.example.org., 20 b.example."),
        ("recordType: MX, targets: ['0 .']", "MX 0 ."),
        ("recordType: SRV, targets: ['0 50 80 host.internal.']", "SRV 0 50 80 host.internal."),
        ("recordType: NS, targets: [ns1.internal, ns2.internal.]", "NS ns1.internal., ns2.internal."),
        ("recordType: PTR, targets: [host.internal]", "PTR host.internal."),
        (
            r#"recordType: NAPTR, targets: ['100 10 "u" "E2U+sip" "!^.*$!sip:info@example.org!" .']"#,
            r#"NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.org!" ."#,
        ),
        ("recordType: TXT, targets: [v=spf1 -all]", r#"TXT "v=spf1 -all""#),
        (r#"recordType: TXT, targets: ['"v=spf1 -all"', v=spf1 -all]"#, r#"TXT "v=spf1 -all""#),
        (r#"recordType: TXT, targets: ['"one" "two"']"#, r#"TXT "one" "two""#),
        (r#"recordType: TXT, targets: ['"a\"b\059c"']"#, r#"TXT "a\"b;c""#),
        (r#"recordType: TXT, targets: ['say "yes"; a\b']"#, r#"TXT "say \"yes\"; a\\b""#),
        (r#"recordType: TXT, targets: ['""']"#, r#"TXT """#),
        ("recordType: TXT, targets: ['']", r#"TXT """#),
    ] {
        let wanted = [format!("[internal] a.internal. 300 {line}")];
        assert_eq!(claims(&format!("{{dnsName: a.internal, {endpoint}}}")), wanted);
    }
}

#[test]
fn a_long_text_is_split_with_quotes_and_without() {
    let long = "x".repeat(300);
    let plain = claims(&format!("{{dnsName: a.internal, recordType: TXT, targets: [{long}]}}"));
    assert!(plain[0].ends_with(&format!("TXT \"{}\" \"{}\"", &long[..255], &long[255..])), "{plain:?}");
    assert_eq!(claims(&format!("{{dnsName: a.internal, recordType: TXT, targets: ['\"{long}\"']}}")), plain);
}

#[test]
fn names_and_ttls() {
    let a = "recordType: A, targets: [10.0.0.1]";
    for (given, line) in [
        ("dnsName: A.Internal.", "[internal] a.internal. 300"),
        ("dnsName: '*.apps.internal'", "[internal] *.apps.internal. 300"),
        ("dnsName: x.lab.internal, recordTTL: 0", "[lab.internal] x.lab.internal. 300"),
        ("dnsName: internal, recordTTL: 60", "[internal] internal. 60"),
        ("dnsName: bücher.internal, recordTTL: null", "[internal] xn--bcher-kva.internal. 300"),
    ] {
        assert_eq!(claims(&format!("{{{given}, {a}}}")), [format!("{line} A 10.0.0.1")]);
    }
}

#[test]
fn the_object_declares_by_the_plainest_terms() {
    let lowered =
        run("{dnsName: a.internal, recordType: A, targets: [10.0.0.1], setIdentifier: s, labels: {resource: x}}");
    assert_eq!(lowered.object.as_str(), "dnsendpoint/dns/x");
    let claim = &lowered.claims[0].1;
    assert_eq!((claim.adopt, claim.deletion), (AdoptPolicy::IfIdentical, DeletionPolicy::Delete));
    assert!(!claim.share && !claim.reverse && claim.object == lowered.object && lowered.notes.is_empty());
}

#[test]
fn endpoints_of_one_name_and_type_are_one_set() {
    let one = "{dnsName: a.internal, recordType: A, setIdentifier: one, targets: [10.0.0.1, 10.0.0.1], recordTTL: 300}";
    let with = |endpoint: &str| format!("{one}, {endpoint}");
    // No TTL is the zone's, which is 300 too.
    let two = with("{dnsName: A.internal., recordType: A, setIdentifier: two, targets: [10.0.0.1, 10.0.0.2]}");
    assert_eq!(claims(&two), ["[internal] a.internal. 300 A 10.0.0.1, 10.0.0.2"]);
    let rights = Rights::Rules(vec![Rule {
        namespaces: vec!["dns".into()],
        names: vec![NamePattern::Any],
        addresses: vec![crate::spec::AddressRange::parse("10.0.0.1").unwrap()],
        ..Rule::default()
    }]);
    let denied = lower_endpoint(&object(&two), &zones(), &rights);
    assert_eq!((denied.problems[0].reason, &*denied.problems[0].path), ("ClaimDenied", "spec.endpoints[0].targets"));
    let types = with("{dnsName: a.internal, recordType: TXT, targets: [x], recordTTL: 60}");
    assert_eq!(claims(&types).len(), 2);

    let other = problems(&with("{dnsName: a.internal, recordType: A, targets: [10.0.0.2], recordTTL: 60}"));
    assert_eq!(other[0].0, "spec.endpoints[1].recordTTL");
    assert!(other[0].1.ends_with("a.internal A is 60 here and 300 in spec.endpoints[0]"), "{other:?}");
    let alias = "dnsName: b.internal, recordType: CNAME, targets";
    assert_eq!(claims(&format!("{{{alias}: [x.y]}}, {{{alias}: [X.y.]}}")).len(), 1);
    let two = problems(&format!("{{{alias}: [x.y]}}, {{{alias}: [z.y]}}"));
    assert_eq!(two, [("spec.endpoints[0].targets".to_owned(), "CNAME has one value, and 2 are given".to_owned())]);
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let good = "{dnsName: good.internal, recordType: A, targets: [10.0.0.9]}";
    for (endpoint, at, word) in [
        ("recordType: A, targets: [10.0.0.1, 10.0.0.300]", ".targets[1]", "not an IPv4 address"),
        ("recordType: A, targets: ['fd00::1']", ".targets[0]", "it belongs in an endpoint with recordType: AAAA"),
        ("recordType: AAAA, targets: [10.0.0.1]", ".targets[0]", "it belongs in an endpoint with recordType: A"),
        ("recordType: AAAA, targets: ['::ffff:10.0.0.1']", ".targets[0]", "with recordType: A as 10.0.0.1"),
        ("recordType: CNAME, targets: [10.0.0.1]", ".targets[0]", "write recordType: A instead of CNAME"),
        ("recordType: PTR, targets: ['fd00::1']", ".targets[0]", "points back to"),
        ("recordType: NS, targets: [x.y, 10.0.0.1]", ".targets[1]", "give that host a name with recordType: A, and"),
        ("recordType: CNAME, targets: [www]", ".targets[0]", "the whole name, or \"www.\" for"),
        ("recordType: CNAME, targets: [a.internal]", ".targets", "its own name"),
        ("recordType: MX, targets: [mail.example.org]", ".targets[0]", "does not have 2 parts"),
        ("recordType: MX, targets: ['10 a.b c.d']", ".targets[0]", "does not have 2 parts"),
        ("recordType: MX, targets: ['65536 a.b']", ".targets[0]", "no preference"),
        ("recordType: MX, targets: ['+1 a.b']", ".targets[0]", "no preference"),
        ("recordType: SRV, targets: ['0 50 70000 host.']", ".targets[0]", "no port"),
        ("recordType: SRV, targets: ['0 50 80 10.0.0.1']", ".targets[0]", "is an address"),
        ("recordType: NAPTR, targets: ['100 10 u']", ".targets[0]", "missing"),
        ("recordType: TXT, targets: ['\"open']", ".targets[0]", "closing quote"),
        ("recordType: TXT, targets: ['\"heritage=external-dns,external-dns/owner=x\"']", ".targets[0]", "ownership"),
        ("recordType: TXT, targets: ['heritage=knotwork,owner=x']", ".targets[0]", "ownership"),
        ("recordType: CAA, targets: ['0 issue x']", ".recordType", "CAA is not read from endpoints"),
        ("recordType: a, targets: [10.0.0.1]", ".recordType", "is written A"),
        ("recordType: ALIAS, targets: [x.y]", ".recordType", "one of A, AAAA, CNAME"),
        ("targets: [10.0.0.1]", ".recordType", "missing"),
        ("recordType: A, targets: [10.0.0.1], recordTTL: -1", ".recordTTL", "-1 is no TTL"),
        ("recordType: A, targets: [10.0.0.1], recordTTL: 2147483648", ".recordTTL", "2147483648 is no TTL"),
        ("recordType: A, targets: [10.0.0.1], recordTTL: '60'", ".recordTTL", "whole number"),
        ("recordType: A, targets: 10.0.0.1", ".targets", "this is a text, where a list"),
        ("recordType: A, targets: [10.0.0.1, null]", ".targets[1]", "this is null"),
    ] {
        let found = problems(&format!("{good}, {{dnsName: a.internal, {endpoint}}}"));
        assert_eq!(found.len(), 1, "{endpoint}: {found:?}");
        assert_eq!(found[0].0, format!("spec.endpoints[1]{at}"), "{endpoint}: {}", found[0].1);
        assert!(found[0].1.contains(word), "{endpoint}: {}", found[0].1);
    }
    for (name, word) in [
        ("''", "missing"),
        ("null", "missing"),
        ("7", "the number 7"),
        ("a b.internal", "a blank"),
        ("a..internal", "a..internal"),
        ("x.*.internal", "asterisk"),
        ("_knotwork.a.internal", "kept for ownership"),
    ] {
        let found = problems(&format!("{good}, {{dnsName: {name}, recordType: A, targets: [10.0.0.1]}}"));
        assert!(found[0].0 == "spec.endpoints[1].dnsName" && found[0].1.contains(word), "{name}: {found:?}");
    }
    assert_eq!(problems("null")[0].0, "spec.endpoints[0]");
    // All of it at once, and the names beside each other.
    let all = problems(
        "{dnsName: a.internal, recordType: CNAME, targets: [x.y]}, {dnsName: a.internal, recordType: A, targets: [x]}, {dnsName: a.internal, recordType: TXT, targets: [t], recordTTL: -1}, {dnsName: a.internal, recordType: MX, targets: ['1 m.x']}",
    );
    let paths: Vec<&str> = all.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["spec.endpoints[1].targets[0]", "spec.endpoints[2].recordTTL", "spec.endpoints[0].targets"]);
    assert!(all[2].1.contains("CNAME stands alone at a name, but MX"), "{all:?}");
}

#[test]
fn what_is_for_others_is_passed_over() {
    let own = "{dnsName: a.internal, recordType: A, targets: [10.0.0.1]}";
    // Nothing of it is looked at, not even what no provider could read.
    let lowered = run(&format!(
        "{{dnsName: www.example.org, recordType: ALIAS, targets: 7, recordTTL: x}}, {own}, {{dnsName: b.internal, recordType: A}}, {{dnsName: c.internal, recordType: A, targets: [10.0.0.3], providerSpecific: [{{name: aws/weight, value: '1'}}]}}, {{dnsName: d.internal, recordType: A, targets: [10.0.0.4], providerSpecific: []}}"
    ));
    assert_eq!(lowered.problems, []);
    assert_eq!(lowered.claims.len(), 3);
    assert_eq!(
        lowered.notes,
        [
            "spec.endpoints[0] (www.example.org): in no configured zone, left to other providers",
            "spec.endpoints[2] (b.internal A): no targets, so nothing is declared",
            "spec.endpoints[3]: providerSpecific is not read",
        ]
    );
    let many: Vec<String> = (0..7).map(|i| format!("{{dnsName: x{i}.example.org}}")).collect();
    let lowered = run(&many.join(", "));
    assert!(lowered.claims.is_empty() && lowered.state == ObjectState::Present, "{lowered:?}");
    assert!(lowered.notes.len() == 1 && lowered.notes[0].contains("[4] (x4.example.org) and 2 more: in no"));
}

#[test]
fn the_object_around_the_endpoints() {
    let run = |metadata: Value, spec: Value| {
        lower_endpoint(&json!({"metadata": metadata, "spec": spec}), &zones(), &Rights::Trusted)
    };
    let named = json!({"name": "x", "uid": "7", "managedFields": [], "somethingNew": 1});
    for spec in [json!({}), json!({"endpoints": null}), json!({"endpoints": []})] {
        let empty = run(named.clone(), spec);
        assert_eq!((empty.state, empty.object.as_str()), (ObjectState::Present, "dnsendpoint/default/x"));
        assert_eq!(empty.notes, ["spec.endpoints is empty: nothing is declared"]);
    }
    for (metadata, spec, path) in [
        (named.clone(), Value::Null, "spec"),
        (named.clone(), json!([]), "spec"),
        (named.clone(), json!({"endpoints": {}}), "spec.endpoints"),
        (json!({}), json!({}), "metadata.name"),
        (json!({"name": "X"}), json!({}), "metadata.name"),
        (json!({"name": "x", "namespace": "a/b"}), json!({}), "metadata.namespace"),
        (
            json!({"name": "x", "annotations": {"dns.knotwork.dev/pause": true}}),
            json!({}),
            "metadata.annotations.dns.knotwork.dev/pause",
        ),
        (
            json!({"name": "x", "annotations": {"dns.knotwork.dev/pausd": "true"}}),
            json!({}),
            "metadata.annotations.dns.knotwork.dev/pausd",
        ),
    ] {
        let bad = run(metadata, spec);
        assert_eq!((bad.state, &*bad.problems[0].path), (ObjectState::Protected, path), "{bad:?}");
    }
    let one = json!({"endpoints": [{"dnsName": "a.internal", "recordType": "A", "targets": ["10.0.0.1"]}]});
    for (annotation, state, claims) in [("pause", ObjectState::Paused, 1), ("abandon", ObjectState::Abandoned, 0)] {
        let annotations = json!({format!("dns.knotwork.dev/{annotation}"): "true", "other/pause": "yes"});
        let lowered = run(json!({"name": "x", "annotations": annotations}), one.clone());
        assert_eq!((lowered.state, lowered.problems.len(), lowered.claims.len()), (state, 0, claims));
    }
    assert_eq!(lower_endpoint(&Value::Null, &zones(), &Rights::Trusted).state, ObjectState::Protected);
}

/// One rule, one place: what an endpoint and a record declare in their own words comes to the same claims, and is
/// refused with the same reason.
#[test]
fn the_same_as_a_record() {
    let many = "spec: {endpoints: [{dnsName";
    let rights = [Rights::Trusted, Rights::Ordinary];
    for (endpoint, record) in [
        ("a.internal, recordType: A, targets: [10.0.0.1], recordTTL: 60", "a.internal, ttl: 60, a: [10.0.0.1]"),
        ("a.internal, recordType: MX, targets: ['10 m.x']", "a.internal, mx: [{preference: 10, exchange: m.x}]"),
        ("a.internal, recordType: TXT, targets: ['\"x y\"']", "a.internal, txt: [x y]"),
        ("a.internal, recordType: NS, targets: [ns.x.y]", "a.internal, ns: [ns.x.y]"),
        ("internal, recordType: A, targets: [10.0.0.1]", "internal, a: [10.0.0.1]"),
        ("internal, recordType: CNAME, targets: [x.y]", "internal, cname: x.y"),
        ("_acme-challenge.a.internal, recordType: TXT, targets: [x]", "_acme-challenge.a.internal, txt: [x]"),
        ("'*.internal', recordType: NS, targets: [x.y]", "'*.internal', ns: [x.y]"),
        ("xn--bcher-kv.internal, recordType: A, targets: [10.0.0.1]", "xn--bcher-kv.internal, a: [10.0.0.1]"),
    ] {
        for rights in &rights {
            let yaml = format!("{{metadata: {{name: x, namespace: dns}}, {many}: {endpoint}}}]}}}}");
            let got = lower_endpoint(&serde_saphyr::from_str(&yaml).unwrap(), &zones(), rights);
            let yaml = format!(
                "{{apiVersion: v1, kind: StaticDNSRecord, metadata: {{name: x, namespace: dns}}, spec: {{name: {record}}}}}"
            );
            let wanted = lower(&serde_saphyr::from_str::<StaticDnsRecord>(&yaml).unwrap(), &zones(), rights);
            assert_eq!(
                (lines(&got), got.state, &got.notes),
                (lines(&wanted), wanted.state, &wanted.notes),
                "{endpoint}"
            );
            let said = |lowered: &Lowered| -> Vec<_> {
                lowered.problems.iter().map(|problem| (problem.reason, problem.message.clone())).collect()
            };
            assert_eq!(said(&got), said(&wanted), "{endpoint}");
        }
    }
}

/// JSON of any shape, with the words of an endpoint among its keys and texts.
fn any_json() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(
        &[
            "metadata",
            "name",
            "namespace",
            "annotations",
            "dns.knotwork.dev/pause",
            "true",
            "spec",
            "endpoints",
            "dnsName",
            "recordType",
            "targets",
            "recordTTL",
            "providerSpecific",
            "A",
            "TXT",
            "MX",
            "NAPTR",
            "internal",
            "a.internal",
            "10.0.0.1",
            "\"",
            "1 2 3 .",
        ][..],
    );
    let text = prop_oneof![words.prop_map(str::to_owned), "\\PC{0,12}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..6).prop_map(|all| all.into_iter().collect()),
        ]
    })
}

/// An object of the right shape with any values in one of its fields.
fn nearly_right() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(&["dnsName", "recordType", "recordTTL", "targets", "setIdentifier", "none"][..]);
    let rtype = prop::sample::select(TYPES).prop_map(|rtype| rtype.to_string());
    let target = prop_oneof!["[0-9. ]{0,12}", "[0-9]{1,2} [a-z.]{1,8}", "\\PC{0,20}", "\"\\PC{0,9}\""];
    let endpoint = (field, rtype, prop::collection::vec(target, 0..4), any_json());
    prop::collection::vec(endpoint, 0..4).prop_map(|endpoints| {
        let endpoint = |(field, rtype, targets, any): (&str, String, Vec<String>, Value)| {
            let mut endpoint = json!({"dnsName": "a.internal", "recordType": rtype, "targets": targets});
            endpoint[field] = any;
            endpoint
        };
        let endpoints: Vec<Value> = endpoints.into_iter().map(endpoint).collect();
        json!({"metadata": {"name": "x"}, "spec": {"endpoints": endpoints}})
    })
}

proptest! {
    /// No JSON makes a panic, and what comes of it is either refused whole or can be published as it stands.
    #[test]
    fn any_object_is_taken_or_refused(object in prop_oneof![any_json(), nearly_right()]) {
        let lowered = lower_endpoint(&object, &zones(), &Rights::Ordinary);
        prop_assert_eq!(!lowered.problems.is_empty(), lowered.state == ObjectState::Protected);
        prop_assert!(lowered.problems.is_empty() || lowered.claims.is_empty());
        for (zone, claim) in &lowered.claims {
            prop_assert!(claim.name.is_at_or_below(zone) && !claim.set.is_empty());
            for value in &claim.set.values {
                prop_assert_eq!(rdata::check(claim.rtype, value), Ok(()));
            }
        }
    }
}
