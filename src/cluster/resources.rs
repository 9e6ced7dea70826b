//! The kinds that are read and written, and one object as the API server gives it.

use std::collections::BTreeMap;

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use crate::spec::{GROUP, VERSION};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `StaticDNSRecord`.
    Record,
    /// `DNSZone`.
    Zone,
    /// ExternalDNS's `DNSEndpoint`.
    Endpoint,
    /// `Lease`.
    Lease,
    /// `CustomResourceDefinition`.
    Crd,
    /// `Namespace`.
    Namespace,
    /// `Event` of events.k8s.io.
    Event,
    /// `Pod`: our own.
    Pod,
}

/// The names of our own CRDs whose objects carry finalizers or decisions.
pub const CRDS: [&str; 2] = ["staticdnsrecords.dns.knotwork.dev", "dnszones.dns.knotwork.dev"];

impl Resource {
    /// The plural, as URLs and people name it.
    pub fn plural(self) -> &'static str {
        match self {
            Resource::Record => "staticdnsrecords",
            Resource::Zone => "dnszones",
            Resource::Endpoint => "dnsendpoints",
            Resource::Lease => "leases",
            Resource::Crd => "customresourcedefinitions",
            Resource::Namespace => "namespaces",
            Resource::Event => "events",
            Resource::Pod => "pods",
        }
    }

    pub(super) fn api(self) -> ApiResource {
        let (group, version, kind) = match self {
            Resource::Record => (GROUP, VERSION, "StaticDNSRecord"),
            Resource::Zone => (GROUP, VERSION, "DNSZone"),
            Resource::Endpoint => ("externaldns.k8s.io", "v1alpha1", "DNSEndpoint"),
            Resource::Lease => ("coordination.k8s.io", "v1", "Lease"),
            Resource::Crd => ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            Resource::Namespace => ("", "v1", "Namespace"),
            Resource::Event => ("events.k8s.io", "v1", "Event"),
            Resource::Pod => ("", "v1", "Pod"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), self.plural())
    }
}

/// One object, reduced to what counts here: what the server keeps beside it (managed fields above all) is large.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Empty for what has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: another one is another object.
    pub uid: String,
    /// Its resource version.
    pub version: String,
    /// Its generation; 0 where the kind has none.
    pub generation: i64,
    /// When it was created, seconds since 1970.
    pub created: Option<i64>,
    /// It is being deleted.
    pub deleting: bool,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// Its annotations under our prefix.
    pub annotations: BTreeMap<String, String>,
    /// Everything but the metadata and the status.
    pub body: Value,
    /// Its status.
    pub status: Value,
}

impl Seen {
    pub(super) fn of(object: DynamicObject) -> Seen {
        let DynamicObject { metadata, mut data, .. } = object;
        let status = data.as_object_mut().and_then(|data| data.remove("status")).unwrap_or(Value::Null);
        let ours = |key: &String| key.split_once('/').is_some_and(|(prefix, _)| prefix.eq_ignore_ascii_case(GROUP));
        Seen {
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation.unwrap_or(0),
            created: metadata.creation_timestamp.map(|time| time.0.as_second()),
            deleting: metadata.deletion_timestamp.is_some(),
            finalizers: metadata.finalizers.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default().into_iter().filter(|(key, _)| ours(key)).collect(),
            body: data,
            status,
        }
    }

    /// One field of its spec.
    pub fn spec(&self, field: &str) -> Option<&Value> {
        self.body.get("spec")?.get(field)
    }
}
