//! Verification of the graph on disk: rows, deltas and codebook against memory.

use std::collections::BTreeSet;

use super::graph_log::Saver;
use super::graph_restore::stored;
use crate::collection::derived::source::RowSource;
use crate::collection::vectors::HnswIndex;
use crate::error::{Error, Result};

impl Saver<'_> {
    /// Checks that rows and deltas on disk give the graph in memory, unless they are known to lag
    /// behind.
    pub(in crate::collection) fn verify_graph(self, source: RowSource<'_>) -> Result<()> {
        // A graph that comparing panicked in is neither walked nor kept.
        let Some(index) = self.memory.vectors().index.hnsw().filter(|index| !index.is_broken()) else { return Ok(()) };
        let _held = index.hold();
        let Some((graph, cursor)) = self.is_written_down().then(|| (index.graph(), self.cursor())) else {
            return Ok(());
        };
        // The graph on disk is read as it is now, not as of the snapshot.
        let stored = stored(RowSource { snapshot: None, ..source }, self.memory, graph.shape(), &cursor)?;
        self.verify_codebook(index, source)?;
        let points: [BTreeSet<u32>; 2] = [&*graph, &stored].map(|graph| graph.points().collect());
        let differs = |detail: String| Err(Error::corruption("the graph on disk", detail));
        if let Some(slot) = points[0].symmetric_difference(&points[1]).next() {
            return differs(format!("slot {slot} is a point either there or in memory, but not in both"));
        }
        for &slot in &points[0] {
            for level in 0..=graph.level_of(slot) {
                let links =
                    [&*graph, &stored].map(|graph| graph.links(slot, level).into_iter().collect::<BTreeSet<_>>());
                if links[0] != links[1] {
                    return differs(format!(
                        "slot {slot} at level {level}: expected {:?}, got {:?}",
                        links[0], links[1]
                    ));
                }
            }
            let duplicates = [&*graph, &stored].map(|graph| graph.duplicates(slot).collect::<BTreeSet<_>>());
            if duplicates[0] != duplicates[1] {
                return differs(format!(
                    "duplicates of slot {slot}: expected {:?}, got {:?}",
                    duplicates[0], duplicates[1]
                ));
            }
        }
        Ok(())
    }

    /// Checks that the codebook on disk is the one in use.
    fn verify_codebook(self, index: &HnswIndex, source: RowSource<'_>) -> Result<()> {
        let stored = RowSource { snapshot: None, ..source }.stored_codebook()?;
        let (Some(stored), Some(codebook)) = (stored, index.codebook()) else { return Ok(()) };
        // The stored codebook lacks namespaces that had no documents at the last save.
        let book = codebook.book.only(|namespace| stored.book.centres.own.contains_key(&namespace));
        if stored.book == book {
            return Ok(());
        }
        let [got, expected] = [&stored.book, &book].map(|book| (book.kind, book.generation, book.centres.own.len()));
        let detail = format!("expected kind, generation and own centres {expected:?}, got {got:?}, or another centre");
        Err(Error::corruption("the codebook on disk", detail))
    }
}
