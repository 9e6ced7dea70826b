//! What a host may be short of: a resolver that tells what its links have, a bus, a timer, a carrier, rest between restarts.
//! What is not known is never taken for none; a host is as before or as declared, and what was before us is not forgotten.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::fleet::rested;
use support::machine::{self, Machine, VERSIONS};

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

const GOOD: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: homelab}
spec:
  routes:
    - {name: lab, domains: [maas, homelab], servers: [192.168.4.53], failClosed: true}
  links:
    - {name: isp, match: {name: eth0}, kind: Regular, servers: [10.11.0.54], defaultRoute: true}
    - {name: inside, match: {name: eth1}, kind: Untrusted}
";

/// The same without a word of links.
const BARE: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: homelab}
spec:
  hostsFile: [{address: 192.168.4.9, names: [chief-horse.maas]}]
";

const BEFORE: &str = "resolvectl dns eth0 10.11.0.53; resolvectl domain eth0 isp.test; resolvectl dns eth1 192.168.4.53; resolvectl domain eth1 maas";

fn links(machine: &mut Machine) -> String {
    machine.must("for what in dns domain default-route; do resolvectl $what | grep ^Link | sort; done")
}

/// How resolved is made not to tell, and how it is made to tell again where we do not do so ourselves.
const STATES: [(&str, &str, &str); 4] = [
    ("stopped", "systemctl stop systemd-resolved", ""),
    ("hung", "systemctl kill -s STOP systemd-resolved", "systemctl kill -s CONT systemd-resolved"),
    (
        "off the bus",
        "systemctl restart dbus.service; until busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus NameHasOwner s org.freedesktop.systemd1 2> /dev/null | grep -q true; do sleep 0.1; done",
        "",
    ),
    ("without a bus", "mv /run/dbus /run/dbus.away", "mv /run/dbus.away /run/dbus"),
];

#[test]
fn what_links_have_and_nobody_can_read_is_never_taken_for_none() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        machine.write("/root/good.yaml", GOOD);
        machine.write("/root/bare.yaml", BARE);
        machine.must(BEFORE);
        let before = links(&mut machine);
        for (state, break_, mend) in STATES {
            for command in ["rollback", "apply -f /root/bare.yaml"] {
                let what = format!("systemd {version}, {command} while resolved is {state}");
                rested(&mut machine);
                machine.must("knotwork host apply -f /root/good.yaml");
                let declared = links(&mut machine);
                assert_ne!(declared, before, "{what}");
                rested(&mut machine);
                machine.must(break_);
                let (code, text) = machine.run(&format!("timeout 300 knotwork host {command}"));
                eprintln!("{what}: exit {code}");
                if !mend.is_empty() {
                    machine.must(mend);
                    assert_eq!(code, 3, "{what}: {text}");
                    assert!(text.contains("NotRead: eth0, eth1") && text.contains("try again"), "{what}: {text}");
                    assert!(text.contains("nothing was changed"), "{what}: {text}");
                }
                // Refused or done, and never with links that have nothing.
                machine.resolved_up();
                let now = links(&mut machine);
                let wanted = if code == 0 { &before } else { &declared };
                assert_eq!(&now, wanted, "{what}: {text}");
                assert!(mend.is_empty() || code == 3, "{what}: {text}");
                assert!(!mend.is_empty() || code == 0, "{what}: {text}");
                // What was before us is still known.
                rested(&mut machine);
                machine.must("knotwork host rollback");
                assert_eq!(links(&mut machine), before, "{what}: {text}");
            }
        }
    }
}

/// F30 where no systemd can be reached: nobody undoes it but the next start.
#[test]
fn without_a_timer_the_next_start_undoes_what_was_left_in_the_middle() {
    let Some(mut machine) = Machine::boot(257) else { return };
    machine.write("/root/bare.yaml", BARE);
    let before = machine.must("sha256sum /etc/hosts");
    let apply = "knotwork host apply -f /root/bare.yaml --bus unix:path=/run/nowhere";
    // The first one copies the program, too, and has more steps than those after it.
    let mut steps = 0;
    for _ in 0..2 {
        let (code, text) = machine.run(&format!("KNOTWORK_HOST_STOP_AFTER=0 {apply}"));
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("the next start undoes it (no timer: "), "{text}");
        steps = text.lines().filter(|line| line.starts_with("step ")).count();
        machine.must("knotwork host rollback --bus unix:path=/run/nowhere");
        assert_eq!(machine.must("sha256sum /etc/hosts"), before);
    }
    let mut halves = 0;
    for n in 1..=steps {
        let (code, text) = machine.run(&format!("KNOTWORK_HOST_STOP_AFTER={n} {apply}"));
        assert_ne!(code, 0, "{text}");
        let status = machine.run("knotwork host status -o json").1;
        if machine.must("sha256sum /etc/hosts") != before && status.contains("\"changing\"") {
            halves += 1;
            assert!(status.contains("\"deadMan\": \"NextStart\""), "{n}: {status}");
        }
        assert_eq!(machine.must("systemctl list-timers --all 'knotwork-*' --no-legend"), "", "{n}: no timer");
        machine.run("knotwork host rollback --bus unix:path=/run/nowhere");
        assert_eq!(machine.must("sha256sum /etc/hosts"), before, "{n}: {text}");
        let (_, status) = machine.run("knotwork host status");
        assert!(!status.contains("changing") && !status.contains("undoing"), "{n}: {status}");
    }
    assert!(halves > 0, "it never ended in the middle");
}

/// An agent on a policy, and what it says is the matter.
fn agent(machine: &mut Machine, policy: &str) {
    machine.must("mkdir -p /root/policies");
    machine.write("/root/policies/p.yaml", policy);
    machine.must("(setsid sh -c 'echo $$ > /root/agent.pid; exec knotwork agent -f /root/policies --listen 127.0.0.1:9472 --poll 60m' > /root/agent.log 2>&1 &)");
    machine.until(
        "exec 3<>/dev/tcp/127.0.0.1/9472; printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3; head -n1 <&3 | grep -q 200",
    );
    tells(machine, "knotwork_host_good 1");
}

const METRICS: &str = "(exec 3<>/dev/tcp/127.0.0.1/9472; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3)";

#[track_caller]
fn tells(machine: &mut Machine, line: &str) {
    machine.until(&format!("{METRICS} | grep -qF '{line}'"));
}

fn stop(machine: &mut Machine) {
    machine.must("kill -TERM $(cat /root/agent.pid)");
    machine.until("! kill -0 $(cat /root/agent.pid) 2> /dev/null");
}

#[test]
fn a_link_without_carrier_is_said_and_no_longer_when_it_has_one() {
    let Some(mut machine) = Machine::boot(257) else { return };
    agent(&mut machine, GOOD);
    machine.carrier("eth1", false);
    tells(&mut machine, "knotwork_host_problem{reason=\"NoCarrier\",at=\"link eth1\"} 1");
    tells(&mut machine, "knotwork_host_good 0");
    machine.carrier("eth1", true);
    machine.until(&format!("! {METRICS} | grep -q NoCarrier"));
    tells(&mut machine, "knotwork_host_good 1");
    stop(&mut machine);
}

/// R15: five starts within ten seconds and systemd gives resolved up. Whoever makes us restart it waits.
#[test]
fn r15_restarts_that_others_make_necessary_keep_their_distance() {
    let Some(mut machine) = Machine::boot(252) else { return };
    rested(&mut machine);
    agent(&mut machine, GOOD);
    let started = "systemctl show -P ExecMainStartTimestampMonotonic systemd-resolved";
    let at = |machine: &mut Machine| -> u64 { machine.must(started).trim().parse().unwrap() };
    let mut all = vec![at(&mut machine)];
    let mut waits = 0;
    for _ in 0..3 {
        let last = *all.last().unwrap();
        // The file is back at once, and resolved, which may have read its absence, is told as soon as may be.
        machine.must("rm /etc/systemd/resolved.conf.d/50-knotwork.conf");
        machine.until("test -e /etc/systemd/resolved.conf.d/50-knotwork.conf");
        waits += machine
            .run(&format!("for i in 1 2 3 4 5; do {METRICS} | grep -q RestartWaits && exit 0; sleep 0.2; done; exit 1"))
            .0
            ^ 1;
        machine.until(&format!("[ $({started}) -gt {last} ]"));
        machine.until(&format!("! {METRICS} | grep -q RestartWaits"));
        all.push(at(&mut machine));
    }
    let rests: Vec<u64> = all.windows(2).map(|two| (two[1] - two[0]) / 1_000_000).collect();
    eprintln!("resolved was restarted after {rests:?} s, {waits} times with RestartWaits");
    // Told in whole seconds, and a start takes its time.
    assert!(rests.iter().all(|rest| *rest >= 13), "{rests:?}\n{}", machine.must("cat /root/agent.log"));
    assert!(waits > 0, "{}", machine.must("cat /root/agent.log"));
    tells(&mut machine, "knotwork_host_good 1");
    stop(&mut machine);
}

/// R23: the bus is away for a while and comes back as another one; the agent finds it, and so does resolved by its hand.
#[test]
fn r23_after_the_bus_was_away_the_agent_holds_the_host_again() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        agent(&mut machine, GOOD);
        machine.must(": > /root/declared; resolvectl dns eth0 > /root/declared");
        machine.must("mv /run/dbus /run/dbus.away; systemctl kill -s KILL dbus.service");
        tells(&mut machine, "knotwork_host_problem{reason=\"NoBus\"");
        tells(&mut machine, "knotwork_host_bus_up 0");
        // Files are held without one.
        machine.must("rm /etc/resolv.conf; echo nameserver 9.9.9.9 > /etc/resolv.conf");
        machine.until("grep -q 127.0.0.53 /etc/resolv.conf");
        machine.must("mv /run/dbus.away /run/dbus; systemctl restart dbus.socket dbus.service");
        tells(&mut machine, "knotwork_host_bus_up 1");
        machine.until("resolvectl dns eth0 | diff /root/declared - && knotwork host check");
        machine.must("resolvectl dns eth0 9.9.9.9");
        machine.until("resolvectl dns eth0 | diff /root/declared -");
        tells(&mut machine, "knotwork_host_good 1");
        stop(&mut machine);
        eprintln!("systemd {version}: held again");
    }
}

/// What a person reads: a verdict where it is refused, true words of what is given back, nothing written for nothing.
#[test]
fn the_words_at_the_end_say_what_became_of_the_host() {
    let Some(mut machine) = Machine::boot(257) else { return };
    let memory = "find /var/lib/knotwork -type f ! -name '*lock*' 2> /dev/null | sort";
    let (code, text) = machine.run("knotwork host rollback");
    assert!(code == 0 && text.contains("nothing to do") && !text.contains("begins"), "{text}");
    assert_eq!(machine.must(memory), "", "{text}");

    machine.write(
        "/root/wrong.yaml",
        &BARE.replace("hostsFile:", "global: {servers: [192.168.4.53, 1.1.1.1], domains: [~maas]}\n  hostsFile:"),
    );
    let (code, text) = machine.run("knotwork host apply -f /root/wrong.yaml");
    assert!(code == 3 && text.trim_end().ends_with("refused: nothing was changed"), "{text}");

    machine.write("/root/good.yaml", GOOD);
    machine.must("(setsid knotwork host apply -f /root/good.yaml --confirm-within 60s > /root/out 2>&1 &)");
    machine.until("grep -q 'host confirm' /root/out");
    assert!(machine.must("cat /root/out").contains("* resolved reads its files"));
    let (code, text) = machine.run("knotwork host status");
    assert!(code == 3 && text.contains("no policy counts on this host yet"), "{text}");
    let left = text.split("within ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(left.is_some_and(|left| (1..=60).contains(&left)), "{text}");
    machine.must("knotwork host confirm");
    machine.until("grep -q stands /root/out");
    let text = machine.must("knotwork host status");
    assert!(text.contains("policies: homelab (kept in /var/lib/knotwork/host/accepted.yaml)"), "{text}");

    rested(&mut machine);
    let text = machine.must("knotwork host rollback");
    for words in [
        "removed /etc/systemd/resolved.conf.d/50-knotwork.conf",
        "link eth0 is as it was",
        "done: this host is as it was",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("  wrote ") && !text.contains(" is as declared"), "{text}");
}
