//! `host`: DNS of the machine that this runs on.

mod apply;
pub mod args;
mod check;
mod show;
mod survey;

use args::{HostArgs, HostCommand};

use super::exit::Exit;
use super::host_facts;
use super::printer::Printer;
use crate::host::HostOptions;

/// `knotwork host`.
pub async fn host(args: &HostArgs, printer: &mut Printer) -> Exit {
    let options = HostOptions {
        root: args.place.root.clone(),
        bus: args.place.bus.clone(),
        state: args.state.clone(),
        dead_man_root: "/".to_owned(),
    };
    let done = match &args.command {
        HostCommand::Facts(output) => Ok(host_facts::facts(&args.place, output.output, printer).await),
        HostCommand::Plan(plan) => show::plan(&options, plan, printer).await,
        HostCommand::Apply(apply) => apply::apply(&options, apply, printer).await,
        HostCommand::Confirm => apply::confirm(&options, printer),
        HostCommand::Check(check) => check::check(&options, check, printer).await,
        HostCommand::Rollback(rollback) => apply::rollback(&options, rollback, printer).await,
        HostCommand::Status(output) => show::status(&options, output, printer),
        HostCommand::Snapshot(output) => show::snapshot(&options, output, printer).await,
    };
    done.unwrap_or_else(|error| {
        printer.error(&error);
        Exit::Error
    })
}
