//! Proxmox containers that copy the host's DNS settings when they start.

use super::Work;
use crate::split::HostFacts;
use crate::split::facts::Proxmox;

const CONTAINERS: &str = "/etc/pve/lxc";

pub(super) fn gather(work: &mut Work, facts: &mut HostFacts) {
    // pmxcfs mounts it; without it this is no Proxmox host (or its cluster file system is down).
    if !work.files.exists("/etc/pve") {
        return;
    }
    let listed = work.files.list(CONTAINERS);
    let names = work.file("Proxmox containers", listed);
    let containers = names.and_then(|names| {
        let mut copying = Vec::new();
        for name in names {
            let Some(id) = name.strip_suffix(".conf").and_then(|id| id.parse::<u32>().ok()) else { continue };
            // One may be destroyed in between.
            let read = work.files.text_if_there(&format!("{CONTAINERS}/{name}"));
            if let Some(text) = work.file("Proxmox containers", read)?
                && copies_host_dns(&text)
            {
                copying.push(id);
            }
        }
        copying.sort_unstable();
        Some(copying)
    });
    facts.proxmox = Some(Proxmox { containers_on_host_dns: containers });
}

/// Whether a container of these settings takes the host's name servers: none of its own, and a kind that is set up at all.
fn copies_host_dns(text: &str) -> bool {
    // What follows the first section head belongs to snapshots.
    let current = text.lines().map(str::trim_end).take_while(|line| !line.starts_with('['));
    let mut pairs = current.filter_map(|line| line.split_once(':')).map(|(key, value)| (key.trim(), value.trim()));
    !pairs.any(|(key, value)| (key == "nameserver" && !value.is_empty()) || (key == "ostype" && value == "unmanaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_without_a_nameserver_copies_the_hosts() {
        let base = "arch: amd64\nhostname: web\nostype: debian\nrootfs: local:100\n";
        assert!(copies_host_dns(base));
        assert!(copies_host_dns(&format!("{base}\n[before]\nnameserver: 1.1.1.1\n")));
        assert!(!copies_host_dns(&format!("{base}nameserver: 192.168.4.53")));
        assert!(!copies_host_dns(&format!("{base}nameserver: 192.168.4.53\r\n").replace("\nrootfs", "\r\nrootfs")));
        assert!(!copies_host_dns("ostype: unmanaged\n"));
        assert!(copies_host_dns("#nameserver: 1.1.1.1\nsearchdomain: lab\nnameserver:\n\u{fffd}\0"));
    }
}
