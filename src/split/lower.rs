//! From policies to the wished configuration of one host.
//!
//! The form is chosen by what resolved can do, never by the name of a distribution: delegates where there are any; before,
//! the global scope for the routes that must stay closed (one set of servers; `~.` on the uplinks keeps everything else
//! away from them), and links for the rest.

use std::net::IpAddr;

use super::facts::{DefaultRoute, HostFacts, Link as LinkFacts};
use super::lower_merge::{From, Merged, same_servers};
use super::policy::{LinkKind, Modes, Multicast, Origin, Prefix, ResolvConf, Route};
use super::wish::{DelegateWish, Form, GlobalWish, LinkWish, Wish};
use super::{DnsServer, RoutedDomain, SystemdVersion};
use crate::model::Name;

/// How the names of our delegates begin.
pub const DELEGATE_PREFIX: &str = "50-knotwork-";

/// Domains that one scope takes (resolved-def.h).
pub fn domain_limit(version: SystemdVersion) -> usize {
    if version.has_delegates() { 1024 } else { 256 }
}

/// Servers that one scope takes (resolved-def.h).
pub fn server_limit(_version: SystemdVersion) -> usize {
    256
}

/// What the policies make of this host at this release.
pub fn lower(merged: &Merged, facts: &HostFacts, version: SystemdVersion) -> Wish {
    if merged.policies.is_empty() {
        // The defaults (the stub, the line of nsswitch.conf) are those of a policy, not of a host without one.
        return Wish::nothing(version);
    }
    let mut wish = Wish {
        global: GlobalWish {
            servers: merged.global.servers.clone(),
            domains: merged.global.domains.as_ref().map(|names| names.iter().map(routing).collect()),
            fallback: merged.global.fallback_servers.clone(),
            modes: merged.global.modes,
            cache: merged.global.cache,
            stub_listener: merged.global.stub_listener,
            extra_listeners: merged.global.extra_listeners.clone(),
        },
        resolv_conf: merged.resolv_conf.unwrap_or(ResolvConf::Stub),
        nsswitch: merged.nsswitch.unwrap_or(true),
        protect: merged.protect.clone(),
        hosts_file: merged.hosts_file.clone(),
        probes: merged.probes.clone(),
        gives_up_rest: merged.allow.values().any(|allow| allow.contains("loses-default-route")),
        policies: merged.policies.clone(),
        setters: merged.setters.iter().map(|(key, policy)| (*key, vec![policy.clone()])).collect(),
        ..Wish::nothing(version)
    };
    let mut lowering = Lowering { facts, wish: &mut wish };
    lowering.links(merged);
    if !merged.routes.is_empty() {
        if version.has_delegates() {
            lowering.delegates(merged);
        } else {
            lowering.groups(merged);
        }
    }
    let host = wish.global.modes.or(Modes::read(&facts.global.modes));
    for link in &mut wish.links {
        link.modes = link.modes.within(host);
    }
    wish
}

pub(super) fn routing(name: &Name) -> RoutedDomain {
    RoutedDomain { name: name.clone(), route_only: true }
}

/// Routes that go to the same servers.
struct Group<'a> {
    servers: Vec<DnsServer>,
    domains: Vec<Name>,
    closed: bool,
    routes: Vec<&'a From<Route>>,
}

struct Lowering<'a> {
    facts: &'a HostFacts,
    wish: &'a mut Wish,
}

impl Lowering<'_> {
    fn all_links(&self) -> &[LinkFacts] {
        self.facts.links.as_deref().unwrap_or_default()
    }

    /// The wishes about links.
    fn links(&mut self, merged: &Merged) {
        for wanted in &merged.links {
            let link = &wanted.value;
            let matching: Vec<LinkFacts> = self
                .all_links()
                .iter()
                .filter(|facts| facts.state.loopback != Some(true))
                .filter(|facts| link.matches.is_met(&facts.name, &addresses(facts)))
                .cloned()
                .collect();
            // One that is away waits too, and stays in the wish for what is done by its name.
            if matching.iter().all(LinkFacts::is_away) {
                let From { policy, field, .. } = wanted.clone();
                self.wish.waiting.push(From { policy, field, value: link.matches.clone() });
            }
            self.wish.named.extend(matching.iter().map(|facts| facts.name.clone()));
            for facts in matching {
                let own = link_wish(wanted, &facts);
                match self.wish.links.iter_mut().find(|other| other.name == own.name) {
                    None => self.wish.links.push(own),
                    Some(other) => {
                        let same = LinkWish { policies: own.policies.clone(), ..other.clone() } == own;
                        if !same {
                            let From { policy, field, .. } = wanted.clone();
                            let value =
                                format!("{} is set otherwise by {}, which counts", own.name, other.policies.join(", "));
                            self.wish.contested.push(From { policy, field, value });
                        } else if !other.policies.contains(&wanted.policy) {
                            other.policies.push(wanted.policy.clone());
                        }
                    }
                }
            }
        }
    }

    fn delegates(&mut self, merged: &Merged) {
        self.wish.form = Form::Delegates;
        self.wish.why = format!(
            "systemd {} has delegates: each route is a scope of its own, whatever becomes of the links",
            self.wish.systemd
        );
        let limit = domain_limit(self.wish.systemd);
        for route in &merged.routes {
            let mut servers: Vec<DnsServer> = Vec::new();
            for server in &route.value.servers {
                // Before 262 a second server of one address drops the rest of the line.
                if !servers.iter().any(|other| other.address == server.address) {
                    servers.push(server.clone());
                }
            }
            for (i, part) in route.value.domains.chunks(limit).enumerate() {
                let more = if i == 0 { String::new() } else { format!("-{}", i + 1) };
                self.wish.delegates.push(DelegateWish {
                    id: format!("{DELEGATE_PREFIX}{}-{}{more}", route.policy, route.value.name),
                    policy: route.policy.clone(),
                    servers: servers.clone(),
                    domains: part.iter().map(routing).collect(),
                });
            }
        }
    }

    /// Before delegates: one closed group at most in the global scope, the others on links.
    fn groups(&mut self, merged: &Merged) {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for route in &merged.routes {
            let Route { servers, domains, fail_closed, .. } = &route.value;
            match groups.iter_mut().find(|group| same_servers(&group.servers, servers)) {
                Some(group) => {
                    group.domains.extend(domains.iter().cloned());
                    group.closed |= fail_closed;
                    group.routes.push(route);
                }
                None => groups.push(Group {
                    servers: servers.clone(),
                    domains: domains.clone(),
                    closed: *fail_closed,
                    routes: vec![route],
                }),
            }
        }
        let closed = groups.iter().position(|group| group.closed);
        // Without one that must be closed, the one that no link leads to.
        let global = closed.or_else(|| groups.iter().position(|group| self.carrier(group).is_none()));
        let version = self.wish.systemd;
        for (i, group) in groups.iter().enumerate() {
            if Some(i) == global {
                continue;
            }
            let carrier = self.carrier(group);
            match carrier {
                Some(_) if group.closed => self.unplaced(
                    group,
                    format!(
                        "systemd {version} can close only one set of servers (the global scope holds one), and that is taken by \"{}\"; from 258 on each route has a scope of its own. Send both through one forwarder, or drop failClosed of one of them",
                        global.map_or("", |at| &groups[at].routes[0].value.name)
                    ),
                ),
                Some(link) => self.on_link(group, &link),
                None => self.unplaced(
                    group,
                    format!(
                        "no link leads to these servers alone, and the global scope of systemd {version} holds one set of servers; name the interface (192.0.2.1%eth0), declare a link with these servers, or upgrade to 258"
                    ),
                ),
            }
        }
        let Some(global) = global.map(|at| &groups[at]) else {
            self.wish.form = Form::Links;
            self.wish.why = format!(
                "systemd {version} has no delegates, no route is failClosed, and a link leads to each route's servers"
            );
            return;
        };
        self.in_global(merged, global);
    }

    fn unplaced(&mut self, group: &Group<'_>, why: String) {
        for route in &group.routes {
            let (policy, field) = (route.policy.clone(), route.field.clone());
            self.wish.unplaced.push(From { policy, field, value: why.clone() });
        }
    }

    fn in_global(&mut self, merged: &Merged, group: &Group<'_>) {
        self.wish.form = Form::Global;
        self.wish.why = format!(
            "systemd {} has no delegates; the global scope does not go away with a link, and ~. on the uplinks takes every other name from it",
            self.wish.systemd
        );
        if merged
            .global
            .servers
            .as_ref()
            .is_some_and(|servers| !servers.is_empty() && !same_servers(servers, &group.servers))
        {
            return self.unplaced(
                group,
                format!(
                    "systemd {} has no delegates, so that this route needs the global scope, which global.servers fills with others; give those servers to the uplink (links: [{{name: uplink, match: {{name: …}}, servers: […]}}])",
                    self.wish.systemd
                ),
            );
        }
        // The uplinks as they would be, by what is wished of them.
        let mut uplinks: Vec<(LinkFacts, Option<usize>)> = Vec::new();
        for facts in self.all_links() {
            if facts.state.loopback == Some(true) {
                continue;
            }
            let at = self.wish.links.iter().position(|wish| wish.name == facts.name);
            let wished = at.map(|at| &self.wish.links[at]);
            let servers =
                wished.and_then(|wish| wish.servers.as_deref()).or(facts.servers.as_deref()).unwrap_or_default();
            let is_default = wished.map_or_else(|| is_default_route(facts), |wish| wish.default_route);
            if !servers.is_empty() && is_default && !same_servers(servers, &group.servers) {
                uplinks.push((facts.clone(), at));
            }
        }
        let origin = group.routes[0].policy.clone();
        for (facts, at) in uplinks {
            let root = routing(&Name::root());
            let wish = match at {
                Some(at) => &mut self.wish.links[at],
                None => {
                    self.wish.links.push(untouched(&facts, &origin));
                    // It was pushed just now.
                    let last = self.wish.links.len() - 1;
                    &mut self.wish.links[last]
                }
            };
            wish.default_route = true;
            if !wish.domains.contains(&root) {
                wish.domains.push(root);
            }
        }
        for key in ["servers", "domains"] {
            let setters = self.wish.setters.entry(key).or_default();
            for route in &group.routes {
                if !setters.contains(&route.policy) {
                    setters.push(route.policy.clone());
                }
            }
        }
        let global = &mut self.wish.global;
        global.servers = Some(group.servers.clone());
        let mut domains: Vec<RoutedDomain> = group.domains.iter().map(routing).collect();
        domains.extend(global.domains.take().unwrap_or_default());
        domains.dedup();
        global.domains = Some(domains);
        // With servers it is never used; empty is what it stays when somebody takes the servers away.
        if global.fallback.is_none() {
            global.fallback = Some(Vec::new());
        }
    }

    /// The link that leads to the servers of a group and to nobody else.
    fn carrier(&self, group: &Group<'_>) -> Option<LinkFacts> {
        let free = |facts: &&LinkFacts| {
            let wished = self.wish.links.iter().find(|wish| wish.name == facts.name);
            let servers =
                wished.and_then(|wish| wish.servers.as_deref()).or(facts.servers.as_deref()).unwrap_or_default();
            facts.state.loopback != Some(true) && (servers.is_empty() || same_servers(servers, &group.servers))
        };
        let named = group.servers.iter().all(|server| server.interface.is_some());
        let links = self.all_links().iter().filter(free);
        let mut fitting = links.filter(|facts| match named {
            true => group.servers.iter().all(|server| server.interface.as_deref() == Some(&facts.name)),
            false => group.servers.iter().all(|server| {
                let on_link = subnets(facts).any(|subnet| subnet.contains(server.address));
                let wished = self.wish.links.iter().find(|wish| wish.name == facts.name);
                on_link || wished.and_then(|wish| wish.servers.as_ref()).is_some_and(|own| own.contains(server))
            }),
        });
        fitting.next().cloned()
    }

    fn on_link(&mut self, group: &Group<'_>, facts: &LinkFacts) {
        let at = self.wish.links.iter().position(|wish| wish.name == facts.name);
        let at = at.unwrap_or_else(|| {
            let mut wish = untouched(facts, &group.routes[0].policy);
            // Its servers were none, or these.
            wish.default_route &= facts.servers.as_ref().is_some_and(|servers| !servers.is_empty());
            self.wish.links.push(wish);
            self.wish.links.len() - 1
        });
        let wish = &mut self.wish.links[at];
        wish.servers = Some(group.servers.clone());
        for domain in &group.domains {
            // To resolved a name is one domain of a link, in the form that it was told last: one that is searched routes as well.
            if !wish.domains.iter().any(|own| own.name == *domain) {
                wish.domains.push(routing(domain));
            }
        }
        for route in &group.routes {
            if !wish.policies.contains(&route.policy) {
                wish.policies.push(route.policy.clone());
            }
        }
    }
}

/// A link as it is, to add something to.
fn untouched(facts: &LinkFacts, origin: &Origin) -> LinkWish {
    LinkWish {
        name: facts.name.clone(),
        ifindex: facts.ifindex,
        policies: vec![origin.clone()],
        servers: None,
        domains: facts.domains.clone().unwrap_or_default(),
        default_route: is_default_route(facts),
        modes: Modes::default(),
    }
}

fn link_wish(wanted: &From<super::policy::Link>, facts: &LinkFacts) -> LinkWish {
    let link = &wanted.value;
    // What the policy lists is all there is; with no list, what the network announced stays, as routing domains.
    let mut domains: Vec<RoutedDomain> = if !link.domains.is_empty() || link.servers.is_some() {
        link.domains.iter().map(|name| RoutedDomain { name: name.clone(), route_only: !link.search }).collect()
    } else if link.kind == LinkKind::Untrusted {
        Vec::new()
    } else {
        let own = facts.domains.clone().unwrap_or_default();
        own.into_iter().map(|domain| RoutedDomain { route_only: domain.route_only || !link.search, ..domain }).collect()
    };
    let root = routing(&Name::root());
    if link.kind == LinkKind::Privacy && !domains.contains(&root) {
        domains.push(root);
    }
    let mut modes = link.modes;
    if link.kind == LinkKind::Untrusted {
        modes.mdns = modes.mdns.or(Some(Multicast::Off));
        modes.llmnr = modes.llmnr.or(Some(Multicast::Off));
    }
    LinkWish {
        name: facts.name.clone(),
        ifindex: facts.ifindex,
        policies: vec![wanted.policy.clone()],
        servers: link.servers.clone(),
        domains,
        default_route: link.is_default_route(),
        modes,
    }
}

/// Whether resolved asks this link for names that no domain covers; where that is unknown, as if it did.
pub(crate) fn is_default_route(link: &LinkFacts) -> bool {
    match link.default_route {
        DefaultRoute::Yes => true,
        DefaultRoute::No => false,
        DefaultRoute::Automatic => {
            let domains = link.domains.as_deref().unwrap_or_default();
            domains.iter().any(|domain| domain.name.is_root()) || !domains.iter().any(|domain| domain.route_only)
        }
        DefaultRoute::Unknown => link.default_route_effective.unwrap_or(true),
    }
}

pub(super) fn addresses(link: &LinkFacts) -> Vec<IpAddr> {
    link.addresses.iter().flatten().map(|own| own.address).collect()
}

fn subnets(link: &LinkFacts) -> impl Iterator<Item = Prefix> + '_ {
    link.addresses.iter().flatten().map(|own| Prefix::around(own.address, own.prefix))
}

#[cfg(test)]
#[path = "lower_tests.rs"]
mod tests;
