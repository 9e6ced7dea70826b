//! Somebody else who keeps overwriting what we put back: not fought at full speed, and said.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// So many repairs of one thing within [`WINDOW`] are a war: the next one waits (Tailscale stops at 10 in 5 s).
const BURST: usize = 10;
const WINDOW: Duration = Duration::from_secs(5);

/// So many within [`SIEGE_WINDOW`] are one too, but slow enough to be answered each time.
const SIEGE: usize = 20;
const SIEGE_WINDOW: Duration = Duration::from_secs(600);

/// The first wait; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

/// What was put back, and how often.
#[derive(Debug, Default)]
pub struct War {
    fights: BTreeMap<String, Fight>,
}

#[derive(Debug, Default)]
struct Fight {
    /// Of repairs, the oldest first.
    times: VecDeque<Instant>,
    /// How often a burst had to be stopped.
    rounds: u32,
    until: Option<Instant>,
}

impl War {
    /// Whether something may be put back now; else when.
    ///
    /// # Errors
    /// The moment at which it may.
    pub fn may(&self, what: &str, now: Instant) -> Result<(), Instant> {
        match self.fights.get(what).and_then(|fight| fight.until).filter(|until| *until > now) {
            Some(until) => Err(until),
            None => Ok(()),
        }
    }

    /// It was put back.
    pub fn repaired(&mut self, what: &str, now: Instant) {
        let fight = self.fights.entry(what.to_owned()).or_default();
        fight.times.retain(|time| now.duration_since(*time) < SIEGE_WINDOW);
        if fight.times.is_empty() {
            fight.rounds = 0;
        }
        fight.times.push_back(now);
        if fight.times.iter().filter(|time| now.duration_since(**time) < WINDOW).count() >= BURST {
            fight.until = Some(now + FIRST.saturating_mul(1 << fight.rounds.min(6)).min(LONGEST));
            fight.rounds += 1;
        }
        // More than these tell nothing new.
        while fight.times.len() > SIEGE.max(BURST) {
            fight.times.pop_front();
        }
    }

    /// What is fought about, and how often it was put back of late.
    pub fn contested(&self, now: Instant) -> Vec<(String, usize)> {
        let late = |fight: &Fight| fight.times.iter().filter(|time| now.duration_since(**time) < SIEGE_WINDOW).count();
        self.fights
            .iter()
            .filter(|(_, fight)| fight.until.is_some_and(|until| until > now) || late(fight) >= SIEGE)
            .map(|(what, fight)| (what.clone(), late(fight)))
            .collect()
    }

    /// When the next wait ends.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        self.fights.values().filter_map(|fight| fight.until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_waits_longer_each_time_and_a_quiet_time_forgives() {
        let mut war = War::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..8 {
            for _ in 0..BURST {
                assert!(war.may("resolv.conf", now).is_ok());
                war.repaired("resolv.conf", now);
                now += Duration::from_millis(10);
            }
            let until = war.may("resolv.conf", now).expect_err("a burst is stopped");
            assert_eq!(war.next(now), Some(until));
            assert!(!war.contested(now).is_empty());
            assert!(war.may("link eth0", now).is_ok(), "others are not held up");
            waits.push(until.duration_since(now).as_secs_f64().round());
            now = until;
        }
        assert_eq!(waits, [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]);
        now += SIEGE_WINDOW;
        assert!(war.contested(now).is_empty());
        for _ in 0..BURST {
            war.repaired("resolv.conf", now);
        }
        assert_eq!(war.next(now), Some(now + FIRST));
    }

    #[test]
    fn a_slow_war_is_said_and_answered_each_time() {
        let mut war = War::default();
        let mut now = Instant::now();
        for _ in 0..30 {
            assert!(war.may("resolv.conf", now).is_ok());
            war.repaired("resolv.conf", now);
            now += Duration::from_secs(10);
        }
        assert_eq!(war.contested(now), [("resolv.conf".to_owned(), SIEGE)]);
        assert_eq!(war.next(now), None);
    }
}
