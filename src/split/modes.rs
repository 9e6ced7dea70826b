//! Modes as resolved shows them, and how far a link's reach under the host's.

use super::facts;
use super::lower_merge::From;
use super::policy::{DnsOverTls, Dnssec, Link, Modes, Multicast, Origin};

impl Modes {
    /// What was read of resolved, as far as it is known.
    pub fn read(is: &facts::Modes) -> Modes {
        let has = |is: &Option<String>, word: &str| is.as_deref() == Some(word);
        let dnssec = [Dnssec::On, Dnssec::Off, Dnssec::AllowDowngrade];
        let tls = [DnsOverTls::On, DnsOverTls::Off, DnsOverTls::Opportunistic];
        let casts = [Multicast::On, Multicast::Off, Multicast::Resolve];
        Modes {
            dnssec: dnssec.into_iter().find(|mode| has(&is.dnssec, mode.word())),
            dns_over_tls: tls.into_iter().find(|mode| has(&is.dns_over_tls, mode.word())),
            mdns: casts.into_iter().find(|mode| has(&is.mdns, mode.word())),
            llmnr: casts.into_iter().find(|mode| has(&is.llmnr, mode.word())),
        }
    }

    /// These, and for what they leave those.
    pub fn or(self, other: Modes) -> Modes {
        Modes {
            dnssec: self.dnssec.or(other.dnssec),
            dns_over_tls: self.dns_over_tls.or(other.dns_over_tls),
            mdns: self.mdns.or(other.mdns),
            llmnr: self.llmnr.or(other.llmnr),
        }
    }

    /// A link's modes under those of the host: multicast DNS and LLMNR reach no further than the host's at any release, and
    /// newer ones (257) show the lesser of both as the link's own, so that more can never be read back.
    pub fn within(self, host: Modes) -> Modes {
        let lesser = |own: Option<Multicast>, host: Option<Multicast>| match (own, host) {
            (None, _) => None,
            (Some(_), Some(Multicast::Off)) => Some(Multicast::Off),
            (Some(Multicast::On), Some(Multicast::Resolve)) => Some(Multicast::Resolve),
            (own, _) => own,
        };
        Modes { mdns: lesser(self.mdns, host.mdns), llmnr: lesser(self.llmnr, host.llmnr), ..self }
    }
}

/// Wishes about links that reach further than the host's: policy, field, and what becomes of it.
pub(super) fn limited(links: &[From<Link>], host: Modes) -> Vec<(Origin, String, String)> {
    let mut all = Vec::new();
    for From { policy, field, value } in links {
        let (own, held) = (value.modes, value.modes.within(host));
        for (key, own, held) in [("multicastDNS", own.mdns, held.mdns), ("llmnr", own.llmnr, held.llmnr)] {
            if let (Some(own), Some(held)) = (own, held)
                && own != held
            {
                let message =
                    format!("\"{}\" comes to \"{}\", as the host as a whole goes no further", own.word(), held.word());
                all.push((policy.clone(), format!("{field}.{key}"), message));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reaches_no_further_than_the_host() {
        use Multicast::{Off, On, Resolve};
        for (own, host, both) in [
            (Some(On), Some(On), Some(On)),
            (Some(On), Some(Resolve), Some(Resolve)),
            (Some(Resolve), Some(On), Some(Resolve)),
            (Some(Resolve), Some(Off), Some(Off)),
            (Some(Off), Some(On), Some(Off)),
            (Some(On), None, Some(On)),
            (None, Some(Off), None),
        ] {
            let (own, host) = (Modes { llmnr: own, ..Modes::default() }, Modes { llmnr: host, ..Modes::default() });
            assert_eq!(own.within(host).llmnr, both, "{own:?} {host:?}");
            let turned = |modes: Modes| Modes { mdns: modes.llmnr, llmnr: None, ..modes };
            assert_eq!(turned(own).within(turned(host)).mdns, both);
        }
    }
}
