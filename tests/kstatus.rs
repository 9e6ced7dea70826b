//! The tests' own kstatus follows the rules of kubectl and Flux.
#![allow(clippy::unwrap_used)]

#[path = "support/kstatus.rs"]
mod kstatus;

use kstatus::{Kstatus, kstatus};
use serde_json::{Value, json};

fn object(generation: i64, status: Value) -> Value {
    json!({"metadata": {"name": "x", "generation": generation}, "status": status})
}

fn conditions(pairs: &[(&str, &str)]) -> Value {
    let all: Vec<Value> = pairs.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
    object(1, json!({"observedGeneration": 1, "conditions": all}))
}

#[test]
fn deletion_comes_before_everything() {
    let mut gone = conditions(&[("Stalled", "True"), ("Ready", "True")]);
    gone["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    gone["metadata"]["generation"] = json!(2);
    assert_eq!(kstatus(&gone), Kstatus::Terminating);
}

#[test]
fn a_generation_that_was_not_observed_is_in_progress() {
    let ready = json!([{"type": "Ready", "status": "True"}]);
    for (generation, observed, wanted) in
        [(2, json!(1), Kstatus::InProgress), (1, json!(2), Kstatus::InProgress), (2, json!(2), Kstatus::Current)]
    {
        let status = json!({"observedGeneration": observed, "conditions": ready});
        assert_eq!(kstatus(&object(generation, status)), wanted, "{generation} {observed}");
    }
    // A stale Stalled says nothing of the new generation.
    let stale = json!({"observedGeneration": 1, "conditions": [{"type": "Stalled", "status": "True"}]});
    assert_eq!(kstatus(&object(2, stale)), Kstatus::InProgress);
}

#[test]
fn standard_conditions_decide_in_their_order() {
    for (pairs, wanted) in [
        (&[("Reconciling", "True"), ("Ready", "True")][..], Kstatus::InProgress),
        (&[("Ready", "True"), ("Stalled", "True")], Kstatus::Failed),
        (&[("Stalled", "True"), ("Reconciling", "True")], Kstatus::Failed),
        (&[("Reconciling", "True"), ("Stalled", "True")], Kstatus::InProgress),
        (&[("Reconciling", "False"), ("Stalled", "False"), ("Ready", "True")], Kstatus::Current),
    ] {
        assert_eq!(kstatus(&conditions(pairs)), wanted, "{pairs:?}");
    }
}

#[test]
fn ready_decides_where_no_standard_condition_does() {
    for (status, wanted) in
        [("True", Kstatus::Current), ("False", Kstatus::InProgress), ("Unknown", Kstatus::InProgress)]
    {
        assert_eq!(kstatus(&conditions(&[("Accepted", "False"), ("Ready", status)])), wanted, "{status}");
    }
}

/// A zone has no `Ready`: what it says of itself are `Reconciling` and `Stalled`, and its defaults must not count as current.
#[test]
fn a_zone_is_judged_by_what_it_says_of_its_way() {
    for (pairs, wanted) in [
        (&[("Reachable", "True"), ("InSync", "True")][..], Kstatus::Current),
        (&[("Reachable", "True"), ("InSync", "False"), ("Reconciling", "True")], Kstatus::InProgress),
        (&[("Reachable", "False"), ("InSync", "Unknown"), ("Stalled", "True")], Kstatus::Failed),
    ] {
        assert_eq!(kstatus(&conditions(pairs)), wanted, "{pairs:?}");
    }
    let crd = knotwork::spec::zone_crd::crd();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fresh = object(1, schema["properties"]["status"]["default"].clone());
    assert_eq!(kstatus(&fresh), Kstatus::InProgress);
}

/// The gap that defaults of `Unknown/Pending` close: without them an object that nobody looks after counts as current.
#[test]
fn an_object_without_conditions_is_current() {
    assert_eq!(kstatus(&object(1, json!({}))), Kstatus::Current);
    assert_eq!(kstatus(&json!({"metadata": {"generation": 1}})), Kstatus::Current);
    let pending = object(1, json!({"conditions": [{"type": "Ready", "status": "Unknown", "reason": "Pending"}]}));
    assert_eq!(kstatus(&pending), Kstatus::InProgress);
}
