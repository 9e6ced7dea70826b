//! The same YAML under `knotwork plan -f` and in a cluster: the same verdict at the same field, and the same plan.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use support::operator::{World, record};
use support::wait;

/// `knotwork plan -f - -o json` on the world's configuration.
fn plan(world: &World, yaml: &str) -> Value {
    let file = world.dir().join("objects.yaml");
    std::fs::write(&file, yaml).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_knotwork"))
        .args(["plan", "-o", "json", "-c"])
        .arg(world.config())
        .arg("-f")
        .arg(&file)
        .output()
        .unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)))
}

/// Every sample of `tests/spec/samples.txt`: what the API server refuses, the command line refuses too; what the operator
/// refuses in a status, the command line refuses at the same field in the same words; and what both take has one plan.
#[test]
fn samples_and_bad_inputs_have_one_verdict_and_one_plan() {
    let Some(world) = World::start() else { return };
    // In a cluster ordinary names may be declared; so may they here.
    world.configure("claims:\n  - {namespaces: [\"*\"], names: [\"*\", internal], types: [A, AAAA, NS, PTR, CNAME, DNAME, TXT, MX, SRV, CAA, SSHFP, TLSA, HTTPS, SVCB, NAPTR, DS, URI, LOC], takeover: true, share: true}\n  - {namespaces: [\"*\"], names: [\"*\"]}\n");
    let samples: Vec<(usize, &str)> = include_str!("spec/samples.txt")
        .lines()
        .enumerate()
        .filter_map(|(line, text)| Some((line + 1, text.split_once('\t').filter(|_| !text.starts_with('#'))?.1)))
        .collect();
    assert!(samples.len() > 100, "{}", samples.len());
    // Each has a name of its own, where the sample does not care; and the order of names is that of age, by which a cluster
    // decides among claims.
    let object = |(line, spec): &(usize, &str)| {
        let name = format!("s{line:03}");
        let spec = spec.replace("{name: a.internal,", &format!("{{name: {name}.internal,"));
        (name.clone(), record(&name, &spec))
    };
    let objects: BTreeMap<String, String> = samples.iter().map(object).collect();
    // All at once: a refusal of one keeps no other out.
    let said = world.cluster.apply(&objects.values().cloned().collect::<String>());
    let there: BTreeSet<String> = world
        .cluster
        .must(&["get", "staticdnsrecord", "-o", "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}"])
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(!there.is_empty() && there.len() < objects.len(), "{} of {}", there.len(), objects.len());
    // What the API server refuses, the command line refuses.
    let refused_here: BTreeMap<String, Vec<(String, String)>> =
        refusals(&plan(&world, &objects.values().cloned().collect::<String>()));
    for name in objects.keys().filter(|name| !there.contains(*name)) {
        assert!(
            refused_here.contains_key(name),
            "{name} is refused by the API server alone: {}\n{}",
            objects[name],
            said.err
        );
    }
    // One plan of all that is there: before the operator sees it, and after it has done it.
    let taken: String =
        objects.iter().filter(|(name, _)| there.contains(*name)).map(|(_, yaml)| yaml.as_str()).collect();
    let before = plan(&world, &taken);
    let operator = world.operator();
    wait::until("all to be decided", || {
        let pending = operator.number("knotwork_operator_objects{result=\"Pending\"}").unwrap_or(0.0);
        let all = operator.sum("knotwork_operator_objects", "");
        (pending == 0.0 && all >= there.len() as f64).then_some(())
    });
    for name in &there {
        let (status, reason, message) = world.until_some(&format!("{name} to have a status"), |world| {
            let of = |field: &str| world.condition(name, "Ready", field);
            let (status, reason, message) = (of("status"), of("reason"), of("message"));
            (reason != "Pending").then_some((status, reason, message))
        });
        match refused_here.get(name) {
            Some(faults) => {
                assert_eq!(status, "False", "{name}: {}", objects[name]);
                assert_eq!(world.condition(name, "Accepted", "status"), "False", "{name}: {reason} {message}");
                for (field, words) in faults {
                    assert!(message.contains(field), "{name}: {field} in {message}");
                    let words = words.rsplit_once(": ").map_or(words.as_str(), |(_, words)| words);
                    assert!(message.contains(words), "{name}: {words} in {message}");
                }
            }
            None => assert_eq!(
                world.condition(name, "Accepted", "status"),
                "True",
                "{name}: {reason} {message}\n{}",
                objects[name]
            ),
        }
    }
    // What was to be created is there.
    let wanted = changes(&before);
    assert!(wanted.len() > 30, "{}", wanted.len());
    let after = plan(&world, &taken);
    assert_eq!(changes(&after), BTreeSet::new(), "the command line has nothing to do where the operator was");
    assert_eq!(conflicts(&before), conflicts(&after), "both lose to the same");
}

fn refusals(plan: &Value) -> BTreeMap<String, Vec<(String, String)>> {
    let mut all: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for refusal in plan["refusals"].as_array().unwrap() {
        let text = |key: &str| refusal[key].as_str().unwrap_or_default().to_owned();
        let object = text("object");
        all.entry(object.rsplit('/').next().unwrap().to_owned()).or_default().push((text("field"), text("message")));
    }
    all
}

fn changes(plan: &Value) -> BTreeSet<String> {
    let zones = plan["zones"].as_array().unwrap().iter();
    let all = zones.flat_map(|zone| zone["changes"].as_array().unwrap());
    all.map(|change| format!("{} {} {}", change["action"], change["name"], change["type"])).collect()
}

fn conflicts(plan: &Value) -> BTreeSet<String> {
    let zones = plan["zones"].as_array().unwrap().iter();
    let all = zones.flat_map(|zone| zone["conflicts"].as_array().unwrap());
    all.map(|one| format!("{} {} {} {}", one["name"], one["type"], one["reason"], one["source"])).collect()
}
