//! What a run does about answers other than NOERROR. Nothing is in flight while it thinks.

use std::time::{Duration, Instant};

use super::EngineError;
use super::check;
use super::jitter::backoff;
use super::pieces::{Batch, State};
use super::probe::Culprit;
use super::report::Outcome;
use super::run::{Raise, Run, Trouble};
use crate::knot::ServerError;

/// How often a unit is sent again after its answer was lost.
const LOST_TRIES: u32 = 2;
/// How often a message is sent again after SERVFAIL before its units are tried one by one.
const FAILURE_TRIES: u32 = 4;
/// How often a run reconnects in a row, and how often it tries to raise the fence by itself.
const BREAKS: u32 = 4;
/// Units refused one by one after which the rest is no longer halved, one message after the other.
const MANY: u32 = 6;
/// How often a server that is gone is asked for a sign of life before a run ends.
const RETURNS: u32 = 5;

impl Run<'_> {
    /// Thinks about what went wrong. Nothing is in flight.
    pub async fn settle(&mut self) -> Result<(), EngineError> {
        let troubles = std::mem::take(&mut self.troubles);
        let broken = troubles.iter().find_map(|(_, trouble)| match trouble {
            Trouble::Lost(error) | Trouble::NotSent(error) => Some(error.clone()),
            _ => None,
        });
        if let Some(error) = broken {
            self.breaks += 1;
            if self.breaks > BREAKS {
                return Err(EngineError::Server(error));
            }
            tokio::time::sleep(backoff(self.breaks - 1, Duration::from_millis(50), Duration::from_secs(2))).await;
        }
        for (batch, trouble) in &troubles {
            if matches!(trouble, Trouble::Lost(_)) {
                batch.pieces.iter().for_each(|index| self.pieces.all[*index].lost += 1);
            }
        }
        let lost = troubles.iter().any(|(_, trouble)| matches!(trouble, Trouble::Lost(_)));
        let failed = troubles.iter().any(|(_, trouble)| matches!(trouble, Trouble::Prerequisite(_)));
        let unchanged = if lost {
            self.barrier().await?;
            false
        } else if failed {
            self.look().await?
        } else {
            false
        };
        self.prove_key(&troubles).await?;
        let again = |batch: &Batch| batch.failures < FAILURE_TRIES;
        if troubles.iter().any(|(batch, trouble)| matches!(trouble, Trouble::Failure(_)) && again(batch)) {
            let wait = backoff(self.failures, Duration::from_millis(100), Duration::from_secs(3));
            self.failures += 1;
            tokio::time::sleep(wait).await;
        }
        for (batch, trouble) in troubles {
            if batch.pieces.is_empty() {
                self.futile += 1;
                if self.futile > BREAKS {
                    return Err(EngineError::Server(trouble.error()));
                }
            }
            match trouble {
                Trouble::NotSent(ServerError::BadAnswer { detail, .. }) => self.too_large(batch, &detail),
                Trouble::NotSent(_) => self.pieces.retry(batch),
                Trouble::Prerequisite(error) => self.prerequisite(batch, &error, unchanged).await?,
                Trouble::Lost(error) => self.lost(batch, &error),
                Trouble::Failure(_) if again(&batch) => {
                    self.pieces.retry(Batch { failures: batch.failures + 1, ..batch });
                }
                // Nothing works at all: that is about the server or the zone, not about a record.
                Trouble::Failure(error) if !self.pieces.any_accepted() => return Err(EngineError::Server(error)),
                Trouble::Failure(error) | Trouble::Refused(error) => self.refused(batch, error).await?,
            }
        }
        Ok(())
    }

    /// Reads the zone again and sees whether the fence is still where it should be. Tells whether the serial is the same.
    pub async fn look(&mut self) -> Result<bool, EngineError> {
        let before = self.engine.view().map(|view| view.serial());
        self.refresh().await?;
        if self.engine.session_changed(&self.session) {
            // A fail-over in mid-run: another server, another view; the next plan starts from there.
            return Err(EngineError::FailedOver { zone: self.engine.zone().clone() });
        }
        let Some(view) = self.engine.view() else {
            return Err(EngineError::NoView { zone: self.engine.zone().clone() });
        };
        let serial = view.serial();
        let seen = self.engine.keeper.seen(view);
        let ours = self.offered.iter().find(|swap| *seen.values == [swap.new_rdata.clone()]).cloned();
        let kept = match (ours, &self.raise) {
            // A raise of ours is in force, whether its answer came or not.
            (Some(swap), _) => {
                self.engine.keeper.raised(&swap);
                self.raise = Raise::Done;
                true
            }
            (None, Raise::Done) => self.engine.keeper.is_held(view),
            (None, Raise::Due(swap) | Raise::Out(swap)) => seen.values == swap.old.values,
        };
        let kept = kept || self.unfenced();
        self.awake = Instant::now();
        if kept {
            return Ok(before == Some(serial));
        }
        let (zone, fence) = (self.engine.zone().clone(), self.engine.keeper.name.clone());
        Err(match seen.fence {
            Some(other) if other.instance != self.engine.rules().instance => {
                EngineError::OtherInstance { zone, instance: other.instance, fence }
            }
            _ => EngineError::Displaced { zone, fence },
        })
    }

    /// Makes sure that nothing that was lost can still be applied: messages may wait in a server's queue after we gave
    /// them up, and all of them require the fence of their time. A new nonce, acknowledged, shuts them out; only what is
    /// read after that can be acted upon.
    async fn barrier(&mut self) -> Result<(), EngineError> {
        if self.unfenced() {
            return self.look().await.map(drop);
        }
        for attempt in 0..=BREAKS {
            self.look().await?;
            let Some(view) = self.engine.view() else {
                return Err(EngineError::NoView { zone: self.engine.zone().clone() });
            };
            let seen = self.engine.keeper.seen(view);
            let epoch = match &self.raise {
                Raise::Due(swap) | Raise::Out(swap) => Some(swap.new.epoch),
                Raise::Done => None,
            };
            let swap = self.engine.keeper.renew(seen, epoch);
            self.raise = Raise::Due(swap);
            self.send(Batch::default()).await?;
            self.pump_out().await?;
            match self.troubles.pop() {
                None => return self.look().await.map(drop),
                Some((_, Trouble::Prerequisite(_))) => {}
                Some((_, trouble)) if attempt == BREAKS => return Err(EngineError::Server(trouble.error())),
                Some((_, Trouble::Refused(error))) => return Err(EngineError::Server(error)),
                Some(_) => {
                    tokio::time::sleep(backoff(attempt, Duration::from_millis(100), Duration::from_secs(2))).await;
                }
            }
        }
        Err(EngineError::Displaced { zone: self.engine.zone().clone(), fence: self.engine.keeper.name.clone() })
    }

    /// NOTAUTH may be about the key, or about what the key may do. A signed query tells.
    async fn prove_key(&mut self, troubles: &[(Batch, Trouble)]) -> Result<(), EngineError> {
        let doubtful = |trouble: &Trouble| matches!(trouble, Trouble::Refused(ServerError::NotAuthorised { .. }));
        if self.key_proven || !troubles.iter().any(|(_, trouble)| doubtful(trouble)) {
            return Ok(());
        }
        let zone = self.engine.zone().clone();
        match self.session.soa(&zone).await {
            Ok(_) => {
                self.key_proven = true;
                Ok(())
            }
            Err(error) => Err(EngineError::Server(error)),
        }
    }

    /// A server that restarts is given a moment to come back.
    async fn refresh(&mut self) -> Result<(), EngineError> {
        let mut tries = 0;
        loop {
            match self.engine.refresh().await {
                Ok(_) => return Ok(()),
                Err(EngineError::Server(error)) if error.tries_next_address() && tries < RETURNS => {
                    tokio::time::sleep(backoff(tries, Duration::from_millis(100), Duration::from_secs(2))).await;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A failed prerequisite that is not the fence's: the view tells who is in the way, else the server is asked in halves.
    async fn prerequisite(&mut self, batch: Batch, error: &ServerError, unchanged: bool) -> Result<(), EngineError> {
        let (mut free, mut found) = self.judge(&batch);
        if !found && unchanged && !self.reread {
            // Same serial, yet the server sees another zone than we do (DESIGN §5.5).
            self.reread = true;
            self.engine.force_full();
            self.look().await?;
            (free, found) = self.judge(&batch);
        }
        if found {
            self.pieces.requeue(free.into_iter());
        } else if batch.riddles == 0 && !free.is_empty() {
            self.pieces.suspect(Batch { riddles: 1, pieces: free, failures: 0 });
        } else if free.is_empty() {
            // Only the raise was in it; it goes again.
        } else if let Some(only) = self.pieces.split(Batch { pieces: free, ..Batch::default() }) {
            let words = format!("{error}; what stands in the way was gone when the zone was read again");
            self.pieces.end(only, Outcome::Conflict, "Conflict", words);
        }
        Ok(())
    }

    /// Ends the pieces that the view shows as done or blocked; gives the others and whether any was ended.
    fn judge(&mut self, batch: &Batch) -> (Vec<usize>, bool) {
        let Some(view) = self.engine.view() else { return (batch.pieces.clone(), false) };
        let mut free = Vec::new();
        for &index in &batch.pieces {
            let piece = &self.pieces.all[index];
            if !matches!(piece.state, State::Ready | State::Blocked) {
                continue;
            }
            if check::satisfied(view, &piece.edits, &[]) {
                self.pieces.applied(index);
            } else if let Some(guard) = piece.guards.iter().find(|guard| !check::holds(view, guard)) {
                let words = format!(
                    "another writer was faster: {}; nothing was changed, and the next plan decides anew",
                    check::why_not(view, guard)
                );
                self.pieces.end(index, Outcome::Conflict, "Conflict", words);
            } else {
                free.push(index);
            }
        }
        let found = free.len() != batch.pieces.len();
        (free, found)
    }

    fn lost(&mut self, batch: Batch, error: &ServerError) {
        let (free, _) = self.judge(&batch);
        let mut again = Vec::new();
        for index in free {
            if self.pieces.all[index].lost > LOST_TRIES {
                self.pieces.end(index, Outcome::Lost, error.reason(), error.to_string());
            } else {
                again.push(index);
            }
        }
        self.pieces.requeue(again.into_iter());
    }

    async fn refused(&mut self, batch: Batch, mut error: ServerError) -> Result<(), EngineError> {
        if batch.pieces.is_empty() {
            return Err(EngineError::Server(error));
        }
        if let Some(only) = self.pieces.split(batch) {
            if self.part(only) {
                self.last_refusal = Some(error);
                return Ok(());
            }
            if self.pieces.crowded() {
                self.refused_in_crowd(only, &error);
                self.last_refusal = Some(error);
                return Ok(());
            }
            let culprit = self.culprit(only).await;
            let found = self.culprit_words(only, culprit);
            // It would take others.
            self.engine.taken |= matches!(culprit, Culprit::Set | Culprit::Marker | Culprit::Both);
            self.missing = culprit.missing();
            // A Knot before 3.4.0 fails whatever waits beside an update that it refuses for its content (`reference/knot.md`
            // fact 6); one that its ACL does not allow never comes that far.
            let at_once = match &error {
                ServerError::NotAuthorised { .. } => true,
                ServerError::Refused { rcode: 5, .. } => culprit != Culprit::Unknown,
                _ => false,
            };
            if self.key_proven {
                error = super::key_is_good(error, &self.session, self.missing);
            }
            let words = match &error {
                ServerError::NotAuthorised { .. } => {
                    let piece = &self.pieces.all[only];
                    format!("the server's ACL does not allow to change {}{found}: {error}", piece.describe())
                }
                error => format!("{}{found}: {error}", self.pieces.all[only].describe()),
            };
            self.pieces.end(only, Outcome::Refused, error.reason(), words);
            self.last_refusal = Some(error);
            return self.weigh(at_once).await;
        }
        self.last_refusal = Some(error);
        Ok(())
    }

    /// One more was refused by itself: whether it is worth to go on, and how.
    async fn weigh(&mut self, at_once: bool) -> Result<(), EngineError> {
        self.lone += 1;
        self.barren += 1;
        let many = self.lone >= MANY && at_once;
        let doubt = self.barren.is_multiple_of(MANY) && (self.barren / MANY).is_power_of_two();
        // Where not even the fence can be written nothing can, and that is soon heard.
        if (many && matches!(self.raise, Raise::Due(_))) || (doubt && !at_once) {
            self.barrier().await.map_err(|error| self.told(error))?;
        }
        if many {
            self.pieces.crowd();
        }
        Ok(())
    }

    /// Of many alike the same is said.
    fn refused_in_crowd(&mut self, index: usize, error: &ServerError) {
        let error = match self.key_proven {
            true => super::key_is_good(error.clone(), &self.session, self.missing),
            false => error.clone(),
        };
        let words = match &error {
            ServerError::NotAuthorised { .. } => format!("sent by itself, the server's ACL does not allow it: {error}"),
            error => format!("sent by itself: {error}"),
        };
        self.pieces.end(index, Outcome::Refused, error.reason(), words);
    }

    /// A refusal of the fence alone, with what the ACL lacks.
    fn told(&self, error: EngineError) -> EngineError {
        match error {
            EngineError::Server(error) if self.key_proven => {
                EngineError::Server(super::key_is_good(error, &self.session, self.missing))
            }
            error => error,
        }
    }

    fn too_large(&mut self, batch: Batch, detail: &str) {
        if let Some(only) = self.pieces.split(batch) {
            let words =
                format!("it does not fit into one update: {detail}; split the set into fewer or shorter values");
            self.pieces.end(only, Outcome::Refused, "Incompatible", words);
        }
    }
}
