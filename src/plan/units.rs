//! Cuts a plan into units: what an UPDATE must never split.

use super::{Change, Edit, Guard, Plan};
use crate::model::{FastMap, FastSet, Name, Rdata, RrType};

/// Changes that travel in one message or not at all: a connected component over the record sets that they pin.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Indices into the plan's changes.
    pub changes: Vec<usize>,
    /// Prerequisites besides the fence, each once.
    pub guards: Vec<Guard>,
    /// Steps in the order in which they must stand in the message.
    pub edits: Vec<Edit>,
    /// New NS records of the apex come before the removal of the old ones; all else is removed before it is added.
    pub adds_first: bool,
    /// To be sent once the change of this index was answered.
    pub after: Option<usize>,
}

/// The units of a plan, in the plan's order. What the brake holds is in none of them.
pub fn units(plan: &Plan) -> Vec<Unit> {
    let sendable: Vec<usize> = (0..plan.changes.len()).filter(|index| !plan.changes[*index].held).collect();
    let mut sets = Groups::new(plan.changes.len());
    // Joined by name: the types of a name share its marker's set anyway, and a prerequisite about a whole name concerns each.
    let mut first: FastMap<&Name, usize> = FastMap::default();
    for &index in sendable.iter().filter(|index| plan.changes[**index].after.is_none()) {
        let mut last: Option<&Name> = None;
        for name in pinned(&plan.changes[index]) {
            if last == Some(name) {
                continue;
            }
            last = Some(name);
            let other = *first.entry(name).or_insert(index);
            sets.join(other, index);
        }
    }
    let mut members: FastMap<usize, usize> = FastMap::default();
    let mut units: Vec<Unit> = Vec::new();
    for index in sendable {
        let change = &plan.changes[index];
        let place = *members.entry(sets.root(index)).or_insert_with(|| {
            units.push(Unit {
                changes: Vec::new(),
                guards: Vec::new(),
                edits: Vec::new(),
                adds_first: false,
                after: change.after,
            });
            units.len() - 1
        });
        units[place].changes.push(index);
    }
    for unit in &mut units {
        fill(unit, plan);
    }
    units
}

/// One unit of precisely these changes of a plan.
pub fn unit_of(plan: &Plan, changes: Vec<usize>) -> Unit {
    let mut unit = Unit { changes, guards: Vec::new(), edits: Vec::new(), adds_first: false, after: None };
    fill(&mut unit, plan);
    unit
}

/// Whether some of these changes may be made without the others, when the server does not take them all: none of them makes
/// room for another (a CNAME stands alone, RFC 1034 §3.6.2), and no step belongs to two of them, as the removal of a mark
/// that speaks for both would.
pub fn can_part(plan: &Plan, changes: &[usize]) -> bool {
    let mut steps = FastSet::default();
    changes.len() > 1
        && changes.iter().map(|index| &plan.changes[*index]).all(|change| {
            let alone = matches!(change.rtype, RrType::CNAME | RrType::DNAME) || change.after.is_some();
            !alone
                && change.edits.iter().all(|edit| {
                    let (Edit::Add(name, rtype, _, rdata) | Edit::Remove(name, rtype, rdata)) = edit;
                    steps.insert((matches!(edit, Edit::Add(..)), key(name, *rtype, rdata)))
                })
        })
}

fn fill(unit: &mut Unit, plan: &Plan) {
    // One change alone repeats nothing.
    let alone = unit.changes.len() == 1;
    let (mut guards, mut removes, mut adds) = (FastSet::default(), FastSet::default(), FastSet::default());
    let (mut first, mut middle, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for change in unit.changes.iter().map(|index| &plan.changes[*index]) {
        unit.guards.extend(change.guards.iter().filter(|guard| alone || guards.insert(*guard)).cloned());
        for edit in &change.edits {
            match edit {
                Edit::Remove(name, rtype, rdata) if alone || removes.insert(key(name, *rtype, rdata)) => {
                    middle.push(edit.clone())
                }
                Edit::Add(name, rtype, _, rdata) if alone || adds.insert(key(name, *rtype, rdata)) => {
                    let apex_ns = *rtype == RrType::NS && *name == plan.zone;
                    if apex_ns { first.push(edit.clone()) } else { last.push(edit.clone()) }
                }
                _ => {}
            }
        }
    }
    unit.adds_first = !first.is_empty();
    unit.edits = first.into_iter().chain(middle).chain(last).collect();
}

fn key<'a>(name: &'a Name, rtype: RrType, rdata: &'a Rdata) -> (&'a Name, RrType, &'a [u8]) {
    (name, rtype, rdata)
}

/// The names of the record sets that a change pins or touches.
fn pinned(change: &Change) -> impl Iterator<Item = &Name> {
    let guards = change.guards.iter().map(|guard| match guard {
        Guard::NameNotInUse(name)
        | Guard::NameInUse(name)
        | Guard::SetAbsent(name, _)
        | Guard::SetExists(name, _)
        | Guard::SetIs(name, ..) => name,
    });
    let edits = change.edits.iter().map(|edit| match edit {
        Edit::Remove(name, ..) | Edit::Add(name, ..) => name,
    });
    guards.chain(edits)
}

/// Union-find over indices.
struct Groups(Vec<usize>);

impl Groups {
    fn new(len: usize) -> Groups {
        Groups((0..len).collect())
    }
    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }
    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
