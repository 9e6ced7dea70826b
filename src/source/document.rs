//! Documents: cutting a file into them, and reading each by itself, so that a bad one never hides the good ones.

use serde::Deserialize;
use serde_saphyr::{Budget, Options};

use super::diagnostic::Diagnostic;
use super::locate::locate;
use crate::spec::{GROUP, KIND, Lowered, Metadata, Rights, StaticDnsRecord, Text, VERSION, Zones, lower};

/// Kinds of our group that other parts of Knotwork read.
const OTHER_KINDS: &[&str] = &["SplitDNSPolicy", "HostDNS", "DNSZone"];

/// One document of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    pub text: &'a str,
    pub lines_before: usize,
}

/// What one document is.
pub(super) enum Read {
    /// An object of ours, checked; with the place of its start.
    Record(Box<Lowered>, usize),
    /// An object of ours that the API server would refuse before looking at its rules: identity, and what is wrong.
    Refused(String, String, Diagnostic),
    /// Not for us; a note when that may surprise.
    Skipped(Option<String>),
    /// Cannot be read: nobody knows what it declares.
    Broken(Diagnostic),
    /// Comments and blank lines.
    Nothing,
}

/// Cuts at `---` in the first column, where YAML begins a document whatever came before.
pub(super) fn cut(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut start_line) = (0, 0);
    let mut at = 0;
    let mut lines = 0;
    for line in text.split_inclusive('\n') {
        let marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']));
        if marker && at > start {
            documents.push(Document { text: &text[start..at], lines_before: start_line });
            (start, start_line) = (at, lines);
        }
        at += line.len();
        lines += 1;
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

#[derive(Deserialize)]
struct Identity {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct List {
    items: Vec<serde_json::Value>,
}

/// The reader's limits: one document is small, however many a file has.
fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_events = 4_000_000;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.emit_comments = false;
    options
}

fn parse<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, options())
}

fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---" || line == "..."
    })
}

/// Reads one document; several results for a `kind: List`.
pub(super) fn read(file: &str, document: Document<'_>, zones: &Zones, rights: &Rights) -> Vec<Read> {
    let Document { text, lines_before } = document;
    if is_blank(text) {
        return vec![Read::Nothing];
    }
    // The common case first: it is an object of ours and right.
    let typed = parse::<StaticDnsRecord>(text);
    if let Ok(record) = &typed
        && &*record.kind == KIND
        && &*record.api_version == format!("{GROUP}/{VERSION}")
    {
        return vec![Read::Record(Box::new(lower(record, zones, rights)), lines_before + 1)];
    }
    let head: Head = match parse(text) {
        Ok(head) => head,
        Err(error) => return vec![Read::Broken(Diagnostic::yaml(file, text, lines_before, &error))],
    };
    let broken = |path: &str, message: String| {
        vec![Read::Broken(Diagnostic::at(file, text, lines_before, locate(text, path), message))]
    };
    let (Some(version), Some(kind)) = (&head.api_version, &head.kind) else {
        let lacks = if head.kind.is_none() { "kind" } else { "apiVersion" };
        return broken(
            "",
            format!(
                "{lacks} is missing: nobody can tell what this document declares; give apiVersion: {GROUP}/{VERSION} and kind: {KIND}"
            ),
        );
    };
    let (group, number) = version.split_once('/').unwrap_or(("", version));
    if &**kind == "List" && group.is_empty() {
        return list(file, document, zones, rights);
    }
    if group != GROUP {
        if &**kind == KIND {
            return broken("apiVersion", format!("the kind {KIND} belongs to {GROUP}/{VERSION}, not to \"{version}\""));
        }
        return vec![Read::Skipped(Some(format!(
            "{file}:{}: {kind} ({version}) is not for Knotwork",
            lines_before + 1
        )))];
    }
    if OTHER_KINDS.contains(&&**kind) {
        return vec![Read::Skipped(Some(format!("{file}:{}: {kind} is not a record; skipped here", lines_before + 1)))];
    }
    if &**kind != KIND {
        return broken("kind", format!("unknown kind \"{kind}\" of {GROUP}; records are of kind {KIND}"));
    }
    if number != VERSION {
        return broken("apiVersion", format!("unknown version \"{number}\" of {GROUP}; this Knotwork knows {VERSION}"));
    }
    let Err(error) = typed else { return vec![Read::Nothing] };
    let diagnostic = Diagnostic::yaml(file, text, lines_before, &error);
    // Who it is can mostly still be told: then only this object is held, and nobody else's deletes wait.
    match parse::<Identity>(text) {
        Ok(Identity { metadata }) => {
            let namespace = metadata.namespace.map_or_else(|| "default".to_owned(), |namespace| namespace.0);
            vec![Read::Refused(namespace, metadata.name.0, diagnostic)]
        }
        Err(_) => vec![Read::Broken(diagnostic)],
    }
}

fn list(file: &str, document: Document<'_>, zones: &Zones, rights: &Rights) -> Vec<Read> {
    let Document { text, lines_before } = document;
    let items = match parse::<List>(text) {
        Ok(list) => list.items,
        Err(error) => return vec![Read::Broken(Diagnostic::yaml(file, text, lines_before, &error))],
    };
    let mut all = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let place = locate(text, &format!("items[{i}]"));
        // An item is read as a document of its own; only its first place in the list is known.
        let own = item.to_string();
        for read in read(file, Document { text: &own, lines_before: 0 }, zones, rights) {
            let moved = |found: Diagnostic| {
                Diagnostic::at(file, text, lines_before, place, format!("items[{i}]: {}", found.message))
            };
            all.push(match read {
                Read::Record(lowered, _) => Read::Record(lowered, lines_before + place.0),
                Read::Refused(namespace, name, found) => Read::Refused(namespace, name, moved(found)),
                Read::Broken(found) => Read::Broken(moved(found)),
                Read::Skipped(note) => Read::Skipped(note),
                Read::Nothing => {
                    Read::Broken(Diagnostic::at(file, text, lines_before, place, format!("items[{i}] is empty")))
                }
            });
        }
    }
    all
}

/// Reads whatever bytes as manifests; for the fuzzer.
#[doc(hidden)]
pub fn read_documents_for_fuzzing(text: &str, zones: &Zones, rights: &Rights) -> usize {
    cut(text).into_iter().flat_map(|document| read("fuzz.yaml", document, zones, rights)).count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cuts_where_yaml_does() {
        let text = "a: 1\n--- # two\nb: |\n  ---x\n  text\n---\nc: 3\n";
        let parts: Vec<(&str, usize)> = cut(text).iter().map(|d| (d.text.trim(), d.lines_before)).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[2].1, 5);
        assert_eq!(cut("---\na: 1\n").len(), 1);
    }
}
