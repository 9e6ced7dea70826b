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
