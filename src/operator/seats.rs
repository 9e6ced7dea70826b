//! The workers of one term: one for each zone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::knot::Server;
use crate::model::{ClaimsEdit, Name};
use crate::source::{Config, ZoneSettings};
use crate::zone::worker::{self, Gate, WorkerOptions};
use crate::zone::{DhcidBoard, Engine, EngineError, EngineOptions, Mailbox, PastBrake, Role, ZoneStatus};

/// How long a worker may go on with what it has begun when it is stopped in peace.
const GRACE: Duration = Duration::from_secs(5);

/// One zone with its worker.
pub struct Seat {
    /// What the configuration says of the zone.
    pub settings: ZoneSettings,
    /// What the worker is told.
    pub mailbox: Mailbox,
    /// What it tells.
    pub status: watch::Receiver<Arc<ZoneStatus>>,
    server: Arc<Server>,
    cancel: CancellationToken,
    // A worker whose term is over ends with its seat, wherever it is.
    task: AbortOnDropHandle<()>,
    _herald: AbortOnDropHandle<()>,
}

/// All of them.
pub struct Seats {
    seats: BTreeMap<Name, Seat>,
    board: Arc<DhcidBoard>,
    gate: Gate,
    instance: String,
    told: mpsc::Sender<Name>,
}

/// What a zone's worker begins with.
pub struct Beginning {
    /// Whether it only looks on.
    pub observe: bool,
    /// All claims.
    pub claims: ClaimsEdit,
    /// What the brake of the worker before it remembers.
    pub past: PastBrake,
}

impl Seats {
    /// No seats yet. `instance`: who holds the owner id; `gate`: whether we may write; `told` hears of zones with news.
    pub fn new(instance: String, gate: Gate, told: mpsc::Sender<Name>) -> Seats {
        Seats { seats: BTreeMap::new(), board: Arc::default(), gate, instance, told }
    }

    /// Starts the workers of all configured zones.
    ///
    /// # Errors
    /// The first zone whose engine cannot be made.
    pub fn start(&mut self, config: &Config, mut begin: BTreeMap<Name, Beginning>) -> Result<(), EngineError> {
        let mut made = Vec::new();
        for settings in &config.servers {
            let server = Arc::new(Server::new(settings.server.clone()));
            for zone in &settings.zones {
                let Some(beginning) = begin.remove(&zone.rules.zone) else { continue };
                let engine = self.engine(&server, zone, &beginning)?;
                made.push((Arc::clone(&server), zone.clone(), engine, beginning.claims));
            }
        }
        // All are at the board before the first of them plans.
        for (_, _, engine, _) in &mut made {
            engine.join(&self.board);
        }
        for (server, settings, engine, claims) in made {
            self.seat(server, settings, engine, claims);
        }
        Ok(())
    }

    /// Starts the worker of one zone anew.
    ///
    /// # Errors
    /// When its engine cannot be made.
    pub async fn restart(&mut self, zone: &Name, beginning: Beginning) -> Result<(), EngineError> {
        let Some(seat) = self.seats.remove(zone) else { return Ok(()) };
        let (server, settings) = (Arc::clone(&seat.server), seat.settings.clone());
        seat.stop().await;
        let mut engine = self.engine(&server, &settings, &beginning)?;
        engine.join(&self.board);
        self.seat(server, settings, engine, beginning.claims);
        Ok(())
    }

    fn engine(&self, server: &Arc<Server>, zone: &ZoneSettings, beginning: &Beginning) -> Result<Engine, EngineError> {
        let options = EngineOptions { role: Role::Resident, one_tenant: false, ..EngineOptions::default() };
        let mut rules = zone.rules.clone();
        rules.observe = beginning.observe;
        rules.instance.clone_from(&self.instance);
        let mut engine = Engine::new(Arc::clone(server), rules, options)?;
        engine.remember_brake(&beginning.past);
        Ok(engine)
    }

    fn seat(&mut self, server: Arc<Server>, settings: ZoneSettings, engine: Engine, claims: ClaimsEdit) {
        let zone = engine.zone().clone();
        let mailbox = Mailbox::default();
        mailbox.edit(claims);
        let (tell, status) = watch::channel(Arc::new(ZoneStatus::new(&engine)));
        let cancel = CancellationToken::new();
        let options = WorkerOptions {
            poll_idle: settings.check_interval,
            grace: GRACE,
            gate: Some(Arc::clone(&self.gate)),
            ..WorkerOptions::default()
        };
        let task = tokio::spawn(worker::run(engine, mailbox.clone(), tell, cancel.clone(), options));
        let (mut news, told, name) = (status.clone(), self.told.clone(), zone.clone());
        let herald =
            tokio::spawn(async move { while news.changed().await.is_ok() && told.send(name.clone()).await.is_ok() {} });
        let (task, herald) = (AbortOnDropHandle::new(task), AbortOnDropHandle::new(herald));
        self.seats.insert(zone, Seat { settings, mailbox, status, server, cancel, task, _herald: herald });
    }

    /// One of them.
    pub fn get(&self, zone: &Name) -> Option<&Seat> {
        self.seats.get(zone)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Seat)> {
        self.seats.iter()
    }

    /// Ends all workers; what they have begun they may end.
    pub async fn stop(&mut self) {
        let seats = std::mem::take(&mut self.seats);
        seats.values().for_each(|seat| seat.cancel.cancel());
        for (_, seat) in seats {
            seat.stop().await;
        }
    }
}

impl Seat {
    async fn stop(self) {
        self.cancel.cancel();
        // One that does not end is ended: nothing of it may write beside its successor.
        let _ = tokio::time::timeout(GRACE + Duration::from_secs(2), self.task).await;
    }
}
