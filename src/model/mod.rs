//! The words of DNS as types: names, record types, record sets, objects. Pure.

mod claim;
mod edit;
mod idn;
mod name;
pub mod rdata;
mod reverse;
mod rrset;
mod rrtype;

pub use claim::{AdoptPolicy, Claim, Claims, DeletionPolicy, ObjectId, ObjectState, OrphanKey, SourceHealth};
pub use edit::{ClaimsEdit, Edited};
pub use name::{Name, NameError};
pub use reverse::{address_of, classless_range, is_reverse, reverse_name, reverse_name_in};
pub use rrset::{Rdata, RrSet};
pub use rrtype::RrType;

/// A map for the paths that every record takes: its hash is several times quicker than the standard one's. Seeded anew
/// in each process.
pub type FastMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
/// The set to [`FastMap`].
pub type FastSet<K> = std::collections::HashSet<K, foldhash::fast::RandomState>;
