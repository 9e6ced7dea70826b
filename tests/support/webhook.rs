//! A real webhook over a real Knot, and the bodies that ExternalDNS sends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::knot::{KEYS, Knot};
use super::{parts, wait};

/// A webhook over a Knot with the zones `internal` and `s3.garage.internal`.
pub struct Rig {
    pub knot: Knot,
    child: Child,
    pub dir: tempfile::TempDir,
    pub port: u16,
    pub ops: u16,
}

impl Rig {
    pub fn start() -> Option<Rig> {
        Rig::with("owner: me", &[])
    }

    pub fn with(webhook: &str, flags: &[&str]) -> Option<Rig> {
        Rig::with_zones(webhook, &[], flags)
    }

    /// With more zones of the Knot.
    pub fn with_zones(webhook: &str, zones: &[&str], flags: &[&str]) -> Option<Rig> {
        let knot = Knot::start(&parts::need("knot")?);
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Rig { knot, child: Command::new("true").spawn().unwrap(), dir, port: 0, ops: 0 };
        std::fs::write(rig.dir.path().join("key"), KEYS[0].1).unwrap();
        rig.configure(webhook, zones);
        rig.serve(flags);
        Some(rig)
    }

    /// Writes the configuration.
    pub fn configure(&self, webhook: &str, zones: &[&str]) {
        let mut config = format!(
            "owner: home\ninstance: here\nwebhook: {{{webhook}}}\nservers:\n  - name: knot\n    address: {}\n    \
             tsig: {{name: {}, secretFile: key}}\n    zones:\n      - {{name: internal, externalDns: [{{prefix: edns-}}]}}\n      \
             - {{name: s3.garage.internal, externalDns: [{{prefix: edns-}}]}}\n",
            self.knot.addr, KEYS[0].0
        );
        zones.iter().for_each(|zone| config.push_str(&format!("      - {{name: {zone}}}\n")));
        std::fs::write(self.dir.path().join("knotwork.yaml"), config).unwrap();
    }

    /// (Re)starts the webhook on ports of its own choice.
    pub fn serve(&mut self, flags: &[&str]) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        (self.port, self.ops) = (0, 0);
        let mut child = Command::new(env!("CARGO_BIN_EXE_knotwork"))
            .arg("-c")
            .arg(self.dir.path().join("knotwork.yaml"))
            .args(["webhook", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let port = |line: &str| {
            line.rsplit_once("127.0.0.1:")
                .unwrap()
                .1
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        while self.port == 0 || self.ops == 0 {
            let line = lines.next().expect("it says where it listens").unwrap();
            if line.contains("/metrics") {
                self.ops = port(&line);
            } else if line.contains("webhook at") {
                self.port = port(&line);
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        self.child = child;
        wait::until("the webhook to be ready", || (self.get(self.ops, "/readyz").0 == 200).then_some(()));
    }

    pub fn get(&self, port: u16, path: &str) -> (u16, String, String) {
        http(port, "GET", path, "")
    }

    /// Its answer to changes: status and words.
    pub fn apply(&self, changes: &Value) -> (u16, String) {
        let (status, _, body) = http(self.port, "POST", "/records", &changes.to_string());
        (status, body)
    }

    /// What ExternalDNS shall plan with, by its wish.
    pub fn adjust(&self, endpoints: &Value) -> Vec<Value> {
        let (status, _, body) = http(self.port, "POST", "/adjustendpoints", &endpoints.to_string());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Its metrics.
    pub fn metrics(&self) -> String {
        self.get(self.ops, "/metrics").2
    }

    /// Waits until a set holds these values.
    pub fn until(&self, name: &str, rtype: &str, values: &[&str]) {
        wait::until(&format!("{name} {rtype} to be {values:?}"), || (self.dig(name, rtype) == values).then_some(()));
    }

    pub fn list(&self) -> Vec<Value> {
        let (status, head, body) = self.get(self.port, "/records");
        assert_eq!(status, 200, "{body}");
        assert!(head.contains("application/external.dns.webhook+json;version=1\r\n"), "{head}");
        serde_json::from_str(&body).unwrap()
    }

    /// The values of a set as the server has them.
    pub fn dig(&self, name: &str, rtype: &str) -> Vec<String> {
        let (key, secret) = KEYS[0];
        let out = Command::new("kdig")
            .args([&format!("@{}", self.knot.addr.ip()), "-p", &self.knot.addr.port().to_string()])
            .args(["-y", &format!("hmac-sha256:{key}:{secret}"), "+short", name, rtype])
            .output()
            .unwrap();
        let mut values: Vec<String> = String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect();
        // What follows an empty line is about the signature.
        values.retain(|line| !line.is_empty() && !line.starts_with(";;") && !line.contains("TSIG"));
        values.sort();
        values
    }

    pub fn serial(&self) -> String {
        self.dig("internal", "SOA").join(" ")
    }

    /// Somebody else writes.
    pub fn nsupdate(&self, zone: &str, adds: &[&str]) {
        let (key, secret) = KEYS[1];
        let adds: String = adds.iter().map(|add| format!("update {add}\n")).collect();
        let script = format!(
            "server {} {}\nkey hmac-sha256:{key} {secret}\nzone {zone}\n{adds}send\n",
            self.knot.addr.ip(),
            self.knot.addr.port()
        );
        let mut child = Command::new("nsupdate").stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{script}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn http(port: u16, method: &str, path: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: application/external.dns.webhook+json;version=1\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    (head.split_whitespace().nth(1).unwrap().parse().unwrap(), format!("{head}\r\n").to_lowercase(), body.to_owned())
}

pub fn record(name: &str, rtype: &str, targets: &[&str]) -> Value {
    json!({"dnsName": name, "recordType": rtype, "targets": targets, "recordTTL": 60,
        "labels": {"owner": "me", "resource": "service/default/www"}})
}

pub fn mark_of(name: &str, rtype: &str, owner: &str) -> Value {
    let text =
        format!("\"heritage=external-dns,external-dns/owner={owner},external-dns/resource=service/default/www\"");
    json!({"dnsName": format!("edns-{}-{name}", rtype.to_lowercase()), "recordType": "TXT", "targets": [text],
        "labels": {"ownedRecord": name}})
}

pub fn mark(name: &str, rtype: &str) -> Value {
    mark_of(name, rtype, "me")
}

pub const OWN: &str = "\"heritage=external-dns,external-dns/owner=me,external-dns/resource=service/default/www\"";
