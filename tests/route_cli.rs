//! `knotwork route` on recorded facts.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

const FACTS: &str = r#"{"version":1,"hostname":"pve","systemd":252,"hosts":[],"resolveUnicastSingleLabel":false,
    "links":[
      {"ifindex":2,"name":"vmbr0","loopback":false,"up":true,"carrier":true,"operstate":"up",
       "addresses":[{"address":"192.168.4.2","prefix":24}],"servers":["192.168.4.53","192.168.4.54"],"current":"192.168.4.54",
       "domains":["~maas","home.test"],"defaultRoute":"no"},
      {"ifindex":3,"name":"vmbr1","loopback":false,"up":true,"carrier":true,"operstate":"up",
       "addresses":[{"address":"10.0.0.2","prefix":24}],"servers":["10.0.0.1"],"domains":[],"defaultRoute":"unknown"}],
    "global":{"servers":[],"domains":[],"fallback":[]}}"#;

fn route(args: &[&str], facts: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("facts.json");
    std::fs::write(&file, facts).unwrap();
    Command::new(env!("CARGO_BIN_EXE_knotwork")).arg("route").args(args).arg("--facts").arg(&file).output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let mut all = args.to_vec();
    all.extend(["-o", "json"]);
    let output = route(&all, FACTS);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn json_has_the_shape_that_is_promised() {
    let value = json(&["pbs.maas"]);
    assert_eq!(value["name"], "pbs.maas");
    assert_eq!((&value["type"], &value["path"], &value["systemd"]), (&"A".into(), &"nss".into(), &252.into()));
    assert_eq!(value["outcome"], "network");
    let asked = &value["asked"][0];
    assert_eq!(
        (&asked["fqdn"], &asked["scope"], &asked["domain"]),
        (&"pbs.maas".into(), &"link:vmbr0".into(), &"~maas".into())
    );
    assert_eq!((&asked["labels"], &asked["current"]), (&1.into(), &"192.168.4.54".into()));
    assert_eq!(asked["servers"].as_array().unwrap().len(), 2);
    assert!(asked["why"].as_str().unwrap().contains("~maas"));
    assert!(value["failClosed"].is_boolean());
}

#[test]
fn both_answers_are_shown_where_a_fact_is_unknown() {
    let value = json(&["example.com"]);
    assert_eq!(value["outcome"], "network");
    assert_eq!(value["assuming"][0], "link vmbr1 has a default route");
    assert_eq!(value["alternatives"][0]["outcome"], "refused");
    let text = String::from_utf8(route(&["example.com"], FACTS).stdout).unwrap();
    assert!(text.contains("if link vmbr1 has no default route:"), "{text}");
}

#[test]
fn single_labels_are_searched_at_the_bus_and_refused_at_the_stub() {
    assert_eq!(json(&["nas"])["asked"][0]["fqdn"], "nas.home.test");
    let output = route(&["nas", "--path", "stub"], FACTS);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("refused"));
}

#[test]
fn all_is_a_table_of_the_routed_domains() {
    let text = String::from_utf8(route(&["--all"], FACTS).stdout).unwrap();
    let starts = |name: &str| text.lines().any(|line| line.starts_with(name));
    assert!(starts("*.maas ") && starts("*.home.test ") && starts("* "), "{text}");
}

#[test]
fn an_address_is_no_name_and_only_links_vanish() {
    let said = |output: Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let hint = "knotwork route 9.4.168.192.in-addr.arpa -t PTR";
    assert!(said(route(&["192.168.4.9"], FACTS)).contains(hint));
    assert!(!said(route(&["9.4.168.192.in-addr.arpa", "-t", "PTR"], FACTS)).contains("is an address"));
    assert!(said(route(&["pbs.maas"], FACTS)).contains("when this link vanishes, "));
    let global = FACTS
        .replace(r#""global":{"servers":[],"domains":[]"#, r#""global":{"servers":["10.9.0.53"],"domains":["~corp"]"#);
    let text = said(route(&["x.corp"], &global));
    assert!(text.contains("global asks 10.9.0.53") && !text.contains("when"), "{text}");
}

#[test]
fn wrong_input_is_told_clearly() {
    let refuses = |args: &[&str], facts: &str, words: &str| {
        let output = route(args, facts);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(words), "{args:?}: {text}");
    };
    refuses(&["a..b"], FACTS, "empty label");
    refuses(&[&format!("{}.test", "a".repeat(64))], FACTS, "64 octets long");
    refuses(&["a\u{2260}\u{200d}.test"], FACTS, "internationalised");
    refuses(&["a.test", "-t", "NOPE"], FACTS, "is not a record type");
    refuses(&["a.test", "--at", "v239"], FACTS, "older than 240");
    refuses(&["a.test", "--at", "new"], FACTS, "write it as v252");
    refuses(&["a.test"], "{", "not facts of a host");
    refuses(&["a.test"], r#"{"version":9}"#, "facts of layout 9");
}
