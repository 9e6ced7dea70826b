//! Text of others, made fit for a terminal.
//!
//! What stands in a zone, a manifest or a server's answer is a stranger's: an escape sequence in it could rewrite what
//! the terminal shows, and a bidirectional control could turn a line around (CVE-2021-42574).

use std::borrow::Cow;
use std::io::{self, Write};

/// Whether a character does something other than to stand where it is; line ends and tabs are laid out by us.
fn acts(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            // Directions, marks and joiners without width, separators of lines (Unicode UAX #9 §2, UTR #36 §2.5).
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with every character that acts on a terminal written as `\uXXXX`, which inside a JSON string says the same.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// As [`plain`], and without line ends: for a stranger's words within a line of ours.
pub fn one_line(text: &str) -> String {
    plain(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// A cell of a Markdown table: plain, and unable to end the cell.
pub fn cell(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('\n', " ");
    plain(&text).into_owned()
}

/// The same as code; a backslash is literal there, but a bar still ends the cell.
pub fn code(text: &str) -> String {
    format!("`{}`", plain(text).replace('`', "'").replace('|', "\\|").replace('\n', " "))
}

/// A writer that lets through plain text only.
pub struct Plain<W>(pub W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write_all(plain(&String::from_utf8_lossy(buf)).as_bytes())?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_gets_through() {
        assert_eq!(plain("a\x1b[31mb\u{9b}c\r\u{202e}d\u{7f}"), "a\\u001b[31mb\\u009bc\\u000d\\u202ed\\u007f");
        assert_eq!(plain("\u{e0041}\u{2066}"), "\\udb40\\udc41\\u2066");
        assert!(matches!(plain("Grüße → \"…\"\n\tnext"), Cow::Borrowed(_)));
        assert_eq!(one_line("a\nerror: forged"), "a\\nerror: forged");
    }

    #[test]
    fn what_is_escaped_means_the_same_in_json() {
        let value = serde_json::json!("x\u{202e}\u{7f}\u{e0041}y");
        let text = plain(&value.to_string()).into_owned();
        assert!(text.is_ascii());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_cell_keeps_to_itself() {
        assert_eq!(cell("a|b\\|c\nd\x1b"), "a\\|b\\\\\\|c d\\u001b");
        assert_eq!(code("a|`b"), "`a\\|'b`");
    }
}
