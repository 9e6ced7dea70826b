//! One idle loop of ExternalDNS: the list, and the adjustment of all that is wished.

use std::fmt::Write as _;
use std::time::Duration;

use crate::lab::{ENDPOINTS, Provider, host, knot, nsupdate};
use crate::process::{cpu, memory};
use crate::stats::{median, number, ratio, show};
use crate::support::parts::Program;

const ROUNDS: usize = 9;

/// What was measured of one of them.
struct Found {
    list: Duration,
    work: Duration,
    moved: Duration,
    adjust: Duration,
    octets: usize,
    memory: i64,
}

/// The table.
pub fn run(program: &Program) -> String {
    let knot = knot(program, ENDPOINTS);
    let wish: Vec<String> = (0..ENDPOINTS)
        .map(|index| {
            let (name, address) = host(index);
            format!(r#"{{"dnsName":"{name}","targets":["{address}"],"recordType":"A","labels":{{"resource":"service/default/www"}}}}"#)
        })
        .collect();
    let wish = format!("[{}]", wish.join(","));
    let measure = |provider: &Provider| {
        let (mut lists, mut moved, mut adjusts) = (Vec::new(), Vec::new(), Vec::new());
        let (status, octets, _) = provider.ask("GET", "/records", "");
        assert_eq!(status, 200);
        let before = cpu(provider.pid());
        for _ in 0..ROUNDS {
            lists.push(provider.ask("GET", "/records", "").2);
        }
        let work = (cpu(provider.pid()) - before) / ROUNDS as u32;
        for round in 0..ROUNDS {
            nsupdate(knot.addr, &format!("update delete kea.internal A\nupdate add kea.internal 300 A 10.9.9.{round}"));
            moved.push(provider.ask("GET", "/records", "").2);
        }
        for _ in 0..ROUNDS {
            let (status, _, took) = provider.ask("POST", "/adjustendpoints", &wish);
            assert_eq!(status, 200);
            adjusts.push(took);
        }
        Found {
            list: median(&lists),
            work,
            moved: median(&moved),
            adjust: median(&adjusts),
            octets,
            memory: memory(provider.pid()),
        }
    };
    let ours = measure(&Provider::ours(knot.addr));
    let theirs = Provider::in_tree(knot.addr).map(|provider| measure(&provider));
    let mut out = String::from("| | Knotwork | rfc2136 of ExternalDNS 0.22.0 | times |\n|---|---|---|---|\n");
    let mut row = |what: &str, of: &dyn Fn(&Found) -> Duration| {
        let _ = match &theirs {
            Some(theirs) => {
                writeln!(
                    out,
                    "| {what} | {} | {} | {:.1} |",
                    show(of(&ours)),
                    show(of(theirs)),
                    ratio(of(theirs), of(&ours))
                )
            }
            None => writeln!(out, "| {what} | {} | missing on this machine | |", show(of(&ours))),
        };
    };
    row("`GET /records`, nothing changed", &|found| found.list);
    row("its processor time in the provider", &|found| found.work);
    row("`GET /records` right after somebody else's change", &|found| found.moved);
    row("`POST /adjustendpoints`", &|found| found.adjust);
    row("an idle loop: both", &|found| found.list + found.adjust);
    let mib = |found: &Found| format!("{:.0} MiB", found.memory as f64 / 1024.0);
    let _ =
        writeln!(out, "| memory after that | {} | {} | |", mib(&ours), theirs.as_ref().map(mib).unwrap_or_default());
    let _ = writeln!(
        out,
        "\n{} A records with their ownership TXTs; the list has {} octets. Median of {ROUNDS}; ExternalDNS's own provider answers as \
         `external-dns --webhook-server`, and transfers the zone for each list.",
        number(ENDPOINTS),
        number(ours.octets)
    );
    out
}
