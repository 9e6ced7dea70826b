//! Hosts to plan on, in tests.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::split::facts::{HostFacts, Manager};
use crate::split::lower::lower;
use crate::split::lower_merge::merge;
use crate::split::policy::{Modes, Policy, Route};
use crate::split::wish::Wish;
use crate::split::{DnsServer, SystemdVersion};

pub fn server(text: &str) -> DnsServer {
    text.parse().unwrap()
}

pub fn absent() -> SeenFile {
    SeenFile { kind: FileKind::Absent, ..SeenFile::default() }
}

pub fn file(content: impl AsRef<[u8]>) -> SeenFile {
    let content = Some(content.as_ref().to_vec());
    SeenFile { kind: FileKind::File, content, mode: 0o644, ..SeenFile::default() }
}

pub fn link_to(target: &str) -> SeenFile {
    SeenFile { kind: FileKind::Symlink, target: Some(target.into()), mode: 0o777, ..SeenFile::default() }
}

/// A link with an address, and a server where one is given.
pub fn link(name: &str, ifindex: u32, servers: &[&str], managed_by: Manager) -> Link {
    let mut link: Link = serde_json::from_value(serde_json::json!({
        "ifindex": ifindex, "name": name, "loopback": false, "up": true, "carrier": true, "operstate": "up",
        "addresses": [{"address": format!("192.168.{ifindex}.2"), "prefix": 24}],
        "servers": servers, "domains": [], "defaultRoute": "yes",
        "dnssec": "no", "dnsOverTls": "no", "mdns": "yes", "llmnr": "yes",
    }))
    .unwrap();
    link.managed_by = managed_by;
    link
}

/// A machine with an uplink, on which everything is as it should be.
pub fn facts(version: u16) -> HostFacts {
    let mut facts = HostFacts::bare(SystemdVersion(version));
    facts.hostname = Some("chief-horse".into());
    facts.links = Some(vec![link("eth0", 2, &["9.9.9.9"], Manager::None)]);
    facts.global.imported = Some(false);
    facts.services.systemd = Some(true);
    facts.services.resolver_owner = Some("systemd-resolve".into());
    facts
}

/// A policy with one route.
pub fn homelab() -> Policy {
    let route = Route {
        name: "lab".into(),
        domains: ["maas", "homelab"].map(|name| crate::model::Name::parse(name).unwrap()).to_vec(),
        reverse_for: Vec::new(),
        servers: vec![server("192.168.4.53")],
        fail_closed: true,
    };
    Policy { name: "homelab".into(), routes: vec![route], ..Policy::default() }
}

pub fn wish(policies: &[Policy], facts: &HostFacts) -> Wish {
    lower(&merge(policies), facts, facts.systemd.unwrap())
}

/// What a plain Debian has.
pub fn debian() -> Seen {
    let mut seen = Seen::default();
    for (path, lies) in [
        (paths::RESOLV_CONF, link_to("../run/systemd/resolve/stub-resolv.conf")),
        (paths::HOSTS, file("127.0.0.1\tlocalhost\n192.168.2.2\tchief-horse.maas chief-horse\n")),
        (paths::NSSWITCH, file("passwd: files\nhosts: files resolve [!UNAVAIL=return] dns\n")),
        (paths::INTERFACES, file("auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n")),
    ] {
        seen.files.insert(path.to_owned(), lies);
    }
    seen
}

/// Reads what a plan must see: what nobody put there is absent.
pub fn read(seen: &mut Seen, wish: &Wish, facts: &HostFacts, record: &Record) {
    let Targets { paths, dirs } = targets(wish, facts, record);
    for path in paths {
        seen.files.entry(path).or_insert_with(absent);
    }
    for dir in dirs {
        let inside = |path: &&String| paths::split(path).0 == dir && paths::split(path).1.starts_with(PREFIX);
        let there = seen.files.iter().filter(|(_, lies)| lies.kind != FileKind::Absent).map(|(path, _)| path);
        let names = there.filter(inside).map(|path| paths::split(path).1.to_owned()).collect();
        seen.dirs.insert(dir, names);
    }
}

/// Plans as a host would: reads, then plans.
pub fn planned(policies: &[Policy], facts: &HostFacts, seen: &Seen, record: &Record) -> HostPlan {
    let wish = wish(policies, &held(facts, record));
    let mut seen = seen.clone();
    read(&mut seen, &wish, facts, record);
    plan(&wish, facts, &seen, record)
}

/// Carries the files of a plan out.
pub fn carry_out(seen: &mut Seen, record: &mut Record, plan: &HostPlan) {
    for step in &plan.files {
        let lies = match &step.to {
            Want::Absent => absent(),
            Want::File { content, mode } => SeenFile { mode: *mode, ..file(content) },
            Want::Symlink { target } => link_to(target),
        };
        seen.files.insert(step.path.clone(), lies);
        record.learn(step);
    }
}

/// The bytes that a step would write.
pub fn text(plan: &HostPlan, path: &str) -> String {
    let step =
        plan.files.iter().find(|step| step.path == path).unwrap_or_else(|| panic!("no step for {path}: {plan:#?}"));
    match &step.to {
        Want::File { content, .. } => String::from_utf8(content.clone()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Without the mark.
pub fn body(plan: &HostPlan, path: &str) -> String {
    text(plan, path).split_once('\n').unwrap().1.to_owned()
}

pub fn reasons(plan: &HostPlan) -> Vec<&'static str> {
    plan.refusals.iter().map(|refusal| refusal.reason).collect()
}

pub fn step<'a>(plan: &'a HostPlan, path: &str) -> Option<&'a FileStep> {
    plan.files.iter().find(|step| step.path == path)
}

/// Carries out what a plan sets on links and in the global scope, as resolved would show it then, and remembers all of it.
pub fn carry_out_live(facts: &mut HostFacts, first: &HostFacts, record: &mut Record, plan: &HostPlan, wish: &Wish) {
    let before = facts.clone();
    for link in facts.links.as_mut().unwrap() {
        // networkd sets what its files say, and nothing of before.
        let over_bus = plan.links.iter().any(|step| step.wish.name == link.name && step.over_bus);
        if !over_bus && link.managed_by == Manager::Networkd {
            *link = first.link(&link.name).unwrap().clone();
        }
    }
    for step in &plan.links {
        let own = facts.links.as_mut().unwrap().iter_mut().find(|link| link.name == step.wish.name).unwrap();
        if own.managed_by == Manager::NetworkManager && !step.over_bus {
            continue;
        }
        if let Some(servers) = &step.wish.servers {
            own.servers = Some(servers.clone());
        }
        own.domains = Some(step.wish.domains.clone());
        own.default_route = match step.wish.default_route {
            true => crate::split::facts::DefaultRoute::Yes,
            false => crate::split::facts::DefaultRoute::No,
        };
        let Modes { dnssec, dns_over_tls, mdns, llmnr } = step.wish.modes;
        let (link, set) = (&mut own.modes, |word: &str| Some(word.to_owned()));
        link.dnssec = dnssec.map_or(link.dnssec.take(), |mode| set(mode.word()));
        link.dns_over_tls = dns_over_tls.map_or(link.dns_over_tls.take(), |mode| set(mode.word()));
        link.mdns = mdns.map_or(link.mdns.take(), |mode| set(mode.word()));
        link.llmnr = llmnr.map_or(link.llmnr.take(), |mode| set(mode.word()));
    }
    facts.global = first.global.clone();
    let global = &mut facts.global;
    global.servers = wish.global.servers.clone().or(global.servers.take());
    global.domains = wish.global.domains.clone().or(global.domains.take());
    global.fallback = wish.global.fallback.clone().or(global.fallback.take());
    record.settle_settings(plan, wish, &before);
}
