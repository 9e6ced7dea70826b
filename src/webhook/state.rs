//! What the brakes of a webhook remember beyond a desk's life: over a reload, a lost lease, and with a file over a restart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::model::Name;
use crate::zone::PastBrake;

/// One zone's brake as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    operations: usize,
    owned: usize,
    /// Seconds since the epoch.
    began_at: u64,
    held: bool,
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    version: u32,
    zones: BTreeMap<String, Kept>,
}

/// The brakes of all zones.
#[derive(Debug, Default)]
pub struct State {
    path: Option<PathBuf>,
    document: Mutex<Document>,
}

impl State {
    /// Reads what a process before this one left. What cannot be read is told, and the brakes begin anew.
    pub fn open(path: Option<PathBuf>) -> State {
        let read = path.as_ref().map(std::fs::read);
        let document = match read {
            Some(Ok(text)) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                let path = path.as_deref().unwrap_or_else(|| "".as_ref()).display().to_string();
                tracing::warn!(path, %error, "webhook.stateFile cannot be read: the brake does not know what went before");
                Document::default()
            }),
            _ => Document::default(),
        };
        State { path, document: Mutex::new(document) }
    }

    /// What is remembered of a zone.
    pub fn of(&self, zone: &Name) -> PastBrake {
        let document = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = document.zones.get(&zone.to_relaxed()) else { return PastBrake::default() };
        // A clock that went back makes it young, which restricts.
        let age = Duration::from_secs(now().saturating_sub(kept.began_at));
        PastBrake { operations: kept.operations, owned: kept.owned, age, held: kept.held }
    }

    /// Remembers, and writes the file where there is one and anything is new.
    pub fn remember(&self, zone: &Name, past: &PastBrake) {
        let mut document = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        let began_at = now().saturating_sub(past.age.as_secs());
        let kept = Kept { operations: past.operations, owned: past.owned, began_at, held: past.held };
        let same = |old: &Kept| {
            (old.operations, old.owned, old.held) == (kept.operations, kept.owned, kept.held)
                && old.began_at.abs_diff(kept.began_at) <= 1
        };
        let quiet = past.operations == 0 && !past.held;
        let key = zone.to_relaxed();
        match document.zones.get(&key) {
            Some(old) if same(old) => return,
            None if quiet => return,
            _ if quiet => drop(document.zones.remove(&key)),
            _ => drop(document.zones.insert(key, kept)),
        }
        document.version = 1;
        let Some(path) = &self.path else { return };
        let written = serde_json::to_vec(&*document).map_err(std::io::Error::other).and_then(|text| {
            let new = path.with_extension("new");
            std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path))
        });
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "webhook.stateFile cannot be written: after a restart the brake will not know of this");
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn outlives_a_process_and_forgets_what_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let zone = Name::parse("internal").unwrap();
        let past = PastBrake { operations: 7, owned: 20, age: Duration::from_secs(60), held: true };
        State::open(Some(path.clone())).remember(&zone, &past);
        let again = State::open(Some(path.clone()));
        let read = again.of(&zone);
        assert_eq!((read.operations, read.owned, read.held), (7, 20, true));
        assert!((60..90).contains(&read.age.as_secs()), "{read:?}");
        again.remember(&zone, &PastBrake::default());
        assert_eq!(State::open(Some(path.clone())).of(&zone), PastBrake::default());
        std::fs::write(&path, "half a fi").unwrap();
        assert_eq!(State::open(Some(path)).of(&zone), PastBrake::default());
    }
}
