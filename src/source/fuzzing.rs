//! Doors for the fuzzers of `tests/fuzz/`: text in, and no way to a file.

use std::path::Path;

use super::config::{Config, RawConfig, read_tree};
use super::config_check::check;
use super::config_schema::SCHEMA;
use super::document::{Context, Read, documents, read};
use super::from_tree::{At, from_tree};
use super::keyfile;
use super::prune::prune;
use crate::spec::schema::mismatches;
use crate::spec::{Lowered, Rights, Text, Zones};

/// The text as a configuration. What names a file (`tsig`, `txtEncryptKeyFile`) or makes one be read (no `instance`) is taken out first, so
/// that no input can lead to one.
pub fn read_config(text: &str) -> Option<Config> {
    let _ = keyfile::from_bind(text, None, None);
    let tree = read_tree("fuzz.yaml", text).ok()?;
    let strange = mismatches(&SCHEMA, &tree.value());
    for wrong in &strange {
        let _ = tree.find(&wrong.path, wrong.key);
    }
    let mut raw = from_tree::<RawConfig>(&prune(&tree, &strange, false).tree).ok()?;
    for server in raw.servers.iter_mut().flat_map(|servers| &mut servers.value) {
        server.tsig = None;
    }
    if let Some(webhook) = &mut raw.webhook {
        webhook.txt_encrypt_key_file = None;
    }
    if raw.instance.is_none() {
        raw.instance = Some(At { value: Text::from("fuzz"), place: (1, 1) });
    }
    check(Path::new("fuzz.yaml"), text, raw).ok().filter(|_| strange.is_empty())
}

/// The text as a file of manifests, of strict JSON when `file` ends so: how many documents there are, and the objects of ours among them.
pub fn read_documents(file: &str, text: &str, zones: &Zones, rights: &Rights) -> (usize, Vec<Lowered>) {
    let (documents, _) = documents(file, text);
    let objects = documents.iter().flat_map(|document| read(file, *document, Context { zones, rights }));
    let objects = objects.filter_map(|read| match read {
        Read::Record { lowered, .. } => Some(*lowered),
        _ => None,
    });
    (documents.len(), objects.collect())
}
