//! The process: desks for the zones, the API, and what is told of both.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::api::{Api, Counter, answer};
use super::desk::{Desk, DeskSettings, Known, WAITING};
use super::numbers::Numbers;
use crate::external::adjust;
use crate::external::registry::Owners;
use crate::knot::Server;
use crate::metrics;
use crate::model::Name;
use crate::source::{Config, WebhookConfig};
use crate::spec::{ZoneEntry, Zones};
use crate::zone::{Engine, EngineError, EngineOptions, Role};

/// How a webhook runs.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where the API is served.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub ops_listen: Option<SocketAddr>,
    /// Nothing is sent.
    pub dry_run: bool,
    /// Unmarked sets may be taken.
    pub adopt_unmarked: bool,
    /// Octets of a body that are taken.
    pub max_body_size: usize,
}

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

/// Serves until `stop`. `say` tells a person where.
///
/// # Errors
/// [`Stopped`].
pub async fn serve(
    settings: WebhookSettings,
    config: &Config,
    webhook: &WebhookConfig,
    stop: CancellationToken,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), Stopped> {
    // First of all: ExternalDNS gives up on a port that is not open after five tries.
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.map_err(|error| Stopped::Listen { flag: "--listen", address: settings.listen, error })?;
    let numbers = Arc::new(Numbers::default());
    if let Some(address) = settings.ops_listen {
        let served = metrics::serve(address, numbers.clone(), stop.clone()).await;
        let served = served.map_err(|error| Stopped::Listen { flag: "--ops-listen", address, error })?;
        say(&format!("metrics at http://{served}/metrics"));
    }
    let counters = desks(&settings, config, webhook, &stop)?;
    numbers.set_zones(counters.iter().map(|(zone, counter)| (zone.clone(), counter.known.clone())).collect());
    let zones = config.zones().filter(|zone| counters.contains_key(&zone.rules.zone));
    let entries = zones.map(|zone| ZoneEntry { name: zone.rules.zone.clone(), default_ttl: zone.default_ttl });
    let api = Arc::new(Api {
        zones: Zones::new(entries, &config.label),
        counters,
        rules: adjust::Rules { min_ttl: webhook.min_ttl, default_ttl: webhook.default_ttl, ptr: None },
        most: settings.max_body_size,
        numbers,
        said: Mutex::default(),
    });
    let address = listener.local_addr().unwrap_or(settings.listen);
    say(&format!("ExternalDNS's webhook at http://{address}, for the owner {:?}", webhook.owner));
    let router = Router::new().fallback(move |request: Request<Body>| answer(Arc::clone(&api), request));
    let ended = stop.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { ended.cancelled().await });
    let served = tokio::select! {
        served = async { server.await } => served,
        // A connection that stays open must not hold up the end.
        () = async { stop.cancelled().await; tokio::time::sleep(std::time::Duration::from_secs(3)).await } => Ok(()),
    };
    served.map_err(|error| Stopped::Listen { flag: "--listen", address: settings.listen, error })
}

fn desks(
    settings: &WebhookSettings,
    config: &Config,
    webhook: &WebhookConfig,
    stop: &CancellationToken,
) -> Result<BTreeMap<Name, Counter>, EngineError> {
    let mut counters = BTreeMap::new();
    for server in &config.servers {
        let connection = Arc::new(Server::new(server.server.clone()));
        for zone in &server.zones {
            let mut rules = zone.rules.clone();
            if !webhook.serves(&rules.zone) {
                continue;
            }
            // A writer of its own in the zone, beside the one of the same configuration that writes static records.
            rules.owner = webhook.marker_owner();
            let affixes = rules.external_dns.clone();
            let apex = rules.zone.clone();
            let options = EngineOptions { role: Role::Resident, one_tenant: true, ..EngineOptions::default() };
            let engine = Engine::new(Arc::clone(&connection), rules, options)?;
            let (tell, known) = watch::channel(Known::default());
            let (asks, asked) = mpsc::channel(WAITING);
            let desk = DeskSettings {
                owners: Owners { own: webhook.owner.clone(), migrate_from: webhook.migrate_from.clone() },
                default_ttl: webhook.default_ttl.unwrap_or(zone.default_ttl),
                adopt_unmarked: settings.adopt_unmarked,
                dry_run: settings.dry_run || zone.rules.observe,
                release: zone.release.iter().cloned().collect(),
            };
            tokio::spawn(Desk::new(engine, desk, tell).run(asked, stop.clone()));
            counters.insert(apex, Counter { asks, known, affixes });
        }
    }
    Ok(counters)
}
