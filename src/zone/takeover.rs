//! Taking a zone over, because a person said so.

use super::EngineError;
use super::engine::Engine;
use crate::model::Name;

/// What a takeover found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takeover {
    /// The zone.
    pub zone: Name,
    /// The instance that held it; `None` when no readable fence stood there.
    pub from: Option<String>,
    /// The instance that holds it now.
    pub to: String,
    /// Its epoch.
    pub epoch: u64,
}

impl Engine {
    /// Makes this instance the holder of the zone for its owner id, in one guarded UPDATE that touches the fence alone.
    ///
    /// `from` must name the holder when that is another instance, so that nobody takes a zone from somebody they did
    /// not mean.
    ///
    /// # Errors
    /// [`EngineError::NotThatInstance`] when another one holds it, [`EngineError::FencePlaceTaken`] when a stranger's record stands there, and all that a refresh or an update may meet.
    pub async fn takeover(&mut self, from: Option<&str>) -> Result<Takeover, EngineError> {
        if self.rules.observe {
            return Err(EngineError::Observe { zone: self.rules.zone.clone() });
        }
        self.refresh().await?;
        let zone = self.rules.zone.clone();
        let Some(view) = &self.view else { return Err(EngineError::NoView { zone }) };
        let seen = self.keeper.seen(view);
        if let Some(error) = self.keeper.place_taken(&seen) {
            return Err(error);
        }
        let holder = seen.fence.as_ref().map(|fence| fence.instance.clone());
        let fits = match (&holder, from) {
            (Some(holder), Some(named)) => holder == named,
            (Some(holder), None) => *holder == self.rules.instance,
            (None, Some(_)) => false,
            (None, None) => true,
        };
        if !fits {
            let stands = match (&holder, from) {
                (Some(holder), None) => {
                    format!("it is held by the instance \"{holder}\"; if that one is meant, say `--from {holder}`")
                }
                (Some(holder), Some(named)) => {
                    format!(
                        "it is held by the instance \"{holder}\", not by \"{named}\"; if that one is meant, say `--from {holder}`"
                    )
                }
                // Only reached with an instance named.
                (None, named) => {
                    let named = named.unwrap_or_default();
                    let what =
                        if seen.values.is_empty() { "no fence" } else { "no fence that this version understands" };
                    format!("there is {what}, so nobody holds it, \"{named}\" neither; leave `--from` out to take it")
                }
            };
            return Err(EngineError::NotThatInstance { zone, stands });
        }
        let swap = self.keeper.swap(seen);
        let epoch = swap.new.epoch;
        self.send_swap(swap).await?;
        self.keeper.settled();
        Ok(Takeover { zone, from: holder, to: self.rules.instance.clone(), epoch })
    }
}
