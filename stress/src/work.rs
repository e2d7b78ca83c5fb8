//! The work of each thread of a job, and its checks.

use std::fmt;
use std::ops::AddAssign;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::distance::Metric;
use crate::graph::{Linking, Walker};
use crate::id::NamespaceId;
use crate::quant::CodeQuery;
use crate::world::{MOST_SLOTS, State, World};

const N_LINKERS: usize = 3;
const N_SEARCHERS: usize = 3;
const EF: usize = 64;
/// Dead slots at which the keeper sweeps.
const DEAD_PER_SWEEP: usize = MOST_SLOTS as usize / 8;
/// Least share of searches for a linked vector that find it.
const LEAST_FOUND: f64 = 0.99;

/// Work on one collection.
pub(crate) struct Job {
    pub(crate) dimension: usize,
    pub(crate) metric: Metric,
    pub(crate) time: Duration,
    pub(crate) seed: u64,
}

/// Counts of a job's work.
#[derive(Debug, Default)]
pub(crate) struct Report {
    n_linked: usize,
    n_found: usize,
    n_missed: usize,
    /// Searches that found fewer points than there are.
    n_short: usize,
    n_killed: usize,
    n_swept: usize,
    n_gone: usize,
    n_mended: usize,
}

impl Job {
    pub(crate) fn run(&self) -> Report {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let world = World::new(self.dimension, self.metric, &mut rng);
        let workers =
            std::iter::repeat_n(link as Work, N_LINKERS).chain(std::iter::repeat_n(search as Work, N_SEARCHERS));
        let mut report = Report::default();
        std::thread::scope(|scope| {
            let world = &world;
            let workers: Vec<_> = workers
                .chain([keep as Work])
                .map(|work| {
                    let mut rng = StdRng::seed_from_u64(rng.random());
                    scope.spawn(move || {
                        let _stops = StopsOthers(world);
                        work(world, &mut rng)
                    })
                })
                .collect();
            let begun = Instant::now();
            while begun.elapsed() < self.time && !world.is_stopped() {
                std::thread::sleep(Duration::from_millis(10));
            }
            world.stopped.store(true, Ordering::Relaxed);
            for worker in workers {
                match worker.join() {
                    Ok(done) => report += done,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        report.n_mended += verify(&world);
        report
    }
}

type Work = fn(&World, &mut StdRng) -> Report;

/// Ends the other threads when one ends, by a panic too.
struct StopsOthers<'w>(&'w World);

impl Drop for StopsOthers<'_> {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

fn link(world: &World, rng: &mut StdRng) -> Report {
    let mut report = Report::default();
    let mut linking = Linking::default();
    while !world.is_stopped() {
        let _held = world.linking.read();
        let Some(slot) = world.give(rng) else {
            drop(_held);
            std::thread::yield_now();
            continue;
        };
        world.graph.link(world, slot, &mut linking);
        linking.changes.clear();
        assert!(world.turn(slot, State::Given, State::Linked), "slot {slot} is {:?}", world.state(slot));
        report.n_linked += 1;
    }
    report
}

fn search(world: &World, rng: &mut StdRng) -> Report {
    let mut report = Report::default();
    let mut walker = Walker::default();
    let mut query = CodeQuery::default();
    while !world.is_stopped() {
        let _held = world.searching.read();
        let slot = rng.random_range(0..world.n_slots().max(1));
        if world.state(slot) != State::Linked {
            continue;
        }
        let is_large = world.n_slots() > MOST_SLOTS / 2;
        world.codes.query(world.vector(slot), NamespaceId::default(), &mut query);
        world.graph.search(world, &query, (0, EF), &mut walker);
        let mut is_found = false;
        for point in walker.found() {
            for found in std::iter::once(point.slot).chain(world.graph.duplicates(point.slot)) {
                assert_ne!(world.state(found), State::Free, "a search found slot {found}, which is free");
                is_found |= found == slot;
            }
        }
        report.n_short += usize::from(is_large && walker.found().count() < EF);
        if is_found {
            report.n_found += 1;
        } else if world.state(slot) == State::Linked {
            report.n_missed += 1;
        }
    }
    report
}

/// Kills slots, and sweeps once enough are dead.
fn keep(world: &World, rng: &mut StdRng) -> Report {
    let mut report = Report::default();
    let mut n_dead = 0;
    while !world.is_stopped() {
        for _ in 0..20 {
            let slot = rng.random_range(0..world.n_slots().max(1));
            if world.turn(slot, State::Linked, State::Dead) {
                n_dead += 1;
                report.n_killed += 1;
            }
        }
        if n_dead >= DEAD_PER_SWEEP {
            let quiet = world.linking.write();
            let gone = sweep(world);
            report.n_mended += verify(world);
            drop(quiet);
            n_dead -= gone.len();
            report.n_gone += gone.len();
            report.n_swept += 1;
            world.free(gone);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    report
}

/// Sweeps by two threads, and returns the slots that are gone.
fn sweep(world: &World) -> Vec<u32> {
    let mut linking = Linking::default();
    let sweep = world.graph.begin_sweep(world, |_| true, &mut linking);
    let points: Vec<u32> = world.graph.points().collect();
    let bypass = |part: &[u32]| {
        let mut linking = Linking::default();
        part.iter().for_each(|&slot| world.graph.bypass(world, &sweep, slot, &mut linking));
    };
    std::thread::scope(|scope| {
        let (ours, theirs) = points.split_at(points.len() / 2);
        let other = scope.spawn(|| bypass(theirs));
        bypass(ours);
        // Joined by its handle, as a sanitizer does not see how a scope waits.
        other.join().expect("the other thread says what is wrong");
    });
    world.graph.finish_sweep(sweep, &mut linking)
}

/// Mends, and asserts that the graph is sound and holds all linked slots. No slot may be linked
/// meanwhile.
fn verify(world: &World) -> usize {
    let mut linking = Linking::default();
    let mut n_mended = 0;
    let mut unreachable = world.graph.unreachable();
    for _ in 0..10 {
        n_mended += unreachable.len();
        unreachable.iter().for_each(|&slot| world.graph.mend(world, slot, &unreachable.iter().copied().collect(), &mut linking));
        unreachable = world.graph.unreachable();
    }
    let audit = world.graph.audit(|_| 0);
    assert!(audit.faults.is_empty() && audit.unreachable.is_empty(), "{audit:?}");
    let n_linked = (0..world.n_slots()).filter(|&slot| world.state(slot) == State::Linked).count();
    let n_held = audit.n_points + audit.n_duplicates;
    assert!(n_held >= n_linked, "expected at least {n_linked} slots in the graph, got {n_held}");
    n_mended
}

impl Report {
    /// Whether linked vectors were found, no search lost its way, and everything was done at least
    /// once.
    pub(crate) fn is_well(&self) -> bool {
        let n_searches = (self.n_found + self.n_missed).max(1);
        let is_found = self.n_found as f64 >= LEAST_FOUND * n_searches as f64;
        is_found && self.n_short == 0 && self.n_linked.min(self.n_found).min(self.n_swept) > 0
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Report) {
        self.n_linked += other.n_linked;
        self.n_found += other.n_found;
        self.n_missed += other.n_missed;
        self.n_short += other.n_short;
        self.n_killed += other.n_killed;
        self.n_swept += other.n_swept;
        self.n_gone += other.n_gone;
        self.n_mended += other.n_mended;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { n_linked, n_found, n_missed, n_short, n_killed, n_swept, n_gone, n_mended } = self;
        write!(f, "{n_linked} linked, {n_found} found, {n_missed} missed, {n_short} cut short, {n_killed} killed, ")?;
        write!(f, "{n_swept} sweeps took out {n_gone}, {n_mended} mended")
    }
}
