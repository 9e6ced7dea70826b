//! The same RDATA in the eyes of hickory-proto, BIND and Knot.

use std::fmt::Write as _;

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable, BinEncoder};
use knotwork::model::{RrType, rdata};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::support::parts;
use crate::wires::{self, Taste, any_of};

/// Types that hickory reads from wire form.
const HICKORY: &[RrType] = &[
    RrType::A,
    RrType::AAAA,
    RrType::CNAME,
    RrType::NS,
    RrType::PTR,
    RrType::SOA,
    RrType::HINFO,
    RrType::MX,
    RrType::TXT,
    RrType::SRV,
    RrType::NAPTR,
    RrType::DS,
    RrType::SSHFP,
    RrType::OPENPGPKEY,
    RrType::TLSA,
    RrType::SMIMEA,
    RrType::SVCB,
    RrType::HTTPS,
    RrType::CAA,
];

/// A message with this RDATA as its one answer.
fn message(rtype: RrType, wire: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 1, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    message.extend(rtype.0.to_be_bytes());
    message.extend([0, 1, 0, 0, 0, 60]);
    message.extend((wire.len() as u16).to_be_bytes());
    message.extend(wire);
    message
}

fn hickory_reads(rtype: RrType, wire: &[u8]) -> Result<RData, String> {
    let message = Message::from_bytes(&message(rtype, wire)).map_err(|error| error.to_string())?;
    Ok(message.answers.first().ok_or("no answer")?.data.clone())
}

fn hickory_writes(data: &RData) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_canonical_form(true);
    data.emit(&mut encoder).expect("hickory writes what it read");
    octets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(600), failure_persistence: None, ..ProptestConfig::default() })]

    /// hickory reads our wire form, and its wire form is ours.
    #[test]
    fn hickory_agrees_on_wire_form((rtype, wire) in any_of(HICKORY, Taste::Plain)) {
        let canonical = rdata::canonical(rtype, &wire).into_owned();
        let data = hickory_reads(rtype, &canonical);
        prop_assert!(data.is_ok(), "{}: {:?}", rdata::to_text(rtype, &wire), data);
        prop_assert_eq!(hickory_writes(&data.unwrap()), canonical);
    }

    /// hickory reads our text as the same wire form.
    #[test]
    fn hickory_reads_our_text((rtype, wire) in any_of(HICKORY, Taste::Plain)) {
        let text = rdata::to_text(rtype, &wire);
        // hickory takes quotes around a whole word only, and no escapes outside of quotes.
        let params = matches!(rtype, RrType::SVCB | RrType::HTTPS);
        prop_assume!(!(text.contains("=\"") || params && text.contains('\\')));
        let data = RData::try_from_str(RecordType::from(rtype.0), &text);
        prop_assert!(data.is_ok(), "{} {}: {:?}", rtype, text, data);
        prop_assert_eq!(hickory_writes(&data.unwrap()), rdata::canonical(rtype, &wire).into_owned(), "{}", text);
    }
}

/// Types whose text BIND 9.18 and Knot 3.2 both know and that may stand anywhere in a zone.
const ZONE: &[RrType] = &[
    RrType::A,
    RrType::AAAA,
    RrType::PTR,
    RrType::HINFO,
    RrType::MX,
    RrType::AFSDB,
    RrType::KX,
    RrType::RT,
    RrType::TXT,
    RrType::RP,
    RrType::MINFO,
    RrType::LOC,
    RrType::SRV,
    RrType::NAPTR,
    RrType::CERT,
    RrType::SSHFP,
    RrType::DHCID,
    RrType::OPENPGPKEY,
    RrType::TLSA,
    RrType::SMIMEA,
    RrType::CSYNC,
    RrType::SVCB,
    RrType::HTTPS,
    RrType::EUI48,
    RrType::EUI64,
    RrType::URI,
    RrType::CAA,
    RrType(65400),
];

/// A zone with many values of every type, each at a name of its own, and what stands at each name.
fn zone(taste: Taste, types: &[RrType], each: usize) -> (String, Vec<(RrType, Vec<u8>)>) {
    let seed = 0x6b6e_6f74;
    eprintln!("seed {seed}");
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() });
    let mut zone = String::from(
        "$TTL 60\n$ORIGIN t.example.\n@ SOA ns.t.example. m.t.example. 1 60 60 60 60\n@ NS ns.t.example.\nns A 192.0.2.1\n",
    );
    let mut values = Vec::new();
    for rtype in types {
        let strategy = wires::rdata(*rtype, taste);
        // BIND refuses flags and regular expressions that make no sense, which random octets do not.
        let each = if *rtype == RrType::NAPTR && taste == Taste::Wild { 0 } else { each };
        for _ in 0..each {
            let wire = strategy.new_tree(&mut runner).unwrap().current();
            writeln!(zone, "r{} {rtype} {}", values.len(), rdata::to_text(*rtype, &wire)).unwrap();
            values.push((*rtype, wire));
        }
    }
    (zone, values)
}

/// BIND reads our text, writes it in its own way, and we read that as what it was.
#[test]
fn bind_reads_our_text_and_we_read_its() {
    let Some(program) = parts::need("named-checkzone") else { return };
    for taste in [Taste::Plain, Taste::Wild] {
        let (text, values) = zone(taste, ZONE, 25);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zone");
        std::fs::write(&file, text).unwrap();
        let out = program
            .command()
            .args([
                "-i", "none", "-k", "ignore", "-n", "ignore", "-r", "ignore", "-m", "ignore", "-M", "ignore", "-S",
                "ignore",
            ])
            .args(["-o", "-", "-D", "-s", "full", "t.example"])
            .arg(&file)
            .output()
            .unwrap();
        let (listing, complaints) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{complaints}\n{listing}");
        let mut seen = 0;
        for line in listing.lines() {
            let mut rest = line;
            let mut word = || {
                rest = rest.trim_start();
                let (word, after) = rest.split_at(rest.find([' ', '\t']).unwrap_or(rest.len()));
                rest = after;
                word
            };
            let (owner, _ttl, _class, rtype) = (word(), word(), word(), word());
            let Some(index) = owner.strip_prefix('r').and_then(|owner| owner.split('.').next()?.parse::<usize>().ok())
            else {
                continue;
            };
            let (expected_type, wire) = &values[index];
            assert_eq!(RrType::parse(rtype), Some(*expected_type), "{line}");
            let read =
                rdata::from_text(*expected_type, rest.trim(), None).unwrap_or_else(|error| panic!("{line}\n{error}"));
            assert!(rdata::same(*expected_type, &read, wire), "{line}\n{}", rdata::to_text(*expected_type, wire));
            seen += 1;
        }
        assert_eq!(seen, values.len(), "{complaints}");
    }
}

/// Knot's zone parser takes our text.
#[test]
fn knot_reads_our_text() {
    let Some(program) = parts::need("kzonecheck") else { return };
    for taste in [Taste::Plain, Taste::Wild] {
        // Knot 3.2 refuses bitmaps of hundreds of types, of which CSYNC has no use.
        let types: Vec<RrType> = ZONE.iter().copied().filter(|rtype| *rtype != RrType::CSYNC).collect();
        let (text, _) = zone(taste, &types, 25);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zone");
        std::fs::write(&file, &text).unwrap();
        let out = program.command().args(["-v", "-o", "t.example"]).arg(&file).output().unwrap();
        let complaints = [out.stdout, out.stderr].concat();
        let complaints = String::from_utf8_lossy(&complaints);
        let line = complaints.split("line ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
        let line = line.and_then(|line| text.lines().nth(line.parse::<usize>().ok()?.checked_sub(1)?));
        assert!(out.status.success(), "{complaints}\n{line:?}");
    }
}
