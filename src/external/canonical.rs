//! One text form for names and values, so that what is wished and what is there compare equal as strings (reference
//! `externaldns.md` §1.6): ExternalDNS compares texts, and any other spelling would be an update in every loop.

use super::endpoint::Endpoint;
use super::refused::Refused;
use crate::model::{Name, Rdata, RrType, rdata};
use crate::ownership::{external_dns, txt};
use crate::spec::{Zones, endpoint_values};

/// An endpoint that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Owner name.
    pub name: Name,
    /// Type.
    pub rtype: RrType,
    /// Seconds; `None` is no wish.
    pub ttl: Option<u32>,
    /// Values. Of an ownership TXT precisely one.
    pub values: Vec<Rdata>,
    /// Whether it is an ownership TXT of the registry and no data.
    pub is_mark: bool,
}

/// The longest TTL (RFC 2181 §8).
const LONGEST_TTL: i64 = 0x7fff_ffff;

/// The name of an endpoint: absolute, in lower case, as A-labels.
///
/// # Errors
/// [`Refused`] with the reason `InvalidName`.
pub fn name(endpoint: &Endpoint) -> Result<Name, Refused> {
    let text = endpoint.dns_name.trim();
    let odd = text.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
    match Name::parse(text) {
        Ok(name) if !odd && !text.is_empty() => Ok(name),
        Ok(_) => {
            Err(Refused::of(endpoint, "InvalidName", "the name is empty, or has a blank or a control character in it"))
        }
        Err(error) => Err(Refused::of(endpoint, "InvalidName", error.to_string())),
    }
}

/// The type of an endpoint.
///
/// # Errors
/// [`Refused`] with the reason `InvalidType`.
pub fn record_type(endpoint: &Endpoint) -> Result<RrType, Refused> {
    let word = &endpoint.record_type;
    RrType::parse(word).ok_or_else(|| Refused::of(endpoint, "InvalidType", format!("\"{word}\" is no record type")))
}

/// Understands an endpoint.
///
/// # Errors
/// [`Refused`]: `InvalidName`, `InvalidType`, `InvalidTTL`, `InvalidTarget`.
pub fn read(endpoint: &Endpoint, zones: &Zones) -> Result<Read, Refused> {
    let name = name(endpoint)?;
    let refuse = |reason, message: String| Err(Refused::of(endpoint, reason, message));
    let rtype = record_type(endpoint)?;
    let ttl = match endpoint.record_ttl {
        0 => None,
        ttl @ 1..=LONGEST_TTL => u32::try_from(ttl).ok(),
        ttl => return refuse("InvalidTTL", format!("a TTL of {ttl} s is not from 1 to {LONGEST_TTL}")),
    };
    if is_mark(endpoint) {
        let text = unquoted(&endpoint.targets[0]);
        return Ok(Read { name, rtype, ttl, values: vec![txt::split(text.as_bytes())], is_mark: true });
    }
    match endpoint_values(zones, rtype, &endpoint.targets) {
        Ok(values) => Ok(Read { name, rtype, ttl, values, is_mark: false }),
        Err(problems) => {
            let words: Vec<String> =
                problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
            refuse("InvalidTarget", words.join("; "))
        }
    }
}

/// Whether an endpoint is an ownership TXT: the registry says so by a label since its version 0.10, and else the text does.
pub fn is_mark(endpoint: &Endpoint) -> bool {
    let [text] = &endpoint.targets[..] else { return false };
    endpoint.record_type == "TXT"
        && (!endpoint.label("ownedRecord").is_empty()
            || external_dns::parse(&txt::split(unquoted(text).as_bytes())).is_some())
}

/// Without the literal quotes that the registry puts around a text; they are those of a zone file and no part of it.
pub fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// A value as ExternalDNS has it: names without a final dot but in SRV and NAPTR; a TXT as its bare text, where that can be
/// told from a quoted one.
pub fn target(rtype: RrType, value: &[u8]) -> String {
    let text = || rdata::to_text(rtype, value);
    match rtype {
        RrType::CNAME | RrType::DNAME | RrType::NS | RrType::PTR | RrType::MX => without_dot(text()),
        RrType::TXT => txt::join(value)
            .and_then(|text| String::from_utf8(text).ok())
            .filter(|text| !text.is_empty() && !text.starts_with('"') && !text.chars().any(char::is_control))
            .unwrap_or_else(text),
        _ => text(),
    }
}

/// An ownership TXT's text as the registry writes it.
pub fn mark_target(value: &[u8]) -> String {
    match txt::join(value).map(String::from_utf8) {
        Some(Ok(text)) => format!("\"{}\"", unquoted(&text)),
        _ => rdata::to_text(RrType::TXT, value),
    }
}

/// The root, which an MX may name (RFC 7505), keeps its dot, and so does a name of one label: without it nobody knows whether
/// it is meant to be whole.
fn without_dot(mut text: String) -> String {
    let name = text.rsplit(' ').next().unwrap_or_default();
    if name.strip_suffix('.').is_some_and(|name| name.contains('.')) {
        text.pop();
    }
    text
}

/// All values of a set, each once, in one order.
pub fn targets(rtype: RrType, values: &[Rdata]) -> Vec<String> {
    let mut targets: Vec<String> = values.iter().map(|value| target(rtype, value)).collect();
    targets.sort();
    targets.dedup();
    targets
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::spec::ZoneEntry;

    fn zones() -> Zones {
        Zones::new([ZoneEntry { name: Name::parse("ex.com").unwrap(), default_ttl: 300 }], "_knotwork")
    }

    fn endpoint(rtype: &str, targets: &[&str]) -> Endpoint {
        Endpoint {
            dns_name: "Www.Ex.COM.".into(),
            record_type: rtype.into(),
            targets: targets.iter().map(ToString::to_string).collect(),
            ..Endpoint::default()
        }
    }

    /// What is written in one of these forms is shown in the last, and that one stands for itself.
    #[test]
    fn every_spelling_comes_to_one_and_that_one_stays() {
        for (rtype, spellings) in [
            ("A", &["192.0.2.1"][..]),
            ("AAAA", &["2001:DB8:0::1", "2001:db8::1"]),
            ("CNAME", &["LB.Example.net.", "lb.example.net"]),
            ("NS", &["ns.example.net.", "ns.example.net"]),
            ("PTR", &["Host.example.net.", "host.example.net"]),
            ("DNAME", &["new.example.net.", "new.example.net"]),
            ("MX", &["10 Mail.example.net.", "10 mail.example.net"]),
            ("MX", &["0 ."]),
            ("SRV", &["0 50 5060 Sip.example.net", "0 50 5060 sip.example.net."]),
            ("TXT", &["\"v=spf1 -all\"", "\"v=spf1 \" \"-all\"", "v=spf1 -all"]),
            ("TXT", &["\"\\\"quoted\\\"\""]),
            ("TXT", &["\"\""]),
            ("TXT", &["back\\slash"]),
            ("TXT", &["\"\\200\""]),
            ("NAPTR", &["100 50 u sip+E2U \"\" x.example.net.", "100 50 \"u\" \"sip+E2U\" \"\" x.example.net."]),
            ("CAA", &["0 issue letsencrypt.org", "0 issue \"letsencrypt.org\""]),
            ("TYPE65400", &["\\# 3 010203"]),
        ] {
            let last = *spellings.last().unwrap();
            for spelling in spellings {
                let read = read(&endpoint(rtype, &[spelling]), &zones()).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(read.name.to_relaxed(), "www.ex.com");
                assert_eq!(targets(read.rtype, &read.values), [last], "{rtype} {spelling}");
            }
        }
        let long = "x".repeat(700);
        assert_eq!(targets(RrType::TXT, &read(&endpoint("TXT", &[&long]), &zones()).unwrap().values), [long]);
    }

    #[test]
    fn marks_are_told_from_data() {
        let text = "\"heritage=external-dns,external-dns/owner=t1,external-dns/resource=service/default/www\"";
        let mark = endpoint("TXT", &[text]);
        let read_mark = read(&mark, &zones()).unwrap();
        assert!(read_mark.is_mark);
        assert_eq!(txt::join(&read_mark.values[0]).unwrap(), unquoted(text).as_bytes());
        assert_eq!(mark_target(&read_mark.values[0]), text);
        let mut cipher = endpoint("TXT", &["\"AbCd==\""]);
        assert!(!is_mark(&cipher));
        cipher.labels.insert("ownedRecord".into(), "www.ex.com".into());
        assert!(is_mark(&cipher));
        assert!(!is_mark(&endpoint("TXT", &["v=spf1 -all"])));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (rtype, targets, reason) in [
            ("A", &["10.0.0.300"][..], "InvalidTarget"),
            ("A", &[], "InvalidTarget"),
            ("MX", &["mail.example.net"], "InvalidTarget"),
            ("SOA", &["a. b. 1 2 3 4 5"], "InvalidTarget"),
            ("NONSENSE", &["x"], "InvalidType"),
        ] {
            assert_eq!(read(&endpoint(rtype, targets), &zones()).unwrap_err().reason, reason, "{rtype} {targets:?}");
        }
        let mut long = endpoint("A", &["10.0.0.1"]);
        long.dns_name = format!("{}.ex.com", "x".repeat(64));
        assert_eq!(read(&long, &zones()).unwrap_err().reason, "InvalidName");
        let mut ttl = endpoint("A", &["10.0.0.1"]);
        ttl.record_ttl = -1;
        assert_eq!(read(&ttl, &zones()).unwrap_err().reason, "InvalidTTL");
    }
}
