//! The codebook: how codes are made, and their measured recall, as stored on disk.
//!
//! One row is the collection's. A region has a row of its own if it has its own centre, or if it
//! was measured and is not the default namespace.

use std::collections::BTreeMap;

use super::gauge::{GOOD, Gauge};
use super::watch::LOOSE;
use crate::config::CollectionConfig;
use crate::error::{Error, Result};
use crate::id::NamespaceId;
use crate::quant::{Book, Centres, CodeKind};
use crate::store::format::graph::CodebookRow;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Codebook {
    pub(crate) book: Book,
    /// The measured recall of codes, by region.
    pub(crate) gauges: BTreeMap<NamespaceId, Gauge>,
}

impl Codebook {
    /// The codebook of an empty collection.
    pub(crate) fn begin(config: &CollectionConfig) -> Self {
        Codebook { book: Book::of_dimension(config.dimension), gauges: BTreeMap::new() }
    }

    /// The lowest recall of all regions. [`LOOSE`] does not count if its codes do not fit, because
    /// searches then compare vectors.
    pub(crate) fn worst(&self) -> Option<Gauge> {
        let counts = |(region, gauge): &(&NamespaceId, &Gauge)| **region != LOOSE || gauge.code_recall >= GOOD;
        let gauges = self.gauges.iter().filter(counts).map(|(_, gauge)| *gauge);
        gauges.min_by(|a, b| a.recall.total_cmp(&b.recall).then(a.code_recall.total_cmp(&b.code_recall)))
    }

    /// The collection's row: the shared centre, and the recall of the default namespace.
    pub(crate) fn row(&self) -> CodebookRow {
        let own = self.gauges.get(&NamespaceId::default()).copied();
        self.row_of(&self.book.centres.shared, own)
    }

    /// The rows of regions.
    pub(crate) fn rows_of_regions(&self) -> BTreeMap<NamespaceId, CodebookRow> {
        let own = &self.book.centres.own;
        let measured = self.gauges.keys().filter(|region| **region != NamespaceId::default());
        let row = |region: &NamespaceId| {
            // The collection's row has the default namespace's recall already.
            let gauge = self.gauges.get(region).copied().filter(|_| *region != NamespaceId::default());
            self.row_of(own.get(region).map_or(&[], Vec::as_slice), gauge)
        };
        own.keys().chain(measured).map(|region| (*region, row(region))).collect()
    }

    fn row_of(&self, centre: &[f32], gauge: Option<Gauge>) -> CodebookRow {
        let kind = match self.book.kind {
            CodeKind::Sq8 => 0,
            CodeKind::Sq8Centred => 1,
            CodeKind::Sq16 => 2,
            CodeKind::F32 => 3,
        };
        let (generation, centre) = (self.book.generation, centre.to_vec());
        let Gauge { code_recall, recall, n_documents } = gauge.unwrap_or_default();
        CodebookRow { kind, generation, n_measured: n_documents as u64, code_recall, recall, centre }
    }

    /// Reads the collection's row.
    pub(crate) fn of_row(row: CodebookRow, dimension: usize) -> Result<Self> {
        const WHAT: &str = "the codebook";
        let gauge = gauge_of(&row);
        let CodebookRow { kind, generation, centre, .. } = row;
        let kind = match kind {
            0 => CodeKind::Sq8,
            1 => CodeKind::Sq8Centred,
            2 => CodeKind::Sq16,
            3 => CodeKind::F32,
            other => return Err(Error::corruption(WHAT, format!("expected a kind of codes up to 3, got {other}"))),
        };
        check_centre(WHAT, &centre, dimension)?;
        let gauges = gauge.map(|gauge| (NamespaceId::default(), gauge)).into_iter().collect();
        Ok(Codebook { book: Book { kind, generation, centres: Centres::shared_by_all(centre).into() }, gauges })
    }

    /// Adds the rows of regions. Rows of another book's generation are ignored.
    pub(crate) fn add_regions(&mut self, rows: BTreeMap<NamespaceId, CodebookRow>, dimension: usize) -> Result<()> {
        let mut centres = Centres::clone(&self.book.centres);
        for (region, row) in rows.into_iter().filter(|(_, row)| row.generation == self.book.generation) {
            check_centre("a region's codebook", &row.centre, dimension)?;
            self.gauges.extend(gauge_of(&row).map(|gauge| (region, gauge)));
            if !row.centre.is_empty() {
                centres.own.insert(region, row.centre);
            }
        }
        self.book.centres = centres.into();
        Ok(())
    }

    /// Removes the regions for which `counts` is false.
    pub(crate) fn retain(&mut self, counts: impl Fn(NamespaceId) -> bool) {
        self.gauges.retain(|region, _| counts(*region));
        self.book = self.book.only(counts);
    }
}

fn gauge_of(row: &CodebookRow) -> Option<Gauge> {
    let CodebookRow { n_measured, code_recall, recall, .. } = *row;
    (n_measured > 0).then_some(Gauge { code_recall, recall, n_documents: n_measured as usize })
}

fn check_centre(what: &'static str, centre: &[f32], dimension: usize) -> Result<()> {
    if centre.is_empty() || centre.len() == dimension {
        return Ok(());
    }
    Err(Error::corruption(what, format!("expected a centre of {dimension} components, got {}", centre.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: NamespaceId = NamespaceId(3);

    fn gauge(n_documents: usize, recall: f32) -> Gauge {
        Gauge { code_recall: recall, recall, n_documents }
    }

    fn codebook(own: &[(NamespaceId, f32)], gauges: &[(NamespaceId, Gauge)]) -> Codebook {
        let own = own.iter().map(|(namespace, x)| (*namespace, vec![*x; 2])).collect();
        let centres = Centres { shared: vec![1.0, 2.0], own }.into();
        let book = Book { kind: CodeKind::Sq8Centred, generation: 5, centres };
        Codebook { book, gauges: gauges.iter().copied().collect() }
    }

    fn again(codebook: &Codebook) -> Codebook {
        let mut again = Codebook::of_row(codebook.row(), 2).unwrap();
        again.add_regions(codebook.rows_of_regions(), 2).unwrap();
        again
    }

    #[test]
    fn a_collection_of_one_region_has_one_row() {
        let alone = codebook(&[], &[(NamespaceId(0), gauge(200, 0.99))]);
        assert!(alone.rows_of_regions().is_empty());
        assert_eq!(again(&alone), alone);
        assert_eq!((alone.row().n_measured, alone.row().centre), (200, vec![1.0, 2.0]));
    }

    #[test]
    fn what_is_said_of_regions_reads_back() {
        let gauges = [(NamespaceId(0), gauge(200, 0.99)), (ROOM, gauge(300, 0.5)), (LOOSE, gauge(400, 0.1))];
        let several = codebook(&[(NamespaceId(0), 7.0), (ROOM, 8.0), (NamespaceId(9), 9.0)], &gauges);
        let regions: Vec<NamespaceId> = several.rows_of_regions().into_keys().collect();
        assert_eq!(regions, [NamespaceId(0), ROOM, NamespaceId(9), LOOSE]);
        assert_eq!(again(&several), several);
        assert_eq!(several.worst(), Some(gauge(300, 0.5)), "searches of namespaces without links compare vectors");
        let mut left = several.clone();
        left.retain(|region| region != ROOM);
        assert_eq!(
            (left.book.centres.of(ROOM), left.book.centres.of(NamespaceId(9))),
            (&[1.0, 2.0][..], &[9.0; 2][..])
        );
        assert!(!left.gauges.contains_key(&ROOM));
    }

    #[test]
    fn what_was_said_of_regions_by_another_book_does_not_count() {
        let before = codebook(&[(ROOM, 8.0)], &[(ROOM, gauge(300, 0.5))]);
        let now = codebook(&[], &[]);
        let mut read = Codebook::of_row(CodebookRow { generation: 6, ..now.row() }, 2).unwrap();
        read.add_regions(before.rows_of_regions(), 2).unwrap();
        assert!(read.book.centres.own.is_empty() && read.gauges.is_empty());
        let long = CodebookRow { centre: vec![0.0; 3], ..before.row() };
        assert!(Codebook::of_row(now.row(), 2).unwrap().add_regions([(ROOM, long)].into(), 2).is_err());
    }
}
