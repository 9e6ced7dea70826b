//! From a `Wish` and the facts of a host to what must be done there: files, link settings, reloads. Pure.
//!
//! The adapter reads what `targets` names into [`Seen`]; `plan` compares and says what would change, which mechanism
//! carries it and why, and what forbids it. Nothing here knows how a file is written or a bus is called.

mod baseline;
mod beside;
mod cleanup;
mod dhcp;
pub mod diff;
pub mod handover;
mod held;
#[cfg(test)]
mod held_tests;
pub mod hooks;
mod json;
mod listeners;
pub mod mark;
pub mod mechanisms;
pub mod merge;
mod nm_target;
mod octets;
mod own;
pub mod paths;
mod plan;
#[cfg(test)]
mod plan_tests;
pub mod preflight;
#[cfg(test)]
mod preflight_tests;
mod profiles;
#[cfg(test)]
mod profiles_tests;
pub mod render;
mod resolv_conf;
mod shared;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod undo_tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use baseline::{is_read, link_without, without_us};
use serde::{Deserialize, Serialize};

pub use held::held;
pub use paths::PREFIX;
pub use plan::{before_us, plan, targets};
pub use words::Words;

use crate::split::facts::{FileKind, Global, Link, Wishes};
use crate::split::policy::Origin;
use crate::split::policy::ResolvConf;
use crate::split::wish::{GlobalWish, LinkWish, Wish};

/// What lies at a path of the host, as far as a plan must know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenFile {
    /// What it is; a symbolic link is never followed.
    pub kind: FileKind,
    /// Where a link points, as written.
    pub target: Option<String>,
    /// The bytes of a regular file; `None` where it could not be read.
    #[serde(with = "octets::option", default)]
    pub content: Option<Vec<u8>>,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Why it could not be replaced (read-only file system, immutable, foreign owner without the right to restore it).
    pub locked: Option<String>,
    /// The generator that makes it (NixOS, ostree, authselect).
    pub generated_by: Option<String>,
    /// Extended attributes (the SELinux label, ACLs), to be given back with the file.
    #[serde(with = "octets::map", default)]
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// All that was read of a host's files, by path. Directories that were listed stand in `dirs` with the names of the
/// entries that begin as ours do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Files by absolute path on the host; what is absent is there as [`FileKind::Absent`].
    pub files: BTreeMap<String, SeenFile>,
    /// Directories, with the entries in them.
    pub dirs: BTreeMap<String, Vec<String>>,
}

/// What the store remembers of one path that we touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// What was there before us.
    pub before: SeenFile,
    /// What we left there; compared with what is seen to tell our work from a person's.
    pub left: Want,
}

/// What the store remembers of one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedLink {
    /// As it was before our first change.
    pub before: Link,
    /// What we left.
    pub left: LinkWish,
    /// Whether it was set over D-Bus, and so is lost when the link is made anew.
    pub over_bus: bool,
    /// The link without us as it was when it last had servers and addresses: what it is taken for while it has none, or is
    /// away ([`held`]). Absent where a release before wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Box<Link>>,
}

/// A link of the wish that cannot do its part now: it is away, or whoever gives it servers gives it none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Its name.
    pub link: String,
    /// What is the matter, and what comes of it.
    pub message: String,
    /// Names go where they should not, or to nobody: not where other uplinks are asked in its place.
    pub is_trouble: bool,
}

/// What the store remembers of the global scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedGlobal {
    /// As it was before our first change.
    pub before: Global,
    /// What we left.
    pub left: GlobalWish,
}

/// What the store remembers of one connection profile of NetworkManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedProfile {
    /// Its name.
    pub id: String,
    /// The link that it was in force on.
    pub link: String,
    /// What our settings were before our first change.
    pub before: Wishes,
    /// What we left.
    pub left: Wishes,
}

/// What the store remembers of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Every path that differs from what was before us, by our doing; and those that did not have to ([`Record::pin`]).
    pub files: BTreeMap<String, Recorded>,
    /// Every link whose settings are ours, by name.
    pub links: BTreeMap<String, RecordedLink>,
    /// The global scope, where settings of it are ours.
    pub global: Option<RecordedGlobal>,
    /// Profiles of NetworkManager with settings that are ours, by UUID.
    #[serde(default)]
    pub profiles: BTreeMap<String, RecordedProfile>,
    /// Directories that were made for our files, to be removed with the last of them.
    #[serde(default)]
    pub dirs: Vec<String>,
    /// Files as `host snapshot` found them, for the next change that stands: what is there by then may be the doing of a
    /// package's script.
    #[serde(default)]
    pub snapshot: BTreeMap<String, SeenFile>,
    /// Links that were asked for names which no domain covers when the policies that count were applied first; `None` where a
    /// release before wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplinks: Option<BTreeSet<String>>,
    /// What stood in resolved's own file when we came, by somebody else's hand.
    #[serde(default)]
    pub words: Option<Words>,
}

impl Recorded {
    /// Whether it was as declared before us: remembered so that what is repaired there later is not taken for what was
    /// there before.
    pub fn is_pinned(&self) -> bool {
        self.left.is_there(&self.before)
    }
}

impl Record {
    /// Remembers of declared files that only a memory can give back that they were so already; `see` looks at one.
    pub fn pin(&mut self, wish: &Wish, see: impl Fn(&str) -> SeenFile) {
        let declared =
            [(paths::RESOLV_CONF, wish.resolv_conf != ResolvConf::Unmanaged), (paths::NSSWITCH, wish.nsswitch)];
        for (path, is_declared) in declared {
            let known = self.files.get(path);
            if !is_declared && known.is_some_and(Recorded::is_pinned) {
                self.files.remove(path);
            } else if is_declared && known.is_none() {
                let before = see(path);
                if let Some(left) = Want::again(&before) {
                    self.files.insert(path.to_owned(), Recorded { before, left });
                }
            }
        }
    }

    /// Paths that differ from what was before us.
    pub fn ours(&self) -> impl Iterator<Item = &String> {
        self.files.iter().filter(|(_, known)| !known.is_pinned()).map(|(path, _)| path)
    }

    /// Remembers that one file was changed; [`Record::settle`] does so for a whole plan.
    pub fn learn(&mut self, step: &FileStep) {
        if step.path.starts_with(paths::VOLATILE) {
            return;
        }
        let known = self.files.remove(&step.path);
        let is_pinned = known.as_ref().is_some_and(Recorded::is_pinned);
        let before = known.map_or_else(|| before_us(&step.path, &step.from), |known| known.before);
        if is_pinned || !step.to.is_there(&before) {
            self.files.insert(step.path.clone(), Recorded { before, left: step.to.clone() });
        }
    }
}

/// What a plan must have read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Files.
    pub paths: Vec<String>,
    /// Directories of which all entries that begin with [`PREFIX`] are to be read as well.
    pub dirs: Vec<String>,
}

/// What shall lie at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Want {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// All its bytes.
        #[serde(with = "octets")]
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// As written.
        target: String,
    },
}

impl Want {
    /// Whether this lies there already: kind, bytes and permission bits, or the text of the link.
    pub fn is_there(&self, seen: &SeenFile) -> bool {
        match self {
            Want::Absent => seen.kind == FileKind::Absent,
            Want::File { content, mode } => {
                seen.kind == FileKind::File
                    && seen.content.as_ref() == Some(content)
                    && seen.mode & 0o7777 == mode & 0o7777
            }
            Want::Symlink { target } => {
                matches!(seen.kind, FileKind::Symlink | FileKind::Dangling) && seen.target.as_ref() == Some(target)
            }
        }
    }

    /// What would bring this back; `None` where it could not be read or is no file.
    pub fn again(seen: &SeenFile) -> Option<Want> {
        match seen.kind {
            FileKind::Absent => Some(Want::Absent),
            FileKind::File => Some(Want::File { content: seen.content.clone()?, mode: seen.mode & 0o7777 }),
            FileKind::Symlink | FileKind::Dangling => Some(Want::Symlink { target: seen.target.clone()? }),
            FileKind::Unknown | FileKind::Directory | FileKind::Other => None,
        }
    }
}

/// When a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Before resolved reads its files again.
    Before,
    /// When links are set and read back.
    Last,
}

/// What must be told that a file changed. The worst one of all files counts for each service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Nobody.
    None,
    /// networkd: `Reload` over D-Bus.
    ReloadNetworkd,
    /// NetworkManager: `Reload` over D-Bus.
    ReloadNetworkManager,
    /// systemd itself: `Reload` (a unit of ours).
    ReloadSystemd,
    /// resolved: reload from 256 on, else restart.
    ReloadResolved,
    /// resolved: a reload would keep what was there (a removed `Domains=`, imported servers).
    RestartResolved,
    /// resolved: it writes its own files anew, by whatever makes it do so.
    RewriteResolved,
}

/// One change of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStep {
    /// The absolute path on the host.
    pub path: String,
    /// What is there now.
    pub from: SeenFile,
    /// What shall be there.
    pub to: Want,
    /// When.
    pub stage: Stage,
    /// Who must be told.
    pub effect: Effect,
    /// Why, for people.
    pub why: String,
    /// The policies that it comes from.
    pub policies: Vec<Origin>,
}

/// Something to be told although no file changes: resolved holds what its files no longer say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Who must be told, before links are set.
    pub effect: Effect,
    /// Why, for people.
    pub why: String,
}

/// What carries a link's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// A `dns-delegate` (from 258).
    Delegates,
    /// A drop-in of resolved.conf.
    ResolvedConf,
    /// A drop-in of the link's `.network` file.
    Networkd,
    /// The connection's profile.
    NetworkManager,
    /// `dns-` lines in interfaces(5), and D-Bus until the next ifup.
    Ifupdown,
    /// resolve1 over D-Bus, applied again whenever it is lost.
    Bus,
}

/// One mechanism in use, and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The link, or `None` for what concerns the host as a whole.
    pub link: Option<String>,
    /// The mechanism.
    pub mechanism: Mechanism,
    /// Why this one.
    pub why: String,
}

/// A link's settings over D-Bus: all of them, and which differ from what is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStep {
    /// What shall be.
    pub wish: LinkWish,
    /// Whether it is set over resolve1 (else a file carries it and it is only read back).
    pub over_bus: bool,
    /// What carries it.
    pub mechanism: Mechanism,
    /// What differs now, in words (`servers`, `domains`, `default route`, `dnssec` …); empty when nothing does.
    pub differs: Vec<String>,
    /// Somebody set it at networkd itself, which goes before networkd's files: that is taken away. Or at resolved, beside
    /// NetworkManager: that tells it once more.
    pub overruled: bool,
    /// No policy wants it any more: the wish is what was before us. Where that is no servers and no domains, `RevertLink`
    /// does it better.
    pub restores: bool,
    /// The link as it was before us, where it gets that back.
    pub was: Option<Box<Link>>,
}

impl LinkStep {
    /// Whether resolved must come to show it as wished: not where NetworkManager has it and is away.
    pub fn is_awaited(&self, plan: &HostPlan) -> bool {
        self.mechanism != Mechanism::NetworkManager
            || self.differs.is_empty()
            || self.overruled
            || plan.profiles.iter().any(|step| step.link == self.wish.name && !step.restores)
    }
}

/// A connection profile of NetworkManager: the settings of it that are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileStep {
    /// Its UUID.
    pub uuid: String,
    /// Its name.
    pub id: String,
    /// The link that it is for.
    pub link: String,
    /// Its number; 0 where it is not there.
    pub ifindex: u32,
    /// What the settings are now.
    pub from: Wishes,
    /// What they shall be.
    pub to: Wishes,
    /// The link goes by other settings than its profile shall say.
    pub is_stale: bool,
    /// No policy wants it any more: they get back what they were.
    pub restores: bool,
    /// The link as it was before us, where it gets that back.
    pub was: Option<Link>,
    /// Why, for people.
    pub why: String,
    /// The policies that it comes from.
    pub policies: Vec<Origin>,
}

/// Why a plan must not be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A stable word (`EditedByOthers`, `NotOurs`, `KubeletStub` …).
    pub reason: &'static str,
    /// The path, unit or link that it is about.
    pub at: String,
    /// What is the matter.
    pub message: String,
    /// What a person can do.
    pub way_out: String,
}

/// What must be done on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPlan {
    /// What carries the settings.
    pub chosen: Vec<Chosen>,
    /// Files that change, in the order of writing.
    pub files: Vec<FileStep>,
    /// All links of the wish, and those that get back what was before us.
    pub links: Vec<LinkStep>,
    /// All profiles that carry links of the wish, and those that get back what they said.
    pub profiles: Vec<ProfileStep>,
    /// What resolved must be told beside what the files ask for.
    pub needs: Vec<Need>,
    /// resolved does not run, so that nobody knows what the links of this plan have: it is started first, as `needs` says,
    /// and then the host is looked at again. What stands here of links is a guess, and is never carried out.
    pub wakes: bool,
    /// What somebody wrote into resolved's own file, where resolved writes it anew: to be remembered before.
    pub words: Option<Words>,
    /// Links of the wish that cannot do their part now: nothing that a change could mend.
    pub lacks: Vec<Lack>,
    /// Links that are asked beside others since the policies were applied, by somebody else's doing: name and words.
    pub beside: Vec<(String, String)>,
    /// What keeps this plan from being carried out.
    pub refusals: Vec<Refusal>,
    /// What is worth saying.
    pub notes: Vec<String>,
}

impl HostPlan {
    /// Whether the host is as declared.
    pub fn is_settled(&self) -> bool {
        self.files.is_empty()
            && self.needs.is_empty()
            && !self.profiles.iter().any(ProfileStep::is_change)
            && self.links.iter().all(|link| link.differs.is_empty() || !(link.over_bus || link.overruled))
    }

    /// Whether somebody must be told over the bus.
    pub fn needs_bus(&self) -> bool {
        let told = |stage| self.effects(stage).into_iter().any(|effect| effect != Effect::None);
        let sets = !self.links.is_empty() || self.profiles.iter().any(ProfileStep::is_change);
        sets || told(Stage::Before) || told(Stage::Last)
    }

    /// What the changes of one stage ask for, each once, in the order in which it must be done.
    pub fn effects(&self, stage: Stage) -> Vec<Effect> {
        let files = self.files.iter().filter(|step| step.stage == stage).map(|step| step.effect);
        let needs = self.needs.iter().filter(|_| stage == Stage::Before).map(|need| need.effect);
        let mut all: Vec<Effect> = files.chain(needs).collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|effect| *effect != Effect::None);
        if all.contains(&Effect::RestartResolved) {
            all.retain(|effect| !matches!(effect, Effect::ReloadResolved | Effect::RewriteResolved));
        }
        all
    }

    /// Whether a delegate goes, and by a reload: then every link that gets something back gets it before.
    pub fn gives_up_delegates(&self) -> bool {
        let gone = |step: &FileStep| step.to == Want::Absent && paths::split(&step.path).0 == paths::DELEGATES;
        self.files.iter().any(gone) && !self.effects(Stage::Before).contains(&Effect::RestartResolved)
    }

    /// Leaves files and profiles alone that a person edited, and does the rest; gives what was left.
    pub fn leave_edited(&mut self) -> Vec<Refusal> {
        let (edited, others): (Vec<Refusal>, Vec<Refusal>) =
            self.refusals.drain(..).partition(|refusal| refusal.reason == preflight::EDITED);
        self.refusals = others;
        self.files.retain(|step| !edited.iter().any(|refusal| refusal.at == step.path));
        self.profiles.retain(|step| !edited.iter().any(|refusal| refusal.at == step.at()));
        edited
    }

    /// Lets files be replaced that a person edited: their steps are in the plan already.
    pub fn overwrite_edited(&mut self) {
        self.refusals.retain(|refusal| refusal.reason != preflight::EDITED);
    }
}
