//! The CRD of `DNSZone` and its types hold together, as `spec_rules.rs` has it for records. Only the API server reads these
//! objects, so there is no code to compare its rules with: the samples say what they must say.

#![allow(clippy::unwrap_used)]

#[path = "spec/crds.rs"]
mod crds;

use crds::{sample, schema_of};
use knotwork::spec::schema::mismatches;
use knotwork::spec::{Condition, ZoneObjectStatus, ZoneSpec, zone_crd};
use serde_json::{Value, json};

fn schema() -> Value {
    schema_of(&zone_crd::crd())
}

/// What the API server says of a spec: `good`, or the field where the schema or a rule refuses it.
fn verdict(schema: &Value, spec: &Value) -> String {
    let object = json!({"apiVersion": "dns.knotwork.dev/v1alpha1", "kind": "DNSZone", "metadata": {"name": "internal"}, "spec": spec});
    if let Some(wrong) = mismatches(schema, &object).first() {
        return format!("schema {}", wrong.path);
    }
    match kube_cel::Validator::new().validate(schema, &object, None) {
        Ok(()) => "good".to_owned(),
        Err(errors) => format!("rule {}", errors[0].field_path),
    }
}

#[test]
fn decisions_name_what_they_decide_about() {
    let schema = schema();
    let compiled = kube_cel::compile_schema(&schema);
    assert!(!compiled.has_errors(), "{:?}", compiled.compilation_errors());
    for (wanted, spec) in [
        ("good", json!({})),
        ("good", json!({"release": "0123456789abcdef"})),
        ("good", json!({"mode": "Observe"})),
        ("good", json!({"mode": "Repair", "orphans": "Report"})),
        ("good", json!({"orphans": "Delete", "orphansHash": "0123456789abcdef"})),
        // A hash that is left over from an earlier decision decides nothing.
        ("good", json!({"orphansHash": "0123456789abcdef"})),
        ("rule spec.orphansHash", json!({"orphans": "Delete"})),
        ("rule spec.orphansHash", json!({"orphans": "Delete", "orphansHash": "all"})),
        ("rule spec.release", json!({"release": "0123456789ABCDEF"})),
        ("rule spec.release", json!({"release": "0123456789abcde"})),
        ("rule spec.release", json!({"release": ""})),
        ("schema spec.release", json!({"release": "0123456789abcdef0"})),
        ("schema spec.release", json!({"release": 1_234_567_890_123_456_i64})),
        ("schema spec.orphans", json!({"orphans": "delete"})),
        ("schema spec.mode", json!({"mode": "Pause"})),
        ("schema spec.releases", json!({"releases": "0123456789abcdef"})),
    ] {
        assert_eq!(verdict(&schema, &spec), wanted, "{spec}");
        if wanted == "good" {
            let typed: ZoneSpec = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(serde_json::to_value(&typed).unwrap(), spec);
        }
    }
}

/// `kubectl create` of nothing but a name: no spec means no decision.
#[test]
fn a_zone_needs_no_spec() {
    let schema = schema();
    let object =
        json!({"apiVersion": "dns.knotwork.dev/v1alpha1", "kind": "DNSZone", "metadata": {"name": "internal"}});
    assert_eq!(mismatches(&schema, &object), []);
    assert_eq!(schema["properties"]["spec"]["default"], json!({}));
    assert_eq!(serde_json::from_value::<ZoneSpec>(json!({})).unwrap(), ZoneSpec::default());
}

/// A CRD of a newer version may have fields that an older operator does not know.
#[test]
fn unknown_fields_are_passed_over_by_the_types() {
    let spec: ZoneSpec = serde_json::from_value(json!({"mode": "Observe", "newer": {}})).unwrap();
    assert!(spec.mode.is_some());
    let status: ZoneObjectStatus = serde_json::from_value(json!({"serial": 7, "newer": []})).unwrap();
    assert_eq!(status.serial, Some(7));
}

#[test]
fn the_schema_is_structural_and_its_rules_cheap() {
    crds::assert_structural(&zone_crd::crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "");
    crds::assert_cheap(&schema());
}

/// Every key of the types is in the schema, and the other way round: an object with everything goes both ways unchanged.
#[test]
fn types_and_schema_have_the_same_fields() {
    let schema = schema();
    let spec = sample(&schema["properties"]["spec"]);
    let typed: ZoneSpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), spec);
    let status = sample(&schema["properties"]["status"]);
    let typed: ZoneObjectStatus = serde_json::from_value(status.clone()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), status);
    assert_eq!(mismatches(&schema["properties"]["status"], &status), []);
}

/// What is not known is absent, never zero or empty: a status of an operator that has seen nothing says nothing.
#[test]
fn a_status_without_knowledge_is_empty() {
    assert_eq!(serde_json::to_value(ZoneObjectStatus::default()).unwrap(), json!({}));
}

/// A dead operator is visible: the conditions stand as unknown before anybody has written a status.
#[test]
fn the_defaults_are_pending() {
    let default = schema()["properties"]["status"]["default"].clone();
    assert_eq!(mismatches(&schema()["properties"]["status"], &default), []);
    let status: ZoneObjectStatus = serde_json::from_value(default).unwrap();
    let said: Vec<(&str, &str, &str)> = status
        .conditions
        .iter()
        .map(|Condition { r#type, status, reason, .. }| (&**r#type, &**status, &**reason))
        .collect();
    let wanted =
        [("Reachable", "Unknown", "Pending"), ("InSync", "Unknown", "Pending"), ("Reconciling", "True", "Pending")];
    assert_eq!(said, wanted);
}

/// Every column shows a field that is there, of its type, and the default ones fit into 120 characters, also while the
/// brake holds something.
#[test]
fn columns_show_fields_and_fit_a_terminal() {
    let crd = zone_crd::crd();
    let version = &crd["spec"]["versions"][0];
    let mut line = "internal".len();
    for column in version["additionalPrinterColumns"].as_array().unwrap() {
        let (name, path) = (column["name"].as_str().unwrap(), column["jsonPath"].as_str().unwrap());
        let longest = match name {
            "Server" => "192.168.4.53:53".len(),
            "Serial" => "2026010100".len(),
            "Held" => 16,
            "Reason" => "BrakeHeld".len(),
            _ => name.len(),
        };
        if column["priority"].as_u64().unwrap_or(0) == 0 {
            // kubectl puts three blanks between columns.
            line += 3 + longest.max(name.len());
        }
        let Some(path) = path.strip_prefix(".status.").filter(|path| !path.starts_with("conditions[")) else {
            continue;
        };
        let status = &version["schema"]["openAPIV3Schema"]["properties"]["status"];
        let field = path.split('.').fold(status, |schema, key| &schema["properties"][key]);
        assert_eq!(field["type"], column["type"], "{name}");
    }
    assert!(line <= 120, "{line}");
}

/// `UPDATE_CRDS=1 cargo test --test zone_rules` writes the file anew.
#[test]
fn the_committed_crd_is_the_one_that_is_printed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/dns.knotwork.dev_dnszones.yaml");
    let printed = zone_crd::yaml();
    if std::env::var_os("UPDATE_CRDS").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == printed,
        "run UPDATE_CRDS=1 cargo test --test zone_rules"
    );
    let back: Value = serde_saphyr::from_str(&printed).unwrap();
    assert_eq!(back, zone_crd::crd());
}
