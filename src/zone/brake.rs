//! What the brake remembers: deletes and replaces of the last while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What the brake of one process leaves to the next: it only ever restricts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PastBrake {
    /// Counted operations within the window.
    pub operations: usize,
    /// Sets owned when the window began.
    pub owned: usize,
    /// How long ago the first of them was.
    pub age: Duration,
    /// Something was held.
    pub held: bool,
}

/// A sliding count of operations on sets that we own (DESIGN §5.3).
#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    operations: VecDeque<(Instant, usize)>,
    /// Sets owned when the window began.
    owned: Option<usize>,
}

impl Window {
    pub fn new(length: Duration) -> Window {
        Window { length, operations: VecDeque::new(), owned: None }
    }

    /// Operations done within the window, and the sets owned when it began (`None` when it begins now).
    pub fn used(&mut self, now: Instant) -> (usize, Option<usize>) {
        self.forget(now);
        (self.operations.iter().map(|(_, count)| count).sum(), self.owned)
    }

    /// Counts operations that were done, out of `owned` sets before them.
    pub fn count(&mut self, now: Instant, operations: usize, owned: usize) {
        self.forget(now);
        if operations > 0 {
            self.owned.get_or_insert(owned);
            self.operations.push_back((now, operations));
        }
    }

    /// Forgets what was counted.
    pub fn clear(&mut self) {
        self.operations.clear();
        self.owned = None;
    }

    /// Takes over what a process before this one counted, as if it had been this one.
    pub fn remember(&mut self, now: Instant, past: &PastBrake) {
        if past.operations > 0 && past.age < self.length {
            let at = now.checked_sub(past.age).unwrap_or(now);
            self.operations.push_front((at, past.operations));
            self.owned = Some(self.owned.map_or(past.owned, |own| own.min(past.owned)));
        }
    }

    /// When the oldest operation of the window was.
    pub fn began(&self) -> Option<Instant> {
        self.operations.front().map(|(at, _)| *at)
    }

    fn forget(&mut self, now: Instant) {
        while self.operations.front().is_some_and(|(at, _)| now.duration_since(*at) >= self.length) {
            self.operations.pop_front();
        }
        if self.operations.is_empty() {
            self.owned = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slides_and_keeps_the_number_of_its_beginning() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(Duration::from_secs(600));
        assert_eq!(window.used(at(0)), (0, None));
        window.count(at(0), 5, 100);
        window.count(at(300), 5, 95);
        assert_eq!(window.used(at(300)), (10, Some(100)));
        assert_eq!(window.used(at(600)), (5, Some(100)));
        assert_eq!(window.used(at(900)), (0, None));
    }

    #[test]
    fn a_person_who_looked_begins_it_anew() {
        let now = Instant::now();
        let mut window = Window::new(Duration::from_secs(600));
        window.count(now, 9, 30);
        window.clear();
        assert_eq!(window.used(now), (0, None));
    }

    #[test]
    fn a_process_before_counts_until_the_window_has_passed() {
        let now = Instant::now();
        let past = |age| PastBrake { operations: 25, owned: 80, age: Duration::from_secs(age), held: false };
        let mut window = Window::new(Duration::from_secs(600));
        window.remember(now, &past(100));
        assert_eq!(window.used(now), (25, Some(80)));
        assert_eq!(window.used(now + Duration::from_secs(501)), (0, None));
        window.remember(now, &past(700));
        assert_eq!(window.used(now), (0, None));
    }
}
