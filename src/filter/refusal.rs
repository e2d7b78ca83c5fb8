//! Why a filter is refused.
//!
//! Owns the place and the reason until a caller asks for the error. A builder can carry a refusal
//! along, since it can be cloned and an [`Error`] cannot.

use std::fmt::Display;

use crate::error::Error;

/// Most characters of a key that a message shows; no valid field path is longer.
const MAX_SHOWN_CHARS: usize = 512;

/// Why a filter is refused, and where in it the reason lies.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    /// The filter breaks the grammar. `at` keeps its leading dot, so that steps can be put before
    /// it.
    Invalid { at: String, reason: String },
    /// The filter exceeds a limit.
    TooLarge { what: &'static str, limit: usize, got: usize },
}

impl Refusal {
    /// Refuses this very place, where something else was expected.
    pub(super) fn expected(expected: impl Display, got: impl Display) -> Self {
        Refusal::Invalid { at: String::new(), reason: format!("expected {expected}, got {got}") }
    }

    /// This refusal, as seen from the object that holds the place under a key.
    pub(super) fn within_key(self, key: &str) -> Self {
        self.within(&format!(".{}", shown(key)))
    }

    /// This refusal, as seen from the array that holds the place.
    pub(super) fn within_item(self, position: usize) -> Self {
        self.within(&format!("[{position}]"))
    }

    fn within(self, step: &str) -> Self {
        match self {
            Refusal::Invalid { at, reason } => Refusal::Invalid { at: format!("{step}{at}"), reason },
            too_large => too_large,
        }
    }

    /// Refuses a size above its limit.
    pub(super) fn check(what: &'static str, limit: usize, got: usize) -> Result<(), Self> {
        if got > limit { Err(Refusal::TooLarge { what, limit, got }) } else { Ok(()) }
    }
}

/// The part of a key that a message shows.
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
