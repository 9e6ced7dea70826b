//! What `kubectl` plugins, Flux and their like make of an object: kstatus, as sigs.k8s.io/cli-utils computes it for kinds
//! that it has no rules of its own for. `tests/kstatus.rs` holds it to the rules.

use serde_json::Value;

/// A status by kstatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kstatus {
    /// Not there yet.
    InProgress,
    /// Will not get there without help.
    Failed,
    /// As declared.
    Current,
    /// Being deleted.
    Terminating,
}

/// The status of an object, in the order in which kstatus looks: deletion, generation, the standard conditions in the order
/// in which they stand, `Ready`. What has none of these is current.
pub fn kstatus(object: &Value) -> Kstatus {
    let metadata = &object["metadata"];
    if metadata["deletionTimestamp"].as_str().is_some_and(|time| !time.is_empty()) {
        return Kstatus::Terminating;
    }
    let (generation, observed) = (metadata["generation"].as_i64(), object["status"]["observedGeneration"].as_i64());
    // Without either there is nothing to compare: an object that nobody has looked at is not caught here.
    if let (Some(generation), Some(observed)) = (generation, observed)
        && generation != observed
    {
        return Kstatus::InProgress;
    }
    let conditions = || object["status"]["conditions"].as_array().into_iter().flatten();
    for condition in conditions().filter(|condition| condition["status"] == "True") {
        match condition["type"].as_str() {
            Some("Reconciling") => return Kstatus::InProgress,
            Some("Stalled") => return Kstatus::Failed,
            _ => {}
        }
    }
    let ready = conditions().find(|condition| condition["type"] == "Ready");
    match ready.and_then(|condition| condition["status"].as_str()) {
        Some("False" | "Unknown") => Kstatus::InProgress,
        _ => Kstatus::Current,
    }
}
