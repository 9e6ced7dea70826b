//! `host apply` on a host that is as declared: the real binary on booted machines, next to what `resolvectl` takes there.

use std::time::Duration;

use crate::stats::{quantile, ratio, show};
use crate::support::machine::{Machine, VERSIONS};
use crate::support::parts;

const ROUNDS: usize = 41;

/// What stands on the machines.
pub const POLICY: &str = "apiVersion: dns.knotwork.dev/v1alpha1
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

/// What is run, in turns; the first is ours.
const COMMANDS: [&str; 6] = [
    "knotwork host apply -f /root/policy.yaml",
    "knotwork host plan -f /root/policy.yaml",
    "knotwork host check",
    "resolvectl status",
    "resolvectl query --cache=no www.example.com",
    "busctl call org.freedesktop.resolve1 /org/freedesktop/resolve1 org.freedesktop.DBus.Peer Ping",
];

/// Everything that an apply could touch: names, kinds, times and sizes.
const STATE: &str = "find /etc /run/systemd/resolve /run/systemd/dns-delegate.d /var/lib/knotwork ! -name lock -printf '%p %y %l %s %T@ %C@\\n' 2> /dev/null | sort; \
                     ls /var/lib/knotwork/host/tx; resolvectl dns; resolvectl domain; resolvectl default-route; \
                     systemctl show -P InvocationID systemd-resolved";

/// The table.
pub fn run() -> String {
    let mut table =
        String::from("| systemd | command | p50 | p99 | beside `resolvectl status` |\n|---|---|---|---|---|\n");
    for version in VERSIONS {
        if parts::find(&format!("machine-{version}")).is_none() {
            table.push_str(&format!("| {version} | (no machine here: `tests/parts/install`) | | | |\n"));
            continue;
        }
        let Some(mut machine) = Machine::boot(version) else { continue };
        machine.write("/root/policy.yaml", POLICY);
        machine.must(COMMANDS[0]);
        changes_nothing(&mut machine);
        let mut script = format!("for i in $(seq {ROUNDS}); do\n");
        for command in COMMANDS {
            script.push_str(&format!(
                "s=$EPOCHREALTIME; {command} > /dev/null 2>&1; c=$?; e=$EPOCHREALTIME; echo $c $((10#${{e/./}} - 10#${{s/./}}))\n"
            ));
        }
        script.push_str("done\n");
        machine.write("/root/times.sh", &script);
        let text = machine.must("bash /root/times.sh");
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); COMMANDS.len()];
        for (at, line) in text.lines().enumerate() {
            let (code, took) = line.split_once(' ').expect("code and microseconds");
            assert_eq!(code, "0", "{}", COMMANDS[at % COMMANDS.len()]);
            times[at % COMMANDS.len()].push(Duration::from_micros(took.parse().expect("a number")));
        }
        let yardstick = quantile(&times[3], 0.5);
        for (command, times) in COMMANDS.iter().zip(&times) {
            let p50 = quantile(times, 0.5);
            table.push_str(&format!(
                "| {version} | `{}` | {} | {} | {:.2} |\n",
                command.replace(" /root/policy.yaml", " policy.yaml").split(" /org").next().expect("a word"),
                show(p50),
                show(quantile(times, 0.99)),
                ratio(p50, yardstick)
            ));
        }
    }
    format!(
        "{table}\nWall clock of the whole process, release build, {ROUNDS} runs of each in turns, on booted machines of three Debian \
         releases with two links and a policy with one route, two links and two probes. Before the runs it is made sure that an \
         apply changes no file, no time of a file, no setting, writes no journal and makes no call on the bus that sets something.\n"
    )
}

/// An apply on a settled host only reads.
fn changes_nothing(machine: &mut Machine) {
    machine.must(
        "(setsid sh -c 'echo $$ > /run/monitor.pid; exec busctl monitor --json=short' >> /run/bus.log 2>&1 < /dev/null &)",
    );
    // The monitor has the bus when it sees a call of ours.
    machine.until("busctl call org.freedesktop.DBus / org.freedesktop.DBus.Peer Ping; grep -q Ping /run/bus.log");
    let before = machine.must(STATE);
    machine.must(": > /run/bus.log");
    machine.must(COMMANDS[0]);
    machine.until("busctl call org.freedesktop.DBus / org.freedesktop.DBus.Peer Ping; grep -q Ping /run/bus.log");
    let log = machine.must("cat /run/bus.log");
    machine.must("kill $(cat /run/monitor.pid)");
    assert_eq!(
        machine.must(STATE),
        before,
        "systemd {}: an apply on a settled host changed something",
        machine.version
    );
    let mut seen = 0;
    for line in log.lines().filter(|line| line.contains("\"method_call\"")) {
        let call: serde_json::Value = serde_json::from_str(line).expect("a message");
        let member = call["member"].as_str().unwrap_or_default();
        let reads =
            ["Get", "List", "Ping", "Hello", "AddMatch", "RemoveMatch", "NameHasOwner", "BecomeMonitor", "Load"];
        assert!(reads.iter().any(|read| member.starts_with(read)), "systemd {}: {member} was called", machine.version);
        seen += usize::from(member.starts_with("Get"));
    }
    assert!(seen > 3, "the monitor saw nothing: {log}");
}
