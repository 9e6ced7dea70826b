//! The zones, each with its recent history.

use std::collections::{BTreeMap, VecDeque};

use super::zonefile::{self, ZoneFileError};
use crate::dns::soa_serial;
use crate::model::{Name, Rdata, RrType};
use crate::view::{Diff, Entry, View};

/// Changes kept for IXFR.
const JOURNAL: usize = 10_000;

/// One zone at one moment, to go back to.
#[derive(Debug, Clone)]
pub struct ZoneState {
    pub(super) view: View,
    pub(super) journal: VecDeque<Diff>,
}

impl ZoneState {
    /// The records.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The SOA's RDATA.
    pub(super) fn soa(&self) -> (u32, Rdata) {
        let set = self.view.get(self.view.zone(), RrType::SOA);
        set.and_then(|set| Some((set.ttl, set.values.into_iter().next()?))).unwrap_or_default()
    }

    /// Puts a changed copy in place: the serial goes up and the step is remembered.
    pub(super) fn commit(
        &mut self,
        mut next: View,
        mut removed: Vec<Entry>,
        mut added: Vec<Entry>,
        serial: Option<u32>,
    ) {
        let zone = next.zone().clone();
        let (ttl, old) = self.soa();
        let from = self.view.serial();
        let to = serial.unwrap_or(match from.wrapping_add(1) {
            0 => 1,
            next => next,
        });
        let new = with_serial(&old, to);
        next.remove(&zone, RrType::SOA, &old);
        next.add(&zone, RrType::SOA, ttl, new.clone());
        next.set_serial(to);
        removed.insert(0, Entry { name: zone.clone(), rtype: RrType::SOA, ttl, rdata: old });
        added.insert(0, Entry { name: zone, rtype: RrType::SOA, ttl, rdata: new });
        self.view = next;
        self.journal.push_back(Diff { from, to, removed, added });
        if self.journal.len() > JOURNAL {
            self.journal.pop_front();
        }
    }
}

/// SOA RDATA with another serial: it stands 20 octets before the end (RFC 1035 §3.3.13).
fn with_serial(rdata: &[u8], serial: u32) -> Rdata {
    let mut out: Rdata = rdata.into();
    let at = out.len().saturating_sub(20);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&serial.to_be_bytes());
    }
    out
}

/// All zones.
#[derive(Debug, Clone, Default)]
pub struct Store {
    pub(super) zones: BTreeMap<Name, ZoneState>,
}

impl Store {
    /// Adds or replaces a zone from the text of a zone file.
    ///
    /// # Errors
    /// [`ZoneFileError`] with the line.
    pub fn load(&mut self, zone: &Name, text: &str) -> Result<(), ZoneFileError> {
        let records = zonefile::parse(zone, text)?;
        let soa = records.iter().find(|record| record.rtype == RrType::SOA && record.name == *zone);
        let serial = soa.and_then(|soa| soa_serial(&soa.rdata));
        let serial = serial.ok_or(ZoneFileError { line: 0, message: format!("the zone {zone} has no SOA") })?;
        let mut view = View::new(zone.clone(), serial);
        for record in records {
            view.add(&record.name, record.rtype, record.ttl, record.rdata);
        }
        self.zones.insert(zone.clone(), ZoneState { view, journal: VecDeque::new() });
        Ok(())
    }

    /// The zone that holds a name.
    pub(super) fn of(&self, name: &Name) -> Option<&ZoneState> {
        let mut at = Some(name.clone());
        while let Some(candidate) = at {
            if let Some(zone) = self.zones.get(&candidate) {
                return Some(zone);
            }
            at = candidate.parent();
        }
        None
    }
}
