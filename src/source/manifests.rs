//! Manifests to claims: everything that the files declare, and everything that is wrong with them.

use std::collections::HashMap;
use std::io::Read as _;
use std::num::NonZero;
use std::sync::Arc;

use super::config::Config;
use super::diagnostic::Diagnostic;
use super::document::{Document, Read, cut, read};
use super::locate::locate;
use super::walk::{Input, files_of, read_stable};
use crate::model::{Claims, Name, ObjectId, ObjectState, SourceHealth};
use crate::spec::{Lowered, Rights, Zones};

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// The line where its document begins.
    pub line: usize,
}

/// One thing that is wrong with one object; what it had published stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The object.
    pub object: ObjectId,
    /// The field as a path; empty for the object as a whole.
    pub field: String,
    /// A stable reason word.
    pub reason: &'static str,
    /// The place and the words.
    pub diagnostic: Diagnostic,
}

/// What a source came to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Claims of each configured zone.
    pub claims: HashMap<Name, Claims>,
    /// Objects that were refused, and why.
    pub refusals: Vec<Refusal>,
    /// Files and documents that could not be read.
    pub broken: Vec<Diagnostic>,
    /// What is not wrong but worth saying once.
    pub notes: Vec<String>,
    /// Inputs that hold no object at all.
    pub empty: Vec<String>,
    /// Objects found, refused ones included.
    pub objects: usize,
    /// Where each object stands.
    pub places: HashMap<ObjectId, Place>,
    /// Changes with the content of what was read.
    pub content: u64,
}

impl Loaded {
    /// Whether every file and document was read.
    pub fn is_complete(&self) -> bool {
        self.broken.is_empty()
    }
}

struct File {
    name: Arc<str>,
    text: String,
    input: usize,
}

/// Reads all inputs and lowers what they declare. `prune`: these files are the whole world.
pub fn load(inputs: &[Input], config: &Config, prune: bool) -> Loaded {
    let mut loaded = Loaded::default();
    let files = gather(inputs, &mut loaded);
    let zones = config.zone_table();
    let documents: Vec<(usize, Document<'_>)> = files
        .iter()
        .enumerate()
        .flat_map(|(i, file)| cut(&file.text).into_iter().map(move |document| (i, document)))
        .collect();
    let results = read_all(&files, &documents, &zones, &config.rights);

    let mut found = vec![0usize; inputs.len()];
    let mut objects: HashMap<ObjectId, ObjectState> = HashMap::with_capacity(results.len());
    let mut claims: HashMap<Name, Claims> = HashMap::new();
    for zone in config.zones() {
        claims.insert(zone.rules.zone.clone(), Claims::default());
    }
    let mut twice: Vec<ObjectId> = Vec::new();
    for ((index, document), reads) in documents.iter().zip(results) {
        let file = &files[*index];
        for read in reads {
            let (lowered, place) = match read {
                Read::Nothing => continue,
                Read::Skipped(note) => {
                    loaded.notes.extend(note);
                    continue;
                }
                Read::Broken(diagnostic) => {
                    loaded.broken.push(diagnostic);
                    continue;
                }
                Read::Refused(namespace, name, diagnostic) => {
                    let object = ObjectId::static_record(&namespace, &name);
                    let place = Place { file: file.name.clone(), line: diagnostic.line };
                    loaded.refusals.push(Refusal {
                        object: object.clone(),
                        field: String::new(),
                        reason: "Invalid",
                        diagnostic,
                    });
                    let lowered = Lowered {
                        object,
                        state: ObjectState::Protected,
                        claims: vec![],
                        problems: vec![],
                        notes: vec![],
                    };
                    (Box::new(lowered), place)
                }
                Read::Record(lowered, line) => (lowered, Place { file: file.name.clone(), line }),
            };
            found[file.input] += 1;
            loaded.objects += 1;
            let Lowered { object, mut state, claims: declared, problems, notes } = *lowered;
            for problem in problems {
                let at = locate(document.text, &problem.path);
                let message = format!("{}: {}", problem.path, problem.message);
                let diagnostic = Diagnostic::at(&file.name, document.text, document.lines_before, at, message);
                let object = object.clone();
                loaded.refusals.push(Refusal { object, field: problem.path, reason: problem.reason, diagnostic });
            }
            loaded.notes.extend(notes.into_iter().map(|note| format!("{}:{}: {note}", place.file, place.line)));
            if let Some(first) = loaded.places.get(&object) {
                let message = format!(
                    "{object} is declared twice, here and at {}:{}; nobody can tell which is meant, so neither counts",
                    first.file, first.line
                );
                let diagnostic = Diagnostic::at(&file.name, document.text, document.lines_before, (1, 1), message);
                loaded.refusals.push(Refusal {
                    object: object.clone(),
                    field: String::new(),
                    reason: "Invalid",
                    diagnostic,
                });
                twice.push(object.clone());
                state = ObjectState::Protected;
            } else {
                loaded.places.insert(object.clone(), place);
            }
            if state != ObjectState::Protected {
                for (zone, claim) in declared {
                    claims.entry(zone).or_default().insert(claim);
                }
            }
            objects.insert(object, state);
        }
    }
    for object in twice {
        for zone in claims.values_mut() {
            zone.remove_object(&object);
        }
    }
    loaded.empty = inputs.iter().zip(&found).filter(|(_, found)| **found == 0).map(|(input, _)| input.name()).collect();
    let objects = Arc::new(objects);
    let health = match loaded.broken.is_empty() {
        true => SourceHealth::Complete,
        false => SourceHealth::Incomplete(
            loaded.broken.iter().map(|broken| format!("{}: {}", broken.place(), broken.message)).collect(),
        ),
    };
    for zone in claims.values_mut() {
        zone.objects = Arc::clone(&objects);
        zone.health = health.clone();
        zone.prune = prune;
    }
    loaded.claims = claims;
    loaded
}

fn gather(inputs: &[Input], loaded: &mut Loaded) -> Vec<File> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    let mut files: Vec<File> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (input, source) in inputs.iter().enumerate() {
        let Input::Path(path) = source else {
            let mut text = String::new();
            match std::io::stdin().lock().read_to_string(&mut text) {
                Ok(_) => files.push(File { name: "-".into(), text, input }),
                Err(error) => loaded.broken.push(Diagnostic::file("-", format!("standard input: {error}"))),
            }
            continue;
        };
        let (paths, errors) = files_of(path);
        loaded.broken.extend(errors.into_iter().map(|error| match error.split_once(": ") {
            Some((file, words)) => Diagnostic::file(file, words),
            None => Diagnostic::file(path.display().to_string(), error),
        }));
        for path in paths {
            // The same file under two inputs is read once.
            if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                continue;
            }
            let name: Arc<str> = path.display().to_string().into();
            match read_stable(&path) {
                Ok(text) => files.push(File { name, text, input }),
                Err(words) => loaded.broken.push(Diagnostic::file(&*name, words)),
            }
        }
    }
    for file in &files {
        (&file.name, &file.text).hash(&mut hasher);
    }
    loaded.content = hasher.finish();
    files
}

/// Reads all documents, on all cores when there are many.
fn read_all(files: &[File], documents: &[(usize, Document<'_>)], zones: &Zones, rights: &Rights) -> Vec<Vec<Read>> {
    let one = |(index, document): &(usize, Document<'_>)| read(&files[*index].name, *document, zones, rights);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    if documents.len() < 200 || cores == 1 {
        return documents.iter().map(one).collect();
    }
    let share = documents.len().div_ceil(cores);
    std::thread::scope(|scope| {
        let parts: Vec<_> =
            documents.chunks(share).map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>())).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}

#[cfg(test)]
#[path = "manifests_tests.rs"]
mod tests;
