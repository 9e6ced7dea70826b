//! The files of all inputs, and the memory of those that did not change since they were read.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::diagnostic::Diagnostic;
use super::document::{Read, documents, name_place};
use super::walk::{Input, State, files_of, read_stable};

/// A file that was changed less than this before it was read is read again, though it looks the same.
const SETTLED: Duration = Duration::from_millis(2500);

/// One file of the inputs.
pub(super) struct File {
    pub name: Arc<str>,
    /// Empty when the file was not opened.
    pub text: String,
    /// The inputs that lead to it.
    pub inputs: Vec<usize>,
    /// What is known of it from an earlier look.
    pub kept: Option<Kept>,
    path: PathBuf,
    /// The state in which it was read, when that state may be trusted to tell of any later change.
    state: Option<State>,
    /// Of the text.
    hash: u64,
    opened: bool,
}

impl File {
    fn read(path: PathBuf, text: String, input: usize, state: Option<State>) -> File {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let (name, hash) = (path.display().to_string().into(), hasher.finish());
        File { name, text, inputs: vec![input], kept: None, path, state, hash, opened: true }
    }

    fn kept(path: PathBuf, kept: Kept, input: usize) -> File {
        let name = path.display().to_string().into();
        let (state, hash) = (kept.state, kept.hash);
        File { name, text: String::new(), inputs: vec![input], kept: Some(kept), path, state, hash, opened: false }
    }

    /// The place where the object of a document is named, of a document that was taken without looking for it.
    pub fn name_place(&self, document: usize) -> Diagnostic {
        let again = if self.opened { None } else { read_stable(&self.path).ok() };
        let text = again.as_ref().map_or(&self.text, |(text, _)| text);
        match documents(&self.name, text).0.get(document) {
            Some(document) => name_place(&self.name, *document),
            None => Diagnostic::file(&*self.name, ""),
        }
    }
}

/// What makes a file look as if its end were missing: a writer that was interrupted, a disk that was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its last line has no end.
    NoNewline,
    /// Its last object, which begins at this line, lacks something or holds what cannot be.
    LastInvalid(usize),
}

impl Cut {
    /// Why deletes wait for it, and what to do.
    pub fn words(self, file: &str) -> String {
        match self {
            Cut::NoNewline => format!(
                "{file} may be cut short, for its last line has no line end; if nothing is missing, end the file with a newline"
            ),
            Cut::LastInvalid(line) => format!(
                "{file} may be cut short, for its last object ({file}:{line}) is refused as invalid; mend or remove that object"
            ),
        }
    }
}

/// What the documents of one file came to.
#[derive(Clone, Default)]
pub(super) struct Contents {
    /// Whether there is not one octet in it, as when it was cut off before anything was written.
    pub is_blank: bool,
    /// Whether what it ends with may not be its end.
    pub cut: Option<Cut>,
    /// What ends a file of JSON too early.
    pub early: Option<Diagnostic>,
    /// What each document came to, with its number in the file.
    pub reads: Vec<(usize, Read)>,
}

/// A file as it was read earlier.
#[derive(Clone)]
pub(super) struct Kept {
    /// `None` when it was changed so shortly before that the same state may hide another change.
    state: Option<State>,
    hash: u64,
    pub contents: Arc<Contents>,
}

/// What files came to when they were read last, so that one that did not change costs a look and no reading, and one that
/// says the same again no parsing.
///
/// It is of one configuration: zones and rights decide what a document comes to.
pub struct Memory {
    files: HashMap<PathBuf, Kept>,
    margin: Duration,
    read: usize,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { files: HashMap::new(), margin: SETTLED, read: 0 }
    }
}

impl Memory {
    /// One that trusts the times even of files that were written just now.
    #[cfg(test)]
    pub(super) fn trusting() -> Memory {
        Memory { margin: Duration::ZERO, ..Memory::default() }
    }

    /// How many files the last look had to read.
    pub fn files_read(&self) -> usize {
        self.read
    }

    /// What is known of a file that did not change.
    fn known(&self, path: &Path, state: State) -> Option<Kept> {
        self.files.get(path).filter(|kept| kept.state == Some(state)).cloned()
    }

    /// A file that had to be read, with what is known of it if it says what it said.
    fn compare(&self, mut file: File) -> File {
        file.kept = self.files.get(&file.path).filter(|kept| kept.hash == file.hash).cloned();
        file
    }

    /// Remembers these files, and no others.
    pub(super) fn remember(&mut self, files: &[File], contents: &[Arc<Contents>]) {
        self.read = files.iter().filter(|file| file.opened).count();
        let kept = |(file, contents): (&File, &Arc<Contents>)| {
            let kept = Kept { state: file.state, hash: file.hash, contents: Arc::clone(contents) };
            (file.path.clone(), kept)
        };
        self.files = files.iter().zip(contents).map(kept).collect();
    }
}

/// A path that was met already, and the number of its file, if that could be read.
type Seen = (PathBuf, Option<usize>);

/// Finds the files of all inputs, each once, and reads those that `memory` does not know; with what could not be read,
/// and a number that changes with the content.
pub(super) fn gather(inputs: &[Input], memory: Option<&Memory>) -> (Vec<File>, Vec<Diagnostic>, u64) {
    let now = SystemTime::now();
    let mut broken = Vec::new();
    let mut files: Vec<File> = Vec::new();
    let mut seen: HashMap<(u64, u64), Vec<Seen>> = HashMap::new();
    let mut stdin_read = false;
    for (input, source) in inputs.iter().enumerate() {
        let Input::Path(path) = source else {
            if std::mem::replace(&mut stdin_read, true) {
                broken.push(Diagnostic::file("-", "standard input can be read only once; give -f - once"));
                continue;
            }
            let mut text = String::new();
            match std::io::stdin().lock().read_to_string(&mut text) {
                Ok(_) => files.push(File::read("-".into(), text, input, None)),
                Err(error) => broken.push(Diagnostic::file("-", format!("standard input: {error}"))),
            }
            continue;
        };
        let found = files_of(path);
        let error = |(path, words): (PathBuf, String)| Diagnostic::file(path.display().to_string(), words);
        broken.extend(found.errors.into_iter().map(error));
        for (path, state) in found.files {
            // The same file under two inputs is read once, and counts for both.
            let alike = seen.entry(state.id).or_default();
            if let Some((_, known)) = alike.iter().find(|(other, _)| is_same(other, &path)) {
                if let Some(file) = known.and_then(|index| files.get_mut(index)) {
                    file.inputs.push(input);
                    file.inputs.dedup();
                }
                continue;
            }
            let file = match memory.and_then(|memory| memory.known(&path, state)) {
                Some(kept) => Ok(File::kept(path.clone(), kept, input)),
                None => read_stable(&path).map(|(text, state)| {
                    let trusted = |state: &State| memory.is_some_and(|memory| state.is_settled(now, memory.margin));
                    let file = File::read(path.clone(), text, input, state.filter(trusted));
                    if let Some(memory) = memory { memory.compare(file) } else { file }
                }),
            };
            alike.push((path.clone(), file.is_ok().then_some(files.len())));
            match file {
                Ok(file) => files.push(file),
                Err(words) => broken.push(Diagnostic::file(path.display().to_string(), words)),
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    for broken in &broken {
        (broken.place(), &broken.message).hash(&mut hasher);
    }
    for file in &files {
        (&file.name, file.hash).hash(&mut hasher);
    }
    (files, broken, hasher.finish())
}

/// Whether two paths to one inode are one place; two hard links are two files.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
