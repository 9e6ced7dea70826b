//! One term of leadership: what comes in, and in which order it is dealt with.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::index::{Change, Index};
use super::jobs::{Done, Outbox};
use super::numbers::Board;
use super::report::{Report, lost_addresses, stuck};
use super::seats::{Beginning, Seats};
use super::zones::{Order, ZoneObject, object_name};
use crate::cluster::{Calls, Followed, Lead, Leading, Resource, Seen, follow};
use crate::model::{FastMap, FastSet, Name, ObjectId};
use crate::source::{Config, ZoneSettings};
use crate::spec::{Rights, ZoneMode};
use crate::zone::PastBrake;

/// What a term depends on.
pub struct Setting {
    /// The configuration.
    pub config: Config,
    /// The cluster's identity: who holds the owner id.
    pub instance: String,
    /// For watching.
    pub client: kube::Client,
    /// For writing.
    pub calls: Calls,
    /// Whether lists come as streams where the server knows them.
    pub streaming: bool,
    /// Whether `DNSEndpoint` objects are read too.
    pub endpoints: bool,
    /// When what was programmed counts as stale.
    pub stale_after: Duration,
    /// When a deletion that cannot be done is given up.
    pub let_go_after: Duration,
    /// Whether we may write.
    pub lead: Lead,
    /// The numbers.
    pub board: Arc<Board>,
}

/// Why a term ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process is to stop.
    Stopped,
    /// Somebody else leads, or we could not renew.
    Deposed,
    /// The configuration is another one.
    Reload,
    /// The API server's data were restored from a backup: everything is read anew.
    Rewound,
}

/// One term.
pub struct Term {
    pub(super) setting: Setting,
    pub(super) index: Index,
    pub(super) seats: Seats,
    pub(super) reports: BTreeMap<Name, Report>,
    /// The zones' objects, by zone; those of zones that are not configured are not kept.
    pub(super) objects: BTreeMap<Name, ZoneObject>,
    /// Which zone an object of this name is of.
    pub(super) zone_of: BTreeMap<String, Name>,
    /// The mode that a person gave a zone, and whether its worker only looks on.
    pub(super) modes: BTreeMap<Name, Option<ZoneMode>>,
    pub(super) observing: BTreeMap<Name, bool>,
    /// There is a CRD for zones' objects.
    pub(super) zones_known: bool,
    pub(super) outbox: Outbox,
    pub(super) jobs: JoinSet<Done>,
    pub(super) notices_running: usize,
    /// Objects that are to be judged anew.
    pub(super) look: FastSet<ObjectId>,
    /// Objects that are to be judged again at a time.
    pub(super) timers: BinaryHeap<Reverse<(Instant, ObjectId)>>,
    /// Objects whose claims are not all read back yet.
    pub(super) undecided: FastSet<ObjectId>,
    /// What was decided about each object last.
    pub(super) words: FastMap<ObjectId, &'static str>,
    /// Objects that are being deleted and hold our finalizer.
    pub(super) leaving: FastSet<ObjectId>,
    /// Of those, the ones that lose it without their records being touched: their CRD goes.
    pub(super) untouched: FastSet<ObjectId>,
    /// A look at the CRD is under way, or is to wait.
    pub(super) looking: bool,
    pub(super) look_after: Instant,
    pub(super) zone_written: FastMap<Name, Instant>,
    pub(super) zone_busy: FastSet<Name>,
    /// Orphans that a person released, by zone: the state of the source in which they were.
    pub(super) releasing: FastMap<Name, u64>,
    /// What a person ordered at a zone's object and what is being taken off it.
    pub(super) orders: FastMap<Name, Vec<Order>>,
    /// Zones of which something is to be looked at, now or once their pace allows.
    pub(super) zones_due: FastSet<Name>,
    pub(super) zones_late: FastSet<Name>,
    /// Kinds that declare records and whose objects are not known: their CRD is gone, or not read again since. What is an
    /// orphan nobody can tell meanwhile.
    pub(super) unread: BTreeSet<&'static str>,
    zones_rx: mpsc::Receiver<Name>,
    followed: mpsc::Receiver<Followed>,
    listed: Listed,
    rewound: bool,
    complained: FastMap<Resource, &'static str>,
    // Watches end with the term.
    _watches: Vec<AbortOnDropHandle<()>>,
}

/// Which lists are complete.
#[derive(Debug, Default)]
struct Listed {
    records: bool,
    zones: bool,
    endpoints: bool,
}

/// Events and zones that may wait.
const WAITING: usize = 1024;
/// How often times are looked at.
const TICK: Duration = Duration::from_millis(100);

impl Term {
    /// A term that begins now.
    pub fn new(setting: Setting) -> Term {
        let config = &setting.config;
        // Without a `claims` section a cluster's namespaces may declare ordinary names only.
        let rights = match &config.rights {
            Rights::Trusted => Rights::Ordinary,
            rights => rights.clone(),
        };
        let apexes: Vec<Name> = config.zones().map(|zone| zone.rules.zone.clone()).collect();
        let (sender, followed) = mpsc::channel(WAITING);
        let (told, zones_rx) = mpsc::channel(64);
        let mut kinds = vec![Resource::Record, Resource::Zone];
        if setting.endpoints {
            kinds.push(Resource::Endpoint);
        }
        let watch = |resource| {
            let task = follow(setting.client.clone(), resource, setting.streaming, sender.clone());
            AbortOnDropHandle::new(tokio::spawn(task))
        };
        let watches = kinds.into_iter().map(watch).collect();
        let lead = setting.lead.clone();
        Term {
            index: Index::new(config.zone_table(), rights, apexes.iter().cloned()),
            seats: Seats::new(setting.instance.clone(), Arc::new(move || lead.holds()), told),
            reports: BTreeMap::new(),
            objects: BTreeMap::new(),
            zone_of: apexes.iter().map(|zone| (object_name(zone), zone.clone())).collect(),
            modes: BTreeMap::new(),
            observing: BTreeMap::new(),
            zones_known: true,
            outbox: Outbox::default(),
            jobs: JoinSet::new(),
            notices_running: 0,
            look: FastSet::default(),
            timers: BinaryHeap::new(),
            undecided: FastSet::default(),
            words: FastMap::default(),
            leaving: FastSet::default(),
            untouched: FastSet::default(),
            looking: false,
            look_after: Instant::now(),
            zone_written: FastMap::default(),
            zone_busy: FastSet::default(),
            releasing: FastMap::default(),
            orders: FastMap::default(),
            zones_due: FastSet::default(),
            zones_late: FastSet::default(),
            unread: BTreeSet::new(),
            zones_rx,
            followed,
            listed: Listed { endpoints: !setting.endpoints, ..Listed::default() },
            rewound: false,
            complained: FastMap::default(),
            _watches: watches,
            setting,
        }
    }

    /// Runs until it has to end. `past`: what the brakes of earlier terms of this process remember, by zone.
    pub async fn run(
        &mut self,
        past: &mut BTreeMap<Name, PastBrake>,
        term: u64,
        leading: &mut watch::Receiver<Leading>,
        stop: &CancellationToken,
        reload: &mut watch::Receiver<u64>,
    ) -> End {
        let mut started = false;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let end = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break End::Stopped,
                changed = leading.changed() => {
                    let ours = changed.is_ok() && *leading.borrow_and_update() == Leading::Yes(term);
                    if !ours { break End::Deposed; }
                }
                changed = reload.changed() => {
                    if changed.is_ok() { break End::Reload; }
                    break End::Stopped;
                }
                Some(done) = self.jobs.join_next() => self.finish(done),
                Some(zone) = self.zones_rx.recv() => self.hear(zone),
                Some(news) = self.followed.recv() => self.take(news),
                _ = tick.tick() => self.zones_due.extend(std::mem::take(&mut self.zones_late)),
            }
            // What else is there already is dealt with in the same go.
            for _ in 0..WAITING {
                if let Some(done) = self.jobs.try_join_next() {
                    self.finish(done);
                } else if let Ok(zone) = self.zones_rx.try_recv() {
                    self.hear(zone);
                } else if let Ok(news) = self.followed.try_recv() {
                    self.take(news);
                } else {
                    break;
                }
            }
            if self.rewound {
                break End::Rewound;
            }
            if !started && self.listed.records && self.listed.zones && self.listed.endpoints {
                if let Err(error) = self.start(past) {
                    tracing::error!("{error}");
                    break End::Stopped;
                }
                started = true;
            }
            if started {
                self.step().await;
            }
            self.show(started);
        };
        match end {
            // Nothing may be written any more: whatever is under way is cut off.
            End::Deposed => {}
            End::Stopped | End::Reload | End::Rewound => self.seats.stop().await,
        }
        for (zone, seat) in self.seats.iter() {
            past.insert(zone.clone(), seat.status.borrow().past_brake.clone());
        }
        self.setting.board.set_zones(BTreeMap::new());
        self.setting.board.count(|counts| counts.objects.clear());
        end
    }

    /// All lists are complete: the workers may begin.
    fn start(&mut self, past: &BTreeMap<Name, PastBrake>) -> Result<(), crate::zone::EngineError> {
        self.index.take_edits();
        self.index.begin();
        let now = jiff::Timestamp::now();
        let mut beginnings = BTreeMap::new();
        for settings in self.setting.config.zones() {
            let zone = &settings.rules.zone;
            let told = self.objects.get(zone).map(|object| object.past_brake(now)).unwrap_or_default();
            let own = past.get(zone).cloned().unwrap_or_default();
            let held = told.held || own.held;
            // Whoever remembers more knows better; it only ever restricts.
            let past = PastBrake { held, ..if own.operations > told.operations { own } else { told } };
            let beginning = Beginning { observe: self.observes(settings), claims: self.index.everything(zone), past };
            beginnings.insert(zone.clone(), beginning);
        }
        let observing = beginnings.iter().map(|(zone, beginning)| (zone.clone(), beginning.observe)).collect();
        self.reports = beginnings.keys().map(|zone| (zone.clone(), Report::unheard())).collect();
        self.seats.start(&self.setting.config, beginnings)?;
        self.observing = observing;
        self.setting.board.set_modes(self.observing.clone());
        self.setting
            .board
            .set_zones(self.seats.iter().map(|(zone, seat)| (zone.clone(), seat.status.clone())).collect());
        self.zones_due.extend(self.seats.iter().map(|(zone, _)| zone.clone()));
        let zones = self.seats.iter().count();
        tracing::info!(zones, objects = self.index.iter().count(), "leading: all lists are complete");
        Ok(())
    }

    /// Whether a zone is only looked at: as a person ordered at its object, else as the configuration says.
    pub(super) fn observes(&self, settings: &ZoneSettings) -> bool {
        match self.modes.get(&settings.rules.zone).copied().flatten() {
            Some(mode) => mode == ZoneMode::Observe,
            None => settings.rules.observe,
        }
    }

    /// News of objects.
    fn take(&mut self, news: Followed) {
        let now = Instant::now();
        if let Followed::Changed(resource, _) | Followed::Gone(resource, _) = &news
            && !self.complained.is_empty()
        {
            self.complained.remove(resource);
        }
        match news {
            Followed::All(resource, all) => {
                self.complained.remove(&resource);
                match resource {
                    Resource::Zone => {
                        (self.listed.zones, self.zones_known) = (true, true);
                        let there: FastSet<String> = all.iter().map(|seen| seen.name.clone()).collect();
                        self.objects.retain(|_, object| there.contains(&object.held.name));
                        all.into_iter().for_each(|seen| self.take_zone(seen));
                    }
                    _ => {
                        if self.unread.remove(resource.plural()) {
                            self.zones_due.extend(self.reports.keys().cloned());
                        }
                        let changed = self.index.replace_all(resource, all, now);
                        changed.iter().for_each(|object| self.noticed(object));
                        match resource {
                            Resource::Endpoint => self.listed.endpoints = true,
                            _ => self.listed.records = true,
                        }
                    }
                }
            }
            Followed::Changed(Resource::Zone, seen) => self.take_zone(*seen),
            Followed::Changed(resource, seen) => {
                let (object, change) = self.index.apply(resource, *seen, now);
                if change != Change::Old {
                    self.noticed(&object);
                }
            }
            Followed::Gone(Resource::Zone, seen) => {
                if let Some(zone) = self.zone_of.get(&seen.name).cloned() {
                    self.objects.remove(&zone);
                    self.zones_due.insert(zone);
                }
            }
            Followed::Gone(resource, seen) => {
                let object = super::entry::identity(resource, &seen);
                if self.index.remove(&object, &seen.uid) {
                    self.noticed(&object);
                }
            }
            Followed::Rewound(resource) => {
                let kind = resource.plural();
                tracing::warn!(
                    kind,
                    "the API server's data are older than what was seen of them: they were restored, and all is read anew"
                );
                self.rewound = true;
            }
            Followed::Lost(resource, error) => {
                if error.is_absent() {
                    if resource != Resource::Zone && self.unread.insert(resource.plural()) {
                        self.zones_due.extend(self.reports.keys().cloned());
                    }
                    match resource {
                        // Their objects are what people look at; records do without.
                        Resource::Zone => (self.listed.zones, self.zones_known) = (true, false),
                        Resource::Endpoint => self.listed.endpoints = true,
                        _ => {}
                    }
                }
                self.setting.board.count(|counts| {
                    *counts.api_errors.entry(("watch", error.word())).or_default() += 1;
                });
                if self.complained.insert(resource, error.word()) != Some(error.word()) {
                    let kind = resource.plural();
                    match error.is_absent() {
                        true => tracing::warn!(
                            kind,
                            "the API server does not know this kind; install the CRDs (kubectl apply -f crds/). What is in the zones stays as it is"
                        ),
                        false => tracing::warn!(
                            kind,
                            reason = error.word(),
                            "cannot be followed at present, and what is known stays in force: {error}"
                        ),
                    }
                }
            }
        }
    }

    fn take_zone(&mut self, seen: Seen) {
        let Some(zone) = self.zone_of.get(&seen.name).cloned() else { return self.disown(seen) };
        let object = ZoneObject::from(seen);
        self.modes.insert(zone.clone(), object.spec.mode);
        self.objects.insert(zone.clone(), object);
        self.zones_due.insert(zone);
    }

    /// An object may be another one than before.
    pub(super) fn noticed(&mut self, object: &ObjectId) {
        match self.index.get(object) {
            None => {
                self.undecided.remove(object);
                self.leaving.remove(object);
                self.untouched.remove(object);
                self.outbox.forget(object);
                if let Some(word) = self.words.remove(object) {
                    self.setting.board.count(|counts| counts.moved(word, ""));
                }
            }
            Some(entry) => {
                if entry.is_leaving() {
                    self.leaving.insert(object.clone());
                } else {
                    self.leaving.remove(object);
                }
                if !entry.done {
                    self.undecided.insert(object.clone());
                }
                if entry.wants_finalizer() {
                    self.outbox.push(object);
                }
                self.look.insert(object.clone());
            }
        }
    }

    /// A zone's worker has news.
    pub(super) fn hear(&mut self, zone: Name) {
        let Some(seat) = self.seats.get(&zone) else { return };
        let status = Arc::clone(&seat.status.borrow());
        let before = self.reports.get(&zone);
        let report = Report::of(&status, &self.index, before, SystemTime::now(), self.setting.stale_after)
            .for_cluster(&self.setting.instance);
        if let Some(plan) = status.plan.as_ref().filter(|_| report.revision > 0) {
            self.index.learn(&zone, report.revision, lost_addresses(plan));
            self.index.learn_stuck(&zone, report.revision, stuck(plan));
        }
        let turned = before.is_some_and(|before| before.stale != report.stale);
        self.look.extend(before.into_iter().flat_map(|before| before.troubles.keys().cloned()));
        self.look.extend(report.troubles.keys().cloned());
        // The news say nothing of objects that were not told to the zone yet; there may be thousands of them.
        let troubled = report.error.is_some() || before.is_some_and(|before| before.error.is_some());
        let concerned = |object: &&ObjectId| {
            self.index.get(object).is_none_or(|entry| {
                entry.deleting
                    || entry.admitted && (troubled || entry.revision > 0 && entry.revision <= report.revision)
            })
        };
        self.look.extend(self.undecided.iter().filter(concerned).cloned());
        self.look.extend(self.leaving.iter().cloned());
        if turned {
            let concerned = self.index.iter().filter(|(_, entry)| entry.zones().contains(&zone));
            self.look.extend(concerned.map(|(object, _)| object.clone()));
        }
        self.reports.insert(zone.clone(), report);
        self.zones_due.insert(zone);
    }
}
