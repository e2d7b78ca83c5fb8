//! Questions for each verb that reads.

use vectrove::{Cursor, Value};

use super::condition::Condition;
use super::document::{Stored, TAGS};
use super::score::{Boost, Wording};

/// A question to a namespace.
#[derive(Debug, Clone)]
pub(super) enum Question {
    Get {
        index: u32,
    },
    GetMany {
        indexes: Vec<u32>,
    },
    Contains {
        index: u32,
    },
    Count {
        condition: Condition,
    },
    Facet {
        field: Field,
        condition: Condition,
        limit: usize,
    },
    Scroll {
        condition: Condition,
        after: Option<u32>,
        limit: usize,
        with_vector: bool,
    },
    Ordered(Ordered),
    Sample {
        n: usize,
        condition: Condition,
        with_vector: bool,
    },
    /// To the collection, not to a namespace.
    Namespaces,
    Search(Box<Search>),
}

/// A page in the order of a field.
#[derive(Debug, Clone)]
pub(super) struct Ordered {
    pub(super) field: Field,
    pub(super) is_descending: bool,
    pub(super) condition: Condition,
    /// The page's beginning, and the value and number of the document before it.
    pub(super) after: Option<(Cursor, u8, u32)>,
    pub(super) limit: usize,
}

/// A metadata field of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Tag,
    N,
    List,
    Raw,
}

impl Field {
    pub(super) const ALL: [Field; 4] = [Field::Tag, Field::N, Field::List, Field::Raw];

    pub(super) fn path(self) -> &'static str {
        match self {
            Field::Tag => "tag",
            Field::N => "n",
            Field::List => "list",
            Field::Raw => "raw",
        }
    }

    /// The values that a document has there, as numbers of the same order.
    pub(super) fn of(self, stored: &Stored) -> &[u8] {
        let facts = stored.facts();
        match self {
            Field::Tag => facts.tag.as_slice(),
            Field::N => facts.n.as_slice(),
            Field::Raw => facts.raw.as_slice(),
            Field::List => facts.list.as_deref().unwrap_or_default(),
        }
    }

    /// A value as metadata has it.
    pub(super) fn value(self, number: u8) -> Value {
        match self {
            Field::Tag => Value::from(TAGS[usize::from(number)]),
            _ => Value::from(u32::from(number)),
        }
    }
}

/// The query of one search.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Vector(Vec<f32>),
    /// Documents similar to some and different from others.
    Examples {
        positive: Vec<u32>,
        negative: Vec<u32>,
    },
    Words(Wording),
    Both(Vec<f32>, Wording),
}

impl Wanted {
    pub(super) fn has_vector(&self) -> bool {
        !matches!(self, Wanted::Words(_))
    }
}

/// A search, or several that differ only in their queries.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) wanted: Vec<Wanted>,
    /// Whether they are asked together.
    pub(super) is_many: bool,
    pub(super) condition: Condition,
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) strategy: Option<vectrove::Strategy>,
    pub(super) ef: Option<usize>,
    pub(super) min_score: Option<f32>,
    pub(super) max_distance: Option<f32>,
    pub(super) with_document: bool,
    pub(super) with_vector: bool,
    pub(super) group_by: Option<(Field, usize)>,
    pub(super) mmr: Option<(f32, usize)>,
    pub(super) boosts: Vec<Boost>,
    pub(super) fuses_scores: bool,
    pub(super) explain: bool,
}
