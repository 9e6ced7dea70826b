//! `knotwork host facts` on real systemd-resolved 252, 257 and 262: what it says is what was set, and `route` on it says
//! who is asked.
//!
//! The seed of a run is printed; `KNOTWORK_SEED` replays it. `tests/parts/install` fetches the daemons.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod route_world;
mod support;

use knotwork::model::{Name, RrType};
use knotwork::resolved::netlink;
use knotwork::resolved::resolve1::{Resolve1, flags};
use knotwork::resolved::{Bus, Reason};
use knotwork::split::facts::{Content, DefaultRoute, FileKind, Manager, ResolvConfMode};
use knotwork::split::route::{Outcome, Path};
use knotwork::split::{DnsServer, HostFacts, RoutedDomain, Router, SystemdVersion};

use route_world::{World, expected, seed};
use support::parts::{Tier, tier};
use support::resolved::{Lab, VERSIONS, machine_state, serve};

/// The upstream servers of every lab: this program again, in the lab's second namespace.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    serve();
}

/// Where our program finds the lab's host.
const PLACE: &str = "--root $R --bus unix:path=$R/run/dbus/system_bus_socket";

/// Runs what follows on every daemon that the machine has.
fn each(test: impl Fn(&mut Lab)) {
    let before = machine_state();
    for version in VERSIONS {
        let Some(mut lab) = Lab::start(version) else { continue };
        test(&mut lab);
    }
    assert_eq!(machine_state(), before, "the machine itself changed");
}

/// What our program says of the lab's host, and what it could not read.
fn facts(lab: &mut Lab) -> (HostFacts, String) {
    let program = env!("CARGO_BIN_EXE_knotwork");
    let text = lab.run(&format!(
        "{program} host facts -o json {PLACE} < /dev/null 2> $work/unread; cat $work/unread > $work/unread.last"
    ));
    let unread = lab.run("cat $work/unread.last");
    (HostFacts::from_json(&text).unwrap(), unread)
}

fn told<T: ToString>(all: &Option<Vec<T>>) -> Vec<String> {
    all.as_ref().expect("known").iter().map(ToString::to_string).collect()
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

#[test]
fn facts_are_what_was_set() {
    each(|lab| {
        let version = lab.version;
        lab.write(
            "/etc/systemd/dns-delegate.d/one.dns-delegate",
            "[Delegate]\nDNS=10.9.0.61%e1 10.9.0.62:5353#ns.test\nDomains=~one.test two.test\nDefaultRoute=yes\n",
        );
        lab.write(
            "/etc/systemd/resolved.conf.d/10-first.conf",
            "[Resolve]\nDNS=8.8.8.8\nResolveUnicastSingleLabel=yes\r\nReadEtcHosts=no",
        );
        lab.global("DNS=10.9.0.53%e2 10.9.0.54:5353#ns.test\nDomains=~glob.test\nFallbackDNS=10.9.0.60\n");
        lab.run("ctl dns e1 10.1.0.53 fd00:1::53; ctl domain e1 '~Corp.Test' lab.test; ctl default-route e1 no");
        // Bound to e2 as the global one is, and the same.
        lab.run("ctl dns e2 10.9.0.53; ctl domain e2 '~.'; ctl dnssec e2 no; ctl llmnr e2 no");
        lab.run("ctl dns e3 10.3.0.53; settled e1 1; settled e2 1; settled e3 1");
        lab.run("ip addr add 10.3.0.9/24 dev e3 preferred_lft 0; ip -n srv link set pe3 down; settled e3 0");
        // Another program on port 53, beside resolved's own stub.
        lab.run("mkdir -p $work/other; KNOTWORK_LAB_UPSTREAM=\"$work/other 10.9.0.1\" $upstream --exact upstream --ignored > /dev/null 2>&1 & for i in $(seq 400); do [ -e $work/other/ready ] && break; sleep 0.025; done; [ -e $work/other/ready ]");
        let (facts, unread) = facts(lab);
        let what = format!("systemd {version}: {facts:#?}\n{unread}");
        assert_eq!(unread, "", "{what}");
        assert_eq!(facts.systemd, Some(SystemdVersion(version)), "{what}");
        assert!(facts.systemd_package.as_ref().unwrap().starts_with(&version.to_string()), "{what}");
        assert_eq!(facts.hostname.as_deref(), Some("linux"));
        assert_eq!((facts.resolve_unicast_single_label, facts.read_etc_hosts), (Some(true), Some(false)));

        assert_eq!(told(&facts.global.servers), ["10.9.0.53%e2", "10.9.0.54:5353#ns.test"], "{what}");
        assert_eq!(told(&facts.global.domains), ["~glob.test"], "{what}");
        assert_eq!(told(&facts.global.fallback), ["10.9.0.60"], "{what}");
        assert_eq!((facts.global.imported, facts.global.fallback_in_use), (Some(false), Some(false)), "{what}");
        assert_eq!(facts.global.modes.dnssec.as_deref(), Some("no"));

        let e1 = facts.link("e1").unwrap();
        assert_eq!(told(&e1.servers), ["10.1.0.53", "fd00:1::53"], "{what}");
        // The order differs by version.
        assert_eq!(sorted(told(&e1.domains)), ["lab.test", "~corp.test"], "{what}");
        assert_eq!((e1.default_route, e1.default_route_effective), (DefaultRoute::No, Some(false)), "{what}");
        assert_eq!((e1.managed_by, e1.kind.as_deref()), (Manager::None, Some("veth")), "{what}");
        assert_eq!(
            (e1.state.up, e1.state.carrier, e1.state.operstate.as_deref()),
            (Some(true), Some(true), Some("up"))
        );
        let addresses = e1.addresses.as_ref().unwrap();
        assert!(addresses.iter().any(|one| one.address.to_string() == "10.1.0.1" && one.prefix == 24), "{what}");
        let e2 = facts.link("e2").unwrap();
        assert_eq!((told(&e2.servers), told(&e2.domains)), (vec!["10.9.0.53".into()], vec!["~.".into()]), "{what}");
        assert_eq!((e2.default_route, e2.default_route_effective), (DefaultRoute::Automatic, Some(true)), "{what}");
        assert_eq!((e2.modes.dnssec.as_deref(), e2.modes.llmnr.as_deref()), (Some("no"), Some("no")), "{what}");
        assert_eq!(e2.scopes_mask.unwrap() & 1, 1);
        let e3 = facts.link("e3").unwrap();
        assert_eq!((e3.state.carrier, e3.scopes_mask.unwrap() & 1), (Some(false), 0), "{what}");
        assert_eq!((e3.default_route, e3.default_route_effective), (DefaultRoute::Automatic, Some(false)), "{what}");
        let old = e3.addresses.as_ref().unwrap().iter().find(|one| one.address.to_string() == "10.3.0.9").unwrap();
        assert!(old.unusable, "{what}");
        assert_eq!(facts.link("lo").unwrap().state.loopback, Some(true));

        let delegates = facts.delegates.as_ref().unwrap();
        if version >= 258 {
            assert_eq!(delegates.len(), 1, "{what}");
            assert_eq!(told(&delegates[0].servers), ["10.9.0.61%e1", "10.9.0.62:5353#ns.test"], "{what}");
            assert_eq!(sorted(told(&delegates[0].domains)), ["two.test", "~one.test"], "{what}");
            assert_eq!((delegates[0].id.as_str(), delegates[0].default_route), ("one", Some(true)), "{what}");
        } else {
            assert!(delegates.is_empty(), "{what}");
        }

        let hosts: Vec<String> = facts.hosts.iter().flatten().flat_map(|line| line.names.clone()).collect();
        assert_eq!(hosts, ["localhost", "listed.hosts.test"]);
        assert!(facts.nss.as_ref().unwrap().modules().any(|module| module == "dns"), "{what}");
        assert_eq!(facts.nss.as_ref().unwrap().resolve_module, Some(true), "{what}");
        assert_eq!(facts.services.systemd, Some(false));
        assert!(facts.services.resolver_owner.as_ref().unwrap().starts_with("systemd-resolve"), "{what}");
        let listeners = facts.listeners.as_ref().unwrap();
        assert_eq!(listeners.len(), 1, "{what}");
        assert_eq!((listeners[0].address.to_string().as_str(), listeners[0].protocol.as_str()), ("10.9.0.1:53", "udp"));
        assert!(listeners[0].program.as_ref().unwrap().starts_with("host_facts"), "{what}");
        assert_eq!((&facts.kubelet, &facts.proxmox), (&None, &None));
    });
}

#[test]
fn resolv_conf_is_told_by_its_words_and_imported_servers_are_seen() {
    each(|lab| {
        lab.global("");
        lab.run("ln -sfn ../run/systemd/resolve/stub-resolv.conf $R/etc/resolv.conf");
        let (stub, _) = facts(lab);
        let conf = stub.resolv_conf.unwrap();
        assert_eq!(
            (conf.kind, conf.content, conf.mode),
            (FileKind::Symlink, Content::Stub, Some(ResolvConfMode::Stub))
        );
        assert_eq!(conf.target.as_deref(), Some("../run/systemd/resolve/stub-resolv.conf"));
        // dhclient writes through the link: it still leads where it should, and resolved still says stub.
        lab.run("cp $R/run/systemd/resolve/stub-resolv.conf $work/saved; echo 'nameserver 10.9.0.54' > $R/run/systemd/resolve/stub-resolv.conf");
        let (trampled, _) = facts(lab);
        let conf = trampled.resolv_conf.unwrap();
        assert_eq!(
            (conf.kind, conf.content, conf.mode),
            (FileKind::Symlink, Content::Other, Some(ResolvConfMode::Stub))
        );
        lab.run("ln -sfn ../run/systemd/resolve/resolv.conf $R/etc/resolv.conf");
        let (uplink, _) = facts(lab);
        assert_eq!(uplink.resolv_conf.unwrap().content, Content::Uplink);
        // Nothing declared anywhere: resolved takes a foreign file's servers for its own.
        lab.run("rm $R/etc/systemd/resolved.conf.d/*; rm $R/etc/resolv.conf; printf 'search x.test\\nnameserver 10.9.0.54\\n' > $R/etc/resolv.conf; fresh");
        let (foreign, _) = facts(lab);
        assert_eq!(told(&foreign.global.servers), ["10.9.0.54"]);
        assert_eq!(foreign.global.imported, Some(true));
        let conf = foreign.resolv_conf.unwrap();
        assert_eq!((conf.kind, conf.mode), (FileKind::File, Some(ResolvConfMode::Foreign)));
        assert_eq!(conf.search.unwrap()[0].to_string(), "x.test");
    });
}

#[test]
fn a_fallback_server_in_use_is_told() {
    each(|lab| {
        lab.global("FallbackDNS=10.9.0.60\n");
        lab.run("nss a.example.com 2");
        let (found, _) = facts(lab);
        assert_eq!(found.global.current.as_ref().map(ToString::to_string).as_deref(), Some("10.9.0.60"));
        assert_eq!(found.global.fallback_in_use, Some(true), "systemd {}", lab.version);
        assert_eq!(told(&found.global.servers), Vec::<String>::new());
    });
}

#[test]
fn what_does_not_run_is_not_started_and_stays_unknown() {
    each(|lab| {
        lab.global("DNS=10.9.0.53\nDomains=~x.test\n");
        lab.run("kill $daemon; wait $daemon; daemon=; for i in $(seq 400); do up || break; sleep 0.025; done; ! up");
        let (stopped, unread) = facts(lab);
        assert!(unread.contains("systemd-resolved does not run"), "{unread}");
        assert_eq!(stopped.services.resolver_owner.as_deref(), Some(""));
        assert_eq!(stopped.link("e1").unwrap().servers, None);
        assert_eq!(stopped.link("e1").unwrap().default_route, DefaultRoute::Unknown);
        // The files are still there to read.
        assert_eq!(told(&stopped.global.servers), ["10.9.0.53"]);
        assert_eq!(stopped.systemd, Some(SystemdVersion(lab.version)));
        lab.run("! up");
        let program = env!("CARGO_BIN_EXE_knotwork");
        let (code, _) = lab.try_run(&format!("{program} route a.x.test {PLACE} < /dev/null"));
        assert_eq!(code, 1);
        // Without a bus at all.
        let text = lab.run(&format!("{program} host facts -o json --root $R --bus unix:path=/nowhere < /dev/null"));
        let blind = HostFacts::from_json(&text).unwrap();
        assert_eq!(blind.services.resolver_owner, None);
        assert!(
            blind.links.as_ref().unwrap().iter().any(|link| link.name == "e1" && link.managed_by == Manager::Unknown)
        );
    });
}

/// Configurations for each version, and queries for each of those.
fn size() -> (usize, usize) {
    if tier() == Tier::Full { (60, 15) } else { (10, 10) }
}

/// `route` from the facts of the running host says who will be asked.
#[test]
fn live_facts_tell_who_will_be_asked() {
    each(|lab| {
        let (version, seed) = (lab.version, seed());
        eprintln!("systemd {version}: KNOTWORK_SEED={seed}");
        let mut random = route_world::Random::new(seed ^ u64::from(version));
        let (worlds, queries) = size();
        let mut wrong = Vec::new();
        for round in 0..worlds {
            let world = if round == 0 { World::telling() } else { World::random(&mut random, version) };
            world.install(lab);
            let (facts, unread) = facts(lab);
            assert_eq!(unread, "", "systemd {version}, KNOTWORK_SEED={seed}");
            let router = Router::new(&facts);
            lab.asked();
            for _ in 0..queries {
                let (name, rtype, path) = world.question(&mut random);
                let reply = match path {
                    Path::Nss => lab.try_run(&format!("nss {name} {}", if rtype == RrType::A { 2 } else { 10 })).1,
                    Path::Stub => lab.try_run(&format!("stub {name} TYPE{}", rtype.0)).1,
                };
                let asked = lab.asked_of(&world.reachable());
                let parsed = Name::parse(&name).unwrap();
                let answers = router.answers(&parsed, rtype, path);
                let route = &answers[0].route;
                let refused = path == Path::Stub && reply.contains("status: REFUSED");
                let outcome_differs = path == Path::Stub && refused != (route.outcome == Outcome::Refused);
                if answers.len() != 1 || expected(route, rtype) != asked || outcome_differs {
                    wrong.push(format!(
                        "round {round}: {name} {rtype:?} {path}: {} answers, the first {:?} {:?}\nasked {asked:?}\n{world:?}\n{}",
                        answers.len(),
                        route.outcome,
                        expected(route, rtype),
                        facts.to_json()
                    ));
                }
            }
        }
        assert!(
            wrong.is_empty(),
            "systemd {version}, KNOTWORK_SEED={seed}: {} wrong\n{}",
            wrong.len(),
            wrong.join("\n\n")
        );
        // The same by the command, on the host as it is now.
        let program = env!("CARGO_BIN_EXE_knotwork");
        let (live, _) = facts(lab);
        let text = lab.try_run(&format!("{program} route www.example.com -o json {PLACE} < /dev/null")).1;
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        let parsed = Name::parse("www.example.com").unwrap();
        let answers = Router::new(&live).answers(&parsed, RrType::A, Path::Nss).len();
        assert_eq!(said["asked"].as_array().unwrap().is_empty(), said["outcome"] != "network", "{text}");
        assert_eq!(said["alternatives"].is_null(), answers == 1, "{text}");
    });
}

#[test]
fn setters_set_what_is_read_back_and_errors_have_their_words() {
    each(|lab| {
        lab.global("");
        lab.run("KNOTWORK_LAB_BUS=unix:path=$R/run/dbus/system_bus_socket $upstream --exact inside --ignored --nocapture > $work/inside 2>&1 < /dev/null || { cat $work/inside; false; }");
        let said = lab.run("cat $work/inside");
        assert!(said.contains("1 passed"), "{said}");
    });
}

/// What is done with the typed calls, inside a lab.
#[tokio::test]
#[ignore = "started in the labs"]
async fn inside() {
    let Ok(address) = std::env::var("KNOTWORK_LAB_BUS") else { return };
    let bus = Bus::connect(Some(&address)).await.unwrap();
    let resolve1 = Resolve1(&bus);
    let links = netlink::links().await.unwrap();
    let index = links.iter().find(|link| link.name == "e1").unwrap().ifindex;
    let set = resolve1.links();
    let servers: Vec<DnsServer> = ["10.1.0.53", "10.1.0.54:8853", "10.1.0.55:853", "[fd00:1::53]:53#ns.test"]
        .map(|text| text.parse().unwrap())
        .into();
    let domains: Vec<RoutedDomain> = ["~corp.test", "lab.test"].map(|text| text.parse().unwrap()).into();
    set.set_domains(index, &domains).await.unwrap();
    set.set_default_route(index, true).await.unwrap();
    set.set_dnssec(index, "no").await.unwrap();
    set.set_dns_over_tls(index, "no").await.unwrap();
    set.set_llmnr(index, "no").await.unwrap();
    set.set_mdns(index, "no").await.unwrap();
    set.set_servers(index, &servers).await.unwrap();
    // resolved makes the scope in its own time.
    let mut link = resolve1.link(index).await.unwrap();
    for _ in 0..500 {
        if link.scopes_mask.unwrap() & 1 == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        link = resolve1.link(index).await.unwrap();
    }
    assert_eq!(link.scopes_mask.unwrap() & 1, 1);
    let shown: Vec<String> = link.servers.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.1.0.53", "10.1.0.54:8853", "10.1.0.55", "fd00:1::53#ns.test"]);
    let mut read: Vec<String> = link.domains.iter().flatten().map(ToString::to_string).collect();
    read.sort();
    assert_eq!(read, ["lab.test", "~corp.test"]);
    assert_eq!(link.default_route, Some(true));
    assert_eq!((link.modes.llmnr.as_deref(), link.modes.mdns.as_deref()), (Some("no"), Some("no")));
    resolve1.flush_caches().await.unwrap();
    resolve1.reset_server_features().await.unwrap();

    let patient = bus.within(std::time::Duration::from_secs(20));
    let found = Resolve1(&patient).hostname(0, "a.corp.test", 2, flags::NO_CACHE).await.unwrap();
    assert_eq!(found.addresses, [(index, "203.1.113.53".parse().unwrap())]);
    assert_ne!(found.flags & flags::FROM_NETWORK, 0);
    let (records, _) = Resolve1(&patient).record(index, "a.corp.test", 16, flags::NO_CACHE).await.unwrap();
    assert_eq!((records.len(), records[0].rtype, records[0].ifindex), (1, 16, index));
    assert!(resolve1.link(index).await.unwrap().current.unwrap().is_some());

    let reason = |done: Result<(), knotwork::resolved::BusError>| done.unwrap_err().reason;
    assert_eq!(reason(set.set_default_route(9999, true).await), Reason::NoSuchLink);
    assert_eq!(reason(set.set_servers(1, &servers).await), Reason::LinkBusy, "the loopback");
    for bad in ["0.0.0.0", "127.0.0.53"] {
        assert_eq!(reason(set.set_servers(index, &[bad.parse().unwrap()]).await), Reason::InvalidArgs, "{bad}");
    }
    let many: Vec<RoutedDomain> = (0..1100).map(|n| format!("~d{n}.test").parse().unwrap()).collect();
    assert_eq!(reason(set.set_domains(index, &many).await), Reason::LimitsExceeded);
    assert_eq!(reason(set.set_dnssec(index, "perhaps").await), Reason::InvalidArgs);

    set.revert(index).await.unwrap();
    let bare = resolve1.link(index).await.unwrap();
    assert_eq!((bare.servers, bare.domains), (Some(Vec::new()), Some(Vec::new())));
    assert_eq!(bus.owner("org.freedesktop.network1").await.unwrap(), None);
}
