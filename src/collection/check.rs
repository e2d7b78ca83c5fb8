//! Input checks: everything a caller hands in is checked here, before anything is read or locked.

use super::memory::Comparable;
use super::open::OpenCollection;
use crate::config::CollectionConfig;
use crate::distance::{self, Metric};
use crate::document::{Document, MetadataChange, Update};
use crate::error::{Error, Result};
use crate::id::{DocId, NamespaceId};
use crate::limits::{
    MAX_ID_BYTES, MAX_NAME_BYTES, MAX_NAMESPACE_BYTES, MAX_NORM, MAX_PATH_BYTES, MAX_TEXT_BYTES, MIN_LENGTH, MIN_NORM,
};
use crate::text::counts::WordCounts;
use crate::value::Value;

/// A document that may be stored.
#[derive(Debug)]
pub(crate) struct CheckedDocument {
    pub(crate) id: DocId,
    pub(crate) vector: CheckedVector,
    pub(crate) metadata: Value,
    pub(crate) text: Option<String>,
    /// The words of text and metadata, as they are indexed.
    pub(crate) words: WordCounts,
}

/// A vector that may be stored, made ready to be compared.
#[derive(Debug)]
pub(crate) struct CheckedVector {
    pub(crate) vector: Vec<f32>,
    pub(crate) norm: f64,
    pub(crate) comparable: Comparable,
}

/// An update that may be applied. Its metadata steps are checked; planning checks their result.
#[derive(Debug)]
pub(crate) struct CheckedUpdate {
    pub(crate) id: DocId,
    pub(crate) vector: Option<CheckedVector>,
    pub(crate) metadata: Vec<MetadataStep>,
    pub(crate) text: Option<Option<String>>,
}

/// One step of changing metadata.
#[derive(Debug)]
pub(crate) enum MetadataStep {
    Merge(Value),
    Replace(Value),
    Remove(Vec<String>),
}

/// Checks a document for a namespace, which may have no number yet.
pub(crate) fn document(
    collection: impl Fn() -> String,
    open: &OpenCollection,
    namespace: NamespaceId,
    document: Document,
) -> Result<CheckedDocument> {
    let Document { id, vector, metadata, text } = document;
    if let Some(id) = &id {
        self::id(id)?;
    }
    let norm = self::vector(&collection, &open.config, &vector)?;
    let metadata = metadata.into_metadata()?;
    check_text(text.as_deref())?;
    let vector = CheckedVector { norm, comparable: open.prepare(namespace, &vector, norm), vector };
    let words = open.indexes.words.count(text.as_deref(), &metadata);
    let id = id.unwrap_or_else(|| DocId::Uuid(open.store.options().clock.new_id()));
    Ok(CheckedDocument { id, vector, metadata, text, words })
}

/// Checks an update for a namespace, which may have no number yet.
pub(crate) fn update(
    collection: impl Fn() -> String,
    open: &OpenCollection,
    namespace: NamespaceId,
    update: Update,
) -> Result<CheckedUpdate> {
    let Update { id, vector, metadata, text } = update;
    self::id(&id)?;
    let vector = vector.map(|vector| -> Result<CheckedVector> {
        let norm = self::vector(&collection, &open.config, &vector)?;
        Ok(CheckedVector { norm, comparable: open.prepare(namespace, &vector, norm), vector })
    });
    let vector = vector.transpose()?;
    check_text(text.as_ref().and_then(|text| text.as_deref()))?;
    let metadata = metadata.into_iter().map(|change| {
        Ok(match change {
            MetadataChange::Merge(value) => MetadataStep::Merge(value.into_metadata()?),
            MetadataChange::Replace(value) => MetadataStep::Replace(value.into_metadata()?),
            MetadataChange::Remove(keys) => MetadataStep::Remove(keys),
        })
    });
    Ok(CheckedUpdate { id, vector, metadata: metadata.collect::<Result<_>>()?, text })
}

/// Refuses an empty or overlong id.
pub(crate) fn id(id: &DocId) -> Result<()> {
    let reason = match id {
        DocId::Str(text) if text.is_empty() => "an id may not be empty".to_owned(),
        DocId::Str(text) if text.len() > MAX_ID_BYTES => {
            format!("expected at most {MAX_ID_BYTES} bytes, got {}", text.len())
        }
        DocId::U64(_) | DocId::Uuid(_) | DocId::Str(_) => return Ok(()),
    };
    Err(Error::InvalidId { reason })
}

/// Refuses a vector, stored or query, that the collection cannot compare. Returns its norm
/// (Euclidean length).
pub(crate) fn vector(collection: impl Fn() -> String, config: &CollectionConfig, vector: &[f32]) -> Result<f64> {
    if vector.len() != config.dimension {
        let (collection, expected, got) = (collection(), config.dimension, vector.len());
        return Err(Error::DimensionMismatch { collection, expected, got });
    }
    let norm = distance::norm(vector);
    let is_squared = config.distance.is_none() && matches!(config.metric, Metric::Dot | Metric::Euclidean);
    let is_long_enough = match config.compares_directions() {
        true => norm >= MIN_NORM,
        false => norm >= MIN_LENGTH || norm == 0.0 || !is_squared,
    };
    if norm <= MAX_NORM && is_long_enough {
        return Ok(norm);
    }
    Err(Error::InvalidVector { reason: vector_fault(vector, norm, config.compares_directions()) })
}

fn vector_fault(vector: &[f32], norm: f64, only_direction_counts: bool) -> String {
    if let Some(position) = vector.iter().position(|component| !component.is_finite()) {
        format!("expected finite components, got {} at position {position}", vector[position])
    } else if norm > MAX_NORM {
        format!("expected a length of at most {MAX_NORM:e}, got {norm:e}")
    } else if !only_direction_counts {
        format!(
            "expected a length of 0 or of at least {MIN_LENGTH:e}, because squares of smaller ones vanish, got {norm:e}"
        )
    } else {
        format!("expected a length of at least {MIN_NORM:e}, because only its direction counts, got {norm:e}")
    }
}

fn check_text(text: Option<&str>) -> Result<()> {
    match text.map_or(0, str::len) {
        got if got > MAX_TEXT_BYTES => Err(Error::LimitExceeded { what: "text in bytes", limit: MAX_TEXT_BYTES, got }),
        _ => Ok(()),
    }
}

/// Refuses a collection's name that is not 1 to 128 ASCII letters, digits, `_` and `-`, or begins
/// with `-`.
pub(crate) fn collection_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let reason = if name.is_empty() || name.len() > MAX_NAME_BYTES {
        format!("expected 1 to {MAX_NAME_BYTES} bytes, got {}", name.len())
    } else if name.starts_with('-') {
        "a name may not begin with a hyphen".to_owned()
    } else if let Some(other) = name.chars().find(|c| !c.is_ascii() || !allowed(*c as u8)) {
        format!("expected letters, digits, underscores and hyphens, got {other:?}")
    } else {
        return Ok(());
    };
    Err(invalid_name(name, reason))
}

/// Refuses an empty or overlong namespace name; any other text is fine.
pub(crate) fn namespace_name(name: &str) -> Result<()> {
    if (1..=MAX_NAMESPACE_BYTES).contains(&name.len()) {
        return Ok(());
    }
    Err(invalid_name(name, format!("expected 1 to {MAX_NAMESPACE_BYTES} bytes, got {}", name.len())))
}

/// Refuses a metadata path that is empty or longer than [`MAX_PATH_BYTES`]: no filter can name it.
pub(crate) fn path(path: &str) -> Result<()> {
    if (1..=MAX_PATH_BYTES).contains(&path.len()) {
        return Ok(());
    }
    let reason = format!("expected a path of 1 to {MAX_PATH_BYTES} bytes, got {}", path.len());
    Err(Error::InvalidConfig { field: "path", reason })
}

fn invalid_name(name: &str, reason: String) -> Error {
    Error::InvalidName { name: name.chars().take(80).collect(), reason }
}

/// Applies steps in order, and checks the result as a whole: merging can make metadata too large.
pub(crate) fn change_metadata(metadata: &mut Value, steps: Vec<MetadataStep>) -> Result<()> {
    for step in steps {
        match step {
            MetadataStep::Replace(value) => *metadata = value,
            MetadataStep::Merge(Value::Object(new)) => {
                if let Value::Object(map) = metadata {
                    map.extend(new);
                }
            }
            MetadataStep::Remove(keys) => {
                if let Value::Object(map) = metadata {
                    keys.iter().for_each(|key| drop(map.remove(key)));
                }
            }
            MetadataStep::Merge(_) => {}
        }
    }
    metadata.check_metadata()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_that_have_no_distance_are_refused() {
        let refused = |metric, components: &[f32]| {
            let config = CollectionConfig::new(2).metric(metric);
            vector(|| "c".to_owned(), &config, components).map_err(|error| error.to_string()).err()
        };
        for metric in Metric::ALL {
            for (components, reason) in [
                (&[1.0][..], "expects 2, got 1"),
                (&[], "expects 2, got 0"),
                (&[1.0, f32::NAN], "NaN at position 1"),
                (&[f32::INFINITY, 1.0], "inf at position 0"),
                (&[f32::MAX, f32::MAX], "length of at most"),
            ] {
                let message = refused(metric, components).unwrap_or_default();
                assert!(message.contains(reason), "{metric} {components:?}: {message}");
            }
            assert_eq!(refused(metric, &[-0.0, 1.1e-12]), None, "{metric}");
        }
        for tiny in [[0.0, -0.0], [1e-45, 0.0], [1e-13, 1e-31]] {
            let is_refused = Metric::ALL.map(|metric| refused(metric, &tiny).is_some());
            let is_zero = tiny[0] == 0.0;
            assert_eq!(is_refused, [tiny[0] < 1e-30, !is_zero, !is_zero, false], "{tiny:?}");
        }
    }

    #[test]
    fn empty_and_overlong_ids_are_refused() {
        assert!(id(&DocId::from("")).is_err());
        assert!(id(&DocId::from("x".repeat(512))).is_ok());
        assert!(id(&DocId::from("x".repeat(513))).is_err());
    }

    #[test]
    fn names_never_look_like_paths_or_options() {
        for name in ["a", "A-b_9", &"x".repeat(128)] {
            assert!(collection_name(name).is_ok(), "{name}");
        }
        for name in ["", "-a", ".", "..", "../x", "a/b", "a\\b", "C:", "a b", "a\0", "é", "%2e", &"x".repeat(129)] {
            assert!(collection_name(name).is_err(), "{name:?}");
        }
        assert!(namespace_name("agent 7/session ü").is_ok());
        assert!(namespace_name("").is_err() && namespace_name(&"x".repeat(257)).is_err());
    }
}
