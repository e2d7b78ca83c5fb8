//! Recovery of a collection's graph at open: from an image or from rows, and by the deltas that
//! follow.
//!
//! No link is invented. A link to a slot without a document, or with another one than it was made
//! for, is dropped. The point that lost it gets other links later. The graph on disk is derived
//! data. Where it is damaged or has a gap, the graph is as it was before that. What it misses is
//! linked again.

use std::collections::HashSet;
use std::ops::ControlFlow;

use rayon::prelude::*;

use super::graph_log::Dirty;
use super::loaded::Loaded;
use super::since_image::Changed;
use crate::collection::derived::source::RowSource;
use crate::collection::memory::{Memory, Slots};
use crate::collection::vectors::regions::region_of;
use crate::error::{Error, Result};
use crate::graph::{EntryPoint, Graph, GraphChange, GraphShape, Op, Representatives};
use crate::id::Slot;
use crate::opening::OpenedBy;
use crate::store::format::graph::{GraphCursor, GraphRow, IsCurrent, RegionsRow, decode_delta};
use crate::store::format::key;
use crate::store::storage;

/// Brings the graph of an image up to date. The image holds all deltas up to `delta`; `is_verified`
/// says that walks reach all of its points.
pub(super) fn follow(
    source: RowSource<'_>,
    loaded: &mut Loaded,
    (delta, is_verified): (u64, bool),
    changed: &Changed,
) -> Result<()> {
    loaded.opening.way = OpenedBy::Image;
    loaded.state.cursor = source.cursor()?.unwrap_or_default();
    let Some(index) = loaded.memory.vectors().index.hnsw() else {
        return settle(source, loaded, &Representatives::default());
    };
    let (slots, graph) = (&loaded.memory.slots, index.graph());
    graph.reserve(slots.n_slots()).map_err(|source| out_of_memory(&loaded.memory, source))?;
    // Whether a slot can still be compared: by its code, or by the vector of a document that
    // exists.
    let can_compare = |slot: Slot| slots.is_alive(slot) || !(index.must_hold() || changed.bare.contains(&slot));
    let is_current = |slot: u32, tag: u8| {
        let slot = Slot(slot);
        (slot.0 as usize) < slots.n_slots() && slots.tenancy(slot).generation as u8 == tag && can_compare(slot)
    };
    let mut replay = Replay::new(&graph, &is_current, delta, graph.representatives());
    restore_entries(source, &graph, &loaded.state.cursor);
    replay.read(source);
    tell_division(&graph, slots, &loaded.state.cursor);
    // A slot is stale if the image has another document in it than there is now, or one that
    // can no longer be compared.
    let is_held = |slot: Slot| graph.is_point(slot.0) || replay.representatives.is_duplicate(slot.0);
    let has_moved = |slot: Slot| slots.is_alive(slot) && changed.moved.contains(&slot);
    let is_stale =
        |slot: Slot| is_held(slot) && (!can_compare(slot) || has_moved(slot) && !replay.linked.contains(&slot.0));
    let suspects: Vec<Slot> = match index.must_hold() {
        true => (0..slots.n_slots() as u32).map(Slot).collect(),
        false => changed.moved.iter().copied().collect(),
    };
    let stale: HashSet<u32> = suspects.into_iter().filter(|&slot| is_stale(slot)).map(|slot| slot.0).collect();
    let mut changes = graph.forget(&stale, &mut replay.representatives);
    if !(stale.is_empty() && replay.underfull.is_empty() && replay.is_whole) {
        replay.underfull.extend(graph.tidy(region_of(slots)));
    }
    let (read, representatives) = replay.end();
    changes.extend(changes_of(&graph, &read.underfull, &read.outdated));
    finish(loaded, read, changes, is_verified);
    if delta > loaded.state.cursor.delta {
        // Only the deltas before the image tell which rows are older than it, and these are not
        // replayed.
        loaded.state.dirty.insert_all(loaded.memory.slots.n_slots());
        // The deltas before the image stay until rows are written: about as many bytes as the
        // graph's files have.
        let n_bytes = source.rocks.family_bytes(&source.families.graph);
        loaded.state.delta_bytes += n_bytes;
        loaded.state.imaged_bytes = n_bytes;
    }
    settle(source, loaded, &representatives)
}

/// Reads the graph from its rows, and replays the deltas after them.
pub(in crate::collection) fn read(source: RowSource<'_>, loaded: &mut Loaded) -> Result<()> {
    let Some(index) = loaded.memory.vectors().index.hnsw() else {
        return settle(source, loaded, &Representatives::default());
    };
    let (slots, graph) = (&loaded.memory.slots, index.graph());
    graph.reserve(slots.n_slots()).map_err(|source| out_of_memory(&loaded.memory, source))?;
    let cursor = match source.cursor() {
        Ok(cursor) => cursor.unwrap_or_default(),
        Err(error) => {
            tracing::warn!("the graph on disk is unusable, and all documents are linked again: {error}");
            loaded.discards_graph = true;
            loaded.state.last_delta = last_delta(source)?;
            return settle(source, loaded, &Representatives::default());
        }
    };
    let is_current = |slot: u32, tag: u8| {
        let slot = Slot(slot);
        (slot.0 as usize) < slots.n_slots() && slots.is_alive(slot) && slots.tenancy(slot).generation as u8 == tag
    };
    let n_documents = loaded.memory.census().n_documents;
    let (ReadRows { underfull, outdated, is_whole, .. }, representatives) =
        read_rows(source, &graph, &loaded.memory, &is_current);
    graph.set_entry(EntryPoint::from_bits(cursor.entry).filter(|entry| graph.is_point(entry.slot)));
    let mut replay = Replay::new(&graph, &is_current, cursor.delta, representatives);
    restore_entries(source, &graph, &cursor);
    replay.read(source);
    tell_division(&graph, slots, &cursor);
    replay.is_whole &= is_whole;
    replay.underfull.extend(underfull);
    replay.outdated.extend(outdated);
    replay.underfull.extend(graph.tidy(region_of(slots)));
    let (read, representatives) = replay.end();
    let changes = changes_of(&graph, &read.underfull, &read.outdated);
    let (n_points, n_duplicates) = graph.counts();
    loaded.opening.way = match n_points {
        0 if n_documents > 0 => OpenedBy::Linking,
        _ => OpenedBy::Rows,
    };
    loaded.discards_graph = n_points == 0 && (cursor.delta > 0 || read.n_deltas > 0 || !read.is_whole);
    loaded.state.cursor = GraphCursor { image: Default::default(), covers: Default::default(), ..cursor };
    tracing::debug!(n_points, n_duplicates, n_documents, "read the graph");
    finish(loaded, read, changes, false);
    settle(source, loaded, &representatives)
}

/// Sets the entry points of regions to those on disk.
fn restore_entries(source: RowSource<'_>, graph: &Graph, cursor: &GraphCursor) {
    if !cursor.is_divided {
        return;
    }
    match source.regions() {
        Ok(RegionsRow(regions)) => {
            regions.into_iter().for_each(|(region, entry)| graph.set_entry_of(region, EntryPoint::from_bits(entry)));
        }
        // The highest point of each region serves as well.
        Err(error) => tracing::warn!("the entry points on disk are unusable, and are chosen again: {error}"),
    }
}

/// Marks the graph as undivided if points of several namespaces are linked with each other. Some of
/// its points are then in a region that neither a delta nor a row opened.
fn tell_division(graph: &Graph, slots: &Slots, cursor: &GraphCursor) {
    let region_of = region_of(slots);
    let lacks_entry = |slot: u32| Some(region_of(slot)).is_some_and(|region| region != 0 && !graph.has_entry(region));
    if !cursor.is_divided && graph.points().any(lacks_entry) {
        graph.set_undivided();
    }
}

/// The changes to write because points lost links or duplicates, and because points on disk
/// are none any more.
fn changes_of(graph: &Graph, underfull: &[u32], outdated: &[u32]) -> Vec<GraphChange> {
    let rows = |&slot: &u32| {
        let rows = (0..=graph.level_of(slot)).map(move |level| GraphChange::Row { slot, level });
        rows.chain([GraphChange::Duplicates { of: slot }])
    };
    let gone = outdated.iter().filter(|&&slot| !graph.is_point(slot)).map(|&slot| GraphChange::Gone { slot });
    underfull.iter().filter(|&&slot| graph.is_point(slot)).flat_map(rows).chain(gone).collect()
}

/// The graph as rows and deltas on disk have it, dead points included. Fails if a row or delta
/// cannot be read.
pub(in crate::collection) fn stored(
    source: RowSource<'_>,
    memory: &Memory,
    shape: GraphShape,
    cursor: &GraphCursor,
) -> Result<Graph> {
    let graph = Graph::new(shape);
    graph.reserve(memory.slots.n_slots()).map_err(|source| out_of_memory(memory, source))?;
    let is_current = |slot: u32, tag: u8| memory.slots.tenancy(Slot(slot)).generation as u8 == tag;
    let (ReadRows { is_whole, .. }, representatives) = read_rows(source, &graph, memory, &is_current);
    let mut replay = Replay::new(&graph, &is_current, cursor.delta, representatives);
    replay.read(source);
    match is_whole && replay.is_whole {
        true => Ok(graph),
        false => Err(Error::corruption("the graph on disk", "a row or a delta cannot be read")),
    }
}

/// Records how far the deltas have got, and what is left to do. `is_verified` says that walks
/// reached every point before those deltas.
fn finish(loaded: &mut Loaded, read: Followed, mut changes: Vec<GraphChange>, is_verified: bool) {
    if let Some(index) = loaded.memory.vectors().index.hnsw() {
        let underfull: HashSet<u32> = read.underfull.into_iter().collect();
        let graph = index.graph();
        let moved = graph.settle_entries(region_of(&loaded.memory.slots));
        let is_doubtful = !read.is_whole || !changes.is_empty() || loaded.opening.way == OpenedBy::Rows;
        if is_doubtful || !is_verified || read.n_deltas > 0 {
            let unreachable = graph.unreachable();
            // A delta may tell of lost links, while the next, which would have made up for them,
            // was not written. If more than one batch of points cannot be reached, the linker gets
            // to them in its own time.
            if is_doubtful || unreachable.len() <= MOST_UNREACHED {
                // A point that no walk reaches is compared one by one, until it has the link it
                // needs.
                index.ask_for_mending(unreachable);
            }
        }
        loaded.opening.n_repaired = underfull.len();
        if !changes.is_empty() {
            changes.push(GraphChange::Entry);
            changes.extend(moved);
        }
        loaded.changes = changes;
        index.ask_for_repair(underfull.into_iter().collect());
    }
    loaded.opening.n_deltas = read.n_deltas;
    (loaded.state.last_delta, loaded.state.delta_bytes) = (read.last, read.n_bytes);
    loaded.state.dirty = read.dirty;
    if !read.is_whole {
        // The deltas on disk lead elsewhere: the next save makes up for them.
        (loaded.state.lagging, loaded.state.wipe) = (true, true);
    }
}

/// Sorts slots into linked, waiting and free ones. Reads vectors if they have to be in memory.
fn settle(source: RowSource<'_>, loaded: &mut Loaded, representatives: &Representatives) -> Result<()> {
    let memory = &loaded.memory;
    if let Some(index) = memory.vectors().index.hnsw() {
        index.note_regions();
    }
    let graph = memory.vectors().index.graph();
    let is_point = |slot: Slot| graph.as_ref().is_some_and(|graph| graph.is_point(slot.0));
    memory.settle(|slot| is_point(slot) || representatives.is_duplicate(slot.0));
    loaded.opening.n_waiting = memory.vectors().index.n_waiting();
    match &*memory.vectors().full.held() {
        Some(held) if memory.vectors().index.must_hold() && !held.is_complete() => source.hold_vectors(memory),
        _ => Ok(()),
    }
}

fn out_of_memory(memory: &Memory, source: std::io::Error) -> Error {
    Error::OutOfMemory { n_documents: memory.slots.n_slots(), source }
}

/// The number of the last delta on disk.
fn last_delta(source: RowSource<'_>) -> Result<u64> {
    let mut last = 0;
    source.scan(&source.families.graph, key::delta_range(0), |key, _| {
        last = key::read_delta(key)?;
        Ok(())
    })?;
    Ok(last)
}

/// The result of reading a graph's rows.
#[derive(Default)]
struct ReadRows {
    /// Points that lost links, because the slots that these led to hold something else now.
    underfull: Vec<u32>,
    /// Slots whose rows belong to another document, or to one that is gone.
    outdated: Vec<u32>,
    /// Points that have duplicates, with these.
    duplicates: Vec<(u32, Vec<u32>)>,
    /// Whether all rows could be read.
    is_whole: bool,
}

/// Reads the rows of a graph in parallel.
fn read_rows(
    source: RowSource<'_>,
    graph: &Graph,
    memory: &Memory,
    is_current: IsCurrent<'_>,
) -> (ReadRows, Representatives) {
    let n_slots = memory.slots.n_slots() as u32;
    let part_size = n_slots.div_ceil(N_PARTS).max(1);
    let part = |part: u32| {
        let mut read = ReadRows { is_whole: true, ..ReadRows::default() };
        let from = key::row(Slot(part * part_size), 0).to_vec();
        let to = match part + 1 == N_PARTS {
            true => key::row_range().1,
            false => key::row(Slot((part + 1) * part_size), 0).to_vec(),
        };
        let scanned = source.scan(&source.families.graph, (from, to), |key, value| {
            let (slot, level) = key::read_row(key)?;
            match GraphRow::decode(value, is_current) {
                Ok((row, is_short)) => {
                    let is_its = memory.slots.tenancy(slot).generation == row.generation;
                    if !is_its || !is_current(slot.0, row.generation as u8) {
                        read.outdated.push(slot.0);
                        return Ok(());
                    }
                    graph.put_row(slot.0, level, row.links.into_iter());
                    if !row.duplicates.is_empty() {
                        read.duplicates.push((slot.0, row.duplicates));
                    }
                    if is_short {
                        read.underfull.push(slot.0);
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        slot = slot.0,
                        level,
                        "the row of a point is unusable, and the point is linked again: {error}"
                    );
                    read.is_whole = false;
                }
            }
            Ok(())
        });
        if let Err(error) = scanned {
            tracing::warn!("points whose rows cannot be read are linked again: {error}");
            read.is_whole = false;
        }
        read
    };
    let parts: Vec<ReadRows> = (0..N_PARTS).into_par_iter().map(part).collect();
    let read = parts.into_iter().fold(ReadRows { is_whole: true, ..ReadRows::default() }, |mut all, part| {
        all.underfull.extend(part.underfull);
        all.outdated.extend(part.outdated);
        all.duplicates.extend(part.duplicates);
        all.is_whole &= part.is_whole;
        all
    });
    let mut representatives = graph.representatives();
    read.duplicates.iter().for_each(|(of, duplicates)| graph.attach_all(duplicates, *of, &mut representatives));
    (read, representatives)
}

/// The most points out of reach that are compared one by one after an open, if nothing else is
/// amiss.
const MOST_UNREACHED: usize = 512;
/// Parts of the rows that are read in parallel.
const N_PARTS: u32 = 16;

/// The replay of deltas.
struct Replay<'r> {
    graph: &'r Graph,
    is_current: IsCurrent<'r>,
    representatives: Representatives,
    /// Slots that were linked or attached to a point (as its duplicates) by the replay.
    linked: HashSet<u32>,
    /// Points that lost links.
    underfull: Vec<u32>,
    /// Slots that the replay linked and that have no known document any more.
    outdated: Vec<u32>,
    /// Slots whose rows on disk lack what was replayed.
    dirty: Dirty,
    /// The last delta replayed.
    last: u64,
    n_read: u64,
    n_bytes: u64,
    /// Whether there was neither a gap nor damage.
    is_whole: bool,
}

/// The result of a replay.
struct Followed {
    underfull: Vec<u32>,
    outdated: Vec<u32>,
    dirty: Dirty,
    last: u64,
    n_deltas: u64,
    n_bytes: u64,
    is_whole: bool,
}

impl<'r> Replay<'r> {
    /// A replay of the deltas after `last`.
    fn new(graph: &'r Graph, is_current: IsCurrent<'r>, last: u64, representatives: Representatives) -> Self {
        Replay {
            graph,
            is_current,
            representatives,
            linked: HashSet::new(),
            underfull: Vec::new(),
            outdated: Vec::new(),
            dirty: Dirty::default(),
            last,
            n_read: 0,
            n_bytes: 0,
            is_whole: true,
        }
    }

    fn end(self) -> (Followed, Representatives) {
        let Replay { representatives, underfull, outdated, dirty, last, n_read: n_deltas, n_bytes, is_whole, .. } =
            self;
        (Followed { underfull, outdated, dirty, last, n_deltas, n_bytes, is_whole }, representatives)
    }

    /// Replays all deltas that follow, up to the first that is missing or damaged.
    fn read(&mut self, source: RowSource<'_>) {
        let (from, to) = key::delta_range(self.last + 1);
        let scanned = source.rocks.scan(&source.families.graph, source.snapshot, (&from, &to), |key, value| {
            match key::read_delta(key) {
                Ok(number) if number == self.last + 1 => {}
                _ => return Err(Error::corruption("the deltas of the graph", "one is missing")),
            }
            let read = decode_delta(value, self.is_current)?;
            for op in &read.delta.ops {
                match op {
                    Op::Row { slot, level: 0, .. } | Op::Attach { duplicate: slot, .. } => {
                        _ = self.linked.insert(*slot)
                    }
                    Op::Duplicates { duplicates, .. } => self.linked.extend(duplicates),
                    _ => {}
                }
            }
            self.graph.apply(&read.delta, &mut self.representatives);
            self.dirty.note(&read.delta);
            self.underfull.extend(read.underfull);
            self.outdated.extend(read.outdated);
            self.last += 1;
            self.n_read += 1;
            self.n_bytes += value.len() as u64;
            Ok(ControlFlow::Continue(()))
        });
        if let Err(why) = scanned.map_err(storage("reading the deltas of the graph")).flatten() {
            tracing::warn!(after = self.last, "later deltas are unusable, and their documents are linked again: {why}");
            self.is_whole = false;
        }
    }
}
