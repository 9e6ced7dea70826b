//! Following all objects of a kind: a complete list first, then every change, and a complete list again where the
//! connection lost its thread.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use kube::api::{ListParams, WatchParams};
use kube::core::{DynamicObject, WatchEvent};
use kube::{Api, Client};
use tokio::sync::mpsc;

use super::{CallError, Resource, Seen};

/// What following brings.
#[derive(Debug)]
pub enum Followed {
    /// The whole list, at least as new as the moment at which it was asked for; what is not in it is gone.
    All(Resource, Vec<Seen>),
    /// An object came or changed.
    Changed(Resource, Box<Seen>),
    /// An object went.
    Gone(Resource, Box<Seen>),
    /// It cannot be followed at present; what was known stays in force.
    Lost(Resource, CallError),
}

/// Objects of a list that come in one answer.
const PAGE: u32 = 500;
/// A server sends a bookmark every minute or so; a connection that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(100);
/// Deadline of one page of a list, and of the first answer of a watch.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Follows all objects of a kind until the receiver is dropped. `streaming`: lists come as streams, where the server
/// knows them.
pub async fn follow(client: Client, resource: Resource, streaming: bool, into: mpsc::Sender<Followed>) {
    let mut follower = Follower { api: Api::all_with(client, &resource.api()), resource, streaming, into };
    let mut wait = FIRST_WAIT;
    loop {
        let result = follower.list_and_watch(&mut wait).await;
        match result {
            // Nobody listens any more.
            Ok(()) => return,
            Err(error) => {
                // A watch that ran out of the server's memory is an everyday thing: the next list tells all.
                let everyday = error.code() == Some(410);
                if !everyday && follower.into.send(Followed::Lost(resource, error)).await.is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            () = follower.into.closed() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

struct Follower {
    api: Api<DynamicObject>,
    resource: Resource,
    streaming: bool,
    into: mpsc::Sender<Followed>,
}

impl Follower {
    /// `Ok` when nobody listens any more.
    async fn list_and_watch(&mut self, wait: &mut Duration) -> Result<(), CallError> {
        let (mut version, all) = if self.streaming {
            match self.streamed_list().await {
                // The server does not know them, or will not.
                Err(error) if matches!(error.code(), Some(400 | 422)) => {
                    self.streaming = false;
                    self.paged_list().await?
                }
                other => other?,
            }
        } else {
            self.paged_list().await?
        };
        if self.into.send(Followed::All(self.resource, all)).await.is_err() {
            return Ok(());
        }
        *wait = FIRST_WAIT;
        loop {
            let params = WatchParams::default();
            let events = timely("watch", self.api.watch(&params, &version)).await?;
            let mut events = std::pin::pin!(events);
            while let Some(event) = next(&mut events).await? {
                let sent = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        let seen = Seen::of(object);
                        version.clone_from(&seen.version);
                        self.into.send(Followed::Changed(self.resource, Box::new(seen))).await
                    }
                    WatchEvent::Deleted(object) => {
                        let seen = Seen::of(object);
                        version.clone_from(&seen.version);
                        self.into.send(Followed::Gone(self.resource, Box::new(seen))).await
                    }
                    WatchEvent::Bookmark(mark) => {
                        version = mark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(status) => return Err(CallError::refused("watch", *status)),
                };
                if sent.is_err() {
                    return Ok(());
                }
            }
            // The server ended it, as it does after some minutes.
            if self.into.is_closed() {
                return Ok(());
            }
        }
    }

    /// A list in pages, as new as the server can give it.
    async fn paged_list(&self) -> Result<(String, Vec<Seen>), CallError> {
        let mut all = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = timely("list", self.api.list(&params)).await?;
            all.extend(page.items.into_iter().map(Seen::of));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok((page.metadata.resource_version.unwrap_or_default(), all)),
            }
        }
    }

    /// A list as a stream of events. Its first question, for one object only, is for the version that the stream has to
    /// reach: without it a server may answer from a cache that lags behind.
    async fn streamed_list(&self) -> Result<(String, Vec<Seen>), CallError> {
        let first = timely("list", self.api.list_metadata(&ListParams::default().limit(1))).await?;
        let version = first.metadata.resource_version.unwrap_or_default();
        let params = WatchParams::default().initial_events();
        let events = timely("watch", self.api.watch(&params, &version)).await?;
        let mut events = std::pin::pin!(events);
        let mut all = std::collections::HashMap::new();
        let key = |seen: &Seen| (seen.namespace.clone(), seen.name.clone());
        while let Some(event) = next(&mut events).await? {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let seen = Seen::of(object);
                    all.insert(key(&seen), seen);
                }
                WatchEvent::Deleted(object) => {
                    all.remove(&key(&Seen::of(object)));
                }
                WatchEvent::Bookmark(mark) => {
                    let end =
                        mark.metadata.annotations.get("k8s.io/initial-events-end").is_some_and(|end| end == "true");
                    if end {
                        return Ok((mark.metadata.resource_version, all.into_values().collect()));
                    }
                }
                WatchEvent::Error(status) => return Err(CallError::refused("list", *status)),
            }
        }
        Err(CallError::Broken { what: "list", message: "the stream ended before the list was complete".to_owned() })
    }
}

async fn timely<T>(what: &'static str, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(result) => result.map_err(|error| CallError::of(what, error)),
        Err(_) => Err(CallError::Late { what, after: PATIENCE }),
    }
}

type Event = WatchEvent<DynamicObject>;

/// The next event; `None` at the end of the stream.
async fn next(events: &mut (impl Stream<Item = kube::Result<Event>> + Unpin)) -> Result<Option<Event>, CallError> {
    match tokio::time::timeout(SILENCE, events.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(event))) => Ok(Some(event)),
        Ok(Some(Err(error))) => Err(CallError::of("watch", error)),
        Err(_) => Err(CallError::Late { what: "watch", after: SILENCE }),
    }
}
