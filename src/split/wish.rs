//! What a host's resolver should be like, and the facts of a host that is so.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::Name;

use super::facts::{DefaultRoute, Delegate, HostFacts};
use super::lower_merge::From;
use super::policy::{
    Cache, DnsOverTls, Dnssec, HostLine, LinkMatch, Modes, Multicast, Origin, Probe, ResolvConf, StubListener, Writer,
};
use super::{DnsServer, RoutedDomain, SystemdVersion};

/// How the routes are put into resolved's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// No route is declared.
    Nothing,
    /// A `dns-delegate` for each route (from 258): independent of links, closed.
    Delegates,
    /// One group of routes in the global scope, with `~.` on the uplinks, so that it is asked for nothing else; the other
    /// routes on links.
    Global,
    /// Routes on the links that lead to their servers: open as soon as the link goes.
    Links,
}

impl Form {
    /// A word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Form::Nothing => "nothing",
            Form::Delegates => "delegates",
            Form::Global => "global",
            Form::Links => "links",
        }
    }
}

/// The wished configuration of one host.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// For this release.
    pub systemd: SystemdVersion,
    /// How the routes are put.
    pub form: Form,
    /// Why so.
    pub why: String,
    /// `resolved.conf`; `None` leaves what is set.
    pub global: GlobalWish,
    /// All delegates of ours.
    pub delegates: Vec<DelegateWish>,
    /// Links that are touched; others stay as they are.
    pub links: Vec<LinkWish>,
    /// Links that policies name: what they have is as these say. Others are touched as uplinks, or because a route's servers are
    /// behind them.
    pub named: BTreeSet<String>,
    /// Wishes about links that are not there (yet).
    pub waiting: Vec<From<LinkMatch>>,
    /// What resolv.conf leads to.
    pub resolv_conf: ResolvConf,
    /// Whether the `hosts:` line of nsswitch.conf is ours.
    pub nsswitch: bool,
    /// Writers to keep off.
    pub protect: BTreeMap<Writer, bool>,
    /// Lines of the hosts block.
    pub hosts_file: Vec<From<HostLine>>,
    /// What must resolve afterwards.
    pub probes: Vec<From<Probe>>,
    /// A policy says that names which no domain covers may be lost (`lint.allow` has `loses-default-route`).
    pub gives_up_rest: bool,
    /// Routes that no form of this release can hold, and why.
    pub unplaced: Vec<From<String>>,
    /// Links about which two wishes differ.
    pub contested: Vec<From<String>>,
    /// The policies that count, in their order.
    pub policies: Vec<Origin>,
    /// Who set each setting of the host as a whole, by field (`servers`, `dnssec`, `resolvConf` …).
    pub setters: BTreeMap<&'static str, Vec<Origin>>,
}

/// The global scope. `None` leaves what is set; a list that is given replaces what files before ours say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalWish {
    /// `DNS=`.
    pub servers: Option<Vec<DnsServer>>,
    /// `Domains=`.
    pub domains: Option<Vec<RoutedDomain>>,
    /// `FallbackDNS=`.
    pub fallback: Option<Vec<DnsServer>>,
    /// Modes.
    pub modes: Modes,
    /// `Cache=`.
    pub cache: Option<Cache>,
    /// `DNSStubListener=`.
    pub stub_listener: Option<StubListener>,
    /// `DNSStubListenerExtra=`.
    pub extra_listeners: Option<Vec<String>>,
}

/// One delegate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegateWish {
    /// The file's name without its end.
    pub id: String,
    /// The policy it comes from.
    pub policy: Origin,
    /// `DNS=`, no address twice (before 262 a second one drops the rest of the line).
    pub servers: Vec<DnsServer>,
    /// `Domains=`.
    pub domains: Vec<RoutedDomain>,
}

/// One link, with everything that is set on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkWish {
    /// Its name.
    pub name: String,
    /// Its number, where it is known.
    pub ifindex: u32,
    /// The policies that it comes from.
    pub policies: Vec<Origin>,
    /// All its servers; `None` leaves those that it has.
    pub servers: Option<Vec<DnsServer>>,
    /// All its domains.
    pub domains: Vec<RoutedDomain>,
    /// Set on every link that is touched: D-Bus cannot tell the automatic from the explicit.
    pub default_route: bool,
    /// Modes.
    pub modes: Modes,
}

impl Wish {
    /// Whether a name is of a domain that this wish sends to servers of its own.
    pub fn routes(&self, name: &Name) -> bool {
        let global = self.global.domains.iter().flatten();
        let links = self.links.iter().flat_map(|link| &link.domains);
        let delegates = self.delegates.iter().flat_map(|delegate| &delegate.domains);
        global.chain(links).chain(delegates).any(|domain| !domain.name.is_root() && name.is_at_or_below(&domain.name))
    }

    /// Whether it decides who is asked, or how. What does not gives the host back, like a rollback, as far as lookups go.
    pub fn decides_lookups(&self) -> bool {
        let nothing = Wish::nothing(self.systemd);
        self.form != nothing.form
            || self.global != nothing.global
            || !self.links.is_empty()
            || !self.delegates.is_empty()
            || self.resolv_conf != nothing.resolv_conf
    }

    /// Nothing is wished: what a host without policies gets, and what puts back all that was there before.
    pub fn nothing(systemd: SystemdVersion) -> Wish {
        Wish {
            systemd,
            form: Form::Nothing,
            why: "no route is declared".to_owned(),
            global: GlobalWish::default(),
            delegates: Vec::new(),
            links: Vec::new(),
            named: BTreeSet::new(),
            waiting: Vec::new(),
            resolv_conf: ResolvConf::Unmanaged,
            nsswitch: false,
            protect: BTreeMap::new(),
            hosts_file: Vec::new(),
            probes: Vec::new(),
            gives_up_rest: false,
            unplaced: Vec::new(),
            contested: Vec::new(),
            policies: Vec::new(),
            setters: BTreeMap::new(),
        }
    }

    /// The policies that set one of these fields; all of them where none says so (a default).
    pub fn setters_of(&self, fields: &[&str]) -> Vec<Origin> {
        let mut all: Vec<Origin> = Vec::new();
        for origin in fields.iter().filter_map(|field| self.setters.get(field)).flatten() {
            if !all.contains(origin) {
                all.push(origin.clone());
            }
        }
        if all.is_empty() { self.policies.clone() } else { all }
    }

    /// The host as it would be.
    pub fn under(&self, facts: &HostFacts) -> HostFacts {
        let mut under = facts.clone();
        under.systemd = Some(self.systemd);
        let global = &mut under.global;
        if self.resolv_conf != ResolvConf::Unmanaged && global.imported == Some(true) {
            // What resolved took from a foreign resolv.conf, servers and search list, goes with that file.
            (global.servers, global.domains) = (Some(Vec::new()), Some(Vec::new()));
            (global.current, global.imported) = (None, Some(false));
        }
        if let Some(servers) = &self.global.servers {
            global.servers = Some(servers.clone());
            (global.current, global.imported) = (None, Some(false));
        }
        if let Some(domains) = &self.global.domains {
            global.domains = Some(domains.clone());
        }
        if let Some(fallback) = &self.global.fallback {
            global.fallback = Some(fallback.clone());
        }
        // The change restarts or reloads resolved, which chooses anew.
        global.fallback_in_use = None;
        set_modes(&mut global.modes, &self.global.modes);
        if self.systemd.has_delegates() {
            let ours = |delegate: &Delegate| delegate.id.starts_with(super::lower::DELEGATE_PREFIX);
            let mut all: Vec<Delegate> = under.delegates.take().unwrap_or_default();
            all.retain(|delegate| !ours(delegate));
            all.extend(self.delegates.iter().map(|wish| Delegate {
                id: wish.id.clone(),
                servers: Some(wish.servers.clone()),
                current: None,
                domains: Some(wish.domains.clone()),
                default_route: Some(false),
                firewall_mark: None,
            }));
            under.delegates = Some(all);
        } else {
            under.delegates = Some(Vec::new());
        }
        for wish in &self.links {
            let links = under.links.get_or_insert_with(Vec::new);
            let Some(link) = links.iter_mut().find(|link| link.name == wish.name) else { continue };
            if let Some(servers) = &wish.servers {
                link.servers = Some(servers.clone());
                link.current = None;
            }
            link.domains = Some(wish.domains.clone());
            link.default_route = if wish.default_route { DefaultRoute::Yes } else { DefaultRoute::No };
            link.default_route_effective = Some(wish.default_route);
            link.scopes_mask = None;
            set_modes(&mut link.modes, &wish.modes);
        }
        under
    }
}

fn set_modes(facts: &mut super::facts::Modes, wish: &Modes) {
    let own = |word: &'static str| Some(word.to_owned());
    if let Some(mode) = wish.dnssec {
        facts.dnssec = own(mode.word());
    }
    if let Some(mode) = wish.dns_over_tls {
        facts.dns_over_tls = own(mode.word());
    }
    if let Some(mode) = wish.mdns {
        facts.mdns = own(mode.word());
    }
    if let Some(mode) = wish.llmnr {
        facts.llmnr = own(mode.word());
    }
}

impl Dnssec {
    /// As resolved writes it.
    pub fn word(self) -> &'static str {
        match self {
            Dnssec::On => "yes",
            Dnssec::Off => "no",
            Dnssec::AllowDowngrade => "allow-downgrade",
        }
    }
}

impl DnsOverTls {
    /// As resolved writes it.
    pub fn word(self) -> &'static str {
        match self {
            DnsOverTls::On => "yes",
            DnsOverTls::Off => "no",
            DnsOverTls::Opportunistic => "opportunistic",
        }
    }
}

impl Multicast {
    /// As resolved writes it.
    pub fn word(self) -> &'static str {
        match self {
            Multicast::On => "yes",
            Multicast::Off => "no",
            Multicast::Resolve => "resolve",
        }
    }
}
