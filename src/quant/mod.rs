//! Scalar quantisation: vectors as codes of few bytes per component, compared by integer kernels.
//!
//! A [`Book`] tells the kind of codes and the centres from which vectors are measured
//! ([`centres`]). One book makes all codes of a collection. Another book takes its place only with
//! all codes made again.
//!
//! By default a vector is rotated ([`rotation`]), and each component is rounded to one of 256
//! steps. Nothing is trained: vectors of length one share a scale, others bring their own. A
//! distance uses only what the code stands for, not what rounding lost. So it is the exact distance
//! of a point close to the vector, and its error falls with the distance.
//!
//! From 256 components on, a code is two planes of 4 bits per component. Graph walks read only the
//! high plane: half the memory, coarse distances. Close comparisons read both.
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
