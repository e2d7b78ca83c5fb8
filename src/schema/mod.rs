//! Schemas: what metadata a collection admits.
//!
//! Owns declared fields, their JSON and limits, the check of metadata, and whether one schema
//! admits all that another does. Knows nothing of documents, ids, or where a schema is stored.
//!
//! | file | owns |
//! |---|---|
//! | [`rule`] | the declaration of one field |
//! | [`check`] | whether metadata satisfies a schema |
//! | [`widening`] | whether a schema admits all that another does |

pub(crate) mod check;
mod rule;
#[cfg(test)]
mod tests;
mod widening;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::{MAX_METADATA_DEPTH, MAX_PATH_BYTES, MAX_SCHEMA_BYTES, MAX_SCHEMA_FIELDS};

pub use rule::{Choice, FieldRule, Type};

/// Most parts of a declared path: as many as metadata can be deep.
const MAX_PARTS: usize = MAX_METADATA_DEPTH - 1;

/// The metadata that documents of a collection must have. A schema is made with setters or read
/// from JSON.
///
/// ```
/// use serde_json::json;
/// use vectrove::{Schema, Type};
/// # fn main() -> vectrove::Result<()> {
/// let built = Schema::new()
///     .field("kind", Type::String.one_of(["note", "task"]).required())
///     .field("at", Type::Time)
///     .field("tags", Type::String.array())
///     .field("source.url", Type::String)
///     .strict();
/// let read = Schema::from_json(&json!({
///     "fields": {
///         "kind": {"type": "string", "one_of": ["note", "task"], "required": true},
///         "at": {"type": "time"},
///         "tags": {"type": "string", "array": true},
///         "source.url": {"type": "string"},
///     },
///     "strict": true,
/// }))?;
/// assert_eq!(built, read);
/// # Ok(())
/// # }
/// ```
///
/// # Meaning
///
/// - **Paths.** Dots reach into objects, not through arrays. Fields on the way to a declared field
///   must be objects. A key that itself contains dots is the field of that path, as it is for
///   filters.
/// - **Null is missing.** A declared field may be null or missing, but a required one may be
///   neither. An element of an array is never null, except where [`Type::Any`] is declared.
/// - **Below a declared field** other fields may be declared only if it is a [`Type::Object`].
/// - **Strict** schemas refuse a field unless it is declared, leads to a declared one, or lies
///   below one that may be an object. Others admit fields that they do not name.
///
/// A schema has at most 1,024 fields and 1 MiB as JSON. A path has at most 512 bytes and 31 parts,
/// none of them empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Schema {
    /// The declaration of each field, by its path. Default: none.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldRule>,
    /// Whether fields that are not declared are refused. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

impl Schema {
    /// A schema that declares nothing and admits everything.
    pub fn new() -> Self {
        Schema::default()
    }

    /// Declares a field by a [`Type`], or by a [`FieldRule`] made with its setters. Replaces an
    /// earlier declaration of the path.
    #[must_use]
    pub fn field(mut self, path: impl Into<String>, rule: impl Into<FieldRule>) -> Self {
        self.fields.insert(path.into(), rule.into());
        self
    }

    /// Refuses fields that are not declared. Default: they are admitted.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Reads a schema from parsed JSON.
    ///
    /// # Errors
    /// `InvalidConfig` for JSON that is no schema, or exceeds its limits.
    pub fn from_json(json: &serde_json::Value) -> Result<Self> {
        // Serde would take an array for the values of an expected object.
        let fields = json.get("fields").and_then(|fields| fields.as_object());
        let rules = fields.into_iter().flatten().map(|(_, rule)| rule);
        if let Some(other) = std::iter::once(json).chain(rules).find(|json| !json.is_object()) {
            return Err(invalid(format!("expected an object, got {}", shortened(&other.to_string()))));
        }
        let schema = Schema::deserialize(json).map_err(|error| invalid(error.to_string()))?;
        schema.validate()?;
        Ok(schema)
    }

    /// Writes JSON that reads as the same schema.
    pub fn to_json(&self) -> serde_json::Value {
        // This cannot fail: keys are strings, and no value is a number that JSON lacks.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Refuses a schema that is too large, or contradicts itself.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.fields.len() > MAX_SCHEMA_FIELDS {
            return Err(invalid(format!("expected at most {MAX_SCHEMA_FIELDS} fields, got {}", self.fields.len())));
        }
        for (path, rule) in &self.fields {
            check_path(path)?;
            rule.validate().map_err(|reason| invalid(format!("field \"{}\": {reason}", shortened(path))))?;
            if let Some(above) = above(path).find(|above| self.fields.get(*above).is_some_and(|rule| !rule.leads_on()))
            {
                let reason = format!("expected no field below \"{above}\", which is no object, got \"{path}\"");
                return Err(invalid(reason));
            }
        }
        match self.to_string().len() {
            got if got > MAX_SCHEMA_BYTES => {
                Err(invalid(format!("expected at most {MAX_SCHEMA_BYTES} bytes, got {got}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether a path leads to a declared field below it. The path is given with a dot at its end.
    fn leads_on(&self, path_and_dot: &str) -> bool {
        let after = self.fields.range::<str, _>((Bound::Excluded(path_and_dot), Bound::Unbounded));
        after.take(1).any(|(next, _)| next.starts_with(path_and_dot))
    }

    /// Whether a path lies below a declared field that admits whatever is below it.
    fn is_open_above(&self, path: &str) -> bool {
        above(path).any(|above| self.fields.get(above).is_some_and(FieldRule::is_open))
    }
}

impl FromStr for Schema {
    type Err = Error;

    /// Reads a schema from JSON text.
    fn from_str(text: &str) -> Result<Self> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(invalid(format!("expected at most {MAX_SCHEMA_BYTES} bytes, got {}", text.len())));
        }
        let json = serde_json::from_str(text).map_err(|error| invalid(format!("expected JSON, got {error}")))?;
        Schema::from_json(&json)
    }
}

impl fmt::Display for Schema {
    /// Writes JSON on one line, cut to the precision if one is given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

fn invalid(reason: String) -> Error {
    Error::InvalidConfig { field: "schema", reason }
}

fn check_path(path: &str) -> Result<()> {
    let n_parts = path.split('.').take(MAX_PARTS + 1).count();
    let reason = if !(1..=MAX_PATH_BYTES).contains(&path.len()) {
        format!("expected a path of 1 to {MAX_PATH_BYTES} bytes, got {}", path.len())
    } else if n_parts > MAX_PARTS {
        format!("expected a path of at most {MAX_PARTS} parts, got \"{}\"", shortened(path))
    } else if path.split('.').any(str::is_empty) {
        format!("expected a path without empty parts, got \"{}\"", shortened(path))
    } else {
        return Ok(());
    };
    Err(invalid(reason))
}

/// The paths above a path, the uppermost first; at most `MAX_PARTS`.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').map(|(dot, _)| &path[..dot]).take(MAX_PARTS)
}

/// The first 60 characters of a text, for messages.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
