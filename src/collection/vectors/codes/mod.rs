//! Codes of vectors: whether they fit the data, and replacing those that do not.
//!
//! | file | owns |
//! |---|---|
//! | [`codebook`] | how codes are made, as stored on disk |
//! | [`gauge`], [`bounds`], [`asked`] | the recall of codes; the size of its samples; users' queries to measure by |
//! | [`watch`], [`means`] | the state of each region; the regions' centres |
//! | [`adapt`] | whether codes fit, and which would fit better |
//! | [`replace`] | replacing codes by better ones |
//!
//! Owns decisions about codes. The module `quant` makes and compares single codes.

pub(super) mod adapt;
pub(super) mod asked;
mod bounds;
pub(crate) mod codebook;
pub(super) mod gauge;
mod means;
mod replace;
pub(in crate::collection) mod watch;
