//! What becomes of an object, as its status says it: a report, never a basis for a write.

use serde::{Deserialize, Serialize};

/// The status of a `StaticDNSRecord`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordStatus {
    /// The generation that this report is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The absolute owner name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// The zone that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// SOA serial of the last programming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// The types, joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<String>,
    /// The values in short form: `10.0.0.1 (+497)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
    /// At most 16 sets in short form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetStatus>,
    /// `Accepted`, `Programmed`, `Ready`; `Stalled` or `Reconciling` while they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One record set in short form.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetStatus {
    /// Owner name.
    pub name: String,
    /// Type.
    pub r#type: String,
    /// Values in short form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
    /// Why it is as it is, a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A condition as Kubernetes knows it (`metav1.Condition`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, for one.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The generation that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` changed last, RFC 3339.
    pub last_transition_time: String,
    /// A stable word.
    pub reason: String,
    /// In words.
    pub message: String,
}
