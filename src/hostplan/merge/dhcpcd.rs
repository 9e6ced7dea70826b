//! A block in dhcpcd.enter-hook, which dhcpcd-run-hooks sources: before everything that stands there, as that may end the
//! run.

use super::block::{self, compose, find_one, insert};
use super::{Trouble, end_of_line, lines};
use crate::split::policy::Origin;

/// The file with these lines, or without any of ours.
///
/// # Errors
/// Marks that do not fit each other.
pub fn merge(text: &[u8], wanted: &[String], origins: &[Origin]) -> Result<Vec<u8>, Trouble> {
    let found = find_one(text)?;
    let rest = block::remove(text, found.as_slice());
    if wanted.is_empty() {
        return Ok(rest);
    }
    // A carriage return would be part of sh's words.
    let block = compose(origins, wanted, "", "\n");
    let first = lines(&rest).next().filter(|(_, line)| line.starts_with(b"#!") && end_of_line(line) == "\n");
    Ok(insert(&rest, first.map_or(0, |(_, line)| line.len()), &block))
}
