//! The ways to change a JSON value in part: RFC 6902, RFC 7386, and the removal of what an applier no longer names.

use serde_json::{Map, Value};

/// Merges as RFC 7386 has it.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let map = target.as_object_mut().expect("made one");
    for (key, value) in patch {
        if value.is_null() {
            map.shift_remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Removes from `target` what `before` names and `now` does not.
pub fn forget(target: &mut Value, before: &Value, now: &Value) {
    let (Value::Object(map), Value::Object(before)) = (target, before) else { return };
    for (key, value) in before {
        match (now.get(key), map.get_mut(key)) {
            (Some(now), Some(inner)) => forget(inner, value, now),
            (None, Some(_)) => drop(map.shift_remove(key)),
            (_, None) => {}
        }
    }
}

/// Why a JSON patch was not carried out.
#[derive(Debug)]
pub enum Refused {
    /// It is none.
    Malformed,
    /// A test failed, or a place is not there.
    Unfitting(String),
}

/// Carries out a JSON patch, all of it or nothing.
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), Refused> {
    let mut done = target.clone();
    for step in patch.as_array().ok_or(Refused::Malformed)? {
        let text = |key: &str| step[key].as_str().ok_or(Refused::Malformed);
        let path = text("path")?;
        let missing = |path: &str| Refused::Unfitting(format!("no such place: {path}"));
        let value = || step.get("value").cloned().ok_or(Refused::Malformed);
        match text("op")? {
            "add" => insert(&mut done, path, value()?)?,
            "remove" => drop(remove(&mut done, path)?),
            "replace" => *done.pointer_mut(path).ok_or_else(|| missing(path))? = value()?,
            "move" => {
                let value = remove(&mut done, text("from")?)?;
                insert(&mut done, path, value)?;
            }
            "copy" => {
                let value = done.pointer(text("from")?).cloned().ok_or_else(|| missing(path))?;
                insert(&mut done, path, value)?;
            }
            "test" if done.pointer(path).unwrap_or(&Value::Null) == &value()? => {}
            "test" => return Err(Refused::Unfitting(format!("testing value {path} failed"))),
            _ => return Err(Refused::Malformed),
        }
    }
    *target = done;
    Ok(())
}

fn parent<'a>(target: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), Refused> {
    let (above, key) = path.rsplit_once('/').ok_or(Refused::Malformed)?;
    let parent = target.pointer_mut(above).ok_or_else(|| Refused::Unfitting(format!("no such place: {above}")))?;
    Ok((parent, key.replace("~1", "/").replace("~0", "~")))
}

fn insert(target: &mut Value, path: &str, value: Value) -> Result<(), Refused> {
    let (parent, key) = parent(target, path)?;
    match parent {
        Value::Object(map) => drop(map.insert(key, value)),
        Value::Array(items) => {
            let at = if key == "-" { Some(items.len()) } else { key.parse().ok() };
            let at = at.filter(|at| *at <= items.len()).ok_or_else(|| Refused::Unfitting(format!("no index {key}")))?;
            items.insert(at, value);
        }
        _ => return Err(Refused::Unfitting(format!("nothing can be added at {path}"))),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, Refused> {
    let (parent, key) = parent(target, path)?;
    let gone = match parent {
        Value::Object(map) => map.shift_remove(&key),
        Value::Array(items) => {
            key.parse().ok().filter(|at: &usize| *at < items.len()).map(|at: usize| items.remove(at))
        }
        _ => None,
    };
    gone.ok_or_else(|| Refused::Unfitting(format!("nothing to remove at {path}")))
}
