//! The Kubernetes API as an adapter: following objects, writing to them with deadlines, and the Lease of the leader.
//!
//! Nothing in here decides what is written; that is the operator's. The watch is our own small loop over the client's
//! calls, not kube-runtime's: a list must be at least as new as the moment at which we became leader (that one asks for
//! resource version "0", which a lagging API server may answer from its cache), and a connection that went silent must be
//! noticed within its bookmarks' time.

mod access;
mod calls;
mod error;
mod follow;
mod lease;
mod resources;

pub use access::{Access, Target};
pub use calls::{Calls, Held, Notice, cut};
pub use error::CallError;
pub use follow::{Followed, follow};
pub use lease::{Decision, Lead, Leading, LeaseSettings, Sight, decide, keep};
pub use resources::{CRDS, Resource, Seen};
