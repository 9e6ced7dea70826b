#![allow(clippy::unwrap_used)]
use super::*;
use crate::ownership::AdoptFrom;

const GOOD: &str = r#"owner: home
instance: nas
marker: {label: _knotwork}
servers:
  - name: routy
    address: 127.0.0.1:5301
    tsig: {name: operator, algorithm: hmac-sha256, secretFile: key.b64}
    zones:
      - {name: internal, defaultTtl: 600, externalDns: [{prefix: "k8s."}], brake: {percent: 30, atLeast: 10}, mode: Repair, adoptFrom: [{heritage: nix, managedBy: routy}]}
      - {name: 10.in-addr.arpa}
  - name: six
    address: ["[fd00::1]", "fd00::2"]
    tsig: {keyFile: bind.key}
    zones: [{name: s3.garage.internal, mode: Observe, checkInterval: 200ms}]
claims:
  - {namespaces: [dns], names: ["*.internal", internal], types: [A, AAAA, CNAME, PTR], addresses: [10.0.0.0/8]}
"#;

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key.b64"), "cGxlYXNlIGRvIG5vdA==\n").unwrap();
    std::fs::write(dir.path().join("bind.key"), "key \"x\" { algorithm hmac-sha512; secret \"cGxlYXNl\"; };").unwrap();
    dir
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    let dir = folder();
    Config::parse(&dir.path().join("knotwork.yaml"), text)
}

#[test]
fn the_whole_of_it() {
    let config = parse(GOOD).unwrap();
    assert_eq!((config.owner.as_str(), config.instance.as_str()), ("home", "nas"));
    assert_eq!(config.servers[1].server.addresses[1].to_string(), "[fd00::2]:53");
    let zones: Vec<_> = config.zones().collect();
    assert_eq!((zones[0].default_ttl, zones[1].default_ttl), (600, 300));
    assert_eq!(zones[0].rules.adopt_from, [AdoptFrom::Nix { managed_by: "routy".into() }]);
    assert!(zones[2].rules.observe && zones[2].check_interval == Duration::from_millis(200));
    assert!(matches!(config.rights, Rights::Rules(_)));
    assert_eq!(config.files.len(), 3);
    assert!(!format!("{config:?}").contains("cGxlYXNl"), "secrets are not printed");
}

#[track_caller]
fn wrong(from: &str, to: &str, words: &[&str]) {
    assert!(GOOD.contains(from), "{from}");
    let error = parse(&GOOD.replace(from, to)).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "`{word}` in: {error}");
    }
    assert!(error.contains("knotwork.yaml:"), "{error}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    wrong("owner: home\n", "owner: home\nownr: x\n", &["ownr", ":2:1"]);
    wrong("owner: home\n", "owner: home\nowner: x\n", &["owner", ":2:1"]);
    wrong("owner: home", "owner: two.labels", &["two.labels", "32"]);
    wrong("address: 127.0.0.1:5301", "address: ns.example.com", &["ns.example.com", "host name"]);
    wrong("secretFile: key.b64", "secretFile: none.b64", &["none.b64"]);
    wrong("hmac-sha256", "hmac-md5", &["hmac-md5", "hmac-sha256"]);
    wrong("defaultTtl: 600", "defaultTtl: -1", &["-1", "TTL"]);
    wrong("10.in-addr.arpa", "internal", &["twice"]);
    wrong("percent: 30", "percent: 300", &["percent"]);
    wrong("checkInterval: 200ms", "checkInterval: soon", &["soon"]);
    wrong("heritage: nix", "heritage: knot", &["heritage"]);
    wrong("types: [A,", "types: [AB,", &["AB"]);
    wrong("mode: Repair", "mode: Maybe", &["Maybe", "Observe"]);
}

#[test]
fn several_errors_at_once() {
    let error = parse(&GOOD.replace("owner: home", "owner: a.b").replace("percent: 30", "percent: 300")).unwrap_err();
    assert_eq!(error.0.len(), 2);
}
