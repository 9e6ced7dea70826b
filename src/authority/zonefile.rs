//! The zone text that an authority starts from (RFC 1035 §5), with line numbers in every complaint.

use std::sync::Arc;

use super::zone::{Nodes, Zone, find};
use crate::model::{Name, NameError, RrSet, RrType, rdata, rdata::RdataError};

/// What is wrong with a zone's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("zone {}, line {line}: {problem}", zone.to_relaxed())]
pub struct ZoneFileError {
    /// The zone.
    pub zone: Name,
    /// The line where the entry starts, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: ZoneFileProblem,
}

/// What can be wrong with an entry of a zone's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneFileProblem {
    /// Not a record, and no directive that is understood.
    #[error("{0}")]
    Syntax(String),
    /// The owner or the origin is no name.
    #[error("\"{0}\" is not a name: {1}")]
    Name(String, NameError),
    /// The value does not fit its type.
    #[error("{0}")]
    Value(#[from] RdataError),
    /// The owner is not in the zone.
    #[error("{0} is not in the zone")]
    OutOfZone(Name),
    /// No or several SOA records, a CNAME beside other records, two TTLs in one set.
    #[error("{0}")]
    Rule(String),
}

impl ZoneFileError {
    /// The stable word for it.
    pub fn reason(&self) -> &'static str {
        match &self.problem {
            ZoneFileProblem::Value(error) => error.reason(),
            ZoneFileProblem::OutOfZone(_) => "NotInZone",
            _ => "ZoneTextInvalid",
        }
    }
}

/// One entry, which parentheses may spread over lines: its line number, whether it starts with a blank, its text on one
/// line without comments.
struct Entry {
    line: usize,
    blank: bool,
    text: String,
}

/// Joins and cleans lines.
fn entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let mut entries = Vec::new();
    let mut entry = Entry { line: 1, blank: false, text: String::new() };
    let (mut depth, mut quoted, mut line, mut fresh) = (0usize, false, 1, true);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if std::mem::take(&mut fresh) {
            entry = Entry { line, blank: c == ' ' || c == '\t', text: String::new() };
        }
        match c {
            '\n' if quoted => return Err((line, "the quoted string does not end on its line".into())),
            '\n' => {
                line += 1;
                if depth == 0 {
                    fresh = true;
                    entries.push(std::mem::replace(&mut entry, Entry { line, blank: false, text: String::new() }));
                } else {
                    entry.text.push(' ');
                }
            }
            '\\' => {
                entry.text.push(c);
                if let Some(next) = chars.next_if(|next| *next != '\n') {
                    entry.text.push(next);
                }
            }
            '"' => {
                quoted = !quoted;
                entry.text.push(c);
            }
            _ if quoted => entry.text.push(c),
            ';' => while chars.next_if(|next| *next != '\n').is_some() {},
            '(' => {
                depth += 1;
                entry.text.push(' ');
            }
            ')' => {
                depth = depth.checked_sub(1).ok_or((line, "\")\" without \"(\"".to_owned()))?;
                entry.text.push(' ');
            }
            '\r' | '\t' => entry.text.push(' '),
            c => entry.text.push(c),
        }
    }
    if depth > 0 || quoted {
        return Err((entry.line, "the entry does not end: a \")\" or a quote is missing".into()));
    }
    entries.push(entry);
    entries.retain(|entry| !entry.text.trim().is_empty());
    Ok(entries)
}

/// Splits off the first word; blanks in escapes and quotes belong to it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (mut escaped, mut quoted) = (false, false);
    let end = text.char_indices().find(|(_, c)| {
        let skip = escaped;
        escaped = !escaped && *c == '\\';
        quoted ^= *c == '"' && !skip;
        *c == ' ' && !skip && !quoted
    });
    let (word, rest) = text.split_at(end.map_or(text.len(), |(at, _)| at));
    (word, rest.trim_start())
}

/// A TTL: seconds, or units as in `1h30m`.
fn ttl(text: &str) -> Option<u32> {
    let mut total = 0u64;
    let mut number: Option<u64> = None;
    for c in text.bytes() {
        let factor = match c.to_ascii_lowercase() {
            b'0'..=b'9' => {
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(c - b'0'))?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(factor)?)?;
    }
    match (number, total) {
        (Some(number), 0) => u32::try_from(number).ok(),
        (None, _) if !text.is_empty() => u32::try_from(total).ok(),
        _ => None,
    }
}

fn name(text: &str, origin: &Name) -> Result<Name, ZoneFileProblem> {
    if text == "@" {
        return Ok(origin.clone());
    }
    let parsed = Name::parse(text).and_then(|name| if Name::is_absolute(text) { Ok(name) } else { name.under(origin) });
    parsed.map_err(|error| ZoneFileProblem::Name(text.to_owned(), error))
}

/// What carries over from one entry to the next.
struct Reader {
    apex: Name,
    origin: Name,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    owner: Option<Name>,
    nodes: Nodes,
}

impl Reader {
    fn entry(&mut self, entry: &Entry) -> Result<(), ZoneFileProblem> {
        let syntax = |problem: String| Err(ZoneFileProblem::Syntax(problem));
        let text = entry.text.trim_end();
        if !entry.blank && text.starts_with('$') {
            let (directive, rest) = word(text);
            let (value, extra) = word(rest);
            return match directive.to_ascii_uppercase().as_str() {
                _ if !extra.is_empty() => syntax(format!("unexpected \"{extra}\" after {directive}")),
                "$ORIGIN" => {
                    self.origin = name(value, &self.origin)?;
                    Ok(())
                }
                "$TTL" => match ttl(value) {
                    Some(seconds) => {
                        self.default_ttl = Some(seconds);
                        Ok(())
                    }
                    None => syntax(format!("\"{value}\" is not a TTL")),
                },
                _ => syntax(format!("the directive {directive} is not supported; $ORIGIN and $TTL are")),
            };
        }
        let mut rest = text;
        if !entry.blank {
            let (owner, after) = word(rest);
            self.owner = Some(name(owner, &self.origin)?);
            rest = after;
        }
        let Some(owner) = self.owner.clone() else {
            return syntax("a record without an owner, and none before it to take it from".into());
        };
        // TTL and class may stand in either order before the type (RFC 1035 §5.1).
        let mut own_ttl = None;
        let rtype = loop {
            let (next, after) = word(rest);
            rest = after;
            if next.eq_ignore_ascii_case("IN") {
                continue;
            }
            if let (None, Some(seconds)) = (own_ttl, ttl(next)) {
                own_ttl = Some(seconds);
                continue;
            }
            match RrType::parse(next) {
                Some(rtype) if rtype.is_meta() => return syntax(format!("{rtype} is not a type that a zone can hold")),
                Some(rtype) => break rtype,
                None if next.is_empty() => return syntax("the type is missing".into()),
                None => return syntax(format!("\"{next}\" is not a record type")),
            }
        };
        if let Some(seconds) = own_ttl {
            self.last_ttl = Some(seconds);
        }
        let Some(seconds) = own_ttl.or(self.default_ttl).or(self.last_ttl) else {
            return syntax("no TTL: give one, or a $TTL before".into());
        };
        if !owner.is_at_or_below(&self.apex) {
            return Err(ZoneFileProblem::OutOfZone(owner));
        }
        let value = rdata::from_text(rtype, rest, Some(&self.origin))?;
        self.add(owner, rtype, seconds, value)
    }

    fn add(&mut self, owner: Name, rtype: RrType, ttl: u32, value: Box<[u8]>) -> Result<(), ZoneFileProblem> {
        let rule = |problem: String| Err(ZoneFileProblem::Rule(problem));
        if rtype == RrType::SOA && owner != self.apex {
            return rule("a SOA record below the apex".into());
        }
        let sets = Arc::make_mut(self.nodes.entry(owner.clone()).or_default());
        let clash = match rtype {
            RrType::CNAME => !sets.is_empty(),
            _ => sets.contains_key(&RrType::CNAME),
        };
        if clash {
            return rule(format!("{owner} has a CNAME and another record; a CNAME stands alone"));
        }
        let set = sets.entry(rtype).or_insert_with(|| RrSet::new(rtype, ttl, []));
        if set.ttl != ttl {
            return rule(format!("the records of {owner} {rtype} have different TTLs, {} and {ttl}", set.ttl));
        }
        match find(set, rtype, &value) {
            Ok(_) => return Ok(()),
            Err(at) => set.values.insert(at, value),
        }
        if rtype == RrType::SOA && set.len() > 1 {
            return rule("a second SOA record".into());
        }
        Ok(())
    }
}

/// Reads a zone from the text of a zone file: `$ORIGIN`, `$TTL`, `@`, owners left out, parentheses, comments.
///
/// # Errors
/// [`ZoneFileError`] for the first entry that is wrong.
pub(super) fn parse(apex: &Name, text: &str) -> Result<Zone, ZoneFileError> {
    let error = |line, problem| ZoneFileError { zone: apex.clone(), line, problem };
    let entries = entries(text).map_err(|(line, problem)| error(line, ZoneFileProblem::Syntax(problem)))?;
    let mut reader = Reader {
        apex: apex.clone(),
        origin: apex.clone(),
        default_ttl: None,
        last_ttl: None,
        owner: None,
        nodes: Nodes::new(),
    };
    for entry in &entries {
        reader.entry(entry).map_err(|problem| error(entry.line, problem))?;
    }
    Zone::new(apex.clone(), reader.nodes)
        .ok_or_else(|| error(text.lines().count().max(1), ZoneFileProblem::Rule("the zone has no SOA record".into())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::zone::records_of;
    use super::*;
    use proptest::prelude::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn lines(zone: &Zone) -> Vec<String> {
        let records = zone.nodes().iter().flat_map(|(name, sets)| records_of(name, sets));
        let mut all: Vec<_> = records
            .filter(|record| record.rtype != RrType::SOA)
            .map(|r| format!("{} {} {} {}", r.name, r.ttl, r.rtype, rdata::to_text(r.rtype, &r.rdata)))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn what_zone_files_hold() {
        let text = r#"
$ORIGIN internal.   ; the zone
$TTL 1h
@   IN SOA ns0 hostmaster (
        7      ; serial
        3600 600 86400 60 )
    IN NS  ns0
ns0 300 IN A 10.0.0.2
    IN 60 AAAA fd00::2
$ORIGIN apps.internal.
www CNAME @
*   TXT "a; b" ( "c (d)"
    "e\"f" )
odd\ name A 10.0.0.3
x.internal. TYPE65400 \# 2 0102
"#;
        let zone = parse(&n("internal"), text).unwrap();
        assert_eq!(zone.serial(), 7);
        let expected = [
            "*.apps.internal. 3600 TXT \"a; b\" \"c (d)\" \"e\\\"f\"",
            "internal. 3600 NS ns0.internal.",
            "ns0.internal. 300 A 10.0.0.2",
            "ns0.internal. 60 AAAA fd00::2",
            "odd\\032name.apps.internal. 3600 A 10.0.0.3",
            "www.apps.internal. 3600 CNAME apps.internal.",
            "x.internal. 3600 TYPE65400 \\# 2 0102",
        ];
        assert_eq!(lines(&zone), expected);
    }

    #[test]
    fn mistakes_have_their_line() {
        let soa = "@ 60 SOA ns0 host 1 1 1 1 1\n";
        for (text, line, words) in [
            ("a 60 A 10.0.0", 2, "A"),
            ("\n\na 60 BOGUS 10.0.0.1", 4, "\"BOGUS\" is not a record type"),
            ("a 60", 2, "the type is missing"),
            ("a.other. 60 A 10.0.0.1", 2, "not in the zone"),
            ("a 60 A 10.0.0.1\na 60 CNAME b", 3, "CNAME"),
            ("a 60 CNAME b\na 60 TXT x", 3, "CNAME"),
            ("a 60 CNAME b\na 60 CNAME c", 3, "CNAME"),
            ("a 60 A 10.0.0.1\n  30 A 10.0.0.2", 3, "different TTLs"),
            ("@ 60 SOA ns1 host 1 1 1 1 1", 2, "second SOA"),
            ("a 60 SOA ns1 host 1 1 1 1 1", 2, "below the apex"),
            ("a 60 TXT (\n x", 2, "does not end"),
            ("a 60 TXT \"x\n", 2, "quoted string"),
            ("$INCLUDE file", 2, "not supported"),
            ("$TTL soon", 2, "not a TTL"),
            ("a..b 60 A 10.0.0.1", 2, "not a name"),
            ("a 60 ANY x", 2, "not a type that a zone can hold"),
        ] {
            let error = parse(&n("internal"), &format!("{soa}{text}")).map(drop).unwrap_err();
            assert!(error.line == line && error.to_string().contains(words), "{text:?}: {error}");
        }
        let empty = parse(&n("internal"), "").map(drop).unwrap_err();
        assert!(empty.to_string().contains("no SOA") && empty.reason() == "ZoneTextInvalid");
        assert!(parse(&n("internal"), "a A 10.0.0.1").map(drop).unwrap_err().to_string().contains("line 1: no TTL"));
        assert!(parse(&n("internal"), " 60 A 10.0.0.1").map(drop).unwrap_err().to_string().contains("owner"));
    }

    #[test]
    fn ttls() {
        assert_eq!((ttl("0"), ttl("3600"), ttl("1h30m"), ttl("1W")), (Some(0), Some(3600), Some(5400), Some(604_800)));
        assert_eq!((ttl(""), ttl("h"), ttl("1h3"), ttl("A"), ttl("99999999999")), (None, None, None, None, None));
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "([ \t\n()\";\\\\$@a-zA-Z0-9.é]{0,12}|\\$TTL 5\n|@ SOA a b 1 1 1 1 1\n| A 10.0.0.1){0,12}") {
            let _ = parse(&n("internal"), &text);
        }
    }
}
