//! Where everything lies on a host.

/// How the names of our own files begin.
pub const PREFIX: &str = "50-knotwork";

/// The directory of delegates (from systemd 258).
pub const DELEGATES: &str = "/etc/systemd/dns-delegate.d";
/// Drop-ins of resolved.conf.
pub const RESOLVED_CONF_D: &str = "/etc/systemd/resolved.conf.d";
/// Ours among them.
pub const RESOLVED_CONF: &str = "/etc/systemd/resolved.conf.d/50-knotwork.conf";
/// Where networkd's files are ours to complete.
pub const NETWORK: &str = "/etc/systemd/network";
/// Read by dhclient-script through `run-parts --list`: with a dot in its name it would be passed over.
pub const DHCLIENT_HOOK: &str = "/etc/dhcp/dhclient-enter-hooks.d/knotwork";
/// Debian 13's own, which hands a lease's servers to resolved.
pub const DHCLIENT_EXIT: &str = "/etc/dhcp/dhclient-exit-hooks.d/resolved";
/// A drop-in of NetworkManager.conf.
pub const NETWORK_MANAGER: &str = "/etc/NetworkManager/conf.d/50-knotwork.conf";
/// Applies again at boot what only lives in resolved's memory.
pub const BOOT_UNIT: &str = "/etc/systemd/system/knotwork-host.service";
/// What makes systemd start it.
pub const BOOT_WANTS: &str = "/etc/systemd/system/multi-user.target.wants/knotwork-host.service";
/// The program that the boot unit runs: the copy that a transaction left (a link to `bin/<sha256>`).
pub const BOOT_PROGRAM: &str = "/var/lib/knotwork/bin/knotwork";
/// Debian's hook of ifupdown; whether it is there and works decides whether `dns-` lines do anything.
pub const IFUPDOWN_HOOK: &str = "/etc/network/if-up.d/resolved";
/// Ours beside it, for links that are set over D-Bus; by its name it runs last.
pub const IF_UP: &str = "/etc/network/if-up.d/zz-knotwork";

/// What is gone with the next boot; nobody asks for it back.
pub const VOLATILE: &str = "/run/";

/// The file that programs without resolved's help read.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// resolved's own files, to one of which that one leads.
pub const RESOLVED_FILES: [&str; 2] = ["/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// Names and addresses of the host's own.
pub const HOSTS: &str = "/etc/hosts";
/// Where glibc looks for names.
pub const NSSWITCH: &str = "/etc/nsswitch.conf";
/// ifupdown's interfaces.
pub const INTERFACES: &str = "/etc/network/interfaces";
/// dhcpcd's settings, which tell that it is installed; never changed.
pub const DHCPCD: &str = "/etc/dhcpcd.conf";
/// Sourced by dhcpcd-run-hooks before its own hooks.
pub const DHCPCD_HOOK: &str = "/etc/dhcpcd.enter-hook";

/// Our files with one path each.
pub const OWN: &[&str] = &[RESOLVED_CONF, DHCLIENT_HOOK, NETWORK_MANAGER, IF_UP, BOOT_UNIT, BOOT_WANTS];
/// Files of others in which a part may be ours.
pub const SHARED: &[&str] = &[HOSTS, NSSWITCH, INTERFACES, DHCPCD_HOOK];

/// Of a delegate.
pub fn delegate(id: &str) -> String {
    format!("{DELEGATES}/{id}.dns-delegate")
}

/// The directory of drop-ins of a `.network` file, wherever that lies; `None` where the path has no name.
pub fn network_dir(network_file: &str) -> Option<String> {
    let name = network_file.rsplit('/').next().filter(|name| name.ends_with(".network"))?;
    Some(format!("{NETWORK}/{name}.d"))
}

/// Our drop-in of a `.network` file.
pub fn network(network_file: &str) -> Option<String> {
    Some(format!("{}/{PREFIX}.conf", network_dir(network_file)?))
}

/// What Debian's hook of ifupdown remembers of a link's `dns-` lines, by family of addresses.
pub fn ifupdown_memory(link: &str) -> [String; 2] {
    ["inet", "inet6"].map(|family| format!("{VOLATILE}network/ifupdown-{family}-{link}"))
}

/// The directory and the name.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Whether an entry of this name in this directory would be ours by its name.
pub fn is_own(path: &str) -> bool {
    let (dir, name) = split(path);
    let watched =
        dir == DELEGATES || dir == RESOLVED_CONF_D || (dir.ends_with(".network.d") && split(dir).0 == NETWORK);
    OWN.contains(&path) || (watched && name.starts_with(PREFIX))
}
