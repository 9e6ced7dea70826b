//! A policy on whole machines: planned, applied, proven, checked and given back, with what was asked of whom in the logs
//! of both networks' servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use serde_json::Value;
use support::machine::{self, INSIDE, ISP, Machine, VERSIONS, at};
use support::resolved::machine_state;

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

/// The runbook's wish: `.maas` and `.homelab` of the inside server alone, everything else of the other.
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

fn json(machine: &mut Machine, command: &str, code: i32) -> Value {
    let (got, text) = machine.run(command);
    assert_eq!(got, code, "{command}\n{text}");
    serde_json::from_str(text.get(text.find('{').unwrap_or(0)..).unwrap_or(""))
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Everything on the machine that a change may touch.
fn state(machine: &mut Machine) -> String {
    machine.must(
        "cd / && find etc/resolv.conf etc/nsswitch.conf etc/hosts etc/systemd etc/dhcp etc/network etc/NetworkManager -printf '%p %y %l %m %U:%G\\n' 2>/dev/null | sort; \
         find etc/resolv.conf etc/nsswitch.conf etc/hosts etc/systemd etc/dhcp etc/network -type f -exec sha256sum {} + | sort",
    )
}

/// What resolved holds.
fn resolver(machine: &mut Machine) -> String {
    machine.must("resolvectl dns; resolvectl domain; resolvectl default-route")
}

#[test]
fn a_policy_is_applied_holds_and_is_given_back() {
    let before_all = machine_state();
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let (before, resolver_before) = (state(&mut machine), resolver(&mut machine));
        machine.write("/root/policy.yaml", POLICY);

        let plan = json(&mut machine, "knotwork host plan -f /root/policy.yaml -o json", 2);
        assert_eq!(plan["settled"], false);
        assert_eq!(plan["refusals"].as_array().unwrap().len(), 0, "{plan:#}");
        assert_eq!(state(&mut machine), before, "a plan changes nothing");

        let (code, text) = machine.run("knotwork host apply -f /root/policy.yaml");
        eprintln!("{version}: {text}");
        assert_eq!(code, 0, "{text}");
        machine.asked();
        for (name, server) in [
            ("one.maas", INSIDE),
            ("two.homelab", INSIDE),
            ("9.4.168.192.in-addr.arpa", INSIDE),
            ("www.example.net", ISP),
        ] {
            let rtype = if name.ends_with("arpa") { "PTR" } else { "A" };
            machine.net(&format!("dig +tries=1 +time=8 @127.0.0.53 {name} {rtype}"));
            let asked = machine.asked();
            assert!(!asked.is_empty(), "{version}: nobody was asked for {name}");
            assert!(
                asked.iter().all(|(at_, asked, _)| *at_ == at(server) && asked == name),
                "{version} {name}: {asked:?}"
            );
        }

        let (code, text) = machine.run("knotwork host plan -f /root/policy.yaml");
        assert_eq!(code, 0, "plan after apply is empty: {text}");
        let (code, text) = machine.run("knotwork host check");
        assert_eq!(code, 0, "{text}");
        let (code, text) = machine.run("knotwork host apply -f /root/policy.yaml");
        assert_eq!(code, 0, "{text}");

        let (code, text) = machine.run("knotwork host rollback");
        assert_eq!(code, 0, "{text}");
        assert_eq!(state(&mut machine), before, "{version}: exactly as before\n{text}");
        assert_eq!(resolver(&mut machine), resolver_before, "{version}: resolved holds what it held");
    }
    assert_eq!(machine_state(), before_all);
}

/// The well-known wrong recipe: both servers would be asked for everything, and the fallback never.
const WRONG: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: runbook}
spec:
  global: {servers: [192.168.4.53, 1.1.1.1], domains: [maas, homelab]}
";

/// R33: the change is made, the probe does not pass, all is taken back, and that it is so is looked at.
#[test]
fn r33_a_probe_that_does_not_pass_takes_the_change_back() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let (before, resolver_before) = (state(&mut machine), resolver(&mut machine));
        let expects = "query: pbs.maas, expect: {addresses: [192.0.2.99]}";
        machine.write("/root/hopeless.yaml", &POLICY.replace("query: pbs.maas, expect: {any: true}", expects));
        machine.asked();
        let told = json(&mut machine, "knotwork host apply -f /root/hopeless.yaml -o json", 1);
        assert_eq!(told["error"]["reason"], "ProbeFailed", "{told:#}");
        assert!(!told["undone"]["restored"].as_array().unwrap().is_empty(), "{told:#}");
        assert_eq!(told["undone"]["kept"].as_array().unwrap().len(), 0, "{told:#}");
        // It was really asked, under the change.
        assert!(machine.asked().iter().any(|(by, name, _)| *by == at(INSIDE) && name == "pbs.maas"), "{version}");
        assert_eq!(state(&mut machine), before, "{version}");
        assert_eq!(resolver(&mut machine), resolver_before, "{version}");
        let (_, status) = machine.run("knotwork host status");
        assert!(status.contains("rolledBack") && status.contains("no policy counts"), "{version}: {status}");
    }
}

/// Whatever goes wrong, the host is as it was.
#[test]
fn what_fails_is_undone() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let (before, resolver_before) = (state(&mut machine), resolver(&mut machine));
        let as_before = |machine: &mut Machine, what: &str| {
            assert_eq!(state(machine), before, "{version}: {what}");
            assert_eq!(resolver(machine), resolver_before, "{version}: {what}");
        };

        machine.write("/root/wrong.yaml", WRONG);
        let (code, text) = machine.run("knotwork host apply -f /root/wrong.yaml");
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("as it would be right:"), "{text}");
        as_before(&mut machine, "a refused policy");

        machine.write("/root/broken.yaml", &POLICY.replace("192.168.4.53", "192.168.4.530"));
        assert_eq!(machine.run("knotwork host apply -f /root/broken.yaml").0, 1);
        as_before(&mut machine, "a broken policy");

        // Nobody confirms.
        machine.write("/root/policy.yaml", POLICY);
        let told = json(&mut machine, "knotwork host apply -f /root/policy.yaml --confirm-within 1s -o json", 1);
        assert_eq!(told["error"]["reason"], "Unconfirmed", "{told:#}");
        as_before(&mut machine, "no confirmation");

        // Killed in the middle: the dead man's timer undoes it.
        let run =
            "echo $$ > /root/pid\nexec knotwork host apply -f /root/policy.yaml --confirm-within 3s --dead-man 20s\n";
        machine.write("/root/run.sh", run);
        machine.write("/root/kill.sh", "kill -9 $(cat /root/pid)\n");
        machine.must("(setsid sh /root/run.sh > /root/out 2>&1 &)");
        machine.until("grep -q 'host confirm' /root/out");
        assert_ne!(state(&mut machine), before);
        machine.must("sh /root/kill.sh");
        machine
            .until("knotwork host status | grep -q rolledBack && ! knotwork host status | grep -Eq 'waiting|undoing'");
        as_before(&mut machine, "killed");

        // Confirmed: it stands; a person's edit is not overwritten by the rollback, and said.
        machine.must("(setsid knotwork host apply -f /root/policy.yaml --confirm-within 60s > /root/out 2>&1 &)");
        machine.until("grep -q 'host confirm' /root/out");
        machine.must("knotwork host confirm");
        machine.until("grep -q stands /root/out");
        let edited = if version < 258 {
            "/etc/systemd/resolved.conf.d/50-knotwork.conf"
        } else {
            "/etc/systemd/dns-delegate.d/50-knotwork-homelab-lab.dns-delegate"
        };
        machine.must(&format!("echo '# mine' >> {edited}"));
        let (code, text) = machine.run("knotwork host check");
        assert_eq!(code, 3, "{text}");
        let (code, text) = machine.run("knotwork host rollback");
        assert!(code == 3 && text.contains("# mine") || text.contains(edited), "{text}");
        machine.must(&format!("grep -q mine {edited}"));
        machine.must(&format!("rm {edited}"));
        let (code, text) = machine.run("knotwork host rollback");
        assert_eq!(code, 0, "{text}");
        as_before(&mut machine, "given back in two steps");
    }
}
