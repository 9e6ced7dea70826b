//! Bytes of files in JSON: text where they are text, for whoever reads a journal; else base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Octets {
    Text(String),
    Base64(String),
}

impl Octets {
    fn of(bytes: &[u8]) -> Octets {
        match std::str::from_utf8(bytes) {
            Ok(text) => Octets::Text(text.to_owned()),
            Err(_) => Octets::Base64(STANDARD.encode(bytes)),
        }
    }

    fn bytes<E: serde::de::Error>(self) -> Result<Vec<u8>, E> {
        match self {
            Octets::Text(text) => Ok(text.into_bytes()),
            Octets::Base64(text) => STANDARD.decode(text).map_err(E::custom),
        }
    }
}

pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    Octets::of(bytes).serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    Octets::deserialize(from)?.bytes()
}

pub(super) mod option {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Octets::of).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        Option::<Octets>::deserialize(from)?.map(Octets::bytes).transpose()
    }
}

pub(super) mod map {
    use std::collections::BTreeMap;

    use super::*;

    pub fn serialize<S: Serializer>(map: &BTreeMap<String, Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        map.iter().map(|(name, bytes)| (name, Octets::of(bytes))).collect::<BTreeMap<_, _>>().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Vec<u8>>, D::Error> {
        let map = BTreeMap::<String, Octets>::deserialize(from)?;
        map.into_iter().map(|(name, octets)| Ok((name, octets.bytes()?))).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::hostplan::SeenFile;

    #[test]
    fn bytes_come_back_whatever_they_are() {
        for bytes in [&b"plain\n"[..], b"\xff\x00\xfe", b""] {
            let xattrs = [("security.selinux".to_owned(), bytes.to_vec())].into();
            let file = SeenFile { content: Some(bytes.to_vec()), xattrs, ..SeenFile::default() };
            let json = serde_json::to_string(&file).unwrap();
            assert_eq!(serde_json::from_str::<SeenFile>(&json).unwrap(), file, "{json}");
        }
    }
}
