//! The fence: one TXT in a zone that names the instance which may write it for an owner id (DESIGN §4 "The fence").
//!
//! Only its words are here. When it is created, raised or respected is decided in `zone::fence`, beside the clock.

use super::marker::{Escaped, unescape};
use super::{ZoneRules, txt};
use crate::model::{Name, Rdata, RrType};
use crate::view::View;

/// A fence: `heritage=knotwork,instance=<id>,epoch=<n>,nonce=<hex>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Who holds the owner id in this zone.
    pub instance: String,
    /// Rises each time that a process takes the zone.
    pub epoch: u64,
    /// 128 random bits in hex, new with every epoch: two processes that raise to one epoch still differ.
    pub nonce: String,
}

/// What stands where the fence of this installation belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No TXT at all.
    Absent,
    /// One fence that this version understands.
    Fence(Fence),
    /// What a Knotwork wrote and this version does not understand, as transferred.
    Unreadable(Vec<Rdata>),
    /// Values of somebody else, as transferred: never ours to replace.
    Foreign(Vec<Rdata>),
}

impl Fence {
    /// Reads what stands at [`Fence::name`].
    pub fn standing(rules: &ZoneRules, view: &View) -> Standing {
        Fence::read(view.get(&Fence::name(rules), RrType::TXT).map(|set| set.values).unwrap_or_default())
    }

    /// Reads the values of the set where a fence belongs.
    pub fn read(values: Vec<Rdata>) -> Standing {
        let is_foreign = |value: &&Rdata| !txt::join(value).is_some_and(|text| text.starts_with(b"heritage=knotwork,"));
        let foreign: Vec<Rdata> = values.iter().filter(is_foreign).cloned().collect();
        if !foreign.is_empty() {
            return Standing::Foreign(foreign);
        }
        match &values[..] {
            [] => Standing::Absent,
            [only] => Fence::parse_rdata(only).map_or_else(|| Standing::Unreadable(values.to_vec()), Standing::Fence),
            _ => Standing::Unreadable(values),
        }
    }

    /// Where the fence of this installation stands: `<owner>.<label>.<apex>`.
    ///
    /// The root stands in for a name that does not fit; the configuration refuses such an owner or label.
    pub fn name(rules: &ZoneRules) -> Name {
        rules
            .zone
            .child(rules.label.as_bytes())
            .and_then(|node| node.child(rules.owner.as_bytes()))
            .unwrap_or_else(|_| Name::root())
    }

    /// The text.
    pub fn to_text(&self) -> String {
        let (instance, nonce) = (Escaped(self.instance.as_bytes()), Escaped(self.nonce.as_bytes()));
        format!("heritage=knotwork,instance={instance},epoch={},nonce={nonce}", self.epoch)
    }

    /// The TXT RDATA.
    pub fn to_rdata(&self) -> Rdata {
        txt::split(self.to_text().as_bytes())
    }

    /// Reads a TXT; `None` for anything but a fence as [`Fence::to_rdata`] writes it.
    pub fn parse_rdata(rdata: &[u8]) -> Option<Fence> {
        let joined = txt::join(rdata)?;
        let text = std::str::from_utf8(&joined).ok()?;
        let mut pairs = text.strip_prefix("heritage=knotwork,")?.split(',');
        let mut value = |key: &str| {
            let (found, value) = pairs.next()?.split_once('=')?;
            (found == key).then(|| String::from_utf8(unescape(value)?).ok())?
        };
        let fence =
            Fence { instance: value("instance")?, epoch: value("epoch")?.parse().ok()?, nonce: value("nonce")? };
        (!fence.instance.is_empty() && fence.to_text() == text).then_some(fence)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ownership::test_rules;

    #[test]
    fn goes_both_ways() {
        let fence = Fence { instance: "nas, upstairs".into(), epoch: 7, nonce: "00ff".into() };
        assert_eq!(fence.to_text(), "heritage=knotwork,instance=nas%2C%20upstairs,epoch=7,nonce=00ff");
        assert_eq!(Fence::parse_rdata(&fence.to_rdata()), Some(fence));
    }

    #[test]
    fn anything_else_is_no_fence() {
        for text in [
            "heritage=knotwork,instance=nas,epoch=07,nonce=ff",
            "heritage=knotwork,instance=nas,epoch=7",
            "heritage=knotwork,instance=,epoch=7,nonce=ff",
            "heritage=knotwork,instance=nas,epoch=7,nonce=ff,more=x",
            "heritage=knotwork,v=1,owner=home,type=A,set=0123456789abcdef,resource=x",
            "",
        ] {
            assert_eq!(Fence::parse_rdata(&txt::split(text.as_bytes())), None, "{text}");
        }
    }

    #[test]
    fn stands_under_the_label_of_the_apex() {
        assert_eq!(Fence::name(&test_rules()), Name::parse("home._knotwork.internal").unwrap());
    }
}
