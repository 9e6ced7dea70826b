//! TXT RDATA as text: character-strings joined when read, split at 255 octets when written (RFC 1035 §3.3.14).

use crate::model::Rdata;

/// The character-strings of a TXT joined; `None` when the RDATA is not a sequence of character-strings.
pub fn join(rdata: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(rdata.len());
    let mut rest = rdata;
    while let Some((&len, tail)) = rest.split_first() {
        let len = usize::from(len);
        text.extend_from_slice(tail.get(..len)?);
        rest = &tail[len..];
    }
    (!rdata.is_empty()).then_some(text)
}

/// The texts of a TXT as its writer meant them: a full character-string (255 octets) goes on in the next one, a shorter
/// one ends there. `None` when the RDATA is not a sequence of character-strings.
pub fn texts(rdata: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut texts, mut goes_on) = (Vec::<Vec<u8>>::new(), false);
    let mut rest = rdata;
    while let Some((&len, tail)) = rest.split_first() {
        let string = tail.get(..usize::from(len))?;
        match texts.last_mut().filter(|_| goes_on) {
            Some(last) => last.extend_from_slice(string),
            None => texts.push(string.to_vec()),
        }
        goes_on = len == u8::MAX;
        rest = &tail[string.len()..];
    }
    (!texts.is_empty()).then_some(texts)
}

/// Text as character-strings of at most 255 octets; an empty text is one empty string.
pub fn split(text: &[u8]) -> Rdata {
    let mut out = Vec::with_capacity(text.len() + text.len() / 255 + 1);
    if text.is_empty() {
        out.push(0);
    }
    for piece in text.chunks(255) {
        out.push(piece.len() as u8);
        out.extend_from_slice(piece);
    }
    out.into()
}

/// Whether the joined text could be anybody's ownership record: a cheap test before parsing.
pub(crate) fn speaks_of_heritage(rdata: &[u8]) -> bool {
    // All three tools put the word first; ExternalDNS wraps it in literal quotes.
    rdata.get(1..).is_some_and(|text| text.strip_prefix(b"\"").unwrap_or(text).starts_with(b"heritage="))
}

/// Whether a TXT value is one that some tool's marker parser takes for its own: such a value may not be declared
/// as data, since it would make others believe that they own the name.
pub fn is_anybodys_marker(rdata: &[u8]) -> bool {
    let Some(text) = join(rdata) else { return false };
    let text = text.strip_prefix(b"\"").unwrap_or(&text);
    let Some(rest) = text.strip_prefix(b"heritage=") else { return false };
    let word = rest.split(|b| matches!(b, b',' | b'"')).next().unwrap_or_default();
    matches!(word, b"knotwork" | b"external-dns" | b"nix")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn long_text_goes_both_ways() {
        for len in [0, 1, 255, 256, 700] {
            let text = vec![b'x'; len];
            assert_eq!(join(&split(&text)).unwrap(), text, "{len}");
        }
        assert_eq!(split(&[b'x'; 256]).len(), 258);
        assert_eq!(join(&[]), None);
        assert_eq!(join(&[5, b'a']), None);
        assert_eq!(texts(&split(&[b'x'; 700])).unwrap(), [vec![b'x'; 700]]);
        assert_eq!(texts(b"\x01a\x02bc").unwrap(), [b"a".to_vec(), b"bc".to_vec()]);
        assert_eq!((texts(&[]), texts(&[5, b'a'])), (None, None));
    }

    #[test]
    fn markers_of_all_tools_are_recognised_as_values() {
        for text in
            ["heritage=knotwork,v=1", "\"heritage=external-dns,external-dns/owner=x\"", "heritage=nix,managed-by=y"]
        {
            assert!(is_anybodys_marker(&split(text.as_bytes())), "{text}");
            assert!(speaks_of_heritage(&split(text.as_bytes())), "{text}");
        }
        for text in ["heritage", "heritage=nixos", "v=spf1 -all", ""] {
            assert!(!is_anybodys_marker(&split(text.as_bytes())), "{text}");
        }
    }
}
