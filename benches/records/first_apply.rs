//! First apply: the engine against the same messages signed beforehand and streamed, on fresh zones, in turns.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use knotwork::dns::tsig::sign;
use knotwork::model::Claims;
use knotwork::zone::{Report, Role};

use crate::stats::{median, number, ratio, show};
use crate::support::engine::key;
use crate::support::knot::KEYS;
use crate::support::parts::Program;
use crate::{lab, relay};

const ROUNDS: usize = 5;

/// The table.
pub fn run(knot: &Program) -> String {
    let mut out = String::from(
        "| sets | messages | octets | engine: first UPDATE to last answer | same messages pre-signed and streamed | rate of the engine | sets/s |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for count in [10_000, 100_000] {
        let claims = lab::claims(count, |_| 0);
        let messages = recorded(knot, &claims);
        let (mut engine, mut stream, mut octets) = (Vec::new(), Vec::new(), 0);
        for round in 0..ROUNDS {
            let server = lab::knot(knot, None);
            let report = lab::runtime().block_on(apply(server.addr, &claims));
            assert_eq!(report.updates_sent as usize, messages.len(), "the same messages in every run");
            octets = report.bytes;
            engine.push(report.timings.sending);
            drop(server);
            let server = lab::knot(knot, None);
            stream.push(streamed(server.addr, &messages));
            eprintln!("first-apply {count} round {round}: {} against {}", show(engine[round]), show(stream[round]));
        }
        let (engine, stream) = (median(&engine), median(&stream));
        out += &format!(
            "| {} | {} | {} | {} | {} | {:.2} | {} |\n",
            number(count),
            messages.len(),
            number(octets as usize),
            show(engine),
            show(stream),
            ratio(stream, engine),
            number((count as f64 / engine.as_secs_f64()) as usize),
        );
    }
    out + &format!("\nMedian of {ROUNDS} runs each, in turns.\n")
}

/// Applies all claims to the zone at `addr`.
async fn apply(addr: SocketAddr, claims: &std::sync::Arc<Claims>) -> Report {
    let mut engine = lab::engine(addr, Role::OneShot);
    engine.refresh().await.expect("refresh");
    engine.set_claims(claims.clone());
    let plan = engine.plan().expect("plan");
    let report = engine.apply(&plan, &|_| false).await;
    assert!(report.all_done(), "{:?}", report.stopped);
    report
}

/// What the engine sends for these claims, without its signatures.
fn recorded(knot: &Program, claims: &std::sync::Arc<Claims>) -> Vec<Vec<u8>> {
    let server = lab::knot(knot, None);
    let overhead = key(KEYS[0].0, KEYS[0].1).overhead();
    lab::runtime().block_on(async {
        let (addr, log) = relay::start(server.addr).await;
        apply(addr, claims).await;
        let updates = log.updates.lock().expect("log");
        let bare = |seen: &relay::Seen| {
            let mut message = seen.message[..seen.message.len() - overhead].to_vec();
            message[11] -= 1;
            message
        };
        updates.iter().map(bare).collect()
    })
}

/// Signs all, then sends as fast as the connection takes them; from the first octet to the last answer.
fn streamed(addr: SocketAddr, messages: &[Vec<u8>]) -> Duration {
    let key = key(KEYS[0].0, KEYS[0].1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let mut bytes = Vec::new();
    for (id, message) in messages.iter().enumerate() {
        let mut message = message.clone();
        message[..2].copy_from_slice(&(id as u16).to_be_bytes());
        let (message, _) = sign(&key, message, now);
        bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&message);
    }
    let stream = TcpStream::connect(addr).expect("knot");
    stream.set_nodelay(true).expect("nodelay");
    let mut answers = BufReader::new(stream.try_clone().expect("clone"));
    let count = messages.len();
    let reader = std::thread::spawn(move || {
        for _ in 0..count {
            let mut length = [0; 2];
            answers.read_exact(&mut length).expect("an answer");
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            answers.read_exact(&mut answer).expect("an answer");
            assert_eq!(answer[3] & 15, 0, "NOERROR");
        }
        Instant::now()
    });
    let from = Instant::now();
    (&stream).write_all(&bytes).expect("sent");
    reader.join().expect("answers") - from
}
