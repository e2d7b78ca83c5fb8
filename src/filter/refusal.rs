//! Why a filter is refused.
//!
//! Owns the place and the reason until a caller asks for the error; a builder can carry it along where an [`Error`]
//! could not be cloned. Knows nothing of what filters mean.

use std::fmt::Display;

use crate::error::Error;

/// Keys longer than this are cut where a message shows them; no valid field path is.
const MAX_SHOWN_CHARS: usize = 512;

/// Why a filter is refused, and where in it the reason lies.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    /// It breaks the grammar. The place is kept with its leading dot, so that steps can be put before it.
    Invalid { at: String, reason: String },
    /// It is larger than the limits allow.
    TooLarge { what: &'static str, limit: usize, got: usize },
}

impl Refusal {
    /// Something else was expected, right here.
    pub(super) fn expected(expected: impl Display, got: impl Display) -> Self {
        Refusal::Invalid { at: String::new(), reason: format!("expected {expected}, got {got}") }
    }

    /// The same refusal, seen from the object that holds the place under a key.
    pub(super) fn within_key(self, key: &str) -> Self {
        self.within(&format!(".{}", shown(key)))
    }

    /// The same refusal, seen from the array that holds the place.
    pub(super) fn within_item(self, position: usize) -> Self {
        self.within(&format!("[{position}]"))
    }

    fn within(self, step: &str) -> Self {
        match self {
            Refusal::Invalid { at, reason } => Refusal::Invalid { at: format!("{step}{at}"), reason },
            too_large => too_large,
        }
    }

    /// Refuses a measure above its limit.
    pub(super) fn check(what: &'static str, limit: usize, got: usize) -> Result<(), Self> {
        if got > limit { Err(Refusal::TooLarge { what, limit, got }) } else { Ok(()) }
    }
}

/// As much of a key as a message should show.
pub(super) fn shown(key: &str) -> &str {
    key.char_indices().nth(MAX_SHOWN_CHARS).map_or(key, |(end, _)| &key[..end])
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge { what, limit, got } => Error::LimitExceeded { what, limit, got },
            Refusal::Invalid { at, reason } => {
                let at = if at.is_empty() { "filter" } else { at.strip_prefix('.').unwrap_or(&at) };
                Error::InvalidFilter { at: at.to_owned(), reason }
            }
        }
    }
}
