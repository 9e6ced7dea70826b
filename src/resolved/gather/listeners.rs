//! Programs other than resolved that listen on port 53, from the kernel's tables.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Work;
use super::global::extra_listeners;
use crate::resolved::conf::Section;
use crate::split::HostFacts;
use crate::split::facts::Listener;

const PORT: u16 = 53;

/// A socket of the kernel's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

pub(super) fn gather(work: &mut Work, facts: &mut HostFacts, conf: Option<&Section>) {
    let mut found: Vec<(&'static str, Socket)> = Vec::new();
    for (table, protocol) in [("udp", "udp"), ("udp6", "udp"), ("tcp", "tcp"), ("tcp6", "tcp")] {
        match std::fs::read_to_string(format!("/proc/net/{table}")) {
            Ok(text) => found.extend(sockets(&text, protocol == "tcp").into_iter().map(|socket| (protocol, socket))),
            // A kernel without IPv6 has no tables of it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && table.ends_with('6') => {}
            Err(error) => return work.miss("listeners on port 53", error),
        }
    }
    let programs = if found.is_empty() { HashMap::new() } else { programs() };
    let uid = resolved_uid(work);
    let extra = conf.map(extra_listeners).unwrap_or_default();
    let runs = facts.services.resolver_owner.as_deref().is_some_and(|owner| owner.starts_with("systemd-resolve"));
    let is_resolveds = |socket: &Socket, program: Option<&String>| match program {
        Some(program) => program.starts_with("systemd-resolve"),
        // The program is out of sight: its user tells, or the addresses that resolved binds.
        None if uid == Some(socket.uid) => true,
        None => {
            let ip = socket.address.ip();
            let own = ["127.0.0.53", "127.0.0.54"].iter().any(|own| ip.to_string() == *own);
            runs && (own || extra.contains(&ip))
        }
    };
    let mut listeners: Vec<Listener> = Vec::new();
    for (protocol, socket) in found {
        let program = programs.get(&socket.inode);
        if is_resolveds(&socket, program) {
            continue;
        }
        let listener = Listener { address: socket.address, protocol: protocol.to_owned(), program: program.cloned() };
        // Several threads may share an address.
        if !listeners.contains(&listener) {
            listeners.push(listener);
        }
    }
    facts.listeners = Some(listeners);
}

/// The sockets of a table that listen on the port.
fn sockets(text: &str, tcp: bool) -> Vec<Socket> {
    // TCP_LISTEN; an unconnected UDP socket is TCP_CLOSE (include/net/tcp_states.h).
    let wanted = if tcp { "0A" } else { "07" };
    let lines = text.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address = address(words.get(1)?)?;
        let listens = address.port() == PORT && words.get(3) == Some(&wanted);
        let socket = Socket { address, uid: words.get(7)?.parse().ok()?, inode: words.get(9)?.parse().ok()? };
        listens.then_some(socket)
    });
    lines.collect()
}

/// `0100007F:0035`: words of 32 bits, each in this machine's order of octets, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(host.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match host.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut octets = [0u8; 16];
            for (at, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at * 8)?);
            }
            IpAddr::from(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Programs by the inodes of their sockets, as far as this process may look.
fn programs() -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let Ok(all) = std::fs::read_dir("/proc") else { return found };
    for process in all.flatten() {
        let is_process =
            process.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(open) = is_process.then(|| std::fs::read_dir(process.path().join("fd")).ok()).flatten() else {
            continue;
        };
        let inodes = open.flatten().filter_map(|fd| {
            let target = std::fs::read_link(fd.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
        });
        let inodes: Vec<u64> = inodes.collect();
        if inodes.is_empty() {
            continue;
        }
        let Ok(name) = std::fs::read_to_string(process.path().join("comm")) else { continue };
        found.extend(inodes.into_iter().map(|inode| (inode, name.trim_end().to_owned())));
    }
    found
}

/// The user that resolved runs as.
fn resolved_uid(work: &Work) -> Option<u32> {
    let text = work.files.text("/etc/passwd").ok()?;
    let fields = text.lines().find_map(|line| line.strip_prefix("systemd-resolve:"))?;
    fields.split(':').nth(1)?.parse().ok().filter(|uid| *uid != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_tables_are_read() {
        let udp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
            10: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 4711 2 0 0\n \
            11: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0 0\n \
            12: 0100000A:0035 0200000A:9999 01 00000000:00000000 00:00000000 00000000     0        0 4713 2 0 0\ngarbage \u{fffd}\n 13: 3500007F:0035";
        let all = sockets(udp, false);
        assert_eq!(all, [Socket { address: "127.0.0.53:53".parse().unwrap(), uid: 101, inode: 4711 }]);
        let tcp6 = "sl\n 0: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 99 1\n \
            1: B80D0120000000000000000001000000:0035 0:0 0A 0:0 00:0 0 5 0 98 1\n";
        let told: Vec<String> = sockets(tcp6, true).iter().map(|socket| socket.address.to_string()).collect();
        assert_eq!(told, ["[::]:53", "[2001:db8::1]:53"]);
        assert_eq!(sockets("", true), Vec::new());
    }
}
