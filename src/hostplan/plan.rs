//! What must be read, and what would change.

use std::collections::BTreeSet;

use super::mechanisms::{self, Choice};
use super::preflight::{self, Refuse};
use super::{
    Chosen, Effect, FileStep, HostPlan, LinkStep, Mechanism, Record, Seen, SeenFile, Stage, Targets, Want, beside,
    cleanup, dhcp, held, mark, own, paths, profiles, resolv_conf, shared, without_us, words,
};
use crate::split::HostFacts;
use crate::split::facts::{DefaultRoute, FileKind, Link, Manager};
use crate::split::policy::{Modes, Origin};
use crate::split::wish::Wish;

/// The files and directories that [`plan`] must see.
pub fn targets(wish: &Wish, facts: &HostFacts, record: &Record) -> Targets {
    let mut paths: Vec<String> = paths::OWN.iter().chain(paths::SHARED).map(|path| (*path).to_owned()).collect();
    paths.extend([paths::RESOLV_CONF, paths::IFUPDOWN_HOOK, paths::DHCLIENT_EXIT, paths::DHCPCD].map(str::to_owned));
    paths.extend(wish.delegates.iter().map(|delegate| paths::delegate(&delegate.id)));
    let mut dirs = vec![paths::DELEGATES.to_owned(), paths::RESOLVED_CONF_D.to_owned()];
    let facts = &held::places(wish, facts, record);
    for file in facts.links.iter().flatten().filter_map(|link| link.network_file.as_deref()) {
        paths.extend(paths::network(file));
        dirs.extend(paths::network_dir(file));
    }
    let ifupdown = facts.links.iter().flatten().filter(|link| link.managed_by == Manager::Ifupdown);
    paths.extend(ifupdown.filter_map(|link| link.network_file.clone()));
    paths.extend(record.links.keys().flat_map(|link| paths::ifupdown_memory(link)));
    let profiles = facts.network_manager.iter().flat_map(|nm| nm.profiles.iter().flatten());
    // Whether they can be replaced, and for whoever watches what a plan hangs on.
    paths.extend(profiles.filter_map(|profile| profile.file.clone()).filter(|file| file.starts_with("/etc/")));
    paths.extend(paths::RESOLVED_FILES.map(str::to_owned));
    for path in record.files.keys() {
        paths.push(path.clone());
        if path.starts_with(paths::NETWORK) {
            dirs.push(paths::split(path).0.to_owned());
        }
    }
    for list in [&mut paths, &mut dirs] {
        list.sort_unstable();
        list.dedup();
    }
    Targets { paths, dirs }
}

/// What a plan is made of, and the plan as far as it is made.
pub(super) struct Work<'a> {
    pub(super) wish: &'a Wish,
    pub(super) facts: &'a HostFacts,
    /// The facts without us.
    pub(super) base: HostFacts,
    /// The facts with links of the wish that are away: by whom each is configured, and where.
    pub(super) places: HostFacts,
    pub(super) seen: &'a Seen,
    pub(super) record: &'a Record,
    pub(super) choices: Vec<Choice<'a>>,
    /// Paths that this plan has an opinion about.
    pub(super) settled: BTreeSet<String>,
    pub(super) plan: HostPlan,
}

/// One path, what shall lie there, and why.
pub(super) struct Wanted<'a> {
    pub(super) path: &'a str,
    pub(super) to: Want,
    pub(super) stage: Stage,
    pub(super) effect: Effect,
    pub(super) why: String,
    pub(super) policies: Vec<Origin>,
}

/// What would change on a host: `facts` as they are now, while the wish is lowered from [`super::held()`]. Nothing is decided by what was not read: that is refused with `NotRead`.
pub fn plan(wish: &Wish, facts: &HostFacts, seen: &Seen, record: &Record) -> HostPlan {
    let (base, places) = (without_us(facts, record), held::places(wish, facts, record));
    let (choices, refusals) = mechanisms::choose(wish, (&places, &base), seen, record);
    let (lacks, beside) = (held::lacks(wish, facts, record), beside::beside(wish, facts, record));
    let plan = HostPlan { refusals, lacks, beside, ..HostPlan::default() };
    let mut work = Work { wish, facts, base, places, seen, record, choices, settled: Default::default(), plan };
    for path in targets(wish, facts, record).paths {
        work.seen(&path);
    }
    work.say_mechanisms();
    own::files(&mut work);
    shared::files(&mut work);
    dhcp::say(&mut work);
    resolv_conf::file(&mut work);
    cleanup::files(&mut work);
    profiles::steps(&mut work);
    links(&mut work);
    words::keep(&mut work);
    words::give_back(&mut work);
    put_back(&mut work);
    asleep(&mut work);
    // What is read first is written first; links to our own units after the units.
    work.plan.files.sort_by(|a, b| (a.stage, &a.path).cmp(&(b.stage, &b.path)));
    preflight::check(&mut work);
    let HostPlan { refusals, notes, .. } = &mut work.plan;
    let mut told = BTreeSet::new();
    refusals.retain(|refusal| told.insert((refusal.reason, refusal.at.clone(), refusal.message.clone())));
    let mut told = BTreeSet::new();
    notes.retain(|note| told.insert(note.clone()));
    work.plan
}

impl Work<'_> {
    /// What lies at a path; refused where nobody looked.
    pub(super) fn seen(&mut self, path: &str) -> Option<SeenFile> {
        let seen = self.seen.files.get(path).cloned();
        if seen.is_none() {
            self.refuse(Refuse {
                reason: preflight::NOT_READ,
                at: path,
                message: "nobody looked what lies here".to_owned(),
                way_out: "read every path of targets() before planning".to_owned(),
            });
        }
        seen
    }

    pub(super) fn refuse(&mut self, refuse: Refuse<'_>) {
        self.plan.refusals.push(refuse.into());
    }

    pub(super) fn note(&mut self, note: String) {
        self.plan.notes.push(note);
    }

    /// Adds a step where something else lies there.
    pub(super) fn step(&mut self, from: SeenFile, wanted: Wanted<'_>) {
        self.settled.insert(wanted.path.to_owned());
        if wanted.to.is_there(&from) {
            return;
        }
        let Wanted { path, to, stage, effect, why, policies } = wanted;
        self.plan.files.push(FileStep { path: path.to_owned(), from, to, stage, effect, why, policies });
    }

    fn say_mechanisms(&mut self) {
        let wish = self.wish;
        let host = |mechanism, why: &str| Chosen { link: None, mechanism, why: why.to_owned() };
        if !wish.delegates.is_empty() {
            self.plan.chosen.push(host(Mechanism::Delegates, &wish.why));
        }
        if wish.global != crate::split::wish::GlobalWish::default() {
            let why = match wish.form {
                crate::split::wish::Form::Global => &wish.why,
                _ => "settings of the host as a whole",
            };
            self.plan.chosen.push(host(Mechanism::ResolvedConf, why));
        }
        self.plan.chosen.extend(self.choices.iter().map(Choice::chosen));
    }
}

/// Files of ours that somebody took away or put back by hand: resolved still holds what they said.
fn put_back(work: &mut Work<'_>) {
    for (path, known) in &work.record.files {
        let effect = match path.as_str() {
            paths::RESOLVED_CONF => Effect::RestartResolved,
            path if paths::split(path).0 == paths::DELEGATES => Effect::ReloadResolved,
            _ => continue,
        };
        let now = work.seen.files.get(path);
        let is_back = now.is_some_and(|now| Want::again(&known.before).is_some_and(|before| before.is_there(now)));
        if is_back && !work.plan.files.iter().any(|step| step.path == *path) {
            let why = format!("{path} was put back by hand, and resolved still holds what it said");
            work.plan.needs.push(super::Need { effect, why });
        }
    }
}

/// A resolver that was stopped or has failed answers nobody, and /etc/resolv.conf leads to it. One that runs without its
/// name lost the bus under it, and does not come back to it by itself [tried on 252 and 262 with `systemctl restart dbus`].
fn asleep(work: &mut Work<'_>) {
    let unread = !preflight::unread_links(work).is_empty();
    let services = &work.facts.services;
    let unit = services.resolved.as_ref().filter(|unit| unit.load == "loaded");
    let state =
        unit.and_then(|unit| unit.active.as_deref()).filter(|state| matches!(*state, "inactive" | "failed" | "active"));
    // Where nothing is ours yet, that it does not run is how this host was before us.
    let is_ours = !work.record.links.is_empty() || work.record.global.is_some();
    let wakes = unread && is_ours;
    if services.resolver_owner.as_deref() == Some("")
        && (wakes || !preflight::is_nothing(work.wish))
        && let Some(state) = state
    {
        work.plan.wakes = wakes;
        let why = match state {
            "active" => "systemd-resolved runs and has lost the bus: it is restarted".to_owned(),
            _ => format!("systemd-resolved does not run (its unit is {state}): it is started"),
        };
        work.plan.needs.push(super::Need { effect: Effect::RestartResolved, why });
    }
}

/// The links of the wish, and those that we set before and that nobody wishes any more.
fn links(work: &mut Work<'_>) {
    let host = work.wish.global.modes.or(Modes::read(&work.base.global.modes));
    for choice in &work.choices {
        let now = work.facts.link(&choice.wish.name);
        // One that is away is set when it is back: nobody can be told of it now.
        if now.is_none() && choice.wish.ifindex == Link::AWAY {
            continue;
        }
        let (mut wish, over_bus) = (choice.wish.clone(), choice.over_bus());
        let known = work.record.links.get(&wish.name).filter(|known| now.is_some_and(|now| known.is_still(now)));
        if let (true, Some(known), Some(before)) = (over_bus, known, work.base.link(&wish.name)) {
            mechanisms::give_back(&mut wish, &known.left, before);
            wish.modes = wish.modes.within(host);
        }
        let differs = now.map_or_else(Vec::new, |now| mechanisms::differs(&wish, now));
        let file = now.and_then(|now| now.network_file.as_deref()).and_then(paths::network);
        let is_new = work.plan.files.iter().any(|step| Some(&step.path) == file.as_ref());
        // A file that was just written has not been read yet.
        let is_told = work.plan.profiles.iter().any(|step| step.link == wish.name && step.is_change());
        let overruled = match choice.mechanism {
            Mechanism::Networkd => !differs.is_empty() && !is_new,
            Mechanism::NetworkManager => !differs.is_empty() && !is_told && choice.profile.is_some(),
            _ => false,
        };
        let mechanism = choice.mechanism;
        work.plan.links.push(LinkStep { wish, over_bus, mechanism, overruled, differs, restores: false, was: None });
    }
    for (name, known) in work.record.links.iter().filter(|(_, known)| known.over_bus) {
        // One that was made anew has lost our settings with its number.
        let Some(now) = work.facts.link(name).filter(|now| known.is_still(now)) else { continue };
        let Some(before) = work.base.link(name) else { continue };
        // It took its settings with it.
        if preflight::is_absent(work.facts) {
            continue;
        }
        if work.choices.iter().any(|choice| choice.wish.name == *name) {
            continue;
        }
        let mut wish = mechanisms::as_it_was(before);
        wish.modes = wish.modes.within(host);
        let mut differs = mechanisms::differs(&wish, now);
        let was = Link { told: known.before.told.clone(), ..before.clone() };
        // It came to the same, and is not the same: only resolved's memory shows it.
        let is_set = matches!(now.default_route, DefaultRoute::Yes | DefaultRoute::No);
        if was.default_route == DefaultRoute::Automatic && is_set && !differs.iter().any(|word| word == "default route")
        {
            differs.push("default route".to_owned());
        }
        work.plan.links.push(LinkStep {
            wish,
            over_bus: true,
            mechanism: Mechanism::Bus,
            overruled: false,
            differs,
            restores: true,
            was: Some(Box::new(was)),
        });
    }
}

/// What was at a path before us, as far as the file itself says it: a file of ours was not there, a block of ours neither.
pub fn before_us(path: &str, seen: &SeenFile) -> SeenFile {
    let Some(content) = seen.content.as_deref().filter(|_| seen.kind == FileKind::File) else { return seen.clone() };
    if paths::is_own(path) && mark::whose(content) != mark::Whose::Foreign {
        return SeenFile { kind: FileKind::Absent, ..SeenFile::default() };
    }
    match shared::without_us(path, content) {
        Some(content) => SeenFile { content: Some(content), ..seen.clone() },
        None => seen.clone(),
    }
}
