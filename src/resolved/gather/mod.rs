//! Everything about a host that route, lint and plan look at, read from the machine itself.
//!
//! What cannot be read stays unknown and is told beside the facts, with the reason; nothing is guessed. Services are
//! asked only where they run: no read activates one.

mod global;
mod ifupdown;
mod kubelet;
mod links;
mod listeners;
mod names;
mod profiles;
mod proxmox;
mod resolv_conf;
mod services;

pub use links::{Memory, remembered};

mod watched;

use std::path::PathBuf;

use super::bus::Bus;
use super::conf;
use super::error::BusError;
use super::files::{FileError, HostFiles};
use super::resolve1::{self, Resolve1};
use crate::split::HostFacts;

/// Where to look.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The directory under which the host's files are; `/proc`, the network and the own host name are always those of
    /// this process.
    pub root: PathBuf,
    /// The system bus, where it is not at the usual place.
    pub bus: Option<String>,
    /// Profiles of NetworkManager that are to be read though they may not be in force, by UUID.
    pub profiles: Vec<String>,
}

impl Default for Sources {
    fn default() -> Sources {
        Sources { root: PathBuf::from("/"), bus: None, profiles: Vec::new() }
    }
}

/// A fact that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What it is about.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Facts, and what is missing in them.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// What is known.
    pub facts: HostFacts,
    /// What is not, in the order of reading.
    pub unread: Vec<Unread>,
}

/// What all parts work with.
struct Work {
    files: HostFiles,
    bus: Option<Bus>,
    unread: Vec<Unread>,
}

impl Work {
    fn miss(&mut self, what: &str, why: impl ToString) {
        self.unread.push(Unread { what: what.to_owned(), why: why.to_string() });
    }

    /// The value, or that it is unknown and why.
    fn file<T>(&mut self, what: &str, read: Result<T, FileError>) -> Option<T> {
        read.map_err(|error| self.miss(what, error)).ok()
    }

    fn bus<T>(&mut self, what: &str, asked: Result<T, BusError>) -> Option<T> {
        asked.map_err(|error| self.miss(what, error)).ok()
    }
}

/// Gathers all facts of a host.
///
/// Never fails: a host without systemd, without a bus, or in a container that sees little of it has facts too.
pub async fn gather(sources: &Sources) -> Gathered {
    let bus = Bus::connect(sources.bus.as_deref()).await;
    gather_over(sources, bus).await
}

/// As [`gather`], over a connection that is there already, or with the reason why there is none.
pub async fn gather_over(sources: &Sources, bus: Result<Bus, BusError>) -> Gathered {
    let mut work = Work { files: HostFiles::new(&sources.root), bus: None, unread: Vec::new() };
    match bus {
        Ok(bus) => work.bus = Some(bus),
        Err(error) => work.miss("what runs on the system bus", error),
    }
    let mut facts = HostFacts::unknown();
    facts.hostname = match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) => Some(name.trim_end().to_owned()),
        Err(error) => {
            work.miss("the host's own name", error);
            None
        }
    };
    // systemd first: what it calls masked must not be asked anything that would start it.
    services::gather(&mut work, &mut facts).await;
    let read = conf::resolved(&work.files);
    let conf = work.file("resolved.conf", read);
    let manager = manager(&mut work, &facts).await;
    links::gather(&mut work, &mut facts, manager.is_some()).await;
    profiles::gather(&mut work, &mut facts, &sources.profiles).await;
    global::gather(&mut work, &mut facts, manager.as_ref(), conf.as_ref()).await;
    names::gather(&mut work, &mut facts);
    resolv_conf::gather(&mut work, &mut facts, manager.as_ref());
    listeners::gather(&mut work, &mut facts, conf.as_ref());
    kubelet::gather(&mut work, &mut facts);
    proxmox::gather(&mut work, &mut facts);
    watched::gather(&mut work, &mut facts);
    Gathered { facts, unread: work.unread }
}

/// resolved's own words, where it runs.
async fn manager(work: &mut Work, facts: &HostFacts) -> Option<resolve1::Manager> {
    let bus = work.bus.clone()?;
    // Nobody owns the name: nothing to ask. It is not a failure of reading.
    if facts.services.resolver_owner.as_deref() == Some("") {
        work.miss("resolved's settings", "systemd-resolved does not run");
        return None;
    }
    let asked = Resolve1(&bus).manager().await;
    work.bus("resolved's settings", asked)
}
