//! RDATA against its own laws, against hickory-proto, BIND and Knot, and against the examples of the RFCs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

#[path = "rdata/laws.rs"]
mod laws;
#[path = "rdata/others.rs"]
mod others;
#[path = "rdata/rfcs.rs"]
mod rfcs;
#[path = "rdata/wires.rs"]
mod wires;
