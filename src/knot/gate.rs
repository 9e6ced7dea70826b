//! Shares of the window: zones of one server address use one connection, and a slow one must not starve the others.
//!
//! A zone may take another slot while it holds fewer than [`SHARE`] times the free ones (the dynamic thresholds of
//! Choudhury and Hahne, 1998): one zone alone gets seven eighths of the window, each of two 28 of 64. So that several
//! zones which are not answered at all leave something to the next, the first [`SURE`] slots of a zone are its own, beyond
//! the window where need be.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::updates::WINDOW;
use crate::model::Name;

/// Slots that a zone may hold for each free one.
const SHARE: usize = 7;

/// Slots that a zone gets in any case.
const SURE: usize = 4;

/// The slots of one window.
#[derive(Debug)]
pub(super) struct Gate {
    window: AtomicUsize,
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    zones: HashMap<Name, usize>,
}

/// A slot; free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    gate: Arc<Gate>,
    zone: Name,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { window: AtomicUsize::new(WINDOW), held: Mutex::default(), freed: Notify::new() }
    }
}

impl Gate {
    /// Slots in all.
    pub(super) fn window(&self) -> usize {
        self.window.load(Ordering::Relaxed)
    }

    /// Makes the window larger.
    pub(super) fn widen(&self, window: usize) {
        self.window.fetch_max(window, Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Every change of the counts is whole, so a panic elsewhere leaves them right.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a message of this zone, if it may have one now.
    fn try_enter(self: &Arc<Gate>, zone: &Name) -> Option<Slot> {
        let mut held = self.held();
        let own = held.zones.get(zone).copied().unwrap_or_default();
        if own >= SURE.max(SHARE * self.window().saturating_sub(held.all)) {
            return None;
        }
        held.all += 1;
        *held.zones.entry(zone.clone()).or_default() += 1;
        Some(Slot { gate: Arc::clone(self), zone: zone.clone() })
    }

    /// Waits for a slot. Safe to cancel.
    pub(super) async fn enter(self: &Arc<Gate>, zone: &Name) -> Slot {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Registered before looking, or a slot that is freed in between would wake nobody.
            freed.as_mut().enable();
            if let Some(slot) = self.try_enter(zone) {
                return slot;
            }
            freed.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.gate.held();
        held.all -= 1;
        if let Some(own) = held.zones.get_mut(&self.zone) {
            *own -= 1;
            if *own == 0 {
                held.zones.remove(&self.zone);
            }
        }
        drop(held);
        // All of them: who may enter depends on what each holds.
        self.gate.freed.notify_waiters();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn fill(gate: &Arc<Gate>, zone: &Name) -> Vec<Slot> {
        std::iter::from_fn(|| gate.try_enter(zone)).collect()
    }

    #[test]
    fn a_newcomer_always_finds_slots() {
        let gate = Arc::new(Gate::default());
        let all: Vec<Vec<Slot>> = (0..12).map(|zone| fill(&gate, &n(&format!("zone{zone}.example")))).collect();
        let sizes: Vec<usize> = all.iter().map(Vec::len).collect();
        assert_eq!(sizes[0], WINDOW * 7 / 8, "one alone gets nearly all");
        assert!(sizes.iter().all(|size| *size >= SURE), "{sizes:?}");
        assert!(sizes.iter().sum::<usize>() <= WINDOW + sizes.len() * SURE, "{sizes:?}");
        drop(all);
        assert!(gate.held().zones.is_empty() && gate.held().all == 0, "all is given back");
        assert_eq!(fill(&gate, &n("again.example")).len(), WINDOW * 7 / 8);
    }

    #[test]
    fn slots_that_are_given_back_go_to_who_holds_fewer() {
        let gate = Arc::new(Gate::default());
        let (greedy, late) = (n("greedy.example"), n("late.example"));
        let mut first = fill(&gate, &greedy);
        let mut second = fill(&gate, &late);
        assert!(first.len() > 5 * second.len());
        for _ in 0..200 {
            // Both are answered as often; the greedy one is the first to ask again.
            drop((first.pop(), second.pop()));
            first.extend(fill(&gate, &greedy));
            second.extend(fill(&gate, &late));
        }
        assert!(first.len().abs_diff(second.len()) <= 12, "{} {}", first.len(), second.len());
    }

    #[test]
    fn a_wider_window_has_more_slots() {
        let gate = Arc::new(Gate::default());
        let zone = n("a.example");
        let mut slots = fill(&gate, &zone);
        gate.widen(4 * WINDOW);
        slots.extend(fill(&gate, &zone));
        assert_eq!(slots.len(), 4 * WINDOW * 7 / 8);
    }

    #[tokio::test]
    async fn a_freed_slot_wakes_who_waits() {
        let gate = Arc::new(Gate::default());
        let zone = n("a.example");
        let mut slots = fill(&gate, &zone);
        let waiting = tokio::spawn({
            let (gate, zone) = (Arc::clone(&gate), zone.clone());
            async move { gate.enter(&zone).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(slots.pop());
        let slot = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.unwrap().unwrap();
        drop((slot, slots));
        assert_eq!(gate.held().all, 0);
    }
}
