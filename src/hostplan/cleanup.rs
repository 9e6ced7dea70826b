//! What is left of us and nobody wants any more: removed, or put back to what was there before.

use super::plan::{Wanted, Work};
use super::{SeenFile, Stage, Want, mark, own, paths, shared};
use crate::split::facts::FileKind;

/// Files of ours that no policy asks for.
pub(super) fn files(work: &mut Work<'_>) {
    let mut left: Vec<String> = work.record.files.keys().cloned().collect();
    for (dir, names) in &work.seen.dirs {
        let all = names.iter().map(|name| format!("{dir}/{name}"));
        left.extend(all.filter(|path| paths::is_own(path)));
    }
    left.extend(paths::OWN.iter().map(|path| (*path).to_owned()));
    left.sort_unstable();
    left.dedup();
    for path in left {
        if work.settled.contains(&path) {
            continue;
        }
        if let Some(from) = work.seen(&path) {
            file(work, &path, from);
        }
    }
}

fn file(work: &mut Work<'_>, path: &str, from: SeenFile) {
    if from.kind == FileKind::Absent {
        return;
    }
    let known = work.record.files.get(path).cloned();
    let whose = from.content.as_deref().filter(|_| from.kind == FileKind::File).map(mark::whose);
    let as_left = known.as_ref().is_some_and(|known| known.left.is_there(&from));
    let is_wants = path == paths::BOOT_WANTS && from.target.as_deref() == Some(paths::BOOT_UNIT);
    match whose {
        _ if as_left || is_wants => {}
        Some(mark::Whose::Ours) => {}
        Some(mark::Whose::Edited) => own::edited(work, path),
        _ => {
            if known.is_some() || paths::is_own(path) {
                work.note(format!("{path}: it is not as we left it, or not ours; it stays"));
            }
            return;
        }
    }
    let before = known.map_or_else(shared::nothing, |known| known.before);
    let Some(to) = Want::again(&before) else {
        return work.note(format!("{path}: what was there before us was not kept; it stays"));
    };
    let why = match to {
        Want::Absent => "no policy wants it any more".to_owned(),
        _ => "as it was before us".to_owned(),
    };
    let effect = own::effect(path, &from, &to, work.facts, work.wish.systemd);
    work.step(from, Wanted { path, to, stage: Stage::Before, effect, why, policies: Vec::new() });
}
