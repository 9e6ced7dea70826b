//! What the engine says to systemd, and what it leaves alone: restart or reload by release (R14), a resolver that is masked,
//! absent, or somebody else's (R16).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::fleet::{apply, document, on, with};
use support::machine::{self, Machine, VERSIONS};

/// The far side of every network: this program again, in the labs' other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

const POLICY: &str = "routes: [{name: lab, domains: [maas], servers: [192.168.4.53], failClosed: true}]
links: [{name: isp, match: {name: eth0}, servers: [10.11.0.53]}, {name: inside, match: {name: eth1}, kind: Untrusted}]
";

/// The calls to systemd about units since the monitor was started, without those of timers.
fn told_systemd(machine: &mut Machine) -> Vec<String> {
    machine.until("busctl call org.freedesktop.DBus / org.freedesktop.DBus.Peer Ping; grep -q Ping /run/bus.log");
    let log = machine.must("cat /run/bus.log; kill $(cat /run/monitor.pid); rm /run/bus.log /run/monitor.pid");
    let calls = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let of_units = calls.filter(|call| call["type"] == "method_call").filter_map(|call| {
        let member = call["member"].as_str()?.to_owned();
        let unit = call["payload"]["data"][0].as_str()?.to_owned();
        (member.ends_with("Unit") && unit == "systemd-resolved.service").then_some(member)
    });
    of_units.filter(|member| !["Get", "Load", "ResetFailed"].iter().any(|read| member.starts_with(read))).collect()
}

fn listen(machine: &mut Machine) {
    machine.must(
        "(setsid sh -c 'echo $$ > /run/monitor.pid; exec busctl monitor --json=short' > /run/bus.log 2>&1 < /dev/null &)",
    );
    // The monitor has the bus when it sees a call of ours.
    machine.until("busctl call org.freedesktop.DBus / org.freedesktop.DBus.Peer Ping; grep -q Ping /run/bus.log");
    machine.must(": > /run/bus.log");
}

/// R14: SIGHUP ends resolved before 256, so that there it is restarted; from 256 on it is reloaded, and lives on.
#[test]
fn r14_resolved_is_restarted_before_256_and_reloaded_from_then_on() {
    on(&VERSIONS, |machine| {
        apply(machine, POLICY);
        let pid = "systemctl show -P MainPID systemd-resolved";
        let before = machine.must(pid);
        listen(machine);
        // Another server and nothing that goes away: what a reload is enough for.
        let other = POLICY.replace("[192.168.4.53]", "[192.168.4.54]");
        let (code, text) = with(machine, "apply", &document("p", &other));
        assert_eq!(code, 0, "systemd {}: {text}", machine.version);
        let told = told_systemd(machine);
        let after = machine.must(pid);
        let log = machine.must("journalctl -b -u systemd-resolved --no-pager -o cat");
        assert!(!log.contains("status=1/HUP"), "systemd {}: it was ended by SIGHUP: {log}", machine.version);
        if machine.version < 256 {
            assert_eq!(told, ["RestartUnit"], "systemd {}", machine.version);
            assert_ne!(before, after, "it is another process");
        } else {
            assert_eq!(told, ["ReloadUnit"], "systemd {}", machine.version);
            assert_eq!(before, after, "systemd {}: it is the same process", machine.version);
        }
        machine.asked();
        machine.must("resolvectl query --cache=no pbs.maas");
        assert!(machine.asked().iter().any(|(by, name, _)| *by == machine::at("192.168.4.54") && name == "pbs.maas"));
    });
}

/// Plan and apply refuse with the reason and words of the way out, and nothing is started or written.
#[track_caller]
fn refused(machine: &mut Machine, reason: &str, words: &[&str]) {
    let list = "find /etc -printf '%p %y %l %s %T@\\n' | sort";
    let before = machine.must(list);
    for command in ["plan", "apply"] {
        let (code, text) = with(machine, command, &document("p", POLICY));
        assert_eq!(code, 3, "systemd {}, {reason}: {command}: {text}", machine.version);
        for word in words.iter().chain([&reason]) {
            assert!(text.contains(word), "systemd {}: {command} without {word}: {text}", machine.version);
        }
    }
    assert_eq!(machine.must(list), before, "{reason}");
    assert_ne!(machine.run("systemctl is-active systemd-resolved").0, 0, "{reason}: resolved was started");
}

/// Takes resolved's name on the bus and keeps it: a program of a few lines, as the tree has none that can.
const OWNER: &str = r#"use strict; use IO::Socket::UNIX; $0 = 'dnsconfd';
my $bus = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => '/run/dbus/system_bus_socket') or die $!;
$bus->autoflush(1); print $bus "\0AUTH EXTERNAL 30\r\n"; my $ok = <$bus>; die $ok unless $ok =~ /^OK/; print $bus "BEGIN\r\n";
my $n = 0;
sub pad { my ($s, $to) = @_; $s . "\0" x (-length($s) % $to) }
sub text { pack('V', length $_[0]) . $_[0] . "\0" }
sub call { my ($member, $signature, $body) = @_; my $f = '';
    for ([1, 'o', '/org/freedesktop/DBus'], [2, 's', 'org.freedesktop.DBus'], [3, 's', $member], [6, 's', 'org.freedesktop.DBus']) {
        $f = pad($f, 8) . pack('C', $$_[0]) . "\1$$_[1]\0" . text($$_[2]) }
    $f = pad($f, 8) . pack('C', 8) . "\1g\0" . pack('C', length $signature) . "$signature\0" if length $signature;
    my $m = pack('aCCCVVV', 'l', 1, 0, 1, length $body, ++$n, length $f) . $f;
    print $bus pad($m, 8) . $body }
call('Hello', '', ''); call('RequestName', 'su', pad(text('org.freedesktop.resolve1'), 4) . pack('V', 4));
sysread $bus, my $b, 4096 while 1;
"#;

/// R16: on real daemons. Asking wakes none of them.
#[test]
fn r16_a_resolver_that_is_masked_absent_or_anothers_is_left_alone() {
    on(&VERSIONS, |machine| {
        machine.must("systemctl mask --runtime --now systemd-resolved 2>&1");
        refused(machine, "ResolvedMasked", &["systemctl unmask systemd-resolved"]);
        machine.must("systemctl unmask --runtime systemd-resolved 2>&1");

        // Not installed: neither its unit nor what the bus would start by its name.
        let files = "/usr/lib/systemd/system/systemd-resolved.service /usr/share/dbus-1/system-services/org.freedesktop.resolve1.service /etc/systemd/system/dbus-org.freedesktop.resolve1.service";
        machine.must(&format!(
            "systemctl stop systemd-resolved; mkdir /run/away; for f in {files}; do mkdir -p /run/away$(dirname $f); [ ! -e $f ] && [ ! -h $f ] || mv $f /run/away$f; done
             for l in /etc/systemd/system/*.wants/systemd-resolved.service; do mkdir -p /run/away$(dirname $l); mv $l /run/away$l; done; systemctl daemon-reload; systemctl reload dbus"
        ));
        refused(machine, "ResolvedAbsent", &["knotwork host snapshot"]);
        machine.must("cp -a /run/away/. / && rm -r /run/away && systemctl daemon-reload && systemctl reload dbus");

        // Somebody else under its name.
        machine.write(
            "/usr/share/dbus-1/system.d/lab.conf",
            "<busconfig><policy user=\"root\"><allow own=\"org.freedesktop.resolve1\"/></policy></busconfig>\n",
        );
        machine.write("/root/owner.pl", OWNER);
        machine.must("systemctl reload dbus; systemd-run --quiet --unit=dnsconfd perl /root/owner.pl");
        machine.until("busctl status org.freedesktop.resolve1 2>&1 | grep -q dnsconfd || { journalctl -u dnsconfd --no-pager -o cat; false; }");
        refused(machine, "ForeignResolver", &["dnsconfd owns the name of systemd-resolved", "stop dnsconfd"]);
        machine.must("systemctl stop dnsconfd; rm /usr/share/dbus-1/system.d/lab.conf; systemctl reload dbus; systemctl start systemd-resolved");
        machine.resolved_up();

        // With none of these it goes through.
        apply(machine, POLICY);
    });
}
