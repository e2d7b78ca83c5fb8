//! Metadata values: JSON with exact integers.
//!
//! Owns the type, its conversions to and from JSON, and the check that metadata can be stored.
//! Knows nothing of filters or bytes on disk. No function recurses deeper than
//! [`MAX_METADATA_DEPTH`] levels, for any input.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::limits::{MAX_METADATA_BYTES, MAX_METADATA_DEPTH};

/// A JSON value whose integers are exact. Times are strings in RFC 3339 form.
///
/// ```
/// use serde_json::json;
/// use vectrove::Value;
/// let value = Value::from(json!({"tag": "rust", "stars": 5}));
/// assert_eq!(value["stars"].as_i64(), Some(5));
/// assert_eq!(value["absent"], Value::Null);
/// assert_eq!(value.to_string(), r#"{"stars":5,"tag":"rust"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `null`. A key with this value is present.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer up to `i64::MAX`.
    I64(i64),
    /// An integer above `i64::MAX`.
    U64(u64),
    /// Another number, finite.
    F64(f64),
    /// A string, or a time in RFC 3339 form.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object; keys are kept in byte order.
    Object(BTreeMap<String, Value>),
}

static NULL: Value = Value::Null;

impl Value {
    /// An object without keys.
    pub fn object() -> Self {
        Value::Object(BTreeMap::new())
    }

    /// The value under a key of an object; `None` without this key, or if this is not an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The number as `i64`, if it is an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::I64(number) => Some(*number),
            _ => None,
        }
    }

    /// The number as `u64`, if it is an integer that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::I64(number) => u64::try_from(*number).ok(),
            Value::U64(number) => Some(*number),
            _ => None,
        }
    }

    /// The number as `f64`, rounded to the nearest.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::I64(number) => Some(*number as f64),
            Value::U64(number) => Some(*number as f64),
            Value::F64(number) => Some(*number),
            _ => None,
        }
    }

    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The keys and values, if this is an object.
    pub fn as_object(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }

    /// Refuses values that cannot be metadata: neither object nor null, too deep, too large, or
    /// with a number that is not finite.
    pub(crate) fn check_metadata(&self) -> Result<()> {
        if !matches!(self, Value::Null | Value::Object(_)) {
            return Err(Error::InvalidMetadata { reason: format!("expected an object, got {}", self.type_name()) });
        }
        let mut n_bytes = 0;
        let mut pending = vec![(self, 1)];
        while let Some((value, depth)) = pending.pop() {
            if depth > MAX_METADATA_DEPTH {
                return Err(Error::LimitExceeded {
                    what: "metadata depth in levels",
                    limit: MAX_METADATA_DEPTH,
                    got: depth,
                });
            }
            n_bytes += 10;
            match value {
                Value::F64(number) if !number.is_finite() => {
                    return Err(Error::InvalidMetadata { reason: format!("expected a finite number, got {number}") });
                }
                Value::String(text) => n_bytes += text.len(),
                Value::Array(items) => pending.extend(items.iter().map(|item| (item, depth + 1))),
                Value::Object(map) => {
                    n_bytes += map.keys().map(String::len).sum::<usize>();
                    pending.extend(map.values().map(|item| (item, depth + 1)));
                }
                _ => {}
            }
            if n_bytes > MAX_METADATA_BYTES {
                return Err(Error::LimitExceeded {
                    what: "metadata in bytes",
                    limit: MAX_METADATA_BYTES,
                    got: n_bytes,
                });
            }
        }
        Ok(())
    }

    /// Approximate size of the value, in bytes.
    pub(crate) fn size_hint(&self) -> usize {
        let mut n_bytes = 0;
        let mut pending = vec![self];
        while let Some(value) = pending.pop() {
            n_bytes += 10;
            match value {
                Value::String(text) => n_bytes += text.len(),
                Value::Array(items) => pending.extend(items),
                Value::Object(map) => {
                    n_bytes += map.keys().map(String::len).sum::<usize>();
                    pending.extend(map.values());
                }
                _ => {}
            }
        }
        n_bytes
    }

    /// The JSON name of this kind of value.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::I64(_) | Value::U64(_) | Value::F64(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// Takes the value apart level by level, so that dropping it cannot exhaust the stack.
    fn dismantle(&mut self) {
        let mut pending = vec![std::mem::take(self)];
        while let Some(value) = pending.pop() {
            match value {
                Value::Array(items) => pending.extend(items),
                Value::Object(map) => pending.extend(map.into_values()),
                _ => {}
            }
        }
    }
}

/// An unchecked value from a caller. It can be dropped at any depth of nesting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unchecked(pub(crate) Value);

impl Drop for Unchecked {
    fn drop(&mut self) {
        if matches!(self.0, Value::Array(_) | Value::Object(_)) {
            self.0.dismantle();
        }
    }
}

impl Unchecked {
    /// Checks the value as metadata and returns it; null becomes the empty object.
    pub(crate) fn into_metadata(mut self) -> Result<Value> {
        self.0.check_metadata()?;
        match std::mem::take(&mut self.0) {
            Value::Null => Ok(Value::object()),
            value => Ok(value),
        }
    }
}

impl Index<&str> for Value {
    type Output = Value;

    /// The value under a key; null without this key.
    fn index(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&NULL)
    }
}

impl Index<usize> for Value {
    type Output = Value;

    /// The element at a position; null without this position.
    fn index(&self, position: usize) -> &Value {
        self.as_array().and_then(|items| items.get(position)).unwrap_or(&NULL)
    }
}

impl fmt::Display for Value {
    /// Writes the value as JSON, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl From<serde_json::Value> for Value {
    /// Keeps one level more than metadata may have. A deeper value is then refused as too deep,
    /// never stored cut.
    fn from(json: serde_json::Value) -> Self {
        from_json(json, MAX_METADATA_DEPTH + 1)
    }
}

fn from_json(json: serde_json::Value, levels: usize) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::I64(number),
            (None, Some(number)) => Value::U64(number),
            (None, None) => Value::F64(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(text),
        nested if levels == 0 => {
            dismantle_json(nested);
            Value::Null
        }
        Json::Array(items) => Value::Array(items.into_iter().map(|item| from_json(item, levels - 1)).collect()),
        Json::Object(map) => {
            Value::Object(map.into_iter().map(|(key, item)| (key, from_json(item, levels - 1))).collect())
        }
    }
}

fn dismantle_json(json: serde_json::Value) {
    let mut pending = vec![json];
    while let Some(json) = pending.pop() {
        match json {
            serde_json::Value::Array(items) => pending.extend(items),
            serde_json::Value::Object(map) => pending.extend(map.into_iter().map(|(_, item)| item)),
            _ => {}
        }
    }
}

impl From<Value> for serde_json::Value {
    /// A number that is not finite becomes null; no stored value has one.
    fn from(value: Value) -> Self {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => flag.into(),
            Value::I64(number) => number.into(),
            Value::U64(number) => number.into(),
            Value::F64(number) => number.into(),
            Value::String(text) => text.into(),
            Value::Array(items) => items.into_iter().map(serde_json::Value::from).collect(),
            Value::Object(map) => serde_json::Value::Object(map.into_iter().map(|(k, v)| (k, v.into())).collect()),
        }
    }
}

macro_rules! from_scalar {
    ($($from:ty => $make:expr),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(scalar: $from) -> Self {
                $make(scalar)
            }
        }
    )*};
}

from_scalar! {
    bool => Value::Bool,
    i64 => Value::I64,
    i32 => |number| Value::I64(i64::from(number)),
    u32 => |number| Value::I64(i64::from(number)),
    u64 => |number| i64::try_from(number).map_or(Value::U64(number), Value::I64),
    usize => |number| Value::from(number as u64),
    f64 => Value::F64,
    f32 => |number| Value::F64(f64::from(number)),
    &str => |text: &str| Value::String(text.to_owned()),
    String => Value::String,
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Value::Array(items.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::I64(number) => serializer.serialize_i64(*number),
            Value::U64(number) => serializer.serialize_u64(*number),
            Value::F64(number) => serializer.serialize_f64(*number),
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items),
            Value::Object(map) => serializer.collect_map(map),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Value, E> {
        Ok(Value::I64(number))
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<Value, E> {
        Ok(Value::F64(number))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, item)) = access.next_entry()? {
            map.insert(key, item);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_keep_their_value() {
        for text in ["9007199254740993", "18446744073709551615", "-9223372036854775808", "0.1", "1e300", "-0.0"] {
            let value: Value = serde_json::from_str(text).unwrap();
            let again: Value = serde_json::from_str(&value.to_string()).unwrap();
            assert_eq!(value, again, "{text}");
            assert_eq!(Value::from(serde_json::from_str::<serde_json::Value>(text).unwrap()), value, "{text}");
        }
        assert!(serde_json::from_str::<Value>("1e400").is_err());
    }

    #[test]
    fn metadata_must_be_a_shallow_finite_object() {
        assert!(Value::from(json!({"a": [1, {"b": null}]})).check_metadata().is_ok());
        assert!(Value::Null.check_metadata().is_ok());
        assert!(Value::from(json!([1])).check_metadata().is_err());
        assert!(Value::Object([("x".to_owned(), Value::F64(f64::NAN))].into()).check_metadata().is_err());
        let huge = Value::Object([("x".to_owned(), Value::String("y".repeat(MAX_METADATA_BYTES)))].into());
        assert!(huge.check_metadata().is_err());
    }

    #[test]
    fn nesting_of_any_depth_is_refused_and_dropped() {
        let mut value = Value::Null;
        for _ in 0..1_000_000 {
            value = Value::Array(vec![value]);
        }
        let nested = Unchecked(Value::Object([("x".to_owned(), value)].into()));
        assert!(nested.into_metadata().is_err());

        let mut json = json!(null);
        for _ in 0..1_000_000 {
            json = serde_json::Value::Array(vec![json]);
        }
        let mut map = serde_json::Map::new();
        map.insert("x".into(), json);
        assert!(Unchecked(Value::from(serde_json::Value::Object(map))).into_metadata().is_err());
    }

    #[test]
    fn depth_is_counted_exactly() {
        let nested = |levels: usize| {
            let mut value = Value::object();
            for _ in 1..levels {
                value = Value::Object([("x".to_owned(), value)].into());
            }
            value
        };
        assert!(nested(MAX_METADATA_DEPTH).check_metadata().is_ok());
        assert!(nested(MAX_METADATA_DEPTH + 1).check_metadata().is_err());
    }
}
