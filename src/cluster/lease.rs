//! Who leads: a Lease in the way of client-go, whose expiry goes by what was observed and when, never by another host's
//! clock. It keeps two replicas from doing the same work; what keeps them from harm is the fence in the zone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::api::PostParams;
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{CallError, Resource};

/// How a Lease is kept.
#[derive(Debug, Clone)]
pub struct LeaseSettings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are: unique to this process.
    pub identity: String,
    /// How long a holder that is silent keeps it.
    pub duration: Duration,
    /// Between two renewals, or two looks.
    pub period: Duration,
}

impl LeaseSettings {
    /// A holder stops to write when it could not renew for this long: two thirds of what others wait.
    fn deadline(&self) -> Duration {
        self.duration * 2 / 3
    }
}

/// What a Lease says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// When it was renewed, by the holder's clock: only ever compared with itself.
    pub renewed: String,
    /// How often it changed hands.
    pub transitions: i64,
    /// For how long it holds.
    pub duration: Duration,
}

/// What to do about a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is ours: renew it.
    Renew,
    /// It is nobody's, or its holder was silent for too long: take it.
    Take,
    /// Somebody else's.
    Wait,
}

/// Decides. `unchanged_for`: how long the Lease has said the same, by our own clock.
pub fn decide(sight: &Sight, me: &str, unchanged_for: Duration) -> Decision {
    if sight.holder == me {
        Decision::Renew
    } else if sight.holder == UNINSTALLING {
        // Somebody takes everything down: nobody is to lead again.
        Decision::Wait
    } else if sight.holder.is_empty() || unchanged_for >= sight.duration {
        Decision::Take
    } else {
        Decision::Wait
    }
}

/// The holder that nobody takes the Lease from: `knotwork uninstall`.
const UNINSTALLING: &str = "uninstalling";

/// Whether we lead, as others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leading {
    /// Since we took it for the n-th time.
    Yes(u64),
    /// Who does, if anybody is known to.
    No(Option<String>),
}

/// Until when we may write. Counted by a clock that goes on while the machine sleeps.
#[derive(Debug, Clone, Default)]
pub struct Lead(Arc<AtomicU64>);

impl Lead {
    /// Whether we may write now.
    pub fn holds(&self) -> bool {
        now() < self.0.load(Ordering::SeqCst)
    }

    fn until(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

/// Milliseconds since the machine started, its sleep included.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Keeps the Lease until `stop`, then gives it back. `told` hears whether we lead; `lead` is what every write asks.
/// The last value is told after the Lease was given back: whoever leads stops its work before it cancels `stop`.
pub async fn keep(
    client: Client,
    settings: LeaseSettings,
    lead: Lead,
    told: watch::Sender<Leading>,
    errors: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let api = Api::namespaced_with(client, &settings.namespace, &Resource::Lease.api());
    let mut keeper =
        Keeper { api, settings, lead, told, errors, seen: None, term: 0, complained: None, version: String::new() };
    loop {
        keeper.look().await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(keeper.settings.period) => {}
        }
    }
    keeper.give_back().await;
}

struct Keeper {
    api: Api<DynamicObject>,
    settings: LeaseSettings,
    lead: Lead,
    told: watch::Sender<Leading>,
    errors: Arc<AtomicU64>,
    /// What it said when it last changed, and when that was.
    seen: Option<(Sight, u64)>,
    version: String,
    term: u64,
    complained: Option<&'static str>,
}

impl Keeper {
    async fn look(&mut self) {
        let began = now();
        let deadline = self.settings.deadline() / 2;
        let result = match tokio::time::timeout(deadline, self.step(began)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Late { what: "renew the lease", after: deadline }),
        };
        match result {
            Ok(leading) => {
                self.complained = None;
                self.say(leading);
            }
            Err(error) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                // A lost race says nothing about anything; the next look shows who won.
                let word = error.word();
                if self.complained != Some(word) && !error.is_outdated() {
                    self.complained = Some(word);
                    tracing::warn!(reason = word, lease = %self.settings.name, "{error}");
                }
                if !self.lead.holds() {
                    self.say(Leading::No(None));
                }
            }
        }
    }

    fn say(&mut self, leading: Leading) {
        let leading = match leading {
            // A term begins when we did not lead before.
            Leading::Yes(_) => {
                if !matches!(*self.told.borrow(), Leading::Yes(_)) {
                    self.term += 1;
                }
                Leading::Yes(self.term)
            }
            no => no,
        };
        self.told.send_if_modified(|told| std::mem::replace(told, leading.clone()) != leading);
    }

    async fn step(&mut self, began: u64) -> Result<Leading, CallError> {
        let what = "read the lease";
        let lease = self.api.get_opt(&self.settings.name).await.map_err(|error| CallError::of(what, error))?;
        let Some(lease) = lease else {
            let sight = Sight { transitions: -1, ..Sight::default() };
            return self.write(None, &sight, began).await;
        };
        let sight = sight(&lease.data);
        self.version = lease.metadata.resource_version.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(known, _)| *known != sight) {
            self.seen = Some((sight.clone(), began));
        }
        let since = self.seen.as_ref().map_or(began, |(_, since)| *since);
        match decide(&sight, &self.settings.identity, Duration::from_millis(began.saturating_sub(since))) {
            Decision::Wait => {
                // Whatever we believed, somebody else leads.
                self.lead.until(0);
                Ok(Leading::No(Some(sight.holder).filter(|holder| !holder.is_empty())))
            }
            Decision::Renew | Decision::Take => self.write(Some(lease), &sight, began).await,
        }
    }

    /// Writes ourselves into it, pinned to what was read.
    async fn write(&mut self, lease: Option<DynamicObject>, sight: &Sight, began: u64) -> Result<Leading, CallError> {
        let what = "renew the lease";
        let time = format!("{:.6}", jiff::Timestamp::now());
        let ours = sight.holder == self.settings.identity;
        let fresh = lease.is_none();
        let mut lease = match lease {
            Some(lease) => lease,
            None => DynamicObject::new(&self.settings.name, &Resource::Lease.api()),
        };
        let spec = lease.data.get("spec").cloned().filter(Value::is_object);
        let mut spec = spec.unwrap_or_else(|| json!({}));
        spec["holderIdentity"] = json!(self.settings.identity);
        spec["leaseDurationSeconds"] = json!(self.settings.duration.as_secs().max(1));
        spec["renewTime"] = json!(time);
        if !ours {
            spec["acquireTime"] = json!(time);
            spec["leaseTransitions"] = json!(sight.transitions + 1);
        }
        lease.data = json!({ "spec": spec });
        let params = PostParams::default();
        let written = if fresh {
            self.api.create(&params, &lease).await
        } else {
            self.api.replace(&self.settings.name, &params, &lease).await
        };
        let written = written.map_err(|error| CallError::of(what, error))?;
        self.seen = Some((self::sight(&written.data), began));
        // From when it was asked for, not from when it was answered.
        self.lead.until(began + millis(self.settings.deadline()));
        Ok(Leading::Yes(0))
    }

    /// Lets the next one lead at once.
    async fn give_back(&mut self) {
        let ours = matches!(*self.told.borrow(), Leading::Yes(_));
        self.lead.until(0);
        if ours {
            let give = async {
                let mut lease = self.api.get(&self.settings.name).await?;
                if sight(&lease.data).holder == self.settings.identity
                    && let Some(spec) = lease.data.get_mut("spec")
                {
                    spec["holderIdentity"] = json!("");
                    spec["leaseDurationSeconds"] = json!(1);
                    self.api.replace(&self.settings.name, &PostParams::default(), &lease).await?;
                }
                kube::Result::<()>::Ok(())
            };
            let _ = tokio::time::timeout(Duration::from_secs(3), give).await;
        }
        self.say(Leading::No(None));
    }
}

fn sight(data: &Value) -> Sight {
    let spec = &data["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    Sight {
        holder: text("holderIdentity"),
        renewed: text("renewTime"),
        transitions: spec["leaseTransitions"].as_i64().unwrap_or(0),
        duration: Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or(15)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_only_from_nobody_or_from_the_silent() {
        let sight =
            |holder: &str| Sight { holder: holder.into(), duration: Duration::from_secs(15), ..Sight::default() };
        let at = |holder: &str, seconds| decide(&sight(holder), "me", Duration::from_secs(seconds));
        assert_eq!(at("me", 100), Decision::Renew);
        assert_eq!(at("", 0), Decision::Take);
        assert_eq!(at("other", 14), Decision::Wait);
        assert_eq!(at("other", 15), Decision::Take);
        assert_eq!(at(UNINSTALLING, 1000), Decision::Wait);
    }

    #[test]
    fn a_holder_stops_before_others_may_take_it() {
        let settings = LeaseSettings {
            namespace: String::new(),
            name: String::new(),
            identity: String::new(),
            duration: Duration::from_secs(15),
            period: Duration::from_secs(3),
        };
        assert!(settings.deadline() + settings.period < settings.duration);
        let lead = Lead::default();
        assert!(!lead.holds());
        lead.until(now() + 60_000);
        assert!(lead.clone().holds());
        lead.until(now());
        assert!(!lead.holds());
    }
}
