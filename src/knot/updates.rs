//! UPDATE messages: pipelined on one long-lived connection, answers matched by id.
//!
//! A message whose answer does not come is reported as [`UpdateResult::Lost`] and never sent again from here: a server
//! may have applied it, or may do so later (`reference/knot.md` §2.4). Only its sender can tell, by reading the zone.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::error::{Exchange, Place, ServerError};
use super::gate::{Gate, Slot};
use super::seal::Opened;
use super::stream::{self, Deframer};
use super::{Settings, random_id};
use crate::model::Name;

/// Messages in flight on one connection, of all zones together (`gate` shares them out). Knot duplicates the
/// connection's descriptor for every queued message and leaves messages unanswered when it runs out of them, and BIND
/// refuses what is over its `update-quota` (100), so more is not faster but worse.
pub const WINDOW: usize = 64;

/// The same for a Knot: it commits everything that is queued at once, at a cost of its own for each commit, so a small
/// window costs a fifth of the rate. Not more: a commit of this many full messages takes most of a second, and other
/// writers wait for it.
pub const WIDE: usize = 256;

/// Octets waiting to be written beyond which no further message is taken from the queue.
const WRITE_AHEAD: usize = 512 * 1024;

/// Unanswered messages after which a connection is given up.
const MAX_OVERDUE: usize = 8;

/// How an UPDATE ended.
#[derive(Debug, Clone, PartialEq)]
pub enum UpdateResult {
    /// NOERROR with a good signature: applied and durable, as far as the server promises.
    Applied,
    /// An error answer: nothing of the message was applied.
    Refused {
        /// The response code.
        rcode: u16,
        /// The same in words.
        error: ServerError,
    },
    /// No answer that can be trusted: it may have been applied, or may be yet.
    Lost(ServerError),
    /// No octet of it left this machine: not applied.
    NotSent(ServerError),
}

/// An UPDATE that is over.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The sender's mark.
    pub tag: u64,
    /// How it ended.
    pub result: UpdateResult,
    /// When it was handed to the connection.
    pub sent: Instant,
    /// When its answer was verified, or it was given up.
    pub answered: Instant,
    /// Octets on the wire, signature and length prefix included.
    pub bytes: usize,
}

struct Job {
    zone: Name,
    message: Vec<u8>,
    tag: u64,
    reply: mpsc::Sender<Answered>,
    slot: Slot,
}

/// The UPDATE channel of one server address; clones share the connection, which is opened when first needed.
#[derive(Debug, Clone)]
pub struct Updates {
    queue: mpsc::Sender<Job>,
    gate: Arc<Gate>,
}

impl Updates {
    pub(crate) fn start(settings: Arc<Settings>, server: std::net::SocketAddr) -> Updates {
        let (queue, jobs) = mpsc::channel(WIDE);
        tokio::spawn(run(settings, server, jobs));
        Updates { queue, gate: Arc::default() }
    }

    /// How many messages may be out: [`WINDOW`], or [`WIDE`] once the server is known to be Knot.
    pub fn window(&self) -> usize {
        self.gate.window()
    }

    /// From now on [`WIDE`] messages may be out.
    pub(super) fn widen(&self) {
        self.gate.widen(WIDE);
    }

    /// Sends an unsigned UPDATE message for `zone`; its id is chosen here. Waits while the window is full, or
    /// while this zone has its share of it: messages of other zones find a slot at any time. The outcome
    /// comes on `reply` under `tag`; keep its capacity at least as large as the number of messages that are out, since
    /// an outcome that finds it full is dropped.
    ///
    /// # Errors
    /// The message, when the channel has ended (the runtime is shutting down) or it is over 65,535 octets when signed.
    pub async fn submit(
        &self,
        zone: &Name,
        message: Vec<u8>,
        tag: u64,
        reply: &mpsc::Sender<Answered>,
    ) -> Result<(), Vec<u8>> {
        let slot = self.gate.enter(zone).await;
        let job = Job { zone: zone.clone(), message, tag, reply: reply.clone(), slot };
        self.queue.send(job).await.map_err(|lost| lost.0.message)
    }
}

async fn run(settings: Arc<Settings>, server: std::net::SocketAddr, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.recv().await {
        let place = Place { server, zone: first.zone.clone() };
        match stream::connect(server, settings.source, settings.timeouts.connect).await {
            Ok(connection) => {
                let mut line = Line::new(&settings, server);
                line.take(first);
                line.serve(connection, &mut jobs).await;
            }
            Err(error) => {
                let error = ServerError::Unreachable { place, detail: error.to_string() };
                // Whatever waits behind it would wait for the same connection, one connect deadline each.
                let mut next = Some(first);
                while let Some(job) = next {
                    let (now, bytes) = (Instant::now(), job.message.len());
                    finish(&job.reply, job.tag, UpdateResult::NotSent(error.clone()), now, bytes);
                    next = jobs.try_recv().ok();
                }
            }
        }
    }
}

fn finish(reply: &mpsc::Sender<Answered>, tag: u64, result: UpdateResult, sent: Instant, bytes: usize) {
    let answered = Answered { tag, result, sent, answered: Instant::now(), bytes };
    // A sender that is gone does not care; one that broke its promise about capacity learns nothing.
    let _ = reply.try_send(answered);
}

struct Flight {
    zone: Name,
    tag: u64,
    reply: mpsc::Sender<Answered>,
    pending: super::seal::Expected,
    sent: Instant,
    bytes: usize,
    /// Octets of the connection's stream before this message.
    offset: u64,
    /// Held until it is over.
    _slot: Slot,
}

/// One connection with what is in flight on it.
struct Line<'a> {
    settings: &'a Settings,
    server: std::net::SocketAddr,
    out: Vec<u8>,
    /// Octets of `out` already written.
    out_done: usize,
    queued: u64,
    written: u64,
    flights: HashMap<u16, Flight>,
    /// When the last answer came on this connection.
    heard: Option<Instant>,
    /// Ids whose deadline passed: their late answers are ignored, and the ids stay out of use.
    overdue: HashSet<u16>,
}

impl<'a> Line<'a> {
    fn new(settings: &'a Settings, server: std::net::SocketAddr) -> Self {
        Line {
            settings,
            server,
            out: Vec::new(),
            out_done: 0,
            queued: 0,
            written: 0,
            flights: HashMap::new(),
            heard: None,
            overdue: HashSet::new(),
        }
    }

    fn place(&self, zone: &Name) -> Place {
        Place { server: self.server, zone: zone.clone() }
    }

    /// Signs a job and puts it into the write buffer.
    fn take(&mut self, mut job: Job) {
        let id = loop {
            let id = random_id();
            if !self.flights.contains_key(&id) && !self.overdue.contains(&id) {
                break id;
            }
        };
        if let Some(head) = job.message.get_mut(..2) {
            head.copy_from_slice(&id.to_be_bytes());
        }
        let sent = Instant::now();
        let (message, pending) = self.settings.seal.sign(job.message);
        let bytes = message.len() + 2;
        if !stream::frame(&message, &mut self.out) {
            let error = ServerError::BadAnswer {
                place: self.place(&job.zone),
                what: Exchange::Update,
                detail: format!("the message has {} octets with its signature; 65,535 is the limit", message.len()),
            };
            finish(&job.reply, job.tag, UpdateResult::NotSent(error), sent, bytes);
            return;
        }
        let (zone, tag, reply, offset) = (job.zone, job.tag, job.reply, self.queued);
        let flight = Flight { zone, tag, reply, pending, sent, bytes, offset, _slot: job.slot };
        self.queued += bytes as u64;
        self.flights.insert(id, flight);
    }

    /// Until the connection ends, or nobody can send any more and nothing is in flight.
    async fn serve(mut self, connection: TcpStream, jobs: &mut mpsc::Receiver<Job>) {
        let (mut reader, mut writer) = connection.into_split();
        let mut input = Deframer::default();
        let mut open = true;
        let end = loop {
            if !open && self.flights.is_empty() {
                return;
            }
            let limit = self.settings.timeouts.update;
            let next_deadline = self.flights.values().map(|flight| flight.sent + limit).min();
            let room = open && self.out.len() - self.out_done < WRITE_AHEAD;
            // Every branch is cancel-safe: a read or write that lost the race has moved nothing.
            tokio::select! {
                read = reader.read_buf(input.buffer(4096)) => match read {
                    Ok(0) => break io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"),
                    Ok(_) => {
                        while let Some(message) = input.next() {
                            self.answer(&message);
                        }
                    }
                    Err(error) => break error,
                },
                wrote = writer.write(&self.out[self.out_done..]), if self.out_done < self.out.len() => match wrote {
                    Ok(count) => {
                        self.out_done += count;
                        self.written += count as u64;
                        if self.out_done == self.out.len() || self.out_done > 1 << 20 {
                            self.out.drain(..self.out_done);
                            self.out_done = 0;
                        }
                    }
                    Err(error) => break error,
                },
                job = jobs.recv(), if room => match job {
                    Some(job) => self.take(job),
                    None => open = false,
                },
                () = sleep_until(next_deadline), if next_deadline.is_some() => {
                    let deaf = self.expire(limit);
                    if deaf || self.overdue.len() >= MAX_OVERDUE {
                        break io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering updates");
                    }
                }
            }
        };
        self.lose(&end);
    }

    /// Matches one answer. What nobody waits for is ignored.
    fn answer(&mut self, message: &[u8]) {
        let Some((head, _)) = message.split_first_chunk::<4>() else { return };
        let id = u16::from_be_bytes([head[0], head[1]]);
        // QR set and opcode UPDATE (RFC 2136 §2.2), else it answers something else.
        if head[2] & 0xf8 != 0xa8 || self.overdue.remove(&id) {
            return;
        }
        let Some(flight) = self.flights.remove(&id) else { return };
        self.heard = Some(Instant::now());
        let place = self.place(&flight.zone);
        let result = match self.settings.seal.open(&place, Exchange::Update, &flight.pending, message) {
            Opened::Good(_) => UpdateResult::Applied,
            Opened::Failed { rcode, error } => UpdateResult::Refused { rcode, error },
            Opened::Forged(error) => UpdateResult::Lost(error),
        };
        finish(&flight.reply, flight.tag, result, flight.sent, flight.bytes);
    }

    /// Gives up what is past its deadline. Tells whether nothing at all was heard since something of it was sent: then
    /// the connection may be dead without saying so.
    fn expire(&mut self, limit: std::time::Duration) -> bool {
        let now = Instant::now();
        let mut deaf = false;
        let late: Vec<u16> =
            self.flights.iter().filter(|(_, flight)| flight.sent + limit <= now).map(|(id, _)| *id).collect();
        for id in late {
            let Some(flight) = self.flights.remove(&id) else { continue };
            self.overdue.insert(id);
            deaf |= self.heard.is_none_or(|heard| heard < flight.sent);
            let place = self.place(&flight.zone);
            let error = ServerError::Timeout { place, what: Exchange::Update, after: limit };
            finish(&flight.reply, flight.tag, UpdateResult::Lost(error), flight.sent, flight.bytes);
        }
        deaf
    }

    /// Reports everything that was in flight when the connection ended.
    fn lose(self, end: &io::Error) {
        for flight in self.flights.into_values() {
            let place = Place { server: self.server, zone: flight.zone };
            let detail = format!("the connection broke before the update was answered: {end}");
            let error = ServerError::Unreachable { place, detail };
            let result =
                if flight.offset >= self.written { UpdateResult::NotSent(error) } else { UpdateResult::Lost(error) };
            finish(&flight.reply, flight.tag, result, flight.sent, flight.bytes);
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
