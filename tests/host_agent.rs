//! The agent on whole machines, by the unit that ships: what anybody does to the host is put back, in bounded time, and
//! no private name is asked of the wrong server meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::time::Duration;

use support::machine::{self, INSIDE, Machine, VERSIONS, at};
use support::resolved::{Log, machine_state};

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
    - {name: lab, domains: [maas, homelab], servers: [192.168.4.53], reverseFor: [192.168.4.0/24], failClosed: true}
  links:
    - {name: isp, match: {name: eth0}, kind: Regular, servers: [10.11.0.53], defaultRoute: true}
    - {name: inside, match: {name: eth1}, kind: Untrusted}
  probes:
    - {name: lab, query: pbs.maas, expect: {any: true}}
    - {name: world, query: example.com, expect: {any: true}}
";

/// Runs the shipped unit with this time between slow looks; waits until it says that it is ready, which it is after its first change.
fn start(machine: &mut Machine, policy: &str, poll: &str) {
    let unit = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/systemd/knotwork-agent.service"));
    machine.must("mkdir -p /etc/knotwork/policies");
    machine.write("/etc/knotwork/policies/policy.yaml", policy);
    machine.write("/etc/systemd/system/knotwork-agent.service", &unit.unwrap());
    machine.must("mkdir -p /etc/systemd/system/knotwork-agent.service.d");
    machine.write(
        "/etc/systemd/system/knotwork-agent.service.d/quick.conf",
        &format!("[Service]\nExecStart=\nExecStart=/usr/local/bin/knotwork agent -f /etc/knotwork/policies --listen 127.0.0.1:9469 --poll {poll}\n"),
    );
    machine.must("systemctl daemon-reload && systemctl enable knotwork-agent 2>&1");
    let (code, text) = machine.run("systemctl start knotwork-agent");
    assert_eq!(code, 0, "{text}\n{}", journal(machine));
    machine.must("knotwork host check");
}

fn journal(machine: &mut Machine) -> String {
    machine.run("systemctl status knotwork-agent --no-pager -n 0; journalctl -u knotwork-agent --no-pager -o cat").1
}

/// The value of a line of the metrics.
fn metric(machine: &mut Machine, line: &str) -> f64 {
    let all = machine.must("exec 3<>/dev/tcp/127.0.0.1/9469; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3");
    let value = all.lines().find_map(|own| own.strip_prefix(line).and_then(|rest| rest.trim().parse().ok()));
    value.unwrap_or(f64::NAN)
}

/// What a program that reads resolv.conf would ask is right.
const RIGHT: &str = "[ \"$(readlink /etc/resolv.conf)\" = ../run/systemd/resolve/stub-resolv.conf ] && grep -q '^nameserver 127.0.0.53' /etc/resolv.conf && [ \"$(grep -c ^nameserver /etc/resolv.conf)\" = 1 ]";

/// Settings of both links, without their numbers: a link that was made anew has another one.
const LINKS: &str = "(resolvectl dns eth0; resolvectl domain eth0; resolvectl domain eth1; resolvectl default-route eth0; resolvectl default-route eth1) | sed 's/^Link [0-9]* //'";

/// Does something to the machine and polls in there, without a pause, until something is so again. Gives how long that
/// took, by the machine's own clock.
fn until_right(machine: &mut Machine, what: &str, right: &str) -> Duration {
    let script = format!(
        "{what}\na=${{EPOCHREALTIME/./}}\nuntil {right}; do [ $(( (${{EPOCHREALTIME/./}} - a) / 1000000 )) -lt 90 ] || exit 1; done\necho $(( ${{EPOCHREALTIME/./}} - a ))\n"
    );
    machine.write("/root/until.sh", &script);
    let (code, text) = machine.run("bash /root/until.sh 2>/dev/null");
    assert_eq!(code, 0, "{text}: {what}: not right again\n{}", journal(machine));
    Duration::from_micros(text.trim().lines().last().unwrap().parse().unwrap())
}

/// Far below the slow look, far above what it takes: whether the watch works, on a machine that is shared and noisy. What
/// it takes is told, and held to the design's bounds where `KNOTWORK_BOUNDS` says that nothing else runs.
fn soon(machine: &mut Machine, bound: Duration, what: &str, right: &str) {
    let mut all: Vec<Duration> = Vec::new();
    for _ in 0..3 {
        all.push(until_right(machine, what, right));
        // Only ten of these within five seconds are answered at once.
        std::thread::sleep(Duration::from_secs(1));
    }
    told(machine, bound, what, &all);
}

fn told(machine: &mut Machine, bound: Duration, what: &str, all: &[Duration]) {
    eprintln!("systemd {}: {what}: right again after {all:?}", machine.version);
    let bound = if std::env::var_os("KNOTWORK_BOUNDS").is_some() { bound } else { Duration::from_secs(60) };
    assert!(all.iter().all(|took| *took <= bound), "{what}: {all:?}\n{}", journal(machine));
}

/// Asks for private names through resolved without end, as programs of the host do; their numbers grow, also over a boot.
const ASKER: &str = "echo $$ > /root/asker.pid; n=$(cat /root/asked 2> /dev/null || echo 0); while :; do n=$((n+1)); echo $n > /root/asked.new; mv /root/asked.new /root/asked; resolvectl query --cache=no p$n.maas; resolvectl query --cache=no p$n.homelab; resolvectl query --cache=no 192.168.4.$((n % 250 + 1)); sleep 0.02; done";

/// The number that the asker has come to.
fn asked_so_far(machine: &mut Machine) -> u64 {
    machine.must("cat /root/asked").trim().parse().unwrap()
}

/// The number of a name that the asker asked for.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix('p')?.split('.').next()?.parse().ok()
}

/// Reads resolv.conf and asks whoever is named there, as programs without nss-resolve do.
const READER: &str = r"echo $$ > /root/reader.pid; while :; do while read -r word server rest; do [ $word = nameserver ] && printf '\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04peek\x04maas\x00\x00\x01\x00\x01' > /dev/udp/$server/53; done < /etc/resolv.conf; done";

fn drift(version: u16) {
    let Some(mut machine) = Machine::boot(version) else { return };
    // `.maas` goes to its server before us, too: so it must at every moment of the change.
    machine.must(
        "resolvectl dns eth0 10.11.0.53; resolvectl default-route eth0 yes; resolvectl domain eth1 '~maas'; resolvectl default-route eth1 no; resolvectl dns eth1 192.168.4.53",
    );
    machine.asked();
    machine.write("/root/asker.sh", ASKER);
    machine.must("(setsid bash /root/asker.sh > /root/asker.log 2>&1 &)");
    machine.until("[ $(cat /root/asked) -gt 5 ]");
    // Nothing of this is found by the slow look.
    start(&mut machine, POLICY, "60m");
    let first = asked_so_far(&mut machine) + 1;
    machine.until(&format!("[ $(cat /root/asked) -gt {first} ]"));
    let changing = machine.asked();
    machine.must(&format!("{LINKS} > /root/declared"));
    let is_declared = format!("diff /root/declared <({LINKS})");
    let all_good = format!("knotwork host check && {is_declared}");

    // R26, R27: in place, by another file, by another link, by nothing.
    let resolv_conf = Duration::from_millis(100);
    for what in [
        "echo nameserver 9.9.9.9 > /etc/resolv.conf",
        "rm /etc/resolv.conf; echo nameserver 9.9.9.9 > /etc/resolv.conf",
        "echo nameserver 9.9.9.9 > /etc/resolv.conf.new; mv /etc/resolv.conf.new /etc/resolv.conf",
        "ln -sfn /etc/hostname /etc/resolv.conf",
        // The link is right and leads to nothing: programs would ask this machine itself.
        "rm /run/systemd/resolve/stub-resolv.conf",
        "rm /etc/resolv.conf",
    ] {
        soon(&mut machine, resolv_conf, what, RIGHT);
        machine.until(&all_good);
    }
    // R25: servers that somebody sets give a signal, domains and default routes give none: they are found with it.
    let rest = Duration::from_millis(500);
    soon(
        &mut machine,
        rest,
        "resolvectl default-route eth1 yes; resolvectl domain eth1 '~wrong'; resolvectl dns eth0 9.9.9.9",
        &is_declared,
    );
    // R22, from when resolved itself is there again.
    machine.kill_resolved();
    let took = until_right(&mut machine, "true", &is_declared);
    told(&mut machine, rest, "resolved is there again after SIGKILL", &[took]);
    machine.until(&all_good);
    // Stopped, it is started again: by the agent, or by the next program that asks (then systemd cancels the stop).
    machine.run("systemctl stop systemd-resolved");
    machine.until(&all_good);
    // R20, from when the link has its lease.
    machine.recreate_link("eth0");
    let took = until_right(&mut machine, "true", &is_declared);
    told(&mut machine, rest, "eth0 was made anew", &[took]);
    machine.until(&all_good);
    for link in ["eth0", "eth1"] {
        machine.renew_dhcp(link);
        let took = until_right(&mut machine, "true", &format!("{RIGHT} && {is_declared}"));
        told(&mut machine, rest, "a lease was renewed", &[took]);
        machine.until(&all_good);
    }
    assert_eq!(metric(&mut machine, "knotwork_host_good"), 1.0, "{}", journal(&mut machine));
    // A boot: the unit is enabled.
    machine.reboot();
    machine.until(&format!("systemctl is-active knotwork-agent && {all_good}"));
    machine.must("(setsid bash /root/asker.sh > /root/asker.log 2>&1 &)");
    let booted = asked_so_far(&mut machine);
    machine.until(&format!("[ $(cat /root/asked) -gt {} ]", booted + 5));
    machine.must("systemctl stop knotwork-agent");
    let under = machine.asked();
    let last = asked_so_far(&mut machine);
    machine.must("rm -f /var/lib/knotwork/host/restarts.json; knotwork host rollback");
    let after = asked_so_far(&mut machine);
    machine.until(&format!("[ $(cat /root/asked) -gt {} ]", after + 5));
    machine.must("kill $(cat /root/asker.pid)");
    let back = machine.asked();

    // Not one private name at the wrong server: `.maas` from before the first change until after the rollback, the others from
    // the one until the other.
    let is_maas = |name: &str| name.ends_with(".maas");
    let is_private =
        |name: &str| is_maas(name) || name.ends_with(".homelab") || name.ends_with(".4.168.192.in-addr.arpa");
    let is_under = |name: &str| is_maas(name) || name.ends_with(".homelab") && number(name).is_some_and(|n| n < last);
    let of = |log: &Log, is_private: &dyn Fn(&str) -> bool| -> Log {
        log.iter().filter(|(_, name, _)| is_private(name)).cloned().collect()
    };
    let phases = [
        ("the first change", of(&changing, &is_maas)),
        ("what was done to it", of(&under, &is_private)),
        ("the rollback", of(&back, &is_under)),
    ];
    let mut all = 0;
    for (during, private) in phases {
        let wrong: Vec<_> = private.iter().filter(|(by, ..)| *by != at(INSIDE)).collect();
        eprintln!("{version}, {during}: {} private names, {} asked of the wrong server", private.len(), wrong.len());
        assert!(wrong.is_empty(), "{version}, {during}: {wrong:?}\n{}", journal(&mut machine));
        all += private.len();
    }
    assert!(all > 100, "the asker asked: {all}");

    // What is read from a trampled resolv.conf is outside of the promise: counted.
    machine.must("systemctl start knotwork-agent");
    machine.write("/root/reader.sh", READER);
    machine.must("(setsid bash /root/reader.sh > /dev/null 2>&1 &)");
    let took = until_right(&mut machine, "rm /etc/resolv.conf; echo nameserver 9.9.9.9 > /etc/resolv.conf", RIGHT);
    machine.must("kill $(cat /root/reader.pid)");
    let leaked = machine.asked().iter().filter(|(by, name, _)| name == "peek.maas" && *by == at("9.9.9.9")).count();
    eprintln!(
        "{version}: a program that reads resolv.conf without a pause asked the wrong server in {leaked} of these {took:?} (0 or 1: names are counted once)"
    );

    machine.until("knotwork host check");
    let (code, text) = machine.run("knotwork host rollback");
    assert!(code == 1 && text.contains("systemctl stop knotwork-agent"), "{text}");
    machine.must("systemctl stop knotwork-agent && knotwork host rollback");
}

#[test]
fn r20_to_r27_whatever_is_done_to_a_host_of_252_is_put_back() {
    drift(VERSIONS[0]);
}

#[test]
fn r20_to_r27_whatever_is_done_to_a_host_of_257_is_put_back() {
    drift(VERSIONS[1]);
}

#[test]
fn r20_to_r27_whatever_is_done_to_a_host_of_262_is_put_back() {
    drift(VERSIONS[2]);
}

/// Policies come and go while the agent runs; those that do not stand change nothing.
#[test]
fn a_policy_that_does_not_stand_leaves_the_last_one_in_force() {
    let before_all = machine_state();
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        start(&mut machine, POLICY, "2s");
        machine.must(&format!("{LINKS} > /root/declared"));
        let is_declared = format!("diff /root/declared <({LINKS})");
        let says = |machine: &mut Machine, reason: &str| {
            machine.until(&format!("systemctl show -P StatusText knotwork-agent | grep -q '{reason}'"));
        };
        let file = "/etc/knotwork/policies/policy.yaml";
        for (reason, text) in [
            ("PolicyBroken", POLICY.replace("192.168.4.53", "192.168.4.530")),
            ("PolicyBroken", POLICY[..POLICY.len() / 2].to_owned()),
            ("LintRefused", "apiVersion: dns.knotwork.dev/v1alpha1\nkind: SplitDNSPolicy\nmetadata: {name: runbook}\nspec:\n  global: {servers: [192.168.4.53, 1.1.1.1], domains: [maas, homelab]}\n".to_owned()),
            ("ProbeFailed", POLICY.replace("[10.11.0.53]", "[10.11.0.54]").replace("query: pbs.maas, expect: {any: true}", "query: pbs.maas, expect: {addresses: [192.0.2.99]}")),
        ] {
            machine.write(file, &text);
            says(&mut machine, reason);
            // What stood is held meanwhile.
            machine.must("resolvectl domain eth1 '~wrong'");
            machine.until(&format!("{is_declared} && {RIGHT}"));
        }
        // Taken away altogether: nothing is restored by absence.
        machine.must(&format!("rm {file}"));
        says(&mut machine, "PolicyBroken");
        machine.must(&is_declared);
        // Another one that stands.
        machine.write(file, &POLICY.replace("[10.11.0.53]", "[10.11.0.54]"));
        machine.until("resolvectl dns eth0 | grep -q 10.11.0.54");
        machine.until("systemctl show -P StatusText knotwork-agent | grep -q 'as declared'");
        assert!(metric(&mut machine, "knotwork_host_changes_total{outcome=\"committed\"}") >= 2.0);
        assert!(metric(&mut machine, "knotwork_host_changes_total{outcome=\"ProbeFailed\"}") >= 1.0);
        machine.must("systemctl stop knotwork-agent && knotwork host rollback");
    }
    assert_eq!(machine_state(), before_all);
}

/// Waits until the unit says so of itself.
fn says(machine: &mut Machine, words: &str) {
    machine.until(&format!("systemctl show -P StatusText knotwork-agent | grep -q '{words}'"));
}

fn stop(machine: &mut Machine) {
    machine.must("systemctl stop knotwork-agent && knotwork host rollback");
}

/// R28: somebody who keeps at it is answered more slowly, and said; when he is gone, it is right again.
#[test]
fn r28_whoever_keeps_at_it_is_answered_more_slowly_and_said() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        start(&mut machine, POLICY, "2s");
        let before = metric(&mut machine, "knotwork_host_resolv_conf_repair_seconds_count");
        machine.write(
            "/root/trample.sh",
            "while :; do rm -f /etc/resolv.conf; echo nameserver 9.9.9.9 > /etc/resolv.conf; echo >> /root/changes; sleep 0.02; done\n",
        );
        machine.must("(setsid bash /root/trample.sh > /dev/null 2>&1 & echo $! > /root/trample.pid)");
        says(&mut machine, "Contested");
        assert!(metric(&mut machine, "knotwork_host_contested_repairs{at=\"/etc/resolv.conf\"}") >= 10.0);
        machine.until("test $(wc -l < /root/changes) -ge 60");
        machine.must("kill $(cat /root/trample.pid)");
        machine.until(RIGHT);
        let repairs = metric(&mut machine, "knotwork_host_resolv_conf_repair_seconds_count") - before;
        // How many are answered before it is a war depends on how fast the answers come; most are not.
        let changes: f64 = machine.must("wc -l < /root/changes").trim().parse().unwrap();
        assert!(repairs >= 1.0 && repairs < changes / 2.0, "{version}: {repairs} repairs of {changes} changes");
        stop(&mut machine);
    }
}

/// R23: the bus comes anew, and resolved does not find its way back to it: the agent does, and holds the host as before.
#[test]
fn r23_a_bus_that_comes_anew_is_found_again() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        start(&mut machine, POLICY, "2s");
        let agent = machine.must("systemctl show -P MainPID knotwork-agent");
        machine.must("systemctl restart dbus");
        machine.until("resolvectl dns eth0 | grep -q 10.11.0.53");
        machine.must("resolvectl dns eth0 9.9.9.9");
        machine.until("resolvectl dns eth0 | grep -q 10.11.0.53");
        machine.until(&format!("knotwork host check && {RIGHT}"));
        says(&mut machine, "as declared");
        assert_eq!(machine.must("systemctl show -P MainPID knotwork-agent"), agent, "{version}: the same process");
        stop(&mut machine);
    }
}

/// All of eth1 by its link, so that there is something to lose.
const BY_LINK: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: homelab}
spec:
  links:
    - {name: isp, match: {name: eth0}, kind: Regular, servers: [10.11.0.53]}
    - {name: inside, match: {name: eth1}, kind: Corporate, servers: [192.168.4.54], domains: [maas, homelab]}
  probes:
    - {name: lab, query: pbs.maas, expect: {any: true}}
";

/// R24: networkd takes a link over under the agent, which flushes what was set there, and is started anew: both times the
/// agent sees it by itself, and makes it a drop-in of the link's file.
#[test]
fn r24_networkd_takes_a_link_over_under_the_agent() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        start(&mut machine, BY_LINK, "60m");
        let declared = "resolvectl dns eth1 | grep -q ': 192.168.4.54$' && resolvectl domain eth1 | grep -q '~maas' && resolvectl domain eth1 | grep -q '~homelab'";
        machine.must(declared);
        machine.must("ifdown eth1; sed -i '/eth1/d' /etc/network/interfaces");
        machine.write(
            "/etc/systemd/network/20-eth1.network",
            "[Match]\nName=eth1\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n[DHCPv4]\nUseDomains=yes\n",
        );
        machine.must("systemctl start systemd-networkd");
        let state = "/run/systemd/netif/links/$(cat /sys/class/net/eth1/ifindex)";
        machine.until(&format!("grep -q ADMIN_STATE=configured {state} && {declared}"));
        machine.until(&format!("test -e /etc/systemd/network/20-eth1.network.d/50-knotwork.conf && {declared}"));
        machine.until("knotwork host check");
        let repaired = metric(&mut machine, "knotwork_host_repairs_total{what=\"link\"}");
        assert!(repaired >= 1.0, "{version}: {}", journal(&mut machine));
        machine.must("systemctl restart systemd-networkd");
        machine.until(&format!("grep -q ADMIN_STATE=configured {state} && {declared} && knotwork host check"));
        // What somebody sets at networkd goes before its files, and gives no signal on resolved's bus.
        machine.must("resolvectl dns eth1 9.9.9.9; resolvectl dns eth0 9.9.9.9");
        machine.until(&format!("{declared} && knotwork host check"));
        stop(&mut machine);
    }
}

/// R25: domains and default routes that somebody sets give no signal. The slow look finds them, within its period.
#[test]
fn r25_what_gives_no_signal_is_found_within_the_period_of_the_poll() {
    const PERIOD: Duration = Duration::from_secs(5);
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        start(&mut machine, BY_LINK, &format!("{}s", PERIOD.as_secs()));
        machine.must(&format!("{LINKS} > /root/declared"));
        let is_declared = format!("diff /root/declared <({LINKS})");
        let drift = metric(&mut machine, "knotwork_host_drift_total{what=\"link\"}");
        let drift = if drift.is_nan() { 0.0 } else { drift };
        let silent = ["resolvectl domain eth1 '~wrong.test'", "resolvectl default-route eth1 yes"];
        for what in silent {
            let mut all = Vec::new();
            for _ in 0..2 {
                all.push(until_right(&mut machine, what, &is_declared));
                says(&mut machine, "as declared");
            }
            // The time of the look and of the repair comes on top of the period.
            told(&mut machine, PERIOD + Duration::from_millis(500), what, &all);
        }
        let after = metric(&mut machine, "knotwork_host_drift_total{what=\"link\"}");
        assert_eq!(after - drift, 2.0 * silent.len() as f64, "{version}: each was counted once");
        stop(&mut machine);
    }
}
