//! What the host engine costs: pure parts, and the real binary on booted machines with a real systemd-resolved.
//!
//! `cargo bench --bench hosts` runs every part; `cargo bench --bench hosts -- route` those named. With `--write` the tables
//! go into `docs/performance.md`. Nothing of the machine that measures is changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod idle;
#[path = "../records/page.rs"]
mod page;
mod plan;
mod route;
mod settled;
#[path = "../records/stats.rs"]
#[allow(dead_code)]
mod stats;
#[path = "../../tests/support/mod.rs"]
mod support;
mod worlds;

/// A part: its name, and what gives its table.
type Part = (&'static str, fn() -> String);

const PARTS: &[Part] =
    &[("route", route::run), ("host-plan", plan::run), ("settled", settled::run), ("agent", idle::run)];

fn main() {
    // A lab started this program again, as the servers on the machine's far side.
    if std::env::var_os("KNOTWORK_LAB_UPSTREAM").is_some() {
        return support::machine::serve();
    }
    let wanted = page::Wanted::read(&PARTS.iter().map(|(part, _)| *part).collect::<Vec<_>>());
    for (name, part) in PARTS.iter().filter(|(name, _)| wanted.has(name)) {
        wanted.tell(name, &part());
    }
}
