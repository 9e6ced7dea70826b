//! `host facts`, `host plan`, `host status`, `host snapshot`: looking.

use serde_json::{Value, json};

use super::apply::tx_json;
use super::args::{OutputArgs, PlanArgs};
use super::survey::{Which, survey};
use crate::cli::args::Form;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::host::journal::{State, now};
use crate::host::{Host, HostError, HostOptions, Store};
use crate::hostplan::paths;
use crate::source::{Input, load_policies};

/// Files that a package's script may replace.
const SNAPSHOT: &[&str] = &[paths::RESOLV_CONF, paths::NSSWITCH, paths::HOSTS];

/// `host plan`.
pub(super) async fn plan(options: &HostOptions, args: &PlanArgs, printer: &mut Printer) -> Result<Exit, String> {
    let survey = survey(options, Which::Files(&args.inputs), args.overwrite_edited, printer).await?;
    match args.output {
        Form::Json => printer.line(&format!("{:#}", survey.json())),
        Form::Text => survey.tell(printer),
    }
    Ok(match (survey.is_refused(), survey.plan.is_settled()) {
        (true, _) => Exit::Left,
        // As an apply would say: this is no plan that could be carried out.
        (false, false) if survey.no_bus.is_some() && survey.plan.needs_bus() => {
            return Err(HostError::NoBus.to_string());
        }
        (false, false) => Exit::Pending,
        (false, true) => Exit::Done,
    })
}

/// `host status`.
pub(super) fn status(options: &HostOptions, args: &OutputArgs, printer: &mut Printer) -> Result<Exit, String> {
    let store = Store::look(&options.state);
    let told = |error: crate::host::HostError| error.to_string();
    let (accepted, all) = (store.accepted().map_err(told)?, store.transactions().map_err(told)?);
    let record = store.record().map_err(told)?;
    let agent = store.held_by();
    let unfinished = all.iter().any(|tx| !tx.state.is_over());
    match args.output {
        Form::Json => {
            let value = json!({
                "accepted": accepted,
                "agent": agent,
                "files": record.ours().collect::<Vec<_>>(),
                "links": record.links.keys().collect::<Vec<_>>(),
                "snapshot": record.snapshot.keys().collect::<Vec<_>>(),
                "transactions": all.iter().map(tx_json).collect::<Vec<Value>>(),
            });
            printer.line(&format!("{value:#}"));
        }
        Form::Text => {
            let waiting = all.iter().find(|tx| tx.state == State::Waiting);
            match &accepted {
                None if waiting.is_some() => printer.line("no policy counts on this host yet"),
                None => printer.line("no policy counts on this host"),
                Some(_) => {
                    let kept = store.accepted_file().display().to_string();
                    let names: Vec<String> =
                        load_policies(&[Input::parse(&kept)]).policies.iter().map(|one| one.name.to_string()).collect();
                    let names = if names.is_empty() { "unreadable".to_owned() } else { names.join(", ") };
                    printer.line(&format!("policies: {names} (kept in {kept})"));
                }
            }
            let at_work = store.worked_on_by();
            for tx in all.iter().filter(|tx| !tx.state.is_over()) {
                let (id, policies) = (&tx.id, tx.policies.join(", "));
                match &at_work {
                    Some(_) if tx.state == State::Waiting => {}
                    Some(pid) => printer.line(&format!("{id} ({policies}) is {}: process {pid} is at it", tx.state.word())),
                    None => printer.line(&format!(
                        "{id} ({policies}) was left in the middle, and nobody is at it: its timer undoes it (systemctl list-timers \
                         'knotwork-deadman-*'), and at once does `knotwork host rollback --transaction last`"
                    )),
                }
            }
            if let Some(tx) = waiting.filter(|_| at_work.is_some()) {
                let left = tx.confirm_by.map(|until| until.saturating_sub(now()));
                let within = left.map_or_else(String::new, |left| format!(" within {left} s"));
                printer.line(&format!(
                    "{} ({}) is in place: say `knotwork host confirm`{within}, or it is undone",
                    tx.id,
                    tx.policies.join(", ")
                ));
            }
            if let Some(pid) = &agent {
                printer.line(&format!("process {pid}, a knotwork agent, holds this host"));
            }
            record.ours().for_each(|path| {
                let what = if paths::SHARED.contains(&path.as_str()) { "a part of " } else { "" };
                printer.line(&format!("  ours: {what}{path}"));
            });
            record.links.keys().for_each(|link| printer.line(&format!("  ours: link {link}")));
            if !record.snapshot.is_empty() {
                let paths: Vec<&str> = record.snapshot.keys().map(String::as_str).collect();
                printer.line(&format!(
                    "a snapshot of {} is kept: what a rollback of the next change gives back",
                    paths.join(", ")
                ));
            }
            for tx in &all {
                let why = tx.message.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                printer.line(&format!("{} {} ({}){why}", tx.id, tx.state.word(), tx.policies.join(", ")));
            }
        }
    }
    Ok(if unfinished { Exit::Left } else { Exit::Done })
}

/// `host snapshot`.
pub(super) async fn snapshot(options: &HostOptions, args: &OutputArgs, printer: &mut Printer) -> Result<Exit, String> {
    let (host, _) = Host::open(options).await.map_err(|error| error.to_string())?;
    let seen = host.snapshot(SNAPSHOT).map_err(|error| error.to_string())?;
    match args.output {
        Form::Json => {
            let files: Vec<Value> = seen.iter().map(|(path, file)| json!({"path": path, "file": file})).collect();
            printer.line(&format!("{:#}", json!({"snapshot": files})));
        }
        Form::Text => {
            for (path, file) in &seen {
                let what = serde_json::to_value(file.kind).unwrap_or(Value::Null);
                let target = file.target.as_ref().map_or_else(String::new, |target| format!(" to {target}"));
                printer.line(&format!("remembered {path}: {}{target}", what.as_str().unwrap_or("unknown")));
            }
            printer.line("the next change that stands gives these back when it is rolled back");
        }
    }
    Ok(Exit::Done)
}
