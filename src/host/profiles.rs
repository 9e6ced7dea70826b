//! Profiles of NetworkManager: written by it, brought into force without taking the link down, and read back at resolved,
//! which it tells in its own time.

use std::time::Duration;

use super::error::HostError;
use super::journal::ProfileEntry;
use super::links;
use super::transaction::{Step, Tell};
use super::undo::Undone;
use crate::hostplan::{HostPlan, ProfileStep, mechanisms};
use crate::resolved::nm::NetworkManager;
use crate::resolved::nm_profiles::answers;
use crate::resolved::systemd1::{NETWORK_MANAGER, Systemd1};
use crate::resolved::{Bus, BusError, Reason};
use crate::split::facts::{Link, only};
use crate::split::wish::LinkWish;

/// How long NetworkManager may take until resolved has what a profile says: a lease may have to come first.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);

/// After this time it is asked to tell resolved once more.
const AGAIN: Duration = Duration::from_secs(3);

/// How long a link may take to have again what it had before us: its lease may be another one by now.
const BACK_WITHIN: Duration = Duration::from_secs(8);

/// Writes a profile and brings it into force. What resolved makes of it is not waited for, unless it gives something back.
///
/// # Errors
/// [`HostError::Bus`].
pub(super) async fn set(bus: &Bus, step: &ProfileStep) -> Result<(), HostError> {
    let nm = NetworkManager(bus);
    nm.write(&step.uuid, &step.to).await?;
    nm.enforce(&step.link, &step.uuid, &step.to).await?;
    if let Some(was) = &step.was {
        await_back(bus, was).await;
    }
    Ok(())
}

/// All profiles of a plan that change, but those that are done already; tells of links that got back what they had. The
/// others are told of when resolved shows them as wished.
///
/// # Errors
/// Of the first that is not taken.
pub(super) async fn set_all(bus: &Bus, plan: &HostPlan, done: &[String], tell: Tell<'_>) -> Result<(), HostError> {
    for step in plan.profiles.iter().filter(|step| step.is_change() && !done.contains(&step.uuid)) {
        set(bus, step).await?;
        if step.restores {
            tell(Step::Link(step.link.clone(), true));
        }
    }
    Ok(())
}

/// A link that NetworkManager carries, once resolved shows it as wished.
///
/// # Errors
/// [`HostError::NotTaken`] with what differs in the end.
pub(super) async fn await_taken(bus: &Bus, wish: &LinkWish, is_overruled: bool) -> Result<Link, HostError> {
    if is_overruled {
        NetworkManager(bus).push().await?;
    }
    match links::await_taken(bus, wish, AGAIN).await {
        Err(HostError::NotTaken { .. }) => {
            NetworkManager(bus).push().await?;
            nudged(bus, &wish.name).await;
            links::await_taken(bus, wish, TAKEN_WITHIN).await
        }
        other => other,
    }
}

/// Waits for a link to have again what it had, and gives up in silence: it may never be so again.
async fn await_back(bus: &Bus, was: &Link) {
    let wish = mechanisms::as_it_was(was);
    if links::await_taken(bus, &wish, AGAIN).await.is_ok() {
        return;
    }
    nudged(bus, &was.name).await;
    if let Err(error) = links::await_taken(bus, &wish, BACK_WITHIN).await {
        tracing::info!(link = was.name, %error, "the profile is as it was, and the link has something else by now");
    }
}

/// NetworkManager may have missed its own lease; whether that was it shows by itself.
async fn nudged(bus: &Bus, link: &str) {
    if let Err(error) = NetworkManager(bus).nudge(link).await {
        tracing::info!(link, %error, "NetworkManager would not configure the link once more");
    }
}

/// Gives a profile back what our settings were, where they are as we left them.
pub(super) async fn undo(bus: &Bus, entry: &ProfileEntry, undone: &mut Undone) {
    let at = format!("profile {}", entry.id);
    let nm = NetworkManager(bus);
    let now = match nm.profile(&entry.uuid).await {
        Ok(Some(now)) => only(&now.settings, entry.before.keys()),
        // It was taken away, and our settings went with it.
        Ok(None) => return,
        Err(error) => return undone.kept.push((at, error.to_string())),
    };
    let edited: Vec<&str> = now
        .iter()
        .filter(|(key, is)| entry.before.get(*key) != Some(is) && entry.left.get(*key) != Some(is))
        .map(|(key, _)| key.as_str())
        .collect();
    if !edited.is_empty() {
        let why = format!("somebody changed {} since: it is left as it is now", edited.join(", "));
        return undone.kept.push((at, why));
    }
    let done = async {
        nm.write(&entry.uuid, &entry.before).await?;
        // The one before us may have died between the two.
        nm.enforce(&entry.link, &entry.uuid, &entry.before).await
    };
    match done.await {
        Ok(()) => {
            if let Some(was) = &entry.was {
                await_back(bus, was).await;
            }
            if now != entry.before {
                undone.restored.push(at);
            }
        }
        Err(error) => undone.kept.push((at, error.to_string())),
    }
}

/// Why NetworkManager cannot be told now and may be later.
pub(super) async fn is_away(bus: &Bus) -> Option<String> {
    let silent: BusError = answers(bus).await.err()?;
    match Systemd1(bus).unit(NETWORK_MANAGER).await {
        Ok(unit) if unit.load == "loaded" && !unit.is_masked() => {
            Some(format!("{NETWORK_MANAGER} is {} and does not answer: {silent}", unit.active))
        }
        Ok(_) if silent.reason != Reason::Gone => Some(silent.to_string()),
        // Not here any more: nobody reads its profiles.
        _ => None,
    }
}
