//! International names: U-labels in, A-labels out.

use super::NameError;

/// Turns each label that is not ASCII into its A-label; the ideographic full stops count as dots (UTS 46 §2.3).
pub(super) fn to_a_labels(text: &str) -> Result<String, NameError> {
    let bad = || NameError::Idn(text.to_owned());
    let mut ascii = String::with_capacity(text.len() * 2);
    let mut rest = text;
    loop {
        let mut escaped = false;
        let end = rest.find(|c| match c {
            '\\' => {
                escaped = !escaped;
                false
            }
            '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' => !std::mem::take(&mut escaped),
            _ => {
                escaped = false;
                false
            }
        });
        let label = &rest[..end.unwrap_or(rest.len())];
        if label.is_ascii() {
            ascii.push_str(label);
        } else {
            // Neither an escape nor a dot that appears in the mapping has a place in a U-label.
            let mapped = idna::domain_to_ascii_cow(label.as_bytes(), idna::AsciiDenyList::EMPTY).map_err(|_| bad())?;
            if label.contains('\\') || mapped.contains(['.', '\\']) {
                return Err(bad());
            }
            ascii.push_str(&mapped);
        }
        let Some(end) = end else { return Ok(ascii) };
        ascii.push('.');
        rest = &rest[end..];
        rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
    }
}

/// Whether a label calls itself an A-label (RFC 5890 §2.3.2.1) and stands for no U-label: a slip of the pen, for nobody
/// who types the name in its own script would ever ask for it.
pub(super) fn is_fake_a_label(label: &[u8]) -> bool {
    label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"xn--"))
        && idna::domain_to_ascii_cow(label, idna::AsciiDenyList::EMPTY).is_err()
}
