//! Whether metadata satisfies a schema, and where it first does not.
//!
//! One pass visits the fields that exist, another looks for required ones. Neither goes deeper than
//! metadata may be.

use std::collections::BTreeMap;

use super::rule::shown;
use super::{Schema, shortened};
use crate::error::{Error, Violation};
use crate::id::DocId;
use crate::value::Value;

/// The first place where metadata does not satisfy a schema.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SchemaFault {
    pub(crate) field: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

impl Schema {
    /// Refuses metadata that does not satisfy the schema.
    pub(crate) fn check(&self, metadata: &Value) -> Result<(), SchemaFault> {
        let Value::Object(object) = metadata else { return Ok(()) };
        Walk { schema: self, path: String::new() }.object(object)?;
        let mut required = self.fields.iter().filter(|(_, rule)| rule.required);
        match required.find(|(path, _)| find(object, path).is_none_or(Value::is_null)) {
            Some((path, rule)) => {
                let got = find(object, path).map_or_else(|| "nothing".to_owned(), shown);
                Err(SchemaFault { field: shortened(path), expected: rule.expected(), got })
            }
            None => Ok(()),
        }
    }
}

/// A walk over metadata.
struct Walk<'s> {
    schema: &'s Schema,
    /// The path of the current place; ends with a dot between two parts.
    path: String,
}

impl Walk<'_> {
    fn object(&mut self, object: &BTreeMap<String, Value>) -> Result<(), SchemaFault> {
        let above = self.path.len();
        for (key, value) in object {
            self.path.push_str(key);
            self.value(value)?;
            self.path.truncate(above);
        }
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), SchemaFault> {
        let rule = self.schema.fields.get(&self.path);
        if let Some(rule) = rule
            && let Some(got) = rule.refused(value)
        {
            return Err(SchemaFault { field: shortened(&self.path), expected: rule.expected(), got });
        }
        self.path.push('.');
        if self.schema.leads_on(&self.path) {
            return match value {
                Value::Object(inner) => self.object(inner),
                Value::Null => Ok(()),
                other => Err(self.fault("an object", other)),
            };
        }
        let is_known = rule.is_some() || !self.schema.strict || self.schema.is_open_above(&self.path);
        if is_known { Ok(()) } else { Err(self.fault("no undeclared field", value)) }
    }

    /// The fault of a value, after whose path a dot has been written.
    fn fault(&self, expected: &str, got: &Value) -> SchemaFault {
        let path = self.path.strip_suffix('.').unwrap_or(&self.path);
        SchemaFault { field: shortened(path), expected: expected.to_owned(), got: shown(got) }
    }
}

/// The value at a path through objects alone, as filters find it.
fn find<'v>(mut object: &'v BTreeMap<String, Value>, mut path: &str) -> Option<&'v Value> {
    loop {
        if let Some(value) = object.get(path) {
            return Some(value);
        }
        let (key, rest) = path.split_once('.')?;
        (object, path) = (object.get(key)?.as_object()?, rest);
    }
}

impl SchemaFault {
    /// The error for the document that has this fault.
    pub(crate) fn of(self, collection: String, namespace: &str, id: DocId) -> Error {
        let SchemaFault { field, expected, got } = self;
        let namespace = namespace.to_owned();
        Error::SchemaViolation(Box::new(Violation { collection, namespace, id, field, expected, got }))
    }
}
