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
