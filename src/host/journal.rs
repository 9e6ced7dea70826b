//! One transaction as it is written down: before its first change all that is needed to undo it.

use serde::{Deserialize, Serialize};

use crate::hostplan::{Effect, Record, SeenFile, Want, Words};
use crate::split::SystemdVersion;
use crate::split::facts::{Link, Wishes};

/// How far a transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Changes are made, or were when it ended without a word.
    Changing,
    /// All is changed and read back; a person is awaited.
    Waiting,
    /// It is taken back, or was when that ended without a word, or when the bus was away.
    Undoing,
    /// It stands.
    Committed,
    /// All is as it was.
    RolledBack,
    /// Undone, but for what somebody changed since or what would not be put back.
    PartlyRolledBack,
}

impl State {
    /// Whether nothing is left to do for it.
    pub fn is_over(self) -> bool {
        !matches!(self, State::Changing | State::Waiting | State::Undoing)
    }

    /// A word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            State::Changing => "changing",
            State::Waiting => "waiting",
            State::Undoing => "undoing",
            State::Committed => "committed",
            State::RolledBack => "rolledBack",
            State::PartlyRolledBack => "partlyRolledBack",
        }
    }
}

/// One path of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The path on the host.
    pub path: String,
    /// What was there.
    pub before: SeenFile,
    /// What shall be.
    pub left: Want,
    /// Who must be told.
    pub effect: Effect,
    /// Directories that are made for it.
    #[serde(default)]
    pub made: Vec<String>,
}

/// One link of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEntry {
    /// As it was.
    pub before: Link,
    /// As it shall be.
    pub left: Link,
}

/// One connection profile of NetworkManager of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileEntry {
    /// Its UUID.
    pub uuid: String,
    /// Its name.
    pub id: String,
    /// The link that it is for.
    pub link: String,
    /// What the settings were.
    pub before: Wishes,
    /// What they shall be.
    pub left: Wishes,
    /// The link as it was.
    #[serde(default)]
    pub was: Option<Link>,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Sorts by time.
    pub id: String,
    /// How far it has come.
    pub state: State,
    /// systemd's release when it began.
    pub systemd: SystemdVersion,
    /// When it began, seconds since the epoch.
    pub started: u64,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<u64>,
    /// Policies by name.
    pub policies: Vec<String>,
    /// Files, in the order of writing.
    pub files: Vec<FileEntry>,
    /// Links, in the order of setting.
    pub links: Vec<LinkEntry>,
    /// Profiles of NetworkManager, in the order of writing.
    #[serde(default)]
    pub profiles: Vec<ProfileEntry>,
    /// What somebody wrote into resolved's own file, which resolved may write anew.
    #[serde(default)]
    pub words: Option<Words>,
    /// Services that are told beside what the files ask for.
    pub needs: Vec<Effect>,
    /// `Timer`, or `NextStart` where no timer could be had.
    pub dead_man: String,
    /// Until when a person is awaited, seconds since the epoch.
    #[serde(default)]
    pub confirm_by: Option<u64>,
    /// What was remembered of the host when it began.
    #[serde(default)]
    pub record: Record,
    /// The policies that counted then.
    #[serde(default)]
    pub accepted: Option<String>,
    /// Why it did not stand.
    #[serde(default)]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(default)]
    pub message: Option<String>,
}

/// Unix seconds.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// An id that sorts by time and is never given twice.
pub(super) fn new_id() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut bytes = [0u8; 2];
    // Two transactions never run at once, so the milliseconds alone would do.
    let _ = getrandom::fill(&mut bytes);
    format!("{:012x}-{:04x}", since.as_millis(), u16::from_ne_bytes(bytes))
}
