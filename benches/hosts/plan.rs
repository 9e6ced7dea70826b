//! From facts and a policy's file to a plan, lint included.

use std::time::{Duration, Instant};

use knotwork::host::under_policies;
use knotwork::hostplan::{self, Record};
use knotwork::resolved::files::HostFiles;
use knotwork::split::HostFacts;

use crate::stats::{median, quantile, show};
use crate::worlds;

const ROUNDS: usize = 201;

/// The table.
pub fn run() -> String {
    let homelab = include_str!("../../config/hosts/homelab.yaml").to_owned();
    let large = worlds::large_policy();
    let bare = |version| worlds::facts(version, &[worlds::link(0, &["10.0.0.53".into()], &[], "yes")], &[]);
    let links = |version| {
        let mut all = vec![worlds::link(0, &["10.0.0.53".into()], &[], "yes")];
        all.extend((1..=8).map(|n| worlds::link(n, &[], &[], "automatic")));
        worlds::facts(version, &all, &[])
    };
    let mut table = String::from(
        "| policy | systemd | form | files | links | policies read, lowered and linted | files told apart and planned | together, p50 | p99 |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for version in [252, 257, 262] {
        table.push_str(&row("homelab (one route)", &homelab, &bare(version)));
    }
    for version in [252, 257, 262] {
        table.push_str(&row("sites (eight routes, 250 domains)", &large, &links(version)));
    }
    format!(
        "{table}\nWithout reading the host: the facts are there, and so are the files. The policy is read from its file. Median of {ROUNDS}.\n"
    )
}

fn row(what: &str, policy: &str, facts: &HostFacts) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("policy.yaml");
    std::fs::write(&file, policy).expect("written");
    let inputs = [file.display().to_string()];
    // What a plain Debian has.
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("etc")).expect("a directory");
    for (name, text) in [
        ("hosts", "127.0.0.1\tlocalhost\n192.168.2.2\tchief-horse.maas chief-horse\n"),
        ("nsswitch.conf", "passwd: files\nhosts: files resolve [!UNAVAIL=return] dns\n"),
    ] {
        std::fs::write(root.join("etc").join(name), text).expect("written");
    }
    std::os::unix::fs::symlink("../run/systemd/resolve/stub-resolv.conf", root.join("etc/resolv.conf"))
        .expect("a link");
    let version = facts.systemd.expect("known");
    let record = Record::default();
    let wish = under_policies(&inputs, facts, version).expect("good policies").wish;
    let files = HostFiles::new(root.display().to_string());
    let seen = files.see_all(&hostplan::targets(&wish, facts, &record));
    let (mut lowered, mut planned, mut all): (Vec<Duration>, Vec<Duration>, Vec<Duration>) = Default::default();
    let mut told = String::new();
    for _ in 0..ROUNDS {
        let from = Instant::now();
        let under = under_policies(&inputs, &hostplan::without_us(facts, &record), version).expect("good policies");
        let between = Instant::now();
        let targets = hostplan::targets(&under.wish, facts, &record);
        let plan = hostplan::plan(&under.wish, facts, &seen, &record);
        let end = Instant::now();
        assert!(
            targets.paths.len() > 5 && !plan.is_settled() && plan.refusals.is_empty() && !under.is_refused(),
            "{plan:#?} {:#?}",
            under.findings
        );
        lowered.push(between - from);
        planned.push(end - between);
        all.push(end - from);
        told = format!("{} | {} | {}", under.wish.form.word(), plan.files.len(), plan.links.len());
    }
    format!(
        "| {what} | {version} | {told} | {} | {} | {} | {} |\n",
        show(median(&lowered)),
        show(median(&planned)),
        show(median(&all)),
        show(quantile(&all, 0.99))
    )
}
