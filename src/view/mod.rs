//! Our copy of a zone at one SOA serial.

mod build;
mod delta;
mod key;
mod node;
mod store;

pub use build::Builder;
pub use delta::{Diff, Entry, Impossible};
pub use node::{Node, Set, Sets, Values};

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{Name, Rdata, RrSet, RrType, rdata};
use store::Store;

/// A complete copy of a zone at one SOA serial, compact in memory.
///
/// Made only from complete, verified transfers (DESIGN invariant 1). Iteration is in subtree order (and that is the
/// canonical order of RFC 4034 §6.1): everything below a name follows it directly. A clone shares memory with the
/// original and costs next to nothing.
///
/// RRSIG, NSEC and NSEC3 records, which a signing server makes by itself, are counted but not kept.
#[derive(Clone)]
pub struct View {
    zone: Name,
    serial: u32,
    store: Store,
    dnssec: usize,
}

/// Whether views leave out records of this type.
fn dropped(rtype: RrType) -> bool {
    matches!(rtype, RrType::RRSIG | RrType::NSEC | RrType::NSEC3)
}

impl View {
    /// An empty view to fill.
    pub fn new(zone: Name, serial: u32) -> View {
        View { zone, serial, store: Store::default(), dnssec: 0 }
    }

    /// The apex.
    pub fn zone(&self) -> &Name {
        &self.zone
    }

    /// The SOA serial of this copy.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Sets the serial after a change was applied.
    pub fn set_serial(&mut self, serial: u32) {
        self.serial = serial;
    }

    /// How many RRSIG, NSEC and NSEC3 records the zone has, which are not kept.
    pub fn dnssec_count(&self) -> usize {
        self.dnssec
    }

    /// Adds one record; `false` when it was there already. The set takes the TTL of the newest record.
    /// Names outside the zone are ignored and give `false`.
    pub fn add(&mut self, name: &Name, rtype: RrType, ttl: u32, rdata: Rdata) -> bool {
        let Some(key) = key::of(name, &self.zone) else { return false };
        if dropped(rtype) {
            self.dnssec += 1;
            return true;
        }
        let mut sets = self.store.get(&key).map(node::unpack).unwrap_or_default();
        let new = delta::add(&mut sets, rtype, ttl, rdata);
        self.store.change(&[(key, Some(node::pack(&sets)))]);
        new
    }

    /// Removes one record by value (canonical comparison); `false` when it was not there.
    pub fn remove(&mut self, name: &Name, rtype: RrType, rdata: &[u8]) -> bool {
        let Some(key) = key::of(name, &self.zone) else { return false };
        if dropped(rtype) {
            let had = self.dnssec > 0;
            self.dnssec = self.dnssec.saturating_sub(1);
            return had;
        }
        let Some(mut sets) = self.store.get(&key).map(node::unpack) else { return false };
        let gone = delta::remove(&mut sets, rtype, rdata);
        if gone {
            self.store.change(&[(key, (!sets.is_empty()).then(|| node::pack(&sets)))]);
        }
        gone
    }

    /// One name with its record sets, without copying them.
    pub fn node(&self, name: &Name) -> Option<Node<'_>> {
        let (key, body) = self.store.find(&key::of(name, &self.zone)?)?;
        Some(Node { zone: &self.zone, key, body })
    }

    /// One record set.
    pub fn get(&self, name: &Name, rtype: RrType) -> Option<RrSet> {
        let body = self.store.get(&key::of(name, &self.zone)?)?;
        node::sets(body).find(|set| set.rtype == rtype).map(|set| set.to_rrset())
    }

    /// All record sets at one name, by type.
    pub fn at(&self, name: &Name) -> Vec<(RrType, RrSet)> {
        key::of(name, &self.zone).and_then(|key| self.store.get(&key)).map(node::unpack).unwrap_or_default()
    }

    /// Whether the name holds any record set (an empty non-terminal does not: RFC 2136 §2.4.4).
    pub fn in_use(&self, name: &Name) -> bool {
        key::of(name, &self.zone).is_some_and(|key| self.store.get(&key).is_some())
    }

    /// Whether the name holds a record set or is above one (RFC 4592 §2.2).
    pub fn exists(&self, name: &Name) -> bool {
        key::of(name, &self.zone)
            .is_some_and(|key| self.store.from(&key).next().is_some_and(|(k, _)| k.starts_with(&key)))
    }

    /// The name itself or the nearest one above it that exists (RFC 4592 §3.3.1); `None` outside the zone.
    pub fn closest_encloser(&self, name: &Name) -> Option<Name> {
        let mut at = name.is_at_or_below(&self.zone).then(|| name.clone())?;
        while at != self.zone && !self.exists(&at) {
            at = at.parent()?;
        }
        Some(at)
    }

    /// Where names strictly above `name` take it out of this zone, the topmost first: delegations (NS, not at the apex)
    /// and DNAMEs.
    pub fn cuts_above(&self, name: &Name) -> Vec<(Name, RrType)> {
        let mut cuts = Vec::new();
        let mut at = name.parent();
        while let Some(above) = at.filter(|above| above.is_at_or_below(&self.zone)) {
            let has = |rtype| self.node(&above).is_some_and(|node| node.set(rtype).is_some());
            if has(RrType::DNAME) {
                cuts.push((above.clone(), RrType::DNAME));
            }
            if above != self.zone && has(RrType::NS) {
                cuts.push((above.clone(), RrType::NS));
            }
            at = above.parent();
        }
        cuts.reverse();
        cuts
    }

    /// Names strictly below `name` that hold record sets, in subtree order.
    pub fn below<'a>(&'a self, name: &Name) -> impl Iterator<Item = Name> + use<'a> {
        self.nodes_below(name).map(|node| node.name())
    }

    /// As [`View::below`], with the record sets.
    pub fn nodes_below<'a>(&'a self, name: &Name) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let key = key::of(name, &self.zone);
        let start = key.as_deref().map(|key| self.store.from(key));
        start
            .into_iter()
            .flatten()
            .map_while(move |(found, body)| {
                let key = key.as_deref()?;
                found.starts_with(key).then_some((found, body, found.len() > key.len()))
            })
            .filter(|(_, _, below)| *below)
            .map(|(key, body, _)| Node { zone: &self.zone, key, body })
    }

    /// All names, in subtree order.
    pub fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.nodes().map(|node| node.name())
    }

    /// All names with their record sets, in subtree order, without copying them.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> + Clone {
        self.store.iter().map(|(key, body)| Node { zone: &self.zone, key, body })
    }

    /// As [`View::nodes`], from `name` on, whether it holds record sets or not; none for a name outside the zone.
    pub fn nodes_from<'a>(&'a self, name: &Name) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let start = key::of(name, &self.zone).map(|key| self.store.from(&key));
        start.into_iter().flatten().map(|(key, body)| Node { zone: &self.zone, key, body })
    }

    /// The names at which this view and an older one of the same zone differ, in subtree order. Costs what changed, where
    /// this one came from the other by changes.
    pub fn names_apart(&self, old: &View) -> Vec<Name> {
        let (mut new, mut old) =
            (self.store.apart_from(&old.store).peekable(), old.store.apart_from(&self.store).peekable());
        let mut names = Vec::new();
        loop {
            let key = match (new.peek(), old.peek()) {
                (None, None) => return names,
                (Some((key, _)), None) | (None, Some((key, _))) => *key,
                (Some((one, _)), Some((other, _))) => (*one).min(*other),
            };
            let of = |node: Option<(&[u8], &[u8])>| node.map(|(_, body)| body.to_vec());
            let (now, before) = (of(new.next_if(|node| node.0 == key)), of(old.next_if(|node| node.0 == key)));
            if now != before {
                names.push(key::name(key, &self.zone));
            }
        }
    }

    /// All record sets, in subtree order and by type.
    pub fn sets(&self) -> impl Iterator<Item = (Name, RrType, RrSet)> + '_ {
        self.nodes().flat_map(|node| {
            let name = node.name();
            node.sets().map(move |set| (name.clone(), set.rtype, set.to_rrset()))
        })
    }

    /// Number of names that hold record sets.
    pub fn name_count(&self) -> usize {
        self.store.names()
    }

    /// Whether both hold the same record sets with the same TTLs. The SOA is not compared.
    pub fn same_content(&self, other: &View) -> bool {
        let (mut ours, mut theirs) = (self.content(), other.content());
        let same = |a: &(&[u8], Set<'_>), b: &(&[u8], Set<'_>)| a.0 == b.0 && same_set(&a.1, &b.1);
        self.zone == other.zone
            && loop {
                match (ours.next(), theirs.next()) {
                    (None, None) => break true,
                    (Some(a), Some(b)) if same(&a, &b) => {}
                    _ => break false,
                }
            }
    }

    /// A number that is the same for equal content in the sense of [`View::same_content`], in this version of Knotwork.
    pub fn content_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (key, set) in self.content() {
            (key, set.rtype, set.ttl).hash(&mut hasher);
            for value in set.values() {
                rdata::canonical(set.rtype, value).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn content(&self) -> impl Iterator<Item = (&[u8], Set<'_>)> {
        self.store
            .iter()
            .flat_map(|(key, body)| node::sets(body).map(move |set| (key, set)))
            .filter(|(_, set)| set.rtype != RrType::SOA)
    }
}

/// Whether two sets of one owner are the same.
fn same_set(a: &Set<'_>, b: &Set<'_>) -> bool {
    a.rtype == b.rtype
        && a.ttl == b.ttl
        && a.values().count() == b.values().count()
        && a.values().zip(b.values()).all(|(x, y)| rdata::same(a.rtype, x, y))
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} at {}, {} names)", self.zone, self.serial, self.name_count())
    }
}

#[cfg(test)]
mod tests;
