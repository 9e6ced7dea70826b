//! Claims: which namespaces may declare which names, types and addresses.

use std::net::IpAddr;

use crate::model::{Claim, Claims, Name, ObjectId, RrType};

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
    /// Whether these namespaces may share one record set with other namespaces.
    pub share: bool,
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
        let specials = specials(wish);
        let rules = match self {
            Rights::Trusted => return Ok(()),
            Rights::Ordinary => {
                return match specials.first() {
                    Some(special) => {
                        Err(format!("{} in the `claims` section of the configuration", special.words(wish)))
                    }
                    None => Ok(()),
                };
            }
            Rights::Rules(rules) => rules,
        };
        let mut reason = (0, format!("no rule of the `claims` section is for the namespace \"{}\"", wish.namespace));
        for rule in rules.iter().filter(|rule| rule.is_for(wish.namespace)) {
            match rule.allows(wish, &specials) {
                Ok(()) => return Ok(()),
                // The rule that came closest says best what is missing.
                Err(why) if why.0 > reason.0 => reason = why,
                Err(_) => {}
            }
        }
        Err(reason.1)
    }

    /// Takes back the claims on shared sets that mix namespaces without the right to: the set belongs to the namespace
    /// whose claim is first (older object, then namespace and name), and to others where a rule with `share: true` says so
    /// for both. The objects that lose a claim are to be protected, since what they published must stay as it is.
    pub fn separate(&self, claims: &mut Claims) -> Vec<Separated> {
        let mut separated = Vec::new();
        if *self == Rights::Trusted {
            return separated;
        }
        for (name, types) in &mut claims.sets {
            for (rtype, members) in types.iter_mut() {
                let first = members.iter().filter(|claim| claim.share).min_by_key(|claim| order(claim));
                let Some(first) = first.map(|claim| claim.object.clone()) else { continue };
                let holder = first.namespace();
                let mut keep = |claim: &Claim| {
                    let own = claim.object.namespace();
                    let allowed = !claim.share
                        || own == holder
                        || (self.may_share(holder, name, *rtype) && self.may_share(own, name, *rtype));
                    if !allowed {
                        let (object, holder) = (claim.object.clone(), first.clone());
                        separated.push(Separated { object, holder, name: name.clone(), rtype: *rtype });
                    }
                    allowed
                };
                members.retain(|claim| keep(claim));
            }
        }
        separated
    }

    fn may_share(&self, namespace: &str, name: &Name, rtype: RrType) -> bool {
        let Rights::Rules(rules) = self else { return false };
        rules.iter().any(|rule| rule.share && rule.is_for(namespace) && rule.matches(name, rtype))
    }
}

/// A claim that was taken back because its set belongs to another namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separated {
    /// The object that loses the claim.
    pub object: ObjectId,
    /// The object that is first.
    pub holder: ObjectId,
    /// Owner name.
    pub name: Name,
    /// Type.
    pub rtype: RrType,
}

impl Separated {
    /// In words, with the way out.
    pub fn message(&self) -> String {
        format!(
            "{} {} is shared by {} of another namespace; that needs a rule with `share: true` for both namespaces in the `claims` section of the configuration",
            self.name.to_relaxed(),
            self.rtype,
            self.holder
        )
    }
}

/// Who is first where no marker decides: the older object (files have no age), then namespace and name.
fn order(claim: &Claim) -> (i64, &str) {
    (claim.created.unwrap_or(i64::MAX), claim.object.as_str())
}

/// What never goes without a rule that says so in words of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Special {
    /// `adopt: Takeover`: a rule with `takeover: true`.
    Takeover,
    /// The apex of a zone, or an `_acme-challenge` name: a rule with exactly that name.
    Name,
    /// NS, DS, DNAME: a rule that lists the type.
    Type,
}

impl Special {
    fn words(self, wish: &Wish<'_>) -> String {
        match self {
            Special::Takeover => "`adopt: Takeover` needs a rule with `takeover: true`".to_owned(),
            Special::Name if wish.name == wish.zone => {
                let apex = wish.zone.to_relaxed();
                format!("the apex {apex} needs a rule with exactly this name (names: [{apex}])")
            }
            Special::Name => {
                let name = wish.name.to_relaxed();
                format!("an _acme-challenge name needs a rule with exactly this name (names: [{name}])")
            }
            Special::Type => format!("{} records need a rule that lists the type (types: [{0}])", wish.rtype),
        }
    }
}

/// All that is special about a wish; each needs its own word in the rule.
fn specials(wish: &Wish<'_>) -> Vec<Special> {
    let mut all = Vec::new();
    if wish.takeover {
        all.push(Special::Takeover);
    }
    if wish.name == wish.zone || wish.name.labels().any(|label| label == b"_acme-challenge") {
        all.push(Special::Name);
    }
    if matches!(wish.rtype, RrType::NS | RrType::DS | RrType::DNAME) {
        all.push(Special::Type);
    }
    all
}

impl Rule {
    fn is_for(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|own| own == "*" || own == namespace)
    }

    fn matches_name(&self, name: &Name) -> bool {
        self.names.is_empty() || self.names.iter().any(|pattern| pattern.matches(name))
    }

    fn matches(&self, name: &Name, rtype: RrType) -> bool {
        self.matches_name(name) && (self.types.is_empty() || self.types.contains(&rtype))
    }

    /// What is missing, with how far the rule went along.
    fn allows(&self, wish: &Wish<'_>, specials: &[Special]) -> Result<(), (u8, String)> {
        let namespace = wish.namespace;
        if !self.matches_name(wish.name) {
            let name = wish.name.to_relaxed();
            return Err((1, format!("the namespace \"{namespace}\" may not declare the name {name}")));
        }
        if !self.matches(wish.name, wish.rtype) {
            let text = format!(
                "the namespace \"{namespace}\" may not declare {} records at {}",
                wish.rtype,
                wish.name.to_relaxed()
            );
            return Err((2, text));
        }
        let free = |address: &&IpAddr| {
            !self.addresses.is_empty() && !self.addresses.iter().any(|range| range.holds(**address))
        };
        if let Some(address) = wish.addresses.iter().find(free) {
            return Err((3, format!("the namespace \"{namespace}\" may not use the address {address}")));
        }
        for special in specials {
            let granted = match special {
                Special::Takeover => self.takeover,
                Special::Name => self.names.iter().any(|pattern| pattern.names(wish.name)),
                Special::Type => self.types.contains(&wish.rtype),
            };
            if !granted {
                return Err((4, format!("{} in the `claims` section of the configuration", special.words(wish))));
            }
        }
        Ok(())
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
            ..Rule::default()
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
    fn each_special_thing_needs_its_own_word() {
        let zone = Name::parse("internal").unwrap();
        let names = vec![NamePattern::parse("*.internal").unwrap(), NamePattern::Exactly(zone.clone())];
        let rights = |rule: Rule| Rights::Rules(vec![Rule { namespaces: vec!["x".into()], ..rule }]);
        // The apex by name and NS without the type, then both.
        let apex_ns = wish("x", &zone, &zone, RrType::NS, &[]);
        let why = rights(Rule { names: names.clone(), ..Rule::default() }).allow(&apex_ns).unwrap_err();
        assert!(why.contains("types: [NS]"), "{why}");
        let both = Rule { names: names.clone(), types: vec![RrType::NS], ..Rule::default() };
        assert!(rights(both).allow(&apex_ns).is_ok());
        // A takeover of the apex is no right to the apex.
        let takeover = Wish { takeover: true, ..wish("x", &zone, &zone, RrType::A, &[]) };
        assert!(rights(Rule { takeover: true, ..Rule::default() }).allow(&takeover).unwrap_err().contains("apex"));
        let acme = Name::parse("_acme-challenge.a.internal").unwrap();
        let why =
            rights(Rule { names, ..Rule::default() }).allow(&wish("x", &acme, &zone, RrType::TXT, &[])).unwrap_err();
        assert!(why.contains("names: [_acme-challenge.a.internal]"), "{why}");
    }

    #[test]
    fn namespaces_share_only_by_a_rule_for_both() {
        let name = Name::parse("a.internal").unwrap();
        let claims = || {
            let mut claims = Claims::default();
            for (namespace, share) in [("b", true), ("a", true), ("a", false)] {
                claims.insert(Claim {
                    name: name.clone(),
                    rtype: RrType::A,
                    set: crate::model::RrSet::new(RrType::A, 60, []),
                    object: ObjectId::static_record(namespace, "x"),
                    created: None,
                    adopt: Default::default(),
                    deletion: Default::default(),
                    share,
                    reverse: false,
                });
            }
            claims
        };
        let left = |rights: &Rights| {
            let mut claims = claims();
            let gone = rights.separate(&mut claims);
            (claims.sets[&name][&RrType::A].len(), gone)
        };
        assert_eq!(left(&Rights::Trusted).0, 3);
        let (count, gone) = left(&Rights::Ordinary);
        assert_eq!((count, gone[0].object.namespace(), gone[0].holder.namespace()), (2, "b", "a"));
        let rule = |namespaces: &[&str]| Rule {
            namespaces: namespaces.iter().map(|text| text.to_string()).collect(),
            share: true,
            ..Rule::default()
        };
        assert_eq!(left(&Rights::Rules(vec![rule(&["b"])])).0, 2);
        assert_eq!(left(&Rights::Rules(vec![rule(&["a", "b"])])).0, 3);
    }

    #[test]
    fn ranges() {
        let all = AddressRange::parse("0.0.0.0/0").unwrap();
        assert!(all.holds("203.0.113.9".parse().unwrap()) && !all.holds("::1".parse().unwrap()));
        assert!(AddressRange::parse("fd00::/8").unwrap().holds("fdab::1".parse().unwrap()));
        assert!(AddressRange::parse("10.0.0.0/33").is_err());
    }
}
