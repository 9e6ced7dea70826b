//! The CRD and the code that reads manifests come to the same verdict: the schema by our own walker, its CEL rules by
//! `kube-cel`, the code by lowering, over the samples in `tests/spec/samples.txt`.

#![allow(clippy::unwrap_used)]

use knotwork::model::Name;
use knotwork::spec::schema::mismatches;
use knotwork::spec::{Lowered, RecordStatus, Rights, StaticDnsRecord, ZoneEntry, Zones, crd, lower};
use serde_json::{Value, json};

fn zones() -> Zones {
    let entry = |name: &str| ZoneEntry { name: Name::parse(name).unwrap(), default_ttl: 300 };
    Zones::new([entry("internal"), entry("10.in-addr.arpa")], "_knotwork")
}

fn document(spec: &str) -> String {
    format!("{{apiVersion: dns.knotwork.dev/v1alpha1, kind: StaticDNSRecord, metadata: {{name: x}}, spec: {spec}}}")
}

/// What the code says: the first problem, if any.
fn code(spec: &str) -> Result<(), String> {
    let record: StaticDnsRecord = serde_saphyr::from_str(&document(spec)).map_err(|error| error.to_string())?;
    let Lowered { problems, .. } = lower(&record, &zones(), &Rights::Trusted);
    match problems.first() {
        Some(problem) => Err(format!("{}: {}", problem.path, problem.message)),
        None => Ok(()),
    }
}

fn schema() -> Value {
    let mut schema = crd::crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    patterns_as_rules(&mut schema);
    schema
}

/// `pattern` is left to the API server; here a rule says the same.
fn patterns_as_rules(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(patterns_as_rules);
            let Some(Value::String(pattern)) = map.get("pattern").cloned() else { return };
            let rule = format!("self.matches({})", Value::from(pattern));
            let rules = map.entry("x-kubernetes-validations").or_insert(json!([])).as_array_mut().unwrap();
            rules.push(json!({"rule": rule, "message": "pattern"}));
        }
        Value::Array(items) => items.iter_mut().for_each(patterns_as_rules),
        _ => {}
    }
}

/// A field without its indices: lists and their items count as one place.
fn field(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

fn samples() -> Vec<(&'static str, &'static str)> {
    let lines = include_str!("spec/samples.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once('\t').unwrap()).collect()
}

#[test]
fn schema_rules_and_code_agree() {
    let schema = schema();
    let compiled = kube_cel::compile_schema(&schema);
    assert!(!compiled.has_errors(), "{:?}", compiled.compilation_errors());
    let mut wrong = Vec::new();
    for (verdict, spec) in samples() {
        let value: Value = serde_saphyr::from_str(&document(spec)).unwrap();
        let by_schema = mismatches(&schema, &value);
        // The API server runs no rules on what its schema refuses.
        let by_rules = match by_schema.is_empty() {
            true => kube_cel::Validator::new().validate_compiled(&compiled, &value, None).err(),
            false => None,
        };
        let by_code = code(spec);
        let got = match (by_schema.is_empty(), &by_rules, &by_code) {
            (_, _, Ok(())) if by_schema.is_empty() && by_rules.is_none() => "good",
            (_, _, Ok(())) => "taken by the code alone",
            (false, ..) => "schema",
            (true, Some(_), _) => "rule",
            (true, None, _) => "deep",
        };
        if got != verdict {
            wrong.push(format!("{spec}\n  expected {verdict}, got {got}: {by_schema:?} {by_rules:?} {by_code:?}"));
        }
        if let (Some(errors), Err(said)) = (&by_rules, &by_code) {
            // A rule over a list names the list, the code the field of the item.
            let said = field(said.split(": ").next().unwrap());
            let same =
                |path: &str| said == field(path) || said.starts_with(&format!("{}.", field(path))) && path != "spec";
            if !errors.iter().any(|error| same(&error.field_path)) {
                wrong.push(format!("{spec}\n  the code names {said}, the rules {errors:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_name_the_field_that_the_code_names() {
    let schema = schema();
    for (spec, path) in [
        ("{name: a.internal, a: [10.0.0.1, 10.0.0.300]}", "spec.a[1]"),
        ("{name: a.internal, aaaa: [10.0.0.1]}", "spec.aaaa[0]"),
        ("{name: a.internal, cname: b.internal, a: [10.0.0.1]}", "spec.cname"),
        ("{name: a.internal, cname: b.internal, share: true}", "spec.share"),
        ("{name: a..internal, a: [10.0.0.1]}", "spec.name"),
    ] {
        let value: Value = serde_saphyr::from_str(&document(spec)).unwrap();
        let errors = kube_cel::Validator::new().validate(&schema, &value, None).unwrap_err();
        let said: Vec<&str> = errors.iter().map(|error| error.field_path.as_str()).collect();
        assert!(said.contains(&path), "{spec}: {said:?}");
        assert!(code(spec).unwrap_err().starts_with(path), "{spec}");
    }
}

/// What the API server wants of a schema: structural, no forbidden keywords, bounds wherever a rule looks.
#[test]
fn the_schema_is_structural() {
    const KNOWN: &[&str] = &[
        "type",
        "format",
        "description",
        "properties",
        "required",
        "items",
        "enum",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "pattern",
        "default",
        "x-kubernetes-validations",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ];
    fn walk(schema: &Value, path: &str) {
        for key in schema.as_object().unwrap().keys() {
            assert!(KNOWN.contains(&key.as_str()), "{path}: the keyword {key}");
        }
        match schema["type"].as_str().unwrap_or_else(|| panic!("{path} has no type")) {
            "object" if path == ".metadata" => assert_eq!(schema.as_object().unwrap().len(), 1),
            "object" => {
                let properties = schema["properties"].as_object().unwrap_or_else(|| panic!("{path} is open"));
                for key in schema["required"].as_array().into_iter().flatten() {
                    assert!(properties.contains_key(key.as_str().unwrap()), "{path}: required {key}");
                }
                properties.iter().for_each(|(key, inner)| walk(inner, &format!("{path}.{key}")));
            }
            "array" => {
                assert!(schema["maxItems"].is_u64(), "{path} has no bound");
                assert!(schema["x-kubernetes-list-type"].is_string(), "{path}: set, map or atomic");
                for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
                    assert!(schema["items"]["required"].as_array().unwrap().contains(key), "{path}: key {key}");
                }
                walk(&schema["items"], &format!("{path}[]"));
            }
            "string" => {
                let bounded = schema["maxLength"].is_u64() || schema["enum"].is_array() || schema["format"].is_string();
                // The API server's own fields at the top have no bounds of ours.
                assert!(bounded || matches!(path, ".apiVersion" | ".kind"), "{path} has no bound");
            }
            "integer" | "boolean" => {}
            other => panic!("{path}: {other}"),
        }
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            assert!(rule["message"].is_string(), "{path}: {rule}");
            if let Some(at) = rule["fieldPath"].as_str() {
                assert!(schema["properties"][&at[1..]].is_object(), "{path}: no field {at}");
            }
        }
    }
    walk(&crd::crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "");
}

#[test]
fn no_rule_costs_too_much() {
    let compiled = kube_cel::compile_schema(&schema());
    fn walk(schema: &Value, compiled: &kube_cel::CompiledSchema) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let warnings = kube_cel::estimate_rule_cost(rule["rule"].as_str().unwrap(), compiled);
            assert!(warnings.is_empty(), "{warnings:?}");
        }
        for inner in schema["properties"].as_object().into_iter().flat_map(|map| map.values()) {
            walk(inner, compiled);
        }
        if schema["items"].is_object() {
            walk(&schema["items"], compiled);
        }
    }
    walk(&schema(), &compiled);
}

/// Every key of the types is in the schema, and the other way round: an object with everything goes both ways unchanged.
#[test]
fn types_and_schema_have_the_same_fields() {
    let schema = schema();
    let spec = sample(&schema["properties"]["spec"]);
    let whole = json!({"apiVersion": "dns.knotwork.dev/v1alpha1", "kind": "StaticDNSRecord", "metadata": {"name": "x"}, "spec": spec});
    let record: StaticDnsRecord = serde_json::from_value(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&record).unwrap(), whole);
    let status = sample(&schema["properties"]["status"]);
    let typed: RecordStatus = serde_json::from_value(status.clone()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), status);
    assert_eq!(mismatches(&schema["properties"]["status"], &status), []);
}

/// A value of a schema with every field.
fn sample(schema: &Value) -> Value {
    match schema["type"].as_str().unwrap() {
        "object" => schema["properties"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), sample(v))).collect(),
        "array" => json!([sample(&schema["items"])]),
        "string" => schema["enum"].as_array().map_or(json!("x"), |words| words[0].clone()),
        "integer" => json!(1),
        "boolean" => json!(true),
        other => panic!("{other}"),
    }
}

/// `UPDATE_CRDS=1 cargo test --test spec_rules` writes the file anew.
#[test]
fn the_committed_crd_is_the_one_that_is_printed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/dns.knotwork.dev_staticdnsrecords.yaml");
    let printed = crd::yaml();
    if std::env::var_os("UPDATE_CRDS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/crds")).unwrap();
        std::fs::write(path, &printed).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap_or_default() == printed, "run `knotwork crds > {path}`");
    let back: Value = serde_saphyr::from_str(&printed).unwrap();
    assert_eq!(back, crd::crd());
}
