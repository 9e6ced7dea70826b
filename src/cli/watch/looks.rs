//! When the files are looked at.

use std::time::{Duration, Instant};

use super::super::args::Source;
use super::super::records;
use crate::source::{Input, fingerprint};

/// A look at very many files takes its time; this many times as long is waited before the next.
const REST: u32 = 30;
/// How long an edit may wait for that.
const LONGEST: Duration = Duration::from_secs(5);

/// Looks at the files from outside, without opening them.
pub(super) struct Looks {
    inputs: Vec<Input>,
    print: u64,
    /// Not before.
    next: Instant,
}

impl Looks {
    /// The first look.
    pub async fn new(source: &Source) -> Looks {
        let mut looks = Looks { inputs: records::inputs(source), print: 0, next: Instant::now() };
        looks.changed().await;
        looks
    }

    /// Whether anything changed since the last look; no, when it is too early for another.
    pub async fn changed(&mut self) -> bool {
        let began = Instant::now();
        if began < self.next {
            return false;
        }
        let inputs = self.inputs.clone();
        let Ok(print) = tokio::task::spawn_blocking(move || fingerprint(&inputs)).await else { return false };
        self.next = Instant::now() + (began.elapsed() * REST).min(LONGEST);
        std::mem::replace(&mut self.print, print) != print
    }
}
