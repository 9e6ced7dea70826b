//! What is refused of a request, and why.

use std::fmt;

use super::endpoint::Endpoint;

/// One endpoint or record set that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The name, as it was written.
    pub name: String,
    /// The type, as it was written.
    pub rtype: String,
    /// For which object of Kubernetes ExternalDNS wanted it (`kind/namespace/name`); empty where it does not say.
    pub resource: String,
    /// A stable word.
    pub reason: &'static str,
    /// What is wrong and the way out.
    pub message: String,
}

impl Refused {
    /// About an endpoint.
    pub fn of(endpoint: &Endpoint, reason: &'static str, message: impl Into<String>) -> Refused {
        let (name, rtype) = (endpoint.dns_name.clone(), endpoint.record_type.clone());
        let resource = endpoint.label("resource").to_owned();
        Refused { name, rtype, resource, reason, message: message.into() }
    }
}

impl fmt::Display for Refused {
    /// A line for a log: whose text it was may hold anything, so line ends are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = format!("{} {}: {} ({})", self.name, self.rtype, self.message, self.reason);
        words.chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_default()),
            false => write!(f, "{c}"),
        })
    }
}
