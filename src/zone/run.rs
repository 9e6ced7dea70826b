//! Sending units: packed, pipelined, and taken apart where a server says no.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::check;
use super::engine::Engine;
use super::fence::Swap;
use super::jitter::backoff;
use super::pieces::{Batch, Piece, Pieces, State};
use super::report::Outcome;
use super::{EngineError, safety};
use crate::dns::update;
use crate::knot::{Answered, ServerError, Session, UpdateResult, WINDOW};
use crate::model::RrType;
use crate::plan::Guard;

/// How often a unit is sent again after its answer was lost.
const LOST_TRIES: u32 = 2;
/// How often a message is sent again after SERVFAIL before its units are tried one by one.
const FAILURE_TRIES: u32 = 4;
/// How often a run reconnects in a row, and how often it tries to raise the fence by itself.
const BREAKS: u32 = 4;

/// How often a server that is gone is asked for a sign of life before a run ends.
const RETURNS: u32 = 5;

/// Failed prerequisites (RFC 2136 §2.2).
fn is_prerequisite(rcode: u16) -> bool {
    matches!(rcode, 3 | 6 | 7 | 8)
}

/// A message on its way.
struct Out {
    batch: Batch,
    /// It carries the raise.
    swap: bool,
    /// It requires a raise that was not answered when it was sent.
    hopes: bool,
}

/// Something other than NOERROR.
enum Trouble {
    Prerequisite { error: ServerError, in_vain: bool },
    Failure(ServerError),
    Refused(ServerError),
    Lost(ServerError),
    NotSent(ServerError),
}

impl Trouble {
    fn error(self) -> ServerError {
        match self {
            Trouble::Prerequisite { error, .. }
            | Trouble::Failure(error)
            | Trouble::Refused(error)
            | Trouble::Lost(error)
            | Trouble::NotSent(error) => error,
        }
    }
}

/// How far the raise has come.
enum Raise {
    /// Not needed, or done.
    Done,
    /// To be carried by the next message.
    Due(Swap),
    /// On its way.
    Out(Swap),
}

/// What a run leaves behind.
pub(super) struct Finished {
    pub pieces: Pieces,
    pub first_sent: Option<Instant>,
    pub last_answer: Option<Instant>,
    /// Messages.
    pub sent: u64,
    /// Octets.
    pub bytes: u64,
}

pub(super) struct Run<'e> {
    engine: &'e mut Engine,
    session: Arc<Session>,
    pieces: Pieces,
    raise: Raise,
    /// Raise the fence though nothing else is to be sent.
    pub fence_alone: bool,
    /// Messages with nothing but the fence that failed.
    futile: u32,
    out: HashMap<u64, Out>,
    troubles: Vec<(Batch, Trouble)>,
    halt: bool,
    next_tag: u64,
    breaks: u32,
    failures: u32,
    reread: bool,
    answers: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
    first_sent: Option<Instant>,
    last_answer: Option<Instant>,
    sent: u64,
    bytes: u64,
    last_refusal: Option<ServerError>,
}

impl<'e> Run<'e> {
    pub fn new(engine: &'e mut Engine, pieces: Vec<Piece>, swap: Option<Swap>) -> Self {
        let session = engine.session();
        Run {
            engine,
            session,
            pieces: Pieces::new(pieces),
            raise: swap.map_or(Raise::Done, Raise::Due),
            fence_alone: false,
            futile: 0,
            out: HashMap::new(),
            troubles: Vec::new(),
            halt: false,
            next_tag: 0,
            breaks: 0,
            failures: 0,
            reread: false,
            answers: mpsc::channel(WINDOW),
            first_sent: None,
            last_answer: None,
            sent: 0,
            bytes: 0,
            last_refusal: None,
        }
    }

    pub fn finish(mut self) -> Finished {
        // A run that stopped in the middle does not know what becomes of the messages that are out.
        for out in self.out.values() {
            out.batch.pieces.iter().for_each(|index| self.pieces.all[*index].lost += 1);
        }
        Finished {
            pieces: self.pieces,
            first_sent: self.first_sent,
            last_answer: self.last_answer,
            sent: self.sent,
            bytes: self.bytes,
        }
    }

    /// Until every piece has an end or the run must stop; what is left then has no end yet.
    pub async fn go(&mut self) -> Result<(), EngineError> {
        loop {
            self.pump().await?;
            if self.troubles.is_empty() && !self.pieces.waiting() {
                if self.fence_alone && matches!(self.raise, Raise::Due(_)) {
                    continue;
                }
                break;
            }
            self.settle().await?;
        }
        // Nothing was taken at all, for lack of rights: that is about the key, not about the records.
        match self.last_refusal.take() {
            Some(error @ ServerError::NotAuthorised { .. }) if !self.pieces.any_accepted() => {
                Err(EngineError::Server(error))
            }
            _ => Ok(()),
        }
    }

    /// Sends until the window is full, nothing is left, or an answer asks for thought; then waits for what is out.
    async fn pump(&mut self) -> Result<(), EngineError> {
        self.halt = false;
        loop {
            while !self.halt && self.out.len() < WINDOW {
                if self.pieces.suspected() {
                    // Suspects travel alone.
                    if !self.out.is_empty() {
                        break;
                    }
                    if let Some(batch) = self.pieces.next_suspect() {
                        self.send(batch).await?;
                        self.halt = true;
                    }
                    continue;
                }
                match self.pieces.next() {
                    Some(batch) => self.send(batch).await?,
                    None if self.fence_alone && matches!(self.raise, Raise::Due(_)) => {
                        self.send(Batch::default()).await?
                    }
                    None => break,
                }
            }
            if self.out.is_empty() {
                return Ok(());
            }
            // Each message has its own deadline in the channel; this one only catches a channel that died.
            let patience = self.engine.patience();
            match tokio::time::timeout(patience, self.answers.1.recv()).await {
                Ok(Some(answered)) => self.answered(answered)?,
                Ok(None) | Err(_) => return Err(EngineError::Internal("the update channel ended".to_owned())),
            }
        }
    }

    async fn send(&mut self, batch: Batch) -> Result<(), EngineError> {
        let place = self.engine.keeper.name.clone();
        let (fence, swap_edits) = match &self.raise {
            Raise::Due(swap) => (Some(swap.old.guard(&place)), &swap.edits[..]),
            Raise::Out(swap) => (Some(Guard::SetIs(place, RrType::TXT, vec![swap.new_rdata.clone()])), &[][..]),
            Raise::Done => (self.engine.keeper.guard(), &[][..]),
        };
        let Some(fence) = fence else { return Err(EngineError::Internal("an update without a fence".to_owned())) };
        let pieces = || batch.pieces.iter().map(|index| &self.pieces.all[*index]);
        let guards = || std::iter::once(&fence).chain(pieces().flat_map(|piece| &piece.guards));
        let edits = || swap_edits.iter().chain(pieces().flat_map(|piece| &piece.edits));
        let zone = self.engine.zone().clone();
        if let Err(error) = safety::check(&zone, guards(), edits()) {
            // One bad unit must not hold the others: the culprit is sought as if the server had refused it.
            return self.unsafe_batch(batch, &error);
        }
        let message = update::encode(&zone, 0, guards(), edits());
        let hopes = matches!(self.raise, Raise::Out(_));
        let (swap, raise) = match std::mem::replace(&mut self.raise, Raise::Done) {
            // What follows may require the new fence at once: servers take one connection's updates in order, and
            // where one does not, the fence fails there and the message is sent again.
            Raise::Due(swap) => (true, Raise::Out(swap)),
            other => (false, other),
        };
        self.raise = raise;
        let tag = self.next_tag;
        self.next_tag += 1;
        self.out.insert(tag, Out { batch, swap, hopes });
        let reply = self.answers.0.clone();
        match self.session.updates().submit(&zone, message, tag, &reply).await {
            Ok(()) => Ok(()),
            Err(_) => Err(EngineError::Internal("the update channel ended".to_owned())),
        }
    }

    fn unsafe_batch(&mut self, batch: Batch, error: &safety::Unsafe) -> Result<(), EngineError> {
        tracing::error!(zone = %self.engine.zone(), %error, "refused to send an unsafe update; this is a bug");
        if batch.pieces.is_empty() {
            return Err(EngineError::Internal(error.to_string()));
        }
        if let Some(only) = self.pieces.split(batch) {
            let words = format!("not sent, since it could harm the server: {error}; please report this as a bug");
            self.pieces.end(only, Outcome::Refused, "Internal", words);
        }
        Ok(())
    }

    /// Takes one answer in.
    fn answered(&mut self, answered: Answered) -> Result<(), EngineError> {
        let Some(out) = self.out.remove(&answered.tag) else { return Ok(()) };
        if !matches!(answered.result, UpdateResult::NotSent(_)) {
            self.sent += 1;
            self.bytes += answered.bytes as u64;
            self.first_sent = Some(self.first_sent.map_or(answered.sent, |first| first.min(answered.sent)));
            self.last_answer = Some(answered.answered);
        }
        if answered.result == UpdateResult::Applied {
            self.breaks = 0;
            if out.swap
                && let Raise::Out(swap) = std::mem::replace(&mut self.raise, Raise::Done)
            {
                self.engine.keeper.raised(&swap);
            }
            for index in out.batch.pieces {
                self.pieces.applied(index);
            }
            return Ok(());
        }
        self.halt = true;
        if out.swap {
            // To be carried again; if it was applied after all, the read-back shows it.
            self.raise = match std::mem::replace(&mut self.raise, Raise::Done) {
                Raise::Out(swap) => Raise::Due(swap),
                other => other,
            };
        }
        let trouble = match answered.result {
            UpdateResult::Applied => return Ok(()),
            UpdateResult::Refused { rcode, error } if is_prerequisite(rcode) => {
                // It required a raise that did not happen: nothing can be concluded about its units.
                let in_vain = out.hopes && matches!(self.raise, Raise::Due(_));
                Trouble::Prerequisite { error, in_vain }
            }
            UpdateResult::Refused { rcode: 2, error } => Trouble::Failure(error),
            UpdateResult::Refused { error, .. } => match error {
                ServerError::Tsig { .. } | ServerError::ClockSkew { .. } => return Err(EngineError::Server(error)),
                error => Trouble::Refused(error),
            },
            UpdateResult::Lost(error) => Trouble::Lost(error),
            UpdateResult::NotSent(error) => Trouble::NotSent(error),
        };
        self.troubles.push((out.batch, trouble));
        Ok(())
    }

    /// Thinks about what went wrong. Nothing is in flight.
    async fn settle(&mut self) -> Result<(), EngineError> {
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
        let look = troubles
            .iter()
            .any(|(_, trouble)| matches!(trouble, Trouble::Lost(_) | Trouble::Prerequisite { in_vain: false, .. }));
        let unchanged = if look { self.look().await? } else { false };
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
                Trouble::NotSent(_) | Trouble::Prerequisite { in_vain: true, .. } => self.pieces.retry(batch),
                Trouble::Prerequisite { error, .. } => self.prerequisite(batch, &error, unchanged).await?,
                Trouble::Lost(error) => self.lost(batch, &error),
                Trouble::Failure(_) if again(&batch) => {
                    self.pieces.retry(Batch { failures: batch.failures + 1, ..batch });
                }
                // Nothing works at all: that is about the server or the zone, not about a record.
                Trouble::Failure(error) if !self.pieces.any_accepted() => return Err(EngineError::Server(error)),
                Trouble::Failure(error) | Trouble::Refused(error) => self.refused(batch, error)?,
            }
        }
        Ok(())
    }

    /// Reads the zone again and sees whether the fence is still where it should be. Tells whether the serial is the same.
    async fn look(&mut self) -> Result<bool, EngineError> {
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
        let kept = match &self.raise {
            Raise::Done => self.engine.keeper.is_held(view),
            Raise::Due(swap) | Raise::Out(swap) if *seen.values == [swap.new_rdata.clone()] => {
                let swap = swap.clone();
                self.engine.keeper.raised(&swap);
                self.raise = Raise::Done;
                true
            }
            Raise::Due(swap) | Raise::Out(swap) => seen.values == swap.old.values,
        };
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
            if check::satisfied(view, &piece.edits) {
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

    fn refused(&mut self, batch: Batch, error: ServerError) -> Result<(), EngineError> {
        if batch.pieces.is_empty() {
            return Err(EngineError::Server(error));
        }
        if let Some(only) = self.pieces.split(batch) {
            self.pieces.refuse(only, error.reason(), error.to_string());
        }
        self.last_refusal = Some(error);
        Ok(())
    }

    fn too_large(&mut self, batch: Batch, detail: &str) {
        if let Some(only) = self.pieces.split(batch) {
            let words =
                format!("it does not fit into one update: {detail}; split the set into fewer or shorter values");
            self.pieces.end(only, Outcome::Refused, "Incompatible", words);
        }
    }
}
