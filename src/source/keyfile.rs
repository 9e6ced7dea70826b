//! TSIG keys from files: bare base64, or BIND's `key "name" { algorithm …; secret "…"; };`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::dns::tsig::{Algorithm, Key};
use crate::model::Name;

/// The name of a key.
pub(super) fn key_name(name: &str) -> Result<Name, String> {
    Name::parse(name).map_err(|error| format!("the key name \"{name}\": {error}"))
}

/// An algorithm by its name.
pub(super) fn algorithm(algorithm: &str) -> Result<Algorithm, String> {
    Algorithm::parse(algorithm).ok_or_else(|| match algorithm.to_ascii_lowercase().as_str() {
        "hmac-md5" | "hmac-md5.sig-alg.reg.int" | "hmac-sha224" => {
            format!("{algorithm} is not supported (it is weak or rare); make a key with hmac-sha256")
        }
        _ => format!("unknown algorithm \"{algorithm}\"; expected hmac-sha256, hmac-sha384, hmac-sha512 or hmac-sha1"),
    })
}

/// A key from its three parts; the error never holds the secret.
pub(super) fn key(name: &str, algorithm: &str, secret: &str) -> Result<Key, String> {
    let (name, known) = (key_name(name)?, self::algorithm(algorithm)?);
    let compact: String = secret.split_whitespace().collect();
    if compact.is_empty() {
        return Err("the secret is empty".into());
    }
    let secret = STANDARD.decode(&compact).map_err(|_| {
        "the secret is not base64; it is the text that `keymgr -t` or `tsig-keygen` prints as secret".to_owned()
    })?;
    Key::new(name, known, &secret).map_err(|error| error.to_string())
}

/// Reads BIND's key format. Where the file has several keys, `name` says which; an `algorithm` must be that of the key.
pub(super) fn from_bind(text: &str, name: Option<&str>, algorithm: Option<&str>) -> Result<Key, String> {
    let mut words = words(text).into_iter().peekable();
    let wrong = || "expected key \"name\" { algorithm hmac-sha256; secret \"…\"; };".to_owned();
    let mut statements = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            ";" => continue,
            "key" => {}
            _ => return Err(wrong()),
        }
        let own = words.next().ok_or_else(wrong)?;
        if words.next().as_deref() != Some("{") {
            return Err(wrong());
        }
        let (mut algorithm, mut secret) = (None, None);
        loop {
            match words.next().as_deref() {
                Some("algorithm") => algorithm = words.next(),
                Some("secret") => secret = words.next(),
                Some(";") => {}
                Some("}") => break,
                _ => return Err(wrong()),
            }
        }
        statements.push((own, algorithm, secret));
    }
    let names: Vec<String> = statements.iter().map(|(own, ..)| format!("\"{own}\"")).collect();
    let (own, own_algorithm, secret) = match name {
        None if statements.len() > 1 => {
            return Err(format!("holds several keys ({}); say which with tsig.name", names.join(", ")));
        }
        None => statements.pop().ok_or_else(wrong)?,
        Some(name) => {
            let same = |own: &str| Name::parse(own).is_ok_and(|own| Name::parse(name).is_ok_and(|name| own == name));
            let at = statements.iter().position(|(own, ..)| same(own));
            let at = at.ok_or_else(|| format!("holds no key \"{name}\", but {}", names.join(", ")))?;
            statements.swap_remove(at)
        }
    };
    let own_algorithm = own_algorithm.ok_or("the algorithm is missing")?;
    if let Some(algorithm) = algorithm.filter(|algorithm| !algorithm.eq_ignore_ascii_case(&own_algorithm)) {
        return Err(format!("the key is for {own_algorithm}, but tsig.algorithm says {algorithm}; remove the latter"));
    }
    key(&own, &own_algorithm, &secret.ok_or("the secret is missing")?)
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
        assert_eq!(from_bind(text, None, None).unwrap().name().to_string(), "operator.");
        let two = format!("{text}key other {{ algorithm hmac-sha512; secret \"QUJD\"; }};");
        let fault = |name, algorithm| from_bind(&two, name, algorithm).err().unwrap();
        assert!(fault(None, None).contains("\"operator.\", \"other\""));
        assert!(fault(Some("third"), None).contains("no key \"third\""));
        assert!(fault(Some("other"), Some("hmac-sha256")).contains("hmac-sha512"));
        assert_eq!(from_bind(&two, Some("OTHER."), None).unwrap().name().to_string(), "other.");
        for text in ["secret", "", "key x { secret \"AA==\"", "key x { secret \"AA==\"; }; }"] {
            assert!(from_bind(text, None, None).is_err(), "{text}");
        }
        assert!(from_bind("key x { secret \"AA==\"; };", None, None).err().unwrap().contains("algorithm"));
    }

    #[test]
    fn says_what_is_wrong_and_never_the_secret() {
        assert!(key("k", "hmac-md5", "AAAA").err().unwrap().contains("hmac-sha256"));
        assert!(key("k", "hmac-sha999", "AAAA").err().unwrap().contains("unknown"));
        let error = key("k", "hmac-sha256", "not base64 !").err().unwrap();
        assert!(error.contains("base64") && !error.contains("not base64 !"));
    }
}
