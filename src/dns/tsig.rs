//! Transaction signatures (RFC 8945), both halves. The one place where `domain` is imported.
//!
//! Messages are plain octets here and are signed and verified where they lie, without a copy. Error answers are read
//! before anything is verified: servers cannot sign BADKEY and BADSIG, and Knot leaves more of them unsigned. They come
//! back as [`TsigError`], so they can only ever be failures.

use std::fmt;
use std::sync::Arc;

use domain::base::iana::TsigRcode;
use domain::base::{Message as Octets, MessageBuilder, Name as DomainName, ToName};
use domain::dep::octseq::{OctetsBuilder, Truncate};
use domain::rdata::tsig::Time48;
use domain::tsig as lib;

use super::message::Rcode;
pub use super::tsig_record::Algorithm;
use super::tsig_record::{Found, error_answer, find};
use super::wire::{HEADER, WireError, u16_at};
use crate::model::Name;

/// Seconds that two clocks may differ, as everybody sends it (RFC 8945 §10).
pub const FUDGE: u16 = 300;

const BADSIG: u16 = 16;
const BADKEY: u16 = 17;
const BADTIME: u16 = 18;
const BADTRUNC: u16 = 22;

/// A shared secret with its name and algorithm. Cheap to clone; never shows the secret.
#[derive(Clone)]
pub struct Key {
    name: Name,
    algorithm: Algorithm,
    key: Arc<lib::Key>,
    hmac: ring::hmac::Key,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is empty: everybody could sign.
    #[error("the secret of TSIG key {0} is empty")]
    EmptySecret(Name),
    /// The key library does not take it.
    #[error("TSIG key {0} cannot be used")]
    Unusable(Name),
}

impl KeyError {
    /// The stable word for it.
    pub fn reason(&self) -> &'static str {
        "InvalidKey"
    }
}

impl Key {
    /// A key from its raw (not base64) secret.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(name: Name, algorithm: Algorithm, secret: &[u8]) -> Result<Key, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::EmptySecret(name));
        }
        let (theirs, ours) = match algorithm {
            Algorithm::HmacSha1 => (lib::Algorithm::Sha1, ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            Algorithm::HmacSha256 => (lib::Algorithm::Sha256, ring::hmac::HMAC_SHA256),
            Algorithm::HmacSha384 => (lib::Algorithm::Sha384, ring::hmac::HMAC_SHA384),
            Algorithm::HmacSha512 => (lib::Algorithm::Sha512, ring::hmac::HMAC_SHA512),
        };
        let key = DomainName::from_octets(name.wire())
            .ok()
            .and_then(|owner| lib::Key::new(theirs, secret, owner.try_to_name().ok()?, None, None).ok())
            .ok_or_else(|| KeyError::Unusable(name.clone()))?;
        Ok(Key { name, algorithm, key: Arc::new(key), hmac: ring::hmac::Key::new(ours, secret) })
    }

    /// The name by which both sides know it.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// How many octets a signature of this key adds to a message.
    pub fn overhead(&self) -> usize {
        self.name.wire().len() + 10 + self.algorithm.wire().len() + 16 + self.algorithm.mac_len()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {}, secret hidden)", self.name, self.algorithm.name())
    }
}

/// Why an answer cannot be trusted, or what the server said about our signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TsigError {
    /// No signature. The rcode is whatever somebody sent: good for a failure, never for a success.
    #[error("the answer ({0}) is not signed")]
    Unsigned(Rcode),
    /// The server does not know the key, or (Knot 3.2) its ACL does not let the key do this (RFC 8945 §5.2.1).
    #[error("the server answered {0} with BADKEY")]
    BadKey(Rcode),
    /// The server computes another MAC: the secrets differ (RFC 8945 §5.2.2).
    #[error("the server answered {0} with BADSIG")]
    BadSig(Rcode),
    /// The clocks differ too much (RFC 8945 §5.2.3). Unix seconds.
    #[error("the clocks differ: {ours} here, {server} at the server")]
    BadTime {
        /// The time that we signed.
        ours: u64,
        /// The server's time.
        server: u64,
    },
    /// The server put another error into its signature: TSIG error number.
    #[error("the server answered {0} with TSIG error {1}")]
    Other(Rcode, u16),
    /// The signature is not that of our key.
    #[error("the answer's signature is wrong")]
    Forged,
    /// Signed with another key or algorithm than the question.
    #[error("the answer is signed with another key")]
    WrongKey,
    /// A right signature of another time: an old answer sent again, or a clock that jumped.
    #[error("the answer's signature is too old or too new")]
    Stale,
    /// The id is not that of the question.
    #[error("the answer's id is not that of the question")]
    WrongId,
    /// Over 99 unsigned messages in a row, or the last one unsigned (RFC 8945 §5.3.1).
    #[error("the end of the answer is not signed")]
    UnsignedEnd,
    /// The message or its TSIG record cannot be read.
    #[error("malformed answer: {0}")]
    Malformed(#[from] WireError),
}

impl TsigError {
    /// The stable word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            TsigError::Unsigned(_) => "AnswerUnsigned",
            TsigError::BadKey(_) => "KeyRefused",
            TsigError::BadSig(_) => "SecretDiffers",
            TsigError::BadTime { .. } => "ClockDiffers",
            TsigError::Other(..) => "SignatureRefused",
            TsigError::Malformed(_) => "MalformedMessage",
            _ => "AnswerForged",
        }
    }

    /// The rcode that the server gave beside its TSIG error; `None` where nothing can be said of it.
    pub fn rcode(&self) -> Option<Rcode> {
        match self {
            TsigError::Unsigned(rcode)
            | TsigError::BadKey(rcode)
            | TsigError::BadSig(rcode)
            | TsigError::Other(rcode, _) => Some(*rcode),
            TsigError::BadTime { .. } => Some(Rcode::NOTAUTH),
            _ => None,
        }
    }
}

/// Signs a question; the result verifies its single answer.
pub fn sign(key: &Key, message: Vec<u8>, now: u64) -> (Vec<u8>, Pending) {
    let id = u16_at(&message, 0).unwrap_or_default();
    let (message, transaction) =
        append(message, |builder| lib::ClientTransaction::request(Arc::clone(&key.key), builder, time48(now)));
    (message, Pending { transaction, id })
}

/// Signs a question whose answer may be many messages; the result verifies them.
pub fn sign_sequence(key: &Key, message: Vec<u8>, now: u64) -> (Vec<u8>, Sequence) {
    let id = u16_at(&message, 0).unwrap_or_default();
    let (message, sequence) =
        append(message, |builder| lib::ClientSequence::request(Arc::clone(&key.key), builder, time48(now)));
    (message, Sequence { sequence, id, started: false })
}

/// When a message says that it was signed, in Unix seconds (RFC 8945 §4.2); `None` where it is not signed. Only to be
/// believed of a message that was verified.
pub fn time_signed(message: &[u8]) -> Option<u64> {
    find(message).ok().flatten().map(|found| found.time)
}

/// A signed question that waits for its answer.
pub struct Pending {
    transaction: lib::ClientTransaction<Arc<lib::Key>>,
    id: u16,
}

impl Pending {
    /// Verifies the answer and gives it without its TSIG record. Its rcode is still to be read.
    ///
    /// May be tried again after an error: over UDP the true answer can come behind a forged one.
    ///
    /// # Errors
    /// [`TsigError`]; what the server said of our signature included.
    pub fn verify(&self, answer: impl Into<Vec<u8>>, now: u64) -> Result<Vec<u8>, TsigError> {
        let answer = answer.into();
        let end = match examine(&answer, self.id)? {
            (rcode, None) => return Err(TsigError::Unsigned(rcode)),
            (_, Some(start)) => start,
        };
        in_place(answer, end, |message| self.transaction.answer(message, time48(now)))
    }
}

/// A signed question that waits for the many messages of its answer (RFC 8945 §5.3.1).
pub struct Sequence {
    sequence: lib::ClientSequence<Arc<lib::Key>>,
    id: u16,
    started: bool,
}

impl Sequence {
    /// Verifies the next message and gives it without its TSIG record.
    ///
    /// Up to 99 messages may come unsigned; they are vouched for by the next signed one only, so nothing may be used
    /// before [`Sequence::done`].
    ///
    /// # Errors
    /// [`TsigError`]; then the whole answer is worthless.
    pub fn verify(&mut self, message: impl Into<Vec<u8>>, now: u64) -> Result<Vec<u8>, TsigError> {
        let message = message.into();
        let end = match examine(&message, self.id)? {
            (rcode, None) if !self.started || rcode != Rcode::NOERROR => return Err(TsigError::Unsigned(rcode)),
            (_, None) => message.len(),
            (_, Some(start)) => start,
        };
        let message = in_place(message, end, |message| self.sequence.answer(message, time48(now)))?;
        self.started = true;
        Ok(message)
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// [`TsigError::UnsignedEnd`] when the last message was unsigned, or there was none.
    pub fn done(self) -> Result<(), TsigError> {
        if !self.started {
            return Err(TsigError::UnsignedEnd);
        }
        self.sequence.done().map_err(|_| TsigError::UnsignedEnd)
    }
}

/// What a server makes of a request's signature.
pub enum Received {
    /// No TSIG record.
    Unsigned(Vec<u8>),
    /// A good signature: the request without it, the key's name, and what signs the answer.
    Signed {
        /// The request without its TSIG record.
        message: Vec<u8>,
        /// Which key.
        key: Name,
        /// Signs the answer.
        signer: Signer,
    },
    /// Not acceptable: the whole answer to send (RFC 8945 §5.2), empty when the request cannot even be answered.
    Rejected(Vec<u8>),
}

/// The server's half: verifies a request against the keys.
pub fn receive(keys: &[Key], request: Vec<u8>, now: u64) -> Received {
    let found = match find(&request) {
        Ok(None) => return Received::Unsigned(request),
        Ok(Some(found)) => found,
        Err(_) => return Received::Rejected(error_answer(&request, Rcode::FORMERR, None)),
    };
    let rejected = |code: u16| {
        let record = found.record(&[], code, &[]);
        Received::Rejected(error_answer(&request, Rcode::NOTAUTH, Some(&record)))
    };
    let key = keys.iter().find(|k| k.name == found.name && Some(k.algorithm) == found.algorithm());
    let Some(key) = key else { return rejected(BADKEY) };
    let Ok(mut message) = Octets::from_octets(request.clone()) else { return rejected(BADSIG) };
    match lib::ServerTransaction::request(&key.key, &mut message, time48(now)) {
        Ok(Some(transaction)) => {
            let mut message = message.into_octets();
            message.truncate(found.start);
            Received::Signed { message, key: key.name.clone(), signer: Signer { transaction: Box::new(transaction) } }
        }
        Ok(None) => Received::Unsigned(request),
        // The library says FORMERR where RFC 8945 §5.2.2 asks for BADSIG, and computes the MAC of a BADTIME answer over
        // eight octets of time instead of the six that it sends.
        Err(error) if error.error() == TsigRcode::BADTIME => Received::Rejected(bad_time(key, &request, &found, now)),
        Err(error) if error.error() == TsigRcode::BADTRUNC => rejected(BADTRUNC),
        Err(error) if error.error() == TsigRcode::BADKEY => rejected(BADKEY),
        Err(_) => rejected(BADSIG),
    }
}

/// The answer of a server that knows the key of `request` but does not let it do what it asks, in the words of Knot 3.2:
/// NOTAUTH with BADKEY and no MAC. Empty when the request has no TSIG record.
pub fn refuse_key(request: &[u8]) -> Vec<u8> {
    match find(request) {
        Ok(Some(found)) => error_answer(request, Rcode::NOTAUTH, Some(&found.record(&[], BADKEY, &[]))),
        _ => Vec::new(),
    }
}

/// Signs the single answer to a verified request.
pub struct Signer {
    transaction: Box<lib::ServerTransaction<Arc<lib::Key>>>,
}

impl Signer {
    /// Signs the answer.
    pub fn sign(self, answer: Vec<u8>, now: u64) -> Vec<u8> {
        append(answer, |builder| self.transaction.answer(builder, time48(now))).0
    }

    /// For an answer of many messages.
    pub fn into_sequence(self) -> SequenceSigner {
        SequenceSigner { sequence: (*self.transaction).into() }
    }
}

/// Signs each message of a long answer.
pub struct SequenceSigner {
    sequence: lib::ServerSequence<Arc<lib::Key>>,
}

impl SequenceSigner {
    /// Signs the next message.
    pub fn sign(&mut self, message: Vec<u8>, now: u64) -> Vec<u8> {
        append(message, |builder| self.sequence.answer(builder, time48(now))).0
    }
}

fn time48(now: u64) -> Time48 {
    Time48::from_u64(now & 0xffff_ffff_ffff)
}

/// Checks what can be checked without the key. The rcode, and where the TSIG record starts if there is one.
fn examine(message: &[u8], id: u16) -> Result<(Rcode, Option<usize>), TsigError> {
    let found = find(message)?;
    if u16_at(message, 0)? != id {
        return Err(TsigError::WrongId);
    }
    let rcode = Rcode(u16::from(message[3] & 0xf));
    let Some(found) = found else { return Ok((rcode, None)) };
    match found.error {
        0 if found.original_id != id => Err(TsigError::WrongId),
        0 => Ok((rcode, Some(found.start))),
        BADKEY => Err(TsigError::BadKey(rcode)),
        BADSIG => Err(TsigError::BadSig(rcode)),
        BADTIME if found.other.len() == 6 => {
            let server = found.other.iter().fold(0, |time, &octet| time << 8 | u64::from(octet));
            Err(TsigError::BadTime { ours: found.time, server })
        }
        code => Err(TsigError::Other(rcode, code)),
    }
}

/// Lets the library verify a message without copying it, then cuts it at `end`.
fn in_place(
    message: Vec<u8>,
    end: usize,
    verify: impl FnOnce(&mut Octets<Vec<u8>>) -> Result<(), lib::ValidationError>,
) -> Result<Vec<u8>, TsigError> {
    let mut message = Octets::from_octets(message).map_err(|_| WireError::Short(0))?;
    verify(&mut message).map_err(|error| match error {
        lib::ValidationError::BadKey | lib::ValidationError::BadAlg => TsigError::WrongKey,
        lib::ValidationError::BadTime => TsigError::Stale,
        lib::ValidationError::TooManyUnsigned => TsigError::UnsignedEnd,
        _ => TsigError::Forged,
    })?;
    let mut message = message.into_octets();
    message.truncate(end);
    Ok(message)
}

/// A finished message that the library's builder takes for one that it has begun itself.
struct Finished {
    message: Vec<u8>,
    /// The builder starts by emptying its target and writing a blank header, which must not happen to ours.
    begun: bool,
}

impl OctetsBuilder for Finished {
    type AppendError = std::convert::Infallible;
    fn append_slice(&mut self, slice: &[u8]) -> Result<(), Self::AppendError> {
        if std::mem::replace(&mut self.begun, true) {
            self.message.extend_from_slice(slice);
        }
        Ok(())
    }
}

impl Truncate for Finished {
    fn truncate(&mut self, len: usize) {
        if self.begun {
            self.message.truncate(len);
        }
    }
}

impl AsRef<[u8]> for Finished {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

impl AsMut<[u8]> for Finished {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.message
    }
}

impl domain::base::wire::Composer for Finished {}

/// Lets the library append a TSIG record to a finished message.
fn append<T, E>(
    message: Vec<u8>,
    sign: impl FnOnce(&mut domain::base::message_builder::AdditionalBuilder<Finished>) -> Result<T, E>,
) -> (Vec<u8>, T)
where
    E: fmt::Debug,
{
    debug_assert!(message.len() >= HEADER);
    let Ok(builder) = MessageBuilder::from_target(Finished { message, begun: false });
    let mut builder = builder.additional();
    // Fails only for a short target (ours grows) or with 65,535 additional records, which no message of ours has.
    #[allow(clippy::expect_used)]
    let signed = sign(&mut builder).expect("a growing message takes one more record");
    (builder.finish().message, signed)
}

/// The signed answer to a request of another time, which tells ours (RFC 8945 §5.2.3).
fn bad_time(key: &Key, request: &[u8], found: &Found, now: u64) -> Vec<u8> {
    let other = &now.to_be_bytes()[2..];
    let mut mac = ring::hmac::Context::with_key(&key.hmac);
    mac.update(&(found.mac.len() as u16).to_be_bytes());
    mac.update(&found.mac);
    mac.update(&error_answer(request, Rcode::NOTAUTH, None));
    // RFC 8945 §4.3.3: the variables of the TSIG record.
    mac.update(key.name.wire());
    mac.update(&[0, 255, 0, 0, 0, 0]);
    mac.update(&key.algorithm.wire());
    mac.update(&found.time.to_be_bytes()[2..]);
    mac.update(&found.fudge.to_be_bytes());
    mac.update(&BADTIME.to_be_bytes());
    mac.update(&(other.len() as u16).to_be_bytes());
    mac.update(other);
    let record = found.record(mac.sign().as_ref(), BADTIME, other);
    error_answer(request, Rcode::NOTAUTH, Some(&record))
}

#[cfg(test)]
#[path = "tsig_tests.rs"]
mod tests;
