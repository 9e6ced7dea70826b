//! F30: a host's change ends after every single one of its steps, and the next start makes the host whole: byte for byte
//! as before, or as declared. So does an undo, and a rollback.
//!
//! `KNOTWORK_HOST_STOP_AFTER=N` ends the real program (`src/resolved/fault.rs`). Every day each run tries a sixth of the
//! steps, another one each time (`KNOTWORK_SEED` says which); `KNOTWORK_TIER=full` tries all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::fleet::rested;
use support::machine::{self, Machine, VERSIONS};
use support::parts::{Tier, tier};

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

const POLICY: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: homelab}
spec:
  routes:
    - {name: lab, domains: [maas, homelab], servers: [192.168.4.53], failClosed: true}
  links:
    - {name: isp, match: {name: eth0}, kind: Regular, servers: [10.11.0.53], defaultRoute: true}
    - {name: inside, match: {name: eth1}, kind: Untrusted}
  hostsFile:
    - {address: 192.168.4.9, names: [chief-horse.maas]}
  probes:
    - {name: lab, query: pbs.maas, expect: {any: true}}
    - {name: world, query: example.com, expect: {any: true}}
";

const APPLY: &str = "knotwork host apply -f /root/policy.yaml";
/// What the unit of the boot runs.
const NEXT_START: &str = "knotwork host apply --accepted";
const ROLLBACK: &str = "knotwork host rollback";

/// Ends after one step.
const ABORTED: i32 = 134;

/// What a change may touch, and what resolved holds; names of unfinished files would stand in it, too.
fn state(machine: &mut Machine) -> String {
    machine.must(
        "cd / && find etc -path etc/ssl -prune -o -printf '%p %y %l %m %U:%G\\n' | sort; \
         find etc -type f -exec sha256sum {} + | sort; \
         resolvectl dns; resolvectl domain; resolvectl default-route | grep ^Link",
    )
}

/// One crash more for as long as there are steps.
struct Steps {
    /// Of how many one is tried.
    of: u32,
    first: u32,
}

impl Steps {
    fn new() -> Steps {
        let of = if tier() == Tier::Full { 1 } else { 6 };
        let seed = std::env::var("KNOTWORK_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(std::process::id);
        eprintln!("KNOTWORK_SEED={seed}");
        Steps { of, first: seed % of + 1 }
    }

    fn all(&self) -> impl Iterator<Item = u32> + use<> {
        (self.first..).step_by(self.of as usize)
    }
}

fn stopping(n: u32, command: &str) -> String {
    format!("KNOTWORK_HOST_STOP_AFTER={n} {command}")
}

/// The steps of a command that runs to its end, by name.
fn steps(machine: &mut Machine, command: &str) -> Vec<String> {
    rested(machine);
    let (code, text) = machine.run(&stopping(0, command));
    assert_eq!(code, 0, "{text}");
    text.lines().filter(|line| line.starts_with("step ")).map(str::to_owned).collect()
}

/// Ends a command after its step; false where it came to its end before.
fn crashes(machine: &mut Machine, n: u32, command: &str) -> Option<String> {
    rested(machine);
    let (code, text) = machine.run(&stopping(n, command));
    let line = text.lines().find(|line| line.contains("stopped after step")).map(str::to_owned);
    match line {
        Some(line) => {
            assert_eq!(code, ABORTED, "{text}");
            Some(line)
        }
        None => {
            assert_eq!(code, 0, "{command} with {n} steps\n{text}");
            None
        }
    }
}

/// The two states that a host may be in, as they look.
struct Whole {
    before: String,
    declared: String,
}

impl Whole {
    /// Runs the next start and looks; whether the host is as declared.
    fn is(&self, machine: &mut Machine, at: &str) -> bool {
        rested(machine);
        let (_, said) = machine.run(NEXT_START);
        self.looks(machine, at, &said)
    }

    fn looks(&self, machine: &mut Machine, at: &str, said: &str) -> bool {
        let version = machine.version;
        let is = state(machine);
        let declared = is == self.declared;
        if !declared {
            let from = |other: &str| {
                let more =
                    is.lines().filter(|line| !other.lines().any(|one| one == *line)).map(|line| format!("+{line}"));
                let less =
                    other.lines().filter(|line| !is.lines().any(|one| one == *line)).map(|line| format!("-{line}"));
                more.chain(less).collect::<Vec<_>>()
            };
            let (old, new) = (from(&self.before), from(&self.declared));
            assert!(is == self.before, "{version} {at}: not as before {old:#?}\nand not as declared {new:#?}\n{said}");
        }
        let (code, plan) = machine.run("knotwork host plan -f /root/policy.yaml");
        assert_eq!(code, if declared { 0 } else { 2 }, "{version} {at}\n{plan}\n{said}");
        let (_, status) = machine.run("knotwork host status");
        for word in ["changing", "waiting", "undoing", "partlyRolledBack"] {
            assert!(!status.contains(word), "{version} {at}\n{status}");
        }
        let (code, check) = machine.run("knotwork host check");
        assert_eq!(code == 0, declared, "{version} {at}: {check}");
        let (code, found) = machine.run("getent ahosts fresh.example.com || { resolvectl; false; }");
        assert_eq!(code, 0, "{version} {at}: resolves nothing: {found}\n{said}");
        declared
    }
}

/// A machine, and how it looks before and after.
fn whole(version: u16) -> Option<(Machine, Whole)> {
    let mut machine = Machine::boot(version)?;
    machine.write("/root/policy.yaml", POLICY);
    if version == 252 {
        // Debian 12's DHCP client tells resolved nothing; here somebody does, so that there is something to lose.
        machine.must("resolvectl dns eth0 10.11.0.53; resolvectl dns eth1 192.168.4.53; resolvectl domain eth1 maas");
    }
    let before = state(&mut machine);
    machine.must(APPLY);
    let declared = state(&mut machine);
    assert_ne!(before, declared);
    rested(&mut machine);
    machine.must(ROLLBACK);
    assert_eq!(state(&mut machine), before);
    Some((machine, Whole { before, declared }))
}

#[test]
fn f30_apply_ends_after_every_step() {
    for version in VERSIONS {
        let Some((mut machine, whole)) = whole(version) else { continue };
        let (mut tried, mut stood) = (0, 0);
        for n in Steps::new().all() {
            let Some(at) = crashes(&mut machine, n, APPLY) else { break };
            tried += 1;
            if whole.is(&mut machine, &at) {
                stood += 1;
                rested(&mut machine);
                machine.must(ROLLBACK);
            }
        }
        rested(&mut machine);
        machine.must(ROLLBACK);
        let names = steps(&mut machine, APPLY);
        eprintln!(
            "{version}: apply has {} steps; {tried} ended there, {stood} of them stood\n{}",
            names.len(),
            names.join("\n")
        );
        assert!(names.len() > 20 && tried >= names.len() / 6, "{names:#?}");
    }
}

#[test]
fn f30_an_undo_ends_after_every_step() {
    for version in VERSIONS {
        let Some((mut machine, whole)) = whole(version) else { continue };
        // As late as can be: everything is changed, and nothing stands.
        let names = steps(&mut machine, APPLY);
        let late = names.iter().position(|name| name.contains("record.json")).unwrap() as u32 + 4;
        rested(&mut machine);
        machine.must(ROLLBACK);
        let mut tried = 0;
        for n in Steps::new().all() {
            crashes(&mut machine, late, APPLY).unwrap();
            rested(&mut machine);
            let (_, text) = machine.run(&stopping(n, NEXT_START));
            let Some(at) = text.lines().find(|line| line.contains("stopped after step")).map(str::to_owned) else {
                assert!(!whole.looks(&mut machine, "undone without a crash", &text));
                break;
            };
            tried += 1;
            assert!(!whole.is(&mut machine, &at), "{version} {at}: an undo that began is ended");
        }
        eprintln!("{version}: an undo ended after {tried} steps");
        assert!(tried > 2);
    }
}

#[test]
fn f30_rollback_ends_after_every_step() {
    for version in VERSIONS {
        let Some((mut machine, whole)) = whole(version) else { continue };
        for command in [ROLLBACK, "knotwork host rollback --transaction last"] {
            let mut tried = 0;
            let mut declared = false;
            for n in Steps::new().all() {
                if !declared {
                    rested(&mut machine);
                    machine.must(APPLY);
                }
                let Some(at) = crashes(&mut machine, n, command) else { break };
                tried += 1;
                declared = whole.is(&mut machine, &format!("{command}: {at}"));
            }
            eprintln!("{version}: {command} ended after {tried} steps");
            assert!(tried > 2);
        }
    }
}

/// The dead man's own timer, without any next start.
#[test]
fn f30_the_dead_man_ends_what_nobody_does() {
    for version in VERSIONS {
        let Some((mut machine, whole)) = whole(version) else { continue };
        let names = steps(&mut machine, APPLY);
        rested(&mut machine);
        machine.must(ROLLBACK);
        let late = names.iter().position(|name| name.contains("record.json")).unwrap() as u32;
        crashes(&mut machine, late, &format!("{APPLY} --dead-man 1s")).unwrap();
        machine.until("! knotwork host status | grep -q changing");
        let said = machine.until("knotwork host status | grep -v undoing | grep rolledBack");
        assert!(!whole.looks(&mut machine, "the dead man", &said));
    }
}
