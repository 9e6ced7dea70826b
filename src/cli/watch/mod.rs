//! `apply --watch`: stays, and follows edits of the files and drift of the zones until it is stopped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::args::{Apply, Output};
use super::exit::Exit;
use super::pass::{Losing, ZoneResult};
use super::printer::Printer;
use super::render::Level;
use super::{json, records, render, site};
use crate::metrics::{self, Snapshot};
use crate::model::{Claims, Name, SourceHealth, is_reverse};
use crate::source::{Config, Loaded, Memory, ServerSettings, ZoneSettings};
use crate::zone::{DhcidBoard, EngineOptions, Role, ZoneStatus, worker};

/// How often everything is looked at, the files excepted where that is dear.
const TICK: Duration = Duration::from_millis(500);
/// How old the metrics file may grow when nothing happens.
const METRICS_EVERY: Duration = Duration::from_secs(15);
/// Deletes need two scans this far apart that agree.
const AGREE: Duration = Duration::from_secs(5);

/// Why deletes wait after a first look.
const SECOND_LOOK: &str = "deletes wait until a second look at the files agrees";

/// The health of files that are all well and were looked at but once.
fn waits() -> SourceHealth {
    SourceHealth::Incomplete(vec![SECOND_LOOK.to_owned()])
}

/// `knotwork apply --watch`.
pub async fn watch(args: &Apply, config: Option<PathBuf>, printer: &mut Printer) -> Exit {
    if args.source.inputs.iter().any(|input| input == "-") {
        printer.error("standard input cannot be watched; name files or folders with -f");
        return Exit::Error;
    }
    if args.output == Output::Markdown {
        printer.error("--watch has no end that a table could be made at; use -o json for one JSON object a pass, or leave -o away");
        return Exit::Error;
    }
    let Some(config) = site::configuration(config, printer) else { return Exit::Error };
    Resident::new(args.clone(), config).run(stop_by_signal(), printer).await
}

/// Cancelled by SIGINT or SIGTERM.
pub fn stop_by_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let signals = stop.clone();
    tokio::spawn(async move {
        stopped().await;
        signals.cancel();
    });
    stop
}

/// Ends with SIGINT or SIGTERM.
async fn stopped() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

mod board;
mod looks;
mod said;

use board::Board;
use looks::Looks;
use said::Said;

struct Seat {
    claims: watch::Sender<Arc<Claims>>,
    status: watch::Receiver<Arc<ZoneStatus>>,
    task: JoinHandle<()>,
    cancel: CancellationToken,
}

/// The files as they were last read.
struct Scan {
    loaded: Loaded,
    at: Instant,
    /// Whether a later scan agreed, so that deletes may follow from it.
    agreed: bool,
}

/// The whole of a resident run.
pub struct Resident {
    args: Apply,
    config: Config,
    seats: BTreeMap<Name, Seat>,
    said: HashMap<Name, Said>,
    board: Arc<Board>,
    /// What the files say, as it was read last.
    claims: HashMap<Name, Claims>,
    /// Contents of the key files.
    keys: Vec<Option<Vec<u8>>>,
    losing: Losing,
    /// What the zones tell each other of names that DHCP servers hold.
    dhcid: Arc<DhcidBoard>,
    /// The metrics file as it was written last, its times aside.
    written: Option<(Instant, Snapshot)>,
    /// What the files came to that did not change since.
    memory: Memory,
    /// What was said of the files, and is still so.
    remarks: HashSet<(Level, String)>,
    /// With `-o json`: what the workers tell of their passes.
    passes: Option<(mpsc::Sender<worker::Passed>, mpsc::Receiver<worker::Passed>)>,
    /// With `-o json`: what the last pass of each zone found, the serial aside.
    printed: HashMap<Name, String>,
}

/// Passes that may wait to be printed; more of them in half a second are not told.
const PASSES: usize = 1024;

impl Resident {
    /// A run that has not begun.
    pub fn new(args: Apply, config: Config) -> Resident {
        Resident {
            args,
            config,
            seats: BTreeMap::new(),
            said: HashMap::new(),
            board: Arc::default(),
            claims: HashMap::new(),
            keys: Vec::new(),
            losing: Losing::default(),
            dhcid: Arc::default(),
            written: None,
            memory: Memory::default(),
            remarks: HashSet::new(),
            passes: None,
            printed: HashMap::new(),
        }
    }

    /// A line for people: where standard output is for machines, it goes to standard error.
    fn say(&self, text: &str, printer: &mut Printer) {
        match self.args.output {
            Output::Json => printer.note(text),
            _ => printer.line(text),
        }
    }

    /// Prints the passes since the last look, one object to a line.
    fn print_passes(&mut self, loaded: &Loaded, printer: &mut Printer) {
        let Some((_, passes)) = &mut self.passes else { return };
        while let Ok(passed) = passes.try_recv() {
            // The first claims of a worker are the empty ones it starts with.
            if passed.claims_seen <= 1 && passed.error.is_none() {
                continue;
            }
            let (zone, sent) =
                (passed.zone.clone(), passed.applied.as_ref().is_some_and(|(report, _)| report.updates_sent > 0));
            let mut value = json::run(loaded, &[ZoneResult::passed(passed)], true);
            let line = value.to_string();
            // Others' changes move the serial, and a pass that did nothing finds what the pass before it found.
            value["zones"][0]["serial"] = serde_json::Value::Null;
            let found = value.to_string();
            let is_empty = |key: &str| match &value["zones"][0][key] {
                serde_json::Value::Null => true,
                serde_json::Value::Array(items) => items.is_empty(),
                _ => false,
            };
            let quiet = ["changes", "conflicts", "orphans", "notes", "held", "waiting", "error"]
                .iter()
                .all(|key| is_empty(key));
            let news = self.printed.insert(zone, found.clone()) != Some(found);
            if sent || (news && !quiet) {
                printer.line(&line);
            }
        }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken, printer: &mut Printer) -> Exit {
        if let Some(listen) = self.args.listen {
            match metrics::serve(listen, self.board.clone(), stop.clone()).await {
                Ok(address) => self.say(&format!("metrics at http://{address}/metrics"), printer),
                Err(error) => {
                    printer.error(&format!("--listen {listen}: {error}"));
                    return Exit::Error;
                }
            }
        }
        if self.args.output == Output::Json {
            self.passes = Some(mpsc::channel(PASSES));
        }
        self.keys = self.config.files.iter().skip(1).map(|file| std::fs::read(file).ok()).collect();
        self.start_workers(None);
        let mut config_print = self.config_print();
        let mut refused_print = None;
        let mut looks = Looks::new(&self.args.source).await;
        let mut scan = self.scan(None, printer).await;
        let zones = super::words::count(self.seats.len(), "zone");
        self.say(&format!("watching {} for {zones}", self.args.source.inputs.join(", ")), printer);
        printer.flush();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = tick.tick() => {}
            }
            let now = self.config_print();
            if now != config_print && Some(now) != refused_print {
                match self.reload(printer).await {
                    Ok(()) => {
                        (config_print, refused_print) = (now, None);
                        scan = self.scan(None, printer).await;
                    }
                    // The old one stays in force; the same bad one is complained about once.
                    Err(()) => refused_print = Some(now),
                }
            }
            let due = !scan.agreed && scan.at.elapsed() >= AGREE;
            if looks.changed().await || due {
                scan = self.scan(Some(scan), printer).await;
            }
            self.follow_forward();
            self.print_passes(&scan.loaded, printer);
            self.tell(printer);
            self.write_metrics(printer);
        }
        // Before the workers leave the board: a file without zones would silence every alert on it.
        self.written = None;
        self.write_metrics(printer);
        self.stop_workers(|_| true).await;
        self.print_passes(&scan.loaded, printer);
        self.tell(printer);
        self.say("stopped; the zones stay as they are", printer);
        Exit::Done
    }

    /// Starts a worker for each zone; `only`: for these.
    fn start_workers(&mut self, only: Option<&[Name]>) {
        let options =
            EngineOptions { role: Role::Resident, release: self.args.release.clone(), ..EngineOptions::default() };
        let mut seats: Vec<site::Seat> = site::seats(&self.config, &options).into_iter().flatten().collect();
        seats.retain(|seat| only.is_none_or(|only| only.contains(seat.engine.zone())));
        // All are at the board before the first of them plans.
        for seat in &mut seats {
            seat.engine.join(&self.dhcid);
        }
        for mut seat in seats {
            let zone = seat.engine.zone().clone();
            if let Some(hash) = &seat.settings.release {
                seat.engine.release(hash.clone());
            }
            // Until the files were read nobody may conclude anything from their absence.
            let unread = Claims {
                health: SourceHealth::Incomplete(vec!["the files were not read yet".to_owned()]),
                ..Claims::default()
            };
            let (claims, feed) = watch::channel(Arc::new(unread));
            let (tell, status) = watch::channel(Arc::new(ZoneStatus::new(&seat.engine)));
            let cancel = CancellationToken::new();
            let options = worker::WorkerOptions {
                poll_idle: seat.settings.check_interval,
                passes: self.passes.as_ref().map(|(sender, _)| sender.clone()),
                ..worker::WorkerOptions::default()
            };
            let task = tokio::spawn(worker::run(seat.engine, feed, tell, cancel.clone(), options));
            if let Ok(mut board) = self.board.statuses.lock() {
                board.insert(zone.clone(), status.clone());
            }
            self.seats.insert(zone, Seat { claims, status, task, cancel });
        }
    }

    async fn stop_workers(&mut self, which: impl Fn(&Name) -> bool) {
        let (stopping, staying) = std::mem::take(&mut self.seats).into_iter().partition(|(zone, _)| which(zone));
        let stopping: BTreeMap<Name, Seat> = stopping;
        self.seats = staying;
        for seat in stopping.values() {
            seat.cancel.cancel();
        }
        for (zone, seat) in stopping {
            // A worker ends its apply within its grace; one that does not is left behind.
            let _ = tokio::time::timeout(Duration::from_secs(10), seat.task).await;
            if let Ok(mut board) = self.board.statuses.lock() {
                board.remove(&zone);
            }
        }
    }

    /// Changes with the content of the configuration and its keys.
    fn config_print(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        for file in &self.config.files {
            std::fs::read(file).ok().hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What each zone's worker depends on, as text to compare.
    fn settings(&self) -> HashMap<Name, String> {
        let of = |server: &ServerSettings| {
            let place =
                format!("{:?} {:?} {:?}", server.server.addresses, server.server.source, server.server.timeouts);
            let key = server.server.key.as_ref().map(|key| format!("{} {:?}", key.name(), key.algorithm()));
            let each = |zone: &ZoneSettings| (zone.rules.zone.clone(), format!("{place} {key:?} {zone:?}"));
            server.zones.iter().map(each).collect::<Vec<_>>()
        };
        self.config.servers.iter().flat_map(of).collect()
    }

    async fn reload(&mut self, printer: &mut Printer) -> Result<(), ()> {
        let path = self.config.path.clone();
        match Config::load(&path) {
            Ok(config) => {
                let before: HashMap<Name, String> = self.settings();
                // A release counts only for what was held before it was written down.
                let held: Vec<String> = self
                    .seats
                    .values()
                    .filter_map(|seat| seat.status.borrow().plan.as_ref()?.held.as_ref().map(|held| held.hash.clone()))
                    .collect();
                let keys = self.config.files.iter().skip(1).map(|file| std::fs::read(file).ok()).collect::<Vec<_>>();
                let same_keys = keys == self.keys;
                self.keys = keys;
                self.config = config;
                self.memory = Memory::default();
                for server in &mut self.config.servers {
                    for zone in &mut server.zones {
                        zone.release = zone.release.take().filter(|hash| held.contains(hash));
                    }
                }
                self.say(&format!("{} was read again", path.display()), printer);
                // A zone whose settings are the same goes on, with its view and what its brake remembers.
                let after = self.settings();
                let changed = |zone: &Name| !same_keys || before.get(zone) != after.get(zone);
                self.stop_workers(changed).await;
                let running: Vec<Name> = self.seats.keys().cloned().collect();
                let new: Vec<Name> = after.keys().filter(|zone| !running.contains(zone)).cloned().collect();
                self.start_workers(Some(&new));
                self.losing = Losing::default();
                Ok(())
            }
            Err(error) => {
                for diagnostic in &error.0 {
                    printer.error(&diagnostic.to_string());
                }
                printer.warn(&format!("{} is refused; the version before it stays in force", path.display()));
                Err(())
            }
        }
    }

    /// Reads the files and feeds the workers.
    async fn scan(&mut self, before: Option<Scan>, printer: &mut Printer) -> Scan {
        let (source, config) = (self.args.source.clone(), self.config.clone());
        let mut memory = std::mem::take(&mut self.memory);
        let last = before.as_ref().map(|scan| scan.loaded.content);
        let reading =
            tokio::task::spawn_blocking(move || (records::read_again(&source, &config, &mut memory, last), memory));
        let read = match reading.await {
            Ok((read, memory)) => {
                self.memory = memory;
                read
            }
            // It panicked; what is known stays in force.
            Err(_) => None,
        };
        let scan = match (read, before) {
            (None, Some(mut scan)) => {
                // Two looks that agree, or what is gone from a half-written file would be deleted.
                if scan.agreed || scan.at.elapsed() < AGREE {
                    return scan;
                }
                scan.agreed = true;
                let waiting = self.claims.values_mut().filter(|claims| claims.health == waits());
                waiting.for_each(|claims| claims.health = SourceHealth::Complete);
                scan
            }
            (read, _) => {
                let mut loaded = read.unwrap_or_default();
                records::guard_empty(&mut loaded, self.args.source.allow_empty);
                self.remark(&loaded, printer);
                if let Ok(mut numbers) = self.board.source.lock() {
                    *numbers = (loaded.refused_objects(), loaded.broken_documents);
                }
                self.claims = std::mem::take(&mut loaded.claims);
                let complete = self.claims.values_mut().filter(|claims| claims.health == SourceHealth::Complete);
                complete.for_each(|claims| claims.health = waits());
                Scan { loaded, at: Instant::now(), agreed: false }
            }
        };
        self.losing = self.losing_now();
        self.feed(|_| true);
        scan
    }

    /// Says of the files what was not said yet.
    fn remark(&mut self, loaded: &Loaded, printer: &mut Printer) {
        let remarks = render::remarks(loaded, self.args.source.allow_empty);
        remarks.iter().filter(|one| !self.remarks.contains(one)).for_each(|one| render::remark(one, printer));
        let is_bad = |(level, _): &(Level, String)| *level != Level::Note;
        if self.remarks.iter().any(is_bad) && !remarks.iter().any(is_bad) {
            self.say("the files are well again", printer);
        }
        self.remarks = remarks.into_iter().collect();
    }

    /// Gives these zones' workers what is declared.
    fn feed(&self, which: impl Fn(&Name) -> bool) {
        for (zone, claims) in self.claims.iter().filter(|(zone, _)| which(zone)) {
            let Some(seat) = self.seats.get(zone) else { continue };
            let mut claims = claims.clone();
            self.losing.withdraw(&mut claims);
            let _ = seat.claims.send(Arc::new(claims));
        }
    }

    fn losing_now(&self) -> Losing {
        let mut losing = Losing::default();
        losing.unknown.extend(self.seats.keys().cloned());
        for seat in self.seats.values() {
            if let Some(plan) = &seat.status.borrow().plan {
                losing.learn(plan);
            }
        }
        losing
    }

    /// PTRs follow what became of the names that they point back to.
    fn follow_forward(&mut self) {
        let losing = self.losing_now();
        if losing != self.losing {
            self.losing = losing;
            self.feed(is_reverse);
        }
    }

    /// Says what is new.
    fn tell(&mut self, printer: &mut Printer) {
        let mut zones: Vec<&Name> = self.seats.keys().collect();
        zones.sort_by_key(|zone| (is_reverse(zone), (*zone).clone()));
        for zone in zones {
            let status = Arc::clone(&self.seats[zone].status.borrow());
            let said = self.said.entry(zone.clone()).or_default();
            said.tell(&status, self.args.output == Output::Json, printer);
        }
        printer.flush();
    }

    fn write_metrics(&mut self, printer: &mut Printer) {
        let Some(path) = &self.args.metrics_file else { return };
        let mut snapshot = self.board.snapshot();
        let taken = std::mem::take(&mut snapshot.taken);
        // A file that says the same is written now and then, so that its age tells that we live.
        let fresh = |(at, old): &(Instant, Snapshot)| at.elapsed() < METRICS_EVERY && old.same_events(&snapshot);
        if self.written.as_ref().is_some_and(fresh) {
            return;
        }
        let old = snapshot.clone();
        snapshot.taken = taken;
        match metrics::write_file(path, &snapshot.text()) {
            Ok(()) => self.written = Some((Instant::now(), old)),
            Err(error) => printer.error(&format!("the metrics file {}: {error}", path.display())),
        }
    }
}
