//! The index by itself: edits follow changes, and absence and doubt protect.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::operator::entry::FINALIZER;
use crate::spec::{Rule, ZoneEntry};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn index(rights: Rights) -> Index {
    let entry = |zone: &str| ZoneEntry { name: name(zone), default_ttl: 300 };
    let zones = ["internal", "10.in-addr.arpa"];
    Index::new(Zones::new(zones.map(entry), "_knotwork"), rights, zones.map(name))
}

/// An object of version `version`; `flags`: `f` has our finalizer, `d` is being deleted, `r` Retain.
fn seen(object: &str, version: u32, spec: serde_json::Value, flags: &str) -> Seen {
    let (namespace, own) = object.split_once('/').unwrap();
    let mut spec = spec;
    if flags.contains('r') {
        spec["deletionPolicy"] = json!("Retain");
    }
    Seen {
        namespace: namespace.into(),
        name: own.into(),
        uid: format!("uid-{object}"),
        version: version.to_string(),
        generation: i64::from(version),
        created: Some(1000),
        deleting: flags.contains('d'),
        finalizers: if flags.contains('f') { vec![FINALIZER.into()] } else { Vec::new() },
        body: json!({ "spec": spec }),
        ..Seen::default()
    }
}

fn apply(index: &mut Index, seen: Seen) -> (ObjectId, Change) {
    index.apply(Resource::Record, seen, Instant::now())
}

/// The edit of one zone.
fn edit(index: &mut Index, zone: &str) -> ClaimsEdit {
    index.take_edits().into_iter().find(|(own, _)| *own == name(zone)).map(|(_, edit)| edit).unwrap_or_default()
}

fn state(edit: &ClaimsEdit, object: &ObjectId) -> Option<ObjectState> {
    edit.objects.get(object).copied().flatten()
}

fn a(host: &str, last: u8) -> serde_json::Value {
    json!({"name": format!("{host}.internal"), "a": [format!("10.0.0.{last}")]})
}

#[test]
fn claims_enter_when_the_finalizer_is_stored_and_not_before() {
    let mut index = index(Rights::Ordinary);
    let (x, _) = apply(&mut index, seen("dns/x", 1, a("x", 1), ""));
    let told = edit(&mut index, "internal");
    assert_eq!(state(&told, &x), Some(ObjectState::Protected), "its markers, should there be any, stay");
    assert!(told.names.values().all(BTreeMap::is_empty) && index.get(&x).unwrap().wants_finalizer());
    apply(&mut index, seen("dns/x", 2, a("x", 1), "f"));
    let told = edit(&mut index, "internal");
    assert_eq!((state(&told, &x), told.names.len()), (Some(ObjectState::Present), 1));
    assert_eq!(index.get(&x).unwrap().revision, told.revision);
    // An event from before it, that comes late, is old.
    assert_eq!(apply(&mut index, seen("dns/x", 1, a("x", 1), "")).1, Change::Old);
    // Somebody takes it off: it is wanted again, and the claims stay.
    apply(&mut index, seen("dns/x", 3, a("x", 1), ""));
    let told = edit(&mut index, "internal");
    assert_eq!(state(&told, &x), Some(ObjectState::Present));
    assert!(index.get(&x).unwrap().wants_finalizer());
}

#[test]
fn deletions_count_once_they_are_honoured() {
    for (flags, end) in [("fd", ObjectState::Deleting), ("fdr", ObjectState::Abandoned)] {
        let mut index = index(Rights::Ordinary);
        let (x, _) = apply(&mut index, seen("dns/x", 1, a("x", 1), "f"));
        edit(&mut index, "internal");
        apply(&mut index, seen("dns/x", 2, a("x", 1), flags));
        let told = edit(&mut index, "internal");
        assert_eq!(state(&told, &x), Some(ObjectState::Protected), "the CRD was not looked at yet");
        index.honour([&x]);
        let told = edit(&mut index, "internal");
        assert_eq!(state(&told, &x), Some(end));
        assert!(told.names[&name("x.internal")].is_empty());
    }
    // Without our finalizer nobody asked us.
    let mut index = index(Rights::Ordinary);
    let (x, _) = apply(&mut index, seen("dns/x", 1, a("x", 1), "d"));
    index.honour([&x]);
    assert_eq!(state(&edit(&mut index, "internal"), &x), Some(ObjectState::Protected));
}

#[test]
fn what_is_not_in_a_new_list_is_gone_and_only_that() {
    let mut index = index(Rights::Ordinary);
    let (x, _) = apply(&mut index, seen("dns/x", 1, a("x", 1), "f"));
    let (y, _) = apply(&mut index, seen("dns/y", 1, a("y", 2), "f"));
    edit(&mut index, "internal");
    let news = index.replace_all(Resource::Record, vec![seen("dns/y", 1, a("y", 2), "f")], Instant::now());
    assert_eq!(news, std::slice::from_ref(&x));
    let told = edit(&mut index, "internal");
    assert_eq!((told.objects.get(&x), told.objects.get(&y)), (Some(&None), None));
    assert!(told.names[&name("x.internal")].is_empty());
    // An answer about an object of another UID does not take the new one out.
    assert!(!index.remove(&y, "uid-of-another") && index.get(&y).is_some());
    assert!(!index.has_news());
}

#[test]
fn an_invalid_edit_protects_and_a_rename_tells_both_names() {
    let mut index = index(Rights::Ordinary);
    let (x, _) = apply(&mut index, seen("dns/x", 1, a("x", 1), "f"));
    edit(&mut index, "internal");
    apply(&mut index, seen("dns/x", 2, json!({"name": "x.nowhere", "a": ["10.0.0.1"]}), "f"));
    let told = edit(&mut index, "internal");
    assert_eq!(state(&told, &x), Some(ObjectState::Protected));
    assert_eq!(index.get(&x).unwrap().faults[0].reason, "ZoneNotFound");
    apply(&mut index, seen("dns/x", 3, a("new", 1), "f"));
    edit(&mut index, "internal");
    apply(&mut index, seen("dns/x", 4, a("newer", 1), "f"));
    let told = edit(&mut index, "internal");
    let names: Vec<String> = told.names.keys().map(Name::to_relaxed).collect();
    assert_eq!(names, ["new.internal", "newer.internal"]);
    assert!(told.names[&name("new.internal")].is_empty() && told.names[&name("newer.internal")].len() == 1);
}

#[test]
fn ptrs_wait_until_their_name_is_known_and_go_nowhere_where_it_is_lost() {
    let mut index = index(Rights::Ordinary);
    let spec = json!({"name": "x.internal", "a": ["10.0.0.1"], "reverse": true});
    let (x, _) = apply(&mut index, seen("dns/x", 1, spec, "f"));
    let told = index.take_edits();
    let reverse =
        |told: &[(Name, ClaimsEdit)]| told.iter().find(|(zone, _)| *zone == name("10.in-addr.arpa")).unwrap().1.clone();
    assert_eq!(state(&reverse(&told), &x), Some(ObjectState::Protected));
    let revision = index.revision();
    index.learn(&name("internal"), revision, FastSet::default());
    let told = reverse(&index.take_edits());
    assert_eq!(state(&told, &x), Some(ObjectState::Present));
    assert_eq!(told.names[&name("1.0.0.10.in-addr.arpa")].len(), 1);
    // Somebody else has the name: the PTR is not taken out, and not made either.
    let lost = [(x.clone(), name("x.internal"))].into_iter().collect();
    index.learn(&name("internal"), index.revision(), lost);
    let told = reverse(&index.take_edits());
    assert_eq!(state(&told, &x), Some(ObjectState::Protected));
}

#[test]
fn sharing_across_namespaces_needs_the_right_to_it_and_heals() {
    let rule = Rule { namespaces: vec!["*".into()], ..Rule::default() };
    let mut index = index(Rights::Rules(vec![rule]));
    let shared = |last: u8| json!({"name": "s.internal", "a": [format!("10.0.0.{last}")], "share": true});
    let (first, _) = apply(&mut index, seen("a/s", 1, shared(1), "f"));
    let (second, _) = apply(&mut index, seen("b/s", 1, shared(2), "f"));
    let told = edit(&mut index, "internal");
    assert_eq!(
        (state(&told, &first), state(&told, &second)),
        (Some(ObjectState::Present), Some(ObjectState::Protected))
    );
    assert_eq!(told.names[&name("s.internal")][&RrType::A].len(), 1);
    assert!(index.get(&second).unwrap().separated[0].contains("a/s"));
    index.remove(&first, "uid-a/s");
    let told = edit(&mut index, "internal");
    assert_eq!(state(&told, &second), Some(ObjectState::Present));
    assert_eq!(told.names[&name("s.internal")][&RrType::A][0].object, second);
}

/// Finalizers are stored side by side, and the younger object's may be stored first.
#[test]
fn a_younger_object_waits_until_the_older_one_is_admitted() {
    let mut index = index(Rights::Ordinary);
    let of = |object: &str, created: i64, flags: &str, version| Seen {
        created: Some(created),
        ..seen(object, version, a("x", 1), flags)
    };
    let (old, _) = apply(&mut index, of("dns/old", 10, "", 1));
    let (young, _) = apply(&mut index, of("dns/young", 20, "f", 1));
    let told = edit(&mut index, "internal");
    assert_eq!(state(&told, &young), Some(ObjectState::Protected), "what it may have published stays");
    assert!(told.names[&name("x.internal")].is_empty());
    apply(&mut index, of("dns/old", 10, "f", 2));
    let told = edit(&mut index, "internal");
    assert_eq!((state(&told, &old), state(&told, &young)), (Some(ObjectState::Present), Some(ObjectState::Present)));
    assert_eq!(told.names[&name("x.internal")][&RrType::A].len(), 2);
    // One whose finalizer cannot be stored holds up nobody.
    let (older, _) = apply(&mut index, of("dns/older", 5, "", 1));
    assert_eq!(state(&edit(&mut index, "internal"), &young), Some(ObjectState::Protected));
    index.balk(&older);
    assert_eq!(state(&edit(&mut index, "internal"), &young), Some(ObjectState::Present));
}

#[test]
fn everything_is_what_all_edits_come_to() {
    let mut index = index(Rights::Ordinary);
    let mut claims = Claims::default();
    for step in 0..40u8 {
        let own = format!("dns/o{}", step % 7);
        match step % 5 {
            4 => {
                index.remove(&ObjectId::static_record("dns", &format!("o{}", step % 7)), &format!("uid-{own}"));
            }
            _ => {
                apply(&mut index, seen(&own, u32::from(step) + 1, a(&format!("h{}", step % 3), step), "f"));
            }
        }
        if step % 3 == 0 && index.has_news() {
            claims.edit(edit(&mut index, "internal"));
        }
    }
    if index.has_news() {
        claims.edit(edit(&mut index, "internal"));
    }
    let mut whole = Claims::default();
    whole.edit(index.everything(&name("internal")));
    let sorted = |claims: &Claims| {
        let each = |(name, types): (&Name, &BTreeMap<RrType, Vec<Claim>>)| {
            let mut all: Vec<String> = types.values().flatten().map(|claim| format!("{claim:?}")).collect();
            all.sort();
            format!("{name} {all:?}")
        };
        claims.sets.iter().map(each).collect::<Vec<_>>()
    };
    assert_eq!(sorted(&claims), sorted(&whole));
    assert_eq!((claims.objects.clone(), claims.revision), (whole.objects.clone(), whole.revision));
}

/// It moved to another zone: what it had in the old one stays until its name in the new one can be had.
#[test]
fn a_move_to_another_zone_keeps_what_was_until_what_is_wished_is_there() {
    let mut index = index(Rights::Ordinary);
    index.begin();
    let (x, _) = apply(&mut index, seen("dns/x", 1, a("x", 1), "f"));
    let told = index.take_edits();
    let of = |told: &[(Name, ClaimsEdit)], zone: &str| {
        told.iter().find(|(own, _)| *own == name(zone)).and_then(|(_, edit)| state(edit, &x))
    };
    let (old, new) = ("internal", "10.in-addr.arpa");
    assert_eq!(of(&told, new), Some(ObjectState::Present), "what is made now has nothing anywhere");
    let moved = json!({"name": "x.10.in-addr.arpa", "txt": ["hello"]});
    apply(&mut index, seen("dns/x", 2, moved, "f"));
    let told = index.take_edits();
    assert_eq!((of(&told, old), of(&told, new)), (Some(ObjectState::Protected), Some(ObjectState::Present)));
    let revision = index.get(&x).unwrap().revision;
    index.learn_stuck(&name(old), revision, FastSet::default());
    index.learn_stuck(&name(new), revision, [x.clone()].into_iter().collect());
    assert!(!index.has_news(), "somebody else has the name");
    index.learn_stuck(&name(new), revision, FastSet::default());
    let told = index.take_edits();
    assert_eq!((of(&told, old), of(&told, new)), (Some(ObjectState::Present), None));
    assert_eq!(index.get(&x).unwrap().revision, revision, "its claims are as they were");
}
