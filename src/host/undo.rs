//! Taking a transaction back: everything that is as we left it becomes what it was, and what somebody changed since stays.

use super::journal::{State, Transaction, now};
use super::links;
use super::services;
use super::store::Store;
use crate::hostplan::{Effect, SeenFile, mechanisms};
use crate::resolved::files::HostFiles;
use crate::resolved::resolve1::Resolve1;
use crate::resolved::{Bus, Reason};

/// What became of an undo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// Paths and links that are as they were.
    pub restored: Vec<String>,
    /// Paths and links that were left alone or would not go back, and why.
    pub kept: Vec<(String, String)>,
}

/// Undoes a transaction, as far as it came, and writes down how that went.
pub(super) async fn undo(files: &HostFiles, bus: Option<&Bus>, store: &Store, tx: &mut Transaction) -> Undone {
    let mut undone = Undone::default();
    let mut effects: Vec<Effect> = tx.needs.clone();
    for entry in tx.files.iter().rev() {
        let now = files.see(&entry.path);
        if same(&now, &entry.before) {
            continue;
        }
        if !entry.left.is_there(&now) {
            let why = "somebody changed it since: it is left as it is now".to_owned();
            undone.kept.push((entry.path.clone(), why));
            continue;
        }
        match files.put_back(&entry.path, &entry.before) {
            Ok(()) if same(&files.see(&entry.path), &entry.before) => {
                undone.restored.push(entry.path.clone());
                effects.push(entry.effect);
            }
            Ok(()) => undone.kept.push((entry.path.clone(), "it reads otherwise than it was written".to_owned())),
            Err(error) => undone.kept.push((entry.path.clone(), format!("{error}; {}", error.way_out()))),
        }
        entry.made.iter().rev().for_each(|dir| files.remove_empty_dir(dir));
    }
    if let Some(bus) = bus {
        told(bus, (store, files), tx, effects, &mut undone).await;
        for entry in tx.links.iter().rev() {
            link(bus, entry, &mut undone).await;
        }
        // What was learnt of servers under the change is not true any more; nothing hangs on it.
        let _ = Resolve1(bus).flush_caches().await;
        let _ = Resolve1(bus).reset_server_features().await;
    } else if !tx.links.is_empty() || effects.iter().any(|effect| *effect != Effect::None) {
        undone.kept.push(("the bus".to_owned(), "there is none: services were not told".to_owned()));
    }
    tx.state = if undone.kept.is_empty() { State::RolledBack } else { State::PartlyRolledBack };
    tx.ended = Some(now());
    if let Err(error) = store.keep(tx) {
        undone.kept.push(("the journal".to_owned(), error.to_string()));
    }
    undone
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
    // What somebody wrote into resolved's own file is not brought back by anybody.
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
    tx.files.iter().any(|entry| entry.path == crate::hostplan::paths::RESOLVED_CONF)
}

async fn link(bus: &Bus, entry: &super::journal::LinkEntry, undone: &mut Undone) {
    let name = format!("link {}", entry.before.name);
    let wish = mechanisms::as_it_was(&entry.before);
    let is = match links::read(bus, &wish).await {
        Ok(is) => is,
        // Made anew or gone: our settings went with it.
        Err(gone) if gone.reason == Reason::NoSuchLink => return,
        Err(error) => return undone.kept.push((name, error.to_string())),
    };
    if mechanisms::differs(&wish, &is).is_empty() {
        return;
    }
    // Neither as before nor as we left it: somebody set it since.
    let left = mechanisms::differs(&mechanisms::as_it_was(&entry.left), &is);
    let mut foreign = mechanisms::differs(&wish, &is);
    foreign.retain(|word| (word == "servers" || word == "domains") && left.contains(word));
    if !foreign.is_empty() {
        return undone.kept.push((name, format!("somebody set its {} since", foreign.join(" and "))));
    }
    match links::set(bus, &wish, true).await {
        Ok(_) => undone.restored.push(name),
        Err(error) => undone.kept.push((name, error.to_string())),
    }
}

/// Whether a path is as it was, as far as a restore can make it.
fn same(now: &SeenFile, before: &SeenFile) -> bool {
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
