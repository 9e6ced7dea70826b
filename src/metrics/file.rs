//! The metrics file: replaced whole where it is a file, and never put in the place of something that is none.

use std::fs::{self, FileType, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Most symbolic links followed for one path, as the kernel counts (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// How a path is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A temporary file beside it takes its place: whole or not at all.
    Replace,
    /// It is a device: opened and written, and never replaced (`/dev/null` must stay what it is).
    Direct,
}

/// Decides by what stands at the path, `None` for nothing.
fn way(found: Option<FileType>) -> io::Result<Way> {
    let Some(kind) = found else { return Ok(Way::Replace) };
    let what = match () {
        () if kind.is_file() => return Ok(Way::Replace),
        () if kind.is_char_device() => return Ok(Way::Direct),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_block_device() => "a block device",
        () if kind.is_symlink() => "a symbolic link that leads to no end",
        () => "no regular file",
    };
    Err(io::Error::new(
        ErrorKind::InvalidInput,
        format!("it is {what}; name a regular file, or one that is to be made"),
    ))
}

/// The path behind symbolic links, whether it exists or not, and what stands there.
fn resolve(path: &Path) -> io::Result<(PathBuf, Option<FileType>)> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let kind = match fs::symlink_metadata(&path) {
            Ok(found) => found.file_type(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((path, None)),
            Err(error) => return Err(error),
        };
        if !kind.is_symlink() {
            return Ok((path, Some(kind)));
        }
        let target = fs::read_link(&path)?;
        // An open pipe or socket under /proc/self/fd has no path: what it is shows through the link alone.
        if let (Ok(behind), Err(_)) = (fs::metadata(&path), fs::symlink_metadata(beside(&path).join(&target))) {
            return Ok((path, Some(behind.file_type())));
        }
        path = beside(&path).join(target);
    }
    let kind = fs::symlink_metadata(&path)?.file_type();
    Ok((path, Some(kind)))
}

/// The directory that a path lies in.
fn beside(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes the numbers for node-exporter: a regular file whole or not at all, behind symbolic links; a character device
/// directly.
///
/// # Errors
/// Of the file system; and `InvalidInput` where the path is a directory, a FIFO, a socket or a block device.
pub fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let (path, found) = resolve(path)?;
    match way(found)? {
        Way::Replace => replace(&path, text),
        Way::Direct => {
            // A device that became something else since is not made, cut short or followed.
            let flags = OFlags::NOCTTY | OFlags::NOFOLLOW;
            let mut device = OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(&path)?;
            device.write_all(text.as_bytes())
        }
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("knotwork");
    // The collector reads *.prom: the half-written file must not be called so.
    let temporary = beside(path).join(format!(".{name}.{}", std::process::id()));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_a_device_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.prom");
        write_file(&file, "one").unwrap();
        write_file(&file, "two").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        // The decision alone: no device of the machine is opened, let alone written.
        let device = fs::metadata("/dev/full").unwrap().file_type();
        assert_eq!(way(Some(device)).unwrap(), Way::Direct);
        assert_eq!(way(None).unwrap(), Way::Replace);
        assert_eq!(way(Some(fs::metadata(&file).unwrap().file_type())).unwrap(), Way::Replace);
    }

    #[test]
    fn a_link_stays_and_its_target_is_written_even_where_it_is_yet_to_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let (link, further) = (dir.path().join("link.prom"), dir.path().join("further"));
        symlink("further", &link).unwrap();
        symlink("target.prom", &further).unwrap();
        for text in ["one", "two"] {
            write_file(&link, text).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(fs::symlink_metadata(&further).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(dir.path().join("target.prom")).unwrap(), text);
        }
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        symlink("b", &a).unwrap();
        symlink("a", &b).unwrap();
        assert!(write_file(&a, "round").unwrap_err().to_string().contains("symbolic link"));
    }

    #[test]
    fn what_is_no_file_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, socket) = (dir.path().join("fifo"), dir.path().join("socket"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in [(&fifo, "a FIFO"), (&socket, "a socket"), (&dir.path().to_owned(), "a directory")] {
            let before = fs::symlink_metadata(path).unwrap().file_type();
            let error = write_file(path, "text").unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
            assert_eq!(fs::symlink_metadata(path).unwrap().file_type(), before);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing temporary stays");
    }
}
