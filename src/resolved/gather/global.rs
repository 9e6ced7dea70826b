//! The global scope, delegates, and what resolved.conf says of both.

use std::net::IpAddr;

use super::Work;
use crate::resolved::conf::{self, Section};
use crate::resolved::error::Reason;
use crate::resolved::resolve1::{DelegateSettings, Manager, Resolve1};
use crate::split::facts::{Delegate, Modes};
use crate::split::{DnsServer, HostFacts, RoutedDomain};

pub(super) async fn gather(work: &mut Work, facts: &mut HostFacts, manager: Option<&Manager>, conf: Option<&Section>) {
    if let Some(conf) = conf {
        facts.resolve_unicast_single_label = Some(conf.boolean("ResolveUnicastSingleLabel").unwrap_or(false));
        facts.read_etc_hosts = Some(conf.boolean("ReadEtcHosts").unwrap_or(true));
    }
    match manager {
        Some(manager) => live(work, facts, manager, conf),
        None => declared(facts, conf),
    }
    facts.delegates = delegates(work, facts, manager.is_some()).await;
}

fn live(work: &mut Work, facts: &mut HostFacts, manager: &Manager, conf: Option<&Section>) {
    let name = |index: u32| interface(facts, index);
    let own = manager.servers.as_ref().and_then(|all| own_servers(facts, all));
    let servers: Option<Vec<DnsServer>> =
        own.map(|own| own.into_iter().map(|(index, one)| bound(one, name(index))).collect());
    let fallback: Option<Vec<DnsServer>> =
        manager.fallback.as_ref().map(|all| all.iter().map(|(index, one)| bound(one.clone(), name(*index))).collect());
    let current =
        manager.current.as_ref().map(|current| current.as_ref().map(|(index, one)| bound(one.clone(), name(*index))));
    let fallback_in_use = match (&current, &servers, &fallback) {
        // Nothing was chosen: the next query chooses by the rules.
        (Some(None), ..) => Some(false),
        (Some(Some(current)), Some(servers), Some(fallback)) => {
            Some(!servers.contains(current) && fallback.contains(current))
        }
        _ => None,
    };
    let domains = manager.domains.as_ref().map(|all| {
        all.iter().filter(|(index, _)| *index == 0).map(|(_, domain)| domain.clone()).collect::<Vec<RoutedDomain>>()
    });
    if manager.servers.is_some() && servers.is_none() {
        work.miss(
            "the servers of the global scope",
            "the servers of some link are not known, and resolved lists all together",
        );
    }
    let global = &mut facts.global;
    global.imported = match (&servers, conf) {
        (Some(servers), Some(conf)) => Some(!servers.is_empty() && conf.list("DNS").is_empty() && !named_at_boot()),
        _ => None,
    };
    global.servers = servers;
    global.current = current.flatten();
    global.domains = domains;
    global.fallback = fallback;
    global.fallback_in_use = fallback_in_use;
    global.modes = manager.modes.clone();
}

/// What the files say, where resolved cannot be asked. Servers that are not declared may still be imported from
/// resolv.conf, given at boot or compiled in: then they are unknown.
fn declared(facts: &mut HostFacts, conf: Option<&Section>) {
    let Some(conf) = conf else { return };
    let global = &mut facts.global;
    let (servers, domains) = (conf.list("DNS"), conf.list("Domains"));
    if !servers.is_empty() || !domains.is_empty() {
        global.servers = Some(parsed_servers(&servers));
        global.domains = Some(parsed_domains(&domains));
        global.imported = Some(false);
    }
    if conf.last("FallbackDNS").is_some() {
        global.fallback = Some(parsed_servers(&conf.list("FallbackDNS")));
    }
    let text = |key| conf.last(key).filter(|value| !value.is_empty()).map(str::to_owned);
    global.modes = Modes {
        dnssec: text("DNSSEC"),
        dns_over_tls: text("DNSOverTLS"),
        mdns: text("MulticastDNS"),
        llmnr: text("LLMNR"),
    };
}

/// resolved passes over what is no server, with a warning.
fn parsed_servers(words: &[&str]) -> Vec<DnsServer> {
    let mut servers: Vec<DnsServer> = Vec::new();
    for server in words.iter().filter_map(|word| word.parse().ok()) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

fn parsed_domains(words: &[&str]) -> Vec<RoutedDomain> {
    words
        .iter()
        .filter_map(|word| word.parse::<RoutedDomain>().ok())
        .map(|domain| RoutedDomain { route_only: domain.route_only || domain.name.is_root(), ..domain })
        .collect()
}

/// The manager's list without the servers of links, which it lists behind its own. A global server that is bound to an
/// interface looks like one of that link's: what is the link's own is taken off from the end.
fn own_servers(facts: &HostFacts, all: &[(u32, DnsServer)]) -> Option<Vec<(u32, DnsServer)>> {
    let links = super::links::by_index(facts)?;
    let mut own = all.to_vec();
    for (index, link) in links {
        for server in link.servers.iter().flatten().rev() {
            // One that is not listed came or went between the two questions.
            if let Some(at) = own.iter().rposition(|(of, one)| *of == index && one == server) {
                own.remove(at);
            }
        }
    }
    Some(own)
}

fn interface(facts: &HostFacts, index: u32) -> Option<String> {
    if index == 0 {
        return None;
    }
    let link = facts.links.iter().flatten().find(|link| link.ifindex == index);
    Some(link.map_or_else(|| index.to_string(), |link| link.name.clone()))
}

fn bound(server: DnsServer, interface: Option<String>) -> DnsServer {
    DnsServer { interface, ..server }
}

/// Whether the kernel's command line names servers (`nameserver=`, or the fields of `ip=` are not read by resolved).
fn named_at_boot() -> bool {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    line.split_whitespace().any(|word| word.starts_with("nameserver="))
}

async fn delegates(work: &mut Work, facts: &HostFacts, has_resolved: bool) -> Option<Vec<Delegate>> {
    if facts.systemd.is_some_and(|version| !version.has_delegates()) {
        return Some(Vec::new());
    }
    if has_resolved && let Some(bus) = work.bus.clone() {
        match Resolve1(&bus).delegates().await {
            Ok(all) => return Some(all.into_iter().map(|one| of_bus(facts, one)).collect()),
            // An older one than its version says, or than is known.
            Err(error) if error.reason == Reason::Unsupported => return Some(Vec::new()),
            Err(error) => {
                work.miss("delegates", error);
                return None;
            }
        }
    }
    facts.systemd?;
    let read = conf::delegates(&work.files);
    let all = work.file("delegates", read)?;
    Some(all.iter().map(|(id, section)| of_file(id, section)).collect())
}

fn of_bus(facts: &HostFacts, one: DelegateSettings) -> Delegate {
    let bound = |(index, server): (u32, DnsServer)| bound(server, interface(facts, index));
    Delegate {
        id: one.id,
        servers: one.servers.map(|servers| servers.into_iter().map(bound).collect()),
        current: one.current.flatten().map(bound),
        domains: one.domains,
        default_route: one.default_route,
        firewall_mark: one.firewall_mark.filter(|mark| *mark != 0),
    }
}

/// A delegate that no running resolved has read.
fn of_file(id: &str, section: &Section) -> Delegate {
    let mark = section.last("FirewallMark").and_then(|text| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    });
    Delegate {
        id: id.to_owned(),
        servers: Some(parsed_servers(&section.list("DNS"))),
        current: None,
        domains: Some(parsed_domains(&section.list("Domains"))),
        default_route: Some(section.boolean("DefaultRoute").unwrap_or(false)),
        firewall_mark: mark,
    }
}

/// Addresses that resolved's own listeners have beside 127.0.0.53 and 127.0.0.54.
pub(super) fn extra_listeners(conf: &Section) -> Vec<IpAddr> {
    let bare = |word: &&str| {
        let word = word.strip_prefix("udp:").or_else(|| word.strip_prefix("tcp:")).unwrap_or(word);
        word.parse::<DnsServer>().ok().map(|server| server.address)
    };
    conf.list("DNSStubListenerExtra").iter().filter_map(bare).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn facts() -> HostFacts {
        HostFacts::from_json(
            r#"{"version":1,"links":[
                {"ifindex":2,"name":"e1","servers":["10.0.0.1","10.0.0.2"]},
                {"ifindex":3,"name":"e2","servers":[]}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_the_links_do_not_have_is_the_global_scopes() {
        let server = |text: &str| text.parse::<DnsServer>().unwrap();
        // The first is global, bound to e1, and the same as one of e1's.
        let all = [
            (2, server("10.0.0.1")),
            (0, server("9.9.9.9")),
            (3, server("10.9.9.9")),
            (2, server("10.0.0.1")),
            (2, server("10.0.0.2")),
        ];
        let own = own_servers(&facts(), &all).unwrap();
        assert_eq!(own, [(2, server("10.0.0.1")), (0, server("9.9.9.9")), (3, server("10.9.9.9"))]);
        let named: Vec<String> =
            own.into_iter().map(|(index, one)| bound(one, interface(&facts(), index)).to_string()).collect();
        assert_eq!(named, ["10.0.0.1%e1", "9.9.9.9", "10.9.9.9%e2"]);
        let mut blind = facts();
        blind.links.as_mut().unwrap()[0].servers = None;
        assert_eq!(own_servers(&blind, &all), None);
    }

    #[test]
    fn files_alone_say_what_they_declare_and_no_more() {
        let section = |text: &str| {
            let mut section = Section::default();
            section.add(text, "Resolve");
            section
        };
        let mut facts = HostFacts::unknown();
        declared(&mut facts, Some(&section("[Resolve]\nFallbackDNS=\nDNSSEC=no\n")));
        assert_eq!((facts.global.servers.as_ref(), facts.global.imported), (None, None));
        assert_eq!(facts.global.fallback, Some(Vec::new()));
        assert_eq!(facts.global.modes.dnssec.as_deref(), Some("no"));
        declared(
            &mut facts,
            Some(&section("[Resolve]\nDNS=192.168.4.53 nonsense 192.168.4.53\nDomains=~maas bad..x .\n")),
        );
        let global = &facts.global;
        assert_eq!(global.servers.as_ref().unwrap().len(), 1);
        let domains: Vec<String> = global.domains.iter().flatten().map(ToString::to_string).collect();
        assert_eq!(domains, ["~maas", "~."]);
        assert_eq!(global.imported, Some(false));
        let extra = section(
            "[Resolve]\nDNSStubListenerExtra=udp:10.0.0.1:9953\nDNSStubListenerExtra=[::1]:53\nDNSStubListenerExtra=?",
        );
        assert_eq!(extra_listeners(&extra).len(), 2);
    }
}
