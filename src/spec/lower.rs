//! From a valid object to claims.

use super::annotations::{ABANDON, PAUSE, bad_annotations, is_set};
use super::form::Form;
use super::problem::Problem;
use super::record::{Adopt, Deletion, Metadata, StaticDnsRecord};
use super::rights::{Rights, Wish};
use super::scalar::Int;
use super::values::{Collector, Declared};
use super::zones::{ZoneEntry, Zones};
use crate::model::{AdoptPolicy, Claim, DeletionPolicy, Name, ObjectId, ObjectState, RrSet, RrType, rdata};

/// TTLs are 31-bit numbers (RFC 2181 §8).
const MAX_TTL: u32 = 2_147_483_647;

/// What one object comes to.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// Its identity in markers.
    pub object: ObjectId,
    /// Whether it is whole; an object with problems declares nothing and keeps what it published.
    pub state: ObjectState,
    /// Claims with the apex of their zone; empty when there are problems.
    pub claims: Vec<(Name, Claim)>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is not wrong but worth saying.
    pub notes: Vec<String>,
}

/// What is declared at one owner name, whatever kind of object says it.
pub(super) struct Declaration<'a> {
    /// The namespace of the object.
    pub namespace: &'a str,
    pub owner: Name,
    /// The field that the owner name was read from.
    pub path: &'a str,
    /// The zone that holds the name.
    pub zone: &'a ZoneEntry,
    /// Whether the object names that zone itself.
    pub zone_given: bool,
    pub sets: Vec<Declared>,
    pub adopt: Adopt,
    pub deletion: Deletion,
    pub share: bool,
    pub reverse: bool,
}

/// Checks one object by all rules that it alone can break, and turns it into claims.
pub fn lower(record: &StaticDnsRecord, zones: &Zones, rights: &Rights) -> Lowered {
    let namespace = record.metadata.namespace.as_deref().unwrap_or("default");
    let object = ObjectId::static_record(namespace, &record.metadata.name);
    let mut lowered = Lowered::begin(object, &record.metadata, namespace);
    let spec = &record.spec;
    let owner = zones.owner(&spec.name, spec.zone.as_deref());
    let zone_given = spec.zone.as_deref().and_then(|zone| Name::parse(zone).ok());
    let mut collector = Collector::new(zones, zone_given, Form::Record);
    collector.collect(spec);
    let Collector { declared: mut sets, mut problems, .. } = collector;
    lowered.problems.append(&mut problems);
    if sets.is_empty() && lowered.problems.is_empty() {
        lowered
            .problems
            .push(Problem::invalid("spec", "no records are declared: give at least one of a, aaaa, cname, txt …"));
    }
    match spec.ttl.map(|ttl| read_ttl(ttl, "spec.ttl")).transpose() {
        Ok(ttl) => sets.iter_mut().for_each(|set| set.ttl = ttl),
        Err(problem) => lowered.problems.push(problem),
    }
    let (owner, zone) = match owner {
        Ok((owner, zone)) => (owner, zone),
        Err(problem) => {
            lowered.problems.insert(0, problem);
            return lowered.end();
        }
    };
    let share = spec.share.is_some_and(|flag| flag.0);
    let reverse = spec.reverse.is_some_and(|flag| flag.0);
    let declaration = Declaration {
        namespace,
        owner,
        path: "spec.name",
        zone,
        zone_given: spec.zone.is_some(),
        sets,
        adopt: spec.adopt.unwrap_or_default(),
        deletion: spec.deletion_policy.unwrap_or_default(),
        share,
        reverse,
    };
    lowered.declare(declaration, zones, rights);
    if share && spec.deletion_policy == Some(Deletion::Retain) {
        let text = "a shared set cannot be retained: values that no marker lists any more would look like drift";
        lowered.problems.push(Problem::invalid("spec.deletionPolicy", text));
    }
    if reverse && !lowered.claims.iter().any(|(_, claim)| is_address(claim.rtype)) {
        lowered.notes.push("reverse: true does nothing without addresses (a, aaaa)".to_owned());
    }
    lowered.end()
}

/// A TTL in its range.
pub(super) fn read_ttl(ttl: Int, path: &str) -> Result<u32, Problem> {
    u32::try_from(ttl.0)
        .ok()
        .filter(|ttl| *ttl <= MAX_TTL)
        .ok_or_else(|| Problem::invalid(path, format!("{} is no TTL; expected 0 to {MAX_TTL} seconds", ttl.0)))
}

impl Lowered {
    /// The object with nothing declared yet, its metadata checked.
    pub(super) fn begin(object: ObjectId, metadata: &Metadata, namespace: &str) -> Lowered {
        let mut problems = Vec::new();
        check_metadata(metadata, namespace, &mut problems);
        Lowered { object, state: state_of(metadata), claims: Vec::new(), problems, notes: Vec::new() }
    }

    /// The object when all of it has been read. One with problems declares nothing, and what its markers name stays as it is.
    pub(super) fn end(mut self) -> Lowered {
        if !self.problems.is_empty() {
            self.claims.clear();
            self.state = ObjectState::Protected;
        }
        if self.state == ObjectState::Abandoned {
            // It lets go of what it has, and asks for nothing: an annotation alone is noticed by what is declared no more.
            self.claims.clear();
        }
        self
    }

    /// Checks what is declared at one name, and adds its claims.
    pub(super) fn declare(&mut self, declaration: Declaration<'_>, zones: &Zones, rights: &Rights) {
        let Declaration { namespace, owner, path, zone, zone_given, sets, adopt, deletion, share, reverse } =
            declaration;
        if let Some(label) = owner.fake_a_label() {
            let label = String::from_utf8_lossy(label);
            self.notes.push(format!(
                "{}: {label} begins as an international label does and is none (RFC 5891): is it a typing error?",
                owner.to_relaxed()
            ));
        }
        check_owner(&owner, path, zones, &sets, &mut self.problems);
        check_types(&owner, &zone.name, share, &sets, &mut self.problems);
        let takeover = adopt == Adopt::Takeover;
        for Declared { rtype, ttl, values, path, addresses } in sets {
            // A DS at the apex of a zone of ours belongs to the zone above.
            let at_apex_above = (rtype == RrType::DS && owner == zone.name && !zone_given).then(|| zones.above(&owner));
            let zone = match at_apex_above {
                Some(Some(above)) => above,
                Some(None) => {
                    let text = format!(
                        "a DS at the apex {} belongs to the zone above it, which is not configured",
                        owner.to_relaxed()
                    );
                    self.problems.push(Problem::of("ZoneNotFound", path, text));
                    continue;
                }
                None => zone,
            };
            let wish = Wish { namespace, name: &owner, zone: &zone.name, rtype, addresses: &addresses, takeover };
            if let Err(why) = rights.allow(&wish) {
                self.problems.push(Problem::of("ClaimDenied", path, why));
                continue;
            }
            let claim = Claim {
                name: owner.clone(),
                rtype,
                set: RrSet::new(rtype, ttl.unwrap_or(zone.default_ttl), values),
                object: self.object.clone(),
                created: None,
                adopt: match adopt {
                    Adopt::Never => AdoptPolicy::Never,
                    Adopt::IfIdentical => AdoptPolicy::IfIdentical,
                    Adopt::Takeover => AdoptPolicy::Takeover,
                },
                deletion: match deletion {
                    Deletion::Delete => DeletionPolicy::Delete,
                    Deletion::Retain => DeletionPolicy::Retain,
                },
                share,
                reverse: false,
            };
            if reverse {
                reverse_claims(&claim, &addresses, ttl.is_some(), zones, (rights, namespace), self);
            }
            self.claims.push((zone.name.clone(), claim));
        }
    }
}

fn is_address(rtype: RrType) -> bool {
    matches!(rtype, RrType::A | RrType::AAAA)
}

fn state_of(metadata: &Metadata) -> ObjectState {
    if is_set(metadata, ABANDON) {
        ObjectState::Abandoned
    } else if is_set(metadata, PAUSE) {
        ObjectState::Paused
    } else {
        ObjectState::Present
    }
}

fn check_metadata(metadata: &Metadata, namespace: &str, problems: &mut Vec<Problem>) {
    for (path, text, most, dots) in
        [("metadata.name", &*metadata.name, 253, true), ("metadata.namespace", namespace, 63, false)]
    {
        problems.extend(bad_object_name(text, most, dots).map(|words| Problem::invalid(path, words)));
    }
    problems.extend(bad_annotations(metadata, &[PAUSE, ABANDON]));
}

/// What is wrong with the name of an object, if anything (RFC 1123 subdomain, or a label).
pub(super) fn bad_object_name(text: &str, most: usize, dots: bool) -> Option<String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |label: &[u8]| {
        label.iter().all(|b| good(*b) || *b == b'-')
            && label.first().is_some_and(|b| good(*b))
            && label.last().is_some_and(|b| good(*b))
    };
    let bytes = text.as_bytes();
    let right = if dots { bytes.split(|b| *b == b'.').all(label) } else { label(bytes) };
    (text.len() > most || !right).then(|| {
        format!(
            "\"{text}\" is no object name: lower-case letters, digits and '-'{}, at most {most},{} beginning and ending with a letter or digit",
            if dots { ", in parts divided by dots" } else { "" },
            if dots { " each part" } else { "" },
        )
    })
}

/// Rules of the owner name: room for the marker, and no name of the marker's own.
fn check_owner(owner: &Name, path: &str, zones: &Zones, declared: &[Declared], problems: &mut Vec<Problem>) {
    let label = zones.label();
    if owner.labels().any(|part| part == label.as_bytes()) {
        problems
            .push(Problem::invalid(path, format!("names with the label \"{label}\" are kept for ownership markers")));
    }
    let limit = 255 - label.len() - 1;
    let size = owner.wire().len();
    if size > limit && declared.iter().any(|set| set.rtype != RrType::DNAME) {
        let text = format!(
            "the name is {size} octets long in wire form; with its marker \"{label}\" in front the limit is {limit}"
        );
        problems.push(Problem::invalid(path, text));
    }
    if owner.labels().any(|part| part.len() > 1 && part.contains(&b'*')) {
        let text =
            "an asterisk inside a label is no wildcard (RFC 4592); a wildcard is \"*\" alone, as in *.apps.internal";
        problems.push(Problem::invalid(path, text));
    }
    if owner.labels().skip(1).any(|part| part == b"*") {
        problems.push(Problem::invalid(path, "an asterisk stands only as the leftmost label (RFC 4592)"));
    }
}

/// Rules of types at one name.
fn check_types(owner: &Name, zone: &Name, share: bool, declared: &[Declared], problems: &mut Vec<Problem>) {
    for set in declared {
        let alone = matches!(set.rtype, RrType::CNAME | RrType::DNAME);
        if !alone {
            if matches!(set.rtype, RrType::DS | RrType::NS) && owner.is_wildcard() {
                problems.push(Problem::invalid(
                    set.path.clone(),
                    format!("{} at a wildcard means nothing (RFC 4592 §4)", set.rtype),
                ));
            }
            continue;
        }
        if owner == zone {
            let text = format!("{} cannot stand at the apex of a zone, beside its SOA and NS", set.rtype);
            problems.push(Problem::invalid(set.path.clone(), text));
        }
        if let Some((first, rest)) = set.values.split_first()
            && rest.iter().any(|value| !rdata::same(set.rtype, first, value))
        {
            let text = format!("{} has one value, and {} are given", set.rtype, set.values.len());
            problems.push(Problem::invalid(set.path.clone(), text));
        }
        let itself = rdata::target(owner);
        if set.values.iter().any(|value| value.eq_ignore_ascii_case(&itself)) {
            let text = format!(
                "{} points at {}, its own name, and leads nowhere; name another target, or declare the addresses here",
                set.rtype,
                owner.to_relaxed()
            );
            problems.push(Problem::invalid(set.path.clone(), text));
        }
        if let Some(other) = declared.iter().find(|other| other.rtype != set.rtype) {
            let text = format!("{} stands alone at a name, but {} is declared too", set.rtype, other.rtype);
            problems.push(Problem::invalid(set.path.clone(), text));
        }
        if share {
            problems.push(Problem::invalid("spec.share", format!("{} has one value and cannot be shared", set.rtype)));
        }
    }
}

fn reverse_claims(
    forward: &Claim,
    addresses: &[std::net::IpAddr],
    ttl_given: bool,
    zones: &Zones,
    (rights, namespace): (&Rights, &str),
    lowered: &mut Lowered,
) {
    if addresses.is_empty() {
        return;
    }
    if forward.name.is_wildcard() {
        lowered.notes.push(format!("{}: a wildcard gets no PTR", forward.name.to_relaxed()));
        return;
    }
    for address in addresses {
        let Some((name, zone)) = zones.reverse_of(*address) else {
            lowered.notes.push(format!("{address}: no reverse zone is configured, so it gets no PTR"));
            continue;
        };
        // Who may point the name at the address may point back, if PTR records are allowed: the right goes by the forward
        // name, since nobody writes rules in the words of reverse zones.
        let wish = Wish {
            namespace,
            name: &forward.name,
            zone: &zone.name,
            rtype: RrType::PTR,
            addresses: std::slice::from_ref(address),
            takeover: false,
        };
        if let Err(why) = rights.allow(&wish) {
            lowered.problems.push(Problem::of("ClaimDenied", "spec.reverse", format!("{why}; or drop reverse: true")));
            continue;
        }
        let ttl = if ttl_given { forward.set.ttl } else { zone.default_ttl };
        let claim = Claim {
            name,
            rtype: RrType::PTR,
            set: RrSet::new(RrType::PTR, ttl, [rdata::target(&forward.name)]),
            share: false,
            // A PTR is never taken from somebody else.
            adopt: match forward.adopt {
                AdoptPolicy::Never => AdoptPolicy::Never,
                _ => AdoptPolicy::IfIdentical,
            },
            reverse: true,
            ..forward.clone()
        };
        lowered.claims.push((zone.name.clone(), claim));
    }
}

#[cfg(test)]
#[path = "lower_tests.rs"]
mod tests;
