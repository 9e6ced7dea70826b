//! `route()` on hand-made hosts; `tests/route_daemons.rs` holds it against real daemons.
#![allow(clippy::unwrap_used)]

use super::route::{Outcome, Path, Router};
use super::{HostFacts, SystemdVersion};
use crate::model::{Name, RrType};

fn facts(links: &str, global: &str) -> HostFacts {
    HostFacts::from_json(&format!(
        r#"{{"version":1,"hostname":"own.example","systemd":257,"hosts":[],"delegates":[],"resolveUnicastSingleLabel":false,
            "links":[{links}],"global":{{{global}}}}}"#
    ))
    .unwrap()
}

fn link(name: &str, server: &str, domains: &str, default_route: &str) -> String {
    format!(
        r#"{{"ifindex":2,"name":"{name}","loopback":false,"up":true,"carrier":true,"operstate":"up",
            "addresses":[{{"address":"10.1.0.1","prefix":24}}],"servers":["{server}"],"domains":[{domains}],
            "defaultRoute":{default_route}}}"#
    )
}

const NO_GLOBAL: &str = r#""servers":[],"domains":[],"fallback":[]"#;

fn asked(facts: &HostFacts, name: &str) -> Vec<String> {
    let router = Router::new(facts);
    let route = router.table().route(&Name::parse(name).unwrap(), RrType::A, Path::Nss);
    route.asked.iter().map(|asked| asked.current().unwrap().to_string()).collect()
}

#[test]
fn the_longest_domain_wins_by_whole_labels() {
    let links =
        [link("a", "10.0.0.1", r#""~test""#, r#""no""#), link("b", "10.0.0.2", r#""~corp.test""#, r#""no""#)].join(",");
    let facts = facts(&links, NO_GLOBAL);
    assert_eq!(asked(&facts, "x.corp.test"), ["10.0.0.2"]);
    assert_eq!(asked(&facts, "corp.test"), ["10.0.0.2"]);
    assert_eq!(asked(&facts, "notcorp.test"), ["10.0.0.1"]);
    assert_eq!(asked(&facts, "example.com"), Vec::<String>::new());
}

#[test]
fn the_runbooks_recipe_sends_everything_to_the_internal_server() {
    let global = r#""servers":["192.168.4.53","1.1.1.1"],"domains":["~maas","~homelab"],"fallback":["9.9.9.9"]"#;
    let facts = facts("", global);
    assert_eq!(asked(&facts, "www.example.com"), ["192.168.4.53"]);
    assert_eq!(asked(&facts, "pbs.maas"), ["192.168.4.53"]);
}

#[test]
fn a_name_fails_closed_when_no_other_scope_would_take_it() {
    let answer = |facts: &HostFacts, name: &str| {
        let router = Router::new(facts);
        router.answers(&Name::parse(name).unwrap(), RrType::A, Path::Nss).remove(0).fail_closed
    };
    let corp = link("vpn", "10.0.0.1", r#""~corp.test""#, r#""no""#);
    let uplink = link("eth0", "10.0.0.2", "", r#""yes""#);
    assert!(!answer(&facts(&[corp.clone(), uplink.clone()].join(","), NO_GLOBAL), "a.corp.test"));
    assert!(answer(&facts(&corp, NO_GLOBAL), "a.corp.test"));
    let mut delegated = facts(&uplink, NO_GLOBAL);
    delegated.systemd = Some(SystemdVersion(258));
    delegated.delegates =
        serde_json::from_str(r#"[{"id":"corp","servers":["10.0.0.1"],"domains":["~corp.test"],"defaultRoute":false}]"#)
            .unwrap();
    assert!(answer(&delegated, "a.corp.test"));
}

#[test]
fn what_is_unknown_is_answered_both_ways_and_only_where_it_matters() {
    let links =
        [link("a", "10.0.0.1", r#""~corp.test""#, r#""unknown""#), link("b", "10.0.0.2", "", r#""yes""#)].join(",");
    let facts = facts(&links, NO_GLOBAL);
    let router = Router::new(&facts);
    let answers = router.answers(&Name::parse("example.com").unwrap(), RrType::A, Path::Nss);
    let told: Vec<_> = answers.iter().map(|answer| (answer.assuming.join(", "), answer.route.asked.len())).collect();
    assert_eq!(told, [("link a has a default route".to_owned(), 2), ("link a has no default route".to_owned(), 1)]);
    // The private name goes to its link either way, and only what happens without that link differs.
    let answers = router.answers(&Name::parse("x.corp.test").unwrap(), RrType::A, Path::Nss);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].assuming.is_empty());
}

#[test]
fn an_unknown_version_shows_the_rules_that_differ() {
    let mut facts = facts(
        &link("a", "10.0.0.1", r#""~corp.test""#, r#""automatic""#),
        r#""servers":[],"domains":[],"fallback":["9.9.9.9"]"#,
    );
    facts.systemd = None;
    let router = Router::new(&facts);
    let answers = router.answers(&Name::parse("example.com").unwrap(), RrType::A, Path::Nss);
    let outcomes: Vec<_> = answers.iter().map(|answer| answer.route.outcome.word()).collect();
    assert_eq!(outcomes, ["refused", "network"]);
    assert_eq!(answers[1].assuming, ["systemd 258 rules"]);
}

#[test]
fn ones_own_name_stays_at_home_from_257_on() {
    let mut facts = facts(&link("a", "10.0.0.1", "", r#""yes""#), NO_GLOBAL);
    assert_eq!(asked(&facts, "own.example"), Vec::<String>::new());
    facts.systemd = Some(SystemdVersion(252));
    assert_eq!(asked(&facts, "own.example"), ["10.0.0.1"]);
    let router = Router::new(&facts);
    let route = router.table().route(&Name::parse("own").unwrap(), RrType::A, Path::Stub);
    assert!(matches!(route.outcome, Outcome::Local(_)));
}

#[test]
fn an_unused_link_has_no_scope() {
    let up = link("a", "10.0.0.1", r#""~corp.test""#, r#""no""#);
    for (from, to) in [
        (r#""carrier":true"#, r#""carrier":false"#),
        (r#""up":true"#, r#""up":false"#),
        (r#""operstate":"up""#, r#""operstate":"dormant""#),
        (r#""address":"10.1.0.1","prefix":24"#, r#""address":"fe80::1","prefix":64,"scope":"link""#),
    ] {
        let down = up.replace(from, to);
        assert_ne!(down, up);
        assert_eq!(asked(&facts(&up, NO_GLOBAL), "x.corp.test").len(), 1);
        assert!(asked(&facts(&down, NO_GLOBAL), "x.corp.test").is_empty(), "{to}");
    }
}

/// Prints how many names a second are routed; run with `--ignored --nocapture`, in release.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn speed() {
    let mut links: Vec<String> = Vec::new();
    for n in 0..4 {
        let domains: Vec<String> = (0..64).map(|d| format!("\"~d{d}.l{n}.test\"")).collect();
        links.push(link(&format!("l{n}"), &format!("10.0.0.{n}"), &domains.join(","), r#""no""#));
    }
    links.push(link("up", "10.0.0.9", "", r#""yes""#));
    let router = Router::new(&facts(&links.join(","), NO_GLOBAL));
    let names: Vec<Name> =
        (0..1000).map(|n| Name::parse(&format!("host{n}.d{}.l{}.test", n % 80, n % 5)).unwrap()).collect();
    let start = std::time::Instant::now();
    let mut asked = 0;
    let rounds = 1000;
    for _ in 0..rounds {
        for name in &names {
            asked += router.table().route(name, RrType::A, Path::Nss).asked.len();
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!("{:.0} names/s ({asked} scopes asked)", f64::from(rounds) * names.len() as f64 / took);
}
