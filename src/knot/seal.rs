//! Signing what goes out and judging what comes back.

use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{Exchange, Place, ServerError};
use crate::dns::Rcode;
use crate::dns::explain;
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
    /// NOERROR, signed as it should be (or no key is in use): the message without its TSIG.
    Good(Vec<u8>),
    /// An error answer. Where its signature is missing it is good for a failure, never for a success.
    Failed {
        /// The response code.
        rcode: u16,
        /// The same as an error of ours.
        error: ServerError,
    },
    /// It claims a success that it cannot prove.
    Forged(ServerError),
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

    /// Judges an answer to a question about `place`.
    pub(crate) fn open(&self, place: &Place, what: Exchange, expected: &Expected, bytes: &[u8]) -> Opened {
        let rcode = header_rcode(bytes);
        let message = match &expected.0 {
            None => bytes.to_vec(),
            Some(pending) => match pending.verify(bytes, now()) {
                Ok(message) => message,
                Err(error) => return self.unproven(place.clone(), what, rcode, &error),
            },
        };
        match rcode {
            0 => Opened::Good(message),
            rcode => Opened::Failed { rcode, error: self.failure(place.clone(), what, rcode) },
        }
    }

    /// What a failed verification means.
    pub(crate) fn unproven(&self, place: Place, what: Exchange, rcode: u16, error: &TsigError) -> Opened {
        let rcode = error.rcode().map_or(rcode, |rcode| rcode.0);
        let words = match &self.key {
            Some(key) => explain::tsig(what.asked(), &place.zone, key.name(), error).message,
            None => error.to_string(),
        };
        if rcode == 0 {
            return Opened::Forged(ServerError::Tsig { place, what, words });
        }
        let error = match error {
            TsigError::BadTime { .. } => ServerError::ClockSkew { place, what, words },
            TsigError::BadSig(_) => ServerError::Tsig { place, what, words },
            // Knot's ACLs answer so as well: whether it is the key or its rights cannot be told from the answer.
            _ if rcode == Rcode::NOTAUTH.0 => ServerError::NotAuthorised { place, what, words },
            _ => ServerError::Refused { place, what, rcode, words },
        };
        Opened::Failed { rcode, error }
    }

    /// A verified error answer as an error of ours.
    pub(crate) fn failure(&self, place: Place, what: Exchange, rcode: u16) -> ServerError {
        let key = self.key.as_ref().map(Key::name);
        let words = explain::rcode(what.asked(), &place.zone, key, Rcode(rcode)).message;
        match Rcode(rcode) {
            Rcode::NOTAUTH => ServerError::NotAuthorised { place, what, words },
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
