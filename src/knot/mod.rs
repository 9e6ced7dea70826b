//! Talking to an authoritative server: SOA polls, transfers and updates over sockets.
//!
//! A [`Server`] may have several addresses; a [`Session`] is one of them. A view, the updates made from it and their
//! read-back all use one session: another address may be another server with another copy of the zone.

mod error;
mod gate;
mod kind;
mod message;
mod seal;
mod soa;
mod stream;
#[cfg(test)]
mod tests;
mod transfer;
mod updates;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use error::{Exchange, Place, ServerError};
pub use updates::{Answered, UpdateResult, Updates, WIDE, WINDOW};

use crate::dns::tsig::Key;

/// How long to wait for what.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For a TCP connection.
    pub connect: Duration,
    /// For one UDP try of a SOA query.
    pub query: Duration,
    /// For the answer to an UPDATE. A healthy Knot may stall for a second, and five while it waits for a secondary.
    pub update: Duration,
    /// For a whole transfer.
    pub transfer: Duration,
    /// Between two octets of a transfer.
    pub progress: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(3),
            query: Duration::from_secs(1),
            update: Duration::from_secs(10),
            transfer: Duration::from_secs(300),
            progress: Duration::from_secs(10),
        }
    }
}

/// The least deadline of an UPDATE: below it, a healthy server looks broken (`reference/knot.md` fact 3).
pub const LEAST_UPDATE_TIMEOUT: Duration = Duration::from_secs(5);

/// Transfers from one address at a time.
const TRANSFERS: usize = 4;

/// What is needed to reach a server.
#[derive(Clone)]
pub struct ServerConfig {
    /// Its name in the configuration.
    pub name: String,
    /// Its addresses, tried in order; at least one.
    pub addresses: Vec<SocketAddr>,
    /// The address to speak from, where the server's ACL asks for one.
    pub source: Option<IpAddr>,
    /// The TSIG key.
    pub key: Option<Key>,
    /// Deadlines; the one of UPDATEs is raised to [`LEAST_UPDATE_TIMEOUT`].
    pub timeouts: Timeouts,
}

pub(crate) struct Settings {
    source: Option<IpAddr>,
    seal: seal::Seal,
    timeouts: Timeouts,
}

/// A server with its addresses. Cheap to share; zones on it share its connections.
pub struct Server {
    name: String,
    sessions: Vec<Arc<Session>>,
}

impl Server {
    /// A server; nothing is connected yet.
    pub fn new(config: ServerConfig) -> Server {
        let mut timeouts = config.timeouts;
        timeouts.update = timeouts.update.max(LEAST_UPDATE_TIMEOUT);
        let key_name = config.key.as_ref().map(|key| key.name().clone());
        let settings = Arc::new(Settings { source: config.source, seal: seal::Seal::new(config.key), timeouts });
        let sessions = config
            .addresses
            .iter()
            .map(|address| {
                Arc::new(Session {
                    address: *address,
                    key_name: key_name.clone(),
                    settings: Arc::clone(&settings),
                    poll_socket: tokio::sync::Mutex::new(None),
                    idle: tokio::sync::Mutex::new(Vec::new()),
                    turns: tokio::sync::Semaphore::new(TRANSFERS),
                    updates: OnceLock::new(),
                    asked_kind: AtomicBool::new(false),
                })
            })
            .collect();
        Server { name: config.name, sessions }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The session number `index`, counted round the addresses; `None` when the server has no address.
    pub fn session(&self, index: usize) -> Option<Arc<Session>> {
        self.sessions.get(index.checked_rem(self.sessions.len())?).cloned()
    }

    /// Number of addresses.
    pub fn address_count(&self) -> usize {
        self.sessions.len()
    }
}

/// One address of a server, with the connections to it.
pub struct Session {
    address: SocketAddr,
    key_name: Option<crate::model::Name>,
    settings: Arc<Settings>,
    poll_socket: tokio::sync::Mutex<Option<soa::PollSocket>>,
    /// Connections for transfers that wait for the next one.
    idle: tokio::sync::Mutex<Vec<tokio::net::TcpStream>>,
    /// Transfers that may run at once: a stalled one must not hold up another zone's.
    turns: tokio::sync::Semaphore,
    updates: OnceLock<Updates>,
    asked_kind: AtomicBool,
}

impl Session {
    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name of the TSIG key in use.
    pub fn key_name(&self) -> Option<&crate::model::Name> {
        self.key_name.as_ref()
    }

    /// The UPDATE channel, started when first asked for; call within a tokio runtime.
    pub fn updates(&self) -> &Updates {
        self.updates.get_or_init(|| Updates::start(Arc::clone(&self.settings), self.address))
    }

    /// Octets that signing adds to a message at most.
    pub fn signature_size(&self) -> usize {
        self.settings.seal.overhead()
    }

    /// The deadline of one UPDATE.
    pub fn update_timeout(&self) -> Duration {
        self.settings.timeouts.update
    }
}

/// An id that cannot be guessed. Without a source of randomness a counter at least keeps answers apart.
fn random_id() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let mut bytes = [0u8; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u16::from_ne_bytes(bytes),
        Err(_) => NEXT.fetch_add(1, Ordering::Relaxed),
    }
}
