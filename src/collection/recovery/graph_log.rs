//! Writing the graph to disk: a delta for each change, now and then a checkpoint of its rows, and
//! an image of all memory.
//!
//! The linker writes a delta for each batch of documents it has linked. The delta goes to the same
//! write-ahead log (WAL) as the documents, and never before them. A *save* is a checkpoint. It
//! writes the rows that have changed since the last save, with the cursor that says so, and then an
//! image. Then it drops the deltas that both hold. Until then the image before is good with the
//! deltas after it. So a kill at any point costs only the time to replay those deltas.
//!
//! In the background an image may be written alone. This happens when the collection has grown to a
//! multiple of the last image, and when nothing has been written for [`REST`]. Rows then stay as
//! they are, and so do the deltas after them: an open without the image replays these.
//!
//! Deltas have no gaps. If one cannot be written, none is until a save has made up for it.
//! Everything written here is derived data: failing to write it fails nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::collection::budget::Footprint;
use crate::collection::derived::context::Context;
use crate::collection::memory::Memory;
use crate::collection::vectors::HnswIndex;
use crate::collection::vectors::codes::codebook::Codebook;
use crate::collection::vectors::codes::watch::LOOSE;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::graph::{Delta, EntryPoint, Graph, GraphChange, Op};
use crate::id::{Commit, NamespaceId, Slot};
use crate::quant::{Book, Codes};
use crate::store::commit::draft::Derived;
use crate::store::files::image;
use crate::store::format::graph::{CodebookRow, GraphCursor, GraphRow, RegionsRow, encode_delta};
use crate::store::format::key;

/// A save needs at least this number of bytes of deltas.
const LEAST_BYTES: u64 = 64 << 20;
/// A save also needs deltas of one byte for `IMAGE_SHARE` bytes of the image.
const IMAGE_SHARE: u64 = 2;
/// An image is due when `GROWTH` times as many slots have changed since the last image as it holds.
const GROWTH: u64 = 3;
/// In a collection at [`REST`], an image is due when one slot in `REST_SHARE` of the last image has
/// changed.
const REST_SHARE: u64 = 8;
/// No image is due while fewer slots have changed: an open reads that many rows as fast as an
/// image.
const LEAST_CHANGED: usize = 4_096;
/// A collection is at rest when nothing has been written for this time.
const REST: Duration = Duration::from_secs(3);
/// Bytes of deltas that an open replays in the time that reading one changed slot takes.
const BYTES_PER_SLOT: u64 = 1 << 10;
/// The least time between two tries of a save that is due.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of rows at which a batch is written.
const BATCH_BYTES: usize = 4 << 20;

/// What a save writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saving {
    /// Rows of the graph, and an image.
    All,
    /// An image alone, if the rows and the deltas after them are sound.
    Image,
}

/// What of a collection's graph has been written to disk, and what has not.
pub(crate) struct Persist {
    state: Mutex<PersistState>,
    /// Slots that commits have changed since the newest image. A leaf among locks: no other is
    /// taken under it.
    changed: Mutex<RoaringBitmap>,
    /// Bytes of deltas that an open without the image would replay.
    delta_bytes: AtomicU64,
    n_deltas: AtomicU64,
    n_delta_bytes_in_all: AtomicU64,
    n_checkpoint_bytes: AtomicU64,
    n_image_bytes: AtomicU64,
}

/// How far writing has got.
#[derive(Debug, Default)]
pub(crate) struct PersistState {
    /// The last delta that was written.
    pub(crate) last_delta: u64,
    /// Slots whose rows have changed since the last checkpoint, one bit each.
    pub(crate) dirty: Dirty,
    /// Whether a delta is missing. None is written until the next save.
    pub(crate) lagging: bool,
    /// Whether rows and deltas on disk are of no use. The next save removes them.
    pub(crate) wipe: bool,
    /// The index's count of rebuilds when this was last compared.
    pub(crate) n_rebuilt: usize,
    pub(crate) cursor: GraphCursor,
    /// The generation of the codebook on disk. `None` without one, which means bytes measured from
    /// the origin.
    pub(crate) codebook: Option<u32>,
    /// The regions that have a codebook on disk, and how many documents each had when it was
    /// measured.
    pub(crate) regions: BTreeMap<NamespaceId, u64>,
    /// `codebook` and `regions` as they were before a batch changed them, until that batch is known
    /// to be written.
    told_before: Option<(Option<u32>, BTreeMap<NamespaceId, u64>)>,
    /// Whether the newest image was made with other codebooks than these.
    is_image_outdated: bool,
    /// The last delta that the newest image holds.
    pub(crate) imaged_delta: u64,
    /// The newest image's size in bytes.
    pub(crate) image_bytes: u64,
    /// The number of slots in the newest image.
    pub(crate) n_imaged: usize,
    /// How many slots had changed after the newest image when the collection was opened.
    pub(crate) n_changed: usize,
    /// How many codes in the newest image are of no use, because others have replaced them.
    n_outdated: usize,
    /// Bytes of deltas that the newest image holds, of those counted in `Persist::delta_bytes`.
    pub(crate) imaged_bytes: u64,
    /// Bytes of deltas that were found at open.
    pub(crate) delta_bytes: u64,
    /// The last change that was seen.
    seen: Commit,
    /// When `seen` was seen first.
    seen_at: Option<Instant>,
    /// When a due save was last tried.
    tried_at: Option<Instant>,
    /// Whether the collection was dropped: nothing more is written.
    ended: bool,
}

/// A set of slots.
#[derive(Debug, Default)]
pub(crate) struct Dirty(Vec<u64>);

impl Dirty {
    pub(crate) fn insert(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (slot % 64);
    }

    /// Takes note of every slot whose rows a delta changes.
    pub(crate) fn note(&mut self, delta: &Delta) {
        for op in &delta.ops {
            match op {
                Op::Row { slot, delta_links, .. } => {
                    self.insert(*slot);
                    delta_links
                        .iter()
                        .filter(|delta_link| delta_link.back)
                        .for_each(|delta_link| self.insert(delta_link.link.slot));
                }
                Op::Append { slot, .. } | Op::Gone { slot } => self.insert(*slot),
                Op::Duplicates { of, .. } | Op::Attach { of, .. } => self.insert(*of),
                Op::Entry(_) | Op::RegionEntry { .. } => {}
            }
        }
    }

    pub(crate) fn insert_all(&mut self, n_slots: usize) {
        self.0 = vec![u64::MAX; n_slots.div_ceil(64)];
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let bits = |(at, &word): (usize, &u64)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| (at * 64) as u32 + bit)
        };
        self.0.iter().enumerate().flat_map(bits)
    }
}

impl PersistState {
    /// Notes the last change. Returns how long it has been the last.
    fn rests_for(&mut self, last_change: Commit) -> Duration {
        if self.seen != last_change {
            (self.seen, self.seen_at) = (last_change, None);
        }
        self.seen_at.get_or_insert_with(Instant::now).elapsed()
    }

    /// Takes back what the last batch told of codebooks, if that batch was not written, so that the
    /// next one tells it again.
    fn untell(&mut self) {
        if let Some(before) = self.told_before.take() {
            (self.codebook, self.regions) = before;
            self.is_image_outdated = true;
        }
    }
}

impl Persist {
    pub(crate) fn new(state: PersistState) -> Self {
        Persist {
            delta_bytes: AtomicU64::new(state.delta_bytes),
            changed: Mutex::default(),
            state: Mutex::new(state),
            n_deltas: AtomicU64::new(0),
            n_delta_bytes_in_all: AtomicU64::new(0),
            n_checkpoint_bytes: AtomicU64::new(0),
            n_image_bytes: AtomicU64::new(0),
        }
    }

    /// The commit up to which the newest image is valid; `None` without an image.
    pub(crate) fn imaged(&self) -> Option<Commit> {
        let cursor = self.state.lock().cursor;
        (cursor.image.0 > 0).then(|| cursor.image.max(cursor.covers))
    }

    /// Whether the collection was dropped, so that nothing of it is written any more.
    pub(in crate::collection) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Notes the slots that a commit changes.
    pub(crate) fn note_changed(&self, slots: impl Iterator<Item = Slot>) {
        self.changed.lock().extend(slots.map(|slot| slot.0));
    }

    /// What an open would have to read and replay after taking up the image, in changed slots.
    fn n_behind(&self, state: &PersistState) -> u64 {
        let n_bytes = self.delta_bytes.load(Ordering::Relaxed).saturating_sub(state.imaged_bytes);
        self.changed.lock().len() + (state.n_changed + state.n_outdated) as u64 + n_bytes / BYTES_PER_SLOT
    }

    /// Whether an image is worth writing once the collection is at rest.
    fn is_behind(&self, state: &PersistState) -> bool {
        self.n_behind(state) >= (state.n_imaged as u64 / REST_SHARE).max(least_changed())
    }

    /// Whether the collection has outgrown its image.
    fn has_outgrown(&self, state: &PersistState) -> bool {
        self.n_behind(state) >= (state.n_imaged as u64 * GROWTH).max(least_changed())
    }

    /// Bytes written since the collection was opened: of deltas, checkpoints and images.
    pub(crate) fn written(&self) -> [u64; 3] {
        [&self.n_delta_bytes_in_all, &self.n_checkpoint_bytes, &self.n_image_bytes]
            .map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Deltas written since the collection was opened.
    pub(crate) fn n_deltas(&self) -> u64 {
        self.n_deltas.load(Ordering::Relaxed)
    }
}

fn least_changed() -> u64 {
    failpoint::least_changed(LEAST_CHANGED) as u64
}

/// Writes a collection's graph and image.
#[derive(Clone, Copy)]
pub(crate) struct Saver<'c> {
    pub(in crate::collection) context: &'c Context,
    pub(in crate::collection) memory: &'c Memory,
    pub(in crate::collection) persist: &'c Persist,
}

impl Saver<'_> {
    /// Whether the graph is written to disk at all: if the options ask for it, and this process is
    /// the writer.
    fn is_persisted(&self) -> bool {
        self.context.store.options().persist_graph && !self.context.store.is_beside()
    }

    /// Notes what changed in the graph, and writes it as a delta.
    pub(crate) fn record(&self, graph: &Graph, changes: &[GraphChange]) {
        if changes.is_empty() || !self.is_persisted() {
            return;
        }
        let delta = graph.delta(changes);
        let mut state = self.persist.state.lock();
        if state.ended {
            return;
        }
        state.dirty.note(&delta);
        // A rebuilt graph does not continue the one on disk.
        if state.lagging || self.is_rebuilt(&state) || !failpoint::allows("delta") {
            state.lagging = true;
            return;
        }
        failpoint::hit("delta.before");
        let bytes = encode_delta(&delta, &|slot| self.memory.slots.tenancy(Slot(slot)).generation);
        let (number, n_bytes) = (state.last_delta + 1, bytes.len() as u64);
        let mut batch = Derived::default();
        batch.put(&self.context.families.graph, &key::delta(number), &bytes);
        self.put_codebook(&mut state, &mut batch, false);
        match self.context.store.write_derived(batch) {
            Ok(()) => {
                state.told_before = None;
                state.last_delta = number;
                self.persist.delta_bytes.fetch_add(n_bytes, Ordering::Relaxed);
                self.persist.n_delta_bytes_in_all.fetch_add(n_bytes, Ordering::Relaxed);
                self.persist.n_deltas.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!("the graph's changes are not written for now: {error}");
                state.lagging = true;
            }
        }
        failpoint::hit("delta.written");
    }

    /// The next save, and the time until it is due if nothing more is written; `None` if none will
    /// be. A save is due when enough bytes of deltas have been written, when it has to make up for
    /// missing deltas, or when an image is due.
    pub(in crate::collection) fn next_save(self) -> Option<(Duration, Saving)> {
        // The holder of the lock may be about to change the answer.
        let Some(mut state) = self.persist.state.try_lock() else { return Some((PATIENCE, Saving::Image)) };
        if state.ended || !self.is_persisted() {
            return None;
        }
        let n_bytes = self.persist.delta_bytes.load(Ordering::Relaxed);
        let is_large = n_bytes >= LEAST_BYTES && n_bytes >= state.image_bytes / IMAGE_SHARE;
        // The rows of a broken graph are not written any more.
        let is_late = !self.memory.vectors().index.is_broken() && (state.lagging || self.is_rebuilt(&state));
        let rests_for = state.rests_for(self.context.last_change());
        let (rest, saving) = match is_large || is_late {
            true => (Duration::ZERO, Saving::All),
            false if self.persist.has_outgrown(&state) => (Duration::ZERO, Saving::Image),
            false if self.persist.is_behind(&state) && !self.is_linking() => {
                (REST.saturating_sub(rests_for), Saving::Image)
            }
            false => return None,
        };
        let patience = state.tried_at.map_or(Duration::ZERO, |tried| PATIENCE.saturating_sub(tried.elapsed()));
        // Whoever makes the store writable again wakes nobody.
        let least = if self.context.store.is_writable() { Duration::ZERO } else { PATIENCE };
        Some((rest.max(patience).max(least), saving))
    }

    /// Does a save that is due.
    pub(in crate::collection) fn save_due(self, saving: Saving) -> Result<()> {
        self.persist.state.lock().tried_at = Some(Instant::now());
        self.save(saving)
    }

    /// Whether documents wait to be linked. A graph written now would soon be out of date.
    fn is_linking(&self) -> bool {
        self.memory.vectors().index.n_waiting() > 0
    }

    /// Whether rows and deltas on disk equal the graph in memory. The answer holds while nothing is
    /// linked.
    pub(in crate::collection) fn is_written_down(&self) -> bool {
        let state = self.persist.state.lock();
        !state.lagging && !self.is_rebuilt(&state) && self.is_persisted()
    }

    /// Whether the graph has been rebuilt since its rows were last written.
    fn is_rebuilt(&self, state: &PersistState) -> bool {
        self.memory.vectors().index.hnsw().is_some_and(|index| index.n_rebuilt() != state.n_rebuilt)
    }

    /// The cursor of the rows on disk.
    pub(in crate::collection) fn cursor(&self) -> GraphCursor {
        self.persist.state.lock().cursor
    }

    /// Removes the collection's image and its mapped vectors.
    pub(crate) fn remove_images(&self) -> Result<()> {
        let folder = self.context.store.folder();
        image::remove(folder, self.context.id).map_err(|error| Error::io("removing an image in", folder, error))
    }

    /// Removes an unusable graph from disk, so that the deltas of a new one can follow.
    pub(crate) fn discard_graph(&self) -> Result<()> {
        // Images go first, so that no later delta is taken to continue one of them.
        self.remove_images()?;
        let mut state = self.persist.state.lock();
        let last_delta = state.last_delta + 1;
        let cursor = GraphCursor { delta: last_delta, ..GraphCursor::default() };
        let mut batch = Derived::default();
        batch.delete_range(&self.context.families.graph, &key::row_range().0, &key::row_range().1);
        batch.delete_range(&self.context.families.graph, &key::delta(0), &key::delta_range(0).1);
        batch.put(&self.context.families.graph, key::CURSOR, &cursor.encode());
        state.regions.keys().for_each(|region| batch.delete(&self.context.families.graph, &key::codebook_of(*region)));
        *state = PersistState { last_delta, cursor, ended: state.ended, ..PersistState::default() };
        batch.delete(&self.context.families.graph, key::CODEBOOK);
        batch.delete(&self.context.families.graph, key::REGIONS);
        self.put_codebook(&mut state, &mut batch, false);
        self.context.store.write_derived(batch)?;
        state.told_before = None;
        Ok(())
    }

    /// Adds the codebook to `batch`, unless the one on disk has the same generation. With `always`,
    /// it is added in any case, because its measured recall may differ.
    fn put_codebook(&self, state: &mut PersistState, batch: &mut Derived, always: bool) {
        state.untell();
        let points = self.memory.vectors().index.points();
        let Some(book) = points.as_ref().and_then(|points| points.codes()).map(Codes::book) else { return };
        let is_told = match state.codebook {
            Some(generation) => generation == book.generation,
            None => *book == Book::default(),
        };
        if (always || !is_told)
            && let Some(codebook) = self.codebook()
        {
            self.put_rows_of(&codebook, state, batch);
        }
    }

    fn put_rows_of(&self, codebook: &Codebook, state: &mut PersistState, batch: &mut Derived) {
        let (family, rows) = (&self.context.families.graph, codebook.rows_of_regions());
        batch.put(family, key::CODEBOOK, &codebook.row().encode());
        let gone = state.regions.keys().filter(|region| !rows.contains_key(region));
        gone.for_each(|region| batch.delete(family, &key::codebook_of(*region)));
        rows.iter().for_each(|(region, row)| batch.put(family, &key::codebook_of(*region), &row.encode()));
        let regions: BTreeMap<NamespaceId, u64> = measured(rows);
        state.is_image_outdated |= !state.regions.keys().eq(regions.keys());
        if state.codebook != Some(codebook.book.generation) {
            // No code of the newest image is of use any more.
            state.n_outdated = state.n_imaged;
        }
        let before = (state.codebook, std::mem::replace(&mut state.regions, regions));
        state.told_before.get_or_insert(before);
        state.codebook = Some(codebook.book.generation);
    }

    /// The codebook without namespaces that have no documents any more. Points of such a namespace
    /// that are still in the graph lead only to each other.
    fn codebook(&self) -> Option<Codebook> {
        let mut codebook = self.memory.vectors().index.hnsw()?.codebook()?;
        let is_group = |region: NamespaceId| region == NamespaceId::default() || region == LOOSE;
        codebook.retain(|region| is_group(region) || self.memory.n_members(region) > 0);
        Some(codebook)
    }

    /// Whether the measured regions differ from those on disk.
    fn has_other_regions(&self, state: &PersistState) -> bool {
        let regions = self.codebook().map(|codebook| measured(codebook.rows_of_regions()));
        regions.unwrap_or_default() != state.regions
    }

    /// Writes what has changed since the last save, and an image unless the newest one shows the
    /// same. Linking waits meanwhile.
    pub(crate) fn save(&self, saving: Saving) -> Result<()> {
        if !self.is_persisted() || !failpoint::allows("save") {
            return Ok(());
        }
        // No commit is under way while the guard is held, so the view taken later shows all changes
        // noted so far.
        let last = self.context.store.hold();
        let changed = std::mem::take(&mut *self.persist.changed.lock());
        drop(last);
        let saved = self.save_changed(saving);
        if !matches!(saved, Ok(true)) {
            *self.persist.changed.lock() |= changed;
        }
        // A save that was asked for may leave work to the linker, which sleeps.
        saved.map(drop).inspect_err(|_| self.context.signal.notify())
    }

    /// As [`save`](Self::save), without noting what it saves. Returns whether there is an image of
    /// all that the last commit before the call left.
    fn save_changed(&self, saving: Saving) -> Result<bool> {
        let index = self.memory.vectors().index.hnsw().filter(|index| !index.is_broken());
        let _held = index.map(HnswIndex::hold);
        let mut state = self.persist.state.lock();
        if state.ended {
            return Ok(false);
        }
        // The view is taken only now. What is linked was written before its commit, or the log
        // after that tells of it.
        let view = self.context.store.view();
        let graph = index.map(HnswIndex::graph);
        let is_bare = saving == Saving::Image && graph.as_ref().is_some_and(|graph| self.may_skip_rows(graph, &state));
        if let (Some(index), Some(graph), false) = (index, &graph, is_bare) {
            if self.is_rebuilt(&state) {
                state.n_rebuilt = index.n_rebuilt();
                state.wipe = true;
            }
            self.write_rows(graph, &mut state)?;
        }
        let GraphCursor { delta, image, covers, .. } = state.cursor;
        let delta = if is_bare { state.last_delta } else { delta };
        let is_outdated = state.imaged_delta != delta || state.is_image_outdated;
        if image.0 == 0 || self.context.last_change() > image.max(covers) || is_outdated {
            // Derived data must not fill the disk: no document could be written then.
            let Footprint { index, rest, .. } = Footprint::of(self.memory);
            self.context.store.check_space(index.codes + index.links + rest)?;
            // Everything in the image is in files after this, so the log need not keep it.
            self.context.store.flush_families(std::iter::once(&self.context.families))?;
            failpoint::hit("save.flushed");
            // The image has more slots than this if some are added while it is written.
            let n_slots = self.memory.slots.n_slots();
            state.image_bytes = self.write_image(&view, delta, graph.as_deref(), &state.regions)?;
            (state.imaged_delta, state.cursor.image) = (delta, view.commit);
            state.is_image_outdated = false;
            state.n_imaged = n_slots;
            state.imaged_bytes = self.persist.delta_bytes.load(Ordering::Relaxed);
            self.persist.n_image_bytes.fetch_add(state.image_bytes, Ordering::Relaxed);
        }
        let cursor = GraphCursor { covers: view.commit, ..state.cursor };
        let mut batch = Derived::default();
        batch.put(&self.context.families.graph, key::CURSOR, &cursor.encode());
        // A cursor without a codebook would mean a graph that an older version made.
        self.put_codebook(&mut state, &mut batch, false);
        if !is_bare {
            batch.delete_range(&self.context.families.graph, &key::delta(0), &key::delta(cursor.delta + 1));
        }
        self.context.store.write_derived(batch)?;
        state.told_before = None;
        failpoint::hit("save.trimmed");
        state.cursor = cursor;
        self.context.store.note_image(self.context.id, Some(cursor.covers));
        if !is_bare {
            state.imaged_bytes = 0;
            self.persist.delta_bytes.store(0, Ordering::Relaxed);
        }
        // A new image was written, or the old one still fits. Either way its codes are the present
        // ones.
        (state.n_changed, state.n_outdated) = (0, 0);
        Ok(true)
    }

    /// Whether an image may be written without the rows. The rows must be sound and followed by all
    /// deltas. Images do not hold the entry points of regions, so neither the rows nor the graph
    /// may have any.
    fn may_skip_rows(&self, graph: &Graph, state: &PersistState) -> bool {
        let is_sound = !state.lagging && !state.wipe && !self.is_rebuilt(state);
        is_sound && !state.cursor.is_divided && graph.regions_with_entry().is_empty()
    }

    /// Ends the writing of graph and image, and lets the log be trimmed without them. Waits for a
    /// save under way.
    pub(crate) fn end(&self) {
        self.persist.state.lock().ended = true;
        self.context.store.note_image(self.context.id, None);
    }

    /// Writes the rows that have changed, and the cursor with the last of them.
    fn write_rows(&self, graph: &Graph, state: &mut PersistState) -> Result<()> {
        if state.dirty.is_empty() && !state.lagging && !state.wipe && !self.has_other_regions(state) {
            return Ok(());
        }
        failpoint::hit("rows.before");
        if state.lagging || state.wipe {
            // Rows will hold changes that no delta tells, so an image from before may not be
            // continued from here. If the rows cannot be written, no delta continues from here
            // either.
            state.last_delta += 1;
            state.lagging = true;
        }
        if state.wipe {
            state.dirty.insert_all(graph.extent().n_slots);
        }
        let generations = |slot: u32| self.memory.slots.tenancy(Slot(slot)).generation;
        let mut batch = Derived::default();
        if state.wipe {
            batch.delete_range(&self.context.families.graph, &key::row_range().0, &key::row_range().1);
            batch.delete_range(&self.context.families.graph, &key::delta(0), &key::delta_range(0).1);
        }
        // The codebook goes with the first rows, which were linked by it.
        self.put_codebook(state, &mut batch, true);
        let n_slots = graph.extent().n_slots as u32;
        let mut n_bytes = 0;
        for slot in state.dirty.iter().filter(|&slot| slot < n_slots) {
            let is_point = graph.is_point(slot);
            for level in 0..=graph.level_of(slot) {
                let key = key::row(Slot(slot), level);
                let links = if is_point { graph.row_links(slot, level) } else { Vec::new() };
                if !is_point || (level > 0 && links.is_empty()) {
                    if !state.wipe {
                        batch.delete(&self.context.families.graph, &key);
                    }
                    continue;
                }
                let duplicates = if level == 0 { graph.duplicates(slot).collect() } else { Vec::new() };
                let row = GraphRow { generation: generations(slot), links, duplicates };
                batch.put(&self.context.families.graph, &key, &row.encode(&generations));
            }
            if batch.n_bytes() >= BATCH_BYTES {
                n_bytes += batch.n_bytes();
                // Rows ahead of the cursor do no harm: the deltas between are still there, and tell
                // the same changes.
                self.context.store.write_derived(std::mem::take(&mut batch))?;
                failpoint::hit("rows.some");
            }
        }
        let (n_points, n_duplicates) = graph.counts();
        let regions: Vec<(u32, u64)> = graph
            .regions_with_entry()
            .into_iter()
            .map(|region| (region, EntryPoint::to_bits(graph.entry_of(region))))
            .collect();
        let is_divided = !regions.is_empty();
        match is_divided {
            true => batch.put(&self.context.families.graph, key::REGIONS, &RegionsRow(regions).encode()),
            false if state.cursor.is_divided => batch.delete(&self.context.families.graph, key::REGIONS),
            false => {}
        }
        let cursor = GraphCursor {
            delta: state.last_delta,
            entry: EntryPoint::to_bits(graph.entry()),
            n_points: n_points as u64,
            n_duplicates: n_duplicates as u64,
            is_divided,
            ..state.cursor
        };
        batch.put(&self.context.families.graph, key::CURSOR, &cursor.encode());
        n_bytes += batch.n_bytes();
        self.context.store.write_derived(batch)?;
        state.told_before = None;
        failpoint::hit("rows.written");
        self.persist.n_checkpoint_bytes.fetch_add(n_bytes as u64, Ordering::Relaxed);
        state.cursor = cursor;
        state.dirty = Dirty::default();
        (state.lagging, state.wipe) = (false, false);
        Ok(())
    }
}

/// The number of documents that each region had when it was measured.
pub(crate) fn measured(rows: BTreeMap<NamespaceId, CodebookRow>) -> BTreeMap<NamespaceId, u64> {
    rows.into_iter().map(|(region, row)| (region, row.n_measured)).collect()
}
