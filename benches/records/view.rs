//! A view of a million records from AXFR, in a process of its own so that its memory can be told.

use std::process::Command;
use std::time::{Duration, Instant};

use knotwork::dns::xfr::Transfer;

use crate::lab;
use crate::stats::{median, number, show};
use crate::support::engine::{n, server};
use crate::support::parts::Program;

const ROUNDS: usize = 5;

/// The table: a million records, half of them markers.
pub fn run(knot: &Program) -> String {
    let claims = lab::claims(500_000, |_| 0);
    let server = lab::knot(knot, Some(&claims));
    drop(claims);
    let (mut times, mut memory, mut records) = (Vec::new(), 0, 0);
    for _ in 0..ROUNDS {
        let out = Command::new(std::env::current_exe().expect("this program"))
            .env("KNOTWORK_BENCH_CHILD", server.addr.to_string())
            .output()
            .expect("child");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut words = text.split_whitespace().map(|word| word.parse::<u64>().expect("a number"));
        let mut next = || words.next().unwrap_or_else(|| panic!("{out:?}"));
        times.push(Duration::from_micros(next()));
        memory = next().max(memory);
        records = next();
    }
    format!(
        "| records | AXFR to view | most memory of the process |\n|---|---|---|\n| {} | {} | {:.0} MB |\n\n\
         Half are A records, half ownership TXT. Signed by Knot, every message verified; Knot's own time to send is in it. \
         Median of {ROUNDS}.\n",
        number(records as usize),
        show(median(&times)),
        memory as f64 / 1024.0,
    )
}

/// Reads the zone at `addr` and prints microseconds, KiB and records.
pub fn child(addr: &str) {
    let server = server(addr.parse().expect("address"));
    let (took, view) = lab::runtime().block_on(async {
        let session = server.session(0).expect("one address");
        let from = Instant::now();
        match session.transfer(&n("internal"), None).await {
            Ok(Transfer::Full(view)) => (from.elapsed(), view),
            other => panic!("{other:?}"),
        }
    });
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let records: usize = view.sets().map(|(_, _, set)| set.len()).sum();
    println!("{} {} {records}", took.as_micros(), peak.trim().trim_end_matches(" kB"));
}
