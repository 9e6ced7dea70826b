//! The brake: how much may be deleted or replaced in a while before a person agrees (DESIGN §5.3).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{Action, Change, Held, Plan};
use crate::model::{RrSet, RrType, rdata};
use crate::ownership::BrakeLimit;

/// One counted operation: a hash of name, type, old and new.
pub type OpId = u64;

/// What the brake has to remember between plans. A one-shot run begins with an empty one.
#[derive(Debug, Clone, Default)]
pub struct BrakeState {
    /// Counted operations that were applied within the window, released ones not among them.
    pub recent: usize,
    /// Sets owned when the window began; `None` takes those that the view shows now.
    pub owned_at_start: Option<usize>,
    /// A process before this one held something, nobody remembers what: all that the next plan counts is held.
    pub distrust: bool,
    held: BTreeSet<OpId>,
    freed: BTreeSet<OpId>,
}

/// What the brake decided about one plan.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    held: BTreeSet<OpId>,
    freed: BTreeSet<OpId>,
    /// The release, of those that were given, that is that of the operations that would be held.
    released: Option<String>,
}

impl BrakeState {
    /// Remembers what a plan's brake decided, so that time alone lets nothing through and a release holds until it is used.
    pub fn absorb(&mut self, plan: &Plan) {
        self.held.clone_from(&plan.verdict.held);
        self.freed.clone_from(&plan.verdict.freed);
        self.distrust = false;
    }

    /// Whether something is held.
    pub fn holds(&self) -> bool {
        self.distrust || !self.held.is_empty()
    }
}

impl Verdict {
    /// The release, of those that were given, that freed operations of this plan.
    pub fn released(&self) -> Option<&str> {
        self.released.as_deref()
    }

    /// Whether an applied change adds to [`BrakeState::recent`].
    pub fn counts(&self, change: &Change) -> bool {
        change.counted && !self.freed.contains(&op_id(change))
    }
}

/// The identity of an operation.
fn op_id(change: &Change) -> OpId {
    let mut hash = Sha256::new();
    hash.update(change.name.wire());
    hash.update(change.rtype.0.to_be_bytes());
    for set in [&change.old, &change.new] {
        feed(&mut hash, change.rtype, set.as_ref());
    }
    let mut eight = [0u8; 8];
    eight.copy_from_slice(&hash.finalize()[..8]);
    OpId::from_be_bytes(eight)
}

fn feed(hash: &mut Sha256, rtype: RrType, set: Option<&RrSet>) {
    let Some(set) = set else { return hash.update([0]) };
    hash.update([1]);
    hash.update(set.ttl.to_be_bytes());
    hash.update((set.values.len() as u32).to_be_bytes());
    for value in &set.values {
        let canonical = rdata::canonical(rtype, value);
        hash.update((canonical.len() as u32).to_be_bytes());
        hash.update(&canonical);
    }
}

/// Holds what exceeds the limit. With `one_tenant` everything is held together; else each namespace is admitted or held
/// whole, the smallest first, so that one namespace's catastrophe never holds another's work.
pub(super) fn judge(
    changes: &mut [Change],
    limit: &BrakeLimit,
    state: &BrakeState,
    owned: usize,
    one_tenant: bool,
    release: &[String],
) -> (Option<Held>, Verdict) {
    // What was deleted since still counts, and so does what came.
    let owned = state.owned_at_start.map_or(owned, |start| start.max(owned));
    let share = (owned as u128 * u128::from(limit.percent) / 100) as usize;
    let most = share.max(limit.at_least as usize);
    let mut verdict = Verdict::default();
    let mut tenants: BTreeMap<String, Vec<(usize, OpId)>> = BTreeMap::new();
    for (index, change) in changes.iter().enumerate().filter(|(_, change)| change.counted) {
        let id = op_id(change);
        if state.freed.contains(&id) {
            verdict.freed.insert(id);
            continue;
        }
        let tenant = change.source.as_ref().filter(|_| !one_tenant).map_or("", |source| source.namespace());
        tenants.entry(tenant.to_owned()).or_default().push((index, id));
    }
    let mut groups: Vec<Vec<(usize, OpId)>> = tenants.into_values().collect();
    groups.sort_by_key(Vec::len);
    let mut room = most.saturating_sub(state.recent);
    let mut held: Vec<(usize, OpId)> = Vec::new();
    for group in groups {
        // What was held once is not let through by time.
        if state.distrust || group.iter().any(|(_, id)| state.held.contains(id)) || group.len() > room {
            held.extend(group);
        } else {
            room -= group.len();
        }
    }
    if held.is_empty() {
        return (None, verdict);
    }
    let ids: BTreeSet<OpId> = held.iter().map(|(_, id)| *id).collect();
    let hash = hash_of(&ids);
    if release.contains(&hash) {
        verdict.released = Some(hash);
        verdict.freed.extend(ids);
        return (None, verdict);
    }
    let number = |action| held.iter().filter(|(index, _)| changes[*index].action == action).count();
    let (deletes, takeovers) = (number(Action::Delete), number(Action::Adopt));
    let summary = Held {
        hash,
        deletes,
        replaces: held.len() - deletes - takeovers,
        takeovers,
        owned,
        limit: most,
        recent: state.recent,
    };
    for (index, _) in held {
        changes[index].held = true;
    }
    verdict.held = ids;
    hold_dependents(changes);
    (Some(summary), verdict)
}

/// What only makes sense together with a held change is held with it: the new half of a type swap, the second half of a
/// DNAME's replacement.
fn hold_dependents(changes: &mut [Change]) {
    let is_alias = |t: RrType| matches!(t, RrType::CNAME | RrType::DNAME);
    let gone: Vec<_> = changes
        .iter()
        .filter(|change| change.held && change.action == Action::Delete)
        .map(|change| (change.name.clone(), change.rtype))
        .collect();
    let gone: BTreeMap<_, _> = gone.into_iter().fold(BTreeMap::new(), |mut map: BTreeMap<_, Vec<_>>, (name, t)| {
        map.entry(name).or_default().push(t);
        map
    });
    for index in 0..changes.len() {
        let change = &changes[index];
        if change.action != Action::Create || change.held {
            continue;
        }
        let swap =
            gone.get(&change.name).is_some_and(|types| types.iter().any(|t| is_alias(*t) || is_alias(change.rtype)));
        let second = change.after.is_some_and(|first| changes[first].held);
        changes[index].held = swap || second;
    }
}

fn hash_of(ids: &BTreeSet<OpId>) -> String {
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id.to_be_bytes());
    }
    hash.finalize()[..8].iter().fold(String::with_capacity(16), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
