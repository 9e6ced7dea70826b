//! The words of DNS as types: names, record types, record sets, objects. Pure.

mod claim;
mod idn;
mod name;
pub mod rdata;
mod reverse;
mod rrset;
mod rrtype;

pub use claim::{AdoptPolicy, Claim, Claims, DeletionPolicy, ObjectId, ObjectState, SourceHealth};
pub use name::{Name, NameError};
pub use reverse::{address_of, classless_range, reverse_name, reverse_name_in};
pub use rrset::{Rdata, RrSet};
pub use rrtype::RrType;
