//! A unit of several record sets of which the server takes only some: tried set by set, so that one refused type holds up
//! nothing else at its name.

use super::pieces::{Piece, State};
use super::report::Outcome;
use super::run::Run;
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
}
