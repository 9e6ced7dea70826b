//! The planner: claims × view → plan, a pure value.
//!
//! [`plan_zone`] plans a whole zone once; [`Planner`] keeps what it learned and plans again only the names that changed.
//! [`units`] cuts a plan into the pieces that an UPDATE must never split.

mod admit;
pub mod brake;
mod chain;
mod check;
mod contest;
mod moves;
mod name;
mod planner;
#[doc(hidden)]
pub mod sim;
mod size;
mod steps;
mod tree;
mod units;
mod wish;

use std::collections::BTreeMap;

pub use brake::BrakeState;
pub use contest::order as claim_order;
pub use moves::is_taken;
pub use planner::{Dirty, PlanOptions, Planner, plan_zone};
pub use size::{SET_LIMIT, set_size};
pub use steps::{as_seen, data_sets, mark_edits, node_after, set_edits};
pub use units::{Unit, can_part, unit_of, units};

use crate::model::{Name, ObjectId, Rdata, RrSet, RrType};
use crate::ownership::BrakeLimit;
use crate::view::View;

/// A prerequisite of an UPDATE (RFC 2136 §2.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Guard {
    /// The name holds no record.
    NameNotInUse(Name),
    /// The name holds some record.
    NameInUse(Name),
    /// The set is absent.
    SetAbsent(Name, RrType),
    /// The set exists, whatever its values.
    SetExists(Name, RrType),
    /// The set holds precisely these values, as transferred. TTLs are not compared by servers.
    SetIs(Name, RrType, Vec<Rdata>),
}

/// One step of an UPDATE. Removes are sent before adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Remove one record by value (RFC 2136 §2.5.4).
    Remove(Name, RrType, Rdata),
    /// Add one record (RFC 2136 §2.5.1).
    Add(Name, RrType, u32, Rdata),
}

/// What a change does, as the output names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// A new set.
    Create,
    /// Other values (a type swap is a delete and a create in one unit).
    Replace,
    /// Only the TTL.
    Ttl,
    /// The set goes.
    Delete,
    /// A set that was there becomes ours.
    Adopt,
    /// Only the marker changes hands or policy; the set stays as it is.
    Remark,
    /// Only the marker goes: the set is let go, or was gone already.
    Release,
}

impl Action {
    /// The stable word of the JSON output.
    pub fn word(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Replace => "replace",
            Action::Ttl => "ttl",
            Action::Delete => "delete",
            Action::Adopt => "adopt",
            Action::Remark => "remark",
            Action::Release => "release",
        }
    }
}

/// One record set's step of a plan, with its prerequisites.
#[derive(Debug, Clone)]
pub struct Change {
    /// What it does.
    pub action: Action,
    /// Owner name.
    pub name: Name,
    /// Type.
    pub rtype: RrType,
    /// The set before.
    pub old: Option<RrSet>,
    /// The set after.
    pub new: Option<RrSet>,
    /// The object it is done for.
    pub source: Option<ObjectId>,
    /// Words for people where the action alone does not tell ("marker only: values were changed by others").
    pub note: Option<String>,
    /// Prerequisites besides the fence.
    pub guards: Vec<Guard>,
    /// The steps.
    pub edits: Vec<Edit>,
    /// Whether the brake counts it.
    pub counted: bool,
    /// Whether the brake holds it.
    pub held: bool,
    /// Must be sent after the change of this index was answered (a DNAME replaced, DNAMEs that share a marker node).
    pub after: Option<usize>,
}

/// A stable reason word (DESIGN §4, status reasons).
pub type Reason = &'static str;

/// A claim that cannot be fulfilled now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Owner name.
    pub name: Name,
    /// Type.
    pub rtype: RrType,
    /// Stable word: `NameClaimed`, `OwnedByOther`, `Contested`, `Incompatible`, `NotIdentical` …
    pub reason: Reason,
    /// The other owner in words (`externalDns default service/x/y`, `staticdnsrecord/dns/other`), empty when nobody.
    pub owner: String,
    /// The object that loses.
    pub source: Option<ObjectId>,
    /// What is wrong and the way out, one sentence each.
    pub message: String,
}

/// A set of ours that nothing declares and nobody asked to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Owner name.
    pub name: Name,
    /// Type.
    pub rtype: RrType,
    /// The object its marker names.
    pub resource: ObjectId,
    /// Its deletion would take away only the marker (`deletionPolicy: Retain`).
    pub retain: bool,
}

/// What the brake holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Stable over the held operations only.
    pub hash: String,
    /// Deletes held.
    pub deletes: usize,
    /// Replaces of sets of ours held.
    pub replaces: usize,
    /// Takeovers of unmarked or foreign sets held, where values change.
    pub takeovers: usize,
    /// Sets owned when the window began; sets that are to be taken over are not among them.
    pub owned: usize,
    /// Operations that the limit allows within the window.
    pub limit: usize,
    /// Operations within the window that went already.
    pub recent: usize,
}

/// What would change in one zone, what would not, and why.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Apex.
    pub zone: Name,
    /// The view's serial.
    pub serial: u32,
    /// In name order; `after` points into it.
    pub changes: Vec<Change>,
    /// Claims that cannot be fulfilled.
    pub conflicts: Vec<Conflict>,
    /// Ours without provenance.
    pub orphans: Vec<Orphan>,
    /// Deletes that wait because the source is incomplete: count, and the first reason.
    pub waiting: Option<(usize, String)>,
    /// What the brake holds.
    pub held: Option<Held>,
    /// Sets left alone, by writer class.
    pub skipped: BTreeMap<&'static str, usize>,
    /// Sets of ours in the view.
    pub owned: usize,
    /// Claims that can only follow once the changes of this plan are in the zone: plan again after applying.
    pub deferred: usize,
    /// The names of these, and of sets whose deletes wait.
    pub unfinished: Vec<Name>,
    /// Why nothing at all was planned for this zone.
    pub refused: Option<Refusal>,
    /// What a person should know and need not act upon (TTLs of a shared set that disagree).
    pub notes: Vec<String>,
    /// Report only: nothing of this may be sent.
    pub observe: bool,
    /// What the brake decided, for [`BrakeState::absorb`].
    pub verdict: brake::Verdict,
}

impl Plan {
    /// A plan of a view that changes nothing yet.
    pub fn empty(view: &View) -> Plan {
        Plan {
            zone: view.zone().clone(),
            serial: view.serial(),
            changes: Vec::new(),
            conflicts: Vec::new(),
            orphans: Vec::new(),
            waiting: None,
            held: None,
            skipped: BTreeMap::new(),
            owned: 0,
            deferred: 0,
            unfinished: Vec::new(),
            refused: None,
            notes: Vec::new(),
            observe: false,
            verdict: brake::Verdict::default(),
        }
    }

    /// Lets the brake judge the counted changes against `owned` sets; what it holds is marked, and shown by `held`.
    pub fn brake(&mut self, limit: &BrakeLimit, state: &BrakeState, owned: usize, release: &[String]) {
        let (held, verdict) = brake::judge(&mut self.changes, limit, state, owned, true, release);
        (self.held, self.verdict) = (held, verdict);
    }

    /// Takes over what the plan after applying this one says is left: all but the changes.
    pub fn left_after(&mut self, after: &Plan) {
        self.conflicts.clone_from(&after.conflicts);
        self.orphans.clone_from(&after.orphans);
        self.held.clone_from(&after.held);
        self.waiting.clone_from(&after.waiting);
        self.owned = after.owned;
        self.skipped.clone_from(&after.skipped);
    }

    /// Whether there is nothing to send, held changes aside.
    pub fn is_settled(&self) -> bool {
        self.deferred == 0 && self.changes.iter().all(|change| change.held)
    }
}

/// Why a whole zone is not planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable word.
    pub reason: Reason,
    /// What is wrong and the way out.
    pub message: String,
}

#[cfg(test)]
mod tests;
