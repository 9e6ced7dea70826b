//! What a policy sets on links outlives DHCP clients and ifupdown, and what it leaves alone goes on following them: real
//! leases, renewals with other data, links made anew, boots (host-dns.md §4, §5; R20, R25, R29).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::time::{Duration, Instant};

use support::machine::{self, INSIDE, ISP, Machine, SECOND, STUB, VERSIONS};
use support::wait::PATIENCE;

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

/// A policy with these links, that keeps DHCP clients off them.
fn policy(links: &str) -> String {
    format!("{}  protect: {{dhclient: \"On\", dhcpcd: \"On\"}}\n", bare(links))
}

/// As [`policy`], with nothing against DHCP clients.
fn bare(links: &str) -> String {
    format!(
        "apiVersion: dns.knotwork.dev/v1alpha1\nkind: SplitDNSPolicy\nmetadata: {{name: homelab}}\nspec:\n  links:\n{links}"
    )
}

/// All of eth1, and nothing of eth0.
const INSIDE_ONLY: &str =
    "    - {name: inside, match: {name: eth1}, kind: Corporate, servers: [192.168.4.54], domains: [maas, homelab]}\n";
/// Of eth0 only which names it is asked for.
const UPLINK: &str = "    - {name: uplink, match: {name: eth0}, kind: Privacy, domains: [isp.example]}\n";

fn apply(machine: &mut Machine, policy: &str) -> String {
    machine.write("/root/policy.yaml", policy);
    let (code, text) = machine.run("knotwork host apply -f /root/policy.yaml");
    assert_eq!(code, 0, "systemd {}: {text}", machine.version);
    text
}

/// A link's servers, its domains in the order of the alphabet, its default route.
fn says(machine: &mut Machine, link: &str) -> [String; 3] {
    ["dns", "domain", "default-route"].map(|what| {
        let text = machine.must(&format!("resolvectl {what} {link}"));
        let text = text.trim().split_once(':').map_or("", |(_, says)| says);
        let mut words: Vec<&str> = text.split_whitespace().collect();
        words.sort_unstable();
        words.join(" ")
    })
}

const OURS: [&str; 3] = ["192.168.4.54", "~homelab ~maas", "no"];

/// Waits until a link is so: what sets it again runs on its own.
fn becomes(machine: &mut Machine, link: &str, wanted: [&str; 3], when: &str) {
    let start = Instant::now();
    loop {
        let is = says(machine, link);
        if is == wanted {
            return;
        }
        if start.elapsed() > PATIENCE {
            let log = machine.run("journalctl -b -u knotwork-host --no-pager -o cat").1;
            panic!("systemd {}, {when}: {is:?}\n{log}", machine.version);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A lease with another server and another domain, really renewed.
fn other_lease(machine: &mut Machine, link: &str, server: &str, domain: &str) {
    machine.offer(link, |offer| {
        (offer.dns, offer.domain) = (vec![server.parse().unwrap()], domain.to_owned());
    });
    machine.renew_dhcp(link);
}

fn untouched(machine: &mut Machine, when: &str) {
    let stub = machine.must(&format!("cat {STUB}"));
    assert!(stub.contains("\nnameserver 127.0.0.53\n"), "systemd {}, {when}: {stub}", machine.version);
    assert_eq!(machine.must("readlink /etc/resolv.conf").trim(), "../run/systemd/resolve/stub-resolv.conf");
}

/// R25, R29: renewals that change the data. Declared links stay as declared, others follow; resolv.conf is nobody's.
#[test]
fn r25_declared_links_are_held_and_others_follow_their_leases() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        let text = apply(&mut machine, &policy(INSIDE_ONLY));
        eprintln!("{version}: {text}");
        other_lease(&mut machine, "eth1", INSIDE, "other.test");
        assert_eq!(says(&mut machine, "eth1"), OURS, "{version}: declared");
        other_lease(&mut machine, "eth0", SECOND[0], "second.test");
        assert_eq!(says(&mut machine, "eth0"), [SECOND[0], "second.test", "yes"], "{version}: left to its leases");
        untouched(&mut machine, "renewed");

        // The names that a link is asked for are declared, its servers are not.
        apply(&mut machine, &policy(&format!("{INSIDE_ONLY}{UPLINK}")));
        assert_eq!(says(&mut machine, "eth0"), [SECOND[0], "~. ~isp.example", "yes"], "{version}");
        other_lease(&mut machine, "eth0", ISP, "third.test");
        assert_eq!(says(&mut machine, "eth0"), [ISP, "~. ~isp.example", "yes"], "{version}: servers alone");
        other_lease(&mut machine, "eth1", SECOND[1], "third.test");
        assert_eq!(says(&mut machine, "eth1"), OURS, "{version}: declared");
        untouched(&mut machine, "renewed again");

        // At boot too, without anybody of ours but what is on the disk.
        machine.reboot();
        machine.until(
            "test $(systemctl show -P Result knotwork-host) = success -a -z \"$(systemctl list-jobs --no-legend)\"",
        );
        machine.until(&format!("resolvectl dns eth0 | grep -q {ISP}"));
        assert_eq!(says(&mut machine, "eth1"), OURS, "{version}: after a boot");
        assert_eq!(says(&mut machine, "eth0"), [ISP, "~. ~isp.example", "yes"], "{version}: after a boot");
        untouched(&mut machine, "booted");

        // Given back, the link follows its leases again.
        machine.must("knotwork host rollback");
        other_lease(&mut machine, "eth1", INSIDE, "fourth.test");
        let expected = if version == 252 { ["", "", "no"] } else { [INSIDE, "fourth.test", "yes"] };
        assert_eq!(says(&mut machine, "eth1"), expected, "{version}: given back");
    }
}

/// All files that ifupdown reads and runs.
fn etc_network(machine: &mut Machine) -> String {
    machine
        .must("cd /etc/network && find . -printf '%p %y %l %m\\n' | sort && find . -type f -exec sha256sum {} + | sort")
}

const SOURCED: &str = "/etc/network/interfaces.d/inside";

/// R20: a link that ifupdown takes down and up, or makes anew, and a boot. Nobody of ours runs: its stanza says it all, in
/// whatever file that stands; where Debian's hook of ifupdown cannot read it, a hook of ours has the boot unit set it.
#[test]
fn r20_ifupdown_brings_declared_links_back_by_itself() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        machine.must(&format!(
            "cd /etc/network && mkdir -p interfaces.d && sed '/eth1/d' interfaces > new && cat new > interfaces && rm new
             echo 'source /etc/network/interfaces.d/*' >> interfaces
             printf 'auto eth1\\niface eth1 inet dhcp\\n' > {SOURCED}"
        ));
        let before = etc_network(&mut machine);
        // dhclient writes nothing at an ifup that ifupdown's own hooks would not replace.
        let declared = if machine.dhclient() { bare(INSIDE_ONLY) } else { policy(INSIDE_ONLY) };
        let text = apply(&mut machine, &declared);
        assert_eq!(text.contains("eth1 has its address from a DHCP client"), machine.dhclient(), "{text}");
        let stanza = machine.must(&format!("cat {SOURCED}"));
        if version == 252 {
            assert!(text.contains("cannot read back") && !stanza.contains("knotwork"), "{text}");
            machine.must("test -x /etc/network/if-up.d/zz-knotwork");
        } else {
            assert!(stanza.contains("iface eth1 inet dhcp\n    # BEGIN knotwork"), "{stanza}\n{text}");
            assert_eq!(machine.run("test -e /etc/systemd/system/knotwork-host.service").0, 1, "nothing else is needed");
        }
        becomes(&mut machine, "eth1", OURS, "applied");
        machine.must(": > /run/lab-dhcp; ifdown eth1; ifup eth1");
        becomes(&mut machine, "eth1", OURS, "down and up");
        if machine.dhclient() {
            machine.recreate_link("eth1");
        } else {
            // dhcpcd sees the new link by itself, and nobody calls ifup.
            machine.replace_link("eth1");
        }
        becomes(&mut machine, "eth1", OURS, "made anew");
        machine.reboot();
        becomes(&mut machine, "eth1", OURS, "booted");
        let (code, text) = machine.run("knotwork host check");
        assert_eq!(code, 0, "{version}: {text}");
        untouched(&mut machine, "booted");

        machine.must("knotwork host rollback");
        assert_eq!(etc_network(&mut machine), before, "{version}: given back");
        machine.must(": > /run/lab-dhcp; ifdown eth1; ifup eth1");
        let dhcp = if version == 252 { ["", "", "no"] } else { [INSIDE, "maas", "yes"] };
        becomes(&mut machine, "eth1", dhcp, "given back");
    }
}
