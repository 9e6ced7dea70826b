//! LOC: geographical positions (RFC 1876).

use super::error::RdataError;
use super::token::Token;
use crate::model::RrType;

/// Latitude and longitude count thousandths of an arc second from here.
const EQUATOR: u32 = 1 << 31;
/// Altitude counts centimetres from 100 km below the WGS 84 reference.
const SEA_LEVEL_CM: i64 = 10_000_000;

/// Whether this is version 0 with all parts in range.
pub(super) fn is_well_formed(rdata: &[u8]) -> bool {
    let [0, size, horizontal, vertical, place @ ..] = rdata else { return false };
    let precise = |octet: &u8| octet >> 4 <= 9 && octet & 15 <= 9;
    let within = |at: usize, degrees: u32| {
        place.get(at..at + 4).is_some_and(|raw| word(raw).abs_diff(EQUATOR) <= degrees * 3_600_000)
    };
    [size, horizontal, vertical].into_iter().all(precise) && place.len() == 12 && within(0, 90) && within(4, 180)
}

/// Whether the presentation form stands for exactly this wire form: a precision of zero has ten wire forms.
pub(super) fn has_text(rdata: &[u8]) -> bool {
    is_well_formed(rdata) && rdata[1..4].iter().all(|octet| *octet >> 4 != 0 || *octet == 0)
}

fn word(raw: &[u8]) -> u32 {
    raw.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet))
}

/// Presentation form with all parts spelled out: `52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m`.
pub(super) fn to_text(rdata: &[u8]) -> String {
    let altitude = i64::from(word(&rdata[12..16])) - SEA_LEVEL_CM;
    let sign = if altitude < 0 { "-" } else { "" };
    format!(
        "{} {} {sign}{}.{:02}m {} {} {}",
        angle(word(&rdata[4..8]), 'N', 'S'),
        angle(word(&rdata[8..12]), 'E', 'W'),
        altitude.abs() / 100,
        altitude.abs() % 100,
        precision(rdata[1]),
        precision(rdata[2]),
        precision(rdata[3]),
    )
}

fn angle(value: u32, positive: char, negative: char) -> String {
    let half = if value >= EQUATOR { positive } else { negative };
    let thousandths = value.abs_diff(EQUATOR);
    let seconds = thousandths / 1000;
    format!("{} {} {}.{:03} {half}", seconds / 3600, seconds / 60 % 60, seconds % 60, thousandths % 1000)
}

fn precision(octet: u8) -> String {
    let centimetres = u64::from(octet >> 4) * 10u64.pow(u32::from(octet & 15));
    if centimetres % 100 == 0 && centimetres > 0 {
        format!("{}m", centimetres / 100)
    } else {
        format!("{}.{:02}m", centimetres / 100, centimetres % 100)
    }
}

/// Reads `d1 [m1 [s1]] N|S d2 [m2 [s2]] E|W alt[m] [size[m] [hp[m] [vp[m]]]]` (§3). Precisions keep their first digit,
/// which is all that the wire form holds.
///
/// # Errors
/// [`RdataError::Value`] or [`RdataError::Missing`].
pub(super) fn from_tokens(tokens: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut words = tokens.iter().map(|token| token.raw);
    let latitude = read_angle(&mut words, "latitude", 90, 'N', 'S')?;
    let longitude = read_angle(&mut words, "longitude", 180, 'E', 'W')?;
    let altitude = words.next().ok_or_else(|| missing("altitude"))?;
    let altitude = centimetres(altitude, true)
        .and_then(|value| u32::try_from(value + SEA_LEVEL_CM).ok())
        .ok_or_else(|| bad("altitude", altitude, "metres from -100000.00 to 42849672.95, such as -2.00m"))?;
    let mut octets = [0x12, 0x16, 0x13]; // 1 m, 10 km, 10 m: the defaults of the RFC
    for (octet, field) in octets.iter_mut().zip(["size", "horizontal precision", "vertical precision"]) {
        let Some(text) = words.next() else { break };
        *octet = centimetres(text, false)
            .and_then(encode_precision)
            .ok_or_else(|| bad(field, text, "metres from 0 to 90000000, such as 10m"))?;
    }
    if let Some(text) = words.next() {
        return Err(RdataError::Extra { rtype: RrType::LOC, field: "vertical precision", text: text.to_owned() });
    }
    out.push(0);
    out.extend(octets);
    out.extend(latitude.to_be_bytes());
    out.extend(longitude.to_be_bytes());
    out.extend(altitude.to_be_bytes());
    Ok(())
}

fn missing(field: &'static str) -> RdataError {
    let expected = "latitude longitude altitude, such as 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m";
    RdataError::Missing { rtype: RrType::LOC, field, expected: expected.to_owned() }
}

fn bad(field: &'static str, text: &str, expected: impl Into<String>) -> RdataError {
    RdataError::value(RrType::LOC, field, text, expected)
}

fn read_angle<'a>(
    words: &mut impl Iterator<Item = &'a str>,
    field: &'static str,
    limit: u64,
    positive: char,
    negative: char,
) -> Result<u32, RdataError> {
    let expected = || format!("degrees, minutes and seconds up to {limit} degrees, then {positive} or {negative}");
    let mut thousandths = 0u64;
    for unit in [3_600_000u64, 60_000, 1000, 0] {
        let word = words.next().ok_or_else(|| missing(field))?;
        let half = word.chars().next().filter(|_| word.len() == 1).map(|c| c.to_ascii_uppercase());
        if half == Some(positive) || half == Some(negative) {
            // The word before the first number would be the hemisphere: degrees must be there.
            if unit == 3_600_000 || thousandths > limit * 3_600_000 {
                return Err(bad(field, word, expected()));
            }
            let offset = thousandths as u32;
            return Ok(if half == Some(positive) { EQUATOR + offset } else { EQUATOR - offset });
        }
        let value = match unit {
            0 => None,
            1000 => decimal(word, 3).filter(|value| *value < 60_000),
            _ => decimal(word, 0).filter(|value| *value < if unit == 60_000 { 60 } else { limit + 1 }),
        };
        let value = value.ok_or_else(|| bad(field, word, expected()))?;
        thousandths += if unit == 1000 { value } else { value * unit };
    }
    // The fourth round returns or fails: a number where the hemisphere should be is never a value.
    Err(missing(field))
}

/// A decimal number without a sign, times ten to the `digits`, of which it may have as many after the point.
fn decimal(text: &str, digits: usize) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let numeric = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || part.len() > digits || !numeric(whole) || !numeric(part) {
        return None;
    }
    format!("{whole}{part:0<digits$}").parse().ok()
}

fn centimetres(text: &str, signed: bool) -> Option<i64> {
    let text = text.strip_suffix(['m', 'M']).unwrap_or(text);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) if signed => (true, rest),
        _ => (false, text),
    };
    let value = i64::try_from(decimal(text, 2)?).ok()?;
    Some(if negative { -value } else { value })
}

fn encode_precision(centimetres: i64) -> Option<u8> {
    let mut mantissa = u64::try_from(centimetres).ok()?;
    let mut exponent = 0;
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    (exponent <= 9).then_some((mantissa as u8) << 4 | exponent)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::model::RrType;
    use crate::model::rdata::{from_text, to_text};

    fn rewritten(text: &str) -> String {
        to_text(RrType::LOC, &from_text(RrType::LOC, text, None).unwrap())
    }

    #[test]
    fn the_examples_of_rfc_1876() {
        assert_eq!(rewritten("42 21 54 N 71 06 18 W -24m 30m"), "42 21 54.000 N 71 6 18.000 W -24.00m 30m 10000m 10m");
        assert_eq!(
            rewritten("42 21 43.952 N 71 5 6.344 W -24m 1m 200m"),
            "42 21 43.952 N 71 5 6.344 W -24.00m 1m 200m 10m"
        );
        assert_eq!(rewritten("52 14 05 N 00 08 50 E 10m"), "52 14 5.000 N 0 8 50.000 E 10.00m 1m 10000m 10m");
        assert_eq!(rewritten("32 7 19 S 116 2 25 E 10m"), "32 7 19.000 S 116 2 25.000 E 10.00m 1m 10000m 10m");
        let full = "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m";
        assert_eq!(rewritten(full), full);
        assert_eq!(rewritten("90 s 180 w -100000"), "90 0 0.000 S 180 0 0.000 W -100000.00m 1m 10000m 10m");
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("91 N 4 E 0m", "latitude"),
            ("90 0 0.001 N 4 E 0m", "latitude"),
            ("52 60 N 4 E 0m", "latitude"),
            ("N 4 E 0m", "latitude"),
            ("52 1 2 3 N 4 E 0m", "latitude"),
            ("52 N 181 E 0m", "longitude"),
            ("52 N 4 E", "altitude"),
            ("52 N 4 E 1.234m", "altitude"),
            ("52 N 4 E 0m -1m", "size"),
            ("52 N 4 E 0m 1m 90000001000m", "horizontal"),
            ("52 N 4 E 0m 1m 1m 1m 1m", "unexpected"),
        ] {
            let error = from_text(RrType::LOC, text, None).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
