//! A real authoritative server in memory: queries, RFC 2136 UPDATE, AXFR and IXFR, TSIG, NOTIFY.
//!
//! `knotwork demo` runs it, and tests run against it, with [`Faults`] switched on where something
//! shall go wrong. Where servers differ it does as Knot DNS 3.2 (`knot.md` §2), so that what works here works there.
//!
//! - [`Store`]: the whole server as a pure function of its state, a request and the time;
//! - `query`, `update`, `transfer`: what the three kinds of requests do to a `zone`;
//! - `server` and `net`: the sockets around it.

mod acl;
mod faults;
mod net;
mod notify;
mod query;
mod reply;
mod request;
mod server;
mod store;
mod transfer;
mod update;
mod zone;
mod zonefile;

pub use acl::Grant;
pub use faults::{Asked, Fault, Faults, Times};
pub use reply::{Reply, Step};
pub use server::{Authority, AuthorityConfig, AuthorityError, Handle, Limits};
pub use store::{Counters, Store, Transport};
pub use zone::Zone;
pub use zonefile::{ZoneFileError, ZoneFileProblem};
