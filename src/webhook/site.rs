//! One term of a webhook: desks for the zones of one configuration, and workers for their PTRs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::api::{Api, Counter, Tell};
use super::desk::{Desk, DeskSettings, Known, WAITING};
use super::numbers::Numbers;
use super::reverse::{self, Place, Source};
use super::run::WebhookSettings;
use super::state::State;
use crate::external::adjust;
use crate::external::registry::Owners;
use crate::knot::Server;
use crate::model::{Name, is_reverse};
use crate::source::{Config, WebhookConfig, ZoneSettings};
use crate::spec::{ZoneEntry, Zones};
use crate::zone::worker::Gate;
use crate::zone::{DhcidBoard, Engine, EngineError, EngineOptions, Role};

/// Whether a zone may be written to now.
pub type MayWrite = Arc<dyn Fn(&Name) -> bool + Send + Sync>;

/// What a term begins with.
#[derive(Clone)]
pub struct Term {
    /// Servers and zones, with the instance as which is written.
    pub config: Config,
    /// For whom.
    pub webhook: WebhookConfig,
    /// Asked before anything is written to a zone; none: it may.
    pub may_write: Option<MayWrite>,
    /// Who hears of what is refused, beside the log.
    pub tell: Option<Tell>,
}

/// A term that runs.
pub struct Site {
    /// What answers.
    pub api: Arc<Api>,
    stop: CancellationToken,
    desks: Vec<AbortOnDropHandle<()>>,
}

impl Site {
    /// Begins a term.
    ///
    /// # Errors
    /// The first zone whose engine cannot be made.
    pub fn start(
        settings: &WebhookSettings,
        term: &Term,
        numbers: &Arc<Numbers>,
        state: &Arc<State>,
    ) -> Result<Site, EngineError> {
        let Term { config, webhook, may_write, tell } = term;
        let stop = CancellationToken::new();
        let owners = Arc::new(Owners { own: webhook.owner.clone(), migrate_from: webhook.migrate_from.clone() });
        let board: Arc<DhcidBoard> = Arc::default();
        let (mut counters, mut places, mut desks) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for server in &config.servers {
            let connection = Arc::new(Server::new(server.server.clone()));
            for zone in server.zones.iter().filter(|zone| webhook.serves(&zone.rules.zone)) {
                let (may, apex) = (may_write.clone(), zone.rules.zone.clone());
                let gate = may.map(|may| -> Gate { Arc::new(move || may(&apex)) });
                let desk = DeskSettings {
                    owners: Arc::clone(&owners),
                    default_ttl: webhook.default_ttl.unwrap_or(zone.default_ttl),
                    adopt_unmarked: settings.adopt_unmarked,
                    dry_run: settings.dry_run || zone.rules.observe,
                    release: zone.release.iter().cloned().collect(),
                    gate: gate.clone(),
                    state: Arc::clone(state),
                };
                let (counter, task) = seat(&connection, zone, webhook, desk, &board, &stop)?;
                counters.insert(zone.rules.zone.clone(), counter);
                desks.push(task);
                if is_reverse(&zone.rules.zone) {
                    let mut rules = zone.rules.clone();
                    rules.owner = webhook.ptr_owner();
                    rules.observe |= settings.dry_run;
                    let options = reverse::options(zone.check_interval, gate.clone());
                    let (server, release) = (Arc::clone(&connection), zone.release.iter().cloned().collect());
                    places.insert(zone.rules.zone.clone(), Place { rules, server, options, release });
                }
            }
        }
        let known: BTreeMap<Name, watch::Receiver<Known>> =
            counters.iter().map(|(zone, counter): (&Name, &Counter)| (zone.clone(), counter.known.clone())).collect();
        numbers.set_zones(known.clone());
        let zones = config.zones().filter(|zone| counters.contains_key(&zone.rules.zone));
        let entries = zones.map(|zone| ZoneEntry { name: zone.rules.zone.clone(), default_ttl: zone.default_ttl });
        let zones = Zones::new(entries, &config.label);
        let rules = adjust::Rules {
            min_ttl: webhook.min_ttl,
            default_ttl: webhook.default_ttl,
            // Without a reverse zone nobody makes any.
            ptr: (!places.is_empty()).then_some(webhook.ptr),
        };
        if !places.is_empty() {
            let source = Source { owner: webhook.owner.clone(), zones: zones.clone(), known };
            let task = reverse::run(source, places, board, Arc::clone(numbers), stop.clone());
            desks.push(AbortOnDropHandle::new(tokio::spawn(task)));
        }
        let api = Arc::new(Api {
            zones,
            counters,
            rules,
            most: settings.max_body_size,
            numbers: Arc::clone(numbers),
            said: Mutex::default(),
            tell: tell.clone(),
        });
        Ok(Site { api, stop, desks })
    }

    /// Ends a term; what its desks have begun they end.
    pub async fn stop(self) {
        self.stop.cancel();
        let ended = futures_util::future::join_all(self.desks);
        // An UPDATE whose server is silent is not waited for: the next term reads the zone before it writes.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(10), ended).await;
    }
}

fn seat(
    connection: &Arc<Server>,
    zone: &ZoneSettings,
    webhook: &WebhookConfig,
    settings: DeskSettings,
    board: &Arc<DhcidBoard>,
    stop: &CancellationToken,
) -> Result<(Counter, AbortOnDropHandle<()>), EngineError> {
    let mut rules = zone.rules.clone();
    // A writer of its own in the zone, beside the one of the same configuration that writes static records.
    rules.owner = webhook.marker_owner();
    let affixes = rules.external_dns.clone();
    let options = EngineOptions { role: Role::Resident, one_tenant: true, ..EngineOptions::default() };
    let mut engine = Engine::new(Arc::clone(connection), rules, options)?;
    engine.join(board);
    let (tell, known) = watch::channel(Known::default());
    let (asks, asked) = mpsc::channel(WAITING);
    let task = tokio::spawn(Desk::new(engine, settings, tell).run(asked, stop.clone()));
    Ok((Counter { asks, known, affixes }, AbortOnDropHandle::new(task)))
}
