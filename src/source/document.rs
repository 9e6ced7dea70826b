//! Documents: cutting a file into them, and reading each by itself, so that a bad one never hides the good ones.

use std::cell::OnceCell;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};
use serde_saphyr::{Budget, Options};

use super::diagnostic::Diagnostic;
use super::tree::{self, Place, Tree};
use crate::model::{ObjectId, ObjectState};
use crate::spec::schema::{mismatches, nearest};
use crate::spec::{GROUP, KIND, Lowered, Rights, StaticDnsRecord, Text, VERSION, Zones, crd, lower};

/// Kinds of our group that other parts of Knotwork read.
const OTHER_KINDS: &[&str] = &["SplitDNSPolicy", "HostDNS", "DNSZone"];

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: Option<Text>,
    kind: Option<Text>,
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
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let bare = line.trim();
        bare.is_empty() || bare.starts_with('#') || bare == "---" || bare == "..." || line.starts_with('%') || {
            bare.strip_prefix("---").is_some_and(|rest| rest.trim_start().starts_with('#'))
        }
    })
}

/// The schema of manifests: that of the CRD, with the metadata that Kubernetes knows.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = crd::crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].take();
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
});

/// Reads one document; several results for a `kind: List`.
pub(super) fn read(file: &str, document: Document<'_>, context: Context<'_>) -> Vec<Read> {
    let Document { text, lines_before } = document;
    if is_blank(text) {
        return vec![Read::Nothing];
    }
    let reader = Reader { file, text, lines_before, starts: OnceCell::new(), context };
    // The common case first: it is an object of ours and right.
    if text.len() <= LONG
        && let Ok(record) = parse::<StaticDnsRecord>(text)
        && is_ours(&record)
    {
        let lowered = lower(&record, context.zones, context.rights);
        if lowered.problems.is_empty() {
            return vec![Read::Record { lowered: Box::new(lowered), line: lines_before + 1, faults: Vec::new() }];
        }
    }
    let head: Head = match parse(text) {
        Ok(head) => head,
        Err(error) => return vec![Read::Broken(reader.yaml(&error))],
    };
    // Documents of others are looked at no further.
    let (version, kind) = (head.api_version.as_deref(), head.kind.as_deref());
    if let Some(read) = reader.foreign(version, kind, (lines_before + 1, 1)) {
        return vec![read];
    }
    match tree::parse(text) {
        Ok(tree) => reader.judge(&tree, lines_before + 1),
        Err(error) => vec![Read::Broken(reader.yaml(&error))],
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

/// One document being read.
struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    lines_before: usize,
    /// Where the lines begin, once somebody asks.
    starts: OnceCell<Vec<usize>>,
    context: Context<'a>,
}

impl Reader<'_> {
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

    /// What a document is that is not for us, judged by its head; `None` for records of ours and for lists.
    fn foreign(&self, version: Option<&str>, kind: Option<&str>, (line, column): Place) -> Option<Read> {
        let place = (line - self.lines_before, column);
        let broken = |message: String| Some(Read::Broken(self.at(place, message)));
        let (Some(version), Some(kind)) = (version, kind) else {
            let lacks = if kind.is_none() { "kind" } else { "apiVersion" };
            return broken(format!(
                "{lacks} is missing: nobody can tell what this document declares; give apiVersion: {GROUP}/{VERSION} and kind: {KIND}"
            ));
        };
        let (group, number) = version.split_once('/').unwrap_or(("", version));
        if kind == "List" && group.is_empty() {
            return None;
        }
        if group != GROUP {
            if kind == KIND {
                return broken(format!("the kind {KIND} belongs to {GROUP}/{VERSION}, not to \"{version}\""));
            }
            return Some(Read::Skipped(Some(format!("{}:{line}: {kind} ({version}) is not for Knotwork", self.file))));
        }
        if OTHER_KINDS.contains(&kind) {
            return Some(Read::Skipped(Some(format!("{}:{line}: {kind} is not a record; skipped here", self.file))));
        }
        let list = kind.strip_suffix("List").unwrap_or(kind);
        if list != KIND {
            let hint = nearest(kind, std::iter::once(KIND).chain(OTHER_KINDS.iter().copied()));
            return broken(format!("unknown kind \"{kind}\" of {GROUP}; records are of kind {KIND}{hint}"));
        }
        if number != VERSION {
            return broken(format!("unknown version \"{number}\" of {GROUP}; this Knotwork knows {VERSION}"));
        }
        None
    }

    /// What a document, or an item of a list, is; `line` counts in the file.
    fn judge(&self, tree: &Tree, line: usize) -> Vec<Read> {
        let text = |key: &str| tree.get(key).and_then(Tree::text);
        let (version, kind) = (text("apiVersion"), text("kind"));
        if let Some(read) = self.foreign(version, kind, (line, tree.place().1)) {
            return vec![read];
        }
        if kind.is_some_and(|kind| kind.ends_with("List")) {
            return self.list(tree);
        }
        vec![self.record(tree, line)]
    }

    fn list(&self, tree: &Tree) -> Vec<Read> {
        let Some(items) = tree.get("items").and_then(Tree::items) else {
            return vec![Read::Broken(
                self.at(tree.find("items", false), "a List has its objects under items: as a list"),
            )];
        };
        let judge = |item: &Tree| match item.is_null() {
            true => vec![Read::Broken(self.at(item.place(), "this item of the List is empty"))],
            false => self.judge(item, self.lines_before + item.place().0),
        };
        items.iter().flat_map(judge).collect()
    }

    fn record(&self, tree: &Tree, line: usize) -> Read {
        let value = tree.value();
        let wrong = mismatches(&SCHEMA, &value);
        // With its metadata in doubt, nobody knows which object this is: taking it for another would leave the one that it
        // is without protection. Without a spec it was cut, perhaps in the metadata, where the namespace may be missing.
        if let Some(first) = wrong.iter().find(|wrong| wrong.path.is_empty() || wrong.path.starts_with("metadata")) {
            let place = tree.find(&first.path, first.key);
            let path = if first.path.is_empty() { "the document" } else { &first.path };
            return Read::Broken(self.at(place, format!("{path}: {}", first.message)));
        }
        let fault = |path: &str, key: bool, reason, message: &str| {
            let words = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
            Fault { field: path.to_owned(), reason, diagnostic: self.at(tree.find(path, key), words) }
        };
        let name = value["metadata"]["name"].as_str().unwrap_or("");
        let namespace = value["metadata"]["namespace"].as_str().unwrap_or("default");
        if !wrong.is_empty() {
            let faults = wrong.iter().map(|wrong| fault(&wrong.path, wrong.key, "Invalid", &wrong.message)).collect();
            return refused(namespace, name, line, faults);
        }
        match serde_json::from_value::<StaticDnsRecord>(value.clone()) {
            Err(error) => refused(namespace, name, line, vec![fault("", false, "Invalid", &error.to_string())]),
            Ok(record) => {
                let lowered = lower(&record, self.context.zones, self.context.rights);
                let problems = lowered.problems.iter();
                let faults = problems.map(|wrong| fault(&wrong.path, false, wrong.reason, &wrong.message)).collect();
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
