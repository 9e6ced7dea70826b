//! DNAMEs that share a marker node, one after the other.
//!
//! A message with two DNAMEs kills old servers, and DNAMEs of one parent pin the same marker set, which changes with each
//! of them. So each waits for the answer to the one before and pins the set as that one left it.

use std::collections::BTreeMap;

use super::steps::node_after;
use super::{Change, Edit, Guard};
use crate::model::{Name, Rdata, RrType};
use crate::ownership::ZoneRules;
use crate::view::View;

/// Orders the changes of DNAMEs that share a marker node with other changes.
pub(super) fn dnames(rules: &ZoneRules, view: &View, changes: &mut [Change]) {
    let mut nodes: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.rtype == RrType::DNAME && !change.held) {
        if let Some(node) = node_of(rules, &change.name) {
            nodes.insert(node, Vec::new());
        }
    }
    if nodes.is_empty() {
        return;
    }
    for (index, change) in changes.iter().enumerate().filter(|(_, change)| !change.held) {
        let touched = change.edits.iter().filter_map(|edit| match edit {
            Edit::Remove(name, RrType::TXT, _) | Edit::Add(name, RrType::TXT, ..) => Some(name),
            _ => None,
        });
        let own = (change.rtype == RrType::DNAME).then(|| node_of(rules, &change.name)).flatten();
        let mut members: Vec<Name> = touched.cloned().chain(own).collect();
        members.sort();
        members.dedup();
        for node in members {
            if let Some(list) = nodes.get_mut(&node) {
                list.push(index);
            }
        }
    }
    for (node, members) in nodes {
        let (dnames, others): (Vec<usize>, Vec<usize>) =
            members.into_iter().partition(|index| changes[*index].rtype == RrType::DNAME);
        let mut state: Vec<Rdata> = view.get(&node, RrType::TXT).map(|set| set.values).unwrap_or_default();
        for index in &others {
            state = node_after(&state, &node, &changes[*index].edits);
        }
        let mut before = others.first().copied();
        for index in dnames {
            if let Some(first) = before {
                let change = &mut changes[index];
                change.after = Some(first);
                change.guards.retain(|guard| !pins(guard, &node));
                change.guards.push(if state.is_empty() {
                    Guard::SetAbsent(node.clone(), RrType::TXT)
                } else {
                    Guard::SetIs(node.clone(), RrType::TXT, state.clone())
                });
            }
            state = node_after(&state, &node, &changes[index].edits);
            before = Some(index);
        }
    }
}

fn node_of(rules: &ZoneRules, name: &Name) -> Option<Name> {
    super::wish::node(rules, name, RrType::DNAME)
}

fn pins(guard: &Guard, node: &Name) -> bool {
    match guard {
        Guard::SetIs(name, RrType::TXT, _) | Guard::SetAbsent(name, RrType::TXT) | Guard::NameNotInUse(name) => {
            name == node
        }
        _ => false,
    }
}
