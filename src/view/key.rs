//! Sort keys: owner names as octets whose plain order is the canonical one of RFC 4034 §6.1.
//!
//! Servers keep and transfer zones in that order, so a transfer needs no sorting. A key holds the labels from the
//! topmost down, relative to the apex, each ended by a zero octet; the octets 0 and 1 inside a label are escaped. The
//! key of an ancestor is a prefix of the keys below it.

use crate::model::Name;

/// Writes the key of the uncompressed name `wire` (any letter case) into `key`; `false` when it is not at or below
/// `apex`, given in lower case.
pub(super) fn write(wire: &[u8], apex: &[u8], key: &mut Vec<u8>) -> bool {
    key.clear();
    let Some(cut) = wire.len().checked_sub(apex.len()) else { return false };
    if !wire[cut..].eq_ignore_ascii_case(apex) {
        return false;
    }
    let mut starts = [0u8; 128];
    let (mut at, mut labels) = (0, 0);
    while at < cut {
        starts[labels] = at as u8;
        labels += 1;
        at += usize::from(wire[at]) + 1;
    }
    if at != cut {
        return false;
    }
    for &start in starts[..labels].iter().rev() {
        let start = usize::from(start);
        for &octet in &wire[start + 1..=start + usize::from(wire[start])] {
            match octet {
                0 | 1 => key.extend_from_slice(&[1, octet + 2]),
                octet => key.push(octet.to_ascii_lowercase()),
            }
        }
        key.push(0);
    }
    true
}

/// The key of `name`; `None` when it is not at or below `apex`.
pub(super) fn of(name: &Name, apex: &Name) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(name.wire().len());
    write(name.wire(), apex.wire(), &mut key).then_some(key)
}

/// The name of a key that was made with the same `apex`.
pub(super) fn name(key: &[u8], apex: &Name) -> Name {
    // Filled from the end: the topmost label comes first in the key.
    let mut wire = [0u8; 255];
    let mut start = wire.len() - apex.wire().len();
    wire[start..].copy_from_slice(apex.wire());
    for label in key.split_inclusive(|&octet| octet == 0) {
        let escapes = label.iter().filter(|&&octet| octet == 1).count();
        let len = label.len() - 1 - escapes;
        start -= len + 1;
        wire[start] = len as u8;
        let mut octets = label[..label.len() - 1].iter();
        for slot in &mut wire[start + 1..=start + len] {
            *slot = match octets.next() {
                Some(1) => octets.next().map_or(0, |escaped| escaped - 2),
                octet => octet.copied().unwrap_or_default(),
            };
        }
    }
    // A key holds the labels of a valid name, so this never falls back.
    Name::from_wire(&wire[start..]).unwrap_or_else(|_| apex.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> impl Strategy<Value = Name> {
        let octet = prop_oneof![0u8..3, b'a'..b'd', any::<u8>()];
        prop::collection::vec(prop::collection::vec(octet, 1..5), 0..4).prop_map(|labels| {
            labels.iter().fold(Name::parse("zone").unwrap(), |name, label| name.child(label).unwrap())
        })
    }

    proptest! {
        #[test]
        fn keys_are_in_canonical_order_and_go_back(a in names(), b in names()) {
            let apex = Name::parse("zone").unwrap();
            let (key_a, key_b) = (of(&a, &apex).unwrap(), of(&b, &apex).unwrap());
            prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
            prop_assert_eq!(key_b.starts_with(&key_a), b.is_at_or_below(&a));
            prop_assert_eq!(name(&key_a, &apex), a);
        }
    }

    #[test]
    fn the_zone_ends_at_label_boundaries() {
        let n = |text| Name::parse(text).unwrap();
        assert_eq!(of(&n("xzone"), &n("zone")), None);
        assert_eq!(of(&n("other"), &n("zone")), None);
        assert_eq!(of(&n("zone"), &n("zone")), Some(vec![]));
        assert_eq!(of(&n("a.b"), &n(".")), Some(b"b\0a\0".to_vec()));
        let mut key = Vec::new();
        assert!(write(b"\x01A\x04ZoNe\x00", n("zone").wire(), &mut key));
        assert_eq!(key, b"a\0");
    }

    #[test]
    fn the_longest_names_fit() {
        let apex = Name::root();
        let long = Name::parse(&"x.".repeat(127)).unwrap();
        assert_eq!(name(&of(&long, &apex).unwrap(), &apex), long);
    }
}
