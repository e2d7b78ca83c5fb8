//! The source of a collection's rows: a snapshot, or the rows as they are now.

use std::ops::ControlFlow;

use crate::cancel::Cancel;
use crate::config::CollectionConfig;
use crate::error::Result;
use crate::store::family::Families;
use crate::store::format::key::KeyRange;
use crate::store::rocks::{EngineSnapshot, Family, Rocks};
use crate::store::storage;

/// Where rows are read from.
#[derive(Clone, Copy)]
pub(crate) struct RowSource<'a> {
    pub(crate) rocks: &'a Rocks,
    pub(crate) families: &'a Families,
    /// The snapshot to read; `None` reads the present rows.
    pub(crate) snapshot: Option<&'a EngineSnapshot>,
    pub(crate) config: &'a CollectionConfig,
    /// The flag that ends reading early.
    pub(crate) cancel: Option<&'a Cancel>,
}

impl<'a> RowSource<'a> {
    pub(crate) fn scan(
        self,
        family: &Family,
        (from, to): KeyRange,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let scanned = self.rocks.scan_through(family, self.snapshot, (&from, &to), |key, value| {
            self.check_cancel().and_then(|()| visit(key, value)).map(ControlFlow::Continue)
        });
        scanned.map_err(storage("reading a collection"))?
    }

    /// Shows rows of the `documents` family until `visit` breaks or fails.
    pub(in crate::collection) fn each_document(
        self,
        range: (&[u8], &[u8]),
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let scanned = self.rocks.scan(&self.families.documents, self.snapshot, range, visit);
        scanned.map_err(storage("reading documents"))?
    }

    /// Shows rows of the `postings` family until `visit` breaks or fails.
    pub(in crate::collection) fn each_posting(
        self,
        range: (&[u8], &[u8]),
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let scanned = self.rocks.scan(&self.families.postings, self.snapshot, range, visit);
        scanned.map_err(storage("reading postings"))?
    }

    /// Fails once the flag that ends reading is set.
    pub(in crate::collection) fn check_cancel(self) -> Result<()> {
        self.cancel.map_or(Ok(()), Cancel::check)
    }
}
