//! What is wrong in a file, with the place and the line.

use std::fmt;

/// One thing that is wrong in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the user named it, or `-`.
    pub file: String,
    /// Line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
    /// The line itself, shortened.
    pub source: String,
}

impl Diagnostic {
    /// About a file as a whole.
    pub fn file(file: impl Into<String>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { file: file.into(), line: 0, column: 0, message: message.into(), source: String::new() }
    }

    /// At a place of `text`, which begins `lines_before` lines into the file.
    pub fn at(
        file: &str,
        text: &str,
        lines_before: usize,
        place: (usize, usize),
        message: impl Into<String>,
    ) -> Diagnostic {
        let (line, column) = place;
        let source = text.lines().nth(line.saturating_sub(1)).unwrap_or("").to_owned();
        Diagnostic { file: file.to_owned(), line: lines_before + line, column, message: message.into(), source }
    }

    /// `file:line:column`.
    pub fn place(&self) -> String {
        if self.line == 0 { self.file.clone() } else { format!("{}:{}:{}", self.file, self.line, self.column) }
    }
}

/// Longest piece of a source line that is shown.
const SHOWN: usize = 100;

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.message)?;
        if self.line == 0 || self.source.trim().is_empty() {
            return Ok(());
        }
        // Long lines are shown around the place, tabs as one blank, so that the caret stands right.
        let column = self.column.max(1) - 1;
        let from = column.saturating_sub(SHOWN / 2);
        let shown: String =
            self.source.chars().skip(from).take(SHOWN).map(|c| if c == '\t' { ' ' } else { c }).collect();
        let number = self.line.to_string();
        let gap = " ".repeat(number.len());
        let lead = if from > 0 { "…" } else { "" };
        let caret = " ".repeat(column - from + lead.chars().count());
        write!(f, "\n{gap} |\n{number} | {lead}{shown}\n{gap} | {caret}^")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_under_the_place() {
        let found = Diagnostic::at("x.yaml", "a: 1\nbc: 2\n", 10, (2, 4), "no");
        assert_eq!(found.to_string(), "x.yaml:12:4: no\n   |\n12 | bc: 2\n   |    ^");
    }
}
