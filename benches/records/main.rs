//! What the record engine costs, against peers on the same work in one run, on a real Knot on loopback.
//!
//! `cargo bench --bench records` runs every part; `cargo bench --bench records -- plan view` those named. With
//! `--write` the tables go into `docs/performance.md`, each into the place of its name. A part whose peer is missing
//! says so in its table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod first_apply;
mod lab;
mod page;
mod pass;
mod peers;
mod plan;
mod relay;
mod repair;
mod stats;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
mod view;
mod watch;

/// A part: its name, and what gives its table.
type Part = (&'static str, fn(&support::parts::Program) -> String);

const PARTS: &[Part] = &[
    ("plan", plan::run),
    ("view", view::run),
    ("idle", pass::idle),
    ("watch", watch::run),
    ("first-apply", first_apply::run),
    ("peers", peers::run),
    ("repair", repair::run),
    ("table", table::run),
];

fn main() {
    if let Some(task) = std::env::var_os("KNOTWORK_BENCH_CHILD") {
        return view::child(&task.to_string_lossy());
    }
    let wanted = page::Wanted::read(&PARTS.iter().map(|(part, _)| *part).collect::<Vec<_>>());
    let Some(knot) = support::parts::find("knot") else {
        eprintln!("knotd is missing on this machine (`tests/parts/install` installs it): nothing was measured");
        std::process::exit(1);
    };
    for (name, part) in PARTS.iter().filter(|(name, _)| wanted.has(name)) {
        wanted.tell(name, &part(&knot));
    }
}
