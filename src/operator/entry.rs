//! One object as the operator knows it: what it declares, and what state it is in for the planner.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use crate::cluster::{Held, Resource, Seen};
use crate::model::{Claim, Name, ObjectId, ObjectState};
use crate::source::{ObjectFault, read_object};
use crate::spec::{KIND, RecordStatus, Rights, VERSION, Zones};

/// Our finalizer: the object stays until what it published was read back as gone.
pub const FINALIZER: &str = "dns.knotwork.dev/records";
const ABANDON: &str = "dns.knotwork.dev/abandon";

/// One object.
#[derive(Debug)]
pub struct Entry {
    /// Its kind.
    pub resource: Resource,
    /// What pins a write to it.
    pub held: Held,
    /// Its generation.
    pub generation: i64,
    /// It is being deleted.
    pub deleting: bool,
    /// Its annotations under our prefix, as text to compare.
    annotations: String,
    /// Whether the API server has our finalizer on it.
    pub finalizer: bool,
    /// Its claims may enter: the finalizer was stored, once.
    pub admitted: bool,
    /// The API server would not store the finalizer: nobody waits for this object.
    pub balked: bool,
    /// What the API server said the last time that it did not store a change of our finalizer.
    pub refusal: Option<Refusal>,
    /// No other zone holds anything of it that would have to stay until its names are there.
    pub arrived: bool,
    /// Its deletion is meant: the CRD itself was looked at and stays.
    pub honoured: bool,
    /// Everything that is wrong with it.
    pub faults: Vec<ObjectFault>,
    /// Its claims, with the apex of their zone.
    pub claims: Vec<(Name, Claim)>,
    /// Its own wish, as far as it was understood: present, paused, abandoned, or protected.
    wish: ObjectState,
    /// When it goes, the records stay.
    retain: bool,
    /// Names at which it may not share a set with another namespace, in words.
    pub separated: Vec<String>,
    /// The state of the source with which its latest change was told to the zones.
    pub revision: u64,
    /// Zones that were ever told of a claim of it.
    pub fed: BTreeSet<Name>,
    /// Its names were planned in their zones as it is now, so that its PTRs may follow.
    pub forward_known: bool,
    /// When it changed last, and when it was first seen so.
    pub changed_at: Instant,
    /// When its deletion was first tried, in this term.
    pub leaving_since: Option<Instant>,
    /// Everything that it declares now was read back.
    pub done: bool,
    /// When it is judged again, if that was arranged.
    pub timer: Option<Instant>,
    /// Its status told of a trouble since it was well last.
    pub unwell: bool,
    /// Its status, as the API server has it.
    pub status: RecordStatus,
}

/// The API server's no to a change of our finalizer.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The version of the object that was to be changed.
    pub version: String,
    /// Its words.
    pub message: String,
    /// It means no, and will say so again; else it could not.
    pub firm: bool,
    /// How often.
    pub tries: u32,
    /// When it is tried again.
    pub again: Instant,
}

/// The identity of an object in markers.
pub fn identity(resource: Resource, seen: &Seen) -> ObjectId {
    match resource {
        Resource::Endpoint => ObjectId::endpoint(&seen.namespace, &seen.name),
        _ => ObjectId::static_record(&seen.namespace, &seen.name),
    }
}

impl Entry {
    /// Reads an object.
    pub fn read(resource: Resource, seen: Seen, zones: &Zones, rights: &Rights, now: Instant) -> Entry {
        let object = json!({
            "apiVersion": format!("{}/{VERSION}", crate::spec::GROUP), "kind": KIND,
            "metadata": {"name": seen.name, "namespace": seen.namespace, "annotations": seen.annotations},
            "spec": seen.body.get("spec").cloned().unwrap_or(Value::Null),
        });
        let (lowered, faults) = match resource {
            Resource::Endpoint => {
                let lowered = crate::spec::lower_endpoint(&object, zones, rights);
                let say = |problem: &crate::spec::Problem| ObjectFault {
                    field: problem.path.clone(),
                    reason: problem.reason,
                    message: format!("{}: {}", problem.path, problem.message),
                };
                let faults = lowered.problems.iter().map(say).collect();
                (lowered, faults)
            }
            _ => {
                let read = read_object(&object, zones, rights);
                (read.lowered, read.faults)
            }
        };
        let mut claims = lowered.claims;
        for (_, claim) in &mut claims {
            claim.created = seen.created;
        }
        // Its own name first, then what follows from it.
        claims.sort_by_key(|(_, claim)| claim.reverse);
        let finalizer = seen.finalizers.iter().any(|own| own == FINALIZER);
        // By the object itself, however wrong the rest of it may be.
        let abandoned = seen.annotations.get(ABANDON).is_some_and(|value| value == "true");
        Entry {
            resource,
            held: Held::from(&seen),
            generation: seen.generation,
            deleting: seen.deleting,
            annotations: format!("{:?}", seen.annotations),
            finalizer,
            admitted: finalizer || resource == Resource::Endpoint,
            balked: false,
            refusal: None,
            arrived: false,
            honoured: false,
            wish: if abandoned {
                ObjectState::Abandoned
            } else if faults.is_empty() {
                lowered.state
            } else {
                ObjectState::Protected
            },
            retain: seen.spec("deletionPolicy").is_some_and(|policy| policy == "Retain"),
            faults,
            claims,
            separated: Vec::new(),
            revision: 0,
            fed: BTreeSet::new(),
            forward_known: false,
            changed_at: now,
            leaving_since: seen.deleting.then_some(now),
            done: false,
            timer: None,
            unwell: false,
            status: serde_json::from_value(seen.status).unwrap_or_default(),
        }
    }

    /// Whether `seen` says nothing of the same object that would change what is declared.
    pub fn says_the_same(&self, seen: &Seen) -> bool {
        self.held.uid == seen.uid
            && self.generation == seen.generation
            && self.deleting == seen.deleting
            && self.finalizer == seen.finalizers.iter().any(|own| own == FINALIZER)
            && self.annotations == format!("{:?}", seen.annotations)
            // Only kinds with a status subresource count generations.
            && (self.generation != 0 || seen.body.is_null())
    }

    /// Takes over what is remembered of the same object as it was before.
    pub fn follow(&mut self, before: &Entry) {
        self.fed.clone_from(&before.fed);
        if self.held.uid != before.held.uid {
            return;
        }
        // Once stored and then taken off by somebody, it is put on again; the claims stay meanwhile.
        self.admitted |= before.admitted;
        self.balked = before.balked;
        // Where it moved to another zone, the old one has something of it.
        self.arrived = before.arrived && before.fed.iter().all(|zone| self.claims.iter().any(|(own, _)| own == zone));
        if self.finalizer == before.finalizer && self.deleting == before.deleting {
            self.refusal.clone_from(&before.refusal);
            // Another object than the one that was refused is worth a try at once.
            if let Some(refusal) = self.refusal.as_mut().filter(|_| self.generation != before.generation) {
                refusal.again = self.changed_at;
            }
        }
        self.unwell = before.unwell;
        self.honoured = before.honoured && self.deleting;
        self.leaving_since = before.leaving_since.or(self.leaving_since);
    }

    /// Whether it is valid and not on its way out.
    pub fn is_live(&self) -> bool {
        !self.deleting && self.faults.is_empty()
    }

    /// Whether our finalizer belongs on it and is not there.
    pub fn wants_finalizer(&self) -> bool {
        self.resource == Resource::Record && self.is_live() && !self.finalizer && self.wish != ObjectState::Abandoned
    }

    /// Whether it is time to try to change its finalizers.
    pub fn may_try(&self, now: Instant) -> bool {
        self.refusal.as_ref().is_none_or(|refusal| refusal.again <= now)
    }

    /// Whether our finalizer is to come off, once its zones are rid of it.
    pub fn is_leaving(&self) -> bool {
        self.deleting && self.finalizer
    }

    /// Whether somebody asked that it be let go without touching DNS.
    pub fn is_abandoned(&self) -> bool {
        self.wish == ObjectState::Abandoned
    }

    /// Whether it is only observed.
    pub fn is_paused(&self) -> bool {
        self.wish == ObjectState::Paused
    }

    /// Whether PTRs follow from its names.
    pub fn has_reverse(&self) -> bool {
        self.claims.iter().any(|(_, claim)| claim.reverse)
    }

    /// Its state, for every zone in which nothing keeps its PTRs back.
    pub fn state(&self) -> ObjectState {
        if self.is_abandoned() {
            ObjectState::Abandoned
        } else if self.deleting && self.finalizer && self.honoured {
            // With Retain only markers go, though the marker may not say so yet.
            if self.retain { ObjectState::Abandoned } else { ObjectState::Deleting }
        } else if self.deleting || !self.faults.is_empty() || !self.admitted || !self.separated.is_empty() {
            ObjectState::Protected
        } else {
            self.wish
        }
    }

    /// The zones that have something to do with it: those that its spec means, and those that were told of it.
    pub fn zones(&self) -> BTreeSet<Name> {
        self.claims.iter().map(|(zone, _)| zone.clone()).chain(self.fed.iter().cloned()).collect()
    }
}
