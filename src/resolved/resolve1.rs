//! systemd-resolved over D-Bus: what it shows, and what can be set.

use std::net::IpAddr;

use super::bus::{Bus, Object, Properties};
use super::error::{BusError, Reason};
use super::links::{LinkSetters, signed};
use super::wire::{Wire, WireEx, domain, server, server_ex};
use crate::split::facts::{Modes, ResolvConfMode};
use crate::split::{DnsServer, RoutedDomain};

/// The name on the bus.
pub const NAME: &str = "org.freedesktop.resolve1";

pub(super) const MANAGER: Object<'static> =
    Object { service: NAME, path: "/org/freedesktop/resolve1", interface: "org.freedesktop.resolve1.Manager" };

const CURRENT: &[&str] = &["CurrentDNSServerEx", "CurrentDNSServer"];

/// Flags of a lookup, and of its reply (`src/shared/resolved-def.h` of systemd).
pub mod flags {
    /// Do not append search domains.
    pub const NO_SEARCH: u64 = 1 << 8;
    /// Do not validate by DNSSEC.
    pub const NO_VALIDATE: u64 = 1 << 10;
    /// No made-up answers (the own host name, localhost).
    pub const NO_SYNTHESIZE: u64 = 1 << 11;
    /// Not from the cache (from 248; older ones refuse unknown flags).
    pub const NO_CACHE: u64 = 1 << 12;
    /// Nothing that needs the network.
    pub const NO_NETWORK: u64 = 1 << 15;
    /// Reply: the answer was synthesized.
    pub const SYNTHETIC: u64 = 1 << 19;
    /// Reply: from the cache.
    pub const FROM_CACHE: u64 = 1 << 20;
    /// Reply: from the network.
    pub const FROM_NETWORK: u64 = 1 << 23;
}

/// What the manager shows. A field is `None` where this version does not show it or nobody could read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manager {
    /// All servers with the interface that each is bound to (0: none): those of the global scope first, then those of
    /// every link.
    pub servers: Option<Vec<(u32, DnsServer)>>,
    /// The global scope's server in use; inside `None` where none was chosen yet.
    pub current: Option<Option<(u32, DnsServer)>>,
    /// Domains, those of links too, with their interface.
    pub domains: Option<Vec<(u32, RoutedDomain)>>,
    /// The fallback servers, or those compiled in.
    pub fallback: Option<Vec<(u32, DnsServer)>>,
    /// What resolved takes /etc/resolv.conf for.
    pub resolv_conf: Option<ResolvConfMode>,
    /// Modes of the global scope.
    pub modes: Modes,
    /// `DNSStubListener=`: `yes`, `no`, `udp`, `tcp`.
    pub stub_listener: Option<String>,
    /// The host name for LLMNR and multicast DNS.
    pub hostname: Option<String>,
}

/// What a link shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkSettings {
    /// Its servers.
    pub servers: Option<Vec<DnsServer>>,
    /// The one in use; inside `None` where none was chosen yet.
    pub current: Option<Option<DnsServer>>,
    /// Its domains.
    pub domains: Option<Vec<RoutedDomain>>,
    /// The setting of its default route, or what resolved makes of none.
    pub default_route: Option<bool>,
    /// Bit 0: it has a unicast DNS scope.
    pub scopes_mask: Option<u64>,
    /// Its modes, the global ones where it has none of its own.
    pub modes: Modes,
}

/// What a delegate shows (from 258).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DelegateSettings {
    /// The file's name without its end.
    pub id: String,
    /// Its servers with the interface that each is bound to.
    pub servers: Option<Vec<(u32, DnsServer)>>,
    /// The one in use; inside `None` where none was chosen yet.
    pub current: Option<Option<(u32, DnsServer)>>,
    /// Its domains.
    pub domains: Option<Vec<RoutedDomain>>,
    /// Whether names that match nothing may come here.
    pub default_route: Option<bool>,
    /// The mark on its packets (from 260).
    pub firewall_mark: Option<u32>,
}

/// The answer to [`Resolve1::hostname`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The addresses, with the link that gave each (0: none).
    pub addresses: Vec<(u32, IpAddr)>,
    /// The name that they belong to, after CNAMEs and search.
    pub canonical: String,
    /// How it was found: bits of [`flags`].
    pub flags: u64,
}

/// One record of the answer to [`Resolve1::record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRecord {
    /// The link that gave it (0: none).
    pub ifindex: u32,
    /// Its type.
    pub rtype: u16,
    /// The whole record in wire form: owner, type, class, TTL, RDATA.
    pub wire: Vec<u8>,
}

/// systemd-resolved.
#[derive(Debug, Clone, Copy)]
pub struct Resolve1<'a>(pub &'a Bus);

impl Resolve1<'_> {
    /// What the manager shows.
    ///
    /// # Errors
    /// [`Reason::Gone`] where resolved does not run; it is not started.
    pub async fn manager(&self) -> Result<Manager, BusError> {
        let mut all = self.0.properties(MANAGER).await?;
        self.0.complete(MANAGER, &mut all, CURRENT).await?;
        let mode = all.text("ResolvConfMode").and_then(|text| match text.as_str() {
            "stub" => Some(ResolvConfMode::Stub),
            "uplink" => Some(ResolvConfMode::Uplink),
            "static" => Some(ResolvConfMode::Static),
            "foreign" => Some(ResolvConfMode::Foreign),
            "missing" => Some(ResolvConfMode::Missing),
            _ => None,
        });
        let domains = all.get::<Vec<(i32, String, bool)>>("Domains").and_then(|domains| {
            let each = domains.into_iter().map(|(link, name, only)| Some((index(link)?, domain(&name, only)?)));
            each.collect()
        });
        Ok(Manager {
            servers: many(&mut all, "DNSEx", "DNS"),
            current: one(&mut all, "CurrentDNSServerEx", "CurrentDNSServer"),
            domains,
            fallback: many(&mut all, "FallbackDNSEx", "FallbackDNS"),
            resolv_conf: mode,
            modes: modes(&mut all),
            stub_listener: all.text("DNSStubListener"),
            hostname: all.text("LLMNRHostname"),
        })
    }

    /// The object of a link.
    ///
    /// # Errors
    /// [`Reason::NoSuchLink`] and all others.
    async fn link_path(&self, ifindex: u32) -> Result<String, BusError> {
        let path: zbus::OwnedObjectPath = self.0.call(MANAGER, "GetLink", &(signed(ifindex, "GetLink")?,)).await?;
        Ok(path.to_string())
    }

    /// What a link shows.
    ///
    /// # Errors
    /// [`Reason::NoSuchLink`] where resolved has none of this number (yet), [`Reason::Gone`] where resolved does not run.
    pub async fn link(&self, ifindex: u32) -> Result<LinkSettings, BusError> {
        let path = self.link_path(ifindex).await?;
        let object = Object { service: NAME, path: &path, interface: "org.freedesktop.resolve1.Link" };
        let mut all = self.0.properties(object).await?;
        self.0.complete(object, &mut all, CURRENT).await?;
        let ex = all.get::<Vec<(i32, Vec<u8>, u16, String)>>("DNSEx");
        let servers = match ex {
            Some(ex) => {
                ex.into_iter().map(|(family, address, port, name)| server_ex(family, &address, port, &name)).collect()
            }
            None => all
                .get::<Vec<(i32, Vec<u8>)>>("DNS")
                .and_then(|plain| plain.into_iter().map(|(family, address)| server(family, &address)).collect()),
        };
        let current = match all.get::<(i32, Vec<u8>, u16, String)>("CurrentDNSServerEx") {
            Some((0, ..)) => Some(None),
            Some((family, address, port, name)) => server_ex(family, &address, port, &name).map(Some),
            None => match all.get::<(i32, Vec<u8>)>("CurrentDNSServer") {
                Some((0, _)) => Some(None),
                Some((family, address)) => server(family, &address).map(Some),
                None => None,
            },
        };
        Ok(LinkSettings {
            servers,
            current,
            domains: own_domains(&mut all),
            default_route: all.get("DefaultRoute"),
            scopes_mask: all.get("ScopesMask"),
            modes: modes(&mut all),
        })
    }

    /// All delegates (from 258).
    ///
    /// # Errors
    /// [`Reason::Unsupported`] from versions that have none.
    pub async fn delegates(&self) -> Result<Vec<DelegateSettings>, BusError> {
        let listed: Vec<(String, zbus::OwnedObjectPath)> = self.0.call(MANAGER, "ListDelegates", &()).await?;
        let mut delegates = Vec::with_capacity(listed.len());
        for (id, path) in listed {
            let object = Object { service: NAME, path: path.as_str(), interface: DELEGATE };
            match self.0.properties(object).await {
                Ok(all) => delegates.push(delegate(id, all)),
                // Removed in between.
                Err(error) if error.reason == Reason::Gone => {}
                Err(error) => return Err(error),
            }
        }
        Ok(delegates)
    }

    /// The setters of links.
    pub fn links(&self) -> LinkSetters<'_> {
        LinkSetters { bus: self.0, manager: MANAGER, revert: "RevertLink" }
    }

    /// Empties the caches of all scopes.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn flush_caches(&self) -> Result<(), BusError> {
        self.0.call(MANAGER, "FlushCaches", &()).await
    }

    /// Forgets what was learned of servers: a degraded feature level stays otherwise until a restart.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn reset_server_features(&self) -> Result<(), BusError> {
        self.0.call(MANAGER, "ResetServerFeatures", &()).await
    }

    /// Looks up the addresses of a name, as nss-resolve does: `ifindex` 0 asks all scopes, another only that link's.
    ///
    /// A lookup takes as long as its servers: give the bus another deadline ([`Bus::within`]).
    ///
    /// # Errors
    /// Any [`BusError`]; what DNS says (NXDOMAIN, SERVFAIL) comes as [`Reason::Answered`] with its message.
    pub async fn hostname(&self, ifindex: u32, name: &str, family: i32, flags: u64) -> Result<Addresses, BusError> {
        let link = signed(ifindex, "ResolveHostname")?;
        let (found, canonical, flags): (Vec<Wire>, String, u64) =
            self.0.call(MANAGER, "ResolveHostname", &(link, name, family, flags)).await?;
        let addresses = found
            .into_iter()
            .filter_map(|(link, family, address)| Some((index(link)?, super::wire::address(family, &address)?)))
            .collect();
        Ok(Addresses { addresses, canonical, flags })
    }

    /// Looks up the records of a name and type; no search domains.
    ///
    /// # Errors
    /// As [`Resolve1::hostname`].
    pub async fn record(
        &self,
        ifindex: u32,
        name: &str,
        rtype: u16,
        flags: u64,
    ) -> Result<(Vec<FoundRecord>, u64), BusError> {
        const IN: u16 = 1;
        let link = signed(ifindex, "ResolveRecord")?;
        let (found, flags): (Vec<RecordWire>, u64) =
            self.0.call(MANAGER, "ResolveRecord", &(link, name, IN, rtype, flags)).await?;
        let records = found
            .into_iter()
            .map(|(link, _, rtype, wire)| FoundRecord { ifindex: index(link).unwrap_or(0), rtype, wire })
            .collect();
        Ok((records, flags))
    }
}

const DELEGATE: &str = "org.freedesktop.resolve1.DnsDelegate";

fn delegate(id: String, mut all: Properties) -> DelegateSettings {
    DelegateSettings {
        id,
        servers: many(&mut all, "DNS", "DNS"),
        current: one(&mut all, "CurrentDNSServer", "CurrentDNSServer"),
        domains: own_domains(&mut all),
        default_route: all.get("DefaultRoute"),
        firewall_mark: all.get("FirewallMark"),
    }
}

fn modes(all: &mut Properties) -> Modes {
    Modes {
        dnssec: all.text("DNSSEC"),
        dns_over_tls: all.text("DNSOverTLS"),
        mdns: all.text("MulticastDNS"),
        llmnr: all.text("LLMNR"),
    }
}

fn own_domains(all: &mut Properties) -> Option<Vec<RoutedDomain>> {
    let domains = all.get::<Vec<(String, bool)>>("Domains")?;
    domains.into_iter().map(|(name, only)| domain(&name, only)).collect()
}

/// A list of servers; by the older property where the newer is missing.
fn many(all: &mut Properties, ex: &str, plain: &str) -> Option<Vec<(u32, DnsServer)>> {
    match all.get::<Vec<WireEx>>(ex) {
        Some(list) => list.into_iter().map(bound_ex).collect(),
        None => all.get::<Vec<Wire>>(plain)?.into_iter().map(bound).collect(),
    }
}

/// The server in use: outside `None` unknown, inside `None` not chosen.
fn one(all: &mut Properties, ex: &str, plain: &str) -> Option<Option<(u32, DnsServer)>> {
    if let Some(found) = all.get::<WireEx>(ex) {
        return if found.1 == 0 { Some(None) } else { bound_ex(found).map(Some) };
    }
    let found = all.get::<Wire>(plain)?;
    if found.1 == 0 { Some(None) } else { bound(found).map(Some) }
}

/// Interface, class, type, the record in wire form: `(iqqay)`.
type RecordWire = (i32, u16, u16, Vec<u8>);

fn bound_ex((link, family, address, port, name): WireEx) -> Option<(u32, DnsServer)> {
    Some((index(link)?, server_ex(family, &address, port, &name)?))
}

fn bound((link, family, address): Wire) -> Option<(u32, DnsServer)> {
    Some((index(link)?, server(family, &address)?))
}

fn index(ifindex: i32) -> Option<u32> {
    u32::try_from(ifindex).ok()
}
