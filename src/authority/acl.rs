//! Who may update and transfer: allow lists as those of Knot DNS.

use crate::dns::Message;
use crate::model::{Name, RrType};

/// One permission. A request is allowed when one grant covers all of it; prerequisites are not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The TSIG key that must have signed the request; `None`: a request without signature.
    pub key: Option<Name>,
    /// Whether UPDATE is allowed.
    pub update: bool,
    /// Whether AXFR and IXFR are allowed.
    pub transfer: bool,
    /// The types that updates may touch, ANY among them for "delete all sets of a name"; empty: all.
    pub types: Vec<RrType>,
    /// The names at or below which updates may touch; empty: all.
    pub names: Vec<Name>,
}

impl Grant {
    /// Everything, for this key or for unsigned requests.
    pub fn all(key: Option<Name>) -> Grant {
        Grant { key, update: true, transfer: true, types: Vec::new(), names: Vec::new() }
    }

    fn covers(&self, message: &Message) -> bool {
        message.authorities.iter().all(|record| {
            let owner = |names: &[Name]| names.iter().any(|name| record.name.is_at_or_below(name));
            (self.types.is_empty() || self.types.contains(&record.rtype))
                && (self.names.is_empty() || owner(&self.names))
        })
    }
}

/// Whether this UPDATE is allowed.
pub(super) fn may_update(grants: &[Grant], key: Option<&Name>, message: &Message) -> bool {
    grants.iter().any(|grant| grant.update && grant.key.as_ref() == key && grant.covers(message))
}

/// Whether a transfer is allowed.
pub(super) fn may_transfer(grants: &[Grant], key: Option<&Name>) -> bool {
    grants.iter().any(|grant| grant.transfer && grant.key.as_ref() == key)
}
