//! Booted machines that the tests of one program share, one for each release; each test leaves its machine as it was.

use std::sync::{Mutex, OnceLock, PoisonError};

use super::machine::{Machine, VERSIONS};

/// Never dropped: a lab ends with the program that started it. One on which a test failed is not used again.
static MACHINES: [OnceLock<Mutex<Option<Machine>>>; 3] = [const { OnceLock::new() }; 3];

/// Everything that a change may touch, and what resolved holds.
pub fn state(machine: &mut Machine) -> String {
    machine.must(
        "cd / && find etc -path etc/ssl -prune -o -printf '%p %y %l %m %U:%G\\n' | sort; find etc -type f -exec sha256sum {} + | sort; \
         resolvectl dns; resolvectl domain; resolvectl default-route | grep ^Link",
    )
}

/// What of one state is not in the other.
pub fn changes(before: &str, after: &str) -> Vec<String> {
    let only = |sign: &str, one: &str, other: &str| {
        let lines = one.lines().filter(|line| !other.lines().any(|same| same == *line));
        lines.map(|line| format!("{sign} {line}")).collect::<Vec<_>>()
    };
    [only("-", before, after), only("+", after, before)].concat()
}

/// Runs a test on the machines of these releases; each must come out as it went in.
pub fn on(versions: &[u16], test: impl Fn(&mut Machine)) {
    for version in versions {
        let slot = VERSIONS.iter().position(|one| one == version).expect("one of the releases");
        let slot = MACHINES[slot].get_or_init(|| Mutex::new(None));
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut machine) = slot.take().or_else(|| Machine::boot(*version)) else { continue };
        rested(&mut machine);
        let before = state(&mut machine);
        test(&mut machine);
        rested(&mut machine);
        machine.must("knotwork host rollback");
        let left = changes(&before, &state(&mut machine));
        assert!(left.is_empty(), "{version}: not as before: {left:#?}");
        *slot = Some(machine);
    }
}

/// As if the restarts before had been long ago: nobody waits for them here, and systemd does not count them.
pub fn rested(machine: &mut Machine) {
    machine.must(
        "rm -f /var/lib/knotwork/host/restarts.json; systemctl reset-failed systemd-resolved 2> /dev/null || true",
    );
}

/// A policy of this name.
pub fn document(name: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: dns.knotwork.dev/v1alpha1\nkind: SplitDNSPolicy\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

/// Runs a `host` command on policies; gives its exit code and all it said.
pub fn with(machine: &mut Machine, command: &str, documents: &str) -> (i32, String) {
    machine.write("/root/policy.yaml", documents);
    rested(machine);
    machine.run(&format!("knotwork host {command} -f /root/policy.yaml"))
}

/// Applies a policy, which must succeed and leave nothing to do; gives what was said.
#[track_caller]
pub fn apply(machine: &mut Machine, spec: &str) -> String {
    let (code, text) = with(machine, "apply", &document("p", spec));
    assert_eq!(code, 0, "systemd {}: {spec}\n{text}", machine.version);
    let (code, plan) = machine.run("knotwork host plan");
    assert_eq!(code, 0, "systemd {}: it is not settled afterwards: {plan}", machine.version);
    text
}

/// What stands behind the link or `Global` in a listing of resolvectl, sorted.
pub fn shown(machine: &mut Machine, what: &str, at: &str) -> Vec<String> {
    let text = machine.must(&format!("resolvectl {what} | cat"));
    // Long lists go on in lines of their own.
    let begins = |line: &str| line.starts_with("Global:") || line.starts_with("Link ");
    let ours = |line: &&str| begins(line) && (line.starts_with(at) || line.contains(&format!("({at})")));
    let mut lines = text.lines().skip_while(|line| !ours(line));
    let first = lines.next().unwrap_or_else(|| panic!("{what} of {at}: {text}"));
    let (_, values) = first.split_once(':').unwrap_or_default();
    let more = lines.take_while(|line| !begins(line));
    let mut all: Vec<String> =
        values.split_whitespace().chain(more.flat_map(str::split_whitespace)).map(str::to_owned).collect();
    all.sort();
    all
}

/// Requires what resolvectl shows of a link or of `Global`.
#[track_caller]
pub fn shows(machine: &mut Machine, at: &str, wanted: &[(&str, &[&str])]) {
    for (what, values) in wanted {
        assert_eq!(shown(machine, what, at), *values, "systemd {}: {what} of {at}", machine.version);
    }
}
