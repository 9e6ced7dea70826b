//! What becomes of a request: the steps that a socket takes to answer it, faults included.

use std::time::Duration;

use super::faults::Fault;
use super::transfer::Transfer;
use crate::dns::Message;
use crate::dns::tsig::{SequenceSigner, Signer};

/// One step of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send a whole message.
    Send(Vec<u8>),
    /// Send the first half of a message (its length in full) and close.
    SendHalf(Vec<u8>),
    /// Wait.
    Wait(Duration),
    /// Wait, then handle this request as if it came only now.
    Later(Duration, Vec<u8>),
    /// Send nothing more, but keep the connection until the client closes it.
    Stall,
    /// Close the connection.
    Close,
}

/// The steps of an answer. Messages of a transfer are made as they are asked for, from the zone as it was.
pub struct Reply(Box<dyn Iterator<Item = Step> + Send>);

impl Iterator for Reply {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        self.0.next()
    }
}

impl Reply {
    pub(super) fn silent() -> Reply {
        Reply::steps(Vec::new())
    }

    pub(super) fn steps(steps: Vec<Step>) -> Reply {
        Reply(Box::new(steps.into_iter()))
    }

    pub(super) fn message(message: Vec<u8>) -> Reply {
        Reply::steps(vec![Step::Send(message)])
    }

    /// One answer, with what went wrong after the request was carried out.
    pub(super) fn single(answer: &Message, signer: Option<Signer>, faults: &[Fault], now: u64) -> Reply {
        let mut steps = Vec::new();
        let mut bytes = answer.encode();
        if let Some(signer) = signer.filter(|_| !faults.contains(&Fault::Unsigned)) {
            bytes = signer.sign(bytes, now);
        }
        for fault in faults {
            match fault {
                Fault::LostAfter => return Reply::steps(vec![Step::Close]),
                Fault::SilentAfter => return Reply::silent(),
                Fault::Delay(time) => steps.push(Step::Wait(*time)),
                Fault::WrongId => wrong_id(&mut bytes),
                Fault::Forged => forge(&mut bytes),
                _ => {}
            }
        }
        match faults.contains(&Fault::AnswerCut) {
            true => steps.push(Step::SendHalf(bytes)),
            false => steps.push(Step::Send(bytes)),
        }
        Reply::steps(steps)
    }

    /// The messages of a transfer, each signed when the request was.
    pub(super) fn transfer(transfer: Transfer, signer: Option<Signer>, faults: &[Fault], now: u64) -> Reply {
        let unsigned = faults.contains(&Fault::Unsigned);
        let mut signer = signer.filter(|_| !unsigned).map(Signer::into_sequence);
        let messages = transfer.map(move |message| sign(&message, signer.as_mut(), now));
        // Without a fault nothing is gathered: a zone of a million records streams.
        if faults.is_empty() {
            return Reply(Box::new(messages.map(Step::Send)));
        }
        spoil(messages.collect(), faults)
    }
}

fn sign(message: &Message, signer: Option<&mut SequenceSigner>, now: u64) -> Vec<u8> {
    match signer {
        Some(signer) => signer.sign(message.encode(), now),
        None => message.encode(),
    }
}

/// The steps of a transfer with faults.
fn spoil(mut messages: Vec<Vec<u8>>, faults: &[Fault]) -> Reply {
    let mut before = Vec::new();
    let mut after = Vec::new();
    for fault in faults {
        match fault {
            Fault::Delay(time) => before.push(Step::Wait(*time)),
            Fault::WrongId => messages.iter_mut().for_each(|message| wrong_id(message)),
            Fault::Forged => messages.iter_mut().for_each(|message| forge(message)),
            Fault::TransferForged(number) => messages.get_mut(*number).into_iter().for_each(|message| forge(message)),
            Fault::TransferReordered => messages.chunks_exact_mut(2).for_each(<[_]>::reverse),
            Fault::TransferGap(number) if *number < messages.len() => drop(messages.remove(*number)),
            Fault::TransferCut(count) | Fault::TransferStalled(count) => messages.truncate(*count),
            _ => {}
        }
        match fault {
            Fault::TransferCut(_) | Fault::TransferNoEnd => after = vec![Step::Close],
            Fault::TransferStalled(_) => after = vec![Step::Stall],
            _ => {}
        }
    }
    let steps = before.into_iter().chain(messages.into_iter().map(Step::Send)).chain(after);
    Reply::steps(steps.collect())
}

fn wrong_id(message: &mut [u8]) {
    message.iter_mut().take(2).for_each(|octet| *octet ^= 0x55);
}

/// Changes the last octet of the MAC, which is followed by the original id, the error and the length of nothing.
fn forge(message: &mut [u8]) {
    let place = message.len().saturating_sub(7);
    if let Some(octet) = message.get_mut(place) {
        *octet ^= 1;
    }
}
