//! The `DNSZone` objects: what a zone shows to a person, and what a person orders there. Pure.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::conditions::cut;
use super::report::Report;
use super::zone_conditions;
use crate::cluster::{Held, Seen};
use crate::model::{FastSet, Name, OrphanKey};
use crate::plan::{Orphan, Plan};
use crate::spec::{
    Condition, ConflictSample, OrphanSample, Orphans, ZoneBrake, ZoneHeld, ZoneMode, ZoneObjectStatus, ZoneSets,
    ZoneSpec,
};
use crate::zone::{PastBrake, ZoneStatus};

/// Most conflicts and orphans that a status shows.
const SAMPLE: usize = 8;
/// Most octets of who holds or declares something; the CRD takes 1024 characters.
const TEXT: usize = 1000;
/// How often a status is written at most.
const PACE: Duration = Duration::from_secs(1);
/// The same, when nothing but the serial moved.
const SERIAL_PACE: Duration = Duration::from_secs(10);

/// One zone's object as the API server has it.
#[derive(Debug, Default)]
pub struct ZoneObject {
    /// What pins a write to it.
    pub held: Held,
    /// Its generation.
    pub generation: i64,
    /// What a person orders.
    pub spec: ZoneSpec,
    /// Its status.
    pub status: ZoneObjectStatus,
}

impl From<Seen> for ZoneObject {
    fn from(seen: Seen) -> ZoneObject {
        let of = |value: &Value| serde_json::from_value(value.clone()).unwrap_or_default();
        ZoneObject {
            held: Held::from(&seen),
            generation: seen.generation,
            spec: seen.body.get("spec").map(of).unwrap_or_default(),
            status: serde_json::from_value(seen.status).unwrap_or_default(),
        }
    }
}

impl ZoneObject {
    /// What the brake of another process left here.
    pub fn past_brake(&self, now: jiff::Timestamp) -> PastBrake {
        let held = self.status.held.is_some();
        let Some(brake) = &self.status.brake else { return PastBrake { held, ..PastBrake::default() } };
        let since = brake.since.parse::<jiff::Timestamp>().unwrap_or(now);
        let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let count = |number: i64| usize::try_from(number).unwrap_or(0);
        PastBrake { operations: count(brake.operations), owned: count(brake.owned), age, held }
    }
}

/// What a person ordered at a zone's object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Release what the brake holds.
    Release(String),
    /// Delete these orphans.
    Orphans(String, FastSet<OrphanKey>),
    /// A hash that is of nothing that waits.
    Unmatched(&'static str, String),
}

/// The orders of a spec, as the plan stands. One about orphans waits until it is known what is declared (`all_read`).
pub fn orders(spec: &ZoneSpec, plan: &Plan, all_read: bool) -> Vec<Order> {
    let mut orders = Vec::new();
    if let Some(hash) = &spec.release {
        orders.push(match &plan.held {
            Some(held) if held.hash == *hash => Order::Release(hash.clone()),
            _ => Order::Unmatched("release", hash.clone()),
        });
    }
    if let (Some(Orphans::Delete), Some(hash), true) = (&spec.orphans, &spec.orphans_hash, all_read) {
        orders.push(match orphans_hash(&plan.orphans) {
            Some(there) if there == *hash => Order::Orphans(hash.clone(), plan.orphans.iter().map(key).collect()),
            _ => Order::Unmatched("orphansHash", hash.clone()),
        });
    }
    orders
}

fn key(orphan: &Orphan) -> OrphanKey {
    (orphan.name.clone(), orphan.rtype, orphan.resource.clone())
}

/// The hash that names just these orphans; `None` where there is none.
pub fn orphans_hash(orphans: &[Orphan]) -> Option<String> {
    if orphans.is_empty() {
        return None;
    }
    let mut keys: Vec<String> =
        orphans.iter().map(|one| format!("{} {} {}", one.name, one.rtype, one.resource)).collect();
    keys.sort();
    let mut hash = Sha256::new();
    for key in keys {
        hash.update(key.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    Some(digest[..8].iter().fold(String::with_capacity(16), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// What the object of a zone says that is not configured; `None` where it says so already.
pub fn disowned(object: &ZoneObject, now: &str) -> Option<Vec<Condition>> {
    let said = |one: &&Condition| one.r#type == "Reachable" && one.reason == "NotConfigured";
    if object.status.conditions.iter().any(|one| said(&one)) {
        return None;
    }
    let condition = |kind: &str| {
        Condition {
        r#type: kind.to_owned(),
        status: "Unknown".to_owned(),
        observed_generation: Some(object.generation),
        last_transition_time: now.to_owned(),
        reason: "NotConfigured".to_owned(),
        message: "the zone is not in the operator's configuration: nothing of it is looked at or changed, and what stands here \
                  besides is how it was then. Delete this object if the zone is not to come back"
            .to_owned(),
    }
    };
    Some(["Reachable", "InSync"].map(condition).to_vec())
}

/// The status of a zone's object. `unread`: a kind that declares records and whose objects are not known now.
pub fn status(
    status: &ZoneStatus,
    report: &Report,
    object: &ZoneObject,
    observe: bool,
    unread: Option<&str>,
    now: &str,
) -> ZoneObjectStatus {
    let plan = status.plan.as_deref().filter(|_| report.revision > 0);
    let number = |number: usize| Some(i64::try_from(number).unwrap_or(i64::MAX));
    let of = |word: &str| number(status.sets.get(word).copied().unwrap_or(0));
    let mut new = ZoneObjectStatus {
        observed_generation: Some(object.generation),
        zone: Some(status.zone.to_relaxed()),
        server: Some(status.server.to_string()),
        serial: status.serial.map(i64::from),
        mode: Some(if observe { ZoneMode::Observe } else { ZoneMode::Repair }),
        ..ZoneObjectStatus::default()
    };
    if let Some(plan) = plan {
        new.sets = Some(ZoneSets {
            ours: of("ours"),
            knotwork: of("knotwork"),
            external_dns: of("externalDns"),
            nix: of("nix"),
            dhcp: of("dhcp"),
            infrastructure: of("infrastructure"),
            unmarked: of("unmarked"),
        });
        new.conflicts = number(plan.conflicts.len());
        // Whose object is not known may be declared all the same: no hash is offered.
        let orphans = if unread.is_none() { &plan.orphans[..] } else { &[] };
        new.orphans = number(orphans.len()).filter(|_| unread.is_none());
        new.orphans_hash = orphans_hash(orphans);
        new.held = plan.held.as_ref().map(|held| ZoneHeld {
            hash: held.hash.clone(),
            deletes: number(held.deletes).unwrap_or(0),
            replaces: number(held.replaces).unwrap_or(0),
            takeovers: number(held.takeovers).unwrap_or(0),
            owned: number(held.owned).unwrap_or(0),
            limit: number(held.limit).unwrap_or(0),
        });
        new.conflict_sample = plan
            .conflicts
            .iter()
            .take(SAMPLE)
            .map(|one| ConflictSample {
                name: one.name.to_relaxed(),
                r#type: one.rtype.to_string(),
                reason: one.reason.to_owned(),
                owner: Some(cut(&one.owner, TEXT)).filter(|owner| !owner.is_empty()),
                source: one.source.as_ref().map(|source| cut(source.as_str(), TEXT)),
            })
            .collect();
        new.orphan_sample = orphans
            .iter()
            .take(SAMPLE)
            .map(|one| OrphanSample {
                name: one.name.to_relaxed(),
                r#type: one.rtype.to_string(),
                resource: cut(one.resource.as_str(), TEXT),
            })
            .collect();
        new.brake = brake(&status.past_brake, &object.status);
    }
    // The view is confirmed many times a second: what is told is when it moved.
    let moved = object.status.serial != new.serial || object.status.last_sync.is_none();
    new.last_sync = match new.serial {
        Some(_) if moved => Some(now.to_owned()),
        _ => object.status.last_sync.clone(),
    };
    new.conditions = zone_conditions::conditions(status, report, object, observe, unread, now);
    new
}

/// What the brake remembers, for a process after this one.
fn brake(past: &PastBrake, before: &ZoneObjectStatus) -> Option<ZoneBrake> {
    if past.operations == 0 {
        return None;
    }
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let since = jiff::Timestamp::now() - jiff::SignedDuration::try_from(past.age).unwrap_or_default();
    let mut brake =
        ZoneBrake { operations: number(past.operations), owned: number(past.owned), since: format!("{since:.0}") };
    // The same moment, told twice, differs by the time that telling takes.
    if let Some(old) = &before.brake
        && let (Ok(told), Ok(now)) = (old.since.parse::<jiff::Timestamp>(), brake.since.parse::<jiff::Timestamp>())
        && now.duration_since(told).abs() <= jiff::SignedDuration::from_secs(2)
    {
        brake.since.clone_from(&old.since);
    }
    Some(brake)
}

/// Whether a status that differs may be written now, so long after the last.
pub fn is_due(old: &ZoneObjectStatus, new: &ZoneObjectStatus, written: Option<Instant>, now: Instant) -> bool {
    let only_serial = {
        let mut like = old.clone();
        (like.serial, like.last_sync) = (new.serial, new.last_sync.clone());
        like == *new
    };
    let pace = if only_serial { SERIAL_PACE } else { PACE };
    written.is_none_or(|at| now.duration_since(at) >= pace)
}

/// The object name and the zone's own, for `kubectl`.
pub fn object_name(zone: &Name) -> String {
    crate::spec::zone_object_name(zone)
}
