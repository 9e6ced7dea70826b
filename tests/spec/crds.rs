//! What the API server wants of a CRD's schema, for the tests of each kind.
#![allow(dead_code, clippy::unwrap_used)]

use serde_json::{Value, json};

/// The schema of a CRD, its patterns said as rules: `pattern` is left to the API server.
pub fn schema_of(crd: &Value) -> Value {
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    patterns_as_rules(&mut schema);
    schema
}

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
pub fn field(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

/// Samples: verdict, tab, spec.
pub fn samples(text: &'static str) -> Vec<(&'static str, &'static str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once('\t').unwrap()).collect()
}

/// A value of a schema with every field.
pub fn sample(schema: &Value) -> Value {
    match schema["type"].as_str().unwrap() {
        "object" if schema["additionalProperties"].is_object() => json!({"x": sample(&schema["additionalProperties"])}),
        "object" => schema["properties"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), sample(v))).collect(),
        "array" => json!([sample(&schema["items"])]),
        "string" => schema["enum"].as_array().map_or(json!("x"), |words| words[0].clone()),
        "integer" => json!(1),
        "boolean" => json!(true),
        other => panic!("{other}"),
    }
}

const KNOWN: &[&str] = &[
    "type",
    "format",
    "description",
    "properties",
    "additionalProperties",
    "maxProperties",
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

/// Structural, no forbidden keywords, bounds wherever a rule looks.
pub fn assert_structural(schema: &Value, path: &str) {
    for key in schema.as_object().unwrap().keys() {
        assert!(KNOWN.contains(&key.as_str()), "{path}: the keyword {key}");
    }
    match schema["type"].as_str().unwrap_or_else(|| panic!("{path} has no type")) {
        "object" if path == ".metadata" => assert_eq!(schema.as_object().unwrap().len(), 1),
        "object" if schema["additionalProperties"].is_object() => {
            assert!(schema["maxProperties"].is_u64(), "{path} has no bound");
            assert_structural(&schema["additionalProperties"], &format!("{path}.*"));
        }
        "object" => {
            let properties = schema["properties"].as_object().unwrap_or_else(|| panic!("{path} is open"));
            for key in schema["required"].as_array().into_iter().flatten() {
                assert!(properties.contains_key(key.as_str().unwrap()), "{path}: required {key}");
            }
            properties.iter().for_each(|(key, inner)| assert_structural(inner, &format!("{path}.{key}")));
        }
        "array" => {
            assert!(schema["maxItems"].is_u64(), "{path} has no bound");
            assert!(schema["x-kubernetes-list-type"].is_string(), "{path}: set, map or atomic");
            for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
                assert!(schema["items"]["required"].as_array().unwrap().contains(key), "{path}: key {key}");
            }
            assert_structural(&schema["items"], &format!("{path}[]"));
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

/// No rule costs more than the API server allows.
pub fn assert_cheap(schema: &Value) {
    let compiled = kube_cel::compile_schema(schema);
    fn walk(schema: &Value, compiled: &kube_cel::CompiledSchema) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let warnings = kube_cel::estimate_rule_cost(rule["rule"].as_str().unwrap(), compiled);
            assert!(warnings.is_empty(), "{rule}: {warnings:?}");
        }
        for inner in schema["properties"].as_object().into_iter().flat_map(|map| map.values()) {
            walk(inner, compiled);
        }
        if schema["items"].is_object() {
            walk(&schema["items"], compiled);
        }
    }
    walk(schema, &compiled);
}
