//! Filters: conditions on a document's metadata.
//!
//! Owns the expression, its JSON grammar, and its evaluation: on a metadata object, or on the
//! postings of an index. Knows nothing of documents, of search, or of where an index is stored.
//! What is prepared once per filter is never done again per document.
//!
//! | file | owns |
//! |---|---|
//! | [`tree`], [`compare`] | the expression; its operands |
//! | [`field`](mod@field), [`json`], [`dialect`], [`refusal`] | how one is built, read and refused |
//! | [`eval`] | evaluation on one document |
//! | [`term`], [`extract`] | values as an index keeps them; those of a document |
//! | [`lookup`], [`slots`] | evaluation on an index; sets of slots |

mod compare;
mod dialect;
mod eval;
pub(crate) mod extract;
mod field;
mod json;
pub(crate) mod lookup;
mod refusal;
pub(crate) mod slots;
pub(crate) mod term;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::limits::MAX_FILTER_BYTES;
use crate::value::Value;

use lookup::Postings;
use refusal::Refusal;
use slots::{Bounds, SlotSet};
use tree::{Connective, FilterNode, Tree};

pub(crate) use compare::{instant, is_time, whole};
pub use field::{Field, field};

/// A condition on a document's metadata, made with [`field()`] or read from JSON.
///
/// ```
/// use serde_json::json;
/// use vectrove::{Filter, Value, field};
/// # fn main() -> vectrove::Result<()> {
/// let built = field("tag").is_in(["a", "b"]).and(field("at").gte("2026-01-01T00:00:00Z"));
/// let read: Filter = r#"{"tag": {"$in": ["a", "b"]}, "at": {"$gte": "2026-01-01T00:00:00Z"}}"#.parse()?;
/// let metadata = Value::from(json!({"tag": ["b", "c"], "at": "2026-01-01T02:00:00+01:00"}));
/// assert!(built.matches(&metadata) && read.matches(&metadata));
/// # Ok(())
/// # }
/// ```
///
/// # JSON
///
/// A filter is an object whose clauses must all match. A clause is a connective or a field. The
/// connectives `$and`, `$or` and `$nor` take an array of filters, `$not` takes one. A field takes a
/// scalar that it must equal, or an object of operators that must all match:
///
/// | operator | operand | matches if |
/// |---|---|---|
/// | `$eq`, `$ne` | scalar | the field equals it; or does not |
/// | `$gt`, `$gte`, `$lt`, `$lte` | number or string | the field lies on that side of it |
/// | `$between` | two numbers or strings | the field lies between them, or equals one |
/// | `$in` or `$any`, `$nin` | array of scalars | the field equals one of them; or none |
/// | `$all` | array of scalars | each of them equals some element of the field |
/// | `$prefix` | string | the field is a string that starts with it |
/// | `$contains` | scalar | the field is a string with this part, or an array with this element |
/// | `$exists` | boolean | the field exists, even if it is null or an empty array; or is missing |
/// | `$isNull` | boolean | the field exists and is null; or is missing or something else |
/// | `$not` | object of operators | they do not all match |
///
/// `{"$text": "words"}` asks for words of the document's text; see [`Filter::text`].
///
/// The dollar signs may be left out where no field can be meant: a field takes no array, and no
/// object except one of operators. Qdrant's groups are read too: `must`, `should` and `must_not`
/// take an array of filters or conditions. A condition is `{"key": …, "match": {"value": …}}`,
/// `{"key": …, "match": {"any": […]}}`, `{"key": …, "range": {"gte": …}}` or `{"is_null": {"key":
/// …}}`. Filters are always written with dollar signs, and without groups.
///
/// # Meaning
///
/// - **Paths.** Dots reach into objects, and through arrays into the objects they hold. A key that
///   itself contains dots comes before a path.
/// - **Arrays.** A field that holds an array matches if any of its elements does. Arrays within it
///   are not opened.
/// - **Missing is not null.** A missing field matches only `$ne`, `$nin`, `$exists: false`,
///   `$isNull: false` and conditions under a `$not`, which are exact opposites.
/// - **Numbers** compare as numbers, without rounding: `1` equals `1.0`.
/// - **Strings** compare as instants if both are times, otherwise by their bytes. A time is one of
///   RFC 3339, such as `2026-01-01T09:30:00+02:00`. Parts may be left out: `2026-01-01` is the
///   beginning of that day, `2026-01-01T09:30` has no seconds, and **a time without a zone is in
///   UTC**. Zones may be written `+0200` or `+02`, and a space may stand between date and time.
/// - **Different types** are not equal, and neither is greater.
///
/// The [`limits`](crate::limits) on filters bound their size. A chain of one connective is one
/// level, and `$nor` counts as `$not` and `$or`.
#[derive(Debug, Clone)]
#[must_use]
pub struct Filter {
    /// Builders do not fail: a refusal is kept for [`Filter::check`], in place of the tree.
    tree: Result<Tree, Refusal>,
}

impl Filter {
    /// The filter that matches every document.
    pub fn everything() -> Self {
        Filter { tree: Ok(Tree::empty(Connective::All)) }
    }

    /// Matches documents that both filters match.
    pub fn and(self, other: Filter) -> Self {
        self.join(Connective::All, other)
    }

    /// Matches documents that either filter matches.
    pub fn or(self, other: Filter) -> Self {
        self.join(Connective::Any, other)
    }

    /// Whether a metadata object matches. A filter that searches refuse never matches: one that is
    /// too large, too deep, or has an operand of the wrong type. Metadata alone has no text, so no
    /// condition of [`text`](Filter::text) holds.
    pub fn matches(&self, metadata: &Value) -> bool {
        self.matches_with(metadata, &|_| false)
    }

    /// Whether a document matches. `has_text` tells whether its text has everything that a text
    /// query asks for.
    pub(crate) fn matches_with(&self, metadata: &Value, has_text: &dyn Fn(&str) -> bool) -> bool {
        self.tree.as_ref().is_ok_and(|tree| eval::matches(tree.nodes(), metadata, has_text))
    }

    /// Matches documents whose text has everything that `text` asks for: all words, all `"phrases
    /// in quotation marks"`, and for each `beginning*` some word that begins so. `text` is parsed
    /// like the text of a search ([`Query::text`](crate::Query::text)). No document matches if it
    /// has no word.
    pub fn text(text: impl AsRef<str>) -> Self {
        Filter { tree: Tree::text(text.as_ref()) }
    }

    /// Whether this is [`Filter::everything`], so that documents need not be looked at.
    pub fn is_everything(&self) -> bool {
        self.tree.as_ref().is_ok_and(|tree| tree.is_empty(Connective::All))
    }

    /// Reads a filter from parsed JSON.
    pub fn from_json(json: &serde_json::Value) -> Result<Self> {
        let filter = Filter { tree: json::read(json) };
        filter.check()?;
        Ok(filter)
    }

    /// Writes JSON that reads as a filter of the same meaning, perhaps in other words. A filter
    /// that searches refuse is written as one that matches nothing.
    pub fn to_json(&self) -> serde_json::Value {
        self.tree.as_ref().map_or_else(|_| json::nothing(), |tree| json::write(tree.nodes()))
    }

    /// Fails if the builder refused the filter.
    pub(crate) fn check(&self) -> Result<()> {
        self.tree.as_ref().map(|_| ()).map_err(|refusal| refusal.clone().into())
    }

    /// The slots that match, as definite and possible matches.
    pub(crate) fn bounds(&self, index: &dyn Postings) -> Result<Bounds> {
        match &self.tree {
            Ok(tree) => lookup::bounds(tree.nodes(), index),
            Err(_) => Ok(Bounds::exactly(SlotSet::none())),
        }
    }

    /// The fields that the filter tests, each once, in order.
    pub(crate) fn paths(&self) -> Vec<&str> {
        let nodes = self.tree.as_ref().map_or(&[][..], Tree::nodes);
        let mut paths: Vec<&str> = nodes.iter().filter_map(FilterNode::path).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    fn join(self, rule: Connective, other: Filter) -> Self {
        Filter { tree: self.tree.and_then(|tree| tree.join(rule, other.tree?)) }
    }
}

impl Default for Filter {
    /// Matches every document.
    fn default() -> Self {
        Filter::everything()
    }
}

impl From<&Filter> for Filter {
    fn from(filter: &Filter) -> Self {
        filter.clone()
    }
}

impl From<&Filter> for Option<Filter> {
    fn from(filter: &Filter) -> Self {
        Some(filter.clone())
    }
}

impl Not for Filter {
    type Output = Filter;

    /// Matches documents that the filter does not match. A filter that searches refuse stays one.
    fn not(self) -> Filter {
        Filter { tree: self.tree.and_then(Tree::negate) }
    }
}

impl BitAnd for Filter {
    type Output = Filter;

    /// As [`Filter::and`].
    fn bitand(self, other: Filter) -> Filter {
        self.and(other)
    }
}

impl BitOr for Filter {
    type Output = Filter;

    /// As [`Filter::or`].
    fn bitor(self, other: Filter) -> Filter {
        self.or(other)
    }
}

impl FromStr for Filter {
    type Err = Error;

    /// Reads a filter from JSON text.
    fn from_str(text: &str) -> Result<Self> {
        Refusal::check("filter in bytes", MAX_FILTER_BYTES, text.len())?;
        let json = serde_json::from_str(text).map_err(|error| Refusal::expected("JSON", error))?;
        Filter::from_json(&json)
    }
}

impl fmt::Display for Filter {
    /// Writes JSON on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_json().fmt(f)
    }
}
