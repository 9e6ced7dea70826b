//! `kill -9`, of us at random moments of an apply of 5,000 sets and of Knot under it: afterwards one more run converges,
//! no set is without its marker and nothing foreign has moved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::knot::Knot;
use support::parts;
use support::site::{self, Site};
use support::writer::{Writer, add};

const SETS: usize = 5000;

/// Every A set of ours has its marker and every marker its set; returns how many there are.
fn whole_pairs(lines: &[String]) -> usize {
    let of = |rtype: &str| -> BTreeSet<String> {
        lines
            .iter()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .filter(|parts| parts[2] == rtype && parts[0].contains("set"))
            .map(|parts| parts[0].trim_start_matches("_knotwork.").to_owned())
            .collect()
    };
    let (sets, markers) = (of("A"), of("TXT"));
    assert_eq!(sets.symmetric_difference(&markers).collect::<Vec<_>>(), Vec::<&String>::new(), "half-done");
    sets.len()
}

fn foreign(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.starts_with("foreign")).collect()
}

fn dice() -> u64 {
    u64::from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_nanos())
}

#[test]
fn killed_at_random_moments_then_converges() {
    let Some(program) = parts::need("knot") else { return };
    let mut knot = Knot::start(&program);
    let mut writer = Writer::connect(knot.addr, "other", "internal");
    for i in 0..20 {
        writer.update(vec![], vec![add(&format!("foreign{i}.internal"), 60, knotwork::model::RrType::A, "10.7.7.7")]);
    }
    drop(writer);
    let before: Vec<String> = foreign(&site::zone(knot.addr, "internal")).into_iter().cloned().collect();
    let site = Site::of("home", "here", "operator", knot.addr, ", brake: {percent: 100, atLeast: 100000}");
    let mut partial = 0;
    let rounds = if parts::tier() == parts::Tier::Full { 48 } else { 8 };
    for round in 0..rounds {
        site.file("many.yaml", &site::many("set", SETS, 60 + round as u8));
        let mut child = site
            .command(&["apply"])
            .arg("-f")
            .arg(site.records())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("knotwork starts");
        let pause = 20 + (dice() / 1000 + round * 97) % 900;
        std::thread::sleep(Duration::from_millis(pause));
        if round % 3 == 2 {
            knot.kill();
            std::thread::sleep(Duration::from_millis(50));
            let _ = child.kill();
            let _ = child.wait();
            knot.resume();
        } else {
            let _ = child.kill();
            let _ = child.wait();
        }
        let lines = site::zone(knot.addr, "internal");
        let pairs = whole_pairs(&lines);
        let net = format!(" 10.{}.", 60 + round);
        let new = lines.iter().filter(|line| line.contains(&net)).count();
        eprintln!("round {round}: killed after {pause} ms with {pairs} sets, {new} of this round");
        partial += usize::from(new > 0 && new < SETS);
        assert_eq!(foreign(&lines), before.iter().collect::<Vec<_>>());
        if round % 2 == 1 {
            site.apply(&[], 0);
            let lines = site::zone(knot.addr, "internal");
            assert_eq!(whole_pairs(&lines), SETS);
            assert_eq!(lines.iter().filter(|line| line.contains(&net)).count(), SETS, "converged");
            let plan = site.records_run(&["plan"]);
            assert_eq!(plan.code, 0, "{plan:#?}");
        }
    }
    eprintln!("{partial} of {rounds} kills fell into the middle");
}

#[test]
fn a_server_killed_under_a_run_is_an_error_and_the_next_run_ends_it() {
    let Some(program) = parts::need("knot") else { return };
    let mut knot = Knot::start(&program);
    let site = Site::of("home", "here", "operator", knot.addr, "");
    site.file("many.yaml", &site::many("set", SETS, 60));
    let child = site
        .command(&["apply"])
        .arg("-f")
        .arg(site.records())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("KNOTWORK_TEST_PAUSE", "after-first")
        .env("KNOTWORK_TEST_PAUSE_FILE", site.dir().join("paused"))
        .spawn()
        .expect("knotwork starts");
    support::wait::until("the first message to be in", || site.dir().join("paused").exists().then_some(()));
    knot.kill();
    std::fs::remove_file(site.dir().join("paused")).expect("release");
    let ran: site::Ran = child.wait_with_output().expect("ends").into();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(
        ran.err.contains(&knot.addr.to_string()) || ran.out.contains(&knot.addr.to_string()),
        "which server: {ran:#?}"
    );
    knot.resume();
    site.apply(&[], 0);
    assert_eq!(whole_pairs(&site::zone(knot.addr, "internal")), SETS);
}
