//! /etc/hosts and the `hosts:` line of /etc/nsswitch.conf.

use super::Work;
use crate::split::HostFacts;
use crate::split::facts::{HostsLine, Nss};

pub(super) fn gather(work: &mut Work, facts: &mut HostFacts) {
    let read = work.files.text_if_there("/etc/hosts");
    facts.hosts = work.file("/etc/hosts", read).map(|text| hosts(&text.unwrap_or_default()));
    let read = work.files.text_if_there("/etc/nsswitch.conf");
    let text = work.file("/etc/nsswitch.conf", read);
    facts.nss = text.map(|text| {
        // Without the line, and without the file, glibc takes this.
        let line = text.as_deref().and_then(nsswitch).unwrap_or_else(|| "dns [!UNAVAIL=return] files".into());
        Nss { hosts: line, resolve_module: module(work) }
    });
}

/// Lines with an address and at least one name, comments off; what is none is passed over, as resolved does.
fn hosts(text: &str) -> Vec<HostsLine> {
    let lines = text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or(line);
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        let names: Vec<String> = words.map(str::to_owned).collect();
        (!names.is_empty()).then_some(HostsLine { address, names })
    });
    lines.collect()
}

/// What stands behind `hosts:`; of two lines the last counts (glibc from 2.34).
fn nsswitch(text: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or(line);
        let (name, rest) = line.split_once(':')?;
        (name.trim() == "hosts").then(|| rest.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    lines.next_back()
}

/// Whether libnss_resolve.so.2 is where the loader looks; `None` where no such directory is in sight.
fn module(work: &Work) -> Option<bool> {
    const MODULE: &str = "libnss_resolve.so.2";
    let mut dirs: Vec<String> = ["/usr/lib", "/usr/lib64", "/lib", "/lib64"].map(str::to_owned).to_vec();
    for above in ["/usr/lib", "/lib"] {
        let names = work.files.list(above).unwrap_or_default();
        dirs.extend(names.iter().filter(|name| name.contains("-linux-")).map(|name| format!("{above}/{name}")));
    }
    if dirs.iter().any(|dir| work.files.exists(&format!("{dir}/{MODULE}"))) {
        return Some(true);
    }
    // A container sees the host's /etc alone: then nothing is known of its libraries.
    dirs.iter().any(|dir| work.files.exists(dir)).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_name_something_are_read() {
        let all = hosts(
            "127.0.0.1\tlocalhost\r\n# c\r\n\r\n::1 ip6 # x\r\n10.0.0.1\r\nnot.an.address a\r\n\u{fffd}\0 b\r\n10.0.0.2 a B.c.",
        );
        let told: Vec<String> = all.iter().map(|line| format!("{} {}", line.address, line.names.join(","))).collect();
        assert_eq!(told, ["127.0.0.1 localhost", "::1 ip6", "10.0.0.2 a,B.c."]);
        assert_eq!(hosts(""), Vec::new());
    }

    #[test]
    fn the_hosts_line_is_found() {
        let text = "# hosts: no\r\npasswd: files\r\nhosts :\tfiles resolve  [!UNAVAIL=return] dns # why\r\nhostsx: a\r\n\u{fffd}\0:";
        assert_eq!(nsswitch(text).as_deref(), Some("files resolve [!UNAVAIL=return] dns"));
        assert_eq!(nsswitch("hosts: files"), Some("files".into()));
        assert_eq!(nsswitch("hosts:\n"), Some(String::new()));
        assert_eq!(nsswitch("passwd: files"), None);
    }
}
