//! Who may write: two replicas, a frozen one that wakes up, a second cluster with the same owner id; and an API server, an
//! etcd and an operator that go away.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::operator::{Operator, World, record};
use support::{parts, wait};

fn leads(operator: &Operator) -> bool {
    operator.number("knotwork_operator_leader") == Some(1.0)
}

/// Deletes an object and takes its finalizer off, as if it had been another replica's work.
fn gone(world: &World, name: &str) {
    world.cluster.must(&["delete", "staticdnsrecord", name, "--timeout=90s"]);
}

#[test]
fn one_replica_leads_and_the_other_follows_at_once() {
    let Some(world) = World::start() else { return };
    let one = world.operator();
    let two = world.operator_with("two", &[]);
    wait::until("the second to serve", || (two.get("/healthz").0 == 200).then_some(()));
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    assert!(leads(&one) && !leads(&two));
    // A leader that ends in peace gives the lease back.
    one.signal("TERM");
    wait::until("the second to lead", || leads(&two).then_some(()));
    wait::until("the first to end", || (!one.alive()).then_some(()));
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.2]}");
    assert_eq!(world.dig("a.internal", "A"), ["10.0.0.2"]);
}

/// The record of an object that was deleted while a leader was frozen does not come back when it wakes up.
#[test]
fn a_deposed_leader_that_wakes_up_writes_nothing() {
    let Some(world) = World::start() else { return };
    let short = &["--lease-duration", "4"];
    let one = world.operator_with("one", short);
    one.wait_leading();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    // There is drift to repair when it wakes up, so it has something to write.
    one.signal("STOP");
    let two = world.operator_with("two", short);
    two.wait_leading();
    gone(&world, "a");
    assert!(world.dig("a.internal", "A").is_empty());
    one.signal("CONT");
    wait::until("the first to see that it does not lead", || {
        (!leads(&one) && one.get("/healthz").0 == 200).then_some(())
    });
    assert!(leads(&two));
    // Whatever it had in mind, it had the time for it now.
    world.apply_ready("b", "{name: b.internal, a: [10.0.0.2]}");
    assert!(world.dig("a.internal", "A").is_empty());
    assert!(world.dig("_knotwork.a.internal", "TXT").is_empty());
}

#[test]
fn a_second_cluster_with_the_same_owner_id_writes_nothing_and_says_so() {
    let Some(world) = World::start() else { return };
    let Some(other) = World::start() else { return };
    let _first = world.operator();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    // The other cluster's operator is pointed at the same server.
    std::fs::copy(world.config(), other.config()).unwrap();
    let second = other.operator_with("second", &[]);
    wait::until("it leads in its own cluster", || leads(&second).then_some(()));
    other.cluster.must_apply(&record("x", "{name: x.internal, a: [10.0.0.9]}"));
    other.until_ready("x", "False", "OtherInstance");
    assert!(world.dig("x.internal", "A").is_empty());
    assert_eq!(other.condition("x", "Stalled", "status"), "True");
    assert!(other.zone("internal", "{.status.conditions[?(@.type=='Reachable')].reason}").contains("OtherInstance"));
    assert_eq!(world.dig("a.internal", "A"), ["10.0.0.1"]);
    // A person gives the zone to the second, by the words of its status.
    drop(_first);
    let message = other.condition("x", "Ready", "message");
    let (_, rest) = message.split_once("`knotwork zone takeover internal ").expect("the way out");
    let (how, _) = rest.split_once('`').expect("a command");
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_knotwork"))
        .arg("-c")
        .arg(other.config())
        .args(["zone", "takeover", "internal"])
        .args(how.split_whitespace())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{message}\n{}", String::from_utf8_lossy(&ran.stderr));
    other.until_ready("x", "True", "Programmed");
    assert_eq!(world.dig("x.internal", "A"), ["10.0.0.9"]);
}

#[test]
fn an_api_server_and_an_etcd_that_go_away_change_nothing() {
    let Some(mut world) = World::start() else { return };
    let operator = world.operator();
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1]}");
    world.cluster.stop_apiserver();
    // Without it nobody leads, and nobody writes; what is answered stays.
    wait::until("the leader to stop writing", || (!leads(&operator)).then_some(()));
    world.remove("a.internal. A 10.0.0.1");
    world.cluster.start_apiserver();
    world.until("drift is repaired once it leads again", |world| world.dig("a.internal", "A") == ["10.0.0.1"]);
    world.cluster.stop_etcd();
    world.cluster.start_etcd();
    world.apply_ready("b", "{name: b.internal, a: [10.0.0.2]}");
    assert!(operator.alive());
}

/// Killed again and again while objects come, change and go: in the end all is as declared, and nothing foreign was touched.
#[test]
fn killed_between_any_two_steps_it_comes_to_the_same_end() {
    let Some(world) = World::start() else { return };
    // Every round replaces everything: far more than the brake would let go.
    let brake = "brake: {percent: 100, atLeast: 100000}";
    world.configure_zones(&[&format!("internal, {brake}"), &format!("10.in-addr.arpa, {brake}")], "");
    world.foreign(&["stranger.internal. 300 A 10.9.9.9"]);
    let rounds = if parts::full() { 40 } else { 8 };
    for round in 0..rounds {
        let mut operator = world.operator_with(&format!("r{round}"), &["--lease-duration", "2"]);
        let objects: String = (0..20)
            .map(|n| {
                record(
                    &format!("n{n}"),
                    &format!("{{name: n{n}.internal, a: [10.2.{round}.{}], reverse: true}}", n + 1),
                )
            })
            .collect();
        world.cluster.must_apply(&objects);
        if round % 3 == 2 {
            world.cluster.must(&["delete", "staticdnsrecord", "n0", "n1", "n2", "--wait=false"]);
        }
        // A different place each time: after so many changes as the round says.
        wait::until("some of it to be done", || {
            let done =
                operator.sum("knotwork_operator_api_calls_total", "") + operator.sum("knotwork_zone_updates_total", "");
            (done >= f64::from(round) * 3.0).then_some(())
        });
        operator.kill();
    }
    let _operator = world.operator_with("last", &["--lease-duration", "2"]);
    let last = rounds - 1;
    let objects: String = (0..20)
        .map(|n| {
            record(&format!("n{n}"), &format!("{{name: n{n}.internal, a: [10.2.{last}.{}], reverse: true}}", n + 1))
        })
        .collect();
    world.until("deletions to be over", |world| {
        !world
            .cluster
            .must(&["get", "staticdnsrecord", "-o", "jsonpath={.items[*].metadata.deletionTimestamp}"])
            .contains('T')
    });
    world.cluster.must_apply(&objects);
    for n in 0..20 {
        world.until_ready(&format!("n{n}"), "True", "Programmed");
        assert_eq!(world.dig(&format!("n{n}.internal"), "A"), [format!("10.2.{last}.{}", n + 1)]);
    }
    assert_eq!(world.dig("stranger.internal", "A"), ["10.9.9.9"]);
    world.until("no orphan is left", |world| world.zone("internal", "{.status.orphans}") == "0");
}

/// A new key and a new zone are taken up; a bad version is refused, and the one before stays in force.
#[test]
fn the_configuration_is_read_again() {
    let Some(world) = World::start() else { return };
    let operator = world.operator();
    world.cluster.must_apply(&record("v6", "{name: v6.internal, aaaa: [\"fd00::1\"], reverse: true}"));
    world.until_ready("v6", "True", "Programmed");
    assert!(world.dig("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "PTR").is_empty());
    let before = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), "owner: home\nservers: nonsense\n").unwrap();
    wait::until("the bad version is refused", || {
        (operator.number("knotwork_operator_refused_reloads_total") >= Some(1.0)).then_some(())
    });
    world.apply_ready("still", "{name: still.internal, a: [10.0.0.1]}");
    std::fs::write(world.config(), format!("{before}      - {{name: d.f.ip6.arpa}}\n")).unwrap();
    world.until("the PTR in the new zone", |world| {
        world.dig("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "PTR") == ["v6.internal."]
    });
    world.until("its zone's object", |world| world.zone("d.f.ip6.arpa", "{.status.sets.ours}") == "1");
    // It is taken out again: its object does not go on telling what was so.
    std::fs::write(world.config(), before).unwrap();
    world.until("the zone to say that it is not configured", |world| {
        world.zone("d.f.ip6.arpa", "{.status.conditions[*].reason}") == "NotConfigured NotConfigured"
    });
}
