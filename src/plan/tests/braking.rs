//! The brake.

use super::*;

/// `teams` own ten sets each.
fn owned(teams: &[&str]) -> World {
    let mut world = World::new();
    for team in teams {
        for i in 0..10 {
            world = world.claim(&format!("{team}/{i}"), &format!("{i}.{team} A 10.0.0.{i}"));
        }
    }
    world.settle()
}

fn drop(mut world: World, team: &str, count: usize) -> World {
    for i in 0..count {
        world = world.without(&format!("{team}/{i}"));
    }
    world
}

fn options<'a>(state: &'a BrakeState, one_tenant: bool, release: &'a [String]) -> PlanOptions<'a> {
    PlanOptions { brake: Some(state), one_tenant, release, ..PlanOptions::default() }
}

fn plan(world: &World, options: &PlanOptions<'_>) -> Plan {
    plan_zone(&world.rules, &world.claims, &world.view, options)
}

fn sent(plan: &Plan) -> usize {
    plan.changes.iter().filter(|change| !change.held).count()
}

#[test]
fn small_zones_and_small_shares_go_through() {
    let world = drop(owned(&["a"]), "a", 10);
    assert!(world.plan().held.is_none(), "ten are never held");
    let many = ["a", "b", "c", "d"];
    assert!(drop(drop(owned(&many), "a", 10), "b", 2).plan().held.is_none(), "12 of 40 are 30 %");
    let over = drop(drop(owned(&many), "a", 10), "b", 3).plan();
    let held = over.held.unwrap();
    assert_eq!((held.owned, held.limit, held.deletes, held.replaces), (40, 12, 10, 0));
}

#[test]
fn namespaces_that_fit_are_admitted_whole_smallest_first() {
    let world = drop(drop(drop(owned(&["a", "b", "c"]), "a", 10), "b", 4), "c", 3);
    let world = world.claim("a/new", "new.a A 10.0.0.1");
    let plan = world.plan();
    let held: Vec<&str> =
        plan.changes.iter().filter(|change| change.held).map(|c| c.source.as_ref().unwrap().namespace()).collect();
    assert_eq!(held, ["a"; 10], "the limit of 10 takes 4 + 3; ten more do not fit");
    assert_eq!(sent(&plan), 4 + 3 + 1, "creates go on");
    let all = self::plan(&world, &options(&BrakeState::default(), true, &[]));
    assert_eq!(sent(&all), 1, "one tenant: everything counted is held");
    assert!(units(&all).iter().all(|unit| unit.changes.iter().all(|i| !all.changes[*i].held)));
}

#[test]
fn a_release_frees_exactly_what_it_names_and_once() {
    let world = drop(owned(&["a", "b"]), "a", 10).claim("b/0", "x.b A 10.0.0.1");
    let world = drop(world, "b", 2);
    let mut state = BrakeState::default();
    let first = plan(&world, &options(&state, false, &[]));
    let hash = first.held.as_ref().unwrap().hash.clone();
    assert_eq!(first.held.as_ref().unwrap().deletes, 10);
    state.absorb(&first);
    // The rest of the zone moves; the hash does not.
    let moved = world.clone().claim("c/1", "new.c A 10.0.0.1");
    let again = plan(&moved, &options(&state, false, &[]));
    assert_eq!(again.held.as_ref().unwrap().hash, hash);
    state.absorb(&again);
    assert!(plan(&moved, &options(&state, false, &["0000000000000000".to_owned()])).held.is_some());
    let freed = plan(&moved, &options(&state, false, std::slice::from_ref(&hash)));
    assert!(freed.held.is_none());
    assert!(!freed.verdict.counts(freed.changes.iter().find(|c| c.name == full("3.a")).unwrap()));
    state.absorb(&freed);
    // Applied in part, the rest stays free; what is new is not.
    let mut part = moved.clone();
    let units = units(&freed);
    for unit in units.iter().take(5) {
        sim::send(&mut part.view, &unit.guards, &unit.edits).unwrap();
    }
    let rest = plan(&part, &options(&state, false, &[]));
    assert!(rest.held.is_none());
    state.absorb(&rest);
    let part = drop(part, "b", 10);
    state.recent = 8;
    let rest = plan(&part, &options(&state, false, std::slice::from_ref(&hash)));
    assert!(rest.held.is_some(), "a release is used once");
}

#[test]
fn the_window_counts_and_time_alone_lets_nothing_through() {
    let world = drop(owned(&["a", "b"]), "a", 4);
    let mut state = BrakeState::default();
    (state.recent, state.owned_at_start) = (8, Some(20));
    let first = plan(&world, &options(&state, false, &[]));
    assert_eq!(first.held.as_ref().unwrap().deletes, 4);
    state.absorb(&first);
    state.recent = 0;
    assert!(plan(&world, &options(&state, false, &[])).held.is_some(), "still held when the window is empty");
    let mended = (0..4).fold(world, |world, i| world.claim(&format!("a/{i}"), &format!("{i}.a A 10.0.0.{i}")));
    let settled = plan(&mended, &options(&state, false, &[]));
    assert!(settled.held.is_none() && settled.changes.is_empty(), "what is not wished any more is not held");
}

/// What came within the window counts for the limit, too: a zone that grows is not held to what it was.
#[test]
fn a_zone_that_grew_is_judged_by_what_it_holds_now() {
    let world = drop(owned(&["a", "b", "c", "d", "e"]), "a", 10);
    let mut small = BrakeState::default();
    (small.recent, small.owned_at_start) = (4, Some(20));
    assert!(plan(&world, &options(&small, false, &[])).held.is_none(), "14 of 50 are less than 30 %");
    let mut shrunk = BrakeState::default();
    (shrunk.recent, shrunk.owned_at_start) = (90, Some(100));
    let held = plan(&world, &options(&shrunk, false, &[])).held.unwrap();
    assert_eq!((held.owned, held.limit), (100, 30), "what went counts still");
}

#[test]
fn a_swap_is_held_with_its_delete() {
    let mut world = owned(&["a", "b"]);
    for i in 0..10 {
        world = world.without(&format!("a/{i}")).claim(&format!("a/{i}"), &format!("{i}.a CNAME www"));
    }
    let world = drop(world, "b", 5);
    let plan = world.plan();
    assert!(plan.changes.iter().all(|change| change.held == change.name.is_below(&full("a"))), "{:#?}", lines(&plan));
}

#[test]
fn an_empty_source_with_prune_is_held() {
    let mut world = owned(&["a", "b", "c"]);
    world.claims = Claims { prune: true, ..Claims::default() };
    let plan = plan(&world, &options(&BrakeState::default(), true, &[]));
    assert_eq!(plan.held.as_ref().unwrap().deletes, 30);
    assert_eq!(sent(&plan), 0);
    assert!(units(&plan).is_empty());
}
