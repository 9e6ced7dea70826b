//! The unicast DNS scopes that resolved would have on a host of these facts.

use std::fmt;
use std::net::IpAddr;

use super::facts::{AddressScope, DefaultRoute, Delegate, HostFacts, Link, LinkState, Manager};
use super::{DnsServer, RoutedDomain, SystemdVersion};

/// Which scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ScopeId {
    /// The global one.
    Global,
    /// A link's, by name.
    Link(String),
    /// A delegate's, by its file's name.
    Delegate(String),
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScopeId::Global => f.write_str("global"),
            ScopeId::Link(name) => write!(f, "link:{name}"),
            ScopeId::Delegate(id) => write!(f, "delegate:{id}"),
        }
    }
}

/// A scope that has servers and is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Which.
    pub id: ScopeId,
    /// Its servers; only one is asked at a time.
    pub servers: Vec<DnsServer>,
    /// The one in use; the first where it is not known.
    pub current: Option<DnsServer>,
    /// Its domains, in order.
    pub domains: Vec<RoutedDomain>,
    /// Whether names that match nothing may come here.
    pub default_route: bool,
    /// Whether its servers are the fallback ones.
    pub fallback: bool,
    /// The link's subnets, for implicit PTR routing (from 248).
    pub subnets: Vec<(IpAddr, u8)>,
}

/// A fact that is not known and decides something; each is tried both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The version; the rules turn at these.
    Version,
    /// Whether the link is in use at all.
    InUse(String),
    /// Whether the link may take names that match nothing.
    DefaultRoute(String),
    /// Whether the link's default route is set or automatic: through 257 the fallback rule tells them apart.
    ExplicitNo(String),
}

/// One way to settle all doubts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assumption {
    pub(super) doubt: Doubt,
    pub(super) holds: bool,
    pub(super) version: SystemdVersion,
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.holds { "" } else { "not " };
        match &self.doubt {
            Doubt::Version => write!(f, "systemd {} rules", self.version),
            Doubt::InUse(link) => write!(f, "link {link} is {not}in use"),
            Doubt::DefaultRoute(link) => {
                write!(f, "link {link} has {}default route", if self.holds { "a " } else { "no " })
            }
            Doubt::ExplicitNo(link) => {
                write!(f, "link {link}'s default route is {}", if self.holds { "set to no" } else { "automatic" })
            }
        }
    }
}

/// What is unknown in these facts and could change a route, each with what it is.
pub(super) fn doubts(facts: &HostFacts, version: SystemdVersion) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    for link in facts.links.as_deref().unwrap_or_default() {
        if link.servers.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        if in_use(link, version).is_none() {
            doubts.push(Doubt::InUse(link.name.clone()));
        }
        match may_default(link) {
            None => doubts.push(Doubt::DefaultRoute(link.name.clone())),
            Some(false) if version.0 == 257 && link.default_route == DefaultRoute::Unknown => {
                doubts.push(Doubt::ExplicitNo(link.name.clone()));
            }
            Some(_) => {}
        }
    }
    doubts
}

/// Facts that are missing altogether, in words: an answer without them may be wrong, and no two answers say how.
pub(super) fn blanks(facts: &HostFacts, version: SystemdVersion) -> Vec<String> {
    let mut blanks = Vec::new();
    let mut say = |unknown: bool, what: &str| {
        if unknown {
            blanks.push(what.to_owned());
        }
    };
    say(facts.links.is_none(), "the links");
    say(facts.global.servers.is_none(), "the global servers");
    say(facts.global.domains.is_none(), "the global domains");
    say(facts.global.fallback.is_none(), "the fallback servers");
    say(version.has_delegates() && facts.delegates.is_none(), "the delegates");
    say(facts.hosts.is_none() && facts.read_etc_hosts != Some(false), "the names of /etc/hosts");
    say(facts.hostname.is_none(), "the host's own name");
    say(version.0 >= 246 && facts.resolve_unicast_single_label.is_none(), "ResolveUnicastSingleLabel");
    for link in facts.links.as_deref().unwrap_or_default() {
        say(link.servers.is_none(), &format!("the servers of link {}", link.name));
        let matters = link.servers.as_ref().is_none_or(|servers| !servers.is_empty());
        say(matters && link.domains.is_none(), &format!("the domains of link {}", link.name));
        say(matters && link.addresses.is_none(), &format!("the addresses of link {}", link.name));
    }
    for delegate in facts.delegates.as_deref().unwrap_or_default() {
        say(delegate.servers.is_none(), &format!("the servers of delegate {}", delegate.id));
        say(delegate.domains.is_none(), &format!("the domains of delegate {}", delegate.id));
        say(delegate.default_route.is_none(), &format!("DefaultRoute of delegate {}", delegate.id));
    }
    blanks
}

/// Whether resolved takes the link for unicast DNS (`link_relevant` of resolved-link.c); `None` where facts lack.
pub(super) fn in_use(link: &Link, version: SystemdVersion) -> Option<bool> {
    let LinkState { loopback, up, carrier, operstate, networkd_operstate } = &link.state;
    let dead = [
        *loopback,
        up.map(|up| !up),
        carrier.map(|carrier| !carrier),
        operstate.as_deref().map(|state| !matches!(state, "up" | "unknown")),
    ];
    if dead.contains(&Some(true)) {
        return Some(false);
    }
    if link.managed_by == Manager::Networkd
        && let Some(state) = networkd_operstate.as_deref()
        && !matches!(state, "unknown" | "degraded-carrier" | "degraded" | "routable")
    {
        return Some(false);
    }
    let addressed = link.addresses.as_ref().map(|addresses| {
        let link_local_will_do = version.has_delegates()
            && link.servers.as_deref().unwrap_or_default().iter().any(|server| is_link_local(server.address));
        addresses.iter().any(|address| {
            !address.unusable
                && match address.scope {
                    AddressScope::Global | AddressScope::Site => true,
                    AddressScope::Link => link_local_will_do,
                    AddressScope::Host => false,
                }
        })
    });
    if addressed == Some(false) {
        return Some(false);
    }
    if addressed == Some(true) && dead.iter().all(Option::is_some) {
        return Some(true);
    }
    // resolved's own word, where the reasons for it were not recorded.
    link.scopes_mask
        .filter(|_| link.servers.as_ref().is_some_and(|servers| !servers.is_empty()))
        .map(|mask| mask & 1 == 1)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// Whether names that match nothing may go to the link (`dns_scope_is_default_route`).
fn may_default(link: &Link) -> Option<bool> {
    match link.default_route {
        DefaultRoute::Yes => Some(true),
        DefaultRoute::No => Some(false),
        DefaultRoute::Automatic => link.domains.as_deref().map(automatic_default),
        DefaultRoute::Unknown => link.default_route_effective,
    }
}

/// What resolved makes of a default route that nobody set.
pub fn automatic_default(domains: &[RoutedDomain]) -> bool {
    domains.iter().any(|domain| domain.name.is_root()) || !domains.iter().any(|domain| domain.route_only)
}

/// The scopes of these facts where the doubts are settled so.
pub(super) fn scopes(facts: &HostFacts, version: SystemdVersion, assumed: &[Assumption]) -> Vec<Scope> {
    let settled = |doubt: &Doubt| assumed.iter().find(|assumption| assumption.doubt == *doubt).map(|it| it.holds);
    let links = facts.links.as_deref().unwrap_or_default();
    let mut scopes: Vec<Scope> = Vec::new();
    let default_of =
        |link: &Link| may_default(link).or_else(|| settled(&Doubt::DefaultRoute(link.name.clone()))).unwrap_or(true);
    for link in links {
        let servers = link.servers.clone().unwrap_or_default();
        let used = in_use(link, version).or_else(|| settled(&Doubt::InUse(link.name.clone()))).unwrap_or(true);
        if servers.is_empty() || !used {
            continue;
        }
        let subnets = match version.0 >= 248 {
            true => link.addresses.iter().flatten().map(|address| (address.address, address.prefix)).collect(),
            false => Vec::new(),
        };
        scopes.push(Scope {
            id: ScopeId::Link(link.name.clone()),
            current: link.current.clone(),
            domains: link.domains.clone().unwrap_or_default(),
            default_route: default_of(link),
            fallback: false,
            subnets,
            servers,
        });
    }
    if version.has_delegates() {
        scopes.extend(facts.delegates.iter().flatten().filter_map(delegate));
    }
    // Set to no, or what D-Bus shows as no and we assume to be set.
    let explicit_no = |link: &Link| match link.default_route {
        DefaultRoute::No => true,
        DefaultRoute::Unknown => settled(&Doubt::ExplicitNo(link.name.clone())).unwrap_or(!default_of(link)),
        _ => false,
    };
    let has_servers = |link: &&Link| link.servers.as_ref().is_some_and(|servers| !servers.is_empty());
    let others = match version.0 {
        ..=256 => links.iter().any(|link| has_servers(&link)),
        257 => links.iter().filter(has_servers).any(|link| !explicit_no(link)),
        _ => scopes.iter().any(|scope| scope.default_route),
    };
    let global = &facts.global;
    let own = global.servers.clone().unwrap_or_default();
    // Once chosen, a fallback server stays, whatever comes later, until a server of another kind is added.
    let stuck = version.0 >= 257 && global.fallback_in_use == Some(true);
    let falls_back = own.is_empty() && (stuck || !others);
    let servers = if falls_back { global.fallback.clone().unwrap_or_default() } else { own };
    if !servers.is_empty() {
        scopes.push(Scope {
            id: ScopeId::Global,
            current: global.current.clone().filter(|current| servers.contains(current)),
            domains: global.domains.clone().unwrap_or_default(),
            default_route: true,
            fallback: falls_back,
            subnets: Vec::new(),
            servers,
        });
    }
    scopes
}

fn delegate(delegate: &Delegate) -> Option<Scope> {
    let servers = delegate.servers.clone().filter(|servers| !servers.is_empty())?;
    Some(Scope {
        id: ScopeId::Delegate(delegate.id.clone()),
        current: delegate.current.clone(),
        domains: delegate.domains.clone().unwrap_or_default(),
        default_route: delegate.default_route.unwrap_or(false),
        fallback: false,
        subnets: Vec::new(),
        servers,
    })
}
