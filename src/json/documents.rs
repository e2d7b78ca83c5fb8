//! Documents and updates, read and written.

use serde::de::{Deserializer, MapAccess};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::FromJson;
use super::read::{FieldValue, ObjectFields, Read, Trace, Vector, object};
use super::values::{Metadata, Written};
use crate::document::{Document, MetadataChange, Update};
use crate::id::DocId;
use crate::value::Value;

impl FromJson for Document {
    const NAME: &'static str = "document";
}

impl Read for Document {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<DocumentFields, _>(from, trace)
    }
}

#[derive(Default)]
struct DocumentFields {
    id: Option<DocId>,
    vector: Option<Vector>,
    metadata: Option<Metadata>,
    text: Option<String>,
}

impl ObjectFields for DocumentFields {
    type Of = Document;
    const KEYS: &'static [&'static str] = &["id", "vector", "metadata", "text"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error> {
        match key {
            "id" => self.id = value.read()?,
            "vector" => self.vector = value.read()?,
            "metadata" => self.metadata = value.read()?,
            _ => self.text = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Document, String> {
        let Some(Vector(vector)) = self.vector else { return Err("expected a vector, got none".into()) };
        let mut document = Document::new(vector);
        document.id = self.id;
        document.text = self.text;
        Ok(match self.metadata {
            Some(Metadata(metadata)) => document.metadata(metadata),
            None => document,
        })
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { id, vector, metadata, text } = self;
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = id {
            map.serialize_entry("id", id)?;
        }
        map.serialize_entry("vector", vector)?;
        if !matches!(&metadata.0, Value::Null) && metadata.0 != Value::object() {
            map.serialize_entry("metadata", &Written(&metadata.0))?;
        }
        if let Some(text) = text {
            map.serialize_entry("text", text)?;
        }
        map.end()
    }
}

impl FromJson for Update {
    const NAME: &'static str = "update";
}

impl Read for Update {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<UpdateFields, _>(from, trace)
    }
}

#[derive(Default)]
struct UpdateFields {
    id: Option<DocId>,
    vector: Option<Vector>,
    metadata: Vec<UpdateStep>,
    text: Option<String>,
    remove_text: bool,
}

impl ObjectFields for UpdateFields {
    type Of = Update;
    const KEYS: &'static [&'static str] = &["id", "vector", "metadata", "text", "remove_text"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error> {
        match key {
            "id" => self.id = value.read()?,
            "vector" => self.vector = value.read()?,
            "metadata" => self.metadata = value.read::<Option<_>>()?.unwrap_or_default(),
            "text" => self.text = value.read()?,
            _ => self.remove_text = value.read::<Option<_>>()?.unwrap_or_default(),
        }
        Ok(())
    }

    fn finish(self) -> Result<Update, String> {
        let Some(id) = self.id else { return Err("expected an id, got none".into()) };
        if self.text.is_some() && self.remove_text {
            return Err("expected text or remove_text, got both".into());
        }
        let mut update = Update::new(id);
        update.vector = self.vector.map(|Vector(vector)| vector);
        update.text = if self.remove_text { Some(None) } else { self.text.map(Some) };
        Ok(self.metadata.into_iter().fold(update, |update, step| match step {
            UpdateStep::Merge(metadata) => update.merge(metadata),
            UpdateStep::Replace(metadata) => update.replace(metadata),
            UpdateStep::Remove(keys) => update.remove(keys),
        }))
    }
}

/// One step of a metadata change.
enum UpdateStep {
    Merge(Value),
    Replace(Value),
    Remove(Vec<String>),
}

impl Read for UpdateStep {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        object::<StepFields, _>(from, trace)
    }
}

#[derive(Default)]
struct StepFields {
    merge: Option<Metadata>,
    replace: Option<Metadata>,
    remove: Option<Vec<String>>,
}

impl ObjectFields for StepFields {
    type Of = UpdateStep;
    const KEYS: &'static [&'static str] = &["merge", "replace", "remove"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> Result<(), A::Error> {
        match key {
            "merge" => self.merge = value.read()?,
            "replace" => self.replace = value.read()?,
            _ => self.remove = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<UpdateStep, String> {
        match (self.merge, self.replace, self.remove) {
            (Some(Metadata(metadata)), None, None) => Ok(UpdateStep::Merge(metadata)),
            (None, Some(Metadata(metadata)), None) => Ok(UpdateStep::Replace(metadata)),
            (None, None, Some(keys)) => Ok(UpdateStep::Remove(keys)),
            (None, None, None) => Err("expected merge, replace or remove, got none of them".into()),
            _ => Err("expected one of merge, replace and remove, got several".into()),
        }
    }
}

impl Serialize for Update {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Update { id, vector, metadata, text } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", id)?;
        if let Some(vector) = vector {
            map.serialize_entry("vector", vector)?;
        }
        if !metadata.is_empty() {
            map.serialize_entry("metadata", metadata)?;
        }
        match text {
            Some(Some(text)) => map.serialize_entry("text", text)?,
            Some(None) => map.serialize_entry("remove_text", &true)?,
            None => {}
        }
        map.end()
    }
}

impl Serialize for MetadataChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            MetadataChange::Merge(metadata) => map.serialize_entry("merge", &Written(&metadata.0))?,
            MetadataChange::Replace(metadata) => map.serialize_entry("replace", &Written(&metadata.0))?,
            MetadataChange::Remove(keys) => map.serialize_entry("remove", keys)?,
        }
        map.end()
    }
}
