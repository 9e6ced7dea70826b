//! The health checks for Argo CD in `config/argocd/`, run by a real Lua as Argo CD runs them: with the basic functions and
//! `table`, without the libraries `string`, `io` and `os`.
#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use knotwork::spec::{crd, policy_crd, zone_crd};
use serde_json::{Value, json};
use support::kstatus::{Kstatus, kstatus};
use support::parts::{self, Program};

const KINDS: [&str; 3] = ["StaticDNSRecord", "DNSZone", "SplitDNSPolicy"];

/// The check of one kind, as the ConfigMap has it.
fn check(kind: &str) -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/argocd/argocd-cm.yaml")).unwrap();
    let map: Value = serde_saphyr::from_str(&text).unwrap();
    let key = format!("resource.customizations.health.dns.knotwork.dev_{kind}");
    map["data"][&key].as_str().unwrap_or_else(|| panic!("no {key}")).to_owned()
}

/// A value as a Lua expression, as Argo CD hands it over: null is nil.
fn lua_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("nil"),
        Value::Bool(_) | Value::Number(_) => write!(out, "{value}").unwrap(),
        Value::String(text) => lua_text(text, out),
        Value::Array(items) => {
            out.push('{');
            for item in items {
                lua_value(item, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Object(map) => {
            out.push('{');
            for (key, item) in map {
                out.push('[');
                lua_text(key, out);
                out.push_str("]=");
                lua_value(item, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

fn lua_text(text: &str, out: &mut String) {
    out.push('"');
    text.bytes().for_each(|byte| write!(out, "\\{byte:03}").unwrap());
    out.push('"');
}

/// What a check says of an object: health and message.
fn health(lua: &Program, script: &str, object: &Value) -> (String, String) {
    let (mut quoted, mut obj) = (String::new(), String::new());
    lua_text(script, &mut quoted);
    lua_value(object, &mut obj);
    let program = format!(
        "local room = {{obj = {obj}, table = table}}
         for _, name in ipairs({{'assert', 'error', 'ipairs', 'next', 'pairs', 'pcall', 'rawget', 'select', 'tonumber', 'tostring', 'type'}}) do
           room[name] = _G[name]
         end
         local run = setfenv and setfenv(assert(loadstring({quoted})), room) or assert(load({quoted}, 'health', 't', room))
         local health = run()
         io.write(health.status, '\\n', health.message or '')"
    );
    let mut child =
        lua.command().arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{object}\n{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout).unwrap();
    let (status, message) = said.split_once('\n').unwrap();
    (status.to_owned(), message.to_owned())
}

/// An object of generation 3.
fn object(kind: &str, status: Value) -> Value {
    let metadata = json!({"name": "x", "generation": 3});
    json!({"apiVersion": "dns.knotwork.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": {}, "status": status})
}

/// A status of that generation with these conditions; each says its own type as message.
fn status(conditions: &[(&str, &str)]) -> Value {
    let all: Vec<Value> = conditions
        .iter()
        .map(|(kind, status)| json!({"type": kind, "status": status, "reason": "R", "message": format!("about {kind}"), "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z"}))
        .collect();
    json!({"observedGeneration": 3, "conditions": all})
}

/// The condition by which a kind is right.
fn top(kind: &str) -> &'static str {
    if kind == "DNSZone" { "InSync" } else { "Ready" }
}

#[test]
fn what_holds_for_every_kind() {
    let Some(lua) = parts::need("lua") else { return };
    for kind in KINDS {
        let script = check(kind);
        let top = top(kind);
        let good = status(&[("Reachable", "True"), ("Accepted", "True"), (top, "True")]);
        let mut behind = good.clone();
        behind["observedGeneration"] = json!(2);
        let mut behind_and_stalled = status(&[("Stalled", "True"), (top, "False")]);
        behind_and_stalled["observedGeneration"] = json!(2);
        // A status of an object that was restored from a backup is of another life.
        let mut ahead = good.clone();
        ahead["observedGeneration"] = json!(7);
        for (status, wanted, words) in [
            (Value::Null, "Progressing", "waiting for the operator"),
            (json!({}), "Progressing", "waiting for the operator"),
            (json!({"observedGeneration": 3}), "Progressing", "waiting for the operator"),
            (behind, "Progressing", "has not seen the last change"),
            (behind_and_stalled, "Progressing", "has not seen the last change"),
            (ahead, "Progressing", "has not seen the last change"),
            (good.clone(), "Healthy", &format!("about {top}")),
            (status(&[("Reachable", "True"), (top, "Unknown")]), "Progressing", &format!("about {top}")),
            (status(&[(top, "False"), ("Stalled", "True")]), "Degraded", "about Stalled"),
            (status(&[("Stalled", "True"), ("Reconciling", "True")]), "Degraded", "about Stalled"),
            (status(&[("Reconciling", "True"), (top, "False")]), "Progressing", "about Reconciling"),
            (status(&[("Reconciling", "False"), ("Stalled", "False"), (top, "True")]), "Healthy", "about"),
        ] {
            let (said, message) = health(&lua, &script, &object(kind, status.clone()));
            assert_eq!(said, wanted, "{kind} {status}: {message}");
            assert!(message.contains(words), "{kind} {status}: {message}");
        }
        let mut gone = object(kind, good);
        gone["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(health(&lua, &script, &gone), ("Progressing".to_owned(), "being deleted".to_owned()), "{kind}");
    }
}

/// The API server fills in `Unknown/Pending` before the operator has seen an object.
#[test]
fn the_defaults_of_the_crds_are_progress() {
    let Some(lua) = parts::need("lua") else { return };
    for (kind, crd) in KINDS.into_iter().zip([crd::crd(), zone_crd::crd(), policy_crd::crd()]) {
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let default = schema["properties"]["status"]["default"].clone();
        assert!(default["conditions"].is_array(), "{kind}");
        let (said, message) = health(&lua, &check(kind), &object(kind, default));
        assert_eq!((&*said, &*message), ("Progressing", "waiting for the operator"), "{kind}");
    }
}

/// Not ready is on the way, unless the operator says that it will not get there.
#[test]
fn records_and_policies_that_are_not_ready_are_progress() {
    let Some(lua) = parts::need("lua") else { return };
    for kind in ["StaticDNSRecord", "SplitDNSPolicy"] {
        let waiting = object(kind, status(&[("Accepted", "True"), ("Programmed", "False"), ("Ready", "False")]));
        assert_eq!(health(&lua, &check(kind), &waiting), ("Progressing".to_owned(), "about Ready".to_owned()));
    }
    assert_eq!(check("StaticDNSRecord"), check("SplitDNSPolicy"));
}

#[test]
fn a_zone_waits_for_its_server_for_a_person_or_for_nobody() {
    let Some(lua) = parts::need("lua") else { return };
    let script = check("DNSZone");
    let mut held = status(&[("Reachable", "True"), ("InSync", "False")]);
    held["held"] = json!({"hash": "0123456789abcdef", "deletes": 40});
    let mut stalled_and_held = status(&[("Reachable", "True"), ("InSync", "False"), ("Stalled", "True")]);
    stalled_and_held["held"] = held["held"].clone();
    let mut held_and_on_its_way = status(&[("Reachable", "True"), ("InSync", "False"), ("Reconciling", "True")]);
    held_and_on_its_way["held"] = held["held"].clone();
    let mut held_and_gone = status(&[("Reachable", "False"), ("InSync", "Unknown")]);
    held_and_gone["held"] = held["held"].clone();
    for (status, wanted, words) in [
        (status(&[("Reachable", "False"), ("InSync", "Unknown")]), "Degraded", "about Reachable"),
        (status(&[("Reachable", "Unknown"), ("InSync", "Unknown")]), "Progressing", "about InSync"),
        (status(&[("Reachable", "True"), ("InSync", "False")]), "Degraded", "about InSync"),
        (held, "Suspended", "0123456789abcdef"),
        (stalled_and_held, "Suspended", "0123456789abcdef"),
        (held_and_on_its_way, "Progressing", "about Reconciling"),
        (
            status(&[("Reachable", "False"), ("InSync", "Unknown"), ("Reconciling", "True")]),
            "Progressing",
            "Reconciling",
        ),
        (status(&[("Reachable", "False"), ("InSync", "Unknown"), ("Stalled", "True")]), "Degraded", "about Stalled"),
        (status(&[("Reachable", "True"), ("InSync", "False"), ("Reconciling", "True")]), "Progressing", "Reconciling"),
        (status(&[("Reachable", "True"), ("InSync", "False"), ("Stalled", "True")]), "Degraded", "about Stalled"),
        (held_and_gone, "Degraded", "about Reachable"),
    ] {
        let (said, message) = health(&lua, &script, &object("DNSZone", status.clone()));
        assert_eq!(said, wanted, "{status}: {message}");
        assert!(message.contains(words), "{status}: {message}");
    }
}

/// kubectl, Flux and Argo CD say the same of a record in other words, for every status that the operator could write.
#[test]
fn argo_cd_and_kstatus_agree_on_records() {
    let Some(lua) = parts::need("lua") else { return };
    let script = check("StaticDNSRecord");
    let mut seen = 0;
    for ready in ["True", "False", "Unknown"] {
        // Never both at once: kstatus takes what stands first.
        for more in [None, Some(("Reconciling", "True")), Some(("Stalled", "True")), Some(("Stalled", "False"))] {
            for observed in [2, 3] {
                for deleted in [false, true] {
                    let conditions: Vec<(&str, &str)> = [("Ready", ready)].into_iter().chain(more).collect();
                    let mut record = object("StaticDNSRecord", status(&conditions));
                    record["status"]["observedGeneration"] = json!(observed);
                    if deleted {
                        record["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                    }
                    let wanted = match kstatus(&record) {
                        Kstatus::Current => "Healthy",
                        Kstatus::Failed => "Degraded",
                        Kstatus::InProgress | Kstatus::Terminating => "Progressing",
                    };
                    assert_eq!(health(&lua, &script, &record).0, wanted, "{record}");
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 48);
}
