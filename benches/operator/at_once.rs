//! Ten thousand objects applied at once, against a bare client; then what the operator costs while nothing happens.

use std::time::{Duration, Instant};

use crate::stats::{number, ratio, show};
use crate::support::operator::{Operator, World};
use crate::{bare, process, rest};

struct Round {
    bare: Duration,
    ours: Duration,
    finalizers: f64,
    statuses: f64,
    slow: usize,
    cpu: Duration,
    rest: Option<rest::Rest>,
}

/// The tables: of this, and of the rest.
pub fn run(with_rest: bool) -> (String, Option<String>) {
    let count = crate::objects();
    let mut all = Vec::new();
    for index in 0..crate::rounds() {
        let round = round(count, with_rest && index == 0);
        eprintln!("at-once round {index}: ours {} bare {}", show(round.ours), show(round.bare));
        all.push(round);
    }
    let mut out = String::from(
        "| round | objects | bare client | operator | as many times | finalizers written | statuses written | objects that took longer than 1 s | processor time of the operator |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (index, one) in all.iter().enumerate() {
        out += &format!(
            "| {} | {} | {} | {} | {:.2} | {} | {} | {} | {} |\n",
            index + 1,
            number(count),
            show(one.bare),
            show(one.ours),
            ratio(one.ours, one.bare),
            number(one.finalizers as usize),
            number(one.statuses as usize),
            number(one.slow),
            show(one.cpu),
        );
    }
    let best = |of: fn(&Round) -> Duration| all.iter().map(of).min().expect("a round");
    let (ours, bare) = (best(|round| round.ours), best(|round| round.bare));
    out += &format!(
        "\nFrom the first object applied (32 at a time) to the last status written. The bare client watches a kind of the same schema in \
         the same API server and makes the same two calls for each object, 32 at once; the operator also plans, changes the zone and \
         reads it back. Best of {} rounds, each on a fresh server, the bare client first: {} against {}, {:.2} times. Load of the machine at \
         the end: {}.\n",
        all.len(),
        show(ours),
        show(bare),
        ratio(ours, bare),
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("?"),
    );
    (out, all.iter().find_map(|round| round.rest.as_ref()).map(|rest| rest.table(count)))
}

fn programmed(operator: &Operator) -> f64 {
    operator.number("knotwork_operator_objects{result=\"Programmed\"}").unwrap_or(0.0)
}

fn round(count: usize, with_rest: bool) -> Round {
    let world = crate::world();
    let kubeconfig = world.cluster.kubeconfig();
    let crd = world.dir().join("bare.json");
    std::fs::write(&crd, bare::crd().to_string()).expect("written");
    let crd = crd.display().to_string();
    world.cluster.must(&["apply", "--server-side", "-f", &crd]);
    world.cluster.must(&["wait", "--for=condition=Established", "--timeout=120s", "-f", &crd]);
    let runtime = crate::runtime();
    let client = runtime.block_on(bare::client(&kubeconfig));
    let bare = runtime.block_on(bare::run(&client, count));

    let operator = world.operator();
    let (memory, cpu) = (process::memory(operator.pid()), process::cpu(operator.pid()));
    let api = bare::records(&client, "dns.knotwork.dev");
    let from = Instant::now();
    runtime.spawn(async move { bare::apply(&api, "dns.knotwork.dev", count).await });
    wait_all(&world, &operator, count);
    let ours = from.elapsed();
    let cpu = process::cpu(operator.pid()) - cpu;
    let calls = |word: &str| operator.sum("knotwork_operator_api_calls_total", &format!("call=\"{word}\""));
    let quick = operator.number("knotwork_operator_programmed_seconds_bucket{le=\"1\"}").unwrap_or(0.0);
    let (finalizers, statuses) = (calls("add-finalizer"), calls("status"));
    let slow = count.saturating_sub(quick as usize);
    let rest = with_rest.then(|| rest::run(&world, &operator, memory, count));
    Round { bare, ours, finalizers, statuses, slow, cpu, rest }
}

/// Waits until all is programmed and written.
fn wait_all(world: &World, operator: &Operator, count: usize) {
    let begun = Instant::now();
    while programmed(operator) < count as f64 || operator.number("knotwork_operator_queue_depth") != Some(0.0) {
        assert!(begun.elapsed() < Duration::from_secs(900), "not programmed: {}", programmed(operator));
        std::thread::sleep(Duration::from_millis(50));
    }
    // Counted by what the API server has, not by what the operator says.
    let mut short = count;
    while short > 0 {
        let path = "jsonpath={range .items[*]}{.status.conditions[?(@.type=='Ready')].status}{\"\\n\"}{end}";
        let all = world.cluster.must(&["get", "staticdnsrecords.dns.knotwork.dev", "-o", path]);
        short = count - all.lines().filter(|line| *line == "True").count();
        if short > 0 {
            let (_, numbers) = operator.get("/metrics");
            let ours: Vec<&str> = numbers.lines().filter(|line| line.starts_with("knotwork_operator")).collect();
            assert!(begun.elapsed() < Duration::from_secs(900), "{short} have no status:\n{}", ours.join("\n"));
            eprintln!("{short} have no status yet, after {}", show(begun.elapsed()));
        }
    }
}
