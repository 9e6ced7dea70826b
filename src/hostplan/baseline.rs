//! The host as it would be without us: what a policy must be judged and lowered on.
//!
//! What resolved holds now is partly our own doing. Taken for the host's own, a domain of a route that is gone would stay on
//! its link for ever, and servers that we set would count as servers that were there.

use super::{HostPlan, Record, RecordedGlobal, RecordedLink, mechanisms};
use crate::split::facts::{DefaultRoute, Global, Link, Modes};
use crate::split::policy;
use crate::split::wish::{GlobalWish, LinkWish, Wish};
use crate::split::{HostFacts, RoutedDomain};

impl Record {
    /// Remembers a plan that was carried out and found good: `facts` are those that it was made of.
    pub fn settle(&mut self, plan: &HostPlan, wish: &Wish, facts: &HostFacts) {
        for step in &plan.files {
            self.learn(step);
        }
        if let Some(words) = &plan.words {
            self.words = Some(words.clone());
        }
        self.settle_settings(plan, wish, facts);
    }

    /// As [`Record::settle`], of what is no file.
    pub(super) fn settle_settings(&mut self, plan: &HostPlan, wish: &Wish, facts: &HostFacts) {
        let (own, mut links) = (without_us(facts, self), std::collections::BTreeMap::new());
        for step in plan.links.iter().filter(|step| !step.restores) {
            let Some(now) = facts.link(&step.wish.name) else { continue };
            let known = self.links.remove(&now.name);
            let last = own.link(&now.name).map(|own| Box::new(RecordedLink::last_of(own, known.as_ref())));
            let known = known.filter(|known| known.is_still(now));
            let mut before = known.map_or_else(|| RecordedLink::first_of(now, last.as_deref()), |known| known.before);
            before.ifindex = now.ifindex;
            let (left, over_bus) = (step.wish.clone(), step.over_bus);
            links.insert(now.name.clone(), RecordedLink { before, left, over_bus, last });
        }
        // Links that are away stay ours for as long as they are wished: see [`super::held()`].
        for own in wish.links.iter().filter(|own| facts.link(&own.name).is_none()) {
            if let Some(known) = self.links.remove(&own.name) {
                links.insert(own.name.clone(), RecordedLink { left: own.clone(), ..known });
            }
        }
        self.links = links;
        self.settle_profiles(plan, facts);
        self.global = (wish.global != GlobalWish::default()).then(|| {
            let before = self.global.take().map_or_else(|| facts.global.clone(), |known| known.before);
            RecordedGlobal { before, left: wish.global.clone() }
        });
    }
}

impl RecordedLink {
    /// Whether our settings are on the link: one that was made anew has lost what was set over D-Bus, unless something of
    /// ours has set it again.
    pub fn is_still(&self, now: &Link) -> bool {
        !self.over_bus || self.before.ifindex == now.ifindex || mechanisms::differs(&self.left, now).is_empty()
    }
}

/// The host without our settings. What somebody else changed since stays changed.
pub fn without_us(facts: &HostFacts, record: &Record) -> HostFacts {
    let mut own = facts.clone();
    for link in own.links.iter_mut().flatten() {
        if let Some(known) = record.links.get(&link.name).filter(|known| known.is_still(link)) {
            link_without(link, &known.before, &known.left);
            // NetworkManager takes the servers off a link that shall be asked for nothing.
            let is_nothing = known.left.domains.is_empty() && !known.left.default_route;
            let is_by_profile = record.profiles.values().any(|profile| profile.link == link.name);
            if known.left.servers.is_none() && is_nothing && is_by_profile {
                link.servers.clone_from(&known.before.servers);
            }
        }
    }
    if let Some(known) = &record.global {
        global_without(&mut own.global, &known.before, &known.left);
    }
    if let Some(delegates) = &mut own.delegates {
        delegates.retain(|delegate| !delegate.id.starts_with(crate::split::lower::DELEGATE_PREFIX));
    }
    own
}

/// Whether it is known what a link has. What is not known must never be taken for nothing, or it would be given back so.
pub fn is_read(link: &Link) -> bool {
    link.servers.is_some() && link.domains.is_some()
}

/// Takes our settings off a link; what is neither as before nor as we left it is somebody else's and stays. Where it is not
/// known what the link has now, what it had before us is all that is known.
pub fn link_without(now: &mut Link, before: &Link, left: &LinkWish) {
    if !is_read(now) {
        let was = before.clone();
        now.servers = now.servers.take().or(was.servers);
        now.domains = now.domains.take().or(was.domains);
        (now.current, now.default_route) = (None, was.default_route);
        now.default_route_effective = was.default_route_effective;
        now.modes = was.modes;
        return;
    }
    if left.servers.is_some() && now.servers == left.servers {
        now.servers.clone_from(&before.servers);
        now.current = None;
    }
    if let Some(domains) = &now.domains {
        let empty = Vec::new();
        let had = before.domains.as_ref().unwrap_or(&empty);
        now.domains = Some(domains_without(domains, had, &left.domains));
    }
    let is = match now.default_route {
        DefaultRoute::Yes => Some(true),
        DefaultRoute::No => Some(false),
        DefaultRoute::Automatic | DefaultRoute::Unknown => now.default_route_effective,
    };
    if is == Some(left.default_route) {
        now.default_route = before.default_route;
        now.default_route_effective = before.default_route_effective;
    }
    modes_without(&mut now.modes, &before.modes, &left.modes);
}

/// What is there without what we added, and with what we took away: those first that were there before, in their order.
fn domains_without(now: &[RoutedDomain], before: &[RoutedDomain], left: &[RoutedDomain]) -> Vec<RoutedDomain> {
    let stays = |domain: &&RoutedDomain| now.contains(domain) || !left.contains(domain);
    let mut own: Vec<RoutedDomain> = before.iter().filter(stays).cloned().collect();
    for domain in now {
        if !left.contains(domain) && !own.contains(domain) {
            own.push(domain.clone());
        }
    }
    own
}

fn global_without(now: &mut Global, before: &Global, left: &GlobalWish) {
    if left.servers.is_some() && now.servers == left.servers {
        now.servers.clone_from(&before.servers);
        (now.current, now.imported) = (None, before.imported);
    }
    if left.domains.is_some() && now.domains == left.domains {
        now.domains.clone_from(&before.domains);
    }
    if left.fallback.is_some() && now.fallback == left.fallback {
        now.fallback.clone_from(&before.fallback);
    }
    modes_without(&mut now.modes, &before.modes, &left.modes);
}

fn modes_without(now: &mut Modes, before: &Modes, left: &policy::Modes) {
    let one = |now: &mut Option<String>, before: &Option<String>, left: Option<&str>| {
        if left.is_some() && now.as_deref() == left {
            now.clone_from(before);
        }
    };
    one(&mut now.dnssec, &before.dnssec, left.dnssec.map(policy::Dnssec::word));
    one(&mut now.dns_over_tls, &before.dns_over_tls, left.dns_over_tls.map(policy::DnsOverTls::word));
    one(&mut now.mdns, &before.mdns, left.mdns.map(policy::Multicast::word));
    one(&mut now.llmnr, &before.llmnr, left.llmnr.map(policy::Multicast::word));
}
