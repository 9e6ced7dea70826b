//! In whose words a problem speaks: the kinds of objects write the same things in different places.

use std::net::IpAddr;

use crate::model::RrType;

/// The form that a value was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `StaticDNSRecord`: a field for each type.
    Record,
    /// `DNSEndpoint`: targets of an endpoint of this type.
    Endpoint(RrType),
}

impl Form {
    /// Where an address belongs, as it would be written there.
    pub(super) fn home_of(self, address: IpAddr) -> String {
        match (self, address) {
            (Form::Record, IpAddr::V4(_)) => format!("a: [{address}]"),
            (Form::Record, IpAddr::V6(_)) => format!("aaaa: [{address}]"),
            (Form::Endpoint(_), IpAddr::V4(_)) => "recordType: A".to_owned(),
            (Form::Endpoint(_), IpAddr::V6(_)) => "recordType: AAAA".to_owned(),
        }
    }

    /// Where addresses of a type belong.
    pub(super) fn field_of(self, rtype: RrType) -> String {
        match self {
            Form::Record => format!("spec.{}", rtype.to_string().to_ascii_lowercase()),
            Form::Endpoint(_) => format!("an endpoint with recordType: {rtype}"),
        }
    }
}
