//! The typed builder of tests.
//!
//! Owns the methods by which Rust programs write tests. Knows nothing of JSON. Builders do not
//! fail, so a wrong operand is kept as a refusal for [`Filter::check`].

use super::Filter;
use super::compare::{Scalar, ScalarSet};
use super::refusal::Refusal;
use super::tree::{Bound, Check, Tree, check_path};
use crate::limits::MAX_FILTER_VALUES;
use crate::value::{Unchecked, Value};

/// Names a metadata field to test. Dots reach into objects: `author.name`.
///
/// ```
/// use serde_json::json;
/// use vectrove::{Value, field};
/// let filter = field("tag").eq("rust").and(field("author.age").gte(18));
/// assert!(filter.matches(&Value::from(json!({"tag": ["rust", "lsm"], "author": {"age": 40}}))));
/// assert!(!filter.matches(&Value::from(json!({"tag": "rust"}))));
/// ```
pub fn field(path: impl Into<String>) -> Field {
    Field { path: path.into() }
}

/// A metadata field about to be tested, made by [`field`].
///
/// A field that holds an array matches if any of its elements does. An operand may be null, a
/// boolean, a finite number or a string. A filter with any other operand is refused when it is
/// used.
#[derive(Debug, Clone)]
#[must_use]
pub struct Field {
    path: String,
}

impl Field {
    /// The field equals the value. A missing field does not equal null.
    pub fn eq(self, value: impl Into<Value>) -> Filter {
        self.test("$eq", equal(value))
    }

    /// The field does not equal the value, or is missing: the exact opposite of [`eq`](Self::eq).
    pub fn ne(self, value: impl Into<Value>) -> Filter {
        !self.test("$ne", equal(value))
    }

    /// The field is greater than the value, a number or a string.
    pub fn gt(self, value: impl Into<Value>) -> Filter {
        self.test("$gt", order(Bound::Gt, value))
    }

    /// The field is greater than or equal to the value, a number or a string.
    pub fn gte(self, value: impl Into<Value>) -> Filter {
        self.test("$gte", order(Bound::Gte, value))
    }

    /// The field is less than the value, a number or a string.
    pub fn lt(self, value: impl Into<Value>) -> Filter {
        self.test("$lt", order(Bound::Lt, value))
    }

    /// The field is less than or equal to the value, a number or a string.
    pub fn lte(self, value: impl Into<Value>) -> Filter {
        self.test("$lte", order(Bound::Lte, value))
    }

    /// The field lies between two numbers or strings, or equals one of them. No field matches if
    /// `low` is greater than `high`.
    pub fn between(self, low: impl Into<Value>, high: impl Into<Value>) -> Filter {
        self.test("$between", between(Unchecked(low.into()), Unchecked(high.into())))
    }

    /// The field equals one of the values. Without values no field matches.
    pub fn is_in(self, values: impl IntoIterator<Item = impl Into<Value>>) -> Filter {
        self.test("$in", set(values).map(Check::In))
    }

    /// The field equals none of the values, or is missing: the exact opposite of
    /// [`is_in`](Self::is_in).
    pub fn not_in(self, values: impl IntoIterator<Item = impl Into<Value>>) -> Filter {
        !self.test("$nin", set(values).map(Check::In))
    }

    /// Some element of the field equals one of the values. Another name for [`is_in`](Self::is_in)
    /// that reads better on arrays.
    pub fn any(self, values: impl IntoIterator<Item = impl Into<Value>>) -> Filter {
        self.test("$any", set(values).map(Check::In))
    }

    /// Each of the values equals some element of the field. Without values the field need only
    /// exist.
    pub fn all(self, values: impl IntoIterator<Item = impl Into<Value>>) -> Filter {
        self.test("$all", set(values).map(Check::All))
    }

    /// The field is a string that starts with the prefix.
    pub fn prefix(self, prefix: impl Into<String>) -> Filter {
        self.test("$prefix", Ok(Check::Prefix(prefix.into().into_boxed_str())))
    }

    /// The field is a string with this part, or an array with this element.
    pub fn contains(self, part: impl Into<Value>) -> Filter {
        self.test("$contains", Scalar::operand(Unchecked(part.into())).map(Check::Contains))
    }

    /// The field exists, even if it is null or an empty array; or, with `false`, it is missing.
    pub fn exists(self, exists: bool) -> Filter {
        let filter = self.test("$exists", Ok(Check::Exists));
        if exists { filter } else { !filter }
    }

    /// The field exists and is null; or, with `false`, it is missing or something else.
    pub fn is_null(self, is_null: bool) -> Filter {
        let filter = self.test("$isNull", Ok(Check::Equal(Scalar::Null)));
        if is_null { filter } else { !filter }
    }

    fn test(self, operator: &str, check: Result<Check, Refusal>) -> Filter {
        let tree = check_path(&self.path).and_then(|()| {
            let check = check.map_err(|refusal| refusal.within_key(operator).within_key(&self.path))?;
            Tree::test(&self.path, check)
        });
        Filter { tree }
    }
}

fn equal(value: impl Into<Value>) -> Result<Check, Refusal> {
    Scalar::operand(Unchecked(value.into())).map(Check::Equal)
}

fn order(bound: Bound, value: impl Into<Value>) -> Result<Check, Refusal> {
    Scalar::ordered(Unchecked(value.into())).map(|limit| Check::Order(bound, limit))
}

/// Prepares a range. A refusal names the end of the range that it is about.
pub(super) fn between(low: Unchecked, high: Unchecked) -> Result<Check, Refusal> {
    let low = Scalar::ordered(low).map_err(|refusal| refusal.within_item(0))?;
    let high = Scalar::ordered(high).map_err(|refusal| refusal.within_item(1))?;
    Ok(Check::Between(low, high))
}

fn set(values: impl IntoIterator<Item = impl Into<Value>>) -> Result<ScalarSet, Refusal> {
    // All values are taken before any is checked. A refusal would leave the others in the iterator,
    // which drops them by recursion.
    let values: Vec<Unchecked> =
        values.into_iter().take(MAX_FILTER_VALUES + 1).map(|value| Unchecked(value.into())).collect();
    ScalarSet::operand(values)
}
