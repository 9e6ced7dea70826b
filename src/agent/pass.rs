//! One look at the host, and what follows from it.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::numbers::{self, Problem};
use super::{Agent, notify};
use crate::host::{ANYBODY, Confirm, Host, HostError, Step, Store, Survey, Under, Which};
use crate::hostplan::{Refusal, paths, preflight};
use crate::resolved::statistics::{server_states, statistics};
use crate::resolved::watch::Hint;
use crate::resolved::{Bus, resolve1};

/// A look that changed something is followed by another one, to see that it is so; not without end.
const ROUNDS: usize = 4;

/// Waits after failures in a row: 1 s, 2 s, 4 s … to a minute.
const LONGEST: Duration = Duration::from_secs(60);

/// Waits before a policy that would not stand is tried again: 30 s, 1 min … to ten minutes.
const AGAIN: Duration = Duration::from_secs(30);

/// How old the metrics file may grow when nothing happens.
const METRICS_EVERY: Duration = Duration::from_secs(15);

/// While resolved starts or another process works here.
const SOON: Duration = Duration::from_secs(1);

/// A resolver that runs and is not on the bus after this time has lost it.
const STARTING: Duration = Duration::from_secs(10);

/// A policy that would not stand.
#[derive(Debug)]
pub(super) struct Failed {
    text: String,
    tries: u32,
    until: Instant,
    problem: Problem,
}

/// What a round came to.
enum Round {
    /// Nothing more to do now; look again then, at the latest.
    Rest(Option<Instant>),
    /// The host could not be read: look again then.
    Unread(Instant),
    /// Something was changed: look again at once.
    Again,
}

impl Agent {
    /// Looks, and does what is to be done. Gives when to look again, where that is sooner than usual.
    pub(super) async fn look(&mut self, is_poll: bool) -> Option<Instant> {
        let started = Instant::now();
        let mut problems = Vec::new();
        let mut next = None;
        let mut changed = false;
        for round in 0..ROUNDS {
            problems.clear();
            match self.round(&mut problems).await {
                Ok(Round::Again) => {
                    changed = true;
                    // Somebody undoes it as fast as we do it: the guard's books will tell.
                    next = (round + 1 == ROUNDS).then(|| Instant::now() + SOON);
                }
                Ok(Round::Rest(until)) => {
                    self.stumbles = 0;
                    next = until;
                    break;
                }
                Ok(Round::Unread(until)) => {
                    next = Some(until);
                    break;
                }
                Err(error) => {
                    next = Some(Instant::now() + self.stumbled());
                    problems.push(Problem::host(error.reason(), error));
                    break;
                }
            }
        }
        self.settled(problems, started);
        if is_poll || changed {
            self.probe().await;
        }
        self.write_metrics();
        let war = self.guard.next();
        [next, war].into_iter().flatten().min()
    }

    fn stumbled(&mut self) -> Duration {
        let wait = SOON.saturating_mul(1 << self.stumbles.min(6)).min(LONGEST);
        self.stumbles += 1;
        wait
    }

    async fn round(&mut self, problems: &mut Vec<Problem>) -> Result<Round, HostError> {
        let bus = match self.connect().await {
            Ok(bus) => bus,
            Err(error) => {
                // Without it nothing but files can be seen, and a plan made of that would take things away.
                self.board.with().bus = false;
                let wait = self.stumbled();
                problems.push(Problem::host(error.reason.word(), error));
                self.watch(&[]);
                return Ok(Round::Rest(Some(Instant::now() + wait)));
            }
        };
        self.board.with().bus = true;
        let accepted = Store::look(&self.options.host.state).accepted()?;
        let Some(survey) = self.survey(&bus, accepted.as_deref(), problems).await? else {
            return Ok(Round::Rest(None));
        };
        self.watch(&survey.targets.paths);
        *self.shared_bus.lock().unwrap_or_else(PoisonError::into_inner) =
            survey.facts.systemd.map(|release| (bus.clone(), release));
        self.show(&bus, &survey).await;
        self.say_of(&survey, problems);
        if is_starting(&survey) {
            let since = *self.nameless.get_or_insert_with(Instant::now);
            problems.push(Problem::host("ResolverStarting", "systemd-resolved does not answer on the bus yet"));
            if since.elapsed() < STARTING {
                return Ok(Round::Rest(Some(Instant::now() + SOON)));
            }
        } else {
            self.nameless = None;
        }
        match survey.text == accepted {
            true => self.hold(bus, survey, problems).await,
            false => self.change(bus, survey, problems).await,
        }
    }

    /// The host under the policies of the files, or under those that stand where the files are not to be followed.
    async fn survey(
        &mut self,
        bus: &Bus,
        accepted: Option<&str>,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Survey>, HostError> {
        let options = self.options.host.clone();
        let found = Survey::over(&options, Which::Files(&self.options.inputs), Ok(bus.clone())).await;
        self.show_declared(found.as_ref().ok());
        let why = match found {
            Ok(survey) => {
                if survey.text.as_deref() == accepted {
                    problems.extend(survey.under.as_ref().map(refused).unwrap_or_default());
                    return Ok(Some(survey));
                }
                let mut why = survey.under.as_ref().map(refused).unwrap_or_default();
                why.extend(survey.plan.refusals.iter().map(problem_of));
                if let Some(failed) = &self.failed
                    && survey.text.as_deref() == Some(&failed.text)
                    && failed.until > Instant::now()
                {
                    why.push(failed.problem.clone());
                }
                if why.is_empty() {
                    return Ok(Some(survey));
                }
                why
            }
            Err(error @ (HostError::Policies(_) | HostError::OtherHosts { .. } | HostError::NoPolicy)) => {
                vec![Problem { reason: error.reason(), at: "policies".into(), message: error.to_string() }]
            }
            Err(error) => return Err(error),
        };
        problems.extend(why);
        if accepted.is_none() {
            return Ok(None);
        }
        Survey::over(&options, Which::Accepted, Ok(bus.clone())).await.map(Some)
    }

    /// The policies stand: what differs is put back.
    async fn hold(&mut self, bus: Bus, mut survey: Survey, problems: &mut Vec<Problem>) -> Result<Round, HostError> {
        let links = survey.plan.links.iter().filter(|link| !link.differs.is_empty());
        let differing = survey.plan.files.iter().map(|step| step.path.clone());
        let profiles =
            survey.plan.profiles.iter().filter(|step| step.is_change()).map(|step| format!("link {}", step.link));
        let differing = differing.chain(links.map(|link| format!("link {}", link.wish.name))).chain(profiles).collect();
        self.board.with().differs(differing);
        let edited = survey.plan.leave_edited();
        problems.extend(edited.iter().map(problem_of));
        if !survey.plan.refusals.is_empty() {
            problems.extend(survey.plan.refusals.iter().map(problem_of));
            // What could not be read now may be soon: no hint tells.
            let is_unread = survey.plan.refusals.iter().any(|refusal| refusal.reason == preflight::NOT_READ);
            let until = is_unread.then(|| Instant::now() + self.stumbled());
            return Ok(until.map_or(Round::Rest(None), Round::Unread));
        }
        let mut wait: Option<Instant> = None;
        let mut may = |what: &str| match self.guard.may(what) {
            Ok(()) => true,
            Err(until) => {
                wait = Some(wait.map_or(until, |wait| wait.min(until)));
                false
            }
        };
        survey.plan.files.retain(|step| may(&step.path));
        survey.plan.profiles.retain(|step| !step.is_change() || may(&format!("link {}", step.link)));
        for link in &mut survey.plan.links {
            if !link.differs.is_empty() && !may(&format!("link {}", link.wish.name)) {
                link.differs.clear();
            }
        }
        if survey.plan.is_settled() {
            self.guard.learn(&survey.facts, &survey.wish);
            return Ok(Round::Rest(wait));
        }
        let (host, recovered) = match Host::open_over(&self.options.host, Some(bus)).await {
            Ok(opened) => opened,
            Err(HostError::Busy { .. }) => return Ok(Round::Rest(Some(Instant::now() + SOON))),
            Err(error) => return Err(error),
        };
        if !recovered.is_empty() {
            tracing::warn!(
                changes = recovered.len(),
                "a change was left in the middle by an earlier run: it is undone"
            );
            return Ok(Round::Again);
        }
        let (guard, board) = (self.guard.clone(), self.board.clone());
        let mut tell = |step: Step| {
            let (kind, what) = match &step {
                Step::File(path, _) => ("file", path.clone()),
                Step::Link(name, _) => ("link", format!("link {name}")),
                Step::Service(done) => ("service", (*done).to_owned()),
                _ => return,
            };
            guard.repaired(&what);
            *board.with().repairs.entry(kind).or_default() += 1;
            tracing::warn!(kind, what, "brought back to what is declared");
        };
        let repaired = host.repair(&survey.wish, &survey.facts, &survey.plan, &mut tell).await?;
        match repaired.due {
            None => Ok(Round::Again),
            Some(due) => {
                problems.push(Problem::host(
                    "RestartWaits",
                    format!(
                        "resolved must be restarted, which was done so lately that it waits for {} s",
                        due.as_secs()
                    ),
                ));
                Ok(Round::Rest(Some(Instant::now() + due)))
            }
        }
    }

    /// Other policies than those that stand: the whole transaction.
    async fn change(&mut self, bus: Bus, survey: Survey, problems: &mut Vec<Problem>) -> Result<Round, HostError> {
        let Some(text) = survey.text.clone() else { return Ok(Round::Rest(None)) };
        let (host, _) = match Host::open_over(&self.options.host, Some(bus)).await {
            Ok(opened) => opened,
            Err(HostError::Busy { .. }) => return Ok(Round::Rest(Some(Instant::now() + SOON))),
            Err(error) => return Err(error),
        };
        if survey.plan.wakes {
            let done = host.wake(survey.wish.systemd).await?;
            tracing::warn!(done, "what the links have could not be read");
            return Ok(Round::Again);
        }
        if survey.plan.is_settled() {
            host.accept(&text, &survey.wish, &survey.facts)?;
            tracing::info!("the host is as the policies declare");
            return Ok(Round::Again);
        }
        tracing::info!("the policies are other ones than those that stand: the host is changed");
        notify::notify("STATUS=the host is changed");
        // What is changed on purpose is not to be put back meanwhile.
        self.guard.forget();
        let mut tell = |step: Step| tracing::info!(?step, "change");
        let ends = (Confirm::No, self.options.dead_man);
        let applied = host.apply(&survey.wish, &survey.facts, &survey.plan, Some(&text), ends, &mut tell).await?;
        let Some(error) = applied.failed else {
            self.failed = None;
            *self.board.with().changes.entry("committed").or_default() += 1;
            // The one that is implied is no lookup of the policies.
            self.board.with().probes = applied.probes.into_iter().filter(|probe| probe.name != ANYBODY).collect();
            tracing::info!(transaction = applied.id, "the change stands");
            return Ok(Round::Again);
        };
        *self.board.with().changes.entry(error.reason()).or_default() += 1;
        let undone = applied.undone.as_ref().map(|undone| if undone.kept.is_empty() { "restored" } else { "partly" });
        if let Some(outcome) = undone {
            *self.board.with().rollbacks.entry(outcome).or_default() += 1;
        }
        let kept = applied.undone.iter().flat_map(|undone| &undone.kept).map(|(at, why)| format!("; {at}: {why}"));
        let message = format!("{error}; the change was undone{}", kept.collect::<String>());
        let tries = self.failed.take().filter(|failed| failed.text == text).map_or(0, |failed| failed.tries);
        let until = Instant::now() + AGAIN.saturating_mul(1 << tries.min(4)).min(AGAIN * 20);
        let problem = Problem { reason: error.reason(), at: "policies".into(), message };
        problems.push(problem.clone());
        self.failed = Some(Failed { text, tries: tries + 1, until, problem });
        Ok(Round::Again)
    }

    /// What the look saw, for whoever reads the numbers.
    async fn show(&mut self, bus: &Bus, survey: &Survey) {
        let statistics = statistics(bus).await.unwrap_or_default();
        let states = server_states(&self.options.host.root).await;
        let store = Store::look(&self.options.host.state);
        let applied = store.generation();
        let mut board = self.board.with();
        board.resolver.see(&survey.facts);
        (board.resolver.statistics, board.resolver.states) = (statistics, states);
        // What cannot be read is told where it is needed; the last count stands.
        if let Ok(restarts) = store.restarts() {
            board.restarts = restarts;
        }
        if let Some(under) = &survey.under {
            board.specs.clone_from(&under.specs);
        }
        board.generation.0 = applied;
    }

    /// What the files declare, whether it is to be followed or not.
    fn show_declared(&self, survey: Option<&Survey>) {
        let mut board = self.board.with();
        let text = survey.and_then(|survey| survey.text.as_deref());
        board.generation.1 = text.map(|text| Store::look(&self.options.host.state).generation().of(text));
        if let Some(under) = survey.and_then(|survey| survey.under.as_ref()) {
            board.lint.clear();
            for (finding, _) in &under.findings {
                let severity = if finding.allowed { "allowed" } else { finding.rule.severity.word() };
                *board.lint.entry((finding.policy.to_string(), finding.rule.id, severity)).or_default() += 1;
            }
        }
    }

    /// What is true of the host whatever is done.
    fn say_of(&self, survey: &Survey, problems: &mut Vec<Problem>) {
        for waiting in &survey.wish.waiting {
            problems.push(Problem {
                reason: "Waiting",
                at: format!("{} {}", waiting.policy, waiting.field),
                message: format!("no interface fits {}", waiting.value),
            });
        }
        for (link, message) in &survey.plan.beside {
            problems.push(Problem { reason: "Beside", at: format!("link {link}"), message: message.clone() });
        }
        for lack in &survey.plan.lacks {
            problems.push(Problem {
                reason: if lack.is_trouble { "NoServers" } else { "Waiting" },
                at: format!("link {}", lack.link),
                message: lack.message.clone(),
            });
        }
        for wish in &survey.wish.links {
            if survey.facts.link(&wish.name).is_some_and(|link| link.state.carrier == Some(false)) {
                problems.push(Problem {
                    reason: "NoCarrier",
                    at: format!("link {}", wish.name),
                    message: "the interface has no carrier: names that are asked through it are not found".into(),
                });
            }
        }
    }

    /// Watches what this hangs on.
    fn watch(&mut self, paths: &[String]) {
        let mut all = paths.to_vec();
        all.push(paths::RESOLV_CONF.to_owned());
        all.extend(paths::RESOLVED_FILES.map(str::to_owned));
        let policies: Vec<PathBuf> = self.options.inputs.iter().map(PathBuf::from).collect();
        self.files.set(&all, &policies);
    }

    /// Looks the policies' names up, beside everything else: a dead server takes its time.
    async fn probe(&mut self) {
        if self.probing.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let Some(bus) = self.bus.clone() else { return };
        let (options, board, hints) = (self.options.host.clone(), self.board.clone(), self.hints.clone());
        self.probing = Some(tokio::spawn(async move {
            let Ok(survey) = Survey::over(&options, Which::Accepted, Ok(bus.clone())).await else { return };
            let end = Instant::now() + STARTING;
            let probes = loop {
                let before = bus.owner(resolve1::NAME).await.ok().flatten();
                let probes = crate::host::probe(&bus, &survey.wish).await;
                // What fails while resolved is restarted says nothing of the servers.
                let is_same = before.is_some() && before == bus.owner(resolve1::NAME).await.ok().flatten();
                if is_same || Instant::now() >= end || probes.iter().all(|probe| probe.wrong.is_none()) {
                    break probes;
                }
                tokio::time::sleep(SOON / 4).await;
            };
            let by_paths = match &survey.under {
                Some(under) => crate::host::probe_by_paths(&bus, &survey.wish, &under.facts).await,
                None => Vec::new(),
            };
            let wrong = |probes: &[crate::host::Probed]| -> Vec<(String, bool)> {
                probes.iter().map(|probe| (probe.name.clone(), probe.wrong.is_some())).collect()
            };
            let is_news = wrong(&board.with().probes) != wrong(&probes);
            board.with().probes = probes;
            board.with().by_paths = by_paths;
            if is_news {
                // Whoever is full of hints looks anyway.
                let _ = hints.try_send(Hint::Probes);
            }
        }));
    }

    /// Writes down what the look came to, and says what is new.
    fn settled(&mut self, mut problems: Vec<Problem>, started: Instant) {
        let contested = self.guard.contested();
        problems.extend(contested.iter().map(|(at, times)| Problem {
            reason: "Contested",
            at: at.clone(),
            message: format!("somebody keeps changing it: put back {times} times in ten minutes"),
        }));
        let mut board = self.board.with();
        problems.extend(board.probes.iter().filter_map(|probe| {
            let message = probe.wrong.clone()?;
            Some(Problem { reason: "ProbeFailed", at: format!("probe {}", probe.name), message })
        }));
        problems.sort();
        problems.dedup();
        for new in
            problems.iter().filter(|new| !board.problems.iter().any(|old| old.reason == new.reason && old.at == new.at))
        {
            tracing::warn!(reason = new.reason, at = new.at, "{}", new.message);
        }
        for gone in
            board.problems.iter().filter(|old| !problems.iter().any(|new| old.reason == new.reason && old.at == new.at))
        {
            tracing::info!(reason = gone.reason, at = gone.at, "no longer so");
        }
        let status = match problems.iter().find(|problem| !problem.is_note()) {
            None => "STATUS=the host is as declared".to_owned(),
            Some(problem) => {
                format!("STATUS={} {}: {}", problem.reason, problem.at, problem.message.lines().next().unwrap_or(""))
            }
        };
        if board.passes == 0 || board.problems != problems {
            notify::notify(&status);
        }
        board.problems = problems;
        board.contested = contested;
        board.passes += 1;
        board.pass_took = started.elapsed();
        board.last_pass = Some(numbers::now());
        if board.is_good() {
            board.last_good = board.last_pass;
        }
    }

    fn write_metrics(&mut self) {
        let Some(path) = &self.options.metrics_file else { return };
        let text = self.board.with().text();
        let events = format!("{:?}", self.board.with().problems);
        if self.written.as_ref().is_some_and(|(at, known)| *known == events && at.elapsed() < METRICS_EVERY) {
            return;
        }
        match crate::metrics::write_file(path, &text) {
            Ok(()) => self.written = Some((Instant::now(), events)),
            Err(error) => tracing::warn!(path = %path.display(), %error, "the metrics file cannot be written"),
        }
    }
}

/// resolved is between two lives, and systemd is about to start it: nothing is to be read of it, and nothing to be done.
fn is_starting(survey: &Survey) -> bool {
    let services = &survey.facts.services;
    let active = services.resolved.as_ref().and_then(|unit| unit.active.as_deref());
    services.resolver_owner.as_deref() == Some("")
        && matches!(active, Some("activating" | "deactivating" | "reloading" | "active"))
}

fn problem_of(refusal: &Refusal) -> Problem {
    let known = if refusal.reason == preflight::EDITED { preflight::EDITED } else { refusal.reason };
    Problem { reason: known, at: refusal.at.clone(), message: format!("{}; {}", refusal.message, refusal.way_out) }
}

/// What keeps policies from being followed.
fn refused(under: &Under) -> Vec<Problem> {
    let contradictions = under.refused.iter().map(|(one, place)| Problem {
        reason: "Contradiction",
        at: format!("policy {}", one.policy),
        message: format!("{place}: {}: {}", one.field, one.message),
    });
    let findings = under.findings.iter().filter(|(finding, _)| finding.is_refusal()).map(|(finding, place)| Problem {
        reason: "LintRefused",
        at: format!("policy {}", finding.policy),
        message: format!("{place}: {}: {}", finding.rule.id, finding.message),
    });
    contradictions.chain(findings).collect()
}
