//! Figures of one namespace.

use serde::Serialize;

use crate::collection::handle::Namespace;
use crate::collection::moment::Listing;
use crate::error::Result;

/// Figures of a namespace, taken at one time. [`CollectionStats`](crate::CollectionStats) has those
/// of its collection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NamespaceStats {
    /// Documents in the namespace.
    pub n_documents: usize,
    /// Whether the namespace has links of its own, which searches walk. In one without, they
    /// compare all documents.
    pub is_linked: bool,
    /// How far codes can be trusted: of the 10 nearest to sample queries, the share that codes
    /// leave among what a default search compares exactly, 0 to 1. `None` before it is measured,
    /// and where there are no codes. Namespaces without links are measured together.
    pub code_recall: Option<f32>,
    /// Of the 10 nearest as in `code_recall`, the share that a default search finds, 0 to 1.
    pub sampled_recall: Option<f32>,
    /// Documents when `code_recall` was measured; without links, those of all such namespaces. 0 if
    /// it was not.
    pub n_measured: usize,
}

impl Namespace {
    /// Figures of the namespace as it is now. For a collection, those of its default namespace.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// let agent = notes.namespace("agent-1")?;
    /// agent.insert(Document::new([1.0]))?;
    /// let figures = agent.namespace_stats()?;
    /// assert_eq!((figures.n_documents, figures.is_linked), (1, false));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn namespace_stats(&self) -> Result<NamespaceStats> {
        let moment = self.moment(Listing::Never)?;
        let gauge = moment.index().gauge_of(moment.namespace());
        Ok(NamespaceStats {
            n_documents: moment.n_members(),
            is_linked: moment.is_linked(),
            code_recall: gauge.map(|gauge| gauge.code_recall),
            sampled_recall: gauge.map(|gauge| gauge.recall),
            n_measured: gauge.map_or(0, |gauge| gauge.n_documents),
        })
    }
}
