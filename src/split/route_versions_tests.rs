//! What changes from one release to the next, release by release: the daemons that are tried are 252, 257 and 262, and the
//! rules between are those of the sources (`reference/host-dns.md` §2, §3).
#![allow(clippy::unwrap_used)]

use super::route::{Outcome, Path, Router};
use super::{HostFacts, SystemdVersion};
use crate::model::{Name, RrType};

/// A link with a server, with this default route, and what else there is.
fn facts(default_route: &str, domains: &str, more: &str) -> HostFacts {
    HostFacts::from_json(&format!(
        r#"{{"version":1,"hostname":"own","systemd":252,"hosts":[{{"address":"10.9.9.9","names":["listed.test"]}}],
            "links":[{{"ifindex":2,"name":"eth0","loopback":false,"up":true,"carrier":true,"operstate":"up",
            "addresses":[{{"address":"10.1.0.1","prefix":24}}],"servers":["10.1.0.53"],"domains":[{domains}],
            "defaultRoute":{default_route}}}],{more}}}"#
    ))
    .unwrap()
}

const PLAIN: &str =
    r#""delegates":[],"resolveUnicastSingleLabel":false,"global":{"servers":[],"domains":[],"fallback":[]}"#;
const FALLBACK: &str =
    r#""delegates":[],"resolveUnicastSingleLabel":false,"global":{"servers":[],"domains":[],"fallback":["9.9.9.9"]}"#;
const DELEGATE: &str = r#""resolveUnicastSingleLabel":false,"global":{"servers":[],"domains":[],"fallback":[]},
    "delegates":[{"id":"lab","servers":["192.168.4.53"],"domains":["~maas"]}]"#;
const BARE: &str =
    r#""delegates":[],"resolveUnicastSingleLabel":true,"global":{"servers":[],"domains":[],"fallback":[]}"#;

/// Who is asked, by release; nobody and locally answered are empty.
fn asked(facts: &HostFacts, version: u16, name: &str, rtype: RrType) -> Vec<String> {
    let router = Router::at(facts, SystemdVersion(version));
    let route = router.table().route(&Name::parse(name).unwrap(), rtype, Path::Nss);
    assert!(route.outcome == Outcome::Network || route.asked.is_empty());
    route.asked.iter().map(|asked| asked.current().unwrap().to_string()).collect()
}

/// The releases at which somebody else is asked than at the one before, and who from then on.
fn turns(facts: &HostFacts, name: &str, rtype: RrType) -> Vec<(u16, String)> {
    let mut all: Vec<(u16, String)> = Vec::new();
    for version in 240..=262 {
        let who = asked(facts, version, name, rtype).join("+");
        if all.last().is_none_or(|(_, before)| *before != who) {
            all.push((version, who));
        }
    }
    all
}

#[test]
fn each_rule_begins_with_its_release() {
    let link = || facts(r#""yes""#, "", PLAIN);
    let closed = |more| facts(r#""no""#, r#""~maas""#, more);
    let own = "10.1.0.53";

    #[allow(clippy::type_complexity)]
    let cases: &[(HostFacts, &str, RrType, &[(u16, &str)])] = &[
        // Names that resolved answers itself, or that nobody may be asked for.
        (link(), "x.alt", RrType::A, &[(240, own), (255, "")]),
        (link(), "_dns.resolver.arpa", RrType::A, &[(240, own), (256, "")]),
        (link(), "x.invalid", RrType::A, &[(240, "")]),
        (link(), "www.example", RrType::A, &[(240, own)]),
        // The fallback beside a link that takes only its own names: with 257 the default route counts.
        (closed(FALLBACK), "www.example", RrType::A, &[(240, ""), (257, "9.9.9.9")]),
        (closed(FALLBACK), "x.maas", RrType::A, &[(240, own)]),
        // Unset, it counts as one in 257 alone, though the link is none.
        (facts(r#""automatic""#, r#""~maas""#, FALLBACK), "www.example", RrType::A, &[(240, ""), (258, "9.9.9.9")]),
        // Reverse names of a link's subnet, from 248 on.
        (closed(PLAIN), "7.0.1.10.in-addr.arpa", RrType::PTR, &[(240, ""), (248, own)]),
        // Single labels by the setting, from 246 on.
        (facts(r#""yes""#, "", BARE), "printer", RrType::A, &[(240, ""), (246, own)]),
        // Delegates.
        (facts(r#""yes""#, "", DELEGATE), "x.maas", RrType::A, &[(240, own), (258, "192.168.4.53")]),
        // Other types of names of /etc/hosts.
        (link(), "listed.test", RrType::A, &[(240, "")]),
        (link(), "listed.test", RrType::MX, &[(240, own), (257, "")]),
    ];
    for (facts, name, rtype, wanted) in cases {
        let told = turns(facts, name, *rtype);
        let told: Vec<(u16, &str)> = told.iter().map(|(version, who)| (*version, who.as_str())).collect();
        assert_eq!(told, *wanted, "{name} {rtype}");
    }
    // Single names that are answered by their meaning.
    for (name, first) in [("_gateway", 240), ("_outbound", 249), ("_localdnsstub", 253), ("_localdnsproxy", 253)] {
        for version in 240..=262 {
            let router = Router::at(&link(), SystemdVersion(version));
            let route = router.table().route(&Name::parse(name).unwrap(), RrType::A, Path::Nss);
            assert_eq!(matches!(route.outcome, Outcome::Local(_)), version >= first, "{name} at {version}");
        }
    }
}

/// [`SystemdVersion::TURNS`] stands for all releases where the release is unknown: nothing turns anywhere else.
#[test]
fn nothing_turns_but_where_it_is_said() {
    let all = [
        facts(r#""yes""#, "", PLAIN),
        facts(r#""no""#, r#""~maas""#, FALLBACK),
        facts(r#""automatic""#, r#""~maas", "search.test""#, FALLBACK),
        facts(r#""yes""#, r#""~maas""#, DELEGATE),
        facts(r#""automatic""#, r#""search.test""#, BARE),
    ];
    let names = [
        "x.alt",
        "alt",
        "_dns.resolver.arpa",
        "x.invalid",
        "www.example",
        "x.maas",
        "maas",
        "printer",
        "x.local",
        "own",
        "own.local",
        "listed.test",
        "_gateway",
        "_outbound",
        "_localdnsstub",
        "_localdnsproxy",
        "search.test",
        "7.0.1.10.in-addr.arpa",
        "9.9.9.10.in-addr.arpa",
        "1.254.169.in-addr.arpa",
        "localhost",
        "x.localhost",
    ];
    for facts in &all {
        for name in names {
            for rtype in [RrType::A, RrType::PTR, RrType::MX] {
                for (version, who) in turns(facts, name, rtype).iter().skip(1) {
                    assert!(
                        SystemdVersion::TURNS.contains(&SystemdVersion(*version)),
                        "{name} {rtype}: {version} {who}"
                    );
                }
            }
        }
    }
}
