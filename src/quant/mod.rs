//! Codes: vectors in few bytes per component, compared by integer kernels.
//!
//! A [`Book`] says of which kind codes are and what vectors are measured from ([`centres`]). All codes of a collection
//! are made by one book; another takes its place with all codes made again.
//!
//! By default a vector is rotated ([`rotation`]) and each component is rounded to one of 256 steps. Nothing is trained:
//! vectors of length one share a scale, others bring their own. All that a rank needs of a vector is computed from what
//! the code stands for, not from what was rounded away; so a rank is the exact one of a point close by, and the error
//! falls with the distance.
//!
//! From 256 components on, a code is two planes of four bits. Walking a graph reads the high plane only: half the
//! memory, coarse ranks. Where ranks are compared closely, both are read.
//!
//! ```text
//! Bytes    u8 per component, padded to 64
//! Planes   high nibbles, then low nibbles; in each block of 128 components byte j holds component j in its low and
//!          component 64 + j in its high nibble; padded to 128 components
//! ```

mod book;
mod centres;
mod codes;
mod rotation;
mod scalar;
mod sketch;
#[cfg(test)]
mod tests;
mod wide;

pub(crate) use self::book::Book;
pub use self::book::CodeKind;
pub(crate) use self::centres::Centres;
pub(crate) use self::codes::{CODES_VERSION, Code, CodeQuery, Codes, FACTS_BYTES, Grain};
pub(crate) use self::sketch::Sketches;
