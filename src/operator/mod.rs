//! The operator: objects of a Kubernetes API server as claims, and what becomes of them as their status. The record engine
//! is the same as on the command line.
//!
//! ```text
//!  watches (cluster/) ──► Index ──edits──► zone workers (zone/) ──status──► Report
//!                           ▲                                                 │
//!        finalizers, status, events ◄── Term: one term of leadership ◄────────┘
//! ```
//!
//! [`index`], [`entry`], [`report`] and [`conditions`] are pure; [`term`] wires them, one term of leadership at a time: a
//! term begins with complete lists, as new as its beginning, and ends with all its workers.

mod conditions;
mod decide;
mod entry;
mod index;
mod jobs;
mod numbers;
mod provider;
mod report;
mod run;
mod seats;
mod term;
mod zone_conditions;
mod zone_turn;
mod zones;

pub use run::{OperatorSettings, Stopped, operate};
