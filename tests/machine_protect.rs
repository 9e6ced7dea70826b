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

/// A machine whose leases have reached resolved, where anything hands them on.
fn booted(version: u16) -> Option<Machine> {
    let mut machine = Machine::boot(version)?;
    if version >= 257 {
        for (link, server) in [("eth0", ISP), ("eth1", INSIDE)] {
            let has = format!("resolvectl dns {link} | grep -q {server}");
            // A lease that came before resolved was on the bus was told to nobody.
            if machine.run(&has).0 != 0 {
                machine.renew_dhcp(link);
            }
            machine.until(&has);
        }
    }
    Some(machine)
}

fn apply(machine: &mut Machine, policy: &str) -> String {
    machine.write("/root/policy.yaml", policy);
    let (code, text) = machine.run("knotwork host apply -f /root/policy.yaml");
    assert_eq!(code, 0, "systemd {}: {text}", machine.version);
    text
}

/// A link's servers, its domains in the order of the alphabet, its default route.
fn says(machine: &mut Machine, link: &str) -> [String; 3] {
    says_now(machine, link).unwrap_or_else(|text| panic!("systemd {}: {text}", machine.version))
}

/// The same, where resolved may be between an end and a start.
fn says_now(machine: &mut Machine, link: &str) -> Result<[String; 3], String> {
    let mut says = <[String; 3]>::default();
    for (what, is) in ["dns", "domain", "default-route"].into_iter().zip(&mut says) {
        let (code, text) = machine.run(&format!("resolvectl {what} {link}"));
        if code != 0 {
            return Err(text);
        }
        let text = text.trim().split_once(':').map_or("", |(_, says)| says);
        let mut words: Vec<&str> = text.split_whitespace().collect();
        words.sort_unstable();
        *is = words.join(" ");
    }
    Ok(says)
}

const OURS: [&str; 3] = ["192.168.4.54", "~homelab ~maas", "no"];

/// Waits until a link is so: what sets it again runs on its own.
fn becomes(machine: &mut Machine, link: &str, wanted: [&str; 3], when: &str) {
    let start = Instant::now();
    loop {
        let is = says_now(machine, link);
        if is.as_ref().is_ok_and(|is| *is == wanted) {
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
        let Some(mut machine) = booted(version) else { continue };
        if machine.dhclient() {
            // After Debian's own hook, in each of its runs: not for a moment is it otherwise.
            let look = "resolvectl dns \"$interface\" >> /run/looked-$interface";
            machine.write("/etc/dhcp/dhclient-exit-hooks.d/zy-look", look);
        }
        apply(&mut machine, &policy(INSIDE_ONLY));
        other_lease(&mut machine, "eth1", INSIDE, "other.test");
        assert_eq!(says(&mut machine, "eth1"), OURS, "{version}: declared");
        other_lease(&mut machine, "eth0", SECOND[0], "second.test");
        assert_eq!(says(&mut machine, "eth0"), [SECOND[0], "second.test", "yes"], "{version}: left to its leases");
        untouched(&mut machine, "renewed");

        if machine.dhclient() {
            let looked = machine.must("cat /run/looked-eth1");
            assert!(looked.lines().count() > 1, "{version}: {looked}");
            assert!(looked.lines().all(|line| line.ends_with(": 192.168.4.54")), "{version}: {looked}");
        }

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
        becomes(&mut machine, "eth1", OURS, "after a boot");
        becomes(&mut machine, "eth0", [ISP, "~. ~isp.example", "yes"], "after a boot");
        // The unit may have come before the lease, and is then tried again.
        let unit = "systemctl show -p ActiveState -p Result knotwork-host";
        machine.until(&format!(
            "journalctl -b -u knotwork-host -o cat --no-pager; {unit}; \
             {unit} | grep -qx Result=success && {unit} | grep -qx ActiveState=inactive"
        ));
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
        let Some(mut machine) = booted(version) else { continue };
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

/// The same as [`INSIDE_ONLY`], with search domains and another route.
const SEARCHED: &str = "    - {name: inside, match: {name: eth1}, kind: Corporate, servers: [192.168.4.54], \
    domains: [maas, homelab], searchDomains: Keep}\n";

/// R12, R25: a search domain that becomes a routing domain is one after a restart of resolved too; and what somebody else
/// sets on a link, which resolved announces to nobody, is found by the next look and made right.
#[test]
fn r12_a_search_domain_made_a_routing_domain_does_not_go_back_unseen() {
    for version in VERSIONS {
        let Some(mut machine) = booted(version) else { continue };
        apply(&mut machine, &policy(SEARCHED));
        assert_eq!(says(&mut machine, "eth1"), ["192.168.4.54", "homelab maas", "no"], "{version}");
        apply(&mut machine, &policy(INSIDE_ONLY));
        assert_eq!(says(&mut machine, "eth1"), OURS, "{version}");
        machine.must("systemctl restart systemd-resolved");
        machine.resolved_up();
        assert_eq!(says(&mut machine, "eth1"), OURS, "{version}: after a restart");

        machine.must("resolvectl domain eth1 '~maas' '~leak.test'");
        let (code, text) = machine.run("knotwork host check");
        assert!(code == 2 && text.contains("eth1") && text.contains("domains"), "{version}: {text}");
        apply(&mut machine, &policy(INSIDE_ONLY));
        assert_eq!(says(&mut machine, "eth1"), OURS, "{version}: made right");
        assert_eq!(machine.run("knotwork host check").0, 0, "{version}");
    }
}

/// networkd as eth1's, with a lease.
const NETWORK: &str =
    "[Match]\nName=eth1\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n[DHCPv4]\nUseDomains=yes\n";

/// On Debian 12 resolved knows no servers of eth0 by itself, and eth1's would be the only ones.
fn split() -> String {
    let uplink = "    - {name: uplink, match: {name: eth0}, kind: Regular, servers: [10.11.0.53]}\n";
    policy(&format!("{INSIDE_ONLY}{uplink}"))
}

/// A machine on which the policy stood, until networkd took eth1 over, and with it all that was set there.
fn taken_over(version: u16) -> Option<Machine> {
    let mut machine = booted(version)?;
    apply(&mut machine, &split());
    machine.must("ifdown eth1; sed -i '/eth1/d' /etc/network/interfaces");
    machine.write("/etc/systemd/network/20-eth1.network", NETWORK);
    machine.must("systemctl start systemd-networkd");
    becomes(&mut machine, "eth1", [INSIDE, "maas", "yes"], "taken over");
    let (code, text) = machine.run("knotwork host check");
    assert!(code == 2 && text.contains("eth1"), "{version}: {text}");
    Some(machine)
}

/// R18: the settings are a drop-in of the link's file, which costs no address.
#[test]
fn r18_a_drop_in_of_networkd_keeps_the_address() {
    for version in VERSIONS {
        let Some(mut machine) = taken_over(version) else { continue };
        machine.must("(ip monitor address > /root/monitor 2>&1 & echo $! > /root/monitor.pid)");
        let text = apply(&mut machine, &split());
        assert!(text.contains("link eth1: networkd"), "{version}: {text}");
        assert_eq!(says(&mut machine, "eth1"), OURS, "{version}: by its file");
        machine.must("test -e /etc/systemd/network/20-eth1.network.d/50-knotwork.conf");
        machine.must("kill $(cat /root/monitor.pid)");
        let monitor = machine.must("cat /root/monitor");
        // 252 takes the address of a lease away for a moment, and tells so in the plan.
        assert_eq!(monitor.contains("Deleted"), version < 257, "{version}: {monitor}");
        assert_eq!(text.contains("drops the address of a lease for a moment"), version < 257, "{text}");
        assert!(machine.must("ip -4 -br addr show eth1").contains("192.168.4.20/24"), "{version}: {monitor}");
    }
}

/// R24: those settings outlive networkd's restart, other leases, what somebody sets over them, and boots.
#[test]
fn r24_a_link_that_networkd_takes_over_is_found_and_set_by_its_file() {
    let declared = split();
    for version in VERSIONS {
        let Some(mut machine) = taken_over(version) else { continue };
        let text = apply(&mut machine, &declared);
        assert!(text.contains("link eth1: networkd"), "{version}: {text}");
        machine.must("systemctl restart systemd-networkd");
        becomes(&mut machine, "eth1", OURS, "networkd started anew");
        machine.offer("eth1", |offer| offer.domain = "other.test".to_owned());
        let leases = machine.dhcp_log("eth1").matches("RENEW").count();
        machine.must("networkctl renew eth1");
        let start = Instant::now();
        while machine.dhcp_log("eth1").matches("RENEW").count() == leases {
            assert!(start.elapsed() < PATIENCE, "{version}: no renewal");
            std::thread::sleep(Duration::from_millis(20));
        }
        becomes(&mut machine, "eth1", OURS, "renewed");

        // Whoever sets it by resolvectl sets it at networkd, over its files.
        machine.must("resolvectl dns eth1 192.168.4.53");
        let (code, text) = machine.run("knotwork host check");
        assert!(code == 2 && text.contains("eth1"), "{version}: {text}");
        let text = apply(&mut machine, &declared);
        assert!(text.contains("somebody set it at networkd"), "{version}: {text}");
        assert_eq!(says(&mut machine, "eth1"), OURS, "{version}: as its file says");
        assert_eq!(machine.run("knotwork host check").0, 0, "{version}");

        machine.must("systemctl enable systemd-networkd");
        machine.reboot();
        becomes(&mut machine, "eth1", OURS, "booted");
        machine.must("knotwork host rollback");
        becomes(&mut machine, "eth1", [INSIDE, "other.test", "yes"], "given back");
    }
}

/// R21: the link to a closed route's servers is down. Its names go to nobody, and to the right one when it is back.
#[test]
fn r21_names_of_a_closed_route_go_nowhere_while_the_link_is_down() {
    let route = "  routes:\n    - {name: lab, domains: [maas], servers: [192.168.4.53], failClosed: true}\n";
    let uplink = "    - {name: uplink, match: {name: eth0}, kind: Privacy, servers: [10.11.0.53]}\n    \
                  - {name: inside, match: {name: eth1}, kind: Untrusted}\n";
    for version in VERSIONS {
        let Some(mut machine) = booted(version) else { continue };
        apply(&mut machine, &(policy(uplink) + route));
        let ask = |machine: &mut Machine, name: &str| {
            machine.asked();
            machine.net(&format!("dig +tries=1 +time=6 @127.0.0.53 {name}"));
            machine.asked().into_iter().filter(|(_, asked, _)| asked == name).map(|(at, _, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(ask(&mut machine, "up.maas"), [machine::at(INSIDE)], "{version}");
        machine.must("ip link set eth1 down");
        assert!(ask(&mut machine, "down.maas").is_empty(), "{version}: while the link is down");
        assert_eq!(ask(&mut machine, "www.example.net"), [machine::at(ISP)], "{version}: the rest goes on");
        machine.must("ip link set eth1 up");
        let start = Instant::now();
        for n in 0..1000 {
            let asked = ask(&mut machine, &format!("back{n}.maas"));
            assert!(asked.iter().all(|at| *at == machine::at(INSIDE)), "{version}: {asked:?}");
            if !asked.is_empty() {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{version}: never back");
        }
    }
}

/// The names that the servers were asked for by programs that read resolv.conf, and by whom they are answered.
fn resolves(machine: &mut Machine, when: &str) {
    let conf = machine.must("cat /etc/resolv.conf");
    let server = conf.lines().find_map(|line| line.strip_prefix("nameserver ")).unwrap_or_default().to_owned();
    let (_, text) = machine.net(&format!("dig +short +tries=2 +time=4 @{server} www.example.com A"));
    assert!(text.trim().parse::<std::net::IpAddr>().is_ok(), "systemd {}, {when}: {text}\n{conf}", machine.version);
}

/// dhclient of Debian 12 writes through the link into resolved's own file and tells resolved nothing: what it wrote is all
/// the DNS that the host has, and is there again after a change was taken back, whatever took it back.
#[test]
fn what_dhclient_wrote_into_resolveds_file_is_there_again_after_a_rollback() {
    let Some(mut machine) = booted(252) else { return };
    let machine = &mut machine;
    machine.must("ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf");
    machine.renew_dhcp("eth0");
    let words = machine.must(&format!("cat {STUB}"));
    assert!(words.contains("nameserver 10.11.0.53") && !words.contains("127.0.0.53"), "{words}");
    resolves(machine, "before");
    let declared = bare(&format!(
        "    - {{name: uplink, match: {{name: eth0}}, kind: Regular, servers: [10.11.0.53]}}\n{INSIDE_ONLY}"
    ));
    let is_back = |machine: &mut Machine, when: &str| {
        assert_eq!(machine.must(&format!("cat {STUB}")), words, "{when}");
        assert_eq!(machine.must("readlink /etc/resolv.conf").trim(), "../run/systemd/resolve/stub-resolv.conf");
        resolves(machine, when);
    };
    // All is given back; then one change is.
    for back in ["knotwork host rollback", "knotwork host rollback --transaction last"] {
        apply(machine, &declared);
        untouched(machine, "applied");
        let text = machine.must(back);
        is_back(machine, &format!("{back}: {text}"));
    }
    // A probe fails, and the change is undone by itself.
    machine.write(
        "/root/policy.yaml",
        &format!("{declared}  probes: [{{name: never, query: nx.invalid, expect: {{any: true}}}}]\n"),
    );
    let (code, text) = machine.run("knotwork host apply -f /root/policy.yaml");
    assert_eq!(code, 1, "{text}");
    is_back(machine, "undone");
    // Killed when all was in place: the next start undoes it.
    machine.write("/root/policy.yaml", &declared);
    machine.must(
        "(setsid sh -c 'echo $$ > /root/pid; exec knotwork host apply -f /root/policy.yaml --confirm-within 20m' \
         > /root/out 2>&1 < /dev/null &)",
    );
    machine.until("grep -q 'host confirm' /root/out");
    untouched(machine, "in place");
    machine.must("kill -KILL $(cat /root/pid)");
    machine.run("knotwork host rollback");
    is_back(machine, "killed");
    // Whoever tells resolved servers meanwhile leaves its file right as resolved writes it.
    apply(machine, &declared);
    machine.must("resolvectl dns eth0 10.11.0.54");
    machine.must("knotwork host rollback");
    untouched(machine, "told meanwhile");
}
