//! Record types.

use std::fmt;

/// A DNS record type by its number (RFC 1035 §3.2.2 and the IANA registry).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RrType(pub u16);

macro_rules! types {
    ($($name:ident = $num:literal),+ $(,)?) => {
        #[allow(missing_docs)]
        impl RrType { $(pub const $name: RrType = RrType($num);)+ }

        /// All types that have a mnemonic here.
        const NAMED: &[RrType] = &[$(RrType($num)),+];

        impl RrType {
            /// The mnemonic, if the type has one.
            pub fn mnemonic(self) -> Option<&'static str> {
                match self.0 {
                    $($num => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }
    };
}

types! {
    A = 1, NS = 2, MD = 3, MF = 4, CNAME = 5, SOA = 6, MB = 7, MG = 8, MR = 9, NULL = 10, WKS = 11, PTR = 12, HINFO = 13,
    MINFO = 14, MX = 15, TXT = 16, RP = 17, AFSDB = 18, X25 = 19, ISDN = 20, RT = 21, NSAP = 22, SIG = 24, KEY = 25,
    PX = 26, AAAA = 28, LOC = 29, NXT = 30, SRV = 33, NAPTR = 35, KX = 36, CERT = 37, A6 = 38, DNAME = 39, OPT = 41,
    APL = 42, DS = 43, SSHFP = 44, IPSECKEY = 45, RRSIG = 46, NSEC = 47, DNSKEY = 48, DHCID = 49, NSEC3 = 50,
    NSEC3PARAM = 51, TLSA = 52, SMIMEA = 53, HIP = 55, CDS = 59, CDNSKEY = 60, OPENPGPKEY = 61, CSYNC = 62, ZONEMD = 63,
    SVCB = 64, HTTPS = 65, SPF = 99, NID = 104, L32 = 105, L64 = 106, LP = 107, EUI48 = 108, EUI64 = 109, TKEY = 249,
    TSIG = 250, IXFR = 251, AXFR = 252, ANY = 255, URI = 256, CAA = 257, AVC = 258,
}

/// Mnemonics that are understood but not written, because servers in the field do not know them all.
const READ_ONLY: &[(&str, u16)] = &[
    ("NSAP-PTR", 23),
    ("GPOS", 27),
    ("EID", 31),
    ("NIMLOC", 32),
    ("ATMA", 34),
    ("SINK", 40),
    ("NINFO", 56),
    ("RKEY", 57),
    ("TALINK", 58),
    ("DSYNC", 66),
    ("HHIT", 67),
    ("BRID", 68),
    ("UINFO", 100),
    ("UID", 101),
    ("GID", 102),
    ("UNSPEC", 103),
    ("NXNAME", 128),
    ("MAILB", 253),
    ("MAILA", 254),
    ("DOA", 259),
    ("AMTRELAY", 260),
    ("RESINFO", 261),
    ("WALLET", 262),
    ("CLA", 263),
    ("IPN", 264),
    ("TA", 32768),
    ("DLV", 32769),
];

impl RrType {
    /// Parses a mnemonic (any case) or `TYPE123` (RFC 3597 §5).
    pub fn parse(text: &str) -> Option<RrType> {
        let named = |rtype: &&RrType| rtype.mnemonic().is_some_and(|name| name.eq_ignore_ascii_case(text));
        if let Some(rtype) = NAMED.iter().find(named) {
            return Some(*rtype);
        }
        if let Some((_, number)) = READ_ONLY.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Some(RrType(*number));
        }
        let head = text.get(..4)?;
        let digits = &text[4..];
        (head.eq_ignore_ascii_case("TYPE") && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse().ok().map(RrType))?
    }

    /// Whether the type is a question or pseudo type that no zone can hold (RFC 6895 §3.1).
    pub fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }

    /// Whether the server makes and removes these records by itself when it signs a zone.
    pub fn is_dnssec(self) -> bool {
        matches!(
            self,
            RrType::RRSIG
                | RrType::NSEC
                | RrType::NSEC3
                | RrType::NSEC3PARAM
                | RrType::DNSKEY
                | RrType::CDS
                | RrType::CDNSKEY
        )
    }
}

impl fmt::Display for RrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for RrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings() {
        assert_eq!(RrType::parse("aaaa"), Some(RrType::AAAA));
        assert_eq!(RrType::parse("TYPE65400"), Some(RrType(65400)));
        assert_eq!(RrType::parse("type1").unwrap().to_string(), "A");
        assert_eq!(RrType::parse("TYPE65536"), None);
        assert_eq!(RrType::parse("TYPEé"), None);
        assert_eq!(RrType(65400).to_string(), "TYPE65400");
    }
}
