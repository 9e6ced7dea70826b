//! The fence: who may write a zone for our owner id right now (DESIGN §4).
//!
//! The server is the judge: every UPDATE requires the fence as last read or written, so a process that lost it cannot
//! write, whatever it believes. This file decides when it may be raised.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::EngineError;
use crate::model::{Name, Rdata, RrType};
use crate::ownership::{Fence, ZoneRules};
use crate::plan::{Edit, Guard};
use crate::view::View;

/// Seconds; short, since nobody but us has a use for it.
const TTL: u32 = 60;

/// A fence that moved under a resident writer must rest this long before it is raised again: whoever took it is at work.
pub const QUIET: Duration = Duration::from_secs(5);

/// Displacements within [`DISPLACED_WINDOW`] after which a resident writer stops.
const DISPLACED_LIMIT: usize = 3;
const DISPLACED_WINDOW: Duration = Duration::from_secs(60);

/// How long a writer lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// One pass: raises the fence inside its first UPDATE, and stops when it loses it.
    OneShot,
    /// Raises it at the start and again after it was quiet.
    Resident,
}

/// What stands at the fence's place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// As transferred; empty when absent.
    pub values: Vec<Rdata>,
    /// Read, if it is one fence that we understand.
    pub fence: Option<Fence>,
}

impl Seen {
    /// The prerequisite that pins it.
    pub fn guard(&self, name: &Name) -> Guard {
        if self.values.is_empty() {
            Guard::SetAbsent(name.clone(), RrType::TXT)
        } else {
            Guard::SetIs(name.clone(), RrType::TXT, self.values.clone())
        }
    }
}

/// A raise that is to travel in an UPDATE.
#[derive(Debug, Clone)]
pub(super) struct Swap {
    /// What it replaces.
    pub old: Seen,
    /// What it writes.
    pub new: Fence,
    /// The same as RDATA.
    pub new_rdata: Rdata,
    /// Its edits.
    pub edits: Vec<Edit>,
}

/// May we write, and how.
#[derive(Debug, Clone)]
pub(super) enum Permit {
    /// The fence in force is ours, as we wrote it.
    Held,
    /// It must be raised by the first UPDATE.
    Raise(Swap),
    /// Not now.
    Stop(EngineError),
}

/// What we know of the fence of one zone.
#[derive(Debug)]
pub(super) struct Keeper {
    role: Role,
    /// Where it stands: `<owner>.<label>.<zone>`.
    pub name: Name,
    zone: Name,
    instance: String,
    held: Option<(Fence, Rdata)>,
    highest: u64,
    displaced: VecDeque<Instant>,
    /// Displaced and not yet raised again: what stood there when we looked last, and since when.
    moved: Option<(Vec<Rdata>, Instant)>,
    stopped: bool,
}

impl Keeper {
    pub fn new(rules: &ZoneRules, role: Role) -> Keeper {
        Keeper {
            role,
            name: Fence::name(rules),
            zone: rules.zone.clone(),
            instance: rules.instance.clone(),
            held: None,
            highest: 0,
            displaced: VecDeque::new(),
            moved: None,
            stopped: false,
        }
    }

    /// The prerequisite of an UPDATE while the fence is ours.
    pub fn guard(&self) -> Option<Guard> {
        let (_, rdata) = self.held.as_ref()?;
        Some(Guard::SetIs(self.name.clone(), RrType::TXT, vec![rdata.clone()]))
    }

    /// What the view shows.
    pub fn seen(&self, view: &View) -> Seen {
        let values = view.get(&self.name, RrType::TXT).map(|set| set.values).unwrap_or_default();
        let fence = match &values[..] {
            [only] => Fence::parse_rdata(only),
            _ => None,
        };
        Seen { values, fence }
    }

    /// Whether the fence in the view is the one that we hold.
    pub fn is_held(&self, view: &View) -> bool {
        self.held.as_ref().is_some_and(|(_, rdata)| *self.seen(view).values == [rdata.clone()])
    }

    /// May we write? `ours` says whether the view holds markers of our owner id.
    pub fn permit(&mut self, view: &View, ours: bool, now: Instant) -> Permit {
        let seen = self.seen(view);
        if let Some(fence) = &seen.fence {
            if fence.instance != self.instance {
                return Permit::Stop(EngineError::OtherInstance {
                    zone: self.zone.clone(),
                    instance: fence.instance.clone(),
                    fence: self.name.clone(),
                });
            }
        } else if !seen.values.is_empty() {
            return Permit::Stop(EngineError::FenceUnreadable { zone: self.zone.clone(), fence: self.name.clone() });
        }
        if self.is_held(view) {
            self.moved = None;
            return Permit::Held;
        }
        if self.stopped {
            return Permit::Stop(EngineError::DisplacedTooOften { zone: self.zone.clone(), fence: self.name.clone() });
        }
        match (&seen.fence, &self.held) {
            // Nobody's yet, or ours and lost from the zone: recreated above what we remember.
            (None, None) if ours => {
                Permit::Stop(EngineError::FenceLost { zone: self.zone.clone(), fence: self.name.clone() })
            }
            (None, _) => Permit::Raise(self.swap(seen)),
            // A first look, or a zone restored to a state before our raise: above everything known.
            (Some(_), None) => Permit::Raise(self.swap(seen)),
            (Some(fence), Some((held, _))) if fence.epoch < held.epoch => Permit::Raise(self.swap(seen)),
            // Somebody of our own instance raised it above us.
            (Some(_), Some(_)) => self.after_displacement(seen, now),
        }
    }

    fn after_displacement(&mut self, seen: Seen, now: Instant) -> Permit {
        if self.role == Role::OneShot {
            return Permit::Stop(EngineError::Displaced { zone: self.zone.clone(), fence: self.name.clone() });
        }
        let since = match &self.moved {
            Some((values, since)) if *values == seen.values => *since,
            // It moved again: whoever raised it is still starting, and the silence begins anew.
            known => {
                if known.is_none() {
                    self.displaced.push_back(now);
                    while self.displaced.front().is_some_and(|first| now.duration_since(*first) > DISPLACED_WINDOW) {
                        self.displaced.pop_front();
                    }
                    if self.displaced.len() >= DISPLACED_LIMIT {
                        self.stopped = true;
                        let (zone, fence) = (self.zone.clone(), self.name.clone());
                        return Permit::Stop(EngineError::DisplacedTooOften { zone, fence });
                    }
                }
                self.moved = Some((seen.values.clone(), now));
                now
            }
        };
        if now.duration_since(since) < QUIET {
            return Permit::Stop(EngineError::Displaced { zone: self.zone.clone(), fence: self.name.clone() });
        }
        Permit::Raise(self.swap(seen))
    }

    /// The zone changed under another writer of ours: the silence that [`QUIET`] asks for begins anew.
    pub fn disturbed(&mut self, now: Instant) {
        if let Some((_, since)) = &mut self.moved {
            *since = now;
        }
    }

    /// A raise over what stands there, whoever wrote it.
    pub fn swap(&mut self, old: Seen) -> Swap {
        let standing = old.fence.as_ref().map_or(0, |fence| fence.epoch);
        let held = self.held.as_ref().map_or(0, |(fence, _)| fence.epoch);
        let epoch = standing.max(held).max(self.highest).saturating_add(1);
        self.highest = epoch;
        let new = Fence { instance: self.instance.clone(), epoch, nonce: nonce() };
        let new_rdata = new.to_rdata();
        let mut edits: Vec<Edit> =
            old.values.iter().map(|value| Edit::Remove(self.name.clone(), RrType::TXT, value.clone())).collect();
        edits.push(Edit::Add(self.name.clone(), RrType::TXT, TTL, new_rdata.clone()));
        Swap { old, new, new_rdata, edits }
    }

    /// The server took the raise.
    pub fn raised(&mut self, swap: &Swap) {
        self.held = Some((swap.new.clone(), swap.new_rdata.clone()));
        self.moved = None;
    }

    /// A person took the zone over through us: old quarrels are settled.
    pub fn settled(&mut self) {
        self.stopped = false;
        self.displaced.clear();
        self.moved = None;
    }
}

/// 128 random bits in hex. Without randomness the nonce repeats, and the epoch still tells writers apart.
fn nonce() -> String {
    let mut bytes = [0u8; 16];
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}
