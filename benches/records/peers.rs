//! The whole program against other programs that put the same records into a fresh zone.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use knotwork::model::{RrType, rdata};

use crate::lab;
use crate::stats::{median, number, ratio, show};
use crate::support::knot::KEYS;
use crate::support::parts::{self, Program};
use crate::support::site::Site;

const ROUNDS: usize = 3;

/// The table.
pub fn run(knot: &Program) -> String {
    let mut out = String::from("| sets | program | time | as many times ours |\n|---|---|---|---|\n");
    for count in [10_000, 100_000] {
        one(knot, count, &mut out);
    }
    out + &format!(
        "\nEvery program puts the same A records and ownership TXTs into a fresh zone. Ours reads one manifest for each set, \
         plans, sends with guards and reads back; nsupdate and knsupdate read a ready script and send messages of 2,000 records, \
         or as many as fit into one, without guards and without looking (\"A only\": without the TXTs, too); octoDNS reads one YAML file of the zone, looks at the zone first and sends 400 changes a message (with its default of 1,000 these do not fit into one). \
         Wall clock of the whole process, median of {ROUNDS} in turns (octoDNS: one run).\n"
    )
}

fn one(knot: &Program, count: usize, out: &mut String) {
    let claims = lab::claims(count, |_| 0);
    let records = lab::records(&claims);
    let plain: Vec<_> = records.iter().filter(|record| record.2 == RrType::A).cloned().collect();
    let dir = tempfile::tempdir().expect("dir");
    let mut programs: Vec<(&str, Vec<Duration>)> =
        ["knotwork apply", "nsupdate -v", "knsupdate -v", "nsupdate -v, A only", "knsupdate -v, A only"]
            .map(|name| (name, Vec::new()))
            .to_vec();
    for _ in 0..ROUNDS {
        for (name, times) in &mut programs {
            let server = lab::knot(knot, None);
            let mut command = match *name {
                "knotwork apply" => {
                    let site = dir.path().join("manifests");
                    if !site.exists() {
                        std::fs::create_dir(&site).expect("dir");
                        lab::manifests(&site, count);
                    }
                    let config = Site::new(server.addr);
                    let mut command = config.command(&["apply"]);
                    command.arg("-f").arg(site);
                    times.push(timed(&mut command, server.addr, count));
                    eprintln!("peers {count} {name}: {}", show(times[times.len() - 1]));
                    continue;
                }
                tool => {
                    let program = tool.split(' ').next().unwrap_or(tool);
                    let Some(found) = parts::find(program) else { continue };
                    let mut command = found.command();
                    command.args(["-v", "-y", &format!("hmac-sha256:{}:{}", KEYS[0].0, KEYS[0].1)]);
                    let all: &[_] = if tool.ends_with("A only") { &plain } else { &records };
                    command.arg(script(dir.path(), server.addr, all));
                    command
                }
            };
            times.push(timed(&mut command, server.addr, count));
            eprintln!("peers {count} {name}: {}", show(times[times.len() - 1]));
        }
    }
    let ours = median(&programs[0].1);
    for (name, times) in &programs {
        let _ = match times.is_empty() {
            true => writeln!(out, "| {} | {name} | missing on this machine | |", number(count)),
            false => {
                let took = median(times);
                writeln!(out, "| {} | {name} | {} | {:.2} |", number(count), show(took), ratio(took, ours))
            }
        };
    }
    if count > 10_000 {
        return;
    }
    let _ = match octodns() {
        Err(why) => writeln!(out, "| {} | octodns-sync (octodns-bind) | not measured: {why} | |", number(count)),
        Ok(octodns) => {
            let server = lab::knot(knot, None);
            let config = octodns_config(dir.path(), server.addr, &records);
            let mut command = Command::new(octodns);
            command.args(["--doit", "--force", "--config-file"]).arg(config);
            let took = timed(&mut command, server.addr, count);
            writeln!(
                out,
                "| {} | octodns-sync (octodns-bind) | {} | {:.1} |",
                number(count),
                show(took),
                ratio(took, ours)
            )
        }
    };
}

/// Runs to the end and checks that the last host stands in the zone.
fn timed(command: &mut Command, addr: SocketAddr, count: usize) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let from = Instant::now();
    let ran = command.output().expect("it runs");
    let took = from.elapsed();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command:?}: {}", &said[said.len().saturating_sub(300)..]);
    let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
    let name = format!("h{}.internal", count - 1);
    let Some(dig) = parts::find("dig") else { return took };
    let answer = dig.command().args(["+short", &format!("@{ip}"), "-p", &port, &name]).output().expect("dig runs");
    assert!(answer.stdout.starts_with(b"10."), "{command:?} left {name} out");
    took
}

fn text(rtype: RrType, data: &[u8]) -> String {
    rdata::to_text(rtype, data)
}

/// What nsupdate and knsupdate read.
fn script(dir: &Path, addr: SocketAddr, records: &[(String, u32, RrType, Box<[u8]>)]) -> PathBuf {
    let mut script = format!("server {} {}\nzone internal\n", addr.ip(), addr.port());
    let (mut waiting, mut octets) = (0, 0);
    for (name, ttl, rtype, data) in records {
        let size = name.len() + 12 + data.len();
        if waiting == 2000 || octets + size > 60_000 {
            script.push_str("send\n");
            (waiting, octets) = (0, 0);
        }
        let _ = writeln!(script, "update add {name} {ttl} {rtype} {}", text(*rtype, data));
        (waiting, octets) = (waiting + 1, octets + size);
    }
    script.push_str("send\n");
    let path = dir.join("script");
    std::fs::write(&path, script).expect("script");
    path
}

/// The program, installed from PyPI into a folder of its own outside the tree when it is not there yet.
fn octodns() -> Result<PathBuf, String> {
    let home = parts::cache().join("bench/octodns-1.22.0-bind-1.1.0");
    let program = home.join("bin/octodns-sync");
    if program.exists() {
        return Ok(program);
    }
    let run = |program: &Path, args: &[&str]| match Command::new(program).args(args).output() {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(format!("{} failed: {}", program.display(), String::from_utf8_lossy(&out.stderr).trim())),
        Err(error) => Err(format!("{}: {error}", program.display())),
    };
    run(Path::new("python3"), &["-m", "venv", &home.display().to_string()])?;
    let pip = home.join("bin/pip");
    for attempt in 1.. {
        match run(&pip, &["install", "-q", "octodns==1.22.0", "octodns-bind==1.1.0"]) {
            Ok(()) => break,
            Err(why) if attempt == 3 => return Err(why),
            Err(_) => std::thread::sleep(Duration::from_secs(5)),
        }
    }
    Ok(program)
}

fn octodns_config(dir: &Path, addr: SocketAddr, records: &[(String, u32, RrType, Box<[u8]>)]) -> PathBuf {
    let mut zone = String::from(
        "'':\n  type: NS\n  ttl: 300\n  value: ns0.internal.\nns0:\n  type: A\n  ttl: 300\n  value: 10.0.0.2\n",
    );
    for (name, ttl, rtype, data) in records {
        let label = name.trim_end_matches('.').trim_end_matches("internal").trim_end_matches('.');
        let value = text(*rtype, data).trim_matches('"').to_owned();
        let _ = writeln!(zone, "{label}:\n  type: {rtype}\n  ttl: {ttl}\n  value: {value}");
    }
    let folder = dir.join("octodns");
    std::fs::create_dir_all(&folder).expect("dir");
    std::fs::write(folder.join("internal.yaml"), zone).expect("zone");
    let config = format!(
        "providers:\n  config:\n    class: octodns.provider.yaml.YamlProvider\n    directory: {}\n    enforce_order: false\n  \
         knot:\n    class: octodns_bind.Rfc2136Provider\n    host: {}\n    port: {}\n    key_name: {}\n    key_secret: {}\n    \
         key_algorithm: hmac-sha256\n    update_batch_size: 400\nzones:\n  internal.:\n    sources: [config]\n    targets: [knot]\n",
        folder.display(),
        addr.ip(),
        addr.port(),
        KEYS[0].0,
        KEYS[0].1,
    );
    let path = dir.join("octodns.yaml");
    std::fs::write(&path, config).expect("config");
    path
}
