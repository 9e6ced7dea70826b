//! What changed in the claims of a zone: for sources that tell of changes instead of whole worlds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::claim::OrphanKey;
use super::{Claim, Claims, FastMap, FastSet, Name, ObjectId, ObjectState, RrType, SourceHealth};

/// What changed in the claims of one zone since the edit before.
#[derive(Debug, Clone, Default)]
pub struct ClaimsEdit {
    /// The state of the source that this leads to.
    pub revision: u64,
    /// All claims of each of these names as they are now; none: nothing is declared there any more.
    pub names: BTreeMap<Name, BTreeMap<RrType, Vec<Claim>>>,
    /// The state of each of these objects as it is now; `None`: it is gone from the source.
    pub objects: FastMap<ObjectId, Option<ObjectState>>,
    /// Whether the source was read in full, if that changed.
    pub health: Option<SourceHealth>,
    /// The orphans that a person ordered to be deleted, if they are others than before.
    pub released: Option<Arc<FastSet<OrphanKey>>>,
}

/// What an edit came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// Names whose claims are now others.
    pub names: Vec<Name>,
    /// The state of some object, the health of the source or what a person released changed.
    pub objects: bool,
}

impl ClaimsEdit {
    /// Takes in what came after it, so that one edit stands for both.
    pub fn merge(&mut self, later: ClaimsEdit) {
        self.revision = later.revision;
        self.names.extend(later.names);
        self.objects.extend(later.objects);
        self.health = later.health.or(self.health.take());
        self.released = later.released.or(self.released.take());
    }
}

impl Claims {
    /// Applies an edit; its cost follows the edit, not the claims.
    pub fn edit(&mut self, edit: ClaimsEdit) -> Edited {
        let mut edited = Edited::default();
        self.revision = edit.revision;
        for (name, types) in edit.names {
            if types.is_empty() {
                if self.sets.remove(&name).is_some() {
                    edited.names.push(name);
                }
            } else if !self.sets.get(&name).is_some_and(|old| same(old, &types)) {
                edited.names.push(name.clone());
                self.sets.insert(name, types);
            }
        }
        if !edit.objects.is_empty() {
            let objects = Arc::make_mut(&mut self.objects);
            for (object, state) in edit.objects {
                let before = match state {
                    Some(state) => objects.insert(object, state),
                    None => objects.remove(&object),
                };
                edited.objects |= before != state;
            }
        }
        if let Some(health) = edit.health {
            edited.objects |= self.health != health;
            self.health = health;
        }
        if let Some(released) = edit.released {
            edited.objects |= self.released != released;
            self.released = released;
        }
        edited
    }
}

/// Whether two lists of claims on the sets of one name say the same.
fn same(a: &BTreeMap<RrType, Vec<Claim>>, b: &BTreeMap<RrType, Vec<Claim>>) -> bool {
    let lists = |(a, b): (&Vec<Claim>, &Vec<Claim>)| {
        a.len() == b.len() && a.iter().zip(b).all(|(one, other)| one.says_the_same(other))
    };
    a.len() == b.len() && a.iter().zip(b).all(|((t, a), (u, b))| t == u && lists((a, b)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{AdoptPolicy, DeletionPolicy, RrSet};

    fn claim(name: &str, last: u8) -> Claim {
        Claim {
            name: Name::parse(name).unwrap(),
            rtype: RrType::A,
            set: RrSet::new(RrType::A, 300, [[10, 0, 0, last].into()]),
            object: ObjectId::static_record("dns", name),
            created: None,
            adopt: AdoptPolicy::Never,
            deletion: DeletionPolicy::Delete,
            share: false,
            reverse: false,
        }
    }

    fn edit(revision: u64, names: &[(&str, Option<u8>)]) -> ClaimsEdit {
        let mut edit = ClaimsEdit { revision, ..ClaimsEdit::default() };
        for (name, last) in names {
            let types = last.map(|last| BTreeMap::from([(RrType::A, vec![claim(name, last)])])).unwrap_or_default();
            edit.names.insert(Name::parse(name).unwrap(), types);
            let state = last.map(|_| ObjectState::Present);
            edit.objects.insert(ObjectId::static_record("dns", name), state);
        }
        edit
    }

    #[test]
    fn only_what_differs_counts() {
        let mut claims = Claims::default();
        let done = claims.edit(edit(1, &[("a.x", Some(1)), ("b.x", Some(2))]));
        assert_eq!((done.names.len(), done.objects, claims.sets.len(), claims.revision), (2, true, 2, 1));
        let done = claims.edit(edit(2, &[("a.x", Some(1)), ("b.x", Some(3)), ("c.x", None)]));
        assert_eq!((done.names.len(), done.objects), (1, false));
        let done = claims.edit(edit(3, &[("b.x", None)]));
        assert_eq!((done.names.len(), done.objects, claims.sets.len(), claims.objects.len()), (1, true, 1, 1));
        let health = Some(SourceHealth::Incomplete(vec!["a watch was lost".to_owned()]));
        assert!(claims.edit(ClaimsEdit { health: health.clone(), ..ClaimsEdit::default() }).objects);
        assert!(!claims.edit(ClaimsEdit { health, ..ClaimsEdit::default() }).objects);
    }

    #[test]
    fn merged_edits_come_to_the_same() {
        let steps = [
            edit(1, &[("a.x", Some(1)), ("b.x", Some(2))]),
            edit(2, &[("b.x", None), ("c.x", Some(3))]),
            edit(3, &[("c.x", Some(4)), ("b.x", Some(5))]),
        ];
        let (mut one, mut all) = (Claims::default(), ClaimsEdit::default());
        for step in steps {
            one.edit(step.clone());
            all.merge(step);
        }
        let mut at_once = Claims::default();
        at_once.edit(all);
        let sets = |claims: &Claims| format!("{:?}", claims.sets);
        assert_eq!(sets(&one), sets(&at_once));
        assert_eq!((one.objects, one.revision), (at_once.objects, at_once.revision));
    }
}
