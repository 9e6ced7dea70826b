//! A quick reader for the plainest form of a record, which is most of them: the YAML reader takes ten times as long.
//!
//! It knows one block-style layout with plain or simply quoted scalars whose meaning nobody disputes, and says `None` to
//! everything else, errors included: then the YAML reader decides. Whatever it does read, the YAML reader reads alike; a
//! property test holds it to that.

use crate::spec::{Adopt, Deletion, Flag, Int, StaticDnsRecord, Text};

/// Reads a document; `None` is "ask the YAML reader".
pub(super) fn read(text: &str) -> Option<StaticDnsRecord> {
    if !text.bytes().all(|b| (b' '..=b'~').contains(&b) || b == b'\n') {
        return None;
    }
    let mut lines = Lines::new(text.strip_prefix("---\n").unwrap_or(text));
    let mut record = StaticDnsRecord::default();
    let mut seen = 0u8;
    while let Some(line) = lines.next() {
        let (key, value) = line.entry().filter(|_| line.indent == 0)?;
        let bit = match key {
            "apiVersion" => 1,
            "kind" => 2,
            "metadata" => 4,
            "spec" => 8,
            _ => return None,
        };
        once(&mut seen, bit)?;
        match bit {
            1 => record.api_version = string(value)?,
            2 => record.kind = string(value)?,
            4 => metadata(value, &mut lines, &mut record)?,
            _ => spec(value, &mut lines, &mut record)?,
        }
    }
    (seen == 15).then_some(record)
}

fn metadata(value: &str, lines: &mut Lines<'_>, record: &mut StaticDnsRecord) -> Option<()> {
    let mut seen = 0u8;
    block(value, lines, |key, value, _| {
        match key {
            "name" => {
                once(&mut seen, 1)?;
                record.metadata.name = string(value)?;
            }
            "namespace" => {
                once(&mut seen, 2)?;
                record.metadata.namespace = Some(string(value)?);
            }
            _ => return None,
        }
        Some(())
    })?;
    (seen & 1 != 0).then_some(())
}

fn spec(value: &str, lines: &mut Lines<'_>, record: &mut StaticDnsRecord) -> Option<()> {
    let spec = &mut record.spec;
    let mut seen = 0u16;
    block(value, lines, |key, value, lines| {
        // Bits in the order of the fields: a key that stands twice is for the YAML reader to refuse.
        let keys = [
            "name",
            "zone",
            "ttl",
            "cname",
            "reverse",
            "share",
            "adopt",
            "deletionPolicy",
            "a",
            "aaaa",
            "ns",
            "ptr",
            "txt",
        ];
        let index = keys.iter().position(|own| *own == key)?;
        if seen & 1 << index != 0 {
            return None;
        }
        seen |= 1 << index;
        match key {
            "name" => spec.name = string(value)?,
            "zone" => spec.zone = Some(string(value)?),
            "ttl" => spec.ttl = Some(Int(integer(value)?)),
            "cname" => spec.cname = Some(string(value)?),
            "reverse" => spec.reverse = Some(flag(value)?),
            "share" => spec.share = Some(flag(value)?),
            "adopt" => {
                spec.adopt = Some(match value {
                    "Never" => Adopt::Never,
                    "IfIdentical" => Adopt::IfIdentical,
                    "Takeover" => Adopt::Takeover,
                    _ => return None,
                });
            }
            "deletionPolicy" => {
                spec.deletion_policy = Some(match value {
                    "Delete" => Deletion::Delete,
                    "Retain" => Deletion::Retain,
                    _ => return None,
                });
            }
            "a" => spec.a = list(value, lines)?,
            "aaaa" => spec.aaaa = list(value, lines)?,
            "ns" => spec.ns = list(value, lines)?,
            "ptr" => spec.ptr = list(value, lines)?,
            _ => spec.txt = list(value, lines)?,
        }
        Some(())
    })
}

fn once(seen: &mut u8, bit: u8) -> Option<()> {
    (*seen & bit == 0).then(|| *seen |= bit)
}

/// The entries of a mapping below its key, all with one indentation; `value` is what stands beside the key.
fn block<'a>(
    value: &str,
    lines: &mut Lines<'a>,
    mut entry: impl FnMut(&str, &'a str, &mut Lines<'a>) -> Option<()>,
) -> Option<()> {
    let indent = lines.peek()?.indent;
    if !value.is_empty() || indent == 0 {
        return None;
    }
    while let Some(line) = lines.peek() {
        if line.indent == 0 {
            break;
        }
        let (key, value) = line.entry().filter(|_| line.indent == indent)?;
        lines.next();
        lines.parent = indent;
        entry(key, value, lines)?;
    }
    Some(())
}

/// A list of strings: `[x, y]` beside its key, or one `- x` a line below it.
fn list(value: &str, lines: &mut Lines<'_>) -> Option<Vec<Text>> {
    if let Some(inner) = value.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        // Among brackets colons and quotes have meanings of their own.
        let plain = |item: &str| (!item.contains([':', '"', '\''])).then(|| string(item)).flatten();
        return inner.split(',').map(|item| plain(item.trim_matches(' '))).collect();
    }
    let parent = lines.parent;
    let first = lines.peek().filter(|line| value.is_empty() && line.indent >= parent)?.indent;
    let mut items = Vec::new();
    while let Some(line) = lines.peek()
        && let Some(item) = line.text.strip_prefix("- ")
    {
        if line.indent != first {
            return None;
        }
        items.push(string(item)?);
        lines.next();
    }
    // A deeper line would go on with the last item.
    let deeper = lines.peek().is_some_and(|line| line.indent > parent);
    (!items.is_empty() && !deeper).then_some(items)
}

/// A string that nothing and nobody takes for anything else.
fn string(value: &str) -> Option<Text> {
    let bytes = value.as_bytes();
    let quoted = |quote: u8| {
        let inner = bytes.strip_prefix(&[quote])?.strip_suffix(&[quote])?;
        let good = |b: &u8| (b' '..=b'~').contains(b) && *b != quote && *b != b'\\';
        inner.iter().all(good).then(|| Text(value[1..value.len() - 1].to_owned()))
    };
    match *bytes.first()? {
        quote @ (b'"' | b'\'') => quoted(quote),
        b'a'..=b'z' | b'A'..=b'Z' => {
            let good = |b: &u8| b.is_ascii_alphanumeric() || b"-._/:".contains(b);
            let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
            let plain = bytes.iter().all(good) && !value.ends_with(':');
            (plain && !words.iter().any(|word| value.eq_ignore_ascii_case(word))).then(|| Text(value.to_owned()))
        }
        // Of what begins with a digit, only IPv4 addresses.
        b'0'..=b'9' => {
            let dots = bytes.iter().filter(|b| **b == b'.').count();
            let plain = dots == 3 && bytes.iter().all(|b| b.is_ascii_digit() || *b == b'.');
            plain.then(|| Text(value.to_owned()))
        }
        _ => None,
    }
}

fn integer(value: &str) -> Option<i64> {
    let plain = value.len() <= 10 && value.bytes().all(|b| b.is_ascii_digit()) && !value.starts_with('0');
    plain.then(|| value.parse().ok())?
}

fn flag(value: &str) -> Option<Flag> {
    match value {
        "true" => Some(Flag(true)),
        "false" => Some(Flag(false)),
        _ => None,
    }
}

#[derive(Clone, Copy)]
struct Line<'a> {
    indent: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// `key: value`, or `key:` with an empty value.
    fn entry(&self) -> Option<(&'a str, &'a str)> {
        let (key, value) = self.text.split_once(':')?;
        if !key.bytes().all(|b| b.is_ascii_alphabetic()) {
            return None;
        }
        if value.is_empty() { Some((key, value)) } else { Some((key, value.strip_prefix(' ')?)) }
    }
}

/// Lines with something on them.
struct Lines<'a> {
    rest: std::str::Lines<'a>,
    peeked: Option<Line<'a>>,
    /// Indentation of the key that was read last.
    parent: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Lines<'a> {
        let mut lines = Lines { rest: text.lines(), peeked: None, parent: 0 };
        lines.next();
        lines
    }

    fn peek(&self) -> Option<Line<'a>> {
        self.peeked
    }

    fn next(&mut self) -> Option<Line<'a>> {
        let line = self.peeked.take();
        self.peeked = self.rest.by_ref().find_map(|line| {
            let text = line.trim_start_matches(' ');
            (!text.is_empty() && !text.starts_with('#')).then(|| Line { indent: line.len() - text.len(), text })
        });
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORD: &str = "---\n# a host\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata:\n  name: x\n  namespace: \"dns\"\nspec:\n  name: x.internal\n  ttl: 300\n  a:\n    - 10.0.0.1\n    - '10.0.0.2'\n  aaaa:\n  - fd00::1\n  txt: [a, b]\n  reverse: true\n  adopt: Never\n";

    fn slow(text: &str) -> Option<StaticDnsRecord> {
        super::super::document::parse(text).ok()
    }

    #[test]
    fn reads_the_plain_form() {
        assert_eq!(read(RECORD), slow(RECORD));
        assert_eq!(read(RECORD).map(|record| record.spec.a.len()), Some(2));
    }

    #[test]
    fn leaves_the_rest_to_the_yaml_reader() {
        for (from, to) in [
            ("ttl: 300", "ttl: 0300"),
            ("ttl: 300", "ttl: 0x10"),
            ("ttl: 300", "tttl: 300"),
            ("  ttl: 300\n", "  ttl: 300\n  ttl: 300\n"),
            ("name: x.internal", "name: no"),
            ("name: x.internal", "name: x.internal # home"),
            ("name: x.internal", "name: x\n    internal"),
            ("name: x.internal", "name: &x x.internal"),
            ("10.0.0.1", "10.0"),
            ("10.0.0.1", "fd00::"),
            ("- 10.0.0.1", "- 10.0.0.1\n      more"),
            ("a:\n", "a: |\n"),
            ("[a, b]", "[a, b"),
            ("[a, b]", "[a, b,]"),
            ("[a, b]", "[a: b]"),
            ("\"dns\"", "\"d\\x6es\""),
            ("    - '10", "   - '10"),
            ("  reverse", "   reverse"),
            ("adopt: Never", "adopt: never"),
            ("kind:", "kind: StaticDNSRecord\nkind:"),
            ("spec:", "spec: {}\nother:"),
            ("spec:", "\tspec:"),
            ("  name: x\n", ""),
        ] {
            assert!(RECORD.contains(from), "{from}");
            assert_eq!(read(&RECORD.replacen(from, to, 1)), None, "{to}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Whatever it reads, the YAML reader reads alike: the plain form with some lines changed, moved or doubled.
        #[test]
        fn never_disagrees_with_the_yaml_reader(
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..6usize, any::<prop::sample::Index>()), 0..4)
        ) {
            const WORDS: &[&str] = &[
                "no", "Y", "nan", "inf", "infinity", ".inf", "0", "007", "1_0", "1e3", "1.2.3.4", "1..2.3", "1.2.3.4.5", "-", "- a", "a:",
                "a:b", "a: b", "a #b", "a#b", "#", "[]", "[a]", "[a,b]", "[ a , b ]", "[a b]", "{}", "{a: b}", "\"a: b\"", "'a''b'", "\"\"", "''",
                "\"a\" b", "~", "null", "|", ">", "*a", "&a", "!t", "!!str 1", "?", "@", "%", "`", "a\"b", "true", "fd00::1", "::1", "=", "<<", "...", "---", " a", "a ",
            ];
            let mut lines: Vec<String> = RECORD.lines().map(str::to_owned).collect();
            for (at, what, word) in edits {
                let (at, word) = (at.index(lines.len()), WORDS[word.index(WORDS.len())]);
                match what {
                    0 => { lines.remove(at); }
                    1 => { let line = lines[at].clone(); lines.insert(at, line); }
                    2 => lines[at].insert(0, ' '),
                    3 => { lines[at] = lines[at].strip_prefix(' ').unwrap_or(&lines[at]).to_owned(); }
                    4 => {
                        let keep = lines[at].find(": ").or(lines[at].find("- ")).map_or(lines[at].len(), |at| at + 2);
                        lines[at].truncate(keep);
                        lines[at].push_str(word);
                    }
                    _ => lines.insert(at, format!("{}{word}", &"      "[..word.len() % 6])),
                }
                if lines.is_empty() { break; }
            }
            let text = lines.join("\n");
            if let Some(record) = read(&text) {
                prop_assert_eq!(Some(record), slow(&text), "{}", text);
            }
        }
    }
}
