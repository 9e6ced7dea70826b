//! Record sets.

use super::{RrType, rdata};

/// The RDATA of one record: uncompressed wire form, in the letter case it was declared or transferred in.
pub type Rdata = Box<[u8]>;

/// The values and the TTL of one record set (RFC 9499 "RRset"); owner and type are kept beside it.
///
/// Values are sorted by their canonical form and free of duplicates. Equality compares canonical forms
/// and the TTL, so letter case never makes a difference.
#[derive(Debug, Clone)]
pub struct RrSet {
    /// Seconds.
    pub ttl: u32,
    /// The values; sorted by canonical form.
    pub values: Vec<Rdata>,
}

impl RrSet {
    /// A set of these values, sorted and freed of duplicates by canonical form.
    pub fn new(rtype: RrType, ttl: u32, values: impl IntoIterator<Item = Rdata>) -> RrSet {
        let mut keyed: Vec<(Box<[u8]>, Rdata)> =
            values.into_iter().map(|value| (rdata::canonical(rtype, &value).into(), value)).collect();
        keyed.sort();
        keyed.dedup_by(|a, b| a.0 == b.0);
        RrSet { ttl, values: keyed.into_iter().map(|(_, value)| value).collect() }
    }

    /// Whether both hold the same values in canonical form; TTLs are not compared.
    pub fn same_values(&self, other: &RrSet, rtype: RrType) -> bool {
        self.values.len() == other.values.len()
            && self
                .values
                .iter()
                .zip(&other.values)
                .all(|(a, b)| a == b || rdata::canonical(rtype, a) == rdata::canonical(rtype, b))
    }

    /// Whether values and TTL are the same.
    pub fn same(&self, other: &RrSet, rtype: RrType) -> bool {
        self.ttl == other.ttl && self.same_values(other, rtype)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
