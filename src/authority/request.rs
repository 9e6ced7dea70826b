//! What is read of a request before it is carried out, and what every answer owes it.

use super::faults::Asked;
use crate::dns::{Class, Message, Opcode, Rcode, Record};
use crate::model::{Name, RrType};

/// The largest datagram that we offer and send (RFC 9715 §3).
const UDP_SIZE: u16 = 1232;

/// A message of the header alone; `None` when header or question cannot be read, or there are several questions.
pub(super) fn blank(request: &[u8]) -> Option<Message> {
    let header = request.first_chunk::<12>()?;
    let blank = Message {
        response: header[2] & 0x80 != 0,
        recursion_desired: header[2] & 1 != 0,
        ..Message::new(u16::from_be_bytes([header[0], header[1]]), Opcode(header[2] >> 3 & 0xf))
    };
    let mut at = match [header[4], header[5]] {
        [0, 0] => return Some(blank),
        [0, 1] => 12,
        _ => return None,
    };
    // The first name of a message has nothing before it to point at.
    while let label @ 1..64 = *request.get(at)? {
        at += usize::from(label) + 1;
    }
    (request[at] == 0 && request.len() >= at + 5).then_some(blank)
}

/// Which kind of request it is.
pub(super) fn asked(message: &Message) -> Asked {
    let transfer = |rtype| matches!(rtype, RrType::AXFR | RrType::IXFR);
    match message.opcode {
        Opcode::UPDATE => Asked::Update,
        Opcode::QUERY if message.questions.first().is_some_and(|question| transfer(question.rtype)) => Asked::Transfer,
        _ => Asked::Query,
    }
}

/// The OPT record.
fn opt(message: &Message) -> Result<Option<&Record>, Rcode> {
    let mut opts = message.additionals.iter().filter(|record| record.rtype == RrType::OPT);
    match (opts.next(), opts.next()) {
        (_, Some(_)) => Err(Rcode::FORMERR),
        (opt, None) => Ok(opt),
    }
}

/// Whether the EDNS of a request can be answered (RFC 6891 §6.1.1, §6.1.3).
///
/// # Errors
/// The rcode to answer.
pub(super) fn check_edns(request: &Message) -> Result<(), Rcode> {
    match opt(request)? {
        Some(opt) if opt.ttl >> 16 & 0xff != 0 => Err(Rcode::BADVERS),
        _ => Ok(()),
    }
}

/// Adds OPT when the request had one, and only one (RFC 6891 §6.1.1) and makes the answer fit.
pub(super) fn finish(request: &Message, answer: &mut Message, udp: bool, signature: Option<usize>) {
    let asked = opt(request).ok().flatten();
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
