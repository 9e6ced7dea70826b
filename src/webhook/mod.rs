//! `knotwork webhook`: a provider of ExternalDNS's webhook API on the record engine.

mod answer;
mod api;
mod body;
mod desk;
mod numbers;
mod reverse;
mod run;
mod site;
mod state;

pub use api::Tell;
pub use numbers::Numbers;
pub use run::{MAX_BODY_SIZE, Stopped, WebhookSettings, serve};
pub use site::{MayWrite, Term};
