//! How large things are on the wire, and what is too large.

use super::{Edit, Guard};
use crate::model::{Name, Rdata};

/// Octets that one record set may take in an answer, owner names uncompressed. Servers take larger sets by UPDATE and can
/// then no longer transfer their zone.
pub const SET_LIMIT: usize = 60_000;

/// Octets of a TCP message less what every UPDATE carries besides the change: header, zone, fence and its swap, TSIG.
pub const UPDATE_LIMIT: usize = 65_535 - 1_200;

/// A record set alone in a signed message: header, question, owner names in full, TSIG.
pub fn set_size(name: &Name, values: &[Rdata]) -> usize {
    let owner = name.wire().len();
    12 + owner + 4 + 120 + values.iter().map(|value| owner + 10 + value.len()).sum::<usize>()
}

/// One record of an UPDATE; names of the zone point at the zone section for the part that they share with it.
fn record(zone: &Name, name: &Name, rdata: usize) -> usize {
    let owner = name.wire().len();
    let owner = if name.is_at_or_below(zone) && !zone.is_root() { owner - zone.wire().len() + 2 } else { owner };
    owner + 10 + rdata
}

/// A change in an UPDATE, prerequisites included.
pub fn change_size(zone: &Name, guards: &[Guard], edits: &[Edit]) -> usize {
    let guard = |guard: &Guard| match guard {
        Guard::NameNotInUse(name) | Guard::NameInUse(name) | Guard::SetAbsent(name, _) | Guard::SetExists(name, _) => {
            record(zone, name, 0)
        }
        Guard::SetIs(name, _, values) => values.iter().map(|value| record(zone, name, value.len())).sum(),
    };
    let edit = |edit: &Edit| match edit {
        Edit::Remove(name, _, rdata) | Edit::Add(name, _, _, rdata) => record(zone, name, rdata.len()),
    };
    guards.iter().map(guard).sum::<usize>() + edits.iter().map(edit).sum::<usize>()
}

/// What a later replacement of this set by one of the same size would take: pinned, removed and added; and so its marker.
pub fn later_replace(zone: &Name, name: &Name, values: &[Rdata], node: &Name, marks: &[Rdata], own: usize) -> usize {
    let set: usize = values.iter().map(|value| record(zone, name, value.len())).sum();
    let node: usize = marks.iter().map(|value| record(zone, node, value.len())).sum::<usize>() + 2 * (own + 300);
    3 * set + node
}
