//! Documents: cutting a file into them, and reading each by itself, so that a bad one never hides the good ones.

use std::cell::OnceCell;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};
use serde_saphyr::{Budget, Options};

use super::diagnostic::Diagnostic;
use super::quick;
use super::tree::{self, Place, Tree};
use crate::model::{ObjectId, ObjectState};
use crate::spec::schema::{mismatches, nearest};
use crate::spec::{GROUP, KIND, Lowered, POLICY_KIND, Rights, StaticDnsRecord, Text, VERSION, Zones, crd, lower};

/// The kinds of our group; each part of Knotwork reads one and passes over the others.
const KINDS: &[&str] = &[KIND, POLICY_KIND, "HostDNS", "DNSZone"];

/// Documents longer than this are held against the schema too: only there can a text be longer than the schema allows
/// without the code noticing.
const LONG: usize = 1024;

/// One document of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    pub text: &'a str,
    pub lines_before: usize,
}

/// One thing that is wrong with an object.
pub(super) struct Fault {
    pub field: String,
    pub reason: &'static str,
    pub diagnostic: Diagnostic,
}

/// What one document is.
pub(super) enum Read {
    /// An object of ours, with the line where it begins. With faults it declares nothing and is protected.
    Record { lowered: Box<Lowered>, line: usize, faults: Vec<Fault> },
    /// Not for us; a note when that may surprise.
    Skipped(Option<String>),
    /// Cannot be read: nobody knows what it declares.
    Broken(Diagnostic),
    /// Comments and blank lines.
    Nothing,
}

/// What documents are read against.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub zones: &'a Zones,
    pub rights: &'a Rights,
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
            documents.push(Document { text: &text[start..at], lines_before: start_line });
            (start, start_line) = (at, lines);
        }
        at += line.len();
    }
    documents.push(Document { text: &text[start..], lines_before: start_line });
    documents
}

/// The reader's limits: one document is small, however many a file has; but a `kind: List` may be as long as a file.
fn options() -> Options {
    // The budget is there against bombs. Documents are files of the user's own, whose size bounds all but aliases.
    let mut budget = Budget::default();
    budget.max_events = 50_000_000;
    budget.max_nodes = 50_000_000;
    budget.max_total_scalar_bytes = 1 << 30;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.emit_comments = false;
    options
}

pub(super) fn parse<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, options())
}

/// Whether nothing is declared: comments, separators, directives.
pub(super) fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let bare = line.trim();
        bare.is_empty() || bare.starts_with('#') || bare == "---" || bare == "..." || line.starts_with('%') || {
            bare.strip_prefix("---").is_some_and(|rest| rest.trim_start().starts_with('#'))
        }
    })
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
    let Document { text, lines_before } = document;
    if is_blank(text) {
        return vec![Read::Nothing];
    }
    let reader = Reader::new(KIND, file, document);
    let record = |tree: &Tree, line| reader.record(tree, line, context);
    // The common case first: it is an object of ours and right.
    if text.len() <= LONG
        && let Some(record) = quick::read(text).or_else(|| parse::<StaticDnsRecord>(text).ok())
        && is_ours(&record)
    {
        let lowered = lower(&record, context.zones, context.rights);
        if lowered.problems.is_empty() {
            return vec![Read::Record { lowered: Box::new(lowered), line: lines_before + 1, faults: Vec::new() }];
        }
    }
    match reader.objects(&record) {
        Ok(reads) => reads,
        Err(diagnostic) => vec![Read::Broken(diagnostic)],
    }
}

fn is_ours(record: &StaticDnsRecord) -> bool {
    &*record.kind == KIND
        && record.api_version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/')) == Some(VERSION)
}

/// An object that is there and declares nothing; what it had published stays.
fn refused(namespace: &str, name: &str, line: usize, faults: Vec<Fault>) -> Read {
    let object = ObjectId::static_record(namespace, name);
    let state = ObjectState::Protected;
    let lowered = Lowered { object, state, claims: vec![], problems: vec![], notes: vec![] };
    Read::Record { lowered: Box::new(lowered), line, faults }
}

/// What is said of a document, or of an item of a list, without looking into its spec.
pub(super) enum Head {
    /// Not for us; a note when that may surprise.
    Skipped(Option<String>),
    /// Nobody knows what it declares.
    Broken(Diagnostic),
}

impl From<Head> for Read {
    fn from(head: Head) -> Read {
        match head {
            Head::Skipped(note) => Read::Skipped(note),
            Head::Broken(diagnostic) => Read::Broken(diagnostic),
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
    lines_before: usize,
    /// Where the lines begin, once somebody asks.
    starts: OnceCell<Vec<usize>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(kind: &'static str, file: &'a str, document: Document<'a>) -> Reader<'a> {
        let Document { text, lines_before } = document;
        Reader { kind, file, text, lines_before, starts: OnceCell::new() }
    }

    /// Every object of the document, several for a `kind: List`: those of the reader's kind as `read` takes them (with the
    /// line in the file), the others by their head.
    ///
    /// # Errors
    /// When the document cannot be read at all.
    pub(super) fn objects<T: From<Head>>(&self, read: &dyn Fn(&Tree, usize) -> T) -> Result<Vec<T>, Diagnostic> {
        let head: HeadKeys = parse(self.text).map_err(|error| self.yaml(&error))?;
        // Documents of others are looked at no further.
        let (version, kind) = (head.api_version.as_deref(), head.kind.as_deref());
        if let Some(head) = self.foreign(version, kind, (self.lines_before + 1, 1)) {
            return Ok(vec![head.into()]);
        }
        let tree = tree::parse(self.text).map_err(|error| self.yaml(&error))?;
        Ok(self.judge(&tree, self.lines_before + 1, read))
    }

    fn yaml(&self, error: &serde_saphyr::Error) -> Diagnostic {
        Diagnostic::yaml(self.file, self.text, self.lines_before, error)
    }

    fn at(&self, place: Place, message: impl Into<String>) -> Diagnostic {
        let starts = self
            .starts
            .get_or_init(|| std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect());
        let source = starts.get(place.0.wrapping_sub(1)).and_then(|start| self.text[*start..].lines().next());
        Diagnostic {
            file: self.file.to_owned(),
            line: self.lines_before + place.0,
            column: place.1,
            message: message.into(),
            source: source.unwrap_or("").to_owned(),
        }
    }

    /// What a document is that is not for us, judged by its head; `None` for objects of our kind and for lists.
    fn foreign(&self, version: Option<&str>, kind: Option<&str>, (line, column): Place) -> Option<Head> {
        let own = self.kind;
        let place = (line - self.lines_before, column);
        let broken = |message: String| Some(Head::Broken(self.at(place, message)));
        let (Some(version), Some(kind)) = (version, kind) else {
            let lacks = if kind.is_none() { "kind" } else { "apiVersion" };
            return broken(format!(
                "{lacks} is missing: nobody can tell what this document declares; give apiVersion: {GROUP}/{VERSION} and kind: {own}"
            ));
        };
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
        let text = |key: &str| tree.get(key).and_then(Tree::text);
        let (version, kind) = (text("apiVersion"), text("kind"));
        if let Some(head) = self.foreign(version, kind, (line, tree.place().1)) {
            return vec![head.into()];
        }
        if kind.is_some_and(|kind| kind.ends_with("List")) {
            return self.list(tree, read);
        }
        vec![read(tree, line)]
    }

    fn list<T: From<Head>>(&self, tree: &Tree, read: &dyn Fn(&Tree, usize) -> T) -> Vec<T> {
        let Some(items) = tree.get("items").and_then(Tree::items) else {
            let place = tree.find("items", false);
            return vec![Head::Broken(self.at(place, "a List has its objects under items: as a list")).into()];
        };
        let judge = |item: &Tree| match item.is_null() {
            true => vec![Head::Broken(self.at(item.place(), "this item of the List is empty")).into()],
            false => self.judge(item, self.lines_before + item.place().0, read),
        };
        items.iter().flat_map(judge).collect()
    }

    /// What is wrong with an object by its schema.
    ///
    /// # Errors
    /// When its metadata is in doubt, nobody knows which object this is: taking it for another would leave the one that it
    /// is without protection. Without a spec it was cut, perhaps in the metadata.
    pub(super) fn faults(&self, tree: &Tree, value: &Value, schema: &Value) -> Result<Vec<Fault>, Diagnostic> {
        let wrong = mismatches(schema, value);
        if let Some(first) = wrong.iter().find(|wrong| wrong.path.is_empty() || wrong.path.starts_with("metadata")) {
            let place = tree.find(&first.path, first.key);
            let path = if first.path.is_empty() { "the document" } else { &first.path };
            return Err(self.at(place, format!("{path}: {}", first.message)));
        }
        Ok(wrong.iter().map(|wrong| self.fault(tree, &wrong.path, wrong.key, "Invalid", &wrong.message)).collect())
    }

    /// One thing that is wrong, at its place.
    pub(super) fn fault(&self, tree: &Tree, path: &str, key: bool, reason: &'static str, message: &str) -> Fault {
        let words = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
        Fault { field: path.to_owned(), reason, diagnostic: self.at(tree.find(path, key), words) }
    }

    fn record(&self, tree: &Tree, line: usize, context: Context<'_>) -> Read {
        let value = tree.value();
        let faults = match self.faults(tree, &value, &SCHEMA) {
            Ok(faults) => faults,
            Err(diagnostic) => return Read::Broken(diagnostic),
        };
        let name = value["metadata"]["name"].as_str().unwrap_or("");
        let namespace = value["metadata"]["namespace"].as_str().unwrap_or("default");
        if !faults.is_empty() {
            return refused(namespace, name, line, faults);
        }
        match serde_json::from_value::<StaticDnsRecord>(value.clone()) {
            Err(error) => {
                let fault = self.fault(tree, "", false, "Invalid", &error.to_string());
                refused(namespace, name, line, vec![fault])
            }
            Ok(record) => {
                let lowered = lower(&record, context.zones, context.rights);
                let problems = lowered.problems.iter();
                let faults = problems.map(|wrong| self.fault(tree, &wrong.path, false, wrong.reason, &wrong.message));
                let faults = faults.collect();
                Read::Record { lowered: Box::new(lowered), line, faults }
            }
        }
    }
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
