//! The declaration of one field: its type, whether it is required, and the values to choose from.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::shortened;
use crate::filter::{is_time, whole};
use crate::limits::MAX_CHOICES;
use crate::value::Value;

/// Most choices that a message lists.
const MOST_SHOWN: usize = 8;

/// The type of a metadata field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Type {
    /// Anything. The default.
    #[default]
    Any,
    /// `true` or `false`.
    Boolean,
    /// A whole number from `i64::MIN` to `u64::MAX`, also where it is written as `1.0`.
    Integer,
    /// Any number.
    Number,
    /// A string.
    String,
    /// A string that [filters](crate::Filter) read as a time: RFC 3339, such as
    /// `2026-11-22T10:00:00Z`, or with parts left out, such as `2026-11-22`.
    Time,
    /// An object; its fields need not be declared.
    Object,
}

/// The declaration of one field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FieldRule {
    /// The type of the field, or of each of its elements. Default: any.
    #[serde(rename = "type", default)]
    pub kind: Type,
    /// Whether the field holds an array. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub array: bool,
    /// Whether the field must be there and not null. An empty array is there. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The only values of the field, or of its elements: 1 to 1,024 strings or integers, as the
    /// type is. Default: all values of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_of: Option<BTreeSet<Choice>>,
}

/// A value to choose from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected strings or integers in `one_of`")]
pub enum Choice {
    /// An integer.
    Integer(i64),
    /// A string.
    String(String),
}

impl Type {
    /// An array of this type.
    #[must_use]
    pub fn array(self) -> FieldRule {
        FieldRule::from(self).array()
    }

    /// A field of this type that must be there and not null.
    #[must_use]
    pub fn required(self) -> FieldRule {
        FieldRule::from(self).required()
    }

    /// A field with one of these values: strings for [`Type::String`], integers for
    /// [`Type::Integer`].
    #[must_use]
    pub fn one_of<C: Into<Choice>>(self, values: impl IntoIterator<Item = C>) -> FieldRule {
        FieldRule::from(self).one_of(values)
    }

    fn admits(self, value: &Value) -> bool {
        match self {
            Type::Any => true,
            Type::Boolean => value.as_bool().is_some(),
            Type::Integer => whole(value).is_some(),
            Type::Number => value.as_f64().is_some(),
            Type::String => value.as_str().is_some(),
            Type::Time => value.as_str().is_some_and(is_time),
            Type::Object => value.as_object().is_some(),
        }
    }

    /// The names of a value and of an array of them, for messages.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Type::Any => ("a value", "an array"),
            Type::Boolean => ("a boolean", "an array of booleans"),
            Type::Integer => ("an integer", "an array of integers"),
            Type::Number => ("a number", "an array of numbers"),
            Type::String => ("a string", "an array of strings"),
            Type::Time => ("a time in RFC 3339 form", "an array of times in RFC 3339 form"),
            Type::Object => ("an object", "an array of objects"),
        }
    }

    /// Whether every value of the type `other` is also of this one.
    pub(super) fn includes(self, other: Type) -> bool {
        match (self, other) {
            (Type::Any, _) | (Type::Number, Type::Integer) | (Type::String, Type::Time) => true,
            _ => self == other,
        }
    }
}

impl From<Type> for FieldRule {
    fn from(kind: Type) -> Self {
        FieldRule { kind, ..FieldRule::default() }
    }
}

impl FieldRule {
    /// Makes the field an array. Default: it is no array.
    #[must_use]
    pub fn array(mut self) -> Self {
        self.array = true;
        self
    }

    /// Makes the field required: there in every document, and not null. Default: it may be missing.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Sets the only values of the field, or of its elements: strings for [`Type::String`],
    /// integers for [`Type::Integer`]. Default: all values of the type.
    #[must_use]
    pub fn one_of<C: Into<Choice>>(mut self, values: impl IntoIterator<Item = C>) -> Self {
        self.one_of = Some(values.into_iter().map(Into::into).collect());
        self
    }

    /// Refuses a rule that contradicts itself.
    pub(super) fn validate(&self) -> Result<(), String> {
        let Some(choices) = &self.one_of else { return Ok(()) };
        if !(1..=MAX_CHOICES).contains(&choices.len()) {
            return Err(format!("expected 1 to {MAX_CHOICES} values to choose from, got {}", choices.len()));
        }
        let fits = |choice: &Choice| match choice {
            Choice::Integer(_) => self.kind == Type::Integer,
            Choice::String(_) => self.kind == Type::String,
        };
        match choices.iter().find(|choice| !fits(choice)) {
            Some(other) => Err(format!(
                "expected strings of a string or integers of an integer to choose from, got {} of {}",
                other.shown(),
                self.kind.words().0
            )),
            None => Ok(()),
        }
    }

    /// Whether other fields may be declared below the field: it is an object, not an array.
    pub(super) fn leads_on(&self) -> bool {
        self.kind == Type::Object && !self.array
    }

    /// Whether the field may be an object with any fields.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.kind, Type::Object | Type::Any) && !self.array
    }

    /// Describes a value that the field may not have; `None` if it may.
    pub(super) fn refused(&self, value: &Value) -> Option<String> {
        match value {
            Value::Null => None,
            value if !self.array => (!self.admits(value)).then(|| shown(value)),
            Value::Array(items) => {
                let position = items.iter().position(|item| !self.admits(item))?;
                Some(format!("{} at position {position}", shown(&items[position])))
            }
            other => Some(shown(other)),
        }
    }

    fn admits(&self, value: &Value) -> bool {
        self.kind.admits(value) && self.one_of.as_ref().is_none_or(|choices| contains(choices, value))
    }

    /// Describes what the field must be.
    pub(super) fn expected(&self) -> String {
        let (one, several) = self.kind.words();
        let what = if self.array { several } else { one };
        let Some(choices) = &self.one_of else { return what.to_owned() };
        let listed: Vec<String> = choices.iter().take(MOST_SHOWN).map(Choice::shown).collect();
        let more = if choices.len() > MOST_SHOWN { ", …" } else { "" };
        let of = if self.array { format!("{what}, each ") } else { String::new() };
        format!("{of}one of {}{more}", listed.join(", "))
    }
}

fn contains(choices: &BTreeSet<Choice>, value: &Value) -> bool {
    let choice = match value {
        Value::String(text) => Some(Choice::String(text.clone())),
        other => whole(other).and_then(|number| i64::try_from(number).ok()).map(Choice::Integer),
    };
    choice.is_some_and(|choice| choices.contains(&choice))
}

/// Describes a value for messages.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => Choice::from(shortened(text)).shown(),
        Value::Array(_) | Value::Object(_) => value.type_name().to_owned(),
        scalar => scalar.to_string(),
    }
}

impl Choice {
    fn shown(&self) -> String {
        match self {
            Choice::Integer(number) => number.to_string(),
            Choice::String(text) => format!("{:?}", shortened(text)),
        }
    }
}

impl From<&str> for Choice {
    fn from(text: &str) -> Self {
        Choice::String(text.to_owned())
    }
}

impl From<String> for Choice {
    fn from(text: String) -> Self {
        Choice::String(text)
    }
}

impl From<i64> for Choice {
    fn from(number: i64) -> Self {
        Choice::Integer(number)
    }
}

impl From<i32> for Choice {
    fn from(number: i32) -> Self {
        Choice::Integer(number.into())
    }
}

impl From<u32> for Choice {
    fn from(number: u32) -> Self {
        Choice::Integer(number.into())
    }
}
