//! systemd-networkd over D-Bus, and the state files that resolved itself reads of it.

use super::bus::{Bus, Object};
use super::error::{BusError, Reason};
use super::links::{LinkSetters, signed};

/// The name on the bus.
pub const NAME: &str = "org.freedesktop.network1";

const MANAGER: Object<'static> =
    Object { service: NAME, path: "/org/freedesktop/network1", interface: "org.freedesktop.network1.Manager" };

/// What networkd says of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkdLink {
    /// `AdministrativeState`, or `ADMIN_STATE` of the state file: `configured`, `unmanaged` …
    pub setup: Option<String>,
    /// `OperationalState`, or `OPER_STATE`.
    pub operstate: Option<String>,
    /// The path of the `.network` file in force.
    pub network_file: Option<String>,
    /// What the `.network` file says of the default route (`DNSDefaultRoute=`); unknown over D-Bus.
    pub default_route: Option<bool>,
}

impl NetworkdLink {
    /// Whether networkd manages it, by the words that resolved judges by; `None` where nothing is known.
    pub fn is_managed(&self) -> Option<bool> {
        self.setup.as_deref().map(|setup| !matches!(setup, "pending" | "initialized" | "unmanaged"))
    }

    /// Reads a state file of `/run/systemd/netif/links`: lines `KEY=value`, of which unknown ones are passed over.
    pub fn parse(text: &str) -> NetworkdLink {
        let mut link = NetworkdLink::default();
        for line in text.lines() {
            let Some((key, value)) = line.trim_end_matches('\r').split_once('=') else { continue };
            let value = value.trim_matches('"');
            let some = || Some(value.to_owned()).filter(|value| !value.is_empty());
            match key {
                "ADMIN_STATE" => link.setup = some(),
                "OPER_STATE" => link.operstate = some(),
                "NETWORK_FILE" => link.network_file = some(),
                "DNS_DEFAULT_ROUTE" => link.default_route = super::conf::boolean(value),
                _ => {}
            }
        }
        link
    }
}

/// systemd-networkd.
#[derive(Debug, Clone, Copy)]
pub struct Network1<'a>(pub &'a Bus);

impl Network1<'_> {
    /// What networkd says of a link.
    ///
    /// # Errors
    /// [`Reason::Gone`] where networkd does not run, [`Reason::NoSuchLink`] where it has none of this number.
    pub async fn link(&self, ifindex: u32) -> Result<NetworkdLink, BusError> {
        let number = signed(ifindex, "GetLinkByIndex")?;
        let (_, path): (String, zbus::OwnedObjectPath) =
            self.0.call(MANAGER, "GetLinkByIndex", &(number,)).await.map_err(no_link)?;
        let object = Object { service: NAME, path: path.as_str(), interface: "org.freedesktop.network1.Link" };
        let mut all = self.0.properties(object).await?;
        let file = match self.0.call::<_, String>(object, "Describe", &()).await {
            Ok(text) => described(&text),
            // Before 249.
            Err(_) => None,
        };
        Ok(NetworkdLink {
            setup: all.text("AdministrativeState"),
            operstate: all.text("OperationalState"),
            network_file: file,
            default_route: None,
        })
    }

    /// Lets networkd read its files again and apply what changed.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn reload(&self) -> Result<(), BusError> {
        self.0.call(MANAGER, "Reload", &()).await
    }

    /// Configures a link anew from its files.
    ///
    /// # Errors
    /// Any [`BusError`].
    pub async fn reconfigure(&self, ifindex: u32) -> Result<(), BusError> {
        self.0.call(MANAGER, "ReconfigureLink", &(signed(ifindex, "ReconfigureLink")?,)).await
    }

    /// The setters of links; what they set overrides the `.network` file until networkd restarts.
    pub fn links(&self) -> LinkSetters<'_> {
        LinkSetters { bus: self.0, manager: MANAGER, revert: "RevertLinkDNS" }
    }
}

fn described(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(value.get("NetworkFile")?.as_str()?.to_owned())
}

fn no_link(error: BusError) -> BusError {
    // It has no error name of its own for this.
    let reason = if error.message.contains("not known") { Reason::NoSuchLink } else { error.reason };
    BusError { reason, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_files_are_read_as_resolved_reads_them() {
        let text = "# This is private data. Do not parse.\nADMIN_STATE=configured\nOPER_STATE=routable\n\
            NETWORK_FILE=/run/systemd/network/10-netplan-eth0.network\nDNS=192.0.2.1\nDNS_DEFAULT_ROUTE=no\n";
        let link = NetworkdLink::parse(text);
        assert_eq!(link.is_managed(), Some(true));
        assert_eq!(link.operstate.as_deref(), Some("routable"));
        assert_eq!(link.network_file.as_deref(), Some("/run/systemd/network/10-netplan-eth0.network"));
        assert_eq!(link.default_route, Some(false));
        // CRLF, no final newline.
        assert_eq!(NetworkdLink::parse("ADMIN_STATE=unmanaged\r\nOPER_STATE=carrier").is_managed(), Some(false));
        assert_eq!(NetworkdLink::parse("\u{fffd}\0garbage=\nADMIN_STATE").is_managed(), None);
    }

    #[test]
    fn describe_names_the_file() {
        assert_eq!(described(r#"{"Index":2,"NetworkFile":"/etc/a.network"}"#).as_deref(), Some("/etc/a.network"));
        assert_eq!(described("[]"), None);
        assert_eq!(described("{"), None);
    }
}
