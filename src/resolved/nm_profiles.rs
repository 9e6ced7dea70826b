//! Connection profiles of NetworkManager: reading what they say of DNS, writing single settings of them, and bringing those
//! into force without taking the link down.
//!
//! `GetSettings` leaves secrets out, and `Update2` with a profile that holds none keeps those that NetworkManager has
//! (`update_auth_cb` in its nm-settings-connection.c): a profile is sent back as it was read, but for the settings in question.

use std::collections::HashMap;
use std::time::Duration;

use zbus::wire::{OwnedVariant, Variant};

use super::bus::{Bus, Object};
use super::error::{BusError, Reason};
use super::fault::step;
use super::nm::{NAME, NetworkManager};
use crate::split::facts::{Profile, Setting, Settings, Wishes, only};

const SETTINGS: Object<'static> = Object {
    service: NAME,
    path: "/org/freedesktop/NetworkManager/Settings",
    interface: "org.freedesktop.NetworkManager.Settings",
};
const CONNECTION: &str = "org.freedesktop.NetworkManager.Settings.Connection";
const DEVICE: &str = "org.freedesktop.NetworkManager.Device";

/// How long it may take to write a profile, or to bring it into force: it goes to disk, and hooks are told.
const CHANGING: Duration = Duration::from_secs(15);

/// Somebody else may change the profile between our look and our write.
const TRIES: u32 = 5;

/// How old a lease must be before the next `Reapply`: NetworkManager 1.42 does not notice the lease that comes of it where the
/// kernel shows the address to be as good as before, and is then without servers and routes [tried].
const LEASE: Duration = Duration::from_millis(2500);

/// `Update2`: to disk.
const TO_DISK: u32 = 1;
/// `Reapply`: addresses and routes that others set stay (from 1.42).
const PRESERVE_EXTERNAL_IP: u32 = 1;

/// A profile as NetworkManager writes it.
type Raw = HashMap<String, HashMap<String, OwnedVariant>>;

/// All that DNS hangs on, with its kind.
const KEYS: [(&str, &str, Kind); 12] = [
    ("ipv4", "dns-data", Kind::List),
    ("ipv4", "dns-search", Kind::List),
    ("ipv4", "ignore-auto-dns", Kind::Switch),
    ("ipv4", "dns-priority", Kind::Number(0)),
    ("ipv6", "dns-data", Kind::List),
    ("ipv6", "dns-search", Kind::List),
    ("ipv6", "ignore-auto-dns", Kind::Switch),
    ("ipv6", "dns-priority", Kind::Number(0)),
    ("connection", "mdns", Kind::Number(-1)),
    ("connection", "llmnr", Kind::Number(-1)),
    ("connection", "dns-over-tls", Kind::Number(-1)),
    ("connection", "dnssec", Kind::Number(-1)),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    List,
    Switch,
    /// With its default.
    Number(i32),
}

/// A profile and where it is.
#[derive(Debug)]
struct Found {
    path: String,
    raw: Raw,
    version: Option<u64>,
    profile: Profile,
}

impl NetworkManager<'_> {
    /// The profile of this object, without what is known of interfaces.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn profile_at(&self, path: &str) -> Result<Profile, BusError> {
        Ok(self.found(path).await?.profile)
    }

    /// The profile of this UUID, without what is known of interfaces; `None` where there is none.
    ///
    /// # Errors
    /// [`Reason::Gone`] where NetworkManager does not run, and others.
    pub async fn profile(&self, uuid: &str) -> Result<Option<Profile>, BusError> {
        Ok(self.find(uuid).await?.map(|found| found.profile))
    }

    async fn find(&self, uuid: &str) -> Result<Option<Found>, BusError> {
        let found: Result<zbus::OwnedObjectPath, BusError> =
            self.0.call(SETTINGS, "GetConnectionByUuid", &(uuid,)).await;
        match found {
            Ok(path) => self.found(path.as_str()).await.map(Some),
            // `org.freedesktop.NetworkManager.Settings.InvalidConnection`.
            Err(error) if error.reason == Reason::Other => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn found(&self, path: &str) -> Result<Found, BusError> {
        let object = Object { service: NAME, path, interface: CONNECTION };
        let mut all = self.0.properties(object).await?;
        let raw: Raw = self.0.call(object, "GetSettings", &()).await?;
        let text = |setting: &str, key: &str| raw.get(setting).and_then(|all| all.get(key)).and_then(text_of);
        let number = |setting: &str, key: &str| raw.get(setting).and_then(|all| all.get(key)).and_then(number_of);
        let flags = all.get::<u32>("Flags").map(|flags| {
            let words = [(1, "unsaved"), (2, "generated"), (4, "volatile"), (8, "external")];
            words.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, word)| (*word).to_owned()).collect()
        });
        let profile = Profile {
            uuid: text("connection", "uuid").unwrap_or_default(),
            id: text("connection", "id").unwrap_or_default(),
            file: all.text("Filename"),
            flags,
            multiple: number("connection", "multi-connect").is_some_and(|number| number > 1),
            method4: text("ipv4", "method"),
            method6: text("ipv6", "method"),
            settings: read(&raw),
            ..Profile::default()
        };
        Ok(Found { path: path.to_owned(), version: all.get::<u64>("VersionId"), raw, profile })
    }

    /// Whether an interface has a default route of IPv4 and of IPv6, as NetworkManager sees it.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn gateways(&self, device: &str) -> Result<(Option<bool>, Option<bool>), BusError> {
        let mut all = self.0.properties(Object { service: NAME, path: device, interface: DEVICE }).await?;
        let mut gateways = [None, None];
        for (gateway, family) in gateways.iter_mut().zip(["4", "6"]) {
            let Some(path) = all.get::<zbus::OwnedObjectPath>(&format!("Ip{family}Config")) else { continue };
            if path.as_str() == "/" {
                *gateway = Some(false);
                continue;
            }
            let interface = format!("org.freedesktop.NetworkManager.IP{family}Config");
            let config = Object { service: NAME, path: path.as_str(), interface: &interface };
            *gateway = self.0.properties(config).await?.text("Gateway").map(|gateway| !gateway.is_empty());
        }
        Ok((gateways[0], gateways[1]))
    }

    /// What an interface goes by.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn applied(&self, device: &str) -> Result<Settings, BusError> {
        let (raw, _): (Raw, u64) = self.applied_raw(device).await?;
        Ok(read(&raw))
    }

    async fn applied_raw(&self, device: &str) -> Result<(Raw, u64), BusError> {
        let object = Object { service: NAME, path: device, interface: DEVICE };
        self.0.call(object, "GetAppliedConnection", &(0u32,)).await
    }

    /// Writes settings of a profile to disk and reads them back; all others stay.
    ///
    /// # Errors
    /// Any [`BusError`]; [`Reason::Gone`] where there is no such profile.
    pub async fn write(&self, uuid: &str, wishes: &Wishes) -> Result<(), BusError> {
        const CALL: &str = "org.freedesktop.NetworkManager.Settings.Connection.Update2";
        let mut left = Wishes::new();
        for _ in 0..TRIES {
            let Some(mut found) = self.find(uuid).await? else {
                return Err(BusError::new(Reason::Gone, CALL, format!("there is no profile {uuid} any more")));
            };
            left = only(&found.profile.settings, wishes.keys());
            if left == *wishes {
                return Ok(());
            }
            patch(&mut found.raw, wishes).map_err(|why| BusError::new(Reason::InvalidArgs, CALL, why))?;
            // From 1.44 on it refuses what was made of another state than the one that is there.
            let version = found.version.map(|version| ("version-id".to_owned(), OwnedVariant::from(version)));
            let args: HashMap<String, OwnedVariant> = version.into_iter().collect();
            let object = Object { service: NAME, path: &found.path, interface: CONNECTION };
            step(&format!("profile {uuid} is to be written"));
            let bus = self.0.within(CHANGING);
            let done: Result<HashMap<String, OwnedVariant>, BusError> =
                bus.call(object, "Update2", &(&found.raw, TO_DISK, args)).await;
            match done {
                Ok(_) => step(&format!("profile {uuid} is written")),
                // `org.freedesktop.NetworkManager.Settings.VersionIdMismatch`, by its words.
                Err(error) if found.version.is_some() && error.message.contains("version") => {}
                Err(error) => return Err(error),
            }
        }
        let differ = left.iter().filter(|(key, is)| wishes.get(*key) != Some(is));
        let differ: Vec<&str> = differ.map(|(key, _)| key.as_str()).collect();
        let message = format!("the profile does not keep {}", differ.join(", "));
        Err(BusError::new(Reason::InvalidArgs, CALL, message))
    }

    /// Brings settings of the profile in force on an interface into force there, where that goes by another profile or by
    /// none, nothing. All else that the interface goes by stays, also what a person changed in the profile and did not
    /// bring into force.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn enforce(&self, interface: &str, uuid: &str, wishes: &Wishes) -> Result<(), BusError> {
        let mut last = None;
        for _ in 0..TRIES {
            let Some(device) = self.device(interface).await? else { return Ok(()) };
            if device.uuid.as_deref() != Some(uuid) {
                return Ok(());
            }
            let (mut raw, version) = match self.applied_raw(&device.path).await {
                Ok(applied) => applied,
                // `org.freedesktop.NetworkManager.Device.NotActive`: it goes down, or comes up by the profile as it is now.
                Err(error) if error.reason == Reason::Other => return Ok(()),
                Err(error) => return Err(error),
            };
            if only(&read(&raw), wishes.keys()) == *wishes {
                step(&format!("profile {uuid} is in force"));
                return Ok(());
            }
            patch(&mut raw, wishes).map_err(|why| BusError::new(Reason::InvalidArgs, "Reapply", why))?;
            match self.reapply(&device.path, &raw, version).await {
                Ok(()) => last = None,
                // The version is another one by now, or the link goes down: look again.
                Err(error) if error.reason == Reason::Other => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let message = format!("{interface} does not take the settings of its profile");
        Err(last.unwrap_or_else(|| BusError::new(Reason::InvalidArgs, "Reapply", message)))
    }
}

impl NetworkManager<'_> {
    async fn reapply(&self, device: &str, raw: &Raw, version: u64) -> Result<(), BusError> {
        if let Some(age) = self.lease_age(device).await.filter(|age| *age < LEASE) {
            tokio::time::sleep(LEASE - age).await;
        }
        let object = Object { service: NAME, path: device, interface: DEVICE };
        self.0.within(CHANGING).call(object, "Reapply", &(raw, version, PRESERVE_EXTERNAL_IP)).await
    }

    /// How long ago the lease of IPv4 came; `None` where there is none, or it does not say.
    async fn lease_age(&self, device: &str) -> Option<Duration> {
        let of_device = Object { service: NAME, path: device, interface: DEVICE };
        let path: zbus::OwnedObjectPath = self.0.properties(of_device).await.ok()?.get("Dhcp4Config")?;
        let interface = "org.freedesktop.NetworkManager.DHCP4Config";
        let lease = Object { service: NAME, path: path.as_str(), interface };
        let options: HashMap<String, OwnedVariant> = self.0.properties(lease).await.ok()?.get("Options")?;
        let number = |key: &str| options.get(key).and_then(text_of).and_then(|text| text.parse::<u64>().ok());
        let came = number("expiry")?.checked_sub(number("dhcp_lease_time")?)?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
        now.checked_sub(Duration::from_secs(came))
    }

    /// Makes NetworkManager configure an interface once more though nothing has changed: an option that resolved is never
    /// told of comes and goes.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn nudge(&self, interface: &str) -> Result<(), BusError> {
        let Some(device) = self.device(interface).await? else { return Ok(()) };
        let (mut raw, version) = self.applied_raw(&device.path).await?;
        let all = raw.entry("ipv4".to_owned()).or_default();
        let before = all.remove("dns-options");
        let mut options = before.clone().and_then(|all| Vec::<String>::try_from(all).ok()).unwrap_or_default();
        let passing = if options.iter().any(|one| one == "attempts:2") { "attempts:3" } else { "attempts:2" };
        options.push(passing.to_owned());
        let with = OwnedVariant::try_from(Variant::from(options));
        all.extend(with.ok().map(|with| ("dns-options".to_owned(), with)));
        self.reapply(&device.path, &raw, version).await?;
        tokio::time::sleep(LEASE).await;
        let (mut raw, version) = self.applied_raw(&device.path).await?;
        let all = raw.entry("ipv4".to_owned()).or_default();
        all.remove("dns-options");
        all.extend(before.map(|before| ("dns-options".to_owned(), before)));
        self.reapply(&device.path, &raw, version).await
    }
}

fn text_of(value: &OwnedVariant) -> Option<String> {
    String::try_from(value.clone()).ok()
}

fn number_of(value: &OwnedVariant) -> Option<i32> {
    i32::try_from(value.clone()).ok()
}

/// What a profile says of DNS, without what is NetworkManager's default.
fn read(raw: &Raw) -> Settings {
    let mut settings = Settings::new();
    for (setting, key, kind) in KEYS {
        let Some(value) = raw.get(setting).and_then(|all| all.get(key)) else { continue };
        let value = match kind {
            Kind::List => Vec::<String>::try_from(value.clone()).ok().filter(|all| !all.is_empty()).map(Setting::List),
            Kind::Switch => bool::try_from(value.clone()).ok().filter(|yes| *yes).map(Setting::Switch),
            Kind::Number(usual) => number_of(value).filter(|number| *number != usual).map(Setting::Number),
        };
        settings.extend(value.map(|value| (format!("{setting}.{key}"), value)));
    }
    settings
}

fn patch(raw: &mut Raw, wishes: &Wishes) -> Result<(), String> {
    for (name, wish) in wishes {
        let Some((setting, key)) = name.split_once('.') else { return Err(format!("{name} is no setting")) };
        let of_setting = raw.entry(setting.to_owned()).or_default();
        if key == "dns-data" {
            // The old form of the same; where both are there and differ, it would count.
            of_setting.remove("dns");
        }
        let Some(wish) = wish else {
            of_setting.remove(key);
            continue;
        };
        let value = match wish {
            Setting::Switch(yes) => OwnedVariant::from(*yes),
            Setting::Number(number) => OwnedVariant::from(*number),
            Setting::List(all) => {
                OwnedVariant::try_from(Variant::from(all.clone())).map_err(|error| error.to_string())?
            }
        };
        of_setting.insert(key.to_owned(), value);
    }
    Ok(())
}

/// Whether NetworkManager answers, for whoever must know before anything else is asked.
///
/// # Errors
/// Any [`BusError`].
pub async fn answers(bus: &Bus) -> Result<(), BusError> {
    NetworkManager(bus).version().await.map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(all: &[&str]) -> Setting {
        Setting::List(all.iter().map(|one| (*one).to_owned()).collect())
    }

    #[test]
    fn a_setting_at_its_default_is_none_and_all_others_stay() {
        let mut raw = Raw::new();
        let ipv4 = raw.entry("ipv4".into()).or_default();
        ipv4.insert("method".into(), OwnedVariant::try_from(Variant::from("auto")).unwrap());
        ipv4.insert("dns".into(), OwnedVariant::try_from(Variant::from(vec![1u32])).unwrap());
        ipv4.insert("dns-data".into(), OwnedVariant::try_from(Variant::from(vec!["1.0.0.0"])).unwrap());
        ipv4.insert("dns-search".into(), OwnedVariant::try_from(Variant::from(Vec::<String>::new())).unwrap());
        ipv4.insert("dns-priority".into(), OwnedVariant::from(0));
        assert_eq!(read(&raw), Settings::from([("ipv4.dns-data".to_owned(), list(&["1.0.0.0"]))]));
        let wishes = Wishes::from([
            ("ipv4.dns-data".to_owned(), None),
            ("ipv4.dns-search".to_owned(), Some(list(&["~maas"]))),
            ("connection.mdns".to_owned(), Some(Setting::Number(0))),
        ]);
        patch(&mut raw, &wishes).unwrap();
        assert_eq!(only(&read(&raw), wishes.keys()), wishes);
        assert!(raw["ipv4"].contains_key("method") && !raw["ipv4"].contains_key("dns"));
    }
}
