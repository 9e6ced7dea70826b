//! Endpoints and changes of ExternalDNS as they travel (`endpoint/endpoint.go`, `plan/plan.go` of ExternalDNS).
//!
//! Go reads keys without regard to case, takes `null` for nothing, and passes over what it does not know; so do we. What we
//! write are the keys of today's ExternalDNS, with empty fields left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One record set as ExternalDNS knows it, or the values of it that one `setIdentifier` stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Owner name.
    #[serde(alias = "DNSName", deserialize_with = "filled", skip_serializing_if = "String::is_empty")]
    pub dns_name: String,
    /// Values, in the text form of ExternalDNS.
    #[serde(alias = "Targets", deserialize_with = "filled", skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Mnemonic of the type.
    #[serde(alias = "RecordType", deserialize_with = "filled", skip_serializing_if = "String::is_empty")]
    pub record_type: String,
    /// What tells endpoints of one name and type apart. DNS does not know it.
    #[serde(alias = "SetIdentifier", deserialize_with = "filled", skip_serializing_if = "String::is_empty")]
    pub set_identifier: String,
    /// Seconds; 0 is none.
    #[serde(
        rename = "recordTTL",
        alias = "RecordTTL",
        alias = "recordTtl",
        deserialize_with = "filled",
        skip_serializing_if = "is_zero"
    )]
    pub record_ttl: i64,
    /// Notes of ExternalDNS: `owner`, `resource`, and at ownership TXTs `ownedRecord`.
    #[serde(alias = "Labels", deserialize_with = "filled", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Properties for providers.
    #[serde(alias = "ProviderSpecific", deserialize_with = "filled", skip_serializing_if = "Vec::is_empty")]
    pub provider_specific: Vec<Property>,
}

/// One property for a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Property {
    /// `webhook/ptr`.
    #[serde(alias = "Name", deserialize_with = "filled")]
    pub name: String,
    /// Its value.
    #[serde(alias = "Value", deserialize_with = "filled")]
    pub value: String,
}

impl Endpoint {
    /// A label; empty where it is not there.
    pub fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }

    /// A property for providers.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.provider_specific.iter().find(|property| property.name == name).map(|property| property.value.as_str())
    }
}

/// What ExternalDNS wants changed. Before its version 0.17 the keys began with capitals, and empty lists were `null`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Changes {
    /// New sets.
    #[serde(alias = "Create", deserialize_with = "filled")]
    pub create: Vec<Endpoint>,
    /// Sets before their change.
    #[serde(alias = "UpdateOld", deserialize_with = "filled")]
    pub update_old: Vec<Endpoint>,
    /// The same after it.
    #[serde(alias = "UpdateNew", deserialize_with = "filled")]
    pub update_new: Vec<Endpoint>,
    /// Sets that shall go.
    #[serde(alias = "Delete", deserialize_with = "filled")]
    pub delete: Vec<Endpoint>,
}

/// Which names a provider serves (`endpoint/domain_filter.go`): those at or below the names of `include`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DomainFilter {
    /// Zones.
    pub include: Vec<String>,
}

/// `null` is as if the key were not there.
fn filled<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_nulls_and_what_nobody_knows() {
        let old = r#"{"Create":[{"dnsName":"a.x","targets":["1.2.3.4"],"recordType":"A","recordTTL":60,"new":{"x":1}}],
            "UpdateOld":null,"UpdateNew":null,"Delete":null}"#;
        let new = r#"{"create":[{"dnsName":"a.x","targets":["1.2.3.4"],"recordType":"A","recordTTL":60,"labels":null,
            "providerSpecific":null,"setIdentifier":null}]}"#;
        let [old, new] = [old, new].map(|text| serde_json::from_str::<Changes>(text).unwrap());
        assert_eq!(old, new);
        assert_eq!((old.create[0].record_ttl, old.delete.len()), (60, 0));
        assert_eq!(serde_json::from_str::<Changes>("{}").unwrap(), Changes::default());
    }

    #[test]
    fn empty_fields_are_left_out_and_the_ttl_has_its_capitals() {
        let endpoint =
            Endpoint { dns_name: "a.x".into(), record_type: "A".into(), record_ttl: 5, ..Endpoint::default() };
        assert_eq!(serde_json::to_string(&endpoint).unwrap(), r#"{"dnsName":"a.x","recordType":"A","recordTTL":5}"#);
    }
}
