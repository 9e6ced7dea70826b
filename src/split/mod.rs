//! Which DNS servers a host asks for a name, and what a policy makes of that. Pure.
//!
//! [`facts`] is what was seen on one host.

mod domain;
pub mod facts;
mod server;
mod version;

pub use domain::RoutedDomain;
pub use facts::HostFacts;
pub use server::DnsServer;
pub use version::SystemdVersion;
