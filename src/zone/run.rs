//! Sending units: packed, pipelined, and taken apart where a server says no.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::engine::Engine;
use super::fence::Swap;
use super::knobs::{Knobs, Pause};
use super::pieces::{Batch, CARRIER_FILL, FILL, Piece, Pieces};
use super::report::Outcome;
use super::{EngineError, safety};
use crate::dns::explain::Missing;
use crate::dns::update;
use crate::knot::{Answered, ServerError, Session, UpdateResult, WIDE, WINDOW};
use crate::model::FastMap;
use crate::plan::Plan;

/// A view of this age is read again before anything is sent from it: the process may have been stopped meanwhile.
pub(super) const STALE: Duration = Duration::from_secs(10);

/// Messages made ready beyond those in flight: a server answers a window at once, and should find the next one waiting.
const AHEAD: usize = WINDOW / 2;

/// Failed prerequisites (RFC 2136 §2.2).
fn is_prerequisite(rcode: u16) -> bool {
    matches!(rcode, 3 | 6 | 7 | 8)
}

/// A message on its way.
struct Out {
    batch: Batch,
    /// It carries the raise.
    swap: bool,
}

/// Something other than NOERROR.
pub(super) enum Trouble {
    Prerequisite(ServerError),
    Failure(ServerError),
    Refused(ServerError),
    Lost(ServerError),
    NotSent(ServerError),
}

impl Trouble {
    pub fn error(self) -> ServerError {
        match self {
            Trouble::Prerequisite(error)
            | Trouble::Failure(error)
            | Trouble::Refused(error)
            | Trouble::Lost(error)
            | Trouble::NotSent(error) => error,
        }
    }
}

/// How far the raise has come.
pub(super) enum Raise {
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
    /// Answers by rcode.
    pub rcodes: BTreeMap<u16, u64>,
}

pub(super) struct Run<'e> {
    pub engine: &'e mut Engine,
    pub session: Arc<Session>,
    /// What the pieces are of.
    pub plan: Option<&'e Plan>,
    pub pieces: Pieces,
    pub raise: Raise,
    /// Every raise that was ever sent: one whose answer was lost may be in force.
    pub offered: Vec<Swap>,
    /// Raise the fence though nothing else is to be sent.
    pub fence_alone: bool,
    /// Messages with nothing but the fence that failed.
    pub futile: u32,
    out: FastMap<u64, Out>,
    pub troubles: Vec<(Batch, Trouble)>,
    halt: bool,
    next_tag: u64,
    /// Connections lost in a row.
    pub breaks: u32,
    /// Rounds with SERVFAIL.
    pub failures: u32,
    /// The zone was read in full because the server contradicted our copy.
    pub reread: bool,
    /// A signed query succeeded, so the key is good whatever NOTAUTH says.
    pub key_proven: bool,
    /// When we were last known to be awake with a view that was current.
    pub awake: Instant,
    answers: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
    /// Messages that are ready wait here for their turn; those that had none when the run ends are never sent.
    feed: mpsc::Sender<(u64, Vec<u8>)>,
    _feeder: AbortOnDropHandle<()>,
    first_sent: Option<Instant>,
    last_answer: Option<Instant>,
    sent: u64,
    bytes: u64,
    rcodes: BTreeMap<u16, u64>,
    /// Octets of the last large message for each octet that was estimated: names that repeat are shorter than that.
    density: f64,
    pub last_refusal: Option<ServerError>,
    /// Units about which the server was asked what of them it refuses.
    pub asked: u32,
    /// Units refused one by one since the server took something.
    pub barren: u32,
    /// Units refused one by one.
    pub lone: u32,
    /// What the ACL lacked the last time that somebody asked.
    pub missing: Missing,
    knobs: Knobs,
}

impl<'e> Run<'e> {
    pub fn new(engine: &'e mut Engine, pieces: Vec<Piece>, swap: Option<Swap>, plan: Option<&'e Plan>) -> Self {
        let session = engine.session();
        let answers = mpsc::channel(WIDE + AHEAD);
        let (feed, mut ready) = mpsc::channel::<(u64, Vec<u8>)>(AHEAD);
        let (updates, zone, reply) = (session.updates().clone(), engine.zone().clone(), answers.0.clone());
        let feeder = tokio::spawn(async move {
            while let Some((tag, message)) = ready.recv().await {
                // Fails when the runtime shuts down; the run then waits for an answer no longer than its patience.
                if updates.submit(&zone, message, tag, &reply).await.is_err() {
                    return;
                }
            }
        });
        let awake = engine.seen_at().unwrap_or_else(Instant::now);
        Run {
            engine,
            session,
            plan,
            pieces: Pieces::new(pieces),
            raise: swap.map_or(Raise::Done, Raise::Due),
            offered: Vec::new(),
            fence_alone: false,
            futile: 0,
            out: FastMap::default(),
            troubles: Vec::new(),
            halt: false,
            next_tag: 0,
            breaks: 0,
            failures: 0,
            reread: false,
            key_proven: false,
            awake,
            answers,
            feed,
            _feeder: AbortOnDropHandle::new(feeder),
            first_sent: None,
            last_answer: None,
            sent: 0,
            bytes: 0,
            rcodes: BTreeMap::new(),
            density: 1.0,
            last_refusal: None,
            asked: 0,
            barren: 0,
            lone: 0,
            missing: Missing::Either,
            knobs: Knobs::from_env(),
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
            rcodes: self.rcodes,
        }
    }

    /// Until every piece has an end or the run must stop; what is left then has no end yet.
    pub async fn go(&mut self) -> Result<(), EngineError> {
        if self.pieces.all.iter().map(|piece| piece.size).sum::<usize>() > WINDOW * FILL {
            self.session.widen_for_knot();
        }
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
            // Knot says NOTAUTH, BIND REFUSED.
            Some(error @ (ServerError::NotAuthorised { .. } | ServerError::Refused { rcode: 5, .. }))
                if !self.engine.taken =>
            {
                Err(EngineError::Server(error))
            }
            _ => Ok(()),
        }
    }

    /// Sends until the window is full, nothing is left, or an answer asks for thought; then waits for what is out.
    pub async fn pump(&mut self) -> Result<(), EngineError> {
        self.halt = false;
        loop {
            // Nothing follows a raise before it is answered.
            while !self.halt
                && self.out.len() < self.session.updates().window() + AHEAD
                && !matches!(self.raise, Raise::Out(_))
            {
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
                // The message with the raise is a small one: all others wait for it.
                let fill = match self.raise {
                    Raise::Due(_) => CARRIER_FILL,
                    _ => (FILL as f64 / self.density) as usize,
                };
                match self.pieces.next(fill) {
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
            self.receive().await?;
        }
    }

    /// Whether a test turned the fence off.
    pub fn unfenced(&self) -> bool {
        self.knobs.no_fence
    }

    /// Waits for what is out without sending more.
    pub async fn pump_out(&mut self) -> Result<(), EngineError> {
        while !self.out.is_empty() {
            self.receive().await?;
        }
        Ok(())
    }

    /// Takes in one answer.
    async fn receive(&mut self) -> Result<(), EngineError> {
        // Each message has its own deadline in the channel; this one only catches a channel that died.
        match tokio::time::timeout(self.engine.patience(), self.answers.1.recv()).await {
            Ok(Some(answered)) => self.answered(answered)?,
            Ok(None) | Err(_) => return Err(EngineError::Internal("the update channel ended".to_owned())),
        }
        if self.sent == 1 {
            self.knobs.pause(Pause::AfterFirst).await;
        }
        Ok(())
    }

    /// Sends a message that changes nothing, while nothing is in flight, and waits for its answer.
    pub async fn ask(&mut self, message: Vec<u8>) -> Option<UpdateResult> {
        let (zone, tag, reply) = (self.engine.zone().clone(), self.next_tag, self.answers.0.clone());
        self.next_tag += 1;
        self.session.updates().submit(&zone, message, tag, &reply).await.ok()?;
        let answered = tokio::time::timeout(self.engine.patience(), self.answers.1.recv()).await.ok()??;
        self.sent += 1;
        self.bytes += answered.bytes as u64;
        (answered.tag == tag).then_some(answered.result)
    }

    /// Sends one message; with no pieces it is the raise alone.
    pub async fn send(&mut self, mut batch: Batch) -> Result<(), EngineError> {
        if self.next_tag == 0 {
            self.knobs.pause(Pause::BeforeFirst).await;
        }
        if self.awake.elapsed() > STALE {
            self.look().await?;
        }
        self.awake = Instant::now();
        let place = self.engine.keeper.name.clone();
        let (fence, swap_edits) = match &self.raise {
            Raise::Due(swap) | Raise::Out(swap) => (Some(swap.old.guard(&place)), &swap.edits[..]),
            Raise::Done => (self.engine.keeper.guard(), &[][..]),
        };
        let (fence, swap_edits) = if self.knobs.no_fence { (None, &[][..]) } else { (fence, swap_edits) };
        if fence.is_none() && !self.knobs.no_fence {
            return Err(EngineError::Internal("an update without a fence".to_owned()));
        }
        let unguarded = self.knobs.no_guards;
        let zone = self.engine.zone().clone();
        let limit = usize::from(u16::MAX) - self.session.signature_size();
        let message = loop {
            let pieces = || batch.pieces.iter().map(|index| &self.pieces.all[*index]);
            let guards = || fence.iter().chain(pieces().filter(move |_| !unguarded).flat_map(|piece| &piece.guards));
            let edits = || swap_edits.iter().chain(pieces().flat_map(|piece| &piece.edits));
            if let Err(error) = safety::check(&zone, guards(), edits()) {
                // One bad unit must not hold the others: the culprit is sought as if the server had refused it.
                return self.unsafe_batch(batch, &error);
            }
            let message = update::encode(&zone, 0, guards(), edits());
            let estimate = pieces().map(|piece| piece.size).sum::<usize>();
            if estimate > FILL / 2 {
                self.density = (message.len() as f64 / estimate as f64).clamp(0.5, 1.0);
            }
            if message.len() <= limit || batch.pieces.len() < 2 {
                break message;
            }
            // Its names repeat less than those of the message before.
            let rest = batch.pieces.split_off(batch.pieces.len() * 3 / 4);
            self.pieces.requeue(rest.into_iter());
        };
        let (swap, raise) = match std::mem::replace(&mut self.raise, Raise::Done) {
            Raise::Due(swap) => {
                self.offered.push(swap.clone());
                (true, Raise::Out(swap))
            }
            other => (false, other),
        };
        self.raise = raise;
        let tag = self.next_tag;
        self.next_tag += 1;
        self.out.insert(tag, Out { batch, swap });
        match self.feed.send((tag, message)).await {
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
        let rcode = match &answered.result {
            UpdateResult::Applied => Some(0),
            UpdateResult::Refused { rcode, .. } => Some(*rcode),
            UpdateResult::Lost(_) | UpdateResult::NotSent(_) => None,
        };
        rcode.into_iter().for_each(|rcode| *self.rcodes.entry(rcode).or_default() += 1);
        if answered.result == UpdateResult::Applied {
            self.breaks = 0;
            self.awake = answered.answered;
            if out.swap
                && let Raise::Out(swap) = std::mem::replace(&mut self.raise, Raise::Done)
            {
                self.engine.keeper.raised(&swap);
            }
            self.engine.taken |= !out.batch.pieces.is_empty();
            if out.swap {
                self.engine.witness = Some(self.engine.keeper.name.clone());
            }
            if let Some(mark) = out.batch.pieces.last().and_then(|last| self.mark_of(*last)) {
                self.engine.witness = Some(mark);
            }
            if !out.batch.pieces.is_empty() {
                self.barren = 0;
            }
            for index in out.batch.pieces {
                self.pieces.applied(index);
            }
            return Ok(());
        }
        if out.swap {
            // To be carried again; if it was applied after all, the read-back shows it.
            self.raise = match std::mem::replace(&mut self.raise, Raise::Done) {
                Raise::Out(swap) => Raise::Due(swap),
                other => other,
            };
        }
        let trouble = match answered.result {
            UpdateResult::Applied => return Ok(()),
            UpdateResult::Refused { rcode, error } if is_prerequisite(rcode) => Trouble::Prerequisite(error),
            UpdateResult::Refused { rcode: 2, error } => Trouble::Failure(error),
            UpdateResult::Refused { error, .. } => match error {
                ServerError::Tsig { .. } | ServerError::ClockSkew { .. } => return Err(EngineError::Server(error)),
                error => Trouble::Refused(error),
            },
            UpdateResult::Lost(error) => Trouble::Lost(error),
            UpdateResult::NotSent(error) => Trouble::NotSent(error),
        };
        // In a crowd refusals are expected, and nothing waits for what follows from one.
        self.halt |= !(self.pieces.crowded() && matches!(trouble, Trouble::Refused(_)));
        self.troubles.push((out.batch, trouble));
        Ok(())
    }
}
