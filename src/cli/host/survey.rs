//! What policies make of this host: facts, wish, findings and plan.

use serde_json::{Value, json};

use crate::cli::host_facts;
use crate::cli::printer::{Printer, Tone};
use crate::cli::route_policy::{self, Under};
use crate::host::{HostOptions, Store};
use crate::hostplan::{self, HostPlan, Record};
use crate::resolved::files::HostFiles;
use crate::resolved::gather::{Sources, gather};
use crate::split::HostFacts;
use crate::split::wish::Wish;

/// All that is known before anything is done.
pub(super) struct Survey {
    /// The host as it is.
    pub facts: HostFacts,
    /// What it should be.
    pub wish: Wish,
    /// What must be done.
    pub plan: HostPlan,
    /// What lint says; nothing where nothing is wished.
    pub under: Option<Under>,
    /// The policies, to be remembered.
    pub text: Option<String>,
}

/// Which policies.
pub(super) enum Which<'a> {
    /// Of these files.
    Files(&'a [String]),
    /// Those that were applied last.
    Accepted,
    /// None: everything is given back.
    Nothing,
}

impl Survey {
    /// Looks at the host and at the policies. Changes nothing.
    pub(super) async fn new(
        options: &HostOptions,
        which: Which<'_>,
        overwrite_edited: bool,
        printer: &mut Printer,
    ) -> Result<Survey, String> {
        let store = Store::look(&options.state);
        let record: Record = store.record().map_err(|error| error.to_string())?;
        let found = gather(&Sources { root: options.root.clone(), bus: options.bus.clone() }).await;
        host_facts::warn(&found, printer);
        let facts = found.facts;
        let accepted = store.accepted_file().display().to_string();
        let files = match which {
            Which::Files(files) if !files.is_empty() => files.to_vec(),
            Which::Files(_) | Which::Accepted => match store.accepted() {
                Ok(Some(_)) => vec![accepted],
                Ok(None) => {
                    return Err("no policy was applied to this host yet; give one with -f policy.yaml".to_owned());
                }
                Err(error) => return Err(error.to_string()),
            },
            Which::Nothing => Vec::new(),
        };
        let version = facts.systemd;
        let own = hostplan::without_us(&facts, &record);
        let (wish, under, text) = if files.is_empty() {
            (Wish::nothing(version.unwrap_or(crate::split::SystemdVersion::OLDEST)), None, None)
        } else {
            let version = version.unwrap_or(crate::split::SystemdVersion::NEWEST);
            let mut under = route_policy::under(&files, &own, version, printer)?;
            let text = std::mem::take(&mut under.text);
            (under.wish.clone(), Some(under), Some(text))
        };
        let seen = HostFiles::new(&options.root).see_all(&hostplan::targets(&wish, &facts, &record));
        let mut plan = hostplan::plan(&wish, &facts, &seen, &record);
        if overwrite_edited {
            plan.overwrite_edited();
        }
        Ok(Survey { facts, wish, plan, under, text })
    }

    /// Whether it must not be carried out.
    pub(super) fn is_refused(&self) -> bool {
        !self.plan.refusals.is_empty() || self.under.as_ref().is_some_and(Under::is_refused)
    }

    /// For people.
    pub(super) fn tell(&self, printer: &mut Printer) {
        if let Some(under) = &self.under {
            under.tell(printer);
        }
        for chosen in &self.plan.chosen {
            let about = chosen.link.as_ref().map_or_else(|| "host".to_owned(), |link| format!("link {link}"));
            printer.line(&format!("{about}: {} ({})", chosen.mechanism.word(), chosen.why));
        }
        for step in &self.plan.files {
            let sign = match step.action() {
                "create" => "+",
                "remove" => "-",
                _ => "~",
            };
            let tone = if sign == "-" { Tone::Remove } else { Tone::Add };
            printer.line(&printer.paint(tone, &format!("{sign} {} {}", step.action(), step.path)));
            printer.line(&format!("    {}", step.why));
            hostplan::diff::unified(step).lines().for_each(|line| printer.line(&format!("    {line}")));
        }
        for step in self.plan.links.iter().filter(|step| !step.differs.is_empty()) {
            let how = match (step.over_bus, step.restores) {
                (true, true) => "gets back over D-Bus",
                (true, false) => "gets over D-Bus",
                (false, _) => "gets by the file above",
            };
            let wish = &step.wish;
            let servers: Vec<String> = wish.servers.iter().flatten().map(ToString::to_string).collect();
            let domains: Vec<String> = wish.domains.iter().map(ToString::to_string).collect();
            printer.line(
                &printer.paint(Tone::Change, &format!("~ link {} {how}: {}", wish.name, step.differs.join(", "))),
            );
            printer.line(&format!(
                "    servers {}; domains {}; default route {}",
                if wish.servers.is_none() { "as they are".into() } else { none_or(&servers) },
                none_or(&domains),
                if wish.default_route { "yes" } else { "no" }
            ));
        }
        for effect in self.plan.to_json()["effects"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            printer.line(&format!("! {}", words_of(effect)));
        }
        self.plan.notes.iter().for_each(|note| printer.line(&format!("? {note}")));
        for refusal in &self.plan.refusals {
            let text = format!("! {}: {}: {}", refusal.reason, refusal.at, refusal.message);
            printer.line(&printer.paint(Tone::Warn, &text));
            printer.line(&format!("    {}", refusal.way_out));
        }
        if self.plan.is_settled() && !self.is_refused() {
            printer.line("this host is as declared: nothing to do");
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let mut value = self.plan.to_json();
        if let Some(under) = &self.under {
            value["policy"] = under.json();
        }
        value["systemd"] = json!(self.facts.systemd.map(|version| version.0));
        value
    }
}

fn none_or(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

fn words_of(effect: &str) -> &str {
    match effect {
        "reloadNetworkd" => "networkd reads its files",
        "reloadNetworkManager" => "NetworkManager reads its files",
        "reloadSystemd" => "systemd reads its units",
        "reloadResolved" => "resolved reads its files (before systemd 256: is restarted)",
        "restartResolved" => "resolved is restarted",
        other => other,
    }
}
