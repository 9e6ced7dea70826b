//! Whose each record set is (DESIGN §4): by marker, by other tools' TXT, by DHCID, on demand for each name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::marker::{Marker, MarkerText};
use super::signs::{Scope, Sign, SignIndex};
use super::{Fence, Writer, ZoneRules, external_dns, nix};
use crate::model::{FastSet, Name, ObjectId, Rdata, RrSet, RrType, rdata};
use crate::view::{Node, View};

/// A marker of ours, as it stands in the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnMark {
    /// Read.
    pub marker: Marker,
    /// As transferred.
    pub rdata: Rdata,
}

/// Everything that the zone says about one name.
#[derive(Debug, Clone)]
pub struct NameFacts {
    /// The name.
    pub name: Name,
    /// Its record sets.
    pub live: Vec<(RrType, RrSet)>,
    /// Our markers on it.
    pub own: Vec<OwnMark>,
    /// Other writers' signs on it: a DHCID, ExternalDNS and Nix TXT, other Knotworks' markers, markers that we cannot read.
    pub signs: Vec<Sign>,
}

impl NameFacts {
    /// One live set.
    pub fn set(&self, rtype: RrType) -> Option<&RrSet> {
        self.live.iter().find(|(t, _)| *t == rtype).map(|(_, set)| set)
    }

    /// Our markers on one type; several for a shared set.
    pub fn own_of(&self, rtype: RrType) -> impl Iterator<Item = &OwnMark> {
        self.own.iter().filter(move |mark| mark.marker.rtype == rtype)
    }

    /// The objects for which `writer` holds the set of this type, as its signs tell them; several for a shared set.
    pub fn objects_of<'a>(&'a self, rtype: RrType, writer: &'a Writer) -> Vec<&'a str> {
        let mut objects: Vec<&str> = match writer {
            Writer::Ours => self.own_of(rtype).map(|mark| mark.marker.resource.as_str()).collect(),
            Writer::Knotwork { owner, .. } => {
                let theirs = |sign: &Sign| match &sign.writer {
                    Writer::Knotwork { owner: other, .. } => other == owner && sign.scope.covers(rtype),
                    _ => false,
                };
                self.signs.iter().filter(|sign| theirs(sign)).filter_map(|sign| sign.writer.resource()).collect()
            }
            writer => writer.resource().into_iter().collect(),
        };
        objects.sort_unstable();
        objects.dedup();
        objects
    }
}

/// How many record sets of a zone belong to whom. Ownership TXT and fences are not counted as owned sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sets with our marker.
    pub owned: usize,
    /// All others by class word; our own markers and fence appear nowhere.
    pub others: BTreeMap<&'static str, usize>,
}

/// Tells whose a record set of one view is.
pub struct Classifier<'a> {
    rules: &'a ZoneRules,
    view: &'a View,
    signs: Cow<'a, SignIndex>,
    dhcid_names: &'a (dyn Fn(&Name) -> bool + Sync),
}

impl<'a> Classifier<'a> {
    /// Reads the signs of the whole zone once; each name is then a matter of a few look-ups.
    pub fn new(rules: &'a ZoneRules, view: &'a View) -> Classifier<'a> {
        Classifier { rules, view, signs: Cow::Owned(SignIndex::scan(rules, view)), dhcid_names: &|_| false }
    }

    /// Over an index that was kept.
    pub fn with_index(rules: &'a ZoneRules, view: &'a View, signs: &'a SignIndex) -> Classifier<'a> {
        Classifier { rules, view, signs: Cow::Borrowed(signs), dhcid_names: &|_| false }
    }

    /// Asks `known` whether a name outside this zone holds a DHCID (for PTRs whose target has one).
    pub fn dhcid_names(mut self, known: &'a (dyn Fn(&Name) -> bool + Sync)) -> Classifier<'a> {
        self.dhcid_names = known;
        self
    }

    /// The signs.
    pub fn signs(&self) -> &SignIndex {
        &self.signs
    }

    /// All that the zone says about a name.
    pub fn facts(&self, name: &Name) -> NameFacts {
        self.facts_of(name, self.view.node(name))
    }

    /// The same where the name's node is at hand.
    pub(crate) fn facts_of(&self, name: &Name, node: Option<Node<'_>>) -> NameFacts {
        let sets = node.into_iter().flat_map(|node| node.sets());
        let live = sets.map(|set| (set.rtype, set.to_rrset())).collect();
        let mut facts = NameFacts { name: name.clone(), live, own: Vec::new(), signs: self.signs.on(name).to_vec() };
        if facts.set(RrType::DHCID).is_some() {
            facts.signs.push(Sign { writer: Writer::Dhcp, scope: Scope::Name, at: name.clone() });
        }
        let plain = name.child(self.rules.label.as_bytes()).ok();
        if let Some(node) = plain {
            self.read_node(&mut facts, &node, None);
        }
        if self.signs.has_dname_mark(name)
            && let (Some(parent), Some(label)) = (name.parent(), name.first_label())
            && let Ok(node) = parent.child(self.rules.label.as_bytes())
        {
            self.read_node(&mut facts, &node, Some(label));
        }
        facts
    }

    /// Markers at a node that speak of this name: those with `name=` of it, or those without.
    fn read_node(&self, facts: &mut NameFacts, node: &Name, label: Option<&[u8]>) {
        let Some(set) = self.view.node(node).and_then(|node| node.set(RrType::TXT)) else { return };
        for value in set.values() {
            let (writer, scope, said) = match Marker::parse_rdata(value) {
                MarkerText::Other => continue,
                MarkerText::Marker(marker) => {
                    if marker.label.as_deref() != label {
                        continue;
                    }
                    if marker.owner == self.rules.owner {
                        facts.own.push(OwnMark { marker, rdata: value.into() });
                        continue;
                    }
                    (marker.owner, Scope::Type(marker.rtype), marker.resource.as_str().to_owned())
                }
                MarkerText::ReadOnly(_) if Fence::parse_rdata(value).is_some() => continue,
                MarkerText::ReadOnly(seen) => {
                    if seen.label.as_deref() != label {
                        continue;
                    }
                    (seen.owner, seen.rtype.map_or(Scope::Name, Scope::Type), seen.resource)
                }
            };
            let writer = Writer::Knotwork { owner: writer, resource: said };
            facts.signs.push(Sign { writer, scope, at: node.clone() });
        }
    }

    /// The writer of one set.
    pub fn writer(&self, name: &Name, rtype: RrType) -> Writer {
        self.writer_in(&self.facts(name), rtype)
    }

    /// The writer of one set of a name whose facts are at hand.
    pub fn writer_in(&self, facts: &NameFacts, rtype: RrType) -> Writer {
        let set = facts.set(rtype);
        if rtype == RrType::SOA || rtype.is_dnssec() || rtype == RrType::ZONEMD {
            return Writer::Infrastructure;
        }
        if facts.own_of(rtype).next().is_some() {
            return Writer::Ours;
        }
        if rtype == RrType::TXT
            && let Some(writer) = set.and_then(|set| self.speaker(&facts.name, set))
        {
            return writer;
        }
        // A Knotwork's marker names its type; the others' signs follow in the order of how much they say.
        let rank = |sign: &Sign| match sign.writer {
            Writer::Knotwork { .. } => 0,
            Writer::ExternalDns { .. } => 1,
            Writer::Nix { .. } => 2,
            _ => 3,
        };
        if let Some(sign) = facts.signs.iter().filter(|sign| sign.scope.covers(rtype)).min_by_key(|sign| rank(sign)) {
            return sign.writer.clone();
        }
        if rtype == RrType::NS && facts.name == self.rules.zone {
            return Writer::Infrastructure;
        }
        if rtype == RrType::PTR && set.is_some_and(|set| self.points_at_dhcp(set)) {
            return Writer::Dhcp;
        }
        Writer::Unmarked
    }

    /// Whose mark or fence this set itself is; `None` for data. Nothing marks a mark, and yet it is its writer's.
    pub fn mark_in(&self, facts: &NameFacts, rtype: RrType) -> Option<Writer> {
        facts.set(rtype).filter(|_| rtype == RrType::TXT).and_then(|set| self.speaker(&facts.name, set))
    }

    /// Whether a PTR set names somebody whom a DHCP server put there.
    pub fn points_at_dhcp(&self, set: &RrSet) -> bool {
        set.values.iter().flat_map(|value| rdata::names_in(RrType::PTR, value)).any(|target| {
            (self.dhcid_names)(&target)
                || (target.is_at_or_below(&self.rules.zone) && self.view.get(&target, RrType::DHCID).is_some())
        })
    }

    /// Whether a TXT set is somebody's mark or fence rather than data, and whose.
    fn speaker(&self, name: &Name, set: &RrSet) -> Option<Writer> {
        let at_node = name.first_label() == Some(self.rules.label.as_bytes());
        let fence_node = name == &Fence::name(self.rules);
        let mut found = None;
        for value in &set.values {
            let knotwork = |owner: String, resource: String| Writer::Knotwork { owner, resource };
            let writer = match Marker::parse_rdata(value) {
                MarkerText::Marker(marker) if at_node && marker.owner == self.rules.owner => return Some(Writer::Ours),
                MarkerText::Marker(marker) => knotwork(marker.owner, marker.resource.as_str().to_owned()),
                MarkerText::ReadOnly(_) if Fence::parse_rdata(value).is_some() => {
                    if fence_node {
                        return Some(Writer::Ours);
                    }
                    let owner = String::from_utf8_lossy(name.first_label().unwrap_or_default()).into_owned();
                    knotwork(owner, "fence".to_owned())
                }
                MarkerText::ReadOnly(seen) => knotwork(seen.owner, seen.resource),
                MarkerText::Other => match external_dns::read(self.rules.txt_key.as_ref(), value) {
                    Some(seen) => Writer::ExternalDns { owner: seen.owner, resource: seen.resource },
                    None => match nix::parse(value) {
                        Some(managed_by) => Writer::Nix { managed_by },
                        None => continue,
                    },
                },
            };
            found.get_or_insert(writer);
        }
        found
    }

    /// Whether a set of ours at this name is only our bookkeeping.
    fn is_bookkeeping(&self, facts: &NameFacts, rtype: RrType) -> bool {
        rtype == RrType::TXT && facts.own_of(rtype).next().is_none()
    }

    /// Adds the sets of one name to counts.
    pub fn count_name(&self, facts: &NameFacts, counts: &mut Counts) {
        for (rtype, _) in &facts.live {
            match self.writer_in(facts, *rtype) {
                Writer::Ours if self.is_bookkeeping(facts, *rtype) => {}
                Writer::Ours => counts.owned += 1,
                other => *counts.others.entry(other.class()).or_default() += 1,
            }
        }
    }

    /// Counts the whole zone.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for name in self.view.names() {
            self.count_name(&self.facts(&name), &mut counts);
        }
        counts
    }
}

/// Whether a zone holds any marker of our owner id. Reads until the first one is found.
pub fn holds_our_markers(rules: &ZoneRules, view: &View) -> bool {
    let speaks = |value: &[u8]| match Marker::parse_rdata(value) {
        MarkerText::Marker(marker) => marker.owner == rules.owner,
        MarkerText::ReadOnly(seen) => seen.owner == rules.owner,
        MarkerText::Other => false,
    };
    view.nodes().any(|node| {
        node.set(RrType::TXT).is_some_and(|set| set.values().any(speaks))
            && node.name().first_label() == Some(rules.label.as_bytes())
    })
}

/// Those of `objects` that markers of ours in the view name. A walk over the zone's markers.
pub fn named_by_markers(rules: &ZoneRules, view: &View, objects: &FastSet<ObjectId>) -> FastSet<ObjectId> {
    if objects.is_empty() {
        return FastSet::default();
    }
    objects_in_markers(rules, view).filter(|object| objects.contains(object)).collect()
}

/// The objects that markers of ours in the view name, as often as they do.
pub fn objects_in_markers<'a>(rules: &'a ZoneRules, view: &'a View) -> impl Iterator<Item = ObjectId> + use<'a> {
    let at_node = |node: &Node<'a>| node.name().first_label() == Some(rules.label.as_bytes());
    let texts = view.nodes().filter_map(move |node| node.set(RrType::TXT).filter(|_| at_node(&node)));
    texts.flat_map(|set| set.values()).filter_map(|value| match Marker::parse_rdata(value) {
        MarkerText::Marker(marker) => (marker.owner == rules.owner).then_some(marker.resource),
        _ => None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ownership::{Affix, SetHash, test_rules, txt};

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn view(records: &[(&str, RrType, &[u8])]) -> View {
        let mut view = View::new(n("internal"), 1);
        for (name, rtype, rdata) in records {
            view.add(&n(name), *rtype, 300, (*rdata).into());
        }
        view
    }

    fn text(text: &str) -> Vec<u8> {
        txt::split(text.as_bytes()).into_vec()
    }

    fn mark(owner: &str, rtype: RrType) -> Vec<u8> {
        let resource = ObjectId::static_record("dns", "x");
        let marker =
            Marker { owner: owner.into(), rtype, set: SetHash(1), resource, retain: false, share: None, label: None };
        marker.to_rdata().into_vec()
    }

    const A: &[u8] = &[10, 0, 0, 1];

    #[test]
    fn every_class() {
        let rules =
            ZoneRules { external_dns: vec![Affix { prefix: Some("k8s.".into()), ..Affix::default() }], ..test_rules() };
        let view = view(&[
            ("internal", RrType::SOA, &[0]),
            ("internal", RrType::NS, n("ns0.internal").wire()),
            ("internal", RrType::DNSKEY, &[0]),
            ("home._knotwork.internal", RrType::TXT, &text("heritage=knotwork,instance=nas,epoch=1,nonce=0")),
            ("other._knotwork.internal", RrType::TXT, &text("heritage=knotwork,instance=nas,epoch=1,nonce=0")),
            ("ours.internal", RrType::A, A),
            ("ours.internal", RrType::TXT, &text("a person's")),
            ("_knotwork.ours.internal", RrType::TXT, &mark("home", RrType::A)),
            ("theirs.internal", RrType::A, A),
            ("_knotwork.theirs.internal", RrType::TXT, &mark("lab", RrType::A)),
            ("elsewhere.internal", RrType::A, A),
            ("_kw.elsewhere.internal", RrType::TXT, &mark("lab", RrType::A)),
            ("web.internal", RrType::A, A),
            ("web.internal", RrType::AAAA, &[0; 16]),
            (
                "k8s.a-web.internal",
                RrType::TXT,
                &text("\"heritage=external-dns,external-dns/owner=default,external-dns/resource=service/x/y\""),
            ),
            ("nixhost.internal", RrType::A, A),
            ("nixhost.internal", RrType::AAAA, &[0; 16]),
            ("nix.nixhost.internal", RrType::TXT, &text("heritage=nix,managed-by=routy")),
            ("lease.internal", RrType::A, A),
            ("lease.internal", RrType::DHCID, &[0, 1, 1, 2]),
            ("ptr.internal", RrType::PTR, n("lease.internal").wire()),
            ("free.internal", RrType::A, A),
            ("newer.internal", RrType::A, A),
            ("_knotwork.newer.internal", RrType::TXT, &text("heritage=knotwork,v=2,owner=home,type=A")),
        ]);
        let classes = Classifier::new(&rules, &view);
        let class = |name: &str, rtype| classes.writer(&n(name), rtype);
        let knotwork =
            |owner: &str, resource: &str| Writer::Knotwork { owner: owner.into(), resource: resource.into() };
        for rtype in [RrType::SOA, RrType::NS, RrType::DNSKEY] {
            assert_eq!(class("internal", rtype), Writer::Infrastructure, "{rtype}");
        }
        assert_eq!(class("home._knotwork.internal", RrType::TXT), Writer::Ours);
        assert_eq!(class("other._knotwork.internal", RrType::TXT), knotwork("other", "fence"));
        assert_eq!(class("ours.internal", RrType::A), Writer::Ours);
        assert_eq!(class("ours.internal", RrType::TXT), Writer::Unmarked);
        assert_eq!(class("_knotwork.ours.internal", RrType::TXT), Writer::Ours);
        assert_eq!(class("theirs.internal", RrType::A), knotwork("lab", "staticdnsrecord/dns/x"));
        assert_eq!(class("elsewhere.internal", RrType::A), knotwork("lab", "staticdnsrecord/dns/x"));
        assert_eq!(class("newer.internal", RrType::A), knotwork("home", ""), "read, never written");
        let edns = Writer::ExternalDns { owner: "default".into(), resource: "service/x/y".into() };
        assert_eq!(class("web.internal", RrType::A), edns);
        assert_eq!(class("k8s.a-web.internal", RrType::TXT), edns);
        assert_eq!(class("web.internal", RrType::AAAA), Writer::Unmarked, "its TXT speaks of A alone");
        for rtype in [RrType::A, RrType::AAAA] {
            assert_eq!(class("nixhost.internal", rtype), Writer::Nix { managed_by: "routy".into() });
        }
        assert_eq!(class("lease.internal", RrType::A), Writer::Dhcp);
        assert_eq!(class("lease.internal", RrType::DHCID), Writer::Dhcp);
        assert_eq!(class("ptr.internal", RrType::PTR), Writer::Dhcp);
        assert_eq!(class("free.internal", RrType::A), Writer::Unmarked);
        let counts = classes.counts();
        assert_eq!(counts.owned, 1);
        let others: Vec<(&str, usize)> = counts.others.into_iter().collect();
        assert_eq!(
            others,
            [("dhcp", 3), ("externalDns", 2), ("infrastructure", 3), ("knotwork", 7), ("nix", 3), ("unmarked", 3),]
        );
        assert!(holds_our_markers(&rules, &view));
        assert!(!holds_our_markers(&ZoneRules { owner: "nobody".into(), ..test_rules() }, &view));
    }

    #[test]
    fn a_dname_is_marked_from_its_parent() {
        let rules = test_rules();
        let resource = ObjectId::static_record("dns", "d");
        let label = Some(b"old".as_slice().into());
        let marker = Marker {
            owner: "home".into(),
            rtype: RrType::DNAME,
            set: SetHash(1),
            resource,
            retain: false,
            share: None,
            label,
        };
        let view = view(&[
            ("old.internal", RrType::DNAME, n("new.internal").wire()),
            ("_knotwork.internal", RrType::TXT, &marker.to_rdata()),
            ("internal", RrType::MX, &[0, 0, 0]),
        ]);
        let classes = Classifier::new(&rules, &view);
        assert_eq!(classes.writer(&n("old.internal"), RrType::DNAME), Writer::Ours);
        assert_eq!(classes.writer(&n("internal"), RrType::MX), Writer::Unmarked);
        assert_eq!(classes.signs().dname_above(&n("x.old.internal")), Some(n("old.internal")));
        assert_eq!(classes.signs().dname_above(&n("old.internal")), None);
    }

    #[test]
    fn a_changed_label_is_noticed_and_single_names_are_read_again() {
        let rules = test_rules();
        let mut view = view(&[
            ("a.internal", RrType::A, A),
            ("_old.a.internal", RrType::TXT, &mark("home", RrType::A)),
            ("nix.a.internal", RrType::TXT, &text("heritage=nix,managed-by=routy")),
        ]);
        let mut signs = SignIndex::scan(&rules, &view);
        assert_eq!(signs.mislabelled(), Some(&n("_old.a.internal")));
        assert_eq!(signs.on(&n("a.internal")).len(), 2);
        view.remove(&n("nix.a.internal"), RrType::TXT, &text("heritage=nix,managed-by=routy"));
        view.remove(&n("_old.a.internal"), RrType::TXT, &mark("home", RrType::A));
        assert_eq!(signs.update(&rules, &view, &n("nix.a.internal")), [n("a.internal")]);
        signs.update(&rules, &view, &n("_old.a.internal"));
        assert!(signs.on(&n("a.internal")).is_empty() && signs.mislabelled().is_none());
    }
}
