//! Names and addresses that lint knows something about.

use std::net::IpAddr;

use super::SystemdVersion;
use crate::model::{Name, address_of};

/// Registries that most clusters pull from.
pub(super) const REGISTRIES: &[&str] =
    &["registry.k8s.io", "registry-1.docker.io", "auth.docker.io", "ghcr.io", "quay.io", "gcr.io", "mcr.microsoft.com"];

/// Top-level names that exist in private networks only: reserved (RFC 6762 appendix G, RFC 8375, ICANN's `internal`), and
/// those that the tools of home networks bring.
const PRIVATE: &[&str] = &[
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "localdomain",
    "home.arpa",
    "homelab",
    "maas",
    "lab",
    "test",
    "box",
    "local",
];

/// A name below the domain that nobody else has a domain for; the domain itself where there is no room. It never has a
/// single label, which has rules of its own.
pub(super) fn below(domain: &Name) -> Name {
    if domain.is_root() {
        return below(&elsewhere());
    }
    domain.child(b"knotwork-lint").unwrap_or_else(|_| domain.clone())
}

/// A domain that stands for those that nobody declares.
pub(super) fn elsewhere() -> Name {
    Name::parse("elsewhere.example").unwrap_or_else(|_| Name::root())
}

fn is_at_or_below(name: &Name, text: &str) -> bool {
    Name::parse(text).is_ok_and(|zone| name.is_at_or_below(&zone))
}

/// Whether the name belongs to multicast DNS.
pub(super) fn is_local(name: &Name) -> bool {
    is_at_or_below(name, "local")
}

/// Whether the names exist in private networks only.
pub(super) fn is_private(name: &Name) -> bool {
    if name.is_root() {
        return false;
    }
    PRIVATE.iter().any(|private| is_at_or_below(name, private)) || is_private_reverse(name)
}

/// Whether it is a reverse zone (or below one) of private addresses.
fn is_private_reverse(zone: &Name) -> bool {
    // Filled up to a whole address with zeros.
    let (digits, full) = if is_at_or_below(zone, "in-addr.arpa") {
        (b"0", 6)
    } else if is_at_or_below(zone, "ip6.arpa") {
        (b"0", 34)
    } else {
        return false;
    };
    // The zone of a whole family is not private.
    if zone.label_count() < 3 || zone.label_count() > full {
        return false;
    }
    let mut name = zone.clone();
    while name.label_count() < full {
        name = match name.child(digits) {
            Ok(name) => name,
            Err(_) => return false,
        };
    }
    // 172.in-addr.arpa and 192.in-addr.arpa hold public addresses too, and begin with them.
    address_of(&name).is_some_and(is_private_address)
}

/// Whether the address is one of a private network, or of this machine.
pub(super) fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.segments()[0] & 0xfe00 == 0xfc00 || v6.segments()[0] & 0xffc0 == 0xfe80
        }
    }
}

/// Whether resolved answers it without asking anybody.
pub(super) fn is_never_asked(name: &Name, version: SystemdVersion) -> bool {
    let since = [
        ("localhost", 0),
        ("localhost.localdomain", 0),
        ("127.in-addr.arpa", 0),
        ("0.in-addr.arpa", 0),
        ("invalid", 0),
        ("alt", 255),
        ("resolver.arpa", 256),
    ];
    since.iter().any(|(zone, first)| version.0 >= *first && is_at_or_below(name, zone))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn private_names_and_addresses() {
        for (text, private) in [
            ("maas", true),
            ("x.homelab", true),
            ("4.168.192.in-addr.arpa", true),
            ("168.192.in-addr.arpa", true),
            ("192.in-addr.arpa", false),
            ("10.in-addr.arpa", true),
            ("in-addr.arpa", false),
            ("8.8.8.in-addr.arpa", false),
            ("0.0.d.f.ip6.arpa", true),
            ("8.b.d.0.1.0.0.2.ip6.arpa", false),
            ("example.com", false),
            (".", false),
        ] {
            assert_eq!(is_private(&Name::parse(text).unwrap()), private, "{text}");
        }
        for (text, private) in [
            ("192.168.4.53", true),
            ("1.1.1.1", false),
            ("100.100.100.100", true),
            ("fd00::1", true),
            ("2606::1", false),
        ] {
            assert_eq!(is_private_address(text.parse().unwrap()), private, "{text}");
        }
    }
}
