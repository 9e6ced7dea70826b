//! The few messages that the transport itself makes and reads.

use crate::dns::{self, Message};
use crate::model::{Name, Rdata, RrType};

/// Whether `bytes` are an answer to the question of this id. Error answers may leave the question out.
pub(super) fn answers(bytes: &[u8], id: u16, name: &Name, rtype: RrType) -> bool {
    let Some((head, _)) = bytes.split_first_chunk::<12>() else { return false };
    if u16::from_be_bytes([head[0], head[1]]) != id || head[2] & 0xf8 != 0x80 {
        return false;
    }
    let failed = head[3] & 0x0f != 0;
    match Message::parse(bytes) {
        Ok(message) => match &message.questions[..] {
            [] => failed,
            [question] => question.name == *name && question.rtype == rtype,
            _ => false,
        },
        Err(_) => false,
    }
}

/// The values of a set in an answer; `None` when it was cut off or cannot be read.
pub(super) fn values(bytes: &[u8], name: &Name, rtype: RrType) -> Option<Vec<Rdata>> {
    let message = Message::parse(bytes).ok()?;
    let records = message.answers.into_iter().filter(|record| record.rtype == rtype && record.name == *name);
    (!message.truncated).then(|| records.map(|record| record.rdata).collect())
}

/// The serial in an answer's SOA of `zone`.
pub(super) fn soa_serial(bytes: &[u8], zone: &Name) -> Option<u32> {
    let message = Message::parse(bytes).ok()?;
    let soa = message.answers.iter().find(|record| record.rtype == RrType::SOA && record.name == *zone)?;
    dns::soa_serial(&soa.rdata)
}
