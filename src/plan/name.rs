//! Plans one name: every set that is claimed there or carries a marker of ours.

use std::collections::BTreeMap;

use super::admit::{Stop, may_take};
use super::check::{self, conflict};
use super::contest::{self, Contest, Holder, order, state};
use super::size::{self, SET_LIMIT, UPDATE_LIMIT};
use super::steps;
use super::wish::{self, Wish};
use super::{Action, Change, Conflict, Guard, Orphan};
use crate::model::{Claim, Claims, Name, ObjectId, ObjectState, RrType};
use crate::ownership::{Classifier, Counts, NameFacts, OwnMark, Sign, Writer, ZoneRules};
use crate::view::{Node, View};

/// What planning one name needs to know of the rest.
pub(super) struct Ctx<'a> {
    pub rules: &'a ZoneRules,
    pub claims: &'a Claims,
    pub view: &'a View,
    pub classes: Classifier<'a>,
}

/// The part of a plan that one name makes.
#[derive(Debug, Clone, Default)]
pub(super) struct NamePlan {
    pub changes: Vec<Change>,
    pub conflicts: Vec<Conflict>,
    pub orphans: Vec<Orphan>,
    /// Deletes that wait for the source to be readable.
    pub waiting: usize,
    pub deferred: usize,
    pub notes: Vec<String>,
    /// Something here depends on the state of an object that claims nothing at this name.
    pub watch: bool,
    pub counts: Counts,
    /// A DHCP server holds the name.
    pub has_dhcid: bool,
    /// It holds a PTR set, and whether that is ours.
    pub ptr_is_ours: Option<bool>,
}

impl NamePlan {
    /// Whether what is to be done here hangs on whether the target of its PTR set has a DHCID: of a foreign one that says
    /// whose it is, and of ours whether it may still go, or be repaired.
    pub fn hangs_on_target(&self) -> bool {
        self.ptr_is_ours.is_some_and(|is_ours| !is_ours || !self.is_quiet())
    }

    /// Whether there is nothing to say about this name, now or when the state of an object changes.
    pub fn is_quiet(&self) -> bool {
        self.changes.is_empty()
            && self.conflicts.is_empty()
            && self.orphans.is_empty()
            && self.notes.is_empty()
            && self.waiting == 0
            && self.deferred == 0
            && !self.watch
    }
}

/// Plans one name.
pub(super) fn plan_name(ctx: &Ctx<'_>, name: &Name) -> NamePlan {
    plan_node(ctx, name, ctx.view.node(name))
}

/// The same where the name's node is at hand.
pub(super) fn plan_node(ctx: &Ctx<'_>, name: &Name, node: Option<Node<'_>>) -> NamePlan {
    let facts = ctx.classes.facts_of(name, node);
    let mut plan = NamePlan::default();
    ctx.classes.count_name(&facts, &mut plan.counts);
    plan.has_dhcid = facts.set(RrType::DHCID).is_some();
    plan.ptr_is_ours = facts.set(RrType::PTR).map(|_| facts.own_of(RrType::PTR).next().is_some());
    let claims = ctx.claims.sets.get(name);
    if claims.is_none() && facts.own.is_empty() {
        return plan;
    }
    if is_as_wished(ctx, &facts) {
        return plan;
    }
    let mut desk = Desk { ctx, facts: &facts, contests: BTreeMap::new(), going: Vec::new(), plan };
    desk.hold_contests();
    desk.one_alias();
    let contests = std::mem::take(&mut desk.contests);
    // What goes is known before what comes: a type swap needs both.
    for (rtype, contest) in contests.iter().filter(|(_, contest)| contest.winners.is_empty()) {
        desk.settle_unclaimed(*rtype, contest);
    }
    desk.settle_claimed(&contests);
    desk.fit();
    desk.plan
}

/// The common case, recognised without a contest: every set at the name is declared by one living object, is as declared,
/// and carries exactly the marker that it should.
fn is_as_wished(ctx: &Ctx<'_>, facts: &NameFacts) -> bool {
    let Some(types) = ctx.claims.sets.get(&facts.name) else { return false };
    if types.len() != facts.own.len() || !facts.signs.is_empty() {
        return false;
    }
    if types.len() > 1 && types.keys().any(|rtype| is_alias(*rtype)) {
        return false;
    }
    types.iter().all(|(rtype, list)| {
        let [claim] = &list[..] else { return false };
        let living =
            matches!(state(ctx.claims, &claim.object), None | Some(ObjectState::Present | ObjectState::Doubted));
        let as_declared = || facts.set(*rtype).is_some_and(|live| live.same(&claim.set, *rtype));
        let as_marked = || facts.own_of(*rtype).any(|mark| mark.marker == wish::marker(ctx.rules, claim));
        living && as_declared() && as_marked() && check::check(ctx.rules, claim).is_ok()
    })
}

pub(super) struct Desk<'a, 'b> {
    pub ctx: &'a Ctx<'b>,
    pub facts: &'a NameFacts,
    contests: BTreeMap<RrType, Contest<'a>>,
    /// Types whose sets this plan deletes.
    pub going: Vec<RrType>,
    plan: NamePlan,
}

/// Types that stand alone at their name.
pub(super) fn is_alias(rtype: RrType) -> bool {
    matches!(rtype, RrType::CNAME | RrType::DNAME)
}

impl<'a> Desk<'a, '_> {
    pub(super) fn name(&self) -> &'a Name {
        &self.facts.name
    }

    fn hold_contests(&mut self) {
        let mut valid: BTreeMap<RrType, Vec<&'a Claim>> = BTreeMap::new();
        let mut invalid: BTreeMap<RrType, Vec<&'a ObjectId>> = BTreeMap::new();
        for (rtype, list) in self.ctx.claims.sets.get(self.name()).into_iter().flatten() {
            for claim in list {
                if !state(self.ctx.claims, &claim.object).is_none_or(ObjectState::declares) {
                    self.plan.watch = true;
                    continue;
                }
                match check::check(self.ctx.rules, claim) {
                    Ok(()) => valid.entry(*rtype).or_default().push(claim),
                    Err(words) => {
                        self.plan.conflicts.push(conflict(claim, "Incompatible", "", words));
                        invalid.entry(*rtype).or_default().push(&claim.object);
                    }
                }
            }
        }
        let marked = self.facts.own.iter().map(|mark| mark.marker.rtype);
        let mut types: Vec<RrType> = valid.keys().copied().chain(marked).collect();
        types.sort();
        types.dedup();
        for rtype in types {
            let mut contest = contest::decide(
                self.ctx.claims,
                (self.name(), rtype),
                valid.remove(&rtype).unwrap_or_default(),
                invalid.get(&rtype).map_or(&[], Vec::as_slice),
                &self.facts.own,
            );
            self.plan.conflicts.append(&mut contest.losers);
            self.contests.insert(rtype, contest);
        }
    }

    /// A CNAME or DNAME stands alone at its name (RFC 2181 §10.1): settles who that is. What is there stays, else the
    /// order decides.
    fn one_alias(&mut self) {
        let wins = |contest: &Contest<'_>| !contest.winners.is_empty();
        let involved = self.contests.iter().filter(|(_, c)| wins(c) || c.holders.iter().any(|(_, h)| h.keeps()));
        let involved: Vec<RrType> = involved.map(|(t, _)| *t).collect();
        if involved.len() < 2 || !involved.iter().any(|t| is_alias(*t)) {
            return;
        }
        self.free_swaps();
        let keeps = |contest: &Contest<'_>| contest.holders.iter().any(|(_, holder)| holder.keeps());
        let standing: Vec<RrType> = self.contests.iter().filter(|(_, c)| keeps(c)).map(|(t, _)| *t).collect();
        let winning: Vec<RrType> = self.contests.iter().filter(|(_, c)| wins(c)).map(|(t, _)| *t).collect();
        let best = || {
            let all = self.contests.iter().flat_map(|(t, c)| c.winners.iter().map(move |claim| (*t, *claim)));
            all.min_by(|(_, a), (_, b)| order(a, b)).map(|(t, _)| t)
        };
        let Some(kept) = standing.iter().copied().find(|t| is_alias(*t)).or(standing.first().copied()).or_else(best)
        else {
            return;
        };
        let losers = winning.into_iter().filter(|t| *t != kept && (is_alias(kept) || is_alias(*t)));
        let by = self.contests.get(&kept).and_then(|c| {
            c.winners
                .first()
                .map(|claim| claim.object.clone())
                .or_else(|| c.holders.iter().find(|(_, h)| h.keeps()).map(|(mark, _)| mark.marker.resource.clone()))
        });
        for loser in losers.collect::<Vec<_>>() {
            let Some(contest) = self.contests.get_mut(&loser) else { continue };
            for claim in std::mem::take(&mut contest.winners) {
                let by = by.clone().unwrap_or_else(|| claim.object.clone());
                let reason = if by == claim.object { "Incompatible" } else { "NameClaimed" };
                let message = format!(
                    "{by} has the {kept} of this name, and a {} stands alone at its name (RFC 2181 §10.1); remove one",
                    if is_alias(kept) { kept } else { loser }
                );
                self.plan.conflicts.push(conflict(claim, reason, by.as_str(), message));
            }
            // Nobody takes the set over now, so whoever holds it does so as before.
            for ((_, holder), before) in contest.holders.iter_mut().zip(std::mem::take(&mut contest.before)) {
                *holder = before;
            }
        }
    }

    /// A type swap within one object is a replacement: it does not wait for the rest of the source to be readable.
    fn free_swaps(&mut self) {
        let declared: Vec<(RrType, ObjectId)> = self
            .contests
            .iter()
            .flat_map(|(t, c)| c.winners.iter().map(move |claim| (*t, claim.object.clone())))
            .collect();
        for (rtype, contest) in &mut self.contests {
            for (mark, holder) in &mut contest.holders {
                let swaps = declared.iter().any(|(other, object)| {
                    other != rtype && *object == mark.marker.resource && (is_alias(*other) || is_alias(*rtype))
                });
                if swaps && *holder == (Holder::Waits { absent: false }) {
                    *holder = Holder::Goes;
                }
            }
        }
    }

    /// Marks of other writers that the configuration does not let us take.
    pub(super) fn strangers(&self) -> impl Iterator<Item = &'a Sign> {
        let rules = self.ctx.rules;
        self.facts.signs.iter().filter(move |sign| !may_take(rules, &sign.writer))
    }

    /// Another writer's sign at a name of ours, which makes it contested.
    pub(super) fn contested(&self, rtype: RrType) -> Option<Writer> {
        let marks: Vec<&OwnMark> = self.facts.own_of(rtype).collect();
        if marks.is_empty() {
            return None;
        }
        if let Some(sign) = self.strangers().next() {
            return Some(sign.writer.clone());
        }
        let live = self.facts.set(rtype)?;
        let overwritten =
            rtype == RrType::PTR && !wish::is_as_marked(rtype, &marks, live) && self.ctx.classes.points_at_dhcp(live);
        overwritten.then_some(Writer::Dhcp)
    }

    /// A set that carries markers of ours and that nobody declares, or nobody with success.
    fn settle_unclaimed(&mut self, rtype: RrType, contest: &Contest<'a>) {
        if contest.holders.is_empty() {
            return;
        }
        self.plan.watch = true;
        for (mark, holder) in &contest.holders {
            match holder {
                Holder::Absent => self.plan.orphans.push(self.orphan(rtype, mark)),
                Holder::Waits { .. } => self.plan.waiting += 1,
                _ => {}
            }
        }
        let Some(node) = wish::node(self.ctx.rules, self.name(), rtype) else { return };
        let Ok(pin) = steps::pin_node(self.ctx.view, &node) else { return };
        let leaving: Vec<&(&OwnMark, Holder)> = contest.holders.iter().filter(|(_, h)| !h.keeps()).collect();
        let Some((first, _)) = leaving.first() else { return };
        let source = Some(first.marker.resource.clone());
        let live = self.facts.set(rtype);
        let removed: Vec<_> = leaving.iter().map(|(mark, _)| mark.rdata.clone()).collect();
        let marks: Vec<&OwnMark> = contest.holders.iter().map(|(mark, _)| *mark).collect();
        let change = |action: Action| steps::change(action, &self.facts.name, rtype, source.clone());
        let release = |note: String| {
            let mut change = change(Action::Release);
            change.old = live.cloned();
            change.new = live.cloned();
            change.note = Some(note);
            change.guards = vec![pin.clone()];
            change.edits = steps::mark_edits(self.ctx.view, &node, &removed, &[]);
            change
        };
        let Some(live) = live else {
            let change = release("its record set is gone already".to_owned());
            return self.plan.changes.push(change);
        };
        // A PTR follows its name: where that carries the sign of a DHCP server now and is only released, so is the PTR.
        let follows = || (rtype == RrType::PTR && self.ctx.classes.points_at_dhcp(live)).then_some(Writer::Dhcp);
        let contested = self.contested(rtype).or_else(follows).map(|writer| writer.describe());
        if leaving.len() < contest.holders.len() && contested.is_none() {
            // Members of a shared set stay; an abandoned one does until it is the last.
            if leaving.iter().any(|(_, holder)| *holder == Holder::Goes) {
                let wish = wish::without_members(rtype, contest, live);
                let site = (&self.facts.name, rtype);
                let step = steps::towards(self.ctx.rules, self.ctx.view, site, (&node, &pin), live, &wish, source);
                self.plan.changes.extend(step);
            }
            return;
        }
        let only_marker = if let Some(who) = contested {
            Some(format!("the name carries the sign of {who} too"))
        } else if leaving.iter().any(|(_, holder)| *holder == Holder::Abandoned) {
            Some("its object is abandoned".to_owned())
        } else if marks.iter().any(|mark| mark.marker.retain) {
            Some("deletionPolicy is Retain".to_owned())
        } else if rtype == RrType::NS && self.facts.name == self.ctx.rules.zone {
            Some("the NS records of a zone's apex are never deleted".to_owned())
        } else if !wish::is_as_marked(rtype, &marks, live) {
            Some("the values were changed by somebody else".to_owned())
        } else {
            None
        };
        if let Some(why) = only_marker {
            let change = release(format!("marker only: {why}"));
            return self.plan.changes.push(change);
        }
        let mut change = change(Action::Delete);
        change.old = Some(live.clone());
        // Who released precisely these orphans has agreed already to what the brake would ask.
        let released = |mark: &OwnMark| (self.name().clone(), rtype, mark.marker.resource.clone());
        change.counted &= !marks.iter().all(|mark| self.ctx.claims.released.contains(&released(mark)));
        change.edits = steps::set_edits(&self.ctx.rules.zone, self.name(), rtype, Some(live), None);
        change.edits.extend(steps::mark_edits(self.ctx.view, &node, &removed, &[]));
        change.guards = vec![steps::as_seen(self.name(), rtype, Some(live)), pin];
        self.plan.changes.push(change);
        self.going.push(rtype);
    }

    fn orphan(&self, rtype: RrType, mark: &OwnMark) -> Orphan {
        Orphan { name: self.name().clone(), rtype, resource: mark.marker.resource.clone(), retain: mark.marker.retain }
    }

    fn settle_claimed(&mut self, contests: &BTreeMap<RrType, Contest<'a>>) {
        let claimed: Vec<(RrType, &Contest<'a>)> =
            contests.iter().filter(|(_, c)| !c.winners.is_empty()).map(|(t, c)| (*t, c)).collect();
        // A name is ours as soon as one set there is, adoptions of this plan included.
        let mut ours = !self.facts.own.is_empty();
        let (there, new): (Vec<_>, Vec<_>) = claimed.iter().partition(|(t, _)| self.facts.set(*t).is_some());
        for (rtype, contest) in there.into_iter().chain(new) {
            for (mark, holder) in &contest.holders {
                match holder {
                    Holder::Absent => {
                        self.plan.watch = true;
                        self.plan.orphans.push(self.orphan(rtype, mark));
                    }
                    Holder::Waits { .. } => {
                        self.plan.watch = true;
                        self.plan.waiting += 1;
                    }
                    _ => {}
                }
            }
            let wish = wish::wish(self.ctx.rules, rtype, contest, self.facts.set(rtype));
            let step = self.step(rtype, contest, &wish, &claimed, ours);
            if let Some(note) = &wish.note
                && !matches!(&step, Ok(Some(change)) if change.note.as_ref() == Some(note))
            {
                self.plan.notes.push(format!("{} {rtype}: {note}", self.name().to_relaxed()));
            }
            match step {
                Ok(Some(change)) => self.accept(change, contest, &wish, &mut ours),
                Ok(None) => {}
                Err(Stop::Later) => self.plan.deferred += 1,
                Err(Stop::Conflict(reason, owner, message)) => {
                    for claim in &contest.winners {
                        self.plan.conflicts.push(conflict(claim, reason, owner.clone(), message.clone()));
                    }
                }
            }
        }
    }

    fn accept(&mut self, change: Change, contest: &Contest<'a>, wish: &Wish, ours: &mut bool) {
        let paused =
            contest.winners.iter().find(|claim| state(self.ctx.claims, &claim.object) == Some(ObjectState::Paused));
        if let Some(claim) = paused {
            let message =
                format!("it is paused, and {} would be due; remove the annotation to go on", change.action.word());
            self.plan.conflicts.push(conflict(claim, "Paused", "", message));
            return;
        }
        let changes =
            change.old.as_ref().is_some_and(|old| change.new.as_ref().is_none_or(|new| !old.same(new, change.rtype)));
        if changes && contest.winners.iter().any(|c| state(self.ctx.claims, &c.object) == Some(ObjectState::Doubted)) {
            self.plan.watch = true;
            self.plan.waiting += 1;
            return;
        }
        if let Err(message) = self.sizes(&change, wish) {
            for claim in &contest.winners {
                self.plan.conflicts.push(conflict(claim, "Incompatible", "", message.clone()));
            }
            return;
        }
        *ours = true;
        self.plan.changes.extend(self.dname_in_two(&change).unwrap_or_else(|| vec![change]));
    }

    /// Whether everything that the change touches fits messages and transfers, now and when it is replaced one day.
    fn sizes(&self, change: &Change, wish: &Wish) -> Result<(), String> {
        if matches!(change.action, Action::Remark | Action::Release) {
            return Ok(());
        }
        let zone = &self.ctx.rules.zone;
        let (name, rtype) = (&change.name, change.rtype);
        let Some(node) = wish::node(self.ctx.rules, name, rtype) else { return Ok(()) };
        let set = size::set_size(name, &wish.set.values);
        if set > SET_LIMIT {
            return Err(check::too_large(name, rtype, set, SET_LIMIT));
        }
        let seen = self.ctx.view.get(&node, RrType::TXT).map(|set| set.values).unwrap_or_default();
        let marks = steps::node_after(&seen, &node, &change.edits);
        let marks_size = size::set_size(&node, &marks);
        if marks_size > SET_LIMIT {
            return Err(check::too_large(&node, RrType::TXT, marks_size, SET_LIMIT));
        }
        let own = wish.marks_added.iter().map(|rdata| rdata.len()).sum();
        let now = size::change_size(zone, &change.guards, &change.edits);
        let later = size::later_replace(zone, name, &wish.set.values, &node, &marks, own);
        let most = now.max(later);
        if most > UPDATE_LIMIT {
            let (name, rest) = (name.to_relaxed(), "Give fewer or shorter values");
            return Err(match change.old {
                Some(_) => format!(
                    "an update that replaces {name} {rtype} would take {most} octets; the limit of a message is {UPDATE_LIMIT}. {rest}"
                ),
                // The old values pinned, the old ones out, the new ones in: three times the set.
                None => format!(
                    "{name} {rtype} is too large to be created: a later change of it carries it three times over and would not fit a message ({most} octets; the \
                     limit is {UPDATE_LIMIT}). {rest}"
                ),
            });
        }
        Ok(())
    }

    /// Old servers die of a DNAME that is replaced in one message: the second half waits for the answer to the first. The
    /// marker changes in the first, so that the name stays ours in between. `after` is relative to the first here.
    fn dname_in_two(&self, change: &Change) -> Option<Vec<Change>> {
        if change.rtype != RrType::DNAME || change.old.is_none() {
            return None;
        }
        let is_add = |edit: &super::Edit| matches!(edit, super::Edit::Add(_, RrType::DNAME, ..));
        let (adds, rest): (Vec<_>, Vec<_>) = change.edits.iter().cloned().partition(is_add);
        if adds.is_empty() || rest.is_empty() {
            return None;
        }
        let node = wish::node(self.ctx.rules, &change.name, change.rtype)?;
        let seen = self.ctx.view.get(&node, RrType::TXT).map(|set| set.values).unwrap_or_default();
        let marks = steps::node_after(&seen, &node, &rest);
        let mut first = change.clone();
        first.edits = rest;
        let mut second = steps::change(Action::Create, &change.name, change.rtype, change.source.clone());
        second.new = change.new.clone();
        second.note = Some("second half of the replacement".to_owned());
        second.guards = [RrType::DNAME, RrType::CNAME, RrType::DHCID]
            .map(|t| Guard::SetAbsent(change.name.clone(), t))
            .into_iter()
            .chain([Guard::SetIs(node, RrType::TXT, marks)])
            .collect();
        second.edits = adds;
        second.after = Some(0);
        Some(vec![first, second])
    }

    /// All types of a name go in one unit; what does not fit one message follows in the next plan.
    fn fit(&mut self) {
        if self.plan.changes.len() < 2 || !self.going.is_empty() {
            return;
        }
        let mut total = 0;
        let mut keep = 0;
        for change in &self.plan.changes {
            total += size::change_size(&self.ctx.rules.zone, &change.guards, &change.edits);
            if total > UPDATE_LIMIT && keep > 0 {
                break;
            }
            keep += 1;
        }
        self.plan.deferred += self.plan.changes.len() - keep;
        self.plan.changes.truncate(keep);
    }
}
