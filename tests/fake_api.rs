//! The fake API server (`tests/support/fake_api/`) against the real one: the same requests, and the same comes back. Then
//! what only the fake can do, as the client of the operator sees it.

#![cfg(feature = "operator")]
#![allow(clippy::unwrap_used)]

mod support;

#[path = "support/fake_api/mod.rs"]
mod fake_api;

use std::path::Path;
use std::time::Duration;

use axum::http::Request;
use fake_api::{FakeApi, Fault, defined};
use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::api::{
    ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, WatchEvent, WatchParams,
};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use support::kube::Cluster;
use support::wait;

fn crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.test.knotwork.dev"},
        "spec": {
            "group": "test.knotwork.dev", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                        "default": {"phase": "New"}}}}},
            }],
        },
    })
}

async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn widgets(client: &Client) -> Api<DynamicObject> {
    let kind =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("test.knotwork.dev", "v1", "Widget"), "widgets");
    Api::namespaced_with(client.clone(), "default", &kind)
}

const WIDGETS: &str = "/apis/test.knotwork.dev/v1/namespaces/default/widgets";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

/// Sends one request; gives the code and the body.
async fn send(client: &Client, method: &str, path: &str, media: &str, body: &Value) -> (u16, Value) {
    let text = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request =
        Request::builder().method(method).uri(path).header("content-type", media).body(Body::from(text)).unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect_bytes().await.unwrap();
    (code, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// What is the same on all servers: which fields are there, and what the client may rely on in them.
fn essence(code: u16, body: &Value, last: &mut Value) -> Value {
    if body.is_null() {
        return json!({"code": code});
    }
    if body["kind"] == "Status" {
        return json!({"code": code, "reason": body["reason"], "status": body["status"]});
    }
    if let Some(items) = body["items"].as_array() {
        let names: Vec<&Value> = items.iter().map(|item| &item["metadata"]["name"]).collect();
        return json!({"code": code, "kind": body["kind"], "names": names});
    }
    let meta = &body["metadata"];
    let moved = last["metadata"]["resourceVersion"] != meta["resourceVersion"];
    let same_uid = last["metadata"]["uid"] == meta["uid"];
    *last = body.clone();
    json!({
        "code": code, "kind": body["kind"], "moved": moved, "same_uid": same_uid, "name": meta["name"],
        "generation": meta["generation"], "finalizers": meta["finalizers"], "labels": meta["labels"],
        "ending": meta["deletionTimestamp"].is_string(), "grace": meta["deletionGracePeriodSeconds"],
        "created": meta["creationTimestamp"].as_str().map(str::len), "spec": body["spec"], "status": body["status"],
        "data": body["data"],
    })
}

/// A step: method, path, media type, body; `$RV` stands for the version of the object that was seen last.
fn script() -> Vec<(&'static str, String, &'static str, Value)> {
    let (json, merge, patch) = ("application/json", "application/merge-patch+json", "application/json-patch+json");
    let apply = "application/apply-patch+yaml";
    let a = |rest: &str| format!("{WIDGETS}/a{rest}");
    let widget = |name: &str, meta: Value, spec: Value| {
        let mut all =
            json!({"apiVersion": "test.knotwork.dev/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec});
        all["metadata"].as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
        all
    };
    let with_status = |mut object: Value, status: Value| {
        object["status"] = status;
        object
    };
    let plain = |spec: Value| widget("a", json!({"resourceVersion": "$RV"}), spec);
    let applied = |spec: Value| widget("b", json!({}), spec);
    let b = |query: &str| format!("{WIDGETS}/b{query}");
    vec![
        ("GET", a(""), json, Value::Null),
        ("PATCH", a(""), merge, json!({"spec": {}})),
        ("PUT", a(""), json, widget("a", json!({"resourceVersion": "1"}), json!({}))),
        ("DELETE", a(""), json, Value::Null),
        ("POST", format!("{WIDGETS}?dryRun=All"), json, widget("a", json!({}), json!({"n": 1}))),
        ("GET", a(""), json, Value::Null),
        ("POST", WIDGETS.into(), json, with_status(widget("a", json!({}), json!({"n": 1})), json!({"lost": true}))),
        ("POST", WIDGETS.into(), json, widget("a", json!({}), json!({"n": 1}))),
        ("POST", WIDGETS.into(), json, widget("c", json!({"resourceVersion": "1"}), json!({}))),
        ("POST", WIDGETS.into(), json, json!({"apiVersion": "test.knotwork.dev/v1", "kind": "Widget", "metadata": {}})),
        ("GET", a(""), json, Value::Null),
        // Nothing changes, nothing moves.
        ("PUT", a(""), json, plain(json!({"n": 1}))),
        ("PATCH", a(""), merge, json!({"spec": {"n": 1}})),
        // Specification, metadata and status count differently.
        ("PUT", a(""), json, with_status(plain(json!({"n": 2})), json!({"lost": true}))),
        ("PUT", a(""), json, widget("a", json!({"resourceVersion": "1"}), json!({"n": 3}))),
        ("PUT", a(""), json, widget("a", json!({}), json!({"n": 3}))),
        ("PATCH", a(""), merge, json!({"metadata": {"labels": {"x": "y", "z": "z"}}})),
        (
            "PATCH",
            a("/status"),
            merge,
            json!({"status": {"ready": true}, "spec": {"n": 9}, "metadata": {"labels": {"s": "s"}}}),
        ),
        ("PUT", a("/status"), json, with_status(plain(json!({"n": 9})), json!({"ready": false}))),
        ("PUT", a("/status"), json, with_status(widget("a", json!({"resourceVersion": "1"}), json!({})), json!({}))),
        ("GET", a("/status"), json, Value::Null),
        ("PATCH", a(""), merge, json!({"metadata": {"resourceVersion": "1"}, "spec": {"n": 4}})),
        ("PATCH", a(""), merge, json!({"metadata": {"labels": {"z": null}}, "spec": {"m": {"k": 1}}})),
        // JSON patches.
        (
            "PATCH",
            a(""),
            patch,
            json!([{"op": "test", "path": "/spec/n", "value": 2}, {"op": "replace", "path": "/spec/n", "value": 5}]),
        ),
        (
            "PATCH",
            a(""),
            patch,
            json!([{"op": "test", "path": "/spec/n", "value": 2}, {"op": "replace", "path": "/spec/n", "value": 6}]),
        ),
        ("PATCH", a(""), patch, json!([{"op": "remove", "path": "/spec/none"}])),
        (
            "PATCH",
            a(""),
            patch,
            json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "$RV"}, {"op": "add", "path": "/spec/list", "value": [1, 2]}]),
        ),
        (
            "PATCH",
            a(""),
            patch,
            json!([{"op": "add", "path": "/spec/list/-", "value": 3}, {"op": "add", "path": "/spec/list/0", "value": 0}]),
        ),
        (
            "PATCH",
            a(""),
            patch,
            json!([{"op": "remove", "path": "/spec/list"}, {"op": "copy", "from": "/spec/n", "path": "/spec/o"}, {"op": "move", "from": "/spec/o", "path": "/spec/p"}]),
        ),
        ("PATCH", a(""), "application/strategic-merge-patch+json", json!({"spec": {}})),
        // Applying.
        ("PATCH", b(""), apply, applied(json!({"x": 1}))),
        ("PATCH", b("?fieldManager=k"), apply, applied(json!({"x": 1, "y": {"z": 1, "w": 2}}))),
        ("PATCH", b("?fieldManager=k"), apply, applied(json!({"x": 1, "y": {"z": 1, "w": 2}}))),
        ("PATCH", b("?fieldManager=k&force=true"), apply, applied(json!({"x": 2, "y": {"z": 1}}))),
        (
            "PATCH",
            b("/status?fieldManager=k"),
            apply,
            with_status(applied(json!({"x": 3})), json!({"ready": true, "more": 1})),
        ),
        ("PATCH", b("/status?fieldManager=k"), apply, with_status(applied(json!({})), json!({"ready": true}))),
        (
            "PATCH",
            format!("{WIDGETS}/none/status?fieldManager=k"),
            apply,
            with_status(widget("none", json!({}), json!({})), json!({})),
        ),
        ("GET", format!("{WIDGETS}?labelSelector=x%3Dy"), json, Value::Null),
        ("GET", format!("{WIDGETS}?fieldSelector=metadata.name%3Db"), json, Value::Null),
        ("GET", WIDGETS.into(), json, Value::Null),
        ("GET", "/apis/test.knotwork.dev/v1/widgets".into(), json, Value::Null),
        ("GET", "/apis/test.knotwork.dev/v1/namespaces/default/gadgets".into(), json, Value::Null),
        ("DELETE", b(""), json, json!({"preconditions": {"resourceVersion": "1"}})),
        ("DELETE", b(""), json, json!({"preconditions": {"uid": "other"}})),
        ("DELETE", b(""), json, Value::Null),
        // Finalizers.
        (
            "PATCH",
            a(""),
            merge,
            json!({"metadata": {"finalizers": ["test.knotwork.dev/one", "test.knotwork.dev/two"]}}),
        ),
        ("DELETE", a(""), json, Value::Null),
        ("DELETE", a(""), json, Value::Null),
        ("GET", a(""), json, Value::Null),
        ("POST", WIDGETS.into(), json, widget("a", json!({}), json!({}))),
        (
            "PATCH",
            a(""),
            merge,
            json!({"metadata": {"finalizers": ["test.knotwork.dev/one", "test.knotwork.dev/new"]}}),
        ),
        ("PATCH", a(""), merge, json!({"spec": {"n": 7}})),
        ("PATCH", a("/status"), merge, json!({"status": {"ready": true}})),
        ("PATCH", a(""), merge, json!({"metadata": {"finalizers": ["test.knotwork.dev/two"]}})),
        ("PATCH", a(""), merge, json!({"metadata": {"finalizers": []}})),
        ("GET", a(""), json, Value::Null),
        // Kinds of the core.
        ("POST", MAPS.into(), json, json!({"metadata": {"name": "m"}, "data": {"k": "v"}})),
        ("PUT", format!("{MAPS}/m"), json, json!({"metadata": {"name": "m"}, "data": {"k": "w"}})),
        ("PATCH", format!("{MAPS}/m"), merge, json!({"data": {"k": "w"}})),
        ("DELETE", format!("{MAPS}/m"), json, Value::Null),
        ("POST", LEASES.into(), json, json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "one"}})),
        (
            "PUT",
            format!("{LEASES}/l"),
            json,
            json!({"metadata": {"name": "l", "resourceVersion": "$RV"}, "spec": {"holderIdentity": "two"}}),
        ),
        (
            "PUT",
            format!("{LEASES}/l"),
            json,
            json!({"metadata": {"name": "l", "resourceVersion": "1"}, "spec": {"holderIdentity": "three"}}),
        ),
        // The end of the watches.
        ("POST", WIDGETS.into(), json, widget("last", json!({}), json!({}))),
    ]
}

/// What an event of a watch says, in short.
fn seen(event: WatchEvent<DynamicObject>) -> String {
    let (word, object) = match event {
        WatchEvent::Added(object) => ("ADDED", object),
        WatchEvent::Modified(object) => ("MODIFIED", object),
        WatchEvent::Deleted(object) => ("DELETED", object),
        WatchEvent::Bookmark(_) => return "BOOKMARK".into(),
        WatchEvent::Error(status) => return format!("ERROR {}", status.code),
    };
    let meta = &object.metadata;
    format!("{word} {} {:?} {}", meta.name.as_deref().unwrap(), meta.generation, meta.deletion_timestamp.is_some())
}

/// The script on one server: what each step gave, and what a watch over all of it saw, and one for a label.
async fn play(client: &Client) -> (Vec<(String, Value)>, Vec<String>, Vec<String>) {
    let start = widgets(client).list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut last = Value::Null;
    let mut out = Vec::new();
    for (method, path, media, body) in script() {
        let version = last["metadata"]["resourceVersion"].as_str().unwrap_or("1").to_owned();
        let step = format!("{method} {path} {body}");
        let body: Value = serde_json::from_str(&body.to_string().replace("$RV", &version)).unwrap();
        let (code, answer) = send(client, method, &path, media, &body).await;
        out.push((step, essence(code, &answer, &mut last)));
    }
    let mut events = Vec::new();
    let mut stream = widgets(client).watch(&WatchParams::default(), &start).await.unwrap().boxed();
    while let Some(event) = stream.try_next().await.unwrap() {
        let text = seen(event);
        let ends = text.starts_with("ADDED last");
        // When a server marks its progress is its own affair.
        events.extend(Some(text).filter(|text| text != "BOOKMARK"));
        if ends {
            break;
        }
    }
    let params = WatchParams::default().labels("x=y").timeout(1);
    let stream = widgets(client).watch(&params, &start).await.unwrap();
    let labelled: Vec<String> = stream.map_ok(seen).try_collect().await.unwrap();
    (out, events, labelled.into_iter().filter(|text| text != "BOOKMARK").collect())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn fake() -> FakeApi {
    let fake = FakeApi::start();
    fake.serve(defined(&crd()));
    fake
}

#[test]
fn the_fake_answers_as_the_real_api_server() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.must_apply(&crd().to_string());
    cluster.must(&["wait", "--for=condition=Established", "--timeout=120s", "crd/widgets.test.knotwork.dev"]);
    let fake = fake();
    runtime().block_on(async {
        let real = client(&cluster.kubeconfig()).await;
        let real = play(&real).await;
        let ours = play(&client(&fake.kubeconfig()).await).await;
        let differing: Vec<String> = (real.0.iter().zip(&ours.0))
            .filter(|(real, ours)| real != ours)
            .map(|((step, real), (_, ours))| format!("{step}\n  real: {real}\n  fake: {ours}\n"))
            .collect();
        assert!(differing.is_empty(), "{}", differing.join("\n"));
        assert_eq!(real.1, ours.1);
        assert_eq!(real.2, ours.2);
        assert!(real.1.len() > 15 && !real.2.is_empty());
    });
}

fn named(name: &str) -> Value {
    json!({"apiVersion": "test.knotwork.dev/v1", "kind": "Widget", "metadata": {"name": name, "namespace": "default"}, "spec": {}})
}

#[test]
fn the_switchboard_does_what_it_is_told() {
    let fake = fake();
    runtime().block_on(async {
        let client = client(&fake.kubeconfig()).await;
        let create = |name: &'static str| {
            let client = client.clone();
            async move {
                client
                    .send(
                        Request::post(WIDGETS)
                            .header("content-type", "application/json")
                            .body(Body::from(named(name).to_string().into_bytes()))
                            .unwrap(),
                    )
                    .await
            }
        };
        fake.fail("create", "/widgets", 1, Fault::Status(500));
        assert_eq!(create("a").await.unwrap().status(), 500);
        fake.fail("create", "/widgets", 1, Fault::Cut);
        assert!(create("a").await.is_err());
        assert_eq!(fake.object("widgets", "default", "a"), None);
        fake.fail("create", "/widgets", 1, Fault::LoseAnswer);
        assert!(create("a").await.is_err());
        assert!(fake.object("widgets", "default", "a").is_some());
        assert_eq!(create("a").await.unwrap().status(), 409);
        fake.fail("create", "/widgets", 1, Fault::Delay(Duration::from_millis(300)));
        let begun = std::time::Instant::now();
        assert_eq!(create("b").await.unwrap().status(), 201);
        assert!(begun.elapsed() >= Duration::from_millis(300));
        fake.fail("*", "/widgets", usize::MAX, Fault::Status(403));
        assert!(widgets(&client).get("a").await.is_err());
        fake.heal();
        assert!(widgets(&client).get("a").await.is_ok());
        let codes: Vec<u16> = fake.requests("create", "/widgets").iter().map(|request| request.code).collect();
        assert_eq!(codes, [500, 0, 0, 409, 201]);
        fake.unserve("widgets");
        assert!(matches!(widgets(&client).get("a").await, Err(kube::Error::Api(status)) if status.code == 404));
    });
}

/// The next event in short, with the version that it carries.
async fn next(
    stream: &mut (impl futures_util::Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Unpin),
) -> (String, String) {
    let event = tokio::time::timeout(wait::PATIENCE, stream.try_next()).await.expect("an event").unwrap().unwrap();
    let version = match &event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            object.metadata.resource_version.clone().unwrap()
        }
        WatchEvent::Bookmark(mark) => mark.metadata.resource_version.clone(),
        WatchEvent::Error(_) => String::new(),
    };
    let word = seen(event);
    (word.split(' ').take(2).collect::<Vec<_>>().join(" "), version)
}

#[test]
fn watches_break_resume_and_expire() {
    let fake = fake();
    fake.put(&named("first"));
    runtime().block_on(async {
        let client = client(&fake.kubeconfig()).await;
        let api = widgets(&client);
        let params = WatchParams::default();
        let start = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        let mut stream = api.watch(&params, &start).await.unwrap().boxed();
        fake.put(&named("second"));
        let (word, version) = next(&mut stream).await;
        assert_eq!(word, "ADDED second");
        assert_eq!(fake.watches(), 1);

        // A break, and nothing is lost or said twice by resuming.
        fake.drop_watches();
        assert!(!matches!(stream.next().await, Some(Ok(_))));
        fake.put(&named("third"));
        let mut stream = api.watch(&params, &version).await.unwrap().boxed();
        assert_eq!(next(&mut stream).await.0, "ADDED third");
        fake.delete("widgets", "default", "third");
        assert_eq!(next(&mut stream).await.0, "DELETED third");
        fake.put(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}));
        fake.bookmark();
        let (word, mark) = next(&mut stream).await;
        assert_eq!(word, "BOOKMARK");

        // History is gone: from the mark of before nothing can be resumed.
        fake.expire();
        fake.drop_watches();
        let mut stream = api.watch(&params, &mark).await.unwrap().boxed();
        assert_eq!(next(&mut stream).await.0, "ERROR 410");

        // All that is there, a mark, and what comes.
        let mut stream = api.watch(&WatchParams::default().initial_events(), "0").await.unwrap().boxed();
        let begun = [next(&mut stream).await.0, next(&mut stream).await.0, next(&mut stream).await.0];
        assert_eq!(begun, ["ADDED first", "ADDED second", "BOOKMARK"]);
        fake.put(&named("fourth"));
        assert_eq!(next(&mut stream).await.0, "ADDED fourth");
        fake.fail("watch", "/widgets", 1, Fault::Status(500));
        assert!(api.watch(&params, &start).await.is_err());
    });
}

#[test]
fn an_applied_status_shows_in_the_log() {
    let fake = fake();
    fake.put(&named("a"));
    runtime().block_on(async {
        let client = client(&fake.kubeconfig()).await;
        let patch = json!({"apiVersion": "test.knotwork.dev/v1", "kind": "Widget", "status": {"phase": "Ready"}});
        let params = PatchParams::apply("knotwork");
        widgets(&client).patch_status("a", &params, &Patch::Apply(&patch)).await.unwrap();
    });
    assert_eq!(fake.object("widgets", "default", "a").unwrap()["status"]["phase"], "Ready");
    let sent = fake.requests("patch", "/widgets/a/status");
    assert_eq!((sent.len(), sent[0].media.as_str(), sent[0].code), (1, "application/apply-patch+yaml", 200));
    assert!(sent[0].query.contains("fieldManager=knotwork") && sent[0].body.contains("Ready"), "{:?}", sent[0]);
}
