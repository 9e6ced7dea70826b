//! What a host must not be put through, from the real facts of whole machines to the words at the command line: refused with
//! the reason and the way out, and not a byte changes. Beside it: a resolver that hangs, snapshots, who wrote resolv.conf.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::time::{Duration, Instant};

use support::fleet::{changes, document, on, rested, state, with};
use support::machine::{self, INSIDE, Machine, VERSIONS, at};
use support::parts::{Tier, tier};

/// The far side of every network: this program again, in the labs' other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

/// A closed route, and everything that a preflight looks at.
const POLICY: &str = "routes: [{name: lab, domains: [maas], servers: [192.168.4.53], failClosed: true}]
links: [{name: isp, match: {name: eth0}, servers: [10.11.0.53]}, {name: inside, match: {name: eth1}, kind: Untrusted}]
hostsFile: [{address: 192.168.4.218, names: [pbs.maas]}]
";

/// One release each day, all where there is time.
fn some() -> &'static [u16] {
    if tier() == Tier::Full { &VERSIONS } else { &VERSIONS[1..2] }
}

/// Plan and apply refuse with the reason and words of the way out, and change nothing.
#[track_caller]
fn refused(machine: &mut Machine, reason: &str, words: &[&str]) {
    let before = machine.must("find /etc -printf '%p %y %l %s %T@\\n' | sort");
    for command in ["plan", "apply"] {
        let (code, text) = with(machine, command, &document("p", POLICY));
        assert_eq!(code, 3, "systemd {}, {reason}: {command}: {text}", machine.version);
        for word in words.iter().chain([&reason]) {
            assert!(text.contains(word), "systemd {}: {command} without {word}: {text}", machine.version);
        }
    }
    let after = machine.must("find /etc -printf '%p %y %l %s %T@\\n' | sort");
    assert_eq!(changes(&before, &after), [""; 0], "{reason}");
}

#[test]
fn what_would_break_later_is_refused_from_real_facts() {
    on(some(), |machine| {
        // Another program where resolved must listen; Debian's dnsmasq does just so.
        machine.must(
            "(setsid perl -MIO::Socket::INET -e '$0 = \"dnsmasq\"; my $s = IO::Socket::INET->new(Proto => \"udp\", LocalAddr => \"0.0.0.0\", LocalPort => 53, ReuseAddr => 1) or die $!; open my $f, \">\", \"/run/taken\"; print $f $$; close $f; sleep' > /run/taken.log 2>&1 &)",
        );
        machine.until("test -s /run/taken");
        refused(machine, "PortTaken", &["0.0.0.0:53/udp", "bind-dynamic"]);
        machine.must("kill $(cat /run/taken); rm /run/taken /run/taken.log");

        // R27, F35: files that others make, and a line that would name a module that is not there.
        machine.must(
            "mv /etc/nsswitch.conf /run/nsswitch.conf; mkdir -p /nix/store/x; sed 's/ resolve \\[[^]]*\\]//; s/ resolve//' /run/nsswitch.conf > /nix/store/x/nsswitch.conf; ln -s /nix/store/x/nsswitch.conf /etc/nsswitch.conf",
        );
        refused(machine, "Generated", &["/etc/nsswitch.conf", "NixOS"]);
        machine.must("rm /etc/nsswitch.conf; mv /nix/store/x/nsswitch.conf /etc/nsswitch.conf; rm -r /nix");
        let module = machine.must("find /lib /usr/lib -name 'libnss_resolve.so.2' | head -n 1").trim().to_owned();
        machine.must(&format!("mv {module} /run/module"));
        refused(machine, "NssModuleMissing", &["libnss_resolve", "libnss-resolve"]);
        machine.must(&format!(
            "mv /run/module {module}; cp -a /run/nsswitch.conf /etc/nsswitch.conf; rm /run/nsswitch.conf"
        ));

        // F39: who hands resolv.conf on, as long as it is not the stub yet.
        let link = machine.must("readlink /etc/resolv.conf");
        machine.must("rm /etc/resolv.conf; echo 'nameserver 10.11.0.53' > /etc/resolv.conf");
        machine.must("mkdir -p /var/lib/kubelet; echo 'resolvConf: /etc/resolv.conf' > /var/lib/kubelet/config.yaml");
        refused(machine, "KubeletStub", &["127.0.0.53", "resolvConf: /run/systemd/resolve/resolv.conf", "CoreDNS"]);
        machine.must("rm -r /var/lib/kubelet; mkdir -p /etc/rancher/k3s; echo 'resolv-conf: /etc/resolv.conf' > /etc/rancher/k3s/config.yaml");
        refused(machine, "KubeletStub", &["k3s", "/etc/rancher/k3s/config.yaml"]);
        machine.must("rm -r /etc/rancher; mkdir -p /etc/pve/lxc; echo 'ostype: debian' > /etc/pve/lxc/101.conf; printf 'ostype: debian\\nnameserver: 192.168.4.53\\n' > /etc/pve/lxc/102.conf");
        refused(machine, "ContainersOnStub", &["containers 101:", "pct set 101 --nameserver", "resolvConf: Uplink"]);
        machine.must(&format!("rm -r /etc/pve; ln -sfn {} /etc/resolv.conf", link.trim()));

        // With none of these it goes through: the refusals were about them.
        machine.must("systemctl restart systemd-resolved");
        machine.resolved_up();
        let (code, text) = with(machine, "apply", &document("p", POLICY));
        assert_eq!(code, 0, "{text}");
    });
}

/// DESIGN §7, implied probes: a change that would cut the kubelet off from its API server's name is taken back, though no
/// probe of the policy says a word about it.
#[test]
fn what_the_kubelet_needs_goes_on_being_found() {
    on(some(), |machine| {
        machine.must("mkdir -p /var/lib/kubelet /etc/kubernetes; echo 'resolvConf: /run/systemd/resolve/resolv.conf' > /var/lib/kubelet/config.yaml");
        machine.write(
            "/etc/kubernetes/kubelet.conf",
            "clusters:\n  - {name: c, cluster: {server: 'https://pbs.maas:6443'}}\n  - {name: d, cluster: {server: 'https://nowhere.maas:6443'}}\n",
        );
        machine.mode("192.168.4.54", "nx");
        let cut = "routes: [{name: lab, domains: [maas], servers: [192.168.4.54], failClosed: true}]
links: [{name: isp, match: {name: eth0}, servers: [10.11.0.53]}, {name: inside, match: {name: eth1}, kind: Untrusted}]
lint: {allow: [cluster-names-closed]}
";
        let before = state(machine);
        let (code, text) = with(machine, "apply", &document("p", cut));
        assert_eq!(code, 1, "{text}");
        for word in ["kubelet needs pbs.maas", "before the change it was found"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("kubelet needs nowhere.maas"), "it was not found before, either: {text}");
        assert_eq!(changes(&before, &state(machine)), [""; 0]);
        // Not a word of it where nothing needs the name.
        machine.must("rm -r /etc/kubernetes /var/lib/kubelet");
        let (code, text) = with(machine, "apply", &document("p", cut));
        assert_eq!(code, 0, "{text}");
        machine.mode("192.168.4.54", "ok");
    });
}

/// Somebody else's file could be written, and not made so again: refused, as long as the capability is not there.
#[test]
fn root_without_capabilities_touches_nothing_of_others() {
    on(some(), |machine| {
        machine.must("chown 1000:42 /etc/hosts");
        machine.write("/root/policy.yaml", &document("p", POLICY));
        let before = state(machine);
        let bare = "setpriv --bounding-set -all --inh-caps -all --ambient-caps -all --no-new-privs";
        let (code, text) = machine.run(&format!("{bare} knotwork host apply -f /root/policy.yaml"));
        assert_eq!(code, 3, "{text}");
        assert!(
            text.contains("Locked: /etc/hosts") && text.contains("1000:42") && text.contains("CAP_CHOWN"),
            "{text}"
        );
        assert_eq!(changes(&before, &state(machine)), [""; 0]);
        // With it, owner and group stay, there and back.
        rested(machine);
        machine.must("knotwork host apply -f /root/policy.yaml");
        assert_eq!(machine.must("stat -c %u:%g /etc/hosts").trim(), "1000:42");
        rested(machine);
        machine.must("knotwork host rollback");
        assert_eq!(changes(&before, &state(machine)), [""; 0]);
        machine.must("chown 0:0 /etc/hosts");
    });
}

/// Calls have deadlines: a resolver that hangs holds nobody up for ever, and what was begun is undone.
#[test]
fn a_resolver_that_hangs_is_told_in_time() {
    on(some(), |machine| {
        machine.write("/root/policy.yaml", &document("p", POLICY));
        let before = state(machine);
        machine.must("systemctl kill -s STOP systemd-resolved");
        for (command, wanted) in [("facts", 0), ("plan -f /root/policy.yaml", 3), ("apply -f /root/policy.yaml", 3)] {
            let start = Instant::now();
            let (code, text) = machine.run(&format!("timeout 120 knotwork host {command}"));
            assert_eq!(code, wanted, "{command}: {text}");
            assert!(start.elapsed() < Duration::from_secs(60), "{command}: {:?}", start.elapsed());
            let word = if wanted == 0 { "not known: resolved's settings" } else { "NotRead: eth0, eth1" };
            assert!(text.contains(word), "{command}: {text}");
        }
        machine.must("systemctl kill -s CONT systemd-resolved");
        machine.resolved_up();
        // Stopped before anything was applied, it is not started either: the way out says how.
        machine.must("systemctl stop systemd-resolved");
        let (code, text) = machine.run("knotwork host apply -f /root/policy.yaml");
        assert!(code == 3 && text.contains("systemctl enable --now systemd-resolved"), "{text}");
        machine.must("systemctl start systemd-resolved");
        machine.resolved_up();
        assert_eq!(changes(&before, &state(machine)), [""; 0]);
    });
}

/// Before systemd-resolved is installed: its script puts the stub in the place of resolv.conf, and no rollback could know.
#[test]
fn a_snapshot_outlives_the_packages_script() {
    on(some(), |machine| {
        let link = machine.must("readlink /etc/resolv.conf");
        let own = "# my own\\nnameserver 10.11.0.53\\nsearch mine.test\\n";
        machine.must(&format!("rm /etc/resolv.conf; printf '{own}' > /etc/resolv.conf; chmod 640 /etc/resolv.conf; chown 0:42 /etc/resolv.conf"));
        let text = machine.must("knotwork host snapshot");
        assert!(text.contains("/etc/resolv.conf"), "{text}");
        // As the package does it.
        machine.must("cp -a /etc/resolv.conf /etc/.resolv.conf.systemd-resolved.bak.new && rm /etc/.resolv.conf.systemd-resolved.bak.new; ln -sfn ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf; systemctl restart systemd-resolved");
        machine.resolved_up();
        let (code, text) = with(machine, "apply", &document("p", POLICY));
        assert_eq!(code, 0, "{text}");
        machine.asked();
        machine.net("dig +tries=1 +time=5 @127.0.0.53 x.maas A");
        assert!(machine.asked().iter().any(|(by, name, _)| *by == at(INSIDE) && name == "x.maas"));
        rested(machine);
        let (code, text) = machine.run("knotwork host rollback");
        assert_eq!(code, 0, "{text}");
        assert_eq!(machine.must("stat -c '%F %a %u:%g' /etc/resolv.conf").trim(), "regular file 640 0:42", "{text}");
        assert_eq!(machine.must("cat /etc/resolv.conf"), own.replace("\\n", "\n"));
        machine.must(&format!(
            "rm /etc/resolv.conf; ln -s {} /etc/resolv.conf; systemctl restart systemd-resolved",
            link.trim()
        ));
        machine.resolved_up();
    });
}

#[test]
fn check_names_who_wrote_resolv_conf() {
    on(some(), |machine| {
        let (code, text) = with(machine, "apply", &document("p", POLICY));
        assert_eq!(code, 0, "{text}");
        for (head, who) in [
            ("# Generated by NetworkManager", Some("NetworkManager")),
            ("# Generated by dhcpcd from eth0.dhcp", Some("dhcpcd")),
            ("# Generated by resolvconf", Some("resolvconf")),
            ("# by hand", None),
        ] {
            machine.must(&format!("rm /etc/resolv.conf; printf '{head}\\nnameserver 9.9.9.9\\n' > /etc/resolv.conf"));
            let (code, text) = machine.run("knotwork host check");
            assert_eq!(code, 2, "{head}: {text}");
            let line =
                text.lines().find(|line| line.contains("/etc/resolv.conf: it is another one than declared")).unwrap();
            assert_eq!(line.split_once("(by ").map(|(_, who)| who.trim_end_matches(')')), who, "{text}");
        }
        machine.must("rm /etc/resolv.conf");
        let (code, text) = machine.run("knotwork host check");
        assert!(code == 2 && text.contains("/etc/resolv.conf: it is gone"), "{text}");
        // A link that was stopped, a resolver that is: all of it in one look.
        machine.must("resolvectl default-route eth1 yes; systemctl stop systemd-resolved");
        let (code, text) = machine.run("knotwork host check");
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("does not run"), "{text}");
        rested(machine);
        let (code, text) = machine.run("knotwork host apply --accepted");
        assert_eq!(code, 0, "{text}");
        let (code, text) = machine.run("knotwork host check");
        assert_eq!(code, 0, "{text}");
    });
}
