//! The list of a zone, kept ready in pieces: a change of the zone costs the pieces that it touches, and an answer costs nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::list::{List, Notes};
use super::registry::Owners;
use crate::model::{Name, RrType};
use crate::ownership::{ZoneRules, external_dns};
use crate::view::View;

/// Names in one piece. Small, so that a change renders little anew; large, so that a list is not made of crumbs.
const NAMES: usize = 256;

/// One run of names and its endpoints.
#[derive(Debug, Clone)]
struct Piece {
    first: Name,
    json: Arc<[u8]>,
}

/// What ExternalDNS is shown of one zone, as JSON.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    notes: Notes,
    pieces: Vec<Piece>,
}

impl Catalogue {
    /// Of a whole zone.
    pub fn new(rules: &ZoneRules, owners: &Owners, view: &View) -> Catalogue {
        let notes = Notes::scan(rules, view);
        let pieces = render(&List::new(rules, owners, view, &notes), view, view.zone(), None);
        Catalogue { notes, pieces }
    }

    /// Follows a zone from `old` to `view`, which differ at `names`.
    pub fn update(&mut self, rules: &ZoneRules, owners: &Owners, old: &View, view: &View, names: &[Name]) {
        let mut touched: BTreeSet<Name> = BTreeSet::new();
        for name in names {
            touched.extend(self.notes.update(rules, view, name));
            touched.insert(name.clone());
            // Whether an ownership TXT is shown hangs on whether its record is there.
            let types =
                |view: &View| view.node(name).map(|node| node.sets().map(|set| set.rtype).collect::<BTreeSet<_>>());
            let (before, now) = (types(old).unwrap_or_default(), types(view).unwrap_or_default());
            for rtype in before.symmetric_difference(&now) {
                touched.extend(external_dns::txt_names(&rules.external_dns, &rules.zone, name, *rtype));
            }
        }
        if self.pieces.is_empty() {
            *self = Catalogue::new(rules, owners, view);
            return;
        }
        let of = |name: &Name| self.pieces.partition_point(|piece| piece.first <= *name).saturating_sub(1);
        let pieces: BTreeSet<usize> = touched.iter().map(of).collect();
        let list = List::new(rules, owners, view, &self.notes);
        // From the last to the first, so that the places of those to come stay.
        for at in pieces.into_iter().rev() {
            let from = if at == 0 { view.zone() } else { &self.pieces[at].first };
            let new = render(&list, view, from, self.pieces.get(at + 1).map(|piece| &piece.first));
            self.pieces.splice(at..=at, new);
        }
    }

    /// The elements of a JSON array, with commas between them inside of each piece; no piece is empty.
    pub fn json(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.pieces.iter().map(|piece| &piece.json).filter(|json| !json.is_empty())
    }

    /// The sets that want PTRs.
    pub fn wanting_ptrs(&self) -> impl Iterator<Item = &(Name, RrType)> {
        self.notes.wanting_ptrs()
    }
}

/// The names from `from` up to `until`, in pieces.
fn render(list: &List<'_>, view: &View, from: &Name, until: Option<&Name>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut first, mut json, mut count) = (None, Vec::new(), 0);
    for node in view.nodes_from(from) {
        let name = node.name();
        if until.is_some_and(|until| name >= *until) {
            break;
        }
        first.get_or_insert(name);
        list.name(node, &mut |endpoint| {
            if !json.is_empty() {
                json.push(b',');
            }
            // Writing texts and numbers to a vector cannot fail.
            let _ = serde_json::to_writer(&mut json, &endpoint);
        });
        count += 1;
        if count == NAMES {
            pieces.extend(first.take().map(|first| Piece { first, json: json.as_slice().into() }));
            json.clear();
            count = 0;
        }
    }
    pieces.extend(first.map(|first| Piece { first, json: json.into() }));
    pieces
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Rdata;
    use crate::ownership::{test_rules, txt};
    use proptest::prelude::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn all(catalogue: &Catalogue) -> Vec<u8> {
        let pieces: Vec<&[u8]> = catalogue.json().map(|piece| &piece[..]).collect();
        pieces.join(&b","[..])
    }

    /// One change of a zone of a few hundred names: addresses, their ownership TXTs, and aliases.
    fn change(view: &mut View, (host, kind, is_there): (u16, u8, bool)) {
        let own = txt::split(b"heritage=external-dns,external-dns/owner=k8s");
        let (name, rtype, value): (String, RrType, Rdata) = match kind {
            0 => (format!("h{host}.internal"), RrType::A, [10, 0, (host >> 8) as u8, host as u8].into()),
            1 => (format!("a-h{host}.internal"), RrType::TXT, own),
            2 => (format!("_edns-a.h{host}.internal"), RrType::TXT, txt::split(b"heritage=knotwork-edns,ptr=true")),
            _ => (format!("_edns-a.h{host}.internal"), RrType::TXT, own),
        };
        match is_there {
            true => drop(view.add(&n(&name), rtype, 300, value)),
            false => drop(view.remove(&n(&name), rtype, &value)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Following changes comes to what a reading of the whole zone would be.
        #[test]
        fn follows_a_zone(batches in prop::collection::vec(prop::collection::vec((0u16..900, 0u8..4, any::<bool>()), 0..60), 1..12)) {
            let (rules, owners) = (test_rules(), Owners { own: "k8s".to_owned(), migrate_from: vec![] });
            let mut view = View::new(n("internal"), 1);
            (0..800).for_each(|host| change(&mut view, (host, 0, true)));
            let mut catalogue = Catalogue::new(&rules, &owners, &view);
            for batch in batches {
                let old = view.clone();
                batch.into_iter().for_each(|one| change(&mut view, one));
                let names = view.names_apart(&old);
                catalogue.update(&rules, &owners, &old, &view, &names);
                let fresh = Catalogue::new(&rules, &owners, &view);
                prop_assert!(all(&catalogue) == all(&fresh));
                let ptrs = |catalogue: &Catalogue| catalogue.wanting_ptrs().cloned().collect::<BTreeSet<_>>();
                prop_assert_eq!(ptrs(&catalogue), ptrs(&fresh));
            }
        }
    }
}
