//! On any host, with any policy: what was applied needs nothing more, and what is taken back leaves every octet as it was.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::testkit::*;
use super::*;
use crate::model::Name;
use crate::split::facts::{HostFacts, Manager};
use crate::split::policy::{
    Cache, HostLine, Link as LinkPolicy, LinkKind, LinkMatch, Policy, ResolvConf, Route, Writer,
};

const NAMES: &[&str] = &["maas", "homelab", "corp.example", "4.168.192.in-addr.arpa", "a-b_c.test"];
const SERVERS: &[&str] = &["192.168.4.53", "192.0.2.1", "fd00::53", "10.0.0.1"];
const LINKS: &[&str] = &["eth0", "eth1", "wg0"];

fn names() -> impl Strategy<Value = Vec<Name>> {
    subsequence(NAMES, 1..4).prop_map(|all| all.into_iter().map(|name| Name::parse(name).unwrap()).collect())
}

fn servers() -> impl Strategy<Value = Vec<crate::split::DnsServer>> {
    subsequence(SERVERS, 1..3).prop_map(|all| all.into_iter().map(server).collect())
}

prop_compose! {
    fn a_link()(at in select(LINKS), servers in prop::option::of(servers()), domains in names(), kind in 0..3usize) -> LinkPolicy {
        let kind = [LinkKind::Corporate, LinkKind::Privacy, LinkKind::Untrusted][kind];
        LinkPolicy {
            name: at.into(), matches: LinkMatch::Name(at.into()), kind, servers, domains, search: false,
            default_route: None, modes: Default::default(),
        }
    }
}

prop_compose! {
    fn a_policy()(
        route in prop::option::of((names(), servers(), any::<bool>())),
        links in prop::collection::vec(a_link(), 0..2),
        global in prop::option::of(servers()),
        cache in any::<bool>(),
        mode in select(&[None, Some(ResolvConf::Stub), Some(ResolvConf::Uplink), Some(ResolvConf::Unmanaged)][..]),
        protect in subsequence(&[Writer::Dhclient, Writer::Dhcpcd, Writer::NetworkManager][..], 0..4),
        hosts in prop::collection::vec("[a-z]{1,6}", 0..3),
        nsswitch in prop::option::of(any::<bool>()),
    ) -> Policy {
        let mut policy = Policy { name: "any".into(), links, resolv_conf: mode, nsswitch, ..Policy::default() };
        if let Some((domains, servers, fail_closed)) = route {
            policy.routes = vec![Route { name: "r".into(), domains, reverse_for: Vec::new(), servers, fail_closed }];
        }
        policy.global.fallback_servers = global;
        policy.global.cache = cache.then_some(Cache::Off);
        policy.protect = protect.into_iter().map(|writer| (writer, true)).collect();
        policy.hosts_file = hosts
            .into_iter()
            .enumerate()
            .map(|(i, name)| HostLine { address: [10, 0, 0, i as u8].into(), names: vec![name] })
            .collect();
        policy
    }
}

prop_compose! {
    fn a_host()(
        version in select(&[240u16, 246, 252, 256, 257, 258, 262][..]),
        managers in prop::collection::vec(select(&[
            Manager::None, Manager::Networkd, Manager::Ifupdown, Manager::Ifupdown2, Manager::NetworkManager,
        ][..]), 3),
        resolv_conf in select(&["absent", "file", "stub", "elsewhere"][..]),
        hosts in select(&[None, Some(""), Some("127.0.0.1 localhost"), Some("127.0.0.1 localhost\r\n"), Some("a\n\n")][..]),
        nsswitch in select(&[None, Some("hosts: files dns"), Some("passwd: files\n"),
            Some("hosts: files resolve [!UNAVAIL=return] dns # x\n")][..]),
        interfaces in select(&[None, Some("iface eth0 inet dhcp"), Some("auto eth1\niface eth1 inet static\n  up true\n")][..]),
        dhcpcd in select(&[None, Some(""), Some("#!/bin/sh\nif_up=true\n"), Some("#!/bin/sh"), Some("exit 0")][..]),
        mode in select(&[0o644u32, 0o600][..]),
    ) -> (HostFacts, Seen) {
        let mut facts = facts(version);
        let links = LINKS.iter().zip(managers).zip(2..).map(|((name, manager), i)| {
            let mut link = link(name, i, if i == 2 { &["9.9.9.9"] } else { &[] }, manager);
            link.network_file = (manager == Manager::Networkd).then(|| format!("/run/systemd/network/{i}-x.network"));
            link
        });
        facts.links = Some(links.collect());
        let mut seen = Seen::default();
        let mut put = |path: &str, lies: Option<SeenFile>| {
            seen.files.extend(lies.map(|lies| (path.to_owned(), lies)));
        };
        put(paths::RESOLV_CONF, match resolv_conf {
            "file" => Some(SeenFile { mode, ..file("nameserver 10.0.0.1\n") }),
            "stub" => Some(link_to("/run/systemd/resolve/stub-resolv.conf")),
            "elsewhere" => Some(link_to("../run/NetworkManager/resolv.conf")),
            _ => None,
        });
        put(paths::HOSTS, hosts.map(|text| SeenFile { mode, ..file(text) }));
        put(paths::NSSWITCH, nsswitch.map(file));
        put(paths::INTERFACES, interfaces.map(file));
        put(paths::DHCPCD_HOOK, dhcpcd.map(file));
        put(paths::DHCPCD, Some(file("duid\n")));
        put(paths::IFUPDOWN_HOOK, Some(file("#!/bin/sh\n")));
        (facts, seen)
    }
}

fn there(seen: &Seen) -> Vec<(&String, &SeenFile)> {
    seen.files.iter().filter(|(_, lies)| lies.kind != FileKind::Absent).collect()
}

proptest! {
    #[test]
    fn applied_twice_is_applied_once_and_taken_back_is_as_before(
        (facts, original) in a_host(), one in a_policy(), two in a_policy()
    ) {
        let (mut seen, mut record) = (original.clone(), Record::default());
        let first = facts.clone();
        let mut facts = facts;
        for policies in [vec![one.clone()], vec![two], vec![one], vec![]] {
            let plan = planned(&policies, &facts, &seen, &record);
            // NetworkManager's links are refused, and a refused plan is not carried out.
            if reasons(&plan).contains(&preflight::NETWORK_MANAGER) {
                continue;
            }
            for step in &plan.files {
                prop_assert!(!step.to.is_there(&step.from), "a step that changes nothing: {step:?}");
                prop_assert!(!diff::unified(step).is_empty());
            }
            let wished = wish(&policies, &held(&facts, &record));
            carry_out(&mut seen, &mut record, &plan);
            carry_out_live(&mut facts, &first, &mut record, &plan, &wished);
            let again = planned(&policies, &facts, &seen, &record);
            prop_assert!(again.files.is_empty(), "planned again: {:#?}", again.files);
            let open: Vec<_> =
                again.links.iter().filter(|step| !step.differs.is_empty()).collect();
            prop_assert!(open.is_empty(), "to be set again: {open:#?}");
        }
        prop_assert_eq!(there(&seen), there(&original));
        prop_assert_eq!(&facts.links, &first.links);
        prop_assert_eq!(record, Record::default());
    }

    #[test]
    fn without_the_memory_nothing_of_ours_stays_either((facts, original) in a_host(), one in a_policy()) {
        let mut policy = one;
        // Only a memory knows what these two were.
        policy.resolv_conf = Some(ResolvConf::Unmanaged);
        policy.nsswitch = Some(false);
        let (mut seen, mut record) = (original.clone(), Record::default());
        let plan = planned(std::slice::from_ref(&policy), &facts, &seen, &record);
        carry_out(&mut seen, &mut record, &plan);
        let mut lost = Record::default();
        let plan = planned(&[], &facts, &seen, &lost);
        carry_out(&mut seen, &mut lost, &plan);
        // A file that we made of nothing cannot be told from one that was empty.
        seen.files.retain(|path, lies| original.files.contains_key(path) || lies.content.as_deref() != Some(b""));
        prop_assert_eq!(there(&seen), there(&original));
    }
}

/// What is repaired where nothing had to be changed at first is not what was there before us.
#[test]
fn drift_is_not_taken_for_what_was_there_before_us() {
    let (facts, policy) = (super::testkit::facts(257), Policy { name: "p".into(), ..Policy::default() });
    let mut original = debian();
    original.files.insert(paths::RESOLV_CONF.into(), link_to("/run/systemd/resolve/stub-resolv.conf"));
    let (mut seen, mut record) = (original.clone(), Record::default());
    let plan = planned(std::slice::from_ref(&policy), &facts, &seen, &record);
    assert!(!plan.files.iter().any(|step| step.path == paths::RESOLV_CONF), "it is as declared");
    carry_out(&mut seen, &mut record, &plan);
    let wished = wish(std::slice::from_ref(&policy), &facts);
    record.pin(&wished, |path| seen.files[path].clone());
    assert!(!record.ours().any(|path| path == paths::RESOLV_CONF), "and not by us");
    for drift in [file("nameserver 9.9.9.9\n"), absent(), link_to("/etc/hostname")] {
        seen.files.insert(paths::RESOLV_CONF.into(), drift);
        let plan = planned(std::slice::from_ref(&policy), &facts, &seen, &record);
        carry_out(&mut seen, &mut record, &plan);
        record.pin(&wished, |path| seen.files[path].clone());
        assert_eq!(seen.files[paths::RESOLV_CONF].kind, FileKind::Symlink);
    }
    let plan = planned(&[], &facts, &seen, &record);
    carry_out(&mut seen, &mut record, &plan);
    assert_eq!(seen.files[paths::RESOLV_CONF], original.files[paths::RESOLV_CONF]);
    // Left to others by a later policy, it is forgotten.
    let unmanaged = Policy { resolv_conf: Some(ResolvConf::Unmanaged), nsswitch: Some(false), ..policy };
    record.pin(&wish(&[unmanaged], &facts), |path| seen.files[path].clone());
    assert!(!record.files.contains_key(paths::RESOLV_CONF));
}
