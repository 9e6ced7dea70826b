//! The process: a Lease, terms while we lead, and a configuration that is read again when it changes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::numbers::Board;
use super::provider::{Page, Provider};
use super::term::{End, Setting, Term};
use crate::cluster::{Access, CallError, Calls, Lead, Leading, LeaseSettings, Resource, Target, keep};
use crate::metrics;
use crate::model::Name;
use crate::source::{Config, follow};
use crate::webhook::{self, Numbers, WebhookSettings};
use crate::zone::PastBrake;

/// How an operator runs.
#[derive(Debug, Clone)]
pub struct OperatorSettings {
    /// Where the API server is.
    pub target: Target,
    /// The namespace of the Lease; else the pod's or the context's own.
    pub namespace: Option<String>,
    /// The name of the Lease.
    pub lease: String,
    /// How long a leader that is silent keeps it.
    pub lease_duration: Duration,
    /// Whether `DNSEndpoint` objects are read too.
    pub endpoints: bool,
    /// Whether lists come as streams, where the server knows them.
    pub streaming: bool,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub listen: Option<SocketAddr>,
    /// When what was programmed counts as stale.
    pub stale_after: Duration,
    /// When a deletion that cannot be done is given up.
    pub let_go_after: Duration,
    /// How ExternalDNS's webhook is served from here; none: it is not.
    pub webhook: Option<WebhookSettings>,
}

/// Why an operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The API server cannot be used.
    #[error(transparent)]
    Api(#[from] CallError),
    /// The cluster is not the one that it began with.
    #[error(
        "the API server is of another cluster than before (namespace kube-system: {now}, was {was}); start again to work for that one"
    )]
    AnotherCluster {
        /// Its UID at the start.
        was: String,
        /// Its UID now.
        now: String,
    },
    /// The endpoints cannot be served.
    #[error("--listen {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// ExternalDNS's webhook cannot be served.
    #[error(transparent)]
    Webhook(#[from] webhook::Stopped),
}

/// Runs until `stop`. `say` tells a person what happens.
///
/// # Errors
/// What keeps it from starting at all; later troubles are waited out.
pub async fn operate(
    settings: OperatorSettings,
    config: Config,
    stop: CancellationToken,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), Stopped> {
    // A webhook that cannot serve ends the process, and no other way round.
    let stop = stop.child_token();
    let numbers: Arc<Numbers> = Arc::default();
    // Its port is open before anything else: ExternalDNS gives up after five tries.
    let mut provider =
        settings.webhook.clone().map(|webhook| Provider::open(webhook, Arc::clone(&numbers), stop.clone()));
    let operated = operate_records(settings, config, &stop, (numbers, &mut provider), say).await;
    stop.cancel();
    if let Some(provider) = provider {
        provider.end().await?;
    }
    operated
}

async fn operate_records(
    settings: OperatorSettings,
    config: Config,
    stop: &CancellationToken,
    (numbers, provider): (Arc<Numbers>, &mut Option<Provider>),
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), Stopped> {
    let access = Access::find(&settings.target).await?;
    let board = Arc::new(Board::default());
    board.count(|counts| counts.missing = vec!["the API server".to_owned()]);
    if let Some(address) = settings.listen {
        let page: Arc<dyn metrics::Health> = match provider {
            Some(_) => Arc::new(Page { board: Arc::clone(&board), numbers }),
            None => board.clone(),
        };
        let served = metrics::serve(address, page, stop.clone()).await;
        let served = served.map_err(|error| Stopped::Listen { address, error })?;
        say(&format!("metrics at http://{served}/metrics"));
    }
    let identity = identity();
    let calls = Calls::new(access.client()?, identity.clone());
    let Some(instance) = instance(&calls, stop, say).await else { return Ok(()) };
    let namespace = settings.namespace.clone().unwrap_or_else(|| access.namespace().to_owned());
    say(&format!("{} is {instance}; waiting for the lease {namespace}/{}", access.server(), settings.lease));
    board.count(|counts| counts.missing.clear());

    if let Some(provider) = provider {
        let pod = std::env::var("POD_NAME").ok().filter(|pod| !pod.is_empty()).map(|pod| (namespace.clone(), pod));
        provider.report_to(Calls::new(access.client()?, calls_reporter()), pod);
    }
    let lead = Lead::default();
    let (told, mut leading) = watch::channel(Leading::No(None));
    // The Lease has connections of its own, so that nothing that is written can hold it up.
    let keeping = CancellationToken::new();
    let lease = LeaseSettings {
        namespace,
        name: settings.lease.clone(),
        identity,
        duration: settings.lease_duration,
        period: settings.lease_duration / 5,
    };
    let errors = Arc::clone(&board.lease_errors);
    let keeper = tokio::spawn(keep(access.client()?, lease, lead.clone(), told, errors, keeping.clone()));
    let refused = Arc::clone(&board);
    let mut followed = follow(config, move || {
        refused.refused_reloads.fetch_add(1, Ordering::Relaxed);
    });
    let mut past: BTreeMap<Name, PastBrake> = BTreeMap::new();
    loop {
        let now = leading.borrow_and_update().clone();
        let Leading::Yes(number) = now else {
            if let Leading::No(Some(holder)) = &now {
                say(&format!("{holder} leads"));
            }
            board.count(|counts| counts.leader = false);
            provider.iter().for_each(Provider::rest);
            tokio::select! {
                () = stop.cancelled() => break,
                changed = leading.changed() => if changed.is_err() { break },
            }
            continue;
        };
        // Whoever answers now may be another cluster at the same address, with objects of its own.
        match self::instance(&calls, stop, say).await {
            Some(now) if now == instance => {}
            Some(now) => return Err(Stopped::AnotherCluster { was: instance, now }),
            None => break,
        }
        followed.versions.mark_unchanged();
        let config = followed.config.borrow().clone();
        let setting = Setting {
            config,
            instance: instance.clone(),
            client: access.client()?,
            calls: Calls::new(access.client()?, calls_reporter()),
            streaming: settings.streaming,
            endpoints: settings.endpoints,
            stale_after: settings.stale_after,
            let_go_after: settings.let_go_after,
            lead: lead.clone(),
            board: Arc::clone(&board),
        };
        say("leading");
        board.set_modes(BTreeMap::new());
        provider.iter().for_each(|provider| provider.lead(&setting.config, &instance, &lead, &board));
        let mut term = Term::new(setting);
        let end = term.run(&mut past, number, &mut leading, stop, &mut followed.versions).await;
        drop(term);
        match end {
            End::Stopped => break,
            End::Deposed => say("not leading any more: nothing is written"),
            End::Reload => say("the configuration was read again"),
            End::Rewound => say("beginning anew with the restored data"),
        }
    }
    keeping.cancel();
    // It gives the Lease back, within its own deadline.
    let _ = keeper.await;
    Ok(())
}

/// Who we are: unique to this process, and readable.
fn identity() -> String {
    let mut bytes = [0u8; 4];
    let _ = getrandom::fill(&mut bytes);
    let suffix = u32::from_be_bytes(bytes);
    format!("{}_{suffix:08x}", calls_reporter())
}

/// The pod or host, as events name it.
fn calls_reporter() -> String {
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let own = std::env::var("POD_NAME").ok().or_else(|| read("/proc/sys/kernel/hostname"));
    own.filter(|name| !name.is_empty()).unwrap_or_else(|| "knotwork".to_owned())
}

/// Who holds the owner id: the cluster, by the UID of its namespace kube-system. Waits for a server that is away.
async fn instance(calls: &Calls, stop: &CancellationToken, say: &mut (dyn FnMut(&str) + Send)) -> Option<String> {
    let mut said = None;
    loop {
        match calls.get(Resource::Namespace, "", "kube-system").await {
            Ok(seen) if !seen.uid.is_empty() => return Some(seen.uid),
            Ok(_) => return None,
            Err(error) => {
                if said != Some(error.word()) {
                    said = Some(error.word());
                    say(&format!(
                        "the API server cannot tell who this cluster is (its namespace kube-system): {error}; trying again"
                    ));
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
