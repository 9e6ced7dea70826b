//! Metrics: what happened, as numbers, for a scrape or for node-exporter's text collector.
//!
//! Labels of zones are their names and fixed words only: no text that an error could fill.

mod file;
mod serve;
mod snapshot;

pub use file::write_file;
pub use serve::{Health, serve};
pub(crate) use snapshot::label;
pub use snapshot::{Snapshot, ZoneNumbers};
