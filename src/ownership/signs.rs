//! The signs of other writers in a zone: which names carry whose mark.

use std::collections::{BTreeMap, BTreeSet};

use super::marker::{Marker, MarkerText};
use super::{Affix, Fence, Writer, ZoneRules, external_dns, nix, txt};
use crate::model::{FastMap, Name, RrType};
use crate::view::{Node, View};

/// Which sets at a name a sign speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One type.
    Type(RrType),
    /// A legacy TXT of ExternalDNS: every type but AAAA.
    Legacy,
    /// The whole name.
    Name,
}

impl Scope {
    /// Whether a set of this type is meant.
    pub fn covers(self, rtype: RrType) -> bool {
        match self {
            Scope::Type(only) => only == rtype,
            Scope::Legacy => rtype != RrType::AAAA,
            Scope::Name => true,
        }
    }
}

/// Another writer's mark on a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sign {
    /// Whose.
    pub writer: Writer,
    /// On what.
    pub scope: Scope,
    /// The TXT (or DHCID) that says so.
    pub at: Name,
}

/// The signs that stand at other names than those they speak of, and the names that shape the tree.
///
/// One pass over the zone makes it; afterwards [`SignIndex::update`] re-reads single names, so that a change of the zone
/// costs what changed. It grows with foreign marks, not with the zone.
#[derive(Debug, Clone, Default)]
pub struct SignIndex {
    by_name: FastMap<Name, Vec<Sign>>,
    /// TXT name → names that it marks.
    by_txt: FastMap<Name, Vec<Name>>,
    /// Names that hold a DNAME.
    dnames: BTreeSet<Name>,
    /// Names below the apex that hold NS.
    cuts: BTreeSet<Name>,
    /// Names for whose DNAME some marker stands at their parent's node, whether the DNAME is there or not.
    dname_marks: BTreeSet<Name>,
    /// TXT names that hold markers of our owner id under another label than ours.
    mislabelled: BTreeSet<Name>,
    /// ExternalDNS's registrations whose affix is not configured, by TXT name, with the affix that it must be.
    strays: BTreeMap<Name, Affix>,
    /// Other tools' registrations of what is not there, by TXT name: somebody's, under an affix that nobody can guess, or
    /// left behind; with whether their name says by the configured affixes what they speak of.
    unplaced: BTreeMap<Name, (Writer, bool)>,
}

impl SignIndex {
    /// Reads a whole zone.
    pub fn scan(rules: &ZoneRules, view: &View) -> SignIndex {
        let mut index = SignIndex::default();
        for node in view.nodes() {
            index.read(rules, view, node);
        }
        index
    }

    /// Reads one name again. Gives the names whose signs may have changed.
    pub fn update(&mut self, rules: &ZoneRules, view: &View, name: &Name) -> Vec<Name> {
        let mut touched = Vec::new();
        if let Some(marked) = self.by_txt.remove(name) {
            for owner in marked {
                if let Some(signs) = self.by_name.get_mut(&owner) {
                    signs.retain(|sign| sign.at != *name);
                    if signs.is_empty() {
                        self.by_name.remove(&owner);
                    }
                }
                touched.push(owner);
            }
        }
        if name.first_label() == Some(rules.label.as_bytes())
            && let Some(parent) = name.parent()
        {
            // The DNAME marks of this node are those of the parent's children.
            let old: Vec<Name> =
                self.dname_marks.iter().filter(|owner| owner.parent().as_ref() == Some(&parent)).cloned().collect();
            for owner in old {
                self.dname_marks.remove(&owner);
                touched.push(owner);
            }
        }
        self.dnames.remove(name);
        self.cuts.remove(name);
        self.mislabelled.remove(name);
        self.strays.remove(name);
        self.unplaced.remove(name);
        if let Some(node) = view.node(name) {
            self.read(rules, view, node);
        }
        if let Some(marked) = self.by_txt.get(name) {
            touched.extend(marked.iter().cloned());
        }
        if name.first_label() == Some(rules.label.as_bytes())
            && let Some(parent) = name.parent()
        {
            touched.extend(self.dname_marks.iter().filter(|o| o.parent().as_ref() == Some(&parent)).cloned());
        }
        touched
    }

    /// Signs on this name that stand elsewhere in the zone.
    pub fn on(&self, name: &Name) -> &[Sign] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The nearest DNAME strictly above a name.
    pub fn dname_above(&self, name: &Name) -> Option<Name> {
        nearest_above(&self.dnames, name)
    }

    /// The topmost delegation at or above a name.
    pub fn cut_over(&self, name: &Name) -> Option<Name> {
        if self.cuts.is_empty() {
            return None;
        }
        let mut found = None;
        let mut at = Some(name.clone());
        while let Some(here) = at {
            if self.cuts.contains(&here) {
                found = Some(here.clone());
            }
            at = here.parent();
        }
        found
    }

    /// Whether a name holds a DNAME or a delegation.
    pub fn shapes_tree(&self, name: &Name) -> bool {
        self.dnames.contains(name) || self.cuts.contains(name)
    }

    /// Whether some marker of a DNAME speaks of this name.
    pub fn has_dname_mark(&self, name: &Name) -> bool {
        self.dname_marks.contains(name)
    }

    /// Names that DNAME markers speak of.
    pub fn dname_marks(&self) -> impl Iterator<Item = &Name> {
        self.dname_marks.iter()
    }

    /// Where markers of our owner id stand under another label, if any do: the label was changed in the configuration.
    pub fn mislabelled(&self) -> Option<&Name> {
        self.mislabelled.first()
    }

    /// ExternalDNS's registrations whose affix is not configured, with the affix that gives them a meaning.
    pub fn strays(&self) -> &BTreeMap<Name, Affix> {
        &self.strays
    }

    /// Another tool's registration that may speak of this name, as far as anybody can tell: it stands below the name's parent
    /// and has the name's first label for a word or the end of one; below a wildcard's parent each may be the wildcard's,
    /// whose asterisk ExternalDNS writes as whatever it is told to.
    pub fn may_speak_of(&self, name: &Name) -> Option<(&Name, &Writer)> {
        if self.unplaced.is_empty() {
            return None;
        }
        let (parent, first) = (name.parent()?, name.first_label()?.to_ascii_lowercase());
        let is_wildcard = first == b"*";
        let speaks = |txt: &Name, is_known: bool| {
            let below = *txt != parent && txt.is_at_or_below(&parent);
            below && (is_wildcard || !is_known && has_word(&txt.to_relaxed(), &parent.to_relaxed(), &first))
        };
        let found = self.unplaced.iter().find(|(txt, (_, is_known))| speaks(txt, *is_known));
        found.map(|(txt, (writer, _))| (txt, writer))
    }

    /// What to do about registrations that cannot be tied to anything, and about affixes that were forgotten: one sentence
    /// for each affix, one for the others.
    pub fn stray_words(&self) -> Vec<String> {
        let mut by_affix: BTreeMap<String, Vec<&Name>> = BTreeMap::new();
        for (txt, affix) in &self.strays {
            let part = |key: &str, text: &Option<String>| text.as_ref().map(|text| format!("{key}: \"{text}\""));
            let parts: Vec<String> =
                [part("prefix", &affix.prefix), part("suffix", &affix.suffix)].into_iter().flatten().collect();
            by_affix.entry(parts.join(", ")).or_default().push(txt);
        }
        let words = |(affix, names): (String, Vec<&Name>)| {
            format!(
                "ExternalDNS's ownership TXT at {} has an affix that is not configured; what it can only mean is left \
                 alone, but write `externalDns: [{{{affix}}}]` at the zone in the configuration, so that all it owns is protected",
                first_of(&names)
            )
        };
        by_affix.into_iter().map(words).chain(self.unplaced_words()).collect()
    }

    fn unplaced_words(&self) -> Option<String> {
        let unknown: Vec<&Name> =
            self.unplaced.iter().filter(|(_, (_, is_known))| !is_known).map(|(txt, _)| txt).collect();
        (!unknown.is_empty()).then(|| {
            format!(
                "the ownership TXT of another tool at {} fits no record here: configure its affix at the zone \
                 (externalDns: [{{prefix, suffix or wildcardReplacement}}], or nixPrefix), or remove it if what it stood for \
                 is gone; meanwhile no unmarked set is adopted that it may speak of",
                first_of(&unknown)
            )
        })
    }

    fn read(&mut self, rules: &ZoneRules, view: &View, node: Node<'_>) {
        // The name is only put together where there is something to say about it.
        let mut known: Option<Name> = None;
        for set in node.sets() {
            match set.rtype {
                RrType::DNAME => {
                    self.dnames.insert(known.get_or_insert_with(|| node.name()).clone());
                }
                // The apex is no cut.
                RrType::NS if !node.is_apex() => {
                    self.cuts.insert(known.get_or_insert_with(|| node.name()).clone());
                }
                RrType::TXT => {
                    for value in set.values() {
                        let may_hide = !rules.external_dns.is_empty() || rules.txt_key.is_some();
                        let hidden = may_hide && external_dns::may_be_encrypted(value);
                        if hidden || txt::speaks_of_heritage(value) {
                            let name = known.get_or_insert_with(|| node.name());
                            self.read_txt(rules, view, name, value, hidden);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn read_txt(&mut self, rules: &ZoneRules, view: &View, name: &Name, value: &[u8], hidden: bool) {
        if hidden {
            if let Some(plain) = rules.txt_key.as_ref().and_then(|key| key.open(value)) {
                return self.foreign(rules, view, name, &plain);
            }
            // What cannot be read is foreign.
            if let Some(covered) = external_dns::covered_by_affix(&rules.external_dns, name) {
                let writer = Writer::ExternalDns { owner: String::new(), resource: String::new() };
                let scope = covered.rtype.map_or(Scope::Legacy, Scope::Type);
                self.add(covered.name, Sign { writer, scope, at: name.clone() });
            }
            return;
        }
        let at_node = name.first_label() == Some(rules.label.as_bytes());
        // At our own label only the marks of DNAMEs are of interest here: the others are read with their names.
        if at_node && !value.windows(6).any(|six| six == b",name=") {
            return;
        }
        match Marker::parse_rdata(value) {
            MarkerText::Marker(_) | MarkerText::ReadOnly(_) if Fence::parse_rdata(value).is_some() => {}
            MarkerText::Marker(marker) => {
                let seen = (marker.owner.as_str(), marker.resource.as_str());
                self.knotwork(rules, name, seen, Some(marker.rtype), marker.label.as_deref());
            }
            MarkerText::ReadOnly(seen) => {
                let said = (seen.owner.as_str(), seen.resource.as_str());
                self.knotwork(rules, name, said, seen.rtype, seen.label.as_deref());
            }
            MarkerText::Other => self.foreign(rules, view, name, value),
        }
    }

    fn knotwork(
        &mut self,
        rules: &ZoneRules,
        txt: &Name,
        (owner, resource): (&str, &str),
        rtype: Option<RrType>,
        label: Option<&[u8]>,
    ) {
        let Some(parent) = txt.parent() else { return };
        let marked = match label.map(|label| parent.child(label)) {
            Some(Ok(child)) => child,
            Some(Err(_)) => return,
            None => parent,
        };
        if txt.first_label() == Some(rules.label.as_bytes()) {
            if label.is_some() {
                self.dname_marks.insert(marked);
            }
            return;
        }
        if owner == rules.owner {
            self.mislabelled.insert(txt.clone());
        }
        let writer = Writer::Knotwork { owner: owner.to_owned(), resource: resource.to_owned() };
        self.add(marked, Sign { writer, scope: rtype.map_or(Scope::Name, Scope::Type), at: txt.clone() });
    }

    fn foreign(&mut self, rules: &ZoneRules, view: &View, txt: &Name, value: &[u8]) {
        if let Some(seen) = external_dns::parse(value) {
            let mut all = external_dns::covered(&rules.external_dns, txt);
            // What it stands for is not there: it may be named by an affix that nobody told us of.
            if !all.iter().any(|covered| holds(rules, view, &covered.name, covered.rtype)) {
                let exists = |name: &Name, rtype| holds(rules, view, name, rtype);
                for (affix, covered) in external_dns::guesses(txt, &rules.zone, &exists) {
                    self.strays.entry(txt.clone()).or_insert(affix);
                    all.push(covered);
                }
            }
            let writer = Writer::ExternalDns { owner: seen.owner.clone(), resource: seen.resource.clone() };
            if !all.iter().any(|covered| holds(rules, view, &covered.name, covered.rtype)) {
                // The form without an affix is known, too, where it says a type.
                let is_known = all.iter().any(|covered| covered.rtype.is_some())
                    || external_dns::has_affix(&rules.external_dns, txt);
                self.unplaced.insert(txt.clone(), (writer.clone(), is_known));
            }
            for covered in all {
                let writer = writer.clone();
                let scope = covered.rtype.map_or(Scope::Legacy, Scope::Type);
                self.add(covered.name, Sign { writer, scope, at: txt.clone() });
            }
        } else if let Some(managed_by) = nix::parse(value) {
            let writer = Writer::Nix { managed_by };
            match nix::covered(&rules.nix_prefix, txt) {
                Some(name) => self.add(name, Sign { writer, scope: Scope::Name, at: txt.clone() }),
                None => drop(self.unplaced.insert(txt.clone(), (writer, false))),
            }
        }
    }

    fn add(&mut self, name: Name, sign: Sign) {
        let marked = self.by_txt.entry(sign.at.clone()).or_default();
        if !marked.contains(&name) {
            marked.push(name.clone());
        }
        let signs = self.by_name.entry(name).or_default();
        if let Err(place) = signs.binary_search(&sign) {
            signs.insert(place, sign);
        }
    }
}

/// The first of some names, and how many more there are.
fn first_of(names: &[&Name]) -> String {
    let first = names.first().map_or_else(String::new, |name| name.to_relaxed());
    match names.len() {
        0 | 1 => first,
        number => format!("{first} and {} more", number - 1),
    }
}

/// Whether a name holds a set of this type, or any that a legacy registration speaks of, that is not marked as ours.
fn holds(rules: &ZoneRules, view: &View, name: &Name, rtype: Option<RrType>) -> bool {
    let Some(node) = view.node(name) else { return false };
    let meant = |set: RrType| match rtype {
        Some(rtype) => rtype == set,
        None => !matches!(set, RrType::TXT | RrType::AAAA | RrType::SOA | RrType::NS),
    };
    let ours = || {
        let mark = name.child(rules.label.as_bytes()).ok()?;
        Some(view.get(&mark, RrType::TXT)?.values.iter().any(|value| match Marker::parse_rdata(value) {
            MarkerText::Marker(marker) => marker.owner == rules.owner,
            _ => false,
        }))
    };
    node.sets().any(|set| meant(set.rtype)) && !ours().unwrap_or(false)
}

/// Whether a name has `word` among its labels below `parent`, where words end at dots and dashes, or begins or ends one of
/// those with it: affixes need no separator.
fn has_word(name: &str, parent: &str, word: &[u8]) -> bool {
    let own = name.strip_suffix(parent).unwrap_or(name);
    own.split('.').any(|label| {
        let label = label.as_bytes();
        label.windows(word.len()).enumerate().any(|(at, seen)| {
            let ends = |byte: Option<&u8>| byte.is_none_or(|byte| matches!(byte, b'-' | b'_'));
            let before = at.checked_sub(1).and_then(|before| label.get(before));
            seen == word && (ends(before) || ends(label.get(at + word.len())))
        })
    })
}

fn nearest_above(names: &BTreeSet<Name>, name: &Name) -> Option<Name> {
    if names.is_empty() {
        return None;
    }
    let mut at = name.parent();
    while let Some(here) = at {
        if names.contains(&here) {
            return Some(here);
        }
        at = here.parent();
    }
    None
}
