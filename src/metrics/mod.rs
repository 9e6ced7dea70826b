//! Metrics: what happened, as numbers, for a scrape or for node-exporter's text collector.
//!
//! Labels are zones and fixed words only: no text that a user or an error could fill.

mod serve;
mod snapshot;

pub use serve::{Health, serve};
pub use snapshot::{Snapshot, ZoneNumbers, write_file};
