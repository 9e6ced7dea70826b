//! The way to the API server.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Response, header};
use http_body_util::{BodyExt as _, Full};
use kube::client::{ClientBuilder, DynBody};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tower::util::MapResponseLayer;

use super::CallError;

/// Where the API server is to be found.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// A kubeconfig; else $KUBECONFIG, ~/.kube/config, or the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; else its current one.
    pub context: Option<String>,
}

/// Clients of one API server.
#[derive(Clone)]
pub struct Access {
    config: Config,
}

impl Access {
    /// Finds the way.
    ///
    /// # Errors
    /// [`CallError::Access`]: what was looked for, and what is wrong with it.
    pub async fn find(target: &Target) -> Result<Access, CallError> {
        let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &target.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path)
                    .map_err(|error| CallError::Access(format!("--kubeconfig {}: {}", path.display(), innermost(&error))))?;
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|error| CallError::Access(format!("--kubeconfig {}: {}", path.display(), innermost(&error))))?
            }
            None if target.context.is_some() => Config::from_kubeconfig(&options)
                .await
                .map_err(|error| CallError::Access(format!("the kubeconfig: {}", innermost(&error))))?,
            None => Config::infer().await.map_err(|error| {
                CallError::Access(format!(
                    "no way to an API server is known: {}; name a kubeconfig with --kubeconfig or $KUBECONFIG, or run in a pod with a service account",
                    innermost(&error)
                ))
            })?,
        };
        // Retries of the client's own take up to a quarter of an hour; every call here has a deadline and is made again by us.
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(5));
        Ok(Access { config })
    }

    /// A client with connections of its own.
    ///
    /// # Errors
    /// [`CallError::Access`] when keys or certificates cannot be used.
    pub fn client(&self) -> Result<Client, CallError> {
        let builder = ClientBuilder::try_from(self.config.clone());
        let builder = builder.map_err(|error| CallError::Access(innermost(&error)))?;
        Ok(builder.with_layer(&MapResponseLayer::new(when_to_come_back)).build())
    }

    /// The namespace that the kubeconfig's context, or the pod, is in.
    pub fn namespace(&self) -> &str {
        &self.config.default_namespace
    }

    /// The server, for people.
    pub fn server(&self) -> String {
        self.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }
}

/// A server that is overrun says in a header when it wants to be asked again, and the client shows only what is in the body:
/// so it is put there.
fn when_to_come_back(response: Response<Box<DynBody>>) -> Response<Box<DynBody>> {
    let header = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    let code = response.status();
    let Some(seconds) = header.filter(|_| matches!(code.as_u16(), 429 | 503)) else {
        return response;
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code.as_u16(),
        "reason": if code.as_u16() == 429 { "TooManyRequests" } else { "ServiceUnavailable" },
        "message": format!("the server asks to be left alone for {seconds} s"),
        "details": {"retryAfterSeconds": seconds},
    });
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {});
    let mut answer: Response<Box<DynBody>> = Response::new(Box::new(body));
    *answer.status_mut() = code;
    answer
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut all = vec![error.to_string()];
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        // Many errors repeat their source's words in their own.
        if !all.iter().any(|said| said.contains(&text)) {
            all.push(text);
        }
        source = inner.source();
    }
    all.join(": ")
}
