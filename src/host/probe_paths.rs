//! The probes of policies by every way that a program may take: the stub by UDP and by TCP, and the servers themselves.
//!
//! Told apart so that a number says where a name is lost: in the server, in resolved, or on the way to its stub. What a
//! server is asked directly is asked of the one that resolved would ask, through the same interface, and only where
//! resolved would ask in the clear as well.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::probes::holds;
use crate::model::RrType;
use crate::resolved::Bus;
use crate::resolved::plain::{Way, ask};
use crate::resolved::resolve1::Resolve1;
use crate::split::policy::Probe;
use crate::split::route::{Asked, Path, Router};
use crate::split::scope::ScopeId;
use crate::split::wish::Wish;
use crate::split::{DnsServer, HostFacts};

/// The stub of resolved.
const STUB: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 53)), 53);

/// What a probe came to on one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedBy {
    /// The probe's name.
    pub name: String,
    /// `stub-udp`, `stub-tcp`, `server`.
    pub path: &'static str,
    /// The server, where it was asked directly.
    pub server: Option<DnsServer>,
    /// What is wrong; `None` when it passes.
    pub wrong: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// Looks up all probes by the stub, where it listens, and at the servers that resolved would ask. `facts` are those of the
/// host as its policies want it: nobody who changed a link has private names sent to his server by this.
pub async fn probe_by_paths(bus: &Bus, wish: &Wish, facts: &HostFacts) -> Vec<ProbedBy> {
    let listens = Resolve1(bus).manager().await.ok().and_then(|manager| manager.stub_listener).unwrap_or_default();
    let router = Router::at(facts, wish.systemd);
    let mut all = Vec::new();
    for probe in wish.probes.iter().map(|probe| &probe.value) {
        for (path, way, word) in [("stub-udp", Way::Udp, "udp"), ("stub-tcp", Way::Tcp, "tcp")] {
            if listens == "yes" || listens == word {
                all.push(one(probe, path, None, STUB, None, way).await);
            }
        }
        for (server, device) in servers(&router, facts, probe) {
            let to = SocketAddr::new(server.address, server.port.unwrap_or(53));
            all.push(one(probe, "server", Some(server), to, device.as_deref(), Way::Udp).await);
        }
    }
    all
}

/// Whom resolved would ask for a probe, each with the interface by which.
fn servers(router: &Router, facts: &HostFacts, probe: &Probe) -> Vec<(DnsServer, Option<String>)> {
    let answers = router.answers(&probe.query, probe.rtype.unwrap_or(RrType::A), Path::Stub);
    // Where it is not known who would be asked, nobody is.
    let [answer] = answers.as_slice() else { return Vec::new() };
    let clear = |asked: &&Asked<'_>| {
        let own = match &asked.scope.id {
            ScopeId::Link(name) => facts.link(name).and_then(|link| link.modes.dns_over_tls.as_deref()),
            ScopeId::Global | ScopeId::Delegate(_) => facts.global.modes.dns_over_tls.as_deref(),
        };
        own == Some("no")
    };
    let by = |asked: &Asked<'_>| {
        let server = asked.current()?.clone();
        let device = match &asked.scope.id {
            ScopeId::Link(name) => Some(name.clone()),
            ScopeId::Global | ScopeId::Delegate(_) => None,
        };
        Some((server.clone(), server.interface.or(device)))
    };
    answer.route.asked.iter().filter(clear).filter_map(by).collect()
}

async fn one(
    probe: &Probe,
    path: &'static str,
    server: Option<DnsServer>,
    to: SocketAddr,
    device: Option<&str>,
    way: Way,
) -> ProbedBy {
    let started = tokio::time::Instant::now();
    let wrong = looked_up(probe, to, device, way).await.err();
    ProbedBy { name: probe.name.clone(), path, server, wrong, took: started.elapsed() }
}

async fn looked_up(probe: &Probe, to: SocketAddr, device: Option<&str>, way: Way) -> Result<(), String> {
    let types = probe.rtype.map_or_else(|| vec![RrType::A, RrType::AAAA], |rtype| vec![rtype]);
    let mut found: Vec<(u16, Vec<u8>)> = Vec::new();
    for rtype in types {
        let answer = ask(to, device, way, (&probe.query, rtype)).await.map_err(|error| error.to_string())?;
        if answer.rcode != crate::dns::Rcode::NOERROR {
            return Err(answer.rcode.to_string());
        }
        let of_type = answer.answers.into_iter().filter(|record| record.rtype == rtype);
        found.extend(of_type.map(|record| (rtype.0, record.rdata.to_vec())));
    }
    if found.is_empty() {
        return Err("no record".to_owned());
    }
    match probe.addresses.iter().find(|wanted| !found.iter().any(|(_, rdata)| holds(rdata, wanted))) {
        None => Ok(()),
        Some(missing) => Err(format!("without {missing}")),
    }
}
