//! Names that resolved answers or refuses by itself, by version; none of them ever goes to a server.

use crate::model::Name;
use crate::split::SystemdVersion;

/// Why a name never leaves the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// A line of /etc/hosts.
    Hosts,
    /// `localhost` and below, and the reverse names of loopback addresses.
    Loopback,
    /// `_gateway`, `_outbound`, `_localdnsstub`, `_localdnsproxy`.
    Synthesized,
    /// The host's own name.
    OwnName,
    /// Reserved so that it never resolves (RFC 6303, RFC 6761, RFC 9476).
    Reserved,
}

impl Local {
    /// In words.
    pub fn why(self) -> &'static str {
        match self {
            Local::Hosts => "answered from /etc/hosts",
            Local::Loopback => "a name of the loopback, answered by resolved itself",
            Local::Synthesized => "answered by resolved itself",
            Local::OwnName => "the host's own name, answered by resolved itself",
            Local::Reserved => "a reserved name, answered with NXDOMAIN by resolved itself",
        }
    }
}

/// Text that never changes, as names: all of it is valid.
fn name(text: &str) -> Name {
    Name::parse(text).unwrap_or_else(|_| Name::root())
}

/// The names of this version; matching is by octets, without allocation.
#[derive(Debug, Clone)]
pub(super) struct Special {
    version: SystemdVersion,
    /// Wire forms of names that with everything below them never leave.
    trees: Vec<(Box<[u8]>, Local)>,
    /// Wire forms of single names.
    names: Vec<(Box<[u8]>, Local)>,
    own: Vec<Name>,
}

impl Special {
    pub(super) fn new(version: SystemdVersion, own: Option<&Name>) -> Special {
        let mut trees = vec![
            ("localhost", Local::Loopback),
            ("localhost.localdomain", Local::Loopback),
            ("127.in-addr.arpa", Local::Loopback),
            ("0.in-addr.arpa", Local::Reserved),
            ("invalid", Local::Reserved),
        ];
        if version.0 >= 255 {
            trees.push(("alt", Local::Reserved));
        }
        if version.0 >= 256 {
            trees.push(("resolver.arpa", Local::Reserved));
        }
        let zeros = format!("{}ip6.arpa", "0.".repeat(32));
        let one = format!("1.{}ip6.arpa", "0.".repeat(31));
        let mut names = vec![
            ("255.255.255.255.in-addr.arpa", Local::Reserved),
            (zeros.as_str(), Local::Reserved),
            (one.as_str(), Local::Loopback),
            ("_gateway", Local::Synthesized),
        ];
        if version.0 >= 249 {
            names.push(("_outbound", Local::Synthesized));
        }
        if version.0 >= 253 {
            names.extend([("_localdnsstub", Local::Synthesized), ("_localdnsproxy", Local::Synthesized)]);
        }
        let wire = |(text, local): (&str, Local)| (Box::from(name(text).wire()), local);
        // The full name, its first label (LLMNR's) and that under .local (mDNS's) are all taken for one's own.
        let mut all = Vec::new();
        if let Some(own) = own {
            all.push(own.clone());
            if let Some(first) = own.first_label()
                && let Ok(short) = Name::root().child(first)
            {
                all.extend(name("local").child(first));
                all.push(short);
            }
            all.dedup();
        }
        Special {
            version,
            trees: trees.into_iter().map(wire).collect(),
            names: names.into_iter().map(wire).collect(),
            own: all,
        }
    }

    /// Why the name does not leave, if it does not.
    pub(super) fn find(&self, name: &Name) -> Option<Local> {
        let wire = name.wire();
        for (tree, local) in &self.trees {
            if ends(wire, tree) {
                return Some(*local);
            }
        }
        for (single, local) in &self.names {
            if wire == &**single {
                return Some(*local);
            }
        }
        // Through 252 servers are asked for one's own name like for any other, and resolved only answers where none does;
        // 257 keeps it to itself. What is between was not tried, and is taken to send: the careful side.
        (self.version.0 >= 257 && self.own.contains(name)).then_some(Local::OwnName)
    }

    /// What resolved says by itself where no server is asked.
    pub(super) fn instead(&self, name: &Name) -> Option<Local> {
        if self.own.contains(name) {
            return Some(Local::OwnName);
        }
        name.is_root().then_some(Local::Synthesized)
    }
}

/// Whether the name of this wire form is the tree's top or below it.
pub(super) fn ends(wire: &[u8], tree: &[u8]) -> bool {
    let Some(front) = wire.len().checked_sub(tree.len()) else { return false };
    if &wire[front..] != tree {
        return false;
    }
    // The octets fit; they must also begin at a label.
    let mut at = 0;
    while at < front {
        at += usize::from(wire[at]) + 1;
    }
    at == front
}
