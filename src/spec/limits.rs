//! How long texts and lists may be: the bounds of the CRD schema, which the code holds to as well.
//!
//! Texts are counted in characters, as the API server counts them.

use super::problem::Problem;

/// A domain name as text: 255 octets, each as `\DDD`.
pub(super) const NAME: usize = 1004;
/// Values of a list of texts.
pub(super) const VALUES: usize = 1024;
/// Values of a list of objects.
pub(super) const OBJECTS: usize = 256;
/// Types under `other`.
pub(super) const TYPES: usize = 64;
/// The name of a type.
pub(super) const TYPE: usize = 32;
/// A text that becomes octets one to one.
pub(super) const TEXT: usize = 65535;
/// Octets as hexadecimal digits.
pub(super) const HEX: usize = 2 * TEXT;
/// The hexadecimal digits of a hash.
pub(super) const HASH: usize = 1024;
/// A value in zone-file form; octets may be written as `\DDD`.
pub(super) const RDATA: usize = 4 * TEXT;
/// A character-string.
pub(super) const STRING: usize = 255;
/// A CAA tag.
pub(super) const TAG: usize = 15;

/// A domain of a policy, in characters.
pub(super) const DOMAIN: usize = 255;
/// A server: an address, a port, an interface, a name.
pub(super) const SERVER: usize = 330;
/// Domains of one route or link.
pub(super) const DOMAINS: usize = 1024;
/// Servers of one route or link.
pub(super) const SERVERS: usize = 32;
/// Routes, links, probes of one policy.
pub(super) const PARTS: usize = 64;
/// Address ranges of one route.
pub(super) const RANGES: usize = 32;
/// Machines named in a policy.
pub(super) const HOSTS: usize = 1024;
/// Lines of the hosts block.
pub(super) const LINES: usize = 256;

/// Examples of conflicts and of orphans in a zone's status.
pub(super) const SAMPLE: usize = 8;
/// A text in a zone's status that others may have written into the zone: a status has to stay small.
pub(super) const STATUS_TEXT: usize = 1024;

/// Whether a text keeps to its limit.
pub(super) fn fits(text: &str, most: usize, path: &str) -> Result<(), Problem> {
    // Characters are never more than octets.
    if text.len() <= most || text.chars().count() <= most {
        return Ok(());
    }
    Err(Problem::invalid(path, format!("{} characters; the limit is {most}", text.chars().count())))
}

/// Whether a list keeps to its limit.
pub(super) fn few(len: usize, most: usize, path: &str) -> Result<(), Problem> {
    if len <= most {
        return Ok(());
    }
    Err(Problem::invalid(path, format!("{len} values; the limit is {most}")))
}
