//! Documents: cutting a file into them, and reading each by itself, so that a bad one never hides the good ones.

use std::cell::OnceCell;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Budget, Options};

use super::diagnostic::Diagnostic;
use super::from_tree::from_tree;
use super::prune::{name_it, prune};
use super::tree::{self, Node, Place, Tree};
use super::{json as strict, quick, yaml_words};
use crate::model::{ObjectId, ObjectState};
use crate::spec::schema::{Mismatch, mismatches, nearest, what};
use crate::spec::{
    GROUP, KIND, Lowered, POLICY_KIND, Problem, Rights, StaticDnsRecord, Text, VERSION, ZONE_KIND, Zones, crd, lower,
};

/// The kinds of our group; each part of Knotwork reads one and passes over the others.
const KINDS: &[&str] = &[KIND, POLICY_KIND, ZONE_KIND, "HostDNS"];

/// Documents longer than this are held against the schema too: only there can a text be longer than the schema allows
/// without the code noticing.
const LONG: usize = 1024;

/// One document of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    /// From the beginning of its first line.
    pub text: &'a str,
    pub lines_before: usize,
    /// For strict JSON: the octet of `text` where the value begins.
    pub json: Option<usize>,
}

impl Document<'_> {
    /// The line of the file where something stands first: neither a separator nor a comment.
    pub fn line(&self) -> usize {
        if self.json.is_some() {
            return self.lines_before + 1;
        }
        let content = self.text.lines().position(|line| !is_bare(line));
        self.lines_before + 1 + content.unwrap_or(0)
    }
}

/// One thing that is wrong with an object.
#[derive(Clone)]
pub(super) struct Fault {
    pub field: String,
    pub reason: &'static str,
    pub diagnostic: Diagnostic,
}

/// What one document is.
#[derive(Clone)]
pub(super) enum Read {
    /// An object of ours, with the line where it begins and the place of its name, if that was looked for. With faults it
    /// declares nothing and is protected.
    Record { lowered: Box<Lowered>, line: usize, name: Option<Box<Diagnostic>>, faults: Vec<Fault> },
    /// Not for us; a note when that may surprise.
    Skipped(Option<String>),
    /// Cannot be read: nobody knows what it declares.
    Broken(Vec<Diagnostic>),
    /// Comments and blank lines.
    Nothing,
}

/// What documents are read against.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub zones: &'a Zones,
    pub rights: &'a Rights,
}

/// The documents of a file; with what ends a file of JSON too early.
pub(super) fn documents<'a>(file: &str, text: &'a str) -> (Vec<Document<'a>>, Option<Diagnostic>) {
    if file.ends_with(".json") {
        return strict::cut(file, text);
    }
    // What comes by a pipe has no name; several JSON objects that follow each other are no YAML.
    if file == "-"
        && text.trim_start().starts_with('{')
        && let (documents, None) = strict::cut(file, text)
    {
        return (documents, None);
    }
    (cut(text), None)
}

/// Cuts at `---` in the first column, where YAML begins a document whatever came before.
pub(super) fn cut(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut start_line) = (0, 0);
    let mut at = 0;
    for (lines, line) in text.split_inclusive('\n').enumerate() {
        let marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']));
        if marker && at > start {
            documents.push(Document { text: &text[start..at], lines_before: start_line, json: None });
            (start, start_line) = (at, lines);
        }
        at += line.len();
    }
    documents.push(Document { text: &text[start..], lines_before: start_line, json: None });
    documents
}

/// The reader's limits: one document is small, however many a file has; but a `kind: List` may be as long as a file.
fn options(twins: DuplicateKeyPolicy) -> Options {
    // The budget is there against bombs. Documents are files of the user's own, whose size bounds all but aliases.
    let mut budget = Budget::default();
    budget.max_events = 50_000_000;
    budget.max_nodes = 50_000_000;
    budget.max_total_scalar_bytes = 1 << 30;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.emit_comments = false;
    options.duplicate_keys = twins;
    options
}

pub(super) fn parse<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, serde_saphyr::Error> {
    parse_with(text, DuplicateKeyPolicy::Error)
}

/// Reads YAML; `twins` says what becomes of keys that stand twice.
pub(super) fn parse_with<'de, T: Deserialize<'de>>(
    text: &'de str,
    twins: DuplicateKeyPolicy,
) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, options(twins))
}

/// Whether nothing is declared: comments, separators, directives.
pub(super) fn is_blank(text: &str) -> bool {
    text.lines().all(is_bare)
}

fn is_bare(line: &str) -> bool {
    let bare = line.trim();
    bare.is_empty() || bare.starts_with('#') || bare == "---" || bare == "..." || line.starts_with('%') || {
        bare.strip_prefix("---").is_some_and(|rest| rest.trim_start().starts_with('#'))
    }
}

/// The schema of manifests: that of the CRD, with the metadata that Kubernetes knows.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| manifest_schema(crd::crd()));

/// The schema of manifests, made of a CRD.
pub(super) fn manifest_schema(mut crd: Value) -> Value {
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take();
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let mut metadata =
        json!({"name": {"type": "string"}, "namespace": {"type": "string"}, "labels": texts, "annotations": texts});
    for key in [
        "generateName",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "finalizers",
        "ownerReferences",
        "managedFields",
        "selfLink",
    ] {
        metadata[key] = json!({});
    }
    schema["properties"]["metadata"] = json!({"type": "object", "required": ["name"], "properties": metadata});
    // A report that is not read.
    schema["properties"]["status"] = json!({});
    schema
}

/// Reads one document; several results for a `kind: List`.
pub(super) fn read(file: &str, document: Document<'_>, context: Context<'_>) -> Vec<Read> {
    let text = document.text;
    if document.json.is_none() && is_blank(text) {
        return vec![Read::Nothing];
    }
    let reader = Reader::new(KIND, file, document);
    let record = |tree: &Tree, line| reader.record(tree, line, context);
    // The common case first: it is an object of ours and right.
    if text.len() <= LONG
        && document.json.is_none()
        && let Some(record) = quick::read(text).or_else(|| parse::<StaticDnsRecord>(text).ok())
        && is_ours(&record)
    {
        let lowered = lower(&record, context.zones, context.rights);
        if lowered.problems.is_empty() {
            let (line, faults) = (document.line(), Vec::new());
            return vec![Read::Record { lowered: Box::new(lowered), line, name: None, faults }];
        }
    }
    match reader.objects(&record) {
        Ok(reads) => reads,
        Err(diagnostics) => vec![Read::Broken(diagnostics)],
    }
}

/// The place where a document's object is named, of a document that [`read`] took without looking for it.
pub(super) fn name_place(file: &str, document: Document<'_>) -> Diagnostic {
    let place = tree::parse(document.text).map_or((1, 1), |tree| tree.find("metadata.name", false));
    Reader::new(KIND, file, document).at(place, "")
}

fn is_ours(record: &StaticDnsRecord) -> bool {
    &*record.kind == KIND
        && record.api_version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/')) == Some(VERSION)
}

/// An object that is there and declares nothing; what it had published stays.
pub(super) fn refused(namespace: &str, name: &str) -> Lowered {
    let object = ObjectId::static_record(namespace, name);
    Lowered { object, state: ObjectState::Protected, claims: vec![], problems: vec![], notes: vec![] }
}

/// What is said of a document, or of an item of a list, without looking into its spec.
pub(super) enum Head {
    /// Not for us; a note when that may surprise.
    Skipped(Option<String>),
    /// Nobody knows what it declares.
    Broken(Vec<Diagnostic>),
}

impl From<Head> for Read {
    fn from(head: Head) -> Read {
        match head {
            Head::Skipped(note) => Read::Skipped(note),
            Head::Broken(diagnostics) => Read::Broken(diagnostics),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadKeys {
    api_version: Option<Text>,
    kind: Option<Text>,
}

/// One document being read for objects of one kind.
pub(super) struct Reader<'a> {
    kind: &'static str,
    file: &'a str,
    text: &'a str,
    document: Document<'a>,
    /// Where the lines begin, once somebody asks.
    starts: OnceCell<Vec<usize>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(kind: &'static str, file: &'a str, document: Document<'a>) -> Reader<'a> {
        Reader { kind, file, text: document.text, document, starts: OnceCell::new() }
    }

    /// Every object of the document, several for a `kind: List`: those of the reader's kind as `read` takes them (with the
    /// line in the file), the others by their head.
    ///
    /// # Errors
    /// Everything that keeps the document from being read at all.
    pub(super) fn objects<T: From<Head>>(&self, read: &dyn Fn(&Tree, usize) -> T) -> Result<Vec<T>, Vec<Diagnostic>> {
        let line = self.document.line();
        // Documents of others are looked at no further than their head, if that is enough. One that has a line with our kind is
        // most likely ours, and is read once.
        let is_likely = self.text.lines().any(|line| line.strip_prefix("kind: ").map(str::trim) == Some(self.kind));
        if self.document.json.is_none()
            && !is_likely
            && let Ok(head) = parse::<HeadKeys>(self.text)
            && let (Some(version), Some(kind)) = (head.api_version, head.kind)
            && let Some(head) = self.foreign(&version, &kind, (line, 1))
        {
            return Ok(vec![head.into()]);
        }
        let tree = match self.document.json {
            Some(start) => strict::parse(self.text, start),
            None => tree::parse(self.text).map_err(|error| yaml_words::words(&error)),
        };
        let tree = tree.map_err(|(place, words)| vec![self.at(place, words)])?;
        let mut twins = tree.twins();
        if !twins.is_empty() {
            // Several keys of an object's head twice: two objects without a separator.
            let head = |twin: &tree::Twin| {
                twin.again.1 == 1 && matches!(twin.key.as_str(), "apiVersion" | "kind" | "metadata" | "spec")
            };
            if self.document.json.is_none() && twins.iter().filter(|twin| head(twin)).count() > 1 {
                let first = twins.iter().filter(|twin| head(twin)).map(|twin| twin.again).min().unwrap_or((1, 1));
                twins.retain(|twin| !head(twin));
                let words =
                    "a second object begins here (its keys stand twice in this document); put a line `---` before it";
                let rest = twins.iter().map(|twin| self.twice(twin));
                return Err(std::iter::once(self.at(first, words)).chain(rest).collect());
            }
            return Err(twins.iter().map(|twin| self.twice(twin)).collect());
        }
        Ok(self.judge(&tree, line, read))
    }

    /// A key that stands twice.
    fn twice(&self, twin: &tree::Twin) -> Diagnostic {
        let first = self.document.lines_before + twin.first.0;
        let words = format!(
            "duplicate key \"{}\": it stands first at {}:{first}:{}; which is meant? Remove one",
            twin.key, self.file, twin.first.1
        );
        self.at(twin.again, words)
    }

    fn at(&self, place: Place, message: impl Into<String>) -> Diagnostic {
        let starts = self
            .starts
            .get_or_init(|| std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect());
        let source = starts.get(place.0.wrapping_sub(1)).and_then(|start| self.text[*start..].lines().next());
        Diagnostic {
            file: self.file.to_owned(),
            line: self.document.lines_before + place.0,
            column: place.1,
            message: message.into(),
            source: source.unwrap_or("").to_owned(),
        }
    }

    /// What a document is that is not for us, judged by its head; `None` for objects of our kind and for lists.
    fn foreign(&self, version: &str, kind: &str, (line, column): Place) -> Option<Head> {
        let own = self.kind;
        let place = (line - self.document.lines_before, column);
        let broken = |message: String| Some(Head::Broken(vec![self.at(place, message)]));
        let (group, number) = version.split_once('/').unwrap_or(("", version));
        if kind == "List" && group.is_empty() {
            return None;
        }
        if group != GROUP {
            if kind == own {
                return broken(format!("the kind {own} belongs to {GROUP}/{VERSION}, not to \"{version}\""));
            }
            return Some(Head::Skipped(Some(format!("{}:{line}: {kind} ({version}) is not for Knotwork", self.file))));
        }
        let things = if own == KIND { "record" } else { "policy" };
        if kind != own && KINDS.contains(&kind) {
            return Some(Head::Skipped(Some(format!("{}:{line}: {kind} is not a {things}; skipped here", self.file))));
        }
        let list = kind.strip_suffix("List").unwrap_or(kind);
        if list != own {
            let things = if own == KIND { "records" } else { "policies" };
            let hint = nearest(kind, std::iter::once(own).chain(KINDS.iter().copied()));
            return broken(format!("unknown kind \"{kind}\" of {GROUP}; {things} are of kind {own}{hint}"));
        }
        if number != VERSION {
            return broken(format!("unknown version \"{number}\" of {GROUP}; this Knotwork knows {VERSION}"));
        }
        None
    }

    /// What a document, or an item of a list, is; `line` counts in the file.
    fn judge<T: From<Head>>(&self, tree: &Tree, line: usize, read: &dyn Fn(&Tree, usize) -> T) -> Vec<T> {
        let broken = |place: Place, message: String| vec![Head::Broken(vec![self.at(place, message)]).into()];
        let own = self.kind;
        if !matches!(tree.node(), Node::Map(_)) {
            let hint = match tree.items() {
                Some(_) => "; several objects go into documents of their own, or under items: of a kind: List",
                None => "",
            };
            let words = format!(
                "{} stands here, where an object is wanted (apiVersion: {GROUP}/{VERSION}, kind: {own}, metadata:, spec:){hint}",
                what(&tree.value())
            );
            return broken(tree.place(), words);
        }
        let here = (line - self.document.lines_before, tree.place().1);
        let mut head = [""; 2];
        for (key, text) in ["kind", "apiVersion"].into_iter().zip(&mut head) {
            match tree.get(key) {
                None => {
                    return broken(
                        here,
                        format!(
                            "{key} is missing: nobody can tell what this document declares; give apiVersion: {GROUP}/{VERSION} and kind: {own}"
                        ),
                    );
                }
                Some(value) => match value.text() {
                    Some(found) => *text = found,
                    None => {
                        let example = if key == "kind" { own.to_owned() } else { format!("{GROUP}/{VERSION}") };
                        let words =
                            format!("{} stands here, where a text is wanted: {key}: {example}", what(&value.value()));
                        return broken(tree.find(key, false), words);
                    }
                },
            }
        }
        let [kind, version] = head;
        if let Some(head) = self.foreign(version, kind, (line, tree.place().1)) {
            return vec![head.into()];
        }
        if kind.ends_with("List") {
            return self.list(tree, read);
        }
        vec![read(tree, line)]
    }

    fn list<T: From<Head>>(&self, tree: &Tree, read: &dyn Fn(&Tree, usize) -> T) -> Vec<T> {
        let Some(items) = tree.get("items").and_then(Tree::items) else {
            let place = tree.find("items", false);
            return vec![Head::Broken(vec![self.at(place, "a List has its objects under items: as a list")]).into()];
        };
        let judge = |item: &Tree| match item.is_null() {
            true => vec![Head::Broken(vec![self.at(item.place(), "this item of the List is empty")]).into()],
            false => self.judge(item, self.document.lines_before + item.place().0, read),
        };
        items.iter().flat_map(judge).collect()
    }

    /// What is wrong with an object: by its schema, and by `check` in what the schema leaves of it. `check` gets a type
    /// read from that; of what it finds, a path under `doubtful` may follow from the schema's faults and is not said.
    ///
    /// # Errors
    /// The faults again, when the object's metadata is in doubt: nobody knows which object this is, and taking it for
    /// another would leave the one that it is without protection. Without a spec it was cut, perhaps in the metadata.
    pub(super) fn faults<'t, T, C>(
        &self,
        tree: &'t Tree,
        schema: &Value,
        check: &dyn Fn(&T) -> (C, Vec<Problem>),
    ) -> Result<(Option<C>, Vec<Fault>), Vec<Diagnostic>>
    where
        T: serde::de::DeserializeOwned,
    {
        let wrong = mismatches(schema, &tree.value());
        if wrong.is_empty() {
            return Ok(match from_tree::<T>(tree) {
                Err(error) => (None, vec![self.fault(tree, "", false, "Invalid", &error)]),
                Ok(object) => {
                    let (made, problems) = check(&object);
                    let say = |wrong: &Problem| self.fault(tree, &wrong.path, false, wrong.reason, &wrong.message);
                    (Some(made), problems.iter().map(say).collect())
                }
            });
        }
        let mut faults: Vec<Fault> =
            wrong.iter().map(|wrong| self.fault(tree, &wrong.path, wrong.key, "Invalid", &wrong.message)).collect();
        let mut left = prune(tree, &wrong, true);
        let unknown = wrong.iter().any(|wrong| wrong.path.is_empty() || wrong.path.starts_with("metadata"));
        if unknown {
            name_it(&mut left.tree);
        }
        let problems = from_tree::<T>(&left.tree).map(|object| check(&object).1).unwrap_or_default();
        for problem in problems {
            let path = left.original(&problem.path);
            // Whose rights count is in the metadata.
            let denied = unknown && problem.reason == "ClaimDenied";
            if !denied && !follows(&path, &wrong) {
                faults.push(self.fault(tree, &path, false, problem.reason, &problem.message));
            }
        }
        faults.sort_by_key(|fault| (fault.diagnostic.line, fault.diagnostic.column));
        match unknown {
            true => Err(faults.into_iter().map(|fault| fault.diagnostic).collect()),
            false => Ok((None, faults)),
        }
    }

    /// One thing that is wrong, at its place.
    fn fault(&self, tree: &Tree, path: &str, key: bool, reason: &'static str, message: &str) -> Fault {
        let message = match self.document.json {
            Some(_) => message.replace("YAML reads this as", "this is"),
            None => message.to_owned(),
        };
        let words = if path.is_empty() { format!("the document: {message}") } else { format!("{path}: {message}") };
        Fault { field: path.to_owned(), reason, diagnostic: self.at(tree.find(path, key), words) }
    }

    /// Reads a record.
    pub(super) fn record(&self, tree: &Tree, line: usize, context: Context<'_>) -> Read {
        let check = |record: &StaticDnsRecord| {
            let lowered = lower(record, context.zones, context.rights);
            let problems = lowered.problems.clone();
            (lowered, problems)
        };
        let (lowered, faults) = match self.faults(tree, &SCHEMA, &check) {
            Ok(found) => found,
            Err(diagnostics) => return Read::Broken(diagnostics),
        };
        let lowered = lowered.unwrap_or_else(|| {
            let metadata = |key: &str| tree.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Tree::text);
            refused(metadata("namespace").unwrap_or("default"), metadata("name").unwrap_or(""))
        });
        let name = Some(Box::new(self.at(tree.find("metadata.name", false), "")));
        Read::Record { lowered: Box::new(lowered), line, name, faults }
    }
}

/// Whether a problem at `path` may be nothing but what a fault of the schema left behind.
fn follows(path: &str, wrong: &[Mismatch]) -> bool {
    let at = |field: &str| wrong.iter().any(|wrong| wrong.path == field);
    // Without what was cut out there may be no records, or no name that a zone holds.
    path.is_empty() || path == "spec" || at(path) || path == "spec.name" && (at("spec") || at("spec.zone"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cuts_where_yaml_does() {
        let text = "\u{feff}a: 1\n--- # two\nb: |\n  ---x\n  text\n---\nc: 3\n";
        let parts: Vec<(&str, usize)> = cut(text).iter().map(|d| (d.text.trim(), d.lines_before)).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!((parts[0].0, parts[2].1), ("a: 1", 5));
        assert_eq!(cut("---\na: 1\n").len(), 1);
        assert!(is_blank("%YAML 1.2\n--- # nothing\n# here\n...\n") && !is_blank("--- a\n"));
    }
}
