//! Following all objects of a kind: a complete list first, then every change, and a complete list again where the
//! connection lost its thread.

use std::time::{Duration, Instant};

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
    /// The server's own time went back, and stays so: its data were restored. What was known says nothing any more.
    Rewound(Resource),
}

/// Objects of a list that come in one answer.
const PAGE: u32 = 500;
/// A server sends a bookmark every minute or so; a connection that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(100);
/// Deadline of one page of a list, and of the first answer of a watch.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A watch that lived for so long was a good one.
const LIVED: Duration = Duration::from_secs(5);
/// How often in a row a watch is opened anew where it broke, before all is listed again.
const TRIES: u32 = 4;
/// A server that lags behind catches up within this time; one whose lists are older for longer was restored from a backup.
const LAG: Duration = Duration::from_secs(30);

/// Follows all objects of a kind until the receiver is dropped. `streaming`: lists come as streams, where the server
/// knows them.
pub async fn follow(client: Client, resource: Resource, streaming: bool, into: mpsc::Sender<Followed>) {
    let api = Api::all_with(client, &resource.api());
    let mut follower =
        Follower { api, resource, streaming, into, wait: FIRST_WAIT, newest: 0, behind: None, silence: silence() };
    while let Err(error) = follower.list_and_watch().await {
        // A watch that ran out of the server's memory is an everyday thing: the next list tells all.
        if !follower.pause(&error, error.code() == Some(410)).await {
            return;
        }
    }
}

/// After how long without a word a watch counts as dead; tests cannot wait for as long (`KNOTWORK_TEST_SILENCE`, seconds).
fn silence() -> Duration {
    let told = std::env::var("KNOTWORK_TEST_SILENCE").ok().and_then(|seconds| seconds.parse().ok());
    told.map_or(SILENCE, Duration::from_secs)
}

struct Follower {
    api: Api<DynamicObject>,
    resource: Resource,
    streaming: bool,
    into: mpsc::Sender<Followed>,
    /// Before the next try; longer each time, until something went well.
    wait: Duration,
    /// The newest version that was ever seen. Where versions are no numbers, none is older than another.
    newest: u64,
    /// Since when lists are older than that.
    behind: Option<Instant>,
    silence: Duration,
}

/// How a watch ended.
enum Ended {
    /// The server ended it, as it does after some minutes.
    Well,
    /// Nobody listens any more.
    Unheard,
}

impl Follower {
    /// Tells what went wrong and waits; `false` when nobody listens any more.
    async fn pause(&mut self, error: &CallError, everyday: bool) -> bool {
        let wait = self.wait.max(error.retry_after().unwrap_or_default());
        if !everyday && self.into.send(Followed::Lost(self.resource, error.clone())).await.is_err() {
            return false;
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        tokio::select! {
            () = self.into.closed() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    /// `Ok` when nobody listens any more.
    async fn list_and_watch(&mut self) -> Result<(), CallError> {
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
        if let Err(older) = self.in_order(&version) {
            if self.behind.is_some_and(|since| since.elapsed() >= LAG) {
                let _ = self.into.send(Followed::Rewound(self.resource)).await;
                return Ok(());
            }
            return Err(older);
        }
        if self.into.send(Followed::All(self.resource, all)).await.is_err() {
            return Ok(());
        }
        let mut failed = 0;
        loop {
            let (began, before) = (Instant::now(), version.clone());
            let ended = self.watch(&mut version).await;
            if began.elapsed() >= LIVED || version != before {
                (self.wait, failed) = (FIRST_WAIT, 0);
            }
            match ended {
                Ok(Ended::Unheard) => return Ok(()),
                // One that ends at once, again and again, is worth no storm of questions.
                Ok(Ended::Well) if began.elapsed() >= LIVED => {}
                Ok(Ended::Well) => {
                    let message = "the server ends the watch as soon as it is opened".to_owned();
                    failed += 1;
                    if !self.pause(&CallError::Broken { what: "watch", message }, failed < TRIES).await {
                        return Ok(());
                    }
                }
                // Where the thread was lost a watch can take it up again: a list of everything costs the server much more.
                Err(error) if failed < TRIES && is_passing(&error) => {
                    failed += 1;
                    if !self.pause(&error, false).await {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a list is at least as new as all that was seen: an older one would bring back what is gone, and call gone
    /// what is new.
    fn in_order(&mut self, version: &str) -> Result<(), CallError> {
        if self.is_older(version) {
            self.behind.get_or_insert_with(Instant::now);
            return Err(CallError::Behind { at: version.to_owned(), seen: self.newest });
        }
        self.behind = None;
        self.note(version);
        Ok(())
    }

    fn is_older(&self, version: &str) -> bool {
        version.parse::<u64>().is_ok_and(|number| number < self.newest)
    }

    fn note(&mut self, version: &str) {
        self.newest = self.newest.max(version.parse().unwrap_or(0));
    }

    /// Passes on what changes after a version, and moves it.
    async fn watch(&mut self, version: &mut String) -> Result<Ended, CallError> {
        let events = timely("watch", self.api.watch(&WatchParams::default(), version)).await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = next(&mut events, self.silence).await? {
            let (news, at) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let seen = Seen::of(object);
                    let at = seen.version.clone();
                    (Some(Followed::Changed(self.resource, Box::new(seen))), at)
                }
                WatchEvent::Deleted(object) => {
                    let seen = Seen::of(object);
                    let at = seen.version.clone();
                    (Some(Followed::Gone(self.resource, Box::new(seen))), at)
                }
                WatchEvent::Bookmark(mark) => (None, mark.metadata.resource_version),
                WatchEvent::Error(status) => return Err(CallError::refused("watch", *status)),
            };
            if let Some(news) = news
                && self.into.send(news).await.is_err()
            {
                return Ok(Ended::Unheard);
            }
            // Where bookmarks go back, the server's data were restored, and the watch waits for what will never come.
            if self.is_older(&at) {
                return Err(CallError::Behind { at, seen: self.newest });
            }
            self.note(&at);
            *version = at;
        }
        Ok(if self.into.is_closed() { Ended::Unheard } else { Ended::Well })
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
        while let Some(event) = next(&mut events, self.silence).await? {
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

/// Whether a watch may be opened again at the same version.
fn is_passing(error: &CallError) -> bool {
    match error {
        CallError::Broken { .. } => true,
        CallError::Refused { code, .. } => matches!(code, 429 | 500..=599),
        // A silent server may wait for what will never come.
        CallError::Late { .. } | CallError::Behind { .. } | CallError::Access(_) => false,
    }
}

/// The next event; `None` at the end of the stream.
async fn next(
    events: &mut (impl Stream<Item = kube::Result<Event>> + Unpin),
    silence: Duration,
) -> Result<Option<Event>, CallError> {
    match tokio::time::timeout(silence, events.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(event))) => Ok(Some(event)),
        Ok(Some(Err(error))) => Err(CallError::of("watch", error)),
        Err(_) => Err(CallError::Late { what: "watch", after: silence }),
    }
}
