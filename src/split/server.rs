//! A DNS server as resolved writes it: `address[:port][%interface][#name]`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A DNS server of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsServer {
    /// Where it listens.
    pub address: IpAddr,
    /// The port, where it is not the usual one: 53 and 853 are the same as none to resolved, and are left out.
    pub port: Option<u16>,
    /// The interface that queries leave by, where one is named.
    pub interface: Option<String>,
    /// The name its certificate must carry (SNI).
    pub name: Option<String>,
}

/// Why a text is not a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// The address is none.
    #[error(
        "\"{0}\" is not an IP address; servers are written address[:port][%interface][#name], IPv6 with a port as [address]:port"
    )]
    Address(String),
    /// The port is none.
    #[error("\"{0}\" is not a port (1 to 65535)")]
    Port(String),
    /// `%` or `#` with nothing behind.
    #[error("\"{0}\": nothing stands behind the {1}")]
    Empty(String, char),
}

impl DnsServer {
    /// A server with nothing but its address.
    pub fn new(address: IpAddr) -> DnsServer {
        DnsServer { address, port: None, interface: None, name: None }
    }
}

/// The port as resolved keeps it: 53 and 853 it takes for none, from files and from the bus alike, and goes by whether TLS
/// is used (`bus_message_read_dns_servers`, `manager_parse_dns_server_string_and_warn`).
pub(super) fn unusual(port: u16) -> Option<u16> {
    (!matches!(port, 53 | 853)).then_some(port)
}

impl FromStr for DnsServer {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<DnsServer, ServerError> {
        let split = |text: &str, mark: char| -> Result<(String, Option<String>), ServerError> {
            match text.split_once(mark) {
                None => Ok((text.to_owned(), None)),
                Some((_, "")) => Err(ServerError::Empty(text.to_owned(), mark)),
                Some((front, back)) => Ok((front.to_owned(), Some(back.to_owned()))),
            }
        };
        let (rest, name) = split(text, '#')?;
        let (rest, interface) = split(&rest, '%')?;
        let wrong = || ServerError::Address(text.to_owned());
        let (address, port) = if let Some(inner) = rest.strip_prefix('[') {
            let (address, after) = inner.split_once(']').ok_or_else(wrong)?;
            match after {
                "" => (address, None),
                after => (address, Some(after.strip_prefix(':').ok_or_else(wrong)?)),
            }
        } else {
            match rest.split_once(':') {
                Some((address, port)) if !port.contains(':') => (address, Some(port)),
                _ => (rest.as_str(), None),
            }
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let port = match port {
            None => None,
            Some(port) => match port.parse::<u16>() {
                Ok(number) if number != 0 => unusual(number),
                _ => return Err(ServerError::Port(port.to_owned())),
            },
        };
        Ok(DnsServer { address, port, interface, name })
    }
}

impl fmt::Display for DnsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (IpAddr::V6(address), Some(port)) => write!(f, "[{address}]:{port}")?,
            (address, Some(port)) => write!(f, "{address}:{port}")?,
            (address, None) => write!(f, "{address}")?,
        }
        if let Some(interface) = &self.interface {
            write!(f, "%{interface}")?;
        }
        if let Some(name) = &self.name {
            write!(f, "#{name}")?;
        }
        Ok(())
    }
}

impl Serialize for DnsServer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DnsServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DnsServer, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_written_as_resolved_does() {
        for text in [
            "192.168.4.53",
            "192.168.4.53:5353",
            "192.168.4.53%vmbr0",
            "9.9.9.9:8853%eth0#dns.quad9.net",
            "2001:db8::53",
            "[2001:db8::53]:5353#ns.example",
            "fe80::1%eth0",
        ] {
            assert_eq!(text.parse::<DnsServer>().unwrap().to_string(), text);
        }
        for (text, kept) in [("[::1]", "::1"), ("1.2.3.4:53", "1.2.3.4"), ("[::1]:853%eth0#a.test", "::1%eth0#a.test")]
        {
            assert_eq!(text.parse::<DnsServer>().unwrap().to_string(), kept);
        }
        for text in
            ["", "dns.example", "1.2.3.4:0", "1.2.3.4:70000", "1.2.3.4%", "1.2.3.4#", "[::1", "[::1]53", "1.2.3"]
        {
            assert!(text.parse::<DnsServer>().is_err(), "{text}");
        }
    }
}
