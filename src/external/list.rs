//! What ExternalDNS is shown of a zone.
//!
//! Everything that is data, whosever it is: what is not shown, ExternalDNS would create. Ownership TXTs stand each for
//! itself, apart from other values at that name, since the registry looks at the first value only; those that are kept
//! elsewhere are shown where ExternalDNS believes them to be. One whose record is gone is not shown: it would keep ExternalDNS
//! from writing its own (its issue 6617). One of an owner in `migrateFrom` is shown as this ExternalDNS's own, since it would
//! leave what it believes to be another's alone. Knotwork's markers and fences, and what the server or a DHCP server keeps for
//! itself, are nobody's business.

use std::borrow::Cow;

use super::adjust::PTR;
use super::alias::{self, Note};
use super::canonical;
use super::endpoint::{Endpoint, Property};
use super::plan::is_data;
use super::registry::Owners;
use crate::model::{FastMap, Name, Rdata, RrType};
use crate::ownership::{ZoneRules, external_dns, txt};
use crate::view::{Node, Set, View};

/// What an alias node says of its set.
#[derive(Debug, Clone, Default)]
struct Kept {
    registration: Option<(u32, Rdata)>,
    note: Note,
}

/// What the alias nodes of a zone say, by the set that they speak of. They are few.
#[derive(Debug, Clone, Default)]
pub struct Notes(FastMap<(Name, RrType), Kept>);

impl Notes {
    /// Of a whole zone.
    pub fn scan(rules: &ZoneRules, view: &View) -> Notes {
        let mut notes = Notes::default();
        view.nodes().for_each(|node| notes.keep(rules, node));
        notes
    }

    /// Takes in what a node keeps of a set, if it is one that does.
    fn keep(&mut self, rules: &ZoneRules, node: Node<'_>) {
        let Some(set) = node.set(RrType::TXT) else { return };
        let Some(external_dns::Covered { name, rtype: Some(rtype) }) = external_dns::aliased(&node.name()) else {
            return;
        };
        let kept = self.0.entry((name, rtype)).or_default();
        for value in set.values() {
            match Note::parse(value) {
                Some(note) => kept.note = note,
                None if !is_data(rules, value) || external_dns::may_be_encrypted(value) => {
                    kept.registration = Some((set.ttl, value.into()));
                }
                None => {}
            }
        }
    }

    /// Reads one node again; gives the name of which it speaks.
    pub fn update(&mut self, rules: &ZoneRules, view: &View, name: &Name) -> Option<Name> {
        let external_dns::Covered { name: owned, rtype } = external_dns::aliased(name)?;
        self.0.remove(&(owned.clone(), rtype?));
        view.node(name).into_iter().for_each(|node| self.keep(rules, node));
        Some(owned)
    }

    /// The sets that want PTRs.
    pub fn wanting_ptrs(&self) -> impl Iterator<Item = &(Name, RrType)> {
        self.0.iter().filter(|(_, kept)| kept.note.ptr).map(|(set, _)| set)
    }
}

/// Shows one zone.
pub struct List<'a> {
    rules: &'a ZoneRules,
    owners: &'a Owners,
    view: &'a View,
    notes: Cow<'a, Notes>,
}

impl<'a> List<'a> {
    /// With what is known of its alias nodes.
    pub fn new(rules: &'a ZoneRules, owners: &'a Owners, view: &'a View, notes: &'a Notes) -> List<'a> {
        List { rules, owners, view, notes: Cow::Borrowed(notes) }
    }

    /// For a look at one name.
    pub fn of_name(rules: &'a ZoneRules, owners: &'a Owners, view: &'a View, name: &Name) -> List<'a> {
        let mut notes = Notes::default();
        for rtype in view.at(name).into_iter().map(|(rtype, _)| rtype) {
            if let Some(node) = alias::node(name, rtype).and_then(|at| view.node(&at)) {
                notes.keep(rules, node);
            }
        }
        List { rules, owners, view, notes: Cow::Owned(notes) }
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

    /// The endpoints of one node.
    pub fn name(&self, node: Node<'_>, give: &mut dyn FnMut(Endpoint)) {
        let name = node.name();
        if alias::is_node(&name) {
            return;
        }
        for set in node.sets().filter(|set| is_shown(node, set.rtype)) {
            let values: Vec<Rdata> = match set.rtype {
                RrType::TXT => self.texts(&name, &set, give),
                _ => set.values().map(Rdata::from).collect(),
            };
            if values.is_empty() {
                continue;
            }
            let mut shown = endpoint(&name, set.rtype, set.ttl, canonical::targets(set.rtype, &values));
            if !self.notes.0.is_empty()
                && let Some(kept) = self.notes.0.get(&(name.clone(), set.rtype))
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
            give(endpoint(name, RrType::TXT, *ttl, vec![self.mark(text)]));
        }
        if kept.note.names.is_empty()
            && let Some(said) = external_dns::read(self.rules.txt_key.as_ref(), text)
        {
            let owner = if self.owners.may(&said.owner) { self.owners.own.clone() } else { said.owner };
            shown.labels.insert("owner".to_owned(), owner);
            if !said.resource.is_empty() {
                shown.labels.insert("resource".to_owned(), said.resource);
            }
        }
    }

    /// An ownership TXT as it is shown.
    fn mark(&self, value: &[u8]) -> String {
        if !self.owners.migrate_from.is_empty()
            && let Some(said) = external_dns::read(self.rules.txt_key.as_ref(), value)
            && self.owners.migrate_from.contains(&said.owner)
        {
            return canonical::mark_target(&txt::split(said.with_owner(&self.owners.own).as_bytes()));
        }
        canonical::mark_target(value)
    }

    /// Gives the ownership TXTs of a set, each by itself, and returns the data.
    fn texts(&self, name: &Name, set: &Set<'_>, give: &mut dyn FnMut(Endpoint)) -> Vec<Rdata> {
        let mut data: Vec<Rdata> = Vec::new();
        let mut seen = false;
        for value in set.values() {
            let sealed = || {
                external_dns::may_be_encrypted(value)
                    && (external_dns::covered_by_affix(&self.rules.external_dns, name).is_some()
                        || self.rules.txt_key.as_ref().is_some_and(|key| key.open(value).is_some()))
            };
            if external_dns::parse(value).is_some() || sealed() {
                // The last one that it is shown counts for ExternalDNS, so two at one place are all shown; nobody owns it then.
                if seen || self.speaks(name) {
                    seen = true;
                    give(endpoint(name, RrType::TXT, set.ttl, vec![self.mark(value)]));
                }
            } else if is_data(self.rules, value) {
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

/// What servers make themselves, and the mark of DHCP servers, are no records to ExternalDNS. Nor are the zone's own name
/// servers anybody's to own: where NS is among the managed types, a set without an owner keeps ExternalDNS from making any other
/// at its name.
fn is_shown(node: Node<'_>, rtype: RrType) -> bool {
    let is_the_zones = rtype == RrType::NS && node.is_apex();
    !(is_the_zones || rtype.is_dnssec() || matches!(rtype, RrType::SOA | RrType::ZONEMD | RrType::DHCID))
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
