//! RDATA: canonical form, presentation form both ways, names inside, builders for what people declare.
//!
//! One table ([`layout`]) says how each known type is laid out; everything else walks it:
//!
//! - [`wire`]: canonical form, well-formedness, names, decompression;
//! - `format` and `parse`: presentation form, with `svcb`, `loc` and `bitmap` for the parts that are languages of their own;
//! - `typed`: RDATA from the fields of a declaration, stricter than a zone file.

mod bitmap;
mod encoding;
mod error;
mod format;
mod layout;
mod loc;
mod parse;
mod shapes;
mod svcb;
mod token;
mod typed;
mod wire;

pub use error::RdataError;
pub use format::to_text;
pub use parse::from_text;
pub use typed::{
    a, aaaa, caa, ds, loc, mx, naptr, other, srv, sshfp, svcb, target, tlsa, txt, txt_from_text, txt_from_value,
    txt_value, uri,
};
pub use wire::{canonical, check, decompress, names_in, same};
