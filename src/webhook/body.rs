//! Reading a body to its end.

use axum::body::Body;
use futures_util::StreamExt as _;

/// Why a body cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadBody {
    /// Longer than is taken.
    #[error("the body has more than {most} octets; a larger one is taken with --max-body-size")]
    TooLong {
        /// Octets.
        most: usize,
    },
    /// Its sender went away.
    #[error("the body ended early: {0}")]
    Broken(String),
}

/// Reads a body. One that is too long is read on to its end and thrown away: a connection that is closed in the middle is
/// one of the things at which ExternalDNS ends.
///
/// # Errors
/// [`BadBody`].
pub async fn read(body: Body, most: usize) -> Result<Vec<u8>, BadBody> {
    let mut stream = body.into_data_stream();
    let (mut bytes, mut too_long) = (Vec::new(), false);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| BadBody::Broken(error.to_string()))?;
        too_long |= bytes.len() + chunk.len() > most;
        if too_long {
            bytes = Vec::new();
        } else {
            bytes.extend_from_slice(&chunk);
        }
    }
    if too_long { Err(BadBody::TooLong { most }) } else { Ok(bytes) }
}
