//! NOTIFY out of the embedded authority (RFC 1996), against a secondary that is a socket of ours: told at first and after
//! each change, signed with its key, told again until it answers, and never more than it needs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use knotwork::authority::{Authority, AuthorityConfig, Handle, Limits};
use knotwork::dns::tsig::{self, Received, Signer};
use knotwork::dns::{Message, Opcode, Rcode, soa_serial};
use knotwork::model::RrType;
use knotwork::plan::Edit;
use support::engine::{key, n};
use support::knot::KEYS;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ZONE: &str = "$TTL 300\n@ SOA ns0 host 10 3600 600 86400 60\n@ NS ns0\nns0 A 10.0.0.1\n";

async fn start(target: SocketAddr, signed: bool) -> Handle {
    let config = AuthorityConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        zones: vec![(n("internal"), ZONE.to_owned())],
        keys: vec![key(KEYS[0].0, KEYS[0].1)],
        notify: vec![target],
    };
    let limits = Limits { notify_key: signed.then(|| n(KEYS[0].0)), ..Limits::default() };
    Authority::start_with(config, limits).await.unwrap()
}

fn change(authority: &Handle, last: u8) {
    let add = Edit::Add(n("host.internal"), RrType::A, 60, [10, 0, 9, last].into());
    authority.edit(&n("internal"), &[], &[add]).unwrap();
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// One NOTIFY that waits for its answer.
struct Told {
    stream: TcpStream,
    message: Message,
    signer: Option<Signer>,
    serial: u32,
}

impl Told {
    async fn answer(mut self, rcode: Rcode) {
        let mut bytes = self.message.answer(rcode).encode();
        if let Some(signer) = self.signer.take() {
            bytes = signer.sign(bytes, now());
        }
        self.raw(&bytes).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(bytes);
        self.stream.write_all(&framed).await.unwrap();
    }
}

/// A secondary.
struct Secondary(TcpListener);

impl Secondary {
    async fn new() -> (Secondary, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        (Secondary(listener), addr)
    }

    /// The next NOTIFY, read and verified.
    async fn told(&self) -> Told {
        let told = async {
            let (mut stream, _) = self.0.accept().await.unwrap();
            let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut bytes).await.unwrap();
            let (plain, signer) = match tsig::receive(&[key(KEYS[0].0, KEYS[0].1)], bytes, now()) {
                Received::Signed { message, signer, .. } => (message, Some(signer)),
                Received::Unsigned(message) => (message, None),
                Received::Rejected(_) => panic!("a wrong signature"),
            };
            let message = Message::parse(&plain).unwrap();
            assert_eq!((message.opcode, message.authoritative, message.response), (Opcode::NOTIFY, true, false));
            let question = &message.questions[0];
            assert_eq!((question.name.to_relaxed().as_str(), question.rtype), ("internal", RrType::SOA));
            let soa = &message.answers[0];
            assert_eq!((soa.name.to_relaxed().as_str(), soa.rtype), ("internal", RrType::SOA));
            let serial = soa_serial(&soa.rdata).unwrap();
            Told { stream, message, signer, serial }
        };
        tokio::time::timeout(Duration::from_secs(60), told).await.expect("a NOTIFY")
    }

    /// Whether nothing at all comes for a while. It can fail only by something coming that should not.
    async fn is_left_alone(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(1500), self.0.accept()).await.is_err()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_is_told_at_first_and_of_each_change() {
    for signed in [true, false] {
        let (secondary, addr) = Secondary::new().await;
        let authority = start(addr, signed).await;
        for serial in 10..14 {
            let told = secondary.told().await;
            assert_eq!((told.serial, told.signer.is_some()), (serial, signed));
            told.answer(Rcode::NOERROR).await;
            change(&authority, serial as u8);
        }
        secondary.told().await.answer(Rcode::NOERROR).await;
        assert!(secondary.is_left_alone().await, "nothing new, nothing told");
        // An update that changes nothing is no change.
        change(&authority, 13);
        assert!(secondary.is_left_alone().await);
        authority.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_come_meanwhile_are_told_as_one() {
    let (secondary, addr) = Secondary::new().await;
    let authority = start(addr, true).await;
    let first = secondary.told().await;
    (0..200).for_each(|last| change(&authority, last));
    first.answer(Rcode::NOERROR).await;
    let second = secondary.told().await;
    assert_eq!(second.serial, 210, "the newest only");
    second.answer(Rcode::NOERROR).await;
    assert!(secondary.is_left_alone().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_rightly_is_told_again() {
    let (secondary, addr) = Secondary::new().await;
    let authority = start(addr, true).await;
    // Closed without a word; refused; without signature; with another id. Each is told again, with pauses that grow.
    drop(secondary.told().await);
    let mut last = tokio::time::Instant::now();
    let mut gaps = Vec::new();
    for kind in 0..3 {
        let mut told = secondary.told().await;
        gaps.push(last.elapsed());
        last = tokio::time::Instant::now();
        let good = told.message.answer(Rcode::NOERROR);
        match kind {
            0 => told.answer(Rcode::REFUSED).await,
            1 => told.raw(&good.encode()).await,
            _ => {
                let other = Message { id: good.id.wrapping_add(1), ..good };
                let signed = told.signer.take().unwrap().sign(other.encode(), now());
                told.raw(&signed).await;
            }
        }
    }
    assert!(gaps.iter().all(|gap| *gap > Duration::from_millis(500)), "it rests before it tries again: {gaps:?}");
    assert!(gaps[1] > gaps[0] && gaps[2] > gaps[1], "and each time longer: {gaps:?}");
    // A change does not wait for the pause to end.
    let since = tokio::time::Instant::now();
    change(&authority, 1);
    let told = secondary.told().await;
    assert_eq!(told.serial, 11);
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    told.answer(Rcode::NOERROR).await;
    assert!(secondary.is_left_alone().await);
}

/// A secondary that accepts and says nothing must not hold up the zone (`knot.md` §4: with Knot it does), nor another
/// secondary, nor the end of the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_secondary_holds_nobody_up() {
    let (silent, silent_addr) = Secondary::new().await;
    let (secondary, addr) = Secondary::new().await;
    let config = AuthorityConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        zones: vec![(n("internal"), ZONE.to_owned())],
        keys: vec![],
        notify: vec![silent_addr, addr],
    };
    let authority = Authority::start(config).await.unwrap();
    let silent_told = silent.told().await;
    secondary.told().await.answer(Rcode::NOERROR).await;
    let since = tokio::time::Instant::now();
    for last in 1..4 {
        change(&authority, last);
        let told = secondary.told().await;
        assert_eq!(told.serial, 10 + u32::from(last));
        told.answer(Rcode::NOERROR).await;
    }
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    // It is given up after a while and told again, once: not once for each serial that it missed.
    let again = silent.told().await;
    assert_eq!(again.serial, 13);
    drop(silent_told);
    tokio::time::timeout(Duration::from_secs(3), authority.stop()).await.expect("it stops at once");
}
