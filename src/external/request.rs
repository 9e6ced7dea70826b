//! `POST /records`: what a body of changes wishes, by zone and name, before anybody looks at the zone.
//!
//! The lists are not replayed. What counts is how each record set shall be in the end: `create` and `updateNew` say what it
//! holds, `delete` and `updateOld` alone that it goes. A changed `setIdentifier` comes as a create and a delete of one set, and
//! replayed it would be gone.

use std::collections::BTreeMap;

use super::adjust::{PTR, Rules};
use super::canonical::{self, Read};
use super::endpoint::{Changes, Endpoint};
use super::refused::Refused;
use crate::model::{Name, Rdata, RrType};
use crate::ownership::{Affix, external_dns};
use crate::spec::Zones;

/// How one record set shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetWish {
    /// It holds precisely these values.
    Be {
        /// Seconds; `None`: as it is, and the zone's default where there is none.
        ttl: Option<u32>,
        /// Each once.
        values: Vec<Rdata>,
        /// For whom ExternalDNS says it does so (`labels.owner`); empty where its registry keeps no owners.
        owner: String,
        /// For which object (`labels.resource`).
        resource: String,
        /// Whether PTRs are wished (`webhook/ptr`).
        ptr: bool,
    },
    /// It goes.
    Gone {
        /// For whom, as in `Be`.
        owner: String,
    },
}

impl SetWish {
    /// For which object ExternalDNS wishes it; empty where it does not say.
    pub fn resource(&self) -> &str {
        match self {
            SetWish::Be { resource, .. } => resource,
            SetWish::Gone { .. } => "",
        }
    }
}

/// How one ownership TXT shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkWish {
    /// Where ExternalDNS wants it.
    pub wanted: Name,
    /// The type of the set that it speaks of; `None`: all but AAAA (the form before 0.12).
    pub rtype: Option<RrType>,
    /// Its text as RDATA; `None`: it goes.
    pub text: Option<Rdata>,
}

/// What a request wishes of one name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameWish {
    /// By type; ownership TXTs aside.
    pub sets: BTreeMap<RrType, SetWish>,
    /// The ownership TXTs that speak of this name.
    pub marks: Vec<MarkWish>,
}

/// What a request wishes of one zone.
pub type ZoneWish = BTreeMap<Name, NameWish>;

/// What a request wishes, and what of it cannot be meant for us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// By apex.
    pub zones: BTreeMap<Name, ZoneWish>,
    /// In no zone of ours, or not to be understood.
    pub refused: Vec<Refused>,
}

/// Reads a body of changes. `affixes` are those that the configuration knows of a zone.
pub fn read<'a>(changes: &Changes, zones: &Zones, affixes: &dyn Fn(&Name) -> &'a [Affix], rules: Rules) -> Request {
    let mut request = Request::default();
    for (lists, is_wanted) in
        [([&changes.delete, &changes.update_old], false), ([&changes.create, &changes.update_new], true)]
    {
        for list in lists {
            for endpoint in list {
                if let Err(refused) = add(&mut request, endpoint, list, is_wanted, zones, affixes, rules) {
                    request.refused.push(refused);
                }
            }
        }
    }
    request
}

fn add<'a>(
    request: &mut Request,
    endpoint: &Endpoint,
    list: &[Endpoint],
    is_wanted: bool,
    zones: &Zones,
    affixes: &dyn Fn(&Name) -> &'a [Affix],
    rules: Rules,
) -> Result<(), Refused> {
    let read = match canonical::read(endpoint, zones) {
        Ok(read) => read,
        // What is to go needs no values that can be understood.
        Err(_) if !is_wanted => gone(endpoint)?,
        Err(refused) => return Err(refused),
    };
    if read.is_mark {
        return mark(request, endpoint, read, list, is_wanted, zones, affixes);
    }
    let Some(zone) = zones.of(&read.name) else { return Err(outside(endpoint)) };
    let sets = &mut request.zones.entry(zone.name.clone()).or_default().entry(read.name).or_default().sets;
    if !is_wanted {
        sets.entry(read.rtype).or_insert_with(|| SetWish::Gone { owner: endpoint.label("owner").to_owned() });
        return Ok(());
    }
    let ttl = rules.ttl(read.ttl);
    match sets.get_mut(&read.rtype) {
        // Endpoints of one set that only `setIdentifier` tells apart: the values come together, and the shorter TTL counts.
        Some(SetWish::Be { ttl: known, values, .. }) => {
            values.extend(read.values.into_iter().filter(|value| !values.contains(value)).collect::<Vec<_>>());
            *known = [*known, ttl].into_iter().flatten().min();
        }
        _ => {
            let mut values = Vec::new();
            read.values.into_iter().for_each(|value| {
                if !values.contains(&value) {
                    values.push(value);
                }
            });
            let [owner, resource] = ["owner", "resource"].map(|label| endpoint.label(label).to_owned());
            let ptr = wants_ptr(endpoint, read.rtype);
            sets.insert(read.rtype, SetWish::Be { ttl, values, owner, resource, ptr });
        }
    }
    Ok(())
}

/// Whether an endpoint asks for PTRs; adjust wrote the default into it where it said nothing.
pub fn wants_ptr(endpoint: &Endpoint, rtype: RrType) -> bool {
    matches!(rtype, RrType::A | RrType::AAAA) && endpoint.property(PTR).is_some_and(|value| value == "true")
}

/// A set that shall go though its values mean nothing to us.
fn gone(endpoint: &Endpoint) -> Result<Read, Refused> {
    let (name, rtype) = (canonical::name(endpoint)?, canonical::record_type(endpoint)?);
    Ok(Read { name, rtype, ttl: None, values: Vec::new(), is_mark: false })
}

fn mark<'a>(
    request: &mut Request,
    endpoint: &Endpoint,
    read: Read,
    list: &[Endpoint],
    is_wanted: bool,
    zones: &Zones,
    affixes: &dyn Fn(&Name) -> &'a [Affix],
) -> Result<(), Refused> {
    let Some((owned, rtype)) = spoken_of(endpoint, &read.name, list, zones, affixes) else {
        return Err(outside(endpoint));
    };
    let Some(zone) = zones.of(&owned) else { return Err(outside(endpoint)) };
    let marks = &mut request.zones.entry(zone.name.clone()).or_default().entry(owned).or_default().marks;
    let text = read.values.into_iter().next().filter(|_| is_wanted);
    match marks.iter_mut().find(|known| known.wanted == read.name && known.rtype == rtype) {
        Some(known) if text.is_some() => known.text = text,
        Some(_) => {}
        None => marks.push(MarkWish { wanted: read.name, rtype, text }),
    }
    Ok(())
}

/// The set that an ownership TXT speaks of: by its label, and by the companion in the same list; by its name alone where an
/// old version labels nothing.
fn spoken_of<'a>(
    endpoint: &Endpoint,
    at: &Name,
    list: &[Endpoint],
    zones: &Zones,
    affixes: &dyn Fn(&Name) -> &'a [Affix],
) -> Option<(Name, Option<RrType>)> {
    let label = Name::parse(endpoint.label("ownedRecord")).ok().filter(|_| !endpoint.label("ownedRecord").is_empty());
    let zone = label.as_ref().and_then(|owned| zones.of(owned)).or_else(|| zones.of(at));
    let known = zone.map_or(&[][..], |zone| affixes(&zone.name));
    let covered = external_dns::covered(known, at);
    let Some(owned) = label else {
        return covered.into_iter().next().map(|covered| (covered.name, covered.rtype));
    };
    if let Some(covered) = covered.into_iter().find(|covered| covered.name == owned && covered.rtype.is_some()) {
        return Some((owned, covered.rtype));
    }
    // An affix that nobody configured: the type is one of the companions' whose word stands in the name.
    let companions = list
        .iter()
        .filter(|other| !canonical::is_mark(other) && canonical::name(other).is_ok_and(|name| name == owned));
    let types: Vec<RrType> = companions.filter_map(|other| RrType::parse(&other.record_type)).collect();
    // What the name has beyond the owned one's own words: the affix and the type.
    let words = |name: &Name| {
        let text = name.to_relaxed().to_ascii_lowercase();
        text.split(['-', '.', '_']).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut extra = words(at);
    for word in words(&owned) {
        if let Some(found) = extra.iter().rposition(|other| *other == word) {
            extra.remove(found);
        }
    }
    let said = |rtype: &&RrType| extra.iter().any(|word| rtype.to_string().eq_ignore_ascii_case(word));
    // No type in the name is the old form.
    let rtype = types.iter().find(said).copied();
    Some((owned, rtype))
}

fn outside(endpoint: &Endpoint) -> Refused {
    Refused::of(endpoint, "ZoneNotFound", "the name lies in no zone that is configured here")
}
