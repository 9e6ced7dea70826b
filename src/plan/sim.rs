//! A server in a few lines, for tests: prerequisites and updates of RFC 2136 §3 applied to a [`View`].

use super::{Edit, Guard};
use crate::model::{Name, RrType, rdata};
use crate::view::View;

/// Whether a prerequisite holds (RFC 2136 §3.2). TTLs are not compared.
pub fn holds(view: &View, guard: &Guard) -> bool {
    match guard {
        Guard::NameNotInUse(name) => !view.in_use(name),
        Guard::NameInUse(name) => view.in_use(name),
        Guard::SetAbsent(name, rtype) => view.get(name, *rtype).is_none(),
        Guard::SetExists(name, rtype) => view.get(name, *rtype).is_some(),
        Guard::SetIs(name, rtype, values) => view.get(name, *rtype).is_some_and(|set| {
            set.values.len() == values.len()
                && values.iter().all(|value| set.values.iter().any(|other| rdata::same(*rtype, value, other)))
        }),
    }
}

/// Sends one message: nothing happens unless every prerequisite holds. Gives the first that does not.
///
/// # Errors
/// That prerequisite; the view is as it was.
pub fn send<'g>(view: &mut View, guards: &'g [Guard], edits: &[Edit]) -> Result<(), &'g Guard> {
    if let Some(failed) = guards.iter().find(|guard| !holds(view, guard)) {
        return Err(failed);
    }
    for edit in edits {
        apply(view, edit);
    }
    view.set_serial(view.serial().wrapping_add(1));
    Ok(())
}

/// One step, with what servers silently ignore (RFC 2136 §3.4.2).
fn apply(view: &mut View, edit: &Edit) {
    let apex = view.zone().clone();
    match edit {
        Edit::Remove(name, rtype, value) => {
            let last_ns = *rtype == RrType::NS
                && *name == apex
                && view.get(name, *rtype).is_some_and(|set| set.values.len() == 1);
            if !last_ns && *rtype != RrType::SOA {
                view.remove(name, *rtype, value);
            }
        }
        Edit::Add(name, rtype, ttl, value) => {
            let others = view.at(name);
            let clash = |t: RrType| !t.is_dnssec() && t != *rtype;
            let ignored = if *rtype == RrType::CNAME {
                others.iter().any(|(t, _)| clash(*t))
            } else {
                others.iter().any(|(t, _)| *t == RrType::CNAME)
            };
            if ignored || hidden(view, name) || (*rtype == RrType::DNAME && view.below(name).next().is_some()) {
                return;
            }
            let there = others.iter().find(|(t, _)| t == rtype).map(|(_, set)| set);
            if there.is_some_and(|set| set.values.iter().any(|other| rdata::same(*rtype, other, value))) {
                return;
            }
            if matches!(*rtype, RrType::CNAME | RrType::DNAME) {
                for old in there.into_iter().flat_map(|set| &set.values) {
                    view.remove(name, *rtype, old);
                }
            }
            view.add(name, *rtype, *ttl, value.clone());
        }
    }
}

fn hidden(view: &View, name: &Name) -> bool {
    let mut above = name.parent();
    while let Some(here) = above.filter(|here| here.is_at_or_below(view.zone())) {
        if view.get(&here, RrType::DNAME).is_some() {
            return true;
        }
        above = here.parent();
    }
    false
}
