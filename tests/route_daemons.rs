//! `route()` against real systemd-resolved: what it says is what the servers' logs say.
//!
//! The seed of a run is printed; `KNOTWORK_SEED` replays it. `tests/parts/install` fetches the daemons.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod route_world;
mod support;

use knotwork::model::{Name, RrType};
use knotwork::split::route::{Outcome, Path};
use knotwork::split::{HostFacts, Router, SystemdVersion};

use route_world::{World, expected, seed};
use support::parts::{Tier, tier};
use support::resolved::{Lab, Log, VERSIONS, machine_state, serve};

/// The upstream servers of every lab: this program again, in the lab's second namespace.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    serve();
}

/// Configurations for each version, and queries for each of those.
fn size() -> (usize, usize) {
    if tier() == Tier::Full { (150, 15) } else { (30, 15) }
}

/// Fuzzes one daemon; gives for each version of the rules how many answers were wrong, and the words about the true ones.
fn fuzz(version: u16) -> Option<Vec<(u16, usize)>> {
    let before = machine_state();
    let mut lab = Lab::start(version)?;
    let seed = seed();
    eprintln!("systemd {version}: KNOTWORK_SEED={seed}");
    let mut random = route_world::Random::new(seed ^ u64::from(version));
    let (worlds, queries) = size();
    let mut wrong: Vec<(u16, usize)> = VERSIONS.map(|version| (version, 0)).to_vec();
    let mut told = Vec::new();
    for round in 0..worlds {
        let world = if round == 0 { World::telling() } else { World::random(&mut random, version) };
        world.install(&mut lab);
        let facts = world.facts(version);
        let routers = VERSIONS.map(|version| Router::at(&facts, SystemdVersion(version)));
        lab.asked();
        for _ in 0..queries {
            let (name, rtype, path) = world.question(&mut random);
            let reply = match path {
                Path::Nss => lab.try_run(&format!("nss {name} {}", if rtype == RrType::A { 2 } else { 10 })).1,
                Path::Stub => lab.try_run(&format!("stub {name} TYPE{}", rtype.0)).1,
            };
            let asked = lab.asked_of(&world.reachable());
            let parsed = Name::parse(&name).unwrap();
            for ((rules, wrong), router) in wrong.iter_mut().zip(&routers) {
                let route = router.table().route(&parsed, rtype, path);
                let refused = path == Path::Stub && reply.contains("status: REFUSED");
                let outcome_differs = path == Path::Stub && refused != (route.outcome == Outcome::Refused);
                if expected(&route, rtype) != asked || outcome_differs {
                    *wrong += 1;
                    if *rules == version {
                        told.push(format!(
                            "round {round}: {name} {rtype:?} {path}: said {:?} {:?}\nasked {asked:?}\nreply {}\n{world:?}",
                            route.outcome,
                            expected(&route, rtype),
                            reply.lines().next().unwrap_or("")
                        ));
                    }
                }
            }
        }
    }
    drop(lab);
    assert_eq!(machine_state(), before, "the machine itself changed");
    assert!(told.is_empty(), "systemd {version}, KNOTWORK_SEED={seed}: {} wrong\n{}", told.len(), told.join("\n\n"));
    eprintln!("systemd {version}: {} queries, none wrong; by other rules: {wrong:?}", worlds * queries);
    Some(wrong)
}

#[test]
fn r1_routes_are_those_of_systemd_252() {
    let Some(wrong) = fuzz(252) else { return };
    others_are_wrong(252, &wrong);
}

#[test]
fn r1_routes_are_those_of_systemd_257() {
    let Some(wrong) = fuzz(257) else { return };
    others_are_wrong(257, &wrong);
}

#[test]
fn r1_routes_are_those_of_systemd_262() {
    let Some(wrong) = fuzz(262) else { return };
    others_are_wrong(262, &wrong);
}

/// A fuzz that any rules pass proves nothing.
fn others_are_wrong(version: u16, wrong: &[(u16, usize)]) {
    for (rules, count) in wrong {
        assert_eq!(*count == 0, *rules == version, "{count} answers of the rules of {rules} are wrong on {version}");
    }
}

/// Runs what follows on every daemon that the machine has.
fn each(test: impl Fn(&mut Lab)) {
    for version in VERSIONS {
        let Some(mut lab) = Lab::start(version) else { continue };
        test(&mut lab);
    }
}

fn log<const N: usize>(lines: [(&str, &str, u16); N]) -> Log {
    lines.into_iter().map(|(server, name, rtype)| (server.parse().unwrap(), name.to_owned(), rtype)).collect()
}

/// Two links with the same domain, and what is said of them.
fn tie(lab: &mut Lab) {
    lab.global("");
    lab.run("ctl dns e1 10.1.0.53; ctl domain e1 '~corp.test'; ctl dns e2 10.2.0.53; ctl domain e2 '~corp.test'");
    lab.run("ctl dns e3 10.3.0.53; ctl domain e3 '~test'");
    lab.asked();
}

#[test]
fn r2_a_tie_asks_both_and_a_name_missing_at_one_comes_from_the_other() {
    each(|lab| {
        tie(lab);
        let both = log([("10.1.0.53", "a.corp.test", 1), ("10.2.0.53", "a.corp.test", 1)]);
        lab.mode("10.1.0.53", "nx");
        let reply = lab.run("nss a.corp.test 2");
        assert!(reply.contains("203 2 113 53"), "{reply}");
        assert_eq!(lab.asked_of(&["10.1.0.53".into(), "10.2.0.53".into()]), both, "systemd {}", lab.version);
    });
}

#[test]
fn r3_a_losing_scope_is_never_tried() {
    each(|lab| {
        tie(lab);
        lab.mode("10.1.0.53", "nx");
        lab.mode("10.2.0.53", "servfail");
        let (_, reply) = lab.try_run("nss a.corp.test 2");
        assert!(!reply.contains("203 3"), "{reply}");
        let servers: std::collections::BTreeSet<_> =
            lab.asked_of(&["10.1.0.53".into(), "10.2.0.53".into()]).into_iter().map(|(server, ..)| server).collect();
        assert!(!servers.contains(&"10.3.0.53".parse().unwrap()), "systemd {}: {servers:?}", lab.version);
        assert_eq!(servers.len(), 2);
    });
}

#[test]
fn r4_search_domains_are_walked_in_order_at_the_bus_and_never_at_the_stub() {
    each(|lab| {
        lab.global("");
        lab.run("ctl dns e1 10.1.0.53; ctl domain e1 one.test '~route.test' two.test; ctl dns e2 10.2.0.53");
        lab.asked();
        lab.run("nss nas 2");
        assert_eq!(lab.asked(), log([("10.1.0.53", "nas.one.test", 1)]), "systemd {}", lab.version);
        lab.mode("10.1.0.53", "nx");
        lab.try_run("nss nas 2");
        let walked = log([("10.1.0.53", "nas.one.test", 1), ("10.1.0.53", "nas.two.test", 1)]);
        assert_eq!(lab.asked(), walked, "systemd {}", lab.version);
        lab.try_run("stub nas A");
        assert_eq!(lab.asked(), log([]), "systemd {}", lab.version);
        lab.try_run("stub nas TXT");
        assert_eq!(lab.asked(), log([("10.1.0.53", "nas", 16)]), "systemd {}", lab.version);
    });
}

#[test]
fn r4_a_single_label_that_is_a_domain_itself_is_not_searched_for_where_it_may_be_asked() {
    each(|lab| {
        lab.global("ResolveUnicastSingleLabel=yes\n");
        lab.run("ctl dns e1 10.1.0.53; ctl domain e1 one.test corp; ctl dns e2 10.2.0.53; ctl domain e2 two.test");
        lab.asked();
        lab.run("nss corp 2");
        let asked = lab.asked_of(&["10.1.0.53".into(), "10.2.0.53".into()]);
        let first = if lab.version <= 252 { "corp.one.test" } else { "corp" };
        let want = log([("10.1.0.53", first, 1), ("10.2.0.53", "corp.two.test", 1)]);
        assert_eq!(asked, want, "systemd {}", lab.version);
    });
}

#[test]
fn r5_a_declared_reverse_zone_goes_before_the_subnet_of_a_link() {
    each(|lab| {
        lab.global("");
        lab.run("ctl dns e1 10.1.0.53; ctl domain e1 '~x.test'; ctl dns e2 10.2.0.53; ctl domain e2 '~y.test'");
        lab.asked();
        lab.run("stub 77.0.1.10.in-addr.arpa PTR");
        assert_eq!(lab.asked(), log([("10.1.0.53", "77.0.1.10.in-addr.arpa", 12)]), "systemd {}", lab.version);
        // Whatever the type: it is the name that counts.
        lab.run("stub 78.0.1.10.in-addr.arpa TXT");
        assert_eq!(lab.asked(), log([("10.1.0.53", "78.0.1.10.in-addr.arpa", 16)]), "systemd {}", lab.version);
        lab.run("ctl domain e2 '~1.10.in-addr.arpa'");
        lab.run("stub 77.0.1.10.in-addr.arpa PTR");
        assert_eq!(lab.asked(), log([("10.2.0.53", "77.0.1.10.in-addr.arpa", 12)]), "systemd {}", lab.version);
    });
}

#[test]
fn r6_local_names_go_only_where_a_domain_says_so() {
    each(|lab| {
        lab.global("");
        lab.run("ctl dns e1 10.1.0.53; ctl default-route e1 yes; ctl dns e2 10.2.0.53; ctl default-route e2 no");
        lab.asked();
        lab.try_run("nss printer.local 2");
        assert_eq!(lab.asked(), log([]), "systemd {}", lab.version);
        lab.run("ctl domain e2 '~local'");
        lab.run("nss printer.local 2");
        assert_eq!(lab.asked(), log([("10.2.0.53", "printer.local", 1)]), "systemd {}", lab.version);
    });
}

#[test]
fn r7_the_fallback_rule_has_three_versions() {
    each(|lab| {
        lab.global("FallbackDNS=10.9.0.60\n");
        let fallback = log([("10.9.0.60", "www.example.com", 1)]);
        let none = log([]);
        // A link that takes no strange names, by its setting and then of itself.
        lab.run("ctl dns e1 10.1.0.53; ctl domain e1 '~corp.test'; ctl default-route e1 no");
        lab.asked();
        lab.try_run("nss www.example.com 2");
        let explicit = lab.asked();
        assert_eq!(
            explicit,
            if lab.version <= 256 { none.clone() } else { fallback.clone() },
            "systemd {}",
            lab.version
        );
        lab.global("FallbackDNS=10.9.0.60\n");
        lab.run("ctl dns e1 10.1.0.53; ctl domain e1 '~corp.test'");
        lab.asked();
        lab.try_run("nss www.example.com 2");
        let automatic = lab.asked();
        assert_eq!(automatic, if lab.version <= 257 { none } else { fallback }, "systemd {}", lab.version);
    });
}

#[test]
fn r8_a_fallback_server_once_in_use_takes_the_names_of_global_domains_for_good() {
    let Some(mut lab) = Lab::start(262) else { return };
    lab.global("FallbackDNS=10.9.0.60\nDomains=~corp.test\n");
    // A link that takes everything, as at boot: its settings are there before its carrier.
    lab.run("ip -n srv link set pe1 down; ctl dns e1 10.1.0.53; ctl default-route e1 yes; settled e1 0");
    lab.asked();
    lab.run("stub a.corp.test A");
    assert_eq!(lab.asked(), log([("10.9.0.60", "a.corp.test", 1)]));
    lab.run("ip -n srv link set pe1 up; settled e1 1");
    lab.run("stub www.example.com A");
    assert_eq!(lab.asked(), log([("10.1.0.53", "www.example.com", 1)]));
    // The private names of the global scope stay with the fallback server all the same.
    lab.run("stub a.corp.test A");
    assert_eq!(lab.asked(), log([("10.9.0.60", "a.corp.test", 1)]));
    let mut facts = HostFacts::from_json(
        r#"{"version":1,"systemd":262,"hostname":"linux","hosts":[],"delegates":[],"resolveUnicastSingleLabel":false,
            "links":[{"ifindex":2,"name":"e1","loopback":false,"up":true,"carrier":true,"operstate":"up",
                "addresses":[{"address":"10.1.0.1","prefix":24}],"servers":["10.1.0.53"],"domains":[],"defaultRoute":"yes"}],
            "global":{"servers":[],"domains":["~corp.test"],"fallback":["10.9.0.60"],"fallbackInUse":true}}"#,
    )
    .unwrap();
    let private = Name::parse("a.corp.test").unwrap();
    let said =
        |facts: &HostFacts| expected(&Router::new(facts).table().route(&private, RrType::A, Path::Nss), RrType::A);
    assert_eq!(said(&facts), log([("10.9.0.60", "a.corp.test", 1)]));
    // The rule alone, without that fact, would miss it.
    facts.global.fallback_in_use = Some(false);
    assert_eq!(said(&facts), log([("10.1.0.53", "a.corp.test", 1)]));
}
