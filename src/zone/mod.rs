//! The record engine: one worker per zone; refresh, plan, apply, confirm, report (DESIGN §5).

//mod apply;
//mod brake;
//mod check;
//mod engine;
//mod error;
//mod fence;
//mod jitter;
//mod pieces;
//mod report;
//mod run;
//mod safety;
//mod status;
//mod takeover;
//pub mod worker;

//pub use engine::{Engine, EngineOptions, Refreshed};
//pub use error::EngineError;
//pub use fence::Role;
//pub use report::{ChangeOutcome, Outcome, Report, Timings};
//pub use status::{Counters, Histogram, StatusError, ZoneStatus, action_word};
//pub use takeover::Takeover;
