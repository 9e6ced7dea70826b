//! Files that are ours as a whole.

use super::plan::{Wanted, Work};
use super::preflight::{self, Refuse};
use super::render::{self, Rendered};
use super::{Effect, Mechanism, SeenFile, Stage, Want, hooks, mark, mechanisms, paths};
use crate::split::SystemdVersion;
use crate::split::facts::{FileKind, HostFacts, Manager};
use crate::split::policy::{Origin, Writer};
use crate::split::wish::LinkWish;

/// The mode of our files: everybody may read how names are resolved.
const MODE: u32 = 0o644;
/// Of those that are run.
const SCRIPT: u32 = 0o755;

/// The files of ours that the wish asks for.
pub(super) fn files(work: &mut Work<'_>) {
    let (wish, version) = (work.wish, work.wish.systemd);
    if let Some(text) = render::resolved_conf(&wish.global, version) {
        let fields = [
            "servers",
            "domains",
            "fallbackServers",
            "dnssec",
            "dnsOverTLS",
            "multicastDNS",
            "llmnr",
            "cache",
            "stubListener",
            "extraListeners",
        ];
        let why = "servers, domains and modes of the host as a whole".to_owned();
        put(work, paths::RESOLVED_CONF, text, why, wish.setters_of(&fields));
    }
    for delegate in &wish.delegates {
        let why = format!("{} for {}", list(&delegate.servers), list(&delegate.domains));
        let text = render::delegate(delegate, version);
        put(work, &paths::delegate(&delegate.id), text, why, vec![delegate.policy.clone()]);
    }
    networkd(work);
    if wish.protect.get(&Writer::Dhclient) == Some(&true) {
        let why = format!("keeps dhclient from writing into resolved's file{}", hooks::held(wish));
        put(work, paths::DHCLIENT_HOOK, Ok(hooks::dhclient(wish)), why, wish.setters_of(&["protect.dhclient"]));
    }
    if wish.protect.get(&Writer::NetworkManager) == Some(&true) {
        let hands_off = mechanisms::hands_off(wish, &work.base);
        let why = match hands_off {
            true => "keeps NetworkManager off resolv.conf and off the links in resolved",
            false => "keeps NetworkManager off resolv.conf",
        };
        let origins = wish.setters_of(&["protect.networkManager"]);
        put(work, paths::NETWORK_MANAGER, Ok(render::network_manager(hands_off)), why.to_owned(), origins);
    }
    boot_unit(work);
    if_up(work);
}

fn list<T: ToString>(all: &[T]) -> String {
    let words: Vec<String> = all.iter().take(4).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(4);
    format!("{}{}", words.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
}

/// One drop-in for each `.network` file; links of one file wish the same, or are not set so.
fn networkd(work: &mut Work<'_>) {
    let mut done: Vec<String> = Vec::new();
    let links: Vec<&LinkWish> = work
        .choices
        .iter()
        .filter(|choice| choice.mechanism == Mechanism::Networkd)
        .map(|choice| choice.wish)
        .collect();
    for link in &links {
        let file = work.places.link(&link.name).and_then(|link| link.network_file.as_deref());
        let Some(path) = file.and_then(paths::network) else { continue };
        if done.contains(&path) {
            continue;
        }
        let of = |other: &&&LinkWish| {
            let file = work.places.link(&other.name).and_then(|link| link.network_file.as_deref());
            file.and_then(paths::network).as_ref() == Some(&path)
        };
        let (mut names, mut origins): (Vec<&str>, Vec<Origin>) = (Vec::new(), Vec::new());
        for same in links.iter().filter(of) {
            names.push(&same.name);
            origins.extend(same.policies.iter().filter(|origin| !link.policies.contains(origin)).cloned());
        }
        origins.splice(0..0, link.policies.iter().cloned());
        origins.dedup();
        let why = format!("DNS of {}", names.join(", "));
        if work.wish.systemd.0 < 257 {
            work.note(format!(
                "networkd of systemd {} configures {} anew when {path} changes, and drops the address of a lease for a moment",
                work.wish.systemd,
                names.join(", ")
            ));
        }
        put(work, &path, render::network(link, work.wish.systemd), why, origins);
        done.push(path);
    }
}

fn boot_unit(work: &mut Work<'_>) {
    let links: Vec<&LinkWish> =
        work.choices.iter().filter(|choice| choice.mechanism == Mechanism::Bus).map(|choice| choice.wish).collect();
    // A link that is not there yet may need it when it comes, and one that comes and goes must not make it come and go.
    let waiting = &work.wish.waiting;
    if (links.is_empty() && waiting.is_empty()) || work.facts.services.systemd == Some(false) {
        return;
    }
    let awaited = waiting.iter().map(|link| link.value.to_string());
    let names: Vec<String> = links.iter().map(|link| link.name.clone()).chain(awaited).collect();
    let mut origins: Vec<Origin> = Vec::new();
    for origin in links.iter().flat_map(|link| &link.policies).chain(waiting.iter().map(|link| &link.policy)) {
        if !origins.contains(origin) {
            origins.push(origin.clone());
        }
    }
    let why = format!("resolved forgets at boot what is set over D-Bus: {}", names.join(", "));
    put(work, paths::BOOT_UNIT, Ok(render::boot_unit(work.wish.systemd)), why, origins.clone());
    let Some(from) = work.seen(paths::BOOT_WANTS) else { return };
    let to = Want::Symlink { target: paths::BOOT_UNIT.to_owned() };
    if from.kind != FileKind::Absent && !to.is_there(&from) {
        return not_ours(work, paths::BOOT_WANTS);
    }
    work.step(
        from,
        Wanted {
            path: paths::BOOT_WANTS,
            to,
            stage: Stage::Before,
            effect: Effect::ReloadSystemd,
            why: "starts it at boot".to_owned(),
            policies: origins,
        },
    );
}

/// ifupdown's hook for links that are set over D-Bus: `ifdown` takes that off them, and a link made anew has nothing.
fn if_up(work: &mut Work<'_>) {
    let is_ours = |name: &str| {
        let manager = work.places.link(name).map(|link| link.managed_by);
        matches!(manager, Some(Manager::Ifupdown | Manager::Ifupdown2))
    };
    let links = work.choices.iter().filter(|choice| choice.mechanism == Mechanism::Bus && is_ours(&choice.wish.name));
    let links: Vec<&LinkWish> = links.map(|choice| choice.wish).collect();
    if links.is_empty() || work.facts.services.systemd == Some(false) {
        return;
    }
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    let mut origins: Vec<Origin> = Vec::new();
    for origin in links.iter().flat_map(|link| &link.policies) {
        if !origins.contains(origin) {
            origins.push(origin.clone());
        }
    }
    let second = names.iter().any(|name| {
        let link = work.places.link(name);
        link.is_some_and(|link| link.managed_by == Manager::Ifupdown2)
    });
    if second {
        work.note(format!(
            "ifupdown2 runs {} only with addon_scripts_support=1 in /etc/network/ifupdown2/ifupdown2.conf; without, a link \
             that it makes anew is set again at boot or by the next `knotwork host apply`",
            paths::IF_UP
        ));
    }
    let why = format!("{} set again at each ifup", if names.len() == 1 { "a link is" } else { "links are" });
    let why = format!("{why}: {}", names.join(", "));
    let text = hooks::if_up(&names);
    put_as(work, paths::IF_UP, (Ok(text), SCRIPT), why, origins);
}

fn put(work: &mut Work<'_>, path: &str, text: Rendered, why: String, policies: Vec<Origin>) {
    put_as(work, path, (text, MODE), why, policies);
}

/// One file of ours, where nothing of somebody else lies.
fn put_as(work: &mut Work<'_>, path: &str, (text, mode): (Rendered, u32), why: String, policies: Vec<Origin>) {
    work.settled.insert(path.to_owned());
    let body = match text {
        Ok(body) => body,
        Err(wrong) => {
            for message in wrong {
                work.refuse(Refuse {
                    reason: preflight::UNWRITABLE,
                    at: path,
                    message,
                    way_out: "change the policy; resolved would drop this and ask others".to_owned(),
                });
            }
            return;
        }
    };
    let Some(from) = work.seen(path) else { return };
    match (from.kind, from.content.as_deref().map(mark::whose)) {
        (FileKind::Absent, _) | (FileKind::File, Some(mark::Whose::Ours)) => {}
        (FileKind::File, Some(mark::Whose::Edited)) => edited(work, path),
        (FileKind::File, None) | (FileKind::Unknown, _) => return preflight::unreadable(work, path),
        _ => return not_ours(work, path),
    }
    let to = Want::File { content: mark::stamp(&policies, &body), mode };
    let effect = effect(path, &from, &to, work.facts, work.wish.systemd);
    work.step(from, Wanted { path, to, stage: Stage::Before, effect, why, policies });
}

pub(super) fn edited(work: &mut Work<'_>, path: &str) {
    work.refuse(Refuse {
        reason: preflight::EDITED,
        at: path,
        message: "it is ours by its mark, and somebody changed it since".to_owned(),
        way_out: "take the change into a policy and remove the file, or say --overwrite-edited".to_owned(),
    });
}

fn not_ours(work: &mut Work<'_>, path: &str) {
    work.refuse(Refuse {
        reason: preflight::NOT_OURS,
        at: path,
        message: "it has the name of a file of ours and does not carry our mark".to_owned(),
        way_out: "rename or remove it".to_owned(),
    });
}

/// Who must be told of a change of one of our files.
pub(super) fn effect(path: &str, from: &SeenFile, to: &Want, facts: &HostFacts, version: SystemdVersion) -> Effect {
    let (dir, _) = paths::split(path);
    match path {
        paths::RESOLVED_CONF => resolved_conf_effect(from, to, facts, version),
        paths::NETWORK_MANAGER => Effect::ReloadNetworkManager,
        paths::BOOT_UNIT | paths::BOOT_WANTS => Effect::ReloadSystemd,
        _ if dir == paths::DELEGATES => Effect::ReloadResolved,
        // An older name of ours there may have held anything.
        _ if dir == paths::RESOLVED_CONF_D => Effect::RestartResolved,
        _ if dir.starts_with(paths::NETWORK) => Effect::ReloadNetworkd,
        _ => Effect::None,
    }
}

/// A reload keeps domains that are no longer there, and search domains that were imported; 256 and 257 lose their extra
/// listeners by it.
fn resolved_conf_effect(from: &SeenFile, to: &Want, facts: &HostFacts, version: SystemdVersion) -> Effect {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let old = from.content.as_deref().map(text).unwrap_or_default();
    let new = match to {
        Want::File { content, .. } => text(content),
        _ => String::new(),
    };
    let values = |text: &str, key: &str| -> Vec<String> {
        let of = |line: &str| line.split_once('=').filter(|(own, _)| own.starts_with(key)).map(|(_, v)| v.to_owned());
        text.lines().filter_map(of).flat_map(|v| v.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let kept = values(&new, "Domains");
    let gone = values(&old, "Domains").iter().any(|domain| !kept.contains(domain));
    let listeners = values(&old, "DNSStubListener") != values(&new, "DNSStubListener");
    let lost = matches!(version.0, 256 | 257) && !values(&new, "DNSStubListenerExtra").is_empty();
    if gone || listeners || lost || facts.global.imported == Some(true) {
        Effect::RestartResolved
    } else {
        Effect::ReloadResolved
    }
}
