//! `doctor`: tries, harmlessly, everything that a run will need, and names the line to change.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::doctor_clock;
use super::exit::Exit;
use super::printer::{Printer, Tone};
use super::site;
use super::words::count;
use crate::dns::explain::Missing;
use crate::dns::serial_newer;
use crate::dns::tsig::FUDGE;
use crate::dns::xfr::Transfer;
use crate::knot::{Exchange, Server, ServerError, Session};
use crate::model::{Name, RrType, rdata};
use crate::ownership::{Classifier, Fence, Marker, Standing, ZoneRules};
use crate::source::{Config, ServerSettings, ZoneSettings};
use crate::view::View;
use crate::zone::key_is_good;

/// `knotwork doctor`.
pub async fn doctor(config: Option<PathBuf>, printer: &mut Printer) -> Exit {
    let Some(config) = site::configuration(config, printer) else { return Exit::Error };
    printer.line(&format!(
        "configuration {}: owner \"{}\", instance \"{}\", marker label \"{}\"",
        config.path.display(),
        config.owner,
        config.instance,
        config.label
    ));
    let mut visit = Visit { printer, failed: false };
    for settings in &config.servers {
        visit.server(&config, settings).await;
    }
    let failed = visit.failed;
    printer.line("");
    printer.line("What no client can see, look at by hand: Knot must keep dynamic data over restarts. Safe is");
    printer
        .line("  zonefile-load: whole, zonefile-sync: 300, journal-content: changes, journal-max-depth: 1000 or more");
    printer.line("(config/knot/knot.conf, tested with kill -9). `difference-no-serial` with `zonefile-sync: -1`, and `whole` with");
    printer.line("`-1` and `journal-content: all`, lose every update at some restart. BIND keeps updates in a .jnl file beside the");
    printer.line("zone's, in a directory that named must be able to write.");
    if failed { Exit::Error } else { Exit::Done }
}

/// A server that answers nothing of ours, whatever the zone.
struct Silent;

/// A visit to all servers.
pub(super) struct Visit<'a> {
    printer: &'a mut Printer,
    failed: bool,
}

impl Visit<'_> {
    pub(super) fn good(&mut self, text: &str) {
        let mark = self.printer.paint(Tone::Add, "ok  ");
        self.printer.line(&format!("  {mark} {text}"));
    }

    pub(super) fn doubtful(&mut self, text: &str) {
        let mark = self.printer.paint(Tone::Change, "look");
        self.printer.line(&format!("  {mark} {text}"));
    }

    pub(super) fn bad(&mut self, text: &str) {
        self.failed = true;
        let mark = self.printer.paint(Tone::Warn, "FAIL");
        self.printer.line(&format!("  {mark} {text}"));
    }

    async fn server(&mut self, config: &Config, settings: &ServerSettings) {
        let server = Arc::new(Server::new(settings.server.clone()));
        for index in 0..server.address_count() {
            let Some(session) = server.session(index) else { continue };
            self.printer.line("");
            let head = format!("server {} at {}", server.name(), session.address());
            self.printer.line(&self.printer.paint(Tone::Bold, &head));
            match session.key_name() {
                Some(key) => self.good(&format!("key {}", key.to_relaxed())),
                None => self.doubtful("no TSIG key: anybody can forge its answers; add `tsig:` to this server"),
            }
            if let Some(zone) = settings.zones.first() {
                self.clock(settings, &session, &zone.rules.zone).await;
            }
            let mut views = Vec::new();
            for (at, zone) in settings.zones.iter().enumerate() {
                match self.zone(config, &session, zone).await {
                    Ok(view) => views.extend(view.map(|view| (&zone.rules, view))),
                    // Of the other zones it would say the same.
                    Err(Silent) => {
                        if let Some(more @ 1..) = settings.zones.len().checked_sub(at + 1) {
                            self.doubtful(&format!(
                                "{} of this server not tried, for the same reason",
                                count(more, "more zone")
                            ));
                        }
                        break;
                    }
                }
            }
            // Whose a PTR is may depend on its target, in another zone.
            let dhcid: HashSet<Name> = views.iter().flat_map(|(_, view)| super::pass::dhcid_names(view)).collect();
            for (rules, view) in &views {
                self.ownership(rules, view, &dhcid);
            }
        }
    }

    /// How far the clocks are apart. Nothing where no signed answer tells; why is said of the zones.
    async fn clock(&mut self, settings: &ServerSettings, session: &Session, zone: &Name) {
        let Some(ahead) = doctor_clock::ahead(&settings.server, session.address(), zone).await else { return };
        let words = doctor_clock::words(ahead);
        if ahead.unsigned_abs() < doctor_clock::WARN {
            self.good(&format!("the key is good, and {words}"));
        } else {
            self.doubtful(&format!(
                "the key is good, but {words}; beyond {FUDGE} s nothing signed is accepted any more: let both take the time from NTP"
            ));
        }
    }

    /// Tries a zone; gives it when it could be read.
    async fn zone(
        &mut self,
        config: &Config,
        session: &Arc<Session>,
        settings: &ZoneSettings,
    ) -> Result<Option<View>, Silent> {
        let zone = &settings.rules.zone;
        let name = zone.to_relaxed();
        let serial = match session.soa(zone).await {
            Ok(serial) => serial,
            Err(error) => {
                self.bad(&format!("zone {name}: {}", self.with_remedy(config, &error)));
                let about_server = matches!(
                    error,
                    ServerError::Unreachable { .. }
                        | ServerError::Timeout { .. }
                        | ServerError::Tsig { .. }
                        | ServerError::ClockSkew { .. }
                );
                return if about_server { Err(Silent) } else { Ok(None) };
            }
        };
        self.good(&format!("zone {name}: answers, serial {serial}"));
        let view = match session.transfer(zone, None).await {
            Ok(Transfer::Full(view)) => view,
            Ok(_) => {
                self.bad(&format!("zone {name}: the transfer brought no zone"));
                return Ok(None);
            }
            Err(error) => {
                // The answer before this one proved the key.
                let error = key_is_good(error, session, Missing::Action);
                self.bad(&format!("zone {name}: transfer: {}", self.with_remedy(config, &error)));
                return Ok(None);
            }
        };
        self.good(&format!("zone {name}: transfer allowed, {}", count(view.name_count(), "name")));
        if serial_newer(serial, view.serial()) {
            self.bad(&format!("zone {name}: the transfer is older (serial {}) than the answer before it ({serial}); do several servers share this address?", view.serial()));
        }
        self.history(session, zone, &view).await;
        if settings.rules.observe {
            self.doubtful(&format!("zone {name}: mode Observe, nothing will be written"));
        } else {
            self.rights(session, &settings.rules).await;
        }
        Ok(Some(view))
    }

    fn with_remedy(&self, config: &Config, error: &ServerError) -> String {
        let place = config.path.display();
        let line = match error {
            ServerError::Unreachable { .. } | ServerError::Timeout { .. } => format!("the line is `address:` in {place}"),
            ServerError::ClockSkew { .. } => "set both clocks by NTP".to_owned(),
            ServerError::Tsig { .. } => format!("check `tsig:` in {place} against `key:` in knot.conf"),
            // Its words name the line already.
            ServerError::NotAuthorised { what: Exchange::Transfer, .. } => String::new(),
            ServerError::NotAuthorised { .. } | ServerError::Refused { .. } => {
                "check `acl:` in knot.conf: action: [ update, transfer ] with this key, listed at the zone; and that the zone is configured there".to_owned()
            }
            _ => String::new(),
        };
        if line.is_empty() {
            return format!("({}) {error}", error.reason());
        }
        format!("({}) {}; {line}", error.reason(), error.to_string().trim_end_matches('.'))
    }

    /// Whether the server keeps enough history to tell what changed.
    async fn history(&mut self, session: &Arc<Session>, zone: &Name, view: &View) {
        let name = zone.to_relaxed();
        let serial = view.serial();
        let mut depth = 0;
        for back in [1u32, 20, 100, 1000] {
            match session.transfer(zone, Some(serial.wrapping_sub(back))).await {
                Ok(Transfer::Delta(_)) => depth = back,
                _ => break,
            }
        }
        match depth {
            0 => self.doubtful(&format!(
                "zone {name}: no history for IXFR one serial back (a fresh or re-loaded zone has none yet); if it stays so set journal-content: changes in knot.conf"
            )),
            1..=20 => self.doubtful(&format!(
                "zone {name}: IXFR history reaches {} back, not 100; unless the zone is young, set journal-max-depth: 1000 in knot.conf (its default of 20 is 0.2 s of a busy zone)",
                count(depth as usize, "serial")
            )),
            _ => self.good(&format!("zone {name}: IXFR history reaches at least {depth} serials back")),
        }
    }

    fn ownership(&mut self, rules: &ZoneRules, view: &View, dhcid: &HashSet<Name>) {
        let name = rules.zone.to_relaxed();
        let ours = crate::ownership::holds_our_markers(rules, view);
        match Fence::standing(rules, view) {
            Standing::Fence(held) if held.instance == rules.instance => self.good(&format!("zone {name}: held by this instance, epoch {}", held.epoch)),
            Standing::Fence(held) => self.bad(&format!(
                "zone {name}: held by the instance \"{}\"; give this installation an `owner:` of its own, or `knotwork zone takeover {name} --from {}`", held.instance, held.instance
            )),
            Standing::Foreign(values) => {
                if let Some(error) = crate::zone::place_taken(&rules.zone, &Fence::name(rules), values) {
                    self.bad(&format!("({}) {error}", error.reason()));
                }
            }
            Standing::Unreadable(values) => {
                let values: Vec<String> = values.iter().map(|value| rdata::to_text(RrType::TXT, value)).collect();
                self.bad(&format!(
                    "zone {name}: (FenceUnreadable) at {} stands {}, which is no fence that this version understands, and nothing is written while it is there; \
                     if a newer Knotwork wrote it use that one, otherwise `knotwork zone takeover {name}` replaces it",
                    Fence::name(rules).to_relaxed(), values.join(" and ")
                ));
            }
            Standing::Absent if ours => self.bad(&format!("zone {name}: markers of owner \"{}\" but no fence; `knotwork zone takeover {name}` if no other installation uses this owner id", rules.owner)),
            Standing::Absent => self.good(&format!("zone {name}: nothing of ours yet")),
        }
        let lookup = |name: &Name| dhcid.contains(name);
        let classifier = Classifier::new(rules, view).dhcid_names(&lookup);
        if let Some(at) = classifier.signs().mislabelled() {
            self.bad(&format!("zone {name}: {at} is a marker of ours under another label than \"{}\"; set `marker: {{label: …}}` back", rules.label));
        }
        for words in classifier.signs().stray_words() {
            self.doubtful(&format!("zone {name}: {words}"));
        }
        let counts = classifier.counts();
        let others: Vec<String> = counts.others.iter().map(|(class, number)| format!("{number} {class}")).collect();
        self.good(&format!(
            "zone {name}: {} of ours, others: {}",
            count(counts.owned, "set"),
            if others.is_empty() { "none".to_owned() } else { others.join(", ") }
        ));
        let lost: Vec<Name> =
            view.names().filter(|name| Marker::node(&rules.label, name, RrType::A).is_err()).take(3).collect();
        if let Some(first) = lost.first() {
            self.doubtful(&format!("zone {name}: {first} is too long to ever carry a marker \"{}\"", rules.label));
        }
    }
}
