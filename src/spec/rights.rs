//! Claims: which namespaces may declare which names, types and addresses.

use std::net::IpAddr;

use crate::model::{Name, RrType};

/// A pattern of owner names in the `claims` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    /// `*`: every name.
    Any,
    /// `*.internal`: everything below.
    Below(Name),
    /// `internal`: this name.
    Exactly(Name),
}

impl NamePattern {
    /// Parses `*`, `*.internal` or `internal`.
    ///
    /// # Errors
    /// In words, when the text is no name.
    pub fn parse(text: &str) -> Result<NamePattern, String> {
        if text == "*" {
            return Ok(NamePattern::Any);
        }
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let name = Name::parse(rest).map_err(|error| format!("\"{text}\": {error}"))?;
        Ok(if below { NamePattern::Below(name) } else { NamePattern::Exactly(name) })
    }

    fn matches(&self, name: &Name) -> bool {
        match self {
            NamePattern::Any => true,
            NamePattern::Below(top) => name.is_below(top),
            NamePattern::Exactly(own) => name == own,
        }
    }

    /// Whether the pattern names just this name (what the apex and `_acme-challenge` need).
    fn names(&self, name: &Name) -> bool {
        matches!(self, NamePattern::Exactly(own) if own == name)
    }
}

/// An address range in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    address: IpAddr,
    bits: u8,
}

impl AddressRange {
    /// Parses `10.0.0.0/8`; a bare address is a range of one.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<AddressRange, String> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| format!("\"{text}\" is not an address range"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| format!("\"{text}\": the prefix length must be 0 to {most}"))?,
        };
        Ok(AddressRange { address, bits })
    }

    /// Whether the range holds the address.
    pub fn holds(&self, address: IpAddr) -> bool {
        let prefix = |value: u128, width: u32| value.checked_shr(width - u32::from(self.bits)).unwrap_or(0);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                prefix(u128::from(own.to_bits()), 32) == prefix(u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => prefix(own.to_bits(), 128) == prefix(other.to_bits(), 128),
            _ => false,
        }
    }
}

/// One rule of the `claims` section; an empty list does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Namespaces it is for; `*` is every one.
    pub namespaces: Vec<String>,
    /// Owner names.
    pub names: Vec<NamePattern>,
    /// Record types.
    pub types: Vec<RrType>,
    /// Addresses of A and AAAA sets, and of the PTRs made for them.
    pub addresses: Vec<AddressRange>,
    /// Whether `adopt: Takeover` is allowed.
    pub takeover: bool,
}

/// What declarations may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// The whole source is one trusted tenant (files without a `claims` section).
    Trusted,
    /// Everybody may declare ordinary names (a cluster without a `claims` section).
    Ordinary,
    /// Only what a rule allows.
    Rules(Vec<Rule>),
}

/// One thing that somebody wants to declare.
pub(super) struct Wish<'a> {
    pub namespace: &'a str,
    pub name: &'a Name,
    pub zone: &'a Name,
    pub rtype: RrType,
    pub addresses: &'a [IpAddr],
    pub takeover: bool,
}

impl Rights {
    /// Whether the wish is allowed; what is missing in words otherwise.
    pub(super) fn allow(&self, wish: &Wish<'_>) -> Result<(), String> {
        let special = special(wish);
        let rules = match self {
            Rights::Trusted => return Ok(()),
            Rights::Ordinary => {
                return match special {
                    Some(what) => Err(format!("{what} needs a rule in the `claims` section of the configuration")),
                    None => Ok(()),
                };
            }
            Rights::Rules(rules) => rules,
        };
        let mut reason = format!("no rule of the `claims` section is for the namespace \"{}\"", wish.namespace);
        for rule in rules {
            if !rule.namespaces.iter().any(|namespace| namespace == "*" || namespace == wish.namespace) {
                continue;
            }
            match rule.allows(wish, special.as_deref()) {
                Ok(()) => return Ok(()),
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }
}

/// What never goes without a rule that names it.
fn special(wish: &Wish<'_>) -> Option<String> {
    if wish.takeover {
        return Some("`adopt: Takeover`".to_owned());
    }
    if wish.name == wish.zone {
        return Some(format!("the apex {}", wish.zone.to_relaxed()));
    }
    if matches!(wish.rtype, RrType::NS | RrType::DS | RrType::DNAME) {
        return Some(format!("the type {}", wish.rtype));
    }
    (wish.name.first_label() == Some(b"_acme-challenge")).then(|| "an _acme-challenge name".to_owned())
}

impl Rule {
    fn allows(&self, wish: &Wish<'_>, special: Option<&str>) -> Result<(), String> {
        let namespace = wish.namespace;
        if !self.names.is_empty() && !self.names.iter().any(|pattern| pattern.matches(wish.name)) {
            return Err(format!("the namespace \"{namespace}\" may not declare the name {}", wish.name.to_relaxed()));
        }
        if !self.types.is_empty() && !self.types.contains(&wish.rtype) {
            return Err(format!("the namespace \"{namespace}\" may not declare {} records", wish.rtype));
        }
        if let Some(address) = wish
            .addresses
            .iter()
            .find(|address| !self.addresses.is_empty() && !self.addresses.iter().any(|range| range.holds(**address)))
        {
            return Err(format!("the namespace \"{namespace}\" may not use the address {address}"));
        }
        let Some(special) = special else { return Ok(()) };
        let named = self.names.iter().any(|pattern| pattern.names(wish.name));
        let typed = self.types.contains(&wish.rtype);
        let granted = if wish.takeover {
            self.takeover
        } else if wish.name == wish.zone || wish.name.first_label() == Some(b"_acme-challenge") {
            named
        } else {
            typed
        };
        if granted { Ok(()) } else { Err(format!("{special} needs a rule of the `claims` section that names it")) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wish<'a>(
        namespace: &'a str,
        name: &'a Name,
        zone: &'a Name,
        rtype: RrType,
        addresses: &'a [IpAddr],
    ) -> Wish<'a> {
        Wish { namespace, name, zone, rtype, addresses, takeover: false }
    }

    #[test]
    fn rules_restrict_names_types_and_addresses() {
        let zone = Name::parse("internal").unwrap();
        let name = Name::parse("a.internal").unwrap();
        let rights = Rights::Rules(vec![Rule {
            namespaces: vec!["dns".into()],
            names: vec![NamePattern::parse("*.internal").unwrap()],
            types: vec![RrType::A, RrType::PTR],
            addresses: vec![AddressRange::parse("10.0.0.0/8").unwrap()],
            takeover: false,
        }]);
        let good = ["10.1.2.3".parse().unwrap()];
        let bad = ["192.0.2.1".parse().unwrap()];
        assert!(rights.allow(&wish("dns", &name, &zone, RrType::A, &good)).is_ok());
        assert!(rights.allow(&wish("dns", &name, &zone, RrType::A, &bad)).unwrap_err().contains("192.0.2.1"));
        assert!(rights.allow(&wish("dns", &name, &zone, RrType::TXT, &[])).unwrap_err().contains("TXT"));
        assert!(rights.allow(&wish("web", &name, &zone, RrType::A, &good)).unwrap_err().contains("web"));
        assert!(rights.allow(&wish("dns", &zone, &zone, RrType::A, &good)).is_err());
    }

    #[test]
    fn what_is_special_needs_its_own_word() {
        let zone = Name::parse("internal").unwrap();
        let name = Name::parse("sub.internal").unwrap();
        assert!(Rights::Trusted.allow(&wish("x", &zone, &zone, RrType::NS, &[])).is_ok());
        assert!(Rights::Ordinary.allow(&wish("x", &name, &zone, RrType::A, &[])).is_ok());
        for rtype in [RrType::NS, RrType::DS, RrType::DNAME] {
            assert!(Rights::Ordinary.allow(&wish("x", &name, &zone, rtype, &[])).is_err());
        }
        assert!(Rights::Ordinary.allow(&wish("x", &zone, &zone, RrType::TXT, &[])).is_err());
        let rights = Rights::Rules(vec![Rule {
            namespaces: vec!["*".into()],
            names: vec![NamePattern::Exactly(zone.clone())],
            ..Rule::default()
        }]);
        assert!(rights.allow(&wish("x", &zone, &zone, RrType::TXT, &[])).is_ok());
    }

    #[test]
    fn ranges() {
        let all = AddressRange::parse("0.0.0.0/0").unwrap();
        assert!(all.holds("203.0.113.9".parse().unwrap()) && !all.holds("::1".parse().unwrap()));
        assert!(AddressRange::parse("fd00::/8").unwrap().holds("fdab::1".parse().unwrap()));
        assert!(AddressRange::parse("10.0.0.0/33").is_err());
    }
}
