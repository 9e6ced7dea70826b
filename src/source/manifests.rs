//! Manifests to claims: everything that the files declare, and everything that is wrong with them.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::Arc;

use super::config::Config;
use super::diagnostic::Diagnostic;
use super::document::{Context, Document, Fault, Read, documents, read};
use super::files::{Contents, Cut, File, Memory, gather};
use super::walk::Input;
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
    /// Those of them that have not one octet, which may be meant where nothing else is declared.
    pub blank: Vec<Diagnostic>,
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
    /// Changes with the content of what was read, and with what could not be read.
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

/// Reads all inputs and lowers what they declare. `prune`: these files are the whole world.
pub fn load(inputs: &[Input], config: &Config, prune: bool) -> Loaded {
    lowered(gather(inputs, None), inputs, config, prune, None)
}

/// As [`load`], by somebody who looks again and again: what `memory` still knows is not read again, and `None` says that
/// all is as at `last`, the [`Loaded::content`] of an earlier look. The memory is of one configuration.
pub fn load_again(
    inputs: &[Input],
    config: &Config,
    prune: bool,
    memory: &mut Memory,
    last: Option<u64>,
) -> Option<Loaded> {
    let gathered = gather(inputs, Some(memory));
    if last == Some(gathered.2) {
        memory.remember(&gathered.0, &contents(&gathered.0, Vec::new()));
        return None;
    }
    Some(lowered(gathered, inputs, config, prune, Some(memory)))
}

fn lowered(
    (files, broken, content): (Vec<File>, Vec<Diagnostic>, u64),
    inputs: &[Input],
    config: &Config,
    prune: bool,
    memory: Option<&mut Memory>,
) -> Loaded {
    let mut loaded = Loaded::default();
    (loaded.broken, loaded.content) = (broken, content);
    let zones = config.zone_table();
    loaded.broken_documents = loaded.broken.len();
    let contents = contents(&files, read_all(&files, Context { zones: &zones, rights: &config.rights }));
    if let Some(memory) = memory {
        memory.remember(&files, &contents);
    }

    let mut gathered = Gathered {
        found: vec![0; inputs.len()],
        objects: FastMap::with_capacity_and_hasher(files.len(), Default::default()),
        claims: config.zones().map(|zone| (zone.rules.zone.clone(), Claims::default())).collect(),
        twice: HashSet::new(),
    };
    let mut cuts = Vec::new();
    for (file, contents) in files.iter().zip(contents) {
        if contents.is_blank {
            loaded.blank.push(Diagnostic::file(&*file.name, BLANK));
        }
        let cut = contents.cut;
        cuts.extend(cut.map(|cut| cut.words(&file.name)));
        // What nobody remembers is not copied.
        let last = gathered.take(file, Arc::unwrap_or_clone(contents), &mut loaded);
        if cut == Some(Cut::NoNewline)
            && let Some(state @ ObjectState::Present) = last.and_then(|last| gathered.objects.get_mut(&last))
        {
            *state = ObjectState::Doubted;
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
    loaded.broken_documents += loaded.blank.len();
    loaded.broken.extend(loaded.blank.iter().cloned());
    let objects = Arc::new(objects);
    let line = |broken: &Diagnostic| format!("{}: {}", broken.place(), broken.message);
    let doubts: Vec<String> = loaded.broken.iter().map(line).chain(cuts).collect();
    let health = match doubts.is_empty() {
        true => SourceHealth::Complete,
        false => SourceHealth::Incomplete(doubts),
    };
    for zone in claims.values_mut() {
        zone.objects = Arc::clone(&objects);
        zone.health = health.clone();
        zone.prune = prune;
    }
    loaded.claims = claims;
    loaded
}

/// What each file came to; `fresh` is that of the files that are not remembered.
fn contents(files: &[File], fresh: Vec<Contents>) -> Vec<Arc<Contents>> {
    let mut fresh = fresh.into_iter();
    let each = |file: &File| match &file.kept {
        Some(kept) => Arc::clone(&kept.contents),
        None => Arc::new(fresh.next().unwrap_or_default()),
    };
    files.iter().map(each).collect()
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
    /// Takes all that a file came to; gives the object that stands last in it.
    fn take(&mut self, file: &File, contents: Contents, loaded: &mut Loaded) -> Option<ObjectId> {
        loaded.broken_documents += usize::from(contents.early.is_some());
        loaded.broken.extend(contents.early);
        let last = match contents.reads.last() {
            Some((_, Read::Record { lowered, .. })) => Some(lowered.object.clone()),
            _ => None,
        };
        for (document, read) in contents.reads {
            self.add(file, document, read, loaded);
        }
        last
    }

    /// Adds what became of the file's document of this number.
    fn add(&mut self, file: &File, document: usize, read: Read, loaded: &mut Loaded) {
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
            let place = name.map_or_else(|| file.name_place(document), |name| *name);
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

/// What is wrong with an input in which nothing is.
const BLANK: &str = "there is not one octet in it, as when it was cut off while it was written; write what belongs there, if only a comment, or remove it. If nothing is declared at all and that is meant, say --allow-empty (nothing is deleted meanwhile)";

/// Fewer documents than this are read faster than threads are started.
const MANY: usize = 256;

/// Reads the documents of all files that are not remembered, on all cores when there are many.
fn read_all(files: &[File], context: Context<'_>) -> Vec<Contents> {
    let fresh: Vec<(&File, Vec<Document<'_>>, Option<Diagnostic>)> = files
        .iter()
        .filter(|file| file.kept.is_none())
        .map(|file| {
            let (parts, early) = documents(&file.name, &file.text);
            (file, parts, early)
        })
        .collect();
    let each = |index: usize| fresh[index].1.iter().map(move |document| (index, document));
    let all: Vec<(usize, &Document<'_>)> = (0..fresh.len()).flat_map(each).collect();
    let one = |(index, document): &(usize, &Document<'_>)| read(&fresh[*index].0.name, **document, context);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut results = match all.len() < MANY || cores == 1 {
        true => all.iter().map(one).collect(),
        false => {
            let share = all.len().div_ceil(cores);
            std::thread::scope(|scope| {
                let parts: Vec<_> = all
                    .chunks(share)
                    .map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>()))
                    .collect();
                let joined = parts.into_iter().map(|part| match part.join() {
                    Ok(reads) => reads,
                    // Going on without these documents would make their objects absent.
                    Err(panic) => std::panic::resume_unwind(panic),
                });
                joined.flatten().collect::<Vec<Vec<Read>>>()
            })
        }
    }
    .into_iter();
    let contents = fresh.into_iter().map(|(file, parts, early)| {
        // JSON says itself where it ends.
        let is_json = parts.last().is_some_and(|last| last.json.is_some());
        let reads = results.by_ref().take(parts.len()).enumerate();
        let reads: Vec<(usize, Read)> =
            reads.flat_map(|(index, reads)| reads.into_iter().map(move |read| (index, read))).collect();
        let cut = if is_json { None } else { cut_short(&file.text, &reads) };
        Contents { is_blank: file.text.is_empty(), cut, early, reads }
    });
    contents.collect()
}

/// Whether a file looks as if its end were missing. A cut between two lines that leaves a whole object cannot be told.
fn cut_short(text: &str, reads: &[(usize, Read)]) -> Option<Cut> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Some(Cut::NoNewline);
    }
    match reads.last() {
        Some((_, Read::Record { line, faults, .. })) if faults.iter().any(|fault| fault.reason == "Invalid") => {
            Some(Cut::LastInvalid(*line))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "manifests_tests.rs"]
mod tests;
