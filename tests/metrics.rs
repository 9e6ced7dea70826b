//! The numbers that a run leaves and a resident writer serves, counted against what the server saw.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use knotwork::model::RrType;
use support::embedded::serve;
use support::site::Site;
use support::wait;
use support::writer::{Writer, wipe};

/// Samples by name with labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(key, value)| (key.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn a_run_counts_what_it_asked_of_the_server() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let file = site.dir().join("run.prom");
    let counted = |args: &[&str]| {
        let counters = served.server.counters();
        let before = (counters.queries.load(Ordering::Relaxed), counters.updates.load(Ordering::Relaxed));
        let ran = site.records_run(&[args, &["--metrics-file", file.to_str().unwrap()]].concat());
        assert!([0, 2].contains(&ran.code), "{ran:#?}");
        let after = (counters.queries.load(Ordering::Relaxed), counters.updates.load(Ordering::Relaxed));
        let all = samples(&std::fs::read_to_string(&file).unwrap());
        let of = |name: &str| all[&format!("knotwork_zone_{name}{{zone=\"internal\"}}")];
        assert_eq!(of("polls_total"), (after.0 - before.0) as f64, "{args:?}");
        assert_eq!(of("updates_total"), (after.1 - before.1) as f64, "{args:?}");
        assert!(!all.keys().any(|key| key.contains("reaction_seconds")), "a run reacts to nothing");
        (of("polls_total"), of("transfers_total"), of("updates_total"))
    };
    assert_eq!(counted(&["plan"]), (1.0, 1.0, 0.0));
    let (polls, transfers, updates) = counted(&["apply"]);
    assert!(polls >= 2.0 && transfers >= 1.0 && updates == 1.0, "it is read back: {polls} {transfers} {updates}");
    assert_eq!(counted(&["apply"]), (1.0, 1.0, 0.0));
}

#[test]
fn of_a_zone_that_was_not_read_nothing_is_claimed() {
    // Nobody listens here.
    let nowhere = ([127, 0, 0, 1], 1).into();
    let site = Site::new(nowhere);
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let file = site.dir().join("run.prom");
    let check = |all: &BTreeMap<String, f64>| {
        assert_eq!(all["knotwork_zone_last_pass_success{zone=\"internal\"}"], 0.0);
        for word in ["managed", "foreign", "conflicts", "orphans", "held", "serial", "last_sync"] {
            let name = format!("knotwork_zone_{word}");
            assert!(!all.keys().any(|key| key.starts_with(&name)), "{word} of a zone that nobody read: {all:?}");
        }
    };
    assert_eq!(site.records_run(&["plan", "--metrics-file", file.to_str().unwrap()]).code, 1);
    check(&samples(&std::fs::read_to_string(&file).unwrap()));
    std::fs::remove_file(&file).unwrap();
    let mut command = site.command(&["apply", "--watch", "--metrics-file", file.to_str().unwrap()]);
    let mut child = command.arg("-f").arg(site.records()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let all = wait::until("an error", || {
        let all = samples(&std::fs::read_to_string(&file).unwrap_or_default());
        Some(all).filter(|all| all.keys().any(|key| key.starts_with("knotwork_zone_errors_total")))
    });
    let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    check(&all);
}

#[test]
fn the_reaction_histogram_adds_up() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let file = site.dir().join("watch.prom");
    let mut child = site
        .command(&["apply", "--watch"])
        .arg("--metrics-file")
        .arg(&file)
        .arg("-f")
        .arg(site.records())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let numbers = || samples(&std::fs::read_to_string(&file).unwrap_or_default());
    let count = "knotwork_zone_reaction_seconds_count{zone=\"internal\"}";
    wait::until("the first numbers", || {
        (numbers().get("knotwork_zone_managed_sets{zone=\"internal\"}") == Some(&1.0)).then_some(())
    });
    let before = numbers()[count];
    // Somebody deletes our record: that is seen, and mended.
    let mut other = Writer::connect(served.server.addr(), "other", "internal");
    other.update(vec![], vec![wipe("a.internal", RrType::A)]);
    let all = wait::until("a reaction", || Some(numbers()).filter(|all| all.get(count) > Some(&before)));
    let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let buckets: Vec<(String, f64)> = all
        .iter()
        .filter_map(|(key, value)| {
            let bound = key.strip_prefix("knotwork_zone_reaction_seconds_bucket{zone=\"internal\",le=\"")?;
            Some((bound.strip_suffix("\"}").expect("le is the last label").to_owned(), *value))
        })
        .collect();
    let mut by_bound: Vec<(f64, f64)> =
        buckets.iter().map(|(bound, value)| (bound.replace("+Inf", "inf").parse().unwrap(), *value)).collect();
    by_bound.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bounds: Vec<f64> = by_bound.iter().map(|(bound, _)| *bound).collect();
    let seconds = [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, f64::INFINITY];
    assert_eq!(bounds, seconds);
    assert!(by_bound.is_sorted_by(|a, b| a.1 <= b.1), "buckets are cumulative: {by_bound:?}");
    assert_eq!(by_bound.last().unwrap().1, all[count], "the last bucket holds all");
    let sum = all["knotwork_zone_reaction_seconds_sum{zone=\"internal\"}"];
    let least: f64 = by_bound.windows(2).map(|pair| (pair[1].1 - pair[0].1) * pair[0].0).sum();
    assert!(sum > 0.0 && sum >= least, "{sum} is less than its buckets say: {by_bound:?}");
}
