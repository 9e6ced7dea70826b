//! From the texts of a `SplitDNSPolicy` to a [`Policy`], with everything that is wrong with it.
//!
//! The manifest was held against the schema before, so only what a schema cannot say is looked at here, and what its
//! patterns and rules say once more, in words and for those who bring no schema.

use std::net::IpAddr;

use super::lower::bad_object_name;
use super::policy::*;
use super::policy_crd::PART_NAME;
use super::problem::Problem;
use super::scalar::Text;
use crate::model::{Name, RrType};
use crate::split::DnsServer;
use crate::split::policy::{self as split, LinkMatch, Policy, Prefix, Share, Writer};

/// What one object comes to.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The policy; of one with problems only the name counts.
    pub policy: Policy,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Most domains that all parts of one policy may come to: more than any version of resolved takes in one scope.
const ALL_DOMAINS: usize = 4096;

/// Checks one object by all rules that it alone can break.
pub fn check_policy(object: &SplitDnsPolicy) -> Checked {
    let mut check = Check { problems: Vec::new() };
    let spec = &object.spec;
    if let Some(words) = bad_object_name(&object.metadata.name, 253, true) {
        check.wrong("metadata.name", words);
    }
    if object.metadata.namespace.is_some() {
        check
            .wrong("metadata.namespace", "a SplitDNSPolicy has no namespace: it is about whole hosts; remove the line");
    }
    let policy = Policy {
        name: object.metadata.name.to_string().into(),
        priority: check.number(spec.priority.map_or(0, |n| n.0), -1000, 1000, "spec.priority") as i32,
        created: None,
        hosts: check.hosts(&spec.hosts),
        nodes: spec.node_selector.as_ref().map(|selector| check.selector(selector)),
        routes: check.routes(&spec.routes),
        links: check.links(&spec.links),
        global: check.global(spec.global.as_ref()),
        resolv_conf: spec.resolv_conf.map(|word| match word {
            ResolvConfSpec::Stub => split::ResolvConf::Stub,
            ResolvConfSpec::Uplink => split::ResolvConf::Uplink,
            ResolvConfSpec::Unmanaged => split::ResolvConf::Unmanaged,
        }),
        protect: protect(spec.protect.as_ref()),
        hosts_file: check.hosts_file(&spec.hosts_file),
        nsswitch: spec.nsswitch.map(|word| word == NsswitchSpec::Manage),
        probes: check.probes(&spec.probes),
        allow: spec.lint.iter().flat_map(|lint| &lint.allow).map(|id| id.to_string()).collect(),
        rollout: check.rollout(spec.rollout.as_ref()),
        keep_on_delete: spec.on_delete == Some(OnDeleteSpec::Keep),
    };
    for (i, id) in spec.lint.iter().flat_map(|lint| &lint.allow).enumerate() {
        if let Some(words) = crate::split::lint_rules::unknown_rule(id) {
            check.wrong(format!("spec.lint.allow[{i}]"), words);
        }
    }
    check.across(&policy);
    Checked { policy, problems: check.problems }
}

struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn wrong(&mut self, path: impl Into<String>, words: impl Into<String>) {
        self.problems.push(Problem::invalid(path, words));
    }

    /// The values that are right; the others are noted.
    fn each<T, U>(&mut self, items: &[T], path: &str, mut read: impl FnMut(&T) -> Result<U, String>) -> Vec<U> {
        let mut good = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            match read(item) {
                Ok(value) => good.push(value),
                Err(words) => self.wrong(format!("{path}[{i}]"), words),
            }
        }
        good
    }

    fn number(&mut self, value: i64, least: i64, most: i64, path: &str) -> i64 {
        if !(least..=most).contains(&value) {
            self.wrong(path, format!("{value} is out of range; expected {least} to {most}"));
        }
        value.clamp(least, most)
    }

    fn hosts(&mut self, hosts: &[Text]) -> Vec<String> {
        self.each(hosts, "spec.hosts", |host| match bad_object_name(host, 253, true) {
            Some(words) => {
                let lower = host.to_lowercase();
                let is_meant = lower != **host && bad_object_name(&lower, 253, true).is_none();
                Err(if is_meant { format!("{words}; did you mean \"{lower}\"?") } else { words })
            }
            None => Ok(host.to_string()),
        })
    }

    fn selector(&mut self, selector: &NodeSelectorSpec) -> split::NodeSelector {
        let labels = selector.match_labels.iter().flatten().map(|(key, value)| (key.clone(), value.to_string()));
        let mut expressions = Vec::new();
        for (i, one) in selector.match_expressions.iter().enumerate() {
            let path = format!("spec.nodeSelector.matchExpressions[{i}]");
            if !matches!(&*one.operator, "In" | "NotIn" | "Exists" | "DoesNotExist") {
                self.wrong(format!("{path}.operator"), "not one of In, NotIn, Exists, DoesNotExist");
            } else if matches!(&*one.operator, "In" | "NotIn") == one.values.is_empty() {
                self.wrong(format!("{path}.values"), "In and NotIn need values; Exists and DoesNotExist take none");
            }
            let values = one.values.iter().map(ToString::to_string).collect();
            expressions.push((one.key.to_string(), one.operator.to_string(), values));
        }
        split::NodeSelector { labels: labels.collect(), expressions }
    }

    fn name(&mut self, name: &Text, seen: &mut Vec<String>, path: &str) -> String {
        if !is_part_name(name) {
            let words =
                format!("\"{name}\" is no name of a part: 1 to 63 lower-case letters, digits and '-' ({PART_NAME})");
            self.wrong(format!("{path}.name"), words);
        } else if seen.iter().any(|other| **other == **name) {
            self.wrong(format!("{path}.name"), format!("\"{name}\" stands here for the second time"));
        }
        seen.push(name.to_string());
        name.to_string()
    }

    fn routes(&mut self, specs: &[RouteSpec]) -> Vec<split::Route> {
        let (mut routes, mut seen) = (Vec::new(), Vec::new());
        for (i, spec) in specs.iter().enumerate() {
            let path = format!("spec.routes[{i}]");
            let route = split::Route {
                name: self.name(&spec.name, &mut seen, &path),
                domains: self.domains(&spec.domains, &format!("{path}.domains")),
                reverse_for: self.each(&spec.reverse_for, &format!("{path}.reverseFor"), |text| Prefix::parse(text)),
                servers: self.servers(&spec.servers, &format!("{path}.servers")),
                fail_closed: spec.fail_closed.is_some_and(|flag| flag.0),
            };
            if spec.domains.is_empty() && spec.reverse_for.is_empty() {
                self.wrong(&path, "no domain is given: list domains, or address ranges under reverseFor");
            }
            if spec.servers.is_empty() {
                self.wrong(format!("{path}.servers"), "no server is given: without one the names would go elsewhere");
            }
            routes.push(route);
        }
        routes
    }

    fn domains(&mut self, texts: &[Text], path: &str) -> Vec<Name> {
        let names = self.each(texts, path, |text| domain(bare(text)));
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) && names.len() == texts.len() {
                self.wrong(format!("{path}[{i}]"), format!("{} stands here for the second time", name.to_relaxed()));
            }
        }
        names
    }

    fn servers(&mut self, texts: &[Text], path: &str) -> Vec<DnsServer> {
        let servers = self.each(texts, path, |text| split::parse_server(text));
        for (i, server) in servers.iter().enumerate() {
            // resolved 258 to 261 drops the rest of a delegate's line after a duplicate.
            if servers[..i].contains(server) && servers.len() == texts.len() {
                self.wrong(format!("{path}[{i}]"), format!("{server} stands here for the second time"));
            }
        }
        servers
    }

    fn links(&mut self, specs: &[LinkSpec]) -> Vec<split::Link> {
        let (mut links, mut seen) = (Vec::new(), Vec::new());
        for (i, spec) in specs.iter().enumerate() {
            let path = format!("spec.links[{i}]");
            let name = self.name(&spec.name, &mut seen, &path);
            let Some(matches) = self.matches(&spec.r#match, &format!("{path}.match")) else { continue };
            let is_kept = spec.search_domains == Some(SearchDomainsSpec::Keep);
            if let Some(text) = spec.domains.iter().find(|text| is_kept && text.starts_with('~')) {
                let words = format!(
                    "searchDomains: Keep makes search domains of these, and \"{text}\" says that it is none: write \"{}\", or \
                     leave searchDomains out",
                    bare(text)
                );
                self.wrong(format!("{path}.domains"), words);
            }
            links.push(split::Link {
                name,
                matches,
                kind: spec.kind.map_or_else(Default::default, |kind| match kind {
                    LinkKindSpec::Corporate => split::LinkKind::Corporate,
                    LinkKindSpec::Privacy => split::LinkKind::Privacy,
                    LinkKindSpec::Regular => split::LinkKind::Regular,
                    LinkKindSpec::Untrusted => split::LinkKind::Untrusted,
                }),
                servers: spec.servers.as_ref().map(|texts| self.servers(texts, &format!("{path}.servers"))),
                domains: self.domains(&spec.domains, &format!("{path}.domains")),
                search: spec.search_domains == Some(SearchDomainsSpec::Keep),
                default_route: spec.default_route.map(|flag| flag.0),
                modes: modes(spec.dnssec, spec.dns_over_tls, spec.multicast_dns, spec.llmnr),
            });
        }
        links
    }

    fn matches(&mut self, spec: &MatchSpec, path: &str) -> Option<LinkMatch> {
        match (&spec.name, &spec.glob, &spec.address) {
            (Some(name), None, None) if split::is_interface(name) => Some(LinkMatch::Name(name.to_string())),
            (Some(name), None, None) => {
                let words = format!("\"{name}\" is no interface name: at most 15 characters, no blank, '/' or ':'");
                self.wrong(format!("{path}.name"), words);
                None
            }
            (None, Some(glob), None) => Some(LinkMatch::Glob(glob.to_string())),
            (None, None, Some(range)) => match Prefix::parse(range) {
                Ok(range) => Some(LinkMatch::Address(range)),
                Err(words) => {
                    self.wrong(format!("{path}.address"), words);
                    None
                }
            },
            _ => {
                self.wrong(path, "give exactly one of name, glob and address");
                None
            }
        }
    }

    fn global(&mut self, spec: Option<&GlobalSpec>) -> split::Global {
        let Some(spec) = spec else { return split::Global::default() };
        let mut servers = |texts: &Option<Vec<Text>>, field: &str| {
            texts.as_ref().map(|texts| self.servers(texts, &format!("spec.global.{field}")))
        };
        let (own, fallback_servers) =
            (servers(&spec.servers, "servers"), servers(&spec.fallback_servers, "fallbackServers"));
        split::Global {
            servers: own,
            domains: spec.domains.as_ref().map(|texts| self.domains(texts, "spec.global.domains")),
            fallback_servers,
            modes: modes(spec.dnssec, spec.dns_over_tls, spec.multicast_dns, spec.llmnr),
            cache: spec.cache.map(|word| match word {
                CacheSpec::On => split::Cache::On,
                CacheSpec::Off => split::Cache::Off,
                CacheSpec::NoNegative => split::Cache::NoNegative,
            }),
            stub_listener: spec.stub_listener.map(|word| match word {
                StubListenerSpec::On => split::StubListener::On,
                StubListenerSpec::Off => split::StubListener::Off,
                StubListenerSpec::Udp => split::StubListener::Udp,
                StubListenerSpec::Tcp => split::StubListener::Tcp,
            }),
            extra_listeners: spec
                .extra_listeners
                .as_ref()
                .map(|texts| self.each(texts, "spec.global.extraListeners", |text| listener(text))),
        }
    }

    fn hosts_file(&mut self, lines: &[HostLineSpec]) -> Vec<split::HostLine> {
        let mut good = Vec::new();
        for (i, line) in lines.iter().enumerate() {
            let path = format!("spec.hostsFile[{i}]");
            let names = self.each(&line.names, &format!("{path}.names"), |name| match split::is_host(name) {
                true => Ok(name.to_string()),
                false => Err(format!("\"{name}\" is no host name: labels of letters, digits, '-' and '_'")),
            });
            if line.names.is_empty() {
                self.wrong(format!("{path}.names"), "no name is given");
            }
            match address(&line.address) {
                Ok(address) => good.push(split::HostLine { address, names }),
                Err(words) => self.wrong(format!("{path}.address"), words),
            }
        }
        good
    }

    fn probes(&mut self, specs: &[ProbeSpec]) -> Vec<split::Probe> {
        let (mut probes, mut seen) = (Vec::new(), Vec::new());
        for (i, spec) in specs.iter().enumerate() {
            let path = format!("spec.probes[{i}]");
            let name = self.name(&spec.name, &mut seen, &path);
            let rtype = spec.r#type.as_ref().and_then(|text| {
                let rtype = RrType::parse(text)
                    .filter(|rtype| !rtype.is_meta() && !text.contains(|c: char| c.is_ascii_lowercase()));
                if rtype.is_none() {
                    self.wrong(format!("{path}.type"), format!("\"{text}\" is no type of records"));
                }
                rtype
            });
            let addresses =
                self.each(&spec.expect.addresses, &format!("{path}.expect.addresses"), |text| address(text));
            let any = spec.expect.any.is_some_and(|flag| flag.0);
            if any != spec.expect.addresses.is_empty() {
                self.wrong(format!("{path}.expect"), "give either addresses or any: true");
            }
            if !addresses.is_empty() && rtype.is_some_and(|rtype| !matches!(rtype, RrType::A | RrType::AAAA)) {
                self.wrong(format!("{path}.type"), "addresses are expected of A and AAAA lookups only");
            }
            match domain(&spec.query) {
                Ok(query) => probes.push(split::Probe { name, query, rtype, addresses }),
                Err(words) => self.wrong(format!("{path}.query"), words),
            }
        }
        probes
    }

    fn rollout(&mut self, spec: Option<&RolloutSpec>) -> split::Rollout {
        let mut rollout = split::Rollout::default();
        let Some(spec) = spec else { return rollout };
        if let Some(canaries) = spec.canaries {
            rollout.canaries = self.number(canaries.0, 0, 1000, "spec.rollout.canaries") as u32;
        }
        if let Some(text) = &spec.max_unavailable {
            let number = |text: &str| match text.starts_with(['0', '+']) {
                true => None,
                false => text.parse::<u32>().ok(),
            };
            let share = match text.strip_suffix('%') {
                Some(part) => number(part).filter(|part| *part <= 100).map(|part| Share::Percent(part as u8)),
                None => number(text).filter(|hosts| *hosts <= 9999).map(Share::Hosts),
            };
            match share {
                Some(share) => rollout.max_unavailable = share,
                None => self.wrong(
                    "spec.rollout.maxUnavailable",
                    format!("\"{text}\" is neither a number of hosts (\"3\") nor a part of all (\"25%\")"),
                ),
            }
        }
        rollout
    }

    /// Contradictions between parts, and what all parts come to together.
    fn across(&mut self, policy: &Policy) {
        let mut owners: Vec<(Name, usize)> = Vec::new();
        for (i, route) in policy.routes.iter().enumerate() {
            for domain in route.all_domains() {
                let Some((_, first)) = owners.iter().find(|(name, _)| *name == domain) else {
                    owners.push((domain, i));
                    continue;
                };
                let other = &policy.routes[*first];
                if other.servers != route.servers || other.fail_closed != route.fail_closed {
                    let words = format!(
                        "{} goes elsewhere by the route \"{}\" of this policy; a domain has one route",
                        domain.to_relaxed(),
                        other.name
                    );
                    // The place: the domain itself, or the range it comes from.
                    let place = match route.domains.iter().position(|own| *own == domain) {
                        Some(at) => format!("spec.routes[{i}].domains[{at}]"),
                        None => format!("spec.routes[{i}].reverseFor"),
                    };
                    self.wrong(place, words);
                    return;
                }
            }
            if owners.len() > ALL_DOMAINS {
                let words = format!(
                    "the routes up to here come to {} domains, of which no host takes more than {ALL_DOMAINS}; address \
                     ranges that end at an octet (/8, /16, /24) need one each, others up to 128",
                    owners.len()
                );
                self.wrong(format!("spec.routes[{i}]"), words);
                return;
            }
        }
    }
}

fn is_part_name(name: &str) -> bool {
    bad_object_name(name, 63, false).is_none()
}

/// Routing or search is said by the field; whoever writes the `~` of resolved.conf means just what is done.
fn bare(text: &str) -> &str {
    text.strip_prefix('~').unwrap_or(text)
}

/// A domain of a policy.
fn domain(text: &str) -> Result<Name, String> {
    if let Some(bare) = text.strip_prefix("*.") {
        return Err(format!("write \"{bare}\": a domain stands for itself and all below it"));
    }
    let odd = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.');
    if let Some(c) = text.chars().find(|c| odd(*c)) {
        return Err(format!("{c:?} has no place in a domain: letters, digits, '-', '_' and dots"));
    }
    if text.chars().count() > super::limits::DOMAIN {
        return Err("the domain is longer than 255 characters".to_owned());
    }
    // A bad one in a delegate's file makes resolved drop the whole file, and the names leak.
    Name::parse(text).map_err(|error| error.to_string())
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("\"{text}\" is not an IP address (such as 10.0.0.1 or fd00::1)"))
}

/// `[udp:|tcp:]address[:port]`.
fn listener(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("udp:").or_else(|| text.strip_prefix("tcp:")).unwrap_or(text);
    let bad =
        || format!("\"{text}\" is no listener: [udp:|tcp:]address[:port], such as 192.168.4.2 or tcp:[fd00::2]:5353");
    if rest.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    match rest.parse::<std::net::SocketAddr>() {
        Ok(socket) if socket.port() > 0 => Ok(text.to_owned()),
        _ => Err(bad()),
    }
}

fn modes(
    dnssec: Option<DnssecSpec>,
    dns_over_tls: Option<DnsOverTlsSpec>,
    mdns: Option<MulticastSpec>,
    llmnr: Option<MulticastSpec>,
) -> split::Modes {
    let multicast = |word: MulticastSpec| match word {
        MulticastSpec::On => split::Multicast::On,
        MulticastSpec::Off => split::Multicast::Off,
        MulticastSpec::Resolve => split::Multicast::Resolve,
    };
    split::Modes {
        dnssec: dnssec.map(|word| match word {
            DnssecSpec::On => split::Dnssec::On,
            DnssecSpec::Off => split::Dnssec::Off,
            DnssecSpec::AllowDowngrade => split::Dnssec::AllowDowngrade,
        }),
        dns_over_tls: dns_over_tls.map(|word| match word {
            DnsOverTlsSpec::On => split::DnsOverTls::On,
            DnsOverTlsSpec::Off => split::DnsOverTls::Off,
            DnsOverTlsSpec::Opportunistic => split::DnsOverTls::Opportunistic,
        }),
        mdns: mdns.map(multicast),
        llmnr: llmnr.map(multicast),
    }
}

fn protect(spec: Option<&ProtectSpec>) -> std::collections::BTreeMap<Writer, bool> {
    let Some(spec) = spec else { return Default::default() };
    let all = [
        (Writer::Dhclient, spec.dhclient),
        (Writer::Dhcpcd, spec.dhcpcd),
        (Writer::NetworkManager, spec.network_manager),
    ];
    all.into_iter().filter_map(|(writer, word)| Some((writer, word? == SwitchSpec::On))).collect()
}
