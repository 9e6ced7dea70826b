//! One suite of declared worlds, run through the real binary against every kind of server. After each step the zone is
//! read by `dig`, foreign records are compared and the next plan must be empty.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

#[path = "conformance/rules.rs"]
mod rules;
#[path = "conformance/types.rs"]
mod types;
#[path = "conformance/world.rs"]
mod world;

use support::bind::Bind;
use support::knot::Knot;
use support::parts;
use world::World;

fn suite(server: &'static str, addr: std::net::SocketAddr) {
    let mut world = World::new(server, addr);
    for part in [types::single_types, rules::names, rules::reverse, rules::objects, rules::neighbours, rules::sizes] {
        part(&mut world);
        world.clear();
    }
    types::life_of_every_type(&mut world);
    world.clear();
    eprintln!("[{server}] {} steps", world.steps());
    assert!(world.steps() > 300, "a suite of several hundred steps");
}

#[test]
fn real_knot() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    suite("knot", knot.addr);
}

#[test]
fn newer_knot() {
    let Some(program) = parts::need("knot-next") else { return };
    let knot = Knot::start(&program);
    suite("knot-next", knot.addr);
}

#[test]
fn bind() {
    let Some(program) = parts::need("bind") else { return };
    let bind = Bind::start(&program);
    suite("bind", bind.addr);
}

/// The embedded authority speaks as the others do.
#[test]
fn embedded() {
    use base64::Engine as _;
    use knotwork::authority::{Authority, AuthorityConfig};
    use knotwork::dns::tsig::{Algorithm, Key};
    use knotwork::model::Name;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let keys = support::knot::KEYS.iter().map(|(name, secret)| {
        let secret = base64::engine::general_purpose::STANDARD.decode(secret).unwrap();
        Key::new(Name::parse(name).unwrap(), Algorithm::HmacSha256, &secret).unwrap()
    });
    let zones = support::knot::ZONES.iter().map(|zone| (Name::parse(zone).unwrap(), support::knot::minimal_zone(zone)));
    let config = AuthorityConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        zones: zones.collect(),
        keys: keys.collect(),
        notify: vec![],
    };
    let server = runtime.block_on(Authority::start(config)).unwrap();
    suite("embedded", server.addr());
}
