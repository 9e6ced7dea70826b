//! Random hosts for the fuzz of `route()`: as facts, and as settings of a real daemon.
#![allow(dead_code)]

use knotwork::model::RrType;
use knotwork::split::facts::{AddressScope, DefaultRoute, Delegate, Global, HostsLine, Link, LinkAddress, LinkState};
use knotwork::split::route::{Path, Route};
use knotwork::split::{HostFacts, SystemdVersion};

use crate::support::resolved::{Lab, Log};

/// A small generator: the same seed gives the same worlds.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in so many of a hundred.
    pub fn often(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.next() % all.len() as u64).unwrap()]
    }
}

/// The seed of this run, or that of `KNOTWORK_SEED`.
pub fn seed() -> u64 {
    if let Ok(text) = std::env::var("KNOTWORK_SEED") {
        return text.parse().expect("KNOTWORK_SEED is a number");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

const DOMAINS: &[&str] = &[
    "corp.test",
    "~corp.test",
    "~lab.corp.test",
    "lab.corp.test",
    "~test",
    "~corp",
    "corp",
    "~.",
    "~local",
    "maas",
    "~maas",
    "~1.10.in-addr.arpa",
    "~0.3.10.in-addr.arpa",
    "~ip6.arpa",
    "~254.169.in-addr.arpa",
    "~in-addr.arpa",
    "CORP.Test",
];

const NAMES: &[&str] = &[
    "a.corp.test",
    "corp.test",
    "b.lab.corp.test",
    "x.test",
    "corp",
    "nas",
    "maas",
    "pbs.maas",
    "www.example.com",
    "A.CORP.TEST",
    "printer.local",
    "local",
    "notcorp.test",
    "localhost",
    "x.localhost",
    "_gateway",
    "_outbound",
    "_localdnsstub",
    "x.invalid",
    "x.alt",
    "resolver.arpa",
    "linux",
    "linux.local",
    "listed.hosts.test",
    "x.listed.hosts.test",
    "77.0.1.10.in-addr.arpa",
    "9.0.2.10.in-addr.arpa",
    "8.0.3.10.in-addr.arpa",
    "1.0.1.10.in-addr.arpa",
    "1.2.3.4.in-addr.arpa",
    "7.100.51.198.in-addr.arpa",
    "3.1.254.169.in-addr.arpa",
    "5.0.0.127.in-addr.arpa",
    "0.0.0.0.in-addr.arpa",
    "1.10.in-addr.arpa",
    "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
    "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa",
];

/// The state of a link's default route, carrier and addresses.
#[derive(Debug, Clone)]
pub struct LinkWorld {
    pub name: String,
    pub server: Option<String>,
    pub domains: Vec<String>,
    pub default_route: DefaultRoute,
    pub up: bool,
    pub addressed: bool,
}

/// A delegate: its id, servers, domains, default route.
pub type DelegateWorld = (String, Vec<String>, Vec<String>, Option<bool>);

/// A whole host.
#[derive(Debug, Clone)]
pub struct World {
    pub links: Vec<LinkWorld>,
    pub servers: Vec<String>,
    pub domains: Vec<String>,
    pub fallback: Vec<String>,
    pub delegates: Vec<DelegateWorld>,
    pub single_label: bool,
}

fn domains(random: &mut Random) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for _ in 0..*random.pick(&[0, 0, 1, 1, 2, 3]) {
        let domain = random.pick(DOMAINS).to_string();
        let bare = domain.trim_start_matches('~').to_ascii_lowercase();
        // One name both searched and routed is another test's.
        if !all.iter().any(|known| known.trim_start_matches('~').eq_ignore_ascii_case(&bare)) {
            all.push(domain);
        }
    }
    all
}

impl World {
    pub fn random(random: &mut Random, version: u16) -> World {
        let links = (1..=3)
            .map(|n| {
                let six = random.often(20);
                LinkWorld {
                    name: format!("e{n}"),
                    server: random
                        .often(75)
                        .then(|| if six { format!("fd00:{n}::53") } else { format!("10.{n}.0.53") }),
                    domains: domains(random),
                    default_route: *random.pick(&[
                        DefaultRoute::Automatic,
                        DefaultRoute::Automatic,
                        DefaultRoute::Yes,
                        DefaultRoute::No,
                    ]),
                    up: random.often(90),
                    addressed: random.often(94),
                }
            })
            .collect();
        let servers: Vec<String> = if random.often(35) { vec!["10.9.0.53".into()] } else { Vec::new() };
        // Global domains without servers are R8's: a fallback server may have been chosen before the links came.
        let domains_here = if servers.is_empty() { Vec::new() } else { domains(random) };
        let fallback = if random.often(60) { vec!["10.9.0.60".into()] } else { Vec::new() };
        let mut delegates = Vec::new();
        for (id, server) in [("one", "10.9.0.61"), ("two", "10.9.0.62")] {
            if version >= 258 && random.often(40) {
                let servers = if random.often(90) { vec![server.to_owned()] } else { Vec::new() };
                let default = *random.pick(&[None, None, Some(true), Some(false)]);
                delegates.push((id.to_owned(), servers, domains(random), default));
            }
        }
        World { links, servers, domains: domains_here, fallback, delegates, single_label: random.often(12) }
    }

    /// A host on which the fallback rules of 257 and 262 part, so that no seed can miss it.
    pub fn telling() -> World {
        let link = |n: u8, server: Option<&str>| LinkWorld {
            name: format!("e{n}"),
            server: server.map(str::to_owned),
            domains: vec!["~corp.test".into()],
            default_route: DefaultRoute::Automatic,
            up: true,
            addressed: true,
        };
        World {
            links: vec![link(1, Some("10.1.0.53")), link(2, None), link(3, None)],
            servers: Vec::new(),
            domains: Vec::new(),
            fallback: vec!["10.9.0.60".into()],
            delegates: Vec::new(),
            single_label: false,
        }
    }

    /// Makes the lab's host like this.
    pub fn install(&self, lab: &mut Lab) {
        lab.run("rm -f $R/etc/systemd/dns-delegate.d/*");
        for (id, servers, domains, default) in &self.delegates {
            let mut text = format!("[Delegate]\nDNS={}\nDomains={}\n", servers.join(" "), domains.join(" "));
            if let Some(default) = default {
                text.push_str(&format!("DefaultRoute={}\n", if *default { "yes" } else { "no" }));
            }
            lab.write(&format!("/etc/systemd/dns-delegate.d/{id}.dns-delegate"), &text);
        }
        for link in &self.links {
            let n = &link.name[1..];
            let mut line = format!("ip link set e{n} up; ip addr flush dev e{n} scope global;");
            if link.addressed {
                line.push_str(&format!(
                    "ip addr add 10.{n}.0.1/24 dev e{n}; ip addr add fd00:{n}::1/64 dev e{n} nodad;"
                ));
            }
            if !link.up {
                // Without carrier: the other end goes down, and the addresses stay.
                line.push_str(&format!("ip -n srv link set pe{n} down"));
            } else {
                // Going down took the IPv6 address of the other end with it.
                line.push_str(&format!(
                    "ip -n srv link set pe{n} up; ip -n srv addr replace fd00:{n}::53/64 dev pe{n} nodad"
                ));
            }
            lab.run(&line);
        }
        let single = if self.single_label { "ResolveUnicastSingleLabel=yes\n" } else { "" };
        lab.global(&format!(
            "DNS={}\nDomains={}\nFallbackDNS={}\n{single}",
            self.servers.join(" "),
            self.domains.join(" "),
            self.fallback.join(" ")
        ));
        for link in &self.links {
            let name = &link.name;
            let quoted: Vec<String> = link.domains.iter().map(|domain| format!("'{domain}'")).collect();
            if !quoted.is_empty() {
                lab.run(&format!("ctl domain {name} {}", quoted.join(" ")));
            }
            match link.default_route {
                DefaultRoute::Yes => _ = lab.run(&format!("ctl default-route {name} yes")),
                DefaultRoute::No => _ = lab.run(&format!("ctl default-route {name} no")),
                _ => {}
            }
            if let Some(server) = &link.server {
                lab.run(&format!("ctl dns {name} {server}"));
            }
        }
        // resolved learns of links by netlink; wait until it shows what the kernel has.
        for link in &self.links {
            let want = link.server.is_some() && link.up && link.addressed;
            lab.run(&format!("settled {} {}", link.name, u8::from(want)));
        }
    }

    /// What a recorder would have written of this host.
    pub fn facts(&self, version: u16) -> HostFacts {
        let bare = HostFacts::bare(SystemdVersion(version));
        let list = |all: &[String]| all.iter().map(|server| server.parse().unwrap()).collect::<Vec<_>>();
        let names = |all: &[String]| all.iter().map(|domain| domain.parse().unwrap()).collect::<Vec<_>>();
        let links = self
            .links
            .iter()
            .map(|link| {
                let n = &link.name[1..];
                let address = |text: String, prefix| LinkAddress {
                    address: text.parse().unwrap(),
                    prefix,
                    scope: AddressScope::Global,
                    unusable: false,
                };
                let addresses = match link.addressed {
                    true => vec![address(format!("10.{n}.0.1"), 24), address(format!("fd00:{n}::1"), 64)],
                    false => Vec::new(),
                };
                Link {
                    ifindex: 0,
                    name: link.name.clone(),
                    kind: Some("veth".into()),
                    state: LinkState {
                        loopback: Some(false),
                        up: Some(true),
                        carrier: Some(link.up),
                        operstate: Some(if link.up { "up" } else { "lowerlayerdown" }.into()),
                        networkd_operstate: None,
                    },
                    managed_by: Default::default(),
                    network_file: None,
                    addresses: Some(addresses),
                    servers: Some(list(link.server.as_slice())),
                    current: None,
                    domains: Some(names(&link.domains)),
                    default_route: link.default_route,
                    default_route_effective: None,
                    scopes_mask: None,
                    modes: Default::default(),
                    told: None,
                }
            })
            .collect();
        HostFacts {
            hostname: Some("linux".into()),
            links: Some(links),
            global: Global {
                servers: Some(list(&self.servers)),
                domains: Some(names(&self.domains)),
                fallback: Some(list(&self.fallback)),
                ..Global::default()
            },
            delegates: Some(
                self.delegates
                    .iter()
                    .map(|(id, servers, domains, default)| Delegate {
                        id: id.clone(),
                        servers: Some(list(servers)),
                        current: None,
                        domains: Some(names(domains)),
                        default_route: Some(default.unwrap_or(false)),
                        firewall_mark: None,
                    })
                    .collect(),
            ),
            resolve_unicast_single_label: Some(self.single_label),
            hosts: Some(vec![HostsLine {
                address: "198.51.100.7".parse().unwrap(),
                names: vec!["listed.hosts.test".into()],
            }]),
            ..bare
        }
    }

    /// The servers that can be reached.
    pub fn reachable(&self) -> Vec<String> {
        let links = self.links.iter().filter(|link| link.up && link.addressed).filter_map(|link| link.server.as_ref());
        let delegates = self.delegates.iter().flat_map(|(_, servers, ..)| servers);
        links.chain(&self.servers).chain(&self.fallback).chain(delegates).cloned().collect()
    }

    /// A question: mostly of names that some domain here or a rule is about.
    pub fn question(&self, random: &mut Random) -> (String, RrType, Path) {
        let name = random.pick(NAMES).to_string();
        if name.ends_with(".arpa") && random.often(85) {
            return (name, RrType::PTR, Path::Stub);
        }
        if random.often(50) {
            return (name, *random.pick(&[RrType::A, RrType::AAAA]), Path::Nss);
        }
        (name, *random.pick(&[RrType::A, RrType::AAAA, RrType::TXT, RrType::MX]), Path::Stub)
    }
}

/// What the servers' logs must then hold.
pub fn expected(route: &Route<'_>, rtype: RrType) -> Log {
    route.asked.iter().map(|asked| (asked.current().unwrap().address, asked.fqdn.to_relaxed(), rtype.0)).collect()
}
