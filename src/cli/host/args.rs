//! Arguments of `host`.

use std::path::PathBuf;

use crate::cli::args::{Form, HostPlace};
use crate::host::Store;

/// `host`.
#[derive(Debug, clap::Args)]
pub struct HostArgs {
    /// What to do
    #[command(subcommand)]
    pub command: HostCommand,
    #[command(flatten)]
    pub place: HostPlace,
    /// What knotwork remembers of this host
    #[arg(long, global = true, value_name = "DIR", default_value = Store::DEFAULT)]
    pub state: PathBuf,
}

/// The commands of `host`.
#[derive(Debug, clap::Subcommand)]
pub enum HostCommand {
    /// Print what is known of this host's resolver, for `route --facts` elsewhere
    Facts(OutputArgs),
    /// Show what a policy would change on this host, by which mechanism, and what forbids it
    Plan(PlanArgs),
    /// Change this host as declared, prove it by the probes, and undo everything where that fails
    Apply(ApplyArgs),
    /// Say that all is well after `apply --confirm-within`
    Confirm,
    /// Look whether this host still is as declared
    Check(CheckArgs),
    /// Give back what was there before knotwork, or take one change back
    Rollback(RollbackArgs),
    /// Show the policies that count here and the last changes
    Status(OutputArgs),
    /// Remember the files of this host's resolver as they are now, before somebody replaces them
    Snapshot(OutputArgs),
}

/// How to write it.
#[derive(Debug, clap::Args)]
pub struct OutputArgs {
    /// How to write it
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
}

/// `host plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// Policies: files, folders or - ; may be repeated. Without any: those that were applied last
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub inputs: Vec<String>,
    /// Replace files of ours that a person edited
    #[arg(long)]
    pub overwrite_edited: bool,
    /// How to write it
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
}

/// `host apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// Policies: files, folders or - ; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required_unless_present = "accepted")]
    pub inputs: Vec<String>,
    /// The policies that were applied last, as the unit of the boot does
    #[arg(long, conflicts_with = "inputs")]
    pub accepted: bool,
    /// Undo everything unless `knotwork host confirm` comes within this time (30s, 2m; a bare number is seconds)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub confirm_within: Option<std::time::Duration>,
    /// When a timer of systemd undoes everything, should this program die before all is in place. Should it die while it waits
    /// for `host confirm`: ten seconds after --confirm-within
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "3m")]
    pub dead_man: std::time::Duration,
    /// Replace files of ours that a person edited
    #[arg(long)]
    pub overwrite_edited: bool,
    /// How to write it
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
}

/// `host check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Policies; without any: those that were applied last
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub inputs: Vec<String>,
    /// How to write it
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
}

/// `host rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// Take this change back (`last`: the one that was made last) instead of giving back everything
    #[arg(long, value_name = "ID")]
    pub transaction: Option<String>,
    /// With --transaction: only if it was left in the middle, as the dead man's timer asks; waits for whoever is at work
    #[arg(long, requires = "transaction")]
    pub if_unfinished: bool,
    /// Replace files of ours that a person edited
    #[arg(long)]
    pub overwrite_edited: bool,
    /// How to write it
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
}

/// `90`, `90s`, `2m`.
pub(crate) fn time(text: &str) -> Result<std::time::Duration, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    match number.parse::<u64>() {
        Ok(number @ 1..=86_400) => Ok(std::time::Duration::from_secs(number * unit)),
        _ => Err("a time is written as 30s or 2m".to_owned()),
    }
}
