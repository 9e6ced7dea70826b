//! Whether a claim that won among ours may have its record set, as far as other writers and the zone are concerned, and
//! the step that gives it to it.

use super::Action;
use super::Change;
use super::contest::Contest;
use super::name::{Desk, is_alias};
use super::steps::{self, data_sets};
use super::tree::{self, Blocked};
use super::wish::{self, Wish};
use crate::model::{AdoptPolicy, Claim, RrSet, RrType, rdata};
use crate::ownership::{AdoptFrom, OwnMark, Scope, Sign, Writer, ZoneRules};

/// Why a claim that won among ours has no step now.
pub(super) enum Stop {
    Later,
    Conflict(&'static str, String, String),
}

pub(super) fn may_take(rules: &ZoneRules, writer: &Writer) -> bool {
    rules.adopt_from.iter().any(|from| match (from, writer) {
        (AdoptFrom::Nix { managed_by: wanted }, Writer::Nix { managed_by }) => wanted == managed_by,
        (AdoptFrom::Knotwork { owner: wanted }, Writer::Knotwork { owner, .. }) => wanted == owner,
        (AdoptFrom::ExternalDns { owner: wanted }, Writer::ExternalDns { owner, .. }) => wanted == owner,
        _ => false,
    })
}

impl<'a> Desk<'a, '_> {
    /// The step of one claimed set, or why there is none.
    pub(super) fn step(
        &self,
        rtype: RrType,
        contest: &Contest<'a>,
        wish: &Wish,
        claimed: &[(RrType, &Contest<'a>)],
        ours: bool,
    ) -> Result<Option<Change>, Stop> {
        let (rules, view, name) = (self.ctx.rules, self.ctx.view, self.name());
        let lead = contest.winners[0];
        let live = self.facts.set(rtype);
        if let Some(writer) = self.contested(rtype) {
            let (ours, theirs) = (&lead.object, writer.describe());
            let message = format!(
                "the name carries our marker for {ours} and the sign of {theirs}; nothing is touched. Let one of the two \
                 declare it and remove it from the other"
            );
            return Err(Stop::Conflict("Contested", theirs, message));
        }
        let marked = self.facts.own_of(rtype).next().is_some();
        let incompatible = |words: String| Stop::Conflict("Incompatible", String::new(), words);
        let node =
            wish::node(rules, name, rtype).ok_or_else(|| incompatible("there is no room for a marker".into()))?;
        let pin = steps::pin_node(view, &node).map_err(incompatible)?;
        let source = Some(lead.object.clone());
        match (marked, live) {
            (true, Some(live)) => {
                self.apex_ttl(rtype, live, wish)?;
                let mut step = steps::towards(rules, view, (name, rtype), (&node, &pin), live, wish, source);
                let marks: Vec<&OwnMark> = self.facts.own_of(rtype).collect();
                if let Some(change) = &mut step
                    && change.action == Action::Replace
                    && !wish::is_as_marked(rtype, &marks, live)
                {
                    change.note = Some("repaired: the values were changed by somebody else".to_owned());
                }
                Ok(step)
            }
            (false, Some(live)) => {
                self.may_adopt(rtype, lead, &wish.set, live)?;
                let hidden = rtype != RrType::DNAME && self.facts.set(RrType::DNAME).is_some();
                if hidden || self.ctx.classes.signs().dname_above(name).is_some() {
                    let words =
                        "a DNAME stands at or above the name, and the marker would be below it; remove it first";
                    return Err(incompatible(words.to_owned()));
                }
                let taken = self.takeable(rtype, claimed)?;
                let same = live.same(&wish.set, rtype);
                let mut change = steps::change(Action::Adopt, name, rtype, source);
                change.counted = !same;
                change.old = Some(live.clone());
                change.new = Some(wish.set.clone());
                change.guards = steps::adopt_guards(rules, view, self.facts, rtype);
                steps::push(&mut change.guards, pin);
                if !same {
                    change.edits = steps::set_edits(&rules.zone, name, rtype, Some(live), Some(&wish.set));
                }
                steps::take_signs(view, rules.txt_key.as_ref(), &taken, &mut change.guards, &mut change.edits, &node);
                change.edits.extend(steps::mark_edits(view, &node, &[], &wish.marks_added));
                change.note = (!taken.is_empty()).then(|| format!("taken over from {}", taken[0].writer.describe()));
                Ok(Some(change))
            }
            (_, None) => {
                let taken = self.takeable(rtype, claimed)?;
                self.may_create(rtype, &wish.set, ours)?;
                let swap = self.going.iter().any(|t| is_alias(*t) || is_alias(rtype));
                let mut change = steps::change(Action::Create, name, rtype, source);
                change.new = Some(wish.set.clone());
                change.guards = steps::create_guards(view, self.facts, rtype, swap);
                change.guards.push(pin);
                change.edits = steps::set_edits(&rules.zone, name, rtype, None, Some(&wish.set));
                steps::take_signs(view, rules.txt_key.as_ref(), &taken, &mut change.guards, &mut change.edits, &node);
                change.edits.extend(steps::mark_edits(view, &node, &wish.marks_removed, &wish.marks_added));
                change.note = wish.note.clone();
                Ok(Some(change))
            }
        }
    }

    /// The TTL of a zone's own NS set cannot change alone: that would take removing all of them.
    fn apex_ttl(&self, rtype: RrType, live: &RrSet, wish: &Wish) -> Result<(), Stop> {
        let apex = rtype == RrType::NS && *self.name() == self.ctx.rules.zone;
        if !apex || live.ttl == wish.set.ttl || !live.same_values(&wish.set, rtype) {
            return Ok(());
        }
        let message = format!(
            "the apex NS set differs in its TTL only ({} there, {} declared), and an update cannot change that; declare \
             ttl: {}, or change it in the server's zone file",
            live.ttl, wish.set.ttl, live.ttl
        );
        Err(Stop::Conflict("Incompatible", String::new(), message))
    }

    /// Whether an unmarked set (or one whose marks may be taken) becomes ours.
    fn may_adopt(&self, rtype: RrType, lead: &Claim, wanted: &RrSet, live: &RrSet) -> Result<(), Stop> {
        self.nobody_elses(rtype)?;
        // Somebody whose marks `adoptFrom` lets us take, or nobody.
        let holder =
            self.facts.signs.iter().find(|sign| may_take(self.ctx.rules, &sign.writer) && sign.scope.covers(rtype));
        let (who, there) = match holder {
            Some(sign) => {
                let who = sign.writer.describe();
                let there = format!("the {rtype} set of {who} (see {}) is there", sign.at.to_relaxed());
                (who, there)
            }
            None => ("unmarked".to_owned(), format!("an unmarked {rtype} set is there already")),
        };
        if holder.is_none()
            && *self.name() != self.ctx.rules.zone
            && let Some((txt, writer)) = self.ctx.classes.signs().may_speak_of(self.name())
        {
            let (who, at) = (writer.describe(), txt.to_relaxed());
            let message = format!(
                "{there}, and {who} may own it: the TXT at {at} fits no other record here. Configure its affix at the zone \
                 (externalDns: [{{prefix, suffix or wildcardReplacement}}], or nixPrefix), or remove that TXT if it is of no use"
            );
            return Err(Stop::Conflict("OwnedByOther", who, message));
        }
        if lead.adopt == AdoptPolicy::Never {
            let message = format!("{there} and adopt is Never; remove it, or set adopt: IfIdentical or Takeover");
            return Err(Stop::Conflict("OwnedByOther", who, message));
        }
        if live.same(wanted, rtype) {
            return Ok(());
        }
        if lead.adopt != AdoptPolicy::Takeover {
            let differs = if live.same_values(wanted, rtype) {
                format!("differs in TTL only ({} there, {} declared)", live.ttl, wanted.ttl)
            } else {
                format!("differs: {} there, {} declared", values(rtype, live), values(rtype, wanted))
            };
            let way = match holder {
                Some(_) => {
                    "adoptFrom takes over what is declared as it is: declare the same, or set adopt: Takeover to change it with that"
                }
                None if lead.reverse => {
                    "A PTR that follows from reverse: true takes nothing over: remove that one, or declare this PTR by itself \
                     with adopt: Takeover"
                }
                None => "Declare the same, or set adopt: Takeover",
            };
            return Err(Stop::Conflict("NotIdentical", who, format!("{there} and {differs}. {way}")));
        }
        let wish = Wish { set: wanted.clone(), marks_added: vec![], marks_removed: vec![], note: None };
        self.apex_ttl(rtype, live, &wish)
    }

    /// No other writer's sign is at the name, save those that we may take.
    fn nobody_elses(&self, rtype: RrType) -> Result<(), Stop> {
        let stranger = self.strangers().next().map(|sign| (sign.writer.clone(), sign.at.to_relaxed()));
        let mark = self.ctx.classes.mark_in(self.facts, rtype).filter(|writer| *writer != Writer::Ours);
        let stranger =
            stranger.or_else(|| mark.map(|writer| (writer, "this very TXT, which marks its records".to_owned())));
        let stranger = stranger.or_else(|| {
            // A PTR to a host of a DHCP server carries no sign of its own.
            let live = self.facts.set(rtype).filter(|_| rtype == RrType::PTR)?;
            self.ctx.classes.points_at_dhcp(live).then(|| (Writer::Dhcp, "a DHCID at its target".to_owned()))
        });
        match stranger {
            None => Ok(()),
            Some((writer, at)) => {
                let who = writer.describe();
                let unreadable = matches!(&writer, Writer::Knotwork { owner, .. } if *owner == self.ctx.rules.owner);
                let message = if unreadable {
                    format!(
                        "the marker at {at} carries our owner id, but this version cannot read it whole; a newer Knotwork \
                         wrote it, or it was edited. Upgrade, or remove that TXT"
                    )
                } else {
                    format!("the name belongs to {who} (see {at}); remove it there first, or choose another name")
                };
                Err(Stop::Conflict("OwnedByOther", who, message))
            }
        }
    }

    /// The marks of another tool on this set that `adoptFrom` lets us take. A mark that covers several sets is taken only
    /// when each of them becomes ours.
    fn takeable(&self, rtype: RrType, claimed: &[(RrType, &Contest<'a>)]) -> Result<Vec<&'a Sign>, Stop> {
        let rules = self.ctx.rules;
        let mut taken = Vec::new();
        for sign in self.facts.signs.iter().filter(|sign| may_take(rules, &sign.writer) && sign.scope.covers(rtype)) {
            if !matches!(sign.scope, Scope::Type(_)) {
                for (other, live) in data_sets(self.facts).filter(|(t, _)| sign.scope.covers(*t)) {
                    if self.facts.own_of(other).next().is_some() || self.is_apex_ns(other) {
                        continue;
                    }
                    let contest = claimed.iter().find(|(t, _)| *t == other).map(|(_, contest)| contest);
                    let fits = contest.is_some_and(|contest| {
                        let wish = wish::wish(rules, other, contest, Some(live));
                        self.may_adopt(other, contest.winners[0], &wish.set, live).is_ok()
                    });
                    if !fits {
                        let who = sign.writer.describe();
                        let message = format!(
                            "the mark of {who} at {} covers the whole name, and its {other} set is not declared as it is; \
                             declare it too, and all will be taken over together",
                            sign.at.to_relaxed()
                        );
                        return Err(Stop::Conflict("OwnedByOther", who, message));
                    }
                }
            }
            taken.push(sign);
        }
        Ok(taken)
    }

    fn is_apex_ns(&self, rtype: RrType) -> bool {
        rtype == RrType::NS && *self.name() == self.ctx.rules.zone
    }

    /// Whether a set that is not there may be put here.
    fn may_create(&self, rtype: RrType, wanted: &RrSet, ours: bool) -> Result<(), Stop> {
        self.nobody_elses(rtype)?;
        match tree::judge(self.ctx, self.facts, rtype, wanted, &self.going) {
            Ok(()) => {}
            Err(Blocked::Later) => return Err(Stop::Later),
            Err(Blocked::Incompatible(words)) => return Err(Stop::Conflict("Incompatible", String::new(), words)),
        }
        let apex = *self.name() == self.ctx.rules.zone;
        for (other, _) in data_sets(self.facts) {
            if self.going.contains(&other) {
                continue;
            }
            let own = self.facts.own_of(other).next().is_some();
            let clash = is_alias(rtype) || other == RrType::CNAME;
            if !clash && (own || ours || apex) {
                continue;
            }
            let writer = self.ctx.classes.writer_in(self.facts, other);
            if own {
                let message = format!("the {other} set of this name stays, and a CNAME stands alone at its name");
                return Err(Stop::Conflict("Incompatible", writer.describe(), message));
            }
            let message = format!(
                "the name holds a {other} set that is not ours; we put nothing beside it. Declare that set too, remove it, \
                 or choose another name"
            );
            return Err(Stop::Conflict("OwnedByOther", writer.describe(), message));
        }
        Ok(())
    }
}

/// A set in a few words.
fn values(rtype: RrType, set: &RrSet) -> String {
    let shown: Vec<String> = set.values.iter().take(3).map(|value| rdata::to_text(rtype, value)).collect();
    let more = set.values.len().saturating_sub(3);
    let tail = if more > 0 { format!(" (+{more})") } else { String::new() };
    format!("{}{tail} with TTL {}", shown.join(", "), set.ttl)
}
