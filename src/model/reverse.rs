//! Names of reverse zones: `in-addr.arpa`, `ip6.arpa`, and the classless zones of RFC 2317.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Name;

/// Whether a zone holds PTRs.
pub fn is_reverse(zone: &Name) -> bool {
    zone.labels().last() == Some(b"arpa")
}

/// The name of the PTR record for an address (RFC 1035 §3.5, RFC 3596 §2.5): `1.0.0.10.in-addr.arpa.`.
pub fn reverse_name(address: IpAddr) -> Name {
    let mut labels: Vec<Vec<u8>> = Vec::with_capacity(34);
    match address {
        IpAddr::V4(address) => {
            labels.extend(address.octets().iter().rev().map(|octet| octet.to_string().into_bytes()));
            labels.push(b"in-addr".to_vec());
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                labels.extend([octet & 15, octet >> 4].map(|nibble| vec![HEX[usize::from(nibble)]]));
            }
            labels.push(b"ip6".to_vec());
        }
    }
    labels.push(b"arpa".to_vec());
    let mut wire = Vec::with_capacity(80);
    for label in labels {
        wire.push(label.len() as u8);
        wire.extend(label);
    }
    wire.push(0);
    // The longest is 74 octets and no label is empty or over 7: this is always a name.
    Name::from_wire(&wire).unwrap_or_else(|_| Name::root())
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The name of the PTR record for `address` inside the zone `zone`; `None` when the address has no place there.
///
/// In a classless zone (RFC 2317) such as `0/26.2.0.192.in-addr.arpa` that is `5.0/26.2.0.192.in-addr.arpa` for
/// 192.0.2.5; see [`classless_range`] for the spellings.
pub fn reverse_name_in(zone: &Name, address: IpAddr) -> Option<Name> {
    let name = reverse_name(address);
    if name.is_at_or_below(zone) {
        return Some(name);
    }
    let IpAddr::V4(address) = address else { return None };
    let (first, last) = classless_range(zone)?;
    if !(first..=last).contains(&address) {
        return None;
    }
    zone.child(address.octets()[3].to_string().as_bytes()).ok()
}

/// The first and the last address of a classless reverse zone (RFC 2317 §4): `0/26.2.0.192.in-addr.arpa` by prefix length,
/// `0-63.2.0.192.in-addr.arpa` by range, `0-26.2.0.192.in-addr.arpa` by prefix length with a dash.
///
/// A number after the dash is the end of a range when such a block of addresses exists, else a prefix length; where it
/// could be both (`0-31`) it is a range. `None` for other names, and for blocks that do not begin where the label says.
pub fn classless_range(zone: &Name) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (label, parent) = (zone.first_label()?, zone.parent()?);
    let label = std::str::from_utf8(label).ok()?;
    let split = label.find(['/', '-'])?;
    let (first, second) = (number(&label[..split])?, number(&label[split + 1..])?);
    let slash = label.as_bytes()[split] == b'/';
    let start = u32::from(u8::try_from(first).ok()?);
    let block = |size: u32| (size.is_power_of_two() && start.is_multiple_of(size)).then_some(start + size - 1);
    let by_range = (!slash && (start..=255).contains(&second)).then(|| block(second - start + 1)).flatten();
    let by_prefix = || (25..=32).contains(&second).then(|| block(1 << (32 - second))).flatten();
    let end = by_range.or_else(by_prefix)?;
    let mut labels = parent.labels();
    let mut octets = [0u8; 4];
    for octet in octets[..3].iter_mut().rev() {
        *octet = u8::try_from(number(std::str::from_utf8(labels.next()?).ok()?)?).ok()?;
    }
    if !labels.eq([&b"in-addr"[..], b"arpa"]) {
        return None;
    }
    let at = |last: u32| Ipv4Addr::new(octets[0], octets[1], octets[2], last as u8);
    Some((at(start), at(end)))
}

/// The address that a PTR record's name stands for, in ordinary and in classless zones; `None` for other names.
pub fn address_of(name: &Name) -> Option<IpAddr> {
    let labels: Vec<&[u8]> = name.labels().collect();
    let (top, rest) = labels.split_last().map(|(top, rest)| (*top, rest))?;
    let (family, rest) = rest.split_last().map(|(family, rest)| (*family, rest))?;
    match (family, top, rest.len()) {
        (b"in-addr", b"arpa", 4) => {
            let mut octets = [0u8; 4];
            for (octet, label) in octets.iter_mut().rev().zip(rest) {
                *octet = u8::try_from(number(std::str::from_utf8(label).ok()?)?).ok()?;
            }
            Some(Ipv4Addr::from(octets).into())
        }
        (b"in-addr", b"arpa", 5) => {
            let (first, last) = classless_range(&name.parent()?)?;
            let own = u8::try_from(number(std::str::from_utf8(rest[0]).ok()?)?).ok()?;
            let [a, b, c, _] = first.octets();
            let address = Ipv4Addr::new(a, b, c, own);
            (first..=last).contains(&address).then_some(address.into())
        }
        (b"ip6", b"arpa", 32) => {
            let mut value = 0u128;
            for label in rest.iter().rev() {
                let [digit] = label else { return None };
                value = value << 4 | u128::from(char::from(*digit).to_digit(16)?);
            }
            Some(Ipv6Addr::from(value).into())
        }
        _ => None,
    }
}

/// A decimal number of at most three digits without leading zeros.
fn number(text: &str) -> Option<u32> {
    let plain = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }
    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_families_both_ways() {
        let six = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
        for (address, name) in [("10.0.0.1", "1.0.0.10.in-addr.arpa"), ("4321:0:1:2:3:4:567:89ab", six)] {
            assert_eq!(reverse_name(ip(address)), n(name));
            assert_eq!(address_of(&n(name)), Some(ip(address)));
        }
        for other in [".", "arpa", "0.0.10.in-addr.arpa", "256.0.0.10.in-addr.arpa", "01.0.0.10.in-addr.arpa", "a.b"] {
            assert_eq!(address_of(&n(other)), None, "{other}");
        }
    }

    #[test]
    fn classless_zones() {
        for (zone, first, last) in [
            ("0/26.2.0.192.in-addr.arpa", 0, 63),
            ("64/26.2.0.192.in-addr.arpa", 64, 127),
            ("0-63.2.0.192.in-addr.arpa", 0, 63),
            ("0-26.2.0.192.in-addr.arpa", 0, 63),
            ("64-26.2.0.192.in-addr.arpa", 64, 127),
            ("0-31.2.0.192.in-addr.arpa", 0, 31),
            ("255/32.2.0.192.in-addr.arpa", 255, 255),
        ] {
            let range = (Ipv4Addr::new(192, 0, 2, first), Ipv4Addr::new(192, 0, 2, last));
            assert_eq!(classless_range(&n(zone)), Some(range), "{zone}");
            for inside in [first, last] {
                let address = IpAddr::from([192, 0, 2, inside]);
                let name = reverse_name_in(&n(zone), address).unwrap();
                assert_eq!(name, n(&format!("{inside}.{zone}")));
                assert_eq!(address_of(&name), Some(address));
            }
            if last < 255 {
                assert_eq!(reverse_name_in(&n(zone), IpAddr::from([192, 0, 2, last + 1])), None);
                assert_eq!(address_of(&n(&format!("{}.{zone}", last + 1))), None);
            }
            assert_eq!(reverse_name_in(&n(zone), ip("192.0.3.0")), None);
        }
        for other in
            ["1/26.2.0.192.in-addr.arpa", "0/24.2.0.192.in-addr.arpa", "0-62.2.0.192.in-addr.arpa", "0/26.2.0.192.arpa"]
        {
            assert_eq!(classless_range(&n(other)), None, "{other}");
        }
    }

    #[test]
    fn ordinary_zones() {
        assert_eq!(reverse_name_in(&n("10.in-addr.arpa"), ip("10.1.2.3")), Some(n("3.2.1.10.in-addr.arpa")));
        assert_eq!(reverse_name_in(&n("10.in-addr.arpa"), ip("11.1.2.3")), None);
        assert_eq!(reverse_name_in(&n("ip6.arpa"), ip("fd00::1")).unwrap().label_count(), 34);
    }
}
