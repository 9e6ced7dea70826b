//! Where a name stands: below a DNAME, at or below a delegation, above other names.

use super::contest::state;
use super::name::Ctx;
use super::steps::data_sets;
use crate::model::{Name, ObjectState, RrSet, RrType, rdata};
use crate::ownership::NameFacts;

/// How many names a message lists.
const SHOWN: usize = 3;

/// Why a new set cannot stand here.
#[derive(Debug)]
pub(super) enum Blocked {
    /// Not as things are declared; the sentence says why.
    Incompatible(String),
    /// Once the rest of this plan is in the zone.
    Later,
}

/// Judges a set that is not there yet by the names around it.
pub(super) fn judge(
    ctx: &Ctx<'_>,
    facts: &NameFacts,
    rtype: RrType,
    set: &RrSet,
    going: &[RrType],
) -> Result<(), Blocked> {
    let name = &facts.name;
    let refuse = |words: String| Err(Blocked::Incompatible(words));
    if let Some(above) = ctx.classes.signs().dname_above(name) {
        let above = above.to_relaxed();
        return refuse(format!("nothing may stand below the DNAME at {above}; remove that, or choose another name"));
    }
    if rtype == RrType::DNAME {
        if data_sets(facts).any(|(t, _)| !going.contains(&t)) {
            return refuse(format!(
                "a DNAME is only put at a name that holds nothing else; {} does",
                name.to_relaxed()
            ));
        }
        let below = above_others(ctx, name, &|_, _| false);
        if !going.is_empty() && below.iter().all(|other| is_marker(ctx, other)) {
            // The marker of what goes stands below; servers refuse a DNAME above it in the same message.
            return Err(Blocked::Later);
        }
        if !below.is_empty() {
            return refuse(format!("a DNAME would hide {}; remove them first", listed(&below)));
        }
    } else if facts.set(RrType::DNAME).is_some() {
        if going.contains(&RrType::DNAME) {
            return Err(Blocked::Later);
        }
        return refuse(format!(
            "a DNAME stands at {}, and the marker of another set would be below it",
            name.to_relaxed()
        ));
    }
    delegation(ctx, facts, rtype, set)
}

fn delegation(ctx: &Ctx<'_>, facts: &NameFacts, rtype: RrType, set: &RrSet) -> Result<(), Blocked> {
    let name = &facts.name;
    if let Some(cut) = ctx.classes.signs().cut_over(name) {
        let targets = ctx.view.get(&cut, RrType::NS).map(|set| targets(&set)).unwrap_or_default();
        let glue = matches!(rtype, RrType::A | RrType::AAAA) && targets.contains(name);
        let at_cut = cut == *name && matches!(rtype, RrType::NS | RrType::DS);
        if !glue && !at_cut {
            return Err(Blocked::Incompatible(format!(
                "{} is delegated; only the addresses of its name servers belong into this zone. Declare this in the \
                 delegated zone",
                cut.to_relaxed()
            )));
        }
        return Ok(());
    }
    if rtype != RrType::NS || *name == ctx.rules.zone {
        return Ok(());
    }
    let targets = targets(set);
    let glue = |other: &Name, t: RrType| matches!(t, RrType::A | RrType::AAAA) && targets.contains(other);
    let mut hidden = above_others(ctx, name, &glue);
    hidden.retain(|other| !is_marker(ctx, other));
    let beside = |t: RrType| !matches!(t, RrType::NS | RrType::DS) && !glue(name, t);
    let here = data_sets(facts).map(|(t, _)| t).chain(claimed(ctx, name)).any(beside);
    if here {
        hidden.insert(0, name.clone());
    }
    if hidden.is_empty() {
        return Ok(());
    }
    Err(Blocked::Incompatible(format!("a delegation here would hide {}; remove them first", listed(&hidden))))
}

/// Names strictly below that hold or claim something which is not exempt; a few of them.
fn above_others(ctx: &Ctx<'_>, name: &Name, exempt: &dyn Fn(&Name, RrType) -> bool) -> Vec<Name> {
    let mut found: Vec<Name> = Vec::new();
    for other in ctx.view.below(name) {
        if ctx.view.at(&other).iter().any(|(t, _)| !exempt(&other, *t) && !t.is_dnssec()) {
            found.push(other);
            if found.len() > SHOWN {
                return found;
            }
        }
    }
    let below = ctx.claims.sets.range(name.clone()..).skip_while(|(other, _)| *other == name);
    for (other, _) in below.take_while(|(other, _)| other.is_below(name)) {
        if !found.contains(other) && claimed(ctx, other).any(|t| !exempt(other, t)) {
            found.push(other.clone());
            if found.len() > SHOWN {
                break;
            }
        }
    }
    found
}

/// Types that living objects claim at a name.
fn claimed<'a>(ctx: &'a Ctx<'_>, name: &Name) -> impl Iterator<Item = RrType> + 'a {
    let sets = ctx.claims.sets.get(name).into_iter().flatten();
    let living = |object| state(ctx.claims, object).is_none_or(ObjectState::declares);
    sets.filter(move |(_, list)| list.iter().any(|claim| living(&claim.object))).map(|(t, _)| *t)
}

fn targets(set: &RrSet) -> Vec<Name> {
    set.values.iter().flat_map(|value| rdata::names_in(RrType::NS, value)).collect()
}

/// Whether a name is a marker node or a fence of ours.
fn is_marker(ctx: &Ctx<'_>, name: &Name) -> bool {
    name.labels().any(|label| label == ctx.rules.label.as_bytes())
}

fn listed(names: &[Name]) -> String {
    let mut text: Vec<String> = names.iter().take(SHOWN).map(Name::to_relaxed).collect();
    if names.len() > SHOWN {
        text.push("others".to_owned());
    }
    text.join(", ")
}
