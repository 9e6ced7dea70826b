//! `host facts`: what this host is, for people and for use on another machine.

use super::args::{Form, HostPlace};
use super::exit::Exit;
use super::printer::{Printer, Tone};
use crate::resolved::gather::{Gathered, Sources, Unread, gather};
use crate::split::HostFacts;
use crate::split::facts::{DefaultRoute, Link, Manager};

/// `knotwork host facts`.
pub async fn facts(place: &HostPlace, output: Form, printer: &mut Printer) -> Exit {
    let found = gather(&sources(place)).await;
    match output {
        Form::Json => printer.line(&format!("{:#}", found.facts.to_json())),
        Form::Text => text(&found.facts, printer),
    }
    warn(&found.unread, printer);
    Exit::Done
}

/// Where a command looks for the host.
pub(super) fn sources(place: &HostPlace) -> Sources {
    Sources { root: place.root.clone(), bus: place.bus.clone(), profiles: Vec::new() }
}

/// The facts of this host, for commands that run outside the runtime.
///
/// # Errors
/// The runtime could not be started.
pub(super) fn live(place: &HostPlace) -> Result<Gathered, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime could not be started: {error}"))?;
    Ok(runtime.block_on(gather(&sources(place))))
}

/// Says what could not be read.
pub(super) fn warn(all: &[Unread], printer: &mut Printer) {
    for unread in all {
        printer.warn(&format!("not known: {}: {}", unread.what, unread.why));
    }
}

fn text(facts: &HostFacts, printer: &mut Printer) {
    let unknown = || "unknown".to_owned();
    let host = facts.hostname.clone().unwrap_or_else(unknown);
    let systemd = facts.systemd_package.clone().or(facts.systemd.map(|version| version.to_string()));
    printer.line(&printer.paint(Tone::Bold, &format!("{host}: systemd {}", systemd.unwrap_or_else(unknown))));
    for (name, unit) in [
        ("systemd-resolved", &facts.services.resolved),
        ("systemd-networkd", &facts.services.networkd),
        ("NetworkManager", &facts.services.network_manager),
    ] {
        if let Some(unit) = unit {
            let active = unit.active.as_deref().unwrap_or("unknown");
            printer.line(&format!("  {name:<18} {} {active}", unit.load));
        }
    }
    if let Some(owner) = facts.services.resolver_owner.as_deref().filter(|owner| !owner.is_empty()) {
        printer.line(&format!("  resolver           {owner}"));
    }
    if let Some(conf) = &facts.resolv_conf {
        let to = conf.target.as_deref().map(|target| format!(" -> {target}")).unwrap_or_default();
        let kind = words(&serde_json::json!(conf.kind));
        let content = words(&serde_json::json!(conf.content));
        printer.line(&format!("  /etc/resolv.conf   {kind}{to}, content: {content}"));
    }
    let global = &facts.global;
    let imported = if global.imported == Some(true) { " (imported from resolv.conf)" } else { "" };
    printer.line(&format!(
        "  global             servers {}{imported}, domains {}",
        list(&global.servers),
        list(&global.domains)
    ));
    let in_use = if global.fallback_in_use == Some(true) { " (in use)" } else { "" };
    printer.line(&format!("  fallback           {}{in_use}", list(&global.fallback)));
    for link in facts.links.iter().flatten().filter(|link| link.state.loopback != Some(true)) {
        printer.line(&format!("  link {}", one_link(link)));
    }
    for delegate in facts.delegates.iter().flatten() {
        let (servers, domains) = (list(&delegate.servers), list(&delegate.domains));
        printer.line(&format!("  delegate {}: servers {servers}, domains {domains}", delegate.id));
    }
    for listener in facts.listeners.iter().flatten() {
        let program = listener.program.as_deref().unwrap_or("an unknown program");
        printer.line(&format!("  port 53: {program} listens on {} ({})", listener.address, listener.protocol));
    }
    if let Some(kubelet) = &facts.kubelet {
        let (flavour, file) = (kubelet.flavour.as_deref(), kubelet.resolv_conf.as_deref());
        let (flavour, file) = (flavour.unwrap_or("kubelet"), file.unwrap_or("a resolv.conf of its own choice"));
        printer.line(&format!("  {flavour} hands {file} to pods"));
    }
    if let Some(containers) = facts.proxmox.as_ref().and_then(|proxmox| proxmox.containers_on_host_dns.as_ref()) {
        printer.line(&format!("  Proxmox containers that copy the host's DNS: {}", list(&Some(containers.clone()))));
    }
}

fn one_link(link: &Link) -> String {
    let state = link.state.operstate.as_deref().unwrap_or("unknown");
    let manager = match link.managed_by {
        Manager::Unknown => "managed by nobody knows whom",
        Manager::None => "managed by nobody",
        Manager::Networkd => "managed by networkd",
        Manager::NetworkManager => "managed by NetworkManager",
        Manager::Ifupdown => "managed by ifupdown",
        Manager::Ifupdown2 => "managed by ifupdown2",
    };
    let route = match (link.default_route, link.default_route_effective) {
        (DefaultRoute::Yes, _) => "default route: yes",
        (DefaultRoute::No, _) => "default route: no",
        (DefaultRoute::Automatic, _) => "default route: automatic",
        (DefaultRoute::Unknown, Some(true)) => "default route: yes, set or automatic",
        (DefaultRoute::Unknown, Some(false)) => "default route: no, set or automatic",
        (DefaultRoute::Unknown, None) => "default route: unknown",
    };
    let (servers, domains) = (list(&link.servers), list(&link.domains));
    format!("{} ({state}, {manager}): servers {servers}, domains {domains}, {route}", link.name)
}

fn list<T: ToString>(all: &Option<Vec<T>>) -> String {
    match all.as_deref() {
        None => "unknown".into(),
        Some([]) => "none".into(),
        Some(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn words(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
