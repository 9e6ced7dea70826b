//! DNAMEs and delegations.

use super::*;

#[test]
fn a_dname_is_marked_at_its_parent_and_replaced_in_two_steps() {
    let world = World::new().claim("d", "old DNAME new").settle();
    assert!(world.marker_texts("@")[0].ends_with(",name=old"));
    let other = world.without("d").claim("d", "old DNAME newer");
    let plan = other.plan();
    assert_eq!(lines(&plan), ["replace old DNAME", "create old DNAME"]);
    let units = units(&plan);
    assert_eq!((units.len(), units[1].after), (2, Some(0)));
    let world = other.settle();
    assert_eq!(world.live("old", RrType::DNAME), ["newer.internal."]);
    world.without("d").settle();
}

#[test]
fn dnames_of_one_parent_go_one_by_one() {
    let mut world = World::new().claim("apex", "@ MX 10 mail.internal.");
    for i in 0..5 {
        world = world.claim("d", &format!("d{i} DNAME t{i}"));
    }
    let plan = world.plan();
    let units = units(&plan);
    assert_eq!(units.len(), 6);
    for unit in &units {
        let dnames = unit.edits.iter().filter(|edit| matches!(edit, Edit::Add(_, RrType::DNAME, ..))).count();
        assert!(dnames <= 1);
    }
    let world = world.settle();
    assert_eq!(world.marker_texts("@").len(), 6);
    let mut changed = world.without("d");
    for i in 1..5 {
        changed = changed.claim("d", &format!("d{i} DNAME u{i}"));
    }
    changed.settle();
}

#[test]
fn nothing_stands_below_or_beside_a_dname() {
    let below = World::new().claim("d", "old DNAME new").settle().claim("a", "x.old A 10.0.0.1");
    assert_eq!(lines(&below.plan()), ["! x.old A Incompatible"]);
    let above = World::new().there("x.old A 10.0.0.1").claim("d", "old DNAME new");
    let plan = above.plan();
    assert_eq!(lines(&plan), ["! old DNAME Incompatible"]);
    assert!(plan.conflicts[0].message.contains("x.old.internal"), "{}", plan.conflicts[0].message);
    let both = World::new().claim("d", "old DNAME new").claim("a", "x.old A 10.0.0.1");
    assert_eq!(lines(&both.plan()), ["create x.old A", "! old DNAME Incompatible"]);
    both.settle();
    let beside = World::new().claim("d", "old DNAME new").claim("a", "old A 10.0.0.1");
    assert_eq!(lines(&beside.plan()), ["create old A", "! old DNAME NameClaimed a"]);
    let foreign = World::new().there("old DNAME new").claim("a", "old A 10.0.0.1");
    assert_eq!(lines(&foreign.plan()), ["! old A Incompatible"]);
    let theirs = World::new().there("old MX 10 m.internal.").claim("d", "old DNAME new");
    assert_eq!(lines(&theirs.plan()), ["! old DNAME Incompatible"]);
}

#[test]
fn a_swap_with_a_dname_takes_two_plans() {
    let world = World::new().claim("a", "x A 10.0.0.1").settle().without("a").claim("a", "x DNAME y");
    let plan = world.plan();
    assert_eq!((lines(&plan), plan.deferred), (vec!["delete x A".to_owned()], 1));
    let world = world.apply().settle();
    assert_eq!(world.live("x", RrType::DNAME).len(), 1);
    let back = world.without("a").claim("a", "x A 10.0.0.1");
    assert_eq!(back.plan().deferred, 1);
    back.apply().settle();
}

#[test]
fn a_delegation_hides_nothing_but_its_glue() {
    let glue = World::new()
        .claim("a", "sub NS ns.sub")
        .claim("a", "sub DS 1 13 2 00000000000000000000000000000000000000000000000000000000000000ff")
        .claim("a", "ns.sub A 10.0.0.1");
    assert_eq!(glue.plan().changes.len(), 3);
    let world = glue.settle();
    let more = world.clone().claim("b", "www.sub A 10.0.0.2");
    assert_eq!(lines(&more.plan()), ["! www.sub A Incompatible"]);
    let more = world.clone().claim("b", "ns.sub TXT x");
    assert_eq!(lines(&more.plan()), ["! ns.sub TXT Incompatible"]);
    let hiding = World::new().there("www.sub A 10.0.0.2").claim("a", "sub NS ns.sub");
    assert!(hiding.plan().conflicts[0].message.contains("www.sub.internal"));
    let hiding = World::new().claim("b", "www.sub A 10.0.0.2").claim("a", "sub NS ns.sub");
    assert_eq!(lines(&hiding.plan()), ["create www.sub A", "! sub NS Incompatible"]);
    hiding.settle();
    // What is ours and already hidden by others stays as it was declared.
    let mut hidden = World::new().claim("b", "www.sub A 10.0.0.2").settle();
    hidden.put("sub NS elsewhere");
    assert_eq!(lines(&hidden.plan()), [] as [&str; 0]);
    hidden.without("b").settle();
}
