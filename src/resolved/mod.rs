//! A host's resolver as it is: systemd-resolved and its neighbours over D-Bus, links by netlink, files of the host.
//!
//! [`gather`] puts all of it into [`HostFacts`](crate::split::HostFacts); the typed calls ([`resolve1`], [`systemd1`],
//! [`network1`], [`nm`]) also change things, one call at a time: what order they come in is the host engine's matter.

pub mod bus;
pub mod conf;
mod error;
pub mod fault;
pub mod files;
pub mod gather;
pub mod links;
pub mod netlink;
pub mod network1;
pub mod nm;
pub mod nm_profiles;
mod owners;
pub mod plain;
pub mod resolve1;
pub mod statistics;
pub mod systemd1;
pub mod watch;
mod wire;
mod write;

pub use bus::Bus;
pub use error::{BusError, Reason};
pub use write::WriteError;
