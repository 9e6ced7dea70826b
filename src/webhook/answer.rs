//! What became of a request, zone by zone.

use std::collections::BTreeMap;

use crate::external::Refused;
use crate::model::Name;
use crate::plan::Held;

/// What one zone's part of a request came to.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Changes that were read back, by what they do.
    pub done: Vec<&'static str>,
    /// Wishes that were fulfilled before.
    pub fulfilled: usize,
    /// What is refused, by us or by the server.
    pub refused: Vec<Refused>,
    /// What the brake holds.
    pub held: Option<Held>,
    /// What would be done without `--dry-run`, in words.
    pub would: Vec<String>,
    /// Answers of the server to UPDATEs, by rcode.
    pub rcodes: BTreeMap<u16, u64>,
    /// What stopped it: word and sentence.
    pub stopped: Option<(&'static str, String)>,
}

/// An engine's words, in which a command that they advise is about the fence of this owner id: without it, it would be about
/// that of the configuration.
pub fn for_fence_of(owner: &str, zone: &Name, words: &str) -> String {
    let command = format!("knotwork zone takeover {}", zone.to_relaxed());
    words.replace(&command, &format!("{command} --owner {owner}"))
}
