//! `DNSZone`: what a person looks at in Kubernetes, one object per configured zone, and where a person decides.
//!
//! The operator makes these objects, so the types are read and written on the API alone and keep to plain types. Fields
//! that they do not know are passed over: a newer CRD must not blind an older operator.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::status::Condition;
use crate::model::Name;

/// This kind.
pub const ZONE_KIND: &str = "DNSZone";

/// What a person decides about a zone. The right to edit it is the permission.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZoneSpec {
    /// Hash of the held operations that may go; just those, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// What becomes of the orphans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans: Option<Orphans>,
    /// Hash of the orphans that may be deleted; just those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans_hash: Option<String>,
    /// Whether the zone is kept right or only watched; absent: as the configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ZoneMode>,
}

/// What becomes of sets of ours that no object declares and none asked to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Orphans {
    /// They stay, and are shown.
    Report,
    /// Those of the hash go, under the brake.
    Delete,
}

/// Whether a zone is kept right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZoneMode {
    /// What is declared is brought about, and drift repaired.
    Repair,
    /// What would be done is reported, and nothing written.
    Observe,
}

/// What became of a zone: a report, never a basis for a write.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZoneObjectStatus {
    /// The generation that this report is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The zone's absolute name; the object's own name may be a replacement for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Address of the server that the view comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// SOA serial of the last complete view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<i64>,
    /// When the last complete view was had, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sync: Option<String>,
    /// Record sets by class of writer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sets: Option<ZoneSets>,
    /// Declarations that cannot be fulfilled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<i64>,
    /// Sets of ours that no object declares and none asked to delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans: Option<i64>,
    /// Names just these orphans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans_hash: Option<String>,
    /// What the brake holds; absent when it holds nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<ZoneHeld>,
    /// The mode in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ZoneMode>,
    /// What the brake counted within its window, for an operator that starts meanwhile; it only ever restricts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brake: Option<ZoneBrake>,
    /// At most 8 of the conflicts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflict_sample: Vec<ConflictSample>,
    /// At most 8 of the orphans.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub orphan_sample: Vec<OrphanSample>,
    /// `Reachable`, `InSync`; `Stalled` or `Reconciling` while they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Record sets of a zone by class of writer; classes without sets may be absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZoneSets {
    /// Marked by this installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<i64>,
    /// Of another Knotwork.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knotwork: Option<i64>,
    /// Of ExternalDNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_dns: Option<i64>,
    /// Of the Nix module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nix: Option<i64>,
    /// Of a DHCP server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<i64>,
    /// SOA, DNSSEC and their like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<i64>,
    /// Nobody's mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmarked: Option<i64>,
}

/// What the brake holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneHeld {
    /// For `spec.release`: names exactly the held operations.
    pub hash: String,
    /// Held deletes.
    #[serde(default)]
    pub deletes: i64,
    /// Held replaces of sets of ours.
    #[serde(default)]
    pub replaces: i64,
    /// Held takeovers that change values.
    #[serde(default)]
    pub takeovers: i64,
    /// Sets of ours, against which the brake counts.
    #[serde(default)]
    pub owned: i64,
    /// How many the brake lets pass in ten minutes.
    #[serde(default)]
    pub limit: i64,
}

/// What the brake counted within its window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneBrake {
    /// Deletes and replaces.
    pub operations: i64,
    /// Sets of ours when the window began.
    pub owned: i64,
    /// When the first of them was, RFC 3339.
    pub since: String,
}

/// One declaration that cannot be fulfilled.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConflictSample {
    /// Owner name.
    pub name: String,
    /// Type.
    pub r#type: String,
    /// Why, a stable word.
    pub reason: String,
    /// Who holds the set or the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The object that cannot have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// One set of ours that no object declares.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanSample {
    /// Owner name.
    pub name: String,
    /// Type.
    pub r#type: String,
    /// The object that its marker names.
    pub resource: String,
}

/// The longest name of an object (RFC 1123 subdomain, as Kubernetes has it).
const LONGEST: usize = 253;
/// Octets of the hash in a replacement: enough for the few zones of one configuration.
const HASH: usize = 4;

/// The name of a zone's object: the zone's own, where Kubernetes takes it. Else (the root, underscores, the slashes of
/// RFC 2317, escapes) what can be kept of it and a hash, so that no two zones share an object: `0/26.2.0.192.in-addr.arpa`
/// is at `0-26.2.0.192.in-addr.arpa-ccdc926c`.
pub fn zone_object_name(zone: &Name) -> String {
    let plain = zone.to_relaxed();
    if is_subdomain(&plain) {
        return plain;
    }
    let mut readable: String = if zone.is_root() { "root".to_owned() } else { labels(zone).join(".") };
    let mut hash = String::from("-");
    for octet in &Sha256::digest(zone.wire())[..HASH] {
        let _ = write!(hash, "{octet:02x}");
    }
    // All of it is ASCII.
    readable.truncate(LONGEST - hash.len());
    let end = readable.trim_end_matches(['.', '-']).len();
    readable.truncate(end);
    readable + &hash
}

/// The labels with what an object's name cannot hold replaced.
fn labels(zone: &Name) -> Vec<String> {
    let kept = |octet: &u8| match octet {
        b'a'..=b'z' | b'0'..=b'9' => char::from(*octet),
        _ => '-',
    };
    let label = |label: &[u8]| {
        let text: String = label.iter().map(kept).collect();
        match text.trim_matches('-') {
            "" => "x".to_owned(),
            some => some.to_owned(),
        }
    };
    zone.labels().map(label).collect()
}

/// Whether Kubernetes takes this as the name of an object.
fn is_subdomain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= LONGEST && text.split('.').all(label)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(zone: &str) -> String {
        zone_object_name(&Name::parse(zone).unwrap())
    }

    #[test]
    fn a_name_that_kubernetes_takes_stays() {
        for zone in ["internal", "s3.garage.internal", "10.in-addr.arpa", "xn--bcher-kva.example", "root", "a--b.c"] {
            assert_eq!(of(zone), zone);
        }
        assert_eq!(of("Internal."), "internal");
    }

    /// Fixed, since a name that changed would leave an object behind.
    #[test]
    fn any_other_is_replaced_readably() {
        for (zone, object) in [
            (".", "root-6e340b9c"),
            ("0/26.2.0.192.in-addr.arpa", "0-26.2.0.192.in-addr.arpa-ccdc926c"),
            ("_tcp.internal", "tcp.internal-3e030c00"),
            ("a_b.internal", "a-b.internal-ea8590db"),
            ("_.internal", "x.internal-9a0d7d67"),
            ("a-.-b", "a.b-71b0ce26"),
            (r"a\.b.internal", "a-b.internal-3ba215d2"),
            (r"\000", "x-fb50dc07"),
        ] {
            assert_eq!(of(zone), object, "{zone}");
            assert!(is_subdomain(object), "{zone}");
        }
    }

    #[test]
    fn the_longest_names_fit() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(of(&longest), longest);
        for first in ["_".repeat(61), "a".repeat(52) + "_.aaaaaaa", "_".to_owned() + &"a".repeat(60)] {
            let made = of(&format!("{label}.{label}.{label}.{first}"));
            assert!(made.len() <= LONGEST && is_subdomain(&made), "{made}");
        }
    }

    proptest! {
        #[test]
        fn names_are_valid_and_of_one_zone_each(zones in prop::collection::btree_set("[a-cA-C0/_*\\-]{1,3}(\\.[a-b0_-]{1,2}){0,2}", 1..40)) {
            let zones: BTreeSet<Name> = zones.iter().map(|zone| Name::parse(zone).unwrap()).collect();
            let made: BTreeSet<String> = zones.iter().map(zone_object_name).collect();
            prop_assert_eq!(made.len(), zones.len());
            prop_assert!(made.iter().all(|name| is_subdomain(name)));
        }

        #[test]
        fn any_octets_have_a_valid_name(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=63), 0..=3)) {
            let mut wire: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect();
            wire.push(0);
            let made = zone_object_name(&Name::from_wire(&wire).unwrap());
            prop_assert!(is_subdomain(&made), "{}", made);
        }
    }
}
