//! What it costs to have the agent: the shipped unit on booted machines where nothing happens.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::settled::POLICY;
use crate::support::machine::{Machine, VERSIONS};
use crate::support::parts;

/// Two of the slow looks that the unit makes without a hint, each with its probes, and a little.
const WINDOW: Duration = Duration::from_secs(125);

/// After the first change: threads that helped with it end, and what it touched is not counted as idle.
const QUIET: Duration = Duration::from_secs(20);

/// The limits: memory in KiB, wake-ups a second.
const LIMITS: (u64, f64) = (12 * 1024, 1.0);

/// The table.
pub fn run() -> String {
    let release = PathBuf::from(env!("CARGO_BIN_EXE_knotwork"));
    let mut table = String::from(
        "| build | program | systemd | memory (RSS) | of it anonymous | threads | wake-ups a second | CPU | within 12 MB and one a second |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (build, program, versions) in [
        ("`--release`", release.clone(), &VERSIONS[1..2]),
        ("`--profile small`, without the operator", small(&release), &VERSIONS[..]),
    ] {
        for version in versions {
            if parts::find(&format!("machine-{version}")).is_none() {
                table.push_str(&format!(
                    "| {build} | | {version} | (no machine here: `tests/parts/install`) | | | | | |\n"
                ));
                continue;
            }
            let Some(mut machine) = Machine::boot_with(*version, &program) else { continue };
            let size = std::fs::metadata(&program).expect("a program").len();
            table.push_str(&format!("| {build} | {} | {version} | {} |\n", mebibytes(size / 1024), row(&mut machine)));
        }
    }
    format!(
        "{table}\nThe shipped unit (`--poll 60s`, `--listen`), on booted machines of three Debian releases with two links and a policy with \
         one route, two links and two probes, over {} s in which nothing happens but two slow looks with their probes. MB are 1,048,576 octets. \
         Most of the memory is the program itself, as far as it was read in; wake-ups are voluntary context switches of all threads.\n",
        WINDOW.as_secs()
    )
}

/// The build that `docs/hosts.md` tells people to install on hosts, beside the one that is measured with.
fn small(release: &Path) -> PathBuf {
    let target = release.parent().and_then(Path::parent).expect("target/release/knotwork");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--locked", "--profile", "small", "--no-default-features", "--bin", "knotwork", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo");
    assert!(built.success(), "cargo build --profile small");
    target.join("small/knotwork")
}

fn mebibytes(kibibytes: u64) -> String {
    format!("{:.1} MB", kibibytes as f64 / 1024.0)
}

/// What stands in a row: memory, threads, wake-ups, CPU, verdict.
fn row(machine: &mut Machine) -> String {
    let unit = include_str!("../../config/systemd/knotwork-agent.service");
    machine.must("mkdir -p /etc/knotwork/policies");
    machine.write("/etc/knotwork/policies/policy.yaml", POLICY);
    machine.write("/etc/systemd/system/knotwork-agent.service", unit);
    machine.must("systemctl daemon-reload && systemctl start knotwork-agent");
    machine.until("systemctl show -P StatusText knotwork-agent | grep -q 'as declared'");
    std::thread::sleep(QUIET);
    // Threads, voluntary switches of all of them, ticks of the process (threads that ended included), memory.
    let look = "p=/proc/$(systemctl show -P MainPID knotwork-agent); echo $(ls $p/task) | tr ' ' ,; cat $p/task/*/status | awk '/^voluntary/ {n += $2} END {print n}'; \
                sed 's/.*) //' $p/stat | awk '{print $12 + $13}'; awk '/^VmRSS/ {print $2}' $p/status; awk '/^RssAnon/ {print $2}' $p/status";
    let read = |machine: &mut Machine| {
        let text = machine.must(look);
        let mut lines = text.lines().map(str::to_owned);
        let threads = lines.next().expect("threads");
        let numbers: Vec<u64> = lines.map(|line| line.trim().parse().expect("a number")).collect();
        (threads, numbers)
    };
    let (threads_before, before) = read(machine);
    std::thread::sleep(WINDOW);
    let (threads, after) = read(machine);
    // A thread that ended took its count with it.
    let gone = threads_before.split(',').filter(|one| !threads.split(',').any(|now| now == *one)).count();
    assert_eq!(gone, 0, "threads ended while it was idle: {threads_before} {threads}");
    machine.must("systemctl is-active knotwork-agent && knotwork host check");
    let seconds = WINDOW.as_secs_f64();
    let (wakes, ticks) = ((after[0] - before[0]) as f64 / seconds, (after[1] - before[1]) as f64 / seconds);
    let (rss, anonymous) = (after[2], after[3]);
    let within = if rss <= LIMITS.0 && wakes <= LIMITS.1 { "yes" } else { "no" };
    format!(
        "{} | {} | {} | {wakes:.2} | {ticks:.2} % | {within}",
        mebibytes(rss),
        mebibytes(anonymous),
        threads.split(',').count()
    )
}
