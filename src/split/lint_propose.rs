//! A policy that does what a wrong one meant.

use std::fmt::Write as _;

use super::facts::HostFacts;
use super::lint_names::is_private_address;
use super::lower::is_default_route;
use super::{DnsServer, SystemdVersion};
use crate::model::Name;

/// For `global: {servers, domains}` that was meant as a split: the domains to the private servers, closed, and everything
/// else to the others, where this release has a place for them.
pub(super) fn split_of_global(
    version: SystemdVersion,
    facts: &HostFacts,
    domains: &[Name],
    servers: &[DnsServer],
) -> String {
    let (mut inside, mut outside): (Vec<&DnsServer>, Vec<&DnsServer>) =
        servers.iter().partition(|server| is_private_address(server.address));
    if inside.is_empty() {
        (inside, outside) = (outside, inside);
    }
    let list = |servers: &[&DnsServer]| {
        let quoted = servers.iter().map(|server| format!("\"{server}\""));
        quoted.collect::<Vec<_>>().join(", ")
    };
    let names: Vec<String> = domains.iter().map(Name::to_relaxed).collect();
    let mut fix = format!(
        "routes:\n  - name: inside\n    domains: [{}]\n    servers: [{}]\n    failClosed: true\n",
        names.join(", "),
        list(&inside)
    );
    let links = facts.links.as_deref().unwrap_or_default();
    let up = |link: &&super::facts::Link| link.state.loopback != Some(true);
    let uplink = links
        .iter()
        .filter(up)
        .find(|link| is_default_route(link) && link.servers.as_ref().is_some_and(|own| !own.is_empty()));
    if uplink.is_some() || outside.is_empty() {
        // The uplink's own servers have everything else.
        let _ = writeln!(fix, "global:\n  servers: []\n  domains: []");
    } else if version.has_delegates() {
        let _ = writeln!(fix, "global:\n  servers: [{}]\n  domains: []", list(&outside));
    } else {
        // Before delegates the global scope is the route's; the uplink has the others.
        let name = links.iter().find(up).map_or("eth0", |link| link.name.as_str());
        let _ = writeln!(
            fix,
            "links:\n  - name: uplink\n    match: {{name: {name}}}\n    servers: [{}]\nglobal:\n  servers: []\n  domains: []",
            list(&outside)
        );
    }
    fix
}
