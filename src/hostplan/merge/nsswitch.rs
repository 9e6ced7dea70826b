//! The `hosts:` line of nsswitch.conf: `resolve [!UNAVAIL=return]` before `dns`, as nss-resolve(8) recommends.
//!
//! Modules of others keep their place and their actions; `dns` stays behind, since without it nothing resolves while
//! resolved is down.

use std::ops::Range;

use super::{Trouble, end_of_line, lines, trimmed};

const ACTION: &str = "[!UNAVAIL=return]";

/// A module or an action, and where it stands in the line.
#[derive(Debug, Clone)]
struct Word {
    range: Range<usize>,
    action: bool,
    text: String,
}

/// The `hosts:` line, without its end.
fn find(text: &[u8]) -> Result<Option<Range<usize>>, Trouble> {
    let mut found: Option<(usize, Range<usize>)> = None;
    for (i, (begin, line)) in lines(text).enumerate() {
        let line = trimmed(line);
        let rest = line.trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b"hosts") else { continue };
        if !rest.trim_ascii_start().starts_with(b":") {
            continue;
        }
        if let Some((first, _)) = found {
            return Err(Trouble {
                reason: "AmbiguousNsswitch",
                line: i + 1,
                message: format!("a second hosts: line stands in line {}; the first is line {first}", i + 1),
                way_out: "remove one of the two".to_owned(),
            });
        }
        found = Some((i + 1, begin..begin + line.len()));
    }
    Ok(found.map(|(_, range)| range))
}

/// The words behind `hosts:`, up to a comment.
fn parse(line: &str) -> Vec<Word> {
    let begin = line.find(':').map_or(line.len(), |at| at + 1);
    let end = line.find('#').unwrap_or(line.len()).max(begin);
    let mut words: Vec<Word> = Vec::new();
    let mut at = begin;
    while at < end {
        let rest = &line[at..end];
        let Some(skip) = rest.find(|c: char| !c.is_ascii_whitespace()) else { break };
        let from = at + skip;
        let rest = &line[from..end];
        let (length, action) = match rest.starts_with('[') {
            true => (rest.find(']').map_or(rest.len(), |at| at + 1), true),
            false => (rest.find(|c: char| c.is_ascii_whitespace() || c == '[').unwrap_or(rest.len()), false),
        };
        words.push(Word { range: from..from + length, action, text: rest[..length].to_owned() });
        at = from + length;
    }
    words
}

/// Whether an action lets the next module be asked only when resolved is away.
fn is_final(action: &str) -> bool {
    let bare: String = action.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    bare.to_ascii_uppercase().contains("!UNAVAIL=RETURN")
}

fn position(words: &[Word], module: &str) -> Option<usize> {
    words.iter().position(|word| !word.action && word.text == module)
}

/// Whether a `hosts:` line (what stands behind the colon) has everything already.
pub fn is_right(modules: &str) -> bool {
    let line = format!("hosts:{modules}");
    changed(&line).is_none()
}

/// The line as it must be; `None` where it is so.
fn changed(line: &str) -> Option<String> {
    let mut line = line.to_owned();
    let mut touched = false;
    // One that stands behind dns is taken out first, with its action.
    let words = parse(&line);
    if let (Some(own), Some(dns)) = (position(&words, "resolve"), position(&words, "dns"))
        && own > dns
    {
        let last = words.get(own + 1).filter(|next| next.action).unwrap_or(&words[own]);
        let from = words[own - 1].range.end;
        line.replace_range(from..last.range.end, "");
        touched = true;
    }
    let words = parse(&line);
    match position(&words, "resolve") {
        None => {
            let own = format!("resolve {ACTION}");
            match position(&words, "dns") {
                Some(dns) => line.insert_str(words[dns].range.start, &format!("{own} ")),
                None => {
                    let at = words.last().map_or_else(|| line.find(':').map_or(0, |at| at + 1), |last| last.range.end);
                    line.insert_str(at, &format!(" {own} dns"));
                }
            }
            touched = true;
        }
        Some(own) => {
            if position(&words, "dns").is_none() {
                let at = words.last().map_or(line.len(), |last| last.range.end);
                line.insert_str(at, " dns");
                touched = true;
            }
            match words.get(own + 1).filter(|next| next.action) {
                Some(action) if is_final(&action.text) => {}
                Some(action) => {
                    line.replace_range(action.range.clone(), ACTION);
                    touched = true;
                }
                None => {
                    line.insert_str(words[own].range.end, &format!(" {ACTION}"));
                    touched = true;
                }
            }
        }
    }
    touched.then_some(line)
}

/// The file with the line as it must be.
///
/// # Errors
/// Two `hosts:` lines, of which C libraries disagree which one counts; or one that is not text.
pub fn merge(text: &[u8]) -> Result<Vec<u8>, Trouble> {
    let Some(range) = find(text)? else {
        let eol = end_of_line(text);
        let mut all = text.to_vec();
        let line = format!("hosts: files resolve {ACTION} dns");
        if !all.is_empty() && !all.ends_with(b"\n") {
            all.extend_from_slice(eol.as_bytes());
            all.extend_from_slice(line.as_bytes());
        } else {
            all.extend_from_slice(line.as_bytes());
            all.extend_from_slice(eol.as_bytes());
        }
        return Ok(all);
    };
    let line = std::str::from_utf8(&text[range.clone()]).map_err(|_| Trouble {
        reason: "AmbiguousNsswitch",
        line: 0,
        message: "the hosts: line is not text".to_owned(),
        way_out: "write it anew".to_owned(),
    })?;
    Ok(match changed(line) {
        None => text.to_vec(),
        Some(line) => [&text[..range.start], line.as_bytes(), &text[range.end..]].concat(),
    })
}

/// The file with the line that was there before us, whatever else was changed since; `None` where the line itself is no
/// longer the one that we left.
pub fn take_out(now: &[u8], before: &[u8], left: &[u8]) -> Option<Vec<u8>> {
    if now == left {
        return Some(before.to_vec());
    }
    let line = |text: &[u8]| find(text).ok().map(|found| found.map(|range| (range.clone(), text[range].to_vec())));
    let ((at, own), (_, ours)) = (line(now)??, line(left)??);
    if own != ours {
        return None;
    }
    Some(match line(before)? {
        Some((_, old)) => [&now[..at.start], &old, &now[at.end..]].concat(),
        None => {
            let end = now[at.end..].iter().position(|byte| *byte == b'\n').map(|more| at.end + more + 1);
            let front = &now[..at.start];
            match end {
                Some(end) => [front, &now[end..]].concat(),
                // The last line had no end before us.
                None => front.strip_suffix(end_of_line(before).as_bytes()).unwrap_or(front).to_vec(),
            }
        }
    })
}
