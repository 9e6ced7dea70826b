//! A client without cleverness: one message out, one in.
#![allow(dead_code)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, SystemTime};

use knotwork::dns::tsig::{self, Key};
use knotwork::dns::xfr::{self, Progress, Reader, Transfer, XfrError};
use knotwork::dns::{Message, Rcode};
use knotwork::model::RrType;

use super::support::engine::{key, n};
use super::support::knot::KEYS;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A verified answer to an UPDATE.
    Rcode(Rcode),
    /// What the server said about the signature, or that it did not sign: reason and rcode.
    Tsig(&'static str, Option<Rcode>),
    /// An answer.
    Message(Box<Message>),
    /// The connection was closed.
    Closed,
    /// Nothing came.
    Silence,
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// The operator's key.
pub fn operator() -> Key {
    key(KEYS[0].0, KEYS[0].1)
}

/// A connection.
pub struct Tcp(TcpStream);

impl Tcp {
    /// Connects.
    pub fn to(addr: SocketAddr) -> Tcp {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Tcp(stream)
    }

    /// Sends a message; `false` when the connection is gone.
    pub fn send(&mut self, message: &[u8]) -> bool {
        self.0.write_all(&[&(message.len() as u16).to_be_bytes()[..], message].concat()).is_ok()
    }

    /// The next message; `None` when the connection was closed.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut len = [0; 2];
        self.0.read_exact(&mut len).ok()?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        self.0.read_exact(&mut message).ok()?;
        Some(message)
    }
}

fn parsed(bytes: &[u8]) -> Answer {
    Answer::Message(Box::new(Message::parse(bytes).unwrap()))
}

/// Sends one message over TCP.
pub fn ask(addr: SocketAddr, message: &[u8]) -> Answer {
    let mut tcp = Tcp::to(addr);
    tcp.send(message);
    tcp.receive().map_or(Answer::Closed, |bytes| parsed(&bytes))
}

/// Sends one datagram.
pub fn udp(addr: SocketAddr, message: &[u8]) -> Answer {
    raw_udp(addr, message).map_or(Answer::Silence, |bytes| parsed(&bytes))
}

fn raw_udp(addr: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(addr).unwrap();
    // Silence is only expected of a few messages; a lost datagram on loopback does not happen.
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.send(message).unwrap();
    let mut buffer = vec![0; 65_535];
    let len = socket.recv(&mut buffer).ok()?;
    Some(buffer[..len].to_vec())
}

/// Sends one signed datagram and verifies the answer.
pub fn signed_udp(addr: SocketAddr, message: &Message) -> Answer {
    let (bytes, pending) = tsig::sign(&operator(), message.encode(), now());
    match raw_udp(addr, &bytes) {
        None => Answer::Silence,
        Some(bytes) => parsed(&pending.verify(bytes, now()).unwrap()),
    }
}

/// Sends a signed UPDATE on a connection of its own. Says also whether the connection is still good for more afterwards.
pub fn update(addr: SocketAddr, message: &Message) -> (Answer, bool) {
    signed(addr, &operator(), message.encode(), now())
}

/// Sends a message signed at some time, on a connection of its own.
pub fn signed(addr: SocketAddr, key: &Key, message: Vec<u8>, time: u64) -> (Answer, bool) {
    let (bytes, pending) = tsig::sign(key, message, time);
    let mut tcp = Tcp::to(addr);
    tcp.send(&bytes);
    let Some(answer) = tcp.receive() else { return (Answer::Closed, false) };
    let answer = match pending.verify(answer, time) {
        Ok(message) => Answer::Rcode(Message::parse(&message).unwrap().rcode),
        Err(error) => Answer::Tsig(error.reason(), error.rcode()),
    };
    let open = tcp.send(&Message::query(9, n("internal"), RrType::SOA).encode()) && tcp.receive().is_some();
    (answer, open)
}

/// Transfers `internal`.
pub fn transfer(addr: SocketAddr, have: Option<u32>) -> Result<Transfer, XfrError> {
    let zone = n("internal");
    let mut tcp = Tcp::to(addr);
    let (question, sequence) = tsig::sign_sequence(&operator(), xfr::question(&zone, 9, have), now());
    tcp.send(&question);
    let mut reader = Reader::new(zone, 9, have, Some(sequence));
    while reader.push(tcp.receive().unwrap_or_default(), now())? == Progress::More {}
    reader.finish()
}
