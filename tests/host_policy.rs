//! Policies on whole machines of 252, 257 and 262: every field reaches the real systemd-resolved, and what contradicts, is bad
//! or is about a link that is not there does no harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use support::fleet::{apply, changes, document, on, rested, shown, shows, state, with};
use support::machine::{self, INSIDE, ISP, Machine, SECOND, VERSIONS, at};
use support::parts::{Tier, tier};

/// The far side of every network: this program again, in the labs' other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

/// Whether a server is asked for a name that was asked for before, too.
fn asked_again(machine: &mut Machine, name: &str) -> bool {
    machine.run(&format!("resolvectl query {name}"));
    assert!(machine.asked().iter().any(|(_, asked, _)| asked == name), "nobody was asked for {name}");
    machine.run(&format!("resolvectl query {name}"));
    machine.asked().iter().any(|(_, asked, _)| asked == name)
}

fn answers(machine: &mut Machine, dig: &str) -> bool {
    let (code, text) = machine.net(&format!("dig +tries=1 +time=2 {dig} www.example.com A"));
    code == 0 && text.contains("status: NOERROR")
}

const ON: &str = r#"global:
  dnssec: AllowDowngrade
  dnsOverTLS: Opportunistic
  multicastDNS: "On"
  llmnr: "On"
  cache: "On"
  fallbackServers: ["9.9.9.9#dns.quad9.net", "149.112.112.112"]
  stubListener: "On"
  extraListeners: ["udp:127.0.0.9:5399", "127.0.0.10"]
links:
  - {name: isp, match: {name: eth0}, kind: Regular, servers: ["10.11.0.53", "10.11.0.54:53"], dnssec: "Off", dnsOverTLS: "Off", multicastDNS: "Off", llmnr: Resolve}
  - {name: inside, match: {address: 192.168.4.0/24}, kind: Corporate, servers: ["192.168.4.53#dns.lab.test"], domains: [maas, homelab], dnssec: AllowDowngrade, dnsOverTLS: "On", multicastDNS: Resolve, llmnr: "On"}
hostsFile: [{address: 192.168.4.218, names: [pbs.lab.test]}]
resolvConf: Uplink
"#;

const OFF: &str = r#"global:
  dnssec: "Off"
  dnsOverTLS: "Off"
  multicastDNS: "Off"
  llmnr: "Off"
  cache: "Off"
  fallbackServers: []
  stubListener: UDP
  extraListeners: []
links:
  - {name: isp, match: {glob: "eth[0]"}, kind: Regular, servers: ["10.11.0.54"], dnssec: "Off", dnsOverTLS: Opportunistic, multicastDNS: "Off", llmnr: "Off"}
  - {name: inside, match: {name: eth1}, kind: Corporate, servers: ["192.168.4.54"], domains: [maas], searchDomains: Keep, defaultRoute: false, dnssec: "Off", dnsOverTLS: "Off"}
resolvConf: Unmanaged
nsswitch: Unmanaged
"#;

const KINDS: &str = r#"global: {servers: ["10.11.0.54#dns.isp.test"], cache: NoNegative, stubListener: TCP}
links:
  - {name: isp, match: {name: eth0}, kind: Privacy, servers: ["10.11.0.53"]}
  - {name: inside, match: {name: eth1}, kind: Untrusted, servers: ["192.168.4.53"]}
resolvConf: Unmanaged
lint: {allow: [global-beside-default-route]}
"#;

#[test]
fn every_field_reaches_resolved() {
    on(&VERSIONS, |machine| {
        apply(machine, ON);
        shows(
            machine,
            "Global",
            &[
                ("dnssec", &["allow-downgrade"]),
                ("dnsovertls", &["opportunistic"]),
                ("mdns", &["yes"]),
                ("llmnr", &["yes"]),
                ("dns", &[]),
            ],
        );
        shows(
            machine,
            "eth0",
            &[
                ("dns", &["10.11.0.53", "10.11.0.54"]),
                ("domain", &[]),
                ("default-route", &["yes"]),
                ("dnssec", &["no"]),
                ("dnsovertls", &["no"]),
                ("mdns", &["no"]),
                ("llmnr", &["resolve"]),
            ],
        );
        shows(
            machine,
            "eth1",
            &[
                ("dns", &["192.168.4.53#dns.lab.test"]),
                ("domain", &["~homelab", "~maas"]),
                ("default-route", &["no"]),
                ("dnssec", &["allow-downgrade"]),
                ("dnsovertls", &["yes"]),
                ("mdns", &["resolve"]),
                ("llmnr", &["yes"]),
            ],
        );
        let fallback = machine.must("resolvectl status | grep -A1 'Fallback DNS'");
        assert!(fallback.contains("9.9.9.9#dns.quad9.net") && fallback.contains("149.112.112.112"), "{fallback}");
        assert!(answers(machine, "@127.0.0.53") && answers(machine, "+tcp @127.0.0.53"));
        assert!(answers(machine, "-p 5399 @127.0.0.9") && answers(machine, "@127.0.0.10"));
        assert!(!asked_again(machine, "on.example.com"), "Cache=yes");
        assert_eq!(machine.must("readlink /etc/resolv.conf").trim(), "../run/systemd/resolve/resolv.conf");
        assert!(machine.must("getent hosts pbs.lab.test").starts_with("192.168.4.218"));
        assert!(machine.must("grep ^hosts: /etc/nsswitch.conf").contains("resolve"));

        // From that to the other values of everything, without a rollback between.
        apply(machine, OFF);
        shows(
            machine,
            "Global",
            &[("dnssec", &["no"]), ("dnsovertls", &["no"]), ("mdns", &["no"]), ("llmnr", &["no"])],
        );
        shows(
            machine,
            "eth0",
            &[
                ("dns", &["10.11.0.54"]),
                ("domain", &[]),
                ("default-route", &["yes"]),
                ("dnsovertls", &["opportunistic"]),
                ("llmnr", &["no"]),
            ],
        );
        shows(
            machine,
            "eth1",
            &[
                ("dns", &["192.168.4.54"]),
                ("domain", &["maas"]),
                ("default-route", &["no"]),
                ("dnssec", &["no"]),
                ("dnsovertls", &["no"]),
            ],
        );
        let (code, fallback) = machine.run("resolvectl status | grep 'Fallback DNS'");
        assert_eq!(code, 1, "{fallback}");
        assert!(answers(machine, "@127.0.0.53") && !answers(machine, "+tcp @127.0.0.53"), "DNSStubListener=udp");
        assert!(!answers(machine, "-p 5399 @127.0.0.9") && !answers(machine, "@127.0.0.10"), "no extra listeners");
        assert!(asked_again(machine, "off.example.com"), "Cache=no");
        assert_ne!(machine.run("getent hosts pbs.lab.test | grep 192.168.4.218").0, 0);

        apply(machine, KINDS);
        shows(machine, "Global", &[("dns", &["10.11.0.54#dns.isp.test"])]);
        shows(machine, "eth0", &[("dns", &["10.11.0.53"]), ("domain", &["~."]), ("default-route", &["yes"])]);
        shows(
            machine,
            "eth1",
            &[
                ("dns", &["192.168.4.53"]),
                ("domain", &[]),
                ("default-route", &["no"]),
                ("mdns", &["no"]),
                ("llmnr", &["no"]),
            ],
        );
        assert!(!answers(machine, "@127.0.0.53") && answers(machine, "+tcp @127.0.0.53"), "DNSStubListener=tcp");
        assert!(!asked_again(machine, "known.example.com"), "Cache=no-negative keeps answers");
        machine.mode(ISP, "nx");
        machine.mode(SECOND[0], "nx");
        assert!(asked_again(machine, "unknown.example.com"), "Cache=no-negative");
        machine.mode(ISP, "ok");
        machine.mode(SECOND[0], "ok");
        machine.asked();
    });
}

const SPLIT: &str = r#"links:
  - {name: isp, match: {name: eth0}, kind: Regular, servers: ["10.11.0.53"]}
  - {name: inside, match: {name: eth1}, kind: Corporate, servers: ["192.168.4.54"], domains: [maas]}
resolvConf: Unmanaged
nsswitch: Unmanaged
"#;

/// R19: a delegate with two ports of one server: before 262 resolved drops what follows, 262 takes both; ours is whole.
#[test]
fn r19_a_delegate_is_whole() {
    on(&[262], |machine| {
        let spec = r#"routes:
  - {name: lab, domains: [maas, homelab], servers: ["192.168.4.53", "192.168.4.53:5353", "192.168.4.54"], reverseFor: [192.168.4.0/24], failClosed: true}"#;
        let text = apply(machine, spec);
        let status = machine.must("resolvectl status | grep -A4 Delegate");
        for word in ["192.168.4.53", "192.168.4.54", "maas", "homelab", "4.168.192.in-addr.arpa"] {
            assert!(status.contains(word), "{word}: {status}{text}");
        }
        for wrong in ["bad/label", "with blank", "a..b"] {
            let (code, text) = with(machine, "apply", &document("p", &spec.replace("maas", &format!("\"{wrong}\""))));
            assert_ne!(code, 0, "{wrong}: {text}");
            assert!(machine.must("resolvectl status").contains("maas"), "{wrong}: what was there stays");
        }
    });
}

/// F34, and contradictions of other kinds: by name, and nothing changes; what is taken out of a policy goes back.
#[test]
fn f34_contradictions_change_nothing_and_removal_gives_back() {
    let versions: &[u16] = if tier() == Tier::Full { &VERSIONS } else { &[252, 262] };
    on(versions, |machine| {
        let lab = |server: &str| {
            format!(
                "routes: [{{name: lab, domains: [maas], servers: [{server}], failClosed: true}}]\nlinks: [{{name: isp, match: {{name: eth0}}, servers: [10.11.0.53]}}, {{name: inside, match: {{name: eth1}}, kind: Untrusted}}]"
            )
        };
        let bare = state(machine);
        apply(machine, &lab("192.168.4.53"));
        let applied = state(machine);
        let both = format!("{}---\n{}", document("p", &lab("192.168.4.53")), document("q", &lab("192.168.4.54")));
        let (code, text) = with(machine, "apply", &both);
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("policy q is refused") && text.contains("192.168.4.5"), "{text}");
        assert_eq!(changes(&applied, &state(machine)), [""; 0]);
        // With a higher priority the other one counts, and the first is told that it is passed over.
        let higher = both.replace("metadata: {name: q}\nspec:\n", "metadata: {name: q}\nspec:\n  priority: 5\n");
        let (code, text) = with(machine, "apply", &higher);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("shadowed"), "{text}");
        machine.asked();
        machine.net("dig +tries=1 +time=3 @127.0.0.53 x.maas A");
        assert!(machine.asked().iter().all(|(by, ..)| *by == at(SECOND[1])));
        // Two routes of one policy, two wishes about one link.
        let routes = "routes: [{name: a, domains: [maas], servers: [192.168.4.53]}, {name: b, domains: [maas], servers: [192.168.4.54]}]";
        let links = "links: [{name: a, match: {name: eth0}, servers: [10.11.0.53]}, {name: b, match: {glob: \"eth*\"}, servers: [10.11.0.54]}]";
        let (now, versioned) = (state(machine), machine.version);
        for (spec, word) in [(routes, "maas"), (links, "link-contradiction")] {
            let (code, text) = with(machine, "apply", &document("p", spec));
            assert!(code == 1 || code == 3, "{versioned}: {text}");
            assert!(text.contains(word), "{versioned}: {word}: {text}");
            assert_eq!(changes(&now, &state(machine)), [""; 0], "{versioned}: {spec}");
        }
        // Without the route the names go where they went before, and nothing of it is left.
        apply(machine, "hostsFile: []\nresolvConf: Unmanaged\nnsswitch: Unmanaged");
        let left = state(machine);
        assert_eq!(changes(&bare, &left), [""; 0], "{versioned}");
    });
}

/// What a person gets wrong: file, line and column, and not a byte changes.
#[test]
fn bad_policies_change_nothing() {
    on(&[257], |machine| {
        let before = state(machine);
        let committed = machine.run("knotwork host status | grep -c committed").1;
        let route = |domains: &str, servers: &str| {
            format!("routes: [{{name: lab, domains: [{domains}], servers: [{servers}]}}]")
        };
        let long = "a".repeat(64);
        for (spec, word) in [
            (route("maas", "192.168.4.300"), "192.168.4.300"),
            (route("maas", "\"192.168.4.53:0\""), ":0"),
            (route("maas", "\"192.168.4.53:65536\""), "65536"),
            (route("maas", "\"[fe80::1]\""), "fe80::1"),
            (route("maas", "\"192.168.4.53#\""), "#"),
            (route("maas", "127.0.0.53"), "127.0.0.53"),
            (route("maas", "dns.example"), "dns.example"),
            (route("\"a..b\"", "192.168.4.53"), "a..b"),
            (route(&long, "192.168.4.53"), "63"),
            (route("\"*.maas\"", "192.168.4.53"), "*"),
            (route("maas", ""), "servers"),
            (route("maas", "192.168.4.53, \"192.168.4.53:53\""), "second time"),
            ("links: [{name: a, match: {name: eth0, glob: \"e*\"}}]".to_owned(), "match"),
            ("links: [{name: a, match: {address: 192.168.4.0/33}}]".to_owned(), "192.168.4.0/33"),
            ("global: {extraListeners: [\"127.0.0.9:x\"]}".to_owned(), "127.0.0.9:x"),
            ("hostsFile: [{address: 10.0.0.256, names: [a]}]".to_owned(), "10.0.0.256"),
            ("probes: [{name: p, query: \"a..b\", expect: {any: true}}]".to_owned(), "a..b"),
            ("resolvConf: Sometimes".to_owned(), "Sometimes"),
            ("colour: blue".to_owned(), "colour"),
        ] {
            let (code, text) = with(machine, "apply", &document("p", &spec));
            assert_eq!(code, 1, "{spec}: {text}");
            assert!(text.contains("/root/policy.yaml:") && text.contains(word), "{word}: {text}");
        }
        assert_eq!(changes(&before, &state(machine)), [""; 0]);
        assert_eq!(machine.run("knotwork host status | grep -c committed").1, committed);
    });
}

/// The network announces the name as its search domain, and a route has it, too, with the `~` of resolved.conf: it stays a
/// search domain, which routes as well, and is given back as it was.
#[test]
fn a_route_for_the_search_domain_of_its_link_keeps_it() {
    for mut machine in booted() {
        machine.must("resolvectl domain eth1 maas");
        let text = apply(&mut machine, "routes: [{name: lab, domains: [\"~maas\", homelab], servers: [192.168.4.53]}]");
        assert!(text.contains("'~' of resolved.conf changes nothing"), "{text}");
        let domains = shown(&mut machine, "domain", "eth1");
        assert!(domains.contains(&"maas".to_owned()), "{domains:?}");
        machine.asked();
        machine.net("dig +tries=1 +time=3 @127.0.0.53 x.maas A");
        let asked = machine.asked();
        assert!(asked.iter().any(|(_, name, _)| name == "x.maas"), "{asked:?}");
        assert!(asked.iter().all(|(by, name, _)| name != "x.maas" || *by == at(INSIDE)), "{asked:?}");
        rested(&mut machine);
        machine.must("knotwork host rollback");
        assert_eq!(shown(&mut machine, "domain", "eth1"), ["maas"]);
    }
}

/// The wrong recipe of runbooks is refused, and what is proposed instead can be taken as it stands: `.maas` and `.homelab` go
/// to the one server, everything else to the uplink's.
#[test]
fn the_proposal_for_the_wrong_recipe_does_what_was_meant() {
    for mut machine in booted() {
        let wrong = "global: {servers: [192.168.4.53, 1.1.1.1], domains: [~maas, ~homelab]}";
        let before = state(&mut machine);
        let (code, text) = with(&mut machine, "apply", &document("p", wrong));
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("global-domains") && text.contains("as it would be right:"), "{text}");
        assert_eq!(changes(&before, &state(&mut machine)), [""; 0]);
        let proposed: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.contains("as it would be right:"))
            .skip(1)
            .map_while(|line| line.strip_prefix("      "))
            .collect();
        apply(&mut machine, &proposed.join("\n"));
        machine.asked();
        for name in ["a.maas", "b.homelab", "c.example.com"] {
            machine.net(&format!("dig +tries=1 +time=3 @127.0.0.53 {name} A"));
        }
        let asked = machine.asked();
        for (name, server) in [("a.maas", INSIDE), ("b.homelab", INSIDE), ("c.example.com", ISP)] {
            let by: Vec<_> = asked.iter().filter(|(_, asked, _)| asked == name).map(|(by, ..)| *by).collect();
            assert!(!by.is_empty() && by.iter().all(|by| *by == at(server)), "{}: {name}: {asked:?}", machine.version);
        }
    }
}

/// Machines of their own, with servers on both links and one of them for everything that no domain covers.
fn booted() -> impl Iterator<Item = Machine> {
    VERSIONS.into_iter().filter_map(Machine::boot).map(|mut machine| {
        machine.must(
            "resolvectl dns eth0 10.11.0.53; resolvectl domain eth0 ''; resolvectl default-route eth0 yes; \
             resolvectl dns eth1 192.168.4.53; resolvectl domain eth1 ''; resolvectl default-route eth1 no",
        );
        machine
    })
}

/// A link that is not there is waited for and said; everything else stands at once.
#[test]
fn a_link_that_is_not_there_is_waited_for() {
    on(&[257], |machine| {
        let spec = SPLIT.replace("resolvConf", "  - {name: office, match: {glob: \"company*\"}, kind: Corporate, servers: [192.0.2.1], domains: [corp.test]}\nresolvConf");
        let text = apply(machine, &spec);
        assert!(text.contains("no interface of this host is company*; this part waits"), "{text}");
        assert_eq!(shown(machine, "domain", "eth1"), ["~maas"]);
        machine.must("ip link add company0 type veth peer name company1 && ip addr add 192.0.2.9/24 dev company0 && ip link set company0 up && ip link set company1 up");
        machine.until("resolvectl dns company0");
        let (code, text) = machine.run("knotwork host check");
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("link company0"), "{text}");
        let (code, text) = machine.run("knotwork host apply --accepted");
        assert_eq!(code, 0, "{text}");
        shows(machine, "company0", &[("dns", &["192.0.2.1"]), ("domain", &["~corp.test"]), ("default-route", &["no"])]);
        // It goes again: nothing is wrong with that, and nothing is left to give back.
        machine.must("ip link del company0");
        let (code, text) = machine.run("knotwork host check");
        assert_eq!(code, 0, "{text}");
    });
}
