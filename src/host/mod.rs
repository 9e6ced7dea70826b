//! The host engine: one transaction at a time takes a host from what it is to what is declared, or back.
//!
//! What must be done is decided by `hostplan`, which is pure; here it is carried out in an order that never leaks and never
//! leaves the host without a resolver: everything that is needed to undo it is on disk before the first change
//! ([`journal`]), what was done is read back, names are looked up, and whatever fails is undone and looked at again.

mod deadman;
mod error;
pub mod journal;
mod links;
mod probe_paths;
mod probes;
mod profiles;
mod repair;
mod run;
mod services;
pub mod store;
mod survey;
mod transaction;
mod undo;

pub use error::HostError;
pub use probe_paths::{ProbedBy, probe_by_paths};
pub use probes::{ANYBODY, Probed};
pub use repair::Repaired;
pub use services::rewrite;
pub use store::Store;
pub use survey::{Survey, Under, Which, under_policies};
pub use transaction::{Applied, Confirm, DEAD_MAN, Host, HostOptions, Step};
pub use undo::Undone;

/// Looks up what the policies want looked up, once.
pub async fn probe(bus: &crate::resolved::Bus, wish: &crate::split::wish::Wish) -> Vec<Probed> {
    let mut all = Vec::new();
    for one in &wish.probes {
        all.push(probes::once(bus, probes::Asked::Name(&one.value), wish.systemd).await);
    }
    all
}
