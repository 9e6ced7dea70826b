//! `host check`: is the host still as declared, and who changed it.

use serde_json::{Value, json};

use super::apply::probe_json;
use super::args::CheckArgs;
use super::survey::{Survey, Which, survey};
use crate::cli::args::Form;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, Tone};
use crate::host::{HostOptions, Probed, Store};
use crate::hostplan::paths;
use crate::resolved::Bus;
use crate::split::facts::{Content, FileKind};

/// `host check`.
pub(super) async fn check(options: &HostOptions, args: &CheckArgs, printer: &mut Printer) -> Result<Exit, String> {
    let mut survey = survey(options, Which::Files(&args.inputs), false, printer).await?;
    let accepted = Store::look(&options.state).accepted().map_err(|error| error.to_string())?;
    if survey.text != accepted && !survey.plan.is_settled() {
        // Not in force, a policy sends its private names nowhere yet: they would go to anybody.
        let probes = std::mem::take(&mut survey.wish.probes);
        let (routed, others): (Vec<_>, Vec<_>) =
            probes.into_iter().partition(|probe| survey.wish.routes(&probe.value.query));
        survey.wish.probes = others;
        for probe in routed.iter().filter(|_| args.output == Form::Text) {
            let why = "the policy is not in force here, and the name might go to anybody";
            printer.line(&format!("? probe {} is not asked: {why}", probe.value.name));
        }
    }
    let probes = match Bus::connect(options.bus.as_deref()).await {
        Ok(bus) => crate::host::probe(&bus, &survey.wish).await,
        Err(error) => survey.wish.probes.iter().map(|probe| unasked(&probe.value.name, &error.to_string())).collect(),
    };
    let drift = drift(&survey);
    let refused = survey.is_refused();
    let lacking = survey.plan.lacks.iter().any(|lack| lack.is_trouble);
    let failing = lacking || probes.iter().any(|probe| probe.wrong.is_some());
    match args.output {
        Form::Json => {
            let mut value = survey.json();
            value["drift"] = drift
                .iter()
                .map(|(at, what, who)| json!({"at": at, "what": what, "culprit": who}))
                .collect::<Vec<Value>>()
                .into();
            value["probes"] = probes.iter().map(probe_json).collect::<Vec<Value>>().into();
            value["good"] = json!(drift.is_empty() && !refused && !failing);
            printer.line(&format!("{value:#}"));
        }
        Form::Text => {
            for (at, what, who) in &drift {
                let who = who.as_ref().map_or_else(String::new, |who| format!(" (by {who})"));
                printer.line(&printer.paint(Tone::Warn, &format!("! {at}: {what}{who}")));
            }
            for lack in &survey.plan.lacks {
                match lack.is_trouble {
                    true => {
                        printer.line(&printer.paint(Tone::Warn, &format!("! link {}: {}", lack.link, lack.message)))
                    }
                    false => printer.line(&format!("? link {}: {}", lack.link, lack.message)),
                }
            }
            for refusal in &survey.plan.refusals {
                let text = format!("! {}: {}: {}", refusal.reason, refusal.at, refusal.message);
                printer.line(&printer.paint(Tone::Warn, &text));
                printer.line(&format!("    {}", refusal.way_out));
            }
            for probe in &probes {
                match &probe.wrong {
                    None => printer.line(&format!("probe {} passes ({} ms)", probe.name, probe.took.as_millis())),
                    Some(wrong) => {
                        printer.line(&printer.paint(Tone::Warn, &format!("! probe {} fails: {wrong}", probe.name)));
                    }
                }
            }
            if drift.is_empty() && !refused && !failing {
                printer.line("this host is as declared");
            }
        }
    }
    Ok(match (refused || failing, drift.is_empty()) {
        (true, _) => Exit::Left,
        (false, false) => Exit::Pending,
        (false, true) => Exit::Done,
    })
}

fn unasked(name: &str, why: &str) -> Probed {
    Probed { name: name.to_owned(), wrong: Some(why.to_owned()), took: std::time::Duration::ZERO }
}

/// resolved does not say who sets what it is told over the bus.
const UNKNOWN: &str = "hand, or a program that leaves no name";

/// Where, what, and by whom as far as it can be told.
fn drift(survey: &Survey) -> Vec<(String, String, Option<String>)> {
    let mut all = Vec::new();
    for step in &survey.plan.files {
        let what = match step.action() {
            _ if step.from.kind == FileKind::Absent => "it is gone",
            "remove" => "it is there again",
            _ => "it is another one than declared",
        };
        let who = (step.path == paths::RESOLV_CONF).then(|| culprit(survey)).flatten();
        all.push((step.path.clone(), what.to_owned(), who));
    }
    for step in survey.plan.profiles.iter().filter(|step| step.is_change()) {
        let keys: Vec<&str> = step.changes().map(|(key, ..)| key).collect();
        let what = match keys.is_empty() {
            true => "it is not in force as it is".to_owned(),
            false => format!("{} differ", keys.join(", ")),
        };
        all.push((step.at(), what, None));
    }
    for link in survey.plan.links.iter().filter(|link| !link.differs.is_empty()) {
        let who = Some(UNKNOWN.to_owned());
        all.push((format!("link {}", link.wish.name), format!("{} differ", link.differs.join(", ")), who));
    }
    for (link, message) in &survey.plan.beside {
        all.push((format!("link {link}"), message.clone(), Some(UNKNOWN.to_owned())));
    }
    for need in &survey.plan.needs {
        all.push(("resolved".to_owned(), need.why.clone(), None));
    }
    all
}

/// Whose words are in resolv.conf.
fn culprit(survey: &Survey) -> Option<String> {
    match survey.facts.resolv_conf.as_ref()?.content {
        Content::Dhclient => Some("dhclient".into()),
        Content::Dhcpcd => Some("dhcpcd".into()),
        Content::NetworkManager => Some("NetworkManager".into()),
        Content::Resolvconf => Some("resolvconf".into()),
        Content::Unknown | Content::Stub | Content::Uplink | Content::Static | Content::Other => None,
    }
}
