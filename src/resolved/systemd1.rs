//! systemd itself over D-Bus: states of units, and jobs on them. It is asked before resolve1 is touched.

use std::time::Duration;

use zbus::wire::Variant;

use super::bus::{Bus, Object};
use super::error::{BusError, Reason};
use crate::split::facts::UnitState;

/// The name on the bus.
pub const NAME: &str = "org.freedesktop.systemd1";

/// resolved's unit.
pub const RESOLVED: &str = "systemd-resolved.service";

/// networkd's unit.
pub const NETWORKD: &str = "systemd-networkd.service";

/// NetworkManager's unit.
pub const NETWORK_MANAGER: &str = "NetworkManager.service";

const MANAGER: Object<'static> =
    Object { service: NAME, path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" };

/// How long a job of a resolver's unit may take: a start of resolved takes tens of milliseconds, on a machine under
/// load seconds; systemd itself gives up on it after 90 s.
pub const JOB_DEADLINE: Duration = Duration::from_secs(30);

/// How often a unit is looked at while its job runs.
const POLL: Duration = Duration::from_millis(20);

/// A unit as systemd sees it now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// `LoadState`: `loaded`, `not-found`, `masked` …
    pub load: String,
    /// `ActiveState`: `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// `SubState`: `running`, `dead` …
    pub sub: String,
    /// `UnitFileState`: `enabled`, `disabled`, `masked` …; empty without a file.
    pub file: String,
    /// Whether a job is under way.
    pub has_job: bool,
    /// `Result` of a service: `success`, `start-limit-hit`, `exit-code` …
    pub result: Option<String>,
    /// The main process of a service; 0 is none.
    pub main_pid: Option<u32>,
    /// Restarts by systemd itself (`NRestarts`).
    pub restarts: Option<u32>,
}

impl Unit {
    /// Whether it is masked: then nothing that could activate it must be called.
    pub fn is_masked(&self) -> bool {
        self.load == "masked" || matches!(self.file.as_str(), "masked" | "masked-runtime")
    }

    /// Whether too many starts came too fast; [`Systemd1::reset_failed`] lets it start again.
    pub fn hit_start_limit(&self) -> bool {
        self.result.as_deref() == Some("start-limit-hit")
    }

    /// In the words of facts.
    pub fn facts(&self) -> UnitState {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        UnitState { load: self.load.clone(), active: text(&self.active), file: text(&self.file) }
    }
}

/// A timer with a service that exist until they are stopped or the machine ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransientTimer {
    /// Without an end: `NAME.timer` starts `NAME.service`.
    pub name: String,
    /// For people, in `systemctl list-timers`.
    pub description: String,
    /// From now on.
    pub after: Duration,
    /// The program by its path where systemd runs, and its arguments.
    pub command: Vec<String>,
}

/// A property of a transient unit.
type Property<'a> = (&'a str, Variant<'a>);

/// systemd.
#[derive(Debug, Clone, Copy)]
pub struct Systemd1<'a>(pub &'a Bus);

impl Systemd1<'_> {
    /// `Version`: the release with the package's words, as in `252.39-1~deb12u1`.
    ///
    /// # Errors
    /// [`Reason::Gone`] where PID 1 is not systemd.
    pub async fn version(&self) -> Result<String, BusError> {
        // One of two hundred: all of them take systemd ten times as long.
        self.text(MANAGER, "Version").await
    }

    /// A unit as it is now; one that is not there has the load state `not-found`.
    ///
    /// # Errors
    /// [`Reason::Gone`] where PID 1 is not systemd.
    pub async fn unit(&self, name: &str) -> Result<Unit, BusError> {
        let path: zbus::OwnedObjectPath = self.0.call(MANAGER, "LoadUnit", &(name,)).await?;
        let object = Object { service: NAME, path: path.as_str(), interface: "org.freedesktop.systemd1.Unit" };
        let mut all = self.0.properties(object).await?;
        let mut unit = Unit {
            load: all.text("LoadState").unwrap_or_default(),
            active: all.text("ActiveState").unwrap_or_default(),
            sub: all.text("SubState").unwrap_or_default(),
            file: all.text("UnitFileState").unwrap_or_default(),
            has_job: all.get::<(u32, zbus::OwnedObjectPath)>("Job").is_some_and(|(id, _)| id != 0),
            ..Unit::default()
        };
        if name.ends_with(".service") {
            let mut all = self.0.properties(object.by("org.freedesktop.systemd1.Service")).await?;
            unit.result = all.text("Result");
            unit.main_pid = all.get("MainPID");
            unit.restarts = all.get("NRestarts");
        }
        Ok(unit)
    }

    async fn text(&self, object: Object<'_>, name: &str) -> Result<String, BusError> {
        let value = self.0.property(object, name).await?;
        String::try_from(value).map_err(|error| BusError::new(Reason::Unsupported, name, error.to_string()))
    }

    /// A unit in the words of facts; cheaper than [`Systemd1::unit`].
    ///
    /// # Errors
    /// As [`Systemd1::unit`].
    pub async fn state(&self, name: &str) -> Result<UnitState, BusError> {
        let path: zbus::OwnedObjectPath = self.0.call(MANAGER, "LoadUnit", &(name,)).await?;
        let object = Object { service: NAME, path: path.as_str(), interface: "org.freedesktop.systemd1.Unit" };
        let (load, active, file) = tokio::join!(
            self.text(object, "LoadState"),
            self.text(object, "ActiveState"),
            self.text(object, "UnitFileState")
        );
        let unit = Unit { load: load?, active: active?, file: file?, ..Unit::default() };
        Ok(unit.facts())
    }

    /// The unit that a process belongs to, by its number where systemd runs.
    ///
    /// # Errors
    /// [`Reason::Gone`] for a process of none.
    pub async fn unit_of(&self, pid: u32) -> Result<String, BusError> {
        let path: zbus::OwnedObjectPath = self.0.call(MANAGER, "GetUnitByPID", &(pid,)).await?;
        let object = Object { service: NAME, path: path.as_str(), interface: "org.freedesktop.systemd1.Unit" };
        self.text(object, "Id").await
    }

    /// Starts a unit and waits until it runs.
    ///
    /// # Errors
    /// [`Reason::Masked`], [`Reason::JobFailed`] with the unit's result, and all others.
    pub async fn start(&self, name: &str) -> Result<Unit, BusError> {
        self.job("StartUnit", name, true).await
    }

    /// Restarts a unit and waits until it runs. Five starts within ten seconds make it fail: space them.
    ///
    /// # Errors
    /// As [`Systemd1::start`].
    pub async fn restart(&self, name: &str) -> Result<Unit, BusError> {
        self.job("RestartUnit", name, true).await
    }

    /// Lets a unit read its files again and waits until it has (resolved: from 256).
    ///
    /// # Errors
    /// As [`Systemd1::start`]; [`Reason::JobFailed`] too where the unit cannot reload or does not run.
    pub async fn reload(&self, name: &str) -> Result<Unit, BusError> {
        self.job("ReloadUnit", name, true).await
    }

    /// Stops a unit and waits until it is down; one that is not there is down.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn stop(&self, name: &str) -> Result<(), BusError> {
        match self.job("StopUnit", name, false).await {
            Ok(_) => Ok(()),
            Err(error) if error.reason == Reason::Gone => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Forgets that a unit failed, and its count of starts.
    ///
    /// # Errors
    /// [`Reason::Gone`] where systemd knows no such unit.
    pub async fn reset_failed(&self, name: &str) -> Result<(), BusError> {
        self.0.call(MANAGER, "ResetFailedUnit", &(name,)).await
    }

    /// Lets systemd read its own unit files again.
    ///
    /// # Errors
    /// Any [`BusError`]. It takes longer than other calls: seconds on a busy machine.
    pub async fn daemon_reload(&self) -> Result<(), BusError> {
        self.0.within(JOB_DEADLINE).call(MANAGER, "Reload", &()).await
    }

    /// Starts a timer that is gone after a reboot; [`Systemd1::stop`] of `NAME.timer` cancels it.
    ///
    /// # Errors
    /// [`Reason::JobFailed`] where it does not wait afterwards, and all others: one of this name exists already.
    pub async fn start_timer(&self, timer: &TransientTimer) -> Result<(), BusError> {
        let unit = format!("{}.timer", timer.name);
        let service = format!("{}.service", timer.name);
        let micros = u64::try_from(timer.after.as_micros()).unwrap_or(u64::MAX);
        let program = timer.command.first().cloned().unwrap_or_default();
        let own: Vec<Property<'_>> = vec![
            ("Description", Variant::from(timer.description.as_str())),
            ("TimersMonotonic", Variant::from(vec![("OnActiveSec", micros)])),
            // The default is a minute: too coarse for a host without DNS.
            ("AccuracyUSec", Variant::from(1_000_000u64)),
            ("RemainAfterElapse", Variant::from(false)),
        ];
        let exec: Vec<(String, Vec<String>, bool)> = vec![(program, timer.command.clone(), false)];
        let of_service: Vec<Property<'_>> = vec![
            ("Description", Variant::from(timer.description.as_str())),
            ("Type", Variant::from("oneshot")),
            ("ExecStart", Variant::from(exec)),
        ];
        let aux = vec![(service.as_str(), of_service)];
        let _: zbus::OwnedObjectPath =
            self.0.call(MANAGER, "StartTransientUnit", &(unit.as_str(), "fail", own, aux)).await?;
        self.settle("StartTransientUnit", &unit, true).await.map(|_| ())
    }

    async fn job(&self, method: &str, name: &str, wants_active: bool) -> Result<Unit, BusError> {
        let _: zbus::OwnedObjectPath = self.0.call(MANAGER, method, &(name, "replace")).await?;
        self.settle(method, name, wants_active).await
    }

    /// Waits until no job is left on the unit, and looks how it ended.
    async fn settle(&self, call: &str, name: &str, wants_active: bool) -> Result<Unit, BusError> {
        let said = format!("{call} {name}");
        let end = tokio::time::Instant::now() + JOB_DEADLINE;
        loop {
            let unit = self.unit(name).await?;
            let is_moving = unit.has_job
                || matches!(unit.active.as_str(), "activating" | "deactivating" | "reloading" | "refreshing");
            if !is_moving {
                let is_good = if wants_active { unit.active == "active" } else { unit.active != "active" };
                return match is_good {
                    true => Ok(unit),
                    false => {
                        let result = unit.result.as_deref().unwrap_or("unknown");
                        let message = format!("the unit is {} ({}), result {result}", unit.active, unit.sub);
                        Err(BusError::new(Reason::JobFailed, &said, message))
                    }
                };
            }
            if tokio::time::Instant::now() >= end {
                let message = format!("the unit is {} after {JOB_DEADLINE:?}", unit.active);
                return Err(BusError::new(Reason::Timeout, &said, message));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
