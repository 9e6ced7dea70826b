//! The embedded authority with the test keys, on a free loopback port.

use base64::Engine as _;
use knotwork::authority::{Authority, AuthorityConfig, Handle};
use knotwork::dns::tsig::{Algorithm, Key};
use knotwork::model::Name;

use super::knot::{KEYS, minimal_zone};

/// An embedded authority, and the runtime that it lives on.
pub struct Served {
    /// The authority.
    pub server: Handle,
    _runtime: tokio::runtime::Runtime,
}

/// Serves a minimal `internal`.
pub fn serve() -> Served {
    serve_zones(&[("internal", &minimal_zone("internal"))])
}

/// Serves these zones, given as name and zone file.
pub fn serve_zones(zones: &[(&str, &str)]) -> Served {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let key = |(name, secret): &(&str, &str)| {
        let secret = base64::engine::general_purpose::STANDARD.decode(secret).expect("base64");
        Key::new(Name::parse(name).expect("a name"), Algorithm::HmacSha256, &secret).expect("a key")
    };
    let config = AuthorityConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        zones: zones.iter().map(|(name, text)| (Name::parse(name).expect("a name"), (*text).to_owned())).collect(),
        keys: KEYS.iter().map(key).collect(),
        notify: vec![],
    };
    let server = runtime.block_on(Authority::start(config)).expect("starts");
    Served { server, _runtime: runtime }
}
