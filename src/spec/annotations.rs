//! The annotations that count, and those that would be passed over without a word.

use super::problem::Problem;
use super::record::{GROUP, Metadata};
use super::schema::nearest;

/// `"true"`: what is due is reported, and nothing is written.
pub(super) const PAUSE: &str = "dns.knotwork.dev/pause";
/// `"true"`: the markers go, and the records stay.
pub(super) const ABANDON: &str = "dns.knotwork.dev/abandon";

/// Whether an annotation is there and says so.
pub(super) fn is_set(metadata: &Metadata, key: &str) -> bool {
    metadata.annotations.as_ref().and_then(|all| all.get(key)).is_some_and(|value| &**value == "true")
}

/// Every annotation under our group's prefix that is none of `known`, or says neither "true" nor "false": who wrote
/// `paused: "true"` or `pause: "yes"` meant that nothing be written. Annotations of others are theirs.
pub(super) fn bad_annotations(metadata: &Metadata, known: &[&str]) -> Vec<Problem> {
    let ours = |key: &str| key.split_once('/').is_some_and(|(prefix, _)| prefix.eq_ignore_ascii_case(GROUP));
    let all = metadata.annotations.iter().flatten().filter(|(key, _)| ours(key));
    all.filter_map(|(key, value)| {
        let words = if !known.contains(&key.as_str()) {
            let hint = nearest(key, known.iter().copied());
            let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            format!("unknown annotation{hint}; there are: {list}")
        } else if !matches!(&**value, "true" | "false") {
            format!("\"{}\" is not understood here; write \"true\", or remove the annotation", &**value)
        } else {
            return None;
        };
        Some(Problem::invalid(format!("metadata.annotations.{key}"), words))
    })
    .collect()
}
