//! Which DNS servers a host asks for a name, and what a policy makes of that. Pure.
//!
//! [`facts`] is what was seen on one host.

pub mod facts;
pub mod lint_rules;
pub mod lower;
pub mod lower_merge;
pub mod policy;
mod policy_reverse;
mod routed;
mod server;
mod version;
pub mod wish;

pub use facts::HostFacts;
pub use routed::RoutedDomain;
pub use server::DnsServer;
pub use version::SystemdVersion;
