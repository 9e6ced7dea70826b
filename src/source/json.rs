//! Strict JSON with places: serde_json says whether it is JSON and what each piece is worth, a scanner says where it stands.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::diagnostic::Diagnostic;
use super::document::Document;
use super::tree::{Node, Place, Tree};

/// Nesting deeper than this is refused; no object of ours is.
const DEEPEST: usize = 128;

/// Cuts a file of JSON values that follow each other, as `kubectl` takes them; with what ends it too early.
pub(super) fn cut<'a>(file: &str, text: &'a str) -> (Vec<Document<'a>>, Option<Diagnostic>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut documents = Vec::new();
    let (mut counted, mut lines) = (0, 0);
    loop {
        let from = stream.byte_offset();
        let start = from + text[from..].len() - text[from..].trim_start().len();
        match stream.next() {
            None => return (documents, None),
            Some(Ok(_)) => {
                lines += text[counted..start].matches('\n').count();
                counted = start;
                let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
                let end = stream.byte_offset();
                documents.push(Document { text: &text[line..end], lines_before: lines, json: Some(start - line) });
            }
            Some(Err(error)) => {
                let (place, words) = words(text, &error);
                return (documents, Some(Diagnostic::at(file, text, 0, place, words)));
            }
        }
    }
}

/// Reads the value that stands at `start`.
///
/// # Errors
/// The place, and what is no JSON there in words.
pub(super) fn parse(text: &str, start: usize) -> Result<Tree, (Place, String)> {
    let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<IgnoredAny>();
    if let Some(Err(error)) = stream.next() {
        let (place, words) = words(&text[start..], &error);
        return Err((shifted(text, start, place), words));
    }
    let line = 1 + text[..start].matches('\n').count();
    let column = 1 + text[..start].rsplit('\n').next().unwrap_or("").chars().count();
    Scanner { text, at: start, line, column, depth: 0 }.value()
}

/// A place in `text[start..]` as one in `text`.
fn shifted(text: &str, start: usize, (line, column): Place) -> Place {
    let before = text[..start].matches('\n').count();
    let lead = text[..start].rsplit('\n').next().unwrap_or("").chars().count();
    (before + line, if line == 1 { lead + column } else { column })
}

/// What serde_json found, in words for people, and where.
fn words(text: &str, error: &serde_json::Error) -> (Place, String) {
    let line_text = text.lines().nth(error.line().saturating_sub(1)).unwrap_or("");
    // serde_json counts octets, and at the end of a line it names the octet before.
    let octets = line_text.len().min(error.column().saturating_sub(1));
    let octets = (0..=octets).rev().find(|at| line_text.is_char_boundary(*at)).unwrap_or(0);
    let place = (error.line().max(1), 1 + line_text[..octets].chars().count());
    let here = line_text[octets..].chars().next();
    let line_start = text.split_inclusive('\n').take(place.0 - 1).map(str::len).sum::<usize>();
    let before = text[..line_start + octets].trim_end();
    let comma = matches!(here, Some('}' | ']')) && before.ends_with(',');
    let place = match comma {
        true => {
            let lead = before[..before.len() - 1].rsplit('\n').next().unwrap_or("");
            (1 + before.matches('\n').count(), 1 + lead.chars().count())
        }
        false => place,
    };
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or("");
    let what = if error.is_eof() {
        "the file ends in the middle of a value: a closing bracket or quote is missing, or the file was cut".to_owned()
    } else if comma {
        "JSON allows no comma before a closing bracket: remove it".to_owned()
    } else if matches!(here, Some('/' | '#')) {
        "JSON has no comments; remove it, or name the file .yaml".to_owned()
    } else if here == Some('\'') {
        "JSON writes texts in double quotes: \"…\"".to_owned()
    } else if line_text.trim_start().starts_with("---") {
        "JSON has no `---` between documents; let the objects follow each other, or name the file .yaml".to_owned()
    } else {
        match said {
            "key must be a string" => "a key in double quotes is wanted here: \"name\": …".to_owned(),
            "expected value" | "expected ident" => {
                "a value is wanted here: a text in double quotes, a number, true, false, null, [ or {".to_owned()
            }
            "expected `:`" => "a colon is wanted here, between the key and its value".to_owned(),
            "expected `,` or `}`" => "a comma or the closing } of the object is wanted here".to_owned(),
            "expected `,` or `]`" => "a comma or the closing ] of the list is wanted here".to_owned(),
            "invalid number" => "this is no number as JSON writes them: no leading zeros, no +, no 0x".to_owned(),
            "number out of range" => "this number is too large".to_owned(),
            "trailing characters" | "trailing comma" => "something stands behind the end of the value".to_owned(),
            _ if said.starts_with("control character") => {
                "a text in double quotes may not run over a line's end, nor hold tabs: write \\n and \\t, or close it"
                    .to_owned()
            }
            "invalid escape" => {
                "there is no such escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u0000 are all".to_owned()
            }
            _ => format!("{said}: correct it"),
        }
    };
    (place, format!("not valid JSON: {what}"))
}

/// Walks over text of which serde_json has said that it is JSON.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    column: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    fn place(&self) -> Place {
        (self.line, self.column)
    }

    fn wrong<T>(&self, words: &str) -> Result<T, (Place, String)> {
        Err((self.place(), format!("not valid JSON: {words}")))
    }

    /// Goes on to octet `to`.
    fn advance(&mut self, to: usize) {
        for c in self.text[self.at..to].chars() {
            match c {
                '\n' => (self.line, self.column) = (self.line + 1, 1),
                _ => self.column += 1,
            }
        }
        self.at = to;
    }

    fn peek(&mut self) -> u8 {
        let rest = &self.text[self.at..];
        self.advance(self.at + rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len());
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == wanted;
        if found {
            self.advance(self.at + 1);
        }
        found
    }

    fn value(&mut self) -> Result<Tree, (Place, String)> {
        let first = self.peek();
        let place = self.place();
        if self.depth > DEEPEST {
            return self.wrong("lists and objects are nested too deeply here; no record needs that");
        }
        self.depth += 1;
        let node = match first {
            b'{' => self.object()?,
            b'[' => self.list()?,
            _ => Node::Scalar(self.scalar()?),
        };
        self.depth -= 1;
        Ok(Tree::new(place, node))
    }

    fn object(&mut self) -> Result<Node, (Place, String)> {
        self.take(b'{');
        let mut entries = Vec::new();
        while !self.take(b'}') {
            self.peek();
            let place = self.place();
            let Value::String(key) = self.scalar()? else { return self.wrong("a key in double quotes is wanted here") };
            if !self.take(b':') {
                return self.wrong("a colon is wanted here");
            }
            entries.push((key, place, self.value()?));
            self.take(b',');
        }
        Ok(Node::Map(entries))
    }

    fn list(&mut self) -> Result<Node, (Place, String)> {
        self.take(b'[');
        let mut items = Vec::new();
        while !self.take(b']') {
            items.push(self.value()?);
            self.take(b',');
        }
        Ok(Node::List(items))
    }

    fn scalar(&mut self) -> Result<Value, (Place, String)> {
        let bytes = &self.text.as_bytes()[self.at..];
        let length = if bytes.first() == Some(&b'"') {
            let mut escaped = false;
            let end = bytes[1..].iter().position(|byte| match byte {
                _ if std::mem::take(&mut escaped) => false,
                b'\\' => {
                    escaped = true;
                    false
                }
                byte => *byte == b'"',
            });
            end.map_or(bytes.len(), |end| end + 2)
        } else {
            bytes.iter().position(|byte| b" \t\n\r,:]}".contains(byte)).unwrap_or(bytes.len())
        };
        let piece: &'a str = &self.text[self.at..self.at + length];
        match serde_json::from_str::<Value>(piece) {
            Ok(value) => {
                self.advance(self.at + length);
                Ok(value)
            }
            Err(error) => {
                let (place, words) = words(piece, &error);
                Err((shifted(self.text, self.at, place), words))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_follow_each_other_and_know_their_places() {
        let text = "\u{feff}{\"ä\": \"ö\\n\", \"b\": [1,\n  {\"c\": null}]} {\"d\":\t-1.5e3}\n\n[true]\n";
        let (documents, wrong) = cut("x.json", text);
        assert!(wrong.is_none());
        let trees: Vec<Tree> = documents.iter().map(|d| parse(d.text, d.json.unwrap()).unwrap()).collect();
        let values: Vec<String> = trees.iter().map(|tree| tree.value().to_string()).collect();
        assert_eq!(values, [r#"{"ä":"ö\n","b":[1,{"c":null}]}"#, r#"{"d":-1500.0}"#, "[true]"]);
        let lines: Vec<usize> = documents.iter().map(|document| document.lines_before).collect();
        assert_eq!(lines, [0, 1, 3]);
        assert_eq!((trees[0].find("b[1].c", true), trees[0].find("b[0]", false)), ((2, 4), (1, 20)));
        assert_eq!(trees[1].find("d", false), (1, 23));
    }

    #[track_caller]
    fn wrong(text: &str, place: Place, word: &str) {
        let (_, found) = cut("x.json", text);
        let found = found.unwrap();
        assert_eq!((found.line, found.column), place, "{found}");
        assert!(found.message.contains(word), "{found}");
    }

    #[test]
    fn what_is_no_json_is_said_in_plain_words() {
        wrong("{\"a\": 1,}\n", (1, 8), "remove it");
        wrong("{\n  \"a\": [1, 2,\n  ]}\n", (2, 13), "remove it");
        wrong("{\"ä\": 'x'}", (1, 7), "double quotes");
        wrong("{\"a\": 1 // one\n}", (1, 9), "comments");
        wrong("{a: 1}", (1, 2), "double quotes");
        wrong("{\"a\": 1}\n---\n{\"a\": 2}\n", (2, 2), "---");
        wrong("{\"a\": [1, 2", (1, 11), "ends");
        wrong("{\"a\": 010}", (1, 8), "zeros");
        wrong("{\"a\": True}", (1, 7), "value");
        wrong("apiVersion: v1\n", (1, 1), "value");
        assert!(
            parse("\"\\ud800\"", 0).is_err()
                && parse(&format!("{0}1{1}", "[".repeat(200), "]".repeat(200)), 0).is_err()
        );
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let tree = parse(&text.unwrap(), 0).map_err(|(_, words)| TestCaseError::fail(words))?;
            prop_assert_eq!(tree.value(), value);
        }

        #[test]
        fn never_stumbles(text in "[\\[\\]{}\",:0-9a-z \\\\\\n-]{0,40}") {
            let strict = serde_json::from_str::<Value>(&text).is_ok();
            prop_assert_eq!(parse(&text, 0).is_ok() || text.trim().is_empty() || !strict, true);
            let (documents, _) = cut("x.json", &text);
            for document in documents {
                let _ = parse(document.text, document.json.unwrap());
            }
        }
    }
}
