//! `dns-` lines in stanzas of interfaces(5), which Debian's hook of ifupdown hands to resolved at ifup.

use super::block::{self, compose, find, insert};
use super::{Trouble, end_of_line, lines, trimmed, words};
use crate::split::policy::Origin;

/// What a stanza of a link shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// The link.
    pub link: String,
    /// `dns-nameservers …` and so on, without indentation.
    pub lines: Vec<String>,
    /// For these policies.
    pub policies: Vec<Origin>,
}

/// Where a link's stanza stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza {
    /// Where its first line ends.
    pub after: usize,
    /// How its options are indented.
    pub indent: String,
    /// The first line with a `dns-` option of somebody else in any stanza of this link, counted from 1.
    pub dns_line: Option<usize>,
    /// Whether a DHCP client configures it, in any stanza.
    pub dhcp: bool,
}

/// A line with those that a backslash at its end adds to it.
struct Logical {
    /// The number of its first, counted from 1.
    number: usize,
    begin: usize,
    end: usize,
    text: Vec<u8>,
}

/// All but empty ones and comments, which a backslash does not continue.
fn logical(text: &[u8]) -> Vec<Logical> {
    let mut all: Vec<Logical> = Vec::new();
    let mut open = false;
    for (i, (begin, line)) in lines(text).enumerate() {
        let bare = trimmed(line);
        let idle = bare.trim_ascii().is_empty() || bare.trim_ascii_start().starts_with(b"#");
        if !open && idle {
            continue;
        }
        let (end, body) = (begin + line.len(), bare.strip_suffix(b"\\").unwrap_or(bare));
        match all.last_mut().filter(|_| open) {
            Some(last) => {
                last.end = end;
                last.text.push(b' ');
                last.text.extend_from_slice(body);
            }
            None => all.push(Logical { number: i + 1, begin, end, text: body.to_vec() }),
        }
        open = body.len() < bare.len();
    }
    all
}

/// The first stanza of a link that configures addresses; `None` where none is in this file.
///
/// # Errors
/// Marks of ours that do not fit each other.
pub fn stanza(text: &[u8], link: &str) -> Result<Option<Stanza>, Trouble> {
    let ours = find(text)?;
    let (mut first, mut inside): (Option<Stanza>, bool) = (None, false);
    // The stanza whose indentation is still to be seen.
    let mut indent_open = false;
    for line in logical(text) {
        if ours.iter().any(|found| found.range.contains(&line.begin)) {
            continue;
        }
        let mut parts = words(&line.text);
        let Some(word) = parts.next() else { continue };
        if is_keyword(word) {
            indent_open = false;
            inside = word == b"iface"
                && parts.next() == Some(link.as_bytes())
                && matches!(parts.next(), Some(b"inet" | b"inet6"));
            if inside && first.is_none() {
                first = Some(Stanza { after: line.end, indent: "    ".to_owned(), dns_line: None, dhcp: false });
                indent_open = true;
            }
            if let Some(stanza) = first.as_mut().filter(|_| inside) {
                stanza.dhcp |= parts.next() == Some(b"dhcp");
            }
        } else if inside && let Some(stanza) = first.as_mut() {
            if word.starts_with(b"dns-") && stanza.dns_line.is_none() {
                stanza.dns_line = Some(line.number);
            }
            if std::mem::replace(&mut indent_open, false) {
                let blank = line.text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                stanza.indent = String::from_utf8_lossy(&line.text[..blank]).into_owned();
            }
        }
    }
    Ok(first)
}

fn is_keyword(word: &[u8]) -> bool {
    matches!(
        word,
        b"iface"
            | b"mapping"
            | b"auto"
            | b"source"
            | b"source-directory"
            | b"rename"
            | b"template"
            | b"no-auto-down"
            | b"no-scripts"
    ) || word.starts_with(b"allow-")
}

/// The file with blocks in the stanzas of these links, and in no others.
///
/// # Errors
/// Marks that do not fit each other, or a link without a stanza.
pub fn merge(text: &[u8], wanted: &[Lines]) -> Result<Vec<u8>, Trouble> {
    let mut all = block::remove(text, &find(text)?);
    let eol = end_of_line(&all);
    for want in wanted {
        let stanza = stanza(&all, &want.link)?.ok_or_else(|| Trouble {
            reason: "NoStanza",
            line: 0,
            message: format!("no stanza configures {}", want.link),
            way_out: format!("add one: iface {} inet dhcp", want.link),
        })?;
        let block = compose(&want.policies, &want.lines, &stanza.indent, eol);
        all = insert(&all, stanza.after, &block);
    }
    Ok(all)
}
