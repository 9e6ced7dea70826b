//! /etc/resolv.conf: where it leads, when it is swapped, and whose words are in it.

use super::plan::{Wanted, Work};
use super::{Effect, Need, SeenFile, Stage, Want, paths, preflight};
use crate::split::facts::{Content, FileKind, ResolvConfMode};
use crate::split::policy::ResolvConf;

const STUB: &str = "../run/systemd/resolve/stub-resolv.conf";
const UPLINK: &str = "../run/systemd/resolve/resolv.conf";

/// Where a link of this mode leads, as we write it.
pub fn target(mode: ResolvConf) -> Option<&'static str> {
    match mode {
        ResolvConf::Stub => Some(STUB),
        ResolvConf::Uplink => Some(UPLINK),
        ResolvConf::Unmanaged => None,
    }
}

/// Whether a link leads to the same file, however it is written.
fn leads_to(seen: &SeenFile, target: &str) -> bool {
    matches!(seen.kind, FileKind::Symlink | FileKind::Dangling)
        && seen.target.as_deref().is_some_and(|own| absolute(own) == absolute(target))
}

/// The file of resolved's own to which a link of this text leads.
pub(super) fn resolveds(target: &str) -> Option<&'static str> {
    let own = absolute(target);
    paths::RESOLVED_FILES.into_iter().find(|path| absolute(path) == own)
}

/// Where a link in /etc leads, by its text alone.
fn absolute(target: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { vec!["etc"] };
    for part in target.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts
}

/// The link, or what was there before us.
pub(super) fn file(work: &mut Work<'_>) {
    work.settled.insert(paths::RESOLV_CONF.to_owned());
    let Some(from) = work.seen(paths::RESOLV_CONF) else { return };
    let Some(target) = target(work.wish.resolv_conf) else { return back(work, from) };
    if from.kind == FileKind::Unknown {
        return preflight::unreadable(work, paths::RESOLV_CONF);
    }
    let policies = work.wish.setters_of(&["resolvConf"]);
    if leads_to(&from, target) {
        return trampled(work, from.kind);
    }
    // Without servers of its own resolved takes those of a foreign file, and keeps them when the file has gone.
    let global = &work.wish.global;
    let has_own = global.servers.as_ref().is_some_and(|servers| !servers.is_empty())
        || global.domains.as_ref().is_some_and(|domains| !domains.is_empty());
    let imports = !has_own && work.facts.global.imported != Some(false) && is_foreign(work, &from);
    let (stage, effect) = match imports {
        true => (Stage::Before, Effect::RestartResolved),
        false => (Stage::Last, Effect::None),
    };
    let mode = match work.wish.resolv_conf {
        ResolvConf::Uplink => "programs that read it ask the upstream servers",
        _ => "programs that read it ask resolved",
    };
    let also = if imports { "; resolved must forget the servers that it took from the old one" } else { "" };
    let to = Want::Symlink { target: target.to_owned() };
    let why = format!("{mode}{also}");
    work.step(from, Wanted { path: paths::RESOLV_CONF, to, stage, effect, why, policies });
}

fn is_foreign(work: &Work<'_>, from: &SeenFile) -> bool {
    if leads_to(from, STUB) || leads_to(from, UPLINK) {
        return false;
    }
    match work.facts.resolv_conf.as_ref().and_then(|facts| facts.mode) {
        Some(mode) => mode == ResolvConfMode::Foreign,
        None => !matches!(from.kind, FileKind::Absent | FileKind::Dangling),
    }
}

/// The link is right: are the words behind it resolved's, and has it forgotten what it once imported?
fn trampled(work: &mut Work<'_>, kind: FileKind) {
    let content = work.facts.resolv_conf.as_ref().map_or(Content::Unknown, |facts| facts.content);
    let by = match content {
        Content::Dhclient => Some("dhclient"),
        Content::Dhcpcd => Some("dhcpcd"),
        Content::NetworkManager => Some("NetworkManager"),
        Content::Resolvconf => Some("resolvconf"),
        Content::Other => Some("another program"),
        Content::Unknown | Content::Stub | Content::Uplink | Content::Static => None,
    };
    if let Some(by) = by {
        let why = format!(
            "{by} wrote into the file that /etc/resolv.conf leads to; resolved is made to write it anew \
             (what stands there now is kept for a rollback)"
        );
        work.plan.needs.push(Need { effect: Effect::RewriteResolved, why });
    } else if kind == FileKind::Dangling {
        // Programs that read it would ask this machine itself, by the C library's default, and find nobody.
        let why = "the file of resolved's that /etc/resolv.conf leads to is gone; resolved is made to write it anew";
        work.plan.needs.push(Need { effect: Effect::RewriteResolved, why: why.to_owned() });
    } else if work.facts.global.imported == Some(true) {
        let why = "resolved still holds servers that it took from a resolv.conf of somebody else".to_owned();
        work.plan.needs.push(Need { effect: Effect::RestartResolved, why });
    }
}

/// What was there before us, where ours still lies there.
fn back(work: &mut Work<'_>, from: SeenFile) {
    let Some(known) = work.record.files.get(paths::RESOLV_CONF) else { return };
    let before = Want::again(&known.before);
    if before.as_ref().is_some_and(|before| before.is_there(&from)) {
        return;
    }
    if !known.left.is_there(&from) {
        work.refuse(preflight::Refuse {
            reason: preflight::EDITED,
            at: paths::RESOLV_CONF,
            message: "somebody changed it since".to_owned(),
            way_out: "it stays as it is; to have back what was there before: --overwrite-edited".to_owned(),
        });
    }
    match before {
        Some(to) => {
            let why = "as it was before us".to_owned();
            let (path, stage, effect) = (paths::RESOLV_CONF, Stage::Last, Effect::None);
            work.step(from, Wanted { path, to, stage, effect, why, policies: Vec::new() });
        }
        None => work.note(format!("{}: what was there before us was not kept; it stays", paths::RESOLV_CONF)),
    }
}
