//! A domain of a scope: a search domain, or with `~` one for routing alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{Name, NameError};

/// A domain of a scope as resolved keeps it: `corp.example` is searched and routed, `~corp.example` only routed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoutedDomain {
    /// The domain; the root is every name.
    pub name: Name,
    /// Not appended to single-label names.
    pub route_only: bool,
}

impl RoutedDomain {
    /// Whether it is appended to single-label names: the root never is.
    pub fn is_search(&self) -> bool {
        !self.route_only && !self.name.is_root()
    }

    /// How many labels a name under it shares with it.
    pub fn labels(&self) -> usize {
        self.name.label_count()
    }
}

impl FromStr for RoutedDomain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<RoutedDomain, NameError> {
        let (route_only, name) = match text.strip_prefix('~') {
            Some(name) => (true, name),
            None => (false, text),
        };
        Ok(RoutedDomain { name: Name::parse(name)?, route_only })
    }
}

impl fmt::Display for RoutedDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.route_only { "~" } else { "" }, self.name.to_relaxed())
    }
}

impl Serialize for RoutedDomain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RoutedDomain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RoutedDomain, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("domain \"{text}\": {error}")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_tilde_is_kept_apart_from_the_name() {
        let domain: RoutedDomain = "~Corp.Example.".parse().unwrap();
        assert!(domain.route_only && !domain.is_search());
        assert_eq!(domain.to_string(), "~corp.example");
        assert_eq!(domain.labels(), 2);
        let root: RoutedDomain = "~.".parse().unwrap();
        assert_eq!((root.to_string().as_str(), root.labels()), ("~.", 0));
        assert!(!".".parse::<RoutedDomain>().unwrap().is_search());
        assert!("corp".parse::<RoutedDomain>().unwrap().is_search());
        assert!("~bad..name".parse::<RoutedDomain>().is_err());
    }
}
