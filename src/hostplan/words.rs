//! What somebody wrote through /etc/resolv.conf into a file of resolved's own, and nowhere else.
//!
//! On a host whose resolved has no servers these words are the only way to a name: dhclient of Debian 12 tells resolved
//! nothing. A change makes resolved write its file anew, so they are remembered before, and given back when we go.

use serde::{Deserialize, Serialize};

use super::plan::{Wanted, Work};
use super::{Effect, SeenFile, Stage, Want, paths, preflight, resolv_conf};
use crate::split::facts::{FileKind, whose};
use crate::split::{DnsServer, HostFacts};

/// Such words, and what resolved had beside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Words {
    /// The file of resolved's.
    pub path: String,
    /// What was in it.
    pub file: SeenFile,
    /// Servers that resolved had then without us. Any other one comes from whoever tells resolved now what he wrote there
    /// then: with that the file is right as resolved writes it.
    pub servers: Vec<DnsServer>,
}

impl Words {
    /// Whether they belong back: /etc/resolv.conf (as it is `left`) still leads there, there stands what resolved wrote
    /// (`now`), and resolved has no server that it did not have beside them.
    pub fn are_missed(&self, left: &Want, now: &SeenFile, servers: &[DnsServer]) -> bool {
        let leads = matches!(left, Want::Symlink { target } if resolv_conf::resolveds(target) == Some(&self.path));
        leads && is_resolveds(now) && servers.iter().all(|server| self.servers.contains(server))
    }
}

/// Whether a file holds what resolved writes.
fn is_resolveds(seen: &SeenFile) -> bool {
    let text = seen.content.as_deref().filter(|_| seen.kind == FileKind::File).map(String::from_utf8_lossy);
    text.is_some_and(|text| whose(&text).is_resolveds())
}

/// All servers that resolved has.
fn servers(facts: &HostFacts) -> Vec<DnsServer> {
    let links = facts.links.iter().flatten().filter_map(|link| link.servers.as_ref());
    links.chain(&facts.global.servers).flatten().cloned().collect()
}

/// Remembers them under a policy, whatever that does with the link: resolved writes its files with every server it is told.
pub(super) fn keep(work: &mut Work<'_>) {
    if preflight::is_nothing(work.wish) {
        return;
    }
    let Some(path) = work.seen.files.get(paths::RESOLV_CONF).and_then(leads_to) else { return };
    let Some(file) = work.seen.files.get(path).filter(|file| file.kind == FileKind::File) else { return };
    let is_empty = file.content.as_ref().is_none_or(Vec::is_empty);
    if !is_empty && !is_resolveds(file) {
        let words = Words { path: path.to_owned(), file: file.clone(), servers: servers(&work.base) };
        work.plan.words = Some(words);
    }
}

/// Gives them back where all else is given back.
pub(super) fn give_back(work: &mut Work<'_>) {
    let Some(words) = work.record.words.clone().filter(|_| preflight::is_nothing(work.wish)) else { return };
    let step = work.plan.files.iter().find(|step| step.path == paths::RESOLV_CONF).map(|step| step.to.clone());
    let Some(left) = step.or_else(|| work.seen.files.get(paths::RESOLV_CONF).and_then(Want::again)) else { return };
    let Some(from) = work.seen(&words.path) else { return };
    if words.are_missed(&left, &from, &servers(&work.base))
        && let Some(to) = Want::again(&words.file)
    {
        let why = "what was written here before us: resolved has no servers of its own without us".to_owned();
        let wanted =
            Wanted { path: &words.path, to, stage: Stage::Last, effect: Effect::None, why, policies: Vec::new() };
        work.step(from, wanted);
    }
}

/// The file of resolved's to which a link leads.
fn leads_to(seen: &SeenFile) -> Option<&'static str> {
    let is_link = matches!(seen.kind, FileKind::Symlink | FileKind::Dangling);
    seen.target.as_deref().filter(|_| is_link).and_then(resolv_conf::resolveds)
}
