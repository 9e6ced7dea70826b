//! Finds the place of a field path in a YAML document, for errors that are found after reading it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A document as nothing but its shape, each node with its place.
enum Node {
    Map(Vec<(String, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Leaf,
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Node::Map(entries))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Node::Leaf)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// Line and column of the deepest part of `path` that the document has; the document's start when it has none.
pub fn locate(text: &str, path: &str) -> (usize, usize) {
    let Ok(root) = serde_saphyr::from_str::<Spanned<Node>>(text) else { return (1, 1) };
    let mut at = &root;
    for part in path.split(['.', '[']) {
        let next = match (&at.value, part.strip_suffix(']')) {
            (Node::List(items), Some(index)) => index.parse::<usize>().ok().and_then(|index| items.get(index)),
            (Node::Map(entries), None) => entries.iter().find(|(key, _)| key == part).map(|(_, node)| node),
            _ => None,
        };
        let Some(next) = next else { break };
        at = next;
    }
    (at.referenced.line() as usize, at.referenced.column() as usize)
}

#[cfg(test)]
mod tests {
    use super::locate;

    #[test]
    fn finds_fields_and_items() {
        let text = "spec:\n  name: x\n  a:\n    - 10.0.0.1\n    - bad\n  mx: [{preference: 1, exchange: y}]\n";
        assert_eq!(locate(text, "spec.a[1]"), (5, 7));
        assert_eq!(locate(text, "spec.mx[0].exchange"), (6, 34));
        assert_eq!(locate(text, "spec.name"), (2, 9));
        assert_eq!(locate(text, "spec.zone"), (2, 3));
    }
}
