//! Finding and reading files.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// One `-f` of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file, or a folder that is searched to its depth.
    Path(PathBuf),
    /// Standard input (`-`).
    Stdin,
}

impl Input {
    /// From the argument of `-f`.
    pub fn parse(text: &str) -> Input {
        if text == "-" { Input::Stdin } else { Input::Path(text.into()) }
    }

    /// As the user wrote it.
    pub fn name(&self) -> String {
        match self {
            Input::Path(path) => path.display().to_string(),
            Input::Stdin => "-".to_owned(),
        }
    }
}

/// What tells one state of a file from another. A file that was written, replaced or touched has another one, unless two
/// writes fall into one tick of the file system's clock: see [`State::is_settled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Device and inode: which file it is.
    pub id: (u64, u64),
    size: u64,
    /// Of the content and of the inode, in seconds and nanoseconds.
    times: [(i64, i64); 2],
}

impl State {
    fn of(meta: &Metadata) -> State {
        State {
            id: (meta.dev(), meta.ino()),
            size: meta.size(),
            times: [(meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec())],
        }
    }

    /// Whether the file was changed last so long before `now` that a later write cannot have left the same times: some
    /// file systems count in steps of two seconds.
    pub fn is_settled(&self, now: SystemTime, margin: Duration) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(margin);
        let now = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), i64::from(now.subsec_nanos()));
        self.times.iter().all(|time| *time <= now)
    }
}

/// What is below one input: files with their states as they were found, and the places that could not be looked into.
#[derive(Default)]
pub(super) struct Found {
    pub files: Vec<(PathBuf, State)>,
    pub errors: Vec<(PathBuf, String)>,
}

/// The manifest files below one input, in the order of their paths, each looked at but not opened.
pub(super) fn files_of(path: &Path) -> Found {
    let mut files = Vec::new();
    let errors = visit(path, &mut |path, state| files.push((path.to_owned(), state)));
    Found { files, errors }
}

/// Shows every manifest file below one input to `see`, in the order of their paths; gives the places that could not be
/// looked into.
fn visit(path: &Path, see: &mut dyn FnMut(&Path, State)) -> Vec<(PathBuf, String)> {
    let mut walk = Walk { seen: BTreeSet::new(), see, errors: Vec::new() };
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => walk.folder(&mut path.to_owned()),
        Ok(meta) => (walk.see)(path, State::of(&meta)),
        Err(error) => {
            let words = nowhere(path).unwrap_or_else(|| format!("{error}; check the path given with -f"));
            walk.errors.push((path.to_owned(), words));
        }
    }
    walk.errors.sort();
    walk.errors
}

struct Walk<'a> {
    /// Folders entered.
    seen: BTreeSet<(u64, u64)>,
    see: &'a mut dyn FnMut(&Path, State),
    errors: Vec<(PathBuf, String)>,
}

impl Walk<'_> {
    /// Walks through the folder at `path`, which is as before afterwards: there may be very many files, and a path of its
    /// own for each takes as long as looking at it.
    fn folder(&mut self, path: &mut PathBuf) {
        // Symbolic links may lead in circles; a folder is entered once.
        match fs::metadata(&path) {
            Ok(meta) => {
                if !self.seen.insert((meta.dev(), meta.ino())) {
                    return;
                }
            }
            Err(error) => return self.errors.push((path.clone(), error.to_string())),
        }
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) => return self.errors.push((path.clone(), error.to_string())),
        };
        let mut names = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => names.push(entry.file_name()),
                Err(error) => self.errors.push((path.clone(), error.to_string())),
            }
        }
        names.sort_unstable();
        for name in names {
            path.push(&name);
            self.entry(name.to_str().unwrap_or(""), path);
            path.pop();
        }
    }

    fn entry(&mut self, name: &str, path: &mut PathBuf) {
        // Dot entries are editors' lock files and a ConfigMap's `..data`; a trailing ~ is a backup.
        if name.starts_with('.') || name.ends_with('~') {
            return;
        }
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        let wanted = matches!(extension, Some("yaml" | "yml" | "json"));
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => self.folder(path),
            Ok(meta) if wanted && meta.is_file() => (self.see)(path, State::of(&meta)),
            // Opening a pipe that nobody writes to would wait for ever.
            Ok(_) if wanted => {
                self.errors.push((path.clone(), "is neither a file nor a folder; move it elsewhere".to_owned()));
            }
            Ok(_) => {}
            // A link that leads nowhere may stand for a whole folder, on a disk that is not there just now.
            Err(error) if wanted || extension.is_none() => {
                self.errors.push((path.clone(), nowhere(path).unwrap_or_else(|| error.to_string())));
            }
            Err(_) => {}
        }
    }
}

/// What to say of a link whose target is not there.
fn nowhere(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    Some(format!(
        "is a link to {}, which is not there; bring that back, or remove the link (nothing is deleted meanwhile)",
        target.display()
    ))
}

/// Reads a file, again when it changed meanwhile; with its state, if it is one that can be read again.
///
/// # Errors
/// In words, when it cannot be read, is empty, is not UTF-8, or never holds still.
pub(super) fn read_stable(path: &Path) -> Result<(String, Option<State>), String> {
    for _ in 0..5 {
        let mut file = fs::File::open(path).map_err(|error| error.to_string())?;
        let before = file.metadata().map_err(|error| error.to_string())?;
        if !before.is_file() {
            // A pipe that was named on the command line, `-f <(generate)`: it can be read but once.
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            return Ok((text(bytes)?, None));
        }
        let mut bytes = Vec::with_capacity(before.size() as usize + 1);
        file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let after = file.metadata().map_err(|error| error.to_string())?;
        // The name must still lead to what was read: a rename over it is a new version.
        let named = fs::metadata(path).map_err(|error| error.to_string())?;
        let state = State::of(&after);
        if State::of(&before) != state || state != State::of(&named) {
            continue;
        }
        return Ok((text(bytes)?, Some(state)));
    }
    Err("the file changes while it is read; try again when its writer has finished".into())
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 text at byte {}; save it as UTF-8", error.utf8_error().valid_up_to()))
}

/// A number that changes when any file below the inputs is changed, added or removed.
pub fn fingerprint(inputs: &[Input]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for input in inputs {
        let Input::Path(path) = input else { continue };
        let errors = visit(path, &mut |path, state| {
            path.as_os_str().hash(&mut hasher);
            state.hash(&mut hasher);
        });
        errors.hash(&mut hasher);
    }
    hasher.finish()
}
