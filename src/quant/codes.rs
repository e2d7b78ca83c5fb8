//! The codes of a collection, of whatever kind: all are made of vectors, kept by slot, and ranked against queries.

use std::fs::File;

use super::book::{Book, CodeKind};
use super::scalar::ScalarCodes;
use super::sketch::LINE;
use super::wide::WideCodes;
use crate::distance::Metric;
use crate::id::NamespaceId;

/// How closely ranks are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// From the high plane, where there is one: for walking.
    Coarse,
    /// From whole codes.
    Fine,
}

/// What ranks need of a vector beside its code: scale, and squared length as its code stands for it, coarse and fine.
pub(super) type Facts = [f32; 4];
/// The variance of the error of rounding to steps of 1, and that of its square, in squares of the former.
pub(super) const STEP_VARIANCE: f32 = 1.0 / 12.0;
pub(super) const SQUARE_VARIANCE: f32 = 0.8;
/// Bytes of these.
pub(crate) const FACTS_BYTES: usize = size_of::<Facts>();
/// Raised whenever the same vector is given another code by the same book.
pub(crate) const CODES_VERSION: u32 = 2;

/// The codes of a collection, by slot, all made by one book.
pub(crate) struct Codes {
    book: Book,
    rows: Kind,
}

/// One for each way of making codes.
enum Kind {
    Scalar(Box<ScalarCodes>),
    Wide(Box<WideCodes>),
}

/// The code of one vector.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(super) bytes: Vec<u8>,
    pub(super) facts: Facts,
    /// That of the book that it was made by.
    pub(super) generation: u32,
    /// The namespace from whose own centre it was measured; `None` for the shared one.
    pub(super) owner: Option<NamespaceId>,
}

/// A vector to rank codes against.
#[derive(Default)]
pub(crate) struct CodeQuery {
    pub(super) codes: Vec<i8>,
    pub(super) scale: f32,
    pub(super) sum: f32,
    /// Its squared length as its code stands for it.
    pub(super) square: f32,
    /// Ranks by distance, also where vectors are compared by products.
    pub(super) by_distance: bool,
    /// As numbers.
    pub(super) scratch: Vec<f32>,
}

impl Code {
    /// A code before it is known what it was made by.
    pub(super) fn of(bytes: Vec<u8>, facts: Facts) -> Self {
        Code { bytes, facts, generation: 0, owner: None }
    }

    /// Without what ranks need beside.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

macro_rules! of_kind {
    ($codes:expr, $rows:ident => $what:expr) => {
        match &$codes.rows {
            Kind::Scalar($rows) => $what,
            Kind::Wide($rows) => $what,
        }
    };
}

impl Codes {
    /// Codes by a book for vectors under a metric; `None` for a metric that codes do not serve. `unit` says that all
    /// vectors are of length one.
    pub(crate) fn new(dimension: usize, metric: Metric, unit: bool, book: Book) -> Option<Self> {
        let rows = match book.kind {
            CodeKind::Sq8 | CodeKind::Sq8Centred => {
                Kind::Scalar(Box::new(ScalarCodes::new(dimension, metric, unit, &book)?))
            }
            CodeKind::Sq16 | CodeKind::F32 => Kind::Wide(Box::new(WideCodes::new(dimension, metric, unit, &book)?)),
        };
        Some(Codes { book, rows })
    }

    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    /// Makes room for so many slots.
    pub(crate) fn reserve(&self, n_slots: usize) -> std::io::Result<()> {
        of_kind!(self, rows => rows.reserve(n_slots))
    }

    /// Slots that there is room for.
    pub(crate) fn room(&self) -> usize {
        of_kind!(self, rows => rows.room())
    }

    /// Bytes that the codes of so many slots take.
    pub(crate) fn bytes_of(&self, n_slots: usize) -> usize {
        of_kind!(self, rows => rows.bytes_of(n_slots))
    }

    /// Makes the code of a vector of a namespace.
    pub(crate) fn encode(&self, vector: &[f32], namespace: NamespaceId) -> Code {
        let code = of_kind!(self, rows => rows.encode(vector, namespace));
        Code { generation: self.book.generation, owner: self.book.centres.owner(namespace), ..code }
    }

    /// Whether a code is one that these make of a vector of a namespace.
    pub(crate) fn have_made(&self, code: &Code, namespace: NamespaceId) -> bool {
        code.generation == self.book.generation && code.owner == self.book.centres.owner(namespace)
    }

    /// The vector of a namespace that a slot's code stands for. The code is written and stays as it is.
    pub(crate) fn decode(&self, slot: u32, namespace: NamespaceId, vector: &mut Vec<f32>) {
        of_kind!(self, rows => rows.decode(slot, namespace, vector));
    }

    /// Stores the code of a slot, made by this book.
    ///
    /// # Safety
    /// Nobody else reads or writes this slot's code meanwhile.
    #[expect(unsafe_code, reason = "passes the promise on")]
    pub(crate) unsafe fn put(&self, slot: u32, code: &Code) {
        // SAFETY: the caller promises what is asked for.
        unsafe { of_kind!(self, rows => rows.put(slot, code)) }
    }

    /// Stores the code of a slot where nobody else has these codes.
    #[expect(unsafe_code, reason = "keeps the promise")]
    pub(crate) fn put_alone(&mut self, slot: u32, code: &Code) {
        // SAFETY: they are borrowed by nobody else.
        unsafe { self.put(slot, code) }
    }

    /// Whether two slots have the same code, as the same vectors do. Their codes are written.
    pub(crate) fn is_same(&self, a: u32, b: u32) -> bool {
        self.bytes_at(a) == self.bytes_at(b)
    }

    /// The code of a slot, which is written and stays as it is, as bytes: components, then what ranks need beside.
    pub(crate) fn bytes_at(&self, slot: u32) -> (&[u8], [u8; FACTS_BYTES]) {
        of_kind!(self, rows => rows.bytes_at(slot))
    }

    /// Whether a slot's code, which is written and stays as it is, is this one.
    pub(crate) fn holds(&self, slot: u32, code: &Code) -> bool {
        self.bytes_at(slot).0 == code.bytes
    }

    /// Begins to fetch what a slot is ranked roughly by.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: u32) {
        of_kind!(self, rows => rows.prefetch(slot));
    }

    /// Whether ranks are those of the vectors themselves.
    pub(crate) fn are_exact(&self) -> bool {
        matches!(&self.rows, Kind::Wide(rows) if rows.is_whole())
    }

    /// Those of which sketches tell what is far: of vectors of length one.
    pub(super) fn sketched(&self) -> Option<&ScalarCodes> {
        match &self.rows {
            Kind::Scalar(rows) => Some(&**rows).filter(|rows| rows.are_of_unit_length()),
            Kind::Wide(_) => None,
        }
    }

    /// The signs of a code's components, one bit each, positive ones set; zeros for what pads it. None where there are
    /// no sketches.
    pub(crate) fn signs(&self, code: &[u8], signs: &mut Vec<[u64; LINE]>) {
        match self.sketched() {
            Some(rows) => rows.signs(code, signs),
            None => signs.clear(),
        }
    }

    /// The same of a query.
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

    /// Whether ranks need something beside codes.
    pub(crate) fn has_facts(&self) -> bool {
        matches!(&self.rows, Kind::Scalar(rows) if rows.has_facts())
    }

    /// Takes the codes of the first so many slots from a file that holds, each from some byte on, codes one after the
    /// other, and what ranks need beside.
    pub(crate) fn adopt(&self, file: &File, codes_at: u64, facts_at: u64, n_slots: usize) -> std::io::Result<()> {
        match &self.rows {
            Kind::Scalar(rows) => rows.adopt(file, codes_at, facts_at, n_slots),
            Kind::Wide(rows) => rows.adopt(file, codes_at, n_slots),
        }
    }

    /// Makes a query of a vector, to rank codes of a namespace.
    pub(crate) fn query(&self, vector: &[f32], namespace: NamespaceId, query: &mut CodeQuery) {
        of_kind!(self, rows => rows.query(vector, namespace, query));
    }

    /// Whether codes are ranked by an inner product, which is not the same as by distance.
    pub(crate) fn rank_by_product(&self) -> bool {
        of_kind!(self, rows => rows.ranks_by_product())
    }

    /// Makes a query of a stored code that ranks by distance, whatever the metric.
    pub(crate) fn place_of(&self, slot: u32, query: &mut CodeQuery) {
        of_kind!(self, rows => rows.place_of(slot, query));
    }

    /// Makes a query of a stored code, to rank codes of its namespace.
    pub(crate) fn query_of(&self, slot: u32, namespace: NamespaceId, query: &mut CodeQuery) {
        of_kind!(self, rows => rows.query_of(slot, namespace, query));
    }

    /// About how far ranks of equal vectors near a slot are from each other at least, as a standard deviation: what is
    /// nearer to each other than that codes cannot tell apart. The slot's code is written.
    pub(crate) fn noise(&self, query: &CodeQuery, slot: u32) -> f32 {
        of_kind!(self, rows => rows.noise(query, slot))
    }

    /// Ranks codes against a query; smaller is nearer. The slots' codes are written.
    #[inline]
    pub(crate) fn rank(&self, query: &CodeQuery, grain: Grain, slots: &[u32], ranks: &mut [f32]) {
        match &self.rows {
            Kind::Scalar(rows) => rows.rank(query, grain, slots, ranks),
            Kind::Wide(rows) => rows.rank(query, slots, ranks),
        }
    }
}
