//! The real parts start, load their zones and answer: when this fails, look here before anywhere else.

mod support;

use std::process::Command;

use support::bind::Bind;
use support::knot::{KEYS, Knot};
use support::parts;

fn soa_of_internal(addr: std::net::SocketAddr) -> String {
    let key = format!("hmac-sha256:{}:{}", KEYS[0].0, KEYS[0].1);
    let port = addr.port().to_string();
    let out = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "-y", &key, "+short", "internal", "SOA"])
        .output()
        .expect("dig runs");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn knot_answers_and_survives_kill() {
    let Some(program) = parts::need("knot") else { return };
    let mut knot = Knot::start(&program);
    assert!(soa_of_internal(knot.addr).starts_with("ns0.internal. "), "{}", knot.log());
    knot.kill();
    knot.resume();
    assert!(soa_of_internal(knot.addr).starts_with("ns0.internal. "), "{}", knot.log());
}

#[test]
fn newer_knot_answers() {
    let Some(program) = parts::need("knot-next") else { return };
    let knot = Knot::start(&program);
    assert!(soa_of_internal(knot.addr).starts_with("ns0.internal. "), "{}", knot.log());
}

#[test]
fn bind_answers() {
    let Some(program) = parts::need("bind") else { return };
    let bind = Bind::start(&program);
    assert!(soa_of_internal(bind.addr).starts_with("ns0.internal. "), "{}", bind.log());
}
