//! What ExternalDNS's registry cannot keep by itself, kept at `_edns-<type>` below the name that it speaks of, or for a DNAME,
//! below which nothing can stand, at `_edns-dname-<label>` beside it.
//!
//! There are ownership TXTs that have no place where ExternalDNS wants them: outside the zone (`a-example.com` for the apex of
//! `example.com`), at the CNAME or below the DNAME that they speak of, or with a first label of more than 63 octets. And there are registries
//! that write none. The node holds the ownership text as it is, so that every reader takes it for what it is, and beside it a
//! note of ours: under which names ExternalDNS believes it to be, and whether the set wants PTRs. What is shown to ExternalDNS
//! (`super::list`) is what it would have seen if everything had its place.

use crate::model::{Name, Rdata, RrType};
use crate::ownership::{external_dns, txt};

/// How a note begins.
const HERITAGE: &str = "heritage=knotwork-edns";

/// What stands beside an ownership TXT at its alias.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// Under which names ExternalDNS believes the ownership TXT to be; none: it knows it as labels of the set.
    pub names: Vec<Name>,
    /// The set wants PTRs.
    pub ptr: bool,
}

impl Note {
    /// Whether there is nothing to be noted.
    pub fn is_empty(&self) -> bool {
        *self == Note::default()
    }

    /// As a TXT value.
    pub fn to_rdata(&self) -> Rdata {
        let mut text = HERITAGE.to_owned();
        if self.ptr {
            text.push_str(",ptr=true");
        }
        for name in &self.names {
            text.push_str(",name=");
            text.push_str(&name.to_relaxed());
        }
        txt::split(text.as_bytes())
    }

    /// Reads a value; `None` when it is no note.
    pub fn parse(value: &[u8]) -> Option<Note> {
        let text = txt::join(value)?;
        let text = std::str::from_utf8(&text).ok()?.strip_prefix(HERITAGE)?;
        let mut note = Note::default();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("ptr", value)) => note.ptr = value == "true",
                Some(("name", value)) => note.names.push(Name::parse(value).ok()?),
                _ => {}
            }
        }
        Some(note)
    }
}

/// The node of a set; `None` where its name has no room for one more label.
pub fn node(owned: &Name, rtype: RrType) -> Option<Name> {
    external_dns::alias_of(owned, rtype)
}

/// Whether a name is that of such a node, which nobody may declare.
pub fn is_node(name: &Name) -> bool {
    external_dns::aliased(name).is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ownership::{Marker, MarkerText};

    fn n(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn the_node_speaks_of_its_set() {
        let at = node(&n("ex.com"), RrType::A).unwrap();
        assert_eq!(at, n("_edns-a.ex.com"));
        assert!(is_node(&at) && !is_node(&n("edns-a.ex.com")));
        assert_eq!(
            external_dns::covered(&[], &at),
            [external_dns::Covered { name: n("ex.com"), rtype: Some(RrType::A) }]
        );
    }

    /// Below a DNAME there is no room; beside it there is.
    #[test]
    fn the_node_of_a_dname_stands_beside_it() {
        let at = node(&n("old.ex.com"), RrType::DNAME).unwrap();
        assert_eq!(at, n("_edns-dname-old.ex.com"));
        assert!(is_node(&at));
        assert_eq!(
            external_dns::covered(&[], &at),
            [external_dns::Covered { name: n("old.ex.com"), rtype: Some(RrType::DNAME) }]
        );
        assert_eq!(node(&n(&format!("{}.ex.com", "x".repeat(52))), RrType::DNAME), None, "a label has 63 octets");
    }

    #[test]
    fn notes_go_both_ways_and_are_nobody_elses_marks() {
        let long = n(&format!("a-{}.ex.com", "x".repeat(60)));
        for note in [
            Note::default(),
            Note { names: vec![], ptr: true },
            Note { names: vec![n("a-ex.com"), n("ex.com"), long.clone(), long], ptr: true },
        ] {
            let value = note.to_rdata();
            assert_eq!(Note::parse(&value), Some(note));
            assert_eq!(Marker::parse_rdata(&value), MarkerText::Other);
            assert_eq!(external_dns::parse(&value), None);
            assert!(!txt::is_anybodys_marker(&value));
        }
        assert_eq!(Note::parse(&txt::split(b"heritage=external-dns,external-dns/owner=x")), None);
    }
}
