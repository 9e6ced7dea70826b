//! Exit codes.

use std::process::ExitCode;

/// How a command ended; ordered by what goes before what: an error before things left before changes pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Nothing to do, or all done.
    Done,
    /// Changes pending.
    Pending,
    /// Conflicts, refusals or held operations left.
    Left,
    /// An error.
    Error,
}

impl Exit {
    /// The graver of the two.
    pub fn and(self, other: Exit) -> Exit {
        self.max(other)
    }

    /// The process's code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Pending => 2,
            Exit::Left => 3,
            Exit::Error => 1,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn errors_go_before_things_left_before_changes() {
        assert_eq!(Exit::Pending.and(Exit::Left).and(Exit::Done).code(), 3);
        assert_eq!(Exit::Left.and(Exit::Error).code(), 1);
        assert_eq!(Exit::Done.and(Exit::Pending).code(), 2);
    }
}
