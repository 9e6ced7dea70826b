//! systemd, the units that matter, and who owns resolved's name.

use super::Work;
use crate::resolved::bus::Bus;
use crate::resolved::error::Reason;
use crate::resolved::systemd1::{self, NETWORK_MANAGER, NETWORKD, RESOLVED, Systemd1};
use crate::resolved::{network1, nm, resolve1};
use crate::split::{HostFacts, SystemdVersion};

pub(super) async fn gather(work: &mut Work, facts: &mut HostFacts) {
    if let Some(bus) = work.bus.clone() {
        match bus.owner(systemd1::NAME).await {
            Ok(Some(_)) => units(work, &bus, facts).await,
            Ok(None) => facts.services.systemd = Some(false),
            Err(error) => work.miss("systemd", error),
        }
        facts.services.resolver_owner = owner(work, &bus, facts.services.systemd == Some(true)).await;
    } else if work.files.exists("/run/systemd/system") {
        // sd_booted(3).
        facts.services.systemd = Some(true);
    }
    if facts.systemd.is_none() {
        from_files(work, facts);
    }
}

async fn units(work: &mut Work, bus: &Bus, facts: &mut HostFacts) {
    facts.services.systemd = Some(true);
    let systemd = Systemd1(bus);
    let (asked, resolved, networkd, network_manager) = tokio::join!(
        systemd.version(),
        systemd.state(RESOLVED),
        systemd.state(NETWORKD),
        systemd.state(NETWORK_MANAGER)
    );
    if let Some(version) = work.bus("systemd's version", asked) {
        facts.systemd = version.parse().ok();
        facts.systemd_package = Some(version);
    }
    facts.services.resolved = work.bus(RESOLVED, resolved);
    facts.services.networkd = work.bus(NETWORKD, networkd);
    facts.services.network_manager = work.bus(NETWORK_MANAGER, network_manager);
}

/// The program behind resolved's name; empty where nobody has it.
async fn owner(work: &mut Work, bus: &Bus, has_systemd: bool) -> Option<String> {
    const WHAT: &str = "the owner of resolved's name";
    let asked = bus.owner(resolve1::NAME).await;
    if work.bus(WHAT, asked)?.is_none() {
        return Some(String::new());
    }
    let pid = match bus.pid_of(resolve1::NAME).await {
        Ok(pid) => pid,
        // It went in between.
        Err(error) if error.reason == Reason::Gone => return Some(String::new()),
        Err(error) => {
            work.miss(WHAT, error);
            return None;
        }
    };
    // In a container the number is one of the host's: systemd knows whose, our own /proc need not.
    if has_systemd && let Ok(unit) = Systemd1(bus).unit_of(pid).await {
        return Some(unit.trim_end_matches(".service").to_owned());
    }
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => Some(name.trim_end().to_owned()),
        Err(error) => {
            work.miss(WHAT, format!("process {pid}: {error}"));
            None
        }
    }
}

/// Whether a service of the bus runs; `None` where that cannot be found out.
pub(super) async fn runs(work: &Work, name: &str) -> Option<bool> {
    debug_assert!([network1::NAME, nm::NAME].contains(&name));
    work.bus.as_ref()?.owner(name).await.ok().map(|owner| owner.is_some())
}

/// The release from what is installed: the package database of Debian, else the name of systemd's own library.
fn from_files(work: &mut Work, facts: &mut HostFacts) {
    let read = work.files.text_if_there("/var/lib/dpkg/status");
    let package = work.file("the package database", read).flatten().and_then(|status| {
        // Of the daemon's own package, where a release has one.
        installed(&status, "systemd-resolved").or_else(|| installed(&status, "systemd"))
    });
    if let Some(package) = package {
        // An epoch stands before the colon.
        let bare = package.split_once(':').map_or(package.as_str(), |(_, rest)| rest);
        facts.systemd = bare.parse().ok();
        facts.systemd_package = Some(package);
    }
    if facts.systemd.is_none() {
        facts.systemd = library(work);
    }
    if facts.systemd.is_none() {
        work.miss("systemd's version", "neither systemd on the bus nor its packages or libraries are in sight");
    }
}

/// The version of an installed package.
fn installed(status: &str, package: &str) -> Option<String> {
    let head = format!("Package: {package}");
    let status = status.replace("\r\n", "\n");
    let paragraph = status.split("\n\n").find(|paragraph| {
        let mut lines = paragraph.lines();
        lines.any(|line| line == head)
            && paragraph
                .lines()
                .any(|line| line == "Status: install ok installed" || line == "Status: hold ok installed")
    })?;
    Some(paragraph.lines().find_map(|line| line.strip_prefix("Version: "))?.trim().to_owned())
}

fn library(work: &Work) -> Option<SystemdVersion> {
    let mut dirs: Vec<String> = vec!["/usr/lib/systemd".into(), "/lib/systemd".into(), "/usr/lib64/systemd".into()];
    let multiarch = work.files.list("/usr/lib").unwrap_or_default();
    dirs.extend(
        multiarch.iter().filter(|name| name.contains("-linux-")).map(|name| format!("/usr/lib/{name}/systemd")),
    );
    let names = dirs.iter().flat_map(|dir| work.files.list(dir).unwrap_or_default());
    let mut versions: Vec<SystemdVersion> = names.filter_map(|name| of_library(&name)).collect();
    versions.sort_unstable();
    versions.dedup();
    // Two would be a machine in the middle of an upgrade.
    if versions.len() == 1 { versions.pop() } else { None }
}

fn of_library(name: &str) -> Option<SystemdVersion> {
    name.strip_prefix("libsystemd-shared-")?.strip_suffix(".so")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_database_is_read_by_paragraph() {
        let text = "Package: systemd\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: systemd-resolved-extra\nStatus: install ok installed\nVersion: 9\n\n\
            Package: systemd-resolved\nStatus: install ok installed\nArchitecture: amd64\nVersion: 252.39-1~deb12u1";
        assert_eq!(installed(text, "systemd-resolved").as_deref(), Some("252.39-1~deb12u1"));
        assert_eq!(installed(text, "systemd"), None);
        assert_eq!(installed(&text.replace('\n', "\r\n"), "systemd-resolved").as_deref(), Some("252.39-1~deb12u1"));
        assert_eq!(installed("\u{fffd}\0Package: systemd-resolved", "systemd-resolved"), None);
    }

    #[test]
    fn the_library_names_the_release() {
        assert_eq!(of_library("libsystemd-shared-252.so"), Some(SystemdVersion(252)));
        assert_eq!(of_library("libsystemd-shared-257.13-1~deb13u1.so"), Some(SystemdVersion(257)));
        assert_eq!(of_library("libsystemd-core-252.so"), None);
        assert_eq!(of_library("libsystemd-shared-.so"), None);
    }
}
