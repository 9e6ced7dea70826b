//! Why an engine does not write.

use crate::knot::ServerError;
use crate::model::Name;

/// Why a pass over a zone did not come to its end.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// There is no complete copy of the zone to plan from.
    #[error("zone {}: it was not read yet", zone.to_relaxed())]
    NoView {
        /// Which zone.
        zone: Name,
    },
    /// The zone is only watched.
    #[error("zone {}: its mode is Observe, so nothing is written; set `mode: Repair` to let Knotwork write", zone.to_relaxed())]
    Observe {
        /// Which zone.
        zone: Name,
    },
    /// The planner refuses the whole zone.
    #[error("zone {}: {message}", zone.to_relaxed())]
    PlanRefused {
        /// Which zone.
        zone: Name,
        /// The planner's stable word.
        reason: &'static str,
        /// Why.
        message: String,
    },
    /// Another instance holds our owner id.
    #[error(
        "zone {}: the instance \"{instance}\" writes it under the same owner id (fence {}); give this installation an owner id of its own, \
         or take over with `knotwork zone takeover {} --from {instance}`",
        zone.to_relaxed(), fence.to_relaxed(), zone.to_relaxed()
    )]
    OtherInstance {
        /// Which zone.
        zone: Name,
        /// Who holds it.
        instance: String,
        /// Where that stands.
        fence: Name,
    },
    /// Markers of ours without a fence.
    #[error(
        "zone {}: it holds markers of this owner id but no fence at {}: another installation may be at work, or the fence was deleted; \
         if this one is the only one, run `knotwork zone takeover {}`",
        zone.to_relaxed(), fence.to_relaxed(), zone.to_relaxed()
    )]
    FenceLost {
        /// Which zone.
        zone: Name,
        /// Where it should stand.
        fence: Name,
    },
    /// Something else stands where the fence should.
    #[error(
        "zone {}: the TXT at {} is no fence that this version understands; use a newer Knotwork, or replace it with \
         `knotwork zone takeover {}`",
        zone.to_relaxed(), fence.to_relaxed(), zone.to_relaxed()
    )]
    FenceUnreadable {
        /// Which zone.
        zone: Name,
        /// Where it stands.
        fence: Name,
    },
    /// A record of somebody else stands where the fence should.
    #[error(
        "zone {}: at {}, where the fence of this installation belongs, stands {values}, which no Knotwork wrote and none replaces; \
         remove it with the tool that made it, or give this installation another `owner:` or `marker: {{label: …}}`",
        zone.to_relaxed(), fence.to_relaxed()
    )]
    FencePlaceTaken {
        /// Which zone.
        zone: Name,
        /// Where it stands.
        fence: Name,
        /// The foreign values, in presentation form.
        values: String,
    },
    /// Another process of the same instance took the fence.
    #[error(
        "zone {}: another run of this installation wrote meanwhile (fence {}), so this one stopped and sent nothing further; run again \
         (a resident writer goes on by itself after 5 s of silence)",
        zone.to_relaxed(), fence.to_relaxed()
    )]
    Displaced {
        /// Which zone.
        zone: Name,
        /// Where it stands.
        fence: Name,
    },
    /// That happened again and again.
    #[error(
        "zone {}: other processes of this installation took the fence {} three times within a minute; this one has stopped writing. \
         Run only one writer for an instance, then restart this one",
        zone.to_relaxed(), fence.to_relaxed()
    )]
    DisplacedTooOften {
        /// Which zone.
        zone: Name,
        /// Where it stands.
        fence: Name,
    },
    /// `takeover` was not told the instance that holds the zone.
    #[error("zone {}: {stands}; nothing was changed", zone.to_relaxed())]
    NotThatInstance {
        /// Which zone.
        zone: Name,
        /// Who holds it and what to say, in words.
        stands: String,
    },
    /// The server's address in use changed in the middle of a run.
    #[error("zone {}: the server address in use failed and another took over; the run starts again from a new view", zone.to_relaxed())]
    FailedOver {
        /// Which zone.
        zone: Name,
    },
    /// A bug of ours.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl EngineError {
    /// The stable word of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            EngineError::Server(error) => error.reason(),
            EngineError::NoView { .. } => "Stale",
            EngineError::Observe { .. } => "Observe",
            EngineError::PlanRefused { reason, .. } => reason,
            EngineError::OtherInstance { .. } => "OtherInstance",
            EngineError::FenceLost { .. } => "FenceLost",
            EngineError::FenceUnreadable { .. } => "FenceUnreadable",
            EngineError::FencePlaceTaken { .. } => "FencePlaceTaken",
            EngineError::Displaced { .. } | EngineError::DisplacedTooOften { .. } => "Displaced",
            EngineError::NotThatInstance { .. } => "NotThatInstance",
            EngineError::FailedOver { .. } => "ServerUnreachable",
            EngineError::Internal(_) => "Internal",
        }
    }
}
