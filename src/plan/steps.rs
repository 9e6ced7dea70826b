//! The guard table of DESIGN §5: the prerequisites and the edits of each operation.

use super::wish::Wish;
use super::{Action, Change, Edit, Guard};
use crate::model::{Name, ObjectId, Rdata, RrSet, RrType, rdata};
use crate::ownership::{NameFacts, Sign, TxtKey, ZoneRules, external_dns, nix};
use crate::view::View;

/// TTL of markers where none stands yet. Nobody resolves them; writers transfer them.
const MARKER_TTL: u32 = 300;

/// Every type that a claim can hold by a field of its own (DESIGN §4): what a type swap pins as absent.
const SUPPORTED: &[RrType] = &[
    RrType::A,
    RrType::AAAA,
    RrType::CNAME,
    RrType::TXT,
    RrType::MX,
    RrType::SRV,
    RrType::NS,
    RrType::PTR,
    RrType::CAA,
    RrType::SSHFP,
    RrType::TLSA,
    RrType::HTTPS,
    RrType::SVCB,
    RrType::NAPTR,
    RrType::DNAME,
    RrType::DS,
    RrType::URI,
    RrType::LOC,
];

/// Prerequisite that pins a TXT set as the view shows it.
pub(super) fn txt_as_seen(view: &View, name: &Name) -> Guard {
    as_seen(name, RrType::TXT, view.get(name, RrType::TXT).as_ref())
}

/// Prerequisite that pins a set as seen, absence included.
pub fn as_seen(name: &Name, rtype: RrType, set: Option<&RrSet>) -> Guard {
    match set {
        Some(set) => Guard::SetIs(name.clone(), rtype, set.values.clone()),
        None => Guard::SetAbsent(name.clone(), rtype),
    }
}

/// Pins a marker node as seen. `Err` when a CNAME stands there, beside which servers silently ignore a TXT.
pub(super) fn pin_node(view: &View, node: &Name) -> Result<Guard, String> {
    if view.get(node, RrType::CNAME).is_some() {
        return Err(format!("a CNAME stands at {}, where the marker would go; remove it", node.to_relaxed()));
    }
    if !view.in_use(node) {
        return Ok(Guard::NameNotInUse(node.clone()));
    }
    Ok(txt_as_seen(view, node))
}

/// Prerequisites of a new set at a name, besides the marker node.
pub(super) fn create_guards(view: &View, facts: &NameFacts, rtype: RrType, swap: bool) -> Vec<Guard> {
    let name = &facts.name;
    if swap {
        let mut guards: Vec<Guard> = data_sets(facts).map(|(t, set)| as_seen(name, t, Some(set))).collect();
        let absent = SUPPORTED.iter().copied().chain([RrType::DHCID, rtype]);
        for other in absent.filter(|t| facts.set(*t).is_none()) {
            let guard = Guard::SetAbsent(name.clone(), other);
            if !guards.contains(&guard) {
                guards.push(guard);
            }
        }
        return guards;
    }
    if !view.in_use(name) {
        return vec![Guard::NameNotInUse(name.clone())];
    }
    let mut guards = Vec::with_capacity(3);
    for other in [rtype, RrType::CNAME, RrType::DHCID] {
        let guard = Guard::SetAbsent(name.clone(), other);
        if !guards.contains(&guard) {
            guards.push(guard);
        }
    }
    guards
}

/// Prerequisites of an adoption besides the marker node: the set, no DHCID, and every place where another tool's
/// ownership of it would be written, as seen.
pub(super) fn adopt_guards(rules: &ZoneRules, view: &View, facts: &NameFacts, rtype: RrType) -> Vec<Guard> {
    let name = &facts.name;
    let mut guards =
        vec![as_seen(name, rtype, facts.set(rtype)), as_seen(name, RrType::DHCID, facts.set(RrType::DHCID))];
    let places = nix::txt_name(&rules.nix_prefix, &rules.zone, name).into_iter().chain(external_dns::txt_names(
        &rules.external_dns,
        &rules.zone,
        name,
        rtype,
    ));
    for place in places {
        push(&mut guards, txt_as_seen(view, &place));
    }
    guards
}

/// Pins the marks that are taken over from another tool, and removes them.
pub(super) fn take_signs(
    view: &View,
    key: Option<&TxtKey>,
    signs: &[&Sign],
    guards: &mut Vec<Guard>,
    edits: &mut Vec<Edit>,
    node: &Name,
) {
    for sign in signs {
        let Some(set) = view.get(&sign.at, RrType::TXT) else { continue };
        if sign.at != *node {
            push(guards, as_seen(&sign.at, RrType::TXT, Some(&set)));
        }
        for value in set.values.into_iter().filter(|value| speaks_for(key, value, sign)) {
            let edit = Edit::Remove(sign.at.clone(), RrType::TXT, value);
            if !edits.contains(&edit) {
                edits.push(edit);
            }
        }
    }
}

/// Whether this TXT value is the one that the sign was read from.
fn speaks_for(key: Option<&TxtKey>, value: &[u8], sign: &Sign) -> bool {
    use crate::ownership::{Marker, MarkerText, Scope, Writer};
    match &sign.writer {
        Writer::ExternalDns { owner, resource } => {
            external_dns::read(key, value).is_some_and(|seen| seen.owner == *owner && seen.resource == *resource)
        }
        Writer::Nix { managed_by } => nix::parse(value).as_ref() == Some(managed_by),
        Writer::Knotwork { owner, resource } => match Marker::parse_rdata(value) {
            MarkerText::Marker(marker) => {
                marker.owner == *owner
                    && marker.resource.as_str() == resource
                    && sign.scope == Scope::Type(marker.rtype)
            }
            // What we cannot read whole we never remove.
            MarkerText::ReadOnly(_) | MarkerText::Other => false,
        },
        _ => false,
    }
}

/// Sets that are data, not the server's own.
pub fn data_sets(facts: &NameFacts) -> impl Iterator<Item = (RrType, &RrSet)> {
    let server_made = |t: RrType| t == RrType::SOA || t == RrType::ZONEMD || t.is_dnssec();
    facts.live.iter().map(|(t, set)| (*t, set)).filter(move |(t, _)| !server_made(*t))
}

/// The steps from one set to another. The TTL of a set moves with its records: all go and come back.
pub fn set_edits(apex: &Name, name: &Name, rtype: RrType, old: Option<&RrSet>, new: Option<&RrSet>) -> Vec<Edit> {
    let has = |set: Option<&RrSet>, value: &Rdata| {
        set.is_some_and(|set| set.values.iter().any(|other| other == value || rdata::same(rtype, other, value)))
    };
    // A server never lets the last apex NS go, so those that stay are not touched.
    let apex_ns = rtype == RrType::NS && name == apex;
    let all = !apex_ns && matches!((old, new), (Some(old), Some(new)) if old.ttl != new.ttl);
    let mut edits = Vec::new();
    for value in old.iter().flat_map(|set| &set.values) {
        if all || !has(new, value) {
            edits.push(Edit::Remove(name.clone(), rtype, value.clone()));
        }
    }
    for (ttl, value) in new.iter().flat_map(|set| set.values.iter().map(|value| (set.ttl, value))) {
        if all || !has(old, value) {
            edits.push(Edit::Add(name.clone(), rtype, ttl, value.clone()));
        }
    }
    edits
}

/// Swaps markers at a node. What stands there keeps its TTL, as an added record would move all of them.
pub fn mark_edits(view: &View, node: &Name, removed: &[Rdata], added: &[Rdata]) -> Vec<Edit> {
    let ttl = view.get(node, RrType::TXT).map_or(MARKER_TTL, |set| set.ttl);
    let remove = removed.iter().map(|rdata| Edit::Remove(node.clone(), RrType::TXT, rdata.clone()));
    let add = added.iter().map(|rdata| Edit::Add(node.clone(), RrType::TXT, ttl, rdata.clone()));
    remove.chain(add).collect()
}

/// The values of a node's TXT after some edits.
pub fn node_after(values: &[Rdata], node: &Name, edits: &[Edit]) -> Vec<Rdata> {
    let mut values = values.to_vec();
    for edit in edits {
        match edit {
            Edit::Remove(name, RrType::TXT, rdata) if name == node => values.retain(|value| value != rdata),
            Edit::Add(name, RrType::TXT, _, rdata) if name == node && !values.contains(rdata) => {
                values.push(rdata.clone());
            }
            _ => {}
        }
    }
    values
}

pub(super) fn push(guards: &mut Vec<Guard>, guard: Guard) {
    if !guards.contains(&guard) {
        guards.push(guard);
    }
}

/// A change with nothing in it yet.
pub(super) fn change(action: Action, name: &Name, rtype: RrType, source: Option<ObjectId>) -> Change {
    Change {
        action,
        name: name.clone(),
        rtype,
        old: None,
        new: None,
        source,
        note: None,
        guards: Vec::new(),
        edits: Vec::new(),
        counted: matches!(action, Action::Replace | Action::Delete),
        held: false,
        after: None,
    }
}

/// The step of a set of ours that is there: replaced, its TTL changed, re-marked; `None` when all is as wished.
pub(super) fn towards(
    rules: &ZoneRules,
    view: &View,
    (name, rtype): (&Name, RrType),
    (node, pin): (&Name, &Guard),
    live: &RrSet,
    wish: &Wish,
    source: Option<ObjectId>,
) -> Option<Change> {
    let same_values = live.same_values(&wish.set, rtype);
    let action = match (same_values, live.ttl == wish.set.ttl) {
        (true, true) if wish.marks_added.is_empty() && wish.marks_removed.is_empty() => return None,
        (true, true) => Action::Remark,
        (true, false) => Action::Ttl,
        (false, _) => Action::Replace,
    };
    let mut change = change(action, name, rtype, source);
    change.old = Some(live.clone());
    change.new = Some(wish.set.clone());
    change.note = wish.note.clone();
    change.guards = vec![pin.clone(), as_seen(name, rtype, Some(live))];
    if action != Action::Remark {
        change.edits = set_edits(&rules.zone, name, rtype, Some(live), Some(&wish.set));
    }
    change.edits.extend(mark_edits(view, node, &wish.marks_removed, &wish.marks_added));
    Some(change)
}
