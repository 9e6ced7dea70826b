//! The Nix module's markers: `heritage=nix,managed-by=<who>` at `nix.<name>`, each covering a whole name.

use super::txt;
use crate::model::Name;

/// Reads the content: who manages the name.
pub fn parse(rdata: &[u8]) -> Option<String> {
    let joined = txt::join(rdata)?;
    let text = String::from_utf8_lossy(&joined);
    let text = text.trim_matches('"');
    let rest = text.strip_prefix("heritage=nix").filter(|rest| rest.is_empty() || rest.starts_with(','))?;
    Some(rest.split(',').find_map(|pair| pair.strip_prefix("managed-by=")).unwrap_or_default().to_owned())
}

/// The name that a marker of this name covers.
pub fn covered(prefix: &str, txt_name: &Name) -> Option<Name> {
    let text = txt_name.to_relaxed();
    Name::parse(text.strip_prefix(&prefix.to_ascii_lowercase()).filter(|rest| !rest.is_empty())?).ok()
}

/// Where the marker of a name stands; `None` when it cannot stand in `zone`.
pub fn txt_name(prefix: &str, zone: &Name, name: &Name) -> Option<Name> {
    Name::parse(&format!("{prefix}{}", name.to_relaxed())).ok().filter(|txt| txt.is_at_or_below(zone))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn content_and_names() {
        let n = |text: &str| Name::parse(text).unwrap();
        assert_eq!(parse(&txt::split(b"heritage=nix,managed-by=routy")).unwrap(), "routy");
        assert_eq!(parse(&txt::split(b"heritage=nix")).unwrap(), "");
        assert_eq!(parse(&txt::split(b"heritage=nixos,managed-by=routy")), None);
        assert_eq!(covered("nix.", &n("nix.www.internal")), Some(n("www.internal")));
        assert_eq!(covered("nix.", &n("www.internal")), None);
        assert_eq!(txt_name("nix.", &n("internal"), &n("internal")), Some(n("nix.internal")));
        assert_eq!(txt_name("nix-", &n("internal"), &n("internal")), None);
    }
}
