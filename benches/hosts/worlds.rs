//! The hosts and policies of the measurements.

use knotwork::split::HostFacts;
use serde_json::{Value, json};

/// A link as the facts of a host have it; its subnet is `10.<n>.0.0/24`.
pub fn link(n: usize, servers: &[String], domains: &[String], default_route: &str) -> Value {
    json!({
        "ifindex": n + 2, "name": format!("eth{n}"), "loopback": false, "up": true, "carrier": true, "operstate": "up",
        "managedBy": "none", "addresses": [{"address": format!("10.{n}.0.2"), "prefix": 24}],
        "servers": servers, "domains": domains, "defaultRoute": default_route,
        "dnssec": "no", "dnsOverTls": "no", "mdns": "no", "llmnr": "no",
    })
}

/// A host on which everything is known, with Debian's /etc/hosts.
pub fn facts(version: u16, links: &[Value], delegates: &[Value]) -> HostFacts {
    let text = json!({
        "version": 1, "systemd": version, "hostname": "chief-horse.maas", "links": links, "delegates": delegates,
        "global": {"servers": [], "domains": [], "fallback": [], "imported": false, "fallbackInUse": false},
        "resolveUnicastSingleLabel": false, "readEtcHosts": true,
        "hosts": [
            {"address": "127.0.0.1", "names": ["localhost"]},
            {"address": "192.168.4.2", "names": ["chief-horse.maas", "chief-horse"]},
            {"address": "::1", "names": ["ip6-localhost", "ip6-loopback"]},
        ],
        "services": {"systemd": true, "resolverOwner": "systemd-resolve"},
        "listeners": [],
    });
    HostFacts::from_json(&text.to_string()).expect("facts")
}

/// Domain `d` of those behind link `n`.
pub fn domain(n: usize, d: usize) -> String {
    format!("team{d}.site{n}.corp.example")
}

/// The runbook's host: an uplink, and a link to the lab.
pub fn homelab(version: u16) -> HostFacts {
    let uplink = link(0, &["10.0.0.53".into()], &[], "yes");
    let lab = link(1, &["192.168.4.53".into()], &["~maas".into(), "~homelab".into()], "no");
    facts(version, &[uplink, lab], &[])
}

/// A large host: 250 domains on eight links, an uplink beside them.
pub fn large(version: u16) -> HostFacts {
    let mut links = vec![link(0, &["10.0.0.53".into()], &[], "yes")];
    for n in 1..=8 {
        let domains: Vec<String> = (0..if n <= 2 { 32 } else { 31 }).map(|d| format!("~{}", domain(n, d))).collect();
        links.push(link(n, &[format!("10.{n}.0.53"), format!("10.{n}.0.54")], &domains, "no"));
    }
    facts(version, &links, &[])
}

/// The same 250 domains by delegates.
pub fn delegated(version: u16) -> HostFacts {
    let delegates: Vec<Value> = (1..=8)
        .map(|n| {
            let domains: Vec<String> = (0..if n <= 2 { 32 } else { 31 }).map(|d| format!("~{}", domain(n, d))).collect();
            json!({"id": format!("site{n}"), "servers": [format!("10.{n}.0.53")], "domains": domains, "defaultRoute": false})
        })
        .collect();
    facts(version, &[link(0, &["10.0.0.53".into()], &[], "yes")], &delegates)
}

/// A policy with eight routes to servers behind eight links, 250 domains together.
pub fn large_policy() -> String {
    let routes: String = (1..=8)
        .map(|n| {
            let domains: Vec<String> = (0..if n <= 2 { 32 } else { 31 }).map(|d| domain(n, d)).collect();
            format!("    - {{name: site{n}, domains: [{}], servers: [10.{n}.0.53, 10.{n}.0.54]}}\n", domains.join(", "))
        })
        .collect();
    format!(
        "apiVersion: dns.knotwork.dev/v1alpha1\nkind: SplitDNSPolicy\nmetadata: {{name: sites}}\nspec:\n  lint: {{allow: [leaks-without-link]}}\n  routes:\n{routes}"
    )
}
