//! The objects of the fake API server: what each verb does to them, and the history that watches read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::patch::{self, Refused};

/// A refusal: status code, reason, message.
#[derive(Debug, Clone)]
pub struct Failure(pub u16, pub &'static str, pub String);

/// What a verb gives: status code and body.
pub type Answer = Result<(u16, Value), Failure>;

/// A kind of objects that is served.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its group, empty for the core.
    pub group: String,
    /// Its version.
    pub version: String,
    /// The word in paths.
    pub plural: String,
    /// The kind.
    pub kind: String,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
    /// Whether objects have a generation, and a status that is a subresource.
    pub status: bool,
    /// The status of a new object.
    pub default_status: Value,
}

impl Resource {
    /// Whether a CRD defines it.
    pub fn custom(&self) -> bool {
        self.group.contains('.') && !self.group.ends_with(".k8s.io")
    }

    /// `v1` or `group/version`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Which object: `plural.group`, namespace (empty if none), name.
pub type Key = (String, String, String);

/// One change: objects before and after.
#[derive(Debug, Clone)]
pub struct Change {
    /// The resource version that it made.
    pub version: u64,
    /// The object.
    pub key: Key,
    /// As it was.
    pub old: Option<Value>,
    /// As it is.
    pub new: Option<Value>,
}

/// All objects and what happened to them.
#[derive(Debug, Default)]
pub struct Store {
    /// The last resource version given.
    pub version: u64,
    /// Up to which version history was forgotten.
    pub forgotten: u64,
    /// The objects.
    pub objects: BTreeMap<Key, Value>,
    /// What happened, oldest first.
    pub history: Vec<Change>,
    /// Objects whose status was never stored but is made up when they are read: the next write stores it, and counts
    /// even if it changes nothing.
    pub unsettled: BTreeSet<Key>,
    /// How many uids were given.
    pub uids: u64,
    /// What each manager applied last, to an object or to its status.
    pub applied: BTreeMap<(Key, String, bool), Value>,
}

fn not_found(key: &Key) -> Failure {
    Failure(404, "NotFound", format!("{} \"{}\" not found", key.0, key.2))
}

fn conflict(key: &Key) -> Failure {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    Failure(409, "Conflict", format!("Operation cannot be fulfilled on {} \"{}\": {why}", key.0, key.2))
}

fn invalid(key: &Key, why: &str) -> Failure {
    Failure(422, "Invalid", format!("{} \"{}\" is invalid: {why}", key.0, key.2))
}

fn finalizers(object: &Value) -> Vec<Value> {
    object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default()
}

/// Puts a member in, or takes it out where there is none.
fn set(target: &mut Value, name: &str, value: Option<Value>) {
    let Some(map) = target.as_object_mut() else { return };
    match value {
        Some(value) if !value.is_null() => drop(map.insert(name.to_owned(), value)),
        _ => drop(map.shift_remove(name)),
    }
}

/// An object without what a specification is not.
fn wish(object: &Value) -> Value {
    let mut rest = object.clone();
    set(&mut rest, "metadata", None);
    set(&mut rest, "status", None);
    rest
}

/// Now, as objects say it.
pub fn now() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date of a day, counted in years that begin in March.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year + era * 400) } else { (month - 9, year + era * 400 + 1) };
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

impl Store {
    /// Stores what an object became, under a new version, and gives it.
    fn commit(&mut self, key: &Key, new: Option<Value>) -> Value {
        self.version += 1;
        self.unsettled.remove(key);
        let old = self.objects.remove(key);
        let mut shown = new.clone().or_else(|| old.clone()).unwrap_or_default();
        shown["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let new = new.map(|_| shown.clone());
        if let Some(new) = &new {
            self.objects.insert(key.clone(), new.clone());
        } else {
            self.applied.retain(|(of, ..), _| of != key);
        }
        // Who watches sees the last state of what is gone, under the version of its end.
        let old = old.map(|mut old| {
            if new.is_none() {
                old = shown.clone();
            }
            old
        });
        self.history.push(Change { version: self.version, key: key.clone(), old, new });
        shown
    }

    /// `get`.
    pub fn get(&self, key: &Key) -> Answer {
        self.objects.get(key).map(|object| (200, object.clone())).ok_or_else(|| not_found(key))
    }

    /// `create`.
    pub fn create(&mut self, resource: &Resource, key: &Key, mut object: Value, dry: bool) -> Answer {
        if !object["metadata"].is_object() {
            return Err(Failure(400, "BadRequest", "an object with metadata is needed".into()));
        }
        let mut key = key.clone();
        key.2 = match (object["metadata"]["name"].as_str(), object["metadata"]["generateName"].as_str()) {
            (Some(name), _) if !name.is_empty() => name.to_owned(),
            (_, Some(prefix)) => format!("{prefix}{:x}", self.version + 1),
            _ => return Err(invalid(&key, "metadata.name: Required value: name or generateName is required")),
        };
        if self.objects.contains_key(&key) {
            let said = format!("{} \"{}\" already exists", key.0, key.2);
            return Err(Failure(409, "AlreadyExists", said));
        }
        if object["metadata"]["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(Failure(500, "", why.into()));
        }
        let meta = &mut object["metadata"];
        meta["name"] = json!(key.2);
        if resource.namespaced {
            meta["namespace"] = json!(key.1);
        }
        self.uids += 1;
        meta["uid"] = json!(format!("00000000-0000-4000-8000-{:012x}", self.uids));
        meta["creationTimestamp"] = json!(now());
        set(meta, "deletionTimestamp", None);
        set(meta, "generation", resource.status.then(|| json!(1)));
        if resource.status {
            set(&mut object, "status", Some(resource.default_status.clone()));
        }
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.kind);
        if dry {
            return Ok((201, object));
        }
        let made = self.commit(&key, Some(object));
        if !resource.default_status.is_null() {
            self.unsettled.insert(key);
        }
        Ok((201, made))
    }

    /// `update`, of an object or of its status.
    pub fn update(&mut self, resource: &Resource, key: &Key, mut new: Value, status: bool, dry: bool) -> Answer {
        let old = self.objects.get(key).ok_or_else(|| not_found(key))?.clone();
        let version = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if version.is_empty() && resource.custom() {
            return Err(invalid(key, "metadata.resourceVersion: Invalid value: 0: must be specified for an update"));
        }
        let uid = new["metadata"]["uid"].as_str().unwrap_or_default();
        let other = |given: &str, has: &Value| !given.is_empty() && Some(given) != has.as_str();
        if other(version, &old["metadata"]["resourceVersion"]) || other(uid, &old["metadata"]["uid"]) {
            return Err(conflict(key));
        }
        if status {
            let value = new.get("status").cloned();
            new = old.clone();
            set(&mut new, "status", value);
        } else if resource.status {
            set(&mut new, "status", old.get("status").cloned());
        }
        for field in ["apiVersion", "kind"] {
            new[field] = old[field].clone();
        }
        for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "generation"]
            .into_iter()
            .chain(["deletionGracePeriodSeconds", "resourceVersion", "generateName"])
        {
            set(&mut new["metadata"], field, old["metadata"].get(field).cloned());
        }
        for field in ["finalizers", "labels", "annotations", "ownerReferences"] {
            let value = &new["metadata"][field];
            let empty = value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(serde_json::Map::is_empty)
                || value.is_null();
            if empty {
                set(&mut new["metadata"], field, None);
            }
        }
        let ending = old["metadata"]["deletionTimestamp"].is_string();
        if ending && finalizers(&new).iter().any(|one| !finalizers(&old).contains(one)) {
            let why = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted";
            return Err(invalid(key, why));
        }
        if dry || new == old && !self.unsettled.contains(key) {
            return Ok((200, new));
        }
        if resource.status && !status && wish(&new) != wish(&old) {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        if ending && finalizers(&new).is_empty() {
            // The answer still has the version of before; only who watches sees the one of the end.
            self.objects.insert(key.clone(), new.clone());
            self.commit(key, None);
            return Ok((200, new));
        }
        Ok((200, self.commit(key, Some(new))))
    }

    /// `patch` of any type; `manager` is who applies.
    pub fn patch(
        &mut self,
        resource: &Resource,
        key: &Key,
        kind: &str,
        patch: &Value,
        manager: Option<&str>,
        (status, dry): (bool, bool),
    ) -> Answer {
        let applies = kind == "application/apply-patch+yaml";
        if applies && manager.is_none() {
            return Err(invalid(key, "fieldManager: Required value: is required for apply patch"));
        }
        if resource.custom() && kind == "application/strategic-merge-patch+json" {
            return Err(Failure(415, "UnsupportedMediaType", format!("{kind} is not supported of custom resources")));
        }
        let Some(old) = self.objects.get(key) else {
            if !applies || status {
                return Err(not_found(key));
            }
            let made = self.create(resource, key, patch.clone(), dry)?;
            self.remember(key, manager, status, patch, dry);
            return Ok(made);
        };
        let mut new = old.clone();
        match kind {
            "application/json-patch+json" => match patch::json_patch(&mut new, patch) {
                Ok(()) => {}
                Err(Refused::Malformed) => return Err(Failure(400, "BadRequest", "not a JSON patch".into())),
                Err(Refused::Unfitting(why)) => return Err(Failure(422, "Invalid", why)),
            },
            "application/apply-patch+yaml" => {
                let whose = (key.clone(), manager.unwrap_or_default().to_owned(), status);
                if let Some(before) = self.applied.get(&whose) {
                    patch::forget(&mut new, before, patch);
                }
                patch::merge(&mut new, patch);
            }
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => patch::merge(&mut new, patch),
            other => return Err(Failure(415, "UnsupportedMediaType", format!("no patch is of type {other}"))),
        }
        let done = self.update(resource, key, new, status, dry)?;
        if applies {
            self.remember(key, manager, status, patch, dry);
        }
        Ok(done)
    }

    fn remember(&mut self, key: &Key, manager: Option<&str>, status: bool, patch: &Value, dry: bool) {
        if !dry {
            self.applied.insert((key.clone(), manager.unwrap_or_default().to_owned(), status), patch.clone());
        }
    }

    /// `delete`: at once, or once all finalizers are gone.
    pub fn delete(&mut self, resource: &Resource, key: &Key, options: &Value) -> Answer {
        let mut object = self.objects.get(key).ok_or_else(|| not_found(key))?.clone();
        let demands = &options["preconditions"];
        let meta = &mut object["metadata"];
        if ["uid", "resourceVersion"].iter().any(|field| demands[field].is_string() && demands[field] != meta[field]) {
            return Err(conflict(key));
        }
        if meta["finalizers"].as_array().is_some_and(|all| !all.is_empty()) {
            if meta["deletionTimestamp"].is_string() {
                return Ok((200, object));
            }
            meta["deletionTimestamp"] = json!(now());
            meta["deletionGracePeriodSeconds"] = json!(0);
            if let Some(generation) = meta["generation"].as_i64() {
                meta["generation"] = json!(generation + 1);
            }
            return Ok((200, self.commit(key, Some(object))));
        }
        let details = json!({"name": key.2, "group": resource.group, "kind": resource.plural, "uid": meta["uid"]});
        self.commit(key, None);
        Ok((
            200,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
        ))
    }
}
