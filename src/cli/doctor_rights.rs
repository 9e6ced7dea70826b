//! What `doctor` finds out about the right to update.

use std::sync::Arc;

use super::doctor::Visit;
use crate::dns::explain::Missing;
use crate::knot::{Place, ServerError, Session, UpdateResult};
use crate::model::{Name, RrType};
use crate::ownership::{Marker, ZoneRules};
use crate::plan::{Edit, Guard};
use crate::zone::key_is_good;

impl Visit<'_> {
    /// Tries UPDATEs that cannot apply, since their prerequisite says that the apex holds nothing: first one without any
    /// record, which only the right to update as such can stop, then one for each type.
    pub(super) async fn rights(&mut self, session: &Arc<Session>, rules: &ZoneRules) {
        let name = rules.zone.to_relaxed();
        let types: &[(RrType, &str)] = &[
            (RrType::TXT, "\"knotwork doctor\""),
            (RrType::A, "192.0.2.1"),
            (RrType::AAAA, "2001:db8::1"),
            (RrType::CNAME, "doctor.invalid."),
            (RrType::MX, "10 doctor.invalid."),
            (RrType::SRV, "0 0 1 doctor.invalid."),
            (RrType::PTR, "doctor.invalid."),
            (RrType::NS, "doctor.invalid."),
            (RrType::CAA, "0 issue \"doctor.invalid\""),
            (RrType::SSHFP, "4 2 0000000000000000000000000000000000000000000000000000000000000000"),
            (RrType::TLSA, "3 1 1 0000000000000000000000000000000000000000000000000000000000000000"),
            (RrType::SVCB, "1 doctor.invalid."),
            (RrType::HTTPS, "1 doctor.invalid."),
        ];
        let Ok(owner) = rules.zone.child(b"knotwork-doctor") else { return };
        let guard = Guard::NameNotInUse(rules.zone.clone());
        match try_update(session, &rules.zone, &guard, &[]).await {
            UpdateResult::Refused { rcode: 5 | 9, error } => {
                let error = key_is_good(error, session, Missing::Action);
                return self.bad(&format!("zone {name}: update: ({}) {error}", error.reason()));
            }
            UpdateResult::Lost(error) | UpdateResult::NotSent(error) => {
                return self.bad(&format!("zone {name}: update: {error}"));
            }
            _ => {}
        }
        let mut allowed = Vec::new();
        let mut denied = Vec::new();
        for (rtype, text) in types {
            let Ok(value) = crate::model::rdata::from_text(*rtype, text, None) else { continue };
            // Markers stand at names of their own, which an ACL by name may not know.
            let at = match *rtype {
                RrType::TXT => Marker::node(&rules.label, &owner, RrType::A).unwrap_or_else(|_| owner.clone()),
                _ => owner.clone(),
            };
            let edit = Edit::Add(at, *rtype, 60, value);
            match try_update(session, &rules.zone, &guard, std::slice::from_ref(&edit)).await {
                // YXDOMAIN: it looked at the prerequisite, so the ACL let the message in.
                UpdateResult::Refused { rcode: 6, .. } => allowed.push(rtype.to_string()),
                UpdateResult::Refused { error, .. } => {
                    let error = key_is_good(error, session, Missing::Scope);
                    denied.push((rtype.to_string(), error.to_string()));
                }
                UpdateResult::Applied => {
                    denied.push((
                        rtype.to_string(),
                        "took a message whose prerequisite cannot hold; is this a DNS server?".to_owned(),
                    ));
                }
                UpdateResult::Lost(error) | UpdateResult::NotSent(error) => {
                    return self.bad(&format!("zone {name}: update: {error}"));
                }
            }
        }
        if !allowed.is_empty() {
            self.good(&format!("zone {name}: update allowed for {}", allowed.join(", ")));
        }
        if let Some((first, words)) = denied.first() {
            let all: Vec<&str> = denied.iter().map(|(rtype, _)| rtype.as_str()).collect();
            let text = format!(
                "zone {name}: update not allowed for {}: {words} Only types that shall be declared are needed, and TXT always.",
                all.join(", ")
            );
            // Without TXT no marker can be written, and nothing at all works.
            if first == "TXT" { self.bad(&text) } else { self.doubtful(&text) }
        }
    }
}

/// Sends one UPDATE and waits for its end.
async fn try_update(session: &Arc<Session>, zone: &Name, guard: &Guard, edits: &[Edit]) -> UpdateResult {
    let (reply, mut answers) = tokio::sync::mpsc::channel(1);
    let message = crate::dns::update::encode(zone, 0, [guard], edits);
    let place = Place { server: session.address(), zone: zone.clone() };
    let ended = || {
        UpdateResult::NotSent(ServerError::Unreachable {
            place: place.clone(),
            detail: "the connection ended".to_owned(),
        })
    };
    if session.updates().submit(zone, message, 0, &reply).await.is_err() {
        return ended();
    }
    match tokio::time::timeout(session.update_timeout() * 3, answers.recv()).await {
        Ok(Some(answered)) => answered.result,
        _ => ended(),
    }
}
