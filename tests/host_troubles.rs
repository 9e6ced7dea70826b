//! What a host may be short of: a resolver that tells what its links have, a bus.
//! What is not known is never taken for none; a host is as before or as declared, and what was before us is not forgotten.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::machine::{self, Machine, VERSIONS};

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

const GOOD: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: homelab}
spec:
  routes:
    - {name: lab, domains: [maas, homelab], servers: [192.168.4.53], failClosed: true}
  links:
    - {name: isp, match: {name: eth0}, kind: Regular, servers: [10.11.0.54], defaultRoute: true}
    - {name: inside, match: {name: eth1}, kind: Untrusted}
";

/// The same without a word of links.
const BARE: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: homelab}
spec:
  hostsFile: [{address: 192.168.4.9, names: [chief-horse.maas]}]
";

const BEFORE: &str = "resolvectl dns eth0 10.11.0.53; resolvectl domain eth0 isp.test; resolvectl dns eth1 192.168.4.53; resolvectl domain eth1 maas";

fn links(machine: &mut Machine) -> String {
    machine.must("for what in dns domain default-route; do resolvectl $what | grep ^Link | sort; done")
}

fn rested(machine: &mut Machine) {
    machine.must(
        "rm -f /var/lib/knotwork/host/restarts.json; systemctl reset-failed systemd-resolved 2> /dev/null || true",
    );
}

/// How resolved is made not to tell, and how it is made to tell again where we do not do so ourselves.
const STATES: [(&str, &str, &str); 4] = [
    ("stopped", "systemctl stop systemd-resolved", ""),
    ("hung", "systemctl kill -s STOP systemd-resolved", "systemctl kill -s CONT systemd-resolved"),
    (
        "off the bus",
        "systemctl restart dbus.service; until busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus NameHasOwner s org.freedesktop.systemd1 2> /dev/null | grep -q true; do sleep 0.1; done",
        "",
    ),
    ("without a bus", "mv /run/dbus /run/dbus.away", "mv /run/dbus.away /run/dbus"),
];

#[test]
fn what_links_have_and_nobody_can_read_is_never_taken_for_none() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        machine.write("/root/good.yaml", GOOD);
        machine.write("/root/bare.yaml", BARE);
        machine.must(BEFORE);
        let before = links(&mut machine);
        for (state, break_, mend) in STATES {
            for command in ["rollback", "apply -f /root/bare.yaml"] {
                let what = format!("systemd {version}, {command} while resolved is {state}");
                rested(&mut machine);
                machine.must("knotwork host apply -f /root/good.yaml");
                let declared = links(&mut machine);
                assert_ne!(declared, before, "{what}");
                rested(&mut machine);
                machine.must(break_);
                let (code, text) = machine.run(&format!("timeout 300 knotwork host {command}"));
                eprintln!("{what}: exit {code}");
                if !mend.is_empty() {
                    machine.must(mend);
                    assert_eq!(code, 3, "{what}: {text}");
                    assert!(text.contains("NotRead: eth0, eth1") && text.contains("try again"), "{what}: {text}");
                }
                // Refused or done, and never with links that have nothing.
                machine.resolved_up();
                let now = links(&mut machine);
                let wanted = if code == 0 { &before } else { &declared };
                assert_eq!(&now, wanted, "{what}: {text}");
                assert!(mend.is_empty() || code == 3, "{what}: {text}");
                assert!(!mend.is_empty() || code == 0, "{what}: {text}");
                // What was before us is still known.
                rested(&mut machine);
                machine.must("knotwork host rollback");
                assert_eq!(links(&mut machine), before, "{what}: {text}");
            }
        }
    }
}
