//! What the record engine costs, against peers on the same work in one run, on a real Knot on loopback.
//!
//! `cargo bench --bench records` runs every part; `cargo bench --bench records -- plan view` those named. With
//! `--write` the tables go into `docs/performance.md`, each into the place of its name. A part whose peer is missing
//! says so in its table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod first_apply;
mod lab;
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

use std::path::Path;

/// A part: its name, and what gives its table.
type Part = (&'static str, fn(&support::parts::Program) -> String);

const PARTS: &[Part] = &[
    ("plan", plan::run),
    ("view", view::run),
    ("idle", pass::idle),
    ("first-apply", first_apply::run),
    ("peers", peers::run),
    ("repair", repair::run),
    ("table", table::run),
];

fn main() {
    if let Some(task) = std::env::var_os("KNOTWORK_BENCH_CHILD") {
        return view::child(&task.to_string_lossy());
    }
    // Cargo passes `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let write = args.iter().any(|arg| arg == "--write");
    let wanted: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with("--")).collect();
    if let Some(stranger) = wanted.iter().find(|name| !PARTS.iter().any(|(part, _)| part == *name)) {
        let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        eprintln!("there is no part `{stranger}`; the parts are {}", known.join(", "));
        std::process::exit(2);
    }
    let Some(knot) = support::parts::find("knot") else {
        eprintln!("knotd is missing on this machine (`tests/parts/install` installs it): nothing was measured");
        std::process::exit(1);
    };
    for (name, part) in PARTS {
        if !wanted.is_empty() && !wanted.contains(name) {
            continue;
        }
        let table = part(&knot);
        println!("## {name}\n\n{table}");
        if write {
            put(name, &table);
        }
    }
}

/// Puts a table between its marks in `docs/performance.md`.
fn put(name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let text = std::fs::read_to_string(&path).expect("docs/performance.md");
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let from = text.find(&open).unwrap_or_else(|| panic!("docs/performance.md has no {open}")) + open.len();
    let to = from + text[from..].find(&close).unwrap_or_else(|| panic!("docs/performance.md has no {close}"));
    std::fs::write(&path, format!("{}{}\n{}", &text[..from], table.trim_end(), &text[to..])).expect("written");
}
