//! What only shows in resolved itself: lines of the hosts block that it answers, and a resolved that systemd gave up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::time::Duration;

use support::fleet::{apply, document, on, with};
use support::machine::{self, VERSIONS};
use support::parts::{Tier, tier};

/// The far side of every network: this program again, in the labs' other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

fn some() -> &'static [u16] {
    if tier() == Tier::Full { &VERSIONS } else { &VERSIONS[1..2] }
}

const POLICY: &str = "routes: [{name: lab, domains: [maas], servers: [192.168.4.53], failClosed: true}]
links: [{name: isp, match: {name: eth0}, servers: [10.11.0.53]}, {name: inside, match: {name: eth1}, kind: Untrusted}]
";

fn hosts(address: &str) -> String {
    format!("{POLICY}hostsFile: [{{address: {address}, names: [nas.maas, nas]}}]\n")
}

#[test]
fn f36_the_hosts_block_is_answered_within_two_seconds() {
    on(some(), |machine| {
        // resolved looks at the file when it is asked, and no oftener than every two seconds.
        for (edit, address) in ["192.168.4.77", "192.168.4.78", "192.168.4.79"].into_iter().enumerate() {
            apply(machine, &hosts(address));
            let script = format!(
                "a=${{EPOCHREALTIME/./}}; until resolvectl query --legend=no nas.maas 2>/dev/null | grep -qw {address}; do [ $(( ${{EPOCHREALTIME/./}} - a )) -lt 60000000 ] || exit 1; done; echo $(( ${{EPOCHREALTIME/./}} - a ))"
            );
            let took = Duration::from_micros(machine.must(&script).trim().parse().unwrap());
            eprintln!("systemd {}: edit {edit} of the hosts block is answered after {took:?}", machine.version);
            // On a machine of our own; a shared one may be slow at anything.
            let bound = if std::env::var_os("KNOTWORK_BOUNDS").is_some() { 2200 } else { 30_000 };
            assert!(took <= Duration::from_millis(bound), "{took:?}");
        }
        // The machine's own line is as it was.
        machine.must("getent hosts $(hostname)");
    });
}

#[test]
fn r15_a_resolved_that_systemd_gave_up_is_brought_back() {
    on(some(), |machine| {
        apply(machine, POLICY);
        // Others restart it until systemd has had enough.
        let storm = "for i in 1 2 3 4 5 6 7 8; do systemctl restart systemd-resolved 2> /dev/null; done; systemctl show -P Result systemd-resolved";
        assert_eq!(machine.must(storm).trim(), "start-limit-hit");
        assert_ne!(machine.run("systemctl is-active --quiet systemd-resolved").0, 0);
        let (code, text) = machine.run("knotwork host check");
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("systemd-resolved does not run") && text.contains("it is started"), "{text}");
        // One command brings it back, with the change that it was to make.
        let (code, text) = with(machine, "apply", &document("p", &hosts("192.168.4.80")));
        assert_eq!(code, 0, "systemd {}: {text}", machine.version);
        machine.must("systemctl is-active --quiet systemd-resolved && resolvectl query --cache=no pbs.maas && knotwork host check");

        // And so does the agent, by itself.
        machine.must("(setsid sh -c 'echo $$ > /root/agent.pid; exec knotwork agent --listen 127.0.0.1:9471 --poll 60m' > /root/agent.log 2>&1 &)");
        machine.until("exec 3<>/dev/tcp/127.0.0.1/9471; printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3; head -n1 <&3 | grep -q 200");
        machine.must("for i in 1 2 3 4 5 6 7 8; do systemctl restart systemd-resolved 2> /dev/null; done; true");
        machine.until("systemctl is-active --quiet systemd-resolved && resolvectl query --cache=no pbs.maas && knotwork host check");
        machine.must("kill -TERM $(cat /root/agent.pid)");
        machine.until("! kill -0 $(cat /root/agent.pid) 2> /dev/null");
    });
}
