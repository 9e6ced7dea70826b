//! What ExternalDNS sends, against a zone in which several writers hold something.

use std::sync::OnceLock;

use knotwork::external::catalogue::Catalogue;
use knotwork::external::plan::{World, plan};
use knotwork::external::registry::Owners;
use knotwork::external::{Changes, Endpoint, adjust, request};
use knotwork::model::{Name, Rdata, RrType};
use knotwork::ownership::{Affix, BrakeLimit, SignIndex, ZoneRules, txt};
use knotwork::plan::Edit;
use knotwork::spec::{ZoneEntry, Zones};
use knotwork::view::View;

struct Zone {
    rules: ZoneRules,
    owners: Owners,
    view: View,
    signs: SignIndex,
    zones: Zones,
}

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Sets of others, at which nothing may be done: name, type.
const FOREIGN: &[(&str, RrType)] = &[
    ("person.internal", RrType::A),
    ("kea.internal", RrType::A),
    ("kea.internal", RrType::DHCID),
    ("other.internal", RrType::A),
    ("edns-a-other.internal", RrType::TXT),
    ("static.internal", RrType::A),
    ("_knotwork.static.internal", RrType::TXT),
    ("internal", RrType::SOA),
    ("internal", RrType::NS),
];

fn zone() -> &'static Zone {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    ZONE.get_or_init(|| {
        let rules = ZoneRules {
            zone: n("internal"),
            owner: "me-edns".into(),
            instance: "here".into(),
            label: "_knotwork".into(),
            external_dns: vec![Affix { prefix: Some("edns-".into()), ..Affix::default() }],
            txt_key: None,
            nix_prefix: "nix.".into(),
            adopt_from: Vec::new(),
            brake: BrakeLimit::default(),
            observe: false,
        };
        let mut view = View::new(n("internal"), 1);
        let mut add = |name: &str, rtype, value: Rdata| assert!(view.add(&n(name), rtype, 300, value), "{name}");
        let own = |owner: &str| txt::split(format!("heritage=external-dns,external-dns/owner={owner}").as_bytes());
        add("internal", RrType::SOA, [0; 22].as_slice().into());
        add("internal", RrType::NS, b"\x03ns0\x08internal\x00".as_slice().into());
        for (name, owner) in [("www", "me"), ("other", "other"), ("old", "old"), ("alias", "me")] {
            add(&format!("{name}.internal"), RrType::A, [10, 0, 0, 1].into());
            add(&format!("edns-a-{name}.internal"), RrType::TXT, own(owner));
        }
        for name in ["person", "kea", "static"] {
            add(&format!("{name}.internal"), RrType::A, [10, 0, 0, 2].into());
        }
        add("kea.internal", RrType::DHCID, [0; 35].as_slice().into());
        let marker = "heritage=knotwork,v=1,owner=home,type=A,set=0123456789abcdef,resource=staticdnsrecord/dns/static";
        add("_knotwork.static.internal", RrType::TXT, txt::split(marker.as_bytes()));
        add("text.internal", RrType::TXT, txt::split(b"v=spf1 -all"));
        add("cut.internal", RrType::NS, b"\x02ns\x02ex\x00".as_slice().into());
        add("_edns-a.internal", RrType::TXT, own("me"));
        add("_edns-a.internal", RrType::TXT, txt::split(b"heritage=knotwork-edns,name=edns-a-internal"));
        add("internal", RrType::A, [10, 0, 0, 3].into());
        let zones = [ZoneEntry { name: n("internal"), default_ttl: 300 }];
        let signs = SignIndex::scan(&rules, &view);
        let owners = Owners { own: "me".into(), migrate_from: vec!["old".into()] };
        Zone { signs, rules, owners, view, zones: Zones::new(zones, "_knotwork") }
    })
}

/// A body of changes: nothing of others is touched, nothing outside the zone, and what it comes to is a zone that can be shown.
pub fn changes(data: &[u8]) -> bool {
    let Ok(changes) = serde_json::from_slice::<Changes>(data) else { return false };
    let Zone { rules, owners, view, signs, zones } = zone();
    let limits = adjust::Rules { min_ttl: Some(60), default_ttl: None, ptr: Some(false) };
    let request = request::read(&changes, zones, &|_| &rules.external_dns, limits);
    let Some(wish) = request.zones.get(&rules.zone) else { return false };
    let world = World { rules, view, signs, owners, default_ttl: 300, adopt_unmarked: false };
    let planned = plan(wish, world);
    let mut after = view.clone();
    for edit in planned.plan.changes.iter().flat_map(|change| &change.edits) {
        let (Edit::Add(name, rtype, ..) | Edit::Remove(name, rtype, _)) = edit;
        assert!(name.is_at_or_below(&rules.zone), "{edit:?}");
        assert!(!FOREIGN.iter().any(|(theirs, of)| n(theirs) == *name && of == rtype), "{edit:?}");
        match edit {
            Edit::Add(name, rtype, ttl, value) => {
                after.add(name, *rtype, *ttl, value.clone());
            }
            Edit::Remove(name, rtype, value) => assert!(after.remove(name, *rtype, value), "{edit:?} is not there"),
        }
    }
    let names = after.names_apart(view);
    let mut followed = Catalogue::new(rules, owners, view);
    followed.update(rules, owners, view, &after, &names);
    let text = |catalogue: &Catalogue| catalogue.json().map(|piece| piece.to_vec()).collect::<Vec<_>>().concat();
    assert_eq!(text(&followed), text(&Catalogue::new(rules, owners, &after)));
    // The same once more changes nothing of what was done.
    let signs = SignIndex::scan(rules, &after);
    let again = plan(wish, World { view: &after, signs: &signs, ..world });
    assert!(again.plan.changes.is_empty() || !planned.refused.is_empty(), "{:?}", again.plan.changes);
    planned.refused.is_empty() && request.refused.is_empty()
}

/// Desired endpoints: adjusted twice they are as after once.
pub fn desired(data: &[u8]) -> bool {
    let Ok(endpoints) = serde_json::from_slice::<Vec<Endpoint>>(data) else { return false };
    let sight = adjust::Sight { live: &|_, _| None, is_migrating: &|_, _| false };
    let limits = adjust::Rules { min_ttl: Some(60), default_ttl: None, ptr: Some(false) };
    let once = adjust::adjust(endpoints, &zone().zones, limits, sight);
    let twice = adjust::adjust(once.endpoints.clone(), &zone().zones, limits, sight);
    assert_eq!(once.endpoints, twice.endpoints);
    once.refused.is_empty()
}
