//! Links that came to be asked beside those of the policies, by somebody else's doing.
//!
//! resolved asks every link with servers and a default route for what no domain covers, and takes the first answer. A server
//! that somebody put on a link by hand, or a VPN that came up, is asked from then on, and no setting of ours is another one for
//! it: only the comparison with what was there when the policies were applied shows it.

use std::collections::BTreeSet;

use super::Record;
use crate::split::facts::{HostFacts, Link};
use crate::split::lower::is_default_route;
use crate::split::wish::Wish;

/// Links that resolved asks for names which no domain covers: those with `~.` alone, where there are any.
fn uplinks(facts: &HostFacts) -> Vec<&Link> {
    let all = facts.links.iter().flatten().filter(|link| link.state.loopback != Some(true));
    let default = |link: &&Link| is_default_route(link) && link.servers.as_ref().is_some_and(|all| !all.is_empty());
    let mut all: Vec<&Link> = all.filter(default).collect();
    let takes_all = |link: &&Link| link.domains.iter().flatten().any(|domain| domain.name.is_root());
    if all.iter().any(takes_all) {
        all.retain(takes_all);
    }
    all
}

impl Record {
    /// Remembers who is asked, at the moment at which other policies come to count.
    pub fn learn_uplinks(&mut self, facts: &HostFacts) {
        self.uplinks = Some(uplinks(facts).iter().map(|link| link.name.clone()).collect());
    }
}

/// Those that were not, that no policy names, and beside which there are others.
pub(super) fn beside(wish: &Wish, facts: &HostFacts, record: &Record) -> Vec<(String, String)> {
    let Some(known) = record.uplinks.as_ref().filter(|known| !known.is_empty() && !wish.policies.is_empty()) else {
        return Vec::new();
    };
    let now = uplinks(facts);
    let others: BTreeSet<&str> = now.iter().map(|link| link.name.as_str()).collect();
    let is_new = |link: &&Link| !known.contains(&link.name) && !wish.named.contains(&link.name) && others.len() > 1;
    let says = |link: &Link| {
        let servers: Vec<String> = link.servers.iter().flatten().map(ToString::to_string).collect();
        let others: Vec<&str> = others.iter().filter(|name| **name != link.name).copied().collect();
        let message = format!(
            "it has {} since the policies were applied, and is asked beside {} for names that no domain covers; where that is \
             meant, name it under links",
            servers.join(", "),
            others.join(", ")
        );
        (link.name.clone(), message)
    };
    now.into_iter().filter(is_new).map(says).collect()
}
