//! Each rule on a policy that breaks it, and the fix on the same host.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::spec::{SplitDnsPolicy, check_policy};
use crate::split::SystemdVersion;
use crate::split::lower::lower;
use crate::split::lower_merge::merge;
use crate::split::policy::Policy;

pub(super) fn policy(spec: &str) -> Policy {
    let text = "apiVersion: dns.knotwork.dev/v1alpha1\nkind: SplitDNSPolicy\nmetadata: {name: p}\nspec:\n".to_owned();
    let body: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    let object: SplitDnsPolicy =
        serde_saphyr::from_str(&(text + &body)).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let checked = check_policy(&object);
    assert_eq!(checked.problems, [], "{spec}");
    checked.policy
}

fn facts(json: &str) -> HostFacts {
    HostFacts::from_json(json).unwrap()
}

/// An uplink with a public server by DHCP, and an inner link with none.
fn home(version: u16) -> HostFacts {
    facts(&format!(
        r#"{{"version":1,"systemd":{version},"hostname":"h","hosts":[],"delegates":[],
        "global":{{"servers":[],"domains":[],"fallback":[]}},"links":[
        {{"ifindex":2,"name":"eth0","loopback":false,"up":true,"carrier":true,"operstate":"up","managedBy":"ifupdown",
          "addresses":[{{"address":"203.0.113.7","prefix":24}}],"servers":["9.9.9.9"],"domains":[],"defaultRoute":"automatic"}},
        {{"ifindex":3,"name":"eth1","loopback":false,"up":true,"carrier":true,"operstate":"up","managedBy":"ifupdown",
          "addresses":[{{"address":"192.168.4.2","prefix":24}}],"servers":[],"domains":[],"defaultRoute":"automatic"}}]}}"#
    ))
}

fn found(spec: &str, facts: &HostFacts) -> Vec<Finding> {
    let merged = merge(&[policy(spec)]);
    let wish = lower(&merged, facts, facts.systemd.unwrap());
    lint(&merged, facts, &wish)
}

fn ids(spec: &str, facts: &HostFacts) -> Vec<&'static str> {
    let mut ids: Vec<&str> =
        found(spec, facts).iter().filter(|finding| !finding.allowed).map(|finding| finding.rule.id).collect();
    ids.dedup();
    ids
}

const LAB: &str = "routes: [{name: lab, domains: [maas, homelab], servers: [192.168.4.53], reverseFor: [192.168.4.0/24], failClosed: true}]";

/// Servers that resolved took from a foreign resolv.conf go with that file: neither is a host refused that somebody else's
/// file has reached, nor is one accepted that has no other servers for the rest.
#[test]
fn imported_servers_go_with_the_foreign_file() {
    for version in [252, 257, 262] {
        let mut host = home(version);
        host.global.servers = Some(vec!["1.1.1.1".parse().unwrap()]);
        host.global.domains = Some(vec!["isp.test".parse().unwrap()]);
        host.global.imported = Some(true);
        let touching = format!("global: {{domains: []}}\n{LAB}");
        assert_eq!(ids(&touching, &host), [""; 0], "{version}");
        for link in host.links.iter_mut().flatten() {
            link.servers = Some(Vec::new());
        }
        let told = ids(LAB, &host);
        assert!(
            told.contains(&if version < 258 { "moves-default-route" } else { "loses-default-route" }),
            "{version}: {told:?}"
        );
        // Left alone, the file stays and so do its servers.
        let told = ids(&format!("resolvConf: Unmanaged\n{LAB}"), &host);
        assert!(version < 258 || !told.contains(&"loses-default-route"), "{version}: {told:?}");
    }
}

#[test]
fn a_good_policy_is_quiet_at_every_version() {
    for version in 240..=262 {
        assert_eq!(ids(LAB, &home(version)), [""; 0], "{version}");
        assert_eq!(
            ids(&LAB.replace("true", "false"), &home(version)).iter().filter(|id| **id != "leaks-without-link").count(),
            0
        );
    }
}

#[test]
fn the_wrong_recipe_is_refused_and_the_proposal_is_right() {
    let wrong = "global: {servers: [192.168.4.53, 1.1.1.1], domains: [maas, homelab]}";
    let bare = |version| HostFacts::bare(SystemdVersion(version));
    for facts in [home(252), home(257), home(258), home(262), bare(252), bare(257), bare(262)] {
        let version = facts.systemd.unwrap();
        let all = found(wrong, &facts);
        assert!(all.iter().any(|finding| finding.is_refusal() && finding.rule.id == "global-domains"), "{all:#?}");
        let finding = all.iter().find(|finding| finding.rule.id == "global-domains").unwrap();
        assert!(finding.message.contains("1.1.1.1 would be told of private names"), "{}", finding.message);
        assert!(finding.fix.contains("domains: [maas, homelab]"), "{}", finding.fix);
        let again = found(&finding.fix, &facts);
        let errors: Vec<&Finding> = again.iter().filter(|finding| finding.is_refusal()).collect();
        assert!(errors.is_empty(), "{version}: {}\n{errors:#?}", finding.fix);
    }
}

/// Spec, host, the rule that must speak.
#[test]
fn each_rule_speaks() {
    let domains: String = (0..300).map(|i| format!("d{i}.maas, ")).collect();
    let many = format!("routes: [{{name: lab, domains: [{domains}], servers: [192.168.4.53], failClosed: true}}]");
    assert!(!ids(&many, &home(258)).contains(&"too-many-domains"));
    let mut kube = home(262);
    kube.kubelet = serde_json::from_str(r#"{"needs":["api.maas"]}"#).unwrap();
    let mut stolen = home(262);
    stolen.delegates = serde_json::from_str(r#"[{"id":"other","servers":["8.8.8.8"],"domains":["~maas"]}]"#).unwrap();
    let mut served = home(252);
    served.links = Some(Vec::new());
    served.global.servers = Some(vec!["1.1.1.1".parse().unwrap()]);
    let mut only_inside = home(262);
    only_inside.links.as_mut().unwrap().remove(0);
    let mut strict = home(262);
    strict.global.modes.dnssec = Some("yes".into());
    let open = LAB.replace("failClosed: true", "failClosed: false");
    let two = "routes: [{name: a, domains: [a.maas], servers: [10.1.0.1], failClosed: true}, {name: b, domains: [b.maas], servers: [10.2.0.1], failClosed: true}]";
    let cases: &[(&str, &HostFacts, &str)] = &[
        (&open, &stolen, "route-differs"),
        (LAB, &stolen, "fail-closed-leak"),
        (two, &home(252), "no-form"),
        ("global: {servers: [192.168.4.53], domains: [maas]}", &home(257), "global-domains"),
        ("global: {servers: [192.168.4.53]}", &home(262), "global-beside-default-route"),
        ("global: {domains: [maas]}", &home(262), "domains-without-servers"),
        ("links: [{name: a, match: {name: eth1}, domains: [maas]}]", &home(262), "domains-without-servers"),
        ("routes: [{name: lab, domains: [maas], servers: [192.168.4.53, 1.1.1.1]}]", &home(262), "mixed-servers"),
        (&many, &home(252), "too-many-domains"),
        (
            "links: [{name: a, match: {name: eth0}, servers: [10.0.0.1]}, {name: b, match: {glob: \"eth*\"}, servers: [10.0.0.2]}]",
            &home(262),
            "link-contradiction",
        ),
        (
            "links: [{name: a, match: {name: eth0}, kind: Corporate, domains: [corp.example]}]",
            &home(262),
            "loses-default-route",
        ),
        (LAB, &served, "moves-default-route"),
        (LAB, &kube, "cluster-names-closed"),
        ("global: {fallbackServers: [1.1.1.1]}", &home(262), "dead-fallback"),
        ("routes: [{name: lab, domains: [x.local], servers: [192.168.4.53]}]", &home(262), "local-domain"),
        (
            "routes: [{name: lab, domains: [corp.example], servers: [192.168.4.53]}]\nlinks: [{name: a, match: {name: eth1}, kind: Corporate, servers: [192.168.4.53], domains: [corp.example], searchDomains: Keep}]",
            &home(262),
            "search-and-route",
        ),
        ("routes: [{name: lab, domains: [maas], servers: [1.1.1.1]}]", &home(262), "public-server-for-private-name"),
        (&open, &home(252), "leaks-without-link"),
        (LAB, &HostFacts::bare(SystemdVersion(252)), "rest-to-route"),
        (LAB, &only_inside, "no-default-route"),
        ("routes: [{name: lab, domains: [x.localhost], servers: [192.168.4.53]}]", &home(262), "never-asked"),
        (LAB, &strict, "dnssec-for-private-name"),
        (
            "links: [{name: a, match: {name: eth0}, servers: [9.9.9.9], dnsOverTLS: \"On\"}]",
            &home(262),
            "tls-without-name",
        ),
        ("links: [{name: a, match: {name: eth0}, dnsOverTLS: \"On\"}]", &home(262), "tls-without-name"),
        ("global: {dnsOverTLS: \"On\"}", &home(262), "tls-without-name"),
        ("global: {dnsOverTLS: Opportunistic}", &home(262), "opportunistic-tls"),
        (
            "global: {llmnr: \"Off\"}\nlinks: [{name: a, match: {name: eth0}, llmnr: \"On\"}]",
            &home(262),
            "limited-by-host",
        ),
        ("links: [{name: a, match: {name: wg0}, kind: Privacy, servers: [10.0.0.1]}]", &home(262), "link-waits"),
        (&format!("{LAB}\nresolvConf: Uplink"), &home(262), "uplink-without-split"),
        (
            &format!("{LAB}\nresolvConf: Unmanaged\nglobal: {{stubListener: \"Off\"}}"),
            &home(262),
            "uplink-without-split",
        ),
    ];
    let mut wrong = Vec::new();
    for (spec, facts, id) in cases {
        let said = ids(spec, facts);
        if !said.contains(id) {
            wrong.push(format!("{id}: {spec}\n  said {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // `shadowed` needs two policies.
    let higher = Policy { priority: 1, name: "q".into(), ..policy(&LAB.replace(".53", ".54")) };
    let merged = merge(&[policy(LAB), higher]);
    let facts = home(262);
    let all = lint(&merged, &facts, &lower(&merged, &facts, SystemdVersion(262)));
    assert!(all.iter().any(|finding| finding.rule.id == "shadowed" && &*finding.policy == "p"), "{all:#?}");
    let told: Vec<&str> = cases.iter().map(|case| case.2).chain(["shadowed"]).collect();
    let silent: Vec<&str> = RULES.iter().map(|rule| rule.id).filter(|id| !told.contains(id)).collect();
    assert!(silent.is_empty(), "no case for {silent:?}");
}

#[test]
fn what_is_allowed_is_said_and_refuses_nothing() {
    let spec = "global: {servers: [192.168.4.53]}\nlint: {allow: [global-beside-default-route]}";
    let all = found(spec, &home(262));
    assert!(all.iter().any(|finding| finding.allowed && finding.rule.id == "global-beside-default-route"));
    assert!(!all.iter().any(Finding::is_refusal), "{all:#?}");
}

/// Every example of a rule can be read.
#[test]
fn examples_are_policies() {
    for rule in RULES {
        policy(rule.example);
    }
}
