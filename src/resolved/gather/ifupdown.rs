//! ifupdown and ifupdown2: which links they configure, and whether DNS settings reach resolved that way.

use std::collections::BTreeMap;

use crate::resolved::files::{FileError, HostFiles};
use crate::split::facts::Manager;

const INTERFACES: &str = "/etc/network/interfaces";

/// How deep `source` lines are followed.
const MOST_DEPTH: usize = 4;

/// What ifupdown of either kind configures here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ifupdown {
    is_second: bool,
    has_hook: bool,
    links: Stanzas,
}

/// In which file the stanza of each link stands, and whether it is the link's own or that of an alias.
type Stanzas = BTreeMap<String, (String, bool)>;

impl Ifupdown {
    /// The file that configures a link.
    pub(super) fn file(&self, link: &str) -> Option<&str> {
        self.links.get(link).map(|(path, _)| path.as_str())
    }

    /// Who configures a link that neither networkd nor NetworkManager does.
    pub(super) fn manager(&self, link: &str) -> Manager {
        match (self.links.contains_key(link), self.is_second, self.has_hook) {
            (true, true, _) => Manager::Ifupdown2,
            (true, false, true) => Manager::Ifupdown,
            // Without the hook nothing of interfaces(5) reaches resolved.
            _ => Manager::None,
        }
    }
}

/// Reads interfaces(5) with all that it sources.
pub(super) fn read(files: &HostFiles) -> Result<Ifupdown, FileError> {
    let mut found = Ifupdown {
        is_second: files.exists("/usr/share/ifupdown2"),
        has_hook: files.exists("/etc/network/if-up.d/resolved"),
        links: Stanzas::new(),
    };
    file(files, INTERFACES, &mut found.links, 0)?;
    Ok(found)
}

fn file(files: &HostFiles, path: &str, links: &mut Stanzas, depth: usize) -> Result<(), FileError> {
    let Some(text) = files.text_if_there(path)? else { return Ok(()) };
    let parsed = parse(&text);
    for (link, is_own) in parsed.links {
        // The first one counts; an alias only where nothing else is there.
        if links.get(&link).is_none_or(|(_, before)| is_own && !before) {
            links.insert(link, (path.to_owned(), is_own));
        }
    }
    if depth >= MOST_DEPTH {
        return Ok(());
    }
    for (pattern, is_directory) in parsed.sources {
        let pattern = if pattern.starts_with('/') { pattern } else { format!("/etc/network/{pattern}") };
        let (dir, name) = if is_directory {
            (pattern.trim_end_matches('/'), "*")
        } else {
            pattern.rsplit_once('/').unwrap_or(("", &pattern))
        };
        for entry in files.list(dir)? {
            // As run-parts does, directories are read without names that have a dot or a tilde in them.
            let fits = fits(name, &entry) && !(is_directory && entry.contains(['.', '~']));
            let path = format!("{dir}/{entry}");
            if fits
                && matches!(
                    files.kind(&path).0,
                    crate::split::facts::FileKind::File | crate::split::facts::FileKind::Symlink
                )
            {
                file(files, &path, links, depth + 1)?;
            }
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Parsed {
    /// Name, and whether it is the link's own and not an alias.
    links: Vec<(String, bool)>,
    /// Pattern, and whether it is a directory.
    sources: Vec<(String, bool)>,
}

fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let joined = text.replace("\r\n", "\n").replace("\\\n", " ");
    for line in joined.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            // An alias is one of its link's addresses.
            (Some("iface"), Some(name)) => {
                let link = name.split(':').next().unwrap_or(name);
                parsed.links.push((link.to_owned(), link == name));
            }
            (Some("source"), Some(pattern)) => parsed.sources.push((pattern.to_owned(), false)),
            (Some("source-directory" | "source-dir"), Some(dir)) => parsed.sources.push((dir.to_owned(), true)),
            _ => {}
        }
    }
    parsed
}

/// A pattern with stars, which is all that `source` lines have in practice.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    if name.starts_with('.') && first.is_empty() {
        return false;
    }
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        if at + 1 == parts.len() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = rest.get(found + part.len()..).unwrap_or("");
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_and_sources_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "etc/network/interfaces",
            "auto lo\r\niface lo inet loopback\r\n# iface no inet dhcp\r\nsource /etc/network/interfaces.d/*\r\niface \\\r\n vmbr0 inet static",
        );
        write("etc/network/interfaces.d/eth", "iface eth0:1 inet static\nsource interfaces\n\u{fffd}\0\niface");
        write("etc/network/interfaces.d/.hidden", "iface hidden inet dhcp\n");
        let files = HostFiles::new(dir.path());
        let found = read(&files).unwrap();
        assert_eq!(found.links.keys().collect::<Vec<_>>(), ["eth0", "lo", "vmbr0"]);
        assert_eq!(found.file("eth0"), Some("/etc/network/interfaces.d/eth"));
        assert_eq!(found.file("vmbr0"), Some("/etc/network/interfaces"));
        assert_eq!(found.manager("vmbr0"), Manager::None);
        write("etc/network/if-up.d/resolved", "#!/bin/sh\n");
        assert_eq!(read(&files).unwrap().manager("vmbr0"), Manager::Ifupdown);
        write("usr/share/ifupdown2/x", "");
        assert_eq!(read(&files).unwrap().manager("vmbr0"), Manager::Ifupdown2);
        assert_eq!(read(&files).unwrap().manager("wg0"), Manager::None);
    }

    #[test]
    fn stars_fit() {
        for (pattern, name, wanted) in [
            ("*", "a", true),
            ("*", ".a", false),
            ("*.cfg", "a.cfg", true),
            ("*.cfg", "a.conf", false),
            ("a*c*e", "abcde", true),
            ("ab", "ab", true),
            ("ab", "abc", false),
            ("a*c", "abd", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
