//! What the profile of a link that NetworkManager configures must say for a wish.
//!
//! NetworkManager tells resolved of each link what comes of the profile, the lease and what other links have
//! (`_mgr_configs_data_construct` and `update_add_ip_config` in its sources; tried on 1.42, 1.52 and 1.58): a family of
//! addresses without servers brings no domains either; a link with neither domains nor a default route brings nothing; the
//! default route is where `~.` stands, else where the IP default route is, and where no link has that, everywhere. So not
//! every wish can be said, and what cannot is refused.

use super::preflight::{self, Refuse};
use super::{Refusal, paths};
use crate::split::facts::{Link, Profile, Setting, Wishes};
use crate::split::policy::{DnsOverTls, Dnssec, Multicast};
use crate::split::wish::LinkWish;
use crate::split::{HostFacts, RoutedDomain};

/// `dns-data`, and `Reapply` that leaves what others set.
const OLDEST: (u32, u32) = (1, 42);
/// `connection.dnssec`.
const DNSSEC: (u32, u32) = (1, 56);

/// What a profile shall say for a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Of the profile.
    pub uuid: String,
    /// Its name.
    pub id: String,
    /// The settings that are ours.
    pub wishes: Wishes,
}

/// What the profile of a link must say so that the link is as wished.
///
/// # Errors
/// Why it cannot.
pub fn target(wish: &LinkWish, facts: &HostFacts) -> Result<Target, Refusal> {
    let (profile, link) = carrier(wish, facts)?;
    let refuse = |message: String, way_out: String| -> Refusal {
        Refuse { reason: preflight::NETWORK_MANAGER, at: &wish.name, message, way_out }.into()
    };
    let families = [Family::new(4, &profile.method4), Family::new(6, &profile.method6)];
    if families.iter().all(|family| !family.speaks) {
        let message = format!("the profile {} gives {} no addresses of its own", profile.id, wish.name);
        return Err(refuse(message, "name the link that has the addresses (the bridge, the bond)".to_owned()));
    }
    let mut wishes = Wishes::new();
    // Families that bring servers: only with them come domains.
    let mut bring: Vec<&Family> = Vec::new();
    for family in &families {
        let of_family = |address: &std::net::IpAddr| address.is_ipv6() == (family.number == 6);
        let Some(servers) = &wish.servers else {
            let has = |link: &Link| link.servers.iter().flatten().any(|server| of_family(&server.address));
            if family.speaks && (has(link) || family.has_servers(profile)) {
                bring.push(family);
            }
            continue;
        };
        let own: Vec<_> = servers.iter().filter(|server| of_family(&server.address)).collect();
        if let Some(odd) = own.iter().find(|server| server.port.is_some() || server.interface.is_some()) {
            let message = format!("profiles of NetworkManager hold no port and no interface of a server: {odd}");
            return Err(refuse(message, instead(wish)));
        }
        if !family.speaks {
            if !own.is_empty() {
                let (id, number, method) = (&profile.id, family.number, family.method);
                let message =
                    format!("the profile {id} has no IPv{number} (ipv{number}.method {method}) to hold servers");
                return Err(refuse(message, format!("give the link servers of the other family, or it IPv{number}")));
            }
            continue;
        }
        let list: Vec<String> = own.iter().map(ToString::to_string).collect();
        if !list.is_empty() {
            bring.push(family);
        }
        wishes.insert(family.key("dns-data"), some(list));
        wishes.insert(family.key("ignore-auto-dns"), Some(Setting::Switch(true)));
    }
    let domains: Vec<String> = wish.domains.iter().map(ToString::to_string).collect();
    let says_nothing = domains.is_empty() && !wish.default_route;
    if says_nothing && wish.servers.as_ref().is_some_and(|servers| !servers.is_empty()) {
        let message = format!(
            "NetworkManager tells resolved nothing of a link with neither domains nor a default route, so {} cannot have \
             these servers",
            wish.name
        );
        return Err(refuse(message, "give the link a domain, or leave its servers out".to_owned()));
    }
    for family in families.iter().filter(|family| family.speaks) {
        let is_asked = bring.iter().any(|one| one.number == family.number) || wish.servers.is_none();
        wishes.insert(family.key("dns-search"), some(if is_asked { domains.clone() } else { Vec::new() }));
        if says_nothing {
            // What the lease announces would count.
            wishes.insert(family.key("ignore-auto-dns"), Some(Setting::Switch(true)));
        }
    }
    announced(wish, profile, link).map_err(|(message, way_out)| refuse(message, way_out))?;
    default_route(wish, profile, facts, &bring).map_err(|(message, way_out)| refuse(message, way_out))?;
    modes(wish, facts, &mut wishes).map_err(|(message, way_out)| refuse(message, way_out))?;
    Ok(Target { uuid: profile.uuid.clone(), id: profile.id.clone(), wishes })
}

/// The profile in force on the link, where it is one that lasts and is this link's alone.
fn carrier<'a>(wish: &LinkWish, facts: &'a HostFacts) -> Result<(&'a Profile, &'a Link), Refusal> {
    let refuse = |reason, message: String, way_out: String| -> Refusal {
        Refuse { reason, at: &wish.name, message, way_out }.into()
    };
    let nm = facts.network_manager.as_ref();
    let (Some(nm), Some(link)) = (nm.filter(|nm| nm.profiles.is_some()), facts.link(&wish.name)) else {
        let message = format!(
            "NetworkManager configures {}, and would overwrite what is set there at its next change of any link; what its \
             profile says could not be read",
            wish.name
        );
        return Err(refuse(preflight::NETWORK_MANAGER, message, instead(wish)));
    };
    let Some(profile) = nm.on(&wish.name) else {
        let message = format!("NetworkManager has {}, and no profile is in force there", wish.name);
        let way_out = format!("nmcli device connect {}, or leave the link out of the policy", wish.name);
        return Err(refuse(preflight::NO_PROFILE, message, way_out));
    };
    let id = &profile.id;
    if nm.release().is_none_or(|release| release < OLDEST) {
        let version = nm.version.as_deref().unwrap_or("of unknown version");
        let message = format!("NetworkManager {version} is older than {}.{}", OLDEST.0, OLDEST.1);
        return Err(refuse(preflight::NETWORK_MANAGER, message, instead(wish)));
    }
    let file = profile.file.as_deref().unwrap_or_default();
    let flags = profile.flags.as_deref().unwrap_or_default();
    if profile.flags.is_none() || !flags.is_empty() || file.is_empty() || file.starts_with(paths::VOLATILE) {
        let what = if flags.is_empty() { "in memory alone".to_owned() } else { flags.join(", ") };
        let message =
            format!("the profile {id} of {} does not last ({what}): what is written there is gone at boot", wish.name);
        let way_out = match flags.iter().any(|flag| flag == "external") {
            true => {
                "set the link up by NetworkManager, or have it leave the link alone (nmcli device set … managed no)"
                    .into()
            }
            false if file.contains("netplan") => "set it in netplan, which makes this profile".into(),
            false => format!(
                "nmcli connection modify '{id}' connection.autoconnect yes, which saves it, or make one of your own"
            ),
        };
        return Err(refuse(preflight::PROFILE_UNSAVED, message, way_out));
    }
    if file.starts_with("/usr/") {
        let message = format!("the profile {id} of {} lies in {file}, which is not for changes", wish.name);
        let way_out = format!("nmcli connection modify '{id}' connection.autoconnect yes, which copies it to /etc");
        return Err(refuse(preflight::PROFILE_READ_ONLY, message, way_out));
    }
    if profile.devices.len() > 1 || profile.multiple {
        let message = match profile.devices.len() {
            0 | 1 => format!("the profile {id} may be in force on several links at once (connection.multi-connect)"),
            _ => format!("the profile {id} is also that of {}", profile.devices.join(", ")),
        };
        let way_out = format!("nmcli connection clone '{id}' …, so that {} has one of its own", wish.name);
        return Err(refuse(preflight::PROFILE_SHARED, message, way_out));
    }
    Ok((profile, link))
}

/// What a person can do where a profile cannot say it.
fn instead(wish: &LinkWish) -> String {
    let servers = |v6: bool| {
        let all = wish.servers.iter().flatten().filter(|server| server.address.is_ipv6() == v6);
        all.map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let domains = wish.domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut words = vec![format!("ipv4.dns-search '{domains}'")];
    for (family, list) in [("ipv4", servers(false)), ("ipv6", servers(true))] {
        if wish.servers.is_some() {
            words.push(format!("{family}.dns '{list}' {family}.ignore-auto-dns yes"));
        }
    }
    format!(
        "set it in the profile: nmcli connection modify <the connection of {}> {}; or {HAND_OVER}",
        wish.name,
        words.join(" ")
    )
}

/// The way that is always left.
const HAND_OVER: &str = "list the servers of each link that NetworkManager configures under links and say protect: {networkManager: \"On\"}";

/// IPv4 or IPv6 of a profile.
struct Family<'a> {
    number: u8,
    method: &'a str,
    /// Whether it can hold servers and domains.
    speaks: bool,
}

impl<'a> Family<'a> {
    fn new(number: u8, method: &'a Option<String>) -> Family<'a> {
        let method = method.as_deref().unwrap_or("none");
        Family { number, method, speaks: matches!(method, "auto" | "dhcp" | "manual") }
    }

    fn key(&self, name: &str) -> String {
        format!("ipv{}.{name}", self.number)
    }

    fn has_servers(&self, profile: &Profile) -> bool {
        profile.settings.contains_key(&self.key("dns-data"))
    }
}

fn some(list: Vec<String>) -> Option<Setting> {
    (!list.is_empty()).then_some(Setting::List(list))
}

/// A lease's domains count where the profile names none, and go only with its servers.
fn announced(wish: &LinkWish, profile: &Profile, link: &Link) -> Result<(), (String, String)> {
    let is_kept = wish.servers.is_none() && wish.domains.is_empty() && wish.default_route;
    let ignored = |family: &str| profile.settings.contains_key(&format!("{family}.ignore-auto-dns"));
    let is_automatic = [("ipv4", &profile.method4), ("ipv6", &profile.method6)]
        .iter()
        .any(|(family, method)| matches!(method.as_deref(), Some("auto" | "dhcp")) && !ignored(family));
    if is_kept && is_automatic && link.domains.as_ref().is_some_and(|domains| !domains.is_empty()) {
        return Err((
            format!(
                "the lease of {} announces domains, and NetworkManager drops them only with its servers",
                wish.name
            ),
            "give the link its servers, or domains".to_owned(),
        ));
    }
    Ok(())
}

/// Whether NetworkManager comes to the default route that is wished.
fn default_route(
    wish: &LinkWish,
    profile: &Profile,
    facts: &HostFacts,
    bring: &[&Family<'_>],
) -> Result<(), (String, String)> {
    let name = &wish.name;
    let is_explicit = wish.domains.iter().any(|domain: &RoutedDomain| domain.name.is_root());
    let gateways = |profile: &Profile| [(4, profile.gateway4), (6, profile.gateway6)];
    let own: Vec<Option<bool>> = gateways(profile)
        .into_iter()
        .filter(|(number, _)| bring.iter().any(|family| family.number == *number))
        .map(|(_, gateway)| gateway)
        .collect();
    let unread = own.contains(&None);
    let has_gateway = own.contains(&Some(true));
    let others = facts.network_manager.iter().flat_map(|nm| nm.profiles.iter().flatten());
    let somebody = others
        .filter(|other| other.uuid != profile.uuid && !other.devices.is_empty())
        .any(|other| gateways(other).iter().any(|(_, gateway)| *gateway == Some(true)));
    let is_default = is_explicit || (!bring.is_empty() && (has_gateway || !somebody));
    if unread && !is_explicit {
        return Err((format!("whether {name} has a default route of IP could not be read"), "try again".to_owned()));
    }
    match (wish.default_route, is_default) {
        (true, false) if bring.is_empty() => Err((
            format!("{name} shall have the default route and has no servers, and NetworkManager gives it none then"),
            "give the link servers".to_owned(),
        )),
        (true, false) => Err((
            format!("{name} has no default route of IP, and NetworkManager gives it none for names then"),
            format!("add the domain . (kind: Privacy), or say defaultRoute: false; or {HAND_OVER}"),
        )),
        (false, true) if is_explicit => Err((
            format!("{name} has the domain ~., by which NetworkManager gives it the default route"),
            format!("say defaultRoute: true, or leave the domain out; or {HAND_OVER}"),
        )),
        (false, true) => Err((
            format!(
                "{name} {}, and so NetworkManager gives it the default route for names as well",
                if has_gateway {
                    "has a default route of IP"
                } else {
                    "is a link where none has a default route of IP"
                }
            ),
            format!(
                "nmcli connection modify '{}' ipv4.never-default yes ipv6.never-default yes where the link is no way to the \
                 Internet, or say defaultRoute: true; or {HAND_OVER}",
                profile.id
            ),
        )),
        _ => {
            // With a negative priority the automatic default route becomes a domain of its own.
            let priority = |family: &&&Family<'_>| match profile.settings.get(&family.key("dns-priority")) {
                Some(Setting::Number(number)) => *number < 0,
                _ => false,
            };
            match bring.iter().find(priority) {
                Some(family) if wish.default_route && !is_explicit => Err((
                    format!(
                        "ipv{}.dns-priority of the profile {} is negative, by which NetworkManager adds ~. and takes domains \
                         from other links",
                        family.number, profile.id
                    ),
                    format!(
                        "nmcli connection modify '{}' {} 0, or add the domain .",
                        profile.id,
                        family.key("dns-priority")
                    ),
                )),
                _ => Ok(()),
            }
        }
    }
}

fn modes(wish: &LinkWish, facts: &HostFacts, wishes: &mut Wishes) -> Result<(), (String, String)> {
    let multicast = |mode: Multicast| match mode {
        Multicast::Off => 0,
        Multicast::Resolve => 1,
        Multicast::On => 2,
    };
    let mut set = |key: &str, number: Option<i32>| {
        if let Some(number) = number {
            wishes.insert(format!("connection.{key}"), Some(Setting::Number(number)));
        }
    };
    set("mdns", wish.modes.mdns.map(multicast));
    set("llmnr", wish.modes.llmnr.map(multicast));
    set(
        "dns-over-tls",
        wish.modes.dns_over_tls.map(|mode| match mode {
            DnsOverTls::Off => 0,
            DnsOverTls::Opportunistic => 1,
            DnsOverTls::On => 2,
        }),
    );
    let Some(dnssec) = wish.modes.dnssec else { return Ok(()) };
    if facts.network_manager.as_ref().and_then(|nm| nm.release()).is_none_or(|release| release < DNSSEC) {
        return Err((
            format!("profiles know dnssec from NetworkManager {}.{} on", DNSSEC.0, DNSSEC.1),
            "set dnssec under global, or leave it out".to_owned(),
        ));
    }
    set(
        "dnssec",
        Some(match dnssec {
            Dnssec::Off => 0,
            Dnssec::AllowDowngrade => 1,
            Dnssec::On => 2,
        }),
    );
    Ok(())
}
