//! The engine's way of sending against a real Knot: plans made by hand, so that what is sent is known to the letter.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use knotwork::model::{RrSet, RrType};
use knotwork::ownership::ZoneRules;
use knotwork::plan::{Action, Change, Edit, Guard};
use knotwork::zone::{Engine, EngineError, EngineOptions, Outcome, Role};
use support::engine::{apply, change, create, engine, key, many, n, plan, rules, server, server_with};
use support::knot::{KEYS, Knot, Setup};
use support::parts;

#[tokio::test]
async fn create_replace_ttl_delete() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let mut engine = engine(server(knot.addr), "one", Role::OneShot);
    engine.refresh().await.unwrap();

    let report = apply(&mut engine, vec![create("a.internal", RrType::A, &[10, 0, 0, 1])]).await;
    assert!(report.all_done(), "{report:?}");
    assert_eq!((report.updates_sent, report.serial), (1, Some(engine.view().unwrap().serial())));
    assert!(engine.holds_fence());

    let a = n("a.internal");
    let seen = |values: &[[u8; 4]]| {
        Guard::SetIs(a.clone(), RrType::A, values.iter().map(|value| value.as_slice().into()).collect())
    };
    let add = |last: u8, ttl| Edit::Add(a.clone(), RrType::A, ttl, [10, 0, 0, last].into());
    let remove = |last: u8| Edit::Remove(a.clone(), RrType::A, [10, 0, 0, last].into());
    let steps = [
        (Action::Replace, vec![seen(&[[10, 0, 0, 1]])], vec![remove(1), add(2, 300), add(3, 300)]),
        (Action::Ttl, vec![seen(&[[10, 0, 0, 3], [10, 0, 0, 2]])], vec![remove(2), remove(3), add(2, 60), add(3, 60)]),
        (Action::Delete, vec![seen(&[[10, 0, 0, 2], [10, 0, 0, 3]])], vec![remove(2), remove(3)]),
    ];
    let wanted = [Some((300, 2)), Some((60, 2)), None];
    for ((action, guards, edits), want) in steps.into_iter().zip(wanted) {
        let report = apply(&mut engine, vec![change(action, &a, RrType::A, guards, edits)]).await;
        assert!(report.all_done(), "{report:?}");
        let got = engine.view().unwrap().get(&a, RrType::A).map(|set: RrSet| (set.ttl, set.len()));
        assert_eq!(got, want, "{action:?}");
    }
}

#[tokio::test]
async fn one_lost_race_among_thousands() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let mut ours = engine(server(knot.addr), "one", Role::OneShot);
    ours.refresh().await.unwrap();

    let mut other = Engine::new(
        server_with(vec![knot.addr], key(KEYS[1].0, KEYS[1].1)),
        ZoneRules { owner: "other".into(), ..rules("two") },
        EngineOptions::default(),
    )
    .unwrap();
    other.refresh().await.unwrap();
    let theirs = ["h17.internal", "h1234.internal", "h2999.internal"];
    let changes = theirs.iter().map(|name| create(name, RrType::TXT, b"\x05other")).collect();
    assert!(apply(&mut other, changes).await.all_done());

    // Our view is older than their records.
    let report = apply(&mut ours, many(3000)).await;
    assert_eq!((report.count(Outcome::Done), report.count(Outcome::Conflict)), (2997, 3), "{:?}", report.stopped);
    for outcome in report.outcomes.iter().filter(|one| one.outcome == Outcome::Conflict) {
        assert!(theirs.contains(&outcome.name.to_relaxed().as_str()));
        assert!(outcome.message.contains("holds TXT now"), "{}", outcome.message);
    }
    assert!(report.updates_sent < 12, "{}", report.updates_sent);
    for name in theirs {
        assert!(ours.view().unwrap().get(&n(name), RrType::A).is_none());
        assert!(ours.view().unwrap().get(&n(name), RrType::TXT).is_some());
    }
}

#[tokio::test]
async fn a_refused_type_leaves_the_rest_unharmed() {
    let Some(program) = parts::need("knot") else { return };
    let rule = "  - id: op\n    key: operator\n    action: transfer\n  - id: up\n    key: operator\n    action: update\n    update-type: [ A, TXT ]\n";
    let setup = Setup { acl: Some(("op, up".into(), rule.into())), ..Setup::default() };
    let knot = Knot::with(&program, &setup);
    let mut engine = engine(server(knot.addr), "one", Role::OneShot);
    engine.refresh().await.unwrap();
    let mut changes = many(1000);
    let mx = [0, 10, 1, b'm', 0];
    for at in [7, 300, 999] {
        changes.insert(at, create(&format!("m{at}.internal"), RrType::MX, &mx));
    }
    let report = apply(&mut engine, changes).await;
    assert_eq!((report.count(Outcome::Done), report.count(Outcome::Refused)), (1000, 3), "{:?}", report.stopped);
    for outcome in report.outcomes.iter().filter(|one| one.outcome == Outcome::Refused) {
        assert_eq!((outcome.rtype, outcome.reason), (RrType::MX, "UpdateRefused"), "{}", outcome.message);
        assert!(outcome.message.contains("internal"), "{}", outcome.message);
    }
    assert!(report.updates_sent < 20, "{}", report.updates_sent);
}

#[tokio::test]
async fn rights_and_keys_are_told_apart_from_records() {
    let Some(program) = parts::need("knot") else { return };
    rights_and_keys(&program).await;
}

/// From 3.5 on these errors are not signed.
#[tokio::test]
async fn rights_and_keys_on_newer_knot() {
    let Some(program) = parts::need("knot-next") else { return };
    rights_and_keys(&program).await;
}

async fn rights_and_keys(program: &parts::Program) {
    let acl = "  - id: op\n    key: operator\n    action: transfer\n  - id: up\n    key: other\n    action: update\n";
    let setup = Setup { acl: Some(("op, up".into(), acl.into())), ..Setup::default() };
    let knot = Knot::with(program, &setup);

    // May transfer, may not update: asked a few times, not once for every record.
    let mut reader = engine(server(knot.addr), "one", Role::OneShot);
    reader.refresh().await.unwrap();
    let report = apply(&mut reader, many(2000)).await;
    let stopped = report.stopped.clone().expect("stopped");
    assert_eq!(stopped.reason(), "UpdateRefused", "{stopped}");
    // A few were refused one by one; once the server does not take even the fence, the rest is not sent.
    let (refused, waiting) = (report.count(Outcome::Refused), report.count(Outcome::Waiting));
    assert!(refused > 0 && refused + waiting == 2000, "{refused} refused, {waiting} waiting");
    assert!(report.updates_sent < 40, "{}", report.updates_sent);

    // May update, may not transfer.
    let mut writer = engine(server_with(vec![knot.addr], key(KEYS[1].0, KEYS[1].1)), "one", Role::OneShot);
    let error = writer.refresh().await.unwrap_err();
    assert_eq!(error.reason(), "TransferRefused", "{error}");
    assert!(error.to_string().contains(&knot.addr.to_string()), "{error}");

    let wrong_secret = key(KEYS[0].0, KEYS[1].1);
    let error = engine(server_with(vec![knot.addr], wrong_secret), "one", Role::OneShot).refresh().await.unwrap_err();
    assert_eq!(error.reason(), "TsigError", "{error}");

    let wrong_name = key("nobody", KEYS[0].1);
    let error = engine(server_with(vec![knot.addr], wrong_name), "one", Role::OneShot).refresh().await.unwrap_err();
    assert_eq!(error.reason(), "NotAuthorised", "{error}");

    let mut elsewhere = rules("one");
    elsewhere.zone = n("elsewhere");
    let error =
        Engine::new(server(knot.addr), elsewhere, EngineOptions::default()).unwrap().refresh().await.unwrap_err();
    assert!(["NotAuthorised", "QueryRefused"].contains(&error.reason()), "{error}");
    assert!(error.to_string().contains("elsewhere"), "{error}");

    let nowhere = SocketAddr::from(([127, 0, 0, 1], support::wait::free_port()));
    let error = engine(server(nowhere), "one", Role::OneShot).refresh().await.unwrap_err();
    assert_eq!(error.reason(), "ServerUnreachable", "{error}");
}

#[tokio::test]
async fn the_next_address_takes_over_with_a_new_view() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let dead = SocketAddr::from(([127, 0, 0, 1], support::wait::free_port()));
    let mut engine = engine(server_with(vec![dead, knot.addr], key(KEYS[0].0, KEYS[0].1)), "one", Role::OneShot);
    engine.refresh().await.unwrap();
    assert_eq!(engine.session().address(), knot.addr);
    assert!(apply(&mut engine, many(10)).await.all_done());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_dies_in_the_middle() {
    let Some(program) = parts::need("knot") else { return };
    let mut knot = Knot::start(&program);
    let server = server(knot.addr);
    let mut engine = engine(Arc::clone(&server), "one", Role::OneShot);
    engine.refresh().await.unwrap();
    let plan = plan(&engine, many(20_000));
    let running = tokio::spawn(async move {
        let report = engine.apply(&plan, &|_| false).await;
        (engine, report)
    });
    // Kill it once something was taken in.
    let watcher = Arc::clone(&server).session(0).unwrap();
    let zone = n("internal");
    let before = watcher.soa(&zone).await.unwrap();
    while watcher.soa(&zone).await.is_ok_and(|serial| serial == before) {
        tokio::task::yield_now().await;
    }
    knot.kill();
    let knot = tokio::task::spawn_blocking(move || {
        knot.resume();
        knot
    });
    let knot = knot.await.unwrap();
    let (mut engine, report) = running.await.unwrap();
    // Either the run outlived the restart, or it stopped; in both cases nothing is half done and the rest goes on.
    engine.refresh().await.unwrap();
    for outcome in report.outcomes.iter().filter(|one| one.outcome == Outcome::Done) {
        assert!(engine.view().unwrap().in_use(&outcome.name), "{} was called done and is not there", outcome.name);
    }
    let view = engine.view().unwrap();
    let rest: Vec<Change> = many(20_000).into_iter().filter(|change| !view.in_use(&change.name)).collect();
    let report = apply(&mut engine, rest).await;
    assert!(report.stopped.is_none() && report.outcomes.iter().all(|one| one.outcome == Outcome::Done));
    let hosts = engine
        .view()
        .unwrap()
        .names()
        .filter(|name| name.label_count() == 2 && name.first_label().is_some_and(|label| label[0] == b'h'));
    assert_eq!(hosts.count(), 20_000);
    drop(knot);
}

#[tokio::test]
async fn another_instance_writes_nothing_until_takeover() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let mut first = engine(server(knot.addr), "one", Role::OneShot);
    first.refresh().await.unwrap();
    assert!(apply(&mut first, many(10)).await.all_done());

    let mut second = engine(server(knot.addr), "two", Role::OneShot);
    second.refresh().await.unwrap();
    let report = apply(&mut second, vec![create("x.internal", RrType::A, &[10, 0, 0, 9])]).await;
    assert_eq!(report.updates_sent, 0);
    assert!(matches!(&report.stopped, Some(EngineError::OtherInstance { instance, .. }) if instance == "one"));

    assert_eq!(second.takeover(None).await.unwrap_err().reason(), "NotThatInstance");
    assert_eq!(second.takeover(Some("three")).await.unwrap_err().reason(), "NotThatInstance");
    let takeover = second.takeover(Some("one")).await.unwrap();
    assert_eq!((takeover.from.as_deref(), takeover.epoch), (Some("one"), 2));
    let report = apply(&mut second, vec![create("x.internal", RrType::A, &[10, 0, 0, 9])]).await;
    assert!(report.all_done(), "{report:?}");

    // The first one does not know yet, and the server stops it.
    let report = apply(&mut first, vec![create("y.internal", RrType::A, &[10, 0, 0, 9])]).await;
    assert!(matches!(&report.stopped, Some(EngineError::OtherInstance { instance, .. }) if instance == "two"));
    assert!(!first.view().unwrap().in_use(&n("y.internal")));
}

#[tokio::test]
async fn a_displaced_run_brings_nothing_back() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let mut sleeper = engine(server(knot.addr), "one", Role::OneShot);
    sleeper.refresh().await.unwrap();
    assert!(apply(&mut sleeper, many(3)).await.all_done());

    // Another run of the same installation raises the fence; the sleeper wakes up with an old plan.
    let mut waker = engine(server(knot.addr), "one", Role::OneShot);
    waker.refresh().await.unwrap();
    assert!(apply(&mut waker, vec![create("z.internal", RrType::A, &[10, 9, 9, 9])]).await.all_done());
    let report = apply(&mut sleeper, vec![create("late.internal", RrType::A, &[10, 0, 0, 7])]).await;
    assert!(matches!(report.stopped, Some(EngineError::Displaced { .. })), "{:?}", report.stopped);
    assert_eq!(report.count(Outcome::Waiting), 1);
    assert!(!sleeper.view().unwrap().in_use(&n("late.internal")));
    // And it stays stopped.
    let report = apply(&mut sleeper, vec![create("late.internal", RrType::A, &[10, 0, 0, 7])]).await;
    assert!(matches!(report.stopped, Some(EngineError::Displaced { .. })));
    assert_eq!(report.updates_sent, 0);
}
