//! Which DNS servers a host asks for a name, and what a policy makes of that. Pure.
//!
//! [`facts`] is what was seen on one host; [`route`] says from it where systemd-resolved of a given version sends a
//! query, and why. The rules are those of systemd 240 to the newest, found in its source and tried on real daemons
//! (`tests/route_daemons.rs`).

pub mod facts;
pub mod lint;
mod lint_names;
mod lint_propose;
mod lint_route;
pub mod lint_rules;
pub mod lower;
pub mod lower_merge;
mod modes;
pub mod policy;
mod policy_reverse;
pub mod route;
#[cfg(test)]
mod route_tests;
#[cfg(test)]
mod route_versions_tests;
mod routed;
pub mod scope;
mod server;
pub mod special;
mod version;
pub mod wish;

pub use facts::HostFacts;
pub use route::{Path, Router};
pub use routed::RoutedDomain;
pub use server::DnsServer;
pub use version::SystemdVersion;
