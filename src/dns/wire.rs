//! Names and RDATA inside a message: bounds, compression both ways.

use std::borrow::Cow;
use std::collections::hash_map::Entry;

use crate::model::{FastMap, Name, NameError, RrType, rdata};

/// Why bytes are not a DNS message (RFC 1035 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends inside a field; holds the octet where that field starts.
    #[error("the message ends early, in the field at octet {0}")]
    Short(usize),
    /// A compression pointer that does not point strictly backwards, so that it could loop.
    #[error("bad compression pointer at octet {0}")]
    Pointer(usize),
    /// A label type that does not exist (RFC 6891 §5: extended labels are gone).
    #[error("unknown label type at octet {0}")]
    Label(usize),
    /// A name of more than 255 octets.
    #[error("the name at octet {0} is longer than 255 octets")]
    NameTooLong(usize),
    /// RDATA that does not fit the structure of its type.
    #[error("malformed {0} data at octet {1}")]
    Rdata(RrType, usize),
    /// Octets after the last record of the last section.
    #[error("unexpected octets after the end of the message, from octet {0}")]
    Trailing(usize),
}

impl WireError {
    /// The stable word for it.
    pub fn reason(&self) -> &'static str {
        "MalformedMessage"
    }
}

/// The header's length.
pub(crate) const HEADER: usize = 12;

/// A big-endian number at `at`.
pub(crate) fn u16_at(msg: &[u8], at: usize) -> Result<u16, WireError> {
    match msg.get(at..at + 2) {
        Some(&[a, b]) => Ok(u16::from_be_bytes([a, b])),
        _ => Err(WireError::Short(at)),
    }
}

/// A big-endian number at `at`.
pub(crate) fn u32_at(msg: &[u8], at: usize) -> Result<u32, WireError> {
    match msg.get(at..at + 4) {
        Some(&[a, b, c, d]) => Ok(u32::from_be_bytes([a, b, c, d])),
        _ => Err(WireError::Short(at)),
    }
}

/// A decompressed name on the stack, in the letter case of the message.
pub(crate) struct NameBuf {
    octets: [u8; 255],
    len: usize,
}

impl NameBuf {
    pub(crate) fn new() -> NameBuf {
        NameBuf { octets: [0; 255], len: 0 }
    }

    /// Reads the name at `at`; gives the octet after it.
    pub(crate) fn read(&mut self, msg: &[u8], at: usize) -> Result<usize, WireError> {
        self.len = 0;
        let (mut pos, mut after) = (at, None);
        // Every pointer must go before the start of the piece that it ends: strictly falling, so it terminates.
        let mut piece = at;
        loop {
            let len = usize::from(*msg.get(pos).ok_or(WireError::Short(at))?);
            match len {
                0 => {
                    *self.octets.get_mut(self.len).ok_or(WireError::NameTooLong(at))? = 0;
                    self.len += 1;
                    return Ok(after.unwrap_or(pos + 1));
                }
                1..=63 => {
                    let label = msg.get(pos..=pos + len).ok_or(WireError::Short(at))?;
                    let room =
                        self.octets.get_mut(self.len..self.len + label.len()).ok_or(WireError::NameTooLong(at))?;
                    room.copy_from_slice(label);
                    self.len += label.len();
                    pos += label.len();
                }
                192.. => {
                    let target = usize::from(u16_at(msg, pos)? & 0x3fff);
                    if target >= piece || target < HEADER {
                        return Err(WireError::Pointer(pos));
                    }
                    after.get_or_insert(pos + 2);
                    (pos, piece) = (target, target);
                }
                _ => return Err(WireError::Label(pos)),
            }
        }
    }

    /// The uncompressed wire form.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// Reads the name at `at`, folding case; gives the octet after it.
pub(crate) fn read_name(msg: &[u8], at: usize) -> Result<(Name, usize), WireError> {
    let mut buf = NameBuf::new();
    let next = buf.read(msg, at)?;
    let name = Name::from_wire(buf.wire()).map_err(|error| match error {
        NameError::TooLong(_) => WireError::NameTooLong(at),
        _ => WireError::Label(at),
    })?;
    Ok((name, next))
}

/// The octet after the name at `at`. Pointers are not followed.
pub(crate) fn skip_name(msg: &[u8], at: usize) -> Result<usize, WireError> {
    let mut pos = at;
    loop {
        match usize::from(*msg.get(pos).ok_or(WireError::Short(at))?) {
            0 => return Ok(pos + 1),
            len @ 1..=63 => pos += len + 1,
            192.. => return if pos + 2 <= msg.len() { Ok(pos + 2) } else { Err(WireError::Short(at)) },
            _ => return Err(WireError::Label(pos)),
        }
    }
}

/// A record where it lies in the message.
#[derive(Clone, Copy)]
pub(crate) struct RawRecord {
    /// Where the owner name starts.
    pub(crate) start: usize,
    pub(crate) rtype: RrType,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    /// Where the RDATA starts.
    pub(crate) rdata: usize,
    /// The octet after the record.
    pub(crate) end: usize,
}

impl RawRecord {
    /// Reads the fixed fields after the owner name, which ends before `fixed`.
    pub(crate) fn fields(msg: &[u8], start: usize, fixed: usize) -> Result<RawRecord, WireError> {
        let Some(&[t0, t1, c0, c1, l0, l1, l2, l3, n0, n1]) = msg.get(fixed..fixed + 10) else {
            return Err(WireError::Short(start));
        };
        let rdata = fixed + 10;
        let end = rdata + usize::from(u16::from_be_bytes([n0, n1]));
        if end > msg.len() {
            return Err(WireError::Short(rdata));
        }
        Ok(RawRecord {
            start,
            rtype: RrType(u16::from_be_bytes([t0, t1])),
            class: u16::from_be_bytes([c0, c1]),
            ttl: u32::from_be_bytes([l0, l1, l2, l3]),
            rdata,
            end,
        })
    }

    /// Reads the record at `start` without looking into its owner name.
    pub(crate) fn skip(msg: &[u8], start: usize) -> Result<RawRecord, WireError> {
        RawRecord::fields(msg, start, skip_name(msg, start)?)
    }
}

/// The RDATA of a record without compression.
///
/// Empty RDATA stays empty: updates use it with every type (RFC 2136 §2.4).
pub(crate) fn expand<'a>(msg: &'a [u8], record: &RawRecord) -> Result<Cow<'a, [u8]>, WireError> {
    let plain = &msg[record.rdata..record.end];
    // What zones are made of holds no names: spare them the copy.
    if plain.is_empty() || matches!(record.rtype, RrType::A | RrType::AAAA | RrType::TXT | RrType::DHCID) {
        return Ok(Cow::Borrowed(plain));
    }
    match rdata::decompress(record.rtype, msg, record.rdata..record.end) {
        Ok(rdata) => Ok(Cow::Owned(rdata.into_vec())),
        Err(_) => Err(WireError::Rdata(record.rtype, record.rdata)),
    }
}

/// Writes owner names, each suffix once per message as far as pointers reach (RFC 1035 §4.1.4).
pub(crate) struct Compressor<'a> {
    seen: FastMap<&'a [u8], u16>,
    /// The name that most others end in, where the caller knows one; found without a look into the map.
    apex: Option<(&'a [u8], u16)>,
}

impl<'a> Compressor<'a> {
    pub(crate) fn new() -> Compressor<'a> {
        Compressor { seen: FastMap::default(), apex: None }
    }

    /// For a message whose question section is this zone, and whose names are nearly all in it.
    pub(crate) fn of(zone: &'a Name) -> Compressor<'a> {
        let apex = (!zone.is_root()).then(|| (zone.wire(), HEADER as u16));
        // A message of 64 KB has about a thousand names where pointers reach.
        Compressor { seen: FastMap::with_capacity_and_hasher(1024, Default::default()), apex }
    }

    /// Appends `name` to the message `out`.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, name: &'a Name) {
        let mut rest = name.wire();
        while rest.len() > 1 {
            if let Some((apex, at)) = self.apex
                && rest == apex
                && out.len() > usize::from(at)
            {
                out.extend_from_slice(&(0xc000 | at).to_be_bytes());
                return;
            }
            match self.seen.entry(rest) {
                Entry::Occupied(at) => {
                    out.extend_from_slice(&(0xc000 | at.get()).to_be_bytes());
                    return;
                }
                Entry::Vacant(slot) => {
                    // A pointer has 14 bits; what lies behind cannot be pointed at.
                    if out.len() < 0x4000 {
                        slot.insert(out.len() as u16);
                    }
                }
            }
            let (label, tail) = rest.split_at(usize::from(rest[0]) + 1);
            out.extend_from_slice(label);
            rest = tail;
        }
        out.push(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn names_are_compressed_and_read_back() {
        let names = ["a.b.internal", "internal", "B.internal", "a.b.internal", "x.a.b.internal", "other", "."].map(n);
        let mut out = vec![0; HEADER];
        let mut compressor = Compressor::new();
        let starts: Vec<usize> = names
            .iter()
            .map(|name| {
                let start = out.len();
                compressor.write(&mut out, name);
                start
            })
            .collect();
        assert_eq!(out.len(), HEADER + 14 + 2 + 2 + 2 + 4 + 7 + 1);
        for (name, start) in names.iter().zip(starts) {
            assert_eq!(read_name(&out, start).unwrap().0, *name);
        }
    }

    #[test]
    fn names_beyond_the_reach_of_pointers_stay_whole() {
        let far = n("far.internal");
        let mut out = vec![0; 0x4000];
        let mut compressor = Compressor::new();
        compressor.write(&mut out, &far);
        let second = out.len();
        compressor.write(&mut out, &far);
        assert_eq!(read_name(&out, second).unwrap(), (far, second + 14));
    }

    #[test]
    fn pointers_may_only_fall() {
        let mut msg = vec![0; HEADER];
        msg.extend([0xc0, 12]);
        assert_eq!(read_name(&msg, 12), Err(WireError::Pointer(12)));
        // A label that leads back into itself.
        let mut msg = vec![0; HEADER];
        msg.extend([1, b'a', 0xc0, 12]);
        assert_eq!(read_name(&msg, 12), Err(WireError::Pointer(14)));
        // Forwards, and into the header.
        let mut msg = vec![0; HEADER];
        msg.extend([0xc0, 14, 0, 0xc0, 4]);
        assert_eq!(read_name(&msg, 12), Err(WireError::Pointer(12)));
        assert_eq!(read_name(&msg, 15), Err(WireError::Pointer(15)));
    }

    #[test]
    fn long_names_and_odd_labels_are_refused() {
        let mut msg = vec![0; HEADER];
        for _ in 0..128 {
            msg.extend([1, b'a']);
        }
        msg.push(0);
        assert_eq!(read_name(&msg, 12), Err(WireError::NameTooLong(12)));
        assert_eq!(read_name(&[0x41, 0], 0), Err(WireError::Label(0)));
        assert_eq!(read_name(&[3, b'a'], 0), Err(WireError::Short(0)));
    }
}
