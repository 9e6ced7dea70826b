//! NetworkManager over D-Bus: which devices it manages, and the profile that configures each. What is done to profiles is in
//! `nm_profiles`.

use super::bus::{Bus, Object};
use super::error::{BusError, Reason};

/// The name on the bus.
pub const NAME: &str = "org.freedesktop.NetworkManager";

pub(super) const MANAGER: Object<'static> =
    Object { service: NAME, path: "/org/freedesktop/NetworkManager", interface: "org.freedesktop.NetworkManager" };

/// `NM_ACTIVATION_STATE_FLAG_EXTERNAL`: the profile only mirrors what somebody else configured.
const EXTERNAL: u32 = 0x80;

/// A device of NetworkManager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NmDevice {
    /// Its object.
    pub path: String,
    /// Whether NetworkManager configures it.
    pub managed: bool,
    /// Whether somebody else made the connection, and NetworkManager only shows it.
    pub external: bool,
    /// The object of the connection's profile.
    pub profile: Option<String>,
    /// The profile's name.
    pub id: Option<String>,
    /// The profile's UUID.
    pub uuid: Option<String>,
    /// The file that holds the profile; absent where it is in memory alone.
    pub file: Option<String>,
}

/// NetworkManager.
#[derive(Debug, Clone, Copy)]
pub struct NetworkManager<'a>(pub &'a Bus);

impl NetworkManager<'_> {
    /// Lets it read its configuration files again, and nothing else (`Reload` with the flag CONF).
    ///
    /// # Errors
    /// Any [`BusError`]; [`Reason::Gone`](super::Reason::Gone) where it does not run.
    pub async fn reload(&self) -> Result<(), BusError> {
        const CONF: u32 = 1;
        self.0.call(MANAGER, "Reload", &(CONF,)).await
    }

    /// Lets it tell resolved once more what its links shall have (`Reload` with the flag DNS_RC).
    ///
    /// # Errors
    /// As [`NetworkManager::reload`].
    pub async fn push(&self) -> Result<(), BusError> {
        const DNS_RC: u32 = 2;
        self.0.call(MANAGER, "Reload", &(DNS_RC,)).await
    }

    /// Its version.
    ///
    /// # Errors
    /// As [`NetworkManager::reload`].
    pub async fn version(&self) -> Result<Option<String>, BusError> {
        Ok(self.0.properties(MANAGER).await?.text("Version"))
    }

    /// Whether NetworkManager runs.
    ///
    /// # Errors
    /// Any [`BusError`] but [`Reason::Gone`].
    pub async fn is_running(&self) -> Result<bool, BusError> {
        Ok(self.0.owner(NAME).await?.is_some())
    }

    /// The device of an interface; `None` where NetworkManager has none of the name.
    ///
    /// # Errors
    /// [`Reason::Gone`] where NetworkManager does not run.
    pub async fn device(&self, interface: &str) -> Result<Option<NmDevice>, BusError> {
        let found: Result<zbus::OwnedObjectPath, BusError> =
            self.0.call(MANAGER, "GetDeviceByIpIface", &(interface,)).await;
        let path = match found {
            Ok(path) => path,
            // `org.freedesktop.NetworkManager.UnknownDevice`.
            Err(error) if error.reason == Reason::Other => return Ok(None),
            Err(error) => return Err(error),
        };
        let object = |path, interface| Object { service: NAME, path, interface };
        let mut all = self.0.properties(object(path.as_str(), "org.freedesktop.NetworkManager.Device")).await?;
        let managed = all.get("Managed").unwrap_or(false);
        let mut device = NmDevice { path: path.to_string(), managed, ..NmDevice::default() };
        let active: Option<zbus::OwnedObjectPath> = all.get("ActiveConnection");
        let Some(active) = active.filter(|path| path.as_str() != "/") else { return Ok(Some(device)) };
        let active = object(active.as_str(), "org.freedesktop.NetworkManager.Connection.Active");
        let mut all = self.0.properties(active).await?;
        device.external = all.get::<u32>("StateFlags").is_some_and(|flags| flags & EXTERNAL != 0);
        device.id = all.text("Id");
        device.uuid = all.text("Uuid");
        if let Some(profile) = all.get::<zbus::OwnedObjectPath>("Connection").filter(|path| path.as_str() != "/") {
            let of_profile = object(profile.as_str(), "org.freedesktop.NetworkManager.Settings.Connection");
            let mut all = self.0.properties(of_profile).await?;
            device.file = all.text("Filename").filter(|file| !file.is_empty());
            device.profile = Some(profile.to_string());
        }
        Ok(Some(device))
    }
}
