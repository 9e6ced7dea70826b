//! What `route` and the `host` commands print for programs, against the published schemas: the real binary on recorded
//! facts, and on booted machines with a real systemd-resolved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::machine::{self, Machine, VERSIONS};
use support::parts::{Tier, tier};
use support::schema::{fits, schema, strict, validator, words};

/// The far side of every network: this program again, in the labs' other namespaces.
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
    - {name: later, match: {glob: \"wg*\"}, kind: Corporate, servers: [10.64.0.1], domains: [corp.example]}
  hostsFile:
    - {address: 192.168.4.218, names: [pbs.maas]}
  probes:
    - {name: lab, query: nas.maas, expect: {any: true}}
    - {name: world, query: example.com, expect: {any: true}}
";

const WRONG: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: runbook}
spec:
  global: {servers: [192.168.4.53, 1.1.1.1], domains: [maas, homelab]}
";

const FACTS: &str = r#"{
    "version": 1, "systemd": 257, "hostname": "pve", "resolveUnicastSingleLabel": false, "delegates": [],
    "hosts": [{"address": "192.168.4.10", "names": ["pve.maas", "pve"]}],
    "links": [
        {"ifindex": 2, "name": "vmbr0", "loopback": false, "up": true, "carrier": true, "operstate": "up",
         "addresses": [{"address": "192.168.4.10", "prefix": 24}],
         "servers": ["192.168.4.53", "192.168.4.54"], "domains": ["~maas", "lab.test", "home.test"], "defaultRoute": "no"},
        {"ifindex": 3, "name": "wan0", "loopback": false, "up": true, "carrier": true, "operstate": "up",
         "addresses": [{"address": "198.51.100.4", "prefix": 24}],
         "servers": ["[2001:db8::1]:853%wan0#dns.example", "9.9.9.9"], "current": "9.9.9.9", "domains": [], "defaultRoute": "yes"}],
    "global": {"servers": [], "domains": [], "fallback": []}
}"#;

/// `knotwork route` on facts; with a policy where one is given.
fn route(args: &[&str], facts: &str, policy: Option<&str>, code: i32) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let (file, policies) = (dir.path().join("facts.json"), dir.path().join("policy.yaml"));
    std::fs::write(&file, facts).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_knotwork"));
    command.arg("route").args(args).args(["-o", "json", "--facts"]).arg(file);
    if let Some(policy) = policy {
        std::fs::write(&policies, policy).unwrap();
        command.arg("-f").arg(policies);
    }
    let ran = command.output().unwrap();
    assert_eq!(ran.status.code(), Some(code), "{args:?}: {ran:?}");
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn routes_fit_their_schema() {
    let validator = validator("route");
    let unknown = FACTS.replace(r#""defaultRoute": "no""#, r#""defaultRoute": "unknown""#).replace("257", "null");
    let blank = FACTS.replace(r#""hosts": [{"address": "192.168.4.10", "names": ["pve.maas", "pve"]}],"#, "");
    let policy = POLICY
        .replace("name: eth0", "name: wan0")
        .replace("name: eth1", "name: vmbr0")
        .replace("kind: Untrusted", "kind: Untrusted, servers: [192.168.4.53]");
    let contradicting = format!(
        "{policy}---\n{}",
        policy
            .replace("name: homelab", "name: other")
            .replace("servers: [192.168.4.53], reverse", "servers: [192.168.4.99], reverse")
    );
    let all = [
        route(&["x.maas"], FACTS, None, 0),
        route(&["nas"], FACTS, None, 0),
        route(&["www.example.com", "-t", "TYPE65"], FACTS, None, 0),
        route(&["9.4.168.192.in-addr.arpa", "-t", "PTR", "--path", "stub"], FACTS, None, 0),
        route(&["localhost"], FACTS, None, 0),
        route(&["pve.maas"], FACTS, None, 0),
        route(&["x.local"], FACTS, None, 3),
        route(&["www.example.com"], &unknown, None, 0),
        route(&["x.maas"], &blank, None, 0),
        route(&["--all"], FACTS, None, 0),
        route(&["x.maas", "--at", "v252"], FACTS, Some(&policy), 0),
        route(&["x.maas", "--at", "v262"], FACTS, Some(&policy), 0),
        route(&["--all"], FACTS, Some(&policy), 0),
        route(&["x.maas"], FACTS, Some(WRONG), 3),
        route(&["x.maas"], FACTS, Some(&contradicting), 3),
    ];
    for document in &all {
        fits(&validator, document);
        // Without the policy it is the answer of a host without one.
        let optional = |path: &str, key: &str| {
            matches!(key, "then" | "alternatives" | "unknown" | "assuming") || path.is_empty() && key == "policy"
        };
        strict(&validator, document, optional, |_| false);
    }
    // That the above was not about nothing:
    assert_eq!(words(&all, "outcome").len(), 3);
    assert_eq!(words(&all, "path").len(), 2);
    assert!(words(&all, "severity").contains("error") && words(&all, "severity").contains("warning"));
    assert_eq!(words(&all, "form"), ["delegates", "global", "nothing"].map(str::to_owned).into());
    let told = |pointer: &str| all.iter().any(|one| one.pointer(pointer).is_some());
    for pointer in [
        "/asked/0/then/0",
        "/asked/0/current",
        "/alternatives/0/asked",
        "/assuming/0",
        "/unknown/0",
        "/policy/refused/0",
        "/0/asked",
        "/routes/0",
    ] {
        assert!(told(pointer), "no run has {pointer}");
    }
    for (pointer, value) in [
        ("/outcome", json!("perhaps")),
        ("/asked", json!([])),
        ("/asked/0/scope", json!("eth0")),
        ("/asked/0/servers", json!([])),
        ("/asked/0/servers/0", json!("dns.example")),
        ("/asked/0/domain", json!("~MAAS")),
        ("/asked/0/labels", json!("1")),
        ("/systemd", json!("v257")),
        ("/failClosed", json!(null)),
    ] {
        let mut wrong = all[0].clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&wrong), "{pointer}: {wrong:#}");
    }
}

/// The shape that was promised, key by key, is in the schema and required.
#[test]
fn the_promised_shape_of_a_route() {
    let route = schema("route");
    for (pointer, keys) in [
        ("/$defs/route", "name type path systemd outcome asked failClosed"),
        ("/$defs/asked", "fqdn scope domain labels current servers why"),
    ] {
        let part = route.pointer(pointer).unwrap();
        for key in keys.split(' ') {
            assert!(part["required"].as_array().unwrap().contains(&json!(key)), "{pointer}: {key}");
            assert!(part["properties"][key].is_object(), "{pointer}: {key}");
        }
    }
    assert_eq!(route["$defs"]["route"]["properties"]["path"]["enum"], json!(["nss", "stub"]));
    assert_eq!(route["$defs"]["route"]["properties"]["outcome"]["enum"], json!(["network", "local", "refused"]));
    // What lint says stands in both documents alike.
    for part in ["policy", "finding", "refused"] {
        assert_eq!(route["$defs"][part], schema("host-plan")["$defs"][part], "{part}");
    }
}

/// A document of a command on a machine.
fn told(machine: &mut Machine, command: &str, code: i32) -> Value {
    let (got, text) = machine.run(&format!("knotwork {command} -o json 2> /run/errors"));
    let errors = machine.must("cat /run/errors");
    assert_eq!(got, code, "systemd {}: {command}\n{text}{errors}", machine.version);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}\n{text}"))
}

#[test]
fn host_commands_fit_their_schemas() {
    // 257 gives the same words as 252.
    let versions: &[u16] = if tier() == Tier::Full { &VERSIONS } else { &[252, 262] };
    for version in versions {
        let Some(mut machine) = Machine::boot(*version) else { continue };
        let machine = &mut machine;
        machine.write("/root/policy.yaml", POLICY);
        machine.write("/root/wrong.yaml", WRONG);
        let hopeless = POLICY
            .replace("query: nas.maas, expect: {any: true}", "query: nas.maas, expect: {addresses: [192.0.2.99]}");
        machine.write("/root/hopeless.yaml", &hopeless);

        let mut facts = vec![told(machine, "host facts", 0)];
        let mut status = vec![told(machine, "host status", 0)];
        let snapshot = told(machine, "host snapshot", 0);
        let mut plans = vec![
            told(machine, "host plan -f /root/policy.yaml", 2),
            told(machine, "host plan -f /root/wrong.yaml", 3),
            told(machine, "host apply -f /root/wrong.yaml", 3),
            told(machine, "host apply -f /root/hopeless.yaml", 1),
            told(machine, "host apply -f /root/policy.yaml", 0),
            told(machine, "host apply -f /root/policy.yaml", 0),
            told(machine, "host plan", 0),
            told(machine, "host check", 0),
        ];
        facts.push(told(machine, "host facts", 0));
        status.push(told(machine, "host status", 0));
        // Somebody writes over resolv.conf, sets a link, and the lab's server fails.
        machine.must("rm /etc/resolv.conf; printf '# Generated by NetworkManager\\nnameserver 1.1.1.1\\n' > /etc/resolv.conf; resolvectl dns eth0 9.9.9.9");
        machine.mode(machine::INSIDE, "servfail");
        plans.push(told(machine, "host check", 3));
        machine.mode(machine::INSIDE, "ok");
        plans.push(told(machine, "host apply -f /root/policy.yaml", 0));
        let undo = told(machine, "host rollback --transaction last", 0);
        plans.push(told(machine, "host apply -f /root/policy.yaml", 0));
        machine.must("echo '# mine' >> $(ls /etc/systemd/dns-delegate.d/50-knotwork-* /etc/systemd/resolved.conf.d/50-knotwork.conf 2> /dev/null | head -1)");
        plans.push(told(machine, "host plan", 3));
        plans.push(told(machine, "host rollback", 3));
        status.push(told(machine, "host status", 0));
        let live = [told(machine, "route x.maas", 0), told(machine, "route --all -f /root/policy.yaml", 0)];

        let what = format!("systemd {version}");
        let check = |name: &str, documents: &[Value], optional: &dyn Fn(&str, &str) -> bool| {
            let validator = validator(name);
            for document in documents {
                fits(&validator, document);
                strict(&validator, document, optional, |path| path.ends_with("/xattrs"));
            }
        };
        check("host-facts", &facts, &|_, _| false);
        check("host-status", &status, &|_, _| false);
        check("host-snapshot", std::slice::from_ref(&snapshot), &|_, _| false);
        check("host-undo", std::slice::from_ref(&undo), &|_, _| false);
        check("route", &live, &|path, key| path.is_empty() && key == "policy" || matches!(key, "unknown" | "then"));
        let marks = ["applied", "good", "systemd", "policy"];
        let outer = ["transaction", "error", "undone", "left", "probes", "drift"];
        for plan in &plans {
            // Of an apply all of its keys are promised, of a check all of its own.
            let needed = |key: &str| {
                !plan["applied"].is_null() && !matches!(key, "drift")
                    || !plan["good"].is_null() && matches!(key, "drift" | "probes")
            };
            check("host-plan", std::slice::from_ref(plan), &|path, key| {
                path.is_empty() && (marks.contains(&key) || outer.contains(&key) && !needed(key))
            });
        }
        // That the above was not about nothing:
        let some = |pointer: &str| plans.iter().any(|plan| plan.pointer(pointer).is_some_and(|value| !value.is_null()));
        for pointer in [
            "/files/0/diff",
            "/links/0/differs",
            "/refusals/0/wayOut",
            "/notes/0",
            "/policy/findings/0/fix",
            "/error/reason",
            "/undone/restored/0",
            "/left/0/at",
            "/probes/0/milliseconds",
            "/transaction",
            "/effects/0",
        ] {
            assert!(some(pointer), "{what}: no run has {pointer}");
        }
        let drifted: Vec<&Value> = plans.iter().filter_map(|plan| plan["drift"].as_array()).flatten().collect();
        assert!(drifted.iter().any(|one| one["culprit"] == "NetworkManager"), "{what}: {drifted:#?}");
        assert!(drifted.iter().any(|one| one["at"] == "link eth0"), "{what}: {drifted:#?}");
        assert_eq!(plans.iter().filter(|plan| plan["good"] == true).count(), 1, "{what}");
        assert!(
            words(&status, "state").is_superset(&["committed", "rolledBack"].map(str::to_owned).into()),
            "{status:#?}"
        );
        assert!(facts.iter().all(|facts| facts["links"].as_array().unwrap().len() >= 3), "{what}");
        assert_eq!(snapshot["snapshot"].as_array().unwrap().len(), 3);
    }
}
