//! Absolute domain names in lower-case wire form.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// An absolute domain name: uncompressed wire form, ASCII lower case, at most 255 octets (RFC 1035 §3.1).
///
/// Equality is DNS equality, since the case is folded at the door. Ordering is the canonical one of
/// RFC 4034 §6.1.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<[u8]>);

/// Why a text or a wire form is not a domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or a dot at the start.
    #[error("empty label")]
    EmptyLabel,
    /// A label over 63 octets; holds the label as written and its length.
    #[error("label \"{0}\" is {1} octets long; the limit is 63")]
    LabelTooLong(String, usize),
    /// More than 255 octets in wire form.
    #[error("name is {0} octets long in wire form; the limit is 255")]
    TooLong(usize),
    /// A `\` escape that is not `\DDD` or `\X`.
    #[error("bad escape in name at character {0}")]
    BadEscape(usize),
    /// The international form has no A-label form (UTS 46).
    #[error("\"{0}\" is not a valid internationalised name")]
    Idn(String),
    /// Wire form ends early or holds a compression pointer.
    #[error("malformed wire form of a name")]
    Wire,
}

impl Name {
    /// The root name.
    pub fn root() -> Name {
        Name(Arc::from([0u8].as_slice()))
    }

    /// Parses presentation form; a final dot is optional, the result is always absolute.
    ///
    /// Understands `\.` and `\DDD` escapes and turns non-ASCII labels into A-labels (UTS 46); ASCII labels, those with
    /// underscores and the wildcard among them, stay as they are.
    ///
    /// # Errors
    /// Any [`NameError`].
    pub fn parse(text: &str) -> Result<Name, NameError> {
        if !text.is_ascii() {
            return Name::parse_ascii(&super::idn::to_a_labels(text)?);
        }
        Name::parse_ascii(text)
    }

    fn parse_ascii(text: &str) -> Result<Name, NameError> {
        if text == "." {
            return Ok(Name::root());
        }
        let bytes = if Name::is_absolute(text) { &text.as_bytes()[..text.len() - 1] } else { text.as_bytes() };
        if bytes.contains(&b'\\') {
            return Name::parse_escaped(bytes);
        }
        // Without escapes the wire form is the text with its dots turned into lengths, one octet longer at each end.
        let len = bytes.len() + 2;
        for label in bytes.split(|b| *b == b'.') {
            check_label(label)?;
        }
        if len > MAX {
            return Err(NameError::TooLong(len));
        }
        let mut wire = [0u8; MAX];
        let mut start = 0;
        for (index, byte) in bytes.iter().enumerate() {
            if *byte == b'.' {
                wire[start] = (index - start) as u8;
                start = index + 1;
            } else {
                wire[index + 1] = byte.to_ascii_lowercase();
            }
        }
        wire[start] = (bytes.len() - start) as u8;
        Ok(Name(wire[..len].into()))
    }

    fn parse_escaped(bytes: &[u8]) -> Result<Name, NameError> {
        let mut wire: Vec<u8> = Vec::with_capacity(bytes.len() + 2);
        let mut label: Vec<u8> = Vec::with_capacity(MAX_LABEL);
        let mut i = 0;
        loop {
            match bytes[i.min(bytes.len())..] {
                [] | [b'.', ..] => {
                    check_label(&label)?;
                    wire.push(label.len() as u8);
                    wire.append(&mut label);
                    if i >= bytes.len() {
                        break;
                    }
                    i += 1;
                }
                [b'\\', a, b, c, ..] if a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_digit() => {
                    let value = u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0');
                    let value = u8::try_from(value).map_err(|_| NameError::BadEscape(i))?;
                    label.push(value.to_ascii_lowercase());
                    i += 4;
                }
                [b'\\', a, ..] if !a.is_ascii_digit() => {
                    label.push(a.to_ascii_lowercase());
                    i += 2;
                }
                [b'\\', ..] => return Err(NameError::BadEscape(i)),
                [byte, ..] => {
                    label.push(byte.to_ascii_lowercase());
                    i += 1;
                }
            }
        }
        wire.push(0);
        if wire.len() > MAX {
            return Err(NameError::TooLong(wire.len()));
        }
        Ok(Name(wire.into()))
    }

    /// Whether presentation form ends in a dot that is not escaped.
    pub fn is_absolute(text: &str) -> bool {
        let Some(rest) = text.strip_suffix('.') else { return false };
        rest.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 0
    }

    /// This name's labels before those of `parent`.
    ///
    /// # Errors
    /// [`NameError::TooLong`].
    pub fn under(&self, parent: &Name) -> Result<Name, NameError> {
        let own = &self.0[..self.0.len() - 1];
        let total = own.len() + parent.0.len();
        if total > MAX {
            return Err(NameError::TooLong(total));
        }
        let mut wire = [0u8; MAX];
        wire[..own.len()].copy_from_slice(own);
        wire[own.len()..total].copy_from_slice(&parent.0);
        Ok(Name(wire[..total].into()))
    }

    /// Takes an uncompressed wire form that fills `wire` exactly, folding case.
    ///
    /// # Errors
    /// [`NameError::Wire`] or [`NameError::TooLong`].
    pub fn from_wire(wire: &[u8]) -> Result<Name, NameError> {
        if wire.len() > MAX {
            return Err(NameError::TooLong(wire.len()));
        }
        let mut at = 0;
        loop {
            let len = usize::from(*wire.get(at).ok_or(NameError::Wire)?);
            at += 1 + len;
            if len == 0 {
                break;
            }
            if len > 63 || at > wire.len() {
                return Err(NameError::Wire);
            }
        }
        if at != wire.len() {
            return Err(NameError::Wire);
        }
        // Length octets are below 64 and so are never letters: folding the whole slice is safe.
        let mut folded = [0u8; MAX];
        let folded = &mut folded[..wire.len()];
        folded.copy_from_slice(wire);
        folded.make_ascii_lowercase();
        Ok(Name((&*folded).into()))
    }

    /// The uncompressed lower-case wire form, final root label included.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Labels from the leftmost to the topmost, without the root label.
    pub fn labels(&self) -> Labels<'_> {
        Labels { rest: &self.0 }
    }

    /// Number of labels, the root label not counted.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The leftmost label; `None` for the root.
    pub fn first_label(&self) -> Option<&[u8]> {
        self.labels().next()
    }

    /// The first label that begins with `xn--` and is the A-label of nothing (RFC 5890 §2.3.2.1), if there is one.
    pub fn fake_a_label(&self) -> Option<&[u8]> {
        self.labels().find(|label| super::idn::is_fake_a_label(label))
    }

    /// Whether the leftmost label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.first_label() == Some(b"*")
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(&self) -> Option<Name> {
        let first = usize::from(self.0[0]);
        (first != 0).then(|| Name(self.0[first + 1..].into()))
    }

    /// `label` put before this name.
    ///
    /// # Errors
    /// [`NameError::LabelTooLong`], [`NameError::EmptyLabel`] or [`NameError::TooLong`].
    pub fn child(&self, label: &[u8]) -> Result<Name, NameError> {
        check_label(label)?;
        let total = self.0.len() + label.len() + 1;
        if total > MAX {
            return Err(NameError::TooLong(total));
        }
        let mut wire = [0u8; MAX];
        wire[0] = label.len() as u8;
        wire[1..=label.len()].copy_from_slice(label);
        wire[1..=label.len()].make_ascii_lowercase();
        wire[label.len() + 1..total].copy_from_slice(&self.0);
        Ok(Name(wire[..total].into()))
    }

    /// Whether this name is `zone` or below it, by whole labels.
    pub fn is_at_or_below(&self, zone: &Name) -> bool {
        let (own, other) = (&self.0, &zone.0);
        if own.len() < other.len() || !own.ends_with(other) {
            return false;
        }
        // The suffix must begin at a label boundary.
        let cut = own.len() - other.len();
        let mut at = 0;
        while at < cut {
            at += usize::from(own[at]) + 1;
        }
        at == cut
    }

    /// Whether this name is strictly below `zone`.
    pub fn is_below(&self, zone: &Name) -> bool {
        self.0.len() > zone.0.len() && self.is_at_or_below(zone)
    }

    /// The sort key of the subtree order: labels from the topmost down, each as length octet and bytes, relative to
    /// `apex`. The key of an ancestor is a prefix of the keys below it. `None` when not at or below `apex`.
    pub fn tree_key(&self, apex: &Name) -> Option<Box<[u8]>> {
        if !self.is_at_or_below(apex) {
            return None;
        }
        let own = &self.0[..self.0.len() - apex.0.len()];
        let mut key = vec![0u8; own.len()];
        let (mut at, mut end) = (0, own.len());
        while at < own.len() {
            let step = usize::from(own[at]) + 1;
            key[end - step..end].copy_from_slice(&own[at..at + step]);
            end -= step;
            at += step;
        }
        Some(key.into())
    }

    /// The inverse of [`Name::tree_key`].
    ///
    /// # Panics
    /// Never for a key that `tree_key` made with the same `apex`.
    pub fn from_tree_key(key: &[u8], apex: &Name) -> Name {
        let mut wire = vec![0u8; key.len() + apex.0.len()];
        let (mut at, mut end) = (0, key.len());
        while at < key.len() {
            let step = usize::from(key[at]) + 1;
            wire[end - step..end].copy_from_slice(&key[at..at + step]);
            end -= step;
            at += step;
        }
        wire[key.len()..].copy_from_slice(&apex.0);
        Name(wire.into())
    }

    /// Presentation form without the final dot (`.` for the root): what people see.
    pub fn to_relaxed(&self) -> String {
        let text = self.to_string();
        if text.len() > 1 { text[..text.len() - 1].to_owned() } else { text }
    }
}

/// Iterator over the labels of a [`Name`].
#[derive(Clone)]
pub struct Labels<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(*self.rest.first()?);
        if len == 0 {
            return None;
        }
        let label = &self.rest[1..=len];
        self.rest = &self.rest[len + 1..];
        Some(label)
    }
}

impl fmt::Display for Name {
    /// Absolute presentation form with the final dot, escaped as in RFC 1035 §5.1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_wire(&self.0, f)
    }
}

/// Writes the presentation form of a well-formed uncompressed wire form, in its letter case.
pub(super) fn write_wire(wire: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    if wire == [0] {
        return f.write_char('.');
    }
    for label in (Labels { rest: wire }) {
        for &byte in label {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' | b'/' => {
                    f.write_char(char::from(byte))?
                }
                // More than RFC 1035 asks for: Knot's zone parser takes no other punctuation without its escape.
                0x21..=0x7e => {
                    f.write_char('\\')?;
                    f.write_char(char::from(byte))?;
                }
                _ => write!(f, "\\{byte:03}")?,
            }
        }
        f.write_char('.')?;
    }
    Ok(())
}

/// The longest wire form and the longest label, in octets (RFC 1035 §2.3.4).
const MAX: usize = 255;
const MAX_LABEL: usize = 63;

fn check_label(label: &[u8]) -> Result<(), NameError> {
    match label.len() {
        0 => Err(NameError::EmptyLabel),
        1..=MAX_LABEL => Ok(()),
        len => Err(NameError::LabelTooLong(String::from_utf8_lossy(label).into_owned(), len)),
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        fn count(wire: &[u8]) -> usize {
            let (mut at, mut count) = (0, 0);
            while wire[at] != 0 {
                count += 1;
                at += usize::from(wire[at]) + 1;
            }
            count
        }
        // A label and what follows it.
        fn split(wire: &[u8]) -> (&[u8], &[u8]) {
            wire[1..].split_at(usize::from(wire[0]))
        }
        let (mut mine, mut theirs) = (&self.0[..], &other.0[..]);
        if mine == theirs {
            return Ordering::Equal;
        }
        let (own_count, other_count) = (count(mine), count(theirs));
        for _ in other_count..own_count {
            mine = split(mine).1;
        }
        for _ in own_count..other_count {
            theirs = split(theirs).1;
        }
        // Side by side from the left; the rightmost difference weighs most.
        let mut order = own_count.cmp(&other_count);
        while mine[0] != 0 {
            if mine == theirs {
                break;
            }
            let ((a, after_a), (b, after_b)) = (split(mine), split(theirs));
            if a != b {
                order = a.cmp(b);
            }
            (mine, theirs) = (after_a, after_b);
        }
        order
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Name, NameError> {
        Name::parse(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn folds_case_and_takes_both_forms() {
        assert_eq!(n("WWW.Example"), n("www.example."));
        assert_eq!(n("WWW.Example").to_string(), "www.example.");
        assert_eq!(n("a\\.b.c").label_count(), 2);
        assert_eq!(n("b\u{fc}cher.internal").to_string(), "xn--bcher-kva.internal.");
        assert_eq!(n("*.apps.internal").to_string(), "*.apps.internal.");
        assert_eq!(n("_dmarc.internal").to_string(), "_dmarc.internal.");
        assert_eq!(n("*._tcp.B\u{dc}CHER\u{3002}a\\.b").to_string(), "*._tcp.xn--bcher-kva.a\\.b.");
        assert_eq!(n("a\\\\.b"), n("a\\092.b."));
        assert_eq!(n("a\\\\."), n("a\\\\"), "an escaped backslash before the final dot");
        assert_eq!(n("a\\.").to_string(), "a\\..");
    }

    #[test]
    fn refuses_what_is_no_name() {
        assert_eq!(Name::parse("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(""), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(".."), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse("\u{ad}.a"), Err(NameError::EmptyLabel), "a soft hyphen alone maps to nothing");
        assert!(matches!(Name::parse("b\u{fc}\\.a"), Err(NameError::Idn(_))));
        assert!(matches!(Name::parse("a\\"), Err(NameError::BadEscape(1))));
        assert!(matches!(Name::parse("a\\25"), Err(NameError::BadEscape(1))));
        assert!(matches!(Name::parse("a\\256"), Err(NameError::BadEscape(1))));
        assert!(matches!(Name::parse(&"x".repeat(64)), Err(NameError::LabelTooLong(_, 64))));
        assert!(matches!(Name::parse(&"x.".repeat(128)), Err(NameError::TooLong(257))));
        assert!(matches!(Name::parse("a\\300"), Err(NameError::BadEscape(1))));
    }

    #[test]
    fn below_is_by_label() {
        assert!(n("a.internal").is_below(&n("internal")));
        assert!(!n("xinternal").is_at_or_below(&n("internal")));
        assert!(!n("internal").is_below(&n("internal")));
        assert!(n("internal").is_at_or_below(&Name::root()));
    }

    #[test]
    fn tree_keys_go_both_ways_and_nest() {
        let zone = n("internal");
        let key = n("a.b.internal").tree_key(&zone).unwrap();
        assert_eq!(Name::from_tree_key(&key, &zone), n("a.b.internal"));
        assert!(key.starts_with(&n("b.internal").tree_key(&zone).unwrap()));
        assert!(n("a.b.other").tree_key(&zone).is_none());
    }

    #[test]
    fn order_is_canonical() {
        let mut names: Vec<Name> =
            ["z.example", "a.z.example", "example", "yljkjljk.a.example", "a.example"].map(n).to_vec();
        names.sort();
        let text: Vec<String> = names.iter().map(Name::to_relaxed).collect();
        assert_eq!(text, ["example", "a.example", "yljkjljk.a.example", "z.example", "a.z.example"]);
    }
}
