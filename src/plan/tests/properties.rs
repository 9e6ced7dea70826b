//! Properties under random worlds, random neighbours and random interruptions.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::ownership::{AdoptFrom, Classifier, Marker, MarkerText, Writer, holds_our_markers};

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    Declare {
        object: u8,
        line: &'static str,
        share: bool,
        takeover: bool,
        retain: bool,
    },
    Forget {
        object: u8,
    },
    State {
        object: u8,
        state: Option<ObjectState>,
    },
    Prune(bool),
    /// The configuration lets us take over other tools' marks, or not.
    Inherit(bool),
    Complete(bool),
    /// Another writer puts a set, or takes it away.
    Foreign {
        line: &'static str,
        add: bool,
    },
    /// Some units of a plan are sent, with another writer's doing before each that the mask names.
    Send {
        mask: u32,
        meddle: Vec<(u8, &'static str, bool)>,
    },
}

const SETS: &[&str] = &[
    "a A 10.0.0.1",
    "a A 10.0.0.2",
    "a A 10.0.0.1 10.0.0.3",
    "a AAAA fd00::1",
    "a TXT t",
    "a CNAME b",
    "a DNAME c",
    "b A 10.0.1.1",
    "b CNAME a",
    "b PTR lease",
    "x.a A 10.0.2.1",
    "x.a NS ns.x.a",
    "ns.x.a A 10.0.2.2",
    "y.a DNAME b",
    "z.a DNAME b",
    "z.a DNAME c",
    "@ MX 10 a.internal.",
    "@ NS ns0 ns1",
    "@ NS ns2",
];

const FOREIGN: &[&str] = &[
    "a A 10.9.0.1",
    "a A 10.0.0.1",
    "a TXT theirs",
    "a DHCID x",
    "a CNAME z",
    "a-a TXT heritage=external-dns,external-dns/owner=default",
    "nix.a TXT heritage=nix,managed-by=routy",
    "_knotwork.a TXT heritage=knotwork,v=1,owner=lab,type=A,set=0000000000000001,resource=r/l/x",
    "_knotwork.a TXT heritage=knotwork,v=9,owner=home,type=AAAA",
    "_knotwork.a CNAME b",
    "_knotwork.a TXT note",
    "b A 10.0.1.1",
    "b MX 10 a.internal.",
    "b PTR lease",
    "b DNAME a",
    "x.a NS elsewhere",
    "x.a A 10.9.0.2",
    "q.y.a A 10.9.0.3",
    "lease DHCID x",
    "@ TXT spf",
];

const STATES: &[Option<ObjectState>] = &[
    None,
    Some(ObjectState::Present),
    Some(ObjectState::Protected),
    Some(ObjectState::Deleting),
    Some(ObjectState::Abandoned),
    Some(ObjectState::Paused),
];

fn event() -> impl Strategy<Value = Event> {
    let object = 0u8..4;
    prop_oneof![
        6 => (object.clone(), select(SETS), prop::bool::weighted(0.3), prop::bool::weighted(0.2), prop::bool::weighted(0.1))
            .prop_map(|(object, line, share, takeover, retain)| Event::Declare { object, line, share, takeover, retain }),
        2 => object.clone().prop_map(|object| Event::Forget { object }),
        2 => (object, select(STATES)).prop_map(|(object, state)| Event::State { object, state }),
        1 => any::<bool>().prop_map(Event::Prune),
        1 => any::<bool>().prop_map(Event::Complete),
        1 => any::<bool>().prop_map(Event::Inherit),
        3 => (select(FOREIGN), any::<bool>()).prop_map(|(line, add)| Event::Foreign { line, add }),
        4 => (
            any::<u32>(),
            prop::collection::vec((0u8..8, select(FOREIGN), any::<bool>()), 0..3)
        ).prop_map(|(mask, meddle)| Event::Send { mask, meddle }),
    ]
}

fn foreign(view: &mut View, line: &str, add: bool) {
    let (name, rtype, values) = parse(line);
    for value in values {
        // As a server would take it.
        let edit =
            if add { Edit::Add(name.clone(), rtype, 300, value) } else { Edit::Remove(name.clone(), rtype, value) };
        sim::send(view, &[], &[edit]).unwrap();
    }
}

/// Every set that is not ours and not the server's, with its writer.
fn neighbours(world: &World, view: &View) -> Vec<(Name, RrType, RrSet)> {
    let classes = Classifier::new(&world.rules, view);
    let mut out = Vec::new();
    for name in view.names() {
        for (rtype, set) in view.at(&name) {
            match classes.writer(&name, rtype) {
                Writer::Ours | Writer::Infrastructure => {}
                _ => out.push((name.clone(), rtype, set)),
            }
        }
    }
    out
}

fn is_own_marker(rdata: &[u8]) -> bool {
    matches!(Marker::parse_rdata(rdata), MarkerText::Marker(marker) if marker.owner == "home")
}

/// Sends one unit and judges what it did to others.
fn send(world: &mut World, plan: &Plan, unit: &Unit) {
    let before = world.view.clone();
    if sim::send(&mut world.view, &unit.guards, &unit.edits).is_err() {
        for name in before.names() {
            let same = |(a, b): (&(RrType, RrSet), &(RrType, RrSet))| a.0 == b.0 && a.1.same(&b.1, a.0);
            assert!(before.at(&name).iter().zip(&world.view.at(&name)).all(same));
        }
        return;
    }
    let adopted = |name: &Name, rtype: RrType| {
        unit.changes
            .iter()
            .map(|index| &plan.changes[*index])
            .any(|change| change.action == Action::Adopt && change.name == *name && change.rtype == rtype)
    };
    // Marks that the configuration lets us take go with the change that takes them.
    let inherits = !world.rules.adopt_from.is_empty();
    let taken = |name: &Name| {
        let removed = |edit: &Edit| matches!(edit, Edit::Remove(at, RrType::TXT, _) if at == name);
        inherits && unit.edits.iter().any(removed)
    };
    let gone: Vec<_> = neighbours(world, &before)
        .into_iter()
        .filter(|(name, rtype, _)| !adopted(name, *rtype))
        .filter(|(name, rtype, _)| *rtype != RrType::TXT || !taken(name))
        .filter(|(name, rtype, set)| {
            let now = world.view.get(name, *rtype);
            // Notes beside markers stay; the markers between them are ours to change.
            !set.values
                .iter()
                .filter(|value| !is_own_marker(value))
                .all(|value| now.as_ref().is_some_and(|now| now.values.contains(value)))
        })
        .collect();
    assert!(gone.is_empty(), "harmed: {gone:?} by {unit:#?}");
    for index in &unit.changes {
        provenance(world, &plan.changes[*index]);
    }
}

/// Deletes have an object that wants them.
fn provenance(world: &World, change: &Change) {
    if change.action != Action::Delete {
        return;
    }
    let object = change.source.as_ref().unwrap();
    let state = world.claims.objects.get(object);
    let declares = world
        .claims
        .sets
        .get(&change.name)
        .and_then(|types| types.get(&change.rtype))
        .is_some_and(|list| list.iter().any(|claim| claim.object == *object));
    let complete = world.claims.health == SourceHealth::Complete;
    let swap = world.claims.sets.get(&change.name).is_some_and(|types| {
        types.iter().any(|(t, list)| *t != change.rtype && list.iter().any(|claim| claim.object == *object))
    });
    match state {
        None => assert!(world.claims.prune && complete, "{change:?}"),
        Some(ObjectState::Present) => assert!(!declares && (complete || swap), "{change:?}"),
        Some(ObjectState::Deleting) => assert!(complete, "{change:?}"),
        Some(other) => panic!("{other:?}: {change:?}"),
    }
}

fn object_name(object: u8) -> String {
    format!("o{object}")
}

fn step(world: World, event: &Event) -> World {
    match event {
        Event::Declare { object, line, share, takeover, retain } => {
            let (name, rtype, _) = parse(line);
            let name_of = object_name(*object);
            let id = object_id(&name_of);
            let mut world = world;
            // One object declares a set once.
            if let Some(list) = world.claims.sets.get_mut(&name).and_then(|types| types.get_mut(&rtype)) {
                list.retain(|claim| claim.object != id);
            }
            world.claim_with(&name_of, line, |claim| {
                claim.share = *share;
                if *takeover {
                    claim.adopt = AdoptPolicy::Takeover;
                }
                if *retain {
                    claim.deletion = DeletionPolicy::Retain;
                }
            })
        }
        Event::Forget { object } => world.without(&object_name(*object)),
        Event::State { object, state: None } => world.absent(&object_name(*object)),
        Event::State { object, state } => world.state(&object_name(*object), *state),
        Event::Prune(prune) => {
            let mut world = world;
            world.claims.prune = *prune;
            world
        }
        Event::Inherit(take) => {
            let mut world = world;
            let from = [
                AdoptFrom::Nix { managed_by: "routy".into() },
                AdoptFrom::Knotwork { owner: "lab".into() },
                AdoptFrom::ExternalDns { owner: "default".into() },
            ];
            world.rules.adopt_from = if *take { from.to_vec() } else { Vec::new() };
            world
        }
        Event::Complete(true) => world.complete(),
        Event::Complete(false) => world.incomplete(),
        Event::Foreign { line, add } => {
            let mut world = world;
            foreign(&mut world.view, line, *add);
            world
        }
        Event::Send { mask, meddle } => {
            let mut world = world;
            let plan = world.plan();
            for (i, unit) in units(&plan).iter().enumerate() {
                for (_, line, add) in meddle.iter().filter(|(when, ..)| usize::from(*when) == i) {
                    foreign(&mut world.view, line, *add);
                }
                if mask & (1 << (i % 32)) != 0 {
                    send(&mut world, &plan, unit);
                }
            }
            world
        }
    }
}

/// Names that an event may have changed, for the incremental planner: those of the zone and those of the claims.
fn difference(before: &World, after: &World) -> Dirty {
    let mut names: Vec<Name> = before.view.names().chain(after.view.names()).collect();
    names.sort();
    names.dedup();
    let same = |name: &Name| {
        let (a, b) = (before.view.at(name), after.view.at(name));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && a.1.same(&b.1, a.0))
    };
    names.retain(|name| !same(name));
    let mut claims: Vec<Name> = before.claims.sets.keys().chain(after.claims.sets.keys()).cloned().collect();
    claims.sort();
    claims.dedup();
    let told = |world: &World, name: &Name| {
        let claims = world.claims.sets.get(name);
        let states = claims.into_iter().flatten().flat_map(|(_, list)| list);
        let states: Vec<_> = states.map(|claim| world.claims.objects.get(&claim.object)).collect();
        format!("{claims:?} {states:?}")
    };
    claims.retain(|name| told(before, name) != told(after, name));
    let objects = before.claims.objects != after.claims.objects
        || before.claims.prune != after.claims.prune
        || before.claims.health != after.claims.health;
    Dirty { zone: names, claims, objects, targets: Vec::new() }
}

fn same_plan(a: &Plan, b: &Plan) {
    assert_eq!(lines(a), lines(b));
    for (a, b) in a.changes.iter().zip(&b.changes) {
        assert!(format!("{a:?}") == format!("{b:?}"), "{:?} {:?}\n{:?} {:?}", a.name, a.guards, b.name, b.guards);
    }
    assert_eq!((a.owned, a.deferred, &a.waiting), (b.owned, b.deferred, &b.waiting));
    assert_eq!(a.skipped, b.skipped);
    assert_eq!(a.notes, b.notes);
}

fn run(events: &[Event]) -> World {
    let mut world = World::new();
    let options = PlanOptions::default();
    let mut planner = Planner::new(world.rules.clone());
    planner.full(&world.claims, &world.view, &options);
    for event in events {
        let before = world.clone();
        world = step(world, event);
        if matches!(event, Event::Inherit(_)) {
            planner = Planner::new(world.rules.clone());
            planner.full(&world.claims, &world.view, &options);
        }
        planner.replan(&world.claims, &world.view, &difference(&before, &world), &options);
        same_plan(&planner.plan(&world.claims, &world.view, &options), &world.plan());
    }
    world
}

/// Twenty times as many in `./test full`.
fn cases(usual: u32) -> u32 {
    if std::env::var("KNOTWORK_TIER").as_deref() == Ok("full") { usual * 20 } else { usual }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    /// However the world came to be, whatever part of plans was sent and whoever meddled: no neighbour is harmed, deletes
    /// have provenance, planning again by names equals planning anew, and at the end plans lead to an empty one.
    #[test]
    fn converges_and_harms_nobody(events in prop::collection::vec(event(), 1..14)) {
        let mut world = run(&events);
        let mut rounds = 0;
        loop {
            let plan = world.plan();
            if plan.is_settled() {
                break;
            }
            prop_assert!(rounds < 6, "does not settle: {:#?} deferred {}", plan.changes, plan.deferred);
            for unit in units(&plan) {
                let sent = sim::send(&mut world.view, &unit.guards, &unit.edits);
                prop_assert!(sent.is_ok(), "{:?} does not hold in {:#?}", sent, plan.changes);
            }
            rounds += 1;
        }
        // The same again changes nothing.
        prop_assert!(world.plan().is_settled());
    }

    /// A source that is empty, whatever was declared before it, edits nothing.
    #[test]
    fn an_empty_world_edits_nothing(events in prop::collection::vec(event(), 1..14)) {
        let mut world = run(&events);
        world.claims = Claims::default();
        prop_assert!(world.plan().changes.is_empty());
        if !holds_our_markers(&world.rules, &world.view) {
            prop_assert!(world.plan().orphans.is_empty());
        }
    }
}
