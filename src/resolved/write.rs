//! Looking at a host's files and replacing them whole: a reader finds the old one or the new one, also after a crash.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, IFlags, StatVfsMountFlags, StatxAttributes, StatxFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::fault::step;
use super::files::HostFiles;
use super::owners;
use crate::hostplan::{PREFIX, Seen, SeenFile, Targets, Want};
use crate::split::facts::FileKind;

/// How the names of files begin that were not finished.
const TEMPORARY: &str = ".knotwork-tmp-";

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}: {why}")]
pub struct WriteError {
    /// The path on the host.
    pub path: String,
    /// What was tried.
    pub what: &'static str,
    /// What the system said.
    pub why: std::io::Error,
}

impl WriteError {
    /// A stable word.
    pub fn reason(&self) -> &'static str {
        match Errno::from_io_error(&self.why) {
            Some(Errno::ROFS) => "ReadOnly",
            Some(Errno::PERM) => "Immutable",
            Some(Errno::ACCESS) => "Denied",
            Some(Errno::NOSPC | Errno::DQUOT) => "NoSpace",
            Some(Errno::BUSY | Errno::XDEV) => "SingleFileMount",
            Some(Errno::ISDIR | Errno::NOTDIR | Errno::EXIST) => "InTheWay",
            _ => "Io",
        }
    }

    /// What a person can do.
    pub fn way_out(&self) -> &'static str {
        match self.reason() {
            "ReadOnly" => "make the file system writable, or leave this part of the policy out",
            "Immutable" => "take the immutable flag away (chattr -i) if whoever set it agrees",
            "Denied" => "run as root of the host",
            "NoSpace" => "make room on that file system",
            "SingleFileMount" => "mount the directory into the container, not the single file",
            "InTheWay" => "look what lies there; knotwork replaces files and links only",
            _ => "see what the system says",
        }
    }
}

impl HostFiles {
    /// What lies at a path, with everything that a restore needs.
    pub fn see(&self, path: &str) -> SeenFile {
        let (kind, target) = self.kind(path);
        let mut seen = SeenFile { kind, target, ..SeenFile::default() };
        let Ok(place) = self.locate(path, false) else {
            seen.locked = self.locked(path);
            return seen;
        };
        if let Ok(meta) = fs::symlink_metadata(&place) {
            seen.mode = meta.mode() & 0o7777;
            seen.owner = (meta.uid(), meta.gid());
            seen.xattrs = xattrs(&place);
        }
        if kind == FileKind::File {
            seen.content = fs::read(&place).ok();
        }
        seen.generated_by = self.generator(path, seen.target.as_deref());
        seen.locked = self.locked(path);
        seen
    }

    /// All that a plan must have read.
    pub fn see_all(&self, targets: &Targets) -> Seen {
        let mut seen = Seen::default();
        for dir in &targets.dirs {
            let names: Vec<String> = self.list(dir).unwrap_or_default();
            let names: Vec<String> = names.into_iter().filter(|name| name.starts_with(PREFIX)).collect();
            for name in &names {
                let path = format!("{dir}/{name}");
                seen.files.insert(path.clone(), self.see(&path));
            }
            seen.dirs.insert(dir.clone(), names);
        }
        for path in &targets.paths {
            if !seen.files.contains_key(path) {
                seen.files.insert(path.clone(), self.see(path));
            }
        }
        seen
    }

    /// Why a path could not be replaced, as far as looking tells.
    fn locked(&self, path: &str) -> Option<String> {
        let place = self.locate(path, false).ok()?;
        let mut dir = place.parent()?;
        while !dir.exists() {
            dir = dir.parent()?;
        }
        let volume = rustix::fs::statvfs(dir).ok()?;
        if volume.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Some(format!("the file system of {} is read-only", dir.display()));
        }
        for place in [place.as_path(), dir] {
            if let Some(flag) = flag(place) {
                return Some(format!("{} is {flag}", place.display()));
            }
        }
        if let Some(owner) =
            fs::symlink_metadata(&place).ok().and_then(|meta| owners::out_of_reach(meta.uid(), meta.gid()))
        {
            return Some(owner);
        }
        if is_mount(&place) {
            return Some(format!("{} is a mount of its own: mount its directory instead", place.display()));
        }
        None
    }

    fn generator(&self, path: &str, target: Option<&str>) -> Option<String> {
        let target = target.unwrap_or_default();
        if target.starts_with("/nix/store") || target.starts_with("/etc/static") || self.exists("/etc/NIXOS") {
            return Some("NixOS".into());
        }
        if target.starts_with("/etc/authselect") {
            return Some("authselect".into());
        }
        let ostree = path.starts_with("/usr/") && self.exists("/run/ostree-booted");
        ostree.then(|| "ostree".into())
    }

    /// Puts what is wanted at a path. Owner and extended attributes of what is there stay; directories are made as needed.
    ///
    /// # Errors
    /// [`WriteError`]; what was there is still there.
    pub fn put(&self, path: &str, want: &Want) -> Result<(), WriteError> {
        let now = self.see(path);
        match want {
            Want::Absent => self.remove(path),
            Want::File { content, mode } => {
                let (owner, xattrs) = match now.kind {
                    FileKind::File => (Some(now.owner), now.xattrs),
                    _ => (None, BTreeMap::new()),
                };
                self.replace(path, &Make::File { content, mode: *mode }, owner, &xattrs)
            }
            Want::Symlink { target } => self.replace(path, &Make::Link(target), None, &BTreeMap::new()),
        }
    }

    /// Puts back exactly what was seen at a path: kind, bytes, bits, owner, attributes.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn put_back(&self, path: &str, seen: &SeenFile) -> Result<(), WriteError> {
        match (seen.kind, &seen.content, &seen.target) {
            (FileKind::Absent, ..) => self.remove(path),
            (FileKind::File, Some(content), _) => {
                self.replace(path, &Make::File { content, mode: seen.mode }, Some(seen.owner), &seen.xattrs)
            }
            (FileKind::Symlink | FileKind::Dangling, _, Some(target)) => {
                self.replace(path, &Make::Link(target), Some(seen.owner), &BTreeMap::new())
            }
            // Never replaced in the first place.
            _ => Ok(()),
        }
    }

    fn remove(&self, path: &str) -> Result<(), WriteError> {
        let error = |what, why| WriteError { path: path.to_owned(), what, why };
        let place = match self.locate(path, false) {
            Ok(place) => place,
            Err(gone) if gone.is_absent() => return Ok(()),
            Err(other) => return Err(error("finding it", other.why)),
        };
        match fs::remove_file(&place) {
            Ok(()) => {
                step(&format!("{path} is gone"));
                sync_dir(&place).map_err(|why| error("writing its directory", why))
            }
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(why) => Err(error("removing it", why)),
        }
    }

    fn replace(
        &self,
        path: &str,
        make: &Make<'_>,
        owner: Option<(u32, u32)>,
        xattrs: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), WriteError> {
        let error = |what, why| WriteError { path: path.to_owned(), what, why };
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.make_dirs(dir).map_err(|why| error("making its directory", why))?;
        let temporary = dir.join(format!("{TEMPORARY}{name}"));
        // Left by somebody who was killed in the middle.
        let _ = fs::remove_file(&temporary);
        let made = make.at(&temporary, owner, xattrs).map_err(|why| error("writing it", why));
        step(&format!("{path} is written aside"));
        let moved = made
            .and_then(|()| fs::rename(&temporary, dir.join(name)).map_err(|why| error("putting it in its place", why)));
        step(&format!("{path} is in its place"));
        if moved.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        moved?;
        sync_dir(&dir.join(name)).map_err(|why| error("writing its directory", why))
    }

    /// Directories that putting something at a path would make, outermost first.
    pub fn missing_dirs(&self, path: &str) -> Vec<String> {
        let mut missing = Vec::new();
        let mut dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        while !dir.is_empty() && !self.exists(dir) {
            missing.insert(0, dir.to_owned());
            dir = dir.rsplit_once('/').map_or("", |(dir, _)| dir);
        }
        missing
    }

    /// Removes what a run that ended in the middle left beside a path.
    pub fn sweep(&self, path: &str) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Ok(place) = self.locate(&format!("{dir}/{TEMPORARY}{name}"), false) {
            let _ = fs::remove_file(place);
        }
    }

    /// Removes a directory of ours, if nobody put anything into it.
    pub fn remove_empty_dir(&self, dir: &str) {
        if self.locate(dir, false).is_ok_and(|place| fs::remove_dir(place).is_ok()) {
            step(&format!("{dir} is gone"));
        }
    }

    fn make_dirs(&self, dir: &str) -> std::io::Result<PathBuf> {
        match self.locate(if dir.is_empty() { "/" } else { dir }, true) {
            Ok(place) if place.is_dir() => Ok(place),
            Ok(place) if !place.exists() => {
                fs::create_dir(&place)?;
                // Services read below it as users of their own, whatever the umask of whoever runs us.
                fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
                sync_dir(&place)?;
                step(&format!("{dir} is made"));
                Ok(place)
            }
            Ok(_) => Err(Errno::NOTDIR.into()),
            Err(gone) if gone.is_absent() && dir.contains('/') => {
                let parent = dir.rsplit_once('/').map_or("", |(parent, _)| parent);
                self.make_dirs(parent)?;
                self.make_dirs(dir)
            }
            Err(other) => Err(other.why),
        }
    }
}

/// What to put at a path.
enum Make<'a> {
    File { content: &'a [u8], mode: u32 },
    Link(&'a str),
}

impl Make<'_> {
    fn at(
        &self,
        place: &Path,
        owner: Option<(u32, u32)>,
        attributes: &BTreeMap<String, Vec<u8>>,
    ) -> std::io::Result<()> {
        match self {
            Make::Link(target) => symlink(target, place)?,
            Make::File { content, mode } => {
                let mut file = fs::OpenOptions::new().write(true).create_new(true).open(place)?;
                file.write_all(content)?;
                own(place, owner)?;
                // After the owner: a change of owner takes set-id bits away.
                file.set_permissions(fs::Permissions::from_mode(*mode & 0o7777))?;
                for (name, value) in attributes {
                    rustix::fs::lsetxattr(place, name.as_str(), value, XattrFlags::empty())?;
                }
                return file.sync_all();
            }
        }
        own(place, owner)
    }
}

/// Gives it to this owner; nothing is asked of the system where it is theirs already.
fn own(place: &Path, owner: Option<(u32, u32)>) -> std::io::Result<()> {
    let Some((user, group)) = owner else { return Ok(()) };
    let meta = fs::symlink_metadata(place)?;
    if (meta.uid(), meta.gid()) == (user, group) {
        return Ok(());
    }
    rustix::fs::chownat(CWD, place, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

fn sync_dir(place: &Path) -> std::io::Result<()> {
    match place.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn xattrs(place: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    // As long as the kernel lets the list of one file become.
    let mut names = vec![0u8; 65_536];
    let Ok(length) = rustix::fs::llistxattr(place, &mut names[..]) else { return all };
    for name in names[..length].split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok()) {
        let mut value = vec![0u8; 65_536];
        if name.is_empty() {
            continue;
        }
        if let Ok(length) = rustix::fs::lgetxattr(place, name, &mut value[..]) {
            value.truncate(length);
            all.insert(name.to_owned(), value);
        }
    }
    all
}

/// What keeps everybody from replacing a file, or files in a directory.
fn flag(place: &Path) -> Option<&'static str> {
    // A pipe would wait for somebody who writes; a link would show the flags of what it leads to.
    if !fs::symlink_metadata(place).is_ok_and(|meta| meta.is_file() || meta.is_dir()) {
        return None;
    }
    let flags = rustix::fs::ioctl_getflags(fs::File::open(place).ok()?).ok()?;
    match flags {
        _ if flags.contains(IFlags::IMMUTABLE) => Some("immutable (chattr +i)"),
        _ if flags.contains(IFlags::APPEND) => Some("append-only (chattr +a)"),
        _ => None,
    }
}

/// Whether a file is mounted over that of its directory, as container managers do with resolv.conf and hosts.
fn is_mount(place: &Path) -> bool {
    let stat = rustix::fs::statx(CWD, place, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, StatxFlags::empty());
    stat.is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}
