//! Which DNS servers a host asks for a name, and what a policy makes of that. Pure.
//!
//! [`facts`] is what was seen on one host.

pub mod facts;
mod routed;
mod server;
mod version;

pub use facts::HostFacts;
pub use routed::RoutedDomain;
pub use server::DnsServer;
pub use version::SystemdVersion;
