//! NetworkManager's connection profiles, as far as DNS hangs on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a setting of a profile is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// `ignore-auto-dns`.
    Switch(bool),
    /// `dns-priority`, and modes by their number.
    Number(i32),
    /// Servers and domains.
    List(Vec<String>),
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Setting::Switch(yes) => f.write_str(if *yes { "yes" } else { "no" }),
            Setting::Number(number) => number.fmt(f),
            Setting::List(all) => f.write_str(&all.join(",")),
        }
    }
}

/// Settings by `setting.property`; what is not in there is at NetworkManager's default.
pub type Settings = BTreeMap<String, Setting>;

/// Settings that are wished, or were; none is NetworkManager's default.
pub type Wishes = BTreeMap<String, Option<Setting>>;

/// What settings say of these keys.
pub fn only<'a>(settings: &Settings, keys: impl IntoIterator<Item = &'a String>) -> Wishes {
    keys.into_iter().map(|key| (key.clone(), settings.get(key).cloned())).collect()
}

/// NetworkManager on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkManager {
    /// Whether it runs.
    #[serde(default)]
    pub running: Option<bool>,
    /// Its version, where it runs.
    #[serde(default)]
    pub version: Option<String>,
    /// The profiles in force, and those that are of interest for another reason.
    #[serde(default)]
    pub profiles: Option<Vec<Profile>>,
}

/// One connection profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// `connection.uuid`.
    pub uuid: String,
    /// `connection.id`, its name.
    pub id: String,
    /// The file that holds it; empty where none does.
    #[serde(default)]
    pub file: Option<String>,
    /// `unsaved`, `generated`, `volatile`, `external`: why it does not last.
    #[serde(default)]
    pub flags: Option<Vec<String>>,
    /// The interfaces on which it is in force.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Whether it may be in force on several interfaces at once (`connection.multi-connect`).
    #[serde(default)]
    pub multiple: bool,
    /// `ipv4.method`; absent where the profile has no IPv4 of its own (a port of a bridge).
    #[serde(default)]
    pub method4: Option<String>,
    /// `ipv6.method`.
    #[serde(default)]
    pub method6: Option<String>,
    /// Whether its interface has a default route of IPv4.
    #[serde(default)]
    pub gateway4: Option<bool>,
    /// The same of IPv6.
    #[serde(default)]
    pub gateway6: Option<bool>,
    /// What the profile says of DNS.
    #[serde(default)]
    pub settings: Settings,
    /// What its interface goes by: the profile as it was when it came into force.
    #[serde(default)]
    pub applied: Option<Settings>,
}

impl NetworkManager {
    /// Major and minor number.
    pub fn release(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.as_deref()?.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// The profile of this UUID.
    pub fn profile(&self, uuid: &str) -> Option<&Profile> {
        self.profiles.iter().flatten().find(|profile| profile.uuid == uuid)
    }

    /// The profile in force on an interface.
    pub fn on(&self, interface: &str) -> Option<&Profile> {
        let mut all = self.profiles.iter().flatten();
        all.find(|profile| profile.devices.iter().any(|device| device == interface))
    }
}
