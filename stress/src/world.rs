//! The state that the threads of a job share: vectors, their codes and graph, and the state of each
//! slot.
//!
//! A slot is free, then given to a vector, then linked. It may die. It is free again once it is
//! swept and no search that began before is still running.
#![expect(unsafe_code, reason = "vectors and codes are written in place, where nobody can be reading")]

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::arena::{Cells, Rows};
use crate::distance::{self, Metric};
use crate::graph::{Graph, GraphShape, Space, LinkView};
use crate::id::NamespaceId;
use crate::quant::{Book, CodeQuery, Codes, Grain};

/// Slots that are given out before dead ones are reused.
pub(crate) const MOST_SLOTS: u32 = 3_000;
const SHAPE: GraphShape = GraphShape { m: 16, ef_construction: 60 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Free,
    Given,
    Linked,
    Dead,
}

pub(crate) struct World {
    pub(crate) graph: Graph,
    pub(crate) codes: Codes,
    vectors: Rows<f32>,
    states: Cells<AtomicU8>,
    /// Slots below this were given out at some time.
    n_slots: AtomicU32,
    free: Mutex<Vec<u32>>,
    metric: Metric,
    centres: Vec<Vec<f32>>,
    /// Held by threads that link, and by the keeper while no slot may be linked.
    pub(crate) linking: RwLock<()>,
    /// Held by threads that search, and by the keeper to wait for earlier searches.
    pub(crate) searching: RwLock<()>,
    pub(crate) stopped: AtomicBool,
}

impl World {
    pub(crate) fn new(dimension: usize, metric: Metric, rng: &mut StdRng) -> Self {
        World {
            graph: Graph::new(SHAPE),
            codes: Codes::new(dimension, metric, metric.normalizes(), Book::default()).expect("codes serve the metric"),
            vectors: Rows::new(dimension),
            states: Cells::new(),
            n_slots: AtomicU32::new(0),
            free: Mutex::default(),
            metric,
            centres: (0..60).map(|_| (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect()).collect(),
            linking: RwLock::default(),
            searching: RwLock::default(),
            stopped: AtomicBool::new(false),
        }
    }

    pub(crate) fn n_slots(&self) -> u32 {
        self.n_slots.load(Ordering::Acquire)
    }

    pub(crate) fn state(&self, slot: u32) -> State {
        match self.states.get(slot as usize).map(|state| state.load(Ordering::Acquire)) {
            Some(1) => State::Given,
            Some(2) => State::Linked,
            Some(3) => State::Dead,
            _ => State::Free,
        }
    }

    /// Moves a slot from one state to the next; false if it was in another.
    pub(crate) fn turn(&self, slot: u32, from: State, to: State) -> bool {
        let state = self.states.get(slot as usize);
        let (from, to) = (from as u8, to as u8);
        state.is_some_and(|state| state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok())
    }

    /// Gives a slot to a new vector; `None` if all are in use.
    pub(crate) fn give(&self, rng: &mut StdRng) -> Option<u32> {
        let slot = {
            let mut free = self.free.lock();
            let fresh = self.n_slots();
            // A slot is mostly reused, but not always, so that the arrays grow while other threads
            // work.
            if fresh < MOST_SLOTS && (free.is_empty() || rng.random_bool(0.5)) {
                self.reserve(fresh as usize + 1);
                self.n_slots.store(fresh + 1, Ordering::Release);
                fresh
            } else {
                free.pop()?
            }
        };
        let vector = self.invent(rng);
        // SAFETY: the slot is free, and only we were given it: no other thread has a way to it.
        unsafe {
            self.vectors.write(slot, &vector);
            self.codes.put(slot, &self.codes.encode(&vector, NamespaceId::default()));
        }
        assert!(self.turn(slot, State::Free, State::Given), "slot {slot} was given out twice");
        Some(slot)
    }

    fn reserve(&self, n_slots: usize) {
        self.states.reserve(n_slots);
        for reserved in [self.vectors.reserve(n_slots), self.codes.reserve(n_slots), self.graph.reserve(n_slots)] {
            reserved.expect("memory for a few thousand slots");
        }
    }

    /// A vector near some centre; often one that was there before.
    fn invent(&self, rng: &mut StdRng) -> Vec<f32> {
        let n_vectors = if rng.random_bool(0.05) { 10 } else { 20_000 };
        let mut rng = StdRng::seed_from_u64(rng.random_range(0..n_vectors));
        let centre = &self.centres[rng.random_range(0..self.centres.len())];
        let mut vector: Vec<f32> = centre.iter().map(|x| x + rng.random_range(-0.5..0.5)).collect();
        if self.metric.normalizes() {
            distance::normalize(&mut vector);
        }
        vector
    }

    /// Lets slots that no row names be used again.
    pub(crate) fn free(&self, gone: Vec<u32>) {
        {
            let _no_one_searches = self.searching.write();
            for &slot in &gone {
                assert!(
                    self.turn(slot, State::Dead, State::Free),
                    "slot {slot} is gone and was {:?}",
                    self.state(slot)
                );
            }
        }
        self.free.lock().extend(gone);
    }

    /// The vector of a slot that has one; the caller searches or links.
    pub(crate) fn vector(&self, slot: u32) -> &[f32] {
        // SAFETY: such a slot is not written before it is free again, which it is not while a
        // search that could reach it runs.
        unsafe { self.vectors.row(slot) }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl Space for World {
    type Query = CodeQuery;

    fn query_of(&self, slot: u32, _: LinkView, query: &mut CodeQuery) {
        self.codes.query_of(slot, NamespaceId::default(), query);
    }

    fn compare(&self, query: &CodeQuery, slots: &[u32], distances: &mut [f32]) {
        self.codes.compare(query, Grain::Coarse, slots, distances);
    }

    fn compare_closely(&self, query: &CodeQuery, slots: &[u32], distances: &mut [f32]) {
        self.codes.compare(query, Grain::Fine, slots, distances);
    }

    fn is_same(&self, a: u32, b: u32) -> bool {
        self.vector(a) == self.vector(b)
    }

    fn is_alive(&self, slot: u32) -> bool {
        matches!(self.state(slot), State::Given | State::Linked)
    }

    fn is_needed(&self, slot: u32) -> bool {
        self.is_alive(slot)
    }
}
