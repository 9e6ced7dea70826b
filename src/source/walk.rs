//! Finding and reading files.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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

/// The manifest files below one input, sorted; and the places that could not be looked into.
pub(super) fn files_of(path: &Path) -> (Vec<PathBuf>, Vec<(PathBuf, String)>) {
    let mut files = BTreeSet::new();
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => walk(path, &mut seen, &mut files, &mut errors),
        Ok(_) => {
            files.insert(path.to_owned());
        }
        Err(error) => errors.push((path.to_owned(), format!("{error}; check the path given with -f"))),
    }
    errors.sort();
    (files.into_iter().collect(), errors)
}

fn walk(
    dir: &Path,
    seen: &mut BTreeSet<(u64, u64)>,
    files: &mut BTreeSet<PathBuf>,
    errors: &mut Vec<(PathBuf, String)>,
) {
    // Symbolic links may lead in circles; a folder is entered once.
    match fs::metadata(dir) {
        Ok(meta) => {
            if !seen.insert((meta.dev(), meta.ino())) {
                return;
            }
        }
        Err(error) => return errors.push((dir.to_owned(), error.to_string())),
    }
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return errors.push((dir.to_owned(), error.to_string())),
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                errors.push((dir.to_owned(), error.to_string()));
                continue;
            }
        };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        // Dot entries are editors' lock files and a ConfigMap's `..data`; a trailing ~ is a backup.
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let extension = Path::new(name).extension();
        let wanted = extension.is_some_and(|ext| ext == "yaml" || ext == "yml" || ext == "json");
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => walk(&path, seen, files, errors),
            Ok(meta) if wanted && meta.is_file() => {
                files.insert(path);
            }
            // Opening a pipe that nobody writes to would wait for ever.
            Ok(_) if wanted => errors.push((path, "is neither a file nor a folder; move it elsewhere".to_owned())),
            Ok(_) => {}
            // A link that leads nowhere may stand for a whole folder, on a disk that is not there just now.
            Err(error) if wanted || extension.is_none() => errors.push((path, error.to_string())),
            Err(_) => {}
        }
    }
}

/// What tells one state of a file from another.
fn state(meta: &Metadata) -> (u64, u64, u64, i64, i64) {
    (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec())
}

/// Reads a file, again when it changed meanwhile.
///
/// # Errors
/// In words, when it cannot be read, is empty, is not UTF-8, or never holds still.
pub(super) fn read_stable(path: &Path) -> Result<String, String> {
    for _ in 0..5 {
        let mut file = fs::File::open(path).map_err(|error| error.to_string())?;
        let before = file.metadata().map_err(|error| error.to_string())?;
        if !before.is_file() {
            // A pipe that was named on the command line, `-f <(generate)`: it can be read but once.
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            return text(bytes);
        }
        let mut bytes = Vec::with_capacity(before.size() as usize + 1);
        file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let after = file.metadata().map_err(|error| error.to_string())?;
        // The name must still lead to what was read: a rename over it is a new version.
        let named = fs::metadata(path).map_err(|error| error.to_string())?;
        if state(&before) != state(&after) || state(&after) != state(&named) {
            continue;
        }
        return text(bytes);
    }
    Err("the file changes while it is read; try again when its writer has finished".into())
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.is_empty() {
        return Err("the file is empty; remove it, or write what belongs there (nothing is deleted meanwhile)".into());
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 text at byte {}; save it as UTF-8", error.utf8_error().valid_up_to()))
}

/// A number that changes when any file below the inputs is changed, added or removed.
pub fn fingerprint(inputs: &[Input]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for input in inputs {
        let Input::Path(path) = input else { continue };
        let (files, errors) = files_of(path);
        errors.hash(&mut hasher);
        for file in files {
            file.hash(&mut hasher);
            if let Ok(meta) = fs::metadata(&file) {
                state(&meta).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}
