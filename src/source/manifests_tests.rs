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
        (
            "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec: {name: x.internal, a: [10.0.0.1], a: [10.0.0.2]}\n",
            "duplicate",
        ),
        ("---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x}\n", "spec"),
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
        ("name: x.internal, adresses: [10.0.0.1]", "spec.adresses", 6),
        ("name: x.internal, txt: [no]", "spec.txt[0]", 6),
        ("name: x.internal, a: null", "spec.a", 6),
    ] {
        let (loaded, _dir) = read(&[("x.yaml", &format!("# head\n{}", record("bad", spec)))]);
        assert!(loaded.is_complete());
        let objects = &loaded.claims[&Name::parse("internal").unwrap()].objects;
        assert_eq!(objects[&ObjectId::static_record("dns", "bad")], ObjectState::Protected, "{spec}");
        let refusal = &loaded.refusals[0];
        assert_eq!((refusal.field.as_str(), refusal.diagnostic.line), (field, line), "{}", refusal.diagnostic);
    }
}

/// Whatever a file lost at its end, what stood there is not taken for gone; only a cut between two lines that leaves a
/// whole object looks like an edit.
#[test]
fn a_file_that_may_be_cut_short_deletes_nothing() {
    let doc = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {{name: {name}, namespace: dns}}\nspec:\n{spec}"
        )
    };
    let whole = doc("t1", "  name: t1.internal\n  a:\n    - 10.4.0.1\n    - 10.4.0.2\n")
        + &doc("t2", "  name: t2.internal\n  ttl: 600\n  a: [10.4.0.3]\n  txt: [\"grün\"]\n")
        + &doc("t3", "  name: t3.internal\n  cname: t1.internal\n")
        + &doc("t4", "  name: t4.internal\n  mx:\n    - {preference: 1, exchange: t1.internal}\n");
    let health = |text: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.yaml"), text).unwrap();
        let mut loaded = load(&[Input::Path(dir.path().to_owned())], &config(), true);
        loaded.claims.remove(&Name::parse("internal").unwrap()).unwrap().health
    };
    assert_eq!(health(whole.as_bytes()), SourceHealth::Complete);
    for at in 1..whole.len() {
        let part = &whole.as_bytes()[..at];
        let lines = String::from_utf8_lossy(part);
        let healthy = health(part) == SourceHealth::Complete;
        assert!(!healthy || lines.ends_with('\n'), "cut at {at}: {lines}");
        // Between two lines, what is left of the last object is too little.
        let bare = lines.ends_with("spec:\n") || lines.ends_with("name: t3.internal\n");
        assert!(!healthy || !bare, "cut at {at}: {lines}");
    }
    let SourceHealth::Incomplete(why) = health(whole.trim_end().as_bytes()) else { panic!() };
    assert!(why.len() == 1 && why[0].contains("x.yaml") && why[0].contains("newline"), "{why:?}");
    let cut = &whole[..whole.rfind("  mx:").unwrap()];
    let SourceHealth::Incomplete(why) = health(cut.as_bytes()) else { panic!() };
    assert!(why.len() == 1 && why[0].contains("x.yaml:27)") && why[0].contains("mend"), "{why:?}");
}

#[test]
fn twice_the_same_object_is_neither() {
    let (loaded, _dir) = read(&[
        ("a.yaml", &record("x", "name: a.internal, a: [10.0.0.1]")),
        ("b.yaml", &record("x", "name: b.internal, a: [10.0.0.1]")),
    ]);
    assert!(internal(&loaded).is_empty());
    let said = loaded.refusals[0].diagnostic.to_string();
    // Both places, with a caret under the second name; neither is the separator.
    assert!(said.contains("b.yaml:4:18: ") && said.contains("a.yaml:2;"), "{said}");
    assert!(said.contains("4 | metadata: {name: x, namespace: dns}\n  |                  ^"), "{said}");
}

#[test]
fn places_are_lines_with_something_in_them() {
    let text =
        format!("# head\n---\n\n# about x\n{}", record("x", "name: x.internal, a: [10.0.0.1]").replace("---\n", ""))
            + &record("z", "name: z.internal, txt: [t], reverse: true")
            + "--- # of others\napiVersion: v1\nkind: ConfigMap\n";
    let (loaded, _dir) = read(&[("x.yaml", &text)]);
    assert!(loaded.is_complete(), "{:?}", loaded.broken);
    let line = |name: &str| loaded.places[&ObjectId::static_record("dns", name)].line;
    assert_eq!((line("x"), line("z")), (5, 10));
    assert!(loaded.notes[0].contains("x.yaml:10: reverse"), "{:?}", loaded.notes);
    assert!(loaded.notes[1].contains("x.yaml:15: ConfigMap"), "{:?}", loaded.notes);
}

#[test]
fn faults_of_the_schema_hide_no_others() {
    let text = "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec:\n  name: x.internal\n  adress: [10.0.0.1]\n  a: [true, 10.0.0.1, 10.0.0.300]\n  mx:\n  - {preference: x, exchange: m}\n  - {preference: 1, exchange: a..b}\n  txt: [no, ok]\n  ttl: -1\n";
    let places = |loaded: &Loaded| -> Vec<(String, usize, usize)> {
        let of = |r: &Refusal| (r.field.clone(), r.diagnostic.line, r.diagnostic.column);
        loaded.refusals.iter().map(of).collect()
    };
    let at = |field: &str, line, column| (field.to_owned(), line, column);
    let all = [
        at("spec.adress", 6, 3),
        at("spec.a[0]", 7, 7),
        at("spec.a[2]", 7, 23),
        at("spec.mx[0].preference", 9, 18),
        at("spec.mx[1].exchange", 10, 31),
        at("spec.txt[0]", 11, 9),
        at("spec.ttl", 12, 8),
    ];
    let (loaded, _dir) = read(&[("x.yaml", text)]);
    assert_eq!((places(&loaded), loaded.refused_objects()), (all.to_vec(), 1), "{:#?}", loaded.refusals);
    // A field that is missing or of the wrong kind is said once, whatever follows from it.
    let (loaded, _dir) =
        read(&[("x.yaml", &text.replace("  name: x.internal\n", "  name: 7\n").replace("10.0.0.300", "10.0.0.3"))]);
    assert_eq!(loaded.refusals.len(), 7, "{:#?}", loaded.refusals);
    let (loaded, _dir) = read(&[("x.yaml", &text.replace("  name: x.internal\n", ""))]);
    assert_eq!(
        loaded.refusals.iter().filter(|r| r.diagnostic.message.contains("name")).count(),
        1,
        "{:#?}",
        loaded.refusals
    );
    // In doubt about the metadata nobody knows the object, and all of it is said even so.
    let (loaded, _dir) = read(&[("x.yaml", &text.replace("{name: x}", "{nme: x, labels: {a: 1}}"))]);
    assert_eq!(
        (loaded.broken.len(), loaded.broken_documents, loaded.refusals.len()),
        (10, 1, 0),
        "{:#?}",
        loaded.broken
    );
}

#[test]
fn all_keys_that_stand_twice_with_both_places() {
    let text = record("x", "name: x.internal, a: [10.0.0.1], a: [10.0.0.2], ttl: 1, ttl: 2");
    let (loaded, _dir) = read(&[("x.yaml", &text)]);
    assert_eq!((loaded.broken.len(), loaded.broken_documents), (2, 1), "{:?}", loaded.broken);
    assert!(loaded.broken[1].message.contains("x.yaml:5:56"), "{}", loaded.broken[1]);
}

#[test]
fn a_json_file_is_json() {
    let object = |name: &str, address: &str| {
        format!(
            "{{\n  \"apiVersion\": \"dns.knotwork.dev/v1alpha1\", \"kind\": \"StaticDNSRecord\",\n  \"metadata\": {{\"name\": \"{name}\"}},\n  \"spec\": {{\"name\": \"{name}.internal\", \"a\": [\"{address}\"]}}\n}}\n"
        )
    };
    // Objects that follow each other, as kubectl takes them.
    let (loaded, _dir) = read(&[("x.json", &(object("a", "10.0.0.1") + &object("b", "10.0.0.300")))]);
    assert!(loaded.is_complete(), "{}", loaded.broken[0]);
    assert_eq!((internal(&loaded), loaded.refusals.len()), (vec!["a.internal".to_owned()], 1));
    let found = &loaded.refusals[0].diagnostic;
    assert_eq!((found.line, found.column), (9, 40), "{found}");
    assert_eq!(loaded.places[&ObjectId::static_record("default", "b")].line, 6);
    // What YAML would let pass; what stands before it counts, and nothing is deleted.
    let comma = object("c", "10.0.0.3").replace("}}", "},\n}").replace("\"]}\n}", "\"]},\n}");
    let (loaded, _dir) = read(&[("x.json", &(object("a", "10.0.0.1") + &comma))]);
    assert_eq!((internal(&loaded).len(), loaded.broken.len(), loaded.broken_documents), (1, 1, 1));
    assert!(loaded.broken[0].message.contains("comma"), "{}", loaded.broken[0]);
    for (text, word) in [
        ("[]\n".to_owned(), "a list stands here"),
        (object("a", "10.0.0.1").replace("\"kind\"", "\"apiVersion\": \"x\", \"kind\""), "duplicate key"),
        (object("a", "10.0.0.1").replace("\"StaticDNSRecord\"", "[1]"), "a text is wanted: kind: StaticDNSRecord"),
        ("apiVersion: v1\n".to_owned(), "not valid JSON"),
        (
            object("a", "10.0.0.1").replace("\"metadata\": {\"name\": \"a\"}", "\"metadata\": {\"name\": 7}"),
            "name: this is the number 7",
        ),
    ] {
        let (loaded, _dir) = read(&[("x.json", &text)]);
        assert!(loaded.broken[0].to_string().contains(word), "{}", loaded.broken[0]);
        assert!(!loaded.broken[0].message.contains("YAML reads"), "{}", loaded.broken[0]);
    }
}

#[test]
fn what_is_no_object_is_said_in_plain_words() {
    for (text, word) in [
        ("- a\n", "a list stands here, where an object is wanted"),
        ("hello\n", "the string \"hello\" stands here"),
        ("kind: [broken\n", "is never closed; put a ]"),
        ("apiVersion: v1\nkind: [broken]\n", "a list stands here, where a text is wanted: kind: StaticDNSRecord"),
    ] {
        let (loaded, _dir) = read(&[("x.yaml", text)]);
        assert!(loaded.broken[0].message.contains(word), "{}", loaded.broken[0]);
    }
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
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: SplitDNSPolicy\nmetadata: {name: x}\nspec: {}\n---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: DNSZone\nmetadata: {name: x}\n",
    )]);
    assert!(loaded.is_complete());
    assert_eq!(loaded.notes.len(), 3);
    assert!(loaded.notes[2].contains("x.yaml:10: DNSZone is not a record"), "{:?}", loaded.notes);
}

#[test]
fn ten_thousand_documents() {
    let text: String = (0..10_000)
        .map(|i| record(&format!("r{i}"), &format!("name: r{i}.internal, a: [10.0.{}.{}]", i / 250, i % 250)))
        .collect();
    let (loaded, _dir) = read(&[("many.yaml", &text)]);
    assert_eq!((loaded.objects, loaded.broken.len()), (10_000, 0));
}

#[test]
fn all_faults_of_an_object_at_once_each_at_its_place() {
    let text = "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata: {name: x}\nspec:\n  name: x.internal\n  adress: [10.0.0.1]\n  ttl: -1\n  txt:\n    - ok\n    - no\n";
    let (loaded, _dir) = read(&[("x.yaml", text)]);
    let places: Vec<_> = loaded.refusals.iter().map(|r| (r.diagnostic.line, r.diagnostic.column)).collect();
    assert_eq!(places, [(6, 3), (7, 8), (10, 7)], "{:?}", loaded.refusals);
    assert!(
        loaded.refusals[2].diagnostic.to_string().contains("10 |     - no\n   |       ^"),
        "{}",
        loaded.refusals[2].diagnostic
    );
    let deep = "name: x.internal\n  a: [10.0.0.1, 10.0.0.999]\n  mx: [{preference: 1, exchange: m}]\n";
    let (loaded, _dir) = read(&[("x.yaml", &text.replace(&text[text.find("name: x.internal").unwrap()..], deep))]);
    let places: Vec<_> = loaded.refusals.iter().map(|r| (r.diagnostic.line, r.diagnostic.column)).collect();
    assert_eq!(places, [(6, 17), (7, 34)], "{:?}", loaded.refusals);
}

#[test]
fn items_of_a_list_have_their_own_places() {
    let item = |name: &str, address: &str| {
        format!(
            "- apiVersion: dns.knotwork.dev/v1alpha1\n  kind: StaticDNSRecord\n  metadata: {{name: {name}}}\n  spec:\n    name: {name}.internal\n    a:\n    - {address}\n"
        )
    };
    let items = item("a", "10.0.0.1")
        + &item("b", "10.0.0.300")
        + "- {apiVersion: v1, kind: ConfigMap, data: {1: x}}\n"
        + &item("c", "10.0.0.400");
    for head in [
        "apiVersion: v1\nkind: List\nitems:\n",
        "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecordList\nitems:\n",
    ] {
        let (loaded, _dir) = read(&[("x.yaml", &format!("{head}{items}"))]);
        assert!(loaded.is_complete(), "{:?}", loaded.broken);
        assert_eq!(internal(&loaded), ["a.internal"]);
        let places: Vec<_> = loaded.refusals.iter().map(|r| (r.diagnostic.line, r.diagnostic.column)).collect();
        assert_eq!(places, [(17, 7), (25, 7)]);
        assert_eq!(loaded.places[&ObjectId::static_record("default", "c")].line, 19);
    }
}

#[test]
fn long_lists_and_many_twins_take_no_square_time() {
    let object = |i: usize, address: &str| {
        format!(
            "{{\"apiVersion\":\"dns.knotwork.dev/v1alpha1\",\"kind\":\"StaticDNSRecord\",\"metadata\":{{\"name\":\"r{i}\"}},\"spec\":{{\"name\":\"r{i}.internal\",\"a\":[\"{address}\"]}}}}"
        )
    };
    let items: Vec<String> = (0..3000).map(|i| object(i, "10.0.0.300")).collect();
    let list = format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n{}]}}", items.join(",\n"));
    let (loaded, _dir) = read(&[("bad.json", &list)]);
    assert_eq!((loaded.refusals.len(), loaded.refusals[2999].diagnostic.line), (3000, 3001));
    let list = list.replace("10.0.0.300", "10.0.0.1");
    let (loaded, _dir) = read(&[("a.json", &list), ("copy/a.json", &list)]);
    assert_eq!((loaded.refusals.len(), internal(&loaded).len()), (3000, 0));
}

#[test]
fn doubtful_metadata_holds_everybody() {
    let (loaded, _dir) = read(&[(
        "x.yaml",
        "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata:\n  name: x\n  namspace: dns\nspec: {name: x.internal, a: [10.0.0.1]}\n",
    )]);
    assert!(loaded.broken[0].to_string().contains("x.yaml:5:3") && loaded.broken[0].message.contains("\"namespace\""));
    assert!(!loaded.is_complete() && internal(&loaded).is_empty());
}

#[test]
fn what_the_api_server_prints_is_read() {
    let (loaded, _dir) = read(&[(
        "x.yaml",
        "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata:\n  name: x\n  uid: 1-2\n  creationTimestamp: null\n  generation: 3\n  labels: {a: b}\n  managedFields: [{manager: kubectl, fieldsV1: {\"f:spec\": {}}}]\nspec: {name: x.internal, a: [10.0.0.1]}\nstatus: {conditions: [{type: Ready, status: \"True\"}], anything: 1}\n",
    )]);
    assert!(loaded.is_complete() && loaded.refusals.is_empty(), "{loaded:?}");
    assert_eq!(internal(&loaded), ["x.internal"]);
}

#[test]
fn a_file_under_two_inputs_counts_for_both() {
    let (_, dir) = read(&[("a.yaml", &record("x", "name: a.internal, a: [10.0.0.1]"))]);
    let inputs = [Input::Path(dir.path().to_owned()), Input::Path(dir.path().join("a.yaml"))];
    let loaded = load(&inputs, &config(), false);
    assert_eq!((loaded.objects, loaded.empty.len(), loaded.refusals.len()), (1, 0, 0));
}

/// A file that was cut anywhere never makes an object vanish without a word, save between documents, where nobody can tell.
#[test]
fn a_cut_file_is_noticed() {
    let text = record("a", "name: a.internal, a: [10.0.0.1]")
        + "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata:\n  name: b\n  namespace: dns\nspec:\n  name: b.internal\n  txt: [\"x\", 'y']\n"
        + &record("c", "name: c.internal, a: [10.0.0.3]");
    let id = |name: &str| ObjectId::static_record("dns", name);
    let starts: Vec<usize> = text.match_indices("---\n").map(|(at, _)| at).collect();
    let (config, dir) = (config(), tempfile::tempdir().unwrap());
    let path = dir.path().join("x.yaml");
    for end in 1..text.len() {
        std::fs::write(&path, &text[..end]).unwrap();
        let loaded = load(&[Input::Path(path.clone())], &config, true);
        let here = starts.iter().filter(|start| **start < end).count();
        let between = starts.iter().any(|start| (*start..=start + 4).contains(&end));
        for name in ["a", "b", "c"].iter().take(here) {
            let known = loaded.places.contains_key(&id(name));
            assert!(known || between || !loaded.is_complete(), "{name} is gone: {}", &text[..end]);
        }
    }
}

#[test]
fn bytes_that_are_no_text_or_no_yaml_hold_everybody() {
    let good = record("x", "name: a.internal, a: [10.0.0.1]");
    for bad in
        [&b"\0\0\0\0\0\0\0\0"[..], b"\xff\xfe", b"a:\n\t- b\n", b"a: *nobody\n", b"a: &x [*x]\n", b"a: 1\na: 2\n"]
    {
        let (_, dir) = read(&[("good.yaml", &good)]);
        std::fs::write(dir.path().join("bad.yaml"), bad).unwrap();
        let loaded = load(&[Input::Path(dir.path().to_owned())], &config(), true);
        assert!(!loaded.is_complete(), "{bad:?}");
        assert_eq!(internal(&loaded), ["a.internal"]);
        assert!(loaded.broken[0].file.ends_with("bad.yaml"));
    }
}

#[test]
fn tabs_are_welcome_in_json() {
    let text = "{\n\t\"apiVersion\": \"dns.knotwork.dev/v1alpha1\",\n\t\"kind\": \"StaticDNSRecord\",\n\t\"metadata\": {\n\t\t\"name\": \"x\"\n\t},\n\t\"spec\": {\n\t\t\"name\": \"x.internal\",\n\t\t\"a\": [\n\t\t\t\"10.0.0.1\"\n\t\t]\n\t}\n}\n";
    let (loaded, _dir) = read(&[("x.json", text)]);
    assert!(loaded.is_complete(), "{}", loaded.broken[0]);
    assert_eq!(internal(&loaded), ["x.internal"]);
}

#[cfg(unix)]
#[test]
fn pipes_links_and_lost_folders() {
    use std::os::unix::fs::symlink;
    let (_, dir) = read(&[("a.yaml", &record("x", "name: a.internal, a: [10.0.0.1]"))]);
    symlink(dir.path(), dir.path().join("circle")).unwrap();
    symlink("/nowhere/records", dir.path().join("records")).unwrap();
    let pipe = dir.path().join("p.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let loaded = load(&[Input::Path(dir.path().to_owned())], &config(), true);
    assert_eq!(loaded.objects, 1);
    let broken: Vec<&str> = loaded.broken.iter().map(|broken| broken.file.rsplit('/').next().unwrap()).collect();
    assert_eq!(broken, ["p.yaml", "records"], "{:?}", loaded.broken);
}

#[test]
fn namespaces_do_not_share_without_a_rule() {
    let text = "owner: home\ninstance: x\nservers:\n  - {name: s, address: 127.0.0.1, zones: [{name: internal}]}\nclaims:\n  - {namespaces: [a, b], names: [\"*.internal\"]}\n";
    let share = "name: a.internal, a: [10.0.0.1], share: true";
    let docs = record("x", share).replace("namespace: dns", "namespace: a")
        + &record("x", share).replace("namespace: dns", "namespace: b");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.yaml"), docs).unwrap();
    for (text, refused) in [(text.to_owned(), 1), (text.replace("\"]}", "\"], share: true}"), 0)] {
        let config = Config::parse(Path::new("knotwork.yaml"), &text).unwrap();
        let loaded = load(&[Input::Path(dir.path().to_owned())], &config, false);
        assert_eq!(loaded.refusals.len(), refused, "{:?}", loaded.refusals);
        assert_eq!(internal(&loaded).len(), 1);
        let zone = &loaded.claims[&Name::parse("internal").unwrap()];
        let protected = zone.objects.values().filter(|state| **state == ObjectState::Protected).count();
        assert_eq!(protected, refused);
    }
}
