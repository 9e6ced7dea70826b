#![allow(clippy::unwrap_used)]
use std::fs;
use std::path::Path;

use super::super::config::Config;
use super::super::manifests::{Loaded, load, load_again};
use super::super::walk::{Input, fingerprint};
use super::Memory;

fn config() -> Config {
    let text = "owner: home\ninstance: x\nservers:\n  - {name: s, address: 127.0.0.1, zones: [{name: internal}]}\n";
    Config::parse(Path::new("knotwork.yaml"), text).unwrap()
}

fn record(object: &str, address: &str) -> String {
    format!(
        "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata:\n  name: {object}\nspec:\n  name: {object}.internal\n  a:\n    - {address}\n"
    )
}

/// What a look came to, to compare.
fn said(loaded: &Loaded) -> String {
    let mut zones: Vec<String> =
        loaded.claims.iter().map(|(zone, claims)| format!("{zone} {:?}", claims.sets)).collect();
    zones.sort();
    format!(
        "{zones:?} {:?} {:?} {} {} {:x}",
        loaded.refusals, loaded.broken, loaded.broken_documents, loaded.objects, loaded.content
    )
}

#[test]
fn what_did_not_change_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for number in 0..20 {
        fs::write(file(&format!("h{number}.yaml")), record(&format!("h{number}"), "10.0.0.1")).unwrap();
    }
    fs::write(file("bad.yaml"), record("bad", "10.0.0.999")).unwrap();
    fs::write(file("broken.yaml"), "a: [1\n").unwrap();
    fs::write(file("early.json"), "{\"kind\": \"X\"} {").unwrap();
    // Twice the same object, in a form of which the place of the name is looked for only now.
    fs::write(file("twice.yaml"), record("h3", "10.0.0.1")).unwrap();
    let (inputs, config) = ([Input::Path(dir.path().to_owned())], config());
    let mut memory = Memory::trusting();
    let mut look = |read: usize| {
        let loaded = load_again(&inputs, &config, false, &mut memory, None).unwrap();
        assert_eq!(memory.files_read(), read);
        assert_eq!(said(&loaded), said(&load(&inputs, &config, false)));
        loaded
    };
    let first = look(24);
    assert_eq!((first.refused_objects(), first.broken_documents), (2, 3));
    look(0);
    look(0);
    fs::write(file("h5.yaml"), record("h5", "10.0.0.2")).unwrap();
    let edited = look(1);
    assert_ne!(edited.content, first.content);
    fs::remove_file(file("h6.yaml")).unwrap();
    assert_eq!(look(0).objects, edited.objects - 1);
    // Back again, by the way of a backup: with the size and the time of before.
    let modified = fs::metadata(file("h7.yaml")).unwrap().modified().unwrap();
    fs::write(file("copy"), record("h7", "10.0.0.9")).unwrap();
    fs::File::options().write(true).open(file("copy")).unwrap().set_modified(modified).unwrap();
    fs::rename(file("copy"), file("h7.yaml")).unwrap();
    assert!(said(&look(1)).contains("10.0.0.9"));
    fs::write(file("broken.yaml"), record("whole", "10.0.0.1")).unwrap();
    assert_eq!(look(1).broken_documents, 2);
    // Gone and there again with what it said before: nobody remembers it.
    fs::write(file("h6.yaml"), record("h6", "10.0.0.1")).unwrap();
    look(1);
}

#[test]
fn what_was_written_just_now_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, record("a", "10.0.0.1")).unwrap();
    let (inputs, config) = ([Input::Path(path.clone())], config());
    let mut memory = Memory::default();
    for _ in 0..2 {
        load_again(&inputs, &config, false, &mut memory, None);
        assert_eq!(memory.files_read(), 1);
    }
}

#[test]
fn nothing_new_is_said_so_and_forgets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, record("a", "10.0.0.1")).unwrap();
    fs::write(dir.path().join("b.yaml"), record("b", "10.0.0.999")).unwrap();
    let (inputs, config) = ([Input::Path(dir.path().to_owned())], config());
    let mut memory = Memory::trusting();
    let first = load_again(&inputs, &config, false, &mut memory, None).unwrap();
    let last = Some(first.content);
    // Written again, with what it said.
    fs::write(&path, record("a", "10.0.0.1")).unwrap();
    for read in [1, 0] {
        assert!(load_again(&inputs, &config, false, &mut memory, last).is_none());
        assert_eq!(memory.files_read(), read);
    }
    assert_eq!(said(&load_again(&inputs, &config, false, &mut memory, None).unwrap()), said(&first));
    // What cannot be read is news, and so is its end.
    let nowhere = dir.path().join("c.yaml");
    std::os::unix::fs::symlink("nowhere", &nowhere).unwrap();
    let broken = load_again(&inputs, &config, false, &mut memory, last).unwrap();
    fs::remove_file(&nowhere).unwrap();
    let well = load_again(&inputs, &config, false, &mut memory, Some(broken.content)).unwrap();
    assert_eq!(said(&well), said(&first));
}

#[test]
fn a_look_from_outside_sees_every_change() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    fs::create_dir(file("sub")).unwrap();
    fs::write(file("sub/a.yaml"), "a").unwrap();
    fs::write(file("b.yaml"), "b").unwrap();
    let inputs = [Input::Path(dir.path().to_owned())];
    let mut last = fingerprint(&inputs);
    assert_eq!(fingerprint(&inputs), last);
    let mut differs = |what: &str| {
        let now = fingerprint(&inputs);
        assert_ne!(std::mem::replace(&mut last, now), now, "{what}");
    };
    fs::write(file("b.yaml"), "bb").unwrap();
    differs("longer");
    fs::rename(file("b.yaml"), file("c.yaml")).unwrap();
    differs("renamed");
    fs::write(file("sub/d.yml"), "d").unwrap();
    differs("added");
    fs::remove_file(file("sub/a.yaml")).unwrap();
    differs("removed");
    fs::rename(file("sub"), file("other")).unwrap();
    differs("folder renamed");
    std::os::unix::fs::symlink("nowhere", file("link.yaml")).unwrap();
    differs("link to nowhere");
}
