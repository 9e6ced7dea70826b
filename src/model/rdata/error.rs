//! What can be wrong with RDATA.

use crate::model::{NameError, RrType};

/// Why a text, a value or a wire form is not RDATA of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RdataError {
    /// The text ends before all parts of the value were there.
    #[error("{rtype}: the {field} is missing; expected: {expected}")]
    Missing {
        /// The type.
        rtype: RrType,
        /// The first part that is missing.
        field: &'static str,
        /// All the parts in order.
        expected: String,
    },
    /// More text than the type has parts.
    #[error("{rtype}: unexpected \"{text}\" after the {field}, which is the last part")]
    Extra {
        /// The type.
        rtype: RrType,
        /// The last part.
        field: &'static str,
        /// What follows it.
        text: String,
    },
    /// A part that does not have the form or the range that it must have.
    #[error("{rtype} {field} \"{value}\": expected {expected}")]
    Value {
        /// The type.
        rtype: RrType,
        /// The part.
        field: &'static str,
        /// As written, shortened when long.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A part that must be a domain name and is not.
    #[error("{rtype} {field} \"{value}\": {source}")]
    Name {
        /// The type.
        rtype: RrType,
        /// The part.
        field: &'static str,
        /// As written, shortened when long.
        value: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A service parameter (RFC 9460) that is malformed, repeated or at odds with another.
    #[error("{rtype} parameter {key}: {problem}")]
    Param {
        /// SVCB or HTTPS.
        rtype: RrType,
        /// The key's name.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// Quotes, parentheses or escapes that do not pair up; the position counts octets from 0.
    #[error("{problem} at character {at}")]
    Quoting {
        /// What is wrong.
        problem: &'static str,
        /// Where in the text.
        at: usize,
    },
    /// The form of RFC 3597 §5 is not `\# <length> <hex>`, or its length is not that of the data.
    #[error("{rtype}: {problem}; expected \\# <number of octets> <hexadecimal>")]
    Generic {
        /// The type.
        rtype: RrType,
        /// What is wrong.
        problem: String,
    },
    /// More than 65,535 octets.
    #[error("{rtype}: the value is {len} octets long; the limit is 65535")]
    TooLong {
        /// The type.
        rtype: RrType,
        /// Octets.
        len: usize,
    },
    /// Wire form that is cut short, too long, or not as the type's RFC says.
    #[error("{rtype}: malformed wire form at the {field}")]
    Wire {
        /// The type.
        rtype: RrType,
        /// The first part that is wrong.
        field: &'static str,
    },
}

impl RdataError {
    /// A stable word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            RdataError::Missing { .. } => "ValueIncomplete",
            RdataError::Extra { .. } => "ValueTooManyParts",
            RdataError::Value { .. } => "ValueInvalid",
            RdataError::Name { .. } => "TargetInvalid",
            RdataError::Param { .. } => "ServiceParameterInvalid",
            RdataError::Quoting { .. } => "ValueQuoting",
            RdataError::Generic { .. } => "GenericFormInvalid",
            RdataError::TooLong { .. } => "ValueTooLong",
            RdataError::Wire { .. } => "WireMalformed",
        }
    }

    /// A [`RdataError::Value`] with the offending text cut to a readable length.
    pub(super) fn value(rtype: RrType, field: &'static str, value: &str, expected: impl Into<String>) -> RdataError {
        RdataError::Value { rtype, field, value: shorten(value), expected: expected.into() }
    }
}

/// At most 60 characters of `text`, so that a message stays one line.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}
