//! `plan` and `apply`.

use std::path::PathBuf;

use super::args::{Apply, Output, Plan, Source};
use super::exit::Exit;
use super::pass::{self, Pass, ZoneResult, source_exit};
use super::printer::Printer;
use super::render::Again;
use super::{json, markdown, render, site};
use crate::metrics::{self, Snapshot};
use crate::model::SourceHealth;
use crate::source::{Config, Input, Loaded, Memory, load, load_again};
use crate::zone::EngineOptions;

/// `knotwork plan`.
pub async fn plan(args: &Plan, config: Option<PathBuf>, printer: &mut Printer) -> Exit {
    let run = Run {
        source: &args.source,
        release: &args.release,
        output: args.output,
        metrics_file: &args.metrics_file,
        apply: false,
    };
    run.go(config, printer).await
}

/// `knotwork apply`.
pub async fn apply(args: &Apply, config: Option<PathBuf>, printer: &mut Printer) -> Exit {
    let run = Run {
        source: &args.source,
        release: &args.release,
        output: args.output,
        metrics_file: &args.metrics_file,
        apply: true,
    };
    run.go(config, printer).await
}

struct Run<'a> {
    source: &'a Source,
    release: &'a [String],
    output: Output,
    metrics_file: &'a Option<PathBuf>,
    apply: bool,
}

/// Reads the manifests; an input that is empty and not meant so is as bad as one that cannot be read.
pub fn read(source: &Source, config: &Config) -> Loaded {
    load(&inputs(source), config, source.prune)
}

/// As [`read`], by somebody who looks again and again; `None` when all is as at `last`.
pub fn read_again(source: &Source, config: &Config, memory: &mut Memory, last: Option<u64>) -> Option<Loaded> {
    load_again(&inputs(source), config, source.prune, memory, last)
}

/// What `-f` names.
pub fn inputs(source: &Source) -> Vec<Input> {
    source.inputs.iter().map(|text| Input::parse(text)).collect()
}

/// Nothing may be deleted on the word of an input that is empty by mistake.
pub fn guard_empty(loaded: &mut Loaded, allow_empty: bool) {
    if allow_empty && loaded.objects == 0 && loaded.broken.len() == loaded.blank.len() {
        // Beside anything that is declared, such a file was cut off; alone, it is what was said to be meant.
        loaded.broken.clear();
        loaded.broken_documents = 0;
        let blank = std::mem::take(&mut loaded.blank).len();
        let is_blank = |health: &SourceHealth| matches!(health, SourceHealth::Incomplete(why) if why.len() == blank);
        for claims in loaded.claims.values_mut().filter(|claims| is_blank(&claims.health)) {
            claims.health = SourceHealth::Complete;
        }
    }
    if allow_empty || loaded.empty.is_empty() {
        return;
    }
    let why = format!("{} declares no record at all (--allow-empty to mean it)", loaded.empty.join(", "));
    for claims in loaded.claims.values_mut() {
        if claims.health == SourceHealth::Complete {
            claims.health = SourceHealth::Incomplete(vec![why.clone()]);
        }
    }
}

/// What to say of a release that frees nothing: which hashes there are.
fn unknown_release(hash: &str, results: &[ZoneResult]) -> Option<String> {
    let plans = || results.iter().filter_map(|result| result.plan.as_ref());
    if plans().any(|plan| plan.verdict.released() == Some(hash)) {
        return None;
    }
    let held: Vec<String> = plans()
        .filter_map(|plan| Some((plan.zone.to_relaxed(), &plan.held.as_ref()?.hash)))
        .map(|(zone, hash)| format!("{hash} in zone {zone}"))
        .collect();
    let unread: Vec<String> =
        results.iter().filter(|result| result.plan.is_none()).map(|result| result.zone.to_relaxed()).collect();
    if !unread.is_empty() {
        return Some(format!(
            "--release {hash}: it is not among what is held in the zones that could be read; what is held in {} nobody knows \
             before it can be read",
            unread.join(", ")
        ));
    }
    let there = match held.is_empty() {
        true => "nothing is held".to_owned(),
        false => format!("held are: {}; the hash changes with the operations", held.join(", ")),
    };
    Some(format!("--release {hash}: unknown, no zone holds operations under this hash; {there}"))
}

impl Run<'_> {
    async fn go(&self, config: Option<PathBuf>, printer: &mut Printer) -> Exit {
        let config = match site::find(config, printer) {
            Ok(config) => config,
            Err(broken) => {
                if self.output == Output::Json {
                    printer.line(&json::run(&Loaded { broken, ..Loaded::default() }, &[], false).to_string());
                }
                return Exit::Error;
            }
        };
        printer.progress("reading manifests and zones");
        let options = EngineOptions { release: self.release.to_vec(), ..EngineOptions::default() };
        // Files are parsed while the zones are on their way.
        let source = self.source.clone();
        let for_reading = config.clone();
        let reading = tokio::task::spawn_blocking(move || read(&source, &for_reading));
        let mut pass = Pass::read(&config, &options).await;
        let mut loaded = reading.await.unwrap_or_default();
        guard_empty(&mut loaded, self.source.allow_empty);
        let claims = std::mem::take(&mut loaded.claims);
        let mut results = pass.plan(claims);
        for warning in self.release.iter().filter_map(|hash| unknown_release(hash, &results)) {
            printer.warn(&warning);
        }
        if self.apply {
            printer.progress("applying");
            results = pass.apply(results).await;
        }
        let exit = results
            .iter()
            .fold(source_exit(&loaded, self.source.allow_empty), |exit, result| exit.and(result.exit(self.apply)));
        self.show(&loaded, &results, printer);
        if let Some(path) = self.metrics_file
            && let Err(error) = metrics::write_file(path, &Snapshot::of_run(&loaded, &results).text())
        {
            printer.error(&format!("the metrics file {}: {error}", path.display()));
            return Exit::Error;
        }
        exit
    }

    fn show(&self, loaded: &Loaded, results: &[ZoneResult], printer: &mut Printer) {
        let repeats = pass::repeats(results);
        match self.output {
            Output::Json => {
                let text = serde_json::to_string_pretty(&json::run(loaded, results, self.apply)).unwrap_or_default();
                printer.line(&text);
                // People who read JSON still want to see at once that something is wrong.
                for result in results {
                    if let Some(error) = &result.error {
                        printer.error(&pass::error_line(result, error, &repeats));
                    }
                }
                render::source(loaded, self.source.allow_empty, printer);
            }
            Output::Markdown => {
                results.iter().for_each(|result| printer.raw(&markdown::zone(result)));
                render::source(loaded, self.source.allow_empty, printer);
            }
            Output::Text => {
                render::source(loaded, self.source.allow_empty, printer);
                let command = self.command();
                let again = Again { command: &command, applied: self.apply, repeats: &repeats };
                results.iter().for_each(|result| render::zone(result, &again, printer));
            }
        }
    }

    /// The command that a person would type to go on.
    fn command(&self) -> String {
        let mut command = String::from("knotwork apply");
        for input in &self.source.inputs {
            command.push_str(&format!(" -f {input}"));
        }
        if self.source.prune {
            command.push_str(" --prune");
        }
        if self.source.allow_empty {
            command.push_str(" --allow-empty");
        }
        command
    }
}
