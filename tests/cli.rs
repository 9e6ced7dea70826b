//! The command line as a person meets it, on the embedded authority: exit codes, outputs, demo, watch, metrics.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use knotwork::model::{Name, RrType};
use support::embedded::{serve, serve_zones};
use support::site::{Ran, Site};
use support::{knot, wait};

fn knotwork(args: &[&str]) -> Ran {
    Command::new(env!("CARGO_BIN_EXE_knotwork")).args(args).stdin(Stdio::null()).output().unwrap().into()
}

#[test]
fn exit_codes_and_places_of_the_configuration() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    assert_eq!(site.records_run(&["plan"]).code, 2);
    assert_eq!(site.apply(&[], 0).code, 0);
    assert_eq!(site.records_run(&["plan"]).code, 0);
    site.put("b", "name: ns0.internal, a: [10.0.0.9]");
    assert_eq!(site.records_run(&["plan"]).code, 3, "a conflict goes before nothing to do");
    site.file("broken.yaml", "a: [");
    assert_eq!(site.records_run(&["plan"]).code, 1, "an error goes before a conflict");
    std::fs::remove_file(site.records().join("broken.yaml")).unwrap();
    site.cut("b");
    let (config, records) = (site.dir().join("knotwork.yaml"), site.records());
    let (config, records) = (config.to_str().unwrap(), records.to_str().unwrap());
    assert_eq!(knotwork(&["-c", config, "plan", "-f", records]).code, 0);
    let by_environment = Command::new(env!("CARGO_BIN_EXE_knotwork"))
        .args(["plan", "-f", records])
        .env("KNOTWORK_CONFIG", config)
        .status()
        .unwrap();
    assert_eq!(by_environment.code(), Some(0));
    assert_eq!(knotwork(&["no-such-command"]).code, 1);
    assert_eq!(knotwork(&["--version"]).code, 0);
}

#[test]
fn outputs_for_people_and_machines() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    site.put("b", "name: ns0.internal, a: [10.0.0.9]");
    let text = site.records_run(&["plan"]);
    assert!(text.out.contains("  + a.internal. 300 A 10.0.0.1 (staticdnsrecord/dns/a)"), "{text:#?}");
    assert!(text.out.contains("  ! ns0.internal. A "), "{text:#?}");
    assert!(text.out.contains("left alone: "), "{text:#?}");
    assert!(!text.out.contains('\x1b'), "no colours when it is no terminal");
    let table = site.records_run(&["plan", "-o", "markdown"]);
    assert!(
        table.out.contains("| create | `a.internal.` | A | 300 |  | `10.0.0.1` | `staticdnsrecord/dns/a` |"),
        "{table:#?}"
    );
    let json: serde_json::Value = serde_json::from_str(&site.records_run(&["plan", "-o", "json"]).out).unwrap();
    assert_eq!(json["applied"], false);
    let zone = &json["zones"][0];
    assert_eq!(zone["zone"], "internal.");
    let change = &zone["changes"][0];
    for (key, value) in
        [("action", "create"), ("name", "a.internal."), ("type", "A"), ("source", "staticdnsrecord/dns/a")]
    {
        assert_eq!(change[key], value);
    }
    assert_eq!((&change["held"], &change["new"][0]), (&false.into(), &"10.0.0.1".into()));
    assert!(zone["held"].is_null() && zone["orphans"].is_array() && zone["skipped"].is_object());
    assert_eq!(zone["conflicts"][0]["name"], "ns0.internal.");
    site.apply(&[], 3);
    let show = site.run(&["zone", "show", "internal", "-o", "json", "--writer", "ours"]);
    let show: serde_json::Value = serde_json::from_str(&show.out).unwrap();
    let a = show.as_array().unwrap().iter().find(|set| set["name"] == "a.internal.").expect("our set");
    assert_eq!(a["writer"]["class"], "ours");
    assert_eq!(a["writer"]["resource"], "staticdnsrecord/dns/a");
    assert_eq!(site.run(&["zone", "show", "internal", "--writer", "nobody"]).code, 1);
    let explain = site.run(&["explain", "ns0.internal", "-f", site.records().to_str().unwrap()]);
    assert!(explain.out.contains("unmarked") && explain.out.contains("next: nothing for A"), "{explain:#?}");
    let doctor = site.run(&["doctor"]);
    assert_eq!(doctor.code, 0, "{doctor:#?}");
    for text in [&text, &table, &doctor] {
        assert!(!format!("{}{}", text.out, text.err).contains(knot::KEYS[0].1), "a secret was printed");
    }
}

/// Whose a PTR is cannot be known while the zone of its target cannot be read: it may be a DHCP server's.
#[test]
fn a_ptr_into_a_zone_that_cannot_be_read_is_nobodys_to_take() {
    let reverse = format!("{}7.0.0 PTR lease.internal.\n", knot::minimal_zone("10.in-addr.arpa"));
    let served = serve_zones(&[("10.in-addr.arpa", &reverse)]);
    let site = Site::new(served.server.addr());
    site.config(
        &site
            .config_text()
            .replace("{name: internal, defaultTtl: 300}", "{name: internal}\n      - {name: 10.in-addr.arpa}"),
    );
    site.put("p", "name: 7.0.0.10.in-addr.arpa, ptr: [other.example.], adopt: Takeover");
    let ran = site.apply(&[], 1);
    assert!(ran.out.contains("! 7.0.0.10.in-addr.arpa. PTR OwnedByOther held by dhcp"), "{ran:#?}");
    assert_eq!(served.server.counters().updates.load(Ordering::Relaxed), 0, "nothing was sent");
}

#[test]
fn a_shared_set_shows_all_its_holders() {
    let served = serve();
    let site = Site::new(served.server.addr());
    for (object, host) in [("one", 1), ("two", 2), ("three", 3)] {
        site.put(object, &format!("name: pool.internal, a: [10.0.0.{host}], share: true"));
    }
    site.put("alone", "name: alone.internal, a: [10.0.0.9]");
    site.apply(&[], 0);
    let holders = ["staticdnsrecord/dns/one", "staticdnsrecord/dns/three", "staticdnsrecord/dns/two"];
    let check = |site: &Site, class: &str| {
        let show = site.run(&["zone", "show", "internal", "-o", "json"]);
        let show: serde_json::Value = serde_json::from_str(&show.out).unwrap();
        let writer =
            |name: &str| show.as_array().unwrap().iter().find(|set| set["name"] == name).unwrap()["writer"].clone();
        assert_eq!(writer("pool.internal.")["resources"], serde_json::json!(holders));
        assert_eq!(writer("pool.internal.")["resource"], holders[0]);
        assert_eq!(writer("alone.internal.")["resources"], serde_json::json!(["staticdnsrecord/dns/alone"]));
        assert_eq!(writer("ns0.internal.")["resources"], serde_json::json!([]));
        let text = site.run(&["zone", "show", "internal"]);
        assert!(text.out.contains(&format!("{class} {}\n", holders.join(", "))), "{text:#?}");
        let markdown = site.run(&["zone", "show", "internal", "-o", "markdown"]);
        assert!(markdown.out.contains(&format!("{class} {} |", holders.join(", "))), "{markdown:#?}");
        let explain = site.run(&["explain", "pool.internal"]);
        assert!(explain.out.contains(&format!(", shared by {}", holders.join(" and "))), "{explain:#?}");
        assert!(!site.run(&["explain", "alone.internal"]).out.contains("shared"));
    };
    check(&site, "ours");
    // Another installation sees the same.
    check(&Site::of("office", "there", "operator", served.server.addr(), ""), "knotwork home");
}

/// Sets that are to be taken over are not ours yet: the brake does not speak of them as if they were.
#[test]
fn the_brake_tells_takeovers_from_replaces() {
    let hosts: String = (0..12).map(|host| format!("h{host} A 10.1.1.{host}\n")).collect();
    let served = serve_zones(&[("internal", &(knot::minimal_zone("internal") + &hosts))]);
    let site = Site::new(served.server.addr());
    for host in 0..12 {
        site.put(&format!("h{host}"), &format!("name: h{host}.internal, a: [10.2.2.{host}], adopt: Takeover"));
    }
    let ran = site.apply(&[], 3);
    let words = "(BrakeHeld): 12 takeovers are held: while 0 sets are ours, no more than 10 may go at once; if they are meant: knotwork apply";
    assert!(ran.err.contains(words), "{ran:#?}");
    let json: serde_json::Value = serde_json::from_str(&site.records_run(&["plan", "-o", "json"]).out).unwrap();
    let held = &json["zones"][0]["held"];
    assert_eq!((&held["takeovers"], &held["replaces"], &held["owned"]), (&12.into(), &0.into(), &0.into()));
    // Released, they are ours; and what then changes is a replace.
    site.apply(&["--release", held["hash"].as_str().unwrap()], 0);
    for host in 0..12 {
        site.put(&format!("h{host}"), &format!("name: h{host}.internal, a: [10.3.3.{host}]"));
    }
    let ran = site.apply(&[], 3);
    assert!(
        ran.err.contains("12 replaces are held: while 12 sets are ours, no more than 10 may go at once"),
        "{ran:#?}"
    );
}

#[test]
fn an_idle_pass_sends_nothing() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    site.apply(&[], 0);
    let updates = || served.server.counters().updates.load(Ordering::Relaxed);
    let before = updates();
    site.apply(&["--prune"], 0);
    assert_eq!(updates(), before, "a pass that changes nothing writes nothing");
}

#[test]
fn generated_texts() {
    let crds = knotwork(&["crds"]);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let printed: Vec<&str> = crds.out.split("---\n").filter(|part| !part.trim().is_empty()).collect();
    assert_eq!(printed.len(), files.len(), "as many as in crds/");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(printed.contains(&text.as_str()), "{} is not what `knotwork crds` prints", file.display());
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(knotwork(&["completions", shell]).out.contains("knotwork"));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_knotwork"))
        .arg("crds")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn the_demonstration_ends_well_and_its_dig_line_works() {
    let once = knotwork(&["demo", "--once"]);
    assert_eq!(once.code, 0, "{once:#?}");
    assert!(once.out.contains("created") && once.out.contains("externalDns k8s"), "{once:#?}");

    let mut child = Command::new(env!("CARGO_BIN_EXE_knotwork")).arg("demo").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let dig =
        lines.find_map(|line| Some(line.unwrap().trim().to_owned()).filter(|line| line.starts_with("dig "))).unwrap();
    if support::parts::find("dig").is_some() {
        let out = Command::new("sh").args(["-c", &dig]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "10.0.0.1", "{dig}");
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn watch_follows_edits_and_tells_its_numbers() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    site.put("b", "name: b.internal, a: [10.0.0.2]");
    let metrics = site.dir().join("knotwork.prom");
    let mut child = site
        .command(&["apply", "--watch", "--prune", "--listen", "127.0.0.1:0"])
        .arg("--metrics-file")
        .arg(&metrics)
        .arg("-f")
        .arg(site.records())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let first = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let address =
        first.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("the address").to_owned();
    let zone = Name::parse("internal").unwrap();
    let live = |name: &str| served.server.view(&zone).unwrap().get(&Name::parse(name).unwrap(), RrType::A);
    wait::until("both records", || (live("a.internal").is_some() && live("b.internal").is_some()).then_some(()));
    site.put("a", "name: a.internal, a: [10.0.0.7]");
    wait::until("the edit", || {
        live("a.internal").filter(|set| &*set.values[0] == [10, 0, 0, 7].as_slice()).map(|_| ())
    });
    site.cut("b");
    wait::until("the deletion, after two looks", || live("b.internal").is_none().then_some(()));
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(get("/healthz").contains("200 OK"));
    wait::until("readiness", || get("/readyz").contains("200 OK").then_some(()));
    wait::until("the numbers", || {
        get("/metrics").contains("knotwork_zone_changes_total{zone=\"internal\",action=\"delete\"} 1").then_some(())
    });
    wait::until("the metrics file", || {
        let text = std::fs::read_to_string(&metrics).unwrap_or_default();
        text.contains("knotwork_zone_managed_sets{zone=\"internal\"} 1").then_some(())
    });
    let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let left = std::fs::read_to_string(&metrics).unwrap();
    assert!(left.contains("knotwork_zone_managed_sets{zone=\"internal\"} 1"), "the file keeps its zones: {left}");
}
