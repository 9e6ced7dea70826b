//! Answers from a zone (RFC 1034 §4.3.2, RFC 4592, RFC 6672).

use std::collections::BTreeSet;

use super::zone::{Sets, Zone, set_records};
use crate::dns::{Message, Rcode, Record};
use crate::model::{Name, RrSet, RrType, rdata};

/// CNAMEs and DNAMEs followed for one question; a loop ends here.
const MAX_CHAIN: usize = 20;

/// Answers a question about a name of this zone.
pub(super) fn answer(zone: &Zone, request: &Message, name: &Name, rtype: RrType) -> Message {
    let mut answer = Message { authoritative: true, ..request.answer(Rcode::NOERROR) };
    let mut at = name.clone();
    for _ in 0..MAX_CHAIN {
        match step(zone, &at, rtype, &mut answer) {
            Some(target) if target.is_at_or_below(zone.apex()) => at = target,
            _ => break,
        }
    }
    addresses(zone, &mut answer);
    answer
}

/// Answers for one name; gives the name to go on with after an alias.
fn step(zone: &Zone, name: &Name, rtype: RrType, answer: &mut Message) -> Option<Name> {
    // From the top down: a cut or a DNAME hides everything below it.
    let apex = std::iter::once(zone.apex().clone());
    for above in apex.chain(zone.path(name)) {
        let Some(sets) = zone.node(&above) else { continue };
        let at_name = above == *name;
        // The DS of a cut belongs to the parent (RFC 4035 §3.1.4.1).
        let cut = above != *zone.apex() && !(at_name && rtype == RrType::DS);
        if let Some(ns) = sets.get(&RrType::NS).filter(|_| cut) {
            answer.authoritative = !answer.answers.is_empty();
            answer.authorities.extend(set_records(&above, RrType::NS, ns));
            return None;
        }
        if let Some(dname) = sets.get(&RrType::DNAME).filter(|_| !at_name) {
            return synthesise(&above, dname, name, answer).filter(|_| rtype != RrType::CNAME);
        }
    }
    if let Some(sets) = zone.node(name) {
        return positive(zone, name, sets, rtype, answer);
    }
    if zone.exists(name) {
        negative(zone, Rcode::NOERROR, answer);
        return None;
    }
    let mut encloser = name.parent()?;
    while encloser != *zone.apex() && !zone.exists(&encloser) {
        encloser = encloser.parent()?;
    }
    match encloser.child(b"*").ok().and_then(|wildcard| zone.node(&wildcard)) {
        Some(sets) => positive(zone, name, sets, rtype, answer),
        None => {
            negative(zone, Rcode::NXDOMAIN, answer);
            None
        }
    }
}

/// The name holds records, its own or those of a wildcard.
fn positive(zone: &Zone, name: &Name, sets: &Sets, rtype: RrType, answer: &mut Message) -> Option<Name> {
    if rtype == RrType::ANY {
        // Of several sets Knot gives one (RFC 8482 §4.1).
        if let Some((rtype, set)) = sets.first_key_value() {
            answer.answers.extend(set_records(name, *rtype, set));
        }
        return None;
    }
    if let Some(set) = sets.get(&rtype) {
        answer.answers.extend(set_records(name, rtype, set));
        return None;
    }
    let Some(cname) = sets.get(&RrType::CNAME) else {
        negative(zone, Rcode::NOERROR, answer);
        return None;
    };
    // Met again: a loop, and the chain so far is the answer.
    if answer.answers.iter().any(|record| record.name == *name && record.rtype == RrType::CNAME) {
        return None;
    }
    answer.answers.extend(set_records(name, RrType::CNAME, cname));
    Name::from_wire(cname.values.first()?).ok()
}

/// The DNAME and the CNAME made from it (RFC 6672 §3.2).
fn synthesise(owner: &Name, dname: &RrSet, name: &Name, answer: &mut Message) -> Option<Name> {
    let value = dname.values.first()?;
    let target = Name::from_wire(value).ok()?;
    let already = answer.answers.iter().any(|record| record.name == *name && record.rtype == RrType::CNAME);
    if already {
        return None;
    }
    answer.answers.push(Record::new(owner.clone(), RrType::DNAME, dname.ttl, value.clone()));
    let prefix = &name.wire()[..name.wire().len() - owner.wire().len()];
    let Ok(new) = Name::from_wire(&[prefix, target.wire()].concat()) else {
        answer.rcode = Rcode::YXDOMAIN;
        return None;
    };
    answer.answers.push(Record::new(name.clone(), RrType::CNAME, dname.ttl, new.wire()));
    Some(new)
}

/// The SOA in the authority section, for as long as the answer may be kept (RFC 2308 §3, §5).
fn negative(zone: &Zone, rcode: Rcode, answer: &mut Message) {
    let soa = zone.soa();
    let minimum = soa.rdata.last_chunk::<4>().map_or(0, |octets| u32::from_be_bytes(*octets));
    answer.authorities.push(Record { ttl: soa.ttl.min(minimum), ..soa });
    answer.rcode = rcode;
}

/// Addresses of the servers named in the answer, as far as the zone has them; glue of cuts included.
fn addresses(zone: &Zone, answer: &mut Message) {
    let mut targets = BTreeSet::new();
    for record in answer.answers.iter().chain(&answer.authorities) {
        if matches!(record.rtype, RrType::NS | RrType::MX | RrType::SRV) {
            targets.extend(rdata::names_in(record.rtype, &record.rdata));
        }
    }
    for target in targets {
        for rtype in [RrType::A, RrType::AAAA] {
            let held = answer.answers.iter().any(|record| record.name == target && record.rtype == rtype);
            if let Some(set) = zone.get(&target, rtype).filter(|_| !held) {
                answer.additionals.extend(set_records(&target, rtype, set));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::authority::zonefile;

    const ZONE: &str = "$TTL 300
@ 3600 SOA ns0 host 1 3600 600 86400 60
@ NS ns0
ns0 A 10.0.0.1
www CNAME web
web A 10.0.0.2
out CNAME www.example.org.
gone CNAME nowhere
loop1 CNAME loop2
loop2 CNAME loop1
a.b.deep A 10.0.0.3
*.apps A 10.0.0.4
*.apps TXT wild
x.held.apps TXT held
*.alias CNAME web
sub NS ns.sub
sub DS 1 8 2 00
ns.sub A 10.0.0.5
old DNAME new
h.new A 10.0.0.6
mail MX 10 web
";

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn ask(name: &str, rtype: RrType) -> Message {
        let zone = zonefile::parse(&n("internal"), ZONE).unwrap();
        let name = n(name);
        answer(&zone, &Message::query(1, name.clone(), rtype), &name, rtype)
    }

    fn text(records: &[Record]) -> Vec<String> {
        records
            .iter()
            .map(|r| format!("{} {} {}", r.name.to_relaxed(), r.rtype, rdata::to_text(r.rtype, &r.rdata)))
            .collect()
    }

    #[test]
    fn names_that_are_there() {
        for (name, rtype, expected) in [
            ("web.internal", RrType::A, vec!["web.internal A 10.0.0.2"]),
            ("www.internal", RrType::A, vec!["www.internal CNAME web.internal.", "web.internal A 10.0.0.2"]),
            ("www.internal", RrType::CNAME, vec!["www.internal CNAME web.internal."]),
            ("out.internal", RrType::A, vec!["out.internal CNAME www.example.org."]),
            ("any.apps.internal", RrType::A, vec!["any.apps.internal A 10.0.0.4"]),
            ("p.q.apps.internal", RrType::TXT, vec!["p.q.apps.internal TXT \"wild\""]),
            ("z.alias.internal", RrType::A, vec!["z.alias.internal CNAME web.internal.", "web.internal A 10.0.0.2"]),
            ("sub.internal", RrType::DS, vec!["sub.internal DS 1 8 2 00"]),
            ("old.internal", RrType::DNAME, vec!["old.internal DNAME new.internal."]),
        ] {
            let answer = ask(name, rtype);
            assert_eq!(text(&answer.answers), expected);
            assert!(answer.authoritative && answer.authorities.is_empty() && answer.rcode == Rcode::NOERROR);
        }
        assert_eq!(ask("loop1.internal", RrType::A).answers.len(), 2);
        assert_eq!(ask("any.apps.internal", RrType::ANY).answers.len(), 1);
        assert_eq!(text(&ask("mail.internal", RrType::MX).additionals), ["web.internal A 10.0.0.2"]);
        let dname = ask("h.old.internal", RrType::A);
        assert_eq!(
            text(&dname.answers),
            ["old.internal DNAME new.internal.", "h.old.internal CNAME h.new.internal.", "h.new.internal A 10.0.0.6"]
        );
        let long = format!("{}.old.internal", ["0123456789abcdef0123456789"; 8].join("."));
        assert_eq!(ask(&long, RrType::A).rcode, Rcode::NXDOMAIN);
    }

    #[test]
    fn names_that_are_not() {
        for (name, rtype, rcode) in [
            ("web.internal", RrType::AAAA, Rcode::NOERROR),
            ("deep.internal", RrType::A, Rcode::NOERROR),
            ("b.deep.internal", RrType::ANY, Rcode::NOERROR),
            ("c.deep.internal", RrType::A, Rcode::NXDOMAIN),
            ("nowhere.internal", RrType::A, Rcode::NXDOMAIN),
            ("gone.internal", RrType::A, Rcode::NXDOMAIN),
            ("any.apps.internal", RrType::MX, Rcode::NOERROR),
            // RFC 4592 §2.2.1: the existing name "held.apps" keeps the wildcard above from matching below it.
            ("held.apps.internal", RrType::A, Rcode::NOERROR),
            ("y.held.apps.internal", RrType::A, Rcode::NXDOMAIN),
        ] {
            let answer = ask(name, rtype);
            assert_eq!(answer.rcode, rcode, "{name}");
            assert_eq!((answer.authorities[0].rtype, answer.authorities[0].ttl), (RrType::SOA, 60));
        }
    }

    #[test]
    fn delegations() {
        for name in ["sub.internal", "ns.sub.internal", "a.b.sub.internal"] {
            let referral = ask(name, RrType::A);
            assert!(!referral.authoritative && referral.answers.is_empty() && referral.rcode == Rcode::NOERROR);
            assert_eq!(text(&referral.authorities), ["sub.internal NS ns.sub.internal."]);
            assert_eq!(text(&referral.additionals), ["ns.sub.internal A 10.0.0.5"]);
        }
        let apex = ask("internal", RrType::NS);
        assert!(apex.authoritative && apex.answers.len() == 1 && apex.additionals.len() == 1);
    }
}
