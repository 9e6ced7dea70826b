//! Somebody changes a set of ours: how long until the server answers ours again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use knotwork::dns::Rcode;
use knotwork::model::RrType;
use knotwork::zone::worker::{self, WorkerOptions};
use knotwork::zone::{Role, ZoneStatus};
use tokio_util::sync::CancellationToken;

use crate::stats::{number, quantile, show};
use crate::support::parts::Program;
use crate::support::wait::PATIENCE;
use crate::support::writer::{self, Writer};
use crate::{lab, relay};

const TRIALS: usize = 120;
const POLL: Duration = Duration::from_millis(50);
/// An UPDATE that Knot answers later than this was held by it (`reference/knot.md` fact 3).
const STALL: Duration = Duration::from_millis(150);

/// The table.
pub fn run(knot: &Program) -> String {
    let mut out = String::from(
        "| sets in the zone | change → repaired, p50 | p95 | p95 where Knot did not stall | max | of it ours: seen → UPDATE sent, p50 | p99 | \
         Knot: IXFR, p50 | Knot: UPDATE → answer, p50 | stalls of Knot | their p50 |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for count in [1_000, 10_000] {
        out += &one(knot, count);
    }
    out + &format!(
        "\n{TRIALS} foreign changes each at random moments, poll every {} ms. Clock from the answer to the foreign UPDATE to the answer \
         to ours, seen by a relay. Ours is from the SOA answer with the new serial to the UPDATE written, without Knot's time to hand over \
         the change (IXFR); its quantiles are upper bounds of buckets. \"Stalls of Knot\": share of the repairs in which Knot took more than \
         {} ms for the IXFR or our UPDATE (`reference/knot.md` fact 3); they are in all other columns but the one that says so.\n",
        POLL.as_millis(),
        STALL.as_millis()
    )
}

fn one(knot: &Program, count: usize) -> String {
    let claims = lab::claims(count, |_| 0);
    let server = lab::knot(knot, Some(&claims));
    let runtime = lab::runtime();
    let (addr, log) = runtime.block_on(relay::start(server.addr));
    let engine = runtime.block_on(async { lab::engine(addr, Role::Resident) });
    let (_feed, wanted) = tokio::sync::watch::channel(claims.clone());
    let (tell, mut status) = tokio::sync::watch::channel(Arc::new(ZoneStatus::new(&engine)));
    let cancel = CancellationToken::new();
    let options = WorkerOptions { poll_fast: POLL, poll_idle: POLL, ..WorkerOptions::default() };
    let task = runtime.spawn(worker::run(engine, wanted, tell, cancel.clone(), options));
    settled(&runtime, &mut status);

    let mut foreign = Writer::connect(server.addr, "other", "internal");
    let (mut whole, mut smooth, mut own, mut theirs, mut handed) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut stalls = Vec::new();
    let before = status.borrow().counters.own_latency.clone();
    let mut waited = status.borrow().counters.transfer_wait.sum();
    for trial in 0..TRIALS {
        let mut dice = [0; 1];
        getrandom::fill(&mut dice).expect("random");
        std::thread::sleep(Duration::from_millis(150 + 4 * u64::from(dice[0])));
        let host = format!("h{}.internal", trial * 7 % count);
        let [a, b, c, d] = lab::address(trial * 7 % count, 0);
        let updates = log.updates.lock().expect("log").len();
        let ours = format!("{a}.{b}.{c}.{d}");
        let edits = vec![writer::remove(&host, RrType::A, &ours), writer::add(&host, 300, RrType::A, "192.0.2.1")];
        assert_eq!(foreign.update(Vec::new(), edits), Rcode::NOERROR);
        let from = Instant::now();
        let repaired = loop {
            let last = log.updates.lock().expect("log").get(updates).map(|one| (one.sent, one.answered));
            if let Some((sent, Some(answered))) = last {
                break (sent, answered);
            }
            assert!(from.elapsed() < Duration::from_secs(60), "no repair of {host}");
            std::thread::sleep(Duration::from_micros(200));
        };
        assert_eq!(foreign.values(&host, RrType::A), [ours], "repaired");
        settled(&runtime, &mut status);
        let sum = status.borrow().counters.transfer_wait.sum();
        let (took, ixfr, update) = (repaired.1.saturating_duration_since(from), sum - waited, repaired.1 - repaired.0);
        waited = sum;
        whole.push(took);
        handed.push(ixfr);
        theirs.push(update);
        if ixfr.max(update) > STALL { stalls.push(ixfr.max(update)) } else { smooth.push(took) }
    }
    let after = status.borrow().counters.own_latency.clone();
    own.extend(buckets(&before, &after));
    cancel.cancel();
    let _ = runtime.block_on(task);
    let of_stalls = if stalls.is_empty() { "–".to_owned() } else { show(quantile(&stalls, 0.5)) };
    format!(
        "| {} | {} | {} | {} | {} | ≤ {} | ≤ {} | {} | {} | {:.0} % | {of_stalls} |\n",
        number(count),
        show(quantile(&whole, 0.5)),
        show(quantile(&whole, 0.95)),
        show(quantile(&smooth, 0.95)),
        show(quantile(&whole, 1.0)),
        show(quantile(&own, 0.5)),
        show(quantile(&own, 0.99)),
        show(quantile(&handed, 0.5)),
        show(quantile(&theirs, 0.5)),
        100.0 * stalls.len() as f64 / TRIALS as f64,
    )
}

/// Waits until the worker has nothing left to do.
fn settled(runtime: &tokio::runtime::Runtime, status: &mut tokio::sync::watch::Receiver<Arc<ZoneStatus>>) {
    let done = async { tokio::time::timeout(PATIENCE, status.wait_for(|status| status.settled)).await.map(drop) };
    if runtime.block_on(done).is_err() {
        panic!("the worker does not settle: {:?}", status.borrow().error);
    }
}

/// The worker's own histogram of "change seen → UPDATE handed to the connection", each value as its bucket's upper bound.
fn buckets(before: &knotwork::zone::Histogram, after: &knotwork::zone::Histogram) -> Vec<Duration> {
    let beyond = Duration::from_secs(60);
    let counts = after.buckets().zip(before.buckets());
    counts
        .flat_map(|((bound, after), (_, before))| {
            std::iter::repeat_n(bound.unwrap_or(beyond), (after - before) as usize)
        })
        .collect()
}
