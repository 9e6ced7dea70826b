//! The only place that writes to the terminal: what goes there is plain text, and colours of ours.

use std::hash::BuildHasher as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use super::plain::plain;

/// Writes lines; colours only on a terminal that wants them; a closed pipe ends output, not the work.
pub struct Printer {
    colour: bool,
    progress: bool,
    /// Dropped when the progress line shall go, or never come.
    waiting: Option<(Sender<()>, std::thread::JoinHandle<()>)>,
    closed: bool,
    /// Output was lost, and not because its reader went away.
    lost: bool,
    /// Stands before a colour of ours until it is written out: no text of others can hold it, for nobody can guess it.
    mark: String,
    buffer: String,
}

/// What a piece of text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something comes.
    Add,
    /// Something changes.
    Change,
    /// Something goes.
    Remove,
    /// Something is in the way.
    Warn,
    /// Less important.
    Dim,
    /// A headline.
    Bold,
}

impl Printer {
    /// For this process's standard output and error.
    pub fn new() -> Printer {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Printer {
            colour: io::stdout().is_terminal() && !plain,
            progress: io::stderr().is_terminal(),
            waiting: None,
            closed: false,
            lost: false,
            mark: format!("\u{1}{:016x}\u{1}", std::hash::RandomState::new().hash_one(0)),
            buffer: String::new(),
        }
    }

    /// The text in its colour, where colours are wanted.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Add => "32",
            Tone::Change => "33",
            Tone::Remove => "31",
            Tone::Warn => "1;31",
            Tone::Dim => "2",
            Tone::Bold => "1",
        };
        let mark = &self.mark;
        format!("{mark}{code}m{text}{mark}0m")
    }

    /// The text as it goes out: with the colours that [`Printer::paint`] gave it, and nothing else that acts.
    fn clean(&self, text: &str) -> String {
        let mut pieces = text.split(self.mark.as_str());
        let mut out = pieces.next().map(plain).unwrap_or_default().into_owned();
        for piece in pieces {
            out.push_str("\x1b[");
            out.push_str(&plain(piece));
        }
        out
    }

    /// One line of output.
    pub fn line(&mut self, text: &str) {
        let text = self.clean(text);
        self.buffer.push_str(&text);
        self.buffer.push('\n');
        if self.buffer.len() > 1 << 16 {
            self.flush();
        }
    }

    /// Text that already ends its lines.
    pub fn raw(&mut self, text: &str) {
        let text = self.clean(text);
        self.buffer.push_str(&text);
        self.flush();
    }

    /// Writes out what was said so far.
    pub fn flush(&mut self) {
        self.clear_progress();
        let text = std::mem::take(&mut self.buffer);
        if self.closed || text.is_empty() {
            return;
        }
        if let Err(error) = io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
            self.closed = true;
            // `knotwork plan | head`: nobody listens any more, which is no error of the work.
            self.lost = lost_output(&error);
        }
    }

    /// An error that ends something.
    pub fn error(&mut self, text: &str) {
        self.note_as("error: ", text);
    }

    /// Something to look at.
    pub fn warn(&mut self, text: &str) {
        self.note_as("warning: ", text);
    }

    /// Words beside the output.
    pub fn note(&mut self, text: &str) {
        self.note_as("", text);
    }

    fn note_as(&mut self, head: &str, text: &str) {
        self.flush();
        let _ = writeln!(io::stderr().lock(), "{head}{}", plain(text));
    }

    /// Says on a terminal what takes longer than a second; gone with the next line.
    pub fn progress(&mut self, text: &str) {
        if !self.progress {
            return;
        }
        self.clear_progress();
        let text = plain(text).into_owned();
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            if ended.recv_timeout(Duration::from_secs(1)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = write!(io::stderr().lock(), "{text}…");
                let _ = ended.recv();
                let _ = write!(io::stderr().lock(), "\r\x1b[K");
            }
        });
        self.waiting = Some((end, thread));
    }

    fn clear_progress(&mut self) {
        if let Some((end, thread)) = self.waiting.take() {
            drop(end);
            let _ = thread.join();
        }
    }

    /// Writes out the rest; tells whether everything that was said got out, or nobody wanted it any more.
    pub fn finish(&mut self) -> bool {
        self.flush();
        !self.lost
    }
}

/// Says on standard error that standard output could not be written (a full disk), save when its reader went away.
/// Tells whether it was said.
pub fn lost_output(error: &io::Error) -> bool {
    let lost = error.kind() != io::ErrorKind::BrokenPipe;
    if lost {
        let _ = writeln!(
            io::stderr().lock(),
            "error: standard output cannot be written, so what was to be said is lost: {error}"
        );
    }
    lost
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_ours_alone() {
        let mut printer = Printer::new();
        printer.colour = true;
        let text = printer.paint(Tone::Add, "a\x1b[2Jb");
        assert_eq!(
            printer.clean(&format!("{text} \x1b[31mc\u{202e}")),
            "\x1b[32ma\\u001b[2Jb\x1b[0m \\u001b[31mc\\u202e"
        );
        printer.colour = false;
        assert_eq!(printer.clean(&printer.paint(Tone::Add, "a\x1b")), "a\\u001b");
    }

    #[test]
    fn a_line_is_cleaned_on_its_way_out() {
        let mut printer = Printer::new();
        printer.line("owner=\x1b]0;x\x07");
        assert_eq!(printer.buffer, "owner=\\u001b]0;x\\u0007\n");
        printer.buffer.clear();
    }
}
