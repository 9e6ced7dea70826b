//! Finding out which half of a refused unit it is that a server refuses: the set or its marker.

use super::run::Run;
use super::{check, safety};
use crate::dns::update;
use crate::knot::UpdateResult;
use crate::model::RrType;
use crate::plan::{Edit, Guard};

/// Types about which a run asks at most; the others are reported without.
const ASKED: usize = 8;

/// What a server refuses of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Culprit {
    Marker,
    Set,
    Both,
    /// It does not say.
    Unknown,
}

impl Run<'_> {
    /// Which records of a refused unit the server refuses, in words to append; empty where that cannot be told.
    ///
    /// Servers look at rights before they look at prerequisites. So each half is sent behind a prerequisite that never
    /// holds (the apex is not in use): the answer tells whether it may be written, and nothing ever is, however late the
    /// message arrives. One type is asked about once.
    pub(super) async fn culprit(&mut self, index: usize) -> String {
        let label = self.engine.rules().label.as_bytes().to_vec();
        let is_mark = |edit: &Edit| {
            let (Edit::Add(name, rtype, ..) | Edit::Remove(name, rtype, _)) = edit;
            *rtype == RrType::TXT && name.first_label() == Some(&label[..])
        };
        let piece = &self.pieces.all[index];
        let kind = piece.kind();
        let (marks, set): (Vec<Edit>, Vec<Edit>) = piece.edits.iter().cloned().partition(is_mark);
        if marks.is_empty() || set.is_empty() {
            return String::new();
        }
        let culprit = match self.culprits.get(&kind) {
            Some(known) => *known,
            None if self.culprits.len() >= ASKED => return String::new(),
            None => {
                let culprit = match self.may_write(&marks).await {
                    None => Culprit::Unknown,
                    Some(marks) => match (marks, self.may_write(&set).await) {
                        (false, Some(true)) => Culprit::Marker,
                        (true, Some(false)) => Culprit::Set,
                        (false, Some(false)) => Culprit::Both,
                        _ => Culprit::Unknown,
                    },
                };
                self.culprits.insert(kind, culprit);
                culprit
            }
        };
        match culprit {
            Culprit::Marker => format!("; it refuses {}", describe(&marks)),
            Culprit::Set => format!("; it refuses {}", describe(&set)),
            Culprit::Both => "; it refuses the set and its marker alike".to_owned(),
            Culprit::Unknown => String::new(),
        }
    }

    /// Whether the server would let us write this; `None` when it does not say.
    async fn may_write(&mut self, edits: &[Edit]) -> Option<bool> {
        let zone = self.engine.zone().clone();
        let never = [Guard::NameNotInUse(zone.clone())];
        if check::holds(self.engine.view()?, &never[0]) {
            return None;
        }
        safety::check(&zone, never.iter(), edits.iter()).ok()?;
        let message = update::encode(&zone, 0, &never, edits);
        match self.ask(message).await? {
            // YXDOMAIN: it came as far as the prerequisites.
            UpdateResult::Refused { rcode: 6, .. } => Some(true),
            // REFUSED and NOTAUTH.
            UpdateResult::Refused { rcode: 5 | 9, .. } => Some(false),
            _ => None,
        }
    }
}

/// The record set that these edits are about.
fn describe(edits: &[Edit]) -> String {
    edits.first().map_or_else(String::new, |edit| {
        let (Edit::Add(name, rtype, ..) | Edit::Remove(name, rtype, _)) = edit;
        format!("{rtype} at {}", name.to_relaxed())
    })
}
