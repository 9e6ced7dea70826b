//! Markers: the ownership TXT of a record set (DESIGN §4 "Ownership").

use std::fmt;

use sha2::{Digest, Sha256};

use super::txt;
use crate::model::{Name, NameError, ObjectId, Rdata, RrSet, RrType, rdata};

/// A 64-bit hash of a type and values: SHA-256 over the type (two octets) and each canonical RDATA in sorted order, each
/// with its length before it (two octets), cut to the first eight octets. TTLs are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetHash(pub u64);

impl SetHash {
    /// Of a whole set. The values of an [`RrSet`] are sorted and free of duplicates already.
    pub fn of_set(rtype: RrType, set: &RrSet) -> SetHash {
        let mut hash = Sha256::new();
        hash.update(rtype.0.to_be_bytes());
        for value in &set.values {
            let canonical = rdata::canonical(rtype, value);
            hash.update((canonical.len() as u16).to_be_bytes());
            hash.update(&canonical);
        }
        SetHash::cut(&hash.finalize())
    }

    /// Of one value, as `share=` lists them.
    pub fn of_value(rtype: RrType, value: &[u8]) -> SetHash {
        let canonical = rdata::canonical(rtype, value);
        let mut hash = Sha256::new();
        hash.update(rtype.0.to_be_bytes());
        hash.update((canonical.len() as u16).to_be_bytes());
        hash.update(&canonical);
        SetHash::cut(&hash.finalize())
    }

    fn cut(digest: &[u8]) -> SetHash {
        let mut eight = [0u8; 8];
        eight.copy_from_slice(&digest[..8]);
        SetHash(u64::from_be_bytes(eight))
    }

    fn parse(text: &str) -> Option<SetHash> {
        let lower = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        lower.then(|| u64::from_str_radix(text, 16).ok().map(SetHash))?
    }
}

impl fmt::Display for SetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
impl fmt::Debug for SetHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One marker of version 1: who owns one record set, for which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The owner id of the installation.
    pub owner: String,
    /// The type of the set.
    pub rtype: RrType,
    /// Hash of the values that the object declares.
    pub set: SetHash,
    /// The object.
    pub resource: ObjectId,
    /// `policy=retain`: when the object goes, only the marker goes.
    pub retain: bool,
    /// `share=`: the object is one of several that contribute values; the hashes of its own, sorted.
    pub share: Option<Vec<SetHash>>,
    /// `name=`: for a DNAME, whose marker stands at its parent: the first label of its name.
    pub label: Option<Box<[u8]>>,
}

/// What a TXT at a marker node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkerText {
    /// A marker that we understand whole, ours or another owner's.
    Marker(Marker),
    /// Of the Knotwork family, but of a newer version, with unknown keys, or damaged: read, never written.
    ReadOnly(ReadOnly),
    /// Some other text.
    Other,
}

/// What could be read of a marker that must not be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadOnly {
    /// Its owner id, empty when unreadable.
    pub owner: String,
    /// The type that it covers; `None` covers the whole name.
    pub rtype: Option<RrType>,
    /// The object that it names, empty when unreadable.
    pub resource: String,
    /// First label of a DNAME's name.
    pub label: Option<Box<[u8]>>,
}

impl Marker {
    /// The text, one line of comma-separated pairs; octets outside a plain alphabet are percent-encoded.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "heritage=knotwork,v=1,owner={},type={},set={},resource=",
            Escaped(self.owner.as_bytes()),
            self.rtype,
            self.set
        );
        use fmt::Write as _;
        let mut put = |piece: fmt::Arguments<'_>| {
            // Writing to a String cannot fail.
            let _ = text.write_fmt(piece);
        };
        put(format_args!("{}", Escaped(self.resource.as_str().as_bytes())));
        if self.retain {
            put(format_args!(",policy=retain"));
        }
        if let Some(hashes) = &self.share {
            put(format_args!(",share="));
            for (i, hash) in hashes.iter().enumerate() {
                put(format_args!("{}{hash}", if i == 0 { "" } else { "+" }));
            }
        }
        if let Some(label) = &self.label {
            put(format_args!(",name={}", Escaped(label)));
        }
        text
    }

    /// The TXT RDATA.
    pub fn to_rdata(&self) -> Rdata {
        txt::split(self.to_text().as_bytes())
    }

    /// Reads a TXT. Only what [`Marker::to_rdata`] could have written is a [`MarkerText::Marker`].
    pub fn parse_rdata(rdata: &[u8]) -> MarkerText {
        if !txt::speaks_of_heritage(rdata) {
            return MarkerText::Other;
        }
        if let Some(marker) = parse_plain(rdata) {
            return MarkerText::Marker(marker);
        }
        let Some(joined) = txt::join(rdata) else { return MarkerText::Other };
        let Ok(text) = std::str::from_utf8(&joined) else {
            return if joined.starts_with(b"heritage=knotwork,") {
                MarkerText::ReadOnly(ReadOnly::default())
            } else {
                MarkerText::Other
            };
        };
        let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
        if text != "heritage=knotwork" && !text.starts_with("heritage=knotwork,") {
            return MarkerText::Other;
        }
        match parse_pairs(text) {
            Ok(marker) if marker.to_text().as_bytes() == joined => MarkerText::Marker(marker),
            Ok(marker) => MarkerText::ReadOnly(ReadOnly {
                owner: marker.owner,
                rtype: Some(marker.rtype),
                resource: marker.resource.as_str().to_owned(),
                label: marker.label,
            }),
            Err(read_only) => MarkerText::ReadOnly(read_only),
        }
    }

    /// Where the marker of a set stands: `<label>.<name>`, for a DNAME `<label>.<parent>`.
    ///
    /// # Errors
    /// [`NameError::TooLong`] when `name` is over 255 − label − 1 octets; [`NameError::EmptyLabel`] for a DNAME at the root.
    pub fn node(label: &str, name: &Name, rtype: RrType) -> Result<Name, NameError> {
        if rtype == RrType::DNAME {
            name.parent().ok_or(NameError::EmptyLabel)?.child(label.as_bytes())
        } else {
            name.child(label.as_bytes())
        }
    }
}

/// The common case, without a detour: one string, nothing escaped, nothing optional.
fn parse_plain(rdata: &[u8]) -> Option<Marker> {
    let (&len, text) = rdata.split_first()?;
    if text.len() != usize::from(len) || !text.iter().all(|b| (0x21..=0x7e).contains(b) && !b"%\"\\;".contains(b)) {
        return None;
    }
    let rest = std::str::from_utf8(text).ok()?.strip_prefix("heritage=knotwork,v=1,owner=")?;
    let (owner, rest) = rest.split_once(',')?;
    let (word, rest) = rest.strip_prefix("type=")?.split_once(',')?;
    let (set, rest) = rest.strip_prefix("set=")?.split_once(',')?;
    let resource = rest.strip_prefix("resource=")?;
    let rtype = RrType::parse(word)?;
    let plain = !owner.is_empty() && !resource.is_empty() && !resource.contains(',') && rtype.to_string() == word;
    plain.then(|| {
        let (owner, resource) = (owner.to_owned(), ObjectId::new(resource));
        Some(Marker { owner, rtype, set: SetHash::parse(set)?, resource, retain: false, share: None, label: None })
    })?
}

fn parse_pairs(text: &str) -> Result<Marker, ReadOnly> {
    let mut known = ReadOnly::default();
    let (mut version, mut set, mut retain, mut share, mut odd) = (false, None, false, None, false);
    for (i, pair) in text.split(',').enumerate() {
        let Some((key, value)) = pair.split_once('=') else {
            odd = true;
            continue;
        };
        let plain = || unescape(value).and_then(|bytes| String::from_utf8(bytes).ok());
        match key {
            "heritage" => odd |= i != 0,
            "v" => version = value == "1",
            "owner" => known.owner = plain().unwrap_or_default(),
            "type" => known.rtype = RrType::parse(value),
            "set" => set = SetHash::parse(value),
            "resource" => known.resource = plain().unwrap_or_default(),
            "policy" if value == "retain" => retain = true,
            "share" => {
                let hashes: Option<Vec<SetHash>> =
                    if value.is_empty() { Some(Vec::new()) } else { value.split('+').map(SetHash::parse).collect() };
                odd |= hashes.is_none();
                share = hashes;
            }
            "name" => {
                known.label = unescape(value).map(Into::into);
                odd |= known.label.is_none();
            }
            _ => odd = true,
        }
    }
    match (known.rtype, set) {
        (Some(rtype), Some(set)) if version && !odd && !known.owner.is_empty() && !known.resource.is_empty() => {
            let resource = ObjectId::new(known.resource);
            Ok(Marker { owner: known.owner, rtype, set, resource, retain, share, label: known.label })
        }
        _ => Err(known),
    }
}

/// Writes octets, percent-encoding what would break the pairs or the presentation form of a TXT.
pub(super) struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for &byte in self.0 {
            match byte {
                b',' | b'%' | b'"' | b'\\' | b';' => write!(f, "%{byte:02X}")?,
                0x21..=0x7e => f.write_char(byte as char)?,
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

/// The inverse of [`Escaped`]; `None` for a broken escape.
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        if byte == b'%' {
            let hex = bytes.get(i + 1..i + 3)?;
            let digit = |b: u8| (b as char).to_digit(16);
            out.push((digit(hex[0])? * 16 + digit(hex[1])?) as u8);
            i += 3;
        } else {
            out.push(byte);
            i += 1;
        }
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn marker() -> Marker {
        Marker {
            owner: "home".into(),
            rtype: RrType::A,
            set: SetHash(0x0123_4567_89ab_cdef),
            resource: ObjectId::static_record("dns", "routy"),
            retain: false,
            share: None,
            label: None,
        }
    }

    #[test]
    fn the_grammar_of_the_design() {
        assert_eq!(
            marker().to_text(),
            "heritage=knotwork,v=1,owner=home,type=A,set=0123456789abcdef,resource=staticdnsrecord/dns/routy"
        );
        assert_eq!(Marker::parse_rdata(&marker().to_rdata()), MarkerText::Marker(marker()));
    }

    #[test]
    fn the_short_way_and_the_long_way_agree() {
        for text in [
            marker().to_text(),
            marker().to_text().replace("type=A", "type=TYPE1"),
            marker().to_text().replace("type=A", "type=a"),
            marker().to_text().replace("owner=home", "owner="),
            marker().to_text().replace("owner=home", "owner=ho%6De"),
            format!("{},policy=retain", marker().to_text()),
            format!("{},", marker().to_text()),
        ] {
            let rdata = txt::split(text.as_bytes());
            let long = match parse_pairs(&text) {
                Ok(marker) if marker.to_text() == text => Some(marker),
                _ => None,
            };
            let parsed = match Marker::parse_rdata(&rdata) {
                MarkerText::Marker(marker) => Some(marker),
                _ => None,
            };
            assert_eq!(parsed, long, "{text}");
            assert!(parse_plain(&rdata).is_none() || parse_plain(&rdata) == long, "{text}");
        }
        assert!(parse_plain(&marker().to_rdata()).is_some());
    }

    #[test]
    fn everything_optional_goes_both_ways() {
        let full = Marker {
            rtype: RrType(65400),
            retain: true,
            share: Some((0..40).map(SetHash).collect()),
            label: Some(b"a,b%=\"\\\xff".as_slice().into()),
            resource: ObjectId::new("externaldns/x/a,b c"),
            ..marker()
        };
        assert!(full.to_rdata().len() > 256, "several strings");
        assert_eq!(Marker::parse_rdata(&full.to_rdata()), MarkerText::Marker(full));
        let empty = Marker { share: Some(vec![]), ..marker() };
        assert_eq!(Marker::parse_rdata(&empty.to_rdata()), MarkerText::Marker(empty));
    }

    #[test]
    fn newer_unknown_and_damaged_are_read_only() {
        let read = |text: &str| Marker::parse_rdata(&txt::split(text.as_bytes()));
        for text in [
            "heritage=knotwork,v=2,owner=home,type=A,set=0123456789abcdef,resource=staticdnsrecord/dns/routy",
            "heritage=knotwork,v=1,owner=home,type=A,set=0123456789abcdef,resource=staticdnsrecord/dns/routy,colour=red",
            "heritage=knotwork,v=1,owner=home,type=A,resource=staticdnsrecord/dns/routy",
            "heritage=knotwork,owner=home,v=1,type=A,set=0123456789abcdef,resource=staticdnsrecord/dns/routy",
            "\"heritage=knotwork,v=1,owner=home,type=A,set=0123456789abcdef,resource=staticdnsrecord/dns/routy\"",
        ] {
            match read(text) {
                MarkerText::ReadOnly(seen) => {
                    assert_eq!((seen.owner.as_str(), seen.rtype), ("home", Some(RrType::A)), "{text}");
                    assert_eq!(seen.resource, "staticdnsrecord/dns/routy");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(read("heritage=knotwork"), MarkerText::ReadOnly(_)));
        assert!(matches!(read("heritage=knotworks,v=1"), MarkerText::Other));
        assert!(matches!(read("v=spf1 -all"), MarkerText::Other));
        assert!(matches!(Marker::parse_rdata(&[]), MarkerText::Other));
        assert!(matches!(Marker::parse_rdata(&[200, b'h']), MarkerText::Other));
    }

    #[test]
    fn golden_hashes() {
        let set = |values: &[[u8; 4]]| RrSet::new(RrType::A, 300, values.iter().map(|v| Rdata::from(v.as_slice())));
        // printf '\0\1\0\4\12\0\0\1' | sha256sum, and with a second value.
        assert_eq!(SetHash::of_set(RrType::A, &set(&[[10, 0, 0, 1]])), SetHash::of_value(RrType::A, &[10, 0, 0, 1]));
        let one = SetHash::of_set(RrType::A, &set(&[[10, 0, 0, 1]]));
        let two = SetHash::of_set(RrType::A, &set(&[[10, 0, 0, 2], [10, 0, 0, 1]]));
        assert_eq!(one.to_string(), GOLDEN_ONE);
        assert_eq!(two.to_string(), GOLDEN_TWO);
        let name = |text: &str| Rdata::from(Name::parse(text).unwrap().wire());
        assert_eq!(SetHash::of_value(RrType::CNAME, &name("a.internal")).to_string(), GOLDEN_CNAME);
        let upper: Rdata = b"\x01A\x08INTERNAL\x00".as_slice().into();
        assert_eq!(SetHash::of_value(RrType::CNAME, &upper), SetHash::of_value(RrType::CNAME, &name("a.internal")));
    }
    const GOLDEN_ONE: &str = "f458fd6fdf48e9e1";
    const GOLDEN_TWO: &str = "a5a700caeefa6bef";
    const GOLDEN_CNAME: &str = "41f667dd873dbd3a";

    #[test]
    fn nodes() {
        let n = |text: &str| Name::parse(text).unwrap();
        let node = |name: &str, rtype| Marker::node("_knotwork", &n(name), rtype);
        assert_eq!(node("internal", RrType::MX).unwrap(), n("_knotwork.internal"));
        assert_eq!(node("*.apps.internal", RrType::A).unwrap(), n("_knotwork.*.apps.internal"));
        assert_eq!(node("old.x.internal", RrType::DNAME).unwrap(), n("_knotwork.x.internal"));
        let label = "x".repeat(63);
        assert!(node(&format!("{label}.internal"), RrType::A).is_ok());
        // 245 octets fit beside the ten of the label, 246 do not.
        let long = format!("{label}.{label}.{label}.{}", "y".repeat(51));
        assert_eq!(n(&long).wire().len(), 245);
        assert_eq!(node(&long, RrType::A).unwrap().wire().len(), 255);
        assert!(matches!(node(&format!("{long}y"), RrType::A), Err(NameError::TooLong(256))));
    }
}
