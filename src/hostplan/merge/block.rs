//! A block of lines between two marks. The first carries the hash of what stands between, as the first line of our own
//! files does.

use std::ops::Range;

use super::{Trouble, end_of_line, lines, trimmed};
use crate::hostplan::mark;
use crate::split::policy::Origin;

const BEGIN: &[u8] = b"# BEGIN knotwork";
const END: &[u8] = b"# END knotwork";

/// A block that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it stands, the ends of its lines included.
    pub range: Range<usize>,
    /// The line of its first mark, counted from 1.
    pub line: usize,
    /// Whether what stands between is what we wrote.
    pub intact: bool,
}

fn is_begin(line: &[u8]) -> bool {
    let rest = line.trim_ascii_start().strip_prefix(BEGIN);
    rest.is_some_and(|rest| rest.first().is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-'))
}

fn is_end(line: &[u8]) -> bool {
    line.trim_ascii() == END
}

/// The hash of lines without their ends, so that a file may change those.
fn hash(inner: &[u8]) -> String {
    let mut all = Vec::with_capacity(inner.len());
    for (_, line) in lines(inner) {
        all.extend_from_slice(trimmed(line));
        all.push(b'\n');
    }
    mark::hash(&all)
}

/// All blocks of ours.
///
/// # Errors
/// A mark without its other half, with its line.
pub fn find(text: &[u8]) -> Result<Vec<Found>, Trouble> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, &[u8])> = None;
    let trouble = |line: usize, message: String| Trouble {
        reason: "BrokenBlock",
        line,
        message,
        way_out: "remove what is left of the block, or put the missing mark back".to_owned(),
    };
    for (i, (begin, line)) in lines(text).enumerate() {
        if is_begin(line) {
            if let Some((at, _, _)) = open {
                return Err(trouble(
                    at,
                    format!("the block that begins in line {at} has no end before line {}", i + 1),
                ));
            }
            open = Some((i + 1, begin, line));
        } else if is_end(line) {
            let Some((at, from, first)) = open.take() else {
                return Err(trouble(i + 1, format!("line {} ends a block that does not begin", i + 1)));
            };
            let inner = &text[from + first.len()..begin];
            let said = std::str::from_utf8(trimmed(first)).ok().and_then(|line| line.rsplit_once("sha256="));
            let intact = said.is_some_and(|(_, sum)| sum.trim_end() == hash(inner));
            found.push(Found { range: from..begin + line.len(), line: at, intact });
        }
    }
    match open {
        Some((at, _, _)) => Err(trouble(at, format!("the block that begins in line {at} has no end"))),
        None => Ok(found),
    }
}

/// As [`find`], where there may be one block at most.
///
/// # Errors
/// A broken block, or a second one, with its line.
pub fn find_one(text: &[u8]) -> Result<Option<Found>, Trouble> {
    let mut found = find(text)?;
    match found.get(1) {
        None => Ok(found.pop()),
        Some(second) => Err(Trouble {
            reason: "DuplicateBlock",
            line: second.line,
            message: format!("a second block begins in line {}; the first is in line {}", second.line, found[0].line),
            way_out: "remove one of the two".to_owned(),
        }),
    }
}

/// The block of these lines, each with its end.
pub fn compose(origins: &[Origin], inner: &[String], indent: &str, eol: &str) -> Vec<u8> {
    let body: String = inner.iter().map(|line| format!("{indent}{line}\n")).collect();
    let sum = hash(body.as_bytes());
    let text = format!(
        "{indent}# BEGIN knotwork, {}. Changes here are lost; sha256={sum}\n{body}{indent}# END knotwork\n",
        mark::policies(origins)
    );
    text.replace('\n', eol).into_bytes()
}

/// Puts a block between two lines. At the end of a text whose last line has no end, the block takes that place, so that the
/// text has as before no end there.
pub fn insert(text: &[u8], at: usize, block: &[u8]) -> Vec<u8> {
    let (before, after) = text.split_at(at.min(text.len()));
    let mut all = before.to_vec();
    if after.is_empty() && !before.is_empty() && !before.ends_with(b"\n") {
        all.extend_from_slice(end_of_line(block).as_bytes());
        all.extend_from_slice(trimmed(block));
    } else {
        all.extend_from_slice(block);
        all.extend_from_slice(after);
    }
    all
}

/// The text without these blocks, which [`find`] found in it.
pub fn remove(text: &[u8], blocks: &[Found]) -> Vec<u8> {
    let mut all = Vec::with_capacity(text.len());
    let mut at = 0;
    for found in blocks {
        all.extend_from_slice(&text[at..found.range.start]);
        at = found.range.end;
        // The last line had no end before we came; the block's own first line tells which end we gave it.
        if at == text.len() && !text.ends_with(b"\n") {
            let eol = end_of_line(&text[found.range.clone()]).as_bytes();
            all.truncate(all.len() - if all.ends_with(eol) { eol.len() } else { 0 });
        }
    }
    all.extend_from_slice(&text[at..]);
    all
}
