//! Who owns a record set: markers, fences, and the signs of other writers. Pure.

mod classify;
pub mod external_dns;
mod fence;
mod marker;
pub mod nix;
mod signs;
pub mod txt;
mod txt_key;

pub use classify::{Classifier, Counts, NameFacts, OwnMark, holds_our_markers, named_by_markers, objects_in_markers};
pub use fence::{Fence, Standing};
pub use marker::{Marker, MarkerText, ReadOnly, SetHash};
pub use signs::{Scope, Sign, SignIndex};
pub use txt_key::TxtKey;

use crate::model::Name;

/// Which writer a record set belongs to (DESIGN §4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Writer {
    /// Marked by this installation.
    Ours,
    /// Marked by another Knotwork, or a fence of one.
    Knotwork {
        /// Its owner id.
        owner: String,
        /// The object named by its marker.
        resource: String,
    },
    /// ExternalDNS, by its TXT registry.
    ExternalDns {
        /// `--txt-owner-id`.
        owner: String,
        /// Its resource, where the TXT says so.
        resource: String,
    },
    /// The Nix module.
    Nix {
        /// `managed-by`.
        managed_by: String,
    },
    /// A DHCP server (a DHCID is at the name, or a PTR's target has one).
    Dhcp,
    /// SOA, DNSSEC, ZONEMD, unclaimed apex NS.
    Infrastructure,
    /// Nobody's mark.
    Unmarked,
}

impl Writer {
    /// The stable class word of the JSON output.
    pub fn class(&self) -> &'static str {
        match self {
            Writer::Ours => "ours",
            Writer::Knotwork { .. } => "knotwork",
            Writer::ExternalDns { .. } => "externalDns",
            Writer::Nix { .. } => "nix",
            Writer::Dhcp => "dhcp",
            Writer::Infrastructure => "infrastructure",
            Writer::Unmarked => "unmarked",
        }
    }

    /// The object that its sign names, where it names one.
    pub fn resource(&self) -> Option<&str> {
        match self {
            Writer::Knotwork { resource, .. } | Writer::ExternalDns { resource, .. } => {
                Some(resource.as_str()).filter(|resource| !resource.is_empty())
            }
            _ => None,
        }
    }

    /// The class with the names that go with it: `externalDns default service/x/y`.
    pub fn describe(&self) -> String {
        let words: [&str; 2] = match self {
            Writer::Knotwork { owner, resource } | Writer::ExternalDns { owner, resource } => [owner, resource],
            Writer::Nix { managed_by } => [managed_by, ""],
            _ => ["", ""],
        };
        let mut text = self.class().to_owned();
        for word in words.into_iter().filter(|word| !word.is_empty()) {
            text.push(' ');
            // A stranger's TXT must not start a line of its own in what we say.
            text.push_str(&word.replace('\n', "\\n"));
        }
        text
    }
}

/// How an ExternalDNS installation names its ownership TXT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Affix {
    /// `--txt-prefix`, may hold `%{record_type}`.
    pub prefix: Option<String>,
    /// `--txt-suffix`, may hold `%{record_type}`.
    pub suffix: Option<String>,
    /// `--txt-wildcard-replacement`.
    pub wildcard: Option<String>,
}

/// Whose markers may be taken over (config `adoptFrom`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoptFrom {
    /// `heritage=nix,managed-by=…`.
    Nix {
        /// `managed-by`.
        managed_by: String,
    },
    /// Another owner id of Knotwork.
    Knotwork {
        /// Its owner id.
        owner: String,
    },
    /// ExternalDNS with this owner id.
    ExternalDns {
        /// Its owner id.
        owner: String,
    },
}

/// The limit on deletes and replaces of sets we own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrakeLimit {
    /// Percent of the sets owned when the window began.
    pub percent: u32,
    /// The brake holds only above this many operations.
    pub at_least: u32,
}

impl Default for BrakeLimit {
    fn default() -> Self {
        BrakeLimit { percent: 30, at_least: 10 }
    }
}

/// What the planner has to know of one zone, from the configuration.
#[derive(Debug, Clone)]
pub struct ZoneRules {
    /// Apex.
    pub zone: Name,
    /// Our owner id.
    pub owner: String,
    /// Our instance.
    pub instance: String,
    /// The marker label (`_knotwork`).
    pub label: String,
    /// ExternalDNS affixes to recognise; bare type prefixes are always known.
    pub external_dns: Vec<Affix>,
    /// The key of encrypted registrations of ExternalDNS; without it they are somebody's.
    pub txt_key: Option<TxtKey>,
    /// Prefix of the Nix module's markers (`nix.`).
    pub nix_prefix: String,
    /// Whose markers may be taken over.
    pub adopt_from: Vec<AdoptFrom>,
    /// The brake.
    pub brake: BrakeLimit,
    /// Report only.
    pub observe: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) fn test_rules() -> ZoneRules {
    ZoneRules {
        zone: Name::parse("internal").unwrap(),
        owner: "home".into(),
        instance: "nas".into(),
        label: "_knotwork".into(),
        external_dns: Vec::new(),
        txt_key: None,
        nix_prefix: "nix.".into(),
        adopt_from: Vec::new(),
        brake: BrakeLimit::default(),
        observe: false,
    }
}
