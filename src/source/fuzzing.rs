//! Doors for the fuzzers of `tests/fuzz/`: text in, and no way to a file.

use std::path::Path;

use serde_saphyr::{Location, Spanned};

use super::config::{Config, RawConfig};
use super::config_check::check;
use super::config_schema::SCHEMA;
use super::document::{Context, Read, cut, read};
use super::keyfile;
use super::tree;
use crate::spec::schema::mismatches;
use crate::spec::{Lowered, Rights, Text, Zones};

/// The text as a configuration. What names a file (`tsig`) or makes one be read (no `instance`) is taken out first, so
/// that no input can lead to one.
pub fn read_config(text: &str) -> Option<Config> {
    let _ = keyfile::from_bind(text, None, None);
    let tree = tree::parse(text).ok()?;
    let strange = mismatches(&SCHEMA, &tree.value());
    for wrong in &strange {
        let _ = tree.find(&wrong.path, wrong.key);
    }
    let mut raw = serde_saphyr::from_str::<RawConfig>(text).ok()?;
    for server in &mut raw.servers.value {
        server.tsig = None;
    }
    if raw.instance.is_none() {
        raw.instance = Some(Spanned::new(Text::from("fuzz"), Location::UNKNOWN, Location::UNKNOWN));
    }
    check(Path::new("fuzz.yaml"), text, raw).ok().filter(|_| strange.is_empty())
}

/// The text as a file of manifests: how many documents there are, and the objects of ours among them.
pub fn read_documents(text: &str, zones: &Zones, rights: &Rights) -> (usize, Vec<Lowered>) {
    let documents = cut(text);
    let objects = documents.iter().flat_map(|document| read("fuzz.yaml", *document, Context { zones, rights }));
    let objects = objects.filter_map(|read| match read {
        Read::Record { lowered, .. } => Some(*lowered),
        _ => None,
    });
    (documents.len(), objects.collect())
}
