//! What becomes of the command line when what it says, or what it is told, goes nowhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::embedded::serve_zones;
use support::knot;

use std::process::{Command, Stdio};

use support::embedded::serve;
use support::site::{Ran, Site};

fn full() -> Stdio {
    Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
}

/// A disk that is full must not look like a run that found nothing to say.
#[test]
fn lost_output_is_said_and_is_an_error() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let records = site.records();
    let records = records.to_str().unwrap();
    for args in [
        &["plan", "-f", records][..],
        &["plan", "-f", records, "-o", "json"],
        &["plan", "-f", records, "-o", "markdown"],
        &["apply", "-f", records],
        &["zone", "list"],
        &["zone", "show", "internal"],
        &["zone", "export", "internal"],
        &["explain", "a.internal", "-f", records],
        &["doctor"],
        &["crds"],
        &["completions", "bash"],
        &["demo", "--once"],
        &["--help"],
        &["--version"],
    ] {
        let ran: Ran = site.command(args).stdout(full()).output().unwrap().into();
        assert_eq!(ran.code, 1, "{args:?} {ran:#?}");
        assert_eq!(ran.err.matches("standard output cannot be written").count(), 1, "{args:?} {ran:#?}");
    }
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let served = serve();
    let site = Site::new(served.server.addr());
    let ran: Ran = site.command(&["zone", "list"]).env("KNOTWORK_CONFIG", "").output().unwrap().into();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let empty = tempfile::tempdir().unwrap();
    let bare = |args: &[&str]| -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_knotwork"));
        command.args(args).current_dir(empty.path()).env("KNOTWORK_CONFIG", "").output().unwrap().into()
    };
    assert_eq!(bare(&["crds"]).code, 0);
    let ran = bare(&["zone", "list"]);
    assert!(ran.code == 1 && ran.err.contains("there is no configuration"), "{ran:#?}");
    // Who reads JSON reads it there.
    std::fs::write(empty.path().join("knotwork.yaml"), "ownr: x\n").unwrap();
    let ran = bare(&["plan", "-f", ".", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert!(ran.code == 1 && value["broken"][0]["message"].as_str().unwrap().contains("ownr"), "{ran:#?}");
    assert_eq!((value["broken"][0]["line"].as_u64(), value["broken"][0]["column"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn an_unknown_release_is_named_with_those_that_are_held() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.file("many.yaml", &support::site::many("set", 100, 40));
    site.apply(&[], 0);
    let ran = site.records_run(&["plan", "--prune", "--release", "0000000000000000"]);
    assert!(ran.err.contains("0000000000000000: unknown") && ran.err.contains("nothing is held"), "{ran:#?}");
    site.file("many.yaml", &support::site::many("set", 50, 40));
    let plan: serde_json::Value =
        serde_json::from_str(&site.records_run(&["plan", "--prune", "-o", "json"]).out).unwrap();
    let zone = plan["zones"].as_array().unwrap().iter().find(|zone| zone["zone"] == "internal.").unwrap();
    let hash = zone["held"]["hash"].as_str().expect("a hash").to_owned();
    for command in ["plan", "apply"] {
        let ran = site.records_run(&[command, "--prune", "--release", "0000000000000000"]);
        assert!(
            ran.err.contains(&format!(
                "unknown, no zone holds operations under this hash; held are: {hash} in zone internal"
            )),
            "{ran:#?}"
        );
        assert_eq!(ran.code, 3);
    }
    // Without --prune they are many lines that nobody asked for.
    let ran = site.records_run(&["plan"]);
    assert!(ran.out.contains("and 30 more orphans; -o json lists all"), "{ran:#?}");
    assert_eq!(ran.out.matches(" orphan: ").count(), 20);
    // Each zone has a hash of its own, so several may be given.
    let ran = site.apply(&["--prune", "--release", "0000000000000000", "--release", &hash], 0);
    assert!(ran.err.contains("0000000000000000: unknown") && !ran.err.contains(&format!("{hash}: ")), "{ran:#?}");
}

/// What a person types is often not the name that is in the zone; explain finds what is meant.
#[test]
fn explain_finds_addresses_labels_and_wildcards() {
    let internal = format!(
        "{}nas A 10.0.0.7\n*.apps A 10.0.0.8\n*.apps MX 10 mx.internal.\nreal.apps A 10.0.0.9\nkea A 10.0.0.8\nkea DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=\n",
        knot::minimal_zone("internal")
    );
    let reverse =
        format!("{}7.0.0 PTR nas.internal.\n8.0.0 PTR kea.internal.\n", knot::minimal_zone("10.in-addr.arpa"));
    let other = knot::minimal_zone("lab.internal");
    let served = serve_zones(&[("internal", &internal), ("10.in-addr.arpa", &reverse), ("lab.internal", &other)]);
    let site = Site::new(served.server.addr());
    let zones = "{name: internal}\n      - {name: 10.in-addr.arpa}\n      - {name: lab.internal}";
    site.config(&site.config_text().replace("{name: internal, defaultTtl: 300}", zones));
    site.put("lab", "name: printer.lab.internal, a: [10.0.0.30]");
    let explain = |name: &str, code: i32, out: &[&str], not: &[&str]| {
        let ran = site.run(&["explain", name, "-f", site.records().to_str().unwrap()]);
        assert_eq!(ran.code, code, "{name} {ran:#?}");
        let all = format!("{}{}", ran.out, ran.err);
        assert!(out.iter().all(|words| all.contains(words)), "{name} {ran:#?}");
        assert!(!not.iter().any(|words| all.contains(words)), "{name} {ran:#?}");
    };
    explain(
        "10.0.0.7",
        0,
        &["10.0.0.7 is an address", "7.0.0.10.in-addr.arpa. in zone 10.in-addr.arpa", "PTR nas.internal."],
        &[],
    );
    explain("192.0.2.1", 1, &["its PTR name 1.2.0.192.in-addr.arpa", "ZoneNotFound"], &[]);
    explain("fd00::1", 1, &["is an address", "ip6.arpa", "ZoneNotFound"], &[]);
    explain("nas", 0, &["nas.internal. in zone internal", "10.0.0.7"], &["nas.lab.internal"]);
    explain("printer", 0, &["printer.lab.internal. in zone lab.internal", "declared: 300 A"], &["in zone internal"]);
    explain("nobody", 1, &["single label", "nobody.internal, nor at nobody.lab.internal"], &[]);
    explain("web.apps.internal", 0, &["the wildcard *.apps.internal. answers: A 10.0.0.8; MX 10 mx.internal."], &[]);
    explain("a.b.apps.internal", 0, &["the wildcard *.apps.internal. answers"], &[]);
    // Below a name that exists the wildcard answers no more (RFC 4592).
    explain("x.real.apps.internal", 0, &["live: nothing here"], &["wildcard"]);
    explain("apps.internal", 0, &["empty non-terminal"], &[]);
    // What others hold is left to them even where it is just what is declared.
    site.put("kea", "name: kea.internal, a: [10.0.0.8], reverse: true");
    let kept = ["next: nothing for A (OwnedByOther)", "next: nothing for PTR: dhcp holds what is declared"];
    explain("kea.internal", 0, &kept, &["nothing to do"]);
}

/// What a change of the TTL alone is, wherever it is shown; and what waits, for machines too.
#[test]
fn a_takeover_that_changes_only_the_ttl_and_deletes_that_wait_are_shown() {
    let served = serve_zones(&[("internal", &format!("{}old 900 A 10.0.0.7\n", knot::minimal_zone("internal")))]);
    let site = Site::new(served.server.addr());
    site.put("old", "name: old.internal, a: [10.0.0.7], adopt: Takeover");
    let json = |args: &[&str]| -> serde_json::Value { serde_json::from_str(&site.records_run(args).out).unwrap() };
    assert!(site.records_run(&["plan"]).out.contains("= old.internal. 900 -> 300 A 10.0.0.7"));
    assert!(site.records_run(&["plan", "-o", "markdown"]).out.contains("| 900 → 300 |"));
    let plan = json(&["plan", "-o", "json"]);
    let change = &plan["zones"][0]["changes"][0];
    assert_eq!((&change["oldTtl"], &change["ttl"]), (&900.into(), &300.into()));
    assert!(plan["zones"][0]["waiting"].is_null());
    let explain = site.run(&["explain", "old.internal", "-f", site.records().to_str().unwrap()]);
    assert!(explain.out.contains("with TTL 300 instead of 900"), "{explain:#?}");
    site.apply(&[], 0);
    site.cut("old");
    site.file("new.yaml", support::site::manifest("new", "name: new.internal, a: [10.0.0.8]").trim_end());
    let plan = json(&["plan", "--prune", "-o", "json"]);
    let waiting = &plan["zones"][0]["waiting"];
    assert_eq!(waiting["deletes"], 1);
    assert!(waiting["why"].as_str().unwrap().contains("end the file with a newline"), "{waiting}");
    site.apply(&[], 0);
    // Nothing but a wait is no table.
    let table = site.records_run(&["plan", "--prune", "-o", "markdown"]).out;
    assert!(table.contains("**1 operation waits**") && !table.contains("| --- |"), "{table}");
}

/// Zones come as the configuration lists them, and what their server says of all alike is said once.
#[test]
fn zones_come_in_the_order_of_the_configuration_and_one_bad_key_is_one_error() {
    let zones = ["zz.test", "internal", "aa.test"];
    let texts = zones.map(|zone| (zone, knot::minimal_zone(zone)));
    let served = serve_zones(&texts.each_ref().map(|(zone, text)| (*zone, text.as_str())));
    let site = Site::new(served.server.addr());
    site.config(&site.config_text().replace(
        "- {name: internal, defaultTtl: 300}",
        "- {name: zz.test}\n      - {name: internal}\n      - {name: aa.test}",
    ));
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let plan: serde_json::Value = serde_json::from_str(&site.records_run(&["plan", "-o", "json"]).out).unwrap();
    let order: Vec<&str> =
        plan["zones"].as_array().unwrap().iter().map(|zone| zone["zone"].as_str().unwrap()).collect();
    assert_eq!(order, ["zz.test.", "internal.", "aa.test."]);
    std::fs::write(site.dir().join("key.b64"), "bm90IHRoZSBzZWNyZXQgb2YgdGhlIHNlcnZlciBhdCBhbGw=").unwrap();
    let ran = site.records_run(&["plan", "--release", "0000000000000000"]);
    assert_eq!(ran.err.matches("another secret").count(), 1, "{ran:#?}");
    assert_eq!(ran.err.matches("the same as for the zone zz.test, of the same server").count(), 2, "{ran:#?}");
    assert!(ran.err.contains("nobody knows before it can be read"), "{ran:#?}");
    let doctor = site.run(&["doctor"]);
    assert_eq!(doctor.out.matches("FAIL").count(), 1, "{doctor:#?}");
    assert!(doctor.out.contains("2 more zones of this server not tried"), "{doctor:#?}");
    assert!(!doctor.out.contains(".;") && !ran.err.contains(".;"), "{doctor:#?}");
}

#[test]
fn advice_fits_what_went_wrong() {
    let reverse = format!("{}7.0.0 PTR other.internal.\n", knot::minimal_zone("10.in-addr.arpa"));
    let served = serve_zones(&[("internal", &knot::minimal_zone("internal")), ("10.in-addr.arpa", &reverse)]);
    let site = Site::new(served.server.addr());
    site.config(
        &site
            .config_text()
            .replace("{name: internal, defaultTtl: 300}", "{name: internal}\n      - {name: 10.in-addr.arpa}"),
    );
    site.put("a", "name: a.internal, a: [10.0.0.7], reverse: true, adopt: Takeover");
    let ran = site.records_run(&["plan"]);
    let line = ran.out.lines().find(|line| line.contains("NotIdentical")).expect("the PTR");
    assert!(line.contains("declare this PTR by itself"), "{line}");
    site.cut("a");
    // Two objects that nobody separated.
    let two = support::site::manifest("a", "name: a.internal, a: [10.0.0.1]")
        + support::site::manifest("b", "name: b.internal, a: [10.0.0.2]").trim_start_matches("---\n");
    site.file("two.yaml", &two);
    let ran = site.records_run(&["plan"]);
    assert!(ran.err.contains("two.yaml:6:1: a second object begins here") && ran.err.contains("`---`"), "{ran:#?}");
    assert_eq!(ran.err.matches("error:").count(), 1, "{ran:#?}");
    std::fs::remove_file(site.records().join("two.yaml")).unwrap();
    site.put("c", "name: c.internal, a: [10.0.0.3]");
    // A link to a disk that is away.
    std::os::unix::fs::symlink("/nonexistent/disk", site.records().join("more.yaml")).unwrap();
    let ran = site.records_run(&["plan"]);
    assert!(ran.err.contains("more.yaml: is a link to /nonexistent/disk, which is not there"), "{ran:#?}");
    let named = std::process::Command::new(env!("CARGO_BIN_EXE_knotwork"))
        .args(["zone", "list"])
        .env("KNOTWORK_CONFIG", "/nonexistent/k.yaml")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&named.stderr);
    assert!(words.contains("/nonexistent/k.yaml is named by the variable KNOTWORK_CONFIG"), "{words}");
}

/// An affix of ExternalDNS that nobody configured: doctor, plan and apply say the line, and a takeover does not come to it.
#[test]
fn a_forgotten_affix_is_told_by_doctor_and_plan() {
    let zone = format!(
        "{}web A 10.0.0.7\nk8s.a-web TXT \"heritage=external-dns,external-dns/owner=default,external-dns/resource=service/x/web\"\n",
        knot::minimal_zone("internal")
    );
    let served = serve_zones(&[("internal", &zone)]);
    let site = Site::new(served.server.addr());
    site.put("web", "name: web.internal, a: [10.0.0.9], adopt: Takeover");
    let line = "externalDns: [{prefix: \"k8s.\"}]";
    let sent = || served.server.counters().updates.load(std::sync::atomic::Ordering::Relaxed);
    // doctor asks what the key may write.
    let doctor = site.run(&["doctor"]);
    let before = sent();
    for ran in [doctor, site.records_run(&["plan"]), site.apply(&[], 3)] {
        assert!(ran.out.contains(line) && ran.out.contains("k8s.a-web.internal"), "{ran:#?}");
    }
    assert_eq!(sent(), before, "nothing was sent");
}
