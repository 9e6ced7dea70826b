//! The CRD and the code that reads manifests come to the same verdict: the schema by our own walker, its CEL rules by
//! `kube-cel`, the code by lowering, over the samples in `tests/spec/samples.txt`.

#![allow(clippy::unwrap_used)]

#[path = "spec/crds.rs"]
mod crds;

use crds::{field, sample, schema_of};
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
    schema_of(&crd::crd())
}

fn samples() -> Vec<(&'static str, &'static str)> {
    crds::samples(include_str!("spec/samples.txt"))
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

#[test]
fn the_schema_is_structural_and_its_rules_cheap() {
    crds::assert_structural(&crd::crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "");
    crds::assert_cheap(&schema());
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
