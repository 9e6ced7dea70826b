//! Applying a plan: what is sent, and what became of every change.

use std::time::Instant;

use super::EngineError;
use super::check;
use super::engine::Engine;
use super::fence::{Permit, Swap};
use super::knobs::Knobs;
use super::pieces::{Piece, Pieces, State};
use super::report::{ChangeOutcome, Outcome, Report};
use super::run::{Run, STALE};
use crate::model::FastMap;
use crate::plan::{self, Change, Edit, Plan};

/// Tells which changes shall wait, for instance because they failed a moment ago.
pub type Skip<'a> = &'a (dyn Fn(&Change) -> bool + Sync);

/// Makes a plan of the engine's present view.
pub type Make<'a> = &'a mut (dyn FnMut(&mut Engine) -> Result<Plan, EngineError> + Send);

impl Engine {
    /// Sends what the plan wants and does not hold, reads it back, and says what became of every change.
    ///
    /// A one-shot engine raises the fence inside the first UPDATE. Nothing is sent when there is nothing to do. `skip`
    /// tells which changes shall wait, for instance because they failed a moment ago.
    pub async fn apply(&mut self, plan: &Plan, skip: Skip<'_>) -> Report {
        self.apply_by(plan, skip, &mut Engine::plan).await
    }

    /// The same of a plan that is not of the claims: `make` makes it anew where the zone has moved on since.
    pub async fn apply_by(&mut self, plan: &Plan, skip: Skip<'_>, make: Make<'_>) -> Report {
        let started = Instant::now();
        let mut report = Report::default();
        // A process that was stopped for a while wakes up with an old plan.
        let renewed = if self.seen_at().is_some_and(|seen| seen.elapsed() > STALE) && !self.rules.observe {
            match self.renew(plan, make).await {
                Ok(renewed) => renewed,
                Err(error) => {
                    report.outcomes = outcomes(plan, None, Some(&error));
                    report.stopped = Some(error);
                    return report;
                }
            }
        } else {
            None
        };
        let plan = renewed.as_ref().unwrap_or(plan);
        let pieces = pieces_of(plan, skip);
        let mut stopped = None;
        let mut run = None;
        if !pieces.is_empty() {
            match self.permit(plan) {
                Err(error) => stopped = Some(error),
                Ok(swap) => {
                    let mut sending = Run::new(self, pieces, swap, Some(plan));
                    stopped = sending.go().await.err();
                    let done = sending.finish();
                    report.first_sent = done.first_sent;
                    report.updates_sent = done.sent;
                    report.bytes = done.bytes;
                    report.rcodes = done.rcodes;
                    if let Some(first) = done.first_sent {
                        report.timings.until_first_sent = first - started;
                        report.timings.sending = done.last_answer.unwrap_or(first).saturating_duration_since(first);
                    }
                    self.planning.applied(plan, taken(&done.pieces));
                    run = Some(done.pieces);
                }
            }
        }
        if let Some(pieces) = &mut run {
            let since = Instant::now();
            let (serial, error) = self.confirm(pieces, report.updates_sent > 0, stopped.as_ref()).await;
            report.serial = serial;
            report.timings.confirming = since.elapsed();
            stopped = stopped.or(error);
        }
        report.outcomes = outcomes(plan, run.as_ref(), stopped.as_ref());
        report.stopped = stopped;
        report
    }

    /// Reads the zone again; gives a new plan when it changed.
    async fn renew(&mut self, plan: &Plan, make: Make<'_>) -> Result<Option<Plan>, EngineError> {
        self.refresh().await?;
        match self.view.as_ref().map(crate::view::View::serial) {
            Some(serial) if serial != plan.serial => make(self).map(Some),
            _ => Ok(None),
        }
    }

    /// Raises the fence by itself: what a resident writer does when it starts, also with nothing else to write.
    ///
    /// # Errors
    /// Any [`EngineError`].
    pub async fn raise_fence(&mut self) -> Result<(), EngineError> {
        let plan = self.plan()?;
        let Some(swap) = self.permit(&plan)? else { return Ok(()) };
        self.send_swap(swap).await
    }

    /// Sends a raise that was already decided.
    pub(super) async fn send_swap(&mut self, swap: Swap) -> Result<(), EngineError> {
        let mut run = Run::new(self, Vec::new(), Some(swap), None);
        run.fence_alone = true;
        run.go().await?;
        self.refresh().await.map(drop)
    }

    /// What the fence allows: nothing to do, a raise to send, or why not.
    fn permit(&mut self, plan: &Plan) -> Result<Option<Swap>, EngineError> {
        if let Some(refusal) = &plan.refused {
            let (zone, message) = (self.rules.zone.clone(), refusal.message.clone());
            return Err(EngineError::PlanRefused { zone, reason: refusal.reason, message });
        }
        if self.rules().observe {
            return Err(EngineError::Observe { zone: self.zone().clone() });
        }
        let Some(view) = &self.view else { return Err(EngineError::NoView { zone: self.rules.zone.clone() }) };
        if Knobs::from_env().no_fence {
            return Ok(None);
        }
        match self.keeper.permit(view, plan.owned > 0, Instant::now()) {
            Permit::Held => Ok(None),
            Permit::Raise(swap) => Ok(Some(swap)),
            Permit::Stop(error) => Err(error),
        }
    }

    /// Compares what the server acknowledged with a view whose SOA was asked after the answers.
    async fn confirm(
        &mut self,
        pieces: &mut Pieces,
        sent: bool,
        stopped: Option<&EngineError>,
    ) -> (Option<u32>, Option<EngineError>) {
        if !sent {
            return (None, None);
        }
        let sent_sets = pieces.all.iter().filter(|piece| piece.state == State::Applied).count();
        if self.view().is_some_and(|view| sent_sets > 1000 && sent_sets > view.name_count() / 4) {
            // Reading such a zone anew is several times quicker than following every step that was just sent.
            self.force_full();
        }
        if let Err(error) = self.refresh().await {
            return (None, Some(error));
        }
        let Some(view) = self.view() else { return (None, None) };
        let again = readded(pieces);
        for piece in &mut pieces.all {
            let unknown = piece.state == State::Ready && piece.lost > 0;
            if piece.state != State::Applied && !(unknown && check::satisfied(view, &piece.edits, &again)) {
                continue;
            }
            piece.state = if check::satisfied(view, &piece.edits, &again) {
                State::Ended(Outcome::Done, "Programmed", String::new())
            } else {
                let (reason, words) = not_shown(stopped);
                State::Ended(Outcome::Unconfirmed, reason, words)
            };
        }
        (Some(view.serial()), None)
    }
}

/// Why the zone does not show what the server accepted.
fn not_shown(stopped: Option<&EngineError>) -> (&'static str, String) {
    let accepted = "the server accepted it, but the zone read back afterwards does not show it";
    match stopped {
        // Whoever took the fence has the same records in his care.
        Some(
            error @ (EngineError::Displaced { .. }
            | EngineError::DisplacedTooOften { .. }
            | EngineError::OtherInstance { .. }),
        ) => (error.reason(), format!("{accepted}: whoever took the fence meanwhile changed it")),
        _ => (
            "NotEffective",
            format!("{accepted}: another writer changed it since, or the server ignores it beside other records"),
        ),
    }
}

/// What later steps of the same run added after a step before them had removed it: the halves of a DNAME whose TTL changes.
fn readded(pieces: &Pieces) -> Vec<Edit> {
    let later = pieces.all.iter().filter(|piece| piece.after.is_some() && piece.state == State::Applied);
    later.flat_map(|piece| &piece.edits).filter(|edit| matches!(edit, Edit::Add(..))).cloned().collect()
}

/// The units of a plan that are to be sent.
fn pieces_of(plan: &Plan, skip: Skip<'_>) -> Vec<Piece> {
    let zone = &plan.zone;
    let units = plan::units(plan);
    let mut by_change: FastMap<usize, usize> = FastMap::default();
    let mut pieces: Vec<Piece> = Vec::with_capacity(units.len());
    let mut wanted: Vec<Option<usize>> = Vec::with_capacity(units.len());
    for unit in units {
        let waits = |index: &usize| plan.changes[*index].held || skip(&plan.changes[*index]);
        let mut unit = unit;
        if unit.changes.iter().any(waits) {
            // What failed a moment ago holds up nothing that can do without it.
            if !plan::can_part(plan, &unit.changes) || unit.changes.iter().all(waits) {
                continue;
            }
            unit = plan::unit_of(plan, unit.changes.into_iter().filter(|index| !waits(index)).collect());
        }
        for change in &unit.changes {
            by_change.insert(*change, pieces.len());
        }
        wanted.push(unit.after);
        pieces.push(Piece::of(zone, unit));
    }
    for (index, first) in wanted.into_iter().enumerate() {
        // A predecessor that is not sent now makes its successor wait for the next plan.
        match first.map(|first| by_change.get(&first).copied()) {
            Some(Some(first)) if first != index => pieces[index].after = Some(first),
            Some(None) => {
                let words = "it waits for another change of the same plan".to_owned();
                pieces[index].state = State::Ended(Outcome::Waiting, "Waiting", words);
            }
            _ => {}
        }
    }
    pieces
}

/// Changes that the server took, or may have taken.
fn taken(pieces: &Pieces) -> impl Iterator<Item = usize> {
    let taken = |piece: &&Piece| match &piece.state {
        State::Applied | State::Ended(Outcome::Lost, ..) => true,
        State::Ready => piece.lost > 0,
        State::Blocked | State::Ended(..) => false,
    };
    pieces.all.iter().filter(taken).flat_map(|piece| piece.changes.iter().copied())
}

fn outcomes(plan: &Plan, pieces: Option<&Pieces>, stopped: Option<&EngineError>) -> Vec<ChangeOutcome> {
    let mut states: FastMap<usize, (&State, bool)> = FastMap::default();
    for piece in pieces.iter().flat_map(|pieces| &pieces.all) {
        for change in &piece.changes {
            states.insert(*change, (&piece.state, piece.lost > 0));
        }
    }
    let describe = |index: usize| match (states.get(&index), stopped) {
        (Some((State::Ended(outcome, reason, words), _)), _) => (*outcome, *reason, words.clone()),
        (Some((State::Applied, _)), Some(error)) => (
            Outcome::Unconfirmed,
            error.reason(),
            format!("the server accepted it, but it could not be read back: {error}"),
        ),
        (Some((State::Applied, _)), None) => (Outcome::Unconfirmed, "Unconfirmed", "not read back yet".to_owned()),
        (Some((_, true)), Some(error)) => (
            Outcome::Lost,
            error.reason(),
            format!("it was sent, its answer was lost, and the zone could not be read again: {error}"),
        ),
        (_, Some(error)) => (Outcome::Waiting, error.reason(), error.to_string()),
        (_, None) => (Outcome::Waiting, "Waiting", "it waits to be tried again".to_owned()),
    };
    plan.changes
        .iter()
        .enumerate()
        .map(|(index, change)| {
            let (outcome, reason, message) = if change.held {
                (Outcome::Held, "BrakeHeld", "held by the brake until a person releases it".to_owned())
            } else {
                describe(index)
            };
            ChangeOutcome {
                name: change.name.clone(),
                rtype: change.rtype,
                action: change.action,
                object: change.source.clone(),
                outcome,
                reason,
                message,
            }
        })
        .collect()
}
