//! What policies make of a host: facts, wish, findings and plan. Changes nothing.

use std::path::Path;

use super::error::HostError;
use super::store::Store;
use super::transaction::HostOptions;
use crate::hostplan::{self, HostPlan, Need, Record, Targets};
use crate::resolved::files::HostFiles;
use crate::resolved::gather::{Sources, Unread, gather_over};
use crate::resolved::{Bus, BusError};
use crate::source::{Input, Policies, load_policies_for};
use crate::split::lint::{Finding, lint};
use crate::split::lower::lower;
use crate::split::lower_merge::{Contradiction, merge};
use crate::split::policy::Policy;
use crate::split::wish::Wish;
use crate::split::{HostFacts, SystemdVersion};

/// A host under policies.
#[derive(Debug)]
pub struct Under {
    /// As it would be.
    pub facts: HostFacts,
    /// What is wished of it.
    pub wish: Wish,
    /// The policies as they were read.
    pub text: String,
    /// What is worth saying of the files.
    pub notes: Vec<String>,
    /// What each policy says: its `spec` by its name.
    pub specs: Vec<(String, serde_json::Value)>,
    /// What lint found, each with its place in the files.
    pub findings: Vec<(Finding, String)>,
    /// Policies that contradict an older one, with their places.
    pub refused: Vec<(Contradiction, String)>,
}

impl Under {
    /// Whether any policy is refused.
    pub fn is_refused(&self) -> bool {
        !self.refused.is_empty() || self.findings.iter().any(|(finding, _)| finding.is_refusal())
    }
}

/// Lowers the policies of the files onto the facts: those that are for the host of these facts.
///
/// # Errors
/// [`HostError::Policies`] with everything that is wrong with the files, [`HostError::OtherHosts`].
pub fn under_policies(files: &[String], facts: &HostFacts, version: SystemdVersion) -> Result<Under, HostError> {
    let inputs: Vec<Input> = files.iter().map(|file| Input::parse(file)).collect();
    let names = facts.names();
    under(load_policies_for(&inputs, names.as_deref()), facts, version)
}

/// The same of policies that were accepted here once. A host that has got another name since is still the one that they were
/// accepted for: it does not lose its DNS at the next boot.
fn under_accepted(file: &Path, facts: &HostFacts, version: SystemdVersion) -> Result<Under, HostError> {
    let (inputs, names) = ([Input::parse(&file.display().to_string())], facts.names());
    let loaded = load_policies_for(&inputs, names.as_deref());
    match loaded.policies.is_empty() && !loaded.others.is_empty() {
        true => under(load_policies_for(&inputs, None), facts, version),
        false => under(loaded, facts, version),
    }
}

fn under(loaded: Policies, facts: &HostFacts, version: SystemdVersion) -> Result<Under, HostError> {
    let mut wrong: Vec<String> = loaded.broken.iter().map(ToString::to_string).collect();
    wrong.extend(loaded.refusals.iter().map(|(name, diagnostic)| format!("policy {name}: {diagnostic}")));
    wrong.extend(loaded.empty.iter().map(|input| format!("{input}: no SplitDNSPolicy is in there")));
    if !wrong.is_empty() {
        return Err(HostError::Policies(wrong.join("\n")));
    }
    let host = facts.hostname.clone().unwrap_or_default();
    let others = loaded.others.iter().map(|(name, hosts)| format!("{name} is for {}", hosts.join(", ")));
    let mut notes = loaded.notes.clone();
    if loaded.policies.is_empty() && !loaded.others.is_empty() {
        return Err(HostError::OtherHosts { host, others: others.collect::<Vec<_>>().join("; ") });
    }
    notes.extend(others.map(|other| format!("policy {other}, and does not count on this host ({host})")));
    if facts.hostname.is_none()
        && let Some([one, other]) = strangers(&loaded.policies)
    {
        notes.push(format!(
            "policies {} and {} are for different hosts ({}; {}); of which host is not said, so that both count here",
            one.name,
            other.name,
            one.hosts.join(", "),
            other.hosts.join(", ")
        ));
    }
    let merged = merge(&loaded.policies);
    let wish = lower(&merged, facts, version);
    let place = |policy: &str, field: &str| loaded.place(policy, field).unwrap_or_default();
    let findings = lint(&merged, facts, &wish);
    let findings = findings.into_iter().map(|found| (found.clone(), place(&found.policy, &found.field))).collect();
    let refused = merged.refused.iter().map(|one| (one.clone(), place(&one.policy, &one.field))).collect();
    Ok(Under {
        facts: wish.under(facts),
        wish,
        text: loaded.text.clone(),
        notes,
        specs: loaded.specs(),
        findings,
        refused,
    })
}

/// Two policies that no host can have both of.
fn strangers(policies: &[Policy]) -> Option<[&Policy; 2]> {
    let named = || policies.iter().filter(|policy| !policy.hosts.is_empty());
    let is_apart = |one: &Policy, other: &Policy| !one.hosts.iter().any(|host| other.hosts.contains(host));
    named().find_map(|one| Some([one, named().find(|other| is_apart(one, other))?]))
}

/// All that is known before anything is done.
#[derive(Debug)]
pub struct Survey {
    /// The host as it is.
    pub facts: HostFacts,
    /// What of it could not be read.
    pub unread: Vec<Unread>,
    /// Why no bus answers, where none does.
    pub no_bus: Option<String>,
    /// What it should be.
    pub wish: Wish,
    /// What must be done.
    pub plan: HostPlan,
    /// The files that this hangs on.
    pub targets: Targets,
    /// What lint says; nothing where nothing is wished.
    pub under: Option<Under>,
    /// The policies, to be remembered.
    pub text: Option<String>,
}

/// Which policies.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Of these files; of none: those that were applied last.
    Files(&'a [String]),
    /// Those that were applied last.
    Accepted,
    /// None: everything is given back.
    Nothing,
}

impl Survey {
    /// Looks at the host and at the policies.
    ///
    /// # Errors
    /// [`HostError::Policies`], [`HostError::OtherHosts`], [`HostError::NoPolicy`], and those of the store.
    pub async fn new(options: &HostOptions, which: Which<'_>, overwrite_edited: bool) -> Result<Survey, HostError> {
        let bus = Bus::connect(options.bus.as_deref()).await;
        let mut survey = Survey::over(options, which, bus).await?;
        if overwrite_edited {
            survey.plan.overwrite_edited();
        }
        Ok(survey)
    }

    /// The same over a connection that is there already, or with the reason why there is none.
    ///
    /// # Errors
    /// As [`Survey::new`].
    pub async fn over(
        options: &HostOptions,
        which: Which<'_>,
        bus: Result<Bus, BusError>,
    ) -> Result<Survey, HostError> {
        let store = Store::look(&options.state);
        let record: Record = store.record()?;
        let profiles = record.profiles.keys().cloned().collect();
        let sources = Sources { root: options.root.clone(), bus: options.bus.clone(), profiles };
        let no_bus = bus.as_ref().err().map(ToString::to_string);
        let found = gather_over(&sources, bus).await;
        let facts = found.facts;
        let version = facts.systemd;
        let (own, newest) = (hostplan::held(&facts, &record), version.unwrap_or(SystemdVersion::NEWEST));
        let (under, text) = match which {
            Which::Files(files) if !files.is_empty() => {
                let mut under = under_policies(files, &own, newest)?;
                let text = std::mem::take(&mut under.text);
                (Some(under), Some(text))
            }
            Which::Files(_) | Which::Accepted => {
                // Put together anew, the text would not be the same to the octet, and so would count as another one.
                let text = store.accepted()?.ok_or(HostError::NoPolicy)?;
                (Some(under_accepted(&store.accepted_file(), &own, newest)?), Some(text))
            }
            Which::Nothing => (None, None),
        };
        let nothing = || Wish::nothing(version.unwrap_or(SystemdVersion::OLDEST));
        let wish = under.as_ref().map_or_else(nothing, |under| under.wish.clone());
        let targets = hostplan::targets(&wish, &facts, &record);
        let seen = HostFiles::new(&options.root).see_all(&targets);
        let mut plan = hostplan::plan(&wish, &facts, &seen, &record);
        if under.is_some() {
            let why = "files were put back, and not everybody who must has read them yet";
            plan.needs.extend(store.owed()?.into_iter().map(|effect| Need { effect, why: why.to_owned() }));
        }
        Ok(Survey { facts, unread: found.unread, no_bus, wish, plan, targets, under, text })
    }

    /// Whether it must not be carried out.
    pub fn is_refused(&self) -> bool {
        !self.plan.refusals.is_empty() || self.under.as_ref().is_some_and(Under::is_refused)
    }
}
