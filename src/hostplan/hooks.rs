//! Shell for the hooks of DHCP clients and of ifupdown: which links are the policies' alone, and what of a lease still goes
//! to systemd-resolved.
//!
//! Declared links are held by name. A link whose servers no policy sets goes on getting them from its leases, or the host
//! would have nobody left to ask; and a link that no policy names at all is as the leases say.

use crate::split::policy::Modes;
use crate::split::wish::{LinkWish, Wish};

/// What both clients' hooks need. What is declared is set again with every lease, as a link may have been made anew since.
/// A lease's servers and domains are handed to resolved with those of the link's other leases, as far as no policy sets
/// them. Values come from the network: words that are no addresses or domains are dropped.
const LEASE: &str = r#"# knotwork_lease KIND SERVERS DOMAINS
knotwork_lease() {
    knotwork_at=/run/knotwork/leases/$interface
    [ -n "$2$3" ] || [ -e "$knotwork_at/$1.servers" ] || return 0
    mkdir -p "$knotwork_at" || return 0
    printf '%s\n' "$2" > "$knotwork_at/$1.servers"
    printf '%s\n' "$3" > "$knotwork_at/$1.domains"
    knotwork_set
}
knotwork_set() {
    knotwork_tell > /dev/null 2>&1 && return 0
    # At boot the bus comes later than the lease.
    (
        knotwork_try=0
        while sleep 1 && [ "$knotwork_try" -lt 90 ] && ! knotwork_tell; do
            knotwork_try=$((knotwork_try + 1))
        done
    ) < /dev/null > /dev/null 2>&1 &
}
knotwork_tell() {
    [ "$knotwork_sets" = nothing ] || knotwork_declared || return 1
    [ "$knotwork_sets" != all ] || return 0
    knotwork_servers= knotwork_domains=
    for knotwork_word in $(cat "$knotwork_at"/*.servers); do
        case "$knotwork_word" in
            *[!0-9A-Fa-f.:%a-z_-]* | -*) ;;
            *) knotwork_servers="$knotwork_servers $knotwork_word" ;;
        esac
    done
    for knotwork_word in $(cat "$knotwork_at"/*.domains); do
        case "$knotwork_word" in
            *[!A-Za-z0-9._-]* | -*) ;;
            *) knotwork_domains="$knotwork_domains $knotwork_word" ;;
        esac
    done
    [ "$knotwork_sets" = domains ] || resolvectl domain "$interface" ${knotwork_domains:-""} || return 1
    resolvectl dns "$interface" ${knotwork_servers:-""}
}
"#;

/// After the others: dhclient-script's own function would write through the link /etc/resolv.conf into resolved's file.
const DHCLIENT: &str = r#"make_resolv_conf() {
    :
}
knotwork_lost='' knotwork_had=
case "$reason" in
    BOUND | RENEW | REBIND | REBOOT | TIMEOUT) knotwork_had=dhcp4 ;;
    BOUND6 | RENEW6 | REBIND6) knotwork_had=dhcp6 ;;
    EXPIRE | FAIL | RELEASE | STOP) knotwork_lost=dhcp4 ;;
    EXPIRE6 | RELEASE6 | STOP6) knotwork_lost=dhcp6 ;;
esac
if [ "$knotwork_sets" = all ]; then
    [ -z "$knotwork_had" ] || knotwork_set
# Debian 13 has a hook of its own for links that policies leave alone.
elif [ "$knotwork_sets" = domains ] || [ ! -e /etc/dhcp/dhclient-exit-hooks.d/resolved ]; then
    case "$knotwork_had$knotwork_lost" in
        "$knotwork_lost") [ -z "$knotwork_lost" ] || knotwork_lease "$knotwork_lost" '' '' ;;
        dhcp4) knotwork_lease dhcp4 "$new_domain_name_servers" "$new_domain_search $new_domain_name" ;;
        dhcp6) knotwork_lease dhcp6 "$new_dhcp6_name_servers" "$new_dhcp6_domain_search" ;;
    esac
fi
if [ "$knotwork_sets" != nothing ]; then
    # That hook writes when these or its files change, and takes everything off the link when they go.
    unset new_domain_name_servers new_domain_name new_domain_search new_dhcp6_name_servers new_dhcp6_domain_search
    rm -f "/run/network/isc-dhcp-v4-$interface" "/run/network/isc-dhcp-v6-$interface"
fi
"#;

/// dhcpcd's own hook writes servers and domains of the link at every lease, or resolv.conf where there is no resolvconf.
const DHCPCD: &str = r#"case " $skip_hooks " in
    *' resolv.conf '*) ;;
    *)
        knotwork_by=us
        [ "$knotwork_sets" != nothing ] || ! command -v resolvconf > /dev/null 2>&1 || knotwork_by=dhcpcd
        if [ "$knotwork_by" = us ]; then
            skip_hooks="$skip_hooks resolv.conf"
        fi
        if [ "$knotwork_by" = us ] && ${if_configured:-true}; then
            knotwork_servers= knotwork_domains= knotwork_is=
            case "$reason" in
                ROUTERADVERT)
                    knotwork_is=ra knotwork_i=1
                    while eval "[ -n \"\${nd${knotwork_i}_acquired-}\" ]"; do
                        knotwork_j=1
                        while eval "[ -n \"\${nd${knotwork_i}_rdnss${knotwork_j}_servers-}\" ]"; do
                            if eval "[ \"\${nd${knotwork_i}_rdnss${knotwork_j}_lifetime:-0}\" -gt 0 ]"; then
                                eval "knotwork_servers=\"\$knotwork_servers \$nd${knotwork_i}_rdnss${knotwork_j}_servers\""
                            fi
                            knotwork_j=$((knotwork_j + 1))
                        done
                        knotwork_i=$((knotwork_i + 1))
                    done
                    ;;
                *6)
                    knotwork_is=dhcp6 knotwork_servers=$new_dhcp6_name_servers knotwork_domains=$new_dhcp6_domain_search
                    ;;
                *)
                    knotwork_is=dhcp4 knotwork_servers=$new_domain_name_servers
                    knotwork_domains="$new_domain_search $new_domain_name"
                    ;;
            esac
            if [ "$reason" = CARRIER ]; then
                :
            elif [ "$knotwork_is" = ra ] || ${if_up:-false}; then
                case "$knotwork_sets" in
                    all) knotwork_set ;;
                    *) knotwork_lease "$knotwork_is" "$knotwork_servers" "$knotwork_domains" ;;
                esac
            elif ${if_down:-false} && [ "$knotwork_sets" != all ]; then
                knotwork_lease "$knotwork_is" '' ''
            fi
        fi
        ;;
esac
"#;

/// A word for sh. Names of links may hold anything but blanks and slashes.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What is set on a link, as calls of resolvectl in the order that leaks nothing: servers last.
fn declared(link: &LinkWish) -> String {
    let Modes { dnssec, dns_over_tls, mdns, llmnr } = link.modes;
    let none = |words: Vec<String>| if words.is_empty() { vec!["''".to_owned()] } else { words };
    let domains = link.domains.iter().map(|domain| quoted(&domain.to_string())).collect();
    let mut calls = vec![("domain", none(domains).join(" "))];
    calls.push(("default-route", if link.default_route { "yes" } else { "no" }.to_owned()));
    calls.extend(dnssec.map(|mode| ("dnssec", mode.word().to_owned())));
    calls.extend(dns_over_tls.map(|mode| ("dnsovertls", mode.word().to_owned())));
    calls.extend(mdns.map(|mode| ("mdns", mode.word().to_owned())));
    calls.extend(llmnr.map(|mode| ("llmnr", mode.word().to_owned())));
    if let Some(servers) = &link.servers {
        calls.push(("dns", none(servers.iter().map(|server| quoted(&server.to_string())).collect()).join(" ")));
    }
    let calls: Vec<String> =
        calls.iter().map(|(what, words)| format!("resolvectl {what} \"$interface\" {words}")).collect();
    calls.join(" &&\n                ")
}

/// `knotwork_sets`: what the policies set on the link at hand, and `knotwork_declared`, which does.
fn sets(wish: &Wish) -> String {
    let arm = |link: &LinkWish| {
        let (what, name) = (if link.servers.is_some() { "all" } else { "domains" }, quoted(&link.name));
        format!(
            "    {name})\n        knotwork_sets={what}\n        knotwork_declared() {{\n            {}\n        }}\n        ;;\n",
            declared(link)
        )
    };
    let arms: String = wish.links.iter().map(arm).collect();
    format!(
        "# What the policies set on this link; the rest of it is as its leases say.\n\
         case \"$interface\" in\n{arms}    *) knotwork_sets=nothing ;;\nesac\n"
    )
}

/// Which links a hook holds, for people.
pub fn held(wish: &Wish) -> String {
    let names: Vec<&str> = wish.links.iter().map(|link| link.name.as_str()).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(", and what policies set on {}", names.join(", ")),
    }
}

/// The enter hook of dhclient-script, which sources it (sh).
pub fn dhclient(wish: &Wish) -> String {
    format!("# Sourced by dhclient-script.\n{}{LEASE}{DHCLIENT}", sets(wish))
}

/// The lines for dhcpcd.enter-hook, which dhcpcd-run-hooks sources before its own hooks.
///
/// The file is read at each run, other than dhcpcd.conf; and naming a link there (`interface NAME`, for its `nohook`) would
/// make dhcpcd configure links that it leaves alone by themselves (PPP, for one).
pub fn dhcpcd(wish: &Wish) -> Vec<String> {
    format!("{}{LEASE}{DHCPCD}", sets(wish)).lines().map(str::to_owned).collect()
}

/// A script of ifupdown's if-up.d: links of these names are set again by the boot unit. Its name must come after that of
/// Debian's own script, which may revert the link.
pub fn if_up(links: &[&str]) -> String {
    let names: Vec<String> = links.iter().map(|link| quoted(link)).collect();
    format!(
        "{}case \"$IFACE\" in\n\
         \x20   {}) ;;\n\
         \x20   *) exit 0 ;;\n\
         esac\n\
         # At boot it is waiting already, and this does nothing.\n\
         [ ! -d /run/systemd/system ] || systemctl --no-block start {} || true\n",
        super::mark::SCRIPT,
        names.join(" | "),
        super::paths::split(super::paths::BOOT_UNIT).1,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::split::SystemdVersion;

    fn link(name: &str, servers: Option<&str>) -> LinkWish {
        LinkWish {
            name: name.into(),
            ifindex: 2,
            policies: Vec::new(),
            servers: servers.map(|server| vec![server.parse().unwrap()]),
            domains: ["~maas", "a.b"].map(|domain| domain.parse().unwrap()).to_vec(),
            default_route: false,
            modes: Modes { llmnr: Some(crate::split::policy::Multicast::Off), ..Modes::default() },
        }
    }

    /// What dash or another sh makes of a hook: given an environment, and resolvectl that only says what it is told.
    fn run(script: &str, environment: &[(&str, &str)], after: &str) -> String {
        let all = format!("exec 3>&1\nresolvectl() {{ echo \"$#:$*\" >&3; }}\nmkdir() {{ :; }}\n{script}\n{after}");
        let dir = tempfile::tempdir().unwrap();
        let all = all.replace("/run/knotwork/leases", &dir.path().display().to_string());
        std::fs::create_dir(dir.path().join("eth9")).unwrap();
        let mut command = std::process::Command::new("sh");
        command.arg("-c").arg(all).env_clear().env("PATH", "/usr/bin:/bin");
        let done = command.envs(environment.iter().copied()).output().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
        said
    }

    fn wish(links: Vec<LinkWish>) -> Wish {
        Wish { links, ..Wish::nothing(SystemdVersion(252)) }
    }

    #[test]
    fn a_lease_goes_where_no_policy_sets_it() {
        let lease = [
            ("interface", "eth9"),
            ("reason", "RENEW"),
            ("new_domain_name_servers", "10.0.0.1 fe80::1 $(id) -x"),
            ("new_domain_search", "a.test ~."),
            ("new_domain_name", "b.test"),
        ];
        let left = "echo \"left $new_domain_name_servers\"";
        let all = run(&dhclient(&wish(vec![link("eth9", Some("10.0.0.2"))])), &lease, left);
        let declared = "4:domain eth9 ~maas a.b\n3:default-route eth9 no\n3:llmnr eth9 no\n";
        assert_eq!(all, format!("{declared}3:dns eth9 10.0.0.2\nleft \n"));
        let domains = run(&dhclient(&wish(vec![link("eth9", None)])), &lease, left);
        assert_eq!(domains, format!("{declared}4:dns eth9 10.0.0.1 fe80::1\nleft \n"));
        let nothing = run(&dhclient(&wish(vec![link("eth90", None), link("it's", None)])), &lease, left);
        assert_eq!(
            nothing,
            "4:domain eth9 a.test b.test\n4:dns eth9 10.0.0.1 fe80::1\nleft 10.0.0.1 fe80::1 $(id) -x\n"
        );
    }

    #[test]
    fn leases_add_up_and_what_expires_goes() {
        let script = dhclient(&wish(vec![link("eth9", None)]));
        let again = format!(
            "new_dhcp6_name_servers=fd00::1 reason=BOUND6\n{script}\nreason=EXPIRE\n{script}\nreason=STOP6\n{script}"
        );
        let lease = [("interface", "eth9"), ("reason", "BOUND"), ("new_domain_name_servers", "10.0.0.1")];
        let told: Vec<String> = run(&script, &lease, &again)
            .lines()
            .filter(|line| line.contains(":dns "))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(
            told.concat(),
            "3:dns eth9 10.0.0.1\n4:dns eth9 10.0.0.1 fd00::1\n3:dns eth9 fd00::1\n3:dns eth9 \n"
        );
        // Nothing was ever handed on: what somebody else set on the link stays.
        assert_eq!(run(&script, &[("interface", "eth9"), ("reason", "EXPIRE")], ""), "");
    }

    #[test]
    fn dhcpcds_own_hook_runs_for_links_without_policies_only() {
        let script = |links| dhcpcd(&wish(links)).join("\n");
        let up = [
            ("interface", "eth9"),
            ("reason", "RENEW"),
            ("if_up", "true"),
            ("if_configured", "true"),
            ("new_domain_name_servers", "10.0.0.1"),
            ("new_domain_name", "b.test"),
        ];
        let after = "echo \"skip$skip_hooks\"";
        let has = "resolvconf() { :; }\n";
        assert_eq!(run(&format!("{has}{}", script(vec![])), &up, after), "skip\n");
        assert_eq!(run(&script(vec![]), &up, after), "3:domain eth9 b.test\n3:dns eth9 10.0.0.1\nskip resolv.conf\n");
        let set = script(vec![link("eth9", Some("10.0.0.2"))]);
        let declared = "4:domain eth9 ~maas a.b\n3:default-route eth9 no\n3:llmnr eth9 no\n";
        assert_eq!(
            run(&format!("{has}{set}"), &up, after),
            format!("{declared}3:dns eth9 10.0.0.2\nskip resolv.conf\n")
        );
        let domains = script(vec![link("eth9", None)]);
        assert_eq!(
            run(&format!("{has}{domains}"), &up, after),
            format!("{declared}3:dns eth9 10.0.0.1\nskip resolv.conf\n")
        );
        let advert = [
            ("interface", "eth9"),
            ("reason", "ROUTERADVERT"),
            ("nd1_acquired", "1"),
            ("nd1_rdnss1_servers", "fd00::1 fd00::2"),
            ("nd1_rdnss1_lifetime", "60"),
            ("nd1_rdnss2_servers", "fd00::9"),
            ("nd1_rdnss2_lifetime", "0"),
        ];
        assert_eq!(run(&domains, &advert, ""), declared.to_owned() + "4:dns eth9 fd00::1 fd00::2\n");
        // Somebody wants none of it: that is kept.
        let mut nohook = up.to_vec();
        nohook.push(("skip_hooks", "lookup-hostname resolv.conf"));
        assert_eq!(run(&domains, &nohook, ""), "");
    }

    #[test]
    fn ifup_starts_the_unit_for_our_links() {
        let script = if_up(&["eth1", "a'b"]).replace("/run/systemd/system", "/");
        let with = |link| run(&format!("systemctl() {{ echo \"$*\"; }}\n{script}"), &[("IFACE", link)], "");
        assert_eq!(with("a'b"), "--no-block start knotwork-host.service\n");
        assert_eq!(with("eth10"), "");
    }
}
