//! Who may have a record set: among our own claims the one that the marker names, then the order (DESIGN §4).

use std::cmp::Ordering;

use super::Conflict;
use super::check::conflict;
use crate::model::{AdoptPolicy, Claim, Claims, Name, ObjectId, ObjectState, RrType, SourceHealth};
use crate::ownership::OwnMark;

/// What becomes of the object that a marker names, as far as this set is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// Its claim is fulfilled.
    Wins,
    /// It declares the set, but the claim is invalid or lost: what it published stays.
    Declares,
    /// It is not in the source, and absence is not a wish.
    Absent,
    /// It would go, but the source was not read in full.
    Waits {
        /// By mere absence under `--prune`; else it is known to go.
        absent: bool,
    },
    /// Present but unreadable, denied or paused: untouched.
    Untouched,
    /// It goes, with provenance.
    Goes,
    /// Its markers go, nothing else.
    Abandoned,
}

impl Holder {
    /// Whether the set is kept for it.
    pub fn keeps(&self) -> bool {
        !matches!(self, Holder::Goes | Holder::Abandoned)
    }
    /// Whether it keeps others out that do not outrank it: one that is known to go does not.
    fn blocks(&self) -> bool {
        self.keeps() && *self != (Holder::Waits { absent: false })
    }
}

/// One type of a name: who wins, who loses, and what becomes of the markers' objects.
#[derive(Debug, Default)]
pub(super) struct Contest<'a> {
    /// None, one, or the members of a shared set.
    pub winners: Vec<&'a Claim>,
    /// In the order of the markers.
    pub holders: Vec<(&'a OwnMark, Holder)>,
    /// The holders as they were before anybody won: in force again when the winners lose to another type of the name.
    pub before: Vec<Holder>,
    /// Those that do not win.
    pub losers: Vec<Conflict>,
}

/// The order among claims where no marker decides: those with the right to take over, then the older, then namespace and
/// name. In files there is no age.
pub fn order(a: &Claim, b: &Claim) -> Ordering {
    let key = |claim: &Claim| (claim.adopt != AdoptPolicy::Takeover, claim.created.unwrap_or(i64::MAX));
    key(a)
        .cmp(&key(b))
        .then_with(|| a.object.namespace().cmp(b.object.namespace()))
        .then_with(|| a.object.cmp(&b.object))
}

/// The state of an object; one that declares something and is unknown otherwise is present.
pub(super) fn state(claims: &Claims, object: &ObjectId) -> Option<ObjectState> {
    claims.objects.get(object).copied()
}

fn holder(claims: &Claims, name: &Name, rtype: RrType, object: &ObjectId) -> Holder {
    let complete = claims.health == SourceHealth::Complete;
    let released = || claims.released.contains(&(name.clone(), rtype, object.clone()));
    match state(claims, object) {
        None if !claims.released.is_empty() && released() => Holder::Goes,
        None if claims.prune && complete => Holder::Goes,
        None if claims.prune => Holder::Waits { absent: true },
        None => Holder::Absent,
        Some(ObjectState::Present | ObjectState::Deleting | ObjectState::Doubted) if complete => Holder::Goes,
        Some(ObjectState::Present | ObjectState::Deleting | ObjectState::Doubted) => Holder::Waits { absent: false },
        Some(ObjectState::Protected | ObjectState::Paused) => Holder::Untouched,
        Some(ObjectState::Abandoned) => Holder::Abandoned,
    }
}

/// Decides one type of one name. `valid` are the claims that passed their checks, `invalid` the objects whose claims on
/// this set did not.
pub(super) fn decide<'a>(
    claims: &Claims,
    (name, rtype): (&Name, RrType),
    mut valid: Vec<&'a Claim>,
    invalid: &[&ObjectId],
    own: &'a [OwnMark],
) -> Contest<'a> {
    valid.sort_by(|a, b| order(a, b));
    valid.dedup_by(|b, a| a.object == b.object);
    let marks: Vec<&OwnMark> = own.iter().filter(|mark| mark.marker.rtype == rtype).collect();
    let mut holders: Vec<(&OwnMark, Holder)> = marks
        .iter()
        .map(|mark| {
            let object = &mark.marker.resource;
            let declared = valid.iter().any(|claim| claim.object == *object) || invalid.contains(&object);
            (*mark, if declared { Holder::Declares } else { holder(claims, name, rtype, object) })
        })
        .collect();
    let abandoned = holders.iter().find(|(_, holder)| *holder == Holder::Abandoned);
    if let Some((mark, _)) = abandoned.filter(|(mark, _)| mark.marker.share.is_none()) {
        // Only the marker goes now; whoever else wants the set meets it as unmarked in the next plan.
        let by = mark.marker.resource.clone();
        let losers = valid.iter().map(|claim| waits_for(claim, &by)).collect();
        return Contest { winners: Vec::new(), holders, losers, before: Vec::new() };
    }
    let lead = lead(&valid, &holders);
    let winners: Vec<&Claim> = match lead {
        Lead::Claim(first) if first.share => {
            // Whoever shares joins; the lead comes first so that messages name it.
            let rest = valid.iter().copied().filter(|claim| claim.share && claim.object != first.object);
            std::iter::once(first).chain(rest).collect()
        }
        Lead::Claim(first) => vec![first],
        Lead::Kept(_) | Lead::Nobody => Vec::new(),
    };
    let before = holders.iter().map(|(_, holder)| holder.clone()).collect();
    let exclusive = winners.first().is_some_and(|first| !first.share);
    for (mark, holder) in &mut holders {
        if winners.iter().any(|claim| claim.object == mark.marker.resource) {
            *holder = Holder::Wins;
        } else if !winners.is_empty() && (exclusive || mark.marker.share.is_none()) {
            // Its marker is replaced by the winner's: taken over, let go, or pruned.
            *holder = Holder::Goes;
        }
    }
    let losers = valid
        .iter()
        .filter(|claim| !winners.iter().any(|winner| winner.object == claim.object))
        .map(|claim| lost(claims, claim, &winners, &lead))
        .collect();
    Contest { winners, holders, before, losers }
}

enum Lead<'a> {
    Claim(&'a Claim),
    Kept(&'a OwnMark),
    Nobody,
}

fn lead<'a>(valid: &[&'a Claim], holders: &[(&'a OwnMark, Holder)]) -> Lead<'a> {
    let Some(first) = valid.first().copied() else { return Lead::Nobody };
    let claim_of = |object: &ObjectId| valid.iter().copied().find(|claim| claim.object == *object);
    let taker = valid.iter().copied().find(|claim| claim.adopt == AdoptPolicy::Takeover);
    // A set that one object has for itself.
    let alone = || holders.iter().filter(|(mark, _)| mark.marker.share.is_none());
    if let Some(own) = alone().find_map(|(mark, _)| claim_of(&mark.marker.resource)) {
        return match taker {
            Some(taker) if own.adopt != AdoptPolicy::Takeover => Lead::Claim(taker),
            _ => Lead::Claim(own),
        };
    }
    if let Some((mark, _)) = alone().find(|(_, holder)| holder.blocks()) {
        return taker.map_or(Lead::Kept(mark), Lead::Claim);
    }
    // A shared set stays shared as long as a member is left.
    let members = || holders.iter().filter(|(mark, _)| mark.marker.share.is_some());
    let shares = |mark: &OwnMark| claim_of(&mark.marker.resource).filter(|claim| claim.share);
    let member = members().find_map(|(mark, _)| shares(mark));
    let kept = members().find(|(mark, holder)| holder.blocks() && claim_of(&mark.marker.resource).is_none());
    if member.is_some() || kept.is_some() {
        let taker = taker.filter(|taker| !taker.share && member.is_none_or(|m| m.adopt != AdoptPolicy::Takeover));
        let joiner = member.or_else(|| valid.iter().copied().find(|claim| claim.share));
        return match (taker, joiner, kept) {
            (Some(taker), _, _) => Lead::Claim(taker),
            (None, Some(joiner), _) => Lead::Claim(joiner),
            (None, None, Some((mark, _))) => Lead::Kept(mark),
            (None, None, None) => Lead::Nobody,
        };
    }
    Lead::Claim(members().find_map(|(mark, _)| claim_of(&mark.marker.resource)).unwrap_or(first))
}

fn waits_for(claim: &Claim, other: &ObjectId) -> Conflict {
    let message = format!("{other} is being abandoned and lets go of this set first");
    conflict(claim, "NameClaimed", other.as_str(), message)
}

fn lost(claims: &Claims, claim: &Claim, winners: &[&Claim], lead: &Lead<'_>) -> Conflict {
    let (winner, message) = match (winners.first(), lead) {
        (Some(winner), _) if winner.share != claim.share => (
            winner.object.as_str(),
            format!(
                "{} declares this set with share: {}; set the same on all objects that declare it, or remove it from one",
                winner.object, winner.share
            ),
        ),
        (Some(winner), _) => (
            winner.object.as_str(),
            format!("{} declares this set already; remove it there, or set share: true on all of them", winner.object),
        ),
        (None, Lead::Kept(mark)) => {
            let object = &mark.marker.resource;
            let message = match state(claims, object) {
                None => format!(
                    "the marker in the zone names {object}, which is not in the source. Bring it back, delete what it left \
                     with --prune, or set adopt: Takeover here"
                ),
                _ => format!("{object} holds this set; delete that object, or set adopt: Takeover here"),
            };
            (object.as_str(), message)
        }
        (None, _) => ("", "another object holds this set".to_owned()),
    };
    conflict(claim, "NameClaimed", winner, message)
}
