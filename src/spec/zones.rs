//! The configured zones, as far as declarations have to know them.

use std::collections::HashMap;
use std::net::IpAddr;

use super::form::Form;
use super::limits::{self, fits};
use super::problem::Problem;
use super::schema::nearest;
use crate::model::{Name, RrType, reverse_name_in};

/// One configured zone.
#[derive(Debug, Clone)]
pub struct ZoneEntry {
    /// Apex.
    pub name: Name,
    /// TTL of records that declare none, seconds.
    pub default_ttl: u32,
}

/// All configured zones and the marker label.
#[derive(Debug, Clone)]
pub struct Zones {
    entries: HashMap<Name, ZoneEntry>,
    reverse: Vec<Name>,
    label: String,
}

impl Zones {
    /// The table of these zones; `label` is the marker label.
    pub fn new(zones: impl IntoIterator<Item = ZoneEntry>, label: &str) -> Zones {
        let entries: HashMap<Name, ZoneEntry> = zones.into_iter().map(|zone| (zone.name.clone(), zone)).collect();
        let arpa = ["in-addr.arpa", "ip6.arpa"].map(|text| Name::parse(text).unwrap_or_else(|_| Name::root()));
        let mut reverse: Vec<Name> =
            entries.keys().filter(|zone| arpa.iter().any(|top| zone.is_at_or_below(top))).cloned().collect();
        // Most specific first: a classless zone has more labels than the zone that delegates it.
        reverse.sort_by_key(|zone| std::cmp::Reverse(zone.label_count()));
        Zones { entries, reverse, label: label.to_owned() }
    }

    /// The marker label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// One zone by its apex.
    pub fn get(&self, zone: &Name) -> Option<&ZoneEntry> {
        self.entries.get(zone)
    }

    /// The zone with the longest suffix of `name`, by label.
    pub fn of(&self, name: &Name) -> Option<&ZoneEntry> {
        let mut at = Some(name.clone());
        while let Some(candidate) = at {
            if let Some(zone) = self.entries.get(&candidate) {
                return Some(zone);
            }
            at = candidate.parent();
        }
        None
    }

    /// The zone above the apex `name` (a DS belongs there), if it is configured.
    pub fn above(&self, name: &Name) -> Option<&ZoneEntry> {
        self.of(&name.parent()?)
    }

    /// The PTR owner name of an address and the reverse zone that holds it, the most specific one.
    pub fn reverse_of(&self, address: IpAddr) -> Option<(Name, &ZoneEntry)> {
        self.reverse.iter().find_map(|zone| Some((reverse_name_in(zone, address)?, self.entries.get(zone)?)))
    }

    /// The owner name that `name` and `zone` of a spec mean, and the zone that holds it.
    pub(super) fn owner(&self, name: &str, zone: Option<&str>) -> Result<(Name, &ZoneEntry), Problem> {
        let path = "spec.name";
        if name.is_empty() {
            return Err(Problem::invalid(path, "the owner name is missing; give spec.name"));
        }
        let Some(zone_text) = zone else {
            if name == "@" {
                return Err(Problem::invalid(path, "\"@\" means the apex of a zone; name it in spec.zone"));
            }
            let parsed = read(name, path)?;
            return match self.of(&parsed) {
                Some(zone) => Ok((parsed, zone)),
                None => Err(Problem::of("ZoneNotFound", path, self.suggestion(name, &parsed))),
            };
        };
        let apex = read(zone_text, "spec.zone")?;
        let Some(entry) = self.entries.get(&apex) else {
            return Err(Problem::of(
                "ZoneNotFound",
                "spec.zone",
                format!("the zone {} is not configured; configured are: {}", apex.to_relaxed(), self.list()),
            ));
        };
        if name == "@" {
            return Ok((apex, entry));
        }
        let parsed = read(name, path)?;
        // A name that already ends with the zone is meant as it stands: nobody wants x.internal.internal.
        if parsed.is_at_or_below(&apex) {
            return self.answered_there(parsed, entry);
        }
        if Name::is_absolute(name) {
            return Err(Problem::of(
                "ZoneNotFound",
                path,
                format!("{} does not lie in the zone {} of spec.zone", parsed, apex.to_relaxed()),
            ));
        }
        let full =
            parsed.under(&apex).map_err(|error| Problem::invalid(path, format!("\"{name}\" in {apex}: {error}")))?;
        self.answered_there(full, entry)
    }

    /// The name in this zone, unless a deeper zone answers for it. The apex of that one may hold NS and DS here.
    fn answered_there<'z>(&self, name: Name, entry: &'z ZoneEntry) -> Result<(Name, &'z ZoneEntry), Problem> {
        match self.of(&name).map(|deepest| &deepest.name) {
            Some(deepest) if *deepest != entry.name && *deepest != name => {
                let (deepest, zone) = (deepest.to_relaxed(), entry.name.to_relaxed());
                let message = format!(
                    "{name} lies in the zone {deepest}, which is configured too: what stands in {zone} at this name is never \
                     answered; give zone: {deepest}, or leave spec.zone away"
                );
                Err(Problem::of("ZoneNotFound", "spec.zone", message))
            }
            _ => Ok((name, entry)),
        }
    }

    /// A target name: absolute; a single label is completed only when `zone:` is given.
    pub(super) fn target(&self, text: &str, zone: Option<&Name>, form: Form, path: &str) -> Result<Name, Problem> {
        if let Some(problem) = address_for_name(text, form, path) {
            return Err(problem);
        }
        let parsed = read(text, path)?;
        if parsed.label_count() != 1 || Name::is_absolute(text) {
            return Ok(parsed);
        }
        match zone {
            Some(zone) => {
                parsed.under(zone).map_err(|error| Problem::invalid(path, format!("\"{text}\" in {zone}: {error}")))
            }
            None => Err(Problem::invalid(
                path,
                format!(
                    "\"{text}\" is a single label: write the whole name, {}",
                    match form {
                        Form::Record =>
                            format!("\"{text}.\" for the top-level name itself, or give spec.zone to complete it"),
                        Form::Endpoint(_) => format!("or \"{text}.\" for the top-level name itself"),
                    }
                ),
            )),
        }
    }

    fn suggestion(&self, text: &str, parsed: &Name) -> String {
        let list = self.list();
        if parsed.label_count() == 1 {
            let zone = self.sorted().into_iter().find(|zone| !self.reverse.contains(zone));
            let zone = zone.map_or_else(|| "internal".to_owned(), |zone| zone.to_relaxed());
            return format!(
                "\"{text}\" ends with no configured zone ({list}); did you mean \"{text}.{zone}\", or \"{text}\" with spec.zone: {zone}?"
            );
        }
        // Each zone against as many labels of the end as it has; the most alike wins.
        let relaxed = parsed.to_relaxed();
        let end = |labels: usize| {
            let dots = relaxed.rmatch_indices('.').nth(labels.saturating_sub(1));
            dots.map_or(relaxed.as_str(), |(at, _)| &relaxed[at + 1..])
        };
        let zones = self.sorted().into_iter().filter(|zone| zone.label_count() <= parsed.label_count());
        let guesses = zones.map(|zone| (end(zone.label_count()), zone.to_relaxed()));
        let hint = guesses.map(|(end, zone)| (end, nearest(end, std::iter::once(zone.as_str())), zone));
        let mut hints: Vec<_> = hint.filter(|(_, hint, _)| !hint.is_empty()).collect();
        hints.sort_by_key(|(end, ..)| std::cmp::Reverse(end.len()));
        let hint = hints.first().map_or_else(String::new, |(end, _, zone)| {
            format!("; did you mean \"{}{zone}\"?", &relaxed[..relaxed.len() - end.len()])
        });
        format!("\"{text}\" ends with no configured zone; configured are: {list}{hint}")
    }

    fn sorted(&self) -> Vec<&Name> {
        let mut names: Vec<&Name> = self.entries.keys().collect();
        names.sort();
        names
    }

    fn list(&self) -> String {
        let names: Vec<String> = self.sorted().into_iter().map(Name::to_relaxed).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// An address where a name belongs: DNS would take it for a name of digits, which nobody can look up.
pub(super) fn address_for_name(text: &str, form: Form, path: &str) -> Option<Problem> {
    let address: IpAddr = text.strip_suffix('.').unwrap_or(text).parse().ok()?;
    let home = form.home_of(address);
    let pointer = "the address is in the owner name, and the name that it points back to stands here";
    let way = match (form, path) {
        (Form::Record, "spec.cname" | "spec.dname") => format!("write {home} instead of {}", &path["spec.".len()..]),
        (Form::Endpoint(RrType::CNAME), _) => format!("write {home} instead of CNAME"),
        (Form::Endpoint(RrType::PTR), _) => pointer.to_owned(),
        (Form::Record, path) if path.starts_with("spec.ptr") => pointer.to_owned(),
        _ => format!("give that host a name with {home}, and write the name here"),
    };
    Some(Problem::invalid(path, format!("\"{text}\" is an address, where the name of a host is wanted; {way}")))
}

/// A name as it was typed. DNS allows every octet in a name, but a blank in a declared one is a slip of the finger.
pub(super) fn read(text: &str, path: &str) -> Result<Name, Problem> {
    fits(text, limits::NAME, path)?;
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        let message = format!("\"{text}\" has a blank or a control character in it; a blank that is meant is \\032");
        return Err(Problem::invalid(path, message));
    }
    Name::parse(text).map_err(|error| Problem::invalid(path, format!("\"{text}\": {error}")))
}
