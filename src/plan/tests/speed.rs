//! Cost of planning. Run by hand: `cargo test --release --lib plan::tests::speed -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

fn claims(count: u32, last: impl Fn(u32) -> u8) -> Claims {
    let mut claims = Claims::default();
    let mut objects = crate::model::FastMap::default();
    for i in 0..count {
        let object = ObjectId::static_record("dns", &format!("o{i}"));
        objects.insert(object.clone(), ObjectState::Present);
        let [_, b, c, _] = i.to_be_bytes();
        claims.insert(Claim {
            name: n(&format!("host{i}.internal")),
            rtype: RrType::A,
            set: RrSet::new(RrType::A, 300, [Rdata::from([10, b, c, last(i)].as_slice())]),
            object,
            created: None,
            adopt: AdoptPolicy::IfIdentical,
            deletion: DeletionPolicy::Delete,
            share: false,
            reverse: false,
        });
    }
    claims.objects = Arc::new(objects);
    claims
}

#[test]
#[ignore = "measures; run with --release"]
#[allow(clippy::print_stdout)]
fn a_hundred_thousand_claims() {
    let mut rules = test_rules();
    rules.brake.at_least = u32::MAX;
    let options = PlanOptions::default();
    let old = claims(100_000, |i| i as u8);
    let mut view = View::new(n("internal"), 1);
    let timed = |what: &str, from: Instant| println!("{what}: {:.1} ms", from.elapsed().as_secs_f64() * 1e3);

    let from = Instant::now();
    let mut planner = Planner::new(rules.clone());
    planner.full(&old, &view, &options);
    timed("full, empty zone", from);
    let from = Instant::now();
    let plan = planner.plan(&old, &view, &options);
    timed("assemble 100k changes", from);
    let from = Instant::now();
    let all = units(&plan);
    timed("units of 100k changes", from);
    assert_eq!(all.len(), 100_000);
    let mut build = crate::view::Builder::new(n("internal"));
    for edit in all.iter().flat_map(|unit| &unit.edits) {
        if let Edit::Add(name, rtype, ttl, rdata) = edit {
            build.push(name.wire(), *rtype, *ttl, rdata);
        }
    }
    view = build.finish(2);

    let from = Instant::now();
    planner.full(&old, &view, &options);
    timed("full, nothing to do", from);
    assert!(planner.plan(&old, &view, &options).is_settled());

    let new = claims(100_000, |i| if i % 100 == 0 { 0 } else { i as u8 });
    let changed: Vec<Name> =
        (0..100_000u32).filter(|i| i % 100 == 0 && *i as u8 != 0).map(|i| n(&format!("host{i}.internal"))).collect();
    println!("changed: {}", changed.len());
    let from = Instant::now();
    planner.replan(&new, &view, &Dirty { claims: changed, ..Dirty::default() }, &options);
    let plan = planner.plan(&new, &view, &options);
    let units = units(&plan);
    timed("1 % changed: plan and units", from);
    println!("changes: {}, units: {}", plan.changes.len(), units.len());
}
