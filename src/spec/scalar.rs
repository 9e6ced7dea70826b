//! Scalars as strict as the API server: a string is a string, a number a number.
//!
//! YAML 1.1 turns plain `no`, `y` and `0x10` into something else than the text that was typed. The API server sees the
//! result of that and refuses it where a string is wanted; so do these types.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

/// A string; plain scalars that YAML takes for a boolean, a number or nothing are refused.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(pub String);

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.to_owned())
    }
}
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

struct TextVisitor;
impl Visitor<'_> for TextVisitor {
    type Value = Text;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Text, E> {
        Ok(Text(value.to_owned()))
    }
    fn visit_string<E: Error>(self, value: String) -> Result<Text, E> {
        Ok(Text(value))
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Text, E> {
        Err(E::custom(format!(
            "YAML reads this as the boolean {value}, where a string is wanted: put it in quotes (plain yes, no, on, off, y, n, true, false are booleans)"
        )))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Text, E> {
        Err(number(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Text, E> {
        Err(number(value))
    }
    fn visit_i128<E: Error>(self, value: i128) -> Result<Text, E> {
        Err(number(value))
    }
    fn visit_u128<E: Error>(self, value: u128) -> Result<Text, E> {
        Err(number(value))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Text, E> {
        Err(number(value))
    }
    fn visit_unit<E: Error>(self) -> Result<Text, E> {
        Err(E::custom("YAML reads this as nothing (null), where a string is wanted: put it in quotes"))
    }
}

fn number<E: Error>(value: impl fmt::Display) -> E {
    E::custom(format!("YAML reads this as the number {value}, where a string is wanted: put it in quotes"))
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A whole number; quoted ones are refused. Its range is a matter of the field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Int(pub i64);

impl Serialize for Int {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

struct IntVisitor;
impl Visitor<'_> for IntVisitor {
    type Value = Int;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Int, E> {
        Ok(Int(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Int, E> {
        i64::try_from(value).map(Int).map_err(|_| E::custom(format!("{value} is too large a number")))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Int, E> {
        // YAML 1.1 takes 010 for 8, YAML 1.2 for 10; here it arrives as the latter, with a fraction.
        Err(E::custom(format!("YAML reads this as {value:?}, where a whole number without leading zeros is wanted")))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Int, E> {
        Err(E::custom(format!("\"{value}\" is a string, where a whole number is wanted")))
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Int, E> {
        Err(E::custom(format!("YAML reads this as the boolean {value}, where a whole number is wanted")))
    }
    fn visit_unit<E: Error>(self) -> Result<Int, E> {
        Err(E::custom("there is no value here, where a whole number is wanted"))
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Int, D::Error> {
        deserializer.deserialize_any(IntVisitor)
    }
}

/// A boolean; quoted ones are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Flag(pub bool);

impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.0)
    }
}

struct FlagVisitor;
impl Visitor<'_> for FlagVisitor {
    type Value = Flag;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(value))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Flag, E> {
        Err(E::custom(format!("\"{value}\" is a string, where true or false is wanted")))
    }
    fn visit_unit<E: Error>(self) -> Result<Flag, E> {
        Err(E::custom("there is no value here, where true or false is wanted"))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flag, D::Error> {
        deserializer.deserialize_any(FlagVisitor)
    }
}

/// An optional field that is given: a null is refused, as the API server refuses it. It is mostly a value that a
/// template failed to fill in, and reading it as "not declared" would take a live record away.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A list that is given; neither a null nor a single value counts as one.
pub(super) fn items<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(ItemsVisitor(PhantomData))
}

struct ItemsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ItemsVisitor<T> {
    type Value = Vec<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Vec<T>, E> {
        Err(E::custom(format!("\"{value}\" stands alone, where a list is wanted: [{value}]")))
    }
    fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
        Err(E::custom("there is no value here, where a list is wanted; remove the key to declare nothing"))
    }
}
