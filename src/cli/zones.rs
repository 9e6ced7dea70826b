//! `zone list`, `zone show`, `zone export`, `zone takeover`.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::args::{Output, Zone, ZoneCommand};
use super::exit::Exit;
use super::pass::Pass;
use super::plain::{cell, code, one_line};
use super::printer::{Printer, Tone};
use super::site::{self, Seat};
use super::words::{all_values, count, values};
use crate::model::{Name, RrSet, RrType, rdata};
use crate::ownership::{Classifier, Writer};
use crate::source::Config;
use crate::view::View;
use crate::zone::{EngineError, EngineOptions};

/// The class words of writers, as `--writer` takes them.
const CLASSES: &[&str] = &["ours", "knotwork", "externalDns", "nix", "dhcp", "infrastructure", "unmarked"];

/// `knotwork zone …`.
pub async fn zone(args: &Zone, config: Option<PathBuf>, printer: &mut Printer) -> Exit {
    if let ZoneCommand::Show { writers, .. } = &args.command
        && let Some(unknown) = writers.iter().find(|writer| !CLASSES.contains(&writer.as_str()))
    {
        printer.error(&format!("\"{unknown}\" is no class of writer; there are: {}", CLASSES.join(", ")));
        return Exit::Error;
    }
    let Some(config) = site::configuration(config, printer) else { return Exit::Error };
    match &args.command {
        ZoneCommand::List { output } => list(&config, *output, printer).await,
        ZoneCommand::Show { zone, writers, markers, output } => {
            let Some((seat, dhcid)) = one(&config, zone, printer).await else { return Exit::Error };
            let wanted = Wanted { writers, markers: *markers || *output == Output::Json };
            show(&seat, &dhcid, &wanted, *output, printer)
        }
        ZoneCommand::Export { zone } => {
            let Some((seat, _)) = one(&config, zone, printer).await else { return Exit::Error };
            export(&seat, printer)
        }
        ZoneCommand::Takeover { zone, from, to, owner } => {
            let mut config = config;
            if let Some(owner) = owner {
                let webhook = config.webhook.as_ref();
                let known: Vec<String> =
                    webhook.map(|own| vec![own.marker_owner(), own.ptr_owner()]).unwrap_or_default();
                if *owner != config.owner && !known.contains(owner) {
                    let known = [vec![config.owner.clone()], known].concat().join(", ");
                    printer.error(&format!("--owner {owner}: this configuration writes as {known}"));
                    return Exit::Error;
                }
                let zones = config.servers.iter_mut().flat_map(|server| &mut server.zones);
                zones.for_each(|zone| zone.rules.owner.clone_from(owner));
            }
            if let Some(Err(wrong)) = to.as_ref().map(|to| config.hold_as(to)) {
                printer.error(&format!("--to {wrong}"));
                return Exit::Error;
            }
            takeover(&config, zone, from.as_deref(), printer).await
        }
    }
}

/// The configured zone of this name; errors are said here.
fn named(config: &Config, zone: &str, printer: &mut Printer) -> Option<Name> {
    let name = match Name::parse(zone) {
        Ok(name) => name,
        Err(error) => {
            printer.error(&format!("\"{zone}\": {error}"));
            return None;
        }
    };
    if config.zones().any(|settings| settings.rules.zone == name) {
        return Some(name);
    }
    let known: Vec<String> = config.zones().map(|settings| settings.rules.zone.to_relaxed()).collect();
    printer.error(&format!(
        "(ZoneNotFound) the zone {} is not configured; configured are: {}",
        name.to_relaxed(),
        known.join(", ")
    ));
    None
}

/// A configuration of nothing but this zone.
fn only(config: &Config, zone: &Name) -> Config {
    let mut config = config.clone();
    for server in &mut config.servers {
        server.zones.retain(|settings| settings.rules.zone == *zone);
    }
    config.servers.retain(|server| !server.zones.is_empty());
    config
}

/// Reads one zone, and the others for what they tell of it.
async fn one(config: &Config, zone: &str, printer: &mut Printer) -> Option<(Seat, Arc<HashSet<Name>>)> {
    let zone = named(config, zone, printer)?;
    printer.progress("reading the zones");
    let pass = Pass::read(config, &EngineOptions::default()).await;
    let dhcid = pass.dhcid();
    let (seat, error) = pass.take(&zone)?;
    match error {
        None => Some((seat, dhcid)),
        Some(error) => {
            say(&zone, &error, printer);
            None
        }
    }
}

fn say(zone: &Name, error: &EngineError, printer: &mut Printer) {
    printer.error(&format!("zone {} ({}): {error}", zone.to_relaxed(), error.reason()));
}

async fn list(config: &Config, output: Output, printer: &mut Printer) -> Exit {
    printer.progress("reading the zones");
    let pass = Pass::read(config, &EngineOptions::default()).await;
    let mut exit = Exit::Done;
    let dhcid = pass.dhcid();
    let lookup = |name: &Name| dhcid.contains(name);
    let mut rows = Vec::new();
    let mut errors = Vec::new();
    for (seat, error) in pass.engines() {
        let zone = seat.engine.zone();
        let address = seat.engine.session().address();
        if let Some(error) = error {
            exit = Exit::Error;
            errors.push((zone.clone(), error.clone()));
            rows.push(json!({"zone": zone.to_string(), "server": seat.server, "address": address.to_string(), "serial": null, "sets": {}, "error": super::json::error_value(error)}));
            continue;
        }
        let Some(view) = seat.engine.view() else { continue };
        let counts = Classifier::new(seat.engine.rules(), view).dhcid_names(&lookup).counts();
        let mut sets: BTreeMap<&str, usize> = counts.others;
        sets.insert("ours", counts.owned);
        rows.push(json!({"zone": zone.to_string(), "server": seat.server, "address": address.to_string(), "serial": view.serial(), "sets": sets, "error": null}));
    }
    match output {
        Output::Json => printer.line(&serde_json::to_string_pretty(&rows).unwrap_or_default()),
        Output::Markdown => {
            printer.line("| Zone | Server | Serial | Sets by writer |\n| --- | --- | ---: | --- |");
            for row in &rows {
                printer.line(&format!(
                    "| {} | {} | {} | {} |",
                    code(text(&row["zone"])),
                    cell(text(&row["server"])),
                    row["serial"],
                    sets_text(&row["sets"])
                ));
            }
        }
        Output::Text => {
            let width = rows.iter().map(|row| text(&row["zone"]).len()).max().unwrap_or(0);
            for row in &rows {
                let found = match row["serial"].as_u64() {
                    Some(serial) => format!("serial {serial}  {}", sets_text(&row["sets"])),
                    None => format!("could not be read ({})", text(&row["error"]["reason"])),
                };
                printer.line(&format!(
                    "{:width$}  {} ({})  {found}",
                    text(&row["zone"]),
                    text(&row["server"]),
                    text(&row["address"])
                ));
            }
        }
    }
    for (zone, error) in &errors {
        say(zone, error, printer);
    }
    exit
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or("")
}

fn sets_text(sets: &serde_json::Value) -> String {
    let Some(sets) = sets.as_object() else { return String::new() };
    sets.iter().map(|(class, number)| format!("{number} {class}")).collect::<Vec<_>>().join(", ")
}

/// The owner id that a writer is known by.
fn owner_of(writer: &Writer, owner: &str) -> Option<String> {
    match writer {
        Writer::Ours => Some(owner.to_owned()),
        Writer::Knotwork { owner, .. } | Writer::ExternalDns { owner, .. } => {
            (!owner.is_empty()).then(|| owner.clone())
        }
        Writer::Nix { managed_by } => Some(managed_by.clone()),
        _ => None,
    }
}

/// Which sets `zone show` shows.
struct Wanted<'a> {
    /// Classes of writers; all when empty.
    writers: &'a [String],
    /// Ownership TXT too.
    markers: bool,
}

impl Wanted<'_> {
    fn has(&self, writer: &Writer) -> bool {
        self.writers.is_empty() || self.writers.iter().any(|class| class == writer.class())
    }
}

/// Whether a set holds nothing but signs of ownership, of whichever writer.
fn is_mark(rtype: RrType, set: &RrSet) -> bool {
    rtype == RrType::TXT && set.values.iter().all(|value| rdata::to_text(rtype, value).starts_with("\"heritage="))
}

fn show(seat: &Seat, dhcid: &HashSet<Name>, wanted: &Wanted<'_>, output: Output, printer: &mut Printer) -> Exit {
    let Some(view) = seat.engine.view() else { return Exit::Error };
    let rules = seat.engine.rules();
    let lookup = |name: &Name| dhcid.contains(name);
    let classifier = Classifier::new(rules, view).dhcid_names(&lookup);
    let mut totals: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut hidden = 0;
    for name in in_order(view) {
        let facts = classifier.facts(&name);
        for (rtype, set) in &facts.live {
            let writer = classifier.writer_in(&facts, *rtype);
            *totals.entry(writer.class()).or_default() += 1;
            if !wanted.has(&writer) {
                continue;
            }
            if !wanted.markers && is_mark(*rtype, set) {
                hidden += 1;
                continue;
            }
            let resources: Vec<String> = facts.objects_of(*rtype, &writer).into_iter().map(str::to_owned).collect();
            let owner = owner_of(&writer, &rules.owner);
            rows.push((name.clone(), *rtype, set.clone(), writer, owner, resources));
        }
    }
    match output {
        Output::Json => {
            let all: Vec<serde_json::Value> = rows
                .iter()
                .map(|(name, rtype, set, writer, owner, resources)| {
                    json!({"name": name.to_string(), "type": rtype.to_string(), "ttl": set.ttl, "values": all_values(*rtype, set),
                        "writer": {"class": writer.class(), "owner": owner, "resource": resources.first(), "resources": resources}})
                })
                .collect();
            printer.line(&serde_json::to_string_pretty(&all).unwrap_or_default());
        }
        Output::Markdown => {
            printer.line("| Name | TTL | Type | Values | Writer |\n| --- | ---: | --- | --- | --- |");
            for (name, rtype, set, writer, owner, resources) in &rows {
                printer.line(&format!(
                    "| {} | {} | {rtype} | {} | {} |",
                    code(&name.to_string()),
                    set.ttl,
                    code(&values(*rtype, set)),
                    cell(&writer_text(writer, owner, resources))
                ));
            }
        }
        Output::Text => {
            let width = rows.iter().map(|(name, ..)| name.to_string().len()).max().unwrap_or(0).min(48);
            for (name, rtype, set, writer, owner, resources) in &rows {
                let tone = if *writer == Writer::Ours { Tone::Add } else { Tone::Dim };
                let who = printer.paint(tone, &writer_text(writer, owner, resources));
                printer.line(&format!(
                    "{:width$} {:>6} {:<6} {}  {who}",
                    name.to_string(),
                    set.ttl,
                    rtype.to_string(),
                    values(*rtype, set)
                ));
            }
            let all = count(totals.values().sum(), "set");
            let totals: Vec<String> = totals.iter().map(|(class, number)| format!("{number} {class}")).collect();
            let hidden = match hidden {
                0 => String::new(),
                n => format!("; not shown: {n} ownership TXT (--markers shows them)"),
            };
            printer.line(&format!("{all} at serial {}: {}{hidden}", view.serial(), totals.join(", ")));
        }
    }
    Exit::Done
}

fn writer_text(writer: &Writer, owner: &Option<String>, resources: &[String]) -> String {
    let mut text = writer.class().to_owned();
    let owner = owner.iter().filter(|_| *writer != Writer::Ours || resources.is_empty()).cloned();
    let resources = Some(resources.join(", ")).filter(|resources| !resources.is_empty());
    for part in owner.chain(resources) {
        text.push(' ');
        text.push_str(&one_line(&part));
    }
    text
}

/// Names in canonical order, as zone files have them.
fn in_order(view: &View) -> Vec<Name> {
    let mut names: Vec<Name> = view.names().collect();
    names.sort();
    names
}

fn export(seat: &Seat, printer: &mut Printer) -> Exit {
    let Some(view) = seat.engine.view() else { return Exit::Error };
    let zone = seat.engine.zone();
    printer.line(&format!(
        "; zone {} at serial {}, exported by knotwork {}",
        zone.to_relaxed(),
        view.serial(),
        env!("CARGO_PKG_VERSION")
    ));
    printer.line(&format!("$ORIGIN {zone}"));
    // A zone file begins with its SOA.
    for (rtype, set) in view.at(zone).iter().filter(|(rtype, _)| *rtype == RrType::SOA) {
        lines(zone, *rtype, set, printer);
    }
    for name in in_order(view) {
        for (rtype, set) in view.at(&name) {
            if rtype != RrType::SOA && !rtype.is_dnssec() && rtype != RrType::ZONEMD {
                lines(&name, rtype, &set, printer);
            }
        }
    }
    Exit::Done
}

fn lines(name: &Name, rtype: RrType, set: &RrSet, printer: &mut Printer) {
    for value in &set.values {
        printer.line(&format!("{name} {} IN {rtype} {}", set.ttl, rdata::to_text(rtype, value)));
    }
}

async fn takeover(config: &Config, zone: &str, from: Option<&str>, printer: &mut Printer) -> Exit {
    let Some(zone) = named(config, zone, printer) else { return Exit::Error };
    for seat in site::seats(&only(config, &zone), &EngineOptions::default()) {
        let result = match seat {
            Ok(mut seat) => seat.engine.takeover(from).await,
            Err((_, error)) => Err(error),
        };
        match result {
            Ok(done) => {
                let (zone, to, epoch) = (zone.to_relaxed(), &done.to, done.epoch);
                printer.line(&match done.from {
                    Some(from) if from == *to => {
                        format!("zone {zone}: held by this instance \"{to}\" already, now at epoch {epoch}")
                    }
                    Some(from) => format!("zone {zone}: taken over from \"{from}\" by \"{to}\", epoch {epoch}"),
                    None => format!("zone {zone}: taken by \"{to}\", epoch {epoch}; nobody held it"),
                });
            }
            Err(error) => {
                say(&zone, &error, printer);
                return Exit::Error;
            }
        }
    }
    Exit::Done
}
