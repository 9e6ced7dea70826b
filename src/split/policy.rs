//! A policy as it is meant: names, addresses and modes instead of the texts of a manifest. `spec` makes it of a
//! `SplitDNSPolicy`; [`merge`](super::lower_merge::merge) puts several together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::DnsServer;
pub use super::policy_reverse::Prefix;
use super::server::unusual;
use crate::model::{Name, RrType};

/// The name of the `SplitDNSPolicy` that something comes from.
pub type Origin = Arc<str>;

/// Reads `ip[:port][%ifname][#sni]` as strictly as the CRD: an IPv6 address stands in brackets just when a port follows.
///
/// # Errors
/// What is wrong, in words.
pub fn parse_server(text: &str) -> Result<DnsServer, String> {
    let (rest, name) = match text.split_once('#') {
        Some((rest, name)) => (rest, Some(name)),
        None => (text, None),
    };
    let (rest, interface) = match rest.split_once('%') {
        Some((rest, interface)) => (rest, Some(interface)),
        None => (rest, None),
    };
    let bad = || {
        format!(
            "\"{text}\" is not a server: an IP address, then as needed :port, %interface and #name-in-its-certificate \
             (192.168.4.53, 192.168.4.53:5353%eth0, [fd00::53]:853#dns.example)"
        )
    };
    let (address, port) = if let Ok(address) = rest.parse::<IpAddr>() {
        (address, None)
    } else if let Some(inner) = rest.strip_prefix('[') {
        let (address, port) = inner.split_once("]:").ok_or_else(bad)?;
        (IpAddr::V6(address.parse().map_err(|_| bad())?), Some(port))
    } else {
        let (address, port) = rest.split_once(':').ok_or_else(bad)?;
        (IpAddr::V4(address.parse().map_err(|_| bad())?), Some(port))
    };
    let port = port.map(|port| match port.parse::<u16>() {
        Ok(number) if number > 0 && !port.starts_with(['0', '+']) => Ok(unusual(number)),
        _ => Err(format!("\"{port}\" is no port; expected 1 to 65535")),
    });
    let port = port.transpose()?.flatten();
    if let Some(name) = interface
        && !is_interface(name)
    {
        return Err(format!("\"{name}\" is no interface name: at most 15 characters, no blank, '/' or ':'"));
    }
    if let Some(name) = name
        && !is_host(name)
    {
        return Err(format!("\"{name}\" after '#' is no name that a certificate could carry"));
    }
    if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(format!("{address} is an IPv4 address in IPv6 clothes; write {}", address.to_canonical()));
    }
    if address.is_unspecified() || matches!(address.to_string().as_str(), "127.0.0.53" | "127.0.0.54") {
        return Err(format!("{address} is systemd-resolved itself, or nobody: a server of its own is needed"));
    }
    if is_link_local6(address) && interface.is_none() {
        return Err(format!("{address} is link-local and says nothing without its interface: {address}%eth0"));
    }
    let own = |text: &str| text.to_owned();
    Ok(DnsServer { address, port, interface: interface.map(own), name: name.map(own) })
}

/// Whether both are one place to ask: address and port. What leads there, or which name the certificate must carry,
/// changes how it is asked, not who is.
pub fn is_same_place(one: &DnsServer, other: &DnsServer) -> bool {
    one.address == other.address && one.port.unwrap_or(53) == other.port.unwrap_or(53)
}

fn is_link_local6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.segments()[0] & 0xffc0 == 0xfe80)
}

/// Whether the kernel takes it for an interface (`dev_valid_name`) and resolved's `%` syntax can carry it.
pub fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && name.bytes().all(|b| b.is_ascii_graphic() && !b"/:%#".contains(&b))
}

/// Letters, digits, dashes and underscores in labels.
pub fn is_host(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

/// A whole policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// Its name.
    pub name: Origin,
    /// Higher wins.
    pub priority: i32,
    /// When the object was made, seconds since the epoch; `None` in files, where only the name decides.
    pub created: Option<i64>,
    /// Machines outside the cluster.
    pub hosts: Vec<String>,
    /// Nodes by label; `None` selects none.
    pub nodes: Option<NodeSelector>,
    /// Which domains go to which servers.
    pub routes: Vec<Route>,
    /// Wishes about interfaces.
    pub links: Vec<Link>,
    /// The settings of the host as a whole.
    pub global: Global,
    /// What `/etc/resolv.conf` leads to.
    pub resolv_conf: Option<ResolvConf>,
    /// DHCP clients and other writers to keep off; `true` is "On".
    pub protect: BTreeMap<Writer, bool>,
    /// Lines of the block in `/etc/hosts`.
    pub hosts_file: Vec<HostLine>,
    /// Whether the `hosts:` line of nsswitch.conf is ours.
    pub nsswitch: Option<bool>,
    /// What must resolve before the change counts as good.
    pub probes: Vec<Probe>,
    /// Lint rules that the policy lives with.
    pub allow: BTreeSet<String>,
    /// How it goes out to many hosts.
    pub rollout: Rollout,
    /// Whether its end puts back what was there before; by default it does.
    pub keep_on_delete: bool,
}

impl Policy {
    /// Whether it counts on a host of these names. Without `hosts` it says nothing of machines outside a cluster, and whoever
    /// gives it to one means it there; a host whose name is not known is taken for the one that is meant.
    pub fn is_for(&self, names: Option<&[String]>) -> bool {
        let is_named = |host: &String| {
            let host = host.trim_end_matches('.').to_lowercase();
            names.is_none_or(|names| names.contains(&host))
        };
        self.hosts.is_empty() || self.hosts.iter().any(is_named)
    }
}

/// A Kubernetes label selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSelector {
    /// Every one of them must be there.
    pub labels: BTreeMap<String, String>,
    /// Every one of them must hold: key, operator (`In`, `NotIn`, `Exists`, `DoesNotExist`), values.
    pub expressions: Vec<(String, String, Vec<String>)>,
}

/// Domains and who is asked for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name in the policy.
    pub name: String,
    /// The domains, each with all below it; the root is everything.
    pub domains: Vec<Name>,
    /// Address ranges whose reverse zones go there too.
    pub reverse_for: Vec<Prefix>,
    /// Alternatives of each other.
    pub servers: Vec<DnsServer>,
    /// Nobody else is ever asked.
    pub fail_closed: bool,
}

impl Route {
    /// Every domain: those given and those of the address ranges, each once.
    pub fn all_domains(&self) -> Vec<Name> {
        let mut all = self.domains.clone();
        for zone in self.reverse_for.iter().flat_map(Prefix::zones) {
            if !all.contains(&zone) {
                all.push(zone);
            }
        }
        all
    }
}

/// Which interfaces are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkMatch {
    /// This one.
    Name(String),
    /// Those that a shell pattern fits (`*`, `?`, `[a-z]`).
    Glob(String),
    /// Those with an address in this range.
    Address(Prefix),
}

impl LinkMatch {
    /// Whether an interface of this name with these addresses is meant.
    pub fn is_met(&self, name: &str, addresses: &[IpAddr]) -> bool {
        match self {
            LinkMatch::Name(wanted) => wanted == name,
            LinkMatch::Glob(pattern) => glob(pattern.as_bytes(), name.as_bytes()),
            LinkMatch::Address(range) => addresses.iter().any(|address| range.contains(*address)),
        }
    }
}

impl fmt::Display for LinkMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkMatch::Name(name) => write!(f, "{name}"),
            LinkMatch::Glob(pattern) => write!(f, "{pattern}"),
            LinkMatch::Address(range) => write!(f, "with an address in {range}"),
        }
    }
}

/// fnmatch(3) without escapes: `*`, `?`, `[abc]`, `[a-z]`, `[!x]`. Linear in both but for sets.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            None if t == text.len() => return true,
            None => None,
            Some(b'?') => (t < text.len()).then_some(p + 1),
            Some(b'[') => match (pattern[p + 1..].iter().skip(1).position(|b| *b == b']'), text.get(t)) {
                (Some(end), Some(byte)) => {
                    let set = &pattern[p + 1..p + 2 + end];
                    in_set(set, *byte).then_some(p + 3 + end)
                }
                _ => None,
            },
            Some(wanted) => (text.get(t) == Some(wanted)).then_some(p + 1),
        };
        match (step, star) {
            (Some(next), _) => (p, t) = (next, t + 1),
            // The last star takes one character more.
            (None, Some((after, from))) if from < text.len() => {
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            (None, _) => return false,
        }
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (set, negated) = match set.split_first() {
        Some((b'!' | b'^', rest)) if !rest.is_empty() => (rest, true),
        _ => (set, false),
    };
    let mut found = false;
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == b'-' {
            found |= (set[at]..=set[at + 2]).contains(&byte);
            at += 3;
        } else {
            found |= set[at] == byte;
            at += 1;
        }
    }
    found != negated
}

/// What an interface is for, as systemd's document of resolved and VPNs has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkKind {
    /// Its own domains only.
    Corporate,
    /// Everything goes there.
    Privacy,
    /// An ordinary network: asked for what nobody else is for.
    #[default]
    Regular,
    /// Asked only for the domains given here; announced ones and LLMNR, mDNS are off.
    Untrusted,
}

/// A wish about an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name in the policy.
    pub name: String,
    /// Which interfaces.
    pub matches: LinkMatch,
    /// What it is for.
    pub kind: LinkKind,
    /// Its servers; `None` leaves those it has.
    pub servers: Option<Vec<DnsServer>>,
    /// Its domains.
    pub domains: Vec<Name>,
    /// Whether the domains are also search domains.
    pub search: bool,
    /// Whether it is asked for names that no domain covers; by default what its kind says.
    pub default_route: Option<bool>,
    /// Protocol modes.
    pub modes: Modes,
}

impl Link {
    /// Whether it is asked for names that no domain covers.
    pub fn is_default_route(&self) -> bool {
        self.default_route.unwrap_or(matches!(self.kind, LinkKind::Privacy | LinkKind::Regular))
    }
}

/// Modes of the protocol, global or of one link. `None` leaves what is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Modes {
    /// DNSSEC validation.
    pub dnssec: Option<Dnssec>,
    /// DNS over TLS.
    pub dns_over_tls: Option<DnsOverTls>,
    /// Multicast DNS.
    pub mdns: Option<Multicast>,
    /// LLMNR.
    pub llmnr: Option<Multicast>,
}

/// `DNSSEC=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dnssec {
    /// Validate, and refuse what fails.
    On,
    /// Do not validate.
    Off,
    /// Validate where the server can.
    AllowDowngrade,
}

/// `DNSOverTLS=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DnsOverTls {
    /// Only so, certificates checked.
    On,
    /// Never.
    Off,
    /// Where the server can; certificates are not checked.
    Opportunistic,
}

/// `MulticastDNS=`, `LLMNR=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Multicast {
    /// Ask and answer.
    On,
    /// Neither.
    Off,
    /// Ask only.
    Resolve,
}

/// The settings of the host as a whole. `None` leaves what is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Global {
    /// `DNS=`.
    pub servers: Option<Vec<DnsServer>>,
    /// `Domains=`, as routing domains.
    pub domains: Option<Vec<Name>>,
    /// `FallbackDNS=`.
    pub fallback_servers: Option<Vec<DnsServer>>,
    /// `DNSSEC=`, `DNSOverTLS=`, `MulticastDNS=`, `LLMNR=`.
    pub modes: Modes,
    /// `Cache=`.
    pub cache: Option<Cache>,
    /// `DNSStubListener=`.
    pub stub_listener: Option<StubListener>,
    /// `DNSStubListenerExtra=`: `[udp:|tcp:]address[:port]`.
    pub extra_listeners: Option<Vec<String>>,
}

/// `Cache=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cache {
    /// Keep answers.
    On,
    /// Keep nothing.
    Off,
    /// Keep only positive answers.
    NoNegative,
}

/// `DNSStubListener=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StubListener {
    /// UDP and TCP.
    On,
    /// Neither.
    Off,
    /// Only UDP.
    Udp,
    /// Only TCP.
    Tcp,
}

/// What `/etc/resolv.conf` leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolvConf {
    /// resolved's stub.
    Stub,
    /// The list of upstream servers; split domains are not in it.
    Uplink,
    /// Whatever is there.
    Unmanaged,
}

/// Programs that write `/etc/resolv.conf` or link settings by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    /// ISC's DHCP client.
    Dhclient,
    /// dhcpcd.
    Dhcpcd,
    /// NetworkManager.
    NetworkManager,
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLine {
    /// The address.
    pub address: IpAddr,
    /// Its names, the canonical one first.
    pub names: Vec<String>,
}

/// A lookup that must succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its name in the policy.
    pub name: String,
    /// What is asked.
    pub query: Name,
    /// Of which type; `None` is addresses of either family.
    pub rtype: Option<RrType>,
    /// All of these must be in the answer; with none, any answer will do.
    pub addresses: Vec<IpAddr>,
}

/// How a policy goes out to many hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// Hosts that go first.
    pub canaries: u32,
    /// Hosts that may be in a change at once.
    pub max_unavailable: Share,
}

impl Default for Rollout {
    fn default() -> Rollout {
        Rollout { canaries: 1, max_unavailable: Share::Percent(25) }
    }
}

/// A number of hosts, or a part of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Hosts(u32),
    /// So many of a hundred, rounded up, at least one.
    Percent(u8),
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn servers_there_and_back() {
        for text in [
            "192.168.4.53",
            "192.168.4.53:5353",
            "192.168.4.53%eth0",
            "192.168.4.53:5353%eth0#dns.example",
            "fd00::53",
            "fd00::53#dns.example",
            "[fd00::53]:8853%wg0#dns.example",
            "fe80::1%eth0",
        ] {
            assert_eq!(parse_server(text).unwrap().to_string(), text);
        }
        assert_eq!(parse_server("[fd00::53]:853#dns.example").unwrap().to_string(), "fd00::53#dns.example");
        assert_eq!(parse_server("192.168.4.53:53"), parse_server("192.168.4.53"));
        for (text, word) in [
            ("", "is not a server"),
            ("dns.maas", "is not a server"),
            ("192.168.4.300", "is not a server"),
            ("fd00::53:", "is not a server"),
            ("[fd00::53]", "is not a server"),
            ("[192.168.4.53]:53", "is not a server"),
            ("192.168.4.53:0", "is no port"),
            ("192.168.4.53:65536", "is no port"),
            ("192.168.4.53:+53", "is no port"),
            ("192.168.4.53%", "is no interface"),
            ("192.168.4.53%a/b", "is no interface"),
            ("192.168.4.53#", "is no name"),
            ("192.168.4.53#a b", "is no name"),
            ("0.0.0.0", "nobody"),
            ("::", "nobody"),
            ("127.0.0.53", "itself"),
            ("fe80::1", "link-local"),
            ("::ffff:10.0.0.1", "write 10.0.0.1"),
        ] {
            let said = parse_server(text).unwrap_err();
            assert!(said.contains(word), "{text}: {said}");
        }
    }

    #[test]
    fn globs_as_a_shell_reads_them() {
        for (pattern, text, fits) in [
            ("eth*", "eth0", true),
            ("eth*", "veth0", false),
            ("*", "", true),
            ("e?p[0-9]s0", "enp3s0", true),
            ("e?p[!0-9]s0", "enp3s0", false),
            ("*th*0", "eth10", true),
            ("*th*0", "eth1", false),
            ("[ab]*b", "axxbxb", true),
            ("[", "[", false),
            ("[]]x", "]x", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }
}
