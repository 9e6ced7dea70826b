//! What the YAML reader stumbled over, in words for people: what is wrong there and what to do.

use serde_saphyr::Error;
use serde_saphyr::budget::BudgetBreach;

use super::tree::Place;

/// The place of an error of the YAML reader, and its words.
pub(super) fn words(error: &Error) -> (Place, String) {
    let error = error.without_snippet();
    let place = error.location().map_or((1, 1), |place| (place.line() as usize, place.column() as usize));
    (place, said(error))
}

const REPEATS: &str = "the aliases (*name) in this document repeat so much that it would grow beyond all measure; write out what it is to say";

fn said(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } => return said(error),
        Error::Budget { breach, .. } => {
            return match breach {
                BudgetBreach::Depth { .. } => DEEP.to_owned(),
                BudgetBreach::Aliases { .. }
                | BudgetBreach::Anchors { .. }
                | BudgetBreach::Events { .. }
                | BudgetBreach::Nodes { .. }
                | BudgetBreach::ScalarBytes { .. } => REPEATS.to_owned(),
                // Further limits are of aliases and merges too, whatever the reader calls them.
                _ => REPEATS.to_owned(),
            };
        }
        Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => return REPEATS.to_owned(),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            return "an alias (*name) stands inside of what it names; write out what it is to say".to_owned();
        }
        Error::UnknownAnchor { .. } => {
            return "a text that begins with * names an anchor (&name), and there is none of this name; if a text is meant, put it in quotes: \"*.internal\"".to_owned();
        }
        Error::Eof { .. } => return "the document ends too early; was the file cut?".to_owned(),
        Error::MultipleDocuments { .. } => {
            return "a second document begins here; put a line `---` in front of it".to_owned();
        }
        Error::DuplicateMappingKey { key, .. } => {
            return format!("the key {} stands here for the second time", key.as_deref().unwrap_or("here"));
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            return "<<: takes in another mapping by its alias (*name); something else stands here".to_owned();
        }
        Error::InvalidScalar { ty, .. } => {
            return format!("the tag in front of this value says that it is {ty}, and it is not; remove the tag");
        }
        _ => {}
    }
    let plain = error.to_string();
    // The reader repeats the place at the end of its words; ours stands in front.
    let plain = plain.rfind(" at line ").map_or(plain.as_str(), |at| &plain[..at]);
    parser(plain)
}

const DEEP: &str = "lists and mappings are nested too deeply here; no record needs that";

/// What the parser's own words mean.
fn parser(plain: &str) -> String {
    if let Some(bracket) = plain.strip_prefix("unclosed bracket '").and_then(|rest| rest.chars().next()) {
        let close = if bracket == '[' { ']' } else { '}' };
        return format!("the {bracket} that opens here is never closed; put a {close} where it ends");
    }
    if let Some(rest) = plain.strip_prefix("mismatched bracket '") {
        let (open, close) = (rest.chars().next().unwrap_or('['), rest.chars().rev().nth(1).unwrap_or('}'));
        return format!("the {open} that opens here is closed by a {close}; brackets come in pairs: [ ] and {{ }}");
    }
    if let Some(what) = plain.strip_prefix("unexpected character: `").and_then(|rest| rest.strip_suffix('\'')) {
        if what.starts_with("\\u") || what.starts_with("\\x") {
            return format!("the invisible character {what} stands here, which no YAML text may hold; remove it");
        }
        return format!("no plain value may begin with {what}; put it in quotes: \"{what}…\"");
    }
    let meaning = match plain {
        "misplaced bracket" => "a bracket is closed here that was never opened; remove it, or put the text in quotes",
        "unclosed quote" => "the quote that opens here is never closed",
        "mapping values are not allowed in this context" => {
            "a colon makes a key here, where none can stand: is the line indented as its neighbours are? A text with a colon goes in quotes: \"a: b\""
        }
        "illegal placement of ':' indicator" => {
            "a key begins here inside of a [ that is not closed; close it with ] on the line before"
        }
        "while parsing a block mapping, did not find expected key" | "invalid indentation" => {
            "this line is indented neither as the keys before it nor deeper; give all keys of one mapping the same blanks in front"
        }
        "while parsing a block collection, did not find expected '-' indicator" => {
            "an item of a list is wanted here (- value); give all items of one list the same blanks in front"
        }
        "block sequence entries are not allowed in this context" => {
            "an item of a list (- value) cannot begin here; put it on a line of its own, or write [value]"
        }
        "simple key expected ':'" | "simple key is no longer valid" => {
            "this line is neither `key: value` nor `- item`; is a colon missing, or the blank after it?"
        }
        "tabs disallowed within this context (block indentation)"
        | "tabs disallowed in this context"
        | "tab cannot be used as indentation"
        | "while scanning a plain scalar, found a tab"
        | "a block scalar content cannot start with a tab" => {
            "a tab stands here, and YAML wants blanks: put blanks instead"
        }
        "recursion limit exceeded" => DEEP,
        "while parsing a quoted scalar, found unknown escape character" => {
            "a backslash in double quotes begins an escape, and there is none of this letter; write \\\\ for a backslash, or use single quotes"
        }
        "invalid trailing content after double-quoted scalar"
        | "invalid trailing content after single-quoted scalar" => {
            "something stands behind the closing quote; the whole value goes inside the quotes, and items of a list are divided by commas"
        }
        "while parsing a flow mapping, did not find expected ',' or '}'" => "a comma or the closing } is wanted here",
        "while parsing a flow sequence, expected ',' or ']'" => "a comma or the closing ] is wanted here",
        "invalid indentation in flow construct" => {
            "a line inside of brackets is not indented; close the bracket, or put blanks in front of the line"
        }
        "unsupported YAML major version" => "this YAML version is not known; remove the %YAML line",
        "wrongly indented line in block scalar" => {
            "a line of this text is indented less than its first; give it as many blanks"
        }
        "comments must be separated from other tokens by whitespace" => "put a blank before the #",
        "invalid type: sequence, expected a key" | "invalid type: map, expected a key" => {
            "a list or a mapping stands where a key is wanted; is this a template that was not filled in ({{ … }})? A text with brackets goes in quotes"
        }
        _ if plain.starts_with("unexpected EOF") || plain.starts_with("unexpected eof") => {
            "the document ends in the middle of a value; was the file cut?"
        }
        _ => return format!("not valid YAML here ({plain}); compare this line with its neighbours"),
    };
    meaning.to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tree::parse;
    use super::*;

    #[test]
    fn what_stops_the_reader_is_said_in_plain_words() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(","));
        }
        let deep = format!("a: {}", "[".repeat(3000));
        for (text, word) in [
            ("kind: [broken\n", "put a ]"),
            ("a: {x\n", "put a }"),
            ("a: [1\nb: 2\n", "close it with ]"),
            ("a: [1, 2}\n", "in pairs"),
            ("}\n", "never opened"),
            ("a: b: c\n", "in quotes"),
            ("a: 1\n b: 2\n", "indented"),
            ("a: \"x\n", "never closed"),
            ("a:\n  b: 1\n c: 2\n", "same blanks"),
            ("a:\n\t- b\n", "blanks"),
            ("a: *.internal\n", "\"*.internal\""),
            ("a: &x [*x]\n", "inside of what it names"),
            ("a: @x\n", "in quotes"),
            ("a: \u{7}\n", "invisible"),
            ("a: \"\\q\"\n", "backslash"),
            ("key: value\nttl 300\n", "colon"),
            ("a: - b\n", "line of its own"),
            ("a: {{ .x }}\n", "template"),
            ("a: b\n...\nc: d\n", "`---`"),
            ("<<: x\n", "alias"),
            ("a: !!int x\n", "tag"),
            ("a: [\"a\" b]\n", "quotes"),
            (bomb.as_str(), "beyond all measure"),
            (deep.as_str(), "nested too deeply"),
        ] {
            let Err(error) = parse(text) else { panic!("{text} is read") };
            let (place, words) = words(&error);
            assert!(words.contains(word), "{text}: {place:?} {words}");
            for leak in ["Recorded", "Error", "expected mapping", "from_str", "Policy", "context", "scalar"] {
                assert!(!words.contains(leak), "{text}: {words}");
            }
        }
    }
}
