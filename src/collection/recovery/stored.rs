//! Reads what is stored of a collection's graph, codes and namespaces.
//!
//! Documents and vectors are read by [`full_scan`](super::full_scan) and
//! [`since_image`](super::since_image).

use std::collections::BTreeMap;

use crate::collection::derived::source::RowSource;
use crate::collection::slots::namespaces::Names;
use crate::collection::vectors::codes::codebook::Codebook;
use crate::collection::vectors::full::Disk;
use crate::error::Result;
use crate::id::NamespaceId;
use crate::store::format::codec::read_u32;
use crate::store::format::graph::{CodebookRow, GraphCursor, RegionsRow};
use crate::store::format::key;
use crate::store::open::commit_log::Expected;
use crate::store::storage;

impl<'a> RowSource<'a> {
    /// The codebook on disk.
    pub(in crate::collection) fn stored_codebook(self) -> Result<Option<Codebook>> {
        let row = self.rocks.get(&self.families.graph, self.snapshot, key::CODEBOOK);
        let row = row.map_err(storage("reading the graph"))?;
        let Some(bytes) = row else { return Ok(None) };
        let mut codebook = Codebook::of_row(CodebookRow::decode(&bytes)?, self.config.dimension)?;
        codebook.add_regions(self.region_rows()?, self.config.dimension)?;
        Ok(Some(codebook))
    }

    /// The codebooks of regions, where they can be read. Other regions are measured again.
    pub(super) fn region_rows(self) -> Result<BTreeMap<NamespaceId, CodebookRow>> {
        let mut rows = BTreeMap::new();
        self.scan(&self.families.graph, key::codebook_range(), |key, value| {
            let region = key::read_codebook_of(key)?;
            match CodebookRow::decode(value) {
                Ok(row) => _ = rows.insert(region, row),
                Err(error) => tracing::warn!(region = region.0, "what codes were made by is not known: {error}"),
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// The regions that have a codebook on disk. A save replaces or removes one that cannot be
    /// read.
    pub(super) fn region_keys(self) -> Result<BTreeMap<NamespaceId, u64>> {
        let mut regions = BTreeMap::new();
        self.scan(&self.families.graph, key::codebook_range(), |key, _| {
            regions.insert(key::read_codebook_of(key)?, 0);
            Ok(())
        })?;
        Ok(regions)
    }

    /// The codebook: for a graph, the one it was linked by. `None` where there are no codes.
    pub(crate) fn codebook(self) -> Option<Codebook> {
        if !self.config.has_codes() {
            return None;
        }
        let is_begun = || self.has_delta(1) || !matches!(self.cursor(), Ok(None));
        Some(match self.stored_codebook() {
            Ok(Some(stored)) => stored,
            Ok(None) if !is_begun() => Codebook::begin(self.config),
            Ok(None) => Codebook::default(),
            Err(error) => {
                tracing::warn!("what codes were made by is not known: {error}");
                Codebook::default()
            }
        })
    }

    /// The cursor of the graph; `None` if none was ever written.
    pub(crate) fn cursor(self) -> Result<Option<GraphCursor>> {
        let row = self.rocks.get(&self.families.graph, self.snapshot, key::CURSOR);
        let row = row.map_err(storage("reading the graph"))?;
        row.map(|bytes| GraphCursor::decode(&bytes)).transpose()
    }

    /// The entry points of regions other than 0, as of the rows.
    pub(crate) fn regions(self) -> Result<RegionsRow> {
        let row = self.rocks.get(&self.families.graph, self.snapshot, key::REGIONS);
        let row = row.map_err(storage("reading the graph"))?;
        row.map_or(Ok(RegionsRow::default()), |bytes| RegionsRow::decode(&bytes))
    }

    pub(super) fn has_delta(self, number: u64) -> bool {
        let row = self.rocks.get(&self.families.graph, self.snapshot, &key::delta(number));
        row.inspect_err(|error| tracing::warn!("reading a delta of the graph: {error}")).is_ok_and(|row| row.is_some())
    }

    /// Where the vectors of a field are on disk.
    pub(crate) fn disk(self, field: u16) -> Disk<'a> {
        let RowSource { rocks, families, snapshot, config, .. } = self;
        Disk { field, rocks, families, snapshot, normalizes: config.compares_directions() }
    }

    /// The names of namespaces, checked against the log.
    pub(super) fn check_names(self, expected: &mut Expected) -> Result<Names> {
        let namespaces = self.names()?;
        namespaces.iter().for_each(|(_, number)| _ = expected.namespaces.remove(&number));
        Ok(namespaces)
    }

    /// The names of namespaces.
    pub(in crate::collection) fn names(self) -> Result<Names> {
        let mut namespaces = Names::default();
        self.scan(&self.families.documents, key::namespace_range(), |key, value| {
            let number = NamespaceId(read_u32("a namespace's number", value)?);
            namespaces.insert(key::read_namespace(key)?.into(), number);
            Ok(())
        })?;
        Ok(namespaces)
    }
}
