//! The last look at a message before it leaves: nothing that crashes, poisons or is silently ignored by a server.
//!
//! The planner never makes such a message. This is the one place that would notice if it did: a Knot before 3.4.0 dies
//! of some of these, and answers SERVFAIL to its innocent neighbours for others (`reference/knot.md` facts 6 and 7).

use crate::model::{FastMap, Name, RrType, rdata};
use crate::plan::{Edit, Guard};

/// Why a message must not be sent: always a bug of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// A name that is not in the zone (NOTZONE takes a whole queue down).
    #[error("{0} is outside the zone {1}")]
    OutOfZone(Name, Name),
    /// A type that no UPDATE of ours may touch.
    #[error("{0} {1} must not be changed by an update")]
    Type(Name, RrType),
    /// Two DNAMEs, or a DNAME replaced in one message.
    #[error("more than one change of a DNAME in one message, at {0}")]
    Dname(Name),
    /// One apex NS record removed and added: there, adds come first, so it would be gone (`dns::update`).
    #[error("the message adds an apex NS record and removes it again")]
    ApexNs,
    /// Two different prerequisites about one set.
    #[error("two prerequisites about {0} {1}")]
    DoubleGuard(Name, RrType),
    /// RDATA longer than a record can carry, or none where the type needs some.
    #[error("{0} {1} has RDATA of {2} octets")]
    Rdata(Name, RrType, usize),
    /// A TTL with the top bit set (RFC 2181 §8).
    #[error("{0} {1} has the TTL {2}")]
    Ttl(Name, RrType, u32),
}

/// Checks a whole message.
///
/// # Errors
/// The first [`Unsafe`] thing in it.
pub fn check<'a>(
    zone: &Name,
    guards: impl Iterator<Item = &'a Guard>,
    edits: impl Iterator<Item = &'a Edit>,
) -> Result<(), Unsafe> {
    check_guards(zone, guards)?;
    let mut dnames = 0usize;
    let (mut apex_removed, mut apex_added) = (Vec::new(), Vec::new());
    for edit in edits {
        let (name, rtype, value, ttl) = match edit {
            Edit::Remove(name, rtype, value) => (name, *rtype, value, 0),
            Edit::Add(name, rtype, ttl, value) => (name, *rtype, value, *ttl),
        };
        if !name.is_at_or_below(zone) {
            return Err(Unsafe::OutOfZone(name.clone(), zone.clone()));
        }
        if rtype.is_meta() || rtype == RrType::SOA || (rtype.is_dnssec() && !is_plain_data(rtype)) {
            return Err(Unsafe::Type(name.clone(), rtype));
        }
        if value.is_empty() && is_never_empty(rtype) || value.len() > usize::from(u16::MAX) {
            return Err(Unsafe::Rdata(name.clone(), rtype, value.len()));
        }
        if ttl > 0x7fff_ffff {
            return Err(Unsafe::Ttl(name.clone(), rtype, ttl));
        }
        if rtype == RrType::DNAME {
            dnames += 1;
            if dnames > 1 {
                return Err(Unsafe::Dname(name.clone()));
            }
        }
        if rtype == RrType::NS && name == zone {
            match edit {
                Edit::Remove(..) => apex_removed.push(rdata::canonical(rtype, value)),
                Edit::Add(..) => apex_added.push(rdata::canonical(rtype, value)),
            }
        }
    }
    if apex_removed.iter().any(|value| apex_added.contains(value)) { Err(Unsafe::ApexNs) } else { Ok(()) }
}

fn check_guards<'a>(zone: &Name, guards: impl Iterator<Item = &'a Guard>) -> Result<(), Unsafe> {
    let mut pinned: FastMap<(&Name, RrType), &Guard> = FastMap::with_capacity_and_hasher(1024, Default::default());
    for guard in guards {
        let name = match guard {
            Guard::NameNotInUse(name)
            | Guard::NameInUse(name)
            | Guard::SetAbsent(name, _)
            | Guard::SetExists(name, _)
            | Guard::SetIs(name, _, _) => name,
        };
        if !name.is_at_or_below(zone) {
            return Err(Unsafe::OutOfZone(name.clone(), zone.clone()));
        }
        let about = match guard {
            Guard::NameNotInUse(_) | Guard::NameInUse(_) => RrType::ANY,
            Guard::SetAbsent(_, rtype) | Guard::SetExists(_, rtype) | Guard::SetIs(_, rtype, _) if rtype.is_meta() => {
                return Err(Unsafe::Type(name.clone(), *rtype));
            }
            Guard::SetAbsent(_, rtype) | Guard::SetExists(_, rtype) | Guard::SetIs(_, rtype, _) => *rtype,
        };
        // The same words twice are written once; two different ones about one thing contradict each other.
        if pinned.insert((name, about), guard).is_some_and(|before| before != guard) {
            return Err(Unsafe::DoubleGuard(name.clone(), about));
        }
    }
    Ok(())
}

/// CDS and CDNSKEY may be a person's own data where the server does not sign.
fn is_plain_data(rtype: RrType) -> bool {
    matches!(rtype, RrType::CDS | RrType::CDNSKEY)
}

fn is_never_empty(rtype: RrType) -> bool {
    matches!(
        rtype,
        RrType::A
            | RrType::AAAA
            | RrType::NS
            | RrType::CNAME
            | RrType::PTR
            | RrType::MX
            | RrType::TXT
            | RrType::SRV
            | RrType::DNAME
            | RrType::CAA
            | RrType::DS
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn judge(edits: &[Edit]) -> Result<(), Unsafe> {
        check(&n("internal"), [].iter(), edits.iter())
    }

    fn add(name: &str, rtype: RrType, rdata: &[u8]) -> Edit {
        Edit::Add(n(name), rtype, 300, rdata.into())
    }

    fn remove(name: &str, rtype: RrType, rdata: &[u8]) -> Edit {
        Edit::Remove(n(name), rtype, rdata.into())
    }

    #[test]
    fn what_kills_or_poisons_a_server_is_refused() {
        assert!(judge(&[add("a.internal", RrType::A, &[10, 0, 0, 1])]).is_ok());
        assert!(matches!(judge(&[add("a.elsewhere", RrType::A, &[1; 4])]), Err(Unsafe::OutOfZone(..))));
        for rtype in [RrType::SOA, RrType::ANY, RrType::TSIG, RrType::OPT, RrType::NSEC3PARAM, RrType::RRSIG] {
            assert!(matches!(judge(&[add("a.internal", rtype, &[1; 4])]), Err(Unsafe::Type(..))), "{rtype}");
        }
        let swap = [remove("d.internal", RrType::DNAME, &[0]), add("d.internal", RrType::DNAME, &[0])];
        assert!(matches!(judge(&swap), Err(Unsafe::Dname(_))));
        let two = [add("d.internal", RrType::DNAME, &[0]), add("e.internal", RrType::DNAME, &[0])];
        assert!(matches!(judge(&two), Err(Unsafe::Dname(_))));
        let ns = [remove("internal", RrType::NS, &[0]), add("internal", RrType::NS, &[0])];
        assert!(matches!(judge(&ns), Err(Unsafe::ApexNs)));
        let renamed = [remove("internal", RrType::NS, &[1, b'a', 0]), add("internal", RrType::NS, &[1, b'b', 0])];
        assert!(judge(&renamed).is_ok());
        assert!(judge(&[remove("sub.internal", RrType::NS, &[0]), add("sub.internal", RrType::NS, &[0])]).is_ok());
        assert!(matches!(judge(&[add("a.internal", RrType::A, &[])]), Err(Unsafe::Rdata(..))));
        assert!(matches!(
            judge(&[Edit::Add(n("a.internal"), RrType::A, u32::MAX, [1; 4].into())]),
            Err(Unsafe::Ttl(..))
        ));
    }

    #[test]
    fn one_set_is_pinned_once() {
        let zone = n("internal");
        let twice = [Guard::SetAbsent(n("a.internal"), RrType::A), Guard::SetExists(n("a.internal"), RrType::A)];
        assert!(matches!(check(&zone, twice.iter(), [].iter()), Err(Unsafe::DoubleGuard(..))));
        assert!(check(&zone, twice[..1].iter(), [].iter()).is_ok());
    }
}
