//! `POST /adjustendpoints`: the desired endpoints in the form in which the zone will show them. Pure, and asked in every loop.

use std::collections::HashMap;

use super::alias;
use super::canonical;
use super::endpoint::{Endpoint, Property};
use super::refused::Refused;
use crate::model::{Name, RrType};
use crate::spec::Zones;

/// The property that asks for PTRs (annotation `external-dns.kubernetes.io/webhook-ptr`).
pub const PTR: &str = "webhook/ptr";

/// Labels that only the registry may give, and it gives them after this. A `DNSEndpoint` can carry any.
const FORGED: [&str; 3] = ["owner", "ownedRecord", "txt-encryption-nonce"];

/// What an installation wishes of every endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// The shortest TTL that is published, seconds.
    pub min_ttl: Option<u32>,
    /// The TTL of endpoints that declare none. Without it they keep what the zone has, and new ones get the zone's default.
    pub default_ttl: Option<u32>,
    /// Whether addresses get PTRs where nothing is said; `None`: nobody here makes PTRs, and none are asked for.
    pub ptr: Option<bool>,
}

impl Rules {
    /// The TTL that is published for a wish.
    pub fn ttl(self, wish: Option<u32>) -> Option<u32> {
        wish.or(self.default_ttl).map(|ttl| ttl.max(self.min_ttl.unwrap_or(0)))
    }
}

/// What became of the desired endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Adjusted {
    /// What ExternalDNS shall plan with.
    pub endpoints: Vec<Endpoint>,
    /// What cannot be published. Where the zone holds such a set that stays among the endpoints as it is: what is not wished
    /// would be deleted, for a slip of the pen.
    pub refused: Vec<Refused>,
}

/// The property that makes an update of a set whose ownership TXT names an owner of `migrateFrom`, so that it is written anew:
/// equal values alone would never be sent.
pub const REMARK: &str = "webhook/knotwork-remark";

/// What is looked up in the zones as they are known.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// The set that a zone holds, in the form in which it is shown.
    pub live: &'a dyn Fn(&Name, RrType) -> Option<Endpoint>,
    /// Whether its ownership TXT still names an owner of `migrateFrom`.
    pub is_migrating: &'a dyn Fn(&Name, RrType) -> bool,
}

/// Brings the endpoints into the form that [`super::list`] shows. Names outside every zone are left as they are: the filter
/// takes them out afterwards.
pub fn adjust(endpoints: Vec<Endpoint>, zones: &Zones, rules: Rules, sight: Sight<'_>) -> Adjusted {
    let mut adjusted = Adjusted::default();
    let mut seen = HashMap::new();
    for endpoint in endpoints {
        match canonical::name(&endpoint) {
            Ok(name) if zones.of(&name).is_none() => adjusted.endpoints.push(endpoint),
            Err(_) if !could_be_ours(&endpoint.dns_name, zones) => adjusted.endpoints.push(endpoint),
            Err(refused) => adjusted.refused.push(refused),
            Ok(name) => one(endpoint, &name, zones, rules, sight, &mut adjusted, &mut seen),
        }
    }
    adjusted
}

fn one(
    mut endpoint: Endpoint,
    name: &Name,
    zones: &Zones,
    rules: Rules,
    sight: Sight<'_>,
    adjusted: &mut Adjusted,
    seen: &mut HashMap<(Name, RrType), usize>,
) {
    let read = match canonical::read(&endpoint, zones) {
        Ok(read) => read,
        Err(refused) => {
            adjusted.refused.push(refused);
            let there = RrType::parse(&endpoint.record_type).and_then(|rtype| (sight.live)(name, rtype));
            let there = there.map(|there| Endpoint { labels: endpoint.labels, ..there });
            return adjusted.endpoints.extend(there);
        }
    };
    let reserved = |label: &[u8]| label == zones.label().as_bytes();
    if read.is_mark || alias::is_node(name) || name.labels().any(reserved) {
        let words = "it would forge a mark of ownership, or stand where those are kept";
        return adjusted.refused.push(Refused::of(&endpoint, "Reserved", words));
    }
    let said = endpoint.property(PTR).map(|value| value.eq_ignore_ascii_case("true"));
    let wants = rules.ptr.is_some_and(|default| said.unwrap_or(default))
        && matches!(read.rtype, RrType::A | RrType::AAAA)
        && !read.name.is_wildcard();
    endpoint.dns_name = read.name.to_relaxed();
    endpoint.record_type = read.rtype.to_string();
    endpoint.targets = canonical::targets(read.rtype, &read.values);
    endpoint.record_ttl = rules.ttl(read.ttl).map_or(0, i64::from);
    // What one side has and the other not is an update in every loop: DNS does not know the identifier, and of the properties
    // only our own is kept in the zone.
    let property = |name: &str| Property { name: name.to_owned(), value: "true".to_owned() };
    let migrates = (sight.is_migrating)(name, read.rtype);
    endpoint.provider_specific =
        wants.then(|| property(PTR)).into_iter().chain(migrates.then(|| property(REMARK))).collect();
    endpoint.set_identifier.clear();
    for label in FORGED {
        endpoint.labels.remove(label);
    }
    // Endpoints that only the identifier told apart have become one set; the values come together.
    let place = *seen.entry((read.name, read.rtype)).or_insert(adjusted.endpoints.len());
    match adjusted.endpoints.get_mut(place) {
        Some(first) => {
            first.targets.append(&mut endpoint.targets);
            first.targets.sort();
            first.targets.dedup();
        }
        None => adjusted.endpoints.push(endpoint),
    }
}

/// Whether a name that cannot be read is meant for one of our zones.
fn could_be_ours(text: &str, zones: &Zones) -> bool {
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let ends = text.match_indices('.').map(|(at, _)| &text[at + 1..]);
    ends.filter_map(|end| Name::parse(end).ok()).any(|end| zones.of(&end).is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::endpoint::Property;
    use super::*;
    use crate::spec::ZoneEntry;

    const BLIND: Sight<'_> = Sight { live: &|_, _| None, is_migrating: &|_, _| false };

    fn zones() -> Zones {
        Zones::new([ZoneEntry { name: Name::parse("ex.com").unwrap(), default_ttl: 300 }], "_knotwork")
    }

    fn endpoint(name: &str, rtype: &str, targets: &[&str]) -> Endpoint {
        Endpoint {
            dns_name: name.into(),
            record_type: rtype.into(),
            targets: targets.iter().map(ToString::to_string).collect(),
            ..Endpoint::default()
        }
    }

    #[test]
    fn the_form_of_the_zone_twice_the_same() {
        let mut first = endpoint("Www.EX.com.", "A", &["10.0.0.2", "10.0.0.1", "10.0.0.1"]);
        first.set_identifier = "one".into();
        first.provider_specific = vec![Property { name: PTR.into(), value: "true".into() }];
        first.labels.insert("resource".into(), "service/default/www".into());
        first.labels.insert("ownedRecord".into(), "victim.ex.com".into());
        let mut second = endpoint("www.ex.com", "A", &["10.0.0.3"]);
        second.set_identifier = "two".into();
        let unicode = endpoint("bücher.ex.com", "CNAME", &["Shop.ex.com."]);
        let wanted = vec![first, second, unicode, endpoint("Else.NET.", "A", &["x"])];
        let rules = Rules { min_ttl: Some(60), default_ttl: None, ptr: Some(false) };
        let once = adjust(wanted, &zones(), rules, BLIND);
        assert!(once.refused.is_empty(), "{:?}", once.refused);
        let names: Vec<&str> = once.endpoints.iter().map(|endpoint| endpoint.dns_name.as_str()).collect();
        assert_eq!(names, ["www.ex.com", "xn--bcher-kva.ex.com", "Else.NET."]);
        assert_eq!(once.endpoints[0].targets, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(once.endpoints[0].label("resource"), "service/default/www", "labels are ExternalDNS's own");
        assert_eq!(once.endpoints[0].label("ownedRecord"), "");
        assert_eq!((once.endpoints[0].record_ttl, once.endpoints[1].targets[0].as_str()), (0, "shop.ex.com"));
        assert_eq!(once.endpoints[0].property(PTR), Some("true"));
        assert_eq!(once.endpoints[1].property(PTR), None, "a CNAME has no address");
        let twice = adjust(once.endpoints.clone(), &zones(), rules, BLIND);
        assert_eq!(twice.endpoints, once.endpoints);
    }

    #[test]
    fn a_set_of_a_former_owner_is_written_once_more() {
        let wanted = vec![endpoint("old.ex.com", "A", &["10.0.0.1"]), endpoint("new.ex.com", "A", &["10.0.0.1"])];
        let is_migrating = |name: &Name, rtype| name.to_relaxed() == "old.ex.com" && rtype == RrType::A;
        let sight = Sight { is_migrating: &is_migrating, ..BLIND };
        let adjusted = adjust(wanted, &zones(), Rules::default(), sight);
        let has: Vec<bool> = adjusted.endpoints.iter().map(|endpoint| endpoint.property(REMARK).is_some()).collect();
        assert_eq!(has, [true, false]);
    }

    #[test]
    fn ttls_have_a_floor_and_a_default_where_they_are_configured() {
        let ttl = |given: i64, rules: Rules| {
            let mut wanted = endpoint("www.ex.com", "A", &["10.0.0.1"]);
            wanted.record_ttl = given;
            adjust(vec![wanted], &zones(), rules, BLIND).endpoints[0].record_ttl
        };
        let rules = Rules { min_ttl: Some(60), default_ttl: Some(120), ptr: Some(false) };
        assert_eq!([ttl(0, rules), ttl(30, rules), ttl(90, rules)], [120, 60, 90]);
        assert_eq!([ttl(0, Rules::default()), ttl(30, Rules::default())], [0, 30]);
    }

    #[test]
    fn what_cannot_be_is_told_and_left_and_forged_marks_are_taken_out() {
        let wanted = vec![
            endpoint("a.ex.com", "A", &["10.0.0.300"]),
            endpoint("b.ex.com", "A", &["10.0.0.1"]),
            endpoint(&format!("{}.ex.com", "x".repeat(64)), "A", &["10.0.0.1"]),
            endpoint("c.ex.com", "TXT", &["heritage=external-dns,external-dns/owner=me"]),
            endpoint("_knotwork.b.ex.com", "TXT", &["x"]),
            endpoint(&format!("{}.net", "x".repeat(64)), "A", &["10.0.0.1"]),
        ];
        let live = |name: &Name, rtype| {
            (name.to_relaxed() == "a.ex.com" && rtype == RrType::A).then(|| endpoint("a.ex.com", "A", &["10.0.0.9"]))
        };
        let adjusted = adjust(wanted, &zones(), Rules::default(), Sight { live: &live, ..BLIND });
        let left: Vec<&str> = adjusted.endpoints.iter().map(|endpoint| &endpoint.dns_name[..2]).collect();
        assert_eq!(left, ["a.", "b.", "xx"]);
        assert_eq!(adjusted.endpoints[0].targets, ["10.0.0.9"], "what is there stays wished");
        let reasons: Vec<&str> = adjusted.refused.iter().map(|refused| refused.reason).collect();
        assert_eq!(reasons, ["InvalidTarget", "InvalidName", "Reserved", "Reserved"]);
    }
}
