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
        let mut values: Vec<Rdata> = values.into_iter().collect();
        // Canonical forms borrow nearly always, so comparing costs no allocation. Among spellings of one value the order
        // of octets decides which stays: the same whatever the order they came in.
        values.sort_unstable_by(|a, b| {
            rdata::canonical(rtype, a).cmp(&rdata::canonical(rtype, b)).then_with(|| a.cmp(b))
        });
        values.dedup_by(|later, first| rdata::same(rtype, later, first));
        RrSet { ttl, values }
    }

    /// Whether both hold the same values in canonical form; TTLs are not compared.
    pub fn same_values(&self, other: &RrSet, rtype: RrType) -> bool {
        self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(|(a, b)| rdata::same(rtype, a, b))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sorted_and_single_whatever_their_case() {
        let value = |wire: &[u8]| -> Rdata { wire.into() };
        let (a, upper, b) = (value(b"\x01a\0"), value(b"\x01A\0"), value(b"\x01B\0"));
        let set = RrSet::new(RrType::NS, 60, [b.clone(), a.clone(), upper.clone(), a.clone()]);
        assert_eq!(set.values, [upper.clone(), b.clone()]);
        let other = RrSet::new(RrType::NS, 60, [a.clone(), value(b"\x01b\0")]);
        assert!(set.same(&other, RrType::NS));
        assert!(!set.same_values(&RrSet::new(RrType::NS, 60, [a]), RrType::NS));
        assert_eq!(RrSet::new(RrType::TXT, 60, [value(b"\x01a"), value(b"\x01A")]).len(), 2);
    }
}
