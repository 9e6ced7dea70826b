//! RDATA against its own laws, against hickory-proto, BIND and Knot, and against the examples of the RFCs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

/// Twenty times as many in `./test full`.
fn cases(usual: u32) -> u32 {
    if support::parts::tier() == support::parts::Tier::Full { usual * 20 } else { usual }
}

#[path = "rdata/laws.rs"]
mod laws;
#[path = "rdata/others.rs"]
mod others;
#[path = "rdata/rfcs.rs"]
mod rfcs;
#[path = "rdata/wires.rs"]
mod wires;
