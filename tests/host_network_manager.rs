//! Links that a real NetworkManager configures (1.42, 1.52 and 1.58): its profiles carry what a policy says of them, for as
//! long as it says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::fleet::rested;
use support::machine::{self, INSIDE, ISP, Machine, SECOND, VERSIONS, at};
use support::parts::{Tier, tier};
use support::schema::{fits, validator};
use support::wait;

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

/// Servers that no lease offers, so that whoever is asked was told by us.
const POLICY: &str = "apiVersion: dns.knotwork.dev/v1alpha1
kind: SplitDNSPolicy
metadata: {name: corp}
spec:
  links:
    - {name: isp, match: {name: eth0}, kind: Regular, servers: [10.11.0.54]}
    - {name: inside, match: {name: eth1}, kind: Corporate, servers: [192.168.4.54], domains: [maas, corp.example], multicastDNS: \"Off\"}
  probes:
    - {name: lab, query: pbs.maas, expect: {any: true}}
    - {name: world, query: example.com, expect: {any: true}}
";

const APPLY: &str = "knotwork host apply -f /root/policy.yaml";
const PLAN: &str = "knotwork host plan -f /root/policy.yaml";
const CHECK: &str = "knotwork host check";

/// What both links have of their leases.
const LEASED: &str = "resolvectl dns eth0 | grep -q 10.11.0.53 && resolvectl dns eth1 | grep -q 192.168.4.53 \
                      && resolvectl domain eth1 | grep -qw maas && resolvectl default-route eth0 | grep -q yes";

/// As the policy has it.
const DECLARED: &str = "test \"$(resolvectl dns eth0)\" = 'Link 2 (eth0): 10.11.0.54' \
                        && test \"$(resolvectl dns eth1)\" = 'Link 3 (eth1): 192.168.4.54' \
                        && test \"$(resolvectl domain eth0 | tr -d ' ')\" = 'Link2(eth0):' \
                        && resolvectl domain eth1 | grep -Eq '~(maas ~corp.example|corp.example ~maas)$' \
                        && resolvectl default-route eth0 | grep -q yes && resolvectl default-route eth1 | grep -q no";

/// A machine with a profile of its own for each link. That of eth1 holds what must not be lost: a search domain, a priority,
/// an address.
fn machine(version: u16) -> Option<Machine> {
    let mut machine = Machine::boot_network_manager(version)?;
    machine.must(
        "nmcli con add type ethernet con-name uplink ifname eth0 ipv4.method auto ipv6.method disabled
         nmcli con add type ethernet con-name 'in side' ifname eth1 ipv4.method auto ipv4.dns-search mine.test \
             ipv4.dns-priority 70 ipv4.addresses 192.168.4.77/24 ipv4.route-metric 777 ipv6.method auto
         nmcli con up uplink && nmcli con up 'in side'
         nmcli con del 'Wired connection 1' 'Wired connection 2'",
    );
    machine.until(&LEASED.replace("maas", "mine.test"));
    machine.write("/root/policy.yaml", POLICY);
    Some(machine)
}

/// A secret that is in no interface's way, as it never comes into force.
fn secret(machine: &mut Machine) {
    machine.must("nmcli con mod 'in side' 802-1x.eap md5 802-1x.identity me 802-1x.password geheim");
}

/// Line by line.
#[track_caller]
fn same(is: &str, was: &str, what: &str) {
    let diff = similar_lines(is, was);
    assert!(is == was, "{what}:\n{diff}");
}

fn similar_lines(is: &str, was: &str) -> String {
    let (is, was): (Vec<&str>, Vec<&str>) = (is.lines().collect(), was.lines().collect());
    let at = is.iter().zip(&was).take_while(|(one, other)| one == other).count();
    let part = |all: &[&str]| {
        all.iter().skip(at.saturating_sub(3)).take(8).map(|line| format!("{line}\n")).collect::<String>()
    };
    format!("is:\n{}was:\n{}", part(&is), part(&was))
}

/// All that NetworkManager knows of the profiles, their files with the secrets (nmcli shows those now and then as none, at the
/// first of two looks), and what other files we may touch.
fn profiles(machine: &mut Machine) -> String {
    machine.must(
        "for c in uplink 'in side'; do nmcli con show \"$c\" | grep -Ev '^(GENERAL|IP4|IP6|DHCP4|DHCP6)|timestamp'; done
         for f in /etc/NetworkManager/system-connections/*; do echo \"$f\"; grep -v timestamp \"$f\"; done
         find /etc -path /etc/ssl -prune -o -printf '%p %y %l %m %U:%G\\n' | sort",
    )
}

fn resolver(machine: &mut Machine) -> String {
    machine.must("for what in dns domain default-route mdns llmnr; do echo $what; resolvectl $what | sort; done")
}

fn json(machine: &mut Machine, command: &str, code: i32) -> Value {
    let (got, text) = machine.run(&format!("{command} 2> /dev/null"));
    assert_eq!(got, code, "{command}\n{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Who is asked for each name, and nobody else.
fn asked_right(machine: &mut Machine, what: &str, tag: &str) {
    for (name, server) in [("maas", SECOND[1]), ("corp.example", SECOND[1]), ("example.net", SECOND[0])] {
        let name = format!("{tag}.{name}");
        machine.asked();
        machine.net(&format!("dig +tries=1 +time=8 @127.0.0.53 {name}"));
        let asked: Vec<_> = machine.asked().into_iter().filter(|(_, asked, _)| *asked == name).collect();
        let version = machine.version;
        assert!(!asked.is_empty(), "{version} {what}: nobody was asked for {name}");
        assert!(asked.iter().all(|(by, ..)| *by == at(server)), "{version} {what}: {asked:?}");
    }
}

#[test]
fn a_profile_carries_the_policy_through_everything_and_gets_its_own_back() {
    let (plans, facts) = (validator("host-plan"), validator("host-facts"));
    for version in VERSIONS {
        let Some(mut machine) = machine(version) else { continue };
        let (before, resolver_before) = (profiles(&mut machine), resolver(&mut machine));
        fits(&facts, &json(&mut machine, "knotwork host facts -o json", 0));

        let plan = json(&mut machine, &format!("{PLAN} -o json"), 2);
        fits(&plans, &plan);
        assert_eq!(plan["refusals"].as_array().unwrap().len(), 0, "{plan:#}");
        let inside = plan["profiles"].as_array().unwrap().iter().find(|one| one["id"] == "in side").unwrap();
        let search = inside["changes"].as_array().unwrap().iter().find(|one| one["key"] == "ipv4.dns-search").unwrap();
        assert_eq!(search["from"], serde_json::json!(["mine.test"]), "{plan:#}");
        assert_eq!(search["to"], serde_json::json!(["~maas", "~corp.example"]), "{plan:#}");
        let (_, text) = machine.run(PLAN);
        assert!(text.contains("ipv4.dns-search: mine.test -> ~maas,~corp.example"), "{text}");
        assert!(text.contains("link eth1: networkManager (NetworkManager has the link"), "{text}");
        same(&profiles(&mut machine), &before, "a plan changes nothing");

        let text = machine.must(APPLY);
        eprintln!("{version}: {text}");
        machine.must(DECLARED);
        let shown =
            machine.must("nmcli -g ipv4.dns,ipv4.dns-search,ipv4.ignore-auto-dns,connection.mdns con show 'in side'");
        assert!(shown.starts_with("192.168.4.54\n~maas,~corp.example\nyes\n"), "{shown}");
        asked_right(&mut machine, "applied", "a");

        let mut tag = 0;
        let mut still = |machine: &mut Machine, what: &str, command: &str| {
            machine.must(command);
            machine.until(DECLARED);
            tag += 1;
            asked_right(machine, what, &format!("s{tag}"));
            let (code, text) = machine.run(PLAN);
            assert_eq!(code, 0, "{version} {what}: {text}");
        };
        still(&mut machine, "nothing", "true");
        still(&mut machine, "reapply", "nmcli device reapply eth1");
        still(
            &mut machine,
            "another profile changes",
            "nmcli con mod uplink ipv4.dns-options timeout:3 && nmcli device reapply eth0",
        );
        still(&mut machine, "NetworkManager restarts", "systemctl restart NetworkManager && nm-online -q -t 60");
        still(&mut machine, "resolved restarts", "systemctl restart systemd-resolved");
        still(&mut machine, "down and up", "nmcli con down 'in side' && nmcli con up 'in side'");
        machine.must("nmcli con mod uplink ipv4.dns-options '' && nmcli device reapply eth0");
        machine.reboot();
        still(&mut machine, "a boot", "true");
        let (code, text) = machine.run(CHECK);
        assert_eq!(code, 0, "{text}");

        machine.must("knotwork host rollback");
        same(&profiles(&mut machine), &before, &format!("{version}: exactly as before"));
        machine.until(&LEASED.replace("maas", "mine.test"));
        same(&resolver(&mut machine), &resolver_before, &format!("{version}"));
        assert_eq!(machine.run("knotwork host rollback").0, 0);
        assert!(machine.run("knotwork host status").1.contains("no policy counts"));
    }
}

#[test]
fn what_a_person_changed_in_a_profile_is_drift_to_apply_and_stays_at_a_rollback() {
    for version in VERSIONS {
        let Some(mut machine) = machine(version) else { continue };
        secret(&mut machine);
        let before = profiles(&mut machine);
        machine.must(APPLY);
        assert!(machine.must("cat /etc/NetworkManager/system-connections/*").contains("password=geheim"));
        // Not brought into force: the profile alone is another one.
        machine.must("nmcli con mod 'in side' ipv4.dns 192.168.4.53");
        let drift = json(&mut machine, &format!("{CHECK} -o json"), 2);
        let drift = drift["drift"].as_array().unwrap();
        assert!(
            drift.iter().any(|one| one["at"] == "profile in side" && one["what"] == "ipv4.dns-data differ"),
            "{drift:#?}"
        );
        machine.must(APPLY);
        machine.must(DECLARED);
        assert_eq!(machine.must("nmcli -g ipv4.dns con show 'in side'"), "192.168.4.54\n");
        // Set at resolved, beside NetworkManager.
        machine.must("resolvectl domain eth1 '~elsewhere.test'");
        assert_eq!(machine.run(CHECK).0, 2);
        machine.must(APPLY);
        machine.must(DECLARED);

        machine.must("nmcli con mod 'in side' ipv4.dns 192.168.4.53 ipv4.route-metric 778");
        let (code, text) = machine.run("knotwork host rollback");
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("profile in side") && text.contains("somebody changed ipv4.dns-data since"), "{text}");
        let shown = machine.must("nmcli -g ipv4.dns,ipv4.dns-search,ipv4.route-metric con show 'in side'");
        assert_eq!(shown, "192.168.4.53\n~maas,~corp.example\n778\n", "it stays as it is");
        assert_eq!(machine.must("nmcli -g ipv4.dns con show uplink"), "\n", "the rest went back");
        machine.must("knotwork host rollback --overwrite-edited");
        // What was never ours is the person's.
        assert_eq!(machine.must("nmcli -g ipv4.route-metric con show 'in side'"), "778\n");
        machine.must("nmcli con mod 'in side' ipv4.route-metric 777");
        same(&profiles(&mut machine), &before, &format!("{version}"));
        machine.until(&LEASED.replace("maas", "mine.test"));
    }
}

#[test]
fn a_profile_that_cannot_carry_it_is_refused_and_nothing_is_changed() {
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot_network_manager(version) else { continue };
        machine.until(LEASED);
        machine.write("/root/policy.yaml", POLICY);
        let refused = |machine: &mut Machine, reason: &str, at: &str| {
            let state = machine.must("cat /etc/NetworkManager/system-connections/* 2> /dev/null || true");
            let told = json(machine, &format!("{APPLY} -o json"), 3);
            let all = told["refusals"].as_array().unwrap();
            let found = all.iter().find(|one| one["reason"] == reason && one["at"] == at);
            let found = found.unwrap_or_else(|| panic!("{version}: no {reason} of {at}: {all:#?}"));
            assert!(!found["wayOut"].as_str().unwrap().is_empty());
            assert_eq!(machine.must("cat /etc/NetworkManager/system-connections/* 2> /dev/null || true"), state);
            found.clone()
        };
        // Made by NetworkManager itself, in memory. The way out is one.
        let told = refused(&mut machine, "ProfileNotSaved", "eth1");
        assert!(told["message"].as_str().unwrap().contains("generated"), "{told}");
        machine.must("nmcli connection modify 'Wired connection 1' connection.autoconnect yes && nmcli connection modify 'Wired connection 2' connection.autoconnect yes");
        machine.must(APPLY);
        machine.must(DECLARED);
        machine.must("knotwork host rollback");

        machine.must("nmcli con mod --temporary 'Wired connection 2' ipv4.route-metric 333");
        refused(&mut machine, "ProfileNotSaved", "eth1");
        machine.must("nmcli con mod 'Wired connection 2' connection.multi-connect multiple");
        refused(&mut machine, "ProfileShared", "eth1");
        machine.must("nmcli con mod 'Wired connection 2' connection.multi-connect default");
        machine.must("nmcli device disconnect eth1");
        refused(&mut machine, "NoProfile", "eth1");
        machine.must("nmcli device connect eth1");
        machine.until(LEASED);
        // The default route for names follows that of IP.
        machine.write("/root/policy.yaml", &POLICY.replace("kind: Regular, ", "kind: Corporate, domains: [x.test], "));
        let told = refused(&mut machine, "NetworkManagerProfile", "eth0");
        assert!(told["message"].as_str().unwrap().contains("default route of IP"), "{told}");
        machine.write("/root/policy.yaml", &POLICY.replace("192.168.4.54]", "\"192.168.4.54:5353\"]"));
        refused(&mut machine, "NetworkManagerProfile", "eth1");
    }
}

#[test]
fn a_networkmanager_that_hangs_or_is_away_is_said_in_time() {
    for version in VERSIONS {
        let Some(mut machine) = machine(version) else { continue };
        let before = profiles(&mut machine);
        machine.must("systemctl kill -s STOP NetworkManager");
        let start = Instant::now();
        let (code, text) = machine.run(APPLY);
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("NotRead") && text.contains("NetworkManager runs and does not answer"), "{text}");
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        machine.must("systemctl kill -s CONT NetworkManager");
        machine.until("nmcli general");
        machine.must(APPLY);
        machine.must(DECLARED);

        machine.must("systemctl stop NetworkManager");
        let (code, text) = machine.run("knotwork host rollback");
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("NetworkManager does not answer"), "{text}");
        // Nobody else takes its links meanwhile.
        let plan = json(&mut machine, &format!("{PLAN} -o json"), 0);
        assert!(
            plan["mechanisms"].as_array().unwrap().iter().all(|one| one["mechanism"] == "networkManager"),
            "{plan:#}"
        );
        machine.must("systemctl start NetworkManager && nm-online -q -t 60");
        machine.until(DECLARED);
        machine.must("knotwork host rollback");
        same(&profiles(&mut machine), &before, &format!("{version}"));
    }
}

#[test]
fn a_change_that_fails_takes_the_profiles_back() {
    for version in VERSIONS {
        let Some(mut machine) = machine(version) else { continue };
        secret(&mut machine);
        let (before, resolver_before) = (profiles(&mut machine), resolver(&mut machine));
        let expects = "query: pbs.maas, expect: {addresses: [192.0.2.99]}";
        machine.write("/root/hopeless.yaml", &POLICY.replace("query: pbs.maas, expect: {any: true}", expects));
        machine.asked();
        let told = json(&mut machine, "knotwork host apply -f /root/hopeless.yaml -o json", 1);
        assert_eq!(told["error"]["reason"], "ProbeFailed", "{told:#}");
        let restored = told["undone"]["restored"].as_array().unwrap();
        assert!(
            restored.contains(&"profile in side".into()) && restored.contains(&"profile uplink".into()),
            "{told:#}"
        );
        assert_eq!(told["undone"]["kept"].as_array().unwrap().len(), 0, "{told:#}");
        assert!(machine.asked().iter().any(|(by, name, _)| *by == at(SECOND[1]) && name == "pbs.maas"), "{version}");
        same(&profiles(&mut machine), &before, &format!("{version}"));
        same(&resolver(&mut machine), &resolver_before, &format!("{version}"));
    }
}

/// Every day a sixth of the steps, another one each time (`KNOTWORK_SEED`).
#[test]
fn a_change_that_ends_after_any_step_is_whole_after_the_next_start() {
    let of = if tier() == Tier::Full { 1 } else { 6 };
    let seed = std::env::var("KNOTWORK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(std::process::id);
    eprintln!("KNOTWORK_SEED={seed}");
    for version in VERSIONS {
        let Some(mut machine) = machine(version) else { continue };
        let before = (profiles(&mut machine), resolver(&mut machine));
        machine.must(APPLY);
        let declared = (profiles(&mut machine), resolver(&mut machine));
        assert_ne!(before, declared);
        let mut stands = true;
        for command in ["knotwork host rollback", APPLY, "knotwork host rollback --transaction last"] {
            let mut tried = 0;
            for n in (seed % of + 1..).step_by(of as usize) {
                rested(&mut machine);
                if stands == (command == APPLY) {
                    machine.must(if stands { "knotwork host rollback" } else { APPLY });
                    rested(&mut machine);
                }
                let (code, text) = machine.run(&format!("KNOTWORK_HOST_STOP_AFTER={n} {command}"));
                let Some(at) = text.lines().find(|line| line.contains("stopped after step")).map(str::to_owned) else {
                    assert_eq!(code, 0, "{text}");
                    stands = command == APPLY;
                    break;
                };
                tried += 1;
                rested(&mut machine);
                let (_, said) = machine.run("knotwork host apply --accepted");
                let is = wait::until(&format!("{version} {command} {at}: whole\n{said}"), || {
                    let is = (profiles(&mut machine), resolver(&mut machine));
                    (is == before || is == declared).then_some(is)
                });
                stands = is == declared;
                let (code, plan) = machine.run(PLAN);
                assert_eq!(code, if stands { 0 } else { 2 }, "{version} {command} {at}\n{plan}\n{said}");
                let (_, status) = machine.run("knotwork host status");
                for word in ["changing", "waiting", "undoing", "partlyRolledBack"] {
                    assert!(!status.contains(word), "{version} {command} {at}\n{status}");
                }
            }
            eprintln!("{version}: {command} ended after {tried} steps");
            assert!(tried > 0);
        }
    }
}

#[test]
fn the_dead_man_takes_profiles_back() {
    for version in VERSIONS {
        let Some(mut machine) = machine(version) else { continue };
        let before = (profiles(&mut machine), resolver(&mut machine));
        let (_, steps) = machine.run(&format!("KNOTWORK_HOST_STOP_AFTER=0 {APPLY}"));
        let names: Vec<&str> = steps.lines().filter(|line| line.starts_with("step ")).collect();
        let late = names.iter().rposition(|name| name.contains("is in force")).unwrap_or_else(|| panic!("{steps}")) + 1;
        machine.must("knotwork host rollback");
        let (_, text) = machine.run(&format!("KNOTWORK_HOST_STOP_AFTER={late} {APPLY} --dead-man 1s"));
        assert!(text.contains("stopped after step"), "{text}");
        assert_ne!(profiles(&mut machine), before.0);
        machine.until(
            "knotwork host status | grep -v undoing | grep -q rolledBack && ! knotwork host status | grep -q changing",
        );
        same(&profiles(&mut machine), &before.0, &format!("{version}"));
        same(&resolver(&mut machine), &before.1, &format!("{version}"));
    }
}

#[test]
fn the_agent_holds_profiles_against_whoever_changes_them() {
    for version in VERSIONS {
        let Some(mut machine) = machine(version) else { continue };
        let before = profiles(&mut machine);
        machine.write(
            "/etc/systemd/system/agent.service",
            "[Service]\nType=notify\nExecStart=/usr/local/bin/knotwork agent -f /root/policy.yaml --poll 10m\n",
        );
        let (code, text) =
            machine.run("systemctl daemon-reload; systemctl start agent || journalctl -b -u agent --no-pager");
        assert!(code == 0 && !text.contains("agent"), "{text}");
        machine.until(DECLARED);
        let right = "test \"$(nmcli -g ipv4.dns con show 'in side')\" = 192.168.4.54";
        for trample in [
            "nmcli con mod 'in side' ipv4.dns 192.168.4.53 && nmcli device reapply eth1",
            "nmcli con mod 'in side' ipv4.dns 9.9.9.9",
            "nmcli con mod 'in side' ipv4.dns-search '' ipv4.ignore-auto-dns no && nmcli con up 'in side'",
            "systemctl restart NetworkManager && nm-online -q -t 60",
            "resolvectl dns eth1 9.9.9.9",
        ] {
            machine.must(trample);
            machine.until(&format!("{right} && {DECLARED}"));
        }
        machine.must("systemctl stop agent");
        machine.must("knotwork host rollback");
        machine.must("rm /etc/systemd/system/agent.service && systemctl daemon-reload");
        same(&profiles(&mut machine), &before, &format!("{version}"));
    }
}

/// The leases' own servers, as a policy without servers leaves them.
#[test]
fn servers_that_a_policy_leaves_out_go_on_coming_from_the_lease() {
    for version in VERSIONS {
        let Some(mut machine) = machine(version) else { continue };
        machine.write(
            "/root/policy.yaml",
            &POLICY.replace("servers: [192.168.4.54], ", "").replace("servers: [10.11.0.54]", "servers: [10.11.0.53]"),
        );
        machine.must(APPLY);
        machine.must(
            "resolvectl dns eth1 | grep -q 192.168.4.53 && resolvectl domain eth1 | grep -q '~maas ~corp.example'",
        );
        machine.offer("eth1", |offer| offer.dns = vec![SECOND[1].parse().unwrap()]);
        machine.must("nmcli con up 'in side'");
        machine.until("resolvectl dns eth1 | grep -q 192.168.4.54 && resolvectl domain eth1 | grep -q maas");
        let (code, text) = machine.run(PLAN);
        assert_eq!(code, 0, "{version}: {text}");
        machine.asked();
        machine.net("dig +tries=1 +time=8 @127.0.0.53 leased.maas");
        let asked: Vec<_> = machine.asked().into_iter().filter(|(_, name, _)| name == "leased.maas").collect();
        assert!(!asked.is_empty() && asked.iter().all(|(by, ..)| *by == at(SECOND[1])), "{version}: {asked:?}");
        assert!([ISP, INSIDE].iter().all(|server| !asked.iter().any(|(by, ..)| *by == at(server))));
    }
}
