//! Signing what goes out and judging what comes back.

use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{Exchange, Place, ServerError};
use crate::dns::tsig::{self, Key, Pending, Sequence, TsigError};

/// The key of a server, if it has one.
#[derive(Clone)]
pub(crate) struct Seal {
    key: Option<Key>,
}

/// What an answer has to prove.
pub(crate) struct Expected(Option<Pending>);

/// An answer, judged.
pub(crate) enum Opened {
    /// Signed as it should be (or no key is in use): the response code, and the message without its TSIG.
    Good {
        /// From the header.
        rcode: u16,
        /// Without the signature.
        message: Vec<u8>,
    },
    /// An error answer that could not be signed: good for a failure, never for a success.
    Failed {
        /// From the header.
        rcode: u16,
        /// What the TSIG record said.
        tsig: Option<TsigError>,
    },
    /// It claims a success that it cannot prove.
    Forged(String),
}

impl Seal {
    pub(crate) fn new(key: Option<Key>) -> Seal {
        Seal { key }
    }

    /// Octets that signing adds at most.
    pub(crate) fn overhead(&self) -> usize {
        self.key.as_ref().map_or(0, Key::overhead)
    }

    pub(crate) fn sign(&self, message: Vec<u8>) -> (Vec<u8>, Expected) {
        match &self.key {
            Some(key) => {
                let (message, pending) = tsig::sign(key, message, now());
                (message, Expected(Some(pending)))
            }
            None => (message, Expected(None)),
        }
    }

    pub(crate) fn sign_sequence(&self, message: Vec<u8>) -> (Vec<u8>, Option<Sequence>) {
        match &self.key {
            Some(key) => {
                let (message, sequence) = tsig::sign_sequence(key, message, now());
                (message, Some(sequence))
            }
            None => (message, None),
        }
    }

    pub(crate) fn open(&self, expected: &Expected, bytes: &[u8]) -> Opened {
        let rcode = header_rcode(bytes);
        let Some(pending) = &expected.0 else { return Opened::Good { rcode, message: bytes.to_vec() } };
        match pending.verify(bytes, now()) {
            Ok(message) => Opened::Good { rcode: header_rcode(&message), message },
            Err(error) => self.unproven(rcode, error),
        }
    }

    /// What a failed verification means.
    pub(crate) fn unproven(&self, rcode: u16, error: TsigError) -> Opened {
        match error.rcode().map_or(rcode, |rcode| rcode.0) {
            0 => Opened::Forged(error.to_string()),
            rcode => Opened::Failed { rcode, tsig: Some(error) },
        }
    }

    /// An error answer as an error of ours.
    pub(crate) fn failure(&self, place: Place, what: Exchange, rcode: u16, tsig: Option<&TsigError>) -> ServerError {
        let words = format!("{what} failed with {} {tsig:?}", crate::dns::Rcode(rcode));
        match tsig {
            Some(TsigError::BadTime { .. } | TsigError::Stale) => ServerError::ClockSkew { place, what, words },
            Some(TsigError::BadSig(_)) => ServerError::Tsig { place, what, words },
            _ if rcode == 9 => ServerError::NotAuthorised { place, what, words },
            _ => ServerError::Refused { place, what, rcode, words },
        }
    }
}

fn header_rcode(bytes: &[u8]) -> u16 {
    bytes.get(3).map_or(0, |byte| u16::from(byte & 0x0f))
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
