//! The published schemas against what the real binary prints, and `docs/cli.md` against what the binary has.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::embedded::{Served, serve_zones};
use support::schema::{fits, schema, told_metrics, validator, words};
use support::site::Site;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The demonstration's zone: every kind of other writer but Knotwork itself.
fn world() -> Served {
    serve_zones(&[("internal", &format!("$ORIGIN internal.\n{}", read("src/cli/demo/internal.zone")))])
}

fn site(served: &Served, brake: &str) -> Site {
    let site = Site::of("home", "here", "operator", served.server.addr(), brake);
    site.config(&site.config_text().replace("defaultTtl: 300", "defaultTtl: 300, externalDns: [{prefix: \"k8s.\"}]"));
    site
}

/// Plans and applies that between them have every key of the plan's shape.
fn runs() -> Vec<Value> {
    let served = world();
    let site = site(&served, ", brake: {percent: 1, atLeast: 1}");
    let mut all = Vec::new();
    let mut run = |args: &[&str], code: i32| {
        let ran = site.records_run(&[args, &["-o", "json"]].concat());
        assert_eq!(ran.code, code, "{args:?}: {ran:#?}");
        let document: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!(document["applied"], args[0] == "apply");
        all.push(document);
    };
    for (object, spec) in [
        ("a", "name: a.internal, a: [10.0.0.1]"),
        ("b", "name: b.internal, a: [10.0.0.2]"),
        ("c", "name: c.internal, a: [10.0.0.3]"),
        ("d", "name: d.internal, a: [10.0.0.4]"),
        ("e", "name: e.internal, a: [10.0.0.5], deletionPolicy: Retain"),
        ("f", "name: f.internal, a: [10.0.0.6]"),
        ("camera", "name: camera.internal, a: [10.0.7.8]"),
        ("ns0", "name: ns0.internal, a: [10.0.0.9]"),
        ("grafana", "name: grafana.internal, a: [10.0.0.9]"),
        ("nowhere", "name: a.example.org, a: [10.0.0.9]"),
    ] {
        site.put(object, spec);
    }
    run(&["plan"], 3);
    run(&["apply"], 3);
    for object in ["ns0", "grafana", "nowhere", "c", "e", "f"] {
        site.cut(object);
    }
    site.put("a", "name: a.internal, a: [10.0.0.7]");
    site.put("b", "name: b.internal, a: [10.0.0.2], ttl: 60");
    site.put("d", "name: d.internal, a: [10.0.0.4], deletionPolicy: Retain");
    // Without --prune what is not declared any more is an orphan; with it more goes than the brake lets pass.
    run(&["plan"], 2);
    run(&["plan", "--prune"], 3);
    site.file("broken.yaml", "a: [");
    run(&["plan", "--prune"], 1);
    std::fs::remove_file(site.records().join("broken.yaml")).unwrap();
    run(&["apply", "--prune"], 3);
    // A server that is not there.
    site.config(&site.config_text().replace(&served.server.addr().to_string(), "127.0.0.1:1"));
    run(&["plan"], 1);
    all
}

/// One key more anywhere, or one of the required less, and the document is wrong.
fn strict(validator: &jsonschema::Validator, document: &Value, optional: &[&str]) {
    let may_go = |path: &str, key: &str| path.contains("/changes/") && optional.contains(&key);
    let open = |path: &str| path.ends_with("/skipped") || path.ends_with("/sets");
    support::schema::strict(validator, document, may_go, open);
}

#[test]
fn plans_and_applies_fit_their_schema() {
    let validator = validator("plan");
    let runs = runs();
    for document in &runs {
        fits(&validator, document);
        strict(&validator, document, &["note", "outcome"]);
    }
    // That the above was not about nothing:
    let all = |key: &str| words(&runs, key);
    let actions = ["adopt", "create", "delete", "release", "remark", "replace", "ttl"].map(str::to_owned);
    assert_eq!(all("action"), BTreeSet::from(actions));
    assert!(all("outcome").is_superset(&BTreeSet::from(["done", "held"].map(str::to_owned))), "{:?}", all("outcome"));
    assert!(!all("hash").is_empty(), "nothing was held");
    assert!(
        all("reason").contains("ServerUnreachable") && all("reason").contains("OwnedByOther"),
        "{:?}",
        all("reason")
    );
    let some = |pointer: &str| runs.iter().any(|run| run.pointer(pointer).is_some());
    for pointer in [
        "/zones/0/conflicts/0",
        "/zones/0/orphans/0",
        "/refusals/0",
        "/broken/0",
        "/zones/0/skipped/dhcp",
        "/zones/0/waiting/why",
    ] {
        assert!(some(pointer), "no run has {pointer}");
    }
    let mut wrong = runs[0].clone();
    wrong["zones"][0]["changes"][0]["action"] = json!("destroy");
    assert!(!validator.is_valid(&wrong));
    wrong = runs[0].clone();
    wrong["zones"][0]["zone"] = json!("Internal");
    assert!(!validator.is_valid(&wrong));
}

/// The shape that was promised, key by key, is in the schema and required.
#[test]
fn the_promised_shape() {
    let plan = schema("plan");
    for (pointer, keys) in [
        ("", "zones applied"),
        ("/$defs/zone", "zone serial held waiting changes conflicts orphans skipped notes"),
        ("/$defs/waiting", "deletes why"),
        ("/$defs/held", "hash deletes replaces takeovers owned limit"),
        ("/$defs/change", "action name type ttl oldTtl old new source held"),
        ("/$defs/conflict", "name type reason owner source"),
        ("/$defs/orphan", "name type resource"),
    ] {
        let part = plan.pointer(pointer).unwrap();
        let required: BTreeSet<&str> = part["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for key in keys.split(' ') {
            assert!(required.contains(key) && part["properties"][key].is_object(), "{pointer}: {key}");
        }
    }
    let show = schema("zone-show");
    assert_eq!(show["items"]["required"], json!(["name", "type", "ttl", "values", "writer"]));
    assert_eq!(show["items"]["properties"]["writer"]["required"], json!(["class", "owner", "resource", "resources"]));
}

#[test]
fn zone_show_and_list_fit_their_schemas() {
    let served = world();
    let site = site(&served, "");
    let neighbour = Site::of("shed", "there", "other", served.server.addr(), "");
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    neighbour.put("b", "name: b.internal, a: [10.0.0.2]");
    site.apply(&[], 0);
    neighbour.apply(&[], 0);
    let json = |args: &[&str], code: i32| -> Value {
        let ran = site.run(args);
        assert_eq!(ran.code, code, "{ran:#?}");
        serde_json::from_str(&ran.out).unwrap()
    };
    let show = json(&["zone", "show", "internal", "-o", "json"], 0);
    let validator_show = validator("zone-show");
    fits(&validator_show, &show);
    strict(&validator_show, &show, &[]);
    let classes = ["ours", "knotwork", "externalDns", "nix", "dhcp", "infrastructure", "unmarked"].map(str::to_owned);
    assert_eq!(words(std::slice::from_ref(&show), "class"), BTreeSet::from(classes));
    let validator_list = validator("zone-list");
    let list = json(&["zone", "list", "-o", "json"], 0);
    fits(&validator_list, &list);
    strict(&validator_list, &list, &[]);
    site.config(&site.config_text().replace(&served.server.addr().to_string(), "127.0.0.1:1"));
    let unread = json(&["zone", "list", "-o", "json"], 1);
    fits(&validator_list, &unread);
    strict(&validator_list, &unread, &[]);
    assert_eq!(unread[0]["error"]["reason"], "ServerUnreachable");
}

/// What `--help` of a command names: subcommands, and flags in their long form.
fn help(command: &[&str]) -> (Vec<String>, Vec<String>) {
    let out = Command::new(env!("CARGO_BIN_EXE_knotwork")).args(command).arg("--help").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let (mut section, mut commands, mut flags) = ("", Vec::new(), Vec::new());
    for line in text.lines() {
        if line.ends_with(':') && !line.starts_with(' ') {
            section = line;
        } else if section == "Commands:" && line.starts_with("  ") && !line.starts_with("   ") {
            commands.extend(line.split_whitespace().next().map(str::to_owned));
        } else if section == "Options:"
            && line.trim_start().starts_with('-')
            && let Some(flag) = line.split_whitespace().take(2).find(|word| word.starts_with("--"))
        {
            flags.push(flag.trim_end_matches(',').to_owned());
        }
    }
    commands.retain(|command| command != "help");
    (commands, flags)
}

/// The section of a heading, to the next one of any level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no \"{heading}\" in there"));
    let body = &text[start + heading.len() + 2..];
    body.split("\n## ").next().unwrap().split("\n### ").next().unwrap()
}

#[test]
fn the_reference_names_every_command_and_flag() {
    let text = read("docs/cli.md");
    let mut open: Vec<Vec<String>> = vec![vec![]];
    let mut seen = 0;
    while let Some(command) = open.pop() {
        let (commands, flags) = help(&command.iter().map(String::as_str).collect::<Vec<_>>());
        for inner in &commands {
            open.push([command.clone(), vec![inner.clone()]].concat());
        }
        if commands.is_empty() {
            let heading = format!("### `knotwork {}`", command.join(" "));
            let told = section(&text, &heading);
            for flag in flags.iter().filter(|flag| !["--config", "--help", "--version"].contains(&flag.as_str())) {
                assert!(told.contains(&format!("`{flag}")), "docs/cli.md does not tell of {flag} under {heading}");
                seen += 1;
            }
        }
    }
    assert!(seen > 15, "only {seen} flags were found");
    for flag in ["--config", "--help", "--version"] {
        assert!(text.contains(&format!("`{flag}")), "{flag}");
    }
}

#[test]
fn the_reference_names_every_metric_with_type_and_labels() {
    let text = read("docs/cli.md");
    let served = world();
    let site = site(&served, ", brake: {percent: 1, atLeast: 1}");
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    // A zone that is not served gives an error to count.
    site.config(&format!("{}      - {{name: unserved.example}}\n", site.config_text()));
    let file = site.dir().join("out.prom");
    site.apply(&["--metrics-file", file.to_str().unwrap()], 1);
    let metrics = std::fs::read_to_string(file).unwrap();
    let table = section(&text, "## Metrics");
    assert!(metrics.contains("reason=\"") && metrics.contains("action=\"create\""), "{metrics}");
    let told = told_metrics(&metrics, table, "docs/cli.md");
    let rows = table.lines().filter(|line| line.starts_with("| `knotwork_")).count();
    assert_eq!(rows, told, "docs/cli.md tells of metrics that are none");
}

/// Labels are held against what a whole machine serves, in `tests/host_metrics.rs`.
#[test]
fn the_page_of_hosts_names_every_metric_of_the_agent_with_its_type() {
    let text = read("docs/hosts.md");
    let table = section(&text, "## Metrics of the agent");
    let told = told_metrics(&knotwork::agent::Numbers::default().text(), table, "docs/hosts.md");
    let rows = table.lines().filter(|line| line.starts_with("| `knotwork_")).count();
    assert_eq!(rows, told, "docs/hosts.md tells of metrics that are none");
    assert!(told > 30, "{told}");
}

#[test]
fn the_reference_names_signs_codes_and_variables() {
    let text = read("docs/cli.md");
    let render = read("src/cli/render.rs");
    let signs: Vec<&str> = render
        .split("=> (\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|sign| sign.len() == 1)
        .collect();
    assert_eq!(signs.len(), 7, "{signs:?}");
    for sign in signs.iter().chain(&["!", "?"]) {
        assert!(section(&text, "## Signs").contains(&format!("| `{sign}` |")), "sign {sign}");
    }
    for code in 0..4 {
        assert!(section(&text, "## Exit codes").contains(&format!("| {code} |")), "exit code {code}");
    }
    let mut code = String::new();
    for entry in std::fs::read_dir(root().join("src/cli")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            code.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    let mut variables: BTreeSet<&str> = BTreeSet::from(["NO_COLOR", "TERM"]);
    for piece in code.split("\"KNOTWORK_").skip(1) {
        variables.extend(piece.split('"').next());
    }
    assert!(variables.len() > 4, "{variables:?}");
    let table = section(&text, "## Environment");
    for variable in variables {
        assert!(table.contains(variable), "docs/cli.md does not tell of {variable}");
    }
}

/// A resident run prints what it did, pass by pass, for machines; people read standard error.
#[test]
fn a_watching_apply_prints_the_shape_of_the_plan_line_by_line() {
    let served = world();
    let site = site(&served, "");
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    site.put("bad", "name: b.internal, a: [10.0.0.300]");
    let refused = site.records_run(&["apply", "--watch", "-o", "markdown"]);
    assert!(refused.code == 1 && refused.err.contains("-o json"), "{refused:#?}");
    let out = site.dir().join("passes.jsonl");
    let mut child = site
        .command(&["apply", "--watch", "-o", "json", "-f", site.records().to_str().unwrap()])
        .stdout(std::fs::File::create(&out).unwrap())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let passes = || -> Vec<Value> {
        let text = std::fs::read_to_string(&out).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
    };
    let done = |action: &str, value: &str| {
        passes().iter().any(|pass| {
            let changes = pass["zones"][0]["changes"].as_array().unwrap();
            changes.iter().any(|c| c["action"] == action && c["new"][0] == value && c["outcome"] == "done")
        })
    };
    support::wait::until("the creation", || done("create", "10.0.0.1").then_some(()));
    site.put("a", "name: a.internal, a: [10.0.0.7]");
    support::wait::until("the edit", || done("replace", "10.0.0.7").then_some(()));
    let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(said.contains("watching ") && said.contains("stopped"), "{said}");
    let validator = validator("plan");
    let passes = passes();
    passes.iter().for_each(|pass| fits(&validator, pass));
    assert!(passes.iter().all(|pass| pass["applied"] == true && pass["refusals"][0]["field"] == "spec.a[0]"));
}
