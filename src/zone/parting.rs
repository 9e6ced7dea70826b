//! A unit of several record sets of which the server takes only some: tried set by set, so that one refused type holds up
//! nothing else at its name.

use super::pieces::{Piece, State};
use super::report::Outcome;
use super::run::Run;
use crate::model::RrType;
use crate::plan;

impl Run<'_> {
    /// Cuts a refused piece into its changes, to be tried one after the other. `false` where it is one change, or changes
    /// that only make sense together.
    pub fn part(&mut self, index: usize) -> bool {
        let Some(plan) = self.plan else { return false };
        let changes = self.pieces.all[index].changes.clone();
        if !plan::can_part(plan, &changes) {
            return false;
        }
        let parts =
            changes.into_iter().map(|change| Piece::of(&plan.zone, plan::unit_of(plan, vec![change]))).collect();
        // The word of each part is the one that counts.
        self.pieces.all[index].state = State::Ended(Outcome::Waiting, "Waiting", String::new());
        self.pieces.part(parts);
        true
    }

    /// Takes the sets of a type that is given up out of the pieces that hold others too. Nothing is in flight.
    pub fn leave_out(&mut self, kind: RrType) {
        let (Some(plan), Some((reason, words))) = (self.plan, self.pieces.given_up(kind)) else { return };
        for index in 0..self.pieces.all.len() {
            let piece = &self.pieces.all[index];
            let is_of = |change: &usize| plan.changes[*change].rtype == kind;
            if !matches!(piece.state, State::Ready | State::Blocked)
                || !piece.changes.iter().any(is_of)
                || piece.changes.iter().all(is_of)
                || !plan::can_part(plan, &piece.changes)
            {
                continue;
            }
            let (out, rest) = piece.changes.iter().copied().partition(is_of);
            let state = State::Ended(Outcome::Refused, reason, words.clone());
            let out = Piece { state, ..Piece::of(&plan.zone, plan::unit_of(plan, out)) };
            let rest = Piece::of(&plan.zone, plan::unit_of(plan, rest));
            let piece = &mut self.pieces.all[index];
            (piece.changes, piece.guards, piece.edits, piece.size) = (rest.changes, rest.guards, rest.edits, rest.size);
            self.pieces.all.push(out);
        }
    }
}
