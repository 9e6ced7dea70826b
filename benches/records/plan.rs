//! Planning 100,000 claims of which one in a hundred changed.

use std::time::Instant;

use knotwork::zone::Role;

use crate::lab;
use crate::stats::{median, number, show};
use crate::support::parts::Program;

const ROUNDS: usize = 9;

/// The table.
pub fn run(knot: &Program) -> String {
    let count = 100_000;
    let before = lab::claims(count, |_| 0);
    let server = lab::knot(knot, Some(&before));
    let (mut compare, mut times) = (Vec::new(), Vec::new());
    let mut wanted = 0;
    let mut engine = lab::engine(server.addr, Role::OneShot);
    lab::runtime().block_on(engine.refresh()).expect("refresh");
    let from = Instant::now();
    engine.set_claims(before.clone());
    assert!(engine.plan().expect("plan").is_settled());
    let first = from.elapsed();
    for round in 0..ROUNDS {
        let edition = 1 + round as u8;
        let after = lab::claims(count, |index| if index % 100 == 0 { edition } else { 0 });
        let from = Instant::now();
        engine.set_claims(after);
        compare.push(from.elapsed());
        let from = Instant::now();
        let plan = engine.plan().expect("plan");
        times.push(from.elapsed());
        wanted = plan.changes.len();
    }
    format!(
        "| claims | changed | new claims compared with the old | plan | whole plan from nothing |\n|---|---|---|---|---|\n| {} | {} | {} | {} | {} |\n\n\
         Median of {ROUNDS}.\n",
        number(count),
        number(wanted),
        show(median(&compare)),
        show(median(&times)),
        show(first),
    )
}
