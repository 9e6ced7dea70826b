//! The record engine: one worker per zone; refresh, plan, apply, confirm, report (DESIGN §5).

mod apply;
mod brake;
mod check;
mod converge;
mod dhcid;
mod engine;
mod error;
mod fence;
mod jitter;
mod knobs;
mod mailbox;
mod parting;
mod pieces;
mod planning;
mod probe;
mod report;
mod rights;
mod run;
mod safety;
mod settle;
mod status;
mod takeover;
pub mod worker;

pub use apply::{Make, Skip};
pub use brake::PastBrake;
pub use converge::Converged;
pub use dhcid::DhcidBoard;
pub use engine::{Engine, EngineOptions, Refreshed};
pub use error::EngineError;
pub use fence::{Role, place_taken};
pub use mailbox::Mailbox;
pub use planning::DhcidNames;
pub use report::{ChangeOutcome, Outcome, Report, Timings, Traffic};
pub use rights::key_is_good;
pub use status::{Counters, Histogram, StatusError, ZoneStatus};
pub use takeover::Takeover;
