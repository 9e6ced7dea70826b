//! What tells that a host may have changed: its kernel, its bus, its files.
//!
//! A watcher never says what changed into what: whoever hears it looks again. Signals are hints that make a repair fast;
//! what gives none (domains and default routes that somebody sets over D-Bus emit nothing, `reference/host-dns.md` §3) is
//! found by the slow poll of whoever listens.

mod bus;
mod files;
mod kernel;

use tokio::sync::mpsc;

pub use bus::watch_bus;
pub use files::FileWatch;
pub use kernel::watch_kernel;

/// A hint that something may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hint {
    /// A link or an address came, went or changed.
    Links,
    /// A service of the bus came or went: its well-known name.
    Service(String),
    /// resolved says that a setting changed.
    Setting,
    /// The bus itself went away.
    BusGone,
    /// The path of a host's file.
    File(String),
    /// Something in a directory of policies.
    Policies,
    /// Lookups ended otherwise than the last time.
    Probes,
}

/// Where hints go. Bounded: whoever is full of hints needs no more of them to look.
pub type Hints = mpsc::Sender<Hint>;
