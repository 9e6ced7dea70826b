//! From a tree to a type, so that what is left of a document after its faults were cut out can be read too, with places.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{Error, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::tree::{Node, Place, Tree};

/// The name by which [`At`] asks for its place.
const AT: &str = "__knotwork_at";

/// Reads a type from a tree.
///
/// # Errors
/// What of the type the tree does not have, in words; a schema has said it better before.
pub(super) fn from_tree<'de, T: Deserialize<'de>>(tree: &'de Tree) -> Result<T, String> {
    T::deserialize(tree).map_err(|error| error.to_string())
}

/// A value and where it stands; read from a [`Tree`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At<T> {
    /// The value.
    pub value: T,
    /// Line and column, from 1.
    pub place: Place,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<At<T>, D::Error> {
        struct Parts<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = At<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<At<T>, A::Error> {
                let lacks = || serde::de::Error::custom("a value without its place");
                let line = seq.next_element::<usize>()?.ok_or_else(lacks)?;
                let column = seq.next_element::<usize>()?.ok_or_else(lacks)?;
                let value = seq.next_element()?.ok_or_else(lacks)?;
                Ok(At { value, place: (line, column) })
            }
        }
        deserializer.deserialize_newtype_struct(AT, Parts(PhantomData))
    }
}

/// Line, column, and the value itself.
struct PlaceThenValue<'de> {
    tree: &'de Tree,
    next: u8,
}

impl<'de> SeqAccess<'de> for PlaceThenValue<'de> {
    type Error = Error;
    fn next_element_seed<S: serde::de::DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next += 1;
        match self.next {
            1 => seed.deserialize(self.tree.place().0.into_deserializer()).map(Some),
            2 => seed.deserialize(self.tree.place().1.into_deserializer()).map(Some),
            3 => seed.deserialize(self.tree).map(Some),
            _ => Ok(None),
        }
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Tree {
    type Deserializer = &'de Tree;
    fn into_deserializer(self) -> &'de Tree {
        self
    }
}

impl<'de> Deserializer<'de> for &'de Tree {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node() {
            Node::Map(entries) => {
                visitor.visit_map(MapDeserializer::new(entries.iter().map(|(key, _, tree)| (key.as_str(), tree))))
            }
            Node::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Node::Scalar(Value::String(text)) => visitor.visit_borrowed_str(text),
            Node::Scalar(Value::Bool(value)) => visitor.visit_bool(*value),
            Node::Scalar(Value::Number(number)) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Node::Scalar(_) => visitor.visit_unit(),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == AT {
            return visitor.visit_seq(PlaceThenValue { tree: self, next: 0 });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.text() {
            Some(text) => StrDeserializer::new(text).deserialize_enum(name, variants, visitor),
            None => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tree::parse;
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    enum Word {
        One,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: At<String>,
        word: Option<At<Word>>,
        absent: Option<At<i64>>,
        nothing: Option<i64>,
        list: Vec<At<i64>>,
        map: BTreeMap<String, f64>,
    }

    #[test]
    fn reads_with_places() {
        let tree = parse("name: x\nword: One\nnothing:\nlist:\n  - 1\n  - -2\nmap: {a: 1.5}\n").unwrap();
        let sample: Sample = from_tree(&tree).unwrap();
        assert_eq!((sample.name.value.as_str(), sample.name.place), ("x", (1, 7)));
        assert_eq!(sample.word.map(|at| (at.value, at.place)), Some((Word::One, (2, 7))));
        assert!(sample.absent.is_none() && sample.nothing.is_none());
        let list: Vec<_> = sample.list.iter().map(|at| (at.value, at.place)).collect();
        assert_eq!((list, sample.map["a"]), (vec![(1, (5, 5)), (-2, (6, 5))], 1.5));
        assert!(from_tree::<Sample>(&parse("name: x\nother: 1\n").unwrap()).is_err());
    }
}
