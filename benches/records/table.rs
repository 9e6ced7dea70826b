//! What a pass costs from a thousand sets to a million: it must follow the changes, not the zone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use knotwork::dns::Rcode;
use knotwork::model::{Claims, Rdata, RrSet, RrType};
use knotwork::zone::{Refreshed, Role};

use crate::lab;
use crate::stats::{median, number, show};
use crate::support::engine::n;
use crate::support::parts::Program;
use crate::support::writer::{self, Writer};

const ROUNDS: usize = 9;

/// The table.
pub fn run(knot: &Program) -> String {
    let mut out = String::from(
        "| sets of ours | first view | first plan | idle pass | pass after one foreign change | plan after one claim changed | of the \
         apply: ours | Knot's commit | reading back |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        out += &lab::runtime().block_on(one(knot, count));
        eprintln!("table: {count} done");
    }
    out + &format!(
        "\nEvery set has its marker, so the zone has twice as many. Medians of {ROUNDS}. \"Pass after one foreign change\": SOA, IXFR and \
         plan. \"Knot's commit\": from our UPDATE to its answer; it costs time in proportion to the zone (`reference/knot.md` \
         fact 2).\n"
    )
}

async fn one(knot: &Program, count: usize) -> String {
    let mut claims = lab::claims(count, |_| 0);
    let server = lab::knot(knot, Some(&claims));
    let mut engine = lab::engine(server.addr, Role::OneShot);
    let from = Instant::now();
    engine.refresh().await.expect("refresh");
    let view = from.elapsed();
    let from = Instant::now();
    engine.set_claims(claims.clone());
    assert!(engine.plan().expect("plan").is_settled());
    let plan = from.elapsed();

    let (mut idle, mut foreign, mut claim) = (vec![], vec![], vec![]);
    let (mut ours, mut theirs, mut back) = (vec![], vec![], vec![]);
    let mut other = Writer::connect(server.addr, "other", "internal");
    for round in 0..ROUNDS {
        let from = Instant::now();
        assert_eq!(engine.refresh().await.expect("refresh"), Refreshed::Current);
        engine.plan().expect("plan");
        idle.push(from.elapsed());

        let added = writer::add(&format!("guest{round}.internal"), 300, RrType::A, "192.0.2.1");
        assert_eq!(other.update(Vec::new(), vec![added]), Rcode::NOERROR);
        let from = Instant::now();
        assert!(matches!(engine.refresh().await.expect("refresh"), Refreshed::Changed(_)));
        assert!(engine.plan().expect("plan").is_settled());
        foreign.push(from.elapsed());

        claims = changed(&claims, count / 2, round as u8 + 1);
        let from = Instant::now();
        engine.set_claims(claims.clone());
        let plan = engine.plan().expect("plan");
        claim.push(from.elapsed());
        assert_eq!(plan.changes.len(), 1);
        let from = Instant::now();
        let report = engine.apply(&plan, &|_| false).await;
        let whole = from.elapsed();
        assert!(report.all_done(), "{:?}", report.stopped);
        theirs.push(report.timings.sending);
        back.push(report.timings.confirming);
        ours.push(whole.saturating_sub(report.timings.sending + report.timings.confirming));
    }
    let show = |times: &[Duration]| show(median(times));
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        number(count),
        show(&[view]),
        show(&[plan]),
        show(&idle),
        show(&foreign),
        show(&claim),
        show(&ours),
        show(&theirs),
        show(&back),
    )
}

/// The same claims, save that one host wants another address.
fn changed(claims: &Arc<Claims>, index: usize, edition: u8) -> Arc<Claims> {
    let mut new = Claims::clone(claims);
    let name = n(&format!("h{index}.internal"));
    for claim in new.sets.get_mut(&name).into_iter().flat_map(|types| types.values_mut()).flatten() {
        claim.set = RrSet::new(RrType::A, 300, [Rdata::from(lab::address(index, edition).as_slice())]);
    }
    Arc::new(new)
}
