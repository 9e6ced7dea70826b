//! What the agent tells of a whole machine, by HTTP and as a text file, while things happen to the host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::fleet::{document, on};
use support::machine::{self, Machine, VERSIONS};
use support::parts::{Tier, tier};

/// The far side of every network: this program again, in the labs' other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

const POLICY: &str = "routes: [{name: lab, domains: [maas], servers: [192.168.4.53], failClosed: true}]
links: [{name: isp, match: {name: eth0}, servers: [10.11.0.53]}, {name: inside, match: {name: eth1}, kind: Untrusted}]
probes: [{name: lab, query: pbs.maas, expect: {any: true}}]
";

/// The text file, as node-exporter's collector finds it.
const FILE: &str = "/run/knotwork-test/knotwork.prom";

/// What a path of the agent answers: the status, and the text.
fn get(machine: &mut Machine, path: &str) -> (u16, String) {
    let ask = format!("exec 3<>/dev/tcp/127.0.0.1/9470 && printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3");
    let (_, answer) = machine.run(&ask);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, text)| text.to_owned()).unwrap_or_default())
}

/// Waits until both the endpoint and the text file have this line.
#[track_caller]
fn tells(machine: &mut Machine, line: &str) {
    let ask = "exec 3<>/dev/tcp/127.0.0.1/9470; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    machine.until(&format!("({ask}) | grep -qF '{line}' && grep -qF '{line}' {FILE}"));
}

#[test]
fn the_agent_tells_how_the_host_stands() {
    on(if tier() == Tier::Full { &VERSIONS } else { &VERSIONS[1..2] }, |machine| {
        machine.must("mkdir -p /root/policies /run/knotwork-test");
        machine.write("/root/policies/p.yaml", &document("p", POLICY));
        machine.must(&format!(
            "(setsid sh -c 'echo $$ > /root/agent.pid; exec knotwork agent -f /root/policies --listen 127.0.0.1:9470 --metrics-file {FILE} --poll 2s' > /root/agent.log 2>&1 &)"
        ));
        // Alive before it is ready, and ready with the first whole look.
        machine.until("exec 3<>/dev/tcp/127.0.0.1/9470");
        assert_eq!(get(machine, "/healthz"), (200, "ok\n".to_owned()));
        machine.until("exec 3<>/dev/tcp/127.0.0.1/9470; printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3; head -n1 <&3 | grep -q 200");
        tells(machine, "knotwork_host_good 1");
        tells(machine, "knotwork_host_bus_up 1");
        tells(machine, "knotwork_host_changes_total{outcome=\"committed\"} 1");
        tells(machine, "knotwork_host_probe_success{probe=\"lab\"} 1");
        // Booleans and lists of the policy, as the policy says them.
        tells(machine, "knotwork_host_policy_enabled{policy=\"p\",field=\"routes[lab].failClosed\"} 1");
        tells(machine, "knotwork_host_policy_item{policy=\"p\",field=\"routes[lab].domains\",item=\"maas\"} 1");
        let (status, text) = get(machine, "/metrics");
        assert_eq!(status, 200);
        for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = family.split(' ').next().unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name} without a word of help");
        }
        assert_eq!(get(machine, "/nowhere").0, 404);

        // Nobody ever reads half of the file: it is replaced as a whole.
        let before = machine.must(&format!("stat -c %i {FILE}"));
        machine.until(&format!("[ $(stat -c %i {FILE}) != {} ]", before.trim()));
        assert_eq!(machine.must("ls -A /run/knotwork-test").trim(), "knotwork.prom", "no temporary file is left");

        // Something is put back, and counted.
        // Renamed into place: between an `rm` and an `echo`, a quick agent would mend the file twice.
        machine.must("echo 'nameserver 9.9.9.9' > /etc/resolv.conf.new && mv /etc/resolv.conf.new /etc/resolv.conf");
        tells(machine, "knotwork_host_resolv_conf_repair_seconds_count 1");

        // A policy that cannot be read: said, while the last good one is held.
        machine.write("/root/policies/p.yaml", &document("p", &POLICY.replace("192.168.4.53", "192.168.4.530")));
        tells(machine, "knotwork_host_problem{reason=\"PolicyBroken\"");
        tells(machine, "knotwork_host_good 0");
        assert_eq!(get(machine, "/readyz").0, 200, "the host was looked at");
        machine.must("resolvectl query --cache=no pbs.maas");
        machine.write("/root/policies/p.yaml", &document("p", POLICY));
        tells(machine, "knotwork_host_good 1");

        // A server that does not answer rightly any more.
        machine.mode("192.168.4.53", "nx");
        tells(machine, "knotwork_host_probe_success{probe=\"lab\"} 0");
        tells(machine, "knotwork_host_problem{reason=\"ProbeFailed\",at=\"probe lab\"} 1");
        machine.mode("192.168.4.53", "ok");
        tells(machine, "knotwork_host_good 1");

        machine.must("kill -TERM $(cat /root/agent.pid)");
        machine.until("! kill -0 $(cat /root/agent.pid) 2> /dev/null");
        machine.must("rm -r /root/policies /run/knotwork-test");
    });
}
