//! Manifests to claims: everything that the files declare, and everything that is wrong with them.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

use super::config::Config;
use super::diagnostic::Diagnostic;
use super::document::{Context, Document, Fault, Read, documents, name_place, read};
use super::walk::{Input, files_of, read_stable};
use crate::model::{Claims, FastMap, Name, ObjectId, ObjectState, SourceHealth};
use crate::spec::Lowered;

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// The line where its document begins: the first with something in it.
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
    /// Everything that keeps files and documents from being read.
    pub broken: Vec<Diagnostic>,
    /// How many files and documents that is.
    pub broken_documents: usize,
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
    /// How many objects are refused, each with all its faults counted once.
    pub fn refused_objects(&self) -> usize {
        self.refusals.iter().map(|refusal| &refusal.object).collect::<HashSet<_>>().len()
    }

    /// Whether every file and document was read.
    pub fn is_complete(&self) -> bool {
        self.broken.is_empty()
    }
}

/// One file that was read.
pub(super) struct File {
    pub name: Arc<str>,
    pub text: String,
    /// The inputs that lead to it.
    pub inputs: Vec<usize>,
}

/// Reads all inputs and lowers what they declare. `prune`: these files are the whole world.
pub fn load(inputs: &[Input], config: &Config, prune: bool) -> Loaded {
    let mut loaded = Loaded::default();
    let (files, broken, content) = gather(inputs);
    (loaded.broken, loaded.content) = (broken, content);
    let zones = config.zone_table();
    loaded.broken_documents = loaded.broken.len();
    let mut documents: Vec<(usize, Document<'_>)> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let (parts, early) = self::documents(&file.name, &file.text);
        documents.extend(parts.into_iter().map(|part| (index, part)));
        loaded.broken_documents += usize::from(early.is_some());
        loaded.broken.extend(early);
    }
    let results = read_all(&files, &documents, Context { zones: &zones, rights: &config.rights });

    let mut gathered = Gathered {
        found: vec![0; inputs.len()],
        objects: FastMap::with_capacity_and_hasher(results.len(), Default::default()),
        claims: config.zones().map(|zone| (zone.rules.zone.clone(), Claims::default())).collect(),
        twice: HashSet::new(),
    };
    for ((index, document), reads) in documents.iter().zip(results) {
        for read in reads {
            gathered.add(&files[*index], *document, read, &mut loaded);
        }
    }
    let Gathered { found, mut objects, mut claims, twice } = gathered;
    withdraw(&mut claims, &twice);
    let mut withdrawn = HashSet::new();
    for separated in claims.values_mut().flat_map(|zone| config.rights.separate(zone)).collect::<Vec<_>>() {
        objects.insert(separated.object.clone(), ObjectState::Protected);
        withdrawn.insert(separated.object.clone());
        let place = loaded.places.get(&separated.object);
        let diagnostic = Diagnostic {
            file: place.map_or("", |place| &*place.file).to_owned(),
            line: place.map_or(0, |place| place.line),
            column: 1,
            message: format!("spec.share: {}", separated.message()),
            source: String::new(),
        };
        let (object, field) = (separated.object, "spec.share".to_owned());
        loaded.refusals.push(Refusal { object, field, reason: "ClaimDenied", diagnostic });
    }
    withdraw(&mut claims, &withdrawn);
    loaded.empty = inputs.iter().zip(&found).filter(|(_, found)| **found == 0).map(|(input, _)| input.name()).collect();
    let objects = Arc::new(objects);
    let line = |broken: &Diagnostic| format!("{}: {}", broken.place(), broken.message);
    let health = match loaded.broken.is_empty() {
        true => SourceHealth::Complete,
        false => SourceHealth::Incomplete(loaded.broken.iter().map(line).collect()),
    };
    for zone in claims.values_mut() {
        zone.objects = Arc::clone(&objects);
        zone.health = health.clone();
        zone.prune = prune;
    }
    loaded.claims = claims;
    loaded
}

/// Takes out all that these objects declare.
fn withdraw(claims: &mut HashMap<Name, Claims>, objects: &HashSet<ObjectId>) {
    if !objects.is_empty() {
        claims.values_mut().for_each(|zone| zone.retain(|claim| !objects.contains(&claim.object)));
    }
}

/// What comes together while the documents are looked at in their order.
struct Gathered {
    found: Vec<usize>,
    objects: FastMap<ObjectId, ObjectState>,
    claims: HashMap<Name, Claims>,
    twice: HashSet<ObjectId>,
}

impl Gathered {
    fn add(&mut self, file: &File, document: Document<'_>, read: Read, loaded: &mut Loaded) {
        let (lowered, line, name, faults) = match read {
            Read::Nothing => return,
            Read::Skipped(note) => return loaded.notes.extend(note),
            Read::Broken(diagnostics) => {
                loaded.broken_documents += 1;
                return loaded.broken.extend(diagnostics);
            }
            Read::Record { lowered, line, name, faults } => (lowered, line, name, faults),
        };
        for input in &file.inputs {
            self.found[*input] += 1;
        }
        loaded.objects += 1;
        let Lowered { object, mut state, claims, notes, .. } = *lowered;
        loaded.refusals.extend(faults.into_iter().map(|Fault { field, reason, diagnostic }| Refusal {
            object: object.clone(),
            field,
            reason,
            diagnostic,
        }));
        loaded.notes.extend(notes.into_iter().map(|note| format!("{}:{line}: {note}", file.name)));
        if let Some(first) = loaded.places.get(&object) {
            let message = format!(
                "{object} is declared twice, here and at {}:{}; nobody can tell which is meant, so neither counts",
                first.file, first.line
            );
            // Only small documents are read without looking for their name.
            let place = name.map_or_else(|| name_place(&file.name, document), |name| *name);
            let diagnostic = Diagnostic { message, ..place };
            let field = "metadata.name".to_owned();
            loaded.refusals.push(Refusal { object: object.clone(), field, reason: "Invalid", diagnostic });
            self.twice.insert(object.clone());
            state = ObjectState::Protected;
        } else {
            loaded.places.insert(object.clone(), Place { file: file.name.clone(), line });
        }
        if state != ObjectState::Protected {
            for (zone, claim) in claims {
                self.claims.entry(zone).or_default().insert(claim);
            }
        }
        self.objects.insert(object, state);
    }
}

/// Reads the files of all inputs, each once; with what could not be read, and a number that changes with the content.
pub(super) fn gather(inputs: &[Input]) -> (Vec<File>, Vec<Diagnostic>, u64) {
    let mut broken = Vec::new();
    let mut files: Vec<File> = Vec::new();
    let mut seen: HashMap<PathBuf, Option<usize>> = HashMap::new();
    let mut stdin_read = false;
    for (input, source) in inputs.iter().enumerate() {
        let Input::Path(path) = source else {
            if std::mem::replace(&mut stdin_read, true) {
                broken.push(Diagnostic::file("-", "standard input can be read only once; give -f - once"));
                continue;
            }
            let mut text = String::new();
            match std::io::stdin().lock().read_to_string(&mut text) {
                Ok(_) => files.push(File { name: "-".into(), text, inputs: vec![input] }),
                Err(error) => broken.push(Diagnostic::file("-", format!("standard input: {error}"))),
            }
            continue;
        };
        let (paths, errors) = files_of(path);
        let error = |(path, words): (PathBuf, String)| Diagnostic::file(path.display().to_string(), words);
        broken.extend(errors.into_iter().map(error));
        for path in paths {
            // The same file under two inputs is read once, and counts for both.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if let Some(known) = seen.get(&real) {
                if let Some(file) = known.and_then(|index| files.get_mut(index)) {
                    file.inputs.push(input);
                    file.inputs.dedup();
                }
                continue;
            }
            let name: Arc<str> = path.display().to_string().into();
            let read = read_stable(&path);
            seen.insert(real, read.is_ok().then_some(files.len()));
            match read {
                Ok(text) => files.push(File { name, text, inputs: vec![input] }),
                Err(words) => broken.push(Diagnostic::file(&*name, words)),
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    for file in &files {
        (&file.name, &file.text).hash(&mut hasher);
    }
    (files, broken, hasher.finish())
}

/// Fewer documents than this are read faster than threads are started.
const MANY: usize = 256;

/// Reads all documents, on all cores when there are many.
fn read_all(files: &[File], documents: &[(usize, Document<'_>)], context: Context<'_>) -> Vec<Vec<Read>> {
    let one = |(index, document): &(usize, Document<'_>)| read(&files[*index].name, *document, context);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    if documents.len() < MANY || cores == 1 {
        return documents.iter().map(one).collect();
    }
    let share = documents.len().div_ceil(cores);
    std::thread::scope(|scope| {
        let parts: Vec<_> =
            documents.chunks(share).map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>())).collect();
        let joined = parts.into_iter().map(|part| match part.join() {
            Ok(reads) => reads,
            // Going on without these documents would make their objects absent.
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    })
}

#[cfg(test)]
#[path = "manifests_tests.rs"]
mod tests;
