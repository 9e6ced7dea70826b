//! Starting, stopping and looking into an authority.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::acl::Grant;
use super::faults::Faults;
use super::net;
use super::notify;
use super::store::{Counters, Store};
use super::update;
use super::zone::{Depth, Zone};
use super::zonefile::{self, ZoneFileError};
use crate::dns::tsig::Key;
use crate::dns::{Message, Rcode, update as wire_update};
use crate::model::Name;
use crate::plan::{Edit, Guard};
use crate::view::View;

/// What an authority shall be like.
#[derive(Debug, Clone)]
pub struct AuthorityConfig {
    /// Where it listens, UDP and TCP; with port 0 any port that is free for both.
    pub listen: SocketAddr,
    /// Zones: apex and the text of a zone file. Names without a final dot are relative to the apex.
    pub zones: Vec<(Name, String)>,
    /// Keys that may transfer and update; without any, everybody may.
    pub keys: Vec<Key>,
    /// Who is told of changes, over TCP.
    pub notify: Vec<SocketAddr>,
}

/// What few need to say of an authority.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Who may update and transfer; empty: every key everything, or anybody when there are no keys.
    pub grants: Vec<Grant>,
    /// The key that NOTIFYs are signed with, one of the configured.
    pub notify_key: Option<Name>,
    /// Commits kept for IXFR, for each zone.
    pub journal_commits: usize,
    /// Records kept for IXFR, for each zone.
    pub journal_records: usize,
    /// Octets that a message of a transfer has at most, single larger records aside.
    pub message_size: usize,
    /// Connections at a time; more are closed at once.
    pub max_connections: usize,
    /// How long a connection may be idle, and how long a client may take to read an answer or to send a request.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            grants: Vec::new(),
            notify_key: None,
            journal_commits: 10_000,
            journal_records: 1_000_000,
            message_size: 16_384,
            max_connections: 256,
            patience: Duration::from_secs(60),
        }
    }
}

/// Why an authority cannot start, or does not take a zone.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another address or port, or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: std::io::Error,
    },
    /// A zone's text is wrong.
    #[error(transparent)]
    Zone(#[from] ZoneFileError),
}

impl AuthorityError {
    /// The stable word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            AuthorityError::Listen { .. } => "CannotListen",
            AuthorityError::Zone(error) => error.reason(),
        }
    }
}

impl From<AuthorityError> for std::io::Error {
    fn from(error: AuthorityError) -> Self {
        std::io::Error::other(error)
    }
}

/// Starts authorities.
pub struct Authority;

impl Authority {
    /// Starts serving; call within a tokio runtime. The server stops when the handle is dropped.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn start(config: AuthorityConfig) -> Result<Handle, AuthorityError> {
        Authority::start_with(config, Limits::default()).await
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub async fn start_with(config: AuthorityConfig, limits: Limits) -> Result<Handle, AuthorityError> {
        let store = Store::new(&config, &limits)?;
        let (faults, counters) = (store.faults.clone(), Arc::clone(&store.counters));
        let error = |error| AuthorityError::Listen { address: config.listen, error };
        let (udp, tcp) = net::bind(config.listen).await.map_err(error)?;
        let addr = udp.local_addr().map_err(error)?;
        let shared = Arc::new(Shared {
            store: Mutex::new(store),
            changed: watch::Sender::new(0),
            stop: CancellationToken::new(),
            max_connections: limits.max_connections,
            patience: limits.patience,
        });
        let mut tasks = vec![
            tokio::spawn(net::datagrams(Arc::clone(&shared), udp)),
            tokio::spawn(net::connections(Arc::clone(&shared), tcp)),
        ];
        for target in config.notify {
            tasks.push(tokio::spawn(notify::run(Arc::clone(&shared), target, limits.notify_key.clone())));
        }
        Ok(Handle { addr, faults, counters, shared, tasks })
    }
}

/// What all parts of a running authority share.
pub(super) struct Shared {
    store: Mutex<Store>,
    /// The generation of the store.
    pub(super) changed: watch::Sender<u64>,
    pub(super) stop: CancellationToken,
    pub(super) max_connections: usize,
    pub(super) patience: Duration,
}

impl Shared {
    /// Uses the store, and tells who waits for changes.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.lock();
        let result = work(&mut store);
        let generation = store.generation;
        drop(store);
        self.changed.send_if_modified(|known| std::mem::replace(known, generation) != generation);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A running authority; it stops when this is dropped.
pub struct Handle {
    addr: SocketAddr,
    faults: Faults,
    counters: Arc<Counters>,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Where it answers, UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The fault switchboard.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How often what was asked.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A zone as it is now, history included; cheap.
    pub fn snapshot(&self, zone: &Name) -> Option<Zone> {
        self.shared.lock().zones.get(zone).cloned()
    }

    /// The records of a zone as they are now.
    pub fn view(&self, zone: &Name) -> Option<View> {
        // The view is made outside the lock: it may be large.
        self.snapshot(zone).map(|zone| zone.view())
    }

    /// The serial of a zone.
    pub fn serial(&self, zone: &Name) -> Option<u32> {
        self.shared.lock().zones.get(zone).map(Zone::serial)
    }

    /// Puts a zone back to an earlier state, serial and history and all: what a restored backup does.
    pub fn restore(&self, state: Zone) {
        self.shared.with(|store| {
            store.zones.insert(state.apex().clone(), state);
            store.generation += 1;
        });
    }

    /// Serves the zone of this zone file, in place of one of the same name; without history.
    ///
    /// # Errors
    /// [`ZoneFileError`].
    pub fn set_zone(&self, zone: &Name, text: &str) -> Result<(), ZoneFileError> {
        self.restore(zonefile::parse(zone, text)?);
        Ok(())
    }

    /// Serves a zone no more; says whether it did.
    pub fn remove_zone(&self, name: &Name) -> bool {
        self.shared.with(|store| store.zones.remove(name).is_some())
    }

    /// Forgets the history of all zones, so that IXFR is answered with whole ones.
    pub fn forget_history(&self) {
        self.shared.with(|store| store.zones.values_mut().for_each(Zone::forget));
    }

    /// Writes as an administrator at the server would: no key is asked for and no fault strikes. The steps are carried out
    /// in the order that [`wire_update::encode`] gives them.
    ///
    /// # Errors
    /// The rcode that an UPDATE with these prerequisites and steps would get; then nothing has changed.
    pub fn edit(&self, zone: &Name, guards: &[Guard], edits: &[Edit]) -> Result<(), Rcode> {
        let message = wire_update::encode(zone, 0, guards, edits);
        let message = Message::parse(&message).map_err(|_| Rcode::FORMERR)?;
        self.shared.with(|store| {
            let depth = store.depth;
            let zone = store.zones.get_mut(zone).ok_or(Rcode::NOTAUTH)?;
            if update::update(zone, &message, depth)? {
                store.generation += 1;
            }
            Ok(())
        })
    }

    /// Knows these keys from now on.
    pub fn set_keys(&self, keys: Vec<Key>) {
        self.shared.with(|store| store.keys = keys);
    }

    /// Allows this from now on.
    pub fn set_grants(&self, grants: Vec<Grant>) {
        self.shared.with(|store| store.grants = grants);
    }

    /// Stops and waits until the sockets are closed.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Store {
    /// The state that an authority starts with.
    ///
    /// # Errors
    /// [`ZoneFileError`].
    pub fn new(config: &AuthorityConfig, limits: &Limits) -> Result<Store, ZoneFileError> {
        let mut zones = BTreeMap::new();
        for (name, text) in &config.zones {
            zones.insert(name.clone(), zonefile::parse(name, text)?);
        }
        let grants = match (&limits.grants[..], &config.keys[..]) {
            ([], []) => vec![Grant::all(None)],
            ([], keys) => keys.iter().map(|key| Grant::all(Some(key.name().clone()))).collect(),
            (grants, _) => grants.to_vec(),
        };
        Ok(Store {
            zones,
            keys: config.keys.clone(),
            grants,
            depth: Depth { commits: limits.journal_commits, records: limits.journal_records },
            message_size: limits.message_size,
            faults: Faults::default(),
            counters: Arc::default(),
            generation: 0,
        })
    }
}
