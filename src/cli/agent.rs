//! `agent`: the arguments, and its beginning and end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::args::HostPlace;
use super::exit::Exit;
use super::host::args::time;
use super::printer::Printer;
use super::watch;
use crate::agent::{AgentOptions, run};
use crate::host::{HostOptions, Store};

/// `agent`.
#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    /// Policies: files or folders, followed as they change; may be repeated. Without any: those that were applied last
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub inputs: Vec<String>,
    /// How often the host is looked at when nothing hints at a change (30s, 2m)
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "60s")]
    pub poll: Duration,
    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Write metrics for node-exporter's text collector
    #[arg(long, value_name = "PATH")]
    pub metrics_file: Option<PathBuf>,
    /// When a timer of systemd undoes a change of policy, should the agent die in the middle of it
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "3m")]
    pub dead_man: Duration,
    #[command(flatten)]
    pub place: HostPlace,
    /// What knotwork remembers of this host
    #[arg(long, value_name = "DIR", default_value = Store::DEFAULT)]
    pub state: PathBuf,
}

/// `knotwork agent`.
pub async fn agent(args: AgentArgs, printer: &mut Printer) -> Exit {
    if args.inputs.iter().any(|input| input == "-") {
        printer.error("standard input cannot be followed; name files or folders with -f");
        return Exit::Error;
    }
    let host =
        HostOptions { root: args.place.root, bus: args.place.bus, state: args.state, dead_man_root: "/".to_owned() };
    let options = AgentOptions {
        host,
        inputs: args.inputs,
        poll: args.poll,
        dead_man: args.dead_man,
        metrics_file: args.metrics_file,
        listen: args.listen,
    };
    match run(options, watch::stop_by_signal()).await {
        Ok(()) => Exit::Done,
        Err(error) => {
            printer.error(&error.to_string());
            Exit::Error
        }
    }
}
