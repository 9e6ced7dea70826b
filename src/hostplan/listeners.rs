//! Where resolved must listen, and who listens there.

use std::net::{IpAddr, SocketAddr};

use super::paths;
use super::plan::Work;
use super::preflight::{PORT, Refuse, STUB_OFF};
use crate::split::facts::FileKind;
use crate::split::policy::{ResolvConf, StubListener};

/// Refuses what would leave nobody at the address of the stub that is asked there, and what another program has already.
pub(super) fn check(work: &mut Work<'_>) {
    let wish = work.wish;
    let stub = wish.global.stub_listener;
    if wish.resolv_conf == ResolvConf::Stub && stub == Some(StubListener::Off) {
        work.refuse(Refuse {
            reason: STUB_OFF,
            at: paths::RESOLV_CONF,
            message: "it shall lead to the stub, and stubListener: \"Off\" lets nobody answer there".to_owned(),
            way_out: "stubListener: \"On\", or resolvConf: Uplink".to_owned(),
        });
    }
    let stub_address = SocketAddr::from(([127, 0, 0, 53], 53));
    // Behind the usual link resolved writes other servers then.
    let file = work.facts.resolv_conf.as_ref().filter(|file| file.kind == FileKind::File);
    let names_stub = file.and_then(|file| file.servers.as_ref());
    let is_read = names_stub.is_some_and(|servers| servers.contains(&stub_address.ip()));
    let is_silent = matches!(stub, Some(StubListener::Off | StubListener::Tcp));
    if wish.resolv_conf == ResolvConf::Unmanaged && is_silent && is_read {
        work.refuse(Refuse {
            reason: STUB_OFF,
            at: paths::RESOLV_CONF,
            message:
                "it names 127.0.0.53 and shall stay as it is, and with this stubListener nobody answers there over UDP"
                    .to_owned(),
            way_out: "stubListener: \"On\" or \"UDP\", or resolvConf: Uplink, or other servers in that file".to_owned(),
        });
    }
    let is_needed = wish.resolv_conf == ResolvConf::Stub || stub.is_some_and(|stub| stub != StubListener::Off);
    let mut wanted: Vec<(&'static str, SocketAddr)> = Vec::new();
    if is_needed {
        let protocols: &[&'static str] = match stub {
            Some(StubListener::Udp) => &["udp"],
            Some(StubListener::Tcp) => &["tcp"],
            _ => &["udp", "tcp"],
        };
        wanted.extend(protocols.iter().map(|protocol| (*protocol, stub_address)));
    }
    for text in wish.global.extra_listeners.iter().flatten() {
        let (protocols, rest): (&[&'static str], &str) = match text.split_once(':') {
            Some(("udp", rest)) => (&["udp"], rest),
            Some(("tcp", rest)) => (&["tcp"], rest),
            _ => (&["udp", "tcp"], text),
        };
        let address = rest.parse::<SocketAddr>().or_else(|_| rest.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
        let Ok(address) = address else { continue };
        wanted.extend(protocols.iter().map(|protocol| (*protocol, address)));
    }
    for listener in work.facts.listeners.clone().unwrap_or_default() {
        let is_taken = wanted.iter().any(|(protocol, address)| {
            let own = listener.address;
            // One that listens everywhere listens there too; in IPv6 it may mean both families.
            let everywhere = own.ip().is_unspecified() && (own.is_ipv6() || address.is_ipv4());
            listener.protocol == *protocol && own.port() == address.port() && (own.ip() == address.ip() || everywhere)
        });
        if !is_taken {
            continue;
        }
        let program = listener.program.as_deref().unwrap_or("another program");
        work.refuse(Refuse {
            reason: PORT,
            at: &format!("{}/{}", listener.address, listener.protocol),
            message: format!("{program} listens here, where systemd-resolved must"),
            way_out: format!(
                "stop {program}, or let it listen on other addresses only (dnsmasq: bind-dynamic, interface=)"
            ),
        });
    }
}
