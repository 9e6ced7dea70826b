//! What policies make of this host, in words and for programs.

use serde_json::{Value, json};

use crate::cli::host_facts;
use crate::cli::printer::{Printer, Tone};
use crate::host::HostOptions;
pub(super) use crate::host::{Survey, Which};
use crate::hostplan::{self, Mechanism};
use crate::split::facts::Setting;

/// [`Survey::new`], with what could not be read and what is worth knowing of the policies said.
pub(super) async fn survey(
    options: &HostOptions,
    which: Which<'_>,
    overwrite_edited: bool,
    printer: &mut Printer,
) -> Result<Survey, String> {
    let survey = Survey::new(options, which, overwrite_edited).await.map_err(|error| error.to_string())?;
    host_facts::warn(&survey.unread, printer);
    survey.under.iter().flat_map(|under| &under.notes).for_each(|note| printer.warn(note));
    Ok(survey)
}

impl Survey {
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
        for step in self.plan.profiles.iter().filter(|step| step.is_change()) {
            let how = if step.restores { "gets back" } else { "gets" };
            let line = format!("~ {} ({}) of link {} {how}", step.at(), step.uuid, step.link);
            printer.line(&printer.paint(Tone::Change, &line));
            printer.line(&format!("    {}", step.why));
            for (key, from, to) in step.changes() {
                printer.line(&format!("    {key}: {} -> {}", setting_or(from), setting_or(to)));
            }
            if step.changes().next().is_none() {
                printer.line("    the profile says so already; it is brought into force");
            }
        }
        for step in self.plan.links.iter().filter(|step| !step.differs.is_empty()) {
            let how = match (step.over_bus, step.restores) {
                (false, _) if step.mechanism == Mechanism::NetworkManager => match step.overruled {
                    true => "gets by its profile again (somebody set it at resolved)",
                    false => "gets by its profile",
                },
                (true, true) => "gets back over D-Bus",
                (true, false) => "gets over D-Bus",
                (false, _) if step.overruled => {
                    "gets by its file again (somebody set it at networkd, which goes before files)"
                }
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
            printer.line(&format!("* {}", words_of(effect)));
        }
        self.plan.beside.iter().for_each(|(link, what)| printer.line(&format!("? link {link}: {what}")));
        self.plan.lacks.iter().for_each(|lack| printer.line(&format!("? link {}: {}", lack.link, lack.message)));
        self.plan.notes.iter().for_each(|note| printer.line(&format!("? {note}")));
        for refusal in &self.plan.refusals {
            let text = format!("! {}: {}: {}", refusal.reason, refusal.at, refusal.message);
            printer.line(&printer.paint(Tone::Warn, &text));
            printer.line(&format!("    {}", refusal.way_out));
        }
        if self.plan.is_settled() && !self.is_refused() && self.under.is_some() {
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

fn setting_or(setting: Option<&Setting>) -> String {
    setting.map_or_else(|| "default".to_owned(), ToString::to_string)
}

fn words_of(effect: &str) -> &str {
    match effect {
        "reloadNetworkd" => "networkd reads its files",
        "reloadNetworkManager" => "NetworkManager reads its files",
        "reloadSystemd" => "systemd reads its units",
        "reloadResolved" => "resolved reads its files (before systemd 256: is restarted)",
        "rewriteResolved" => "resolved writes its files anew",
        "restartResolved" => "resolved is restarted",
        other => other,
    }
}
