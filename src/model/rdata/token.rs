//! Words of zone-file text (RFC 1035 §5.1).

use std::borrow::Cow;

use super::error::RdataError;

/// One word as written, without the quotes around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    /// With its escapes.
    pub raw: &'a str,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// Splits text into words: white space separates, `"…"` is one word, parentheses and comments count as white space.
///
/// A quote that follows `=` stays in its word (RFC 9460 appendix A: `alpn="h2,h3"`) when `params` is set.
///
/// # Errors
/// [`RdataError::Quoting`].
pub(super) fn split(text: &str, params: bool) -> Result<Vec<Token<'_>>, RdataError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut depth = 0u32;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b';' => at += bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - at),
            b'(' => {
                depth += 1;
                at += 1;
            }
            b')' => {
                depth = depth.checked_sub(1).ok_or(RdataError::Quoting { problem: "unmatched )", at })?;
                at += 1;
            }
            b'"' => {
                let end = closing_quote(bytes, at)?;
                tokens.push(Token { raw: &text[at + 1..end], quoted: true });
                at = end + 1;
            }
            _ => {
                let start = at;
                while at < bytes.len() {
                    match bytes[at] {
                        b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' => break,
                        b'\\' => at += 2,
                        b'"' if params && opens_value(&bytes[start..at]) => {
                            at = closing_quote(bytes, at)? + 1;
                            if bytes.get(at).is_some_and(|b| !b" \t\r\n;()".contains(b)) {
                                return Err(RdataError::Quoting { problem: "text right after a closing quote", at });
                            }
                        }
                        b'"' => return Err(RdataError::Quoting { problem: "quote in the middle of a word", at }),
                        _ => at += 1,
                    }
                }
                if at > bytes.len() {
                    return Err(RdataError::Quoting { problem: "nothing follows the \\", at: bytes.len() - 1 });
                }
                // Octets of a longer UTF-8 character match none of the arms above, so this is a character's end.
                tokens.push(Token { raw: &text[start..at], quoted: false });
            }
        }
    }
    if depth > 0 {
        return Err(RdataError::Quoting { problem: "missing )", at: bytes.len() });
    }
    Ok(tokens)
}

/// Whether a quote after `word` opens the value of a parameter: its first `=` is its last character.
fn opens_value(word: &[u8]) -> bool {
    word.len() > 1 && word.iter().position(|b| *b == b'=') == Some(word.len() - 1)
}

fn closing_quote(bytes: &[u8], open: usize) -> Result<usize, RdataError> {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Ok(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Err(RdataError::Quoting { problem: "missing closing quote for the one", at: open })
}

/// The octets that `raw` stands for: `\DDD` is an octet, `\X` is X, anything else itself (UTF-8).
///
/// `None` for a `\` at the end or a number above 255.
pub(super) fn unescape(raw: &str) -> Option<Cow<'_, [u8]>> {
    if !raw.contains('\\') {
        return Some(Cow::Borrowed(raw.as_bytes()));
    }
    let mut octets = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            octets.push(*first);
            continue;
        }
        match after {
            [a, b, c, after @ ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => {
                let value = u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0');
                octets.push(u8::try_from(value).ok()?);
                rest = after;
            }
            // One or two digits are a mistake: nobody escapes a digit to mean itself.
            [digit, ..] if digit.is_ascii_digit() => return None,
            [other, after @ ..] => {
                octets.push(*other);
                rest = after;
            }
            [] => return None,
        }
    }
    Some(Cow::Owned(octets))
}

/// Appends `octets` in quotes, so that any parser reads them back.
pub(super) fn quote(octets: &[u8], out: &mut String) {
    out.push('"');
    for octet in octets {
        escape(*octet, b"\"\\", out);
    }
    out.push('"');
}

/// Appends one octet, with a `\` when it is one of `special`, as `\DDD` when it is not printable ASCII.
pub(super) fn escape(octet: u8, special: &[u8], out: &mut String) {
    match octet {
        0x20..=0x7e => {
            if special.contains(&octet) {
                out.push('\\');
            }
            out.push(char::from(octet));
        }
        _ => {
            out.push('\\');
            for digit in [octet / 100, octet / 10 % 10, octet % 10] {
                out.push(char::from(b'0' + digit));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        split(text, true).unwrap().iter().map(|token| token.raw).collect()
    }

    #[test]
    fn splits_as_zone_files_do() {
        assert_eq!(words("a  b\t( c ; comment ( \"\n d ) e"), ["a", "b", "c", "d", "e"]);
        assert_eq!(
            words(r#""a b""c;d" e\ f \"g k="v w" \;x"#),
            ["a b", "c;d", r"e\ f", r#"\"g"#, r#"k="v w""#, r"\;x"]
        );
        assert_eq!(words(r#""" "a\"b" "\\""#), ["", r#"a\"b"#, r"\\"]);
        assert_eq!(words("a\\é b"), ["a\\é", "b"]);
        assert!(words("").is_empty());
    }

    #[test]
    fn refuses_what_does_not_pair_up() {
        for bad in ["( a", "a )", "\"a", "\"a\\\"", "a\"b\"", "a\\", "k=\"v", "k=\"v\"w", "k=a=\"v\""] {
            assert!(split(bad, true).is_err(), "{bad}");
        }
        assert!(split("k=\"v\"", false).is_err());
    }

    #[test]
    fn escapes_both_ways() {
        assert_eq!(unescape("a\\065\\.\\\\é").unwrap(), "aA.\\é".as_bytes());
        assert_eq!(unescape("\\256"), None);
        assert_eq!(unescape("\\1"), None);
        let all: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        quote(&all, &mut text);
        assert_eq!(unescape(split(&text, false).unwrap()[0].raw).unwrap(), all);
    }
}
