//! NetworkManager's profiles: those in force on its links, and those that somebody asks for.

use super::Work;
use crate::resolved::nm::NetworkManager;
use crate::split::HostFacts;
use crate::split::facts::{self, Manager, Profile};

/// Reads them; `also` are the UUIDs of profiles that are not in force and of interest all the same.
pub(super) async fn gather(work: &mut Work, facts: &mut HostFacts, also: &[String]) {
    let runs = super::services::runs(work, crate::resolved::nm::NAME).await;
    let (Some(bus), Some(runs)) = (work.bus.clone(), runs) else { return };
    if !runs {
        let profiles = also.is_empty().then(Vec::new);
        facts.network_manager = Some(facts::NetworkManager { running: Some(false), version: None, profiles });
        return;
    }
    let nm = NetworkManager(&bus);
    let mut found = facts::NetworkManager { running: Some(true), version: None, profiles: None };
    let asked = nm.version().await;
    let Some(version) = work.bus("NetworkManager's version", asked) else {
        facts.network_manager = Some(found);
        return;
    };
    (found.version, found.profiles) = (version, Some(Vec::new()));
    let links: Vec<String> = facts
        .links
        .iter()
        .flatten()
        .filter(|link| link.managed_by == Manager::NetworkManager)
        .map(|link| link.name.clone())
        .collect();
    let mut all: Vec<Profile> = Vec::new();
    for link in links {
        let asked = on(nm, &link).await;
        match work.bus(&format!("NetworkManager's profile of {link}"), asked) {
            Some(Some(profile)) => match all.iter_mut().find(|known| known.uuid == profile.uuid) {
                Some(known) => known.devices.push(link),
                None => all.push(profile),
            },
            Some(None) => {}
            None => found.profiles = None,
        }
    }
    for uuid in also {
        if all.iter().any(|known| known.uuid == *uuid) {
            continue;
        }
        let asked = nm.profile(uuid).await;
        match work.bus(&format!("NetworkManager's profile {uuid}"), asked) {
            Some(profile) => all.extend(profile),
            None => found.profiles = None,
        }
    }
    if let Some(profiles) = &mut found.profiles {
        *profiles = all;
    }
    facts.network_manager = Some(found);
}

async fn on(nm: NetworkManager<'_>, link: &str) -> Result<Option<Profile>, crate::resolved::BusError> {
    let Some(device) = nm.device(link).await? else { return Ok(None) };
    let Some(path) = &device.profile else { return Ok(None) };
    let mut profile = nm.profile_at(path).await?;
    profile.devices.push(link.to_owned());
    (profile.gateway4, profile.gateway6) = nm.gateways(&device.path).await?;
    // It may be on its way up or down.
    profile.applied = nm.applied(&device.path).await.ok();
    Ok(Some(profile))
}
