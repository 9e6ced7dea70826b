//! Claims: declared record sets, with the objects that declare them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{FastMap, FastSet, Name, RrSet, RrType};

/// The identity of a declaring object as markers write it: `<kind>/<namespace>/<name>`, the kind in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(Arc<str>);

impl ObjectId {
    /// From marker form.
    pub fn new(text: impl Into<Arc<str>>) -> ObjectId {
        ObjectId(text.into())
    }
    /// Of a `StaticDNSRecord`.
    pub fn static_record(namespace: &str, name: &str) -> ObjectId {
        ObjectId(format!("staticdnsrecord/{namespace}/{name}").into())
    }
    /// Of a `DNSEndpoint` of ExternalDNS.
    pub fn endpoint(namespace: &str, name: &str) -> ObjectId {
        ObjectId(format!("dnsendpoint/{namespace}/{name}").into())
    }
    /// Marker form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether objects of its kind declare one name, and what follows from it.
    pub fn declares_one_name(&self) -> bool {
        self.0.starts_with("staticdnsrecord/")
    }
    /// The namespace; empty when the form has none.
    pub fn namespace(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or("")
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to do about an unmarked record set that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AdoptPolicy {
    /// Leave it; the claim waits.
    Never,
    /// Add our marker when the values and the TTL are the same.
    #[default]
    IfIdentical,
    /// Replace it.
    Takeover,
}

/// What happens to the records when their object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeletionPolicy {
    /// They go with it.
    #[default]
    Delete,
    /// Only the marker goes.
    Retain,
}

/// One declared record set.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Owner name.
    pub name: Name,
    /// Record type.
    pub rtype: RrType,
    /// Values and the TTL in force (declared, or the zone's default).
    pub set: RrSet,
    /// Who declares it.
    pub object: ObjectId,
    /// Creation time of the object, seconds since the epoch; `None` in files, where only the name decides.
    pub created: Option<i64>,
    /// About unmarked sets. `Takeover` only reaches here when the claim has the right to it.
    pub adopt: AdoptPolicy,
    /// What happens when the object goes.
    pub deletion: DeletionPolicy,
    /// Whether several objects contribute values to this set.
    pub share: bool,
    /// Whether this is a PTR that `reverse: true` made.
    pub reverse: bool,
}

impl Claim {
    /// Whether both say the same, values to the letter: a change of case alone is a change of the wish.
    pub fn says_the_same(&self, other: &Claim) -> bool {
        let Claim { name, rtype, set, object, created, adopt, deletion, share, reverse } = self;
        (name, rtype, object, created, adopt, deletion, share, reverse)
            == (
                &other.name,
                &other.rtype,
                &other.object,
                &other.created,
                &other.adopt,
                &other.deletion,
                &other.share,
                &other.reverse,
            )
            && (set.ttl, &set.values) == (other.set.ttl, &other.set.values)
    }
}

/// What is known of an object, apart from what it declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectState {
    /// It exists and all it declares is in the claims.
    Present,
    /// It exists but is invalid, denied or unreadable in part: whatever markers name it stays as it is.
    Protected,
    /// It is being deleted (holds our finalizer): what it published may go.
    Deleting,
    /// Being let go without touching DNS values: only markers go (`abandon`).
    Abandoned,
    /// Observe, do not repair (`pause`).
    Paused,
    /// It is the last of a file that may be cut short, and so may a value of it be: what it creates counts, what it would
    /// change or take away waits.
    Doubted,
}

impl ObjectState {
    /// Whether what the object declares counts; else what it published is decided by its state alone.
    pub fn declares(self) -> bool {
        match self {
            ObjectState::Present | ObjectState::Paused | ObjectState::Doubted => true,
            ObjectState::Protected | ObjectState::Deleting | ObjectState::Abandoned => false,
        }
    }
}

/// Whether the source was read in full. Anything but `Complete` forbids every delete of ours (DESIGN invariant 6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SourceHealth {
    /// Everything was read and parsed.
    #[default]
    Complete,
    /// Something could not be read or parsed; one line for each, naming the file.
    Incomplete(Vec<String>),
}

/// Everything that is declared for one zone, with the state of every object of the source.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// Claims by owner name and type; several for one set when objects compete or share.
    pub sets: BTreeMap<Name, BTreeMap<RrType, Vec<Claim>>>,
    /// All objects of the source, also those with nothing in this zone; the same map for every zone.
    pub objects: Arc<FastMap<ObjectId, ObjectState>>,
    /// Whether the source was read in full.
    pub health: SourceHealth,
    /// A person said that these objects are the whole world (`--prune`).
    pub prune: bool,
    /// Orphans that a person ordered to be deleted, by name, type and the object that the marker names.
    pub released: Arc<FastSet<OrphanKey>>,
    /// The state of the source that this is; 0 where nobody counts.
    pub revision: u64,
}

/// An orphan: owner name, type, and the object that its marker names.
pub type OrphanKey = (Name, RrType, ObjectId);

impl Claims {
    /// Adds one claim.
    pub fn insert(&mut self, claim: Claim) {
        self.sets.entry(claim.name.clone()).or_default().entry(claim.rtype).or_default().push(claim);
    }

    /// Keeps only the claims that `wanted` says yes to.
    pub fn retain(&mut self, wanted: impl Fn(&Claim) -> bool) {
        self.sets.retain(|_, types| {
            types.retain(|_, claims| {
                claims.retain(&wanted);
                !claims.is_empty()
            });
            !types.is_empty()
        });
    }
}
