//! The agent on whole machines, by the unit that ships: what anybody does to the host is put back, in bounded time, and
//! no private name is asked of the wrong server meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::time::Duration;

use support::machine::{self, INSIDE, ISP, Machine, VERSIONS, at};
use support::resolved::machine_state;

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

const POLICY: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: homelab}
spec:
  routes:
    - {name: lab, domains: [maas, homelab], servers: [192.168.4.53], reverseFor: [192.168.4.0/24], failClosed: true}
  links:
    - {name: isp, match: {name: eth0}, kind: Regular, servers: [10.11.0.53], defaultRoute: true}
    - {name: inside, match: {name: eth1}, kind: Untrusted}
  probes:
    - {name: lab, query: pbs.maas, expect: {any: true}}
    - {name: world, query: example.com, expect: {any: true}}
";

/// Runs the shipped unit with a quick poll; waits until it says that it is ready, which it is after its first change.
fn start(machine: &mut Machine, policy: &str) {
    let unit = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/systemd/knotwork-agent.service"));
    machine.must("mkdir -p /etc/knotwork/policies");
    machine.write("/etc/knotwork/policies/policy.yaml", policy);
    machine.write("/etc/systemd/system/knotwork-agent.service", &unit.unwrap());
    machine.must("systemctl daemon-reload && systemctl enable knotwork-agent 2>&1");
    let (code, text) = machine.run("systemctl start knotwork-agent");
    assert_eq!(code, 0, "{text}\n{}", journal(machine));
    machine.must("knotwork host check");
}

fn journal(machine: &mut Machine) -> String {
    machine.run("systemctl status knotwork-agent --no-pager -n 0; journalctl -u knotwork-agent --no-pager -o cat").1
}

/// The value of a line of the metrics.
fn metric(machine: &mut Machine, line: &str) -> f64 {
    let all = machine.must("exec 3<>/dev/tcp/127.0.0.1/9469; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3");
    let value = all.lines().find_map(|own| own.strip_prefix(line).and_then(|rest| rest.trim().parse().ok()));
    value.unwrap_or(f64::NAN)
}

/// What a program that reads resolv.conf would ask is right.
const RIGHT: &str = "[ \"$(readlink /etc/resolv.conf)\" = ../run/systemd/resolve/stub-resolv.conf ] && grep -q '^nameserver 127.0.0.53' /etc/resolv.conf && [ \"$(grep -c ^nameserver /etc/resolv.conf)\" = 1 ]";

/// Does something to the machine and polls in there, without a pause, until something is so again. Gives how long that
/// took, by the machine's own clock.
fn until_right(machine: &mut Machine, what: &str, right: &str) -> Duration {
    let script = format!(
        "{what}\na=${{EPOCHREALTIME/./}}\nn=0\nuntil {right}; do n=$((n+1)); [ $(( (${{EPOCHREALTIME/./}} - a) / 1000000 )) -lt 90 ] || {{ echo never; exit 1; }}; done\necho $(( ${{EPOCHREALTIME/./}} - a ))\n"
    );
    machine.write("/root/until.sh", &script);
    let (code, text) = machine.run("bash /root/until.sh 2>/dev/null");
    assert_eq!(code, 0, "{}: {what}: not right again\n{}", text, journal(machine));
    Duration::from_micros(text.trim().lines().last().unwrap().parse().unwrap())
}

#[test]
fn whatever_is_done_to_the_host_is_put_back() {
    let before_all = machine_state();
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        start(&mut machine, POLICY);
        eprintln!("{version}: {}", journal(&mut machine));
        let links = "resolvectl dns eth0; resolvectl domain eth0; resolvectl domain eth1; resolvectl default-route eth0; resolvectl default-route eth1";
        // A link that was made anew has another number.
        let links = format!("({links}) | sed 's/^Link [0-9]* //'");
        machine.must(&format!("{links} > /root/declared"));
        let is_declared = format!("diff /root/declared <({links})");

        for what in [
            "echo nameserver 9.9.9.9 > /etc/resolv.conf",
            "rm /etc/resolv.conf; echo nameserver 9.9.9.9 > /etc/resolv.conf",
            "echo nameserver 9.9.9.9 > /etc/resolv.conf.new; mv /etc/resolv.conf.new /etc/resolv.conf",
            "ln -sfn /etc/hostname /etc/resolv.conf",
            "rm /etc/resolv.conf",
        ] {
            let took = until_right(&mut machine, what, RIGHT);
            eprintln!("{version}: {what}: right again after {took:?}");
            if took > Duration::from_secs(1) {
                eprintln!("{}", journal(&mut machine));
            }
            machine.until(&format!("knotwork host check && {is_declared}"));
        }
        // Set by hand: domains and default routes emit no signal, servers do.
        for what in
            ["resolvectl dns eth0 9.9.9.9", "resolvectl domain eth1 '~wrong'", "resolvectl default-route eth1 yes"]
        {
            let (code, text) = machine.run(what);
            assert_eq!(code, 0, "{text}");
            machine.until(&is_declared);
        }
        machine.kill_resolved();
        machine.until(&format!("knotwork host check && {is_declared}"));
        machine.must("systemctl stop systemd-resolved");
        machine.until(&format!("knotwork host check && {is_declared}"));
        machine.recreate_link("eth0");
        machine.until(&format!("knotwork host check && {is_declared}"));
        machine.renew_dhcp("eth0");
        machine.until(&format!("knotwork host check && {is_declared}"));
        assert_eq!(metric(&mut machine, "knotwork_host_good"), 1.0, "{}", journal(&mut machine));
        eprintln!("{version}: {}", journal(&mut machine));

        // The agent's own probes go on.
        machine.must("systemctl stop knotwork-agent");
        machine.asked();
        for (name, server) in [("one.maas", INSIDE), ("www.example.net", ISP)] {
            machine.net(&format!("dig +tries=1 +time=8 @127.0.0.53 {name} A"));
            let asked = machine.asked();
            assert!(
                !asked.is_empty() && asked.iter().all(|(by, _, _)| *by == at(server)),
                "{version} {name}: {asked:?}"
            );
        }
        machine.must("systemctl start knotwork-agent");
        let (code, text) = machine.run("knotwork host rollback");
        assert!(code == 1 && text.contains("systemctl stop knotwork-agent"), "{text}");
        machine.must("systemctl stop knotwork-agent && knotwork host rollback");
    }
    assert_eq!(machine_state(), before_all);
}
