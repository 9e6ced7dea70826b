//! What the host commands say to the bus, seen by a relay between: in the order that leaks nothing, again until it reads
//! back, never more than resolved takes; and by root without a single capability.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::time::{Duration, Instant};

use support::fleet::{changes, document, on, rested, shown, state, with};
use support::machine::{self, Machine, SECOND, VERSIONS, at};

/// The far side of every network: this program again, in the labs' other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

/// Starts the relay on the machine's bus; every call that sets something is held for so long.
fn relay(machine: &mut Machine, hold: u32, hook: &str) {
    machine.must("kill $(cat /run/relay.pid 2> /dev/null) 2> /dev/null; rm -f /run/relay*");
    machine.write("/root/relay.pl", include_str!("support/bus_relay.pl"));
    if !hook.is_empty() {
        machine.write("/run/relay.hook", hook);
    }
    machine.must(&format!(
        ": > /run/relay.log; (setsid perl /root/relay.pl {hold} > /run/relay.out 2>&1 & echo $! > /run/relay.pid)"
    ));
    machine.until("test -S /run/relay");
}

const RELAY: &str = "--bus unix:path=/run/relay";

/// The calls since the last time.
fn calls(machine: &mut Machine) -> Vec<String> {
    let text = machine.must("cat /run/relay.log; : > /run/relay.log");
    text.lines().map(str::to_owned).collect()
}

const SPLIT: &str = r#"links:
  - {name: isp, match: {name: eth0}, kind: Regular, servers: ["10.11.0.53"]}
  - {name: inside, match: {name: eth1}, kind: Corporate, servers: ["192.168.4.54"], domains: [maas]}
resolvConf: Unmanaged
nsswitch: Unmanaged
"#;

/// Domains, default route, and only then servers: a server of a few names is never asked for another, not for a moment.
#[test]
fn r9_no_name_goes_astray_while_links_are_set() {
    on(&[252, 262], |machine| {
        relay(machine, 150, "");
        machine.write(
            "/root/asker.sh",
            "echo $$ > /root/asker.pid; n=0; while :; do n=$((n+1)); resolvectl query --cache=no u$n.example.net; resolvectl query --cache=no p$n.maas; done",
        );
        machine.asked();
        machine.must("(setsid sh /root/asker.sh > /root/asker.log 2>&1 &)");
        machine.until("test $(grep -c example.net /root/asker.log) -gt 3");
        let (code, text) = with(machine, &format!("apply {RELAY}"), &document("p", SPLIT));
        assert_eq!(code, 0, "{text}");
        let set = calls(machine);
        let (code, text) = machine.run(&format!("knotwork host rollback {RELAY}"));
        assert_eq!(code, 0, "{text}");
        let given_back = calls(machine);
        machine.must("kill $(cat /root/asker.pid)");
        let asked = machine.asked_behind("eth1");
        let astray: Vec<_> =
            asked.iter().filter(|(by, name, _)| *by == at(SECOND[1]) && !name.ends_with(".maas")).collect();
        assert!(astray.is_empty(), "systemd {}: {astray:?}\nset {set:?}, given back {given_back:?}", machine.version);
        assert!(asked.iter().any(|(by, name, _)| *by == at(SECOND[1]) && name.ends_with(".maas")), "{asked:?}");
        let place = |all: &[String], call: &str| all.iter().position(|one| one.starts_with(call));
        let (domains, default, servers) = (
            place(&set, "SetLinkDomains"),
            place(&set, "SetLinkDefaultRoute"),
            place(&set, "SetLinkDNSEx").or(place(&set, "SetLinkDNS")),
        );
        assert!(domains.is_some() && domains < default && default < servers, "{set:?}");
    });
}

/// R10: 248 to 250 keep entries that were replaced. Here somebody puts one back after each of the first calls.
#[test]
fn r10_a_link_is_set_again_until_it_reads_back() {
    on(&[252, 262], |machine| {
        let stale = |times: u32| {
            format!(
                "[ $1 = SetLinkDefaultRoute ] || exit 0\nn=$(cat /run/relay.n 2> /dev/null || echo 0); [ $n -lt {times} ] || exit 0\n\
                 ip -o link show eth1 | cut -d: -f1 > /run/relay.at; echo $((n+1)) > /run/relay.n\nresolvectl domain eth1 '~maas' '~stale.test'\n"
            )
        };
        let only_inside = SPLIT.lines().filter(|line| !line.contains("isp")).collect::<Vec<_>>().join("\n");
        // What eth0 has is left from the tests before, and is not what this is about.
        let only_inside = format!("{only_inside}\nlint: {{allow: [loses-default-route]}}\n");
        relay(machine, 0, &stale(2));
        let (code, text) = with(machine, &format!("apply {RELAY}"), &document("p", &only_inside));
        assert_eq!(code, 0, "{text}");
        let set = calls(machine);
        let count = |call: &str| set.iter().filter(|one| *one == call).count();
        assert_eq!((count("SetLinkDefaultRoute"), count("RevertLink")), (3, 1), "{set:?}");
        assert_eq!(shown(machine, "domain", "eth1"), ["~maas"]);
        machine.must("knotwork host rollback");

        // What never reads back is undone and said. What somebody set meanwhile is left, and nothing of ours with it.
        let [servers, domains, default] = ["dns", "domain", "default-route"].map(|what| shown(machine, what, "eth1"));
        relay(machine, 0, &stale(5));
        let (code, text) = with(machine, &format!("apply {RELAY}"), &document("p", &only_inside));
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("link eth1") && text.contains("domains"), "{text}");
        assert!(text.contains("somebody set its domains since"), "{text}");
        let (_, status) = machine.run("knotwork host status");
        assert!(status.contains("partlyRolledBack"), "{status}");
        assert_eq!(shown(machine, "dns", "eth1"), servers, "{text}");
        let mut foreign = domains.clone();
        foreign.push("~stale.test".to_owned());
        assert_eq!(shown(machine, "domain", "eth1"), foreign, "{text}");
        let words = if domains.is_empty() { "''".to_owned() } else { domains.join(" ") };
        machine.must(&format!("resolvectl domain eth1 {words}; resolvectl default-route eth1 {}", default[0]));

        // What resolved makes of our own words is nobody else's: it goes.
        machine.must("resolvectl domain eth1 before.test");
        relay(
            machine,
            0,
            "[ $1 = SetLinkDefaultRoute ] && resolvectl domain eth1 | grep -q maas || exit 0\nip -o link show eth1 | cut -d: -f1 > /run/relay.at; resolvectl domain eth1 maas\n",
        );
        let (code, text) = with(machine, &format!("apply {RELAY}"), &document("p", &only_inside));
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("link eth1 does not keep what was set") && !text.contains("somebody"), "{text}");
        assert_eq!(shown(machine, "domain", "eth1"), ["before.test"], "{text}");
        machine.must(&format!("resolvectl domain eth1 {words}; resolvectl default-route eth1 {}", default[0]));
    });
}

/// A resolver that hangs in the middle of a change: calls have deadlines, and what is half done then is undone as soon as
/// somebody answers. What lay in its queue meanwhile does not come back.
#[test]
fn a_resolver_that_hangs_in_the_middle_leaves_nothing() {
    on(&[252, 262], |machine| {
        for call in ["SetLinkDomains", "SetLinkDNSEx"] {
            let before = state(machine);
            let hook = format!(
                "[ $1 = {call} ] && [ ! -e /run/relay.done ] || exit 0\n: > /run/relay.done\nkill -STOP $(systemctl show -P MainPID systemd-resolved)\n"
            );
            relay(machine, 0, &hook);
            let start = Instant::now();
            let (code, text) = with(machine, &format!("apply {RELAY}"), &document("p", SPLIT));
            assert_eq!(code, 1, "{text}");
            assert!(text.contains(call) && text.contains("no reply within"), "{text}");
            assert!(start.elapsed() < Duration::from_secs(120), "{:?}: {text}", start.elapsed());
            machine.must("kill -CONT $(systemctl show -P MainPID systemd-resolved)");
            machine.resolved_up();
            rested(machine);
            // The next start, whatever it is asked for.
            let (code, text) = machine.run("knotwork host rollback");
            assert_eq!(code, 0, "{text}");
            assert_eq!(changes(&before, &state(machine)), [""; 0], "systemd {}: {call}: {text}", machine.version);
        }
    });
}

/// R17: networkd takes the link between the plan and the first call of a setter. resolved refuses from then on (`LinkBusy`),
/// and everything is set at networkd.
#[test]
fn r17_a_setter_that_resolved_refuses_goes_to_networkd() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        // A link that nobody manages: its settings go over the bus. networkd runs, and has no file for it.
        machine.must("ifdown eth1; sed -i '/eth1/d' /etc/network/interfaces; ip address add 192.168.4.20/24 dev eth1; ip link set eth1 up");
        machine.must("systemctl start systemd-networkd && networkctl list eth1 | grep -q unmanaged");
        let network =
            "[Match]\nName=eth1\n[Network]\nAddress=192.168.4.20/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n";
        machine.write("/root/20-eth1.network", network);
        // Quick enough that the call is still within its deadline.
        let taken = "[ $1 = SetLinkDomains ] && [ ! -e /run/relay.done ] || exit 0\n: > /run/relay.done\n\
                     cp /root/20-eth1.network /etc/systemd/network/ && networkctl reload\n\
                     until ! networkctl list eth1 | grep -q unmanaged; do sleep 0.02; done\n";
        relay(&mut machine, 0, taken);
        let policy = "links: [{name: inside, match: {name: eth1}, kind: Corporate, servers: [192.168.4.54], domains: [maas]}]\n\
                      resolvConf: Unmanaged\nnsswitch: Unmanaged\nlint: {allow: [loses-default-route]}\n";
        let (code, text) = with(&mut machine, &format!("apply {RELAY}"), &document("p", policy));
        assert_eq!(code, 0, "systemd {version}: {text}");
        let set = calls(&mut machine);
        // Refused once, and then at networkd in the usual order.
        let wanted = ["SetLinkDomains", "SetLinkDomains", "SetLinkDefaultRoute"];
        assert_eq!(set[..3], wanted, "systemd {version}: {set:?}");
        assert!(set[3..].iter().any(|call| call.starts_with("SetLinkDNS")), "systemd {version}: {set:?}");
        assert_eq!(shown(&mut machine, "dns", "eth1"), ["192.168.4.54"], "systemd {version}");
        assert_eq!(shown(&mut machine, "domain", "eth1"), ["~maas"], "systemd {version}");
        // Who holds it: networkd, and resolved lets nobody else.
        let held = machine.must("cat /run/systemd/netif/links/$(cat /sys/class/net/eth1/ifindex)");
        assert!(held.contains("192.168.4.54"), "systemd {version}: {held}");
        let (code, busy) = machine.run(
            "busctl call org.freedesktop.resolve1 /org/freedesktop/resolve1 org.freedesktop.resolve1.Manager SetLinkDefaultRoute ib $(cat /sys/class/net/eth1/ifindex) true",
        );
        assert!(code != 0 && busy.contains("managed"), "systemd {version}: {busy}");
    }
}

fn many(count: usize) -> String {
    let domains: String = (0..count).map(|n| format!("d{n}.corp.test, ")).collect();
    SPLIT.replace("domains: [maas]", &format!("domains: [{domains}]"))
}

/// R11: the call that would wipe the list is never made.
#[test]
fn r11_more_domains_than_a_scope_takes_never_reach_the_bus() {
    on(&[252], |machine| {
        // Why: what is too much wipes what was there, and the names go elsewhere.
        machine.must("resolvectl domain eth1 '~kept.test'");
        let (code, text) = machine.run("resolvectl domain eth1 $(seq -f '~d%g.test' 257)");
        assert_ne!(code, 0, "{text}");
        assert!(!shown(machine, "domain", "eth1").contains(&"~kept.test".to_owned()));
        machine.must("resolvectl revert eth1");

        relay(machine, 0, "");
        let route = |count: usize, closed: bool| {
            let domains: String = (0..count).map(|n| format!("d{n}.corp.test, ")).collect();
            format!(
                "routes: [{{name: lab, domains: [{domains}], servers: [192.168.4.53], failClosed: {closed}}}]\nlint: {{allow: [leaks-without-link]}}"
            )
        };
        for spec in [many(257), many(300), route(300, true), route(300, false)] {
            for command in ["plan", "apply"] {
                let (code, text) = with(machine, &format!("{command} {RELAY}"), &document("p", &spec));
                assert_eq!(code, 3, "{text}");
                assert!(text.contains("256"), "{text}");
            }
        }
        assert_eq!(calls(machine), [""; 0]);
        let (code, text) = with(machine, &format!("apply {RELAY}"), &document("p", &many(256)));
        assert_eq!(code, 0, "{text}");
        assert_eq!(shown(machine, "domain", "eth1").len(), 256);
        assert!(calls(machine).contains(&"SetLinkDomains".to_owned()));
    });
}

/// R41: root without a single capability, in a mount namespace of its own.
#[test]
fn r41_root_without_capabilities_will_do() {
    on(&[252, 262], |machine| {
        let bare = "setpriv --bounding-set -all --inh-caps -all --ambient-caps -all --no-new-privs";
        let run = |machine: &mut Machine, command: &str| {
            rested(machine);
            machine.run(&format!(
                "unshare --mount {bare} sh -c 'grep -q \"^CapEff:.0*$\" /proc/self/status || exit 99; {command}'"
            ))
        };
        let policy = "routes: [{name: lab, domains: [maas], servers: [192.168.4.53], failClosed: true}]\n\
                      links: [{name: isp, match: {name: eth0}, servers: [10.11.0.53]}, {name: inside, match: {name: eth1}, kind: Untrusted}]\n\
                      hostsFile: [{address: 192.168.4.218, names: [pbs.maas]}]\n\
                      probes: [{name: lab, query: nas.maas, expect: {any: true}}, {name: world, query: example.com, expect: {any: true}}]";
        machine.write("/root/policy.yaml", &document("p", policy));
        let before = state(machine);
        let (code, text) = run(machine, "knotwork host facts -o json");
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("\"eth1\""), "{text}");
        for (command, wanted) in [
            ("host plan -f /root/policy.yaml", 2),
            ("host apply -f /root/policy.yaml", 0),
            ("host plan", 0),
            ("host check", 0),
            ("host status", 0),
            ("route x.maas", 0),
        ] {
            let (code, text) = run(machine, &format!("knotwork {command}"));
            assert_eq!(code, wanted, "systemd {}: {command}: {text}", machine.version);
            assert!(!text.contains("no timer"), "{text}");
        }
        machine.asked();
        machine.net("dig +tries=1 +time=3 @127.0.0.53 x.maas A");
        assert!(machine.asked().iter().any(|(by, name, _)| *by == at(machine::INSIDE) && name == "x.maas"));
        let (code, text) = run(machine, "knotwork host rollback");
        assert_eq!(code, 0, "systemd {}: {text}", machine.version);
        assert_eq!(changes(&before, &state(machine)), [""; 0], "{text}");
    });
}
