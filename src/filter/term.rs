//! Terms: values as an index stores them. Their bytes have the order of filters. Values that
//! filters call equal have equal terms, except that the term of a time ends with its spelling.
//!
//! Owns the bytes of terms. Knows neither fields nor slots, nor how postings are stored.
//!
//! ```text
//! OFFSET SIZE FIELD
//!      0    1 kind: 0 exists, 1 incomplete, 2 null, 3 boolean, 4 number, 5 text, 6 time
//!      1    … boolean  1 byte, 0 or 1
//!             number   8 bytes: the greatest f64 that is not above it, in the order of integers
//!                      2 bytes: what is left, below 2,048; 0 but for whole numbers beyond 2⁵³
//!             text     UTF-8, a zero byte as 00 01, ended by 00 00
//!             time     9 bytes: nanoseconds since 1970 and 2⁷¹; then its spelling as a text
//! ```
//!
//! Numbers are big-endian. A string that filters read as a time is a time and no text.

use std::borrow::Cow;
use std::ops::Bound;

use super::compare::Scalar;
use crate::value::Value;

/// Longest string that is indexed, in bytes. Searches read a document with a longer one.
pub(crate) const MAX_INDEXED_BYTES: usize = 256;

/// Raised whenever the same document would get other terms.
pub(crate) const TERMS_VERSION: u8 = 2;

const INSTANT_BYTES: usize = 9;
const NUMBER_BYTES: usize = 10;
const INSTANT_OFFSET: i128 = 1 << 71;

/// The kind of a term, in the order of terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum TermKind {
    Exists = 0,
    Incomplete = 1,
    Null = 2,
    Bool = 3,
    Number = 4,
    Text = 5,
    Time = 6,
}

/// A value of some field, or a mark such as [`TermKind::Exists`], as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Term(Box<[u8]>);

impl Term {
    /// The term of every document that has the field.
    pub(crate) fn exists() -> Self {
        Term([TermKind::Exists as u8].into())
    }

    /// The term of every document that has unindexed values in the field.
    pub(crate) fn incomplete() -> Self {
        Term([TermKind::Incomplete as u8].into())
    }

    /// The term of a scalar; `None` for one that is too long.
    pub(super) fn of(scalar: &Scalar<'_>) -> Option<Self> {
        let is_short = scalar.text().is_none_or(|text| text.len() <= MAX_INDEXED_BYTES);
        is_short.then(|| Term::of_any(scalar))
    }

    fn of_any(scalar: &Scalar<'_>) -> Self {
        let (kind, mut bytes) = value_bytes(scalar);
        if let Scalar::Time(_, spelling) = scalar {
            put_text(&mut bytes, spelling);
        }
        bytes.insert(0, kind as u8);
        Term(bytes.into())
    }

    /// The term of a stored value; `None` for one that is too long, and for arrays and objects.
    pub(super) fn of_value(value: &Value) -> Option<Self> {
        Term::of(&Scalar::read(value, true)?)
    }

    /// The term of a stored value of any length: to tell values apart, not to look them up.
    pub(super) fn of_long_value(value: &Value) -> Option<Self> {
        Some(Term::of_any(&Scalar::read(value, true)?))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The bytes that follow the kind, without the spelling of a time.
fn value_bytes(scalar: &Scalar<'_>) -> (TermKind, Vec<u8>) {
    let mut bytes = Vec::with_capacity(16);
    let kind = match scalar {
        Scalar::Null => TermKind::Null,
        Scalar::Bool(flag) => {
            bytes.push(u8::from(*flag));
            TermKind::Bool
        }
        Scalar::Integer(number) => {
            let rounded = *number as f64;
            let floor = if rounded as i128 > *number { rounded.next_down() } else { rounded };
            put_number(&mut bytes, floor, (*number - floor as i128) as u16);
            TermKind::Number
        }
        Scalar::Float(number) => {
            put_number(&mut bytes, *number, 0);
            TermKind::Number
        }
        Scalar::Text(text) => {
            put_text(&mut bytes, text);
            TermKind::Text
        }
        Scalar::Time(instant, _) => {
            bytes.extend(&(instant + INSTANT_OFFSET).to_be_bytes()[16 - INSTANT_BYTES..]);
            TermKind::Time
        }
    };
    (kind, bytes)
}

fn put_number(bytes: &mut Vec<u8>, floor: f64, rest: u16) {
    let bits = floor.to_bits();
    let ordered = bits ^ (((bits as i64) >> 63) as u64 | 1 << 63);
    bytes.extend(ordered.to_be_bytes());
    bytes.extend(rest.to_be_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_escaped(bytes, text);
    bytes.extend([0, 0]);
}

fn put_escaped(bytes: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(1);
        }
    }
}

fn read_text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(bytes.strip_suffix(&[0, 0])?).ok()?;
    Some(if text.contains('\0') { Cow::Owned(text.replace("\0\u{1}", "\0")) } else { Cow::Borrowed(text) })
}

/// The kind of a term.
pub(crate) fn kind_of(term: &[u8]) -> Option<TermKind> {
    Some(match term.first()? {
        0 => TermKind::Exists,
        1 => TermKind::Incomplete,
        2 => TermKind::Null,
        3 => TermKind::Bool,
        4 => TermKind::Number,
        5 => TermKind::Text,
        6 => TermKind::Time,
        _ => return None,
    })
}

/// The value of a term; `None` if the bytes are not those of a value.
pub(crate) fn value_of(term: &[u8]) -> Option<Value> {
    let (kind, bytes) = (kind_of(term)?, term.get(1..)?);
    Some(match kind {
        TermKind::Exists | TermKind::Incomplete => return None,
        TermKind::Null => Value::Null,
        TermKind::Bool => Value::Bool(*bytes.first()? != 0),
        TermKind::Number => {
            let (&ordered, rest) = bytes.split_first_chunk::<8>()?;
            let (ordered, rest) = (u64::from_be_bytes(ordered), u16::from_be_bytes(rest.try_into().ok()?));
            let floor = f64::from_bits(ordered ^ (((!ordered as i64) >> 63) as u64 | 1 << 63));
            match Scalar::plain(&Value::F64(floor))? {
                Scalar::Integer(number) => {
                    let number = number + i128::from(rest);
                    i64::try_from(number).map(Value::I64).or_else(|_| u64::try_from(number).map(Value::U64)).ok()?
                }
                _ => Value::F64(floor),
            }
        }
        TermKind::Text => Value::from(&*read_text(bytes)?),
        TermKind::Time => Value::from(&*read_text(bytes.get(INSTANT_BYTES..)?)?),
    })
}

/// The ordinal of a number or an instant: an integer that keeps their order. `None` for other
/// kinds.
pub(crate) fn ordinal(term: &[u8]) -> Option<u128> {
    let n_bytes = match kind_of(term)? {
        TermKind::Number => NUMBER_BYTES,
        TermKind::Time => INSTANT_BYTES,
        _ => return None,
    };
    let bytes = term.get(1..1 + n_bytes)?;
    Some(bytes.iter().fold(0, |number, &byte| number << 8 | u128::from(byte)))
}

/// The bytes that order a term: a time lacks its spelling. `None` for terms that are no values.
pub(crate) fn order_of(term: &[u8]) -> Option<&[u8]> {
    match kind_of(term)? {
        TermKind::Exists | TermKind::Incomplete => None,
        TermKind::Time => term.get(..1 + INSTANT_BYTES),
        TermKind::Null | TermKind::Bool | TermKind::Number | TermKind::Text => Some(term),
    }
}

/// Terms of one kind between two limits. A limit has the bytes that follow the kind, or the first
/// of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TermRange {
    pub(crate) kind: TermKind,
    pub(crate) low: Bound<Box<[u8]>>,
    pub(crate) high: Bound<Box<[u8]>>,
}

impl TermRange {
    /// All terms of a kind.
    pub(super) fn all(kind: TermKind) -> Self {
        TermRange { kind, low: Bound::Unbounded, high: Bound::Unbounded }
    }

    /// The terms of a kind between two scalars. Texts are compared with the spelling of a limit
    /// that is a time.
    pub(super) fn between(kind: TermKind, low: Bound<&Scalar<'_>>, high: Bound<&Scalar<'_>>) -> Self {
        let limit = |scalar: &Scalar<'_>| -> Box<[u8]> {
            match (kind, scalar.text()) {
                (TermKind::Text, Some(text)) => {
                    let mut bytes = Vec::with_capacity(text.len() + 2);
                    put_text(&mut bytes, text);
                    bytes.into()
                }
                _ => value_bytes(scalar).1.into(),
            }
        };
        TermRange { kind, low: low.map(limit), high: high.map(limit) }
    }

    /// The texts that begin with a prefix.
    pub(super) fn prefix(prefix: &str) -> Self {
        let mut low = Vec::with_capacity(prefix.len());
        put_escaped(&mut low, prefix);
        let mut high = low.clone();
        // UTF-8 has no byte of 255, so the last one can always be raised.
        let high = match high.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(high.into())
            }
            None => Bound::Unbounded,
        };
        TermRange { kind: TermKind::Text, low: Bound::Included(low.into()), high }
    }

    /// The bytes at which a scan in the order of bytes begins.
    pub(crate) fn start(&self) -> Vec<u8> {
        let low: &[u8] = match &self.low {
            Bound::Included(low) | Bound::Excluded(low) => low,
            Bound::Unbounded => &[],
        };
        [&[self.kind as u8], low].concat()
    }

    /// Whether a term of the range's kind lies within the range.
    pub(crate) fn admits(&self, term: &[u8]) -> bool {
        let value = term.get(1..).unwrap_or_default();
        // A time is compared by its instant, without its spelling.
        let value = if self.kind == TermKind::Time { value.get(..INSTANT_BYTES).unwrap_or(value) } else { value };
        let is_above = match &self.low {
            Bound::Included(low) => value >= low,
            Bound::Excluded(low) => value > low,
            Bound::Unbounded => true,
        };
        is_above && !self.is_passed_by(value)
    }

    /// Whether a term of the range's kind lies beyond the end of the range.
    pub(crate) fn is_passed(&self, term: &[u8]) -> bool {
        let value = term.get(1..).unwrap_or_default();
        let value = if self.kind == TermKind::Time { value.get(..INSTANT_BYTES).unwrap_or(value) } else { value };
        self.is_passed_by(value)
    }

    fn is_passed_by(&self, value: &[u8]) -> bool {
        match &self.high {
            Bound::Included(high) => value > high,
            Bound::Excluded(high) => value >= high,
            Bound::Unbounded => false,
        }
    }

    /// The first and the last ordinal of the range; `None` if it is not of numbers or instants. The
    /// range is empty if the first is greater.
    pub(crate) fn ordinals(&self) -> Option<(u128, u128)> {
        let n_bytes = match self.kind {
            TermKind::Number => NUMBER_BYTES,
            TermKind::Time => INSTANT_BYTES,
            _ => return None,
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0u128, |number, &byte| number << 8 | u128::from(byte));
        let most = (1u128 << (8 * n_bytes)) - 1;
        let low = match &self.low {
            Bound::Included(low) => number(low),
            Bound::Excluded(low) => number(low) + 1,
            Bound::Unbounded => 0,
        };
        Some(match &self.high {
            Bound::Included(high) => (low, number(high)),
            Bound::Excluded(high) => number(high).checked_sub(1).map_or((1, 0), |high| (low, high)),
            Bound::Unbounded => (low, most),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Unchecked;
    use serde_json::json;

    fn term(json: serde_json::Value) -> Term {
        Term::of_value(&Value::from(json)).unwrap()
    }

    #[test]
    fn golden_terms() {
        assert_eq!(Term::exists().bytes(), [0]);
        assert_eq!(Term::incomplete().bytes(), [1]);
        assert_eq!(term(json!(null)).bytes(), [2]);
        assert_eq!(term(json!(true)).bytes(), [3, 1]);
        assert_eq!(term(json!(1)).bytes(), [4, 0xbf, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(term(json!(-2.5)).bytes(), [4, 0x3f, 0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        assert_eq!(term(json!(9_007_199_254_740_993u64)).bytes()[9..], [0, 1]);
        assert_eq!(term(json!("a\0b")).bytes(), b"\x05a\0\x01b\0\0");
        assert_eq!(term(json!("1970-01-01T00:00:01Z")).bytes()[..10], [6, 128, 0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0]);
    }

    #[test]
    fn terms_order_and_equal_as_filters_do() {
        let values = [
            json!(null),
            json!(false),
            json!(true),
            json!(-1e300),
            json!(i64::MIN),
            json!(-1.5),
            json!(-1),
            json!(-0.0),
            json!(0.25),
            json!(1),
            json!(1.0),
            json!(9_007_199_254_740_992u64),
            json!(9_007_199_254_740_993u64),
            json!(u64::MAX - 1),
            json!(u64::MAX),
            json!(18_446_744_073_709_551_616.0),
            json!(1e300),
            json!(""),
            json!("\0"),
            json!("\0a"),
            json!("a"),
            json!("a\0"),
            json!("ab"),
            json!("b"),
            json!("2025-12-31T23:59:59.9Z"),
            json!("2026-01-01T00:00:00Z"),
        ];
        let pairs: Vec<_> = values
            .iter()
            .map(|json| (term(json.clone()), Scalar::operand(Unchecked(json.clone().into())).unwrap()))
            .collect();
        for (a, x) in &pairs {
            for (b, y) in &pairs {
                assert_eq!(a.cmp(b), x.cmp(y), "{x:?} {y:?}");
            }
        }
        let noon = ["2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00"].map(|time| term(json!(time)));
        assert!(noon[0] != noon[1] && ordinal(noon[0].bytes()) == ordinal(noon[1].bytes()));
    }

    #[test]
    fn values_read_back() {
        for json in [
            json!(null),
            json!(true),
            json!(-7),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(9_007_199_254_740_993u64),
            json!(0.1),
            json!(-1e300),
            json!("a\0\u{1}b\0"),
            json!("2026-01-01T12:00:00+01:00"),
        ] {
            let value = Value::from(json);
            assert_eq!(value_of(Term::of_value(&value).unwrap().bytes()), Some(value));
        }
        assert_eq!(value_of(term(json!(1.0)).bytes()), Some(Value::I64(1)));
        for bytes in [&[][..], &[0], &[7], &[3], &[4, 1], &[5, b'a'], &[6, 1, 2], &[5, 0xff, 0, 0]] {
            assert_eq!(value_of(bytes), None, "{bytes:?}");
        }
        assert_eq!(Term::of_value(&Value::from("x".repeat(MAX_INDEXED_BYTES + 1))), None);
    }

    #[test]
    fn ranges_admit_what_lies_between() {
        let texts = ["", "a", "a\0", "ab", "b", "ba", "é"];
        for prefix in texts {
            let range = TermRange::prefix(prefix);
            for text in texts {
                assert_eq!(range.admits(term(json!(text)).bytes()), text.starts_with(prefix), "{prefix:?} {text:?}");
            }
        }
        let scalar = |json: serde_json::Value| Scalar::operand(Unchecked(json.into())).unwrap();
        let (low, high) = (scalar(json!(1)), scalar(json!(3)));
        let range = TermRange::between(TermKind::Number, Bound::Excluded(&low), Bound::Included(&high));
        let (first, last) = range.ordinals().unwrap();
        for (json, within) in [(json!(1), false), (json!(1.5), true), (json!(3), true), (json!(3.5), false)] {
            let term = term(json);
            assert_eq!(range.admits(term.bytes()), within, "{term:?}");
            assert_eq!((first..=last).contains(&ordinal(term.bytes()).unwrap()), within, "{term:?}");
        }
    }
}
