//! Prerequisites and edits judged on our own copy of the zone.

use std::borrow::Cow;

use crate::model::{FastMap, FastSet, Name, RrSet, RrType, rdata};
use crate::plan::{Edit, Guard};
use crate::view::View;

/// Whether the guard would hold on this copy (RFC 2136 §3.2).
pub fn holds(view: &View, guard: &Guard) -> bool {
    match guard {
        Guard::NameNotInUse(name) => !view.in_use(name),
        Guard::NameInUse(name) => view.in_use(name),
        Guard::SetAbsent(name, rtype) => view.get(name, *rtype).is_none(),
        Guard::SetExists(name, rtype) => view.get(name, *rtype).is_some(),
        Guard::SetIs(name, rtype, values) => view
            .get(name, *rtype)
            .is_some_and(|set| set.same_values(&RrSet::new(*rtype, 0, values.iter().cloned()), *rtype)),
    }
}

/// Whether the copy shows what these edits wished: all added records with their TTL, none of the removed ones.
/// A record that is removed and added again (a TTL change) counts as added, also by one of `later`, the additions of
/// messages that followed.
pub fn satisfied(view: &View, edits: &[Edit], later: &[Edit]) -> bool {
    // Each set is fetched once: a unit may hold thousands of edits of one set.
    let mut live: FastMap<(&Name, RrType), Live> = FastMap::default();
    let added: FastSet<(&Name, RrType, Cow<'_, [u8]>)> = edits
        .iter()
        .chain(later)
        .filter_map(|edit| match edit {
            Edit::Add(name, rtype, _, value) => Some((name, *rtype, rdata::canonical(*rtype, value))),
            Edit::Remove(..) => None,
        })
        .collect();
    edits.iter().all(|edit| {
        let (name, rtype, value, ttl) = match edit {
            Edit::Add(name, rtype, ttl, value) => (name, *rtype, value, Some(*ttl)),
            Edit::Remove(name, rtype, value) => (name, *rtype, value, None),
        };
        let live = live.entry((name, rtype)).or_insert_with(|| Live::of(view.get(name, rtype), rtype));
        let value = rdata::canonical(rtype, value);
        match ttl {
            Some(ttl) => live.ttl == ttl && live.values.contains(value.as_ref()),
            None => !live.values.contains(value.as_ref()) || added.contains(&(name, rtype, value)),
        }
    })
}

struct Live {
    ttl: u32,
    values: FastSet<Vec<u8>>,
}

impl Live {
    fn of(set: Option<RrSet>, rtype: RrType) -> Live {
        match set {
            Some(set) => Live {
                ttl: set.ttl,
                values: set.values.iter().map(|value| rdata::canonical(rtype, value).into_owned()).collect(),
            },
            None => Live { ttl: 0, values: FastSet::default() },
        }
    }
}

/// What stands in the way of a guard, for people.
pub fn why_not(view: &View, guard: &Guard) -> String {
    let shown = |name: &Name, rtype: RrType| match view.get(name, rtype) {
        Some(set) => {
            let values: Vec<String> = set.values.iter().take(4).map(|value| rdata::to_text(rtype, value)).collect();
            let more = set.values.len().saturating_sub(4);
            let tail = if more > 0 { format!(" (+{more})") } else { String::new() };
            format!("{} {rtype} is now {}{tail}", name.to_relaxed(), values.join(", "))
        }
        None => format!("{} {rtype} is gone", name.to_relaxed()),
    };
    match guard {
        Guard::NameNotInUse(name) => {
            let types: Vec<String> = view.at(name).iter().map(|(rtype, _)| rtype.to_string()).collect();
            format!("{} holds {} now", name.to_relaxed(), types.join(", "))
        }
        Guard::NameInUse(name) => format!("{} holds nothing any more", name.to_relaxed()),
        Guard::SetAbsent(name, rtype) | Guard::SetExists(name, rtype) | Guard::SetIs(name, rtype, _) => {
            shown(name, *rtype)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn view() -> View {
        let mut view = View::new(n("internal"), 1);
        view.add(&n("a.internal"), RrType::A, 300, [10, 0, 0, 1].into());
        view.add(&n("a.internal"), RrType::A, 300, [10, 0, 0, 2].into());
        view
    }

    #[test]
    fn guards_are_judged_as_a_server_does() {
        let view = view();
        let a = || n("a.internal");
        assert!(holds(&view, &Guard::NameInUse(a())) && !holds(&view, &Guard::NameNotInUse(a())));
        assert!(holds(&view, &Guard::NameNotInUse(n("b.internal"))));
        assert!(holds(&view, &Guard::SetExists(a(), RrType::A)) && holds(&view, &Guard::SetAbsent(a(), RrType::TXT)));
        let both = vec![[10, 0, 0, 2].into(), [10, 0, 0, 1].into()];
        assert!(holds(&view, &Guard::SetIs(a(), RrType::A, both.clone())));
        assert!(!holds(&view, &Guard::SetIs(a(), RrType::A, both[..1].to_vec())));
    }

    #[test]
    fn a_wish_is_met_only_with_its_ttl() {
        let view = view();
        let add = |ttl| Edit::Add(n("a.internal"), RrType::A, ttl, [10, 0, 0, 1].into());
        let remove = |last: u8| Edit::Remove(n("a.internal"), RrType::A, [10, 0, 0, last].into());
        assert!(satisfied(&view, &[add(300)], &[]) && !satisfied(&view, &[add(60)], &[]));
        assert!(satisfied(&view, &[remove(1), add(300)], &[]));
        assert!(!satisfied(&view, &[remove(1)], &[]) && satisfied(&view, &[remove(3)], &[]));
        assert!(satisfied(&view, &[remove(1)], &[add(300)]), "a later message brought it back");
        assert!(!satisfied(&view, &[remove(1)], &[Edit::Add(n("b.internal"), RrType::A, 300, [10, 0, 0, 1].into())]));
    }
}
