//! A declared world on disk, the real binary that applies it, and the zone as `dig` reads it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use crate::support::knot::KEYS;

/// A folder of manifests, one file for each object, and the server they go to.
pub struct World {
    dir: tempfile::TempDir,
    addr: SocketAddr,
    server: &'static str,
    steps: usize,
    foreign: BTreeMap<String, Vec<String>>,
    objects: BTreeMap<String, String>,
}

/// What other writers hold from the start, by zone. Nothing of it may ever change.
const FOREIGN: &[(&str, &str)] = &[
    ("internal", "printer.internal. 600 A 10.0.7.7"),
    ("internal", "lease1.internal. 1200 A 10.0.8.1"),
    ("internal", "lease1.internal. 1200 DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="),
    ("internal", "web.internal. 300 A 10.0.9.1"),
    (
        "internal",
        "k8s.a-web.internal. 300 TXT \"heritage=external-dns,external-dns/owner=k8s,external-dns/resource=service/default/web\"",
    ),
    ("internal", "nixhost.internal. 300 A 10.0.6.1"),
    ("internal", "nix.nixhost.internal. 300 TXT \"heritage=nix,managed-by=routy\""),
    ("10.in-addr.arpa", "1.8.0.10.in-addr.arpa. 1200 PTR lease1.internal."),
    ("10.in-addr.arpa", "7.7.0.10.in-addr.arpa. 600 PTR printer.internal."),
];

const ZONES: &[&str] = &["internal", "10.in-addr.arpa", "d.f.ip6.arpa", "s3.garage.internal"];

impl World {
    /// An empty world before a fresh server of [`crate::support::knot::Setup::default`]'s zones.
    pub fn new(server: &'static str, addr: SocketAddr) -> World {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir(dir.path().join("records")).expect("folder");
        std::fs::write(dir.path().join("key.b64"), KEYS[0].1).expect("key");
        let config = format!(
            "owner: home\ninstance: conformance\nservers:\n  - name: {server}\n    address: {addr}\n    \
             tsig: {{name: operator, algorithm: hmac-sha256, secretFile: key.b64}}\n    zones:\n      \
             - {{name: internal, defaultTtl: 300, externalDns: [{{prefix: \"k8s.\"}}], brake: {{percent: 100, atLeast: 10000}}}}\n      \
             - {{name: 10.in-addr.arpa, defaultTtl: 300, brake: {{percent: 100, atLeast: 10000}}}}\n      \
             - {{name: d.f.ip6.arpa, defaultTtl: 300, brake: {{percent: 100, atLeast: 10000}}}}\n      \
             - {{name: s3.garage.internal, defaultTtl: 300, brake: {{percent: 100, atLeast: 10000}}}}\n"
        );
        std::fs::write(dir.path().join("knotwork.yaml"), config).expect("config");
        let mut world = World { dir, addr, server, steps: 0, foreign: BTreeMap::new(), objects: BTreeMap::new() };
        for zone in ZONES {
            let lines: Vec<&str> = FOREIGN.iter().filter(|(z, _)| z == zone).map(|(_, line)| *line).collect();
            if !lines.is_empty() {
                world.nsupdate(zone, &lines.iter().map(|line| format!("update add {line}\n")).collect::<String>());
            }
        }
        for zone in ZONES {
            // The apex NS of the first zone is claimed by some steps.
            let lines = world.zone(zone).into_iter().filter(|line| !line.starts_with("internal. 300 NS ")).collect();
            world.foreign.insert((*zone).to_owned(), lines);
        }
        world
    }

    /// Declares (or re-declares) an object; `spec` is YAML of its spec, one field a line.
    pub fn put(&mut self, object: &str, spec: &str) -> &mut World {
        let spec = spec.lines().map(|line| format!("  {line}\n")).collect::<String>();
        let text = format!(
            "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {{name: {object}, namespace: dns}}\nspec:\n{spec}"
        );
        std::fs::write(self.dir.path().join("records").join(format!("{object}.yaml")), &text).expect("manifest");
        self.objects.insert(object.to_owned(), text);
        self
    }

    /// Takes an object out of the world.
    pub fn cut(&mut self, object: &str) -> &mut World {
        std::fs::remove_file(self.dir.path().join("records").join(format!("{object}.yaml"))).expect("was declared");
        self.objects.remove(object);
        self
    }

    /// Takes every object out of the world and applies that.
    pub fn clear(&mut self) {
        for object in self.objects.keys().cloned().collect::<Vec<_>>() {
            self.cut(&object);
        }
        let (code, out) = self.run(&["apply", "--prune", "--allow-empty"]);
        assert_eq!(code, 0, "[{}] clear: {out}", self.server);
        for zone in ZONES {
            let left: Vec<String> = self
                .zone(zone)
                .into_iter()
                .filter(|line| {
                    !self.foreign[*zone].contains(line) && !is_fence(line) && !line.starts_with("internal. 300 NS ")
                })
                .collect();
            assert!(left.is_empty(), "[{}] an empty world leaves {left:#?}", self.server);
        }
    }

    /// Applies the world; the lines of `expect` must then stand in the zones, sets they name must hold nothing else,
    /// foreign records must be untouched and the next plan empty.
    pub fn step(&mut self, title: &str, expect: &[&str]) {
        self.step_code(title, 0, expect);
    }

    /// As [`World::step`], where conflicts or refusals are expected: apply and plan end with `code`.
    pub fn step_code(&mut self, title: &str, code: i32, expect: &[&str]) -> String {
        self.steps += 1;
        let place = format!("[{}] step {} {title}", self.server, self.steps);
        let (got, said) = self.run(&["apply", "--prune", "--allow-empty"]);
        assert_eq!(got, code, "{place}: apply said\n{said}\nworld: {:#?}", self.objects);
        let mut zones: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for zone in ZONES {
            zones.insert(zone, self.zone(zone));
        }
        for zone in ZONES {
            for line in &self.foreign[*zone] {
                assert!(zones[zone].contains(line), "{place}: foreign record gone: {line}\n{said}");
            }
        }
        let all: Vec<&String> = zones.values().flatten().collect();
        for line in expect {
            let (set, gone) = match line.strip_prefix("! ") {
                Some(set) => (set, true),
                None => (*line, false),
            };
            if gone {
                let found = all.iter().any(|have| have.starts_with(set));
                assert!(!found, "{place}: should be gone: {set}\n{said}\n{all:#?}");
            } else {
                assert!(all.iter().any(|have| *have == set), "{place}: not in the zone: {set}\n{said}\n{all:#?}");
                // All values of the set must be expected ones.
                let head: Vec<&str> = set.split_whitespace().collect();
                for have in &all {
                    let parts: Vec<&str> = have.split_whitespace().collect();
                    if parts[0] == head[0] && parts[2] == head[2] {
                        assert!(
                            expect.contains(&have.as_str())
                                || self.foreign.values().flatten().any(|line| line == *have),
                            "{place}: not expected in the set: {have}\n{said}"
                        );
                    }
                }
            }
        }
        let (again, plan) = self.run(&["plan", "--prune", "--allow-empty"]);
        assert_eq!(again, code, "{place}: the plan after apply is not empty:\n{plan}\napply had said:\n{said}");
        said
    }

    /// Runs the binary on this world; exit code and all it said.
    pub fn run(&self, args: &[&str]) -> (i32, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_knotwork"))
            .args(args)
            .arg("-c")
            .arg(self.dir.path().join("knotwork.yaml"))
            .arg("-f")
            .arg(self.dir.path().join("records"))
            .env_remove("KNOTWORK_CONFIG")
            .output()
            .expect("knotwork runs");
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.code().unwrap_or(-1), said)
    }

    /// Changes the zone as another writer.
    pub fn nsupdate(&self, zone: &str, lines: &str) {
        use std::io::Write as _;
        let key = format!("hmac-sha256:{}:{}", KEYS[1].0, KEYS[1].1);
        let mut child = Command::new("nsupdate")
            .args(["-v", "-t", "30", "-y", &key])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("nsupdate runs");
        let script = format!("server {} {}\nzone {zone}\n{lines}send\n", self.addr.ip(), self.addr.port());
        child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("written");
        let out = child.wait_with_output().expect("ends");
        assert!(out.status.success(), "{}\n{script}", String::from_utf8_lossy(&out.stderr));
    }

    /// Steps done so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The zone without SOA, as `dig` prints it: `owner ttl type value`, single blanks.
    pub fn zone(&self, zone: &str) -> Vec<String> {
        let key = format!("hmac-sha256:{}:{}", KEYS[0].0, KEYS[0].1);
        let port = self.addr.port().to_string();
        for _ in 0..5 {
            let out = Command::new("dig")
                .args([
                    "@127.0.0.1",
                    "-p",
                    &port,
                    "-y",
                    &key,
                    "+nocmd",
                    "+nocomments",
                    "+nostats",
                    "+onesoa",
                    "AXFR",
                    zone,
                ])
                .output()
                .expect("dig runs");
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let lines: Vec<Vec<&str>> = text
                .lines()
                .filter(|line| !line.starts_with(';') && !line.trim().is_empty())
                .map(|line| line.splitn(5, [' ', '\t']).collect::<Vec<_>>())
                .collect();
            if !text.contains("SOA") {
                continue;
            }
            return text
                .lines()
                .filter(|line| !line.starts_with(';') && !line.trim().is_empty() && lines.len() > 1)
                .map(|line| {
                    let mut parts = line.split_whitespace();
                    let (owner, ttl, _class, rtype) = (
                        parts.next().unwrap_or(""),
                        parts.next().unwrap_or(""),
                        parts.next(),
                        parts.next().unwrap_or(""),
                    );
                    let value = rest_after_four(line);
                    (rtype.to_owned(), format!("{owner} {ttl} {rtype} {value}"))
                })
                .filter(|(rtype, _)| rtype != "SOA" && rtype != "TSIG")
                .map(|(_, line)| line)
                .collect();
        }
        panic!("[{}] dig could not transfer {zone}", self.server);
    }
}

fn rest_after_four(line: &str) -> &str {
    let mut rest = line;
    for _ in 0..4 {
        rest = rest.trim_start();
        rest = rest.split_once(char::is_whitespace).map_or("", |(_, tail)| tail);
    }
    rest.trim()
}

fn is_fence(line: &str) -> bool {
    line.contains("heritage=knotwork,instance=")
}
