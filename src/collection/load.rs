//! Recovery of a collection at open: making its memory, and verifying meanwhile that its rows
//! belong together.
//!
//! The fast way takes up the image, and reads only the slots that the commit log names after it
//! ([`changed`](super::changed)). The slow way reads every row ([`rows`](super::rows)). Either way
//! the graph is then brought up to date ([`regraph`](super::regraph)).

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use super::exact::Disk;
use super::fields::{FieldCatalog, MetadataIndex};
use super::index::codebook::Codebook;
use super::memory::Memory;
use super::names::Names;
use super::persist::{Persist, PersistState, measured};
use super::rows::read_rows;
use super::schema::Admission;
use super::waiting::{Obstacles, Waiting};
use super::words::FullTextIndex;
use super::{DatabaseContext, OpenCollection, image};
use crate::cancel::Cancel;
use crate::config::CollectionConfig;
use crate::document::{OpenedBy, Opening};
use crate::error::{Error, Result};
use crate::graph::GraphChange;
use crate::id::{CollectionId, Commit, NamespaceId, Slot};
use crate::store::family::Families;
use crate::store::graph::{CodebookRow, GraphCursor, RegionsRow};
use crate::store::image::{Image, Images};
use crate::store::key::{self, KeyRange};
use crate::store::log::Expected;
use crate::store::record::{CatalogEntry, read_u32};
use crate::store::rocks::{EngineSnapshot, Family, Rocks};
use crate::store::storage;
use crate::store::words::WordsRow;

/// An open reads up to this number of changed slots one by one, however small the image is.
const MOST_CHANGED: usize = 16_384;
/// Changed slots that an open reads one by one per slot of the image, if that is more than
/// `MOST_CHANGED`.
const CHANGED_SHARE: usize = 1;
/// Bytes of vectors and codes that bound the changed slots above `MOST_CHANGED`.
const MOST_CHANGED_BYTES: usize = 512 << 20;

/// Of the memory for caches, one part in `POSTINGS_SHARE` is for postings of a collection's
/// metadata, and one for those of its words.
const POSTINGS_SHARE: usize = 8;

/// A collection's memory, read from its families.
pub(crate) struct Loaded {
    pub(crate) memory: Memory,
    pub(crate) namespaces: Names,
    /// The indexed fields; `None` if they cannot be read.
    pub(crate) fields: Option<FieldCatalog>,
    /// The progress of the full-text index; `None` if it cannot be read.
    pub(crate) words: Option<WordsRow>,
    /// The state of the graph on disk.
    pub(crate) state: PersistState,
    /// Whether the graph on disk is of no use.
    pub(crate) begins_anew: bool,
    /// An upper bound of the last commit that changed the collection.
    pub(crate) last_change: Commit,
    /// Changes to the graph that are not on disk yet.
    pub(crate) changes: Vec<GraphChange>,
    pub(crate) opening: Opening,
}

impl Loaded {
    /// A collection without documents.
    pub(crate) fn empty(memory: Memory, config: &CollectionConfig) -> Self {
        Loaded {
            memory,
            namespaces: Names::default(),
            fields: Some(FieldCatalog::begin(config)),
            words: Some(WordsRow::whole()),
            state: PersistState::default(),
            begins_anew: false,
            last_change: Commit(0),
            changes: Vec::new(),
            opening: Opening::default(),
        }
    }

    pub(crate) fn into_open(
        self,
        shared: DatabaseContext,
        id: CollectionId,
        entry: CatalogEntry,
        families: Families,
    ) -> Result<OpenCollection> {
        let DatabaseContext { store, signal, budget } = shared;
        let CatalogEntry { config, created_at_ms, metadata, .. } = entry;
        let comparison = super::comparison_of(&config, store.options())?;
        let most_bytes = store.options().memory_bytes / POSTINGS_SHARE;
        let fields = MetadataIndex::new(self.fields, &config, most_bytes);
        let words = FullTextIndex::new(self.words, &config, most_bytes);
        let admission = Admission::new(config.schema.clone());
        let open = OpenCollection {
            id,
            config,
            created_at_ms,
            metadata: ArcSwap::from_pointee(metadata),
            store,
            families,
            comparison,
            memory: self.memory,
            namespaces: RwLock::new(self.namespaces),
            fields,
            words,
            admission,
            signal,
            obstacles: Obstacles::default(),
            persist: Persist::new(self.state),
            budget,
            vector_load: Mutex::default(),
            vectors_loaded: Waiting::default(),
            last_change: self.last_change.0.into(),
            opening: self.opening,
        };
        if open.opening.way != OpenedBy::Image && open.store.is_writable() {
            // An image that was not taken up, or a mapped file, may show commits that were lost.
            open.remove_images()?;
        }
        if self.begins_anew && open.store.is_writable() {
            open.begin_graph_anew()?;
        }
        if let Some(index) = &open.memory.index {
            open.record(&index.graph(), &self.changes);
        }
        Ok(open)
    }
}

/// An image that may be taken up, and the commit up to which it is valid.
pub(crate) struct Candidate {
    pub(crate) image: Image,
    pub(crate) covers: Commit,
}

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

impl Candidate {
    /// The most slots that may have changed since the image. With more, reading all rows is faster.
    fn most_changed(&self, dimension: usize) -> usize {
        // The vectors of all changed slots are held at once, with their codes.
        let most_by_memory = MOST_CHANGED_BYTES / (dimension * size_of::<f32>() * 2);
        (image::n_slots(&self.image) * CHANGED_SHARE).max(MOST_CHANGED).min(most_by_memory)
    }

    /// The image of a collection, if the graph on disk continues from it.
    pub(crate) fn find(source: RowSource<'_>, images: &mut Images, store: Uuid, id: CollectionId) -> Option<Self> {
        let codebook = source.codebook();
        let shape = image::shape_of(source.config, codebook.as_ref().map(|codebook| &codebook.book));
        let image = image::find(images, (store, id), shape)?;
        let cursor = source.cursor().inspect_err(|error| tracing::warn!("{error}")).ok()??;
        // Rows may be newer than the image if every delta between is still there. Deltas are
        // dropped all at once, so the last one tells.
        if image.tag.delta < cursor.delta && !source.has_delta(cursor.delta) {
            tracing::info!(collection = id.0, "an image is older than the rows of the graph");
            return None;
        }
        let covers = if cursor.image == image.tag.commit { cursor.covers.max(cursor.image) } else { image.tag.commit };
        Some(Candidate { image, covers })
    }
}

/// Reads a collection into an empty memory, by its image if there is a sound one. `last` is the
/// last commit. `expected` is what the log says of the collection, after the candidate's commit or
/// in all.
///
/// # Errors
/// `Corruption` for rows that do not belong together; `DataLoss` if rows are missing that the log
/// names.
pub(crate) fn load(
    source: RowSource<'_>,
    memory: impl Fn(Option<Codebook>) -> Result<Memory>,
    candidate: Option<Candidate>,
    expected: Expected,
    last: Commit,
) -> Result<Loaded> {
    let (began, codebook) = (Instant::now(), source.codebook());
    let memory = || memory(codebook.clone());
    let dimension = source.config.dimension;
    let is_worth_it = |candidate: &Candidate| expected.n_after(candidate.covers) <= candidate.most_changed(dimension);
    let mut loaded = match candidate.filter(is_worth_it) {
        Some(candidate) => load_by_image(source, &memory, candidate, expected, last)?,
        None => load_by_rows(source, memory()?, expected, last)?,
    };
    loaded.state.codebook = source.stored_codebook().ok().flatten().map(|stored| stored.book.generation);
    loaded.state.regions = source.region_keys().unwrap_or_default();
    loaded.state.regions.extend(measured(source.region_rows().unwrap_or_default()));
    loaded.opening.micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let Opening { way, n_read, n_deltas, n_waiting, micros, .. } = loaded.opening;
    tracing::info!(?way, n_read, n_deltas, n_waiting, micros, "collection read");
    Ok(loaded)
}

/// Takes up an image, and reads what has changed since.
fn load_by_image(
    source: RowSource<'_>,
    memory: &impl Fn() -> Result<Memory>,
    candidate: Candidate,
    mut expected: Expected,
    last: Commit,
) -> Result<Loaded> {
    let Candidate { image, covers } = candidate;
    let (tag, n_bytes, n_imaged, new) = (image.tag, image.n_bytes(), image::n_slots(&image), memory()?);
    let (is_sound, is_verified) = (image::is_sound(&image, &new), image::is_verified(&image));
    let taken = if is_sound { image::take_up(image, &new) } else { Err(std::io::Error::other("it is damaged")) };
    if let Err(error) = taken {
        tracing::warn!("an image is made anew, rows are read instead: {error}");
        drop(new);
        return load_by_rows(source, memory()?, expected, last);
    }
    expected.keep_after(covers);
    let namespaces = source.check_names(&mut expected)?;
    let last_change = expected.last_change().unwrap_or(tag.commit);
    let known: HashSet<NamespaceId> = namespaces.iter().map(|(_, number)| number).collect();
    let mut changed: Vec<Slot> = expected.slots.keys().copied().collect();
    changed.sort_unstable();
    let changes = source.read_changed(&changed, &new, &known, &mut expected)?;
    if let Some(from) = expected.first_missing() {
        return Err(Error::DataLoss { from, to: last });
    }
    let (fields, words) = source.indexes();
    let mut loaded = Loaded { namespaces, fields, words, last_change, ..Loaded::empty(new, source.config) };
    loaded.opening.n_read = changed.len();
    loaded.state.imaged_delta = tag.delta;
    (loaded.state.image_bytes, loaded.state.n_imaged, loaded.state.n_changed) = (n_bytes, n_imaged, changed.len());
    super::regraph::follow(source, &mut loaded, (tag.delta, is_verified), &changes)?;
    (loaded.state.cursor.image, loaded.state.cursor.covers) = (tag.commit, covers);
    Ok(loaded)
}

/// Reads every row of a collection into an empty memory and checks it.
fn load_by_rows(source: RowSource<'_>, memory: Memory, mut expected: Expected, last: Commit) -> Result<Loaded> {
    let namespaces = source.check_names(&mut expected)?;
    let last_change = expected.last_change().unwrap_or(last);
    read_rows(source, &memory, &namespaces, expected, last)?;
    // Vectors that are held by now are complete: all rows were read into place.
    memory.slots.exact.held().iter().for_each(|held| held.set_complete(Commit(0)));
    let (fields, words) = source.indexes();
    let mut loaded = Loaded { namespaces, fields, words, last_change, ..Loaded::empty(memory, source.config) };
    loaded.opening.n_read = loaded.memory.census().n_documents;
    loaded.state.n_changed = loaded.opening.n_read;
    super::regraph::read(source, &mut loaded)?;
    Ok(loaded)
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

    /// Fails once the flag that ends reading is set.
    pub(super) fn check_cancel(self) -> Result<()> {
        self.cancel.map_or(Ok(()), Cancel::check)
    }

    /// The codebook on disk.
    pub(super) fn stored_codebook(self) -> Result<Option<Codebook>> {
        let row = self.rocks.get(&self.families.graph, self.snapshot, key::CODEBOOK);
        let row = row.map_err(storage("reading the graph"))?;
        let Some(bytes) = row else { return Ok(None) };
        let mut codebook = Codebook::of_row(CodebookRow::decode(&bytes)?, self.config.dimension)?;
        codebook.add_regions(self.region_rows()?, self.config.dimension)?;
        Ok(Some(codebook))
    }

    /// The codebooks of regions, where they can be read. Other regions are measured again.
    fn region_rows(self) -> Result<BTreeMap<NamespaceId, CodebookRow>> {
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
    fn region_keys(self) -> Result<BTreeMap<NamespaceId, u64>> {
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

    /// The states of the metadata and full-text indexes; `None` for one that cannot be read.
    fn indexes(self) -> (Option<FieldCatalog>, Option<WordsRow>) {
        let fields = self.fields().inspect_err(|error| tracing::warn!("metadata is indexed anew: {error}")).ok();
        let words = self.words().inspect_err(|error| tracing::warn!("words are indexed anew: {error}"));
        (fields, words.ok().flatten())
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

    fn has_delta(self, number: u64) -> bool {
        let row = self.rocks.get(&self.families.graph, self.snapshot, &key::delta(number));
        row.inspect_err(|error| tracing::warn!("reading a delta of the graph: {error}")).is_ok_and(|row| row.is_some())
    }

    /// Where the collection's vectors are on disk.
    pub(crate) fn disk(self) -> Disk<'a> {
        let RowSource { rocks, families, snapshot, config, .. } = self;
        Disk { rocks, families, snapshot, normalizes: config.compares_directions() }
    }

    /// The names of namespaces, checked against the log.
    fn check_names(self, expected: &mut Expected) -> Result<Names> {
        let namespaces = self.names()?;
        namespaces.iter().for_each(|(_, number)| _ = expected.namespaces.remove(&number));
        Ok(namespaces)
    }

    /// The names of namespaces.
    pub(super) fn names(self) -> Result<Names> {
        let mut namespaces = Names::default();
        self.scan(&self.families.documents, key::namespace_range(), |key, value| {
            let number = NamespaceId(read_u32("a namespace's number", value)?);
            namespaces.insert(key::read_namespace(key)?.into(), number);
            Ok(())
        })?;
        Ok(namespaces)
    }
}
