//! The authority without its sockets: zones, keys, permissions; one request in, the steps of its answer out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::acl::{self, Grant};
use super::faults::{Asked, Fault, Faults};
use super::reply::{Reply, Step};
use super::transfer::{self, Ending, Kind};
use super::zone::{Depth, Zone};
use super::{query, update};
use crate::dns::tsig::{self, Key, Received, Signer};
use crate::dns::{Class, Message, Opcode, Rcode, Record};
use crate::model::{Name, RrType};

/// The largest answer over UDP that we offer and send (RFC 9715).
const UDP_SIZE: u16 = 1232;

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
        let Some(&[id0, id1, flags, _, q0, q1]) = raw.get(..6).filter(|_| raw.len() >= 12) else {
            return Reply::silent();
        };
        let (id, opcode) = (u16::from_be_bytes([id0, id1]), Opcode(flags >> 3 & 0xf));
        if flags & 0x80 != 0 {
            return Reply::silent();
        }
        // Knot 3.2 hangs up on UPDATEs of two zones.
        if opcode == Opcode::UPDATE && u16::from_be_bytes([q0, q1]) > 1 {
            return Reply::steps(vec![Step::Close]);
        }
        let (bytes, key, signer) = match tsig::receive(&self.keys, raw.clone(), now) {
            Received::Unsigned(bytes) => (bytes, None, None),
            Received::Signed { message, key, signer } => (message, Some(key), Some(signer)),
            Received::Rejected(answer) => {
                count(&self.counters.rejected);
                return if answer.is_empty() { Reply::silent() } else { Reply::message(answer) };
            }
        };
        let Ok(message) = Message::parse(&bytes) else {
            let blank = Message { recursion_desired: flags & 1 != 0, ..Message::new(id, opcode) };
            return Reply::single(&blank.answer(Rcode::FORMERR), signer, &[], now);
        };
        let asked = asked(&message);
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
            Err(rcode) => message.answer(rcode),
        };
        finish(&message, &mut answer, udp, signer.is_some().then(|| self.overhead()));
        Reply::single(&answer, signer, &faults, now)
    }

    /// What the largest signature adds.
    fn overhead(&self) -> usize {
        self.keys.iter().map(Key::overhead).max().unwrap_or_default()
    }

    fn answer(&mut self, request: &Request, faults: &[Fault]) -> Result<Outcome, Rcode> {
        let message = &request.message;
        let opts: Vec<&Record> = message.additionals.iter().filter(|record| record.rtype == RrType::OPT).collect();
        match opts[..] {
            [] => {}
            [opt] if opt.ttl >> 16 & 0xff == 0 => {}
            [_] => return Err(Rcode::BADVERS),
            _ => return Err(Rcode::FORMERR),
        }
        match message.opcode {
            Opcode::QUERY | Opcode::UPDATE => {}
            // Nobody is our primary.
            Opcode::NOTIFY => return Err(Rcode::NOTAUTH),
            _ => return Err(Rcode::NOTIMP),
        }
        let [question] = &message.questions[..] else { return Err(Rcode::FORMERR) };
        let (name, rtype) = (&question.name, question.rtype);
        match request.asked {
            Asked::Update => {
                count(&self.counters.updates);
                if question.class != Class::IN {
                    return Err(Rcode::NOTIMP);
                }
                if rtype != RrType::SOA {
                    return Err(Rcode::FORMERR);
                }
                let zone = self.zones.get_mut(name).ok_or(Rcode::NOTAUTH)?;
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
                let zone = self.zones.get(name).filter(|_| question.class == Class::IN).ok_or(Rcode::NOTAUTH)?;
                if !acl::may_transfer(&self.grants, request.key.as_ref()) {
                    return Ok(Outcome::NotAllowed);
                }
                if rtype == RrType::AXFR && request.udp {
                    return Err(Rcode::FORMERR);
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
                if question.class != Class::IN {
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
}

fn asked(message: &Message) -> Asked {
    let transfer = |rtype| matches!(rtype, RrType::AXFR | RrType::IXFR);
    match message.opcode {
        Opcode::UPDATE => Asked::Update,
        Opcode::QUERY if message.questions.first().is_some_and(|question| transfer(question.rtype)) => Asked::Transfer,
        _ => Asked::Query,
    }
}

/// Adds OPT when the request had one (RFC 6891 §6.1.1) and makes the answer fit.
fn finish(request: &Message, answer: &mut Message, udp: bool, signature: Option<usize>) {
    let asked = request.additionals.iter().find(|record| record.rtype == RrType::OPT);
    let opt = asked.map(|_| Record {
        name: Name::root(),
        rtype: RrType::OPT,
        class: Class(UDP_SIZE),
        ttl: u32::from(answer.rcode.0 >> 4) << 24,
        rdata: Box::default(),
    });
    let offered = asked.map_or(512, |opt| opt.class.0.clamp(512, UDP_SIZE));
    let room = usize::from(if udp { offered } else { u16::MAX }).saturating_sub(signature.unwrap_or_default());
    answer.additionals.extend(opt.clone());
    if answer.encode().len() <= room {
        return;
    }
    // Additional addresses are a courtesy; what was asked for is all or TC.
    answer.additionals = opt.into_iter().collect();
    if answer.encode().len() > room {
        answer.truncated = true;
        answer.answers.clear();
        answer.authorities.clear();
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
