//! Units on their way: packing into messages, and what became of each.

use std::collections::VecDeque;

use super::report::Outcome;
use crate::dns::update;
use crate::model::{FastMap, Name, RrType};
use crate::plan::{Edit, Guard, Unit};

/// Octets that a message is filled to (DESIGN §5.4); a larger unit goes alone.
pub(super) const FILL: usize = 60_000;

/// The same for the message that carries the raise of the fence.
pub(super) const CARRIER_FILL: usize = 8_000;

/// Octets set aside in every message for header, zone, fence, its swap and TSIG.
const RESERVE: usize = 1_200;

/// Refused changes of one type, with none accepted, after which the server is taken to refuse that type altogether.
/// Without this a zone of 100k records behind a wrong ACL would be asked 100k times.
const REFUSALS_PER_TYPE: u32 = 6;

/// How far a unit has come.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// Waits for the answer to another unit.
    Blocked,
    /// To be sent.
    Ready,
    /// The server said NOERROR.
    Applied,
    /// Over, with its outcome, reason word and sentence.
    Ended(Outcome, &'static str, String),
}

/// A unit that is never split, with its progress.
#[derive(Debug)]
pub(super) struct Piece {
    /// Indices into the plan's changes.
    pub changes: Vec<usize>,
    pub guards: Vec<Guard>,
    pub edits: Vec<Edit>,
    /// Upper bound of its octets in a message.
    pub size: usize,
    /// The piece whose answer it waits for.
    pub after: Option<usize>,
    pub state: State,
    /// How often its answer was lost; while it is in the air, whether it was applied is unknown.
    pub lost: u32,
}

impl Piece {
    /// A unit that is to be sent.
    pub fn of(zone: &Name, unit: Unit) -> Piece {
        let size = unit.guards.iter().map(|guard| update::guard_size(zone, guard)).sum::<usize>()
            + unit.edits.iter().map(|edit| update::edit_size(zone, edit)).sum::<usize>();
        let (changes, guards, edits) = (unit.changes, unit.guards, unit.edits);
        Piece { changes, guards, edits, size, after: None, state: State::Ready, lost: 0 }
    }

    /// The type that it is about: the first edit that is no marker, else TXT.
    pub fn kind(&self) -> RrType {
        let of = |edit: &Edit| match edit {
            Edit::Add(_, rtype, _, _) | Edit::Remove(_, rtype, _) => *rtype,
        };
        self.edits.iter().map(of).find(|rtype| *rtype != RrType::TXT).unwrap_or(RrType::TXT)
    }

    /// What it changes, for people: at most four record sets.
    pub fn describe(&self) -> String {
        let mut sets: Vec<String> = Vec::new();
        for edit in &self.edits {
            let (Edit::Add(name, rtype, ..) | Edit::Remove(name, rtype, _)) = edit;
            let text = format!("{rtype} at {}", name.to_relaxed());
            if !sets.contains(&text) {
                if sets.len() == 4 {
                    return format!("{} and more", sets.join(", "));
                }
                sets.push(text);
            }
        }
        sets.join(" or ")
    }

    fn touches_dname(&self) -> bool {
        self.edits
            .iter()
            .any(|edit| matches!(edit, Edit::Add(_, RrType::DNAME, ..) | Edit::Remove(_, RrType::DNAME, _)))
    }
}

/// Pieces that travel in one message.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Batch {
    pub pieces: Vec<usize>,
    /// SERVFAIL answers so far.
    pub failures: u32,
    /// Failed prerequisites for which our copy shows no culprit.
    pub riddles: u32,
}

/// All pieces of a run and the order of sending.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pub all: Vec<Piece>,
    ready: VecDeque<usize>,
    retries: VecDeque<Batch>,
    suspects: VecDeque<Batch>,
    dependents: FastMap<usize, Vec<usize>>,
    refused: FastMap<RrType, u32>,
    accepted: FastMap<RrType, u32>,
    given_up: FastMap<RrType, (&'static str, String)>,
    /// Parts of one unit that are tried one after the other, by the one whose turn it is.
    families: FastMap<usize, Vec<usize>>,
}

impl Pieces {
    pub fn new(all: Vec<Piece>) -> Pieces {
        let mut pieces = Pieces { all, ..Pieces::default() };
        for index in 0..pieces.all.len() {
            match pieces.all[index].after {
                Some(first) => {
                    pieces.all[index].state = State::Blocked;
                    pieces.dependents.entry(first).or_default().push(index);
                }
                None => pieces.ready.push_back(index),
            }
        }
        pieces
    }

    /// Whether something waits to be sent.
    pub fn waiting(&self) -> bool {
        !(self.ready.is_empty() && self.retries.is_empty() && self.suspects.is_empty())
    }

    /// Whether a suspect waits: those go alone, since they may take innocent messages down with them.
    pub fn suspected(&self) -> bool {
        !self.suspects.is_empty()
    }

    pub fn next_suspect(&mut self) -> Option<Batch> {
        while let Some(mut batch) = self.suspects.pop_front() {
            self.drop_given_up(&mut batch.pieces);
            if !batch.pieces.is_empty() {
                return Some(batch);
            }
        }
        None
    }

    /// The next message's worth: up to `fill` octets.
    pub fn next(&mut self, fill: usize) -> Option<Batch> {
        while let Some(mut batch) = self.retries.pop_front() {
            self.drop_given_up(&mut batch.pieces);
            if !batch.pieces.is_empty() {
                return Some(batch);
            }
        }
        let mut batch = Batch::default();
        let (mut size, mut dname) = (RESERVE, false);
        while let Some(&index) = self.ready.front() {
            let piece = &self.all[index];
            if let Some((reason, words)) = self.given_up.get(&piece.kind()).cloned() {
                self.ready.pop_front();
                self.end(index, Outcome::Refused, reason, words);
                continue;
            }
            let full = !batch.pieces.is_empty() && size + piece.size > fill;
            // Two DNAMEs in one message kill a Knot before 3.4.0.
            if full || (dname && piece.touches_dname()) {
                break;
            }
            size += piece.size;
            dname |= piece.touches_dname();
            batch.pieces.push(index);
            self.ready.pop_front();
        }
        (!batch.pieces.is_empty()).then_some(batch)
    }

    fn drop_given_up(&mut self, pieces: &mut Vec<usize>) {
        if self.given_up.is_empty() {
            return;
        }
        for index in std::mem::take(pieces) {
            match self.given_up.get(&self.all[index].kind()).cloned() {
                Some((reason, words)) => self.end(index, Outcome::Refused, reason, words),
                None => pieces.push(index),
            }
        }
    }

    /// Sends the same message again.
    pub fn retry(&mut self, batch: Batch) {
        self.retries.push_back(batch);
    }

    /// Sends these again, packed anew, before anything else.
    pub fn requeue(&mut self, pieces: impl DoubleEndedIterator<Item = usize>) {
        for index in pieces.rev() {
            self.ready.push_front(index);
        }
    }

    /// Sends it again alone.
    pub fn suspect(&mut self, batch: Batch) {
        self.suspects.push_front(batch);
    }

    /// Cuts a message with a culprit in two: by type where it holds several, since rules of servers are about types,
    /// else in halves. A single piece comes back.
    pub fn split(&mut self, batch: Batch) -> Option<usize> {
        if let [only] = batch.pieces[..] {
            return Some(only);
        }
        let first = self.all[batch.pieces[0]].kind();
        let (mut left, mut right): (Vec<usize>, Vec<usize>) =
            batch.pieces.iter().partition(|index| self.all[**index].kind() == first);
        if right.is_empty() {
            right = left.split_off(left.len() / 2);
        }
        // Their parts inherit the failures: what was tried often enough whole is not tried as often in parts.
        let part = |pieces| Batch { pieces, failures: batch.failures, riddles: 0 };
        self.suspects.push_front(part(right));
        self.suspects.push_front(part(left));
        None
    }

    /// Tries the parts of a unit that was refused one after the other, those first of which the least is known to be
    /// taken, until one is taken: the rest must be planned anew then, as the zone is another.
    pub fn part(&mut self, parts: Vec<Piece>) {
        let first = self.all.len();
        self.all.extend(parts);
        let mut family: Vec<usize> = (first..self.all.len()).collect();
        family.sort_by_key(|index| self.accepted.get(&self.all[*index].kind()).copied().unwrap_or_default());
        family.reverse();
        family.iter().for_each(|index| self.all[*index].state = State::Blocked);
        self.next_of(family);
    }

    fn next_of(&mut self, mut family: Vec<usize>) {
        if let Some(next) = family.pop() {
            self.all[next].state = State::Ready;
            self.families.insert(next, family);
            self.suspects.push_front(Batch { pieces: vec![next], ..Batch::default() });
        }
    }

    /// What is said of the sets of a type that is not tried any more.
    pub fn given_up(&self, kind: RrType) -> Option<(&'static str, String)> {
        self.given_up.get(&kind).cloned()
    }

    /// The server refused this piece by itself.
    pub fn refuse(&mut self, index: usize, reason: &'static str, words: String) {
        let kind = self.all[index].kind();
        let refused = self.refused.entry(kind).or_default();
        *refused += 1;
        if *refused >= REFUSALS_PER_TYPE && !self.accepted.contains_key(&kind) {
            let given_up = format!(
                "the server refused all {refused} {kind} sets tried, so the others were not sent; the last: {words}"
            );
            self.given_up.insert(kind, (reason, given_up));
        }
        self.end(index, Outcome::Refused, reason, words);
    }

    /// NOERROR for this piece: what waited for it may go.
    pub fn applied(&mut self, index: usize) {
        self.all[index].state = State::Applied;
        *self.accepted.entry(self.all[index].kind()).or_default() += 1;
        for next in self.dependents.remove(&index).unwrap_or_default() {
            self.all[next].state = State::Ready;
            self.ready.push_back(next);
        }
        for other in self.families.remove(&index).unwrap_or_default() {
            let words = "another set of the name went first; it is planned anew".to_owned();
            self.all[other].state = State::Ended(Outcome::Waiting, "Waiting", words);
        }
    }

    /// Ends a piece, and what waits for it.
    pub fn end(&mut self, index: usize, outcome: Outcome, reason: &'static str, words: String) {
        for next in self.dependents.remove(&index).unwrap_or_default() {
            let why = "the step before it could not be made".to_owned();
            self.end(next, Outcome::Waiting, reason, why);
        }
        if let Some(family) = self.families.remove(&index) {
            if outcome == Outcome::Refused {
                self.next_of(family);
            } else {
                for other in family {
                    self.all[other].state = State::Ended(Outcome::Waiting, reason, words.clone());
                }
            }
        }
        self.all[index].state = State::Ended(outcome, reason, words);
    }

    /// Whether the server accepted anything.
    pub fn any_accepted(&self) -> bool {
        !self.accepted.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Name;

    fn piece(rtype: RrType, size: usize, after: Option<usize>) -> Piece {
        let name = Name::parse("a.internal").unwrap();
        Piece {
            changes: vec![],
            guards: vec![],
            edits: vec![Edit::Add(name, rtype, 1, [0; 4].into())],
            size,
            after,
            state: State::Ready,
            lost: 0,
        }
    }

    #[test]
    fn messages_are_filled_and_big_units_go_alone() {
        let mut pieces = Pieces::new(
            [20_000, 20_000, 20_000, 64_000, 100].iter().map(|size| piece(RrType::A, *size, None)).collect(),
        );
        let mut got = Vec::new();
        while let Some(batch) = pieces.next(FILL) {
            got.push(batch.pieces);
        }
        assert_eq!(got, [vec![0, 1], vec![2], vec![3], vec![4]]);
    }

    #[test]
    fn dnames_travel_apart() {
        let mut pieces = Pieces::new(vec![piece(RrType::DNAME, 50, None), piece(RrType::DNAME, 50, None)]);
        assert_eq!(pieces.next(FILL).unwrap().pieces, [0]);
        assert_eq!(pieces.next(FILL).unwrap().pieces, [1]);
    }

    #[test]
    fn dependents_wait_and_fall_with_their_first() {
        let mut pieces = Pieces::new(vec![piece(RrType::A, 50, None), piece(RrType::A, 50, Some(0))]);
        assert_eq!(pieces.next(FILL).unwrap().pieces, [0]);
        assert!(pieces.next(FILL).is_none());
        pieces.applied(0);
        assert_eq!(pieces.next(FILL).unwrap().pieces, [1]);

        let mut pieces = Pieces::new(vec![piece(RrType::A, 50, None), piece(RrType::A, 50, Some(0))]);
        pieces.refuse(0, "UpdateRefused", "no".to_owned());
        assert!(matches!(pieces.all[1].state, State::Ended(Outcome::Waiting, ..)));
    }

    #[test]
    fn one_culprit_is_found_in_few_messages() {
        let mut pieces = Pieces::new((0..1000).map(|_| piece(RrType::A, 50, None)).collect());
        let (mut messages, culprit) = (0, 637);
        let batch = pieces.next(FILL).unwrap();
        pieces.suspect(batch);
        while let Some(batch) = pieces.next_suspect().or_else(|| pieces.next(FILL)) {
            messages += 1;
            if batch.pieces.contains(&culprit) {
                if let Some(one) = pieces.split(batch) {
                    pieces.refuse(one, "UpdateRefused", String::new());
                }
            } else {
                batch.pieces.iter().for_each(|index| pieces.applied(*index));
            }
        }
        assert!(messages <= 24, "{messages}");
        assert!(pieces.all.iter().enumerate().all(|(i, p)| (p.state == State::Applied) == (i != culprit)));
    }

    #[test]
    fn a_type_that_is_always_refused_is_given_up() {
        let kinds = |index: usize| if index.is_multiple_of(2) { RrType::MX } else { RrType::A };
        let mut pieces = Pieces::new((0..400).map(|index| piece(kinds(index), 50, None)).collect());
        let mut messages = 0;
        while let Some(batch) = pieces.next_suspect().or_else(|| pieces.next(FILL)) {
            messages += 1;
            if batch.pieces.iter().any(|index| index % 2 == 0) {
                if let Some(one) = pieces.split(batch) {
                    pieces.refuse(one, "NotAuthorised", String::new());
                }
            } else {
                batch.pieces.iter().for_each(|index| pieces.applied(*index));
            }
        }
        assert!(messages < 30, "{messages}");
        assert!(pieces.all.iter().enumerate().all(|(i, p)| (p.state == State::Applied) == (i % 2 == 1)));
    }
}
