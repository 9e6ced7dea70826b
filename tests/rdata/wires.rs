//! Well-formed RDATA of every known type, for proptest to shrink.

use knotwork::model::RrType;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

type Octets = BoxedStrategy<Vec<u8>>;

/// How odd the octets in names and strings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taste {
    /// Letters, digits, hyphens, underscores; printable strings.
    Plain,
    /// Any octet, capital letters in names among them.
    Wild,
}

fn octets(min: usize, max: usize) -> Octets {
    vec(any::<u8>(), min..=max).boxed()
}

fn cat(parts: Vec<Octets>) -> Octets {
    parts.into_iter().fold(Just(Vec::new()).boxed(), |sum, part| (sum, part).prop_map(|(a, b)| [a, b].concat()).boxed())
}

fn prefixed(strategy: Octets) -> Octets {
    strategy.prop_map(|octets| [&[octets.len() as u8], octets.as_slice()].concat()).boxed()
}

pub fn name(taste: Taste) -> Octets {
    let label = match taste {
        Taste::Plain => "[a-z0-9_][a-z0-9-]{0,14}".prop_map(String::into_bytes).boxed(),
        Taste::Wild => {
            Union::new([octets(1, 20), "[a-zA-Z0-9.\\\\@$;\"() -]{1,63}".prop_map(String::into_bytes).boxed()]).boxed()
        }
    };
    vec(prefixed(label), 0..5)
        .prop_map(|labels| {
            let mut wire = Vec::new();
            for label in labels.into_iter().filter(|label| label.len() > 1) {
                if wire.len() + label.len() < 255 {
                    wire.extend(label);
                }
            }
            wire.push(0);
            wire
        })
        .boxed()
}

fn text(taste: Taste, max: usize) -> Octets {
    match taste {
        Taste::Plain => proptest::string::string_regex(&format!("[ -~]{{0,{max}}}"))
            .expect("a regex")
            .prop_map(String::into_bytes)
            .boxed(),
        Taste::Wild => octets(0, max),
    }
}

fn bitmap() -> Octets {
    proptest::collection::btree_map(any::<u8>(), (vec(any::<u8>(), 0..32), 1u8..=255), 0..3)
        .prop_map(|windows| {
            let mut wire = Vec::new();
            for (window, (octets, last)) in windows {
                wire.extend([window, octets.len() as u8 + 1]);
                wire.extend(octets);
                wire.push(last);
            }
            wire
        })
        .boxed()
}

fn loc() -> Octets {
    let precision =
        prop_oneof![Just(0u8), (1u8..=9, 0u8..=9).prop_map(|(mantissa, exponent)| mantissa << 4 | exponent)];
    let angle = |degrees: i64| {
        let limit = degrees * 3_600_000;
        (-limit..=limit).prop_map(|offset| ((1i64 << 31) + offset) as u32)
    };
    (vec(precision, 3), angle(90), angle(180), any::<u32>())
        .prop_map(|(precisions, latitude, longitude, altitude)| {
            let mut wire = vec![0];
            wire.extend(precisions);
            for word in [latitude, longitude, altitude] {
                wire.extend(word.to_be_bytes());
            }
            wire
        })
        .boxed()
}

/// Service parameters by key, so that they ascend.
fn params(taste: Taste) -> Octets {
    let id = match taste {
        Taste::Plain => "[a-z0-9/.-]{1,10}".prop_map(String::into_bytes).boxed(),
        Taste::Wild => octets(1, 20),
    };
    let ids = vec(prefixed(id), 1..4).prop_map(|ids| ids.concat());
    let of = |size: usize| (1usize..4).prop_flat_map(move |count| vec(any::<u8>(), count * size));
    let unknown = proptest::collection::btree_map(100u16..65_535, text(taste, 20), 0..3);
    let some = |strategy: Octets| proptest::option::of(strategy);
    (
        (some(ids.boxed()), any::<bool>(), some(octets(2, 2)), some(of(4).boxed())),
        (
            some(octets(1, 20)),
            some(of(16).boxed()),
            some("/[a-z]{0,9}\\{\\?dns\\}".prop_map(String::into_bytes).boxed()),
        ),
        (any::<bool>(), unknown, any::<bool>()),
    )
        .prop_map(|((alpn, no_default, port, v4), (ech, v6, path), (ohttp, unknown, mandatory))| {
            let flag = |set: bool| set.then(Vec::new);
            let known = [alpn.clone(), flag(no_default && alpn.is_some()), port, v4, ech, v6, path, flag(ohttp)];
            let mut all: Vec<(u16, Vec<u8>)> =
                known.into_iter().zip(1u16..).filter_map(|(value, key)| Some((key, value?))).collect();
            all.extend(unknown);
            if mandatory && !all.is_empty() {
                let keys = all.iter().flat_map(|(key, _)| key.to_be_bytes()).collect();
                all.insert(0, (0, keys));
            }
            let mut wire = Vec::new();
            for (key, value) in all {
                wire.extend(key.to_be_bytes());
                wire.extend((value.len() as u16).to_be_bytes());
                wire.extend(value);
            }
            wire
        })
        .boxed()
}

/// Well-formed RDATA of one type.
pub fn rdata(rtype: RrType, taste: Taste) -> Octets {
    let name = || name(taste);
    let string = || prefixed(text(taste, 60));
    match rtype {
        RrType::A => octets(4, 4),
        RrType::AAAA => octets(16, 16),
        RrType::CNAME | RrType::NS | RrType::PTR | RrType::DNAME => name(),
        RrType::SOA => {
            let numbers = match taste {
                // hickory keeps the periods of a SOA in 31 bits.
                Taste::Plain => vec(0u32..1 << 31, 5).boxed(),
                Taste::Wild => vec(any::<u32>(), 5).boxed(),
            };
            let numbers = numbers.prop_map(|numbers| numbers.iter().flat_map(|n| n.to_be_bytes()).collect()).boxed();
            cat(vec![name(), name(), numbers])
        }
        RrType::HINFO => cat(vec![string(), string()]),
        RrType::MX | RrType::AFSDB | RrType::KX | RrType::RT => cat(vec![octets(2, 2), name()]),
        RrType::TXT => vec(prefixed(text(taste, 255)), 1..4).prop_map(|strings| strings.concat()).boxed(),
        RrType::RP | RrType::MINFO => cat(vec![name(), name()]),
        RrType::PX => cat(vec![octets(2, 2), name(), name()]),
        RrType::LOC => loc(),
        RrType::SRV => cat(vec![octets(6, 6), name()]),
        RrType::NAPTR => {
            let (flags, regexp) = match taste {
                Taste::Plain => ("[a-z0-9]{0,4}", "(|/\\^[a-z.@: \";]{1,20}\\$/[a-z@: \";]{1,20}/i?)"),
                Taste::Wild => (".{0,60}", ".{0,60}"),
            };
            let string_of = |regex: &'static str| prefixed(regex.prop_map(String::into_bytes).boxed());
            cat(vec![octets(4, 4), string_of(flags), string(), string_of(regexp), name()])
        }
        RrType::CERT => octets(6, 60),
        RrType::DS | RrType::CDS => octets(5, 60),
        RrType::SSHFP => octets(3, 60),
        RrType::RRSIG => cat(vec![octets(18, 18), name(), octets(1, 64)]),
        RrType::NSEC => cat(vec![name(), bitmap()]),
        RrType::DNSKEY | RrType::CDNSKEY => octets(5, 60),
        RrType::DHCID | RrType::OPENPGPKEY => octets(1, 60),
        RrType::NSEC3 => cat(vec![octets(4, 4), prefixed(octets(0, 9)), prefixed(octets(1, 32)), bitmap()]),
        RrType::NSEC3PARAM => cat(vec![octets(4, 4), prefixed(octets(0, 9))]),
        RrType::TLSA | RrType::SMIMEA => octets(4, 60),
        RrType::CSYNC => cat(vec![octets(6, 6), bitmap()]),
        RrType::ZONEMD => octets(7, 60),
        RrType::SVCB | RrType::HTTPS => cat(vec![octets(2, 2), name(), params(taste)]),
        RrType::EUI48 => octets(6, 6),
        RrType::EUI64 => octets(8, 8),
        RrType::URI => cat(vec![octets(4, 4), "[!-~]".prop_map(String::into_bytes).boxed(), text(taste, 80)]),
        RrType::CAA => {
            let tag = prefixed("[a-zA-Z0-9]{1,15}".prop_map(String::into_bytes).boxed());
            cat(vec![octets(1, 1), tag, text(taste, 60)])
        }
        _ => octets(0, 60),
    }
}

/// The types of [`rdata`], and one that nobody knows.
pub const TYPES: &[RrType] = &[
    RrType::A,
    RrType::AAAA,
    RrType::CNAME,
    RrType::NS,
    RrType::PTR,
    RrType::DNAME,
    RrType::SOA,
    RrType::HINFO,
    RrType::MX,
    RrType::AFSDB,
    RrType::KX,
    RrType::RT,
    RrType::TXT,
    RrType::RP,
    RrType::MINFO,
    RrType::PX,
    RrType::LOC,
    RrType::SRV,
    RrType::NAPTR,
    RrType::CERT,
    RrType::DS,
    RrType::CDS,
    RrType::SSHFP,
    RrType::RRSIG,
    RrType::NSEC,
    RrType::DNSKEY,
    RrType::CDNSKEY,
    RrType::DHCID,
    RrType::OPENPGPKEY,
    RrType::NSEC3,
    RrType::NSEC3PARAM,
    RrType::TLSA,
    RrType::SMIMEA,
    RrType::CSYNC,
    RrType::ZONEMD,
    RrType::SVCB,
    RrType::HTTPS,
    RrType::EUI48,
    RrType::EUI64,
    RrType::URI,
    RrType::CAA,
    RrType(65400),
];

/// Any type of `types` with RDATA of it.
pub fn any_of(types: &'static [RrType], taste: Taste) -> impl Strategy<Value = (RrType, Vec<u8>)> {
    proptest::sample::select(types).prop_flat_map(move |rtype| rdata(rtype, taste).prop_map(move |wire| (rtype, wire)))
}
