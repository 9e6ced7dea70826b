//! Finding out which half of a refused unit it is that a server refuses: the set or its marker.

use super::run::{Raise, Run};
use super::{check, safety};
use crate::dns::explain::Missing;
use crate::dns::update;
use crate::knot::UpdateResult;
use crate::model::{Name, RrType};
use crate::plan::{Edit, Guard};

/// Refused units about which a run asks at most; the others are reported without.
const ASKED: u32 = 12;

/// What a server refuses of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Culprit {
    Marker,
    Set,
    Both,
    /// The raise of the fence that travelled with it.
    Fence,
    /// Every update, even one that changes nothing.
    Update,
    /// It does not say.
    Unknown,
}

impl Culprit {
    /// What the ACL lacks.
    pub fn missing(self) -> Missing {
        match self {
            Culprit::Update => Missing::Action,
            Culprit::Unknown => Missing::Either,
            _ => Missing::Scope,
        }
    }
}

impl Run<'_> {
    /// Which records of a refused unit the server refuses.
    ///
    /// Knot and BIND look at rights before they look at prerequisites. So each half is sent behind a prerequisite that
    /// never holds (the apex is not in use): the answer tells whether it may be written, and nothing ever is, however late
    /// the message arrives. A server that looks at prerequisites first seems to allow everything, which tells nothing, and
    /// is not taken for more.
    pub(super) async fn culprit(&mut self, index: usize) -> Culprit {
        if self.asked >= ASKED {
            return Culprit::Unknown;
        }
        self.asked += 1;
        self.find_culprit(index).await
    }

    async fn find_culprit(&mut self, index: usize) -> Culprit {
        let (marks, set) = self.halves(index);
        let may_set = if set.is_empty() { None } else { self.may_write(&set).await };
        let may_mark = if marks.is_empty() { None } else { self.may_write(&marks).await };
        match (may_set, may_mark) {
            (Some(true), Some(false)) => Culprit::Marker,
            (Some(false), Some(true)) => Culprit::Set,
            (None, None) => Culprit::Unknown,
            (None | Some(false), None | Some(false)) => match self.may_write(&[]).await {
                // An empty update matches any rule of Knot's that denies, so where something was taken it tells nothing.
                Some(false) if !self.engine.taken => Culprit::Update,
                Some(_) if marks.is_empty() => Culprit::Set,
                Some(_) if set.is_empty() => Culprit::Marker,
                Some(_) => Culprit::Both,
                None => Culprit::Unknown,
            },
            (None | Some(true), None | Some(true)) => {
                let raise = match &self.raise {
                    Raise::Due(swap) => swap.edits.clone(),
                    _ => Vec::new(),
                };
                match self.may_write(&raise).await {
                    Some(false) => Culprit::Fence,
                    _ => Culprit::Unknown,
                }
            }
        }
    }

    /// That in words to append; empty where it cannot be told.
    pub(super) fn culprit_words(&self, index: usize, culprit: Culprit) -> String {
        let (marks, set) = self.halves(index);
        match culprit {
            Culprit::Marker => format!("; it refuses {}", describe(&marks)),
            Culprit::Set => format!("; it refuses {}", describe(&set)),
            Culprit::Both => "; it refuses the set and its marker alike".to_owned(),
            Culprit::Fence => {
                let fence = self.engine.keeper.name.to_relaxed();
                format!("; it refuses the fence, TXT at {fence}, without which nothing is written")
            }
            Culprit::Update => "; it refuses every update".to_owned(),
            Culprit::Unknown => String::new(),
        }
    }

    /// The markers and the other records of a unit.
    fn halves(&self, index: usize) -> (Vec<Edit>, Vec<Edit>) {
        self.pieces.all[index].edits.iter().cloned().partition(|edit| self.marked(edit).is_some())
    }

    /// Where a marker of a unit stands.
    pub(super) fn mark_of(&self, index: usize) -> Option<Name> {
        self.pieces.all[index].edits.iter().find_map(|edit| self.marked(edit)).cloned()
    }

    fn marked<'e>(&self, edit: &'e Edit) -> Option<&'e Name> {
        let (Edit::Add(name, rtype, ..) | Edit::Remove(name, rtype, _)) = edit;
        let is_mark = *rtype == RrType::TXT && name.first_label() == Some(self.engine.rules().label.as_bytes());
        is_mark.then_some(name)
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
