//! Bodies of every shape as ExternalDNS 0.22, 0.16 and 0.14 send them, replayed against the webhook and a real Knot.
//!
//! `KNOTWORK_EXTERNAL_DNS=0.14 cargo test --test external_dns_bodies record -- --ignored` records those of a line anew (without
//! the variable: of the newest), each with the zone as it was afterwards, below `tests/bodies/`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use support::external::{Lab, PREFIX, endpoint, owned};
use support::webhook::http;
use support::{parts, site};

/// What is wished, step by step: a life of every type, in names of every kind.
fn steps() -> Vec<(&'static str, Vec<Value>)> {
    let long = format!("{}.internal", "x".repeat(63));
    // An address for which there is no reverse zone: PTRs come after their request, and have a suite of their own.
    let mut told = endpoint("two.internal", "A", 60, &["192.0.2.7"]);
    told["setIdentifier"] = "blue".into();
    told["providerSpecific"] = serde_json::json!([{"name": "webhook/ptr", "value": "true"}]);
    let all = vec![
        endpoint("www.internal", "A", 60, &["10.0.0.2", "10.0.0.1"]),
        endpoint("www.internal", "AAAA", 60, &["2001:db8::1"]),
        endpoint("internal", "A", 0, &["10.0.0.9"]),
        endpoint("alias.internal", "CNAME", 60, &["LB.example.net"]),
        endpoint("*.apps.internal", "A", 0, &["10.0.0.3"]),
        endpoint("MiXed.Internal", "A", 60, &["10.0.0.4"]),
        endpoint("bücher.internal", "A", 60, &["10.0.0.5"]),
        endpoint(&long, "A", 60, &["10.0.0.6"]),
        endpoint("mail.internal", "MX", 60, &["10 mx1.example.net", "20 mx2.example.net"]),
        endpoint("_sip._tcp.internal", "SRV", 60, &["0 50 5060 sip.example.net."]),
        endpoint("text.internal", "TXT", 60, &["v=spf1 -all"]),
        endpoint("4.4.internal", "NAPTR", 60, &["100 50 \"u\" \"sip+E2U\" \"\" sip.example.net."]),
        endpoint("9.0.0.10.in-addr.arpa", "PTR", 60, &["www.internal"]),
        told,
    ];
    let mut changed = all.clone();
    changed[0]["targets"] = serde_json::json!(["10.0.0.8"]);
    changed[1]["recordTTL"] = 120.into();
    changed[3] = endpoint("alias.internal", "A", 60, &["10.0.0.11"]);
    changed[13]["setIdentifier"] = "green".into();
    let fewer = changed[..4].to_vec();
    vec![("create", all), ("change", changed), ("fewer", fewer), ("nothing", Vec::new())]
}

fn line() -> String {
    parts::external_dns_line().unwrap_or_else(|| "0.22".to_owned())
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bodies")
}

/// All that is in the zones but what is made anew each time: serials and fences.
fn zones(addr: std::net::SocketAddr) -> String {
    let all = ["internal", "10.in-addr.arpa"].map(|zone| site::zone(addr, zone)).concat();
    let mut lines: Vec<String> = all.into_iter().filter(|line| !line.contains("heritage=knotwork,instance=")).collect();
    lines.sort();
    lines.join("\n") + "\n"
}

/// What was posted: path and body.
type Posted = Mutex<Vec<(String, String)>>;

/// Passes requests on, and keeps what is posted.
fn recorder(to: u16) -> (u16, Arc<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, kept) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&kept);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || pass_on(stream.unwrap(), to, &log));
        }
    });
    (port, kept)
}

fn pass_on(mut stream: TcpStream, to: u16, log: &Posted) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let header = header.trim().to_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if header.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let mut words = first.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        if method == "POST" {
            log.lock().unwrap().push((path.trim_matches('/').to_owned(), body.clone()));
        }
        let (status, _, answer) = http(to, method, path, &body);
        let media = "application/external.dns.webhook+json;version=1";
        let text =
            format!("HTTP/1.1 {status} x\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        let text = if status == 204 { format!("HTTP/1.1 204 x\r\nContent-Type: {media}\r\n\r\n") } else { text };
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
#[ignore = "records the fixtures anew"]
fn record() {
    let lab = Lab::start().expect("all parts");
    lab.configure(&format!("prefix: \"{PREFIX}\""), "owner: me", ", brake: {atLeast: 1000}");
    let webhook = lab.webhook("webhook", &[]);
    let (port, log) = recorder(webhook.port());
    let folder = home().join(line());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let url = format!("--webhook-provider-url=http://127.0.0.1:{port}");
    let flags = owned(&["--provider=webhook", &url, "--txt-owner-id=me", &format!("--txt-prefix={PREFIX}")]);
    for (number, (step, feed)) in steps().into_iter().enumerate() {
        lab.feed(&feed);
        let ran = lab.once(&[lab.common(), flags.clone()].concat());
        assert!(ran.ok, "{}", ran.log);
        for (path, body) in std::mem::take(&mut *log.lock().unwrap()) {
            std::fs::write(folder.join(format!("{number}-{step}.{path}.json")), body + "\n").unwrap();
        }
        std::fs::write(folder.join(format!("{number}-{step}.zone")), zones(lab.knot.addr)).unwrap();
    }
}

#[test]
fn recorded_bodies_come_to_the_recorded_zones() {
    for line in ["0.22", "0.16", "0.14"] {
        let Some(lab) = Lab::without_external_dns() else { return };
        lab.configure(&format!("prefix: \"{PREFIX}\""), "owner: me", ", brake: {atLeast: 1000}");
        let webhook = lab.webhook("webhook", &[]);
        let folder = home().join(line);
        for (number, (step, _)) in steps().iter().enumerate() {
            let read = |kind: &str| std::fs::read_to_string(folder.join(format!("{number}-{step}.{kind}")));
            let wish = read("adjustendpoints.json").unwrap();
            let (status, _, once) = http(webhook.port(), "POST", "/adjustendpoints", &wish);
            assert_eq!(status, 200, "{line} {step}: {once}");
            let (_, _, twice) = http(webhook.port(), "POST", "/adjustendpoints", &once);
            assert_eq!(once, twice, "{line} {step}");
            let changes = read("records.json").unwrap();
            let applied = |times: &str| {
                let (status, _, words) = http(webhook.port(), "POST", "/records", &changes);
                assert_eq!(status, 204, "{line} {step} {times}: {words}");
                assert_eq!(zones(lab.knot.addr), read("zone").unwrap(), "{line} {step} {times}");
            };
            applied("once");
            let serials = lab.serials();
            applied("again");
            assert_eq!(lab.serials(), serials, "{line} {step}: what is so already is not sent");
        }
    }
}
