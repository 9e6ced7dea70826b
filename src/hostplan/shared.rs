//! Files of others in which a part is ours: /etc/hosts, nsswitch.conf, interfaces, dhcpcd.enter-hook.

use super::mechanisms::Choice;
use super::merge::{Trouble, block, dhcpcd, hosts, interfaces, nsswitch};
use super::plan::{Wanted, Work};
use super::preflight::{self, Refuse};
use super::{Effect, Mechanism, SeenFile, Stage, Want, hooks, mechanisms, own, paths};
use crate::split::facts::{FileKind, Manager};
use crate::split::policy::{HostLine, Origin, Writer};

/// What becomes of a file: its bytes, or `None` where it stays away.
type Merged = Result<Option<Vec<u8>>, Trouble>;

/// All four.
pub(super) fn files(work: &mut Work<'_>) {
    hosts_file(work);
    nsswitch_file(work);
    interfaces_files(work);
    dhcpcd_file(work);
}

/// A file without our blocks; `None` where it has none or cannot be understood.
pub(super) fn without_us(path: &str, content: &[u8]) -> Option<Vec<u8>> {
    if path == paths::NSSWITCH {
        return None;
    }
    let found = block::find(content).ok().filter(|found| !found.is_empty())?;
    Some(block::remove(content, &found))
}

fn hosts_file(work: &mut Work<'_>) {
    let entries: Vec<&HostLine> = work.wish.hosts_file.iter().map(|line| &line.value).collect();
    let mut origins: Vec<Origin> = Vec::new();
    for line in &work.wish.hosts_file {
        if !origins.contains(&line.policy) {
            origins.push(line.policy.clone());
        }
    }
    if let Some(own) = work.facts.hostname.as_deref()
        && entries.iter().any(|line| line.names.iter().any(|name| name.eq_ignore_ascii_case(own)))
    {
        work.note(format!("hostsFile names this host ({own}); its own line in {} stays as it is", paths::HOSTS));
    }
    let merge = |text: Option<&[u8]>| match (text, entries.is_empty()) {
        (None, true) => Ok(None),
        (text, _) => hosts::merge(text.unwrap_or_default(), &entries, &origins).map(Some),
    };
    let why =
        if entries.is_empty() { "no policy has names for it any more" } else { "names and addresses of policies" };
    change(work, paths::HOSTS, Stage::Before, why, origins.clone(), merge);
}

fn dhcpcd_file(work: &mut Work<'_>) {
    let is_there = [paths::DHCPCD, paths::DHCPCD_HOOK].iter().any(|path| {
        let kind = work.seen.files.get(*path).map_or(FileKind::Absent, |seen| seen.kind);
        kind != FileKind::Absent
    });
    let on = work.wish.protect.get(&Writer::Dhcpcd) == Some(&true) && is_there;
    let origins = work.wish.setters_of(&["protect.dhcpcd"]);
    let lines = if on { hooks::dhcpcd(work.wish) } else { Vec::new() };
    let merge = |text: Option<&[u8]>| match (text, on) {
        (None, false) => Ok(None),
        (text, _) => dhcpcd::merge(text.unwrap_or_default(), &lines, &origins).map(Some),
    };
    let why = match on {
        true => format!("keeps dhcpcd from writing resolv.conf{}", hooks::held(work.wish)),
        false => "dhcpcd is free again".to_owned(),
    };
    change(work, paths::DHCPCD_HOOK, Stage::Before, &why, origins.clone(), merge);
}

/// The stanzas of links, wherever they stand, and files where one of ours stood before.
fn interfaces_files(work: &mut Work<'_>) {
    let mut all = vec![paths::INTERFACES.to_owned()];
    let links = work.places.links.iter().flatten().filter(|link| link.managed_by == Manager::Ifupdown);
    all.extend(links.filter_map(|link| link.network_file.clone()));
    let others =
        work.record.files.keys().filter(|path| !paths::is_own(path) && !paths::SHARED.contains(&path.as_str()));
    all.extend(others.cloned());
    all.sort_unstable();
    all.dedup();
    all.iter().for_each(|path| interfaces_file(work, path));
    forgotten(work);
}

fn interfaces_file(work: &mut Work<'_>, path: &str) {
    let here = |choice: &&Choice<'_>| {
        choice.mechanism == Mechanism::Ifupdown && mechanisms::stanza_file(&work.places, &choice.wish.name) == path
    };
    let wanted: Vec<interfaces::Lines> = work
        .choices
        .iter()
        .filter(here)
        .map(|choice| interfaces::Lines {
            link: choice.wish.name.clone(),
            lines: mechanisms::stanza_lines(choice.wish),
            policies: choice.wish.policies.clone(),
        })
        .collect();
    let mut origins: Vec<Origin> = Vec::new();
    for origin in wanted.iter().flat_map(|lines| &lines.policies) {
        if !origins.contains(origin) {
            origins.push(origin.clone());
        }
    }
    let merge = |text: Option<&[u8]>| text.map(|text| interfaces::merge(text, &wanted)).transpose();
    let links: Vec<&str> = wanted.iter().map(|lines| lines.link.as_str()).collect();
    let why = match links.is_empty() {
        true => "no link is set here any more".to_owned(),
        false => format!("DNS of {} from the next ifup on", links.join(", ")),
    };
    change(work, path, Stage::Before, &why, origins, merge);
}

/// What Debian's hook of ifupdown remembers of lines that are gone would count until the next ifup.
fn forgotten(work: &mut Work<'_>) {
    let gone: Vec<_> = work
        .record
        .links
        .iter()
        .filter(|(name, _)| {
            let mut now = work.choices.iter();
            !now.any(|choice| choice.mechanism == Mechanism::Ifupdown && choice.wish.name == **name)
        })
        .flat_map(|(name, known)| {
            let memory = |six| mechanisms::stanza_memory(&known.left, six).into_bytes();
            paths::ifupdown_memory(name).into_iter().zip([memory(false), memory(true)])
        })
        .collect();
    for (path, ours) in gone {
        let Some(from) = work.seen(&path).filter(|from| from.content.as_ref() == Some(&ours)) else { continue };
        let why = "ifupdown's memory of lines that are gone".to_owned();
        let (to, stage, effect) = (Want::Absent, Stage::Before, Effect::None);
        work.step(from, Wanted { path: &path, to, stage, effect, why, policies: Vec::new() });
    }
}

fn nsswitch_file(work: &mut Work<'_>) {
    let nss = work.facts.nss.clone();
    if !work.wish.nsswitch {
        return nsswitch_back(work);
    }
    let origins = work.wish.setters_of(&["nsswitch"]);
    let Some(from) = work.seen(paths::NSSWITCH) else { return };
    let missing = nss.as_ref().is_some_and(|nss| nss.resolve_module == Some(false));
    let named_already = nss.as_ref().is_some_and(|nss| nsswitch::is_right(&nss.hosts));
    // A link is never followed; what it leads to may be right all the same.
    if from.kind != FileKind::File && named_already {
        work.settled.insert(paths::NSSWITCH.to_owned());
        return;
    }
    let merge = |text: Option<&[u8]>| nsswitch::merge(text.unwrap_or_default()).map(Some);
    let why = "programs that use the C library ask resolved itself";
    let changed = change(work, paths::NSSWITCH, Stage::Last, why, origins, merge);
    if missing && changed {
        work.refuse(Refuse {
            reason: preflight::NSS_MODULE,
            at: paths::NSSWITCH,
            message: "libnss_resolve.so.2 is not installed, and the hosts: line would name it".to_owned(),
            way_out: "install it (Debian: libnss-resolve), or say nsswitch: Unmanaged; resolv.conf alone serves too"
                .to_owned(),
        });
    } else if missing {
        work.note(format!(
            "{} names resolve, but libnss_resolve.so.2 is not installed: programs ask through resolv.conf",
            paths::NSSWITCH
        ));
    }
}

/// The line that was there before us, where it is still ours.
fn nsswitch_back(work: &mut Work<'_>) {
    work.settled.insert(paths::NSSWITCH.to_owned());
    let Some(known) = work.record.files.get(paths::NSSWITCH) else { return };
    let (before, left) = (known.before.clone(), known.left.clone());
    let Some(from) = work.seen(paths::NSSWITCH) else { return };
    let to = match (&from.content, &left) {
        _ if left.is_there(&from) => Want::again(&before),
        (Some(now), Want::File { content: left, .. }) => {
            let old = before.content.as_deref().unwrap_or_default();
            nsswitch::take_out(now, old, left).map(|content| Want::File { content, mode: from.mode & 0o7777 })
        }
        _ => None,
    };
    match to {
        Some(to) => {
            let why = "the hosts: line as it was before us".to_owned();
            let (path, stage, effect) = (paths::NSSWITCH, Stage::Before, Effect::None);
            work.step(from, Wanted { path, to, stage, effect, why, policies: Vec::new() });
        }
        None => work.note(format!("{}: the hosts: line was changed since and stays so", paths::NSSWITCH)),
    }
}

/// Merges one file; whether that makes a step.
fn change(
    work: &mut Work<'_>,
    path: &str,
    stage: Stage,
    why: &str,
    policies: Vec<Origin>,
    merge: impl Fn(Option<&[u8]>) -> Merged,
) -> bool {
    work.settled.insert(path.to_owned());
    let Some(from) = work.seen(path) else { return false };
    let text = match (from.kind, from.content.as_deref()) {
        (FileKind::Absent, _) => None,
        (FileKind::File, Some(content)) => Some(content),
        // Nothing is wanted of it, and nothing of ours can be in what was never written.
        _ if merge(None) == Ok(None) || is_idle(&merge) => return false,
        (FileKind::Symlink | FileKind::Dangling | FileKind::Directory | FileKind::Other, _) => {
            let by = from.generated_by.clone();
            let message = match (&from.target, &by) {
                (Some(target), None) => format!("it is a link to {target}, which somebody else makes"),
                (_, Some(by)) => format!("{by} makes it"),
                (None, None) => "it is no regular file".to_owned(),
            };
            let way_out = "set it where it is made, or leave this out of the policy".to_owned();
            work.refuse(Refuse { reason: preflight::GENERATED, at: path, message, way_out });
            return false;
        }
        (FileKind::File | FileKind::Unknown, _) => {
            preflight::unreadable(work, path);
            return false;
        }
    };
    let merged = match merge(text) {
        Ok(merged) => merged,
        Err(Trouble { reason, line, message, way_out }) => {
            let at = if line > 0 { format!("{path}:{line}") } else { path.to_owned() };
            work.refuse(Refuse { reason, at: &at, message, way_out });
            return false;
        }
    };
    let Some(content) = merged else { return false };
    // What we made of nothing goes away as a whole.
    let known = work.record.files.get(path).map(|known| known.before.kind);
    let to = match content.is_empty() && known == Some(FileKind::Absent) {
        true => Want::Absent,
        false => {
            let mode = if from.kind == FileKind::Absent { 0o644 } else { from.mode & 0o7777 };
            Want::File { content, mode }
        }
    };
    if path != paths::NSSWITCH && text.is_some_and(is_edited) && !to.is_there(&from) {
        own::edited(work, path);
    }
    let steps = work.plan.files.len();
    let why = why.to_owned();
    work.step(from, Wanted { path, to, stage, effect: Effect::None, why, policies });
    work.plan.files.len() > steps
}

/// Whether a merge leaves an empty file empty: nothing is wanted.
fn is_idle(merge: &impl Fn(Option<&[u8]>) -> Merged) -> bool {
    merge(Some(b"")).is_ok_and(|merged| merged.is_none_or(|content| content.is_empty()))
}

/// Whether a block of ours was changed by somebody else.
fn is_edited(text: &[u8]) -> bool {
    block::find(text).is_ok_and(|found| found.iter().any(|found| !found.intact))
}

/// What lies there, seen as absent.
pub(super) fn nothing() -> SeenFile {
    SeenFile { kind: FileKind::Absent, ..SeenFile::default() }
}
