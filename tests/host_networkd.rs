//! Links that a real systemd-networkd manages, of 252, 257 and 262: what facts say of them, and the calls that set them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod support;

use std::time::{Duration, Instant};

use knotwork::resolved::network1::Network1;
use knotwork::resolved::resolve1::{LinkSettings, Resolve1};
use knotwork::resolved::systemd1::{RESOLVED, Systemd1};
use knotwork::resolved::{Bus, BusError, Reason, netlink};
use knotwork::split::HostFacts;
use knotwork::split::facts::{DefaultRoute, Manager};

use support::resolved::{Lab, VERSIONS, machine_state, serve};

/// The upstream servers of every lab: this program again, in the lab's second namespace.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    serve();
}

/// With the addresses that the lab gave, and nothing to wait for.
const NETWORK: &str = "[Match]\nName=e1\n[Network]\nKeepConfiguration=yes\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n\
    DNS=10.1.0.53\nDomains=~corp.test\nDNSDefaultRoute=no\n";

#[test]
fn links_of_networkd_are_told_and_set() {
    let before = machine_state();
    for version in VERSIONS {
        let Some(mut lab) = Lab::start(version) else { continue };
        lab.global("");
        lab.run("mkdir -p $R/etc/systemd/network $R/run/systemd/netif; chroot $R chown systemd-network: /run/systemd/netif; mount -o remount,ro $R/sys");
        lab.write("/etc/systemd/network/20-e1.network", NETWORK);
        lab.run("chroot $R /usr/lib/systemd/systemd-networkd > $work/networkd.out 2>&1 & disown");
        lab.run("e1=$(ip -o link show e1 | cut -d: -f1); for i in $(seq 800); do grep -q ADMIN_STATE=configured $R/run/systemd/netif/links/$e1 2> /dev/null && break; sleep 0.025; done; cat $work/networkd.out; cat $R/run/systemd/netif/links/$e1; grep -q ADMIN_STATE=configured $R/run/systemd/netif/links/$e1");
        lab.run("settled e1 1");
        let program = env!("CARGO_BIN_EXE_knotwork");
        let place = "--root $R --bus unix:path=$R/run/dbus/system_bus_socket";
        let text = lab.run(&format!("{program} host facts -o json {place} < /dev/null"));
        let facts = HostFacts::from_json(&text).unwrap();
        let (e1, e2) = (facts.link("e1").unwrap(), facts.link("e2").unwrap());
        assert_eq!((e1.managed_by, e2.managed_by), (Manager::Networkd, Manager::None), "systemd {version}: {text}");
        assert_eq!(e1.network_file.as_deref(), Some("/etc/systemd/network/20-e1.network"));
        assert_eq!(e1.state.networkd_operstate.as_deref(), Some("routable"));
        assert_eq!(e1.servers.as_ref().unwrap()[0].to_string(), "10.1.0.53");
        // Its domain makes no of itself; that it was set only networkd's state tells.
        assert_eq!((e1.default_route, e2.default_route), (DefaultRoute::No, DefaultRoute::Automatic));
        lab.run("KNOTWORK_LAB_BUS=unix:path=$R/run/dbus/system_bus_socket $upstream --exact inside --ignored --nocapture > $work/inside 2>&1 < /dev/null || { cat $work/inside; false; }");
        let said = lab.run("cat $work/inside");
        assert!(said.contains("1 passed"), "{said}");
    }
    assert_eq!(machine_state(), before, "the machine itself changed");
}

/// Asks resolved until a link is as wanted.
async fn until(resolve1: Resolve1<'_>, index: u32, what: &str, wanted: impl Fn(&LinkSettings) -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let link = resolve1.link(index).await.unwrap();
        if wanted(&link) {
            return;
        }
        assert!(Instant::now() < end, "never {what}: {link:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is done with the typed calls, inside a lab.
#[tokio::test]
#[ignore = "started in the labs"]
async fn inside() {
    let Ok(address) = std::env::var("KNOTWORK_LAB_BUS") else { return };
    let bus = Bus::connect(Some(&address)).await.unwrap();
    let (resolve1, network1) = (Resolve1(&bus), Network1(&bus));
    let index = netlink::links().await.unwrap().iter().find(|link| link.name == "e1").unwrap().ifindex;
    let shown = network1.link(index).await.unwrap();
    assert_eq!(shown.is_managed(), Some(true), "{shown:?}");
    assert_eq!(shown.network_file.as_deref(), Some("/etc/systemd/network/20-e1.network"));
    assert_eq!(network1.link(9999).await.unwrap_err().reason, Reason::NoSuchLink);

    let word = |done: Result<(), BusError>| done.map_err(|error| error.reason);
    let servers = ["10.1.0.54:5353#ns.test".parse().unwrap()];
    assert_eq!(word(resolve1.links().set_servers(index, &servers).await), Err(Reason::LinkBusy));
    assert_eq!(word(resolve1.links().set_default_route(index, true).await), Err(Reason::LinkBusy));
    assert_eq!(word(resolve1.links().revert(index).await), Err(Reason::LinkBusy));
    let set = network1.links();
    set.set_domains(index, &["~other.test".parse().unwrap()]).await.unwrap();
    set.set_default_route(index, true).await.unwrap();
    set.set_servers(index, &servers).await.unwrap();
    until(resolve1, index, "set", |link| {
        let of = |text: Option<String>| text.unwrap_or_default();
        of(link.servers.iter().flatten().map(ToString::to_string).next()) == "10.1.0.54:5353#ns.test"
            && of(link.domains.iter().flatten().map(ToString::to_string).next()) == "~other.test"
            && link.default_route == Some(true)
    })
    .await;
    set.revert(index).await.unwrap();
    until(resolve1, index, "back", |link| {
        link.servers.iter().flatten().any(|server| server.to_string() == "10.1.0.53")
            && link.default_route == Some(false)
    })
    .await;
    network1.reload().await.unwrap();
    network1.reconfigure(index).await.unwrap();
    // Nobody is systemd here, and asking does not make it.
    assert_eq!(Systemd1(&bus).unit(RESOLVED).await.unwrap_err().reason, Reason::Gone);
}
