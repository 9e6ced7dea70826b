//! What a refusal means once the server has given a good answer with the same key.

use crate::dns::explain::{self, Asked, Missing};
use crate::knot::{Exchange, ServerError, Session};

/// Puts a refusal into the words of one who knows that the key is good: the session has had a good answer about this zone.
/// Other errors come back as they are.
pub fn key_is_good(error: ServerError, session: &Session, missing: Missing) -> ServerError {
    let ServerError::NotAuthorised { place, what, .. } = error else { return error };
    let asked = match what {
        Exchange::Query => Asked::Query,
        Exchange::Transfer => Asked::Transfer,
        Exchange::Update => Asked::Update,
    };
    let words = explain::not_allowed(asked, &place.zone, session.key_name(), missing);
    ServerError::NotAuthorised { place, what, words }
}
