//! Type bitmaps of NSEC, NSEC3 and CSYNC (RFC 4034 §4.1.2).

use crate::model::RrType;

/// Whether windows ascend and none is empty or ends in a zero octet, as the RFC demands of senders.
pub(super) fn is_well_formed(bitmap: &[u8]) -> bool {
    let mut rest = bitmap;
    let mut next = 0;
    while let [window, len, after @ ..] = rest {
        let len = usize::from(*len);
        if u16::from(*window) < next || !(1..=32).contains(&len) || after.len() < len || after[len - 1] == 0 {
            return false;
        }
        next = u16::from(*window) + 1;
        rest = &after[len..];
    }
    rest.is_empty()
}

/// The types in a well-formed bitmap, ascending.
pub(super) fn types(bitmap: &[u8]) -> Vec<RrType> {
    let mut types = Vec::new();
    let mut rest = bitmap;
    while let [window, len, after @ ..] = rest {
        let (octets, next) = after.split_at(usize::from(*len).min(after.len()));
        for (index, octet) in octets.iter().enumerate() {
            for bit in 0..8u16 {
                if octet & (0x80 >> bit) != 0 {
                    types.push(RrType(u16::from(*window) << 8 | (index as u16) << 3 | bit));
                }
            }
        }
        rest = next;
    }
    types
}

/// The bitmap of these types, in any order.
pub(super) fn encode(types: &[RrType], out: &mut Vec<u8>) {
    let mut numbers: Vec<u16> = types.iter().map(|rtype| rtype.0).collect();
    numbers.sort_unstable();
    for window in numbers.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut octets = [0u8; 32];
        let mut len = 0;
        for number in window {
            let index = usize::from(number & 0xff) / 8;
            octets[index] |= 0x80 >> (number & 7);
            len = index + 1;
        }
        out.extend([(window[0] >> 8) as u8, len as u8]);
        out.extend_from_slice(&octets[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_4034() {
        // §4.3: A MX RRSIG NSEC TYPE1234
        let types_in = [RrType::A, RrType::MX, RrType::RRSIG, RrType::NSEC, RrType(1234)];
        let mut wire = Vec::new();
        encode(&types_in, &mut wire);
        let mut expected = vec![0, 6, 0x40, 1, 0, 0, 0, 3, 4, 27];
        expected.extend([0; 26]);
        expected.push(0x20);
        assert_eq!(wire, expected);
        assert!(is_well_formed(&wire));
        assert_eq!(types(&wire), types_in);
    }

    #[test]
    fn refuses_what_senders_must_not_send() {
        assert!(is_well_formed(&[]));
        for bad in [&[0u8][..], &[0, 0], &[0, 1, 0], &[0, 2, 1], &[1, 1, 1, 0, 1, 1], &[0, 1, 1, 0, 1, 1]] {
            assert!(!is_well_formed(bad), "{bad:?}");
        }
    }
}
