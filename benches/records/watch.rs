//! `apply --watch` with very many files: what it costs to stay, and to see an edit of one of them.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::lab;
use crate::stats::{number, show};
use crate::support::parts::Program;
use crate::support::site::Site;
use crate::support::wait;
use knotwork::model::{Name, RrType};
use knotwork::zone::Role;

const COUNTS: [usize; 2] = [1_000, 100_000];
const IDLE: Duration = Duration::from_secs(20);
const EDITS: u8 = 5;

/// The table.
pub fn run(knot: &Program) -> String {
    let mut out = String::from(
        "| files, one set each | CPU while idle | an edit of one file → served | CPU of an edit, the second look included | memory |\n|---|---|---|---|---|\n",
    );
    for count in COUNTS {
        out += &one(knot, count);
    }
    out + &format!(
        "\nThe whole program: `apply --watch --prune`. Idle over {} s; the mean of {EDITS} edits, each with the 8 s after it, without what \
         idling costs in that time. An edit is served when the server answers it.\n",
        IDLE.as_secs()
    )
}

fn one(knot: &Program, count: usize) -> String {
    let claims = lab::claims(count, |_| 0);
    let server = lab::knot(knot, Some(&claims));
    let site = Site::new(server.addr);
    let put = |index: usize, [a, b, c, d]: [u8; 4]| {
        let text = format!(
            "apiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata:\n  name: h{index}\n  namespace: dns\nspec:\n  name: h{index}.internal\n  a:\n    - {a}.{b}.{c}.{d}\n"
        );
        site.file(&format!("h{index}.yaml"), &text);
    };
    for index in 0..count {
        put(index, lab::address(index, 0));
    }
    let mut command = site.command(&["apply", "--watch", "--prune"]);
    command.arg("-f").arg(site.records()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("knotwork runs");
    let id = child.id();
    // Everything is read, and read again once its times can be trusted, and then all is quiet.
    wait::until("a quiet watch", || {
        let before = cpu(id);
        std::thread::sleep(Duration::from_secs(10));
        (cpu(id) > Duration::ZERO && cpu(id) - before < Duration::from_secs(2)).then_some(())
    });
    let before = cpu(id);
    std::thread::sleep(IDLE);
    let idle = (cpu(id) - before).as_secs_f64() / IDLE.as_secs_f64();

    let runtime = lab::runtime();
    let mut engine = runtime.block_on(async { lab::engine(server.addr, Role::OneShot) });
    let name = Name::parse("h7.internal").expect("a name");
    let (mut seen, mut cost) = (Duration::ZERO, 0.0);
    for edition in 1..=EDITS {
        let (from, before) = (Instant::now(), cpu(id));
        let wanted = lab::address(7, edition);
        put(7, wanted);
        runtime.block_on(async {
            loop {
                engine.refresh().await.expect("refresh");
                let there = engine.view().and_then(|view| view.get(&name, RrType::A));
                if there.is_some_and(|set| *set.values[0] == wanted) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        seen += from.elapsed();
        std::thread::sleep(Duration::from_secs(8));
        cost += (cpu(id) - before).as_secs_f64() - idle * from.elapsed().as_secs_f64();
    }
    let memory = std::fs::read_to_string(format!("/proc/{id}/status")).expect("status");
    let rss = memory.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?").trim().to_owned();
    let _ = child.kill();
    let _ = child.wait();
    let mut row = String::new();
    let _ = writeln!(
        row,
        "| {} | {:.1} % of a core | {} | {} | {} |",
        number(count),
        idle * 100.0,
        show(seen / u32::from(EDITS)),
        show(Duration::from_secs_f64((cost / f64::from(EDITS)).max(0.0))),
        rss.strip_suffix(" kB")
            .and_then(|kib| kib.parse::<u64>().ok())
            .map_or(rss.clone(), |kib| format!("{} MiB", kib / 1024)),
    );
    row
}

/// Processor time that a process has used, all its threads together.
fn cpu(id: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("stat");
    // Behind the name, which may hold spaces: utime and stime are the fields 14 and 15 (proc_pid_stat(5)), in ticks of 10 ms.
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks: u64 = [11, 12].iter().map(|index| fields[*index].parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}
