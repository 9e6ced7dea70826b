//! The packed form of one name with all its record sets, and reading it without copies.
//!
//! ```text
//! node  = length of key, key, length of body, body
//! body  = set…                      by type
//! set   = type 2, ttl 4, length of values, values
//! value = length 2, RDATA           by canonical form
//! ```
//! The lengths are variable: seven bits an octet, lowest first.

use crate::model::{Name, Rdata, RrSet, RrType};

use super::key;

/// A name of the zone with its record sets, borrowed from the view.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub(super) zone: &'a Name,
    pub(super) key: &'a [u8],
    pub(super) body: &'a [u8],
}

impl<'a> Node<'a> {
    /// The owner name.
    pub fn name(&self) -> Name {
        key::name(self.key, self.zone)
    }

    /// Whether this is the apex.
    pub fn is_apex(&self) -> bool {
        self.key.is_empty()
    }

    /// The record sets, by type.
    pub fn sets(&self) -> Sets<'a> {
        Sets { rest: self.body }
    }

    /// The record set of this type.
    pub fn set(&self, rtype: RrType) -> Option<Set<'a>> {
        self.sets().find(|set| set.rtype == rtype)
    }
}

/// A record set, borrowed from the view.
#[derive(Clone, Copy)]
pub struct Set<'a> {
    /// Its type.
    pub rtype: RrType,
    /// Seconds.
    pub ttl: u32,
    values: &'a [u8],
}

impl<'a> Set<'a> {
    /// The values, by canonical form.
    pub fn values(&self) -> Values<'a> {
        Values { rest: self.values }
    }

    /// The set with values of its own.
    pub fn to_rrset(&self) -> RrSet {
        RrSet { ttl: self.ttl, values: self.values().map(Rdata::from).collect() }
    }
}

/// Iterator over the record sets of a name.
#[derive(Clone)]
pub struct Sets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Sets<'a> {
    type Item = Set<'a>;
    fn next(&mut self) -> Option<Set<'a>> {
        let (&[t0, t1, l0, l1, l2, l3], rest) = self.rest.split_first_chunk::<6>()?;
        let (values, rest) = sized(rest);
        self.rest = rest;
        let ttl = u32::from_be_bytes([l0, l1, l2, l3]);
        Some(Set { rtype: RrType(u16::from_be_bytes([t0, t1])), ttl, values })
    }
}

/// Iterator over the values of a record set.
#[derive(Clone)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at(usize::from(u16::from_be_bytes(len)));
        self.rest = rest;
        Some(value)
    }
}

/// Splits off what a variable length announces.
pub(super) fn sized(octets: &[u8]) -> (&[u8], &[u8]) {
    let (mut len, mut at) = (0usize, 0);
    loop {
        let octet = octets[at];
        len |= usize::from(octet & 0x7f) << (7 * at);
        at += 1;
        if octet < 0x80 {
            return octets[at..].split_at(len);
        }
    }
}

/// Appends `octets` behind their variable length.
pub(super) fn put_sized(out: &mut Vec<u8>, octets: &[u8]) {
    let mut len = octets.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(octets);
}

/// Appends a value.
pub(super) fn put_value(out: &mut Vec<u8>, rdata: &[u8]) {
    out.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
    out.extend_from_slice(rdata);
}

/// Appends a set of packed values.
pub(super) fn put_set(out: &mut Vec<u8>, rtype: RrType, ttl: u32, values: &[u8]) {
    out.extend_from_slice(&rtype.0.to_be_bytes());
    out.extend_from_slice(&ttl.to_be_bytes());
    put_sized(out, values);
}

/// The body of these sets, which are in the order of their types and not empty.
pub(super) fn pack(sets: &[(RrType, RrSet)]) -> Vec<u8> {
    let (mut body, mut values) = (Vec::new(), Vec::new());
    for (rtype, set) in sets {
        values.clear();
        set.values.iter().for_each(|value| put_value(&mut values, value));
        put_set(&mut body, *rtype, set.ttl, &values);
    }
    body
}

/// The sets of a body.
pub(super) fn unpack(body: &[u8]) -> Vec<(RrType, RrSet)> {
    Sets { rest: body }.map(|set| (set.rtype, set.to_rrset())).collect()
}

/// The sets of a body, borrowed.
pub(super) fn sets(body: &[u8]) -> Sets<'_> {
    Sets { rest: body }
}
