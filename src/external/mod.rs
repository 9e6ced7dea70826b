//! ExternalDNS's side of a zone: its endpoints as record sets and back, what it is shown, and what its changes come to. Pure.

pub mod adjust;
pub mod alias;
pub mod canonical;
pub mod catalogue;
pub mod endpoint;
pub mod list;
mod marks;
pub mod plan;
pub mod ptr;
mod refused;
pub mod registry;
pub mod request;

pub use endpoint::{Changes, DomainFilter, Endpoint, Property};
pub use refused::Refused;
