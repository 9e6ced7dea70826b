//! A thousand new endpoints in one request.

use std::fmt::Write as _;

use crate::lab::{ENDPOINTS, MARK, Provider, knot, serial};
use crate::stats::{number, ratio, show};
use crate::support::parts::Program;

const MANY: usize = 1000;

/// The table.
pub fn run(program: &Program) -> String {
    let create: Vec<String> = (0..MANY)
        .map(|index| {
            let name = format!("new{index}.internal");
            format!(
                r#"{{"dnsName":"{name}","targets":["10.200.0.1"],"recordType":"A","recordTTL":300,"labels":{{"owner":"me","resource":"service/default/www"}}}},{{"dnsName":"edns-a.{name}","targets":["\"{MARK}\""],"recordType":"TXT","labels":{{"ownedRecord":"{name}"}}}}"#
            )
        })
        .collect();
    let body = format!(r#"{{"create":[{}]}}"#, create.join(","));
    let mut out = String::from("| zone | provider | time | commits | as many times ours |\n|---|---|---|---|---|\n");
    for count in [0, ENDPOINTS] {
        let measure = |provider: &Provider, addr| {
            let before = serial(addr);
            let (status, _, took) = provider.ask("POST", "/records", &body);
            assert_eq!(status, 204, "the endpoints are taken");
            (took, serial(addr) - before)
        };
        let server = knot(program, count);
        let (ours, commits) = measure(&Provider::ours(server.addr), server.addr);
        let zone = format!("{} endpoints", number(count));
        let _ = writeln!(out, "| {zone} | Knotwork | {} | {commits} | 1.0 |", show(ours));
        let server = knot(program, count);
        let _ = match Provider::in_tree(server.addr) {
            None => writeln!(out, "| {zone} | rfc2136 of ExternalDNS | missing on this machine | | |"),
            Some(provider) => {
                let (took, commits) = measure(&provider, server.addr);
                writeln!(
                    out,
                    "| {zone} | rfc2136 of ExternalDNS 0.22.0 | {} | {commits} | {:.1} |",
                    show(took),
                    ratio(took, ours)
                )
            }
        };
    }
    let _ = writeln!(
        out,
        "\n{} A records with their ownership TXTs in one `POST /records`, from the request to its 204, on a Knot with its default \
         settings. Ours has read every record back by then. The first commit of ours also writes its fence.",
        number(MANY)
    );
    out
}
