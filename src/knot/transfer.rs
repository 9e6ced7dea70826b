//! Zone transfers: drained at full speed, judged meanwhile, used only when complete (RFC 5936, RFC 1995).
//!
//! A Knot server holds a read lock on its zones while it sends one, so a slow reader stops every writer
//! (`reference/knot.md` fact 5). Therefore octets go into memory as fast as they come; another thread verifies and
//! parses them, and never holds the reading up.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::error::{Exchange, Place, ServerError};
use super::seal::{Opened, Seal, now};
use super::stream::{self, Deframer};
use super::{Session, random_id};
use crate::dns::xfr::{self, Progress, Reader, Transfer, XfrError};
use crate::model::Name;

/// Octets of one transfer after which it is given up: memory is not endless, and no real zone is this large.
const MAX_OCTETS: u64 = 4 << 30;

/// Idle connections kept for the next transfer.
const KEPT: usize = 1;

/// Octets read at once.
const READ_SIZE: usize = 256 * 1024;

/// How a conversation on one connection failed.
enum Broken {
    /// The connection ended before the first octet of an answer: it may have been idle for too long.
    Stale(ServerError),
    /// Anything else.
    Failed(ServerError),
}

impl Session {
    /// Transfers the zone: what changed since serial `have`, or all of it. The result is complete and verified.
    ///
    /// # Errors
    /// Any [`ServerError`]; nothing of a failed transfer is ever used.
    pub async fn transfer(&self, zone: &Name, have: Option<u32>) -> Result<Transfer, ServerError> {
        self.timed_transfer(zone, have).await.map(|(transfer, _)| transfer)
    }

    /// As [`Session::transfer`], with the time in which nothing could be done but wait for the server: from the question
    /// to the last octet.
    ///
    /// # Errors
    /// The same.
    pub async fn timed_transfer(&self, zone: &Name, have: Option<u32>) -> Result<(Transfer, Duration), ServerError> {
        let place = Place { server: self.address, zone: zone.clone() };
        // Few at a time: every transfer holds a lock in the server.
        let _turn = self.turns.acquire().await;
        let kept = self.idle.lock().await.pop();
        let from = Instant::now();
        if let Some(kept) = kept {
            match self.converse(kept, zone, have).await {
                Ok((transfer, last, kept)) => {
                    self.keep(kept).await;
                    return Ok((transfer, last.duration_since(from)));
                }
                Err(Broken::Stale(_)) => {}
                Err(Broken::Failed(error)) => return Err(error),
            }
        }
        let fresh = stream::connect(self.address, self.settings.source, self.settings.timeouts.connect)
            .await
            .map_err(|error| ServerError::Unreachable { place, detail: error.to_string() })?;
        match self.converse(fresh, zone, have).await {
            Ok((transfer, last, kept)) => {
                self.keep(kept).await;
                Ok((transfer, last.duration_since(from)))
            }
            Err(Broken::Stale(error) | Broken::Failed(error)) => Err(error),
        }
    }

    async fn keep(&self, stream: TcpStream) {
        let mut idle = self.idle.lock().await;
        if idle.len() < KEPT {
            idle.push(stream);
        }
    }

    /// One transfer on one connection, which comes back when the transfer ended in order, and when its last octet came.
    async fn converse(
        &self,
        mut stream: TcpStream,
        zone: &Name,
        have: Option<u32>,
    ) -> Result<(Transfer, Instant, TcpStream), Broken> {
        let place = Place { server: self.address, zone: zone.clone() };
        let id = random_id();
        let (query, sequence) = self.settings.seal.sign_sequence(xfr::question(zone, id, have));
        let mut framed = Vec::with_capacity(query.len() + 2);
        let _ = stream::frame(&query, &mut framed);

        // Unbounded on purpose: a bound would slow the reading down. MAX_OCTETS limits it.
        let (pieces, inbox) = mpsc::unbounded_channel();
        let (verdict, mut judged) = oneshot::channel();
        let judge = Judge {
            place: place.clone(),
            seal: self.settings.seal.clone(),
            reader: Reader::new(zone.clone(), id, have, sequence),
        };
        tokio::task::spawn_blocking(move || {
            let _ = verdict.send(judge.run(inbox));
        });

        let limits = &self.settings.timeouts;
        let started = Instant::now();
        let mut heard = started;
        let mut input = Deframer::default();
        let mut octets = 0u64;
        let broken = |error: io::Error, octets: u64| {
            let detail = format!("the connection ended after {octets} octets: {error}");
            match octets {
                0 => Broken::Stale(ServerError::Unreachable { place: place.clone(), detail }),
                _ => Broken::Failed(ServerError::TransferIncomplete { place: place.clone(), detail }),
            }
        };
        tokio::time::timeout(limits.progress, stream.write_all(&framed))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| broken(error, 0))?;
        loop {
            let left = limits.transfer.saturating_sub(started.elapsed());
            let wait = left.min(limits.progress);
            tokio::select! {
                verdict = &mut judged => {
                    let transfer = verdict.map_err(|_| Broken::Failed(ServerError::TransferIncomplete {
                        place: place.clone(),
                        detail: "the thread that verifies it ended".to_owned(),
                    }))?;
                    return transfer.map(|transfer| (transfer, heard, stream)).map_err(Broken::Failed);
                }
                read = stream.read_buf(input.buffer(READ_SIZE)) => {
                    let count = match read {
                        Ok(0) => {
                            // All octets are here; the last ones may be the end of the transfer.
                            drop(pieces);
                            return Err(match judged.await {
                                Ok(Ok(transfer)) => return Ok((transfer, heard, stream)),
                                Ok(Err(error)) if octets > 0 => Broken::Failed(error),
                                _ => broken(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server"), octets),
                            });
                        }
                        Ok(count) => count as u64,
                        Err(error) => return Err(broken(error, octets)),
                    };
                    octets += count;
                    heard = Instant::now();
                    if octets > MAX_OCTETS {
                        let detail = format!("more than {MAX_OCTETS} octets");
                        return Err(Broken::Failed(ServerError::TransferIncomplete { place, detail }));
                    }
                    while let Some(message) = input.next() {
                        let _ = pieces.send(message);
                    }
                }
                () = tokio::time::sleep(wait) => {
                    if octets == 0 && left > wait {
                        return Err(Broken::Failed(ServerError::Timeout { place, what: Exchange::Transfer, after: wait }));
                    }
                    let detail = if left <= wait {
                        format!("not finished within {} s", limits.transfer.as_secs())
                    } else {
                        format!("no octet for {} s after {octets}", limits.progress.as_secs())
                    };
                    return Err(Broken::Failed(ServerError::TransferIncomplete { place, detail }));
                }
            }
        }
    }
}

/// Verifies and parses the messages of one transfer in a thread of its own.
struct Judge {
    place: Place,
    seal: Seal,
    reader: Reader,
}

impl Judge {
    fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Vec<u8>>) -> Result<Transfer, ServerError> {
        while let Some(message) = inbox.blocking_recv() {
            let rcode = message.get(3).map_or(0, |byte| u16::from(byte & 0x0f));
            match self.reader.push(message, now()) {
                Ok(Progress::More) => {}
                Ok(Progress::Done) => break,
                Err(error) => return Err(failed(&self.seal, self.place, rcode, error)),
            }
        }
        self.reader.finish().map_err(|error| failed(&self.seal, self.place, 0, error))
    }
}

fn failed(seal: &Seal, place: Place, rcode: u16, error: XfrError) -> ServerError {
    let what = Exchange::Transfer;
    match error {
        XfrError::Refused(rcode) => seal.failure(place, what, rcode.0),
        XfrError::Tsig(error) => match seal.unproven(place.clone(), what, rcode, &error) {
            Opened::Failed { error, .. } | Opened::Forged(error) => error,
            Opened::Good(_) => ServerError::BadAnswer { place, what, detail: error.to_string() },
        },
        XfrError::Early(_) | XfrError::Cut | XfrError::SoaDiffers => {
            ServerError::TransferIncomplete { place, detail: error.to_string() }
        }
        other => ServerError::BadAnswer { place, what, detail: other.to_string() },
    }
}
