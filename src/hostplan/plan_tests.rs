//! Files, mechanisms, effects and what is taken back.
#![allow(clippy::unwrap_used)]

use super::testkit::*;
use super::*;
use crate::split::facts::{Content, HostFacts, Manager, ResolvConf as ResolvConfFacts, ResolvConfMode, UnitState};
use crate::split::policy::{Cache, HostLine, Link as LinkPolicy, LinkKind, LinkMatch, Policy, StubListener, Writer};

fn name(text: &str) -> crate::model::Name {
    crate::model::Name::parse(text).unwrap()
}

fn on_link(name: &str, servers: Option<&[&str]>, domains: &[&str]) -> LinkPolicy {
    LinkPolicy {
        name: name.into(),
        matches: LinkMatch::Name(name.into()),
        kind: LinkKind::Corporate,
        servers: servers.map(|all| all.iter().map(|text| server(text)).collect()),
        domains: domains.iter().map(|text| self::name(text)).collect(),
        search: false,
        default_route: None,
        modes: Default::default(),
    }
}

fn with_link(own: LinkPolicy) -> Policy {
    Policy { name: "office".into(), links: vec![own], ..Policy::default() }
}

#[test]
fn f37_lists_are_emptied_first() {
    let facts = facts(252);
    let plan = planned(&[homelab()], &facts, &debian(), &Record::default());
    assert_eq!(
        body(&plan, paths::RESOLVED_CONF),
        "[Resolve]\nDNS=\nDNS=192.168.4.53\nDomains=\nDomains=~maas ~homelab\nFallbackDNS=\n"
    );
    assert!(
        text(&plan, paths::RESOLVED_CONF).starts_with("# Managed by knotwork, policy homelab. Changes here are lost; ")
    );
    assert!(plan.refusals.is_empty(), "{plan:#?}");
    // The uplink is a link of nobody's: over the bus, and at boot by a unit of ours.
    assert_eq!(plan.links[0].differs, ["domains"]);
    assert!(plan.links[0].over_bus && step(&plan, paths::BOOT_WANTS).is_some());
    assert_eq!(plan.effects(Stage::Before), [Effect::ReloadSystemd, Effect::ReloadResolved]);
}

#[test]
fn f37_every_list_and_every_scalar_of_the_global_scope() {
    let mut policy = Policy { name: "all".into(), ..Policy::default() };
    policy.global.servers = Some(vec![server("9.9.9.9:853#dns.quad9.net")]);
    policy.global.fallback_servers = Some(vec![server("1.1.1.1"), server("2606:4700::1111")]);
    policy.global.cache = Some(Cache::NoNegative);
    policy.global.stub_listener = Some(StubListener::Udp);
    policy.global.extra_listeners = Some(vec!["udp:192.168.4.2:53".into(), "[::1]:5353".into()]);
    let at = |version| planned(std::slice::from_ref(&policy), &facts(version), &debian(), &Record::default());
    assert_eq!(
        body(&at(252), paths::RESOLVED_CONF),
        "[Resolve]\nDNS=\nDNS=9.9.9.9#dns.quad9.net\nFallbackDNS=\nFallbackDNS=1.1.1.1 2606:4700::1111\n\
         Cache=no-negative\nDNSStubListener=udp\nDNSStubListenerExtra=\nDNSStubListenerExtra=udp:192.168.4.2:53\n\
         DNSStubListenerExtra=[::1]:5353\n"
    );
    // What a release would not know is refused by name, never written.
    let old = at(242);
    assert!(step(&old, paths::RESOLVED_CONF).is_none());
    let told: String = old.refusals.iter().map(|refusal| refusal.message.clone() + "\n").collect();
    for needs in ["systemd 246", "Cache=no-negative needs systemd 243", "DNSStubListenerExtra= needs systemd 247"] {
        assert!(told.contains(needs), "{needs}: {told}");
    }
    // 256 and 257 lose extra listeners by a reload.
    assert_eq!(step(&at(256), paths::RESOLVED_CONF).unwrap().effect, Effect::RestartResolved);
    let nothing_global = Policy { name: "none".into(), ..Policy::default() };
    assert!(planned(&[nothing_global], &facts(252), &debian(), &Record::default()).files.is_empty());
}

#[test]
fn r19_a_delegate_that_resolved_would_drop_is_never_written() {
    let facts = facts(260);
    let plan = planned(&[homelab()], &facts, &debian(), &Record::default());
    let path = "/etc/systemd/dns-delegate.d/50-knotwork-homelab-lab.dns-delegate";
    assert_eq!(body(&plan, path), "[Delegate]\nDNS=192.168.4.53\nDomains=~maas ~homelab\nDefaultRoute=no\n");
    assert_eq!(plan.effects(Stage::Before), [Effect::ReloadResolved]);

    let good = wish(&[homelab()], &facts).delegates.remove(0);
    let wrong = |change: &dyn Fn(&mut crate::split::wish::DelegateWish)| {
        let mut wish = good.clone();
        change(&mut wish);
        render::delegate(&wish, crate::split::SystemdVersion(261))
    };
    assert!(wrong(&|_| ()).is_ok());
    assert!(wrong(&|wish| wish.domains[0].name = name("bad/label")).is_err());
    assert!(wrong(&|wish| wish.domains[0].name = name("with\\032blank")).is_err());
    assert!(wrong(&|wish| wish.domains.clear()).is_err());
    assert!(wrong(&|wish| wish.servers.clear()).is_err());
    assert!(wrong(&|wish| wish.servers[0] = server("127.0.0.53")).is_err());
    assert!(wrong(&|wish| wish.servers[0] = server("0.0.0.0")).is_err());
    assert!(wrong(&|wish| wish.id = "50-knotwork-../x".into()).is_err());
    let twice = |wish: &mut crate::split::wish::DelegateWish| wish.servers.push(server("192.168.4.53:5353"));
    assert!(wrong(&twice).is_err(), "before 262 the second one drops the rest of the line");
    let mut wish = good.clone();
    twice(&mut wish);
    assert!(render::delegate(&wish, crate::split::SystemdVersion(262)).is_ok());
}

#[test]
fn r13_a_removed_global_domain_asks_for_a_restart() {
    let facts = facts(256);
    let (mut seen, mut record) = (debian(), Record::default());
    let both = planned(&[homelab()], &facts, &seen, &record);
    assert_eq!(step(&both, paths::RESOLVED_CONF).unwrap().effect, Effect::ReloadResolved);
    carry_out(&mut seen, &mut record, &both);
    let mut less = homelab();
    less.routes[0].domains.pop();
    let plan = planned(&[less], &facts, &seen, &record);
    assert_eq!(plan.effects(Stage::Before), [Effect::RestartResolved]);
    let mut more = homelab();
    more.routes[0].domains.push(name("more"));
    let plan = planned(&[more], &facts, &seen, &record);
    assert_eq!(plan.effects(Stage::Before), [Effect::ReloadResolved]);
    assert_eq!(
        planned(&[], &facts, &seen, &record).effects(Stage::Before),
        [Effect::ReloadSystemd, Effect::RestartResolved]
    );
}

fn foreign(content: &str) -> (Seen, ResolvConfFacts) {
    let mut seen = debian();
    seen.files.insert(paths::RESOLV_CONF.into(), file(content));
    let facts = ResolvConfFacts {
        kind: FileKind::File,
        mode: Some(ResolvConfMode::Foreign),
        content: Content::Other,
        ..ResolvConfFacts::default()
    };
    (seen, facts)
}

#[test]
fn resolv_conf_goes_last_but_before_the_restart_where_resolved_imported_it() {
    let (seen, conf) = foreign("nameserver 10.0.0.1\n");
    let swap = |facts: &HostFacts, policy: &Policy| {
        let plan = planned(std::slice::from_ref(policy), facts, &seen, &Record::default());
        let step = step(&plan, paths::RESOLV_CONF).unwrap();
        (step.stage, step.effect, plan.effects(Stage::Before))
    };
    let mut imported = HostFacts { resolv_conf: Some(conf.clone()), ..facts(260) };
    imported.global.imported = Some(true);
    let (stage, effect, effects) = swap(&imported, &homelab());
    assert_eq!((stage, effect), (Stage::Before, Effect::RestartResolved));
    assert_eq!(effects, [Effect::RestartResolved], "and no reload beside it");
    let own = HostFacts { resolv_conf: Some(conf.clone()), ..facts(260) };
    assert_eq!((swap(&own, &homelab()).0, swap(&own, &homelab()).1), (Stage::Last, Effect::None));
    // With servers of its own, resolved imports nothing at its start; it must be a restart all the same.
    let mut before = HostFacts { resolv_conf: Some(conf), ..facts(252) };
    before.global.imported = Some(true);
    let (stage, _, effects) = swap(&before, &homelab());
    assert_eq!(stage, Stage::Last);
    assert!(effects.contains(&Effect::RestartResolved), "{effects:?}");
}

#[test]
fn a_resolver_that_was_stopped_is_started_and_one_that_is_just_starting_is_left_alone() {
    let with = |active: &str, owner: &str| {
        let unit = UnitState { load: "loaded".into(), active: Some(active.into()), file: Some("enabled".into()) };
        let mut facts = facts(252);
        (facts.services.resolved, facts.services.resolver_owner) = (Some(unit), Some(owner.into()));
        planned(&[homelab()], &facts, &debian(), &Record::default()).needs
    };
    for active in ["inactive", "failed"] {
        let needs = with(active, "");
        assert!(
            needs.iter().any(|need| need.effect == Effect::RestartResolved && need.why.contains(active)),
            "{needs:?}"
        );
    }
    assert!(with("active", "").iter().any(|need| need.why.contains("lost the bus")));
    assert!(with("activating", "").is_empty());
    assert!(with("active", "systemd-resolved").is_empty());
}

#[test]
fn any_spelling_of_the_link_will_do_and_trampled_words_are_written_anew() {
    let mut seen = debian();
    for target in [
        "/run/systemd/resolve/stub-resolv.conf",
        "../../run/systemd/resolve/stub-resolv.conf",
        "./..//run/systemd/resolve/stub-resolv.conf",
    ] {
        seen.files.insert(paths::RESOLV_CONF.into(), link_to(target));
        assert!(step(&planned(&[homelab()], &facts(260), &seen, &Record::default()), paths::RESOLV_CONF).is_none());
    }
    seen.files.insert(paths::RESOLV_CONF.into(), link_to("run/systemd/resolve/stub-resolv.conf"));
    assert!(step(&planned(&[homelab()], &facts(260), &seen, &Record::default()), paths::RESOLV_CONF).is_some());
    seen.files.insert(paths::RESOLV_CONF.into(), link_to("../run/systemd/resolve/stub-resolv.conf"));
    let content = |content| ResolvConfFacts { content, ..ResolvConfFacts::default() };
    let good = HostFacts { resolv_conf: Some(content(Content::Stub)), ..facts(260) };
    assert!(planned(&[homelab()], &good, &seen, &Record::default()).needs.is_empty());
    let bad = HostFacts { resolv_conf: Some(content(Content::Dhclient)), ..facts(260) };
    let plan = planned(&[homelab()], &bad, &seen, &Record::default());
    assert!(plan.needs[0].why.contains("dhclient"), "{:?}", plan.needs);
    assert_eq!(
        plan.effects(Stage::Before),
        [Effect::ReloadResolved, Effect::RewriteResolved],
        "after what may do it too"
    );
    // Gone back to where nothing was managed: what somebody changed since stays.
    let (mut seen, _) = foreign("nameserver 10.0.0.1\n");
    let mut record = Record::default();
    let first = planned(&[homelab()], &facts(260), &seen, &record);
    carry_out(&mut seen, &mut record, &first);
    assert_eq!(
        step(&planned(&[], &facts(260), &seen, &record), paths::RESOLV_CONF).unwrap().to,
        Want::File { content: b"nameserver 10.0.0.1\n".to_vec(), mode: 0o644 }
    );
    seen.files.insert(paths::RESOLV_CONF.into(), file("nameserver 10.0.0.2\n"));
    let mut plan = planned(&[], &facts(260), &seen, &record);
    // The step is there for `--overwrite-edited` alone: whoever leaves what was edited has none.
    assert!(step(&plan, paths::RESOLV_CONF).is_some());
    let left = plan.leave_edited();
    assert!(step(&plan, paths::RESOLV_CONF).is_none());
    let refusal = left.iter().find(|refusal| refusal.at == paths::RESOLV_CONF).expect("it is said");
    assert!(refusal.reason == preflight::EDITED && refusal.way_out.contains("--overwrite-edited"), "{refusal:?}");
}

#[test]
fn networkd_links_get_a_drop_in_of_their_file() {
    let mut facts = facts(252);
    let mut own = link("company0", 3, &["10.9.9.9"], Manager::Networkd);
    own.network_file = Some("/run/systemd/network/10-netplan-company0.network".into());
    facts.links.as_mut().unwrap().push(own);
    let mut wanted = on_link("company0", Some(&["192.0.2.1"]), &["corp.example"]);
    wanted.modes.dnssec = Some(crate::split::policy::Dnssec::Off);
    let plan = planned(&[with_link(wanted.clone())], &facts, &debian(), &Record::default());
    assert_eq!(
        body(&plan, "/etc/systemd/network/10-netplan-company0.network.d/50-knotwork.conf"),
        "[Network]\nDNS=\nDNS=192.0.2.1\nDomains=\nDomains=~corp.example\nDNSDefaultRoute=no\nDNSSEC=no\n\n\
         [DHCPv4]\nUseDNS=no\nUseDomains=no\n\n[DHCPv6]\nUseDNS=no\nUseDomains=no\n\n\
         [IPv6AcceptRA]\nUseDNS=no\nUseDomains=no\n"
    );
    assert_eq!(plan.chosen.last().unwrap().mechanism, Mechanism::Networkd);
    assert!(!plan.links[0].over_bus && step(&plan, paths::BOOT_UNIT).is_none());
    assert_eq!(plan.effects(Stage::Before), [Effect::ReloadNetworkd]);
    // A file that fits another link as well must not carry this one's settings.
    let mut other = link("company1", 4, &[], Manager::Networkd);
    other.network_file = Some("/run/systemd/network/10-netplan-company0.network".into());
    facts.links.as_mut().unwrap().push(other);
    let plan = planned(&[with_link(wanted)], &facts, &debian(), &Record::default());
    assert!(plan.links[0].over_bus && plan.chosen.last().unwrap().why.contains("company1"), "{plan:#?}");
}

#[test]
fn networkmanager_links_are_refused_with_the_command_or_handed_over() {
    let mut facts = facts(252);
    facts.links.as_mut().unwrap().push(link("wlan0", 3, &["10.9.9.9"], Manager::NetworkManager));
    let policy = with_link(on_link("wlan0", Some(&["192.0.2.1"]), &["corp.example"]));
    let plan = planned(std::slice::from_ref(&policy), &facts, &debian(), &Record::default());
    assert_eq!(reasons(&plan), [preflight::NETWORK_MANAGER]);
    assert!(plan.refusals[0].way_out.contains("ipv4.dns-search '~corp.example'"), "{:?}", plan.refusals);
    assert!(plan.refusals[0].way_out.contains("ipv4.dns '192.0.2.1' ipv4.ignore-auto-dns yes"));
    let mut kept_off = policy.clone();
    kept_off.protect.insert(Writer::NetworkManager, true);
    let plan = planned(&[kept_off.clone()], &facts, &debian(), &Record::default());
    assert!(plan.refusals.is_empty() && plan.links[0].over_bus);
    assert!(text(&plan, paths::NETWORK_MANAGER).contains("systemd-resolved=false"));
    // Another link of NetworkManager would lose its servers at the next boot.
    facts.links.as_mut().unwrap().push(link("wwan0", 4, &["10.8.8.8"], Manager::NetworkManager));
    let plan = planned(&[kept_off], &facts, &debian(), &Record::default());
    assert_eq!(reasons(&plan), [preflight::NETWORK_MANAGER]);
    assert!(!text(&plan, paths::NETWORK_MANAGER).contains("systemd-resolved"));
    // What its profile does already needs nothing.
    let mut there = link("wlan0", 3, &["192.0.2.1"], Manager::NetworkManager);
    there.domains = Some(vec!["~corp.example".parse().unwrap()]);
    there.default_route = crate::split::facts::DefaultRoute::No;
    facts.links = Some(vec![there]);
    let plan = planned(&[policy], &facts, &debian(), &Record::default());
    assert!(plan.refusals.is_empty() && plan.is_settled(), "{plan:#?}");
}

#[test]
fn ifupdown_gets_lines_only_where_its_hook_can_read_them_back() {
    let mut facts = facts(252);
    facts.links = Some(vec![link("eth0", 2, &["9.9.9.9"], Manager::Ifupdown)]);
    let policy = with_link(on_link("eth0", Some(&["192.0.2.1"]), &["corp.example"]));
    let mut seen = debian();
    let mut at = |hook: SeenFile| {
        seen.files.insert(paths::IFUPDOWN_HOOK.into(), hook);
        planned(std::slice::from_ref(&policy), &facts, &seen, &Record::default())
    };
    let plan = at(file("#!/bin/sh\nDNS=\"$NEW_DNS\"\n"));
    assert_eq!(plan.chosen.last().unwrap().mechanism, Mechanism::Ifupdown);
    let text = text(&plan, paths::INTERFACES);
    assert!(text.contains("\n    dns-nameservers 192.0.2.1\n    dns-search ~corp.example\n    dns-default-route no\n"));
    assert!(plan.links[0].over_bus && step(&plan, paths::BOOT_UNIT).is_none());
    // As Debian 12 ships it: sh takes "DNS"="…" for a command, and the hook reverts the link.
    let plan = at(file("cat <<EOF >f\n\"$DNS\"=\"$NEW_DNS\"\nEOF\n"));
    assert_eq!(plan.chosen.last().unwrap().mechanism, Mechanism::Bus);
    assert!(step(&plan, paths::INTERFACES).is_none() && step(&plan, paths::BOOT_UNIT).is_some());
    assert_eq!(at(absent()).chosen.last().unwrap().mechanism, Mechanism::Bus);
}

#[test]
fn ifupdowns_lines_go_where_the_stanza_stands_and_nowhere_that_is_made_anew() {
    let mut facts = facts(257);
    let mut own = link("eth1", 3, &["9.9.9.9"], Manager::Ifupdown);
    own.network_file = Some("/etc/network/interfaces.d/inside".into());
    facts.links = Some(vec![own]);
    let mut policy = with_link(on_link("eth1", Some(&["192.0.2.1"]), &["corp.example"]));
    let mut seen = debian();
    seen.files.insert(paths::IFUPDOWN_HOOK.into(), file("#!/bin/sh\n"));
    let stanza = "auto eth1\niface eth1 inet dhcp\n";
    let mut at = |path: &str, text: &str, policy: &Policy| {
        facts.links.as_mut().unwrap()[0].network_file = Some(path.into());
        seen.files.insert(path.into(), file(text));
        planned(std::slice::from_ref(policy), &facts, &seen, &Record::default())
    };
    let plan = at("/etc/network/interfaces.d/inside", stanza, &policy);
    assert!(text(&plan, "/etc/network/interfaces.d/inside").contains("dhcp\n    # BEGIN knotwork"));
    assert!(step(&plan, paths::INTERFACES).is_none() && step(&plan, paths::IF_UP).is_none());
    assert!(plan.notes.iter().any(|note| note.contains("protect: {dhclient")), "{:?}", plan.notes);
    // What a generator makes anew, and modes that the hook does not set, are set at ifup and boot.
    let generated = format!(
        "# This file is generated from information provided by the datasource.\n# /etc/cloud/cloud.cfg.d/x\n{stanza}"
    );
    for (path, text) in
        [("/etc/network/interfaces.d/50-cloud-init", stanza), ("/etc/network/interfaces.d/net", &generated)]
    {
        let plan = at(path, text, &policy);
        assert_eq!(plan.chosen.last().unwrap().mechanism, Mechanism::Bus);
        assert!(plan.chosen.last().unwrap().why.contains(&format!("cloud-init makes {path}")));
        let hook = step(&plan, paths::IF_UP).unwrap();
        assert!(
            matches!(&hook.to, Want::File { mode: 0o755, content } if content.starts_with(b"#!/bin/sh\n# Managed by knotwork"))
        );
        assert!(step(&plan, path).is_none() && step(&plan, paths::BOOT_UNIT).is_some() && plan.refusals.is_empty());
    }
    policy.links[0].modes.llmnr = Some(crate::split::policy::Multicast::Off);
    let plan = at("/etc/network/interfaces.d/inside", stanza, &policy);
    assert_eq!(plan.chosen.last().unwrap().mechanism, Mechanism::Bus);
}

#[test]
fn what_ifupdown_remembers_of_lines_that_are_gone_goes_with_them() {
    let mut facts = facts(257);
    facts.links = Some(vec![link("eth0", 2, &["9.9.9.9"], Manager::Ifupdown)]);
    let policy = with_link(on_link("eth0", Some(&["192.0.2.1"]), &["corp.example"]));
    let mut seen = debian();
    seen.files.insert(paths::IFUPDOWN_HOOK.into(), file("#!/bin/sh\n"));
    let (first, mut record) = (facts.clone(), Record::default());
    let plan = planned(std::slice::from_ref(&policy), &facts, &seen, &record);
    carry_out(&mut seen, &mut record, &plan);
    let wished = wish(std::slice::from_ref(&policy), &facts);
    carry_out_live(&mut facts, &first, &mut record, &plan, &wished);
    // As the hook writes it at the next ifup; and another's for the other family of addresses.
    let [four, six] = paths::ifupdown_memory("eth0");
    let ours = "DNS=\"192.0.2.1\"\nDOMAINS=\"~corp.example\"\nDEFAULT_ROUTE=\"no\"\n";
    seen.files.insert(four.clone(), file(ours));
    seen.files.insert(six.clone(), file("DNS6=\"fd00::1\"\n"));
    // Made anew since, and set by those lines: what was there before us comes back all the same.
    facts.links.as_mut().unwrap()[0].ifindex = 9;
    let plan = planned(&[], &facts, &seen, &record);
    assert_eq!(step(&plan, &four).unwrap().to, Want::Absent);
    assert!(step(&plan, &six).is_none());
    assert_eq!(plan.links.len(), 1);
    assert!(plan.links[0].restores && plan.links[0].wish.servers.as_deref() == Some(&[server("9.9.9.9")]));
    carry_out(&mut seen, &mut record, &plan);
    assert!(record.files.is_empty(), "nobody asks for it back: {record:?}");
}

#[test]
fn only_what_carries_our_mark_and_hash_is_overwritten_or_removed() {
    let facts = facts(260);
    let path = "/etc/systemd/dns-delegate.d/50-knotwork-homelab-lab.dns-delegate";
    let (mut seen, mut record) = (debian(), Record::default());
    seen.files.insert(path.into(), file("[Delegate]\nDNS=10.0.0.1\n"));
    let plan = planned(&[homelab()], &facts, &seen, &record);
    assert_eq!(reasons(&plan), [preflight::NOT_OURS]);
    assert!(plan.files.is_empty());
    seen.files.remove(path);
    let plan = planned(&[homelab()], &facts, &seen, &record);
    carry_out(&mut seen, &mut record, &plan);
    let edited = [seen.files[path].content.as_deref().unwrap(), b"# mine\n"].concat();
    let ours = seen.files.insert(path.into(), file(edited));
    for policies in [vec![homelab()], vec![]] {
        let mut plan = planned(&policies, &facts, &seen, &record);
        assert_eq!(reasons(&plan), [preflight::EDITED]);
        assert_eq!(plan.files.len(), 1, "the step is there for --overwrite-edited");
        plan.overwrite_edited();
        assert!(plan.refusals.is_empty());
    }
    // The memory is lost: the mark tells all the same. Old names of ours go too.
    seen.files.insert(path.into(), ours.unwrap());
    let old = "/etc/systemd/resolved.conf.d/50-knotwork-old.conf";
    seen.files.insert(old.into(), file(mark::stamp(&["x".into()], "[Resolve]\nDNS=10.0.0.1\n")));
    seen.files.insert("/etc/systemd/resolved.conf.d/50-knotwork-foreign.conf".into(), file("[Resolve]\n"));
    let plan = planned(&[], &facts, &seen, &Record::default());
    let gone: Vec<&str> = plan.files.iter().map(|step| step.path.as_str()).collect();
    assert_eq!(gone, [path, old]);
    assert!(plan.files.iter().all(|step| step.to == Want::Absent) && plan.refusals.is_empty());
    assert_eq!(plan.effects(Stage::Before), [Effect::RestartResolved]);
    assert!(plan.notes.iter().any(|note| note.contains("50-knotwork-foreign.conf")));
}

#[test]
fn what_nobody_read_is_refused_not_taken_for_absent() {
    let facts = facts(260);
    let wish = wish(&[homelab()], &facts);
    let plan = plan(&wish, &facts, &Seen::default(), &Record::default());
    assert!(plan.files.is_empty() && reasons(&plan).iter().all(|reason| *reason == preflight::NOT_READ), "{plan:#?}");
    assert_eq!(plan.refusals.len(), targets(&wish, &facts, &Record::default()).paths.len());
}

/// A host of 252 whose eth0 a policy has set over the bus, what is remembered of it, and the policy.
fn with_eth0_set() -> (HostFacts, Record, Policy) {
    let mut facts = facts(252);
    let mut own = on_link("eth0", Some(&["192.0.2.1"]), &["corp.example"]);
    own.default_route = Some(true);
    let policy = with_link(own);
    let mut record = Record::default();
    let first = facts.clone();
    let plan = planned(std::slice::from_ref(&policy), &facts, &debian(), &record);
    carry_out_live(&mut facts, &first, &mut record, &plan, &wish(std::slice::from_ref(&policy), &first));
    (facts, record, policy)
}

#[test]
fn a_link_that_nobody_wishes_any_more_gets_back_what_it_had() {
    let (mut facts, record, _) = with_eth0_set();
    let seen = debian();
    // Somebody adds a domain of his own.
    facts.links.as_mut().unwrap()[0].domains.as_mut().unwrap().push("~theirs".parse().unwrap());
    let plan = planned(&[], &facts, &seen, &record);
    assert!(plan.links[0].restores && plan.links[0].over_bus && plan.links[0].differs == ["servers", "domains"]);
    assert_eq!(plan.links[0].wish.servers, Some(vec![server("9.9.9.9")]));
    assert_eq!(plan.links[0].wish.domains, ["~theirs".parse().unwrap()]);
    assert!(!plan.is_settled());
    facts.links.as_mut().unwrap()[0].ifindex = 7;
    assert!(planned(&[], &facts, &seen, &record).links.is_empty(), "made anew, it has lost our settings");
}

/// With a record of ours: what a link has now and nobody read is neither what it had before nor nothing.
#[test]
fn what_a_link_has_and_nobody_read_is_never_taken_for_none() {
    let (mut facts, record, policy) = with_eth0_set();
    let seen = debian();
    let of = |active: &str, owner: Option<&str>, policies: &[Policy], record: &Record| {
        let mut facts = facts.clone();
        let link = &mut facts.links.as_mut().unwrap()[0];
        (link.servers, link.domains, link.default_route_effective) = (None, None, None);
        link.default_route = crate::split::facts::DefaultRoute::Unknown;
        let unit = UnitState { load: "loaded".into(), active: Some(active.into()), file: Some("enabled".into()) };
        (facts.services.resolved, facts.services.resolver_owner) = (Some(unit), owner.map(str::to_owned));
        planned(policies, &facts, &seen, record)
    };
    let other = Policy { name: "other".into(), ..Policy::default() };
    for policies in [vec![], vec![other], vec![policy]] {
        // It hangs, or the bus is away.
        for (active, owner) in [("active", Some("systemd-resolve")), ("active", None), ("activating", Some(""))] {
            let plan = of(active, owner, &policies, &record);
            assert_eq!(reasons(&plan), [preflight::NOT_READ], "{plan:#?}");
            assert!(!plan.wakes);
        }
        // It was stopped since, or lost the bus.
        for active in ["inactive", "failed", "active"] {
            let plan = of(active, Some(""), &policies, &record);
            assert!(plan.wakes && plan.refusals.is_empty() && !plan.needs.is_empty(), "{plan:#?}");
            // Even that guess is no nothing.
            let restored = plan.links.iter().filter(|step| step.restores);
            assert!(restored.into_iter().all(|step| step.wish.servers == Some(vec![server("9.9.9.9")])), "{plan:#?}");
        }
        // On a host where nothing is ours that is how it was before us.
        if !policies.is_empty() {
            assert!(!of("inactive", Some(""), &policies, &Record::default()).wakes);
        }
    }
    facts.links = None;
    assert_eq!(reasons(&planned(&[], &facts, &seen, &record)), [preflight::NOT_READ]);
}

#[test]
fn a_domain_of_a_route_that_is_gone_does_not_stay_on_its_link() {
    let mut facts = facts(252);
    facts.links.as_mut().unwrap().push(link("lab0", 3, &[], Manager::None));
    let mut policy = homelab();
    policy.routes[0].fail_closed = false;
    policy.routes[0].servers = vec![server("192.168.3.53")];
    let mut record = Record::default();
    let (first, seen) = (facts.clone(), debian());
    let plan = planned(std::slice::from_ref(&policy), &facts, &seen, &record);
    assert_eq!(plan.links[0].wish.domains.len(), 2);
    carry_out_live(&mut facts, &first, &mut record, &plan, &wish(std::slice::from_ref(&policy), &first));
    policy.routes[0].domains.pop();
    let plan = planned(&[policy], &facts, &seen, &record);
    assert_eq!(plan.links[0].wish.domains, ["~maas".parse().unwrap()]);
    assert_eq!(plan.links[0].differs, ["domains"]);
}

#[test]
fn settings_of_ours_in_the_global_scope_are_not_the_hosts_own() {
    let mut facts = facts(252);
    let mut record = Record::default();
    let first = facts.clone();
    let plan = planned(&[homelab()], &facts, &debian(), &record);
    carry_out_live(&mut facts, &first, &mut record, &plan, &wish(&[homelab()], &first));
    assert_eq!(facts.global.servers, Some(vec![server("192.168.4.53")]));
    assert_eq!(without_us(&facts, &record).global.servers, first.global.servers);
    facts.global.servers = Some(vec![server("10.0.0.7")]);
    assert_eq!(without_us(&facts, &record).global.servers, Some(vec![server("10.0.0.7")]), "somebody else's");
}

#[test]
fn names_of_policies_stand_in_the_hosts_block() {
    let mut policy = homelab();
    let line = HostLine { address: "192.168.4.1".parse().unwrap(), names: vec!["gw".into(), "Chief-Horse".into()] };
    policy.hosts_file = vec![line];
    let plan = planned(&[policy], &facts(260), &debian(), &Record::default());
    let text = text(&plan, paths::HOSTS);
    assert!(text.contains("\n192.168.2.2\tchief-horse.maas chief-horse\n# BEGIN knotwork, policy homelab"), "{text}");
    assert!(plan.notes.iter().any(|note| note.contains("names this host")));
}
