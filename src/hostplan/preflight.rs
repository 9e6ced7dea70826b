//! What forbids a plan: each with a stable word and a way out.

use std::net::IpAddr;

use super::plan::Work;
use super::{Effect, FileStep, Refusal, Stage, is_read, paths};
use crate::split::lower::{domain_limit, server_limit};
use crate::split::policy::ResolvConf;
use crate::split::wish::Wish;
use crate::split::{HostFacts, SystemdVersion};

/// A path of `targets()` was not read, or what a link has.
pub const NOT_READ: &str = "NotRead";
/// A file or block of ours that somebody changed.
pub const EDITED: &str = "EditedByOthers";
/// Something without our mark lies where a file of ours would.
pub const NOT_OURS: &str = "NotOurs";
/// A file could not be read.
pub const UNREADABLE: &str = "Unreadable";
/// A file cannot be replaced: read-only, immutable, or not ours to give back.
pub const LOCKED: &str = "Locked";
/// A generator makes the file.
pub const GENERATED: &str = "Generated";
/// resolved would not take what the wish says.
pub const UNWRITABLE: &str = "Unwritable";
/// NetworkManager would overwrite the link.
pub const NETWORK_MANAGER: &str = "NetworkManagerProfile";
/// NetworkManager has the link, and no profile is in force there.
pub const NO_PROFILE: &str = "NoProfile";
/// The profile is gone with the next boot.
pub const PROFILE_UNSAVED: &str = "ProfileNotSaved";
/// The profile is not for changes.
pub const PROFILE_READ_ONLY: &str = "ProfileReadOnly";
/// The profile is that of other links as well.
pub const PROFILE_SHARED: &str = "ProfileShared";
/// `hosts:` would name a module that is not installed.
pub const NSS_MODULE: &str = "NssModuleMissing";
/// The unit of resolved is masked.
pub const MASKED: &str = "ResolvedMasked";
/// resolved is not installed.
pub const ABSENT: &str = "ResolvedAbsent";
/// Another program owns resolved's name on the bus.
pub const FOREIGN: &str = "ForeignResolver";
/// Another program listens where resolved must.
pub const PORT: &str = "PortTaken";
/// The stub is wanted and switched off.
pub const STUB_OFF: &str = "StubOff";
/// Pods would be handed the stub's address.
pub const KUBELET: &str = "KubeletStub";
/// Containers would be handed the stub's address.
pub const PROXMOX: &str = "ContainersOnStub";
/// The release of systemd is not known.
pub const VERSION_UNKNOWN: &str = "VersionUnknown";
/// The release of systemd is older than the oldest with known rules.
pub const VERSION_OLD: &str = "VersionTooOld";
/// systemd is not there to reload its services.
pub const NO_SYSTEMD: &str = "NotSystemd";
/// More than a scope takes.
pub const TOO_MANY: &str = "TooManyDomains";
/// A route that no form of this release can hold.
pub const UNPLACED: &str = "Unplaced";
/// A link about which policies differ.
pub const CONTESTED: &str = "Contested";

/// A refusal in the making.
pub(super) struct Refuse<'a> {
    pub(super) reason: &'static str,
    pub(super) at: &'a str,
    pub(super) message: String,
    pub(super) way_out: String,
}

impl From<Refuse<'_>> for Refusal {
    fn from(refuse: Refuse<'_>) -> Refusal {
        let Refuse { reason, at, message, way_out } = refuse;
        Refusal { reason, at: at.to_owned(), message, way_out }
    }
}

pub(super) fn unreadable(work: &mut Work<'_>, path: &str) {
    work.refuse(Refuse {
        reason: UNREADABLE,
        at: path,
        message: "it is there and could not be read".to_owned(),
        way_out: "run with the right to read it".to_owned(),
    });
}

/// Everything, after the steps are known.
pub(super) fn check(work: &mut Work<'_>) {
    // What puts everything back must go through on a host whose resolver is gone.
    let is_something = !is_nothing(work.wish);
    if is_something {
        release(work);
        resolver(work);
    }
    settings(work);
    if is_something {
        super::listeners::check(work);
        wish_itself(work);
        pods(work);
        containers(work);
        uplinks(work);
    }
    systemd(work);
    files(work);
}

/// Whether nothing at all is wished.
pub fn is_nothing(wish: &Wish) -> bool {
    *wish == Wish::nothing(wish.systemd)
}

fn release(work: &mut Work<'_>) {
    if work.facts.systemd.is_none() {
        work.refuse(Refuse {
            reason: VERSION_UNKNOWN,
            at: "systemd",
            message: "its release could not be found out, and the rules differ by release".to_owned(),
            way_out: "see that `systemctl --version` answers on this host".to_owned(),
        });
    } else if work.wish.systemd < SystemdVersion::OLDEST {
        work.refuse(Refuse {
            reason: VERSION_OLD,
            at: "systemd",
            message: format!("release {} is older than {}", work.wish.systemd, SystemdVersion::OLDEST),
            way_out: "upgrade systemd".to_owned(),
        });
    }
}

fn resolver(work: &mut Work<'_>) {
    const UNIT: &str = "systemd-resolved.service";
    let services = work.facts.services.clone();
    let load = services.resolved.as_ref().map(|unit| unit.load.as_str());
    let file = services.resolved.as_ref().and_then(|unit| unit.file.as_deref());
    let owner = services.resolver_owner.as_deref();
    if load == Some("masked") || matches!(file, Some("masked" | "masked-runtime")) {
        return work.refuse(Refuse {
            reason: MASKED,
            at: UNIT,
            message: "the unit is masked: it cannot be started".to_owned(),
            way_out: "systemctl unmask systemd-resolved && systemctl enable --now systemd-resolved".to_owned(),
        });
    }
    if is_absent(work.facts) {
        return work.refuse(Refuse {
            reason: ABSENT,
            at: UNIT,
            message: "systemd-resolved is not installed".to_owned(),
            way_out: "knotwork host snapshot, then install it (Debian: systemd-resolved and libnss-resolve)".to_owned(),
        });
    }
    // The kernel cuts a program's name at 15 characters.
    let program = owner.map(|owner| owner.rsplit('/').next().unwrap_or(owner));
    if let Some(program) = program.filter(|program| !program.is_empty() && !program.starts_with("systemd-resolve")) {
        work.refuse(Refuse {
            reason: FOREIGN,
            at: "org.freedesktop.resolve1",
            message: format!("{program} owns the name of systemd-resolved on the bus"),
            way_out: format!("stop {program}, or leave this host to it"),
        });
    }
}

/// Whether resolved is not installed, and nobody else stands in for it.
pub(super) fn is_absent(facts: &HostFacts) -> bool {
    let services = &facts.services;
    let load = services.resolved.as_ref().map(|unit| unit.load.as_str());
    load == Some("not-found") && services.resolver_owner.as_deref().unwrap_or_default().is_empty()
}

/// Links that this plan sets or gives back and of which nobody knows what they have.
pub(super) fn unread_links(work: &Work<'_>) -> Vec<String> {
    let ours = work.record.links.iter().filter(|(_, known)| known.over_bus).map(|(name, _)| name);
    let mut names: Vec<&String> = work.choices.iter().map(|choice| &choice.wish.name).chain(ours).collect();
    names.sort_unstable();
    names.dedup();
    // A link that is gone has nothing; where all of them are unknown, it may be there.
    let is_unread = |name: &&String| match &work.facts.links {
        Some(_) => work.facts.link(name).is_some_and(|link| !is_read(link)),
        None => true,
    };
    names.into_iter().filter(is_unread).cloned().collect()
}

/// Links whose settings nobody could read: what they have could not be given back, and what they had before us is not all
/// that they have by now.
fn settings(work: &mut Work<'_>) {
    // Where resolved cannot be asked at all, that is said, and is what must be mended.
    let is_said = work.plan.refusals.iter().any(|refusal| matches!(refusal.reason, MASKED | ABSENT | FOREIGN));
    if is_said || work.plan.wakes || (is_nothing(work.wish) && is_absent(work.facts)) {
        return;
    }
    let unread = unread_links(work);
    if unread.is_empty() {
        return;
    }
    let services = &work.facts.services;
    let is_masked = services.resolved.as_ref().is_some_and(|unit| unit.load == "masked");
    let (message, way_out) = match services.resolver_owner.as_deref() {
        Some("") if is_masked => (
            "systemd-resolved is masked",
            "systemctl unmask systemd-resolved && systemctl enable --now systemd-resolved, then try again",
        ),
        Some("") => ("systemd-resolved does not run", "systemctl enable --now systemd-resolved, then try again"),
        None => (
            "no system bus answered",
            "see that dbus runs and its socket is reachable (in a container: mount the directory /run/dbus), then try again",
        ),
        Some(_) => (
            "systemd-resolved did not tell",
            "see that it answers (resolvectl status), or systemctl restart systemd-resolved, then try again",
        ),
    };
    work.refuse(Refuse {
        reason: NOT_READ,
        at: &unread.join(", "),
        message: format!("{message}: what is set there could not be given back"),
        way_out: way_out.to_owned(),
    });
}

fn wish_itself(work: &mut Work<'_>) {
    let wish = work.wish;
    for (reason, all) in [(UNPLACED, &wish.unplaced), (CONTESTED, &wish.contested)] {
        for one in all {
            work.refuse(Refuse {
                reason,
                at: &format!("{} {}", one.policy, one.field),
                message: one.value.clone(),
                way_out: "change the policy as said".to_owned(),
            });
        }
    }
    for one in &wish.waiting {
        work.note(format!("{} {} waits: no interface fits {}", one.policy, one.field, one.value));
    }
    let (domains, servers) = (domain_limit(wish.systemd), server_limit(wish.systemd));
    let global = &wish.global;
    let counts = |list: &Option<Vec<_>>| list.as_ref().map_or(0, Vec::len);
    let mut scopes = vec![(
        "the global scope".to_owned(),
        global.domains.as_ref().map_or(0, Vec::len),
        counts(&global.servers).max(counts(&global.fallback)),
    )];
    scopes.extend(wish.links.iter().map(|link| (link.name.clone(), link.domains.len(), counts(&link.servers))));
    scopes.extend(wish.delegates.iter().map(|one| (one.id.clone(), one.domains.len(), one.servers.len())));
    for (scope, own_domains, own_servers) in scopes {
        for (what, is, most) in [("domains", own_domains, domains), ("servers", own_servers, servers)] {
            if is > most {
                work.refuse(Refuse {
                    reason: TOO_MANY,
                    at: &scope,
                    message: format!(
                        "{is} {what}; a scope of systemd {} takes {most}, and more make it drop them all",
                        wish.systemd
                    ),
                    way_out: "use parent domains, address ranges on a byte's border, or systemd 258".to_owned(),
                });
            }
        }
    }
}

/// The step that turns resolv.conf into the stub.
fn to_stub<'a>(work: &'a Work<'_>) -> Option<&'a FileStep> {
    let step = work.plan.files.iter().find(|step| step.path == paths::RESOLV_CONF)?;
    (work.wish.resolv_conf == ResolvConf::Stub).then_some(step)
}

/// Pods inherit the node's resolv.conf: the stub's address in it means themselves.
fn pods(work: &mut Work<'_>) {
    let Some(kubelet) = work.facts.kubelet.clone() else { return };
    let flavour = kubelet.flavour.as_deref().unwrap_or("kubelet");
    let is_k3s = matches!(flavour, "k3s" | "rke2");
    let reads = match kubelet.resolv_conf.as_deref() {
        Some(path) => Some(path.to_owned()),
        // Their own choice at start: /etc/resolv.conf where that holds no loopback address.
        None if is_k3s => match work.facts.resolv_conf.as_ref().and_then(|facts| facts.servers.as_ref()) {
            Some(servers) if servers.iter().any(IpAddr::is_loopback) => Some("/run/systemd/resolve/resolv.conf".into()),
            _ => Some(paths::RESOLV_CONF.to_owned()),
        },
        None => Some(paths::RESOLV_CONF.to_owned()),
    };
    let is_etc = reads.as_deref() == Some(paths::RESOLV_CONF);
    let fix = match is_k3s {
        true => format!(
            "resolv-conf: /run/systemd/resolve/resolv.conf in /etc/rancher/{flavour}/config.yaml, then restart {flavour}"
        ),
        false => {
            "resolvConf: /run/systemd/resolve/resolv.conf in /var/lib/kubelet/config.yaml, then restart the kubelet"
                .to_owned()
        }
    };
    if is_etc && to_stub(work).is_some() {
        work.refuse(Refuse {
            reason: KUBELET,
            at: flavour,
            message: format!(
                "{flavour} hands {} to pods; as the stub it would say 127.0.0.53, which in a pod is nobody, and CoreDNS \
                 would halt at its next start",
                paths::RESOLV_CONF
            ),
            way_out: format!("{fix}; or resolvConf: Uplink in the policy"),
        });
    } else if is_etc && work.wish.resolv_conf == ResolvConf::Stub {
        work.note(format!("{flavour} hands {} to pods, and it is the stub already: {fix}", paths::RESOLV_CONF));
    }
    let uplink = reads.as_deref() == Some("/run/systemd/resolve/resolv.conf");
    let servers = uplink_servers(work);
    if uplink && is_k3s && !servers.is_empty() && servers.iter().all(IpAddr::is_loopback) {
        work.note(format!("{flavour} finds only loopback servers in the uplink file and would take 8.8.8.8 instead"));
    }
}

/// What resolved writes into its uplink file: servers of the global scope and of links with a default route, port 53.
fn uplink_servers(work: &Work<'_>) -> Vec<IpAddr> {
    let under = work.wish.under(&work.base);
    let links = under.links.iter().flatten().filter(|link| link.default_route_effective != Some(false));
    let all = under.global.servers.iter().flatten().chain(links.flat_map(|link| link.servers.iter().flatten()));
    let mut addresses: Vec<IpAddr> = Vec::new();
    for server in all.filter(|server| server.port.is_none_or(|port| port == 53)) {
        if !addresses.contains(&server.address) {
            addresses.push(server.address);
        }
    }
    addresses
}

/// resolv.conf as Uplink, or pods that read that file: the C library and the kubelet take three servers.
fn uplinks(work: &mut Work<'_>) {
    let kubelet = work.facts.kubelet.as_ref().and_then(|kubelet| kubelet.resolv_conf.as_deref());
    if work.wish.resolv_conf != ResolvConf::Uplink && kubelet != Some("/run/systemd/resolve/resolv.conf") {
        return;
    }
    let servers = uplink_servers(work);
    if servers.len() > 3 {
        let count = servers.len();
        work.note(format!(
            "the uplink file would list {count} servers; the C library and the kubelet take the first three"
        ));
    }
}

fn containers(work: &mut Work<'_>) {
    let ids =
        work.facts.proxmox.as_ref().and_then(|proxmox| proxmox.containers_on_host_dns.clone()).unwrap_or_default();
    if ids.is_empty() || work.wish.resolv_conf != ResolvConf::Stub {
        return;
    }
    let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if to_stub(work).is_none() {
        return work.note(format!(
            "containers {list} take their servers from this host at start, and that is the stub already"
        ));
    }
    let server = uplink_servers(work).into_iter().find(|address| !address.is_loopback());
    let server = server.map_or("<server>".to_owned(), |address| address.to_string());
    work.refuse(Refuse {
        reason: PROXMOX,
        at: &format!("containers {list}"),
        message: "they take their servers from this host at start, and would get 127.0.0.53, which there is nobody"
            .to_owned(),
        way_out: format!("give each its own (pct set {} --nameserver {server}), or resolvConf: Uplink", ids[0]),
    });
}

fn systemd(work: &mut Work<'_>) {
    if work.facts.services.systemd != Some(false) {
        return;
    }
    let mut effects = work.plan.effects(Stage::Before);
    effects.extend(work.plan.effects(Stage::Last));
    if let Some(effect) = effects.first() {
        let who = match effect {
            Effect::ReloadNetworkd => "systemd-networkd",
            Effect::ReloadNetworkManager => "NetworkManager",
            Effect::ReloadSystemd => "systemd",
            Effect::None | Effect::RewriteResolved | Effect::ReloadResolved | Effect::RestartResolved => {
                "systemd-resolved"
            }
        };
        work.refuse(Refuse {
            reason: NO_SYSTEMD,
            at: "PID 1",
            message: format!("{who} must be told of the new files, and systemd does not run here"),
            way_out: "run this where systemd is PID 1 and its bus can be reached".to_owned(),
        });
    }
}

/// Files that would change and cannot.
fn files(work: &mut Work<'_>) {
    for step in work.plan.profiles.clone().iter().filter(|step| step.changes().next().is_some()) {
        let nm = work.facts.network_manager.as_ref();
        let file = nm.and_then(|nm| nm.profile(&step.uuid)).and_then(|profile| profile.file.clone());
        let locked = file.as_ref().and_then(|file| work.seen.files.get(file)).and_then(|seen| seen.locked.clone());
        if let (Some(file), Some(why)) = (file, locked) {
            work.refuse(Refuse {
                reason: LOCKED,
                at: &file,
                message: format!("NetworkManager could not replace the file of the {}: {why}", step.at()),
                way_out: "make it writable (chattr -i, remount), or leave the link out of the policy".to_owned(),
            });
        }
    }
    let steps: Vec<(String, Option<String>, Option<String>)> = work
        .plan
        .files
        .iter()
        .map(|step| (step.path.clone(), step.from.locked.clone(), step.from.generated_by.clone()))
        .collect();
    for (path, locked, generated) in steps {
        if let Some(by) = generated {
            work.refuse(Refuse {
                reason: GENERATED,
                at: &path,
                message: format!("{by} makes it, and would make it anew"),
                way_out: format!("set it in {by}, or leave it out of the policy"),
            });
        } else if let Some(why) = locked {
            work.refuse(Refuse {
                reason: LOCKED,
                at: &path,
                message: format!("it cannot be replaced: {why}"),
                way_out: "make it writable (chattr -i, chown, remount, ReadWritePaths=), or leave it out of the policy"
                    .to_owned(),
            });
        }
    }
}
