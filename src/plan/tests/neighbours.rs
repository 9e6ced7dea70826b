//! Other writers at the names that are declared.

use super::*;
use crate::ownership::{AdoptFrom, Affix};

fn takeover(claim: &mut Claim) {
    claim.adopt = AdoptPolicy::Takeover;
}

fn neighbours() -> World {
    let mut world = World::new()
        .there("lease A 10.0.1.1")
        .there("lease DHCID x")
        .there("web A 10.0.1.2")
        .there("k8s.a-web TXT heritage=external-dns,external-dns/owner=default,external-dns/resource=service/x/web")
        .there("nixhost A 10.0.1.3")
        .there("nixhost AAAA fd00::3")
        .there("nix.nixhost TXT heritage=nix,managed-by=routy")
        .there("lab A 10.0.1.4")
        .there("_knotwork.lab TXT heritage=knotwork,v=1,owner=lab,type=A,set=0000000000000001,resource=staticdnsrecord/l/x")
        .there("newer A 10.0.1.5")
        .there("_knotwork.newer TXT heritage=knotwork,v=2,owner=home,type=A,set=0000000000000001,resource=staticdnsrecord/l/x")
        .there("free A 10.0.1.6");
    world.rules.external_dns = vec![Affix { prefix: Some("k8s.".into()), ..Affix::default() }];
    world
}

#[test]
fn nothing_is_put_over_or_beside_another_writers_set() {
    let rows = [
        ("lease", "dhcp"),
        ("web", "externalDns default service/x/web"),
        ("nixhost", "nix routy"),
        ("lab", "knotwork lab staticdnsrecord/l/x"),
        ("newer", "knotwork home staticdnsrecord/l/x"),
    ];
    for (name, owner) in rows {
        for set in ["A 10.0.9.9", "TXT x", "CNAME www", "PTR www"] {
            let world = neighbours().claim_with("p", &format!("{name} {set}"), takeover);
            let plan = world.plan();
            assert!(plan.changes.is_empty(), "{name} {set}: {:?}", plan.changes);
            assert_eq!(
                (plan.conflicts[0].reason, plan.conflicts[0].owner.as_str()),
                ("OwnedByOther", owner),
                "{name} {set}"
            );
        }
        // Signs without a set keep us away as well: their writer would take what we put there for its own.
        let mut bare = neighbours();
        for rtype in [RrType::A, RrType::AAAA] {
            if bare.view.get(&full(name), rtype).is_some() {
                bare.cut(&format!("{name} {rtype}"));
            }
        }
        assert_eq!(bare.claim("p", &format!("{name} A 10.0.9.9")).plan().conflicts.len(), 1, "{name}");
    }
}

#[test]
fn every_class_is_counted_and_left_alone() {
    let plan = neighbours().plan();
    let counts: Vec<(&str, usize)> = plan.skipped.into_iter().collect();
    let expected =
        [("dhcp", 2), ("externalDns", 2), ("infrastructure", 2), ("knotwork", 4), ("nix", 3), ("unmarked", 1)];
    assert_eq!(counts, expected);
    assert_eq!(plan.owned, 0);
}

#[test]
fn adoption() {
    let world = || World::new().there("x A 10.0.0.1");
    let never = |claim: &mut Claim| claim.adopt = AdoptPolicy::Never;
    assert_eq!(lines(&world().claim_with("a", "x A 10.0.0.1", never).plan()), ["! x A OwnedByOther unmarked"]);
    let plan = world().claim("a", "x A 10.0.0.2").plan();
    assert_eq!(lines(&plan), ["! x A NotIdentical unmarked"]);
    assert!(plan.conflicts[0].message.contains("10.0.0.1"), "shows the difference: {}", plan.conflicts[0].message);
    let ttl = world().claim_with("a", "x A 10.0.0.1", |claim| claim.set.ttl = 60).plan();
    assert!(ttl.conflicts[0].message.contains("differs in TTL only"));

    let identical = world().claim("a", "x A 10.0.0.1");
    let plan = identical.plan();
    assert_eq!(lines(&plan), ["adopt x A"]);
    let change = &plan.changes[0];
    assert!(!change.counted);
    assert_eq!(change.edits.len(), 1, "only the marker");
    for guard in [
        Guard::SetAbsent(full("x"), RrType::DHCID),
        Guard::SetAbsent(full("nix.x"), RrType::TXT),
        Guard::SetAbsent(full("a-x"), RrType::TXT),
        Guard::SetAbsent(full("x"), RrType::TXT),
        Guard::NameNotInUse(full("_knotwork.x")),
    ] {
        assert!(change.guards.contains(&guard), "{guard:?} not in {:?}", change.guards);
    }
    identical.settle();

    let taken = world().claim_with("a", "x A 10.0.0.2", takeover);
    assert!(taken.plan().changes[0].counted, "a takeover counts as a replace");
    assert_eq!(taken.settle().live("x", RrType::A), ["10.0.0.2"]);
    let other_type = world().there("x CNAME y");
    let mut other_type = other_type.claim_with("a", "x TXT t", takeover);
    other_type.cut("x A");
    assert_eq!(lines(&other_type.plan()), ["! x TXT OwnedByOther unmarked"], "takeover replaces the same type only");
}

#[test]
fn beside_an_unmarked_set_only_where_the_name_is_ours() {
    let world = World::new().there("x TXT theirs").claim_with("a", "x A 10.0.0.1", takeover);
    assert_eq!(lines(&world.plan()), ["! x A OwnedByOther unmarked"]);
    let adopted = World::new().there("x A 10.0.0.1").claim("a", "x A 10.0.0.1").claim("a", "x TXT mine");
    assert_eq!(lines(&adopted.plan()), ["adopt x A", "create x TXT"]);
    assert_eq!(units(&adopted.plan()).len(), 1);
    let mut ours = adopted.settle();
    ours.put("x MX 10 other.internal.");
    ours = ours.claim("a", "x AAAA fd00::1").settle();
    assert_eq!(ours.live("x", RrType::MX).len(), 1);
    // The apex is everybody's.
    World::new().there("@ TXT v=spf1").claim("a", "@ MX 10 mail.internal.").settle();
}

#[test]
fn a_sign_at_our_name_makes_it_contested() {
    let ours = World::new().claim("a", "x A 10.0.0.1").settle();
    for sign in [
        "x DHCID x",
        "a-x TXT heritage=external-dns,external-dns/owner=default",
        "nix.x TXT heritage=nix,managed-by=routy",
        "_knotwork.x TXT heritage=knotwork,v=1,owner=lab,type=A,set=0000000000000001,resource=r/l/x",
    ] {
        let mut world = ours.clone().there(sign);
        world.put("x A 10.0.0.9");
        let plan = world.plan();
        assert!(plan.changes.is_empty(), "{sign}: drift is not repaired");
        assert_eq!(plan.conflicts[0].reason, "Contested", "{sign}");
        assert!(plan.conflicts[0].message.contains("staticdnsrecord/dns/a"), "both are named");
        let gone = world.without("a").state("a", Some(ObjectState::Deleting));
        assert_eq!(lines(&gone.plan()), ["release x A"], "{sign}: only our marker goes");
        assert_eq!(gone.settle().live("x", RrType::A).len(), 2, "{sign}");
    }
}

#[test]
fn a_ptr_that_a_dhcp_server_wrote_is_not_ours_to_repair() {
    let known = |name: &Name| *name == n("lease.home");
    let options = PlanOptions { dhcid_names: &known, ..PlanOptions::default() };
    let there = World::new().there("5 PTR lease.home.").claim_with("a", "5 PTR lease.home.", takeover);
    let plan = plan_zone(&there.rules, &there.claims, &there.view, &options);
    assert_eq!(lines(&plan), ["! 5 PTR OwnedByOther dhcp"]);
    let mut ours = World::new().claim("a", "5 PTR host.home.").settle();
    ours.cut("5 PTR");
    ours.put("5 PTR lease.home.");
    let plan = plan_zone(&ours.rules, &ours.claims, &ours.view, &options);
    assert_eq!(lines(&plan), ["! 5 PTR Contested dhcp"]);
    assert_eq!(lines(&ours.plan()), ["replace 5 PTR"], "any other change is drift");
    // A name that got a lease keeps its records, and so its PTR, when its object goes.
    let leased =
        World::new().claim("a", "5 PTR lease.home.").settle().without("a").state("a", Some(ObjectState::Deleting));
    let plan = plan_zone(&leased.rules, &leased.claims, &leased.view, &options);
    assert_eq!(lines(&plan), ["release 5 PTR"]);
    assert_eq!(lines(&leased.plan()), ["delete 5 PTR"], "of any other name it goes");
}

#[test]
fn a_nix_name_is_taken_over_whole() {
    let mut world = neighbours().claim("a", "nixhost A 10.0.1.3");
    world.rules.adopt_from = vec![AdoptFrom::Nix { managed_by: "routy".into() }];
    let plan = world.plan();
    assert_eq!(lines(&plan), ["! nixhost A OwnedByOther nix routy"]);
    assert!(plan.conflicts[0].message.contains("AAAA"), "{}", plan.conflicts[0].message);
    let different = world.clone().claim("a", "nixhost AAAA fd00::4");
    assert_eq!(lines(&different.plan()).len(), 2, "all or nothing");
    assert!(different.plan().changes.is_empty());
    let whole = world.claim("a", "nixhost AAAA fd00::3");
    let plan = whole.plan();
    assert_eq!(lines(&plan), ["adopt nixhost A", "adopt nixhost AAAA"]);
    let units = units(&plan);
    assert_eq!(units.len(), 1);
    assert!(
        units[0].guards.iter().any(|guard| matches!(guard, Guard::SetIs(name, ..) if *name == full("nix.nixhost")))
    );
    let world = whole.settle();
    assert!(world.view.at(&full("nix.nixhost")).is_empty());
    assert_eq!(world.marker_texts("nixhost").len(), 2);
}

#[test]
fn markers_of_an_old_owner_id_and_of_external_dns_are_replaced() {
    let mut world = neighbours().claim("a", "lab A 10.0.1.4").claim("a", "web A 10.0.1.2");
    world.rules.adopt_from =
        vec![AdoptFrom::Knotwork { owner: "lab".into() }, AdoptFrom::ExternalDns { owner: "default".into() }];
    assert_eq!(lines(&world.plan()), ["adopt lab A", "adopt web A"]);
    let world = world.settle();
    assert_eq!(world.marker_texts("lab").len(), 1);
    assert!(world.marker_texts("lab")[0].contains("owner=home"));
    assert!(world.view.at(&full("k8s.a-web")).is_empty());
}

/// Nothing marks a mark, and yet it is its writer's: whoever took it would take what it marks next.
#[test]
fn a_mark_itself_is_never_taken_over() {
    let mut world = World::new()
        .there("k8s.a-web TXT heritage=external-dns,external-dns/owner=default,external-dns/resource=service/x/web")
        .there("web A 10.0.0.7")
        .there("nix.nas TXT heritage=nix,managed-by=routy")
        .there("nas A 10.0.0.8")
        .claim_with("m", "k8s.a-web TXT x", takeover)
        .claim_with("n", "nix.nas TXT x", takeover)
        .claim_with("w", "web A 10.0.0.9", takeover)
        .claim_with("s", "nas A 10.0.0.9", takeover);
    world.rules.external_dns = vec![Affix { prefix: Some("k8s.".into()), ..Affix::default() }];
    let plan = world.plan();
    assert!(plan.changes.is_empty(), "{:?}", lines(&plan));
    assert_eq!(plan.conflicts.len(), 4);
    assert!(plan.conflicts.iter().all(|conflict| conflict.reason == "OwnedByOther" && conflict.owner != "unmarked"));
}

/// A PTR that points at a DHCP server's host is that server's, from the moment on that the DHCID appears until it goes.
#[test]
fn a_ptr_is_planned_again_when_a_dhcid_comes_to_its_target() {
    let mut world = World::new().there("p PTR lease").there("q PTR far.example.").claim("p", "p PTR lease");
    let known = std::sync::atomic::AtomicBool::new(false);
    let outside = |_: &Name| known.load(std::sync::atomic::Ordering::SeqCst);
    let options = PlanOptions { dhcid_names: &outside, ..PlanOptions::default() };
    let mut planner = Planner::new(world.rules.clone());
    planner.full(&world.claims, &world.view, &options);
    let mut state = |world: &World, dirty: Dirty| {
        planner.replan(&world.claims, &world.view, &dirty, &options);
        let plan = planner.plan(&world.claims, &world.view, &options);
        (lines(&plan), plan.skipped.get("dhcp").copied().unwrap_or(0))
    };
    let zone = |name: &str| Dirty { zone: vec![full(name)], ..Dirty::default() };
    let free = (vec!["adopt p PTR".to_owned()], 0);
    assert_eq!(state(&world, Dirty::default()), free);
    // In the zone itself: the DHCID counts, and the PTR.
    world.put("lease DHCID x");
    assert_eq!(state(&world, zone("lease")), (vec!["! p PTR OwnedByOther dhcp".to_owned()], 2));
    world.cut("lease DHCID");
    assert_eq!(state(&world, zone("lease")), free);
    // In another zone.
    known.store(true, std::sync::atomic::Ordering::SeqCst);
    let target = || Dirty { targets: vec![n("far.example")], ..Dirty::default() };
    assert_eq!(state(&world, target()), (free.0.clone(), 1));
    known.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(state(&world, target()), free);
}

/// The same of a PTR of ours that is about to go, the only one in the zone: it is only released then.
#[test]
fn a_ptr_that_goes_is_planned_again_when_a_dhcid_comes_to_its_target() {
    let mut world = World::new().claim("p", "p PTR lease").settle().state("p", Some(ObjectState::Deleting));
    let options = PlanOptions::default();
    let mut planner = Planner::new(world.rules.clone());
    planner.full(&world.claims, &world.view, &options);
    assert_eq!(lines(&planner.plan(&world.claims, &world.view, &options)), ["delete p PTR"]);
    world.put("lease DHCID x");
    let dirty = Dirty { zone: vec![full("lease")], ..Dirty::default() };
    planner.replan(&world.claims, &world.view, &dirty, &options);
    assert_eq!(lines(&planner.plan(&world.claims, &world.view, &options)), lines(&world.plan()));
    assert_eq!(lines(&world.plan()), ["release p PTR"]);
}

/// Whoever forgot to configure the affix keeps his names all the same, and is told the line.
#[test]
fn an_affix_that_is_not_configured_is_told_and_what_it_can_only_mean_is_left_alone() {
    let sign = "TXT heritage=external-dns,external-dns/owner=default,external-dns/resource=service/x/web";
    for (txt, line) in [
        ("k8s.a-web", "externalDns: [{prefix: \"k8s.\"}]"),
        ("edns-a.web", "externalDns: [{prefix: \"edns-%{record_type}.\"}]"),
        ("a-web-own", "externalDns: [{suffix: \"-own\"}]"),
    ] {
        let world = World::new().there("web A 10.0.1.2").there(&format!("{txt} {sign}")).claim_with(
            "p",
            "web A 10.0.9.9",
            takeover,
        );
        let plan = world.plan();
        assert_eq!(lines(&plan), ["! web A OwnedByOther externalDns default service/x/web"], "{txt}");
        assert!(
            plan.notes.len() == 1 && plan.notes[0].contains(line) && plan.notes[0].contains(txt),
            "{:?}",
            plan.notes
        );
        // A set of ours is not given up for a guess.
        let ours = World::new().claim("p", "web A 10.0.1.2").settle().there(&format!("{txt} {sign}"));
        let plan = ours.plan();
        assert!(lines(&plan).is_empty() && plan.notes.iter().all(|note| note.contains("fits no record")), "{plan:?}");
    }
    let mut world = World::new().there("web A 10.0.1.2").there(&format!("k8s.a-web {sign}"));
    world.rules.external_dns = vec![Affix { prefix: Some("k8s.".into()), ..Affix::default() }];
    assert!(world.plan().notes.is_empty());
}

/// An affix that nobody can guess, a replaced asterisk, another prefix of the Nix module: what such a TXT may speak of is not
/// adopted, changed or as it is, and the TXT is told.
#[test]
fn what_a_sign_of_unknown_affix_may_speak_of_is_left_alone() {
    let edns = "TXT heritage=external-dns,external-dns/owner=o1,external-dns/resource=service/x/w";
    let nix = "TXT heritage=nix,managed-by=routy";
    for (txt, sign, name, is_told) in [
        ("w4-reg-a", edns, "w4", true),
        ("oldpfxw7", edns, "w7", true),
        ("w7own", edns, "w7", true),
        ("nixos.w9", nix, "w9", true),
        ("ext-a-any.w5", edns, "*.w5", true),
        ("a-any.w6", edns, "*.w6", false),
    ] {
        for declared in ["10.0.9.9", "10.0.1.2"] {
            let world = World::new().there(&format!("{name} A 10.0.1.2")).there(&format!("{txt} {sign}")).claim_with(
                "p",
                &format!("{name} A {declared}"),
                takeover,
            );
            let plan = world.plan();
            let who = if sign == nix { "nix routy" } else { "externalDns o1 service/x/w" };
            assert_eq!(lines(&plan), [format!("! {name} A OwnedByOther {who}")], "{txt}");
            assert!(plan.conflicts[0].message.contains(txt), "{:?}", plan.conflicts);
            assert_eq!(plan.notes.iter().any(|note| note.contains(txt)), is_told, "{txt}: {:?}", plan.notes);
        }
    }
    // Other names are nobody's, and what is ours stays so.
    let world = World::new().there("w5 A 10.0.1.2").there(&format!("w4-reg-a {edns}")).claim_with(
        "p",
        "w5 A 10.0.9.9",
        takeover,
    );
    assert_eq!(lines(&world.plan()), ["adopt w5 A"]);
    let ours = World::new().claim("p", "w4 A 10.0.1.2").settle().there(&format!("w4-reg-a {edns}"));
    assert!(lines(&ours.plan()).is_empty(), "{:?}", lines(&ours.plan()));
    let gone = World::new().there(&format!("w4-reg-a {edns}")).claim("p", "w4 A 10.0.9.9");
    assert_eq!(lines(&gone.plan()).len(), 1, "a set that is not there is created");
}

#[test]
fn a_set_that_adopt_from_would_take_is_named_by_its_holder() {
    let mut world = neighbours().claim("a", "web A 10.0.9.9");
    world.rules.adopt_from = vec![AdoptFrom::ExternalDns { owner: "default".into() }];
    let plan = world.plan();
    assert_eq!(lines(&plan), ["! web A NotIdentical externalDns default service/x/web"]);
    assert!(
        plan.conflicts[0].message.contains("adoptFrom takes over what is declared as it is"),
        "{:?}",
        plan.conflicts
    );
}
