//! `/metrics`, `/healthz`, `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the endpoints tell.
pub trait Health: Send + Sync + 'static {
    /// The numbers now, in Prometheus text format.
    fn text(&self) -> String;
    /// What was not looked at as a whole yet (zones, the host); none means ready.
    fn not_ready(&self) -> Vec<String>;
}

/// Serves until cancelled; gives the address in use once it listens.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    listen: SocketAddr,
    health: Arc<dyn Health>,
    cancel: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let (numbers, ready) = (Arc::clone(&health), health);
    let router = Router::new()
        .route(
            "/metrics",
            get(move || async move {
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], numbers.text())
            }),
        )
        // Alive is that this answers; DNS trouble is nothing that a restart would mend.
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                let missing = ready.not_ready();
                if missing.is_empty() {
                    (StatusCode::OK, "ready\n".to_owned())
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, format!("no complete view yet of: {}\n", missing.join(", ")))
                }
            }),
        );
    tokio::spawn(async move {
        let stop = cancel.clone();
        let server = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
        tokio::select! {
            result = async { server.await } => if let Err(error) = result {
                tracing::error!(%error, "the metrics endpoint stopped");
            },
            // A client that never reads must not hold up the end.
            () = async { cancel.cancelled().await; tokio::time::sleep(Duration::from_secs(1)).await } => {}
        }
    });
    Ok(address)
}
