//! The turn of a zone: its object is made and told, and what a person ordered there is done.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::jobs::{Job, patch_of};
use super::report::Report;
use super::seats::Beginning;
use super::term::Term;
use super::zones::{self, Order, ZoneObject, object_name};
use crate::cluster::{Notice, Resource, Seen};
use crate::model::Name;
use crate::spec::ZoneMode;

/// Every field of a zone's status.
const FIELDS: &[&str] = &[
    "observedGeneration",
    "zone",
    "server",
    "serial",
    "lastSync",
    "sets",
    "conflicts",
    "orphans",
    "orphansHash",
    "held",
    "mode",
    "brake",
    "conflictSample",
    "orphanSample",
    "conditions",
];

impl Term {
    /// Looks at a zone: is its worker in the right mode, is its object there, what is ordered, what has to be told.
    pub(super) async fn zone_turn(&mut self, zone: &Name, now: Instant) {
        self.follow_mode(zone).await;
        self.end_release(zone);
        if !self.zones_known || self.zone_busy.contains(zone) || !self.setting.lead.holds() {
            return;
        }
        let Some(seat) = self.seats.get(zone) else { return };
        let status = Arc::clone(&seat.status.borrow());
        let Some(object) = self.objects.get(zone) else {
            // One that was deleted comes back as a person had set it: absence is no order.
            let spec = match self.modes.get(zone).copied().flatten() {
                Some(mode) => json!({"mode": mode_word(mode)}),
                None => json!({}),
            };
            let job = Job::CreateZone(zone.clone(), object_name(zone), spec);
            tracing::info!(zone = %zone, "its object is not there and is made");
            return self.begin_zone(zone, job);
        };
        // Until it was heard of, what is said of it stays.
        let Some(report) = self.reports.get(zone).filter(|report| report.revision > 0 || report.error.is_some()) else {
            return;
        };
        if let Some(plan) = status.plan.as_ref().filter(|_| report.revision > 0 && report.error.is_none()) {
            let orders = zones::orders(&object.spec, plan, self.unread.is_empty());
            if !orders.is_empty() {
                // The order is taken off first: it counts once, whatever happens to us in between.
                let fields = orders.iter().flat_map(|order| fields(order, object)).collect();
                let job = Job::ClearZone(zone.clone(), object.held.clone(), fields);
                self.orders.insert(zone.clone(), orders);
                return self.begin_zone(zone, job);
            }
        }
        let observe = self.observing.get(zone).copied().unwrap_or(false);
        let time = format!("{:.0}", jiff::Timestamp::now());
        let new = zones::status(&status, report, object, observe, self.unread.first().copied(), &time);
        if new != object.status {
            if zones::is_due(&object.status, &new, self.zone_written.get(zone).copied(), now) {
                let job = Job::ZoneStatus(zone.clone(), object.held.clone(), patch_of(&new, FIELDS));
                self.zone_written.insert(zone.clone(), now);
                self.begin_zone(zone, job);
            } else {
                // Later.
                self.zones_late.insert(zone.clone());
            }
        }
    }

    /// The object of a zone that is not configured, or not any more, does not go on telling what was so once.
    pub(super) fn disown(&mut self, seen: Seen) {
        let object = ZoneObject::from(seen);
        if let Some(conditions) = zones::disowned(&object, &format!("{:.0}", jiff::Timestamp::now())) {
            self.begin(Job::Disown(object.held, json!({"conditions": conditions})));
        }
    }

    fn begin_zone(&mut self, zone: &Name, job: Job) {
        self.zone_busy.insert(zone.clone());
        self.begin(job);
    }

    /// The object of a zone was made. If somebody deleted one while no operator led, the mode that it had is not known: a
    /// person who set one is told which counts now.
    pub(super) fn zone_made(&mut self, zone: &Name) {
        let Some(seat) = self.seats.get(zone) else { return };
        let mode = mode_word(if self.observes(&seat.settings) { ZoneMode::Observe } else { ZoneMode::Repair });
        let note = match self.modes.get(zone).copied().flatten() {
            Some(_) => format!("made anew in the mode that the one before had: {mode}"),
            None => format!(
                "made in the mode of the configuration: {mode}. A mode that was set on an object of the zone before counts no \
                 longer; what is to outlast the object belongs into the configuration (mode: at the zone)"
            ),
        };
        self.zone_notice(zone, false, "Made", note, "Make");
    }

    /// The API server's answer about a zone's object.
    pub(super) fn zone_answered(&mut self, zone: &Name, seen: Seen) {
        let object = ZoneObject::from(seen);
        self.modes.insert(zone.clone(), object.spec.mode);
        self.objects.insert(zone.clone(), object);
    }

    /// A person may have changed whether the zone is only looked at.
    async fn follow_mode(&mut self, zone: &Name) {
        let Some(seat) = self.seats.get(zone) else { return };
        let observe = self.observes(&seat.settings);
        if self.observing.get(zone) == Some(&observe) {
            return;
        }
        let past = seat.status.borrow().past_brake.clone();
        tracing::info!(zone = %zone, mode = mode_word(if observe { ZoneMode::Observe } else { ZoneMode::Repair }), "a person set the mode of the zone");
        // What was not told yet is in what the new worker begins with, or told after it.
        let claims = self.index.everything(zone);
        match self.seats.restart(zone, Beginning { observe, claims, past }).await {
            Ok(()) => {
                self.observing.insert(zone.clone(), observe);
                self.setting.board.set_modes(self.observing.clone());
                self.reports.insert(zone.clone(), Report::unheard());
                let statuses = self.seats.iter().map(|(zone, seat)| (zone.clone(), seat.status.clone())).collect();
                self.setting.board.set_zones(statuses);
            }
            Err(error) => tracing::error!(zone = %zone, "{error}"),
        }
    }

    /// An order was taken off its object: now it is followed.
    pub(super) fn zone_cleared(&mut self, zone: &Name) {
        for order in self.orders.remove(zone).unwrap_or_default() {
            match order {
                Order::Release(hash) => {
                    if let Some(seat) = self.seats.get(zone) {
                        seat.mailbox.release(hash.clone());
                    }
                    tracing::info!(zone = %zone, hash, "a person released what the brake holds");
                    self.zone_notice(
                        zone,
                        false,
                        "Released",
                        format!("the held operations {hash} are released"),
                        "Release",
                    );
                }
                Order::Orphans(hash, keys) => {
                    let number = keys.len();
                    tracing::info!(zone = %zone, hash, orphans = number, "a person ordered orphans to be deleted");
                    self.zone_notice(
                        zone,
                        false,
                        "OrphansReleased",
                        format!("{number} orphans ({hash}) are being deleted"),
                        "Release",
                    );
                    self.index.release_orphans(zone, keys);
                    self.releasing.insert(zone.clone(), self.index.revision() + 1);
                }
                Order::Unmatched(field, hash) => {
                    let what = if field == "release" { "held operations" } else { "orphans" };
                    tracing::warn!(zone = %zone, hash, "an order names {what} that are not there");
                    let note = format!(
                        "spec.{field}: {hash} is not the hash of the present {what}, so nothing was done; see status for the present one"
                    );
                    self.zone_notice(zone, true, "StaleRelease", note, "Release");
                }
            }
        }
    }

    /// Released orphans are forgotten once they are gone: what comes and goes later under the same names is not meant.
    fn end_release(&mut self, zone: &Name) {
        let Some(revision) = self.releasing.get(zone).copied() else { return };
        let Some(seat) = self.seats.get(zone) else { return };
        let status = Arc::clone(&seat.status.borrow());
        let settled = status.plan.as_ref().is_some_and(|plan| plan.is_settled() && plan.refused.is_none());
        if status.revision >= revision && settled && status.error.is_none() {
            self.releasing.remove(zone);
            self.index.release_orphans(zone, Default::default());
        }
    }

    fn zone_notice(&mut self, zone: &Name, warning: bool, reason: &str, note: String, action: &'static str) {
        let Some(object) = self.objects.get(zone) else { return };
        self.outbox.tell(Notice {
            resource: Resource::Zone,
            namespace: String::new(),
            name: object.held.name.clone(),
            uid: object.held.uid.clone(),
            warning,
            reason: reason.to_owned(),
            note,
            action,
        });
    }
}

/// The fields that an order consists of, as they were read.
fn fields(order: &Order, object: &ZoneObject) -> Vec<(&'static str, Value)> {
    let spec = serde_json::to_value(&object.spec).unwrap_or_default();
    let of = |field: &'static str| (field, spec[field].clone());
    match order {
        Order::Release(_) | Order::Unmatched("release", _) => vec![of("release")],
        Order::Orphans(..) | Order::Unmatched(..) => vec![of("orphans"), of("orphansHash")],
    }
}

fn mode_word(mode: ZoneMode) -> &'static str {
    match mode {
        ZoneMode::Repair => "Repair",
        ZoneMode::Observe => "Observe",
    }
}
