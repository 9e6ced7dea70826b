//! Profiles of NetworkManager that a plan changes or gives back: single settings, and only what is as we left it goes back.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Work;
use super::preflight::{self, Refuse};
use super::{HostPlan, Mechanism, ProfileStep, Record, RecordedProfile, mechanisms};
use crate::split::HostFacts;
use crate::split::facts::{Link, Manager, Profile, Setting, Wishes, only};
use crate::split::wish::LinkWish;

impl ProfileStep {
    /// What it is called among paths and links.
    pub fn at(&self) -> String {
        at(&self.id)
    }

    /// Settings that become others: key, from, to.
    pub fn changes(&self) -> impl Iterator<Item = (&str, Option<&Setting>, Option<&Setting>)> {
        let from = |key: &String| self.from.get(key).and_then(Option::as_ref);
        let all = self.to.iter().map(move |(key, to)| (key.as_str(), from(key), to.as_ref()));
        all.filter(|(_, from, to)| from != to)
    }

    /// Whether there is something to do.
    pub fn is_change(&self) -> bool {
        self.is_stale || self.changes().next().is_some()
    }
}

fn at(id: &str) -> String {
    format!("profile {id}")
}

impl RecordedProfile {
    /// Settings that are others by our doing.
    fn ours(&self) -> impl Iterator<Item = &String> {
        self.left.iter().filter(|(key, left)| self.before.get(*key) != Some(left)).map(|(key, _)| key)
    }

    /// What of ours stands in a profile yet.
    fn standing(&self, now: &Profile) -> Wishes {
        let now = only(&now.settings, self.ours());
        now.into_iter().filter(|(key, is)| self.before.get(key) != Some(is)).collect()
    }

    /// Whether somebody changed what is ours since.
    fn is_edited(&self, now: &Profile) -> bool {
        self.standing(now).iter().any(|(key, is)| self.left.get(key) != Some(is))
    }
}

/// All profiles of the wish, and those that get back what they said.
pub(super) fn steps(work: &mut Work<'_>) {
    let mut settled: BTreeSet<String> = BTreeSet::new();
    for choice in &work.choices {
        let Some(target) = &choice.profile else { continue };
        let found = work.facts.network_manager.as_ref().and_then(|nm| nm.profile(&target.uuid));
        let Some(now) = found else { continue };
        let mut to = target.wishes.clone();
        if let Some(known) = work.record.profiles.get(&target.uuid) {
            // What the policies say no more gets back what it was, unless somebody set it since.
            let gone = known.standing(now).into_iter().filter(|(key, is)| known.left.get(key) == Some(is));
            for (key, _) in gone {
                to.entry(key.clone()).or_insert_with(|| known.before.get(&key).cloned().flatten());
            }
        }
        settled.insert(target.uuid.clone());
        work.plan.profiles.push(ProfileStep {
            is_stale: now.applied.as_ref().is_some_and(|applied| only(applied, to.keys()) != to),
            from: only(&now.settings, to.keys()),
            to,
            ..step_of(now, &choice.wish.name, choice.wish.ifindex, "DNS of")
        });
        if let Some(step) = work.plan.profiles.last_mut() {
            step.policies.clone_from(&choice.wish.policies);
        }
    }
    let record = work.record;
    for (uuid, known) in record.profiles.iter().filter(|(uuid, _)| !settled.contains(*uuid)) {
        back(work, uuid, known);
    }
}

fn step_of(now: &Profile, link: &str, ifindex: u32, why: &str) -> ProfileStep {
    ProfileStep {
        uuid: now.uuid.clone(),
        id: now.id.clone(),
        link: link.to_owned(),
        ifindex,
        from: Wishes::new(),
        to: Wishes::new(),
        is_stale: false,
        restores: false,
        was: None,
        why: format!("{why} {link}"),
        policies: Vec::new(),
    }
}

/// A profile of which no policy wants anything any more.
fn back(work: &mut Work<'_>, uuid: &str, known: &RecordedProfile) {
    // Another profile is in force on the link for a while, or none.
    if work.choices.iter().any(|choice| choice.wish.name == known.link && choice.mechanism == Mechanism::NetworkManager)
    {
        return;
    }
    let nm = work.facts.network_manager.as_ref();
    let Some(now) = nm.and_then(|nm| nm.profile(uuid)) else {
        let unit = work.facts.services.network_manager.as_ref().map(|unit| unit.load.as_str());
        if nm.is_some_and(|nm| nm.profiles.is_some()) {
            return work.note(format!("{} is gone, and what we set in it with it", at(&known.id)));
        }
        if unit == Some("not-found") {
            return work.note(format!("NetworkManager is not here any more: {} stays as it is", at(&known.id)));
        }
        return work.refuse(Refuse {
            reason: preflight::NOT_READ,
            at: &at(&known.id),
            message: "NetworkManager does not answer, and what was set in its profile cannot be given back".to_owned(),
            way_out: "systemctl restart NetworkManager, then try again".to_owned(),
        });
    };
    let standing = known.standing(now);
    if standing.is_empty() {
        return;
    }
    let before: Wishes = standing.keys().map(|key| (key.clone(), known.before.get(key).cloned().flatten())).collect();
    if known.is_edited(now) {
        let edited: Vec<&str> =
            standing.iter().filter(|(key, is)| known.left.get(*key) != Some(is)).map(|(key, _)| key.as_str()).collect();
        work.refuse(Refuse {
            reason: preflight::EDITED,
            at: &at(&known.id),
            message: format!("somebody changed {} since we set it", edited.join(", ")),
            way_out: format!(
                "it stays as it is; to have back what was there before: --overwrite-edited, or nmcli connection modify '{}' {}",
                known.id,
                words(&before)
            ),
        });
    }
    let link = work.facts.link(&known.link);
    let is_stale = now.applied.as_ref().is_some_and(|applied| only(applied, before.keys()) != before);
    let step = ProfileStep {
        is_stale,
        from: only(&now.settings, before.keys()),
        to: before,
        restores: true,
        was: work.base.link(&known.link).cloned(),
        ..step_of(now, &known.link, link.map_or(0, |link| link.ifindex), "as it was before us:")
    };
    work.plan.profiles.push(step);
}

/// As nmcli takes them.
fn words(wishes: &Wishes) -> String {
    let one = |(key, value): (&String, &Option<Setting>)| {
        let key = key.replace(".dns-data", ".dns");
        let value = value.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{key} '{value}'")
    };
    wishes.iter().map(one).collect::<Vec<_>>().join(" ")
}

impl Record {
    /// Remembers what was done to profiles; what stands of earlier changes stays remembered.
    pub(super) fn settle_profiles(&mut self, plan: &HostPlan, facts: &HostFacts) {
        let mut all: BTreeMap<String, RecordedProfile> = BTreeMap::new();
        for (uuid, known) in std::mem::take(&mut self.profiles) {
            let is_wished = plan.links.iter().any(|link| !link.restores && link.wish.name == known.link);
            let is_given_back = plan.profiles.iter().any(|step| step.uuid == uuid && step.restores);
            let nm = facts.network_manager.as_ref();
            let stands = match nm.and_then(|nm| nm.profile(&uuid)) {
                Some(now) => !known.standing(now).is_empty(),
                None => false,
            };
            if is_wished || (stands && !is_given_back) {
                all.insert(uuid, known);
            }
        }
        for step in plan.profiles.iter().filter(|step| !step.restores) {
            let known = all.remove(&step.uuid);
            let mut before = step.from.clone();
            if let Some(known) = &known {
                before.extend(known.before.iter().map(|(key, value)| (key.clone(), value.clone())));
                before.retain(|key, _| step.to.contains_key(key));
            }
            let (id, link, left) = (step.id.clone(), step.link.clone(), step.to.clone());
            all.insert(step.uuid.clone(), RecordedProfile { id, link, before, left });
        }
        self.profiles = all;
    }
}

/// Whether NetworkManager has the link by what it did before and is away for a moment: nobody else is to set it meanwhile.
pub fn is_away(wish: &LinkWish, facts: &HostFacts, record: &Record) -> bool {
    let is_loaded = facts.services.network_manager.as_ref().is_some_and(|unit| unit.load == "loaded");
    let runs = facts.network_manager.as_ref().and_then(|nm| nm.running);
    let is_known = record.profiles.values().any(|known| known.link == wish.name);
    is_known && is_loaded && runs == Some(false)
}

/// Whether the link has a profile of our settings that is not in force there now: it is down, or not there. That profile stays
/// as it is until it is, or another one comes into force.
pub fn is_down(wish: &LinkWish, facts: &HostFacts, record: &Record) -> bool {
    let is_known = record.profiles.values().any(|known| known.link == wish.name);
    let profiles = facts.network_manager.as_ref().and_then(|nm| nm.profiles.as_ref());
    let is_free = profiles.is_some_and(|all| !all.iter().any(|one| one.devices.contains(&wish.name)));
    facts.link(&wish.name).is_some_and(Link::is_away) || (is_known && is_free)
}

/// NetworkManager runs and does not answer: it may have the link.
pub fn is_silent(link: Option<&Link>, facts: &HostFacts) -> bool {
    let nm = facts.network_manager.as_ref();
    link.is_some_and(|link| link.managed_by == Manager::Unknown)
        && nm.is_some_and(|nm| nm.running == Some(true) && nm.profiles.is_none())
}

/// Whether the link is as wished without any doing of ours.
pub fn is_so_already(wish: &LinkWish, own: &HostFacts) -> bool {
    own.link(&wish.name).is_some_and(|link| mechanisms::differs(wish, link).is_empty())
}
