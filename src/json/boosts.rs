//! Boosts of scores, read and written.

use std::time::Duration;

use serde::de::{Deserializer, MapAccess};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value as Json, json};

use super::read::{FieldValue, ObjectFields, Read, Trace, object};
use super::values::WrittenFilter;
use crate::boost::{Boost, BoostKind};
use crate::filter::Filter;

impl Read for Boost {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<BoostFields, _>(from, trace)
    }
}

#[derive(Default)]
struct BoostFields {
    decay: Option<DecayBoost>,
    number: Option<NumberBoost>,
    when: Option<Filter>,
    weight: Option<f32>,
}

impl ObjectFields for BoostFields {
    type Of = Boost;
    const KEYS: &'static [&'static str] = &["decay", "number", "when", "weight"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error> {
        match key {
            "decay" => self.decay = value.read()?,
            "number" => self.number = value.read()?,
            "when" => self.when = value.read()?,
            _ => self.weight = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Boost, String> {
        let boost = match (self.decay, self.number, self.when) {
            (Some(DecayBoost(boost)), None, None) | (None, Some(NumberBoost(boost)), None) => boost,
            (None, None, Some(filter)) => Boost::when(filter),
            (None, None, None) => return Err("expected decay, number or when, got none of them".into()),
            _ => return Err("expected one of decay, number and when, got several".into()),
        };
        Ok(self.weight.map_or(boost.clone(), |weight| boost.weight(weight)))
    }
}

/// Longest half-life, in milliseconds: about as long as a `Duration` can be.
const MOST_MILLIS: f64 = 1.8e22;

/// `{"field": …, "half_life_ms": …, "origin": time}`
struct DecayBoost(Boost);

impl Read for DecayBoost {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<DecayFields, _>(from, trace)
    }
}

#[derive(Default)]
struct DecayFields {
    field: Option<String>,
    half_life_ms: Option<f64>,
    origin: Option<String>,
}

impl ObjectFields for DecayFields {
    type Of = DecayBoost;
    const KEYS: &'static [&'static str] = &["field", "half_life_ms", "origin"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error> {
        match key {
            "field" => self.field = value.read()?,
            "half_life_ms" => self.half_life_ms = value.read()?,
            _ => self.origin = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<DecayBoost, String> {
        let (Some(field), Some(millis)) = (self.field, self.half_life_ms) else {
            return Err("expected field and half_life_ms, got only one of them, or none".into());
        };
        let half_life = Duration::try_from_secs_f64(millis / 1e3);
        let half_life = half_life.map_err(|_| match millis > 0.0 {
            true => format!("expected a half_life_ms of at most {:e}, got {millis:e}", MOST_MILLIS),
            false => format!("expected a half_life_ms of more than 0, got {millis:e}"),
        })?;
        let boost = Boost::decay(field, half_life);
        Ok(DecayBoost(match self.origin {
            Some(origin) => boost.origin(origin),
            None => boost,
        }))
    }
}

/// `{"field": …, "log": true}`
struct NumberBoost(Boost);

impl Read for NumberBoost {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<NumberFields, _>(from, trace)
    }
}

#[derive(Default)]
struct NumberFields {
    field: Option<String>,
    log: Option<bool>,
}

impl ObjectFields for NumberFields {
    type Of = NumberBoost;
    const KEYS: &'static [&'static str] = &["field", "log"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error> {
        match key {
            "field" => self.field = value.read()?,
            _ => self.log = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<NumberBoost, String> {
        let Some(field) = self.field else { return Err("expected a field, got none".into()) };
        let boost = Boost::field(field);
        Ok(NumberBoost(if self.log == Some(true) { boost.log() } else { boost }))
    }
}

impl Serialize for Boost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.kind {
            BoostKind::Decay { path, half_life, origin } => {
                let mut decay = json!({"field": path, "half_life_ms": millis(*half_life)});
                if let Some(origin) = origin {
                    decay["origin"] = json!(origin);
                }
                map.serialize_entry("decay", &decay)?;
            }
            BoostKind::Number { path, is_log: false } => map.serialize_entry("number", &json!({"field": path}))?,
            BoostKind::Number { path, is_log: true } => {
                map.serialize_entry("number", &json!({"field": path, "log": true}))?
            }
            BoostKind::When(filter) => map.serialize_entry("when", &WrittenFilter(filter))?,
        }
        if self.weight != 1.0 {
            map.serialize_entry("weight", &self.weight)?;
        }
        map.end()
    }
}

/// Whole milliseconds as a whole number.
fn millis(duration: Duration) -> Json {
    match u64::try_from(duration.as_millis()) {
        Ok(millis) if duration.subsec_nanos().is_multiple_of(1_000_000) => millis.into(),
        _ => (duration.as_secs_f64() * 1e3).into(),
    }
}
