//! The idle pass: how much is asked of the server, and what it costs.

use std::sync::atomic::Ordering;
use std::time::Instant;

use knotwork::zone::Role;

use crate::stats::{number, quantile, show};
use crate::support::parts::Program;
use crate::{lab, relay};

const PASSES: usize = 200;

/// The table.
pub fn idle(knot: &Program) -> String {
    let count = 100_000;
    let claims = lab::claims(count, |_| 0);
    let server = lab::knot(knot, Some(&claims));
    let (times, datagrams, streamed) = lab::runtime().block_on(async {
        let (addr, log) = relay::start(server.addr).await;
        let mut engine = lab::engine(addr, Role::OneShot);
        engine.refresh().await.expect("refresh");
        engine.set_claims(claims.clone());
        assert!(engine.plan().expect("plan").is_settled());
        let before = (log.datagrams.load(Ordering::SeqCst), log.streamed.load(Ordering::SeqCst));
        let mut times = Vec::new();
        for _ in 0..PASSES {
            let from = Instant::now();
            engine.refresh().await.expect("refresh");
            assert!(engine.plan().expect("plan").is_settled());
            times.push(from.elapsed());
        }
        let after = (log.datagrams.load(Ordering::SeqCst), log.streamed.load(Ordering::SeqCst));
        (times, after.0 - before.0, after.1 - before.1)
    });
    format!(
        "| sets in the zone | passes | SOA questions | transfers and updates | a pass, p50 | p99 |\n|---|---|---|---|---|---|\n\
         | {} | {PASSES} | {datagrams} | {streamed} | {} | {} |\n\n\
         Counted by a relay between the engine and Knot, whose own time is in the figures.\n",
        number(count),
        show(quantile(&times, 0.5)),
        show(quantile(&times, 0.99)),
    )
}
