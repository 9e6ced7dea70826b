//! What is wrong with an object, and where.

/// One thing that is wrong with one field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field as a path: `spec.a[1]`.
    pub path: String,
    /// A stable reason word (DESIGN §4).
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A field that no edit elsewhere can make right.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { path: path.into(), reason: "Invalid", message: message.into() }
    }

    /// With another reason word.
    pub fn of(reason: &'static str, path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { path: path.into(), reason, message: message.into() }
    }
}
