//! `SplitDNSPolicy` manifests to policies: by the same reader as records, so with the same places and words.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::diagnostic::Diagnostic;
use super::document::{Fault, Head, Reader, documents, is_blank, manifest_schema};
use super::files::gather;
use super::manifests::Place;
use super::tree::Tree;
use super::walk::Input;
use crate::spec::{POLICY_KIND, SplitDnsPolicy, check_policy, policy_crd};
use crate::split::policy::Policy;

/// What the policies of a source came to.
#[derive(Debug, Default)]
pub struct Policies {
    /// Those that are right, in the order of the files.
    pub policies: Vec<Policy>,
    /// Those that are not, by name, and why.
    pub refusals: Vec<(String, Diagnostic)>,
    /// Files and documents that could not be read.
    pub broken: Vec<Diagnostic>,
    /// What is not wrong but worth saying once.
    pub notes: Vec<String>,
    /// Inputs that hold no policy at all.
    pub empty: Vec<String>,
    /// Policies for other hosts, which do not count here, and whom they name.
    pub others: Vec<(String, Vec<String>)>,
    /// Where each policy and its parts stand.
    pub places: HashMap<Arc<str>, PolicyPlace>,
    /// Changes with the content of what was read.
    pub content: u64,
    /// The documents with policies, as they were read.
    pub text: String,
}

impl Policies {
    /// Whether everything was read and nothing refused.
    pub fn is_good(&self) -> bool {
        self.broken.is_empty() && self.refusals.is_empty()
    }

    /// What each policy says, as it stands in its file: its `spec` by its name.
    pub fn specs(&self) -> Vec<(String, Value)> {
        let spec = |(name, place): (&Arc<str>, &PolicyPlace)| Some((name.to_string(), place.tree.get("spec")?.value()));
        let mut all: Vec<(String, Value)> = self.places.iter().filter_map(spec).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// `policy.yaml:7:5` of a field (`spec.routes[0]`) of a policy, as deep as the document goes; `None` for one that was
    /// not among the files.
    pub fn place(&self, policy: &str, field: &str) -> Option<String> {
        let place = self.places.get(policy)?;
        let (line, column) = place.tree.find(field, false);
        Some(format!("{}:{}:{column}", place.place.file, place.lines_before + line))
    }
}

/// Where a policy stands, with the places of its fields.
pub struct PolicyPlace {
    /// The file, and the line where its document begins.
    pub place: Place,
    lines_before: usize,
    tree: Tree,
}

impl std::fmt::Debug for PolicyPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.place.fmt(f)
    }
}

enum Read {
    Policy { policy: Box<Policy>, line: usize, faults: Vec<Fault>, tree: Tree },
    Head(Head),
}

impl From<Head> for Read {
    fn from(head: Head) -> Read {
        Read::Head(head)
    }
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| manifest_schema(policy_crd::crd()));

/// Reads the policies of all inputs; records and documents of others are passed over.
pub fn load_policies(inputs: &[Input]) -> Policies {
    load_policies_for(inputs, None)
}

/// The same for a host of these names: good policies for others are named in `others`, and are nowhere else.
pub fn load_policies_for(inputs: &[Input], host: Option<&[String]>) -> Policies {
    let (files, broken, content) = gather(inputs, None);
    let mut all = Policies { broken, content, ..Policies::default() };
    let mut found = vec![0usize; inputs.len()];
    let mut twice: Vec<Arc<str>> = Vec::new();
    for file in &files {
        let (documents, early) = documents(&file.name, &file.text);
        for document in documents {
            if document.json.is_none() && is_blank(document.text) {
                continue;
            }
            let reader = Reader::new(POLICY_KIND, &file.name, document);
            let reads = match reader.objects(&|tree, line| read(&reader, tree, line)) {
                Ok(reads) => reads,
                Err(diagnostics) => {
                    all.broken.extend(diagnostics);
                    continue;
                }
            };
            for read in reads {
                let (policy, line, faults, tree) = match read {
                    Read::Head(Head::Skipped(note)) => {
                        all.notes.extend(note);
                        continue;
                    }
                    Read::Head(Head::Broken(diagnostics)) => {
                        all.broken.extend(diagnostics);
                        continue;
                    }
                    Read::Policy { policy, line, faults, tree } => (policy, line, faults, tree),
                };
                file.inputs.iter().for_each(|input| found[*input] += 1);
                let name = policy.name.clone();
                let refused = !faults.is_empty();
                let counts = refused || policy.is_for(host);
                if counts && !all.text.ends_with(document.text) {
                    all.text.push_str("---\n");
                    all.text.push_str(document.text);
                }
                all.refusals.extend(faults.into_iter().map(|fault| (name.to_string(), fault.diagnostic)));
                if let Some(first) = all.places.get(&name) {
                    let message = format!(
                        "the policy {name} is declared twice, here and at {}:{}; nobody can tell which is meant, so neither counts",
                        first.place.file, first.place.line
                    );
                    let file = file.name.to_string();
                    let diagnostic = Diagnostic { file, line, column: 1, message, source: String::new() };
                    all.refusals.push((name.to_string(), diagnostic));
                    twice.push(name);
                    continue;
                }
                let place = Place { file: file.name.clone(), line };
                if !refused && let Some((at, words)) = tildes(&tree) {
                    let (line, column) = tree.find(&at, false);
                    let line = document.lines_before + line;
                    all.notes.push(format!("{}:{line}:{column}: policy {name}: {words}", file.name));
                }
                all.places.insert(name, PolicyPlace { place, lines_before: document.lines_before, tree });
                match (refused, counts) {
                    (true, _) => {}
                    (false, true) => all.policies.push(*policy),
                    (false, false) => all.others.push((policy.name.to_string(), policy.hosts)),
                }
            }
        }
        all.broken.extend(early);
    }
    all.policies.retain(|policy| !twice.contains(&policy.name));
    all.others.iter().for_each(|(name, _)| drop(all.places.remove(name.as_str())));
    all.empty = inputs.iter().zip(&found).filter(|(_, found)| **found == 0).map(|(input, _)| input.name()).collect();
    all
}

/// Domains with the `~` of resolved.conf: what is to be said of them, and where the first one stands.
fn tildes(tree: &Tree) -> Option<(String, String)> {
    let spec = tree.get("spec")?;
    let mut found = Vec::new();
    let mut look = |part: &Tree, path: &str| {
        for (i, domain) in part.get("domains").and_then(Tree::items).unwrap_or_default().iter().enumerate() {
            if let Some(text) = domain.text().filter(|text| text.starts_with('~')) {
                found.push((format!("{path}.domains[{i}]"), format!("\"{text}\"")));
            }
        }
    };
    if let Some(global) = spec.get("global") {
        look(global, "spec.global");
    }
    for key in ["routes", "links"] {
        for (i, part) in spec.get(key).and_then(Tree::items).unwrap_or_default().iter().enumerate() {
            look(part, &format!("spec.{key}[{i}]"));
        }
    }
    let (at, _) = found.first()?.clone();
    let texts: Vec<String> = found.into_iter().map(|(_, text)| text).collect();
    Some((at, format!("{}: the '~' of resolved.conf changes nothing, domains here route anyway", texts.join(", "))))
}

fn read(reader: &Reader<'_>, tree: &Tree, line: usize) -> Read {
    let check = |object: &SplitDnsPolicy| {
        let checked = check_policy(object);
        (checked.policy, checked.problems)
    };
    let (policy, faults) = match reader.faults(tree, &SCHEMA, &check) {
        Ok(found) => found,
        Err(diagnostics) => return Head::Broken(diagnostics).into(),
    };
    let policy = policy.unwrap_or_else(|| {
        let name = tree.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Tree::text);
        Policy { name: name.unwrap_or("").into(), ..Policy::default() }
    });
    Read::Policy { policy: Box::new(policy), line, faults, tree: tree.clone() }
}

#[cfg(test)]
#[path = "policies_tests.rs"]
mod tests;
