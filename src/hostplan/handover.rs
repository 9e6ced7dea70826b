//! What a link may be asked while its servers change: only what both the old and the new ones may be asked.
//!
//! resolved takes domains, default route and servers by a call each. Were the new domains set first where they reach
//! further than the old ones, the old servers would be asked for names that were never theirs until the next call.

use crate::split::RoutedDomain;
use crate::split::facts::{DefaultRoute, Link};
use crate::split::wish::LinkWish;

/// What is set on a link before its servers change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// Domains.
    pub domains: Vec<RoutedDomain>,
    /// Default route.
    pub default_route: bool,
}

/// What is set on a link before its servers; `None` where what the wish says can be set at once.
pub fn handover(is: &Link, wish: &LinkWish) -> Option<Handover> {
    let (old, new) = (is.servers.as_deref()?, wish.servers.as_deref()?);
    if old.is_empty() || old == new {
        return None;
    }
    let had = is.domains.as_deref()?;
    let is_default = match is.default_route {
        DefaultRoute::Yes => true,
        DefaultRoute::No => false,
        DefaultRoute::Automatic | DefaultRoute::Unknown => is.default_route_effective?,
    };
    let default_route = is_default && wish.default_route;
    let covers = |all: &[RoutedDomain], one: &RoutedDomain| all.iter().any(|d| one.name.is_at_or_below(&d.name));
    // A default route is asked for everything, whatever its domains are; they only draw names away from other scopes.
    let mut domains: Vec<RoutedDomain> = wish.domains.iter().filter(|one| covers(had, one)).cloned().collect();
    let narrower = had.iter().filter(|one| covers(&wish.domains, one));
    for one in narrower {
        if !domains.iter().any(|other| other.name == one.name) {
            domains.push(one.clone());
        }
    }
    let whole = domains.len() == wish.domains.len() && wish.domains.iter().all(|one| domains.contains(one));
    (!whole || default_route != wish.default_route).then_some(Handover { domains, default_route })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testkit;
    use super::*;
    use crate::split::facts::Manager;

    fn domains(all: &[&str]) -> Vec<RoutedDomain> {
        all.iter().map(|one| one.parse().unwrap()).collect()
    }

    /// A link of the server .1 with these domains that becomes one of the server .2 with those.
    fn between(had: (&[&str], bool), gets: (&[&str], bool)) -> Option<(Vec<String>, bool)> {
        let mut is = testkit::link("eth1", 3, &["192.0.2.1"], Manager::None);
        is.domains = Some(domains(had.0));
        is.default_route = DefaultRoute::Unknown;
        is.default_route_effective = Some(had.1);
        let mut wish = super::super::mechanisms::as_it_was(&is);
        wish.servers = Some(vec!["192.0.2.2".parse().unwrap()]);
        (wish.domains, wish.default_route) = (domains(gets.0), gets.1);
        let words = |all: Vec<RoutedDomain>| all.iter().map(ToString::to_string).collect();
        handover(&is, &wish).map(|between| (words(between.domains), between.default_route))
    }

    #[test]
    fn old_and_new_servers_are_asked_only_for_what_is_both_theirs() {
        // Less than before, or the same: at once.
        assert_eq!(between((&[], true), (&[], true)), None);
        assert_eq!(between((&["maas"], true), (&["~maas"], false)), None);
        assert_eq!(between((&["~example"], false), (&["~corp.example"], false)), None);
        // More than before: the new servers come first.
        assert_eq!(between((&["~maas"], false), (&["maas"], true)), Some((vec!["maas".to_owned()], false)));
        assert_eq!(
            between((&["~corp.example"], false), (&["~example"], false)),
            Some((vec!["~corp.example".to_owned()], false))
        );
        // Something else.
        assert_eq!(between((&["~maas"], false), (&["~corp.example"], false)), Some((vec![], false)));
        assert_eq!(
            between((&["~maas", "~a.test"], false), (&["~maas", "~b.test"], true)),
            Some((vec!["~maas".to_owned()], false))
        );
    }

    #[test]
    fn servers_that_stay_or_were_none_need_no_step_between() {
        let mut is = testkit::link("eth1", 3, &["192.0.2.1"], Manager::None);
        is.domains = Some(domains(&["~maas"]));
        let mut wish = super::super::mechanisms::as_it_was(&is);
        wish.domains = domains(&["~homelab"]);
        assert_eq!(handover(&is, &wish), None);
        wish.servers = None;
        assert_eq!(handover(&is, &wish), None);
        wish.servers = Some(Vec::new());
        is.servers = Some(Vec::new());
        assert_eq!(handover(&is, &wish), None);
    }
}
