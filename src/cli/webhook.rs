//! `knotwork webhook`: flags, and words for whoever started it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::exit::Exit;
use super::printer::Printer;
use super::{site, watch};
use crate::source::follow;
use crate::webhook::{Numbers, Term, WebhookSettings, serve};

/// `webhook`.
#[derive(Debug, Clone, clap::Args)]
pub struct WebhookArgs {
    /// Serve ExternalDNS's webhook API here
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8888")]
    listen: SocketAddr,
    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    ops_listen: SocketAddr,
    /// Send nothing, and log what would be done (ExternalDNS's own --dry-run does not reach a webhook)
    #[arg(long)]
    dry_run: bool,
    /// Let ExternalDNS take record sets over that nobody has marked
    #[arg(long)]
    adopt_unmarked: bool,
    /// Octets of a request that are taken
    #[arg(long, value_name = "OCTETS", default_value = "33554432")]
    max_body_size: usize,
}

/// Runs until it is stopped.
pub async fn webhook(args: WebhookArgs, config: Option<PathBuf>, printer: &mut Printer) -> Exit {
    let Some(config) = site::configuration(config, printer) else { return Exit::Error };
    let Some(webhook) = config.webhook.clone() else {
        printer.error(&format!(
            "{} has no `webhook:` section; give at least `webhook: {{owner: ID}}` with the --txt-owner-id of the ExternalDNS that \
             will ask: only its records are ever changed",
            config.path.display()
        ));
        return Exit::Error;
    };
    let settings = WebhookSettings {
        listen: args.listen,
        ops_listen: Some(args.ops_listen),
        dry_run: args.dry_run,
        adopt_unmarked: args.adopt_unmarked,
        max_body_size: args.max_body_size,
    };
    let mut say = |text: &str| tracing::info!("{text}");
    let numbers: Arc<Numbers> = Arc::default();
    let stop = watch::stop_by_signal();
    let refused = Arc::clone(&numbers);
    let first = Term { config: config.clone(), webhook, may_write: None, tell: None };
    let (begin, terms) = tokio::sync::watch::channel(Some(first));
    let mut followed = follow(config, move || refused.reload_refused());
    let ended = stop.clone();
    let reader = tokio::spawn(async move {
        let next = async {
            while followed.config.changed().await.is_ok() {
                let config = followed.config.borrow_and_update().clone();
                let Some(webhook) = config.webhook.clone() else {
                    tracing::error!(
                        "the new configuration has no `webhook:` section; the version before stays in force"
                    );
                    continue;
                };
                tracing::info!(
                    "the configuration was read again; where its zones are others, ExternalDNS has to be restarted, too: it asks for them once"
                );
                begin.send_replace(Some(Term { config, webhook, may_write: None, tell: None }));
            }
        };
        tokio::select! {
            () = next => {}
            () = ended.cancelled() => {}
        }
    });
    let served = serve(settings, terms, numbers, stop, &mut say).await;
    reader.abort();
    match served {
        Ok(()) => Exit::Done,
        Err(error) => {
            printer.error(&error.to_string());
            Exit::Error
        }
    }
}
