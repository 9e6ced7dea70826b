//! Cutting out of a document what its schema refuses, so that the rest can be checked as well and everything that is
//! wrong is said at once.

use super::tree::{Node, Tree};
use crate::spec::schema::Mismatch;

/// A document without its faulty parts.
pub(super) struct Pruned {
    /// What is left; places are those of the document.
    pub tree: Tree,
    /// Items that are gone: the path of their list, and their index in the document.
    gone: Vec<(String, usize)>,
}

impl Pruned {
    /// A path in what is left as a path in the document.
    pub fn original(&self, path: &str) -> String {
        let mut out = String::with_capacity(path.len());
        for (i, piece) in path.split('[').enumerate() {
            let index = piece.split_once(']').and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)));
            match index {
                Some((mut index, rest)) if i > 0 => {
                    let mut before: Vec<usize> =
                        self.gone.iter().filter(|(list, _)| *list == out).map(|(_, index)| *index).collect();
                    before.sort_unstable();
                    before.dedup();
                    for gone in before {
                        if gone <= index {
                            index += 1;
                        }
                    }
                    out.push_str(&format!("[{index}]{rest}"));
                }
                _ => out.push_str(piece),
            }
        }
        out
    }
}

/// Gives an object without a usable name one, so that its other fields can be looked at.
pub(super) fn name_it(tree: &mut Tree) {
    let place = tree.place();
    let name = || ("name".to_owned(), place, Tree::new(place, Node::Scalar("x".into())));
    let Node::Map(entries) = tree.node_mut() else { return };
    match entries.iter_mut().find(|(key, ..)| key == "metadata") {
        None => entries.push(("metadata".to_owned(), place, Tree::new(place, Node::Map(vec![name()])))),
        Some((.., metadata)) => {
            let named = metadata.get("name").is_some();
            if let (Node::Map(entries), false) = (metadata.node_mut(), named) {
                entries.push(name());
            }
        }
    }
}

/// Cuts out every mismatch. With `whole_items` an item of a list goes as a whole when a field of it is wrong, since
/// nothing can be made of such an item; without, only the field goes.
pub(super) fn prune(tree: &Tree, wrong: &[Mismatch], whole_items: bool) -> Pruned {
    let mut tree = tree.clone();
    let mut gone: Vec<(String, usize)> = Vec::new();
    let mut fields: Vec<Vec<Step>> = Vec::new();
    for mismatch in wrong {
        let mut steps = steps(&mismatch.path);
        let item = steps.iter().rposition(|step| matches!(step, Step::Item(_)));
        // An unknown key harms nothing but itself, and what is missing is no part of the document.
        let cut = match item {
            Some(at) if whole_items && !mismatch.key => at + 1,
            _ if mismatch.missing => continue,
            _ => steps.len(),
        };
        steps.truncate(cut);
        match steps.last() {
            Some(Step::Item(index)) => gone.push((path_of(&steps[..cut - 1]), *index)),
            Some(Step::Key(_)) => fields.push(steps),
            None => {}
        }
    }
    for steps in &fields {
        remove(&mut tree, steps);
    }
    // From the back, so that the indices before stay right; an inner list before the list that holds it.
    gone.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    gone.dedup();
    gone.sort_by_key(|(list, _)| std::cmp::Reverse(list.len()));
    for (list, index) in &gone {
        let mut all = steps(list);
        all.push(Step::Item(*index));
        remove(&mut tree, &all);
    }
    Pruned { tree, gone }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

fn steps(path: &str) -> Vec<Step> {
    let step = |part: &str| match part.strip_suffix(']').and_then(|index| index.parse().ok()) {
        Some(index) => Step::Item(index),
        None => Step::Key(part.to_owned()),
    };
    path.split(['.', '[']).filter(|part| !part.is_empty()).map(step).collect()
}

fn path_of(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Item(index) => path.push_str(&format!("[{index}]")),
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => path.push_str(&format!(".{key}")),
        }
    }
    path
}

fn remove(tree: &mut Tree, steps: &[Step]) {
    let Some((first, rest)) = steps.split_first() else { return };
    match (tree.node_mut(), first) {
        (Node::Map(entries), Step::Key(key)) => {
            if rest.is_empty() {
                entries.retain(|(own, ..)| own != key);
            } else if let Some((.., inner)) = entries.iter_mut().find(|(own, ..)| own == key) {
                remove(inner, rest);
            }
        }
        (Node::List(items), Step::Item(index)) if *index < items.len() => {
            if rest.is_empty() {
                items.remove(*index);
            } else {
                remove(&mut items[*index], rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tree::parse;
    use super::*;

    fn wrong(path: &str, key: bool) -> Mismatch {
        Mismatch { path: path.to_owned(), key, missing: false, message: String::new() }
    }

    #[test]
    fn what_is_left_keeps_its_places_and_finds_its_paths() {
        let tree = parse("s:\n  x: 1\n  a: [b, c, d, e]\n  m: [{k: 1, u: 2}, {k: 3}]\n  o: [{r: [1, 2]}]\n").unwrap();
        let all = [
            wrong("s.x", true),
            wrong("s.a[0]", false),
            wrong("s.a[2]", false),
            wrong("s.m[0].k", false),
            wrong("s.o[0].r[0]", false),
        ];
        let pruned = prune(&tree, &all, true);
        assert_eq!(pruned.tree.value().to_string(), r#"{"s":{"a":["c","e"],"m":[{"k":3}],"o":[{"r":[2]}]}}"#);
        assert_eq!(pruned.original("s.a[0]"), "s.a[1]");
        assert_eq!(pruned.original("s.a[1]"), "s.a[3]");
        assert_eq!(pruned.original("s.m[0].k"), "s.m[1].k");
        assert_eq!(pruned.original("s.o[0].r[0]"), "s.o[0].r[1]");
        assert_eq!(pruned.original("s.q"), "s.q");
        let fields = prune(&tree, &[wrong("s.m[0].k", false)], false);
        assert_eq!(fields.tree.value()["s"]["m"].to_string(), r#"[{"u":2},{"k":3}]"#);
    }
}
