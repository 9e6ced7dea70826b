//! A link that has nothing for a while, or is away, keeps what was made for it.
#![allow(clippy::unwrap_used)]

use super::testkit::*;
use super::*;
use crate::split::facts::{DefaultRoute, HostFacts, Manager};
use crate::split::policy::{Link as LinkPolicy, LinkKind, LinkMatch, Policy};

/// A host on which policies stand.
struct Stands {
    first: HostFacts,
    facts: HostFacts,
    seen: Seen,
    record: Record,
}

impl Stands {
    fn new(policies: &[Policy], first: HostFacts) -> Stands {
        let mut host = Stands { facts: first.clone(), first, seen: debian(), record: Record::default() };
        host.change(policies);
        host
    }

    fn plan(&self, policies: &[Policy]) -> HostPlan {
        planned(policies, &self.facts, &self.seen, &self.record)
    }

    /// Carries out what is to be done.
    fn change(&mut self, policies: &[Policy]) {
        let plan = self.plan(policies);
        assert!(plan.refusals.is_empty(), "{plan:#?}");
        let wish = wish(policies, &held(&self.facts, &self.record));
        carry_out(&mut self.seen, &mut self.record, &plan);
        carry_out_live(&mut self.facts, &self.first, &mut self.record, &plan, &wish);
    }

    fn link(&mut self, name: &str) -> &mut Link {
        self.facts.links.as_mut().unwrap().iter_mut().find(|link| link.name == name).unwrap()
    }

    /// `ifdown`, or `resolvectl revert`.
    fn bare(&mut self, name: &str) {
        let link = self.link(name);
        (link.servers, link.domains, link.addresses) = (Some(Vec::new()), Some(Vec::new()), Some(Vec::new()));
        (link.default_route, link.default_route_effective) = (DefaultRoute::Unknown, Some(false));
    }
}

fn uplink(managed_by: Manager) -> HostFacts {
    let mut facts = facts(252);
    let mut eth0 = link("eth0", 2, &["10.11.0.53"], managed_by);
    eth0.domains = Some(vec!["isp.test".parse().unwrap()]);
    eth0.default_route = DefaultRoute::Automatic;
    facts.links = Some(vec![eth0]);
    facts
}

const FILES: [&str; 3] = [paths::IF_UP, paths::BOOT_UNIT, paths::BOOT_WANTS];

#[test]
fn an_uplink_without_servers_keeps_its_hook_and_its_unit_and_that_is_said() {
    let mut host = Stands::new(&[homelab()], uplink(Manager::Ifupdown));
    assert!(FILES.iter().all(|path| host.record.files.contains_key(*path)), "{:?}", host.record.files.keys());
    host.bare("eth0");
    let plan = host.plan(&[homelab()]);
    assert_eq!(plan.files, [], "nothing of what lasts hangs on a moment");
    let [link] = &*plan.links else { panic!("{plan:#?}") };
    assert_eq!((link.restores, &*link.differs), (false, &["domains".to_owned(), "default route".to_owned()][..]));
    let domains: Vec<String> = link.wish.domains.iter().map(ToString::to_string).collect();
    assert_eq!(domains, ["isp.test", "~."], "what its lease said, too");
    let [lack] = &*plan.lacks else { panic!("{plan:#?}") };
    assert!(lack.is_trouble && lack.message.contains("no servers now (it had 10.11.0.53)"), "{lack:?}");
    assert!(lack.message.contains("go to 192.168.4.53"), "{lack:?}");

    // Nor is it so after a repair, or after two: what it had is remembered over them.
    for _ in 0..2 {
        host.change(&[homelab()]);
        let plan = host.plan(&[homelab()]);
        assert!(plan.is_settled() && plan.lacks.len() == 1, "{plan:#?}");
    }
    // A new number, still without servers, then with them.
    host.link("eth0").ifindex = 9;
    host.bare("eth0");
    host.change(&[homelab()]);
    host.change(&[homelab()]);
    assert!(FILES.iter().all(|path| host.record.files.contains_key(*path)));
    host.link("eth0").servers = Some(vec![server("10.11.0.54")]);
    let plan = host.plan(&[homelab()]);
    assert!(plan.is_settled() && plan.lacks.is_empty(), "{plan:#?}");
}

#[test]
fn a_link_that_is_away_keeps_them_too_until_policies_want_no_such_link() {
    for manager in [Manager::Ifupdown, Manager::Ifupdown2, Manager::None] {
        let mut host = Stands::new(&[homelab()], uplink(manager));
        let files = host.record.files.clone();
        host.facts.links = Some(Vec::new());
        for _ in 0..2 {
            let plan = host.plan(&[homelab()]);
            assert!(plan.is_settled() && plan.files.is_empty(), "{plan:#?}");
            assert!(plan.lacks[0].message.contains("is not there now"), "{plan:#?}");
            host.change(&[homelab()]);
            assert!(host.record.links.contains_key("eth0"));
        }
        assert_eq!(host.record.files, files);
        // It comes back with another number and none of our settings.
        let mut eth0 = uplink(manager).links.unwrap().remove(0);
        eth0.ifindex = 7;
        let mut back = Stands { facts: HostFacts { links: Some(vec![eth0]), ..host.facts.clone() }, ..host };
        let plan = back.plan(&[homelab()]);
        assert_eq!((plan.files.len(), plan.links.len()), (0, 1), "{plan:#?}");
        assert_eq!(plan.links[0].wish.ifindex, 7);
        // Away again, and no policy asks for an uplink any more.
        back.facts.links = Some(Vec::new());
        let none = Policy { name: "homelab".into(), ..Policy::default() };
        let plan = back.plan(std::slice::from_ref(&none));
        assert!(step(&plan, paths::BOOT_UNIT).is_some_and(|step| step.to == Want::Absent), "{plan:#?}");
        back.change(&[none]);
        assert!(back.record.links.is_empty());
    }
}

#[test]
fn an_uplink_stays_one_whoever_takes_its_default_route() {
    let mut host = Stands::new(&[homelab()], uplink(Manager::Ifupdown));
    let eth0 = host.link("eth0");
    (eth0.default_route, eth0.default_route_effective) = (DefaultRoute::No, Some(false));
    let plan = host.plan(&[homelab()]);
    assert_eq!(plan.files, []);
    assert_eq!(plan.links[0].differs, ["default route"], "{plan:#?}");
    host.change(&[homelab()]);
    host.link("eth0").domains = Some(vec!["~corp.test".parse().unwrap()]);
    let plan = host.plan(&[homelab()]);
    assert_eq!((&*plan.files, &*plan.links[0].differs), (&[][..], &["domains".to_owned()][..]), "{plan:#?}");
}

#[test]
fn where_another_uplink_answers_it_is_no_trouble() {
    let mut first = uplink(Manager::Ifupdown);
    first.links.as_mut().unwrap().push(link("eth1", 3, &["10.12.0.53"], Manager::Ifupdown));
    let mut host = Stands::new(&[homelab()], first);
    host.bare("eth1");
    let plan = host.plan(&[homelab()]);
    assert_eq!(plan.files, []);
    let [lack] = &*plan.lacks else { panic!("{plan:#?}") };
    assert!(!lack.is_trouble && lack.message.contains("the other uplinks"), "{lack:?}");
    // Taken back, nobody gets servers that it has lost since.
    let back = host.plan(&[]);
    let eth1 = back.links.iter().find(|step| step.wish.name == "eth1").unwrap();
    assert!(eth1.restores && eth1.wish.servers.as_ref().is_some_and(Vec::is_empty), "{back:#?}");
}

#[test]
fn a_link_that_comes_to_be_asked_beside_the_others_is_told() {
    let mut first = uplink(Manager::Ifupdown);
    first.links.as_mut().unwrap().push(link("eth1", 3, &[], Manager::None));
    let mut host = Stands::new(&[homelab()], first);
    let beside = |host: &Stands, policies: &[Policy]| -> Vec<String> {
        host.plan(policies).beside.into_iter().map(|(name, _)| name).collect()
    };
    host.link("eth1").servers = Some(vec![server("9.9.9.9")]);
    assert!(beside(&host, &[homelab()]).is_empty(), "nothing is known of before");
    host.link("eth1").servers = Some(Vec::new());
    let facts = host.facts.clone();
    host.record.learn_uplinks(&facts);
    assert_eq!(host.record.uplinks, Some(["eth0".to_owned()].into()));
    host.link("eth1").servers = Some(vec![server("9.9.9.9")]);
    // As long as eth0 alone takes everything it is not asked; as an uplink of the policy it is.
    assert!(beside(&host, &[homelab()]).is_empty());
    host.change(&[homelab()]);
    assert_eq!(beside(&host, &[homelab()]), ["eth1"]);
    assert!(host.plan(&[homelab()]).beside[0].1.contains("9.9.9.9") && host.plan(&[]).beside.is_empty());
    // A policy that names it means it.
    let mut named = homelab();
    named.links.push(LinkPolicy {
        name: "meant".into(),
        matches: LinkMatch::Name("eth1".into()),
        kind: LinkKind::Regular,
        servers: None,
        domains: Vec::new(),
        search: false,
        default_route: None,
        modes: Default::default(),
    });
    assert!(beside(&host, &[named]).is_empty());
}

#[test]
fn a_link_that_is_asked_for_nothing_or_never_had_servers_lacks_none() {
    let mut first = uplink(Manager::Ifupdown);
    first.links.as_mut().unwrap().push(link("eth1", 3, &["192.168.4.53"], Manager::Ifupdown));
    first.links.as_mut().unwrap().push(link("eth2", 4, &[], Manager::Ifupdown));
    let of = |name: &str, kind| LinkPolicy {
        name: name.into(),
        matches: LinkMatch::Name(name.into()),
        kind,
        servers: None,
        domains: Vec::new(),
        search: false,
        default_route: None,
        modes: Default::default(),
    };
    let mut policy = homelab();
    policy.links = vec![of("eth1", LinkKind::Untrusted), of("eth2", LinkKind::Regular)];
    let mut host = Stands::new(&[policy.clone()], first);
    host.bare("eth1");
    let plan = host.plan(&[policy]);
    assert!(plan.lacks.is_empty(), "{:#?}", plan.lacks);
}
