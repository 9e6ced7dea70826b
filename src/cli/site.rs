//! Finding the configuration, and the engines of its zones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::printer::Printer;
use crate::knot::Server;
use crate::model::Name;
use crate::source::config::DEFAULT_PATHS;
use crate::source::{Config, Diagnostic, ZoneSettings};
use crate::zone::{Engine, EngineError, EngineOptions};

/// The configuration that was named, or the first that is found. Errors are said here.
pub fn configuration(named: Option<PathBuf>, printer: &mut Printer) -> Option<Config> {
    find(named, printer).ok()
}

/// As [`configuration`], with what was said.
pub fn find(named: Option<PathBuf>, printer: &mut Printer) -> Result<Config, Vec<Diagnostic>> {
    // An empty variable is one that a script meant to unset.
    let by_environment = || std::env::var_os("KNOTWORK_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    let from = match (&named, by_environment()) {
        (Some(_), _) => "-c",
        (None, Some(_)) => "the variable KNOTWORK_CONFIG",
        (None, None) => "",
    };
    let path = match named.or_else(by_environment) {
        Some(path) if !path.exists() => {
            let words = format!(
                "{} is named by {from}, and there is no such file; mend the name, or write one (config/knotwork.yaml is an example)",
                path.display()
            );
            printer.error(&words);
            return Err(vec![Diagnostic::file(path.display().to_string(), words)]);
        }
        Some(path) => path,
        None => match DEFAULT_PATHS.iter().map(Path::new).find(|path| path.exists()) {
            Some(path) => path.to_owned(),
            None => {
                let words = format!(
                    "there is no configuration: neither {}; name one with -c FILE (config/knotwork.yaml is an example)",
                    DEFAULT_PATHS.join(" nor ")
                );
                printer.error(&words);
                return Err(vec![Diagnostic::file(DEFAULT_PATHS[0], words)]);
            }
        },
    };
    match Config::load(&path) {
        Ok(config) => {
            for warning in &config.warnings {
                printer.warn(warning);
            }
            Ok(config)
        }
        Err(error) => {
            for diagnostic in &error.0 {
                printer.error(&diagnostic.to_string());
            }
            Err(error.0)
        }
    }
}

/// One zone with its engine.
pub struct Seat {
    /// What the configuration says.
    pub settings: ZoneSettings,
    /// The server's name.
    pub server: String,
    /// The engine.
    pub engine: Engine,
}

/// An engine for each configured zone; a zone whose engine cannot be made is given as its error.
pub fn seats(config: &Config, options: &EngineOptions) -> Vec<Result<Seat, (Name, EngineError)>> {
    let mut seats = Vec::new();
    for settings in &config.servers {
        let server = Arc::new(Server::new(settings.server.clone()));
        for zone in &settings.zones {
            let engine = Engine::new(Arc::clone(&server), zone.rules.clone(), options.clone());
            seats.push(
                engine
                    .map(|engine| Seat { settings: zone.clone(), server: server.name().to_owned(), engine })
                    .map_err(|error| (zone.rules.zone.clone(), error)),
            );
        }
    }
    seats
}
