//! Everything that a person sees: commands, their words and their exit codes.

mod agent;
mod args;
mod demo;
mod doctor;
mod doctor_clock;
mod doctor_rights;
mod endings;
mod exit;
mod explain;
mod host;
mod host_facts;
mod json;
mod markdown;
#[cfg(feature = "operator")]
mod operator;
mod pass;
mod plain;
mod printer;
mod records;
mod render;
mod route;
mod route_policy;
mod site;
mod watch;
mod webhook;
mod words;
mod zones;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use args::{Args, Command};
use exit::Exit;
pub use pass::ZoneResult;
use printer::Printer;

/// Reads the command line, runs it, and gives the exit code.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // clap's own code for a wrong command line is 2, which here means "changes pending".
            let lost = error.print().is_err_and(|error| printer::lost_output(&error));
            return if error.use_stderr() || lost { Exit::Error.into() } else { Exit::Done.into() };
        }
    };
    let mut printer = Printer::new();
    let resident = match &args.command {
        Command::Apply(apply) => apply.watch,
        Command::Demo(demo) => !demo.once,
        Command::Agent(_) | Command::Webhook(_) => true,
        #[cfg(feature = "operator")]
        Command::Operator(_) => true,
        _ => false,
    };
    log(resident);
    let exit = match args.command {
        Command::Route(args) => route::route(&args, &mut printer),
        Command::Crds => {
            printer.raw(&crate::spec::crds());
            Exit::Done
        }
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "knotwork", &mut out);
            printer.raw(&String::from_utf8_lossy(&out));
            Exit::Done
        }
        command => match runtime(&command) {
            Ok(runtime) => runtime.block_on(run(command, args.config, &mut printer)),
            Err(error) => {
                printer.error(&format!("the runtime could not be started: {error}"));
                Exit::Error
            }
        },
    };
    let all_said = printer.finish();
    if all_said { exit.into() } else { Exit::Error.into() }
}

fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match command {
        // It sleeps nearly always, on machines that are there for something else: one thread, and little memory.
        Command::Agent(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

/// Logs go to standard error: KNOTWORK_LOG sets what (as RUST_LOG would), KNOTWORK_LOG_FORMAT=json how.
fn log(resident: bool) {
    use tracing_subscriber::EnvFilter;
    let fallback = if resident { "info" } else { "error" };
    let filter = EnvFilter::try_from_env("KNOTWORK_LOG").unwrap_or_else(|_| EnvFilter::new(fallback));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| plain::Plain(std::io::stderr()))
        .with_target(false);
    let json = std::env::var_os("KNOTWORK_LOG_FORMAT").is_some_and(|format| format == "json");
    let _ = if json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
}

async fn run(command: Command, config: Option<std::path::PathBuf>, printer: &mut Printer) -> Exit {
    match command {
        Command::Plan(plan) => records::plan(&plan, config, printer).await,
        Command::Apply(apply) if apply.watch => watch::watch(&apply, config, printer).await,
        Command::Apply(apply) => records::apply(&apply, config, printer).await,
        Command::Zone(zone) => zones::zone(&zone, config, printer).await,
        Command::Explain(explain) => explain::explain(&explain, config, printer).await,
        Command::Doctor => doctor::doctor(config, printer).await,
        Command::Demo(demo) => demo::demo(&demo, printer).await,
        Command::Host(args) => host::host(&args, printer).await,
        Command::Agent(args) => agent::agent(args, printer).await,
        #[cfg(feature = "operator")]
        Command::Operator(args) => operator::operator(args, config, printer).await,
        Command::Webhook(args) => webhook::webhook(args, config, printer).await,
        Command::Route(_) | Command::Crds | Command::Completions { .. } => Exit::Done,
    }
}
