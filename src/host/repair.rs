//! Bringing a host back to what was proven once.
//!
//! No transaction: what is undone here is somebody else's change, and going back to it is not wanted. Every step leaves a
//! file or link that is whole; whoever dies in the middle is followed by the next look, which finds the rest.

use std::time::Duration;

use super::error::HostError;
use super::run::done_with;
use super::transaction::{Host, Step, Tell};
use super::{links, services};
use crate::hostplan::{Effect, HostPlan, Stage};
use crate::resolved::resolve1::Resolve1;
use crate::split::HostFacts;
use crate::split::wish::Wish;

/// What a repair came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repaired {
    /// A restart of resolved that has to wait this long yet: what comes after it was not done either.
    pub due: Option<Duration>,
}

impl Host {
    /// Carries out what differs from policies that stand already. Nothing is waited for that may take long: no probes, and a
    /// restart that would come too soon after the last one is left for later.
    ///
    /// # Errors
    /// Of the first step that fails; what was done before it stays.
    pub async fn repair(
        &self,
        wish: &Wish,
        facts: &HostFacts,
        plan: &HostPlan,
        tell: Tell<'_>,
    ) -> Result<Repaired, HostError> {
        // What was there before us is on disk before it is changed: a link that came anew may want a file of its own.
        let mut record = self.store.record()?;
        let known = record.clone();
        match plan.wakes {
            // Of links nothing is known, and nothing is done yet.
            true => plan.files.iter().for_each(|step| record.learn(step)),
            false => record.settle(plan, wish, facts),
        }
        for step in plan.files.iter().filter(|step| step.to != crate::hostplan::Want::Absent) {
            let made = self.files.missing_dirs(&step.path);
            record.dirs.extend(made.into_iter().filter(|dir| !known.dirs.contains(dir)));
        }
        if record != known {
            self.store.set_record(&record)?;
        }
        // Once a file is in place nothing shows that nobody has read it: a restart that waits would be forgotten.
        let mut owed = self.store.owed()?;
        owed.extend(plan.files.iter().map(|step| step.effect));
        owed.sort_unstable();
        owed.dedup();
        // What calls for these two shows for itself.
        owed.retain(|effect| !matches!(effect, Effect::None | Effect::RewriteResolved));
        self.store.set_owed(&owed)?;
        // The one file that every program reads does not wait for the others, unless resolved would take it amiss.
        self.put(plan, Stage::Last, tell)?;
        self.put(plan, Stage::Before, tell)?;
        let Some(bus) = &self.bus else { return Ok(Repaired::default()) };
        // Where resolved does not answer, it is not asked before it is told.
        let back = match plan.wakes || plan.needs.iter().any(|need| need.effect == Effect::RestartResolved) {
            true => Vec::new(),
            false => links::set_back(bus, plan, tell).await?,
        };
        for effect in plan.effects(Stage::Before) {
            let due = services::rest(&self.store, effect, wish.systemd)?;
            if !due.is_zero() {
                return Ok(Repaired { due: Some(due) });
            }
            let done = services::tell(bus, (&self.store, &self.files), effect, wish.systemd).await?;
            if !done.is_empty() {
                tell(Step::Service(done));
            }
        }
        self.store.set_owed(&[])?;
        if plan.wakes {
            return Ok(Repaired::default());
        }
        links::set_all(bus, plan, &back, tell).await?;
        // Answers of the wrong server may lie in the cache.
        Resolve1(bus).flush_caches().await?;
        Ok(Repaired::default())
    }

    fn put(&self, plan: &HostPlan, stage: Stage, tell: Tell<'_>) -> Result<(), HostError> {
        for step in plan.files.iter().filter(|step| step.stage == stage) {
            self.files.put(&step.path, &step.to)?;
            tell(Step::File(step.path.clone(), done_with(&step.to)));
        }
        Ok(())
    }
}
