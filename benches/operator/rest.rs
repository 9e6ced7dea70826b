//! What the operator costs while nothing happens: processor, calls, memory.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::process;
use crate::stats::number;
use crate::support::operator::{Operator, World};

const WATCHED: Duration = Duration::from_secs(60);

/// What was measured.
pub struct Rest {
    cpu: f64,
    calls: f64,
    none: i64,
    all: i64,
    store: i64,
}

/// Waits until nothing is written any more, and watches. `none`: its memory before there was any object.
pub fn run(world: &World, operator: &Operator, none: i64, count: usize) -> Rest {
    let calls = || operator.sum("knotwork_operator_api_calls_total", "");
    let mut rest = (calls(), Instant::now());
    // Zones tell a serial that moved after some seconds.
    while rest.1.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(500));
        if calls() != rest.0 {
            rest = (calls(), Instant::now());
        }
    }
    let (before, cpu, from) = (calls(), process::cpu(operator.pid()), Instant::now());
    std::thread::sleep(WATCHED);
    let cpu = (process::cpu(operator.pid()) - cpu).as_secs_f64() / from.elapsed().as_secs_f64();
    let calls = calls() - before;
    let all = process::memory(operator.pid());
    let child = Command::new(std::env::current_exe().expect("this program"))
        .env("KNOTWORK_BENCH_CHILD", world.cluster.kubeconfig())
        .output()
        .expect("a child");
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let numbers: Vec<i64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers.len() == 3 && numbers[2] == count as i64, "{said}{}", String::from_utf8_lossy(&child.stderr));
    Rest { cpu, calls, none, all, store: numbers[1] - numbers[0] }
}

impl Rest {
    /// The table.
    pub fn table(&self, count: usize) -> String {
        let each = |kib: i64| kib as f64 / count as f64;
        format!(
            "| objects | processor, of one core | calls besides the Lease | memory without objects | with them | kube's store of them | beyond that, each |\n\
             |---|---|---|---|---|---|---|\n\
             | {} | {:.2} % | {} | {:.1} MiB | {:.1} MiB | {:.1} MiB | {:.2} KiB |\n\n\
             Over {} s in which nothing changed. \"kube's store\": what a process grows by that lists the same objects into a map of \
             whole objects, as kube's reflector keeps them. Memory is what is resident right after all of them were applied at once.\n",
            number(count),
            self.cpu * 100.0,
            self.calls,
            self.none as f64 / 1024.0,
            self.all as f64 / 1024.0,
            self.store as f64 / 1024.0,
            each(self.all - self.none - self.store),
            WATCHED.as_secs(),
        )
    }
}
