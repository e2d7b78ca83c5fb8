//! The codes of a collection: made from vectors, stored by slot, compared with queries.

use std::fs::File;

use super::book::{Book, CodeKind};
use super::scalar::ScalarCodes;
use super::sketch::LINE;
use super::wide::WideCodes;
use crate::distance::Metric;
use crate::id::NamespaceId;

/// How exactly distances are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// From the high plane, if codes have planes: for graph walks.
    Coarse,
    /// From whole codes.
    Fine,
}

/// The values that distances need beside a code: scale, squared length of the coarse code, squared
/// length of the whole code, and 0.
pub(super) type Facts = [f32; 4];
/// The variance of the rounding error, with steps of 1.
pub(super) const STEP_VARIANCE: f32 = 1.0 / 12.0;
/// The variance of the squared rounding error, as a multiple of `STEP_VARIANCE` squared.
pub(super) const SQUARE_VARIANCE: f32 = 0.8;
/// Bytes of [`Facts`].
pub(crate) const FACTS_BYTES: usize = size_of::<Facts>();
/// Raised whenever the same book would make another code of the same vector.
pub(crate) const CODES_VERSION: u32 = 2;

/// The codes of a collection, by slot, all made by one book.
pub(crate) struct Codes {
    book: Book,
    rows: CodeRows,
}

/// The two ways of storing codes.
enum CodeRows {
    Scalar(Box<ScalarCodes>),
    Wide(Box<WideCodes>),
}

/// The code of one vector.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(super) bytes: Vec<u8>,
    pub(super) facts: Facts,
    /// The generation of the book that made it.
    pub(super) generation: u32,
    /// The namespace from whose own centre the vector was measured; `None` for the shared centre.
    pub(super) owner: Option<NamespaceId>,
}

/// A vector prepared for ranking codes.
#[derive(Default)]
pub(crate) struct CodeQuery {
    pub(super) codes: Vec<i8>,
    pub(super) scale: f32,
    pub(super) sum: f32,
    /// The squared length that the codes stand for.
    pub(super) square: f32,
    /// Compares by distance, even if the metric is the inner product.
    pub(super) by_distance: bool,
    /// The components as numbers.
    pub(super) scratch: Vec<f32>,
}

impl Code {
    /// A code whose book and centre are set later.
    pub(super) fn of(bytes: Vec<u8>, facts: Facts) -> Self {
        Code { bytes, facts, generation: 0, owner: None }
    }

    /// The code without its [`Facts`].
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

macro_rules! of_kind {
    ($codes:expr, $rows:ident => $what:expr) => {
        match &$codes.rows {
            CodeRows::Scalar($rows) => $what,
            CodeRows::Wide($rows) => $what,
        }
    };
}

impl Codes {
    /// Codes of vectors under a metric; `None` for a metric that codes do not support. `unit`: all
    /// vectors are of length one.
    pub(crate) fn new(dimension: usize, metric: Metric, unit: bool, book: Book) -> Option<Self> {
        let rows = match book.kind {
            CodeKind::Sq8 | CodeKind::Sq8Centred => {
                CodeRows::Scalar(Box::new(ScalarCodes::new(dimension, metric, unit, &book)?))
            }
            CodeKind::Sq16 | CodeKind::F32 => CodeRows::Wide(Box::new(WideCodes::new(dimension, metric, unit, &book)?)),
        };
        Some(Codes { book, rows })
    }

    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    /// Makes room for the slots below `n_slots`.
    pub(crate) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        of_kind!(self, rows => rows.reserve(n_slots))
    }

    /// The number of slots there is room for.
    pub(crate) fn room(&self) -> usize {
        of_kind!(self, rows => rows.room())
    }

    /// Bytes of the codes of `n_slots` slots.
    pub(crate) fn bytes_of(&self, n_slots: usize) -> usize {
        of_kind!(self, rows => rows.bytes_of(n_slots))
    }

    /// Makes the code of a vector of a namespace.
    pub(crate) fn encode(&self, vector: &[f32], namespace: NamespaceId) -> Code {
        let code = of_kind!(self, rows => rows.encode(vector, namespace));
        Code { generation: self.book.generation, owner: self.book.centres.owner(namespace), ..code }
    }

    /// Whether this book made the code, from the centre of this namespace.
    pub(crate) fn have_made(&self, code: &Code, namespace: NamespaceId) -> bool {
        code.generation == self.book.generation && code.owner == self.book.centres.owner(namespace)
    }

    /// Writes the vector that a slot's code stands for. The code is written and does not change.
    pub(crate) fn decode(&self, slot: u32, namespace: NamespaceId, vector: &mut Vec<f32>) {
        of_kind!(self, rows => rows.decode(slot, namespace, vector));
    }

    /// Stores the code of a slot. This book must have made it.
    ///
    /// # Safety
    /// Nobody else reads or writes this slot's code meanwhile.
    #[expect(unsafe_code, reason = "passes the promise on")]
    pub(crate) unsafe fn put(&self, slot: u32, code: &Code) {
        // SAFETY: the caller makes the same promise to this function.
        unsafe { of_kind!(self, rows => rows.put(slot, code)) }
    }

    /// Stores the code of a slot while nobody else uses these codes.
    #[expect(unsafe_code, reason = "keeps the promise")]
    pub(crate) fn put_alone(&mut self, slot: u32, code: &Code) {
        // SAFETY: the borrow is exclusive, so nobody else reads or writes the code.
        unsafe { self.put(slot, code) }
    }

    /// Whether two slots have the same code, as slots of equal vectors do. Both codes are written.
    pub(crate) fn is_same(&self, a: u32, b: u32) -> bool {
        self.bytes_at(a) == self.bytes_at(b)
    }

    /// The bytes of a slot's code, and those of its [`Facts`]. The code is written and does not
    /// change meanwhile.
    pub(crate) fn bytes_at(&self, slot: u32) -> (&[u8], [u8; FACTS_BYTES]) {
        of_kind!(self, rows => rows.bytes_at(slot))
    }

    /// Whether a slot has this code. The slot's code is written and does not change meanwhile.
    pub(crate) fn holds(&self, slot: u32, code: &Code) -> bool {
        self.bytes_at(slot).0 == code.bytes
    }

    /// Prefetches what a coarse distance of a slot needs.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: u32) {
        of_kind!(self, rows => rows.prefetch(slot));
    }

    /// Whether distances are those of the vectors themselves.
    pub(crate) fn are_exact(&self) -> bool {
        matches!(&self.rows, CodeRows::Wide(rows) if rows.is_whole())
    }

    /// The codes for which sketches can be made: `Sq8`, of vectors of length one.
    pub(super) fn sketched(&self) -> Option<&ScalarCodes> {
        match &self.rows {
            CodeRows::Scalar(rows) => Some(&**rows).filter(|rows| rows.are_of_unit_length()),
            CodeRows::Wide(_) => None,
        }
    }

    /// Writes the signs of a code's components into `signs`, one bit each: 1 if positive. Padding
    /// has 0. `signs` is empty for codes without sketches.
    pub(crate) fn signs(&self, code: &[u8], signs: &mut Vec<[u64; LINE]>) {
        match self.sketched() {
            Some(rows) => rows.signs(code, signs),
            None => signs.clear(),
        }
    }

    /// As [`signs`](Codes::signs), for a query.
    pub(crate) fn signs_of_query(&self, query: &CodeQuery, signs: &mut Vec<[u64; LINE]>) {
        match self.sketched() {
            Some(rows) => rows.signs_of_query(query, signs),
            None => signs.clear(),
        }
    }

    /// Bytes of one code.
    pub(crate) fn width(&self) -> usize {
        of_kind!(self, rows => rows.width())
    }

    /// Whether distances need [`Facts`] beside codes.
    pub(crate) fn has_facts(&self) -> bool {
        matches!(&self.rows, CodeRows::Scalar(rows) if rows.has_facts())
    }

    /// Takes over the codes of the first `n_slots` slots from a file. Codes begin at byte
    /// `codes_at`, [`Facts`] at byte `facts_at`.
    pub(crate) fn adopt(&self, file: &File, codes_at: u64, facts_at: u64, n_slots: usize) -> std::io::Result<()> {
        match &self.rows {
            CodeRows::Scalar(rows) => rows.adopt(file, codes_at, facts_at, n_slots),
            CodeRows::Wide(rows) => rows.adopt(file, codes_at, n_slots),
        }
    }

    /// Prepares a vector for ranking codes of a namespace.
    pub(crate) fn query(&self, vector: &[f32], namespace: NamespaceId, query: &mut CodeQuery) {
        of_kind!(self, rows => rows.query(vector, namespace, query));
    }

    /// Whether distances are inner products that give another order than the distance.
    pub(crate) fn compares_by_product(&self) -> bool {
        of_kind!(self, rows => rows.compares_by_product())
    }

    /// Prepares a stored code for ranking by distance, whatever the metric.
    pub(crate) fn place_of(&self, slot: u32, query: &mut CodeQuery) {
        of_kind!(self, rows => rows.place_of(slot, query));
    }

    /// Prepares a stored code for ranking codes of its namespace.
    pub(crate) fn query_of(&self, slot: u32, namespace: NamespaceId, query: &mut CodeQuery) {
        of_kind!(self, rows => rows.query_of(slot, namespace, query));
    }

    /// An estimate of the rounding noise of distances near a slot, as a standard deviation. Codes
    /// cannot tell apart vectors whose distances differ by less. The slot's code is written.
    pub(crate) fn noise(&self, query: &CodeQuery, slot: u32) -> f32 {
        of_kind!(self, rows => rows.noise(query, slot))
    }

    /// Writes the distances of the slots' codes against a query into `distances`; smaller is
    /// nearer. All these codes are written.
    #[inline]
    pub(crate) fn compare(&self, query: &CodeQuery, grain: Grain, slots: &[u32], distances: &mut [f32]) {
        match &self.rows {
            CodeRows::Scalar(rows) => rows.compare(query, grain, slots, distances),
            CodeRows::Wide(rows) => rows.compare(query, slots, distances),
        }
    }
}
