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
}

/// The first stanza of a link that configures addresses; `None` where none is in this file.
///
/// # Errors
/// Marks of ours that do not fit each other.
pub fn stanza(text: &[u8], link: &str) -> Result<Option<Stanza>, Trouble> {
    let ours = find(text)?;
    let (mut first, mut inside): (Option<Stanza>, bool) = (None, false);
    let mut continued = false;
    // The stanza whose indentation is still to be seen.
    let mut indent_open = false;
    for (i, (begin, line)) in lines(text).enumerate() {
        let bare = trimmed(line);
        let was_continued = std::mem::replace(&mut continued, bare.ends_with(b"\\"));
        if was_continued {
            if let Some(stanza) = first.as_mut().filter(|stanza| stanza.after == begin && indent_open) {
                stanza.after = begin + line.len();
            }
            continue;
        }
        if bare.trim_ascii().is_empty() || bare.trim_ascii_start().starts_with(b"#") {
            continued = false;
            continue;
        }
        if ours.iter().any(|found| found.range.contains(&begin)) {
            continue;
        }
        let mut parts = words(bare);
        let Some(word) = parts.next() else { continue };
        if is_keyword(word) {
            indent_open = false;
            inside = word == b"iface"
                && parts.next() == Some(link.as_bytes())
                && matches!(parts.next(), Some(b"inet" | b"inet6"));
            if inside && first.is_none() {
                first = Some(Stanza { after: begin + line.len(), indent: "    ".to_owned(), dns_line: None });
                indent_open = true;
            }
        } else if inside && let Some(stanza) = first.as_mut() {
            if word.starts_with(b"dns-") && stanza.dns_line.is_none() {
                stanza.dns_line = Some(i + 1);
            }
            if std::mem::replace(&mut indent_open, false) {
                let blank = bare.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                stanza.indent = String::from_utf8_lossy(&bare[..blank]).into_owned();
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
    let eol = end_of_line(text);
    let mut all = block::remove(text, &find(text)?);
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
