#![allow(clippy::unwrap_used)]

use super::*;
use crate::dns::{Message, Record};
use crate::model::RrType;
use proptest::prelude::*;

const NOW: u64 = 1_760_000_000;

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn key(name: &str, algorithm: Algorithm, secret: &[u8]) -> Key {
    Key::new(n(name), algorithm, secret).unwrap()
}

fn ours() -> Key {
    key("operator", Algorithm::HmacSha256, b"0123456789abcdef0123456789abcdef")
}

fn question() -> Vec<u8> {
    Message::query(0x1234, n("internal"), RrType::SOA).encode()
}

fn answer(request: &[u8], text: &str) -> Vec<u8> {
    let mut answer = Message::parse(request).unwrap().answer(Rcode::NOERROR);
    answer.answers.push(Record::new(n(text), RrType::A, 300, [10, 0, 0, 1]));
    answer.encode()
}

fn accepted(keys: &[Key], request: Vec<u8>, now: u64) -> (Vec<u8>, Signer) {
    match receive(keys, request, now) {
        Received::Signed { message, signer, .. } => (message, signer),
        Received::Unsigned(_) => panic!("unsigned"),
        Received::Rejected(answer) => panic!("rejected: {:?}", Message::parse(&answer)),
    }
}

fn rejected(keys: &[Key], request: Vec<u8>, now: u64) -> Vec<u8> {
    match receive(keys, request, now) {
        Received::Rejected(answer) => answer,
        _ => panic!("accepted"),
    }
}

#[test]
fn question_and_answer_with_every_algorithm() {
    for algorithm in Algorithm::ALL {
        let key = key("operator.example", algorithm, b"some secret");
        let (request, pending) = sign(&key, question(), NOW);
        assert_eq!(request.len(), question().len() + key.overhead());
        let (message, signer) = accepted(std::slice::from_ref(&key), request, NOW + 5);
        assert_eq!(message, question());
        let plain = answer(&message, "a.internal");
        let signed = signer.sign(plain.clone(), NOW + 5);
        assert_eq!(pending.verify(signed.clone(), NOW).unwrap(), plain);
        assert_eq!(pending.verify(signed, NOW + 4000), Err(TsigError::Stale));
    }
}

#[test]
fn requests_without_signature_pass_as_such() {
    assert!(matches!(receive(&[ours()], question(), NOW), Received::Unsigned(m) if m == question()));
}

#[test]
fn the_server_says_what_is_wrong() {
    let (request, pending) = sign(&ours(), question(), NOW);
    let other_name = key("other", Algorithm::HmacSha256, b"0123456789abcdef0123456789abcdef");
    let other_algorithm = key("operator", Algorithm::HmacSha512, b"0123456789abcdef0123456789abcdef");
    let other_secret = key("operator", Algorithm::HmacSha256, b"x");
    let verdict = |keys: &[Key], now| pending.verify(rejected(keys, request.clone(), now), now);
    assert_eq!(verdict(&[], NOW), Err(TsigError::BadKey(Rcode::NOTAUTH)));
    assert_eq!(verdict(&[other_name], NOW), Err(TsigError::BadKey(Rcode::NOTAUTH)));
    assert_eq!(verdict(&[other_algorithm], NOW), Err(TsigError::BadKey(Rcode::NOTAUTH)));
    assert_eq!(verdict(&[other_secret], NOW), Err(TsigError::BadSig(Rcode::NOTAUTH)));
    let late = NOW + 3600;
    assert_eq!(verdict(&[ours()], late), Err(TsigError::BadTime { ours: NOW, server: late }));
}

/// The MAC of a BADTIME answer by the text of RFC 8945 §5.3.2 and §4.3, computed here once more with another library.
#[test]
fn bad_time_is_signed_over_six_octets_of_time() {
    let (request, _) = sign(&ours(), question(), NOW);
    let late = NOW + 3600;
    let answer = rejected(&[ours()], request.clone(), late);
    let (asked, found) = (find(&request).unwrap().unwrap(), find(&answer).unwrap().unwrap());
    assert_eq!((found.error, found.time, found.other.len()), (18, NOW, 6));
    let mut data = Vec::new();
    data.extend((asked.mac.len() as u16).to_be_bytes());
    data.extend(&asked.mac);
    data.extend(&answer[..found.start]);
    let before = asked.mac.len() + 2;
    data[before + 11] = 0; // ARCOUNT without the TSIG record
    data.extend(b"\x08operator\x00\x00\xff\x00\x00\x00\x00\x0bhmac-sha256\x00");
    data.extend(&NOW.to_be_bytes()[2..]);
    data.extend([1, 44, 0, 18, 0, 6]);
    data.extend(&late.to_be_bytes()[2..]);
    assert_eq!(found.mac, hmac_sha256(b"0123456789abcdef0123456789abcdef", &data));
}

/// RFC 2104, with the `sha2` crate.
fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let pad = |byte: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).unwrap_or(&0) ^ byte).collect() };
    let inner = Sha256::digest([pad(0x36), data.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

#[test]
fn an_unsigned_answer_is_only_ever_a_failure() {
    let (request, pending) = sign(&ours(), question(), NOW);
    for rcode in [Rcode::NOERROR, Rcode::NOTAUTH, Rcode::NXDOMAIN] {
        let plain = Message::parse(&request).unwrap().answer(rcode).encode();
        assert_eq!(pending.verify(plain, NOW), Err(TsigError::Unsigned(rcode)));
    }
}

#[test]
fn a_signed_refusal_comes_through() {
    let (request, pending) = sign(&ours(), question(), NOW);
    let (message, signer) = accepted(&[ours()], request, NOW);
    let refusal = Message::parse(&message).unwrap().answer(Rcode::REFUSED).encode();
    let got = pending.verify(signer.sign(refusal, NOW), NOW).unwrap();
    assert_eq!(Message::parse(&got).unwrap().rcode, Rcode::REFUSED);
}

#[test]
fn answers_to_other_questions_are_refused() {
    let (first, _) = sign(&ours(), question(), NOW);
    let (_, pending) = sign(&ours(), Message::query(0x1234, n("other"), RrType::SOA).encode(), NOW);
    let (message, signer) = accepted(&[ours()], first, NOW);
    let signed = signer.sign(answer(&message, "a.internal"), NOW);
    assert_eq!(pending.verify(signed, NOW), Err(TsigError::Forged));
}

fn sequence() -> (Sequence, SequenceSigner, Vec<u8>) {
    let (request, sequence) = sign_sequence(&ours(), question(), NOW);
    let (message, signer) = accepted(&[ours()], request, NOW);
    (sequence, signer.into_sequence(), message)
}

#[test]
fn sequences_are_verified_message_by_message() {
    let (mut client, mut server, request) = sequence();
    for i in 0..5 {
        let plain = answer(&request, &format!("host{i}.internal"));
        assert_eq!(client.verify(server.sign(plain.clone(), NOW), NOW).unwrap(), plain);
    }
    client.done().unwrap();
}

#[test]
fn swapped_lost_and_repeated_messages_are_found() {
    for order in [[0, 2, 1], [1, 0, 2], [0, 0, 1]] {
        let (mut client, mut server, request) = sequence();
        let messages: Vec<Vec<u8>> =
            (0..3).map(|i| server.sign(answer(&request, &format!("host{i}.internal")), NOW)).collect();
        assert!(order.iter().any(|&i| client.verify(messages[i].clone(), NOW).is_err()), "{order:?}");
    }
}

/// RFC 8945 §5.3.1: unsigned messages are covered by the next signature.
#[test]
fn unsigned_messages_in_between() {
    use lib_mac::Chain;
    for (unsigned, tamper, good) in [(99, false, true), (1, false, true), (100, false, false), (3, true, false)] {
        let (mut client, mut server, request) = sequence();
        let first = server.sign(answer(&request, "first.internal"), NOW);
        let mut chain = Chain::after(&first);
        client.verify(first, NOW).unwrap();
        let mut failed = false;
        for i in 0..unsigned {
            let plain = answer(&request, &format!("host{i}.internal"));
            chain.unsigned(&plain);
            let mut sent = plain.clone();
            if tamper && i == 1 {
                *sent.last_mut().unwrap() ^= 1;
            }
            failed |= client.verify(sent, NOW).is_err();
        }
        let last = chain.signed(answer(&request, "last.internal"));
        failed |= client.verify(last, NOW).is_err();
        assert_eq!(!failed, good, "{unsigned} {tamper}");
    }
    let (mut client, mut server, request) = sequence();
    client.verify(server.sign(answer(&request, "first.internal"), NOW), NOW).unwrap();
    client.verify(answer(&request, "last.internal"), NOW).unwrap();
    assert_eq!(client.done(), Err(TsigError::UnsignedEnd));
    let (mut client, _, request) = sequence();
    assert!(matches!(client.verify(answer(&request, "a.internal"), NOW), Err(TsigError::Unsigned(_))));
    assert_eq!(client.done(), Err(TsigError::UnsignedEnd));
}

/// The chain of MACs with gaps, which the library's server half cannot make.
mod lib_mac {
    use super::*;

    pub struct Chain(Vec<u8>);

    impl Chain {
        pub fn after(signed: &[u8]) -> Chain {
            let mac = find(signed).unwrap().unwrap().mac;
            Chain([&(mac.len() as u16).to_be_bytes()[..], &mac].concat())
        }
        pub fn unsigned(&mut self, message: &[u8]) {
            self.0.extend(message);
        }
        pub fn signed(&self, mut message: Vec<u8>) -> Vec<u8> {
            let mut data = self.0.clone();
            data.extend(&message);
            data.extend(&NOW.to_be_bytes()[2..]);
            data.extend([1, 44]);
            let record = Found {
                start: 0,
                name: n("operator"),
                algorithm: Algorithm::HmacSha256.wire(),
                time: NOW,
                fudge: 300,
                mac: Vec::new(),
                original_id: 0x1234,
                error: 0,
                other: Vec::new(),
            };
            message[11] += 1;
            message.extend(record.record(&hmac_sha256(b"0123456789abcdef0123456789abcdef", &data), 0, &[]));
            message
        }
    }
}

#[test]
fn keys_are_not_shown() {
    let text = format!("{:?}", ours());
    assert_eq!(text, "Key(operator. hmac-sha256, secret hidden)");
    assert_eq!(Key::new(n("k"), Algorithm::HmacSha1, b"").unwrap_err().reason(), "InvalidKey");
}

#[test]
fn algorithm_names() {
    assert_eq!(Algorithm::parse("HMAC-SHA512."), Some(Algorithm::HmacSha512));
    assert_eq!(Algorithm::parse("hmac-md5"), None);
}

proptest! {
    /// Whatever is changed, the answer is refused or is still the same answer (letter case of the key's name).
    #[test]
    fn tampering_is_found(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (request, pending) = sign(&ours(), question(), NOW);
        let (message, signer) = accepted(&[ours()], request.clone(), NOW);
        let plain = answer(&message, "a.internal");
        let mut signed = signer.sign(plain.clone(), NOW);
        let i = at.index(signed.len());
        signed[i] ^= flip;
        if let Ok(got) = pending.verify(signed, NOW) {
            prop_assert_eq!(got, plain);
        }
        let mut asked = request;
        let i = at.index(asked.len());
        asked[i] ^= flip;
        // The id may differ by RFC 8945 §5.3 (forwarders), the original one is restored.
        if let Received::Signed { message, .. } = receive(&[ours()], asked, NOW) {
            prop_assert_eq!(message, question());
        }
    }

    #[test]
    fn longer_and_shorter_answers_are_refused(cut in 1usize..100, more in prop::collection::vec(any::<u8>(), 1..20)) {
        let (request, pending) = sign(&ours(), question(), NOW);
        let (message, signer) = accepted(&[ours()], request, NOW);
        let signed = signer.sign(answer(&message, "a.internal"), NOW);
        prop_assert!(pending.verify(&signed[..signed.len() - cut], NOW).is_err());
        prop_assert!(pending.verify([signed, more].concat(), NOW).is_err());
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (_, pending) = sign(&ours(), question(), NOW);
        let _ = pending.verify(bytes.clone(), NOW);
        let _ = receive(&[ours()], bytes, NOW);
    }
}
