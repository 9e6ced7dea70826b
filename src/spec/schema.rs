//! Values against structural schemas, as the API server checks them before any rule: every fault at once, each with its
//! path. Also serves the configuration, whose schema stands in the same form.

use std::fmt::Write as _;

use serde_json::Value;

/// One place where a value is not as its schema says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The field: `spec.a[1]`.
    pub path: String,
    /// Whether it is about the key itself, not about the value under it.
    pub key: bool,
    /// Whether a field is missing in the mapping there.
    pub missing: bool,
    /// What is wrong and what to do.
    pub message: String,
}

/// Everything in `value` that `schema` does not allow. Objects without `properties` and without
/// `additionalProperties` are open; all others are closed, as with `kubectl`'s strict validation.
pub fn mismatches(schema: &Value, value: &Value) -> Vec<Mismatch> {
    let mut found = Vec::new();
    check(schema, value, &mut String::new(), &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &mut String, found: &mut Vec<Mismatch>) {
    let mut wrong = |message: String| found.push(Mismatch { path: path.clone(), key: false, missing: false, message });
    let wanted = schema["type"].as_str().unwrap_or("");
    match (wanted, value) {
        ("object", Value::Object(map)) => object(schema, map, path, found),
        ("array", Value::Array(items)) => array(schema, items, path, found),
        ("string", Value::String(text)) => {
            if let Some(allowed) = schema["enum"].as_array() {
                if !allowed.contains(value) {
                    let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
                    let hint = nearest(text, words.iter().copied());
                    wrong(format!("\"{text}\" is not one of {}{hint}", words.join(", ")));
                }
                return;
            }
            let length = text.chars().count() as u64;
            if schema["maxLength"].as_u64().is_some_and(|most| length > most) {
                wrong(format!("the text has {length} characters; the limit is {}", schema["maxLength"]));
            }
            if schema["minLength"].as_u64().is_some_and(|least| length < least) {
                wrong("the text is empty".into());
            }
        }
        ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
            if let Some(allowed) = schema["enum"].as_array() {
                if !allowed.contains(value) {
                    let numbers: Vec<String> = allowed.iter().map(Value::to_string).collect();
                    wrong(format!("{number} is not one of {}", numbers.join(", ")));
                }
                return;
            }
            let n = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)).unwrap_or_default();
            let bound = |key: &str| schema[key].as_i64().map(i128::from);
            let (least, most) = (bound("minimum"), bound("maximum"));
            if least.is_some_and(|least| n < least) || most.is_some_and(|most| n > most) {
                let least = least.unwrap_or(0);
                wrong(match most {
                    Some(most) => format!("{n} is out of range; expected {least} to {most}"),
                    None => format!("{n} is out of range; expected {least} or more"),
                });
            }
        }
        ("boolean", Value::Bool(_)) => {}
        // Strings or lists of them, where the configuration takes both.
        ("", _) => {
            if let Some(kinds) = schema["anyOf"].as_array()
                && !kinds.iter().any(|kind| mismatches(kind, value).is_empty())
            {
                wrong(format!(
                    "{} stands here, where {} is wanted",
                    what(value),
                    schema["title"].as_str().unwrap_or("another kind of value")
                ));
            }
        }
        _ => wrong(mistyped(wanted, value)),
    }
}

fn mistyped(wanted: &str, value: &Value) -> String {
    match (wanted, value) {
        ("string", Value::Bool(value)) => format!(
            "YAML reads this as the boolean {value}, where a string is wanted: put it in quotes (plain yes, no, on, off, y, n, true, false are booleans)"
        ),
        ("string", Value::Number(value)) => {
            format!("YAML reads this as the number {value}, where a string is wanted: put it in quotes")
        }
        ("array", Value::String(text)) if text.len() < 64 => {
            format!("\"{text}\" stands alone, where a list is wanted: [{text}]")
        }
        ("integer", Value::Number(number)) => {
            format!("YAML reads this as {number}, where a whole number without leading zeros is wanted")
        }
        _ => {
            let wanted = match wanted {
                "object" => "a mapping (key: value)",
                "array" => "a list",
                "string" => "a string",
                "integer" => "a whole number",
                _ => "true or false",
            };
            let hint = if value.is_null() { "; remove the key to declare nothing" } else { "" };
            format!("{} stands here, where {wanted} is wanted{hint}", what(value))
        }
    }
}

/// A value as a person would call it: `the string "x"`, `a list`.
pub(crate) fn what(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) if text.len() < 64 => format!("the string \"{text}\""),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn object(schema: &Value, map: &serde_json::Map<String, Value>, path: &mut String, found: &mut Vec<Mismatch>) {
    let before = path.len();
    let properties = schema["properties"].as_object();
    for (key, value) in map {
        let _ = if before == 0 { path.write_str(key) } else { write!(path, ".{key}") };
        match (properties, schema.get("additionalProperties")) {
            (_, Some(every)) => check(every, value, path, found),
            (None, None) => {}
            (Some(properties), None) => match properties.get(key) {
                Some(property) => check(property, value, path, found),
                None => {
                    let hint = nearest(key, properties.keys().map(String::as_str));
                    let message = format!("unknown field \"{key}\"{hint}");
                    found.push(Mismatch { path: path.clone(), key: true, missing: false, message });
                }
            },
        }
        path.truncate(before);
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(key) {
            found.push(Mismatch {
                path: path.clone(),
                key: false,
                missing: true,
                message: format!("the field \"{key}\" is missing"),
            });
        }
    }
}

fn array(schema: &Value, items: &[Value], path: &mut String, found: &mut Vec<Mismatch>) {
    let count = items.len() as u64;
    if schema["maxItems"].as_u64().is_some_and(|most| count > most) {
        let message = format!("{count} values; the limit is {}", schema["maxItems"]);
        found.push(Mismatch { path: path.clone(), key: false, missing: false, message });
        return;
    }
    if schema["minItems"].as_u64().is_some_and(|least| count < least) {
        found.push(Mismatch { path: path.clone(), key: false, missing: false, message: "no value is given".into() });
    }
    let before = path.len();
    for (i, item) in items.iter().enumerate() {
        let _ = write!(path, "[{i}]");
        check(&schema["items"], item, path, found);
        path.truncate(before);
    }
    // listType=map: the API server refuses two items with one key.
    for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        for (i, item) in items.iter().enumerate() {
            if let Some(first) = items[..i].iter().position(|other| other[key] == item[key] && !item[key].is_null()) {
                let path = format!("{path}[{i}].{key}");
                let message = format!("{} stands here for the second time, first at [{first}]", item[key]);
                found.push(Mismatch { path, key: false, missing: false, message });
            }
        }
    }
}

/// `; did you mean "x"?` for the most alike of `words`, if one is alike enough.
pub(crate) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> String {
    let text = text.to_lowercase();
    let best = words.map(|word| (distance(&text, &word.to_lowercase()), word)).min();
    match best {
        Some((steps, word)) if steps <= 1 + text.len() / 4 => format!("; did you mean \"{word}\"?"),
        _ => String::new(),
    }
}

/// Edit distance, a swap of neighbours being one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let swap = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + swap);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(value: Value) -> Vec<String> {
        let crd = crate::spec::crd::crd();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        mismatches(schema, &value).into_iter().map(|m| format!("{}: {}", m.path, m.message)).collect()
    }

    #[test]
    fn every_fault_at_once_with_its_path() {
        assert_eq!(
            said(json!({"name": "a.internal", "a": ["10.0.0.1"], "mx": [{"preference": 1, "exchange": "m"}]})),
            [""; 0]
        );
        let all = said(
            json!({"name": "x", "adresses": [], "a": ["10.0.0.1", true], "ttl": -1, "txt": "v=spf1", "adopt": "IfIdentcal", "mx": [{"preference": 70000}], "cname": null}),
        );
        let wanted = [
            "adresses: unknown field",
            "a[1]: YAML reads this as the boolean true",
            "ttl: -1 is out of range",
            "txt: \"v=spf1\" stands alone",
            "adopt: \"IfIdentcal\" is not one of Never, IfIdentical, Takeover; did you mean \"IfIdentical\"?",
            "mx[0].preference: 70000 is out of range; expected 0 to 65535",
            "mx[0]: the field \"exchange\" is missing",
            "cname: nothing stands here",
        ];
        assert_eq!(all.len(), wanted.len(), "{all:#?}");
        for (said, wanted) in all.iter().zip(wanted) {
            assert!(said.starts_with(wanted), "{said} / {wanted}");
        }
    }

    #[test]
    fn guesses_only_what_is_alike() {
        assert_eq!(nearest("reversed", ["name", "reverse"].into_iter()), "; did you mean \"reverse\"?");
        assert_eq!(nearest("cnmae", ["name", "cname"].into_iter()), "; did you mean \"cname\"?");
        assert_eq!(nearest("weather", ["name", "reverse"].into_iter()), "");
    }

    #[test]
    fn keys_of_map_lists_stand_once() {
        let twice =
            json!({"name": "x", "other": [{"type": "A", "rdata": ["10.0.0.1"]}, {"type": "A", "rdata": ["10.0.0.2"]}]});
        assert!(said(twice)[0].starts_with("other[1].type"));
    }
}
