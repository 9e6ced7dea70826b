//! The Knot configuration that we ship loses nothing at restart or `kill -9`, and fences each writer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use support::knot::{Knot, Setup};
use support::parts;

const CONFIG: &str = include_str!("../config/knot/knot.conf");

fn secret(key: &str) -> String {
    let tail = CONFIG.split(&format!("- id: {key} ")).nth(1).expect("the key is in the configuration");
    tail.split("secret: \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// The shipped file, with nothing changed but places, address and user.
fn start(part: &str) -> Option<Knot> {
    let program = parts::need(part)?;
    let zone = include_str!("../config/knot/internal.zone");
    let files = vec![("internal".to_owned(), zone.to_owned())];
    let setup = Setup { files, ..Setup::default() };
    Some(Knot::shipped(&program, &setup, |dir, port| {
        CONFIG
            .replace("\"/run/knot\"", &format!("\"{dir}/run\""))
            .replace("    user: knot:knot\n", "")
            .replace("[ 127.0.0.1@53, ::1@53 ]", &format!("[ 127.0.0.1@{port} ]"))
            .replace("target: syslog", "target: stderr")
            .replacen("storage: \"/var/lib/knot\"", &format!("storage: \"{dir}/db\""), 1)
            .replace("storage: \"/var/lib/knot\"", &format!("storage: \"{dir}/zones\""))
    }))
}

/// Sends one nsupdate script; whether the server took it, and what nsupdate said.
fn update(addr: SocketAddr, key: &str, lines: &str) -> (bool, String) {
    let mut child = Command::new("nsupdate")
        .args(["-v", "-t", "20", "-y", &format!("hmac-sha256:{key}:{}", secret(key))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsupdate runs");
    let script = format!("server {} {}\nzone internal\n{lines}\nsend\n", addr.ip(), addr.port());
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn address(addr: SocketAddr, name: &str) -> String {
    let out = Command::new("dig")
        .args(["@127.0.0.1", "-p", &addr.port().to_string(), "+short", name, "A"])
        .output()
        .expect("dig runs");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn loses_nothing(part: &str) {
    let Some(mut knot) = start(part) else { return };
    for round in 0..6 {
        for i in 0..30 {
            let (ok, said) =
                update(knot.addr, "operator", &format!("update add n{round}-{i}.internal. 60 A 10.1.{round}.{i}"));
            assert!(ok, "{said}\n{}", knot.log());
        }
        if round % 2 == 0 {
            knot.kill()
        } else {
            knot.terminate()
        }
        knot.resume();
        for old in 0..=round {
            for i in [0, 29] {
                assert_eq!(address(knot.addr, &format!("n{old}-{i}.internal")), format!("10.1.{old}.{i}"));
            }
        }
    }
}

#[test]
fn loses_nothing_at_restart_or_kill() {
    loses_nothing("knot");
}

#[test]
fn loses_nothing_at_restart_or_kill_newer() {
    loses_nothing("knot-next");
}

#[test]
fn each_writer_stays_behind_its_fence() {
    let Some(knot) = start("knot") else { return };
    let said = |key, line| update(knot.addr, key, line);
    assert!(said("kea-ddns", "update add lease.internal. 60 A 10.9.9.9").0);
    assert!(!said("kea-ddns", "update add internal. 60 A 10.9.9.9").0, "Kea must not write the apex");
    assert!(!said("kea-ddns", "update add lease.internal. 60 TXT x").0, "Kea must not write TXT");
    assert!(said("externaldns", "update add web.apps.internal. 60 A 10.9.9.9").0);
    assert!(!said("externaldns", "update add web.internal. 60 A 10.9.9.9").0, "ExternalDNS keeps to its names");
    let mixed = "update add web.apps.internal. 60 A 10.9.9.8\nupdate add web.internal. 60 A 10.9.9.8";
    assert!(!said("externaldns", mixed).0, "not even beside a name of its own");
    assert_eq!(address(knot.addr, "web.internal"), "");
}
