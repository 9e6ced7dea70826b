//! Four writers on the same names of one real Knot zone for thirty seconds (five minutes in `./test full`): Kea's documented flow, an ExternalDNS-like
//! writer, ourselves and a second Knotwork with another owner. With our guards nobody's record is touched; with the guards
//! taken out the same test must find damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use knotwork::dns::Rcode;
use knotwork::model::RrType;
use support::knot::{KEYS, Knot};
use support::parts;
use support::writer::{Writer, absent, add, equals, in_use, not_in_use, remove, wipe};

/// Names that Kea and both Knotworks want, and names that ExternalDNS and both Knotworks want.
const NAMES: usize = 12;

/// How long the race lasts; with our guards it is what `./test full` is for.
fn length(guarded: bool) -> Duration {
    let long = guarded && parts::tier() == parts::Tier::Full;
    Duration::from_secs(if long { 300 } else { 30 })
}

fn kea_name(i: usize) -> String {
    format!("k{i}.internal")
}
fn xdns_name(i: usize) -> String {
    format!("x{i}.internal")
}

/// A small generator, so that writers do not march in step.
struct Dice(u64);
impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

#[derive(Default)]
struct Tally {
    kea_leases: AtomicUsize,
    kea_damage: AtomicUsize,
    xdns_records: AtomicUsize,
    xdns_damage: AtomicUsize,
    runs: AtomicUsize,
    changes: AtomicUsize,
}

/// Kea D2, check-with-dhcid (knot.md §5.1): add, check that it is still there, remove.
fn kea(addr: SocketAddr, stop: &AtomicBool, tally: &Tally, seed: u64) {
    let mut writer = Writer::connect(addr, "kea-ddns", "internal");
    let mut dice = Dice(seed);
    while !stop.load(Ordering::Relaxed) {
        let owner = kea_name(dice.roll(NAMES));
        let dhcid = format!("AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2k{seed}{seed}A=");
        let ip = format!("10.101.{}.{}", seed, 1 + dice.roll(250));
        let both = vec![add(&owner, 1200, RrType::A, &ip), add(&owner, 1200, RrType::DHCID, &dhcid)];
        match writer.update(vec![not_in_use(&owner)], both) {
            Rcode::NOERROR => {}
            Rcode::YXDOMAIN => continue,
            other => panic!("Kea's add got {other:?}"),
        }
        tally.kea_leases.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(5 + dice.roll(60) as u64));
        if writer.values(&owner, RrType::A) != [ip.clone()] || writer.values(&owner, RrType::DHCID).len() != 1 {
            tally.kea_damage.fetch_add(1, Ordering::Relaxed);
        }
        let own = equals(&owner, RrType::DHCID, &dhcid);
        writer.update(vec![in_use(&owner), own.clone()], vec![remove(&owner, RrType::A, &ip)]);
        let gone = vec![own, absent(&owner, RrType::A), absent(&owner, RrType::AAAA)];
        writer.update(gone, vec![wipe(&owner, RrType::ANY)]);
    }
}

/// ExternalDNS's rfc2136 provider: reads, then creates and removes by value with no prerequisite at all.
fn external_dns(addr: SocketAddr, stop: &AtomicBool, tally: &Tally) {
    let mut writer = Writer::connect(addr, "externaldns", "internal");
    let mut dice = Dice(99);
    let text = "\"heritage=external-dns,external-dns/owner=k8s,external-dns/resource=service/default/x\"";
    while !stop.load(Ordering::Relaxed) {
        let owner = xdns_name(dice.roll(NAMES));
        let sign = format!("k8s.a-{owner}");
        let ip = format!("10.102.0.{}", 1 + dice.roll(250));
        if !writer.values(&owner, RrType::A).is_empty() {
            continue;
        }
        writer.update(vec![], vec![add(&owner, 300, RrType::A, &ip), add(&sign, 300, RrType::TXT, text)]);
        tally.xdns_records.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(5 + dice.roll(60) as u64));
        if !writer.values(&owner, RrType::A).contains(&ip) || writer.values(&sign, RrType::TXT).is_empty() {
            tally.xdns_damage.fetch_add(1, Ordering::Relaxed);
        }
        writer.update(vec![], vec![remove(&owner, RrType::A, &ip), remove(&sign, RrType::TXT, text)]);
    }
}

/// One Knotwork: random worlds, each applied by the real binary as the whole world.
fn knotwork(dir: &Path, octet: u8, stop: &AtomicBool, tally: &Tally, guarded: bool) {
    let mut dice = Dice(u64::from(octet));
    let records = dir.join("records");
    while !stop.load(Ordering::Relaxed) {
        let _ = std::fs::remove_dir_all(&records);
        std::fs::create_dir(&records).expect("folder");
        for owner in (0..NAMES).flat_map(|i| [kea_name(i), xdns_name(i)]) {
            if dice.roll(2) == 0 {
                let object = owner.replace('.', "-");
                let text = format!(
                    "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {{name: {object}}}\n\
                     spec: {{name: {owner}, a: [10.{octet}.0.{}]}}\n",
                    1 + dice.roll(3)
                );
                std::fs::write(records.join(format!("{object}.yaml")), text).expect("manifest");
            }
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_knotwork"));
        command.args(["apply", "--prune", "--allow-empty", "-o", "json", "-c"]).arg(dir.join("knotwork.yaml"));
        command.arg("-f").arg(&records).stdin(Stdio::null());
        if !guarded {
            command.env("KNOTWORK_TEST_NO_GUARDS", "1");
        }
        let out = command.output().expect("knotwork runs");
        let code = out.status.code();
        assert!(matches!(code, Some(0 | 3)), "{code:?}: {}", String::from_utf8_lossy(&out.stderr));
        tally.runs.fetch_add(1, Ordering::Relaxed);
        let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
        for zone in json["zones"].as_array().expect("zones") {
            tally.changes.fetch_add(zone["changes"].as_array().map_or(0, Vec::len), Ordering::Relaxed);
        }
    }
}

fn installation(owner: &str, key: &str, addr: SocketAddr) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temp dir");
    let secret = KEYS.iter().find(|(id, _)| *id == key).expect("key").1;
    std::fs::write(dir.path().join("key.b64"), secret).expect("key");
    let config = format!(
        "owner: {owner}\ninstance: {owner}-1\nservers:\n  - name: knot\n    address: {addr}\n    \
         tsig: {{name: {key}, algorithm: hmac-sha256, secretFile: key.b64}}\n    zones:\n      \
         - {{name: internal, externalDns: [{{prefix: \"k8s.\"}}], brake: {{percent: 100, atLeast: 100000}}}}\n"
    );
    std::fs::write(dir.path().join("knotwork.yaml"), config).expect("config");
    dir
}

/// States of names of Kea's that two parties owned at once, found in the server's own history.
fn mixed_states(addr: SocketAddr, from: u32) -> (usize, BTreeSet<String>) {
    let key = format!("hmac-sha256:{}:{}", KEYS[0].0, KEYS[0].1);
    let out = Command::new("dig")
        .args(["@127.0.0.1", "-p", &addr.port().to_string(), "-y", &key])
        .args(["+nocmd", "+nocomments", "+nostats", &format!("IXFR={from}"), "internal"])
        .output()
        .expect("dig runs");
    let text = String::from_utf8_lossy(&out.stdout);
    let mut soas = 0;
    let mut state: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    let mut counts: BTreeMap<(String, &'static str), i64> = BTreeMap::new();
    let mut mixed = BTreeSet::new();
    let mut touched: BTreeSet<String> = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with(';') && !line.trim().is_empty()) {
        let parts: Vec<&str> = line.split_whitespace().collect();
        if parts.len() < 5 {
            continue;
        }
        if parts[3] == "SOA" {
            // Old SOA, then removals; new SOA, then additions; the next old SOA ends the change.
            soas += 1;
            if soas % 2 == 0 {
                for owner in std::mem::take(&mut touched) {
                    let who = state.entry(owner.clone()).or_default();
                    who.clear();
                    for party in ["kea", "home", "other"] {
                        if counts.get(&(owner.clone(), party)).copied().unwrap_or(0) > 0 {
                            who.insert(party);
                        }
                    }
                    if who.len() > 1 {
                        mixed.insert(format!("{owner}: {who:?}"));
                    }
                }
            }
            continue;
        }
        let owner = parts[0].strip_prefix("_knotwork.").unwrap_or(parts[0]).to_owned();
        if !owner.starts_with('k') || owner.starts_with("k8s.") {
            continue;
        }
        let party = match (parts[3], parts[4]) {
            ("DHCID", _) => "kea",
            ("A", ip) if ip.starts_with("10.101.") => "kea",
            ("A", ip) if ip.starts_with("10.103.") => "home",
            ("A", ip) if ip.starts_with("10.104.") => "other",
            ("TXT", _) if line.contains("owner=home") => "home",
            ("TXT", _) if line.contains("owner=other") => "other",
            _ => continue,
        };
        let adding = soas % 2 == 1 && soas > 1;
        *counts.entry((owner.clone(), party)).or_insert(0) += if adding { 1 } else { -1 };
        touched.insert(owner);
    }
    (soas / 2, mixed)
}

fn race(guarded: bool) -> Option<(Tally, usize, BTreeSet<String>)> {
    let program = parts::need("knot")?;
    let knot = Knot::start(&program);
    let addr = knot.addr;
    let stop = AtomicBool::new(false);
    let tally = Tally::default();
    let first = installation("home", "operator", addr);
    let second = installation("other", "other", addr);
    let dirs: [PathBuf; 2] = [first.path().to_owned(), second.path().to_owned()];
    std::thread::scope(|scope| {
        let (stop, tally) = (&stop, &tally);
        scope.spawn(move || kea(addr, stop, tally, 3));
        scope.spawn(move || kea(addr, stop, tally, 7));
        scope.spawn(move || external_dns(addr, stop, tally));
        let (a, b) = (&dirs[0], &dirs[1]);
        scope.spawn(move || knotwork(a, 103, stop, tally, guarded));
        scope.spawn(move || knotwork(b, 104, stop, tally, guarded));
        let start = Instant::now();
        while start.elapsed() < length(guarded) {
            std::thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (commits, mixed) = mixed_states(addr, 1);
    eprintln!(
        "guards {}: {} runs, {} changes, {} leases ({} damaged), {} ExternalDNS records ({} damaged), {commits} commits, {} mixed states",
        if guarded { "on" } else { "off" },
        tally.runs.load(Ordering::Relaxed),
        tally.changes.load(Ordering::Relaxed),
        tally.kea_leases.load(Ordering::Relaxed),
        tally.kea_damage.load(Ordering::Relaxed),
        tally.xdns_records.load(Ordering::Relaxed),
        tally.xdns_damage.load(Ordering::Relaxed),
        mixed.len(),
    );
    Some((tally, commits, mixed))
}

#[test]
fn guarded_writers_harm_nobody() {
    let Some((tally, commits, mixed)) = race(true) else { return };
    assert!(tally.kea_leases.load(Ordering::Relaxed) > 50, "Kea hardly ever got a name");
    assert!(tally.xdns_records.load(Ordering::Relaxed) > 50, "ExternalDNS hardly ever got a name");
    assert!(tally.changes.load(Ordering::Relaxed) > 100 && commits > 100, "hardly anything happened");
    assert_eq!(tally.kea_damage.load(Ordering::Relaxed), 0);
    assert_eq!(tally.xdns_damage.load(Ordering::Relaxed), 0);
    assert!(mixed.is_empty(), "{mixed:#?}");
}

#[test]
fn without_guards_the_same_race_does_damage() {
    let Some((tally, _, mixed)) = race(false) else { return };
    let damage = tally.kea_damage.load(Ordering::Relaxed) + tally.xdns_damage.load(Ordering::Relaxed) + mixed.len();
    assert!(damage > 0, "the race is too tame to prove anything");
}
