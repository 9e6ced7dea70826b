//! What a person sees, word for word: runs of the real binary on the embedded authority, held against `tests/transcripts/`.
//!
//! `KNOTWORK_BLESS=1 cargo test --test transcripts` writes the files anew; read the difference before you commit it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::embedded::{Served, serve_zones};
use support::knot::KEYS;
use support::site::{Ran, Site};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// A shell session in the folder of an installation.
struct Session {
    served: Served,
    site: Site,
    text: String,
}

impl Session {
    /// The demonstration's zones, with the records of its other writers.
    fn new(brake: &str) -> Session {
        let internal = format!("$ORIGIN internal.\n{}", read("src/cli/demo/internal.zone"));
        let reverse = format!("$ORIGIN 10.in-addr.arpa.\n{}", read("src/cli/demo/reverse.zone"));
        let served = serve_zones(&[("internal", &internal), ("10.in-addr.arpa", &reverse)]);
        let site = Site::of("home", "here", "operator", served.server.addr(), brake);
        let text = site.config_text().replace("defaultTtl: 300", "defaultTtl: 300, externalDns: [{prefix: \"k8s.\"}]");
        site.config(&format!("{text}      - {{name: 10.in-addr.arpa}}\n"));
        std::fs::set_permissions(site.dir().join("key.b64"), std::fs::Permissions::from_mode(0o600)).unwrap();
        Session { served, site, text: String::new() }
    }

    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.text, "# {text}");
    }

    /// One command as it is typed, what it said and how it ended.
    fn run(&mut self, args: &str) {
        let ran: Ran = Command::new(env!("CARGO_BIN_EXE_knotwork"))
            .args(args.split(' '))
            .current_dir(self.site.dir())
            .env_remove("KNOTWORK_CONFIG")
            .env_remove("KNOTWORK_LOG")
            .stdin(Stdio::null())
            .output()
            .unwrap()
            .into();
        let _ = writeln!(self.text, "$ knotwork {args}");
        self.text.push_str(&ran.out);
        for line in ran.err.lines() {
            let _ = writeln!(self.text, "2> {line}");
        }
        let _ = writeln!(self.text, "[exit {}]\n", ran.code);
    }

    /// The session without what differs from run to run.
    fn masked(&self) -> String {
        let mut text = self.text.replace(&self.served.server.addr().to_string(), "SERVER");
        text = text.replace(self.site.dir().to_str().unwrap(), "DIR");
        for (before, with) in [
            ("serial ", "N"),
            ("serials from ", "N"),
            ("hostmaster.internal. ", "N"),
            ("set=", "HASH"),
            ("nonce=", "NONCE"),
            ("--release ", "HASH"),
        ] {
            text = mask(&text, before, with);
        }
        text
    }

    fn compare(&self, name: &str) {
        let now = self.masked();
        for (_, secret) in KEYS {
            assert!(!now.contains(secret), "a secret was printed");
        }
        let path: PathBuf = root().join("tests/transcripts").join(format!("{name}.txt"));
        if std::env::var_os("KNOTWORK_BLESS").is_some_and(|value| value == "1") {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, now).unwrap();
            return;
        }
        let then = std::fs::read_to_string(&path).unwrap_or_default();
        let lines = then.lines().zip(now.lines()).take_while(|(a, b)| a == b).count();
        assert!(
            then == now,
            "{} differs from line {} on (KNOTWORK_BLESS=1 writes it anew):\n- {}\n+ {}",
            path.display(),
            lines + 1,
            then.lines().nth(lines).unwrap_or("(end)"),
            now.lines().nth(lines).unwrap_or("(end)")
        );
    }
}

/// Replaces the letters and digits that follow `before`, where there is a digit among them.
fn mask(text: &str, before: &str, with: &str) -> String {
    let mut pieces = text.split(before);
    let mut out = pieces.next().unwrap_or("").to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(piece.len());
        out.push_str(before);
        let changes = piece[..end].contains(|c: char| c.is_ascii_digit());
        out.push_str(if changes { with } else { &piece[..end] });
        out.push_str(&piece[end..]);
    }
    out
}

#[test]
fn the_samples() {
    let mut session = Session::new("");
    for entry in std::fs::read_dir(root().join("config/samples")).unwrap() {
        let path = entry.unwrap().path();
        session.site.file(path.file_name().unwrap().to_str().unwrap(), &read(&path));
    }
    for args in [
        "plan -f records",
        "plan -f records -o markdown",
        "apply -f records",
        "plan -f records",
        "zone list",
        "zone list -o markdown",
        "zone show internal",
        "zone show internal --writer externalDns --markers",
        "zone show internal --writer ours -o markdown",
        "explain routy.internal -f records",
        "explain routy.internal",
        "explain grafana.internal -f records",
        "explain nothing.internal -f records",
        "doctor",
    ] {
        session.run(args);
    }
    session.compare("samples");
}

#[test]
fn changes_conflicts_and_the_brake() {
    let mut session = Session::new(", brake: {percent: 1, atLeast: 1}");
    for (object, spec) in [
        ("a", "name: a.internal, a: [10.0.0.1], reverse: true"),
        ("b", "name: b.internal, a: [10.0.0.2]"),
        ("c", "name: c.internal, a: [10.0.0.3]"),
        ("d", "name: d.internal, a: [10.0.0.4]"),
        ("e", "name: e.internal, a: [10.0.0.5], deletionPolicy: Retain"),
        ("camera", "name: camera.internal, a: [10.0.7.8]"),
        ("ns0", "name: ns0.internal, a: [10.0.0.9]"),
        ("grafana", "name: grafana.internal, a: [10.0.0.9]"),
    ] {
        session.site.put(object, spec);
    }
    session.comment("an unmarked record that is the same is adopted, others stay");
    session.run("apply -f records");
    for object in ["ns0", "grafana", "c", "e"] {
        session.site.cut(object);
    }
    session.site.put("a", "name: a.internal, a: [10.0.0.7], reverse: true");
    session.site.put("b", "name: b.internal, a: [10.0.0.2], ttl: 60");
    session.site.put("d", "name: d.internal, a: [10.0.0.4], deletionPolicy: Retain");
    session.comment("c and e are gone from the files, a, b and d are edited");
    session.run("plan -f records");
    session.run("plan -f records --prune");
    session.run("plan -f records --prune -o markdown");
    session.run("apply -f records --prune");
    session.run("explain c.internal -f records --prune");
    session.site.file("broken.yaml", "spec:\n  name: x.internal\n  a: [10.0.0.1\n");
    session.comment("a file that cannot be read: nothing is deleted");
    session.run("plan -f records --prune");
    session.compare("changes");
}

#[test]
fn what_is_wrong() {
    let mut session = Session::new("");
    let kind = "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x, namespace: dns}\n";
    for (comment, text) in [
        ("a misspelt field", "spec:\n  name: x.internal\n  adress: [10.0.0.1]\n"),
        ("a duplicate key", "spec:\n  name: x.internal\n  a: [10.0.0.1]\n  a: [10.0.0.2]\n"),
        ("a tab", "spec:\n\tname: x.internal\n"),
        ("an address that is none", "spec:\n  name: x.internal\n  a: [10.0.0.256]\n"),
        ("a name outside every zone", "spec:\n  name: x.example.org\n  a: [10.0.0.1]\n"),
        (
            "all that is wrong at once",
            "spec:\n  name: x.internal\n  adress: [10.0.0.1]\n  a: [no, 10.0.0.256]\n  ttl: -1\n",
        ),
        ("a bracket that is not closed", "spec:\n  name: x.internal\n  a: [10.0.0.1\n  ttl: 60\n"),
        ("a CNAME beside others", "spec:\n  name: x.internal\n  a: [10.0.0.1]\n  cname: b.internal\n"),
    ] {
        session.comment(comment);
        session.site.file("x.yaml", &format!("{kind}{text}"));
        session.run("plan -f records");
    }
    session.comment("a comma too many in JSON");
    session.site.file("x.yaml", "# nothing\n");
    session.site.file("y.json", "{\n  \"kind\": \"StaticDNSRecord\",\n}\n");
    session.run("plan -f records");
    std::fs::remove_file(session.site.records().join("y.json")).unwrap();
    session.comment("one object twice");
    session.site.put("x", "name: x.internal, a: [10.0.0.1]");
    session.site.file("y.yaml", &format!("{kind}spec: {{name: y.internal, a: [10.0.0.1]}}\n"));
    session.run("plan -f records");
    session.site.cut("y");
    session.site.cut("x");
    session.comment("nothing declared at all");
    session.run("plan -f records --prune");
    session.run("plan -f nowhere");
    session.run("zone show example.org");
    session.run("zone show internal --writer nobody");
    session.run("explain x.example.org");
    let config = session.site.config_text();
    session.comment("the server's address is wrong");
    session.site.config(&config.replace(&session.served.server.addr().to_string(), "127.0.0.1:1"));
    session.run("zone list");
    session.run("doctor");
    session.comment("a misspelt key in the configuration");
    session.site.config(&config.replace("    tsig:", "    tsgi:"));
    session.run("zone list");
    session.comment("no key file");
    session.site.config(&config.replace("key.b64", "no-such.b64"));
    session.run("zone list");
    session.comment("another key's secret");
    session.site.config(&config.replace("name: operator", "name: other"));
    session.run("zone list");
    session.comment("a key that the server does not know");
    session.site.config(&config.replace("name: operator", "name: stranger"));
    session.run("zone list");
    std::fs::remove_file(session.site.dir().join("knotwork.yaml")).unwrap();
    session.comment("no configuration");
    session.run("zone list -c nowhere.yaml");
    session.compare("wrong");
}
