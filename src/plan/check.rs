//! What a claim must be, whatever the zone holds.

use super::size::{SET_LIMIT, set_size};
use super::{Conflict, Reason};
use crate::model::{Claim, DeletionPolicy, Name, RrType, rdata};
use crate::ownership::{Marker, ZoneRules, txt};

/// A claim that cannot be fulfilled.
pub(super) fn conflict(
    claim: &Claim,
    reason: Reason,
    owner: impl Into<String>,
    message: impl Into<String>,
) -> Conflict {
    Conflict {
        name: claim.name.clone(),
        rtype: claim.rtype,
        reason,
        owner: owner.into(),
        source: Some(claim.object.clone()),
        message: message.into(),
    }
}

/// Checks a claim by itself; the sentence says what is wrong and what to do.
pub(super) fn check(rules: &ZoneRules, claim: &Claim) -> Result<(), String> {
    let (name, rtype) = (&claim.name, claim.rtype);
    let shown = name.to_relaxed();
    if !name.is_at_or_below(&rules.zone) {
        return Err(format!("{shown} is not in the zone {}", rules.zone.to_relaxed()));
    }
    if is_denied(rtype) {
        return Err(format!("{rtype} records are made by servers and tools, not declared; remove it"));
    }
    if claim.set.values.is_empty() {
        return Err(format!("no value is given for {shown} {rtype}; give one or remove the field"));
    }
    if name.labels().any(|label| label == rules.label.as_bytes()) {
        return Err(format!("{shown} holds the label {}, which is kept for markers; choose another name", rules.label));
    }
    let alias = matches!(rtype, RrType::CNAME | RrType::DNAME);
    if alias && name == &rules.zone {
        return Err(format!("a {rtype} cannot stand at the apex of a zone (RFC 1034 §3.6.2, RFC 6672 §2.3)"));
    }
    if alias && claim.set.values.len() > 1 {
        return Err(format!("a {rtype} set holds one value; {} are given", claim.set.values.len()));
    }
    if claim.share && alias {
        return Err(format!("a {rtype} holds one value and cannot be shared; remove share"));
    }
    if claim.share && claim.deletion == DeletionPolicy::Retain {
        return Err(
            "share and deletionPolicy: Retain exclude each other: a value that stays could not be told from drift"
                .to_owned(),
        );
    }
    if rtype == RrType::DS && name == &rules.zone {
        return Err(format!("the DS records of {shown} belong to its parent zone"));
    }
    if claim.set.ttl > 0x7fff_ffff {
        return Err(format!("the TTL {} is over 2147483647 (RFC 2181 §8)", claim.set.ttl));
    }
    if let Err(error) = Marker::node(&rules.label, name, rtype) {
        return Err(format!("there is no room for a marker at {shown}: {error}; shorten the name"));
    }
    if rtype == RrType::TXT && claim.set.values.iter().any(|value| txt::is_anybodys_marker(value)) {
        return Err(
            "the value reads as an ownership marker (heritage=…); others would take the name for theirs".to_owned()
        );
    }
    let size = set_size(name, &claim.set.values);
    if size > SET_LIMIT {
        return Err(too_large(name, rtype, size, SET_LIMIT));
    }
    for value in &claim.set.values {
        if let Err(error) = rdata::check(rtype, value) {
            return Err(format!("a value of {shown} {rtype} is malformed: {error}"));
        }
    }
    Ok(())
}

/// The sentence about a set that cannot be handled for its size.
pub(super) fn too_large(name: &Name, rtype: RrType, size: usize, limit: usize) -> String {
    format!(
        "{} {rtype} would take {size} octets; the limit is {limit}. Give fewer or shorter values",
        name.to_relaxed()
    )
}

/// Types that no update of ours may touch.
pub(super) fn is_denied(rtype: RrType) -> bool {
    rtype == RrType::SOA || rtype == RrType::ZONEMD || rtype == RrType::DHCID || rtype.is_dnssec() || rtype.is_meta()
}
