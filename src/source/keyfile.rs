//! TSIG keys from files: bare base64, or BIND's `key "name" { algorithm …; secret "…"; };`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::dns::tsig::{Algorithm, Key};
use crate::model::Name;

/// A key from its three parts; the error never holds the secret.
pub(super) fn key(name: &str, algorithm: &str, secret: &str) -> Result<Key, String> {
    let name = Name::parse(name).map_err(|error| format!("the key name \"{name}\": {error}"))?;
    let known = Algorithm::parse(algorithm).ok_or_else(|| match algorithm.to_ascii_lowercase().as_str() {
        "hmac-md5" | "hmac-md5.sig-alg.reg.int" | "hmac-sha224" => {
            format!("{algorithm} is not supported (it is weak or rare); make a key with hmac-sha256")
        }
        _ => format!("unknown algorithm \"{algorithm}\"; expected hmac-sha256, hmac-sha384, hmac-sha512 or hmac-sha1"),
    })?;
    let compact: String = secret.split_whitespace().collect();
    if compact.is_empty() {
        return Err("the secret is empty".into());
    }
    let secret = STANDARD.decode(&compact).map_err(|_| {
        "the secret is not base64; it is the text that `keymgr -t` or `tsig-keygen` prints as secret".to_owned()
    })?;
    Key::new(name, known, &secret).map_err(|error| error.to_string())
}

/// Reads BIND's key format; the first key of the file counts.
pub(super) fn from_bind(text: &str) -> Result<Key, String> {
    let mut words = words(text).into_iter();
    let wrong = || "expected key \"name\" { algorithm hmac-sha256; secret \"…\"; };".to_owned();
    if words.next().as_deref() != Some("key") {
        return Err(wrong());
    }
    let name = words.next().ok_or_else(wrong)?;
    if words.next().as_deref() != Some("{") {
        return Err(wrong());
    }
    let (mut algorithm, mut secret) = (None, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "algorithm" => algorithm = words.next(),
            "secret" => secret = words.next(),
            ";" => {}
            "}" => break,
            _ => return Err(wrong()),
        }
    }
    key(&name, &algorithm.ok_or("the algorithm is missing")?, &secret.ok_or("the secret is missing")?)
}

/// Words, quoted strings and punctuation; `//`, `#` and `/* */` comments left out.
fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => out.push(chars.by_ref().take_while(|c| *c != '"').collect()),
            '{' | '}' | ';' => out.push(c.to_string()),
            '#' => chars.by_ref().take_while(|c| *c != '\n').for_each(drop),
            '/' if chars.peek() == Some(&'/') => chars.by_ref().take_while(|c| *c != '\n').for_each(drop),
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                chars.by_ref().take_while(|c| !(std::mem::replace(&mut last, *c) == '*' && *c == '/')).for_each(drop);
            }
            c if c.is_whitespace() => {}
            c => {
                let mut word = String::from(c);
                while let Some(next) = chars.next_if(|c| !c.is_whitespace() && !"{};\"".contains(*c)) {
                    word.push(next);
                }
                out.push(word);
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_tsig_keygen_writes() {
        let text = "# made today\nkey \"operator.\" {\n\talgorithm hmac-sha256; // good\n\tsecret \"cGxlYXNlIGRvIG5vdA==\";\n};\n";
        assert_eq!(from_bind(text).unwrap().name().to_string(), "operator.");
        assert!(from_bind("secret").is_err());
        assert!(from_bind("key x { secret \"AA==\"; };").err().unwrap().contains("algorithm"));
    }

    #[test]
    fn says_what_is_wrong_and_never_the_secret() {
        assert!(key("k", "hmac-md5", "AAAA").err().unwrap().contains("hmac-sha256"));
        assert!(key("k", "hmac-sha999", "AAAA").err().unwrap().contains("unknown"));
        let error = key("k", "hmac-sha256", "not base64 !").err().unwrap();
        assert!(error.contains("base64") && !error.contains("not base64 !"));
    }
}
