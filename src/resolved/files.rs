//! Files of a host under a root directory: its own `/`, or where a container sees it.
//!
//! Links are followed inside that root and never out of it: the `/etc/resolv.conf` of `/host` leads to
//! `/host/run/systemd/resolve/…`, not to that of the container.

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use crate::split::facts::FileKind;

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// The most that is read of one file. resolv.conf, drop-ins and states are a few kilobytes; the package database of a
/// large machine is some megabytes.
const MOST_BYTES: u64 = 32 << 20;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct FileError {
    /// The path on the host.
    pub path: String,
    /// What the system said.
    pub why: std::io::Error,
}

impl FileError {
    /// Whether nothing is there, as opposed to something that cannot be read.
    pub fn is_absent(&self) -> bool {
        matches!(self.why.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
    }
}

/// The files of a host.
#[derive(Debug, Clone)]
pub struct HostFiles {
    root: PathBuf,
}

impl HostFiles {
    /// Files below this directory.
    pub fn new(root: impl Into<PathBuf>) -> HostFiles {
        HostFiles { root: root.into() }
    }

    /// Where a path of the host is here, without links in its directories; its last part is followed too if asked.
    ///
    /// # Errors
    /// [`FileError`] where a directory is missing or cannot be read, or links lead in a circle.
    pub fn locate(&self, path: &str, follow: bool) -> Result<PathBuf, FileError> {
        self.walk(path, follow).map_err(|why| FileError { path: path.to_owned(), why })
    }

    fn walk(&self, path: &str, follow: bool) -> Result<PathBuf, std::io::Error> {
        let mut todo: Vec<OsString> = parts(Path::new(path));
        todo.reverse();
        // Below the root, in parts.
        let mut done: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            if todo.is_empty() && !follow {
                break;
            }
            let here = self.at(&done);
            let kind = match fs::symlink_metadata(&here) {
                Ok(meta) => meta.file_type(),
                // The last part may be missing: a file to be made, or a link to nothing.
                Err(error) if todo.is_empty() && error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            if kind.is_symlink() {
                links += 1;
                if links > MOST_LINKS {
                    return Err(std::io::Error::other("too many symbolic links"));
                }
                let target = fs::read_link(&here)?;
                done.pop();
                if target.is_absolute() {
                    done.clear();
                }
                todo.extend(parts(&target).into_iter().rev());
            }
        }
        Ok(self.at(&done))
    }

    fn at(&self, parts: &[OsString]) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(parts);
        path
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// [`FileError`]; a directory, a device or a pipe is none, and is not opened.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let wrong = |why| FileError { path: path.to_owned(), why };
        let place = self.locate(path, true)?;
        let meta = fs::symlink_metadata(&place).map_err(wrong)?;
        if !meta.is_file() {
            return Err(wrong(std::io::Error::other("not a regular file")));
        }
        let mut bytes = Vec::new();
        fs::File::open(&place).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes)).map_err(wrong)?;
        Ok(bytes)
    }

    /// The text of a file; octets that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// As [`HostFiles::read`].
    pub fn text(&self, path: &str) -> Result<String, FileError> {
        Ok(String::from_utf8_lossy(&self.read(path)?).into_owned())
    }

    /// The text of a file, or `None` where nothing is there.
    ///
    /// # Errors
    /// As [`HostFiles::read`], but for absence.
    pub fn text_if_there(&self, path: &str) -> Result<Option<String>, FileError> {
        match self.text(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names in a directory, sorted; those that are no UTF-8 are left out. One that is missing has none.
    ///
    /// # Errors
    /// [`FileError`] where it is there and cannot be listed.
    pub fn list(&self, path: &str) -> Result<Vec<String>, FileError> {
        let read = self.locate(path, true).and_then(|place| {
            fs::read_dir(place)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|why| FileError { path: path.to_owned(), why })
        });
        let entries = match read {
            Ok(entries) => entries,
            Err(error) if error.is_absent() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names: Vec<String> =
            entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// What lies at a path, and where a link points, as written.
    pub fn kind(&self, path: &str) -> (FileKind, Option<String>) {
        let place = match self.locate(path, false) {
            Ok(place) => place,
            Err(error) if error.is_absent() => return (FileKind::Absent, None),
            Err(_) => return (FileKind::Unknown, None),
        };
        let meta = match fs::symlink_metadata(&place) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (FileKind::Absent, None),
            Err(_) => return (FileKind::Unknown, None),
        };
        if meta.file_type().is_symlink() {
            let target = fs::read_link(&place).ok().map(|target| target.to_string_lossy().into_owned());
            let there = self.locate(path, true).is_ok_and(|target| fs::symlink_metadata(target).is_ok());
            return (if there { FileKind::Symlink } else { FileKind::Dangling }, target);
        }
        let kind = match meta.file_type() {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Directory,
            _ => FileKind::Other,
        };
        (kind, None)
    }

    /// Whether something lies there, links followed.
    pub fn exists(&self, path: &str) -> bool {
        self.locate(path, true).is_ok_and(|place| fs::symlink_metadata(place).is_ok())
    }
}

fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_never_lead_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("run/systemd/resolve")).unwrap();
        fs::write(root.join("run/systemd/resolve/stub-resolv.conf"), "inside").unwrap();
        fs::write(dir.path().join("etc/passwd"), "ours").unwrap();
        symlink("/run/systemd/resolve/stub-resolv.conf", root.join("etc/absolute")).unwrap();
        symlink("../run/systemd/resolve/stub-resolv.conf", root.join("etc/relative")).unwrap();
        symlink("../../../../../../../etc/passwd", root.join("etc/up")).unwrap();
        symlink("/etc/round", root.join("etc/round")).unwrap();
        symlink("/run/gone", root.join("etc/dangling")).unwrap();
        symlink("/run", root.join("etc/dir")).unwrap();
        let files = HostFiles::new(root);
        assert_eq!(files.text("/etc/absolute").unwrap(), "inside");
        assert_eq!(files.text("/etc/relative").unwrap(), "inside");
        assert_eq!(files.text("/etc/dir/systemd/resolve/stub-resolv.conf").unwrap(), "inside");
        assert_eq!(files.text("/etc/up").unwrap(), "ours");
        assert!(files.text("/etc/round").unwrap_err().to_string().contains("too many"));
        let target = Some("../run/systemd/resolve/stub-resolv.conf".to_owned());
        assert_eq!(files.kind("/etc/relative"), (FileKind::Symlink, target));
        assert_eq!(files.kind("/etc/dangling"), (FileKind::Dangling, Some("/run/gone".into())));
        assert_eq!(files.kind("/etc/none"), (FileKind::Absent, None));
        assert_eq!(files.kind("/none/none"), (FileKind::Absent, None));
        assert_eq!(files.kind("/etc").0, FileKind::Directory);
        assert_eq!(files.list("/none").unwrap(), Vec::<String>::new());
        assert_eq!(files.list("/run").unwrap(), ["systemd"]);
        assert!(files.text("/etc/none").unwrap_err().is_absent());
        assert!(!files.text("/etc").unwrap_err().is_absent());
    }

    #[test]
    fn octets_that_are_no_text_are_marked() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("hosts"), b"127.0.0.1 a\xff\xfe\n").unwrap();
        assert_eq!(HostFiles::new(dir.path()).text("/hosts").unwrap(), "127.0.0.1 a\u{fffd}\u{fffd}\n");
    }
}
