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

/// The place is that of the value, and the words are about it.
#[test]
fn the_caret_is_under_the_value_that_is_wrong() {
    wrong("name: six\n", "name: routy\n", &[":11:11: the server \"routy\" is named twice, first at", "yaml:5:11"]);
    wrong("algorithm: hmac-sha256", "algorithm: hmac-sha25", &[":7:39: unknown algorithm \"hmac-sha25\""]);
    wrong("secretFile: key.b64", "secretFile: none.b64", &[":7:64: the key file"]);
    wrong("atLeast: 10", "atLeast: -1", &[":9:106: brake.atLeast: -1 is out of range"]);
    wrong("\"fd00::2\"", "\"::1:53\"", &["write [::1]:53, or [::1:53]"]);
    wrong("checkInterval: 200ms", "checkInterval: 5", &["200ms, 1s or 5m"]);
    wrong("checkInterval: 200ms", "checkInterval: \"5\"", &["200ms, 1s or 5m"]);
    let error = parse(&GOOD.replace("checkInterval: 200ms", "checkInterval: 5")).unwrap_err().to_string();
    assert!(!error.contains("quotes"), "{error}");
    let error = parse(&format!("{GOOD}---\nowner: other\n")).unwrap_err().to_string();
    assert!(error.contains("a configuration is one") && !error.contains("in front of it"), "{error}");
    for empty in ["", "# nothing\n", "---\n"] {
        let error = parse(empty).unwrap_err().to_string();
        assert!(error.contains("the configuration is empty") && !error.contains("declare nothing"), "{error}");
    }
}

#[test]
fn everything_misspelt_is_said_at_once_with_a_guess() {
    let text = GOOD
        .replace("owner: home", "ownr: home")
        .replace("defaultTtl: 600", "defaultTTL: \"600\"")
        .replace("mode: Repair", "mode: repair")
        .replace("[10.0.0.0/8]", "10.0.0.0/8");
    let error = parse(&text).unwrap_err();
    let said = error.to_string();
    assert_eq!(error.0.len(), 5, "{said}");
    // What a value is worth is said beside what is misspelt.
    let more = text.replace("address: 127.0.0.1:5301", "address: ns.example").replace("percent: 30", "percent: 300");
    let more = parse(&more.replace("name: six", "nam: six").replace("types: [A,", "types: [AB,")).unwrap_err();
    assert_eq!(more.0.len(), 10, "{more}");
    for words in
        ["did you mean \"owner\"", "\"owner\" is missing", "did you mean \"defaultTtl\"", "\"Repair\"", "[10.0.0.0/8]"]
    {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert!(said.contains("knotwork.yaml:1:1: ownr"), "{said}");
    assert!(error.0.iter().any(|found| found.line == 9 && found.column == 26), "{said}");
}

/// A file with every key of the schema is read by the types, whatever its values are worth.
#[test]
fn schema_and_types_have_the_same_keys() {
    fn sample(schema: &serde_json::Value) -> serde_json::Value {
        match schema["type"].as_str() {
            Some("object") => {
                schema["properties"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), sample(v))).collect()
            }
            Some("array") => [sample(&schema["items"])].into_iter().collect(),
            Some("integer") => 1.into(),
            Some("boolean") => true.into(),
            _ => schema["enum"].as_array().map_or("x".into(), |words| words[0].clone()),
        }
    }
    let text = sample(&SCHEMA).to_string();
    let tree = tree::parse(&text).unwrap();
    let read = from_tree::<RawConfig>(&tree);
    assert!(read.is_ok(), "{read:?}");
    let source = include_str!("config.rs");
    let fields = source.split("pub(super) struct Raw").skip(1).map(|part| {
        part.split("\n}").next().unwrap_or("").lines().filter(|line| line.trim_start().starts_with("pub ")).count()
    });
    fn keys(schema: &serde_json::Value) -> usize {
        let own = schema["properties"].as_object();
        own.map_or(0, |map| map.len() + map.values().map(keys).sum::<usize>()) + schema.get("items").map_or(0, keys)
    }
    // `adoptFrom` is read as a plain map, so its three keys are in no type.
    assert_eq!(fields.sum::<usize>() + 3, keys(&SCHEMA));
}

#[test]
fn several_errors_at_once() {
    let error = parse(&GOOD.replace("owner: home", "owner: a.b").replace("percent: 30", "percent: 300")).unwrap_err();
    assert_eq!(error.0.len(), 2);
}

#[test]
fn a_configuration_in_json_is_strict() {
    let value = tree::parse(GOOD).unwrap().value();
    let dir = folder();
    let path = dir.path().join("knotwork.json");
    let text = serde_json::to_string_pretty(&value).unwrap();
    assert!(Config::parse(&path, &text).is_ok());
    let error = Config::parse(&path, &text.replacen("]\n", "],\n", 1).replacen("],,", "],", 1)).unwrap_err();
    assert!(error.to_string().contains("not valid JSON"), "{error}");
}
