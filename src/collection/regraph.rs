//! Bringing a collection's graph up to date at open: from an image or from rows, by the deltas that follow.
//!
//! Nothing is invented: a link to a slot that has no document, or another one than it was made for, is dropped, and the
//! point that lost it gets others later. What is on disk of the graph is derived; where it is damaged or has a gap, the
//! graph is as it was before that, and what it misses is linked again.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::ControlFlow;

use super::load::{Changed, Loaded, Source};
use super::memory::Memory;
use crate::document::OpenedBy;
use crate::error::{Error, Result};
use crate::graph::{Entry, Graph, Op, Shape, Twinned};
use crate::id::Slot;
use crate::store::graph::{Cursor, GraphRow, Known, decode_delta};
use crate::store::key;

/// Brings the graph of an image up to date, which holds all deltas up to one.
pub(super) fn follow(source: Source<'_>, loaded: &mut Loaded, delta: u64, changed: &Changed) -> Result<()> {
    loaded.opening.way = OpenedBy::Image;
    loaded.state.cursor = source.cursor()?.unwrap_or_default();
    if let Some(index) = &loaded.memory.index {
        let (slots, graph) = (&loaded.memory.slots, index.graph());
        graph.reserve(slots.n_slots()).map_err(|source| out_of_memory(&loaded.memory, source))?;
        // Whether something is left to compare a slot by: its code, or, of a document that exists, its vector.
        let can_compare = |slot: Slot| slots.is_alive(slot) || !(index.must_hold() || changed.bare.contains(&slot));
        let known = |slot: u32, tag: u8| {
            let slot = Slot(slot);
            (slot.0 as usize) < slots.n_slots() && slots.tenancy(slot).generation as u8 == tag && can_compare(slot)
        };
        let mut replay = Replay::new(&graph, &known, delta);
        replay.read(source);
        // What the image has in a slot is another document than now, or one that nothing is left to compare by.
        let is_twin = |slot: Slot| replay.twinned.get_or_init(|| graph.twinned()).contains(slot.0);
        let is_held = |slot: Slot| graph.is_point(slot.0) || is_twin(slot);
        let has_moved = |slot: Slot| slots.is_alive(slot) && changed.moved.contains(&slot);
        let is_stale = |slot: Slot| {
            is_held(slot) && (!can_compare(slot) || has_moved(slot) && !replay.linked.contains(&slot.0))
        };
        let suspects: Vec<Slot> = match index.must_hold() {
            true => (0..slots.n_slots() as u32).map(Slot).collect(),
            false => changed.moved.iter().copied().collect(),
        };
        let stale: HashSet<u32> = suspects.into_iter().filter(|&slot| is_stale(slot)).map(|slot| slot.0).collect();
        replay.is_whole &= stale.is_empty() && replay.short.is_empty();
        if !replay.is_whole {
            graph.forget(&stale);
            replay.short.extend(graph.tidy());
        }
        let read = replay.end();
        finish(loaded, read);
    }
    settle(source, loaded)
}

/// Reads the graph from its rows, and the deltas after them.
pub(super) fn read(source: Source<'_>, loaded: &mut Loaded) -> Result<()> {
    let Some(index) = &loaded.memory.index else { return settle(source, loaded) };
    let (slots, graph) = (&loaded.memory.slots, index.graph());
    graph.reserve(slots.n_slots()).map_err(|source| out_of_memory(&loaded.memory, source))?;
    let cursor = match source.cursor() {
        Ok(cursor) => cursor.unwrap_or_default(),
        Err(error) => {
            tracing::warn!("all documents are linked anew: {error}");
            loaded.begins_anew = true;
            loaded.state.last_delta = last_delta(source)?;
            return settle(source, loaded);
        }
    };
    let known = |slot: u32, tag: u8| {
        let slot = Slot(slot);
        (slot.0 as usize) < slots.n_slots() && slots.is_alive(slot) && slots.tenancy(slot).generation as u8 == tag
    };
    let n_documents = slots.n_documents();
    let (short, is_whole) = read_rows(source, &graph, &loaded.memory, &known);
    graph.set_entry(Entry::from_bits(cursor.entry).filter(|entry| graph.is_point(entry.slot)));
    let mut replay = Replay::new(&graph, &known, cursor.delta);
    replay.read(source);
    replay.is_whole &= is_whole;
    replay.short.extend(short);
    replay.short.extend(graph.tidy());
    replay.is_whole &= replay.short.is_empty();
    let read = replay.end();
    let (n_points, n_twins) = graph.counts();
    loaded.opening.way = match n_points {
        0 if n_documents > 0 => OpenedBy::Linking,
        _ => OpenedBy::Rows,
    };
    loaded.begins_anew = n_points == 0 && (cursor.delta > 0 || read.n_deltas > 0 || !read.is_whole);
    loaded.state.cursor = Cursor { image: Default::default(), covers: Default::default(), ..cursor };
    tracing::debug!(n_points, n_twins, n_documents, "read the graph");
    finish(loaded, read);
    settle(source, loaded)
}

/// The graph as rows and deltas on disk have it, dead points included. An error says that something cannot be read.
pub(super) fn stored(source: Source<'_>, memory: &Memory, shape: Shape, cursor: &Cursor) -> Result<Graph> {
    let graph = Graph::new(shape);
    graph.reserve(memory.slots.n_slots()).map_err(|source| out_of_memory(memory, source))?;
    let known = |slot: u32, tag: u8| memory.slots.tenancy(Slot(slot)).generation as u8 == tag;
    let (_, is_whole) = read_rows(source, &graph, memory, &known);
    let mut replay = Replay::new(&graph, &known, cursor.delta);
    replay.read(source);
    match is_whole && replay.is_whole {
        true => Ok(graph),
        false => Err(Error::corruption("the graph on disk", "a row or a delta cannot be read")),
    }
}

/// Takes note of how far the deltas have got, and of what is to be done.
fn finish(loaded: &mut Loaded, read: Followed) {
    if let Some(index) = &loaded.memory.index {
        let short: HashSet<u32> = read.short.into_iter().collect();
        loaded.opening.n_repaired = short.len();
        let graph = index.graph();
        graph.settle_entry();
        if !read.is_whole || loaded.opening.way == OpenedBy::Rows {
            // What no walk reaches waits to be linked again, and is compared one by one until then.
            graph.forget(&graph.unreachable().into_iter().collect());
        }
        index.ask_for_repair(short.into_iter().collect());
    }
    loaded.opening.n_deltas = read.n_deltas;
    (loaded.state.last_delta, loaded.state.delta_bytes) = (read.last, read.n_bytes);
    if !read.is_whole {
        // What is on disk leads elsewhere: the next save makes up for it.
        (loaded.state.lagging, loaded.state.wipe) = (true, true);
    }
}

/// Sorts slots into those that are linked, wait, or are free; and reads vectors where they have to be in memory.
fn settle(source: Source<'_>, loaded: &mut Loaded) -> Result<()> {
    let memory = &loaded.memory;
    memory.settle();
    loaded.opening.n_waiting = memory.index.as_ref().map_or(0, |index| index.tail().len());
    let needs_vectors = memory.index.as_ref().is_none_or(|index| index.must_hold());
    match &*memory.slots.exact.held() {
        Some(held) if needs_vectors && !held.is_complete() => source.hold_vectors(memory),
        _ => Ok(()),
    }
}

fn out_of_memory(memory: &Memory, source: std::io::Error) -> Error {
    Error::OutOfMemory { n_documents: memory.slots.n_slots(), source }
}

/// The number of the last delta on disk.
fn last_delta(source: Source<'_>) -> Result<u64> {
    let mut last = 0;
    source.scan(&source.families.graph, key::delta_range(0), |key, _| {
        last = key::read_delta(key)?;
        Ok(())
    })?;
    Ok(last)
}

/// Reads the rows of a graph. Returns the points that lost links by that, and whether all could be read.
fn read_rows(source: Source<'_>, graph: &Graph, memory: &Memory, known: Known<'_>) -> (Vec<u32>, bool) {
    let (slots, mut short, mut is_whole) = (&memory.slots, Vec::new(), true);
    let scanned = source.scan(&source.families.graph, key::row_range(), |key, value| {
        let (slot, level) = key::read_row(key)?;
        match GraphRow::decode(value, known) {
            Ok((row, is_short)) => {
                let is_its = slots.tenancy(slot).generation == row.generation && known(slot.0, row.generation as u8);
                if !is_its {
                    // Someone else's by now, or a dead one's: what is on disk is not what there will be.
                    is_whole = false;
                    return Ok(());
                }
                graph.put_row(slot.0, level, row.links.into_iter());
                if level == 0 {
                    graph.put_twins(slot.0, &row.twins);
                }
                if is_short {
                    short.push(slot.0);
                    is_whole = false;
                }
            }
            Err(error) => {
                tracing::warn!(slot = slot.0, level, "a point is linked anew: {error}");
                is_whole = false;
            }
        }
        Ok(())
    });
    if let Err(error) = scanned {
        tracing::warn!("points whose rows cannot be read are linked anew: {error}");
        is_whole = false;
    }
    (short, is_whole)
}

/// Going through deltas.
struct Replay<'r> {
    graph: &'r Graph,
    known: Known<'r>,
    /// Looked up when it is first needed.
    twinned: OnceCell<Twinned>,
    /// Slots that were linked or hung on a point on the way.
    linked: HashSet<u32>,
    /// Points that lost links.
    short: Vec<u32>,
    /// The last delta gone through.
    last: u64,
    n_read: u64,
    n_bytes: u64,
    /// There was neither a gap nor damage.
    is_whole: bool,
}

/// What came of going through deltas.
struct Followed {
    short: Vec<u32>,
    last: u64,
    n_deltas: u64,
    n_bytes: u64,
    is_whole: bool,
}

impl<'r> Replay<'r> {
    /// To go on after a delta.
    fn new(graph: &'r Graph, known: Known<'r>, last: u64) -> Self {
        let (twinned, (linked, short)) = (OnceCell::new(), (HashSet::new(), Vec::new()));
        Replay { graph, known, twinned, linked, short, last, n_read: 0, n_bytes: 0, is_whole: true }
    }

    fn end(self) -> Followed {
        let Replay { short, last, n_read: n_deltas, n_bytes, is_whole, .. } = self;
        Followed { short, last, n_deltas, n_bytes, is_whole }
    }

    /// Goes through all deltas that follow, up to the first that is missing or damaged.
    fn read(&mut self, source: Source<'_>) {
        let (from, to) = key::delta_range(self.last + 1);
        let stopped = source.rocks.scan(&source.families.graph, source.snapshot, (&from, &to), |key, value| {
            match key::read_delta(key) {
                Ok(number) if number == self.last + 1 => {}
                _ => return ControlFlow::Break("a delta is missing".to_owned()),
            }
            match decode_delta(value, self.known) {
                Ok(read) => {
                    for op in &read.delta.ops {
                        match op {
                            Op::Row { slot, level: 0, .. } | Op::Hang { twin: slot, .. } => _ = self.linked.insert(*slot),
                            Op::Twins { twins, .. } => self.linked.extend(twins),
                            _ => {}
                        }
                    }
                    self.twinned.get_or_init(|| self.graph.twinned());
                    self.twinned.get_mut().into_iter().for_each(|twinned| self.graph.apply(&read.delta, twinned));
                    self.short.extend(read.short);
                }
                Err(error) => return ControlFlow::Break(error.to_string()),
            }
            self.last += 1;
            self.n_read += 1;
            self.n_bytes += value.len() as u64;
            ControlFlow::Continue(())
        });
        if let Some(why) = stopped.unwrap_or_else(|fault| Some(fault.to_string())) {
            tracing::warn!(after = self.last, "what was linked later is linked anew: {why}");
            self.is_whole = false;
        }
    }
}
