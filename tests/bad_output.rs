//! What becomes of the command line when what it says, or what it is told, goes nowhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::process::{Command, Stdio};

use support::embedded::serve;
use support::site::{Ran, Site};

fn full() -> Stdio {
    Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
}

/// A disk that is full must not look like a run that found nothing to say.
#[test]
fn lost_output_is_said_and_is_an_error() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let records = site.records();
    let records = records.to_str().unwrap();
    for args in [
        &["plan", "-f", records][..],
        &["plan", "-f", records, "-o", "json"],
        &["plan", "-f", records, "-o", "markdown"],
        &["apply", "-f", records],
        &["zone", "list"],
        &["zone", "show", "internal"],
        &["zone", "export", "internal"],
        &["explain", "a.internal", "-f", records],
        &["doctor"],
        &["crds"],
        &["completions", "bash"],
        &["demo", "--once"],
        &["--help"],
        &["--version"],
    ] {
        let ran: Ran = site.command(args).stdout(full()).output().unwrap().into();
        assert_eq!(ran.code, 1, "{args:?} {ran:#?}");
        assert_eq!(ran.err.matches("standard output cannot be written").count(), 1, "{args:?} {ran:#?}");
    }
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let served = serve();
    let site = Site::new(served.server.addr());
    let ran: Ran = site.command(&["zone", "list"]).env("KNOTWORK_CONFIG", "").output().unwrap().into();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let empty = tempfile::tempdir().unwrap();
    let bare = |args: &[&str]| -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_knotwork"));
        command.args(args).current_dir(empty.path()).env("KNOTWORK_CONFIG", "").output().unwrap().into()
    };
    assert_eq!(bare(&["crds"]).code, 0);
    let ran = bare(&["zone", "list"]);
    assert!(ran.code == 1 && ran.err.contains("there is no configuration"), "{ran:#?}");
}

#[test]
fn an_unknown_release_is_named_with_those_that_are_held() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.file("many.yaml", &support::site::many("set", 100, 40));
    site.apply(&[], 0);
    let ran = site.records_run(&["plan", "--prune", "--release", "0000000000000000"]);
    assert!(ran.err.contains("0000000000000000: unknown") && ran.err.contains("nothing is held"), "{ran:#?}");
    site.file("many.yaml", &support::site::many("set", 50, 40));
    let plan: serde_json::Value =
        serde_json::from_str(&site.records_run(&["plan", "--prune", "-o", "json"]).out).unwrap();
    let zone = plan["zones"].as_array().unwrap().iter().find(|zone| zone["zone"] == "internal.").unwrap();
    let hash = zone["held"]["hash"].as_str().expect("a hash").to_owned();
    for command in ["plan", "apply"] {
        let ran = site.records_run(&[command, "--prune", "--release", "0000000000000000"]);
        assert!(
            ran.err.contains(&format!(
                "unknown, no zone holds operations under this hash; held are: {hash} in zone internal"
            )),
            "{ran:#?}"
        );
        assert_eq!(ran.code, 3);
    }
    let ran = site.apply(&["--prune", "--release", &hash], 0);
    assert!(!ran.err.contains("unknown"), "{ran:#?}");
}
