//! The setters of a link, which resolve1 and network1 take in the same form.

use super::bus::{Bus, Object};
use super::error::{BusError, Reason};
use super::wire::{family, octets};
use crate::split::{DnsServer, RoutedDomain};

/// Sets what a link shall have: at resolve1 for links that nobody manages, at network1 for networkd's.
#[derive(Debug, Clone, Copy)]
pub struct LinkSetters<'a> {
    pub(super) bus: &'a Bus,
    pub(super) manager: Object<'static>,
    /// The name of the method that takes all settings away.
    pub(super) revert: &'static str,
}

impl LinkSetters<'_> {
    /// Sets the domains of a link; an empty list takes all away.
    ///
    /// More than the version's limit make it wipe the old list (252, 257): count before you call.
    ///
    /// # Errors
    /// [`Reason::LinkBusy`] where networkd manages it, [`Reason::LimitsExceeded`], and all others.
    pub async fn set_domains(&self, ifindex: u32, domains: &[RoutedDomain]) -> Result<(), BusError> {
        let list: Vec<(String, bool)> =
            domains.iter().map(|domain| (domain.name.to_relaxed(), domain.route_only)).collect();
        self.bus.call(self.manager, "SetLinkDomains", &(signed(ifindex, "SetLinkDomains")?, list)).await
    }

    /// Sets whether names that match nothing may go to a link.
    ///
    /// # Errors
    /// As [`LinkSetters::set_domains`].
    pub async fn set_default_route(&self, ifindex: u32, yes: bool) -> Result<(), BusError> {
        self.bus.call(self.manager, "SetLinkDefaultRoute", &(signed(ifindex, "SetLinkDefaultRoute")?, yes)).await
    }

    /// Sets the servers of a link; an empty list takes all away. Set the domains first: servers make the link's scope.
    ///
    /// resolved forgets ports 53 and 853, which are the usual ones: they are read back as none.
    ///
    /// # Errors
    /// [`Reason::InvalidArgs`] where one server is not allowed (0.0.0.0, 127.0.0.53), or before 246 one has a port or a
    /// name; all others as [`LinkSetters::set_domains`].
    pub async fn set_servers(&self, ifindex: u32, servers: &[DnsServer]) -> Result<(), BusError> {
        let link = signed(ifindex, "SetLinkDNSEx")?;
        let full: Vec<(i32, Vec<u8>, u16, &str)> = servers
            .iter()
            .map(|server| {
                let name = server.name.as_deref().unwrap_or_default();
                (family(server.address), octets(server.address), server.port.unwrap_or(0), name)
            })
            .collect();
        match self.bus.call(self.manager, "SetLinkDNSEx", &(link, full)).await {
            Err(error) if error.reason == Reason::Unsupported => {}
            other => return other,
        }
        if let Some(rich) = servers.iter().find(|server| server.port.is_some() || server.name.is_some()) {
            let message = format!("{rich}: ports and names of servers need systemd 246");
            return Err(BusError::new(Reason::InvalidArgs, "SetLinkDNS", message));
        }
        let plain: Vec<(i32, Vec<u8>)> =
            servers.iter().map(|server| (family(server.address), octets(server.address))).collect();
        self.bus.call(self.manager, "SetLinkDNS", &(link, plain)).await
    }

    /// Sets a link's DNSSEC mode: `yes`, `no`, `allow-downgrade`; empty is the global one.
    ///
    /// # Errors
    /// As [`LinkSetters::set_domains`].
    pub async fn set_dnssec(&self, ifindex: u32, mode: &str) -> Result<(), BusError> {
        self.mode("SetLinkDNSSEC", ifindex, mode).await
    }

    /// Sets a link's DNS over TLS: `yes`, `no`, `opportunistic`; empty is the global one.
    ///
    /// # Errors
    /// As [`LinkSetters::set_domains`].
    pub async fn set_dns_over_tls(&self, ifindex: u32, mode: &str) -> Result<(), BusError> {
        self.mode("SetLinkDNSOverTLS", ifindex, mode).await
    }

    /// Sets a link's LLMNR: `yes`, `no`, `resolve`; empty is yes.
    ///
    /// # Errors
    /// As [`LinkSetters::set_domains`].
    pub async fn set_llmnr(&self, ifindex: u32, mode: &str) -> Result<(), BusError> {
        self.mode("SetLinkLLMNR", ifindex, mode).await
    }

    /// Sets a link's multicast DNS: `yes`, `no`, `resolve`; empty is the default.
    ///
    /// # Errors
    /// As [`LinkSetters::set_domains`].
    pub async fn set_mdns(&self, ifindex: u32, mode: &str) -> Result<(), BusError> {
        self.mode("SetLinkMulticastDNS", ifindex, mode).await
    }

    async fn mode(&self, method: &'static str, ifindex: u32, mode: &str) -> Result<(), BusError> {
        self.bus.call(self.manager, method, &(signed(ifindex, method)?, mode)).await
    }

    /// Takes away all that was set on a link over the bus.
    ///
    /// # Errors
    /// As [`LinkSetters::set_domains`].
    pub async fn revert(&self, ifindex: u32) -> Result<(), BusError> {
        self.bus.call(self.manager, self.revert, &(signed(ifindex, self.revert)?,)).await
    }
}

pub(super) fn signed(ifindex: u32, call: &str) -> Result<i32, BusError> {
    i32::try_from(ifindex)
        .map_err(|_| BusError::new(Reason::NoSuchLink, call, format!("{ifindex} is no number of an interface")))
}
