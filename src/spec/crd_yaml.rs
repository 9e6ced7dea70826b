//! A value as the YAML that people read: block style, strings quoted only where they must be.

use std::fmt::Write as _;

use serde_json::Value;

/// Writes `value` at the given depth; the caller has begun the line of a map's or list's first item.
pub(super) fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                indent(depth, out);
                let _ = write!(out, "{}:", scalar(key));
                after_key(item, depth, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for item in list {
                indent(depth, out);
                out.push('-');
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        // The first key stands on the dash's line.
                        let mut inner = String::new();
                        write(item, depth + 1, &mut inner);
                        out.push(' ');
                        out.push_str(inner.trim_start());
                    }
                    other => {
                        let _ = writeln!(out, " {}", inline(other));
                    }
                }
            }
        }
        other => {
            indent(depth, out);
            let _ = writeln!(out, "{}", inline(other));
        }
    }
}

fn after_key(item: &Value, depth: usize, out: &mut String) {
    match item {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            write(item, depth + 1, out);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            write(item, depth, out);
        }
        other => {
            let _ = writeln!(out, " {}", inline(other));
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// A string, plain where YAML reads it back as the same string.
fn scalar(text: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"];
    let plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " ._/$-".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$' || c == '.')
        && !text.ends_with(' ')
        && !words.contains(&text.to_ascii_lowercase().as_str());
    // A JSON string is a YAML double-quoted string.
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}
