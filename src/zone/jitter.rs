//! Waiting times that do not beat in step.

use std::time::Duration;

/// The wait before try number `attempt` (0 is the first repetition): doubling from `base` up to `most`, half of it by
/// chance, so that many who failed together do not come back together.
pub fn backoff(attempt: u32, base: Duration, most: Duration) -> Duration {
    let full = base.saturating_mul(1u32 << attempt.min(16)).min(most);
    let share = getrandom::u32().unwrap_or(u32::MAX / 2);
    full / 2 + (full / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_within_bounds() {
        let (base, most) = (Duration::from_millis(100), Duration::from_secs(5));
        for attempt in 0..40 {
            let wait = backoff(attempt, base, most);
            let full = base.saturating_mul(1 << attempt.min(16)).min(most);
            assert!(wait >= full / 2 && wait <= full, "{attempt}: {wait:?}");
        }
    }
}
