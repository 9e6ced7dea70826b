#![allow(clippy::unwrap_used)]
use super::*;
use crate::model::Name;
use std::path::Path;

fn config() -> Config {
    let text = "owner: home\ninstance: x\nservers:\n  - {name: s, address: 127.0.0.1, zones: [{name: internal}, {name: 10.in-addr.arpa}]}\n";
    Config::parse(Path::new("knotwork.yaml"), text).unwrap()
}

fn record(object: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {{name: {object}, namespace: dns}}\nspec: {{{spec}}}\n"
    )
}

fn read(files: &[(&str, &str)]) -> (Loaded, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    (load(&[Input::Path(dir.path().to_owned())], &config(), false), dir)
}

fn internal(loaded: &Loaded) -> Vec<String> {
    loaded.claims[&Name::parse("internal").unwrap()].sets.keys().map(Name::to_relaxed).collect()
}

#[test]
fn folders_documents_lists_and_json() {
    let two =
        record("a", "name: a.internal, a: [10.0.0.1], reverse: true") + &record("b", "name: b.internal, txt: [x]");
    let list = "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"dns.knotwork.dev/v1alpha1\", \"kind\": \"StaticDNSRecord\", \"metadata\": {\"name\": \"c\"}, \"spec\": {\"name\": \"c.internal\", \"a\": [\"10.0.0.3\"]}}]}";
    let (loaded, _dir) =
        read(&[("x.yaml", &two), ("sub/y.json", list), ("notes.txt", "no"), (".hidden.yaml", "{"), ("z.yaml~", "{")]);
    assert!(loaded.broken.is_empty() && loaded.refusals.is_empty(), "{loaded:?}");
    assert_eq!(internal(&loaded), ["a.internal", "b.internal", "c.internal"]);
    assert_eq!(loaded.claims[&Name::parse("10.in-addr.arpa").unwrap()].sets.len(), 1);
    let objects = &loaded.claims[&Name::parse("internal").unwrap()].objects;
    assert_eq!(objects.len(), 3);
    assert!(objects.contains_key(&ObjectId::static_record("default", "c")));
}

#[test]
fn a_bad_document_hides_nothing() {
    let good = record("good", "name: good.internal, a: [10.0.0.1]");
    for (bad, word) in [
        ("---\na: [1\n", "10.0.0.1"),
        (
            "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecrod\nmetadata: {name: x}\nspec: {}\n",
            "StaticDNSRecrod",
        ),
        (
            "---\napiVersion: dns.knotwork.dev/v2\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec: {name: x.internal}\n",
            "v2",
        ),
        (
            "---\napiVersion: dns.example.com/v1\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec: {name: x.internal}\n",
            "dns.example.com",
        ),
        ("---\nname: x\n", "missing"),
    ] {
        let (loaded, _dir) = read(&[("x.yaml", &format!("{bad}{good}"))]);
        assert_eq!(internal(&loaded), ["good.internal"], "{bad}");
        assert_eq!(loaded.broken.len(), 1, "{bad}");
        if word != "10.0.0.1" {
            assert!(loaded.broken[0].to_string().contains(word), "{}", loaded.broken[0]);
        }
        assert!(matches!(loaded.claims[&Name::parse("internal").unwrap()].health, SourceHealth::Incomplete(_)));
    }
}

#[test]
fn an_invalid_object_is_present_and_protected() {
    for (spec, field, line) in [
        ("name: x.internal, a: [10.0.0.300]", "spec.a[0]", 6),
        ("name: x.internal, adresses: [10.0.0.1]", "", 6),
        ("name: x.internal, txt: [no]", "", 6),
    ] {
        let (loaded, _dir) = read(&[("x.yaml", &format!("# head\n{}", record("bad", spec)))]);
        assert!(loaded.is_complete());
        let objects = &loaded.claims[&Name::parse("internal").unwrap()].objects;
        assert_eq!(objects[&ObjectId::static_record("dns", "bad")], ObjectState::Protected, "{spec}");
        let refusal = &loaded.refusals[0];
        assert_eq!((refusal.field.as_str(), refusal.diagnostic.line), (field, line), "{}", refusal.diagnostic);
    }
}

#[test]
fn twice_the_same_object_is_neither() {
    let (loaded, _dir) = read(&[
        ("a.yaml", &record("x", "name: a.internal, a: [10.0.0.1]")),
        ("b.yaml", &record("x", "name: b.internal, a: [10.0.0.1]")),
    ]);
    assert!(internal(&loaded).is_empty());
    assert!(loaded.refusals[0].diagnostic.message.contains("a.yaml"));
}

#[test]
fn empty_missing_and_unreadable() {
    let (loaded, dir) = read(&[]);
    assert_eq!((loaded.empty.len(), loaded.is_complete()), (1, true));
    let missing = load(&[Input::Path(dir.path().join("none"))], &config(), true);
    assert!(!missing.is_complete() && missing.broken[0].file.ends_with("none"));
    let (zero, _dir) = read(&[("zero.yaml", "")]);
    assert!(!zero.is_complete());
    let (comment, _dir) = read(&[("c.yaml", "# nothing here\n---\n")]);
    assert!(comment.is_complete() && comment.empty.len() == 1);
}

#[test]
fn kinds_of_others_are_noted() {
    let (loaded, _dir) = read(&[(
        "x.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: SplitDNSPolicy\nmetadata: {name: x}\nspec: {}\n",
    )]);
    assert!(loaded.is_complete());
    assert_eq!(loaded.notes.len(), 2);
}

#[test]
fn ten_thousand_documents() {
    let text: String = (0..10_000)
        .map(|i| record(&format!("r{i}"), &format!("name: r{i}.internal, a: [10.0.{}.{}]", i / 250, i % 250)))
        .collect();
    let (loaded, _dir) = read(&[("many.yaml", &text)]);
    assert_eq!((loaded.objects, loaded.broken.len()), (10_000, 0));
}
