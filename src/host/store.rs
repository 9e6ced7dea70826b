//! What is remembered of a host between runs: what was there before us, the policies that count, past transactions.
//!
//! Everything is replaced whole and on disk before the next step is taken. A file that is not what we wrote is never taken
//! for an empty one: what was there before us would be lost with it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::HostError;
use super::journal::Transaction;
use crate::hostplan::{Effect, Record};
use crate::resolved::fault::step;

/// The layout of all files here.
const VERSION: u32 = 1;

/// Transactions that are kept for `host status`.
const KEPT: usize = 10;

/// The lock of the agent that holds a host.
const AGENT: &str = "agent.lock";

/// Who works on the host holds this.
const LOCK: &str = "lock";

fn open_lock(path: &Path) -> std::io::Result<fs::File> {
    fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

/// Whether some process holds a lock.
fn is_held(path: &Path) -> bool {
    fs::File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

/// Who wrote itself into a lock.
fn holder(path: &Path) -> String {
    let pid = fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    if pid.is_empty() { "another".into() } else { pid }
}

/// The directory of a host's memory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    _lock: Option<fs::File>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    value: T,
}

/// When resolved was restarted last, seconds since the epoch: five starts within ten seconds and systemd gives it up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restarts {
    /// Of the last one.
    pub last: u64,
    /// In all.
    pub count: u64,
    /// Reloads in all.
    #[serde(default)]
    pub reloads: u64,
    /// Restarts that had to wait because the one before was too recent: each wait once.
    #[serde(default)]
    pub put_off: u64,
    /// After which restart one was put off last.
    #[serde(default)]
    pub put_off_after: u64,
}

impl Restarts {
    /// A restart has to wait: counted once after each restart, however often it is looked at.
    #[must_use]
    pub fn waits(self) -> Restarts {
        match self.put_off_after == self.last {
            true => self,
            false => Restarts { put_off: self.put_off + 1, put_off_after: self.last, ..self },
        }
    }
}

/// How often other policies came to count on this host, and which they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// Counts up.
    pub number: u64,
    /// SHA-256 of the policies that count.
    pub sha256: String,
}

impl Generation {
    /// The generation of this text: the same where it is the one that counts, else the next one.
    pub fn of(&self, text: &str) -> Generation {
        let sha256 = crate::hostplan::mark::hash(text.as_bytes());
        Generation { number: self.number + u64::from(sha256 != self.sha256), sha256 }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Owed {
    effects: Vec<Effect>,
}

impl Store {
    /// Where it is by default.
    pub const DEFAULT: &'static str = "/var/lib/knotwork/host";

    /// Opens it for changes; one process at a time.
    ///
    /// # Errors
    /// [`HostError::Busy`], [`HostError::Store`].
    pub fn open(dir: &Path) -> Result<Store, HostError> {
        let wrong = |what| move |why| HostError::Store { path: dir.to_owned(), what, why };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(wrong("making it"))?;
        let path = dir.join(LOCK);
        let mut lock = open_lock(&path).map_err(wrong("locking it"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(HostError::Busy { pid: holder(&path) }),
            Err(fs::TryLockError::Error(why)) => return Err(wrong("locking it")(why)),
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(wrong("locking it"))?;
        Ok(Store { dir: dir.to_owned(), _lock: Some(lock) })
    }

    /// Says that an agent holds this host, for as long as what it gives is kept.
    ///
    /// # Errors
    /// [`HostError::Held`] where another one does, [`HostError::Store`].
    pub fn hold(dir: &Path) -> Result<fs::File, HostError> {
        let wrong = |why| HostError::Store { path: dir.to_owned(), what: "holding it", why };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(wrong)?;
        let path = dir.join(AGENT);
        let mut file = open_lock(&path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(HostError::Held { pid: holder(&path) }),
            Err(fs::TryLockError::Error(why)) => return Err(wrong(why)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(wrong)?;
        Ok(file)
    }

    /// Whether some process works on this host now.
    pub fn is_locked(&self) -> bool {
        is_held(&self.dir.join(LOCK))
    }

    /// The process number of whoever works on this host now.
    pub fn worked_on_by(&self) -> Option<String> {
        let path = self.dir.join(LOCK);
        is_held(&path).then(|| holder(&path))
    }

    /// The process number of the agent that holds this host, where one does.
    pub fn held_by(&self) -> Option<String> {
        let path = self.dir.join(AGENT);
        is_held(&path).then(|| holder(&path))
    }

    /// Who must be told yet of files that are in place: a restart waits, or we died before it.
    ///
    /// # Errors
    /// [`HostError::Store`], [`HostError::Torn`].
    pub fn owed(&self) -> Result<Vec<Effect>, HostError> {
        Ok(self.read::<Owed>("owed.json")?.unwrap_or_default().effects)
    }

    /// Remembers it.
    ///
    /// # Errors
    /// [`HostError::Store`], [`HostError::Torn`].
    pub fn set_owed(&self, effects: &[Effect]) -> Result<(), HostError> {
        if self.owed()? == effects {
            return Ok(());
        }
        self.write("owed.json", &Owed { effects: effects.to_vec() })
    }

    /// Whether nothing of ours is remembered: neither what was before us, nor policies.
    ///
    /// # Errors
    /// [`HostError::Store`], [`HostError::Torn`].
    pub fn is_blank(&self) -> Result<bool, HostError> {
        let record = Record { snapshot: Default::default(), ..self.record()? };
        Ok(record == Record::default() && self.accepted()?.is_none())
    }

    /// Opens it for looking only.
    pub fn look(dir: &Path) -> Store {
        Store { dir: dir.to_owned(), _lock: None }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where copies of this program lie.
    pub fn bin(&self) -> PathBuf {
        self.dir.parent().unwrap_or(&self.dir).join("bin")
    }

    /// What was there before us.
    ///
    /// # Errors
    /// [`HostError::Store`], [`HostError::Torn`].
    pub fn record(&self) -> Result<Record, HostError> {
        Ok(self.read("record.json")?.unwrap_or_default())
    }

    /// Remembers what was there before us.
    ///
    /// # Errors
    /// [`HostError::Store`].
    pub fn set_record(&self, record: &Record) -> Result<(), HostError> {
        self.write("record.json", record)
    }

    /// The text of the policies that were applied last; `None` when none were, or all was put back.
    ///
    /// # Errors
    /// [`HostError::Store`].
    pub fn accepted(&self) -> Result<Option<String>, HostError> {
        let path = self.accepted_file();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(none) if none.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(HostError::Store { path, what: "reading it", why }),
        }
    }

    /// The file of the policies that were applied last.
    pub fn accepted_file(&self) -> PathBuf {
        self.dir.join("accepted.yaml")
    }

    /// Remembers the policies; `None` forgets them.
    ///
    /// # Errors
    /// [`HostError::Store`].
    pub fn set_accepted(&self, text: Option<&str>) -> Result<(), HostError> {
        let path = self.accepted_file();
        match text {
            Some(text) => {
                self.write_bytes("accepted.yaml", text.as_bytes())?;
                let was = self.generation();
                let is = was.of(text);
                if was != is
                    && let Err(error) = self.write("generation.json", &is)
                {
                    // It is only a number: what it counts stands.
                    tracing::warn!(%error, "the generation of the policies is not counted");
                }
                Ok(())
            }
            None => match fs::remove_file(&path) {
                Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                    Err(HostError::Store { path, what: "removing it", why })
                }
                Err(_) => Ok(()),
                // Forgotten for good, before the journal says so.
                Ok(()) => {
                    step("accepted.yaml of our memory is gone");
                    fs::File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(|why| HostError::Store {
                        path,
                        what: "writing its directory",
                        why,
                    })
                }
            },
        }
    }

    /// Which policies count, by number; zero where it cannot be told.
    pub fn generation(&self) -> Generation {
        self.read("generation.json").ok().flatten().unwrap_or_default()
    }

    /// When resolved was restarted last.
    ///
    /// # Errors
    /// [`HostError::Store`], [`HostError::Torn`].
    pub fn restarts(&self) -> Result<Restarts, HostError> {
        Ok(self.read("restarts.json")?.unwrap_or_default())
    }

    /// Remembers a restart.
    ///
    /// # Errors
    /// [`HostError::Store`].
    pub fn set_restarts(&self, restarts: Restarts) -> Result<(), HostError> {
        self.write("restarts.json", &restarts)
    }

    /// Past transactions and the one under way, oldest first.
    ///
    /// # Errors
    /// [`HostError::Store`], [`HostError::Torn`].
    pub fn transactions(&self) -> Result<Vec<Transaction>, HostError> {
        let dir = self.dir.join("tx");
        let names = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(none) if none.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(why) => return Err(HostError::Store { path: dir, what: "listing it", why }),
        };
        let mut names: Vec<String> = names
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with(".json") && !name.starts_with('.'))
            .collect();
        names.sort_unstable();
        names.iter().filter_map(|name| self.read(&format!("tx/{name}")).transpose()).collect()
    }

    /// One transaction.
    ///
    /// # Errors
    /// [`HostError::NoTransaction`] and those of [`Store::transactions`].
    pub fn transaction(&self, id: &str) -> Result<Transaction, HostError> {
        let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let found = if plain { self.read(&format!("tx/{id}.json"))? } else { None };
        found.ok_or_else(|| HostError::NoTransaction(id.to_owned()))
    }

    /// Writes a transaction as it is now, and forgets the oldest ones.
    ///
    /// # Errors
    /// [`HostError::Store`].
    pub fn keep(&self, transaction: &Transaction) -> Result<(), HostError> {
        self.write(&format!("tx/{}.json", transaction.id), transaction)?;
        let all = self.transactions()?;
        for old in all.iter().rev().filter(|one| one.state.is_over()).skip(KEPT) {
            let _ = fs::remove_file(self.dir.join(format!("tx/{}.json", old.id)));
        }
        Ok(())
    }

    /// The file whose presence confirms a transaction.
    pub fn confirmation(&self, id: &str) -> PathBuf {
        self.dir.join(format!("tx/{id}.confirmed"))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, HostError> {
        let path = self.dir.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(none) if none.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(HostError::Store { path, what: "reading it", why }),
        };
        let torn = |why: String| HostError::Torn { path: path.clone(), why };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| torn(error.to_string()))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(torn(format!("layout {version}; this knotwork reads layout {VERSION}"))),
            None => return Err(torn("no version in it".to_owned())),
        }
        let versioned: Versioned<T> = serde_json::from_value(value).map_err(|error| torn(error.to_string()))?;
        Ok(Some(versioned.value))
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), HostError> {
        let versioned = Versioned { version: VERSION, value };
        // Maps with text keys and no foreign serialiser inside: this cannot fail; were it to, nothing is written.
        let text = serde_json::to_vec_pretty(&versioned)
            .map_err(|error| HostError::Torn { path: self.dir.join(name), why: error.to_string() })?;
        self.write_bytes(name, &text)
    }

    fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        let path = self.dir.join(name);
        let dir = path.parent().unwrap_or(&self.dir);
        let temporary = dir.join(format!(".{}.tmp", name.rsplit('/').next().unwrap_or(name)));
        let write = || -> std::io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            step(&format!("{name} of our memory is written aside"));
            fs::rename(&temporary, &path)?;
            step(&format!("{name} of our memory is in its place"));
            fs::File::open(dir)?.sync_all()
        };
        write().map_err(|why| {
            // On a full disk every octet counts.
            let _ = fs::remove_file(&temporary);
            HostError::Store { path, what: "writing it", why }
        })
    }
}
