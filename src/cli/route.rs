//! `route NAME`: which servers a host asks for a name, and why.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::args::{Door, Form, RouteArgs};
use super::exit::Exit;
use super::host_facts;
use super::printer::{Printer, Tone};
use super::route_policy::{self, Under};
use crate::model::{Name, RrType, reverse_name};
use crate::split::route::{Answer, Asked, Outcome, Path, Router, Why};
use crate::split::scope::ScopeId;
use crate::split::{HostFacts, SystemdVersion};

/// `knotwork route`.
pub fn route(args: &RouteArgs, printer: &mut Printer) -> Exit {
    match ask(args, printer) {
        Ok((told, under)) => {
            match args.output {
                Form::Json => {
                    let mut all: Vec<Value> = told.iter().map(Told::json).collect();
                    let mut value = match (&under, args.all) {
                        (_, false) => all.swap_remove(0),
                        (None, true) => Value::Array(all),
                        (Some(_), true) => json!({"routes": all}),
                    };
                    if let Some(under) = &under {
                        value["policy"] = under.json();
                    }
                    printer.line(&format!("{value:#}"));
                }
                Form::Text if args.all => told.iter().for_each(|told| told.row(printer)),
                Form::Text => told.iter().for_each(|told| told.text(printer)),
            }
            let refused = told.iter().flat_map(|told| &told.answers).any(|answer| answer.outcome == "refused");
            if let (Some(under), Form::Text) = (&under, args.output) {
                under.tell(printer);
            }
            let refused = refused && !args.all || under.is_some_and(|under| under.is_refused());
            if refused { Exit::Left } else { Exit::Done }
        }
        Err(error) => {
            printer.error(&error);
            Exit::Error
        }
    }
}

fn ask(args: &RouteArgs, printer: &mut Printer) -> Result<(Vec<Told>, Option<Under>), String> {
    let rtype = RrType::parse(&args.rtype)
        .ok_or_else(|| format!("\"{}\" is not a record type; write A, AAAA, TXT … or TYPE123", args.rtype))?;
    let at: Option<SystemdVersion> = match &args.at {
        Some(text) => Some(text.parse().map_err(|error| format!("--at: {error}"))?),
        None => None,
    };
    let mut facts = facts(args, at, printer)?;
    let mut under = None;
    if !args.inputs.is_empty() {
        let version = at.or(facts.systemd).unwrap_or(SystemdVersion::NEWEST);
        let found = route_policy::under(&args.inputs, &facts, version, printer)?;
        facts.clone_from(&found.facts);
        under = Some(found);
    }
    let router = match at {
        Some(version) => Router::at(&facts, version),
        None => Router::new(&facts),
    };
    let path = match args.path {
        Door::Nss => Path::Nss,
        Door::Stub => Path::Stub,
    };
    let told = match &args.name {
        Some(text) => {
            let name = Name::parse(text).map_err(|error| format!("\"{text}\": {error}"))?;
            let is_forward = matches!(rtype, RrType::A | RrType::AAAA);
            if let Some(address) = text.parse::<IpAddr>().ok().filter(|_| is_forward) {
                let reverse = reverse_name(address).to_relaxed();
                printer.warn(&format!(
                    "\"{text}\" is an address, and is asked for as a name here; for the name of the address: knotwork route \
                     {reverse} -t PTR"
                ));
            }
            vec![Told::new(&router, &name, name.to_relaxed(), rtype, path)]
        }
        None => {
            let rows = rows(&router).into_iter();
            rows.map(|(shown, name)| Told::new(&router, &name, shown, rtype, path)).collect()
        }
    };
    Ok((told, under))
}

/// The rows of `--all`: how each is shown, and the name that is asked for it.
fn rows(router: &Router) -> Vec<(String, Name)> {
    let mut rows: Vec<(String, Name)> = Vec::new();
    for domain in router.domains() {
        rows.extend(domain.child(b"*").ok().filter(|_| !domain.is_root()).map(|name| (name.to_relaxed(), name)));
    }
    // Names of one label have rules of their own, and are nobody's "everything else".
    let rest = Name::root().child(b"*").and_then(|name| name.child(b"*"));
    rows.extend(rest.ok().map(|name| ("*".to_owned(), name)));
    rows
}

/// The host: as recorded, as it is, or for policies on a machine without resolved, one without links of its own.
fn facts(args: &RouteArgs, at: Option<SystemdVersion>, printer: &mut Printer) -> Result<HostFacts, String> {
    if let Some(file) = &args.facts {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        return HostFacts::from_json(&text).map_err(|error| format!("{}: {error}", file.display()));
    }
    let found = host_facts::live(&args.place)?;
    let has_resolved = found.facts.services.resolver_owner.as_deref().is_some_and(|owner| !owner.is_empty());
    if !args.inputs.is_empty() && !has_resolved {
        // Any machine: what a policy does on a host is asked where none is at hand, too.
        return Ok(route_policy::bare(at));
    }
    if !has_resolved {
        let why = found.unread.first().map_or_else(String::new, |unread| format!(" ({}: {})", unread.what, unread.why));
        return Err(format!(
            "systemd-resolved does not run on this host{why}; give what was recorded of another with --facts FILE"
        ));
    }
    host_facts::warn(&found.unread, printer);
    Ok(found.facts)
}

/// A name and all that may become of it.
struct Told {
    name: String,
    rtype: RrType,
    path: Path,
    answers: Vec<ToldAnswer>,
    unknown: Vec<String>,
}

struct ToldAnswer {
    assuming: Vec<String>,
    systemd: SystemdVersion,
    outcome: &'static str,
    why: Option<&'static str>,
    asked: Vec<ToldAsked>,
    fail_closed: bool,
}

struct ToldAsked {
    fqdn: String,
    then: Vec<String>,
    scope: String,
    /// Whether it goes with its link.
    vanishes: bool,
    domain: Option<String>,
    labels: Option<usize>,
    current: Option<String>,
    servers: Vec<String>,
    why: String,
}

impl Told {
    fn new(router: &Router, asked: &Name, name: String, rtype: RrType, path: Path) -> Told {
        // The table of --all asks for the domain's names: a star stands for one label more.
        let mut answers: Vec<ToldAnswer> = router.answers(asked, rtype, path).iter().map(ToldAnswer::new).collect();
        let stand_in = asked.to_relaxed();
        for one in answers.iter_mut().flat_map(|answer| &mut answer.asked).filter(|one| one.fqdn == stand_in) {
            one.fqdn.clone_from(&name);
        }
        let mut unknown: Vec<String> = router.blanks().map(str::to_owned).collect();
        if router.untried() > 0 {
            unknown.push(format!("{} further facts about links", router.untried()));
        }
        Told { name, rtype, path, answers, unknown }
    }

    fn json(&self) -> Value {
        let mut first = self.answers.first().map(ToldAnswer::json).unwrap_or_else(|| json!({}));
        let mut value = json!({
            "name": self.name,
            "type": self.rtype.to_string(),
            "path": self.path.to_string(),
        });
        if let (Some(into), Some(from)) = (value.as_object_mut(), first.as_object_mut()) {
            into.append(from);
            if let Some(others) = self.answers.get(1..).filter(|others| !others.is_empty()) {
                into.insert("alternatives".into(), others.iter().map(ToldAnswer::json).collect());
            }
            if !self.unknown.is_empty() {
                into.insert("unknown".into(), json!(self.unknown));
            }
        }
        value
    }

    fn text(&self, printer: &mut Printer) {
        let head = format!("{} {} by {}", self.name, self.rtype, self.path);
        printer.line(&printer.paint(Tone::Bold, &head));
        for answer in &self.answers {
            answer.text(printer);
        }
        self.warn(printer);
    }

    fn row(&self, printer: &mut Printer) {
        for answer in &self.answers {
            let servers: Vec<String> =
                answer.asked.iter().map(|asked| format!("{} ({})", asked.server(), asked.scope)).collect();
            let to = if servers.is_empty() { answer.outcome.to_owned() } else { servers.join(" and ") };
            let closed = if answer.fail_closed { "  fails closed" } else { "" };
            let assuming = match answer.assuming.as_slice() {
                [] => String::new(),
                some => format!("  if {}", some.join(", ")),
            };
            printer.line(&format!("{:<32} {to}{closed}{assuming}", self.name));
        }
    }

    fn warn(&self, printer: &mut Printer) {
        if !self.unknown.is_empty() {
            printer.warn(&format!("not known, and it may change the answer: {}", self.unknown.join(", ")));
        }
    }
}

impl ToldAnswer {
    fn new(answer: &Answer<'_>) -> ToldAnswer {
        ToldAnswer {
            assuming: answer.assuming.clone(),
            systemd: answer.systemd,
            outcome: answer.route.outcome.word(),
            why: match &answer.route.outcome {
                Outcome::Local(local) => Some(local.why()),
                Outcome::Refused => Some("no scope of this host takes such a name: nobody is asked"),
                Outcome::Network => None,
            },
            asked: answer.route.asked.iter().map(ToldAsked::new).collect(),
            fail_closed: answer.fail_closed,
        }
    }

    fn json(&self) -> Value {
        let asked: Vec<Value> = self.asked.iter().map(ToldAsked::json).collect();
        let mut value = json!({
            "systemd": self.systemd.0,
            "outcome": self.outcome,
            "asked": asked,
            "failClosed": self.fail_closed,
        });
        if let Some(into) = value.as_object_mut() {
            if let Some(why) = self.why {
                into.insert("why".into(), json!(why));
            }
            if !self.assuming.is_empty() {
                into.insert("assuming".into(), json!(self.assuming));
            }
        }
        value
    }

    fn text(&self, printer: &mut Printer) {
        if !self.assuming.is_empty() {
            printer.line(&printer.paint(Tone::Warn, &format!("if {}:", self.assuming.join(", "))));
        }
        match self.why {
            Some(why) => printer.line(&format!("  {}: {why}", self.outcome)),
            None if self.asked.len() > 1 => {
                printer.line(&format!("  asked of {} scopes at once; the first good answer wins", self.asked.len()));
            }
            None => {}
        }
        for asked in &self.asked {
            printer.line(&format!("  {} asks {} for {}: {}", asked.scope, asked.server(), asked.fqdn, asked.why));
            if asked.servers.len() > 1 {
                printer.line(&format!("    servers of this scope, one at a time: {}", asked.servers.join(", ")));
            }
            if !asked.then.is_empty() {
                printer.line(&format!("    where that fails: {}", asked.then.join(", ")));
            }
        }
        let links = self.asked.iter().filter(|asked| asked.vanishes).count();
        if links > 0 {
            let which = if links == 1 { "this link vanishes" } else { "these links vanish" };
            printer.line(&match self.fail_closed {
                true => format!("  when {which}, nobody else is asked"),
                false => format!("  when {which}, other servers are asked"),
            });
        } else if !self.asked.is_empty() {
            printer.line("  this hangs on no link that could vanish: nobody else is asked");
        }
    }
}

impl ToldAsked {
    fn new(asked: &Asked<'_>) -> ToldAsked {
        let labels = asked.domain().map(crate::split::RoutedDomain::labels);
        ToldAsked {
            fqdn: asked.fqdn.to_relaxed(),
            then: asked.then.iter().map(Name::to_relaxed).collect(),
            scope: asked.scope.id.to_string(),
            vanishes: matches!(asked.scope.id, ScopeId::Link(_)),
            domain: asked.domain().map(ToString::to_string),
            labels,
            current: asked.scope.current.as_ref().map(ToString::to_string),
            servers: asked.scope.servers.iter().map(ToString::to_string).collect(),
            why: why(&asked.why),
        }
    }

    fn server(&self) -> &str {
        self.current.as_deref().or(self.servers.first().map(String::as_str)).unwrap_or("no server")
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "fqdn": self.fqdn,
            "scope": self.scope,
            "domain": self.domain,
            "labels": self.labels,
            "current": self.current,
            "servers": self.servers,
            "why": self.why,
        });
        if let (Some(into), false) = (value.as_object_mut(), self.then.is_empty()) {
            into.insert("then".into(), json!(self.then));
        }
        value
    }
}

fn why(why: &Why<'_>) -> String {
    match why {
        Why::Domain(domain) if domain.name.is_root() => {
            "its domain ~. takes every name that nothing fits better".into()
        }
        Why::Domain(domain) => match domain.labels() {
            1 => format!("its domain {domain} fits best (1 label)"),
            labels => format!("its domain {domain} fits best ({labels} labels)"),
        },
        Why::Search => "it has search domains, and single-label names go to those".into(),
        Why::SingleLabel => "ResolveUnicastSingleLabel=yes".into(),
        Why::Subnet(address, prefix) => format!("the address lies in the subnet of its address {address}/{prefix}"),
        Why::DefaultRoute => "no domain fits, and it takes such names".into(),
        Why::LastResort => "no domain fits, and nothing but the fallback servers is left".into(),
    }
}

#[cfg(test)]
#[path = "route_rows_tests.rs"]
mod tests;
