//! An uplink that has no servers for a while (`ifdown`, a link reverted by hand) loses nothing that is to outlast it: the hook,
//! the unit at boot, what the agent holds. It is set again when it is back, also by a boot without any agent, and what is the
//! matter meanwhile is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::machine::{self, INSIDE, ISP, Machine, VERSIONS, at};
use support::resolved::Log;

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

/// The runbook's: nothing is said of the uplink, whose servers come from its leases.
const POLICY: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: homelab}
spec:
  routes:
    - {name: lab, domains: [maas, homelab], servers: [192.168.4.53], reverseFor: [192.168.4.0/24], failClosed: true}
  protect: {dhclient: \"On\", dhcpcd: \"On\"}
  lint: {allow: [moves-default-route]}
";

/// Starts the unit that ships, which looks by itself only once an hour; ready when the policy stands.
fn start(machine: &mut Machine) {
    let unit = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/systemd/knotwork-agent.service"));
    machine.must("mkdir -p /etc/knotwork/policies /etc/systemd/system/knotwork-agent.service.d");
    machine.write("/etc/knotwork/policies/policy.yaml", POLICY);
    machine.write("/etc/systemd/system/knotwork-agent.service", &unit.unwrap());
    machine.write(
        "/etc/systemd/system/knotwork-agent.service.d/poll.conf",
        "[Service]\nExecStart=\nExecStart=/usr/local/bin/knotwork agent -f /etc/knotwork/policies --poll 60m\n",
    );
    machine.must("systemctl daemon-reload && systemctl enable --now knotwork-agent 2>&1");
}

/// The unit says so of itself.
fn says(machine: &mut Machine, words: &str) {
    machine.until(&format!(
        "systemctl show -P StatusText knotwork-agent; systemctl show -P StatusText knotwork-agent | grep -q '{words}'"
    ));
}

/// The uplink is one: it has its servers, and takes what no domain covers.
const UPLINK: &str = "resolvectl dns eth0 | grep -q 10.11.0.53 && resolvectl domain eth0 | grep -q '~\\.'";

/// What sets the uplink again without any agent.
const LASTS: &str = "test -x /etc/network/if-up.d/zz-knotwork && test -e /etc/systemd/system/knotwork-host.service && \
                     test -L /etc/systemd/system/multi-user.target.wants/knotwork-host.service";

/// Private names go to their server, and public ones to the uplink's, each to nobody else.
fn is_split(machine: &mut Machine, when: &str) {
    machine.asked();
    let name = when.replace(' ', "-");
    machine.must(&format!("for z in maas homelab example.org; do resolvectl -4 --cache=no query {name}.$z; done"));
    let expected = [(INSIDE, "maas"), (INSIDE, "homelab"), (ISP, "example.org")];
    let expected: Log = expected.map(|(by, zone)| (at(by), format!("{name}.{zone}"), 1)).into_iter().collect();
    let asked: Log = machine.asked().into_iter().filter(|(_, asked, _)| asked.starts_with(&name)).collect();
    assert_eq!(asked, expected, "systemd {}, {when}", machine.version);
}

#[test]
fn r21_an_uplink_that_loses_its_servers_keeps_what_sets_it_again() {
    // From 258 on no uplink is ours: a delegate needs none.
    for version in [VERSIONS[0], VERSIONS[1]] {
        let Some(mut machine) = Machine::boot(version) else { continue };
        start(&mut machine);
        // Debian 12 hands the servers on with the next lease, and only then are they known.
        if machine.run(UPLINK).0 != 0 {
            machine.renew_dhcp("eth0");
        }
        machine.until(&format!("{UPLINK} && {LASTS} && knotwork host check"));
        is_split(&mut machine, "declared");
        for (what, back) in [("resolvectl revert eth0", false), ("ifdown eth0", true)] {
            machine.must(what);
            says(&mut machine, "NoServers link eth0: it has no servers now (it had 10.11.0.53)");
            machine.must(LASTS);
            let (code, text) = machine.run("knotwork host check");
            assert!(code == 3 && text.contains("link eth0: it has no servers now"), "{version}, {what}: {code} {text}");
            // Names that no domain covers have nobody else; those of the route go where they always do.
            machine.asked();
            machine.must("resolvectl -4 --cache=no query meanwhile.maas");
            let asked: Log = machine.asked().into_iter().filter(|(_, name, _)| name == "meanwhile.maas").collect();
            assert_eq!(asked, Log::from([(at(INSIDE), "meanwhile.maas".into(), 1)]), "{version}, {what}");
            match back {
                true => drop(machine.must("ifup eth0")),
                false => machine.renew_dhcp("eth0"),
            }
            machine.until(UPLINK);
            says(&mut machine, "the host is as declared");
            machine.must(&format!("{LASTS} && knotwork host check"));
            is_split(&mut machine, &format!("after {what}"));
        }
        // A boot in that state, with nobody but what is on the disk.
        machine.must("ifdown eth0");
        says(&mut machine, "NoServers link eth0");
        machine.must("systemctl disable knotwork-agent 2>&1");
        machine.reboot();
        machine.until(&format!("{UPLINK} && {LASTS}"));
        is_split(&mut machine, "booted");
        machine.until("knotwork host check");

        machine.must("knotwork host rollback");
        assert_ne!(machine.run(LASTS).0, 0, "{version}: given back");
        assert_ne!(machine.run("resolvectl domain eth0 | grep '~'").0, 0, "{version}: given back");
    }
}

/// What resolved remembers of links that it was told about, the one file that tells what is set from what comes of nothing.
fn memory(machine: &mut Machine) -> String {
    machine.must(
        "cd /run/systemd/resolve && for f in netif/*; do [ ! -e $f ] || { echo $f; grep -v '^#' $f | sort; }; done",
    )
}

/// Neither we nor systemd remember that resolved was restarted just now.
const RESTED: &str = "rm -f /var/lib/knotwork/host/restarts.json; systemctl reset-failed systemd-resolved";

/// Taken back, a link's default route is automatic again and its modes follow the host, to the octet: whatever is set there by
/// hand or by the policy itself for the host as a whole.
#[test]
fn f33_a_rollback_leaves_nothing_set_that_was_not() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        machine.must("systemctl stop knotwork-agent 2> /dev/null; resolvectl revert eth0; resolvectl revert eth1");
        let split = POLICY.replace("  protect", "  global: {dnsOverTLS: Opportunistic}\n  protect");
        let links = "  links:\n    - {name: isp, match: {name: eth0}, kind: Regular, servers: [10.11.0.54], domains: [x.test], dnssec: \"Off\", dnsOverTLS: \"Off\"}\n";
        let both = format!("{POLICY}{links}");
        for (before, policy) in [
            // As DHCP clients leave it, and as a person may.
            ("resolvectl domain eth0 isp.test; resolvectl dns eth0 10.11.0.53", &*split),
            ("resolvectl domain eth0 isp.test; resolvectl dns eth0 10.11.0.53", &both),
            ("resolvectl dns eth0 10.11.0.53; resolvectl default-route eth0 yes; resolvectl dnssec eth0 no", &split),
            ("resolvectl default-route eth0 no; resolvectl llmnr eth0 no", &both),
            ("true", &both),
        ] {
            machine.must(&format!("resolvectl revert eth0; {RESTED}; {before}"));
            let was = memory(&mut machine);
            machine.write("/root/policy.yaml", policy);
            machine.must(&format!("knotwork host apply -f /root/policy.yaml && {RESTED}"));
            // A delegate touches no link.
            let is_touched = version < 258 || policy == both;
            assert_eq!(memory(&mut machine) != was, is_touched, "systemd {version}, {before}");
            machine.must("knotwork host rollback");
            assert_eq!(memory(&mut machine), was, "systemd {version}, {before}");
            // One change is taken back likewise, and so is one that failed.
            machine.must(&format!("{RESTED}; knotwork host apply -f /root/policy.yaml"));
            machine.must(&format!("{RESTED}; knotwork host rollback --transaction last"));
            assert_eq!(memory(&mut machine), was, "systemd {version}, {before}: one change");
        }
    }
}
