//! Profiles of NetworkManager: what is planned, refused and given back.
#![allow(clippy::unwrap_used)]

use super::testkit::*;
use super::*;
use crate::split::HostFacts;
use crate::split::facts::{Manager, NetworkManager, Profile, Setting, Settings};
use crate::split::policy::{Dnssec, Link as LinkPolicy, LinkKind, LinkMatch, Multicast, Policy};

fn list(all: &[&str]) -> Setting {
    Setting::List(all.iter().map(|one| (*one).to_owned()).collect())
}

fn profile(link: &str, gateway: bool) -> Profile {
    Profile {
        uuid: format!("uuid-{link}"),
        id: format!("profile of {link}"),
        file: Some(format!("/etc/NetworkManager/system-connections/{link}.nmconnection")),
        flags: Some(Vec::new()),
        devices: vec![link.into()],
        method4: Some("auto".into()),
        method6: Some("disabled".into()),
        gateway4: Some(gateway),
        gateway6: Some(false),
        applied: Some(Settings::new()),
        ..Profile::default()
    }
}

/// An uplink and a link to inside, both NetworkManager's.
fn host() -> HostFacts {
    let mut facts = facts(257);
    let uplink = link("eth0", 2, &["9.9.9.9"], Manager::NetworkManager);
    let mut inside = link("eth1", 3, &["192.168.4.53"], Manager::NetworkManager);
    inside.default_route = crate::split::facts::DefaultRoute::No;
    facts.links = Some(vec![uplink, inside]);
    let profiles = Some(vec![profile("eth0", true), profile("eth1", false)]);
    facts.network_manager = Some(NetworkManager { running: Some(true), version: Some("1.52.1".into()), profiles });
    facts
}

fn of<'a>(facts: &'a mut HostFacts, link: &str) -> &'a mut Profile {
    let all = facts.network_manager.as_mut().unwrap().profiles.as_mut().unwrap();
    all.iter_mut().find(|profile| profile.devices.iter().any(|device| device == link)).unwrap()
}

fn on(link: &str, kind: LinkKind, servers: Option<&[&str]>, domains: &[&str]) -> Policy {
    let link = LinkPolicy {
        name: link.into(),
        matches: LinkMatch::Name(link.into()),
        kind,
        servers: servers.map(|all| all.iter().map(|one| server(one)).collect()),
        domains: domains.iter().map(|name| crate::model::Name::parse(name).unwrap()).collect(),
        search: false,
        default_route: None,
        modes: Default::default(),
    };
    Policy { name: "p".into(), links: vec![link], ..Policy::default() }
}

fn corporate() -> Policy {
    on("eth1", LinkKind::Corporate, Some(&["192.168.4.54#dns.corp"]), &["corp.example"])
}

/// What NetworkManager does with a plan's profiles, and resolved with them.
fn written(facts: &mut HostFacts, plan: &HostPlan) {
    for step in &plan.profiles {
        let all = facts.network_manager.as_mut().unwrap().profiles.as_mut().unwrap();
        let profile = all.iter_mut().find(|profile| profile.uuid == step.uuid).unwrap();
        for (key, to) in &step.to {
            match to {
                Some(to) => profile.settings.insert(key.clone(), to.clone()),
                None => profile.settings.remove(key),
            };
        }
        profile.applied = Some(profile.settings.clone());
    }
    for step in &plan.links {
        let link = facts.links.as_mut().unwrap().iter_mut().find(|link| link.name == step.wish.name).unwrap();
        if let Some(servers) = &step.wish.servers {
            link.servers = Some(servers.clone());
        }
        link.domains = Some(step.wish.domains.clone());
    }
}

#[test]
fn a_profile_gets_servers_and_domains_and_nothing_twice() {
    let mut facts = host();
    let plan = planned(&[corporate()], &facts, &debian(), &Record::default());
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    assert_eq!(plan.chosen.last().unwrap().mechanism, Mechanism::NetworkManager);
    let changes: Vec<_> = plan.profiles[0].changes().map(|(key, _, to)| (key.to_owned(), to.cloned())).collect();
    assert_eq!(
        changes,
        [
            ("ipv4.dns-data".to_owned(), Some(list(&["192.168.4.54#dns.corp"]))),
            ("ipv4.dns-search".to_owned(), Some(list(&["~corp.example"]))),
            ("ipv4.ignore-auto-dns".to_owned(), Some(Setting::Switch(true))),
        ]
    );
    assert!(!plan.links[0].over_bus && step(&plan, paths::BOOT_UNIT).is_none(), "the profile lasts");
    let (first, mut record) = (facts.clone(), Record::default());
    written(&mut facts, &plan);
    record.settle_settings(&plan, &wish(&[corporate()], &first), &first);
    let plan = planned(&[corporate()], &facts, &debian(), &record);
    assert!(!plan.profiles[0].is_change() && plan.links[0].differs.is_empty(), "{plan:#?}");
    // Somebody set the link at resolved: NetworkManager tells that once more.
    facts.links.as_mut().unwrap()[1].servers = Some(Vec::new());
    let plan = planned(&[corporate()], &facts, &debian(), &record);
    assert!(plan.links[0].overruled && !plan.is_settled());
}

#[test]
fn only_what_is_as_we_left_it_goes_back() {
    let mut facts = host();
    of(&mut facts, "eth1").settings.insert("ipv4.dns-search".into(), list(&["mine.test"]));
    of(&mut facts, "eth1").settings.insert("ipv4.dns-priority".into(), Setting::Number(20));
    let first = facts.clone();
    let mut record = Record::default();
    let plan = planned(&[corporate()], &facts, &debian(), &record);
    written(&mut facts, &plan);
    record.settle_settings(&plan, &wish(&[corporate()], &first), &first);
    // What a person changed that is not ours is no matter.
    of(&mut facts, "eth1").settings.insert("ipv4.dns-priority".into(), Setting::Number(30));
    let back = planned(&[], &facts, &debian(), &record);
    assert!(back.refusals.is_empty(), "{:?}", back.refusals);
    let changes: Vec<_> = back.profiles[0].changes().map(|(key, _, to)| (key.to_owned(), to.cloned())).collect();
    assert_eq!(
        changes,
        [
            ("ipv4.dns-data".to_owned(), None),
            ("ipv4.dns-search".to_owned(), Some(list(&["mine.test"]))),
            ("ipv4.ignore-auto-dns".to_owned(), None),
        ]
    );
    // What is ours and was changed since stays, and is said, and stays remembered.
    of(&mut facts, "eth1").settings.insert("ipv4.dns-data".into(), list(&["192.0.2.7"]));
    let mut back = planned(&[], &facts, &debian(), &record);
    assert_eq!(reasons(&back), [preflight::EDITED]);
    assert!(back.refusals[0].message.contains("ipv4.dns-data") && back.refusals[0].way_out.contains("ipv4.dns ''"));
    assert_eq!(back.leave_edited().len(), 1);
    assert!(back.profiles.is_empty());
    let mut kept = record.clone();
    kept.settle_settings(&back, &wish(&[], &facts), &facts);
    assert_eq!(kept.profiles, record.profiles);
    // For an agent the same is drift.
    let plan = planned(&[corporate()], &facts, &debian(), &record);
    assert!(plan.refusals.is_empty() && plan.profiles[0].changes().count() == 1, "{plan:#?}");
    // Given back, nothing is remembered.
    of(&mut facts, "eth1").settings.insert("ipv4.dns-data".into(), list(&["192.168.4.54#dns.corp"]));
    let back = planned(&[], &facts, &debian(), &record);
    written(&mut facts, &back);
    record.settle_settings(&back, &wish(&[], &facts), &facts);
    assert!(record.profiles.is_empty());
    let settings = &of(&mut facts, "eth1").settings;
    assert_eq!(settings.len(), 2, "{settings:?}");
}

#[test]
fn what_a_policy_says_no_more_goes_back_while_the_rest_stays() {
    let mut facts = host();
    let mut policy = corporate();
    policy.links[0].modes.mdns = Some(Multicast::Off);
    let (first, mut record) = (facts.clone(), Record::default());
    let plan = planned(std::slice::from_ref(&policy), &facts, &debian(), &record);
    written(&mut facts, &plan);
    record.settle_settings(&plan, &wish(&[policy], &first), &first);
    assert_eq!(of(&mut facts, "eth1").settings["connection.mdns"], Setting::Number(0));
    let plan = planned(&[corporate()], &facts, &debian(), &record);
    let changes: Vec<_> = plan.profiles[0].changes().map(|(key, _, to)| (key.to_owned(), to.cloned())).collect();
    assert_eq!(changes, [("connection.mdns".to_owned(), None)]);
}

#[test]
fn a_profile_that_cannot_hold_it_is_refused_with_its_own_word() {
    let refused = |change: &dyn Fn(&mut HostFacts)| {
        let mut facts = host();
        change(&mut facts);
        let plan = planned(&[corporate()], &facts, &debian(), &Record::default());
        assert!(plan.profiles.is_empty(), "{plan:#?}");
        assert!(plan.refusals.iter().all(|refusal| !refusal.way_out.is_empty()));
        reasons(&plan)
    };
    let with = |change: fn(&mut Profile)| refused(&move |facts| change(of(facts, "eth1")));
    assert_eq!(with(|one| one.flags = Some(vec!["unsaved".into(), "generated".into()])), [preflight::PROFILE_UNSAVED]);
    assert_eq!(with(|one| one.file = Some(String::new())), [preflight::PROFILE_UNSAVED]);
    assert_eq!(with(|one| one.file = Some("/run/NetworkManager/x".into())), [preflight::PROFILE_UNSAVED]);
    assert_eq!(with(|one| one.flags = None), [preflight::PROFILE_UNSAVED]);
    assert_eq!(with(|one| one.file = Some("/usr/lib/x".into())), [preflight::PROFILE_READ_ONLY]);
    assert_eq!(with(|one| one.multiple = true), [preflight::PROFILE_SHARED]);
    assert_eq!(with(|one| one.devices.push("eth7".into())), [preflight::PROFILE_SHARED]);
    assert_eq!(with(|one| one.devices = vec!["eth7".into()]), [preflight::NO_PROFILE]);
    assert_eq!(with(|one| one.method4 = Some("disabled".into())), [preflight::NETWORK_MANAGER]);
    let of_nm =
        |change: fn(&mut NetworkManager)| refused(&move |facts| change(facts.network_manager.as_mut().unwrap()));
    assert_eq!(of_nm(|nm| nm.version = Some("1.40.0".into())), [preflight::NETWORK_MANAGER]);
    assert_eq!(of_nm(|nm| nm.profiles = None), [preflight::NETWORK_MANAGER]);
    // It hangs: the link may be its own.
    let silent = refused(&|facts| {
        let nm = facts.network_manager.as_mut().unwrap();
        (nm.profiles, nm.version) = (None, None);
        facts.links.as_mut().unwrap()[1].managed_by = Manager::Unknown;
    });
    assert_eq!(silent, [preflight::NOT_READ]);
    // The file is immutable.
    let mut seen = debian();
    let file = SeenFile { locked: Some("immutable".into()), ..file("") };
    seen.files.insert("/etc/NetworkManager/system-connections/eth1.nmconnection".into(), file);
    let plan = planned(&[corporate()], &host(), &seen, &Record::default());
    assert_eq!(reasons(&plan), [preflight::LOCKED]);
}

#[test]
fn what_networkmanager_cannot_say_is_refused_with_a_way_out() {
    let plan_of = |policy: Policy, change: &dyn Fn(&mut HostFacts)| {
        let mut facts = host();
        change(&mut facts);
        planned(&[policy], &facts, &debian(), &Record::default())
    };
    let says = |policy: Policy, change: &dyn Fn(&mut HostFacts), part: &str| {
        let plan = plan_of(policy, change);
        assert_eq!(reasons(&plan), [preflight::NETWORK_MANAGER], "{part}");
        assert!(plan.refusals[0].message.contains(part), "{part}: {:?}", plan.refusals);
    };
    // The default route follows that of IP.
    let with_gateway = |facts: &mut HostFacts| of(facts, "eth1").gateway4 = Some(true);
    says(corporate(), &with_gateway, "has a default route of IP");
    says(corporate(), &|facts| of(facts, "eth0").gateway4 = Some(false), "where none has a default route");
    says(corporate(), &|facts| of(facts, "eth1").gateway4 = None, "could not be read");
    let regular = || on("eth1", LinkKind::Regular, Some(&["192.168.4.54"]), &["corp.example"]);
    says(regular(), &|_| {}, "has no default route of IP");
    // ~. gives it without any.
    let privacy = || on("eth1", LinkKind::Privacy, Some(&["192.168.4.54"]), &[]);
    let plan = plan_of(privacy(), &|_| {});
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    assert_eq!(plan.profiles[0].to["ipv4.dns-search"], Some(list(&["~."])));
    let low = |facts: &mut HostFacts| {
        with_gateway(facts);
        of(facts, "eth1").settings.insert("ipv4.dns-priority".into(), Setting::Number(-5));
    };
    says(regular(), &low, "ipv4.dns-priority");
    assert!(plan_of(privacy(), &low).refusals.is_empty());
    let of_port = on("eth1", LinkKind::Corporate, Some(&["192.168.4.54:5353"]), &["corp.example"]);
    says(of_port, &|_| {}, "no port");
    let six = on("eth1", LinkKind::Corporate, Some(&["2001:db8::53"]), &["corp.example"]);
    says(six, &|_| {}, "no IPv6");
    let idle = on("eth1", LinkKind::Corporate, Some(&["192.168.4.54"]), &[]);
    says(idle, &|_| {}, "neither domains nor a default route");
    let mut secure = corporate();
    secure.links[0].modes.dnssec = Some(Dnssec::On);
    says(secure.clone(), &|_| {}, "1.56");
    let newer = |facts: &mut HostFacts| facts.network_manager.as_mut().unwrap().version = Some("1.58.1".into());
    assert_eq!(plan_of(secure, &newer).profiles[0].to["connection.dnssec"], Some(Setting::Number(2)));
    let announced = |facts: &mut HostFacts| {
        with_gateway(facts);
        facts.links.as_mut().unwrap()[1].domains = Some(vec!["lan".parse().unwrap()]);
    };
    let mut keeps = on("eth1", LinkKind::Untrusted, None, &[]);
    keeps.links[0].default_route = Some(true);
    says(keeps, &announced, "announces domains");
}

#[test]
fn both_families_get_what_is_theirs() {
    let mut facts = host();
    of(&mut facts, "eth1").method6 = Some("auto".into());
    let policy = on("eth1", LinkKind::Corporate, Some(&["2001:db8::53", "192.168.4.54"]), &["corp.example"]);
    let plan = planned(&[policy], &facts, &debian(), &Record::default());
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    let to = &plan.profiles[0].to;
    assert_eq!(to["ipv6.dns-data"], Some(list(&["2001:db8::53"])));
    assert_eq!(to["ipv4.dns-data"], Some(list(&["192.168.4.54"])));
    assert_eq!(to["ipv6.dns-search"], to["ipv4.dns-search"]);
}

#[test]
fn while_networkmanager_is_away_its_link_is_left_to_it() {
    let mut facts = host();
    let (first, mut record) = (facts.clone(), Record::default());
    let plan = planned(&[corporate()], &facts, &debian(), &record);
    written(&mut facts, &plan);
    record.settle_settings(&plan, &wish(&[corporate()], &first), &first);
    facts.links.as_mut().unwrap()[1].managed_by = Manager::None;
    facts.links.as_mut().unwrap()[1].domains = Some(Vec::new());
    facts.network_manager = Some(NetworkManager { running: Some(false), version: None, profiles: None });
    let unit = crate::split::facts::UnitState { load: "loaded".into(), ..Default::default() };
    facts.services.network_manager = Some(unit);
    let plan = planned(&[corporate()], &facts, &debian(), &record);
    assert!(plan.refusals.is_empty() && !plan.links[0].over_bus && plan.is_settled(), "{plan:#?}");
    let mut kept = record.clone();
    kept.settle_settings(&plan, &wish(&[corporate()], &facts), &facts);
    assert_eq!(kept.profiles, record.profiles);
    // Nothing can be given back now.
    assert_eq!(reasons(&planned(&[], &facts, &debian(), &record)), [preflight::NOT_READ]);
    // It was taken off the host: nobody reads the profile.
    facts.services.network_manager.as_mut().unwrap().load = "not-found".into();
    assert!(planned(&[], &facts, &debian(), &record).refusals.is_empty());
}
