//! What is fuzzed: every reader of foreign octets, with the laws that hold for what it accepts.
//!
//! `tests/fuzz_corpus.rs` runs these on stable Rust, `fuzz/` under libFuzzer.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

#[path = "changes.rs"]
pub mod changes;

use std::collections::HashSet;

use knotwork::dns::Message;
use knotwork::dns::tsig::{self, Algorithm, Key};
use knotwork::dns::xfr::Reader;
use knotwork::model::{Name, ObjectState, RrType, address_of, classless_range, rdata, reverse_name};
use knotwork::ownership::{Fence, Marker, MarkerText, external_dns, nix, txt};
use knotwork::source::fuzzing;
use knotwork::spec::{AddressRange, Lowered, NamePattern, Rights, ZoneEntry, Zones, lower_endpoint};

/// A function that takes any octets and panics only when the library is wrong. It says whether the octets were accepted, so
/// that a corpus that no longer gets past the door is noticed.
pub type Entry = fn(&[u8]) -> bool;

/// All entries by the name of their corpus.
pub const ENTRIES: &[(&str, Entry)] = &[
    ("message", message),
    ("transfer", transfer),
    ("signature", signature),
    ("marker", marker),
    ("manifest", manifest),
    ("endpoint", endpoint),
    ("changes", changes::changes),
    ("desired", changes::desired),
    ("config", config),
    ("name", name),
    ("rdata_text", rdata_text),
    ("rdata_wire", rdata_wire),
];

/// A DNS message: what is read is written, and read again as the same.
pub fn message(data: &[u8]) -> bool {
    let Ok(message) = Message::parse(data) else { return false };
    let again = Message::parse(&message.encode()).expect("what we write can be read");
    assert_eq!(again.encode(), message.encode());
    true
}

/// The messages of a transfer, each after two octets of length as on TCP; the first octet says whether we ask for a
/// difference.
pub fn transfer(data: &[u8]) -> bool {
    let Some((kind, mut rest)) = data.split_first() else { return false };
    let have = (*kind & 1 != 0).then_some(u32::from(*kind >> 1));
    let mut reader = Reader::new(Name::parse("example").unwrap(), 1, have, None);
    while let [high, low, after @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        if reader.push(after[..len].to_vec(), 0).is_err() {
            break;
        }
        rest = &after[len..];
    }
    reader.finish().is_ok()
}

/// A request and an answer that claim to be signed: nobody without the key makes one that passes.
pub fn signature(data: &[u8]) -> bool {
    let key = Key::new(Name::parse("key").unwrap(), Algorithm::HmacSha256, &[7; 32]).expect("a good key");
    let (_, pending) = tsig::sign(&key, vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1_000_000);
    assert!(pending.verify(data, 1_000_000).is_err());
    match tsig::receive(&[key], data.to_vec(), 1_000_000) {
        tsig::Received::Signed { .. } => panic!("a signature without the key"),
        tsig::Received::Unsigned(_) => false,
        tsig::Received::Rejected(answer) => !answer.is_empty(),
    }
}

/// The RDATA of a TXT record, and the same octets as its text.
pub fn marker(data: &[u8]) -> bool {
    let mut accepted = false;
    for rdata in [data.to_vec(), txt::split(data).into()] {
        if let MarkerText::Marker(marker) = Marker::parse_rdata(&rdata) {
            let written = marker.to_rdata();
            assert_eq!(Marker::parse_rdata(&written), MarkerText::Marker(marker), "a marker reads back");
            accepted = true;
            assert_eq!(txt::join(&written), txt::join(&rdata), "only what we could have written is a marker");
        }
        if let Some(fence) = Fence::parse_rdata(&rdata) {
            assert_eq!(Fence::parse_rdata(&fence.to_rdata()).as_ref(), Some(&fence));
        }
        accepted |= external_dns::parse(&rdata).is_some() || nix::parse(&rdata).is_some();
        accepted |= txt::is_anybodys_marker(&rdata);
    }
    accepted
}

/// A file of manifests: what its objects come to can be published as it stands, or is nothing.
pub fn manifest(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let (zones, rights) = world(data);
    let (documents, mut objects) = fuzzing::read_documents("fuzz.yaml", text, &zones, &rights);
    assert!(documents <= 1 + text.matches("---").count());
    objects.extend(fuzzing::read_documents("fuzz.json", text, &zones, &rights).1);
    let accepted = !objects.is_empty();
    for lowered in objects {
        let silent = matches!(lowered.state, ObjectState::Protected | ObjectState::Abandoned);
        assert!(!lowered.claims.is_empty() || silent);
        can_be_published(&lowered, &zones);
    }
    accepted
}

/// An object of ExternalDNS as JSON: what it comes to can be published as it stands, or is nothing.
pub fn endpoint(data: &[u8]) -> bool {
    let Ok(object) = serde_json::from_slice(data) else { return false };
    let (zones, rights) = world(data);
    let lowered = lower_endpoint(&object, &zones, &rights);
    assert_eq!(lowered.problems.is_empty(), lowered.state != ObjectState::Protected);
    can_be_published(&lowered, &zones);
    lowered.problems.is_empty()
}

/// Zones, and one kind of rights to an input, since reading is slow; which one is up to the input.
fn world(data: &[u8]) -> (Zones, Rights) {
    let apexes = ["internal", "s3.garage.internal", "10.in-addr.arpa", "0/26.2.0.192.in-addr.arpa", "d.f.ip6.arpa"];
    let zones = apexes.map(|zone| ZoneEntry { name: Name::parse(zone).unwrap(), default_ttl: 300 });
    let rights = [Rights::Trusted, Rights::Ordinary, Rights::Rules(Vec::new())][data.len() % 3].clone();
    (Zones::new(zones, "_knotwork"), rights)
}

fn can_be_published(lowered: &Lowered, zones: &Zones) {
    assert!(lowered.problems.is_empty() || lowered.claims.is_empty());
    for (zone, claim) in &lowered.claims {
        assert!(claim.name.is_at_or_below(zone) && zones.get(zone).is_some(), "{} in {zone}", claim.name);
        assert!(!claim.set.is_empty() && claim.set.ttl <= i32::MAX as u32);
        assert!(Marker::node("_knotwork", &claim.name, claim.rtype).is_ok(), "{}", claim.name);
        for value in &claim.set.values {
            assert_eq!(rdata::check(claim.rtype, value), Ok(()), "{} {}", claim.name, claim.rtype);
        }
    }
}

/// A configuration: one that is right has what the engine relies on. The same text as a pattern and a range of `claims`.
pub fn config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let _ = (NamePattern::parse(text), AddressRange::parse(text));
    let Some(config) = fuzzing::read_config(text) else { return false };
    assert!(config.zones().next().is_some() && (1..=32).contains(&config.owner.len()) && config.label.len() <= 63);
    assert_eq!(config.files.len(), 1, "no key is read here");
    let table = config.zone_table();
    let mut seen = HashSet::new();
    for server in &config.servers {
        assert!(!server.server.addresses.is_empty() && server.server.key.is_none());
        for zone in &server.zones {
            assert!(
                table.get(&zone.rules.zone).is_some() && seen.insert(zone.rules.zone.clone()),
                "one writer to a zone"
            );
            assert!(zone.rules.brake.percent <= 100 && zone.check_interval.as_millis() >= 20);
        }
    }
    true
}

/// A name in presentation form.
pub fn name(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(name) = Name::parse(text) else { return false };
    assert!(name.wire().len() <= 255);
    assert_eq!(Name::parse(&name.to_string()).as_ref(), Ok(&name));
    assert_eq!(Name::from_wire(name.wire()).as_ref(), Ok(&name));
    let _ = classless_range(&name);
    if let Some(address) = address_of(&name) {
        let plain = reverse_name(address);
        assert_eq!(address_of(&plain), Some(address));
    }
    true
}

/// Two octets of type, then presentation form.
pub fn rdata_text(data: &[u8]) -> bool {
    let Some((rtype, text)) = typed(data) else { return false };
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let origin = Name::parse("example").unwrap();
    let mut accepted = false;
    for origin in [None, Some(&origin)] {
        if let Ok(value) = rdata::from_text(rtype, text, origin) {
            accepted = true;
            assert_eq!(rdata::check(rtype, &value), Ok(()));
            let again = rdata::from_text(rtype, &rdata::to_text(rtype, &value), None);
            assert_eq!(again.as_deref(), Ok(&*rdata::canonical(rtype, &value)));
        }
    }
    let _ = rdata::svcb(RrType::HTTPS, 1, &origin, text);
    let _ = rdata::loc(text);
    accepted
}

/// Two octets of type, then wire form, as it stands and as a part of a message.
pub fn rdata_wire(data: &[u8]) -> bool {
    let Some((rtype, wire)) = typed(data) else { return false };
    let canonical = rdata::canonical(rtype, wire);
    assert!(rdata::same(rtype, wire, &canonical));
    let _ = rdata::names_in(rtype, wire);
    let text = rdata::to_text(rtype, wire);
    if rdata::check(rtype, wire).is_ok() {
        let read = rdata::from_text(rtype, &text, None).expect("well-formed RDATA has a text that can be read");
        assert!(rdata::same(rtype, &read, wire), "{text}");
    }
    for start in 0..wire.len().min(64) {
        let _ = rdata::decompress(rtype, wire, start..wire.len());
    }
    rdata::check(rtype, wire).is_ok()
}

fn typed(data: &[u8]) -> Option<(RrType, &[u8])> {
    let [high, low, rest @ ..] = data else { return None };
    Some((RrType(u16::from_be_bytes([*high, *low])), rest))
}
