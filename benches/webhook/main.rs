//! What the webhook costs in a zone of 100,000 endpoints with their ownership TXTs, beside ExternalDNS's own rfc2136 provider
//! (`external-dns --webhook-server --provider=rfc2136`), asked the same over the same protocol, on a real Knot on loopback.
//!
//! `cargo bench --bench webhook` runs every part; `-- list` the one that is named; with `--write` the tables go into
//! `docs/performance.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod apply;
mod idle;
mod lab;
#[path = "../records/page.rs"]
mod page;
#[path = "../operator/process.rs"]
mod process;
#[path = "../records/stats.rs"]
mod stats;
#[path = "../../tests/support/mod.rs"]
mod support;

fn main() {
    let wanted = page::Wanted::read(&["webhook-idle", "webhook-apply"]);
    let Some(knot) = support::parts::find("knot") else {
        eprintln!("knotd is missing on this machine (`tests/parts/install` installs it): nothing was measured");
        std::process::exit(1);
    };
    if wanted.has("webhook-idle") {
        wanted.tell("webhook-idle", &idle::run(&knot));
    }
    if wanted.has("webhook-apply") {
        wanted.tell("webhook-apply", &apply::run(&knot));
    }
}
