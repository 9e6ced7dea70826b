//! What was seen on one host: recorded there, used anywhere.
//!
//! An `Option` that is `None` (`null` in JSON) means *could not be read*, never "none there": a list that was read and is
//! empty is `[]`. A route shows both answers where an unknown fact decides.

mod host;
mod profile;
mod resolv_text;

use serde::{Deserialize, Serialize};

use super::{DnsServer, RoutedDomain, SystemdVersion};
use crate::model::Name;
pub use host::{
    Content, FileKind, HostsLine, Kubelet, Listener, Nss, Proxmox, ResolvConf, ResolvConfMode, Services, UnitState,
    WatchedFile,
};
pub use profile::{NetworkManager, Profile, Setting, Settings, Wishes, only};
pub use resolv_text::{read_resolv_conf, whose};

/// Everything that route, lint and the choice of a mechanism look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostFacts {
    /// The layout of this value; [`HostFacts::VERSION`].
    pub version: u32,
    /// The host's own name, as `gethostname` gives it.
    #[serde(default)]
    pub hostname: Option<String>,
    /// systemd's release.
    #[serde(default)]
    pub systemd: Option<SystemdVersion>,
    /// The package's full version text, to tell point releases apart.
    #[serde(default)]
    pub systemd_package: Option<String>,
    /// All interfaces with their resolver settings.
    #[serde(default)]
    pub links: Option<Vec<Link>>,
    /// The global scope.
    #[serde(default)]
    pub global: Global,
    /// Delegates (from 258).
    #[serde(default)]
    pub delegates: Option<Vec<Delegate>>,
    /// `ResolveUnicastSingleLabel=` (from 246).
    #[serde(default)]
    pub resolve_unicast_single_label: Option<bool>,
    /// `ReadEtcHosts=`.
    #[serde(default)]
    pub read_etc_hosts: Option<bool>,
    /// Lines of /etc/hosts that name something.
    #[serde(default)]
    pub hosts: Option<Vec<HostsLine>>,
    /// The `hosts:` line of /etc/nsswitch.conf.
    #[serde(default)]
    pub nss: Option<Nss>,
    /// /etc/resolv.conf.
    #[serde(default)]
    pub resolv_conf: Option<ResolvConf>,
    /// States of the units that matter.
    #[serde(default)]
    pub services: Services,
    /// Programs other than resolved that listen on port 53.
    #[serde(default)]
    pub listeners: Option<Vec<Listener>>,
    /// Files that a mechanism would write, and what they are now.
    #[serde(default)]
    pub files: Option<Vec<WatchedFile>>,
    /// What pods on this node inherit; `None` also where there is no kubelet to ask.
    #[serde(default)]
    pub kubelet: Option<Kubelet>,
    /// What Proxmox containers inherit.
    #[serde(default)]
    pub proxmox: Option<Proxmox>,
    /// NetworkManager's profiles; none where it does not run.
    #[serde(default)]
    pub network_manager: Option<NetworkManager>,
}

/// Why recorded facts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// Not JSON of this shape.
    #[error("not facts of a host: {0}")]
    Shape(#[from] serde_json::Error),
    /// Recorded by another generation of knotwork.
    #[error("facts of layout {0}; this knotwork reads layout {reads}: record them again with it", reads = HostFacts::VERSION)]
    Version(u64),
}

impl HostFacts {
    /// The layout that this code writes and reads.
    pub const VERSION: u32 = 1;

    /// A host of which nothing is known.
    pub fn unknown() -> HostFacts {
        HostFacts {
            version: HostFacts::VERSION,
            hostname: None,
            systemd: None,
            systemd_package: None,
            links: None,
            global: Global::default(),
            delegates: None,
            resolve_unicast_single_label: None,
            read_etc_hosts: None,
            hosts: None,
            nss: None,
            resolv_conf: None,
            services: Services::default(),
            listeners: None,
            files: None,
            kubelet: None,
            proxmox: None,
            network_manager: None,
        }
    }

    /// A host with no links, servers or names of its own: what a policy is judged on where no facts are at hand.
    pub fn bare(systemd: SystemdVersion) -> HostFacts {
        HostFacts {
            hostname: Some("localhost".into()),
            systemd: Some(systemd),
            links: Some(Vec::new()),
            global: Global {
                servers: Some(Vec::new()),
                domains: Some(Vec::new()),
                fallback: Some(Vec::new()),
                ..Global::default()
            },
            delegates: Some(Vec::new()),
            resolve_unicast_single_label: Some(false),
            read_etc_hosts: Some(true),
            hosts: Some(Vec::new()),
            ..HostFacts::unknown()
        }
    }

    /// Reads recorded facts.
    ///
    /// # Errors
    /// [`FactsError`]; another layout is told as such, whatever else is in it.
    pub fn from_json(text: &str) -> Result<HostFacts, FactsError> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version != u64::from(HostFacts::VERSION) => Err(FactsError::Version(version)),
            _ => Ok(serde_json::from_value(value)?),
        }
    }

    /// As [`HostFacts::from_json`] reads it, with each unknown fact as `null`.
    pub fn to_json(&self) -> serde_json::Value {
        // No map keys but strings and no foreign serialiser inside: this cannot fail.
        serde_json::to_value(self).unwrap_or(serde_json::Value::Null)
    }
}

/// The global scope of resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Global {
    /// `DNS=` of all files together, or what was imported.
    #[serde(default)]
    pub servers: Option<Vec<DnsServer>>,
    /// The server in use, where there is one and it is known.
    #[serde(default)]
    pub current: Option<DnsServer>,
    /// `Domains=` of all files together.
    #[serde(default)]
    pub domains: Option<Vec<RoutedDomain>>,
    /// `FallbackDNS=`, or those compiled in.
    #[serde(default)]
    pub fallback: Option<Vec<DnsServer>>,
    /// Whether the server in use is a fallback one: it stays in use after the reason has gone.
    #[serde(default)]
    pub fallback_in_use: Option<bool>,
    /// Whether the servers come from a foreign /etc/resolv.conf.
    #[serde(default)]
    pub imported: Option<bool>,
    /// Modes that links without their own take.
    #[serde(flatten)]
    pub modes: Modes,
}

/// Modes of a scope in resolved's words (`no`, `yes`, `allow-downgrade`, `opportunistic`, `resolve`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Modes {
    /// `DNSSEC=`.
    #[serde(default)]
    pub dnssec: Option<String>,
    /// `DNSOverTLS=`.
    #[serde(default)]
    pub dns_over_tls: Option<String>,
    /// `MulticastDNS=`.
    #[serde(default)]
    pub mdns: Option<String>,
    /// `LLMNR=`.
    #[serde(default)]
    pub llmnr: Option<String>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The kernel's number; another after the link is made anew.
    pub ifindex: u32,
    /// The name.
    pub name: String,
    /// `veth`, `bridge`, `wireguard` …; empty for plain hardware.
    #[serde(default)]
    pub kind: Option<String>,
    /// What decides whether resolved uses it at all.
    #[serde(flatten)]
    pub state: LinkState,
    /// Who configures it.
    #[serde(default)]
    pub managed_by: Manager,
    /// The file that configures it: the `.network` file that networkd chose, or that of interfaces(5) with its stanza.
    #[serde(default)]
    pub network_file: Option<String>,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Option<Vec<LinkAddress>>,
    /// Its DNS servers.
    #[serde(default)]
    pub servers: Option<Vec<DnsServer>>,
    /// The server in use, where there is one and it is known.
    #[serde(default)]
    pub current: Option<DnsServer>,
    /// Its domains, in order.
    #[serde(default)]
    pub domains: Option<Vec<RoutedDomain>>,
    /// The setting of its default route.
    #[serde(default)]
    pub default_route: DefaultRoute,
    /// What D-Bus shows as `DefaultRoute`: the setting or what resolved makes of none.
    #[serde(default)]
    pub default_route_effective: Option<bool>,
    /// `ScopesMask`; bit 0 says that resolved has a unicast DNS scope here.
    #[serde(default)]
    pub scopes_mask: Option<u64>,
    /// Its modes.
    #[serde(flatten)]
    pub modes: Modes,
    /// What of `dnssec`, `dnsOverTls` and `ntas` was set on the link itself and does not follow the host, by resolved's memory.
    #[serde(default)]
    pub told: Option<Vec<String>>,
}

/// The kernel's and networkd's states of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkState {
    /// IFF_LOOPBACK.
    #[serde(default)]
    pub loopback: Option<bool>,
    /// IFF_UP.
    #[serde(default)]
    pub up: Option<bool>,
    /// IFF_LOWER_UP.
    #[serde(default)]
    pub carrier: Option<bool>,
    /// RFC 2863 in the kernel's words: `up`, `unknown`, `dormant`, `down` …
    #[serde(default)]
    pub operstate: Option<String>,
    /// networkd's `OPER_STATE`, where networkd manages the link.
    #[serde(default)]
    pub networkd_operstate: Option<String>,
}

/// Who configures a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Manager {
    /// Could not be found out.
    #[default]
    Unknown,
    /// Neither of those below.
    None,
    /// systemd-networkd.
    Networkd,
    /// NetworkManager.
    NetworkManager,
    /// ifupdown with Debian's resolved hook.
    Ifupdown,
    /// ifupdown2 (Proxmox), which has no DNS settings.
    Ifupdown2,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkAddress {
    /// The address.
    pub address: std::net::IpAddr,
    /// Bits of the subnet.
    pub prefix: u8,
    /// The kernel's scope.
    #[serde(default)]
    pub scope: AddressScope,
    /// Deprecated or still tentative: does not count.
    #[serde(default)]
    pub unusable: bool,
}

/// The kernel's scope of an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AddressScope {
    /// RT_SCOPE_UNIVERSE.
    #[default]
    Global,
    /// RT_SCOPE_SITE.
    Site,
    /// RT_SCOPE_LINK.
    Link,
    /// RT_SCOPE_HOST.
    Host,
}

/// A link's setting of its default route. D-Bus cannot tell the automatic from the explicit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DefaultRoute {
    /// Could not be found out.
    #[default]
    Unknown,
    /// Not set: `no` as soon as the link has a routing domain other than the root.
    Automatic,
    /// Set to yes.
    Yes,
    /// Set to no.
    No,
}

/// One `dns-delegate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delegate {
    /// The file's name without its end.
    pub id: String,
    /// `DNS=`.
    #[serde(default)]
    pub servers: Option<Vec<DnsServer>>,
    /// The server in use, where there is one and it is known.
    #[serde(default)]
    pub current: Option<DnsServer>,
    /// `Domains=`.
    #[serde(default)]
    pub domains: Option<Vec<RoutedDomain>>,
    /// `DefaultRoute=`; no where the file does not say.
    #[serde(default)]
    pub default_route: Option<bool>,
    /// `FirewallMark=` (from 260).
    #[serde(default)]
    pub firewall_mark: Option<u32>,
}

impl Link {
    /// The number of a link that is not there: facts are completed by what was known of it.
    pub const AWAY: u32 = 0;

    /// Whether it is known from before alone.
    pub fn is_away(&self) -> bool {
        self.ifindex == Link::AWAY
    }
}

impl HostFacts {
    /// The host's name as a domain name, where it is one.
    pub fn own_name(&self) -> Option<Name> {
        self.hostname.as_deref().and_then(|name| Name::parse(name).ok()).filter(|name| !name.is_root())
    }

    /// What this host is called in `hosts` of a policy, in lower case: its name as the kernel has it, the first label of that,
    /// and names of it with a domain that /etc/hosts tells beside it (what `hostname -f` says without asking anybody).
    /// `None` where its name is not known.
    pub fn names(&self) -> Option<Vec<String>> {
        let own = self.hostname.as_deref()?.trim_end_matches('.').to_lowercase();
        let short = own.split('.').next().unwrap_or_default().to_owned();
        let mut all = vec![own.clone(), short.clone()];
        for line in self.hosts.iter().flatten() {
            let names: Vec<String> = line.names.iter().map(|name| name.to_lowercase()).collect();
            let is_long = |name: &String| name.strip_prefix(&short).is_some_and(|rest| rest.starts_with('.'));
            if names.contains(&own) || names.contains(&short) {
                all.extend(names.into_iter().filter(is_long));
            }
        }
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    /// The link of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.as_deref().unwrap_or_default().iter().find(|link| link.name == name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_stays_unknown() {
        let facts = HostFacts::from_json(r#"{"version":1}"#).unwrap();
        assert_eq!(facts, HostFacts::unknown());
        assert!(facts.to_json()["links"].is_null());
        let empty = HostFacts::from_json(r#"{"version":1,"links":[]}"#).unwrap();
        assert_eq!(empty.links, Some(Vec::new()));
    }

    #[test]
    fn facts_come_back_as_they_were_written() {
        let text = r#"{"version":1,"hostname":"chief-horse","systemd":252,
            "links":[{"ifindex":2,"name":"vmbr0","up":true,"carrier":true,"operstate":"up","managedBy":"ifupdown2",
                "addresses":[{"address":"192.168.4.2","prefix":24}],"servers":["192.168.4.53%vmbr0"],
                "domains":["~maas","lab.example"],"defaultRoute":"no","dnssec":"no"}],
            "global":{"servers":[],"fallback":["1.1.1.1"],"dnsOverTls":"no"},
            "hosts":[{"address":"192.168.4.2","names":["chief-horse"]}]}"#;
        let facts = HostFacts::from_json(text).unwrap();
        let link = facts.link("vmbr0").unwrap();
        assert_eq!(link.default_route, DefaultRoute::No);
        assert_eq!(link.modes.dnssec.as_deref(), Some("no"));
        assert_eq!(facts.global.modes.dns_over_tls.as_deref(), Some("no"));
        assert_eq!(HostFacts::from_json(&facts.to_json().to_string()).unwrap(), facts);
    }

    #[test]
    fn another_layout_is_told_as_such() {
        let error = HostFacts::from_json(r#"{"version":2,"linkz":1}"#).unwrap_err();
        assert_eq!(error.to_string(), "facts of layout 2; this knotwork reads layout 1: record them again with it");
        assert!(matches!(HostFacts::from_json(r#"{"version":1,"linkz":1}"#), Err(FactsError::Shape(_))));
        assert!(matches!(HostFacts::from_json("{}"), Err(FactsError::Shape(_))));
    }

    #[test]
    fn a_host_has_its_own_names_and_no_others() {
        let mut facts = HostFacts { hostname: Some("Chief-Horse".into()), ..HostFacts::bare(SystemdVersion(257)) };
        assert_eq!(facts.names().unwrap(), ["chief-horse"]);
        let hosts = r#"[{"address":"127.0.1.1","names":["chief-horse.lab","chief-horse","pbs.lab"]},{"address":"::1","names":["localhost"]},
            {"address":"10.0.0.9","names":["chief-horse2.lab"]}]"#;
        facts.hosts = Some(serde_json::from_str(hosts).unwrap());
        assert_eq!(facts.names().unwrap(), ["chief-horse", "chief-horse.lab"]);
        // A name that stands beside the short one is its own, too.
        facts.hostname = Some("chief-horse.other.example.".into());
        assert_eq!(facts.names().unwrap(), ["chief-horse", "chief-horse.lab", "chief-horse.other.example"]);
        facts.hostname = None;
        assert_eq!(facts.names(), None);
    }
}
