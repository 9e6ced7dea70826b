//! `route()`: where resolved sends a query, and why.
//!
//! The rules are `dns_query_go` and `dns_scope_good_domain` of systemd's src/resolve, from 240 on; where a rule changed,
//! the version stands beside it. [`Router`] is built once for a host and then asked by name.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use crate::model::{Name, RrType, address_of, reverse_name};
use crate::split::facts::HostFacts;
use crate::split::scope::{self, Assumption, Doubt, Scope, ScopeId};
use crate::split::special::{self, Local, Special};
use crate::split::{DnsServer, RoutedDomain, SystemdVersion};

/// By which door a program asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// `getaddrinfo` through nss-resolve, `resolvectl query`: search domains are appended by resolved.
    Nss,
    /// A DNS message to 127.0.0.53: the name is taken as it stands.
    Stub,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Path::Nss => "nss",
            Path::Stub => "stub",
        })
    }
}

/// What becomes of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It goes to servers.
    Network,
    /// resolved answers by itself.
    Local(Local),
    /// Nobody is asked: REFUSED at the stub, an error at the bus.
    Refused,
}

impl Outcome {
    /// `network`, `local` or `refused`.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Network => "network",
            Outcome::Local(_) => "local",
            Outcome::Refused => "refused",
        }
    }
}

/// Why a scope is among those asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why<'r> {
    /// This domain of the scope is the longest that fits.
    Domain(&'r RoutedDomain),
    /// Single-label names go to scopes with search domains.
    Search,
    /// `ResolveUnicastSingleLabel=yes`.
    SingleLabel,
    /// A reverse name in the subnet of this address of the link.
    Subnet(IpAddr, u8),
    /// Nothing fits better, and the scope takes such names.
    DefaultRoute,
    /// A fallback server is all that is left.
    LastResort,
}

/// One scope that is asked; all are asked at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'r> {
    /// The scope.
    pub scope: &'r Scope,
    /// The name in the first question.
    pub fqdn: Name,
    /// Further names, each asked when those before it failed.
    pub then: Vec<Name>,
    /// Why here.
    pub why: Why<'r>,
}

impl Asked<'_> {
    /// The server that gets the question.
    pub fn current(&self) -> Option<&DnsServer> {
        self.scope.current.as_ref().or_else(|| self.scope.servers.first())
    }

    /// The domain that decided.
    pub fn domain(&self) -> Option<&RoutedDomain> {
        match self.why {
            Why::Domain(domain) => Some(domain),
            _ => None,
        }
    }
}

/// The route of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<'r> {
    /// What becomes of it.
    pub outcome: Outcome,
    /// Who is asked; empty unless the outcome is the network.
    pub asked: Vec<Asked<'r>>,
}

impl Route<'_> {
    /// Whether the same is asked of the same servers for the same reason, whatever else the scopes differ in.
    fn same(&self, other: &Route<'_>) -> bool {
        let pairs = || self.asked.iter().zip(&other.asked);
        self.outcome == other.outcome
            && self.asked.len() == other.asked.len()
            && pairs().all(|(a, b)| {
                a.scope.id == b.scope.id
                    && a.scope.servers == b.scope.servers
                    && a.fqdn == b.fqdn
                    && a.then == b.then
                    && a.why == b.why
            })
    }
}

/// How well a scope fits; the best of all scopes decides. resolved's `DnsScopeMatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    LastResort,
    Maybe,
    Yes(u8),
}

/// What /etc/hosts has of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Name,
    /// The reverse name of an address.
    Address,
}

/// The rules of one version on one set of scopes, without doubts.
#[derive(Debug)]
pub struct Table {
    version: SystemdVersion,
    scopes: Vec<Scope>,
    /// Wire form of a domain to the scopes that have it, with the domain's place in each.
    domains: HashMap<Box<[u8]>, Vec<(usize, usize)>>,
    /// Scopes with a search domain.
    searching: Vec<usize>,
    unicast_single_label: bool,
    hosts: HashMap<Name, Listed>,
    /// Reverse names of the host's own addresses.
    own_reverse: HashSet<Name>,
    special: Special,
    /// Reverse zones of link-local addresses, which need an explicit domain; so does `.local`.
    closed: Vec<Box<[u8]>>,
}

/// A table together with what was assumed to have it.
#[derive(Debug)]
struct World {
    assumed: Vec<Assumption>,
    table: Table,
}

/// Answers for one host.
#[derive(Debug)]
pub struct Router {
    worlds: Vec<World>,
    blanks: Vec<String>,
    /// Doubts beyond those that are tried both ways.
    untried: usize,
}

/// An answer and what it rests on beside the facts.
#[derive(Debug)]
pub struct Answer<'r> {
    /// Assumptions; empty where the facts suffice.
    pub assuming: Vec<String>,
    /// The version whose rules were used.
    pub systemd: SystemdVersion,
    /// The route.
    pub route: Route<'r>,
    /// See [`Table::fail_closed`].
    pub fail_closed: bool,
}

/// Doubts that are tried both ways; more would be answers that nobody reads.
const DOUBTS: usize = 6;

impl Router {
    /// Prepares the rules of the facts' own version.
    pub fn new(facts: &HostFacts) -> Router {
        match facts.systemd {
            Some(version) => Router::at(facts, version),
            None => {
                let mut all: Option<Router> = None;
                for version in SystemdVersion::TURNS {
                    let mut router = Router::at(facts, *version);
                    for world in &mut router.worlds {
                        world.assumed.insert(0, Assumption { doubt: Doubt::Version, holds: true, version: *version });
                    }
                    match &mut all {
                        None => all = Some(router),
                        Some(all) => all.worlds.extend(router.worlds),
                    }
                }
                // TURNS is not empty; the default is never reached.
                all.unwrap_or_else(|| Router::at(facts, SystemdVersion::NEWEST))
            }
        }
    }

    /// Prepares the rules of another version on the same facts.
    pub fn at(facts: &HostFacts, version: SystemdVersion) -> Router {
        let mut doubts = scope::doubts(facts, version);
        let untried = doubts.len().saturating_sub(DOUBTS);
        doubts.truncate(DOUBTS);
        let worlds = (0..1u32 << doubts.len())
            .map(|bits| {
                let assumed: Vec<Assumption> = doubts
                    .iter()
                    .enumerate()
                    .map(|(at, doubt)| Assumption { doubt: doubt.clone(), holds: bits >> at & 1 == 0, version })
                    .collect();
                World { table: Table::new(facts, version, &assumed), assumed }
            })
            .collect();
        Router { worlds, blanks: scope::blanks(facts, version), untried }
    }

    /// The table of the first assumption, or of none where nothing is in doubt.
    pub fn table(&self) -> &Table {
        // `at` makes at least one world.
        &self.worlds[0].table
    }

    /// Every domain of any scope, whatever is assumed, each once.
    pub fn domains(&self) -> Vec<&Name> {
        let mut known = HashSet::new();
        let scopes = self.worlds.iter().flat_map(|world| &world.table.scopes);
        let all = scopes.flat_map(|scope| &scope.domains).map(|domain| &domain.name);
        all.filter(|name| known.insert(*name)).collect()
    }

    /// Facts that nobody recorded and that could change any answer.
    pub fn blanks(&self) -> impl Iterator<Item = &str> {
        self.blanks.iter().map(String::as_str)
    }

    /// How many doubts are left untried.
    pub fn untried(&self) -> usize {
        self.untried
    }

    /// Every different answer that unknown facts leave possible; one where nothing is in doubt.
    pub fn answers(&self, name: &Name, rtype: RrType, path: Path) -> Vec<Answer<'_>> {
        let mut answers: Vec<Answer<'_>> = Vec::new();
        for world in &self.worlds {
            let route = world.table.route(name, rtype, path);
            let fail_closed = world.table.fail_closed(&route, name, rtype, path);
            if answers.iter().any(|known| known.route.same(&route) && known.fail_closed == fail_closed) {
                continue;
            }
            answers.push(Answer {
                assuming: world.assumed.iter().map(ToString::to_string).collect(),
                systemd: world.table.version,
                route,
                fail_closed,
            });
        }
        if let [only] = answers.as_mut_slice()
            && self.worlds.len() > 1
        {
            // Whatever is assumed, the answer is the same.
            only.assuming.clear();
        }
        answers
    }
}

impl Table {
    fn new(facts: &HostFacts, version: SystemdVersion, assumed: &[Assumption]) -> Table {
        let scopes = scope::scopes(facts, version, assumed);
        let mut domains: HashMap<Box<[u8]>, Vec<(usize, usize)>> = HashMap::new();
        for (at, scope) in scopes.iter().enumerate() {
            for (place, domain) in scope.domains.iter().enumerate() {
                let same = domains.entry(Box::from(domain.name.wire())).or_default();
                // The same domain twice in one scope counts once.
                if same.last().is_none_or(|(last, _)| *last != at) {
                    same.push((at, place));
                }
            }
        }
        let searching = scopes
            .iter()
            .enumerate()
            .filter(|(_, scope)| scope.domains.iter().any(RoutedDomain::is_search))
            .map(|(at, _)| at)
            .collect();
        let mut hosts = HashMap::new();
        if facts.read_etc_hosts != Some(false) {
            for line in facts.hosts.iter().flatten() {
                hosts.extend(line.names.iter().filter_map(|name| Some((Name::parse(name).ok()?, Listed::Name))));
                hosts.insert(reverse_name(line.address), Listed::Address);
            }
        }
        let mut closed: Vec<Box<[u8]>> = Vec::new();
        for text in
            ["local", "254.169.in-addr.arpa", "8.e.f.ip6.arpa", "9.e.f.ip6.arpa", "a.e.f.ip6.arpa", "b.e.f.ip6.arpa"]
        {
            closed.extend(Name::parse(text).ok().map(|name| Box::from(name.wire())));
        }
        Table {
            version,
            domains,
            searching,
            unicast_single_label: version.0 >= 246 && facts.resolve_unicast_single_label == Some(true),
            hosts,
            own_reverse: facts
                .links
                .iter()
                .flatten()
                .flat_map(|link| link.addresses.iter().flatten())
                .map(|address| reverse_name(address.address))
                .collect(),
            special: Special::new(version, facts.own_name().as_ref()),
            closed,
            scopes,
        }
    }

    /// The scopes in use.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The version whose rules these are.
    pub fn version(&self) -> SystemdVersion {
        self.version
    }

    /// Where a query goes, and why.
    pub fn route(&self, name: &Name, rtype: RrType, path: Path) -> Route<'_> {
        self.route_without(name, rtype, path, &[])
    }

    /// As [`Table::route`] when some scopes have vanished.
    fn route_without(&self, name: &Name, rtype: RrType, path: Path, gone: &[usize]) -> Route<'_> {
        let nothing = |outcome| Route { outcome, asked: Vec::new() };
        if !self.hosts.is_empty() && self.answered_by_hosts(name, rtype) {
            return nothing(Outcome::Local(Local::Hosts));
        }
        if let Some(local) = self.special.find(name) {
            return nothing(Outcome::Local(local));
        }
        let mut best = Best { fit: Fit::No, chosen: Vec::new(), gone };
        let single = is_single_label(name);
        if single {
            for at in &self.searching {
                best.offer(Fit::Yes(1), *at, Why::Search);
            }
            if self.unicast_single_label {
                for at in 0..self.scopes.len() {
                    best.offer(Fit::Yes(1), at, Why::SingleLabel);
                }
            }
        }
        self.by_domain(name, &mut best);
        let wire = name.wire();
        if best.fit <= Fit::Yes(0) && !self.closed.iter().any(|tree| special::ends(wire, tree)) {
            self.by_subnet(name, &mut best);
            if best.fit < Fit::Yes(0) {
                for (at, scope) in self.scopes.iter().enumerate().filter(|(_, scope)| scope.default_route) {
                    match scope.fallback && self.version.0 >= 257 {
                        true => best.offer(Fit::LastResort, at, Why::LastResort),
                        false => best.offer(Fit::Maybe, at, Why::DefaultRoute),
                    }
                }
            }
        }
        let address = matches!(rtype, RrType::A | RrType::AAAA);
        let bare_is_withheld = address && (single || name.is_root()) && !self.unicast_single_label;
        let searches = address && single && path == Path::Nss;
        let mut asked = Vec::with_capacity(best.chosen.len());
        for (at, why) in best.chosen {
            let scope = &self.scopes[at];
            let mut names = Vec::new();
            // A scope that has this very name as a domain is asked for it as it stands, where that is allowed at all:
            // tried on 257; 252 searches all the same, and what is between was not tried.
            let exact = self.version.0 >= 257
                && self.unicast_single_label
                && scope.domains.iter().any(|domain| domain.name == *name);
            if searches && !exact {
                let search = scope.domains.iter().filter(|domain| domain.is_search());
                names.extend(search.filter_map(|domain| domain.name.child(name.first_label()?).ok()));
            }
            if names.is_empty() && !bare_is_withheld {
                names.push(name.clone());
            }
            let mut names = names.into_iter();
            if let Some(fqdn) = names.next() {
                asked.push(Asked { scope, fqdn, then: names.collect(), why });
            }
        }
        let outcome = match asked.is_empty() {
            false => Outcome::Network,
            true => match self.special.instead(name) {
                Some(local) => Outcome::Local(local),
                None if self.own_reverse.contains(name) => Outcome::Local(Local::OwnName),
                None => Outcome::Refused,
            },
        };
        Route { outcome, asked }
    }

    /// Scopes with a domain that the name is at or below; the longest wins.
    fn by_domain<'r>(&'r self, name: &Name, best: &mut Best<'r, '_>) {
        let wire = name.wire();
        let mut left = name.label_count();
        let mut at = 0;
        loop {
            if let Some(found) = self.domains.get(&wire[at..]) {
                for (scope, place) in found {
                    // A name has at most 127 labels.
                    let fit = Fit::Yes(u8::try_from(left).unwrap_or(u8::MAX));
                    best.offer(fit, *scope, Why::Domain(&self.scopes[*scope].domains[*place]));
                }
                if best.fit >= Fit::Yes(u8::try_from(left).unwrap_or(u8::MAX)) {
                    return;
                }
            }
            if left == 0 {
                return;
            }
            at += usize::from(wire[at]) + 1;
            left -= 1;
        }
    }

    /// Links in whose subnet the address of a reverse name lies (from 248), whatever the type asked for.
    fn by_subnet<'r>(&'r self, name: &Name, best: &mut Best<'r, '_>) {
        let Some(address) = address_of(name) else { return };
        for (at, scope) in self.scopes.iter().enumerate() {
            // A scope that has a fitting domain was judged by that.
            let holds = scope.subnets.iter().find(|(subnet, prefix)| contains(*subnet, *prefix, address));
            if let Some((subnet, prefix)) = holds {
                best.offer(Fit::Yes(0), at, Why::Subnet(*subnet, *prefix));
            }
        }
    }

    /// Names of /etc/hosts; through 252 their other types are asked for (257 does not; between was not tried).
    fn answered_by_hosts(&self, name: &Name, rtype: RrType) -> bool {
        match self.hosts.get(name) {
            None => false,
            Some(Listed::Address) => true,
            Some(Listed::Name) => self.version.0 >= 257 || matches!(rtype, RrType::A | RrType::AAAA),
        }
    }

    /// Whether the name stays unasked, instead of going elsewhere, when the links that take it now have vanished.
    ///
    /// True also of names that go nowhere now. A scope of a delegate or the global one does not vanish.
    pub fn fail_closed(&self, route: &Route<'_>, name: &Name, rtype: RrType, path: Path) -> bool {
        let is_asked = |scope: &Scope| route.asked.iter().any(|asked| asked.scope.id == scope.id);
        let gone: Vec<usize> = self
            .scopes
            .iter()
            .enumerate()
            .filter(|(_, scope)| matches!(scope.id, ScopeId::Link(_)) && is_asked(scope))
            .map(|(at, _)| at)
            .collect();
        if gone.is_empty() {
            return true;
        }
        let after = self.route_without(name, rtype, path, &gone);
        after.asked.iter().all(|asked| is_asked(asked.scope))
    }
}

/// The best fit so far and who has it.
struct Best<'r, 'g> {
    fit: Fit,
    chosen: Vec<(usize, Why<'r>)>,
    gone: &'g [usize],
}

impl<'r> Best<'r, '_> {
    fn offer(&mut self, fit: Fit, at: usize, why: Why<'r>) {
        if fit < self.fit || self.gone.contains(&at) {
            return;
        }
        if fit > self.fit {
            self.fit = fit;
            self.chosen.clear();
        }
        if !self.chosen.iter().any(|(known, _)| *known == at) {
            self.chosen.push((at, why));
        }
    }
}

fn is_single_label(name: &Name) -> bool {
    let wire = name.wire();
    usize::from(wire[0]) + 2 == wire.len()
}

fn contains(subnet: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let same = |a: u128, b: u128, bits: u32| {
        let host = bits.saturating_sub(u32::from(prefix));
        host >= bits || (a ^ b) >> host == 0
    };
    match (subnet, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}
