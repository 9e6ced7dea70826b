//! One idle loop of ExternalDNS: the list, and the adjustment of all that is wished.

use std::fmt::Write as _;
use std::time::Duration;

use crate::lab::{ENDPOINTS, LONGEST, Provider, host, knot, nsupdate};
use crate::process::{cpu, memory};
use crate::stats::{median, number, ratio, show};
use crate::support::knot::Knot;
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
    let mut out =
        String::from("| endpoints | | Knotwork | rfc2136 of ExternalDNS 0.22.0 | times |\n|---|---|---|---|---|\n");
    for count in [ENDPOINTS / 10, ENDPOINTS] {
        let server = knot(program, count);
        let ours = measure(&server, count, &Provider::ours(server.addr)).expect("ours answers");
        eprintln!("{count}: ours has {} octets", ours.octets);
        let theirs = Provider::in_tree(server.addr).map(|provider| measure(&server, count, &provider));
        let mut row = |what: &str, of: &dyn Fn(&Found) -> Duration| {
            let mine = show(of(&ours));
            let _ = match &theirs {
                Some(Some(theirs)) => {
                    let times = ratio(of(theirs), of(&ours));
                    writeln!(out, "| {} | {what} | {mine} | {} | {times:.1} |", number(count), show(of(theirs)))
                }
                Some(None) => writeln!(
                    out,
                    "| {} | {what} | {mine} | no list within {} | over {:.0} |",
                    number(count),
                    show(LONGEST),
                    ratio(LONGEST, ours.list + ours.adjust)
                ),
                None => writeln!(out, "| {} | {what} | {mine} | missing on this machine | |", number(count)),
            };
        };
        row("`GET /records`, nothing changed", &|found| found.list);
        row("its processor time in the provider", &|found| found.work);
        row("`GET /records` right after somebody else's change", &|found| found.moved);
        row("`POST /adjustendpoints`", &|found| found.adjust);
        row("an idle loop: both", &|found| found.list + found.adjust);
        let mib = |found: &Found| format!("{:.0} MiB", found.memory as f64 / 1024.0);
        let memory = theirs.as_ref().and_then(|found| found.as_ref()).map(mib).unwrap_or_default();
        let _ = writeln!(out, "| {} | memory after that | {} | {memory} | |", number(count), mib(&ours));
    }
    out + &format!(
        "\nA records with their ownership TXTs, so twice as many records. Median of {ROUNDS}; ExternalDNS's own provider answers as \
         `external-dns --webhook-server`. It transfers the zone for each list, and merges it in a time that grows with its square.\n"
    )
}

/// `None` where it gives no list in time.
fn measure(server: &Knot, count: usize, provider: &Provider) -> Option<Found> {
    let wish: Vec<String> = (0..count)
        .map(|index| {
            let (name, address) = host(index);
            format!(r#"{{"dnsName":"{name}","targets":["{address}"],"recordType":"A","labels":{{"resource":"service/default/www"}}}}"#)
        })
        .collect();
    let wish = format!("[{}]", wish.join(","));
    let (status, octets, _) = provider.ask("GET", "/records", "");
    if status == 0 {
        return None;
    }
    assert_eq!(status, 200);
    let ask = |method: &str, path: &str, body: &str| {
        let (status, _, took) = provider.ask(method, path, body);
        assert_eq!(status, 200, "{method} {path}");
        took
    };
    let before = cpu(provider.pid());
    let lists: Vec<Duration> = (0..ROUNDS).map(|_| ask("GET", "/records", "")).collect();
    let work = (cpu(provider.pid()) - before) / ROUNDS as u32;
    let change = |round: usize| format!("update delete kea.internal A\nupdate add kea.internal 300 A 10.9.9.{round}");
    let moved: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            nsupdate(server.addr, &change(round));
            ask("GET", "/records", "")
        })
        .collect();
    let adjusts: Vec<Duration> = (0..ROUNDS).map(|_| ask("POST", "/adjustendpoints", &wish)).collect();
    let [list, moved, adjust] = [&lists, &moved, &adjusts].map(|times| median(times));
    Some(Found { list, work, moved, adjust, octets, memory: memory(provider.pid()) })
}
