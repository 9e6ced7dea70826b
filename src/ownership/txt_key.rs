//! Encrypted ownership TXTs of ExternalDNS (`--txt-encrypt-enabled`; `endpoint/crypto.go` of ExternalDNS).

use std::fmt;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{external_dns, txt};
use crate::model::Rdata;

/// Octets of a text that is unpacked; nobody's registration is longer.
const MOST: u64 = 64 << 10;

/// The key of encrypted ownership TXTs (`--txt-encrypt-aes-key`): base64( nonce ‖ AES-256-GCM( gzip( text ) ) ).
#[derive(Clone)]
pub struct TxtKey([u8; 32]);

impl TxtKey {
    /// Reads a key as ExternalDNS takes it: 32 octets, or base64 of 32.
    ///
    /// # Errors
    /// What is wrong with it; never the key.
    pub fn parse(text: &[u8]) -> Result<TxtKey, String> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let octets = match <[u8; 32]>::try_from(text) {
            Ok(octets) => Some(octets),
            Err(_) => [STANDARD, URL_SAFE].iter().find_map(|form| form.decode(text).ok()?.try_into().ok()),
        };
        octets.map(TxtKey).ok_or_else(|| {
            format!("the key has {} octets; expected --txt-encrypt-aes-key: 32 octets, or base64 of 32", text.len())
        })
    }

    /// The text of an encrypted TXT as RDATA; `None` where it is none, or is encrypted with another key.
    pub fn open(&self, rdata: &[u8]) -> Option<Rdata> {
        if !external_dns::may_be_encrypted(rdata) {
            return None;
        }
        let text = txt::join(rdata)?;
        let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(&text);
        let sealed = STANDARD.decode(text).ok()?;
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key()?.open_in_place(nonce, Aad::empty(), &mut rest).ok()?;
        let mut out = Vec::new();
        match flate2::read::GzDecoder::new(&*plain).take(MOST).read_to_end(&mut out) {
            Ok(_) => Some(txt::split(&out)),
            // What cannot be unpacked ExternalDNS takes as it is.
            Err(_) => Some(txt::split(plain)),
        }
    }

    fn key(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.0).ok().map(LessSafeKey::new)
    }

    /// As ExternalDNS would write a text with this nonce, for tests.
    #[cfg(test)]
    pub(crate) fn seal(&self, text: &[u8], nonce: [u8; NONCE_LEN]) -> Option<Rdata> {
        use std::io::Write as _;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(text).ok()?;
        let mut packed = packer.finish().ok()?;
        let fixed = Nonce::assume_unique_for_key(nonce);
        self.key()?.seal_in_place_append_tag(fixed, Aad::empty(), &mut packed).ok()?;
        Some(txt::split(STANDARD.encode([&nonce[..], &packed].concat()).as_bytes()))
    }
}

impl fmt::Debug for TxtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TxtKey(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_both_forms_and_what_is_none() {
        let raw = b"0123456789abcdef0123456789abcdef";
        for text in [&raw[..], STANDARD.encode(raw).as_bytes(), &[&raw[..], b"\n"].concat()] {
            assert_eq!(TxtKey::parse(text).unwrap().0, *raw);
        }
        let error = TxtKey::parse(b"secret").unwrap_err();
        assert!(error.contains("6 octets") && !error.contains("secret"), "{error}");
        assert!(!format!("{:?}", TxtKey::parse(raw).unwrap()).contains("48"));
    }

    #[test]
    fn opens_what_was_sealed_and_nothing_else() {
        let key = TxtKey::parse(b"0123456789abcdef0123456789abcdef").unwrap();
        let text = "heritage=external-dns,external-dns/owner=k8s,external-dns/resource=service/web/shop";
        let sealed = key.seal(text.as_bytes(), [7; 12]).unwrap();
        assert_eq!(external_dns::parse(&sealed), None);
        assert_eq!(external_dns::parse(&key.open(&sealed).unwrap()).unwrap().owner, "k8s");
        let other = TxtKey::parse(b"1123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(other.open(&sealed), None);
        assert_eq!(key.open(&txt::split(text.as_bytes())), None);
        assert_eq!(key.open(&txt::split(&[b'A'; 80])), None);
    }
}
