//! What the agent tells of a whole machine, by HTTP and as a text file, while things happen to the host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::fleet::{document, on};
use support::machine::{self, Machine, VERSIONS};
use support::parts::{Tier, tier};
use support::schema::told_metrics;

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

/// The table that tells of them.
fn docs() -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hosts.md")).unwrap();
    text.split("\n## Metrics of the agent\n").nth(1).unwrap().split("\n## ").next().unwrap().to_owned()
}

/// The number behind the beginning of a line; zero where there is none.
fn count(machine: &mut Machine, line: &str) -> u64 {
    let text = get(machine, "/metrics").1;
    let number = text.lines().find_map(|own| own.strip_prefix(line)?.trim().parse().ok());
    number.unwrap_or(0)
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
        for path in ["bus", "stub-udp", "stub-tcp"] {
            tells(machine, &format!("knotwork_host_probe_success{{probe=\"lab\",path=\"{path}\"}} 1"));
        }
        tells(machine, "knotwork_host_probe_success{probe=\"lab\",path=\"server\",server=\"192.168.4.53\"} 1");
        // What resolved shows of itself.
        tells(machine, "knotwork_host_policy_generation{state=\"applied\"} 1");
        tells(machine, "knotwork_host_policy_generation{state=\"declared\"} 1");
        tells(machine, "knotwork_host_resolv_conf{mode=\"stub\",content=\"stub\"} 1");
        // Bit 0: names are asked there.
        assert_eq!(count(machine, "knotwork_host_link_scopes_mask{link=\"eth0\"} ") & 1, 1);
        tells(machine, "knotwork_host_current_server{scope=\"link:eth0\",server=\"10.11.0.53\"} 1");
        for family in
            ["transactions_total", "cache_lookups_total{result=\"hit\"}", "dnssec_verdicts_total{verdict=\"bogus\"}"]
        {
            tells(machine, &format!("knotwork_host_{family} "));
        }
        let told = get(machine, "/metrics").1;
        let levels = told.lines().filter(|line| line.starts_with("knotwork_host_server_feature_level{")).count();
        assert_eq!(levels > 0, machine.version >= 255, "{told}");
        told_metrics(&told, &docs(), "docs/hosts.md");
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

        // Something is put back, and counted, as a file too.
        let file = "knotwork_host_repairs_total{what=\"file\"} ";
        let before = count(machine, file);
        // Renamed into place: between an `rm` and an `echo`, a quick agent would mend the file twice.
        machine.must("echo 'nameserver 9.9.9.9' > /etc/resolv.conf.new && mv /etc/resolv.conf.new /etc/resolv.conf");
        tells(machine, "knotwork_host_resolv_conf_repair_seconds_count 1");
        assert_eq!(count(machine, file), before + 1);
        assert_eq!(count(machine, "knotwork_host_drift_total{what=\"file\"} "), before + 1);

        // A policy that cannot be read: said, while the last good one is held.
        machine.write("/root/policies/p.yaml", &document("p", &POLICY.replace("192.168.4.53", "192.168.4.530")));
        tells(machine, "knotwork_host_problem{reason=\"PolicyBroken\"");
        machine.until(&format!("! grep -q 'state=\"declared\"' {FILE}"));
        tells(machine, "knotwork_host_good 0");
        assert_eq!(get(machine, "/readyz").0, 200, "the host was looked at");
        machine.must("resolvectl query --cache=no pbs.maas");
        machine.write("/root/policies/p.yaml", &document("p", POLICY));
        tells(machine, "knotwork_host_good 1");

        // Another one: lint, the generation, and the restart that it takes before 258 or the reload after.
        let told = ["restarts_total", "reloads_total"].map(|family| format!("knotwork_host_{family} "));
        let before = told.clone().map(|family| count(machine, &family));
        let other = POLICY.replace("domains: [maas]", "domains: [maas, lab.local]");
        machine.write("/root/policies/p.yaml", &document("p", &other));
        tells(machine, "knotwork_host_policy_generation{state=\"applied\"} 2");
        tells(machine, "knotwork_host_lint_findings{policy=\"p\",rule=\"local-domain\",severity=\"warning\"} 1");
        let after = told.map(|family| count(machine, &family));
        assert!(after[0] + after[1] > before[0] + before[1], "{before:?} {after:?}");
        // One more, as if the last restart had been this very second: before 256 it takes another one, which has to wait.
        let suppressed = "knotwork_host_restarts_suppressed_total ";
        assert_eq!(count(machine, suppressed), 0);
        let now = "date +%s > /run/now; sed -i \"s/\\\"last\\\": [0-9]*/\\\"last\\\": $(cat /run/now)/\" /var/lib/knotwork/host/restarts.json; rm /run/now";
        machine.must(&format!("[ ! -e /var/lib/knotwork/host/restarts.json ] || {{ {now}; }}"));
        let other = other.replace("lab.local]", "lab.local, lab.test]");
        machine.write("/root/policies/p.yaml", &document("p", &other));
        tells(machine, "knotwork_host_policy_generation{state=\"applied\"} 3");
        assert_eq!(count(machine, suppressed), u64::from(machine.version < 256));
        // It can be refused without being followed: then the files declare another one than counts.
        machine.write(
            "/root/policies/p.yaml",
            &document("p", &other.replace("servers: [192.168.4.53]", "servers: [192.168.4.53, 1.1.1.1]")),
        );
        tells(machine, "knotwork_host_policy_generation{state=\"declared\"} 4");
        tells(machine, "knotwork_host_policy_generation{state=\"applied\"} 3");
        tells(machine, "knotwork_host_lint_findings{policy=\"p\",rule=\"mixed-servers\",severity=\"error\"} 1");
        machine.write("/root/policies/p.yaml", &document("p", &other));
        tells(machine, "knotwork_host_good 1");

        // A server that does not answer rightly any more, seen on every way.
        machine.mode("192.168.4.53", "nx");
        tells(machine, "knotwork_host_probe_success{probe=\"lab\",path=\"bus\"} 0");
        tells(machine, "knotwork_host_probe_success{probe=\"lab\",path=\"server\",server=\"192.168.4.53\"} 0");
        tells(machine, "knotwork_host_problem{reason=\"ProbeFailed\",at=\"probe lab\"} 1");
        machine.mode("192.168.4.53", "ok");
        tells(machine, "knotwork_host_good 1");

        machine.must("kill -TERM $(cat /root/agent.pid)");
        machine.until("! kill -0 $(cat /root/agent.pid) 2> /dev/null");
        machine.must("rm -r /root/policies /run/knotwork-test");
    });
}
