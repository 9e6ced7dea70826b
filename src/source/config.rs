//! The configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::config_check::check;
use super::config_schema::SCHEMA;
use super::diagnostic::Diagnostic;
use super::tree;
use crate::knot::ServerConfig;
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
        let unreadable = |error: serde_saphyr::Error| ConfigError(vec![Diagnostic::yaml(&file, text, 0, &error)]);
        let tree = tree::parse(text).map_err(unreadable)?;
        let say = |wrong: Mismatch| {
            let words =
                if wrong.path.is_empty() { wrong.message } else { format!("{}: {}", wrong.path, wrong.message) };
            Diagnostic::at(&file, text, 0, tree.find(&wrong.path, wrong.key), words)
        };
        let mut wrong: Vec<Diagnostic> = mismatches(&SCHEMA, &tree.value()).into_iter().map(say).collect();
        let config = match serde_saphyr::from_str::<RawConfig>(text) {
            Ok(raw) => check(path, text, raw),
            Err(_) if !wrong.is_empty() => Err(Vec::new()),
            Err(error) => Err(vec![Diagnostic::yaml(&file, text, 0, &error)]),
        };
        match config {
            Ok(config) if wrong.is_empty() => Ok(config),
            Ok(_) => Err(ConfigError(wrong)),
            Err(more) => {
                wrong.extend(more);
                wrong.sort_by_key(|found| (found.line, found.column));
                Err(ConfigError(wrong))
            }
        }
    }
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

/// The file as it stands, before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawConfig {
    pub owner: Spanned<Text>,
    pub instance: Option<Spanned<Text>>,
    #[serde(default)]
    pub marker: RawMarker,
    pub servers: Spanned<Vec<RawServer>>,
    pub claims: Option<Vec<RawRule>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawMarker {
    pub label: Option<Spanned<Text>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawServer {
    pub name: Spanned<Text>,
    pub address: Spanned<OneOrMany>,
    pub source_address: Option<Spanned<Text>>,
    pub tsig: Option<Spanned<RawTsig>>,
    #[serde(default)]
    pub timeouts: RawTimeouts,
    pub zones: Spanned<Vec<RawZone>>,
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
    pub name: Option<Text>,
    pub algorithm: Option<Text>,
    pub secret_file: Option<Text>,
    pub key_file: Option<Text>,
}

/// Seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawTimeouts {
    pub connect: Option<Spanned<Int>>,
    pub query: Option<Spanned<Int>>,
    pub update: Option<Spanned<Int>>,
    pub transfer: Option<Spanned<Int>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawZone {
    pub name: Spanned<Text>,
    pub default_ttl: Option<Spanned<Int>>,
    #[serde(default)]
    pub external_dns: Vec<Spanned<RawAffix>>,
    pub nix_prefix: Option<Text>,
    #[serde(default)]
    pub adopt_from: Vec<Spanned<BTreeMap<String, Text>>>,
    pub brake: Option<Spanned<RawBrake>>,
    pub mode: Option<Mode>,
    /// Milliseconds as `200ms`, seconds as `1s`.
    pub check_interval: Option<Spanned<Text>>,
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
    pub percent: Option<Int>,
    pub at_least: Option<Int>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Mode {
    Repair,
    Observe,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawRule {
    pub namespaces: Vec<Text>,
    #[serde(default)]
    pub names: Vec<Spanned<Text>>,
    #[serde(default)]
    pub types: Vec<Spanned<Text>>,
    #[serde(default)]
    pub addresses: Vec<Spanned<Text>>,
    #[serde(default)]
    pub takeover: bool,
    #[serde(default)]
    pub share: bool,
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
