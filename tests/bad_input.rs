//! Bad input, as a person meets it: each gives a message that says what, where and what to do, the right exit code, and
//! leaves everything else unharmed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::knot::{KEYS, Knot, Setup};
use support::parts;
use support::site::{self, Ran, Site};

/// All that a run said.
fn said(ran: &Ran) -> String {
    format!("{}{}", ran.out, ran.err)
}

/// Requires the exit code and every one of these words.
#[track_caller]
fn expect(ran: &Ran, code: i32, words: &[&str]) {
    let text = said(ran);
    assert_eq!(ran.code, code, "{text}");
    for word in words {
        assert!(text.to_lowercase().contains(&word.to_lowercase()), "`{word}` is missing in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    for (_, secret) in KEYS {
        assert!(!text.contains(secret), "a secret was printed: {text}");
    }
}

fn knot() -> Option<Knot> {
    parts::need("knot").map(|program| Knot::start(&program))
}

fn one(knot: &Knot) -> Site {
    let site = Site::new(knot.addr);
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    site
}

#[test]
fn keys_that_do_not_fit() {
    let Some(knot) = knot() else { return };
    let site = one(&knot);
    std::fs::remove_file(site.dir().join("key.b64")).unwrap();
    expect(&site.records_run(&["plan"]), 1, &["key.b64", "knotwork.yaml"]);
    std::fs::write(site.dir().join("key.b64"), "not base64 !").unwrap();
    expect(&site.records_run(&["plan"]), 1, &["key.b64", "base64"]);
    std::fs::write(site.dir().join("key.b64"), KEYS[1].1).unwrap();
    expect(&site.records_run(&["plan"]), 1, &["secret", "operator", &knot.addr.to_string()]);
    std::fs::write(site.dir().join("key.b64"), KEYS[0].1).unwrap();
    let good = site.config_text();
    site.config(&good.replace("name: operator", "name: nobody"));
    expect(&site.records_run(&["plan"]), 1, &["nobody", "key"]);
    site.config(&good.replace("hmac-sha256", "hmac-sha512"));
    expect(&site.records_run(&["plan"]), 1, &["algorithm", "operator"]);
    site.config(&good.replace("hmac-sha256", "hmac-md5"));
    expect(&site.records_run(&["plan"]), 1, &["hmac-md5", "knotwork.yaml:"]);
    site.config(&good);
    expect(&site.records_run(&["plan"]), 2, &["a.internal"]);
}

#[test]
fn rights_that_lack() {
    let Some(program) = parts::need("knot") else { return };
    let acl = |actions: &str| {
        let rule = format!("  - id: op\n    key: operator\n    action: [ {actions} ]\n");
        Knot::with(&program, &Setup { acl: Some(("op".into(), rule)), ..Setup::default() })
    };
    let no_transfer = acl("update");
    expect(&one(&no_transfer).records_run(&["plan"]), 1, &["transfer", "internal", "acl"]);
    let no_update = acl("transfer");
    let site = one(&no_update);
    expect(&site.records_run(&["plan"]), 2, &["a.internal"]);
    expect(&site.records_run(&["apply"]), 1, &["UpdateRefused", "acl", "internal"]);
}

#[test]
fn one_type_that_the_acl_forbids_holds_up_nothing_else() {
    let Some(program) = parts::need("knot") else { return };
    let rule = "  - id: tr\n    key: operator\n    action: transfer\n  - id: op\n    key: operator\n    action: update\n    update-type: [ A, TXT ]\n";
    let knot = Knot::with(&program, &Setup { acl: Some(("tr, op".into(), rule.into())), ..Setup::default() });
    let site = Site::new(knot.addr);
    site.file("many.yaml", &site::many("good", 5000, 20));
    site.put("bad", "name: bad.internal, mx: [{preference: 1, exchange: mail.internal}]");
    let ran = site.records_run(&["apply"]);
    expect(&ran, 3, &["bad.internal", "MX", "UpdateRefused"]);
    let lines = site::zone(knot.addr, "internal");
    assert_eq!(lines.iter().filter(|line| line.starts_with("good") && line.contains(" A ")).count(), 5000);
    assert!(!lines.iter().any(|line| line.starts_with("bad.") || line.starts_with("_knotwork.bad.")));
}

#[test]
fn servers_that_are_not_there() {
    let Some(mut knot) = knot() else { return };
    let site = one(&knot);
    let good = site.config_text();
    site.config(&good.replace("name: internal,", "name: nowhere.example,"));
    site.put("a", "name: a.nowhere.example, a: [10.0.0.1]");
    expect(&site.records_run(&["plan"]), 1, &["nowhere.example", "not", &knot.addr.to_string()]);
    site.config(&good);
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    knot.kill();
    expect(&site.records_run(&["plan"]), 1, &["ServerUnreachable", &knot.addr.to_string()]);
    // The plan's JSON is written even then.
    let ran = site.records_run(&["plan", "-o", "json"]);
    assert_eq!(ran.code, 1);
    let json: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON even when the run fails");
    assert!(json["zones"].is_array());
}

#[test]
fn a_second_server_that_is_down_does_not_stop_the_first() {
    let Some(knot) = knot() else { return };
    let site = one(&knot);
    let dead = support::wait::free_port();
    let more = format!(
        "  - name: dead\n    address: 127.0.0.1:{dead}\n    tsig: {{name: operator, algorithm: hmac-sha256, secretFile: key.b64}}\n    zones: [{{name: dead.example}}]\n"
    );
    site.config(&(site.config_text() + &more));
    site.put("d", "name: d.dead.example, a: [10.0.0.1]");
    expect(&site.records_run(&["apply"]), 1, &["ServerUnreachable", "dead.example"]);
    assert!(site::zone(knot.addr, "internal").iter().any(|line| line == "a.internal. 300 A 10.0.0.1"));
}

#[test]
fn names_and_values_that_cannot_be() {
    let Some(knot) = knot() else { return };
    let site = one(&knot);
    let long = "x".repeat(64);
    let text = "t".repeat(66_000);
    let cases: &[(&str, String, &[&str])] = &[
        ("outside", "name: www.example.com, a: [10.0.0.1]".into(), &["ZoneNotFound", "www.example.com"]),
        ("undotted", "name: www, a: [10.0.0.1]".into(), &["www", "zone"]),
        ("label", format!("name: {long}.internal, a: [10.0.0.1]"), &["63", "spec.name"]),
        ("text", format!("name: text.internal, txt: [{text}]"), &["spec.txt", "text"]),
        ("address", "name: x.internal, a: [10.0.0.300]".into(), &["10.0.0.300", "spec.a"]),
        ("family", "name: x.internal, a: [\"fd00::1\"]".into(), &["fd00::1", "spec.a"]),
        ("ttl", "name: x.internal, ttl: -5, a: [10.0.0.1]".into(), &["ttl"]),
        ("cname", "name: x.internal, cname: y.internal, a: [10.0.0.1]".into(), &["cname"]),
        ("nothing", "name: x.internal".into(), &["no records"]),
        ("marker", "name: _knotwork.x.internal, a: [10.0.0.1]".into(), &["_knotwork"]),
        ("soa", "name: internal, other: [{type: SOA, rdata: [\"a b 1 2 3 4 5\"]}]".into(), &["SOA"]),
        ("apexcname", "name: internal, cname: y.internal".into(), &["apex"]),
        ("typo", "name: x.internal, adresses: [10.0.0.1]".into(), &["adresses", "unknown"]),
        ("number", "name: x.internal, txt: [0x10]".into(), &["0x10"]),
        ("boolean", "name: x.internal, txt: [no]".into(), &["no"]),
    ];
    for (object, spec, words) in cases {
        site.put(object, spec);
        let ran = site.records_run(&["plan"]);
        let text = said(&ran);
        assert!(matches!(ran.code, 1 | 3), "{object}: {} {text}", ran.code);
        let file = format!("{object}.yaml:");
        assert!(text.contains(&file), "{object}: the place is missing in:\n{text}");
        expect(&ran, ran.code, words);
        assert!(text.contains("a.internal."), "{object}: the good record is still planned:\n{text}");
        site.cut(object);
    }
}

#[test]
fn yaml_that_is_broken_hides_nothing_and_deletes_nothing() {
    let Some(knot) = knot() else { return };
    let site = Site::new(knot.addr);
    site.put("gone", "name: gone.internal, a: [10.0.0.1]");
    site.apply(&[], 0);
    site.cut("gone");
    let good = site::manifest("good", "name: good.internal, a: [10.0.0.2]");
    let broken: &[(&str, String)] = &[
        ("duplicate", "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec:\n  name: x.internal\n  a: [10.0.0.1]\n  a: [10.0.0.2]\n".into()),
        ("tab", "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec:\n\tname: x.internal\n".into()),
        ("cut", "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec:\n  name: x.internal\n  a: [10.0.0.1".into()),
        ("kind", "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecrod\nmetadata: {name: x}\nspec: {name: x.internal, a: [10.0.0.1]}\n".into()),
        ("nokind", "---\nname: x\n".into()),
    ];
    for (title, text) in broken {
        site.file("mixed.yaml", &format!("{good}{text}"));
        let ran = site.records_run(&["apply", "--prune"]);
        expect(&ran, 1, &["mixed.yaml:"]);
        let lines = site::zone(knot.addr, "internal");
        assert!(lines.iter().any(|line| line.starts_with("good.internal.")), "{title}: the good document was applied");
        assert!(lines.iter().any(|line| line.starts_with("gone.internal.")), "{title}: nothing was deleted");
        assert!(said(&ran).contains("mixed.yaml"), "{title}");
    }
    site.file("mixed.yaml", &good);
    site.apply(&["--prune"], 0);
    assert!(!site::zone(knot.addr, "internal").iter().any(|line| line.starts_with("gone.internal.")));
}

#[test]
fn an_empty_or_missing_world_deletes_nothing() {
    let Some(knot) = knot() else { return };
    let site = one(&knot);
    site.apply(&[], 0);
    let still = || site::zone(knot.addr, "internal").iter().any(|line| line.starts_with("a.internal."));
    site.cut("a");
    expect(&site.records_run(&["apply", "--prune"]), 1, &["--allow-empty"]);
    assert!(still());
    let missing: Ran =
        site.command(&["apply", "--prune", "--allow-empty", "-f", "/nonexistent/x"]).output().unwrap().into();
    expect(&missing, 1, &["/nonexistent/x"]);
    assert!(still());
    // A file without one octet may be what a full disk left: it is one that cannot be read, unless it is all there is and
    // that is said to be meant.
    site.file("zero.yaml", "");
    expect(&site.records_run(&["apply", "--prune"]), 1, &["zero.yaml", "not one octet", "--allow-empty"]);
    assert!(still());
    site.put("b", "name: b.internal, a: [10.0.0.2]");
    expect(&site.records_run(&["apply", "--prune", "--allow-empty"]), 1, &["zero.yaml", "1 operation waits"]);
    assert!(still());
    site.cut("b");
    let ran = site.records_run(&["plan", "--prune", "--allow-empty"]);
    expect(&ran, 2, &["- a.internal. 300 A", "- b.internal. 300 A"]);
    std::fs::remove_file(site.records().join("zero.yaml")).unwrap();
    // Without --prune an object that is gone is an orphan: shown, not deleted.
    site.put("b", "name: b.internal, a: [10.0.0.2]");
    let ran = site.records_run(&["apply"]);
    expect(&ran, 0, &["a.internal", "?"]);
    assert!(still());
    site.cut("b");
    site.apply(&["--prune", "--allow-empty"], 0);
    assert!(!still());
}

#[test]
fn a_file_that_may_be_cut_short_deletes_nothing() {
    let Some(knot) = knot() else { return };
    let site = Site::new(knot.addr);
    let whole = site::many("doc", 4, 30);
    site.file("all.yaml", &whole);
    site.apply(&["--prune"], 0);
    let there = || site::zone(knot.addr, "internal").iter().filter(|line| line.contains(" A 10.30.")).count();
    for at in (1..whole.len()).step_by(23).filter(|at| whole.as_bytes()[at - 1] != b'\n') {
        site.file("all.yaml", &whole[..at]);
        let ran = site.records_run(&["apply", "--prune", "--allow-empty"]);
        assert!(ran.code == 3 || ran.code == 1, "{at}: {ran:?}");
        assert!(said(&ran).contains("all.yaml"), "{at}: {ran:?}");
        assert_eq!(there(), 4, "cut at {at}");
    }
    let end = whole.rfind("---").unwrap();
    site.file("all.yaml", &whole[..end - 1]);
    let words = ["1 operation waits", "all.yaml may be cut short", "end the file with a newline"];
    expect(&site.records_run(&["plan", "--prune"]), 3, &words);
    // Whoever never deletes is not told of it.
    let ran = site.records_run(&["apply"]);
    assert!(ran.code == 0 && !said(&ran).contains("newline"), "{ran:?}");
    site.file("all.yaml", &whole[..end]);
    site.apply(&["--prune"], 0);
    assert_eq!(there(), 3);
    // Half a value is no value: what it would change waits, with --prune and without.
    let value = |last: &str| {
        let block = site::manifest("half", "").replace("spec: {}", "spec:\n  name: half.internal\n  a:\n    - ");
        format!("{}{last}\n", block.trim_end_matches('\n'))
    };
    site.file("half.yaml", &value("10.4.1.120"));
    site.apply(&[], 0);
    site.file("half.yaml", value("10.4.1.12").trim_end());
    for more in [&[][..], &["--prune"]] {
        let ran = site.records_run(&[&["apply"], more].concat());
        expect(&ran, 3, &["1 operation waits", "half.yaml may be cut short"]);
        assert!(site::zone(knot.addr, "internal").contains(&"half.internal. 300 A 10.4.1.120".to_owned()));
    }
    site.file("half.yaml", &value("10.4.1.12"));
    site.apply(&[], 0);
    // JSON says itself where it ends.
    std::fs::remove_file(site.records().join("half.yaml")).unwrap();
    let json = r#"{"apiVersion":"dns.knotwork.dev/v1alpha1","kind":"StaticDNSRecord","metadata":{"name":"half","namespace":"dns"},"spec":{"name":"half.internal","a":["10.4.1.13"]}}"#;
    site.file("half.json", json);
    site.apply(&["--prune"], 0);
}

#[test]
fn ten_thousand_documents_in_one_file() {
    let Some(knot) = knot() else { return };
    let site = Site::new(knot.addr);
    site.file("many.yaml", &site::many("doc", 10_000, 30));
    site.apply(&["--prune"], 0);
    let lines = site::zone(knot.addr, "internal");
    assert_eq!(lines.iter().filter(|line| line.starts_with("doc") && line.contains(" A ")).count(), 10_000);
}

#[test]
fn the_brake_holds_and_names_the_way_out() {
    let Some(knot) = knot() else { return };
    let site = Site::new(knot.addr);
    site.file("many.yaml", &site::many("set", 100, 40));
    site.apply(&[], 0);
    site.file("many.yaml", &site::many("set", 50, 40));
    let ran = site.records_run(&["apply", "--prune"]);
    expect(&ran, 3, &["--release", "50"]);
    assert_eq!(
        site::zone(knot.addr, "internal").iter().filter(|line| line.starts_with("set") && line.contains(" A ")).count(),
        100
    );
    let plan: serde_json::Value =
        serde_json::from_str(&site.records_run(&["plan", "--prune", "-o", "json"]).out).unwrap();
    let hash = plan["zones"][0]["held"]["hash"].as_str().expect("a hash").to_owned();
    expect(&site.records_run(&["apply", "--prune", "--release", "0000000000000000"]), 3, &["release"]);
    site.apply(&["--prune", "--release", &hash], 0);
    assert_eq!(
        site::zone(knot.addr, "internal").iter().filter(|line| line.starts_with("set") && line.contains(" A ")).count(),
        50
    );
}

#[test]
fn configurations_that_are_wrong() {
    let Some(knot) = knot() else { return };
    let site = one(&knot);
    let good = site.config_text();
    for (from, to, words) in [
        ("owner: home", "owner: home\nownr: x", &["ownr", "knotwork.yaml:2"][..]),
        ("owner: home", "owner: home\nowner: other", &["owner", "knotwork.yaml:"]),
        ("owner: home", "owner: two.labels", &["two.labels"]),
        ("defaultTtl: 300", "defaultTtl: soon", &["soon", "knotwork.yaml:"]),
        ("zones:\n", "zones:\n\t", &["tab"]),
    ] {
        site.config(&good.replace(from, to));
        expect(&site.records_run(&["plan"]), 1, words);
    }
    site.config(&good);
    let ran: Ran = site.command(&["plan", "-f", "x", "-c", "/nonexistent.yaml"]).output().unwrap().into();
    assert!(matches!(ran.code, 1 | 2), "{ran:#?}");
}
