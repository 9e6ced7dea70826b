//! Types without a layout of their own whose form is checked all the same: Knot 3.2 takes a malformed one by UPDATE and
//! can then never write its zone file again.

use crate::model::{Name, RrType};

/// Whether the octets have the form of the type; true for types that are not known here.
pub(super) fn is_well_formed(rtype: RrType, rdata: &[u8]) -> bool {
    match rtype {
        RrType::APL => is_apl(rdata),
        RrType::IPSECKEY => is_ipseckey(rdata),
        _ => true,
    }
}

/// RFC 3123 §4: items of family, prefix length, negation and length, and an address without its trailing zeros.
fn is_apl(mut rest: &[u8]) -> bool {
    while let [high, low, prefix, flags, after @ ..] = rest {
        let len = usize::from(flags & 0x7f);
        let (bits, octets) = match u16::from_be_bytes([*high, *low]) {
            1 => (32, 4),
            2 => (128, 16),
            _ => (255, 127),
        };
        if *prefix > bits || len > octets || after.len() < len || (len > 0 && after[len - 1] == 0) {
            return false;
        }
        rest = &after[len..];
    }
    rest.is_empty()
}

/// RFC 4025 §2: precedence, gateway type, algorithm, the gateway as its type says, the key.
fn is_ipseckey(rdata: &[u8]) -> bool {
    let [_, gateway, _, rest @ ..] = rdata else { return false };
    match gateway {
        0 => true,
        1 => rest.len() >= 4,
        2 => rest.len() >= 16,
        3 => {
            // A name in full, whatever key follows it.
            let mut at = 0;
            while let Some(label) = rest.get(at).map(|len| usize::from(*len)).filter(|len| *len > 0 && *len < 64) {
                at += label + 1;
            }
            rest.get(..=at).is_some_and(|wire| Name::from_wire(wire).is_ok())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apl() {
        for good in [&[][..], &[0, 1, 24, 3, 10, 0, 1], &[0, 2, 8, 0x81, 0xff, 0, 1, 0, 0]] {
            assert!(is_well_formed(RrType::APL, good), "{good:?}");
        }
        for bad in
            [&[0xc0][..], &[0, 1, 33, 0], &[0, 1, 24, 3, 10, 0], &[0, 1, 24, 5, 1, 2, 3, 4, 5], &[0, 1, 8, 2, 10, 0]]
        {
            assert!(!is_well_formed(RrType::APL, bad), "{bad:?}");
        }
    }

    #[test]
    fn ipseckey() {
        for good in [&[10, 0, 2, 1, 2][..], &[10, 1, 2, 10, 0, 0, 1, 9], &[10, 3, 2, 1, b'a', 0, 7], &[1, 3, 0, 0]] {
            assert!(is_well_formed(RrType::IPSECKEY, good), "{good:?}");
        }
        for bad in [
            &[0xc0][..],
            &[10, 1, 2, 10, 0, 0],
            &[10, 2, 2, 1],
            &[10, 3, 2, 5, b'a'],
            &[10, 3, 2, 0xc0, 12],
            &[10, 4, 2],
        ] {
            assert!(!is_well_formed(RrType::IPSECKEY, bad), "{bad:?}");
        }
    }
}
