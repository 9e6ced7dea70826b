//! One object as the Kubernetes API gives it, read by the same rules and in the same words as a manifest.

use serde::Deserialize as _;
use serde_json::Value;

use super::document::{Context, Document, Fault, Read, Reader, refused};
use super::json;
use crate::spec::{KIND, Lowered, Rights, StaticDnsRecord, Zones, lower};

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFault {
    /// The field as a path; empty for the object as a whole.
    pub field: String,
    /// A stable reason word.
    pub reason: &'static str,
    /// The field and the words.
    pub message: String,
}

/// What an object came to. With faults it declares nothing and is protected.
#[derive(Debug, Clone)]
pub struct ObjectRead {
    /// Its claims.
    pub lowered: Lowered,
    /// Everything that is wrong with it.
    pub faults: Vec<ObjectFault>,
}

/// Reads a `StaticDNSRecord`; its metadata need not hold more than name, namespace and annotations.
pub fn read_object(object: &Value, zones: &Zones, rights: &Rights) -> ObjectRead {
    if let Ok(record) = StaticDnsRecord::deserialize(object) {
        let lowered = lower(&record, zones, rights);
        if lowered.problems.is_empty() {
            return ObjectRead { lowered, faults: Vec::new() };
        }
    }
    // What is wrong is said by the reader of manifests, which knows more of it.
    let text = object.to_string();
    let document = Document { text: &text, lines_before: 0, json: Some(0) };
    let fault =
        |fault: Fault| ObjectFault { field: fault.field, reason: fault.reason, message: fault.diagnostic.message };
    let read = match json::parse(&text, 0) {
        Ok(tree) => Reader::new(KIND, "", document).record(&tree, 1, Context { zones, rights }),
        Err((_, words)) => Read::Skipped(Some(words)),
    };
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    let nothing = || refused(text("namespace"), text("name"));
    let whole = |message: String| ObjectFault { field: String::new(), reason: "Invalid", message };
    match read {
        Read::Record { lowered, faults, .. } => {
            ObjectRead { lowered: *lowered, faults: faults.into_iter().map(fault).collect() }
        }
        Read::Broken(diagnostics) => {
            let faults = diagnostics.into_iter().map(|one| whole(one.message)).collect();
            ObjectRead { lowered: nothing(), faults }
        }
        Read::Skipped(words) => ObjectRead { lowered: nothing(), faults: words.map(whole).into_iter().collect() },
        Read::Nothing => ObjectRead { lowered: nothing(), faults: vec![whole("it is empty".to_owned())] },
    }
}
