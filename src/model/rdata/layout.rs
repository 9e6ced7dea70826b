//! How the RDATA of each known type is laid out: one table that every reader and writer of RDATA walks.

use crate::model::RrType;

/// The wire format of one part of RDATA, and with it its presentation form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// A domain name.
    Name,
    /// One octet.
    U8,
    /// Two octets.
    U16,
    /// Four octets.
    U32,
    /// Four octets, a number of seconds that people may write as `1h30m`.
    Period,
    /// Four octets, an absolute time (RFC 4034 §3.2).
    Stamp,
    /// Two octets, a record type.
    Type,
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// One character string (RFC 1035 §3.3).
    Str,
    /// Character strings to the end, at least one.
    Strs,
    /// Length octet and letters or digits (RFC 8659 §4.1).
    Tag,
    /// Octets to the end, written as one quoted string; at least this many.
    Text(usize),
    /// Octets to the end in hexadecimal, at least one.
    Hex,
    /// Octets to the end in base64, at least one.
    Base64,
    /// Length octet and octets in hexadecimal, `-` when there are none (RFC 5155 §3.3).
    Salt,
    /// Length octet and octets in base32hex, at least one (RFC 5155 §3.3).
    Hash,
    /// Type bitmap to the end (RFC 4034 §4.1.2).
    Bitmap,
    /// Service parameters to the end (RFC 9460 §2.2).
    Params,
    /// The sixteen octets of LOC (RFC 1876 §2).
    Loc,
    /// This many octets as hexadecimal pairs with dashes (RFC 7043).
    Eui(usize),
    /// Prefix length, address suffix and, unless the prefix is 0, a name (RFC 2874 §3.1).
    A6,
    /// Octets to the end that have no presentation form of their own.
    Opaque,
}

/// The layout of one type.
#[derive(Debug)]
pub(super) struct Layout {
    /// Fields in wire order with the words that people know them by.
    pub fields: &'static [(&'static str, Field)],
    /// Whether letter case in the names is of no consequence (RFC 4034 §6.2; also NSEC, SVCB and HTTPS,
    /// which are no longer or not on its list, since only our own comparison is concerned).
    pub fold: bool,
}

impl Layout {
    /// Whether there is a presentation form besides that of RFC 3597.
    pub fn has_text(&self) -> bool {
        !self.fields.iter().any(|(_, field)| matches!(field, Field::Opaque | Field::A6))
    }
}

macro_rules! layouts {
    ($($($num:literal)|+ $fold:literal [$($name:literal $field:expr),+ $(,)?])+) => {
        /// The layout of a type, if it is one that we know.
        pub(super) fn layout(rtype: RrType) -> Option<&'static Layout> {
            use Field::*;
            match rtype.0 {
                $($($num)|+ => {
                    const LAYOUT: Layout = Layout { fields: &[$(($name, $field)),+], fold: $fold };
                    Some(&LAYOUT)
                })+
                _ => None,
            }
        }
    };
}

layouts! {
    1 false ["address" V4]
    2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 39 true ["target" Name]
    6 true [
        "primary" Name, "mailbox" Name, "serial" U32, "refresh" Period, "retry" Period, "expire" Period,
        "minimum" Period,
    ]
    13 false ["cpu" Str, "os" Str]
    14 true ["mailbox" Name, "error mailbox" Name]
    15 true ["preference" U16, "exchange" Name]
    16 | 99 | 258 false ["text" Strs]
    17 true ["mailbox" Name, "text name" Name]
    18 true ["subtype" U16, "hostname" Name]
    19 false ["address" Str]
    20 false ["address" Strs]
    21 true ["preference" U16, "host" Name]
    24 | 46 true [
        "type covered" Type, "algorithm" U8, "labels" U8, "original TTL" U32, "expiration" Stamp, "inception" Stamp,
        "key tag" U16, "signer" Name, "signature" Base64,
    ]
    25 | 48 | 60 false ["flags" U16, "protocol" U8, "algorithm" U8, "public key" Base64]
    26 true ["preference" U16, "map822" Name, "mapx400" Name]
    28 false ["address" V6]
    29 false ["location" Loc]
    30 true ["next name" Name, "types" Opaque]
    33 true ["priority" U16, "weight" U16, "port" U16, "target" Name]
    35 true [
        "order" U16, "preference" U16, "flags" Str, "service" Str, "regexp" Str, "replacement" Name,
    ]
    36 true ["preference" U16, "exchanger" Name]
    37 false ["type" U16, "key tag" U16, "algorithm" U8, "certificate" Base64]
    38 true ["address and prefix" A6]
    43 | 59 false ["key tag" U16, "algorithm" U8, "digest type" U8, "digest" Hex]
    44 false ["algorithm" U8, "fingerprint type" U8, "fingerprint" Hex]
    47 true ["next name" Name, "types" Bitmap]
    49 | 61 false ["data" Base64]
    50 false ["hash algorithm" U8, "flags" U8, "iterations" U16, "salt" Salt, "next hash" Hash, "types" Bitmap]
    51 false ["hash algorithm" U8, "flags" U8, "iterations" U16, "salt" Salt]
    52 | 53 false ["usage" U8, "selector" U8, "matching type" U8, "data" Hex]
    62 false ["serial" U32, "flags" U16, "types" Bitmap]
    63 false ["serial" U32, "scheme" U8, "hash algorithm" U8, "digest" Hex]
    64 | 65 true ["priority" U16, "target" Name, "params" Params]
    108 false ["address" Eui(6)]
    109 false ["address" Eui(8)]
    256 false ["priority" U16, "weight" U16, "target" Text(1)]
    257 false ["flags" U8, "tag" Tag, "value" Text(0)]
}
