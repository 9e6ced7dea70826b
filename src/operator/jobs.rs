//! What is written to the API server, by object: one write at a time for each, the last wish only, with back-off.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::entry::FINALIZER;
use crate::cluster::{CallError, Calls, Held, Notice, Resource, Seen};
use crate::model::{FastMap, FastSet, Name, ObjectId};
use crate::spec::RecordStatus;

/// Writes under way at once. More do not make an API server quicker, and take it from others.
pub const WIDTH: usize = 32;
/// Events that may wait; more are dropped and counted.
const NOTICES: usize = 1000;
/// Events under way at once: they are the least that matters.
pub const NOTICE_WIDTH: usize = 2;

/// One call.
#[derive(Debug)]
pub enum Job {
    /// Our finalizer goes on.
    AddFinalizer(ObjectId, Held),
    /// Our finalizer comes off.
    RemoveFinalizer(ObjectId, Held),
    /// A status is written, where another one of this reason stood.
    Status(ObjectId, Held, Value, String),
    /// The object of a zone is made.
    CreateZone(Name, String, Value),
    /// Its status is written.
    ZoneStatus(Name, Held, Value),
    /// The status of a zone's object says that the zone is not configured.
    Disown(Held, Value),
    /// An order of a person is taken off it, before it is followed.
    ClearZone(Name, Held, Vec<(&'static str, Value)>),
    /// An event is reported.
    Notice(Notice),
    /// The CRD of records is looked at, for these objects that are being deleted.
    LookAtCrd(Vec<ObjectId>),
}

/// What a call came to.
#[derive(Debug)]
pub struct Done {
    /// The call.
    pub job: Job,
    /// Its answer; `None` where it has none that counts.
    pub result: Result<Option<Box<Seen>>, CallError>,
}

impl Job {
    /// A word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Job::AddFinalizer(..) => "add-finalizer",
            Job::RemoveFinalizer(..) => "remove-finalizer",
            Job::Status(..) => "status",
            Job::CreateZone(..) => "create-zone",
            Job::ZoneStatus(..) | Job::Disown(..) => "zone-status",
            Job::ClearZone(..) => "clear-order",
            Job::Notice(_) => "event",
            Job::LookAtCrd(_) => "look-at-crd",
        }
    }

    /// Makes the call.
    pub async fn run(self, calls: Calls) -> Done {
        let record = Resource::Record;
        let result = match &self {
            Job::AddFinalizer(_, held) => calls.add_finalizer(record, held, FINALIZER).await.map(Some),
            Job::RemoveFinalizer(_, held) => calls.remove_finalizer(record, held, FINALIZER).await.map(Some),
            Job::Status(_, held, status, _) => calls.patch_status(record, held, status).await.map(Some),
            Job::CreateZone(_, name, spec) => calls.create(Resource::Zone, name, spec.clone()).await.map(Some),
            Job::ZoneStatus(_, held, status) | Job::Disown(held, status) => {
                calls.patch_status(Resource::Zone, held, status).await.map(Some)
            }
            Job::ClearZone(_, held, fields) => calls.clear_spec(Resource::Zone, held, fields).await.map(Some),
            Job::Notice(notice) => calls.tell(notice).await.map(|()| None),
            Job::LookAtCrd(_) => calls.get(Resource::Crd, "", crate::cluster::CRDS[0]).await.map(Some),
        };
        Done { job: self, result: result.map(|seen| seen.map(Box::new)) }
    }
}

/// Objects that something is to be written to.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<ObjectId>,
    queued: FastSet<ObjectId>,
    busy: FastSet<ObjectId>,
    retries: FastMap<ObjectId, (u32, Instant)>,
    /// Not before: the server asked to be left alone.
    pub quiet_until: Option<Instant>,
    notices: VecDeque<Notice>,
    /// Events that were dropped.
    pub dropped: u64,
}

impl Outbox {
    /// Something may be to be written to this object; what, is decided when its turn comes.
    pub fn push(&mut self, object: &ObjectId) {
        if self.queued.insert(object.clone()) {
            self.queue.push_back(object.clone());
        }
    }

    /// The next whose turn it is: neither being written to nor to be left alone for now.
    pub fn pop(&mut self, now: Instant) -> Option<ObjectId> {
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        for _ in 0..self.queue.len() {
            let object = self.queue.pop_front()?;
            let waits = self.busy.contains(&object) || self.retries.get(&object).is_some_and(|(_, at)| now < *at);
            if !waits {
                self.queued.remove(&object);
                return Some(object);
            }
            self.queue.push_back(object);
        }
        None
    }

    /// A write began.
    pub fn began(&mut self, object: &ObjectId) {
        self.busy.insert(object.clone());
    }

    /// A write ended.
    pub fn ended(&mut self, object: &ObjectId, failed: Option<Duration>, now: Instant) {
        self.busy.remove(object);
        match failed {
            None => {
                self.retries.remove(object);
            }
            Some(least) => {
                let (tries, at) = self.retries.entry(object.clone()).or_insert((0, now));
                let wait = Duration::from_millis(200).saturating_mul(1 << (*tries).min(8)).min(Duration::from_secs(30));
                *at = now + wait.max(least);
                *tries += 1;
            }
        }
    }

    /// The object is no more.
    pub fn forget(&mut self, object: &ObjectId) {
        self.retries.remove(object);
    }

    /// Objects that wait for their turn.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// An event to report.
    pub fn tell(&mut self, notice: Notice) {
        match self.notices.len() < NOTICES {
            true => self.notices.push_back(notice),
            false => self.dropped += 1,
        }
    }

    /// The next event.
    pub fn pop_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }
}

/// A status as a merge patch: what is there and is not wanted any more is null.
pub fn status_patch(new: &RecordStatus) -> Value {
    patch_of(new, &["observedGeneration", "fqdn", "zone", "serial", "types", "values", "sets", "conditions"])
}

/// The same for any status: every field of it that is not given is null.
pub fn patch_of(new: &impl serde::Serialize, fields: &[&str]) -> Value {
    let mut patch = serde_json::to_value(new).unwrap_or_else(|_| json!({}));
    for field in fields {
        if patch.get(field).is_none() {
            patch[*field] = Value::Null;
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_write_at_a_time_and_failed_ones_wait() {
        let (a, b) = (ObjectId::new("a"), ObjectId::new("b"));
        let mut outbox = Outbox::default();
        let now = Instant::now();
        for object in [&a, &b, &a] {
            outbox.push(object);
        }
        assert_eq!((outbox.len(), outbox.pop(now)), (2, Some(a.clone())));
        outbox.began(&a);
        outbox.push(&a);
        assert_eq!((outbox.pop(now), outbox.pop(now)), (Some(b), None));
        outbox.ended(&a, Some(Duration::ZERO), now);
        assert_eq!(outbox.pop(now), None);
        assert_eq!(outbox.pop(now + Duration::from_secs(1)), Some(a.clone()));
        outbox.push(&a);
        outbox.ended(&a, None, now);
        outbox.quiet_until = Some(now + Duration::from_secs(5));
        assert_eq!(outbox.pop(now), None);
        assert_eq!(outbox.pop(now + Duration::from_secs(5)), Some(a));
    }

    #[test]
    fn what_is_gone_from_a_status_is_null() {
        let patch = status_patch(&RecordStatus { fqdn: Some("a.x".into()), ..RecordStatus::default() });
        assert_eq!((&patch["fqdn"], &patch["serial"], &patch["sets"]), (&json!("a.x"), &Value::Null, &Value::Null));
    }
}
