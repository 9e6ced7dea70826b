//! The authority without its sockets: zones, keys, permissions; one request in, the steps of its answer out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::acl::{self, Grant};
use super::faults::{Asked, Fault, Faults};
use super::reply::{Reply, Step};
use super::transfer::{self, Ending, Kind};
use super::zone::{Depth, Zone};
use super::{query, request, update};
use crate::dns::tsig::{self, Key, Received, Signer};
use crate::dns::{Class, Message, Opcode, Rcode};
use crate::model::{Name, RrType};

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// As a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// How often what was asked.
#[derive(Debug, Default)]
pub struct Counters {
    /// Queries, SOA polls among them.
    pub queries: AtomicU64,
    /// UPDATEs.
    pub updates: AtomicU64,
    /// UPDATEs that changed a zone.
    pub commits: AtomicU64,
    /// Questions for whole zones.
    pub axfr: AtomicU64,
    /// Questions for changes.
    pub ixfr: AtomicU64,
    /// Whole zones sent, in answer to either question.
    pub whole: AtomicU64,
    /// Requests whose signature was not accepted.
    pub rejected: AtomicU64,
    /// NOTIFYs that were answered with NOERROR.
    pub notified: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The state of an authority.
pub struct Store {
    pub(super) zones: BTreeMap<Name, Zone>,
    pub(super) keys: Vec<Key>,
    pub(super) grants: Vec<Grant>,
    pub(super) depth: Depth,
    pub(super) message_size: usize,
    pub(super) faults: Faults,
    pub(super) counters: Arc<Counters>,
    /// Counts commits and other changes of zones.
    pub(super) generation: u64,
}

/// A request whose signature was looked at.
struct Request {
    raw: Vec<u8>,
    message: Message,
    key: Option<Name>,
    signer: Option<Signer>,
    asked: Asked,
    udp: bool,
    now: u64,
}

impl Store {
    /// Handles one request that came at `now` (Unix seconds).
    pub fn handle(&mut self, request: Vec<u8>, transport: Transport, now: u64) -> Reply {
        self.process(request, transport, now, true)
    }

    /// Handles a request that a fault held up: faults do not strike it again.
    pub fn handle_late(&mut self, request: Vec<u8>, transport: Transport, now: u64) -> Reply {
        self.process(request, transport, now, false)
    }

    fn process(&mut self, raw: Vec<u8>, transport: Transport, now: u64, faulty: bool) -> Reply {
        let now = self.faults.clock(now);
        // Knot hangs up, or keeps silent, where it cannot even read what is asked, and where that is several things.
        let Some(blank) = request::blank(&raw) else { return Reply::steps(vec![Step::Close]) };
        if blank.response {
            return Reply::silent();
        }
        let (bytes, key, signer) = match tsig::receive(&self.keys, raw.clone(), now) {
            Received::Unsigned(bytes) => (bytes, None, None),
            Received::Signed { message, key, signer } => (message, Some(key), Some(signer)),
            Received::Rejected(answer) => {
                count(&self.counters.rejected);
                return if answer.is_empty() { Reply::silent() } else { Reply::message(answer) };
            }
        };
        let message = Message::parse(&bytes).ok().filter(|message| !update::is_malformed(message));
        let Some(message) = message else {
            return Reply::steps(vec![Step::Send(blank.answer(Rcode::FORMERR).encode()), Step::Close]);
        };
        let asked = request::asked(&message);
        let strikes = match faulty {
            true => self.faults.strike(asked, |name| message.authorities.iter().any(|record| record.name == *name)),
            false => Vec::new(),
        };
        let udp = transport == Transport::Udp;
        self.carry_out(Request { raw, message, key, signer, asked, udp, now }, strikes)
    }

    fn carry_out(&mut self, request: Request, faults: Vec<Fault>) -> Reply {
        let mut rcode = None;
        for fault in &faults {
            match fault {
                Fault::Late(time) => return Reply::steps(vec![Step::Later(*time, request.raw)]),
                Fault::LostBefore => return Reply::steps(vec![Step::Close]),
                Fault::SilentBefore => return Reply::silent(),
                Fault::QueryRcode(code) | Fault::UpdateRcode(code) | Fault::TransferRcode(code) => rcode = Some(*code),
                Fault::RefuseName(_) => rcode = Some(Rcode::REFUSED),
                _ => {}
            }
        }
        let outcome = match rcode {
            Some(rcode) => Err(rcode),
            None => self.answer(&request, &faults),
        };
        let Request { raw, message, signer, udp, now, .. } = request;
        let mut answer = match outcome {
            Ok(Outcome::Answer(answer)) => answer,
            Ok(Outcome::Transfer(transfer)) => return Reply::transfer(*transfer, signer, &faults, now),
            // Knot 3.2 says of a key that its ACL refuses what it says of one that it does not know.
            Ok(Outcome::NotAllowed) if signer.is_some() => return Reply::message(tsig::refuse_key(&raw)),
            Ok(Outcome::NotAllowed) => message.answer(Rcode::NOTAUTH),
            Ok(Outcome::Unsigned(rcode)) => return Reply::message(message.answer(rcode).encode()),
            Err(rcode) => message.answer(rcode),
        };
        request::finish(&message, &mut answer, udp, signer.is_some().then(|| self.overhead()));
        Reply::single(&answer, signer, &faults, now)
    }

    /// What the largest signature adds.
    fn overhead(&self) -> usize {
        self.keys.iter().map(Key::overhead).max().unwrap_or_default()
    }

    fn answer(&mut self, request: &Request, faults: &[Fault]) -> Result<Outcome, Rcode> {
        let message = &request.message;
        request::check_edns(message)?;
        match message.opcode {
            Opcode::QUERY | Opcode::UPDATE => {}
            // Nobody is our primary.
            Opcode::NOTIFY => return Err(Rcode::NOTAUTH),
            _ => return Err(Rcode::NOTIMP),
        }
        let [question] = &message.questions[..] else {
            return if request.asked == Asked::Update {
                Ok(Outcome::Unsigned(Rcode::FORMERR))
            } else {
                Err(Rcode::FORMERR)
            };
        };
        let (name, rtype) = (&question.name, question.rtype);
        match request.asked {
            Asked::Update => {
                count(&self.counters.updates);
                if let Err(rcode) = update::check_zone(question) {
                    return Ok(Outcome::Unsigned(rcode));
                }
                let Some(zone) = self.zones.get_mut(name) else { return Ok(Outcome::Unsigned(Rcode::NOTAUTH)) };
                if !acl::may_update(&self.grants, request.key.as_ref(), message) {
                    return Ok(Outcome::NotAllowed);
                }
                if update::update(zone, message, self.depth)? {
                    count(&self.counters.commits);
                    self.generation += 1;
                }
                Ok(Outcome::Answer(message.answer(Rcode::NOERROR)))
            }
            Asked::Transfer => {
                if rtype == RrType::AXFR && request.udp {
                    return Err(Rcode::NOTIMP);
                }
                let zone = self.zones.get(name).filter(|_| question.class == Class::IN).ok_or(Rcode::NOTAUTH)?;
                if !acl::may_transfer(&self.grants, request.key.as_ref()) {
                    return Ok(Outcome::NotAllowed);
                }
                let ending = match faults {
                    _ if faults.contains(&Fault::TransferNoEnd) => Ending::Missing,
                    _ if faults.contains(&Fault::TransferOtherEnd) => Ending::OtherSerial,
                    _ => Ending::Right,
                };
                let history = !faults.contains(&Fault::NoHistory);
                let transfer = transfer::start(zone, message, request.udp, history, ending, self.message_size)?;
                count(if rtype == RrType::AXFR { &self.counters.axfr } else { &self.counters.ixfr });
                if transfer.kind == Kind::Whole {
                    count(&self.counters.whole);
                }
                Ok(Outcome::Transfer(Box::new(transfer)))
            }
            Asked::Query => {
                count(&self.counters.queries);
                if question.class != Class::IN && question.class != Class::ANY {
                    return Err(Rcode::REFUSED);
                }
                if rtype.is_meta() && rtype != RrType::ANY {
                    return Err(Rcode::NOTIMP);
                }
                let zone = self.zone_of(name, rtype).ok_or(Rcode::REFUSED)?;
                Ok(Outcome::Answer(query::answer(zone, message, name, rtype)))
            }
        }
    }

    /// The zone that answers for a name: the lowest one above it; for the DS of an apex the parent's, if it is here.
    fn zone_of(&self, name: &Name, rtype: RrType) -> Option<&Zone> {
        let above = std::iter::successors(Some(name.clone()), Name::parent);
        let mut zones = above.filter_map(|at| self.zones.get(&at));
        let lowest = zones.next()?;
        match rtype == RrType::DS && lowest.apex() == name {
            true => Some(zones.next().unwrap_or(lowest)),
            false => Some(lowest),
        }
    }
}

enum Outcome {
    Answer(Message),
    Transfer(Box<transfer::Transfer>),
    NotAllowed,
    /// What Knot does not sign: there is no zone whose rules would allow the key.
    Unsigned(Rcode),
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
