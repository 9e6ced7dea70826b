//! The operator on a real API server and a real Knot: objects come, change, compete and go, and their status says what is so.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::operator::{World, record};
use support::wait;

#[test]
fn an_object_is_answered_and_says_so() {
    let Some(world) = World::start() else { return };
    let operator = world.operator();
    world.cluster.must_apply(&record("routy", "{name: routy.internal, a: [10.0.0.1, 10.0.0.2], reverse: true}"));
    world.cluster.must(&["wait", "--for=condition=Ready", "staticdnsrecord/routy", "--timeout=60s"]);
    assert_eq!(world.dig("routy.internal", "A"), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(world.dig("1.0.0.10.in-addr.arpa", "PTR"), ["routy.internal."]);
    let table = world.cluster.must(&["get", "staticdnsrecords"]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..4], ["routy", "routy.internal", "A", "10.0.0.1"], "{table}");
    assert!(table.contains("(+1)") && row.contains(&"True") && row.contains(&"Programmed"), "{table}");
    let described = world.cluster.must(&["describe", "staticdnsrecord", "routy"]);
    assert!(described.contains("Serial:") && described.contains("1.0.0.10.in-addr.arpa"), "{described}");
    let explained = world.cluster.must(&["explain", "staticdnsrecord.spec.mx"]);
    assert!(explained.contains("exchange") && explained.contains("RFC 1035"), "{explained}");
    // One status for the generation, and nothing more while nothing happens.
    let version =
        || world.cluster.must(&["get", "staticdnsrecord", "routy", "-o", "jsonpath={.metadata.resourceVersion}"]);
    let polls = || operator.sum("knotwork_zone_polls_total", "");
    let calls = || operator.sum("knotwork_operator_api_calls_total", "");
    let before = version();
    // The zones' objects are told at a slow pace; then nothing is written while the workers poll on.
    let mut rest = (calls(), polls());
    wait::until("nothing to be written over 40 polls", || {
        if calls() != rest.0 {
            rest = (calls(), polls());
        }
        (polls() > rest.1 + 40.0).then_some(())
    });
    assert_eq!(version(), before, "nothing is written while nothing changes");
}

#[test]
fn edits_renames_and_zone_changes_take_the_old_names_out() {
    let Some(world) = World::start() else { return };
    let _operator = world.operator();
    world.apply_ready("web", "{name: web.internal, a: [10.0.0.1], reverse: true}");
    world.apply_ready("web", "{name: www.internal, a: [10.0.0.7], ttl: 60, reverse: true}");
    assert!(world.dig("web.internal", "A").is_empty());
    assert_eq!(world.dig("www.internal", "A"), ["10.0.0.7"]);
    world.until("the PTRs follow", |world| {
        world.dig("1.0.0.10.in-addr.arpa", "PTR").is_empty()
            && world.dig("7.0.0.10.in-addr.arpa", "PTR") == ["www.internal."]
    });
    world.apply_ready("web", "{name: www.s3.garage.internal, a: [10.0.0.7]}");
    world.until("the old zone is rid of it", |world| {
        world.dig("www.internal", "A").is_empty() && world.dig("_knotwork.www.internal", "TXT").is_empty()
    });
    assert_eq!(world.dig("www.s3.garage.internal", "A"), ["10.0.0.7"]);
    // An edit that makes it invalid keeps what was published; one that mends it goes on from there.
    world.cluster.must_apply(&record("web", "{name: www.nowhere, a: [10.0.0.9]}"));
    world.until_ready("web", "False", "ZoneNotFound");
    assert_eq!(world.dig("www.s3.garage.internal", "A"), ["10.0.0.7"]);
    world.apply_ready("web", "{name: www.s3.garage.internal, a: [10.0.0.9]}");
    assert_eq!(world.dig("www.s3.garage.internal", "A"), ["10.0.0.9"]);
}

/// Make before break: a name that is taken costs nobody the name that was there.
#[test]
fn a_rename_to_a_name_that_somebody_has_keeps_the_old_one() {
    let Some(world) = World::start() else { return };
    let mut operator = world.operator();
    world.apply_ready("web", "{name: web.internal, a: [10.0.0.1]}");
    world.apply_ready("far", "{name: far.internal, a: [10.0.0.2]}");
    world.foreign(&["taken.internal. 300 A 10.9.0.1"]);
    world.nsupdate("zone s3.garage.internal\nupdate add taken.s3.garage.internal. 300 A 10.9.0.2\nsend\n");
    world.cluster.must_apply(&record("web", "{name: taken.internal, a: [10.0.0.1]}"));
    world.cluster.must_apply(&record("far", "{name: taken.s3.garage.internal, a: [10.0.0.2]}"));
    let both = |world: &World, operator: &support::operator::Operator| {
        world.until_ready("web", "False", "NotIdentical");
        world.until_ready("far", "False", "NotIdentical");
        let passes = || operator.sum("knotwork_zone_polls_total", "");
        let begun = passes();
        wait::until("some more passes", || (passes() > begun + 20.0).then_some(()));
        assert_eq!(world.dig("web.internal", "A"), ["10.0.0.1"]);
        assert_eq!(world.dig("far.internal", "A"), ["10.0.0.2"]);
    };
    both(&world, &operator);
    let message = world.condition("web", "Ready", "message");
    assert!(message.contains("until then web.internal A stays"), "{message}");
    // So it is for a leader that has seen nothing of the rename.
    operator.kill();
    let again = world.operator_with("again", &[]);
    again.wait_leading();
    both(&world, &again);
    // The names come free.
    world.remove("taken.internal. A 10.9.0.1");
    world.nsupdate("zone s3.garage.internal\nupdate delete taken.s3.garage.internal. A\nsend\n");
    for name in ["web", "far"] {
        world.until_ready(name, "True", "Programmed");
        world.until("the old name goes", |world| world.dig(&format!("{name}.internal"), "A").is_empty());
    }
    assert_eq!(world.dig("taken.internal", "A"), ["10.0.0.1"]);
    assert_eq!(world.dig("taken.s3.garage.internal", "A"), ["10.0.0.2"]);
}

#[test]
fn deletion_takes_the_records_out_and_retain_leaves_them() {
    let Some(world) = World::start() else { return };
    let _operator = world.operator();
    world.apply_ready("one", "{name: one.internal, a: [10.0.0.1]}");
    world.apply_ready("kept", "{name: kept.internal, a: [10.0.0.2]}");
    // Edited while nobody looks, and deleted at once: what counts is what it says when it goes.
    world.cluster.must(&[
        "patch",
        "staticdnsrecord",
        "kept",
        "--type=merge",
        "-p",
        r#"{"spec":{"deletionPolicy":"Retain"}}"#,
    ]);
    world.cluster.must(&["delete", "staticdnsrecord", "one", "kept", "--timeout=60s"]);
    assert!(world.dig("one.internal", "A").is_empty());
    assert_eq!(world.dig("kept.internal", "A"), ["10.0.0.2"]);
    assert!(world.dig("_knotwork.kept.internal", "TXT").is_empty(), "only the marker went");
}

#[test]
fn the_marker_decides_then_age_and_the_loser_heals() {
    let Some(world) = World::start() else { return };
    let _operator = world.operator();
    world.apply_ready("first", "{name: x.internal, a: [10.0.0.1]}");
    world.cluster.must_apply(&record("second", "{name: x.internal, a: [10.0.0.2]}"));
    world.until_ready("second", "False", "NameClaimed");
    let message = world.condition("second", "Ready", "message");
    assert!(message.contains("staticdnsrecord/default/first") && message.contains("remove it there"), "{message}");
    assert_eq!(world.condition("second", "Stalled", "status"), "True");
    world.cluster.must(&["delete", "staticdnsrecord", "first", "--timeout=60s"]);
    world.until_ready("second", "True", "Programmed");
    assert_eq!(world.dig("x.internal", "A"), ["10.0.0.2"]);
    assert_eq!(world.condition("second", "Stalled", "status"), "", "it is gone with its cause");
    for event in ["Warning NameClaimed", "Normal Programmed"] {
        world.until(event, |world| world.events("second").iter().any(|one| one.starts_with(event)));
    }
}

#[test]
fn names_of_others_are_left_alone_and_their_owner_is_named() {
    let Some(world) = World::start() else { return };
    let _operator = world.operator();
    world.foreign(&[
        "lease.internal. 300 A 10.9.0.1",
        "lease.internal. 300 DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
        "web.internal. 300 A 10.9.0.2",
        "k8s.a-web.internal. 300 TXT \"heritage=external-dns,external-dns/owner=default,external-dns/resource=ingress/web/web\"",
        "plain.internal. 300 A 10.9.0.3",
    ]);
    for (name, reason, words) in [
        ("lease", "OwnedByOther", "dhcp"),
        ("web", "OwnedByOther", "ingress/web/web"),
        ("plain", "NotIdentical", "Takeover"),
    ] {
        world.cluster.must_apply(&record(name, &format!("{{name: {name}.internal, a: [10.0.0.1]}}")));
        world.until_ready(name, "False", reason);
        let message = world.condition(name, "Ready", "message").to_lowercase();
        assert!(message.contains(&words.to_lowercase()), "{name}: {message}");
    }
    for (name, address) in [("lease", "10.9.0.1"), ("web", "10.9.0.2"), ("plain", "10.9.0.3")] {
        assert_eq!(world.dig(&format!("{name}.internal"), "A"), [address]);
    }
    // The same values are adopted, and then ours.
    world.apply_ready("plain", "{name: plain.internal, a: [10.9.0.3], ttl: 300}");
    assert!(!world.dig("_knotwork.plain.internal", "TXT").is_empty());
}

#[test]
fn pause_and_abandon_are_obeyed_without_any_other_edit() {
    let Some(world) = World::start() else { return };
    let _operator = world.operator();
    world.apply_ready("p", "{name: p.internal, a: [10.0.0.1]}");
    world.apply_ready("q", "{name: q.internal, a: [10.0.0.2]}");
    world.cluster.must(&["annotate", "staticdnsrecord", "p", "dns.knotwork.dev/pause=true"]);
    world.until_ready("p", "True", "Paused");
    world.cluster.must(&["patch", "staticdnsrecord", "p", "--type=merge", "-p", r#"{"spec":{"a":["10.0.0.9"]}}"#]);
    world.until_ready("p", "False", "Paused");
    assert_eq!(world.dig("p.internal", "A"), ["10.0.0.1"]);
    world.cluster.must(&["annotate", "staticdnsrecord", "p", "dns.knotwork.dev/pause-"]);
    world.until_ready("p", "True", "Programmed");
    assert_eq!(world.dig("p.internal", "A"), ["10.0.0.9"]);

    world.cluster.must(&["annotate", "staticdnsrecord", "q", "dns.knotwork.dev/abandon=true"]);
    world.until_ready("q", "False", "Abandoned");
    world.until("the marker goes", |world| world.dig("_knotwork.q.internal", "TXT").is_empty());
    assert_eq!(world.dig("q.internal", "A"), ["10.0.0.2"]);
    world.cluster.must(&["delete", "staticdnsrecord", "q", "--timeout=60s"]);
    assert_eq!(world.dig("q.internal", "A"), ["10.0.0.2"]);
}

#[test]
fn drift_is_repaired() {
    let Some(world) = World::start() else { return };
    let _operator = world.operator();
    world.apply_ready("d", "{name: d.internal, a: [10.0.0.1]}");
    world.remove("d.internal. A 10.0.0.1");
    world.until("the record is back", |world| world.dig("d.internal", "A") == ["10.0.0.1"]);
}

/// A thousand objects at once. All of them deleted at once are more than the brake lets go: a person is asked, once.
#[test]
fn a_thousand_objects_come_and_go() {
    let Some(world) = World::start() else { return };
    let operator = world.operator();
    let spec = |n: usize| format!("{{name: n{n}.internal, a: [10.1.{}.{}]}}", n / 250, n % 250 + 1);
    let many: String = (0..1000).map(|n| record(&format!("n{n}"), &spec(n))).collect();
    world.cluster.must_apply(&many);
    let programmed = || operator.number("knotwork_operator_objects{result=\"Programmed\"}");
    wait::until("all to be programmed", || (programmed() == Some(1000.0)).then_some(()));
    assert_eq!(world.dig("n999.internal", "A"), ["10.1.3.250"]);
    world.until_ready("n999", "True", "Programmed");
    // A status a generation: the interim ones are of objects that took longer than a second.
    assert!(operator.sum("knotwork_operator_api_calls_total", "add-finalizer") >= 1000.0);
    // The server gives up on its answer after a minute, and goes on; so it is asked again.
    let all = "/apis/dns.knotwork.dev/v1alpha1/namespaces/default/staticdnsrecords";
    let asked = (0..10).any(|_| world.cluster.kubectl(&["delete", "--raw", all]).ok);
    assert!(asked, "the server does not delete all objects");
    let left = |world: &World| world.cluster.must(&["get", "staticdnsrecord", "-o", "name"]).lines().count();
    let (hash, held) = world.until_some("the brake to hold all that is left", |world| {
        let hash = world.zone("internal", "{.status.held.hash}");
        let deletes: usize = world.zone("internal", "{.status.held.deletes}").parse().ok()?;
        (deletes == left(world)).then_some((hash, deletes))
    });
    assert!(held >= 700, "no more than 30 % went: {held} are left");
    let some = world.cluster.must(&["get", "staticdnsrecord", "-o", "jsonpath={.items[0].metadata.name}"]);
    world.until("its status to say so", |world| world.condition(&some, "Ready", "reason") == "BrakeHeld");
    let order = format!(r#"{{"release":"{hash}"}}"#);
    world.order("internal", &order);
    // However slow the machine is: only a standstill is wrong.
    let mut last = left(&world);
    while last > 0 {
        world.until("some more of them to go", |world| left(world) < last);
        last = left(&world);
    }
    assert!(world.dig("n999.internal", "A").is_empty());
    assert_eq!(world.zone("internal", "{.spec.release}"), "", "a release is used once");
    // The same hash again is of nothing that is held.
    world.order("internal", &order);
    world.until("the order to be refused", |world| {
        world.zone("internal", "{.spec.release}").is_empty()
            && world.events("internal").iter().any(|event| event.starts_with("Warning StaleRelease"))
    });
}

/// A policy of the API server itself lets our finalizer on no object of this name.
const BARRED: &str = r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-finalizers}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [dns.knotwork.dev], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [staticdnsrecords]}
  validations:
  - expression: "object.metadata.name != 'barred' || !has(object.metadata.finalizers) || object.metadata.finalizers.size() == 0"
    message: finalizers are not wanted here
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-finalizers}
spec: {policyName: no-finalizers, validationActions: [Deny]}
"#;

/// What an admission policy refuses is told in its words, publishes nothing, holds up nobody, and heals after the policy went.
#[test]
fn an_admission_policy_that_bars_the_finalizer_is_quoted() {
    let Some(world) = World::start() else { return };
    world.cluster.must_apply(BARRED);
    let held = "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\n\
                metadata: {name: barred, namespace: default, finalizers: [example.net/x]}\n\
                spec: {name: b.internal, a: [10.0.0.1]}\n";
    world.until("the policy to be in force", |world| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, held.as_bytes()).unwrap();
        !world.cluster.kubectl(&["create", "--dry-run=server", "-f", file.path().to_str().unwrap()]).ok
    });
    let _operator = world.operator();
    world.cluster.must_apply(&record("barred", "{name: b.internal, a: [10.0.0.1]}"));
    world.until_ready("barred", "False", "FinalizerRefused");
    let message = world.condition("barred", "Ready", "message");
    assert!(message.contains("finalizers are not wanted here"), "{message}");
    assert!(world.dig("b.internal", "A").is_empty());
    world.apply_ready("free", "{name: free.internal, a: [10.0.0.2]}");
    world.cluster.must(&["delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "no-finalizers"]);
    // An edit is tried at once; without one it is tried again every minute.
    world.until("it heals after an edit", |world| {
        let value = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        world.cluster.must(&["annotate", "--overwrite", "staticdnsrecord", "barred", &format!("edited={value}")]);
        world.dig("b.internal", "A") == ["10.0.0.1"]
    });
    world.until_ready("barred", "True", "Programmed");
}

/// Somebody else's ownership TXT may be longer than our status takes, and of any script: it is cut, and the status is stored.
#[test]
fn long_words_of_others_are_cut_in_the_status() {
    let Some(world) = World::start() else { return };
    let text = format!("heritage=external-dns,external-dns/owner={}", "ö".repeat(600));
    // Cut at 255 octets, as ExternalDNS's library does it.
    let quoted = |part: &[u8]| format!("\"{}\"", part.iter().map(|octet| format!("\\{octet:03}")).collect::<String>());
    let strings: Vec<String> = text.as_bytes().chunks(255).map(quoted).collect();
    world.foreign(&["long.internal. 300 A 10.9.0.1", &format!("a-long.internal. 300 TXT {}", strings.join(" "))]);
    let _operator = world.operator();
    world.cluster.must_apply(&record("long", "{name: long.internal, a: [10.0.0.1]}"));
    world
        .until("the conflict to be in the zone's status", |world| world.zone("internal", "{.status.conflicts}") == "1");
    let told = world.zone("internal", "{.status.conflictSample[0].owner}");
    assert!((900..=1024).contains(&told.len()) && told.contains("öö") && told.ends_with('…'), "{told}");
    world.until_ready("long", "False", &world.zone("internal", "{.status.conflictSample[0].reason}"));
    assert_eq!(world.dig("long.internal", "A"), ["10.9.0.1"]);
}
