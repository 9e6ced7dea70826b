//! Zone transfers as a state machine over raw messages (RFC 5936, RFC 1995).
//!
//! Nothing comes out before the end was seen: the last SOA, the last signature, and no octet more. Records are read
//! where they lie; no message is ever built.

use super::message::{Class, Message, Rcode, serial_newer, soa_serial};
use super::tsig::{Sequence, TsigError};
use super::wire::{HEADER, NameBuf, RawRecord, WireError, expand, read_name, u16_at};
use crate::model::{Name, RrType, rdata};
use crate::view::{Builder, Diff, Entry, View};

/// A complete transfer.
#[derive(Debug)]
pub enum Transfer {
    /// The server has the serial that we have.
    UpToDate,
    /// The server has an older serial than we: it lost data. Ask for everything.
    Behind(u32),
    /// The whole zone.
    Full(View),
    /// The steps from our serial to the server's, without a gap.
    Delta(Vec<Diff>),
}

/// Why a transfer gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XfrError {
    /// The server refuses; see [`super::explain`].
    #[error("the server answered {0}")]
    Refused(Rcode),
    /// A message that is not signed as it must be, or the server's word on our signature.
    #[error(transparent)]
    Tsig(#[from] TsigError),
    /// A message that cannot be read.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// Another id, opcode or question than ours, or no answer at all.
    #[error("the message does not answer the question")]
    NotOurs,
    /// TC is set, which has no meaning over TCP.
    #[error("the server cut a message short")]
    Cut,
    /// A record that no zone can hold, or of another class.
    #[error("a {0} record of class {1} at {2} does not belong in a transfer")]
    Misfit(RrType, Class, Name),
    /// A record outside the zone.
    #[error("a record of {0} is outside the zone")]
    OutOfZone(Name),
    /// The first record is not the zone's SOA.
    #[error("the transfer does not start with the SOA record of the zone")]
    NoSoa,
    /// An incremental transfer whose steps do not follow each other.
    #[error("the transfer has a gap: a step from serial {found} where {expected} was reached")]
    Gap {
        /// The serial reached.
        expected: u32,
        /// The serial that came.
        found: u32,
    },
    /// The first and the last SOA record differ: the zone changed under a server that does not keep it still.
    #[error("the first and the last SOA record of the transfer differ")]
    SoaDiffers,
    /// Records after the last SOA.
    #[error("there are records after the end of the transfer")]
    Trailing,
    /// The stream ended before the last SOA.
    #[error("the transfer ended early, after {0} records")]
    Early(usize),
}

impl XfrError {
    /// The stable word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            XfrError::Refused(_) => "TransferRefused",
            XfrError::Tsig(error) => error.reason(),
            XfrError::Early(_) | XfrError::Cut => "TransferIncomplete",
            _ => "TransferMalformed",
        }
    }
}

/// Whether more messages are to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The end was not seen yet.
    More,
    /// The last record was seen: call [`Reader::finish`].
    Done,
}

/// The SOA that everything hangs on: the first one.
struct Soa {
    serial: u32,
    ttl: u32,
    rdata: Box<[u8]>,
}

enum State {
    /// No record yet.
    Start,
    /// One SOA came; the second record says which kind of transfer it is.
    First(Soa),
    Full(Soa, Box<Builder>),
    /// In the part of a step that removes.
    Removed(Soa, Vec<Diff>),
    /// In the part of a step that adds.
    Added(Soa, Vec<Diff>),
    Done(Transfer),
    /// After an error.
    Broken,
}

/// Reads the answer to an AXFR or IXFR question.
pub struct Reader {
    zone: Name,
    id: u16,
    have: Option<u32>,
    tsig: Option<Sequence>,
    state: State,
    messages: usize,
    records: usize,
}

impl Reader {
    /// For the answer to an IXFR question when we `have` a serial, else to an AXFR question; `tsig` when it was signed:
    /// then every message is verified here.
    pub fn new(zone: Name, id: u16, have: Option<u32>, tsig: Option<Sequence>) -> Reader {
        Reader { zone, id, have, tsig, state: State::Start, messages: 0, records: 0 }
    }

    /// Takes the next message, at `now` in Unix seconds.
    ///
    /// # Errors
    /// [`XfrError`]; the transfer is then worthless, and whatever is pushed after it fails as well.
    pub fn push(&mut self, message: Vec<u8>, now: u64) -> Result<Progress, XfrError> {
        let result = self.read(message, now);
        if result.is_err() {
            self.state = State::Broken;
        }
        result
    }

    /// How many records came so far.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The transfer, once it is complete.
    ///
    /// # Errors
    /// [`XfrError::Early`] before the end; [`XfrError::Tsig`] when the end is not signed.
    pub fn finish(self) -> Result<Transfer, XfrError> {
        let State::Done(transfer) = self.state else { return Err(XfrError::Early(self.records)) };
        if let Some(tsig) = self.tsig {
            tsig.done()?;
        }
        Ok(transfer)
    }

    fn read(&mut self, message: Vec<u8>, now: u64) -> Result<Progress, XfrError> {
        match self.state {
            State::Done(_) => return Err(XfrError::Trailing),
            State::Broken => return Err(XfrError::Early(self.records)),
            _ => {}
        }
        let message = match &mut self.tsig {
            Some(tsig) => tsig.verify(message, now)?,
            None => message,
        };
        let msg = &message[..];
        let mut at = self.header(msg)?;
        let mut owner = NameBuf::new();
        for _ in 0..u16_at(msg, 6)? {
            let fixed = owner.read(msg, at)?;
            let record = RawRecord::fields(msg, at, fixed)?;
            self.record(msg, &owner, &record)?;
            self.records += 1;
            at = record.end;
        }
        // RFC 1995 §4: a lone SOA means that there is nothing newer. A newer one is the start of something.
        if let (State::First(soa), Some(have)) = (&self.state, self.have) {
            if soa.serial == have {
                self.state = State::Done(Transfer::UpToDate);
            } else if !serial_newer(soa.serial, have) {
                self.state = State::Done(Transfer::Behind(soa.serial));
            }
        }
        Ok(if matches!(self.state, State::Done(_)) { Progress::Done } else { Progress::More })
    }

    /// Checks header and question; gives where the answers start.
    fn header(&mut self, msg: &[u8]) -> Result<usize, XfrError> {
        if msg.len() < HEADER {
            return Err(WireError::Short(0).into());
        }
        // An answer (QR) to a query (opcode 0).
        if u16_at(msg, 0)? != self.id || msg[2] & 0xf8 != 0x80 {
            return Err(XfrError::NotOurs);
        }
        if msg[3] & 0xf != 0 {
            return Err(XfrError::Refused(Rcode(u16::from(msg[3] & 0xf))));
        }
        if msg[2] & 2 != 0 {
            return Err(XfrError::Cut);
        }
        // RFC 5936 §2.2.1: the first message repeats the question, later ones may.
        let first = self.messages == 0;
        self.messages += 1;
        match u16_at(msg, 4)? {
            0 if !first => Ok(HEADER),
            1 => {
                let (name, at) = read_name(msg, HEADER)?;
                let rtype = if self.have.is_some() { RrType::IXFR } else { RrType::AXFR };
                let asked = (u16_at(msg, at)?, u16_at(msg, at + 2)?) == (rtype.0, Class::IN.0);
                if name == self.zone && asked { Ok(at + 4) } else { Err(XfrError::NotOurs) }
            }
            _ => Err(XfrError::NotOurs),
        }
    }

    fn record(&mut self, msg: &[u8], owner: &NameBuf, record: &RawRecord) -> Result<(), XfrError> {
        let (rtype, ttl) = (record.rtype, record.ttl);
        // The common case: a record of the whole zone.
        if let State::Full(_, builder) = &mut self.state
            && rtype != RrType::SOA
        {
            if record.class != Class::IN.0 || rtype.is_meta() {
                return Err(misfit(msg, record));
            }
            return match builder.push(owner.wire(), rtype, ttl, &expand(msg, record)?) {
                true => Ok(()),
                false => Err(XfrError::OutOfZone(read_name(msg, record.start)?.0)),
            };
        }
        if record.class != Class::IN.0 || rtype.is_meta() {
            return Err(misfit(msg, record));
        }
        let name = read_name(msg, record.start)?.0;
        if !name.is_at_or_below(&self.zone) {
            return Err(XfrError::OutOfZone(name));
        }
        let data = expand(msg, record)?;
        let mut serial = None;
        if rtype == RrType::SOA {
            if name != self.zone {
                return Err(misfit(msg, record));
            }
            serial = Some(soa_serial(&data).ok_or(WireError::Rdata(rtype, record.rdata))?);
        }
        let entry = Entry { name, rtype, ttl, rdata: data.into() };
        let state = std::mem::replace(&mut self.state, State::Broken);
        self.state = step(state, &self.zone, self.have, entry, serial)?;
        Ok(())
    }
}

fn misfit(msg: &[u8], record: &RawRecord) -> XfrError {
    match read_name(msg, record.start) {
        Ok((name, _)) => XfrError::Misfit(record.rtype, Class(record.class), name),
        Err(error) => error.into(),
    }
}

/// The state after a record; `serial` is that of a SOA record of the zone.
fn step(state: State, zone: &Name, have: Option<u32>, entry: Entry, serial: Option<u32>) -> Result<State, XfrError> {
    Ok(match (state, serial) {
        (State::Start, Some(serial)) => State::First(Soa { serial, ttl: entry.ttl, rdata: entry.rdata }),
        (State::Start, None) => return Err(XfrError::NoSoa),
        (State::First(soa), Some(serial)) if have.is_some() && (Some(serial) == have || serial != soa.serial) => {
            let have = have.unwrap_or(serial);
            if serial != have {
                return Err(XfrError::Gap { expected: have, found: serial });
            }
            State::Removed(soa, vec![Diff { from: serial, to: serial, removed: vec![entry], added: Vec::new() }])
        }
        (State::First(soa), serial) => {
            let mut builder = Box::new(Builder::new(zone.clone()));
            builder.push(zone.wire(), RrType::SOA, soa.ttl, &soa.rdata);
            if serial.is_some() {
                return end(&soa, &entry, |soa| Transfer::Full(builder.finish(soa.serial)));
            }
            builder.push(entry.name.wire(), entry.rtype, entry.ttl, &entry.rdata);
            State::Full(soa, builder)
        }
        (State::Full(soa, builder), _) => return end(&soa, &entry, |soa| Transfer::Full(builder.finish(soa.serial))),
        (State::Removed(soa, mut diffs), serial) => {
            let Some(diff) = diffs.last_mut() else { return Err(XfrError::NoSoa) };
            match serial {
                None => {
                    diff.removed.push(entry);
                    State::Removed(soa, diffs)
                }
                Some(serial) => {
                    // RFC 1995 §4: towards the serial of the first SOA, never away from it.
                    if !serial_newer(serial, diff.from) || serial_newer(serial, soa.serial) {
                        return Err(XfrError::Gap { expected: diff.from, found: serial });
                    }
                    diff.to = serial;
                    diff.added.push(entry);
                    State::Added(soa, diffs)
                }
            }
        }
        (State::Added(soa, mut diffs), serial) => {
            let Some(diff) = diffs.last_mut() else { return Err(XfrError::NoSoa) };
            match serial {
                None => {
                    diff.added.push(entry);
                    State::Added(soa, diffs)
                }
                Some(serial) if serial != diff.to => return Err(XfrError::Gap { expected: diff.to, found: serial }),
                Some(serial) if serial == soa.serial => return end(&soa, &entry, |_| Transfer::Delta(diffs)),
                Some(serial) => {
                    diffs.push(Diff { from: serial, to: serial, removed: vec![entry], added: Vec::new() });
                    State::Removed(soa, diffs)
                }
            }
        }
        (State::Done(_), _) => return Err(XfrError::Trailing),
        (State::Broken, _) => State::Broken,
    })
}

/// The last SOA: it must be the first one once more (RFC 5936 §2.2), letter case aside.
fn end(first: &Soa, last: &Entry, transfer: impl FnOnce(&Soa) -> Transfer) -> Result<State, XfrError> {
    match rdata::same(RrType::SOA, &first.rdata, &last.rdata) {
        true => Ok(State::Done(transfer(first))),
        false => Err(XfrError::SoaDiffers),
    }
}

/// The question to send for what a [`Reader`] with the same arguments reads, unsigned.
pub fn question(zone: &Name, id: u16, have: Option<u32>) -> Vec<u8> {
    match have {
        Some(serial) => Message::ixfr(id, zone.clone(), serial).encode(),
        None => Message::query(id, zone.clone(), RrType::AXFR).encode(),
    }
}

#[cfg(test)]
#[path = "xfr_tests.rs"]
mod tests;
