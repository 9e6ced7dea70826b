//! A transaction while it runs: files, services, links, probes, and the wait for a person, each in its place.

use super::error::HostError;
use super::journal::{State, Transaction, now};
use super::probes::{self, ANYBODY, Asked, Probed};
use super::transaction::{Confirm, Host, LOOK, Step, Tell};
use super::undo::same;
use super::{deadman, links, services};
use crate::hostplan::{HostPlan, Stage, Want};
use crate::resolved::Bus;
use crate::resolved::fault::step;
use crate::resolved::resolve1::Resolve1;
use crate::split::facts::FileKind;
use crate::split::policy::Probe;
use crate::split::wish::Wish;

/// One transaction while it runs.
pub(super) struct Run<'a, 'b> {
    pub(super) host: &'a Host,
    pub(super) wish: &'a Wish,
    pub(super) plan: &'a HostPlan,
    pub(super) tx: &'a mut Transaction,
    /// What must go on passing though no policy says so.
    pub(super) implied: Vec<Probe>,
    /// Policies are brought into force: with a rollback the host is left to what was before, whatever that is.
    pub(super) is_declared: bool,
    pub(super) probes: Vec<Probed>,
    pub(super) tell: Tell<'b>,
}

impl Run<'_, '_> {
    pub(super) async fn changed(&mut self) -> Result<(), HostError> {
        let passed_before = self.passing().await;
        let back = self.set_back().await?;
        self.stage(Stage::Before).await?;
        self.set_links(&back).await?;
        self.stage(Stage::Last).await?;
        if let Some(bus) = &self.host.bus
            && !crate::hostplan::preflight::is_nothing(self.wish)
        {
            Resolve1(bus).flush_caches().await?;
            // A server that was taken for a poor one stays so until it is forgotten.
            Resolve1(bus).reset_server_features().await?;
            step("the cache is empty");
        }
        self.probe(&passed_before).await
    }

    async fn stage(&mut self, stage: Stage) -> Result<(), HostError> {
        for step in self.plan.files.iter().filter(|step| step.stage == stage) {
            // A person may have been at it while the probes ran: then it is theirs.
            let volatile = step.path.starts_with(crate::hostplan::paths::VOLATILE);
            if !volatile && !same(&self.host.files.see(&step.path), &step.from) {
                return Err(HostError::ChangedMeanwhile { path: step.path.clone() });
            }
            let before = self.tx.record.files.get(&step.path).map(|known| &known.before);
            let before = before.filter(|before| Want::again(before).as_ref() == Some(&step.to));
            match before {
                // Where a link of ours replaced a file, its owner and attributes are nowhere but in our memory.
                Some(before) if step.from.kind != FileKind::File => self.host.files.put_back(&step.path, before)?,
                _ => self.host.files.put(&step.path, &step.to)?,
            }
            let done = match before {
                Some(_) if step.to != Want::Absent => "gave back",
                _ => done_with(&step.to),
            };
            (self.tell)(Step::File(step.path.clone(), done));
        }
        for effect in self.plan.effects(stage) {
            let Some(bus) = &self.host.bus else {
                // Nobody has to be told, or there would be one.
                continue;
            };
            let done = services::tell(bus, (&self.host.store, &self.host.files), effect, self.wish.systemd).await?;
            if !done.is_empty() {
                (self.tell)(Step::Service(done));
            }
        }
        Ok(())
    }

    async fn set_back(&mut self) -> Result<Vec<String>, HostError> {
        let Some(bus) = &self.host.bus else { return Ok(Vec::new()) };
        links::set_back(bus, self.plan, self.tell).await
    }

    async fn set_links(&mut self, done: &[String]) -> Result<(), HostError> {
        let Some(bus) = &self.host.bus else { return Ok(()) };
        let set = links::set_all(bus, self.plan, done, self.tell).await;
        if matches!(set, Err(HostError::NotTaken { .. })) {
            self.came_out_otherwise(bus).await?;
        }
        set
    }

    /// A link that resolved made something else of than it was told is still as we left it: written down, or the undo took it
    /// for somebody else's and kept it. What holds anything that neither we nor the time before us had is not ours.
    async fn came_out_otherwise(&mut self, bus: &Bus) -> Result<(), HostError> {
        for step in self.plan.links.iter().filter(|step| step.over_bus) {
            let Some(entry) = self.tx.links.iter_mut().find(|entry| entry.before.ifindex == step.wish.ifindex) else {
                continue;
            };
            let is = links::read(bus, &step.wish).await?;
            if links::is_made_of(&is, [&entry.before, &entry.left]) {
                (entry.left.servers, entry.left.domains) = (is.servers, is.domains);
            }
        }
        self.host.store.keep(self.tx)
    }

    /// Probes that pass before anything is changed; all are asked at once, for some of them may have to be given up. Names
    /// that the policy sends to servers of their own are not asked: now they may go to anybody.
    async fn passing(&mut self) -> Vec<String> {
        let Some(bus) = &self.host.bus else { return Vec::new() };
        let declared =
            self.wish.probes.iter().map(|probe| &probe.value).filter(|probe| !self.wish.routes(&probe.query));
        let anybody =
            (self.is_declared && !self.wish.gives_up_rest).then(|| Asked::Anybody(probes::nobodys(self.wish)));
        let all = declared.chain(&self.implied).map(Asked::Name).chain(anybody);
        let probed = futures_util::future::join_all(all.map(|one| probes::once(bus, one, self.wish.systemd))).await;
        let silent = probed.iter().find(|one| one.name == ANYBODY).and_then(|one| one.wrong.clone());
        if let Some(wrong) = silent {
            (self.tell)(Step::Uncounted(format!("{wrong}; it was so before the change")));
        } else if self.is_declared && self.wish.gives_up_rest {
            (self.tell)(Step::Uncounted("the policy allows loses-default-route".to_owned()));
        }
        probed.into_iter().filter(|probed| probed.wrong.is_none()).map(|probed| probed.name).collect()
    }

    async fn probe(&mut self, passed_before: &[String]) -> Result<(), HostError> {
        for probe in &self.wish.probes {
            if let Some(wrong) = self.ask(Asked::Name(&probe.value)).await {
                let why = match passed_before.contains(&probe.value.name) {
                    true => format!("{wrong}; before the change it passed"),
                    false if self.wish.routes(&probe.value.query) => {
                        format!("{wrong}; before the change it was not asked, as it might have gone to anybody")
                    }
                    false => format!("{wrong}; before the change it did not pass either"),
                };
                return Err(HostError::Probe { name: probe.value.name.clone(), why });
            }
        }
        for probe in std::mem::take(&mut self.implied).iter().filter(|probe| passed_before.contains(&probe.name)) {
            if let Some(wrong) = self.ask(Asked::Name(probe)).await {
                let why = format!(
                    "{wrong}; before the change it was found, and the kubelet cannot do without it: its kubeconfig or its \
                     registries name it"
                );
                return Err(HostError::Probe { name: probe.name.clone(), why });
            }
        }
        if passed_before.iter().any(|name| name == ANYBODY)
            && let Some(wrong) = self.ask(Asked::Anybody(probes::nobodys(self.wish))).await
        {
            let why = format!(
                "{wrong}; before the change a server did, and now names that no domain of a policy covers are lost. Where that \
                 is meant: lint: {{allow: [loses-default-route]}}"
            );
            return Err(HostError::Probe { name: ANYBODY.to_owned(), why });
        }
        Ok(())
    }

    /// What is wrong with a probe after a while of patience, told to whoever watches.
    async fn ask(&mut self, asked: Asked<'_>) -> Option<String> {
        let bus = self.host.bus.as_ref()?;
        let probed = probes::until(bus, asked, self.wish.systemd).await;
        step(&format!("probe {} was asked", probed.name));
        self.probes.push(probed.clone());
        let wrong = probed.wrong.clone();
        (self.tell)(Step::Probed(probed));
        wrong
    }

    pub(super) async fn confirmed(&mut self, confirm: Confirm) -> Result<(), HostError> {
        let Confirm::Within(time) = confirm else { return Ok(()) };
        (self.tx.state, self.tx.confirm_by) = (State::Waiting, Some(now() + time.as_secs()));
        self.host.store.keep(self.tx)?;
        if let (Some(bus), "Timer") = (&self.host.bus, &*self.tx.dead_man) {
            deadman::at_confirmation(bus, &self.host.store, &self.tx.id, time, &self.host.dead_man_root).await;
        }
        (self.tell)(Step::Awaiting(time));
        let (file, end) = (self.host.store.confirmation(&self.tx.id), tokio::time::Instant::now() + time);
        let mut told_to_end = std::pin::pin!(told_to_end());
        while tokio::time::Instant::now() < end {
            if file.exists() {
                return Ok(());
            }
            tokio::select! {
                () = &mut told_to_end => break,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        Err(HostError::Unconfirmed(time.as_secs()))
    }
}

/// Ends when the process is told to (SIGTERM, SIGINT): the change is undone first. While somebody waits for it, the session may
/// be lost by the very change (SIGHUP), and that ends nothing.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let _hangup = signal(SignalKind::hangup());
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// What is done with a file that becomes this, in words.
pub(super) fn done_with(to: &Want) -> &'static str {
    match to {
        Want::Absent => "removed",
        Want::File { .. } => "wrote",
        Want::Symlink { .. } => "linked",
    }
}
