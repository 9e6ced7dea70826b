//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Keeps a network's DNS right: declared records in the zones of an authoritative server, shared safely with other writers.
#[derive(Debug, Parser)]
#[command(name = "knotwork", version, about, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Args {
    /// The configuration; else $KNOTWORK_CONFIG, ./knotwork.yaml, /etc/knotwork/knotwork.yaml
    #[arg(short = 'c', long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 nothing to do or all done; 2 changes pending (plan); \
3 conflicts, refusals or held operations left; 1 error. Where several apply, 1 goes before 3 before 2.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what would change, what would not, and why
    Plan(Plan),
    /// Make the zones as declared
    Apply(Apply),
    /// Look at zones, or take one over
    Zone(Zone),
    /// Say of one name: who declares it, who holds it, what comes next and why
    Explain(Explain),
    /// Check keys, rights, clocks and zones of the configured servers
    Doctor,
    /// Say which DNS servers a host asks for a name, and why
    Route(RouteArgs),
    /// DNS of this machine: plan, apply, check, roll back
    Host(super::host::args::HostArgs),
    /// Stay on this machine, hold what its policies declare, and serve metrics
    Agent(super::agent::AgentArgs),
    /// Keep the records that objects of a Kubernetes cluster declare
    #[cfg(feature = "operator")]
    Operator(super::operator::OperatorArgs),
    /// Write records for ExternalDNS, as a provider of its webhook API
    Webhook(super::webhook::WebhookArgs),
    /// Print the CRDs
    Crds,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Try it all without a server: an embedded one, with sample records
    Demo(Demo),
}

/// How to write what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people
    Text,
    /// For machines, as published in docs/schema/
    Json,
    /// A table for merge requests
    Markdown,
}

/// What is declared.
#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// Manifests: a file, a folder (searched to its depth for *.yaml, *.yml, *.json) or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub inputs: Vec<String>,
    /// These files are the whole world: delete sets of ours that they do not declare
    #[arg(long)]
    pub prune: bool,
    /// An input that declares nothing is meant so
    #[arg(long)]
    pub allow_empty: bool,
}

/// `plan`.
#[derive(Debug, clap::Args)]
pub struct Plan {
    #[command(flatten)]
    pub source: Source,
    /// How to write it
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
    /// As if held operations of this hash were released; may be repeated
    #[arg(long, value_name = "HASH")]
    pub release: Vec<String>,
    /// Write metrics for node-exporter's text collector
    #[arg(long, value_name = "PATH")]
    pub metrics_file: Option<PathBuf>,
}

/// `apply`.
#[derive(Debug, Clone, clap::Args)]
pub struct Apply {
    #[command(flatten)]
    pub source: Source,
    /// Release just the held operations of this hash, once; may be repeated
    #[arg(long, value_name = "HASH")]
    pub release: Vec<String>,
    /// Stay, and keep following edits of the files and drift of the zones
    #[arg(long)]
    pub watch: bool,
    /// How to write it
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
    /// Write metrics for node-exporter's text collector
    #[arg(long, value_name = "PATH")]
    pub metrics_file: Option<PathBuf>,
    /// With --watch: serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDRESS", requires = "watch")]
    pub listen: Option<SocketAddr>,
}

/// `zone`.
#[derive(Debug, clap::Args)]
pub struct Zone {
    /// What to do with it
    #[command(subcommand)]
    pub command: ZoneCommand,
}

/// `zone …`.
#[derive(Debug, Subcommand)]
pub enum ZoneCommand {
    /// One line for each configured zone: server, serial, sets by writer
    List {
        /// How to write it
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Every record set with value, TTL and writer
    Show {
        /// The zone
        zone: String,
        /// Only these writers: ours, knotwork, externalDns, nix, dhcp, infrastructure, unmarked; may be repeated
        #[arg(long = "writer", value_name = "CLASS")]
        writers: Vec<String>,
        /// Show the TXT that only say who owns what, too (JSON always has them)
        #[arg(long)]
        markers: bool,
        /// How to write it
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// The zone as a zone file
    Export {
        /// The zone
        zone: String,
    },
    /// Make this installation the holder of the zone for its owner id
    #[command(
        override_usage = "knotwork zone takeover [OPTIONS] <ZONE> [--from <INSTANCE>] [--to <INSTANCE>] [--owner <ID>]"
    )]
    Takeover {
        /// The zone
        zone: String,
        /// The instance that holds it now; needed when that is another one than ours
        #[arg(long, value_name = "INSTANCE")]
        from: Option<String>,
        /// The instance that shall hold it, where that is not this configuration's own: a cluster's, as its operator says it
        #[arg(long, value_name = "INSTANCE")]
        to: Option<String>,
        /// The owner id whose fence it is, where that is not this configuration's own: the webhook's, as it says it
        #[arg(long, value_name = "ID")]
        owner: Option<String>,
    },
}

/// `explain`.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The name
    pub name: String,
    /// Manifests, to say what is declared and what the next plan does; without them only the live side is known
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub inputs: Vec<String>,
    /// As the plan would be with --prune
    #[arg(long)]
    pub prune: bool,
}

/// `demo`.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// End after the first pass
    #[arg(long)]
    pub once: bool,
    /// Where the embedded server listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// `route`.
#[derive(Debug, clap::Args)]
pub struct RouteArgs {
    /// The name
    #[arg(required_unless_present = "all")]
    pub name: Option<String>,
    /// The type
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "A")]
    pub rtype: String,
    /// As it would be under the policies of a file or folder; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub inputs: Vec<String>,
    /// What was recorded of the host (`knotwork host facts -o json`), instead of this host as it is
    #[arg(long, value_name = "FILE")]
    pub facts: Option<PathBuf>,
    #[command(flatten)]
    pub place: HostPlace,
    /// By the rules of this version of systemd, as in v252
    #[arg(long, value_name = "VERSION")]
    pub at: Option<String>,
    /// By which door the program asks
    #[arg(long, value_enum, default_value = "nss")]
    pub path: Door,
    /// Instead of one name: a table of every routed domain
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// How to write it
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Form,
}

/// Where the host is, seen from here.
#[derive(Debug, Clone, clap::Args)]
pub struct HostPlace {
    /// Where the host's files are; a container may see them under /host
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// The system bus, as in unix:path=/run/dbus/system_bus_socket; else $DBUS_SYSTEM_BUS_ADDRESS or the usual socket
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub bus: Option<String>,
}

/// By which door a program asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Door {
    /// getaddrinfo through nss-resolve, or the bus: search domains are appended
    Nss,
    /// A DNS message to 127.0.0.53
    Stub,
}

/// How to write what has no table for merge requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for people
    Text,
    /// One JSON value
    Json,
}
