//! `StaticDNSRecord`: one object, one owner name, one record set for each type it carries.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::scalar::{Flag, Int, Text, items, present};

/// API group of all our kinds.
pub const GROUP: &str = "dns.knotwork.dev";
/// API version.
pub const VERSION: &str = "v1alpha1";
/// This kind.
pub const KIND: &str = "StaticDNSRecord";

/// A `StaticDNSRecord` as a manifest has it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaticDnsRecord {
    /// `dns.knotwork.dev/v1alpha1`.
    pub api_version: Text,
    /// `StaticDNSRecord`.
    pub kind: Text,
    /// Name and namespace.
    pub metadata: Metadata,
    /// What is declared.
    pub spec: RecordSpec,
    /// A report of the operator: never read here, but `kubectl get -o yaml` prints it.
    #[serde(default, skip_serializing)]
    pub status: IgnoredAny,
}

/// The part of an object's metadata that counts here. What else the API server keeps there is passed over; any other
/// key is refused, since `namspace: dns` would otherwise move an object without a word.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "WholeMetadata")]
pub struct Metadata {
    /// Object name (RFC 1123 subdomain).
    pub name: Text,
    /// Namespace; `default` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Text>,
    /// Annotations; `dns.knotwork.dev/pause` and `dns.knotwork.dev/abandon` count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, Text>>,
}

/// Every key that Kubernetes knows in an object's metadata (`ObjectMeta` of meta/v1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct WholeMetadata {
    name: Text,
    namespace: Option<Text>,
    annotations: Option<BTreeMap<String, Text>>,
    labels: Option<BTreeMap<String, Text>>,
    generate_name: Option<IgnoredAny>,
    uid: Option<IgnoredAny>,
    resource_version: Option<IgnoredAny>,
    generation: Option<IgnoredAny>,
    creation_timestamp: Option<IgnoredAny>,
    deletion_timestamp: Option<IgnoredAny>,
    deletion_grace_period_seconds: Option<IgnoredAny>,
    finalizers: Option<IgnoredAny>,
    owner_references: Option<IgnoredAny>,
    managed_fields: Option<IgnoredAny>,
    self_link: Option<IgnoredAny>,
}

impl From<WholeMetadata> for Metadata {
    fn from(whole: WholeMetadata) -> Metadata {
        Metadata { name: whole.name, namespace: whole.namespace, annotations: whole.annotations }
    }
}

/// What to do about an unmarked record set that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Adopt {
    /// Leave it.
    Never,
    /// Take it when values and TTL are the same.
    #[default]
    IfIdentical,
    /// Replace it.
    Takeover,
}

/// What happens to the records when the object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Deletion {
    /// They go too.
    #[default]
    Delete,
    /// They stay, unmarked.
    Retain,
}

/// What one object declares.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[serde(default)]
pub struct RecordSpec {
    /// Owner name: absolute, or relative to `zone`; `@` with `zone` is the apex.
    pub name: Text,
    /// The zone that holds the name; by default the configured zone with the longest matching suffix.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub zone: Option<Text>,
    /// Seconds; by default the zone's.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Int>,
    /// IPv4 addresses.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub a: Vec<Text>,
    /// IPv6 addresses.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub aaaa: Vec<Text>,
    /// Name servers.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub ns: Vec<Text>,
    /// Names that an address points back to.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub ptr: Vec<Text>,
    /// The canonical name.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub cname: Option<Text>,
    /// The name that the subtree is redirected to.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub dname: Option<Text>,
    /// Texts; split at 255 bytes for the wire.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub txt: Vec<Text>,
    /// Mail exchanges.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub mx: Vec<Mx>,
    /// Services.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub srv: Vec<Srv>,
    /// Certification authorities.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub caa: Vec<Caa>,
    /// SSH host key fingerprints.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub sshfp: Vec<Sshfp>,
    /// TLS certificate associations.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub tlsa: Vec<Tlsa>,
    /// HTTPS service bindings.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub https: Vec<Svcb>,
    /// Service bindings.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub svcb: Vec<Svcb>,
    /// Naming authority pointers.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub naptr: Vec<Naptr>,
    /// Delegation signers.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub ds: Vec<Ds>,
    /// URIs.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub uri: Vec<Uri>,
    /// Places on earth, in RFC 1876 form.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub loc: Vec<Text>,
    /// Every other type, in zone-file form.
    #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
    pub other: Vec<Other>,
    /// Also the PTR records, where a reverse zone is configured.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub reverse: Option<Flag>,
    /// About an unmarked record set that is already there.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// What happens to the records when the object goes.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<Deletion>,
    /// Whether several objects contribute values to one record set.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub share: Option<Flag>,
}

macro_rules! part {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind),+ }
    };
}

part!(
    /// RFC 1035 §3.3.9.
    Mx {
        /// Lower is tried first.
        preference: Int,
        /// The host that takes mail.
        exchange: Text,
    }
);
part!(
    /// RFC 2782.
    Srv {
        /// Lower is tried first.
        priority: Int,
        /// Share among equals.
        weight: Int,
        /// Port.
        port: Int,
        /// The host.
        target: Text,
    }
);
part!(
    /// RFC 8659.
    Caa {
        /// 128 is "critical".
        flags: Int,
        /// `issue`, `issuewild`, `iodef` …
        tag: Text,
        /// The value.
        value: Text,
    }
);
part!(
    /// RFC 4255.
    Sshfp {
        /// Key algorithm.
        algorithm: Int,
        /// 1 SHA-1, 2 SHA-256.
        fingerprint_type: Int,
        /// Hexadecimal.
        fingerprint: Text,
    }
);
part!(
    /// RFC 6698.
    Tlsa {
        /// 0–3.
        usage: Int,
        /// 0 certificate, 1 public key.
        selector: Int,
        /// 0 exact, 1 SHA-256, 2 SHA-512.
        matching_type: Int,
        /// Hexadecimal.
        data: Text,
    }
);
/// RFC 9460.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Svcb {
    /// 0 is an alias.
    pub priority: Int,
    /// The host; `.` is the owner itself.
    pub target: Text,
    /// `alpn=h2,h3 ipv4hint=10.0.0.1`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub params: Option<Text>,
}
part!(
    /// RFC 3403.
    Naptr {
        /// Lower is processed first.
        order: Int,
        /// Lower is preferred.
        preference: Int,
        /// `S`, `A`, `U`, `P` or nothing.
        flags: Text,
        /// Service and protocol.
        service: Text,
        /// Substitution.
        regexp: Text,
        /// The next name; `.` for none.
        replacement: Text,
    }
);
part!(
    /// RFC 4034 §5.
    Ds {
        /// Key tag.
        key_tag: Int,
        /// Key algorithm.
        algorithm: Int,
        /// Digest type.
        digest_type: Int,
        /// Hexadecimal.
        digest: Text,
    }
);
part!(
    /// RFC 7553.
    Uri {
        /// Lower is tried first.
        priority: Int,
        /// Share among equals.
        weight: Int,
        /// The URI.
        target: Text,
    }
);
part!(
    /// Any type, in zone-file form.
    Other {
        /// Mnemonic or `TYPE65400` (field `type`).
        r#type: Text,
        /// One value a line, `\# 3 010203` for unknown types (RFC 3597).
        #[serde(deserialize_with = "items")]
        rdata: Vec<Text>,
    }
);
