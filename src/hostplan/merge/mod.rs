//! Files of others in which a part is ours. Everything else in them stays, octet by octet, and taking our part out gives
//! back what was there.

pub mod block;
pub mod dhcpcd;
pub mod hosts;
pub mod interfaces;
pub mod nsswitch;
#[cfg(test)]
mod tests;

/// Why a file cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A stable word.
    pub reason: &'static str,
    /// The line, counted from 1, where one is to blame.
    pub line: usize,
    /// What is the matter.
    pub message: String,
    /// What a person can do.
    pub way_out: String,
}

/// The lines of a text with their ends, and where each begins.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    text.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let begin = at;
        at += line.len();
        (begin, line)
    })
}

/// The end of lines that a text uses: that of its first.
pub(crate) fn end_of_line(text: &[u8]) -> &'static str {
    let first = text.iter().position(|byte| *byte == b'\n');
    match first {
        Some(at) if at > 0 && text[at - 1] == b'\r' => "\r\n",
        _ => "\n",
    }
}

/// A line without its end.
pub(crate) fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty())
}
