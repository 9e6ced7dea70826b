//! The fake's watches: what happened since a version, as lines of JSON that come as it happens.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::Response;
use serde_json::{Value, json};

use super::serve::Call;
use super::store::Change;
use super::{Fault, Shared};

/// One watch.
struct Watch {
    shared: Arc<Shared>,
    call: Call,
    bell: tokio::sync::watch::Receiver<u64>,
    lines: VecDeque<Value>,
    /// The version up to which everything was said.
    seen: u64,
    dropped: u64,
    bookmarks: u64,
    deadline: Option<tokio::time::Instant>,
    over: bool,
    /// Says what is waiting, and nothing more.
    mute: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.world().watching -= 1;
    }
}

/// Answers a watch.
pub(super) fn stream(shared: Arc<Shared>, call: Call, fault: Option<Fault>) -> Response {
    let bell = shared.bell.subscribe();
    let asked = |name: &str| call.query.get(name).map(String::as_str).unwrap_or_default();
    let from: u64 = asked("resourceVersion").parse().unwrap_or(0);
    let initial = asked("sendInitialEvents") == "true";
    let deadline =
        asked("timeoutSeconds").parse().ok().map(|time| tokio::time::Instant::now() + Duration::from_secs(time));
    let mut world = shared.world();
    world.watching += 1;
    let mut watch = Watch {
        bell,
        lines: VecDeque::new(),
        seen: from,
        dropped: world.dropped,
        bookmarks: world.bookmarks,
        deadline,
        over: fault == Some(Fault::Ended),
        mute: matches!(fault, Some(Fault::Silent | Fault::Stale)),
        shared: shared.clone(),
        call,
    };
    if let Some(Fault::InStream(code)) = fault {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "the test wants it so", "reason": if code == 410 { "Expired" } else { "InternalError" }, "code": code});
        watch.lines.push_back(json!({"type": "ERROR", "object": status}));
        watch.over = true;
    } else if matches!(fault, Some(Fault::Silent | Fault::Ended)) {
        // Not even what happened already.
    } else if initial || from == 0 {
        let stale = fault == Some(Fault::Stale);
        let objects = if stale { &world.remembered.1 } else { &world.store.objects };
        for (key, object) in objects {
            if watch.call.wants(key, object) {
                let line = json!({"type": "ADDED", "object": watch.call.shown(object)});
                watch.lines.push_back(line);
            }
        }
        watch.seen = if stale { world.remembered.0 } else { world.store.version };
        if initial {
            let end = watch.bookmark(json!({"k8s.io/initial-events-end": "true"}));
            watch.lines.push_back(end);
        }
    } else if from < world.store.forgotten {
        let why = format!("too old resource version: {from} ({})", world.store.forgotten);
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": why,
            "reason": "Expired", "code": 410});
        watch.lines.push_back(json!({"type": "ERROR", "object": status}));
        watch.over = true;
    }
    drop(world);
    let body = Body::from_stream(futures_util::stream::unfold(watch, |mut watch| async move {
        watch.next().await.map(|line| (line, watch))
    }));
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

impl Watch {
    /// The next line; an error breaks the connection, `None` ends it well.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(Ok(Bytes::from(format!("{line}\n"))));
            }
            if self.over {
                return None;
            }
            if self.mute {
                let began = self.dropped;
                while self.shared.world().dropped == began {
                    self.bell.changed().await.ok()?;
                }
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            self.bell.mark_unchanged();
            if !self.look() {
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if !self.lines.is_empty() {
                continue;
            }
            match self.deadline {
                Some(deadline) => match tokio::time::timeout_at(deadline, self.bell.changed()).await {
                    Ok(rung) => rung.ok()?,
                    Err(_) => return None,
                },
                None => self.bell.changed().await.ok()?,
            }
        }
    }

    /// Takes up what happened; `false` if all watches were dropped meanwhile.
    fn look(&mut self) -> bool {
        let shared = self.shared.clone();
        let world = shared.world();
        if world.dropped != self.dropped {
            return false;
        }
        let begin = world.store.history.partition_point(|change| change.version <= self.seen);
        for change in &world.store.history[begin..] {
            self.lines.extend(self.event(change));
            self.seen = change.version;
        }
        if world.bookmarks != self.bookmarks {
            self.bookmarks = world.bookmarks;
            self.seen = self.seen.max(world.store.version);
            if self.call.query.get("allowWatchBookmarks").is_some_and(|value| value == "true") {
                let line = self.bookmark(Value::Null);
                self.lines.push_back(line);
            }
        }
        true
    }

    fn event(&self, change: &Change) -> Option<Value> {
        let wanted = |object: &Option<Value>| object.clone().filter(|object| self.call.wants(&change.key, object));
        let (word, mut object) = match (wanted(&change.old), wanted(&change.new)) {
            (None, Some(new)) => ("ADDED", new),
            (Some(_), Some(new)) => ("MODIFIED", new),
            (Some(old), None) => ("DELETED", old),
            (None, None) => return None,
        };
        object["metadata"]["resourceVersion"] = json!(change.version.to_string());
        Some(json!({"type": word, "object": self.call.shown(&object)}))
    }

    fn bookmark(&self, annotations: Value) -> Value {
        let resource = &self.call.resource;
        let mut meta = json!({"resourceVersion": self.seen.to_string(), "creationTimestamp": null});
        if !annotations.is_null() {
            meta["annotations"] = annotations;
        }
        let (api, kind) = (resource.api_version(), resource.kind.clone());
        let object = self.call.shown(&json!({"kind": kind, "apiVersion": api, "metadata": meta}));
        json!({"type": "BOOKMARK", "object": object})
    }
}
