//! Boosts: terms added to the score of a hit. A boost rates the age of a document, a number in its
//! metadata, or whether it matches a filter.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::filter::extract::{first_instant, first_number};
use crate::filter::{Filter, instant};
use crate::limits::MAX_PATH_BYTES;
use crate::value::Value;

/// A term `weight · value` that is added to the score of each hit. Set by
/// [`Search::boost`](crate::Search::boost).
///
/// ```
/// use std::time::Duration;
/// use vectrove::{Boost, field};
/// let newer = Boost::decay("at", Duration::from_secs(7 * 24 * 3600)).weight(0.2);
/// let popular = Boost::field("stars").log().weight(0.01);
/// let pinned = Boost::when(field("pinned").eq(true)).weight(1.0);
/// ```
#[derive(Debug, Clone)]
pub struct Boost {
    pub(crate) kind: BoostKind,
    pub(crate) weight: f32,
}

#[derive(Debug, Clone)]
pub(crate) enum BoostKind {
    Decay { path: String, half_life: Duration, origin: Option<String> },
    Number { path: String, is_log: bool },
    When(Filter),
}

impl Boost {
    /// Exponential decay: `0.5^(age / half_life)`, where `age` is the distance in time, before or
    /// after, between now and the time in a metadata field. The value is 1 at age 0, ½ after one
    /// half-life and ¼ after two. A document without a time in the field, as [filters](Filter) read
    /// times, gets 0.
    #[must_use]
    pub fn decay(path: impl Into<String>, half_life: Duration) -> Self {
        Boost { kind: BoostKind::Decay { path: path.into(), half_life, origin: None }, weight: 1.0 }
    }

    /// The number in a metadata field; 0 for a document without one.
    #[must_use]
    pub fn field(path: impl Into<String>) -> Self {
        Boost { kind: BoostKind::Number { path: path.into(), is_log: false }, weight: 1.0 }
    }

    /// 1 for documents that match a filter, 0 for others.
    #[must_use]
    pub fn when(filter: Filter) -> Self {
        Boost { kind: BoostKind::When(filter), weight: 1.0 }
    }

    /// The factor of the value. A negative weight lowers scores. Default: 1.
    #[must_use]
    pub fn weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }

    /// For a decay: the RFC 3339 time that age is counted from. Default: now.
    #[must_use]
    pub fn origin(mut self, time: impl Into<String>) -> Self {
        if let BoostKind::Decay { origin, .. } = &mut self.kind {
            *origin = Some(time.into());
        }
        self
    }

    /// For a number `x`: uses `ln(1 + x)` instead of `x`, and 0 for a negative `x`.
    #[must_use]
    pub fn log(mut self) -> Self {
        if let BoostKind::Number { is_log, .. } = &mut self.kind {
            *is_log = true;
        }
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::InvalidConfig { field: "boost", reason });
        if !self.weight.is_finite() {
            return refuse(format!("expected a finite weight, got {}", self.weight));
        }
        match &self.kind {
            BoostKind::Decay { path, .. } | BoostKind::Number { path, .. }
                if !(1..=MAX_PATH_BYTES).contains(&path.len()) =>
            {
                refuse(format!("expected a path of 1 to {MAX_PATH_BYTES} bytes, got {}", path.len()))
            }
            BoostKind::Decay { half_life, .. } if half_life.is_zero() => {
                refuse("expected a half-life of more than 0, got 0".into())
            }
            BoostKind::Decay { origin: Some(origin), .. } if instant(origin).is_none() => {
                let shown: String = origin.chars().take(60).collect();
                refuse(format!("expected an RFC 3339 time as origin, got {shown:?}"))
            }
            BoostKind::When(filter) => filter.check(),
            BoostKind::Decay { .. } | BoostKind::Number { .. } => Ok(()),
        }
    }

    /// The most that the boost can add to a score; `None` where a metadata number sets no bound.
    pub(crate) fn most(&self) -> Option<f64> {
        match self.kind {
            BoostKind::Decay { .. } | BoostKind::When(_) => Some(f64::from(self.weight).max(0.0)),
            BoostKind::Number { .. } => None,
        }
    }

    /// The addition to the score of a document with this metadata. `now`, in nanoseconds since
    /// 1970, is the origin of a decay that has none of its own; `matches` tests a filter against
    /// the document.
    pub(crate) fn of(&self, metadata: &Value, now: i128, matches: &dyn Fn(&Filter) -> bool) -> f64 {
        let value = match &self.kind {
            BoostKind::Decay { path, half_life, origin } => {
                let origin = origin.as_deref().and_then(instant).unwrap_or(now);
                first_instant(metadata, path).map_or(0.0, |at| {
                    let halves = (at - origin).unsigned_abs() as f64 / half_life.as_nanos() as f64;
                    0.5f64.powf(halves)
                })
            }
            BoostKind::Number { path, is_log } => {
                let number = first_number(metadata, path).unwrap_or(0.0);
                if *is_log { number.max(0.0).ln_1p() } else { number }
            }
            BoostKind::When(filter) => f64::from(u8::from(matches(filter))),
        };
        f64::from(self.weight) * value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::filter::field;
    use serde_json::json;

    fn of(boost: &Boost, metadata: serde_json::Value) -> f64 {
        boost.validate().unwrap();
        let metadata = Value::from(metadata);
        boost.of(&metadata, Clock::default().now_ns(), &|filter| filter.matches(&metadata))
    }

    #[test]
    fn values_are_what_they_are_said_to_be() {
        let day = Duration::from_secs(86_400);
        let decay = Boost::decay("at", day).origin("2026-01-10T00:00:00Z").weight(2.0);
        for (at, expected) in [
            (json!("2026-01-10T01:00:00+01:00"), 2.0),
            (json!("2026-01-09T00:00:00Z"), 1.0),
            (json!("2026-01-12T00:00:00Z"), 0.5),
            (json!("0001-01-01T00:00:00Z"), 0.0),
            (json!("yesterday"), 0.0),
            (json!(7), 0.0),
            (json!(["x", "2026-01-09T00:00:00Z"]), 1.0),
        ] {
            assert!((of(&decay, json!({ "at": at })) - expected).abs() < 1e-9, "{at}");
        }
        assert!(of(&Boost::decay("at", day), json!({"at": "2020-01-01T00:00:00Z"})) < 1e-9);
        assert_eq!(of(&Boost::field("a.n").weight(-0.5), json!({"a": {"n": 3}})), -1.5);
        assert_eq!(of(&Boost::field("n").log(), json!({"n": -3})), 0.0);
        assert!((of(&Boost::field("n").log(), json!({"n": 1.0})) - 2.0f64.ln()).abs() < 1e-12);
        assert_eq!(of(&Boost::field("n"), json!({"n": "3"})), 0.0);
        assert_eq!(of(&Boost::when(field("n").gt(2)).weight(4.0), json!({"n": 3})), 4.0);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for boost in [
            Boost::field("n").weight(f32::NAN),
            Boost::field("n").weight(f32::INFINITY),
            Boost::field(""),
            Boost::decay("x".repeat(600), Duration::from_secs(1)),
            Boost::decay("at", Duration::ZERO),
            Boost::decay("at", Duration::from_secs(1)).origin("tomorrow"),
            Boost::when(field("").eq(1)),
        ] {
            assert!(boost.validate().is_err(), "{boost:?}");
        }
    }
}
