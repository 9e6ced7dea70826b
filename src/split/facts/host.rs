//! Facts beside resolved's scopes: files, units, listeners, and who inherits what.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::split::RoutedDomain;

/// A line of /etc/hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostsLine {
    /// The address.
    pub address: IpAddr,
    /// The names, as written.
    pub names: Vec<String>,
}

/// The `hosts:` line of /etc/nsswitch.conf and what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Nss {
    /// What stands behind `hosts:`.
    pub hosts: String,
    /// Whether libnss_resolve.so.2 is there.
    #[serde(default)]
    pub resolve_module: Option<bool>,
}

impl Nss {
    /// The modules in order, without their `[…]` actions.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        let mut inside = false;
        self.hosts.split_whitespace().filter(move |word| {
            let was_inside = inside;
            if word.starts_with('[') {
                inside = true;
            }
            let action = was_inside || inside;
            if word.ends_with(']') {
                inside = false;
            }
            !action
        })
    }
}

/// /etc/resolv.conf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolvConf {
    /// What it is.
    #[serde(default)]
    pub kind: FileKind,
    /// Where the link points, as written.
    #[serde(default)]
    pub target: Option<String>,
    /// What resolved takes it for (`ResolvConfMode`).
    #[serde(default)]
    pub mode: Option<ResolvConfMode>,
    /// Whose words are in it, whatever it is.
    #[serde(default)]
    pub content: Content,
    /// Its `nameserver` lines.
    #[serde(default)]
    pub servers: Option<Vec<IpAddr>>,
    /// Its search list.
    #[serde(default)]
    pub search: Option<Vec<RoutedDomain>>,
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileKind {
    /// Could not be read.
    #[default]
    Unknown,
    /// Nothing.
    Absent,
    /// A regular file.
    File,
    /// A symbolic link whose target is there.
    Symlink,
    /// A symbolic link to nothing.
    Dangling,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// `ResolvConfMode` of resolved (from 247).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResolvConfMode {
    /// The stub file.
    Stub,
    /// The file with the upstream servers.
    Uplink,
    /// The shipped static file.
    Static,
    /// Somebody else's.
    Foreign,
    /// None there.
    Missing,
}

impl ResolvConfMode {
    /// resolved's word.
    pub fn word(self) -> &'static str {
        match self {
            ResolvConfMode::Stub => "stub",
            ResolvConfMode::Uplink => "uplink",
            ResolvConfMode::Static => "static",
            ResolvConfMode::Foreign => "foreign",
            ResolvConfMode::Missing => "missing",
        }
    }
}

/// Whose words a resolv.conf holds: the link may be right and the words not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// Could not be read.
    #[default]
    Unknown,
    /// resolved's stub.
    Stub,
    /// resolved's list of upstream servers.
    Uplink,
    /// The static file shipped with systemd.
    Static,
    /// dhclient's.
    Dhclient,
    /// dhcpcd's.
    Dhcpcd,
    /// NetworkManager's.
    NetworkManager,
    /// resolvconf's or openresolv's.
    Resolvconf,
    /// Anybody else's.
    Other,
}

impl Content {
    /// Whether it is what resolved, or systemd's package, writes.
    pub fn is_resolveds(self) -> bool {
        matches!(self, Content::Stub | Content::Uplink | Content::Static)
    }

    /// As JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Content::Unknown => "unknown",
            Content::Stub => "stub",
            Content::Uplink => "uplink",
            Content::Static => "static",
            Content::Dhclient => "dhclient",
            Content::Dhcpcd => "dhcpcd",
            Content::NetworkManager => "networkManager",
            Content::Resolvconf => "resolvconf",
            Content::Other => "other",
        }
    }
}

/// States of units that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Services {
    /// Whether PID 1 is systemd.
    #[serde(default)]
    pub systemd: Option<bool>,
    /// systemd-resolved.service.
    #[serde(default)]
    pub resolved: Option<UnitState>,
    /// systemd-networkd.service.
    #[serde(default)]
    pub networkd: Option<UnitState>,
    /// NetworkManager.service.
    #[serde(default)]
    pub network_manager: Option<UnitState>,
    /// The process that owns `org.freedesktop.resolve1`; empty when nobody does.
    #[serde(default)]
    pub resolver_owner: Option<String>,
}

/// A unit in systemd's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnitState {
    /// `LoadState`: `loaded`, `not-found`, `masked` …
    pub load: String,
    /// `ActiveState`.
    #[serde(default)]
    pub active: Option<String>,
    /// `UnitFileState`.
    #[serde(default)]
    pub file: Option<String>,
}

/// A program that listens on port 53.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// `udp` or `tcp`.
    pub protocol: String,
    /// The program, where it is known.
    #[serde(default)]
    pub program: Option<String>,
}

/// A path that a mechanism would write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchedFile {
    /// The path on the host.
    pub path: String,
    /// What lies there.
    #[serde(default)]
    pub kind: FileKind,
    /// Where a link points, as written.
    #[serde(default)]
    pub target: Option<String>,
    /// `false` where it could surely not be replaced: its directory is read-only, by its bits or its mount. Else only trying
    /// would tell.
    #[serde(default)]
    pub writable: Option<bool>,
    /// Made by a generator (NixOS, ostree, authselect); named.
    #[serde(default)]
    pub generated_by: Option<String>,
    /// SHA-256 of the content, in hexadecimal.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The policy that our mark names, where it carries one.
    #[serde(default)]
    pub ours: Option<String>,
}

/// What the kubelet hands to pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kubelet {
    /// `kubelet`, `k3s` or `rke2`.
    #[serde(default)]
    pub flavour: Option<String>,
    /// The effective `resolvConf`.
    #[serde(default)]
    pub resolv_conf: Option<String>,
    /// Host names in its kubeconfig and of its registries, which it must always resolve.
    #[serde(default)]
    pub needs: Option<Vec<String>>,
}

/// A Proxmox host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proxmox {
    /// Containers without their own `nameserver`, which copy the host's at start.
    #[serde(default)]
    pub containers_on_host_dns: Option<Vec<u32>>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Nss;

    #[test]
    fn actions_are_no_modules() {
        let nss = |hosts: &str| Nss { hosts: hosts.into(), resolve_module: None };
        let of = |hosts: &str| nss(hosts).modules().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(of("files resolve [!UNAVAIL=return] dns"), ["files", "resolve", "dns"]);
        assert_eq!(
            of("mymachines resolve [ !UNAVAIL=return SUCCESS=return ] files"),
            ["mymachines", "resolve", "files"]
        );
        assert_eq!(of(""), Vec::<String>::new());
    }
}
