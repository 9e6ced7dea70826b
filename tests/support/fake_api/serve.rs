//! The fake's HTTP: paths to verbs, faults, lists, and watches as streams.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{Method, header};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::store::{Failure, Key, Resource};
use super::{Fault, Request, Shared, World, watch};

/// Serves until the runtime ends.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let app = axum::Router::new().fallback(answer).with_state(shared);
    let service = app.into_make_service_with_connect_info::<Cut>();
    let _ = axum::serve(Doors(listener), service).await;
}

/// A listener whose connections can be cut from within a handler.
struct Doors(TcpListener);

/// A connection.
struct Line {
    stream: TcpStream,
    cut: Cut,
}

/// Cuts a connection.
#[derive(Clone)]
struct Cut(Arc<AtomicBool>);

impl Listener for Doors {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, addr) = Listener::accept(&mut self.0).await;
        let _ = stream.set_nodelay(true);
        (Line { stream, cut: Cut(Arc::default()) }, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Doors>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Doors>) -> Cut {
        stream.io().cut.clone()
    }
}

impl Line {
    fn open(&self) -> io::Result<()> {
        match self.cut.0.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.open()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What a request is about.
pub(super) struct Call {
    verb: &'static str,
    pub(super) resource: Resource,
    /// The object, or the collection if the name is empty; all namespaces if that is empty too.
    pub(super) key: Key,
    sub: String,
    pub(super) query: BTreeMap<String, String>,
    /// Only metadata is asked for.
    partial: bool,
}

impl Call {
    /// Whether an object is among those that a list or a watch asks for.
    pub(super) fn wants(&self, key: &Key, object: &Value) -> bool {
        let place = key.0 == self.key.0 && (self.key.1.is_empty() || key.1 == self.key.1);
        let terms = |name: &str| self.query.get(name).map(String::as_str).unwrap_or_default();
        let fields = terms("fieldSelector").split(',').filter(|term| !term.is_empty()).all(|term| {
            let (path, value) = term.split_once('=').unwrap_or((term, ""));
            let pointer = format!("/{}", path.trim_end_matches(['!', '=']).replace('.', "/"));
            let same = object.pointer(&pointer).and_then(Value::as_str) == Some(value.trim_start_matches('='));
            same != path.ends_with('!')
        });
        place && fields && labels_fit(terms("labelSelector"), &object["metadata"]["labels"])
    }

    /// An object in the form that is asked for.
    pub(super) fn shown(&self, object: &Value) -> Value {
        match self.partial {
            true => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
            }
            false => object.clone(),
        }
    }
}

/// `a=b,c!=d,e,!f`; sets in parentheses are not understood.
fn labels_fit(selector: &str, labels: &Value) -> bool {
    selector.split(',').filter(|term| !term.is_empty()).all(|term| match term.split_once('=') {
        Some((name, value)) if name.ends_with('!') => labels[name.trim_end_matches('!')] != value,
        Some((name, value)) => labels[name] == value.trim_start_matches('='),
        None => labels[term.trim_start_matches('!')].is_null() == term.starts_with('!'),
    })
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: Vec<u8> = bytes.by_ref().take(2).collect();
                let hex = String::from_utf8_lossy(&hex).into_owned();
                out.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The verb, as far as method and path tell it, and the parts of the path: resource, namespace, name, subresource.
fn parse(method: &Method, path: &str, watch: bool) -> Option<(&'static str, [String; 2], [String; 4])> {
    let parts: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
    let (group, version, rest) = match parts.first()?.as_str() {
        "api" => (String::new(), parts.get(1)?, parts.get(2..)?),
        "apis" => (parts.get(1)?.clone(), parts.get(2)?, parts.get(3..)?),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        [word, namespace, plural, ..] if word == "namespaces" && !["status", "finalize"].contains(&plural.as_str()) => {
            (namespace.clone(), &rest[2..])
        }
        _ => (String::new(), rest),
    };
    let part = |at: usize| rest.get(at).cloned().unwrap_or_default();
    let verb = match (method.as_str(), rest.len()) {
        ("GET", 1) if watch => "watch",
        ("GET", 1) => "list",
        ("POST", 1) => "create",
        ("DELETE", 1) => "deletecollection",
        ("GET", 2 | 3) => "get",
        ("PUT", 2 | 3) => "update",
        ("PATCH", 2 | 3) => "patch",
        ("DELETE", 2) => "delete",
        _ => return None,
    };
    Some((verb, [group, version.clone()], [part(0), namespace, part(1), part(2)]))
}

fn json_response(code: u16, value: &Value) -> Response {
    let builder = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    builder.body(Body::from(value.to_string())).unwrap()
}

fn refusal(Failure(code, reason, message): &Failure) -> Value {
    let mut status =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message});
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    status["code"] = json!(code);
    status
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: HttpRequest,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 64 << 20).await else { return json_response(400, &Value::Null) };
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let params: BTreeMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('=').or(Some((pair, ""))))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let watch = params.get("watch").is_some_and(|value| value == "true" || value == "1");
    let parsed = parse(&head.method, &path, watch);
    let verb = parsed.as_ref().map_or_else(|| head.method.as_str().to_lowercase(), |parsed| parsed.0.to_owned());
    let media = header(header::CONTENT_TYPE).split(';').next().unwrap_or_default().to_owned();
    let text = String::from_utf8_lossy(&body).into_owned();
    let note = |code: u16| {
        let (verb, path, query) = (verb.clone(), path.clone(), query.clone());
        shared.world().log.push(Request { verb, path, query, media: media.clone(), body: text.clone(), code });
    };
    let cut_it = || {
        note(0);
        cut.0.store(true, Ordering::SeqCst);
        Response::new(Body::empty())
    };

    let fault = take_fault(&mut shared.world(), &verb, &path);
    match fault {
        Some(Fault::Cut) => return cut_it(),
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::Status(code) | Fault::RetryAfter(code, _)) => {
            note(code);
            let failure = Failure(code, reason(code), "the test wants it so".into());
            let mut response = json_response(code, &refusal(&failure));
            if let Some(Fault::RetryAfter(_, seconds)) = fault {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            return response;
        }
        Some(Fault::LoseAnswer | Fault::InStream(_) | Fault::Silent | Fault::Ended | Fault::Stale) | None => {}
    }

    let found = parsed.and_then(|(verb, [group, version], [plural, namespace, name, sub])| {
        let world = shared.world();
        let fits = |one: &&Resource| one.plural == plural && one.group == group && one.version == version;
        let resource = world.resources.iter().find(fits)?.clone();
        let partial = header(header::ACCEPT).contains("as=PartialObjectMetadata");
        let key = super::key(&resource, &namespace, &name);
        Some(Call { verb, resource, key, sub, query: params, partial })
    });
    let Some(call) = found else {
        if let Some(list) = discovery(&shared.world(), &path) {
            return json_response(200, &list);
        }
        if ["/readyz", "/livez", "/healthz", "/version"].contains(&path.as_str()) {
            return json_response(
                200,
                &json!({"major": "1", "minor": "37", "gitVersion": "v1.37.2", "platform": "fake"}),
            );
        }
        note(404);
        // The real one has no object to say it with either.
        let builder = Response::builder().status(404).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        return builder.body(Body::from("404 page not found\n")).unwrap();
    };
    if call.verb == "watch" {
        note(200);
        return watch::stream(shared.clone(), call, fault);
    }
    if fault == Some(Fault::Stale) {
        let list = stale(&shared.world(), &call);
        note(200);
        return json_response(200, &list);
    }
    let done = perform(&mut shared.world(), &call, &media, &text);
    shared.ring();
    if fault == Some(Fault::LoseAnswer) {
        return cut_it();
    }
    let (code, value) = match done {
        Ok((code, value)) => (code, value),
        Err(failure) => (failure.0, refusal(&failure)),
    };
    note(code);
    json_response(code, &value)
}

fn take_fault(world: &mut World, verb: &str, path: &str) -> Option<Fault> {
    let fits = |rule: &&mut super::Rule| {
        let place = match rule.path.strip_suffix('$') {
            Some(end) => path.ends_with(end),
            None => path.contains(&rule.path),
        };
        rule.left > 0 && (rule.verb == "*" || rule.verb == verb) && place
    };
    let rule = world.rules.iter_mut().find(fits)?;
    rule.left -= 1;
    Some(rule.fault.clone())
}

/// The kinds of a group and version, for `/api/v1` and `/apis/GROUP/VERSION`.
fn discovery(world: &World, path: &str) -> Option<Value> {
    let wanted = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/"))?;
    let of: Vec<&Resource> = world.resources.iter().filter(|one| one.api_version() == wanted).collect();
    let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let entries = of.iter().flat_map(|one| {
        let entry = |name: String| {
            json!({"name": name, "singularName": "", "namespaced": one.namespaced, "kind": one.kind, "verbs": verbs})
        };
        let status = one.status.then(|| entry(format!("{}/status", one.plural)));
        std::iter::once(entry(one.plural.clone())).chain(status)
    });
    let list = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": wanted, "resources": entries.collect::<Vec<_>>()});
    (!of.is_empty()).then_some(list)
}

/// A list of what there was when it was taken down.
fn stale(world: &World, call: &Call) -> Value {
    let (version, objects) = &world.remembered;
    let all = objects.iter().filter(|(key, object)| call.wants(key, object));
    let items: Vec<Value> = all.map(|(_, object)| call.shown(object)).collect();
    let (kind, api) = match call.partial {
        true => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        false => (format!("{}List", call.resource.kind), call.resource.api_version()),
    };
    json!({"kind": kind, "apiVersion": api, "metadata": {"resourceVersion": version.to_string()}, "items": items})
}

/// Every verb but `watch`.
fn perform(world: &mut World, call: &Call, media: &str, body: &str) -> Result<(u16, Value), Failure> {
    let store = &mut world.store;
    let (resource, key) = (&call.resource, &call.key);
    let status = call.sub == "status";
    if !(call.sub.is_empty() || status && resource.status) {
        return Err(Failure(404, "NotFound", "the server could not find the requested resource".into()));
    }
    if resource.namespaced && key.1.is_empty() && !["list", "deletecollection"].contains(&call.verb) {
        return Err(Failure(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource".into(),
        ));
    }
    let read = || -> Result<Value, Failure> {
        // What is applied is YAML, which JSON is too.
        serde_saphyr::from_str(body).map_err(|error| Failure(400, "BadRequest", error.to_string()))
    };
    let dry = call.query.get("dryRun").is_some_and(|value| value == "All");
    let matching = |world: &World| -> Vec<(Key, Value)> {
        let all = world.store.objects.iter().filter(|(key, object)| call.wants(key, object));
        all.map(|(key, object)| (key.clone(), object.clone())).collect()
    };
    let list = |version: u64, items: &[(Key, Value)]| {
        let (kind, api) = match call.partial {
            true => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
            false => (format!("{}List", resource.kind), resource.api_version()),
        };
        let items: Vec<Value> = items.iter().map(|(_, object)| call.shown(object)).collect();
        json!({"kind": kind, "apiVersion": api, "metadata": {"resourceVersion": version.to_string()}, "items": items})
    };
    match call.verb {
        "get" => store.get(key).map(|(code, object)| (code, call.shown(&object))),
        "list" => Ok((200, list(store.version, &matching(world)))),
        "create" => store.create(resource, key, read()?, dry),
        "update" => store.update(resource, key, read()?, status, dry),
        "patch" => {
            let manager = call.query.get("fieldManager").map(String::as_str);
            store.patch(resource, key, media, &read()?, manager, (status, dry))
        }
        "delete" => {
            let options = if body.is_empty() { Value::Null } else { read()? };
            store.delete(resource, key, &options)
        }
        _ => {
            let all = matching(world);
            for (key, _) in &all {
                world.store.delete(resource, key, &Value::Null)?;
            }
            Ok((200, list(world.store.version, &all)))
        }
    }
}
