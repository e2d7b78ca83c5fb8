//! JSON values of any shape: metadata and filters.
//!
//! Owns the limits of reading: no repeated key, no nesting deeper than [`MAX_DEPTH`], no more bytes
//! than a [`ValueBudget`]. The filter's grammar and the collection's checks judge the meaning.
//!
//! Writing fails for values that searches and collections refuse; other text is never written in
//! their place.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};

use super::read::{Read, Trace, twice};
use crate::error::Error;
use crate::filter::Filter;
use crate::limits::{MAX_FILTER_BYTES, MAX_METADATA_BYTES, MAX_METADATA_DEPTH};
use crate::value::Value;

/// Deepest nesting of the input; the same as in `serde_json`.
const MAX_DEPTH: usize = 127;

/// Bytes counted for each value, beside its keys and strings; the same as in the check of metadata.
const VALUE_BYTES: usize = 10;

/// A bound, in bytes, for values that belong together. Short text can make large values, so they
/// are counted while they are read.
#[derive(Debug)]
pub(super) struct ValueBudget {
    what: &'static str,
    limit: usize,
    spent: Cell<usize>,
}

impl ValueBudget {
    pub(super) fn of_metadata() -> Self {
        ValueBudget { what: "metadata in bytes", limit: MAX_METADATA_BYTES, spent: Cell::new(0) }
    }

    fn of_filter() -> Self {
        ValueBudget { what: "filter in bytes", limit: MAX_FILTER_BYTES, spent: Cell::new(0) }
    }

    pub(super) fn spend<E: serde::de::Error>(&self, n_bytes: usize, trace: &Trace) -> Result<(), E> {
        let (what, limit, got) = (self.what, self.limit, self.spent.get().saturating_add(n_bytes));
        self.spent.set(got);
        if got > limit { Err(trace.refuse(Error::LimitExceeded { what, limit, got })) } else { Ok(()) }
    }
}

impl Read for Filter {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        let value = Nested::new(trace, &ValueBudget::of_filter()).deserialize(from)?;
        let json = serde_json::Value::from(value);
        Filter::from_json(&json).map_err(|error| trace.refuse(error))
    }
}

/// Metadata: an object.
pub(super) struct Metadata(pub(super) Value);

impl Read for Metadata {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        match Nested::new(trace, &ValueBudget::of_metadata()).deserialize(from)? {
            value @ Value::Object(_) => Ok(Metadata(value)),
            other => Err(D::Error::custom(format_args!("expected an object, got {}", other.type_name()))),
        }
    }
}

/// Metadata to be written.
pub(super) struct Written<'a>(pub(super) &'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.check_metadata().map_err(S::Error::custom)?;
        self.0.serialize(serializer)
    }
}

/// A filter to be written.
pub(super) struct WrittenFilter<'a>(pub(super) &'a Filter);

impl Serialize for WrittenFilter<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.check().map_err(S::Error::custom)?;
        self.0.to_json().serialize(serializer)
    }
}

/// Refuses metadata fields that cannot be stored. The check does not recurse.
pub(super) fn check_fields<E: serde::ser::Error>(fields: &BTreeMap<String, Value>) -> Result<(), E> {
    let mut pending: Vec<(&Value, usize)> = fields.values().map(|value| (value, 2)).collect();
    while let Some((value, depth)) = pending.pop() {
        if depth > MAX_METADATA_DEPTH {
            return Err(E::custom(format_args!("expected at most {MAX_METADATA_DEPTH} levels of metadata, got more")));
        }
        match value {
            Value::F64(number) if !number.is_finite() => {
                return Err(E::custom(format_args!("expected a finite number, got {number}")));
            }
            Value::Array(items) => pending.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(map) => pending.extend(map.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

/// Reads a value with at most `levels` levels below it.
#[derive(Clone, Copy)]
pub(super) struct Nested<'t> {
    trace: &'t Trace,
    budget: &'t ValueBudget,
    levels: usize,
}

impl<'t> Nested<'t> {
    pub(super) fn new(trace: &'t Trace, budget: &'t ValueBudget) -> Self {
        Nested { trace, budget, levels: MAX_DEPTH }
    }

    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Nested { levels, ..self }),
            None => Err(E::custom(format_args!("expected at most {MAX_DEPTH} levels, got more"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        self.budget.spend(VALUE_BYTES, self.trace)?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::I64(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::F64(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.budget.spend(text.len(), self.trace)?;
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let (below, mut items) = (self.below()?, Vec::new());
        loop {
            let item = access.next_element_seed(below).inspect_err(|_| self.trace.within_item(items.len()))?;
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let (below, mut map) = (self.below()?, BTreeMap::new());
        while let Some(key) = access.next_key::<String>()? {
            self.budget.spend(key.len(), self.trace)?;
            match map.entry(key) {
                Entry::Occupied(taken) => {
                    self.trace.within_key(taken.key());
                    return Err(twice(taken.key()));
                }
                Entry::Vacant(free) => {
                    let value = access.next_value_seed(below).inspect_err(|_| self.trace.within_key(free.key()))?;
                    free.insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }
}
