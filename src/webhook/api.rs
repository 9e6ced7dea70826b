//! The webhook API of ExternalDNS (reference `externaldns.md` §1): what is answered to whom, and never what makes it end.
//!
//! ExternalDNS ends at every answer but 200, 204 and 500 to 510, at every connection that breaks and at every silence of 15 s.
//! So there are no other answers here, save 400 for a body that is not JSON; whatever goes wrong inside is a 500; and what
//! takes longer than [`DEADLINE`] goes on while the caller is told 503.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use futures_util::stream;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};

use super::answer::Answer;
use super::body::{self, BadBody};
use super::desk::{Ask, Known};
use super::numbers::{Numbers, Operation};
use crate::external::list::List;
use crate::external::{Changes, DomainFilter, Endpoint, Refused, adjust, registry, request};
use crate::model::Name;
use crate::ownership::Affix;
use crate::spec::Zones;

/// The one media type that there is, octet for octet.
const MEDIA: &str = "application/external.dns.webhook+json;version=1";

/// How long a caller is kept waiting. ExternalDNS gives up after 15 s, and ends.
const DEADLINE: Duration = Duration::from_secs(10);

/// Octets of a list that ExternalDNS takes (`--webhook-provider-max-body-size`).
const LONGEST_REPLY: usize = super::run::MAX_BODY_SIZE;

/// Culprits that an answer names; the log has all.
const SHOWN: usize = 20;

/// One zone, as the API reaches it.
#[derive(Clone)]
pub struct Counter {
    /// To its desk.
    pub asks: mpsc::Sender<Ask>,
    /// What is known of it.
    pub known: watch::Receiver<Known>,
    /// How ExternalDNS installations name their TXTs there.
    pub affixes: Vec<Affix>,
}

/// Everything that answers lean on.
pub struct Api {
    /// The zones that are served.
    pub zones: Zones,
    /// By apex.
    pub counters: BTreeMap<Name, Counter>,
    /// What is wished of every endpoint.
    pub rules: adjust::Rules,
    /// Octets of a body that are taken.
    pub most: usize,
    /// What is counted.
    pub numbers: Arc<Numbers>,
    /// What was refused by the last adjustment and in the last request, and was said then.
    pub said: Mutex<Said>,
    /// Who hears of what is refused, beside the log.
    pub tell: Option<Tell>,
}

/// Hears what is newly refused, and in which zone, where one is meant.
pub type Tell = Arc<dyn Fn(Option<&Name>, &Refused) + Send + Sync>;

/// What was said of refusals, by operation, and is still so: name, type and reason.
pub type Said = BTreeMap<&'static str, BTreeSet<(String, String, &'static str)>>;

impl Api {
    /// Says what is refused and was not said before; counts all.
    fn say(&self, operation: &'static str, refused: &[Refused]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = said.entry(operation).or_default();
        let mut now = BTreeSet::new();
        for one in refused {
            let key = (one.name.clone(), one.rtype.clone(), one.reason);
            if !before.contains(&key) {
                tracing::warn!(reason = one.reason, resource = one.resource, "{one}");
                if let Some(tell) = &self.tell {
                    let zone =
                        Name::parse(&one.name).ok().and_then(|name| self.zones.of(&name).map(|zone| zone.name.clone()));
                    tell(zone.as_ref(), one);
                }
            }
            now.insert(key);
            self.numbers.changed(operation, "refused", one.reason, 1);
        }
        *before = now;
    }
}

/// An answer before it is one: status and body.
struct Reply {
    status: StatusCode,
    body: Body,
    is_media: bool,
    /// Octets of a body that is sent in pieces.
    length: Option<usize>,
}

impl Reply {
    fn media(body: impl Into<Body>) -> Reply {
        Reply { status: StatusCode::OK, body: body.into(), is_media: true, length: None }
    }

    fn words(status: StatusCode, words: impl Into<String>) -> Reply {
        Reply { status, body: Body::from(words.into()), is_media: false, length: None }
    }
}

/// Answers a request; without an API, which another replica has or which is being made anew, that it is to come again.
pub async fn answer(api: Option<Arc<Api>>, numbers: Arc<Numbers>, request: Request<Body>) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().trim_end_matches('/').to_owned());
    let operation = match (method, path.rsplit('/').next().unwrap_or_default()) {
        (Method::GET, "records") => Operation::List,
        (Method::POST, "records") => Operation::Apply,
        (Method::POST, "adjustendpoints") => Operation::Adjust,
        // As ExternalDNS's own helper does: whatever else is asked gets the negotiation, at any base path.
        _ => Operation::Negotiate,
    };
    let Some(api) = api else {
        numbers.asked(operation, StatusCode::SERVICE_UNAVAILABLE.as_u16());
        // Read to its end: a connection that is closed in the middle is one of the things at which ExternalDNS ends.
        let _ = body::read(request.into_body(), 0).await;
        return respond(Reply::words(
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing is served here now: another replica leads, or the configuration is read",
        ));
    };
    // In a task of its own: should there be a bug, the caller gets a 500 and no broken connection.
    let task = tokio::spawn(async move {
        match operation {
            Operation::Negotiate => negotiate(&api),
            Operation::List => list(&api).await,
            Operation::Adjust => match parsed(&api, request).await {
                Ok(endpoints) => adjusted(&api, endpoints),
                Err(reply) => reply,
            },
            Operation::Apply => match parsed(&api, request).await {
                Ok(changes) => apply(&api, &changes).await,
                Err(reply) => reply,
            },
        }
    });
    let reply = task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request ended by a bug; please report it");
        Reply::words(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    });
    numbers.asked(operation, reply.status.as_u16());
    respond(reply)
}

fn respond(reply: Reply) -> Response<Body> {
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status;
    let kind = if reply.is_media { MEDIA } else { "text/plain; charset=utf-8" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(length) = reply.length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

fn negotiate(api: &Api) -> Reply {
    let include = api.counters.keys().map(Name::to_relaxed).collect();
    // Texts alone: it cannot fail.
    Reply::media(serde_json::to_vec(&DomainFilter { include }).unwrap_or_default())
}

async fn parsed<T: DeserializeOwned + Default>(api: &Api, request: Request<Body>) -> Result<T, Reply> {
    let bytes = body::read(request.into_body(), api.most).await.map_err(|error| {
        let status = match error {
            BadBody::TooLong { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            BadBody::Broken(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        tracing::warn!("{error}");
        Reply::words(status, error.to_string())
    })?;
    serde_json::from_slice::<Option<T>>(&bytes).map(Option::unwrap_or_default).map_err(|error| {
        tracing::warn!(%error, "a body that cannot be read");
        let status = match error.is_data() {
            true => StatusCode::INTERNAL_SERVER_ERROR,
            false => StatusCode::BAD_REQUEST,
        };
        Reply::words(status, format!("the body cannot be read: {error}"))
    })
}

async fn list(api: &Api) -> Reply {
    let ask = |counter: &Counter| {
        let asks = counter.asks.clone();
        async move {
            let (reply, heard) = oneshot::channel();
            asks.send(Ask::Show(reply)).await.ok()?;
            heard.await.ok()
        }
    };
    let asked = futures_util::future::join_all(api.counters.values().map(ask));
    let Some(zones) = in_time(asked).await else {
        return Reply::words(StatusCode::SERVICE_UNAVAILABLE, "the zones could not be confirmed in time");
    };
    let mut parts: Vec<Bytes> = vec![Bytes::from_static(b"[")];
    for (zone, shown) in api.counters.keys().zip(zones) {
        match shown {
            Some(Ok(shown)) => {
                for json in &shown.json {
                    if parts.len() > 1 {
                        parts.push(Bytes::from_static(b","));
                    }
                    parts.push(Bytes::from_owner(Arc::clone(json)));
                }
            }
            // Part of the records would be a lie: what is missing would be made again.
            Some(Err(error)) => return Reply::words(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            None => {
                let words = format!("zone {}: its desk is closed", zone.to_relaxed());
                return Reply::words(StatusCode::SERVICE_UNAVAILABLE, words);
            }
        }
    }
    parts.push(Bytes::from_static(b"]"));
    let length: usize = parts.iter().map(Bytes::len).sum();
    if length > LONGEST_REPLY {
        tracing::warn!(
            length,
            "the list is longer than ExternalDNS takes without a larger --webhook-provider-max-body-size"
        );
    }
    // The pieces go out as they lie in memory: nothing is copied for an answer.
    let body = Body::from_stream(stream::iter(parts.into_iter().map(Ok::<_, Infallible>)));
    Reply { length: Some(length), ..Reply::media(body) }
}

fn adjusted(api: &Api, endpoints: Vec<Option<Endpoint>>) -> Reply {
    let shown = |name: &Name| api.counters.get(&api.zones.of(name)?.name)?.known.borrow().shown.clone();
    let live = |name: &Name, rtype| {
        let shown = shown(name)?;
        List::of_name(&shown.rules, &shown.owners, &shown.view, name).one(name, rtype)
    };
    let is_migrating = |name: &Name, rtype| {
        shown(name).is_some_and(|shown| registry::is_migrating(&shown.rules, &shown.view, name, rtype, &shown.owners))
    };
    let sight = adjust::Sight { live: &live, is_migrating: &is_migrating };
    let adjusted = adjust::adjust(endpoints.into_iter().flatten().collect(), &api.zones, api.rules, sight);
    api.say("adjust", &adjusted.refused);
    Reply::media(serde_json::to_vec(&adjusted.endpoints).unwrap_or_default())
}

async fn apply(api: &Api, changes: &Changes) -> Reply {
    let affixes = |zone: &Name| api.counters.get(zone).map_or(&[][..], |counter| &counter.affixes[..]);
    let request = request::read(changes, &api.zones, &affixes, api.rules);
    let mut refused: Vec<Refused> = request.refused;
    let ask = |(zone, wish)| {
        let counter = api.counters.get(&zone).cloned();
        async move {
            let (reply, heard) = oneshot::channel();
            counter?.asks.send(Ask::Make(wish, reply)).await.ok()?;
            heard.await.ok()
        }
    };
    let names: Vec<Name> = request.zones.keys().cloned().collect();
    let asked = futures_util::future::join_all(request.zones.into_iter().map(ask));
    let answers = in_time(asked).await;
    let Some(answers) = answers else {
        return Reply::words(StatusCode::SERVICE_UNAVAILABLE, "it takes longer than ExternalDNS waits, and goes on");
    };
    let (mut away, mut held) = (Vec::new(), Vec::new());
    for (zone, answer) in names.iter().zip(answers) {
        let answer = answer.unwrap_or_else(|| Answer {
            stopped: Some(("Internal", "its desk is closed".to_owned())),
            ..Answer::default()
        });
        tell(api, zone, &answer);
        refused.extend(answer.refused);
        held.extend(
            answer
                .held
                .map(|held| format!("{}: {} deletes are held; release {}", zone.to_relaxed(), held.deletes, held.hash)),
        );
        away.extend(answer.stopped.map(|(_, words)| words));
    }
    api.say("apply", &refused);
    if !away.is_empty() {
        return Reply::words(StatusCode::SERVICE_UNAVAILABLE, away.join("\n"));
    }
    if !refused.is_empty() {
        let shown: Vec<String> = refused.iter().take(SHOWN).map(ToString::to_string).collect();
        let words = format!("{} are refused, all else is done:\n{}", refused.len(), shown.join("\n"));
        return Reply::words(StatusCode::INTERNAL_SERVER_ERROR, words);
    }
    match held.is_empty() {
        true => Reply { status: StatusCode::NO_CONTENT, ..Reply::media(Body::empty()) },
        false => Reply::words(StatusCode::SERVICE_UNAVAILABLE, held.join("\n")),
    }
}

fn tell(api: &Api, zone: &Name, answer: &Answer) {
    for action in &answer.done {
        api.numbers.changed(action, "done", "Programmed", 1);
    }
    api.numbers.changed("none", "suppressed", "Fulfilled", answer.fulfilled as u64);
    api.numbers.answered(zone, &answer.rcodes);
    for would in &answer.would {
        tracing::info!(zone = %zone, "would {would} (--dry-run)");
    }
    if let Some(held) = &answer.held {
        let (deletes, hash, limit, owned) = (held.deletes, &held.hash, held.limit, held.owned);
        tracing::warn!(zone = %zone, deletes, hash, limit, owned, "the brake holds deletes: put release: {hash} to the zone in the configuration if they are meant");
        api.numbers.changed("delete", "held", "BrakeHeld", held.deletes as u64);
    }
    if let Some((reason, words)) = &answer.stopped {
        tracing::warn!(zone = %zone, reason, "{words}");
        api.numbers.changed("apply", "stopped", reason, 1);
    }
}

async fn in_time<T>(asked: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(DEADLINE, asked).await.ok()
}
