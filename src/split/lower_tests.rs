//! Wherever lint refuses nothing, every declared domain goes to its servers and to nobody else.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::model::RrType;
use crate::split::lint::{Finding, lint};
use crate::split::lower_merge::merge;
use crate::split::policy::{Policy, is_same_place};
use crate::split::route::{Path, Router};

const DOMAINS: &[&str] =
    &["maas", "homelab", "a.maas", "corp.example", "4.168.192.in-addr.arpa", "deep.corp.example", "."];
const SERVERS: &[&str] = &["192.168.4.53", "192.168.4.54", "10.9.0.1", "10.9.0.1:5353", "192.168.7.1%l1"];

fn server(i: usize) -> DnsServer {
    SERVERS[i % SERVERS.len()].parse().unwrap()
}

fn host(version: u16, links: &[(u8, u8, u8, bool)], global: Option<usize>) -> HostFacts {
    let mut facts = HostFacts::bare(SystemdVersion(version));
    facts.global.servers = Some(global.into_iter().map(server).collect());
    let links = links.iter().enumerate().map(|(i, (servers, domain, default, up))| {
        let servers: Vec<String> = (0..*servers).map(|n| format!("9.9.{i}.{n}")).collect();
        let domains: Vec<&str> = ["~.", "home.arpa", "~other.maas"].into_iter().take(usize::from(*domain)).collect();
        let default = ["automatic", "yes", "no", "unknown"][usize::from(*default) % 4];
        serde_json::from_value(serde_json::json!({
            "ifindex": i + 2, "name": format!("l{i}"), "loopback": false, "up": up, "carrier": up, "operstate": "up",
            "managedBy": "none", "addresses": [{"address": format!("192.168.{}.2", i + 4), "prefix": 24}],
            "servers": servers, "domains": domains, "defaultRoute": default,
        }))
        .unwrap()
    });
    facts.links = Some(links.collect());
    facts
}

fn strangers(facts: &HostFacts, version: u16, name: &Name, own: &[DnsServer]) -> Vec<String> {
    let router = Router::at(facts, SystemdVersion(version));
    let mut found = Vec::new();
    for rtype in [RrType::A, RrType::MX, RrType::PTR] {
        for answer in router.answers(name, rtype, Path::Stub) {
            for asked in answer.route.asked {
                let wrong =
                    asked.scope.servers.iter().filter(|server| !own.iter().any(|own| is_same_place(own, server)));
                found.extend(wrong.map(|server| format!("{server} ({}) {rtype}", asked.scope.id)));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    #[test]
    fn declared_domains_go_to_declared_servers_alone(
        version in 240u16..=262,
        links in prop::collection::vec((0u8..3, 0u8..4, 0u8..4, prop::bool::weighted(0.8)), 0..4),
        global in prop::option::weighted(0.3, 0usize..5),
        routes in prop::collection::vec((prop::collection::btree_set(0usize..DOMAINS.len(), 1..4), 0usize..5, any::<bool>()), 1..4),
    ) {
        let mut taken: Vec<usize> = Vec::new();
        let mut policy = Policy { name: "p".into(), ..Policy::default() };
        for (i, (domains, at, fail_closed)) in routes.iter().enumerate() {
            let own: Vec<usize> = domains.iter().copied().filter(|d| !taken.contains(d)).collect();
            taken.extend(&own);
            policy.routes.push(Route {
                name: format!("r{i}"),
                domains: own.iter().map(|d| Name::parse(DOMAINS[*d]).unwrap()).collect(),
                reverse_for: Vec::new(),
                servers: vec![server(*at)],
                fail_closed: *fail_closed,
            });
        }
        let facts = host(version, &links, global);
        let merged = merge(&[policy]);
        let wish = lower(&merged, &facts, SystemdVersion(version));
        let under = wish.under(&facts);
        if lint(&merged, &facts, &wish).iter().any(Finding::is_refusal) {
            return Ok(());
        }
        for route in &merged.routes {
            for domain in &route.value.domains {
                for name in [domain.child(b"host").unwrap(), domain.child(b"b").unwrap().child(b"a").unwrap()] {
                    // A longer domain of another route has its own names.
                    if merged.route_of(&name).unwrap().1 != domain {
                        continue;
                    }
                    let found = strangers(&under, version, &name, &route.value.servers);
                    prop_assert!(found.is_empty(), "{name} at {version}: {found:?}\n{wish:#?}");
                    if route.value.fail_closed {
                        for gone in 0..=links.len() {
                            let mut without = under.clone();
                            let left = without.links.take().unwrap().into_iter().enumerate();
                            without.links = Some(left.filter(|(i, _)| gone < links.len() && *i != gone).map(|(_, link)| link).collect());
                            let found = strangers(&without, version, &name, &route.value.servers);
                            prop_assert!(found.is_empty(), "{name} at {version} without {gone}: {found:?}\n{wish:#?}");
                        }
                    }
                }
            }
        }
    }
}

/// The form follows from what the release can do.
#[test]
fn forms() {
    let route = |name: &str, domain: &str, at: &str, fail_closed| Route {
        name: name.into(),
        domains: vec![Name::parse(domain).unwrap()],
        reverse_for: Vec::new(),
        servers: vec![at.parse().unwrap()],
        fail_closed,
    };
    let wish = |version: u16, routes: Vec<Route>| {
        // l0 is the uplink, l1 leads to 192.168.5.0/24 and has no servers.
        let facts = host(version, &[(1, 0, 0, true), (0, 0, 0, true)], None);
        lower(&merge(&[Policy { name: "p".into(), routes, ..Policy::default() }]), &facts, SystemdVersion(version))
    };
    let new = wish(258, vec![route("lab", "maas", "192.168.5.53", false)]);
    assert_eq!(
        (new.form, new.delegates[0].id.as_str(), new.links.len()),
        (super::Form::Delegates, "50-knotwork-p-lab", 0)
    );
    let open = wish(257, vec![route("lab", "maas", "192.168.5.53", false)]);
    assert_eq!(
        (open.form, open.links[0].name.as_str(), open.links[0].default_route),
        (super::Form::Links, "l1", false)
    );
    let closed = wish(257, vec![route("lab", "maas", "192.168.5.53", true)]);
    assert_eq!(closed.form, super::Form::Global);
    assert_eq!(closed.global.fallback, Some(Vec::new()));
    let uplink = &closed.links[0];
    assert_eq!(
        (uplink.name.as_str(), uplink.domains[0].to_string().as_str(), uplink.default_route),
        ("l0", "~.", true)
    );
    let two = wish(257, vec![route("a", "a.maas", "10.1.0.1", true), route("b", "b.maas", "10.2.0.1", true)]);
    assert_eq!(two.unplaced.len(), 1);
    // One set of servers is one group, however many routes.
    let same = wish(257, vec![route("a", "a.maas", "10.1.0.1", true), route("b", "b.maas", "10.1.0.1", true)]);
    assert_eq!((same.unplaced.len(), same.global.domains.as_ref().map(Vec::len)), (0, Some(2)));
}
