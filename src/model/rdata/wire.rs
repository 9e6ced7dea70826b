//! Wire form: walking the fields, canonical form, decompression, the names inside.

use std::borrow::Cow;
use std::ops::Range;

use super::error::RdataError;
use super::layout::{Field, Layout, layout};
use super::{bitmap, loc, shapes, svcb};
use crate::model::{Name, Rdata, RrType};

/// The canonical form of RDATA: names whose letter case is of no consequence are in lower case.
///
/// These are the types of RFC 4034 §6.2, those that RFC 6840 §5.1 took off that list, and SVCB and HTTPS: this form is for
/// comparison, not for signatures, and two values are the same for us exactly when their canonical forms are. Malformed RDATA is its own canonical form. Borrows when nothing changes.
pub fn canonical(rtype: RrType, rdata: &[u8]) -> Cow<'_, [u8]> {
    let Some(layout) = layout(rtype).filter(|layout| layout.fold) else { return Cow::Borrowed(rdata) };
    // Most RDATA holds no octet that could be a capital letter: no need to find the names.
    if !rdata.iter().any(u8::is_ascii_uppercase) {
        return Cow::Borrowed(rdata);
    }
    let mut spans: [Range<usize>; 2] = [0..0, 0..0];
    let mut found = 0;
    let mut at = 0;
    let walked = walk(rtype, layout, rdata, |_, field, part| {
        let name = match field {
            Field::Name => at..at + part.len(),
            Field::A6 => at + a6_name_start(part)..at + part.len(),
            _ => at..at,
        };
        at += part.len();
        // No type holds more than two names.
        if !name.is_empty() && found < spans.len() {
            spans[found] = name;
            found += 1;
        }
        Ok(())
    });
    let changed = |span: &Range<usize>| rdata[span.clone()].iter().any(u8::is_ascii_uppercase);
    if walked.is_err() || !spans[..found].iter().any(changed) {
        return Cow::Borrowed(rdata);
    }
    let mut folded = rdata.to_vec();
    for span in &spans[..found] {
        // Length octets are below 64 and so are never letters.
        folded[span.clone()].make_ascii_lowercase();
    }
    Cow::Owned(folded)
}

/// Whether two values are the same, as [`canonical`] defines it.
pub fn same(rtype: RrType, a: &[u8], b: &[u8]) -> bool {
    a == b || (a.len() == b.len() && a.eq_ignore_ascii_case(b) && canonical(rtype, a) == canonical(rtype, b))
}

/// The domain names in RDATA, in wire order and lower case: the target of a CNAME, the exchange of an MX.
/// Empty for types that hold none, unknown types, and malformed RDATA.
pub fn names_in(rtype: RrType, rdata: &[u8]) -> Vec<Name> {
    let mut names = Vec::new();
    let Some(layout) = layout(rtype) else { return names };
    let walked = walk(rtype, layout, rdata, |_, field, part| {
        let wire = match field {
            Field::Name => part,
            Field::A6 => &part[a6_name_start(part)..],
            _ => return Ok(()),
        };
        if !wire.is_empty() {
            names.extend(Name::from_wire(wire));
        }
        Ok(())
    });
    if walked.is_err() {
        names.clear();
    }
    names
}

/// Whether `rdata` is well-formed, uncompressed wire form of a type that we know; unknown types may hold anything.
///
/// Foreign records that fail this are shown in the form of RFC 3597 and are otherwise treated as any other.
///
/// # Errors
/// [`RdataError::Wire`] with the first field that is wrong, [`RdataError::TooLong`], [`RdataError::Param`].
pub fn check(rtype: RrType, rdata: &[u8]) -> Result<(), RdataError> {
    if rdata.len() > usize::from(u16::MAX) {
        return Err(RdataError::TooLong { rtype, len: rdata.len() });
    }
    let Some(layout) = layout(rtype) else {
        let good = shapes::is_well_formed(rtype, rdata);
        return if good { Ok(()) } else { Err(RdataError::Wire { rtype, field: "value" }) };
    };
    walk(rtype, layout, rdata, |name, field, part| {
        let good = match field {
            Field::Tag => part[1..].iter().all(u8::is_ascii_alphanumeric),
            Field::Bitmap => bitmap::is_well_formed(part),
            Field::Loc => loc::is_well_formed(part),
            Field::Params => return svcb::check(rtype, part),
            _ => true,
        };
        if good { Ok(()) } else { Err(RdataError::Wire { rtype, field: name }) }
    })
}

/// Calls `visit` with the name, the format and the octets of every field.
///
/// # Errors
/// [`RdataError::Wire`] when a field is cut short or octets are left over, and what `visit` returns.
pub(super) fn walk(
    rtype: RrType,
    layout: &Layout,
    rdata: &[u8],
    mut visit: impl FnMut(&'static str, Field, &[u8]) -> Result<(), RdataError>,
) -> Result<(), RdataError> {
    let mut rest = rdata;
    for (name, field) in layout.fields {
        let len = length(*field, rest).filter(|len| *len <= rest.len());
        let (part, after) = rest.split_at(len.ok_or(RdataError::Wire { rtype, field: name })?);
        visit(name, *field, part)?;
        rest = after;
    }
    match layout.fields.last() {
        Some((name, _)) if !rest.is_empty() => Err(RdataError::Wire { rtype, field: name }),
        _ => Ok(()),
    }
}

/// How many octets `field` takes at the start of `rest`; `None` when that is not to be had.
fn length(field: Field, rest: &[u8]) -> Option<usize> {
    let prefixed = || rest.first().map(|len| usize::from(*len) + 1);
    match field {
        Field::U8 => Some(1),
        Field::U16 | Field::Type => Some(2),
        Field::U32 | Field::Period | Field::Stamp | Field::V4 => Some(4),
        Field::V6 | Field::Loc => Some(16),
        Field::Eui(len) => Some(len),
        Field::Name => name_length(rest),
        Field::Str | Field::Salt => prefixed(),
        Field::Tag | Field::Hash => prefixed().filter(|len| *len > 1),
        Field::Strs => {
            let mut at = 0;
            while at < rest.len() {
                at += usize::from(rest[at]) + 1;
            }
            (at > 0 && at == rest.len()).then_some(at)
        }
        Field::Text(least) => (rest.len() >= least).then_some(rest.len()),
        Field::Hex | Field::Base64 => (!rest.is_empty()).then_some(rest.len()),
        Field::Bitmap | Field::Params | Field::Opaque => Some(rest.len()),
        Field::A6 => {
            let prefix = *rest.first().filter(|len| **len <= 128)?;
            let suffix = a6_name_start(rest);
            let name = if prefix == 0 { 0 } else { name_length(rest.get(suffix..)?)? };
            Some(suffix + name)
        }
    }
}

/// Where the name starts in the RDATA of an A6 record: after the prefix length and the octets of the suffix.
fn a6_name_start(rdata: &[u8]) -> usize {
    let prefix = usize::from(rdata.first().copied().unwrap_or(0)).min(128);
    1 + (128 - prefix).div_ceil(8)
}

/// Length of the uncompressed name at the start of `wire`.
pub(super) fn name_length(wire: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*wire.get(at)?);
        at += 1 + len;
        if len > 63 || at > 255 || at > wire.len() {
            return None;
        }
        if len == 0 {
            return Some(at);
        }
    }
}

/// Takes the RDATA at `range` of `message` out of it, following compression pointers (RFC 1035 §4.1.4).
///
/// Pointers are understood in every type whose names we know: the types of RFC 3597 §4, and leniently those that may not
/// be compressed. Letter case is kept. What follows the last name is not looked at; see [`check`].
///
/// # Errors
/// [`RdataError::Wire`] when the range is outside the message, a field before or in a name is cut short, or a pointer
/// does not lead strictly backwards.
pub fn decompress(rtype: RrType, message: &[u8], range: Range<usize>) -> Result<Rdata, RdataError> {
    let bad = |field| RdataError::Wire { rtype, field };
    let rdata = message.get(range.clone()).ok_or_else(|| bad("length"))?;
    let Some(layout) = layout(rtype) else { return Ok(rdata.into()) };
    let Some(last_name) = layout.fields.iter().rposition(|(_, field)| matches!(field, Field::Name | Field::A6)) else {
        return Ok(rdata.into());
    };
    let mut plain = Vec::with_capacity(rdata.len() + 32);
    let mut at = range.start;
    for (field_name, field) in &layout.fields[..=last_name] {
        let rest = &message[at..range.end];
        let mut copy = 0;
        let mut named = *field == Field::Name;
        match field {
            Field::Name => {}
            Field::A6 => {
                copy = a6_name_start(rest);
                named = rest.first().is_some_and(|prefix| *prefix != 0);
            }
            _ => copy = length(*field, rest).ok_or_else(|| bad(field_name))?,
        }
        plain.extend_from_slice(rest.get(..copy).ok_or_else(|| bad(field_name))?);
        at += copy;
        if named {
            at = expand(message, at, range.end, &mut plain).ok_or_else(|| bad(field_name))?;
        }
    }
    plain.extend_from_slice(&message[at..range.end]);
    if plain.len() > usize::from(u16::MAX) {
        return Err(RdataError::TooLong { rtype, len: plain.len() });
    }
    Ok(plain.into_boxed_slice())
}

/// Appends the name at `start`, uncompressed, and returns where reading goes on. The part before the first pointer must
/// end by `end`; each pointer must lead to before the part that it stands in, so that every name ends.
fn expand(message: &[u8], start: usize, end: usize, plain: &mut Vec<u8>) -> Option<usize> {
    let mut resume = None;
    let mut written = 0;
    let (mut at, mut floor, mut end) = (start, start, end);
    loop {
        let len = usize::from(*message[..end].get(at)?);
        match len {
            0..=63 => {
                let label = message[..end].get(at..at + len + 1)?;
                written += label.len();
                if written > 255 {
                    return None;
                }
                plain.extend_from_slice(label);
                at += len + 1;
                if len == 0 {
                    return Some(resume.unwrap_or(at));
                }
            }
            0xc0.. => {
                let low = usize::from(*message[..end].get(at + 1)?);
                let target = (len & 0x3f) << 8 | low;
                resume.get_or_insert(at + 2);
                if target >= floor {
                    return None;
                }
                (at, floor, end) = (target, target, message.len());
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MX_UPPER: &[u8] = b"\x00\x41\x04MAIL\x07Example\x00";
    const MX_LOWER: &[u8] = b"\x00\x41\x04mail\x07example\x00";

    #[test]
    fn canonical_folds_names_and_nothing_else() {
        assert_eq!(canonical(RrType::MX, MX_UPPER), MX_LOWER);
        assert!(matches!(canonical(RrType::MX, MX_LOWER), Cow::Borrowed(_)), "the 0x41 of the preference is no letter");
        assert!(matches!(canonical(RrType::TXT, b"\x01A"), Cow::Borrowed(b"\x01A")));
        assert!(matches!(canonical(RrType(65400), MX_UPPER), Cow::Borrowed(MX_UPPER)));
        assert_eq!(canonical(RrType::CNAME, b"\x01A\x00"), &b"\x01a\x00"[..]);
        assert_eq!(canonical(RrType::CNAME, b"\x02A\x00"), &b"\x02A\x00"[..], "malformed stays");
        // NAPTR: the strings keep their case, the replacement does not.
        let naptr = b"\0\x01\0\x02\x01S\x07SIP+D2T\0\x01A\0";
        assert_eq!(canonical(RrType::NAPTR, naptr), &b"\0\x01\0\x02\x01S\x07SIP+D2T\0\x01a\0"[..]);
        assert_eq!(canonical(RrType::NSEC, b"\x01A\0\0\x01\x41"), &b"\x01a\0\0\x01\x41"[..]);
        assert_eq!(canonical(RrType::HTTPS, b"\0\x01\x01A\0\0\x01\0\x02\x01A"), &b"\0\x01\x01a\0\0\x01\0\x02\x01A"[..]);
        // A6: 64 bits of suffix, then the name.
        assert_eq!(canonical(RrType(38), b"\x40AAAAAAAA\x01B\0"), &b"\x40AAAAAAAA\x01b\0"[..]);
        let soa = [b"\x01A\0\x01B\0".as_slice(), &[0x41; 20]].concat();
        assert_eq!(canonical(RrType::SOA, &soa), [b"\x01a\0\x01b\0".as_slice(), &[0x41; 20]].concat());
    }

    #[test]
    fn sameness_is_that_of_canonical_forms() {
        assert!(same(RrType::MX, MX_UPPER, MX_LOWER));
        assert!(!same(RrType::TXT, b"\x01A", b"\x01a"));
        assert!(!same(RrType::MX, b"\0\x41\0", b"\0\x61\0"), "a preference is no name");
    }

    #[test]
    fn finds_names() {
        let name = |text: &str| Name::parse(text).unwrap();
        assert_eq!(names_in(RrType::MX, MX_UPPER), [name("mail.example")]);
        let soa = [b"\x01A\0\x01B\0".as_slice(), &[0; 20]].concat();
        assert_eq!(names_in(RrType::SOA, &soa), [name("a"), name("b")]);
        assert!(names_in(RrType::SOA, &soa[..20]).is_empty());
        assert!(names_in(RrType::A, &[1, 2, 3, 4]).is_empty());
        assert!(names_in(RrType(65400), MX_LOWER).is_empty());
    }

    #[test]
    fn follows_pointers_backwards_only() {
        // 0: "example." 9: "mail" -> 0; 16: MX RDATA 0 10 "a" -> 9
        let message = b"\x07example\0\x04mail\xc0\0\0\x0a\x01a\xc0\x09";
        let mx = decompress(RrType::MX, message, 16..22).unwrap();
        assert_eq!(&*mx, b"\0\x0a\x01a\x04mail\x07example\0");
        assert_eq!(&*decompress(RrType::TXT, message, 16..22).unwrap(), &message[16..22]);
        for (message, range) in [
            (&b"\xc0\0"[..], 0..2),        // to itself
            (b"\0\xc0\x03\xc0\x01", 1..3), // forward
            (b"\x01a\xc0\0", 0..4),        // to the start of its own part
            (b"\x04abc", 0..4),            // cut short
            (b"\x80a\0", 0..3),            // unknown label type
            (b"\x03abc\0", 0..4),          // ends outside its range
            (b"\x01a\0", 0..9),            // range outside the message
        ] {
            assert!(decompress(RrType::CNAME, message, range.clone()).is_err(), "{message:?} {range:?}");
        }
        // 254 octets and a pointer to 2 more.
        let mut long = b"\x01a\0".to_vec();
        let start = long.len();
        for len in [63u8, 63, 63, 61] {
            long.push(len);
            long.extend(vec![b'x'; usize::from(len)]);
        }
        long.extend([0xc0, 0]);
        assert!(decompress(RrType::NS, &long, start..long.len()).is_err());
        long.pop();
        long.push(2);
        assert_eq!(decompress(RrType::NS, &long, start..long.len()).unwrap().len(), 255);
    }

    #[test]
    fn check_knows_each_form() {
        for (rtype, good) in [
            (RrType::A, &b"\x01\x02\x03\x04"[..]),
            (RrType::TXT, b"\0"),
            (RrType::MX, MX_UPPER),
            (RrType::CAA, b"\0\x05issueca"),
            (RrType::NSEC, b"\0\0\x01\x40"),
            (RrType(65400), b""),
        ] {
            assert_eq!(check(rtype, good), Ok(()), "{rtype}");
            if !good.is_empty() && rtype != RrType::CAA {
                assert!(check(rtype, &good[..good.len() - 1]).is_err(), "{rtype} cut short");
            }
            if rtype.0 < 60000 && rtype != RrType::CAA {
                assert!(check(rtype, &[good, b"\x07"].concat()).is_err(), "{rtype} with more");
            }
        }
        assert!(check(RrType::CAA, b"\0\x05iss-eca").is_err());
        assert!(check(RrType::CAA, b"\0\0ca").is_err());
        assert!(check(RrType::TXT, &vec![0; 65536]).is_err());
    }
}
