//! Address ranges and their reverse zones, at any prefix length.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{Name, reverse_name};

/// A range of addresses: `192.168.4.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// Reads `address/length`; the address is the first of the range.
    ///
    /// # Errors
    /// What is wrong, in words, with the range that was probably meant.
    pub fn parse(text: &str) -> Result<Prefix, String> {
        let bad = || format!("\"{text}\" is not an address range (such as 192.168.4.0/24 or fd00:4::/64)");
        let (address, length) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        if length.is_empty() || length.len() > 3 || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        if length.len() > 1 && length.starts_with('0') {
            return Err(bad());
        }
        let length: u8 = length.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if length > most {
            return Err(format!("the length of \"{text}\" is out of range; expected 0 to {most}"));
        }
        let range = Prefix::around(address, length);
        if range.address != address {
            return Err(format!("{address} is inside its range, not its beginning; write {range}"));
        }
        Ok(range)
    }

    /// The range of this length that holds the address; lengths past the family's are as the longest.
    pub fn around(address: IpAddr, length: u8) -> Prefix {
        match address {
            IpAddr::V4(v4) => {
                let length = length.min(32);
                let bits = u32::from(v4) & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Prefix { address: Ipv4Addr::from(bits).into(), length }
            }
            IpAddr::V6(v6) => {
                let length = length.min(128);
                let bits = u128::from(v6) & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Prefix { address: Ipv6Addr::from(bits).into(), length }
            }
        }
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Its length in bits.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && Prefix::around(address, self.length).address == self.address
    }

    /// The reverse zones that hold the names of exactly these addresses (RFC 1035 §3.5, RFC 3596 §2.5). Zones are cut at
    /// octets (IPv4) or nibbles (IPv6); a length between two cuts takes all zones of the next one, at most 128.
    pub fn zones(&self) -> Vec<Name> {
        let (step, total) = if self.address.is_ipv4() { (8u8, 32u8) } else { (4, 128) };
        let cut = self.length.div_ceil(step) * step;
        let count = 1u32 << (cut - self.length);
        (0..count)
            .map(|i| {
                let first = match self.address {
                    IpAddr::V4(v4) => {
                        let shift = u32::from(total - cut);
                        IpAddr::from(Ipv4Addr::from(u32::from(v4) | i.checked_shl(shift).unwrap_or(0)))
                    }
                    IpAddr::V6(v6) => {
                        let shift = u32::from(total - cut);
                        let low = u128::from(i).checked_shl(shift).unwrap_or(0);
                        IpAddr::from(Ipv6Addr::from(u128::from(v6) | low))
                    }
                };
                // The zone is the address's own name without the labels of its host part.
                let mut name = reverse_name(first);
                for _ in 0..(total - cut) / step {
                    name = name.parent().unwrap_or_else(Name::root);
                }
                name
            })
            .collect()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zones(text: &str) -> Vec<String> {
        Prefix::parse(text).unwrap().zones().iter().map(Name::to_relaxed).collect()
    }

    #[test]
    fn at_the_cuts_and_between() {
        assert_eq!(zones("192.168.4.0/24"), ["4.168.192.in-addr.arpa"]);
        assert_eq!(zones("0.0.0.0/0"), ["in-addr.arpa"]);
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa"]);
        assert_eq!(zones("172.16.0.0/12").len(), 16);
        assert_eq!(zones("172.16.0.0/12")[15], "31.172.in-addr.arpa");
        assert_eq!(zones("192.168.4.128/25").len(), 128);
        assert_eq!(zones("192.168.4.53/32"), ["53.4.168.192.in-addr.arpa"]);
        assert_eq!(zones("fd00::/8"), ["d.f.ip6.arpa"]);
        assert_eq!(zones("fc00::/7"), ["c.f.ip6.arpa", "d.f.ip6.arpa"]);
        assert_eq!(zones("::/0"), ["ip6.arpa"]);
        assert_eq!(zones("fd00::1/128")[0].matches('.').count(), 33);
    }

    #[test]
    fn refuses_what_is_no_range() {
        for (text, word) in [
            ("192.168.4.0", "not an address range"),
            ("192.168.4.0/", "not an address range"),
            ("192.168.4.0/024", "not an address range"),
            ("192.168.4.0/+4", "not an address range"),
            ("192.168.4/24", "not an address range"),
            ("192.168.4.0/33", "expected 0 to 32"),
            ("fd00::/129", "expected 0 to 128"),
            ("192.168.4.7/24", "write 192.168.4.0/24"),
            ("fd00::1/64", "write fd00::/64"),
        ] {
            let said = Prefix::parse(text).unwrap_err();
            assert!(said.contains(word), "{text}: {said}");
        }
    }

    proptest! {
        /// The zones of a range hold the names of its addresses, of no other address, and none twice.
        #[test]
        fn zones_cover_exactly_the_range(bits: u128, v4: bool, length in 0u8..=128, other: u128, near in 0u32..16) {
            let make = |bits: u128| match v4 {
                true => IpAddr::from(Ipv4Addr::from(bits as u32)),
                false => IpAddr::from(Ipv6Addr::from(bits)),
            };
            let width = if v4 { 32 } else { 128 };
            let range = Prefix::around(make(bits), length);
            let zones = range.zones();
            prop_assert!(zones.len() <= 128);
            // Far ones, and such as differ from the range in a bit near its edge.
            let edge = u128::from(range.length()).min(width - 1);
            let flip = (width - 1 - edge).saturating_add(u128::from(near)).min(width - 1);
            for candidate in [other, bits, bits ^ (1 << flip), bits ^ 1, bits.wrapping_add(1 << flip)] {
                let address = make(candidate);
                let name = reverse_name(address);
                let holders = zones.iter().filter(|zone| name.is_at_or_below(zone)).count();
                prop_assert_eq!(holders, usize::from(range.contains(address)), "{} in {}", address, range);
            }
        }
    }
}
