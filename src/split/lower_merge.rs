//! Several policies as one: what can be told without the host. Each entry keeps which policy it came from.
//!
//! Policies are taken by priority, the highest first, among equals the older first, then by name. Where two of one priority
//! contradict each other, the later one is refused as a whole, by name; what a higher one has set already is passed over in
//! a lower one, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::DnsServer;
use super::policy::{Global, HostLine, Link, Modes, Origin, Policy, Probe, ResolvConf, Route, Writer};
use crate::model::Name;

/// Something with the policy it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From<T> {
    /// The policy.
    pub policy: Origin,
    /// Where it stands there: `spec.routes[0]`.
    pub field: String,
    /// What is wished.
    pub value: T,
}

/// All policies of a host together.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// Routes; no domain is in two of them.
    pub routes: Vec<From<Route>>,
    /// Wishes about links, in the order in which they count.
    pub links: Vec<From<Link>>,
    /// The global settings.
    pub global: Global,
    /// What set each global setting, by field (`servers`, `dnssec` …), and `resolvConf`, `nsswitch`, `protect.…` too.
    pub setters: BTreeMap<&'static str, Origin>,
    /// What resolv.conf leads to; the stub by default.
    pub resolv_conf: Option<ResolvConf>,
    /// Whether nsswitch.conf is ours; by default it is.
    pub nsswitch: Option<bool>,
    /// Writers to keep off.
    pub protect: BTreeMap<Writer, bool>,
    /// Lines of the hosts block.
    pub hosts_file: Vec<From<HostLine>>,
    /// Probes.
    pub probes: Vec<From<Probe>>,
    /// Rules that each policy lives with.
    pub allow: BTreeMap<Origin, BTreeSet<String>>,
    /// The policies that count, in their order.
    pub policies: Vec<Origin>,
    /// Policies that do not, and why.
    pub refused: Vec<Contradiction>,
    /// Entries that a higher policy has set already.
    pub shadowed: Vec<From<String>>,
}

/// Why a policy is refused: it wants something else than another one of its priority that is older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The newer one, which is refused.
    pub policy: Origin,
    /// The older one, which holds.
    pub with: Origin,
    /// Where in the newer one.
    pub field: String,
    /// What it is about, in words.
    pub message: String,
}

/// Puts policies together.
pub fn merge(policies: &[Policy]) -> Merged {
    let mut order: Vec<&Policy> = policies.iter().collect();
    order.sort_by(|a, b| {
        // An object without a time (from a file) is older than any with one: it was there before the cluster.
        (-i64::from(a.priority), a.created, &a.name).cmp(&(-i64::from(b.priority), b.created, &b.name))
    });
    let mut merged = Merged::default();
    let mut priorities: BTreeMap<Origin, i32> = BTreeMap::new();
    for policy in order {
        let mut step = Step { merged: merged.clone(), policy, priorities: &priorities };
        match step.add() {
            Ok(()) => {
                merged = step.merged;
                merged.policies.push(policy.name.clone());
                merged.allow.insert(policy.name.clone(), policy.allow.clone());
                priorities.insert(policy.name.clone(), policy.priority);
            }
            Err(contradiction) => merged.refused.push(*contradiction),
        }
    }
    merged
}

/// One policy being added; thrown away when it contradicts.
struct Step<'a> {
    merged: Merged,
    policy: &'a Policy,
    priorities: &'a BTreeMap<Origin, i32>,
}

type Verdict = Result<(), Box<Contradiction>>;

impl Step<'_> {
    fn from<T>(&self, field: String, value: T) -> From<T> {
        From { policy: self.policy.name.clone(), field, value }
    }

    /// What to do about an entry that another policy has set to something else.
    fn clash(&mut self, with: &Origin, field: &str, what: String) -> Verdict {
        if self.priorities.get(with) == Some(&self.policy.priority) {
            let message = format!(
                "{what} by the policy {with}, which is older and of the same priority ({}); change one of the two, or give one of them a higher priority",
                self.policy.priority
            );
            let (policy, field) = (self.policy.name.clone(), field.to_owned());
            return Err(Box::new(Contradiction { policy, with: with.clone(), field, message }));
        }
        let shadowed = self.from(field.to_owned(), format!("{what} by the policy {with}, whose priority is higher"));
        self.merged.shadowed.push(shadowed);
        Ok(())
    }

    fn add(&mut self) -> Verdict {
        for (i, route) in self.policy.routes.iter().enumerate() {
            self.route(route, &format!("spec.routes[{i}]"))?;
        }
        for (i, link) in self.policy.links.iter().enumerate() {
            self.link(link, &format!("spec.links[{i}]"))?;
        }
        self.globals()?;
        for (i, line) in self.policy.hosts_file.iter().enumerate() {
            self.host_line(line, &format!("spec.hostsFile[{i}]"))?;
        }
        for (i, probe) in self.policy.probes.iter().enumerate() {
            let probe = self.from(format!("spec.probes[{i}]"), probe.clone());
            self.merged.probes.push(probe);
        }
        Ok(())
    }

    fn route(&mut self, route: &Route, field: &str) -> Verdict {
        let mut own = Vec::new();
        for domain in route.all_domains() {
            let holder = self.merged.routes.iter().find(|other| other.value.domains.contains(&domain));
            let Some(holder) = holder else {
                own.push(domain);
                continue;
            };
            let same =
                same_servers(&holder.value.servers, &route.servers) && holder.value.fail_closed == route.fail_closed;
            if same || holder.policy == self.policy.name {
                continue;
            }
            let servers: Vec<String> = holder.value.servers.iter().map(ToString::to_string).collect();
            let closed = if holder.value.fail_closed { ", closed" } else { "" };
            let what = format!("{} goes to {}{closed}", domain.to_relaxed(), servers.join(", "));
            let with = holder.policy.clone();
            self.clash(&with, &format!("{field}.domains"), what)?;
        }
        if !own.is_empty() {
            // From here on the ranges stand among the domains.
            let route = Route { domains: own, reverse_for: Vec::new(), ..route.clone() };
            let route = self.from(field.to_owned(), route);
            self.merged.routes.push(route);
        }
        Ok(())
    }

    fn link(&mut self, link: &Link, field: &str) -> Verdict {
        let other = self.merged.links.iter().find(|other| other.value.matches == link.matches);
        if let Some(other) = other
            && (Link { name: link.name.clone(), ..other.value.clone() }) != *link
        {
            let (with, what) = (other.policy.clone(), format!("the links {} are set otherwise", link.matches));
            return self.clash(&with, field, what);
        }
        let link = self.from(field.to_owned(), link.clone());
        self.merged.links.push(link);
        Ok(())
    }

    fn host_line(&mut self, line: &HostLine, field: &str) -> Verdict {
        let is_v4 = |address: &IpAddr| address.is_ipv4();
        let other = self.merged.hosts_file.iter().find(|other| {
            is_v4(&other.value.address) == is_v4(&line.address)
                && other.value.address != line.address
                && other.value.names.iter().any(|name| line.names.iter().any(|own| own.eq_ignore_ascii_case(name)))
        });
        // Several addresses of one name within one policy are meant so.
        if let Some(other) = other.filter(|other| other.policy != self.policy.name) {
            let (with, what) =
                (other.policy.clone(), format!("{} has the address {}", line.names.join(", "), other.value.address));
            return self.clash(&with, field, what);
        }
        let line = self.from(field.to_owned(), line.clone());
        if !self.merged.hosts_file.iter().any(|other| other.value == line.value) {
            self.merged.hosts_file.push(line);
        }
        Ok(())
    }

    fn globals(&mut self) -> Verdict {
        let own = self.policy.global.clone();
        let Modes { dnssec, dns_over_tls, mdns, llmnr } = own.modes;
        self.scalar("servers", "spec.global.servers", own.servers, |all| &mut all.global.servers)?;
        self.scalar("domains", "spec.global.domains", own.domains, |all| &mut all.global.domains)?;
        self.scalar("fallbackServers", "spec.global.fallbackServers", own.fallback_servers, |all| {
            &mut all.global.fallback_servers
        })?;
        self.scalar("dnssec", "spec.global.dnssec", dnssec, |all| &mut all.global.modes.dnssec)?;
        self.scalar("dnsOverTLS", "spec.global.dnsOverTLS", dns_over_tls, |all| &mut all.global.modes.dns_over_tls)?;
        self.scalar("multicastDNS", "spec.global.multicastDNS", mdns, |all| &mut all.global.modes.mdns)?;
        self.scalar("llmnr", "spec.global.llmnr", llmnr, |all| &mut all.global.modes.llmnr)?;
        self.scalar("cache", "spec.global.cache", own.cache, |all| &mut all.global.cache)?;
        self.scalar("stubListener", "spec.global.stubListener", own.stub_listener, |all| {
            &mut all.global.stub_listener
        })?;
        self.scalar("extraListeners", "spec.global.extraListeners", own.extra_listeners, |all| {
            &mut all.global.extra_listeners
        })?;
        self.scalar("resolvConf", "spec.resolvConf", self.policy.resolv_conf, |all| &mut all.resolv_conf)?;
        self.scalar("nsswitch", "spec.nsswitch", self.policy.nsswitch, |all| &mut all.nsswitch)?;
        for (writer, on) in self.policy.protect.clone() {
            let (key, field) = match writer {
                Writer::Dhclient => ("protect.dhclient", "spec.protect.dhclient"),
                Writer::Dhcpcd => ("protect.dhcpcd", "spec.protect.dhcpcd"),
                Writer::NetworkManager => ("protect.networkManager", "spec.protect.networkManager"),
            };
            let mut slot = self.merged.protect.get(&writer).copied();
            self.slot(key, field, Some(on), &mut slot)?;
            self.merged.protect.extend(slot.map(|on| (writer, on)));
        }
        Ok(())
    }

    fn scalar<T: PartialEq + Clone>(
        &mut self,
        key: &'static str,
        field: &str,
        own: Option<T>,
        place: impl Fn(&mut Merged) -> &mut Option<T>,
    ) -> Verdict {
        let mut slot = place(&mut self.merged).clone();
        self.slot(key, field, own, &mut slot)?;
        *place(&mut self.merged) = slot;
        Ok(())
    }

    /// One setting: the first to set it has it.
    fn slot<T: PartialEq>(&mut self, key: &'static str, field: &str, own: Option<T>, slot: &mut Option<T>) -> Verdict {
        let Some(own) = own else { return Ok(()) };
        match slot {
            None => {
                *slot = Some(own);
                self.merged.setters.insert(key, self.policy.name.clone());
                Ok(())
            }
            Some(held) if *held == own => Ok(()),
            Some(_) => {
                let with = self.merged.setters.get(key).cloned().unwrap_or_default();
                self.clash(&with, field, format!("{key} is set otherwise"))
            }
        }
    }
}

/// Whether two lists name the same servers, in whatever order: they are alternatives.
pub(super) fn same_servers(one: &[DnsServer], other: &[DnsServer]) -> bool {
    one.len() == other.len() && one.iter().all(|server| other.contains(server))
}

impl Merged {
    /// The route of a domain: the one with the longest matching domain.
    pub fn route_of(&self, name: &Name) -> Option<(&From<Route>, &Name)> {
        let all = self.routes.iter().flat_map(|route| route.value.domains.iter().map(move |domain| (route, domain)));
        all.filter(|(_, domain)| name.is_at_or_below(domain)).max_by_key(|(_, domain)| domain.label_count())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn policy(name: &str, priority: i32, domain: &str, server: &str) -> Policy {
        let route = Route {
            name: "lab".into(),
            domains: vec![Name::parse(domain).unwrap()],
            reverse_for: Vec::new(),
            servers: vec![server.parse().unwrap()],
            fail_closed: false,
        };
        Policy { name: name.into(), priority, routes: vec![route], ..Policy::default() }
    }

    #[test]
    fn the_newer_of_two_that_contradict_is_refused_whole_and_by_name() {
        let mut newer = policy("a", 0, "maas", "10.0.0.2");
        newer.routes.insert(0, policy("", 0, "other", "10.0.0.2").routes.remove(0));
        newer.created = Some(20);
        let older = Policy { created: Some(10), ..policy("b", 0, "maas", "10.0.0.1") };
        let merged = merge(&[newer.clone(), older.clone()]);
        assert_eq!(merged.policies, ["b".into()]);
        let Contradiction { policy, with, field, message } = &merged.refused[0];
        assert_eq!((&**policy, &**with, field.as_str()), ("a", "b", "spec.routes[1].domains"));
        assert!(message.starts_with("maas goes to 10.0.0.1 by the policy b"), "{message}");
        assert_eq!(merged.routes.len(), 1, "nothing of a refused policy counts");

        // With a higher priority it is heard, and the other loses only this domain.
        let merged = merge(&[Policy { priority: 1, ..newer }, older]);
        assert!(merged.refused.is_empty());
        assert_eq!(merged.shadowed.len(), 1);
        assert_eq!(&*merged.route_of(&Name::parse("x.maas").unwrap()).unwrap().0.policy, "a");
    }

    #[test]
    fn what_agrees_is_no_contradiction() {
        let merged = merge(&[policy("a", 0, "maas", "10.0.0.1"), policy("b", 0, "maas", "10.0.0.1")]);
        assert!(merged.refused.is_empty() && merged.shadowed.is_empty());
        assert_eq!((merged.routes.len(), &*merged.routes[0].policy), (1, "a"));
    }

    #[test]
    fn a_scalar_has_one_setter_at_a_priority() {
        let with = |name: &str, priority, stub| Policy {
            resolv_conf: Some(stub),
            ..policy(name, priority, &format!("{name}.x"), "10.0.0.1")
        };
        let merged = merge(&[
            with("a", 0, ResolvConf::Stub),
            with("b", 0, ResolvConf::Uplink),
            with("c", 5, ResolvConf::Unmanaged),
        ]);
        assert_eq!(merged.resolv_conf, Some(ResolvConf::Unmanaged));
        assert_eq!(&*merged.setters["resolvConf"], "c");
        // Both are lower than the setter, so that neither contradicts.
        assert_eq!((merged.refused.len(), merged.shadowed.len()), (0, 2));
        let merged = merge(&[with("a", 0, ResolvConf::Stub), with("b", 0, ResolvConf::Uplink)]);
        assert_eq!((merged.refused.len(), merged.resolv_conf), (1, Some(ResolvConf::Stub)));
    }
}
