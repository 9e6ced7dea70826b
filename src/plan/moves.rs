//! An object that is renamed to a name which somebody else has keeps its old one until it gets the new one: whoever is asked
//! under the old name would otherwise lose it for nothing.

use std::collections::BTreeMap;

use super::name::NamePlan;
use super::{Action, Conflict};
use crate::model::{Claims, FastSet, Name, ObjectId, ObjectState};

/// Objects that cannot have what they declare, and what stays for that reason.
pub(super) struct Moves<'a> {
    claims: &'a Claims,
    stuck: FastSet<&'a ObjectId>,
    kept: BTreeMap<ObjectId, Vec<String>>,
}

/// Whether a conflict says that somebody else has the name. Where a set cannot stand beside what is there, the object's
/// own old set may be what is in the way.
pub fn is_taken(reason: &str) -> bool {
    matches!(reason, "NameClaimed" | "OwnedByOther" | "NotIdentical" | "Contested")
}

impl<'a> Moves<'a> {
    /// Who is stuck. An object that declares one name: where it declares many, what it does not declare any more has
    /// nothing to do with the one that it cannot have.
    pub fn of(claims: &'a Claims, plans: impl Iterator<Item = &'a NamePlan>) -> Moves<'a> {
        let stuck = plans
            .flat_map(|plan| &plan.conflicts)
            .filter(|conflict| is_taken(conflict.reason))
            .filter_map(|conflict| conflict.source.as_ref())
            .filter(|object| object.declares_one_name())
            .filter(|object| claims.objects.get(*object) == Some(&ObjectState::Present))
            .collect();
        Moves { claims, stuck, kept: BTreeMap::new() }
    }

    /// Whether nothing is done at a name: all that would be is to take out what such an object had there.
    pub fn keep(&mut self, name: &Name, plan: &NamePlan) -> bool {
        if self.stuck.is_empty() || plan.changes.is_empty() || self.claims.sets.contains_key(name) {
            return false;
        }
        let goes = |action: Action| matches!(action, Action::Delete | Action::Release);
        let stays = plan.changes.iter().all(|change| {
            goes(change.action) && change.source.as_ref().is_some_and(|object| self.stuck.contains(object))
        });
        if stays {
            for change in &plan.changes {
                let Some(object) = &change.source else { continue };
                let words = format!("{} {}", name.to_relaxed(), change.rtype);
                self.kept.entry(object.clone()).or_default().push(words);
            }
        }
        stays
    }

    /// Says in the conflicts what stays.
    pub fn tell(&self, conflicts: &mut [Conflict]) {
        for conflict in conflicts {
            let kept = conflict.source.as_ref().and_then(|object| self.kept.get(object));
            if let Some(kept) = kept.filter(|_| is_taken(conflict.reason)) {
                conflict.message += &format!("; until then {} stays", kept.join(", "));
            }
        }
    }
}
