//! A document as a tree of values with their places: for everything that is said about a document after reading it.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

/// Line and column, from 1.
pub(super) type Place = (usize, usize);

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Tree {
    place: Place,
    node: Node,
}

/// What stands there.
#[derive(Clone)]
pub(super) enum Node {
    /// Keys with their places; a key that stands twice is here twice.
    Map(Vec<(String, Place, Tree)>),
    /// Items.
    List(Vec<Tree>),
    /// A text, a number, a truth value, or nothing.
    Scalar(Value),
}

/// A key that stands twice in one mapping.
pub(super) struct Twin {
    /// The key.
    pub key: String,
    /// Where it stands first.
    pub first: Place,
    /// Where it stands again.
    pub again: Place,
}

impl Tree {
    /// A value at its place.
    pub fn new(place: Place, node: Node) -> Tree {
        Tree { place, node }
    }

    /// What stands here.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The same, to be changed.
    pub fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Every key that stands twice in its mapping, in the order of the document.
    pub fn twins(&self) -> Vec<Twin> {
        let mut found = Vec::new();
        self.find_twins(&mut found);
        found
    }

    fn find_twins(&self, found: &mut Vec<Twin>) {
        match &self.node {
            Node::Map(entries) => {
                let mut seen: HashMap<&str, Place> = HashMap::with_capacity(entries.len());
                for (key, place, tree) in entries {
                    match seen.get(key.as_str()) {
                        Some(first) => found.push(Twin { key: key.clone(), first: *first, again: *place }),
                        None => {
                            seen.insert(key, *place);
                        }
                    }
                    tree.find_twins(found);
                }
            }
            Node::List(items) => items.iter().for_each(|item| item.find_twins(found)),
            Node::Scalar(_) => {}
        }
    }

    /// The value without its places.
    pub fn value(&self) -> Value {
        match &self.node {
            Node::Map(entries) => entries.iter().map(|(key, _, tree)| (key.clone(), tree.value())).collect(),
            Node::List(items) => items.iter().map(Tree::value).collect(),
            Node::Scalar(value) => value.clone(),
        }
    }

    /// What stands under a key of this mapping.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        let Node::Map(entries) = &self.node else { return None };
        entries.iter().find(|(own, ..)| own == key).map(|(.., tree)| tree)
    }

    /// The items, if this is a list.
    pub fn items(&self) -> Option<&[Tree]> {
        match &self.node {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn text(&self) -> Option<&str> {
        match &self.node {
            Node::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether there is nothing here.
    pub fn is_null(&self) -> bool {
        matches!(self.node, Node::Scalar(Value::Null))
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The place of the deepest part of `path` that the document has; with `key`, that of the last part's key.
    pub fn find(&self, path: &str, key: bool) -> Place {
        let mut at = self;
        let mut place = self.place;
        let mut rest = path;
        while !rest.is_empty() {
            let next = match &at.node {
                Node::List(items) => rest.strip_prefix('[').and_then(|rest| {
                    let (index, rest) = rest.split_once(']')?;
                    items.get(index.parse::<usize>().ok()?).map(|item| (item.place, item, rest))
                }),
                // A key may have dots of its own, as annotations do: the longest that fits.
                Node::Map(entries) => {
                    let rest = rest.strip_prefix('.').unwrap_or(rest);
                    let behind = |key: &str| {
                        rest.strip_prefix(key).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                    };
                    let fit =
                        entries.iter().rev().filter_map(|(key, place, tree)| Some((key, place, tree, behind(key)?)));
                    fit.max_by_key(|(key, ..)| key.len()).map(|(_, place, tree, rest)| (*place, tree, rest))
                }
                Node::Scalar(_) => None,
            };
            let Some((own, tree, behind)) = next else { break };
            rest = behind;
            // A value that stands nowhere (`key:` and nothing) is where its key is.
            place = if key || tree.is_null() { own } else { tree.place };
            at = tree;
        }
        place
    }
}

/// Reads a YAML document. The limits are those of one document; keys that stand twice are for the caller to find.
///
/// # Errors
/// As the YAML reader's.
pub(super) fn parse(text: &str) -> Result<Tree, serde_saphyr::Error> {
    super::document::parse_with::<Spanned<Node>>(text, DuplicateKeyPolicy::PassThrough).map(tree)
}

fn place<T>(spanned: &Spanned<T>) -> Place {
    (spanned.referenced.line() as usize, spanned.referenced.column() as usize)
}

fn tree(spanned: Spanned<Node>) -> Tree {
    Tree { place: place(&spanned), node: spanned.value }
}

/// A key; documents of others may have keys that are no strings.
struct Key(String);

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        Ok(Key(key.to_owned()))
    }
    fn visit_bool<E: Error>(self, key: bool) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }
    fn visit_i64<E: Error>(self, key: i64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }
    fn visit_u64<E: Error>(self, key: u64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }
    fn visit_f64<E: Error>(self, key: f64) -> Result<Key, E> {
        Ok(Key(key.to_string()))
    }
    fn visit_unit<E: Error>(self) -> Result<Key, E> {
        Ok(Key(String::new()))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<Key>>()? {
            let at = place(&key);
            entries.push((key.value.0, at, tree(map.next_value()?)));
        }
        Ok(Node::Map(entries))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(tree(item));
        }
        Ok(Node::List(items))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Scalar((value as f64).into()))
    }
    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Scalar((value as f64).into()))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::parse;

    #[test]
    fn finds_fields_items_and_keys() {
        let text =
            "spec:\n  name: x\n  a:\n    - 10.0.0.1\n    - bad\n  mx: [{preference: 1, exchange: y}]\n  ttl:\n1: x\n";
        let tree = parse(text).unwrap();
        assert_eq!(tree.find("spec.a[1]", false), (5, 7));
        assert_eq!(tree.find("spec.mx[0].exchange", false), (6, 34));
        assert_eq!(tree.find("spec.mx[0].exchange", true), (6, 24));
        assert_eq!(tree.find("spec.name", false), (2, 9));
        assert_eq!(tree.find("spec.name", true), (2, 3));
        assert_eq!(tree.find("spec.zone", false), (2, 3));
        assert_eq!(tree.find("spec.ttl", false), (7, 3));
        let dotted = parse("metadata: {annotations: {a.b/c: x, a: y, z: [1]}}").unwrap();
        assert_eq!(dotted.find("metadata.annotations.a.b/c", true), (1, 26));
        assert_eq!(dotted.find("metadata.annotations.a", true), (1, 36));
        assert_eq!(dotted.find("metadata.annotations.z[0]", false), (1, 46));
        let value = tree.value();
        assert_eq!((&value["spec"]["a"][1], &value["1"]), (&"bad".into(), &"x".into()));
    }

    #[test]
    fn every_key_that_stands_twice() {
        let tree = parse("a: 1\nb: {c: 1, d: [{e: 1, e: 2}], c: 2}\na: 2\na: 3\n").unwrap();
        let twins: Vec<_> = tree.twins().into_iter().map(|twin| (twin.key, twin.first, twin.again)).collect();
        let of = |key: &str, first, again| (key.to_owned(), first, again);
        assert_eq!(
            twins,
            [of("e", (2, 16), (2, 22)), of("c", (2, 5), (2, 30)), of("a", (1, 1), (3, 1)), of("a", (1, 1), (4, 1)),]
        );
    }
}
