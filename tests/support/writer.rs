//! Another writer of the zone: raw RFC 2136 messages on one TCP connection, with whatever prerequisites it likes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use knotwork::dns::tsig::{self, Algorithm, Key};
use knotwork::dns::{Class, Message, Opcode, Question, Rcode, Record};
use knotwork::model::{Name, RrType, rdata};

use super::knot::KEYS;

/// Parses a name that is known to be one.
pub fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// RDATA from presentation form.
pub fn data(rtype: RrType, text: &str) -> Box<[u8]> {
    rdata::from_text(rtype, text, None).expect("rdata")
}

/// `prereq nxdomain`.
pub fn not_in_use(owner: &str) -> Record {
    Record { name: name(owner), rtype: RrType::ANY, class: Class::NONE, ttl: 0, rdata: Box::default() }
}

/// `prereq yxdomain`.
pub fn in_use(owner: &str) -> Record {
    Record { name: name(owner), rtype: RrType::ANY, class: Class::ANY, ttl: 0, rdata: Box::default() }
}

/// `prereq nxrrset`.
pub fn absent(owner: &str, rtype: RrType) -> Record {
    Record { name: name(owner), rtype, class: Class::NONE, ttl: 0, rdata: Box::default() }
}

/// `prereq yxrrset` with a value.
pub fn equals(owner: &str, rtype: RrType, value: &str) -> Record {
    Record { name: name(owner), rtype, class: Class::IN, ttl: 0, rdata: data(rtype, value) }
}

/// `update add`.
pub fn add(owner: &str, ttl: u32, rtype: RrType, value: &str) -> Record {
    Record { name: name(owner), rtype, class: Class::IN, ttl, rdata: data(rtype, value) }
}

/// `update delete` of one value.
pub fn remove(owner: &str, rtype: RrType, value: &str) -> Record {
    Record { name: name(owner), rtype, class: Class::NONE, ttl: 0, rdata: data(rtype, value) }
}

/// `update delete` of a set, or with `ANY` of the whole name.
pub fn wipe(owner: &str, rtype: RrType) -> Record {
    Record { name: name(owner), rtype, class: Class::ANY, ttl: 0, rdata: Box::default() }
}

/// A writer with a key of [`KEYS`] and a connection of its own.
pub struct Writer {
    stream: TcpStream,
    key: Key,
    zone: Name,
    next_id: u16,
}

impl Writer {
    /// Connects as the writer with this key.
    pub fn connect(addr: SocketAddr, key: &str, zone: &str) -> Writer {
        use base64::Engine as _;
        let secret = KEYS.iter().find(|(id, _)| *id == key).expect("a test key").1;
        let secret = base64::engine::general_purpose::STANDARD.decode(secret).expect("base64");
        let stream = TcpStream::connect(addr).expect("connects");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
        Writer {
            stream,
            key: Key::new(name(key), Algorithm::HmacSha256, &secret).expect("key"),
            zone: name(zone),
            next_id: 1,
        }
    }

    /// One UPDATE; its rcode.
    pub fn update(&mut self, prerequisites: Vec<Record>, updates: Vec<Record>) -> Rcode {
        self.next_id = self.next_id.wrapping_add(1);
        let mut message = Message::new(self.next_id, Opcode::UPDATE);
        message.questions.push(Question { name: self.zone.clone(), rtype: RrType::SOA, class: Class::IN });
        message.answers = prerequisites;
        message.authorities = updates;
        self.ask(&message).rcode
    }

    /// The values of a set in presentation form; empty when it is not there.
    pub fn values(&mut self, owner: &str, rtype: RrType) -> Vec<String> {
        self.next_id = self.next_id.wrapping_add(1);
        let answer = self.ask(&Message::query(self.next_id, name(owner), rtype));
        let owner = name(owner);
        answer
            .answers
            .iter()
            .filter(|record| record.rtype == rtype && record.name == owner)
            .map(|record| rdata::to_text(rtype, &record.rdata))
            .collect()
    }

    fn ask(&mut self, message: &Message) -> Message {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let (signed, pending) = tsig::sign(&self.key, message.encode(), now);
        let mut framed = (signed.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&signed);
        self.stream.write_all(&framed).expect("sent");
        let mut len = [0u8; 2];
        self.stream.read_exact(&mut len).expect("an answer");
        let mut answer = vec![0u8; usize::from(u16::from_be_bytes(len))];
        self.stream.read_exact(&mut answer).expect("a whole answer");
        let plain = pending.verify(answer, now).expect("a signed answer");
        Message::parse(&plain).expect("well-formed")
    }
}
