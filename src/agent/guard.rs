//! The one file that every program of a host reads, put back at once: without looking at anything else first.
//!
//! Until it is back, programs that read it ask whomever it names: this is the only gap in what `failClosed` promises, and
//! so it is kept as short as a rename. Everything else about the host is looked at afterwards.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::war::War;
use crate::hostplan::{SeenFile, Want, paths};
use crate::resolved::WriteError;
use crate::resolved::files::HostFiles;
use crate::split::HostFacts;
use crate::split::facts::{Content, FileKind};
use crate::split::policy::ResolvConf;
use crate::split::wish::Wish;

/// Something that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The file.
    pub path: String,
    /// From the kernel's word that it changed.
    pub took: Duration,
}

/// Knows what must lie there, and puts it back.
#[derive(Debug)]
pub struct Guard {
    files: HostFiles,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By path; nothing while a policy is being changed.
    wants: BTreeMap<String, Want>,
    /// resolved's own files as they were, to be made anew as resolved's.
    seen: BTreeMap<String, SeenFile>,
    war: War,
}

impl Guard {
    /// Guards nothing yet.
    pub fn new(files: HostFiles) -> Guard {
        Guard { files, known: Mutex::default() }
    }

    /// From now on what lies there, which is as declared.
    pub fn learn(&self, facts: &HostFacts, wish: &Wish) {
        let (mut wants, mut all) = (BTreeMap::new(), BTreeMap::new());
        if wish.resolv_conf == ResolvConf::Unmanaged {
            return self.forget();
        }
        let link = self.files.see(paths::RESOLV_CONF);
        let leads = facts.resolv_conf.as_ref().map_or(Content::Unknown, |facts| facts.content);
        let is_resolveds = leads.is_resolveds();
        if is_resolveds
            && link.kind == FileKind::Symlink
            && let Some(want) = Want::again(&link)
        {
            wants.insert(paths::RESOLV_CONF.to_owned(), want);
            // Whoever writes through the link writes into resolved's file. Its bytes are those that resolved wrote last.
            for path in paths::RESOLVED_FILES {
                let target = link.target.as_deref().unwrap_or_default().trim_start_matches("..");
                if target.trim_start_matches('/') == path.trim_start_matches('/') {
                    let seen = self.files.see(path);
                    wants.extend(Want::again(&seen).map(|want| (path.to_owned(), want)));
                    all.insert(path.to_owned(), seen);
                }
            }
        }
        if let Ok(mut known) = self.known.lock() {
            (known.wants, known.seen) = (wants, all);
        }
    }

    /// Nothing is put back from now on, until something is learnt again.
    pub fn forget(&self) {
        if let Ok(mut known) = self.known.lock() {
            known.wants.clear();
        }
    }

    /// The kernel says that a file changed: puts it back where it is another one.
    ///
    /// # Errors
    /// Why it could not be put back; then whoever looks at the whole host finds another way.
    pub fn mend(&self, path: &str, heard: Instant) -> Result<Option<Mended>, WriteError> {
        let Ok(mut known) = self.known.lock() else { return Ok(None) };
        let Some(want) = known.wants.get(path).cloned() else { return Ok(None) };
        let now = self.files.see(path);
        if is_right(path, &want, &now) || known.war.may(path, heard).is_err() {
            return Ok(None);
        }
        // A file of resolved's that is empty is being written by somebody, who is not done. resolved itself puts a whole one in
        // its place: one that is gone somebody took away.
        let is_gone = now.kind == FileKind::Absent;
        if path != paths::RESOLV_CONF && !is_gone && now.content.as_ref().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        known.war.repaired(path, heard);
        match known.seen.get(path).filter(|_| is_gone) {
            Some(seen) => self.files.put_back(path, seen)?,
            None => self.files.put(path, &want)?,
        }
        Ok(Some(Mended { path: path.to_owned(), took: heard.elapsed() }))
    }

    /// The files that are guarded.
    pub fn files(&self) -> &HostFiles {
        &self.files
    }

    /// Says that something was put back elsewhere, and whether it may be.
    ///
    /// # Errors
    /// When it may.
    pub fn may(&self, what: &str) -> Result<(), Instant> {
        self.known.lock().map_or(Ok(()), |known| known.war.may(what, Instant::now()))
    }

    /// It was.
    pub fn repaired(&self, what: &str) {
        if let Ok(mut known) = self.known.lock() {
            known.war.repaired(what, Instant::now());
        }
    }

    /// What somebody keeps overwriting, and how often it was put back of late.
    pub fn contested(&self) -> Vec<(String, usize)> {
        self.known.lock().map_or_else(|_| Vec::new(), |known| known.war.contested(Instant::now()))
    }

    /// When something may be put back again that must wait now.
    pub fn next(&self) -> Option<Instant> {
        self.known.lock().ok()?.war.next(Instant::now())
    }
}

/// Of resolved's own files any words of resolved are right: it writes them anew whenever a server changes.
fn is_right(path: &str, want: &Want, now: &crate::hostplan::SeenFile) -> bool {
    if path == paths::RESOLV_CONF {
        return want.is_there(now);
    }
    let text = now.content.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    crate::split::facts::whose(&text).is_resolveds()
}
