//! RDATA from the fields of a declaration (DESIGN §4).
//!
//! These refuse what a zone file may hold but what is a mistake when a person declares it: a fingerprint of the wrong
//! length, a parameter on an alias, a regular expression beside a replacement.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::{RdataError, shorten};
use super::{encoding, from_text, loc as location, svcb as params, token, wire};
use crate::model::{Name, Rdata, RrType};

/// The longest RDATA, in octets.
const MAX: usize = u16::MAX as usize;

/// An A record's address.
pub fn a(address: Ipv4Addr) -> Rdata {
    address.octets().into()
}

/// An AAAA record's address.
pub fn aaaa(address: Ipv6Addr) -> Rdata {
    address.octets().into()
}

/// The RDATA of CNAME, DNAME, NS and PTR, which is one name.
pub fn target(name: &Name) -> Rdata {
    name.wire().into()
}

/// MX (RFC 1035 §3.3.9).
pub fn mx(preference: u16, exchange: &Name) -> Rdata {
    [&preference.to_be_bytes(), exchange.wire()].concat().into()
}

/// SRV (RFC 2782).
pub fn srv(priority: u16, weight: u16, port: u16, target: &Name) -> Rdata {
    let mut out: Vec<u8> = [priority, weight, port].iter().flat_map(|number| number.to_be_bytes()).collect();
    out.extend_from_slice(target.wire());
    out.into()
}

/// TXT with these strings.
///
/// # Errors
/// [`RdataError::Value`] for no string or one over 255 octets, [`RdataError::TooLong`].
pub fn txt<S: AsRef<[u8]>>(strings: &[S]) -> Result<Rdata, RdataError> {
    let mut out = Vec::new();
    for string in strings.iter().map(AsRef::as_ref) {
        let len = u8::try_from(string.len()).map_err(|_| {
            let text = String::from_utf8_lossy(string);
            RdataError::value(
                RrType::TXT,
                "text",
                &text,
                format!("at most 255 octets in one string, not {}", string.len()),
            )
        })?;
        out.push(len);
        out.extend_from_slice(string);
    }
    if out.is_empty() {
        return Err(RdataError::value(RrType::TXT, "text", "", "at least one string"));
    }
    limited(RrType::TXT, out)
}

/// TXT with this value, split into strings of 255 octets; [`txt_value`] joins them again.
///
/// # Errors
/// [`RdataError::TooLong`].
pub fn txt_from_value(value: &str) -> Result<Rdata, RdataError> {
    if value.is_empty() {
        return Ok([0u8].into());
    }
    txt(&value.as_bytes().chunks(255).collect::<Vec<_>>())
}

/// TXT from zone-file text, as [`from_text`] reads it, but a string over 255 octets is split as [`txt_from_value`] does.
///
/// # Errors
/// [`RdataError::Quoting`], [`RdataError::Value`] for an escape that is none, [`RdataError::TooLong`].
pub fn txt_from_text(text: &str) -> Result<Rdata, RdataError> {
    let words = token::split(text, false)?;
    let mut strings = Vec::with_capacity(words.len());
    for word in &words {
        let octets = token::unescape(word.raw).ok_or_else(|| {
            let expected = "escapes as \\DDD with a decimal number up to 255, or \\ and a character";
            RdataError::value(RrType::TXT, "text", word.raw, expected)
        })?;
        match octets.is_empty() {
            true => strings.push(Vec::new()),
            false => strings.extend(octets.chunks(255).map(<[u8]>::to_vec)),
        }
    }
    txt(&strings)
}

/// The strings of a TXT record joined; `None` when it is malformed.
pub fn txt_value(rdata: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(rdata.len());
    let mut rest = rdata;
    while let [len, after @ ..] = rest {
        let (string, next) = after.split_at_checked(usize::from(*len))?;
        value.extend_from_slice(string);
        rest = next;
    }
    (!rdata.is_empty()).then_some(value)
}

/// CAA (RFC 8659). The tag is folded to lower case.
///
/// # Errors
/// [`RdataError::Value`] for a tag that is not 1 to 15 letters and digits, an `issue` or `issuewild` whose issuer is no
/// domain name, an `iodef` that is no URL; [`RdataError::TooLong`].
pub fn caa(flags: u8, tag: &str, value: &str) -> Result<Rdata, RdataError> {
    let bad = |field, value: &str, expected: &str| Err(RdataError::value(RrType::CAA, field, value, expected));
    if !(1..=15).contains(&tag.len()) || !tag.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return bad("tag", tag, "1 to 15 letters and digits, such as issue, issuewild or iodef");
    }
    let tag = tag.to_ascii_lowercase();
    match tag.as_str() {
        "issue" | "issuewild" => {
            // RFC 8659 §4.2: [issuer-domain-name] [";" parameters]
            let issuer = value.split(';').next().unwrap_or("").trim_matches([' ', '\t']);
            let domain = issuer.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_');
            if !(issuer.is_empty() || domain && Name::parse(issuer).is_ok()) {
                return bad("value", value, "the domain name of a certification authority, or \";\" for none");
            }
        }
        "iodef" if !["mailto:", "http://", "https://"].iter().any(|scheme| value.starts_with(scheme)) => {
            return bad("value", value, "a URL that begins with mailto:, http:// or https://");
        }
        _ => {}
    }
    let mut out = vec![flags, tag.len() as u8];
    out.extend_from_slice(tag.as_bytes());
    out.extend_from_slice(value.as_bytes());
    limited(RrType::CAA, out)
}

/// SSHFP (RFC 4255, RFC 6594) with a fingerprint in hexadecimal, as `ssh-keygen -r` prints it.
///
/// # Errors
/// [`RdataError::Value`] for a reserved number, a fingerprint that is not hexadecimal or not as long as its type says.
pub fn sshfp(algorithm: u8, fingerprint_type: u8, fingerprint: &str) -> Result<Rdata, RdataError> {
    let bad =
        |field, value: u8, expected: &str| Err(RdataError::value(RrType::SSHFP, field, &value.to_string(), expected));
    if matches!(algorithm, 0 | 5) {
        return bad("algorithm", algorithm, "1 (RSA), 2 (DSA), 3 (ECDSA), 4 (Ed25519) or 6 (Ed448)");
    }
    let length = match fingerprint_type {
        0 => return bad("fingerprintType", 0, "1 (SHA-1) or 2 (SHA-256)"),
        1 => Some((20, "SHA-1")),
        2 => Some((32, "SHA-256")),
        _ => None,
    };
    let digest = digest(RrType::SSHFP, "fingerprint", fingerprint, length)?;
    limited(RrType::SSHFP, [&[algorithm, fingerprint_type], digest.as_slice()].concat())
}

/// TLSA (RFC 6698) with data in hexadecimal.
///
/// # Errors
/// [`RdataError::Value`] for an unassigned number, data that is not hexadecimal or not as long as the hash it names.
pub fn tlsa(usage: u8, selector: u8, matching_type: u8, data: &str) -> Result<Rdata, RdataError> {
    let bad =
        |field, value: u8, expected: &str| Err(RdataError::value(RrType::TLSA, field, &value.to_string(), expected));
    if !matches!(usage, 0..=3 | 255) {
        return bad("usage", usage, "0 (PKIX-TA), 1 (PKIX-EE), 2 (DANE-TA), 3 (DANE-EE) or 255 (private)");
    }
    if !matches!(selector, 0 | 1 | 255) {
        return bad("selector", selector, "0 (whole certificate), 1 (public key) or 255 (private)");
    }
    let length = match matching_type {
        0 | 255 => None,
        1 => Some((32, "SHA-256")),
        2 => Some((64, "SHA-512")),
        _ => return bad("matchingType", matching_type, "0 (whole data), 1 (SHA-256), 2 (SHA-512) or 255 (private)"),
    };
    let data = digest(RrType::TLSA, "data", data, length)?;
    limited(RrType::TLSA, [&[usage, selector, matching_type], data.as_slice()].concat())
}

/// DS (RFC 4034 §5) with a digest in hexadecimal.
///
/// # Errors
/// [`RdataError::Value`] for a reserved number, a digest that is not hexadecimal or not as long as its type says.
pub fn ds(key_tag: u16, algorithm: u8, digest_type: u8, digest_hex: &str) -> Result<Rdata, RdataError> {
    let bad = |field, expected: &str| Err(RdataError::value(RrType::DS, field, "0", expected));
    if algorithm == 0 {
        return bad("algorithm", "a DNSSEC algorithm number such as 8, 13 or 15");
    }
    let length = match digest_type {
        0 => return bad("digestType", "1 (SHA-1), 2 (SHA-256) or 4 (SHA-384)"),
        1 => Some((20, "SHA-1")),
        2 => Some((32, "SHA-256")),
        3 => Some((32, "GOST R 34.11-94")),
        4 => Some((48, "SHA-384")),
        5 => Some((32, "GOST R 34.11-2012")),
        6 => Some((32, "SM3")),
        _ => None,
    };
    let digest = digest(RrType::DS, "digest", digest_hex, length)?;
    let mut out = key_tag.to_be_bytes().to_vec();
    out.extend([algorithm, digest_type]);
    out.extend(digest);
    limited(RrType::DS, out)
}

/// SVCB or HTTPS (RFC 9460); `params` as in a zone file: `alpn=h2,h3 ipv4hint=10.0.0.1`.
///
/// # Errors
/// [`RdataError::Param`] for a parameter that is unknown, malformed, repeated, at odds with another, or on an alias
/// (priority 0); [`RdataError::Quoting`]; [`RdataError::TooLong`].
pub fn svcb(rtype: RrType, priority: u16, target: &Name, params_text: &str) -> Result<Rdata, RdataError> {
    let mut values = Vec::new();
    params::from_tokens(rtype, &token::split(params_text, true)?, &mut values)?;
    params::check_strict(rtype, priority, &values)?;
    limited(rtype, [&priority.to_be_bytes(), target.wire(), values.as_slice()].concat())
}

/// NAPTR (RFC 3403 §4).
///
/// # Errors
/// [`RdataError::Value`] for flags that are not letters and digits, a regular expression that is not
/// `!pattern!substitution!` with any one delimiter, both or neither of regular expression and replacement.
pub fn naptr(
    order: u16,
    preference: u16,
    flags: &str,
    service: &str,
    regexp: &str,
    replacement: &Name,
) -> Result<Rdata, RdataError> {
    let bad = |field, value: &str, expected: &str| Err(RdataError::value(RrType::NAPTR, field, value, expected));
    if !flags.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return bad("flags", flags, "letters and digits, such as S, A, U or P, or nothing");
    }
    match (regexp.is_empty(), replacement.is_root()) {
        (false, false) => return bad("regexp", regexp, "either a regexp or a replacement, not both (RFC 3403 §4.1)"),
        (true, true) => return bad("replacement", ".", "a domain name where there is no regexp"),
        _ => {}
    }
    if !regexp.is_empty() && !is_substitution(regexp) {
        return bad(
            "regexp",
            regexp,
            "a delimiter, a pattern, the delimiter, a substitution, the delimiter, as in !^.*$!sip:info@example.com!",
        );
    }
    let mut out = [order.to_be_bytes(), preference.to_be_bytes()].concat();
    for (field, text) in [("flags", flags), ("service", service), ("regexp", regexp)] {
        let Ok(len) = u8::try_from(text.len()) else {
            return bad(field, text, &format!("at most 255 octets, not {}", text.len()));
        };
        out.push(len);
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(replacement.wire());
    limited(RrType::NAPTR, out)
}

/// Whether this is a substitution expression (RFC 3402 §3.2): three delimiters that are not escaped, then flags.
fn is_substitution(text: &str) -> bool {
    let mut characters = text.chars();
    let Some(delimiter) = characters.next().filter(|c| !c.is_ascii_digit() && !matches!(c, 'i' | '\\')) else {
        return false;
    };
    let (mut seen, mut escaped) = (1, false);
    for c in characters.by_ref() {
        if c == delimiter && !escaped {
            seen += 1;
        }
        escaped = c == '\\' && !escaped;
        if seen == 3 {
            break;
        }
    }
    seen == 3 && matches!(characters.as_str(), "" | "i")
}

/// URI (RFC 7553).
///
/// # Errors
/// [`RdataError::Value`] for a target that is no URI: it must have a scheme and hold printable ASCII without spaces.
pub fn uri(priority: u16, weight: u16, target: &str) -> Result<Rdata, RdataError> {
    let scheme = target.split_once(':').map_or("", |(scheme, _)| scheme);
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && target.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    if !good {
        let expected = "a URI with its scheme and without spaces, such as https://example.com/";
        return Err(RdataError::value(RrType::URI, "target", target, expected));
    }
    limited(RrType::URI, [&priority.to_be_bytes(), &weight.to_be_bytes(), target.as_bytes()].concat())
}

/// LOC (RFC 1876) from its presentation form: `52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m`.
///
/// # Errors
/// [`RdataError::Value`], [`RdataError::Missing`], [`RdataError::Extra`] or [`RdataError::Quoting`].
pub fn loc(text: &str) -> Result<Rdata, RdataError> {
    let mut out = Vec::with_capacity(16);
    location::from_tokens(&token::split(text, false)?, &mut out)?;
    Ok(out.into())
}

/// Any type from zone-file text or the form of RFC 3597, names absolute: the `other` field of a declaration.
///
/// # Errors
/// As [`from_text`]; [`RdataError::Value`] for types that no zone can hold.
pub fn other(rtype: RrType, text: &str) -> Result<Rdata, RdataError> {
    if rtype.is_meta() {
        return Err(RdataError::value(rtype, "type", &rtype.to_string(), "a type that a zone can hold"));
    }
    let value = from_text(rtype, text, None)?;
    blocks(rtype, &value)?;
    Ok(value)
}

/// Checks what is declared of types that are written in the form of RFC 3597 only: their octets are passed on by
/// servers as they are, and what reads them would stumble.
fn blocks(rtype: RrType, value: &[u8]) -> Result<(), RdataError> {
    let bad = |field, expected: &str| {
        let mut shown = String::new();
        encoding::hex(value, &mut shown);
        Err(RdataError::value(rtype, field, &shown, expected))
    };
    match rtype.0 {
        // WKS, RFC 1035 §3.4.2.
        11 if value.len() < 5 => bad("octets", "an IPv4 address (4 octets), a protocol (1), and a bit map of ports"),
        // NSAP, RFC 1706 §5; the addresses of ISO 8348 have at most 20 octets.
        22 if value.is_empty() || value.len() > 20 => bad("octets", "an NSAP address of 1 to 20 octets"),
        55 => host_identity(value).map_or_else(|expected| bad("octets", expected), Ok),
        _ => Ok(()),
    }
}

/// HIP, RFC 8005 §5: two lengths and an algorithm, the tag, the key, the rendezvous servers.
fn host_identity(value: &[u8]) -> Result<(), &'static str> {
    const PARTS: &str = "the length of the host identity tag (1 octet), the algorithm (1), the length of the key (2), the tag, the key, and names of rendezvous servers";
    let [tag, _, high, low, rest @ ..] = value else { return Err(PARTS) };
    let key = usize::from(u16::from_be_bytes([*high, *low]));
    if *tag == 0 || key == 0 {
        return Err("a host identity tag and a key that are not empty");
    }
    let mut servers = rest.get(usize::from(*tag) + key..).ok_or(PARTS)?;
    while !servers.is_empty() {
        let length = wire::name_length(servers).ok_or("names of rendezvous servers behind the key")?;
        servers = &servers[length..];
    }
    Ok(())
}

/// Octets from hexadecimal (spaces and colons between the digits are ignored) of the given length.
fn digest(
    rtype: RrType,
    field: &'static str,
    text: &str,
    length: Option<(usize, &str)>,
) -> Result<Vec<u8>, RdataError> {
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r' | ':')).collect();
    let octets = encoding::unhex(&digits).filter(|octets| !octets.is_empty());
    let octets = octets.ok_or_else(|| {
        let expected = match length {
            Some((len, hash)) => format!("{} hexadecimal digits ({hash})", len * 2),
            None => "hexadecimal with two digits to the octet".to_owned(),
        };
        RdataError::value(rtype, field, text, expected)
    })?;
    match length {
        Some((len, hash)) if octets.len() != len => {
            let expected = format!("{} hexadecimal digits ({hash}), not {}", len * 2, digits.len());
            Err(RdataError::Value { rtype, field, value: shorten(text), expected })
        }
        _ => Ok(octets),
    }
}

fn limited(rtype: RrType, out: Vec<u8>) -> Result<Rdata, RdataError> {
    if out.len() > MAX {
        return Err(RdataError::TooLong { rtype, len: out.len() });
    }
    Ok(out.into())
}

#[cfg(test)]
#[path = "typed_tests.rs"]
mod tests;
