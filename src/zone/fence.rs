//! The fence: who may write a zone for our owner id right now (DESIGN §4).
//!
//! The server is the judge: every UPDATE requires the fence as last read or written, so a process that lost it cannot
//! write, whatever it believes. This file decides when it may be raised.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::EngineError;
use crate::model::{Name, Rdata, RrType, rdata};
use crate::ownership::{Fence, Standing, ZoneRules};
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

    /// Somebody else's record stands there: not even a person who takes the zone over replaces it.
    pub fn place_taken(&self, seen: &Seen) -> Option<EngineError> {
        place_taken(&self.zone, &self.name, seen.values.clone())
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
        } else if let Some(error) = self.place_taken(&seen) {
            return Permit::Stop(error);
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

    /// The zone changed: the silence that [`QUIET`] asks for begins anew.
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
        self.write(old, epoch)
    }

    /// The same epoch with a new nonce, over what stands there.
    pub fn renew(&mut self, old: Seen, epoch: Option<u64>) -> Swap {
        let held = self.held.as_ref().map_or(0, |(fence, _)| fence.epoch);
        self.write(old, epoch.unwrap_or(held).max(1))
    }

    fn write(&mut self, old: Seen, epoch: u64) -> Swap {
        self.highest = self.highest.max(epoch);
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

/// The error of a fence's place where values of somebody else stand.
pub fn place_taken(zone: &Name, fence: &Name, values: Vec<Rdata>) -> Option<EngineError> {
    let Standing::Foreign(values) = Fence::read(values) else { return None };
    let values: Vec<String> = values.iter().map(|value| rdata::to_text(RrType::TXT, value)).collect();
    Some(EngineError::FencePlaceTaken { zone: zone.clone(), fence: fence.clone(), values: values.join(" and ") })
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ownership::BrakeLimit;

    fn rules() -> ZoneRules {
        ZoneRules {
            zone: Name::parse("internal").unwrap(),
            owner: "home".into(),
            instance: "nas".into(),
            label: "_knotwork".into(),
            external_dns: Vec::new(),
            nix_prefix: "nix.".into(),
            txt_key: None,
            adopt_from: Vec::new(),
            brake: BrakeLimit::default(),
            observe: false,
        }
    }

    fn view(fence: Option<(&str, u64)>) -> View {
        let mut view = View::new(rules().zone, 1);
        if let Some((instance, epoch)) = fence {
            put(&mut view, Fence { instance: instance.into(), epoch, nonce: "ab".into() }.to_rdata());
        }
        view
    }

    fn put(view: &mut View, rdata: Rdata) {
        let name = Fence::name(&rules());
        for old in view.get(&name, RrType::TXT).map(|set| set.values).unwrap_or_default() {
            view.remove(&name, RrType::TXT, &old);
        }
        view.add(&name, RrType::TXT, TTL, rdata);
    }

    fn raise(permit: Permit) -> Swap {
        match permit {
            Permit::Raise(swap) => swap,
            other => panic!("{other:?}"),
        }
    }

    fn stop(permit: Permit) -> EngineError {
        match permit {
            Permit::Stop(error) => error,
            other => panic!("{other:?}"),
        }
    }

    /// A keeper that raised the fence over what stands in the view, which then shows it.
    fn held(view: &mut View, role: Role) -> Keeper {
        let mut keeper = Keeper::new(&rules(), role);
        let swap = raise(keeper.permit(view, false, Instant::now()));
        put(view, swap.new_rdata.clone());
        keeper.raised(&swap);
        assert!(matches!(keeper.permit(view, true, Instant::now()), Permit::Held));
        keeper
    }

    #[test]
    fn first_looks() {
        let now = Instant::now();
        let permit = |view: &View, ours| Keeper::new(&rules(), Role::OneShot).permit(view, ours, now);
        let swap = raise(permit(&view(None), false));
        assert_eq!((swap.new.epoch, swap.edits.len()), (1, 1));
        assert!(matches!(swap.old.guard(&Fence::name(&rules())), Guard::SetAbsent(..)));
        // Markers of ours without a fence: somebody may be at work.
        assert_eq!(stop(permit(&view(None), true)).reason(), "FenceLost");
        let swap = raise(permit(&view(Some(("nas", 7))), true));
        assert_eq!((swap.new.epoch, swap.edits.len()), (8, 2));
        assert!(matches!(stop(permit(&view(Some(("other", 7))), true)), EngineError::OtherInstance { .. }));
        let mut strange = view(None);
        put(&mut strange, b"\x05hello".as_slice().into());
        assert_eq!(stop(permit(&strange, false)).reason(), "FencePlaceTaken");
        let mut newer = view(None);
        put(&mut newer, b"\x17heritage=knotwork,v=9,x".as_slice().into());
        assert_eq!(stop(permit(&newer, false)).reason(), "FenceUnreadable");
    }

    #[test]
    fn the_holder_recreates_and_outbids_a_restored_zone() {
        let mut view = view(Some(("nas", 7)));
        let mut keeper = held(&mut view, Role::Resident);
        assert_eq!(raise(keeper.permit(&super::tests::view(None), true, Instant::now())).new.epoch, 9);
        let restored = super::tests::view(Some(("nas", 3)));
        assert!(raise(keeper.permit(&restored, true, Instant::now())).new.epoch > 8);
    }

    #[test]
    fn a_resident_waits_for_silence_and_gives_up_after_three_times() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut view = view(None);
        let mut keeper = held(&mut view, Role::Resident);
        let mut epoch = 1;
        for round in 0..2u64 {
            epoch += 10;
            put(&mut view, Fence { instance: "nas".into(), epoch, nonce: "cd".into() }.to_rdata());
            let base = round * 20;
            assert_eq!(stop(keeper.permit(&view, true, at(base))).reason(), "Displaced");
            keeper.disturbed(at(base + 3));
            assert_eq!(stop(keeper.permit(&view, true, at(base + 6))).reason(), "Displaced");
            let swap = raise(keeper.permit(&view, true, at(base + 9)));
            epoch = swap.new.epoch;
            put(&mut view, swap.new_rdata.clone());
            keeper.raised(&swap);
        }
        put(&mut view, Fence { instance: "nas".into(), epoch: epoch + 1, nonce: "cd".into() }.to_rdata());
        for seconds in [40, 50, 500] {
            assert!(matches!(stop(keeper.permit(&view, true, at(seconds))), EngineError::DisplacedTooOften { .. }));
        }
        keeper.settled();
        assert!(matches!(keeper.permit(&view, true, at(600)), Permit::Stop(EngineError::Displaced { .. })));
    }

    #[test]
    fn a_single_run_never_takes_it_back() {
        let mut view = view(None);
        let mut keeper = held(&mut view, Role::OneShot);
        put(&mut view, Fence { instance: "nas".into(), epoch: 9, nonce: "cd".into() }.to_rdata());
        for seconds in [0, 10, 1000] {
            let now = Instant::now() + Duration::from_secs(seconds);
            assert_eq!(stop(keeper.permit(&view, true, now)).reason(), "Displaced");
        }
    }
}
