//! Which names DHCP servers hold, told from zone to zone: a PTR whose target carries a DHCID is that DHCP server's, and the
//! target usually stands in another zone than the PTR.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Name, RrType};
use crate::view::View;

/// News kept for zones that look rarely; one that missed some plans anew as a whole.
const KEPT: usize = 4096;

/// What the resident engines of all configured zones tell each other of DHCIDs. Memory and work follow the number of
/// DHCIDs and their changes.
#[derive(Debug, Default)]
pub struct DhcidBoard {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    zones: BTreeMap<Name, Zone>,
    /// What changed, and in which zone; the first has the number `first`.
    log: VecDeque<(Name, News)>,
    first: u64,
    members: u64,
}

#[derive(Debug)]
struct Zone {
    /// Which engine speaks for it.
    member: u64,
    /// `None` until it was read.
    names: Option<HashSet<Name>>,
    /// Somebody asked before it was read, and was told to be careful.
    asked: bool,
}

/// Something that may change whose a PTR is.
#[derive(Debug, Clone)]
enum News {
    /// A DHCID came to this name, or went.
    Name(Name),
    /// Nothing was known of a whole zone until now.
    All,
}

/// What a zone learned of the others.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// These names changed; none: nothing new.
    Names(Vec<Name>),
    /// Too much to list.
    Everything,
}

impl DhcidBoard {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics halfway through a change here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An engine begins to speak for a zone, in place of one before it.
    pub(super) fn join(self: &Arc<Self>, zone: &Name) -> Member {
        let mut inner = self.inner();
        inner.members += 1;
        let (id, read) = (inner.members, inner.end());
        let names = inner.zones.remove(zone).and_then(|before| before.names);
        inner.zones.insert(zone.clone(), Zone { member: id, names, asked: false });
        Member { board: Arc::clone(self), zone: zone.clone(), id, read }
    }
}

impl Inner {
    fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    fn tell(&mut self, zone: &Name, news: News) {
        self.log.push_back((zone.clone(), news));
        if self.log.len() > KEPT {
            self.log.pop_front();
            self.first += 1;
        }
    }
}

/// A zone's place at the board; given up when dropped.
#[derive(Debug)]
pub(super) struct Member {
    board: Arc<DhcidBoard>,
    zone: Name,
    id: u64,
    /// News up to here were seen.
    read: u64,
}

impl Member {
    /// The whole zone was read.
    pub fn read_all(&self, view: &View) {
        let names: HashSet<Name> =
            view.sets().filter(|(_, rtype, _)| *rtype == RrType::DHCID).map(|(name, _, _)| name).collect();
        let mut inner = self.board.inner();
        let Some(zone) = inner.zones.get_mut(&self.zone).filter(|zone| zone.member == self.id) else { return };
        let asked = std::mem::take(&mut zone.asked);
        let before = zone.names.replace(names.clone()).unwrap_or_default();
        if asked {
            inner.tell(&self.zone, News::All);
        }
        for name in before.symmetric_difference(&names) {
            inner.tell(&self.zone, News::Name(name.clone()));
        }
    }

    /// These names of the zone changed.
    pub fn read_names(&self, view: &View, names: &[Name]) {
        let mut inner = self.board.inner();
        for name in names {
            let Some(zone) = inner.zones.get_mut(&self.zone).filter(|zone| zone.member == self.id) else { return };
            let held = zone.names.get_or_insert_default();
            let moved = match view.get(name, RrType::DHCID) {
                Some(_) => held.insert(name.clone()),
                None => held.remove(name),
            };
            if moved {
                inner.tell(&self.zone, News::Name(name.clone()));
            }
        }
    }

    /// What the other zones told since the last time.
    pub fn learn(&mut self) -> Learned {
        let inner = self.board.inner();
        let end = inner.end();
        let missed = self.read < inner.first;
        let skip = usize::try_from(self.read.saturating_sub(inner.first)).unwrap_or(usize::MAX);
        self.read = end;
        let mut names = Vec::new();
        for (_, news) in inner.log.iter().skip(skip).filter(|(zone, _)| *zone != self.zone) {
            match news {
                News::Name(name) => names.push(name.clone()),
                News::All => return Learned::Everything,
            }
        }
        if missed { Learned::Everything } else { Learned::Names(names) }
    }

    /// Whether a name of another zone holds a DHCID. Of a zone that was not read yet the answer is yes: nothing may be
    /// taken over before it is known whose it is.
    pub fn holds(&self, name: &Name) -> bool {
        let mut inner = self.board.inner();
        let above = std::iter::successors(Some(name.clone()), Name::parent).find(|at| inner.zones.contains_key(at));
        let Some(zone) = above.filter(|zone| *zone != self.zone).and_then(|zone| inner.zones.get_mut(&zone)) else {
            return false;
        };
        match &zone.names {
            Some(names) => names.contains(name),
            None => {
                zone.asked = true;
                true
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut inner = self.board.inner();
        if inner.zones.get(&self.zone).is_none_or(|zone| zone.member != self.id) {
            return;
        }
        let Some(zone) = inner.zones.remove(&self.zone) else { return };
        if zone.asked {
            inner.tell(&self.zone, News::All);
        }
        for name in zone.names.into_iter().flatten() {
            inner.tell(&self.zone, News::Name(name));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn view(hosts: &[&str]) -> View {
        let mut view = View::new(n("internal"), 1);
        for host in hosts {
            view.add(&n(host), RrType::DHCID, 300, [0, 1, 1, 2].into());
        }
        view
    }

    #[test]
    fn zones_learn_of_each_others_dhcids() {
        let board = Arc::new(DhcidBoard::default());
        let mut reverse = board.join(&n("10.in-addr.arpa"));
        let forward = board.join(&n("internal"));
        let (lease, other) = (n("lease.internal"), n("other.internal"));
        assert_eq!(reverse.learn(), Learned::Names(vec![]));
        assert!(!reverse.holds(&n("lease.elsewhere")), "no zone of ours");
        // Of what was not read yet the worst is assumed, and who asked learns when it is known.
        assert!(reverse.holds(&lease) && reverse.holds(&other));
        forward.read_all(&view(&["lease.internal"]));
        assert_eq!(reverse.learn(), Learned::Everything);
        assert!(reverse.holds(&lease) && !reverse.holds(&other));
        assert!(!forward.holds(&lease), "its own names it sees itself");

        forward.read_names(&view(&["lease.internal", "other.internal"]), &[lease.clone(), other.clone()]);
        assert_eq!(reverse.learn(), Learned::Names(vec![other.clone()]), "only what changed");
        forward.read_names(&view(&["other.internal"]), std::slice::from_ref(&lease));
        assert_eq!(reverse.learn(), Learned::Names(vec![lease.clone()]));
        assert!(!reverse.holds(&lease) && reverse.holds(&other));
        assert_eq!(reverse.learn(), Learned::Names(vec![]));

        forward.read_all(&view(&["lease.internal"]));
        let Learned::Names(mut names) = reverse.learn() else { panic!() };
        names.sort();
        assert_eq!(names, [lease.clone(), other]);
        // Another engine takes over: what is known stays; the old one's end changes nothing.
        let next = board.join(&n("internal"));
        drop(forward);
        assert!(reverse.holds(&lease));
        drop(next);
        assert!(!reverse.holds(&lease));
        assert_eq!(reverse.learn(), Learned::Names(vec![lease]));
    }

    #[test]
    fn news_are_bounded() {
        let board = Arc::new(DhcidBoard::default());
        let mut reverse = board.join(&n("10.in-addr.arpa"));
        let forward = board.join(&n("internal"));
        let lease = n("lease.internal");
        for round in 0..2 * KEPT {
            let hosts: &[&str] = if round % 2 == 0 { &["lease.internal"] } else { &[] };
            forward.read_names(&view(hosts), std::slice::from_ref(&lease));
        }
        assert_eq!(board.inner().log.len(), KEPT);
        assert_eq!(reverse.learn(), Learned::Everything);
        assert_eq!(reverse.learn(), Learned::Names(vec![]));
    }
}
