//! Writing to the API server: each call with a deadline, and pinned to the object that was seen.

use std::time::Duration;

use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{CallError, Resource, Seen};
use crate::spec::GROUP;

/// Deadline of one call.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happened to an object, for `kubectl describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The kind of the object.
    pub resource: Resource,
    /// Its namespace; empty for what has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Something that a person should look at.
    pub warning: bool,
    /// A stable word.
    pub reason: String,
    /// In words; cut at 1 KiB, the server's limit.
    pub note: String,
    /// What was being done, one word.
    pub action: &'static str,
}

/// Calls to one API server.
#[derive(Clone)]
pub struct Calls {
    client: Client,
    /// Who reports events: the name of the pod or host.
    reporter: String,
}

impl Calls {
    /// Calls over this client; events are reported as by `reporter`.
    pub fn new(client: Client, reporter: String) -> Calls {
        Calls { client, reporter }
    }

    fn api(&self, resource: Resource, namespace: &str) -> Api<DynamicObject> {
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource.api()),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource.api()),
        }
    }

    /// Reads one object, as new as it is.
    ///
    /// # Errors
    /// Every [`CallError`].
    pub async fn get(&self, resource: Resource, namespace: &str, name: &str) -> Result<Seen, CallError> {
        let api = self.api(resource, namespace);
        timely("get", api.get(name)).await.map(Seen::of)
    }

    /// Puts our finalizer on an object that was seen without it. The object is that one, or nothing is written.
    ///
    /// # Errors
    /// Every [`CallError`]; [`CallError::is_outdated`] when it is another one by now.
    pub async fn add_finalizer(&self, resource: Resource, seen: &Held, finalizer: &str) -> Result<Seen, CallError> {
        let mut steps = vec![json!({"op": "test", "path": "/metadata/uid", "value": seen.uid})];
        if seen.finalizers.is_empty() {
            // A list that is not there cannot be tested; the version is all that tells that nobody made one since.
            steps.push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": seen.version}));
            steps.push(json!({"op": "add", "path": "/metadata/finalizers", "value": [finalizer]}));
        } else {
            steps.push(json!({"op": "test", "path": "/metadata/finalizers", "value": seen.finalizers}));
            steps.push(json!({"op": "add", "path": "/metadata/finalizers/-", "value": finalizer}));
        }
        self.json_patch("add the finalizer", resource, seen, steps).await
    }

    /// Takes our finalizer off.
    ///
    /// # Errors
    /// As [`Calls::add_finalizer`].
    pub async fn remove_finalizer(&self, resource: Resource, seen: &Held, finalizer: &str) -> Result<Seen, CallError> {
        let index = seen.finalizers.iter().position(|own| own == finalizer).unwrap_or(0);
        let path = format!("/metadata/finalizers/{index}");
        let steps = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": seen.uid}),
            json!({"op": "test", "path": path, "value": finalizer}),
            json!({"op": "remove", "path": path}),
        ];
        self.json_patch("remove the finalizer", resource, seen, steps).await
    }

    /// Takes fields of the spec away that still say what was seen.
    ///
    /// # Errors
    /// As [`Calls::add_finalizer`].
    pub async fn clear_spec(
        &self,
        resource: Resource,
        seen: &Held,
        fields: &[(&str, Value)],
    ) -> Result<Seen, CallError> {
        let mut steps = vec![json!({"op": "test", "path": "/metadata/uid", "value": seen.uid})];
        steps.extend(
            fields.iter().map(|(field, value)| json!({"op": "test", "path": format!("/spec/{field}"), "value": value})),
        );
        steps.extend(fields.iter().map(|(field, _)| json!({"op": "remove", "path": format!("/spec/{field}")})));
        self.json_patch("clear the order", resource, seen, steps).await
    }

    async fn json_patch(
        &self,
        what: &'static str,
        resource: Resource,
        seen: &Held,
        steps: Vec<Value>,
    ) -> Result<Seen, CallError> {
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(steps))
            .map_err(|error| CallError::Broken { what, message: error.to_string() })?;
        let api = self.api(resource, &seen.namespace);
        timely(what, api.patch(&seen.name, &PatchParams::default(), &Patch::Json::<()>(patch))).await.map(Seen::of)
    }

    /// Replaces the status; fields that are not given but were there before must be null.
    ///
    /// # Errors
    /// As [`Calls::add_finalizer`].
    pub async fn patch_status(&self, resource: Resource, seen: &Held, status: &Value) -> Result<Seen, CallError> {
        // A UID that differs makes the server refuse with 409.
        let patch = json!({"metadata": {"uid": seen.uid}, "status": status});
        let api = self.api(resource, &seen.namespace);
        let what = "write the status";
        timely(what, api.patch_status(&seen.name, &PatchParams::default(), &Patch::Merge(&patch))).await.map(Seen::of)
    }

    /// Puts a label on an object, or takes it off.
    ///
    /// # Errors
    /// Every [`CallError`].
    pub async fn label(
        &self,
        resource: Resource,
        (namespace, name): (&str, &str),
        label: &str,
        value: Option<&str>,
    ) -> Result<Seen, CallError> {
        let patch = json!({"metadata": {"labels": {label: value}}});
        let api = self.api(resource, namespace);
        timely("set the label", api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await.map(Seen::of)
    }

    /// Creates an object without a namespace.
    ///
    /// # Errors
    /// Every [`CallError`]; 409 when there is one already.
    pub async fn create(&self, resource: Resource, name: &str, spec: Value) -> Result<Seen, CallError> {
        let api = resource.api();
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": api.api_version, "kind": api.kind, "metadata": {"name": name}, "spec": spec,
        }))
        .map_err(|error| CallError::Broken { what: "create", message: error.to_string() })?;
        timely("create", self.api(resource, "").create(&PostParams::default(), &object)).await.map(Seen::of)
    }

    /// Tells of something that happened to an object.
    ///
    /// # Errors
    /// Every [`CallError`]; 403 in a namespace that is being deleted.
    pub async fn tell(&self, notice: &Notice) -> Result<(), CallError> {
        // Events of things without a namespace live in `default`.
        let namespace = if notice.namespace.is_empty() { "default" } else { &notice.namespace };
        let now = jiff::Timestamp::now();
        let mut about = json!({
            "apiVersion": notice.resource.api().api_version, "kind": notice.resource.api().kind,
            "name": notice.name, "uid": notice.uid,
        });
        if !notice.namespace.is_empty() {
            about["namespace"] = json!(notice.namespace);
        }
        let note = match notice.note.len() <= NOTE {
            true => notice.note.clone(),
            false => format!("{}…", cut(&notice.note, NOTE - '…'.len_utf8())),
        };
        // The name as client-go makes it; what an object's name and a nanosecond share never happened twice.
        let name = format!("{}.{:x}", cut(&notice.name, 230), now.as_nanosecond());
        let event: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": format!("{now:.6}"),
            "reportingController": format!("{GROUP}/operator"),
            "reportingInstance": cut(&self.reporter, 128),
            "action": notice.action, "reason": notice.reason, "regarding": about, "note": note,
            "type": if notice.warning { "Warning" } else { "Normal" },
        }))
        .map_err(|error| CallError::Broken { what: "report an event", message: error.to_string() })?;
        let api = self.api(Resource::Event, namespace);
        timely("report an event", api.create(&PostParams::default(), &event)).await.map(|_| ())
    }
}

/// The server's limit of an event's note.
const NOTE: usize = 1024;

/// The beginning of a text, of at most so many octets.
pub fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// What pins a write to an object that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Empty for what has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resource version.
    pub version: String,
    /// Its finalizers.
    pub finalizers: Vec<String>,
}

impl From<&Seen> for Held {
    fn from(seen: &Seen) -> Held {
        Held {
            namespace: seen.namespace.clone(),
            name: seen.name.clone(),
            uid: seen.uid.clone(),
            version: seen.version.clone(),
            finalizers: seen.finalizers.clone(),
        }
    }
}

async fn timely<T>(what: &'static str, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(result) => result.map_err(|error| CallError::of(what, error)),
        Err(_) => Err(CallError::Late { what, after: PATIENCE }),
    }
}
