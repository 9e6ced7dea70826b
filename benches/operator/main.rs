//! What the operator costs: on a real API server and a real Knot on loopback, beside a bare client that does the same two
//! writes for each object in the same run.
//!
//! `cargo bench --bench operator` runs all; `-- at-once single` those named; `--write` puts the tables into
//! `docs/performance.md`. `KNOTWORK_BENCH_OBJECTS` and `KNOTWORK_BENCH_ROUNDS` make it smaller.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod at_once;
mod bare;
#[path = "../records/page.rs"]
mod page;
mod process;
mod rest;
mod single;
#[path = "../records/stats.rs"]
#[allow(dead_code)]
mod stats;
#[path = "../../tests/support/mod.rs"]
mod support;

use support::operator::World;

/// Objects that are applied at once.
pub fn objects() -> usize {
    of_environment("KNOTWORK_BENCH_OBJECTS", 10_000)
}

/// Rounds; the best counts where others use the machine too.
pub fn rounds() -> usize {
    of_environment("KNOTWORK_BENCH_ROUNDS", 3)
}

fn of_environment(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// The runtime of the clients.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime")
}

fn main() {
    if let Some(kubeconfig) = std::env::var_os("KNOTWORK_BENCH_CHILD") {
        return bare::store_child(kubeconfig.as_ref());
    }
    let wanted = page::Wanted::read(&["at-once", "rest", "single"]);
    if wanted.has("at-once") || wanted.has("rest") {
        let (at_once, rest) = at_once::run(wanted.has("rest"));
        wanted.tell("at-once", &at_once);
        if let Some(rest) = rest {
            wanted.tell("rest", &rest);
        }
    }
    if wanted.has("single") {
        wanted.tell("single", &single::run());
    }
}

/// A cluster and a Knot, or the end: without them nothing can be measured.
pub fn world() -> World {
    World::start().unwrap_or_else(|| {
        eprintln!(
            "Knot, etcd or the API server is missing here (`tests/parts/install` installs them): nothing was measured"
        );
        std::process::exit(1)
    })
}
