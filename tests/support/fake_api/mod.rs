//! A Kubernetes API server in this process, for the faults that a real one does not produce on demand. It keeps objects in
//! memory and behaves towards clients as `tests/fake_api.rs` proves against the real one: versions, conflicts, generations,
//! status apart from the rest, finalizers, watches that resume. It admits everything: no schemas, no rules, no rights, no
//! namespaces that must exist; applying removes what the same manager applied before, and knows no conflicts of managers.
//!
//! Only a few suites need it: `#[path = "support/fake_api/mod.rs"] mod fake_api;`.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod patch;
pub mod serve;
pub mod store;
pub mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use store::{Key, Resource, Store};

/// What shall go wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this code.
    Status(u16),
    /// It is refused with this code and `Retry-After` in seconds.
    RetryAfter(u16, u32),
    /// It is answered this much later.
    Delay(Duration),
    /// The connection is cut before anything is done.
    Cut,
    /// It is carried out, and the connection is cut instead of an answer.
    LoseAnswer,
    /// A watch is opened, and the stream says this code at once.
    InStream(u16),
    /// A watch is opened, and nothing is ever said.
    Silent,
    /// A watch is opened and ended at once.
    Ended,
    /// A list, or the beginning of a watch, is of the moment of [`FakeApi::remember`]; such a watch says nothing more.
    Stale,
}

/// The requests that a fault is for.
#[derive(Debug, Clone)]
struct Rule {
    verb: String,
    path: String,
    left: usize,
    fault: Fault,
}

/// A request as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The path without its query.
    pub path: String,
    /// The query.
    pub query: String,
    /// The media type of the body.
    pub media: String,
    /// The body.
    pub body: String,
    /// The code of the answer; 0 where the connection was cut.
    pub code: u16,
}

/// Everything that the server and the test share.
struct World {
    store: Store,
    resources: Vec<Resource>,
    rules: Vec<Rule>,
    log: Vec<Request>,
    /// How often all watches were dropped.
    dropped: u64,
    /// How often bookmarks were sent.
    bookmarks: u64,
    watching: usize,
    /// What [`FakeApi::remember`] took.
    remembered: (u64, BTreeMap<Key, Value>),
}

/// The world, and a bell that rings when it changed.
struct Shared {
    world: Mutex<World>,
    bell: tokio::sync::watch::Sender<u64>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn ring(&self) {
        self.bell.send_modify(|count| *count += 1);
    }
}

/// A running fake; gone on drop.
pub struct FakeApi {
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
    addr: SocketAddr,
    dir: tempfile::TempDir,
}

fn builtin(group: &str, version: &str, plural: &str, kind: &str, namespaced: bool, status: bool) -> Resource {
    let [group, version, plural, kind] = [group, version, plural, kind].map(ToOwned::to_owned);
    Resource { group, version, plural, kind, namespaced, status, default_status: Value::Null }
}

/// What a CRD defines.
pub fn defined(crd: &Value) -> Resource {
    let spec = &crd["spec"];
    let version = &spec["versions"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Resource {
        group: text(&spec["group"]),
        version: text(&version["name"]),
        plural: text(&spec["names"]["plural"]),
        kind: text(&spec["names"]["kind"]),
        namespaced: spec["scope"] == "Namespaced",
        status: version["subresources"]["status"].is_object(),
        default_status: version["schema"]["openAPIV3Schema"]["properties"]["status"]["default"].clone(),
    }
}

impl FakeApi {
    /// A fake that serves our own kinds and the usual ones of a cluster.
    pub fn start() -> FakeApi {
        let mut resources = vec![
            builtin("", "v1", "namespaces", "Namespace", false, false),
            builtin("", "v1", "nodes", "Node", false, false),
            builtin("", "v1", "configmaps", "ConfigMap", true, false),
            builtin("", "v1", "secrets", "Secret", true, false),
            builtin("", "v1", "events", "Event", true, false),
            builtin("", "v1", "services", "Service", true, false),
            builtin("events.k8s.io", "v1", "events", "Event", true, false),
            builtin("coordination.k8s.io", "v1", "leases", "Lease", true, false),
        ];
        resources.push(defined(&knotwork::spec::crd::crd()));
        resources.push(defined(&knotwork::spec::policy_crd::crd()));
        resources.push(defined(&knotwork::spec::zone_crd::crd()));
        let crds = "customresourcedefinitions";
        resources.push(builtin("apiextensions.k8s.io", "v1", crds, "CustomResourceDefinition", false, false));
        let world = World {
            store: Store { version: 100, ..Store::default() },
            resources,
            rules: Vec::new(),
            log: Vec::new(),
            dropped: 0,
            bookmarks: 0,
            watching: 0,
            remembered: (0, BTreeMap::new()),
        };
        let shared = Arc::new(Shared { world: Mutex::new(world), bell: tokio::sync::watch::Sender::new(0) });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        runtime.spawn(serve::run(listener, shared.clone()));
        let dir = tempfile::Builder::new().prefix("kw-fake-api").tempdir().unwrap();
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters:\n  - name: test\n    cluster: {{server: 'http://{addr}'}}\n\
             users:\n  - name: test\n    user: {{token: none}}\n\
             contexts:\n  - name: test\n    context: {{cluster: test, user: test}}\n"
        );
        std::fs::write(dir.path().join("kubeconfig"), config).unwrap();
        FakeApi { shared, runtime: Some(runtime), addr, dir }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// Serves one more kind.
    pub fn serve(&self, resource: Resource) {
        self.shared.world().resources.push(resource);
    }

    /// Serves a kind no longer, as if its CRD had been deleted: 404, and its objects are gone.
    pub fn unserve(&self, plural: &str) {
        let mut world = self.shared.world();
        world.resources.retain(|resource| resource.plural != plural);
        world.store.objects.retain(|key, _| key.0.split('.').next() != Some(plural));
        world.dropped += 1;
        drop(world);
        self.shared.ring();
    }

    /// The next `times` requests of this verb (`*` for any) whose path contains `path` (ends with it, if `$`
    /// is its end) shall go wrong. Rules are tried in
    /// the order in which they were given.
    pub fn fail(&self, verb: &str, path: &str, times: usize, fault: Fault) {
        let rule = Rule { verb: verb.into(), path: path.into(), left: times, fault };
        self.shared.world().rules.push(rule);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.shared.world().rules.clear();
    }

    /// Breaks the connections of all watches.
    pub fn drop_watches(&self) {
        self.shared.world().dropped += 1;
        self.shared.ring();
    }

    /// Forgets what happened up to now: a watch that resumes at an older version is told 410.
    pub fn expire(&self) {
        let mut world = self.shared.world();
        world.store.version += 1;
        world.store.forgotten = world.store.version;
        world.store.history.clear();
    }

    /// Takes down how all is now, for [`Fault::Stale`] and [`FakeApi::restore`].
    pub fn remember(&self) {
        let mut world = self.shared.world();
        world.remembered = (world.store.version, world.store.objects.clone());
    }

    /// All is as it was, the version too, as after a restored backup; watches break and cannot resume.
    pub fn restore(&self) {
        let mut world = self.shared.world();
        let (version, objects) = world.remembered.clone();
        world.store.version = version;
        world.store.objects = objects;
        world.store.history.clear();
        world.store.forgotten = version;
        world.dropped += 1;
        drop(world);
        self.shared.ring();
    }

    /// Sends a bookmark to the watches that allow it.
    pub fn bookmark(&self) {
        self.shared.world().bookmarks += 1;
        self.shared.ring();
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        self.shared.world().watching
    }

    /// The requests so far.
    pub fn log(&self) -> Vec<Request> {
        self.shared.world().log.clone()
    }

    /// Requests of a verb (`*` for any) whose path contains `path`.
    pub fn requests(&self, verb: &str, path: &str) -> Vec<Request> {
        let fits = |request: &Request| (verb == "*" || request.verb == verb) && request.path.contains(path);
        self.log().into_iter().filter(fits).collect()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.shared.world().log.clear();
    }

    /// An object, without a request.
    pub fn object(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let world = self.shared.world();
        let found = |key: &&Key| key.0.split('.').next() == Some(plural) && key.1 == namespace && key.2 == name;
        let key = world.store.objects.keys().find(found)?;
        world.store.objects.get(key).cloned()
    }

    /// All objects of a kind, without a request.
    pub fn objects(&self, plural: &str) -> Vec<Value> {
        let world = self.shared.world();
        let of = |key: &Key| key.0.split('.').next() == Some(plural);
        world.store.objects.iter().filter(|(key, _)| of(key)).map(|(_, object)| object.clone()).collect()
    }

    /// Creates an object, or changes it as a merge patch, as somebody else would, without a request.
    pub fn put(&self, object: &Value) -> Value {
        let mut world = self.shared.world();
        let same =
            |resource: &&Resource| object["kind"] == resource.kind && object["apiVersion"] == resource.api_version();
        let resource = world.resources.iter().find(same).expect("a kind that is served").clone();
        let key = key(
            &resource,
            object["metadata"]["namespace"].as_str().unwrap_or("default"),
            object["metadata"]["name"].as_str().expect("a name"),
        );
        let done = match world.store.objects.contains_key(&key) {
            true => world.store.patch(&resource, &key, "application/merge-patch+json", object, None, (false, false)),
            false => world.store.create(&resource, &key, object.clone(), false),
        };
        drop(world);
        self.shared.ring();
        done.unwrap_or_else(|failure| panic!("{failure:?}: {object}")).1
    }

    /// Deletes an object as somebody else would: finalizers hold it back.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let mut world = self.shared.world();
        let resource = world.resources.iter().find(|resource| resource.plural == plural).expect("served").clone();
        let key = key(&resource, namespace, name);
        world.store.delete(&resource, &key, &json!({})).unwrap();
        drop(world);
        self.shared.ring();
    }
}

fn key(resource: &Resource, namespace: &str, name: &str) -> Key {
    let collection = format!("{}.{}", resource.plural, resource.group);
    let namespace = if resource.namespaced { namespace } else { "" };
    (collection.trim_end_matches('.').to_owned(), namespace.to_owned(), name.to_owned())
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        // Without waiting: a test may drop it inside a runtime of its own.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
