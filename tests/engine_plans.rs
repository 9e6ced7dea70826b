//! Claims through planner and engine to real servers: after each step the plan is empty and the zone is as declared.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use knotwork::model::{AdoptPolicy, Claim, Claims, DeletionPolicy, ObjectId, ObjectState, RrSet, RrType, rdata};
use knotwork::zone::{Engine, EngineOptions, Outcome};
use support::bind::Bind;
use support::engine::{apply, create, engine, n, rules, server};
use support::knot::Knot;
use support::parts;

/// `name type ttl value | value`, one set a line.
fn claims(text: &str) -> Arc<Claims> {
    let mut claims = Claims { prune: true, ..Claims::default() };
    let mut objects = knotwork::model::FastMap::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [name, rtype, ttl, values] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let rtype = RrType::parse(rtype).unwrap();
        let values = values.split('|').map(|value| rdata::from_text(rtype, value.trim(), None).unwrap());
        let object = ObjectId::static_record("dns", &format!("{name}-{rtype}").replace(['*', '_'], "x").to_lowercase());
        objects.insert(object.clone(), ObjectState::Present);
        claims.insert(Claim {
            name: n(name),
            rtype,
            set: RrSet::new(rtype, ttl.parse().unwrap(), values),
            object,
            created: None,
            adopt: AdoptPolicy::IfIdentical,
            deletion: DeletionPolicy::Delete,
            share: false,
            reverse: false,
        });
    }
    claims.objects = Arc::new(objects);
    Arc::new(claims)
}

async fn step(engine: &mut Engine, text: &str) {
    let declared = claims(text);
    engine.set_claims(Arc::clone(&declared));
    engine.refresh().await.unwrap();
    let plan = engine.plan().unwrap();
    assert!(plan.conflicts.is_empty(), "{text}\n{:?}", plan.conflicts);
    let done = engine.converge(&plan).await;
    assert!(done.stopped.is_none(), "{text}\n{:?}", done.stopped);
    for outcome in done.outcomes() {
        assert_eq!(outcome.outcome, Outcome::Done, "{text}\n{outcome:?}");
    }
    // A second pair of eyes: a new engine reads the whole zone and finds nothing to do.
    let mut fresh =
        Engine::new(server(engine.session().address()), engine.rules().clone(), EngineOptions::default()).unwrap();
    fresh.set_claims(Arc::clone(&declared));
    fresh.refresh().await.unwrap();
    let again = fresh.plan().unwrap();
    assert!(again.changes.is_empty() && again.orphans.is_empty(), "{text}\n{again:#?}");
    let view = fresh.view().unwrap();
    for (name, sets) in &declared.sets {
        for (rtype, claims) in sets {
            let live = view.get(name, *rtype).unwrap_or_else(|| panic!("{name} {rtype} is missing\n{text}"));
            assert!(live.same(&claims[0].set, *rtype), "{name} {rtype} {live:?}");
        }
    }
    let ours = declared.sets.values().map(|sets| sets.len()).sum::<usize>();
    assert_eq!(again.owned, ours, "{text}");
}

async fn lifecycle(addr: SocketAddr) {
    let mut rules = rules("one");
    rules.brake.at_least = 1000;
    let mut engine = Engine::new(server(addr), rules, EngineOptions::default()).unwrap();
    let steps = [
        "a.internal A 300 10.0.0.1",
        "a.internal A 300 10.0.0.2 | 10.0.0.3
         a.internal AAAA 300 fd00::1
         www.internal CNAME 60 a.internal.
         *.apps.internal A 60 10.0.0.9
         internal MX 300 10 a.internal.
         t.internal TXT 300 \"v=spf1 -all\" \"second\" | \"other\"
         _sip._tcp.internal SRV 300 0 5 5060 a.internal.
         sub.internal NS 300 ns.elsewhere.
         x.internal TYPE65400 300 \\# 3 010203
         d.internal DNAME 300 one.elsewhere.",
        // Values, TTL, type swaps both ways, a DNAME replaced, some gone.
        "a.internal CNAME 300 b.elsewhere.
         www.internal A 60 10.0.0.1
         *.apps.internal A 61 10.0.0.9
         internal MX 300 10 www.internal.
         t.internal TXT 300 \"other\"
         d.internal DNAME 300 two.elsewhere.",
        "d.internal DNAME 30 two.elsewhere.
         e.internal DNAME 30 two.elsewhere.
         f.internal DNAME 30 two.elsewhere.",
        "",
    ];
    for text in steps {
        step(&mut engine, text).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_on_knot() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    lifecycle(knot.addr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_on_newer_knot() {
    let Some(program) = parts::need("knot-next") else { return };
    let knot = Knot::start(&program);
    lifecycle(knot.addr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_on_bind() {
    let Some(program) = parts::need("bind") else { return };
    let bind = Bind::start(&program);
    lifecycle(bind.addr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adoption_and_the_brake() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let mut other = Engine::new(
        server(knot.addr),
        knotwork::ownership::ZoneRules { owner: "other".into(), ..rules("other") },
        EngineOptions::default(),
    )
    .unwrap();
    other.refresh().await.unwrap();
    assert!(apply(&mut other, vec![create("old.internal", RrType::A, &[10, 0, 0, 7])]).await.all_done());

    let mut engine = engine(server(knot.addr), "one", knotwork::zone::Role::OneShot);
    let many: String = (0..40).map(|i| format!("h{i}.internal A 300 10.1.0.{i}\n")).collect();
    let all = format!("old.internal A 300 10.0.0.7\n{many}");
    step(&mut engine, &all).await;

    // Most of it goes: held as a whole, and released by its hash.
    engine.set_claims(claims("old.internal A 300 10.0.0.7"));
    engine.refresh().await.unwrap();
    let plan = engine.plan().unwrap();
    let held = plan.held.clone().expect("held");
    assert_eq!((held.deletes, plan.changes.iter().filter(|change| change.held).count()), (40, 40));
    let done = engine.converge(&plan).await;
    assert!(done.outcomes().iter().all(|one| one.outcome == Outcome::Held) && done.stopped.is_none());
    assert_eq!(done.reports.iter().map(|report| report.updates_sent).sum::<u64>(), 0);

    engine.release(held.hash);
    let plan = engine.plan().unwrap();
    let done = engine.converge(&plan).await;
    assert!(done.stopped.is_none());
    assert_eq!(done.outcomes().iter().filter(|one| one.outcome == Outcome::Done).count(), 40);
    assert!(engine.view().unwrap().in_use(&n("old.internal")));
}
