//! Facts of a booted machine that the host engine rests on, measured on Debian's own: the guard against their changing.
//!
//! The numbers are those of `host-dns.md` §4 and of its test list (§7).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::machine::{self, INSIDE, ISP, Machine, PUBLIC, SECOND, VERSIONS, at};
use support::resolved::{Log, machine_state};

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

/// Two leases, a stub that answers, servers that log, our own program: what every other test takes for granted.
#[test]
fn it_boots_with_two_leases_and_leaves_the_build_machine_alone() {
    let before = machine_state();
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        assert!(machine.must("systemctl --version").contains(&format!("systemd {version} ")));
        assert_eq!(machine.must("knotwork --version").trim(), format!("knotwork {}", env!("CARGO_PKG_VERSION")));
        for (link, address) in [("eth0", "10.11.0.20/24"), ("eth1", "192.168.4.20/24")] {
            let shown = machine.must(&format!("ip -4 -br addr show {link}"));
            assert!(shown.contains(address), "{shown}");
            assert!(machine.dhcp_log(link).contains("REQUEST"));
        }
        assert!(machine.must("ip route").starts_with("default via 10.11.0.53 dev eth0"));
        assert_eq!(machine.must("readlink /etc/resolv.conf").trim(), "../run/systemd/resolve/stub-resolv.conf");

        // Both networks' servers hear what they are asked, public ones too, and no query of one test is another's.
        let asks =
            [(ISP, "a.test"), (INSIDE, "b.test"), (SECOND[0], "c.test"), (SECOND[1], "d.test"), (PUBLIC[0], "e.test")];
        for (server, name) in asks {
            let (code, text) = machine.net(&format!("dig +short +tries=2 +time=10 @{server} {name} A"));
            assert!(code == 0 && text.starts_with("203."), "{server} {name}: {text}");
        }
        assert_eq!(
            machine.asked_behind("eth1"),
            Log::from(
                asks.map(|(server, name)| (at(server), name.to_owned(), 1))
                    .into_iter()
                    .filter(|(_, name, _)| ["b.test", "d.test"].contains(&name.as_str()))
                    .collect::<Log>()
            )
        );
        assert_eq!(machine.asked().len(), 3, "the other network's, the public one behind the default route among them");
        assert_eq!(machine.asked(), Log::new());

        // The kernel is the build machine's: only what is in a namespace may be changed from inside.
        assert_ne!(machine.run("test -w /proc/sys/kernel/panic").0, 0);
        machine.must("test -w /proc/sys/net/ipv4/ip_forward");
        let bound = machine.must("sed -n 's/^CapBnd:.//p' /proc/self/status /proc/1/status");
        for line in bound.lines() {
            let bits = u64::from_str_radix(line.trim(), 16).unwrap();
            assert_eq!(bits & (1 << 25 | 1 << 16), 0, "the clock and the modules of the build machine: {line}");
        }
        assert_eq!(machine.must("systemctl is-system-running").trim(), "running");
    }
    assert_eq!(machine_state(), before);
}

/// Renewals, power loss, reboot and a new link are what they are on a real machine.
#[test]
fn the_labs_own_doings_are_real() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        for link in ["eth0", "eth1"] {
            machine.renew_dhcp(link);
        }
        machine.must("echo kept > /var/tmp/kept; echo lost > /run/lost");
        machine.reboot();
        assert_eq!(machine.must("systemctl is-system-running").trim(), "running");
        assert_eq!(machine.must("cat /var/tmp/kept").trim(), "kept");
        assert_ne!(machine.run("cat /run/lost").0, 0);
        let index = machine.ifindex("eth1");
        machine.recreate_link("eth1");
        assert_ne!(machine.ifindex("eth1"), index);
        assert!(machine.must("ip -4 -br addr show eth1").contains("192.168.4.20/24"));
        eprintln!("systemd {version}: a killed resolved is back after {:?}", machine.kill_resolved());
        machine.power_cycle();
        assert!(machine.must("ip -4 -br addr show eth0").contains("10.11.0.20/24"));
    }
}

/// A link's settings as resolved tells them, of what the tests set.
fn link_says(machine: &mut Machine, link: &str) -> String {
    machine.must(&format!("resolvectl dns {link}; resolvectl domain {link}; resolvectl default-route {link}"))
}

fn set_link(machine: &mut Machine, link: &str) -> String {
    let server = SECOND[usize::from(link == "eth1")];
    machine.must(&format!(
        "resolvectl domain {link} '~corp.test' && resolvectl default-route {link} no && resolvectl dns {link} {server}"
    ));
    let says = link_says(machine, link);
    assert!(says.contains(server) && says.contains("~corp.test") && says.contains(": no"), "{says}");
    says
}

/// R20–R22: what is set by resolve1 is kept where only the daemon goes, and lost where the link goes.
#[test]
fn r22_link_settings_outlive_the_daemon_but_neither_the_link_nor_the_boot() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let ours = set_link(&mut machine, "eth1");
        machine.must("systemctl restart systemd-resolved");
        assert_eq!(link_says(&mut machine, "eth1"), ours, "systemd {version}: restart");
        machine.kill_resolved();
        assert_eq!(link_says(&mut machine, "eth1"), ours, "systemd {version}: SIGKILL");
        machine.must("systemctl stop systemd-resolved && systemctl start systemd-resolved");
        assert_eq!(link_says(&mut machine, "eth1"), ours, "systemd {version}: stop and start");
        machine.must("ip link set eth1 down && ip link set eth1 up");
        if machine.dhclient() {
            assert_eq!(link_says(&mut machine, "eth1"), ours, "systemd {version}: down and up");
        } else {
            // Not resolved's doing: dhcpcd takes its lease up again and says so by resolvconf.
            machine.until(&format!("resolvectl dns eth1 | grep -q {INSIDE}"));
        }

        machine.replace_link("eth1");
        machine.until("resolvectl dns eth1");
        let says = link_says(&mut machine, "eth1");
        assert!(!says.contains(SECOND[1]) && !says.contains("corp.test"), "systemd {version}: a new link: {says}");
        set_link(&mut machine, "eth0");
        machine.reboot();
        let says = link_says(&mut machine, "eth0");
        assert!(!says.contains(SECOND[0]) && !says.contains("corp.test"), "systemd {version}: a new boot: {says}");
    }
}

/// R15: the sixth start within ten seconds is refused, and leaves the host without DNS until somebody resets the unit.
#[test]
fn r15_five_starts_in_ten_seconds_then_dns_is_dead_until_reset() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        assert_eq!(machine.must("systemctl show -P StartLimitBurst systemd-resolved").trim(), "5");
        assert_eq!(machine.must("systemctl show -P StartLimitIntervalUSec systemd-resolved").trim(), "10s");
        // Starts of the boot count too, unless they are forgotten first.
        let counted = machine.must(
            "systemctl reset-failed systemd-resolved; n=0
             while systemctl restart systemd-resolved 2> /dev/null; do n=$((n+1)); [ $n = 40 ] && break; done; echo $n",
        );
        assert_eq!(counted.trim(), "5", "systemd {version}");
        // In an order that differs by version.
        assert_eq!(
            machine.must("systemctl show -P ActiveState systemd-resolved").trim(),
            "failed",
            "systemd {version}"
        );
        assert_eq!(machine.must("systemctl show -P Result systemd-resolved").trim(), "start-limit-hit");
        assert_ne!(machine.run("getent -s dns ahosts name.test").0, 0, "the stub is gone");
        machine.must("systemctl reset-failed systemd-resolved && systemctl start systemd-resolved");
        machine.resolved_up();
    }
}

/// A property read as a bus call: busctl 252 ignores `--auto-start=no` for its own `get-property`.
const READ: &str = "call org.freedesktop.resolve1 /org/freedesktop/resolve1 org.freedesktop.DBus.Properties Get ss org.freedesktop.resolve1.Manager DNS";

/// R16: a property read wakes a stopped daemon, unless it is told not to, and never a masked one.
#[test]
fn r16_a_read_wakes_a_stopped_daemon_and_not_a_masked_one() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let active = "systemctl show -P ActiveState systemd-resolved";
        machine.must("systemctl stop systemd-resolved");
        assert_ne!(machine.run(&format!("busctl --auto-start=no {READ}")).0, 0, "systemd {version}");
        assert_eq!(
            machine.must(active).trim(),
            "inactive",
            "systemd {version}: a read without auto-start wakes nobody"
        );
        machine.must(&format!("busctl {READ}"));
        assert_eq!(machine.must(active).trim(), "active", "systemd {version}: a plain read does");

        machine.must("systemctl mask --now systemd-resolved 2>&1");
        assert_eq!(machine.must("systemctl show -P LoadState -P UnitFileState systemd-resolved"), "masked\nmasked\n");
        let (code, text) = machine.run(&format!("busctl {READ}"));
        assert_ne!(code, 0, "systemd {version}: {text}");
        eprintln!("systemd {version}, masked: {}", text.trim());
        assert_eq!(machine.must(active).trim(), "inactive", "systemd {version}");
    }
}

const DROP_IN: &str = "/etc/systemd/resolved.conf.d/50-lab.conf";

/// R13, R14: 252 cannot reload; the others can, and then keep a global domain that is no longer in any file.
#[test]
fn r13_a_reload_replaces_servers_and_keeps_removed_domains() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let can = machine.must("systemctl show -P CanReload -P Type systemd-resolved");
        let expected = if version < 256 { ["no", "notify"] } else { ["yes", "notify-reload"] };
        let mut can: Vec<_> = can.split_whitespace().collect();
        can.sort_unstable();
        assert_eq!(
            can,
            {
                let mut e = expected;
                e.sort_unstable();
                e
            },
            "systemd {version}"
        );
        machine.must("mkdir -p /etc/systemd/resolved.conf.d");
        machine.write(DROP_IN, "[Resolve]\nDNS=10.11.0.54\nDomains=~first.test\n");
        if version < 256 {
            let pid = machine.must("systemctl show -P MainPID systemd-resolved");
            assert_ne!(machine.run("systemctl reload systemd-resolved").0, 0);
            assert_eq!(machine.must("systemctl show -P MainPID systemd-resolved"), pid, "and nothing happened");
            machine.must("systemctl kill -s HUP systemd-resolved");
            machine.until(&format!("test $(systemctl show -P MainPID systemd-resolved) -gt 1 && test $(systemctl show -P MainPID systemd-resolved) != {}", pid.trim()));
            machine.resolved_up();
        } else {
            machine.must("systemctl reload systemd-resolved");
        }
        let global =
            |machine: &mut Machine| machine.must("resolvectl dns | grep Global; resolvectl domain | grep Global");
        let says = global(&mut machine);
        assert!(says.contains("10.11.0.54") && says.contains("~first.test"), "systemd {version}: {says}");

        machine.write(DROP_IN, "[Resolve]\nDNS=192.168.4.54\nDomains=~second.test\n");
        if version >= 256 {
            machine.must("systemctl reload systemd-resolved");
            let says = global(&mut machine);
            assert!(says.contains("192.168.4.54") && !says.contains("10.11.0.54"), "systemd {version}: {says}");
            assert!(says.contains("~second.test") && says.contains("~first.test"), "systemd {version}: {says}");
        }
        machine.must("systemctl restart systemd-resolved");
        let says = global(&mut machine);
        assert!(says.contains("~second.test") && !says.contains("~first.test"), "systemd {version}: {says}");
    }
}

/// From 258 on: a delegate comes and goes with a reload, and no link matters to it.
#[test]
fn r20_a_delegate_outlives_a_new_link_and_a_boot() {
    let Some(mut machine) = Machine::boot(262) else { return };
    machine.must("mkdir -p /etc/systemd/dns-delegate.d");
    let file = "/etc/systemd/dns-delegate.d/50-lab.dns-delegate";
    machine.write(file, &format!("[Delegate]\nDNS={INSIDE}\nDomains=homelab\nDefaultRoute=no\n"));
    machine.must("systemctl reload systemd-resolved");
    let goes_inside = |machine: &mut Machine, name: &str, when: &str| {
        machine.asked();
        machine.must(&format!("resolvectl -4 --cache=no query {name}.homelab"));
        assert_eq!(machine.asked(), Log::from([(at(INSIDE), format!("{name}.homelab"), 1)]), "{when}");
    };
    goes_inside(&mut machine, "a", "after a reload");
    machine.recreate_link("eth1");
    goes_inside(&mut machine, "b", "after a new link");
    machine.reboot();
    goes_inside(&mut machine, "c", "after a boot");
    machine
        .must(&format!("rm {file} && systemctl reload systemd-resolved && resolvectl -4 --cache=no query d.homelab"));
    let asked = machine.asked();
    assert!(asked.contains(&(at(ISP), "d.homelab".to_owned(), 1)), "without it the name leaks: {asked:?}");
}
