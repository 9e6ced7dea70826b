//! The `knotwork` program.
fn main() {}
