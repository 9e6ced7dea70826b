//! RDATA from presentation form.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::{RdataError, shorten};
use super::layout::{Field, Layout, layout};
use super::token::{self, Token};
use super::{bitmap, check, encoding, loc, svcb};
use crate::model::{Name, NameError, Rdata, RrType};

/// Reads the presentation form of RDATA as a zone file holds it, or the form of RFC 3597 §5 for any type.
///
/// Names without a final dot are completed with `origin`, and `@` stands for it; without an origin they are taken as
/// absolute. Several lines, parentheses and comments are understood.
///
/// # Errors
/// [`RdataError`] that names the part that is wrong and says what was expected.
pub fn from_text(rtype: RrType, text: &str, origin: Option<&Name>) -> Result<Rdata, RdataError> {
    let tokens = token::split(text, matches!(rtype, RrType::SVCB | RrType::HTTPS))?;
    if let Some((first, rest)) = tokens.split_first()
        && first.raw == "\\#"
        && !first.quoted
    {
        return from_generic(rtype, rest);
    }
    let Some(layout) = layout(rtype).filter(|layout| layout.has_text()) else {
        let problem = format!("this type has no text form of its own, so \"{}\" cannot be read", shorten(text));
        return Err(RdataError::Generic { rtype, problem });
    };
    let mut reader = Reader { rtype, layout, tokens: &tokens, out: Vec::new() };
    for (name, field) in layout.fields {
        reader.field(name, *field, origin)?;
    }
    if let (Some(token), Some((field, _))) = (reader.tokens.first(), layout.fields.last()) {
        return Err(RdataError::Extra { rtype, field, text: shorten(token.raw) });
    }
    check(rtype, &reader.out)?;
    Ok(reader.out.into())
}

fn from_generic(rtype: RrType, tokens: &[Token<'_>]) -> Result<Rdata, RdataError> {
    let bad = |problem: String| RdataError::Generic { rtype, problem };
    let (length, data) = tokens.split_first().ok_or_else(|| bad("the length is missing".to_owned()))?;
    let length: u16 =
        length.raw.parse().map_err(|_| bad(format!("\"{}\" is not a length from 0 to 65535", shorten(length.raw))))?;
    let digits: String = data.iter().map(|token| token.raw).collect();
    let octets = encoding::unhex(&digits)
        .ok_or_else(|| bad(format!("\"{}\" is not hexadecimal with two digits to the octet", shorten(&digits))))?;
    if octets.len() != usize::from(length) {
        return Err(bad(format!("the length says {length} octets, but {} follow", octets.len())));
    }
    check(rtype, &octets)?;
    Ok(octets.into())
}

/// Takes words and appends wire form, field by field.
struct Reader<'a> {
    rtype: RrType,
    layout: &'static Layout,
    tokens: &'a [Token<'a>],
    out: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn next(&mut self, field: &'static str) -> Result<Token<'a>, RdataError> {
        let (first, rest) = self.tokens.split_first().ok_or_else(|| RdataError::Missing {
            rtype: self.rtype,
            field,
            expected: self.layout.fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
        })?;
        self.tokens = rest;
        Ok(*first)
    }

    /// All words that are left, as one.
    fn rest(&mut self, field: &'static str) -> Result<String, RdataError> {
        let mut joined = self.next(field)?.raw.to_owned();
        joined.extend(self.tokens.iter().map(|token| token.raw));
        self.tokens = &[];
        Ok(joined)
    }

    fn bad(&self, field: &'static str, value: &str, expected: &str) -> RdataError {
        RdataError::value(self.rtype, field, value, expected)
    }

    fn unescaped(&self, field: &'static str, raw: &'a str) -> Result<std::borrow::Cow<'a, [u8]>, RdataError> {
        token::unescape(raw).ok_or_else(|| {
            self.bad(field, raw, "escapes as \\DDD with a decimal number up to 255, or \\ and a character")
        })
    }

    fn number(&mut self, field: &'static str, limit: u32) -> Result<u32, RdataError> {
        let text = self.next(field)?.raw;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = text.parse().ok().filter(|value| digits && *value <= limit);
        let value = value.or_else(|| encoding::mnemonic(self.rtype, field, text).map(u32::from));
        value.ok_or_else(|| self.bad(field, text, &format!("a number from 0 to {limit}")))
    }

    fn string(&mut self, field: &'static str) -> Result<(), RdataError> {
        let raw = self.next(field)?.raw;
        let octets = self.unescaped(field, raw)?;
        let len = u8::try_from(octets.len())
            .map_err(|_| self.bad(field, raw, &format!("at most 255 octets in one string, not {}", octets.len())))?;
        self.out.push(len);
        self.out.extend_from_slice(&octets);
        Ok(())
    }

    fn rtype(&mut self, field: &'static str) -> Result<RrType, RdataError> {
        let text = self.next(field)?.raw;
        RrType::parse(text).ok_or_else(|| self.bad(field, text, "a record type such as A or TYPE65400"))
    }

    fn field(&mut self, name: &'static str, field: Field, origin: Option<&Name>) -> Result<(), RdataError> {
        match field {
            Field::Name => {
                let raw = self.next(name)?.raw;
                if raw == "@" && origin.is_none() {
                    return Err(self.bad(name, raw, "a domain name; @ has no meaning here"));
                }
                let parsed = parse_name(raw, origin).map_err(|source| RdataError::Name {
                    rtype: self.rtype,
                    field: name,
                    value: shorten(raw),
                    source,
                })?;
                self.out.extend_from_slice(parsed.wire());
            }
            Field::U8 => {
                let value = self.number(name, u8::MAX.into())?;
                self.out.push(value as u8);
            }
            Field::U16 => {
                let value = self.number(name, u16::MAX.into())?;
                self.out.extend((value as u16).to_be_bytes());
            }
            Field::U32 => {
                let value = self.number(name, u32::MAX)?;
                self.out.extend(value.to_be_bytes());
            }
            Field::Period => {
                let text = self.next(name)?.raw;
                let seconds = encoding::period(text);
                let seconds = seconds.ok_or_else(|| self.bad(name, text, "seconds, or units such as 1h30m"))?;
                self.out.extend(seconds.to_be_bytes());
            }
            Field::Stamp => {
                let text = self.next(name)?.raw;
                let seconds = encoding::unstamp(text);
                let seconds = seconds.ok_or_else(|| self.bad(name, text, "a time as YYYYMMDDHHmmSS, or seconds"))?;
                self.out.extend(seconds.to_be_bytes());
            }
            Field::Type => {
                let rtype = self.rtype(name)?;
                self.out.extend(rtype.0.to_be_bytes());
            }
            Field::V4 => {
                let text = self.next(name)?.raw;
                let address = text.parse::<Ipv4Addr>().map_err(|_| {
                    let six = text.parse::<Ipv6Addr>().is_ok();
                    let expected = "an IPv4 address such as 192.0.2.1";
                    self.bad(
                        name,
                        text,
                        &if six { format!("{expected}; IPv6 belongs in AAAA") } else { expected.into() },
                    )
                })?;
                self.out.extend(address.octets());
            }
            Field::V6 => {
                let text = self.next(name)?.raw;
                let address = text.parse::<Ipv6Addr>().map_err(|_| {
                    let four = text.parse::<Ipv4Addr>().is_ok();
                    let expected = "an IPv6 address such as 2001:db8::1";
                    self.bad(name, text, &if four { format!("{expected}; IPv4 belongs in A") } else { expected.into() })
                })?;
                self.out.extend(address.octets());
            }
            Field::Str => self.string(name)?,
            Field::Strs => {
                self.string(name)?;
                while !self.tokens.is_empty() {
                    self.string(name)?;
                }
            }
            Field::Tag => {
                let text = self.next(name)?.raw;
                let good = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
                if !good {
                    return Err(self.bad(name, text, "letters and digits, such as issue"));
                }
                self.out.push(text.len() as u8);
                self.out.extend_from_slice(text.as_bytes());
            }
            Field::Text(least) => {
                let raw = self.next(name)?.raw;
                let octets = self.unescaped(name, raw)?;
                if octets.len() < least {
                    return Err(self.bad(name, raw, "a text that is not empty"));
                }
                self.out.extend_from_slice(&octets);
            }
            Field::Hex => {
                let text = self.rest(name)?;
                let octets = encoding::unhex(&text).filter(|octets| !octets.is_empty());
                let octets = octets.ok_or_else(|| self.bad(name, &text, "hexadecimal with two digits to the octet"))?;
                self.out.extend(octets);
            }
            Field::Base64 => {
                let text = self.rest(name)?;
                let octets = BASE64.decode(&text).ok().filter(|octets| !octets.is_empty());
                self.out.extend(octets.ok_or_else(|| self.bad(name, &text, "base64"))?);
            }
            Field::Salt => {
                let text = self.next(name)?.raw;
                let octets = if text == "-" { Some(Vec::new()) } else { encoding::unhex(text) };
                self.prefixed(name, text, octets, "hexadecimal of at most 255 octets, or - for none")?;
            }
            Field::Hash => {
                let text = self.next(name)?.raw;
                let octets = encoding::unbase32hex(text).filter(|octets| !octets.is_empty());
                self.prefixed(name, text, octets, "base32hex without padding")?;
            }
            Field::Bitmap => {
                let mut types = Vec::new();
                while !self.tokens.is_empty() {
                    types.push(self.rtype(name)?);
                }
                bitmap::encode(&types, &mut self.out);
            }
            Field::Params => {
                svcb::from_tokens(self.rtype, self.tokens, &mut self.out)?;
                self.tokens = &[];
            }
            Field::Loc => {
                loc::from_tokens(self.tokens, &mut self.out)?;
                self.tokens = &[];
            }
            Field::Eui(len) => {
                let text = self.next(name)?.raw;
                let pairs: Option<Vec<Vec<u8>>> =
                    text.split('-').map(|pair| encoding::unhex(pair).filter(|octets| octets.len() == 1)).collect();
                let octets = pairs.map(|pairs| pairs.concat()).filter(|octets| octets.len() == len);
                let expected = format!("{len} pairs of hexadecimal digits with dashes, such as 00-00-5e-00-53-2a");
                self.out.extend(octets.ok_or_else(|| self.bad(name, text, &expected))?);
            }
            // `from_text` turns types with these parts away.
            Field::A6 | Field::Opaque => return Err(RdataError::Wire { rtype: self.rtype, field: name }),
        }
        Ok(())
    }

    fn prefixed(
        &mut self,
        field: &'static str,
        text: &str,
        octets: Option<Vec<u8>>,
        expected: &str,
    ) -> Result<(), RdataError> {
        let octets = octets.ok_or_else(|| self.bad(field, text, expected))?;
        let len = u8::try_from(octets.len()).map_err(|_| self.bad(field, text, expected))?;
        self.out.push(len);
        self.out.extend(octets);
        Ok(())
    }
}

/// A name as zone files write it: relative to `origin` when there is one and no final dot.
fn parse_name(text: &str, origin: Option<&Name>) -> Result<Name, NameError> {
    match origin {
        Some(origin) if text == "@" => Ok(origin.clone()),
        Some(origin) if !Name::is_absolute(text) => Name::parse(text)?.under(origin),
        _ => Name::parse(text),
    }
}
