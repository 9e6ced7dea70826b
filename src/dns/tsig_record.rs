//! The TSIG record in the octets of a message: finding it, reading it, writing one (RFC 8945 §4.2). No cryptography.

use super::message::Rcode;
use super::wire::{HEADER, RawRecord, WireError, read_name, skip_name, u16_at};
use crate::model::{Name, RrType};

/// The MAC algorithms (RFC 8945 §6, those that are not forbidden and that `ring` has).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Algorithm {
    HmacSha1,
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 4] =
        [Algorithm::HmacSha1, Algorithm::HmacSha256, Algorithm::HmacSha384, Algorithm::HmacSha512];

    /// Its name, as in configurations and, but for the final dot, on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::HmacSha1 => "hmac-sha1",
            Algorithm::HmacSha256 => "hmac-sha256",
            Algorithm::HmacSha384 => "hmac-sha384",
            Algorithm::HmacSha512 => "hmac-sha512",
        }
    }

    /// The algorithm of this name, any case, with or without a final dot.
    pub fn parse(text: &str) -> Option<Algorithm> {
        let text = text.strip_suffix('.').unwrap_or(text);
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text))
    }

    pub(super) fn wire(self) -> Vec<u8> {
        let name = self.name().as_bytes();
        [&[name.len() as u8], name, &[0]].concat()
    }

    pub(super) fn mac_len(self) -> usize {
        match self {
            Algorithm::HmacSha1 => 20,
            Algorithm::HmacSha256 => 32,
            Algorithm::HmacSha384 => 48,
            Algorithm::HmacSha512 => 64,
        }
    }
}

/// The TSIG record at the end of a message.
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) name: Name,
    pub(super) algorithm: Vec<u8>,
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) mac: Vec<u8>,
    pub(super) original_id: u16,
    pub(super) error: u16,
    pub(super) other: Vec<u8>,
}

impl Found {
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.wire().eq_ignore_ascii_case(&self.algorithm))
    }

    /// This record in an answer: with another MAC, error and other data.
    pub(super) fn record(&self, mac: &[u8], error: u16, other: &[u8]) -> Vec<u8> {
        let mut out = self.name.wire().to_vec();
        out.extend([0, 250, 0, 255, 0, 0, 0, 0]);
        out.extend(((self.algorithm.len() + 16 + mac.len() + other.len()) as u16).to_be_bytes());
        out.extend(&self.algorithm);
        out.extend(&self.time.to_be_bytes()[2..]);
        out.extend(self.fudge.to_be_bytes());
        out.extend((mac.len() as u16).to_be_bytes());
        out.extend(mac);
        out.extend(self.original_id.to_be_bytes());
        out.extend(error.to_be_bytes());
        out.extend((other.len() as u16).to_be_bytes());
        out.extend(other);
        out
    }
}

/// Finds the TSIG record: the last of the additional section (RFC 8945 §5.1), class ANY, TTL 0, nothing behind it.
pub(super) fn find(msg: &[u8]) -> Result<Option<Found>, WireError> {
    if msg.len() < HEADER {
        return Err(WireError::Short(0));
    }
    let mut at = HEADER;
    for _ in 0..u16_at(msg, 4)? {
        at = skip_name(msg, at)? + 4;
    }
    let mut last = None;
    let before = u32::from(u16_at(msg, 6)?) + u32::from(u16_at(msg, 8)?);
    for index in 0..before + u32::from(u16_at(msg, 10)?) {
        let record = RawRecord::skip(msg, at)?;
        at = record.end;
        last = (index >= before).then_some(record);
    }
    if at != msg.len() {
        return Err(WireError::Trailing(at));
    }
    let Some(record) = last.filter(|record| record.rtype == RrType::TSIG) else { return Ok(None) };
    let bad = WireError::Rdata(RrType::TSIG, record.rdata);
    if record.class != 255 || record.ttl != 0 {
        return Err(bad);
    }
    let (name, _) = read_name(msg, record.start)?;
    let (algorithm, at) = read_name(msg, record.rdata)?;
    let piece = |from: usize, len: usize| msg.get(from..from + len).filter(|_| from + len <= record.end).ok_or(bad);
    let time = piece(at, 6)?.iter().fold(0, |time, &octet| time << 8 | u64::from(octet));
    let number = |from: usize| piece(from, 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
    let fudge = number(at + 6)?;
    let mac = piece(at + 10, usize::from(number(at + 8)?))?;
    let tail = at + 10 + mac.len();
    let other = piece(tail + 6, usize::from(number(tail + 4)?))?;
    if tail + 6 + other.len() != record.end {
        return Err(bad);
    }
    Ok(Some(Found {
        start: record.start,
        name,
        algorithm: algorithm.wire().to_vec(),
        time,
        fudge,
        mac: mac.to_vec(),
        original_id: number(tail)?,
        error: number(tail + 2)?,
        other: other.to_vec(),
    }))
}

/// The header (and the first question, if it can be read) of an answer to `request`, with a TSIG record as it is.
pub(super) fn error_answer(request: &[u8], rcode: Rcode, tsig: Option<&[u8]>) -> Vec<u8> {
    let Some(header) = request.get(..HEADER) else { return Vec::new() };
    let question = match header[4..6] {
        [0, 1] => skip_name(request, HEADER).ok().and_then(|end| request.get(HEADER..end + 4)),
        _ => None,
    };
    let mut out = vec![header[0], header[1], 0x80 | header[2] & 0x79, rcode.0 as u8 & 0xf];
    out.extend([0, u8::from(question.is_some()), 0, 0, 0, 0, 0, u8::from(tsig.is_some())]);
    out.extend(question.unwrap_or_default());
    out.extend(tsig.unwrap_or_default());
    out
}
