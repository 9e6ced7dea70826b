//! Our block in /etc/hosts.

use super::block::{self, compose, find_one, insert};
use super::{Trouble, end_of_line};
use crate::split::policy::{HostLine, Origin};

/// The file with a block of these lines: in the place of the one that is there, or at the end. Without lines, without a
/// block.
///
/// # Errors
/// Marks that do not fit each other.
pub fn merge(text: &[u8], entries: &[&HostLine], origins: &[Origin]) -> Result<Vec<u8>, Trouble> {
    let found = find_one(text)?;
    let rest = block::remove(text, found.as_slice());
    if entries.is_empty() {
        return Ok(rest);
    }
    let inner: Vec<String> =
        entries.iter().map(|entry| format!("{}\t{}", entry.address, entry.names.join(" "))).collect();
    let block = compose(origins, &inner, "", end_of_line(&rest));
    let at = found.map_or(rest.len(), |found| found.range.start);
    Ok(insert(&rest, at, &block))
}
