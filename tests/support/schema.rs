//! Documents against the published schemas, and the schemas against changes of the documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};

/// A published schema, `docs/schema/<name>.schema.json`.
pub fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{name}.schema.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What holds documents against it.
pub fn validator(name: &str) -> Validator {
    let schema = schema(name);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["$id"], format!("https://dns.knotwork.dev/schema/{name}.schema.json"));
    jsonschema::draft202012::meta::validate(&schema).expect("a schema of its draft");
    jsonschema::draft202012::new(&schema).unwrap()
}

/// A document that must fit.
#[track_caller]
pub fn fits(validator: &Validator, document: &Value) {
    let wrong: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:#?} in {document:#}");
}

/// Paths of all objects in a document.
fn objects(document: &Value, path: String, all: &mut Vec<String>) {
    match document {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| objects(value, format!("{path}/{key}"), all));
            all.push(path);
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| objects(item, format!("{path}/{i}"), all));
        }
        _ => {}
    }
}

/// One key more anywhere, or one of the required less, and the document is wrong. `optional` says of a path and a key
/// whether the document may go without; `open` of a path whether its keys are names and not words of ours.
pub fn strict(
    validator: &Validator,
    document: &Value,
    optional: impl Fn(&str, &str) -> bool,
    open: impl Fn(&str) -> bool,
) {
    let mut paths = Vec::new();
    objects(document, String::new(), &mut paths);
    // Of the items of a list three will do.
    let mut seen: BTreeMap<(String, Vec<String>), u8> = BTreeMap::new();
    paths.retain(|path| {
        let shape = path.split('/').map(|word| if word.parse::<usize>().is_ok() { "*" } else { word });
        let keys = document.pointer(path).unwrap().as_object().unwrap().keys().cloned().collect();
        let count = seen.entry((shape.collect::<Vec<_>>().join("/"), keys)).or_default();
        *count += 1;
        *count <= 3
    });
    for path in paths {
        let mut more = document.clone();
        more.pointer_mut(&path).unwrap()["surprise"] = json!(1);
        assert!(!validator.is_valid(&more), "takes an unknown key at \"{path}\"");
        if open(&path) {
            continue;
        }
        let keys: Vec<String> = document.pointer(&path).unwrap().as_object().unwrap().keys().cloned().collect();
        for key in keys.iter().filter(|key| !optional(&path, key)) {
            let mut less = document.clone();
            less.pointer_mut(&path).unwrap().as_object_mut().unwrap().remove(key);
            assert!(!validator.is_valid(&less), "does not miss \"{key}\" at \"{path}\"");
        }
    }
}

/// Every value at a key, anywhere.
fn at<'a>(document: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match document {
        Value::Object(map) => map.iter().for_each(|(k, value)| {
            if k == key {
                found.push(value);
            }
            at(value, key, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| at(item, key, found)),
        _ => {}
    }
}

/// The different texts at a key, anywhere in some documents.
pub fn words(documents: &[Value], key: &str) -> BTreeSet<String> {
    let mut found = Vec::new();
    documents.iter().for_each(|document| at(document, key, &mut found));
    found.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Holds metrics against the table that tells of them (`| metric | type | labels | meaning |`): every family with its type,
/// every label that is there; gives how many families there are.
#[track_caller]
pub fn told_metrics(metrics: &str, table: &str, page: &str) -> usize {
    let row = |name: &str| {
        table
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")))
            .unwrap_or_else(|| panic!("{page} does not tell of {name}"))
    };
    let mut told = 0;
    for line in metrics.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            assert!(row(name).contains(&format!("| {kind} |")), "{name} is a {kind}");
            told += 1;
        } else if let Some((name, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let family =
                ["_bucket", "_sum", "_count"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
            for label in
                labels.split("\",").filter_map(|pair| pair.split('=').next()).filter(|label| !label.contains('}'))
            {
                assert!(row(family).contains(&format!("`{label}`")), "{name} has the label {label}");
            }
        }
    }
    told
}
