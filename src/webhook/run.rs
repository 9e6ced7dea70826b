//! The process: a port that is open from the start, and terms, of which each serves one configuration.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::api::{Api, answer};
use super::numbers::Numbers;
use super::site::{Site, Term};
use super::state::State;
use crate::metrics;
use crate::zone::EngineError;

/// How a webhook runs.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where the API is served.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; none: by somebody else of the same process.
    pub ops_listen: Option<SocketAddr>,
    /// Nothing is sent.
    pub dry_run: bool,
    /// Unmarked sets may be taken.
    pub adopt_unmarked: bool,
    /// Octets of a body that are taken.
    pub max_body_size: usize,
}

/// Octets of a body that are taken where nobody says otherwise: what ExternalDNS itself takes.
pub const MAX_BODY_SIZE: usize = 32 << 20;

/// Why a webhook does not run.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// An address cannot be bound.
    #[error("{flag} {address}: {error}")]
    Listen {
        /// Which.
        flag: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// A zone cannot be had.
    #[error(transparent)]
    Zone(#[from] EngineError),
}

/// What answers at the moment; `None` where nothing is served: no term has begun.
#[derive(Default)]
pub struct Front(Mutex<Option<Arc<Api>>>);

impl Front {
    /// What answers now.
    pub fn api(&self) -> Option<Arc<Api>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, api: Option<Arc<Api>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = api;
    }
}

/// Serves until `stop`: the term that `terms` holds, or 503 while it holds none. `say` tells a person where.
///
/// # Errors
/// [`Stopped`]; that a zone cannot be had only of the first term, later ones are told and waited out.
pub async fn serve(
    settings: WebhookSettings,
    mut terms: watch::Receiver<Option<Term>>,
    numbers: Arc<Numbers>,
    stop: CancellationToken,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), Stopped> {
    // First of all: ExternalDNS gives up on a port that is not open after five tries.
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.map_err(|error| Stopped::Listen { flag: "--listen", address: settings.listen, error })?;
    if let Some(address) = settings.ops_listen {
        let served = metrics::serve(address, numbers.clone(), stop.clone()).await;
        let served = served.map_err(|error| Stopped::Listen { flag: "--ops-listen", address, error })?;
        say(&format!("metrics at http://{served}/metrics"));
    }
    let address = listener.local_addr().unwrap_or(settings.listen);
    say(&format!("ExternalDNS's webhook at http://{address}"));
    let front: Arc<Front> = Arc::default();
    let (asked, counted) = (Arc::clone(&front), Arc::clone(&numbers));
    let answer = move |request: Request<Body>| answer(asked.api(), Arc::clone(&counted), request);
    let ended = stop.clone();
    let server = axum::serve(listener, Router::new().fallback(answer))
        .with_graceful_shutdown(async move { ended.cancelled().await });
    let mut server = std::pin::pin!(async { server.await });
    let mut terms = std::pin::pin!(follow(&settings, &mut terms, &front, &numbers, &stop, say));
    tokio::select! {
        served = &mut server => return served.map_err(|error| Stopped::Listen { flag: "--listen", address: settings.listen, error }),
        ended = &mut terms => ended?,
    }
    // A connection that stays open must not hold up the end.
    let served = tokio::time::timeout(Duration::from_secs(3), server).await.unwrap_or(Ok(()));
    served.map_err(|error| Stopped::Listen { flag: "--listen", address: settings.listen, error })
}

/// Begins and ends terms.
async fn follow(
    settings: &WebhookSettings,
    terms: &mut watch::Receiver<Option<Term>>,
    front: &Front,
    numbers: &Arc<Numbers>,
    stop: &CancellationToken,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), EngineError> {
    let mut state: Option<Arc<State>> = None;
    let mut site: Option<Site> = None;
    let mut is_first = true;
    loop {
        let term = terms.borrow_and_update().clone();
        // Two terms at once would take each other's fence.
        front.set(None);
        if let Some(before) = site.take() {
            numbers.set_zones(Default::default());
            before.stop().await;
        }
        if let Some(term) = &term {
            let state = state.get_or_insert_with(|| Arc::new(State::open(term.webhook.state_file.clone())));
            match Site::start(settings, term, numbers, state) {
                Ok(begun) => {
                    let zones: Vec<String> = begun.api.counters.keys().map(|zone| zone.to_relaxed()).collect();
                    say(&format!("writing for the ExternalDNS {:?} in {}", term.webhook.owner, zones.join(", ")));
                    front.set(Some(Arc::clone(&begun.api)));
                    site = Some(begun);
                }
                Err(error) if is_first => return Err(error),
                Err(error) => tracing::error!("{error}"),
            }
            is_first = false;
        }
        let changed = tokio::select! {
            () = stop.cancelled() => false,
            changed = terms.changed() => changed.is_ok(),
        };
        if !changed {
            stop.cancelled().await;
            if let Some(site) = site {
                site.stop().await;
            }
            return Ok(());
        }
    }
}
