//! Links: the kernel's state, resolved's settings, and who configures each.

use std::collections::BTreeMap;

use super::{Work, ifupdown, services};
use crate::resolved::conf::boolean;
use crate::resolved::error::Reason;
use crate::resolved::files::HostFiles;
use crate::resolved::netlink::{self, KernelLink};
use crate::resolved::network1::{self, Network1, NetworkdLink};
use crate::resolved::nm::{self, NetworkManager};
use crate::resolved::resolve1::{LinkSettings, Resolve1};
use crate::split::HostFacts;
use crate::split::facts::{DefaultRoute, Link, LinkState, Manager};
use crate::split::scope::automatic_default;

/// Where networkd leaves the state of each link, for resolved.
const NETWORKD: &str = "/run/systemd/netif/links";
/// Where resolved remembers what was set on each link over the bus.
const REMEMBERED: &str = "/run/systemd/resolve/netif";
/// resolved's own directory.
const RUNTIME: &str = "/run/systemd/resolve";

/// Who may configure links here.
struct Neighbours {
    /// Whether networkd leaves states, or cannot have any.
    networkd: Networkd,
    network_manager: Option<bool>,
    ifupdown: Option<ifupdown::Ifupdown>,
}

enum Networkd {
    /// State files can be read.
    Files,
    /// It answers on the bus.
    Bus,
    /// It does not run, and no states are left.
    Absent,
    Unknown,
}

pub(super) async fn gather(work: &mut Work, facts: &mut HostFacts, has_resolved: bool) {
    let links = match netlink::links().await {
        Ok(links) => links,
        Err(error) => return work.miss("links", error),
    };
    let neighbours = neighbours(work).await;
    let mut all = Vec::with_capacity(links.len());
    // All at once: a call takes resolved less time than the way there and back.
    let bus = work.bus.clone().filter(|_| has_resolved);
    let asked = links.iter().map(async |link| match &bus {
        Some(bus) => Some(Resolve1(bus).link(link.ifindex).await),
        None => None,
    });
    let settings = futures_util::future::join_all(asked).await;
    for (kernel, settings) in links.into_iter().zip(settings) {
        // resolved learns of a new link a moment later than we do.
        let what = format!("resolved's settings of link {}", kernel.name);
        let settings = settings.and_then(|asked| work.bus(&what, asked));
        all.push(one(work, &neighbours, kernel, settings).await);
    }
    facts.links = Some(all);
}

async fn neighbours(work: &mut Work) -> Neighbours {
    let networkd = match (work.files.exists(NETWORKD), services::runs(work, network1::NAME).await) {
        (true, _) => Networkd::Files,
        (false, Some(true)) => Networkd::Bus,
        (false, Some(false)) => Networkd::Absent,
        (false, None) => Networkd::Unknown,
    };
    let read = ifupdown::read(&work.files);
    Neighbours {
        networkd,
        network_manager: services::runs(work, nm::NAME).await,
        ifupdown: work.file("/etc/network/interfaces", read),
    }
}

async fn one(work: &mut Work, neighbours: &Neighbours, kernel: KernelLink, set: Option<LinkSettings>) -> Link {
    let networkd = networkd(work, neighbours, &kernel).await;
    let managed_by = manager(work, neighbours, &kernel, networkd.as_ref()).await;
    let by_networkd = managed_by == Manager::Networkd;
    let set = set.unwrap_or_default();
    let memory = if by_networkd { None } else { remembered(&work.files, kernel.ifindex) };
    let said = match by_networkd {
        true => networkd
            .as_ref()
            .map(|link| Said(link.default_route))
            .filter(|_| matches!(neighbours.networkd, Networkd::Files)),
        false => memory.as_ref().map(|memory| Said(memory.default_route)),
    };
    let operstate = networkd.as_ref().filter(|_| by_networkd).and_then(|link| link.operstate.clone());
    let network_file = match managed_by {
        Manager::Networkd => networkd.and_then(|link| link.network_file),
        Manager::Ifupdown => neighbours.ifupdown.as_ref().and_then(|all| all.file(&kernel.name)).map(str::to_owned),
        _ => None,
    };
    Link {
        ifindex: kernel.ifindex,
        name: kernel.name,
        kind: Some(kernel.kind),
        state: LinkState { networkd_operstate: operstate, ..kernel.state },
        managed_by,
        network_file,
        addresses: Some(kernel.addresses),
        default_route: default_route(&set, said),
        servers: set.servers,
        current: set.current.flatten(),
        domains: set.domains,
        default_route_effective: set.default_route,
        scopes_mask: set.scopes_mask,
        modes: set.modes,
        told: memory.map(|memory| memory.told),
    }
}

/// What a file says of the default route: a value, or that none is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said(Option<bool>);

/// Whether the default route is set or automatic. resolved shows only what comes of it; where that is not what its own
/// rule would make, it was set; else its memory tells, where it can be read.
fn default_route(set: &LinkSettings, said: Option<Said>) -> DefaultRoute {
    let (Some(effective), Some(domains), Some(mask)) = (set.default_route, &set.domains, set.scopes_mask) else {
        return DefaultRoute::Unknown;
    };
    // Without a scope it shows no (`property_get_default_route` of resolved-link-bus.c).
    let automatic = mask & 1 == 1 && automatic_default(domains);
    let explicit = if effective { DefaultRoute::Yes } else { DefaultRoute::No };
    if effective != automatic {
        return explicit;
    }
    match said {
        Some(Said(Some(value))) if value == effective => explicit,
        Some(Said(None)) => DefaultRoute::Automatic,
        // A file that says otherwise is out of date.
        _ => DefaultRoute::Unknown,
    }
}

/// What resolved remembers of a link that it was told about over the bus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// The default route, where one was set.
    pub default_route: Option<bool>,
    /// As [`Link::told`].
    pub told: Vec<String>,
}

/// Reads it. The directory is resolved's own and closed to all others: root without CAP_DAC_OVERRIDE cannot look inside.
pub fn remembered(files: &HostFiles, ifindex: u32) -> Option<Memory> {
    // It is made for the first link that is set; resolved's own directory is there wherever resolved is.
    files.list(REMEMBERED).ok().filter(|_| files.exists(RUNTIME))?;
    let text = files.text_if_there(&format!("{REMEMBERED}/{ifindex}")).ok()?.unwrap_or_default();
    Some(of_memory(&text))
}

fn of_memory(text: &str) -> Memory {
    let mut memory = Memory::default();
    for (key, value) in text.lines().filter_map(|line| line.trim_end_matches('\r').split_once('=')) {
        // `link_save_user` of resolved-link.c.
        let told = match key {
            "DEFAULT_ROUTE" => {
                memory.default_route = boolean(value);
                continue;
            }
            "DNSSEC" => "dnssec",
            "DNSOVERTLS" | "DNS_OVER_TLS" => "dnsOverTls",
            "NTAS" => "ntas",
            _ => continue,
        };
        if !memory.told.iter().any(|known| known == told) {
            memory.told.push(told.to_owned());
        }
    }
    memory
}

async fn networkd(work: &mut Work, neighbours: &Neighbours, link: &KernelLink) -> Option<NetworkdLink> {
    match neighbours.networkd {
        Networkd::Files => {
            let read = work.files.text_if_there(&format!("{NETWORKD}/{}", link.ifindex));
            let text = work.file(&format!("networkd's state of link {}", link.name), read)?;
            // A link that it does not know yet it does not manage.
            Some(text.map_or_else(unmanaged, |text| NetworkdLink::parse(&text)))
        }
        Networkd::Bus => {
            let bus = work.bus.clone()?;
            match Network1(&bus).link(link.ifindex).await {
                Err(error) if error.reason == Reason::NoSuchLink => Some(unmanaged()),
                asked => work.bus(&format!("networkd's state of link {}", link.name), asked),
            }
        }
        Networkd::Absent => Some(unmanaged()),
        Networkd::Unknown => None,
    }
}

fn unmanaged() -> NetworkdLink {
    NetworkdLink { setup: Some("unmanaged".into()), ..NetworkdLink::default() }
}

async fn manager(
    work: &mut Work,
    neighbours: &Neighbours,
    link: &KernelLink,
    networkd: Option<&NetworkdLink>,
) -> Manager {
    let networkd = networkd.and_then(NetworkdLink::is_managed);
    if networkd == Some(true) {
        return Manager::Networkd;
    }
    let mut network_manager = neighbours.network_manager;
    if network_manager == Some(true)
        && let Some(bus) = work.bus.clone()
    {
        let asked = NetworkManager(&bus).device(&link.name).await;
        let device = work.bus(&format!("NetworkManager's view of link {}", link.name), asked);
        network_manager = device.map(|device| device.is_some_and(|device| device.managed && !device.external));
        if network_manager == Some(true) {
            return Manager::NetworkManager;
        }
    }
    let Some(ifupdown) = &neighbours.ifupdown else { return Manager::Unknown };
    if networkd.is_none() || network_manager.is_none() {
        // It may be theirs.
        return Manager::Unknown;
    }
    ifupdown.manager(&link.name)
}

/// Servers by link, as resolved's links show them: what remains of the manager's list is the global scope's.
pub(super) fn by_index(facts: &HostFacts) -> Option<BTreeMap<u32, &Link>> {
    let links = facts.links.as_ref()?;
    links.iter().map(|link| link.servers.as_ref().map(|_| (link.ifindex, link))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_is_told_only_where_it_is_known() {
        let tell = |effective, domains: &[&str], mask, said| {
            let domains = domains.iter().map(|text| text.parse().unwrap()).collect();
            let set = LinkSettings {
                default_route: effective,
                domains: Some(domains),
                scopes_mask: mask,
                ..LinkSettings::default()
            };
            default_route(&set, said)
        };
        let (none, split): (&[&str], &[&str]) = (&[], &["~corp.test"]);
        // Set against what the domains would make: certain without any file.
        assert_eq!(tell(Some(false), none, Some(1), None), DefaultRoute::No);
        assert_eq!(tell(Some(true), split, Some(1), None), DefaultRoute::Yes);
        // Without a scope resolved shows no, whatever the rule is.
        assert_eq!(tell(Some(false), none, Some(0), None), DefaultRoute::Unknown);
        assert_eq!(tell(Some(true), none, Some(0), None), DefaultRoute::Yes);
        assert_eq!(tell(Some(true), none, Some(1), None), DefaultRoute::Unknown);
        assert_eq!(tell(Some(true), none, Some(1), Some(Said(None))), DefaultRoute::Automatic);
        assert_eq!(tell(Some(true), none, Some(1), Some(Said(Some(true)))), DefaultRoute::Yes);
        assert_eq!(tell(Some(false), split, Some(1), Some(Said(Some(false)))), DefaultRoute::No);
        assert_eq!(tell(Some(false), split, Some(1), Some(Said(Some(true)))), DefaultRoute::Unknown);
        assert_eq!(tell(None, none, Some(1), Some(Said(None))), DefaultRoute::Unknown);
        assert_eq!(tell(Some(true), none, None, Some(Said(None))), DefaultRoute::Unknown);
    }

    #[test]
    fn resolveds_memory_is_read_with_all_its_ends() {
        let route = |text| of_memory(text).default_route;
        let text = "# This is private data. Do not parse.\nLLMNR=yes\nDEFAULT_ROUTE=no\n";
        assert_eq!(of_memory(text), Memory { default_route: Some(false), told: Vec::new() });
        assert_eq!(route("LLMNR=yes\r\nDEFAULT_ROUTE=yes\r"), Some(true));
        assert_eq!(route("DEFAULT_ROUTE=yes"), Some(true));
        assert_eq!(route("LLMNR=yes\n"), None);
        assert_eq!(route("\u{fffd}\0DEFAULT_ROUTE"), None);
        let text = "LLMNR=yes\nMDNS=no\nDNSSEC=no\nDNSOVERTLS=yes\nNTAS=a.test\nSERVERS=10.0.0.1\n";
        assert_eq!(of_memory(text).told, ["dnssec", "dnsOverTls", "ntas"]);
    }
}
