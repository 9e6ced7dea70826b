//! PTRs that endpoints ask for (`webhook/ptr`): what follows for the reverse zones from the forward ones. Pure.
//!
//! Whether a set wants PTRs stands beside its ownership TXT in the zone (`super::alias`), so what is to be in the reverse zones
//! follows from the forward zones alone, whoever asks and after whatever restart.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::alias;
use super::registry::{self, Owners};
use crate::model::{AdoptPolicy, Claim, DeletionPolicy, Name, ObjectId, RrSet, RrType, rdata};
use crate::ownership::{ZoneRules, external_dns};
use crate::spec::Zones;
use crate::view::View;

/// A name with addresses that want PTRs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Owner name.
    pub name: Name,
    /// Seconds.
    pub ttl: u32,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// The address sets of a zone that want PTRs and are this ExternalDNS's, by name.
pub fn forwards<'a>(
    rules: &ZoneRules,
    owners: &Owners,
    view: &View,
    wanting: impl Iterator<Item = &'a (Name, RrType)>,
) -> Vec<Forward> {
    let mut found: Vec<Forward> = wanting
        .filter_map(|(name, rtype)| {
            let set = view.get(name, *rtype)?;
            let own = registry::registrations(rules, view, name, *rtype, &[]);
            let is_ours = !own.is_empty() && own.iter().all(|one| one.is_of(owners));
            let addresses = set.values.iter().filter_map(|value| address(value)).collect();
            is_ours.then(|| Forward { name: name.clone(), ttl: set.ttl, addresses })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// Whether what is at a name may change which addresses of a zone want PTRs, of those that did (by name).
pub fn hangs_on(rules: &ZoneRules, forwards: &[Forward], name: &Name) -> bool {
    let wants = |name: &Name| forwards.binary_search_by(|forward| forward.name.cmp(name)).is_ok();
    alias::is_node(name)
        || wants(name)
        || external_dns::covered(&rules.external_dns, name).iter().any(|covered| wants(&covered.name))
}

/// The address in the RDATA of an A or AAAA record.
fn address(rdata: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(rdata).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(rdata).map(IpAddr::from)).ok()
}

/// Claims by zone.
pub type Pointed = BTreeMap<Name, Vec<Claim>>;

/// The claims of reverse zones; and the addresses for which there is no zone.
pub fn claims<'a>(
    owner: &str,
    forwards: impl Iterator<Item = &'a Forward>,
    zones: &Zones,
) -> (Pointed, Vec<(Name, IpAddr)>) {
    let (mut claims, mut without) = (Pointed::new(), Vec::new());
    for forward in forwards.filter(|forward| !forward.name.is_wildcard()) {
        for address in &forward.addresses {
            let Some((name, zone)) = zones.reverse_of(*address) else {
                without.push((forward.name.clone(), *address));
                continue;
            };
            claims.entry(zone.name.clone()).or_default().push(Claim {
                name,
                rtype: RrType::PTR,
                set: RrSet::new(RrType::PTR, forward.ttl, [rdata::target(&forward.name)]),
                object: object(owner, &forward.name),
                created: None,
                adopt: AdoptPolicy::IfIdentical,
                deletion: DeletionPolicy::Delete,
                share: false,
                reverse: true,
            });
        }
    }
    (claims, without)
}

/// What the markers of such PTRs name.
pub fn object(owner: &str, forward: &Name) -> ObjectId {
    ObjectId::new(format!("externaldns/{owner}/{}", forward.to_relaxed()))
}

/// The forward name that a marker names.
pub fn forward_of(object: &ObjectId) -> Option<Name> {
    let mut parts = object.as_str().splitn(3, '/');
    (parts.next() == Some("externaldns")).then_some(())?;
    Name::parse(parts.nth(1)?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ownership::{test_rules, txt};
    use crate::spec::ZoneEntry;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn addresses_of_ours_get_claims_in_the_reverse_zones() {
        let (rules, owners) = (test_rules(), Owners { own: "k8s".to_owned(), migrate_from: vec![] });
        let mut view = View::new(n("internal"), 1);
        for (host, owner, last) in [("www", "k8s", 1u8), ("other", "else", 2), ("*", "k8s", 3)] {
            let mark = format!("heritage=external-dns,external-dns/owner={owner}");
            view.add(&n(&format!("{host}.internal")), RrType::A, 60, [10, 0, 0, last].into());
            view.add(&n(&format!("a-{host}.internal")), RrType::TXT, 60, txt::split(mark.as_bytes()));
        }
        view.add(&n("www.internal"), RrType::A, 60, [192, 0, 2, 9].into());
        let wanting = ["www", "other", "*", "gone"].map(|host| (n(&format!("{host}.internal")), RrType::A));
        let found = forwards(&rules, &owners, &view, wanting.iter());
        let names: Vec<String> = found.iter().map(|forward| forward.name.to_relaxed()).collect();
        assert_eq!(names, ["*.internal", "www.internal"], "another's is not pointed at");
        let zones = ["internal", "0.0.10.in-addr.arpa"].map(|zone| ZoneEntry { name: n(zone), default_ttl: 300 });
        let (claims, without) = claims("k8s", found.iter(), &Zones::new(zones, "_knotwork"));
        let all: Vec<&Claim> = claims.values().flatten().collect();
        assert_eq!((all.len(), all[0].name.to_relaxed().as_str()), (1, "1.0.0.10.in-addr.arpa"));
        assert_eq!(all[0].object.as_str(), "externaldns/k8s/www.internal");
        assert_eq!(forward_of(&all[0].object), Some(n("www.internal")));
        assert_eq!(without, [(n("www.internal"), "192.0.2.9".parse().unwrap())]);
        assert_eq!(forward_of(&ObjectId::new("staticdnsrecord/dns/x")), None);
    }
}
