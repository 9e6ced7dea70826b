//! Absence is no wish: what vanishes, is restored or loses its kind leaves the zone as it is; and a person decides about
//! orphans.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::kube::Setup;
use support::operator::{World, record, record_in};
use support::wait;

const CRD: &str = "staticdnsrecords.dns.knotwork.dev";

fn finalizer_off(world: &World, name: &str) {
    world.cluster.must(&[
        "patch",
        "staticdnsrecord",
        name,
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
    ]);
}

/// A cluster that is rebuilt empty, or with objects restored without status and with new UIDs: markers name them.
#[test]
fn objects_that_vanish_leave_orphans_and_take_them_back() {
    let Some(world) = World::start() else { return };
    let mut operator = world.operator();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    world.apply_ready("b", "{name: b.internal, a: [10.0.0.2]}");
    let serial = || world.dig("internal", "SOA");
    operator.kill();
    for name in ["a", "b"] {
        finalizer_off(&world, name);
        world.cluster.must(&["delete", "staticdnsrecord", name, "--timeout=30s"]);
    }
    let before = serial();
    let _operator = world.operator_with("again", &[]);
    world.until("the orphans are counted", |world| world.zone("internal", "{.status.orphans}") == "2");
    assert_eq!(world.dig("a.internal", "A"), ["10.0.0.1"]);
    assert!(world.zone("internal", "{.status.orphanSample[0].resource}").contains("staticdnsrecord/default/"));
    // Another object of another name meets the marker of one that is not there.
    world.cluster.must_apply(&record("c", "{name: a.internal, a: [10.0.0.9]}"));
    world.until_ready("c", "False", "NameClaimed");
    // Restored: the markers decide, and nothing is written but the raise of the fence.
    world.cluster.must(&["delete", "staticdnsrecord", "c", "--timeout=60s"]);
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    world.apply_ready("b", "{name: b.internal, a: [10.0.0.2]}");
    world.until("no orphans are left", |world| world.zone("internal", "{.status.orphans}") == "0");
    let number = |soa: &[String]| soa[0].split(' ').nth(2).unwrap().parse::<u32>().unwrap();
    assert!(number(&serial()) <= number(&before) + 1, "{before:?} {:?}", serial());
}

#[test]
fn orphans_go_when_a_person_names_them_by_their_hash() {
    let Some(world) = World::start() else { return };
    let mut operator = world.operator();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    world.apply_ready("stays", "{name: stays.internal, a: [10.0.0.2]}");
    operator.kill();
    finalizer_off(&world, "a");
    world.cluster.must(&["delete", "staticdnsrecord", "a", "--timeout=30s"]);
    let _operator = world.operator_with("again", &[]);
    world.until("the orphan is counted", |world| world.zone("internal", "{.status.orphans}") == "1");
    let order = |hash: &str| {
        world.order("internal", &format!(r#"{{"orphans":"Delete","orphansHash":"{hash}"}}"#));
        world.until("the order is taken off", |world| world.zone("internal", "{.spec.orphansHash}").is_empty());
    };
    order("0000000000000000");
    world.until("the refusal to be said", |world| {
        world.events("internal").iter().any(|one| one.contains("StaleRelease"))
    });
    assert_eq!(world.dig("a.internal", "A"), ["10.0.0.1"]);
    order(&world.zone("internal", "{.status.orphansHash}"));
    world.until("the orphan is gone", |world| world.dig("a.internal", "A").is_empty());
    world.until("and not counted", |world| world.zone("internal", "{.status.orphans}") == "0");
    assert_eq!(world.dig("stays.internal", "A"), ["10.0.0.2"]);
}

/// `kubectl delete crd` deletes all objects; nobody meant their records.
#[test]
fn a_crd_that_is_deleted_takes_no_record_with_it() {
    let Some(world) = World::start() else { return };
    let operator = world.operator();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1], reverse: true}");
    world.cluster.must(&["delete", "crd", CRD, "--timeout=60s"]);
    // Nobody knows what is declared now: no orphan is counted, and an order to delete some waits.
    let in_sync = |world: &World| world.zone("internal", "{.status.conditions[?(@.type=='InSync')].reason}");
    world.until("the zone to say that it cannot know", |world| in_sync(world) == "Unread");
    let hash = world.zone("internal", "{.status.orphansHash}");
    assert_eq!((hash.as_str(), world.zone("internal", "{.status.orphans}").as_str()), ("", ""));
    assert_eq!(operator.get("/readyz").0, 503, "it is not ready to say anything of records");
    world.order("internal", r#"{"orphans":"Delete","orphansHash":"0123456789abcdef"}"#);
    assert_eq!(world.dig("a.internal", "A"), ["10.0.0.1"]);
    assert_eq!(world.dig("1.0.0.10.in-addr.arpa", "PTR"), ["a.internal."]);
    assert!(operator.alive() && operator.log().contains("the CRD itself is being deleted"), "{}", operator.log());
    world.until("the order to be seen", |world| {
        world.zone("internal", "{.status.observedGeneration}") == world.zone("internal", "{.metadata.generation}")
    });
    assert_eq!(world.zone("internal", "{.spec.orphansHash}"), "0123456789abcdef", "the order waits meanwhile");
    // It comes back, and so do its objects: they take their sets back.
    world.cluster.install_crds();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1], reverse: true}");
    world.until("no orphans are left", |world| world.zone("internal", "{.status.orphans}") == "0");
    world.until("the order to be refused", |world| {
        world.events("internal").iter().any(|event| event.starts_with("Warning StaleRelease"))
    });
    assert_eq!(world.dig("a.internal", "A"), ["10.0.0.1"]);
    world.cluster.must(&["delete", "staticdnsrecord", "a", "--timeout=60s"]);
    assert!(world.dig("a.internal", "A").is_empty());
}

#[test]
fn a_namespace_goes_with_its_records_and_is_not_held_up() {
    let Some(world) = World::with(&Setup { controllers: true, ..Setup::default() }) else { return };
    let _operator = world.operator();
    world.cluster.must(&["create", "namespace", "team"]);
    world.apply_ready("mine", "{name: mine.internal, a: [10.0.0.1]}");
    for (name, spec) in [
        ("good", "{name: good.internal, a: [10.0.0.2]}"),
        ("loser", "{name: mine.internal, a: [10.0.0.3]}"),
        ("wrong", "{name: wrong.nowhere, a: [10.0.0.4]}"),
    ] {
        world.cluster.must_apply(&record_in("team", name, spec));
    }
    world.until("the record is answered", |world| world.dig("good.internal", "A") == ["10.0.0.2"]);
    world.cluster.must(&["delete", "namespace", "team", "--timeout=120s"]);
    world.until("its records are gone", |world| world.dig("good.internal", "A").is_empty());
    assert_eq!(world.dig("mine.internal", "A"), ["10.0.0.1"]);
}

/// What cannot be deleted is not kept for ever, and never dropped without a word.
#[test]
fn deletions_are_given_up_after_a_while_and_at_once_where_the_zone_is_not_configured() {
    let Some(mut world) = World::start() else { return };
    world.configure_zones(&["internal", "d.f.ip6.arpa"], "");
    let operator = world.operator_with("short", &["--let-go-after", "3", "--stale-after", "2"]);
    operator.wait_leading();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    world.apply_ready("b", "{name: b.d.f.ip6.arpa, txt: [hello]}");
    world.apply_ready("c", "{name: c.internal, a: [10.0.0.3]}");
    world.configure_zones(&["internal"], "");
    world.until_ready("b", "False", "ZoneNotFound");
    world.cluster.must(&["delete", "staticdnsrecord", "b", "--timeout=60s"]);
    world.knot.kill();
    world.until_ready("c", "Unknown", "Stale");
    world.cluster.must_apply(&record("new", "{name: new.internal, a: [10.0.0.4]}"));
    world.until_ready("new", "False", "ServerUnreachable");
    world.cluster.must(&["delete", "staticdnsrecord", "a", "--timeout=120s"]);
    assert!(operator.number("knotwork_operator_let_go_total").unwrap() >= 1.0);
    assert!(world.events("a").iter().any(|event| event.contains("LetGo")), "{:?}", world.events("a"));
    // The server is back: what was left is an orphan, what was programmed still is, and what waited is done.
    world.knot.resume();
    world.until_ready("c", "True", "Programmed");
    world.until_ready("new", "True", "Programmed");
    world.until("the orphan is counted", |world| world.zone("internal", "{.status.orphans}") == "1");
    assert_eq!(world.dig("a.internal", "A"), ["10.0.0.1"]);
}

#[test]
fn a_zone_that_is_only_observed_is_not_written() {
    let Some(world) = World::start() else { return };
    let _operator = world.operator();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    let mode = |mode: &str| {
        world.order("internal", &format!(r#"{{"mode":"{mode}"}}"#));
        world.until("the mode is in force", |world| world.zone("internal", "{.status.mode}") == mode);
    };
    mode("Observe");
    world.remove("a.internal. A 10.0.0.1");
    world.until_ready("a", "False", "Observe");
    assert!(world.dig("a.internal", "A").is_empty());
    // The object is deleted by somebody: that is no order to write.
    world.cluster.must(&["delete", "dnszone", "internal"]);
    world.until("it is made again as it was", |world| world.zone("internal", "{.spec.mode}") == "Observe");
    mode("Repair");
    world.until_ready("a", "True", "Programmed");
    assert_eq!(world.dig("a.internal", "A"), ["10.0.0.1"]);
}

/// Nobody led when a zone's object was deleted: it is made by the configuration, which is said to whoever had set a mode.
#[test]
fn a_zone_whose_object_vanished_unseen_is_made_by_the_configuration() {
    let Some(world) = World::start() else { return };
    let mut operator = world.operator();
    world.order("internal", r#"{"mode":"Observe"}"#);
    world.until("the mode is in force", |world| world.zone("internal", "{.status.mode}") == "Observe");
    operator.kill();
    world.cluster.must(&["delete", "dnszone", "internal"]);
    // A mode that is to outlast the object belongs into the configuration.
    world.configure_zones(&["internal, mode: Observe"], "");
    let mut observing = world.operator_with("observing", &[]);
    observing.wait_leading();
    world.until("it is observed", |world| world.zone("internal", "{.status.mode}") == "Observe");
    assert_eq!(world.zone("internal", "{.spec.mode}"), "");
    observing.kill();
    world.cluster.must(&["delete", "dnszone", "internal"]);
    world.configure("");
    let _operator = world.operator_with("again", &[]);
    world.until("it is kept", |world| world.zone("internal", "{.status.mode}") == "Repair");
    world.until("that is said", |world| {
        world.events("internal").iter().any(|event| event.starts_with("Normal Made") && event.contains("Repair"))
    });
}

/// An object that a stranger's finalizer holds, and one whose finalizer somebody takes off while it lives.
#[test]
fn finalizers_of_others_and_a_lost_one_of_ours() {
    let Some(world) = World::start() else { return };
    let _operator = world.operator();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    finalizer_off(&world, "a");
    wait::until("our finalizer is put on again", || {
        let path = "jsonpath={.metadata.finalizers}";
        world
            .cluster
            .must(&["get", "staticdnsrecord", "a", "-o", path])
            .contains("dns.knotwork.dev/records")
            .then_some(())
    });
    assert_eq!(world.dig("a.internal", "A"), ["10.0.0.1"]);
    world.cluster.must(&[
        "patch",
        "staticdnsrecord",
        "a",
        "--type=json",
        "-p",
        r#"[{"op":"add","path":"/metadata/finalizers/0","value":"example.com/other"}]"#,
    ]);
    world.cluster.must(&["delete", "staticdnsrecord", "a", "--wait=false"]);
    world.until("its record goes", |world| world.dig("a.internal", "A").is_empty());
    world.cluster.must(&[
        "patch",
        "staticdnsrecord",
        "a",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/metadata/finalizers/0"}]"#,
    ]);
    world.until("it is gone", |world| !world.cluster.kubectl(&["get", "staticdnsrecord", "a"]).ok);
}
