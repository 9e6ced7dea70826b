//! What a step does to a file, for people: a unified diff, or a line where there is no text to compare.

use similar::TextDiff;

use super::{FileStep, SeenFile, Want, mark};
use crate::split::facts::FileKind;

/// A unified diff with three lines of context. A link stands as one line `-> target`. Where either side is no text that a
/// terminal could show, sizes and hashes stand instead.
pub fn unified(step: &FileStep) -> String {
    let (old, new) = (before(&step.from), after(&step.to));
    let path = &step.path;
    let name = |side: &Side<'_>| match side {
        Side::Nothing => "/dev/null".to_owned(),
        _ => path.clone(),
    };
    let mut text = match (old.text(), new.text()) {
        (Some(from), Some(to)) if from == to => String::new(),
        (Some(from), Some(to)) => TextDiff::from_lines(from.as_str(), to.as_str())
            .unified_diff()
            .context_radius(3)
            .header(&name(&old), &name(&new))
            .to_string(),
        _ => format!("--- {}\n+++ {}\n{} -> {}\n", name(&old), name(&new), old.in_words(), new.in_words()),
    };
    if let (FileKind::File, Want::File { mode, .. }) = (step.from.kind, &step.to)
        && step.from.mode & 0o7777 != mode & 0o7777
    {
        text.push_str(&format!("mode {:o} -> {:o}\n", step.from.mode & 0o7777, mode & 0o7777));
    }
    text
}

enum Side<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Link(&'a str),
    Other,
}

fn before(seen: &SeenFile) -> Side<'_> {
    match (seen.kind, &seen.content, &seen.target) {
        (FileKind::Absent, _, _) => Side::Nothing,
        (FileKind::File, Some(content), _) => Side::Bytes(content),
        (FileKind::Symlink | FileKind::Dangling, _, Some(target)) => Side::Link(target),
        _ => Side::Other,
    }
}

fn after(want: &Want) -> Side<'_> {
    match want {
        Want::Absent => Side::Nothing,
        Want::File { content, .. } => Side::Bytes(content),
        Want::Symlink { target } => Side::Link(target),
    }
}

impl Side<'_> {
    fn text(&self) -> Option<String> {
        let is_plain = |text: &str| !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'));
        match self {
            Side::Nothing => Some(String::new()),
            Side::Bytes(bytes) => std::str::from_utf8(bytes).ok().filter(|text| is_plain(text)).map(str::to_owned),
            Side::Link(target) => Some(format!("-> {target}\n")).filter(|text| is_plain(text)),
            Side::Other => None,
        }
    }

    fn in_words(&self) -> String {
        match self {
            Side::Nothing => "nothing".to_owned(),
            Side::Bytes(bytes) => format!("{} octets, sha256 {}", bytes.len(), &mark::hash(bytes)[..16]),
            Side::Link(target) => format!("a link to {}", target.escape_default()),
            Side::Other => "what could not be read".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostplan::{Effect, Stage};

    fn step(from: SeenFile, to: Want) -> FileStep {
        let (path, stage, effect) = ("/etc/hosts".to_owned(), Stage::Before, Effect::None);
        FileStep { path, from, to, stage, effect, why: String::new(), policies: Vec::new() }
    }

    fn file(content: &[u8]) -> SeenFile {
        SeenFile { kind: FileKind::File, content: Some(content.to_vec()), mode: 0o644, ..SeenFile::default() }
    }

    fn want(content: &[u8]) -> Want {
        Want::File { content: content.to_vec(), mode: 0o644 }
    }

    #[test]
    fn text_is_compared_line_by_line() {
        let diff = unified(&step(file(b"a\nb\nc\n"), want(b"a\nB\nc\nd")));
        assert_eq!(
            diff,
            "--- /etc/hosts\n+++ /etc/hosts\n@@ -1,3 +1,4 @@\n a\n-b\n+B\n c\n+d\n\\ No newline at end of file\n"
        );
        let absent = SeenFile { kind: FileKind::Absent, ..SeenFile::default() };
        assert_eq!(unified(&step(absent, want(b"a\n"))), "--- /dev/null\n+++ /etc/hosts\n@@ -0,0 +1 @@\n+a\n");
        let link = Want::Symlink { target: "../run/stub".into() };
        assert_eq!(
            unified(&step(file(b"a\n"), link)),
            "--- /etc/hosts\n+++ /etc/hosts\n@@ -1 +1 @@\n-a\n+-> ../run/stub\n"
        );
        let other = SeenFile { mode: 0o600, ..file(b"a\n") };
        assert_eq!(unified(&step(other, want(b"a\n"))), "mode 600 -> 644\n");
    }

    #[test]
    fn what_a_terminal_must_not_see_stays_away() {
        for odd in [&b"\xff\xfe\n"[..], b"a\x1b[2J\n", b"\0"] {
            let diff = unified(&step(file(odd), want(b"a\n")));
            assert!(diff.contains("octets, sha256 ") && !diff.contains('\x1b') && !diff.contains('\0'), "{diff}");
        }
        let unread = SeenFile { content: None, ..file(b"") };
        assert!(unified(&step(unread, Want::Absent)).contains("what could not be read -> nothing"));
    }
}
