//! The few messages that the transport itself makes and reads.

use crate::dns::{self, Message};
use crate::model::{Name, RrType};

/// A question for the zone's SOA.
pub(super) fn soa_query(id: u16, zone: &Name) -> Vec<u8> {
    Message::query(id, zone.clone(), RrType::SOA).encode()
}

/// Whether `bytes` are an answer to the SOA question of this id and zone. Error answers may leave the question out.
pub(super) fn answers(bytes: &[u8], id: u16, zone: &Name) -> bool {
    let Some((head, _)) = bytes.split_first_chunk::<12>() else { return false };
    if u16::from_be_bytes([head[0], head[1]]) != id || head[2] & 0xf8 != 0x80 {
        return false;
    }
    let failed = head[3] & 0x0f != 0;
    match Message::parse(bytes) {
        Ok(message) => match &message.questions[..] {
            [] => failed,
            [question] => question.name == *zone && question.rtype == RrType::SOA,
            _ => false,
        },
        Err(_) => false,
    }
}

/// The serial in an answer's SOA of `zone`.
pub(super) fn soa_serial(bytes: &[u8], zone: &Name) -> Option<u32> {
    let message = Message::parse(bytes).ok()?;
    let soa = message.answers.iter().find(|record| record.rtype == RrType::SOA && record.name == *zone)?;
    dns::soa_serial(&soa.rdata)
}
