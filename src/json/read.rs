//! Reading objects key by key, with the path to a refused value.
//!
//! Owns this path and the words of a refusal. Knows nothing of what the keys mean. No number in the
//! input determines how much memory is allocated.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::DocId;
use crate::limits::MAX_DIMENSION;

/// Most characters of a refusal.
const MAX_SHOWN_CHARS: usize = 400;
const MAX_KEY_CHARS: usize = 60;

/// The path to the refused value, gathered from the inside out.
#[derive(Debug, Default)]
pub struct Trace {
    steps: RefCell<Vec<TraceStep>>,
    /// A refusal by the library itself.
    refusal: RefCell<Option<Error>>,
}

#[derive(Debug)]
enum TraceStep {
    Key(String),
    Item(usize),
}

impl Trace {
    /// Notes that the refused value stands under a key.
    pub(super) fn within_key(&self, key: &str) {
        self.steps.borrow_mut().push(TraceStep::Key(key.chars().take(MAX_KEY_CHARS).collect()));
    }

    /// Notes that the refused value stands in an array.
    pub(super) fn within_item(&self, position: usize) {
        self.steps.borrow_mut().push(TraceStep::Item(position));
    }

    /// Whether no value within the input was refused.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.borrow().is_empty()
    }

    /// Refuses with an error of the library, whose message is kept.
    pub(super) fn refuse<E: serde::de::Error>(&self, error: Error) -> E {
        let told = E::custom(&error);
        *self.refusal.borrow_mut() = Some(error);
        told
    }

    /// The error for the caller; `name` is that of the whole input.
    pub(super) fn into_error(self, name: &str, error: &serde_json::Error) -> Error {
        let path = self.path();
        match self.refusal.into_inner() {
            Some(Error::InvalidFilter { at, reason }) => {
                let at = if at == "filter" { path } else { format!("{path}.{at}") };
                Error::InvalidFilter { at, reason }
            }
            Some(error @ Error::LimitExceeded { .. }) => error,
            Some(Error::InvalidConfig { reason, .. }) => Error::InvalidJson { at: named(path, name), reason },
            Some(error) => Error::InvalidJson { at: named(path, name), reason: error.to_string() },
            None => Error::InvalidJson { at: named(path, name), reason: located(error) },
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.steps.borrow().iter().rev() {
            match step {
                TraceStep::Key(key) if path.is_empty() => path.push_str(key),
                TraceStep::Key(key) => path.extend([".", key]),
                TraceStep::Item(position) => path.push_str(&format!("[{position}]")),
            }
        }
        path
    }
}

fn named(path: String, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { path }
}

/// The reason with line and column; no line for text of one line.
fn located(error: &serde_json::Error) -> String {
    match (error.line(), error.column()) {
        (0, _) | (_, 0) => reason(error),
        (1, column) => format!("{} at column {column}", reason(error)),
        (line, column) => format!("{} at line {line} column {column}", reason(error)),
    }
}

/// The reason without the place: what was expected and what was found.
fn reason(error: &impl Display) -> String {
    let message = error.to_string();
    let is_place = |place: &str| {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        place.split_once(" column ").is_some_and(|(line, column)| is_number(line) && is_number(column))
    };
    let parts = message.rsplit_once(" at line ").filter(|(_, place)| is_place(place));
    let message = parts.map_or(&*message, |(reason, _)| reason);
    let told = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let reason = match told.and_then(|told| told.rsplit_once(", expected ")) {
        Some((got, expected)) => format!("expected {expected}, got {}", plain(got)),
        None => message.to_owned(),
    };
    match reason.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason,
    }
}

/// What was found, in the terms of JSON.
fn plain(got: &str) -> String {
    match got {
        "sequence" => "an array".to_owned(),
        "map" => "an object".to_owned(),
        "unit value" | "Option value" => "null".to_owned(),
        _ => {
            let number = ["integer `", "floating point `", "boolean `"].iter().find_map(|kind| got.strip_prefix(kind));
            let text = got.strip_prefix("string ");
            number.map(|number| number.trim_end_matches('`')).or(text).unwrap_or(got).to_owned()
        }
    }
}

/// A type that can be read.
pub trait Read: Sized {
    /// Reads the value; `trace` takes the path to a failure.
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error>;
}

/// Reads a `T`, with a trace.
pub(super) struct Seed<'t, T>(&'t Trace, PhantomData<T>);

impl<'t, T> Seed<'t, T> {
    pub(super) fn new(trace: &'t Trace) -> Self {
        Seed(trace, PhantomData)
    }
}

impl<'de, T: Read> DeserializeSeed<'de> for Seed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        T::read(from, self.0)
    }
}

/// The keys of an object, while they are read.
pub(super) trait ObjectFields: Default {
    /// The type that the keys make.
    type Of;
    /// All permitted keys, at most 64.
    const KEYS: &'static [&'static str];

    /// Takes the value of a key.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error>;

    /// Makes the value; an error says what was expected and what was found.
    fn finish(self) -> Result<Self::Of, String>;
}

/// A value that is still to be read.
pub(super) struct FieldValue<'a, A> {
    access: &'a mut A,
    trace: &'a Trace,
}

impl<'de, A: MapAccess<'de>> FieldValue<'_, A> {
    pub(super) fn read<T: Read>(self) -> Result<T, A::Error> {
        self.access.next_value_seed(Seed::new(self.trace))
    }

    /// Reads one of the given words; `None` for null.
    pub(super) fn choose<T: Copy>(self, choices: &[(&'static str, T)]) -> Result<Option<T>, A::Error> {
        let Some(word) = self.read::<Option<String>>()? else { return Ok(None) };
        let found = choices.iter().find(|(name, _)| *name == word);
        let refusal = || {
            let shown: String = word.chars().take(MAX_KEY_CHARS).collect();
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            A::Error::custom(format_args!("expected one of {}, got {shown:?}", names.join(", ")))
        };
        found.map(|(_, choice)| Some(*choice)).ok_or_else(refusal)
    }

    /// Reads an array of at most `most` items; `None` for null.
    pub(super) fn read_at_most<T: Read>(self, most: usize, what: &'static str) -> Result<Option<Vec<T>>, A::Error> {
        self.access.next_value_seed(Items { trace: self.trace, most, what, items: PhantomData })
    }
}

/// Reads an object.
pub(super) fn object<'de, F: ObjectFields, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<F::Of, D::Error> {
    from.deserialize_map(ObjectVisitor::<F>(trace, PhantomData))
}

struct ObjectVisitor<'t, F>(&'t Trace, PhantomData<F>);

impl<'de, F: ObjectFields> Visitor<'de> for ObjectVisitor<'_, F> {
    type Value = F::Of;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<F::Of, A::Error> {
        let (mut fields, mut seen) = (F::default(), 0u64);
        while let Some(key) = access.next_key::<String>()? {
            let in_key = |error: A::Error| {
                self.0.within_key(&key);
                error
            };
            let Some(position) = F::KEYS.iter().position(|known| *known == key) else {
                let shown: String = key.chars().take(MAX_KEY_CHARS).collect();
                let known = F::KEYS.join(", ");
                return Err(in_key(A::Error::custom(format_args!("expected one of the keys {known}, got {shown:?}"))));
            };
            if seen & 1 << position != 0 {
                return Err(in_key(twice(&key)));
            }
            seen |= 1 << position;
            fields.take(F::KEYS[position], FieldValue { access: &mut access, trace: self.0 }).map_err(in_key)?;
        }
        fields.finish().map_err(A::Error::custom)
    }
}

/// Refuses a repeated key.
pub(super) fn twice<E: serde::de::Error>(key: &str) -> E {
    let shown: String = key.chars().take(MAX_KEY_CHARS).collect();
    E::custom(format_args!("expected each key once, got {shown:?} twice"))
}

/// Reads an array of at most `most` items; `None` for null.
struct Items<'t, T> {
    trace: &'t Trace,
    most: usize,
    what: &'static str,
    items: PhantomData<T>,
}

impl<'de, T: Read> DeserializeSeed<'de> for Items<'_, T> {
    type Value = Option<Vec<T>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<Vec<T>>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Read> Visitor<'de> for Items<'_, T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<Option<Vec<T>>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Option<Vec<T>>, A::Error> {
        let mut items = Vec::new();
        loop {
            let item = access.next_element_seed(Seed::new(self.trace));
            let item = item.inspect_err(|_| self.trace.within_item(items.len()))?;
            match item {
                Some(_) if items.len() == self.most => {
                    let (what, limit) = (self.what, self.most);
                    return Err(self.trace.refuse(Error::LimitExceeded { what, limit, got: limit + 1 }));
                }
                Some(item) => items.push(item),
                None => return Ok(Some(items)),
            }
        }
    }
}

impl<T: Read> Read for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        let items = Items { trace, most: usize::MAX, what: "array", items: PhantomData }.deserialize(from)?;
        items.ok_or_else(|| D::Error::invalid_type(Unexpected::Unit, &"an array"))
    }
}

impl<T: Read> Read for Option<T> {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        from.deserialize_option(OptionVisitor(trace, PhantomData))
    }
}

struct OptionVisitor<'t, T>(&'t Trace, PhantomData<T>);

impl<'de, T: Read> Visitor<'de> for OptionVisitor<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
        T::read(from, self.0).map(Some)
    }
}

impl Read for bool {
    fn read<'de, D: Deserializer<'de>>(from: D, _: &Trace) -> Result<Self, D::Error> {
        from.deserialize_bool(Flag)
    }
}

struct Flag;

impl Visitor<'_> for Flag {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<bool, E> {
        Ok(flag)
    }
}

impl Read for String {
    fn read<'de, D: Deserializer<'de>>(from: D, _: &Trace) -> Result<Self, D::Error> {
        String::deserialize(from)
    }
}

impl Read for u64 {
    fn read<'de, D: Deserializer<'de>>(from: D, _: &Trace) -> Result<Self, D::Error> {
        from.deserialize_u64(Whole)
    }
}

impl Read for usize {
    fn read<'de, D: Deserializer<'de>>(from: D, _: &Trace) -> Result<Self, D::Error> {
        let number = from.deserialize_u64(Whole)?;
        usize::try_from(number).map_err(|_| D::Error::invalid_value(Unexpected::Unsigned(number), &Whole))
    }
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0")
    }

    fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

impl Read for DocId {
    fn read<'de, D: Deserializer<'de>>(from: D, _: &Trace) -> Result<Self, D::Error> {
        from.deserialize_any(Id)
    }
}

/// Reads an id.
pub(super) struct Id;

impl Visitor<'_> for Id {
    type Value = DocId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a whole number from 0")
    }

    fn visit_u64<E>(self, number: u64) -> Result<DocId, E> {
        Ok(DocId::from(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<DocId, E> {
        let number = u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self));
        number.map(DocId::from)
    }

    fn visit_str<E>(self, text: &str) -> Result<DocId, E> {
        Ok(DocId::from(text))
    }
}

impl Read for f32 {
    /// Reads the nearest `f32`. A number beyond the largest is refused.
    fn read<'de, D: Deserializer<'de>>(from: D, _: &Trace) -> Result<Self, D::Error> {
        from.deserialize_f32(Single)
    }
}

/// Reads a number as `f32`, rounded once: the deserializer of text rounds the number to `f32`
/// itself.
struct Single;

impl Visitor<'_> for Single {
    type Value = f32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Number.expecting(f)
    }

    fn visit_f32<E: serde::de::Error>(self, number: f32) -> Result<f32, E> {
        if number.is_finite() { Ok(number) } else { Err(E::custom("number out of range")) }
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<f32, E> {
        self.visit_f32(number as f32)
    }

    fn visit_u64<E>(self, number: u64) -> Result<f32, E> {
        Ok(number as f32)
    }

    fn visit_i64<E>(self, number: i64) -> Result<f32, E> {
        Ok(number as f32)
    }
}

impl Read for f64 {
    fn read<'de, D: Deserializer<'de>>(from: D, _: &Trace) -> Result<Self, D::Error> {
        from.deserialize_f64(Number)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    fn visit_u64<E>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_i64<E>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }
}

/// A vector: an array of numbers, with at most as many components as a collection may have.
///
/// ```
/// use vectrove::json::Vector;
/// let Vector(components) = serde_json::from_str("[1, 0.5]")?;
/// assert_eq!(components, [1.0, 0.5]);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Vector(pub Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vector::read(from, &Trace::default())
    }
}

impl Read for Vector {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        from.deserialize_seq(Components(trace))
    }
}

/// Reads the components of a vector.
pub(super) struct Components<'t>(pub(super) &'t Trace);

impl<'de> Visitor<'de> for Components<'_> {
    type Value = Vector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vector, A::Error> {
        let mut vector = Vec::new();
        loop {
            let component = access
                .next_element_seed(Seed::<f32>::new(self.0))
                .map_err(|error| A::Error::custom(format_args!("{} at position {}", reason(&error), vector.len())))?;
            match component {
                Some(_) if vector.len() == MAX_DIMENSION => {
                    return Err(A::Error::custom(format_args!(
                        "expected at most {MAX_DIMENSION} components, got more"
                    )));
                }
                Some(component) => vector.push(component),
                None => return Ok(Vector(vector)),
            }
        }
    }
}

/// Reads the keys of any object, each once.
pub(super) struct Keys(BTreeSet<String>);

impl Keys {
    pub(super) fn new() -> Self {
        Keys(BTreeSet::new())
    }

    /// Refuses a repeated key.
    pub(super) fn admit<E: serde::de::Error>(&mut self, key: &str) -> Result<(), E> {
        if self.0.insert(key.to_owned()) { Ok(()) } else { Err(twice(key)) }
    }
}
