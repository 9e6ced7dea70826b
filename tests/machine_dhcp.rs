//! What real DHCP clients do to a host's DNS: the guard of the engine's protection against them (host-dns.md §5, R29).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::machine::{self, INSIDE, Machine, SECOND, STUB};

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

const HOOKS: &str = "/etc/dhcp/dhclient-enter-hooks.d";
/// What the engine's own hook comes to: dhclient-script's own function, replaced by one that does nothing.
const HOOK: &str = "make_resolv_conf() { :; }\n";

/// Whether the stub file, behind the link that /etc/resolv.conf is, now says what dhclient says.
fn trampled(machine: &mut Machine) -> bool {
    let stub = machine.must(&format!("cat {STUB}"));
    assert_eq!(
        machine.must("readlink /etc/resolv.conf").trim(),
        "../run/systemd/resolve/stub-resolv.conf",
        "still a link"
    );
    let dhclient = stub.contains(&format!("nameserver {INSIDE}\n"));
    assert_eq!(dhclient, !stub.contains("nameserver 127.0.0.53\n"), "{stub}");
    dhclient
}

/// A fresh stub file, as resolved writes it when it starts.
fn fresh(machine: &mut Machine) {
    machine.must("systemctl reset-failed systemd-resolved; systemctl restart systemd-resolved");
    machine.until(&format!("grep -qx 'nameserver 127.0.0.53' {STUB}"));
}

/// A renewal tramples the stub file through the link; a hook prevents it, and not if its name has a dot.
#[test]
fn r29_dhclient_tramples_the_stub_file_but_for_a_hook_without_a_dot() {
    for version in [252, 257] {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let stock = version >= 257;
        // Debian 13's package has a hook of its own, as long as resolved is enabled.
        assert_eq!(machine.run(&format!("test -e {HOOKS}/resolved-enter")).0 == 0, stock);
        // At boot either is first, dhclient or resolved, and the last one's words stand: nothing to hold on to.
        fresh(&mut machine);
        machine.renew_dhcp("eth1");
        assert_eq!(trampled(&mut machine), !stock, "systemd {version}: as Debian ships it");
        machine.must(&format!("rm -f {HOOKS}/resolved-enter"));

        fresh(&mut machine);
        machine.renew_dhcp("eth1");
        assert!(trampled(&mut machine), "systemd {version}: without a hook");

        machine.write(&format!("{HOOKS}/knotwork"), HOOK);
        fresh(&mut machine);
        machine.renew_dhcp("eth1");
        assert!(!trampled(&mut machine), "systemd {version}: with a hook, not even executable");

        machine.must(&format!("mv {HOOKS}/knotwork {HOOKS}/knotwork.conf"));
        machine.renew_dhcp("eth1");
        assert!(trampled(&mut machine), "systemd {version}: a hook with a dot in its name is no hook");
    }
}

/// A link's servers, domains, default route and LLMNR, a line each.
fn link_says(machine: &mut Machine, link: &str) -> Vec<String> {
    let text = machine.must(&format!("for what in dns domain default-route llmnr; do resolvectl $what {link}; done"));
    text.lines().map(|line| line.split_once(": ").map_or("", |(_, says)| says).trim().to_owned()).collect()
}

/// What the engine sets on the link inside.
fn set(machine: &mut Machine) {
    let server = SECOND[1];
    machine.must(&format!(
        "resolvectl domain eth1 '~maas' '~homelab'; resolvectl default-route eth1 no; resolvectl llmnr eth1 no; resolvectl dns eth1 {server}"
    ));
    assert_eq!(link_says(machine, "eth1"), OURS);
}

const OURS: [&str; 4] = ["192.168.4.54", "~maas ~homelab", "no", "no"];

fn renew_with(machine: &mut Machine, domain: &str) -> Vec<String> {
    machine.offer("eth1", |offer| offer.domain = domain.to_owned());
    machine.renew_dhcp("eth1");
    link_says(machine, "eth1")
}

/// Debian 12: dhclient writes the file and never a link, so a new link has nothing.
#[test]
fn r25_dhclient_of_252_leaves_links_alone() {
    let Some(mut machine) = Machine::boot(252) else { return };
    fresh(&mut machine);
    assert_eq!(link_says(&mut machine, "eth1"), ["", "", "no", "yes"]);
    set(&mut machine);
    assert_eq!(renew_with(&mut machine, "maas"), OURS);
    assert_eq!(renew_with(&mut machine, "other.test"), OURS);
    machine.recreate_link("eth1");
    assert_eq!(link_says(&mut machine, "eth1"), ["", "", "no", "yes"]);
}

/// Debian 13: dhclient's exit hook writes servers, domains and LLMNR of the link, when the lease's data change; not our
/// default route. An enter hook that takes the data away from it prevents that.
#[test]
fn r25_dhclient_of_257_overwrites_the_link_when_its_lease_changes() {
    let Some(mut machine) = Machine::boot(257) else { return };
    assert_eq!(link_says(&mut machine, "eth1"), [INSIDE, "maas", "yes", "yes"]);
    set(&mut machine);
    assert_eq!(renew_with(&mut machine, "maas"), OURS, "the same data are not written again");
    assert_eq!(renew_with(&mut machine, "other.test"), [INSIDE, "other.test", "no", "yes"]);
    // A new link gets nothing, as the hook's file in /run/network remembers the name, not the index.
    set(&mut machine);
    machine.recreate_link("eth1");
    assert_eq!(link_says(&mut machine, "eth1"), ["", "", "no", "yes"]);

    machine.write(
        &format!("{HOOKS}/knotwork"),
        &format!("{HOOK}unset new_domain_name_servers new_domain_name new_domain_search\n"),
    );
    set(&mut machine);
    assert_eq!(renew_with(&mut machine, "third.test"), OURS, "a hook that unsets the data");
    assert!(!trampled(&mut machine));
}

/// The newest Debian: dhcpcd's hook writes servers and domains of the link at every renewal, by resolved's resolvconf.
/// `nohook resolv.conf` prevents that.
#[test]
fn r29_dhcpcd_of_262_overwrites_the_link_at_every_renewal_but_for_nohook() {
    let Some(mut machine) = Machine::boot(262) else { return };
    // At a boot dhcpcd may be ahead of resolved; then the link has nothing before the next renewal.
    if link_says(&mut machine, "eth1") != [INSIDE, "maas", "yes", "yes"] {
        machine.renew_dhcp("eth1");
    }
    assert_eq!(link_says(&mut machine, "eth1"), [INSIDE, "maas", "yes", "yes"]);
    set(&mut machine);
    assert_eq!(
        renew_with(&mut machine, "maas"),
        [INSIDE, "maas", "no", "no"],
        "told to renew: even with the same data"
    );
    assert!(!trampled(&mut machine), "the file is resolved's");

    // A renewal that nobody asked for; ours must be set before it comes.
    loop {
        machine.offer("eth1", |offer| offer.renew = 5);
        machine.renew_dhcp("eth1");
        machine.offer("eth1", |offer| offer.renew = 1800);
        set(&mut machine);
        if machine.must("grep -cx 'RENEW eth1' /run/lab-dhcp").trim() == "1" {
            break;
        }
    }
    machine.until("test $(grep -cx 'RENEW eth1' /run/lab-dhcp) = 2");
    assert_eq!(link_says(&mut machine, "eth1"), [INSIDE, "maas", "no", "no"], "by itself: the same");

    // dhcpcd runs its hooks once more as it was before it reads its file again.
    machine.must("echo 'nohook resolv.conf' >> /etc/dhcpcd.conf");
    set(&mut machine);
    assert_eq!(renew_with(&mut machine, "other.test"), [INSIDE, "maas", "no", "no"]);
    set(&mut machine);
    assert_eq!(renew_with(&mut machine, "third.test"), OURS);
}
