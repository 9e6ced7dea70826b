//! The operator against an API server that fails in the ways that a real one does, but never on demand
//! (`tests/support/fake_api/`): whatever goes wrong, the zone stays right, the status is right in the end, nothing is deleted out
//! of absence, and the server is not stormed with questions.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

#[path = "support/fake_api/mod.rs"]
mod fake_api;

use std::time::Duration;

use fake_api::{FakeApi, Fault};
use serde_json::{Value, json};
use support::operator::{Operator, Place};
use support::{parts, wait};

/// Longer than any test: an answer that never comes.
const NEVER: Duration = Duration::from_secs(3600);
const MANY: usize = 1_000_000;
const RECORDS: &str = "/staticdnsrecords";
const LEASES: &str = "/leases";

struct Rig {
    place: Place,
    api: FakeApi,
}

impl Rig {
    /// A Knot with a neighbour's record, and a cluster that is a fake.
    fn start() -> Option<Rig> {
        let rig = Rig { place: Place::start()?, api: FakeApi::start() };
        for name in ["kube-system", "default"] {
            rig.api.put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        }
        let crd = "staticdnsrecords.dns.knotwork.dev";
        let kind = "CustomResourceDefinition";
        rig.api.put(&json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": kind, "metadata": {"name": crd}}));
        rig.place.foreign(&["neighbour.internal. 300 A 10.9.9.9"]);
        Some(rig)
    }

    fn operator(&self) -> Operator {
        self.operator_with("operator", &[], &[])
    }

    fn operator_with(&self, name: &str, flags: &[&str], env: &[(&str, &str)]) -> Operator {
        let operator = self.place.operator_in(name, &self.api.kubeconfig(), flags, env);
        operator.wait_leading();
        operator
    }

    /// Somebody declares, or edits.
    fn put(&self, name: &str, spec: Value) {
        let (version, kind) = ("dns.knotwork.dev/v1alpha1", "StaticDNSRecord");
        self.api.put(&json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}));
    }

    /// The usual object: `NAME.internal` with one address.
    fn declare(&self, name: &str, address: &str) {
        self.put(name, json!({"name": format!("{name}.internal"), "a": [address]}));
    }

    fn object(&self, name: &str) -> Value {
        self.api.object("staticdnsrecords", "default", name).unwrap_or_default()
    }

    /// `Ready` of an object: status, reason and message, if it is of the present generation.
    fn ready(&self, name: &str) -> Option<(String, String, String)> {
        let object = self.object(name);
        let conditions = object["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|one| one["type"] == "Ready")?;
        let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
        let current = object["metadata"]["generation"] == object["status"]["observedGeneration"];
        current.then(|| (text("status"), text("reason"), text("message")))
    }

    fn until_ready(&self, name: &str, reason: &str) {
        wait::until(&format!("{name} to be {reason}"), || (self.ready(name)?.1 == reason).then_some(()));
    }

    /// Waits until the server answers an object's name so.
    fn until_answered(&self, name: &str, values: &[&str]) {
        wait::until(&format!("{name}.internal to be {values:?}"), || (self.answer(name) == values).then_some(()));
    }

    fn answer(&self, name: &str) -> Vec<String> {
        self.place.dig(&format!("{name}.internal"), "A")
    }

    /// What was asked of the server, by verb and part of a path.
    fn asked(&self, verb: &str, path: &str) -> usize {
        let all = self.api.requests(verb, path.trim_end_matches('$'));
        let fits = |path_of: &str| path.strip_suffix('$').is_none_or(|end| path_of.ends_with(end));
        all.iter().filter(|request| fits(&request.path)).count()
    }

    /// What holds at the end of each test: the neighbour has its record, and the operator can still do its work.
    fn all_is_well(&self, operator: &Operator) {
        self.api.heal();
        self.declare("last", "10.0.9.9");
        self.until_ready("last", "Programmed");
        assert_eq!(self.answer("last"), ["10.0.9.9"]);
        assert_eq!(self.answer("neighbour"), ["10.9.9.9"]);
        assert!(operator.alive());
        assert!(!operator.log().contains("not leading any more"), "{}", operator.log());
    }
}

#[test]
fn a_server_that_is_overrun_is_left_alone_as_long_as_it_asks() {
    let Some(rig) = Rig::start() else { return };
    let again = Fault::RetryAfter(429, 1);
    rig.api.fail("list", RECORDS, 2, again.clone());
    rig.api.fail("watch", RECORDS, 2, again.clone());
    let operator = rig.operator();
    rig.declare("a", "10.0.0.1");
    rig.until_ready("a", "Programmed");
    assert!(operator.sum("knotwork_operator_api_errors_total", "call=\"watch\",reason=\"TooManyRequests\"") >= 4.0);
    rig.api.clear_log();
    rig.api.fail("patch", "/status$", 3, again.clone());
    rig.api.fail("patch", "/staticdnsrecords/b$", 2, again.clone());
    // The watch breaks and cannot be opened again for a while: all need not be listed again for that.
    rig.api.fail("watch", RECORDS, 2, again);
    rig.api.drop_watches();
    rig.declare("b", "10.0.0.2");
    rig.until_ready("b", "Programmed");
    assert_eq!(rig.asked("list", RECORDS), 0, "what a watch can take up is not listed again");
    assert!(rig.asked("watch", RECORDS) <= 4);
    let (finalizers, statuses) = (rig.asked("patch", "/staticdnsrecords/b$"), rig.asked("patch", RECORDS));
    assert!(finalizers <= 4 && statuses - finalizers <= 3 + 3, "{finalizers} {statuses}");
    assert!(operator.log().contains("asks to be left alone for 1 s"), "{}", operator.log());
    rig.all_is_well(&operator);
}

#[test]
fn lost_races_are_run_again_and_the_lease_is_kept() {
    let Some(rig) = Rig::start() else { return };
    let operator = rig.operator_with("operator", &["--lease-duration", "10"], &[]);
    let lost = Fault::Status(409);
    rig.api.fail("patch", "/staticdnsrecords/a$", 3, lost.clone());
    rig.api.fail("patch", "/staticdnsrecords/a/status$", 3, lost.clone());
    rig.api.fail("update", LEASES, 2, lost);
    rig.declare("a", "10.0.0.1");
    rig.until_ready("a", "Programmed");
    assert_eq!(rig.asked("patch", "/staticdnsrecords/a$"), 4);
    assert!(rig.asked("patch", "/staticdnsrecords/a/status$") <= 3 + 2);
    wait::until("the lease to be renewed after its races", || {
        (operator.number("knotwork_operator_lease_errors_total") == Some(2.0)).then_some(())
    });
    let before = rig.asked("update", LEASES);
    wait::until("another renewal", || (rig.asked("update", LEASES) > before).then_some(()));
    assert_eq!(operator.sum("knotwork_operator_api_errors_total", "call=\"status\",reason=\"Conflict\""), 3.0);
    rig.all_is_well(&operator);
}

/// What went while nobody looked is an orphan, what is to go goes, and what came is there: whether the stream says that the
/// server has forgotten, or the answer does.
#[test]
fn a_watch_that_expired_is_followed_by_a_list() {
    let Some(rig) = Rig::start() else { return };
    let operator = rig.operator();
    for (word, fault) in [("answer", Fault::Status(410)), ("stream", Fault::InStream(410))] {
        let name = |what: &str| format!("{what}-{word}");
        for (what, address) in [("stays", "10.0.1.1"), ("vanishes", "10.0.1.2"), ("leaves", "10.0.1.3")] {
            rig.declare(&name(what), address);
            rig.until_ready(&name(what), "Programmed");
        }
        // Nobody looks.
        rig.api.fail("*", RECORDS, MANY, Fault::Cut);
        rig.api.drop_watches();
        let (version, kind) = ("dns.knotwork.dev/v1alpha1", "StaticDNSRecord");
        let bare = json!({"name": name("vanishes"), "finalizers": null});
        rig.api.put(&json!({"apiVersion": version, "kind": kind, "metadata": bare}));
        rig.api.delete("staticdnsrecords", "default", &name("vanishes"));
        rig.api.delete("staticdnsrecords", "default", &name("leaves"));
        rig.declare(&name("comes"), "10.0.1.4");
        rig.api.expire();
        rig.api.heal();
        rig.api.fail("watch", RECORDS, 1, fault);
        rig.until_ready(&name("comes"), "Programmed");
        wait::until("the one that leaves to be gone", || rig.object(&name("leaves")).is_null().then_some(()));
        assert!(rig.answer(&name("leaves")).is_empty());
        assert_eq!(rig.answer(&name("vanishes")), ["10.0.1.2"], "absence is not a wish");
        assert_eq!(rig.answer(&name("stays")), ["10.0.1.1"]);
    }
    rig.all_is_well(&operator);
}

/// A server that answers from a cache which lags behind: what it shows would bring back what was deleted, and call gone what
/// was made since.
#[test]
fn a_list_that_is_older_than_what_was_seen_is_not_believed() {
    let Some(rig) = Rig::start() else { return };
    for (mode, flags) in [("paged", &["--paged-lists"][..]), ("streamed", &[])] {
        let mut operator = rig.operator_with(mode, flags, &[]);
        let name = |what: &str| format!("{what}-{mode}");
        rig.declare(&name("edited"), "10.0.2.1");
        rig.declare(&name("deleted"), "10.0.2.2");
        rig.until_ready(&name("edited"), "Programmed");
        rig.until_ready(&name("deleted"), "Programmed");
        rig.api.remember();
        rig.declare(&name("edited"), "10.0.2.9");
        rig.declare(&name("made"), "10.0.2.3");
        rig.api.delete("staticdnsrecords", "default", &name("deleted"));
        rig.until_ready(&name("edited"), "Programmed");
        rig.until_ready(&name("made"), "Programmed");
        wait::until("it to be deleted", || rig.object(&name("deleted")).is_null().then_some(()));
        rig.api.clear_log();
        rig.api.fail("list", RECORDS, MANY, Fault::Stale);
        rig.api.fail("watch", RECORDS, MANY, Fault::Stale);
        rig.api.expire();
        // The resumed watch is refused first, so that a list follows.
        rig.api.drop_watches();
        wait::until("the operator to say so", || operator.log().contains("it lags behind").then_some(()));
        assert_eq!(rig.answer(&name("edited")), ["10.0.2.9"]);
        assert_eq!(rig.answer(&name("made")), ["10.0.2.3"]);
        assert!(rig.answer(&name("deleted")).is_empty(), "a record that was deleted came back");
        assert_eq!(operator.number("knotwork_operator_leader"), Some(1.0));
        rig.api.heal();
        rig.declare(&name("after"), "10.0.2.4");
        rig.until_ready(&name("after"), "Programmed");
        assert!(rig.answer(&name("deleted")).is_empty());
        assert!(!operator.log().contains("they were restored"));
        rig.all_is_well(&operator);
        operator.signal("TERM");
        wait::until("the operator to end", || (!operator.alive()).then_some(()));
        operator.kill();
    }
}

/// A backup of the cluster is restored while the operator runs: its versions go back for good. The markers say whose is what.
#[test]
fn a_restored_cluster_is_read_anew() {
    let Some(rig) = Rig::start() else { return };
    // A watch that waits for a version which comes no more is silent.
    let operator = rig.operator_with("operator", &[], &[("KNOTWORK_TEST_SILENCE", "3")]);
    rig.declare("old", "10.0.3.1");
    rig.until_ready("old", "Programmed");
    rig.api.remember();
    rig.declare("old", "10.0.3.2");
    rig.declare("lost", "10.0.3.3");
    rig.until_ready("old", "Programmed");
    rig.until_ready("lost", "Programmed");
    // So far that some more writes do not make up for it.
    for _ in 0..300 {
        rig.api.expire();
    }
    rig.put("late", json!({"name": "late.internal", "a": ["10.0.3.4"]}));
    rig.until_ready("late", "Programmed");
    rig.api.restore();
    wait::until("the operator to say so", || operator.log().contains("they were restored").then_some(()));
    // What the backup declares is a wish; what it does not know is an orphan.
    rig.until_answered("old", &["10.0.3.1"]);
    rig.until_ready("old", "Programmed");
    assert_eq!((rig.answer("lost"), rig.answer("late")), (vec!["10.0.3.3".to_owned()], vec!["10.0.3.4".to_owned()]));
    rig.all_is_well(&operator);
}

/// What was written though its answer was lost is not written again, and counts.
#[test]
fn answers_that_are_lost_after_the_write_cost_nothing() {
    let Some(rig) = Rig::start() else { return };
    let operator = rig.operator_with("operator", &["--lease-duration", "10"], &[]);
    rig.api.fail("patch", "/staticdnsrecords/a$", 1, Fault::LoseAnswer);
    rig.api.fail("patch", "/staticdnsrecords/a/status$", 1, Fault::LoseAnswer);
    rig.api.fail("update", LEASES, 1, Fault::LoseAnswer);
    rig.declare("a", "10.0.0.1");
    rig.until_ready("a", "Programmed");
    wait::until("the lost renewal", || {
        (operator.number("knotwork_operator_lease_errors_total") == Some(1.0)).then_some(())
    });
    rig.declare("b", "10.0.0.2");
    rig.until_ready("b", "Programmed");
    assert_eq!(rig.asked("patch", "/staticdnsrecords/a$"), 1, "the finalizer is there");
    assert!(rig.asked("patch", "/staticdnsrecords/a/status$") <= 2);
    assert_eq!(rig.object("a")["metadata"]["finalizers"], json!(["dns.knotwork.dev/records"]));
    // So it is when it is taken off.
    rig.api.fail("patch", "/staticdnsrecords/a$", 1, Fault::LoseAnswer);
    rig.api.delete("staticdnsrecords", "default", "a");
    wait::until("it to be gone", || rig.object("a").is_null().then_some(()));
    assert!(rig.answer("a").is_empty());
    rig.all_is_well(&operator);
}

#[test]
fn calls_that_hang_hold_up_nobody_else() {
    let Some(rig) = Rig::start() else { return };
    // The first list hangs: it is asked for again, and nothing is written before it is there.
    rig.api.fail("list", RECORDS, 1, Fault::Delay(NEVER));
    let operator = rig.operator_with("operator", &["--lease-duration", "10"], &[]);
    rig.api.fail("patch", "/staticdnsrecords/a$", 1, Fault::Delay(NEVER));
    rig.api.fail("patch", "/staticdnsrecords/b/status$", 1, Fault::Delay(NEVER));
    rig.api.fail("update", LEASES, 1, Fault::Delay(NEVER));
    for (name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")] {
        rig.declare(name, address);
    }
    rig.until_ready("c", "Programmed");
    rig.until_answered("b", &["10.0.0.2"]);
    for name in ["a", "b"] {
        rig.until_ready(name, "Programmed");
    }
    assert!(operator.sum("knotwork_operator_api_errors_total", "reason=\"Late\"") >= 3.0);
    rig.all_is_well(&operator);
}

/// A connection that looks alive and says nothing: it is given up, and all is listed again.
#[test]
fn a_watch_that_fell_silent_is_noticed() {
    let Some(rig) = Rig::start() else { return };
    let silence = [("KNOTWORK_TEST_SILENCE", "2")];
    let operator = rig.operator_with("operator", &["--paged-lists"], &silence);
    rig.api.fail("watch", RECORDS, 1, Fault::Silent);
    rig.api.drop_watches();
    wait::until("the silent watch", || rig.api.requests("watch", RECORDS).len().checked_sub(2).map(|_| ()));
    rig.declare("a", "10.0.0.1");
    rig.until_ready("a", "Programmed");
    // And one that ends as soon as it is opened is not opened in a storm.
    rig.api.clear_log();
    rig.api.fail("watch", RECORDS, 5, Fault::Ended);
    rig.api.drop_watches();
    rig.declare("b", "10.0.0.2");
    rig.until_ready("b", "Programmed");
    assert!(rig.asked("watch", RECORDS) <= 12, "{}", rig.asked("watch", RECORDS));
    rig.all_is_well(&operator);
}

#[test]
fn a_server_that_fails_is_asked_again_at_a_pace() {
    let Some(rig) = Rig::start() else { return };
    let operator = rig.operator();
    let broken = Fault::Status(500);
    rig.api.fail("patch", "/staticdnsrecords/a$", 3, broken.clone());
    rig.api.fail("patch", "/staticdnsrecords/a/status$", 3, broken.clone());
    rig.api.fail("watch", RECORDS, 3, Fault::InStream(500));
    rig.api.fail("list", RECORDS, 2, broken);
    rig.api.drop_watches();
    rig.declare("a", "10.0.0.1");
    rig.until_ready("a", "Programmed");
    assert_eq!(rig.asked("patch", "/staticdnsrecords/a$"), 4);
    assert!(rig.asked("patch", "/staticdnsrecords/a/status$") <= 3 + 3);
    assert!(rig.asked("watch", RECORDS) <= 8 && rig.asked("list", RECORDS) <= 8);
    assert!(operator.log().contains("what is known stays in force"), "{}", operator.log());
    rig.all_is_well(&operator);
}

/// Objects as no schema would take them: each says what is wrong with it, once, and none stops another.
#[test]
fn malformed_objects_stop_nobody() {
    let Some(rig) = Rig::start() else { return };
    rig.declare("good", "10.0.0.1");
    let bad = [
        ("text", json!("x")),
        ("list", json!([1])),
        ("empty", json!({})),
        ("number", json!({"name": 7, "a": ["10.0.0.2"]})),
        ("deep", json!({"name": {"name": {"name": []}}, "a": {"a": 1}})),
        ("address", json!({"name": "address.internal", "a": [["10.0.0.2"], null, 4, "10.0.0.300"]})),
        ("mx", json!({"name": "mx.internal", "mx": [{"preference": "ten", "exchange": 10}]})),
        ("unknown", json!({"name": "unknown.internal", "b": ["10.0.0.2"]})),
    ];
    for (name, spec) in &bad {
        rig.put(name, spec.clone());
    }
    let operator = rig.operator();
    rig.until_ready("good", "Programmed");
    for (name, _) in &bad {
        wait::until(&format!("{name} to be refused"), || (rig.ready(name)?.0 == "False").then_some(()));
        assert!(!rig.ready(name).unwrap().2.is_empty());
        assert!(rig.asked("patch", &format!("/{name}/status$")) <= 2, "{name}");
        assert_eq!(rig.asked("patch", &format!("/{name}$")), 0, "{name} gets no finalizer");
    }
    // A status that is none is replaced, and nothing is believed of it.
    let (version, kind) = ("dns.knotwork.dev/v1alpha1", "StaticDNSRecord");
    for status in [json!("x"), json!({"conditions": "x"}), json!({"serial": -1, "sets": {}, "conditions": [{}]})] {
        rig.api.clear_log();
        rig.api.put(&json!({"apiVersion": version, "kind": kind, "metadata": {"name": "good"}, "status": status}));
        rig.until_ready("good", "Programmed");
        assert!(rig.asked("patch", "/good/status$") <= 2);
        assert_eq!(rig.answer("good"), ["10.0.0.1"]);
    }
    rig.all_is_well(&operator);
}

/// Some admission policy does not let the finalizer pass: nothing is published, the status says why, and nobody waits for it.
#[test]
fn an_object_whose_finalizer_is_refused_says_so() {
    let Some(rig) = Rig::start() else { return };
    let operator = rig.operator();
    rig.api.fail("patch", "/staticdnsrecords/first$", MANY, Fault::Status(403));
    rig.api.fail("patch", "/staticdnsrecords/invalid$", MANY, Fault::Status(422));
    rig.put("first", json!({"name": "x.internal", "a": ["10.0.0.1"]}));
    rig.declare("invalid", "10.0.0.3");
    rig.until_ready("first", "FinalizerRefused");
    rig.until_ready("invalid", "FinalizerRefused");
    let (status, _, message) = rig.ready("first").unwrap();
    assert!(status == "False" && message.contains("the test wants it so"), "{status} {message}");
    let stalled = |name: &str| {
        let object = rig.object(name);
        object["status"]["conditions"].as_array().unwrap().iter().any(|one| one["type"] == "Stalled")
    };
    assert!(stalled("first"));
    assert!(rig.answer("x").is_empty() && rig.answer("invalid").is_empty());
    rig.put("second", json!({"name": "x.internal", "a": ["10.0.0.2"]}));
    rig.until_ready("second", "Programmed");
    wait::until("the event", || {
        let said = rig.api.objects("events");
        said.iter().any(|event| event["reason"] == "FinalizerRefused").then_some(())
    });
    assert!(rig.asked("patch", "/staticdnsrecords/first$") <= 12, "it is not asked in a storm");
    // An edit is worth a try at once.
    rig.api.heal();
    rig.put("first", json!({"name": "y.internal", "a": ["10.0.0.1"]}));
    rig.until_ready("first", "Programmed");
    assert!(!stalled("first"));
    rig.all_is_well(&operator);
}

fn lease(rig: &Rig) -> Value {
    rig.api.object("leases", "default", "knotwork-operator").unwrap_or_default()["spec"].clone()
}

/// The address stays and the cluster behind it is another one: nothing is done there in the name of the first.
#[test]
fn another_cluster_at_the_same_address_is_not_taken_for_the_first() {
    let Some(rig) = Rig::start() else { return };
    let operator = rig.operator();
    rig.declare("first", "10.0.0.1");
    rig.until_ready("first", "Programmed");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}});
    rig.api.delete("namespaces", "", "kube-system");
    rig.api.put(&namespace);
    // It has a Lease of its own, which is free.
    rig.api.delete("leases", "default", "knotwork-operator");
    let other = json!({"holderIdentity": "another", "leaseDurationSeconds": 1, "renewTime": time_shifted(0)});
    rig.api.put(&json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "knotwork-operator"}, "spec": other}));
    wait::until("the operator to end", || (!operator.alive()).then_some(()));
    assert!(operator.log().contains("of another cluster than before"), "{}", operator.log());
    assert_eq!(rig.answer("first"), ["10.0.0.1"]);
}

/// Whoever leads has a clock of its own. What counts is whether the Lease still changes, by the clock of who looks.
#[test]
fn a_lease_that_is_renewed_is_not_taken_whatever_time_it_says() {
    let Some(rig) = Rig::start() else { return };
    for (name, shift) in [("past", -3600), ("future", 3600)] {
        let renew = |holder: &str| {
            let time = time_shifted(shift);
            let spec =
                json!({"holderIdentity": holder, "leaseDurationSeconds": 3, "renewTime": time, "leaseTransitions": 1});
            let (version, kind) = ("coordination.k8s.io/v1", "Lease");
            rig.api.put(
                &json!({"apiVersion": version, "kind": kind, "metadata": {"name": "knotwork-operator"}, "spec": spec}),
            );
        };
        renew("another");
        let operator = rig.place.operator_in(name, &rig.api.kubeconfig(), &["--lease-duration", "3"], &[]);
        let mut renewed = 0;
        wait::until("twelve looks at a lease that is renewed", || {
            renew("another");
            renewed += 1;
            std::thread::sleep(Duration::from_millis(200));
            (renewed > 30 && rig.asked("get", LEASES) >= 12).then_some(())
        });
        assert_eq!(lease(&rig)["holderIdentity"], "another", "{name}");
        assert_eq!(operator.number("knotwork_operator_leader"), Some(0.0), "{name}");
        assert_eq!(rig.asked("update", LEASES), 0, "{name}");
        // Its holder falls silent.
        operator.wait_leading();
        assert_ne!(lease(&rig)["holderIdentity"], "another", "{name}");
        drop(operator);
        rig.api.clear_log();
    }
}

/// A time, shifted by seconds, as Leases say it.
fn time_shifted(shift: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seconds = now.as_secs() as i64 + shift;
    let out =
        std::process::Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S"]).output();
    format!("{}.{:06}Z", String::from_utf8(out.unwrap().stdout).unwrap().trim(), now.subsec_micros())
}

/// Two real replicas whose clocks are an hour apart, in either direction: exactly one leads, for many renewals, and the other
/// takes over when it ends.
#[test]
fn replicas_whose_clocks_differ_by_an_hour_agree() {
    let Some(rig) = Rig::start() else { return };
    let Some(library) = parts::need("libfaketime") else { return };
    for (name, one_is, two_is) in [("ahead", "+3600", "+0"), ("behind", "-3600", "+0")] {
        let shifted = |by: &str| {
            [
                ("LD_PRELOAD", library.argv[0].clone()),
                ("FAKETIME", by.to_owned()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ]
        };
        let start = |replica: &str, by: &str| {
            let env = shifted(by);
            let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let name = format!("{replica}-{name}");
            rig.place.operator_in(&name, &rig.api.kubeconfig(), &["--lease-duration", "4"], &env)
        };
        let one = start("one", one_is);
        let leads = |operator: &Operator| operator.number("knotwork_operator_leader") == Some(1.0);
        // It leads, and its zones' server does not take messages that are signed an hour off.
        wait::until("the first to lead", || leads(&one).then_some(()));
        let two = start("two", two_is);
        let holder = lease(&rig)["holderIdentity"].clone();
        rig.api.clear_log();
        wait::until("ten renewals with one leader", || {
            assert!(!leads(&two), "two leaders, or a stolen lease");
            (rig.asked("update", LEASES) >= 10 && rig.asked("get", LEASES) >= 20).then_some(())
        });
        assert_eq!(lease(&rig)["holderIdentity"], holder, "{name}");
        let skew = lease(&rig)["renewTime"].as_str().unwrap()[..13].to_owned();
        assert_ne!(skew, time_shifted(0)[..13], "the clock of the first is not shifted");
        drop(one);
        two.wait_leading();
        assert_ne!(lease(&rig)["holderIdentity"], holder, "{name}");
        rig.declare(name, "10.0.0.1");
        rig.until_ready(name, "Programmed");
        two.signal("TERM");
        wait::until("the second to end", || (!two.alive()).then_some(()));
    }
}
