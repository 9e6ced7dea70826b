//! One transaction: files, services, links, read-back, probes, and the way back from each of them.

use std::path::PathBuf;
use std::time::Duration;

use super::deadman;
use super::error::HostError;
use super::journal::{FileEntry, LinkEntry, ProfileEntry, State, Transaction, new_id, now};
use super::probes::{self, Probed};
use super::run::Run;
use super::store::Store;
use super::undo::{AWAY, Undone, undo};
use super::{links, services};
use crate::hostplan::{Effect, HostPlan, Record, Recorded, Seen, SeenFile, Targets, Want, is_read, paths};
use crate::resolved::Bus;
use crate::resolved::files::HostFiles;
use crate::split::facts::{DefaultRoute, Link};
use crate::split::wish::{LinkWish, Wish};
use crate::split::{HostFacts, SystemdVersion};

/// How long the dead man waits beyond what a transaction may take by itself: probes, restarts with their rest.
pub const DEAD_MAN: Duration = Duration::from_secs(180);

/// Between two looks for a confirmation, or for a bus that comes back.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// How long an undo waits for a bus that was there before: systemd starts it anew at once.
const BUS_BACK: Duration = Duration::from_secs(10);

/// Where a host is, and where we keep what we know of it.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Its file system; `/`, or where a container sees it.
    pub root: PathBuf,
    /// Its bus, where that is not the usual one.
    pub bus: Option<String>,
    /// Our memory of it.
    pub state: PathBuf,
    /// What the root is called by the program that the dead man's timer starts on the host.
    pub dead_man_root: String,
}

/// A host under our hands.
pub struct Host {
    /// Its files.
    pub files: HostFiles,
    /// Its bus, where one answers.
    pub bus: Option<Bus>,
    /// Our memory of it, locked.
    pub store: Store,
    pub(super) dead_man_root: String,
    bus_address: Option<String>,
}

/// Whether a person has to say that all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// Nobody is asked.
    No,
    /// Within this time, else all is undone.
    Within(Duration),
}

/// What is going on, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It begins: the id, and who undoes it if we die.
    Began {
        /// Of the transaction.
        id: String,
        /// `Timer` or `NextStart`.
        dead_man: String,
        /// Why there is no timer.
        why: Option<String>,
    },
    /// A file: its path, and what was done with it (`wrote`, `linked`, `removed`, `gave back`).
    File(String, &'static str),
    /// A service was told.
    Service(&'static str),
    /// A link was set and read back; whether it got back what it had.
    Link(String, bool),
    /// A name was looked up.
    Probed(Probed),
    /// Whether anybody answers for the rest of the names does not count afterwards, and why.
    Uncounted(String),
    /// A person is awaited.
    Awaiting(Duration),
    /// Something went wrong and all is undone.
    Undoing(String),
}

/// How a transaction ended.
#[derive(Debug)]
pub struct Applied {
    /// Of the transaction.
    pub id: String,
    /// Why it does not stand; `None` when it does.
    pub failed: Option<HostError>,
    /// What became of the undo, where there was one.
    pub undone: Option<Undone>,
    /// What the probes came to.
    pub probes: Vec<Probed>,
}

/// Whom to tell what is going on.
pub type Tell<'a> = &'a mut (dyn FnMut(Step) + Send);

impl Host {
    /// Locks the host for us; undoes whatever an earlier run left in the middle.
    ///
    /// # Errors
    /// [`HostError::Busy`], [`HostError::Store`], [`HostError::Torn`].
    pub async fn open(options: &HostOptions) -> Result<(Host, Vec<(Transaction, Undone)>), HostError> {
        let bus = Bus::connect(options.bus.as_deref()).await.ok();
        Host::open_over(options, bus).await
    }

    /// The same over a connection that is there already.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub async fn open_over(
        options: &HostOptions,
        bus: Option<Bus>,
    ) -> Result<(Host, Vec<(Transaction, Undone)>), HostError> {
        let store = Store::open(&options.state)?;
        let files = HostFiles::new(&options.root);
        let (dead_man_root, bus_address) = (options.dead_man_root.clone(), options.bus.clone());
        let host = Host { files, bus, store, dead_man_root, bus_address };
        let mut recovered = Vec::new();
        for mut left in host.store.transactions()?.into_iter().rev().filter(|one| !one.state.is_over()) {
            left.reason = Some("Interrupted".into());
            left.message = Some("the run ended in the middle".into());
            let undone = host.take_back(&mut left).await;
            // On top of what nobody knows nothing can be built, and nothing undone later.
            if let Some((_, why)) = undone.kept.iter().find(|(at, _)| at == AWAY && !left.state.is_over()) {
                return Err(HostError::Unfinished { id: left.id, why: why.clone() });
            }
            recovered.push((left, undone));
        }
        Ok((host, recovered))
    }

    /// What lies at the paths that a plan looks at.
    pub fn see(&self, targets: &Targets) -> Seen {
        self.files.see_all(targets)
    }

    /// Brings a resolved that was stopped, or lost the bus, back to where it tells what its links have: only then can a change
    /// be planned ([`HostPlan::wakes`]). It reads files that were proven once. Gives what was done, in words.
    ///
    /// # Errors
    /// [`HostError::NoBus`], [`HostError::Service`] where it does not come up.
    pub async fn wake(&self, version: SystemdVersion) -> Result<&'static str, HostError> {
        let Some(bus) = &self.bus else { return Err(HostError::NoBus) };
        services::tell(bus, (&self.store, &self.files), Effect::RestartResolved, version).await
    }

    async fn take_back(&self, tx: &mut Transaction) -> Undone {
        let bus = self.live_bus().await;
        let undone = undo(&self.files, bus.as_ref(), &self.store, tx).await;
        match &bus {
            Some(bus) if tx.state.is_over() => deadman::disarm(bus, &tx.id).await,
            _ => {}
        }
        undone
    }

    /// The bus, also where it was restarted meanwhile: the connection to the old one is dead for ever.
    async fn live_bus(&self) -> Option<Bus> {
        let bus = self.bus.as_ref()?;
        let end = tokio::time::Instant::now() + BUS_BACK;
        let mut bus = bus.clone();
        while bus.call_daemon().await.is_err() && tokio::time::Instant::now() < end {
            tokio::time::sleep(LOOK).await;
            bus = Bus::connect(self.bus_address.as_deref()).await.unwrap_or(bus);
        }
        Some(bus)
    }

    /// Remembers files as they are now, for the next change that stands.
    ///
    /// # Errors
    /// Those of the store.
    pub fn snapshot(&self, paths: &[&str]) -> Result<Vec<(String, SeenFile)>, HostError> {
        let mut record = self.store.record()?;
        let seen: Vec<(String, SeenFile)> =
            paths.iter().map(|path| ((*path).to_owned(), self.files.see(path))).collect();
        record.snapshot = seen.iter().cloned().collect();
        self.store.set_record(&record)?;
        Ok(seen)
    }

    /// Remembers the policies where nothing was to be done for them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn accept(&self, text: &str, wish: &Wish, facts: &HostFacts) -> Result<(), HostError> {
        let (known, is_new) = (self.store.record()?, self.store.accepted()?.as_deref() != Some(text));
        let mut record = known.clone();
        if is_new {
            record.learn_uplinks(facts);
        }
        record.pin(wish, |path| self.files.see(path));
        if record != known {
            self.store.set_record(&record)?;
        }
        if is_new {
            self.store.set_accepted(Some(text))?;
        }
        Ok(())
    }

    /// Undoes one transaction, whether it stands or not. What it took from a record of before is put back there, too.
    ///
    /// # Errors
    /// [`HostError::NoTransaction`] and those of the store.
    pub async fn undo(&self, id: &str) -> Result<(Transaction, Undone), HostError> {
        let mut tx = self.store.transaction(id)?;
        if matches!(tx.state, State::RolledBack) {
            return Ok((tx, Undone::default()));
        }
        if tx.state == State::Committed
            && self.store.transactions()?.iter().any(|one| one.state == State::Committed && one.id > tx.id)
        {
            return Err(HostError::NotLast(id.to_owned()));
        }
        let undone = self.take_back(&mut tx).await;
        Ok((tx, undone))
    }

    /// Carries a plan out, and has it undone after the second time should we die. `accepted` is the text of its policies, `None` where all is given back.
    ///
    /// # Errors
    /// Those of the store, before anything was changed; all else is in [`Applied::failed`].
    pub async fn apply(
        &self,
        wish: &Wish,
        facts: &HostFacts,
        plan: &HostPlan,
        accepted: Option<&str>,
        (confirm, dead_man): (Confirm, Duration),
        tell: Tell<'_>,
    ) -> Result<Applied, HostError> {
        // What is not known now could not be made so again: unknown would become none.
        let mut touched = plan.links.iter().filter(|step| step.over_bus && !step.differs.is_empty());
        let is_unread = |name: &str| facts.link(name).is_none_or(|link| !is_read(link));
        if plan.wakes || touched.any(|step| is_unread(&step.wish.name)) {
            return Err(HostError::NotRead);
        }
        if self.bus.is_none() && plan.needs_bus() {
            return Err(HostError::NoBus);
        }
        let mut record = self.store.record()?;
        let mut tx = self.written_down(wish, facts, plan);
        (tx.record, tx.accepted) = (record.clone(), self.store.accepted()?);
        self.store.keep(&tx)?;
        let mut why = self.bus.is_none().then(|| "no system bus answers".to_owned());
        if let Some(bus) = &self.bus {
            let within = dead_man + if let Confirm::Within(time) = confirm { time } else { Duration::ZERO };
            (tx.dead_man, why) = deadman::arm(bus, &self.store, &tx.id, within, &self.dead_man_root).await;
        }
        let armed = self.store.keep(&tx);
        tell(Step::Began { id: tx.id.clone(), dead_man: tx.dead_man.clone(), why });
        let implied = probes::implied(facts);
        let is_declared = accepted.is_some() && wish.decides_lookups();
        let mut run = Run { host: self, wish, plan, tx: &mut tx, implied, is_declared, probes: Vec::new(), tell };
        let changed = if armed.is_ok() { run.changed().await } else { armed };
        let ended = match changed {
            Ok(()) => run.confirmed(confirm).await,
            Err(error) => Err(error),
        };
        let probes = std::mem::take(&mut run.probes);
        let ended = match ended {
            Ok(()) => self.commit(wish, plan, facts, &mut record, &mut tx, accepted),
            Err(error) => Err(error),
        };
        let id = tx.id.clone();
        match ended {
            Ok(()) => {
                if let Some(bus) = &self.bus {
                    deadman::disarm(bus, &id).await;
                }
                Ok(Applied { id, failed: None, undone: None, probes })
            }
            Err(error) => {
                tell(Step::Undoing(error.to_string()));
                (tx.reason, tx.message) = (Some(error.reason().to_owned()), Some(error.to_string()));
                let undone = self.take_back(&mut tx).await;
                Ok(Applied { id, failed: Some(error), undone: Some(undone), probes })
            }
        }
    }

    /// Everything that is needed to undo it.
    fn written_down(&self, wish: &Wish, facts: &HostFacts, plan: &HostPlan) -> Transaction {
        let files = plan.files.iter().map(|step| FileEntry {
            path: step.path.clone(),
            before: step.from.clone(),
            left: step.to.clone(),
            effect: step.effect,
            made: if step.to == Want::Absent { Vec::new() } else { self.files.missing_dirs(&step.path) },
        });
        let links = plan.links.iter().filter(|step| step.over_bus && !step.differs.is_empty()).map(|step| {
            let before = facts.link(&step.wish.name).cloned().unwrap_or_else(|| links::bare(&step.wish));
            let left = left_of(&before, &step.wish);
            LinkEntry { before, left }
        });
        let profiles = plan.profiles.iter().filter(|step| step.is_change()).map(|step| ProfileEntry {
            uuid: step.uuid.clone(),
            id: step.id.clone(),
            link: step.link.clone(),
            before: step.from.clone(),
            left: step.to.clone(),
            was: facts.link(&step.link).cloned(),
        });
        Transaction {
            id: new_id(),
            state: State::Changing,
            systemd: wish.systemd,
            started: now(),
            ended: None,
            policies: wish.policies.iter().map(ToString::to_string).collect(),
            files: files.collect(),
            links: links.collect(),
            profiles: profiles.collect(),
            words: plan.words.clone(),
            needs: plan.needs.iter().map(|need| need.effect).collect(),
            dead_man: "NextStart".into(),
            confirm_by: None,
            record: Record::default(),
            accepted: None,
            reason: None,
            message: None,
        }
    }

    /// It stands: what was before us is remembered first, then that it stands.
    fn commit(
        &self,
        wish: &Wish,
        plan: &HostPlan,
        facts: &HostFacts,
        record: &mut Record,
        tx: &mut Transaction,
        accepted: Option<&str>,
    ) -> Result<(), HostError> {
        if accepted.is_some() && tx.accepted.is_none() {
            // Nothing of ours was in force: what an earlier rollback left to a person is what was before us now.
            for step in plan.files.iter().filter(|step| step.path == paths::RESOLV_CONF) {
                if let Some(known) = record.files.get_mut(&step.path).filter(|known| !known.left.is_there(&step.from)) {
                    known.before = step.from.clone();
                }
            }
        }
        record.settle(plan, wish, facts);
        match accepted {
            None => (record.words, record.uplinks) = (None, None),
            // The same policies anew, as at each boot, find what came since.
            Some(text) if tx.accepted.as_deref() != Some(text) => record.learn_uplinks(facts),
            Some(_) => {}
        }
        record.dirs.extend(tx.files.iter().flat_map(|entry| entry.made.iter().cloned()));
        record.dirs.sort_unstable();
        record.dirs.dedup();
        if accepted.is_some() {
            for (path, before) in std::mem::take(&mut record.snapshot) {
                let now = self.files.see(&path);
                let was = tx.files.iter().find(|entry| entry.path == path).map_or(&now, |entry| &entry.before);
                if !is_by_script(&path, was) {
                    tracing::info!(
                        path,
                        "it was changed by somebody since the snapshot, which does not count any more"
                    );
                    continue;
                }
                if let Some(known) = record.files.get_mut(&path) {
                    known.before = before;
                } else if let Some(left) =
                    Want::again(&now).filter(|_| now.content != before.content || now.target != before.target)
                {
                    record.files.insert(path, Recorded { before, left });
                }
            }
        }
        // What a person put back is nothing of ours any more.
        record.files.retain(|path, known| {
            known.is_pinned() && accepted.is_some()
                || !Want::again(&known.before).is_some_and(|before| before.is_there(&self.files.see(path)))
        });
        if record.ours().next().is_none() {
            for dir in record.dirs.drain(..).rev() {
                self.files.remove_empty_dir(&dir);
            }
        }
        if accepted.is_some() {
            record.pin(wish, |path| self.files.see(path));
        }
        self.store.set_record(record)?;
        self.store.set_accepted(accepted)?;
        self.store.set_owed(&[])?;
        (tx.state, tx.ended) = (State::Committed, Some(now()));
        self.store.keep(tx)?;
        let _ = std::fs::remove_file(self.store.confirmation(&tx.id));
        Ok(())
    }
}

/// Whether what lay there before a change may be the doing of a package's script: systemd-resolved's puts its link in the place
/// of resolv.conf, libnss-resolve's its word into nsswitch.conf. Anything else a person wrote, and no snapshot is worth more.
fn is_by_script(path: &str, was: &SeenFile) -> bool {
    match path {
        paths::RESOLV_CONF => was.target.as_deref().is_some_and(|target| target.contains("/systemd/resolve/")),
        paths::NSSWITCH => was.content.as_deref().map(String::from_utf8_lossy).is_some_and(|text| {
            text.lines()
                .filter_map(|line| line.strip_prefix("hosts:"))
                .any(|hosts| hosts.split_whitespace().any(|word| word == "resolve"))
        }),
        _ => false,
    }
}

/// A link as a wish leaves it.
fn left_of(before: &Link, wish: &LinkWish) -> Link {
    let mut left = before.clone();
    if let Some(servers) = &wish.servers {
        left.servers = Some(servers.clone());
    }
    left.domains = Some(wish.domains.clone());
    left.default_route = if wish.default_route { DefaultRoute::Yes } else { DefaultRoute::No };
    let mode = |left: &mut Option<String>, set: Option<&str>| {
        if let Some(set) = set {
            *left = Some(set.to_owned());
        }
    };
    mode(&mut left.modes.dnssec, wish.modes.dnssec.map(|mode| mode.word()));
    mode(&mut left.modes.dns_over_tls, wish.modes.dns_over_tls.map(|mode| mode.word()));
    mode(&mut left.modes.mdns, wish.modes.mdns.map(|mode| mode.word()));
    mode(&mut left.modes.llmnr, wish.modes.llmnr.map(|mode| mode.word()));
    left
}
