//! `knotwork agent`: stays on a host, holds what its policies declare, and says how it stands.
//!
//! It looks when something hints at a change (links, names on the bus, files, the policies themselves), and slowly
//! without any hint. What differs from policies that stand is put back ([`crate::host::Host::repair`]); new policies go
//! through the whole transaction with its probes and its way back. A policy that is broken, refused or has failed changes
//! nothing: the last one that stood is held. Broken DNS never ends the agent, and no other end of it undoes anything.

mod fields;
mod guard;
mod notify;
mod numbers;
mod page;
mod pass;
mod resolver;
mod war;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::host::{HostError, HostOptions, Store};
use crate::metrics::{self, Health};
use crate::resolved::Bus;
use crate::resolved::files::HostFiles;
use crate::resolved::watch::{FileWatch, Hint, watch_bus, watch_kernel};
use crate::split::SystemdVersion;
use guard::Guard;
pub use numbers::{Numbers, Problem};

/// Hints that wait; more of them tell nothing new.
const HINTS: usize = 64;

/// After a hint, for what comes with it: a link that comes up says so several times within milliseconds.
const SETTLE: Duration = Duration::from_millis(10);

/// So many looks in a row may follow hints at once; then one a second. A node of a cluster has links that come and go all
/// the time.
const LOOKS: u32 = 6;

/// How an agent runs.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// The host.
    pub host: HostOptions,
    /// Policies; none: those that were applied last.
    pub inputs: Vec<String>,
    /// How often the host is looked at without a hint.
    pub poll: Duration,
    /// When a change of policy is undone by a timer of systemd, should the agent die in the middle.
    pub dead_man: Duration,
    /// For node-exporter's text collector.
    pub metrics_file: Option<PathBuf>,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub listen: Option<SocketAddr>,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The host's memory, or another agent that holds it.
    #[error("{0}")]
    Host(#[from] HostError),
    /// The address is not to be had.
    #[error("{0}: {1}; give another address with --listen")]
    Listen(SocketAddr, std::io::Error),
    /// The kernel gives no watch.
    #[error("{0}: {1}")]
    Watch(&'static str, String),
}

/// The bus as the guard knows it.
type SharedBus = Arc<Mutex<Option<(Bus, SystemdVersion)>>>;

/// What everybody may read.
#[derive(Debug, Default)]
pub struct Board(Mutex<Numbers>);

impl Board {
    fn with(&self) -> MutexGuard<'_, Numbers> {
        // Numbers are whole whoever panicked over them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health for Board {
    fn text(&self) -> String {
        self.with().text()
    }

    fn not_ready(&self) -> Vec<String> {
        if self.with().passes == 0 { vec!["this host".to_owned()] } else { Vec::new() }
    }
}

/// An agent at work.
struct Agent {
    options: AgentOptions,
    bus: Option<Bus>,
    /// The same for the guard, with the release of systemd, once that is known.
    shared_bus: SharedBus,
    bus_watch: Option<JoinHandle<()>>,
    hints: mpsc::Sender<Hint>,
    files: FileWatch,
    guard: Arc<Guard>,
    board: Arc<Board>,
    /// A policy that would not stand, and when it is tried again.
    failed: Option<pass::Failed>,
    /// Failures in a row of what is no policy's fault.
    stumbles: u32,
    /// Since when resolved runs without its name on the bus.
    nameless: Option<Instant>,
    probing: Option<JoinHandle<()>>,
    written: Option<(Instant, String)>,
}

/// Runs until cancelled.
///
/// # Errors
/// [`AgentError`] at the start; nothing that happens later ends it.
pub async fn run(options: AgentOptions, cancel: CancellationToken) -> Result<(), AgentError> {
    let _held = Store::hold(&options.host.state)?;
    let board = Arc::new(Board::default());
    if let Some(listen) = options.listen {
        let address = metrics::serve(listen, board.clone(), cancel.clone())
            .await
            .map_err(|error| AgentError::Listen(listen, error))?;
        tracing::info!(%address, "metrics are served");
    }
    let (hints, mut heard) = mpsc::channel(HINTS);
    let (raw, of_files) = mpsc::channel(HINTS);
    let watch = |what| move |error: std::io::Error| AgentError::Watch(what, error.to_string());
    let host_files = HostFiles::new(&options.host.root);
    let files =
        FileWatch::new(host_files.clone(), raw).map_err(watch("no watch on files (fs.inotify.max_user_instances)"))?;
    let _kernel =
        watch_kernel(hints.clone()).map_err(|error| AgentError::Watch("no watch on links", error.to_string()))?;
    let guard = Arc::new(Guard::new(host_files));
    let shared_bus = SharedBus::default();
    tokio::spawn(stand_guard(of_files, guard.clone(), (board.clone(), shared_bus.clone()), hints.clone()));
    let mut agent = Agent {
        options,
        bus: None,
        shared_bus,
        bus_watch: None,
        hints,
        files,
        guard,
        board,
        failed: None,
        stumbles: 0,
        nameless: None,
        probing: None,
        written: None,
    };
    let mut looks = Looks::new(Instant::now());
    let mut next = agent.look(true).await;
    notify::notify("READY=1");
    let mut poll = Instant::now() + agent.options.poll;
    loop {
        let until = next.map_or(poll, |next| next.min(poll));
        tokio::select! {
            () = cancel.cancelled() => break,
            hint = heard.recv() => {
                let Some(hint) = hint else { break };
                agent.hear(&hint);
                tokio::time::sleep(SETTLE).await;
                let wait = looks.take(Instant::now());
                if !wait.is_zero() {
                    tokio::select! {
                        () = cancel.cancelled() => break,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                while let Ok(hint) = heard.try_recv() {
                    agent.hear(&hint);
                }
                next = agent.look(false).await;
            }
            () = tokio::time::sleep_until(until.into()) => {
                let is_poll = Instant::now() >= poll;
                if is_poll {
                    poll = Instant::now() + agent.options.poll;
                }
                next = agent.look(is_poll).await;
            }
        }
    }
    notify::notify("STOPPING=1");
    tracing::info!("the agent stops; the host stays as it is");
    Ok(())
}

impl Agent {
    fn hear(&mut self, hint: &Hint) {
        tracing::debug!(?hint, "heard");
        if *hint == Hint::BusGone {
            self.bus = None;
            *self.shared_bus.lock().unwrap_or_else(PoisonError::into_inner) = None;
            if let Some(watch) = self.bus_watch.take() {
                watch.abort();
            }
        }
    }

    /// The bus, connected anew where it was lost.
    async fn connect(&mut self) -> Result<Bus, crate::resolved::BusError> {
        if let Some(bus) = &self.bus {
            return Ok(bus.clone());
        }
        let bus = Bus::connect(self.options.host.bus.as_deref()).await?;
        self.bus_watch = Some(watch_bus(&bus, self.hints.clone()).await?);
        self.bus = Some(bus.clone());
        Ok(bus)
    }
}

/// Puts resolv.conf back as soon as the kernel says that it changed, also while a look at the host is under way; then
/// passes the hint on.
async fn stand_guard(
    mut of_files: mpsc::Receiver<Hint>,
    guard: Arc<Guard>,
    (board, bus): (Arc<Board>, SharedBus),
    hints: mpsc::Sender<Hint>,
) {
    while let Some(hint) = of_files.recv().await {
        let heard = Instant::now();
        if let Hint::File(path) = &hint {
            match guard.mend(path, heard) {
                Ok(Some(mended)) => {
                    tracing::warn!(path, took = ?mended.took, "somebody changed it: put back");
                    board.with().mended(&mended);
                }
                Ok(None) => {}
                Err(error) => rewrite(&guard, &bus, path, heard, &board, &error.to_string()).await,
            }
        }
        if hints.send(hint).await.is_err() {
            return;
        }
    }
}

/// Resolved's own directory is not ours to write in without the capability for it: resolved is asked to.
async fn rewrite(guard: &Guard, bus: &SharedBus, path: &str, heard: Instant, board: &Board, why: &str) {
    let bus = bus.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if path != crate::hostplan::paths::RESOLV_CONF
        && let Some((bus, version)) = bus
        && crate::host::rewrite(&bus, guard.files(), version).await
    {
        let mended = guard::Mended { path: path.to_owned(), took: heard.elapsed() };
        tracing::warn!(path, took = ?mended.took, "somebody changed it: resolved wrote it anew");
        return board.with().mended(&mended);
    }
    tracing::warn!(path, why, "somebody changed it, and it cannot be put back so");
}

/// How many looks may follow hints at once.
struct Looks {
    left: f64,
    at: Instant,
}

impl Looks {
    fn new(now: Instant) -> Looks {
        Looks { left: f64::from(LOOKS), at: now }
    }

    /// Takes one, and says how long to wait for it: one more a second.
    fn take(&mut self, now: Instant) -> Duration {
        self.left = (self.left + now.duration_since(self.at).as_secs_f64()).min(f64::from(LOOKS)) - 1.0;
        self.at = now;
        if self.left >= 0.0 {
            return Duration::ZERO;
        }
        let wait = Duration::from_secs_f64(-self.left);
        // It is used when the wait is over.
        (self.left, self.at) = (0.0, now + wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_looks_come_at_once_and_then_one_a_second() {
        let start = Instant::now();
        let mut looks = Looks::new(start);
        for _ in 0..LOOKS {
            assert_eq!(looks.take(start), Duration::ZERO);
        }
        assert_eq!(looks.take(start), Duration::from_secs(1));
        assert_eq!(looks.take(start + Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(looks.take(start + Duration::from_secs(60)), Duration::ZERO);
    }
}
