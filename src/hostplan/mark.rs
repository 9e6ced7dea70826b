//! The first line of a file of ours: who it is of, and the hash that tells our work from a person's.

use sha2::{Digest, Sha256};

use crate::split::policy::Origin;

const BEGINS: &str = "# Managed by knotwork";
const HASH: &str = "sha256=";

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Ours, as we left it.
    Ours,
    /// Ours, and somebody changed it.
    Edited,
    /// Without our mark.
    Foreign,
}

/// SHA-256 in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The policies in words: `policy homelab`, `policies homelab, office`.
pub fn policies(origins: &[Origin]) -> String {
    let names: Vec<&str> = origins.iter().map(|origin| &**origin).collect();
    match names.len() {
        1 => format!("policy {}", names[0]),
        _ => format!("policies {}", names.join(", ")),
    }
}

/// The first line of a script, before the mark: the kernel looks for it there.
pub const SCRIPT: &str = "#!/bin/sh\n";

/// A file of ours: the mark and everything after it.
pub fn stamp(origins: &[Origin], body: &str) -> Vec<u8> {
    let (first, body) = body.strip_prefix(SCRIPT).map_or(("", body), |body| (SCRIPT, body));
    let sum = hash(body.as_bytes());
    format!("{first}{BEGINS}, {}. Changes here are lost; {HASH}{sum}\n{body}", policies(origins)).into_bytes()
}

/// What the first line says of a file, and whether it is still true.
pub fn whose(content: &[u8]) -> Whose {
    let content = content.strip_prefix(SCRIPT.as_bytes()).unwrap_or(content);
    let end = content.iter().position(|byte| *byte == b'\n');
    let (first, rest) = content.split_at(end.map_or(content.len(), |at| at + 1));
    if !first.starts_with(BEGINS.as_bytes()) {
        return Whose::Foreign;
    }
    let said = std::str::from_utf8(first).ok().and_then(|line| line.trim_end().rsplit_once(HASH));
    match said {
        Some((_, sum)) if sum == hash(rest) => Whose::Ours,
        _ => Whose::Edited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_octet_changed_is_seen() {
        let file = stamp(&["homelab".into(), "office".into()], "[Resolve]\nDNS=\n");
        assert!(file.starts_with(b"# Managed by knotwork, policies homelab, office. Changes here are lost; sha256="));
        assert_eq!(whose(&file), Whose::Ours);
        let body = file.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for at in body..file.len() {
            let mut other = file.clone();
            other[at] ^= 1;
            assert_eq!(whose(&other), Whose::Edited, "octet {at}");
        }
        assert_eq!(whose(&file[..file.len() - 1]), Whose::Edited);
        assert_eq!(whose(b"# Managed by knotwork"), Whose::Edited);
        assert_eq!(whose(b"[Resolve]\n"), Whose::Foreign);
        assert_eq!(whose(b""), Whose::Foreign);
        let script = stamp(&["homelab".into()], "#!/bin/sh\nexit 0\n");
        assert!(script.starts_with(b"#!/bin/sh\n# Managed by knotwork, policy homelab."));
        assert_eq!(whose(&script), Whose::Ours);
        assert_eq!(whose(&[&script[..], b"\n"].concat()), Whose::Edited);
        assert_eq!(whose(b"#!/bin/sh\nexit 0\n"), Whose::Foreign);
    }
}
