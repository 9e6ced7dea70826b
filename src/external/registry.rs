//! Whether a record set may be written on behalf of one ExternalDNS.
//!
//! Where other parts of Knotwork protect a set, they take any ownership TXT that may speak of it. Here the question is the other
//! way round, and so is the doubt: permission follows only from a TXT whose place is certain, and only where all TXTs that may
//! speak of the set are this installation's own.

use crate::model::{Name, Rdata, RrType};
use crate::ownership::{NameFacts, Writer, ZoneRules, external_dns};
use crate::view::View;

/// For whom an installation writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners {
    /// `--txt-owner-id`.
    pub own: String,
    /// Owner ids whose sets become its own when they are written.
    pub migrate_from: Vec<String>,
}

impl Owners {
    /// Whether sets of this owner may be written.
    pub fn may(&self, owner: &str) -> bool {
        owner == self.own || self.migrate_from.iter().any(|other| other == owner)
    }
}

/// An ownership TXT in the zone, whose place says for certain which set it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Where it stands.
    pub at: Name,
    /// As transferred.
    pub value: Rdata,
    /// Its owner; `None` where it cannot be read.
    pub owner: Option<String>,
    /// `external-dns/resource`.
    pub resource: String,
    /// Its name has the type in it; else it is of the form before 0.12, which speaks of every type but AAAA.
    pub is_typed: bool,
}

impl Registration {
    /// Whether it is of an owner for whom is written.
    pub fn is_of(&self, owners: &Owners) -> bool {
        self.owner.as_ref().is_some_and(|owner| owners.may(owner))
    }
}

/// A place that a request pairs with a set, and whether its name has the set's type in it.
pub type Pair = (Name, bool);

/// Whether an ownership TXT at a place can speak of a name. The request's word is not enough: the TXT of one set would give
/// power over another, and one that is planted today over whatever comes to its place tomorrow.
pub fn can_speak(rules: &ZoneRules, view: &View, at: &Name, owned: &Name) -> bool {
    let covered = external_dns::covered(&rules.external_dns, at);
    if covered.iter().any(|covered| covered.name == *owned) {
        return true;
    }
    // Under an affix that nobody configured it may, where it speaks of nothing else that is there.
    let only_it = |name: &Name, _: Option<RrType>| name == owned;
    !covered.iter().any(|covered| view.in_use(&covered.name))
        && external_dns::guesses(at, &rules.zone, &only_it).iter().any(|(_, covered)| covered.name == *owned)
}

/// All of them that speak of a set: at the places that the configured affixes give, the forms without an affix, our own alias,
/// and `more`, places that a request pairs with the set.
pub fn registrations(rules: &ZoneRules, view: &View, name: &Name, rtype: RrType, more: &[Pair]) -> Vec<Registration> {
    let mut places = external_dns::txt_names(&rules.external_dns, &rules.zone, name, rtype);
    more.iter().for_each(|(place, _)| {
        if !places.contains(place) {
            places.push(place.clone());
        }
    });
    let mut found = Vec::new();
    for at in places {
        let Some(set) = view.get(&at, RrType::TXT) else { continue };
        let covered = external_dns::covered(&rules.external_dns, &at);
        let says = |typed: bool| {
            let type_said = typed.then_some(rtype);
            covered.iter().any(|covered| covered.name == *name && covered.rtype == type_said)
        };
        let paired = more.iter().find(|(place, _)| *place == at).map(|(_, is_typed)| *is_typed);
        let is_typed = says(true) || (paired == Some(true) && !says(false));
        if !is_typed && (!(says(false) || paired == Some(false)) || rtype == RrType::AAAA) {
            continue;
        }
        for value in set.values {
            let (owner, resource) = match external_dns::read(rules.txt_key.as_ref(), &value) {
                Some(said) => (Some(said.owner).filter(|owner| !owner.is_empty()), said.resource),
                // Only where its place leaves no doubt: a text of somebody else may look like that.
                None if is_typed && external_dns::may_be_encrypted(&value) => (None, String::new()),
                None => continue,
            };
            found.push(Registration { at: at.clone(), value, owner, resource, is_typed });
        }
    }
    found
}

/// Whether a set's ownership TXT names an owner from whom sets are taken over.
pub fn is_migrating(rules: &ZoneRules, view: &View, name: &Name, rtype: RrType, owners: &Owners) -> bool {
    let from = |one: &Registration| one.owner.as_ref().is_some_and(|owner| owners.migrate_from.contains(owner));
    !owners.migrate_from.is_empty()
        && view.get(name, rtype).is_some()
        && registrations(rules, view, name, rtype, &[]).iter().any(from)
}

/// Why a set may not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// A stable word.
    pub reason: &'static str,
    /// Whose it is, and the way out.
    pub message: String,
}

impl Denied {
    /// A refusal.
    pub fn of(reason: &'static str, message: impl Into<String>) -> Denied {
        Denied { reason, message: message.into() }
    }
}

/// Whether a set that is there may be changed or removed; gives the registrations that allow it, none where it is unmarked
/// and `adopt_unmarked`.
///
/// # Errors
/// [`Denied`]: `OwnedByOther`, `Unmarked`, `Ambiguous`.
pub fn may_write(
    rules: &ZoneRules,
    view: &View,
    facts: &NameFacts,
    rtype: RrType,
    owners: &Owners,
    more: &[Pair],
    adopt_unmarked: bool,
) -> Result<Vec<Registration>, Denied> {
    let (name, found) = (&facts.name, registrations(rules, view, &facts.name, rtype, more));
    foreign_sign(facts, rtype, owners, false)?;
    for one in &found {
        match &one.owner {
            Some(owner) if owners.may(owner) => {}
            Some(owner) => return Err(owned_by(&format!("ExternalDNS {owner:?}"), &one.at)),
            None => {
                return Err(Denied::of(
                    "OwnedByOther",
                    format!(
                        "the ownership TXT at {} cannot be read: it is encrypted, and webhook.txtEncryptKeyFile is not its key",
                        one.at.to_relaxed()
                    ),
                ));
            }
        }
        let stands_for = external_dns::covered(&rules.external_dns, &one.at);
        let held = stands_for.iter().filter(|covered| view.get(&covered.name, rtype).is_some()).count();
        if held > 1 {
            let words = format!(
                "the ownership TXT at {} may speak of {} or of another name that holds a {rtype} set, too: a wildcard replacement \
                 must be a word that no host is called by",
                one.at.to_relaxed(),
                name.to_relaxed()
            );
            return Err(Denied::of("Ambiguous", words));
        }
    }
    // One without a type says little where one with a type is, and nothing of texts, which stood beside it before.
    let typed = found.iter().any(|one| one.is_typed);
    let counts = found.iter().any(|one| one.is_typed || (!typed && rtype != RrType::TXT));
    if !counts && !adopt_unmarked {
        let words = format!(
            "{} {rtype} is there and no ownership TXT speaks of it: it is somebody else's. Remove it by hand, or take what is \
             unmarked over with --adopt-unmarked",
            name.to_relaxed()
        );
        return Err(Denied::of("Unmarked", words));
    }
    Ok(found)
}

/// Whether a set that is not there may be made: no other writer has signed it or the name.
///
/// # Errors
/// [`Denied`] with the reason `OwnedByOther`.
pub fn may_create(
    rules: &ZoneRules,
    view: &View,
    facts: &NameFacts,
    rtype: RrType,
    owners: &Owners,
    more: &[Pair],
) -> Result<Vec<Registration>, Denied> {
    foreign_sign(facts, rtype, owners, true)?;
    let found = registrations(rules, view, &facts.name, rtype, more);
    match found.iter().find(|one| !one.is_of(owners)) {
        Some(other) => {
            let owner = other.owner.clone().unwrap_or_else(|| "somebody, encrypted".to_owned());
            let words = format!(
                "an ownership TXT of ExternalDNS {owner:?} stands at {} without its record; remove it if that installation is gone",
                other.at.to_relaxed()
            );
            Err(Denied::of("OwnedByOther", words))
        }
        None => Ok(found),
    }
}

/// Signs of other writers: those on the set itself, and on any set of the name, which has one owner across writers.
fn foreign_sign(facts: &NameFacts, rtype: RrType, owners: &Owners, creates: bool) -> Result<(), Denied> {
    if let Some(mark) = facts.own.first() {
        return Err(owned_by(mark.marker.resource.as_str(), &facts.name));
    }
    for sign in &facts.signs {
        let theirs = match &sign.writer {
            // Two installations may share a name that both have; neither begins a new set beside the other's.
            Writer::ExternalDns { owner, .. } if !owners.may(owner) => match creates {
                true => facts.live.iter().any(|(live, _)| sign.scope.covers(*live)),
                false => sign.scope.covers(rtype),
            },
            Writer::Knotwork { .. } | Writer::Nix { .. } | Writer::Dhcp => true,
            _ => false,
        };
        if theirs {
            return Err(owned_by(&sign.writer.describe(), &sign.at));
        }
    }
    Ok(())
}

fn owned_by(whose: &str, at: &Name) -> Denied {
    Denied::of("OwnedByOther", format!("it belongs to {whose}, says {}; it is left alone", at.to_relaxed()))
}
