//! What the integration tests share: real servers on free loopback ports, tiers, waiting.
//!
//! A test that needs a real part begins with `let Some(knot) = parts::need("knot") else { return };`. A missing part is
//! said loudly and passes on a desk, and fails with `CI=true`; what ran is counted for the table of `./test`.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

pub mod bind;
pub mod dhcp;
pub mod embedded;
pub mod engine;
pub mod external;
pub mod fleet;
pub mod guarded;
pub mod knot;
pub mod kstatus;
pub mod kube;
pub mod machine;
pub mod operator;
pub mod parts;
pub mod proxy;
pub mod resolved;
pub mod schema;
pub mod site;
pub mod wait;
pub mod webhook;
pub mod writer;
