//! Telling services that their files changed: reload or restart by release, never so often that systemd gives resolved up.

use std::time::Duration;

use super::error::HostError;
use super::journal::now;
use super::store::{Restarts, Store};
use crate::hostplan::Effect;
use crate::resolved::network1::Network1;
use crate::resolved::nm::NetworkManager;
use crate::resolved::resolve1::Resolve1;
use crate::resolved::systemd1::Systemd1;
use crate::resolved::{Bus, BusError, Reason};
use crate::split::SystemdVersion;

/// The unit of resolved.
const RESOLVED: &str = "systemd-resolved.service";

/// Seconds between two restarts: five starts within ten seconds are systemd's limit (`DefaultStartLimitBurst=`), and we
/// are not the only one who restarts it.
const REST: u64 = 15;

/// How long resolved may take until it answers on the bus.
const COMING_UP: Duration = Duration::from_secs(20);

/// Reload instead of restart from this release on; before, SIGHUP kills it.
const RELOADS: SystemdVersion = SystemdVersion(256);

/// Tells one service. Gives what was done, in words.
pub(super) async fn tell(
    bus: &Bus,
    store: &Store,
    effect: Effect,
    version: SystemdVersion,
) -> Result<&'static str, HostError> {
    match effect {
        Effect::None => Ok(""),
        Effect::ReloadSystemd => {
            Systemd1(bus).daemon_reload().await.map(|()| "systemd read its units").map_err(Into::into)
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
        Effect::ReloadResolved if version >= RELOADS => {
            let unit = Systemd1(bus).unit(RESOLVED).await?;
            if unit.active == "active" {
                Systemd1(bus).reload(RESOLVED).await?;
                up(bus, "reload").await?;
                return Ok("resolved read its files");
            }
            restart(bus, store).await
        }
        Effect::ReloadResolved | Effect::RestartResolved => restart(bus, store).await,
    }
}

async fn restart(bus: &Bus, store: &Store) -> Result<&'static str, HostError> {
    let Restarts { last, count } = store.restarts()?;
    let since = now().saturating_sub(last);
    if since < REST {
        tokio::time::sleep(Duration::from_secs(REST - since)).await;
    }
    store.set_restarts(Restarts { last: now(), count: count + 1 })?;
    let systemd = Systemd1(bus);
    let unit = systemd.unit(RESOLVED).await?;
    if unit.active == "failed" || unit.hit_start_limit() {
        systemd.reset_failed(RESOLVED).await?;
        systemd.start(RESOLVED).await?;
    } else {
        systemd.restart(RESOLVED).await?;
    }
    up(bus, "restart").await?;
    Ok("resolved was restarted")
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
