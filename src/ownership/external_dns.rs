//! ExternalDNS's TXT registry: which TXT owns which record set (`registry/txt` and `registry/mapper` of ExternalDNS).

use super::{Affix, TxtKey, txt};
use crate::model::{Name, RrType};

/// The place-holder for the type in an affix.
const TEMPLATE: &str = "%{record_type}";

/// The types that the registry writes in its names.
const TYPES: &[RrType] = &[
    RrType::A,
    RrType::AAAA,
    RrType::CNAME,
    RrType::TXT,
    RrType::SRV,
    RrType::NS,
    RrType::PTR,
    RrType::MX,
    RrType::NAPTR,
    RrType::DNAME,
];

/// What an ownership TXT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// `external-dns/owner`; empty when it cannot be read, which makes it nobody's but still foreign.
    pub owner: String,
    /// `external-dns/resource`, empty when absent.
    pub resource: String,
}

impl Registration {
    /// As the registry would write it for this owner.
    pub fn with_owner(&self, owner: &str) -> String {
        match self.resource.as_str() {
            "" => format!("heritage=external-dns,external-dns/owner={owner}"),
            resource => format!("heritage=external-dns,external-dns/owner={owner},external-dns/resource={resource}"),
        }
    }
}

/// A record set, or the sets, that an ownership TXT stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// The owner name of the sets.
    pub name: Name,
    /// The type; `None` for a legacy TXT, which counts for every type but AAAA.
    pub rtype: Option<RrType>,
}

/// Reads the content of a TXT, with or without the literal quotes that ExternalDNS puts around it.
///
/// ExternalDNS writes one text, which is cut every 255 octets, and takes each character-string for a value of its own when
/// it reads, of which only the first counts (`registry/txt`, `provider/rfc2136`). So heritage and owner are those of the
/// first text; a resource that stands in a further one is taken too, since it is only shown to people.
pub fn parse(rdata: &[u8]) -> Option<Registration> {
    let texts = txt::texts(rdata)?;
    let (mut heritage, mut owner, mut resource) = (false, String::new(), String::new());
    for (index, text) in texts.iter().enumerate() {
        let text = String::from_utf8_lossy(text);
        for pair in text.trim_matches('"').split(',') {
            let Some((key, value)) = pair.split_once('=') else { continue };
            match key {
                "heritage" if index == 0 && value == "external-dns" => heritage = true,
                "heritage" if index == 0 => return None,
                "external-dns/owner" if index == 0 => value.clone_into(&mut owner),
                "external-dns/resource" if resource.is_empty() => value.clone_into(&mut resource),
                _ => {}
            }
        }
    }
    heritage.then_some(Registration { owner, resource })
}

/// As [`parse`], encrypted content included where the key is known.
pub fn read(key: Option<&TxtKey>, rdata: &[u8]) -> Option<Registration> {
    parse(rdata).or_else(|| parse(&key?.open(rdata)?))
}

/// Whether a TXT could be an encrypted registration (`--txt-encrypt-enabled`): base64 of a nonce, a tag and some text.
/// Only its name tells more; where a configured affix gives that name, it is taken for one.
pub fn may_be_encrypted(rdata: &[u8]) -> bool {
    let Some(text) = txt::join(rdata) else { return false };
    let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(&text);
    let plain = text.len() - text.iter().rev().take(2).filter(|b| **b == b'=').count();
    text.len() >= 60
        && text.len() % 4 == 0
        && text[..plain].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// The first label, before the type, of an ownership TXT that Knotwork's webhook keeps inside the zone because ExternalDNS
/// wants it outside.
const ALIAS: &str = "_edns-";

/// The same, with the type, before the first label of a DNAME's own name.
const DNAME_ALIAS: &str = "_edns-dname-";

/// Where the webhook keeps the ownership TXT of a set whose own place lies outside the zone; `None` where that name is too long.
/// Below the name that it speaks of, but for a DNAME, below which nothing can stand: beside it.
pub fn alias_of(owned: &Name, rtype: RrType) -> Option<Name> {
    if rtype == RrType::DNAME {
        return owned.parent()?.child(&[DNAME_ALIAS.as_bytes(), owned.first_label()?].concat()).ok();
    }
    owned.child(format!("{ALIAS}{}", rtype.to_string().to_ascii_lowercase()).as_bytes()).ok()
}

/// The set that a TXT kept by [`alias_of`] stands for.
pub fn aliased(txt_name: &Name) -> Option<Covered> {
    let (first, parent) = (txt_name.first_label()?, txt_name.parent()?);
    if let Some(label) = first.strip_prefix(DNAME_ALIAS.as_bytes()) {
        return Some(Covered { name: parent.child(label).ok()?, rtype: Some(RrType::DNAME) });
    }
    let word = std::str::from_utf8(first).ok()?.strip_prefix(ALIAS)?;
    Some(Covered { name: parent, rtype: Some(RrType::parse(word)?) })
}

/// What a TXT of this name stands for by the configured affixes, where it names a type.
pub fn covered_by_affix(affixes: &[Affix], txt_name: &Name) -> Option<Covered> {
    if let Some(covered) = aliased(txt_name) {
        return Some(covered);
    }
    let text = txt_name.to_relaxed();
    affixes.iter().find_map(|affix| {
        let (name, rtype) = strip(affix, &text)?;
        rtype?;
        Some(Covered { name: Name::parse(&name).ok()?, rtype })
    })
}

/// Whether the name of a TXT carries one of these affixes.
pub fn has_affix(affixes: &[Affix], txt_name: &Name) -> bool {
    let text = txt_name.to_relaxed();
    affixes.iter().any(|affix| strip(affix, &text).is_some())
}

/// What a TXT of this name stands for. The configured affixes are tried first; where none fits, the forms without one.
pub fn covered(affixes: &[Affix], txt_name: &Name) -> Vec<Covered> {
    if let Some(covered) = aliased(txt_name) {
        return vec![covered];
    }
    let text = txt_name.to_relaxed();
    let mut out: Vec<Covered> = Vec::new();
    for affix in affixes {
        let Some((name, rtype)) = strip(affix, &text) else { continue };
        push(&mut out, &name, rtype);
        // A replaced asterisk cannot be told from a name that is spelled like the replacement: it stands for both.
        if let Some(rest) = affix.wildcard.as_ref().and_then(|word| name.strip_prefix(word.as_str()))
            && (rest.is_empty() || rest.starts_with('.'))
        {
            push(&mut out, &format!("*{rest}"), rtype);
        }
    }
    if out.is_empty() {
        let (name, rtype) = typed(&text);
        push(&mut out, name, rtype);
    }
    out
}

/// The names at which ExternalDNS would keep the ownership TXT of this set, in all forms that the affixes give and those
/// without an affix. Names that lie outside `zone` or are too long are left out: no TXT can be there.
pub fn txt_names(affixes: &[Affix], zone: &Name, name: &Name, rtype: RrType) -> Vec<Name> {
    let text = name.to_relaxed();
    let bare = Affix::default();
    let mut out: Vec<Name> = alias_of(name, rtype).into_iter().collect();
    for affix in affixes.iter().chain([&bare]) {
        let text = match (&affix.wildcard, text.strip_prefix('*')) {
            (Some(word), Some(rest)) => format!("{word}{rest}"),
            _ => text.clone(),
        };
        let (first, rest) = text.split_once('.').map_or((text.as_str(), None), |(first, rest)| (first, Some(rest)));
        let word = TYPES.contains(&rtype).then(|| rtype.to_string().to_ascii_lowercase());
        let prefix = affix.prefix.as_deref().unwrap_or_default().to_ascii_lowercase();
        let suffix = affix.suffix.as_deref().unwrap_or_default().to_ascii_lowercase();
        let mut make = |prefix: &str, first: &str, suffix: &str| {
            let text = match rest {
                Some(rest) => format!("{prefix}{first}{suffix}.{rest}"),
                None => format!("{prefix}{first}{suffix}"),
            };
            match Name::parse(&text) {
                Ok(name) if name.is_at_or_below(zone) && !out.contains(&name) => out.push(name),
                _ => {}
            }
        };
        if let Some(word) = &word {
            if prefix.contains(TEMPLATE) || suffix.contains(TEMPLATE) {
                make(&prefix.replace(TEMPLATE, word), first, &suffix.replace(TEMPLATE, word));
            } else {
                make(&prefix, &format!("{word}-{first}"), &suffix);
            }
        }
        if rtype != RrType::AAAA {
            make(&prefix.replace(TEMPLATE, ""), first, &suffix.replace(TEMPLATE, ""));
        }
    }
    out
}

/// What a registration of this name would stand for under affixes that nobody configured, each with that affix. Only sets
/// that `exists` knows are meant: under some affix every name may stand for many.
pub fn guesses(txt_name: &Name, zone: &Name, exists: &dyn Fn(&Name, Option<RrType>) -> bool) -> Vec<(Affix, Covered)> {
    let text = txt_name.to_relaxed();
    let mut out: Vec<(Affix, Covered)> = Vec::new();
    let mut offer = |prefix: &str, suffix: &str, name: &str, rtype: Option<RrType>| {
        let Ok(name) = Name::parse(name) else { return };
        let covered = Covered { name, rtype };
        let new = !out.iter().any(|(_, known)| *known == covered);
        if new && covered.name != *txt_name && covered.name.is_at_or_below(zone) && exists(&covered.name, rtype) {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            out.push((Affix { prefix: some(prefix), suffix: some(suffix), wildcard: None }, covered));
        }
    };
    // A prefix ends where a word ends: `k8s.a-www`, `edns-a-www`, `k8s.a.www` and `edns-a.www` (templates), `k8s.www`.
    let ends = |at: &usize| matches!(text.as_bytes()[*at], b'.' | b'-' | b'_');
    for at in (0..text.len()).filter(ends).map(|at| at + 1) {
        let (prefix, rest) = text.split_at(at);
        if let (name, Some(rtype)) = typed(rest) {
            offer(prefix, "", name, Some(rtype));
        }
    }
    for rtype in TYPES {
        let word = rtype.to_string().to_ascii_lowercase();
        for (at, _) in text.match_indices(&word) {
            let (before, after) = (&text[..at], &text[at + word.len()..]);
            let begins = at == 0 || ends(&(at - 1));
            if let (true, Some(separator @ (b'.' | b'-' | b'_'))) = (begins, after.as_bytes().first()) {
                let prefix = format!("{before}{TEMPLATE}{}", char::from(*separator));
                offer(&prefix, "", &after[1..], Some(*rtype));
            }
        }
    }
    // A suffix begins where a word begins, within the first label or right behind it: `a-www-own`, `a-www.own`, `www-a`.
    let dot = text.find('.').unwrap_or(text.len());
    for at in (1..text.len()).filter(ends).take_while(|at| *at <= dot) {
        let end = match at == dot {
            false => dot,
            true => text[dot + 1..].find('.').map_or(text.len(), |next| dot + 1 + next),
        };
        let (head, suffix, rest) = (&text[..at], &text[at..end], &text[end..]);
        if let (name, Some(rtype)) = typed(head) {
            offer("", suffix, &format!("{name}{rest}"), Some(rtype));
        }
        let last = TYPES.iter().find(|rtype| rtype.to_string().eq_ignore_ascii_case(&suffix[1..]));
        if let Some(rtype) = last {
            let template = format!("{}{TEMPLATE}", &suffix[..1]);
            offer("", &template, &format!("{head}{rest}"), Some(*rtype));
        }
    }
    // Names without a type are the weakest sign: only where nothing better is found.
    if out.is_empty() && typed(&text).1.is_none() {
        let mut offer = |prefix: &str, name: &str| {
            let Ok(name) = Name::parse(name) else { return };
            let inside = name != *zone && name.is_at_or_below(zone);
            if inside && out.is_empty() && exists(&name, None) {
                let affix = Affix { prefix: Some(prefix.to_owned()), ..Affix::default() };
                out.push((affix, Covered { name, rtype: None }));
            }
        };
        for at in (0..text.len()).filter(ends).map(|at| at + 1) {
            let (prefix, rest) = text.split_at(at);
            offer(prefix, rest);
        }
    }
    out
}

fn push(out: &mut Vec<Covered>, name: &str, rtype: Option<RrType>) {
    if let Ok(name) = Name::parse(name) {
        let covered = Covered { name, rtype };
        if !out.contains(&covered) {
            out.push(covered);
        }
    }
}

/// Takes one affix off; `None` when the name does not carry it.
fn strip(affix: &Affix, text: &str) -> Option<(String, Option<RrType>)> {
    let prefix = affix.prefix.as_deref().unwrap_or_default().to_ascii_lowercase();
    let suffix = affix.suffix.as_deref().unwrap_or_default().to_ascii_lowercase();
    if !suffix.is_empty() {
        // A suffix belongs to the first label, and may itself hold dots.
        let labels = 1 + suffix.matches('.').count();
        let mut parts = text.splitn(labels + 1, '.');
        let head: Vec<&str> = parts.by_ref().take(labels).collect();
        let rest = parts.next();
        let (name, rtype) = strip_ends(&head.join("."), "", &suffix)?;
        return Some((rest.map_or_else(|| name.clone(), |rest| format!("{name}.{rest}")), rtype));
    }
    (!prefix.is_empty()).then(|| strip_ends(text, &prefix, ""))?
}

fn strip_ends(text: &str, prefix: &str, suffix: &str) -> Option<(String, Option<RrType>)> {
    let ends =
        |prefix: &str, suffix: &str| text.strip_prefix(prefix)?.strip_suffix(suffix).filter(|name| !name.is_empty());
    if prefix.contains(TEMPLATE) || suffix.contains(TEMPLATE) {
        for rtype in TYPES {
            let word = rtype.to_string().to_ascii_lowercase();
            if let Some(name) = ends(&prefix.replace(TEMPLATE, &word), &suffix.replace(TEMPLATE, &word)) {
                return Some((name.to_owned(), Some(*rtype)));
            }
        }
    }
    let name = ends(&prefix.replace(TEMPLATE, ""), &suffix.replace(TEMPLATE, ""))?;
    let (name, rtype) = typed(name);
    Some((name.to_owned(), rtype))
}

/// `a-www.example.com` is the A set of `www.example.com`; without a type it is a legacy name.
fn typed(text: &str) -> (&str, Option<RrType>) {
    if let Some((word, rest)) = text.split_once('-') {
        let found = TYPES.iter().find(|rtype| rtype.to_string().eq_ignore_ascii_case(word));
        if let (Some(rtype), false) = (found, rest.is_empty() || rest.starts_with('.')) {
            return (rest, Some(*rtype));
        }
    }
    (text, None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn affix(prefix: &str, suffix: &str, wildcard: &str) -> Affix {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Affix { prefix: some(prefix), suffix: some(suffix), wildcard: some(wildcard) }
    }

    #[test]
    fn content_with_and_without_quotes() {
        let plain = "heritage=external-dns,external-dns/owner=default,external-dns/resource=service/x/y";
        for text in [plain.to_owned(), format!("\"{plain}\"")] {
            let seen = parse(&txt::split(text.as_bytes())).unwrap();
            assert_eq!((seen.owner.as_str(), seen.resource.as_str()), ("default", "service/x/y"));
        }
        assert_eq!(parse(&txt::split(b"heritage=nix,managed-by=x")), None);
        assert_eq!(parse(&txt::split(b"external-dns/owner=default")), None);
        assert_eq!(parse(&txt::split(b"heritage=external-dns")).unwrap().owner, "");
    }

    #[test]
    fn texts_of_several_strings() {
        let strings = |strings: &[&str]| {
            strings.iter().fold(Vec::new(), |mut out: Vec<u8>, text| {
                out.push(text.len() as u8);
                out.extend(text.bytes());
                out
            })
        };
        // Cut at 255 octets, as ExternalDNS's library cuts it: one text.
        let long = format!("service/{}/{}", "n".repeat(200), "s".repeat(200));
        let text = format!("heritage=external-dns,external-dns/owner=default,external-dns/resource={long}");
        let cut = txt::split(text.as_bytes());
        assert_eq!(cut[0], 255);
        let seen = parse(&cut).unwrap();
        assert_eq!((seen.owner.as_str(), seen.resource.as_str()), ("default", long.as_str()));
        // Cut elsewhere: several texts, which do not run into each other.
        let resource = "external-dns/resource=service/x/y";
        for parts in [
            ["heritage=external-dns,external-dns/owner=default", resource],
            ["heritage=external-dns,external-dns/owner=default,", resource],
            ["\"heritage=external-dns,external-dns/owner=default\"", "\"external-dns/resource=service/x/y\""],
        ] {
            let seen = parse(&strings(&parts)).unwrap();
            assert_eq!((seen.owner.as_str(), seen.resource.as_str()), ("default", "service/x/y"), "{parts:?}");
        }
        let seen =
            parse(&strings(&[&format!("heritage=external-dns,external-dns/owner=a,{resource}"), "more"])).unwrap();
        assert_eq!(seen.resource, "service/x/y", "what follows is no part of it");
        let seen = parse(&strings(&["heritage=external-dns,external-dns/owner=a", "external-dns/owner=b"])).unwrap();
        assert_eq!(seen.owner, "a", "ExternalDNS reads the first string only");
        assert_eq!(parse(&strings(&["v=spf1 -all", "heritage=external-dns"])), None);
    }

    /// The table of `reference/externaldns.md` §2.2, both ways.
    #[test]
    fn every_form_of_the_table() {
        let a = Some(RrType::A);
        let rows: &[(Option<Affix>, &str, &str, Option<RrType>)] = &[
            (None, "a-www.ex.com", "www.ex.com", a),
            (None, "a-*.ex.com", "*.ex.com", a),
            (None, "cname-a-b.ex.com", "a-b.ex.com", Some(RrType::CNAME)),
            (None, "www.ex.com", "www.ex.com", None),
            (None, "a-.ex.com", "a-.ex.com", None),
            (Some(affix("edns-", "", "")), "edns-a-www.ex.com", "www.ex.com", a),
            (Some(affix("edns-", "", "")), "edns-www.ex.com", "www.ex.com", None),
            (Some(affix("k8s.", "", "")), "k8s.a-www.ex.com", "www.ex.com", a),
            (Some(affix("edns-%{record_type}.", "", "")), "edns-a.www.ex.com", "www.ex.com", a),
            (Some(affix("edns-%{record_type}.", "", "")), "edns-a.ex.com", "ex.com", a),
            (Some(affix("edns-%{record_type}.", "", "")), "edns-a.*.ex.com", "*.ex.com", a),
            (Some(affix("edns-%{record_type}.", "", "")), "edns-aaaa.www.ex.com", "www.ex.com", Some(RrType::AAAA)),
            (Some(affix("", "-%{record_type}", "")), "www-a.ex.com", "www.ex.com", a),
            (Some(affix("", "-%{record_type}", "")), "*-a.ex.com", "*.ex.com", a),
            (Some(affix("", "-own", "")), "a-www-own.ex.com", "www.ex.com", a),
            (Some(affix("", ".own", "")), "a-www.own.ex.com", "www.ex.com", a),
            (Some(affix("EDNS-", "", "")), "edns-a-www.ex.com", "www.ex.com", a),
        ];
        for (given, txt_name, name, rtype) in rows {
            let affixes: Vec<Affix> = given.iter().cloned().collect();
            let seen = covered(&affixes, &n(txt_name));
            assert_eq!(seen, [Covered { name: n(name), rtype: *rtype }], "{given:?} {txt_name}");
            let back = txt_names(&affixes, &n("ex.com"), &n(name), rtype.unwrap_or(RrType::MX));
            assert!(back.contains(&n(txt_name)), "{given:?} {txt_name} not in {back:?}");
        }
    }

    #[test]
    fn an_encrypted_registration_is_known_by_its_name() {
        let cipher = txt::split(format!("\"{}==\"", "Ab+/".repeat(20) + "xy").as_bytes());
        assert!(may_be_encrypted(&cipher));
        assert!(!may_be_encrypted(&txt::split(
            b"v=spf1 include:example.com -all and some more words to be long enough"
        )));
        let affixes = [affix("k8s.", "", "")];
        assert_eq!(
            covered_by_affix(&affixes, &n("k8s.a-www.ex.com")),
            Some(Covered { name: n("www.ex.com"), rtype: Some(RrType::A) })
        );
        assert_eq!(covered_by_affix(&affixes, &n("k8s.www.ex.com")), None);
        assert_eq!(covered_by_affix(&affixes, &n("a-www.ex.com")), None);
    }

    #[test]
    fn a_replaced_wildcard_stands_for_both() {
        let affixes = [affix("", "", "any"), affix("x-", "", "any")];
        let seen = covered(&affixes, &n("x-a-any.ex.com"));
        assert!(seen.contains(&Covered { name: n("*.ex.com"), rtype: Some(RrType::A) }), "{seen:?}");
        assert!(seen.contains(&Covered { name: n("any.ex.com"), rtype: Some(RrType::A) }));
        assert!(txt_names(&affixes, &n("ex.com"), &n("*.ex.com"), RrType::A).contains(&n("x-a-any.ex.com")));
    }

    #[test]
    fn an_affix_that_is_not_configured_is_guessed_from_what_is_there() {
        let there = |name: &Name, rtype: Option<RrType>| {
            name.to_relaxed() == "www.ex.com" && rtype.is_none_or(|rtype| rtype == RrType::A)
        };
        for (txt_name, prefix, suffix, typed) in [
            ("k8s.a-www.ex.com", "k8s.", "", true),
            ("edns-a-www.ex.com", "edns-", "", true),
            ("my.k8s.a-www.ex.com", "my.k8s.", "", true),
            ("k8s.a.www.ex.com", "k8s.%{record_type}.", "", true),
            ("edns-a.www.ex.com", "edns-%{record_type}.", "", true),
            ("a-www-own.ex.com", "", "-own", true),
            ("a-www.own.ex.com", "", ".own", true),
            ("www-a.ex.com", "", "-%{record_type}", true),
            ("k8s.www.ex.com", "k8s.", "", false),
        ] {
            let seen = guesses(&n(txt_name), &n("ex.com"), &there);
            let covered = Covered { name: n("www.ex.com"), rtype: typed.then_some(RrType::A) };
            assert_eq!(
                seen,
                [(affix(prefix, suffix, ""), covered)].map(|(mut affix, covered)| {
                    affix.wildcard = None;
                    (affix, covered)
                }),
                "{txt_name}"
            );
            let (affix, covered) = seen[0].clone();
            assert!(super::covered(&[affix], &n(txt_name)).contains(&covered), "the guess protects: {txt_name}");
        }
        for other in ["a-gone.ex.com", "k8s.aaaa-www.ex.com", "www.ex.com", "x.ex.com"] {
            assert!(guesses(&n(other), &n("ex.com"), &there).iter().all(|(_, seen)| seen.rtype.is_none()), "{other}");
        }
        assert!(guesses(&n("x.ex.com"), &n("ex.com"), &|_, _| true).is_empty(), "the apex is meant by type only");
    }

    #[test]
    fn names_outside_the_zone_or_too_long_are_left_out() {
        assert_eq!(txt_names(&[], &n("ex.com"), &n("ex.com"), RrType::A), [n("_edns-a.ex.com"), n("ex.com")]);
        let long = format!("{}.ex.com", "x".repeat(63));
        let alias = n(&format!("_edns-a.{long}"));
        assert_eq!(txt_names(&[], &n("ex.com"), &n(&long), RrType::A), [alias, n(&long)]);
        assert!(!txt_names(&[], &n("ex.com"), &n("w.ex.com"), RrType::AAAA).contains(&n("w.ex.com")));
    }
}
