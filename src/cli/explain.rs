//! `explain NAME`: who declares it, who holds it, what comes next and why.

use std::net::IpAddr;
use std::path::PathBuf;

use super::args::{Explain, Source};
use super::exit::Exit;
use super::pass::{Pass, ZoneResult};
use super::plain::one_line;
use super::printer::{Printer, Tone};
use super::records;
use super::render::waits;
use super::site;
use super::words::values;
use crate::model::{Claims, Name, RrType, is_reverse, reverse_name};
use crate::ownership::{Classifier, Writer};
use crate::source::{Config, Loaded};
use crate::spec::Zones;
use crate::view::View;
use crate::zone::{Engine, EngineOptions};

/// `knotwork explain NAME`.
pub async fn explain(args: &Explain, config: Option<PathBuf>, printer: &mut Printer) -> Exit {
    let Some(config) = site::configuration(config, printer) else { return Exit::Error };
    let table = config.zone_table();
    let mut asked = match asked(&args.name, &config, &table) {
        Ok(asked) => asked,
        Err(words) => {
            printer.error(&words);
            return Exit::Error;
        }
    };
    if let Ok(address) = args.name.parse::<IpAddr>() {
        let names: Vec<String> = asked.iter().map(|(_, name)| name.to_relaxed()).collect();
        printer.note(&format!("{address} is an address; its PTR stands at {}", names.join(", ")));
    }
    if args.inputs.is_empty() {
        printer.note(&format!(
            "no manifests were given, so this is only what the servers hold; for what is declared and what a plan would do: knotwork explain {} -f PATH",
            args.name
        ));
    }
    printer.progress("reading the zones");
    let mut pass = Pass::read(&config, &EngineOptions::default()).await;
    let mut loaded = Loaded::default();
    if !args.inputs.is_empty() {
        let source = Source { inputs: args.inputs.clone(), prune: args.prune, allow_empty: false };
        loaded = records::read(&source, &config);
        records::guard_empty(&mut loaded, false);
    }
    let claims = std::mem::take(&mut loaded.claims);
    let results = pass.plan(claims.clone());
    let told =
        Told { pass: &pass, loaded: &loaded, claims: &claims, results: &results, with_files: !args.inputs.is_empty() };
    if asked.len() > 1 {
        // A label was asked for: where nothing is known of it, nothing is said.
        let tried: Vec<String> = asked.iter().map(|(_, name)| name.to_relaxed()).collect();
        asked.retain(|(zone, name)| told.knows(zone, name));
        if asked.is_empty() {
            let label = &args.name;
            printer
                .error(&format!("\"{label}\" is a single label, and there is nothing at {}", tried.join(", nor at ")));
            return told.errors(printer).and(Exit::Error);
        }
    }
    let mut exit = Exit::Done;
    for (i, (zone, name)) in asked.iter().enumerate() {
        if i > 0 {
            printer.line("");
        }
        exit = exit.and(told.name(zone, name, printer));
        // What points back to it.
        for address in told.addresses(zone, name) {
            match table.reverse_of(address) {
                Some((pointer, reverse)) => {
                    printer.line("");
                    printer.line(&printer.paint(Tone::Bold, &format!("{address} points back by {pointer}")));
                    exit = exit.and(told.name(&reverse.name.clone(), &pointer, printer));
                }
                None => printer.line(&format!("{address}: no reverse zone is configured")),
            }
        }
    }
    exit
}

/// The names that a person means, each with its zone: a name as it stands, an address as the name of its PTR, a single
/// label under each configured forward zone.
fn asked(text: &str, config: &Config, table: &Zones) -> Result<Vec<(Name, Name)>, String> {
    let known = || config.zones().map(|zone| zone.rules.zone.to_relaxed()).collect::<Vec<_>>().join(", ");
    let nowhere =
        |what: String| format!("(ZoneNotFound) {what} lies in no configured zone; configured are: {}", known());
    if let Ok(address) = text.parse::<IpAddr>() {
        return match table.reverse_of(address) {
            Some((name, zone)) => Ok(vec![(zone.name.clone(), name)]),
            None => {
                let pointer = reverse_name(address).to_relaxed();
                Err(nowhere(format!("{address} is an address, and its PTR name {pointer}")))
            }
        };
    }
    let name = Name::parse(text).map_err(|error| format!("\"{text}\": {error}"))?;
    if let Some(zone) = table.of(&name) {
        return Ok(vec![(zone.name.clone(), name)]);
    }
    if name.label_count() == 1 && !Name::is_absolute(text) {
        let zones = config.zones().map(|zone| &zone.rules.zone).filter(|zone| !is_reverse(zone));
        let names: Vec<_> = zones.filter_map(|zone| Some((zone.clone(), name.under(zone).ok()?))).collect();
        if !names.is_empty() {
            return Ok(names);
        }
    }
    Err(nowhere(name.to_relaxed()))
}

/// Which wildcard answers for a name that does not exist (RFC 4592 §3.3): that of its closest encloser and no other.
fn wildcard(view: &View, name: &Name) -> Option<String> {
    let wildcard = view.closest_encloser(name)?.child(b"*").ok()?;
    let sets = view.at(&wildcard);
    if sets.is_empty() || !view.cuts_above(name).is_empty() {
        return None;
    }
    let sets: Vec<String> = sets.iter().map(|(rtype, set)| format!("{rtype} {}", values(*rtype, set))).collect();
    let whole = wildcard.to_relaxed();
    Some(format!(
        "nothing here; the wildcard {wildcard} answers: {}. Who holds that: knotwork explain '{whole}'",
        sets.join("; ")
    ))
}

struct Told<'a> {
    pass: &'a Pass,
    loaded: &'a Loaded,
    claims: &'a std::collections::HashMap<Name, Claims>,
    results: &'a [ZoneResult],
    with_files: bool,
}

impl Told<'_> {
    fn engine(&self, zone: &Name) -> Option<&Engine> {
        self.pass.engines().map(|(seat, _)| &seat.engine).find(|engine| engine.zone() == zone)
    }

    /// Addresses of the name, live or declared.
    fn addresses(&self, zone: &Name, name: &Name) -> Vec<IpAddr> {
        let mut all = Vec::new();
        let mut take = |rtype: RrType, values: &[crate::model::Rdata]| {
            for value in values {
                let address = match rtype {
                    RrType::A => <[u8; 4]>::try_from(&**value).ok().map(IpAddr::from),
                    RrType::AAAA => <[u8; 16]>::try_from(&**value).ok().map(IpAddr::from),
                    _ => None,
                };
                all.extend(address);
            }
        };
        if let Some(view) = self.engine(zone).and_then(Engine::view) {
            view.at(name).iter().for_each(|(rtype, set)| take(*rtype, &set.values));
        }
        if let Some(types) = self.claims.get(zone).and_then(|claims| claims.sets.get(name)) {
            types.values().flatten().for_each(|claim| take(claim.rtype, &claim.set.values));
        }
        all.sort();
        all.dedup();
        all
    }

    /// Whether the zone has anything at or below the name, or anybody declares it.
    fn knows(&self, zone: &Name, name: &Name) -> bool {
        self.engine(zone).and_then(Engine::view).is_some_and(|view| view.exists(name))
            || self.claims.get(zone).is_some_and(|claims| claims.sets.contains_key(name))
    }

    /// Says which zones could not be read.
    fn errors(&self, printer: &mut Printer) -> Exit {
        let mut exit = Exit::Done;
        let repeats = super::pass::repeats(self.results);
        for result in self.results {
            if let Some(error) = &result.error {
                printer.error(&super::pass::error_line(result, error, &repeats));
                exit = Exit::Error;
            }
        }
        exit
    }

    fn name(&self, zone: &Name, name: &Name, printer: &mut Printer) -> Exit {
        let head = format!("{name} in zone {}", zone.to_relaxed());
        let Some(result) = self.results.iter().find(|result| result.zone == *zone) else { return Exit::Error };
        // What keeps the zone from being written keeps nobody from looking at it.
        match self.engine(zone).and_then(|engine| Some((engine, engine.view()?))) {
            Some((engine, view)) => {
                printer.line(&printer.paint(Tone::Bold, &format!("{head} (serial {})", view.serial())));
                self.live(engine, view, name, printer);
                self.declared(zone, name, printer);
                self.next(result, name, printer);
            }
            None => {
                printer.line(&printer.paint(Tone::Bold, &head));
                self.declared(zone, name, printer);
            }
        }
        let Some(error) = &result.error else { return Exit::Done };
        printer.error(&format!("zone {} ({}): {error}", zone.to_relaxed(), error.reason()));
        Exit::Error
    }

    fn live(&self, engine: &Engine, view: &View, name: &Name, printer: &mut Printer) {
        let dhcid = self.pass.dhcid();
        let lookup = |name: &Name| dhcid.contains(name);
        let classifier = Classifier::new(engine.rules(), view).dhcid_names(&lookup);
        let facts = classifier.facts(name);
        if facts.live.is_empty() {
            let word = if view.exists(name) {
                "nothing here, but names below it (an empty non-terminal)".to_owned()
            } else {
                wildcard(view, name).unwrap_or_else(|| "nothing here".to_owned())
            };
            printer.line(&format!("  live: {word}"));
        }
        for (rtype, set) in &facts.live {
            let writer = classifier.writer_in(&facts, *rtype);
            let objects = facts.objects_of(*rtype, &writer);
            let shared = match &objects[..] {
                [] | [_] => String::new(),
                several => format!(", shared by {}", several.join(" and ")),
            };
            printer.line(&format!(
                "  live: {} {rtype} {}; held by {}{shared}",
                set.ttl,
                values(*rtype, set),
                writer.describe()
            ));
        }
        for mark in &facts.own {
            printer.line(&format!("  marker: {}", one_line(&mark.marker.to_text())));
        }
        for sign in &facts.signs {
            printer.line(&format!("  sign of {} at {}", sign.writer.describe(), sign.at));
        }
    }

    fn declared(&self, zone: &Name, name: &Name, printer: &mut Printer) {
        if !self.with_files {
            printer.line("  declared: unknown, no manifests were given");
            return;
        }
        let types = self.claims.get(zone).and_then(|claims| claims.sets.get(name));
        if types.is_none() {
            printer.line("  declared: by nobody");
        }
        for claim in types.into_iter().flat_map(|types| types.values().flatten()) {
            let place = self.loaded.places.get(&claim.object).map(|place| format!(" at {}:{}", place.file, place.line));
            let how = if claim.reverse { " (reverse: true)" } else { "" };
            printer.line(&format!(
                "  declared: {} {} {} by {}{}{how}",
                claim.set.ttl,
                claim.rtype,
                values(claim.rtype, &claim.set),
                claim.object,
                place.unwrap_or_default()
            ));
        }
        for refusal in &self.loaded.refusals {
            if refusal.diagnostic.source.contains(&name.to_relaxed()) {
                printer.line(&format!("  refused ({}): {}", refusal.reason, refusal.diagnostic));
            }
        }
    }

    /// Declared types that somebody else holds, and who that is.
    fn kept_by_others(&self, zone: &Name, name: &Name) -> Vec<(RrType, String)> {
        let Some((engine, view)) = self.engine(zone).and_then(|engine| Some((engine, engine.view()?))) else {
            return Vec::new();
        };
        let Some(types) = self.claims.get(zone).and_then(|claims| claims.sets.get(name)) else { return Vec::new() };
        let dhcid = self.pass.dhcid();
        let lookup = |name: &Name| dhcid.contains(name);
        let classifier = Classifier::new(engine.rules(), view).dhcid_names(&lookup);
        let facts = classifier.facts(name);
        let held = types.keys().filter(|rtype| facts.live.iter().any(|(live, _)| live == *rtype));
        let writers = held.map(|rtype| (*rtype, classifier.writer_in(&facts, *rtype)));
        writers
            .filter(|(_, writer)| *writer != Writer::Ours)
            .map(|(rtype, writer)| (rtype, writer.describe()))
            .collect()
    }

    fn next(&self, result: &ZoneResult, name: &Name, printer: &mut Printer) {
        let Some(plan) = &result.plan else { return };
        if !self.with_files {
            printer.line("  next: unknown, it depends on the manifests");
            return;
        }
        // Another instance's fence, for one: nothing of it is sent before that is settled.
        let next = if result.error.is_some() { "next, once the zone can be written" } else { "next" };
        let mut said = false;
        for change in plan.changes.iter().filter(|change| change.name == *name) {
            let mut new =
                change.new.as_ref().map(|set| format!(" to {}", values(change.rtype, set))).unwrap_or_default();
            if let (Some(old), Some(set)) = (&change.old, &change.new)
                && old.ttl != set.ttl
            {
                new.push_str(&format!(" with TTL {} instead of {}", set.ttl, old.ttl));
            }
            let held = if change.held { ", held by the brake" } else { "" };
            let source = change.source.as_ref().map(|source| format!(" for {source}")).unwrap_or_default();
            let note = change.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            printer.line(&format!("  {next}: {} {}{new}{source}{held}{note}", change.action.word(), change.rtype));
            said = true;
        }
        for conflict in plan.conflicts.iter().filter(|conflict| conflict.name == *name) {
            printer
                .line(&format!("  next: nothing for {} ({}): {}", conflict.rtype, conflict.reason, conflict.message));
            said = true;
        }
        for orphan in plan.orphans.iter().filter(|orphan| orphan.name == *name) {
            printer.line(&format!(
                "  next: nothing for {}: its object {} is not declared any more (an orphan; --prune would delete it)",
                orphan.rtype, orphan.resource
            ));
            said = true;
        }
        if !said {
            let foreign = self.kept_by_others(&result.zone, name);
            for (rtype, writer) in &foreign {
                printer.line(&format!("  next: nothing for {rtype}: {writer} holds what is declared, and keeps it"));
            }
            if foreign.is_empty() {
                printer.line("  next: nothing to do");
            }
        }
        if let Some((number, why)) = &plan.waiting {
            printer.line(&format!("  in this zone {}: {why}", waits(*number)));
        }
    }
}
