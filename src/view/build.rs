//! Filling a view from a transfer, record by record, without sorting where the server sends in order.

use crate::model::{Name, RrType, rdata};

use super::node::{put_set, put_sized, put_value, sized};
use super::store::{Filler, Store};
use super::{View, dropped, key};

/// Makes a [`View`] of the records of a zone as they come.
///
/// Records in canonical order of their owners, as the common servers send them, are packed at once; others are kept
/// aside and sorted at the end.
pub struct Builder {
    zone: Name,
    filler: Filler,
    /// The node that is being filled: its key and its records.
    key: Vec<u8>,
    records: Vec<Packed>,
    data: Vec<u8>,
    /// Scratch.
    next: Vec<u8>,
    body: Vec<u8>,
    values: Vec<u8>,
    /// Records that came out of order, each as key, type, TTL, RDATA, one after the other.
    aside: Vec<u8>,
    dnssec: usize,
}

/// A record of the node that is being filled; its RDATA is `data[start..end]`.
#[derive(Clone, Copy)]
struct Packed {
    rtype: RrType,
    ttl: u32,
    start: usize,
    end: usize,
}

impl Builder {
    /// For a zone of this apex.
    pub fn new(zone: Name) -> Builder {
        Builder {
            zone,
            filler: Filler::default(),
            key: Vec::new(),
            records: Vec::new(),
            data: Vec::new(),
            next: Vec::new(),
            body: Vec::new(),
            values: Vec::new(),
            aside: Vec::new(),
            dnssec: 0,
        }
    }

    /// Adds a record; `owner` is an uncompressed wire form in any letter case. `false` when it is outside the zone.
    pub fn push(&mut self, owner: &[u8], rtype: RrType, ttl: u32, rdata: &[u8]) -> bool {
        let mut next = std::mem::take(&mut self.next);
        let inside = key::write(owner, self.zone.wire(), &mut next);
        if inside && dropped(rtype) {
            self.dnssec += 1;
        } else if inside {
            self.push_keyed(&mut next, rtype, ttl, rdata);
        }
        self.next = next;
        inside
    }

    /// Adds a record of the name with this key; may swap another buffer into `key`.
    fn push_keyed(&mut self, key: &mut Vec<u8>, rtype: RrType, ttl: u32, rdata: &[u8]) {
        if !self.records.is_empty() && *key != self.key {
            if *key < self.key {
                put_sized(&mut self.aside, key);
                self.aside.extend_from_slice(&rtype.0.to_be_bytes());
                self.aside.extend_from_slice(&ttl.to_be_bytes());
                put_sized(&mut self.aside, rdata);
                return;
            }
            self.close();
        }
        if self.records.is_empty() {
            std::mem::swap(&mut self.key, key);
        }
        let start = self.data.len();
        self.data.extend_from_slice(rdata);
        self.records.push(Packed { rtype, ttl, start, end: self.data.len() });
    }

    /// Packs the node that is being filled.
    fn close(&mut self) {
        let Builder { records, data, body, values, .. } = self;
        body.clear();
        let value = |record: &Packed| &data[record.start..record.end];
        if let [record] = &records[..] {
            values.clear();
            put_value(values, value(record));
            put_set(body, record.rtype, record.ttl, values);
        } else {
            // The last TTL of a set counts: sorting by type alone keeps the order within.
            records.sort_by_key(|record| record.rtype);
            for set in records.chunk_by_mut(|a, b| a.rtype == b.rtype) {
                let (rtype, ttl) = (set[0].rtype, set[set.len() - 1].ttl);
                set.sort_by(|a, b| rdata::canonical(rtype, value(a)).cmp(&rdata::canonical(rtype, value(b))));
                values.clear();
                for same in set.chunk_by(|a, b| rdata::same(rtype, value(a), value(b))) {
                    put_value(values, value(&same[0]));
                }
                put_set(body, rtype, ttl, values);
            }
        }
        self.filler.push(&self.key, body);
        self.records.clear();
        self.data.clear();
    }

    /// The view at this serial.
    pub fn finish(mut self, serial: u32) -> View {
        if !self.records.is_empty() {
            self.close();
        }
        let Builder { zone, filler, aside, dnssec, .. } = self;
        let mut store = filler.finish();
        if !aside.is_empty() {
            store = merge(&zone, &store, aside);
        }
        View { zone, serial, store, dnssec }
    }
}

/// `store` with the records that came out of order.
fn merge(zone: &Name, store: &Store, aside: Vec<u8>) -> Store {
    let mut order: Vec<&[u8]> = Vec::new();
    let mut rest = &aside[..];
    while !rest.is_empty() {
        order.push(rest);
        let (_, fields) = sized(rest);
        rest = sized(&fields[6..]).1;
    }
    // Stable: the last TTL of a set counts.
    order.sort_by(|a, b| sized(a).0.cmp(sized(b).0));
    let mut builder = Builder::new(zone.clone());
    let mut scratch = Vec::new();
    let mut push = |record: &[u8]| {
        let (key, fields) = sized(record);
        scratch.clear();
        scratch.extend_from_slice(key);
        let rtype = RrType(u16::from_be_bytes([fields[0], fields[1]]));
        let ttl = u32::from_be_bytes([fields[2], fields[3], fields[4], fields[5]]);
        builder.push_keyed(&mut scratch, rtype, ttl, sized(&fields[6..]).0);
    };
    let mut order = order.into_iter().peekable();
    let mut whole = Vec::new();
    for (key, body) in store.iter() {
        while let Some(record) = order.next_if(|record| sized(record).0 < key) {
            push(record);
        }
        for set in super::node::sets(body) {
            for value in set.values() {
                whole.clear();
                put_sized(&mut whole, key);
                whole.extend_from_slice(&set.rtype.0.to_be_bytes());
                whole.extend_from_slice(&set.ttl.to_be_bytes());
                put_sized(&mut whole, value);
                push(&whole);
            }
        }
    }
    order.for_each(push);
    if !builder.records.is_empty() {
        builder.close();
    }
    builder.filler.finish()
}
