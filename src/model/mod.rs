//! The words of DNS as types: names, record types, record sets, objects. Pure.

mod claim;
mod name;
pub mod rdata;
mod rrset;
mod rrtype;

pub use claim::{AdoptPolicy, Claim, Claims, DeletionPolicy, ObjectId, ObjectState, SourceHealth};
pub use name::{Name, NameError};
pub use rrset::{Rdata, RrSet};
pub use rrtype::RrType;
