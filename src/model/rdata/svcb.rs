//! Service parameters of SVCB and HTTPS (RFC 9460 §2 and §7, RFC 9461, RFC 9540).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::{RdataError, shorten};
use super::token::{Token, escape, unescape};
use crate::model::RrType;

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;

/// The format of a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Other keys, ascending.
    Keys,
    /// Non-empty strings with length octets.
    Strings,
    /// Strings with length octets, or none.
    Segments,
    /// No value.
    Flag,
    /// A port number.
    Port,
    V4,
    V6,
    Base64,
    /// UTF-8 text that begins with `/`.
    Path,
    /// 16-bit numbers.
    Numbers,
    /// Anything.
    Opaque,
}

/// The IANA registry "Service Parameter Keys"; the index is the key's number.
const KEYS: [(&str, Kind); 12] = [
    ("mandatory", Kind::Keys),
    ("alpn", Kind::Strings),
    ("no-default-alpn", Kind::Flag),
    ("port", Kind::Port),
    ("ipv4hint", Kind::V4),
    ("ech", Kind::Base64),
    ("ipv6hint", Kind::V6),
    ("dohpath", Kind::Path),
    ("ohttp", Kind::Flag),
    ("tls-supported-groups", Kind::Numbers),
    ("docpath", Kind::Segments),
    ("pvd", Kind::Flag),
];

/// Keys from here on are written as `keyNNNNN`, because servers and tools in the field know no name for them: Knot 3.2
/// refuses `dohpath`, BIND 9.18 `ohttp`. Their names are understood when read.
const FIRST_UNNAMED: u16 = 7;

fn kind(key: u16) -> Kind {
    KEYS.get(usize::from(key)).map_or(Kind::Opaque, |(_, kind)| *kind)
}

fn key_name(key: u16) -> String {
    match KEYS.get(usize::from(key)) {
        Some((name, _)) if key < FIRST_UNNAMED => (*name).to_owned(),
        _ => format!("key{key}"),
    }
}

/// The number of a key by its name or as `keyNNNNN`; the flag says that it was the latter. 65535 is no key (§14.3.2).
fn key_number(name: &str) -> Option<(u16, bool)> {
    let lower = name.to_ascii_lowercase();
    if let Some(index) = KEYS.iter().position(|(known, _)| *known == lower) {
        return Some((index as u16, false));
    }
    let digits = lower.strip_prefix("key")?;
    let number: u16 = digits.parse().ok().filter(|number| *number != u16::MAX)?;
    (number.to_string() == digits).then_some((number, true))
}

fn problem(rtype: RrType, key: u16, problem: impl Into<String>) -> RdataError {
    let name = KEYS.get(usize::from(key)).map_or_else(|| format!("key{key}"), |(name, _)| (*name).to_owned());
    RdataError::Param { rtype, key: name, problem: problem.into() }
}

/// Splits parameters into keys and values; `None` when they are cut short.
fn pairs(wire: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut pairs = Vec::new();
    let mut rest = wire;
    while !rest.is_empty() {
        let [k1, k2, l1, l2, after @ ..] = rest else { return None };
        let len = usize::from(u16::from_be_bytes([*l1, *l2]));
        pairs.push((u16::from_be_bytes([*k1, *k2]), after.get(..len)?));
        rest = &after[len..];
    }
    Some(pairs)
}

/// Whether the parameters have the wire form that clients must not reject (§2.2).
///
/// # Errors
/// [`RdataError::Wire`] or [`RdataError::Param`].
pub(super) fn check(rtype: RrType, wire: &[u8]) -> Result<(), RdataError> {
    let pairs = pairs(wire).ok_or(RdataError::Wire { rtype, field: "params" })?;
    for pair in pairs.windows(2) {
        if pair[0].0 >= pair[1].0 {
            return Err(problem(rtype, pair[1].0, "keys must ascend and stand once"));
        }
    }
    pairs.iter().try_for_each(|(key, value)| check_value(rtype, *key, value))
}

fn check_value(rtype: RrType, key: u16, value: &[u8]) -> Result<(), RdataError> {
    if key == u16::MAX {
        return Err(problem(rtype, key, "this number is reserved to mean no key"));
    }
    let multiple = |of: usize| !value.is_empty() && value.len().is_multiple_of(of);
    let (good, expected) = match kind(key) {
        Kind::Keys => {
            let keys: Vec<u16> = value.chunks_exact(2).map(|raw| u16::from_be_bytes([raw[0], raw[1]])).collect();
            let ascending = keys.windows(2).all(|pair| pair[0] < pair[1]);
            (
                multiple(2) && ascending && !keys.contains(&MANDATORY) && !keys.contains(&u16::MAX),
                "other keys, each once",
            )
        }
        Kind::Strings => (strings(value, 1).is_some_and(|ids| !ids.is_empty()), "identifiers of 1 to 255 octets"),
        Kind::Segments => (strings(value, 0).is_some(), "path segments of at most 255 octets"),
        Kind::Flag => (value.is_empty(), "no value"),
        Kind::Port => (value.len() == 2, "a port number from 0 to 65535"),
        Kind::V4 => (multiple(4), "IPv4 addresses"),
        Kind::V6 => (multiple(16), "IPv6 addresses"),
        Kind::Base64 => (!value.is_empty(), "base64 data"),
        Kind::Path => (
            value.first() == Some(&b'/') && std::str::from_utf8(value).is_ok(),
            "a relative URI template such as /dns-query{?dns}",
        ),
        Kind::Numbers => (multiple(2), "numbers from 0 to 65535"),
        Kind::Opaque => (true, ""),
    };
    if good { Ok(()) } else { Err(problem(rtype, key, format!("expected {expected}"))) }
}

/// What servers publish and clients ignore, but what is a mistake in a declaration: parameters in alias mode (§2.4.2),
/// `mandatory` keys that are absent (§8), `no-default-alpn` without `alpn` (§7.1.1), a DoH path without `dns`.
///
/// # Errors
/// [`RdataError::Param`] or [`RdataError::Wire`].
pub(super) fn check_strict(rtype: RrType, priority: u16, wire: &[u8]) -> Result<(), RdataError> {
    check(rtype, wire)?;
    let pairs = pairs(wire).unwrap_or_default();
    let has = |key: u16| pairs.iter().any(|(present, _)| *present == key);
    for (key, value) in &pairs {
        if priority == 0 {
            return Err(problem(rtype, *key, "priority 0 makes an alias, which takes no parameters"));
        }
        if *key == MANDATORY {
            let missing = value.chunks_exact(2).map(|raw| u16::from_be_bytes([raw[0], raw[1]])).find(|key| !has(*key));
            if let Some(missing) = missing {
                return Err(problem(rtype, *key, format!("names {}, which is not there", key_name(missing))));
            }
        }
        if *key == NO_DEFAULT_ALPN && !has(ALPN) {
            return Err(problem(rtype, *key, "needs alpn beside it"));
        }
        if kind(*key) == Kind::Path {
            let text = String::from_utf8_lossy(value);
            let variable = text.split('{').skip(1).filter_map(|part| part.split('}').next());
            let mut names = variable.flat_map(|part| part.trim_start_matches(['?', '&', '/', '+', '#']).split(','));
            if !names.any(|name| name == "dns") {
                return Err(problem(rtype, *key, "expected the variable dns, as in /dns-query{?dns}"));
            }
        }
    }
    Ok(())
}

/// The strings of a value list on the wire; `None` when one is cut short or under `least` octets.
fn strings(value: &[u8], least: usize) -> Option<Vec<&[u8]>> {
    let mut list = Vec::new();
    let mut rest = value;
    while let [len, after @ ..] = rest {
        let len = usize::from(*len);
        list.push(after.get(..len).filter(|_| len >= least)?);
        rest = &after[len..];
    }
    Some(list)
}

/// Appends well-formed parameters in presentation form, each with a space before it.
pub(super) fn to_text(wire: &[u8], out: &mut String) {
    for (key, value) in pairs(wire).unwrap_or_default() {
        out.push(' ');
        // Knot 3.2 refuses a list entry that begins with an escape, or is one octet with another after it; as wire form
        // behind the key's number it takes them.
        let ids = if kind(key) == Kind::Strings { strings(value, 0).unwrap_or_default() } else { Vec::new() };
        let short = ids.split_last().is_some_and(|(_, others)| others.iter().any(|id| id.len() == 1));
        let awkward = short || ids.iter().any(|id| matches!(id.first(), Some(b',' | b'\\')));
        let format = if key < FIRST_UNNAMED && !awkward { kind(key) } else { Kind::Opaque };
        out.push_str(&if awkward { format!("key{key}") } else { key_name(key) });
        let list: Vec<String> = match format {
            Kind::Flag => continue,
            Kind::Keys => numbers(value).map(key_name).collect(),
            Kind::Port | Kind::Numbers => numbers(value).map(|number| number.to_string()).collect(),
            Kind::V4 => value
                .chunks_exact(4)
                .filter_map(|raw| <[u8; 4]>::try_from(raw).ok())
                .map(|raw| Ipv4Addr::from(raw).to_string())
                .collect(),
            Kind::V6 => value
                .chunks_exact(16)
                .filter_map(|raw| <[u8; 16]>::try_from(raw).ok())
                .map(|raw| Ipv6Addr::from(raw).to_string())
                .collect(),
            Kind::Base64 => vec![BASE64.encode(value)],
            Kind::Strings | Kind::Segments => {
                // First the escapes of the value list, then those of the character string that holds it (appendix A.1).
                let mut joined = Vec::new();
                for (index, id) in strings(value, 0).unwrap_or_default().iter().enumerate() {
                    if index > 0 {
                        joined.push(b',');
                    }
                    for octet in *id {
                        if matches!(octet, b',' | b'\\') {
                            joined.push(b'\\');
                        }
                        joined.push(*octet);
                    }
                }
                out.push('=');
                char_string(&joined, out);
                continue;
            }
            Kind::Path | Kind::Opaque => {
                if !value.is_empty() {
                    out.push('=');
                    char_string(value, out);
                }
                continue;
            }
        };
        out.push('=');
        out.push_str(&list.join(","));
    }
}

fn numbers(value: &[u8]) -> impl Iterator<Item = u16> + '_ {
    value.chunks_exact(2).map(|raw| u16::from_be_bytes([raw[0], raw[1]]))
}

/// Appends octets as a character string, in quotes only where they are needed.
fn char_string(octets: &[u8], out: &mut String) {
    let plain = octets.iter().all(|octet| octet.is_ascii_graphic() && !b"\"();".contains(octet));
    if !plain {
        out.push('"');
    }
    for octet in octets {
        escape(*octet, b"\"\\", out);
    }
    if !plain {
        out.push('"');
    }
}

/// Reads parameters in any order and appends their wire form in the order of their numbers.
///
/// # Errors
/// [`RdataError::Param`].
pub(super) fn from_tokens(rtype: RrType, tokens: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut params: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for token in tokens {
        let (name, text) = match token.raw.split_once('=') {
            Some((name, text)) => (name, Some(text)),
            None => (token.raw, None),
        };
        let bad = |problem: String| RdataError::Param { rtype, key: shorten(name), problem };
        let (key, by_number) = key_number(name).filter(|_| !token.quoted).ok_or_else(|| {
            let known: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
            bad(format!("unknown; expected one of {} or keyNNNNN, then = and the value", known.join(", ")))
        })?;
        let text = text.unwrap_or("");
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let octets = unescape(text).ok_or_else(|| bad(format!("bad escape in \"{}\"", shorten(text))))?;
        let value = if by_number { octets.into_owned() } else { encode(rtype, key, &octets)? };
        if value.len() > usize::from(u16::MAX) {
            return Err(RdataError::TooLong { rtype, len: value.len() });
        }
        check_value(rtype, key, &value)?;
        if params.insert(key, value).is_some() {
            return Err(bad("stands twice".to_owned()));
        }
    }
    for (key, value) in params {
        out.extend(key.to_be_bytes());
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(value);
    }
    Ok(())
}

/// The wire form of a value in the presentation form of its key; what it does not refuse is still to be checked.
fn encode(rtype: RrType, key: u16, octets: &[u8]) -> Result<Vec<u8>, RdataError> {
    let text = String::from_utf8_lossy(octets);
    let bad = |part: &str, expected: &str| problem(rtype, key, format!("\"{}\": expected {expected}", shorten(part)));
    let mut value = Vec::new();
    match kind(key) {
        Kind::Keys => {
            let mut keys = Vec::new();
            for part in text.split(',') {
                let (number, _) = key_number(part).ok_or_else(|| bad(part, "the name of a key"))?;
                keys.push(number);
            }
            keys.sort_unstable();
            value.extend(keys.iter().flat_map(|number| number.to_be_bytes()));
        }
        Kind::Strings | Kind::Segments => {
            if kind(key) == Kind::Segments && octets.is_empty() {
                return Ok(value);
            }
            for id in value_list(octets).ok_or_else(|| bad(&text, "a list with \\, or \\\\ for , or \\ in an entry"))? {
                let len = u8::try_from(id.len()).map_err(|_| bad(&text, "entries of at most 255 octets"))?;
                value.push(len);
                value.extend(id);
            }
        }
        Kind::Port | Kind::Numbers => {
            for part in text.split(',') {
                let number = Some(part).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
                let number = number.and_then(|part| part.parse::<u16>().ok());
                value.extend(number.ok_or_else(|| bad(part, "a number from 0 to 65535"))?.to_be_bytes());
            }
        }
        Kind::V4 => {
            for part in text.split(',') {
                value.extend(part.parse::<Ipv4Addr>().map_err(|_| bad(part, "an IPv4 address"))?.octets());
            }
        }
        Kind::V6 => {
            for part in text.split(',') {
                value.extend(part.parse::<Ipv6Addr>().map_err(|_| bad(part, "an IPv6 address"))?.octets());
            }
        }
        Kind::Base64 => value = BASE64.decode(octets).map_err(|_| bad(&text, "base64"))?,
        Kind::Flag | Kind::Path | Kind::Opaque => value.extend_from_slice(octets),
    }
    Ok(value)
}

/// Splits at commas; `\,` and `\\` stand for themselves (appendix A.1). `None` when a `\` stands before anything else.
fn value_list(octets: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = vec![Vec::new()];
    let mut rest = octets.iter();
    while let Some(octet) = rest.next() {
        match octet {
            b',' => list.push(Vec::new()),
            b'\\' => {
                let escaped = rest.next().filter(|octet| matches!(octet, b',' | b'\\'))?;
                list.last_mut()?.push(*escaped);
            }
            _ => list.last_mut()?.push(*octet),
        }
    }
    Some(list)
}
