//! Telling services that their files changed: reload or restart by release, never so often that systemd gives resolved up.

use std::time::Duration;

use super::error::HostError;
use super::journal::now;
use super::store::{Restarts, Store};
use crate::hostplan::{Effect, paths};
use crate::resolved::fault::step;
use crate::resolved::files::HostFiles;
use crate::resolved::network1::Network1;
use crate::resolved::nm::NetworkManager;
use crate::resolved::resolve1::Resolve1;
use crate::resolved::systemd1::{Systemd1, Unit};
use crate::resolved::{Bus, BusError, Reason};
use crate::split::facts::whose;
use crate::split::{RoutedDomain, SystemdVersion};

/// The unit of resolved.
pub(super) const RESOLVED: &str = "systemd-resolved.service";

/// Seconds between two restarts: five starts within ten seconds are systemd's limit (`DefaultStartLimitBurst=`), and we
/// are not the only one who restarts it.
const REST: u64 = 15;

/// How long resolved may take until it answers on the bus.
const COMING_UP: Duration = Duration::from_secs(20);

/// Reload instead of restart from this release on; before, SIGHUP kills it.
const RELOADS: SystemdVersion = SystemdVersion(256);

/// A reload writes resolved's files anew from this release on, and loses nothing by it (256 and 257 lose extra listeners).
const REWRITES: SystemdVersion = SystemdVersion(258);

/// A domain that a link gets for a moment, see [`rewritten`].
pub(super) const PASSING: &str = "~rewrite.knotwork.invalid";

/// Tells one service. Gives what was done, in words.
pub(super) async fn tell(
    bus: &Bus,
    memory: (&Store, &HostFiles),
    effect: Effect,
    version: SystemdVersion,
) -> Result<&'static str, HostError> {
    let done = told(bus, memory, effect, version).await?;
    if effect != Effect::None {
        step(&format!("{effect:?} is done"));
    }
    Ok(done)
}

async fn told(
    bus: &Bus,
    (store, files): (&Store, &HostFiles),
    effect: Effect,
    version: SystemdVersion,
) -> Result<&'static str, HostError> {
    match effect {
        Effect::None => Ok(""),
        Effect::ReloadSystemd => {
            Systemd1(bus).daemon_reload().await?;
            // A unit that is gone after it failed would be listed as failed for ever.
            let own = paths::split(paths::BOOT_UNIT).1;
            if let Ok(unit) = Systemd1(bus).unit(own).await
                && unit.load == "not-found"
                && unit.active == "failed"
            {
                Systemd1(bus).reset_failed(own).await?;
            }
            Ok("systemd read its units")
        }
        Effect::ReloadNetworkd => match Network1(bus).reload().await {
            Ok(()) => Ok("networkd read its files"),
            // It reads them when it starts.
            Err(gone) if gone.reason == Reason::Gone => Ok("networkd does not run"),
            Err(error) => Err(error.into()),
        },
        Effect::ReloadNetworkManager => match NetworkManager(bus).reload().await {
            Ok(()) => Ok("NetworkManager read its files"),
            Err(gone) if gone.reason == Reason::Gone => Ok("NetworkManager does not run"),
            Err(error) => Err(error.into()),
        },
        Effect::RewriteResolved => {
            let text = files.text(paths::RESOLV_CONF).unwrap_or_default();
            // What was done before in the same change may have had it written.
            if whose(&text).is_resolveds() {
                return Ok("");
            }
            match rewrite(bus, files, version).await {
                true => {
                    if version >= REWRITES {
                        reloaded(store);
                    }
                    Ok("resolved wrote its files anew")
                }
                false => restart(bus, store).await,
            }
        }
        Effect::ReloadResolved if version >= RELOADS => {
            let unit = Systemd1(bus).unit(RESOLVED).await?;
            if unit.active == "active" {
                reload(bus).await?;
                reloaded(store);
                return Ok("resolved read its files");
            }
            restart(bus, store).await
        }
        Effect::ReloadResolved | Effect::RestartResolved => restart(bus, store).await,
    }
}

/// Counts a reload; where that cannot be written down, the reload was one all the same.
fn reloaded(store: &Store) {
    let counted =
        store.restarts().and_then(|known| store.set_restarts(Restarts { reloads: known.reloads + 1, ..known }));
    if let Err(error) = counted {
        tracing::warn!(%error, "a reload is not counted");
    }
}

async fn reload(bus: &Bus) -> Result<(), HostError> {
    Systemd1(bus).reload(RESOLVED).await?;
    up(bus, "reload").await
}

/// Makes resolved write its files anew without a restart, which would leave the host without a resolver for its time.
/// Whether it did.
pub async fn rewrite(bus: &Bus, files: &HostFiles, version: SystemdVersion) -> bool {
    if version >= REWRITES {
        return reload(bus).await.is_ok();
    }
    // It has no call for that alone, and setting what is set already does nothing: a domain that nobody asks for comes to a
    // link and goes again [tried on 252 and 257].
    let resolved = Resolve1(bus);
    let Ok(manager) = resolved.manager().await else { return false };
    let Ok(passing) = PASSING.parse::<RoutedDomain>() else { return false };
    let mut links: Vec<u32> =
        manager.domains.into_iter().flatten().map(|(link, _)| link).filter(|link| *link > 0).collect();
    links.dedup();
    for link in links {
        let Ok(Some(mut domains)) = resolved.link(link).await.map(|link| link.domains) else { continue };
        // Left by a run that ended in the middle of this.
        domains.retain(|domain| *domain != passing);
        // The first routing domain of a link may turn its automatic default route.
        if domains.iter().all(RoutedDomain::is_search) {
            continue;
        }
        let with: Vec<RoutedDomain> = domains.iter().chain([&passing]).cloned().collect();
        // A link that networkd manages is refused.
        if resolved.links().set_domains(link, &with).await.is_err() {
            continue;
        }
        step("a link has the passing domain");
        let back = resolved.links().set_domains(link, &domains).await;
        let text = files.text(paths::RESOLV_CONF).unwrap_or_default();
        return back.is_ok() && whose(&text).is_resolveds();
    }
    false
}

/// Takes the domain away from links where a run that ended in the middle left it.
pub(super) async fn sweep(bus: &Bus) {
    let resolved = Resolve1(bus);
    let (Ok(manager), Ok(passing)) = (resolved.manager().await, PASSING.parse::<RoutedDomain>()) else { return };
    for (link, domain) in manager.domains.into_iter().flatten() {
        if domain == passing
            && let Ok(Some(mut domains)) = resolved.link(link).await.map(|link| link.domains)
        {
            domains.retain(|domain| *domain != passing);
            if let Err(error) = resolved.links().set_domains(link, &domains).await {
                tracing::warn!(%error, link, "a domain of ours is left on a link");
            }
        }
    }
}

/// How long resolved must be left alone yet before it is restarted; zero where it may be at once, or `effect` asks for no
/// restart.
pub(super) fn rest(store: &Store, effect: Effect, version: SystemdVersion) -> Result<Duration, HostError> {
    let restarts = effect == Effect::RestartResolved || (effect == Effect::ReloadResolved && version < RELOADS);
    let known = store.restarts()?;
    let due = if restarts { REST.saturating_sub(now().saturating_sub(known.last)) } else { 0 };
    let waits = known.waits();
    if due > 0 && waits != known {
        store.set_restarts(waits)?;
    }
    Ok(Duration::from_secs(due))
}

async fn restart(bus: &Bus, store: &Store) -> Result<&'static str, HostError> {
    let mut known = store.restarts()?;
    let since = now().saturating_sub(known.last);
    if since < REST {
        known = known.waits();
        tokio::time::sleep(Duration::from_secs(REST - since)).await;
    }
    store.set_restarts(Restarts { last: now(), count: known.count + 1, ..known })?;
    step("a restart is to be");
    let systemd = Systemd1(bus);
    let unit = idle(systemd).await?;
    if unit.load == "not-found" {
        return Ok("systemd-resolved is not here to be told");
    }
    if unit.active == "failed" || unit.hit_start_limit() {
        systemd.reset_failed(RESOLVED).await?;
        systemd.start(RESOLVED).await?;
    } else {
        systemd.restart(RESOLVED).await?;
    }
    step("resolved is starting");
    up(bus, "restart").await?;
    Ok("resolved was restarted")
}

/// The unit once nobody else's job is under way on it: ours would cancel that, and whoever asked for it would be told so.
async fn idle(systemd: Systemd1<'_>) -> Result<Unit, BusError> {
    let end = tokio::time::Instant::now() + COMING_UP;
    loop {
        let unit = systemd.unit(RESOLVED).await?;
        if !unit.has_job || tokio::time::Instant::now() >= end {
            return Ok(unit);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until resolved answers.
async fn up(bus: &Bus, what: &'static str) -> Result<(), HostError> {
    let end = tokio::time::Instant::now() + COMING_UP;
    loop {
        match Resolve1(bus).manager().await {
            Ok(_) => return Ok(()),
            Err(error) if tokio::time::Instant::now() >= end || !passes(&error) => {
                return Err(HostError::Service { unit: RESOLVED, what, why: error.to_string() });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn passes(error: &BusError) -> bool {
    error.reason.is_passing()
}
