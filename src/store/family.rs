//! The column families of a collection, as a table of data.

use std::sync::Arc;

use super::format::key;
use super::rocks::{Family, Rocks, RowShape};
use super::{Result, storage};
use crate::id::CollectionId;

/// The families of one collection. `graph` belongs to the vector index, and is empty without one.
pub(crate) struct Families {
    pub(crate) vectors: Family,
    pub(crate) documents: Family,
    pub(crate) graph: Family,
    pub(crate) postings: Family,
}

/// Name and shape of each family, in the order of the fields above.
const TABLE: [(&str, RowShape); 4] = [
    ("vectors", RowShape::Vectors),
    ("documents", RowShape::Rows),
    ("graph", RowShape::Rows),
    ("postings", RowShape::Rows),
];

impl Families {
    /// The shape of a family, by its full name.
    pub(super) fn shape_of(name: &str) -> RowShape {
        let kind = name.split_once('.').map_or("", |(_, kind)| kind);
        TABLE.iter().find(|(known, _)| *known == kind).map_or(RowShape::Rows, |(_, shape)| *shape)
    }

    /// The full name and shape of each family of a collection.
    pub(super) fn table(collection: CollectionId) -> impl Iterator<Item = (String, RowShape)> {
        TABLE.iter().map(move |(kind, shape)| (key::family_name(collection, kind), *shape))
    }

    /// Takes the next four handles, which are in the order of the table.
    pub(super) fn collect(handles: &mut impl Iterator<Item = Family>) -> Option<Self> {
        Some(Families {
            vectors: handles.next()?,
            documents: handles.next()?,
            graph: handles.next()?,
            postings: handles.next()?,
        })
    }

    /// Creates a collection's families: one call for each shape.
    pub(super) fn create(rocks: &Arc<Rocks>, collection: CollectionId) -> Result<Self> {
        let create = |shape: RowShape| {
            let names: Vec<_> = Self::table(collection).filter(|(_, s)| *s == shape).map(|(name, _)| name).collect();
            rocks.create_families(&names, shape).map_err(storage("creating a collection's families"))
        };
        let vectors = create(RowShape::Vectors)?;
        let rows = create(RowShape::Rows).inspect_err(|_| {
            for family in &vectors {
                if let Err(fault) = rocks.drop_family(family) {
                    tracing::warn!("the next open drops a family of a collection that could not be created: {fault}");
                }
            }
        })?;
        let mut handles = vectors.into_iter().chain(rows);
        // Four were asked for, and `create_families` fails unless all were made.
        Ok(Self::collect(&mut handles).expect("one handle for each family"))
    }

    pub(crate) fn all(&self) -> [&Family; 4] {
        [&self.vectors, &self.documents, &self.graph, &self.postings]
    }
}
