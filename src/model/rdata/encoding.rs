//! The small encodings inside presentation form: hexadecimal, base32hex, times, words for numbers.

use crate::model::RrType;

/// Appends octets in lower-case hexadecimal.
pub(super) fn hex(octets: &[u8], out: &mut String) {
    for octet in octets {
        for nibble in [octet >> 4, octet & 15] {
            out.push(char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }));
        }
    }
}

/// Reads hexadecimal of either case; `None` for odd lengths and other characters.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |c: u8| char::from(c).to_digit(16).map(|digit| digit as u8);
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

const BASE32HEX: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// Appends octets in base32hex without padding (RFC 4648 §7, RFC 5155 §3.3).
pub(super) fn base32hex(octets: &[u8], out: &mut String) {
    let (mut pool, mut bits) = (0u32, 0);
    for octet in octets {
        pool = pool << 8 | u32::from(*octet);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(BASE32HEX[(pool >> bits) as usize & 31]));
        }
        pool &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(char::from(BASE32HEX[(pool << (5 - bits)) as usize & 31]));
    }
}

/// Reads base32hex of either case without padding; `None` when a character or the spare bits are wrong.
pub(super) fn unbase32hex(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() * 5 / 8);
    let (mut pool, mut bits) = (0u32, 0);
    for c in text.bytes() {
        let digit = BASE32HEX.iter().position(|known| *known == c.to_ascii_uppercase())?;
        pool = pool << 5 | digit as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            octets.push((pool >> bits) as u8);
            pool &= (1 << bits) - 1;
        }
    }
    (bits < 5 && pool == 0).then_some(octets)
}

/// Seconds since the epoch as `YYYYMMDDHHmmSS` in UTC (RFC 4034 §3.2).
pub(super) fn stamp(seconds: u32) -> String {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while days >= year_length(year) {
        days -= year_length(year);
        year += 1;
    }
    let mut month = 0;
    while days >= month_length(year, month) {
        days -= month_length(year, month);
        month += 1;
    }
    let (month, day) = (month + 1, days + 1);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Reads what [`stamp`] writes, or a plain number of seconds; until 2106, where 32 bits end.
pub(super) fn unstamp(text: &str) -> Option<u32> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if text.len() != 14 {
        return text.parse().ok();
    }
    let part = |from: usize, to: usize| text[from..to].parse::<u32>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?.checked_sub(1)?, part(6, 8)?.checked_sub(1)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    if !(1970..=2106).contains(&year) || month > 11 || day >= month_length(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days: u32 = (1970..year).map(year_length).sum::<u32>() + (0..month).map(|m| month_length(year, m)).sum::<u32>();
    let seconds = u64::from(days + day) * 86_400 + u64::from(hour * 3600 + minute * 60 + second);
    u32::try_from(seconds).ok()
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_length(year: u32) -> u32 {
    if is_leap(year) { 366 } else { 365 }
}

/// Days of a month counted from 0.
fn month_length(year: u32, month: u32) -> u32 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Seconds from a number or from zone-file units such as `1w2d3h4m5s`, each unit once and in any order.
pub(super) fn period(text: &str) -> Option<u32> {
    let mut total = 0u64;
    let mut seen = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let value: u64 = rest[..digits].parse::<u32>().ok()?.into();
        let unit = rest.as_bytes().get(digits).map(u8::to_ascii_lowercase);
        let factor = match unit {
            None if seen.is_empty() => 1,
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            _ => return None,
        };
        if seen.contains(&unit) {
            return None;
        }
        seen.push(unit);
        total += value * factor;
        rest = rest.get(digits + 1..).unwrap_or("");
    }
    u32::try_from(total).ok().filter(|_| !text.is_empty())
}

/// Words that zone files hold where the wire has a number: DNSSEC algorithms (RFC 4034 appendix A.1 and the IANA registry)
/// and types of certificate (RFC 4398 §2.1). We write the numbers.
pub(super) fn mnemonic(rtype: RrType, field: &str, text: &str) -> Option<u16> {
    const ALGORITHMS: &[(&str, u16)] = &[
        ("RSAMD5", 1),
        ("DH", 2),
        ("DSA", 3),
        ("ECC", 4),
        ("RSASHA1", 5),
        ("DSA-NSEC3-SHA1", 6),
        ("NSEC3DSA", 6),
        ("RSASHA1-NSEC3-SHA1", 7),
        ("NSEC3RSASHA1", 7),
        ("RSASHA256", 8),
        ("RSASHA512", 10),
        ("ECC-GOST", 12),
        ("ECCGOST", 12),
        ("ECDSAP256SHA256", 13),
        ("ECDSAP384SHA384", 14),
        ("ED25519", 15),
        ("ED448", 16),
        ("INDIRECT", 252),
        ("PRIVATEDNS", 253),
        ("PRIVATEOID", 254),
    ];
    const CERTIFICATES: &[(&str, u16)] = &[
        ("PKIX", 1),
        ("SPKI", 2),
        ("PGP", 3),
        ("IPKIX", 4),
        ("ISPKI", 5),
        ("IPGP", 6),
        ("ACPKIX", 7),
        ("IACPKIX", 8),
        ("URI", 253),
        ("OID", 254),
    ];
    let table = match (rtype, field) {
        (RrType::CERT, "type") => CERTIFICATES,
        (RrType::SSHFP, _) => return None,
        // The other types with an algorithm mean that of a key; the name says so.
        (_, "algorithm") => ALGORITHMS,
        _ => return None,
    };
    table.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, number)| *number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn mnemonics() {
        assert_eq!(mnemonic(RrType::DS, "algorithm", "ecdsap256sha256"), Some(13));
        assert_eq!(mnemonic(RrType::CERT, "type", "PGP"), Some(3));
        assert_eq!(mnemonic(RrType::SSHFP, "algorithm", "DSA"), None);
        assert_eq!(mnemonic(RrType::DS, "key tag", "DSA"), None);
    }

    #[test]
    fn hexadecimal() {
        let mut text = String::new();
        hex(&[0, 0x9a, 0xff], &mut text);
        assert_eq!(text, "009aff");
        assert_eq!(unhex("009AfF").unwrap(), [0, 0x9a, 0xff]);
        assert_eq!((unhex("0"), unhex("0g"), unhex("é")), (None, None, None));
    }

    #[test]
    fn base32hex_as_in_rfc_4648() {
        for (octets, expected) in
            [("", ""), ("f", "CO"), ("fo", "CPNG"), ("foo", "CPNMU"), ("foob", "CPNMUOG"), ("fooba", "CPNMUOJ1")]
        {
            let mut text = String::new();
            base32hex(octets.as_bytes(), &mut text);
            assert_eq!(text, expected);
            assert_eq!(unbase32hex(&text.to_lowercase()).unwrap(), octets.as_bytes());
        }
        assert_eq!((unbase32hex("W"), unbase32hex("C"), unbase32hex("CP")), (None, None, None));
    }

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "19700101000000"),
            (951_782_400, "20000229000000"),
            (1_079_973_903, "20040322164503"),
            (u32::MAX, "21060207062815"),
        ] {
            assert_eq!(stamp(seconds), text);
            assert_eq!(unstamp(text), Some(seconds));
        }
        for bad in ["20010229000000", "20040322240000", "21060207062816", "2004", "20040022000000", "+1"] {
            assert_eq!(unstamp(bad).filter(|_| bad != "2004"), None, "{bad}");
        }
        assert_eq!(unstamp("2004"), Some(2004));
    }

    #[test]
    fn periods() {
        assert_eq!(period("86400"), Some(86400));
        assert_eq!(period("1W2d3h4M5s"), Some(604_800 + 2 * 86_400 + 3 * 3600 + 4 * 60 + 5));
        for bad in ["", "h", "1h1h", "1x", "1h30", "8000w", "99999999999", "-1", "1é"] {
            assert_eq!(period(bad), None, "{bad}");
        }
    }
}
