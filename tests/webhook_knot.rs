//! The webhook on a real Knot, by the bodies that ExternalDNS sends: what is made, what is left alone, and what is answered.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::knot::{KEYS, Knot};
use support::{parts, wait};

/// A webhook over a Knot with the zones `internal` and `s3.garage.internal`.
struct Rig {
    knot: Knot,
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
    ops: u16,
}

impl Rig {
    fn start() -> Option<Rig> {
        Rig::with("owner: me", &[])
    }

    fn with(webhook: &str, flags: &[&str]) -> Option<Rig> {
        let knot = Knot::start(&parts::need("knot")?);
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Rig { knot, child: Command::new("true").spawn().unwrap(), dir, port: 0, ops: 0 };
        let (key, secret) = KEYS[0];
        std::fs::write(rig.dir.path().join("key"), secret).unwrap();
        let config = format!(
            "owner: home\ninstance: here\nwebhook: {{{webhook}}}\nservers:\n  - name: knot\n    address: {}\n    \
             tsig: {{name: {key}, secretFile: key}}\n    zones:\n      - {{name: internal, externalDns: [{{prefix: edns-}}]}}\n      \
             - {{name: s3.garage.internal, externalDns: [{{prefix: edns-}}]}}\n",
            rig.knot.addr
        );
        std::fs::write(rig.dir.path().join("knotwork.yaml"), config).unwrap();
        rig.serve(flags);
        Some(rig)
    }

    /// (Re)starts the webhook on ports of its own choice.
    fn serve(&mut self, flags: &[&str]) {
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

    fn get(&self, port: u16, path: &str) -> (u16, String, String) {
        http(port, "GET", path, "")
    }

    /// Its answer to changes: status and words.
    fn apply(&self, changes: &Value) -> (u16, String) {
        let (status, _, body) = http(self.port, "POST", "/records", &changes.to_string());
        (status, body)
    }

    fn list(&self) -> Vec<Value> {
        let (status, head, body) = self.get(self.port, "/records");
        assert_eq!(status, 200, "{body}");
        assert!(head.contains("application/external.dns.webhook+json;version=1\r\n"), "{head}");
        serde_json::from_str(&body).unwrap()
    }

    /// The values of a set as the server has them.
    fn dig(&self, name: &str, rtype: &str) -> Vec<String> {
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

    fn serial(&self) -> String {
        self.dig("internal", "SOA").join(" ")
    }

    /// Somebody else writes.
    fn nsupdate(&self, zone: &str, adds: &[&str]) {
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

fn http(port: u16, method: &str, path: &str, body: &str) -> (u16, String, String) {
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

fn record(name: &str, rtype: &str, targets: &[&str]) -> Value {
    json!({"dnsName": name, "recordType": rtype, "targets": targets, "recordTTL": 60,
        "labels": {"owner": "me", "resource": "service/default/www"}})
}

fn mark_of(name: &str, rtype: &str, owner: &str) -> Value {
    let text =
        format!("\"heritage=external-dns,external-dns/owner={owner},external-dns/resource=service/default/www\"");
    json!({"dnsName": format!("edns-{}-{name}", rtype.to_lowercase()), "recordType": "TXT", "targets": [text],
        "labels": {"ownedRecord": name}})
}

fn mark(name: &str, rtype: &str) -> Value {
    mark_of(name, rtype, "me")
}

const OWN: &str = "\"heritage=external-dns,external-dns/owner=me,external-dns/resource=service/default/www\"";

#[test]
fn a_records_whole_life() {
    let Some(rig) = Rig::start() else { return };
    assert_eq!(rig.get(rig.port, "/").2, r#"{"include":["internal","s3.garage.internal"]}"#);
    let create = json!({"create": [record("www.internal", "A", &["10.0.0.1", "10.0.0.2"]), mark("www.internal", "A")]});
    assert_eq!(rig.apply(&create), (204, String::new()));
    assert_eq!(rig.dig("www.internal", "A"), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(rig.dig("edns-a-www.internal", "TXT"), [OWN]);
    // The same again changes nothing: no message, no new serial.
    let serial = rig.serial();
    assert_eq!(rig.apply(&create).0, 204);
    assert_eq!(rig.serial(), serial);
    assert!(rig.get(rig.ops, "/metrics").2.contains(r#"result="suppressed",reason="Fulfilled"} 1"#));
    // By the keys of versions before 0.17; of what is to be old nothing is right.
    let update = json!({"Create": null, "Delete": null,
        "UpdateOld": [record("www.internal", "A", &["10.9.9.9"]), mark("www.internal", "A")],
        "UpdateNew": [record("www.internal", "A", &["10.0.0.3"]), mark("www.internal", "A")]});
    assert_eq!(rig.apply(&update).0, 204);
    assert_eq!(rig.dig("www.internal", "A"), ["10.0.0.3"]);
    // A type swap, in one message.
    let swap = json!({"delete": [record("www.internal", "A", &["10.0.0.3"]), mark("www.internal", "A")],
        "create": [record("www.internal", "CNAME", &["lb.example.net"]), mark("www.internal", "CNAME")]});
    assert_eq!(rig.apply(&swap).0, 204);
    assert_eq!(rig.dig("www.internal", "CNAME"), ["lb.example.net."]);
    assert_eq!(rig.dig("edns-cname-www.internal", "TXT"), [OWN]);
    assert!(rig.dig("edns-a-www.internal", "TXT").is_empty());
    let delete =
        json!({"delete": [record("www.internal", "CNAME", &["lb.example.net"]), mark("www.internal", "CNAME")]});
    assert_eq!(rig.apply(&delete).0, 204);
    assert!(rig.dig("www.internal", "CNAME").is_empty() && rig.dig("edns-cname-www.internal", "TXT").is_empty());
    assert_eq!(rig.apply(&delete).0, 204, "what is gone is gone");
}

#[test]
fn what_is_not_its_own_is_left_alone_and_the_rest_is_done() {
    let Some(mut rig) = Rig::start() else { return };
    rig.nsupdate("internal", &[
        "add person.internal 300 A 10.9.0.1",
        "add kea.internal 300 A 10.9.0.2",
        "add kea.internal 300 DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
        "add other.internal 300 A 10.9.0.3",
        "add edns-a-other.internal 300 TXT \"heritage=external-dns,external-dns/owner=other\"",
        "add static.internal 300 A 10.9.0.4",
        "add _knotwork.static.internal 300 TXT \"heritage=knotwork,v=1,owner=home,type=A,set=0123456789abcdef,resource=staticdnsrecord/dns/static\"",
        "add victim.internal 300 A 10.9.0.5",
        "add foo.victim.internal 300 TXT \"heritage=external-dns,external-dns/owner=me\"",
    ]);
    let names = ["person", "kea", "other", "static", "victim"].map(|name| format!("{name}.internal"));
    for (list, verb) in [("create", "taken"), ("delete", "deleted")] {
        let wishes = |extra: Option<&str>| -> Vec<Value> {
            let all = names.iter().map(String::as_str).chain(extra);
            all.flat_map(|name| [record(name, "A", &["6.6.6.6"]), mark(name, "A")]).collect()
        };
        let mut body = json!({list: wishes(None)});
        let good = format!("good-{verb}.internal");
        let create = body.as_object_mut().unwrap().entry("create").or_insert(json!([])).as_array_mut().unwrap();
        create.extend([record(&good, "A", &["10.0.0.1"]), mark(&good, "A")]);
        let (status, words) = rig.apply(&body);
        assert_eq!(status, 500, "{words}");
        for (name, address) in names.iter().zip(["10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5"]) {
            assert!(words.contains(name), "{name} is not named: {words}");
            assert_eq!(rig.dig(name, "A"), [address], "{name} is {verb}");
        }
        assert_eq!(rig.dig(&good, "A"), ["10.0.0.1"], "{words}");
        assert!(rig.dig("edns-a-person.internal", "TXT").is_empty(), "no ownership without its record");
    }
    for name in &names {
        assert!(rig.list().iter().any(|shown| shown["dnsName"] == name.as_str()), "{name} is not shown");
    }
    // Another ExternalDNS that asks here gets nothing of ours.
    let mut stranger = record("good-taken.internal", "A", &["10.0.0.1"]);
    stranger["labels"]["owner"] = json!("other");
    let (status, words) = rig.apply(&json!({"delete": [stranger, mark_of("good-taken.internal", "A", "other")]}));
    assert!(status == 500 && words.contains("OwnerMismatch"), "{words}");
    assert_eq!(rig.dig("good-taken.internal", "A"), ["10.0.0.1"]);
    // By a person's word what is unmarked may be taken, and nothing else.
    rig.serve(&["--adopt-unmarked"]);
    let all = json!({"create": names.iter().flat_map(|name| [record(name, "A", &["6.6.6.6"]), mark(name, "A")]).collect::<Vec<_>>()});
    let (status, words) = rig.apply(&all);
    assert!(status == 500 && !words.contains("person"), "{words}");
    assert_eq!(rig.dig("person.internal", "A"), ["6.6.6.6"]);
    assert_eq!(rig.dig("kea.internal", "A"), ["10.9.0.2"]);
    assert_eq!(rig.dig("other.internal", "A"), ["10.9.0.3"]);
    assert_eq!(rig.dig("static.internal", "A"), ["10.9.0.4"]);
}

/// The apex with a prefix without a dot, a label of 63 octets, a registry that writes no TXT: each is owned, shown as
/// ExternalDNS expects it, and goes without a trace.
#[test]
fn ownership_that_has_no_place_is_kept_all_the_same() {
    let Some(rig) = Rig::start() else { return };
    let long = format!("{}.s3.garage.internal", "x".repeat(63));
    let apex = "s3.garage.internal";
    let create =
        json!({"create": [record(apex, "A", &["10.0.0.1"]), mark(apex, "A"), record(&long, "A", &["10.0.0.2"])]});
    assert_eq!(rig.apply(&create), (204, String::new()));
    let shown = rig.list();
    let of = |name: &str, rtype: &str| {
        shown
            .iter()
            .find(|one| one["dnsName"] == name && one["recordType"] == rtype)
            .unwrap_or_else(|| panic!("{name} {rtype}"))
    };
    assert_eq!(of("edns-a-s3.garage.internal", "TXT")["targets"], json!([OWN.replace('\\', "")]));
    assert_eq!(of(&long, "A")["labels"], json!({"owner": "me", "resource": "service/default/www"}));
    assert!(shown.iter().all(|one| !one["dnsName"].as_str().unwrap().contains("_edns-")));
    let delete =
        json!({"delete": [record(apex, "A", &["10.0.0.1"]), mark(apex, "A"), record(&long, "A", &["10.0.0.2"])]});
    assert_eq!(rig.apply(&delete), (204, String::new()));
    assert!(rig.dig(apex, "A").is_empty() && rig.dig(&long, "A").is_empty());
    assert!(
        rig.dig(&format!("_edns-a.{apex}"), "TXT").is_empty() && rig.dig(&format!("_edns-a.{long}"), "TXT").is_empty()
    );
}

#[test]
fn a_mass_of_deletes_is_held_and_the_rest_goes_on() {
    let Some(rig) = Rig::start() else { return };
    let all: Vec<String> = (0..40).map(|n| format!("n{n}.internal")).collect();
    let of = |names: &[String]| -> Vec<Value> {
        names.iter().flat_map(|name| [record(name, "A", &["10.0.0.1"]), mark(name, "A")]).collect()
    };
    assert_eq!(rig.apply(&json!({"create": of(&all)})).0, 204);
    let new = [record("new.internal", "A", &["10.0.0.9"]), mark("new.internal", "A")];
    let (status, words) = rig.apply(&json!({"delete": of(&all), "create": new}));
    assert!(status == 503 && words.contains("40 deletes are held"), "{status} {words}");
    assert_eq!(rig.dig("n7.internal", "A"), ["10.0.0.1"]);
    assert_eq!(rig.dig("edns-a-n7.internal", "TXT"), [OWN], "a set and its ownership go or stay together");
    assert_eq!(rig.dig("new.internal", "A"), ["10.0.0.9"]);
    assert_eq!(rig.apply(&json!({"delete": of(&all[..3])})).0, 503, "time lets nothing through");
}

/// Never a status at which ExternalDNS ends, but for what is no JSON.
#[test]
fn whatever_comes_the_answer_is_one_that_it_survives() {
    let Some(rig) = Rig::with("owner: me", &["--max-body-size", "100000"]) else { return };
    for (body, status) in [
        ("null", 204),
        ("{}", 204),
        (r#"{"create":[],"unknown":{"x":1}}"#, 204),
        (r#"{"create":[null]}"#, 500),
        (r#"{"create":7}"#, 500),
        (r#"{"create":[{"dnsName":"x.nowhere","recordType":"A","targets":["10.0.0.1"]}]}"#, 500),
        (r#"{"create":[{"dnsName":"x.internal","recordType":"A","targets":["10.0.0.300"]}]}"#, 500),
        (r#"{"create":[{"dnsName":"","recordType":"","targets":null}]}"#, 500),
        ("no json", 400),
        ("", 400),
    ] {
        let (got, _, words) = http(rig.port, "POST", "/records", body);
        assert_eq!(got, status, "{body}: {words}");
    }
    let large = format!("{{\"create\":[],\"pad\":\"{}\"}}", "x".repeat(200_000));
    let (status, _, words) = http(rig.port, "POST", "/records", &large);
    assert!(status == 500 && words.contains("--max-body-size"), "{status} {words}");
    for (method, path) in
        [("GET", "/nowhere"), ("DELETE", "/records"), ("PUT", "/x/y"), ("GET", "/base/records"), ("POST", "/")]
    {
        assert_eq!(http(rig.port, method, path, "").0, 200, "{method} {path}");
    }
    let (status, _, body) = http(rig.port, "POST", "/adjustendpoints", "null");
    assert_eq!((status, body.as_str()), (200, "[]"));
    assert_eq!(rig.get(rig.ops, "/healthz").0, 200);
}

/// While the server is away nothing is listed rather than half of it, and it comes back by itself.
#[test]
fn a_server_that_is_away_is_told_by_503() {
    let Some(mut rig) = Rig::start() else { return };
    let create = json!({"create": [record("www.internal", "A", &["10.0.0.1"]), mark("www.internal", "A")]});
    assert_eq!(rig.apply(&create).0, 204);
    rig.knot.kill();
    assert_eq!(rig.get(rig.port, "/records").0, 503);
    let other = json!({"create": [record("two.internal", "A", &["10.0.0.2"]), mark("two.internal", "A")]});
    assert_eq!(rig.apply(&other).0, 503);
    assert_eq!(rig.get(rig.port, "/").0, 200, "what it serves it knows from its configuration");
    rig.knot.resume();
    wait::until("the list to come back", || (rig.get(rig.port, "/records").0 == 200).then_some(()));
    assert_eq!(rig.apply(&other).0, 204);
    assert_eq!(rig.dig("two.internal", "A"), ["10.0.0.2"]);
}
