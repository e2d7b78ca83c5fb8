//! Equality and order of scalars.
//!
//! Owns the prepared form of a scalar, in which equal values have equal parts: whole numbers are
//! integers however they were written, times are instants. Knows nothing of fields, operators or
//! JSON.

use std::borrow::Cow;
use std::cmp::Ordering;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::refusal::Refusal;
use crate::limits::MAX_FILTER_VALUES;
use crate::value::{Unchecked, Value};

/// The floats that may equal an `i64` or a `u64`, if they are whole.
const INTEGERS: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0;

/// Bytes of a date.
const DATE_BYTES: usize = 10;

/// A scalar ready for comparison.
#[derive(Debug, Clone)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// A whole number from `i64::MIN` to `u64::MAX`.
    Integer(i128),
    /// Any other number, but never NaN.
    Float(f64),
    /// A string that is not read as a time.
    Text(Cow<'a, str>),
    /// A time, in nanoseconds since 1970, with its spelling.
    Time(i128, Cow<'a, str>),
}

impl Scalar<'static> {
    /// Prepares the operand of an operator that tests equality.
    pub(super) fn operand(mut value: Unchecked) -> Result<Self, Refusal> {
        match &mut value.0 {
            Value::String(text) => Ok(Scalar::string(Cow::Owned(std::mem::take(text)), true)),
            Value::F64(number) if !number.is_finite() => Err(Refusal::expected("a finite number", number)),
            other => Scalar::plain(other)
                .ok_or_else(|| Refusal::expected("null, a boolean, a number or a string", other.type_name())),
        }
    }

    /// Prepares the operand of an operator that tests order.
    pub(super) fn ordered(value: Unchecked) -> Result<Self, Refusal> {
        match value.0 {
            Value::I64(_) | Value::U64(_) | Value::F64(_) | Value::String(_) => Scalar::operand(value),
            _ => Err(Refusal::expected("a number or a string", value.0.type_name())),
        }
    }

    /// Any scalar but a string.
    pub(super) fn plain(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Scalar::Null),
            Value::Bool(flag) => Some(Scalar::Bool(*flag)),
            Value::I64(number) => Some(Scalar::Integer(i128::from(*number))),
            Value::U64(number) => Some(Scalar::Integer(i128::from(*number))),
            Value::F64(number) if number.is_nan() => None,
            Value::F64(number) if number.fract() == 0.0 && INTEGERS.contains(number) => {
                Some(Scalar::Integer(*number as i128))
            }
            Value::F64(number) => Some(Scalar::Float(*number)),
            Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl<'a> Scalar<'a> {
    /// Reads a stored value. Reads strings as times only if `times` asks for it, since that is the
    /// one costly step.
    pub(super) fn read(value: &'a Value, times: bool) -> Option<Self> {
        match value {
            Value::String(text) => Some(Scalar::string(Cow::Borrowed(text), times)),
            other => Scalar::plain(other),
        }
    }

    fn string(text: Cow<'a, str>, times: bool) -> Self {
        match if times { instant(&text) } else { None } {
            Some(instant) => Scalar::Time(instant, text),
            None => Scalar::Text(text),
        }
    }

    /// Whether a stored value equals this one.
    pub(super) fn equals(&self, value: &Value) -> bool {
        Scalar::read(value, self.is_time()).is_some_and(|found| found == *self)
    }

    /// How a stored value compares to this one; `None` where they have no order.
    pub(super) fn order_of(&self, value: &Value) -> Option<Ordering> {
        let found = Scalar::read(value, self.is_time())?;
        match (&found, self) {
            (Scalar::Integer(_) | Scalar::Float(_), Scalar::Integer(_) | Scalar::Float(_))
            | (Scalar::Time(..), Scalar::Time(..)) => Some(found.cmp(self)),
            _ => Some(found.text()?.cmp(self.text()?)),
        }
    }

    /// The string as it was written.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) | Scalar::Time(_, text) => Some(text),
            _ => None,
        }
    }

    fn is_time(&self) -> bool {
        matches!(self, Scalar::Time(..))
    }

    /// A number for each kind of scalar. A time never equals a text, since the text would be that
    /// time too.
    fn kind(&self) -> u8 {
        match self {
            Scalar::Null => 0,
            Scalar::Bool(_) => 1,
            Scalar::Integer(_) | Scalar::Float(_) => 2,
            Scalar::Text(_) => 3,
            Scalar::Time(..) => 4,
        }
    }
}

impl Ord for Scalar<'_> {
    /// A total order of scalars, for lookups. Within one kind it is the order of filters.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Scalar::Bool(a), Scalar::Bool(b)) => a.cmp(b),
            (Scalar::Integer(a), Scalar::Integer(b)) => a.cmp(b),
            (Scalar::Float(a), Scalar::Float(b)) => a.total_cmp(b),
            (Scalar::Integer(a), Scalar::Float(b)) => integer_to_float(*a, *b),
            (Scalar::Float(a), Scalar::Integer(b)) => integer_to_float(*b, *a).reverse(),
            (Scalar::Text(a), Scalar::Text(b)) => a.cmp(b),
            (Scalar::Time(a, _), Scalar::Time(b, _)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Scalar<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scalar<'_> {}

/// Compares without rounding. A float that is no [`Scalar::Integer`] equals no integer, and the
/// cast saturates.
fn integer_to_float(integer: i128, float: f64) -> Ordering {
    if integer <= float.floor() as i128 { Ordering::Less } else { Ordering::Greater }
}

/// Whether a string is read as a time.
pub(crate) fn is_time(text: &str) -> bool {
    instant(text).is_some()
}

/// The whole number that a value is, however it is written.
pub(crate) fn whole(value: &Value) -> Option<i128> {
    match Scalar::plain(value) {
        Some(Scalar::Integer(number)) => Some(number),
        _ => None,
    }
}

/// The instant of a time in RFC 3339, or in a form that [`in_full`] completes. The shape is checked
/// first, since most strings are no times.
pub(crate) fn instant(text: &str) -> Option<i128> {
    let has = |position: usize, byte: u8| text.as_bytes().get(position) == Some(&byte);
    if !(has(4, b'-') && has(7, b'-') && (text.len() == DATE_BYTES || has(13, b':'))) {
        return None;
    }
    let read = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let time = if has(16, b':') { read(text) } else { None };
    Some(time.or_else(|| read(&in_full(text)?))?.unix_timestamp_nanos())
}

/// Completes a time to RFC 3339: a date alone is the beginning of its day, missing seconds are 0,
/// and a missing zone is UTC. The zone may lack its colon or its minutes. A space may stand before
/// the zone, and between date and time.
fn in_full(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked(DATE_BYTES)?;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        return rest.is_empty().then(|| format!("{date}T00:00:00Z"));
    };
    let (time, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len()));
    let time = if zone.is_empty() { time } else { time.strip_suffix(' ').unwrap_or(time) };
    let seconds = if time.len() == "00:00".len() { ":00" } else { "" };
    let zone = match (zone.len(), zone) {
        (0, _) | (1, "Z" | "z") => "Z".to_owned(),
        (3, hours) => format!("{hours}:00"),
        (5, together) => format!("{}:{}", together.get(..3)?, together.get(3..)?),
        (_, whole) => whole.to_owned(),
    };
    Some(format!("{date}T{time}{seconds}{zone}"))
}

/// The operands of an operator, sorted for binary search.
#[derive(Debug, Clone)]
pub(super) struct ScalarSet {
    sorted: Vec<Scalar<'static>>,
    has_times: bool,
}

impl ScalarSet {
    /// Prepares a list of scalars. Fails at the first value beyond `MAX_FILTER_VALUES`, without
    /// taking more from the iterator.
    pub(super) fn operand(values: impl IntoIterator<Item = Unchecked>) -> Result<Self, Refusal> {
        let mut sorted = Vec::new();
        for (position, value) in values.into_iter().enumerate() {
            Refusal::check("filter in listed values", MAX_FILTER_VALUES, position + 1)?;
            sorted.push(Scalar::operand(value).map_err(|refusal| refusal.within_item(position))?);
        }
        sorted.sort_unstable();
        let has_times = sorted.iter().any(Scalar::is_time);
        Ok(ScalarSet { sorted, has_times })
    }

    /// The values of the list, ordered.
    pub(super) fn values(&self) -> &[Scalar<'static>] {
        &self.sorted
    }

    /// Whether a stored value equals one in the list.
    pub(super) fn contains(&self, value: &Value) -> bool {
        Scalar::read(value, self.has_times).is_some_and(|found| self.sorted.binary_search(&found).is_ok())
    }

    /// Whether each value in the list equals one of the stored values.
    pub(super) fn is_within<'v>(&self, values: impl Iterator<Item = &'v Value>) -> bool {
        let mut found: Vec<Scalar<'_>> = values.filter_map(|value| Scalar::read(value, self.has_times)).collect();
        found.sort_unstable();
        self.sorted.iter().all(|wanted| found.binary_search(wanted).is_ok())
    }
}
