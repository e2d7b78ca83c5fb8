//! Values of any shape: metadata and filters.
//!
//! Owns how they are read: no key twice, no deeper than [`MAX_DEPTH`]. What they mean is left to the filter's grammar and
//! the collection's checks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::read::{Read, Trace, twice};
use crate::filter::Filter;
use crate::value::Value;

/// Deepest nesting of what is read, as `serde_json` has it.
const MAX_DEPTH: usize = 127;

impl Read for Value {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        Nested { trace, levels: MAX_DEPTH }.deserialize(from)
    }
}

impl Read for Filter {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        let json = serde_json::Value::from(Value::read(from, trace)?);
        Filter::from_json(&json).map_err(|error| trace.refuse(error))
    }
}

/// Metadata: an object.
pub(super) struct Metadata(pub(super) Value);

impl Read for Metadata {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        match Value::read(from, trace)? {
            value @ Value::Object(_) => Ok(Metadata(value)),
            other => Err(D::Error::custom(format_args!("expected an object, got {}", other.type_name()))),
        }
    }
}

/// Reads a value that may have so many levels below it.
#[derive(Clone, Copy)]
struct Nested<'t> {
    trace: &'t Trace,
    levels: usize,
}

impl Nested<'_> {
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

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
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
