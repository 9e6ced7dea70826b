//! Presentation form of RDATA.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::layout::{Field, layout};
use super::{bitmap, canonical, check, encoding, loc, svcb, token};
use crate::model::{RrType, name};

/// The presentation form of RDATA, as a zone file holds it: names absolute, in lower case where case is of no
/// consequence, character strings in quotes.
///
/// Types without a form of their own, and RDATA that is not well-formed, are written in the form of RFC 3597 §5
/// (`\# 3 010203`). Reading a well-formed value's text with [`super::from_text`] gives its canonical form.
pub fn to_text(rtype: RrType, rdata: &[u8]) -> String {
    let known = layout(rtype).filter(|layout| layout.has_text() && check(rtype, rdata).is_ok());
    let known = known.filter(|_| rtype != RrType::LOC || loc::has_text(rdata));
    let Some(layout) = known else { return generic(rdata) };
    let folded = canonical(rtype, rdata);
    let mut out = String::with_capacity(rdata.len() * 2);
    let walked = super::wire::walk(rtype, layout, &folded, |_, field, part| {
        // These write a space before each entry, of which there may be none.
        if !matches!(field, Field::Params | Field::Bitmap) && !out.is_empty() {
            out.push(' ');
        }
        write_field(field, part, &mut out);
        Ok(())
    });
    debug_assert!(walked.is_ok(), "what was checked can be walked");
    out
}

/// `\# <length> <hex>` (RFC 3597 §5).
pub(super) fn generic(rdata: &[u8]) -> String {
    let mut out = format!("\\# {}", rdata.len());
    if !rdata.is_empty() {
        out.push(' ');
        encoding::hex(rdata, &mut out);
    }
    out
}

fn write_field(field: Field, part: &[u8], out: &mut String) {
    let number = || part.iter().fold(0u32, |sum, octet| sum << 8 | u32::from(*octet));
    // Writing to a string does not fail.
    let _ = match field {
        Field::Name => name::write_wire(part, out),
        Field::U8 | Field::U16 | Field::U32 | Field::Period => write!(out, "{}", number()),
        Field::Stamp => write!(out, "{}", encoding::stamp(number())),
        Field::Type => write!(out, "{}", RrType(number() as u16)),
        Field::V4 => write!(out, "{}", Ipv4Addr::from(number())),
        Field::V6 => match <[u8; 16]>::try_from(part) {
            Ok(octets) => write!(out, "{}", Ipv6Addr::from(octets)),
            Err(_) => Ok(()),
        },
        Field::Str => {
            token::quote(&part[1..], out);
            Ok(())
        }
        Field::Strs => {
            let mut rest = part;
            while let [len, after @ ..] = rest {
                if rest.len() < part.len() {
                    out.push(' ');
                }
                let (string, next) = after.split_at(usize::from(*len).min(after.len()));
                token::quote(string, out);
                rest = next;
            }
            Ok(())
        }
        Field::Tag => {
            part[1..].iter().for_each(|octet| out.push(char::from(*octet)));
            Ok(())
        }
        Field::Text(_) => {
            token::quote(part, out);
            Ok(())
        }
        Field::Hex | Field::Opaque | Field::A6 => {
            encoding::hex(part, out);
            Ok(())
        }
        Field::Base64 => {
            BASE64.encode_string(part, out);
            Ok(())
        }
        Field::Salt if part.len() == 1 => write!(out, "-"),
        Field::Salt => {
            encoding::hex(&part[1..], out);
            Ok(())
        }
        Field::Hash => {
            encoding::base32hex(&part[1..], out);
            Ok(())
        }
        Field::Bitmap => bitmap::types(part).iter().try_for_each(|rtype| write!(out, " {rtype}")),
        Field::Params => {
            svcb::to_text(part, out);
            Ok(())
        }
        Field::Loc => {
            out.push_str(&loc::to_text(part));
            Ok(())
        }
        Field::Eui(_) => {
            for (index, octet) in part.iter().enumerate() {
                if index > 0 {
                    out.push('-');
                }
                encoding::hex(&[*octet], out);
            }
            Ok(())
        }
    };
}
