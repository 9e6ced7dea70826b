//! `nohook resolv.conf` in dhcpcd.conf(5), as its first lines: after an `interface` line it would be of that one alone.

use super::block::{self, compose, find_one, insert};
use super::{Trouble, end_of_line, lines, words};
use crate::split::policy::Origin;

const HOOK: &[u8] = b"resolv.conf";

/// The file with the hook off, or with our part taken out.
///
/// # Errors
/// Marks that do not fit each other.
pub fn merge(text: &[u8], off: bool, origins: &[Origin]) -> Result<Vec<u8>, Trouble> {
    let found = find_one(text)?;
    let rest = block::remove(text, found.as_slice());
    if !off || is_off(&rest) {
        return Ok(rest);
    }
    let block = compose(origins, &["nohook resolv.conf".to_owned()], "", end_of_line(&rest));
    let at = found.map_or(0, |found| found.range.start);
    // Where somebody moved it below an interface, it does nothing.
    let at = if rest.get(..at).is_some_and(|before| sections(before).next().is_none()) { at } else { 0 };
    Ok(insert(&rest, at, &block))
}

/// Where the settings of single interfaces begin.
fn sections(text: &[u8]) -> impl Iterator<Item = usize> + '_ {
    lines(text)
        .filter(|(_, line)| matches!(words(line).next(), Some(b"interface" | b"ssid" | b"profile")))
        .map(|(at, _)| at)
}

/// Whether somebody has it off already, for all interfaces.
fn is_off(text: &[u8]) -> bool {
    let whole = &text[..sections(text).next().unwrap_or(text.len())];
    lines(whole).any(|(_, line)| {
        let mut words = line.split(|b| b.is_ascii_whitespace() || *b == b',').filter(|word| !word.is_empty());
        words.next() == Some(b"nohook") && words.any(|word| word == HOOK)
    })
}
