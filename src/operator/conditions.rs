//! What has become of an object, as its status says it: a pure function of the object and of what its zones tell.

use std::collections::BTreeMap;
use std::time::Duration;

use super::entry::{Entry, FINALIZER, Refusal};
use super::report::{Report, Trouble};
use crate::model::{Claim, Name, ObjectId, rdata};
use crate::spec::{Condition, RecordStatus, SetStatus};

/// Most sets that a status lists.
const SETS: usize = 16;
/// Most octets of a short text; the CRD's own bound is 1024.
const SHORT: usize = 200;

/// What has become of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is invalid or may not declare what it does: word and words.
    Refused(&'static str, String),
    /// Its zones have not planned it yet, or are at it.
    Pending(String),
    /// Something is wrong.
    Troubled(Vec<Trouble>),
    /// All of it was read back, at this serial.
    Programmed(u32),
    /// It was, and its server has been silent for long.
    Stale(String),
    /// It is being let go.
    Abandoned,
    /// It is being deleted: why it still is there; whether that waits for a person.
    Leaving(&'static str, String, bool),
}

/// Judges an object by what its zones tell. `reports` has those zones that are configured.
pub fn judge(object: &ObjectId, entry: &Entry, reports: &BTreeMap<Name, Report>) -> Outcome {
    if entry.deleting {
        let (reason, words, stuck) = why_it_stays(object, entry, reports);
        return Outcome::Leaving(reason, words, stuck);
    }
    if entry.is_abandoned() {
        return Outcome::Abandoned;
    }
    if let Some(first) = entry.faults.first() {
        let words = entry.faults.iter().map(|fault| cut(&fault.message, 800)).collect();
        return Outcome::Refused(first.reason, joined(words));
    }
    if !entry.separated.is_empty() {
        return Outcome::Refused("ClaimDenied", format!("spec.share: {}", entry.separated.join("; ")));
    }
    if let Some(refusal) = entry.refusal.as_ref().filter(|_| !entry.admitted) {
        return match refusal.firm {
            true => Outcome::Troubled(vec![Trouble {
                name: entry.claims.first().map_or_else(Name::root, |(_, claim)| claim.name.clone()),
                rtype: None,
                reason: "FinalizerRefused",
                message: refused_finalizer(refusal),
                stuck: true,
            }]),
            false => Outcome::Pending(format!(
                "the API server has not stored the finalizer yet, without which nothing is published: {}",
                refusal.message
            )),
        };
    }
    if !entry.admitted || entry.revision == 0 {
        return Outcome::Pending("waiting to be told to its zones".to_owned());
    }
    let mut troubles: Vec<Trouble> = Vec::new();
    let mut pending = None;
    let (mut stale, mut serial) = (None, None);
    for zone in entry.zones() {
        let Some(report) = reports.get(&zone) else { continue };
        let planned = report.revision >= entry.revision;
        if planned {
            troubles.extend(report.troubles.get(object).into_iter().flatten().cloned());
        }
        match &report.error {
            Some((_, words, _)) if entry.done && report.stale => stale = Some(words.clone()),
            // What was programmed stays so while its server is away.
            Some(_) if entry.done => {}
            Some((reason, words, stuck)) => troubles.push(Trouble {
                name: zone.clone(),
                rtype: None,
                reason,
                message: words.clone(),
                stuck: *stuck,
            }),
            None if !planned => pending = Some(format!("the zone {} has not planned it yet", zone.to_relaxed())),
            None => {}
        }
        // The serial of the zone that its own name is in.
        if entry.claims.iter().any(|(own, claim)| *own == zone && !claim.reverse) || serial.is_none() {
            serial = report.serial;
        }
    }
    if entry.has_reverse() && !entry.forward_known && pending.is_none() {
        pending = Some("its PTR records follow when its names are there".to_owned());
    }
    if !troubles.is_empty() {
        // What needs a person first: it is what the columns show.
        troubles.sort_by_key(|trouble| !trouble.stuck);
        return match troubles.iter().all(|trouble| trouble.reason == "Pending") {
            true => Outcome::Pending(troubles.remove(0).message),
            false => Outcome::Troubled(troubles),
        };
    }
    match (pending, stale, serial) {
        (Some(words), ..) => Outcome::Pending(words),
        (None, Some(words), _) => Outcome::Stale(words),
        (None, None, Some(serial)) => Outcome::Programmed(serial),
        (None, None, None) => Outcome::Pending("its zones were not read yet".to_owned()),
    }
}

fn refused_finalizer(refusal: &Refusal) -> String {
    format!(
        "the API server refuses to change the object's finalizer {FINALIZER}, without which nothing of it is published or \
         let go: {}; see which admission policy, webhook or right is in the way",
        refusal.message
    )
}

/// Whether every zone that has to do with a leaving object is rid of it.
pub fn is_gone(object: &ObjectId, entry: &Entry, reports: &BTreeMap<Name, Report>) -> bool {
    entry.honoured
        && entry.revision > 0
        && concerned(object, entry, reports).all(|report| {
            report.error.is_none() && report.revision >= entry.revision && !report.lingering.contains(object)
        })
}

/// The zones that a leaving object may have something in: those that its spec means, those that were told of it, and those
/// in whose last view a marker names it.
fn concerned<'a>(
    object: &'a ObjectId,
    entry: &'a Entry,
    reports: &'a BTreeMap<Name, Report>,
) -> impl Iterator<Item = &'a Report> {
    let zones = entry.zones();
    // Nobody knows where one that cannot be read would have been.
    let unknown = zones.is_empty();
    reports
        .iter()
        .filter(move |(zone, report)| unknown || zones.contains(*zone) || report.lingering.contains(object))
        .map(|(_, report)| report)
}

fn why_it_stays(object: &ObjectId, entry: &Entry, reports: &BTreeMap<Name, Report>) -> (&'static str, String, bool) {
    if !entry.finalizer {
        return (
            "Deleting",
            "others still hold the object; what it published stays until it is gone, and is an orphan then".to_owned(),
            false,
        );
    }
    if let Some(refusal) = entry.refusal.as_ref().filter(|refusal| refusal.firm) {
        return ("FinalizerRefused", refused_finalizer(refusal), true);
    }
    for report in concerned(object, entry, reports) {
        if let Some(trouble) = report.troubles.get(object).and_then(|all| all.iter().find(|one| one.stuck)) {
            return (trouble.reason, trouble.message.clone(), true);
        }
        if let Some((reason, words, stuck)) = &report.error {
            return (reason, words.clone(), *stuck);
        }
    }
    ("Deleting", "its records are being taken out of their zones".to_owned(), false)
}

/// The status that says so. Times and the serial stay as they are where nothing else changes.
pub fn status(outcome: &Outcome, entry: &Entry, now: &str) -> RecordStatus {
    let yes = |reason: &'static str, message: &str| ("True", reason, message.to_owned());
    let no = |reason: &'static str, message: &str| ("False", reason, message.to_owned());
    let unknown = |reason: &'static str, message: &str| ("Unknown", reason, message.to_owned());
    let accepted = || yes("Accepted", "valid, and its zone is configured");
    let (mut reconciling, mut stalled) = (None, None);
    let (accepted, programmed) = match outcome {
        Outcome::Refused(reason, words) => {
            stalled = Some((*reason, words.clone()));
            (no(reason, words), no(reason, "it is not accepted; what it had published stays as it is"))
        }
        Outcome::Pending(words) => {
            reconciling = Some(("Pending", words.clone()));
            (accepted(), no("Pending", words))
        }
        Outcome::Troubled(troubles) => {
            let (reason, words) = (troubles[0].reason, in_words(troubles));
            match reason {
                "Paused" => {}
                _ if troubles[0].stuck => stalled = Some((reason, words.clone())),
                _ => reconciling = Some((reason, words.clone())),
            }
            (accepted(), no(reason, &words))
        }
        Outcome::Programmed(_) if entry.is_paused() => {
            (accepted(), yes("Paused", "as declared; while it is paused, nothing that changes is put right"))
        }
        Outcome::Programmed(_) => (accepted(), yes("Programmed", "read back from the server as declared")),
        Outcome::Stale(words) => (accepted(), unknown("Stale", words)),
        Outcome::Abandoned => {
            let words = "it is abandoned: its markers are taken away, and its records stay as they are";
            (accepted(), no("Abandoned", words))
        }
        Outcome::Leaving(reason, words, stuck) => {
            match stuck {
                true => stalled = Some((*reason, words.clone())),
                false => reconciling = Some((*reason, words.clone())),
            }
            (accepted(), no(reason, words))
        }
    };
    let ready = match (accepted.0, programmed.0) {
        ("True", status) => (status, programmed.1, programmed.2.clone()),
        _ => (accepted.0, accepted.1, accepted.2.clone()),
    };
    let mut conditions = Vec::with_capacity(4);
    let mut put = |kind: &str, (state, reason, message): (&str, &str, String)| {
        let before = entry.status.conditions.iter().find(|one| one.r#type == kind && one.status == state);
        conditions.push(Condition {
            r#type: kind.to_owned(),
            status: state.to_owned(),
            observed_generation: Some(entry.generation),
            last_transition_time: before.map_or_else(|| now.to_owned(), |one| one.last_transition_time.clone()),
            reason: reason.to_owned(),
            message: cut(&message, 4096),
        });
    };
    put("Accepted", accepted);
    put("Programmed", programmed);
    put("Ready", ready);
    if let Some((reason, message)) = reconciling {
        put("Reconciling", ("True", reason, message));
    }
    if let Some((reason, message)) = stalled {
        put("Stalled", ("True", reason, message));
    }
    let mut new = described(entry, outcome);
    new.conditions = conditions;
    new.observed_generation = Some(entry.generation);
    new.serial = serial(outcome, entry, &new);
    new
}

/// The serial of the last programming: of this one, or of the one before when its sets are the same.
fn serial(outcome: &Outcome, entry: &Entry, new: &RecordStatus) -> Option<u32> {
    let before = &entry.status;
    let ready =
        |status: &RecordStatus| status.conditions.iter().any(|one| one.r#type == "Programmed" && one.status == "True");
    let same = before.sets == new.sets && before.observed_generation == new.observed_generation && ready(before);
    match outcome {
        Outcome::Programmed(serial) if !same => Some(*serial),
        _ => before.serial,
    }
}

pub(super) fn in_words(troubles: &[Trouble]) -> String {
    let mut words: Vec<String> = Vec::new();
    for trouble in troubles {
        let text = match trouble.rtype {
            Some(rtype) => format!("{} {rtype}: {}", trouble.name.to_relaxed(), trouble.message),
            None => trouble.message.clone(),
        };
        if !words.contains(&text) {
            words.push(text);
        }
    }
    joined(words)
}

/// The first of several texts, and how many more there are.
pub(super) fn joined(mut words: Vec<String>) -> String {
    let more = words.len().saturating_sub(4);
    words.truncate(4);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}

/// Names, types and values in short form.
fn described(entry: &Entry, outcome: &Outcome) -> RecordStatus {
    let mut status = RecordStatus::default();
    let own: Vec<&(Name, Claim)> = entry.claims.iter().filter(|(_, claim)| !claim.reverse).collect();
    if let Some((zone, claim)) = own.first() {
        status.fqdn = Some(claim.name.to_relaxed());
        status.zone = Some(zone.to_relaxed());
    }
    let join = |parts: Vec<String>, by: &str| (!parts.is_empty()).then(|| cut(&parts.join(by), SHORT));
    status.types = join(own.iter().map(|(_, claim)| claim.rtype.to_string()).collect(), ",");
    let first =
        |claim: &Claim| claim.set.values.first().map(|value| cut(&rdata::to_text(claim.rtype, value), SHORT / 2));
    let shown: Vec<String> = own.iter().filter_map(|(_, claim)| first(claim)).take(2).collect();
    let all: usize = own.iter().map(|(_, claim)| claim.set.values.len()).sum();
    let more = all - shown.len().min(all);
    status.values = join(shown, ", ").map(|text| if more > 0 { format!("{text} (+{more})") } else { text });
    let troubles: &[Trouble] = match outcome {
        Outcome::Troubled(troubles) => troubles,
        _ => &[],
    };
    for (_, claim) in entry.claims.iter().take(SETS) {
        let of_set = |one: &&Trouble| one.name == claim.name && one.rtype.is_none_or(|rtype| rtype == claim.rtype);
        let trouble = troubles.iter().find(of_set);
        let more = claim.set.values.len().saturating_sub(1);
        let more = if more > 0 { format!(" (+{more})") } else { String::new() };
        status.sets.push(SetStatus {
            name: claim.name.to_relaxed(),
            r#type: claim.rtype.to_string(),
            values: first(claim).map(|value| value + &more),
            reason: trouble.map(|one| one.reason.to_owned()),
            message: trouble.map(|one| cut(&one.message, 900)),
        });
    }
    status
}

/// A text of at most so many octets and a sign that it goes on.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.len() <= most {
        true => text.to_owned(),
        false => format!("{}…", crate::cluster::cut(text, most)),
    }
}

/// How an outcome is counted.
pub fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Refused(reason, _) => reason,
        Outcome::Pending(_) => "Pending",
        Outcome::Troubled(troubles) => troubles.first().map_or("Pending", |one| one.reason),
        Outcome::Programmed(_) => "Programmed",
        Outcome::Stale(_) => "Stale",
        Outcome::Abandoned => "Abandoned",
        Outcome::Leaving(reason, ..) => reason,
    }
}

/// How long an interim status waits for a better one.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Whether an outcome will change by itself soon, so that telling it can wait for [`PATIENCE`].
pub fn is_interim(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Pending(_) => true,
        Outcome::Troubled(troubles) => troubles.iter().all(|one| !one.stuck),
        Outcome::Leaving(_, _, stuck) => !stuck,
        Outcome::Refused(..) | Outcome::Programmed(_) | Outcome::Stale(_) | Outcome::Abandoned => false,
    }
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
