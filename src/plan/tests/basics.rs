//! Creating, changing and deleting what is ours alone.

use super::*;
use crate::ownership::SetHash;

fn pin(world: &World, name: &str, rtype: RrType) -> Guard {
    Guard::SetIs(full(name), rtype, world.view.get(&full(name), rtype).unwrap().values)
}

#[test]
fn a_new_name_is_created_whole_and_then_nothing_is_left() {
    let world = World::new().claim("www", "www A 10.0.0.1");
    let plan = world.plan();
    assert_eq!(lines(&plan), ["create www A"]);
    let guards = [Guard::NameNotInUse(full("www")), Guard::NameNotInUse(full("_knotwork.www"))];
    assert_eq!(plan.changes[0].guards, guards);
    assert_eq!(plan.changes[0].edits.len(), 2);
    let world = world.settle();
    assert_eq!(world.live("www", RrType::A), ["10.0.0.1"]);
    let hash = SetHash::of_value(RrType::A, &[10, 0, 0, 1]);
    let marker = format!("heritage=knotwork,v=1,owner=home,type=A,set={hash},resource=staticdnsrecord/dns/www");
    assert_eq!(world.marker_texts("www"), [marker]);
    assert_eq!(world.plan().owned, 1);
}

#[test]
fn a_type_beside_our_own_pins_marker_and_absence() {
    let world = World::new().claim("www", "www A 10.0.0.1").settle().claim("www", "www MX 10 mail.internal.");
    let plan = world.plan();
    assert_eq!(lines(&plan), ["create www MX"]);
    let mut guards = [RrType::MX, RrType::CNAME, RrType::DHCID].map(|t| Guard::SetAbsent(full("www"), t)).to_vec();
    guards.push(pin(&world, "_knotwork.www", RrType::TXT));
    assert_eq!(plan.changes[0].guards, guards);
    world.settle();
}

#[test]
fn several_types_of_a_new_name_are_one_unit() {
    let world = World::new().claim("www", "www A 10.0.0.1").claim("www", "www AAAA fd00::1").claim("b", "b A 10.0.0.2");
    let plan = world.plan();
    let units = units(&plan);
    assert_eq!(units.iter().map(|unit| unit.changes.len()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(units[1].guards.len(), 2, "each prerequisite once");
    world.settle();
}

#[test]
fn replace_and_ttl_pin_marker_and_set() {
    let world = World::new().claim("www", "www A 10.0.0.1 10.0.0.2").settle().without("www");
    let changed = world.clone().claim("www", "www A 10.0.0.2 10.0.0.3");
    let plan = changed.plan();
    assert_eq!(lines(&plan), ["replace www A"]);
    let guards = [pin(&changed, "_knotwork.www", RrType::TXT), pin(&changed, "www", RrType::A)];
    assert_eq!(plan.changes[0].guards, guards);
    let values: Vec<&Edit> = plan.changes[0].edits.iter().filter(|edit| !is_txt(edit)).collect();
    assert_eq!(values.len(), 2, "the value that stays is not touched");
    assert!(plan.changes[0].counted);
    changed.settle();

    let ttl = world.claim_with("www", "www A 10.0.0.1 10.0.0.2", |claim| claim.set.ttl = 60);
    let plan = ttl.plan();
    assert_eq!(lines(&plan), ["ttl www A"]);
    assert_eq!(plan.changes[0].guards, guards);
    assert_eq!(plan.changes[0].edits.len(), 4, "all records move, the marker does not");
    assert!(!plan.changes[0].counted);
    assert_eq!(ttl.settle().view.get(&full("www"), RrType::A).unwrap().ttl, 60);
}

fn is_txt(edit: &Edit) -> bool {
    matches!(edit, Edit::Add(_, RrType::TXT, ..) | Edit::Remove(_, RrType::TXT, _))
}

#[test]
fn letter_case_changes_nothing() {
    let world = World::new().claim("c", "c CNAME www").settle();
    let mut other = world.clone();
    other.cut("c CNAME");
    let upper: Rdata = b"\x03WWW\x08INTERNAL\x00".as_slice().into();
    other.view.add(&full("c"), RrType::CNAME, 300, upper);
    assert_eq!(lines(&other.plan()), [] as [&str; 0]);
    // And where it is replaced or deleted, the prerequisite is what was transferred.
    let gone = other.without("c");
    let plan = gone.plan();
    assert_eq!(lines(&plan), ["delete c CNAME"]);
    assert!(plan.changes[0].guards.contains(&pin(&gone, "c", RrType::CNAME)));
}

#[test]
fn deletes_need_provenance() {
    let world = World::new().claim("www", "www A 10.0.0.1").settle();
    let gone = world.clone().without("www");
    let plan = gone.plan();
    assert_eq!(lines(&plan), ["delete www A"], "the object exists and declares it no more");
    let guards = [pin(&gone, "www", RrType::A), pin(&gone, "_knotwork.www", RrType::TXT)];
    assert_eq!(plan.changes[0].guards, guards);
    assert!(gone.settle().view.at(&full("www")).is_empty());

    let rows = [
        (Some(ObjectState::Deleting), vec!["delete www A"]),
        (Some(ObjectState::Abandoned), vec!["release www A"]),
        (Some(ObjectState::Protected), vec![]),
        (Some(ObjectState::Paused), vec![]),
        (None, vec!["? www A"]),
    ];
    for (state, expected) in rows {
        let case = world.clone().without("www").state("www", state);
        assert_eq!(lines(&case.plan()), expected, "{state:?}");
        if state != Some(ObjectState::Deleting) {
            assert_eq!(case.apply().live("www", RrType::A), ["10.0.0.1"], "{state:?}");
        }
    }
    assert_eq!(lines(&world.clone().absent("www").prune().plan()), ["delete www A"]);
    assert_eq!(lines(&world.absent("www").plan()), ["? www A"]);
}

/// `10.0.0.12` may be what is left of `10.0.0.120`: nothing that is there changes by it, what is new counts.
#[test]
fn what_the_last_object_of_a_cut_file_would_change_waits() {
    let world = World::new().claim("p", "a A 10.0.0.120").claim("p", "b A 10.0.0.1 10.0.0.2").settle().without("p");
    let world = world
        .claim("p", "a A 10.0.0.12")
        .claim("p", "b A 10.0.0.1")
        .claim("p", "c A 10.0.0.3")
        .state("p", Some(ObjectState::Doubted))
        .incomplete();
    let plan = world.plan();
    assert_eq!(lines(&plan), ["create c A"]);
    assert_eq!(plan.waiting.as_ref().map(|waiting| waiting.0), Some(2));
    let settled = world.clone().settle();
    assert_eq!(settled.live("a", RrType::A), ["10.0.0.120"]);
    let whole = world.state("p", Some(ObjectState::Present)).complete();
    assert_eq!(lines(&whole.plan()).len(), 3);
}

#[test]
fn an_incomplete_source_deletes_nothing_but_swaps_and_replaces() {
    let world = World::new().claim("a", "a A 10.0.0.1").claim("b", "b A 10.0.0.2").claim("c", "c A 10.0.0.3").settle();
    let world = world.without("a").absent("b").without("c").claim("c", "c CNAME www").prune().incomplete();
    let plan = world.plan();
    assert_eq!(lines(&plan), ["delete c A", "create c CNAME"]);
    assert_eq!(plan.waiting, Some((2, "b.yaml: broken".to_owned())));
    assert_eq!(lines(&world.complete().plan()), ["delete a A", "delete b A", "delete c A", "create c CNAME"]);
}

#[test]
fn an_empty_world_touches_nothing() {
    let world = World::new().claim("a", "a A 10.0.0.1").claim("b", "b MX 10 a.internal.").settle();
    let mut empty = world.clone();
    empty.claims = Claims::default();
    let plan = empty.plan();
    assert!(plan.changes.is_empty());
    assert_eq!(lines(&plan), ["? a A", "? b MX"]);
    // Not even a marker whose set is gone: absence is no wish.
    empty.cut("a A");
    assert!(empty.plan().changes.is_empty());
}

#[test]
fn drift_is_repaired_while_claimed_and_left_when_the_object_goes() {
    let mut world = World::new().claim("a", "a A 10.0.0.1").settle();
    world.put("a A 10.0.0.9");
    let plan = world.plan();
    assert_eq!(lines(&plan), ["replace a A"]);
    assert!(plan.changes[0].note.as_ref().unwrap().contains("somebody else"));
    assert_eq!(world.clone().settle().live("a", RrType::A), ["10.0.0.1"]);
    let gone = world.clone().without("a");
    let plan = gone.plan();
    assert_eq!(lines(&plan), ["release a A"]);
    assert_eq!(plan.changes[0].guards, [pin(&gone, "_knotwork.a", RrType::TXT)]);
    assert_eq!(gone.settle().live("a", RrType::A), ["10.0.0.1", "10.0.0.9"]);
}

#[test]
fn a_marker_without_its_set() {
    let mut world = World::new().claim("a", "a A 10.0.0.1").settle();
    world.cut("a A");
    assert_eq!(lines(&world.plan()), ["create a A"]);
    assert_eq!(world.clone().settle().live("a", RrType::A), ["10.0.0.1"]);
    let gone = world.without("a");
    assert_eq!(lines(&gone.plan()), ["release a A"]);
    assert!(gone.settle().marker_texts("a").is_empty());
}

#[test]
fn retain_holds_after_the_object_is_gone() {
    let retain = |claim: &mut Claim| claim.deletion = DeletionPolicy::Retain;
    let world = World::new().claim_with("a", "a A 10.0.0.1", retain).settle();
    assert!(world.marker_texts("a")[0].ends_with(",policy=retain"));
    let kept = world.clone().absent("a").prune();
    assert_eq!(lines(&kept.plan()), ["release a A"]);
    assert_eq!(kept.settle().live("a", RrType::A), ["10.0.0.1"]);
    let toggled = world.without("a").claim("a", "a A 10.0.0.1");
    let plan = toggled.plan();
    assert_eq!(lines(&plan), ["remark a A"]);
    let guards = [pin(&toggled, "_knotwork.a", RrType::TXT), pin(&toggled, "a", RrType::A)];
    assert_eq!(plan.changes[0].guards, guards);
    toggled.settle();
}

#[test]
fn a_paused_object_is_watched_and_not_repaired() {
    let mut world = World::new().claim("a", "a A 10.0.0.1").settle().state("a", Some(ObjectState::Paused));
    assert_eq!(lines(&world.plan()), [] as [&str; 0]);
    world.put("a A 10.0.0.9");
    assert_eq!(lines(&world.plan()), ["! a A Paused"]);
}

#[test]
fn what_may_not_be_declared() {
    let long = "x".repeat(60);
    let rows: Vec<(String, RrType)> = vec![
        ("@ SOA x".into(), RrType::SOA),
        ("a DHCID x".into(), RrType::DHCID),
        ("@ CNAME b".into(), RrType::CNAME),
        ("@ DNAME b".into(), RrType::DNAME),
        ("x._knotwork.y A 10.0.0.1".into(), RrType::A),
        ("a TXT heritage=nix,managed-by=me".into(), RrType::TXT),
        ("c CNAME a b".into(), RrType::CNAME),
        (format!("{long}.{long}.{long}.{long} A 10.0.0.1"), RrType::A),
    ];
    for (line, rtype) in rows {
        let world = World::new().claim("bad", &line).claim("good", "good A 10.0.0.7");
        let plan = world.plan();
        assert_eq!(lines(&plan)[0], "create good A", "{line}: one bad record never stops the others");
        assert_eq!((plan.conflicts[0].reason, plan.conflicts[0].rtype), ("Incompatible", rtype), "{line}");
        world.settle();
    }
}

#[test]
fn a_claim_that_becomes_invalid_leaves_what_it_published() {
    let world = World::new().claim("a", "a A 10.0.0.1").settle().without("a");
    let world = world.claim_with("a", "a A 10.0.0.1", |claim| claim.set.values.clear());
    assert_eq!(lines(&world.plan()), ["! a A Incompatible"]);
}

#[test]
fn what_does_not_fit_is_refused_beforehand() {
    let text = |len: usize| {
        move |claim: &mut Claim| {
            let values = (0..len / 500).map(|i| txt::split(format!("{i:03}{}", "x".repeat(490)).as_bytes()));
            claim.set = RrSet::new(RrType::TXT, 300, values);
        }
    };
    let world = |len| World::new().claim_with("t", "t TXT x", text(len));
    assert_eq!(lines(&world(20_000).plan()), ["create t TXT"]);
    world(20_000).settle();
    let plan = world(30_000).plan();
    assert_eq!(lines(&plan), ["! t TXT Incompatible"]);
    // What would just fit but never be changed again is not begun; nothing is replaced by a create.
    let said = &plan.conflicts[0].message;
    assert!(said.contains("too large to be created") && !said.contains("replace"), "{said}");
    assert_eq!(lines(&world(70_000).plan()), ["! t TXT Incompatible"]);
}

#[test]
fn types_that_fill_a_message_together_follow_one_after_the_other() {
    let text = |claim: &mut Claim| {
        let values = (0..40).map(|i| txt::split(format!("{i:03}{}", "x".repeat(490)).as_bytes()));
        claim.set = RrSet::new(claim.rtype, 300, values);
    };
    let mut world = World::new();
    for rtype in ["TXT", "SPF", "TYPE65400", "TYPE65401"] {
        world = world.claim_with("t", &format!("t {rtype}"), text);
    }
    let mut rounds = 0;
    while !world.plan().is_settled() {
        let plan = world.plan();
        let largest = units(&plan).iter().map(|unit| size::change_size(&plan.zone, &unit.guards, &unit.edits)).max();
        assert!(largest.unwrap() <= size::UPDATE_LIMIT);
        world = world.apply();
        rounds += 1;
    }
    assert!((2..4).contains(&rounds), "{rounds}");
    assert_eq!(world.plan().owned, 4);
}

#[test]
fn observing_plans_and_says_that_nothing_is_sent() {
    let mut world = World::new().claim("a", "a A 10.0.0.1");
    world.rules.observe = true;
    let plan = world.plan();
    assert!(plan.observe);
    assert_eq!(lines(&plan), ["create a A"]);
}

#[test]
fn names_at_every_edge() {
    let label = "x".repeat(63);
    World::new()
        .claim("w", "*.apps A 10.0.0.1")
        .claim("w2", "* A 10.0.0.2")
        .claim("apex", "@ MX 10 mail.internal.")
        .claim("long", &format!("{label} A 10.0.0.3"))
        .settle();
}

#[test]
fn the_apex_ns_set_is_never_emptied() {
    let take = |claim: &mut Claim| claim.adopt = AdoptPolicy::Takeover;
    assert_eq!(lines(&World::new().claim("ns", "@ NS ns1").plan()), ["! @ NS NotIdentical unmarked"]);
    let world = World::new().claim_with("ns", "@ NS ns1 ns2", take);
    let plan = world.plan();
    assert_eq!(lines(&plan), ["adopt @ NS"]);
    let unit = &units(&plan)[0];
    assert!(unit.adds_first && matches!(unit.edits[0], Edit::Add(_, RrType::NS, ..)));
    let world = world.settle();
    assert_eq!(world.live("@", RrType::NS), ["ns1.internal.", "ns2.internal."]);
    let ttl = world.clone().without("ns").claim_with("ns", "@ NS ns1 ns2", |claim| claim.set.ttl = 60);
    let plan = ttl.plan();
    assert_eq!(lines(&plan), ["! @ NS Incompatible"]);
    assert!(plan.conflicts[0].message.contains("TTL only"));
    let gone = world.absent("ns").prune();
    assert_eq!(lines(&gone.plan()), ["release @ NS"]);
    assert_eq!(gone.settle().live("@", RrType::NS).len(), 2);
}

#[test]
fn other_text_at_a_marker_node_is_pinned_and_kept() {
    let world = World::new().there("_knotwork.a TXT somebody's").claim("a", "a A 10.0.0.1");
    assert!(world.plan().changes[0].guards.contains(&pin(&world, "_knotwork.a", RrType::TXT)));
    let world = world.settle();
    assert_eq!(world.marker_texts("a").len(), 2);
    let world = world.without("a").settle();
    assert_eq!(world.marker_texts("a"), ["somebody's"]);
    let blocked = World::new().there("_knotwork.a CNAME b").claim("a", "a A 10.0.0.1");
    assert_eq!(lines(&blocked.plan()), ["! a A Incompatible"]);
}

#[test]
fn a_changed_label_stops_the_zone() {
    let mut world = World::new().claim("a", "a A 10.0.0.1").settle();
    world.rules.label = "_kw".into();
    let plan = world.plan();
    assert!(plan.changes.is_empty());
    let refusal = plan.refused.unwrap();
    assert_eq!(refusal.reason, "LabelChanged");
    assert!(refusal.message.contains("_knotwork.a.internal"), "{}", refusal.message);
}
