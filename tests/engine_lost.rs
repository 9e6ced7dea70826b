//! Lost answers and late arrivals: read before deciding, and shut out what may still come.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::atomic::Ordering;

use knotwork::model::RrType;
use knotwork::ownership::ZoneRules;
use knotwork::plan::{Change, Edit};
use knotwork::zone::{Engine, EngineOptions, Outcome, Role};
use support::engine::{apply, create, engine, many, n, rules, server};
use support::knot::Knot;
use support::parts;
use support::proxy::{Loss, Proxy};

/// The removal of what these create, without guards.
fn undone(creates: Vec<Change>) -> Vec<Change> {
    let undo = |mut change: Change| {
        change.guards.clear();
        change.edits = change
            .edits
            .into_iter()
            .map(|edit| match edit {
                Edit::Add(name, rtype, _, rdata) => Edit::Remove(name, rtype, rdata),
                remove => remove,
            })
            .collect();
        change
    };
    creates.into_iter().map(undo).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_the_commit_is_found_out_by_reading() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let proxy = Proxy::start(knot.addr, Loss::Answer).await;
    // The first one carries the raise of the fence; the others do not.
    for victim in [1, 4] {
        let mut engine = engine(server(proxy.addr), "one", Role::OneShot);
        engine.refresh().await.unwrap();
        let name = format!("v{victim}.internal");
        proxy.victim.store(proxy.updates.load(Ordering::SeqCst) + victim, Ordering::SeqCst);
        let view = engine.view().unwrap();
        let mut changes: Vec<_> = many(6000).into_iter().filter(|one| !view.in_use(&one.name)).collect();
        changes.insert(0, create(&name, RrType::A, &[10, 9, 9, 9]));
        let report = apply(&mut engine, changes).await;
        assert!(report.all_done(), "{victim}: {:?} {}", report.stopped, report.count(Outcome::Done));
        assert!(engine.view().unwrap().in_use(&n(&name)));
        // Make room for the next round.
        if victim == 1 {
            assert!(apply(&mut engine, undone(many(6000))).await.all_done());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_arrives_late_is_shut_out() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let mut proxy = Proxy::start(knot.addr, Loss::Request).await;
    for victim in [1, 2] {
        let mut engine = engine(server(proxy.addr), "one", Role::OneShot);
        engine.refresh().await.unwrap();
        proxy.victim.store(proxy.updates.load(Ordering::SeqCst) + victim, Ordering::SeqCst);
        let creates = |prefix: &str| -> Vec<_> {
            (0..400).map(|i| create(&format!("{prefix}{victim}-{i}.internal"), RrType::A, &[10, 0, 1, 1])).collect()
        };
        let report = apply(&mut engine, creates("r")).await;
        assert!(report.all_done(), "{victim}: {:?}", report.stopped);

        // Somebody deletes it all: without the fence nothing would keep the late update from bringing it back.
        let rules = ZoneRules { owner: "other".into(), ..rules("other") };
        let mut other = Engine::new(server(knot.addr), rules, EngineOptions::default()).unwrap();
        other.refresh().await.unwrap();
        assert!(apply(&mut other, undone(creates("r"))).await.all_done());
        engine.refresh().await.unwrap();
        let serial = engine.view().unwrap().serial();
        // Now the server gets it, long after it was given up: the fence of its time is gone.
        proxy.release.notify_one();
        let rcode = tokio::time::timeout(std::time::Duration::from_secs(20), proxy.late.recv()).await.unwrap().unwrap();
        assert!([7, 8].contains(&rcode), "NXRRSET or YXRRSET, not {rcode}");
        engine.refresh().await.unwrap();
        assert_eq!(engine.view().unwrap().serial(), serial);
    }
}
