//! What follows from what came in: zones are told, objects judged, and calls made, the most urgent first.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use tokio::task::JoinError;

use super::conditions::{self, Outcome, PATIENCE};
use super::entry::Refusal;
use super::jobs::{Done, Job, NOTICE_WIDTH, WIDTH, status_patch};
use super::term::Term;
use crate::cluster::{CallError, Held, Notice, Resource, Seen};
use crate::model::ObjectId;
use crate::spec::{Condition, RecordStatus};

/// Waits between two tries to change finalizers that the API server does not store.
const FIRST_REFUSAL: Duration = Duration::from_millis(100);
const LONGEST_REFUSAL: Duration = Duration::from_secs(60);
/// After so many of them nobody waits for the object, whatever the cause.
const PATIENT_TRIES: u32 = 3;
/// Between two looks at a CRD that could not be looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Term {
    /// One go: everything that follows from what is known now.
    pub(super) async fn step(&mut self) {
        let now = Instant::now();
        self.look_at_crd(now);
        for (zone, edit) in self.index.take_edits() {
            if let Some(seat) = self.seats.get(&zone) {
                seat.mailbox.edit(edit);
            }
        }
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            if let Some(Reverse((_, object))) = self.timers.pop() {
                self.look.insert(object);
            }
        }
        self.age();
        for object in std::mem::take(&mut self.look) {
            self.judge(&object, now);
        }
        for zone in std::mem::take(&mut self.zones_due) {
            self.zone_turn(&zone, now).await;
        }
        self.dispatch(now);
    }

    /// Before a deletion is honoured its CRD is looked at, anew, after the deletion was seen: when somebody deletes the CRD,
    /// the API server deletes all its objects, and nobody meant their records.
    fn look_at_crd(&mut self, now: Instant) {
        if self.looking || now < self.look_after {
            return;
        }
        let new = |object: &&ObjectId| {
            !self.untouched.contains(*object) && self.index.get(object).is_some_and(|entry| !entry.honoured)
        };
        let objects: Vec<ObjectId> = self.leaving.iter().filter(new).cloned().collect();
        if !objects.is_empty() {
            self.looking = true;
            self.begin(Job::LookAtCrd(objects));
        }
    }

    /// What only time changes: zones whose servers are away become stale, deletions are given up.
    fn age(&mut self) {
        let stale_after = self.setting.stale_after;
        let turns = |report: &super::report::Report| {
            let since = report.failing_since.filter(|_| !report.stale);
            report.is_due() || since.is_some_and(|since| since.elapsed().unwrap_or_default() >= stale_after)
        };
        let zones: Vec<_> =
            self.reports.iter().filter(|(_, report)| turns(report)).map(|(zone, _)| zone.clone()).collect();
        zones.into_iter().for_each(|zone| self.hear(zone));
        for object in &self.leaving {
            let due = self.index.get(object).and_then(|entry| entry.leaving_since);
            if due.is_some_and(|since| since.elapsed() >= self.setting.let_go_after) {
                self.outbox.push(object);
            }
        }
    }

    /// Decides what an object's status should say, and when to write it.
    fn judge(&mut self, object: &ObjectId, now: Instant) {
        let Some(entry) = self.index.get(object) else { return };
        let outcome = conditions::judge(object, entry, &self.reports);
        let word = conditions::word(&outcome);
        let done = matches!(outcome, Outcome::Programmed(_) | Outcome::Stale(_));
        let (was_done, changed_at) = (entry.done, entry.changed_at);
        let old_word = self.words.get(object).copied().unwrap_or_default();
        let fresh = !is_ready(&entry.status, entry.generation);
        // What will be better in a moment is worth neither a write nor the thought of one.
        let due = changed_at + PATIENCE;
        let early = conditions::is_interim(&outcome) && now < due;
        let differs = !early && self.status_of(object, &outcome).is_some();
        if word != old_word {
            self.setting.board.count(|counts| {
                counts.moved(old_word, word);
                *counts.reconciles.entry(word).or_default() += 1;
                if done && !was_done && fresh {
                    counts.programmed.record(now.duration_since(changed_at));
                }
            });
        }
        if done {
            self.undecided.remove(object);
        } else {
            self.undecided.insert(object.clone());
        }
        self.words.insert(object.clone(), word);
        let Some(entry) = self.index.get_mut(object) else { return };
        entry.done = done;
        let leaves = entry.is_leaving() || entry.wants_finalizer() && entry.may_try(now);
        if entry.resource == Resource::Endpoint {
            if word != old_word && matches!(outcome, Outcome::Refused(..) | Outcome::Troubled(_)) {
                self.complain(object, &outcome);
            }
            return;
        }
        if leaves {
            self.outbox.push(object);
        }
        if early && entry.timer != Some(due) {
            entry.timer = Some(due);
            self.timers.push(Reverse((due, object.clone())));
        } else if differs {
            self.outbox.push(object);
        }
    }

    /// The status that an object should have, when it has another one.
    fn status_of(&self, object: &ObjectId, outcome: &Outcome) -> Option<RecordStatus> {
        let entry = self.index.get(object)?;
        let now = format!("{:.0}", jiff::Timestamp::now());
        Some(conditions::status(outcome, entry, &now)).filter(|new| *new != entry.status)
    }

    /// The call that an object needs now, if any.
    fn call(&mut self, object: &ObjectId, now: Instant) -> Option<Job> {
        let entry = self.index.get(object)?;
        if entry.resource == Resource::Endpoint {
            return None;
        }
        if entry.wants_finalizer() && entry.may_try(now) {
            return Some(Job::AddFinalizer(object.clone(), entry.held.clone()));
        }
        let outcome = conditions::judge(object, entry, &self.reports);
        if entry.is_leaving() && entry.may_try(now) {
            let held = entry.held.clone();
            let free = self.untouched.contains(object) || conditions::is_gone(object, entry, &self.reports);
            let late = entry.leaving_since.is_some_and(|since| now.duration_since(since) >= self.setting.let_go_after);
            if free {
                return Some(Job::RemoveFinalizer(object.clone(), held));
            }
            // A person decides about what the brake holds, however long that takes.
            if late && conditions::word(&outcome) != "BrakeHeld" {
                self.let_go(object, &outcome);
                return Some(Job::RemoveFinalizer(object.clone(), held));
            }
        }
        let interim = conditions::is_interim(&outcome) && now < entry.changed_at + PATIENCE;
        let new = self.status_of(object, &outcome).filter(|_| !interim)?;
        let before = ready(&entry.status).map(|condition| condition.reason.clone()).unwrap_or_default();
        Some(Job::Status(object.clone(), entry.held.clone(), status_patch(&new), before))
    }

    fn dispatch(&mut self, now: Instant) {
        if !self.setting.lead.holds() {
            return;
        }
        while self.jobs.len() - self.notices_running < WIDTH {
            let Some(object) = self.outbox.pop(now) else { break };
            if let Some(job) = self.call(&object, now) {
                self.outbox.began(&object);
                self.begin(job);
            }
        }
        while self.notices_running < NOTICE_WIDTH {
            let Some(notice) = self.outbox.pop_notice() else { break };
            self.notices_running += 1;
            self.begin(Job::Notice(notice));
        }
    }

    /// Makes a call.
    pub(super) fn begin(&mut self, job: Job) {
        self.setting.board.count(|counts| *counts.api_calls.entry(job.word()).or_default() += 1);
        self.jobs.spawn(job.run(self.setting.calls.clone()));
    }

    /// A call came to its end.
    pub(super) fn finish(&mut self, done: Result<Done, JoinError>) {
        let Ok(Done { job, result }) = done else { return };
        let now = Instant::now();
        if let Err(error) = &result {
            self.count_error(&job, error, now);
        }
        match job {
            Job::AddFinalizer(object, held) | Job::RemoveFinalizer(object, held) => match &result {
                Err(error) if self.refused(&object, &held, error, now) => {}
                _ => self.written(&object, result, now),
            },
            Job::Status(object, _, _, before) => {
                let wrote = result.is_ok();
                self.written(&object, result, now);
                if wrote {
                    self.tell_transition(&object, &before);
                }
            }
            Job::LookAtCrd(objects) => self.looked(&objects, result, now),
            Job::Notice(_) => self.notices_running -= 1,
            // Read again at the next term, or when the object is touched.
            Job::Disown(..) => {}
            Job::CreateZone(ref zone, ..) | Job::ZoneStatus(ref zone, ..) => {
                self.zone_busy.remove(zone);
                if let Ok(Some(seen)) = result {
                    self.zone_answered(zone, *seen);
                    if matches!(job, Job::CreateZone(..)) {
                        self.zone_made(zone);
                    }
                }
                self.zones_due.insert(zone.clone());
            }
            Job::ClearZone(zone, _, _) => {
                self.zone_busy.remove(&zone);
                if let Ok(Some(seen)) = result {
                    self.zone_cleared(&zone);
                    self.zone_answered(&zone, *seen);
                }
                self.zones_due.insert(zone);
            }
        }
    }

    /// The API server did not store a change of finalizers. `false` where somebody was faster, which says nothing.
    fn refused(&mut self, object: &ObjectId, held: &Held, error: &CallError, now: Instant) -> bool {
        let Some(entry) = self.index.get_mut(object) else { return false };
        let again = entry.refusal.as_ref().is_some_and(|before| before.version == held.version);
        let (firm, lost) = match error.code() {
            Some(404 | 409) => (false, true),
            // What was seen is not so any more, or the object is not valid: the first time it may be either.
            Some(422) => (again && entry.held.version == held.version, !again),
            Some(429) | None => (false, false),
            Some(code) => (code < 500, false),
        };
        let tries = entry.refusal.as_ref().map_or(0, |before| before.tries) + 1;
        let wait = (FIRST_REFUSAL * 2u32.saturating_pow(tries.min(16))).min(LONGEST_REFUSAL);
        let wait = wait.max(error.retry_after().unwrap_or_default());
        let wait = if lost { Duration::ZERO } else { wait };
        if error.code() != Some(404) && error.code() != Some(409) {
            let (version, message) = (held.version.clone(), error.told().to_owned());
            entry.refusal = Some(Refusal { version, message, firm, tries, again: now + wait });
        }
        if lost {
            return false;
        }
        if firm || tries > PATIENT_TRIES {
            self.index.balk(object);
        }
        self.outbox.ended(object, None, now);
        self.timers.push(Reverse((now + wait, object.clone())));
        self.look.insert(object.clone());
        true
    }

    fn written(&mut self, object: &ObjectId, result: Result<Option<Box<Seen>>, CallError>, now: Instant) {
        match result {
            Ok(seen) => {
                self.outbox.ended(object, None, now);
                // The answer may come after the news that the object is gone.
                let known = |seen: &Seen| self.index.get(object).is_some_and(|entry| entry.held.uid == seen.uid);
                if let Some(seen) = seen.filter(|seen| known(seen)) {
                    self.index.apply(Resource::Record, *seen, now);
                }
                self.noticed(object);
            }
            Err(error) => {
                // Somebody was faster: the watch tells what it is now.
                let least = if error.is_outdated() { Duration::from_millis(100) } else { Duration::from_millis(500) };
                self.outbox.ended(object, Some(error.retry_after().unwrap_or(least)), now);
                self.outbox.push(object);
            }
        }
    }

    fn count_error(&mut self, job: &Job, error: &CallError, now: Instant) {
        let (call, word) = (job.word(), error.word());
        let first = std::cell::Cell::new(false);
        self.setting.board.count(|counts| {
            let number = counts.api_errors.entry((call, word)).or_default();
            first.set(*number == 0);
            *number += 1;
        });
        // A server that is overrun asks to be left alone by all.
        if error.code() == Some(429) {
            self.outbox.quiet_until = Some(now + error.retry_after().unwrap_or(Duration::from_secs(1)));
        }
        // Lost races and events in namespaces that go are everyday things.
        let everyday = error.is_outdated() || matches!(job, Job::Notice(_));
        if first.get() && !everyday {
            tracing::warn!(call, reason = word, "{error}");
        }
    }

    fn looked(&mut self, objects: &[ObjectId], result: Result<Option<Box<Seen>>, CallError>, now: Instant) {
        self.looking = false;
        match result {
            Ok(Some(crd)) if !crd.deleting => {
                self.index.honour(objects);
                objects.iter().for_each(|object| self.noticed(object));
            }
            Ok(Some(_)) => {
                tracing::warn!(
                    objects = objects.len(),
                    "the CRD itself is being deleted: finalizers come off, and the records stay in their zones as orphans"
                );
                self.untouched.extend(objects.iter().cloned());
                objects.iter().for_each(|object| self.outbox.push(object));
            }
            Ok(None) | Err(_) => self.look_after = now + LOOK_AGAIN,
        }
    }

    /// The finalizer comes off though the records are still there.
    fn let_go(&mut self, object: &ObjectId, outcome: &Outcome) {
        let Outcome::Leaving(reason, words, _) = outcome else { return };
        tracing::warn!(
            object = object.as_str(),
            reason,
            "its deletion is given up; what is left in the zone is an orphan: {words}"
        );
        self.setting.board.count(|counts| counts.let_go += 1);
        let note = format!(
            "the finalizer was taken off though its records could not be deleted ({reason}: {words}); they are orphans of the zone now"
        );
        self.notice(object, true, "LetGo", note, "Delete");
    }

    fn complain(&mut self, object: &ObjectId, outcome: &Outcome) {
        let words = match outcome {
            Outcome::Refused(_, words) => words.clone(),
            Outcome::Troubled(troubles) => conditions::in_words(troubles),
            _ => return,
        };
        let reason = conditions::word(outcome);
        // There is no status that says all of it, so it goes where it is shortest: an event's own limit.
        let words = conditions::cut(&words, 1000);
        tracing::warn!(object = object.as_str(), reason, "{words}");
        self.notice(object, true, reason, words, "Program");
    }

    fn notice(&mut self, object: &ObjectId, warning: bool, reason: &str, note: String, action: &'static str) {
        let Some(entry) = self.index.get(object) else { return };
        let held = &entry.held;
        self.outbox.tell(Notice {
            resource: entry.resource,
            namespace: held.namespace.clone(),
            name: held.name.clone(),
            uid: held.uid.clone(),
            warning,
            reason: reason.to_owned(),
            note,
            action,
        });
    }

    /// An event for what changed for the worse, and for what was healed; not for what went well at once.
    fn tell_transition(&mut self, object: &ObjectId, old_reason: &str) {
        let Some(entry) = self.index.get_mut(object) else { return };
        let Some(now) = ready(&entry.status).cloned() else { return };
        let well = now.status == "True";
        let trouble = |reason: &str| !matches!(reason, "" | "Pending" | "Programmed");
        // On the way from one to the other it may have been pending.
        let healed = well && (entry.unwell || trouble(old_reason));
        entry.unwell = !well && (entry.unwell || trouble(&now.reason));
        // A namespace that goes takes no events.
        if old_reason == now.reason || entry.deleting && now.reason == "Deleting" {
            return;
        }
        let worse = !well && now.reason != "Pending";
        if worse || healed {
            tracing::info!(object = object.as_str(), reason = now.reason, "{}", now.message);
            self.notice(object, worse, &now.reason.clone(), now.message, "Program");
        }
    }

    /// Tells the numbers.
    pub(super) fn show(&mut self, started: bool) {
        let missing = if started {
            let read = |zone: &crate::model::Name| self.reports.get(zone).is_some_and(|report| report.revision > 0);
            let zones = self.seats.iter().filter(|(zone, _)| !read(zone)).map(|(zone, _)| zone.to_relaxed());
            zones.chain(self.unread.iter().map(|kind| format!("the list of {kind}"))).collect()
        } else {
            vec!["the lists of objects".to_owned()]
        };
        let (queue, dropped) = (self.outbox.len(), self.outbox.dropped);
        self.setting.board.count(|counts| {
            (counts.queue, counts.dropped_events, counts.leader, counts.missing) = (queue, dropped, true, missing);
        });
    }
}

fn ready(status: &RecordStatus) -> Option<&Condition> {
    status.conditions.iter().find(|one| one.r#type == "Ready")
}

fn is_ready(status: &RecordStatus, generation: i64) -> bool {
    status.observed_generation == Some(generation)
        && status.conditions.iter().any(|one| one.r#type == "Ready" && one.status == "True")
}
