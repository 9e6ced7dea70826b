//! Each refusal, and what it is not about.
#![allow(clippy::unwrap_used)]

use super::testkit::*;
use super::*;
use crate::split::facts::{HostFacts, Kubelet, Listener, Manager, Nss, Proxmox, UnitState};
use crate::split::policy::{Link as LinkPolicy, LinkKind, LinkMatch, Policy, ResolvConf, StubListener};

/// A host whose resolv.conf is somebody's file.
fn before_the_stub() -> Seen {
    let mut seen = debian();
    seen.files.insert(paths::RESOLV_CONF.into(), file("nameserver 10.0.0.1\n"));
    seen
}

fn on(facts: &HostFacts, seen: &Seen) -> HostPlan {
    planned(&[homelab()], facts, seen, &Record::default())
}

fn uplink() -> Policy {
    Policy { resolv_conf: Some(ResolvConf::Uplink), ..homelab() }
}

#[test]
fn f39_kubelet_matrix() {
    let uplink_file = "/run/systemd/resolve/resolv.conf";
    let etc = "/etc/resolv.conf";
    // Flavour, what it was told, whether resolv.conf holds loopback now; whether the stub is refused.
    for (flavour, told, loopback, refused) in [
        ("kubelet", Some(etc), None, true),
        ("kubelet", Some(uplink_file), None, false),
        ("kubelet", Some("/var/lib/own-resolv.conf"), None, false),
        ("kubelet", None, None, true),
        ("k3s", Some(etc), None, true),
        ("k3s", Some(uplink_file), None, false),
        ("k3s", None, Some(false), true),
        ("k3s", None, Some(true), false),
        ("k3s", None, None, true),
        ("rke2", None, Some(false), true),
        ("rke2", None, Some(true), false),
    ] {
        let mut facts = facts(252);
        facts.kubelet = Some(Kubelet {
            flavour: Some(flavour.into()),
            resolv_conf: told.map(str::to_owned),
            needs: Some(Vec::new()),
        });
        if let Some(loopback) = loopback {
            let server = if loopback { "127.0.0.1" } else { "10.0.0.1" };
            facts.resolv_conf = Some(crate::split::facts::ResolvConf {
                servers: Some(vec![server.parse().unwrap()]),
                ..Default::default()
            });
        }
        let plan = on(&facts, &before_the_stub());
        let expected: &[&str] = if refused { &[preflight::KUBELET] } else { &[] };
        assert_eq!(reasons(&plan), expected, "{flavour} {told:?} {loopback:?}");
        // The uplink file is for them.
        assert!(planned(&[uplink()], &facts, &before_the_stub(), &Record::default()).refusals.is_empty());
        // What is the stub already is not our doing.
        let settled = on(&facts, &debian());
        assert!(settled.refusals.is_empty());
    }
    let mut facts = facts(252);
    facts.kubelet = Some(Kubelet { resolv_conf: Some(etc.into()), ..Kubelet::default() });
    let plan = on(&facts, &before_the_stub());
    assert!(plan.refusals[0].way_out.contains(uplink_file) && plan.refusals[0].message.contains("CoreDNS"));
    assert!(on(&facts, &debian()).notes.iter().any(|note| note.contains("is the stub already")));
}

#[test]
fn f40_more_than_three_uplink_servers_are_said() {
    let mut facts = facts(252);
    let count = |facts: &HostFacts, policy: &Policy| {
        let plan = planned(std::slice::from_ref(policy), facts, &debian(), &Record::default());
        plan.notes.iter().filter(|note| note.contains("first three")).cloned().collect::<Vec<_>>()
    };
    let all = ["10.0.0.1", "10.0.0.2", "10.0.0.3:5353", "10.0.0.1%eth0"];
    facts.links.as_mut().unwrap()[0].servers = Some(all.iter().map(|text| server(text)).collect());
    // Two of those, and the global one of the route: the other port is not in the file, and one stands twice.
    assert!(count(&facts, &uplink()).is_empty());
    facts.links.as_mut().unwrap()[0].servers.as_mut().unwrap().push(server("10.0.0.4"));
    assert!(count(&facts, &uplink())[0].contains("4 servers"));
    assert!(count(&facts, &homelab()).is_empty(), "nobody reads it");
    facts.kubelet =
        Some(Kubelet { resolv_conf: Some("/run/systemd/resolve/resolv.conf".into()), ..Kubelet::default() });
    assert_eq!(count(&facts, &homelab()).len(), 1);
}

#[test]
fn r11_more_domains_than_a_scope_takes_are_refused_before_the_call() {
    let names = |count: usize| -> Vec<crate::model::Name> {
        (0..count).map(|i| crate::model::Name::parse(&format!("d{i}.example")).unwrap()).collect()
    };
    let with = |version: u16, count: usize| {
        let mut facts = facts(version);
        facts.links.as_mut().unwrap().push(link("company0", 3, &[], Manager::None));
        let own = LinkPolicy {
            name: "office".into(),
            matches: LinkMatch::Name("company0".into()),
            kind: LinkKind::Corporate,
            servers: Some(vec![server("192.0.2.1")]),
            domains: names(count),
            search: false,
            default_route: None,
            modes: Default::default(),
        };
        let policy = Policy { name: "office".into(), links: vec![own], ..Policy::default() };
        reasons(&planned(&[policy], &facts, &debian(), &Record::default()))
    };
    assert_eq!(with(252, 256), [""; 0]);
    assert_eq!(with(252, 257), [preflight::TOO_MANY]);
    assert_eq!(with(257, 257), [preflight::TOO_MANY]);
    assert_eq!(with(258, 1024), [""; 0]);
    assert_eq!(with(258, 1025), [preflight::TOO_MANY]);
    // In the global scope too.
    let mut many = homelab();
    many.routes[0].domains = names(257);
    assert_eq!(reasons(&planned(&[many.clone()], &facts(252), &debian(), &Record::default())), [preflight::TOO_MANY]);
    assert!(planned(&[many], &facts(260), &debian(), &Record::default()).refusals.is_empty());
}

#[test]
fn r16_a_resolver_that_is_masked_absent_or_another_is_refused() {
    let unit =
        |load: &str, file: Option<&str>| UnitState { load: load.into(), active: None, file: file.map(str::to_owned) };
    let with = |resolved: Option<UnitState>, owner: Option<&str>| {
        let mut facts = facts(252);
        facts.services.resolved = resolved;
        facts.services.resolver_owner = owner.map(str::to_owned);
        let plan = on(&facts, &debian());
        // What takes everything back goes through.
        assert!(planned(&[], &facts, &debian(), &Record::default()).refusals.is_empty());
        reasons(&plan)
    };
    assert_eq!(with(Some(unit("masked", None)), Some("")), [preflight::MASKED]);
    assert_eq!(with(Some(unit("loaded", Some("masked-runtime"))), None), [preflight::MASKED]);
    assert_eq!(with(Some(unit("not-found", None)), Some("")), [preflight::ABSENT]);
    assert_eq!(with(Some(unit("not-found", None)), None), [preflight::ABSENT]);
    assert_eq!(with(Some(unit("loaded", None)), Some("dnsconfd")), [preflight::FOREIGN]);
    assert_eq!(with(Some(unit("loaded", None)), Some("/usr/lib/systemd/systemd-resolved")), [""; 0]);
    // Not running is no reason: it is started.
    assert_eq!(with(Some(unit("loaded", Some("disabled"))), Some("")), [""; 0]);
    assert_eq!(with(None, None), [""; 0]);
}

#[test]
fn a_program_where_resolved_must_listen_is_refused() {
    let with = |policy: Policy, address: &str, protocol: &str| {
        let mut facts = facts(252);
        let program = Some("dnsmasq".to_owned());
        facts.listeners =
            Some(vec![Listener { address: address.parse().unwrap(), protocol: protocol.into(), program }]);
        reasons(&planned(&[policy], &facts, &debian(), &Record::default()))
    };
    for (address, protocol) in [("127.0.0.53:53", "udp"), ("0.0.0.0:53", "tcp"), ("[::]:53", "udp")] {
        assert_eq!(with(homelab(), address, protocol), [preflight::PORT], "{address}");
        assert_eq!(with(uplink(), address, protocol), [""; 0], "nobody needs the stub");
    }
    assert_eq!(with(homelab(), "192.168.122.1:53", "udp"), [""; 0], "libvirt's dnsmasq is in nobody's way");
    let mut extra = uplink();
    extra.global.extra_listeners = Some(vec!["udp:192.168.122.1".into(), "tcp:[::1]:53".into()]);
    assert_eq!(with(extra.clone(), "192.168.122.1:53", "udp"), [preflight::PORT]);
    assert_eq!(with(extra.clone(), "192.168.122.1:53", "tcp"), [""; 0]);
    assert_eq!(with(extra, "[::1]:53", "tcp"), [preflight::PORT]);
    let mut udp = homelab();
    udp.global.stub_listener = Some(StubListener::Udp);
    assert_eq!(with(udp, "127.0.0.53:53", "tcp"), [""; 0]);
    let mut off = homelab();
    off.global.stub_listener = Some(StubListener::Off);
    assert_eq!(with(off, "10.0.0.1:53", "udp"), [preflight::STUB_OFF]);
}

#[test]
fn containers_that_copy_the_hosts_servers_are_listed() {
    let mut facts = facts(252);
    facts.proxmox = Some(Proxmox { containers_on_host_dns: Some(vec![101, 117]) });
    let plan = on(&facts, &before_the_stub());
    assert_eq!(reasons(&plan), [preflight::PROXMOX]);
    assert_eq!(plan.refusals[0].at, "containers 101, 117");
    assert!(plan.refusals[0].way_out.contains("pct set 101 --nameserver 192.168.4.53"), "{:?}", plan.refusals);
    assert!(on(&facts, &debian()).refusals.is_empty());
    assert!(planned(&[uplink()], &facts, &before_the_stub(), &Record::default()).refusals.is_empty());
    facts.proxmox = Some(Proxmox { containers_on_host_dns: Some(Vec::new()) });
    assert!(on(&facts, &before_the_stub()).refusals.is_empty());
}

#[test]
fn r27_what_cannot_be_replaced_is_told_only_where_it_would_be() {
    let lies = |change: &dyn Fn(&mut SeenFile)| {
        let mut seen = before_the_stub();
        change(seen.files.get_mut(paths::RESOLV_CONF).unwrap());
        on(&facts(252), &seen)
    };
    let immutable = lies(&|file| file.locked = Some("immutable (chattr +i)".into()));
    assert_eq!(reasons(&immutable), [preflight::LOCKED]);
    assert!(immutable.refusals[0].message.contains("immutable (chattr +i)"));
    assert_eq!(reasons(&lies(&|file| file.generated_by = Some("NixOS".into()))), [preflight::GENERATED]);
    assert_eq!(reasons(&lies(&|file| file.kind = FileKind::Unknown)), [preflight::UNREADABLE]);
    let mut settled = debian();
    settled.files.get_mut(paths::RESOLV_CONF).unwrap().locked = Some("read-only file system".into());
    assert!(on(&facts(252), &settled).refusals.is_empty());
}

#[test]
fn f35_a_missing_module_or_a_generated_file_is_refused_only_where_the_line_would_change() {
    let with = |hosts: &str, module: Option<bool>, lies: SeenFile| {
        let mut facts = facts(252);
        facts.nss = Some(Nss { hosts: hosts.into(), resolve_module: module });
        let mut seen = debian();
        seen.files.insert(paths::NSSWITCH.into(), lies);
        on(&facts, &seen)
    };
    let plain = || file("hosts: files dns\n");
    assert_eq!(reasons(&with("files dns", Some(false), plain())), [preflight::NSS_MODULE]);
    let plan = with("files dns", Some(true), plain());
    assert!(plan.refusals.is_empty() && step(&plan, paths::NSSWITCH).unwrap().stage == Stage::Last);
    assert!(with("files dns", None, plain()).refusals.is_empty());
    let right = "files resolve [!UNAVAIL=return] dns";
    let noted = with(right, Some(false), file(format!("hosts: {right}\n")));
    assert!(noted.refusals.is_empty() && noted.notes.iter().any(|note| note.contains("libnss_resolve")));
    let authselect =
        || SeenFile { generated_by: Some("authselect".into()), ..link_to("/etc/authselect/nsswitch.conf") };
    let generated = with("files dns", Some(true), authselect());
    assert_eq!(reasons(&generated), [preflight::GENERATED]);
    assert!(generated.refusals[0].message.contains("authselect"));
    assert!(with(right, Some(true), authselect()).refusals.is_empty());
    let unmanaged = Policy { nsswitch: Some(false), ..homelab() };
    let mut seen = debian();
    seen.files.insert(paths::NSSWITCH.into(), authselect());
    assert!(planned(&[unmanaged], &facts(252), &seen, &Record::default()).refusals.is_empty());
}

#[test]
fn the_release_and_who_reloads_must_be_known() {
    let mut unknown = facts(252);
    let wish = wish(&[homelab()], &unknown);
    unknown.systemd = None;
    let mut seen = debian();
    read(&mut seen, &wish, &unknown, &Record::default());
    assert_eq!(reasons(&plan(&wish, &unknown, &seen, &Record::default())), [preflight::VERSION_UNKNOWN]);
    assert_eq!(reasons(&on(&facts(239), &debian())), [preflight::VERSION_OLD]);
    let mut bare = facts(260);
    bare.services.systemd = Some(false);
    assert_eq!(reasons(&on(&bare, &debian())), [preflight::NO_SYSTEMD]);
    let settled = Policy { name: "none".into(), ..Policy::default() };
    assert!(planned(&[settled], &bare, &debian(), &Record::default()).refusals.is_empty(), "nobody must be told");
}

#[test]
fn what_the_wish_cannot_hold_is_refused_and_what_waits_is_said() {
    let mut two = homelab();
    let mut other = two.routes[0].clone();
    other.name = "work".into();
    other.domains = vec![crate::model::Name::parse("work").unwrap()];
    other.servers = vec![server("10.1.1.1")];
    two.routes.push(other);
    let plan = planned(&[two.clone()], &facts(252), &debian(), &Record::default());
    assert_eq!(reasons(&plan), [preflight::UNPLACED]);
    assert!(plan.refusals[0].at.starts_with("homelab spec.routes"), "{:?}", plan.refusals);
    assert!(planned(&[two], &facts(260), &debian(), &Record::default()).refusals.is_empty());
    let waits = LinkPolicy {
        name: "vpn".into(),
        matches: LinkMatch::Glob("wg*".into()),
        kind: LinkKind::Corporate,
        servers: None,
        domains: Vec::new(),
        search: false,
        default_route: None,
        modes: Default::default(),
    };
    let policy = Policy { name: "vpn".into(), links: vec![waits], ..Policy::default() };
    let plan = planned(&[policy], &facts(252), &debian(), &Record::default());
    assert!(plan.refusals.is_empty() && plan.notes[0].contains("waits: no interface fits wg*"), "{:?}", plan.notes);
}

#[test]
fn the_json_fits_its_schema() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../docs/schema/host-plan.schema.json")).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut facts = facts(252);
    facts.proxmox = Some(Proxmox { containers_on_host_dns: Some(vec![101]) });
    let mut seen = before_the_stub();
    seen.files.insert(paths::HOSTS.into(), file(b"\xff\x00"));
    let mut policy = homelab();
    policy.hosts_file =
        vec![crate::split::policy::HostLine { address: "10.0.0.9".parse().unwrap(), names: vec!["nine".into()] }];
    policy.protect.insert(crate::split::policy::Writer::Dhclient, true);
    for plan in [on(&facts, &seen), planned(&[policy], &facts, &seen, &Record::default()), HostPlan::default()] {
        let json = plan.to_json();
        let wrong: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}\n{json:#}");
    }
    let json = on(&facts, &seen).to_json();
    assert_eq!(json["settled"], false);
    assert_eq!(json["files"][0]["action"], "create");
    assert_eq!(json["effects"], serde_json::json!(["reloadSystemd", "reloadResolved"]));
    // Nothing that a plan says may be missing in the schema.
    let (of, at) = (schema["required"].as_array().unwrap(), json.as_object().unwrap());
    assert!(at.keys().all(|key| of.iter().any(|word| word == key)) && at.len() == of.len());
}

#[test]
fn every_reason_is_in_the_document() {
    let document = include_str!("../../docs/hosts.md");
    let sources = [
        include_str!("preflight.rs"),
        include_str!("merge/block.rs"),
        include_str!("merge/nsswitch.rs"),
        include_str!("merge/interfaces.rs"),
    ];
    let mut count = 0;
    for line in sources.iter().flat_map(|source| source.lines()) {
        let word = line
            .strip_prefix("pub const ")
            .and_then(|rest| rest.split_once("&str = \""))
            .or_else(|| line.split_once("reason: \""))
            .and_then(|(_, rest)| rest.split_once('"'));
        if let Some((word, _)) = word {
            count += 1;
            assert!(document.contains(&format!("| `{word}` |")), "docs/hosts.md does not explain {word}");
        }
    }
    assert!(count >= 26, "only {count} found");
}
