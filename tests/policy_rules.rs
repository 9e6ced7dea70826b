//! The CRD of `SplitDNSPolicy` and the code that reads manifests come to the same verdict, as `spec_rules.rs` has it for
//! records: over the samples in `tests/spec/policies.txt`.

#![allow(clippy::unwrap_used)]

#[path = "spec/crds.rs"]
mod crds;

use crds::{field, sample, schema_of};
use knotwork::spec::schema::mismatches;
use knotwork::spec::{SplitDnsPolicy, check_policy, policy_crd};
use serde_json::{Value, json};

fn document(spec: &str) -> String {
    format!("{{apiVersion: dns.knotwork.dev/v1alpha1, kind: SplitDNSPolicy, metadata: {{name: x}}, spec: {spec}}}")
}

/// What the code says: the first problem, if any.
fn code(spec: &str) -> Result<(), String> {
    let policy: SplitDnsPolicy = serde_saphyr::from_str(&document(spec)).map_err(|error| error.to_string())?;
    match check_policy(&policy).problems.first() {
        Some(problem) => Err(format!("{}: {}", problem.path, problem.message)),
        None => Ok(()),
    }
}

fn schema() -> Value {
    schema_of(&policy_crd::crd())
}

#[test]
fn schema_rules_and_code_agree() {
    let schema = schema();
    let compiled = kube_cel::compile_schema(&schema);
    assert!(!compiled.has_errors(), "{:?}", compiled.compilation_errors());
    let mut wrong = Vec::new();
    let samples = crds::samples(include_str!("spec/policies.txt"));
    assert!(samples.len() > 60);
    for (verdict, spec) in samples {
        let value: Value = serde_saphyr::from_str(&document(spec)).unwrap();
        let by_schema = mismatches(&schema, &value);
        // The API server runs no rules on what its schema refuses.
        let by_rules = match by_schema.is_empty() {
            true => kube_cel::Validator::new().validate_compiled(&compiled, &value, None).err(),
            false => None,
        };
        let by_rules: Option<Vec<(String, String)>> =
            by_rules.map(|all| all.into_iter().map(|error| (error.field_path, error.message)).collect());
        let by_code = code(spec);
        let got = match (by_schema.is_empty(), &by_rules, &by_code) {
            // Manifests are held against the schema before the code sees them.
            (false, ..) => "schema",
            (true, None, Ok(())) => "good",
            (true, Some(_), Ok(())) => "taken by the code alone",
            (true, Some(_), _) => "rule",
            (true, None, _) => "deep",
        };
        if got != verdict {
            wrong.push(format!("{spec}\n  expected {verdict}, got {got}: {by_schema:?} {by_rules:?} {by_code:?}"));
        }
        if let (Some(errors), Err(said)) = (&by_rules, &by_code) {
            let said = field(said.split(": ").next().unwrap());
            let same =
                |path: &str| said == field(path) || said.starts_with(&format!("{}.", field(path))) && path != "spec";
            if !errors.iter().any(|error| same(&error.0)) {
                wrong.push(format!("{spec}\n  the code names {said}, the rules {errors:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_schema_is_structural_and_its_rules_cheap() {
    crds::assert_structural(&policy_crd::crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "");
    crds::assert_cheap(&schema());
}

/// Every key of the types is in the schema, and the other way round: an object with everything goes both ways unchanged.
#[test]
fn types_and_schema_have_the_same_fields() {
    let spec = sample(&schema()["properties"]["spec"]);
    let whole = json!({"apiVersion": "dns.knotwork.dev/v1alpha1", "kind": "SplitDNSPolicy", "metadata": {"name": "x"}, "spec": spec});
    let policy: SplitDnsPolicy = serde_json::from_value(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), whole);
}

/// `UPDATE_CRDS=1 cargo test --test policy_rules` writes the file anew.
#[test]
fn the_committed_crd_is_the_one_that_is_printed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/dns.knotwork.dev_splitdnspolicies.yaml");
    let printed = policy_crd::yaml();
    if std::env::var_os("UPDATE_CRDS").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == printed,
        "run UPDATE_CRDS=1 cargo test --test policy_rules"
    );
    let back: Value = serde_saphyr::from_str(&printed).unwrap();
    assert_eq!(back, policy_crd::crd());
}
