//! The resident loop of one zone: poll, plan, apply, tell.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, Refreshed};
use super::jitter::backoff;
use super::report::{Outcome, Report};
use super::status::{StatusError, ZoneStatus};
use super::{EngineError, Mailbox};
use crate::model::{Claims, Name, RrSet, RrType};
use crate::plan::{Action, Change, Plan};

/// Says whether this process may write now; for writers that are several, of which one leads.
pub type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

/// Where a worker learns what is declared.
pub enum Feed {
    /// Whole worlds, of which the latest counts.
    Whole(watch::Receiver<Arc<Claims>>),
    /// Changes.
    Edits(Mailbox),
}

impl From<watch::Receiver<Arc<Claims>>> for Feed {
    fn from(claims: watch::Receiver<Arc<Claims>>) -> Feed {
        Feed::Whole(claims)
    }
}

impl From<Mailbox> for Feed {
    fn from(mailbox: Mailbox) -> Feed {
        Feed::Edits(mailbox)
    }
}

impl Feed {
    /// Waits for news; `false` when there will be none any more.
    async fn changed(&mut self) -> bool {
        match self {
            Feed::Whole(claims) => claims.changed().await.is_ok(),
            Feed::Edits(mailbox) => {
                mailbox.came().await;
                true
            }
        }
    }
}

/// How a worker keeps time.
#[derive(Clone)]
pub struct WorkerOptions {
    /// Between polls while the zone is lively.
    pub poll_fast: Duration,
    /// Between polls when nothing has happened for a while (`checkInterval`).
    pub poll_idle: Duration,
    /// How long a zone counts as lively after a change.
    pub lively: Duration,
    /// How long a started apply may go on when the worker is stopped.
    pub grace: Duration,
    /// Whom to tell of every pass that planned something; a pass that finds no room there is not told, and repairs never
    /// wait for it.
    pub passes: Option<mpsc::Sender<Passed>>,
    /// Asked before anything is written; none: it may.
    pub gate: Option<Gate>,
}

/// One pass of a worker that made a plan, or that could not.
#[derive(Debug)]
pub struct Passed {
    /// The zone.
    pub zone: Name,
    /// How many times claims were taken in before.
    pub claims_seen: u64,
    /// The plan as it was before anything was sent; `None` when there was none to make.
    pub plan: Option<Plan>,
    /// What was sent and what became of it, and the plan after it.
    pub applied: Option<(Report, Arc<Plan>)>,
    /// What stopped it.
    pub error: Option<EngineError>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        WorkerOptions {
            poll_fast: Duration::from_millis(50),
            poll_idle: Duration::from_secs(1),
            lively: Duration::from_secs(10),
            grace: Duration::from_secs(5),
            passes: None,
            gate: None,
        }
    }
}

/// The longest wait before a failed change is tried again.
const LONGEST_CHANGE_WAIT: Duration = Duration::from_secs(600);
/// How long a foreign set must have been the same before it is adopted.
const ADOPTION_REST: Duration = Duration::from_secs(2);
/// The longest wait before a failed server is asked again.
const LONGEST_SERVER_WAIT: Duration = Duration::from_secs(30);

/// A change that failed: how often, and when it may be tried again.
struct Retry {
    tries: u32,
    at: Instant,
}

/// Runs until `cancel` is cancelled. `claims` brings what is declared; `status` tells what became of it.
/// In a zone whose rules say `observe` nothing is ever written.
pub async fn run(
    engine: Engine,
    claims: impl Into<Feed>,
    status: watch::Sender<Arc<ZoneStatus>>,
    cancel: CancellationToken,
    options: WorkerOptions,
) {
    Worker {
        failures: 0,
        told: false,
        retries: HashMap::new(),
        adopting: HashMap::new(),
        active_at: Instant::now(),
        dirty: true,
        releasing: false,
        change_seen: None,
        engine,
        status,
        options,
        cancel,
    }
    .run(claims.into())
    .await;
}

type Retries = HashMap<(Name, RrType), Retry>;

fn rests(retries: &Retries, change: &Change, now: Instant) -> bool {
    !retries.is_empty() && retries.get(&(change.name.clone(), change.rtype)).is_some_and(|retry| retry.at > now)
}

struct Worker {
    engine: Engine,
    status: watch::Sender<Arc<ZoneStatus>>,
    cancel: CancellationToken,
    options: WorkerOptions,
    /// Passes in a row that the server failed.
    failures: u32,
    /// This pass was told of.
    told: bool,
    retries: Retries,
    /// Sets that the last plan wanted to adopt, as they were.
    adopting: HashMap<(Name, RrType), Option<RrSet>>,
    active_at: Instant,
    /// The plan is older than the view or the claims.
    dirty: bool,
    /// The engine was given hashes that count for one plan.
    releasing: bool,
    /// When the change that this pass answers was noticed.
    change_seen: Option<(Instant, Duration)>,
}

impl Worker {
    async fn run(mut self, mut claims: Feed) {
        let mut fed = true;
        let mut next = Instant::now();
        self.take_claims(&mut claims);
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                changed = claims.changed(), if fed => {
                    if !changed {
                        // The source is gone; what it said last stays in force.
                        fed = false;
                        continue;
                    }
                    self.take_claims(&mut claims);
                    // A server that fails is not asked more often because there is more to ask of it.
                    if self.failures > 0 && Instant::now() < next {
                        continue;
                    }
                },
                () = tokio::time::sleep_until(next.into()) => {}
            }
            let wait = self.pass().await;
            next = Instant::now() + wait;
        }
    }

    fn take_claims(&mut self, claims: &mut Feed) {
        match claims {
            Feed::Whole(claims) => {
                let latest = Arc::clone(&claims.borrow_and_update());
                self.engine.set_claims(latest);
                // A new wish deserves a new try.
                self.retries.clear();
            }
            Feed::Edits(mailbox) => {
                let letters = mailbox.fetch();
                if let Some(edit) = letters.edit {
                    // The same, without trying again for everybody at every change of somebody.
                    self.retries.retain(|(name, _), _| !edit.names.contains_key(name));
                    self.engine.edit_claims(edit);
                }
                if !letters.release.is_empty() {
                    self.engine.release_once(letters.release);
                    self.releasing = true;
                }
            }
        }
        self.dirty = true;
        self.active_at = Instant::now();
        self.tell(true, |status| {
            status.claims_seen += 1;
            status.settled = false;
        });
    }

    /// One pass; gives the wait before the next.
    async fn pass(&mut self) -> Duration {
        self.told = false;
        let result = self.work().await;
        let (address, serial) = (self.engine.session().address(), self.engine.view().map(crate::view::View::serial));
        match result {
            Ok(moved) => {
                self.failures = 0;
                self.tell(moved, |status| {
                    (status.server, status.serial) = (address, serial);
                    status.last_view_at = Some(SystemTime::now());
                    status.counters.polls += 1;
                });
                self.poll_wait()
            }
            Err(error) => {
                // Once it works again the status is made anew, though nothing may have changed in the zone.
                self.dirty = true;
                let (reason, message) = (error.reason(), error.to_string());
                // The same trouble again is no news.
                let news = self.status.borrow().error.as_ref().is_none_or(|old| old.message != message);
                if news {
                    tracing::warn!(zone = %self.engine.zone(), reason, "{message}");
                }
                if news && !self.told {
                    self.passed(None, None, Some(error.clone()));
                }
                self.tell(news, |status| {
                    (status.server, status.serial) = (address, serial);
                    *status.counters.errors.entry(reason).or_default() += 1;
                    status.settled = false;
                    status.error = Some(StatusError { reason, message, at: SystemTime::now() });
                });
                if matches!(error, EngineError::Server(_)) {
                    self.failures += 1;
                    backoff(self.failures - 1, Duration::from_millis(200), LONGEST_SERVER_WAIT)
                } else {
                    self.options.poll_idle
                }
            }
        }
    }

    fn poll_wait(&self) -> Duration {
        let quiet = self.active_at.elapsed();
        let wait = if quiet < self.options.lively {
            self.options.poll_fast
        } else {
            // Slows down over as long as it was lively, instead of falling asleep at once.
            let share = (quiet - self.options.lively).as_secs_f64() / self.options.lively.as_secs_f64().max(0.001);
            let slower = self.options.poll_idle.saturating_sub(self.options.poll_fast).mul_f64(share.min(1.0));
            self.options.poll_fast + slower
        };
        let retry = self.retries.values().map(|retry| retry.at.saturating_duration_since(Instant::now())).min();
        wait.min(retry.unwrap_or(wait)).max(self.options.poll_fast.min(wait))
    }

    /// Refresh, plan, apply. Tells whether anything moved.
    async fn work(&mut self) -> Result<bool, EngineError> {
        let mut moved = self.refresh().await?;
        self.dirty |= self.engine.take_dhcid_news();
        // Who may not write looks on; what is due stays due.
        let open = self.options.gate.as_ref().is_none_or(|gate| gate());
        let resident = open && !self.engine.rules().observe;
        let now = Instant::now();
        let retry_due = self.retries.values().any(|retry| retry.at <= now);
        if !self.dirty && !retry_due {
            if resident && !self.engine.holds_fence() {
                self.engine.raise_fence().await?;
                self.tell(true, |status| status.error = None);
                moved = true;
            }
            return Ok(moved);
        }
        let plan = self.engine.plan()?;
        self.dirty = !open;
        if std::mem::take(&mut self.releasing) {
            self.engine.release_once(Vec::new());
        }
        self.hold_adoptions(&plan);
        if !self.retries.is_empty() {
            // What nobody wants any more needs no further try.
            let open: HashSet<_> =
                plan.changes.iter().filter(|one| !one.held).map(|one| (one.name.clone(), one.rtype)).collect();
            self.retries.retain(|key, _| open.contains(key));
        }
        let wanted = self.wanted(&plan);
        if !resident || wanted == 0 {
            if self.options.passes.is_some() {
                self.passed(Some(plan.clone()), None, None);
            }
            self.show(plan, None);
            if resident && !self.engine.holds_fence() {
                self.engine.raise_fence().await?;
            }
            self.tell(true, |status| status.error = None);
            return Ok(true);
        }
        let report = self.apply(&plan).await;
        self.log(&report);
        self.learn(&report);
        self.active_at = Instant::now();
        // The read-back may show more to do: somebody was faster, or the next step of a chain.
        let after = self.engine.plan()?;
        self.dirty = self.wanted(&after) > 0;
        let stopped = report.stopped.clone();
        let after = self.show(after, Some(&report));
        self.passed(Some(plan), Some((report, after)), stopped.clone());
        match stopped {
            Some(error) => {
                self.dirty = true;
                Err(error)
            }
            None => {
                self.tell(true, |status| status.error = None);
                Ok(true)
            }
        }
    }

    async fn refresh(&mut self) -> Result<bool, EngineError> {
        let found = self.engine.refresh().await?;
        // Taken now: the read-back of an apply notices changes too, which are our own.
        self.change_seen = self.engine.take_change_seen().filter(|_| found != Refreshed::Current);
        let (mut full, mut reset) = (0, 0);
        match &found {
            Refreshed::Current => return Ok(false),
            Refreshed::Changed(_) => {}
            Refreshed::New { reset: back } => (full, reset) = (1, u64::from(*back)),
        }
        self.dirty = true;
        self.active_at = Instant::now();
        self.tell(false, |status| {
            status.counters.changed += 1;
            status.counters.full_transfers += full;
            status.counters.resets += reset;
        });
        Ok(true)
    }

    /// One line for each change that was read back.
    fn log(&self, report: &Report) {
        let (zone, owner) = (self.engine.zone(), &self.engine.rules().owner);
        for done in report.outcomes.iter().filter(|one| one.outcome == Outcome::Done) {
            let object = done.object.as_ref().map_or("", |object| object.as_str());
            tracing::info!(
                %zone, name = %done.name, rtype = %done.rtype, action = done.action.word(), owner, object,
                serial = report.serial, "changed"
            );
        }
    }

    /// Changes of the plan that may be sent now.
    fn wanted(&self, plan: &Plan) -> usize {
        let now = Instant::now();
        plan.changes.iter().filter(|change| !change.held && !rests(&self.retries, change, now)).count()
    }

    /// A set that is to be adopted must have been the same for a while: whoever made it may still be at it.
    fn hold_adoptions(&mut self, plan: &Plan) {
        let now = Instant::now();
        let mut seen = HashMap::new();
        for change in plan.changes.iter().filter(|change| change.action == Action::Adopt) {
            let key = (change.name.clone(), change.rtype);
            let same = |old: &Option<RrSet>| match (old, &change.old) {
                (Some(a), Some(b)) => a.same(b, change.rtype),
                (a, b) => a.is_none() && b.is_none(),
            };
            if !self.adopting.get(&key).is_some_and(same) {
                self.retries.insert(key.clone(), Retry { tries: 0, at: now + ADOPTION_REST });
            }
            seen.insert(key, change.old.clone());
        }
        self.adopting = seen;
    }

    async fn apply(&mut self, plan: &Plan) -> Report {
        let now = Instant::now();
        let retries = &self.retries;
        let skip = |change: &Change| rests(retries, change, now);
        let (cancel, grace) = (self.cancel.clone(), self.options.grace);
        let stopped = async move {
            cancel.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            report = self.engine.apply(plan, &skip) => report,
            // What is under way may or may not be applied; the next start reads the zone first.
            () = stopped => Report::default(),
        }
    }

    /// Takes the outcomes into the waiting times and the sums.
    fn learn(&mut self, report: &Report) {
        let now = Instant::now();
        for outcome in &report.outcomes {
            let key = (outcome.name.clone(), outcome.rtype);
            let (base, counts) = match outcome.outcome {
                Outcome::Done => {
                    self.retries.remove(&key);
                    continue;
                }
                Outcome::Conflict => (Duration::from_millis(100), true),
                Outcome::Unconfirmed | Outcome::Lost => (Duration::from_millis(500), true),
                Outcome::Refused => (Duration::from_secs(5), true),
                Outcome::Held | Outcome::Waiting => (Duration::ZERO, false),
            };
            // What the run did not come to is no fault of the change.
            if counts && report.stopped.is_none() {
                let retry = self.retries.entry(key).or_insert(Retry { tries: 0, at: now });
                retry.at = now + backoff(retry.tries, base, LONGEST_CHANGE_WAIT);
                retry.tries += 1;
            }
        }
        let reaction = report.first_sent.zip(self.change_seen.take());
        // What Knot takes to hand over the change is told apart: it may hold a transfer back for a second.
        let reaction =
            reaction.map(|(sent, (seen, waited))| (sent.duration_since(seen).saturating_sub(waited), waited));
        self.tell(false, |status| {
            let counters = &mut status.counters;
            counters.updates += report.updates_sent;
            counters.update_bytes += report.bytes;
            for outcome in &report.outcomes {
                match outcome.outcome {
                    Outcome::Done => *counters.changes.entry(outcome.action.word()).or_default() += 1,
                    Outcome::Held | Outcome::Waiting => {}
                    _ => *counters.errors.entry(outcome.reason).or_default() += 1,
                }
            }
            if let Some((own, waited)) = reaction {
                counters.own_latency.record(own);
                counters.transfer_wait.record(waited);
            }
        });
    }

    /// Tells of a pass.
    fn passed(&mut self, plan: Option<Plan>, applied: Option<(Report, Arc<Plan>)>, error: Option<EngineError>) {
        self.told = true;
        if let Some(passes) = &self.options.passes {
            let (zone, claims_seen) = (self.engine.zone().clone(), self.status.borrow().claims_seen);
            let _ = passes.try_send(Passed { zone, claims_seen, plan, applied, error });
        }
    }

    fn show(&mut self, plan: Plan, report: Option<&Report>) -> Arc<Plan> {
        let mut sets = plan.skipped.clone();
        sets.insert("ours", plan.owned);
        let settled = plan.changes.iter().all(|change| change.held) && plan.deferred == 0 && plan.refused.is_none();
        let failed = report.map(|report| {
            let bad = |outcome: Outcome| !matches!(outcome, Outcome::Done | Outcome::Held | Outcome::Waiting);
            report.outcomes.iter().filter(|one| bad(one.outcome)).cloned().collect::<Vec<_>>()
        });
        let plan = Arc::new(plan);
        let shown = Arc::clone(&plan);
        let (revision, past_brake) = (self.engine.revision(), self.engine.past_brake());
        let lingering = self.engine.lingering();
        self.tell(false, |status| {
            (status.revision, status.lingering, status.past_brake) = (revision, Arc::new(lingering), past_brake);
            status.sets = sets;
            status.settled = settled;
            status.plan = Some(plan);
            status.claims_planned = status.claims_seen;
            if let Some(failed) = failed {
                status.failed = failed;
            } else if settled {
                status.failed.clear();
            }
        });
        shown
    }

    fn tell(&self, news: bool, change: impl FnOnce(&mut ZoneStatus)) {
        self.status.send_if_modified(|status| {
            change(Arc::make_mut(status));
            news
        });
    }
}
