//! Packed nodes in sorted pages: little memory, shared between copies of a view, changed page by page.

use std::sync::Arc;

use super::node::{put_sized, sized};
use crate::model::FastSet;

/// The size at which a page that is being filled is closed, in octets.
const FULL: usize = 1024;
/// A page that grows over this is split.
const MOST: usize = 2 * FULL;

/// One name's change: its key and its new body, `None` when the name goes.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// The nodes of a zone by key. Cloning shares the pages.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    pages: Vec<Arc<[u8]>>,
    names: usize,
}

impl Store {
    pub(super) fn names(&self) -> usize {
        self.names
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.find(key).map(|(_, body)| body)
    }

    /// As [`Store::get`], with the key as it lies here.
    pub(super) fn find(&self, key: &[u8]) -> Option<(&[u8], &[u8])> {
        self.from(key).next().filter(|(found, _)| *found == key)
    }

    /// All nodes.
    pub(super) fn iter(&self) -> Nodes<'_> {
        Nodes { pages: &self.pages, rest: &[] }
    }

    /// The nodes from `key` on, this one included.
    pub(super) fn from(&self, key: &[u8]) -> Nodes<'_> {
        if self.pages.is_empty() {
            return self.iter();
        }
        let page = self.page_of(key);
        let mut rest = &self.pages[page][..];
        while !rest.is_empty() {
            let (found, behind) = sized(rest);
            if found >= key {
                break;
            }
            rest = sized(behind).1;
        }
        Nodes { pages: &self.pages[page + 1..], rest }
    }

    /// The nodes of those pages that `other` does not share.
    pub(super) fn apart_from<'a>(&'a self, other: &Store) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let shared: FastSet<*const u8> = other.pages.iter().map(|page| page.as_ptr()).collect();
        let own: Vec<&Arc<[u8]>> = self.pages.iter().filter(|page| !shared.contains(&page.as_ptr())).collect();
        own.into_iter().flat_map(|page| Nodes { pages: &[], rest: page })
    }

    /// The page that holds `key`, or would.
    fn page_of(&self, key: &[u8]) -> usize {
        self.pages.partition_point(|page| sized(page).0 <= key).saturating_sub(1)
    }

    /// Makes changes, which are in the order of their keys, each key once.
    pub(super) fn change(&mut self, changes: &[Change]) {
        if self.pages.is_empty() {
            let mut filler = Filler::default();
            for (key, body) in changes {
                if let Some(body) = body {
                    filler.push(key, body);
                }
            }
            *self = filler.finish();
            return;
        }
        // From the last page to the first, so that the places of pages to come stay.
        let mut changes = changes;
        while let Some((last, _)) = changes.last() {
            let page = self.page_of(last);
            // Keys before the first page belong to it as well.
            let first = if page == 0 { &[][..] } else { sized(&self.pages[page]).0 };
            let cut = changes.partition_point(|(key, _)| &key[..] < first);
            let (before, here) = changes.split_at(cut);
            self.change_page(page, here);
            changes = before;
        }
    }

    fn change_page(&mut self, page: usize, changes: &[Change]) {
        let old = Arc::clone(&self.pages[page]);
        let mut filler = Filler { limit: MOST, ..Filler::default() };
        let mut changes = changes.iter().peekable();
        let mut before = 0;
        for (key, body) in (Nodes { pages: &[], rest: &old }) {
            before += 1;
            while let Some((new, new_body)) = changes.next_if(|(new, _)| &new[..] < key) {
                filler.push_some(new, new_body);
            }
            match changes.next_if(|(new, _)| new == key) {
                Some((_, new_body)) => filler.push_some(key, new_body),
                None => filler.push(key, body),
            }
        }
        for (key, body) in changes {
            filler.push_some(key, body);
        }
        let new = filler.finish();
        self.names = self.names + new.names - before;
        match &new.pages[..] {
            [one] => self.pages[page] = Arc::clone(one),
            pages => drop(self.pages.splice(page..=page, pages.iter().cloned())),
        }
        // Deletes must not leave a page for every few names. The page to the right is as it will stay: changes are made
        // from the last page to the first.
        let left = page + new.pages.len();
        if left > page
            && let [left_page, right_page, ..] = &self.pages[left - 1..]
            && left_page.len() + right_page.len() < FULL
        {
            self.pages[left - 1] = [&left_page[..], right_page].concat().into();
            self.pages.remove(left);
        }
    }
}

/// Iterator over keys and bodies.
#[derive(Clone)]
pub(super) struct Nodes<'a> {
    pages: &'a [Arc<[u8]>],
    rest: &'a [u8],
}

impl<'a> Iterator for Nodes<'a> {
    type Item = (&'a [u8], &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        while self.rest.is_empty() {
            let (page, pages) = self.pages.split_first()?;
            (self.rest, self.pages) = (page, pages);
        }
        let (key, rest) = sized(self.rest);
        let (body, rest) = sized(rest);
        self.rest = rest;
        Some((key, body))
    }
}

/// Fills pages with nodes that come in order.
pub(super) struct Filler {
    store: Store,
    page: Vec<u8>,
    limit: usize,
}

impl Default for Filler {
    fn default() -> Self {
        Filler { store: Store::default(), page: Vec::with_capacity(MOST), limit: FULL }
    }
}

impl Filler {
    pub(super) fn push(&mut self, key: &[u8], body: &[u8]) {
        if self.page.len() >= self.limit {
            self.close();
        }
        put_sized(&mut self.page, key);
        put_sized(&mut self.page, body);
        self.store.names += 1;
    }

    fn push_some(&mut self, key: &[u8], body: &Option<Vec<u8>>) {
        if let Some(body) = body {
            self.push(key, body);
        }
    }

    fn close(&mut self) {
        if !self.page.is_empty() {
            self.store.pages.push(Arc::from(&self.page[..]));
            self.page.clear();
        }
    }

    pub(super) fn finish(mut self) -> Store {
        self.close();
        self.store
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// The store does what a map does, through growth, splits and emptied pages.
        #[test]
        fn behaves_as_a_map(batches in prop::collection::vec(
            prop::collection::btree_map(0u16..600, prop::option::of(0usize..300), 0..200), 1..8)) {
            let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let mut store = Store::default();
            for batch in batches {
                let changes: Vec<Change> = batch
                    .into_iter()
                    .map(|(key, body)| (key.to_be_bytes().to_vec(), body.map(|len| vec![7; len])))
                    .collect();
                for (key, body) in &changes {
                    match body {
                        Some(body) => drop(map.insert(key.clone(), body.clone())),
                        None => drop(map.remove(key)),
                    }
                }
                let snapshot = store.clone();
                let before: Vec<_> = snapshot.iter().map(|(k, b)| (k.to_vec(), b.to_vec())).collect();
                store.change(&changes);
                prop_assert!(snapshot.iter().map(|(k, b)| (k.to_vec(), b.to_vec())).eq(before), "shared pages changed");
                prop_assert_eq!(store.names(), map.len());
                prop_assert!(store.iter().eq(map.iter().map(|(k, b)| (&k[..], &b[..]))));
            }
            for key in 0u16..600 {
                let key = key.to_be_bytes();
                prop_assert_eq!(store.get(&key), map.get(&key[..]).map(|b| &b[..]));
                prop_assert!(store.from(&key).eq(map.range(key.to_vec()..).map(|(k, b)| (&k[..], &b[..]))));
            }
        }
    }

    #[test]
    fn emptied_pages_are_joined() {
        let all: Vec<Change> = (0u32..20_000).map(|i| (i.to_be_bytes().to_vec(), Some(vec![1; 20]))).collect();
        let mut store = Store::default();
        store.change(&all);
        let pages = store.pages.len();
        let gone: Vec<Change> =
            (0u32..20_000).filter(|i| i % 50 != 0).map(|i| (i.to_be_bytes().to_vec(), None)).collect();
        store.change(&gone);
        assert_eq!(store.names(), 400);
        assert!(store.pages.len() * 10 < pages, "{} of {pages}", store.pages.len());
    }
}
