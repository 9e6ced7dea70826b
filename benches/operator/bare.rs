//! A client that does nothing but the same calls: objects of a kind with the same schema come, and each gets a finalizer and a
//! status. And one that only keeps all objects.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, WatchEvent};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

/// Calls under way at once: as many as the operator makes.
const WIDTH: usize = 32;

/// The group of the bare client's kind.
pub const GROUP: &str = "bench.knotwork.dev";

/// A client as the operator's.
pub async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a config");
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

/// The objects of a group in the namespace `default`.
pub fn records(client: &Client, group: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, "v1alpha1", "StaticDNSRecord");
    let kind = ApiResource::from_gvk_with_plural(&kind, "staticdnsrecords");
    Api::namespaced_with(client.clone(), "default", &kind)
}

/// The CRD of the same schema in the other group.
pub fn crd() -> Value {
    let text = knotwork::spec::crd::crd().to_string().replace("\"dns.knotwork.dev\"", &format!("\"{GROUP}\""));
    let mut crd: Value = serde_json::from_str(&text).expect("a CRD");
    crd["metadata"]["name"] = json!(format!("staticdnsrecords.{GROUP}"));
    crd
}

fn declared(group: &str, object: &str, name: &str, index: usize) -> DynamicObject {
    let address = format!("10.{}.{}.{}", 1 + index / 62_500, index / 250 % 250, index % 250 + 1);
    serde_json::from_value(json!({
        "apiVersion": format!("{group}/v1alpha1"), "kind": "StaticDNSRecord",
        "metadata": {"name": object}, "spec": {"name": name, "a": [address]},
    }))
    .expect("an object")
}

/// Applies so many objects, as fast as the server takes them.
pub async fn apply(api: &Api<DynamicObject>, group: &str, count: usize) {
    let all = stream::iter(0..count).map(|index| {
        let (api, object) = (api.clone(), declared(group, &format!("n{index}"), &format!("n{index}.internal"), index));
        async move { api.create(&PostParams::default(), &object).await.expect("created") }
    });
    all.buffer_unordered(WIDTH).for_each(|_| async {}).await;
}

/// Applies one.
pub async fn apply_one(api: &Api<DynamicObject>, group: &str, object: &str, name: &str) {
    api.create(&PostParams::default(), &declared(group, object, name, 0)).await.expect("created");
}

/// A status as the operator writes it.
fn status(name: &str) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
            "reason": reason, "message": message})
    };
    let read = "read back from the server as declared";
    json!({
        "observedGeneration": 1, "fqdn": format!("{name}.internal"), "zone": "internal", "serial": 7, "types": "A",
        "values": "10.1.0.1", "sets": [{"name": format!("{name}.internal"), "type": "A", "values": "10.1.0.1"}],
        "conditions": [
            condition("Accepted", "Accepted", "valid, and its zone is configured"),
            condition("Programmed", "Programmed", read),
            condition("Ready", "Programmed", read),
        ],
    })
}

async fn two_writes(api: Api<DynamicObject>, object: DynamicObject) {
    let (name, metadata) = (object.metadata.name.expect("a name"), object.metadata.resource_version);
    let uid = object.metadata.uid;
    let steps = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata},
        {"op": "add", "path": "/metadata/finalizers", "value": ["dns.knotwork.dev/records"]},
    ]);
    let patch: json_patch::Patch = serde_json::from_value(steps).expect("a patch");
    api.patch(&name, &PatchParams::default(), &Patch::Json::<()>(patch)).await.expect("the finalizer");
    let patch = json!({"metadata": {"uid": uid}, "status": status(&name)});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("the status");
}

/// Time from the first object applied to the last status written, for so many objects.
pub async fn run(client: &Client, count: usize) -> Duration {
    let api = records(client, GROUP);
    let version = api.list(&ListParams::default().limit(1)).await.expect("a list").metadata.resource_version;
    let from = Instant::now();
    let applying = tokio::spawn({
        let api = api.clone();
        async move { apply(&api, GROUP, count).await }
    });
    // Read as fast as it comes, since the API server ends the watch of whoever is slower than what happens; and opened again
    // where it ended, as it does when a CRD has just been made.
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let watching = tokio::spawn({
        let api = api.clone();
        async move {
            let mut version = version.expect("a version");
            loop {
                let Ok(events) = api.watch(&WatchParams::default(), &version).await else { continue };
                let mut events = std::pin::pin!(events);
                while let Some(Ok(event)) = events.next().await {
                    let (object, new) = match event {
                        WatchEvent::Added(object) => (object, true),
                        WatchEvent::Modified(object) | WatchEvent::Deleted(object) => (object, false),
                        WatchEvent::Bookmark(_) => continue,
                        WatchEvent::Error(status) => panic!("{status:?}"),
                    };
                    version = object.metadata.resource_version.clone().expect("a version");
                    if new && sender.send(object).is_err() {
                        return;
                    }
                }
            }
        }
    });
    let added =
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|object| (object, receiver)) });
    let writes = added.take(count).map(|object| two_writes(api.clone(), object)).buffer_unordered(WIDTH);
    let done = writes.fold(0, |done, ()| async move { done + 1 }).await;
    assert_eq!(done, count, "its watch ended early");
    let took = from.elapsed();
    watching.abort();
    applying.await.expect("applied");
    took
}

/// A process that keeps all of the operator's objects as kube's reflector does: whole, by name. It says `before AFTER` in KiB.
pub fn store_child(kubeconfig: &Path) {
    let pid = std::process::id();
    crate::runtime().block_on(async {
        let client = client(kubeconfig).await;
        let api = records(&client, "dns.knotwork.dev");
        api.list(&ListParams::default().limit(1)).await.expect("a list");
        let before = crate::process::memory(pid);
        let mut store: HashMap<(Option<String>, Option<String>), Arc<DynamicObject>> = HashMap::new();
        let mut params = ListParams::default().limit(500);
        loop {
            let page = api.list(&params).await.expect("a page");
            for object in page.items {
                let key = (object.metadata.namespace.clone(), object.metadata.name.clone());
                store.insert(key, Arc::new(object));
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        println!("{before} {} {}", crate::process::memory(pid), store.len());
    });
}
