//! What a status says, for every outcome, and that it says it twice in the same words.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::*;
use crate::cluster::{Resource, Seen};
use crate::model::RrType;
use crate::operator::entry::FINALIZER;
use crate::spec::{Rights, ZoneEntry, Zones};
use crate::zone::{Engine, EngineOptions, ZoneStatus};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn entry(spec: serde_json::Value) -> (ObjectId, Entry) {
    let zones = Zones::new([ZoneEntry { name: name("internal"), default_ttl: 300 }], "_knotwork");
    let seen = Seen {
        namespace: "dns".into(),
        name: "x".into(),
        uid: "u".into(),
        generation: 7,
        finalizers: vec![FINALIZER.into()],
        body: json!({ "spec": spec }),
        ..Seen::default()
    };
    let mut entry = Entry::read(Resource::Record, seen, &zones, &Rights::Ordinary, Instant::now());
    entry.revision = 5;
    (ObjectId::static_record("dns", "x"), entry)
}

fn report(revision: u64) -> Report {
    Report { revision, serial: Some(42), ..Report::unheard() }
}

/// Of a zone whose server nobody asked yet.
fn zone_status() -> ZoneStatus {
    let settings = crate::knot::ServerConfig {
        name: "test".into(),
        addresses: vec!["127.0.0.1:1".parse().unwrap()],
        source: None,
        key: None,
        timeouts: crate::knot::Timeouts::default(),
    };
    let server = Arc::new(crate::knot::Server::new(settings));
    let engine = Engine::new(server, crate::ownership::test_rules(), EngineOptions::default()).unwrap();
    ZoneStatus::new(&engine)
}

fn reports(report: Report) -> BTreeMap<Name, Report> {
    BTreeMap::from([(name("internal"), report)])
}

fn of<'a>(status: &'a RecordStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|one| one.r#type == kind)
}

fn good() -> serde_json::Value {
    json!({"name": "x.internal", "a": ["10.0.0.1", "10.0.0.2"], "mx": [{"preference": 10, "exchange": "m.internal"}]})
}

#[test]
fn programmed_means_planned_at_its_own_revision_without_trouble() {
    let (object, entry) = entry(good());
    assert!(matches!(judge(&object, &entry, &reports(report(4))), Outcome::Pending(_)));
    assert!(matches!(judge(&object, &entry, &reports(Report::unheard())), Outcome::Pending(_)));
    let outcome = judge(&object, &entry, &reports(report(5)));
    assert_eq!(outcome, Outcome::Programmed(42));
    let status = status(&outcome, &entry, "2026-11-30T00:00:00Z");
    assert_eq!((status.fqdn.as_deref(), status.zone.as_deref()), (Some("x.internal"), Some("internal")));
    assert_eq!((status.types.as_deref(), status.serial), (Some("A,MX"), Some(42)));
    assert_eq!(status.values.as_deref(), Some("10.0.0.1, 10 m.internal. (+1)"));
    assert_eq!(status.observed_generation, Some(7));
    for kind in ["Accepted", "Programmed", "Ready"] {
        assert_eq!(of(&status, kind).unwrap().status, "True", "{kind}");
    }
    assert!(of(&status, "Stalled").is_none() && of(&status, "Reconciling").is_none());
}

#[test]
fn a_status_that_says_the_same_is_the_same_to_the_letter() {
    let (object, mut entry) = entry(good());
    let outcome = judge(&object, &entry, &reports(report(5)));
    entry.status = status(&outcome, &entry, "2026-11-30T00:00:00Z");
    // Later, at another serial, by an operator that was started anew.
    let later = judge(&object, &entry, &reports(Report { serial: Some(99), ..report(5) }));
    assert_eq!(status(&later, &entry, "2026-12-24T00:00:00Z"), entry.status);
}

#[test]
fn what_is_wrong_comes_first_and_what_passes_by_itself_is_told_apart() {
    let (object, entry) = entry(good());
    let trouble = |reason, stuck| Trouble {
        name: name("x.internal"),
        rtype: Some(RrType::A),
        reason,
        message: format!("words of {reason}"),
        stuck,
    };
    let with = |troubles: Vec<Trouble>| {
        let mut report = report(5);
        report.troubles.insert(object.clone(), troubles);
        let outcome = judge(&object, &entry, &reports(report));
        (is_interim(&outcome), status(&outcome, &entry, "2026-11-30T00:00:00Z"))
    };
    let (interim, said) = with(vec![trouble("Conflict", false), trouble("OwnedByOther", true)]);
    let ready = of(&said, "Ready").unwrap();
    assert_eq!((interim, ready.status.as_str(), ready.reason.as_str()), (false, "False", "OwnedByOther"));
    assert_eq!(of(&said, "Stalled").unwrap().reason, "OwnedByOther");
    assert!(ready.message.contains("words of OwnedByOther") && ready.message.contains("words of Conflict"));
    assert_eq!(said.sets[0].reason.as_deref(), Some("OwnedByOther"));
    let (interim, said) = with(vec![trouble("Conflict", false)]);
    assert!(interim && of(&said, "Reconciling").is_some() && of(&said, "Stalled").is_none());
    let (_, said) = with(vec![trouble("Paused", false)]);
    assert!(of(&said, "Reconciling").is_none() && of(&said, "Stalled").is_none());
}

#[test]
fn an_invalid_object_says_all_that_is_wrong() {
    let (object, entry) = entry(json!({"name": "x.nowhere", "a": ["10.0.0.1"], "ttl": -1}));
    let outcome = judge(&object, &entry, &reports(report(5)));
    let said = status(&outcome, &entry, "2026-11-30T00:00:00Z");
    let accepted = of(&said, "Accepted").unwrap();
    assert_eq!(accepted.status, "False");
    assert!(accepted.message.contains("spec.name") && accepted.message.contains("spec.ttl"), "{}", accepted.message);
    assert_eq!(of(&said, "Ready").unwrap().reason, accepted.reason);
}

#[test]
fn what_was_programmed_stays_so_while_its_server_is_away_until_it_is_stale() {
    let (object, mut entry) = entry(good());
    entry.done = true;
    let away = |stale| Report { error: Some(("ServerUnreachable", "no answer".into(), false)), stale, ..report(5) };
    assert_eq!(judge(&object, &entry, &reports(away(false))), Outcome::Programmed(42));
    let outcome = judge(&object, &entry, &reports(away(true)));
    let said = status(&outcome, &entry, "2026-11-30T00:00:00Z");
    assert_eq!(of(&said, "Ready").unwrap().status, "Unknown");
    assert_eq!(of(&said, "Programmed").unwrap().reason, "Stale");
    entry.done = false;
    let outcome = judge(&object, &entry, &reports(away(false)));
    assert_eq!(word(&outcome), "ServerUnreachable");
}

#[test]
fn a_leaving_object_is_gone_when_no_zone_that_matters_names_it() {
    let (object, mut entry) = entry(good());
    (entry.deleting, entry.honoured) = (true, true);
    assert!(is_gone(&object, &entry, &reports(report(5))));
    assert!(!is_gone(&object, &entry, &reports(report(4))), "the plan is of before the deletion");
    let named = Report { lingering: Arc::new([object.clone()].into_iter().collect()), ..report(5) };
    assert!(!is_gone(&object, &entry, &reports(named.clone())));
    let away = Report { error: Some(("ServerUnreachable", String::new(), false)), ..report(5) };
    assert!(!is_gone(&object, &entry, &reports(away.clone())));
    // A zone that has nothing to do with it holds nothing up; one whose marker names it does.
    let mut two = reports(report(5));
    two.insert(name("other"), away);
    assert!(is_gone(&object, &entry, &two));
    two.insert(name("other"), named);
    assert!(!is_gone(&object, &entry, &two));
}

/// What kstatus goes by: a zone that is read for the first time or changes is on its way, and stalled where a person is needed.
#[test]
fn a_zone_says_whether_it_is_on_its_way_or_stuck() {
    use crate::operator::zone_conditions::conditions;
    use crate::operator::zones::ZoneObject;

    let rules = crate::ownership::test_rules();
    let view = crate::view::View::new(name("internal"), 1);
    let plan = |edit: &dyn Fn(&mut crate::plan::Plan)| {
        let claims = crate::model::Claims::default();
        let mut plan = crate::plan::plan_zone(&rules, &claims, &view, &crate::plan::PlanOptions::default());
        edit(&mut plan);
        Some(Arc::new(plan))
    };
    let mut status = zone_status();
    let said = |status: &ZoneStatus, report: &Report, observe: bool| -> Vec<String> {
        let all = conditions(status, report, &ZoneObject::default(), observe, None, "now");
        all.iter().map(|one| format!("{} {} {}", one.r#type, one.status, one.reason)).collect()
    };
    assert_eq!(said(&status, &Report::unheard(), false)[2], "Reconciling True Pending");
    status.plan = plan(&|_| {});
    assert_eq!(said(&status, &report(1), false), ["Reachable True Reachable", "InSync True InSync"]);
    status.plan = plan(&|plan| plan.deferred = 1);
    assert_eq!(said(&status, &report(1), false)[2], "Reconciling True Pending");
    assert_eq!(said(&status, &report(1), true)[2], "Stalled True Observe");
    let refused = crate::plan::Refusal { reason: "LabelChanged", message: "m".into() };
    status.plan = plan(&|plan| plan.refused = Some(refused.clone()));
    assert_eq!(said(&status, &report(1), false)[1..], ["InSync False LabelChanged", "Stalled True LabelChanged"]);
    for (stuck, stale, way) in [(false, false, "Reconciling"), (true, false, "Stalled"), (false, true, "Stalled")] {
        let away = Report {
            error: Some(("ServerUnreachable", "away".into(), stuck)),
            failing_since: Some(std::time::SystemTime::now()),
            stale,
            ..report(1)
        };
        assert_eq!(said(&status, &away, false)[2], format!("{way} True ServerUnreachable"));
    }
}

/// A server that was away for a moment is no news; one that stays away is, and so is one that was never read.
#[test]
fn a_zone_that_was_well_fails_for_a_while_before_its_objects_are_told() {
    use crate::zone::StatusError;
    use std::time::{Duration, SystemTime};
    let index = super::super::index::Index::new(Zones::new([], "_knotwork"), Rights::Ordinary, []);
    let mut status = zone_status();
    (status.revision, status.error) =
        (5, Some(StatusError { reason: "BadKey", message: "m".into(), at: SystemTime::now() }));
    let now = SystemTime::now();
    let at = |before: &Report, seconds: u64| {
        let now = now + Duration::from_secs(seconds);
        Report::of(&status, &index, Some(before), now, Duration::from_secs(60))
    };
    assert!(at(&Report::unheard(), 0).error.is_some(), "it was never well");
    let first = at(&report(5), 0);
    assert!(first.error.is_none() && first.failing_since == Some(now));
    assert!(at(&first, 2).error.is_none());
    assert_eq!(at(&first, 4).error.unwrap().0, "BadKey");
    let told = Report { error: Some(("BadKey", "m".into(), true)), ..first };
    assert!(at(&told, 1).error.is_some(), "what was told is not taken back");
}

#[test]
fn long_words_are_cut_and_counted() {
    let (_, mut endpoint) = entry(good());
    let fault = |n: usize| crate::source::ObjectFault {
        field: String::new(),
        reason: "Invalid",
        message: format!("{n}{}", "é".repeat(2000)),
    };
    endpoint.faults = (0..100).map(fault).collect();
    let object = ObjectId::endpoint("dns", "x");
    let Outcome::Refused("Invalid", words) = judge(&object, &endpoint, &reports(report(5))) else { panic!() };
    assert!(words.ends_with("; and 96 more") && words.len() < 4000, "{}", words.len());
    assert!(cut(&words, 1000).len() <= 1000 + '…'.len_utf8());
}
