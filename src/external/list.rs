//! What ExternalDNS is shown of a zone.
//!
//! Everything that is data, whosever it is: what is not shown, ExternalDNS would create. Ownership TXTs stand each for
//! itself, apart from other values at that name, since the registry looks at the first value only; those that are kept
//! elsewhere are shown where ExternalDNS believes them to be. One whose record is gone is not shown: it would keep ExternalDNS
//! from writing its own (its issue 6617). Knotwork's markers and fences, and what the server or a DHCP server keeps for itself,
//! are nobody's business.

use super::adjust::PTR;
use super::alias::{self, Note};
use super::canonical;
use super::endpoint::{Endpoint, Property};
use super::plan::is_data;
use crate::model::{FastMap, Name, Rdata, RrType};
use crate::ownership::{ZoneRules, external_dns};
use crate::view::{Node, Set, View};

/// What an alias node says of its set.
#[derive(Debug, Clone, Default)]
struct Kept {
    registration: Option<(u32, Rdata)>,
    note: Note,
}

/// Shows one zone.
pub struct List<'a> {
    rules: &'a ZoneRules,
    view: &'a View,
    kept: FastMap<(Name, RrType), Kept>,
}

impl<'a> List<'a> {
    /// Reads the aliases of the zone, which are few.
    pub fn new(rules: &'a ZoneRules, view: &'a View) -> List<'a> {
        let mut list = List { rules, view, kept: FastMap::default() };
        view.nodes().for_each(|node| list.keep(node));
        list
    }

    /// Takes in what a node keeps of a set, if it is one that does.
    fn keep(&mut self, node: Node<'_>) {
        let Some(set) = node.set(RrType::TXT) else { return };
        let Some(external_dns::Covered { name, rtype: Some(rtype) }) = external_dns::aliased(&node.name()) else {
            return;
        };
        let kept = self.kept.entry((name, rtype)).or_default();
        for value in set.values() {
            match Note::parse(value) {
                Some(note) => kept.note = note,
                None if !is_data(value) || external_dns::may_be_encrypted(value) => {
                    kept.registration = Some((set.ttl, value.into()));
                }
                None => {}
            }
        }
    }

    /// The same for a look at one name.
    pub fn of_name(rules: &'a ZoneRules, view: &'a View, name: &Name) -> List<'a> {
        let mut list = List { rules, view, kept: FastMap::default() };
        for rtype in view.at(name).into_iter().map(|(rtype, _)| rtype) {
            if let Some(node) = alias::node(name, rtype).and_then(|at| view.node(&at)) {
                list.keep(node);
            }
        }
        list
    }

    /// The elements of a JSON array, with commas between them.
    pub fn json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.view.name_count() * 128);
        for node in self.view.nodes() {
            self.name(node, &mut |endpoint| {
                if !out.is_empty() {
                    out.push(b',');
                }
                // Writing texts and numbers to a vector cannot fail.
                let _ = serde_json::to_writer(&mut out, &endpoint);
            });
        }
        out
    }

    /// All endpoints.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let mut all = Vec::new();
        self.view.nodes().for_each(|node| self.name(node, &mut |endpoint| all.push(endpoint)));
        all
    }

    /// The data of one set, as it is shown.
    pub fn one(&self, name: &Name, rtype: RrType) -> Option<Endpoint> {
        let mut found = None;
        let wanted = rtype.to_string();
        self.name(self.view.node(name)?, &mut |endpoint| {
            let is_mark = canonical::is_mark(&endpoint);
            if found.is_none() && !is_mark && endpoint.record_type == wanted {
                found = Some(endpoint);
            }
        });
        found
    }

    fn name(&self, node: Node<'_>, give: &mut dyn FnMut(Endpoint)) {
        let name = node.name();
        if alias::is_node(&name) {
            return;
        }
        for set in node.sets().filter(|set| is_shown(set.rtype)) {
            let values: Vec<Rdata> = match set.rtype {
                RrType::TXT => self.texts(&name, &set, give),
                _ => set.values().map(Rdata::from).collect(),
            };
            if values.is_empty() {
                continue;
            }
            let mut shown = endpoint(&name, set.rtype, set.ttl, canonical::targets(set.rtype, &values));
            if !self.kept.is_empty()
                && let Some(kept) = self.kept.get(&(name.clone(), set.rtype))
            {
                self.elsewhere(kept, &mut shown, give);
            }
            give(shown);
        }
    }

    /// What is known of a set by its alias.
    fn elsewhere(&self, kept: &Kept, shown: &mut Endpoint, give: &mut dyn FnMut(Endpoint)) {
        if kept.note.ptr {
            shown.provider_specific = vec![Property { name: PTR.to_owned(), value: "true".to_owned() }];
        }
        let Some((ttl, text)) = &kept.registration else { return };
        for name in &kept.note.names {
            give(endpoint(name, RrType::TXT, *ttl, vec![canonical::mark_target(text)]));
        }
        if kept.note.names.is_empty()
            && let Some(said) = external_dns::parse(text)
        {
            shown.labels.insert("owner".to_owned(), said.owner);
            if !said.resource.is_empty() {
                shown.labels.insert("resource".to_owned(), said.resource);
            }
        }
    }

    /// Gives the ownership TXTs of a set, each by itself, and returns the data.
    fn texts(&self, name: &Name, set: &Set<'_>, give: &mut dyn FnMut(Endpoint)) -> Vec<Rdata> {
        let mut data: Vec<Rdata> = Vec::new();
        let mut seen = false;
        for value in set.values() {
            let encrypted = || {
                external_dns::covered_by_affix(&self.rules.external_dns, name).is_some()
                    && external_dns::may_be_encrypted(value)
            };
            if external_dns::parse(value).is_some() || encrypted() {
                // The last one that it is shown counts for ExternalDNS, so two at one place are all shown; nobody owns it then.
                if seen || self.speaks(name) {
                    seen = true;
                    give(endpoint(name, RrType::TXT, set.ttl, vec![canonical::mark_target(value)]));
                }
            } else if is_data(value) {
                data.push(value.into());
            }
        }
        data
    }

    /// Whether the record of an ownership TXT is there, or nobody can say which that is.
    fn speaks(&self, at: &Name) -> bool {
        let covered = external_dns::covered(&self.rules.external_dns, at);
        covered.iter().any(|covered| match covered.rtype {
            Some(rtype) => self.view.get(&covered.name, rtype).is_some(),
            None => true,
        })
    }
}

/// What servers make themselves, and the mark of DHCP servers, are no records to ExternalDNS.
fn is_shown(rtype: RrType) -> bool {
    !(rtype.is_dnssec() || matches!(rtype, RrType::SOA | RrType::ZONEMD | RrType::DHCID))
}

fn endpoint(name: &Name, rtype: RrType, ttl: u32, targets: Vec<String>) -> Endpoint {
    Endpoint {
        dns_name: name.to_relaxed(),
        targets,
        record_type: rtype.to_string(),
        record_ttl: i64::from(ttl),
        ..Endpoint::default()
    }
}
