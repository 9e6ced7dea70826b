//! Answering queries (RFC 1034 §4.3.2, wildcards by RFC 4592, DNAME by RFC 6672).

use super::store::{Store, ZoneState};
use crate::dns::{Class, Message, Rcode, Record};
use crate::model::{Name, RrSet, RrType, rdata};
use crate::view::View;

/// Longest chain of aliases that is followed.
const CHAIN: usize = 8;

/// The answer to a query, transfers aside.
pub(super) fn answer(store: &Store, message: &Message) -> Message {
    let mut out = message.answer(Rcode::NOERROR);
    let [question] = message.questions.as_slice() else {
        out.rcode = Rcode::FORMERR;
        return out;
    };
    if question.class != Class::IN && question.class != Class::ANY {
        out.rcode = Rcode::REFUSED;
        return out;
    }
    // A DS at the apex of a zone is its parent's to answer.
    let parent =
        question.name.parent().filter(|_| question.rtype == RrType::DS && store.zones.contains_key(&question.name));
    let zone = parent.and_then(|parent| store.of(&parent)).or_else(|| store.of(&question.name));
    let Some(zone) = zone else {
        out.rcode = Rcode::REFUSED;
        return out;
    };
    out.authoritative = true;
    let mut name = question.name.clone();
    for _ in 0..CHAIN {
        match step(zone, &name, question.rtype, &mut out) {
            Some(next) if next.is_at_or_below(zone.view.zone()) => name = next,
            _ => break,
        }
    }
    out
}

/// Answers for one name; gives the next when this is an alias.
fn step(zone: &ZoneState, name: &Name, rtype: RrType, out: &mut Message) -> Option<Name> {
    let view = &zone.view;
    for (cut, kind) in view.cuts_above(name) {
        if kind == RrType::DNAME {
            return dname(view, &cut, name, rtype, out);
        }
        if kind == RrType::NS {
            referral(view, &cut, out);
            return None;
        }
    }
    if name != view.zone() && rtype != RrType::DS && view.get(name, RrType::NS).is_some() {
        referral(view, name, out);
        return None;
    }
    let mut sets = view.at(name);
    if sets.is_empty() && !view.exists(name) {
        let wildcard = view.closest_encloser(name).and_then(|encloser| encloser.child(b"*").ok());
        sets = wildcard.map(|wildcard| view.at(&wildcard)).unwrap_or_default();
        if sets.is_empty() {
            if out.answers.is_empty() {
                out.rcode = Rcode::NXDOMAIN;
            }
            negative(zone, out);
            return None;
        }
    }
    if let Some((_, set)) = sets.iter().find(|(there, _)| *there == RrType::CNAME)
        && rtype != RrType::CNAME
        && rtype != RrType::ANY
    {
        push(&mut out.answers, name, RrType::CNAME, set);
        return set.values.first().and_then(|value| rdata::names_in(RrType::CNAME, value).into_iter().next());
    }
    let before = out.answers.len();
    for (there, set) in &sets {
        if *there == rtype || rtype == RrType::ANY {
            push(&mut out.answers, name, *there, set);
        }
    }
    if out.answers.len() == before {
        negative(zone, out);
    }
    None
}

fn dname(view: &View, cut: &Name, name: &Name, rtype: RrType, out: &mut Message) -> Option<Name> {
    let set = view.get(cut, RrType::DNAME)?;
    push(&mut out.answers, cut, RrType::DNAME, &set);
    let target = rdata::names_in(RrType::DNAME, set.values.first()?).into_iter().next()?;
    let own = &name.wire()[..name.wire().len() - cut.wire().len()];
    let wire = [own, target.wire()].concat();
    let Ok(alias) = Name::from_wire(&wire) else {
        out.rcode = Rcode::YXDOMAIN;
        return None;
    };
    out.answers.push(Record::new(name.clone(), RrType::CNAME, set.ttl, alias.wire()));
    (rtype != RrType::CNAME).then_some(alias)
}

fn referral(view: &View, cut: &Name, out: &mut Message) {
    out.authoritative = !out.answers.is_empty();
    let Some(set) = view.get(cut, RrType::NS) else { return };
    push(&mut out.authorities, cut, RrType::NS, &set);
    for target in set.values.iter().flat_map(|value| rdata::names_in(RrType::NS, value)) {
        for (rtype, set) in view.at(&target) {
            if matches!(rtype, RrType::A | RrType::AAAA) {
                push(&mut out.additionals, &target, rtype, &set);
            }
        }
    }
}

fn negative(zone: &ZoneState, out: &mut Message) {
    let (ttl, soa) = zone.soa();
    out.authorities.push(Record::new(zone.view.zone().clone(), RrType::SOA, ttl, soa));
}

fn push(section: &mut Vec<Record>, name: &Name, rtype: RrType, set: &RrSet) {
    section.extend(set.values.iter().map(|value| Record::new(name.clone(), rtype, set.ttl, value.clone())));
}
