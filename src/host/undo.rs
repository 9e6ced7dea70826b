//! Taking a transaction back: everything that is as we left it becomes what it was, and what somebody changed since stays.

use super::error::HostError;
use super::journal::{FileEntry, State, Transaction, now};
use super::links;
use super::profiles;
use super::services;
use super::store::Store;
use crate::hostplan::{Effect, SeenFile, Want, is_read, link_without, mechanisms, paths};
use crate::resolved::files::HostFiles;
use crate::resolved::gather::remembered;
use crate::resolved::resolve1::Resolve1;
use crate::resolved::systemd1::Systemd1;
use crate::resolved::{Bus, Reason};
use crate::split::facts::{DefaultRoute, Link};

/// What became of an undo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// Paths and links that are as they were.
    pub restored: Vec<String>,
    /// Paths and links that were left alone or would not go back, and why.
    pub kept: Vec<(String, String)>,
}

/// Undoes a transaction, as far as it came, and writes down how that went.
///
/// Whoever dies in here is followed by the next start, which does all of it again: each step finds what is done already.
pub(super) async fn undo(files: &HostFiles, bus: Option<&Bus>, store: &Store, tx: &mut Transaction) -> Undone {
    let mut undone = Undone::default();
    // What is as it was may be so by an undo that never came to tell anybody, or by a person's hand.
    let tell_all = matches!(tx.state, State::Committed | State::Undoing | State::PartlyRolledBack);
    tx.state = State::Undoing;
    if let Err(error) = store.keep(tx) {
        // The next start finds it as unfinished as before, and nothing that is undone twice is worse for it.
        tracing::warn!(%error, "the undo could not be written down");
    }
    let mut effects: Vec<Effect> = tx.needs.clone();
    for entry in tx.files.iter().rev() {
        files.sweep(&entry.path);
        if file(files, entry, &mut undone) || (tell_all && same(&files.see(&entry.path), &entry.before)) {
            effects.push(entry.effect);
        }
        entry.made.iter().rev().for_each(|dir| files.remove_empty_dir(dir));
    }
    let mut away = None;
    if let Some(bus) = bus {
        let rewrites = tx.needs.iter().chain(tx.files.iter().map(|entry| &entry.effect));
        if rewrites.into_iter().any(|effect| *effect == Effect::RewriteResolved) {
            services::sweep(bus).await;
        }
        // As [`links::set_back`] has it: what a delegate or the global scope took must have where to go when resolved is told.
        let is_delegate = |entry: &FileEntry| paths::split(&entry.path).0 == paths::DELEGATES;
        let all = tx.files.iter().any(is_delegate) && !effects.contains(&Effect::RestartResolved);
        let (answers, mut late) = (Resolve1(bus).manager().await.is_ok(), Vec::new());
        for entry in tx.links.iter().rev() {
            match answers && (all || links::goes_first(bus, &mechanisms::as_it_was(&entry.before)).await) {
                true => link((bus, files), entry, &mut undone).await,
                false => late.push(entry),
            }
        }
        let mut late_profiles = Vec::new();
        for entry in tx.profiles.iter().rev() {
            let first = match (&entry.was, answers) {
                (Some(was), true) => links::goes_first(bus, &mechanisms::as_it_was(was)).await,
                _ => false,
            };
            match all || first {
                true => profiles::undo(bus, entry, &mut undone).await,
                false => late_profiles.push(entry),
            }
        }
        told(bus, (store, files), tx, effects, &mut undone).await;
        for entry in late {
            link((bus, files), entry, &mut undone).await;
        }
        for entry in late_profiles {
            profiles::undo(bus, entry, &mut undone).await;
        }
        words(files, bus, tx, &mut undone).await;
        // What was learnt of servers under the change is not true any more; nothing hangs on it.
        let _ = Resolve1(bus).flush_caches().await;
        let _ = Resolve1(bus).reset_server_features().await;
        away = if undone.kept.is_empty() { None } else { is_away(bus, tx).await };
    } else if !tx.links.is_empty() || !tx.profiles.is_empty() || effects.iter().any(|effect| *effect != Effect::None) {
        away = Some("no bus answers".to_owned());
    }
    if let Err(error) = memory(store, tx, &undone) {
        undone.kept.push(("knotwork's memory".to_owned(), error.to_string()));
    }
    match away {
        // Services hold what the files do not say any more: the next start tells them.
        Some(why) => undone.kept.push((AWAY.to_owned(), format!("{why}; the next start tells them"))),
        None => {
            tx.state = if undone.kept.is_empty() { State::RolledBack } else { State::PartlyRolledBack };
            tx.ended = Some(now());
        }
    }
    if let Err(error) = store.keep(tx) {
        undone.kept.push(("the journal".to_owned(), error.to_string()));
    }
    undone
}

/// Under what an undo says that those whom it must tell are away.
pub(super) const AWAY: &str = "services and links";

/// Why nobody can be told now and may be later: the bus is away, or resolved, which keeps what links have over its end.
async fn is_away(bus: &Bus, tx: &Transaction) -> Option<String> {
    if let Err(error) = bus.call_daemon().await {
        return Some(error.to_string());
    }
    if !tx.profiles.is_empty()
        && let Some(why) = profiles::is_away(bus).await
    {
        return Some(why);
    }
    let silent = Resolve1(bus).manager().await.err()?;
    match Systemd1(bus).unit(services::RESOLVED).await {
        Ok(unit) if unit.load == "loaded" && !unit.is_masked() => {
            Some(format!("{} is {} and does not answer: {silent}", services::RESOLVED, unit.active))
        }
        // Masked or gone, it takes its settings with it.
        _ => None,
    }
}

/// Puts one file back; whether it had to.
fn file(files: &HostFiles, entry: &FileEntry, undone: &mut Undone) -> bool {
    let now = files.see(&entry.path);
    if same(&now, &entry.before) {
        return false;
    }
    if !entry.left.is_there(&now) {
        let why = "somebody changed it since: it is left as it is now".to_owned();
        undone.kept.push((entry.path.clone(), why));
        return false;
    }
    match files.put_back(&entry.path, &entry.before) {
        Ok(()) if same(&files.see(&entry.path), &entry.before) => {
            undone.restored.push(entry.path.clone());
            return true;
        }
        Ok(()) => undone.kept.push((entry.path.clone(), "it reads otherwise than it was written".to_owned())),
        Err(error) => undone.kept.push((entry.path.clone(), format!("{error}; {}", error.way_out()))),
    }
    false
}

/// Puts back what stood in resolved's own file, where it is missed. Last of all: resolved writes the file with every server
/// that it is told.
async fn words(files: &HostFiles, bus: &Bus, tx: &Transaction, undone: &mut Undone) {
    // Under policies that stood before, that somebody wrote there was nothing to be kept.
    let Some(words) = tx.words.as_ref().filter(|_| tx.accepted.is_none()) else { return };
    let Some(left) = Want::again(&files.see(paths::RESOLV_CONF)) else { return };
    // A resolved that does not answer has nothing to give.
    let servers = Resolve1(bus).manager().await.ok().and_then(|manager| manager.servers).unwrap_or_default();
    let servers: Vec<_> = servers.into_iter().map(|(_, server)| server).collect();
    if !words.are_missed(&left, &files.see(&words.path), &servers) {
        return;
    }
    match files.put_back(&words.path, &words.file) {
        Ok(()) => undone.restored.push(words.path.clone()),
        Err(error) => undone.kept.push((words.path.clone(), format!("{error}; {}", error.way_out()))),
    }
}

/// Makes our memory what it was: the end of a transaction may have come as far as changing it.
fn memory(store: &Store, tx: &Transaction, undone: &Undone) -> Result<(), HostError> {
    let (mut record, mut now) = (tx.record.clone(), store.record()?);
    if now != record {
        // Policies go on: what there is to be given back with them may have been learnt just now.
        if tx.accepted.is_some() {
            record.words = record.words.take().or(now.words.take());
        }
        // What somebody changed since is still our doing underneath, and stays remembered.
        for (path, _) in &undone.kept {
            if let Some(known) = now.files.remove(path) {
                record.files.insert(path.clone(), known);
            }
            let of_profile = tx.profiles.iter().find(|entry| *path == format!("profile {}", entry.id));
            if let Some((uuid, known)) = of_profile.and_then(|entry| now.profiles.remove_entry(&entry.uuid)) {
                record.profiles.insert(uuid, known);
            }
        }
        store.set_record(&record)?;
    }
    if store.accepted()? != tx.accepted {
        store.set_accepted(tx.accepted.as_deref())?;
    }
    Ok(())
}

async fn told(
    bus: &Bus,
    (store, files): (&Store, &HostFiles),
    tx: &Transaction,
    mut effects: Vec<Effect>,
    undone: &mut Undone,
) {
    effects.sort_unstable();
    effects.dedup();
    // What somebody wrote into resolved's own file is not brought back by telling anybody.
    effects.retain(|effect| !matches!(effect, Effect::None | Effect::RewriteResolved));
    if effects.contains(&Effect::RestartResolved) {
        effects.retain(|effect| *effect != Effect::ReloadResolved);
    }
    // A reload keeps domains that a file of ours added: what goes away wants a restart.
    for effect in effects {
        let effect = if effect == Effect::ReloadResolved && has_domains(tx) { Effect::RestartResolved } else { effect };
        if let Err(error) = services::tell(bus, (store, files), effect, tx.systemd).await {
            undone.kept.push(("services".to_owned(), error.to_string()));
        }
    }
}

fn has_domains(tx: &Transaction) -> bool {
    tx.files.iter().any(|entry| entry.path == paths::RESOLVED_CONF)
}

async fn link((bus, files): (&Bus, &HostFiles), entry: &super::journal::LinkEntry, undone: &mut Undone) {
    let name = format!("link {}", entry.before.name);
    if !is_read(&entry.before) {
        // Of a release that wrote down what it had not read.
        return undone.kept.push((name, "it was not known what it had before: it is left as it is now".to_owned()));
    }
    let wish = mechanisms::as_it_was(&entry.before);
    let is = match links::read(bus, &wish).await {
        Ok(is) => is,
        // Made anew or gone: our settings went with it.
        Err(gone) if gone.reason == Reason::NoSuchLink => return,
        Err(error) => return undone.kept.push((name, error.to_string())),
    };
    let is_marked = is_marked(files, &entry.before);
    if mechanisms::differs(&wish, &is).is_empty() && !is_marked {
        return;
    }
    // What is neither as before nor as we left it somebody set since: it stays, and ours goes from around it.
    let mut own = is.clone();
    link_without(&mut own, &entry.before, &mechanisms::as_it_was(&entry.left));
    // One of ours that is there only between two calls.
    if let (Some(domains), Ok(passing)) = (&mut own.domains, services::PASSING.parse()) {
        domains.retain(|domain| *domain != passing);
    }
    let mut foreign = mechanisms::differs(&wish, &own);
    foreign.retain(|word| word == "servers" || word == "domains");
    let without_us = if foreign.is_empty() { wish } else { mechanisms::as_it_was(&own) };
    let done = match mechanisms::differs(&without_us, &is).is_empty() && !is_marked {
        true => Ok(()),
        false => links::set(bus, &without_us, Some(&entry.before)).await.map(drop),
    };
    match done {
        Ok(()) if foreign.is_empty() => undone.restored.push(name),
        Ok(()) => {
            let what = foreign.join(" and ");
            undone.kept.push((name, format!("somebody set its {what} since: that stays, and nothing of ours does")));
        }
        Err(error) => undone.kept.push((name, error.to_string())),
    }
}

/// Whether resolved remembers of a link what it did not before us, though it comes to the same.
fn is_marked(files: &HostFiles, before: &Link) -> bool {
    let Some(memory) = remembered(files, before.ifindex) else { return false };
    let is_new = |told: &Vec<String>| memory.told.iter().any(|word| !told.contains(word));
    before.default_route == DefaultRoute::Automatic && memory.default_route.is_some()
        || before.told.as_ref().is_some_and(is_new)
}

/// Whether a path is as it was, as far as a restore can make it.
pub(super) fn same(now: &SeenFile, before: &SeenFile) -> bool {
    let kinds = |seen: &SeenFile| {
        use crate::split::facts::FileKind;
        // Whether a link leads anywhere is not up to the link.
        match seen.kind {
            FileKind::Dangling => FileKind::Symlink,
            kind => kind,
        }
    };
    kinds(now) == kinds(before)
        && now.target == before.target
        && now.content == before.content
        && (now.kind != crate::split::facts::FileKind::File || (now.mode, now.owner) == (before.mode, before.owner))
}
