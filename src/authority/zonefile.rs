//! Zone files (RFC 1035 §5), as far as seeds and exports need them: `$ORIGIN`, `$TTL`, `@`, blank owners, parentheses.

use crate::dns::Record;
use crate::model::{Name, RrType, rdata};

/// What is wrong with a zone file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ZoneFileError {
    /// Line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads a zone file.
///
/// # Errors
/// At the first line that is no record.
pub fn parse(zone: &Name, text: &str) -> Result<Vec<Record>, ZoneFileError> {
    let mut origin = zone.clone();
    let mut ttl = 3600;
    let mut owner = zone.clone();
    let mut records = Vec::new();
    for (line, entry) in entries(text) {
        let wrong = |message: String| ZoneFileError { line, message };
        let blank = entry.starts_with([' ', '\t']);
        let mut rest = entry.trim();
        let mut word = || {
            let (first, tail) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
            rest = tail.trim_start();
            first.to_owned()
        };
        if entry.starts_with('$') {
            let (directive, value) = (word(), word());
            match directive.as_str() {
                "$ORIGIN" => origin = name(&value, &origin).map_err(wrong)?,
                "$TTL" => ttl = value.parse().map_err(|_| wrong(format!("\"{value}\" is no TTL")))?,
                _ => return Err(wrong(format!("{directive} is not understood here"))),
            }
            continue;
        }
        if !blank {
            let text = word();
            owner = name(&text, &origin).map_err(wrong)?;
        }
        let mut own_ttl = ttl;
        let rtype = loop {
            let text = word();
            if text.is_empty() {
                return Err(wrong("the record has no type".to_owned()));
            }
            if text.eq_ignore_ascii_case("IN") {
                continue;
            }
            if let Ok(seconds) = text.parse() {
                own_ttl = seconds;
                continue;
            }
            break RrType::parse(&text).ok_or_else(|| wrong(format!("\"{text}\" is no record type")))?;
        };
        let value = rdata::from_text(rtype, rest, Some(&origin)).map_err(|error| wrong(error.to_string()))?;
        if !owner.is_at_or_below(zone) {
            return Err(wrong(format!("{owner} lies outside of {zone}")));
        }
        records.push(Record::new(owner.clone(), rtype, own_ttl, value));
    }
    Ok(records)
}

fn name(text: &str, origin: &Name) -> Result<Name, String> {
    if text == "@" {
        return Ok(origin.clone());
    }
    let name = Name::parse(text).map_err(|error| format!("\"{text}\": {error}"))?;
    if Name::is_absolute(text) { Ok(name) } else { name.under(origin).map_err(|error| format!("\"{text}\": {error}")) }
}

/// Lines joined over parentheses, without comments, with the number of their first line.
fn entries(text: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open = 0usize;
    for (number, line) in text.lines().enumerate() {
        let mut piece = String::new();
        let (mut quoted, mut escaped) = (false, false);
        for c in line.chars() {
            let special = !quoted && !escaped;
            match c {
                ';' if special => break,
                '(' if special => open += 1,
                ')' if special => open = open.saturating_sub(1),
                _ => piece.push(c),
            }
            quoted ^= c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
        }
        let continues = out.last_mut().filter(|(_, text)| text.ends_with('\0'));
        match continues {
            Some((_, text)) => {
                text.pop();
                text.push(' ');
                text.push_str(&piece);
            }
            None if piece.trim().is_empty() && open == 0 => continue,
            None => out.push((number + 1, piece)),
        }
        // A mark that no zone file holds: the entry goes on.
        if open > 0
            && let Some((_, text)) = out.last_mut()
        {
            text.push('\0');
        }
    }
    out.into_iter().map(|(line, text)| (line, text.trim_end_matches('\0').to_owned())).collect()
}
