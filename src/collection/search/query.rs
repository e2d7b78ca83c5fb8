//! Queries: a vector, examples of what is wanted and of what is not, words, or both.
//!
//! This module makes one vector of examples. It does not know how the nearest are found.

use crate::collection::check;
use crate::collection::moment::Moment;
use crate::error::{Error, Result};
use crate::id::{DocId, Slot};
use crate::limits::MAX_EXAMPLES;
use crate::paging::Digest;

/// What to search for: a vector, documents like some examples, words, or both.
#[derive(Debug, Clone)]
pub struct Query {
    pub(crate) positive: Vec<Example>,
    pub(crate) negative: Vec<Example>,
    pub(crate) text: Option<String>,
}

/// A query whose examples are looked up. Its vector and text are not checked yet.
pub(super) struct Resolved {
    /// `None` for a query of words alone.
    pub(in crate::collection) vector: Option<Vec<f32>>,
    pub(in crate::collection) text: Option<String>,
    /// The slots of the examples that are stored documents, in order.
    pub(super) examples: Vec<Slot>,
}

/// An example for [`Query::recommend`]: a vector, or the id of a stored document.
#[derive(Debug, Clone)]
pub struct Example(pub(crate) ExampleSource);

#[derive(Debug, Clone)]
pub(crate) enum ExampleSource {
    Vector(Vec<f32>),
    Document(DocId),
}

impl Query {
    /// Documents like the one with this id, which itself is left out of the hits.
    pub fn like(id: impl Into<DocId>) -> Self {
        Query { positive: vec![Example(ExampleSource::Document(id.into()))], negative: Vec::new(), text: None }
    }

    /// Documents like all of these examples: those nearest to the examples' mean. Where only
    /// directions are compared, each vector counts at unit length. Examples that are stored
    /// documents are left out of the hits. At most 1,024 examples, with those of
    /// [`negative`](Query::negative).
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Query};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new([1.0, 0.0]).id("east"))?;
    /// notes.insert(Document::new([0.0, 1.0]).id("north"))?;
    /// notes.insert(Document::new([1.0, 1.0]).id("northeast"))?;
    /// notes.insert(Document::new([1.0, -1.0]).id("southeast"))?;
    /// let hits = notes.search(Query::recommend(["east", "north"])).limit(1).run()?;
    /// assert_eq!(hits[0].id, "northeast".into());
    /// let hits = notes.search(Query::recommend(["east"]).negative(["north"])).limit(1).run()?;
    /// assert_eq!(hits[0].id, "southeast".into());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn recommend<E: Into<Example>>(positive: impl IntoIterator<Item = E>) -> Self {
        Query { positive: positive.into_iter().map(Into::into).collect(), negative: Vec::new(), text: None }
    }

    /// Moves the query away from these examples (Rocchio, "Relevance feedback in information
    /// retrieval", 1971). The mean `p` of the positive examples is moved to `2·p - n`, where `n` is
    /// the mean of the negative ones. Examples that are stored documents are left out of the hits.
    #[must_use]
    pub fn negative<E: Into<Example>>(mut self, examples: impl IntoIterator<Item = E>) -> Self {
        self.negative.extend(examples.into_iter().map(Into::into));
        self
    }

    /// Documents that have some of these words, those with the best BM25 score first (full-text
    /// search). [`with_text`](Query::with_text) adds words to a vector.
    ///
    /// A phrase `"in quotation marks"` must occur word by word; a text may have up to 8 more stop
    /// words between two of its words. A quotation mark without a counterpart is punctuation, as is
    /// that of `24"`. `beginning*` stands for any word that begins so (prefix search). Where words
    /// have stems, it also stands for any word with the stem of `beginning`. Stop words are left
    /// out if anything else is asked for. Words are taken apart as the collection's are
    /// ([`Analyzer`](crate::Analyzer)). At most 64 KiB.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Query};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new([1.0, 0.0]).id("a").text("The borrow checker is strict."))?;
    /// notes.insert(Document::new([0.0, 1.0]).id("b").text("Strict mothers lend nothing."))?;
    /// let hits = notes.search(Query::text("strict borrow")).run()?;
    /// assert_eq!((hits.len(), &hits[0].id), (2, &"a".into()));
    /// let hits = notes.search(Query::text("\"strict mothers\"")).run()?;
    /// assert_eq!((hits.len(), &hits[0].id), (1, &"b".into()));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn text(text: impl Into<String>) -> Self {
        Query { positive: Vec::new(), negative: Vec::new(), text: Some(text.into()) }
    }

    /// Adds words to the query (hybrid search). The nearest documents and those with the words are
    /// fused into one answer ([`Fusion`](crate::Fusion)).
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Query};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new([1.0, 0.0]).id("near").text("something else"))?;
    /// notes.insert(Document::new([0.9, 0.1]).id("near and named").text("rust"))?;
    /// notes.insert(Document::new([0.0, 1.0]).id("named").text("rust and more"))?;
    /// let hits = notes.search(Query::from([1.0, 0.0]).with_text("rust")).run()?;
    /// assert_eq!(hits[0].id, "near and named".into());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Adds to a digest everything that tells this query from others.
    pub(super) fn add_to(&self, digest: &mut Digest) {
        let Query { positive, negative, text } = self;
        for examples in [positive, negative] {
            digest.add(&(examples.len() as u64).to_le_bytes());
            for Example(source) in examples {
                match source {
                    ExampleSource::Vector(vector) => {
                        digest.add(&vector.iter().flat_map(|component| component.to_le_bytes()).collect::<Vec<u8>>());
                    }
                    ExampleSource::Document(id) => digest.add(format!("{id:?}").as_bytes()),
                }
            }
        }
        digest.add(format!("{text:?}").as_bytes());
    }

    pub(super) fn resolve(self, moment: &Moment, name: &dyn Fn() -> String) -> Result<Resolved> {
        let Query { mut positive, negative, text } = self;
        if positive.is_empty() && negative.is_empty() && text.is_some() {
            return Ok(Resolved { vector: None, text, examples: Vec::new() });
        }
        let n_examples = positive.len().saturating_add(negative.len());
        if n_examples > MAX_EXAMPLES {
            return Err(Error::LimitExceeded { what: "examples of the query", limit: MAX_EXAMPLES, got: n_examples });
        }
        let mut slots = Vec::new();
        let mut vector = |example: Example| match example.0 {
            ExampleSource::Vector(vector) => Ok(vector),
            ExampleSource::Document(id) => {
                check::id(&id)?;
                let slot = moment.find_slot(&id)?;
                let slot = slot.ok_or_else(|| Error::DocumentNotFound { collection: name(), id })?;
                slots.push(slot);
                moment.vector(slot)
            }
        };
        let vector = if positive.len() == 1 && negative.is_empty() {
            vector(positive.swap_remove(0))?
        } else {
            let Some(wanted) = mean(moment, positive, &mut vector, name)? else {
                let reason = "expected at least one example to be like, got none".into();
                return Err(Error::InvalidVector { reason });
            };
            let vector: Vec<f64> = match mean(moment, negative, &mut vector, name)? {
                None => wanted,
                Some(unwanted) => wanted.iter().zip(unwanted).map(|(wanted, other)| 2.0 * wanted - other).collect(),
            };
            vector.into_iter().map(|component| component as f32).collect()
        };
        slots.sort_unstable();
        slots.dedup();
        Ok(Resolved { vector: Some(vector), text, examples: slots })
    }
}

/// The mean of examples' vectors as they are compared; `None` if there are none.
fn mean(
    moment: &Moment,
    examples: Vec<Example>,
    mut vector: impl FnMut(Example) -> Result<Vec<f32>>,
    name: &dyn Fn() -> String,
) -> Result<Option<Vec<f64>>> {
    if examples.is_empty() {
        return Ok(None);
    }
    let share = 1.0 / examples.len() as f64;
    let mut mean = vec![0.0; moment.config().dimension];
    for example in examples {
        let vector = vector(example)?;
        let norm = check::vector(name, moment.config(), &vector)?;
        let vector = moment.comparable_by(vector, norm);
        mean.iter_mut().zip(vector).for_each(|(sum, component)| *sum += share * f64::from(component));
    }
    Ok(Some(mean))
}

/// Implements `From` for [`Example`] and [`Query`], for types of vectors.
macro_rules! from_vectors {
    ($($type:ty $([$n:ident])?),*) => {$(
        impl$(<const $n: usize>)? From<$type> for Example {
            fn from(vector: $type) -> Self {
                Example(ExampleSource::Vector(Vec::from(vector)))
            }
        }

        impl$(<const $n: usize>)? From<$type> for Query {
            fn from(vector: $type) -> Self {
                Query::recommend([vector])
            }
        }
    )*};
}

from_vectors!(Vec<f32>, &[f32], [f32; N][N], &[f32; N][N]);

impl From<&Vec<f32>> for Example {
    fn from(vector: &Vec<f32>) -> Self {
        Example::from(vector.as_slice())
    }
}

impl From<&Vec<f32>> for Query {
    fn from(vector: &Vec<f32>) -> Self {
        Query::from(vector.as_slice())
    }
}

/// Implements `From` for [`Example`], for types of ids.
macro_rules! from_ids {
    ($($type:ty),*) => {$(
        impl From<$type> for Example {
            fn from(id: $type) -> Self {
                Example(ExampleSource::Document(id.into()))
            }
        }
    )*};
}

from_ids!(DocId, &DocId, &str, String, &String, u64, uuid::Uuid);
