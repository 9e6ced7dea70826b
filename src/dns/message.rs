//! Messages as values, parsed with every bound checked.

use std::fmt;

use super::wire::{Compressor, HEADER, RawRecord, WireError, expand, read_name, u16_at};
use crate::model::{Name, Rdata, RrType};

macro_rules! numbers {
    ($type:ident, $inner:ty, $($name:ident = $num:literal),+ $(,)?) => {
        #[allow(missing_docs)]
        impl $type { $(pub const $name: $type = $type($num);)+ }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($num => f.write_str(stringify!($name)),)+
                    other => write!(f, concat!(stringify!($type), " {}"), other),
                }
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

/// What a message asks for (RFC 6895 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opcode(pub u8);
numbers!(Opcode, u8, QUERY = 0, IQUERY = 1, STATUS = 2, NOTIFY = 4, UPDATE = 5);

/// How an answer went (RFC 6895 §2.3), extended by EDNS where present. BADVERS and BADSIG share a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rcode(pub u16);
numbers!(
    Rcode,
    u16,
    NOERROR = 0,
    FORMERR = 1,
    SERVFAIL = 2,
    NXDOMAIN = 3,
    NOTIMP = 4,
    REFUSED = 5,
    YXDOMAIN = 6,
    YXRRSET = 7,
    NXRRSET = 8,
    NOTAUTH = 9,
    NOTZONE = 10,
    BADVERS = 16,
);

/// A class (RFC 6895 §3.2); NONE and ANY carry meaning in UPDATEs (RFC 2136 §2.4, §2.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Class(pub u16);
numbers!(Class, u16, IN = 1, CH = 3, HS = 4, NONE = 254, ANY = 255);

/// One entry of the question section; the zone section of an UPDATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub rtype: RrType,
    /// The class.
    pub class: Class,
}

/// One record of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Owner name.
    pub name: Name,
    /// Type.
    pub rtype: RrType,
    /// Class.
    pub class: Class,
    /// Seconds.
    pub ttl: u32,
    /// Uncompressed wire form, in the letter case of the message.
    pub rdata: Rdata,
}

impl Record {
    /// A record of class IN.
    pub fn new(name: Name, rtype: RrType, ttl: u32, rdata: impl Into<Rdata>) -> Record {
        Record { name, rtype, class: Class::IN, ttl, rdata: rdata.into() }
    }
}

/// A whole message (RFC 1035 §4.1). In an UPDATE the sections are zone, prerequisites, updates, additional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id that pairs question and answer.
    pub id: u16,
    /// QR: whether it is an answer.
    pub response: bool,
    /// What is asked.
    pub opcode: Opcode,
    /// AA.
    pub authoritative: bool,
    /// TC.
    pub truncated: bool,
    /// RD.
    pub recursion_desired: bool,
    /// RA.
    pub recursion_available: bool,
    /// AD.
    pub authentic_data: bool,
    /// CD.
    pub checking_disabled: bool,
    /// How it went. Above 15 only with an OPT record in `additionals`.
    pub rcode: Rcode,
    /// Question section.
    pub questions: Vec<Question>,
    /// Answer section.
    pub answers: Vec<Record>,
    /// Authority section.
    pub authorities: Vec<Record>,
    /// Additional section.
    pub additionals: Vec<Record>,
}

impl Message {
    /// An empty message.
    pub fn new(id: u16, opcode: Opcode) -> Message {
        Message {
            id,
            response: false,
            opcode,
            authoritative: false,
            truncated: false,
            recursion_desired: false,
            recursion_available: false,
            authentic_data: false,
            checking_disabled: false,
            rcode: Rcode::NOERROR,
            questions: Vec::new(),
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }

    /// A question of class IN, as one asks an authoritative server.
    pub fn query(id: u16, name: Name, rtype: RrType) -> Message {
        let mut message = Message::new(id, Opcode::QUERY);
        message.questions.push(Question { name, rtype, class: Class::IN });
        message
    }

    /// A question for what changed in `zone` since `serial` (RFC 1995 §3).
    pub fn ixfr(id: u16, zone: Name, serial: u32) -> Message {
        let mut rdata = vec![0u8; 22];
        rdata[2..6].copy_from_slice(&serial.to_be_bytes());
        let mut message = Message::query(id, zone.clone(), RrType::IXFR);
        message.authorities.push(Record::new(zone, RrType::SOA, 0, rdata));
        message
    }

    /// The empty answer to this message: id, opcode, RD and question copied.
    pub fn answer(&self, rcode: Rcode) -> Message {
        Message {
            response: true,
            recursion_desired: self.recursion_desired,
            rcode,
            questions: self.questions.clone(),
            ..Message::new(self.id, self.opcode)
        }
    }

    /// Reads a message; names and RDATA are decompressed, owner names folded to lower case.
    ///
    /// # Errors
    /// [`WireError`] for anything that RFC 1035 §4 does not allow, octets after the last record included.
    pub fn parse(msg: &[u8]) -> Result<Message, WireError> {
        if msg.len() < HEADER {
            return Err(WireError::Short(0));
        }
        let mut at = HEADER;
        let mut questions = Vec::new();
        for _ in 0..u16_at(msg, 4)? {
            let (name, next) = read_name(msg, at)?;
            questions.push(Question { name, rtype: RrType(u16_at(msg, next)?), class: Class(u16_at(msg, next + 2)?) });
            at = next + 4;
        }
        let answers = section(msg, &mut at, u16_at(msg, 6)?)?;
        let authorities = section(msg, &mut at, u16_at(msg, 8)?)?;
        let additionals = section(msg, &mut at, u16_at(msg, 10)?)?;
        if at != msg.len() {
            return Err(WireError::Trailing(at));
        }
        // RFC 6891 §6.1.3: the upper eight bits of the rcode are in the TTL field of OPT.
        let extended = additionals.iter().find(|r| r.rtype == RrType::OPT).map_or(0, |opt| (opt.ttl >> 24) as u16);
        Ok(Message {
            id: u16_at(msg, 0)?,
            response: msg[2] & 0x80 != 0,
            opcode: Opcode(msg[2] >> 3 & 0xf),
            authoritative: msg[2] & 4 != 0,
            truncated: msg[2] & 2 != 0,
            recursion_desired: msg[2] & 1 != 0,
            recursion_available: msg[3] & 0x80 != 0,
            authentic_data: msg[3] & 0x20 != 0,
            checking_disabled: msg[3] & 0x10 != 0,
            rcode: Rcode(extended << 4 | u16::from(msg[3] & 0xf)),
            questions,
            answers,
            authorities,
            additionals,
        })
    }

    /// The wire form; owner names are compressed, RDATA is not. Longer than 65,535 octets when the sections are.
    pub fn encode(&self) -> Vec<u8> {
        let records = || self.answers.iter().chain(&self.authorities).chain(&self.additionals);
        let mut out = Vec::with_capacity(64 + records().map(|r| r.rdata.len() + 32).sum::<usize>());
        out.extend_from_slice(&self.id.to_be_bytes());
        let bit = |set: bool, value: u8| if set { value } else { 0 };
        out.push(
            bit(self.response, 0x80)
                | (self.opcode.0 & 0xf) << 3
                | bit(self.authoritative, 4)
                | bit(self.truncated, 2)
                | bit(self.recursion_desired, 1),
        );
        out.push(
            bit(self.recursion_available, 0x80)
                | bit(self.authentic_data, 0x20)
                | bit(self.checking_disabled, 0x10)
                | (self.rcode.0 & 0xf) as u8,
        );
        for count in [self.questions.len(), self.answers.len(), self.authorities.len(), self.additionals.len()] {
            out.extend_from_slice(&(count as u16).to_be_bytes());
        }
        let mut names = Compressor::new();
        for question in &self.questions {
            names.write(&mut out, &question.name);
            out.extend_from_slice(&question.rtype.0.to_be_bytes());
            out.extend_from_slice(&question.class.0.to_be_bytes());
        }
        for record in records() {
            names.write(&mut out, &record.name);
            out.extend_from_slice(&record.rtype.0.to_be_bytes());
            out.extend_from_slice(&record.class.0.to_be_bytes());
            out.extend_from_slice(&record.ttl.to_be_bytes());
            out.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
            out.extend_from_slice(&record.rdata);
        }
        out
    }
}

fn section(msg: &[u8], at: &mut usize, count: u16) -> Result<Vec<Record>, WireError> {
    let mut records = Vec::new();
    for _ in 0..count {
        let (name, fixed) = read_name(msg, *at)?;
        let raw = RawRecord::fields(msg, *at, fixed)?;
        let rdata = expand(msg, &raw)?.into();
        records.push(Record { name, rtype: raw.rtype, class: Class(raw.class), ttl: raw.ttl, rdata });
        *at = raw.end;
    }
    Ok(records)
}

/// The serial in uncompressed SOA RDATA (RFC 1035 §3.3.13); `None` when it is no SOA RDATA.
pub fn soa_serial(rdata: &[u8]) -> Option<u32> {
    let after_mname = super::wire::skip_name(rdata, 0).ok()?;
    let after_rname = super::wire::skip_name(rdata, after_mname).ok()?;
    (rdata.len() == after_rname + 20).then(|| super::wire::u32_at(rdata, after_rname).ok())?
}

/// Whether `a` comes after `b` in serial number arithmetic (RFC 1982 §3.2). At a distance of 2³¹ neither does.
pub fn serial_newer(a: u32, b: u32) -> bool {
    (1..0x8000_0000).contains(&a.wrapping_sub(b))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// RFC 1035 §4.1.4: F.ISI.ARPA, FOO.F.ISI.ARPA and ARPA by pointers, here as answers after a question.
    #[test]
    fn compressed_owners_and_rdata_are_expanded() {
        let mut msg = vec![0x12, 0x34, 0x84, 0x00, 0, 1, 0, 2, 0, 0, 0, 0];
        msg.extend(b"\x01F\x03ISI\x04ARPA\x00\x00\x0f\x00\x01"); // F.ISI.ARPA MX at octet 12
        msg.extend(b"\x03FOO\xc0\x0c\x00\x0f\x00\x01\x00\x00\x0e\x10\x00\x07\x00\x0a\x02Mx\xc0\x12");
        msg.extend(b"\xc0\x12\x00\x02\x00\x01\x00\x00\x00\x05\x00\x02\xc0\x0e");
        let message = Message::parse(&msg).unwrap();
        assert_eq!((message.id, message.response, message.authoritative), (0x1234, true, true));
        assert_eq!(message.questions[0].name, n("f.isi.arpa"));
        assert_eq!(message.answers[0].name, n("foo.f.isi.arpa"));
        assert_eq!((message.answers[0].ttl, message.answers[0].rtype), (3600, RrType::MX));
        assert_eq!(&*message.answers[0].rdata, b"\x00\x0a\x02Mx\x04ARPA\x00");
        assert_eq!(message.answers[1].name, n("arpa"));
        assert_eq!(&*message.answers[1].rdata, b"\x03ISI\x04ARPA\x00");
    }

    #[test]
    fn octets_left_over_and_octets_missing_are_refused() {
        let mut msg = Message::query(7, n("internal"), RrType::SOA).encode();
        assert!(Message::parse(&msg).is_ok());
        for len in 0..msg.len() {
            assert!(Message::parse(&msg[..len]).is_err());
        }
        msg.push(0);
        assert_eq!(Message::parse(&msg), Err(WireError::Trailing(msg.len() - 1)));
    }

    #[test]
    fn rdata_must_fit_its_type() {
        let mut message = Message::query(7, n("internal"), RrType::SOA);
        message.answers.push(Record::new(n("internal"), RrType::MX, 1, *b"\x00\x0a\x01a"));
        assert!(matches!(Message::parse(&message.encode()), Err(WireError::Rdata(RrType::MX, _))));
    }

    #[test]
    fn extended_rcode_and_opt_are_read() {
        let mut message = Message::query(7, n("internal"), RrType::SOA).answer(Rcode::NOERROR);
        message.additionals.push(Record {
            name: Name::root(),
            rtype: RrType::OPT,
            class: Class(1232),
            ttl: 1 << 24,
            rdata: Box::default(),
        });
        assert_eq!(Message::parse(&message.encode()).unwrap().rcode, Rcode::BADVERS);
    }

    #[test]
    fn serials() {
        let rdata = &Message::ixfr(1, n("internal"), 77).authorities[0].rdata;
        assert_eq!(soa_serial(rdata), Some(77));
        assert_eq!(soa_serial(&rdata[1..]), None);
        assert!(serial_newer(1, 0) && serial_newer(0, u32::MAX) && serial_newer(0x7fff_ffff, 0));
        assert!(!serial_newer(0, 0) && !serial_newer(0, 1) && !serial_newer(0x8000_0000, 0));
    }

    fn name() -> impl Strategy<Value = Name> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..6), 0..4)
            .prop_map(|labels| labels.iter().fold(Name::root(), |name, label| name.child(label).unwrap()))
    }

    fn record() -> impl Strategy<Value = Record> {
        (name(), 1000u16..2000, any::<u16>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(
            |(name, rtype, class, ttl, rdata)| Record {
                name,
                rtype: RrType(rtype),
                class: Class(class),
                ttl,
                rdata: rdata.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(head in any::<[u8; 4]>(), counts in prop::array::uniform4(0u8..3),
                                 body in prop::collection::vec(prop_oneof![0u8..20, 0xbeu8..=0xc3, any::<u8>()], 0..300)) {
            let mut msg = head.to_vec();
            msg.extend(counts.iter().flat_map(|&c| [0, c]));
            msg.extend(body);
            let _ = Message::parse(&msg);
        }

        #[test]
        fn what_is_written_is_read(id: u16, flags: [bool; 7], opcode in 0u8..16, rcode in 0u16..16,
                                   questions in prop::collection::vec(name(), 0..3),
                                   answers in prop::collection::vec(record(), 0..6),
                                   authorities in prop::collection::vec(record(), 0..6),
                                   additionals in prop::collection::vec(record(), 0..6)) {
            let message = Message {
                id, response: flags[0], opcode: Opcode(opcode), authoritative: flags[1], truncated: flags[2],
                recursion_desired: flags[3], recursion_available: flags[4], authentic_data: flags[5],
                checking_disabled: flags[6], rcode: Rcode(rcode),
                questions: questions.into_iter().map(|name| Question { name, rtype: RrType::A, class: Class::IN }).collect(),
                answers, authorities, additionals,
            };
            prop_assert_eq!(Message::parse(&message.encode()).unwrap(), message);
        }
    }
}
