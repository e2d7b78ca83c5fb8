//! Search parameters that are objects of their own, read and written.

use serde::Serialize;
use serde::de::{Deserializer, MapAccess};
use serde::ser::{SerializeMap, Serializer};

use super::read::{FieldValue, ObjectFields, Read, Trace, object};
use crate::params::{FusedBy, Fusion, GroupBy, Mmr};

/// Names of the two ways of fusing, and whether they take a `k`.
const BY: [(&str, bool); 2] = [("rrf", true), ("scores", false)];

impl Read for Mmr {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<MmrFields, _>(from, trace)
    }
}

#[derive(Default)]
struct MmrFields {
    lambda: Option<f32>,
    candidates: Option<usize>,
}

impl ObjectFields for MmrFields {
    type Of = Mmr;
    const KEYS: &'static [&'static str] = &["lambda", "candidates"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error> {
        match key {
            "lambda" => self.lambda = value.read()?,
            _ => self.candidates = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Mmr, String> {
        match (self.lambda, self.candidates) {
            (Some(lambda), Some(candidates)) => Ok(Mmr::new(lambda, candidates)),
            _ => Err("expected lambda and candidates, got only one of them, or none".into()),
        }
    }
}

impl Serialize for Mmr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("lambda", &self.lambda)?;
        map.serialize_entry("candidates", &self.candidates)?;
        map.end()
    }
}

impl Read for GroupBy {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<GroupByFields, _>(from, trace)
    }
}

#[derive(Default)]
struct GroupByFields {
    field: Option<String>,
    per_group: Option<usize>,
}

impl ObjectFields for GroupByFields {
    type Of = GroupBy;
    const KEYS: &'static [&'static str] = &["field", "per_group"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error> {
        match key {
            "field" => self.field = value.read()?,
            _ => self.per_group = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<GroupBy, String> {
        let Some(field) = self.field else { return Err("expected a field, got none".into()) };
        Ok(GroupBy::new(field, self.per_group.unwrap_or(1)))
    }
}

impl Serialize for GroupBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("field", &self.field)?;
        map.serialize_entry("per_group", &self.per_group)?;
        map.end()
    }
}

impl Read for Fusion {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<FusionFields, _>(from, trace)
    }
}

#[derive(Default)]
struct FusionFields {
    by_rrf: Option<bool>,
    k: Option<f32>,
    vector_weight: Option<f32>,
    text_weight: Option<f32>,
    candidates: Option<usize>,
}

impl ObjectFields for FusionFields {
    type Of = Fusion;
    const KEYS: &'static [&'static str] = &["by", "k", "vector_weight", "text_weight", "candidates"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error> {
        match key {
            "by" => self.by_rrf = value.choose(&BY)?,
            "k" => self.k = value.read()?,
            "vector_weight" => self.vector_weight = value.read()?,
            "text_weight" => self.text_weight = value.read()?,
            _ => self.candidates = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Fusion, String> {
        let mut fusion = match (self.by_rrf, self.k) {
            (Some(false), None) => Fusion::scores(),
            (Some(false), Some(_)) => return Err("expected k with rrf alone, got it with scores".into()),
            (_, Some(k)) => Fusion::rrf().k(k),
            (_, None) => Fusion::rrf(),
        };
        fusion.vector_weight = self.vector_weight.unwrap_or(fusion.vector_weight);
        fusion.text_weight = self.text_weight.unwrap_or(fusion.text_weight);
        fusion.candidates = self.candidates;
        Ok(fusion)
    }
}

impl Serialize for Fusion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Fusion { by, vector_weight, text_weight, candidates } = self;
        let mut map = serializer.serialize_map(None)?;
        match by {
            FusedBy::Rrf { k } => {
                map.serialize_entry("by", "rrf")?;
                map.serialize_entry("k", k)?;
            }
            FusedBy::Scores => map.serialize_entry("by", "scores")?,
        }
        map.serialize_entry("vector_weight", vector_weight)?;
        map.serialize_entry("text_weight", text_weight)?;
        if let Some(candidates) = candidates {
            map.serialize_entry("candidates", candidates)?;
        }
        map.end()
    }
}
