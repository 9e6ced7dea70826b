//! Knotwork keeps a network's names right in the zones of an authoritative server and on every host.
//!
//! Layers, arrows only point down (`docs/architecture.md` has the map, `tests/layers.rs` the guard):
//!
//! ```text
//! apps       agent · cli · operator            wiring and words for people
//! adapters   source · cluster · knot · authority · resolved   files, the Kubernetes API, sockets, servers, the bus
//! engine     zone                      one worker per zone: refresh, plan, apply, report
//! protocol   dns                       messages, TSIG, transfers: bytes, no sockets
//! core       model view ownership plan spec split hostplan external   pure: no I/O, no clock
//! ```

pub mod agent;
pub mod authority;
pub mod cli;
#[cfg(feature = "operator")]
pub mod cluster;
pub mod dns;
pub mod external;
pub mod host;
pub mod hostplan;
pub mod knot;
pub mod metrics;
pub mod model;
#[cfg(feature = "operator")]
pub mod operator;
pub mod ownership;
pub mod plan;
pub mod resolved;
pub mod source;
pub mod spec;
pub mod split;
pub mod view;
pub mod webhook;
pub mod zone;
