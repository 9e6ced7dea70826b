//! Several objects that want one record set, shared sets, type swaps.

use super::*;

fn takeover(claim: &mut Claim) {
    claim.adopt = AdoptPolicy::Takeover;
}
fn share(claim: &mut Claim) {
    claim.share = true;
}

#[test]
fn the_order_decides_where_no_marker_does() {
    let world = World::new().claim("b", "x A 10.0.0.2").claim("a", "x A 10.0.0.1");
    assert_eq!(lines(&world.plan()), ["create x A", "! x A NameClaimed a"]);
    let world = World::new().claim_with("a", "x A 10.0.0.1", |claim| claim.created = Some(20)).claim_with(
        "b",
        "x A 10.0.0.2",
        |claim| claim.created = Some(10),
    );
    assert_eq!(lines(&world.plan()), ["create x A", "! x A NameClaimed b"]);
    let plan = world.plan();
    assert_eq!(plan.conflicts[0].source, Some(object_id("a")));
    assert_eq!(world.settle().live("x", RrType::A), ["10.0.0.2"]);
}

#[test]
fn the_marker_outranks_the_order_even_in_absence() {
    let world = World::new().claim("b", "x A 10.0.0.2").settle().claim("a", "x A 10.0.0.1");
    assert_eq!(lines(&world.plan()), ["! x A NameClaimed b"]);
    let absent = world.clone().absent("b");
    assert_eq!(lines(&absent.plan()), ["! x A NameClaimed b", "? x A"]);
    assert!(absent.plan().conflicts[0].message.contains("--prune"));
    // It loses by its observed deletion, by prune, or when it declares the set no more: one step, not two.
    for lost in [
        world.clone().without("b").state("b", Some(ObjectState::Deleting)),
        world.clone().absent("b").prune(),
        world.clone().without("b"),
    ] {
        let plan = lost.plan();
        assert_eq!(lines(&plan), ["replace x A"]);
        assert_eq!(plan.changes[0].source, Some(object_id("a")));
        assert_eq!(lost.settle().live("x", RrType::A), ["10.0.0.1"]);
    }
    let same = World::new().claim("b", "x A 10.0.0.1").settle().claim("a", "x A 10.0.0.1").absent("b").prune();
    assert_eq!(lines(&same.plan()), ["remark x A"], "not counted as a delete");
    same.settle();
    let broken = world.absent("b").prune().incomplete();
    assert_eq!(lines(&broken.plan()), ["! x A NameClaimed b"]);
}

#[test]
fn takeover_wins_and_then_stays() {
    let world = World::new().claim("b", "x A 10.0.0.2").settle().claim_with("c", "x A 10.0.0.3", takeover);
    assert_eq!(lines(&world.plan()), ["replace x A", "! x A NameClaimed c"]);
    let world = world.settle().claim_with("a", "x A 10.0.0.1", takeover);
    assert_eq!(world.live("x", RrType::A), ["10.0.0.3"]);
    assert_eq!(lines(&world.plan()), ["! x A NameClaimed c", "! x A NameClaimed c"], "two with the right do not fight");
    let absent = World::new().claim("b", "x A 10.0.0.2").settle().absent("b").claim_with("c", "x A 10.0.0.3", takeover);
    assert_eq!(absent.settle().live("x", RrType::A), ["10.0.0.3"]);
}

#[test]
fn members_share_a_set() {
    let world = World::new().claim_with("a", "x A 10.0.0.1 10.0.0.9", share).claim_with(
        "b",
        "x A 10.0.0.2 10.0.0.9",
        |claim| {
            share(claim);
            claim.set.ttl = 60;
        },
    );
    let plan = world.plan();
    assert_eq!(lines(&plan), ["create x A"]);
    let said = |note: &String| note.contains("different TTLs");
    // Once: beside the change, or where there is none by itself.
    assert!(plan.notes.is_empty() && plan.changes[0].note.as_ref().is_some_and(said), "the TTLs disagree: {plan:?}");
    let world = world.settle();
    assert!(world.plan().notes.iter().any(said), "the TTLs still disagree");
    assert_eq!(world.live("x", RrType::A), ["10.0.0.1", "10.0.0.2", "10.0.0.9"]);
    assert_eq!(world.view.get(&full("x"), RrType::A).unwrap().ttl, 60);
    assert_eq!(world.marker_texts("x").len(), 2);
    // An absent member's values stay; drift goes.
    let mut absent = world.clone().absent("a");
    assert_eq!(lines(&absent.plan()), ["? x A"]);
    absent.put("x A 10.0.0.77");
    assert_eq!(absent.settle().live("x", RrType::A), ["10.0.0.1", "10.0.0.2", "10.0.0.9"]);
    // A leaving member takes what nobody else lists.
    let left = world.clone().without("a").settle();
    assert_eq!(left.live("x", RrType::A), ["10.0.0.2", "10.0.0.9"]);
    assert_eq!(left.marker_texts("x").len(), 1);
    // The same where the one that stays is absent.
    let left = world.clone().without("a").absent("b").settle();
    assert_eq!(left.live("x", RrType::A), ["10.0.0.2", "10.0.0.9"]);
    let waits = world.clone().without("a").incomplete();
    assert_eq!(waits.plan().waiting.unwrap().0, 1);
    assert_eq!(waits.apply().live("x", RrType::A).len(), 3);
    let gone = world.without("a").without("b");
    assert_eq!(lines(&gone.plan()), ["delete x A"]);
    assert!(gone.settle().marker_texts("x").is_empty());
}

#[test]
fn shared_and_not_shared_do_not_mix() {
    let world = World::new().claim("a", "x A 10.0.0.1").claim_with("b", "x A 10.0.0.2", share);
    assert_eq!(lines(&world.plan()), ["create x A", "! x A NameClaimed a"]);
    let shared = World::new().claim_with("b", "x A 10.0.0.2", share).settle().claim("a", "x A 10.0.0.1");
    assert_eq!(lines(&shared.plan()), ["! x A NameClaimed b"]);
    assert_eq!(lines(&shared.clone().absent("b").plan()), ["! x A NameClaimed b", "? x A"]);
    // The only member may keep the set for itself, and give it back.
    let alone = World::new().claim_with("b", "x A 10.0.0.2", share).settle().without("b").claim("b", "x A 10.0.0.2");
    assert_eq!(lines(&alone.plan()), ["remark x A"]);
    alone.settle().without("b").claim_with("b", "x A 10.0.0.2", share).settle();
    let retain = World::new().claim_with("b", "x A 10.0.0.2", |claim| {
        share(claim);
        claim.deletion = DeletionPolicy::Retain;
    });
    assert_eq!(lines(&retain.plan()), ["! x A Incompatible"]);
}

#[test]
fn an_abandoned_member_keeps_its_values_until_it_is_the_last() {
    let world = World::new().claim_with("a", "x A 10.0.0.1", share).claim_with("b", "x A 10.0.0.2", share).settle();
    let left = world.without("a").state("a", Some(ObjectState::Abandoned));
    assert_eq!(lines(&left.plan()), [] as [&str; 0]);
    let last = left.without("b").state("b", Some(ObjectState::Abandoned));
    assert_eq!(lines(&last.plan()), ["release x A"]);
    assert_eq!(last.settle().live("x", RrType::A).len(), 2);
}

#[test]
fn a_type_swap_is_one_unit_both_ways() {
    let world = World::new().claim("a", "x A 10.0.0.1").claim("a", "x AAAA fd00::1").settle();
    let swap = world.without("a").claim("a", "x CNAME www");
    let plan = swap.plan();
    assert_eq!(lines(&plan), ["delete x A", "delete x AAAA", "create x CNAME"]);
    let units = units(&plan);
    assert_eq!(units.len(), 1);
    for absent in [RrType::TXT, RrType::MX, RrType::HTTPS, RrType::DHCID, RrType::LOC] {
        assert!(units[0].guards.contains(&Guard::SetAbsent(full("x"), absent)), "{absent}");
    }
    let adds = units[0].edits.iter().position(|edit| matches!(edit, Edit::Add(..))).unwrap();
    assert!(units[0].edits[adds..].iter().all(|edit| matches!(edit, Edit::Add(..))), "removes first");
    let world = swap.settle();
    assert_eq!(world.live("x", RrType::CNAME), ["www.internal."]);
    let back = world.without("a").claim("a", "x A 10.0.0.1").claim("a", "x TXT t");
    assert_eq!(lines(&back.plan()), ["delete x CNAME", "create x A", "create x TXT"]);
    back.settle();
}

#[test]
fn an_alias_stands_alone() {
    let both = World::new().claim("a", "x A 10.0.0.1").claim("b", "x CNAME www");
    assert_eq!(lines(&both.plan()), ["create x A", "! x CNAME NameClaimed a"]);
    both.settle();
    let one = World::new().claim("a", "x A 10.0.0.1").claim("a", "x CNAME www");
    assert_eq!(one.plan().conflicts[0].reason, "Incompatible");
    // What is there stays, even while its object is absent.
    let there = World::new().claim("b", "x CNAME www").settle().claim("a", "x A 10.0.0.1");
    assert_eq!(lines(&there.plan()), ["! x A NameClaimed b"]);
    assert_eq!(lines(&there.clone().absent("b").plan()), ["! x A NameClaimed b", "? x CNAME"]);
    let swapped = there.absent("b").prune();
    assert_eq!(lines(&swapped.plan()), ["delete x CNAME", "create x A"]);
    swapped.settle();
}

#[test]
fn an_alias_beside_a_set_that_was_changed_by_others_waits() {
    let mut world = World::new().claim("a", "x A 10.0.0.1").settle();
    world.put("x A 10.0.0.9");
    let swap = world.without("a").claim("a", "x CNAME www");
    assert_eq!(lines(&swap.plan()), ["release x A", "! x CNAME Incompatible ours"]);
    assert_eq!(lines(&swap.apply().plan()), ["! x CNAME OwnedByOther unmarked"]);
}

#[test]
fn a_set_is_not_given_up_for_a_claim_that_then_loses_to_an_alias() {
    // The new A claim would take the set over from an absent object, but loses itself to the older alias.
    let world = World::new().claim("gone", "x A 10.0.0.1").settle().absent("gone");
    let world = world
        .claim_with("new", "x A 10.0.0.2", |claim| {
            takeover(claim);
            claim.created = Some(20);
        })
        .claim_with("alias", "x CNAME www", |claim| {
            takeover(claim);
            claim.created = Some(10);
        });
    let plan = world.plan();
    assert!(plan.changes.is_empty(), "{:?}", lines(&plan));
    assert_eq!(lines(&plan), ["! x A NameClaimed alias", "! x CNAME Incompatible ours", "? x A"]);
    // And while the source is not whole, nothing is deleted for it either.
    let world = World::new().claim("b", "x A 10.0.0.1").settle().without("b").incomplete();
    let world = world.claim("c", "x A 10.0.0.1").claim("a", "x CNAME www");
    assert!(world.plan().changes.is_empty(), "{:?}", lines(&world.plan()));
}
