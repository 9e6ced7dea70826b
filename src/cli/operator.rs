//! `knotwork operator`: flags, and words for whoever started it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::exit::Exit;
use super::printer::Printer;
use super::{site, watch};
use crate::cluster::Target;
use crate::operator::{OperatorSettings, operate};
use crate::webhook::{MAX_BODY_SIZE, WebhookSettings};

/// `operator`.
#[derive(Debug, Clone, clap::Args)]
pub struct OperatorArgs {
    /// A kubeconfig; else $KUBECONFIG, ~/.kube/config, or the service account of the pod
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context in it; else its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace of the lease that says which replica leads; else the pod's, or the context's
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    namespace: Option<String>,
    /// The name of that lease
    #[arg(long, value_name = "NAME", default_value = "knotwork-operator")]
    lease: String,
    /// How long a leader that has fallen silent keeps the lease, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = clap::value_parser!(u64).range(2..=600))]
    lease_duration: u64,
    /// Read ExternalDNS's DNSEndpoint objects as declarations, too
    #[arg(long)]
    dnsendpoints: bool,
    /// Ask for lists in pages, as old servers want them, instead of as streams
    #[arg(long)]
    paged_lists: bool,
    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// When records whose server is silent count as stale, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    stale_after: u64,
    /// When the deletion of an object is given up whose records cannot be deleted, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3600")]
    let_go_after: u64,
    /// Serve ExternalDNS's webhook API from this process, too, while it leads
    #[arg(long)]
    webhook: bool,
    /// With --webhook: at this address
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8888", requires = "webhook")]
    webhook_listen: SocketAddr,
    /// With --webhook: send nothing for ExternalDNS, and log what would be done
    #[arg(long, requires = "webhook")]
    webhook_dry_run: bool,
    /// With --webhook: let ExternalDNS take record sets over that nobody has marked
    #[arg(long, requires = "webhook")]
    adopt_unmarked: bool,
}

/// Runs until it is stopped.
pub async fn operator(args: OperatorArgs, config: Option<PathBuf>, printer: &mut Printer) -> Exit {
    let Some(config) = site::configuration(config, printer) else { return Exit::Error };
    if args.webhook && config.webhook.is_none() {
        printer.error(&format!(
            "{} has no `webhook:` section, which --webhook needs; give at least `webhook: {{owner: ID}}` with the --txt-owner-id of ExternalDNS",
            config.path.display()
        ));
        return Exit::Error;
    }
    let webhook = args.webhook.then_some(WebhookSettings {
        listen: args.webhook_listen,
        ops_listen: None,
        dry_run: args.webhook_dry_run,
        adopt_unmarked: args.adopt_unmarked,
        max_body_size: MAX_BODY_SIZE,
    });
    let settings = OperatorSettings {
        webhook,
        target: Target { kubeconfig: args.kubeconfig, context: args.context },
        namespace: args.namespace.filter(|namespace| !namespace.is_empty()),
        lease: args.lease,
        lease_duration: Duration::from_secs(args.lease_duration),
        endpoints: args.dnsendpoints,
        streaming: !args.paged_lists,
        listen: args.listen,
        stale_after: Duration::from_secs(args.stale_after),
        let_go_after: Duration::from_secs(args.let_go_after),
    };
    let mut say = |text: &str| tracing::info!("{text}");
    match operate(settings, config, watch::stop_by_signal(), &mut say).await {
        Ok(()) => Exit::Done,
        Err(error) => {
            printer.error(&error.to_string());
            Exit::Error
        }
    }
}
