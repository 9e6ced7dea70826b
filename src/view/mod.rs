//! Our copy of a zone at one SOA serial.

use std::collections::BTreeMap;

use crate::model::{Name, Rdata, RrSet, RrType};

/// A complete copy of a zone at one SOA serial, compact in memory.
///
/// Made only from complete, verified transfers (DESIGN invariant 1). Iteration is in subtree order: everything
/// below a name follows it directly.
#[derive(Debug, Clone)]
pub struct View {
    zone: Name,
    serial: u32,
    nodes: BTreeMap<Box<[u8]>, BTreeMap<RrType, RrSet>>,
}

impl View {
    /// An empty view to fill; used by tests and by the transfer engine.
    pub fn new(zone: Name, serial: u32) -> View {
        View { zone, serial, nodes: BTreeMap::new() }
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
    /// Adds one record; `false` when it was there already. The set takes the TTL of the newest record.
    /// Names outside the zone are ignored and give `false`.
    pub fn add(&mut self, name: &Name, rtype: RrType, ttl: u32, rdata: Rdata) -> bool {
        let Some(key) = name.tree_key(&self.zone) else { return false };
        let set = self.nodes.entry(key).or_default().entry(rtype).or_insert_with(|| RrSet { ttl, values: Vec::new() });
        let before = set.values.len();
        let values = std::mem::take(&mut set.values);
        *set = RrSet::new(rtype, ttl, values.into_iter().chain([rdata]));
        set.values.len() != before
    }
    /// Removes one record by value (canonical comparison); `false` when it was not there.
    pub fn remove(&mut self, name: &Name, rtype: RrType, rdata: &[u8]) -> bool {
        let Some(key) = name.tree_key(&self.zone) else { return false };
        let Some(node) = self.nodes.get_mut(&key) else { return false };
        let Some(set) = node.get_mut(&rtype) else { return false };
        let canonical = crate::model::rdata::canonical(rtype, rdata);
        let before = set.values.len();
        set.values.retain(|value| crate::model::rdata::canonical(rtype, value) != canonical);
        let gone = set.values.len() != before;
        if set.values.is_empty() {
            node.remove(&rtype);
            if node.is_empty() {
                self.nodes.remove(&key);
            }
        }
        gone
    }
    /// One record set.
    pub fn get(&self, name: &Name, rtype: RrType) -> Option<RrSet> {
        self.nodes.get(&name.tree_key(&self.zone)?)?.get(&rtype).cloned()
    }
    /// All record sets at one name, by type.
    pub fn at(&self, name: &Name) -> Vec<(RrType, RrSet)> {
        let Some(key) = name.tree_key(&self.zone) else { return Vec::new() };
        self.nodes.get(&key).map(|node| node.iter().map(|(t, s)| (*t, s.clone())).collect()).unwrap_or_default()
    }
    /// Whether the name holds any record set (an empty non-terminal does not: RFC 2136 §2.4.4).
    pub fn in_use(&self, name: &Name) -> bool {
        name.tree_key(&self.zone).is_some_and(|key| self.nodes.contains_key(&key))
    }
    /// Names strictly below `name`, in subtree order.
    pub fn below<'a>(&'a self, name: &Name) -> Box<dyn Iterator<Item = Name> + 'a> {
        let Some(key) = name.tree_key(&self.zone) else { return Box::new(std::iter::empty()) };
        let len = key.len();
        let prefix = key.clone();
        Box::new(
            self.nodes
                .range(key..)
                .take_while(move |(k, _)| k.starts_with(&prefix))
                .filter(move |(k, _)| k.len() > len)
                .map(|(k, _)| Name::from_tree_key(k, &self.zone)),
        )
    }
    /// All names, in subtree order.
    pub fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.nodes.keys().map(|k| Name::from_tree_key(k, &self.zone))
    }
    /// Number of names.
    pub fn name_count(&self) -> usize {
        self.nodes.len()
    }
}
