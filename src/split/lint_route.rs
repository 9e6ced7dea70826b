//! Lint's questions to [`Router`]: who could be asked for a name, whatever the unknown facts are.

use super::facts::HostFacts;
use super::route::{Path, Router};
use super::scope::ScopeId;
use super::{DnsServer, SystemdVersion};
use crate::model::{Name, RrType};

/// A scope that is, or could be, asked; any of its servers may be the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Which scope, in words.
    pub scope: String,
    /// Whether it is the global one.
    pub is_global: bool,
    /// All its servers.
    pub servers: Vec<DnsServer>,
}

/// A host of which many names are asked.
pub(super) struct Asks(Router);

impl Asks {
    pub(super) fn new(facts: &HostFacts, version: SystemdVersion) -> Asks {
        Asks(Router::at(facts, version))
    }

    /// Every scope that could be asked.
    pub(super) fn ask(&self, name: &Name) -> Vec<Asked> {
        let mut all: Vec<Asked> = Vec::new();
        for answer in self.0.answers(name, RrType::A, Path::Nss) {
            for one in answer.route.asked {
                let is_global = one.scope.id == ScopeId::Global;
                let asked = Asked { scope: one.scope.id.to_string(), is_global, servers: one.scope.servers.clone() };
                if !all.contains(&asked) {
                    all.push(asked);
                }
            }
        }
        all
    }
}
