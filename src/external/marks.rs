//! Where the ownership of a set stands: at the places that ExternalDNS wants, as far as they are places, and else at our alias.

use super::alias;
use super::plan::{Desk, World, other_owner};
use super::registry::{self, Denied, Registration};
use super::request::{MarkWish, SetWish};
use crate::model::{Name, Rdata, RrType};
use crate::ownership::{external_dns, txt};

/// Where the ownership of a set shall stand.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Places in the zone, each with the text that shall stand there.
    pub(super) placed: Vec<(Name, Rdata)>,
    /// Values of the alias; none: it is not needed.
    pub(super) kept: Vec<Rdata>,
}

impl Desk<'_> {
    /// Whether a request has an ownership TXT of this name stand where it speaks of another.
    pub(super) fn is_forged(&self, pair: &MarkWish) -> bool {
        let rules = self.world.rules;
        pair.wanted.is_at_or_below(&rules.zone)
            && !registry::can_speak(rules, self.world.view, &pair.wanted, self.name())
    }

    /// Where the ownership of a set that shall be there is to stand.
    pub(super) fn marks(
        &self,
        rtype: RrType,
        pairs: &[&MarkWish],
        found: &[Registration],
        resource: &str,
        ptr: bool,
    ) -> Result<Marks, Denied> {
        let World { rules, owners, .. } = self.world;
        let mut marks = Marks::default();
        let mut note = alias::Note { names: Vec::new(), ptr };
        let mut text: Option<Rdata> = None;
        for pair in pairs {
            let Some(value) = &pair.text else { continue };
            self.is_ours(value)?;
            text.get_or_insert_with(|| value.clone());
            // Nothing can stand beside a CNAME, and nothing below a DNAME.
            let has_room = match rtype {
                RrType::CNAME => pair.wanted != *self.name(),
                RrType::DNAME => !pair.wanted.is_at_or_below(self.name()),
                _ => true,
            };
            if pair.wanted.is_at_or_below(&rules.zone) && has_room {
                marks.placed.push((pair.wanted.clone(), self.as_it_stands(&pair.wanted, value)));
            } else {
                note.names.push(pair.wanted.clone());
            }
        }
        if pairs.iter().all(|pair| pair.text.is_none()) {
            // Nothing is said of ownership: what is there stays, and where there is none we write one.
            let counts = |one: &&Registration| one.is_typed || rtype != RrType::TXT;
            let own: Vec<&Registration> =
                found.iter().filter(counts).filter(|one| one.owner.as_deref() == Some(owners.own.as_str())).collect();
            for one in &own {
                if !alias::is_node(&one.at) {
                    marks.placed.push((one.at.clone(), one.value.clone()));
                }
            }
            if let Some(at) = self.alias_of(rtype)
                && let Some(known) = self.note_at(&at)
            {
                note.names = known.names;
            }
            let kept = own.iter().find(|one| alias::is_node(&one.at)).map(|one| one.value.clone());
            if marks.placed.is_empty() {
                text = Some(kept.unwrap_or_else(|| registration(&owners.own, resource)));
            } else {
                text = kept;
            }
        }
        let needs_alias = !note.names.is_empty() || marks.placed.is_empty();
        if needs_alias {
            let text = text.unwrap_or_else(|| registration(&owners.own, resource));
            marks.kept.push(self.alias_of(rtype).map_or(text.clone(), |at| self.as_it_stands(&at, &text)));
        }
        if !note.is_empty() {
            marks.kept.push(note.to_rdata());
        }
        if !marks.kept.is_empty() && self.alias_of(rtype).is_none() {
            let words =
                "the name leaves no room for a label that keeps its ownership; it may have 243 octets, and the first label of a DNAME 51".to_owned();
            return Err(Denied::of("Incompatible", words));
        }
        Ok(marks)
    }

    /// Whether an ownership TXT of the request speaks for the ExternalDNS for which is written.
    fn is_ours(&self, value: &Rdata) -> Result<(), Denied> {
        let World { rules, owners, .. } = self.world;
        match external_dns::read(rules.txt_key.as_ref(), value) {
            Some(said) if said.owner != owners.own => Err(other_owner(&said.owner, owners)),
            None if external_dns::may_be_encrypted(value) => Err(Denied::of(
                "Sealed",
                "its ownership TXT is encrypted, and nobody could ever tell whose the record is: give \
                 webhook.txtEncryptKeyFile the key of --txt-encrypt-aes-key",
            )),
            _ => Ok(()),
        }
    }

    /// The same ownership TXT as it stands there already, if it does: encrypted anew it is another text each time.
    fn as_it_stands(&self, at: &Name, value: &Rdata) -> Rdata {
        let World { rules, view, .. } = self.world;
        let there = || {
            let opened = rules.txt_key.as_ref()?.open(value)?;
            let same =
                |there: &Rdata| external_dns::read(rules.txt_key.as_ref(), there) == external_dns::parse(&opened);
            view.get(at, RrType::TXT)?.values.into_iter().find(same)
        };
        there().unwrap_or_else(|| value.clone())
    }

    pub(super) fn alias_of(&self, rtype: RrType) -> Option<Name> {
        alias::node(self.name(), rtype)
    }

    fn note_at(&self, at: &Name) -> Option<alias::Note> {
        self.world.view.get(at, RrType::TXT)?.values.iter().find_map(|value| alias::Note::parse(value))
    }

    /// Whether a registration goes with this change. One without a type, which versions before 0.18 write beside the other, stays
    /// with a set that has both, and while it speaks of another set.
    pub(super) fn goes(&self, one: &Registration, rtype: RrType, stays_with_both: bool) -> bool {
        if one.is_typed || stays_with_both {
            return one.is_typed;
        }
        let others = |other: RrType| {
            // A zone's own name servers are nobody's.
            let of_the_zone = other == RrType::NS && *self.name() == self.world.rules.zone;
            let is_silent = matches!(other, RrType::AAAA | RrType::TXT | RrType::SOA) || other.is_dnssec();
            let goes = matches!(self.wish.sets.get(&other), Some(SetWish::Gone { .. }));
            !(other == rtype || of_the_zone || is_silent || goes)
        };
        !self.facts.live.iter().any(|(other, _)| others(*other))
            && !self.wish.sets.iter().any(|(other, wish)| others(*other) && matches!(wish, SetWish::Be { .. }))
    }
}

/// One without a type says nothing of AAAA, which came later, and nothing of texts, beside which it always stood.
pub(super) fn speaks_of(mark: &MarkWish, rtype: RrType) -> bool {
    mark.rtype.map_or(!matches!(rtype, RrType::AAAA | RrType::TXT), |only| only == rtype)
}

/// An ownership TXT as the registry would write it.
fn registration(owner: &str, resource: &str) -> Rdata {
    let said = external_dns::Registration { owner: String::new(), resource: resource.to_owned() };
    txt::split(said.with_owner(owner).as_bytes())
}
