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

/// Pieces that go together in a crowd. Of a group with one refusal each piece is sent by itself, so n pieces that are all
/// refused take n + n/32 messages in two rounds, and those that are all taken n/32.
const GROUP: usize = 32;

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
    accepted: FastMap<RrType, u32>,
    /// Suspects go in groups and all at once, instead of one message after the other.
    crowded: bool,
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
        self.suspects.pop_front()
    }

    /// The next message's worth: up to `fill` octets.
    pub fn next(&mut self, fill: usize) -> Option<Batch> {
        if let Some(batch) = self.retries.pop_front() {
            return Some(batch);
        }
        let mut batch = Batch::default();
        let (mut size, mut dname) = (RESERVE, false);
        while let Some(&index) = self.ready.front() {
            let piece = &self.all[index];
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

    /// Sends the same message again.
    pub fn retry(&mut self, batch: Batch) {
        if !batch.pieces.is_empty() {
            self.retries.push_back(batch);
        }
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

    /// From now on suspects go in groups, all at once. Halving is quick where few are refused; where many are, each answer
    /// would be waited for only to hear no again.
    pub fn crowd(&mut self) {
        self.crowded = true;
        for batch in std::mem::take(&mut self.suspects) {
            self.scatter(batch);
        }
    }

    /// Whether [`Pieces::crowd`] was called.
    pub fn crowded(&self) -> bool {
        self.crowded
    }

    /// Groups of a message with a culprit, or the pieces of a group.
    fn scatter(&mut self, batch: Batch) {
        let size = if batch.pieces.len() > GROUP { GROUP } else { 1 };
        for pieces in batch.pieces.chunks(size) {
            // A neighbour that an old Knot fails together with them is not the last word about any of them.
            self.retries.push_back(Batch { pieces: pieces.to_vec(), failures: batch.failures.min(2), riddles: 0 });
        }
    }

    /// Cuts a message with a culprit in two: by type where it holds several, since rules of servers are about types,
    /// else in halves. A single piece comes back.
    pub fn split(&mut self, batch: Batch) -> Option<usize> {
        if let [only] = batch.pieces[..] {
            return Some(only);
        }
        if self.crowded {
            self.scatter(batch);
            return None;
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
            let alone = Batch { pieces: vec![next], ..Batch::default() };
            if self.crowded {
                self.retries.push_back(alone);
            } else {
                self.suspects.push_front(alone);
            }
        }
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
        pieces.end(0, Outcome::Refused, "UpdateRefused", "no".to_owned());
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
                    pieces.end(one, Outcome::Refused, "UpdateRefused", String::new());
                }
            } else {
                batch.pieces.iter().for_each(|index| pieces.applied(*index));
            }
        }
        assert!(messages <= 24, "{messages}");
        assert!(pieces.all.iter().enumerate().all(|(i, p)| (p.state == State::Applied) == (i != culprit)));
    }

    /// Sends everything to a server that takes what `good` says; gives the number of messages.
    fn settle(pieces: &mut Pieces, good: impl Fn(usize) -> bool) -> usize {
        let (mut messages, mut lone) = (0, 0);
        while let Some(batch) = pieces.next_suspect().or_else(|| pieces.next(FILL)) {
            messages += 1;
            if batch.pieces.iter().all(|index| good(*index)) {
                batch.pieces.iter().for_each(|index| pieces.applied(*index));
            } else if let Some(one) = pieces.split(batch) {
                pieces.end(one, Outcome::Refused, "UpdateRefused", String::new());
                lone += 1;
                if lone == 6 {
                    pieces.crowd();
                }
            }
        }
        messages
    }

    #[test]
    fn every_good_one_goes_whatever_the_number_and_order_of_bad_ones() {
        type Good = fn(usize) -> bool;
        let orders: [(&str, Good, usize); 6] = [
            ("six in front", |at| at >= 6, 100),
            ("a fifth in front", |at| at >= 1000, 1400),
            ("in a row at the end", |at| at < 4000, 1400),
            ("every other one", |at| at % 2 == 0, 5400),
            ("a single good one at the end", |at| at == 4999, 5400),
            ("none is good", |_| false, 5400),
        ];
        for (order, good, most) in orders {
            let mut pieces = Pieces::new((0..5000).map(|_| piece(RrType::A, 300, None)).collect());
            let messages = settle(&mut pieces, good);
            assert!(messages <= most, "{order}: {messages}");
            for (at, piece) in pieces.all.iter().enumerate() {
                assert_eq!(piece.state == State::Applied, good(at), "{order}: {at}");
            }
        }
    }
}
