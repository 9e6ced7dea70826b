//! Addresses, servers and domains as resolve1 and network1 write them.

use std::net::IpAddr;

use crate::split::{DnsServer, RoutedDomain};

/// Interface, address family, address: `(iiay)`.
pub(super) type Wire = (i32, i32, Vec<u8>);

/// Interface, address family, address, port, name in the certificate: `(iiayqs)`.
pub(super) type WireEx = (i32, i32, Vec<u8>, u16, String);

/// The numbers of Linux for IPv4 and IPv6.
pub(super) const AF_INET: i32 = 2;
pub(super) const AF_INET6: i32 = 10;

pub(super) fn address(family: i32, octets: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(octets).ok()?)),
        AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?)),
        _ => None,
    }
}

pub(super) fn family(address: IpAddr) -> i32 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

pub(super) fn server(of_family: i32, octets: &[u8]) -> Option<DnsServer> {
    address(of_family, octets).map(DnsServer::new)
}

pub(super) fn server_ex(of_family: i32, octets: &[u8], port: u16, name: &str) -> Option<DnsServer> {
    Some(DnsServer {
        // 0 is the usual one.
        port: Some(port).filter(|port| *port != 0),
        name: Some(name.to_owned()).filter(|name| !name.is_empty()),
        ..server(of_family, octets)?
    })
}

pub(super) fn domain(name: &str, route_only: bool) -> Option<RoutedDomain> {
    let name = crate::model::Name::parse(name).ok()?;
    // The root is for routing only, however it was set.
    Some(RoutedDomain { route_only: route_only || name.is_root(), name })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn servers_come_back_as_they_went() {
        for text in ["10.0.0.53", "10.0.0.53:5353#ns.test", "[2001:db8::53]:853#ns.test", "2001:db8::53"] {
            let one: DnsServer = text.parse().unwrap();
            let name = one.name.clone().unwrap_or_default();
            let back = server_ex(family(one.address), &octets(one.address), one.port.unwrap_or(0), &name);
            assert_eq!(back, Some(one));
        }
        assert_eq!(server(AF_INET, &[1, 2, 3]), None);
        assert_eq!(server(AF_INET6, &[1, 2, 3, 4]), None);
        assert_eq!(server(0, &[]), None);
    }

    #[test]
    fn the_root_is_never_searched() {
        assert_eq!(domain(".", false).unwrap().to_string(), "~.");
        assert_eq!(domain("corp.test", true).unwrap().to_string(), "~corp.test");
        assert_eq!(domain("bad..name", true), None);
    }
}
