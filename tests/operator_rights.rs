//! The operator with exactly the rights of `config/rbac/`: everything works, and nothing more is allowed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use support::kube::Setup;
use support::operator::{World, record, record_in};
use support::wait;

/// The user that the API server makes of the operator's service account.
const USER: &str = "system:serviceaccount:knotwork:knotwork-operator";

const ENDPOINT: &str = "apiVersion: externaldns.k8s.io/v1alpha1
kind: DNSEndpoint
metadata: {name: e, namespace: team}
spec:
  endpoints:
    - {dnsName: e.internal, recordType: A, recordTTL: 300, targets: [10.0.0.7]}
";

#[test]
fn the_shipped_rights_are_enough_and_no_more() {
    let setup = Setup::default()
        .user(USER, &["system:serviceaccounts", "system:serviceaccounts:knotwork", "system:authenticated"]);
    let Some(world) = World::with(&setup) else { return };
    let rbac = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rbac").display().to_string();
    world.cluster.must(&["create", "namespace", "knotwork"]);
    world.cluster.must(&["create", "namespace", "team"]);
    world.cluster.must(&["apply", "-k", &rbac]);
    // ExternalDNS's kind, so that the right to read it is used.
    world.cluster.install_dnsendpoints();
    let operator = world.operator_as("rights", USER, &["--namespace", "knotwork", "--dnsendpoints"]);
    operator.wait_leading();

    // A whole life: made, in conflict, renamed, deleted; an order at a zone; events in namespaces of others.
    world.apply_ready("a", "{name: a.internal, a: [10.0.0.1], reverse: true}");
    world.cluster.must_apply(&record_in("team", "b", "{name: a.internal, a: [10.0.0.2]}"));
    world
        .until("the conflict is an event", |world| world.events("b").iter().any(|event| event.contains("NameClaimed")));
    world.apply_ready("a", "{name: c.internal, a: [10.0.0.1]}");
    world.cluster.must_apply(ENDPOINT);
    world.until("the endpoint is answered", |world| world.dig("e.internal", "A") == ["10.0.0.7"]);
    // One with many faults is told of in an event, which has its limit.
    let long = "x".repeat(300);
    let faults: String = (0..20)
        .map(|n| format!("    - {{dnsName: {long}{n}.internal, recordType: A, targets: [nowhere]}}\n"))
        .collect();
    let wrong = ENDPOINT.split("    - ").next().unwrap().replace("name: e,", "name: wrong,") + &faults;
    world.cluster.must_apply(&wrong);
    world.until("its faults are an event", |world| {
        let events = world.events("wrong");
        events
            .iter()
            .any(|event| event.starts_with("Warning Invalid") && (event.contains("more") || event.contains('…')))
    });
    world.order("internal", r#"{"release":"0123456789abcdef"}"#);
    world.until("the order is taken off", |world| world.zone("internal", "{.spec.release}").is_empty());
    world.cluster.must(&["delete", "staticdnsrecord", "a", "--timeout=60s"]);
    let (_, numbers) = operator.get("/metrics");
    let refused: Vec<&str> =
        numbers.lines().filter(|line| line.contains("api_errors") && line.contains("Forbidden")).collect();
    assert!(refused.is_empty(), "{refused:?}\n{}", operator.log());
    assert_eq!(operator.number("knotwork_operator_lease_errors_total"), Some(0.0), "{}", operator.log());

    // What it has no business with.
    let may =
        |args: &[&str]| world.cluster.kubectl_as(USER, &[&["auth", "can-i"], args].concat(), "").out.trim() == "yes";
    for denied in [
        &["get", "secrets", "-A"][..],
        &["list", "secrets", "-A"],
        &["get", "configmaps", "-A"],
        &["delete", "staticdnsrecords.dns.knotwork.dev", "-A"],
        &["create", "staticdnsrecords.dns.knotwork.dev", "-A"],
        &["delete", "dnszones.dns.knotwork.dev"],
        &["get", "pods", "-A"],
        &["delete", "customresourcedefinitions.apiextensions.k8s.io"],
        &["patch", "customresourcedefinitions.apiextensions.k8s.io"],
        &["get", "leases.coordination.k8s.io", "-n", "kube-system"],
        &["delete", "leases.coordination.k8s.io", "-n", "knotwork"],
        &["get", "namespaces"],
    ] {
        assert!(!may(denied), "{denied:?} is allowed");
    }
    assert!(may(&["patch", "staticdnsrecords.dns.knotwork.dev", "-A"]), "the question itself works");
}

/// One right after the other is taken away: the operator says which it misses and goes on when it is back.
#[test]
fn a_right_that_is_missing_is_said_and_waited_for() {
    let setup = Setup::default()
        .user(USER, &["system:serviceaccounts", "system:serviceaccounts:knotwork", "system:authenticated"]);
    let Some(world) = World::with(&setup) else { return };
    let rbac = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rbac").display().to_string();
    world.cluster.must(&["create", "namespace", "knotwork"]);
    let operator = world.operator_as("rights", USER, &["--namespace", "knotwork"]);
    wait::until("it says what it may not", || {
        let log = operator.log();
        (log.contains("kube-system") && log.contains("Forbidden")).then_some(())
    });
    assert!(operator.alive());
    world.cluster.must(&["apply", "-k", &rbac]);
    operator.wait_leading();
    world.cluster.must_apply(&record("a", "{name: a.internal, a: [10.0.0.1]}"));
    world.until_ready("a", "True", "Programmed");
}
