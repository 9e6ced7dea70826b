//! The embedded authority: a real server of zones in memory, for `knotwork demo` and for tests that need a server to
//! misbehave on command.
//!
//! It answers queries, takes TSIG-signed UPDATEs (RFC 2136, atomic), and hands out AXFR and IXFR. Where servers differ it
//! does as Knot 3.2 does (`tests/authority_tools.rs` compares the two). [`Faults`] makes it lie, stall and drop.

mod faults;
mod query;
mod server;
mod store;
mod transfer;
mod update;
mod zonefile;

pub use faults::{Fault, Faults, Times};
pub use server::{Authority, AuthorityConfig, Counters, Handle};
pub use store::{Store, ZoneState};
pub use zonefile::{ZoneFileError, parse as parse_zone};

#[cfg(test)]
mod tests;
