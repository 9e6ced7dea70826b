//! The configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::config_check::{check, check_instance, short_hash};
use super::config_schema::SCHEMA;
use super::diagnostic::Diagnostic;
use super::from_tree::{At, from_tree};
use super::prune::prune;
use super::tree::Tree;
use super::{json, tree, yaml_words};
use crate::knot::ServerConfig;
use crate::model::Name;
use crate::ownership::ZoneRules;
use crate::spec::schema::{Mismatch, mismatches};
use crate::spec::{Int, Rights, Text, ZoneEntry, Zones};

/// Where the configuration is looked for when nobody says.
pub const DEFAULT_PATHS: &[&str] = &["./knotwork.yaml", "/etc/knotwork/knotwork.yaml"];

/// A configuration that was read and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// Our owner id.
    pub owner: String,
    /// Who holds the owner id.
    pub instance: String,
    /// The marker label.
    pub label: String,
    /// Servers with their zones.
    pub servers: Vec<ServerSettings>,
    /// Who may declare what.
    pub rights: Rights,
    /// For which ExternalDNS `knotwork webhook` writes.
    pub webhook: Option<WebhookConfig>,
    /// Every file that it was read from, keys included: what to watch for a reload.
    pub files: Vec<PathBuf>,
    /// What is not wrong but should be looked at.
    pub warnings: Vec<String>,
}

/// One server.
#[derive(Clone)]
pub struct ServerSettings {
    /// How to reach it.
    pub server: ServerConfig,
    /// Its zones.
    pub zones: Vec<ZoneSettings>,
}

impl std::fmt::Debug for ServerSettings {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("ServerSettings");
        out.field("name", &self.server.name).field("addresses", &self.server.addresses).field("zones", &self.zones);
        out.finish_non_exhaustive()
    }
}

/// For which ExternalDNS records are written, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// `--txt-owner-id`.
    pub owner: String,
    /// Owner ids whose records become its own when they are written.
    pub migrate_from: Vec<String>,
    /// The zones that it serves; none: all.
    pub zones: Vec<Name>,
    /// The shortest TTL that is published, seconds.
    pub min_ttl: Option<u32>,
    /// TTL of endpoints that declare none, seconds.
    pub default_ttl: Option<u32>,
    /// Addresses get PTRs unless their endpoint says no (`webhook/ptr`).
    pub ptr: bool,
    /// Where the brake remembers what went before a restart.
    pub state_file: Option<PathBuf>,
}

impl WebhookConfig {
    /// Whether a zone is served.
    pub fn serves(&self, zone: &Name) -> bool {
        self.zones.is_empty() || self.zones.contains(zone)
    }

    /// The owner id of the webhook's own fence.
    pub fn marker_owner(&self) -> String {
        self.owner_id("edns")
    }

    /// The owner id under which PTRs are written that endpoints ask for: another worker's fence.
    pub fn ptr_owner(&self) -> String {
        self.owner_id("ptr")
    }

    /// An owner id of ours, which is a DNS label, whatever the id of ExternalDNS may be.
    fn owner_id(&self, what: &str) -> String {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_label = !self.owner.starts_with('-') && self.owner.len() <= 27 && self.owner.chars().all(plain);
        match is_label {
            true => format!("{}-{what}", self.owner),
            false => format!("{}-{what}", short_hash(&[self.owner.as_bytes()])),
        }
    }
}

/// One zone.
#[derive(Debug, Clone)]
pub struct ZoneSettings {
    /// What the planner has to know.
    pub rules: ZoneRules,
    /// TTL of records that declare none, seconds.
    pub default_ttl: u32,
    /// Longest pause between two looks at the serial.
    pub check_interval: Duration,
    /// The hash of held operations that a person releases.
    pub release: Option<String>,
}

impl Config {
    /// All zones.
    pub fn zones(&self) -> impl Iterator<Item = &ZoneSettings> {
        self.servers.iter().flat_map(|server| &server.zones)
    }

    /// Writes for another instance from here on: for a person who gives zones to a cluster from a machine outside it.
    ///
    /// # Errors
    /// That it can be none.
    pub fn hold_as(&mut self, instance: &str) -> Result<(), String> {
        check_instance(instance)?;
        instance.clone_into(&mut self.instance);
        let zones = self.servers.iter_mut().flat_map(|server| &mut server.zones);
        zones.for_each(|zone| instance.clone_into(&mut zone.rules.instance));
        Ok(())
    }

    /// The table that declarations are checked against.
    pub fn zone_table(&self) -> Zones {
        let entry = |zone: &ZoneSettings| ZoneEntry { name: zone.rules.zone.clone(), default_ttl: zone.default_ttl };
        Zones::new(self.zones().map(entry), &self.label)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, with places.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError(vec![Diagnostic::file(path.display().to_string(), format!("cannot be read: {error}"))])
        })?;
        Config::parse(path, &text)
    }

    /// Checks the text of a file; relative paths in it are taken from the file's folder.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let file = path.display().to_string();
        let tree = read_tree(&file, text).map_err(ConfigError)?;
        let say = |wrong: &Mismatch| {
            // A number alone leaves open what it counts, and in quotes it would be no better.
            if wrong.path.ends_with(".checkInterval") && !wrong.key {
                let words = format!("{}: write an interval with its unit: 200ms, 1s or 5m (20ms to 1h)", wrong.path);
                return Diagnostic::at(&file, text, 0, tree.find(&wrong.path, false), words);
            }
            let words = match wrong.path.as_str() {
                "" => wrong.message.clone(),
                path => format!("{path}: {}", wrong.message),
            };
            Diagnostic::at(&file, text, 0, tree.find(&wrong.path, wrong.key), words)
        };
        let strange = mismatches(&SCHEMA, &tree.value());
        let mut wrong: Vec<Diagnostic> = strange.iter().map(say).collect();
        // What the schema leaves of it is checked too, so that everything is said at once.
        let left = prune(&tree, &strange, false);
        match from_tree::<RawConfig>(&left.tree) {
            Ok(raw) => match check(path, text, raw) {
                Ok(config) if wrong.is_empty() => return Ok(config),
                Ok(_) => {}
                Err(more) => wrong.extend(more),
            },
            Err(_) if !wrong.is_empty() => {}
            Err(error) => wrong.push(Diagnostic::at(&file, text, 0, (1, 1), error)),
        }
        wrong.sort_by_key(|found| (found.line, found.column));
        Err(ConfigError(wrong))
    }
}

/// The file as a tree, when each of its keys stands once.
pub(super) fn read_tree(file: &str, text: &str) -> Result<Tree, Vec<Diagnostic>> {
    let tree = match file.ends_with(".json") {
        true => match json::cut(file, text) {
            (_, Some(wrong)) => return Err(vec![wrong]),
            _ => json::parse(text, 0),
        },
        false => tree::parse(text).map_err(|error| {
            let (place, words) = yaml_words::words(&error);
            let several = matches!(error.without_snippet(), serde_saphyr::Error::MultipleDocuments { .. });
            let one = "a second document begins here, and a configuration is one; put all of it into the first and remove the line `---`";
            (place, if several { one.to_owned() } else { words })
        }),
    };
    if let Ok(tree) = &tree
        && tree.is_null()
    {
        let words = "the configuration is empty; it needs owner: and servers: at least";
        return Err(vec![Diagnostic::at(file, text, 0, tree.place(), words)]);
    }
    let tree = tree.map_err(|(place, words)| vec![Diagnostic::at(file, text, 0, place, words)])?;
    let say = |twin: &tree::Twin| {
        let (line, column) = twin.first;
        let words = format!("the key \"{}\" stands here again, first at {file}:{line}:{column}; remove one", twin.key);
        Diagnostic::at(file, text, 0, twin.again, words)
    };
    let twins: Vec<Diagnostic> = tree.twins().iter().map(say).collect();
    if twins.is_empty() { Ok(tree) } else { Err(twins) }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Diagnostic>);

impl ConfigError {
    /// The stable reason word.
    pub fn reason(&self) -> &'static str {
        "ConfigInvalid"
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The file as it stands, before its values are checked. What the schema wants is optional here: where it is missing,
/// the schema has said so, and the rest is checked all the same.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawConfig {
    pub owner: Option<At<Text>>,
    pub instance: Option<At<Text>>,
    #[serde(default)]
    pub marker: RawMarker,
    pub servers: Option<At<Vec<RawServer>>>,
    pub claims: Option<Vec<RawRule>>,
    pub webhook: Option<RawWebhook>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawWebhook {
    pub owner: Option<At<Text>>,
    #[serde(default)]
    pub migrate_from: Vec<At<Text>>,
    #[serde(default)]
    pub zones: Vec<At<Text>>,
    pub min_ttl: Option<At<Int>>,
    pub default_ttl: Option<At<Int>>,
    pub txt_encrypt_key_file: Option<At<Text>>,
    #[serde(default)]
    pub ptr: bool,
    pub state_file: Option<At<Text>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawMarker {
    pub label: Option<At<Text>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawServer {
    pub name: Option<At<Text>>,
    pub address: Option<At<OneOrMany>>,
    pub source_address: Option<At<Text>>,
    pub tsig: Option<At<RawTsig>>,
    #[serde(default)]
    pub timeouts: RawTimeouts,
    pub zones: Option<At<Vec<RawZone>>>,
}

#[derive(Debug)]
pub(super) struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an address or a list of addresses")
            }
            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![value.to_owned()]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = seq.next_element::<Text>()? {
                    all.push(text.0);
                }
                Ok(OneOrMany(all))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawTsig {
    pub name: Option<At<Text>>,
    pub algorithm: Option<At<Text>>,
    pub secret_file: Option<At<Text>>,
    pub key_file: Option<At<Text>>,
}

/// Seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawTimeouts {
    pub connect: Option<At<Int>>,
    pub query: Option<At<Int>>,
    pub update: Option<At<Int>>,
    pub transfer: Option<At<Int>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawZone {
    pub name: Option<At<Text>>,
    pub default_ttl: Option<At<Int>>,
    #[serde(default)]
    pub external_dns: Vec<At<RawAffix>>,
    pub nix_prefix: Option<Text>,
    #[serde(default)]
    pub adopt_from: Vec<At<BTreeMap<String, Text>>>,
    pub brake: Option<At<RawBrake>>,
    pub mode: Option<Mode>,
    /// Milliseconds as `200ms`, seconds as `1s`.
    pub check_interval: Option<At<Text>>,
    pub release: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawAffix {
    pub prefix: Option<Text>,
    pub suffix: Option<Text>,
    pub wildcard_replacement: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawBrake {
    pub percent: Option<At<Int>>,
    pub at_least: Option<At<Int>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Mode {
    Repair,
    Observe,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawRule {
    #[serde(default)]
    pub namespaces: Vec<Text>,
    #[serde(default)]
    pub names: Vec<At<Text>>,
    #[serde(default)]
    pub types: Vec<At<Text>>,
    #[serde(default)]
    pub addresses: Vec<At<Text>>,
    #[serde(default)]
    pub takeover: bool,
    #[serde(default)]
    pub share: bool,
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
