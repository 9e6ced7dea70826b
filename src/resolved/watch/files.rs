//! Files, by inotify on their directories: a file that is replaced by a rename takes a watch on itself with it.
//!
//! A thread waits for the kernel: tokio has no safe way to wait for a descriptor of this kind since 1.54.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::{Hint, Hints};
use crate::resolved::files::HostFiles;

/// Everything by which the entries of a directory change. Reading is none of it.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Folders of policies that are watched; what is deeper is found by the slow poll.
const MOST_FOLDERS: usize = 256;

/// One directory that is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Dir {
    /// Entries that matter by name, and the files of the host that each stands for.
    names: BTreeMap<String, BTreeSet<String>>,
    /// Whether any entry may be a policy.
    policies: bool,
    /// Entries that are, by name.
    policy_files: BTreeSet<String>,
}

/// Watches files of a host, and directories of policies.
#[derive(Debug)]
pub struct FileWatch {
    files: HostFiles,
    inotify: Arc<OwnedFd>,
    shared: Arc<Mutex<Shared>>,
}

/// What the thread must know.
#[derive(Debug, Default)]
struct Shared {
    dirs: HashMap<i32, Dir>,
    ended: bool,
}

impl FileWatch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// Where the kernel gives no watch (`fs.inotify.max_user_instances`).
    pub fn new(files: HostFiles, hints: Hints) -> std::io::Result<FileWatch> {
        let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let shared: Arc<Mutex<Shared>> = Default::default();
        let (fd, known) = (inotify.clone(), shared.clone());
        std::thread::Builder::new().name("watch-files".into()).spawn(move || listen(&fd, &known, &hints))?;
        Ok(FileWatch { files, inotify, shared })
    }

    /// From now on these files of the host, and everything in these directories of policies. A directory that is not there
    /// is awaited in the nearest one that is. To be called again after every hint of a directory that came or went: a
    /// watch is on the directory, not on its name.
    pub fn set(&mut self, paths: &[String], policies: &[PathBuf]) {
        let mut wanted: BTreeMap<PathBuf, Dir> = BTreeMap::new();
        for path in paths {
            let mut rest = path.as_str();
            let mut name;
            loop {
                let (dir, last) = rest.rsplit_once('/').unwrap_or(("", rest));
                name = last.to_owned();
                rest = dir;
                let shown = if rest.is_empty() { "/" } else { rest };
                if let Ok(place) = self.files.locate(shown, true)
                    && place.is_dir()
                {
                    let one = wanted.entry(place).or_default();
                    one.names.entry(name).or_default().insert(path.clone());
                    break;
                }
                if rest.is_empty() {
                    break;
                }
            }
        }
        for input in policies {
            for dir in folders(input) {
                wanted.entry(dir).or_default().policies = true;
            }
            // A file that is mounted from a ConfigMap changes with a link beside it.
            if let (false, Some(name)) = (input.is_dir(), input.file_name().and_then(|name| name.to_str())) {
                let dir = input.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let names = &mut wanted.entry(dir.to_owned()).or_default().policy_files;
                names.extend([name.to_owned(), "..data".to_owned()]);
            }
        }
        let mut dirs: HashMap<i32, Dir> = HashMap::new();
        for (place, dir) in wanted {
            // The same directory gives the same watch again.
            if let Ok(watch) = inotify::add_watch(&*self.inotify, &place, EVENTS) {
                let known = dirs.entry(watch).or_default();
                known.policies |= dir.policies;
                known.policy_files.extend(dir.policy_files);
                for (name, files) in dir.names {
                    known.names.entry(name).or_default().extend(files);
                }
            }
        }
        if let Ok(mut shared) = self.shared.lock() {
            for gone in shared.dirs.keys().filter(|watch| !dirs.contains_key(watch)) {
                // One whose directory went is gone already.
                let _ = inotify::remove_watch(&*self.inotify, *gone);
            }
            shared.dirs = dirs;
        }
    }
}

/// A folder of policies with those in it.
fn folders(input: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = if input.is_dir() { vec![input.to_owned()] } else { Vec::new() };
    let mut next = 0;
    while let Some(dir) = all.get(next).cloned() {
        next += 1;
        let entries = std::fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok);
        // Links to folders are not followed: they may lead in a circle.
        let inside =
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
        all.extend(inside.take(MOST_FOLDERS.saturating_sub(all.len())));
    }
    all
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        if let Ok(mut shared) = self.shared.lock() {
            shared.ended = true;
        }
        // A watch that goes says so, and that wakes the thread; without any there is nothing to wait for.
        let _ = inotify::add_watch(&*self.inotify, "/", EVENTS)
            .and_then(|watch| inotify::remove_watch(&*self.inotify, watch));
    }
}

fn listen(inotify: &OwnedFd, shared: &Mutex<Shared>, hints: &Hints) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let (mut told, mut policies) = (BTreeSet::new(), false);
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(_) => return,
        };
        let lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
        let (watch, name) = (event.wd(), event.file_name().map(|name| name.to_string_lossy().into_owned()));
        if let Ok(shared) = shared.lock() {
            if shared.ended {
                return;
            }
            for (_, dir) in shared.dirs.iter().filter(|(known, _)| lost || **known == watch) {
                policies |= dir.policies || name.as_ref().is_none_or(|name| dir.policy_files.contains(name));
                match &name {
                    Some(name) => told.extend(dir.names.get(name).into_iter().flatten().cloned()),
                    // The directory itself, or too many events to tell.
                    None => told.extend(dir.names.values().flatten().cloned()),
                }
            }
        }
        // What came at once is told at once, each file one time.
        if reader.is_buffer_empty() {
            let files = std::mem::take(&mut told).into_iter().map(Hint::File);
            let all = files.chain(std::mem::take(&mut policies).then_some(Hint::Policies));
            if all.into_iter().any(|hint| hints.blocking_send(hint).is_err()) {
                return;
            }
        }
    }
}
