//! systemd's configuration files as systemd merges them.
//!
//! The first main file of `/etc`, `/run`, `/usr/local/lib`, `/usr/lib`, then all drop-ins by the order of their names; of
//! two with one name the higher directory's counts, and a link to `/dev/null` or an empty file there masks the other.
//! Scalars: the last counts. Lists: they add up, and an empty value takes away what was before.

use std::collections::BTreeMap;

use super::files::{FileError, HostFiles};
use crate::split::facts::FileKind;

/// Directories, the highest first.
const DIRS: [&str; 4] = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// A boolean as systemd reads one (`parse_boolean`).
pub fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// The assignments of one section, of all files together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    values: Vec<(String, String)>,
}

impl Section {
    /// Adds the assignments that one file has in this section.
    pub fn add(&mut self, text: &str, section: &str) {
        let mut inside = false;
        let mut joined = String::new();
        for line in text.lines().chain([""]) {
            let line = line.trim_end_matches('\r');
            let start = line.trim_start();
            // A comment between the parts of a continued line is passed over.
            if start.starts_with('#') || start.starts_with(';') {
                continue;
            }
            if let Some(front) = line.strip_suffix('\\') {
                joined.push_str(front);
                joined.push(' ');
                continue;
            }
            joined.push_str(line);
            let whole = std::mem::take(&mut joined);
            let whole = whole.trim();
            if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                inside = name == section;
            } else if inside && let Some((key, value)) = whole.split_once('=') {
                self.values.push((key.trim_end().to_owned(), value.trim_start().to_owned()));
            }
        }
    }

    /// The words of a list.
    pub fn list(&self, key: &str) -> Vec<&str> {
        let mut words = Vec::new();
        for (_, value) in self.values.iter().filter(|(name, _)| name == key) {
            match value.is_empty() {
                true => words.clear(),
                false => words.extend(value.split_whitespace()),
            }
        }
        words
    }

    /// The last value of a key that is a boolean; systemd passes over others with a warning.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.values.iter().rev().filter(|(name, _)| name == key).find_map(|(_, value)| boolean(value))
    }

    /// The last value of a key.
    pub fn last(&self, key: &str) -> Option<&str> {
        self.values.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// `[Resolve]` of resolved.conf and its drop-ins.
///
/// # Errors
/// [`FileError`] where a file is there and cannot be read: then nothing is known of what it says.
pub fn resolved(files: &HostFiles) -> Result<Section, FileError> {
    let mut section = Section::default();
    for dir in DIRS {
        if let Some(text) = files.text_if_there(&format!("{dir}/resolved.conf"))? {
            section.add(&text, "Resolve");
            break;
        }
    }
    for path in merged(files, "resolved.conf.d", ".conf")?.values() {
        section.add(&files.text(path)?, "Resolve");
    }
    Ok(section)
}

/// `[Delegate]` of every dns-delegate (from 258), by id.
///
/// # Errors
/// As [`resolved`].
pub fn delegates(files: &HostFiles) -> Result<Vec<(String, Section)>, FileError> {
    const END: &str = ".dns-delegate";
    let mut all = Vec::new();
    for (name, path) in merged(files, "dns-delegate.d", END)? {
        let mut section = Section::default();
        let text = files.text(&path)?;
        // An empty file masks.
        if text.is_empty() {
            continue;
        }
        section.add(&text, "Delegate");
        for path in merged(files, &format!("dns-delegate.d/{name}.d"), ".conf")?.values() {
            section.add(&files.text(path)?, "Delegate");
        }
        all.push((name.trim_end_matches(END).to_owned(), section));
    }
    Ok(all)
}

/// The files of a directory with this end in all of systemd's places, by name, each from the highest.
fn merged(files: &HostFiles, dir: &str, end: &str) -> Result<BTreeMap<String, String>, FileError> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for above in DIRS {
        for name in files.list(&format!("{above}/{dir}"))? {
            if !name.ends_with(end) || name.starts_with('.') || found.contains_key(&name) {
                continue;
            }
            let path = format!("{above}/{dir}/{name}");
            // A container may see a host's /etc and not its /dev: the text of the link says enough.
            match files.kind(&path) {
                (_, Some(target)) if target == "/dev/null" => _ = found.insert(name, None),
                (FileKind::File | FileKind::Symlink, _) => _ = found.insert(name, Some(path)),
                _ => {}
            }
        }
    }
    Ok(found.into_iter().filter_map(|(name, path)| Some((name, path?))).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn section(text: &str) -> Section {
        let mut section = Section::default();
        section.add(text, "Resolve");
        section
    }

    fn host(all: &[(&str, &str)]) -> (tempfile::TempDir, HostFiles) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in all {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => std::fs::write(path, text).unwrap(),
            }
        }
        let files = HostFiles::new(dir.path());
        (dir, files)
    }

    #[test]
    fn lists_add_up_and_an_empty_value_resets_them() {
        let all = section("[Resolve]\nDNS=8.8.8.8\nDNS=1.1.1.1 9.9.9.9\n[Other]\nDNS=4.4.4.4\n");
        assert_eq!(all.list("DNS"), ["8.8.8.8", "1.1.1.1", "9.9.9.9"]);
        let all = section("[Resolve]\nDNS=8.8.8.8\nDNS=\nDNS=192.168.4.53");
        assert_eq!(all.list("DNS"), ["192.168.4.53"]);
        assert_eq!(section("[Resolve]\nDNS=8.8.8.8\nDNS=  \n").list("DNS"), Vec::<&str>::new());
    }

    #[test]
    fn lines_are_read_as_systemd_reads_them() {
        let text = "DNS=9.9.9.9\r\n[Resolve]\r\n# DNS=1.1.1.1\r\n ; DNS=2.2.2.2\r\nDomains = ~maas \\\r\n# between\r\n  ~homelab\r\n\
            ReadEtcHosts=no\r\nReadEtcHosts=perhaps\r\nResolveUnicastSingleLabel=YES\r\nnonsense\r\n\u{fffd}\0=\r\nCache=no";
        let all = section(text);
        assert_eq!(all.list("DNS"), Vec::<&str>::new());
        assert_eq!(all.list("Domains"), ["~maas", "~homelab"]);
        assert_eq!(all.boolean("ReadEtcHosts"), Some(false));
        assert_eq!(all.boolean("ResolveUnicastSingleLabel"), Some(true));
        assert_eq!(all.last("Cache"), Some("no"));
        assert_eq!(all.boolean("DNSSEC"), None);
        assert_eq!(section("").list("DNS"), Vec::<&str>::new());
    }

    #[test]
    fn a_name_in_a_higher_directory_masks_the_lower() {
        let (_dir, files) = host(&[
            ("usr/lib/systemd/resolved.conf", "[Resolve]\nDNS=1.0.0.1\n"),
            ("etc/systemd/resolved.conf", "[Resolve]\nDNS=1.0.0.2\n"),
            ("usr/lib/systemd/resolved.conf.d/10-a.conf", "[Resolve]\nDNS=1.0.0.3\n"),
            ("etc/systemd/resolved.conf.d/10-a.conf", "[Resolve]\nDNS=1.0.0.4\n"),
            ("usr/lib/systemd/resolved.conf.d/00-b.conf", "[Resolve]\nDNS=1.0.0.5\nLLMNR=no"),
            ("usr/lib/systemd/resolved.conf.d/20-c.conf", "[Resolve]\nDNS=1.0.0.6\n"),
            ("run/systemd/resolved.conf.d/20-c.conf", "-> /dev/null"),
            ("run/systemd/resolved.conf.d/readme.txt", "[Resolve]\nDNS=1.0.0.7\n"),
        ]);
        let all = resolved(&files).unwrap();
        assert_eq!(all.list("DNS"), ["1.0.0.2", "1.0.0.5", "1.0.0.4"]);
        assert_eq!(all.last("LLMNR"), Some("no"));
    }

    #[test]
    fn delegates_take_their_drop_ins() {
        let (_dir, files) = host(&[
            ("etc/systemd/dns-delegate.d/50-lab.dns-delegate", "[Delegate]\nDNS=192.168.4.53\nDomains=~maas\n"),
            (
                "etc/systemd/dns-delegate.d/50-lab.dns-delegate.d/x.conf",
                "[Delegate]\nDomains=~homelab\nDefaultRoute=no\n",
            ),
            ("usr/lib/systemd/dns-delegate.d/masked.dns-delegate", "[Delegate]\nDNS=1.1.1.1\n"),
            ("etc/systemd/dns-delegate.d/masked.dns-delegate", ""),
        ]);
        let all = delegates(&files).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].0, "50-lab");
        assert_eq!(all[0].1.list("Domains"), ["~maas", "~homelab"]);
        assert_eq!(all[0].1.boolean("DefaultRoute"), Some(false));
    }
}
