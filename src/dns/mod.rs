//! DNS messages as bytes: parsing and writing, TSIG, UPDATE, zone transfers, and what servers mean by their answers.
//!
//! No sockets and no clock: time is a parameter in Unix seconds.

pub mod explain;
mod message;
pub mod tsig;
mod tsig_record;
pub mod update;
mod wire;
pub mod xfr;

pub use message::{Class, Message, Opcode, Question, Rcode, Record, serial_newer, soa_serial};
pub use wire::WireError;
