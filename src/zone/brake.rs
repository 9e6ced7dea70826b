//! What the brake remembers: deletes and replaces of the last while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

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
}
