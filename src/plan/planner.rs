//! Plans a zone, and plans again only what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::num::NonZero;

use super::brake::{self, BrakeState};
use super::chain;
use super::moves::Moves;
use super::name::{Ctx, NamePlan, plan_name, plan_node};
use super::{Change, Plan, Refusal};
use crate::model::{Claims, FastMap, FastSet, Name, RrType, SourceHealth, rdata};
use crate::ownership::{Classifier, Counts, Marker, MarkerText, SignIndex, ZoneRules};
use crate::view::{Node, View};

/// What a plan depends on besides claims and view.
pub struct PlanOptions<'a> {
    /// What the brake remembers; `None` begins anew, as a one-shot run does.
    pub brake: Option<&'a BrakeState>,
    /// Hash of held operations that a person releases.
    pub release: &'a [String],
    /// The whole source counts as one tenant (files): over the limit everything counted is held.
    pub one_tenant: bool,
    /// Whether a name outside the zone holds a DHCID, for PTRs whose target a DHCP server put there.
    pub dhcid_names: &'a (dyn Fn(&Name) -> bool + Sync),
}

impl Default for PlanOptions<'_> {
    fn default() -> Self {
        PlanOptions { brake: None, release: &[], one_tenant: false, dhcid_names: &|_| false }
    }
}

/// What changed since the last plan.
#[derive(Debug, Clone, Default)]
pub struct Dirty {
    /// Names that a change of the zone touched.
    pub zone: Vec<Name>,
    /// Names whose claims were added, removed or edited, or are made by an object whose state changed.
    pub claims: Vec<Name>,
    /// The state of some object, the health of the source or `prune` changed.
    pub objects: bool,
    /// Names outside the zone to which a DHCID came, or from which it went.
    pub targets: Vec<Name>,
}

/// Keeps what it learned of one zone; the cost of planning again follows the changes.
pub struct Planner {
    rules: ZoneRules,
    signs: SignIndex,
    /// Names about which there is something to say.
    named: BTreeMap<Name, NamePlan>,
    /// Sets by class of every name, by the hash of the name: a million names must not cost a million keys. Should two
    /// names ever share one, a count is off until the next full plan, and nothing else.
    counted: FastMap<u64, Tally>,
    total: [usize; CLASSES.len()],
    /// Names whose PTR set makes what is planned for them hang on its targets.
    hanging_ptrs: usize,
    /// Names of claims that shape the tree: DNAME, and NS below the apex.
    tops: BTreeSet<Name>,
}

/// Names from which on planning all of them is shared among the cores.
const MANY: usize = 4096;

/// Class words by place in a [`Tally`]; the first are ours.
const CLASSES: [&str; 7] = ["ours", "knotwork", "externalDns", "nix", "dhcp", "infrastructure", "unmarked"];
/// Behind the classes stand the flags of the name.
type Tally = [u8; CLASSES.len() + 1];
/// The name holds a DHCID.
const HAS_DHCID: u8 = 1;
/// What is planned for the name hangs on the target of its PTR set.
const HANGS_ON_TARGET: u8 = 2;

/// Plans a whole zone.
pub fn plan_zone(rules: &ZoneRules, claims: &Claims, view: &View, options: &PlanOptions<'_>) -> Plan {
    let mut planner = Planner::new(rules.clone());
    planner.full(claims, view, options);
    planner.plan(claims, view, options)
}

impl Planner {
    /// A planner that knows nothing yet: call [`Planner::full`] first.
    pub fn new(rules: ZoneRules) -> Planner {
        Planner {
            rules,
            signs: SignIndex::default(),
            named: BTreeMap::new(),
            counted: FastMap::default(),
            total: [0; CLASSES.len()],
            hanging_ptrs: 0,
            tops: BTreeSet::new(),
        }
    }

    /// The rules that it plans by.
    pub fn rules(&self) -> &ZoneRules {
        &self.rules
    }

    /// The signs of other writers, as last read.
    pub fn signs(&self) -> &SignIndex {
        &self.signs
    }

    /// Reads and plans everything.
    pub fn full(&mut self, claims: &Claims, view: &View, options: &PlanOptions<'_>) {
        self.signs = SignIndex::scan(&self.rules, view);
        self.named.clear();
        self.counted.clear();
        self.total = [0; CLASSES.len()];
        self.hanging_ptrs = 0;
        self.tops = claims.sets.keys().filter(|name| is_top(&self.rules, claims, name)).cloned().collect();
        // Borrowed by the context while results are stored.
        let (rules, signs) = (self.rules.clone(), std::mem::take(&mut self.signs));
        let classes = Classifier::with_index(&rules, view, &signs).dhcid_names(options.dhcid_names);
        let ctx = Ctx { rules: &rules, claims, view, classes };
        let of_zone = view.nodes().filter_map(|node| {
            let name = node.name();
            if !is_plain_node(&rules, node, &name) {
                return Some((name, Some(node)));
            }
            // The name that it marks is planned by itself, unless nothing else would lead to it.
            let parent = name.parent().filter(|p| !view.in_use(p) && !claims.sets.contains_key(p))?;
            Some((parent, None))
        });
        let marks = signs.dname_marks().filter(|name| !claims.sets.contains_key(name));
        let absent = claims.sets.keys().chain(marks).filter(|name| !view.in_use(name));
        let todo: Vec<(Name, Option<Node<'_>>)> = of_zone.chain(absent.map(|name| (name.clone(), None))).collect();
        let plans = plan_all(&ctx, &todo);
        for ((name, _), plan) in todo.into_iter().zip(plans) {
            self.put(name, plan);
        }
        drop(ctx);
        self.signs = signs;
    }

    /// Plans again what changed. `view` and `claims` are the new ones.
    pub fn replan(&mut self, claims: &Claims, view: &View, dirty: &Dirty, options: &PlanOptions<'_>) {
        let mut todo: BTreeSet<Name> = BTreeSet::new();
        for name in dirty.zone.iter().filter(|name| name.is_at_or_below(&self.rules.zone)) {
            let shaped = self.signs.shapes_tree(name);
            todo.extend(self.signs.update(&self.rules, view, name));
            if shaped || self.signs.shapes_tree(name) {
                let below = claims.sets.range(name.clone()..).take_while(|(other, _)| other.is_at_or_below(name));
                todo.extend(below.map(|(other, _)| other.clone()));
            }
            if let (Some(parent), true) = (name.parent(), name.first_label() == Some(self.rules.label.as_bytes())) {
                // DNAMEs right below have their markers here, too.
                let below = self.tops.range(parent.clone()..).take_while(|top| top.is_at_or_below(&parent));
                todo.extend(below.filter(|top| top.parent().as_ref() == Some(&parent)).cloned());
                todo.insert(parent);
            }
            self.add_tops_above(name, &mut todo);
            todo.insert(name.clone());
        }
        for name in &dirty.claims {
            if is_top(&self.rules, claims, name) {
                self.tops.insert(name.clone());
            } else {
                self.tops.remove(name);
            }
            self.add_tops_above(name, &mut todo);
            todo.insert(name.clone());
        }
        if dirty.objects {
            todo.extend(self.named.keys().cloned());
        }
        let mut targets: FastSet<Name> = dirty.targets.iter().cloned().collect();
        self.plan_names(claims, view, options, todo, &mut targets);
        if !targets.is_empty() && self.hanging_ptrs > 0 {
            // Who points at a name is written nowhere; a walk over the zone is the price of a lease that comes or goes,
            // where there are such PTRs at all.
            let points = |node: &Node<'_>| {
                node.set(RrType::PTR).is_some_and(|set| {
                    set.values()
                        .flat_map(|value| rdata::names_in(RrType::PTR, value))
                        .any(|name| targets.contains(&name))
                })
            };
            let pointing = view.nodes().filter(points).map(|node| node.name()).collect();
            self.plan_names(claims, view, options, pointing, &mut FastSet::default());
        }
    }

    /// Plans these names, and notes where a DHCID came or went.
    fn plan_names(
        &mut self,
        claims: &Claims,
        view: &View,
        options: &PlanOptions<'_>,
        names: BTreeSet<Name>,
        moved: &mut FastSet<Name>,
    ) {
        let ctx = Ctx {
            rules: &self.rules,
            claims,
            view,
            classes: Classifier::with_index(&self.rules, view, &self.signs).dhcid_names(options.dhcid_names),
        };
        let plans: Vec<(Name, NamePlan)> =
            names.into_iter().map(|name| (name.clone(), plan_name(&ctx, &name))).collect();
        for (name, plan) in plans {
            if self.put(name.clone(), plan) {
                moved.insert(name);
            }
        }
    }

    fn add_tops_above(&self, name: &Name, todo: &mut BTreeSet<Name>) {
        if self.tops.is_empty() {
            return;
        }
        let mut above = name.parent();
        while let Some(here) = above {
            if self.tops.contains(&here) {
                todo.insert(here.clone());
            }
            above = here.parent();
        }
    }

    /// Keeps the plan of a name; tells whether a DHCID came there or went.
    fn put(&mut self, name: Name, mut plan: NamePlan) -> bool {
        let key = self.counted.hasher().hash_one(&name);
        let mut tally = tally(&std::mem::take(&mut plan.counts));
        tally[CLASSES.len()] =
            if plan.has_dhcid { HAS_DHCID } else { 0 } | if plan.hangs_on_target() { HANGS_ON_TARGET } else { 0 };
        let old = if tally == Tally::default() { self.counted.remove(&key) } else { self.counted.insert(key, tally) };
        let old = old.unwrap_or_default();
        for (total, (new, old)) in self.total.iter_mut().zip(tally.iter().zip(old)) {
            *total = *total + usize::from(*new) - usize::from(old);
        }
        let (new, old) = (tally[CLASSES.len()], old[CLASSES.len()]);
        let hangs = |flags: u8| usize::from(flags & HANGS_ON_TARGET != 0);
        self.hanging_ptrs = self.hanging_ptrs + hangs(new) - hangs(old);
        if plan.is_quiet() {
            self.named.remove(&name);
        } else {
            self.named.insert(name, plan);
        }
        (new ^ old) & HAS_DHCID != 0
    }

    /// Sets of ours in the view as last planned.
    pub fn owned(&self) -> usize {
        self.total[0]
    }

    /// The plan as things stand. Its cost follows what there is to say, not the zone.
    pub fn plan(&self, claims: &Claims, view: &View, options: &PlanOptions<'_>) -> Plan {
        let mut plan = Plan {
            skipped: CLASSES.iter().zip(self.total).skip(1).filter(|(_, n)| *n > 0).map(|(c, n)| (*c, n)).collect(),
            owned: self.total[0],
            observe: self.rules.observe,
            ..Plan::empty(view)
        };
        if let Some(at) = self.signs.mislabelled() {
            plan.refused = Some(Refusal {
                reason: "LabelChanged",
                message: format!(
                    "{} holds a marker of our owner id \"{}\" under another label than \"{}\"; set marker.label back to the \
                     one in the zone, or give this installation an owner id of its own",
                    at.to_relaxed(),
                    self.rules.owner,
                    self.rules.label
                ),
            });
            return plan;
        }
        plan.notes.extend(self.signs.stray_words());
        let mut waiting = 0;
        let mut moves = Moves::of(claims, self.named.values());
        for (name, named) in &self.named {
            let base = plan.changes.len();
            let changes = if moves.keep(name, named) { &[] } else { named.changes.as_slice() };
            plan.changes.extend(changes.iter().cloned().map(|mut change: Change| {
                change.after = change.after.map(|first| base + first);
                change
            }));
            plan.conflicts.extend(named.conflicts.iter().cloned());
            plan.orphans.extend(named.orphans.iter().cloned());
            plan.notes.extend(named.notes.iter().cloned());
            plan.deferred += named.deferred;
            waiting += named.waiting;
            if named.deferred > 0 || named.waiting > 0 {
                plan.unfinished.push(name.clone());
            }
        }
        moves.tell(&mut plan.conflicts);
        if let (1.., SourceHealth::Incomplete(why)) = (waiting, &claims.health) {
            let more = match why.len() {
                0 | 1 => String::new(),
                more => format!(" (and {} more)", more - 1),
            };
            plan.waiting = Some((waiting, format!("{}{more}", why.first().map_or("", String::as_str))));
        }
        let fresh = BrakeState::default();
        let state = options.brake.unwrap_or(&fresh);
        (plan.held, plan.verdict) =
            brake::judge(&mut plan.changes, &self.rules.brake, state, plan.owned, options.one_tenant, options.release);
        chain::dnames(&self.rules, view, &mut plan.changes);
        plan
    }
}

/// Plans names on all cores: each by itself, since none looks at another's plan.
fn plan_all(ctx: &Ctx<'_>, todo: &[(Name, Option<Node<'_>>)]) -> Vec<NamePlan> {
    let one = |(name, node): &(Name, Option<Node<'_>>)| match node {
        Some(node) => plan_node(ctx, name, Some(*node)),
        None => plan_name(ctx, name),
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    if todo.len() < MANY || cores == 1 {
        return todo.iter().map(one).collect();
    }
    std::thread::scope(|scope| {
        let share = todo.len().div_ceil(cores);
        let parts: Vec<_> =
            todo.chunks(share).map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>())).collect();
        let joined = parts.into_iter().map(|part| match part.join() {
            Ok(plans) => plans,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    })
}

fn is_top(rules: &ZoneRules, claims: &Claims, name: &Name) -> bool {
    claims.sets.get(name).is_some_and(|types| {
        types.contains_key(&RrType::DNAME) || (types.contains_key(&RrType::NS) && *name != rules.zone)
    })
}

/// Whether a name is a marker node that holds nothing but markers of ours.
fn is_plain_node(rules: &ZoneRules, node: Node<'_>, name: &Name) -> bool {
    let ours = |value: &[u8]| match Marker::parse_rdata(value) {
        MarkerText::Marker(marker) => marker.owner == rules.owner,
        MarkerText::ReadOnly(_) | MarkerText::Other => false,
    };
    name.first_label() == Some(rules.label.as_bytes())
        && node.sets().all(|set| set.rtype == RrType::TXT && set.values().all(ours))
}

fn tally(counts: &Counts) -> Tally {
    let mut tally = Tally::default();
    for (place, class) in CLASSES.iter().enumerate() {
        let count = if place == 0 { counts.owned } else { counts.others.get(class).copied().unwrap_or(0) };
        tally[place] = u8::try_from(count).unwrap_or(u8::MAX);
    }
    tally
}
