//! Versions of systemd, and what begins or ends with them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A release of systemd, by its number: `252` for 252.39-1~deb12u1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SystemdVersion(pub u16);

/// Why a text is not a version that we know rules for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not a number with digits in front.
    #[error("\"{0}\" is not a version of systemd; write it as v252 or 252")]
    Text(String),
    /// Before the first that has per-link default routes.
    #[error("systemd {0} is older than {first}, the first whose rules are known here", first = SystemdVersion::OLDEST)]
    TooOld(u16),
}

impl SystemdVersion {
    /// The first whose rules are known: the one that brought `SetLinkDefaultRoute`.
    pub const OLDEST: SystemdVersion = SystemdVersion(240);
    /// The newest that was tried; later ones are taken to behave alike.
    pub const NEWEST: SystemdVersion = SystemdVersion(262);

    /// Has `dns-delegate.d`, and lets link-local addresses reach link-local servers.
    pub fn has_delegates(self) -> bool {
        self.0 >= 258
    }

    /// The versions at which some rule of routing changes, oldest first: together they stand for all of them.
    pub const TURNS: &[SystemdVersion] = &[
        SystemdVersion(240),
        SystemdVersion(246),
        SystemdVersion(248),
        SystemdVersion(249),
        SystemdVersion(253),
        SystemdVersion(255),
        SystemdVersion(256),
        SystemdVersion(257),
        SystemdVersion(258),
    ];
}

impl fmt::Display for SystemdVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SystemdVersion {
    type Err = VersionError;

    /// Reads `v252`, `252`, `252.39-1~deb12u1` or what `systemctl --version` begins with.
    fn from_str(text: &str) -> Result<SystemdVersion, VersionError> {
        let wrong = || VersionError::Text(text.to_owned());
        let rest = text.trim();
        let rest = rest.strip_prefix("systemd ").unwrap_or(rest);
        let rest = rest.strip_prefix('v').unwrap_or(rest);
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
        let after = rest.get(digits.len()..).unwrap_or("");
        if digits.is_empty() || after.starts_with(|c: char| c.is_alphanumeric()) {
            return Err(wrong());
        }
        let number: u16 = digits.parse().map_err(|_| wrong())?;
        if number < SystemdVersion::OLDEST.0 {
            return Err(VersionError::TooOld(number));
        }
        Ok(SystemdVersion(number))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_people_and_packages_write_them() {
        for text in ["v252", "252", "252.39-1~deb12u1", "systemd 252 (252.39-1~deb12u1)", "252~rc1"] {
            assert_eq!(text.parse(), Ok(SystemdVersion(252)), "{text}");
        }
        for text in ["", "v", "new", "25x", "-252", "70000"] {
            assert!(matches!(text.parse::<SystemdVersion>(), Err(VersionError::Text(_))), "{text}");
        }
        assert_eq!("239".parse::<SystemdVersion>(), Err(VersionError::TooOld(239)));
        assert_eq!(
            VersionError::TooOld(239).to_string(),
            "systemd 239 is older than 240, the first whose rules are known here"
        );
    }
}
