//! What people do around a change: they edit files, lose their session, confirm too late. On whole machines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::fleet::{document, on, rested, state, with};
use support::machine::{self, INSIDE, ISP, Machine, SECOND, VERSIONS, at};

/// The far side of every network: this program again, in the labs' other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

const LAB: &str = "routes: [{name: lab, domains: [maas, homelab], servers: [192.168.4.53], failClosed: true}]\n\
                   links: [{name: isp, match: {name: eth0}, servers: [10.11.0.53], defaultRoute: true}, {name: inside, match: {name: eth1}, kind: Untrusted}]\n";

fn resolv_conf(machine: &mut Machine, text: &str) {
    machine.must(&format!("rm -f /etc/resolv.conf; echo '{text}' > /etc/resolv.conf"));
}

/// A resolv.conf that a person wrote under a policy stays at a rollback, with words and an exit code; and it is what the next
/// change gives back, not what was there before the first one.
#[test]
fn what_a_rollback_left_to_a_person_is_what_was_there_before_the_next_change() {
    for version in [252, 257] {
        let Some(mut machine) = Machine::boot(version) else { continue };
        resolv_conf(&mut machine, "nameserver 10.11.0.53 # first");
        let (code, text) = with(&mut machine, "apply", &document("p", LAB));
        assert_eq!(code, 0, "{text}");
        resolv_conf(&mut machine, "nameserver 10.11.0.54 # person");
        rested(&mut machine);
        let (code, text) = machine.run("knotwork host rollback");
        assert!(code == 3 && text.contains("/etc/resolv.conf") && text.contains("--overwrite-edited"), "{text}");
        assert!(machine.must("cat /etc/resolv.conf").contains("# person"));
        resolv_conf(&mut machine, "nameserver 10.11.0.54 # second");
        let (code, text) = with(&mut machine, "apply", &document("p", LAB));
        assert_eq!(code, 0, "{text}");
        rested(&mut machine);
        let (code, text) = machine.run("knotwork host rollback");
        assert_eq!(code, 0, "{text}");
        assert!(machine.must("cat /etc/resolv.conf").contains("# second"), "systemd {version}: {text}");
        // Asked for, the first one comes back over what a person wrote.
        let (code, text) = with(&mut machine, "apply", &document("p", LAB));
        assert_eq!(code, 0, "{text}");
        resolv_conf(&mut machine, "nameserver 10.11.0.54 # third");
        rested(&mut machine);
        let (code, text) = machine.run("knotwork host rollback --overwrite-edited");
        assert_eq!(code, 0, "{text}");
        assert!(machine.must("cat /etc/resolv.conf").contains("# second"), "systemd {version}: {text}");
    }
}

/// A private name is not asked before the change that sends it to its server.
#[test]
fn a_probe_of_a_private_name_is_not_asked_by_the_old_way() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let machine = &mut machine;
        machine.must("resolvectl dns eth0 10.11.0.53; resolvectl default-route eth0 yes");
        machine.asked();
        let probes = "probes: [{name: lab, query: first.homelab, expect: {any: true}}, {name: world, query: example.com, expect: {any: true}}, \
                      {name: typed, query: example.com, type: A, expect: {any: true}}]\n";
        let (code, text) = with(machine, "check", &document("p", &format!("{LAB}{probes}")));
        assert!(code == 2 && text.contains("probe lab is not asked") && text.contains("probe world passes"), "{text}");
        let asked = machine.asked();
        assert!(asked.iter().all(|(_, name, _)| name != "first.homelab"), "systemd {}: {asked:?}", machine.version);
        let (code, text) = with(machine, "apply", &document("p", &format!("{LAB}{probes}")));
        assert_eq!(code, 0, "{text}");
        let asked = machine.asked();
        assert!(asked.iter().any(|(_, name, _)| name == "first.homelab"), "{asked:?}");
        let wrong: Vec<_> = asked.iter().filter(|(by, name, _)| name == "first.homelab" && *by == at(ISP)).collect();
        assert!(wrong.is_empty(), "systemd {}: {wrong:?}", machine.version);
        // Nothing to change does not make a policy good whose probe fails.
        let bad = probes.replace("example.com, expect: {any: true}", "example.com, expect: {addresses: [1.2.3.4]}");
        let (code, text) = with(machine, "apply", &document("p", &format!("{LAB}{bad}")));
        assert!(code == 1 && text.contains("probe world fails"), "{text}");
        assert!(!machine.must("cat /var/lib/knotwork/host/accepted.yaml").contains("1.2.3.4"));
    }
}

/// The session is lost by the change itself: it is undone in time all the same. Told to end, it is undone at once. Whoever
/// confirms when nobody waits any more is told so.
#[test]
fn a_lost_session_confirms_nothing() {
    on(&[257], |machine| {
        let waiting = |machine: &mut Machine, within: &str| {
            machine.write("/root/policy.yaml", &document("p", LAB));
            rested(machine);
            machine.must(&format!(
                "rm -f /root/out; (setsid sh -c 'echo $$ > /root/pid; exec knotwork host apply -f /root/policy.yaml --confirm-within {within}' > /root/out 2>&1 < /dev/null &)"
            ));
            machine.until("grep -q 'host confirm' /root/out");
        };
        let gone = "! test -e /etc/systemd/resolved.conf.d/50-knotwork.conf && ! kill -0 $(cat /root/pid) 2> /dev/null";
        waiting(machine, "8s");
        machine.must("kill -HUP $(cat /root/pid); sleep 1; kill -0 $(cat /root/pid)");
        machine.until(gone);
        waiting(machine, "20m");
        machine.must("kill -TERM $(cat /root/pid)");
        machine.until(gone);
        // Killed, nobody is left to undo it but the dead man: he comes soon after the time, not after the time of a whole change.
        waiting(machine, "3s");
        machine.must("kill -KILL $(cat /root/pid)");
        machine.until(gone);
        machine.until("knotwork host status | grep -q rolledBack && ! systemctl list-timers --all | grep deadman");
        waiting(machine, "20m");
        machine.must("kill -KILL $(cat /root/pid)");
        let (code, text) = machine.run("knotwork host confirm");
        assert!(code == 1 && text.contains("is gone"), "{text}");
        rested(machine);
        machine.must("knotwork host rollback");
        machine.until(gone);
    });
}

/// What no domain covers goes to this server alone.
fn all_to(server: &str) -> String {
    format!(
        "links: [{{name: isp, match: {{name: eth0}}, servers: [{server}], defaultRoute: true}}, \
         {{name: inside, match: {{name: eth1}}, kind: Corporate, servers: [{INSIDE}], domains: [maas]}}]\n"
    )
}

/// No probe is declared: that some server answers is looked at all the same, and a change after which none does is undone.
/// Whatever a server says is an answer.
#[test]
fn a_change_after_which_nobody_answers_is_undone() {
    for version in [252, 262] {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let machine = &mut machine;
        machine.must("resolvectl dns eth0 10.11.0.53; resolvectl default-route eth0 yes");
        let before = state(machine);
        machine.mode(SECOND[0], "drop");
        let (code, text) = with(machine, "apply", &document("p", &all_to(SECOND[0])));
        assert!(
            code == 1 && text.contains("probe any server") && text.contains("before the change a server did"),
            "{text}"
        );
        assert_eq!(state(machine), before, "systemd {version}: {text}");
        // Meant to be so, it stands, and that nobody looked is said.
        let meant = format!("{}lint: {{allow: [loses-default-route]}}\n", all_to(SECOND[0]));
        let (code, text) = with(machine, "apply", &document("p", &meant));
        assert!(code == 0 && text.contains("does not count") && text.contains("no name was looked up"), "{text}");
        // Under it nobody answers: the next change need not make that good, and says so.
        machine.mode(ISP, "drop");
        let (code, text) = with(machine, "apply", &document("p", &all_to(ISP)));
        assert!(code == 0 && text.contains("does not count") && text.contains("so before the change"), "{text}");
        for mode in ["nx", "servfail"] {
            machine.mode(ISP, "ok");
            machine.mode(SECOND[0], mode);
            let (code, text) = with(machine, "apply", &document("p", &all_to(SECOND[0])));
            assert!(code == 0 && text.contains("probe any server passes"), "systemd {version}, {mode}: {text}");
            let (code, text) = with(machine, "apply", &document("p", &all_to(ISP)));
            assert!(code == 0 && text.contains("no more was looked at than whether a server answers"), "{text}");
        }
    }
}

/// A setting that no server here can fulfil leaves the host without DNS as surely as a dead server does.
#[test]
fn servers_that_cannot_do_what_is_declared_are_no_servers() {
    on(&[252, 257], |machine| {
        if machine.version == 252 {
            machine.must("resolvectl dns eth0 10.11.0.53; resolvectl default-route eth0 yes");
        }
        // Links that got back what they had follow the host as a whole as they did.
        with(machine, "apply", &document("p", &all_to(ISP)));
        machine.must("knotwork host rollback");
        let before = state(machine);
        // Nobody here speaks TLS, and nobody signs.
        for field in ["dnsOverTLS", "dnssec"] {
            let (code, text) = with(machine, "apply", &document("p", &format!("global: {{{field}: \"On\"}}\n")));
            assert!(code == 1 && text.contains("probe any server"), "{field}: {text}");
            assert_eq!(text.contains("fails the check of its signatures"), field == "dnssec", "{text}");
            assert_eq!(state(machine), before, "{text}");
        }
        // Whoever reads the stub's address in a file that nobody manages needs somebody there.
        machine.must("rm /etc/resolv.conf; echo nameserver 127.0.0.53 > /etc/resolv.conf");
        let off = "global: {stubListener: \"Off\"}\nresolvConf: Unmanaged\n";
        let (code, text) = with(machine, "apply", &document("p", off));
        assert!(code == 3 && text.contains("StubOff") && text.contains("127.0.0.53"), "{text}");
        machine.must("rm /etc/resolv.conf; ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf");
        machine.must(if machine.version == 252 { "resolvectl revert eth0" } else { "true" });
    });
}

/// A policy counts on the hosts that it names; one that names none counts where it is given. What stands is not undone by
/// policies for others.
#[test]
fn a_policy_for_another_host_does_not_count() {
    on(&[257], |machine| {
        let before = state(machine);
        let for_hosts = |name: &str, hosts: &str, server: &str| {
            let route = format!("{{name: {name}, domains: [{name}.test], servers: [{server}]}}");
            document(
                name,
                &format!(
                    "hosts: [{hosts}]\nroutes: [{route}]\nresolvConf: Unmanaged\nlint: {{allow: [rest-to-route]}}\n"
                ),
            )
        };
        let other = for_hosts("other", "elsewhere, chief-horse.example", INSIDE);
        for command in ["plan", "apply", "check"] {
            let (code, text) = with(machine, command, &other);
            assert!(code == 1 && text.contains("other is for elsewhere, chief-horse.example"), "{command}: {text}");
        }
        assert_eq!(state(machine), before);
        let both = format!("{other}---\n{}", for_hosts("ours", "kwhost", INSIDE));
        let (code, text) = with(machine, "apply", &both);
        assert!(code == 0 && text.contains("does not count on this host (kwhost)"), "{text}");
        let domains = machine.must("resolvectl domain");
        assert!(domains.contains("ours.test") && !domains.contains("other.test"), "{domains}");
        machine.must("! grep -q elsewhere /var/lib/knotwork/host/accepted.yaml");
        // What stands stays, whoever is named since, and though this host is called otherwise at its next boot.
        let (code, text) = with(machine, "apply", &other);
        assert!(code == 1 && text.contains("knotwork host rollback"), "{text}");
        let (code, text) = machine.run("hostname renamed; knotwork host check; code=$?; hostname kwhost; exit $code");
        assert_eq!(code, 0, "{text}");
        // By its long name, which /etc/hosts tells.
        machine.must("cp /etc/hosts /root/hosts; sed -i 's/^127.0.1.1.*/127.0.1.1 kwhost.lab.test kwhost/' /etc/hosts");
        let (code, text) = with(machine, "plan", &for_hosts("ours", "kwhost.lab.test", INSIDE));
        machine.must("cat /root/hosts > /etc/hosts; rm /root/hosts");
        assert!(code != 1, "{text}");
    });
}

/// What was left in the middle is the last change: it is taken back, and the one before it stands. Until then the status says
/// what the matter is and what can be done.
#[test]
fn the_last_change_is_the_one_that_was_left_in_the_middle() {
    on(&[257], |machine| {
        let kept = format!("{LAB}onDelete: Keep\n");
        let (code, text) = with(machine, "apply", &document("p", &kept));
        assert_eq!(code, 0, "{text}");
        let stands = state(machine);
        machine.write("/root/policy.yaml", &document("other", &LAB.replace("[maas, homelab]", "[maas]")));
        rested(machine);
        machine.must(
            "rm -f /root/out; (setsid sh -c 'echo $$ > /root/pid; exec knotwork host apply -f /root/policy.yaml --confirm-within 20m' \
             > /root/out 2>&1 < /dev/null &)",
        );
        machine.until("grep -q 'host confirm' /root/out");
        let (_, text) = machine.run("knotwork host status");
        assert!(text.contains("say `knotwork host confirm`") && !text.contains("nobody is at it"), "{text}");
        machine.must("kill -KILL $(cat /root/pid)");
        machine.until("knotwork host status | grep -q 'nobody is at it.*knotwork host rollback --transaction last'");
        rested(machine);
        let (code, text) = machine.run("knotwork host rollback --transaction last");
        assert_eq!(code, 0, "{text}");
        assert_eq!(state(machine), stands, "{text}");
        let (code, text) = machine.run("knotwork host check");
        assert_eq!(code, 0, "{text}");
        // A rollback gives back whatever onDelete says, and says that it does.
        rested(machine);
        let text = machine.must("knotwork host rollback");
        assert!(text.contains("policy p has onDelete: Keep"), "{text}");
    });
}

/// A snapshot is for what a package's script replaces. What a person wrote after it is what was there before us.
#[test]
fn a_snapshot_does_not_outdo_what_a_person_wrote_since() {
    on(&[257], |machine| {
        machine.must("cp -a /etc/hosts /root/hosts; cp -P /etc/resolv.conf /root/resolv.conf");
        resolv_conf(machine, "nameserver 10.11.0.53 # of the snapshot");
        machine.must("knotwork host snapshot");
        resolv_conf(machine, "nameserver 10.11.0.53 # of a person");
        machine.must("echo 192.168.4.7 person.test >> /etc/hosts");
        let (code, text) = with(machine, "apply", &document("p", LAB));
        assert_eq!(code, 0, "{text}");
        rested(machine);
        machine.must("knotwork host rollback");
        machine.must("grep -q person.test /etc/hosts && grep -q '# of a person' /etc/resolv.conf");
        machine.must("cp -a /root/hosts /etc/hosts; rm /etc/resolv.conf; cp -P /root/resolv.conf /etc/resolv.conf");
        machine.must("rm /root/hosts /root/resolv.conf; systemctl restart systemd-resolved");
        machine.resolved_up();
    });
}

/// The unit of the boot that failed while a policy stood is not listed as failed when it is gone.
#[test]
fn a_boot_unit_that_failed_is_forgotten_with_the_rollback() {
    on(&[252], |machine| {
        let (code, text) = with(machine, "apply", &document("p", LAB));
        assert_eq!(code, 0, "{text}");
        let unit = "/etc/systemd/system/knotwork-host.service";
        machine.must(&format!("sed -i 's/^ConditionFile.*//; s,^ExecStart=.*,ExecStart=/bin/false,; /^Restart/d' {unit}; systemctl daemon-reload; ! systemctl start knotwork-host"));
        machine.must("systemctl is-failed knotwork-host");
        rested(machine);
        machine.must("knotwork host rollback --overwrite-edited");
        machine.must(&format!("! test -e {unit} && ! systemctl is-failed knotwork-host"));
    });
}
