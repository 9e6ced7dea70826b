//! What a record set and its markers should be, from the claims that won and the markers that stay.

use super::contest::{Contest, Holder};
use crate::model::{Claim, DeletionPolicy, FastSet, Name, Rdata, RrSet, RrType};
use crate::ownership::{Marker, OwnMark, SetHash, ZoneRules};

/// The wanted state of one record set.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// Values and TTL; empty when the set should be gone.
    pub set: RrSet,
    /// Markers that are missing.
    pub marks_added: Vec<Rdata>,
    /// Markers that are too many, as they stand.
    pub marks_removed: Vec<Rdata>,
    /// For people: what was decided on the way.
    pub note: Option<String>,
}

/// The marker that a claim should have.
pub(super) fn marker(rules: &ZoneRules, claim: &Claim) -> Marker {
    let share = claim.share.then(|| {
        let mut hashes: Vec<SetHash> =
            claim.set.values.iter().map(|value| SetHash::of_value(claim.rtype, value)).collect();
        hashes.sort();
        hashes
    });
    let label = (claim.rtype == RrType::DNAME).then(|| claim.name.first_label().unwrap_or_default().into());
    Marker {
        owner: rules.owner.clone(),
        rtype: claim.rtype,
        set: SetHash::of_set(claim.rtype, &claim.set),
        resource: claim.object.clone(),
        retain: claim.deletion == DeletionPolicy::Retain,
        share,
        label,
    }
}

/// What the winners want, together with what has to stay for members that are not there.
pub(super) fn wish(rules: &ZoneRules, rtype: RrType, contest: &Contest<'_>, live: Option<&RrSet>) -> Wish {
    let mut wanted: Vec<Rdata> = contest.winners.iter().map(|claim| marker(rules, claim).to_rdata()).collect();
    let shared = contest.winners.first().is_some_and(|claim| claim.share);
    let mut note = None;
    let set = match contest.winners[..] {
        [only] => only.set.clone(),
        ref members => {
            let ttl = members.iter().map(|claim| claim.set.ttl).min().unwrap_or(0);
            if members.iter().any(|claim| claim.set.ttl != ttl) {
                note = Some(format!("its members declare different TTLs; the smallest, {ttl}, is used"));
            }
            RrSet::new(rtype, ttl, members.iter().flat_map(|claim| claim.set.values.iter().cloned()))
        }
    };
    let mut set = set;
    if shared {
        let staying: Vec<&OwnMark> =
            contest.holders.iter().filter(|(_, holder)| stays(holder)).map(|(mark, _)| *mark).collect();
        let kept = kept_values(rtype, &staying, live);
        set = RrSet::new(rtype, set.ttl, set.values.into_iter().chain(kept));
        wanted.extend(staying.iter().map(|mark| mark.rdata.clone()));
    }
    let standing: Vec<&Rdata> = contest.holders.iter().map(|(mark, _)| &mark.rdata).collect();
    let marks_removed = standing.iter().filter(|rdata| !wanted.contains(rdata)).map(|r| (*r).clone()).collect();
    let marks_added = wanted.iter().filter(|rdata| !standing.contains(rdata)).cloned().collect();
    Wish { set, marks_added, marks_removed, note }
}

/// Members of a shared set that are not claimed now but whose values stay. An abandoned one is among them as long as
/// others share: without a marker its values would look like drift.
fn stays(holder: &Holder) -> bool {
    *holder != Holder::Wins && (holder.keeps() || *holder == Holder::Abandoned)
}

/// Live values that the markers list.
fn kept_values(rtype: RrType, marks: &[&OwnMark], live: Option<&RrSet>) -> Vec<Rdata> {
    let hashes: FastSet<SetHash> = marks.iter().flat_map(|mark| mark.marker.share.iter().flatten().copied()).collect();
    live.iter()
        .flat_map(|set| &set.values)
        .filter(|value| hashes.contains(&SetHash::of_value(rtype, value)))
        .cloned()
        .collect()
}

/// A shared set that nobody claims now, of which some members go and some stay: the values that only the leaving ones list
/// go. Values that nobody lists stay, since nobody is there to repair for.
pub(super) fn without_members(rtype: RrType, contest: &Contest<'_>, live: &RrSet) -> Wish {
    let part = |going: bool| -> Vec<&OwnMark> {
        contest.holders.iter().filter(|(_, holder)| (*holder == Holder::Goes) == going).map(|(m, _)| *m).collect()
    };
    let (going, staying) = (part(true), part(false));
    let stays: Vec<Rdata> = kept_values(rtype, &staying, Some(live));
    let leave: Vec<Rdata> =
        kept_values(rtype, &going, Some(live)).into_iter().filter(|value| !stays.contains(value)).collect();
    let values = live.values.iter().filter(|value| !leave.contains(value)).cloned();
    Wish {
        set: RrSet::new(rtype, live.ttl, values),
        marks_added: Vec::new(),
        marks_removed: going.iter().map(|mark| mark.rdata.clone()).collect(),
        note: None,
    }
}

/// Whether the live set is what our markers say: else somebody changed it.
pub(super) fn is_as_marked(rtype: RrType, marks: &[&OwnMark], live: &RrSet) -> bool {
    if let Some(alone) = marks.iter().find(|mark| mark.marker.share.is_none()) {
        return alone.marker.set == SetHash::of_set(rtype, live);
    }
    let listed: FastSet<SetHash> = marks.iter().flat_map(|mark| mark.marker.share.iter().flatten().copied()).collect();
    let there: FastSet<SetHash> = live.values.iter().map(|value| SetHash::of_value(rtype, value)).collect();
    listed == there
}

/// The node of a set's marker; the checks of a claim have made sure that there is one.
pub(super) fn node(rules: &ZoneRules, name: &Name, rtype: RrType) -> Option<Name> {
    Marker::node(&rules.label, name, rtype).ok()
}
