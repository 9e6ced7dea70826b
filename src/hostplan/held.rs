//! What is ours on a link outlasts the moments in which the link is away or has nothing.
//!
//! `ifdown`, `resolvectl revert`, a lease that ends, a bridge that is made anew: for a while the link has no servers, no
//! address, or is not there. Taken for the host's own state, each of these would take the link out of the wish, and with it
//! the hook and the unit that set it again when it is back: the next boot would then ask everybody for everything.
//!
//! The rule: a link of the record counts as what it was when it last had servers and addresses, for as long as the policies
//! ask for such a link. It is given up by policies that do not, and by a rollback; never by time, for a name in a hook that
//! is never called again costs nothing, and a name too few costs the split.

use super::{Lack, Record, RecordedLink, without_us};
use crate::split::facts::{AddressScope, DefaultRoute, HostFacts, Link};
use crate::split::lower::is_default_route;
use crate::split::wish::{Form, LinkWish, Wish};

/// The host without our settings ([`without_us`]), with links of the record as they were where they have nothing now: what a
/// policy is lowered on.
pub fn held(facts: &HostFacts, record: &Record) -> HostFacts {
    let mut own = without_us(facts, record);
    let Some(links) = &mut own.links else { return own };
    for (name, known) in &record.links {
        match links.iter_mut().find(|link| link.name == *name) {
            Some(now) => hold(now, known),
            None => {
                let mut away = Link { ifindex: Link::AWAY, ..known.last().clone() };
                hold(&mut away, known);
                links.push(away);
            }
        }
    }
    own
}

/// The facts with the links of the wish that are away, as they were: what carries a link is told by who configured it.
pub(super) fn places(wish: &Wish, facts: &HostFacts, record: &Record) -> HostFacts {
    let mut all = facts.clone();
    let Some(links) = &mut all.links else { return all };
    for wish in &wish.links {
        if let Some(known) = record.links.get(&wish.name).filter(|_| facts.link(&wish.name).is_none()) {
            links.push(Link { ifindex: Link::AWAY, ..known.last().clone() });
        }
    }
    all
}

impl RecordedLink {
    /// As it was without us when it last had something.
    fn last(&self) -> &Link {
        self.last.as_deref().unwrap_or(&self.before)
    }

    /// What a link that was made anew was before us: where it has nothing yet, the domains that it had with its servers are not
    /// our doing, or they would be taken off it when these come.
    pub(super) fn first_of(now: &Link, last: Option<&Link>) -> Link {
        let mut first = now.clone();
        if let Some(last) = last.filter(|last| has_servers(last) && now.servers.as_ref().is_some_and(Vec::is_empty)) {
            first.domains.clone_from(&last.domains);
        }
        first
    }

    /// What is to be remembered of a link that is so now, without us.
    pub(super) fn last_of(now: &Link, known: Option<&RecordedLink>) -> Link {
        let mut last = now.clone();
        if let Some(known) = known {
            hold(&mut last, known);
        }
        last
    }
}

fn has_servers(link: &Link) -> bool {
    link.servers.as_ref().is_some_and(|servers| !servers.is_empty())
}

/// Whether it has an address that more than its own network can reach.
fn has_address(link: &Link) -> bool {
    link.addresses.iter().flatten().any(|own| own.scope != AddressScope::Link)
}

fn hold(now: &mut Link, known: &RecordedLink) {
    let was = known.last();
    // What is unknown is not none.
    if now.servers.as_ref().is_some_and(Vec::is_empty) && has_servers(was) {
        now.servers.clone_from(&was.servers);
        now.domains.clone_from(&was.domains);
        now.current = None;
    }
    if now.addresses.is_some() && !has_address(now) && has_address(was) {
        now.addresses.clone_from(&was.addresses);
    }
    // A cable that is pulled is no reason to refuse what stands: what comes of it is said as it is.
    if was.state.carrier == Some(true) && now.state.carrier == Some(false) {
        now.state.clone_from(&was.state);
    }
    // Of a link without a scope resolved shows no default route, whatever it was; and somebody who takes it off by hand does
    // not unmake an uplink.
    if known.left.default_route && is_default_route(was) {
        (now.default_route, now.default_route_effective) = (DefaultRoute::Yes, Some(true));
    }
}

/// Links of the wish that cannot do their part now, with what becomes of it.
pub(super) fn lacks(wish: &Wish, facts: &HostFacts, record: &Record) -> Vec<Lack> {
    if facts.links.is_none() {
        return Vec::new();
    }
    let answers = |own: &LinkWish| {
        let link = facts.link(&own.name);
        link.is_some_and(|link| own.servers.as_ref().is_some_and(|all| !all.is_empty()) || has_servers(link))
    };
    let is_uplink = |own: &&LinkWish| own.default_route && own.domains.iter().any(|domain| domain.name.is_root());
    let others = wish.links.iter().filter(is_uplink).any(answers);
    let mut all = Vec::new();
    for own in &wish.links {
        let Some(known) = record.links.get(&own.name) else { continue };
        // One that is asked for nothing has no part to do.
        if !own.default_route && own.domains.is_empty() {
            continue;
        }
        let what = match facts.link(&own.name) {
            None => "is not there now",
            // It may never have had any.
            Some(link) if own.servers.is_none() && link.servers.as_ref().is_some_and(Vec::is_empty) => {
                match has_servers(known.last()) {
                    true => "has no servers now",
                    false => continue,
                }
            }
            Some(_) => continue,
        };
        let had: Vec<String> = match &own.servers {
            Some(_) => Vec::new(),
            None => known.last().servers.iter().flatten().map(ToString::to_string).collect(),
        };
        let had = if had.is_empty() { String::new() } else { format!(" (it had {})", had.join(", ")) };
        let only_rest = own.domains.iter().all(|domain| domain.name.is_root() || domain.is_search());
        let rest = match (&wish.global.servers, wish.form) {
            (Some(servers), Form::Global) if !servers.is_empty() => {
                let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
                format!("names that no domain covers go to {}, the servers of the routes", servers.join(", "))
            }
            _ => "names that no domain covers go to whoever is left".to_owned(),
        };
        let comes_to = match (is_uplink(&own), others) {
            (true, true) => "the other uplinks are asked instead".to_owned(),
            (true, false) => rest,
            (false, _) => "its names go to whoever is asked for everything else".to_owned(),
        };
        // A part of a policy may wait for an interface, and names of an open route then go elsewhere: lint has said so.
        let waits = facts.link(&own.name).is_none() && wish.named.contains(&own.name) && !is_uplink(&own);
        let is_trouble = !(waits || others && is_uplink(&own) && only_rest);
        let message = format!("it {what}{had}: {comes_to}; it is set again as soon as it has them");
        all.push(Lack { link: own.name.clone(), message, is_trouble });
    }
    all
}
