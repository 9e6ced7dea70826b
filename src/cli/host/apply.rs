//! `host apply`, `host confirm`, `host rollback`.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::{ApplyArgs, RollbackArgs};
use super::survey::{Survey, Which, survey};
use crate::cli::args::Form;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, Tone};
use crate::host::journal::{State, Transaction};
use crate::host::{ANYBODY, Applied, Confirm, DEAD_MAN, Host, HostError, HostOptions, Step, Store, Undone};
use crate::hostplan::{Refusal, preflight};
use crate::source::{Input, load_policies};

/// How long the dead man waits for whoever is at work: longer than any change takes.
const WAIT: Duration = Duration::from_secs(900);

/// `host apply`.
pub(super) async fn apply(options: &HostOptions, args: &ApplyArgs, printer: &mut Printer) -> Result<Exit, String> {
    if let Some(done) = held(options, args.accepted, printer)? {
        return Ok(done);
    }
    let host = open(options, printer).await?;
    let which = if args.accepted { Which::Accepted } else { Which::Files(&args.inputs) };
    let text = args.output == Form::Text;
    let survey = readable(&host, options, which, args.overwrite_edited, text, printer).await?;
    if text {
        survey.tell(printer);
    }
    if survey.is_refused() {
        return Ok(ended(args.output, &survey, None, &[], printer));
    }
    if survey.plan.is_settled() {
        let is_new = survey.text.is_some() && host.store.accepted().map_err(|error| error.to_string())? != survey.text;
        let probes = match &host.bus {
            Some(bus) if is_new => crate::host::probe(bus, &survey.wish).await,
            _ => Vec::new(),
        };
        if let Some((name, wrong)) = probes.iter().find_map(|probe| Some((&probe.name, probe.wrong.as_ref()?))) {
            return Err(format!(
                "probe {name} fails: {wrong}; nothing was to be changed, and the policies are not accepted"
            ));
        }
        if let Some(policies) = &survey.text {
            host.accept(policies, &survey.wish, &survey.facts).map_err(|error| error.to_string())?;
        }
        return Ok(ended(args.output, &survey, None, &[], printer));
    }
    let confirm = args.confirm_within.map_or(Confirm::No, Confirm::Within);
    let applied = carry_out(&host, &survey, (confirm, args.dead_man), text, printer).await?;
    Ok(ended(args.output, &survey, Some(&applied), &[], printer))
}

/// `host confirm`.
pub(super) fn confirm(options: &HostOptions, printer: &mut Printer) -> Result<Exit, String> {
    let store = Store::look(&options.state);
    let all = store.transactions().map_err(|error| error.to_string())?;
    let Some(waiting) = all.iter().rev().find(|one| one.state == State::Waiting) else {
        return Err(
            "no change waits for a confirmation: either it came too late, and all was undone, or none was asked for; \
                    `knotwork host status` tells"
                .to_owned(),
        );
    };
    if !store.is_locked() {
        return Err(format!(
            "{} waited for this, and the process that made it is gone: nobody is left who would keep it. It is undone by its \
             timer or the next change; apply it again",
            waiting.id
        ));
    }
    let file = store.confirmation(&waiting.id);
    std::fs::write(&file, "").map_err(|error| format!("{}: {error}", file.display()))?;
    printer.line(&format!("{} is confirmed", waiting.id));
    Ok(Exit::Done)
}

/// `host rollback`.
pub(super) async fn rollback(
    options: &HostOptions,
    args: &RollbackArgs,
    printer: &mut Printer,
) -> Result<Exit, String> {
    let Some(id) = &args.transaction else { return give_back(options, args, printer).await };
    // Whoever dies in the middle leaves it to the next one who opens the host: then it is undone by now.
    if args.if_unfinished {
        return finished(options, id, printer).await;
    }
    held(options, false, printer)?;
    let (host, mut recovered) = Host::open(options).await.map_err(|error| error.to_string())?;
    tell_recovered(&recovered, printer);
    if id == "last" && !recovered.is_empty() {
        // The last change is the one that was left in the middle. By now it is taken back, and no other one was meant.
        let (tx, undone) = recovered.swap_remove(0);
        return Ok(taken_back(&tx, &undone, args.output, printer));
    }
    let all = host.store.transactions().map_err(|error| error.to_string())?;
    let last = all.iter().rev().find(|one| one.state == State::Committed);
    let id = match (id.as_str(), last) {
        ("last", Some(last)) => last.id.clone(),
        ("last", None) => return Err("no change stands: there is nothing to take back".to_owned()),
        (id, _) => id.to_owned(),
    };
    say_keeping(&host.store, printer);
    let (tx, undone) = host.undo(&id).await.map_err(|error| error.to_string())?;
    Ok(taken_back(&tx, &undone, args.output, printer))
}

fn taken_back(tx: &Transaction, undone: &Undone, output: Form, printer: &mut Printer) -> Exit {
    match output {
        Form::Json => printer.line(&format!(
            "{:#}",
            json!({"transaction": tx.id, "state": tx.state.word(), "undone": undone_json(undone)})
        )),
        Form::Text => {
            printer.line(&format!("{}: {}", tx.id, tx.state.word()));
            tell_undone(undone, printer);
        }
    }
    if undone.kept.is_empty() { Exit::Done } else { Exit::Left }
}

/// For the dead man: whoever is at work may be about to die, too.
async fn finished(options: &HostOptions, id: &str, printer: &mut Printer) -> Result<Exit, String> {
    let end = tokio::time::Instant::now() + WAIT;
    loop {
        match Host::open(options).await {
            Ok((host, recovered)) => {
                tell_recovered(&recovered, printer);
                let tx = host.store.transaction(id).map_err(|error| error.to_string())?;
                printer.line(&format!("{}: {}", tx.id, tx.state.word()));
                return Ok(Exit::Done);
            }
            Err(HostError::Busy { .. }) if tokio::time::Instant::now() < end => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // Each try holds the lock, and keeps a person from his own.
            Err(HostError::Unfinished { .. }) if tokio::time::Instant::now() < end => {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

async fn give_back(options: &HostOptions, args: &RollbackArgs, printer: &mut Printer) -> Result<Exit, String> {
    held(options, false, printer)?;
    let host = open(options, printer).await?;
    let text = args.output == Form::Text;
    say_keeping(&host.store, printer);
    let mut survey = readable(&host, options, Which::Nothing, args.overwrite_edited, text, printer).await?;
    let left = survey.plan.leave_edited();
    if text {
        survey.tell(printer);
        left.iter().for_each(|refusal| tell_left(refusal, printer));
    }
    if survey.is_refused() {
        return Ok(ended(args.output, &survey, None, &left, printer));
    }
    let told = |error: HostError| error.to_string();
    let (is_settled, is_blank) = (survey.plan.is_settled(), host.store.is_blank().map_err(told)?);
    if text && is_settled && left.is_empty() {
        let has_snapshot = !host.store.record().map_err(told)?.snapshot.is_empty();
        printer.line(match is_blank {
            true if has_snapshot => {
                "nothing was changed on this host: nothing to do; the snapshot stays for the next change that stands"
            }
            true => "nothing of knotwork is on this host: nothing to do",
            false => "this host is as it was before knotwork; the policies are forgotten",
        });
    }
    if is_settled && is_blank {
        return Ok(ended(args.output, &survey, None, &left, printer));
    }
    let applied = carry_out(&host, &survey, (Confirm::No, DEAD_MAN), text, printer).await?;
    Ok(ended(args.output, &survey, Some(&applied), &left, printer))
}

/// What is asked for is done, whatever a policy says of the day when it goes; but that is said.
fn say_keeping(store: &Store, printer: &mut Printer) {
    for name in keeping(store) {
        printer.warn(&format!(
            "policy {name} has onDelete: Keep, which is for the day when a policy goes from its cluster: a rollback is asked for, \
             and gives everything back"
        ));
    }
}

/// The policies that count here and say that their end gives nothing back.
fn keeping(store: &Store) -> Vec<String> {
    let policies = load_policies(&[Input::parse(&store.accepted_file().display().to_string())]).policies;
    policies.into_iter().filter(|policy| policy.keep_on_delete).map(|policy| policy.name.to_string()).collect()
}

/// Looks at the host once it can be read: a resolved that was stopped since it is held is started, for only it knows what the
/// links have.
async fn readable(
    host: &Host,
    options: &HostOptions,
    which: Which<'_>,
    overwrite_edited: bool,
    text: bool,
    printer: &mut Printer,
) -> Result<Survey, String> {
    let first = survey(options, which, overwrite_edited, printer).await?;
    // What a person edited stays, and is no reason against the rest of a rollback.
    let mut others = first.plan.refusals.iter().filter(|refusal| refusal.reason != preflight::EDITED);
    let is_refused = match which {
        Which::Nothing => others.next().is_some(),
        _ => first.is_refused(),
    };
    if !first.plan.wakes || is_refused {
        return Ok(first);
    }
    if text {
        first.plan.needs.iter().for_each(|need| printer.line(&need.why));
        printer.flush();
    }
    host.wake(first.wish.systemd).await.map_err(|error| error.to_string())?;
    survey(options, which, overwrite_edited, printer).await
}

/// Refuses what an agent would undo at once. What the unit of the boot asks for, it does by itself.
fn held(options: &HostOptions, accepted: bool, printer: &mut Printer) -> Result<Option<Exit>, String> {
    match Store::look(&options.state).held_by() {
        Some(pid) if accepted => {
            printer.line(&format!("process {pid}, a knotwork agent, holds this host already"));
            Ok(Some(Exit::Done))
        }
        Some(pid) => Err(HostError::Held { pid }.to_string()),
        None => Ok(None),
    }
}

/// Locks the host, and says what was found half done.
async fn open(options: &HostOptions, printer: &mut Printer) -> Result<Host, String> {
    let (host, recovered) = Host::open(options).await.map_err(|error| error.to_string())?;
    tell_recovered(&recovered, printer);
    Ok(host)
}

fn tell_recovered(recovered: &[(Transaction, Undone)], printer: &mut Printer) {
    for (tx, undone) in recovered {
        printer.warn(&format!(
            "the change {} was left in the middle by an earlier run: it is undone ({})",
            tx.id,
            tx.state.word()
        ));
        tell_undone(undone, printer);
    }
}

async fn carry_out(
    host: &Host,
    survey: &Survey,
    ends: (Confirm, Duration),
    text: bool,
    printer: &mut Printer,
) -> Result<Applied, String> {
    let mut tell = |step: Step| {
        if text {
            said(&step, printer);
        }
    };
    let Survey { wish, facts, plan, text: policies, .. } = survey;
    host.apply(wish, facts, plan, policies.as_deref(), ends, &mut tell)
        .await
        .map_err(|error: HostError| error.to_string())
}

fn said(step: &Step, printer: &mut Printer) {
    let line = match step {
        Step::Began { id, dead_man, why } => match why {
            None => format!("change {id} begins; should this end in the middle, a timer undoes it ({dead_man})"),
            Some(why) => {
                format!("change {id} begins; should this end in the middle, the next start undoes it (no timer: {why})")
            }
        },
        Step::File(path, done) => format!("  {done} {path}"),
        Step::Service(done) => format!("  {done}"),
        Step::Link(name, false) => format!("  link {name} is as declared"),
        Step::Link(name, true) => format!("  link {name} is as it was"),
        Step::Probed(probed) => match &probed.wrong {
            None => format!("  probe {} passes ({} ms)", probed.name, probed.took.as_millis()),
            Some(wrong) => format!("  probe {} fails: {wrong}", probed.name),
        },
        Step::Uncounted(why) => format!("  probe {ANYBODY} does not count: {why}"),
        Step::Awaiting(time) => {
            format!(
                "  everything is in place: say `knotwork host confirm` within {} s, or it is undone",
                time.as_secs()
            )
        }
        Step::Undoing(why) => format!("{why}\neverything is put back"),
    };
    printer.line(&line);
    printer.flush();
}

fn ended(output: Form, survey: &Survey, applied: Option<&Applied>, left: &[Refusal], printer: &mut Printer) -> Exit {
    let failed = applied.and_then(|applied| applied.failed.as_ref());
    if output == Form::Json {
        let mut value = survey.json();
        value["applied"] = json!(applied.is_some() && failed.is_none());
        value["transaction"] = json!(applied.map(|applied| &applied.id));
        value["error"] =
            failed.map_or(Value::Null, |error| json!({"reason": error.reason(), "message": error.to_string()}));
        value["undone"] = applied.and_then(|applied| applied.undone.as_ref()).map_or(Value::Null, undone_json);
        value["left"] =
            left.iter().map(|one| json!({"reason": one.reason, "at": one.at, "message": one.message})).collect();
        value["probes"] = applied.map(|applied| &applied.probes).into_iter().flatten().map(probe_json).collect();
        printer.line(&format!("{value:#}"));
    } else if survey.is_refused() {
        printer.line(&printer.paint(Tone::Warn, "refused: nothing was changed"));
    } else if let Some(applied) = applied {
        match (&applied.failed, &applied.undone) {
            (None, _) if survey.under.is_none() => printer.line(&match left.is_empty() {
                true => format!("done: this host is as it was before knotwork ({})", applied.id),
                false => format!("done, but for what stays: the rest is as it was before knotwork ({})", applied.id),
            }),
            (None, _) if survey.wish.probes.is_empty() => {
                let proof = match applied.probes.iter().any(|probe| probe.name == ANYBODY) {
                    true => "no probe is declared, so no more was looked at than whether a server answers",
                    false => "no probe is declared, so no name was looked up to prove it",
                };
                printer.line(&format!("done: {} stands; {proof}", applied.id));
            }
            (None, _) => printer.line(&format!("done: {} stands", applied.id)),
            (Some(_), Some(undone)) => {
                tell_undone(undone, printer);
                let line = match undone.kept.is_empty() {
                    true => "nothing is left of it: this host is as it was",
                    false => "not everything could be put back",
                };
                printer.line(&printer.paint(Tone::Warn, line));
            }
            (Some(_), None) => {}
        }
    }
    match (applied, failed) {
        (_, Some(_)) => Exit::Error,
        (None, None) if survey.is_refused() => Exit::Left,
        _ if !left.is_empty() => Exit::Left,
        _ => Exit::Done,
    }
}

fn tell_undone(undone: &Undone, printer: &mut Printer) {
    undone.restored.iter().for_each(|path| printer.line(&format!("  {path} is as it was")));
    for (path, why) in &undone.kept {
        printer.line(&printer.paint(Tone::Warn, &format!("  {path} is not as it was: {why}")));
    }
}

fn tell_left(refusal: &Refusal, printer: &mut Printer) {
    printer.line(&printer.paint(Tone::Warn, &format!("! {} stays: {}", refusal.at, refusal.message)));
    printer.line(&format!("    {}", refusal.way_out));
}

fn undone_json(undone: &Undone) -> Value {
    let kept = undone.kept.iter().map(|(at, why)| json!({"at": at, "why": why}));
    json!({"restored": undone.restored, "kept": kept.collect::<Vec<_>>()})
}

pub(super) fn probe_json(probed: &crate::host::Probed) -> Value {
    json!({"name": probed.name, "passes": probed.wrong.is_none(), "message": probed.wrong, "milliseconds": probed.took.as_millis() as u64})
}

/// A past change for programs.
pub(super) fn tx_json(tx: &Transaction) -> Value {
    json!({
        "id": tx.id, "state": tx.state.word(), "started": tx.started, "ended": tx.ended, "policies": tx.policies,
        "files": tx.files.iter().map(|entry| &entry.path).collect::<Vec<_>>(),
        "links": tx.links.iter().map(|entry| &entry.before.name).collect::<Vec<_>>(),
        "deadMan": tx.dead_man, "confirmBy": tx.confirm_by, "reason": tx.reason, "message": tx.message,
    })
}
